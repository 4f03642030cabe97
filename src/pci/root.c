/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci/root.h"

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "base/irqfd.h"

/* Where messages mean interrupts on x86; the data is the vector number of the port. */
#define MSI_ADDRESS 0xfee00000u

#define RIDS 65536

/* One RID as its user has it open. */
struct pci_port {
	struct pci_access access;
	struct pci_root *root;
	struct iommu_space *space;
	int eventfd[PCI_MSIX_MAX];
};

struct pci_root {
	struct pci_upstream upstream;
	struct iommu *iommu;
	struct pci_function *functions[RIDS];
	struct pci_port *ports[RIDS];
};

static struct pci_port *port_of(struct pci_access *pa)
{
	return container_of(pa, struct pci_port, access);
}

static struct pci_function *function_of(struct pci_access *pa)
{
	return port_of(pa)->root->functions[pa->rid];
}

static uint32_t root_config_read(struct pci_access *pa, uint16_t offset, uint8_t len)
{
	struct pci_function *fn = function_of(pa);

	return fn ? pci_function_config_read(fn, offset, len) : UINT32_MAX;
}

static void root_config_write(struct pci_access *pa, uint16_t offset, uint8_t len, uint32_t value)
{
	struct pci_function *fn = function_of(pa);

	if (fn)
		pci_function_config_write(fn, offset, len, value);
}

static void root_bar_read(struct pci_access *pa, uint8_t bar, uint64_t offset, void *data,
			  uint8_t len)
{
	struct pci_function *fn = function_of(pa);

	if (fn)
		pci_function_bar_read(fn, bar, offset, data, len);
	else
		memset(data, 0xff, len);
}

static void root_bar_write(struct pci_access *pa, uint8_t bar, uint64_t offset, const void *data,
			   uint8_t len)
{
	struct pci_function *fn = function_of(pa);

	if (fn)
		pci_function_bar_write(fn, bar, offset, data, len);
}

static int root_reset(struct pci_access *pa, struct pci_reset *reset)
{
	struct pci_function *fn = function_of(pa);

	return fn ? pci_function_reset(fn, reset) : 0;
}

static int root_drain(struct pci_access *pa, struct pci_reset *wait)
{
	struct pci_function *fn = function_of(pa);

	return fn ? pci_function_drain(fn, wait) : 0;
}

static bool root_busy(struct pci_access *pa, bool mark)
{
	struct pci_function *fn = function_of(pa);

	return fn && pci_function_busy(fn, mark);
}

/* Only requests without PASID for now: a channel that needs one brings its own address space. */
static int root_dma_map(struct pci_access *pa, uint32_t pasid, uint64_t iova, uint64_t size, int fd,
			uint64_t offset, int prot)
{
	if (pasid != IOMMU_NO_PASID)
		return -EOPNOTSUPP;
	return iommu_map(port_of(pa)->space, iova, size, fd, offset, prot);
}

static int root_dma_unmap(struct pci_access *pa, uint32_t pasid, uint64_t iova, uint64_t size,
			  struct iommu_wait *wait)
{
	if (pasid != IOMMU_NO_PASID)
		return -ENOENT;
	return iommu_unmap(port_of(pa)->space, iova, size, wait);
}

static int root_dma_last(struct pci_access *pa, uint32_t pasid, uint64_t *iova, uint64_t *size)
{
	return pasid == IOMMU_NO_PASID ? iommu_last(port_of(pa)->space, iova, size) : -ENOENT;
}

static void root_dma_unmap_all(struct pci_access *pa)
{
	iommu_unmap_all(port_of(pa)->space);
}

static const char *root_dma_fault(struct pci_access *pa)
{
	return iommu_space_fault(port_of(pa)->space);
}

/* Programs one vector, as a kernel does when it requests the interrupt. */
static void program_vector(struct pci_function *fn, uint16_t vector, bool on)
{
	uint64_t entry = (uint64_t)vector * PCI_MSIX_ENTRY_LEN;
	uint64_t address = htole64(MSI_ADDRESS);
	uint64_t rest = htole64((uint64_t)(on ? 0 : PCI_MSIX_ENTRY_CTRL_MASKBIT) << 32 | vector);

	pci_function_bar_write(fn, fn->msix_bar, entry, &address, 8);
	pci_function_bar_write(fn, fn->msix_bar, entry + 8, &rest, 8);
}

static int root_irq_bind(struct pci_access *pa, uint16_t vector, int eventfd)
{
	struct pci_port *port = port_of(pa);
	struct pci_function *fn = function_of(pa);

	if (vector >= PCI_MSIX_MAX || (fn && vector >= fn->msix_vectors))
		return -EINVAL;
	port->eventfd[vector] = eventfd;
	if (!fn)
		return -EINVAL;
	program_vector(fn, vector, eventfd >= 0);
	return 0;
}

