/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A command from the admin virtqueue (virtio 1.4, 2.13) to its reply. The order of checks is that
 * of 2.12.1.5: group type, opcode, member.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "pf/admin.h"

static const uint64_t list_opcodes =
	1ull << VIRTIO_ADMIN_LIST_QUERY | 1ull << VIRTIO_ADMIN_LIST_USE;

/* What can be executed for the members of a group. */
static uint64_t opcodes_of(uint16_t group)
{
	if (group == VIRTIO_ADMIN_GROUP_SELF)
		return list_opcodes | VIRTIO_ADMIN_CAP_OPCODES;
	return list_opcodes | VIRTIO_ADMIN_LEGACY_OPCODES | VIRTIO_ADMIN_OBJECT_OPCODES |
	       VIRTIO_ADMIN_PARTS_OPCODES;
}

/*
 * Capabilities are the self group's (2.12.1.2). Linux agrees on commands for the SR-IOV group
 * alone, and looks for those of the capabilities there: so a PF that is not strict has them in that
 * list too, and refuses the commands.
 */
static uint64_t opcodes_supported(const struct pf *pf, uint16_t group)
{
	return opcodes_of(group) | (pf->strict ? 0 : VIRTIO_ADMIN_CAP_OPCODES);
}

/*
 * Initially only the two list commands are assumed to be used (2.12.1.5). Linux uses those of the
 * capabilities without having said so.
 */
static uint64_t opcodes_initial(const struct pf *pf, uint16_t group)
{
	return pf->strict || group != VIRTIO_ADMIN_GROUP_SELF
		       ? list_opcodes
		       : list_opcodes | VIRTIO_ADMIN_CAP_OPCODES;
}

static struct outcome list_query(struct admin_command *cmd)
{
	uint64_t list = htole64(opcodes_supported(cmd->pf, cmd->group));

	memcpy(cmd->result, &list, sizeof(list));
	cmd->result_len = sizeof(list);
	return admin_ok();
}

/* A bit for each opcode there can be: what is behind that has no meaning. */
#define LIST_MAX (65536 / 8)

/* Whether a list of opcodes is zero from a byte on. */
static bool list_is_zero_from(const struct admin_command *cmd, uint64_t at)
{
	uint8_t data[ADMIN_DATA_MAX];

	for (; at < cmd->data_len && at < LIST_MAX; at += sizeof(data)) {
		size_t n = virtq_copy_out(cmd->segs, cmd->nout,
					  sizeof(struct virtio_admin_request) + at, data,
					  sizeof(data));

		for (size_t i = 0; i < n && at + i < LIST_MAX; i++)
			if (data[i])
				return false;
	}
	return true;
}

static struct outcome list_use(struct admin_command *cmd)
{
	uint64_t list;

	memcpy(&list, cmd->data, sizeof(list));
	list = le64toh(list);
	/* The array may be longer if the rest is zero (2.12.1). */
	if (!list_is_zero_from(cmd, sizeof(list)) ||
	    (list & ~opcodes_supported(cmd->pf, cmd->group)))
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	cmd->pf->state->opcodes_used[cmd->group] = list;
	return admin_ok();
}

static const struct {
	struct outcome (*fn)(struct admin_command *cmd);
	bool to_member;
	bool waits; /* for a reset of the member to be over (2.12.1.4.5) */
} commands[] = {
	[VIRTIO_ADMIN_LIST_QUERY] = { list_query, false, false },
	[VIRTIO_ADMIN_LIST_USE] = { list_use, false, false },
	[VIRTIO_ADMIN_LEGACY_COMMON_CFG_WRITE] = { admin_legacy_common_write, true, false },
	[VIRTIO_ADMIN_LEGACY_COMMON_CFG_READ] = { admin_legacy_common_read, true, false },
	[VIRTIO_ADMIN_LEGACY_DEV_CFG_WRITE] = { admin_legacy_dev_write, true, false },
	[VIRTIO_ADMIN_LEGACY_DEV_CFG_READ] = { admin_legacy_dev_read, true, false },
	[VIRTIO_ADMIN_LEGACY_NOTIFY_INFO] = { admin_legacy_notify_info, true, false },
	[VIRTIO_ADMIN_CAP_ID_LIST_QUERY] = { admin_cap_list, true, false },
	[VIRTIO_ADMIN_DEVICE_CAP_GET] = { admin_cap_get, true, false },
	[VIRTIO_ADMIN_DRIVER_CAP_SET] = { admin_cap_set, true, false },
	[VIRTIO_ADMIN_RESOURCE_OBJ_CREATE] = { admin_object_create, true, false },
	[VIRTIO_ADMIN_RESOURCE_OBJ_MODIFY] = { admin_object_modify, true, false },
	[VIRTIO_ADMIN_RESOURCE_OBJ_QUERY] = { admin_object_query, true, false },
	[VIRTIO_ADMIN_RESOURCE_OBJ_DESTROY] = { admin_object_destroy, true, false },
	[VIRTIO_ADMIN_DEV_PARTS_METADATA_GET] = { admin_parts_metadata, true, false },
	[VIRTIO_ADMIN_DEV_PARTS_GET] = { admin_parts_get, true, true },
	[VIRTIO_ADMIN_DEV_PARTS_SET] = { admin_parts_set, true, true },
	[VIRTIO_ADMIN_DEV_MODE_SET] = { admin_mode_set, true, true },
};

