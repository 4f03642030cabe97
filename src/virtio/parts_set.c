/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Setting device parts. They are decoded into a copy of the state; when all of them were understood
 * and the copy is a state that the function can be in, it becomes the function's.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/parts_internal.h"

struct staged {
	struct virtio_pci *vp;
	struct virtio_state *state; /* of as many queues as there are */
	uint64_t msix_pending[2];
	bool broken;
	/* which parts there were: each at most once */
	bool features;
	bool driver_features;
	bool status;
	bool device;
	uint32_t common; /* a bit per field */
	struct {
		bool cfg;
		bool notify;
		bool place;
	} queue[VIRTIO_QUEUES_MAX];
	uint64_t type[VIRTIO_PARTS_STAGED_LEN / sizeof(uint64_t)];
};

static size_t state_len(const struct virtio_device *dev)
{
	return offsetof(struct virtio_state, queues) + dev->nqueues * sizeof(struct virtq_state);
}

/* Copies a value of exactly this length, of a part that was not there before. */
static int take(const struct virtio_part *part, bool *seen, void *value, size_t len)
{
	if (part->len != len || *seen)
		return -EINVAL;
	*seen = true;
	memcpy(value, part->value, len);
	return 0;
}

/* The queue that a part is about; NULL: none of ours. */
static struct virtq_state *queue_of(struct staged *s, const struct virtio_part *part,
				    uint16_t *index)
{
	memcpy(index, part->selector, sizeof(*index));
	*index = le16toh(*index);
	return *index < s->vp->dev->nqueues ? &s->state->queues[*index] : NULL;
}

/* --- decoding --- */

/* Not set, but verified (2.12.1.4.5). */
static int stage_device_features(struct staged *s, const struct virtio_part *part)
{
	const struct virtio_device *dev = s->vp->dev;
	uint64_t features;
	int err = take(part, &s->features, &features, sizeof(features));

	if (err)
		return err;
	return le64toh(features) == ((uint64_t)virtio_device_features(dev, 1) << 32 |
				     virtio_device_features(dev, 0))
		       ? 0
		       : -EINVAL;
}

static int stage_driver_features(struct staged *s, const struct virtio_part *part)
{
	uint64_t features;
	int err = take(part, &s->driver_features, &features, sizeof(features));

	if (!err)
		s->state->driver_features = le64toh(features);
	return err;
}

static bool vector_ok(const struct staged *s, uint16_t vector)
{
	return vector == VIRTQ_NO_VECTOR || vector < s->vp->fn.msix_vectors;
}

static int set_common(struct staged *s, size_t field, uint32_t value)
{
	switch (field) {
	case PART_DEVICE_FEATURE_SELECT:
		s->state->device_feature_select = value;
		return 0;
	case PART_DRIVER_FEATURE_SELECT:
		s->state->driver_feature_select = value;
		return 0;
	case PART_CONFIG_VECTOR:
		s->state->config_vector = (uint16_t)value;
		return vector_ok(s, (uint16_t)value) ? 0 : -EINVAL;
	case PART_CONFIG_GENERATION:
		s->state->config_generation = (uint8_t)value;
		return 0;
	case PART_QUEUE_SELECT:
		s->state->queue_select = (uint16_t)value;
		return 0;
	default: /* what no driver can write is verified */
		return value == virtio_part_common_value(s->vp->dev, field) ? 0 : -EINVAL;
	}
}

static int stage_common(struct staged *s, const struct virtio_part *part)
{
	uint32_t offset, value = 0;
	bool seen;
	int err;

	memcpy(&offset, part->selector, sizeof(offset));
	for (size_t i = 0; i < VIRTIO_PART_COMMON_FIELDS; i++) {
		if (virtio_part_common_fields[i].offset != le32toh(offset))
			continue;
		seen = s->common >> i & 1;
		s->common |= 1u << i;
		err = take(part, &seen, &value, virtio_part_common_fields[i].len);
		return err ? err : set_common(s, i, le32toh(value));
	}
	return -ENOENT;
}

static int stage_queue_cfg(struct staged *s, const struct virtio_part *part)
{
	struct virtio_part_vq_cfg cfg;
	struct virtq_state *st;
	uint16_t index;
	int err;

	st = queue_of(s, part, &index);
	if (!st)
		return -ENOENT;
	err = take(part, &s->queue[index].cfg, &cfg, sizeof(cfg));
	if (err)
		return err;
	if (le16toh(cfg.enabled) > 1)
		return -EINVAL;
	st->size = le16toh(cfg.size);
	st->vector = le16toh(cfg.vector);
	st->enabled = le16toh(cfg.enabled);
	st->desc = le64toh(cfg.desc);
	st->driver = le64toh(cfg.driver);
	st->device = le64toh(cfg.device);
	return 0;
}

