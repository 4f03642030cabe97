/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's end of one admin virtqueue. */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "owner/internal.h"

static void on_interrupt(struct loop_fd *lfd, uint32_t events);

int adminq_init(struct adminq *q, struct loop *loop)
{
	int err;

	q->loop = loop;
	list_init(&q->waiting);
	list_init(&q->waiting_large);
	for (int i = 0; i < ADMINQ_LARGE; i++)
		q->large_slot[i] = -1;
	list_init(&q->resting);
	q->interrupt.fd = -1;
	q->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->eventfd < 0)
		return -errno;
	err = loop_fd_add(loop, &q->interrupt, q->eventfd, EPOLLIN, on_interrupt);
	if (err)
		fd_close(&q->eventfd);
	return err;
}

static void end(struct pf_cmd *cmd, int error)
{
	loop_timer_cancel(&cmd->timer);
	list_del(&cmd->node);
	cmd->error = error;
	cmd->done(cmd);
}

void adminq_destroy(struct adminq *q)
{
	adminq_down(q);
	/* Also what was submitted since, and by those that just ended. */
	while (!list_empty(&q->resting))
		end(list_first(&q->resting, struct pf_cmd, node), -EIO);
	loop_fd_del(q->loop, &q->interrupt);
	fd_close(&q->eventfd);
}

static int slot_take(struct adminq *q)
{
	for (uint16_t i = 0; i < q->size / 2; i++) {
		if (q->busy[i / 64] >> (i % 64) & 1)
			continue;
		q->busy[i / 64] |= 1ull << (i % 64);
		return i;
	}
	return -1;
}

static bool is_large(const struct pf_cmd *cmd)
{
	return cmd->data_len > ADMINQ_SLOT_DATA || cmd->result_room > ADMINQ_SLOT_RESULT;
}

/* The large buffer of a slot, or (slot -1) one that is free; -1 if there is none. */
static int find_large(const struct adminq *q, int slot)
{
	for (int i = 0; i < ADMINQ_LARGE; i++)
		if (q->large_slot[i] == slot)
			return i;
	return -1;
}

/* Where the two parts of a slot's command are; data and result follow them. */
static void parts_of(struct adminq *q, int slot, struct virtio_admin_request **request,
		     struct virtio_admin_reply **reply)
{
	int large = find_large(q, slot);

	*request = large < 0 ? &q->mem->slot[slot].request : &q->mem->large[large].request;
	*reply = large < 0 ? &q->mem->slot[slot].reply : &q->mem->large[large].reply;
}

static uint64_t address_of(const struct adminq *q, const void *p)
{
	return q->iova + (uint64_t)((const uint8_t *)p - (const uint8_t *)q->mem);
}

static void fill_slot(struct adminq *q, int slot, const struct pf_cmd *cmd)
{
	struct vring_desc *desc = &q->mem->desc[2 * slot];
	struct virtio_admin_request *request;
	struct virtio_admin_reply *reply;

	parts_of(q, slot, &request, &reply);
	*request = (struct virtio_admin_request){
		.opcode = htole16(cmd->opcode),
		.group_type = htole16(cmd->group),
		.member_id = htole64(cmd->member_id),
	};
	if (cmd->data_len)
		memcpy(request + 1, cmd->data, cmd->data_len);
	/* What the PF does not write is zero. */
	memset(reply, 0, sizeof(*reply) + cmd->result_room);
	desc[0] = (struct vring_desc){
		.addr = htole64(address_of(q, request)),
		.len = htole32((uint32_t)(sizeof(struct virtio_admin_request) + cmd->data_len)),
		.flags = htole16(VRING_DESC_F_NEXT),
		.next = htole16((uint16_t)(2 * slot + 1)),
	};
	desc[1] = (struct vring_desc){
		.addr = htole64(address_of(q, reply)),
		.len = htole32((uint32_t)(sizeof(struct virtio_admin_reply) + cmd->result_room)),
		.flags = htole16(VRING_DESC_F_WRITE),
	};
}

/* Puts a command on the ring, if there is a slot for it, and a large buffer if it needs one. */
static bool post(struct adminq *q, struct pf_cmd *cmd)
{
	int large = is_large(cmd) ? find_large(q, -1) : -1, slot;
	uint16_t idx, value = htole16(q->index);

	if (is_large(cmd) && large < 0)
		return false;
	slot = slot_take(q);
	if (slot < 0)
		return false;
	if (large >= 0)
		q->large_slot[large] = slot;
	cmd->slot = slot;
	q->slots[slot] = cmd;
	fill_slot(q, slot, cmd);
	idx = le16toh(q->mem->avail.idx);
	q->mem->avail.ring[idx % q->size] = htole16((uint16_t)(2 * slot));
	__atomic_store_n(&q->mem->avail.idx, htole16((uint16_t)(idx + 1)), __ATOMIC_RELEASE);
	q->pa->ops->bar_write(q->pa, q->notify.bar, (uint64_t)q->notify.offset + q->notify_offset,
			      &value, sizeof(value));
	return true;
}

static struct list *waiting_list(struct adminq *q, const struct pf_cmd *cmd)
{
	return is_large(cmd) ? &q->waiting_large : &q->waiting;
}

static void post_list(struct adminq *q, struct list *waiting)
{
	struct pf_cmd *cmd, *tmp;

	list_for_each_safe (cmd, tmp, waiting, node) {
		if (!post(q, cmd))
			return;
		list_del(&cmd->node);
	}
}

static void post_waiting(struct adminq *q)
{
	post_list(q, &q->waiting);
	post_list(q, &q->waiting_large);
}

