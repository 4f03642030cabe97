/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio/queue.h: long random lives of virtqueues, split and packed, in order and not, against a
 * model that knows only what was made available and what was returned.
 */
#include "random.h"
#include "test_packed_fixture.h"

#define SIZE_MAX_HERE 32
#define STEPS         20000

struct buffer {
	uint16_t id;
	uint16_t ndescs;
	uint32_t tag; /* the length of its one writable element, to know it by */
};

struct model {
	struct packed_fixture *p;
	bool packed;
	bool in_order;
	uint16_t size;
	uint16_t free; /* descriptors */
	bool busy[SIZE_MAX_HERE];
	/* made available, in order; [0, taken) are the device's, those done are waited for */
	struct buffer queue[SIZE_MAX_HERE];
	bool done[SIZE_MAX_HERE];
	unsigned int count;
	unsigned int taken;
	/* what the driver must see next, in order */
	struct buffer due[SIZE_MAX_HERE];
	uint32_t due_len[SIZE_MAX_HERE];
	unsigned int ndue;
	uint32_t tags;
	uint64_t seed;
};

static uint32_t rnd(struct model *m, uint32_t below)
{
	return (uint32_t)random_below(&m->seed, below);
}

static void start(struct model *m)
{
	m->p->f->vq.in_order = m->in_order;
	if (m->packed) {
		packed_start(m->p, m->size);
		return;
	}
	virtq_reset(&m->p->f->vq);
	m->p->f->vq.packed = false;
	ring_init(&m->p->f->ring, &m->p->f->ram, m->size);
	enable(m->p->f);
}

/* A list of readable elements and one that is writable. */
static void add(struct model *m)
{
	uint16_t n = (uint16_t)(1 + rnd(m, 4)), id = 0, at[4];
	struct buf bufs[4];

	if (n > m->free)
		return;
	if (m->packed) {
		while (m->busy[id])
			id++;
		m->busy[id] = true;
	} else {
		for (uint16_t i = 0; i < n; i++) {
			at[i] = i ? (uint16_t)(at[i - 1] + 1) : 0;
			while (m->busy[at[i]])
				at[i]++;
			m->busy[at[i]] = true;
		}
		id = at[0];
	}
	m->tags++;
	for (uint16_t i = 0; i < n; i++)
		bufs[i] = i + 1 < n ? OUT(1) : IN(m->tags);
	if (m->packed) {
		packed_add(&m->p->ring, id, bufs, n);
	} else {
		for (uint16_t i = 0; i < n; i++)
			ring_desc(&m->p->f->ring, at[i],
				  (struct desc){ bufs[i].addr, bufs[i].len,
						 i + 1 < n ? DESC_NEXT : DESC_WRITE,
						 i + 1 < n ? at[i + 1] : 0 });
		ring_avail(&m->p->f->ring, id);
	}
	m->free = (uint16_t)(m->free - n);
	m->done[m->count] = false;
	m->queue[m->count++] = (struct buffer){ id, n, m->tags };
}

/* Takes the next one; now and then gives it back. */
static void take(struct model *m)
{
	struct fixture *f = m->p->f;
	int got = pop(f);

	if (m->taken == m->count) {
		assert_int_equal(got, 0);
		return;
	}
	assert_int_equal(got, 1);
	assert_int_equal(f->chain.head, m->queue[m->taken].id);
	assert_int_equal(f->chain.in_len, m->queue[m->taken].tag);
	assert_int_equal(f->chain.out_len, m->queue[m->taken].ndescs - 1);
	release(f);
	if (!rnd(m, 4))
		virtq_unpop(&f->vq, &f->chain);
	else
		m->taken++;
}

static void returned(struct model *m, unsigned int i, uint32_t len)
{
	m->due[m->ndue] = m->queue[i];
	m->due_len[m->ndue++] = len;
}

static void drop(struct model *m, unsigned int i)
{
	m->count--;
	m->taken--;
	memmove(&m->queue[i], &m->queue[i + 1], sizeof(m->queue[0]) * (m->count - i));
	memmove(&m->done[i], &m->done[i + 1], sizeof(m->done[0]) * (m->count - i));
}

