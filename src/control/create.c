/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/creation.h"
#include "control/events.h"
#include "control/net.h"
#include "control/operation.h"
#include "control/pf_process.h"
#include "control/pf_revive.h"
#include "control/queries.h"
#include "control/registry_file.h"

static const char *const create_members[] = { "type", "name", NULL };

/* An exported PF has room for dynamic functions, how many more it knows best. */
static bool pf_full(const struct pf *pf)
{
	return !pf->exported && pf->nfunctions >= pf->max_vfs;
}

static int pf_make(struct control *ctl, const char *type, struct pf **pf, struct error *e)
{
	struct json_object *json = json_object_new_object();
	struct params params;
	char name[32];
	unsigned n = 0;
	int err;

	do
		snprintf(name, sizeof(name), "%s%u", type, n++);
	while (registry_pf(ctl, name));
	json_object_object_add(json, "name", json_object_new_string(name));
	json_object_object_add(json, "type", json_object_new_string(type));
	err = params_parse(&params, &params_pf, json, e);
	json_object_put(json);
	if (!err) {
		err = pf_start(ctl, &params, pf, e);
		params_free(&params);
	}
	return err;
}

/*
 * The first PF of the type that can take a function, or a new one if there is none of the type,
 * which is *made as well.
 */
static int pf_any(struct control *ctl, const char *type, struct pf **out, struct pf **made,
		  struct error *e)
{
	struct pf *pf, *first = NULL;

	list_for_each (pf, &ctl->pfs, node) {
		if (strcmp(pf->type, type) != 0 || pf->phase == PF_STOPPING || pf->exported)
			continue;
		/* Found, and did not say yet what it is. */
		if (!pf->max_vfs)
			continue;
		if (!pf_full(pf) && !pf->unresponsive && !pf_usable(pf, e)) {
			*out = pf;
			return 0;
		}
		if (!first)
			first = pf;
	}
	if (!first) {
		int err = pf_make(ctl, type, out, e);

		*made = err ? NULL : *out;
		return err;
	}
	if (pf_is_down(first))
		return pf_usable(first, e);
	if (pf_full(first))
		return error_set(e, ENOSPC,
				 "PF %s has all its %u slots in use; add another PF of type %s",
				 first->name, first->max_vfs, type);
	return error_set(
		e, ETIMEDOUT,
		"PF %s (pid %d) does not answer; look at its process, or add another PF of "
		"type %s",
		first->name, (int)first->pid, type);
}

static int pf_named(struct control *ctl, const char *name, const char *type, struct pf **out,
		    struct error *e)
{
	struct pf *pf = registry_pf(ctl, name);
	char names[NAMES_TEXT_MAX];
	int err;

	if (!pf) {
		registry_pf_names(ctl, names);
		return error_set(e, ENOENT, "there is no PF %s; %s, or add it", name, names);
	}
	if (pf->type[0] && strcmp(pf->type, type) != 0)
		return error_set(e, EINVAL, "PF %s is of type %s; give a PF of type %s", name,
				 pf->type, type);
	err = pf_usable(pf, e);
	if (err)
		return err;
	if (pf_full(pf))
		return error_set(e, ENOSPC, "PF %s has all its %u slots in use; give another PF",
				 name, pf->max_vfs);
	*out = pf;
	return 0;
}

static int pf_choose(struct control *ctl, const struct params *p, struct pf **pf, struct pf **made,
		     struct error *e)
{
	const char *name = params_text(p, FUNCTION_PF), *type = params_text(p, FUNCTION_TYPE);

	return name ? pf_named(ctl, name, type, pf, e) : pf_any(ctl, type, pf, made, e);
}

static void abandoned_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct function *fn = request->owner;

	/* Lost: whether it exists is found out by who settles the end of the connection. */
	if (reply->event == IPC_DONE)
		function_free(fn);
	else if (reply->event == IPC_LOST)
		fn->phase = FUNCTION_CREATING;
}

void function_abandon(struct function *fn)
{
	struct ipc_function_destroy destroy = { .flags = IPC_DESTROY_FORCE };

	log_warn("create %s: done after it was given up on, undoing it", function_name(fn));
	fn->phase = FUNCTION_DESTROYING;
	snprintf(destroy.name, sizeof(destroy.name), "%s", function_name(fn));
	if (ipc_link_send(&fn->pf->link, IPC_FUNCTION_DESTROY, &destroy, sizeof(destroy), NULL, 0,
			  IPC_DEADLINE_MS, abandoned_done, fn))
		log_err("destroy %s: PF %s cannot be told", function_name(fn), fn->pf->name);
}

static void create_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct operation *op = request->owner;
	const struct ipc_function_info *info = ipc_reply_function(reply);
	struct error e;

	if (reply->event == IPC_LATE) {
		operation_late(op, reply);
		return;
	}
	/* Lost: whether it exists is found out by who settles the end of the connection. */
	if (reply->event == IPC_DONE) {
		if (info && !function_update(op->fn, info)) {
			if (!op->call) {
				function_abandon(op->fn);
				operation_reply(op, NULL);
				return;
			}
			op->fn->phase = FUNCTION_READY;
			log_info("%s: slot %u of PF %s, driver %s (%s)", op->what, op->fn->slot,
				 op->fn->pf->name, info->driver, op->who);
			events_function(op->fn, "created");
			operation_reply(op, function_json(op->fn));
			return;
		}
		function_free(op->fn);
	}
	operation_error(&e, reply, "create");
	operation_fail(op, &e);
}

