/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The block device (virtio 1.3, 5.2) on a raw image: a regular file or a block device, by io_uring.
 *
 * A request is a chain that was taken from the queue; it lives in one blk_request from pop to
 * complete. Requests complete in whatever order the kernel finishes them. Transfers go straight
 * between the image and the guest's memory, except where O_DIRECT forbids the guest's alignment.
 *
 * What a guest can't do is leave the image changed outside of what it asked for: ranges are checked
 * against the capacity, and writes also against the size that the image has now, since writing
 * behind the end of a file that somebody truncated would make it grow again.
 *
 * An image that hangs must hold up its own function only, so nothing here may wait for it. For
 * images whose file system asks another process or machine (remote) even what should not wait may:
 * a non-blocking read, fstat(). There, everything is left to threads of the kernel's.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/devices.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE  (1u << SECTOR_SHIFT)

#define BLK_REQUESTS_MAX 64          /* taken in one go */
#define BLK_BOUNCE_MAX   (64u << 20) /* bytes; more than any driver's request */
#define BLK_SEG_MAX      254         /* data segments of one request, at most */

struct blk {
	struct virtio_device dev;
	struct virtio_blk_config config;
	struct uring *uring;
	int fd;
	bool regular;
	bool remote;
	bool readonly;
	uint32_t direct_align; /* bytes; 0: any buffer will do */
	uint64_t capacity;     /* bytes */
	char serial[DEVICE_SERIAL_LEN];
	bool size_checked; /* in this go */
	uint64_t size_now; /* bytes, if regular */
#ifdef RIDGE_FAULTS
	bool hang;
	struct list held;
#endif
};

struct blk_request {
	struct uring_op op;
	struct blk *blk;
	struct virtq *vq;
	uint16_t head;
	uint16_t nsegs;
	uint32_t type;
	uint64_t offset;   /* in the image, of what is left */
	uint64_t left;     /* bytes */
	uint64_t written;  /* to the guest, but for the status */
	uint8_t *status;   /* in the guest's memory */
	struct iovec *iov; /* what is left */
	unsigned int niov;
	struct statx *sx; /* remote: asked for before a write */
	void *bounce;     /* O_DIRECT with a buffer that is not aligned */
	uint64_t bounce_len;
	struct iovec bounce_iov;
#ifdef RIDGE_FAULTS
	struct list node;
	uint8_t held_status;
#endif
	struct iovec *iovs;      /* nsegs, behind segs */
	struct iommu_seg segs[]; /* nsegs */
};

static struct blk *blk_of(struct virtio_device *dev)
{
	return container_of(dev, struct blk, dev);
}

/* --- completion --- */

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
	virtio_device_complete(dev, vq, r->head, (uint32_t)(r->written + 1), r->segs, r->nsegs);
	free(r->bounce);
	free(r->sx);
	free(r);
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

void blk_fault_hang(struct virtio_device *dev, bool hang)
{
	struct blk *blk = blk_of(dev);

	blk->hang = hang;
	while (!hang && !list_empty(&blk->held)) {
		struct blk_request *r = list_first(&blk->held, struct blk_request, node);

		list_del(&r->node);
		request_end(r, r->held_status);
	}
}
#else
static bool request_held(struct blk_request *r, uint8_t status)
{
	(void)r;
	(void)status;
	return false;
}
#endif

static void request_done(struct blk_request *r, uint8_t status)
{
	if (!request_held(r, status))
		request_end(r, status);
}

static int request_submit(struct blk_request *r);

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

static void unbounce(struct blk_request *r)
{
	size_t done = 0;

	for (unsigned int i = 0; i < r->nsegs; i++) {
		if (!r->iovs[i].iov_len)
			continue;
		memcpy(r->iovs[i].iov_base, (uint8_t *)r->bounce + done, r->iovs[i].iov_len);
		done += r->iovs[i].iov_len;
	}
}

static void on_io(struct uring_op *op, int result)
{
	struct blk_request *r = container_of(op, struct blk_request, op);
	uint8_t status = VIRTIO_BLK_S_OK;

	if (result == -EINTR || result == -EAGAIN)
		result = request_submit(r);
	else if (result > 0 && r->type != VIRTIO_BLK_T_FLUSH && (uint64_t)result <= r->left) {
		advance(r, (uint64_t)result);
		result = r->left ? request_submit(r) : 1;
	} else if (result == 0 && r->type != VIRTIO_BLK_T_FLUSH) {
		result = -EIO; /* the image is shorter than it was */
	} else if (result == 0) {
		result = 1;
	}
	if (result == 0)
		return; /* goes on */
	if (result < 0) {
		status = VIRTIO_BLK_S_IOERR;
		log_debug("%s: request failed: %s", r->blk->dev.name, strerror(-result));
	} else if (r->bounce && r->type == VIRTIO_BLK_T_IN) {
		unbounce(r);
	}
	request_done(r, status);
}

