/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver's side of split virtqueues, polled, for programs in a Linux host. Legacy and modern
 * queues differ in where their parts are: ring_init() has them where a legacy device looks
 * (virtio 1.3, 2.7.2), which a modern device is told.
 */
#ifndef RIDGE_TEST_GUEST_RING_H
#define RIDGE_TEST_GUEST_RING_H

#include <linux/virtio_ring.h>

#include "guest_vfio.h"

struct ring {
	struct memory *memory;
	unsigned size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t seen; /* of used->idx */
};

struct buffer {
	void *data;
	uint32_t length;
	bool device_writes;
};

void ring_init(struct ring *r, struct memory *m, unsigned size);

/* Makes a chain available whose descriptors start at number head, and returns at once. */
void ring_add(struct ring *r, uint16_t head, const struct buffer *buffers, unsigned n);

/* Whether a used entry waits; takes it. */
bool ring_take(struct ring *r, uint32_t *head, uint32_t *length);
/* Waits for one, which must be head; what the device says it wrote. */
uint32_t ring_wait(struct ring *r, uint16_t head, const char *what);

#endif
