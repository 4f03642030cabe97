/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device side of one PCI function: configuration space, BARs, MSI-X.
 *
 * A function is what its bytes say: pci_function_init() writes the type 0 header, capabilities are
 * appended by pci_function_add_cap(), and each byte has a mask of the bits that the host may
 * change. What a change means (memory decoding, bus mastering, MSI-X, FLR, SR-IOV) is acted upon in
 * function.c and in the owner of the function through its ops.
 *
 * All that a running function needs to carry on is struct pci_state; the rest is made again from
 * the parameters of the function.
 */
#ifndef RIDGE_PCI_FUNCTION_H
#define RIDGE_PCI_FUNCTION_H

#include <stdbool.h>

#include "pci/access.h"

#define PCI_CONFIG_SIZE    4096
#define PCI_MSIX_MAX       72 /* vectors: one per queue, and one for configuration changes */
#define PCI_MSIX_ENTRY_LEN 16
#define PCI_BARS           6

/*
 * Device state: configuration space and the MSI-X table. Plain data. Of configuration space little
 * but the beginning is ever touched, so it comes last: the page with that beginning has the rest.
 */
struct pci_state {
	struct {
		uint32_t address_low;
		uint32_t address_high;
		uint32_t data;
		uint32_t control; /* bit 0: masked */
	} msix[PCI_MSIX_MAX];
	uint64_t msix_pending[(PCI_MSIX_MAX + 63) / 64];
	uint8_t config[PCI_CONFIG_SIZE];
};

struct pci_function;

struct pci_function_ops {
	/* len is 1, 2, 4 or 8, naturally aligned or not, inside the BAR. */
	void (*bar_read)(struct pci_function *fn, uint8_t bar, uint64_t offset, void *data,
			 uint8_t len);
	void (*bar_write)(struct pci_function *fn, uint8_t bar, uint64_t offset, const void *data,
			  uint8_t len);
	/* Configuration bytes [offset, offset + len) were just changed by the host. May be NULL. */
	void (*config_written)(struct pci_function *fn, uint16_t offset, uint8_t len);
	/* Configuration bytes are about to be read by the host. May be NULL. */
	void (*config_reading)(struct pci_function *fn, uint16_t offset, uint8_t len);
	/*
	 * Function level reset of all but configuration space, which follows when it is done.
	 * Returns 0, or -EINPROGRESS and pci_function_reset_done() later.
	 */
	int (*reset)(struct pci_function *fn);
	/*
	 * May not reach memory any more: 0 if it does not, or -EINPROGRESS and
	 * pci_function_drained() later, from the loop.
	 */
	int (*drain)(struct pci_function *fn);
	/* As pci_access_ops has it. May be NULL: it looks at once. */
	bool (*busy)(struct pci_function *fn, bool mark);
	/* Configuration space is as after a reset now. May be NULL. */
	void (*reset_finished)(struct pci_function *fn);
};

struct pci_bar {
	uint64_t size; /* 0: not implemented; else a power of two, 4096 or more */
};

struct pci_function {
	const struct pci_function_ops *ops;
	struct pci_upstream *upstream;
	struct pci_state *state;
	uint16_t config_len;  /* bytes of configuration space that are implemented: the rest reads 0
			       */
	uint8_t *writable;    /* config_len masks */
	uint8_t *reset_value; /* config_len bytes that a reset brings back */
	uint16_t rid;
	bool is_vf;        /* identity and BARs are in the PF's SR-IOV capability */
	uint16_t cap_end;  /* where the next capability goes */
	uint16_t cap_last; /* the capability to link the next one to */
	uint16_t pcie_cap; /* offset, 0: none */
	uint16_t msix_cap; /* offset, 0: none */
	uint16_t msix_vectors;
	uint8_t msix_bar;
	struct pci_bar bars[PCI_BARS]; /* for a VF: as the PF's VF BARs, filled in by the owner */
	uint32_t changes;              /* writes to configuration space, and resets */
	struct list resets;            /* struct pci_reset: who waits for the reset under way */
	struct list drains;            /* struct pci_reset: who waits for DMA to end */
	bool resetting;
	bool quiet; /* no message leaves; those that are due are pending */
};

struct pci_identity {
	uint16_t vendor;
	uint16_t device;
	uint16_t subsystem_vendor;
	uint16_t subsystem;
	uint8_t revision;
	uint32_t class_code; /* 24 bits */
};