static int stage_queue_notify(struct staged *s, const struct virtio_part *part)
{
	struct virtio_part_vq_notify notify, ours;
	uint16_t index;
	int err;

	if (!queue_of(s, part, &index))
		return -ENOENT;
	err = take(part, &s->queue[index].notify, &notify, sizeof(notify));
	ours = virtio_part_notify(index);
	return err || (notify.notify_off == ours.notify_off &&
		       notify.notif_config_data == ours.notif_config_data)
		       ? err
		       : -EINVAL;
}

static int stage_device(struct staged *s, const struct virtio_part *part)
{
	struct virtio_part_ridge_device value;
	uint32_t flags;
	int err = take(part, &s->device, &value, sizeof(value));

	if (err)
		return err;
	flags = le32toh(value.flags);
	if (flags & ~(uint32_t)(VIRTIO_RIDGE_F_LEGACY | VIRTIO_RIDGE_F_BROKEN |
				VIRTIO_RIDGE_F_CONFIG_PENDING))
		return -EINVAL;
	s->state->legacy = !!(flags & VIRTIO_RIDGE_F_LEGACY);
	s->state->config_pending = !!(flags & VIRTIO_RIDGE_F_CONFIG_PENDING);
	s->state->isr = value.isr;
	s->broken = flags & VIRTIO_RIDGE_F_BROKEN;
	for (uint16_t v = 0; v < 128; v++)
		if ((le64toh(value.msix_pending[v / 64]) >> (v % 64) & 1) && !vector_ok(s, v))
			return -EINVAL;
	for (int i = 0; i < 2; i++)
		s->msix_pending[i] = le64toh(value.msix_pending[i]);
	return value.isr > 3 ? -EINVAL : 0;
}

static int stage_queue_place(struct staged *s, const struct virtio_part *part)
{
	struct virtio_part_ridge_vq place;
	struct virtq_state *st;
	uint16_t index;
	int err;

	st = queue_of(s, part, &index);
	if (!st)
		return -ENOENT;
	err = take(part, &s->queue[index].place, &place, sizeof(place));
	if (err)
		return err;
	if (place.flags & ~(VIRTIO_RIDGE_VQ_F_AVAIL_WRAP | VIRTIO_RIDGE_VQ_F_USED_WRAP |
			    VIRTIO_RIDGE_VQ_F_SIGNALLED))
		return -EINVAL;
	st->avail_next = le16toh(place.avail_next);
	st->used_next = le16toh(place.used_next);
	st->used_signalled = le16toh(place.used_signalled);
	st->avail_wrap = !!(place.flags & VIRTIO_RIDGE_VQ_F_AVAIL_WRAP);
	st->used_wrap = !!(place.flags & VIRTIO_RIDGE_VQ_F_USED_WRAP);
	st->used_signalled_valid = !!(place.flags & VIRTIO_RIDGE_VQ_F_SIGNALLED);
	st->place_unknown = 0;
	return 0;
}

/* -ENOENT: there is no such part here. */
static int stage(struct staged *s, const struct virtio_part *part)
{
	struct virtio_device *dev = s->vp->dev;

	switch (part->type) {
	case VIRTIO_PART_DEV_FEATURES:
		return stage_device_features(s, part);
	case VIRTIO_PART_DRV_FEATURES:
		return stage_driver_features(s, part);
	case VIRTIO_PART_PCI_COMMON_CFG:
		return stage_common(s, part);
	case VIRTIO_PART_DEVICE_STATUS:
		return take(part, &s->status, &s->state->status, 1);
	case VIRTIO_PART_VQ_CFG:
		return stage_queue_cfg(s, part);
	case VIRTIO_PART_VQ_NOTIFY_CFG:
		return stage_queue_notify(s, part);
	case VIRTIO_PART_RIDGE_DEVICE:
		return stage_device(s, part);
	case VIRTIO_PART_RIDGE_VQ:
		return stage_queue_place(s, part);
	default:
		return dev->ops->part_stage ? dev->ops->part_stage(dev, s->type, part) : -ENOENT;
	}
}

static bool is_zero(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i])
			return false;
	return true;
}

static int stage_all(struct staged *s, const uint8_t *data, size_t len)
{
	while (len) {
		struct virtio_part_hdr hdr;
		struct virtio_part part;
		int err;

		/* A driver sends a multiple of eight bytes (2.14), so zeroes may follow. */
		if (is_zero(data, len < sizeof(hdr) ? len : sizeof(hdr)))
			return is_zero(data, len) ? 0 : -EINVAL;
		if (len < sizeof(hdr))
			return -EINVAL;
		memcpy(&hdr, data, sizeof(hdr));
		data += sizeof(hdr);
		len -= sizeof(hdr);
		part.type = le16toh(hdr.type);
		part.flags = hdr.flags;
		memcpy(part.selector, hdr.selector, sizeof(part.selector));
		part.value = data;
		part.len = le32toh(hdr.length);
		if (part.len > len || (part.flags & ~VIRTIO_PART_F_OPTIONAL))
			return -EINVAL;
		data += part.len;
		len -= part.len;
		err = stage(s, &part);
		if (err && !(err == -ENOENT && (part.flags & VIRTIO_PART_F_OPTIONAL)))
			return -EINVAL;
	}
	return 0;
}

