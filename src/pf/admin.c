/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin executor: group administration commands (virtio 1.3, 2.12.1) taken from the admin
 * virtqueues (2.13). Each command is a function in a table; the order of checks is that of
 * 2.12.1.5: group type, opcode, member.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pf/internal.h"
#include "virtio/admin.h"
#include "virtio/legacy.h"

#define DATA_MAX   512 /* command_specific_data that any of these commands looks at */
#define RESULT_MAX 64

/* Waits are for a reset of the member; the chain is the command's until it ends. */
struct admin_command {
	struct list node; /* in pf->pending, or alone */
	struct pf *pf;
	struct virtq *vq;
	struct virtio_reset reset;
	uint16_t head;
	uint16_t nout;
	uint16_t nin;
	uint16_t opcode;
	uint16_t group;
	uint64_t member_id;
	struct pf_member *member; /* NULL for commands that are to none */
	uint32_t data_len;        /* as submitted, also beyond DATA_MAX */
	uint32_t result_room;     /* as submitted */
	uint32_t result_len;
	uint8_t data[DATA_MAX]; /* zeroes beyond data_len */
	uint8_t result[RESULT_MAX];
	struct iommu_seg segs[]; /* nout + nin */
};

/* What became of a command: a status and its qualifier, or still under way. */
struct outcome {
	uint16_t status;
	uint16_t qualifier;
	bool pending;
};

static const struct outcome ok = { 0 };

static struct outcome invalid(uint16_t qualifier)
{
	return (struct outcome){ .status = VIRTIO_ADMIN_EINVAL, .qualifier = qualifier };
}

static uint64_t opcodes_supported(uint16_t group)
{
	uint64_t list = 1ull << VIRTIO_ADMIN_LIST_QUERY | 1ull << VIRTIO_ADMIN_LIST_USE;

	if (group == VIRTIO_ADMIN_GROUP_SRIOV)
		list |= VIRTIO_ADMIN_LEGACY_OPCODES;
	return list;
}

/* Initially only these two are assumed to be used (2.12.1.5). */
static const uint64_t opcodes_initial =
	1ull << VIRTIO_ADMIN_LIST_QUERY | 1ull << VIRTIO_ADMIN_LIST_USE;

static struct outcome list_query(struct admin_command *cmd)
{
	uint64_t list = htole64(opcodes_supported(cmd->group));

	memcpy(cmd->result, &list, sizeof(list));
	cmd->result_len = sizeof(list);
	return ok;
}

static struct outcome list_use(struct admin_command *cmd)
{
	uint64_t list;

	memcpy(&list, cmd->data, sizeof(list));
	list = le64toh(list);
	/* The array may be longer if the rest is zero (2.12.1.1). */
	for (uint32_t i = sizeof(list); i < cmd->data_len && i < DATA_MAX; i++)
		if (cmd->data[i])
			return invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	if (list & ~opcodes_supported(cmd->group))
		return invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	cmd->pf->state->opcodes_used[cmd->group] = list;
	return ok;
}

static void reset_finished(struct virtio_reset *reset);

static struct outcome legacy_outcome(struct admin_command *cmd, int err)
{
	if (err != -EINPROGRESS)
		return err ? invalid(VIRTIO_ADMIN_Q_INVALID_FIELD) : ok;
	cmd->member->busy = true;
	return (struct outcome){ .pending = true };
}

/* Length of the bytes that a write brings; 0 and too many to be one field fail later. */
static uint32_t write_len(const struct admin_command *cmd)
{
	uint32_t head = sizeof(struct virtio_admin_legacy_write);

	if (cmd->data_len <= head)
		return 0;
	return cmd->data_len - head < DATA_MAX - head ? cmd->data_len - head : DATA_MAX - head;
}

static struct outcome legacy_common_write(struct admin_command *cmd)
{
	struct virtio_pci *vf = cmd->member->vf;

	cmd->reset.done = reset_finished;
	return legacy_outcome(cmd, virtio_legacy_common_write(
					   vf->dev, cmd->data[0],
					   cmd->data + sizeof(struct virtio_admin_legacy_write),
					   write_len(cmd), pci_function_msix_enabled(&vf->fn),
					   &cmd->reset));
}

static struct outcome legacy_dev_write(struct admin_command *cmd)
{
	return legacy_outcome(cmd, virtio_legacy_config_write(
					   cmd->member->vf->dev, cmd->data[0],
					   cmd->data + sizeof(struct virtio_admin_legacy_write),
					   write_len(cmd)));
}

/* The length of a read is the room for its result. */
static struct outcome legacy_read(struct admin_command *cmd, int err)
{
	if (!err)
		cmd->result_len = cmd->result_room;
	return legacy_outcome(cmd, err);
}

static struct outcome legacy_common_read(struct admin_command *cmd)
{
	struct virtio_pci *vf = cmd->member->vf;

	if (cmd->result_room > RESULT_MAX)
		return invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	return legacy_read(cmd, virtio_legacy_common_read(vf->dev, cmd->data[0], cmd->result,
							  cmd->result_room,
							  pci_function_msix_enabled(&vf->fn)));
}

static struct outcome legacy_dev_read(struct admin_command *cmd)
{
	if (cmd->result_room > RESULT_MAX)
		return invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	return legacy_read(cmd, virtio_legacy_config_read(cmd->member->vf->dev, cmd->data[0],
							  cmd->result, cmd->result_room));
}

