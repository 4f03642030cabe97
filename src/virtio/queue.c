/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

/* Offsets in the available ring (flags, idx, ring[], used_event) and the used ring alike. */
#define RING_IDX     2
#define RING_ENTRIES 4

void virtq_reset(struct virtq *vq)
{
	memset(vq->state, 0, sizeof(*vq->state));
	vq->state->size = vq->size_max;
	vq->state->vector = VIRTQ_NO_VECTOR;
	vq->event_idx = false;
	vq->indirect = false;
	vq->kicked = false;
	vq->used_pending = false;
}

bool virtq_addresses_ok(const struct virtq_state *st)
{
	return st->desc % VRING_DESC_ALIGN_SIZE == 0 && st->driver % VRING_AVAIL_ALIGN_SIZE == 0 &&
	       st->device % VRING_USED_ALIGN_SIZE == 0;
}

static size_t driver_len(const struct virtq *vq)
{
	return RING_ENTRIES + 2u * vq->state->size + 2u;
}

static size_t device_len(const struct virtq *vq)
{
	return RING_ENTRIES + 8u * vq->state->size + 2u;
}

static int read_driver(struct virtq *vq, struct iommu_space *space, size_t offset, uint16_t *value)
{
	uint8_t *p =
		iommu_window_get(&vq->driver, space, vq->state->driver, driver_len(vq), PROT_READ);

	if (p) {
		*value = le16toh(__atomic_load_n((uint16_t *)(p + offset), __ATOMIC_ACQUIRE));
		return 0;
	}
	if (iommu_read(space, vq->state->driver + offset, value, sizeof(*value)))
		return -EFAULT;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	*value = le16toh(*value);
	return 0;
}

