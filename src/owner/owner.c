/* SPDX-License-Identifier: BSD-3-Clause */
#include "owner/owner.h"

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "owner/internal.h"
#include "virtio/pci.h"

#define ADMIN_QUEUES 2

/* Where the PF finds our memory. Anything but zero, which would hide a forgotten address. */
#define ADMIN_IOVA 0x10000000u

/* The part of the common configuration behind struct virtio_pci_common_cfg (4.1.4.3). */
#define COMMON_ADMIN_QUEUE_INDEX 60
#define COMMON_ADMIN_QUEUE_NUM   62
#define COMMON(field)            ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))

struct owner {
	struct pf_channel channel;
	struct loop *loop;
	char name[64];
	struct pci_access *pa;
	struct virtio_layout layout;
	struct owner_vfs vfs;
	int memfd;
	struct adminq_memory *mem;
	unsigned int nqueues;
	struct adminq queues[ADMIN_QUEUES];
	struct agreement agreement;
	void (*ready)(void *ctx, int result);
	void *ctx;
};

static uint32_t common_read(struct owner *o, uint32_t offset, uint8_t len)
{
	return (uint32_t)virtio_region_read(o->pa, &o->layout.common, offset, len);
}

static void common_write(struct owner *o, uint32_t offset, uint8_t len, uint64_t value)
{
	virtio_region_write(o->pa, &o->layout.common, offset, len, value);
}

static uint64_t read_features(struct owner *o)
{
	uint64_t features;

	common_write(o, COMMON(device_feature_select), 4, 1);
	features = (uint64_t)common_read(o, COMMON(device_feature), 4) << 32;
	common_write(o, COMMON(device_feature_select), 4, 0);
	return features | common_read(o, COMMON(device_feature), 4);
}

/* Device initialisation up to the queues (virtio 1.3, 3.1.1). */
static int negotiate(struct owner *o)
{
	uint64_t want = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_FEATURE_SR_IOV |
			1ull << VIRTIO_FEATURE_ADMIN_VQ;
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	common_write(o, COMMON(device_status), 1, 0);
	if (common_read(o, COMMON(device_status), 1))
		return -EBUSY;
	common_write(o, COMMON(device_status), 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	common_write(o, COMMON(device_status), 1, status);
	if ((read_features(o) & want) != want)
		return -ENODEV;
	common_write(o, COMMON(guest_feature_select), 4, 1);
	common_write(o, COMMON(guest_feature), 4, want >> 32);
	common_write(o, COMMON(guest_feature_select), 4, 0);
	common_write(o, COMMON(guest_feature), 4, (uint32_t)want);
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	common_write(o, COMMON(device_status), 1, status);
	return common_read(o, COMMON(device_status), 1) & VIRTIO_CONFIG_S_FEATURES_OK ? 0 : -ENODEV;
}

static int start_queue(struct owner *o, unsigned int i, uint16_t index)
{
	struct adminq *q = &o->queues[i];
	uint16_t size;
	int err;

	common_write(o, COMMON(queue_select), 2, index);
	size = (uint16_t)common_read(o, COMMON(queue_size), 2);
	if (size < 2)
		return -ENODEV;
	if (size > ADMINQ_SIZE_MAX) {
		size = ADMINQ_SIZE_MAX;
		common_write(o, COMMON(queue_size), 2, size);
	}
	err = adminq_init(q, o->loop);
	if (err)
		return err;
	o->nqueues++;
	q->name = o->name;
	q->pa = o->pa;
	q->index = index;
	q->size = size;
	q->mem = &o->mem[i];
	q->iova = ADMIN_IOVA + i * sizeof(struct adminq_memory);
	q->notify = o->layout.notify;
	q->notify_offset =
		common_read(o, COMMON(queue_notify_off), 2) * o->layout.notify_multiplier;
	err = o->pa->ops->irq_bind(o->pa, (uint16_t)i, q->eventfd);
	if (err)
		return err;
	common_write(o, COMMON(queue_msix_vector), 2, i);
	if (common_read(o, COMMON(queue_msix_vector), 2) != i)
		return -ENOSPC;
	common_write(o, COMMON(queue_desc_lo), 8, q->iova + offsetof(struct adminq_memory, desc));
	common_write(o, COMMON(queue_avail_lo), 8, q->iova + offsetof(struct adminq_memory, avail));
	common_write(o, COMMON(queue_used_lo), 8, q->iova + offsetof(struct adminq_memory, used));
	common_write(o, COMMON(queue_enable), 2, 1);
	return 0;
}

static int make_memory(struct owner *o)
{
	size_t len = sizeof(struct adminq_memory) * ADMIN_QUEUES;

	o->memfd = memfd_create("ridge:adminq", MFD_CLOEXEC);
	if (o->memfd < 0)
		return -errno;
	if (ftruncate(o->memfd, (off_t)len) < 0)
		return -errno;
	o->mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, o->memfd, 0);
	if (o->mem == MAP_FAILED) {
		o->mem = NULL;
		return -errno;
	}
	return o->pa->ops->dma_map(o->pa, IOMMU_NO_PASID, ADMIN_IOVA, len, o->memfd, 0,
				   PROT_READ | PROT_WRITE);
}

