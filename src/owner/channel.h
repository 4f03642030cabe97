/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The communication channel to a PF: how a function driver gets something done on its function
 * that the function can't be asked for itself. VFIO owns the commands; whoever drives the PF only
 * carries them. It is a robust RPC: asynchronous, with deadlines, and a command that fails, or is
 * never answered, is an error to its caller and nothing else.
 */
#ifndef RIDGE_OWNER_CHANNEL_H
#define RIDGE_OWNER_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "virtio/admin.h"

/* A PF has two queues, so that a slow one of these never holds up one of those. */
enum pf_queue {
	PF_QUEUE_REGISTERS = 0,
	PF_QUEUE_PARTS = 1,
};

/* Most that one command carries in each direction, behind its head: the parts of any device. */
#define PF_CMD_DATA_MAX   (65536 - 24)
#define PF_CMD_RESULT_MAX (65536 - 8)

struct adminq;

/* One command. The caller's until done(), or until it was cancelled. */
struct pf_cmd {
	enum pf_queue queue;
	uint16_t opcode;
	uint16_t group;
	uint64_t member_id;
	const void *data; /* copied by submit */
	size_t data_len;
	void *result; /* room for the result; filled before done() */
	size_t result_room;

	/*
	 * The outcome: 0; -ETIMEDOUT: no answer before the deadline; -EIO: the channel is down; or
	 * the negative of the status that the PF gave, with its qualifier.
	 */
	int error;
	uint16_t qualifier;
	size_t result_len; /* bytes of the result that the PF wrote */
	void (*done)(struct pf_cmd *cmd);

	/* the channel's */
	struct adminq *adminq;
	struct list node;
	struct loop_timer timer;
	uint64_t deadline_ns;
	int slot; /* -1: waits for one */
};

struct pf_channel;

struct pf_channel_ops {
	void (*submit)(struct pf_channel *ch, struct pf_cmd *cmd, uint32_t deadline_ms);
	void (*cancel)(struct pf_channel *ch, struct pf_cmd *cmd);
};

/* Ids of device parts objects, which are the PF's, not its members' (virtio 1.4, 2.12.1.3). */
struct pf_objects {
	uint32_t limit; /* ids are below; 0: there can be none */
	uint64_t taken[4];
};

struct pf_channel {
	const struct pf_channel_ops *ops;
	uint64_t opcodes; /* in use for the SR-IOV group, a bit each */
	struct pf_objects objects;
};

/* An id that no object has, or -ENOSPC. */
int pf_objects_take(struct pf_objects *objects);
void pf_objects_release(struct pf_objects *objects, uint32_t id);

/*
 * Sends a command; done() is called from the event loop, exactly once, at the latest deadline_ms
 * from now. EAGAIN from the PF is tried again until then.
 */
static inline void pf_channel_submit(struct pf_channel *ch, struct pf_cmd *cmd,
				     uint32_t deadline_ms)
{
	ch->ops->submit(ch, cmd, deadline_ms);
}

/* Gives up on a command that was submitted: done() is not called. */
static inline void pf_channel_cancel(struct pf_channel *ch, struct pf_cmd *cmd)
{
	ch->ops->cancel(ch, cmd);
}

#endif
