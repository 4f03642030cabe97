/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Moving data: a request's buffers to or from the image, piece by piece, so that no request keeps
 * the loop, or memory, for itself. A piece that O_DIRECT does not take as the guest has it goes
 * through one of a few bounce buffers; requests wait for one in the order they came.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "devices/blk.h"

int blk_write_flags(const struct blk *blk)
{
	bool writeback = virtio_device_has(&blk->dev, VIRTIO_BLK_F_CONFIG_WCE)
				 ? blk->config.wce
				 : virtio_device_has(&blk->dev, VIRTIO_BLK_F_FLUSH);

	return writeback ? 0 : RWF_DSYNC;
}

/* Between a bounce buffer and what is left of the guest's. */
static void copy_bounce(struct blk_request *r, size_t len, bool to_guest)
{
	size_t done = 0;

	for (unsigned int i = 0; i < r->niov && done < len; i++) {
		size_t n = r->iov[i].iov_len < len - done ? r->iov[i].iov_len : len - done;

		if (to_guest)
			memcpy(r->iov[i].iov_base, (uint8_t *)r->bounce + done, n);
		else
			memcpy((uint8_t *)r->bounce + done, r->iov[i].iov_base, n);
		done += n;
	}
}

static void advance(struct blk_request *r, uint64_t n)
{
	r->offset += n;
	r->left -= n;
	if (r->type == VIRTIO_BLK_T_IN)
		r->written += n;
	else
		counter_add(r->blk->dev.counters, write_bytes, n);
	while (n) {
		size_t chunk = r->iov->iov_len < n ? r->iov->iov_len : n;

		r->iov->iov_base = (uint8_t *)r->iov->iov_base + chunk;
		r->iov->iov_len -= chunk;
		n -= chunk;
		if (!r->iov->iov_len) {
			r->iov++;
			r->niov--;
		}
	}
}

static bool aligned(const struct iovec *iov, unsigned int n, uint32_t align)
{
	for (unsigned int i = 0; i < n; i++)
		if ((uintptr_t)iov[i].iov_base % align || iov[i].iov_len % align)
			return false;
	return true;
}

/* As many of the buffers as make a piece; a long first one is cut. */
static unsigned int next_piece(struct blk_request *r, const struct iovec **iov, size_t *len)
{
	unsigned int n = 0;

	*len = 0;
	while (n < r->niov && n < IOV_MAX && *len + r->iov[n].iov_len <= BLK_PIECE_MAX)
		*len += r->iov[n++].iov_len;
	*iov = r->iov;
	if (n)
		return n;
	*len = BLK_PIECE_MAX;
	r->piece = (struct iovec){ .iov_base = r->iov->iov_base, .iov_len = *len };
	*iov = &r->piece;
	return 1;
}

/* A bounce buffer for the next piece. 0, or -EAGAIN: the request waits for one. */
static int take_bounce(struct blk_request *r)
{
	struct blk *blk = r->blk;

	if (r->bounce)
		return 0;
	if (blk->bounces == BLK_BOUNCES_MAX) {
		list_add_tail(&blk->bounce_waits, &r->node);
		return -EAGAIN;
	}
	if (posix_memalign(&r->bounce, blk->direct_align, BLK_PIECE_MAX))
		return -ENOMEM;
	blk->bounces++;
	return 0;
}

static int submit(struct blk_request *r);

void blk_io_end(struct blk_request *r)
{
	struct blk *blk = r->blk;
	struct blk_request *next;

	if (!r->bounce)
		return;
	free(r->bounce);
	r->bounce = NULL;
	blk->bounces--;
	if (list_empty(&blk->bounce_waits))
		return;
	next = list_first(&blk->bounce_waits, struct blk_request, node);
	list_del(&next->node);
	if (submit(next))
		blk_request_done(next, VIRTIO_BLK_S_IOERR);
}

void blk_io_reset(struct blk *blk)
{
	while (!list_empty(&blk->bounce_waits)) {
		struct blk_request *r = list_first(&blk->bounce_waits, struct blk_request, node);

		list_del(&r->node);
		blk_request_done(r, VIRTIO_BLK_S_IOERR);
	}
}

static void on_io(struct uring_op *op, int result)
{
	struct blk_request *r = container_of(op, struct blk_request, op);

	if (result == -EINTR || result == -EAGAIN) {
		result = 0;
	} else if (result > 0 && (uint64_t)result <= r->left) {
		if (r->bounce && r->type == VIRTIO_BLK_T_IN)
			copy_bounce(r, (size_t)result, true);
		advance(r, (uint64_t)result);
		result = 0;
	} else if (!result) {
		result = -EIO; /* the image is shorter than it was */
	}
	if (!result && r->left)
		result = submit(r);
	else if (!result) {
		blk_request_done(r, VIRTIO_BLK_S_OK);
		return;
	}
	if (result) {
		log_debug("%s: request failed: %s", r->blk->dev.name, strerror(-result));
		blk_request_done(r, VIRTIO_BLK_S_IOERR);
	}
}

/* Starts the next piece. 0 if it is under way or waits, else a negative errno. */
static int submit(struct blk_request *r)
{
	struct blk *blk = r->blk;
	const struct iovec *iov;
	unsigned int n;
	size_t len;
	int err;

	n = next_piece(r, &iov, &len);
	if (blk->direct_align && !aligned(iov, n, blk->direct_align)) {
		err = take_bounce(r);
		if (err)
			return err == -EAGAIN ? 0 : err;
		len = r->left < BLK_PIECE_MAX ? r->left : BLK_PIECE_MAX;
		if (r->type == VIRTIO_BLK_T_OUT)
			copy_bounce(r, len, false);
		r->piece = (struct iovec){ .iov_base = r->bounce, .iov_len = len };
		iov = &r->piece;
		n = 1;
	}
	r->op.done = on_io;
	if (r->type == VIRTIO_BLK_T_IN)
		return uring_readv(blk->uring, &r->op, blk->fd, iov, n, len, r->offset);
	return uring_writev(blk->uring, &r->op, blk->fd, iov, n, len, r->offset,
			    blk_write_flags(blk));
}

static void on_size(struct uring_op *op, int result)
{
	struct blk_request *r = container_of(op, struct blk_request, op);

	if (!result && r->offset + r->left > r->sx->stx_size)
		result = -EINVAL;
	if (!result)
		result = submit(r);
	if (result)
		blk_request_done(r, VIRTIO_BLK_S_IOERR);
}

/* A write once the image's size is known to be enough for it. */
static int submit_if_inside(struct blk_request *r)
{
	r->sx = blk_request_memory(r, sizeof(*r->sx));
	if (!r->sx)
		return -ENOMEM;
	r->op.done = on_size;
	return uring_file_size(r->blk->uring, &r->op, r->blk->fd, r->sx);
}

int blk_io_start(struct blk_request *r)
{
	return r->blk->remote && r->type == VIRTIO_BLK_T_OUT ? submit_if_inside(r) : submit(r);
}

static void on_flush(struct uring_op *op, int result)
{
	struct blk_request *r = container_of(op, struct blk_request, op);

	if (result == -EINTR || result == -EAGAIN)
		result = blk_flush_start(r);
	else if (!result) {
		blk_request_done(r, VIRTIO_BLK_S_OK);
		return;
	}
	if (result)
		blk_request_done(r, VIRTIO_BLK_S_IOERR);
}

int blk_flush_start(struct blk_request *r)
{
	r->op.done = on_flush;
	return uring_fdatasync(r->blk->uring, &r->op, r->blk->fd);
}
