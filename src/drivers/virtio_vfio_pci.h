/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-vfio-pci: a modern VF becomes a transitional function.
 *
 * Its user sees a virtual I/O BAR 0. I/O BAR space is scarce and VFs have none, so what the guest
 * does there is relayed to the device as administration commands over the PF's channel:
 *
 *   access --split into fields--> LEGACY_{COMMON,DEV}_CFG_{READ,WRITE} --> the PF --> the member
 *
 * An access is a sequence of steps, a field each, and every step that needs a command waits for it;
 * the user's next access waits for the whole sequence. Notifications are the exception: they go to
 * the address that LEGACY_NOTIFY_INFO gave, which is in the member itself. A step that gets no
 * answer reads all ones, and so do the rest of the access.
 *
 * INTx, which VFs lack and old guests know nothing else than, is synthesised (intx.c): the member
 * uses MSI-X, with two vectors that come here, and ISR status is the driver's. So the member has
 * MSI-X enabled while the guest has not, and the guest's device-specific configuration at 0x14 is
 * the member's at 0x18: commands name common and device-specific fields apart.
 */
#ifndef RIDGE_DRIVERS_VIRTIO_VFIO_PCI_H
#define RIDGE_DRIVERS_VIRTIO_VFIO_PCI_H

#include "drivers/drivers.h"
#include "virtio/layout.h"
#include "virtio/legacy.h"

/* A register command is answered at once unless something is wrong; QEMU gives up after 5 s. */
#define VVP_DEADLINE_MS 2000
/* A reset waits for I/O in flight; then the user's connection closes (DESIGN). */
#define VVP_RESET_DEADLINE_MS 3000

/* Vectors of the member while INTx is synthesised. */
#define VVP_VECTOR_CONFIG 0
#define VVP_VECTOR_QUEUE  1

#define VVP_ISR_QUEUE  1
#define VVP_ISR_CONFIG 2

struct virtio_vfio_pci {
	struct vfio_device vdev;
	struct function_host host;
	uint16_t id; /* virtio device id */
	struct virtio_layout layout;
	struct virtio_region notify; /* where legacy notifications go; len 0: by command */

	/* the access under way (legacy.c) */
	struct pf_cmd cmd;
	bool cmd_busy;
	uint8_t cmd_data[8 + 8]; /* a legacy write's head, and a field */
	uint32_t done;           /* bytes of it */
	uint32_t step;           /* bytes of the field under way */
	uint64_t deadline_ns;
	bool prepared; /* the command that goes before this step was sent */

	/* INTx (intx.c) */
	bool intx_on;
	int intx_eventfd[2]; /* by vector */
	struct loop_fd intx_event[2];

	struct probe_wait *probe;
	struct {
		struct virtio_admin_notify_info entry[VIRTIO_ADMIN_NOTIFY_ENTRIES];
	} notify_info;
};

/* legacy.c: an access to BAR 0. */
int vvp_legacy_access(struct virtio_vfio_pci *vvp, struct vfio_access *access);
void vvp_legacy_abandon(struct virtio_vfio_pci *vvp);
/* Bytes of BAR 0: both layouts of the registers fit, and it is a power of two. */
uint32_t vvp_legacy_bar_size(uint32_t config_len);

/* intx.c */
int vvp_intx_init(struct virtio_vfio_pci *vvp);
void vvp_intx_destroy(struct virtio_vfio_pci *vvp);
void vvp_intx_changed(struct virtio_vfio_pci *vvp, bool on);
/* The device was reset: nothing is pending. */
void vvp_intx_clear(struct virtio_vfio_pci *vvp);
/* The guest reads ISR status: it is cleared, and the line goes down. */
uint8_t vvp_intx_read_isr(struct virtio_vfio_pci *vvp);
/* A guest that uses the modern registers with INTx: true if the access was answered here. */
bool vvp_intx_modern_access(struct virtio_vfio_pci *vvp, struct vfio_access *access);

#endif
