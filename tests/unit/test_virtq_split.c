/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio/queue.h: split rings, their indexes and who is notified (virtio 1.3, 2.7). */
#include "test_virtq_fixture.h"

/* --- taking and returning --- */

static void test_2_7_6_chains_are_taken_in_the_order_of_the_available_ring(void **state)
{
	struct fixture *f = *state;
	uint16_t a = ring_chain(&f->ring, &(struct buf){ RAM_AT, 1, false }, 1);
	uint16_t b = ring_chain(&f->ring, &(struct buf){ RAM_AT, 2, false }, 1);

	assert_int_equal(pop(f), 0);
	ring_put(&f->ring, b);
	ring_put(&f->ring, a);
	assert_int_equal(pop(f), 0); /* entries that the index does not show yet */
	ring_publish(&f->ring);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, b);
	release(f);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, a);
	release(f);
	assert_int_equal(pop(f), 0);
}

/* 2.7.8: an entry is the head of the chain and the bytes written, then the index moves. */
static void test_2_7_8_used_entries_come_in_any_order(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	for (int i = 0; i < 3; i++) {
		ring_add(&f->ring, &(struct buf){ RAM_AT, 16, true }, 1);
		assert_int_equal(pop(f), 1);
		release(f);
	}
	assert_false(ring_used(&f->ring, &id, &len));
	push(f, 2, 7);
	push(f, 0, 0);
	assert_int_equal(ring_used_idx(&f->ring), 2);
	assert_true(ring_used(&f->ring, &id, &len));
	assert_int_equal(id, 2);
	assert_int_equal(len, 7);
	assert_true(ring_used(&f->ring, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 0);
	assert_false(ring_used(&f->ring, &id, &len));
	push(f, 1, 0xffffffff);
	assert_true(ring_used(&f->ring, &id, &len));
	assert_int_equal(len, 0xffffffff);
}

/* Several chains that the driver must see together. */
/* rules: split-11 */
static void test_used_entries_are_shown_when_they_are_published(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		ring_add(&f->ring, &(struct buf){ RAM_AT, 16, true }, 1);
		assert_int_equal(pop(f), 1);
		release(f);
		assert_int_equal(virtq_add_used(&f->vq, f->space, f->chain.head, 1), 0);
	}
	assert_int_equal(ring_used_idx(&f->ring), 0);
	assert_false(virtq_interrupt_due(&f->vq, f->space));
	assert_int_equal(virtq_publish_used(&f->vq, f->space), 0);
	assert_int_equal(ring_used_idx(&f->ring), 2);
	assert_true(virtq_interrupt_due(&f->vq, f->space));
}

/* 2.7.6, 2.7.8: both indexes count on through 65535, and the rings go round. */
static void test_2_7_indexes_wrap_at_65536(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	for (uint32_t i = 0; i < 65536 + 20; i++) {
		uint16_t head = ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);

		assert_int_equal(pop(f), 1);
		assert_int_equal(f->chain.head, head);
		release(f);
		push(f, head, i);
		assert_true(ring_used(&f->ring, &id, &len));
		assert_int_equal(id, head);
		assert_int_equal(len, i);
	}
	assert_int_equal(ring_used_idx(&f->ring), 20);
	assert_int_equal(f->vq.in_flight, 0);
}

static void test_a_full_ring_across_the_wrap(void **state)
{
	struct fixture *f = *state;

	f->state.avail_next = 65533;
	f->state.used_next = 65533;
	ring_set_avail_idx(&f->ring, 65533);
	for (int i = 0; i < 8; i++)
		ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	for (uint16_t i = 0; i < 8; i++) {
		assert_int_equal(pop(f), 1);
		assert_int_equal(f->chain.head, i);
		release(f);
	}
	assert_int_equal(pop(f), 0);
	for (uint16_t i = 0; i < 8; i++)
		push(f, i, 0);
	assert_int_equal(ring_used_idx(&f->ring), 5);
}

