/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_OWNER_INTERNAL_H
#define RIDGE_OWNER_INTERNAL_H

#include <assert.h>
#include <linux/virtio_ring.h>

#include "owner/owner.h"
#include "virtio/layout.h"

#define ADMINQ_SIZE_MAX 256
/* Two descriptors a command: what the PF reads, and what it writes. */
#define ADMINQ_SLOTS_MAX (ADMINQ_SIZE_MAX / 2)
#define ADMINQ_RETRY_MS  5 /* after EAGAIN */

/*
 * What a command has room for in its slot; one with more data or a larger result has one of a few
 * large buffers besides.
 */
#define ADMINQ_SLOT_DATA   232
#define ADMINQ_SLOT_RESULT 248
#define ADMINQ_LARGE       2

/* The memory of one queue, as the PF sees it too. */
struct adminq_memory {
	struct vring_desc desc[ADMINQ_SIZE_MAX];
	struct {
		uint16_t flags;
		uint16_t idx;
		uint16_t ring[ADMINQ_SIZE_MAX];
		uint16_t used_event;
	} avail;
	uint8_t pad[4096 - 518];
	struct {
		uint16_t flags;
		uint16_t idx;
		struct {
			uint32_t id;
			uint32_t len;
		} ring[ADMINQ_SIZE_MAX];
		uint16_t avail_event;
		uint16_t pad;
	} used;
	uint8_t pad2[4096 - 2056];
	struct {
		struct virtio_admin_request request;
		uint8_t data[ADMINQ_SLOT_DATA];
		struct virtio_admin_reply reply;
		uint8_t result[ADMINQ_SLOT_RESULT];
	} slot[ADMINQ_SLOTS_MAX];
	/* Never touched before a command needs it. */
	struct {
		struct virtio_admin_request request;
		uint8_t data[PF_CMD_DATA_MAX];
		struct virtio_admin_reply reply;
		uint8_t result[PF_CMD_RESULT_MAX];
	} large[ADMINQ_LARGE];
};

static_assert(sizeof(struct adminq_memory) % 4096 == 0, "admin queue memory");

struct adminq {
	struct loop *loop;
	const char *name; /* of the PF */
	struct pci_access *pa;
	struct virtio_region notify;
	uint32_t notify_offset;
	uint16_t index; /* of the virtqueue */
	uint16_t size;
	uint64_t iova;
	struct adminq_memory *mem;
	uint16_t used_seen;
	bool down;
	struct pf_cmd *slots[ADMINQ_SLOTS_MAX]; /* NULL in a busy slot: given up on */
	uint64_t busy[ADMINQ_SLOTS_MAX / 64];
	int large_slot[ADMINQ_LARGE]; /* the slot that has it; -1: free */
	struct list waiting;          /* struct pf_cmd without a slot */
	struct list waiting_large;    /* ... and without a large buffer */
	struct list resting; /* struct pf_cmd that only its timer wakes: EAGAIN, or refused */
	struct loop_fd interrupt;
	int eventfd;
};

/* agree.c: what a PF and its owner say to each other before anything else. */
struct agreement {
	struct pf_channel *channel;
	struct pf_cmd cmd;
	uint64_t list;   /* of opcodes, little-endian */
	uint8_t cap[10]; /* DRIVER_CAP_SET's data, and DEVICE_CAP_GET's */
	void (*done)(struct agreement *agreement, int result);
};

/*
 * Agrees on the commands for the SR-IOV group and, if the PF has them, on device parts objects, and
 * writes both into the channel. done() has 0, or why not even the commands could be agreed on.
 */
void agreement_start(struct agreement *a, struct pf_channel *channel,
		     void (*done)(struct agreement *a, int result));

/* Makes the memory's content and the eventfd; mem is zeroed. Returns 0 or a negative errno. */
int adminq_init(struct adminq *q, struct loop *loop);
void adminq_destroy(struct adminq *q);
void adminq_submit(struct adminq *q, struct pf_cmd *cmd, uint32_t deadline_ms);
void adminq_cancel(struct adminq *q, struct pf_cmd *cmd);
/* Ends every command with -EIO, now and from now on. */
void adminq_down(struct adminq *q);

#endif
