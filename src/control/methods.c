/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/log.h"
#include "control/export.h"
#include "control/functions.h"
#include "control/pf_process.h"
#include "control/pf_revive.h"
#include "control/queries.h"
#include "control/registry_file.h"
#include "control/server.h"

#define PF_ASKED_MAX 96 /* a verb, and the beginning of a PF's name */

void methods_fail(struct jsonrpc_call *call, const char *what, struct error *e)
{
	if (!call)
		return;
	error_prefix(e, what);
	log_debug("%s (%s)", e->text, call->who);
	jsonrpc_fail(call, e);
}

bool methods_no_params(struct jsonrpc_call *call, const char *what, struct json_object *params)
{
	static const char *const none[] = { NULL };
	struct error e;

	if (!params_strings(params, none, NULL, &e))
		return true;
	methods_fail(call, what, &e);
	return false;
}

/* pf.add for a PF that exists. Returns 0 if it is as asked, or a negative errno with e set. */
static int pf_again(struct pf *pf, const struct params *asked, struct error *e)
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
	if (pf->adopting)
		return pf_usable(pf, e);
	/* Who may add it says so. */
	if (pf->hearsay) {
		pf->hearsay = false;
		registry_file_changed(pf);
	}
	return 0;
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

/* The PF that a call names, and what was asked of it; or NULL, and the call is answered. */
static struct pf *pf_asked(struct control *ctl, struct jsonrpc_call *call, struct json_object *json,
			   const char *verb, char what[PF_ASKED_MAX])
{
	static const char *const members[] = { "name", NULL };
	const char *name;
	struct error e;
	struct pf *pf;

	snprintf(what, PF_ASKED_MAX, "%s", verb);
	if (params_strings(json, members, (const char **[]){ &name }, &e)) {
		methods_fail(call, what, &e);
		return NULL;
	}
	snprintf(what, PF_ASKED_MAX, "%s %.64s", verb, name);
	pf = registry_find_pf(ctl, name, &e);
	if (!pf)
		methods_fail(call, what, &e);
	return pf;
}

static void pf_remove(struct control *ctl, struct jsonrpc_call *call, struct json_object *json)
{
	char what[PF_ASKED_MAX];
	struct pf *pf = pf_asked(ctl, call, json, "pf remove", what);
	struct error e;

	if (!pf)
		return;
	if (pf->nfunctions) {
		error_set(&e, EBUSY, "it has %u function%s; destroy %s first", pf->nfunctions,
			  pf->nfunctions == 1 ? "" : "s", pf->nfunctions == 1 ? "it" : "them");
	} else if (pf->peer_pid) {
		error_set(&e, EBUSY,
			  "a VMM (pid %d) is using it; stop the VMM, or unexport it "
			  "with --force first",
			  (int)pf->peer_pid);
	} else if (pf->phase == PF_HELD || !pf_usable(pf, &e)) {
		log_info("%s (%s)", what, call->who);
		pf->remove_call = call;
		pf_stop(pf);
		return;
	}
	methods_fail(call, what, &e);
}

static void pf_restart_call(struct control *ctl, struct jsonrpc_call *call,
			    struct json_object *json)
{
	char what[PF_ASKED_MAX];
	struct pf *pf = pf_asked(ctl, call, json, "pf restart", what);
	struct error e;

	if (!pf)
		return;
	log_info("%s (%s)", what, call->who);
	if (pf_restart(pf, call, &e))
		methods_fail(call, what, &e);
}

static void system_info(struct control *ctl, struct jsonrpc_call *call, struct json_object *params)
{
	struct json_object *o;

	if (!methods_no_params(call, "system info", params))
		return;
	o = json_object_new_object();
	json_object_object_add(o, "version", json_object_new_string(RIDGE_VERSION));
	json_object_object_add(o, "pid", json_object_new_int(getpid()));
	json_object_object_add(o, "runtime_dir", json_object_new_string(ctl->runtime_dir));
	jsonrpc_reply(call, o);
}

static void system_shutdown(struct control *ctl, struct jsonrpc_call *call,
			    struct json_object *params)
{
	struct pf *pf, *tmp;

	if (!methods_no_params(call, "shutdown", params))
		return;
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
	if (!methods_no_params(call, "subscribe", params))
		return;
	log_debug("events subscribed (%s)", call->who);
	server_subscribe(call);
}

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
	{ "pf.export", pf_export },
	{ "pf.unexport", pf_unexport },
	{ "pf.restart", pf_restart_call },
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
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (!strcmp(methods[i].name, name)) {
			methods[i].run(ctl, call, params);
			return;
		}
	error_set(&e, 0, "there is no such method; docs/json-rpc.md lists them");
	e.code = ERROR_METHOD_NOT_FOUND;
	methods_fail(call, name, &e);
}
