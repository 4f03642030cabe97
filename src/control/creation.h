/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a function is made, by itself (create.c) or as one of a batch (create_batch.c): a PF is
 * chosen, what the function needs is opened, its PF process is asked. Until that answered, and a
 * batch until all of it was answered, it is FUNCTION_CREATING: nobody else sees it.
 */
#ifndef RIDGE_CONTROL_CREATION_H
#define RIDGE_CONTROL_CREATION_H

#include "control/registry.h"

/* 10 ms for each function that is asked for at once, for they are made one after another. */
#define CREATE_EACH_MS 10

/*
 * Makes a function as params say, which are taken over, and opens what it needs. Returns 0, or a
 * negative errno with e set and nothing left, but perhaps a PF: *made is the PF that was started
 * for it, or NULL.
 */
int creation_open(struct control *ctl, struct params *params, struct function **fn,
		  struct pf **made, struct error *e);

/*
 * Asks the PF process. batch: see ipc_function_create. Returns 0 or a negative errno with e set;
 * the function is the caller's in any case.
 */
int creation_send(struct function *fn, uint64_t batch, unsigned deadline_ms,
		  void (*done)(struct ipc_request *, struct ipc_reply *), void *owner,
		  struct error *e);

/*
 * Whether a function that exists is as asked, and may be talked about; what was hearsay is so no
 * more. Returns 0, or a negative errno with e set (-EEXIST: it is another).
 */
int creation_same(struct function *fn, const struct params *asked, struct error *e);

/* A PF is gone: batches may wait for that. */
void create_batches_kick(struct control *ctl);

/* ridged ends. What the PF processes have of unfinished batches is left to the next ridged. */
void create_batches_end(struct control *ctl);

/* A function ends. If it is of a batch, that hears of it. */
void creation_gone(struct function *fn);

#endif
