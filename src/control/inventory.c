/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/inventory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/journal.h"
#include "control/net.h"
#include "control/operation.h"
#include "control/pf_process.h"
#include "control/registry_file.h"
#include "control/events.h"
#include "control/runtime.h"

void inventory_end(struct pf *pf)
{
	struct control *ctl = pf->ctl;

	if (!pf->adopting)
		return;
	pf->adopting = false;
	if (--ctl->adopting == 0 && ctl->adopted)
		ctl->adopted(ctl);
}

/*
 * Whether ridged wrote down these parameters itself. What a bind or a set changed since is the PF
 * process's to say.
 */
static bool recorded(struct json_object *record, const struct params *said)
{
	struct params ours;
	struct error e;
	bool same;

	if (!record ||
	    params_parse_text(&ours, said->set,
			      json_object_to_json_string_ext(record, JSON_C_TO_STRING_PLAIN), &e))
		return false;
	same = params_same(&ours, said);
	params_free(&ours);
	return same;
}

static struct json_object *record_pf(const struct pf *pf)
{
	struct json_object *record = NULL;

	json_object_object_get_ex(pf->known, "params", &record);
	return record;
}

static struct json_object *record_function(const struct pf *pf, const char *name)
{
	struct json_object *functions, *record = NULL;

	if (json_object_object_get_ex(pf->known, "functions", &functions))
		json_object_object_get_ex(functions, name, &record);
	return record;
}

void inventory_known(struct pf *pf)
{
	struct json_object *type;

	pf->known = registry_file_known(pf->ctl, pf->name);
	/* It does not become one of another type, that is given other descriptors. */
	if (json_object_object_get_ex(record_pf(pf), "type", &type))
		snprintf(pf->type, sizeof(pf->type), "%s", json_object_get_string(type));
}

void inventory_unlink(const struct pf *pf)
{
	struct json_object *functions = NULL;
	char path[SOCKET_PATH_MAX];
	struct error e;

	json_object_object_get_ex(pf->known, "functions", &functions);
	if (!functions)
		return;
	json_object_object_foreach(functions, name, record)
	{
		(void)record;
		if (!params_name_wrong(name) && !registry_function(pf->ctl, name) &&
		    !runtime_socket(pf->ctl->runtime_dir, "functions", name, path, sizeof(path),
				    &e))
			unlink(path);
	}
}

static void params_found(struct pf *pf, const struct ipc_pf_info *info)
{
	struct error e;

	if (params_parse_text(&pf->params, &params_pf, info->spec, &e))
		log_warn("PF %s: %s", pf->name, e.text);
	pf->params.set = &params_pf;
	pf->hearsay = !recorded(record_pf(pf), &pf->params);
	if (pf->hearsay)
		log_warn("PF %s: its parameters are known from its process alone", pf->name);
}

static void info_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct pf *pf = request->owner;
	const struct ipc_pf_info *info = ipc_reply_body(reply, sizeof(*info));

	if (reply->event != IPC_DONE)
		return;
	if (info && info->name[0] == '\0') {
		/* Its ridged ended between starting it and telling it what to be. */
		pf_kill(pf, "it was never set up");
		return;
	}
	if (!info || pf_update(pf, info)) {
		pf_doubt(pf, reply->error ? reply->text : "what it says of itself makes no sense");
		return;
	}
	if (info->pid != pf->pid)
		log_debug("PF %s says that it is process %d; it is %d", pf->name, (int)info->pid,
			  (int)pf->pid);
	if (!pf->params.set)
		params_found(pf, info);
}

/* A function that this ridged does not know yet. */
static struct function *function_found(struct pf *pf, const struct ipc_function_info *info)
{
	struct params params;
	struct function *fn = NULL;
	struct error e;
	bool hearsay;

	if (pf->adopted) {
		log_err("PF %s says that it has %s, which nobody made", pf->name, info->name);
		return NULL;
	}
	if (params_parse_text(&params, &params_function, info->spec, &e)) {
		log_warn("%s: %s", info->name, e.text);
		params = (struct params){ .set = &params_function };
	}
	hearsay = !recorded(record_function(pf, info->name), &params);
	if (!registry_name_free(pf->ctl, info->name, hearsay)) {
		log_err("PF %s has a function %s, and so has another PF", pf->name, info->name);
	} else if (params_set(&params, FUNCTION_NAME, info->name) ||
		   params_set(&params, FUNCTION_TYPE, info->type) ||
		   params_set(&params, FUNCTION_DRIVER, info->driver) ||
		   function_new(pf, &params, &fn)) {
		log_err("%s: out of memory", info->name);
	} else {
		fn->hearsay = hearsay;
		if (!info->batch || journal_has(pf->ctl->runtime_dir, info->batch))
			fn->phase = FUNCTION_READY;
		if (hearsay)
			log_debug("%s: its parameters are known from PF %s alone", info->name,
				  pf->name);
		if (!strcmp(info->type, "net") && net_join(fn))
			log_err("%s: out of memory", info->name);
	}
	params_free(&params);
	return fn;
}

