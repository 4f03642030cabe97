/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/parts.h"

#include <endian.h>
#include <string.h>

#include "virtio/parts_internal.h"

void virtio_part_emit(const struct virtio_part_out *out, uint16_t type, uint8_t flags,
		      const void *selector, const void *value, uint32_t len)
{
	struct virtio_part part = {
		.type = type,
		.flags = flags,
		.value = value,
		.len = len,
		.len_max = len,
	};

	if (selector)
		memcpy(part.selector, selector, sizeof(part.selector));
	out->fn(out->ctx, &part);
}

/* --- the parts that every function has --- */

static void emit_features(const struct virtio_part_out *out, uint16_t type, uint8_t flags,
			  uint64_t features)
{
	features = htole64(features);
	virtio_part_emit(out, type, flags, NULL, &features, sizeof(features));
}

static void emit_common(const struct virtio_part_out *out, const struct virtio_device *dev)
{
	for (size_t i = 0; i < VIRTIO_PART_COMMON_FIELDS; i++) {
		uint32_t selector[2] = { htole32(virtio_part_common_fields[i].offset) };
		uint32_t value = htole32(virtio_part_common_value(dev, i));

		virtio_part_emit(out, VIRTIO_PART_PCI_COMMON_CFG, 0, selector, &value,
				 virtio_part_common_fields[i].len);
	}
}

static void emit_queue_cfg(const struct virtio_part_out *out, const struct virtio_device *dev)
{
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		const struct virtq_state *st = dev->queues[i].state;
		uint16_t selector[4] = { htole16(i) };
		struct virtio_part_vq_cfg cfg = {
			.size = htole16(st->size),
			.vector = htole16(st->vector),
			.enabled = htole16(st->enabled),
			.desc = htole64(st->desc),
			.driver = htole64(st->driver),
			.device = htole64(st->device),
		};

		virtio_part_emit(out, VIRTIO_PART_VQ_CFG, 0, selector, &cfg, sizeof(cfg));
	}
}

struct virtio_part_vq_notify virtio_part_notify(uint16_t queue)
{
	return (struct virtio_part_vq_notify){
		.notify_off = htole16(queue),
		.notif_config_data = htole16(queue),
	};
}

static void emit_queue_notify(const struct virtio_part_out *out, const struct virtio_device *dev)
{
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		struct virtio_part_vq_notify notify = virtio_part_notify(i);
		uint16_t selector[4] = { htole16(i) };

		virtio_part_emit(out, VIRTIO_PART_VQ_NOTIFY_CFG, 0, selector, &notify,
				 sizeof(notify));
	}
}

static void emit_device(const struct virtio_part_out *out, const struct virtio_pci *vp)
{
	const struct virtio_device *dev = vp->dev;
	const uint64_t *pending = vp->fn.state->msix_pending;
	uint32_t flags = (dev->state->legacy ? VIRTIO_RIDGE_F_LEGACY : 0) |
			 (dev->stopped ? VIRTIO_RIDGE_F_BROKEN : 0) |
			 (dev->state->config_pending ? VIRTIO_RIDGE_F_CONFIG_PENDING : 0);
	struct virtio_part_ridge_device part = {
		.flags = htole32(flags),
		.isr = dev->state->isr,
		.msix_pending = { htole64(pending[0]), htole64(pending[1]) },
	};

	virtio_part_emit(out, VIRTIO_PART_RIDGE_DEVICE, VIRTIO_PART_F_OPTIONAL, NULL, &part,
			 sizeof(part));
}

