/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/events.h"
#include "control/operation.h"
#include "control/queries.h"

static const char *const bind_members[] = { "name", "driver", NULL };

/* Takes back what was made for a driver that the PF process refused. */
static void bind_undo(struct operation *op)
{
	if (op->made_socket) {
		function_unlink_socket(op->fn);
		fd_close(&op->fn->fds[FUNCTION_FD_LISTEN]);
	}
	op->fn->phase = FUNCTION_READY;
}

static void bind_finish(struct operation *op, const struct ipc_function_info *info)
{
	struct function *fn = op->fn;
	struct error e;

	params_fill(&fn->params);
	if (params_driver_serves(info->driver, &e) == 0) {
		function_unlink_socket(fn);
		fd_close(&fn->fds[FUNCTION_FD_LISTEN]);
	}
	fn->phase = FUNCTION_READY;
	log_info("%s (%s)", op->what, op->who);
	events_function(fn, "bound");
	operation_reply(op, function_json(fn));
}

static void bind_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct operation *op = request->owner;
	const struct ipc_function_info *info = ipc_reply_function(reply);
	struct error e;

	if (reply->event == IPC_LATE) {
		operation_late(op, reply);
		return;
	}
	/* Lost: what it is bound to is found out by who settles the end of the connection. */
	if (reply->event == IPC_DONE) {
		if (info && !function_update(op->fn, info)) {
			bind_finish(op, info);
			return;
		}
		bind_undo(op);
	}
	operation_error(&e, reply, "bind");
	operation_fail(op, &e);
}

/* The spec as it is once the function is bound to driver. */
static int bind_spec(const struct function *fn, const char *driver, char spec[IPC_SPEC_MAX],
		     struct error *e)
{
	struct params params;
	int err;

	if (params_copy(&params, &fn->params))
		return error_set(e, ENOMEM, "out of memory");
	if (params_set(&params, FUNCTION_DRIVER, driver) || params_fill(&params))
		err = error_set(e, ENOMEM, "out of memory");
	else
		err = function_spec(&params, spec, e);
	params_free(&params);
	return err;
}

static int bind_send(struct operation *op, const char *driver, struct error *e)
{
	struct function *fn = op->fn;
	struct ipc_function_bind message = { 0 };
	int serves = params_driver_serves(driver, e);
	int err = serves < 0 ? serves : bind_spec(fn, driver, message.spec, e);

	if (err)
		return err;
	snprintf(message.name, sizeof(message.name), "%s", function_name(fn));
	snprintf(message.driver, sizeof(message.driver), "%s", driver);
	fn->phase = FUNCTION_BINDING;
	if (serves && fn->fds[FUNCTION_FD_LISTEN] < 0) {
		err = function_open_socket(fn, e);
		op->made_socket = !err;
		message.fds = IPC_FD_LISTEN;
	}
	if (!err) {
		err = ipc_link_send(&fn->pf->link, IPC_FUNCTION_BIND, &message,
				    IPC_SPEC_BODY(&message), &fn->fds[FUNCTION_FD_LISTEN],
				    message.fds ? 1 : 0, IPC_DEADLINE_MS, bind_done, op);
		if (err)
			error_set(e, -err, "PF %s: %s", fn->pf->name, strerror(-err));
	}
	if (err)
		bind_undo(op);
	return err;
}

static int bind_start(struct operation *op, struct json_object *json, struct error *e)
{
	const char *name, *driver;
	int err;

	err = params_strings(json, bind_members, (const char **[]){ &name, &driver }, e);
	if (err)
		return err;
	op->fn = registry_find_function(op->ctl, name, e);
	if (!op->fn)
		return -ENOENT;
	err = function_usable(op->fn, e);
	if (err)
		return err;
	if (strcmp(params_text(&op->fn->params, FUNCTION_DRIVER), driver) != 0)
		return bind_send(op, driver, e);
	query_function(op->ctl, op->fn, op->call);
	free(op);
	return 0;
}

void functions_bind(struct control *ctl, struct jsonrpc_call *call, struct json_object *json)
{
	struct operation *op = operation_new(ctl, call, "bind", json, bind_members);
	struct error e;

	if (op && bind_start(op, json, &e))
		operation_fail(op, &e);
}
