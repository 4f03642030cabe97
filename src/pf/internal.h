/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_PF_INTERNAL_H
#define RIDGE_PF_INTERNAL_H

#include "pf/pf.h"
#include "virtio/admin.h"

/* Device parts objects, of all members together: limits are one byte (virtio 1.4, 2.12.1.4.1). */
#define PF_OBJECTS_MAX 255

struct pf_object {
	uint16_t member; /* 0: there is no such object */
	uint8_t kind;    /* VIRTIO_ADMIN_OBJ_KIND_* */
};

struct pf_member {
	struct pf *pf;
	struct virtio_pci *vf; /* NULL: the slot is empty */
	bool busy;             /* a command waits for its I/O */
	bool reset_late; /* a legacy reset, of it or a queue, was not over when its command was */
	bool made;       /* by the maker */
	bool stopping;   /* it was disabled, and waits for its I/O */
	struct pci_reset reset; /* while it is */
	struct list drop;       /* made, disabled and stopped; .next NULL before first use */
};

/* Device state of a PF that its members' functions do not share. Plain data. */
struct pf_state {
	struct virtio_pci_state function;
	uint64_t opcodes_used[2];                    /* by group type, from LIST_USE */
	struct virtio_admin_dev_parts_cap parts_cap; /* the driver's, from DRIVER_CAP_SET */
	struct pf_object objects[PF_OBJECTS_MAX];    /* by id */
	uint64_t type_state[DEVICE_TYPE_STATE_LEN / sizeof(uint64_t)];
};

struct pf {
	struct virtio_pci vp;
	struct virtio_device *dev;
	const struct device_type *type;
	struct pf_state *state;
	struct counters counters;
	struct pci_upstream *upstream;
	bool strict;
	uint32_t total_vfs;
	uint16_t numvfs_enabled; /* what members are plugged in by now; 0: VF Enable is clear */
	uint64_t commands[PF_ADMIN_QUEUES];
#ifdef RIDGE_FAULTS
	bool stall;
#endif
	const struct virtio_device_ops *type_ops;
	struct virtio_device_ops ops; /* the type's, with the admin queues added */
	const struct pf_maker *maker; /* may be NULL */
	unsigned int stopping;        /* members that are */
	struct list drops;            /* struct pf_member */
	struct loop_work drop_work;
	struct loop *loop;
	struct list pending;        /* struct admin_command that wait */
	struct pf_member members[]; /* by slot, [0] unused */
};

/* sriov.c */
void pf_sriov_init(struct pf *pf);
void pf_sriov_written(struct pf *pf);
/* NumVFs if VF Enable is set, else 0. */
uint16_t pf_sriov_numvfs(const struct pf *pf);

/* members.c */
void pf_members_init(struct pf *pf);
/* Slots up to `now` are enabled, and up to `was` were. */
void pf_members_enable(struct pf *pf, uint16_t was, uint16_t now);

/* admin.c */
void pf_admin_process(struct pf *pf, struct virtq *vq);
void pf_admin_reset(struct pf *pf);
/* A member leaves, or its VF was disabled: its commands end, and its objects are dropped. */
void pf_admin_member_gone(struct pf *pf, uint32_t slot);

#endif
