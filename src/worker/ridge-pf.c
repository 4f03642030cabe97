/* SPDX-License-Identifier: BSD-3-Clause */
/* ridge-pf: the program. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/closer.h"
#include "base/irqfd.h"
#include "base/log.h"
#include "worker/sandbox.h"
#include "worker/worker.h"

struct arguments {
	const char *name;
	int listen_fd;
	bool no_sandbox;
	bool has_user;
	struct sandbox_user user;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'n':
		args->name = arg;
		return 0;
	case 'l':
		args->listen_fd = atoi(arg);
		return 0;
	case 's':
		args->no_sandbox = true;
		return 0;
	case 'u':
		args->has_user = true;
		if (sscanf(arg, "%u:%u", &args->user.uid, &args->user.gid) != 2)
			argp_error(state, "--user %s: give UID:GID", arg);
		return 0;
	case ARGP_KEY_END:
		if (!args->name || args->listen_fd < 0)
			argp_error(state,
				   "ridged starts this program; it needs --name and --listen-fd");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "name", 'n', "NAME", 0, "Name of the PF", 0 },
		{ "listen-fd", 'l', "FD", 0, "Listening SOCK_SEQPACKET socket for ridged", 0 },
		{ "user", 'u', "UID:GID", 0, "Whom to become instead of root", 0 },
		{ "no-sandbox", 's', NULL, 0, "Keep all rights: for debugging", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "One ridge PF and its functions. Started by ridged.",
	};
	struct arguments args = { .listen_fd = -1 };
	struct worker w = { 0 };
	struct rlimit limit;
	char name[48];
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	snprintf(name, sizeof(name), "ridge-pf[%.30s]", args.name);
	log_open(name, LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	/* A function takes a handful of descriptors, its VMM's interrupts some more. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		w.descriptors_max = limit.rlim_cur;
	}
	list_init(&w.functions);
	w.uid = geteuid();
	err = irqfd_init();
	if (err) {
		log_err("no interrupts: io_setup: %s%s", strerror(-err),
			err == -EAGAIN ? "; raise fs.aio-max-nr" : "");
		return EXIT_FAILURE;
	}
	err = loop_new(&w.loop);
	if (!err)
		err = control_new(&w, args.listen_fd, &w.control);
	if (err) {
		log_err("can't start: %s", strerror(-err));
		return EXIT_FAILURE;
	}
	if (args.no_sandbox) {
		log_warn("NO SANDBOX: a guest that finds a bug has all rights of ridged's user");
		err = closer_init(NULL);
		if (err)
			log_warn("descriptors of VMMs are closed at once: %s", strerror(-err));
	} else {
		err = sandbox_enter(args.has_user ? &args.user : NULL);
		if (err) {
			log_err("no sandbox: %s; the kernel needs CONFIG_SECCOMP_FILTER",
				strerror(-err));
			return EXIT_FAILURE;
		}
		w.sandboxed = true;
	}
	err = loop_run(w.loop);
	if (err)
		log_err("event loop: %s", strerror(-err));
	worker_end(&w);
	if (w.sandboxed)
		sandbox_leave();
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
