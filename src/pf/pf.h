/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical function: the owner device of the SR-IOV group (virtio 1.4, 2.12), seen from its
 * inside. It is a virtio device of its type with two queues more, the administration virtqueues,
 * and an SR-IOV capability whose registers say which member functions (VFs) there are.
 *
 * A member is a virtio function that somebody put into a slot. Whether it can be reached is the
 * host's business: while VF Enable is set and the slot's number is not above NumVFs, its RID
 * answers; a slot without a member, or above NumVFs, reads all ones, and commands to it are told
 * INVALID_MEMBER.
 *
 * Members can also come into being by themselves: where a struct pf_maker is set, a slot that is
 * enabled but empty gets a function when a host first looks at its RID, and loses it when it is
 * disabled. So VFs that were enabled in bulk cost nothing before they are used.
 *
 * Commands are taken from each admin queue in order. Most end at once; one that has to wait for
 * I/O of its member (a legacy reset) ends later, and the commands behind it go on meanwhile, except
 * that no other command to that member is accepted until then (EAGAIN).
 */
#ifndef RIDGE_PF_PF_H
#define RIDGE_PF_PF_H

#include "devices/devices.h"
#include "virtio/pci.h"

#define PF_ADMIN_QUEUES    2 /* registers; parts and modes */
#define PF_ADMIN_QUEUE_LEN 256
#define PF_SLOTS_MAX       4094

/* VF n has RID = PF + first offset + (n - 1) * stride: the PF on bus 0, VFs from bus 1 on. */
#define PF_FIRST_VF_OFFSET 256
#define PF_VF_STRIDE       1

struct pf;

struct pf_params {
	const char *name;
	const struct device_type *type;
	uint32_t total_vfs; /* 1..PF_SLOTS_MAX */
	struct loop *loop;
	struct uring *uring; /* for types that use files */
	/* What the PF's own device is attached to; taken over on success. */
	int backend;                     /* blk: its image; -1: none */
	struct net_backend *net_backend; /* net: NULL: frames go nowhere */
	uint8_t mac[6];                  /* net */
	struct pci_upstream *upstream;   /* the bus that PF and members appear on */
	uint16_t rid;
	/*
	 * Hold to the letter of virtio 1.4 where Linux needs it otherwise: refuse LIST_QUERY and
	 * LIST_USE for the SR-IOV group while VF Enable is clear, and keep the commands of
	 * capabilities to the self group, after LIST_USE for it.
	 */
	bool strict;
};

/* Returns 0 or a negative errno. The PF is plugged in at its RID. */
int pf_new(const struct pf_params *params, struct pf **pf);
/* Nothing may be in flight and no member left. */
void pf_free(struct pf *pf);

/* Makes the functions of slots that nobody put one into. */
struct pf_maker {
	/* NULL if it can't now: the RID reads all ones then. */
	struct virtio_pci *(*make)(void *ctx, uint32_t slot);
	/* The slot is disabled, and nothing of its function is in flight. */
	void (*drop)(void *ctx, uint32_t slot, struct virtio_pci *vf);
	/* pf_stopping() is false again. From deep inside of a device. */
	void (*stopped)(void *ctx);
	void *ctx;
};

/*
 * maker NULL: none any more. VF Enable must be clear, and all members stopped; what the last maker
 * made is dropped.
 */
void pf_set_maker(struct pf *pf, const struct pf_maker *maker);
/* The VF at a RID while it is enabled, made if need be, or NULL. */
struct pci_function *pf_find_vf(struct pf *pf, uint16_t rid);
/* The same by slot, for the admin executor. */
struct virtio_pci *pf_member(struct pf *pf, uint64_t slot);
/* Whether members that were disabled have not stopped yet. */
bool pf_stopping(const struct pf *pf);

/*
 * Takes the PF and its members to another bus. The PF must have been reset: VF Enable is clear.
 * 0 or what the bus says to the PF's appearance.
 */
int pf_move(struct pf *pf, struct pci_upstream *upstream);

uint16_t pf_vf_rid(const struct pf *pf, uint32_t slot);

/* Puts a member into slot 1..total_vfs (-EINVAL, -EBUSY), or takes it out. */
int pf_add_member(struct pf *pf, uint32_t slot, struct virtio_pci *vf);
void pf_remove_member(struct pf *pf, uint32_t slot);

/* What the PF's own device has counted. */
const struct counters *pf_counters(const struct pf *pf);

/* Commands completed on an admin queue since the PF was made. */
uint64_t pf_admin_commands(const struct pf *pf, unsigned int queue);

#ifdef RIDGE_FAULTS
/* The PF takes nothing from its register queue until told otherwise. */
void pf_fault_stall(struct pf *pf, bool stall);
/* Requests to the PF's own disk do not end until told otherwise. -EOPNOTSUPP: it is none. */
int pf_fault_hang(struct pf *pf, bool hang);
#endif

#endif
