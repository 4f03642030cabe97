/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest_ring.h"

#include <string.h>

void ring_init(struct ring *r, struct memory *m, unsigned size)
{
	size_t driver = size * sizeof(struct vring_desc) + 2 * (3 + size);
	uint8_t *base;

	driver = (driver + 4095) & ~(size_t)4095;
	base = memory_get(m, driver + 6 + size * sizeof(struct vring_used_elem), 4096);
	r->memory = m;
	r->size = size;
	r->desc = (struct vring_desc *)base;
	r->avail = (struct vring_avail *)(base + size * sizeof(struct vring_desc));
	r->used = (struct vring_used *)(base + driver);
	r->seen = 0;
}

void ring_add(struct ring *r, uint16_t head, const struct buffer *buffers, unsigned n)
{
	uint16_t index = r->avail->idx;

	for (unsigned i = 0; i < n; i++)
		r->desc[head + i] = (struct vring_desc){
			.addr = memory_address(r->memory, buffers[i].data),
			.len = buffers[i].length,
			.flags = (uint16_t)((buffers[i].device_writes ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)(head + i + 1),
		};
	r->avail->ring[index % r->size] = head;
	__atomic_store_n(&r->avail->idx, (uint16_t)(index + 1), __ATOMIC_SEQ_CST);
}

bool ring_take(struct ring *r, uint32_t *head, uint32_t *length)
{
	if (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) == r->seen)
		return false;
	*head = r->used->ring[r->seen % r->size].id;
	*length = r->used->ring[r->seen % r->size].len;
	r->seen++;
	return true;
}

struct wait {
	struct ring *ring;
	uint32_t head, length;
};

static bool taken(void *ctx)
{
	struct wait *w = ctx;

	return ring_take(w->ring, &w->head, &w->length);
}

uint32_t ring_wait(struct ring *r, uint16_t head, const char *what)
{
	struct wait w = { .ring = r };

	wait_until(taken, &w, what);
	if (w.head != head)
		fail("%s: the device used %u and not %u", what, w.head, head);
	return w.length;
}
