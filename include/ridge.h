/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libridge: PCI functions on demand, from a program.
 *
 * A handle is a connection to one ridged. Calls wait for their answer, which may take 10 s where a
 * PF process has to do something. What they return is JSON text; docs/json-rpc.md describes it,
 * method by method.
 *
 *	struct ridge *r;
 *	char *function;
 *	const struct ridge_pair keys[] = { { "image", "/srv/disk.img" }, { NULL, NULL } };
 *
 *	if (ridge_open(NULL, &r) || ridge_create(r, "blk", "disk0", keys, &function))
 *		errx(1, "%s", ridge_error(r));
 *
 * Functions that can fail return 0 or a negative errno, and ridge_error() of the handle then says
 * in one line what was asked, what is wrong and what would be right. All strings are UTF-8. Results
 * are the caller's, to be freed with free(); a result pointer may be NULL if it is of no interest,
 * and *result is NULL after a failure.
 *
 * A handle may be used by one thread at a time; different handles are independent. No function
 * changes signal dispositions or is interrupted by signals.
 *
 * What is in this header stays: symbols are versioned, and none is changed or removed within
 * soname 0.
 */
#ifndef RIDGE_H
#define RIDGE_H

#ifdef __cplusplus
extern "C" {
#endif

struct ridge;
struct ridge_batch;

/* A parameter as a command line gives it: sizes take K, M, G; booleans are true and false. */
struct ridge_pair {
	const char *key; /* NULL ends an array of pairs */
	const char *value;
};

/*
 * Connects to the ridged whose runtime directory this is; NULL: $RIDGE_RUNTIME_DIR, or /run/ridge
 * for root, or $XDG_RUNTIME_DIR/ridge. When it fails, *r can be given to ridge_error() and
 * ridge_close() only; it is NULL when there is no memory (-ENOMEM). -ENOENT and -ECONNREFUSED:
 * ridged is not running; -EACCES: it is not for you.
 */
int ridge_open(const char *runtime_dir, struct ridge **r);

/* r may be NULL. */
void ridge_close(struct ridge *r);

/*
 * Why the last call on this handle failed. The text lives until the next call on it. Never NULL,
 * and empty if nothing failed. r may be NULL (no memory).
 */
const char *ridge_error(const struct ridge *r);

/* The JSON-RPC code of that error, or 0 if it was not ridged that said it. */
int ridge_error_code(const struct ridge *r);

/* The error's data as JSON text, or NULL. Lives as the text does. */
const char *ridge_error_data(const struct ridge *r);

/*
 * Any method. params is the text of a JSON object, or NULL. A call on a handle whose connection was
 * lost connects again first.
 *
 * Errors: what data.errno of the answer says (docs/json-rpc.md lists them); -EINVAL: ridged does
 * not take the parameters, or params is not JSON; -EOPNOTSUPP: there is no such method; -EPIPE: the
 * connection ended without an answer, and what was asked may or may not be done; -EPROTO: the
 * answer makes no sense; -ENOMEM.
 */
int ridge_call(struct ridge *r, const char *method, const char *params, char **result);

/* Functions. keys may be NULL. Results are objects that describe the function, but where said. */
int ridge_create(struct ridge *r, const char *type, const char *name, const struct ridge_pair *keys,
		 char **result);
/*
 * Many functions, all or none of them: functions is the text of a JSON array of objects, each what
 * function.create takes. The result is an array of objects that describe them, in the same order.
 * After a failure ridge_error_data() has the index of the one that it is about.
 */
int ridge_create_batch(struct ridge *r, const char *functions, char **result);
/* names ends with NULL. force: although a VMM is attached. The result says which were destroyed. */
int ridge_destroy(struct ridge *r, const char *const *names, int force, char **result);
int ridge_show(struct ridge *r, const char *name, char **result);
int ridge_bind(struct ridge *r, const char *name, const char *driver, char **result);
int ridge_set(struct ridge *r, const char *name, const struct ridge_pair *keys, char **result);
/* An array of functions. */
int ridge_list(struct ridge *r, char **result);
/* Counters of the functions with these names (ended by NULL), or of all: names is NULL or empty. */
int ridge_stats(struct ridge *r, const char *const *names, char **result);

/* PFs. The results describe them, but that of remove. */
int ridge_pf_add(struct ridge *r, const char *name, const struct ridge_pair *keys, char **result);
int ridge_pf_list(struct ridge *r, char **result);
int ridge_pf_remove(struct ridge *r, const char *name, char **result);
/* Starts a PF again that is held, as its process died too often. */
int ridge_pf_restart(struct ridge *r, const char *name, char **result);
/*
 * Gives a PF to a Linux host in a virtual machine, and takes it back. keys, of the socket: owner,
 * group, mode. force: although a VMM is connected.
 */
int ridge_export(struct ridge *r, const char *name, const struct ridge_pair *keys, char **result);
int ridge_unexport(struct ridge *r, const char *name, int force, char **result);

/* Ends all functions, all PFs and ridged. */
int ridge_shutdown(struct ridge *r, char **result);

/*
 * Many calls in one message, which ridged works on at the same time: none must build on another of
 * the same batch. At most 1024. A batch is run once, and freed before its handle is closed.
 */
int ridge_batch_new(struct ridge *r, struct ridge_batch **b);
/* Returns the call's index, from 0, or a negative errno (-E2BIG: the batch is full). */
int ridge_batch_add(struct ridge_batch *b, const char *method, const char *params);
/* 0: all calls were answered, be it with errors. */
int ridge_batch_run(struct ridge_batch *b);
/* What ridge_call() would have returned. *result belongs to the batch. */
int ridge_batch_result(const struct ridge_batch *b, int index, const char **result);
/* Why call index failed; empty if it did not. Belongs to the batch. */
const char *ridge_batch_error(const struct ridge_batch *b, int index);
void ridge_batch_free(struct ridge_batch *b);

/*
 * Subscribes to events, on a connection of their own, with the first call. Returns a descriptor to
 * wait on (POLLIN) once ridge_events_next() said that there is nothing now, not before: events that
 * came together are read together. Or a negative errno. The descriptor belongs to the handle.
 */
int ridge_events_fd(struct ridge *r);

/*
 * The next event: returns 1 with *event, the text of an object (docs/json-rpc.md, Events), the
 * caller's to free(); 0 if there is none now; or a negative errno, -EPIPE when there will be no
 * more: ridged ended, or dropped a subscriber that was too slow. ridge_events_fd() subscribes anew
 * then.
 */
int ridge_events_next(struct ridge *r, char **event);

#ifdef __cplusplus
}
#endif

#endif
