/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * function.create_batch: many functions, all of them or none.
 *
 * All entries are looked at before anything is done, some at a time. Then requests go out without
 * waiting for answers, a chunk per iteration of the loop, so that other clients are served in
 * between. The first failure stops that; what was made is destroyed as its answers come in, and the
 * call fails when nothing of it is left.
 *
 * The PF processes know the functions of a batch by its number until they are told that it is
 * finished (IPC_BATCH_COMMIT). If ridged dies before, the next one destroys them. A batch on
 * several PFs is noted in the journal before the first of them is told, and any other when a PF
 * process did not say that it heard, before the caller is answered: the next ridged tells them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "control/creation.h"
#include "control/events.h"
#include "control/functions.h"
#include "control/journal.h"
#include "control/operation.h"
#include "control/pf_process.h"

#define BATCH_CHUNK 32
#define BATCH_WHAT  "create batch"
#define BATCH_TYPES 3     /* each may need a PF of its own, made for it */
#define LOOK_UNITS  8     /* of loop_turn_over(): an entry takes 2 or 3 us */
#define BATCHES_ALL 65536 /* entries of all batches under way: some of the longest messages' */

enum creation_phase {
	CREATION_ASKED,
	CREATION_MADE,
	CREATION_UNDOING,
	CREATION_ENDED, /* or not begun */
};

struct creation {
	struct create_batch *batch;
	enum creation_phase phase;
	struct function *fn; /* that was made for it, and is not gone */
	struct params params;
	struct name_node by_name;
	char name[IPC_NAME_MAX];
	struct json_object *result;
};

struct create_batch {
	struct list node; /* in control.batches */
	struct control *ctl;
	struct jsonrpc_call *call;
	uint64_t id;
	struct loop_work work;
	bool running;              /* all entries were looked at, and it is not being freed */
	struct json_object *array; /* of the call: gone with it */
	struct names seen;
	size_t n;
	size_t looked;  /* the entries from it on were not looked at yet ... */
	size_t next;    /* ... and those from it on are not begun */
	size_t waiting; /* answers that the caller has to wait for */
	size_t refs;    /* requests that may still be answered */
	bool failed, committing, answered;
	bool journaled;           /* it is in the journal */
	bool uncertain;           /* a PF process did not say that it heard of the end */
	struct json_object *stay; /* names of what could not be undone; NULL: there is none */
	struct error why;         /* it failed */
	size_t why_index;
	unsigned deadline_ms;
	unsigned nmade;
	char made[BATCH_TYPES][IPC_NAME_MAX]; /* PFs that were started for it */
	struct creation entries[];
};

static void batch_work(struct loop_work *work);

static void batch_kick(struct create_batch *b)
{
	if (b->running)
		loop_work_queue(b->ctl->loop, &b->work, batch_work);
}

static void entry_free(struct create_batch *b)
{
	struct creation *c = &b->entries[--b->n];

	params_free(&c->params);
	json_object_put(c->result);
	b->ctl->nbatched--;
}

static void batch_delete(struct create_batch *b)
{
	while (b->n)
		entry_free(b);
	names_free(&b->seen);
	json_object_put(b->stay);
	loop_work_cancel(&b->work);
	list_del(&b->node);
	free(b);
}

static void batch_free_some(struct loop_work *work)
{
	struct create_batch *b = container_of(work, struct create_batch, work);
	struct loop_turn turn;

	loop_turn_begin(&turn);
	while (b->n && !loop_turn_over(&turn, 1))
		entry_free(b);
	if (b->n)
		loop_work_again(b->ctl->loop, &b->work, batch_free_some);
	else
		batch_delete(b);
}

static void batch_free(struct create_batch *b)
{
	b->running = false;
	batch_free_some(&b->work);
}

/* The first failure is the one that is told. */
static void entry_failed(struct creation *c, const struct error *e)
{
	struct create_batch *b = c->batch;
	char where[IPC_NAME_MAX + 32];

	if (b->failed || b->committing)
		return;
	b->failed = true;
	b->why = *e;
	b->why_index = (size_t)(c - b->entries);
	snprintf(where, sizeof(where), "entry %zu (%s)", b->why_index, c->name);
	error_prefix(&b->why, where);
	batch_kick(b);
}

