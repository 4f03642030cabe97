/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-vfio-pci: INTx and ISR status, made of two MSI-X vectors of the member. */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "drivers/virtio_vfio_pci.h"

#define COMMON(field) ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))

int vvp_intx_init(struct virtio_vfio_pci *vvp)
{
	for (int i = 0; i < 2; i++) {
		vvp->intx_eventfd[i] = -1;
		vvp->intx_event[i].fd = -1;
	}
	return 0;
}

static void on_vector(struct virtio_vfio_pci *vvp, int vector, uint8_t bit)
{
	uint64_t count;

	if (read(vvp->intx_eventfd[vector], &count, sizeof(count)) < 0)
		return;
	vvp->vdev.state->isr |= bit;
	vfio_intx_set(&vvp->vdev, true);
}

static void on_config_vector(struct loop_fd *lfd, uint32_t events)
{
	(void)events;
	on_vector(container_of(lfd, struct virtio_vfio_pci, intx_event[VVP_VECTOR_CONFIG]),
		  VVP_VECTOR_CONFIG, VVP_ISR_CONFIG);
}

static void on_queue_vector(struct loop_fd *lfd, uint32_t events)
{
	(void)events;
	on_vector(container_of(lfd, struct virtio_vfio_pci, intx_event[VVP_VECTOR_QUEUE]),
		  VVP_VECTOR_QUEUE, VVP_ISR_QUEUE);
}

/* Made when they are first needed: most guests use MSI-X. */
static int make_eventfd(struct virtio_vfio_pci *vvp, int vector,
			void (*fn)(struct loop_fd *, uint32_t))
{
	int fd;

	if (vvp->intx_eventfd[vector] >= 0)
		return 0;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	vvp->intx_eventfd[vector] = fd;
	return loop_fd_add(vvp->host.loop, &vvp->intx_event[vector], fd, EPOLLIN, fn);
}

void vvp_intx_changed(struct virtio_vfio_pci *vvp, bool on)
{
	struct pci_access *pa = vvp->host.pa;

	if (on && (make_eventfd(vvp, VVP_VECTOR_CONFIG, on_config_vector) ||
		   make_eventfd(vvp, VVP_VECTOR_QUEUE, on_queue_vector)))
		on = false;
	vvp->intx_on = on;
	vvp_intx_clear(vvp);
	for (uint16_t v = 0; v < 2; v++)
		pa->ops->irq_bind(pa, v, on ? vvp->intx_eventfd[v] : -1);
}

void vvp_intx_clear(struct virtio_vfio_pci *vvp)
{
	uint64_t count;

	for (int i = 0; i < 2; i++)
		if (vvp->intx_eventfd[i] >= 0 &&
		    read(vvp->intx_eventfd[i], &count, sizeof(count)) < 0)
			continue; /* nothing was pending */
	vvp->vdev.state->isr = 0;
	vfio_intx_set(&vvp->vdev, false);
}

uint8_t vvp_intx_read_isr(struct virtio_vfio_pci *vvp)
{
	uint8_t isr = vvp->vdev.state->isr;

	vvp->vdev.state->isr = 0;
	vfio_intx_set(&vvp->vdev, false);
	return isr;
}

bool vvp_intx_modern_access(struct virtio_vfio_pci *vvp, struct vfio_access *a)
{
	struct pci_access *pa = vvp->host.pa;
	uint32_t at;

	if (virtio_region_has(&vvp->layout.isr, (uint8_t)a->region, a->offset, &at)) {
		memset(a->data, 0, a->write ? 0 : a->count);
		if (!a->write && at == 0)
			a->data[0] = vvp_intx_read_isr(vvp);
		return true;
	}
	if (!a->write ||
	    !virtio_region_has(&vvp->layout.common, (uint8_t)a->region, a->offset, &at))
		return false;
	/* As prepare_intx() in legacy.c, with the modern registers. */
	if (at == COMMON(queue_enable))
		virtio_region_write(pa, &vvp->layout.common, COMMON(queue_msix_vector), 2,
				    VVP_VECTOR_QUEUE);
	else if (at == COMMON(device_status) && !a->data[0])
		vvp_intx_clear(vvp);
	else if (at == COMMON(device_status) && (a->data[0] & VIRTIO_CONFIG_S_DRIVER_OK))
		virtio_region_write(pa, &vvp->layout.common, COMMON(msix_config), 2,
				    VVP_VECTOR_CONFIG);
	return false;
}

void vvp_intx_destroy(struct virtio_vfio_pci *vvp)
{
	for (int i = 0; i < 2; i++) {
		loop_fd_del(vvp->host.loop, &vvp->intx_event[i]);
		fd_close(&vvp->intx_eventfd[i]);
	}
}