/* 0 if it is under way now, else a negative errno. */
static int request_submit(struct blk_request *r)
{
	struct blk *blk = r->blk;
	/* Without FLUSH the driver takes a completed write for a stable one (5.2.6.2). */
	int flags = virtio_device_has(&blk->dev, VIRTIO_BLK_F_FLUSH) ? 0 : RWF_DSYNC;
	unsigned int n = r->niov < IOV_MAX ? r->niov : IOV_MAX;

	r->op.done = on_io;
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		return uring_readv(blk->uring, &r->op, blk->fd, r->iov, n, r->offset);
	case VIRTIO_BLK_T_OUT:
		return uring_writev(blk->uring, &r->op, blk->fd, r->iov, n, r->offset, flags);
	default:
		return uring_fdatasync(blk->uring, &r->op, blk->fd);
	}
}

/* --- requests --- */

static bool aligned(const struct blk_request *r, uint32_t align)
{
	for (unsigned int i = 0; i < r->niov; i++)
		if ((uintptr_t)r->iov[i].iov_base % align || r->iov[i].iov_len % align)
			return false;
	return true;
}

static int bounce(struct blk_request *r, uint32_t align)
{
	size_t done = 0;

	if (r->left > BLK_BOUNCE_MAX || posix_memalign(&r->bounce, align, r->left))
		return -ENOMEM;
	if (r->type == VIRTIO_BLK_T_OUT) {
		for (unsigned int i = 0; i < r->niov; i++) {
			memcpy((uint8_t *)r->bounce + done, r->iov[i].iov_base, r->iov[i].iov_len);
			done += r->iov[i].iov_len;
		}
	}
	r->bounce_iov.iov_base = r->bounce;
	r->bounce_iov.iov_len = r->left;
	r->iov = &r->bounce_iov;
	r->niov = 1;
	return 0;
}

/* The range is inside the disk, and inside the image as it is now, if that can be asked here. */
static bool range_ok(struct blk *blk, const struct blk_request *r, uint64_t sector)
{
	struct stat st;

	if (r->left % SECTOR_SIZE || sector > blk->capacity >> SECTOR_SHIFT ||
	    r->left > blk->capacity - (sector << SECTOR_SHIFT))
		return false;
	if (!blk->regular || blk->remote || r->type == VIRTIO_BLK_T_IN)
		return true;
	if (!blk->size_checked) {
		blk->size_now = fstat(blk->fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
		blk->size_checked = true;
	}
	return (sector << SECTOR_SHIFT) + r->left <= blk->size_now;
}

static void on_size(struct uring_op *op, int result)
{
	struct blk_request *r = container_of(op, struct blk_request, op);

	if (!result && r->offset + r->left > r->sx->stx_size)
		result = -EINVAL;
	if (!result)
		result = request_submit(r);
	if (result)
		request_done(r, VIRTIO_BLK_S_IOERR);
}

/* A write once the image's size is known to be enough for it. */
static int submit_if_inside(struct blk_request *r)
{
	r->sx = calloc(1, sizeof(*r->sx));
	if (!r->sx)
		return -ENOMEM;
	r->op.done = on_size;
	return uring_file_size(r->blk->uring, &r->op, r->blk->fd, r->sx);
}

/* Starts a read or write. 0 if it is under way, 1 if it is done, else a negative errno. */
static int start_io(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain,
		    uint64_t sector)
{
	int err;

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
	if (!range_ok(blk, r, sector))
		return -EINVAL;
	r->offset = sector << SECTOR_SHIFT;
	if (!r->left)
		return 1;
	if (blk->direct_align && !aligned(r, blk->direct_align)) {
		err = bounce(r, blk->direct_align);
		if (err)
			return err;
	}
	if (blk->remote && r->type == VIRTIO_BLK_T_OUT)
		return submit_if_inside(r);
	return request_submit(r);
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
	struct blk_request *r =
		calloc(1, sizeof(*r) + nsegs * (sizeof(struct iommu_seg) + sizeof(struct iovec)));

	if (!r)
		return NULL;
	r->op.offload = blk->remote;
	r->blk = blk;
	r->vq = vq;
	r->head = chain->head;
	r->nsegs = nsegs;
	memcpy(r->segs, chain->segs, nsegs * sizeof(r->segs[0]));
	r->iovs = (struct iovec *)(r->segs + nsegs);
	return r;
}

static void request_start(struct blk *blk, struct virtq *vq, struct virtq_chain *chain)
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
	/* The status is the last byte of the chain (5.2.6). Zero-length segments are never stored.
	 */
	r->status = (uint8_t *)r->segs[nsegs - 1].base + r->segs[nsegs - 1].len - 1;
	r->type = le32toh(header.type);
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		result = start_io(blk, r, chain, le64toh(header.sector));
		break;
	case VIRTIO_BLK_T_FLUSH:
		result = request_submit(r);
		break;
	case VIRTIO_BLK_T_GET_ID:
		result = get_id(blk, r, chain);
		break;
	default:
		result = -EOPNOTSUPP;
	}
	if (result > 0)
		request_done(r, VIRTIO_BLK_S_OK);
	else if (result < 0)
		request_done(r, result == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR);
}

