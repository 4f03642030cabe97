/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "control/events.h"
#include "control/operation.h"

static const char *const set_members[] = { "name", NULL };

/* How a PF process is told. */
static const struct change {
	unsigned key; /* enum function_key */
	enum ipc_set_what what;
} changes[] = {
	{ FUNCTION_LINK, IPC_SET_LINK },
	{ FUNCTION_SIZE, IPC_SET_SIZE },
};

#define CHANGES ARRAY_LEN(changes)

struct set {
	struct operation *op;
	struct params want; /* all that was asked for */
	struct params sent; /* as the function is once the message under way is answered */
	unsigned next;      /* in changes: what is sent next */
};

static void set_free(struct set *s)
{
	params_free(&s->want);
	params_free(&s->sent);
	free(s);
}

static uint64_t change_value(const struct params *p, const struct change *c)
{
	if (c->key == FUNCTION_LINK)
		return !strcmp(params_text(p, c->key), "up");
	return params_number(p, c->key); /* "image" is 0 */
}

static int set_send(struct set *s, struct error *e);

/* The change that was sent last is made. */
static void set_made(struct set *s, const struct ipc_function_info *info)
{
	struct operation *op = s->op;
	struct error e;

	params_free(&op->fn->params);
	op->fn->params = s->sent;
	s->sent = (struct params){ 0 };
	function_update(op->fn, info);
	if (s->next < CHANGES) {
		if (!set_send(s, &e))
			return;
		op->fn->phase = FUNCTION_READY;
		operation_fail(op, &e);
	} else {
		op->fn->phase = FUNCTION_READY;
		log_info("%s (%s)", op->what, op->who);
		events_function(op->fn, "set");
		operation_reply(op, function_json(op->fn));
	}
	set_free(s);
}

static void set_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct set *s = request->owner;
	struct operation *op = s->op;
	const struct ipc_function_info *info = ipc_reply_function(reply);
	struct error e;

	if (reply->event == IPC_LATE) {
		operation_late(op, reply);
		return;
	}
	if (info && function_info_ok(info) && !strcmp(info->name, function_name(op->fn))) {
		set_made(s, info);
		return;
	}
	/* Lost: what it is set to is found out by who settles the end of the connection. */
	if (reply->event == IPC_DONE)
		op->fn->phase = FUNCTION_READY;
	operation_error(&e, reply, "set");
	operation_fail(op, &e);
	set_free(s);
}

/* Sends the next change; they go one by one, so that the spec is true after each. */
static int set_send(struct set *s, struct error *e)
{
	struct function *fn = s->op->fn;
	struct ipc_function_set message = { 0 };
	const struct change *c;
	int err;

	c = &changes[s->next++];
	while (s->next < CHANGES && !(s->want.given & 1u << changes[s->next].key))
		s->next++;
	if (params_copy(&s->sent, &fn->params) ||
	    params_set(&s->sent, c->key, params_text(&s->want, c->key)))
		return error_set(e, ENOMEM, "out of memory");
	err = function_spec(&s->sent, message.spec, e);
	if (err)
		return err;
	snprintf(message.name, sizeof(message.name), "%s", function_name(fn));
	message.what = c->what;
	message.value = change_value(&s->sent, c);
	fn->phase = FUNCTION_SETTING;
	err = ipc_link_send(&fn->pf->link, IPC_FUNCTION_SET, &message, IPC_SPEC_BODY(&message),
			    NULL, 0, IPC_DEADLINE_MS, set_done, s);
	if (err)
		fn->phase = FUNCTION_READY;
	return err ? error_set(e, -err, "PF %s: %s", fn->pf->name, strerror(-err)) : 0;
}

/* Everything is looked at before anything is changed. */
static int set_params(struct set *s, struct json_object *json, struct error *e)
{
	if (params_copy(&s->want, &s->op->fn->params))
		return error_set(e, ENOMEM, "out of memory");
	s->want.given = 0;
	json_object_object_foreach(json, key, value)
	{
		int err = strcmp(key, "name") ? params_change(&s->want, key, value, e) : 0;

		if (err)
			return err;
	}
	while (s->next < CHANGES && !(s->want.given & 1u << changes[s->next].key))
		s->next++;
	return s->next < CHANGES ? 0 : params_change(&s->want, NULL, NULL, e);
}

static int set_start(struct operation *op, struct json_object *json, struct error *e)
{
	struct json_object *name = NULL;
	struct set *s;
	int err;

	if (!json_object_is_type(json, json_type_object) ||
	    !json_object_object_get_ex(json, "name", &name))
		return error_params(e, "name is missing; give name");
	if (!json_object_is_type(name, json_type_string))
		return error_params(e, "name: give a string");
	op->fn = registry_find_function(op->ctl, json_object_get_string(name), e);
	if (!op->fn)
		return -ENOENT;
	err = function_usable(op->fn, e);
	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(e, ENOMEM, "out of memory");
	s->op = op;
	err = set_params(s, json, e);
	if (!err)
		err = set_send(s, e);
	if (err)
		set_free(s);
	return err;
}

void functions_set(struct control *ctl, struct jsonrpc_call *call, struct json_object *json)
{
	struct operation *op = operation_new(ctl, call, "set", json, set_members);
	struct error e;

	if (op && set_start(op, json, &e))
		operation_fail(op, &e);
}
