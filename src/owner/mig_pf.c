/* SPDX-License-Identifier: BSD-3-Clause */
/* Migration of a member through its PF: device mode and device parts (virtio 1.4, 2.12.1.4). */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "owner/channel.h"
#include "owner/mig_channel.h"

#define NEEDED (VIRTIO_ADMIN_OBJECT_OPCODES | VIRTIO_ADMIN_PARTS_OPCODES)

/* For what nobody waits for. */
#define DESTROY_DEADLINE_MS 5000

#define MODE_STOPPED 1

enum { KINDS = 2 }; /* VIRTIO_ADMIN_OBJ_KIND_GET and _SET */

struct mig_pf {
	struct mig_channel channel;
	struct pf_channel *pf;
	uint64_t member_id;
	int object[KINDS]; /* ids; -1: not made */
	/* the request under way */
	struct mig_request *rq;
	struct pf_cmd cmd;
	struct loop *loop;
	struct loop_work failed; /* before there was a command */
	int failure;
	uint16_t opcode; /* what it is, once there is an object */
	uint8_t mode;
	uint32_t metadata[2];
	struct virtio_admin_obj_data create;
	struct {
		struct virtio_admin_obj_hdr hdr;
		uint8_t type;
		uint8_t reserved[7];
	} get;
	uint8_t *set; /* header and parts, for the time of the command */
};

/* --- ids --- */

int pf_objects_take(struct pf_objects *objects)
{
	for (uint32_t id = 0; id < objects->limit; id++) {
		if (objects->taken[id / 64] >> (id % 64) & 1)
			continue;
		objects->taken[id / 64] |= 1ull << (id % 64);
		return (int)id;
	}
	return -ENOSPC;
}

void pf_objects_release(struct pf_objects *objects, uint32_t id)
{
	objects->taken[id / 64] &= ~(1ull << (id % 64));
}

/* --- requests --- */

static struct mig_pf *mig_of(struct mig_channel *ch)
{
	return container_of(ch, struct mig_pf, channel);
}

static void end(struct mig_pf *m, int error)
{
	struct mig_request *rq = m->rq;

	free(m->set);
	m->set = NULL;
	m->rq = NULL;
	m->failure = 0;
	rq->error = error;
	rq->done(rq);
}

static void failed(struct loop_work *work)
{
	struct mig_pf *m = container_of(work, struct mig_pf, failed);

	end(m, m->failure);
}

/* From the loop, as promised. */
static void fail(struct mig_pf *m, int error)
{
	m->failure = error;
	loop_work_queue(m->loop, &m->failed, failed);
}

static uint8_t kind_of(const struct mig_pf *m)
{
	return m->opcode == VIRTIO_ADMIN_DEV_PARTS_SET ? VIRTIO_ADMIN_OBJ_KIND_SET
						       : VIRTIO_ADMIN_OBJ_KIND_GET;
}

static void command_done(struct pf_cmd *cmd)
{
	struct mig_pf *m = container_of(cmd, struct mig_pf, cmd);

	/*
	 * The object went with a reset of the PF, or with its member: the next request makes one.
	 */
	if (cmd->error == -VIRTIO_ADMIN_ENXIO && cmd->opcode != VIRTIO_ADMIN_DEV_MODE_SET) {
		pf_objects_release(&m->pf->objects, (uint32_t)m->object[kind_of(m)]);
		m->object[kind_of(m)] = -1;
	}
	if (!cmd->error && cmd->opcode == VIRTIO_ADMIN_DEV_PARTS_GET)
		m->rq->len = cmd->result_len;
	if (!cmd->error && cmd->opcode == VIRTIO_ADMIN_DEV_PARTS_METADATA_GET)
		m->rq->len = le32toh(m->metadata[0]);
	end(m, cmd->error);
}

static void submit(struct mig_pf *m, struct pf_cmd cmd, void (*done)(struct pf_cmd *cmd))
{
	m->cmd = cmd;
	m->cmd.queue = PF_QUEUE_PARTS;
	m->cmd.group = VIRTIO_ADMIN_GROUP_SRIOV;
	m->cmd.member_id = m->member_id;
	m->cmd.done = done;
	pf_channel_submit(m->pf, &m->cmd, m->rq->deadline_ms);
}

