/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/pci.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

/* virtio 1.3, 4.1.4.3. The C library's kernel headers may not have the last four fields. */
struct common_cfg {
	struct virtio_pci_common_cfg base;
	uint16_t queue_notif_config_data;
	uint16_t queue_reset;
	uint16_t admin_queue_index;
	uint16_t admin_queue_num;
};

static_assert(sizeof(struct common_cfg) == 64, "common configuration");

#define COMMON(field) ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))

static struct virtio_pci *vp_of(struct pci_function *fn)
{
	return container_of(fn, struct virtio_pci, fn);
}

static uint16_t nqueues(const struct virtio_device *dev)
{
	return (uint16_t)(dev->nqueues - dev->nadmin);
}

static void common_image(struct virtio_device *dev, struct common_cfg *c)
{
	const struct virtio_state *st = dev->state;
	struct virtq *vq = virtio_device_queue(dev, st->queue_select);

	memset(c, 0, sizeof(*c));
	c->base.device_feature_select = htole32(st->device_feature_select);
	c->base.device_feature = htole32(virtio_device_features(dev, st->device_feature_select));
	c->base.guest_feature_select = htole32(st->driver_feature_select);
	if (st->driver_feature_select < 2)
		c->base.guest_feature = htole32(
			(uint32_t)(st->driver_features >> (32 * st->driver_feature_select)));
	c->base.msix_config = htole16(st->config_vector);
	c->base.num_queues = htole16(nqueues(dev));
	c->base.device_status = st->status;
	c->base.config_generation = st->config_generation;
	c->base.queue_select = htole16(st->queue_select);
	if (dev->nadmin) {
		c->admin_queue_index = htole16(nqueues(dev));
		c->admin_queue_num = htole16(dev->nadmin);
	}
	c->base.queue_msix_vector = htole16(VIRTQ_NO_VECTOR);
	if (!vq)
		return; /* queue_size 0: not available */
	c->base.queue_size = htole16(vq->state->size);
	c->base.queue_msix_vector = htole16(vq->state->vector);
	c->base.queue_enable = htole16(vq->state->enabled);
	c->base.queue_notify_off = htole16(vq->index);
	c->base.queue_desc_lo = htole32((uint32_t)vq->state->desc);
	c->base.queue_desc_hi = htole32((uint32_t)(vq->state->desc >> 32));
	c->base.queue_avail_lo = htole32((uint32_t)vq->state->driver);
	c->base.queue_avail_hi = htole32((uint32_t)(vq->state->driver >> 32));
	c->base.queue_used_lo = htole32((uint32_t)vq->state->device);
	c->base.queue_used_hi = htole32((uint32_t)(vq->state->device >> 32));
	c->queue_notif_config_data = htole16(vq->index);
	c->queue_reset = htole16(vq->resetting);
}

static void common_read(struct virtio_device *dev, uint32_t offset, void *data, uint8_t len)
{
	struct common_cfg c;

	if (offset + len > sizeof(c))
		return;
	common_image(dev, &c);
	memcpy(data, (uint8_t *)&c + offset, len);
}

static void set_address(uint64_t *address, uint32_t at, uint64_t value, uint8_t len)
{
	if (len == 8)
		*address = value;
	else if (at)
		*address = (*address & 0xffffffffu) | value << 32;
	else
		*address = (*address & ~0xffffffffull) | value;
}

