/* SPDX-License-Identifier: BSD-3-Clause */
/* One request of a block device, from pop to complete. */
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/blk.h"

/* What legacy drivers may call a flush (5.2.6.3). */
#define FLUSH_OUT 5

/* --- completion --- */

/* Bytes that were written from the first on (2.7.8.2): the status counts if it comes next. */
static uint32_t used_len(const struct blk_request *r, uint8_t status)
{
	uint64_t data = status == VIRTIO_BLK_S_OK ? r->written : 0;

	return (uint32_t)(data + 1 == r->in_len ? data + 1 : data);
}

/*
 * Most requests have few segments, and come as fast as they go: they are not given back to
 * malloc(), which keeps only a handful of one size at hand.
 */
static void request_free(struct blk_request *r)
{
	struct blk *blk = r->blk;

	blk->memory -= r->memory;
	if (blk->full && blk->memory <= BLK_MEMORY_MAX / 2) {
		blk->full = false;
		virtio_device_resume(&blk->dev);
	}
	if (r->nsegs > BLK_SPARE_SEGS || blk->nspare == BLK_SPARE_MAX) {
		free(r);
		return;
	}
	list_add_tail(&blk->spare, &r->node);
	blk->nspare++;
}

void blk_requests_free(struct blk *blk)
{
	while (!list_empty(&blk->spare)) {
		struct blk_request *r = list_first(&blk->spare, struct blk_request, node);

		list_del(&r->node);
		free(r);
	}
	blk->nspare = 0;
}

/* Zeroes but for what is behind it. */
static struct blk_request *request_alloc(struct blk *blk, uint16_t room, size_t size)
{
	struct blk_request *r;

	if (room > BLK_SPARE_SEGS || list_empty(&blk->spare))
		return calloc(1, size);
	/* The last one that ended: it is in the caches. */
	r = container_of(blk->spare.prev, struct blk_request, node);
	list_del(&r->node);
	blk->nspare--;
	memset(r, 0, sizeof(*r));
	return r;
}

void *blk_request_memory(struct blk_request *r, size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (memory) {
		r->memory += (uint32_t)bytes;
		r->blk->memory += bytes;
	}
	return memory;
}

/* One interrupt for all that ended together. */
static void tell_driver(struct uring_batch *batch)
{
	struct virtio_device *dev = &container_of(batch, struct blk, ended)->dev;

	for (uint16_t i = 0; i < dev->nqueues; i++)
		virtio_device_flush(dev, &dev->queues[i]);
}

static void request_end(struct blk_request *r, uint8_t status)
{
	struct blk *blk = r->blk;
	struct virtio_device *dev = &blk->dev;
	struct virtq *vq = r->vq;

	if (status == VIRTIO_BLK_S_OK && r->type == VIRTIO_BLK_T_IN)
		counter_add(dev->counters, read_bytes, r->written);
	if (status != VIRTIO_BLK_S_OK)
		counter_inc(dev->counters, request_errors);
	*r->status = status;
	virtio_device_complete(dev, vq, r->head, used_len(r, status), r->segs, r->nsegs);
	blk_io_end(r);
	free(r->ranges);
	free(r->sx);
	request_free(r);
	if (!uring_after_batch(blk->uring, &blk->ended, tell_driver))
		virtio_device_flush(dev, vq);
}

#ifdef RIDGE_FAULTS
static bool request_held(struct blk_request *r, uint8_t status)
{
	if (!r->blk->hang)
		return false;
	r->held_status = status;
	list_add_tail(&r->blk->held, &r->node);
	return true;
}

void blk_fault_end(struct virtio_device *dev, unsigned int n)
{
	struct blk *blk = blk_of(dev);

	while (n-- && !list_empty(&blk->held)) {
		struct blk_request *r = list_first(&blk->held, struct blk_request, node);

		list_del(&r->node);
		request_end(r, r->held_status);
	}
}

void blk_fault_hang(struct virtio_device *dev, bool hang)
{
	blk_of(dev)->hang = hang;
	if (!hang)
		blk_fault_end(dev, UINT_MAX);
}
#else
static bool request_held(struct blk_request *r, uint8_t status)
{
	(void)r;
	(void)status;
	return false;
}
#endif

void blk_request_done(struct blk_request *r, uint8_t status)
{
	if (!request_held(r, status))
		request_end(r, status);
}

/* --- requests --- */

