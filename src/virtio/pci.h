/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtio over PCI, the modern registers (virtio 1.3, 4.1): one function with its device.
 *
 * BARs, the same for a PF and its VFs: BAR 2 (64-bit) has the virtio structures a page each, BAR 4
 * (64-bit) MSI-X. BAR 0 is never implemented: where legacy drivers are served, it is an I/O BAR
 * that the VFIO driver makes up.
 */
#ifndef RIDGE_VIRTIO_PCI_H
#define RIDGE_VIRTIO_PCI_H

#include <linux/virtio_pci.h>

#include "pci/function.h"
#include "virtio/device.h"

#define VIRTIO_PCI_VENDOR 0x1af4

#define VIRTIO_PCI_BAR               2
#define VIRTIO_PCI_MSIX_BAR          4
#define VIRTIO_PCI_BAR_SIZE          0x4000
#define VIRTIO_PCI_COMMON_AT         0x0000
#define VIRTIO_PCI_ISR_AT            0x1000
#define VIRTIO_PCI_CONFIG_AT         0x2000
#define VIRTIO_PCI_NOTIFY_AT         0x3000
#define VIRTIO_PCI_NOTIFY_LEN        0x1000
#define VIRTIO_PCI_NOTIFY_MULTIPLIER 4

/* Device state of a function. Plain data. */
struct virtio_pci_state {
	struct pci_state pci;
	struct virtio_state virtio;
};

struct virtio_pci {
	struct pci_function fn;
	struct virtio_device *dev;
	uint16_t cfg_cap; /* VIRTIO_PCI_CAP_PCI_CFG */
	/* The owner's ear on configuration writes (SR-IOV); may be NULL. */
	void (*config_written)(struct virtio_pci *vp, uint16_t offset, uint8_t len);
	/* ... and on function level resets; may be NULL. */
	void (*reset_finished)(struct virtio_pci *vp);
};

/* class_code is the device type's. Takes over dev on success. Returns 0 or -ENOMEM. */
int virtio_pci_init(struct virtio_pci *vp, struct virtio_device *dev, struct pci_upstream *upstream,
		    struct pci_state *state, uint16_t rid, bool is_vf, uint32_t class_code);
void virtio_pci_destroy(struct virtio_pci *vp);

#endif