/* What we have is ours, whatever is sent; but for a socket that a bind opened or closed. */
static void function_take_fds(struct function *fn, const struct ipc_function_info *info,
			      struct ipc_reply *reply)
{
	size_t next = 0;

	for (unsigned i = 0; i < FUNCTION_FDS; i++) {
		bool has = info->fds & (1u << i);

		if (has && fn->fds[i] < 0 && next < reply->nfds)
			fn->fds[i] = fd_take(&reply->fds[next]);
		else if (!has && i == FUNCTION_FD_LISTEN)
			fd_close(&fn->fds[i]);
		next += has;
	}
}

static void function_settle(struct function *fn, const struct ipc_function_info *info,
			    struct ipc_reply *reply)
{
	struct params params;
	struct error e;

	if (function_update(fn, info))
		return;
	function_take_fds(fn, info, reply);
	fn->seen = true;
	/* It was being made again when the connection was lost. */
	if (fn->down) {
		fn->down = false;
		events_function(fn, "restarted");
	}
	/* Whether it was set when the connection was lost is in the spec. */
	if (fn->phase == FUNCTION_SETTING &&
	    !params_parse_text(&params, &params_function, info->spec, &e)) {
		params_take_state(&fn->params, &params);
		params_free(&params);
	}
	/* One whose creation went down with the connection failed for its caller. */
	if (fn->phase != FUNCTION_CREATING)
		fn->phase = FUNCTION_READY;
	if (info->fds & IPC_FD_LISTEN)
		runtime_socket(fn->pf->ctl->runtime_dir, "functions", info->name, fn->socket,
			       sizeof(fn->socket), &e);
	else
		function_unlink_socket(fn);
	if (fn->phase == FUNCTION_READY && !fn->announced)
		events_function(fn, "created");
}

static void function_listed(struct pf *pf, const struct ipc_function_info *info,
			    struct ipc_reply *reply)
{
	struct function *fn;

	if (!function_info_ok(info) || strcmp(info->type, pf->type) != 0) {
		log_err("PF %s lists a function that makes no sense", pf->name);
		return;
	}
	fn = registry_function(pf->ctl, info->name);
	if (!fn || fn->pf != pf)
		fn = function_found(pf, info);
	if (fn)
		function_settle(fn, info, reply);
}

static void commit_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct pf *pf = request->owner;

	if (reply->event == IPC_DONE && reply->error)
		log_err("PF %s does not keep a batch: %s", pf->name, reply->text);
}

/* Functions whose batch is finished, which their process may not have heard. */
static void commit_again(struct pf *pf)
{
	struct ipc_batch commit = { 0 };
	struct function *fn;

	list_for_each (fn, &pf->functions, node) {
		if (fn->phase != FUNCTION_READY || !fn->batch || fn->batch == commit.batch)
			continue;
		commit.batch = fn->batch;
		ipc_link_send(&pf->link, IPC_BATCH_COMMIT, &commit, sizeof(commit), NULL, 0,
			      IPC_DEADLINE_MS, commit_done, pf);
	}
}

static void list_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct pf *pf = request->owner;
	const struct ipc_function_info *info = ipc_reply_function(reply);
	struct function *fn, *tmp;

	if (reply->event == IPC_PART) {
		if (info && pf->params.set)
			function_listed(pf, info, reply);
		return;
	}
	if (reply->event != IPC_DONE)
		return;
	if (reply->error || !pf->params.set) {
		pf_doubt(pf, reply->error ? reply->text : "it does not say what it is");
		return;
	}
	list_for_each_safe (fn, tmp, &pf->functions, node) {
		/* Never made, or ended after all, when the connection was lost. */
		if (fn->down)
			continue;
		if (!fn->seen)
			function_free(fn);
		else if (fn->phase == FUNCTION_CREATING && !fn->creation)
			function_abandon(fn);
	}
	pf->adopted = true;
	pf->unresponsive = false;
	pf->text[0] = '\0';
	pf->link.descriptors = false;
	json_object_put(pf->known);
	pf->known = NULL;
	commit_again(pf);
	if (pf->phase == PF_STARTING) {
		pf->phase = PF_READY;
		events_pf(pf, "added");
	}
	log_info("PF %s: found, pid %d, %u functions", pf->name, (int)pf->pid, pf->nfunctions);
	inventory_end(pf);
}

void inventory_take(struct pf *pf)
{
	struct ipc_function_list list = { .flags = IPC_LIST_FDS };
	struct function *fn;

	if (!pf->adopting) {
		pf->adopting = true;
		pf->ctl->adopting++;
	}
	list_for_each (fn, &pf->functions, node)
		fn->seen = false;
	if (ipc_link_send(&pf->link, IPC_PF_INFO, NULL, 0, NULL, 0, IPC_DEADLINE_READ_MS, info_done,
			  pf) ||
	    ipc_link_send(&pf->link, IPC_FUNCTION_LIST, &list, sizeof(list), NULL, 0,
			  IPC_DEADLINE_READ_MS, list_done, pf))
		log_err("PF %s: cannot be asked what it has", pf->name);
}
