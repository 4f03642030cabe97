/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/operation.h"

#define DESTROY_RIGHT \
	"give name (a string) or names (an array of strings), and force (true or false)"

struct destroy {
	struct jsonrpc_call *call;
	unsigned pending;
	struct json_object *destroyed; /* names */
	struct json_object *failed;    /* name, message, errno */
	struct error first;            /* of failed */
	char what[192];
};

static void destroy_failed(struct destroy *d, const char *name, struct error *e)
{
	struct json_object *o = json_object_new_object();
	const char *symbol = strerrorname_np(e->err);
	char what[IPC_NAME_MAX + 16];

	snprintf(what, sizeof(what), "destroy %s", name);
	error_prefix(e, what);
	if (!json_object_array_length(d->failed))
		d->first = *e;
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "message", json_object_new_string(e->text));
	json_object_object_add(o, "errno", json_object_new_string(symbol ? symbol : "EIO"));
	json_object_array_add(d->failed, o);
}

static void destroy_put(struct destroy *d)
{
	struct json_object *o;

	if (--d->pending)
		return;
	o = json_object_new_object();
	json_object_object_add(o, "destroyed", d->destroyed);
	if (json_object_array_length(d->failed)) {
		json_object_object_add(o, "failed", d->failed);
		jsonrpc_fail_data(d->call, &d->first, o);
	} else {
		json_object_put(d->failed);
		jsonrpc_reply(d->call, o);
	}
	free(d);
}

struct destroy_one {
	struct destroy *destroy; /* NULL: the caller was told that there is no answer */
	struct function *fn;
	char name[IPC_NAME_MAX];
	char who[48];
};

static void destroy_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct destroy_one *one = request->owner;
	struct destroy *d = one->destroy;
	struct error e;

	/* One that the PF process does not have is gone as well. */
	if (reply->event == IPC_DONE && (!reply->error || reply->error == -ENOENT)) {
		log_info("destroy %s (%s)", one->name, one->who);
		function_free(one->fn);
		if (d)
			json_object_array_add(d->destroyed, json_object_new_string(one->name));
	} else {
		/* Lost: whether it exists is found out by who settles the end of the connection. */
		if (reply->event == IPC_DONE)
			one->fn->phase = FUNCTION_READY;
		operation_error(&e, reply, "destroy");
		if (d)
			destroy_failed(d, one->name, &e);
	}
	one->destroy = NULL;
	if (reply->event != IPC_LATE)
		free(one);
	if (d)
		destroy_put(d);
}

static void destroy_send(struct destroy *d, struct function *fn, bool force)
{
	struct ipc_function_destroy message = { .flags = force ? IPC_DESTROY_FORCE : 0 };
	struct destroy_one *one = calloc(1, sizeof(*one));
	int err = -ENOMEM;
	struct error e;

	if (fn->pf->phase == PF_HELD || fn->down) {
		log_info("destroy %s (%s)", function_name(fn), d->call->who);
		json_object_array_add(d->destroyed, json_object_new_string(function_name(fn)));
		function_free(fn);
		free(one);
		return;
	}
	if (one) {
		one->destroy = d;
		one->fn = fn;
		snprintf(one->name, sizeof(one->name), "%s", function_name(fn));
		memcpy(one->who, d->call->who, sizeof(one->who));
		memcpy(message.name, one->name, sizeof(message.name));
		d->pending++;
		err = ipc_link_send(&fn->pf->link, IPC_FUNCTION_DESTROY, &message, sizeof(message),
				    NULL, 0, IPC_DEADLINE_MS, destroy_done, one);
	}
	if (!err)
		return;
	fn->phase = FUNCTION_READY;
	error_set(&e, -err, "%s", strerror(-err));
	destroy_failed(d, function_name(fn), &e);
	if (one)
		d->pending--;
	free(one);
}

static const char *name_at(struct json_object *names, size_t i)
{
	return json_object_get_string(json_object_array_get_idx(names, i));
}

/* No process has it: it ends by being forgotten. */
static bool function_stays_down(const struct function *fn)
{
	return fn->phase == FUNCTION_READY && !fn->pf->reviving &&
	       (fn->pf->phase == PF_HELD || (fn->down && fn->pf->phase == PF_READY));
}

/* Finds a function that may be destroyed now. Returns NULL with e set, prefix and all. */
static struct function *destroy_find(struct control *ctl, const char *name, struct error *e)
{
	struct function *fn = registry_find_function(ctl, name, e);
	char what[IPC_NAME_MAX + 16];

	if (fn && (function_stays_down(fn) || !function_usable(fn, e)))
		return fn;
	snprintf(what, sizeof(what), "destroy %s", name);
	error_prefix(e, what);
	return NULL;
}

/* Takes all functions for us, or none. Returns 0 or a negative errno with e set. */
static int destroy_mark(struct control *ctl, struct json_object *names, struct error *e)
{
	size_t n = json_object_array_length(names);

	for (size_t i = 0; i < n; i++) {
		struct function *fn = NULL;

		if (json_object_is_type(json_object_array_get_idx(names, i), json_type_string))
			fn = destroy_find(ctl, name_at(names, i), e);
		else
			error_params(e, "destroy: names: " DESTROY_RIGHT);
		if (fn) {
			fn->phase = FUNCTION_DESTROYING;
			continue;
		}
		while (i > 0)
			registry_function(ctl, name_at(names, --i))->phase = FUNCTION_READY;
		return -e->err;
	}
	return 0;
}

static int destroy_start(struct control *ctl, struct jsonrpc_call *call, struct json_object *names,
			 bool force, struct error *e)
{
	struct destroy *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return error_set(e, ENOMEM, "out of memory");
	err = destroy_mark(ctl, names, e);
	if (err) {
		free(d);
		return err;
	}
	d->call = call;
	d->destroyed = json_object_new_array();
	d->failed = json_object_new_array();
	d->pending = 1; /* so that it lives to the end of this loop */
	for (size_t i = 0; i < json_object_array_length(names); i++)
		destroy_send(d, registry_function(ctl, name_at(names, i)), force);
	destroy_put(d);
	return 0;
}

void functions_destroy(struct control *ctl, struct jsonrpc_call *call, struct json_object *params)
{
	struct json_object *names;
	bool force = false;
	struct error e;
	int err = params_names(params, DESTROY_RIGHT, &force, &names, &e);

	if (!err && !json_object_array_length(names)) {
		json_object_put(names);
		err = error_params(&e, "no name: " DESTROY_RIGHT);
	}
	if (err) {
		methods_fail(call, "destroy", &e);
		return;
	}
	err = destroy_start(ctl, call, names, force, &e);
	json_object_put(names);
	if (err)
		jsonrpc_fail(call, &e);
}
