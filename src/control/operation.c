/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/operation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct operation *operation_new(struct control *ctl, struct jsonrpc_call *call, const char *verb,
				struct json_object *params, const char *const *members)
{
	struct operation *op = calloc(1, sizeof(*op));
	struct json_object *value;
	struct error e;

	if (!op) {
		error_set(&e, ENOMEM, "out of memory");
		methods_fail(call, verb, &e);
		return NULL;
	}
	op->ctl = ctl;
	op->call = call;
	memcpy(op->who, call->who, sizeof(op->who));
	snprintf(op->what, sizeof(op->what), "%s", verb);
	for (; *members; members++) {
		size_t used = strlen(op->what);

		if (json_object_is_type(params, json_type_object) &&
		    json_object_object_get_ex(params, *members, &value) &&
		    json_object_is_type(value, json_type_string))
			snprintf(op->what + used, sizeof(op->what) - used, " %.64s",
				 json_object_get_string(value));
	}
	error_clean_text(op->what);
	return op;
}

void operation_reply(struct operation *op, struct json_object *result)
{
	if (op->call)
		jsonrpc_reply(op->call, result);
	else
		json_object_put(result);
	free(op);
}

void operation_fail(struct operation *op, struct error *e)
{
	methods_fail(op->call, op->what, e);
	free(op);
}

void operation_late(struct operation *op, const struct ipc_reply *reply)
{
	struct error e;

	operation_error(&e, reply, "");
	methods_fail(op->call, op->what, &e);
	op->call = NULL;
}

void operation_error(struct error *e, const struct ipc_reply *reply, const char *verb)
{
	switch (reply->event) {
	case IPC_LATE:
		error_set(e, ETIMEDOUT, "%s; look with list whether it was done after all",
			  reply->text);
		break;
	case IPC_LOST:
		error_set(e, EIO, "%s", reply->text);
		break;
	default:
		error_set(e, reply->error ? -reply->error : EPROTO, "%s",
			  reply->text[0] ? error_unprefixed(reply->text, verb)
			  : reply->error ? strerror(-reply->error)
					 : "the PF process gave an answer that makes no sense");
	}
}
