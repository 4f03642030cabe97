/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/device.h"

#include <errno.h>
#include <string.h>

#include "vfio/internal.h"

int vfio_device_init(struct vfio_device *vdev, const struct vfio_device_ops *ops, struct loop *loop,
		     struct pci_access *pa, struct counters *counters,
		     struct vfio_host_state *state, const struct vfio_identity *id)
{
	vdev->ops = ops;
	vdev->loop = loop;
	vdev->pa = pa;
	vdev->counters = counters;
	vdev->state = state;
	vdev->id = *id;
	vfio_config_init(vdev);
	vfio_irqs_init(vdev);
	return 0;
}

void vfio_device_destroy(struct vfio_device *vdev)
{
	pci_reset_cancel(&vdev->flr);
	pci_reset_cancel(&vdev->drain);
	iommu_wait_cancel(&vdev->unmap);
	vfio_io_fds_release(vdev);
}

int vfio_device_open(struct vfio_device *vdev)
{
	if (vdev->phase != VFIO_DEVICE_CLOSED)
		return -EBUSY;
	vdev->phase = VFIO_DEVICE_OPEN;
	return 0;
}

static void after_reset(struct vfio_device *vdev)
{
	vdev->state->isr = 0;
	vfio_intx_set(vdev, false);
	vfio_config_reset(vdev);
	if (vdev->ops->was_reset)
		vdev->ops->was_reset(vdev);
	vfio_io_fds_reset(vdev);
	if (vdev->phase == VFIO_DEVICE_CLOSING)
		vdev->phase = VFIO_DEVICE_CLOSED;
	else
		vfio_irqs_rebind(vdev);
}

static void flr_done(struct pci_reset *flr)
{
	struct vfio_device *vdev = container_of(flr, struct vfio_device, flr);
	struct vfio_wait *wait = vdev->flr_wait;

	vdev->flr_wait = NULL;
	after_reset(vdev);
	if (vdev->flr_of_access)
		vfio_access_done(vdev, 0);
	else if (wait)
		wait->done(wait, 0);
}

static int start_flr(struct vfio_device *vdev, struct vfio_wait *wait, bool of_access)
{
	int err;

	counter_inc(vdev->counters, resets);
	pci_reset_cancel(&vdev->flr);
	vdev->flr.done = flr_done;
	vdev->flr_wait = wait;
	vdev->flr_of_access = of_access;
	err = vdev->pa->ops->reset(vdev->pa, &vdev->flr);
	if (!err)
		after_reset(vdev);
	return err;
}

int vfio_device_flr(struct vfio_device *vdev)
{
	return start_flr(vdev, NULL, true);
}

int vfio_device_reset(struct vfio_device *vdev, struct vfio_wait *wait)
{
	return start_flr(vdev, wait, false);
}

int vfio_device_close(struct vfio_device *vdev, struct vfio_wait *wait)
{
	if (vdev->access && vdev->ops->abandon)
		vdev->ops->abandon(vdev);
	vdev->access = NULL;
	pci_reset_cancel(&vdev->drain);
	iommu_wait_cancel(&vdev->unmap);
	vdev->unmap_wait = NULL;
	vfio_irqs_release(vdev);
	vfio_io_fds_release(vdev);
	vdev->pa->ops->dma_unmap_all(vdev->pa);
	vdev->phase = VFIO_DEVICE_CLOSING;
	return start_flr(vdev, wait, false);
}

void vfio_device_info(struct vfio_device *vdev, struct vfio_device_info *info)
{
	(void)vdev;
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	info->num_irqs = VFIO_PCI_NUM_IRQS;
}

static uint64_t region_size(const struct vfio_device *vdev, uint32_t index)
{
	if (index == VFIO_PCI_BAR0_REGION_INDEX && vdev->id.io_bar0)
		return vdev->id.io_bar0;
	if (index <= VFIO_PCI_BAR5_REGION_INDEX)
		return vdev->id.bar_size[index];
	return index == VFIO_PCI_CONFIG_REGION_INDEX ? VFIO_CONFIG_SIZE : 0;
}

