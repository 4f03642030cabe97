/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A modern virtio driver on a VFIO device, for programs in a Linux host: blk and net, as much of
 * them as shows that a device works. The driver's part (rings, buffers) and the device's part
 * (struct vfio, where its registers are) are apart, so that the driver can go on with another
 * device that has taken over the state of the first.
 */
#ifndef RIDGE_TEST_GUEST_MODERN_H
#define RIDGE_TEST_GUEST_MODERN_H

#include "guest_ring.h"

#define QUEUES 2

/* Where a device's registers are, as offsets in v->fd. */
struct registers {
	const struct vfio *vfio;
	uint64_t common, device;
	uint64_t notify[QUEUES];
	uint64_t notify_base;
	uint32_t notify_multiplier;
};

struct driver {
	bool net;
	bool packed; /* packed rings, used in order (VIRTIO_F_RING_PACKED, VIRTIO_F_IN_ORDER) */
	struct registers registers;
	struct memory memory;
	struct ring ring[QUEUES];
	unsigned queues;
	uint8_t mac[6];
	uint8_t *buffer[8]; /* of net's receive queue */
	unsigned count;     /* of what was done; gives each a content of its own */
	const struct link *link;
};

void registers_find(struct registers *r, const struct vfio *v);

/* Brings the device up from reset; d->packed says how. */
void driver_start(struct driver *d, const struct vfio *v, bool net);
/* The device is another now, in the state of the first. */
void driver_move(struct driver *d, const struct vfio *v);

/* One round of I/O that proves itself: blk writes and reads a sector; net sends and receives. */
void driver_work(struct driver *d);

/* The same in two halves: makes it available and notifies; whether it was used; the end of it. */
void driver_begin(struct driver *d);
bool driver_ended(struct driver *d);
void driver_end(struct driver *d);

/* blk: the text at the beginning of the disk. */
void driver_read_label(struct driver *d, char label[17]);

#endif
