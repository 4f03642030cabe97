/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed rings (virtio 1.3, 2.8). */
#include <endian.h>
#include <errno.h>
#include <stddef.h>

#include "virtio/queue_internal.h"

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED  (1u << VRING_PACKED_DESC_F_USED)

/* Event suppression structures: offset and wrap counter, then flags. */
#define EVENT_LEN   4
#define EVENT_FLAGS 2

static size_t ring_len(const struct virtq *vq)
{
	return sizeof(struct vring_packed_desc) * vq->state->size;
}

static size_t flags_at(uint16_t place)
{
	return sizeof(struct vring_packed_desc) * place + offsetof(struct vring_packed_desc, flags);
}

static int read_flags(struct virtq *vq, struct iommu_space *space, uint16_t place, uint16_t *flags)
{
	return virtq_read16(space, &vq->desc, vq->state->desc, ring_len(vq), flags_at(place),
			    flags);
}

static bool available(const struct virtq *vq, uint16_t flags)
{
	bool avail = flags & FLAG_AVAIL, used = flags & FLAG_USED;

	return avail != used && avail == !!vq->state->avail_wrap;
}

static void move(const struct virtq *vq, uint16_t *next, uint8_t *wrap, uint16_t n)
{
	*next = (uint16_t)(*next + n);
	if (*next >= vq->state->size) {
		*next = (uint16_t)(*next - vq->state->size);
		*wrap ^= 1;
	}
}

/* Entries of an indirect table have their order and WRITE, and nothing else. */
static int walk_indirect(struct virtq_walk *w, const struct vring_packed_desc *desc)
{
	struct vring_desc table[VIRTQ_SIZE_MAX];
	int n, err;

	n = virtq_walk_table(w, le64toh(desc->addr), le32toh(desc->len), table);
	for (int i = 0; i < n; i++) {
		const struct vring_packed_desc *d = (const struct vring_packed_desc *)&table[i];

		err = virtq_walk_add(w, le64toh(d->addr), le32toh(d->len),
				     le16toh(d->flags) & VRING_DESC_F_WRITE);
		if (err)
			return err;
	}
	return n < 0 ? n : 0;
}

static int walk(struct virtq_walk *w)
{
	struct virtq *vq = w->vq;
	uint16_t place = vq->state->avail_next, flags;
	struct vring_packed_desc desc;
	int err;

	do {
		if (w->chain->ndescs == vq->state->size)
			return virtq_broken(w, "a descriptor list longer than the queue");
		if (virtq_read(w->space, &vq->desc, vq->state->desc, ring_len(vq),
			       sizeof(desc) * place, &desc, sizeof(desc)))
			return virtq_fault(w);
		flags = le16toh(desc.flags);
		w->chain->ndescs++;
		if ((flags & VRING_DESC_F_INDIRECT) &&
		    (w->chain->ndescs > 1 || (flags & VRING_DESC_F_NEXT)))
			return virtq_broken(w, "an indirect descriptor in a list");
		err = flags & VRING_DESC_F_INDIRECT
			      ? walk_indirect(w, &desc)
			      : virtq_walk_add(w, le64toh(desc.addr), le32toh(desc.len),
					       flags & VRING_DESC_F_WRITE);
		if (err)
			return err;
		place = (uint16_t)(place + 1 < vq->state->size ? place + 1 : 0);
	} while (flags & VRING_DESC_F_NEXT);
	w->chain->head = le16toh(desc.id);
	return 0;
}

int packed_pop(struct virtq *vq, struct iommu_space *space, struct virtq_chain *chain,
	       const char **why)
{
	struct virtq_walk w = { .vq = vq, .space = space, .chain = chain, .why = why };
	struct virtq_state *st = vq->state;
	uint16_t flags, id;
	int err;

	if (read_flags(vq, space, st->avail_next, &flags))
		return virtq_fault(&w);
	if (!available(vq, flags))
		return 0;
	chain->ndescs = 0;
	err = walk(&w);
	id = chain->head;
	/* Every driver numbers its buffers below the queue's size. */
	if (!err && id >= st->size)
		err = virtq_broken(&w, "a buffer id is not below the queue's size");
	if (!err && st->in_flight[id / 64] >> (id % 64) & 1)
		err = virtq_broken(&w, "a buffer was made available while the device has it");
	if (err) {
		virtq_walk_undo(&w);
		return err;
	}
	st->ndescs[id] = chain->ndescs;
	move(vq, &st->avail_next, &st->avail_wrap, chain->ndescs);
	return 1;
}