static void give_up_slot(struct adminq *q, struct pf_cmd *cmd)
{
	if (cmd->slot >= 0)
		q->slots[cmd->slot] = NULL;
	cmd->slot = -1;
}

/* A command is at its deadline, or wants to be tried again. */
static void on_timer(struct loop_timer *timer)
{
	struct pf_cmd *cmd = container_of(timer, struct pf_cmd, timer);
	struct adminq *q = cmd->adminq;

	if (!q->down && loop_now_ns() < cmd->deadline_ns) { /* answered EAGAIN before */
		list_del(&cmd->node);
		loop_timer_set(q->loop, &cmd->timer,
			       (cmd->deadline_ns - loop_now_ns()) / 1000000 + 1, on_timer);
		if (!post(q, cmd))
			list_add_tail(waiting_list(q, cmd), &cmd->node);
		return;
	}
	if (q->down || !cmd->deadline_ns) {
		end(cmd, q->down ? -EIO : -EMSGSIZE);
		return;
	}
	log_warn("%s: admin command %#x for member %llu got no answer in time", q->name,
		 cmd->opcode, (unsigned long long)cmd->member_id);
	give_up_slot(q, cmd);
	end(cmd, -ETIMEDOUT);
}

void adminq_submit(struct adminq *q, struct pf_cmd *cmd, uint32_t deadline_ms)
{
	cmd->adminq = q;
	cmd->slot = -1;
	cmd->error = 0;
	cmd->qualifier = 0;
	cmd->result_len = 0;
	list_init(&cmd->node);
	if (q->down || cmd->data_len > PF_CMD_DATA_MAX || cmd->result_room > PF_CMD_RESULT_MAX) {
		/* From the loop, as promised. */
		cmd->deadline_ns = 0;
		list_add_tail(&q->resting, &cmd->node);
		loop_timer_set(q->loop, &cmd->timer, 0, on_timer);
		return;
	}
	cmd->deadline_ns = loop_now_ns() + (uint64_t)deadline_ms * 1000000;
	loop_timer_set(q->loop, &cmd->timer, deadline_ms, on_timer);
	if (!list_empty(waiting_list(q, cmd)) || !post(q, cmd))
		list_add_tail(waiting_list(q, cmd), &cmd->node);
}

void adminq_cancel(struct adminq *q, struct pf_cmd *cmd)
{
	loop_timer_cancel(&cmd->timer);
	list_del(&cmd->node);
	give_up_slot(q, cmd);
}

static void complete(struct adminq *q, uint16_t slot, uint32_t len)
{
	struct pf_cmd *cmd = q->slots[slot];
	struct virtio_admin_request *request;
	struct virtio_admin_reply *reply;
	int large = find_large(q, slot);
	uint16_t status;

	parts_of(q, slot, &request, &reply);
	q->slots[slot] = NULL;
	q->busy[slot / 64] &= ~(1ull << (slot % 64));
	if (large >= 0)
		q->large_slot[large] = -1;
	if (!cmd)
		return; /* nobody waits for it any more */
	cmd->slot = -1;
	status = le16toh(reply->status);
	cmd->qualifier = le16toh(reply->qualifier);
	if (len < sizeof(struct virtio_admin_reply)) {
		end(cmd, -EIO);
		return;
	}
	if (status == VIRTIO_ADMIN_EAGAIN) {
		list_add_tail(&q->resting, &cmd->node);
		loop_timer_set(q->loop, &cmd->timer, ADMINQ_RETRY_MS, on_timer);
		return;
	}
	cmd->result_len = len - sizeof(struct virtio_admin_reply);
	if (cmd->result_len > cmd->result_room)
		cmd->result_len = cmd->result_room;
	if (cmd->result_len)
		memcpy(cmd->result, reply + 1, cmd->result_len);
	end(cmd, -(int)status);
}

static void on_interrupt(struct loop_fd *lfd, uint32_t events)
{
	struct adminq *q = container_of(lfd, struct adminq, interrupt);
	uint64_t count;

	(void)events;
	if (read(q->eventfd, &count, sizeof(count)) < 0)
		return;
	while (!q->down) {
		uint16_t idx = le16toh(__atomic_load_n(&q->mem->used.idx, __ATOMIC_ACQUIRE));
		uint32_t id, len;

		if (idx == q->used_seen)
			break;
		id = le32toh(q->mem->used.ring[q->used_seen % q->size].id);
		len = le32toh(q->mem->used.ring[q->used_seen % q->size].len);
		q->used_seen++;
		if (id % 2 || id >= q->size || !(q->busy[id / 2 / 64] >> (id / 2 % 64) & 1)) {
			log_err("%s: the PF used an admin buffer that it does not have", q->name);
			adminq_down(q);
			return;
		}
		complete(q, (uint16_t)(id / 2), len);
	}
	post_waiting(q);
}

void adminq_down(struct adminq *q)
{
	struct list resting;

	if (q->down)
		return;
	q->down = true;
	list_move(&q->resting, &resting);
	for (uint16_t i = 0; i < ADMINQ_SLOTS_MAX; i++) {
		struct pf_cmd *cmd = q->slots[i];

		q->slots[i] = NULL;
		if (cmd)
			end(cmd, -EIO);
	}
	while (!list_empty(&q->waiting))
		end(list_first(&q->waiting, struct pf_cmd, node), -EIO);
	while (!list_empty(&q->waiting_large))
		end(list_first(&q->waiting_large, struct pf_cmd, node), -EIO);
	while (!list_empty(&resting))
		end(list_first(&resting, struct pf_cmd, node), -EIO);
}