static void queue_write(struct virtio_device *dev, uint32_t offset, uint64_t value, uint8_t len)
{
	struct virtq *vq = virtio_device_queue(dev, dev->state->queue_select);
	struct virtq_state *st;

	if (!vq)
		return;
	st = vq->state;
	if (offset == COMMON(queue_msix_vector) && len == 2) {
		st->vector = dev->transport->vector_ok(dev, (uint16_t)value) ? (uint16_t)value
									     : VIRTQ_NO_VECTOR;
		return;
	}
	if (offset == offsetof(struct common_cfg, queue_reset) && len == 2) {
		if (value == 1 && virtio_device_has(dev, VIRTIO_F_RING_RESET))
			virtio_device_reset_queue(dev, vq, NULL);
		return;
	}
	/* The rest is for the driver to set before it enables the queue (virtio 1.3, 4.1.4.3.2). */
	if (st->enabled)
		return;
	if (offset == COMMON(queue_size) && len == 2) {
		if (value && value <= vq->size_max &&
		    (!(value & (value - 1)) || virtio_device_has(dev, VIRTIO_F_RING_PACKED)))
			st->size = (uint16_t)value;
	} else if (offset == COMMON(queue_enable) && len == 2) {
		if (value == 1)
			virtio_device_enable_queue(dev, vq);
	} else if (len != 4 && len != 8) {
		return;
	} else if (offset == COMMON(queue_desc_lo) || offset == COMMON(queue_desc_hi)) {
		set_address(&st->desc, offset - COMMON(queue_desc_lo), value, len);
	} else if (offset == COMMON(queue_avail_lo) || offset == COMMON(queue_avail_hi)) {
		set_address(&st->driver, offset - COMMON(queue_avail_lo), value, len);
	} else if (offset == COMMON(queue_used_lo) || offset == COMMON(queue_used_hi)) {
		set_address(&st->device, offset - COMMON(queue_used_lo), value, len);
	}
}

/* Drivers access a field with its own width (virtio 1.3, 4.1.3.1); other writes are ignored. */
static void common_write(struct virtio_device *dev, uint32_t offset, const void *data, uint8_t len)
{
	struct virtio_state *st = dev->state;
	uint64_t value = 0;

	if (dev->resetting || (len == 8 && offset % 8))
		return;
	memcpy(&value, data, len);
	value = le64toh(value);
	if (offset == COMMON(device_feature_select) && len == 4)
		st->device_feature_select = (uint32_t)value;
	else if (offset == COMMON(guest_feature_select) && len == 4)
		st->driver_feature_select = (uint32_t)value;
	else if (offset == COMMON(guest_feature) && len == 4)
		virtio_device_accept_features(dev, st->driver_feature_select, (uint32_t)value);
	else if (offset == COMMON(msix_config) && len == 2)
		st->config_vector = dev->transport->vector_ok(dev, (uint16_t)value)
					    ? (uint16_t)value
					    : VIRTQ_NO_VECTOR;
	else if (offset == COMMON(device_status) && len == 1)
		virtio_device_set_status(dev, (uint8_t)value);
	else if (offset == COMMON(queue_select) && len == 2)
		st->queue_select = (uint16_t)value;
	else if (offset > COMMON(queue_select))
		queue_write(dev, offset, value, len);
}

static void vp_bar_read(struct pci_function *fn, uint8_t bar, uint64_t offset, void *data,
			uint8_t len)
{
	struct virtio_device *dev = vp_of(fn)->dev;
	uint32_t at = offset & 0xfff;

	(void)bar;
	switch (offset & ~0xfffull) {
	case VIRTIO_PCI_COMMON_AT:
		common_read(dev, at, data, len);
		break;
	case VIRTIO_PCI_ISR_AT:
		if (at)
			break;
		memset(data, 0, len);
		*(uint8_t *)data = dev->state->isr;
		dev->state->isr = 0;
		break;
	case VIRTIO_PCI_CONFIG_AT:
		virtio_device_config_read(dev, at, data, len);
		break;
	default: /* notifications are write-only */
		memset(data, 0, len);
	}
}

static void vp_bar_write(struct pci_function *fn, uint8_t bar, uint64_t offset, const void *data,
			 uint8_t len)
{
	struct virtio_device *dev = vp_of(fn)->dev;
	uint32_t at = offset & 0xfff;
	uint16_t queue;

	(void)bar;
	switch (offset & ~0xfffull) {
	case VIRTIO_PCI_COMMON_AT:
		common_write(dev, at, data, len);
		break;
	case VIRTIO_PCI_CONFIG_AT:
		virtio_device_config_write(dev, at, data, len);
		break;
	case VIRTIO_PCI_NOTIFY_AT:
		/* The value is the queue, wherever in the structure it is written (4.1.5.2). */
		if (len < 2 || at % 2)
			break;
		memcpy(&queue, data, sizeof(queue));
		virtio_device_notify(dev, le16toh(queue));
		break;
	default: /* ISR is read-only */
		break;
	}
}

