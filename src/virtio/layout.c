/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/layout.h"

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>

/* As many capabilities as fit: a list that is longer has a loop. */
#define CAPS_MAX 48

uint16_t pci_find_cap(struct pci_access *pa, uint8_t id, uint16_t from)
{
	uint32_t at = pa->ops->config_read(pa, PCI_CAPABILITY_LIST, 1) & 0xfc;

	for (int i = 0; i < CAPS_MAX && at >= 0x40; i++) {
		if (at > from && pa->ops->config_read(pa, (uint16_t)at, 1) == id)
			return (uint16_t)at;
		at = pa->ops->config_read(pa, (uint16_t)(at + 1), 1) & 0xfc;
	}
	return 0;
}

int virtio_layout_read(struct pci_access *pa, struct virtio_layout *layout)
{
	uint16_t at = 0;

	memset(layout, 0, sizeof(*layout));
	while ((at = pci_find_cap(pa, PCI_CAP_ID_VNDR, at))) {
		struct virtio_region r = {
			.bar = (uint8_t)pa->ops->config_read(pa, at + VIRTIO_PCI_CAP_BAR, 1),
			.offset = pa->ops->config_read(pa, at + VIRTIO_PCI_CAP_OFFSET, 4),
			.len = pa->ops->config_read(pa, at + VIRTIO_PCI_CAP_LENGTH, 4),
		};
		struct virtio_region *into = NULL;

		switch (pa->ops->config_read(pa, at + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
		case VIRTIO_PCI_CAP_COMMON_CFG:
			into = &layout->common;
			break;
		case VIRTIO_PCI_CAP_NOTIFY_CFG:
			into = &layout->notify;
			layout->notify_multiplier =
				pa->ops->config_read(pa, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
			break;
		case VIRTIO_PCI_CAP_ISR_CFG:
			into = &layout->isr;
			break;
		case VIRTIO_PCI_CAP_DEVICE_CFG:
			into = &layout->config;
			break;
		default:
			break;
		}
		/* The first one of a type that a driver can use is the one to use (4.1.4.1). */
		if (into && !into->len && r.bar <= 5)
			*into = r;
	}
	return layout->common.len && layout->notify.len ? 0 : -ENODEV;
}

bool virtio_region_has(const struct virtio_region *r, uint8_t bar, uint64_t offset, uint32_t *at)
{
	if (!r->len || bar != r->bar || offset < r->offset || offset - r->offset >= r->len)
		return false;
	*at = (uint32_t)(offset - r->offset);
	return true;
}

uint64_t virtio_region_read(struct pci_access *pa, const struct virtio_region *r, uint32_t offset,
			    uint8_t len)
{
	uint64_t value = 0;

	pa->ops->bar_read(pa, r->bar, (uint64_t)r->offset + offset, &value, len);
	return le64toh(value);
}

void virtio_region_write(struct pci_access *pa, const struct virtio_region *r, uint32_t offset,
			 uint8_t len, uint64_t value)
{
	value = htole64(value);
	pa->ops->bar_write(pa, r->bar, (uint64_t)r->offset + offset, &value, len);
}
