/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/blk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"

/* What file systems prefer, of an image that is not there yet. */
#define IMAGE_BLOCK 4096

static bool is_remote(int fd);

static void blk_process(struct virtio_device *dev, struct virtq *vq)
{
	struct blk *blk = blk_of(dev);
	struct virtq_chain chain;

	if (blk->want && !blk->failed) {
		/* A driver that only looks at its disk needs no image. */
		if (blk->wanted || !virtio_device_pop(dev, vq, &chain))
			return; /* blk_attach() has all queues looked at again */
		virtio_device_put_back(dev, vq, &chain);
		blk->wanted = true;
		blk->want(blk->want_ctx);
		return;
	}
	blk->size_checked = false;
	/*
	 * The last one may take more than there is: none is so large that it never has its turn.
	 * What is full stays so until request_free() has all queues looked at: nobody else does.
	 */
	while (!blk->full && virtio_device_pop(dev, vq, &chain)) {
		blk_request_start(blk, vq, &chain);
		virtio_device_charge(dev, VIRTIO_BUDGET / BLK_TURN - 1);
		blk->full = blk->memory >= BLK_MEMORY_MAX;
	}
}

static int image_size(int fd, uint64_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, bytes) < 0 ? -errno : 0;
	*bytes = (uint64_t)st.st_size;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

static void blk_destroy(struct virtio_device *dev)
{
	struct blk *blk = blk_of(dev);

	uring_batch_cancel(&blk->ended);
	blk_requests_free(blk);
	fd_close(&blk->fd);
	free(blk);
}

/*
 * The cache mode is all that a driver can write (5.2.5.1): when it has negotiated that, and legacy
 * drivers also before they negotiate at all (5.2.5.3).
 */
static void blk_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
			     uint32_t len)
{
	bool early =
		!(dev->state->status & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK));
	uint8_t mode = *(const uint8_t *)data;

	if (offset == offsetof(struct virtio_blk_config, wce) && len == 1 && mode <= 1 &&
	    (early || virtio_device_has(dev, VIRTIO_BLK_F_CONFIG_WCE)))
		blk_of(dev)->config.wce = mode;
}

/*
 * A driver that can't flush gets a cache that needs none (5.2.5.2), except for a legacy one that
 * has set the mode itself (5.2.5.3).
 */
static void blk_negotiated(struct virtio_device *dev)
{
	if (!virtio_device_has(dev, VIRTIO_BLK_F_FLUSH) &&
	    !(dev->state->legacy && virtio_device_has(dev, VIRTIO_BLK_F_CONFIG_WCE)))
		blk_of(dev)->config.wce = 0;
}

static void blk_reset(struct virtio_device *dev)
{
	struct blk *blk = blk_of(dev);

	blk->config.wce = 1;
	if (blk->failed)
		blk->wanted = false;
	blk->failed = false;
	blk_io_reset(blk);
}

void blk_attach(struct virtio_device *dev, int fd)
{
	struct blk *blk = blk_of(dev);

	if (fd < 0) {
		blk->failed = true;
	} else {
		blk->fd = fd;
		blk->remote = is_remote(fd);
		blk->want = NULL;
	}
	virtio_device_resume(dev);
}

int blk_resize(struct virtio_device *dev, uint64_t bytes)
{
	struct blk *blk = blk_of(dev);
	uint64_t have, mask = le32toh(blk->config.blk_size) - 1;
	int err = image_size(blk->fd, &have);

	if (err)
		return err;
	if (!bytes)
		bytes = have;
	bytes &= ~mask;
	if (bytes > have)
		return -ENOSPC;
	if (bytes < blk->capacity)
		return -EINVAL;
	if (bytes == blk->capacity)
		return 0;
	blk->capacity = bytes;
	blk->config.capacity = htole64(bytes >> SECTOR_SHIFT);
	virtio_device_config_changed(dev);
	return 0;
}

