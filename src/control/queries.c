/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/queries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "control/pf_process.h"
#include "control/pf_revive.h"

#define STATS_FEW 64 /* functions that are asked for one by one */

struct query {
	struct control *ctl;
	enum query_kind kind;        /* QUERY_KINDS: of one function */
	struct jsonrpc_call **calls; /* that it answers */
	size_t ncalls;
	unsigned pending;
	char name[IPC_NAME_MAX];   /* of the one function, or empty */
	struct json_object *names; /* stats: of these, as keys; NULL: of all */
};

/* Of what a request was about; by name, as it may be gone when the answer comes. */
struct query_part {
	struct query *query; /* NULL: answered already */
	struct control *ctl;
	char pf[IPC_NAME_MAX];
};

static bool names_have(struct json_object *names, const char *name)
{
	return !names || json_object_object_get_ex(names, name, NULL);
}

static bool stats_want_function(const struct query *q, const struct function *fn)
{
	return fn->phase != FUNCTION_CREATING && names_have(q->names, function_name(fn));
}

/* Whether a PF has one of the functions; without names, all are asked for. */
static bool stats_want_pf(const struct query *q, const struct pf *pf)
{
	struct function *fn;

	if (!q->names)
		return true;
	list_for_each (fn, &pf->functions, node)
		if (stats_want_function(q, fn))
			return true;
	return false;
}

static struct json_object *stats_json(const struct query *q)
{
	struct json_object *o = json_object_new_object();
	struct json_object *functions = json_object_new_array(), *pfs = json_object_new_array();
	struct function *fn;
	struct pf *pf;

	list_for_each (pf, &q->ctl->pfs, node) {
		if (stats_want_pf(q, pf))
			json_object_array_add(pfs, pf_stats_json(pf));
		list_for_each (fn, &pf->functions, node)
			if (stats_want_function(q, fn))
				json_object_array_add(functions, function_stats_json(fn));
	}
	json_object_object_add(o, "functions", functions);
	json_object_object_add(o, "pfs", pfs);
	return o;
}

static struct json_object *query_json(struct query *q, struct error *e)
{
	struct function *fn;

	if (q->kind == QUERY_FUNCTIONS)
		return functions_json(q->ctl);
	if (q->kind == QUERY_PFS)
		return pfs_json(q->ctl);
	if (q->kind == QUERY_STATS)
		return stats_json(q);
	fn = registry_function(q->ctl, q->name);
	if (fn)
		return function_json(fn);
	error_set(e, ENOENT, "it is gone; make it again");
	return NULL;
}

/*
 * Many calls get one answer, of which the text is made once; each stream sends its own in its turn,
 * when it has room for it.
 */
static void query_answer(struct query *q)
{
	void (*reply)(struct jsonrpc_call *, struct json_object *) = jsonrpc_reply;
	char what[IPC_NAME_MAX + 8];
	struct json_object *result;
	struct error e;

	result = query_json(q, &e);
	if (q->ncalls > 1) {
		result = json_text(result);
		reply = jsonrpc_reply_later;
	}
	for (size_t i = 0; i < q->ncalls; i++) {
		if (result) {
			reply(q->calls[i], json_object_get(result));
			continue;
		}
		snprintf(what, sizeof(what), "show %s", q->name);
		methods_fail(q->calls[i], what, &e);
	}
	json_object_put(result);
}

static void query_ask(struct query *q);

static void query_free(struct query *q)
{
	json_object_put(q->names);
	free(q->calls);
	free(q);
}

static void query_put(struct query *q)
{
	struct control *ctl = q->ctl;
	struct query *next;

	if (--q->pending)
		return;
	query_answer(q);
	if (q->kind < QUERY_KINDS && ctl->queries[q->kind] == q) {
		next = ctl->queries_next[q->kind];
		ctl->queries[q->kind] = next;
		ctl->queries_next[q->kind] = NULL;
		if (next)
			query_ask(next);
	}
	query_free(q);
}