static void test_unpop_makes_a_chain_the_next_one_again(void **state)
{
	struct fixture *f = *state;

	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	ring_add(&f->ring, &(struct buf){ RAM_AT, 2, true }, 1);
	assert_int_equal(pop(f), 1);
	release(f);
	virtq_unpop(&f->vq, &f->chain);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, 0);
	release(f);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, 1);
	release(f);
}

static void test_reset_forgets_where_it_was(void **state)
{
	struct fixture *f = *state;

	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	assert_int_equal(pop(f), 1);
	release(f);
	push(f, f->chain.head, 0);
	virtq_reset(&f->vq);
	assert_int_equal(f->state.enabled, 0);
	assert_int_equal(f->state.size, 256);
	assert_int_equal(f->state.vector, VIRTQ_NO_VECTOR);
	assert_int_equal(f->state.avail_next, 0);
	assert_int_equal(f->state.used_next, 0);
	assert_false(virtq_interrupt_due(&f->vq, f->space));
}

/* 2.7: the parts have alignments of 16, 2 and 4. */
static void test_2_7_addresses_have_alignments(void **state)
{
	struct fixture *f = *state;

	virtq_reset(&f->vq);
	f->state.desc = 8;
	assert_int_equal(virtq_enable(&f->vq), -EINVAL);
	f->state.desc = 16;
	f->state.driver = 1;
	assert_int_equal(virtq_enable(&f->vq), -EINVAL);
	f->state.driver = 2;
	f->state.device = 2;
	assert_int_equal(virtq_enable(&f->vq), -EINVAL);
	assert_int_equal(f->state.enabled, 0);
	f->state.device = 4;
	assert_int_equal(virtq_enable(&f->vq), 0);
}

/* --- rings that are wrong --- */

/* rules: split-15 */
static void test_an_available_entry_outside_the_table_is_refused(void **state)
{
	struct fixture *f = *state;

	ring_avail(&f->ring, 8);
	assert_broken(f, -EPROTO, "outside the descriptor table");
}

/* rules: split-15 */
static void test_an_available_index_that_jumps_is_refused(void **state)
{
	struct fixture *f = *state;

	ring_set_avail_idx(&f->ring, 9);
	assert_broken(f, -EPROTO, "jumped");
}

/* 2.7.6.1: a driver never decrements it. */
static void test_2_7_6_1_an_available_index_that_goes_back_is_refused(void **state)
{
	struct fixture *f = *state;

	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	assert_int_equal(pop(f), 1);
	release(f);
	push(f, 0, 0);
	ring_set_avail_idx(&f->ring, 0);
	assert_broken(f, -EPROTO, "jumped");
}

static void test_a_head_that_the_device_has_already_is_refused(void **state)
{
	struct fixture *f = *state;

	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	assert_int_equal(pop(f), 1);
	release(f);
	ring_avail(&f->ring, 0);
	assert_int_equal(pop(f), -EPROTO);
	assert_non_null(strstr(f->why, "while the device has it"));
	/* returned, it can be used again */
	push(f, 0, 0);
	assert_int_equal(pop(f), 1);
	release(f);
}

static void test_rings_that_are_not_mapped_are_faults(void **state)
{
	struct fixture *f = *state;

	f->state.driver = RAM_AT + RAM_SIZE;
	assert_int_equal(pop(f), -EFAULT);
	assert_non_null(strstr(f->why, "not mapped for DMA"));
	f->state.driver = f->ring.avail;
	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	f->state.desc = RAM_AT + RAM_SIZE;
	assert_int_equal(pop(f), -EFAULT);
	f->state.desc = f->ring.desc;
	assert_int_equal(pop(f), 1);
	release(f);
	f->state.device = RAM_AT + RAM_SIZE;
	assert_int_equal(virtq_push(&f->vq, f->space, 0, 0), -EFAULT);
}

static void test_a_ring_whose_memory_goes_and_comes_back(void **state)
{
	struct fixture *f = *state;

	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	assert_int_equal(pop(f), 1);
	release(f);
	iommu_unmap_all(f->space);
	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	assert_int_equal(pop(f), -EFAULT);
	map_ram(f);
	assert_int_equal(pop(f), 1);
	release(f);
}

