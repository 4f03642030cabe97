/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vfio_user_stub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/fd.h"

struct vfio_device *stub_new(void)
{
	struct vfio_device *vdev = calloc(1, sizeof(*vdev));

	for (size_t i = 0; i < STUB_VECTORS; i++)
		vdev->irq_fds[i] = -1;
	for (size_t i = 0; i < STUB_IO_FDS; i++)
		vdev->io_fd[i] = -1;
	return vdev;
}

void stub_free(struct vfio_device *vdev)
{
	fd_close_all(vdev->irq_fds, STUB_VECTORS);
	fd_close_all(vdev->io_fd, STUB_IO_FDS);
	free(vdev);
}

int vfio_device_open(struct vfio_device *vdev)
{
	if (vdev->open_error)
		return vdev->open_error;
	if (vdev->open || vdev->close)
		return -EBUSY;
	vdev->open = true;
	vdev->opens++;
	return 0;
}

int vfio_device_close(struct vfio_device *vdev, struct vfio_wait *wait)
{
	vdev->open = false;
	vdev->closes++;
	vdev->access = NULL;
	vdev->unmap = NULL;
	vdev->reset = NULL;
	vdev->nmaps = 0;
	fd_close_all(vdev->irq_fds, STUB_VECTORS);
	fd_close_all(vdev->io_fd, STUB_IO_FDS);
	if (!vdev->late_close)
		return 0;
	vdev->close = wait;
	return -EINPROGRESS;
}

void vfio_device_info(struct vfio_device *vdev, struct vfio_device_info *info)
{
	(void)vdev;
	info->flags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI;
	info->num_regions = STUB_REGIONS;
	info->num_irqs = STUB_IRQS;
}

static uint64_t region_size(uint32_t index)
{
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return sizeof(((struct vfio_device *)NULL)->config);
	return index == VFIO_PCI_BAR0_REGION_INDEX ? STUB_BAR_SIZE : 0;
}

int vfio_device_region_info(struct vfio_device *vdev, uint32_t index, struct vfio_region_info *info)
{
	(void)vdev;
	if (index >= STUB_REGIONS)
		return -EINVAL;
	info->index = index;
	info->size = region_size(index);
	info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
	return 0;
}

int vfio_device_irq_info(struct vfio_device *vdev, uint32_t index, struct vfio_irq_info *info)
{
	(void)vdev;
	if (index >= STUB_IRQS)
		return -EINVAL;
	info->index = index;
	info->count = index == VFIO_PCI_MSIX_IRQ_INDEX ? STUB_VECTORS : 0;
	info->flags = info->count ? VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE : 0;
	return 0;
}

static void effect(struct loop_work *work)
{
	struct vfio_device *vdev = container_of(work, struct vfio_device, effect);

	vdev->effects += vdev->effects_pending;
	vdev->effects_pending = 0;
}

static void access_now(struct vfio_device *vdev, struct vfio_access *access)
{
	uint8_t *mem = access->region == VFIO_PCI_CONFIG_REGION_INDEX ? vdev->config : vdev->bar;

	if (access->write && vdev->loop) {
		vdev->effects_pending++;
		loop_work_queue(vdev->loop, &vdev->effect, effect);
	}
	if (access->write)
		memcpy(mem + access->offset, access->data, access->count);
	else
		memcpy(access->data, mem + access->offset, access->count);
}

int vfio_device_access(struct vfio_device *vdev, struct vfio_access *access)
{
	uint64_t size = region_size(access->region);

	vdev->accesses++;
	if (access->offset >= size || access->count > size - access->offset)
		return -EINVAL;
	if (vdev->late_access) {
		vdev->access = access;
		return -EINPROGRESS;
	}
	access_now(vdev, access);
	return 0;
}

int vfio_device_io_fds(struct vfio_device *vdev, uint32_t index, size_t max_fds,
		       struct vfio_io_fd *io, size_t max, size_t *count, int *fds, size_t *nfds)
{
	*count = 0;
	*nfds = 0;
	if (index >= STUB_REGIONS)
		return -EINVAL;
	while (index == VFIO_PCI_BAR0_REGION_INDEX && *count < vdev->io_fds && *count < max &&
	       *count < max_fds) {
		size_t i = (*count)++;

		if (vdev->io_fd[i] < 0)
			vdev->io_fd[i] = eventfd((unsigned int)i + 1, EFD_CLOEXEC | EFD_NONBLOCK);
		io[i] = (struct vfio_io_fd){ .offset = 4 * i,
					     .size = 2,
					     .pio = i & 1,
					     .match = i & 2,
					     .value = 7 * i,
					     .fd_index = (uint32_t)i };
		fds[i] = vdev->io_fd[i];
		*nfds = i + 1;
	}
	return 0;
}

