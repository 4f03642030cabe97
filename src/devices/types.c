/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>

#include "devices/net.h"

#define NET_QUEUES_MAX (2 * NET_PAIRS_MAX + 1)

const struct device_type device_types[] = {
	{
		.name = "blk",
		.id = VIRTIO_ID_BLOCK,
		.class_code = 0x018000, /* mass storage, other */
		.queues = 1,
		.queues_max = 64,
		.queue_size = 256,
		.uses_files = true,
		.create = blk_create,
	},
	{
		.name = "net",
		.id = VIRTIO_ID_NET,
		.class_code = 0x020000, /* Ethernet controller */
		.queues = 1,            /* pairs; the control queue comes on top */
		.queues_max = NET_QUEUES_MAX,
		.queue_size = 256,
		.create = net_create,
	},
	{
		.name = "rng",
		.id = VIRTIO_ID_RNG,
		.class_code = 0x00ff00, /* as QEMU's: none fits */
		.queues = 1,
		.queues_max = 1,
		.queue_size = 64,
		.create = rng_create,
	},
	{ .name = NULL },
};

const struct device_type *device_type_find(const char *name)
{
	for (const struct device_type *t = device_types; t->name; t++)
		if (!strcmp(t->name, name))
			return t;
	return NULL;
}

int device_setup(struct virtio_device *dev, const struct device_type *type,
		 const struct device_params *p)
{
	uint16_t queues = p->queues ? p->queues : type->queues;
	uint16_t size = p->queue_size ? p->queue_size : type->queue_size;

	if (queues > type->queues_max || queues + p->admin_queues > VIRTIO_QUEUES_MAX ||
	    size > VIRTQ_SIZE_MAX || size < 2 || (size & (size - 1)))
		return -EINVAL;
	dev->id = type->id;
	dev->loop = p->loop;
	dev->counters = p->counters;
	dev->nadmin = p->admin_queues;
	dev->nqueues = (uint16_t)(queues + p->admin_queues);
	snprintf(dev->name, sizeof(dev->name), "%s", p->name);
	dev->features |= p->features | 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ANY_LAYOUT |
			 1ull << VIRTIO_RING_F_INDIRECT_DESC | 1ull << VIRTIO_RING_F_EVENT_IDX |
			 1ull << VIRTIO_F_NOTIFY_ON_EMPTY | 1ull << VIRTIO_F_RING_RESET;
	if (p->packed)
		dev->features |= 1ull << VIRTIO_F_RING_PACKED;
	return virtio_device_init(dev, p->state, size);
}