/* Telling PF processes of the end */

static void commit_put(struct create_batch *b, bool heard)
{
	struct error e;

	b->waiting--;
	if (heard)
		return;
	b->uncertain = true;
	/* Before the caller hears of it: if we die, the next ridged is to know. */
	if (!b->journaled && journal_add(b->ctl->runtime_dir, b->id, &e))
		log_err("%s: %s", BATCH_WHAT, e.text);
	b->journaled = true;
}

static void commit_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct create_batch *b = request->owner;

	if (reply->event != IPC_LATE)
		b->refs--;
	if (!request->late || reply->event == IPC_LATE)
		commit_put(b, reply->event == IPC_DONE && !reply->error);
	batch_kick(b);
}

/*
 * The PF process is told that its functions stay. If it cannot be told now, it is when its
 * inventory is taken.
 */
static void commit_send(struct create_batch *b, struct pf *pf)
{
	struct ipc_batch commit = { .batch = b->id };

	pf->batch = b->id;
	b->waiting++;
	b->refs++;
	if (!ipc_link_send(&pf->link, IPC_BATCH_COMMIT, &commit, sizeof(commit), NULL, 0,
			   IPC_DEADLINE_MS, commit_done, b))
		return;
	b->refs--;
	commit_put(b, false);
}

/* The function is made, or stays. */
static void entry_commit(struct creation *c)
{
	struct function *fn = c->fn;

	fn->phase = FUNCTION_READY;
	fn->creation = NULL;
	c->fn = NULL;
	events_function(fn, "created");
	if (fn->pf->batch != c->batch->id)
		commit_send(c->batch, fn->pf);
}

/* Undoing */

/* The function is not ours any more: who settles the end of the connection takes it from here. */
static void entry_let_go(struct creation *c)
{
	c->fn->phase = FUNCTION_CREATING;
	c->fn->creation = NULL;
	c->fn = NULL;
	c->phase = CREATION_ENDED;
}

/* It could not be undone: it is a function as any other, and who asked for the batch is told. */
static void entry_stays(struct creation *c)
{
	struct create_batch *b = c->batch;

	if (!b->stay)
		b->stay = json_object_new_array();
	json_object_array_add(b->stay, json_object_new_string(c->name));
	entry_commit(c);
}

static void undo_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct creation *c = request->owner;
	struct create_batch *b = c->batch;
	bool waited = c->phase == CREATION_UNDOING;

	c->phase = CREATION_ENDED;
	if (reply->event != IPC_LATE)
		b->refs--;
	if (waited)
		b->waiting--;
	batch_kick(b);
	if (!c->fn || reply->event == IPC_LATE)
		return;
	if (reply->event == IPC_LOST) {
		entry_let_go(c);
	} else if (!reply->error || reply->error == -ENOENT) {
		function_free(c->fn);
	} else {
		log_err("%s: %s: it stays: %s", BATCH_WHAT, c->name, reply->text);
		entry_stays(c);
	}
}

static void entry_undo(struct creation *c)
{
	struct create_batch *b = c->batch;
	struct ipc_function_destroy destroy = { .flags = IPC_DESTROY_FORCE };

	memcpy(destroy.name, c->name, sizeof(destroy.name));
	if (ipc_link_send(&c->fn->pf->link, IPC_FUNCTION_DESTROY, &destroy, sizeof(destroy), NULL,
			  0, b->deadline_ms, undo_done, c)) {
		entry_let_go(c);
		return;
	}
	c->phase = CREATION_UNDOING;
	c->fn->phase = FUNCTION_DESTROYING;
	b->waiting++;
	b->refs++;
}

void creation_gone(struct function *fn)
{
	struct creation *c = fn->creation;
	struct error e;

	if (!c)
		return;
	fn->creation = NULL;
	c->fn = NULL;
	if (c->phase != CREATION_MADE)
		return;
	c->phase = CREATION_ENDED;
	error_set(&e, EIO, "PF %s is gone, and it with it; try again", fn->pf->name);
	entry_failed(c, &e);
}

