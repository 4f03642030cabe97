/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/queue_internal.h"

/* VIRTIO_F_IN_ORDER: what was taken, and how much of it has come back. */
struct virtq_order {
	uint16_t first; /* the oldest that was not returned to the driver */
	uint16_t count;
	struct {
		uint16_t head;
		bool done;
		uint32_t len;
	} chain[VIRTQ_SIZE_MAX];
};

void virtq_reset(struct virtq *vq)
{
	/* What only packed rings use stays untouched memory where there was none. */
	memset(vq->state, 0,
	       vq->packed ? sizeof(*vq->state) : offsetof(struct virtq_state, ndescs));
	vq->state->size = vq->size_max;
	vq->state->vector = VIRTQ_NO_VECTOR;
	vq->kicked = false;
	vq->resetting = false;
	vq->in_flight = 0;
	vq->unpublished = 0;
	vq->used_pending = false;
}

void virtq_destroy(struct virtq *vq)
{
	free(vq->order);
	vq->order = NULL;
}

bool virtq_addresses_ok(const struct virtq_state *st, bool packed)
{
	unsigned int driver_align = packed ? 4 : VRING_AVAIL_ALIGN_SIZE;

	return st->desc % VRING_DESC_ALIGN_SIZE == 0 && st->driver % driver_align == 0 &&
	       st->device % VRING_USED_ALIGN_SIZE == 0;
}

int virtq_prepare(struct virtq *vq)
{
	if (!vq->order)
		vq->order = malloc(sizeof(*vq->order));
	return vq->order ? 0 : -ENOMEM;
}

static void order_clear(struct virtq *vq)
{
	if (!vq->order)
		return;
	vq->order->first = 0;
	vq->order->count = 0;
}

void virtq_restored(struct virtq *vq)
{
	memset(vq->state->in_flight, 0, sizeof(vq->state->in_flight));
	vq->in_flight = 0;
	vq->unpublished = 0;
	vq->used_pending = false;
	order_clear(vq);
}

int virtq_find_place(struct virtq *vq, struct iommu_space *space)
{
	int err = vq->packed ? 0 : split_find_place(vq, space);

	if (!err)
		vq->state->place_unknown = 0;
	return err;
}

int virtq_enable(struct virtq *vq)
{
	struct virtq_state *st = vq->state;

	if (!virtq_addresses_ok(st, vq->packed))
		return -EINVAL;
	if (vq->in_order && virtq_prepare(vq))
		return -ENOMEM;
	order_clear(vq);
	st->avail_wrap = 1;
	st->used_wrap = 1;
	st->enabled = 1;
	return 0;
}

int virtq_read(struct iommu_space *space, struct iommu_window *window, uint64_t area,
	       size_t area_len, size_t offset, void *data, size_t len)
{
	uint8_t *p = iommu_window_get(window, space, area, area_len, PROT_READ);

	if (!p)
		return iommu_read(space, area + offset, data, len);
	memcpy(data, p + offset, len);
	/* What is looked at is this copy: the compiler must not read the driver's memory again. */
	__asm__ volatile("" : : : "memory");
	return 0;
}

int virtq_write(struct iommu_space *space, struct iommu_window *window, uint64_t area,
		size_t area_len, size_t offset, const void *data, size_t len)
{
	uint8_t *p = iommu_window_get(window, space, area, area_len, PROT_WRITE);

	if (!p)
		return iommu_write(space, area + offset, data, len);
	memcpy(p + offset, data, len);
	return 0;
}

int virtq_read16(struct iommu_space *space, struct iommu_window *window, uint64_t area,
		 size_t area_len, size_t offset, uint16_t *value)
{
	uint8_t *p = iommu_window_get(window, space, area, area_len, PROT_READ);

	if (p) {
		*value = le16toh(__atomic_load_n((uint16_t *)(p + offset), __ATOMIC_ACQUIRE));
		return 0;
	}
	if (iommu_read(space, area + offset, value, sizeof(*value)))
		return -EFAULT;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	*value = le16toh(*value);
	return 0;
}

