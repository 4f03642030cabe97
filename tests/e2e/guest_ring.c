/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest_ring.h"

#include <string.h>

enum { AVAIL, USED };

static void packed_init(struct ring *r, struct memory *m, unsigned size)
{
	uint8_t *base = memory_get(m, size * sizeof(struct vring_packed_desc) + 8, 4096);

	*r = (struct ring){ .memory = m, .size = size, .wrap = { true, true } };
	r->packed = (struct vring_packed_desc *)base;
	r->desc = (struct vring_desc *)base;
	r->avail = (struct vring_avail *)(base + size * sizeof(struct vring_packed_desc));
	r->used = (struct vring_used *)((uint8_t *)r->avail + 4);
}

static void packed_move(struct ring *r, int which, unsigned n)
{
	r->next[which] = (uint16_t)(r->next[which] + n);
	if (r->next[which] >= r->size) {
		r->next[which] = (uint16_t)(r->next[which] - r->size);
		r->wrap[which] = !r->wrap[which];
	}
}

/* The device looks at none before it sees the flags of the first (virtio 1.3, 2.8.21). */
static void packed_add(struct ring *r, uint16_t head, const struct buffer *buffers, unsigned n)
{
	uint16_t first = r->next[AVAIL], first_flags = 0;

	for (unsigned i = 0; i < n; i++) {
		struct vring_packed_desc *desc = &r->packed[r->next[AVAIL]];
		uint16_t flags = (uint16_t)((buffers[i].device_writes ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < n ? VRING_DESC_F_NEXT : 0) |
					    1u << (r->wrap[AVAIL] ? VRING_PACKED_DESC_F_AVAIL
								  : VRING_PACKED_DESC_F_USED));

		desc->addr = memory_address(r->memory, buffers[i].data);
		desc->len = buffers[i].length;
		desc->id = head;
		if (i)
			desc->flags = flags;
		else
			first_flags = flags;
		packed_move(r, AVAIL, 1);
	}
	r->count[head] = (uint16_t)n;
	r->order[r->added++ % r->size] = head;
	__atomic_store_n(&r->packed[first].flags, first_flags, __ATOMIC_SEQ_CST);
}

static bool packed_waits(const struct ring *r)
{
	uint16_t flags = __atomic_load_n(&r->packed[r->next[USED]].flags, __ATOMIC_ACQUIRE);
	bool avail = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
	bool used = flags >> VRING_PACKED_DESC_F_USED & 1;

	return avail == used && used == r->wrap[USED];
}

void ring_init(struct ring *r, struct memory *m, unsigned size, bool packed)
{
	size_t driver = size * sizeof(struct vring_desc) + 2 * (3 + size);
	uint8_t *base;

	if (packed) {
		packed_init(r, m, size);
		return;
	}
	driver = (driver + 4095) & ~(size_t)4095;
	base = memory_get(m, driver + 6 + size * sizeof(struct vring_used_elem), 4096);
	*r = (struct ring){ .memory = m, .size = size };
	r->desc = (struct vring_desc *)base;
	r->avail = (struct vring_avail *)(base + size * sizeof(struct vring_desc));
	r->used = (struct vring_used *)(base + driver);
}

void ring_add(struct ring *r, uint16_t head, const struct buffer *buffers, unsigned n)
{
	uint16_t index;

	if (r->packed) {
		packed_add(r, head, buffers, n);
		return;
	}
	index = r->avail->idx;
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

uint16_t ring_oldest(const struct ring *r)
{
	return r->packed ? r->order[r->seen % r->size] : r->avail->ring[r->seen % r->size];
}

bool ring_waits(const struct ring *r)
{
	return r->packed ? packed_waits(r)
			 : __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) != r->seen;
}

bool ring_take(struct ring *r, uint32_t *head, uint32_t *length)
{
	if (!ring_waits(r))
		return false;
	if (r->packed) {
		const struct vring_packed_desc *desc = &r->packed[r->next[USED]];

		if (desc->id >= r->size)
			fail("the device used buffer %u", desc->id);
		*head = desc->id;
		*length = desc->len;
		packed_move(r, USED, r->count[desc->id]);
		r->seen++;
		return true;
	}
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
