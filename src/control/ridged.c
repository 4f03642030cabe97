/* SPDX-License-Identifier: BSD-3-Clause */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/control.h"
#include "control/creation.h"
#include "control/journal.h"
#include "control/pf_process.h"
#include "control/privileges.h"
#include "control/pf_revive.h"
#include "control/registry_file.h"
#include "control/runtime.h"
#include "control/server.h"
#include "control/sockets.h"

#define CONTROL_BACKLOG 512
#define INVENTORY_MS    5000 /* how long PF processes have to say what they have */

const char *argp_program_version = "ridged " RIDGE_VERSION;

struct options {
	const char *runtime_dir;
	const char *group;
	bool verbose;
	bool no_sandbox;
	const char *pf_user;
};

/* The daemon: control.h's part of it, and what only its start and end are about. */
struct daemon {
	struct control ctl;
	struct loop_fd signals;
	struct loop_timer inventory;
	bool ready;
	int lock;
	char pf_user[40]; /* --pf-user, for PF processes */
};

enum { OPTION_NO_SANDBOX = 0x100, OPTION_PF_USER };

static const struct argp_option option_table[] = {
	{ "runtime-dir", 'd', "DIR", 0,
	  "Directory for sockets (default: $RIDGE_RUNTIME_DIR, or /run/ridge as root, or "
	  "$XDG_RUNTIME_DIR/ridge)",
	  0 },
	{ "group", 'g', "GROUP", 0, "Let members of GROUP control ridged, too", 0 },
	{ "verbose", 'v', NULL, 0, "Log more", 0 },
	{ "pf-user", OPTION_PF_USER, "USER", 0,
	  "User that PF processes become where ridged is root (default: one of its own for each)",
	  0 },
	{ "no-sandbox", OPTION_NO_SANDBOX, NULL, 0,
	  "Let PF processes keep all rights: for debugging, never with guests that are not yours",
	  0 },
	{ 0 },
};

static error_t option_parse(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'd':
		options->runtime_dir = arg;
		return 0;
	case 'g':
		options->group = arg;
		return 0;
	case 'v':
		options->verbose = true;
		return 0;
	case OPTION_PF_USER:
		options->pf_user = arg;
		return 0;
	case OPTION_NO_SANDBOX:
		options->no_sandbox = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp_table = {
	.options = option_table,
	.parser = option_parse,
	.doc = "The daemon that makes PCI functions on demand.\v"
	       "SIGTERM ends ridged alone: functions and their PF processes go on, and the next "
	       "ridged finds them. `ridge shutdown' ends everything.",
};

/* A socket of a function that nobody has, unless a PF process has it without our knowing yet. */
static void leftover(void *arg, const char *name)
{
	struct control *ctl = arg;
	char path[SOCKET_PATH_MAX];
	struct error e;

	if (registry_function(ctl, name) ||
	    runtime_socket(ctl->runtime_dir, "functions", name, path, sizeof(path), &e) ||
	    socket_listening(path))
		return;
	log_warn("%s: no function has this socket; removing it", path);
	unlink(path);
}

static void leftover_export(void *arg, const char *name)
{
	struct control *ctl = arg;
	struct pf *pf = registry_pf(ctl, name);
	char path[SOCKET_PATH_MAX];
	struct error e;

	if ((pf && pf->exported) ||
	    runtime_socket(ctl->runtime_dir, "exports", name, path, sizeof(path), &e) ||
	    socket_listening(path))
		return;
	log_warn("%s: no exported PF has this socket; removing it", path);
	unlink(path);
}

static void daemon_ready(struct daemon *d)
{
	unsigned npfs = 0, nfunctions = 0;
	bool heard = true;
	struct pf *pf;

	loop_timer_cancel(&d->inventory);
	list_for_each (pf, &d->ctl.pfs, node) {
		heard &= !pf->adopting && !pf->unresponsive;
		npfs++;
		nfunctions += pf->nfunctions;
	}
	runtime_each(d->ctl.runtime_dir, "functions", leftover, &d->ctl);
	runtime_each(d->ctl.runtime_dir, "exports", leftover_export, &d->ctl);
	if (heard)
		journal_clear(d->ctl.runtime_dir);
	if (server_start(d->ctl.server)) {
		log_err("the control socket cannot be watched");
		loop_stop(d->ctl.loop);
		return;
	}
	d->ready = true;
	printf("ridged: ready in %s: %u PFs, %u functions\n", d->ctl.runtime_dir, npfs, nfunctions);
	fflush(stdout);
	sd_notify(1, "READY=1");
}

static void daemon_adopted(struct control *ctl)
{
	struct daemon *d = container_of(ctl, struct daemon, ctl);

	if (!d->ready)
		daemon_ready(d);
}

static void inventory_timer(struct loop_timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, inventory);
	struct pf *pf;

	list_for_each (pf, &d->ctl.pfs, node)
		if (pf->adopting) {
			log_warn("PF %s (pid %d) does not answer: going on without", pf->name,
				 (int)pf->pid);
			pf->unresponsive = true;
		}
	daemon_ready(d);
}

static void found(void *arg, const char *name)
{
	pf_find(arg, name);
}

static void signal_event(struct loop_fd *lfd, uint32_t events)
{
	struct daemon *d = container_of(lfd, struct daemon, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(lfd->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		log_info("%s: ending; PF processes go on", strsignal((int)info.ssi_signo));
		loop_stop(d->ctl.loop);
	}
}

static int signals_open(struct daemon *d)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : loop_fd_add(d->ctl.loop, &d->signals, fd, EPOLLIN, signal_event);
}

