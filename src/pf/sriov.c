/* SPDX-License-Identifier: BSD-3-Clause */
/* The SR-IOV extended capability of the PF (PCIe 9.3.3) and what its registers do. */
#include <endian.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "pf/internal.h"

#define SRIOV_AT 0x100 /* the first and only extended capability */

/* System page sizes of 4K, 8K, 64K, 256K, 1M and 4M (PCIe 9.3.3.12). */
#define PAGE_SIZES 0x553

static void set_field(struct pf *pf, uint16_t reg, uint32_t value, uint32_t writable, size_t len)
{
	value = htole32(value);
	writable = htole32(writable);
	memcpy(&pf->vp.fn.state->config[SRIOV_AT + reg], &value, len);
	memcpy(&pf->vp.fn.writable[SRIOV_AT + reg], &writable, len);
}

static uint16_t vf_bar_at(uint8_t bar)
{
	return (uint16_t)(SRIOV_AT + PCI_SRIOV_BAR + 4 * bar);
}

static void set_vf_bar(struct pf *pf, uint8_t bar, uint64_t size)
{
	uint64_t mask = htole64(~(size - 1)), value, flags;
	uint16_t at = vf_bar_at(bar);

	flags = htole64(PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	memcpy(&value, &pf->vp.fn.state->config[at], sizeof(value));
	value = (value & mask) | flags;
	memcpy(&pf->vp.fn.state->config[at], &value, sizeof(value));
	memcpy(&pf->vp.fn.writable[at], &mask, sizeof(mask));
}

/* A VF's BAR takes a system page at least, so that each VF has pages of its own (9.3.3.13). */
static void set_vf_bars(struct pf *pf)
{
	uint32_t pages = pci_config_get32(&pf->vp.fn, SRIOV_AT + PCI_SRIOV_SYS_PGSIZE);
	uint64_t page = 4096ull << (pages ? __builtin_ctz(pages) : 0);
	uint64_t msix = pci_msix_bar_size((uint16_t)(pf->type->queues_max + 1));

	set_vf_bar(pf, VIRTIO_PCI_BAR, page > VIRTIO_PCI_BAR_SIZE ? page : VIRTIO_PCI_BAR_SIZE);
	set_vf_bar(pf, VIRTIO_PCI_MSIX_BAR, page > msix ? page : msix);
}

void pf_sriov_init(struct pf *pf)
{
	set_field(pf, 0, PCI_EXT_CAP_ID_SRIOV | 1u << 16, 0, 4);
	set_field(pf, PCI_SRIOV_CTRL, 0,
		  PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE | PCI_SRIOV_CTRL_ARI, 2);
	set_field(pf, PCI_SRIOV_INITIAL_VF, pf->total_vfs, 0, 2);
	set_field(pf, PCI_SRIOV_TOTAL_VF, pf->total_vfs, 0, 2);
	set_field(pf, PCI_SRIOV_NUM_VF, 0, 0xffff, 2);
	set_field(pf, PCI_SRIOV_VF_OFFSET, PF_FIRST_VF_OFFSET, 0, 2);
	set_field(pf, PCI_SRIOV_VF_STRIDE, PF_VF_STRIDE, 0, 2);
	set_field(pf, PCI_SRIOV_VF_DID, 0x1040u + pf->type->id, 0, 2);
	set_field(pf, PCI_SRIOV_SUP_PGSIZE, PAGE_SIZES, 0, 4);
	set_field(pf, PCI_SRIOV_SYS_PGSIZE, 1, PAGE_SIZES, 4);
	/* VF BAR 0 stays hardwired to zero: legacy notifications go elsewhere (2.12.1.1.6). */
	set_vf_bars(pf);
}

uint16_t pf_sriov_numvfs(const struct pf *pf)
{
	uint16_t control = pci_config_get16(&pf->vp.fn, SRIOV_AT + PCI_SRIOV_CTRL);
	uint16_t numvfs = pci_config_get16(&pf->vp.fn, SRIOV_AT + PCI_SRIOV_NUM_VF);

	if (!(control & PCI_SRIOV_CTRL_VFE))
		return 0;
	return numvfs <= pf->total_vfs ? numvfs : (uint16_t)pf->total_vfs;
}

void pf_sriov_written(struct pf *pf)
{
	uint16_t now = pf_sriov_numvfs(pf), was = pf->numvfs_enabled;

	set_vf_bars(pf);
	/*
	 * NumVFs is not to be changed while VF Enable is set (PCIe 9.3.3.5); the new one is used.
	 */
	pf->numvfs_enabled = now;
	pf_members_enable(pf, was, now);
}