int virtq_write16(struct iommu_space *space, struct iommu_window *window, uint64_t area,
		  size_t area_len, size_t offset, uint16_t value)
{
	uint8_t *p = iommu_window_get(window, space, area, area_len, PROT_WRITE);

	value = htole16(value);
	if (p) {
		__atomic_store_n((uint16_t *)(p + offset), value, __ATOMIC_RELEASE);
		return 0;
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return iommu_write(space, area + offset, &value, sizeof(value));
}

int virtq_pop(struct virtq *vq, struct iommu_space *space, struct virtq_chain *chain,
	      const char **why)
{
	struct virtq_state *st = vq->state;
	int got;

	chain->nout = 0;
	chain->nin = 0;
	chain->out_len = 0;
	chain->in_len = 0;
	got = vq->packed ? packed_pop(vq, space, chain, why) : split_pop(vq, space, chain, why);
	if (got <= 0)
		return got;
	st->in_flight[chain->head / 64] |= 1ull << (chain->head % 64);
	vq->in_flight++;
	if (vq->in_order) {
		struct virtq_order *o = vq->order;
		uint16_t at = (uint16_t)((o->first + o->count++) % VIRTQ_SIZE_MAX);

		o->chain[at].head = chain->head;
		o->chain[at].done = false;
	}
	return 1;
}

void virtq_unpop(struct virtq *vq, const struct virtq_chain *chain)
{
	virtq_forget(vq, chain->head);
	if (vq->in_order)
		vq->order->count--;
	if (vq->packed)
		packed_unpop(vq, chain);
	else
		split_unpop(vq, chain);
}

static int add_used(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len)
{
	int err = vq->packed ? packed_add_used(vq, space, head, len)
			     : split_add_used(vq, space, head, len);

	if (!err)
		vq->unpublished++;
	return err;
}

/* Notes that a chain is done, and adds those whose turn it is. */
static int add_in_order(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len)
{
	struct virtq_order *o = vq->order;
	int err = 0;

	for (uint16_t i = 0; i < o->count; i++) {
		uint16_t at = (uint16_t)((o->first + i) % VIRTQ_SIZE_MAX);

		if (o->chain[at].head != head || o->chain[at].done)
			continue;
		o->chain[at].done = true;
		o->chain[at].len = len;
		break;
	}
	while (!err && o->count && o->chain[o->first].done) {
		err = add_used(vq, space, o->chain[o->first].head, o->chain[o->first].len);
		o->first = (uint16_t)((o->first + 1) % VIRTQ_SIZE_MAX);
		o->count--;
	}
	return err;
}

void virtq_forget(struct virtq *vq, uint16_t head)
{
	vq->state->in_flight[head / 64] &= ~(1ull << (head % 64));
	vq->in_flight--;
}

int virtq_add_used(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len)
{
	virtq_forget(vq, head);
	return vq->in_order ? add_in_order(vq, space, head, len) : add_used(vq, space, head, len);
}

int virtq_publish_used(struct virtq *vq, struct iommu_space *space)
{
	if (!vq->unpublished)
		return 0;
	vq->unpublished = 0;
	vq->used_pending = true;
	return vq->packed ? packed_publish_used(vq, space) : split_publish_used(vq, space);
}

int virtq_push(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len)
{
	int err = virtq_add_used(vq, space, head, len);

	return err ? err : virtq_publish_used(vq, space);
}

bool virtq_enable_notify(struct virtq *vq, struct iommu_space *space)
{
	return vq->packed ? packed_enable_notify(vq, space) : split_enable_notify(vq, space);
}

bool virtq_interrupt_due(struct virtq *vq, struct iommu_space *space)
{
	if (!vq->used_pending)
		return false;
	vq->used_pending = false;
	/* The driver sees what was used before we read what it asked for (2.7.10, 2.8.21). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vq->packed ? packed_interrupt_due(vq, space) : split_interrupt_due(vq, space);
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

unsigned int virtq_to_iov(const struct iommu_seg *segs, size_t n, uint64_t from, uint64_t len,
			  struct iovec *iov)
{
	unsigned int count = 0;

	for (size_t i = 0; i < n && len; i++) {
		uint64_t chunk;

		if (from >= segs[i].len) {
			from -= segs[i].len;
			continue;
		}
		chunk = segs[i].len - from < len ? segs[i].len - from : len;
		iov[count].iov_base = (uint8_t *)segs[i].base + from;
		iov[count].iov_len = chunk;
		count++;
		len -= chunk;
		from = 0;
	}
	return count;
}