/* --- used buffer notifications (2.7.7) --- */

static bool used_one(struct fixture *f)
{
	uint16_t head = ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);

	assert_int_equal(pop(f), 1);
	release(f);
	push(f, head, 0);
	return virtq_interrupt_due(&f->vq, f->space);
}

/* 2.7.7.2: without event index, flags 0 asks for every notification and flags 1 for none. */
/* rules: split-6 split-7 split-8 */
static void test_2_7_7_2_flags_say_whether_to_interrupt(void **state)
{
	struct fixture *f = *state;

	assert_false(virtq_interrupt_due(&f->vq, f->space));
	assert_true(used_one(f));
	assert_false(virtq_interrupt_due(&f->vq, f->space)); /* once */
	ring_no_interrupt(&f->ring, true);
	assert_false(used_one(f));
	ring_no_interrupt(&f->ring, false);
	assert_true(used_one(f));
	/* used_event means nothing */
	ring_set_used_event(&f->ring, 1000);
	assert_true(used_one(f));
}

/* 2.7.7.2: with it, the entry of index used_event is the one to tell of, and flags mean nothing. */
/* rules: split-9 split-10 */
static void test_2_7_7_2_used_event_says_which_entry_interrupts(void **state)
{
	struct fixture *f = *state;

	f->vq.event_idx = true;
	assert_true(used_one(f)); /* 0: used_event is 0 */
	ring_set_used_event(&f->ring, 3);
	assert_false(used_one(f)); /* 1 */
	assert_false(used_one(f)); /* 2 */
	ring_no_interrupt(&f->ring, true);
	assert_true(used_one(f));  /* 3 */
	assert_false(used_one(f)); /* 4 */
	/* set again to the one just passed: too late */
	ring_set_used_event(&f->ring, 4);
	assert_false(used_one(f)); /* 5 */
	/* several at once: one of them is it */
	ring_set_used_event(&f->ring, 7);
	for (uint16_t i = 6; i < 9; i++) {
		uint16_t head = ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);

		assert_int_equal(pop(f), 1);
		release(f);
		push(f, head, 0);
	}
	assert_true(virtq_interrupt_due(&f->vq, f->space));
}

static void test_2_7_7_2_used_event_across_the_wrap(void **state)
{
	struct fixture *f = *state;

	f->vq.event_idx = true;
	f->state.avail_next = 65534;
	f->state.used_next = 65534;
	ring_set_avail_idx(&f->ring, 65534);
	ring_set_used_event(&f->ring, 0);
	assert_true(used_one(f));  /* 65534: nothing is known before the first */
	assert_false(used_one(f)); /* 65535 */
	assert_true(used_one(f));  /* 0 */
	ring_set_used_event(&f->ring, 1);
	assert_true(used_one(f));  /* 1 */
	assert_false(used_one(f)); /* 2 */
}

/* --- available buffer notifications (2.7.10) --- */

/* 2.7.10.2: without event index the device leaves flags at 0: notify always. */
/* rules: split-13 */
static void test_2_7_10_2_flags_ask_for_every_notification(void **state)
{
	struct fixture *f = *state;

	assert_false(virtq_enable_notify(&f->vq, f->space));
	assert_int_equal(ring_used_flags(&f->ring), 0);
	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	assert_true(virtq_enable_notify(&f->vq, f->space));
	assert_int_equal(ring_avail_event(&f->ring), 0);
}

/* 2.7.10.2: with it, avail_event is the next entry that the device does not know of. */
static void test_2_7_10_2_avail_event_is_the_next_entry(void **state)
{
	struct fixture *f = *state;

	f->vq.event_idx = true;
	for (uint16_t i = 1; i < 20; i++) {
		used_one(f);
		assert_false(virtq_enable_notify(&f->vq, f->space));
		assert_int_equal(ring_avail_event(&f->ring), i);
		assert_int_equal(ring_used_flags(&f->ring), 0);
	}
	/* what was added before the driver could see it is found now, or by nobody */
	ring_add(&f->ring, &(struct buf){ RAM_AT, 1, true }, 1);
	assert_true(virtq_enable_notify(&f->vq, f->space));
}