static void blk_process(struct virtio_device *dev, struct virtq *vq)
{
	struct blk *blk = blk_of(dev);
	struct virtq_chain chain;

	blk->size_checked = false;
	for (int i = 0; i < BLK_REQUESTS_MAX; i++) {
		if (!virtio_device_pop(dev, vq, &chain))
			return;
		request_start(blk, vq, &chain);
	}
	virtio_device_notify_again(dev, vq);
}

static void blk_destroy(struct virtio_device *dev)
{
	struct blk *blk = blk_of(dev);

	fd_close(&blk->fd);
	free(blk);
}

static const struct virtio_device_ops blk_ops = {
	.process = blk_process,
	.destroy = blk_destroy,
};

/* --- creation --- */

/* Whether the image's file system asks another process or machine. */
static bool is_remote(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return true;
	switch ((uint32_t)fs.f_type) {
	case FUSE_SUPER_MAGIC:
	case NFS_SUPER_MAGIC:
	case SMB_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case CEPH_SUPER_MAGIC:
	case V9FS_MAGIC:
	case AFS_SUPER_MAGIC:
	case AFS_FS_MAGIC:
	case CODA_SUPER_MAGIC:
	case OCFS2_SUPER_MAGIC:
		return true;
	default:
		return false;
	}
}

/* Size and alignment of the image. Returns 0 or a negative errno. */
static int probe_image(struct blk *blk, const struct device_params *p, uint32_t *block_size)
{
	struct statx sx;
	int logical = SECTOR_SIZE;

	if (statx(blk->fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE | STATX_DIOALIGN, &sx) < 0)
		return -errno;
	if (S_ISBLK(sx.stx_mode)) {
		if (ioctl(blk->fd, BLKGETSIZE64, &blk->capacity) < 0 ||
		    ioctl(blk->fd, BLKSSZGET, &logical) < 0)
			return -errno;
	} else if (S_ISREG(sx.stx_mode)) {
		blk->capacity = sx.stx_size;
		blk->regular = true;
		blk->remote = is_remote(blk->fd);
	} else {
		return -EINVAL;
	}
	*block_size = (uint32_t)logical;
	if (p->direct) {
		blk->direct_align = *block_size;
		if ((sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_offset_align)
			*block_size = sx.stx_dio_offset_align;
		if ((sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_mem_align > blk->direct_align)
			blk->direct_align = sx.stx_dio_mem_align;
		if (*block_size > blk->direct_align)
			blk->direct_align = *block_size;
	}
	blk->capacity &= ~(uint64_t)(*block_size - 1);
	return blk->capacity ? 0 : -ENODATA;
}

static void fill_config(struct blk *blk, uint32_t block_size, uint16_t queue_size)
{
	uint32_t seg_max = queue_size - 2u < BLK_SEG_MAX ? queue_size - 2u : BLK_SEG_MAX;

	blk->config.capacity = htole64(blk->capacity >> SECTOR_SHIFT);
	blk->config.seg_max = htole32(seg_max ? seg_max : 1);
	blk->config.blk_size = htole32(block_size);
	blk->dev.config = (uint8_t *)&blk->config;
	blk->dev.config_len = offsetof(struct virtio_blk_config, max_secure_erase_sectors);
	blk->dev.features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			    1ull << VIRTIO_BLK_F_FLUSH;
	if (blk->readonly)
		blk->dev.features |= 1ull << VIRTIO_BLK_F_RO;
}

int blk_create(const struct device_type *type, const struct device_params *p,
	       struct virtio_device **dev)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	uint32_t block_size = SECTOR_SIZE;
	const char *serial = p->serial[0] ? p->serial : p->name;
	int err = 0;

	if (!blk)
		return -ENOMEM;
	blk->dev.ops = &blk_ops;
	blk->uring = p->uring;
	blk->fd = p->backend;
	blk->readonly = p->readonly;
#ifdef RIDGE_FAULTS
	list_init(&blk->held);
#endif
	memcpy(blk->serial, serial, strnlen(serial, sizeof(blk->serial)));
	if (blk->fd >= 0)
		err = probe_image(blk, p, &block_size);
	if (!err) {
		fill_config(blk, block_size, p->queue_size ? p->queue_size : type->queue_size);
		err = device_setup(&blk->dev, type, p);
	}
	if (err) {
		free(blk);
		return err;
	}
	*dev = &blk->dev;
	return 0;
}
