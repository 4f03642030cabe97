/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/verbs.h"

static void print_member(struct json_object *object, const char *name)
{
	const char *value = output_member(object, name);

	if (value)
		printf(" %s %s", name, value);
}

/* The parameters that can be set, as they are now. */
static void print_set(struct json_object *function)
{
	struct json_object *params;

	if (!json_object_object_get_ex(function, "params", &params))
		return;
	print_member(params, "link");
	print_member(params, "size");
}

/* "10:32:07.123 function.attached disk0 pid 4711" */
static void print_line(struct json_object *event)
{
	const char *name = output_member(event, "event");
	struct json_object *about = NULL, *time_ms = NULL;
	time_t seconds;
	char clock[16];
	struct tm tm;
	int64_t ms;

	json_object_object_get_ex(event, "time_ms", &time_ms);
	ms = json_object_get_int64(time_ms);
	seconds = (time_t)(ms / 1000);
	localtime_r(&seconds, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	if (time_ms)
		printf("%s.%03d ", clock, (int)(ms % 1000));
	printf("%s", name ? name : "?");
	if (json_object_object_get_ex(event, "function", &about)) {
		printf(" %s", output_member(about, "name"));
		if (!strcmp(name, "function.created")) {
			print_member(about, "type");
			print_member(about, "rid");
			print_member(about, "pf");
		}
		if (!strcmp(name, "function.created") || !strcmp(name, "function.bound"))
			print_member(about, "driver");
		if (!strcmp(name, "function.set"))
			print_set(about);
		print_member(about, "peer_pid");
	} else if (json_object_object_get_ex(event, "pf", &about)) {
		printf(" %s", output_member(about, "name"));
		print_member(about, "type");
		print_member(about, "pid");
		print_member(about, "socket");
		print_member(about, "peer_pid");
	} else {
		about = event;
	}
	if (output_member(about, "text"))
		printf(": %s", output_member(about, "text"));
	printf("\n");
}

static void print_event(const struct command *cmd, const char *text)
{
	struct json_object *event = cmd->json ? NULL : json_tokener_parse(text);

	if (cmd->json)
		printf("%s\n", text);
	else if (event)
		print_line(event);
	json_object_put(event);
	fflush(stdout);
}

static int monitor(const struct command *cmd, struct ridge *r)
{
	struct pollfd fds[2] = { { .events = POLLIN }, { .fd = STDOUT_FILENO } };
	char *event;
	int ret;

	ret = fds[0].fd = ridge_events_fd(r);
	while (ret >= 0) {
		ret = ridge_events_next(r, &event);
		if (ret == 1) {
			print_event(cmd, event);
			free(event);
		} else if (ret == 0) {
			poll(fds, 2, -1);
			/* Nobody reads what it prints any more. */
			if (fds[1].revents & (POLLERR | POLLHUP | POLLNVAL) || ferror(stdout))
				return 0;
		}
	}
	return ret;
}

int run_monitor(const struct command *cmd, struct failure *f)
{
	struct ridge *r;
	int err = ridge_open(cmd->runtime_dir, &r);

	if (!err)
		err = monitor(cmd, r);
	if (err)
		failure_from(f, r, err);
	ridge_close(r);
	return err ? -1 : 0;
}
