/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ridge-pf: one process, one PF. Puts device side and host side together and does what ridged asks.
 *
 *   ridge-pf.c  the program
 *   worker.c    its PF with owner driver, its functions, its end
 *   export.c    the PF as a PCI domain for a Linux host, and its way there and back
 *   vfs.c       the VFs that such a host enables in bulk
 *   control.c   connections from ridged: messages of ipc.h, and their replies
 *   control_events.c  what it is told without having asked
 *   function.c  a function from create to destroy
 *   function_bind.c  its driver, and its settings
 *   sandbox.c   what the process gives up (sandbox.h)
 *
 * The process opens nothing by itself: whatever it works on came as a descriptor in a message.
 */
#ifndef RIDGE_WORKER_WORKER_H
#define RIDGE_WORKER_WORKER_H

#include <sys/types.h>

#include <sys/resource.h>

#include "base/names.h"
#include "drivers/drivers.h"
#include "pci/root.h"
#include "pf/pf.h"
#include "pf/switch.h"
#include "vfio_user/server.h"
#include "worker/ipc.h"
#include "worker/memory.h"

/* Destroying waits at most this long for I/O in flight. */
#define FUNCTION_DRAIN_MS 3000

/* The PF is 00:00.0 of a hierarchy of its own. */
#define WORKER_PF_RID 0
/* Descriptors that no function is made of: for the process, and for VMMs that attach. */
#define WORKER_DESCRIPTORS_SPARE 128

struct control;
struct export;
struct function;

struct worker {
	struct loop *loop;
	struct control *control;
	bool sandboxed;
	uid_t uid; /* ridged's, and of this process when it began */
	char name[IPC_NAME_MAX];
	/* from IPC_PF_INIT on */
	const struct device_type *type;
	char spec[IPC_SPEC_MAX];
	struct uring *uring;
	struct pci_root *root;
	struct pf *pf;
	struct net_switch *net_switch; /* of a net PF */
	struct pci_access *pf_access;  /* NULL while exported */
	struct owner *owner;           /* NULL while exported */
	struct export *export;         /* NULL while local */
	uint64_t vf_mac_key;           /* what MAC addresses of VFs are derived from */
	uint64_t vf_size;              /* bytes of the images of VFs; 0: there are none */
	uint32_t total_vfs;
	struct list functions;                 /* struct function, in order of creation */
	uint64_t made;                         /* functions, ever */
	struct names names;                    /* of them */
	uint64_t slots[PF_SLOTS_MAX / 64 + 1]; /* that are taken, a bit each */
	uint32_t nfunctions;
	rlim_t descriptors_max; /* that the process may have */
	void (*pf_ready)(struct worker *w, int result);
};

/* A request of ridged's that takes its time. Owned by control.c; ended by exactly one of these. */
struct request;

void request_done(struct request *req, const void *body, size_t len);
__attribute__((format(printf, 3, 4))) void request_failed(struct request *req, int error,
							  const char *fmt, ...);
const void *request_body(const struct request *req);
/* The next of the descriptors that came with it; the caller's from then on. -1: no more. */
int request_take_fd(struct request *req);

/* worker.c */
/*
 * backend: the image of a blk PF's own device; uplink: a TAP for the switch of a net PF. Both are
 * taken over; -1: none.
 */
int worker_pf_init(struct worker *w, const struct ipc_pf_init *init, int backend, int uplink,
		   void (*ready)(struct worker *w, int result));
void worker_pf_info(const struct worker *w, struct ipc_pf_info *info);
struct function *worker_find(struct worker *w, const char *name);
/* The functions of a batch are there to stay. */
void worker_commit(struct worker *w, uint64_t batch);
void worker_stop(struct worker *w);
/* After the loop ended: ends the functions and takes the PF down. Everything in w is freed. */
void worker_end(struct worker *w);

/* function.c: each ends the request, now or later */
void function_create(struct worker *w, struct request *req);
void function_destroy(struct function *fn, struct request *req);
void function_bind(struct function *fn, struct request *req);
void function_set(struct function *fn, struct request *req);
void function_info(const struct function *fn, struct ipc_function_info *info);
void function_event(const struct function *fn, struct ipc_event *event);
/* Up to 3 descriptors, in IPC_FD_* order; returns how many. */
size_t function_fds(const struct function *fn, int fds[3]);
const char *function_name(const struct function *fn);
/* From 1 on, in order of creation. */
uint64_t function_number(const struct function *fn);
struct function *function_of_node(struct list *node);
struct function *function_of_name(struct name_node *node);
/* If it is of the batch, it is there to stay. */
void function_commit(struct function *fn, uint64_t batch);
#ifdef RIDGE_FAULTS
int function_fault(struct function *fn, uint32_t kind, uint32_t value);
#endif
/*
 * Drops the VMM; true if no request from ridged and no I/O of the function is under way any more.
 * For the process's end.
 */
bool function_quiesce(struct function *fn);
void function_free(struct function *fn);

#ifdef RIDGE_FAULTS
/* escape.c: what: enum ipc_escape. Returns what the attempt got: 0 or a negative errno. */
int escape_try(struct worker *w, uint32_t what);
#endif

/* control.c */
int control_new(struct worker *w, int listen_fd, struct control **control);
void control_free(struct control *control);
/* Tells who is connected how a function is now. Nothing waits for a reader. */
void control_event(struct control *control, const struct function *fn);
/* The same of the PF. control may be NULL. */
void control_pf_event(struct control *control);
/* A VF made in bulk wants its image. */
void control_vf_wants(struct control *control, uint32_t slot);

#endif