static int write_device16(struct virtq *vq, struct iommu_space *space, size_t offset,
			  uint16_t value)
{
	uint8_t *p =
		iommu_window_get(&vq->device, space, vq->state->device, device_len(vq), PROT_WRITE);

	value = htole16(value);
	if (p) {
		__atomic_store_n((uint16_t *)(p + offset), value, __ATOMIC_RELEASE);
		return 0;
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return iommu_write(space, vq->state->device + offset, &value, sizeof(value));
}

static int read_desc(struct virtq *vq, struct iommu_space *space, uint16_t i,
		     struct vring_desc *desc)
{
	uint8_t *p = iommu_window_get(&vq->desc, space, vq->state->desc,
				      sizeof(*desc) * vq->state->size, PROT_READ);

	if (!p)
		return iommu_read(space, vq->state->desc + sizeof(*desc) * i, desc, sizeof(*desc));
	memcpy(desc, p + sizeof(*desc) * i, sizeof(*desc));
	return 0;
}

/* Where the descriptors of a chain come from: the table, or an indirect table that was copied. */
struct walk {
	struct virtq *vq;
	struct iommu_space *space;
	struct virtq_chain *chain;
	const struct vring_desc *indirect; /* NULL: the queue's own table */
	uint16_t count;                    /* descriptors in the table */
	const char **why;
};

static int broken(const struct walk *w, const char *why)
{
	*w->why = why;
	return -EPROTO;
}

static int fault(const struct walk *w)
{
	*w->why = iommu_space_fault(w->space);
	return -EFAULT;
}

static int chain_add(struct walk *w, const struct vring_desc *desc)
{
	bool in = le16toh(desc->flags) & VRING_DESC_F_WRITE;
	struct virtq_chain *c = w->chain;
	uint32_t len = le32toh(desc->len);
	uint16_t have = (uint16_t)(c->nout + c->nin);
	int n;

	if (!in && c->nin)
		return broken(w, "a device-readable descriptor follows a device-writable one");
	n = iommu_pin(w->space, le64toh(desc->addr), len, in ? PROT_WRITE : PROT_READ,
		      &c->segs[have], VIRTQ_SEGS_MAX - have);
	if (n == -E2BIG)
		return broken(w, "a descriptor chain is in too many pieces");
	if (n < 0)
		return fault(w);
	if (in) {
		c->nin = (uint16_t)(c->nin + n);
		c->in_len += len;
	} else {
		c->nout = (uint16_t)(c->nout + n);
		c->out_len += len;
	}
	return 0;
}

static int walk_chain(struct walk *w, uint16_t i);

static int walk_indirect(struct walk *w, const struct vring_desc *desc)
{
	struct vring_desc table[VIRTQ_SIZE_MAX];
	uint32_t len = le32toh(desc->len);
	struct walk inner = *w;

	if (!w->vq->indirect)
		return broken(w, "an indirect descriptor that was not negotiated");
	if (w->indirect)
		return broken(w, "an indirect descriptor in an indirect table");
	if (le16toh(desc->flags) & VRING_DESC_F_NEXT)
		return broken(w, "an indirect descriptor with a next one");
	if (!len || len % sizeof(*desc) || len > sizeof(table))
		return broken(w, "an indirect table of bad length");
	if (iommu_read(w->space, le64toh(desc->addr), table, len))
		return fault(w);
	inner.indirect = table;
	inner.count = (uint16_t)(len / sizeof(*desc));
	return walk_chain(&inner, 0);
}

static int walk_chain(struct walk *w, uint16_t i)
{
	/* A chain has at most as many descriptors as its table: more is a loop. */
	for (uint16_t steps = 0; steps < w->count; steps++) {
		struct vring_desc desc;
		uint16_t flags;
		int err;

		if (w->indirect)
			desc = w->indirect[i];
		else if (read_desc(w->vq, w->space, i, &desc))
			return fault(w);
		flags = le16toh(desc.flags);
		if (flags & VRING_DESC_F_INDIRECT)
			return walk_indirect(w, &desc);
		err = chain_add(w, &desc);
		if (err)
			return err;
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		i = le16toh(desc.next);
		if (i >= w->count)
			return broken(w, "a descriptor's next is outside its table");
	}
	return broken(w, "a descriptor chain that loops");
}

int virtq_pop(struct virtq *vq, struct iommu_space *space, struct virtq_chain *chain,
	      const char **why)
{
	struct virtq_state *st = vq->state;
	struct walk w = {
		.vq = vq,
		.space = space,
		.chain = chain,
		.count = st->size,
		.why = why,
	};
	uint16_t avail, head;
	uint64_t bit;
	int err;

	if (read_driver(vq, space, RING_IDX, &avail))
		return fault(&w);
	if (avail == st->avail_next)
		return 0;
	if ((uint16_t)(avail - st->avail_next) > st->size)
		return broken(&w, "the available index jumped");
	if (read_driver(vq, space, RING_ENTRIES + 2u * (st->avail_next % st->size), &head))
		return fault(&w);
	if (head >= st->size)
		return broken(&w, "an available entry is outside the descriptor table");
	bit = 1ull << (head % 64);
	if (st->in_flight[head / 64] & bit)
		return broken(&w, "a descriptor was made available while the device has it");
	chain->head = head;
	chain->nout = 0;
	chain->nin = 0;
	chain->out_len = 0;
	chain->in_len = 0;
	err = walk_chain(&w, head);
	if (err) {
		iommu_unpin(chain->segs, (size_t)(chain->nout + chain->nin));
		return err;
	}
	st->in_flight[head / 64] |= bit;
	st->avail_next++;
	return 1;
}

void virtq_unpop(struct virtq *vq, const struct virtq_chain *chain)
{
	vq->state->in_flight[chain->head / 64] &= ~(1ull << (chain->head % 64));
	vq->state->avail_next--;
}

int virtq_push(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len)
{
	struct virtq_state *st = vq->state;
	struct vring_used_elem elem = { .id = htole32(head), .len = htole32(len) };
	size_t offset = RING_ENTRIES + sizeof(elem) * (st->used_next % st->size);
	uint8_t *p = iommu_window_get(&vq->device, space, st->device, device_len(vq), PROT_WRITE);

	if (p)
		memcpy(p + offset, &elem, sizeof(elem));
	else if (iommu_write(space, st->device + offset, &elem, sizeof(elem)))
		return -EFAULT;
	st->in_flight[head / 64] &= ~(1ull << (head % 64));
	st->used_next++;
	vq->used_pending = true;
	return write_device16(vq, space, RING_IDX, st->used_next);
}

bool virtq_enable_notify(struct virtq *vq, struct iommu_space *space)
{
	uint16_t avail;

	/* Without event index the driver notifies always: used.flags stays 0. */
	if (vq->event_idx) {
		write_device16(vq, space, RING_ENTRIES + 8u * vq->state->size,
			       vq->state->avail_next);
		/* The driver sees the event index before we look whether it came too late. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	return !read_driver(vq, space, RING_IDX, &avail) && avail != vq->state->avail_next;
}

bool virtq_interrupt_due(struct virtq *vq, struct iommu_space *space)
{
	struct virtq_state *st = vq->state;
	uint16_t now = st->used_next, old = st->used_signalled, value;
	bool valid = st->used_signalled_valid;

	if (!vq->used_pending)
		return false;
	vq->used_pending = false;
	/* The driver sees the used index before we read what it asked for (virtio 1.3, 2.7.10). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vq->event_idx)
		return !read_driver(vq, space, 0, &value) && !(value & VRING_AVAIL_F_NO_INTERRUPT);
	st->used_signalled = now;
	st->used_signalled_valid = true;
	if (read_driver(vq, space, RING_ENTRIES + 2u * st->size, &value))
		return false;
	return !valid || vring_need_event(value, now, old);
}

static size_t copy(const struct iommu_seg *segs, size_t n, uint64_t offset, uint8_t *data,
		   size_t len, bool in)
{
	size_t done = 0;

	for (size_t i = 0; i < n && done < len; i++) {
		size_t chunk;

		if (offset >= segs[i].len) {
			offset -= segs[i].len;
			continue;
		}
		chunk = segs[i].len - offset < len - done ? segs[i].len - offset : len - done;
		if (in)
			memcpy((uint8_t *)segs[i].base + offset, data + done, chunk);
		else
			memcpy(data + done, (uint8_t *)segs[i].base + offset, chunk);
		done += chunk;
		offset = 0;
	}
	return done;
}

size_t virtq_copy_out(const struct iommu_seg *segs, size_t n, uint64_t offset, void *data,
		      size_t len)
{
	return copy(segs, n, offset, data, len, false);
}

size_t virtq_copy_in(const struct iommu_seg *segs, size_t n, uint64_t offset, const void *data,
		     size_t len)
{
	return copy(segs, n, offset, (uint8_t *)data, len, true);
}
