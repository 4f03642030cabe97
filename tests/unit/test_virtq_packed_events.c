/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio/queue.h: packed rings, who notifies whom and when (virtio 1.3, 2.8.10 and 2.8.14). */
#include "test_packed_fixture.h"

/* One buffer of so many descriptors from available to used; whether an interrupt is due then. */
static void use(struct packed_fixture *p, uint16_t ndescs)
{
	struct packed_desc used;
	struct buf bufs[16];

	for (int i = 0; i < ndescs; i++)
		bufs[i] = OUT(1);
	packed_add(&p->ring, 0, bufs, ndescs);
	assert_int_equal(pop(p->f), 1);
	release(p->f);
	push(p->f, 0, 0);
	assert_true(packed_used(&p->ring, &used));
}

static bool interrupt(struct packed_fixture *p)
{
	return virtq_interrupt_due(&p->f->vq, p->f->space);
}

/* --- used buffer notifications: what the driver asks for --- */

/* rules: packed-6 */
static void test_2_8_10_enable_and_disable(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	assert_false(interrupt(p));
	use(p, 1);
	assert_true(interrupt(p));
	assert_false(interrupt(p)); /* once */
	for (int i = 0; i < 12; i++) {
		packed_set_event(&p->ring, PACKED_EVENT_DISABLE, 0, false);
		use(p, 1);
		assert_false(interrupt(p));
		packed_set_event(&p->ring, PACKED_EVENT_ENABLE, 0, false);
		use(p, 2);
		assert_true(interrupt(p));
	}
}

/* DESC is only valid with the event index feature; without it, too many are better than none. */
static void test_2_8_10_desc_needs_its_feature(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	packed_set_event(&p->ring, PACKED_EVENT_DESC, 4, true);
	use(p, 1);
	assert_true(interrupt(p));
	use(p, 1);
	assert_true(interrupt(p));
}

/* The other flags mean the same with it. */
static void test_2_8_10_enable_and_disable_with_event_index(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	p->f->vq.event_idx = true;
	for (int i = 0; i < 12; i++) {
		packed_set_event(&p->ring, PACKED_EVENT_DISABLE, p->ring.used_next,
				 p->ring.used_wrap);
		use(p, 1);
		assert_false(interrupt(p));
		packed_set_event(&p->ring, PACKED_EVENT_ENABLE, 4, false);
		use(p, 1);
		assert_true(interrupt(p));
	}
}

/* 2.8.14: the other bits of the flags are reserved. */
static void test_2_8_14_reserved_bits_of_the_flags(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	packed_set_event(&p->ring, PACKED_EVENT_DISABLE | 0xfffc, 0, false);
	use(p, 1);
	assert_false(interrupt(p));
	packed_set_event(&p->ring, PACKED_EVENT_ENABLE | 0xfffc, 0, false);
	use(p, 1);
	assert_true(interrupt(p));
}

/* As Linux waits for the next one: at where it looks next, in the turn that it is in. */
/* rules: packed-6 */
static void test_2_8_10_the_next_descriptor(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 7);
	p->f->vq.event_idx = true;
	for (int i = 0; i < 50; i++) {
		packed_set_event(&p->ring, PACKED_EVENT_DESC, p->ring.used_next, p->ring.used_wrap);
		use(p, (uint16_t)(1 + i % 7));
		assert_true(interrupt(p));
		/* and not again before it is asked for */
		use(p, (uint16_t)(1 + i % 3));
		assert_false(interrupt(p));
	}
}

/*
 * Against positions that never wrap: whatever is used at once, up to the whole ring, and wherever
 * the driver waits, up to a ring ahead of what it has seen, there is an interrupt when the place
 * that it waits for was used since the last time, and not otherwise.
 */
static void test_2_8_10_every_batch_and_every_event(void **state)
{
	struct packed_fixture *p = *state;

	for (uint16_t size = 1; size <= 9; size++) {
		uint64_t at = 0; /* places used in all */

		packed_start(p, size);
		p->f->vq.event_idx = true;
		use(p, 1);
		interrupt(p); /* the first: nothing is known before it */
		at++;
		for (uint16_t start = 0; start < 2 * size; start++) {
			for (uint16_t ahead = 0; ahead < size; ahead++) {
				for (uint16_t batch = 1; batch <= size; batch++) {
					uint64_t event = at + ahead;

					packed_set_event(&p->ring, PACKED_EVENT_DESC,
							 (uint16_t)(event % size),
							 event / size % 2 == 0);
					use(p, batch);
					at += batch;
					if (interrupt(p) != (event < at))
						fail_msg("size %u, %u used, event %u ahead", size,
							 batch, ahead);
				}
			}
			use(p, 1);
			interrupt(p);
			at++;
		}
	}
}