/* Three descriptors per function are more than the usual soft limit lets us have. */
static void limits_raise(struct control *ctl)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		ctl->descriptors_max = limit.rlim_cur;
	}
}

/* The control socket: from systemd, or made here in place of one that a killed ridged left. */
static int control_socket(struct daemon *d, gid_t group, int *fd, struct error *e)
{
	struct socket_access access = { (uid_t)-1, group, group == (gid_t)-1 ? 0600 : 0660 };

	if (sd_listen_fds(1) == 1) {
		*fd = SD_LISTEN_FDS_START;
		if (sd_is_socket_unix(*fd, SOCK_STREAM, 1, NULL, 0) <= 0 ||
		    fcntl(*fd, F_SETFL, O_NONBLOCK))
			return error_set(e, EINVAL,
					 "the socket from systemd is no listening stream socket; "
					 "give ListenStream=");
		return 0;
	}
	if (asprintf(&d->ctl.socket_path, "%s/ridged.sock", d->ctl.runtime_dir) < 0)
		return error_set(e, ENOMEM, "out of memory");
	unlink(d->ctl.socket_path);
	return socket_listen(d->ctl.socket_path, SOCK_STREAM, CONTROL_BACKLOG, &access, fd, e);
}

/* What PF processes are told about their sandbox. */
static int pf_argument(struct daemon *d, const struct options *options, struct error *e)
{
	struct passwd *user;

	if (options->no_sandbox) {
		log_warn("NO SANDBOX (--no-sandbox): PF processes keep all rights of this user");
		d->ctl.pf_argument = "--no-sandbox";
	} else if (options->pf_user) {
		user = getpwnam(options->pf_user);
		if (!user || !user->pw_uid)
			return error_set(e, ENOENT,
					 "--pf-user %s: give the name of a user that is not root",
					 options->pf_user);
		snprintf(d->pf_user, sizeof(d->pf_user), "--user=%u:%u", user->pw_uid,
			 user->pw_gid);
		d->ctl.pf_argument = d->pf_user;
	}
	return 0;
}

static int daemon_open(struct daemon *d, const struct options *options, struct error *e)
{
	gid_t group = (gid_t)-1;
	int err, fd;

	if (pf_argument(d, options, e))
		return -e->err;
	d->ctl.runtime_dir = runtime_open(options->runtime_dir, &d->lock, e);
	if (!d->ctl.runtime_dir)
		return -e->err;
	err = loop_new(&d->ctl.loop);
	if (!err)
		err = signals_open(d);
	if (err)
		return error_set(e, -err, "%s", strerror(-err));
	if (options->group)
		err = socket_group(options->group, &group, e);
	if (!err)
		err = control_socket(d, group, &fd, e);
	if (err)
		return err;
	err = server_new(&d->ctl, fd, group, &d->ctl.server);
	return err ? error_set(e, -err, "%s", strerror(-err)) : 0;
}

/* PFs before clients: nobody sees half an inventory. */
static void daemon_find(struct daemon *d)
{
	bool wait = false;
	struct pf *pf;

	runtime_each(d->ctl.runtime_dir, "pf", found, &d->ctl);
	registry_files_load(&d->ctl);
	list_for_each (pf, &d->ctl.pfs, node)
		wait |= !pf_is_down(pf);
	if (wait)
		loop_timer_set(d->ctl.loop, &d->inventory, INVENTORY_MS, inventory_timer);
	else
		daemon_ready(d);
}

static void daemon_close(struct daemon *d)
{
	struct control *ctl = &d->ctl;
	struct pf *pf, *tmp;
	struct json_object *result;
	int fd = d->signals.fd;

	if (ctl->socket_path)
		unlink(ctl->socket_path);
	if (ctl->stopping && list_empty(&ctl->pfs))
		runtime_close(ctl->runtime_dir);
	/* Who waits for the end of a shutdown can start another ridged at once. */
	fd_close(&d->lock);
	if (ctl->stop_call) {
		result = json_object_new_object();
		json_object_object_add(result, "pid", json_object_new_int(getpid()));
		jsonrpc_reply(ctl->stop_call, result);
	}
	server_free(ctl->server);
	ctl->server = NULL;
	list_for_each_safe (pf, tmp, &ctl->pfs, node)
		pf_forget(pf);
	create_batches_end(ctl);
	if (ctl->loop) {
		loop_timer_cancel(&d->inventory);
		loop_fd_del(ctl->loop, &d->signals);
		fd_close(&fd);
		loop_free(ctl->loop);
	}
	names_free(&ctl->functions);
	free(ctl->socket_path);
	free(ctl->runtime_dir);
}

int main(int argc, char **argv)
{
	struct daemon d = { .signals.fd = -1, .lock = -1 };
	struct options options = { 0 };
	struct error e = { .text = "out of memory" };
	int err;

	argp_err_exit_status = 2;
	argp_parse(&argp_table, argc, argv, 0, NULL, &options);
	log_open("ridged", options.verbose ? LOG_DEBUG : LOG_INFO);
	limits_raise(&d.ctl);
	umask(SOCKET_UMASK);
	err = privileges_drop();
	if (err)
		log_warn("privileges can't be given up: %s", strerror(-err));
	list_init(&d.ctl.pfs);
	list_init(&d.ctl.batches);
	d.ctl.adopted = daemon_adopted;
	err = daemon_open(&d, &options, &e);
	if (err) {
		fprintf(stderr, "ridged: %s\n", e.text);
	} else {
		daemon_find(&d);
		err = loop_run(d.ctl.loop);
	}
	daemon_close(&d);
	return err ? 1 : 0;
}
