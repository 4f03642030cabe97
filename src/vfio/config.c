/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space as a user sees it: bits that belong to the host (identity, BARs, interrupts)
 * come from the shadow, everything else from the function.
 */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "vfio/internal.h"
#include "virtio/layout.h"

static void set_virt(struct vfio_device *vdev, uint16_t at, uint32_t value, uint32_t writable,
		     uint32_t virt, size_t len)
{
	value = htole32(value);
	writable = htole32(writable);
	virt = htole32(virt);
	memcpy(&vdev->state->config[at], &value, len);
	memcpy(&vdev->writable[at], &writable, len);
	memcpy(&vdev->virt[at], &virt, len);
}

static void init_bars(struct vfio_device *vdev)
{
	for (uint16_t bar = 0; bar < VFIO_BARS; bar++)
		set_virt(vdev, (uint16_t)(PCI_BASE_ADDRESS_0 + 4 * bar), 0, 0, UINT32_MAX, 4);
	set_virt(vdev, PCI_ROM_ADDRESS, 0, 0, UINT32_MAX, 4);
	for (uint16_t bar = 0; bar < VFIO_BARS; bar++) {
		uint16_t at = (uint16_t)(PCI_BASE_ADDRESS_0 + 4 * bar);
		uint64_t mask = ~(vdev->id.bar_size[bar] - 1);

		if (!vdev->id.bar_size[bar])
			continue;
		set_virt(vdev, at,
			 PCI_BASE_ADDRESS_MEM_TYPE_64 | (vdev->id.bars_unprefetchable >> bar & 1
								 ? 0
								 : PCI_BASE_ADDRESS_MEM_PREFETCH),
			 (uint32_t)mask, UINT32_MAX, 4);
		set_virt(vdev, (uint16_t)(at + 4), 0, (uint32_t)(mask >> 32), UINT32_MAX, 4);
	}
	if (vdev->id.io_bar0)
		set_virt(vdev, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_SPACE_IO,
			 ~(vdev->id.io_bar0 - 1), UINT32_MAX, 4);
}

/* Takes the capabilities that a user must not see out of the list. */
static void hide_caps(struct vfio_device *vdev)
{
	uint16_t link = PCI_CAPABILITY_LIST; /* the pointer to the next one to show */
	uint16_t at = (uint16_t)(vdev->pa->ops->config_read(vdev->pa, link, 1) & 0xfc);

	for (int i = 0; i < 48 && at >= 0x40; i++) {
		uint16_t next =
			(uint16_t)(vdev->pa->ops->config_read(vdev->pa, (uint16_t)(at + 1), 1) &
				   0xfc);

		if (vdev->pa->ops->config_read(vdev->pa, at, 1) == PCI_CAP_ID_VNDR) {
			uint32_t len = vdev->pa->ops->config_read(vdev->pa, (uint16_t)(at + 2), 1);

			for (uint32_t j = 0; j < len && at + j < VFIO_CONFIG_SHADOW; j++)
				set_virt(vdev, (uint16_t)(at + j), 0, 0, 0xff, 1);
		} else {
			set_virt(vdev, link, at, 0, 0xff, 1);
			link = (uint16_t)(at + 1);
		}
		at = next;
	}
	set_virt(vdev, link, 0, 0, 0xff, 1);
}

void vfio_config_init(struct vfio_device *vdev)
{
	struct pci_access *pa = vdev->pa;
	uint32_t table;

	vdev->pcie_cap = pci_find_cap(pa, PCI_CAP_ID_EXP, 0);
	vdev->msix_cap = pci_find_cap(pa, PCI_CAP_ID_MSIX, 0);
	if (vdev->msix_cap) {
		table = pa->ops->config_read(pa, (uint16_t)(vdev->msix_cap + PCI_MSIX_TABLE), 4);
		vdev->msix_bar = table & PCI_MSIX_TABLE_BIR;
		vdev->msix_vectors =
			(uint16_t)((pa->ops->config_read(pa, (uint16_t)(vdev->msix_cap + 2), 2) &
				    PCI_MSIX_FLAGS_QSIZE) +
				   1);
		if (vdev->msix_vectors > VFIO_MSIX_MAX)
			vdev->msix_vectors = VFIO_MSIX_MAX;
	}
	vfio_config_reset(vdev);
}

void vfio_config_reset(struct vfio_device *vdev)
{
	const struct vfio_identity *id = &vdev->id;

	memset(vdev->virt, 0, sizeof(vdev->virt));
	memset(vdev->writable, 0, sizeof(vdev->writable));
	memset(vdev->state->config, 0, sizeof(vdev->state->config));
	/* What a VF leaves to its PF (PCIe 9.3.4.1), the host fills in. */
	set_virt(vdev, PCI_VENDOR_ID, (uint32_t)id->device << 16 | id->vendor, 0, UINT32_MAX, 4);
	set_virt(vdev, PCI_REVISION_ID, id->revision, 0, 0xff, 1);
	set_virt(vdev, PCI_SUBSYSTEM_ID, id->subsystem, 0, 0xffff, 2);
	set_virt(vdev, PCI_COMMAND, 0,
		 PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE | (id->io_bar0 ? PCI_COMMAND_IO : 0),
		 (uint16_t)~PCI_COMMAND_MASTER, 2);
	set_virt(vdev, PCI_STATUS, 0, 0, PCI_STATUS_INTERRUPT, 2);
	set_virt(vdev, PCI_INTERRUPT_LINE, (id->intx ? 1u : 0u) << 8, 0xff, 0xffff, 2);
	init_bars(vdev);
	if (vdev->msix_cap) /* the enable bit of the function is ours, by binding vectors */
		set_virt(vdev, (uint16_t)(vdev->msix_cap + PCI_MSIX_FLAGS), 0,
			 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
			 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, 2);
	if (id->hide_virtio_caps)
		hide_caps(vdev);
}