/* --- rings that no single pointer reaches --- */

/*
 * All three parts cross the border of two maps that are neighbours for the device and far from
 * each other in memory. The ring's window does not exist then, and everything is copied.
 */
static void test_rings_over_two_maps(void **state)
{
	struct fixture *f = fixture_new();
	struct ram shadow = { .fd = -1, .iova = RAM_AT, .size = RAM_SIZE };
	uint32_t id, len;

	*state = f;
	/* the driver sees the pages in the device's order */
	shadow.base = mmap(NULL, RAM_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shadow.base, MAP_FAILED);
	for (uint64_t page = 0; page < 8; page++) {
		uint64_t in_file = (7 - page) * 8192;

		assert_ptr_not_equal(mmap(shadow.base + page * 4096, 4096, RW,
					  MAP_SHARED | MAP_FIXED, f->ram.fd, (off_t)in_file),
				     MAP_FAILED);
		assert_int_equal(
			iommu_map(f->space, RAM_AT + page * 4096, 4096, f->ram.fd, in_file, RW), 0);
	}
	f->ring = (struct ring){
		.ram = &shadow,
		.size = 256,
		.desc = RAM_AT + 4096 - 128,
		.avail = RAM_AT + 3 * 4096 - 258,
		.used = RAM_AT + 5 * 4096 - 1028,
	};
	f->vq.event_idx = true;
	f->vq.indirect = true;
	enable(f);
	for (uint32_t i = 0; i < 1000; i++) {
		struct buf bufs[] = { { RAM_AT + 7 * 4096, 3, false }, { RAM_AT, 5, true } };
		uint16_t head;

		ring_set_used_event(&f->ring, (uint16_t)i);
		head = ring_add(&f->ring, bufs, 2);
		assert_int_equal(pop(f), 1);
		assert_int_equal(f->chain.head, head);
		assert_int_equal(f->chain.out_len, 3);
		assert_int_equal(f->chain.in_len, 5);
		release(f);
		push(f, head, i);
		assert_true(virtq_interrupt_due(&f->vq, f->space));
		assert_true(ring_used(&f->ring, &id, &len));
		assert_int_equal(id, head);
		assert_int_equal(len, i);
		assert_false(virtq_enable_notify(&f->vq, f->space));
		assert_int_equal(ring_avail_event(&f->ring), i + 1);
	}
	assert_null(iommu_window_get(&f->vq.desc, f->space, f->ring.desc, 4096, PROT_READ));
	munmap(shadow.base, RAM_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_2_7_6_chains_are_taken_in_the_order_of_the_available_ring),
		TEST(test_2_7_8_used_entries_come_in_any_order),
		TEST(test_used_entries_are_shown_when_they_are_published),
		TEST(test_2_7_indexes_wrap_at_65536),
		TEST(test_a_full_ring_across_the_wrap),
		TEST(test_unpop_makes_a_chain_the_next_one_again),
		TEST(test_reset_forgets_where_it_was),
		TEST(test_2_7_addresses_have_alignments),
		TEST(test_an_available_entry_outside_the_table_is_refused),
		TEST(test_an_available_index_that_jumps_is_refused),
		TEST(test_2_7_6_1_an_available_index_that_goes_back_is_refused),
		TEST(test_a_head_that_the_device_has_already_is_refused),
		TEST(test_rings_that_are_not_mapped_are_faults),
		TEST(test_a_ring_whose_memory_goes_and_comes_back),
		TEST(test_2_7_7_2_flags_say_whether_to_interrupt),
		TEST(test_2_7_7_2_used_event_says_which_entry_interrupts),
		TEST(test_2_7_7_2_used_event_across_the_wrap),
		TEST(test_2_7_10_2_flags_ask_for_every_notification),
		TEST(test_2_7_10_2_avail_event_is_the_next_entry),
		cmocka_unit_test_teardown(test_rings_over_two_maps, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