/* Making */

static void entry_done(struct ipc_request *request, struct ipc_reply *reply)
{
	const struct ipc_function_info *info = ipc_reply_function(reply);
	struct creation *c = request->owner;
	struct create_batch *b = c->batch;
	bool waited = c->phase == CREATION_ASKED;
	struct error e;

	if (waited)
		b->waiting--;
	if (reply->event != IPC_LATE)
		b->refs--;
	c->phase = CREATION_ENDED;
	if (reply->event == IPC_DONE && info && c->fn && !function_update(c->fn, info)) {
		/* One that was too late is undone with the rest. */
		c->phase = CREATION_MADE;
		/* That is work to do while the PF process makes the next one, not when all are. */
		c->result = json_text(function_brief_json(c->fn));
	} else {
		operation_error(&e, reply, "create");
		entry_failed(c, &e);
		if (c->fn && reply->event == IPC_LOST)
			entry_let_go(c);
		else if (c->fn && reply->event == IPC_DONE)
			function_free(c->fn);
	}
	batch_kick(b);
}

static void note_made(struct create_batch *b, const struct pf *made)
{
	if (made && b->nmade < BATCH_TYPES)
		snprintf(b->made[b->nmade++], sizeof(b->made[0]), "%s", made->name);
}

static int entry_make(struct creation *c, struct error *e)
{
	struct create_batch *b = c->batch;
	struct pf *made;
	int err = creation_open(b->ctl, &c->params, &c->fn, &made, e);

	note_made(b, made);
	if (err)
		return err;
	err = creation_send(c->fn, b->id, b->deadline_ms, entry_done, c, e);
	if (err) {
		function_free(c->fn);
		c->fn = NULL;
		return err;
	}
	c->fn->creation = c;
	c->phase = CREATION_ASKED;
	b->waiting++;
	b->refs++;
	return 0;
}

static void entry_start(struct creation *c)
{
	struct function *fn = registry_function(c->batch->ctl, c->name);
	struct error e;
	int err;

	err = fn ? creation_same(fn, &c->params, &e) : entry_make(c, &e);
	if (err)
		entry_failed(c, &e);
	else if (fn)
		c->result = function_brief_json(fn);
}

/* The end */

/* Whether functions of more than one PF were made. */
static bool batch_spans(const struct create_batch *b)
{
	const struct pf *pf = NULL;

	for (size_t i = 0; i < b->n; i++) {
		const struct function *fn = b->entries[i].fn;

		if (fn && pf && fn->pf != pf)
			return true;
		if (fn)
			pf = fn->pf;
	}
	return false;
}

/* From here on they are made. */
static void batch_commit(struct create_batch *b)
{
	struct error e;

	if (batch_spans(b)) {
		if (journal_add(b->ctl->runtime_dir, b->id, &e)) {
			entry_failed(&b->entries[0], &e);
			return;
		}
		b->journaled = true;
	}
	b->committing = true;
	for (size_t i = 0; i < b->n; i++)
		if (b->entries[i].fn)
			entry_commit(&b->entries[i]);
}

static void batch_reply(struct create_batch *b)
{
	struct json_object *array = json_object_new_array();

	if (b->journaled && !b->uncertain)
		journal_remove(b->ctl->runtime_dir, b->id);
	for (size_t i = 0; i < b->n; i++) {
		json_object_array_add(array, b->entries[i].result);
		b->entries[i].result = NULL;
	}
	log_info("%s: %zu functions (%s)", BATCH_WHAT, b->n, b->call->who);
	jsonrpc_reply(b->call, array);
}

/* Ends the PFs that were started for it. True while one is still there. */
static bool made_pfs_left(struct create_batch *b)
{
	bool left = false;

	for (unsigned i = 0; i < b->nmade; i++) {
		struct pf *pf = registry_pf(b->ctl, b->made[i]);

		if (!pf || pf->nfunctions || pf->add_call)
			continue;
		pf_stop(pf);
		left = true;
	}
	return left;
}

