/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a virtio function has its registers, as a driver finds out: from the capabilities in its
 * configuration space (virtio 1.3, 4.1.4). For the host side.
 */
#ifndef RIDGE_VIRTIO_LAYOUT_H
#define RIDGE_VIRTIO_LAYOUT_H

#include <stdbool.h>

#include "pci/access.h"

struct virtio_region {
	uint8_t bar;
	uint32_t offset;
	uint32_t len; /* 0: the function has none */
};

struct virtio_layout {
	struct virtio_region common;
	struct virtio_region notify;
	struct virtio_region isr;
	struct virtio_region config;
	uint32_t notify_multiplier;
};

/* The first capability of an id in the list, at or behind `from` (0: the start); 0 if none. */
uint16_t pci_find_cap(struct pci_access *pa, uint8_t id, uint16_t from);

/* Returns 0, or -ENODEV if common configuration or notification are missing. */
int virtio_layout_read(struct pci_access *pa, struct virtio_layout *layout);

/* Whether an access to a BAR begins inside the region; *at is where in it. */
bool virtio_region_has(const struct virtio_region *region, uint8_t bar, uint64_t offset,
		       uint32_t *at);

/* Register access in a region, len 1, 2, 4 or 8, little-endian on the wire. */
uint64_t virtio_region_read(struct pci_access *pa, const struct virtio_region *region,
			    uint32_t offset, uint8_t len);
void virtio_region_write(struct pci_access *pa, const struct virtio_region *region, uint32_t offset,
			 uint8_t len, uint64_t value);

#endif
