/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci/function.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "pci/internal.h"

/* Between the type 0 header and the extended configuration space. */
#define CAP_FIRST 0x40
#define CAP_LIMIT 0x100

uint16_t pci_config_get16(const struct pci_function *fn, uint16_t offset)
{
	uint16_t v;

	memcpy(&v, &fn->state->config[offset], sizeof(v));
	return le16toh(v);
}

uint32_t pci_config_get32(const struct pci_function *fn, uint16_t offset)
{
	uint32_t v;

	memcpy(&v, &fn->state->config[offset], sizeof(v));
	return le32toh(v);
}

void pci_config_set16(struct pci_function *fn, uint16_t offset, uint16_t value)
{
	value = htole16(value);
	memcpy(&fn->state->config[offset], &value, sizeof(value));
}

void pci_config_set32(struct pci_function *fn, uint16_t offset, uint32_t value)
{
	value = htole32(value);
	memcpy(&fn->state->config[offset], &value, sizeof(value));
}

static void mask_set16(struct pci_function *fn, uint16_t offset, uint16_t mask)
{
	mask = htole16(mask);
	memcpy(&fn->writable[offset], &mask, sizeof(mask));
}

int pci_function_init(struct pci_function *fn, const struct pci_function_ops *ops,
		      struct pci_upstream *upstream, struct pci_state *state, uint16_t rid,
		      bool is_vf, const struct pci_identity *id)
{
	memset(fn, 0, sizeof(*fn));
	fn->ops = ops;
	fn->upstream = upstream;
	fn->state = state;
	fn->rid = rid;
	fn->is_vf = is_vf;
	fn->cap_end = CAP_FIRST;
	list_init(&fn->resets);
	list_init(&fn->drains);
	/* A VF has no extended capabilities. */
	fn->config_len = is_vf ? CAP_LIMIT : PCI_CONFIG_SIZE;
	fn->writable = calloc(2, fn->config_len);
	if (!fn->writable)
		return -ENOMEM;
	fn->reset_value = fn->writable + fn->config_len;

	pci_config_set16(fn, PCI_VENDOR_ID, is_vf ? 0xffff : id->vendor);
	pci_config_set16(fn, PCI_DEVICE_ID, is_vf ? 0xffff : id->device);
	pci_config_set32(fn, PCI_REVISION_ID, id->class_code << 8 | id->revision);
	pci_config_set16(fn, PCI_SUBSYSTEM_VENDOR_ID, id->subsystem_vendor);
	pci_config_set16(fn, PCI_SUBSYSTEM_ID, id->subsystem);
	/* A VF decodes memory as the PF's VF MSE says, and has no INTx (PCIe 9.3.4.1.3). */
	mask_set16(fn, PCI_COMMAND,
		   is_vf ? PCI_COMMAND_MASTER : PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (!is_vf)
		fn->writable[PCI_INTERRUPT_LINE] = 0xff;
	return 0;
}

void pci_function_destroy(struct pci_function *fn)
{
	pci_function_drained(fn);
	free(fn->writable);
	fn->writable = NULL;
}

uint16_t pci_function_add_cap(struct pci_function *fn, uint8_t id, const void *body,
			      const void *writable, uint8_t len)
{
	uint16_t at = fn->cap_end;

	if (at + len > CAP_LIMIT)
		abort(); /* a function with too many capabilities is a bug, found by any test */
	fn->state->config[at] = id;
	memcpy(&fn->state->config[at + 2], body, len - 2u);
	if (writable)
		memcpy(&fn->writable[at + 2], writable, len - 2u);
	if (fn->cap_last)
		fn->state->config[fn->cap_last + 1] = (uint8_t)at;
	else
		fn->state->config[PCI_CAPABILITY_LIST] = (uint8_t)at;
	pci_config_set16(fn, PCI_STATUS, PCI_STATUS_CAP_LIST);
	fn->cap_last = at;
	fn->cap_end = (uint16_t)((at + len + 3) & ~3);
	return at;
}

void pci_function_add_pcie(struct pci_function *fn)
{
	struct __attribute__((packed)) {
		uint16_t flags;
		uint32_t devcap;
		uint16_t devctl;
		uint16_t devsta;
		uint8_t rest[0x3c - 0x0c];
	} body = { 0 }, mask = { 0 };

	static_assert(sizeof(body) == 0x3c - 2, "PCI Express capability");
	/* Directly on the root bus, without a link. */
	body.flags = htole16(2 | PCI_EXP_TYPE_RC_END << 4);
	body.devcap = htole32(PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_RBER);
	/* Initiate FLR reads zero always; it is acted upon in pci_function_config_write(). */
	mask.devctl = htole16(fn->is_vf ? 0
					: PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN |
						  PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ);
	fn->pcie_cap = pci_function_add_cap(fn, PCI_CAP_ID_EXP, &body, &mask, 0x3c);
}

void pci_function_add_bar(struct pci_function *fn, uint8_t bar, uint64_t size)
{
	uint64_t mask = ~(size - 1);

	fn->bars[bar].size = size;
	if (fn->is_vf)
		return; /* its BARs are the SR-IOV capability's */
	pci_config_set32(fn, (uint16_t)(PCI_BASE_ADDRESS_0 + 4 * bar),
			 PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	mask = htole64(mask);
	memcpy(&fn->writable[PCI_BASE_ADDRESS_0 + 4 * bar], &mask, sizeof(mask));
}

void pci_function_seal(struct pci_function *fn)
{
	memcpy(fn->reset_value, fn->state->config, fn->config_len);
}

uint32_t pci_function_config_read(struct pci_function *fn, uint16_t offset, uint8_t len)
{
	uint32_t value = 0;

	if (offset + len > PCI_CONFIG_SIZE || (offset & 3) + len > 4)
		return UINT32_MAX;
	if (fn->ops->config_reading)
		fn->ops->config_reading(fn, offset, len);
	memcpy(&value, &fn->state->config[offset], len);
	return le32toh(value);
}

void pci_function_config_write(struct pci_function *fn, uint16_t offset, uint8_t len,
			       uint32_t value)
{
	uint16_t devctl = fn->pcie_cap ? (uint16_t)(fn->pcie_cap + PCI_EXP_DEVCTL) : UINT16_MAX;

	if (offset + len > PCI_CONFIG_SIZE || (offset & 3) + len > 4 || fn->resetting)
		return;
	fn->changes++;
	for (uint8_t i = 0; i < len && offset + i < fn->config_len; i++) {
		uint8_t *byte = &fn->state->config[offset + i];
		uint8_t mask = fn->writable[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | ((uint8_t)(value >> (8 * i)) & mask));
	}
	if (offset <= devctl + 1 && offset + len > devctl + 1 &&
	    (value >> (8 * (devctl + 1 - offset)) & (PCI_EXP_DEVCTL_BCR_FLR >> 8))) {
		pci_function_reset(fn, NULL);
		return;
	}
	/* The message control word may have changed, or bus mastering. */
	if (fn->msix_cap)
		pci_function_msix_flush(fn);
	if (fn->ops->config_written)
		fn->ops->config_written(fn, offset, len);
}

bool pci_function_bus_master(const struct pci_function *fn)
{
	return fn->state->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

static bool bar_range_ok(struct pci_function *fn, uint8_t bar, uint64_t offset, uint8_t len)
{
	return bar < PCI_BARS && len && len <= 8 && fn->bars[bar].size &&
	       offset < fn->bars[bar].size && len <= fn->bars[bar].size - offset;
}

void pci_function_bar_read(struct pci_function *fn, uint8_t bar, uint64_t offset, void *data,
			   uint8_t len)
{
	memset(data, 0xff, len);
	if (!bar_range_ok(fn, bar, offset, len))
		return;
	if (fn->msix_cap && bar == fn->msix_bar)
		pci_msix_bar_read(fn, offset, data, len);
	else
		fn->ops->bar_read(fn, bar, offset, data, len);
}

void pci_function_bar_write(struct pci_function *fn, uint8_t bar, uint64_t offset, const void *data,
			    uint8_t len)
{
	if (!bar_range_ok(fn, bar, offset, len))
		return;
	if (fn->msix_cap && bar == fn->msix_bar)
		pci_msix_bar_write(fn, offset, data, len);
	else
		fn->ops->bar_write(fn, bar, offset, data, len);
}

int pci_function_reset(struct pci_function *fn, struct pci_reset *reset)
{
	if (!fn->resetting) {
		fn->resetting = true;
		if (fn->ops->reset(fn) == 0)
			pci_function_reset_done(fn);
	}
	if (!fn->resetting)
		return 0;
	if (reset)
		list_add_tail(&fn->resets, &reset->node);
	return -EINPROGRESS;
}

void pci_function_reset_done(struct pci_function *fn)
{
	fn->resetting = false;
	fn->changes++;
	memcpy(fn->state->config, fn->reset_value, fn->config_len);
	pci_msix_reset(fn);
	if (fn->ops->reset_finished)
		fn->ops->reset_finished(fn);
	/* Who waited may free the function. */
	while (!list_empty(&fn->resets)) {
		struct pci_reset *reset = list_first(&fn->resets, struct pci_reset, node);
		bool last = fn->resets.next == fn->resets.prev;

		list_del(&reset->node);
		reset->done(reset);
		if (last)
			return;
	}
}

int pci_function_drain(struct pci_function *fn, struct pci_reset *wait)
{
	int err = fn->ops->drain ? fn->ops->drain(fn) : 0;

	if (err && wait)
		list_add_tail(&fn->drains, &wait->node);
	return err;
}

void pci_function_drained(struct pci_function *fn)
{
	while (!list_empty(&fn->drains)) {
		struct pci_reset *wait = list_first(&fn->drains, struct pci_reset, node);

		list_del(&wait->node);
		wait->done(wait);
	}
}

bool pci_function_busy(struct pci_function *fn, bool mark)
{
	return fn->ops->busy && fn->ops->busy(fn, mark);
}