/* The command of a request that needs an object, now that there is one. */
static void submit_parts(struct mig_pf *m, uint32_t id)
{
	struct virtio_admin_obj_hdr hdr = {
		.type = htole16(VIRTIO_ADMIN_OBJ_DEV_PARTS),
		.id = htole32(id),
	};
	struct pf_cmd cmd = { .opcode = m->opcode, .data = &m->get, .data_len = sizeof(m->get) };

	m->get.hdr = hdr;
	if (m->opcode == VIRTIO_ADMIN_DEV_PARTS_SET) {
		memcpy(m->set, &hdr, sizeof(hdr));
		cmd.data = m->set;
		cmd.data_len = sizeof(hdr) + m->rq->len;
	} else if (m->opcode == VIRTIO_ADMIN_DEV_PARTS_GET) {
		m->get.type = VIRTIO_ADMIN_PARTS_ALL;
		cmd.result = m->rq->data;
		cmd.result_room = m->rq->len < PF_CMD_RESULT_MAX ? m->rq->len : PF_CMD_RESULT_MAX;
	} else {
		m->get.type = VIRTIO_ADMIN_METADATA_SIZE;
		cmd.result = m->metadata;
		cmd.result_room = sizeof(m->metadata);
	}
	submit(m, cmd, command_done);
}

static void destroy_object(struct mig_pf *m, uint8_t kind);

static void object_made(struct pf_cmd *cmd)
{
	struct mig_pf *m = container_of(cmd, struct mig_pf, cmd);
	uint8_t kind = kind_of(m);

	if (cmd->error) {
		destroy_object(m, kind); /* it may be there all the same */
		end(m, cmd->error);
		return;
	}
	submit_parts(m, (uint32_t)m->object[kind]);
}

static void start(struct mig_channel *ch, struct mig_request *rq, uint16_t opcode)
{
	struct mig_pf *m = mig_of(ch);
	uint8_t kind;

	m->rq = rq;
	m->opcode = opcode;
	kind = kind_of(m);
	if (m->object[kind] >= 0) {
		submit_parts(m, (uint32_t)m->object[kind]);
		return;
	}
	m->object[kind] = pf_objects_take(&m->pf->objects);
	if (m->object[kind] < 0) {
		fail(m, -ENOSPC);
		return;
	}
	m->create = (struct virtio_admin_obj_data){
		.hdr = {
			.type = htole16(VIRTIO_ADMIN_OBJ_DEV_PARTS),
			.id = htole32((uint32_t)m->object[kind]),
		},
		.kind = kind,
	};
	submit(m,
	       (struct pf_cmd){
		       .opcode = VIRTIO_ADMIN_RESOURCE_OBJ_CREATE,
		       .data = &m->create,
		       .data_len = sizeof(m->create),
	       },
	       object_made);
}

static void set_mode(struct mig_channel *ch, struct mig_request *rq, uint8_t mode)
{
	struct mig_pf *m = mig_of(ch);

	m->rq = rq;
	m->mode = mode;
	submit(m,
	       (struct pf_cmd){
		       .opcode = VIRTIO_ADMIN_DEV_MODE_SET,
		       .data = &m->mode,
		       .data_len = sizeof(m->mode),
	       },
	       command_done);
}

static void mig_pf_stop(struct mig_channel *ch, struct mig_request *rq)
{
	set_mode(ch, rq, MODE_STOPPED);
}

static void mig_pf_resume(struct mig_channel *ch, struct mig_request *rq)
{
	set_mode(ch, rq, 0);
}

static void mig_pf_size(struct mig_channel *ch, struct mig_request *rq)
{
	start(ch, rq, VIRTIO_ADMIN_DEV_PARTS_METADATA_GET);
}

static void mig_pf_get(struct mig_channel *ch, struct mig_request *rq)
{
	start(ch, rq, VIRTIO_ADMIN_DEV_PARTS_GET);
}