/*
 * The SR-IOV group exists only while VF Enable is set (2.12). Linux queries and sets its list of
 * opcodes once, before it enables VFs, and takes a refusal for good: so these two are answered
 * always, unless the PF is strict.
 */
static bool group_ok(const struct pf *pf, const struct admin_command *cmd)
{
	if (cmd->group == VIRTIO_ADMIN_GROUP_SELF)
		return true;
	if (cmd->group != VIRTIO_ADMIN_GROUP_SRIOV)
		return false;
	if (pf_sriov_numvfs(pf))
		return true;
	return !pf->strict &&
	       (cmd->opcode == VIRTIO_ADMIN_LIST_QUERY || cmd->opcode == VIRTIO_ADMIN_LIST_USE);
}

/* Finds the member that a command is to. The self group has one, number 0: the PF (2.12). */
static bool find_member(struct pf *pf, struct admin_command *cmd)
{
	if (cmd->group == VIRTIO_ADMIN_GROUP_SELF)
		return !cmd->member_id;
	if (!pf_member(pf, cmd->member_id))
		return false;
	cmd->member = &pf->members[cmd->member_id];
	return true;
}

/* The device, or a queue of it whose page number a legacy driver took back. */
static bool in_reset(const struct virtio_device *dev)
{
	bool resetting = dev->resetting;

	for (uint16_t i = 0; i < dev->nqueues; i++)
		resetting |= dev->queues[i].resetting;
	return resetting;
}

/*
 * Another command holds the member, or a reset by a legacy driver is still to end. Objects are no
 * business of the member's.
 */
static bool member_busy(const struct admin_command *cmd)
{
	struct pf_member *member = cmd->member;

	if (!member || (VIRTIO_ADMIN_OBJECT_OPCODES >> cmd->opcode & 1))
		return false;
	member->reset_late = member->reset_late && in_reset(member->vf->dev);
	return member->busy ||
	       (member->reset_late && (VIRTIO_ADMIN_LEGACY_OPCODES >> cmd->opcode & 1));
}

static struct outcome execute(struct pf *pf, struct admin_command *cmd)
{
	if (!group_ok(pf, cmd))
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_GROUP);
	if (cmd->opcode >= ARRAY_LEN(commands) ||
	    !(pf->state->opcodes_used[cmd->group] >> cmd->opcode & 1))
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_OPCODE);
	if (!(opcodes_of(cmd->group) >> cmd->opcode & 1))
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_GROUP);
	if (commands[cmd->opcode].to_member && !find_member(pf, cmd))
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_MEMBER);
	if (commands[cmd->opcode].waits && admin_wait_for_reset(cmd))
		return (struct outcome){ .pending = true };
	if (member_busy(cmd))
		return admin_fail(VIRTIO_ADMIN_EAGAIN, VIRTIO_ADMIN_Q_TRYAGAIN);
	return commands[cmd->opcode].fn(cmd);
}

/* Writes what fits of the reply and returns the chain. */
void admin_finish(struct admin_command *cmd, struct outcome outcome)
{
	struct virtio_admin_reply reply = {
		.status = htole16(outcome.status),
		.qualifier = htole16(outcome.qualifier),
	};
	struct iommu_seg *in = cmd->segs + cmd->nout;
	struct pf *pf = cmd->pf;
	size_t n;

	n = virtq_copy_in(in, cmd->nin, 0, &reply, sizeof(reply));
	if (!outcome.status)
		n += virtq_copy_in(in, cmd->nin, sizeof(reply),
				   cmd->large ? cmd->large : cmd->result, cmd->result_len);
	else
		counter_inc(&pf->counters, admin_errors);
	pf->commands[cmd->vq->index - (pf->dev->nqueues - pf->dev->nadmin)]++;
	if (cmd->holds_member)
		cmd->member->busy = false;
	loop_timer_cancel(&cmd->timer);
	list_del(&cmd->node);
	virtio_device_complete(pf->dev, cmd->vq, cmd->head, (uint32_t)n, cmd->segs,
			       (size_t)(cmd->nout + cmd->nin));
	virtio_device_flush(pf->dev, cmd->vq);
	free(cmd->large);
	free(cmd);
}