/*
 * state must be zeroed; upstream and state outlive the function. A VF shows 0xffff as vendor and
 * device (PCIe 9.3.4.1). Returns 0 or -ENOMEM.
 */
int pci_function_init(struct pci_function *fn, const struct pci_function_ops *ops,
		      struct pci_upstream *upstream, struct pci_state *state, uint16_t rid,
		      bool is_vf, const struct pci_identity *id);
void pci_function_destroy(struct pci_function *fn);

/*
 * Appends a capability of len bytes (its id and next pointer included) to the list; body gives the
 * bytes after these two, writable (may be NULL) the bits the host may change in them. Returns its
 * offset. There must be room for it.
 */
uint16_t pci_function_add_cap(struct pci_function *fn, uint8_t id, const void *body,
			      const void *writable, uint8_t len);

/* The PCI Express capability: a root complex integrated endpoint that can do FLR (PCIe 7.5.3). */
void pci_function_add_pcie(struct pci_function *fn);
/* MSI-X with table at offset 0 of the BAR and the pending bits behind it. */
void pci_function_add_msix(struct pci_function *fn, uint16_t vectors, uint8_t bar);
/* A 64-bit prefetchable memory BAR, as BAR bar and bar + 1. */
void pci_function_add_bar(struct pci_function *fn, uint8_t bar, uint64_t size);
/* After the last capability: what the configuration space is now is what a reset brings back. */
void pci_function_seal(struct pci_function *fn);

/* Configuration space as the host sees it; out of range and crossing a dword is all ones. */
uint32_t pci_function_config_read(struct pci_function *fn, uint16_t offset, uint8_t len);
void pci_function_config_write(struct pci_function *fn, uint16_t offset, uint8_t len,
			       uint32_t value);
void pci_function_bar_read(struct pci_function *fn, uint8_t bar, uint64_t offset, void *data,
			   uint8_t len);
void pci_function_bar_write(struct pci_function *fn, uint8_t bar, uint64_t offset, const void *data,
			    uint8_t len);
int pci_function_reset(struct pci_function *fn, struct pci_reset *reset);
void pci_function_reset_done(struct pci_function *fn);
/*
 * As pci_access_ops has it. wait NULL: only asks. Whoever waits is told at the latest when the
 * function is destroyed.
 */
int pci_function_drain(struct pci_function *fn, struct pci_reset *wait);
void pci_function_drained(struct pci_function *fn);
bool pci_function_busy(struct pci_function *fn, bool mark);

/* A run of BARs of equal size, one after another: one of a function, or one of each of its VFs. */
struct pci_range {
	uint64_t base;
	uint64_t each; /* bytes */
	uint32_t count;
	uint16_t rid;    /* of the first */
	uint16_t stride; /* to the next one's RID */
	uint8_t bar;
};

#define PCI_RANGES_MAX (2 * PCI_BARS)

/*
 * The addresses that the function answers at now, and as a PF answers for its VFs; how many. It
 * stays so until fn->changes does not.
 */
unsigned int pci_function_decode(const struct pci_function *fn,
				 struct pci_range out[PCI_RANGES_MAX]);

/* Offset of an extended capability, or 0. */
uint16_t pci_function_find_ext(const struct pci_function *fn, uint16_t id);

/* Size of the table and pending bits of so many vectors, as a BAR size. */
uint64_t pci_msix_bar_size(uint16_t vectors);
bool pci_function_msix_enabled(const struct pci_function *fn);
bool pci_function_bus_master(const struct pci_function *fn);
/* Sends the vector's message now, or when it is unmasked. Nothing if MSI-X is off. */
void pci_function_msix_send(struct pci_function *fn, uint16_t vector);
/* Sends what is pending and not masked any more. */
void pci_function_msix_flush(struct pci_function *fn);
/* Keeps messages back, or sends those that were. */
void pci_function_quiet(struct pci_function *fn, bool quiet);

/* Little-endian fields of configuration space, for device code. */
uint16_t pci_config_get16(const struct pci_function *fn, uint16_t offset);
uint32_t pci_config_get32(const struct pci_function *fn, uint16_t offset);
void pci_config_set16(struct pci_function *fn, uint16_t offset, uint16_t value);
void pci_config_set32(struct pci_function *fn, uint16_t offset, uint32_t value);

#endif
