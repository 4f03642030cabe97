/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PF and its members as a PCI domain of their own, behind one device that a VMM gives to a guest
 * whose Linux then is the SR-IOV host.
 *
 * The one device is an Intel Volume Management Device (8086:28c0), which Linux's `vmd` driver makes
 * a PCI domain of: BAR 0 is ECAM, a MiB for each bus; BARs 2 and 4 are windows that the BARs of the
 * functions behind it are placed in, by the addresses that the guest has for the windows. There is
 * no I/O window and no INTx. Messages of the functions are writes of 4 bytes to the guest's
 * interrupt addresses, sent over the VMM's connection; the VMD's own interrupts are not used.
 *
 *   guest's PCI core -> vmd -> ECAM access   -> ecam.c   -> configuration space of a function
 *   guest's driver          -> window access -> window.c -> BAR of a function
 *   function -> pci_upstream -> domain.c: DMA in the VMM's one memory map, messages to the VMM
 *
 * So the domain is a root complex, as pci/root.h is that of a local PF: device code does not know
 * which of them it is plugged into. The PF is 00:00.0. Its VFs follow from bus 1 on, dynamic
 * functions, which belong to no PF, have RIDs on bus 0.
 *
 * VFs may be many and unused: the domain asks for the function at a RID (find) when the guest looks
 * there.
 *
 * A function that is being reset, and the PF while VFs of its are, reads all ones, which is what a
 * host waits to be over (PCIe 6.6.2). A write that made VFs disappear is done when they have
 * stopped: no DMA of a VF follows the read that a host orders after it. So is one that turned bus
 * mastering of the VMD off, which is that of all behind it.
 *
 * Bus mastering of one function is often in the hands of somebody who must not hold up the others,
 * such as a guest that a VF was given to. The write that turns it off waits for what the function
 * has under way, but no longer than a few ms; from then on the function reads all ones, until it
 * reaches memory no more, is allowed to again, or is reset: writes to its configuration space go on
 * being heeded.
 */
#ifndef RIDGE_DOMAIN_DOMAIN_H
#define RIDGE_DOMAIN_DOMAIN_H

#include "base/counters.h"
#include "pci/function.h"
#include "vfio/vfio.h"

/* Where dynamic functions are: devices 1 to 30 of bus 0. */
#define DOMAIN_DYNAMIC_MAX 240

struct domain;

struct domain_params {
	struct loop *loop;
	struct iommu *iommu;       /* has no address space of RID 0 */
	uint16_t last_rid;         /* the highest that any function may have */
	uint64_t window;           /* bytes that the BARs of all functions take */
	struct counters *counters; /* of the VMD's user; outlives the domain */
	/* The function at a RID that none has appeared at, or NULL. It appears when it is made. */
	struct pci_function *(*find)(void *ctx, uint16_t rid);
	/* Whether VFs that are gone from their RIDs have not stopped; domain_settled() follows. */
	bool (*busy)(void *ctx);
	/* Whether a RID on bus 0 that no function has now is somebody's. */
	bool (*reserved)(void *ctx, uint16_t rid);
	/* As vfio_user_server_message(). */
	int (*message)(void *ctx, uint64_t address, uint32_t data);
	void *ctx;
};

/* Returns 0 or -ENOMEM. */
int domain_new(const struct domain_params *params, struct domain **domain);
/* No function may be plugged in, and the device must be closed. */
void domain_free(struct domain *domain);

/* What functions of this domain are made with, or moved to. */
struct pci_upstream *domain_upstream(struct domain *domain);
/* The VMD, for a server of VFIO devices. */
struct vfio_device *domain_device(struct domain *domain);

/* busy() is false now. */
void domain_settled(struct domain *domain);
/* message() may be tried again. */
void domain_room(struct domain *domain);

/*
 * A free RID for a dynamic function, or -ENOSPC. The first function of a device is given out first:
 * without it, a host does not look for the others.
 */
int domain_dynamic_rid(struct domain *domain);

#endif