void admin_execute_again(struct admin_command *cmd)
{
	struct outcome outcome = execute(cmd->pf, cmd);

	if (!outcome.pending)
		admin_finish(cmd, outcome);
}

/* There is no memory for a command: it is answered all the same. */
static void refuse(struct pf *pf, struct virtq *vq, struct virtq_chain *chain)
{
	struct virtio_admin_reply reply = {
		.status = htole16(VIRTIO_ADMIN_ENOMEM),
		.qualifier = htole16(VIRTIO_ADMIN_Q_NORESOURCE),
	};
	size_t n = virtq_copy_in(chain->segs + chain->nout, chain->nin, 0, &reply, sizeof(reply));

	counter_inc(&pf->counters, admin_errors);
	virtio_device_complete(pf->dev, vq, chain->head, (uint32_t)n, chain->segs,
			       (size_t)(chain->nout + chain->nin));
}

static struct admin_command *command_new(struct pf *pf, struct virtq *vq,
					 const struct virtq_chain *chain)
{
	size_t nsegs = (size_t)(chain->nout + chain->nin), head;
	struct virtio_admin_request request = { 0 };
	struct admin_command *cmd;

	cmd = calloc(1, sizeof(*cmd) + nsegs * sizeof(cmd->segs[0]));
	if (!cmd)
		return NULL;
	list_init(&cmd->node);
	cmd->pf = pf;
	cmd->vq = vq;
	cmd->head = chain->head;
	cmd->nout = chain->nout;
	cmd->nin = chain->nin;
	memcpy(cmd->segs, chain->segs, nsegs * sizeof(cmd->segs[0]));
	/* Bytes that the driver left out count as zero (2.13.1). */
	head = virtq_copy_out(cmd->segs, cmd->nout, 0, &request, sizeof(request));
	cmd->opcode = le16toh(request.opcode);
	cmd->group = le16toh(request.group_type);
	cmd->member_id = le64toh(request.member_id);
	virtq_copy_out(cmd->segs, cmd->nout, head, cmd->data, sizeof(cmd->data));
	cmd->data_len = chain->out_len - head;
	if (chain->in_len > sizeof(struct virtio_admin_reply))
		cmd->result_room = chain->in_len - sizeof(struct virtio_admin_reply);
	return cmd;
}

void pf_admin_process(struct pf *pf, struct virtq *vq)
{
	struct virtq_chain chain;

#ifdef RIDGE_FAULTS
	if (pf->stall && vq->index == pf->dev->nqueues - pf->dev->nadmin)
		return;
#endif
	while (virtio_device_pop(pf->dev, vq, &chain)) {
		struct admin_command *cmd;
		struct outcome outcome;

		cmd = command_new(pf, vq, &chain);
		if (!cmd) {
			refuse(pf, vq, &chain);
			continue;
		}
		outcome = execute(pf, cmd);
		if (outcome.pending)
			list_add_tail(&pf->pending, &cmd->node);
		else
			admin_finish(cmd, outcome);
	}
}

/*
 * Of all commands that wait, or those for a member: they end now, and what they waited for goes on
 * without them.
 */
static void end_pending(struct pf *pf, const struct pf_member *member, uint16_t qualifier)
{
	struct admin_command *cmd, *tmp;

	list_for_each_safe (cmd, tmp, &pf->pending, node) {
		if (member && cmd->member != member)
			continue;
		admin_wait_cancel(cmd);
		admin_finish(cmd, admin_invalid(qualifier));
	}
}

void pf_admin_reset(struct pf *pf)
{
	struct pf_state *st = pf->state;

	for (uint16_t group = 0; group < 2; group++)
		st->opcodes_used[group] = opcodes_initial(pf, group);
	st->parts_cap = (struct virtio_admin_dev_parts_cap){ 0 };
	memset(st->objects, 0, sizeof(st->objects));
	end_pending(pf, NULL, VIRTIO_ADMIN_Q_INVALID_COMMAND);
}

void pf_admin_member_gone(struct pf *pf, uint32_t slot)
{
	end_pending(pf, &pf->members[slot], VIRTIO_ADMIN_Q_INVALID_MEMBER);
	admin_objects_drop(pf, &pf->members[slot]);
}
