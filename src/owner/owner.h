/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The owner driver: what a kernel's virtio_pci is to a PF. It finds the PF's registers, brings the
 * device up with its admin virtqueues, enables all VFs once, agrees with the PF on the commands to
 * use, and from then on is the pf_channel of the function drivers.
 *
 * Rings and buffers of the admin queues are memory of this process that the PF reaches by DMA. Each
 * command has a slot of it, from submission until the PF used it: a command that timed out leaves
 * its slot to the PF, and what the PF still does to it harms nobody.
 */
#ifndef RIDGE_OWNER_OWNER_H
#define RIDGE_OWNER_OWNER_H

#include "owner/channel.h"
#include "pci/access.h"

struct owner;

/* What the PF's SR-IOV capability says of its VFs. */
struct owner_vfs {
	uint16_t total;
	uint16_t first_offset;
	uint16_t stride;
	uint16_t vendor;
	uint16_t device;
	uint64_t bar_size[6]; /* 0: none; 64-bit BARs have theirs at the lower number */
};

/*
 * Takes the PF (not owned) and starts; ready() is called from the loop with 0 or a negative errno.
 * Returns 0 or a negative errno: -ENODEV if it is no virtio PF with an admin virtqueue.
 */
int owner_new(struct loop *loop, const char *name, struct pci_access *pf,
	      void (*ready)(void *ctx, int result), void *ctx, struct owner **owner);
/* Commands under way, and all later ones, end with -EIO. */
void owner_stop(struct owner *owner);
/* Resets the PF. */
void owner_free(struct owner *owner);

struct pf_channel *owner_channel(struct owner *owner);
const struct owner_vfs *owner_vfs(const struct owner *owner);

#endif
