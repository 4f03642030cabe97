/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The inside of a VFIO device, for the function drivers that make one: what vfio_pci_core is to the
 * kernel's drivers. A driver embeds a struct vfio_device, says what its user is to see, and may
 * take over BAR accesses; the model does the rest.
 */
#ifndef RIDGE_VFIO_DEVICE_H
#define RIDGE_VFIO_DEVICE_H

#include "base/counters.h"
#include "base/loop.h"
#include "pci/access.h"
#include "vfio/host_state.h"
#include "vfio/vfio.h"

#define VFIO_BARS        6
#define VFIO_CONFIG_SIZE 4096

/* A write that means nothing but that a queue has work, so that an eventfd can stand for it. */
struct vfio_doorbell {
	/* as the user makes it */
	uint32_t region;
	uint32_t size; /* bytes; 0: any */
	uint64_t offset;
	bool match; /* only with the value */
	uint16_t value;
	/* where the function has it: two bytes, the value */
	uint8_t bar;
	uint64_t at;
};

struct vfio_device_ops {
	/*
	 * An access to a BAR region that exists, inside its bounds. Returns as
	 * vfio_device_access(); when it said -EINPROGRESS, vfio_access_done() ends it. NULL:
	 * vfio_bar_access().
	 */
	int (*bar_access)(struct vfio_device *vdev, struct vfio_access *access);
	/* Writes at most max doorbells; how many. May be NULL: it has none. */
	size_t (*doorbells)(struct vfio_device *vdev, struct vfio_doorbell *bells, size_t max);
	/* The access under way is not wanted any more. May be NULL if none is ever under way. */
	void (*abandon)(struct vfio_device *vdev);
	/* INTx got a listener, or lost it. May be NULL. */
	void (*intx_changed)(struct vfio_device *vdev, bool on);
	/* The function was reset, by its user or for the next one. May be NULL. */
	void (*was_reset)(struct vfio_device *vdev);
};

/* What a user sees of the function, decided by the driver. */
struct vfio_identity {
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem;
	uint8_t revision;
	bool intx; /* INTA, synthesised by the driver */
	bool hide_virtio_caps;
	uint32_t io_bar0; /* bytes of an I/O BAR 0 that the driver serves; 0: none */
	uint64_t bar_size[VFIO_BARS];
	uint8_t bars_unprefetchable; /* bits by BAR */
};

enum vfio_device_state {
	VFIO_DEVICE_CLOSED,
	VFIO_DEVICE_OPEN,
	VFIO_DEVICE_CLOSING, /* waits for the reset */
};

struct vfio_device {
	const struct vfio_device_ops *ops;
	struct loop *loop;
	struct pci_access *pa;
	struct counters *counters;
	struct vfio_host_state *state;
	struct vfio_identity id;
	enum vfio_device_state phase;

	/* config.c: which bits of the shadow a user sees, and may write */
	uint8_t virt[VFIO_CONFIG_SHADOW];
	uint8_t writable[VFIO_CONFIG_SHADOW];
	uint16_t msix_cap;
	uint16_t pcie_cap;
	uint8_t msix_bar;

	/* irqs.c */
	uint16_t msix_vectors;
	int msix_fd[VFIO_MSIX_MAX];
	uint16_t msix_bound;
	bool msix_used; /* the user set it up, with or without eventfds */
	int intx_fd;
	struct list irq_watches; /* irq_watch.c */

	struct vfio_io_fds *io_fds; /* io_fds.c: NULL until the user asks for them */

	/* what is under way */
	struct vfio_access *access;
	struct pci_reset flr;
	struct vfio_wait *flr_wait; /* a reset's, or the close's */
	bool flr_of_access;         /* a guest wrote the FLR bit */
	struct pci_reset drain;     /* a guest turned bus mastering off */
	struct iommu_wait unmap;
	struct vfio_wait *unmap_wait;
	bool unmap_all; /* there is more to be unmapped */
};

/*
 * Reads the function's capabilities and prepares the shadow. state is zeroed memory. 0 or -errno.
 */
int vfio_device_init(struct vfio_device *vdev, const struct vfio_device_ops *ops, struct loop *loop,
		     struct pci_access *pa, struct counters *counters,
		     struct vfio_host_state *state, const struct vfio_identity *id);
/* The device must be closed. */
void vfio_device_destroy(struct vfio_device *vdev);

/* Ends the access that bar_access() left under way. */
void vfio_access_done(struct vfio_device *vdev, int result);

/* The function's own memory BARs, in pieces of natural size. */
int vfio_bar_access(struct vfio_device *vdev, struct vfio_access *access);

/* Whether the user has MSI-X enabled, by what it wrote to configuration space. */
bool vfio_msix_enabled(const struct vfio_device *vdev);
/* Raises or lowers the synthesised INTx line. */
void vfio_intx_set(struct vfio_device *vdev, bool level);

#endif
