/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ridge: the command line of ridged. A verb is one JSON-RPC call (docs/json-rpc.md) and one way to
 * show its result to people; with -j the result is shown as it is.
 *
 *   ridge.c   options and help
 *   verbs.c   each verb: arguments to params, the call, the result; stats.c, batch.c, monitor.c
 *             likewise
 *   client.c  the call, by libridge (include/ridge.h)
 *   output.c  tables, objects, errors
 */
#ifndef RIDGE_CLI_CLIENT_H
#define RIDGE_CLI_CLIENT_H

#include <json-c/json.h>
#include <stdbool.h>

#include "ridge.h"

/* Why a verb failed, as it is told. */
struct failure {
	bool usage;               /* the command line was not understood */
	int code;                 /* JSON-RPC's */
	char symbol[32];          /* an errno's name, or empty */
	char text[1200];          /* one line, without "ridge: " */
	struct json_object *data; /* the error's data, or NULL */
};

__attribute__((format(printf, 3, 4))) void failure_set(struct failure *f, int err, const char *fmt,
						       ...);

/* From the error of a handle after a call that returned err. */
void failure_from(struct failure *f, const struct ridge *r, int err);

/*
 * Calls a method of the ridged in dir (NULL: the default directory) and waits for its answer.
 * params is consumed. Returns 0 with the result (which may be NULL, JSON's null), or -1 with f set.
 */
int client_call(const char *dir, const char *method, struct json_object *params,
		struct json_object **result, struct failure *f);

#endif
