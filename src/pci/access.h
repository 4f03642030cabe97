/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The two interfaces between the host side and the device side, and all there is between them.
 *
 * pci_access (host -> device) is one function (one RID) as a host reaches it: what kernel VFIO, or
 * the root complex that pci/root.h models, gives to a driver. pci_upstream (device -> host) is what
 * a function may do on its own: DMA and message signalled interrupts, both tagged with its RID.
 *
 * Everything runs on the event loop. A register access has no side effect that calls back into the
 * host before it returns: a device does its work later, from the loop.
 */
#ifndef RIDGE_PCI_ACCESS_H
#define RIDGE_PCI_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iommu/iommu.h"

struct pci_access;

/*
 * Whoever waits for a function level reset, or for DMA to end. Owned by the caller until done() or
 * cancelled.
 */
struct pci_reset {
	struct list node; /* .next NULL: waits for nothing */
	void (*done)(struct pci_reset *reset);
};

struct pci_access_ops {
	/* len is 1, 2 or 4. An empty slot reads all ones, and ignores writes. */
	uint32_t (*config_read)(struct pci_access *pa, uint16_t offset, uint8_t len);
	void (*config_write)(struct pci_access *pa, uint16_t offset, uint8_t len, uint32_t value);
	/*
	 * len is 1, 2, 4 or 8, bar the number of the BAR (the lower one of a 64-bit pair). Offsets
	 * outside the BAR, and BARs that don't exist, read all ones.
	 */
	void (*bar_read)(struct pci_access *pa, uint8_t bar, uint64_t offset, void *data,
			 uint8_t len);
	void (*bar_write)(struct pci_access *pa, uint8_t bar, uint64_t offset, const void *data,
			  uint8_t len);
	/*
	 * Function level reset. 0 when done, or -EINPROGRESS and reset->done(): it waits for DMA.
	 */
	int (*reset)(struct pci_access *pa, struct pci_reset *reset);
	/*
	 * Bus mastering was turned off: 0 if no access to memory that began before is under way any
	 * more, or -EINPROGRESS and wait->done() from the loop.
	 */
	int (*drain)(struct pci_access *pa, struct pci_reset *wait);
	/*
	 * Whether it has not looked yet, from the loop, at all that writes to it pointed to until
	 * now (mark), or until it was asked with mark the last time.
	 */
	bool (*busy)(struct pci_access *pa, bool mark);
	/*
	 * As iommu_map(), iommu_unmap() and iommu_last() on the address space of (this RID, pasid).
	 */
	int (*dma_map)(struct pci_access *pa, uint32_t pasid, uint64_t iova, uint64_t size, int fd,
		       uint64_t offset, int prot);
	int (*dma_unmap)(struct pci_access *pa, uint32_t pasid, uint64_t iova, uint64_t size,
			 struct iommu_wait *wait);
	int (*dma_last)(struct pci_access *pa, uint32_t pasid, uint64_t *iova, uint64_t *size);
	void (*dma_unmap_all)(struct pci_access *pa);
	/* Why DMA of this function was refused last, or NULL. A static string. */
	const char *(*dma_fault)(struct pci_access *pa);
	/*
	 * Routes an MSI-X vector to an eventfd (not owned; -1: nowhere). -EINVAL if there is no
	 * such vector. Writing to the eventfd must not block.
	 */
	int (*irq_bind)(struct pci_access *pa, uint16_t vector, int eventfd);
	/* Turns MSI-X on or off in the function: messages of vectors without eventfd are lost. */
	void (*irq_enable)(struct pci_access *pa, bool on);
};

struct pci_access {
	const struct pci_access_ops *ops;
	uint16_t rid;
};

static inline void pci_reset_cancel(struct pci_reset *reset)
{
	if (reset->node.next)
		list_del(&reset->node);
}

struct pci_upstream;
struct pci_function;

struct pci_upstream_ops {
	/* The address space for (rid, pasid), or NULL: every DMA access is refused then. */
	struct iommu_space *(*dma)(struct pci_upstream *up, uint16_t rid, uint32_t pasid);
	/*
	 * A memory write of 4 bytes that means an interrupt. 0, or -EAGAIN: there is no way for it
	 * now, so it stays pending, and pci_function_msix_flush() is called when there is.
	 */
	int (*msi)(struct pci_upstream *up, uint16_t rid, uint64_t address, uint32_t data);
	/*
	 * A function answers at its RID from now on (-EBUSY: another does), or does not any more.
	 */
	int (*appeared)(struct pci_upstream *up, struct pci_function *fn);
	void (*gone)(struct pci_upstream *up, struct pci_function *fn);
};

struct pci_upstream {
	const struct pci_upstream_ops *ops;
};

#endif
