/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Discard and write zeroes (virtio 1.3, 5.2.6): ranges of the image that are deallocated, or made
 * to read as zeroes. One range after the other; where the file system or device can't, a discard
 * does nothing, being a hint, and zeroes are written.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "devices/blk.h"

static uint64_t range_offset(const struct virtio_blk_discard_write_zeroes *range)
{
	return le64toh(range->sector) << SECTOR_SHIFT;
}

static uint64_t range_len(const struct virtio_blk_discard_write_zeroes *range)
{
	return (uint64_t)le32toh(range->num_sectors) << SECTOR_SHIFT;
}

static int submit(struct blk_request *r);

static void finish(struct blk_request *r, int err)
{
	blk_request_done(r, err ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

/* On to the next range; ends the request behind the last. */
static void next(struct blk_request *r)
{
	int err;

	r->ranges->next++;
	r->ranges->zeroes_done = 0;
	if (r->ranges->next < r->ranges->count) {
		err = submit(r);
	} else if (r->ranges->unstable) {
		err = blk_flush_start(r);
	} else {
		finish(r, 0);
		return;
	}
	if (err)
		finish(r, err);
}

static int write_zeroes(struct blk_request *r);

static void on_written(struct uring_op *op, int result)
{
	struct blk_request *r = container_of(op, struct blk_request, op);
	struct blk_ranges *ranges = r->ranges;
	int err;

	if (result > 0)
		ranges->zeroes_done += (uint64_t)result;
	else if (result != -EINTR && result != -EAGAIN) {
		finish(r, result ? result : -EIO);
		return;
	}
	if (ranges->zeroes_done >= range_len(&ranges->range[ranges->next])) {
		next(r);
		return;
	}
	err = write_zeroes(r);
	if (err)
		finish(r, err);
}

static int write_zeroes(struct blk_request *r)
{
	const struct virtio_blk_discard_write_zeroes *range = &r->ranges->range[r->ranges->next];
	static const uint8_t zeroes[65536] __attribute__((aligned(4096)));
	uint64_t left = range_len(range) - r->ranges->zeroes_done;
	struct iovec *iov = r->ranges->iov;
	unsigned int n = 0;
	size_t len = 0;

	for (; n < ZEROES_IOVS && len < left; n++) {
		iov[n].iov_base = (void *)zeroes;
		iov[n].iov_len = left - len < sizeof(zeroes) ? left - len : sizeof(zeroes);
		len += iov[n].iov_len;
	}
	r->op.done = on_written;
	return uring_writev(r->blk->uring, &r->op, r->blk->fd, iov, n, len,
			    range_offset(range) + r->ranges->zeroes_done, blk_write_flags(r->blk));
}

static void on_allocated(struct uring_op *op, int result)
{
	struct blk_request *r = container_of(op, struct blk_request, op);
	int err = 0;

	if (result == -EINTR || result == -EAGAIN)
		err = submit(r);
	else if (!result) {
		if (r->type == VIRTIO_BLK_T_WRITE_ZEROES && blk_write_flags(r->blk))
			r->ranges->unstable = true;
		next(r);
	} else if (result != -EOPNOTSUPP && result != -ENODEV && result != -EINVAL)
		err = result;
	else if (r->type == VIRTIO_BLK_T_DISCARD)
		next(r);
	else
		err = write_zeroes(r);
	if (err)
		finish(r, err);
}

static int submit(struct blk_request *r)
{
	const struct virtio_blk_discard_write_zeroes *range = &r->ranges->range[r->ranges->next];
	bool unmap = r->type == VIRTIO_BLK_T_DISCARD ||
		     (le32toh(range->flags) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);

	r->op.done = on_allocated;
	return uring_fallocate(r->blk->uring, &r->op, r->blk->fd,
			       FALLOC_FL_KEEP_SIZE |
				       (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
			       range_offset(range), range_len(range));
}

static int check(struct blk *blk, uint32_t type,
		 const struct virtio_blk_discard_write_zeroes *range)
{
	uint32_t flags = le32toh(range->flags);

	/* Unknown flags, and the one that discards must not have (5.2.6.2). */
	if (flags & ~(type == VIRTIO_BLK_T_DISCARD ? 0u : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return -EOPNOTSUPP;
	if (le32toh(range->num_sectors) > BLK_RANGE_MAX ||
	    le64toh(range->sector) > UINT64_MAX >> SECTOR_SHIFT ||
	    !blk_range_ok(blk, range_offset(range), range_len(range), true))
		return -EINVAL;
	return 0;
}

int blk_ranges_start(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain)
{
	uint64_t len = chain->out_len - sizeof(struct virtio_blk_outhdr);
	struct blk_ranges *ranges;
	int err;

	if (!len || len % sizeof(ranges->range[0]) || len > sizeof(ranges->range))
		return -EINVAL;
	ranges = blk_request_memory(r, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	r->ranges = ranges;
	virtq_copy_out(r->segs, chain->nout, sizeof(struct virtio_blk_outhdr), ranges->range, len);
	/* All are checked before any is touched; empty ones are left out. */
	for (size_t i = 0; i < len / sizeof(ranges->range[0]); i++) {
		err = check(blk, r->type, &ranges->range[i]);
		if (err)
			return err;
		if (ranges->range[i].num_sectors)
			ranges->range[ranges->count++] = ranges->range[i];
	}
	return ranges->count ? submit(r) : 1;
}