/* Adds to why it failed what could not be undone. */
static void say_what_stays(struct create_batch *b)
{
	size_t n = json_object_array_length(b->stay), used = strlen(b->why.text);
	const char *first = json_object_get_string(json_object_array_get_idx(b->stay, 0));
	char more[32] = "";

	if (n > 1)
		snprintf(more, sizeof(more), " and %zu more", n - 1);
	snprintf(b->why.text + used, sizeof(b->why.text) - used,
		 "; %s%s could not be undone, destroy %s", first, more, n > 1 ? "them" : "it");
}

static void batch_fail(struct create_batch *b)
{
	struct json_object *data = json_object_new_object();

	json_object_object_add(data, "index", json_object_new_int64((int64_t)b->why_index));
	json_object_object_add(data, "name", json_object_new_string(b->entries[b->why_index].name));
	error_prefix(&b->why, BATCH_WHAT);
	if (b->stay) {
		say_what_stays(b);
		json_object_object_add(data, "stay", json_object_get(b->stay));
	}
	log_info("%s (%s)", b->why.text, b->call->who);
	jsonrpc_fail_data(b->call, &b->why, data);
}

/* True if there is more of it to do. */
static bool batch_undo(struct create_batch *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < b->next; i++) {
		if (b->entries[i].phase != CREATION_MADE)
			continue;
		if (n++ == BATCH_CHUNK) {
			batch_kick(b);
			return true;
		}
		entry_undo(&b->entries[i]);
	}
	return false;
}

static void batch_go_on(struct create_batch *b)
{
	size_t end = b->n - b->next > BATCH_CHUNK ? b->next + BATCH_CHUNK : b->n;
	struct error e;

	if (b->ctl->stopping) {
		error_set(&e, ESHUTDOWN, "ridged is being shut down; start it again");
		entry_failed(&b->entries[b->next], &e);
	}
	while (!b->failed && b->next < end)
		entry_start(&b->entries[b->next++]);
	if (!b->failed && b->next < b->n)
		batch_kick(b);
}

static void batch_work(struct loop_work *work)
{
	struct create_batch *b = container_of(work, struct create_batch, work);

	if (!b->failed && b->next < b->n)
		batch_go_on(b);
	if (b->failed && batch_undo(b))
		return;
	if (b->waiting || (!b->failed && b->next < b->n))
		return;
	if (!b->failed && !b->committing)
		batch_commit(b);
	if (!b->answered && !b->waiting) {
		/* It may have failed just now, with all of it to be undone. */
		if (b->failed && !b->committing && batch_undo(b))
			return;
		if (b->waiting || (b->failed && made_pfs_left(b)))
			return;
		b->answered = true;
		if (b->failed)
			batch_fail(b);
		else
			batch_reply(b);
	}
	if (b->answered && !b->refs)
		batch_free(b);
}

void create_batches_kick(struct control *ctl)
{
	struct create_batch *b;

	list_for_each (b, &ctl->batches, node)
		batch_kick(b);
}

void create_batches_end(struct control *ctl)
{
	while (!list_empty(&ctl->batches)) {
		struct create_batch *b = list_first(&ctl->batches, struct create_batch, node);

		if (!b->answered)
			jsonrpc_reply(b->call, NULL);
		batch_delete(b);
	}
}

/* Reading */

static int entry_parse(struct create_batch *b, size_t i, struct json_object *json, struct error *e)
{
	struct creation *c = &b->entries[i], *other;
	struct json_object *name;
	struct name_node *node;
	char where[IPC_NAME_MAX + 32];
	int err;

	c->batch = b;
	c->phase = CREATION_ENDED;
	/* For the error that may come, before it is known to be a name. */
	if (json_object_is_type(json, json_type_object) &&
	    json_object_object_get_ex(json, "name", &name) &&
	    json_object_is_type(name, json_type_string))
		snprintf(c->name, sizeof(c->name), "%s", json_object_get_string(name));
	error_clean_text(c->name);
	err = json ? params_parse(&c->params, &params_function, json, e)
		   : error_params(e, "give an object as function.create takes it");
	if (!err) {
		node = names_find(&b->seen, c->name);
		other = node ? container_of(node, struct creation, by_name) : NULL;
		if (other)
			err = error_params(e, "entry %zu has this name, too; give each its own",
					   (size_t)(other - b->entries));
		else if (names_add(&b->seen, &c->by_name, c->name))
			err = error_set(e, ENOMEM, "out of memory");
	}
	if (err) {
		if (c->name[0])
			snprintf(where, sizeof(where), "entry %zu (%s)", i, c->name);
		else
			snprintf(where, sizeof(where), "entry %zu", i);
		error_prefix(e, where);
	}
	return err;
}