bool vfio_msix_enabled(const struct vfio_device *vdev)
{
	/* The enable bit is the topmost one of the message control word. */
	return vdev->msix_cap && (vdev->state->config[vdev->msix_cap + PCI_MSIX_FLAGS + 1] &
				  (PCI_MSIX_FLAGS_ENABLE >> 8));
}

bool vfio_config_intx_disabled(const struct vfio_device *vdev)
{
	return vdev->state->config[PCI_COMMAND + 1] & (PCI_COMMAND_INTX_DISABLE >> 8);
}

/* One naturally aligned piece, so that the function sees whole registers read. */
static void read_piece(struct vfio_device *vdev, uint16_t at, uint8_t *data, uint8_t len)
{
	uint32_t value = htole32(vdev->pa->ops->config_read(vdev->pa, at, len));
	uint32_t virt = 0, own = 0;

	if (at <= PCI_STATUS && at + len > PCI_STATUS)
		vdev->state->config[PCI_STATUS] =
			vdev->state->intx_level ? PCI_STATUS_INTERRUPT : 0;
	if (at < VFIO_CONFIG_SHADOW) {
		memcpy(&virt, &vdev->virt[at], len);
		memcpy(&own, &vdev->state->config[at], len);
	}
	value = (value & ~virt) | (own & virt);
	memcpy(data, &value, len);
}

/* One naturally aligned piece, so that the function sees whole registers written. */
static void write_piece(struct vfio_device *vdev, uint16_t at, const uint8_t *data, uint8_t len)
{
	uint32_t value = 0;
	bool pass = false, partial = false;

	/* A read may have a side effect: only registers that are shared with us are read. */
	for (uint8_t i = 0; i < len; i++)
		partial |= at + i < VFIO_CONFIG_SHADOW && vdev->virt[at + i];
	if (partial)
		value = vdev->pa->ops->config_read(vdev->pa, at, len);

	for (uint8_t i = 0; i < len; i++) {
		uint8_t virt = at + i < VFIO_CONFIG_SHADOW ? vdev->virt[at + i] : 0;
		uint8_t byte = (uint8_t)((value >> (8 * i) & virt) | (data[i] & ~virt));

		value = (value & ~(0xffu << (8 * i))) | (uint32_t)byte << (8 * i);
		if (virt != 0xff)
			pass = true;
		if (at + i < VFIO_CONFIG_SHADOW) {
			uint8_t w = vdev->writable[at + i];

			vdev->state->config[at + i] =
				(uint8_t)((vdev->state->config[at + i] & ~w) | (data[i] & w));
		}
	}
	if (pass)
		vdev->pa->ops->config_write(vdev->pa, at, len, value);
}

static bool writes_flr(const struct vfio_device *vdev, const struct vfio_access *a)
{
	uint64_t at = vdev->pcie_cap + PCI_EXP_DEVCTL + 1u; /* the FLR bit is in the upper byte */

	return vdev->pcie_cap && a->offset <= at && a->offset + a->count > at &&
	       (a->data[at - a->offset] & (PCI_EXP_DEVCTL_BCR_FLR >> 8));
}

static void drained(struct pci_reset *drain)
{
	vfio_access_done(container_of(drain, struct vfio_device, drain), 0);
}

/* Who is told that bus mastering is off may use the memory for something else. */
static int after_command(struct vfio_device *vdev)
{
	if (vdev->pa->ops->config_read(vdev->pa, PCI_COMMAND, 2) & PCI_COMMAND_MASTER)
		return 0;
	vdev->drain.done = drained;
	return vdev->pa->ops->drain(vdev->pa, &vdev->drain);
}

int vfio_config_access(struct vfio_device *vdev, struct vfio_access *a)
{
	counter_inc(vdev->counters, config_accesses);
	if (a->write && writes_flr(vdev, a))
		return vfio_device_flr(vdev);
	for (uint32_t i = 0; i < a->count;) {
		uint16_t at = (uint16_t)(a->offset + i);
		uint8_t len = at % 4 == 0 && a->count - i >= 4   ? 4
			      : at % 2 == 0 && a->count - i >= 2 ? 2
								 : 1;

		if (a->write)
			write_piece(vdev, at, a->data + i, len);
		else
			read_piece(vdev, at, a->data + i, len);
		i += len;
	}
	if (a->write) {
		vfio_irqs_update(vdev);
		vfio_intx_update(vdev);
	}
	return a->write && a->offset <= PCI_COMMAND && a->offset + a->count > PCI_COMMAND
		       ? after_command(vdev)
		       : 0;
}
