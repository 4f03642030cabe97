/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts: MSI-X vectors go from the function to the user's eventfds without us; INTx is a line
 * that the driver raises, delivered once and masked until the user unmasks it (automasked).
 */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/irqfd.h"
#include "vfio/internal.h"

void vfio_irqs_init(struct vfio_device *vdev)
{
	for (size_t i = 0; i < VFIO_MSIX_MAX; i++)
		vdev->msix_fd[i] = -1;
	vdev->intx_fd = -1;
	list_init(&vdev->irq_watches);
}

uint32_t vfio_irqs_count(const struct vfio_device *vdev, uint32_t index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return vdev->id.intx ? 1 : 0;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return vdev->msix_vectors;
	default:
		return 0;
	}
}

static void signal_fd(int fd)
{
	if (fd >= 0)
		irqfd_signal(fd);
}

void vfio_irqs_update(struct vfio_device *vdev)
{
	/* The function uses MSI-X when the user does, and when INTx is made of it. */
	vdev->pa->ops->irq_enable(vdev->pa,
				  vdev->msix_used || vdev->intx_fd >= 0 || vfio_msix_enabled(vdev));
}

static bool vector_masked(const struct vfio_device *vdev, uint32_t vector)
{
	return vdev->state->msix_masked[vector / 64] & 1ull << (vector % 64);
}

/* The function keeps what it would send to a vector that goes nowhere, until it goes somewhere. */
static void route_vector(struct vfio_device *vdev, uint16_t vector)
{
	vdev->pa->ops->irq_bind(vdev->pa, vector,
				vector_masked(vdev, vector) ? -1 : vdev->msix_fd[vector]);
}

static void bind_vector(struct vfio_device *vdev, uint16_t vector, int fd)
{
	int old = vdev->msix_fd[vector];

	if (old >= 0)
		vdev->msix_bound--;
	if (fd >= 0)
		vdev->msix_bound++;
	vdev->msix_fd[vector] = fd;
	route_vector(vdev, vector);
	fd_close(&old);
}

void vfio_irqs_rebind(struct vfio_device *vdev)
{
	vfio_irqs_update(vdev);
	for (uint16_t v = 0; vdev->msix_bound && v < vdev->msix_vectors; v++)
		if (vdev->msix_fd[v] >= 0)
			route_vector(vdev, v);
	if (vdev->intx_fd >= 0 && vdev->ops->intx_changed)
		vdev->ops->intx_changed(vdev, true);
}

void vfio_intx_update(struct vfio_device *vdev)
{
	struct vfio_host_state *st = vdev->state;

	if (!st->intx_level || st->intx_masked || vdev->intx_fd < 0 ||
	    vfio_config_intx_disabled(vdev))
		return;
	st->intx_masked = 1;
	signal_fd(vdev->intx_fd);
}

void vfio_intx_set(struct vfio_device *vdev, bool level)
{
	vdev->state->intx_level = level;
	vfio_intx_update(vdev);
}

void vfio_irqs_mask(struct vfio_device *vdev, uint32_t index, uint32_t which, bool mask)
{
	uint64_t bit = 1ull << (which % 64);

	if (index == VFIO_PCI_INTX_IRQ_INDEX) {
		vdev->state->intx_masked = mask;
		vfio_intx_update(vdev);
		return;
	}
	if (mask)
		vdev->state->msix_masked[which / 64] |= bit;
	else
		vdev->state->msix_masked[which / 64] &= ~bit;
	/* While INTx is made of vectors these are the driver's. */
	if (vdev->intx_fd < 0)
		route_vector(vdev, (uint16_t)which);
}

static void set_intx_fd(struct vfio_device *vdev, int fd)
{
	bool was = vdev->intx_fd >= 0, is = fd >= 0;

	fd_close(&vdev->intx_fd);
	vdev->intx_fd = fd;
	vdev->state->intx_masked = 0;
	if (!is)
		vfio_irq_watch_none(vdev, VFIO_PCI_INTX_IRQ_INDEX);
	vfio_irqs_update(vdev);
	if (was != is && vdev->ops->intx_changed)
		vdev->ops->intx_changed(vdev, is);
	vfio_intx_update(vdev);
}

static void disable_msix(struct vfio_device *vdev)
{
	for (uint16_t v = 0; vdev->msix_bound && v < vdev->msix_vectors; v++)
		if (vdev->msix_fd[v] >= 0)
			bind_vector(vdev, v, -1);
	memset(vdev->state->msix_masked, 0, sizeof(vdev->state->msix_masked));
	vfio_irq_watch_none(vdev, VFIO_PCI_MSIX_IRQ_INDEX);
	vdev->msix_used = false;
	vfio_irqs_update(vdev);
}