static const struct virtio_device_ops blk_ops = {
	.process = blk_process,
	.reset = blk_reset,
	.negotiated = blk_negotiated,
	.config_write = blk_config_write,
	.parts = blk_parts,
	.part_stage = blk_part_stage,
	.parts_apply = blk_parts_apply,
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
	int logical = SECTOR_SIZE, err;
	struct statx sx;

	if (statx(blk->fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_DIOALIGN, &sx) < 0)
		return -errno;
	err = image_size(blk->fd, &blk->capacity);
	if (err)
		return err;
	blk->regular = S_ISREG(sx.stx_mode);
	if (!blk->regular && ioctl(blk->fd, BLKSSZGET, &logical) < 0)
		return -errno;
	*block_size = (uint32_t)logical;
	blk->remote = blk->regular && is_remote(blk->fd);
	blk->physical = sx.stx_blksize;
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

/* Logical to physical block as a power of two (5.2.4, topology). */
static uint8_t physical_block_exp(uint32_t logical, uint32_t physical)
{
	uint8_t exp = 0;

	while ((logical << exp) < physical && exp < 8)
		exp++;
	return exp;
}

static void fill_config(struct blk *blk, uint32_t block_size, uint16_t queues, uint16_t queue_size)
{
	uint32_t seg_max = queue_size - 2u < BLK_SEG_MAX ? queue_size - 2u : BLK_SEG_MAX;
	struct virtio_blk_config *c = &blk->config;

	c->capacity = htole64(blk->capacity >> SECTOR_SHIFT);
	c->size_max = htole32(BLK_SIZE_MAX);
	c->seg_max = htole32(seg_max ? seg_max : 1);
	c->blk_size = htole32(block_size);
	c->physical_block_exp = physical_block_exp(block_size, blk->physical);
	c->min_io_size = htole16((uint16_t)(1u << c->physical_block_exp));
	c->wce = 1;
	c->num_queues = htole16(queues);
	c->max_discard_sectors = htole32(BLK_RANGE_MAX);
	c->max_discard_seg = htole32(BLK_RANGES_MAX);
	c->discard_sector_alignment =
		htole32((block_size << c->physical_block_exp) >> SECTOR_SHIFT);
	c->max_write_zeroes_sectors = htole32(BLK_RANGE_MAX);
	c->max_write_zeroes_seg = htole32(BLK_RANGES_MAX);
	c->write_zeroes_may_unmap = 1;
	blk->dev.config = (uint8_t *)c;
	blk->dev.config_len = offsetof(struct virtio_blk_config, max_secure_erase_sectors);
	blk->dev.features = 1ull << VIRTIO_BLK_F_SIZE_MAX | 1ull << VIRTIO_BLK_F_SEG_MAX |
			    1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_FLUSH |
			    1ull << VIRTIO_BLK_F_TOPOLOGY | 1ull << VIRTIO_BLK_F_CONFIG_WCE |
			    (queues > 1 ? 1ull << VIRTIO_BLK_F_MQ : 0);
	if (blk->readonly)
		blk->dev.features |= 1ull << VIRTIO_BLK_F_RO;
	else
		blk->dev.features |=
			1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
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
	list_init(&blk->bounce_waits);
	list_init(&blk->spare);
#ifdef RIDGE_FAULTS
	list_init(&blk->held);
#endif
	memcpy(blk->serial, serial, strnlen(serial, sizeof(blk->serial)));
	if (blk->fd >= 0) {
		err = probe_image(blk, p, &block_size);
	} else if (p->late_size) {
		blk->want = p->want;
		blk->want_ctx = p->want_ctx;
		blk->regular = true;
		blk->physical = IMAGE_BLOCK;
		blk->capacity = p->late_size & ~(uint64_t)(block_size - 1);
	}
	if (!err) {
		fill_config(blk, block_size, p->queues ? p->queues : type->queues,
			    p->queue_size ? p->queue_size : type->queue_size);
		err = device_setup(&blk->dev, type, p);
	}
	if (err) {
		free(blk);
		return err;
	}
	*dev = &blk->dev;
	return 0;
}