/* The window that VIRTIO_PCI_CAP_PCI_CFG opens (4.1.4.9), if the driver pointed it somewhere. */
static bool cfg_window(struct virtio_pci *vp, uint16_t offset, uint8_t len, uint8_t *bar,
		       uint32_t *at, uint8_t *size)
{
	struct pci_function *fn = &vp->fn;
	uint16_t data = (uint16_t)(vp->cfg_cap + sizeof(struct virtio_pci_cap));
	uint32_t length;

	if (!vp->cfg_cap || offset >= data + 4 || offset + len <= data)
		return false;
	length = pci_config_get32(
		fn, (uint16_t)(vp->cfg_cap + offsetof(struct virtio_pci_cap, length)));
	*bar = fn->state->config[vp->cfg_cap + offsetof(struct virtio_pci_cap, bar)];
	*at = pci_config_get32(fn,
			       (uint16_t)(vp->cfg_cap + offsetof(struct virtio_pci_cap, offset)));
	*size = (uint8_t)length;
	return *bar == VIRTIO_PCI_BAR && (length == 1 || length == 2 || length == 4) &&
	       *at % length == 0;
}

static void vp_config_reading(struct pci_function *fn, uint16_t offset, uint8_t len)
{
	struct virtio_pci *vp = vp_of(fn);
	uint8_t bar, size;
	uint32_t at;

	if (cfg_window(vp, offset, len, &bar, &at, &size))
		pci_function_bar_read(
			fn, bar, at,
			&fn->state->config[vp->cfg_cap + sizeof(struct virtio_pci_cap)], size);
}

static void vp_config_written(struct pci_function *fn, uint16_t offset, uint8_t len)
{
	struct virtio_pci *vp = vp_of(fn);
	uint8_t bar, size;
	uint32_t at;

	if (cfg_window(vp, offset, len, &bar, &at, &size))
		pci_function_bar_write(
			fn, bar, at,
			&fn->state->config[vp->cfg_cap + sizeof(struct virtio_pci_cap)], size);
	if (offset <= PCI_COMMAND && offset + len > PCI_COMMAND && pci_function_bus_master(fn))
		virtio_device_resume(vp->dev);
	if (vp->config_written)
		vp->config_written(vp, offset, len);
}

static int vp_reset(struct pci_function *fn)
{
	return virtio_device_reset(vp_of(fn)->dev, NULL);
}

static int vp_drain(struct pci_function *fn)
{
	return virtio_device_drain(vp_of(fn)->dev);
}

static bool vp_busy(struct pci_function *fn, bool mark)
{
	return virtio_device_busy(vp_of(fn)->dev, mark);
}

static void vp_reset_finished(struct pci_function *fn)
{
	struct virtio_pci *vp = vp_of(fn);

	virtio_device_halt_reset(vp->dev);
	if (vp->reset_finished)
		vp->reset_finished(vp);
}

static const struct pci_function_ops vp_function_ops = {
	.bar_read = vp_bar_read,
	.bar_write = vp_bar_write,
	.config_reading = vp_config_reading,
	.config_written = vp_config_written,
	.reset = vp_reset,
	.drain = vp_drain,
	.busy = vp_busy,
	.reset_finished = vp_reset_finished,
};

static struct iommu_space *vp_dma(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport_ctx;

	if (!pci_function_bus_master(&vp->fn))
		return NULL;
	return vp->fn.upstream->ops->dma(vp->fn.upstream, vp->fn.rid, IOMMU_NO_PASID);
}

static void vp_interrupt(struct virtio_device *dev, uint16_t vector)
{
	struct virtio_pci *vp = dev->transport_ctx;

	if (vector == VIRTQ_NO_VECTOR)
		return;
	counter_inc(dev->counters, interrupts);
	pci_function_msix_send(&vp->fn, vector);
}

static bool vp_vector_ok(struct virtio_device *dev, uint16_t vector)
{
	struct virtio_pci *vp = dev->transport_ctx;

	return vector < vp->fn.msix_vectors;
}

