/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VMD itself: its configuration space, and what the VFIO device model asks of it. The addresses
 * of its BARs are in the model's shadow, where the VMM writes them.
 */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "domain/internal.h"

#define VMD_VENDOR     0x8086
#define VMD_DEVICE     0x28c0
#define VMD_CLASS_CODE 0x010400 /* RAID controller, as the hardware says */

/*
 * Registers that Linux's driver knows. Capabilities and lock read 0: no restricted buses, no shadow
 * registers. Of the configuration 16 bits can be written; messages of functions are never remapped,
 * whatever they say.
 */
#define VMD_CONFIG 0x44

#define VMD_LOW_SIZE (1u << 20)

/* Gaps that the alignment of BARs leaves. */
#define WINDOW_SLACK (1u << 20)

static struct domain *domain_of(struct pci_access *pa)
{
	return container_of(pa, struct domain, access);
}

static uint32_t vmd_config_read(struct pci_access *pa, uint16_t offset, uint8_t len)
{
	uint32_t value = 0;

	if (offset + len <= VMD_CONFIG_SIZE)
		memcpy(&value, &domain_of(pa)->config[offset], len);
	return le32toh(value);
}

static void vmd_config_write(struct pci_access *pa, uint16_t offset, uint8_t len, uint32_t value)
{
	struct domain *d = domain_of(pa);
	bool was = domain_vmd_bus_master(d);

	for (uint8_t i = 0; i < len; i++) {
		uint32_t at = offset + i;

		if (at == PCI_COMMAND || at == VMD_CONFIG || at == VMD_CONFIG + 1)
			d->config[at] = (uint8_t)(value >> (8 * i));
	}
	if (!was && domain_vmd_bus_master(d))
		domain_resume(d);
}

/* Accesses to BARs go to domain.c before. */
static void vmd_bar_read(struct pci_access *pa, uint8_t bar, uint64_t offset, void *data,
			 uint8_t len)
{
	(void)pa;
	(void)bar;
	(void)offset;
	memset(data, 0xff, len);
}

static void vmd_bar_write(struct pci_access *pa, uint8_t bar, uint64_t offset, const void *data,
			  uint8_t len)
{
	(void)pa;
	(void)bar;
	(void)offset;
	(void)data;
	(void)len;
}

static int vmd_reset(struct pci_access *pa, struct pci_reset *reset)
{
	struct domain *d = domain_of(pa);

	memset(d->config + PCI_COMMAND, 0, 2);
	memset(d->config + VMD_CONFIG, 0, 2);
	return domain_reset(d, reset);
}

static int vmd_drain(struct pci_access *pa, struct pci_reset *wait)
{
	return domain_drain(domain_of(pa), wait);
}

static bool vmd_busy(struct pci_access *pa, bool mark)
{
	return domain_busy(domain_of(pa), mark);
}

static int vmd_dma_map(struct pci_access *pa, uint32_t pasid, uint64_t iova, uint64_t size, int fd,
		       uint64_t offset, int prot)
{
	if (pasid != IOMMU_NO_PASID)
		return -EOPNOTSUPP;
	return iommu_map(domain_of(pa)->space, iova, size, fd, offset, prot);
}

static int vmd_dma_unmap(struct pci_access *pa, uint32_t pasid, uint64_t iova, uint64_t size,
			 struct iommu_wait *wait)
{
	if (pasid != IOMMU_NO_PASID)
		return -ENOENT;
	return iommu_unmap(domain_of(pa)->space, iova, size, wait);
}

static int vmd_dma_last(struct pci_access *pa, uint32_t pasid, uint64_t *iova, uint64_t *size)
{
	return pasid == IOMMU_NO_PASID ? iommu_last(domain_of(pa)->space, iova, size) : -ENOENT;
}

static void vmd_dma_unmap_all(struct pci_access *pa)
{
	iommu_unmap_all(domain_of(pa)->space);
}

static const char *vmd_dma_fault(struct pci_access *pa)
{
	return iommu_space_fault(domain_of(pa)->space);
}

/* It has no interrupts of its own. */
static int vmd_irq_bind(struct pci_access *pa, uint16_t vector, int eventfd)
{
	(void)pa;
	(void)vector;
	(void)eventfd;
	return -EINVAL;
}

static void vmd_irq_enable(struct pci_access *pa, bool on)
{
	(void)pa;
	(void)on;
}

const struct pci_access_ops domain_vmd_ops = {
	.config_read = vmd_config_read,
	.config_write = vmd_config_write,
	.bar_read = vmd_bar_read,
	.bar_write = vmd_bar_write,
	.reset = vmd_reset,
	.drain = vmd_drain,
	.busy = vmd_busy,
	.dma_map = vmd_dma_map,
	.dma_unmap = vmd_dma_unmap,
	.dma_last = vmd_dma_last,
	.dma_unmap_all = vmd_dma_unmap_all,
	.dma_fault = vmd_dma_fault,
	.irq_bind = vmd_irq_bind,
	.irq_enable = vmd_irq_enable,
};

static void set16(struct domain *d, uint16_t at, uint16_t value)
{
	value = htole16(value);
	memcpy(&d->config[at], &value, sizeof(value));
}

void domain_vmd_init(struct domain *d)
{
	set16(d, PCI_VENDOR_ID, VMD_VENDOR);
	set16(d, PCI_DEVICE_ID, VMD_DEVICE);
	set16(d, PCI_CLASS_DEVICE, VMD_CLASS_CODE >> 8);
	set16(d, PCI_SUBSYSTEM_VENDOR_ID, VMD_VENDOR);
	set16(d, PCI_SUBSYSTEM_ID, VMD_DEVICE);
}

void domain_vmd_identity(const struct domain *d, struct vfio_identity *id)
{
	uint64_t memory = VMD_LOW_SIZE;

	while (memory < d->params.window + WINDOW_SLACK)
		memory *= 2;
	*id = (struct vfio_identity){
		.vendor = VMD_VENDOR,
		.device = VMD_DEVICE,
		.subsystem = VMD_DEVICE,
		.bar_size = {
			[VMD_BAR_ECAM] = (uint64_t)d->nbuses * ECAM_BUS_SIZE,
			[VMD_BAR_MEMORY] = memory,
			[VMD_BAR_LOW] = VMD_LOW_SIZE,
		},
		.bars_unprefetchable = 1u << VMD_BAR_ECAM | 1u << VMD_BAR_LOW,
	};
}

bool domain_vmd_bus_master(const struct domain *d)
{
	return d->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

uint64_t domain_vmd_bar(const struct domain *d, uint8_t bar)
{
	uint64_t address;

	memcpy(&address, &d->host.config[PCI_BASE_ADDRESS_0 + 4 * bar], sizeof(address));
	return le64toh(address) & ~0xfull;
}
