/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the operations on functions share: one call, one function, one request to its PF process.
 */
#ifndef RIDGE_CONTROL_OPERATION_H
#define RIDGE_CONTROL_OPERATION_H

#include "control/registry.h"

struct operation {
	struct control *ctl;
	struct jsonrpc_call *call; /* NULL: nobody waits (any more) */
	struct function *fn;
	bool made_socket; /* bind: the socket is new */
	char what[192];   /* what was asked, as errors and the log say it */
	char who[48];
};

/* Whether an operation may begin on a function. Returns 0, or -EBUSY or -ETIMEDOUT with e set. */
int function_usable(const struct function *fn, struct error *e);

/*
 * Opens what a function needs by its parameters and does not have: image or TAP, socket; and new
 * memory for its state.
 * Returns 0, or a negative errno with e set; what was opened belongs to the function in any case.
 */
int function_open(struct function *fn, struct error *e);
int function_open_socket(struct function *fn, struct error *e);

/* Ends a function whose creation was answered with an error, but happened. */
void function_abandon(struct function *fn);

/* The spec that a PF process keeps for a function. Returns 0, or -E2BIG with e set. */
int function_spec(const struct params *p, char spec[IPC_SPEC_MAX], struct error *e);

/*
 * A new operation for a call. what: the verb and its objects, taken from the members of params with
 * these names (NULL-terminated) if they are strings. Answers the call and returns NULL when out of
 * memory.
 */
struct operation *operation_new(struct control *ctl, struct jsonrpc_call *call, const char *verb,
				struct json_object *params, const char *const *members);

/* End the operation: answer the call, if there is one, and free it. */
void operation_reply(struct operation *op, struct json_object *result);
void operation_fail(struct operation *op, struct error *e);

/* The caller hears that there was no answer in time; the operation goes on. */
void operation_late(struct operation *op, const struct ipc_reply *reply);

/* An error from a reply, as an error for the caller of verb. */
void operation_error(struct error *e, const struct ipc_reply *reply, const char *verb);

#endif