static void part_function(struct query_part *part, struct pf *pf,
			  const struct ipc_function_info *info)
{
	struct function *fn;

	if (!function_info_ok(info))
		return;
	fn = registry_function(part->ctl, info->name);
	if (fn && fn->pf == pf && fn->phase == FUNCTION_READY)
		function_update(fn, info);
}

static void part_take(struct query_part *part, struct pf *pf, const struct ipc_reply *reply,
		      uint16_t type)
{
	const struct ipc_function_info *function = ipc_reply_function(reply);
	const struct ipc_pf_info *info = ipc_reply_body(reply, sizeof(*info));
	struct function *fn;

	if (type == IPC_PF_INFO && info)
		pf_update(pf, info);
	else if (type != IPC_PF_INFO && function)
		part_function(part, pf, function);
	if (type != IPC_FUNCTION_INFO || reply->event != IPC_DONE || reply->error != -ENOENT)
		return;
	fn = registry_function(part->ctl, part->query ? part->query->name : "");
	if (fn && fn->pf == pf && fn->phase == FUNCTION_READY && !fn->down) {
		log_warn("PF %s does not have %s any more", pf->name, function_name(fn));
		function_free(fn);
	}
}

static void part_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct query_part *part = request->owner;
	struct pf *pf = registry_pf(part->ctl, part->pf);
	struct query *q = part->query;

	if (pf)
		part_take(part, pf, reply, request->type);
	if (reply->event == IPC_PART)
		return;
	part->query = NULL;
	if (reply->event != IPC_LATE)
		free(part);
	if (!q)
		return;
	/* The flag is what the answer shows, so it must not come after it. */
	if (reply->event == IPC_LATE)
		request->link->late(request->link);
	query_put(q);
}

static void query_send(struct query *q, struct pf *pf, enum ipc_type type, const void *body,
		       size_t len)
{
	struct query_part *part;

	/* One that did not answer still has a question, and its answer will end this state. */
	part = pf->unresponsive || pf_is_down(pf) ? NULL : calloc(1, sizeof(*part));
	if (!part)
		return;
	part->query = q;
	q->pending++;
	part->ctl = q->ctl;
	memcpy(part->pf, pf->name, sizeof(part->pf));
	if (!ipc_link_send(&pf->link, type, body, len, NULL, 0, IPC_DEADLINE_READ_MS, part_done,
			   part))
		return;
	q->pending--;
	free(part);
}

static int query_add(struct query *q, struct jsonrpc_call *call)
{
	struct jsonrpc_call **calls = reallocarray(q->calls, q->ncalls + 1, sizeof(*calls));

	if (!calls)
		return -ENOMEM;
	calls[q->ncalls++] = call;
	q->calls = calls;
	return 0;
}

/* NULL: out of memory, and the call is answered. */
static struct query *query_new(struct control *ctl, enum query_kind kind, struct jsonrpc_call *call)
{
	struct query *q = calloc(1, sizeof(*q));
	struct error e;

	if (!q || query_add(q, call)) {
		free(q);
		error_set(&e, ENOMEM, "out of memory");
		jsonrpc_fail(call, &e);
		return NULL;
	}
	q->ctl = ctl;
	q->kind = kind;
	q->pending = 1;
	return q;
}

static void query_ask_for(struct query *q, const struct function *fn)
{
	struct ipc_function_name name = { 0 };

	snprintf(name.name, sizeof(name.name), "%s", function_name(fn));
	query_send(q, fn->pf, IPC_FUNCTION_INFO, &name, sizeof(name));
}

/* Asks the PF processes for what a query of this kind shows of them. */
static void query_ask(struct query *q)
{
	bool few = q->names && json_object_object_length(q->names) <= STATS_FEW;
	struct ipc_function_list list = { 0 };
	struct function *fn;
	struct pf *pf;

	list_for_each (pf, &q->ctl->pfs, node) {
		if (q->kind == QUERY_STATS && !stats_want_pf(q, pf))
			continue;
		if (few)
			list_for_each (fn, &pf->functions, node)
				if (stats_want_function(q, fn))
					query_ask_for(q, fn);
		if (q->kind != QUERY_PFS && !few)
			query_send(q, pf, IPC_FUNCTION_LIST, &list, sizeof(list));
		if (q->kind != QUERY_FUNCTIONS)
			query_send(q, pf, IPC_PF_INFO, NULL, 0);
	}
	query_put(q);
}