/* --- whether it is a state that a driver can have brought a device to --- */

static bool negotiated(const struct virtio_state *st)
{
	return st->legacy ? !!(st->status & VIRTIO_CONFIG_S_DRIVER_OK)
			  : !!(st->status & VIRTIO_CONFIG_S_FEATURES_OK);
}

static bool status_ok(const struct staged *s)
{
	const struct virtio_device *dev = s->vp->dev;
	const struct virtio_state *st = s->state;
	uint64_t offered = virtio_device_features(dev, 0) | (uint64_t)virtio_device_features(dev, 1)
								    << 32;

	if (st->legacy)
		return !(st->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
		       !(st->driver_features & ~(dev->features & UINT32_MAX));
	if (s->device && s->broken != !!(st->status & VIRTIO_STATUS_NEEDS_RESET))
		return false;
	if (!(st->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return !(st->status & VIRTIO_CONFIG_S_DRIVER_OK);
	return !(st->driver_features & ~offered) && (st->driver_features >> VIRTIO_F_VERSION_1 & 1);
}

static bool queue_ok(const struct staged *s, uint16_t index)
{
	const struct virtq *vq = &s->vp->dev->queues[index];
	const struct virtq_state *st = &s->state->queues[index];
	bool packed = !s->state->legacy && (s->state->driver_features >> VIRTIO_F_RING_PACKED & 1);

	if (!st->size || st->size > vq->size_max || !vector_ok(s, st->vector) ||
	    (!packed && (st->size & (st->size - 1))))
		return false;
	if (!st->enabled)
		return true;
	/* Legacy drivers enable queues before they say that they are ready. */
	if (!s->state->legacy && !negotiated(s->state))
		return false;
	if (packed && (st->avail_next >= st->size || st->used_next >= st->size ||
		       st->used_signalled > st->size))
		return false;
	return virtq_addresses_ok(st, packed);
}

/* Another queue than it was: where it goes on is to be found out, where no part says so. */
static void guess_place(struct staged *s, uint16_t index)
{
	const struct virtq_state *was = s->vp->dev->queues[index].state;
	struct virtq_state *st = &s->state->queues[index];

	if (s->queue[index].place || !st->enabled ||
	    (was->enabled && was->size == st->size && was->desc == st->desc &&
	     was->driver == st->driver && was->device == st->device))
		return;
	st->avail_next = 0;
	st->used_next = 0;
	st->avail_wrap = 1;
	st->used_wrap = 1;
	st->used_signalled_valid = 0;
	st->place_unknown = 1;
}

/* Without the part that says so, a device that is used but never negotiated is a legacy one. */
static void guess_legacy(struct staged *s)
{
	if (s->status && !s->device)
		s->state->legacy = (s->state->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
				   !(s->state->status & VIRTIO_CONFIG_S_FEATURES_OK);
}

static int check(struct staged *s)
{
	struct virtio_device *dev = s->vp->dev;

	guess_legacy(s);
	if (!status_ok(s))
		return -EINVAL;
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		guess_place(s, i);
		if (!queue_ok(s, i))
			return -EINVAL;
	}
	return 0;
}

/* --- taking it over --- */

/* Our own part says it for legacy devices, too; where it is not, there is the status (2.1). */
static bool is_broken(const struct staged *s)
{
	if (s->device)
		return s->broken;
	return s->status ? s->state->status & VIRTIO_STATUS_NEEDS_RESET : s->vp->dev->stopped;
}

static void commit(struct staged *s)
{
	struct virtio_device *dev = s->vp->dev;
	/* Features and the status that makes them final may come in one SET, or one after the
	 * other. */
	bool final = negotiated(s->state) && (s->driver_features || !negotiated(dev->state));

	s->state->halted = dev->state->halted;
	memcpy(dev->state, s->state, state_len(dev));
	if (s->device)
		memcpy(s->vp->fn.state->msix_pending, s->msix_pending, sizeof(s->msix_pending));
	virtio_device_restored(dev, is_broken(s));
	if (final && dev->ops->negotiated)
		dev->ops->negotiated(dev);
	if (dev->ops->parts_apply)
		dev->ops->parts_apply(dev, s->type);
}

int virtio_parts_set(struct virtio_pci *vp, const uint8_t *data, size_t len)
{
	struct staged *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	if (!s)
		return -ENOMEM;
	s->vp = vp;
	s->state = malloc(state_len(vp->dev));
	if (s->state) {
		memcpy(s->state, vp->dev->state, state_len(vp->dev));
		err = stage_all(s, data, len);
		if (!err)
			err = check(s);
		if (!err)
			err = virtio_device_prepare(vp->dev, s->state);
		if (!err)
			commit(s);
	}
	free(s->state);
	free(s);
	return err;
}
