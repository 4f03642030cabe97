/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts: MSI-X vectors go from the function to the user's eventfds without us; INTx is a line
 * that the driver raises, delivered once and masked until the user unmasks it (automasked).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "vfio/internal.h"

void vfio_irqs_init(struct vfio_device *vdev)
{
	for (size_t i = 0; i < VFIO_MSIX_MAX; i++)
		vdev->msix_fd[i] = -1;
	vdev->intx_fd = -1;
	vdev->intx_unmask_fd = -1;
	vdev->intx_unmask.fd = -1;
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
	uint64_t one = 1;

	/* A full counter means that the event is pending already; the watchdog ends all other
	 * waits. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

/* A message that nobody may ever wait for. */
static bool usable(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	/* An eventfd is an anonymous inode: neither a file nor a socket, pipe or device. */
	return fstat(fd, &st) == 0 && !(st.st_mode & S_IFMT) && flags >= 0 &&
	       fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

void vfio_irqs_update(struct vfio_device *vdev)
{
	/* The function uses MSI-X when the user does, and when INTx is made of it. */
	vdev->pa->ops->irq_enable(vdev->pa,
				  vdev->msix_used || vdev->intx_fd >= 0 || vfio_msix_enabled(vdev));
}

static void bind_vector(struct vfio_device *vdev, uint16_t vector, int fd)
{
	if (vdev->msix_fd[vector] >= 0)
		vdev->msix_bound--;
	if (fd >= 0)
		vdev->msix_bound++;
	vdev->pa->ops->irq_bind(vdev->pa, vector, fd);
	fd_close(&vdev->msix_fd[vector]);
	vdev->msix_fd[vector] = fd;
}

void vfio_irqs_rebind(struct vfio_device *vdev)
{
	vfio_irqs_update(vdev);
	for (uint16_t v = 0; vdev->msix_bound && v < vdev->msix_vectors; v++)
		if (vdev->msix_fd[v] >= 0)
			vdev->pa->ops->irq_bind(vdev->pa, v, vdev->msix_fd[v]);
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

static void intx_unmask(struct vfio_device *vdev)
{
	vdev->state->intx_masked = 0;
	vfio_intx_update(vdev);
}

static void on_unmask_event(struct loop_fd *lfd, uint32_t events)
{
	struct vfio_device *vdev = container_of(lfd, struct vfio_device, intx_unmask);
	uint64_t count;

	(void)events;
	if (read(vdev->intx_unmask_fd, &count, sizeof(count)) > 0)
		intx_unmask(vdev);
	else
		loop_fd_del(vdev->loop, lfd); /* not an eventfd, or blocking: of no use */
}

static void set_unmask_fd(struct vfio_device *vdev, int fd)
{
	loop_fd_del(vdev->loop, &vdev->intx_unmask);
	fd_close(&vdev->intx_unmask_fd);
	vdev->intx_unmask_fd = fd;
	if (fd >= 0)
		loop_fd_add(vdev->loop, &vdev->intx_unmask, fd, EPOLLIN, on_unmask_event);
}

static void set_intx_fd(struct vfio_device *vdev, int fd)
{
	bool was = vdev->intx_fd >= 0, is = fd >= 0;

	fd_close(&vdev->intx_fd);
	vdev->intx_fd = fd;
	vdev->state->intx_masked = 0;
	if (!is)
		set_unmask_fd(vdev, -1);
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

static int set_msix(struct vfio_device *vdev, const struct vfio_irqs *irqs)
{
	if (!(irqs->flags & VFIO_IRQ_SET_ACTION_TRIGGER))
		return -EINVAL; /* not maskable one by one */
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

	switch (irqs->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
	case VFIO_IRQ_SET_ACTION_TRIGGER:
		if (eventfd && vdev->msix_used && irqs->nfds)
			return -EINVAL;
		if (!irqs->count || (eventfd && !irqs->nfds))
			set_intx_fd(vdev, -1);
		else if (eventfd)
			set_intx_fd(vdev, fd_take(&irqs->fds[0]));
		else
			trigger(vdev, irqs);
		return 0;
	case VFIO_IRQ_SET_ACTION_MASK:
		if (eventfd || !irqs->count)
			return -EINVAL;
		if (wants(irqs, 0))
			vdev->state->intx_masked = 1;
		return 0;
	case VFIO_IRQ_SET_ACTION_UNMASK:
		if (!irqs->count)
			return -EINVAL;
		if (eventfd)
			set_unmask_fd(vdev, irqs->nfds ? fd_take(&irqs->fds[0]) : -1);
		else if (wants(irqs, 0))
			intx_unmask(vdev);
		return 0;
	default:
		return -EINVAL;
	}
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
		if (!usable(irqs->fds[i]))
			return -EINVAL;
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
