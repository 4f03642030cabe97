/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Before anything else (virtio 1.4, 2.12.1): which commands the PF knows, which of them we use, and
 * how many device parts objects there may be. Without the last there is no migration, and all else.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "owner/internal.h"

#define DEADLINE_MS 2000

/* What we know how to use, by group type. */
static const uint64_t known[] = {
	[VIRTIO_ADMIN_GROUP_SELF] = 1ull << VIRTIO_ADMIN_LIST_QUERY |
				    1ull << VIRTIO_ADMIN_LIST_USE | VIRTIO_ADMIN_CAP_OPCODES,
	[VIRTIO_ADMIN_GROUP_SRIOV] = 1ull << VIRTIO_ADMIN_LIST_QUERY |
				     1ull << VIRTIO_ADMIN_LIST_USE | VIRTIO_ADMIN_LEGACY_OPCODES |
				     VIRTIO_ADMIN_OBJECT_OPCODES | VIRTIO_ADMIN_PARTS_OPCODES,
};

static void query(struct agreement *a, uint16_t group, enum pf_queue queue);

static void submit(struct agreement *a, struct pf_cmd cmd, void (*done)(struct pf_cmd *cmd))
{
	a->cmd = cmd;
	a->cmd.done = done;
	pf_channel_submit(a->channel, &a->cmd, DEADLINE_MS);
}

static struct agreement *agreement_of(struct pf_cmd *cmd)
{
	return container_of(cmd, struct agreement, cmd);
}

/* The channel is down: that is nobody's success. All other failures are those of a PF without. */
static void end(struct agreement *a)
{
	a->done(a, a->cmd.error == -EIO ? -EIO : 0);
}

static void cap_set(struct pf_cmd *cmd)
{
	struct agreement *a = agreement_of(cmd);

	if (!cmd->error)
		a->channel->objects.limit = a->cap[sizeof(struct virtio_admin_cap_data)];
	end(a);
}

/* Objects of both kinds have their ids from the same numbers, so the limit is one (2.12.1.3). */
static void cap_got(struct pf_cmd *cmd)
{
	struct agreement *a = agreement_of(cmd);
	struct virtio_admin_dev_parts_cap cap;
	uint8_t *limits = a->cap + sizeof(struct virtio_admin_cap_data);

	if (cmd->error) {
		end(a);
		return;
	}
	memcpy(&cap, limits, sizeof(cap));
	limits[0] = cap.get_limit < cap.set_limit ? cap.get_limit : cap.set_limit;
	limits[1] = limits[0];
	submit(a,
	       (struct pf_cmd){
		       .queue = PF_QUEUE_PARTS,
		       .opcode = VIRTIO_ADMIN_DRIVER_CAP_SET,
		       .group = VIRTIO_ADMIN_GROUP_SELF,
		       .data = a->cap,
		       .data_len = sizeof(a->cap),
	       },
	       cap_set);
}

static void list_used(struct pf_cmd *cmd)
{
	struct agreement *a = agreement_of(cmd);

	if (cmd->group == VIRTIO_ADMIN_GROUP_SRIOV) {
		if (cmd->error) {
			a->done(a, cmd->error);
			return;
		}
		a->channel->opcodes = le64toh(a->list);
		query(a, VIRTIO_ADMIN_GROUP_SELF, PF_QUEUE_PARTS);
		return;
	}
	if (cmd->error ||
	    (le64toh(a->list) & VIRTIO_ADMIN_CAP_OPCODES) != VIRTIO_ADMIN_CAP_OPCODES) {
		end(a);
		return;
	}
	memset(a->cap, 0, sizeof(a->cap)); /* VIRTIO_DEV_PARTS_CAP */
	submit(a,
	       (struct pf_cmd){
		       .queue = PF_QUEUE_PARTS,
		       .opcode = VIRTIO_ADMIN_DEVICE_CAP_GET,
		       .group = VIRTIO_ADMIN_GROUP_SELF,
		       .data = a->cap,
		       .data_len = sizeof(struct virtio_admin_cap_data),
		       .result = a->cap + sizeof(struct virtio_admin_cap_data),
		       .result_room = sizeof(struct virtio_admin_dev_parts_cap),
	       },
	       cap_got);
}

static void list_queried(struct pf_cmd *cmd)
{
	struct agreement *a = agreement_of(cmd);

	if (cmd->error) {
		if (cmd->group == VIRTIO_ADMIN_GROUP_SRIOV)
			a->done(a, cmd->error);
		else
			end(a);
		return;
	}
	a->list &= htole64(known[cmd->group]);
	submit(a,
	       (struct pf_cmd){
		       .queue = cmd->queue,
		       .opcode = VIRTIO_ADMIN_LIST_USE,
		       .group = cmd->group,
		       .data = &a->list,
		       .data_len = sizeof(a->list),
	       },
	       list_used);
}

static void query(struct agreement *a, uint16_t group, enum pf_queue queue)
{
	submit(a,
	       (struct pf_cmd){
		       .queue = queue,
		       .opcode = VIRTIO_ADMIN_LIST_QUERY,
		       .group = group,
		       .result = &a->list,
		       .result_room = sizeof(a->list),
	       },
	       list_queried);
}

void agreement_start(struct agreement *a, struct pf_channel *channel,
		     void (*done)(struct agreement *a, int result))
{
	a->channel = channel;
	a->done = done;
	query(a, VIRTIO_ADMIN_GROUP_SRIOV, PF_QUEUE_REGISTERS);
}
