/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin executor, inside: group administration commands (virtio 1.4, 2.12.1), each a function
 * that is given the command and says what became of it.
 *
 *   admin.c          a command from the queue to its reply; what is checked first; waiting
 *   admin_legacy.c   registers of a legacy driver (2.12.1.1)
 *   admin_caps.c     capabilities (2.12.1.2)
 *   admin_objects.c  resource objects (2.12.1.3)
 *   admin_parts.c    device parts of a member (2.12.1.4)
 *   admin_mode.c     stopping and resuming a member (2.12.1.4.3.4); what waits, and how long
 *
 * A command's data is the driver's memory and may change under us: what is looked at was copied
 * before, once.
 */
#ifndef RIDGE_PF_ADMIN_H
#define RIDGE_PF_ADMIN_H

#include "pf/internal.h"
#include "virtio/admin.h"

#define ADMIN_DATA_MAX   512 /* bytes of command_specific_data that are copied for every command */
#define ADMIN_RESULT_MAX 64  /* bytes of a result that is not allocated */

/*
 * Every command is answered: one that has waited for its member's I/O so long, with EAGAIN. A
 * legacy reset, for which the owner driver waits 3 s, has more.
 */
#define ADMIN_WAIT_MS         3000
#define ADMIN_LEGACY_RESET_MS 5000

/* The chain is the command's until it ends. */
struct admin_command {
	struct list node; /* in pf->pending, or alone */
	struct pf *pf;
	struct virtq *vq;
	/* What it waits for: one of these, and not for ever. */
	struct virtio_reset reset;
	struct pci_reset function_reset;
	struct virtio_halt halt;
	struct loop_timer timer;
	bool holds_member; /* which is busy */
	uint16_t head;
	uint16_t nout;
	uint16_t nin;
	uint16_t opcode;
	uint16_t group;
	uint64_t member_id;
	struct pf_member *member; /* NULL for commands that are to none */
	uint64_t data_len;        /* as submitted, also beyond ADMIN_DATA_MAX */
	uint64_t result_room;     /* as submitted */
	uint32_t result_len;
	uint8_t data[ADMIN_DATA_MAX]; /* zeroes beyond data_len */
	uint8_t result[ADMIN_RESULT_MAX];
	void *large;             /* the result, if it is not in there; owned */
	struct iommu_seg segs[]; /* nout + nin */
};

/* What became of a command: a status and its qualifier, or still under way. */
struct outcome {
	uint16_t status;
	uint16_t qualifier;
	bool pending;
};

static inline struct outcome admin_ok(void)
{
	return (struct outcome){ 0 };
}

static inline struct outcome admin_fail(uint16_t status, uint16_t qualifier)
{
	return (struct outcome){ .status = status, .qualifier = qualifier };
}

static inline struct outcome admin_invalid(uint16_t qualifier)
{
	return admin_fail(VIRTIO_ADMIN_EINVAL, qualifier);
}

/*
 * admin.c: a command that waited is over; or it is executed again, since what it waited for came.
 */
void admin_finish(struct admin_command *cmd, struct outcome outcome);
void admin_execute_again(struct admin_command *cmd);

/* admin_legacy.c */
struct outcome admin_legacy_common_write(struct admin_command *cmd);
struct outcome admin_legacy_common_read(struct admin_command *cmd);
struct outcome admin_legacy_dev_write(struct admin_command *cmd);
struct outcome admin_legacy_dev_read(struct admin_command *cmd);
struct outcome admin_legacy_notify_info(struct admin_command *cmd);

/* admin_caps.c */
struct outcome admin_cap_list(struct admin_command *cmd);
struct outcome admin_cap_get(struct admin_command *cmd);
struct outcome admin_cap_set(struct admin_command *cmd);

/* admin_objects.c */
struct outcome admin_object_create(struct admin_command *cmd);
struct outcome admin_object_modify(struct admin_command *cmd);
struct outcome admin_object_query(struct admin_command *cmd);
struct outcome admin_object_destroy(struct admin_command *cmd);
/* The object that the command names in the head of its data, if it is its member's; or NULL. */
struct pf_object *admin_object(struct admin_command *cmd);
/* admin_parts.c */
struct outcome admin_parts_metadata(struct admin_command *cmd);
struct outcome admin_parts_get(struct admin_command *cmd);
struct outcome admin_parts_set(struct admin_command *cmd);

/* admin_mode.c */
struct outcome admin_mode_set(struct admin_command *cmd);
/* True if the member is in a reset: the command is executed again when that is over. */
bool admin_wait_for_reset(struct admin_command *cmd);
/* The command waits from now on, and its member is busy until it ends. */
struct outcome admin_hold(struct admin_command *cmd, uint32_t at_most_ms);
/* It waits no longer. */
void admin_wait_cancel(struct admin_command *cmd);

/* A member is gone: so are its objects. */
void admin_objects_drop(struct pf *pf, const struct pf_member *member);
/* Whether all objects there are would have ids below these limits. */
bool admin_objects_fit(const struct pf *pf, const struct virtio_admin_dev_parts_cap *cap);

#endif