int vfio_device_region_info(struct vfio_device *vdev, uint32_t index, struct vfio_region_info *info)
{
	if (index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	info->size = region_size(vdev, index);
	if (info->size)
		info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	return 0;
}

int vfio_device_irq_info(struct vfio_device *vdev, uint32_t index, struct vfio_irq_info *info)
{
	if (index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	info->count = vfio_irqs_count(vdev, index);
	if (!info->count)
		return 0;
	/* Vectors may be bound in any order and one by one: not NORESIZE. */
	info->flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE;
	if (index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_AUTOMASKED;
	return 0;
}

int vfio_bar_access(struct vfio_device *vdev, struct vfio_access *a)
{
	/* The MSI-X table and pending bits are the host's, as kernel VFIO has it. */
	bool hidden = vdev->msix_cap && a->region == vdev->msix_bar;

	counter_inc(vdev->counters, mmio_accesses);
	if (hidden && !a->write)
		memset(a->data, 0xff, a->count);
	for (uint32_t i = 0; !hidden && i < a->count;) {
		uint64_t at = a->offset + i;
		uint8_t len = 8;

		while (at % len || len > a->count - i)
			len /= 2;
		if (a->write)
			vdev->pa->ops->bar_write(vdev->pa, (uint8_t)a->region, at, a->data + i,
						 len);
		else
			vdev->pa->ops->bar_read(vdev->pa, (uint8_t)a->region, at, a->data + i, len);
		i += len;
	}
	return 0;
}

int vfio_device_access(struct vfio_device *vdev, struct vfio_access *a)
{
	uint64_t size = a->region < VFIO_PCI_NUM_REGIONS ? region_size(vdev, a->region) : 0;
	int err;

	if (vdev->phase != VFIO_DEVICE_OPEN || vdev->access || !a->count || a->offset >= size ||
	    a->count > size - a->offset)
		return -EINVAL;
	vdev->access = a;
	if (a->region == VFIO_PCI_CONFIG_REGION_INDEX)
		err = vfio_config_access(vdev, a);
	else if (vdev->ops->bar_access)
		err = vdev->ops->bar_access(vdev, a);
	else
		err = vfio_bar_access(vdev, a);
	if (err != -EINPROGRESS)
		vdev->access = NULL;
	return err;
}

void vfio_access_done(struct vfio_device *vdev, int result)
{
	struct vfio_access *a = vdev->access;

	vdev->access = NULL;
	if (a)
		a->done(a, result);
}

int vfio_device_dma_map(struct vfio_device *vdev, uint64_t iova, uint64_t size, int fd,
			uint64_t offset, int prot)
{
	return vdev->pa->ops->dma_map(vdev->pa, IOMMU_NO_PASID, iova, size, fd, offset, prot);
}

/* One at a time: what is pinned may have to be waited for. */
static int unmap_rest(struct vfio_device *vdev)
{
	uint64_t iova, size;
	int err = 0;

	while (!err && !vdev->pa->ops->dma_last(vdev->pa, IOMMU_NO_PASID, &iova, &size))
		err = vdev->pa->ops->dma_unmap(vdev->pa, IOMMU_NO_PASID, iova, size, &vdev->unmap);
	return err;
}

static void unmap_done(struct iommu_wait *unmap)
{
	struct vfio_device *vdev = container_of(unmap, struct vfio_device, unmap);
	struct vfio_wait *wait = vdev->unmap_wait;
	int err = vdev->unmap_all ? unmap_rest(vdev) : 0;

	if (err == -EINPROGRESS)
		return;
	vdev->unmap_wait = NULL;
	if (wait)
		wait->done(wait, err);
}

int vfio_device_dma_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t size,
			  struct vfio_wait *wait)
{
	vdev->unmap.done = unmap_done;
	vdev->unmap_wait = wait;
	vdev->unmap_all = false;
	return vdev->pa->ops->dma_unmap(vdev->pa, IOMMU_NO_PASID, iova, size, &vdev->unmap);
}

int vfio_device_dma_unmap_all(struct vfio_device *vdev, struct vfio_wait *wait)
{
	vdev->unmap.done = unmap_done;
	vdev->unmap_wait = wait;
	vdev->unmap_all = true;
	return unmap_rest(vdev);
}

bool vfio_device_busy(struct vfio_device *vdev, bool mark)
{
	return vdev->pa->ops->busy(vdev->pa, mark);
}

/* Those that vfio-user knows are all about migration and its dirty pages. */
int vfio_device_feature_probe(struct vfio_device *vdev, uint16_t feature, uint32_t methods)
{
	(void)vdev;
	(void)feature;
	(void)methods;
	return -ENOTTY;
}