static void emit_queue_places(const struct virtio_part_out *out, const struct virtio_device *dev)
{
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		const struct virtq_state *st = dev->queues[i].state;
		uint16_t selector[4] = { htole16(i) };
		struct virtio_part_ridge_vq part = {
			.avail_next = htole16(st->avail_next),
			.used_next = htole16(st->used_next),
			.used_signalled = htole16(st->used_signalled),
			.flags = (uint8_t)((st->avail_wrap ? VIRTIO_RIDGE_VQ_F_AVAIL_WRAP : 0) |
					   (st->used_wrap ? VIRTIO_RIDGE_VQ_F_USED_WRAP : 0) |
					   (st->used_signalled_valid ? VIRTIO_RIDGE_VQ_F_SIGNALLED
								     : 0)),
		};

		virtio_part_emit(out, VIRTIO_PART_RIDGE_VQ, VIRTIO_PART_F_OPTIONAL, selector, &part,
				 sizeof(part));
	}
}

/* All parts in their order (2.12.1.4.4), those of the type behind the common ones. */
static void each(struct virtio_pci *vp, void (*fn)(void *ctx, const struct virtio_part *part),
		 void *ctx)
{
	const struct virtio_part_out out = { .fn = fn, .ctx = ctx };
	struct virtio_device *dev = vp->dev;

	emit_features(&out, VIRTIO_PART_DEV_FEATURES, VIRTIO_PART_F_OPTIONAL,
		      virtio_device_features(dev, 0) | (uint64_t)virtio_device_features(dev, 1)
							       << 32);
	emit_features(&out, VIRTIO_PART_DRV_FEATURES, 0, dev->state->driver_features);
	emit_common(&out, dev);
	virtio_part_emit(&out, VIRTIO_PART_DEVICE_STATUS, 0, NULL, &dev->state->status, 1);
	emit_queue_cfg(&out, dev);
	emit_queue_notify(&out, dev);
	if (dev->ops->parts)
		dev->ops->parts(dev, &out);
	emit_device(&out, vp);
	emit_queue_places(&out, dev);
}

/* --- getting them --- */

static void add_size(void *ctx, const struct virtio_part *part)
{
	*(uint32_t *)ctx += (uint32_t)sizeof(struct virtio_part_hdr) + part->len_max;
}

uint32_t virtio_parts_size(struct virtio_pci *vp)
{
	uint32_t size = 0;

	each(vp, add_size, &size);
	return size;
}

static void add_one(void *ctx, const struct virtio_part *part)
{
	(void)part;
	++*(uint32_t *)ctx;
}

uint32_t virtio_parts_count(struct virtio_pci *vp)
{
	uint32_t count = 0;

	each(vp, add_one, &count);
	return count;
}

static struct virtio_part_hdr header_of(const struct virtio_part *part)
{
	struct virtio_part_hdr hdr = {
		.type = htole16(part->type),
		.flags = part->flags,
		.length = htole32(part->len),
	};

	memcpy(hdr.selector, part->selector, sizeof(hdr.selector));
	return hdr;
}

static void add_header(void *ctx, const struct virtio_part *part)
{
	struct virtio_part_hdr **next = ctx;

	*(*next)++ = header_of(part);
}

void virtio_parts_list(struct virtio_pci *vp, struct virtio_part_hdr *list)
{
	each(vp, add_header, &list);
}

struct collect {
	const struct virtio_part_hdr *selected; /* NULL: all */
	size_t n;
	uint8_t *data;
	size_t len;
};

static bool is_selected(const struct collect *c, const struct virtio_part_hdr *hdr)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->selected[i].type == hdr->type &&
		    !memcmp(c->selected[i].selector, hdr->selector, sizeof(hdr->selector)))
			return true;
	return !c->selected;
}

static void add_part(void *ctx, const struct virtio_part *part)
{
	struct virtio_part_hdr hdr = header_of(part);
	struct collect *c = ctx;

	if (!is_selected(c, &hdr))
		return;
	memcpy(c->data + c->len, &hdr, sizeof(hdr));
	memcpy(c->data + c->len + sizeof(hdr), part->value, part->len);
	c->len += sizeof(hdr) + part->len;
}

size_t virtio_parts_get(struct virtio_pci *vp, const struct virtio_part_hdr *selected, size_t n,
			uint8_t *data)
{
	struct collect c = { .selected = selected, .n = n, .data = data };

	each(vp, add_part, &c);
	return c.len;
}