void vfio_irqs_release(struct vfio_device *vdev)
{
	disable_msix(vdev);
	set_intx_fd(vdev, -1);
}

static bool wants(const struct vfio_irqs *irqs, uint32_t i)
{
	return !(irqs->flags & VFIO_IRQ_SET_DATA_BOOL) || irqs->bools[i];
}

/* The user raises an interrupt itself: a loop back, for tests of its own. */
static void trigger(struct vfio_device *vdev, const struct vfio_irqs *irqs)
{
	for (uint32_t i = 0; i < irqs->count; i++) {
		if (!wants(irqs, i))
			continue;
		if (irqs->index == VFIO_PCI_INTX_IRQ_INDEX)
			signal_fd(vdev->intx_fd);
		else
			signal_fd(vdev->msix_fd[irqs->start + i]);
	}
}

/* MASK and UNMASK: now, or whenever an eventfd is signalled. */
static int set_masks(struct vfio_device *vdev, const struct vfio_irqs *irqs)
{
	bool mask = irqs->flags & VFIO_IRQ_SET_ACTION_MASK;
	int err = irqs->count ? 0 : -EINVAL;

	for (uint32_t i = 0; !err && i < irqs->count; i++) {
		uint32_t which = irqs->start + i;

		if (irqs->flags & VFIO_IRQ_SET_DATA_EVENTFD)
			err = vfio_irq_watch(vdev, irqs->index, which, mask,
					     irqs->nfds ? fd_take(&irqs->fds[i]) : -1);
		else if (wants(irqs, i))
			vfio_irqs_mask(vdev, irqs->index, which, mask);
		for (uint32_t j = 0; err && j < i; j++)
			vfio_irq_watch(vdev, irqs->index, irqs->start + j, mask, -1);
	}
	return err;
}

static int set_msix(struct vfio_device *vdev, const struct vfio_irqs *irqs)
{
	if (!irqs->count) {
		disable_msix(vdev);
		return 0;
	}
	if (!(irqs->flags & VFIO_IRQ_SET_DATA_EVENTFD)) {
		trigger(vdev, irqs);
		return 0;
	}
	if (vdev->intx_fd >= 0)
		return -EINVAL; /* one kind of interrupt at a time */
	vdev->msix_used = true; /* also by a request without descriptors: MSI-X is on, unheard */
	vfio_irqs_update(vdev);
	for (uint32_t i = 0; i < irqs->count; i++)
		bind_vector(vdev, (uint16_t)(irqs->start + i),
			    irqs->nfds ? fd_take(&irqs->fds[i]) : -1);
	return 0;
}

static int set_intx(struct vfio_device *vdev, const struct vfio_irqs *irqs)
{
	bool eventfd = irqs->flags & VFIO_IRQ_SET_DATA_EVENTFD;

	if (eventfd && vdev->msix_used && irqs->nfds)
		return -EINVAL;
	if (!irqs->count || (eventfd && !irqs->nfds))
		set_intx_fd(vdev, -1);
	else if (eventfd)
		set_intx_fd(vdev, fd_take(&irqs->fds[0]));
	else
		trigger(vdev, irqs);
	return 0;
}

int vfio_device_set_irqs(struct vfio_device *vdev, const struct vfio_irqs *irqs)
{
	uint32_t data = irqs->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	uint32_t action = irqs->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	uint32_t have = vfio_irqs_count(vdev, irqs->index);

	/* Exactly one of each, nothing else (linux/vfio.h). */
	if (!data || (data & (data - 1)) || !action || (action & (action - 1)) ||
	    (irqs->flags & ~(data | action)))
		return -EINVAL;
	if (irqs->start > have || irqs->count > have - irqs->start)
		return -EINVAL;
	if (!irqs->count && (irqs->start || data != VFIO_IRQ_SET_DATA_NONE))
		return -EINVAL;
	if (irqs->nfds && (data != VFIO_IRQ_SET_DATA_EVENTFD || irqs->nfds != irqs->count))
		return -EINVAL;
	for (size_t i = 0; i < irqs->nfds; i++)
		if (!irqfd_is(irqs->fds[i]))
			return -EINVAL;
	if (have && action != VFIO_IRQ_SET_ACTION_TRIGGER)
		return set_masks(vdev, irqs);
	switch (irqs->index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return set_intx(vdev, irqs);
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return set_msix(vdev, irqs);
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_ERR_IRQ_INDEX:
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 0; /* none there: disabling all of them changes nothing */
	default:
		return -EINVAL;
	}
}
