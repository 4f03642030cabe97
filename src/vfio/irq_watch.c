/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SET_IRQS with eventfds and the actions MASK and UNMASK: a signal on the eventfd is the action, as
 * in the kernel, where KVM unmasks INTx this way. Few users have any, so they are on a list.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/irqfd.h"
#include "vfio/internal.h"

struct irq_watch {
	struct list node;
	struct vfio_device *vdev;
	struct loop_fd lfd;
	int fd;
	uint32_t index;
	uint32_t which;
	bool mask;
};

static void watch_free(struct irq_watch *w)
{
	loop_fd_del(w->vdev->loop, &w->lfd);
	list_del(&w->node);
	fd_close(&w->fd);
	free(w);
}

static void on_event(struct loop_fd *lfd, uint32_t events)
{
	struct irq_watch *w = container_of(lfd, struct irq_watch, lfd);

	(void)events;
	if (irqfd_take(w->fd))
		vfio_irqs_mask(w->vdev, w->index, w->which, w->mask);
}

int vfio_irq_watch(struct vfio_device *vdev, uint32_t index, uint32_t which, bool mask, int fd)
{
	struct irq_watch *w = NULL;
	struct list *at;
	int err;

	for (at = vdev->irq_watches.next; at != &vdev->irq_watches; at = at->next) {
		w = container_of(at, struct irq_watch, node);
		if (w->index == index && w->which == which && w->mask == mask) {
			watch_free(w);
			break;
		}
	}
	if (fd < 0)
		return 0;
	w = calloc(1, sizeof(*w));
	if (!w) {
		close(fd);
		return -ENOMEM;
	}
	*w = (struct irq_watch){
		.vdev = vdev, .lfd.fd = -1, .fd = fd, .index = index, .which = which, .mask = mask
	};
	list_add_tail(&vdev->irq_watches, &w->node);
	err = loop_fd_add(vdev->loop, &w->lfd, fd, EPOLLIN, on_event);
	if (err)
		watch_free(w);
	return err;
}

void vfio_irq_watch_none(struct vfio_device *vdev, uint32_t index)
{
	struct list *at = vdev->irq_watches.next;

	while (at != &vdev->irq_watches) {
		struct irq_watch *w = container_of(at, struct irq_watch, node);

		at = at->next;
		if (w->index == index)
			watch_free(w);
	}
}