/* One address serves all queues: the member's notification structure takes the queue as value. */
static struct outcome legacy_notify_info(struct admin_command *cmd)
{
	struct virtio_admin_notify_info info[VIRTIO_ADMIN_NOTIFY_ENTRIES] = {
		{
			.flags = VIRTIO_ADMIN_NOTIFY_MEMBER,
			.bar = VIRTIO_PCI_BAR,
			.offset = htole64(VIRTIO_PCI_NOTIFY_AT),
		},
	};

	memcpy(cmd->result, info, sizeof(info));
	cmd->result_len = sizeof(info);
	return ok;
}

static const struct {
	struct outcome (*fn)(struct admin_command *cmd);
	bool to_member;
} commands[] = {
	[VIRTIO_ADMIN_LIST_QUERY] = { list_query, false },
	[VIRTIO_ADMIN_LIST_USE] = { list_use, false },
	[VIRTIO_ADMIN_LEGACY_COMMON_CFG_WRITE] = { legacy_common_write, true },
	[VIRTIO_ADMIN_LEGACY_COMMON_CFG_READ] = { legacy_common_read, true },
	[VIRTIO_ADMIN_LEGACY_DEV_CFG_WRITE] = { legacy_dev_write, true },
	[VIRTIO_ADMIN_LEGACY_DEV_CFG_READ] = { legacy_dev_read, true },
	[VIRTIO_ADMIN_LEGACY_NOTIFY_INFO] = { legacy_notify_info, true },
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

static struct outcome execute(struct pf *pf, struct admin_command *cmd)
{
	if (!group_ok(pf, cmd))
		return invalid(VIRTIO_ADMIN_Q_INVALID_GROUP);
	if (cmd->opcode >= sizeof(commands) / sizeof(commands[0]) ||
	    !(pf->state->opcodes_used[cmd->group] >> cmd->opcode & 1))
		return invalid(VIRTIO_ADMIN_Q_INVALID_OPCODE);
	if (commands[cmd->opcode].to_member) {
		if (!cmd->member_id || cmd->member_id > pf_sriov_numvfs(pf) ||
		    !pf->members[cmd->member_id].vf)
			return invalid(VIRTIO_ADMIN_Q_INVALID_MEMBER);
		cmd->member = &pf->members[cmd->member_id];
		if (cmd->member->busy)
			return (struct outcome){ .status = VIRTIO_ADMIN_EAGAIN,
						 .qualifier = VIRTIO_ADMIN_Q_TRYAGAIN };
	}
	return commands[cmd->opcode].fn(cmd);
}

/* Writes what fits of the reply and returns the chain. */
static void finish(struct admin_command *cmd, struct outcome outcome)
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
		n += virtq_copy_in(in, cmd->nin, sizeof(reply), cmd->result, cmd->result_len);
	pf->commands[cmd->vq->index - (pf->dev->nqueues - pf->dev->nadmin)]++;
	list_del(&cmd->node);
	virtio_device_complete(pf->dev, cmd->vq, cmd->head, (uint32_t)n, cmd->segs,
			       (size_t)(cmd->nout + cmd->nin));
	virtio_device_flush(pf->dev, cmd->vq);
	free(cmd);
}

static void reset_finished(struct virtio_reset *reset)
{
	struct admin_command *cmd = container_of(reset, struct admin_command, reset);

	cmd->member->busy = false;
	finish(cmd, ok);
}

static struct admin_command *command_new(struct pf *pf, struct virtq *vq,
					 const struct virtq_chain *chain)
{
	size_t nsegs = (size_t)(chain->nout + chain->nin), head;
	struct virtio_admin_request request = { 0 };
	struct admin_command *cmd;
	uint64_t len;

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
	len = chain->out_len - head;
	cmd->data_len = len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
	len = chain->in_len > sizeof(struct virtio_admin_reply)
		      ? chain->in_len - sizeof(struct virtio_admin_reply)
		      : 0;
	cmd->result_room = len < UINT32_MAX ? (uint32_t)len : UINT32_MAX;
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
			virtio_device_stop(pf->dev, "out of memory", false);
			virtio_device_complete(pf->dev, vq, chain.head, 0, chain.segs,
					       (size_t)(chain.nout + chain.nin));
			return;
		}
		outcome = execute(pf, cmd);
		if (outcome.pending)
			list_add_tail(&pf->pending, &cmd->node);
		else
			finish(cmd, outcome);
	}
}

/* Commands that wait end with the PF's reset; what they waited for goes on without them. */
void pf_admin_reset(struct pf *pf)
{
	pf->state->opcodes_used[VIRTIO_ADMIN_GROUP_SELF] = opcodes_initial;
	pf->state->opcodes_used[VIRTIO_ADMIN_GROUP_SRIOV] = opcodes_initial;
	while (!list_empty(&pf->pending)) {
		struct admin_command *cmd = list_first(&pf->pending, struct admin_command, node);

		virtio_reset_cancel(&cmd->reset);
		cmd->member->busy = false;
		finish(cmd, invalid(VIRTIO_ADMIN_Q_INVALID_COMMAND));
	}
}

void pf_remove_member(struct pf *pf, uint32_t slot)
{
	struct pf_member *member = &pf->members[slot];
	struct admin_command *cmd, *tmp;

	if (slot <= pf->numvfs_enabled)
		pf->upstream->ops->gone(pf->upstream, &member->vf->fn);
	list_for_each_safe (cmd, tmp, &pf->pending, node) {
		if (cmd->member != member)
			continue;
		virtio_reset_cancel(&cmd->reset);
		finish(cmd, invalid(VIRTIO_ADMIN_Q_INVALID_MEMBER));
	}
	member->busy = false;
	member->vf = NULL;
}
