/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/device.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "virtio/device_internal.h"

static void device_work(struct loop_work *work);
static void go_on(struct iommu_stay *stay);

int virtio_device_init(struct virtio_device *dev, struct virtio_state *state, uint16_t queue_size)
{
	dev->state = state;
	dev->budget = INT_MAX;
	dev->stay.done = go_on;
	list_init(&dev->resets);
	dev->queues = calloc(dev->nqueues, sizeof(*dev->queues));
	if (!dev->queues)
		return -ENOMEM;
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		dev->queues[i].state = &state->queues[i];
		dev->queues[i].index = i;
		dev->queues[i].size_max = queue_size;
		virtq_reset(&dev->queues[i]);
	}
	state->config_vector = VIRTQ_NO_VECTOR;
	return 0;
}

void virtio_device_destroy(struct virtio_device *dev)
{
	loop_work_cancel(&dev->work);
	loop_work_cancel(&dev->settled_work);
	loop_work_cancel(&dev->halt_work);
	iommu_stay_cancel(&dev->stay);
	for (uint16_t i = 0; i < dev->nqueues; i++)
		virtq_destroy(&dev->queues[i]);
	free(dev->queues);
	dev->ops->destroy(dev);
}

struct virtq *virtio_device_queue(struct virtio_device *dev, uint16_t index)
{
	return index < dev->nqueues ? &dev->queues[index] : NULL;
}

bool virtio_device_has(const struct virtio_device *dev, unsigned int feature)
{
	return dev->state->driver_features >> feature & 1;
}

/*
 * Legacy drivers use the device before they set DRIVER_OK (virtio 1.3, 3.1.2), modern ones must
 * not.
 */
static bool device_running(const struct virtio_device *dev)
{
	return !dev->resetting && !dev->stopped && !dev->halting && !dev->state->halted &&
	       (dev->state->legacy || (dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK));
}

void virtio_device_notify(struct virtio_device *dev, uint16_t queue)
{
	counter_inc(dev->counters, notifies);
	if (queue >= dev->nqueues || !dev->queues[queue].state->enabled)
		return;
	dev->queues[queue].kicked = true;
	loop_work_queue(dev->loop, &dev->work, device_work);
}

void virtio_device_notify_again(struct virtio_device *dev, struct virtq *vq)
{
	vq->kicked = true;
	loop_work_again(dev->loop, &dev->work, device_work);
}

void virtio_device_resume(struct virtio_device *dev)
{
	for (uint16_t i = 0; i < dev->nqueues; i++)
		dev->queues[i].kicked = dev->queues[i].state->enabled;
	loop_work_queue(dev->loop, &dev->work, device_work);
}

static void device_work(struct loop_work *work)
{
	struct virtio_device *dev = container_of(work, struct virtio_device, work);

	dev->budget = VIRTIO_BUDGET;
	dev->units = 0;
	loop_turn_begin(&dev->time);
	/*
	 * Not always from the first one: a queue that takes the whole turn leaves the next to
	 * others.
	 */
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		struct virtq *vq = &dev->queues[dev->turn];

		if (dev->budget <= 0) {
			loop_work_again(dev->loop, &dev->work, device_work);
			break;
		}
		dev->turn = (uint16_t)((dev->turn + 1) % dev->nqueues);
		if (!vq->kicked || vq->resetting || !device_running(dev) ||
		    !dev->transport->dma(dev))
			continue;
		vq->kicked = false;
		dev->ops->process(dev, vq);
		if (!vq->kicked)
			vq->owed = 0;
		virtio_device_flush(dev, vq);
	}
	dev->budget = INT_MAX;
}

/* An unmap is done: the queues that it kept waiting are those that are kicked. */
static void go_on(struct iommu_stay *stay)
{
	struct virtio_device *dev = container_of(stay, struct virtio_device, stay);

	loop_work_queue(dev->loop, &dev->work, device_work);
}

/* Outside of device_work() there is no turn. */
static bool turn_over(struct virtio_device *dev)
{
	unsigned int units = dev->units;

	dev->units = 0;
	if (dev->budget > VIRTIO_BUDGET)
		return false;
	if (dev->budget > 0 && loop_turn_over(&dev->time, units))
		dev->budget = 0;
	return dev->budget <= 0;
}

/* What a modern driver is offered: not what only the legacy registers know (virtio 1.3, 6.3). */
static uint64_t modern_features(const struct virtio_device *dev)
{
	return dev->features & ~(1ull << VIRTIO_F_NOTIFY_ON_EMPTY | 1ull << VIRTIO_F_ANY_LAYOUT);
}

uint32_t virtio_device_features(const struct virtio_device *dev, uint32_t select)
{
	return select < 2 ? (uint32_t)(modern_features(dev) >> (32 * select)) : 0;
}

