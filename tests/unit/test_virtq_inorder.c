/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio/queue.h: VIRTIO_F_IN_ORDER (virtio 1.3, 2.7.9, 2.8.8 and 6) for both kinds of rings, and
 * VIRTIO_F_NOTIFY_ON_EMPTY of legacy devices (6.3).
 */
#include "test_packed_fixture.h"

#define SIZE 8

/* Either ring behind the few things that are done to it here. */
struct either {
	struct packed_fixture *p;
	bool packed;
};

static void start(struct either *e, struct packed_fixture *p, bool packed)
{
	*e = (struct either){ .p = p, .packed = packed };
	p->f->vq.in_order = true;
	if (packed) {
		packed_start(p, SIZE);
	} else {
		virtq_reset(&p->f->vq);
		p->f->vq.packed = false;
		ring_init(&p->f->ring, &p->f->ram, SIZE);
		enable(p->f);
	}
}

/* Makes a buffer available and takes it; returns its head or id. */
static uint16_t take(struct either *e, uint16_t id, uint32_t len)
{
	if (e->packed) {
		packed_add(&e->p->ring, id, &IN(len), 1);
	} else {
		ring_desc(&e->p->f->ring, id, (struct desc){ RAM_AT, len, DESC_WRITE, 0 });
		ring_avail(&e->p->f->ring, id);
	}
	assert_int_equal(pop(e->p->f), 1);
	assert_int_equal(e->p->f->chain.head, id);
	release(e->p->f);
	return id;
}

/* The next one that the driver sees as used, or -1. */
static int used(struct either *e, uint32_t *len)
{
	struct packed_desc d;
	uint32_t id;

	if (!e->packed)
		return ring_used(&e->p->f->ring, &id, len) ? (int)id : -1;
	if (!packed_used(&e->p->ring, &d))
		return -1;
	*len = d.len;
	return d.id;
}

static void either_way(void **state, void (*test)(struct either *e))
{
	struct either e;

	start(&e, *state, false);
	test(&e);
	start(&e, *state, true);
	test(&e);
}

static void out_of_order(struct either *e)
{
	static const uint16_t ids[4] = { 5, 0, 7, 2 };
	static const int order[4][4] = {
		{ 3, 2, 1, 0 }, { 1, 3, 0, 2 }, { 0, 1, 2, 3 }, { 2, 0, 3, 1 }
	};
	uint32_t len;

	for (int turn = 0; turn < 20; turn++) {
		bool done[4] = { false };
		int seen = 0;

		for (int i = 0; i < 4; i++)
			take(e, ids[i], 100);
		for (int i = 0; i < 4; i++) {
			int which = order[turn % 4][i];

			push(e->p->f, ids[which], (uint32_t)(1000 * turn + which));
			done[which] = true;
			/* those, and only those, before which nothing is missing */
			for (; seen < 4 && done[seen]; seen++) {
				assert_int_equal(used(e, &len), ids[seen]);
				assert_int_equal(len, 1000 * turn + seen);
			}
			assert_int_equal(used(e, &len), -1);
		}
	}
	assert_int_equal(e->p->f->vq.in_flight, 0);
}

/* rules: features-8 */
static void test_6_buffers_are_used_in_the_order_of_availability(void **state)
{
	either_way(state, out_of_order);
}

static void no_interrupt(struct either *e)
{
	struct fixture *f = e->p->f;

	take(e, 0, 1);
	take(e, 1, 1);
	push(f, 1, 1);
	assert_false(virtq_interrupt_due(&f->vq, f->space));
	push(f, 0, 1);
	assert_true(virtq_interrupt_due(&f->vq, f->space));
	assert_false(virtq_interrupt_due(&f->vq, f->space));
}

static void test_what_is_held_back_interrupts_nobody(void **state)
{
	either_way(state, no_interrupt);
}

static void for_long(struct either *e)
{
	uint32_t len;

	/* more than any table of what is under way can hold, at odd places of it */
	take(e, 0, 1);
	push(e->p->f, 0, 1);
	assert_int_equal(used(e, &len), 0);
	for (uint32_t i = 0; i < 3000; i++) {
		take(e, 0, 1);
		take(e, 1, 1);
		push(e->p->f, 1, i);
		assert_int_equal(used(e, &len), -1);
		push(e->p->f, 0, i + 1);
		assert_int_equal(used(e, &len), 0);
		assert_int_equal(len, i + 1);
		assert_int_equal(used(e, &len), 1);
		assert_int_equal(len, i);
	}
}

static void test_order_is_kept_for_long(void **state)
{
	either_way(state, for_long);
}

static void unpop(struct either *e)
{
	struct fixture *f = e->p->f;
	uint32_t len;

	for (int turn = 0; turn < 30; turn++) {
		take(e, 3, 1);
		take(e, 4, 1);
		virtq_unpop(&f->vq, &f->chain);
		push(f, 3, 11);
		assert_int_equal(used(e, &len), 3);
		assert_int_equal(used(e, &len), -1);
		assert_int_equal(pop(f), 1);
		assert_int_equal(f->chain.head, 4);
		release(f);
		push(f, 4, 12);
		assert_int_equal(used(e, &len), 4);
		assert_int_equal(len, 12);
	}
}

