/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_VIRTIO_PARTS_INTERNAL_H
#define RIDGE_VIRTIO_PARTS_INTERNAL_H

#include "virtio/parts.h"

/* Fields of the common configuration that are parts of their own (4.1.4.3). */
enum virtio_part_common {
	PART_DEVICE_FEATURE_SELECT,
	PART_DRIVER_FEATURE_SELECT,
	PART_CONFIG_VECTOR,
	PART_NUM_QUEUES,
	PART_CONFIG_GENERATION,
	PART_QUEUE_SELECT,
	VIRTIO_PART_COMMON_FIELDS,
};

struct virtio_part_common_field {
	uint8_t offset;
	uint8_t len;
};

static const struct virtio_part_common_field virtio_part_common_fields[] = {
	[PART_DEVICE_FEATURE_SELECT] = { 0, 4 }, [PART_DRIVER_FEATURE_SELECT] = { 8, 4 },
	[PART_CONFIG_VECTOR] = { 16, 2 },        [PART_NUM_QUEUES] = { 18, 2 },
	[PART_CONFIG_GENERATION] = { 21, 1 },    [PART_QUEUE_SELECT] = { 22, 2 },
};

/* What the field is now. */
static inline uint32_t virtio_part_common_value(const struct virtio_device *dev, size_t field)
{
	const struct virtio_state *st = dev->state;

	switch (field) {
	case PART_DEVICE_FEATURE_SELECT:
		return st->device_feature_select;
	case PART_DRIVER_FEATURE_SELECT:
		return st->driver_feature_select;
	case PART_CONFIG_VECTOR:
		return st->config_vector;
	case PART_NUM_QUEUES:
		return (uint32_t)(dev->nqueues - dev->nadmin);
	case PART_CONFIG_GENERATION:
		return st->config_generation;
	default:
		return st->queue_select;
	}
}

/* What a queue's VIRTIO_DEV_PART_VQ_NOTIFY_CFG is: the same in every state. */
struct virtio_part_vq_notify virtio_part_notify(uint16_t queue);

#endif