int creation_send(struct function *fn, uint64_t batch, unsigned deadline_ms,
		  void (*done)(struct ipc_request *, struct ipc_reply *), void *owner,
		  struct error *e)
{
	const struct params *p = &fn->params;
	const char *serial = params_text(p, FUNCTION_SERIAL);
	const char *legacy = params_text(p, FUNCTION_LEGACY);
	const char *mac = params_text(p, FUNCTION_MAC), *link = params_text(p, FUNCTION_LINK);
	struct ipc_function_create create = {
		.batch = batch,
		/* One that is made again has one. */
		.slot = fn->slot ? fn->slot : (uint32_t)params_number(p, FUNCTION_SLOT),
		.queues = (uint16_t)params_number(p, FUNCTION_QUEUES),
		.queue_size = (uint16_t)params_number(p, FUNCTION_QUEUE_SIZE),
		.mtu = (uint16_t)params_number(p, FUNCTION_MTU),
	};
	int fds[FUNCTION_FDS];
	size_t nfds;
	int err;

	snprintf(create.name, sizeof(create.name), "%s", function_name(fn));
	snprintf(create.driver, sizeof(create.driver), "%s", params_text(p, FUNCTION_DRIVER));
	snprintf(create.serial, sizeof(create.serial), "%s", serial ? serial : "");
	if (params_bool(p, FUNCTION_READONLY))
		create.flags |= IPC_FUNCTION_READONLY;
	if (params_bool(p, FUNCTION_DIRECT))
		create.flags |= IPC_FUNCTION_DIRECT;
	if (legacy && !strcmp(legacy, "only"))
		create.flags |= IPC_FUNCTION_LEGACY_ONLY;
	if (params_bool(p, FUNCTION_PACKED))
		create.flags |= IPC_FUNCTION_PACKED;
	if (params_bool(p, FUNCTION_TRUST))
		create.flags |= IPC_FUNCTION_TRUST;
	if (link && !strcmp(link, "down"))
		create.flags |= IPC_FUNCTION_LINK_DOWN;
	if (mac)
		params_mac(mac, create.mac);
	err = function_spec(p, create.spec, e);
	if (err)
		return err;
	create.fds = function_fds(fn, fds, &nfds);
	err = ipc_link_send(&fn->pf->link, IPC_FUNCTION_CREATE, &create, IPC_SPEC_BODY(&create),
			    fds, nfds, deadline_ms, done, owner);
	return err ? error_set(e, -err, "PF %s: %s", fn->pf->name, strerror(-err)) : 0;
}

int creation_same(struct function *fn, const struct params *asked, struct error *e)
{
	char diff[ERROR_TEXT_MAX / 2], slot[16];
	struct params have;
	unsigned n;
	int err = function_usable(fn, e);

	if (err == -EBUSY || err == -EIO)
		return err;
	snprintf(slot, sizeof(slot), "%u", fn->slot);
	err = params_copy(&have, &fn->params);
	if (!err)
		err = params_set(&have, FUNCTION_PF, fn->pf->name);
	if (!err)
		err = params_set(&have, FUNCTION_SLOT, slot);
	if (err)
		return error_set(e, ENOMEM, "out of memory");
	n = params_diff(&have, asked, diff, sizeof(diff));
	params_free(&have);
	/* Who may create says so. */
	if (!n && fn->hearsay) {
		fn->hearsay = false;
		registry_file_changed(fn->pf);
	}
	return n ? error_set(e, EEXIST,
			     "it exists with other parameters: %s; ask for the same, destroy it "
			     "first, or give another name",
			     diff)
		 : 0;
}

int creation_open(struct control *ctl, struct params *params, struct function **out,
		  struct pf **made, struct error *e)
{
	struct function *fn;
	struct pf *pf;
	int err;

	*made = NULL;
	err = pf_choose(ctl, params, &pf, made, e);
	if (err)
		return err;
	if (function_new(pf, params, &fn))
		return error_set(e, ENOMEM, "out of memory");
	err = strcmp(pf->type, "net") ? 0 : net_address(fn, e);
	if (!err)
		err = function_open(fn, e);
	if (err)
		function_free(fn);
	else
		*out = fn;
	return err;
}

/* Returns 0 (the operation is under way, or ended) or a negative errno with e set. */
static int create_again(struct operation *op, struct function *fn, const struct params *asked,
			struct error *e)
{
	int err = creation_same(fn, asked, e);

	if (err)
		return err;
	query_function(op->ctl, fn, op->call);
	free(op);
	return 0;
}

static int create_new(struct operation *op, struct params *params, struct error *e)
{
	struct pf *made;
	int err = creation_open(op->ctl, params, &op->fn, &made, e);

	if (err)
		return err;
	err = creation_send(op->fn, 0, IPC_DEADLINE_MS, create_done, op, e);
	if (err)
		function_free(op->fn);
	return err;
}

void functions_create(struct control *ctl, struct jsonrpc_call *call, struct json_object *json)
{
	struct operation *op = operation_new(ctl, call, "create", json, create_members);
	struct function *fn;
	struct params params;
	struct error e;
	int err;

	if (!op)
		return;
	err = params_parse(&params, &params_function, json, &e);
	if (!err) {
		fn = registry_function(ctl, params_text(&params, FUNCTION_NAME));
		err = fn ? create_again(op, fn, &params, &e) : create_new(op, &params, &e);
		params_free(&params);
	}
	if (err)
		operation_fail(op, &e);
}
