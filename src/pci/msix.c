/* SPDX-License-Identifier: BSD-3-Clause */
/* MSI-X: PCI 3.0, 6.8.2; PCIe 7.7.2. */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "pci/internal.h"

static uint64_t pba_offset(uint16_t vectors)
{
	return (uint64_t)vectors * PCI_MSIX_ENTRY_LEN;
}

uint64_t pci_msix_bar_size(uint16_t vectors)
{
	uint64_t need = pba_offset(vectors) + (vectors + 63u) / 64 * 8, size = IOMMU_PAGE;

	while (size < need)
		size *= 2;
	return size;
}

void pci_function_add_msix(struct pci_function *fn, uint16_t vectors, uint8_t bar)
{
	struct __attribute__((packed)) {
		uint16_t control;
		uint32_t table;
		uint32_t pba;
	} body = {
		.control = htole16((uint16_t)(vectors - 1)),
		.table = htole32(bar),
		.pba = htole32((uint32_t)pba_offset(vectors) | bar),
	}, mask = { .control = htole16(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) };

	fn->msix_vectors = vectors;
	fn->msix_bar = bar;
	fn->msix_cap = pci_function_add_cap(fn, PCI_CAP_ID_MSIX, &body, &mask, PCI_CAP_MSIX_SIZEOF);
	pci_function_add_bar(fn, bar, pci_msix_bar_size(vectors));
	pci_msix_reset(fn);
}

void pci_msix_reset(struct pci_function *fn)
{
	memset(fn->state->msix, 0, sizeof(fn->state->msix[0]) * fn->msix_vectors);
	memset(fn->state->msix_pending, 0, sizeof(fn->state->msix_pending));
	for (uint16_t v = 0; v < fn->msix_vectors; v++)
		fn->state->msix[v].control = PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static uint16_t message_control(const struct pci_function *fn)
{
	return fn->msix_cap ? pci_config_get16(fn, (uint16_t)(fn->msix_cap + PCI_MSIX_FLAGS)) : 0;
}

bool pci_function_msix_enabled(const struct pci_function *fn)
{
	return message_control(fn) & PCI_MSIX_FLAGS_ENABLE;
}

static bool vector_masked(const struct pci_function *fn, uint16_t vector)
{
	return (message_control(fn) & PCI_MSIX_FLAGS_MASKALL) ||
	       (fn->state->msix[vector].control & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

void pci_function_msix_send(struct pci_function *fn, uint16_t vector)
{
	uint64_t bit = 1ull << (vector % 64);

	if (vector >= fn->msix_vectors || !pci_function_msix_enabled(fn))
		return;
	if (vector_masked(fn, vector) || !pci_function_bus_master(fn) || fn->quiet) {
		fn->state->msix_pending[vector / 64] |= bit;
		return;
	}
	fn->state->msix_pending[vector / 64] &= ~bit;
	if (fn->upstream->ops->msi(fn->upstream, fn->rid,
				   (uint64_t)fn->state->msix[vector].address_high << 32 |
					   fn->state->msix[vector].address_low,
				   fn->state->msix[vector].data) == -EAGAIN)
		fn->state->msix_pending[vector / 64] |= bit;
}

static void send_pending(struct pci_function *fn, uint16_t vector)
{
	if (fn->state->msix_pending[vector / 64] & 1ull << (vector % 64))
		pci_function_msix_send(fn, vector);
}

void pci_function_msix_flush(struct pci_function *fn)
{
	for (uint16_t word = 0; word < (fn->msix_vectors + 63) / 64; word++) {
		if (!fn->state->msix_pending[word])
			continue;
		for (uint16_t v = (uint16_t)(word * 64); v < fn->msix_vectors; v++)
			send_pending(fn, v);
	}
}

void pci_function_quiet(struct pci_function *fn, bool quiet)
{
	fn->quiet = quiet;
	if (!quiet)
		pci_function_msix_flush(fn);
}

/* The table and the pending bits are little-endian dwords; so is the state in memory. */
void pci_msix_bar_read(struct pci_function *fn, uint64_t offset, void *data, uint8_t len)
{
	uint64_t table = pba_offset(fn->msix_vectors);
	uint64_t pba = (fn->msix_vectors + 63u) / 64 * 8;

	memset(data, 0, len);
	if (offset + len <= table)
		memcpy(data, (uint8_t *)fn->state->msix + offset, len);
	else if (offset >= table && offset + len <= table + pba)
		memcpy(data, (uint8_t *)fn->state->msix_pending + (offset - table), len);
}

void pci_msix_bar_write(struct pci_function *fn, uint64_t offset, const void *data, uint8_t len)
{
	uint16_t vector = (uint16_t)(offset / PCI_MSIX_ENTRY_LEN);

	/*
	 * Only whole dwords and quadwords are defined (PCIe 7.7.2.2); the pending bits are
	 * read-only.
	 */
	if ((len != 4 && len != 8) || offset % len || offset + len > pba_offset(fn->msix_vectors))
		return;
	memcpy((uint8_t *)fn->state->msix + offset, data, len);
	fn->state->msix[vector].control &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	fn->state->msix[vector].address_low &= ~3u;
	send_pending(fn, vector);
}
