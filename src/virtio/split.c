/* SPDX-License-Identifier: BSD-3-Clause */
/* Split rings (virtio 1.3, 2.7). */
#include <endian.h>
#include <errno.h>

#include "virtio/queue_internal.h"

/* Offsets in the available ring (flags, idx, ring[], used_event) and the used ring alike. */
#define RING_IDX     2
#define RING_ENTRIES 4

/* Where descriptors come from: the queue's table, or an indirect one that was copied. */
struct table {
	const struct vring_desc *indirect; /* NULL: the queue's own */
	uint16_t count;
};

static int read_driver(struct virtq *vq, struct iommu_space *space, size_t offset, uint16_t *value)
{
	return virtq_read16(space, &vq->driver, vq->state->driver,
			    RING_ENTRIES + 2u * vq->state->size + 2u, offset, value);
}

static size_t device_len(const struct virtq *vq)
{
	return RING_ENTRIES + sizeof(struct vring_used_elem) * vq->state->size + 2u;
}

static int write_device(struct virtq *vq, struct iommu_space *space, size_t offset, uint16_t value)
{
	return virtq_write16(space, &vq->device, vq->state->device, device_len(vq), offset, value);
}

static int walk(struct virtq_walk *w, const struct table *t, uint16_t i);

static int walk_indirect(struct virtq_walk *w, const struct vring_desc *desc)
{
	struct vring_desc table[VIRTQ_SIZE_MAX];
	struct table inner = { .indirect = table };
	int n;

	if (le16toh(desc->flags) & VRING_DESC_F_NEXT)
		return virtq_broken(w, "an indirect descriptor with a next one");
	n = virtq_walk_table(w, le64toh(desc->addr), le32toh(desc->len), table);
	if (n < 0)
		return n;
	inner.count = (uint16_t)n;
	return walk(w, &inner, 0);
}

static int walk(struct virtq_walk *w, const struct table *t, uint16_t i)
{
	struct virtq *vq = w->vq;

	/* A chain has at most as many descriptors as its table: more is a loop. */
	for (uint16_t steps = 0; steps < t->count; steps++) {
		struct vring_desc desc;
		uint16_t flags;
		int err;

		if (t->indirect)
			desc = t->indirect[i];
		else if (virtq_read(w->space, &vq->desc, vq->state->desc,
				    sizeof(desc) * vq->state->size, sizeof(desc) * i, &desc,
				    sizeof(desc)))
			return virtq_fault(w);
		flags = le16toh(desc.flags);
		if ((flags & VRING_DESC_F_INDIRECT) && t->indirect)
			return virtq_broken(w, "an indirect descriptor in an indirect table");
		if (flags & VRING_DESC_F_INDIRECT)
			return walk_indirect(w, &desc);
		err = virtq_walk_add(w, le64toh(desc.addr), le32toh(desc.len),
				     flags & VRING_DESC_F_WRITE);
		if (err)
			return err;
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		i = le16toh(desc.next);
		if (i >= t->count)
			return virtq_broken(w, "a descriptor's next is outside its table");
	}
	return virtq_broken(w, "a descriptor chain that loops");
}

int split_pop(struct virtq *vq, struct iommu_space *space, struct virtq_chain *chain,
	      const char **why)
{
	struct virtq_walk w = { .vq = vq, .space = space, .chain = chain, .why = why };
	struct virtq_state *st = vq->state;
	struct table own = { .count = st->size };
	uint16_t avail, head;
	int err;

	if (read_driver(vq, space, RING_IDX, &avail))
		return virtq_fault(&w);
	if (avail == st->avail_next)
		return 0;
	if ((uint16_t)(avail - st->avail_next) > st->size)
		return virtq_broken(&w, "the available index jumped");
	if (read_driver(vq, space, RING_ENTRIES + 2u * (st->avail_next % st->size), &head))
		return virtq_fault(&w);
	if (head >= st->size)
		return virtq_broken(&w, "an available entry is outside the descriptor table");
	if (st->in_flight[head / 64] >> (head % 64) & 1)
		return virtq_broken(&w, "a descriptor was made available while the device has it");
	chain->head = head;
	chain->ndescs = 1;
	err = walk(&w, &own, head);
	if (err) {
		virtq_walk_undo(&w);
		return err;
	}
	st->avail_next++;
	return 1;
}

void split_unpop(struct virtq *vq, const struct virtq_chain *chain)
{
	(void)chain;
	vq->state->avail_next--;
}

int split_add_used(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len)
{
	struct virtq_state *st = vq->state;
	struct vring_used_elem elem = { .id = htole32(head), .len = htole32(len) };

	if (virtq_write(space, &vq->device, st->device, device_len(vq),
			RING_ENTRIES + sizeof(elem) * (st->used_next % st->size), &elem,
			sizeof(elem)))
		return -EFAULT;
	st->used_next++;
	return 0;
}

int split_publish_used(struct virtq *vq, struct iommu_space *space)
{
	return write_device(vq, space, RING_IDX, vq->state->used_next);
}

/* All that is used was made available before, and all else is still to be taken. */
int split_find_place(struct virtq *vq, struct iommu_space *space)
{
	struct virtq_state *st = vq->state;
	uint16_t used;

	if (virtq_read16(space, &vq->device, st->device, device_len(vq), RING_IDX, &used))
		return -EFAULT;
	st->used_next = used;
	st->avail_next = used;
	return 0;
}

bool split_empty(struct virtq *vq, struct iommu_space *space)
{
	uint16_t avail;

	return read_driver(vq, space, RING_IDX, &avail) || avail == vq->state->avail_next;
}

bool split_enable_notify(struct virtq *vq, struct iommu_space *space)
{
	/* Without event index the driver notifies always: used.flags stays 0. */
	if (vq->event_idx) {
		write_device(vq, space,
			     RING_ENTRIES + sizeof(struct vring_used_elem) * vq->state->size,
			     vq->state->avail_next);
		/* The driver sees the event index before we look whether it came too late. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	return !split_empty(vq, space);
}

bool split_interrupt_due(struct virtq *vq, struct iommu_space *space)
{
	struct virtq_state *st = vq->state;
	uint16_t now = st->used_next, old = st->used_signalled, value;
	bool valid = st->used_signalled_valid;

	/* Legacy: even a driver that wants none is told that its buffers ran out (6.3). */
	if (vq->notify_on_empty && !vq->in_flight && split_empty(vq, space))
		return true;
	if (!vq->event_idx)
		return !read_driver(vq, space, 0, &value) && !(value & VRING_AVAIL_F_NO_INTERRUPT);
	st->used_signalled = now;
	st->used_signalled_valid = 1;
	if (read_driver(vq, space, RING_ENTRIES + 2u * st->size, &value))
		return false;
	return !valid || vring_need_event(value, now, old);
}