/* Ends any of those that are taken. */
static void finish(struct model *m)
{
	struct fixture *f = m->p->f;
	unsigned int i, tries = 0;

	if (!m->taken)
		return;
	do
		i = rnd(m, m->taken);
	while (m->done[i] && ++tries < 100);
	if (m->done[i])
		return;
	assert_int_equal(virtq_add_used(&f->vq, f->space, m->queue[i].id, m->queue[i].tag), 0);
	if (!m->in_order) {
		returned(m, i, m->queue[i].tag);
		drop(m, i);
		return;
	}
	m->done[i] = true;
	while (m->taken && m->done[0]) {
		returned(m, 0, m->queue[0].tag);
		drop(m, 0);
	}
}

static bool driver_sees(struct model *m, uint32_t *id, uint32_t *len)
{
	struct packed_desc d;

	if (!m->packed)
		return ring_used(&m->p->f->ring, id, len);
	if (!packed_used(&m->p->ring, &d))
		return false;
	*id = d.id;
	*len = d.len;
	return true;
}

/* The driver looks: everything that was returned is there, in order, and no more. */
static void look(struct model *m)
{
	struct fixture *f = m->p->f;
	unsigned int under_way = 0;
	uint32_t id, len;

	assert_int_equal(virtq_publish_used(&f->vq, f->space), 0);
	assert_int_equal(virtq_interrupt_due(&f->vq, f->space), m->ndue > 0);
	for (unsigned int i = 0; i < m->ndue; i++) {
		struct buffer *b = &m->due[i];

		assert_true(driver_sees(m, &id, &len));
		assert_int_equal(id, b->id);
		assert_int_equal(len, m->due_len[i]);
		m->free = (uint16_t)(m->free + b->ndescs);
		if (m->packed) {
			m->busy[id] = false;
			continue;
		}
		for (uint16_t at = b->id, n = b->ndescs; n; n--) {
			struct desc d;

			memcpy(&d, ram_at(&f->ram, f->ring.desc + sizeof(d) * (uint64_t)at),
			       sizeof(d));
			m->busy[at] = false;
			at = d.next;
		}
	}
	m->ndue = 0;
	assert_false(driver_sees(m, &id, &len));
	for (unsigned int i = 0; i < m->taken; i++)
		under_way += !m->done[i];
	assert_int_equal(f->vq.in_flight, under_way);
}

static void live(struct packed_fixture *p, bool packed, bool in_order, uint16_t size)
{
	struct model m = {
		.p = p,
		.packed = packed,
		.in_order = in_order,
		.size = size,
		.free = size,
		.seed = size * 4u + packed * 2u + in_order,
	};

	start(&m);
	for (int step = 0; step < STEPS; step++) {
		switch (rnd(&m, 8)) {
		case 0 ... 2:
			add(&m);
			break;
		case 3 ... 4:
			take(&m);
			break;
		case 5 ... 6:
			finish(&m);
			break;
		default:
			look(&m);
		}
	}
}

static void test_split(void **state)
{
	for (uint16_t size = 1; size <= SIZE_MAX_HERE; size *= 2)
		live(*state, false, false, size);
}

static void test_split_in_order(void **state)
{
	for (uint16_t size = 1; size <= SIZE_MAX_HERE; size *= 2)
		live(*state, false, true, size);
}

static void test_packed(void **state)
{
	for (uint16_t size = 1; size <= SIZE_MAX_HERE; size = (uint16_t)(size * 3 / 2 + 1))
		live(*state, true, false, size);
}

static void test_packed_in_order(void **state)
{
	for (uint16_t size = 1; size <= SIZE_MAX_HERE; size = (uint16_t)(size * 3 / 2 + 1))
		live(*state, true, true, size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(test_split),
		PACKED_TEST(test_split_in_order),
		PACKED_TEST(test_packed),
		PACKED_TEST(test_packed_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
