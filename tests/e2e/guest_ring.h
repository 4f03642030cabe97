/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver's side of virtqueues, polled, for programs in a Linux host. Legacy and modern split
 * queues differ in where their parts are: ring_init() has them where a legacy device looks
 * (virtio 1.3, 2.7.2), which a modern device is told. Packed ones (2.8) are the same to their user.
 */
#ifndef RIDGE_TEST_GUEST_RING_H
#define RIDGE_TEST_GUEST_RING_H

#include <linux/virtio_ring.h>

#include "guest_vfio.h"

#define RING_MAX 256

struct ring {
	struct memory *memory;
	unsigned size;
	struct vring_desc *desc;
	struct vring_avail *avail; /* packed: the driver's event suppression */
	struct vring_used *used;   /* packed: the device's */
	uint16_t seen;             /* of used->idx */

	/* a packed ring, or NULL */
	struct vring_packed_desc *packed;
	uint16_t next[2]; /* places that are made available and used next */
	bool wrap[2];
	uint16_t count[RING_MAX]; /* descriptors of the buffer, by its number */
	uint16_t order[RING_MAX]; /* buffers in the order that they were made available */
	uint16_t added;
};

struct buffer {
	void *data;
	uint32_t length;
	bool device_writes;
};

void ring_init(struct ring *r, struct memory *m, unsigned size, bool packed);

/*
 * Makes a chain available whose descriptors start at number head (packed: whose number is head),
 * and returns at once.
 */
void ring_add(struct ring *r, uint16_t head, const struct buffer *buffers, unsigned n);

/* The chain that was made available first of those that the device has. */
uint16_t ring_oldest(const struct ring *r);

/* Whether a used entry waits. */
bool ring_waits(const struct ring *r);
/* The same; takes it. */
bool ring_take(struct ring *r, uint32_t *head, uint32_t *length);
/* Waits for one, which must be head; what the device says it wrote. */
uint32_t ring_wait(struct ring *r, uint16_t head, const char *what);

#endif