/*
 * A call for all there is. PF processes are asked once at a time, whoever and however many want to
 * know: those that come meanwhile share the next query, as what is under way may be older than they.
 */
static void query_share(struct control *ctl, enum query_kind kind, struct jsonrpc_call *call)
{
	struct query **at = ctl->queries[kind] ? &ctl->queries_next[kind] : &ctl->queries[kind];
	struct error e;

	if (*at && query_add(*at, call)) {
		error_set(&e, ENOMEM, "out of memory");
		jsonrpc_fail(call, &e);
	}
	if (*at)
		return;
	*at = query_new(ctl, kind, call);
	if (*at && at == &ctl->queries[kind])
		query_ask(*at);
}

void query_function(struct control *ctl, struct function *fn, struct jsonrpc_call *call)
{
	struct query *q = query_new(ctl, QUERY_KINDS, call);

	if (!q)
		return;
	snprintf(q->name, sizeof(q->name), "%s", function_name(fn));
	query_ask_for(q, fn);
	query_put(q);
}

void queries_function_show(struct control *ctl, struct jsonrpc_call *call,
			   struct json_object *params)
{
	static const char *const members[] = { "name", NULL };
	struct function *fn;
	char what[96];
	const char *name;
	struct error e;

	if (params_strings(params, members, (const char **[]){ &name }, &e)) {
		methods_fail(call, "show", &e);
		return;
	}
	snprintf(what, sizeof(what), "show %.64s", name);
	fn = registry_find_function(ctl, name, &e);
	if (fn && fn->phase != FUNCTION_CREATING) {
		query_function(ctl, fn, call);
		return;
	}
	if (fn)
		error_set(&e, EBUSY, "it is being created; try again when that is done");
	methods_fail(call, what, &e);
}

void queries_function_list(struct control *ctl, struct jsonrpc_call *call,
			   struct json_object *params)
{
	if (methods_no_params(call, "list", params))
		query_share(ctl, QUERY_FUNCTIONS, call);
}

void queries_pf_list(struct control *ctl, struct jsonrpc_call *call, struct json_object *params)
{
	if (methods_no_params(call, "pf list", params))
		query_share(ctl, QUERY_PFS, call);
}

#define STATS_RIGHT "give name (a string) or names (an array of strings)"

/* Makes keys of the names of functions. Returns 0 or a negative errno with e set. */
static int stats_keys(struct control *ctl, struct json_object *names, struct json_object *keys,
		      struct error *e)
{
	size_t n = json_object_array_length(names);
	char what[IPC_NAME_MAX];

	if (n > ctl->functions.n && n > 1)
		return error_params(e, "names: there are %zu functions; give each once",
				    ctl->functions.n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *name = json_object_array_get_idx(names, i);

		if (!json_object_is_type(name, json_type_string))
			return error_params(e, "names: " STATS_RIGHT);
		if (!registry_find_function(ctl, json_object_get_string(name), e)) {
			snprintf(what, sizeof(what), "%s", json_object_get_string(name));
			error_prefix(e, what);
			return -ENOENT;
		}
		json_object_object_add(keys, json_object_get_string(name), NULL);
	}
	return 0;
}

void queries_function_stats(struct control *ctl, struct jsonrpc_call *call,
			    struct json_object *params)
{
	struct json_object *names = NULL, *keys = json_object_new_object();
	struct query *q = NULL;
	struct error e;
	int err;

	err = params_names(params, STATS_RIGHT, NULL, &names, &e);
	if (!err) {
		err = stats_keys(ctl, names, keys, &e);
		json_object_put(names);
	}
	if (err)
		methods_fail(call, "stats", &e);
	else if (json_object_object_length(keys) == 0)
		query_share(ctl, QUERY_STATS, call);
	else
		q = query_new(ctl, QUERY_STATS, call);
	if (!q) {
		json_object_put(keys);
		return;
	}
	q->names = keys;
	query_ask(q);
}