static int start_device(struct owner *o)
{
	uint16_t index, count;
	int err;

	err = virtio_layout_read(o->pa, &o->layout);
	if (err)
		return err;
	o->pa->ops->config_write(o->pa, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	o->pa->ops->irq_enable(o->pa, true);
	err = negotiate(o);
	if (err)
		return err;
	err = make_memory(o);
	if (err)
		return err;
	index = (uint16_t)common_read(o, COMMON_ADMIN_QUEUE_INDEX, 2);
	count = (uint16_t)common_read(o, COMMON_ADMIN_QUEUE_NUM, 2);
	if (!count)
		return -ENODEV;
	for (unsigned int i = 0; i < ADMIN_QUEUES && i < count && !err; i++)
		err = start_queue(o, i, (uint16_t)(index + i));
	if (err)
		return err;
	common_write(o, COMMON(device_status), 1,
		     VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			     VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	return 0;
}

static uint16_t find_sriov(struct pci_access *pa)
{
	uint16_t at = 0x100;

	for (int i = 0; i < 64 && at >= 0x100; i++) {
		uint32_t header = pa->ops->config_read(pa, at, 4);

		if (!header || header == UINT32_MAX)
			return 0;
		if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_SRIOV)
			return at;
		at = (uint16_t)PCI_EXT_CAP_NEXT(header);
	}
	return 0;
}

/* Writes all ones to a VF BAR and looks which bits stay (PCIe 9.3.3.14). */
static uint64_t size_vf_bar(struct pci_access *pa, uint16_t at, bool *is64)
{
	uint64_t mask;
	uint32_t low;

	pa->ops->config_write(pa, at, 4, UINT32_MAX);
	low = pa->ops->config_read(pa, at, 4);
	*is64 = low & PCI_BASE_ADDRESS_MEM_TYPE_64;
	mask = (low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK) | 0xffffffff00000000ull;
	if (*is64) {
		pa->ops->config_write(pa, (uint16_t)(at + 4), 4, UINT32_MAX);
		mask = (uint64_t)pa->ops->config_read(pa, (uint16_t)(at + 4), 4) << 32 |
		       (low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK);
		pa->ops->config_write(pa, (uint16_t)(at + 4), 4, 0);
	}
	pa->ops->config_write(pa, at, 4, 0);
	return low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK ? ~mask + 1 : 0;
}

/* Enables all VFs, once: a RID is made by taking a slot, not by enabling it. */
static int enable_vfs(struct owner *o)
{
	uint16_t at = find_sriov(o->pa);
	bool is64;

	if (!at)
		return -ENODEV;
	o->vfs.total = (uint16_t)o->pa->ops->config_read(o->pa, at + PCI_SRIOV_TOTAL_VF, 2);
	o->vfs.vendor = (uint16_t)o->pa->ops->config_read(o->pa, PCI_VENDOR_ID, 2);
	o->vfs.device = (uint16_t)o->pa->ops->config_read(o->pa, at + PCI_SRIOV_VF_DID, 2);
	for (uint8_t bar = 0; bar < 6; bar = (uint8_t)(bar + (is64 ? 2 : 1)))
		o->vfs.bar_size[bar] =
			size_vf_bar(o->pa, (uint16_t)(at + PCI_SRIOV_BAR + 4 * bar), &is64);
	o->pa->ops->config_write(o->pa, at + PCI_SRIOV_NUM_VF, 2, o->vfs.total);
	o->pa->ops->config_write(o->pa, at + PCI_SRIOV_CTRL, 2,
				 PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE);
	o->vfs.first_offset = (uint16_t)o->pa->ops->config_read(o->pa, at + PCI_SRIOV_VF_OFFSET, 2);
	o->vfs.stride = (uint16_t)o->pa->ops->config_read(o->pa, at + PCI_SRIOV_VF_STRIDE, 2);
	return 0;
}

static void agreed(struct agreement *a, int result)
{
	struct owner *o = container_of(a, struct owner, agreement);

	o->ready(o->ctx, result);
}

static struct adminq *queue_of(struct owner *o, const struct pf_cmd *cmd)
{
	/* A PF with one admin queue has that for everything. */
	return &o->queues[(unsigned int)cmd->queue < o->nqueues ? cmd->queue : 0];
}

static void channel_submit(struct pf_channel *ch, struct pf_cmd *cmd, uint32_t deadline_ms)
{
	struct owner *o = container_of(ch, struct owner, channel);

	adminq_submit(queue_of(o, cmd), cmd, deadline_ms);
}

static void channel_cancel(struct pf_channel *ch, struct pf_cmd *cmd)
{
	struct owner *o = container_of(ch, struct owner, channel);

	adminq_cancel(queue_of(o, cmd), cmd);
}

static const struct pf_channel_ops channel_ops = {
	.submit = channel_submit,
	.cancel = channel_cancel,
};

int owner_new(struct loop *loop, const char *name, struct pci_access *pf,
	      void (*ready)(void *ctx, int result), void *ctx, struct owner **out)
{
	struct owner *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	o->channel.ops = &channel_ops;
	o->loop = loop;
	snprintf(o->name, sizeof(o->name), "%s", name);
	o->pa = pf;
	o->memfd = -1;
	o->ready = ready;
	o->ctx = ctx;
	err = start_device(o);
	if (!err)
		err = enable_vfs(o);
	if (err) {
		owner_free(o);
		return err;
	}
	agreement_start(&o->agreement, &o->channel, agreed);
	*out = o;
	return 0;
}

void owner_stop(struct owner *o)
{
	for (unsigned int i = 0; i < o->nqueues; i++)
		adminq_down(&o->queues[i]);
}

void owner_free(struct owner *o)
{
	if (!o)
		return;
	if (o->layout.common.len)
		common_write(o, COMMON(device_status), 1, 0);
	for (unsigned int i = 0; i < o->nqueues; i++) {
		o->pa->ops->irq_bind(o->pa, (uint16_t)i, -1);
		adminq_destroy(&o->queues[i]);
	}
	o->pa->ops->dma_unmap_all(o->pa);
	if (o->mem)
		munmap(o->mem, sizeof(struct adminq_memory) * ADMIN_QUEUES);
	fd_close(&o->memfd);
	free(o);
}

struct pf_channel *owner_channel(struct owner *o)
{
	return &o->channel;
}

const struct owner_vfs *owner_vfs(const struct owner *o)
{
	return &o->vfs;
}
