/* SPDX-License-Identifier: BSD-3-Clause */
/* Where fields begin and end in the legacy registers and in the configuration of each type. */
#include <linux/virtio_ids.h>
#include <stddef.h>

#include "base/array.h"
#include "virtio/legacy.h"

static bool find(const struct virtio_field *fields, size_t n, uint32_t offset,
		 struct virtio_field *field)
{
	for (size_t i = 0; i < n; i++) {
		if (offset < fields[i].offset || offset >= fields[i].offset + fields[i].len)
			continue;
		*field = fields[i];
		return true;
	}
	return false;
}

bool virtio_legacy_common_field(uint32_t offset, bool msix, struct virtio_field *field)
{
	static const struct virtio_field fields[] = {
		{ VIRTIO_PCI_HOST_FEATURES, 4 }, { VIRTIO_PCI_GUEST_FEATURES, 4 },
		{ VIRTIO_PCI_QUEUE_PFN, 4 },     { VIRTIO_PCI_QUEUE_NUM, 2 },
		{ VIRTIO_PCI_QUEUE_SEL, 2 },     { VIRTIO_PCI_QUEUE_NOTIFY, 2 },
		{ VIRTIO_PCI_STATUS, 1 },        { VIRTIO_PCI_ISR, 1 },
		{ VIRTIO_MSI_CONFIG_VECTOR, 2 }, { VIRTIO_MSI_QUEUE_VECTOR, 2 },
	};

	return find(fields, ARRAY_LEN(fields) - (msix ? 0 : 2), offset, field);
}

bool virtio_config_field(uint16_t id, uint32_t offset, struct virtio_field *field)
{
	/* virtio 1.3, 5.2.4 */
	static const struct virtio_field blk[] = {
		{ 0, 8 },  /* capacity */
		{ 8, 4 },  /* size_max */
		{ 12, 4 }, /* seg_max */
		{ 16, 2 }, /* cylinders */
		{ 18, 1 }, /* heads */
		{ 19, 1 }, /* sectors */
		{ 20, 4 }, /* blk_size */
		{ 24, 1 }, /* physical_block_exp */
		{ 25, 1 }, /* alignment_offset */
		{ 26, 2 }, /* min_io_size */
		{ 28, 4 }, /* opt_io_size */
		{ 32, 1 }, /* writeback */
		{ 33, 1 }, /* unused */
		{ 34, 2 }, /* num_queues */
		{ 36, 4 }, /* max_discard_sectors */
		{ 40, 4 }, /* max_discard_seg */
		{ 44, 4 }, /* discard_sector_alignment */
		{ 48, 4 }, /* max_write_zeroes_sectors */
		{ 52, 4 }, /* max_write_zeroes_seg */
		{ 56, 1 }, /* write_zeroes_may_unmap */
		{ 57, 3 }, /* unused */
	};
	/* virtio 1.3, 5.1.4 */
	static const struct virtio_field net[] = {
		{ 0, 6 },  /* mac */
		{ 6, 2 },  /* status */
		{ 8, 2 },  /* max_virtqueue_pairs */
		{ 10, 2 }, /* mtu */
		{ 12, 4 }, /* speed */
		{ 16, 1 }, /* duplex */
	};

	switch (id) {
	case VIRTIO_ID_BLOCK:
		return find(blk, ARRAY_LEN(blk), offset, field);
	case VIRTIO_ID_NET:
		return find(net, ARRAY_LEN(net), offset, field);
	default: /* the entropy device has no configuration (5.4.4) */
		return false;
	}
}