bool blk_range_ok(struct blk *blk, uint64_t offset, uint64_t len, bool write)
{
	struct stat st;

	/* What a remote image's size is now, blk_io.c asks without waiting. */
	if (offset > blk->capacity || len > blk->capacity - offset)
		return false;
	if (!blk->regular || blk->remote || !write)
		return true;
	if (!blk->size_checked) {
		blk->size_now = fstat(blk->fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
		blk->size_checked = true;
	}
	return offset + len <= blk->size_now;
}

/* Starts a read or write. 0 if it is under way, 1 if it is done, else a negative errno. */
static int start_io(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain,
		    uint64_t sector)
{
	r->iov = r->iovs;
	if (r->type == VIRTIO_BLK_T_IN) {
		r->left = chain->in_len - 1;
		r->niov = virtq_to_iov(r->segs + chain->nout, chain->nin, 0, r->left, r->iov);
	} else {
		r->left = chain->out_len - sizeof(struct virtio_blk_outhdr);
		r->niov = virtq_to_iov(r->segs, chain->nout, sizeof(struct virtio_blk_outhdr),
				       r->left, r->iov);
		if (blk->readonly)
			return -EROFS;
	}
	if (r->left % SECTOR_SIZE || sector > UINT64_MAX >> SECTOR_SHIFT ||
	    !blk_range_ok(blk, sector << SECTOR_SHIFT, r->left, r->type == VIRTIO_BLK_T_OUT))
		return -EINVAL;
	r->offset = sector << SECTOR_SHIFT;
	if (!r->left)
		return 1;
	return blk_io_start(r);
}

static int get_id(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain)
{
	uint64_t room = chain->in_len - 1;

	r->written = virtq_copy_in(r->segs + chain->nout, chain->nin, 0, blk->serial,
				   room < sizeof(blk->serial) ? room : sizeof(blk->serial));
	return 1;
}

static struct blk_request *request_new(struct blk *blk, struct virtq *vq,
				       const struct virtq_chain *chain)
{
	uint16_t nsegs = (uint16_t)(chain->nout + chain->nin);
	uint16_t room = nsegs > BLK_SPARE_SEGS ? nsegs : BLK_SPARE_SEGS;
	size_t size = sizeof(struct blk_request) +
		      room * (sizeof(struct iommu_seg) + sizeof(struct iovec));
	struct blk_request *r = request_alloc(blk, room, size);

	if (!r)
		return NULL;
	r->memory = (uint32_t)size;
	blk->memory += size;
	r->op.offload = blk->remote;
	r->blk = blk;
	r->vq = vq;
	r->head = chain->head;
	r->nsegs = nsegs;
	r->in_len = chain->in_len;
	memcpy(r->segs, chain->segs, nsegs * sizeof(r->segs[0]));
	r->iovs = (struct iovec *)(r->segs + nsegs);
	return r;
}

void blk_request_start(struct blk *blk, struct virtq *vq, struct virtq_chain *chain)
{
	uint16_t nsegs = (uint16_t)(chain->nout + chain->nin);
	struct virtio_blk_outhdr header;
	struct blk_request *r;
	int result;

	if (virtq_copy_out(chain->segs, chain->nout, 0, &header, sizeof(header)) < sizeof(header) ||
	    !chain->in_len) {
		virtio_device_stop(&blk->dev, "a request without header or status", false);
		virtio_device_complete(&blk->dev, vq, chain->head, 0, chain->segs, nsegs);
		return;
	}
	r = request_new(blk, vq, chain);
	if (!r) {
		virtio_device_stop(&blk->dev, "out of memory", false);
		virtio_device_complete(&blk->dev, vq, chain->head, 0, chain->segs, nsegs);
		return;
	}
	/*
	 * The status is the last byte of the chain (5.2.6). Zero-length segments are never stored.
	 */
	r->status = (uint8_t *)r->segs[nsegs - 1].base + r->segs[nsegs - 1].len - 1;
	r->type = le32toh(header.type);
	if (r->type == FLUSH_OUT && blk->dev.state->legacy)
		r->type = VIRTIO_BLK_T_FLUSH;
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		result = start_io(blk, r, chain, le64toh(header.sector));
		break;
	case VIRTIO_BLK_T_FLUSH:
		result = blk_flush_start(r);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		result = blk->readonly ? -EROFS : blk_ranges_start(blk, r, chain);
		break;
	case VIRTIO_BLK_T_GET_ID:
		result = get_id(blk, r, chain);
		break;
	default:
		result = -EOPNOTSUPP;
	}
	if (result > 0)
		blk_request_done(r, VIRTIO_BLK_S_OK);
	else if (result < 0)
		blk_request_done(r,
				 result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
}
