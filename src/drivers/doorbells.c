/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The doorbells of a virtio function: where each of its queues is notified (virtio 1.3, 4.1.4.4).
 * A driver writes a queue's number to the queue's own address, so the address alone says which it
 * is, whatever the size of the write.
 */
#include <linux/virtio_pci.h>
#include <stddef.h>

#include "drivers/drivers.h"
#include "virtio/layout.h"

#define COMMON(field) ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))

size_t virtio_doorbells(struct pci_access *pa, struct vfio_doorbell *bells, size_t max)
{
	struct virtio_layout l;
	uint16_t queues, selected;
	size_t n = 0;

	if (virtio_layout_read(pa, &l) || l.common.len < sizeof(struct virtio_pci_common_cfg))
		return 0;
	queues = (uint16_t)virtio_region_read(pa, &l.common, COMMON(num_queues), 2);
	/* The guest's choice is put back before it can see that it was not its own. */
	selected = (uint16_t)virtio_region_read(pa, &l.common, COMMON(queue_select), 2);
	for (uint16_t q = 0; q < queues && n < max; q++) {
		uint64_t offset;

		virtio_region_write(pa, &l.common, COMMON(queue_select), 2, q);
		if (virtio_region_read(pa, &l.common, COMMON(queue_select), 2) != q)
			return 0; /* a reset is under way: it takes no writes */
		offset = virtio_region_read(pa, &l.common, COMMON(queue_notify_off), 2) *
			 l.notify_multiplier;
		if (offset + 2 > l.notify.len)
			continue;
		bells[n++] = (struct vfio_doorbell){
			.region = l.notify.bar,
			.offset = l.notify.offset + offset,
			.value = q,
			.bar = l.notify.bar,
			.at = l.notify.offset + offset,
		};
	}
	virtio_region_write(pa, &l.common, COMMON(queue_select), 2, selected);
	return n;
}
