/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One admin virtqueue of the owner's. The PF is the test: it sees the ring's memory and answers, or
 * not, by hand.
 */
#ifndef RIDGE_TEST_ADMINQ_FIXTURE_H
#define RIDGE_TEST_ADMINQ_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "owner/internal.h"

#define SIZE  8 /* descriptors: 4 slots */
#define SLOTS (SIZE / 2)
#define IOVA  0x10000000u
#define LONG  10000 /* ms: a deadline that does not come */

struct command {
	struct pf_cmd cmd; /* first: done() finds us by it */
	struct fixture *f;
	int done;
	uint8_t result[16];
	struct command *next; /* submitted by done() */
};

struct fixture {
	struct loop *loop;
	struct pci_access pa;
	struct adminq q;
	int kicks;
	int done; /* of all commands */
	uint16_t avail_seen;
	uint16_t used_idx;
};

static inline void fx_bar_write(struct pci_access *pa, uint8_t bar, uint64_t offset,
				const void *data, uint8_t len)
{
	struct fixture *f = container_of(pa, struct fixture, pa);

	assert_int_equal(bar, 2);
	assert_int_equal(offset, 0x3004);
	assert_int_equal(len, 2);
	assert_int_equal(*(const uint16_t *)data, 7);
	f->kicks++;
}

static inline int setup(void **state)
{
	static const struct pci_access_ops ops = { .bar_write = fx_bar_write };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_new(&f->loop), 0);
	f->pa.ops = &ops;
	assert_int_equal(adminq_init(&f->q, f->loop), 0);
	f->q.name = "pf";
	f->q.pa = &f->pa;
	f->q.index = 7;
	f->q.size = SIZE;
	f->q.notify = (struct virtio_region){ .bar = 2, .offset = 0x3000, .len = 0x1000 };
	f->q.notify_offset = 4;
	f->q.iova = IOVA;
	f->q.mem = aligned_alloc(4096, sizeof(*f->q.mem));
	assert_non_null(f->q.mem);
	memset(f->q.mem, 0, sizeof(*f->q.mem));
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	adminq_destroy(&f->q);
	free(f->q.mem);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* Runs the loop for so long. */
static inline void pass(struct fixture *f, unsigned int ms)
{
	uint64_t until = loop_now_ns() + ms * 1000000ull;

	do
		assert_int_equal(loop_step(f->loop, 1), 0);
	while (loop_now_ns() < until);
}

static inline void on_done(struct pf_cmd *cmd)
{
	struct command *c = container_of(cmd, struct command, cmd);

	c->done++;
	c->f->done++;
	if (c->next)
		adminq_submit(&c->f->q, &c->next->cmd, LONG);
}

static inline void prepare(struct fixture *f, struct command *c, uint64_t member)
{
	*c = (struct command){
		.f = f,
		.cmd = {
			.opcode = 0x1234,
			.group = 1,
			.member_id = member,
			.data = "data",
			.data_len = 4,
			.result_room = sizeof(c->result),
			.done = on_done,
		},
	};
	c->cmd.result = c->result;
}

static inline void submit(struct fixture *f, struct command *c, uint64_t member,
			  uint32_t deadline_ms)
{
	prepare(f, c, member);
	adminq_submit(&f->q, &c->cmd, deadline_ms);
}

/* --- the PF's side --- */

/* The head of the next chain that was made available, or -1. */
static inline int take(struct fixture *f)
{
	struct adminq_memory *m = f->q.mem;

	if (m->avail.idx == f->avail_seen)
		return -1;
	return m->avail.ring[f->avail_seen++ % SIZE];
}

/* What a chain's descriptor says, as memory. */
static inline void *desc_memory(struct fixture *f, unsigned int i)
{
	return (uint8_t *)f->q.mem + (f->q.mem->desc[i].addr - IOVA);
}

static inline uint64_t member_of(struct fixture *f, int head)
{
	struct virtio_admin_request *r = desc_memory(f, (unsigned int)head);

	return r->member_id;
}

static inline void use(struct fixture *f, uint32_t id, uint32_t len)
{
	struct adminq_memory *m = f->q.mem;
	uint64_t one = 1;

	m->used.ring[f->used_idx % SIZE].id = id;
	m->used.ring[f->used_idx % SIZE].len = len;
	f->used_idx++;
	__atomic_store_n(&m->used.idx, f->used_idx, __ATOMIC_RELEASE);
	assert_int_equal(write(f->q.eventfd, &one, sizeof(one)), sizeof(one));
}

static inline void answer(struct fixture *f, int head, uint16_t status, uint16_t qualifier)
{
	struct virtio_admin_reply *reply = desc_memory(f, f->q.mem->desc[head].next);

	assert_true(head >= 0);
	reply->status = status;
	reply->qualifier = qualifier;
	memcpy(reply + 1, "result", 6);
	use(f, (uint32_t)head, sizeof(*reply) + 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