static bool vp_msix_enabled(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport_ctx;

	return pci_function_msix_enabled(&vp->fn);
}

static void vp_settled(struct virtio_device *dev)
{
	struct virtio_pci *vp = dev->transport_ctx;

	pci_function_drained(&vp->fn);
	if (vp->fn.resetting)
		pci_function_reset_done(&vp->fn);
}

static void vp_quiet(struct virtio_device *dev, bool quiet)
{
	struct virtio_pci *vp = dev->transport_ctx;

	pci_function_quiet(&vp->fn, quiet);
}

static const struct virtio_transport_ops vp_transport_ops = {
	.dma = vp_dma,
	.interrupt = vp_interrupt,
	.vector_ok = vp_vector_ok,
	.msix_enabled = vp_msix_enabled,
	.settled = vp_settled,
	.quiet = vp_quiet,
};

static uint16_t add_virtio_cap(struct virtio_pci *vp, uint8_t type, uint32_t offset,
			       uint32_t length, const void *mask, uint32_t extra)
{
	struct {
		struct virtio_pci_cap cap;
		uint32_t extra;
	} body = {
		.cap = {
			.cfg_type = type,
			.bar = type == VIRTIO_PCI_CAP_PCI_CFG ? 0 : VIRTIO_PCI_BAR,
			.offset = htole32(offset),
			.length = htole32(length),
		},
		.extra = htole32(extra),
	};
	uint8_t len = sizeof(body.cap);

	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG || type == VIRTIO_PCI_CAP_PCI_CFG)
		len = sizeof(body);
	body.cap.cap_len = len;
	return pci_function_add_cap(&vp->fn, PCI_CAP_ID_VNDR, (uint8_t *)&body + 2, mask, len);
}

static void add_virtio_caps(struct virtio_pci *vp)
{
	/*
	 * bar, offset, length and data of the window are the driver's; without the two list bytes
	 */
	static const uint8_t window[18] = {
		[2] = 0xff, [6] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff,       0xff,       0xff, 0xff, 0xff, 0xff,
	};

	add_virtio_cap(vp, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_COMMON_AT,
		       sizeof(struct common_cfg), NULL, 0);
	add_virtio_cap(vp, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_PCI_NOTIFY_AT, VIRTIO_PCI_NOTIFY_LEN,
		       NULL, VIRTIO_PCI_NOTIFY_MULTIPLIER);
	add_virtio_cap(vp, VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_PCI_ISR_AT, 1, NULL, 0);
	if (vp->dev->config_len)
		add_virtio_cap(vp, VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_PCI_CONFIG_AT,
			       vp->dev->config_len, NULL, 0);
	vp->cfg_cap = add_virtio_cap(vp, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, window, 0);
}

int virtio_pci_init(struct virtio_pci *vp, struct virtio_device *dev, struct pci_upstream *upstream,
		    struct pci_state *state, uint16_t rid, bool is_vf, uint32_t class_code)
{
	/* Non-transitional: revision 1, subsystem 0x40 and up (virtio 1.3, 4.1.2.1). */
	struct pci_identity id = {
		.vendor = VIRTIO_PCI_VENDOR,
		.device = (uint16_t)(0x1040 + dev->id),
		.subsystem_vendor = VIRTIO_PCI_VENDOR,
		.subsystem = (uint16_t)(0x40 + dev->id),
		.revision = 1,
		.class_code = class_code,
	};
	int err;

	err = pci_function_init(&vp->fn, &vp_function_ops, upstream, state, rid, is_vf, &id);
	if (err)
		return err;
	vp->dev = dev;
	dev->transport = &vp_transport_ops;
	dev->transport_ctx = vp;
	pci_function_add_pcie(&vp->fn);
	pci_function_add_bar(&vp->fn, VIRTIO_PCI_BAR, VIRTIO_PCI_BAR_SIZE);
	pci_function_add_msix(&vp->fn, (uint16_t)(dev->nqueues + 1), VIRTIO_PCI_MSIX_BAR);
	add_virtio_caps(vp);
	pci_function_seal(&vp->fn);
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *vp)
{
	virtio_device_destroy(vp->dev);
	pci_function_destroy(&vp->fn);
}