static int array_of(struct json_object *params, struct json_object **array, struct error *e)
{
	if (!json_object_is_type(params, json_type_object) ||
	    !json_object_object_get_ex(params, "functions", array) ||
	    json_object_object_length(params) != 1 ||
	    !json_object_is_type(*array, json_type_array) || !json_object_array_length(*array))
		return error_params(e, "give functions, an array of objects as function.create "
				       "takes them, and nothing else");
	return 0;
}

/* What is wrong with it before anything was done. data: where, or NULL. */
static void batch_refuse(struct jsonrpc_call *call, struct error *e, struct json_object *data)
{
	error_prefix(e, BATCH_WHAT);
	log_debug("%s (%s)", e->text, call->who);
	jsonrpc_fail_data(call, e, data);
}

/* All entries were looked at, or one is wrong. */
static void batch_looked(struct create_batch *b, int err, struct error *e)
{
	struct json_object *data;

	if (!err && getrandom(&b->id, sizeof(b->id), 0) != sizeof(b->id))
		err = error_set(e, EIO, "no random number");
	b->id |= 1; /* 0 is no batch */
	names_free(&b->seen);
	if (!err) {
		jsonrpc_more(b->call, NULL);
		b->running = true;
		batch_kick(b);
		return;
	}
	data = json_object_new_object();
	json_object_object_add(data, "index", json_object_new_int64((int64_t)b->looked));
	if (b->looked < b->n && b->entries[b->looked].name[0])
		json_object_object_add(data, "name",
				       json_object_new_string(b->entries[b->looked].name));
	batch_refuse(b->call, e, data);
	b->answered = true;
	batch_free(b);
}

/* Looks at as many entries as there is time for. */
static void batch_look(struct jsonrpc_call *call)
{
	struct create_batch *b = call->state;
	struct loop_turn turn;
	struct error e;
	int err = 0;

	if (!call->rpc) {
		/* The caller is gone, and nothing was done. */
		jsonrpc_reply(call, NULL);
		b->answered = true;
		batch_free(b);
		return;
	}
	loop_turn_begin(&turn);
	for (; !err && b->looked < b->n; b->looked += !err) {
		if (loop_turn_over(&turn, LOOK_UNITS))
			return;
		err = entry_parse(b, b->looked, json_object_array_get_idx(b->array, b->looked), &e);
	}
	batch_looked(b, err, &e);
}

void functions_create_batch(struct control *ctl, struct jsonrpc_call *call,
			    struct json_object *params)
{
	struct json_object *array;
	struct create_batch *b;
	struct error e;
	size_t n;

	if (array_of(params, &array, &e)) {
		batch_refuse(call, &e, NULL);
		return;
	}
	n = json_object_array_length(array);
	b = ctl->nbatched + n > BATCHES_ALL ? NULL
					    : calloc(1, sizeof(*b) + n * sizeof(b->entries[0]));
	if (!b) {
		error_set(&e, EAGAIN, "too many functions are being made; try again later");
		batch_refuse(call, &e, NULL);
		return;
	}
	ctl->nbatched += n;
	b->ctl = ctl;
	b->call = call;
	b->array = array;
	b->n = n;
	b->deadline_ms = IPC_DEADLINE_MS + (unsigned)n * CREATE_EACH_MS;
	list_add_tail(&ctl->batches, &b->node);
	call->state = b;
	jsonrpc_more(call, batch_look);
	batch_look(call);
}