static void mig_pf_set(struct mig_channel *ch, struct mig_request *rq)
{
	struct mig_pf *m = mig_of(ch);

	m->rq = rq;
	if (rq->len > PF_CMD_DATA_MAX - sizeof(struct virtio_admin_obj_hdr)) {
		fail(m, -EMSGSIZE);
		return;
	}
	m->set = malloc(sizeof(struct virtio_admin_obj_hdr) + rq->len);
	if (!m->set) {
		fail(m, -ENOMEM);
		return;
	}
	memcpy(m->set + sizeof(struct virtio_admin_obj_hdr), rq->data, rq->len);
	start(ch, rq, VIRTIO_ADMIN_DEV_PARTS_SET);
}

/* --- the end --- */

/* A command that nobody waits for; its id is free when it is known that there is no object. */
struct destroy {
	struct pf_cmd cmd;
	struct pf_channel *pf;
	struct virtio_admin_obj_hdr hdr;
};

static void destroyed(struct pf_cmd *cmd)
{
	struct destroy *d = container_of(cmd, struct destroy, cmd);

	/* A member that is gone has taken its objects with it. */
	if (!cmd->error || cmd->error == -VIRTIO_ADMIN_ENXIO ||
	    (cmd->error == -VIRTIO_ADMIN_EINVAL && cmd->qualifier == VIRTIO_ADMIN_Q_INVALID_MEMBER))
		pf_objects_release(&d->pf->objects, le32toh(d->hdr.id));
	free(d);
}

static void destroy_object(struct mig_pf *m, uint8_t kind)
{
	struct destroy *d;
	int id = m->object[kind];

	m->object[kind] = -1;
	if (id < 0)
		return;
	d = calloc(1, sizeof(*d));
	if (!d)
		return; /* and nobody has the id any more */
	d->pf = m->pf;
	d->hdr.type = htole16(VIRTIO_ADMIN_OBJ_DEV_PARTS);
	d->hdr.id = htole32((uint32_t)id);
	d->cmd = (struct pf_cmd){
		.queue = PF_QUEUE_PARTS,
		.opcode = VIRTIO_ADMIN_RESOURCE_OBJ_DESTROY,
		.group = VIRTIO_ADMIN_GROUP_SRIOV,
		.member_id = m->member_id,
		.data = &d->hdr,
		.data_len = sizeof(d->hdr),
		.done = destroyed,
	};
	pf_channel_submit(m->pf, &d->cmd, DESTROY_DEADLINE_MS);
}

static void mig_pf_cancel(struct mig_channel *ch)
{
	struct mig_pf *m = mig_of(ch);

	if (!m->rq)
		return;
	if (m->failure) {
		loop_work_cancel(&m->failed);
	} else {
		pf_channel_cancel(m->pf, &m->cmd);
		if (m->cmd.opcode == VIRTIO_ADMIN_RESOURCE_OBJ_CREATE)
			destroy_object(m, m->create.kind);
	}
	m->failure = 0;
	free(m->set);
	m->set = NULL;
	m->rq = NULL;
}

static void mig_pf_close(struct mig_channel *ch)
{
	struct mig_pf *m = mig_of(ch);

	mig_pf_cancel(ch);
	for (uint8_t kind = 0; kind < KINDS; kind++)
		destroy_object(m, kind);
	free(m);
}

static const struct mig_channel_ops mig_pf_ops = {
	.stop = mig_pf_stop,
	.resume = mig_pf_resume,
	.size = mig_pf_size,
	.get = mig_pf_get,
	.set = mig_pf_set,
	.cancel = mig_pf_cancel,
	.close = mig_pf_close,
};

int mig_pf_open(struct loop *loop, struct pf_channel *pf, uint64_t member_id,
		struct mig_channel **ch)
{
	struct mig_pf *m;

	if ((pf->opcodes & NEEDED) != NEEDED || !pf->objects.limit)
		return -EOPNOTSUPP;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->channel.ops = &mig_pf_ops;
	m->pf = pf;
	m->loop = loop;
	m->member_id = member_id;
	for (uint8_t kind = 0; kind < KINDS; kind++)
		m->object[kind] = -1;
	*ch = &m->channel;
	return 0;
}
