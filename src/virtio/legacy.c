/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/legacy.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "virtio/device.h"

/* virtio 1.3, 4.1.5.1.4.1: page numbers of 4096 bytes, used ring aligned to as much (2.7.2). */
#define PAGE_SHIFT VIRTIO_PCI_QUEUE_ADDR_SHIFT
#define USED_ALIGN VIRTIO_PCI_VRING_ALIGN

static int common_field(uint32_t offset, uint32_t len, bool msix, struct virtio_field *field)
{
	if (!len || !virtio_legacy_common_field(offset, msix, field) ||
	    len > (uint32_t)(field->offset + field->len) - offset)
		return -EINVAL;
	return 0;
}

static uint32_t field_value(struct virtio_device *dev, uint16_t field)
{
	struct virtio_state *st = dev->state;
	struct virtq *vq = virtio_device_queue(dev, st->queue_select);
	uint32_t value;

	switch (field) {
	case VIRTIO_PCI_HOST_FEATURES:
		return (uint32_t)dev->features;
	case VIRTIO_PCI_GUEST_FEATURES:
		return (uint32_t)st->driver_features;
	case VIRTIO_PCI_QUEUE_PFN:
		return vq && vq->state->enabled ? (uint32_t)(vq->state->desc >> PAGE_SHIFT) : 0;
	case VIRTIO_PCI_QUEUE_NUM:
		return vq ? vq->size_max : 0;
	case VIRTIO_PCI_QUEUE_SEL:
		return st->queue_select;
	case VIRTIO_PCI_STATUS:
		return st->status;
	case VIRTIO_PCI_ISR:
		value = st->isr;
		st->isr = 0;
		return value;
	case VIRTIO_MSI_CONFIG_VECTOR:
		return st->config_vector;
	case VIRTIO_MSI_QUEUE_VECTOR:
		return vq ? vq->state->vector : VIRTQ_NO_VECTOR;
	default: /* queue notify is write-only */
		return 0;
	}
}

int virtio_legacy_common_read(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len,
			      bool msix)
{
	struct virtio_field field;
	uint32_t value;

	if (common_field(offset, len, msix, &field))
		return -EINVAL;
	value = htole32(field_value(dev, field.offset));
	memcpy(data, (uint8_t *)&value + (offset - field.offset), len);
	return 0;
}

static int write_pfn(struct virtio_device *dev, uint32_t pfn, struct virtio_reset *reset)
{
	struct virtq *vq = virtio_device_queue(dev, dev->state->queue_select);
	struct virtq_state *st;

	if (!vq)
		return 0;
	/* 0: the driver gives the queue up, and takes its memory back at once (4.1.5.1.4.1). */
	if (!pfn)
		return virtio_device_reset_queue(dev, vq, reset);
	st = vq->state;
	if (st->enabled)
		return 0;
	st->size = vq->size_max;
	st->desc = (uint64_t)pfn << PAGE_SHIFT;
	st->driver = st->desc + sizeof(struct vring_desc) * st->size;
	/* flags, idx, ring[size], used_event */
	st->device = st->driver + 2u * (3u + st->size);
	st->device = (st->device + USED_ALIGN - 1) & ~(uint64_t)(USED_ALIGN - 1);
	dev->state->legacy = 1;
	virtio_device_enable_queue(dev, vq);
	return 0;
}

static int write_status(struct virtio_device *dev, uint8_t value, struct virtio_reset *reset)
{
	/* A legacy driver does not look whether the reset is done, so the write waits for it. */
	if (!value)
		return virtio_device_reset(dev, reset);
	/* Feature negotiation ends with DRIVER_OK here; FEATURES_OK does not exist (3.1.2). */
	if (!(dev->state->driver_features >> VIRTIO_F_VERSION_1 & 1))
		dev->state->legacy = 1;
	virtio_device_set_status(dev, value);
	return 0;
}

int virtio_legacy_common_write(struct virtio_device *dev, uint32_t offset, const void *data,
			       uint32_t len, bool msix, struct virtio_reset *reset)
{
	struct virtio_state *st = dev->state;
	struct virtio_field field;
	struct virtq *vq;
	uint32_t value;

	if (common_field(offset, len, msix, &field))
		return -EINVAL;
	if (dev->resetting)
		return field.offset == VIRTIO_PCI_STATUS && !*(const uint8_t *)data
			       ? virtio_device_reset(dev, reset)
			       : 0;
	/*
	 * A part of a field leaves the rest of it as it is. Write-only and read-to-clear ones are
	 * 0.
	 */
	value = field.offset == VIRTIO_PCI_ISR ? 0 : htole32(field_value(dev, field.offset));
	memcpy((uint8_t *)&value + (offset - field.offset), data, len);
	value = le32toh(value);
	vq = virtio_device_queue(dev, st->queue_select);
	switch (field.offset) {
	case VIRTIO_PCI_GUEST_FEATURES:
		/* Feature bits 32 to 63 count as not acknowledged (4.1.4.10). */
		virtio_device_accept_features(dev, 0, value & (uint32_t)dev->features);
		virtio_device_accept_features(dev, 1, 0);
		st->legacy = 1;
		break;
	case VIRTIO_PCI_QUEUE_PFN:
		return write_pfn(dev, value, reset);
	case VIRTIO_PCI_QUEUE_SEL:
		st->queue_select = (uint16_t)value;
		break;
	case VIRTIO_PCI_QUEUE_NOTIFY:
		virtio_device_notify(dev, (uint16_t)value);
		break;
	case VIRTIO_PCI_STATUS:
		return write_status(dev, (uint8_t)value, reset);
	case VIRTIO_MSI_CONFIG_VECTOR:
		st->config_vector = dev->transport->vector_ok(dev, (uint16_t)value)
					    ? (uint16_t)value
					    : VIRTQ_NO_VECTOR;
		break;
	case VIRTIO_MSI_QUEUE_VECTOR:
		if (vq)
			vq->state->vector = dev->transport->vector_ok(dev, (uint16_t)value)
						    ? (uint16_t)value
						    : VIRTQ_NO_VECTOR;
		break;
	default: /* device features, queue size and ISR are read-only */
		break;
	}
	return 0;
}

static int config_field(struct virtio_device *dev, uint32_t offset, uint32_t len)
{
	struct virtio_field field;

	if (!len || !virtio_config_field(dev->id, offset, &field) ||
	    len > (uint32_t)(field.offset + field.len) - offset || offset + len > dev->config_len)
		return -EINVAL;
	return 0;
}

int virtio_legacy_config_read(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len)
{
	if (config_field(dev, offset, len))
		return -EINVAL;
	virtio_device_config_read(dev, offset, data, len);
	return 0;
}

int virtio_legacy_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
			       uint32_t len)
{
	if (config_field(dev, offset, len))
		return -EINVAL;
	virtio_device_config_write(dev, offset, data, len);
	return 0;
}
