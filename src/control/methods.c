/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "control/functions.h"
#include "control/pf_process.h"
#include "control/queries.h"
#include "control/server.h"

void methods_fail(struct jsonrpc_call *call, const char *what, struct error *e)
{
	if (!call)
		return;
	error_prefix(e, what);
	log_debug("%s (%s)", e->text, call->who);
	jsonrpc_fail(call, e);
}

/* pf.add for a PF that exists. Returns 0 if it is as asked, or a negative errno with e set. */
static int pf_again(const struct pf *pf, const struct params *asked, struct error *e)
{
	char diff[ERROR_TEXT_MAX / 2];

	if (pf->phase == PF_STOPPING || pf->add_call)
		return error_set(e, EBUSY, "it is being %s; try again when that is done",
				 pf->add_call ? "added" : "ended");
	if (params_diff(&pf->params, asked, diff, sizeof(diff)))
		return error_set(e, EEXIST,
				 "it exists with other parameters: %s; ask for the same, or give "
				 "another name",
				 diff);
	return pf->adopting ? pf_usable(pf, e) : 0;
}

static void pf_add(struct control *ctl, struct jsonrpc_call *call, struct json_object *json)
{
	char what[IPC_NAME_MAX + 16] = "pf add";
	struct params params;
	struct error e;
	struct pf *pf;

	if (params_parse(&params, &params_pf, json, &e)) {
		methods_fail(call, what, &e);
		return;
	}
	snprintf(what, sizeof(what), "pf add %s", params_text(&params, PF_NAME));
	pf = registry_pf(ctl, params_text(&params, PF_NAME));
	if (pf ? pf_again(pf, &params, &e) : pf_start(ctl, &params, &pf, &e))
		methods_fail(call, what, &e);
	else if (pf->phase == PF_STARTING)
		pf->add_call = call; /* answered with the first answer of its process */
	else
		jsonrpc_reply(call, pf_json(pf));
	params_free(&params);
}

static void pf_remove(struct control *ctl, struct jsonrpc_call *call, struct json_object *json)
{
	static const char *const members[] = { "name", NULL };
	char what[96] = "pf remove", names[256];
	const char *name;
	struct error e;
	struct pf *pf;

	if (params_strings(json, members, (const char **[]){ &name }, &e)) {
		methods_fail(call, what, &e);
		return;
	}
	snprintf(what, sizeof(what), "pf remove %.64s", name);
	pf = registry_pf(ctl, name);
	if (!pf) {
		registry_pf_names(ctl, names, sizeof(names));
		error_set(&e, ENOENT, "there is no such PF; %s", names);
	} else if (pf->nfunctions) {
		error_set(&e, EBUSY, "it has %u function%s; destroy %s first", pf->nfunctions,
			  pf->nfunctions == 1 ? "" : "s", pf->nfunctions == 1 ? "it" : "them");
	} else if (!pf_usable(pf, &e)) {
		log_info("%s (%s)", what, call->who);
		pf->remove_call = call;
		pf_stop(pf);
		return;
	}
	methods_fail(call, what, &e);
}

static void system_info(struct control *ctl, struct jsonrpc_call *call, struct json_object *params)
{
	struct json_object *o = json_object_new_object();

	(void)params;
	json_object_object_add(o, "version", json_object_new_string(RIDGE_VERSION));
	json_object_object_add(o, "pid", json_object_new_int(getpid()));
	json_object_object_add(o, "runtime_dir", json_object_new_string(ctl->runtime_dir));
	jsonrpc_reply(call, o);
}

static void system_shutdown(struct control *ctl, struct jsonrpc_call *call,
			    struct json_object *params)
{
	struct pf *pf, *tmp;

	(void)params;
	log_info("shutdown (%s)", call->who);
	ctl->stopping = true;
	ctl->stop_call = call;
	if (list_empty(&ctl->pfs))
		loop_stop(ctl->loop);
	list_for_each_safe (pf, tmp, &ctl->pfs, node)
		pf_stop(pf);
}

static void events_subscribe(struct control *ctl, struct jsonrpc_call *call,
			     struct json_object *params)
{
	(void)ctl;
	(void)params;
	log_debug("events subscribed (%s)", call->who);
	server_subscribe(call);
}

#ifdef RIDGE_FAULTS
static void fault_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct jsonrpc_call *call = request->owner;
	struct error e;

	if (!call)
		return;
	request->owner = NULL;
	if (reply->event == IPC_DONE && !reply->error) {
		jsonrpc_reply(call, json_object_new_object());
		return;
	}
	error_set(&e, -reply->error, "%s", reply->text[0] ? reply->text : strerror(-reply->error));
	methods_fail(call, "debug fault", &e);
}

static void debug_fault(struct control *ctl, struct jsonrpc_call *call, struct json_object *params)
{
	static const char *const members[] = { "name", "kind", "value", NULL };
	const char *name, *kind, *value;
	struct ipc_fault fault = { 0 };
	struct function *fn;
	struct error e;
	struct pf *pf;
	int err;

	err = params_strings(params, members, (const char **[]){ &name, &kind, &value }, &e);
	if (!err) {
		fault.kind = !strcmp(kind, "admin-stall")    ? IPC_FAULT_ADMIN_STALL
			     : !strcmp(kind, "backend-hang") ? IPC_FAULT_BACKEND_HANG
							     : 0;
		fault.value = !strcmp(value, "1");
		fn = registry_function(ctl, name);
		pf = fn ? fn->pf : registry_pf(ctl, name);
		snprintf(fault.name, sizeof(fault.name), "%s", name);
		if (!fault.kind || !pf)
			err = error_params(&e, "give a name, kind admin-stall or backend-hang, and "
					       "value 0 or 1");
		else
			err = ipc_link_send(&pf->link, IPC_FAULT, &fault, sizeof(fault), NULL, 0,
					    IPC_DEADLINE_MS, fault_done, call);
		if (fault.kind && pf && err)
			error_set(&e, -err, "PF %s: %s", pf->name, strerror(-err));
	}
	if (err)
		methods_fail(call, "debug fault", &e);
}
#endif

struct method {
	const char *name;
	void (*run)(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);
};

static const struct method methods[] = {
	{ "function.create", functions_create },
	{ "function.create_batch", functions_create_batch },
	{ "function.destroy", functions_destroy },
	{ "function.list", queries_function_list },
	{ "function.show", queries_function_show },
	{ "function.bind", functions_bind },
	{ "function.set", functions_set },
	{ "function.stats", queries_function_stats },
	{ "events.subscribe", events_subscribe },
	{ "pf.add", pf_add },
	{ "pf.list", queries_pf_list },
	{ "pf.remove", pf_remove },
	{ "system.info", system_info },
	{ "system.shutdown", system_shutdown },
#ifdef RIDGE_FAULTS
	{ "debug.fault", debug_fault },
#endif
};

void methods_call(struct jsonrpc_call *call, const char *name, struct json_object *params)
{
	struct control *ctl = call->context;
	struct error e;

	if (ctl->stopping) {
		error_set(&e, ESHUTDOWN, "ridged is being shut down; start it again");
		methods_fail(call, name, &e);
		return;
	}
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (!strcmp(methods[i].name, name)) {
			methods[i].run(ctl, call, params);
			return;
		}
	error_set(&e, 0, "there is no such method; docs/json-rpc.md lists them");
	e.code = ERROR_METHOD_NOT_FOUND;
	methods_fail(call, name, &e);
}