static void test_what_was_given_back_is_not_waited_for(void **state)
{
	either_way(state, unpop);
}

static void together(struct either *e)
{
	struct fixture *f = e->p->f;
	uint32_t len;

	for (int turn = 0; turn < 10; turn++) {
		for (uint16_t i = 0; i < 3; i++)
			take(e, i, 1);
		assert_int_equal(virtq_add_used(&f->vq, f->space, 1, 21), 0);
		assert_int_equal(virtq_publish_used(&f->vq, f->space), 0);
		assert_int_equal(used(e, &len), -1);
		assert_int_equal(virtq_add_used(&f->vq, f->space, 0, 20), 0);
		assert_int_equal(used(e, &len), -1);
		assert_int_equal(virtq_add_used(&f->vq, f->space, 2, 22), 0);
		assert_int_equal(used(e, &len), -1);
		assert_int_equal(virtq_publish_used(&f->vq, f->space), 0);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(used(e, &len), i);
			assert_int_equal(len, 20 + i);
		}
	}
}

static void test_several_buffers_are_seen_together(void **state)
{
	either_way(state, together);
}

static void after_reset(struct either *e)
{
	uint32_t len;

	take(e, 0, 1);
	take(e, 1, 1);
	push(e->p->f, 1, 1);
	start(e, e->p, e->packed);
	take(e, 1, 1);
	push(e->p->f, 1, 5);
	assert_int_equal(used(e, &len), 1);
	assert_int_equal(len, 5);
}

static void test_a_reset_forgets_the_order(void **state)
{
	either_way(state, after_reset);
}

/* --- 6.3: VIRTIO_F_NOTIFY_ON_EMPTY --- */

static void use_one(struct fixture *f)
{
	uint16_t head = ring_add(&f->ring, &IN(1), 1);

	assert_int_equal(pop(f), 1);
	release(f);
	push(f, head, 1);
}

/* rules: pci-legacy-6 */
static void test_6_3_an_empty_queue_interrupts_a_driver_that_wants_none(void **state)
{
	struct packed_fixture *p = *state;
	struct fixture *f = p->f;
	uint16_t head;

	ring_init(&f->ring, &f->ram, SIZE);
	enable(f);
	ring_no_interrupt(&f->ring, true);
	use_one(f);
	assert_false(virtq_interrupt_due(&f->vq, f->space)); /* not negotiated */
	f->vq.notify_on_empty = true;
	use_one(f);
	assert_true(virtq_interrupt_due(&f->vq, f->space));
	assert_false(virtq_interrupt_due(&f->vq, f->space));
	/* one is still available */
	head = ring_add(&f->ring, &IN(1), 1);
	assert_int_equal(pop(f), 1);
	release(f);
	ring_add(&f->ring, &IN(1), 1);
	push(f, head, 1);
	assert_false(virtq_interrupt_due(&f->vq, f->space));
	/* the last was taken, but is still under way */
	assert_int_equal(pop(f), 1);
	release(f);
	head = f->chain.head;
	ring_add(&f->ring, &IN(1), 1);
	assert_int_equal(pop(f), 1);
	release(f);
	push(f, head, 1);
	assert_false(virtq_interrupt_due(&f->vq, f->space));
	push(f, f->chain.head, 1);
	assert_true(virtq_interrupt_due(&f->vq, f->space));
}

static void test_6_3_also_with_the_event_index(void **state)
{
	struct packed_fixture *p = *state;
	struct fixture *f = p->f;

	ring_init(&f->ring, &f->ram, SIZE);
	enable(f);
	f->vq.event_idx = true;
	use_one(f);
	assert_true(virtq_interrupt_due(&f->vq, f->space));
	ring_set_used_event(&f->ring, 1000);
	use_one(f);
	assert_false(virtq_interrupt_due(&f->vq, f->space));
	f->vq.notify_on_empty = true;
	use_one(f);
	assert_true(virtq_interrupt_due(&f->vq, f->space));
	/* what the driver waits for is told as well */
	ring_set_used_event(&f->ring, 3);
	ring_add(&f->ring, &IN(1), 1);
	ring_add(&f->ring, &IN(1), 1);
	assert_int_equal(pop(f), 1);
	release(f);
	push(f, f->chain.head, 1);
	assert_true(virtq_interrupt_due(&f->vq, f->space));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(test_6_buffers_are_used_in_the_order_of_availability),
		PACKED_TEST(test_what_is_held_back_interrupts_nobody),
		PACKED_TEST(test_order_is_kept_for_long),
		PACKED_TEST(test_what_was_given_back_is_not_waited_for),
		PACKED_TEST(test_several_buffers_are_seen_together),
		PACKED_TEST(test_a_reset_forgets_the_order),
		PACKED_TEST(test_6_3_an_empty_queue_interrupts_a_driver_that_wants_none),
		PACKED_TEST(test_6_3_also_with_the_event_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
