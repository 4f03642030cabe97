/* SPDX-License-Identifier: BSD-3-Clause */
/* Halting a device, and letting it go on (virtio 1.4, 2.12.1.4.3.4). */
#include <errno.h>

#include "virtio/device_internal.h"

/* Nothing is in flight. */
static bool settled(const struct virtio_device *dev)
{
	return !dev->in_flight && !dev->resetting;
}

/* The last interrupts are for what was given back while it waited. */
static void finish(struct virtio_device *dev)
{
	for (uint16_t i = 0; i < dev->nqueues; i++)
		virtio_device_flush(dev, &dev->queues[i]);
	dev->halting = NULL;
	dev->state->halted = 1;
	dev->transport->quiet(dev, true);
}

static void halt_work(struct loop_work *work)
{
	struct virtio_device *dev = container_of(work, struct virtio_device, halt_work);
	struct virtio_halt *halt = dev->halting;

	if (!halt || !settled(dev))
		return;
	finish(dev);
	halt->done(halt, 0);
}

/* From the loop: who gives a chain back is not done with it yet. */
void device_halt_check(struct virtio_device *dev)
{
	if (dev->halting && settled(dev))
		loop_work_queue(dev->loop, &dev->halt_work, halt_work);
}

int virtio_device_halt(struct virtio_device *dev, struct virtio_halt *halt)
{
	if (dev->state->halted)
		return 0;
	if (dev->halting)
		return -EBUSY;
	dev->halting = halt;
	if (!settled(dev))
		return -EINPROGRESS;
	finish(dev);
	return 0;
}

void virtio_device_halt_cancel(struct virtio_device *dev, struct virtio_halt *halt)
{
	if (dev->halting != halt)
		return;
	dev->halting = NULL;
	virtio_device_resume(dev);
}

void virtio_device_unhalt(struct virtio_device *dev)
{
	if (!dev->state->halted)
		return;
	dev->state->halted = 0;
	dev->transport->quiet(dev, false);
	if (dev->state->config_pending) {
		dev->state->config_pending = 0;
		device_config_interrupt(dev);
	}
	virtio_device_resume(dev);
}

void virtio_device_halt_reset(struct virtio_device *dev)
{
	struct virtio_halt *halt = dev->halting;

	dev->halting = NULL;
	dev->state->halted = 0;
	dev->transport->quiet(dev, false);
	if (halt)
		halt->done(halt, -ECANCELED);
}