bool vfio_device_poll_io_fds(struct vfio_device *vdev)
{
	bool any = vdev->signals;

	if (any) {
		vdev->effects_pending += vdev->signals;
		loop_work_queue(vdev->loop, &vdev->effect, effect);
		vdev->signals = vdev->endless ? 1 : 0;
	}
	return any;
}

bool vfio_device_busy(struct vfio_device *vdev, bool mark)
{
	(void)mark;
	return vdev->effects_pending;
}

int vfio_device_set_irqs(struct vfio_device *vdev, const struct vfio_irqs *irqs)
{
	uint32_t max = irqs->index == VFIO_PCI_MSIX_IRQ_INDEX ? STUB_VECTORS : 0;

	if (irqs->start > max || irqs->count > max - irqs->start)
		return -EINVAL;
	vdev->irqs = *irqs;
	vdev->irqs.fds = NULL;
	vdev->irqs.bools = NULL;
	if (irqs->bools)
		memcpy(vdev->bools, irqs->bools, irqs->count);
	if (irqs->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		for (uint32_t i = 0; i < irqs->count; i++) {
			fd_close(&vdev->irq_fds[irqs->start + i]);
			if (irqs->nfds)
				vdev->irq_fds[irqs->start + i] = fd_take(&irqs->fds[i]);
		}
	if (!irqs->count)
		fd_close_all(vdev->irq_fds, STUB_VECTORS);
	return 0;
}

int vfio_device_reset(struct vfio_device *vdev, struct vfio_wait *wait)
{
	vdev->resets++;
	if (!vdev->late_reset)
		return 0;
	vdev->reset = wait;
	return -EINPROGRESS;
}

int vfio_device_dma_map(struct vfio_device *vdev, uint64_t iova, uint64_t size, int fd,
			uint64_t offset, int prot)
{
	for (size_t i = 0; i < vdev->nmaps; i++)
		if (iova < vdev->maps[i].iova + vdev->maps[i].size &&
		    vdev->maps[i].iova < iova + size)
			return -EEXIST;
	if (vdev->nmaps == STUB_MAPS)
		return -ENOSPC;
	vdev->maps[vdev->nmaps++] = (struct stub_map){ iova, size, offset, prot, fd >= 0 };
	return 0;
}

int vfio_device_dma_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t size,
			  struct vfio_wait *wait)
{
	if (vdev->effects_pending)
		vdev->too_early++;
	for (size_t i = 0; i < vdev->nmaps; i++) {
		if (vdev->maps[i].iova != iova || vdev->maps[i].size != size)
			continue;
		vdev->maps[i] = vdev->maps[--vdev->nmaps];
		if (!vdev->late_unmap)
			return 0;
		vdev->unmap = wait;
		return -EINPROGRESS;
	}
	return -ENOENT;
}

int vfio_device_dma_unmap_all(struct vfio_device *vdev, struct vfio_wait *wait)
{
	int err = 0;

	while (vdev->nmaps && !err)
		err = vfio_device_dma_unmap(vdev, vdev->maps[0].iova, vdev->maps[0].size, wait);
	return err;
}

int vfio_device_feature_probe(struct vfio_device *vdev, uint16_t feature, uint32_t methods)
{
	(void)vdev;
	(void)methods;
	return feature ? -ENOTTY : -EBUSY;
}

void stub_finish(struct vfio_device *vdev, int result)
{
	struct vfio_access *access = vdev->access;
	struct vfio_wait *wait = vdev->unmap ? vdev->unmap : vdev->reset;

	vdev->access = NULL;
	vdev->unmap = NULL;
	vdev->reset = NULL;
	if (access) {
		if (!result)
			access_now(vdev, access);
		access->done(access, result);
	} else if (wait) {
		wait->done(wait, result);
	}
}

void stub_finish_close(struct vfio_device *vdev)
{
	struct vfio_wait *wait = vdev->close;

	vdev->close = NULL;
	if (wait)
		wait->done(wait, 0);
}
