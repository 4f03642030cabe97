/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_DOMAIN_INTERNAL_H
#define RIDGE_DOMAIN_INTERNAL_H

#include "domain/domain.h"
#include "vfio/device.h"

#define DOMAIN_OWNER_RID 0 /* of the PF */

#define VMD_BAR_ECAM   0
#define VMD_BAR_MEMORY 2 /* prefetchable */
#define VMD_BAR_LOW    4 /* not prefetchable */

#define VMD_CONFIG_SIZE 256

#define ECAM_BUS_SIZE (1u << 20)

#define RIDS_PER_BUS 256

/* What a function on bus 0 answers at, as it was when it had changed so often. */
struct window_range {
	struct pci_range range;
	uint64_t reach; /* the last address of it, and of those that begin before it */
	const struct pci_function *owner;
	uint32_t changes;
};

/* Two BARs of each function, and of the PF's VFs. */
#define WINDOW_RANGES_MAX (2 * (DOMAIN_DYNAMIC_MAX + 2))

struct domain_reset {
	struct pci_reset reset;
	struct domain *domain;
};

struct domain {
	struct pci_access access; /* the VMD, as the VFIO device model sees it */
	struct pci_upstream upstream;
	struct domain_params params;
	struct iommu_space *space; /* what the VMM mapped, for every RID */
	struct vfio_device vdev;
	struct vfio_host_state host;
	uint8_t config[VMD_CONFIG_SIZE];

	uint32_t nbuses;                 /* a power of two */
	struct pci_function **functions; /* by RID */
	uint64_t *stalled;               /* RIDs whose messages wait for room, as bits */
	bool any_stalled;

	/* window.c: what the functions decode, sorted by base */
	struct window_range ranges[WINDOW_RANGES_MAX];
	unsigned int nranges;
	bool ranges_stale;

	bool held; /* a write to configuration space waits until functions have stopped */

	/* that is one whose bus mastering it turned off, and it waits while the timer runs */
	struct loop_timer hold;
	uint64_t hold_began; /* ns */
	uint64_t hold_next;  /* ns: none before that */

	/* functions that may not reach memory any more, but do: one after another */
	struct pci_reset drain;
	struct pci_reset *drain_all; /* who turned the VMD's bus mastering off, or NULL */

	/* the reset of everything */
	struct list waiting;                      /* struct pci_reset: who waits for it */
	struct domain_reset resets[RIDS_PER_BUS]; /* of the functions on bus 0 */
	uint32_t resetting;                       /* how many of them */
	struct loop_work reset_work;
};

/* The function that the guest reaches at a RID now, or NULL. */
struct pci_function *domain_function(struct domain *d, uint32_t rid);
/* The same, but NULL also while it is being reset, or its VFs are stopping. */
struct pci_function *domain_present(struct domain *d, uint32_t rid);
/* The same, but NULL also while it reaches memory though its bus mastering is off. */
struct pci_function *domain_answers(struct domain *d, uint32_t rid);

/* 0 when done, or -EINPROGRESS and reset->done(). */
int domain_reset(struct domain *d, struct pci_reset *reset);
/*
 * Bus mastering of a function was turned off: 0 if the host is to be told now, or -EINPROGRESS and
 * the write that did it is held for a while.
 */
int domain_hold(struct domain *d, struct pci_function *fn);
/* That of the VMD was: 0 if no function reaches memory, or -EINPROGRESS and wait->done(). */
int domain_drain(struct domain *d, struct pci_reset *wait);
bool domain_busy(struct domain *d, bool mark);
/* Bus mastering of the VMD was turned on. */
void domain_resume(struct domain *d);

/* ecam.c: an access to BAR 0. 0, or -EINPROGRESS. */
int domain_ecam_access(struct domain *d, struct vfio_access *access);

/* window.c: an access to BAR 2 or 4. */
void domain_window_access(struct domain *d, struct vfio_access *access);

/* vmd.c */
extern const struct pci_access_ops domain_vmd_ops;
void domain_vmd_init(struct domain *d);
void domain_vmd_identity(const struct domain *d, struct vfio_identity *id);
bool domain_vmd_bus_master(const struct domain *d);
/* The guest's address of a BAR of the VMD. */
uint64_t domain_vmd_bar(const struct domain *d, uint8_t bar);

#endif
