/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Function drivers: what a function is attached to. A driver's probe makes of a function something
 * that can be used, its remove undoes that; nothing else is probed on the way, and switching is
 * remove and probe.
 *
 *   vfio-pci         the modern function as it is
 *   virtio-vfio-pci  a transitional function: a virtual I/O BAR 0, relayed over the PF's channel
 *   none             nothing
 *
 * A driver reaches its function through pci_access and the PF through pf_channel, and nothing else.
 */
#ifndef RIDGE_DRIVERS_DRIVERS_H
#define RIDGE_DRIVERS_DRIVERS_H

#include "owner/owner.h"
#include "vfio/device.h"

/* A function as its host found it. Valid as long as the driver is attached. */
struct function_host {
	const char *name;
	struct loop *loop;
	struct pci_access *pa;
	struct pf_channel *channel;
	const struct owner_vfs *vfs;
	uint64_t member_id;
	struct counters *counters;
	struct vfio_host_state *state;
	bool legacy_only; /* virtio-vfio-pci: hide the modern capabilities */
};

/* How a probe ends. result is 0 with a device, or a negative errno and why (static). */
struct probe_wait {
	void (*done)(struct probe_wait *wait, int result, struct vfio_device *vdev,
		     const char *why);
	/* While a probe is under way: ends it without done(). The driver's; NULL otherwise. */
	void (*cancel)(struct probe_wait *wait);
	void *driver; /* the driver's own */
};

struct function_driver {
	const char *name;
	bool serves_vfio; /* probe makes a VFIO device */
	/* Calls wait->done() from within or later, once. */
	void (*probe)(const struct function_host *host, struct probe_wait *wait);
	/* The device must be closed. */
	void (*remove)(struct vfio_device *vdev);
};

/* NULL if there is no such driver. */
const struct function_driver *function_driver_find(const char *name);

extern const struct function_driver vfio_pci_driver;
extern const struct function_driver virtio_vfio_pci_driver;

/* The notification registers of the function's queues, in queue order; how many. */
size_t virtio_doorbells(struct pci_access *pa, struct vfio_doorbell *bells, size_t max);

/* The identity of the function as the PF's SR-IOV capability and the function itself tell it. */
void function_host_identity(const struct function_host *host, struct vfio_identity *id);

#endif
