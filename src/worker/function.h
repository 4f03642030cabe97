/* SPDX-License-Identifier: BSD-3-Clause */
/* A function's inside, for the files that share it: function.c and function_bind.c. */
#ifndef RIDGE_WORKER_FUNCTION_H
#define RIDGE_WORKER_FUNCTION_H

#include "worker/worker.h"

struct function {
	struct list node;
	struct worker *worker;
	uint64_t number; /* of all that were made */
	char name[IPC_NAME_MAX];
	struct name_node by_name; /* in worker.names */
	char *spec;
	uint64_t batch; /* not committed yet; or 0 */
	uint32_t slot;
	bool legacy_only;

	int state_fd;
	int backend_fd; /* ours, to give back to ridged; the device has its own */
	int listen_fd;
	struct function_memory *mem;

	/* device side */
	struct virtio_pci vf;
	bool plugged;
	bool dynamic;    /* in no slot: at a RID of an exported domain */
	bool pulled_out; /* of a Linux host, to be destroyed: it comes back nowhere */

	/* host side */
	struct pci_access *pa;
	const struct function_driver *driver;
	struct vfio_device *vdev;
	struct vfio_user_server *server;

	/* the request under way; one at a time */
	struct request *req;
	struct probe_wait probe;
	const struct function_driver *old_driver; /* of a bind */
	int new_listen_fd;
	bool destroying;
	struct vfio_wait drained;
	struct pci_reset flr; /* of one that a Linux host has */
	struct loop_timer drain_timer;
	struct loop_work destroy_work;
};

/*
 * A dynamic function appears in the domain that its PF is exported as, or leaves it; nothing
 * happens to others. 0 or a negative errno.
 */
int function_plug_dynamic(struct function *fn);
void function_unplug_dynamic(struct function *fn);

/*
 * Another request for the function is under way, or it is to be destroyed: this one is refused, and
 * true returned.
 */
bool function_refuse_busy(struct function *fn, struct request *req, const char *verb);
/* Replaces its spec. Returns 0 or -ENOMEM. */
int function_keep_spec(struct function *fn, const char *spec);
/* Ends the request under way with what the function is now. */
void function_reply(struct function *fn);

/* Its state may be another now: ridged is told. ctx is the function. */
void function_changed(void *ctx);

/* Probes a driver; done() as struct probe_wait has it. */
void function_attach(struct function *fn, const struct function_driver *driver,
		     void (*done)(struct probe_wait *, int, struct vfio_device *, const char *));
/* Serves what the probe made, if anything. 0 or a negative errno. */
int function_serve(struct function *fn);
/* Takes the driver off; its VMM must be gone. */
void function_detach(struct function *fn);

#endif
