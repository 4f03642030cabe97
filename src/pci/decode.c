/* SPDX-License-Identifier: BSD-3-Clause */
/* Which memory addresses a function answers at: PCI 3.0, 6.2.5; for its VFs PCIe 9.3.3.14. */
#include <endian.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "pci/function.h"

/* Extended capabilities cannot be more than there is room for. */
#define EXT_CAPS_MAX ((PCI_CONFIG_SIZE - PCI_EXT_CAP_BASE) / 4)

#define PCI_EXT_CAP_BASE 0x100

static uint64_t bar_address(const struct pci_function *fn, uint16_t at)
{
	uint32_t low = pci_config_get32(fn, at);
	uint64_t high = 0;

	if (low & PCI_BASE_ADDRESS_MEM_TYPE_64)
		high = pci_config_get32(fn, (uint16_t)(at + 4));
	return high << 32 | (low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK);
}

/* The size that a BAR's writable bits tell; 0: it is hardwired. */
static uint64_t bar_size(const struct pci_function *fn, uint16_t at)
{
	uint32_t mask;

	memcpy(&mask, &fn->writable[at], sizeof(mask));
	mask = le32toh(mask) & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
	return mask & -mask;
}

uint16_t pci_function_find_ext(const struct pci_function *fn, uint16_t id)
{
	uint16_t at = PCI_EXT_CAP_BASE;

	for (int i = 0; i < EXT_CAPS_MAX && at >= PCI_EXT_CAP_BASE; i++) {
		uint32_t header = pci_config_get32(fn, at);

		if (header && PCI_EXT_CAP_ID(header) == id)
			return at;
		at = (uint16_t)PCI_EXT_CAP_NEXT(header);
	}
	return 0;
}

static unsigned int decode_own(const struct pci_function *fn, struct pci_range *out)
{
	unsigned int n = 0;

	if (!(pci_config_get16(fn, PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return 0;
	for (uint8_t bar = 0; bar < PCI_BARS; bar++)
		if (fn->bars[bar].size)
			out[n++] = (struct pci_range){
				.base = bar_address(fn, (uint16_t)(PCI_BASE_ADDRESS_0 + 4 * bar)),
				.each = fn->bars[bar].size,
				.count = 1,
				.rid = fn->rid,
				.bar = bar,
			};
	return n;
}

static unsigned int decode_vfs(const struct pci_function *fn, struct pci_range *out)
{
	const uint16_t on = PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE;
	uint16_t at = pci_function_find_ext(fn, PCI_EXT_CAP_ID_SRIOV);
	unsigned int n = 0;
	uint16_t num, total;

	if (!at || (pci_config_get16(fn, (uint16_t)(at + PCI_SRIOV_CTRL)) & on) != on)
		return 0;
	num = pci_config_get16(fn, (uint16_t)(at + PCI_SRIOV_NUM_VF));
	total = pci_config_get16(fn, (uint16_t)(at + PCI_SRIOV_TOTAL_VF));
	if (!num)
		return 0;
	for (uint8_t bar = 0; bar < PCI_BARS; bar++) {
		uint16_t reg = (uint16_t)(at + PCI_SRIOV_BAR + 4 * bar);

		if (!bar_size(fn, reg))
			continue;
		out[n++] = (struct pci_range){
			.base = bar_address(fn, reg),
			.each = bar_size(fn, reg),
			.count = num < total ? num : total,
			.rid = (uint16_t)(fn->rid +
					  pci_config_get16(fn,
							   (uint16_t)(at + PCI_SRIOV_VF_OFFSET))),
			.stride = pci_config_get16(fn, (uint16_t)(at + PCI_SRIOV_VF_STRIDE)),
			.bar = bar,
		};
		if (pci_config_get32(fn, reg) & PCI_BASE_ADDRESS_MEM_TYPE_64)
			bar++; /* the upper half */
	}
	return n;
}

unsigned int pci_function_decode(const struct pci_function *fn,
				 struct pci_range out[PCI_RANGES_MAX])
{
	unsigned int n;

	if (fn->is_vf)
		return 0; /* its PF has said it */
	n = decode_own(fn, out);
	return n + decode_vfs(fn, out + n);
}