static void root_irq_enable(struct pci_access *pa, bool on)
{
	struct pci_function *fn = function_of(pa);

	if (fn && fn->msix_cap)
		pci_function_config_write(fn, (uint16_t)(fn->msix_cap + PCI_MSIX_FLAGS), 2,
					  on ? PCI_MSIX_FLAGS_ENABLE : 0);
}

static const struct pci_access_ops root_access_ops = {
	.config_read = root_config_read,
	.config_write = root_config_write,
	.bar_read = root_bar_read,
	.bar_write = root_bar_write,
	.reset = root_reset,
	.drain = root_drain,
	.busy = root_busy,
	.dma_map = root_dma_map,
	.dma_unmap = root_dma_unmap,
	.dma_last = root_dma_last,
	.dma_unmap_all = root_dma_unmap_all,
	.dma_fault = root_dma_fault,
	.irq_bind = root_irq_bind,
	.irq_enable = root_irq_enable,
};

static struct iommu_space *root_dma(struct pci_upstream *up, uint16_t rid, uint32_t pasid)
{
	struct pci_root *root = container_of(up, struct pci_root, upstream);

	if (pasid == IOMMU_NO_PASID)
		return root->ports[rid] ? root->ports[rid]->space : NULL;
	return iommu_space_find(root->iommu, rid, pasid);
}

static int root_msi(struct pci_upstream *up, uint16_t rid, uint64_t address, uint32_t data)
{
	struct pci_root *root = container_of(up, struct pci_root, upstream);
	struct pci_port *port = root->ports[rid];

	if (!port || address != MSI_ADDRESS || data >= PCI_MSIX_MAX || port->eventfd[data] < 0)
		return 0;
	return irqfd_signal(port->eventfd[data]);
}

static int root_appeared(struct pci_upstream *up, struct pci_function *fn)
{
	return pci_root_plug(container_of(up, struct pci_root, upstream), fn);
}

static void root_gone(struct pci_upstream *up, struct pci_function *fn)
{
	pci_root_unplug(container_of(up, struct pci_root, upstream), fn);
}

static const struct pci_upstream_ops root_upstream_ops = {
	.dma = root_dma,
	.msi = root_msi,
	.appeared = root_appeared,
	.gone = root_gone,
};

int pci_root_new(struct pci_root **out)
{
	struct pci_root *root = calloc(1, sizeof(*root));
	int err;

	if (!root)
		return -ENOMEM;
	root->upstream.ops = &root_upstream_ops;
	err = iommu_new(&root->iommu);
	if (err) {
		free(root);
		return err;
	}
	*out = root;
	return 0;
}

void pci_root_free(struct pci_root *root)
{
	if (!root)
		return;
	iommu_free(root->iommu);
	free(root);
}

struct iommu *pci_root_iommu(struct pci_root *root)
{
	return root->iommu;
}

struct pci_upstream *pci_root_upstream(struct pci_root *root)
{
	return &root->upstream;
}

int pci_root_plug(struct pci_root *root, struct pci_function *fn)
{
	if (root->functions[fn->rid])
		return -EBUSY;
	root->functions[fn->rid] = fn;
	return 0;
}

void pci_root_unplug(struct pci_root *root, struct pci_function *fn)
{
	root->functions[fn->rid] = NULL;
}

int pci_root_open(struct pci_root *root, uint16_t rid, struct pci_access **pa)
{
	struct pci_port *port;
	int err;

	if (root->ports[rid])
		return -EBUSY;
	port = calloc(1, sizeof(*port));
	if (!port)
		return -ENOMEM;
	err = iommu_space_new(root->iommu, rid, IOMMU_NO_PASID, &port->space);
	if (err) {
		free(port);
		return err;
	}
	port->access.ops = &root_access_ops;
	port->access.rid = rid;
	port->root = root;
	for (size_t i = 0; i < PCI_MSIX_MAX; i++)
		port->eventfd[i] = -1;
	root->ports[rid] = port;
	*pa = &port->access;
	return 0;
}

void pci_root_close(struct pci_access *pa)
{
	struct pci_port *port;

	if (!pa)
		return;
	port = port_of(pa);
	for (uint16_t v = 0; v < PCI_MSIX_MAX; v++)
		if (port->eventfd[v] >= 0)
			root_irq_bind(pa, v, -1);
	root_irq_enable(pa, false);
	port->root->ports[pa->rid] = NULL;
	iommu_space_free(port->space);
	free(port);
}
