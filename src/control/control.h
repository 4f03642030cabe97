/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ridged: makes, lists and ends functions, and starts the PF processes that serve them.
 *
 * Theory of operation
 *
 * One thread and one event loop (base/loop.h); nothing waits for a client or for a PF process.
 *
 *   ridged.c     the start, the end, and signals
 *   server.c     connections of clients and who may have one
 *   jsonrpc.c    bytes to calls and answers to bytes: the only code that decodes what a client sent
 *   methods.c    the table of methods; those of PFs and of ridged itself
 *   create.c, create_batch.c, destroy.c, bind.c, set.c
 *                each call becomes one operation (operation.c) that opens what the function needs
 *                (function_open.c), sends a request to the PF process, and on its reply answers
 *                the call, or undoes everything
 *   vf_image.c   the images of VFs that a Linux host enables in bulk
 *   events.c     what happens, for clients that subscribed
 *   queries.c    calls that read, for which PF processes are asked for fresh figures
 *   registry.c   what exists: PFs, functions by PF, and their JSON
 *   pf_process.c a ridge-pf: starting it, finding it again, noticing its end
 *   pf_revive.c  what follows when it died
 *   export.c     the sockets of PFs that are exported
 *   registry_file.c  what is known of PFs when ridged and they are gone
 *   inventory.c  getting back from a ridge-pf what it has
 *   ipc_link.c   requests to it, with deadlines
 *   params.c, param_value.c  the tables of parameters, and the spelling of their values
 *   net.c        MAC addresses and TAPs
 *   journal.c    the ends of batches
 *   image.c, sockets.c, runtime.c  the files that are opened and made
 *
 * The PF processes are the authority on what exists. ridged keeps a copy, which it makes when it
 * starts by asking each of them, and again whenever a connection was lost. By what only they say,
 * nothing is opened (inventory.h). So ridged may be killed at any time: a function whose creation
 * it had under way is there or is not there, never half.
 *
 * What exists and who may change it:
 *
 *   function  CREATING --done--> READY --bind--> BINDING --done--> READY --destroy--> DESTROYING
 *                                         --set---> SETTING --done--> READY
 *             Only READY functions can be changed or are shown; the operation that moved one to
 *             another phase owns it until the PF process answered, even when the client was told
 *             long ago that there was no answer in time.
 *   PF        STARTING --first reply--> READY --remove, shutdown--> STOPPING --exit--> gone
 *             READY --dies--> RESTARTING --functions made again--> READY
 *             RESTARTING --dies too often--> HELD --pf.restart--> RESTARTING
 *             A PF process that ends in STARTING or STOPPING takes the PF and its functions
 *             with it.
 *
 * Per function ridged holds duplicates of the descriptors that it gave away (state, listening
 * socket, image or TAP) and its parameters: what a successor of a PF process that died would need.
 */
#ifndef RIDGE_CONTROL_CONTROL_H
#define RIDGE_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/loop.h"
#include "base/names.h"
#include "control/jsonrpc.h"

struct server;
struct query;

/* Of queries.c: what any number of calls may ask for at the same time. */
enum query_kind { QUERY_FUNCTIONS, QUERY_PFS, QUERY_STATS, QUERY_KINDS };

#define CONTROL_SEED_SIZE 16

struct control {
	struct loop *loop;
	struct server *server;
	char *runtime_dir;                       /* absolute */
	char *socket_path;                       /* of the control socket; NULL: systemd made it */
	struct list pfs;                         /* struct pf */
	struct names functions;                  /* of all PFs */
	struct list batches;                     /* struct create_batch, under way */
	size_t nbatched;                         /* entries of these */
	struct query *queries[QUERY_KINDS];      /* PF processes are being asked, or NULL */
	struct query *queries_next[QUERY_KINDS]; /* for who came since */
	unsigned adopting; /* PF processes found at the start that did not give all answers yet */
	void (*adopted)(struct control *ctl); /* adopting went to 0 */
	const char *pf_argument; /* one more for PF processes that are started; NULL: none */
	uint8_t mac_seed[CONTROL_SEED_SIZE]; /* of net.c */
	bool have_mac_seed;
	rlim_t descriptors_max; /* that we may have */
	bool stopping;
	struct jsonrpc_call *stop_call; /* system.shutdown: answered when all is gone */
};

/* methods.c: what server.c calls. */
void methods_call(struct jsonrpc_call *call, const char *method, struct json_object *params);

/* Answers a call with an error, prefixed with what was asked. call may be NULL: nobody waits. */
void methods_fail(struct jsonrpc_call *call, const char *what, struct error *e);

/* For methods without parameters: false if some were given, and the call is answered. */
bool methods_no_params(struct jsonrpc_call *call, const char *what, struct json_object *params);

#endif
