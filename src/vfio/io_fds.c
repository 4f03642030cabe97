/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells as eventfds. A user that asks gets one per queue, as far as it can take that many, and
 * hands them to whatever sees the guest's writes (KVM): these reach us without a message then.
 * Nothing of it exists for users that don't ask.
 *
 * An eventfd belongs to a queue, whichever region's doorbell it stands for; queue q's is number
 * q mod nfds. A signal is turned into the write that it stands for, from the loop.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/irqfd.h"
#include "vfio/internal.h"

/* Queues have a vector each, and two registers for notifications at most. */
#define BELLS_MAX (2 * VFIO_MSIX_MAX)
#define FDS_MAX   VFIO_MSIX_MAX

struct io_event {
	struct vfio_device *vdev;
	struct loop_fd lfd;
	int fd;
};

struct vfio_io_fds {
	size_t nbells;
	size_t nfds;
	bool rang; /* since the last poll: the device may not have acted on it yet */
	struct vfio_doorbell bells[BELLS_MAX];
	struct io_event events[FDS_MAX];
};

static bool same_write(const struct vfio_doorbell *a, const struct vfio_doorbell *b)
{
	return a->bar == b->bar && a->at == b->at && a->value == b->value;
}

/* The writes that event number i stands for, each once however many regions have it. */
static void ring(struct vfio_device *vdev, size_t i)
{
	struct vfio_io_fds *io = vdev->io_fds;

	for (size_t b = 0; b < io->nbells; b++) {
		const struct vfio_doorbell *bell = &io->bells[b];
		uint16_t value = htole16(bell->value);

		if (bell->value % io->nfds != i || (b && same_write(bell, bell - 1)))
			continue;
		vdev->pa->ops->bar_write(vdev->pa, bell->bar, bell->at, &value, sizeof(value));
	}
}

static void on_event(struct loop_fd *lfd, uint32_t events)
{
	struct io_event *ev = container_of(lfd, struct io_event, lfd);

	(void)events;
	if (!irqfd_take(ev->fd))
		return;
	ev->vdev->io_fds->rang = true;
	ring(ev->vdev, (size_t)(ev - ev->vdev->io_fds->events));
}

/* Looks at all of them, with one system call unless there is something. */
static bool take_all(struct vfio_device *vdev, void (*fn)(struct vfio_device *vdev, size_t i))
{
	struct vfio_io_fds *io = vdev->io_fds;
	struct pollfd p[FDS_MAX];
	bool any = false;

	if (!io || !io->nfds)
		return false;
	for (size_t i = 0; i < io->nfds; i++)
		p[i] = (struct pollfd){ .fd = io->events[i].fd, .events = POLLIN };
	if (poll(p, io->nfds, 0) <= 0)
		return false;
	for (size_t i = 0; i < io->nfds; i++) {
		if (!(p[i].revents & POLLIN) || !irqfd_take(io->events[i].fd))
			continue;
		any = true;
		if (fn)
			fn(vdev, i);
	}
	return any;
}

bool vfio_device_poll_io_fds(struct vfio_device *vdev)
{
	bool rang = vdev->io_fds && vdev->io_fds->rang;

	if (rang)
		vdev->io_fds->rang = false;
	return take_all(vdev, ring) || rang;
}

void vfio_io_fds_reset(struct vfio_device *vdev)
{
	take_all(vdev, NULL);
}

void vfio_io_fds_release(struct vfio_device *vdev)
{
	struct vfio_io_fds *io = vdev->io_fds;

	for (size_t i = 0; io && i < io->nfds; i++) {
		loop_fd_del(vdev->loop, &io->events[i].lfd);
		fd_close(&io->events[i].fd);
	}
	free(io);
	vdev->io_fds = NULL;
}

static int add_event(struct vfio_device *vdev)
{
	struct vfio_io_fds *io = vdev->io_fds;
	struct io_event *ev = &io->events[io->nfds];

	ev->vdev = vdev;
	ev->lfd.fd = -1;
	ev->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ev->fd < 0)
		return -errno;
	io->nfds++;
	return loop_fd_add(vdev->loop, &ev->lfd, ev->fd, EPOLLIN, on_event);
}

static int by_queue(const void *a, const void *b)
{
	const struct vfio_doorbell *x = a, *y = b;

	return x->value != y->value ? (int)x->value - y->value : (int)x->region - (int)y->region;
}

/* A driver that has doorbells has queues 0.. with no gap, each in the same regions. */
static int make(struct vfio_device *vdev, size_t max_fds)
{
	struct vfio_io_fds *io = calloc(1, sizeof(*io));
	size_t queues;
	int err = 0;

	if (!io)
		return -ENOMEM;
	vdev->io_fds = io;
	if (max_fds && vdev->ops->doorbells)
		io->nbells = vdev->ops->doorbells(vdev, io->bells, BELLS_MAX);
	qsort(io->bells, io->nbells, sizeof(io->bells[0]), by_queue);
	queues = io->nbells ? io->bells[io->nbells - 1].value + 1u : 0;
	while (!err && io->nfds < queues && io->nfds < max_fds && io->nfds < FDS_MAX)
		err = add_event(vdev);
	if (err || !queues)
		vfio_io_fds_release(vdev);
	return err;
}

int vfio_device_io_fds(struct vfio_device *vdev, uint32_t index, size_t max_fds,
		       struct vfio_io_fd *out, size_t max, size_t *count, int *fds, size_t *nfds)
{
	struct vfio_io_fds *io;
	int err;

	*count = 0;
	*nfds = 0;
	if (index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	err = vdev->io_fds ? 0 : make(vdev, max_fds);
	if (err)
		return err;
	io = vdev->io_fds;
	for (size_t b = 0; io && b < io->nbells && *count < max; b++) {
		const struct vfio_doorbell *bell = &io->bells[b];

		if (bell->region != index)
			continue;
		out[(*count)++] = (struct vfio_io_fd){
			.offset = bell->offset,
			.size = bell->size,
			.pio = index == VFIO_PCI_BAR0_REGION_INDEX && vdev->id.io_bar0,
			.match = bell->match,
			.value = bell->match ? bell->value : 0,
			.fd_index = (uint32_t)(bell->value % io->nfds),
		};
	}
	for (; *count && *nfds < io->nfds; (*nfds)++)
		fds[*nfds] = io->events[*nfds].fd;
	return 0;
}