void virtio_device_accept_features(struct virtio_device *dev, uint32_t select, uint32_t value)
{
	struct virtio_state *st = dev->state;

	if (select > 1 || (st->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	st->driver_features &= ~(0xffffffffull << (32 * select));
	st->driver_features |= (uint64_t)value << (32 * select);
}

/* Negotiation is over and went well: only then is a modern device to be used (3.1.1). */
static bool negotiated(const struct virtio_device *dev)
{
	return dev->state->legacy || (dev->state->status & VIRTIO_CONFIG_S_FEATURES_OK);
}

/* virtio 1.3, 2.2: a subset of what was offered, and modern drivers must accept VERSION_1. */
static bool features_ok(const struct virtio_device *dev)
{
	uint64_t f = dev->state->driver_features;

	return !(f & ~modern_features(dev)) && (f >> VIRTIO_F_VERSION_1 & 1);
}

/* These may change while a queue is in use; what its layout depends on may not. */
static void apply_features(struct virtio_device *dev)
{
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		struct virtq *vq = &dev->queues[i];

		vq->event_idx = virtio_device_has(dev, VIRTIO_RING_F_EVENT_IDX);
		vq->indirect = virtio_device_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
		vq->notify_on_empty =
			dev->state->legacy && virtio_device_has(dev, VIRTIO_F_NOTIFY_ON_EMPTY);
	}
}

void virtio_device_set_status(struct virtio_device *dev, uint8_t status)
{
	struct virtio_state *st = dev->state;
	uint8_t set = status & (uint8_t)~st->status;

	if (dev->resetting)
		return;
	if (!status) {
		virtio_device_reset(dev, NULL);
		return;
	}
	if (st->legacy)
		status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	else if ((set & VIRTIO_CONFIG_S_FEATURES_OK) && !features_ok(dev))
		status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if (!st->legacy && !(status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
		set &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	}
	/* DEVICE_NEEDS_RESET is the device's to set, and only a reset clears it. */
	st->status = (status & (uint8_t)~VIRTIO_STATUS_NEEDS_RESET) |
		     (st->status & VIRTIO_STATUS_NEEDS_RESET);
	apply_features(dev);
	if ((set & status &
	     (st->legacy ? VIRTIO_CONFIG_S_DRIVER_OK : VIRTIO_CONFIG_S_FEATURES_OK)) &&
	    dev->ops->negotiated)
		dev->ops->negotiated(dev);
	/* Buffers may wait already (virtio 1.3, 3.1.1: notifications before DRIVER_OK are lost). */
	if (set & VIRTIO_CONFIG_S_DRIVER_OK) {
		if (dev->ops->started)
			dev->ops->started(dev);
		virtio_device_resume(dev);
	}
}

/* A state has a feature that legacy drivers don't know. */
static bool has_modern(const struct virtio_state *state, unsigned int feature)
{
	return !state->legacy && (state->driver_features >> feature & 1);
}

static void choose_ring(struct virtio_device *dev, struct virtq *vq)
{
	vq->packed = has_modern(dev->state, VIRTIO_F_RING_PACKED);
	vq->in_order = has_modern(dev->state, VIRTIO_F_IN_ORDER);
}

int virtio_device_prepare(struct virtio_device *dev, const struct virtio_state *state)
{
	int err = 0;

	for (uint16_t i = 0; i < dev->nqueues && !err; i++)
		if (state->queues[i].enabled && has_modern(state, VIRTIO_F_IN_ORDER))
			err = virtq_prepare(&dev->queues[i]);
	return err;
}

void virtio_device_restored(struct virtio_device *dev, bool broken)
{
	for (uint16_t i = 0; i < dev->nqueues; i++) {
		choose_ring(dev, &dev->queues[i]);
		virtq_restored(&dev->queues[i]);
	}
	apply_features(dev);
	dev->stopped = broken;
	dev->stop_reason = broken ? "it was stopped where it came from" : NULL;
}

void virtio_device_enable_queue(struct virtio_device *dev, struct virtq *vq)
{
	if (vq->state->enabled || vq->resetting || dev->resetting || !negotiated(dev))
		return;
	choose_ring(dev, vq);
	if (virtq_enable(vq)) {
		virtio_device_stop(dev, "a virtqueue's address is not aligned", false);
		return;
	}
	apply_features(dev);
}

int virtio_device_reset_queue(struct virtio_device *dev, struct virtq *vq,
			      struct virtio_reset *reset)
{
	if (!vq->state->enabled || dev->resetting)
		return 0;
	vq->resetting = vq->in_flight > 0;
	if (!vq->resetting) {
		virtq_reset(vq);
		return 0;
	}
	if (reset) {
		reset->vq = vq;
		list_add_tail(&dev->resets, &reset->node);
	}
	return -EINPROGRESS;
}

static void queue_reset_finish(struct virtio_device *dev, struct virtq *vq)
{
	struct virtio_reset *r, *tmp;

	virtq_reset(vq);
	list_for_each_safe (r, tmp, &dev->resets, node) {
		if (r->vq != vq)
			continue;
		list_del(&r->node);
		r->done(r);
	}
}

void virtio_device_config_read(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len)
{
	uint32_t n = 0;

	memset(data, 0xff, len);
	if (offset < dev->config_len)
		n = len < dev->config_len - offset ? len : dev->config_len - offset;
	if (n)
		memcpy(data, dev->config + offset, n);
}

void virtio_device_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
				uint32_t len)
{
	if (dev->ops->config_write && offset < dev->config_len && len <= dev->config_len - offset)
		dev->ops->config_write(dev, offset, data, len);
}

static void reset_finish(struct virtio_device *dev)
{
	struct virtio_state *st = dev->state;

	for (uint16_t i = 0; i < dev->nqueues; i++)
		if (st->queues[i].enabled || st->queues[i].desc || st->queues[i].driver ||
		    st->queues[i].device || st->queues[i].size != dev->queues[i].size_max ||
		    st->queues[i].vector != VIRTQ_NO_VECTOR)
			virtq_reset(&dev->queues[i]);
	st->driver_features = 0;
	st->device_feature_select = 0;
	st->driver_feature_select = 0;
	st->queue_select = 0;
	st->config_vector = VIRTQ_NO_VECTOR;
	st->status = 0;
	st->isr = 0;
	st->legacy = 0;
	st->config_pending = 0;
	dev->resetting = false;
	dev->stopped = false;
	dev->stop_reason = NULL;
	apply_features(dev);
	device_halt_check(dev);
	while (!list_empty(&dev->resets)) {
		struct virtio_reset *r = list_first(&dev->resets, struct virtio_reset, node);

		list_del(&r->node);
		r->done(r);
	}
}

/*
 * Who waited may free the device. Its type is not in the middle of anything here, as it would be
 * where the last chain ended.
 */
static void settled_work(struct loop_work *work)
{
	struct virtio_device *dev = container_of(work, struct virtio_device, settled_work);

	if (dev->in_flight)
		return;
	if (dev->resetting)
		reset_finish(dev);
	dev->draining = false;
	dev->transport->settled(dev);
}

int virtio_device_drain(struct virtio_device *dev)
{
	dev->draining = dev->in_flight;
	return dev->draining ? -EINPROGRESS : 0;
}

bool virtio_device_busy(struct virtio_device *dev, bool mark)
{
	bool busy = false;

	for (uint16_t i = 0; i < dev->nqueues; i++) {
		struct virtq *vq = &dev->queues[i];

		if (mark)
			vq->owed = vq->kicked ? vq->state->size : 0;
		busy |= vq->kicked && vq->owed;
	}
	return busy && loop_work_queued(&dev->work);
}

int virtio_device_reset(struct virtio_device *dev, struct virtio_reset *reset)
{
	if (!dev->resetting) {
		dev->resetting = true;
		loop_work_cancel(&dev->work);
		dev->in_flight++; /* what the type ends now does not end the reset */
		if (dev->ops->reset)
			dev->ops->reset(dev);
		dev->in_flight--;
	}
	if (!dev->in_flight) {
		reset_finish(dev);
		return 0;
	}
	if (reset)
		list_add_tail(&dev->resets, &reset->node);
	return -EINPROGRESS;
}

void virtio_reset_cancel(struct virtio_reset *reset)
{
	if (reset->node.next)
		list_del(&reset->node);
}

void device_config_interrupt(struct virtio_device *dev)
{
	if (!(dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (dev->state->halted) {
		dev->state->config_pending = 1;
		return;
	}
	dev->state->isr |= 2;
	dev->transport->interrupt(dev, dev->state->config_vector);
}

void virtio_device_config_changed(struct virtio_device *dev)
{
	dev->state->config_generation++;
	device_config_interrupt(dev);
}

void virtio_device_stop(struct virtio_device *dev, const char *why, bool dma_fault)
{
	struct virtio_state *st = dev->state;

	if (dev->stopped || dev->resetting)
		return;
	dev->stopped = true;
	dev->stop_reason = why ? why : "DMA failed";
	if (dma_fault)
		counter_inc(dev->counters, dma_faults);
	counter_inc(dev->counters, device_errors);
	log_warn("%s: stopped: %s%s", dev->name, dma_fault ? "DMA fault: " : "", dev->stop_reason);
	if (dev->on_stop)
		dev->on_stop(dev->on_stop_ctx);
	if (st->legacy)
		return; /* legacy drivers have no bit to be told by */
	st->status |= VIRTIO_STATUS_NEEDS_RESET;
	device_config_interrupt(dev);
}

/* A chain, 0, or an error; a driver that keeps changing its mind is asked twice at the most. */
static int take(struct virtio_device *dev, struct virtq *vq, struct iommu_space *space,
		struct virtq_chain *chain, const char **why)
{
	int got = virtq_pop(vq, space, chain, why);

	if (got || !virtq_enable_notify(vq, space))
		return got;
	got = virtq_pop(vq, space, chain, why);
	if (!got)
		virtio_device_notify_again(dev, vq);
	return got;
}

bool virtio_device_pop(struct virtio_device *dev, struct virtq *vq, struct virtq_chain *chain)
{
	struct iommu_space *space;
	const char *why = NULL;
	int got;

	if (!device_running(dev) || !vq->state->enabled || vq->resetting)
		return false;
	space = dev->transport->dma(dev);
	if (!space)
		return false;
	if (turn_over(dev)) {
		virtio_device_notify_again(dev, vq);
		return false;
	}
	/* Nothing new while memory is taken away: it would keep the unmap waiting for ever. */
	if (iommu_space_leaving(space, &dev->stay)) {
		vq->kicked = true;
		return false;
	}
	if (vq->state->place_unknown && virtq_find_place(vq, space)) {
		virtio_device_stop(dev, iommu_space_fault(space), true);
		return false;
	}
	got = take(dev, vq, space, chain, &why);
	if (got > 0) {
		vq->space = space;
		dev->in_flight++;
		dev->budget--;
		if (vq->owed)
			vq->owed--;
		dev->units = 1 + (unsigned int)(chain->nout + chain->nin) / VIRTIO_SEGS_A_UNIT;
		if (!iommu_space_lost(space))
			return true;
		virtio_device_put_back(dev, vq, chain);
	}
	if (iommu_space_lost(space))
		virtio_device_stop(dev, iommu_space_fault(space), true);
	else if (got < 0)
		virtio_device_stop(dev, why, got == -EFAULT);
	return false;
}

/* True if the driver is still to be told of the chain. */
static bool chain_end(struct virtio_device *dev, struct virtq *vq, uint16_t head)
{
	counter_inc(dev->counters, requests);
	dev->in_flight--;
	device_halt_check(dev);
	if (!dev->in_flight && (dev->resetting || dev->draining))
		loop_work_queue(dev->loop, &dev->settled_work, settled_work);
	if (dev->resetting)
		return false;
	if (vq->resetting) {
		virtq_forget(vq, head);
		if (!vq->in_flight)
			queue_reset_finish(dev, vq);
		return false;
	}
	return !dev->stopped;
}

/* Also while the device takes nothing any more: who turned bus mastering off waits for this. */
static void add_used(struct virtio_device *dev, struct virtq *vq, uint16_t head, uint32_t len)
{
	if (chain_end(dev, vq, head) && virtq_add_used(vq, vq->space, head, len))
		virtio_device_stop(dev, iommu_space_fault(vq->space), true);
}

void virtio_device_add_used(struct virtio_device *dev, struct virtq *vq, uint16_t head,
			    uint32_t len, struct iommu_seg *segs, size_t nsegs)
{
	add_used(dev, vq, head, len);
	iommu_unpin(segs, nsegs);
}

void virtio_device_publish_used(struct virtio_device *dev, struct virtq *vq)
{
	if (!vq->unpublished || dev->stopped)
		return;
	if (virtq_publish_used(vq, vq->space) || iommu_space_lost(vq->space))
		virtio_device_stop(dev, iommu_space_fault(vq->space), true);
}

void virtio_device_complete(struct virtio_device *dev, struct virtq *vq, uint16_t head,
			    uint32_t len, struct iommu_seg *segs, size_t nsegs)
{
	add_used(dev, vq, head, len);
	virtio_device_publish_used(dev, vq);
	/* Last: an unmap that waits for this may take the ring with it. */
	iommu_unpin(segs, nsegs);
}

void virtio_device_put_back(struct virtio_device *dev, struct virtq *vq, struct virtq_chain *chain)
{
	virtq_unpop(vq, chain);
	iommu_unpin(chain->segs, (size_t)(chain->nout + chain->nin));
	dev->in_flight--;
}

void virtio_device_flush(struct virtio_device *dev, struct virtq *vq)
{
	struct iommu_space *space;

	if (!vq->used_pending || dev->resetting || dev->stopped)
		return;
	space = dev->transport->dma(dev);
	if (space && !virtq_interrupt_due(vq, space))
		return;
	/* Where it may not look whether one is wanted, it is pending: one too many harms nobody. */
	vq->used_pending = false;
	if (!dev->transport->msix_enabled(dev))
		dev->state->isr |= 1;
	dev->transport->interrupt(dev, vq->state->vector);
}
