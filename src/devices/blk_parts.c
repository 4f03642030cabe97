/* SPDX-License-Identifier: BSD-3-Clause */
/* The device part of a blk function: the cache mode, which its driver may have set (5.2.5.1). */
#include <errno.h>
#include <string.h>

#include "devices/blk.h"
#include "virtio/parts.h"

struct part_own {
	uint8_t writeback;
	uint8_t reserved[7];
} __attribute__((packed));

struct staged {
	uint8_t writeback;
	uint8_t seen;
};

void blk_parts(struct virtio_device *dev, const struct virtio_part_out *out)
{
	struct part_own own = { .writeback = blk_of(dev)->config.wce };

	virtio_part_emit(out, VIRTIO_PART_RIDGE_BLK, VIRTIO_PART_F_OPTIONAL, NULL, &own,
			 sizeof(own));
}

int blk_part_stage(struct virtio_device *dev, void *staged, const struct virtio_part *part)
{
	struct staged *s = staged;
	struct part_own own;

	(void)dev;
	if (part->type != VIRTIO_PART_RIDGE_BLK)
		return -ENOENT;
	if (part->len != sizeof(own) || s->seen)
		return -EINVAL;
	memcpy(&own, part->value, sizeof(own));
	s->writeback = own.writeback;
	s->seen = 1;
	return own.writeback <= 1 ? 0 : -EINVAL;
}

void blk_parts_apply(struct virtio_device *dev, const void *staged)
{
	const struct staged *s = staged;

	if (s->seen)
		blk_of(dev)->config.wce = s->writeback;
}