void packed_unpop(struct virtq *vq, const struct virtq_chain *chain)
{
	struct virtq_state *st = vq->state;

	if (st->avail_next < chain->ndescs) {
		st->avail_next = (uint16_t)(st->avail_next + st->size);
		st->avail_wrap ^= 1;
	}
	st->avail_next = (uint16_t)(st->avail_next - chain->ndescs);
}

/*
 * Writes a used descriptor. The flags of the first one since the last publication are kept back:
 * the driver looks at no later one before it sees them.
 */
int packed_add_used(struct virtq *vq, struct iommu_space *space, uint16_t id, uint32_t len)
{
	struct virtq_state *st = vq->state;
	struct vring_packed_desc desc = { .len = htole32(len), .id = htole16(id) };
	uint16_t flags = (uint16_t)((st->used_wrap ? FLAG_AVAIL | FLAG_USED : 0) |
				    (len ? VRING_DESC_F_WRITE : 0));
	uint16_t place = st->used_next;

	/* The address is unused in a used descriptor. */
	if (virtq_write(space, &vq->desc, st->desc, ring_len(vq),
			sizeof(desc) * place + offsetof(struct vring_packed_desc, len), &desc.len,
			sizeof(desc.len) + sizeof(desc.id)))
		return -EFAULT;
	if (!vq->unpublished) {
		vq->publish_at = place;
		vq->publish_flags = flags;
	} else if (virtq_write16(space, &vq->desc, st->desc, ring_len(vq), flags_at(place),
				 flags)) {
		return -EFAULT;
	}
	move(vq, &st->used_next, &st->used_wrap, st->ndescs[id]);
	st->used_signalled = (uint16_t)(st->used_signalled + st->ndescs[id]);
	if (st->used_signalled > st->size)
		st->used_signalled = st->size;
	return 0;
}

int packed_publish_used(struct virtq *vq, struct iommu_space *space)
{
	return virtq_write16(space, &vq->desc, vq->state->desc, ring_len(vq),
			     flags_at(vq->publish_at), vq->publish_flags);
}

bool packed_enable_notify(struct virtq *vq, struct iommu_space *space)
{
	struct virtq_state *st = vq->state;
	uint16_t flags;

	if (vq->event_idx) {
		virtq_write16(space, &vq->device, st->device, EVENT_LEN, 0,
			      (uint16_t)(st->avail_next |
					 st->avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
		virtq_write16(space, &vq->device, st->device, EVENT_LEN, EVENT_FLAGS,
			      VRING_PACKED_EVENT_FLAG_DESC);
		/* The driver sees the event before we look whether it came too late. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	return !read_flags(vq, space, st->avail_next, &flags) && available(vq, flags);
}

bool packed_interrupt_due(struct virtq *vq, struct iommu_space *space)
{
	struct virtq_state *st = vq->state;
	uint16_t now = st->used_next, old = (uint16_t)(now - st->used_signalled), flags, event;
	bool valid = st->used_signalled_valid;

	st->used_signalled = 0;
	st->used_signalled_valid = 1;
	if (virtq_read16(space, &vq->driver, st->driver, EVENT_LEN, EVENT_FLAGS, &flags))
		return false;
	flags &= 3;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !vq->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (!valid || virtq_read16(space, &vq->driver, st->driver, EVENT_LEN, 0, &event))
		return true;
	/* As indexes that run on: what lies in the other turn of the ring is a ring's size away. */
	if (event >> VRING_PACKED_EVENT_F_WRAP_CTR != st->used_wrap)
		event = (uint16_t)((event & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR)) - st->size);
	else
		event &= (uint16_t) ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	return vring_need_event(event, now, old);
}