/* The same, when the driver takes and adds while the device is at work: several rings at once. */
static void test_2_8_10_more_than_a_ring_between_two_looks(void **state)
{
	struct packed_fixture *p = *state;

	for (uint16_t size = 1; size <= 6; size++) {
		uint64_t at = 1;

		packed_start(p, size);
		p->f->vq.event_idx = true;
		use(p, 1);
		interrupt(p);
		for (uint16_t n = 1; n < 4 * size; n++) {
			for (uint16_t back = 1; back <= size && back <= n; back++) {
				uint64_t event;

				for (uint16_t i = 0; i < n; i++)
					use(p, 1);
				at += n;
				event = at - back;
				packed_set_event(&p->ring, PACKED_EVENT_DESC,
						 (uint16_t)(event % size), event / size % 2 == 0);
				assert_true(interrupt(p));
			}
		}
	}
}

/* After a reset nothing is known of what the driver was told. */
static void test_the_first_after_a_reset_interrupts(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	p->f->vq.event_idx = true;
	packed_set_event(&p->ring, PACKED_EVENT_DESC, 4, true);
	use(p, 1);
	assert_true(interrupt(p));
	use(p, 1);
	assert_false(interrupt(p));
	packed_start(p, 5);
	p->f->vq.event_idx = true;
	packed_set_event(&p->ring, PACKED_EVENT_DESC, 4, true);
	use(p, 1);
	assert_true(interrupt(p));
}

static void test_an_event_area_that_is_not_mapped(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	p->f->state.driver = RAM_AT + RAM_SIZE;
	use(p, 1);
	assert_false(interrupt(p));
}

/* --- available buffer notifications: what the device asks for --- */

/* Without event index it is notified always. */
/* rules: packed-6 */
static void test_2_8_10_the_device_enables_events(void **state)
{
	struct packed_fixture *p = *state;
	uint16_t place;
	bool wrap;

	packed_start(p, 3);
	for (int i = 0; i < 9; i++) {
		assert_false(virtq_enable_notify(&p->f->vq, p->f->space));
		assert_int_equal(packed_event(&p->ring, &place, &wrap), PACKED_EVENT_ENABLE);
		use(p, 1);
	}
	packed_add(&p->ring, 0, &OUT(1), 1);
	assert_true(virtq_enable_notify(&p->f->vq, p->f->space));
}

/* Linux, vring_packed: whether to notify after adding places up to `next`. */
static bool linux_kicks(const struct packed_ring *r, uint16_t added)
{
	uint16_t event, place, new = r->next, old = (uint16_t)(new - added);
	bool wrap;

	if (packed_event(r, &place, &wrap) != PACKED_EVENT_DESC)
		return packed_event(r, &place, &wrap) != PACKED_EVENT_DISABLE;
	event = place;
	if (wrap != r->wrap)
		event = (uint16_t)(event - r->size);
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static void test_2_8_14_a_driver_notifies_of_what_the_device_waits_for(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc used;
	struct buf bufs[8];
	uint16_t place;
	bool wrap;

	for (int i = 0; i < 8; i++)
		bufs[i] = OUT(1);
	for (uint16_t size = 1; size <= 8; size++) {
		packed_start(p, size);
		p->f->vq.event_idx = true;
		for (int turn = 0; turn < 40; turn++) {
			uint16_t n = (uint16_t)(1 + turn % size);

			/* the device saw everything: the next one is to be told of */
			assert_false(virtq_enable_notify(&p->f->vq, p->f->space));
			assert_int_equal(packed_event(&p->ring, &place, &wrap), PACKED_EVENT_DESC);
			assert_int_equal(place, p->ring.next);
			assert_int_equal(wrap, p->ring.wrap);
			packed_add(&p->ring, 0, bufs, n);
			assert_true(linux_kicks(&p->ring, n));
			assert_int_equal(pop(p->f), 1);
			release(p->f);
			push(p->f, 0, 0);
			assert_true(packed_used(&p->ring, &used));
			/* it went on without asking again: no need to tell it */
			if (size < 2)
				continue;
			packed_add(&p->ring, 0, bufs, 1);
			assert_false(linux_kicks(&p->ring, 1));
			/* asked too late: it finds out itself */
			assert_true(virtq_enable_notify(&p->f->vq, p->f->space));
			assert_int_equal(pop(p->f), 1);
			release(p->f);
			push(p->f, 0, 0);
			assert_true(packed_used(&p->ring, &used));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(test_2_8_10_enable_and_disable),
		PACKED_TEST(test_2_8_10_desc_needs_its_feature),
		PACKED_TEST(test_2_8_10_enable_and_disable_with_event_index),
		PACKED_TEST(test_2_8_14_reserved_bits_of_the_flags),
		PACKED_TEST(test_2_8_10_the_next_descriptor),
		PACKED_TEST(test_2_8_10_every_batch_and_every_event),
		PACKED_TEST(test_2_8_10_more_than_a_ring_between_two_looks),
		PACKED_TEST(test_the_first_after_a_reset_interrupts),
		PACKED_TEST(test_an_event_area_that_is_not_mapped),
		PACKED_TEST(test_2_8_10_the_device_enables_events),
		PACKED_TEST(test_2_8_14_a_driver_notifies_of_what_the_device_waits_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
