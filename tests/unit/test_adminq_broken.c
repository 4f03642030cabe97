/* SPDX-License-Identifier: BSD-3-Clause */
/* owner/channel.h: a PF that does not answer in time, or not as it should. */
#include "test_adminq_fixture.h"

/* --- deadlines --- */

static void test_a_command_times_out_at_its_deadline(void **state)
{
	struct fixture *f = *state;
	uint64_t start = loop_now_ns(), took;
	struct command c;

	submit(f, &c, 1, 20);
	while (!c.done)
		assert_int_equal(loop_step(f->loop, -1), 0);
	took = loop_now_ns() - start;
	assert_true(took >= 20000000 && took < 5000000000);
	assert_int_equal(c.cmd.error, -ETIMEDOUT);
	submit(f, &c, 1, 0);
	assert_int_equal(c.done, 0);
	pass(f, 2);
	assert_int_equal(c.cmd.error, -ETIMEDOUT);
}

/*
 * A slot is memory that the PF may still write to: it is not given to another command until the PF
 * used it, and what it says then reaches nobody.
 */
static void test_the_slot_of_a_timed_out_command_is_the_pfs_until_it_is_used(void **state)
{
	struct fixture *f = *state;
	struct command *late = calloc(1, sizeof(*late)), c[SLOTS];
	int heads[SLOTS];

	assert_non_null(late);
	submit(f, late, 100, 1);
	heads[0] = take(f);
	pass(f, 5);
	assert_int_equal(late->done, 1);
	assert_int_equal(late->cmd.error, -ETIMEDOUT);
	free(late); /* the address sanitizer sees it if the answer reaches it */
	/* the other slots are free, this one is not */
	for (uint64_t i = 0; i < SLOTS; i++)
		submit(f, &c[i], i, LONG);
	for (unsigned int i = 1; i < SLOTS; i++) {
		heads[i] = take(f);
		assert_int_not_equal(heads[i], heads[0]);
	}
	assert_int_equal(take(f), -1);
	answer(f, heads[0], 0, 0);
	assert_int_equal(f->done, 1);
	pass(f, 0);
	assert_int_equal(f->done, 1);
	/* now it is there for the one that waited */
	assert_int_equal(take(f), heads[0]);
	assert_int_equal(member_of(f, heads[0]), SLOTS - 1);
	for (unsigned int i = 0; i < SLOTS; i++)
		answer(f, heads[i], 0, 0);
	pass(f, 0);
	for (unsigned int i = 0; i < SLOTS; i++)
		assert_int_equal(c[i].cmd.error, 0);
}

static void test_a_command_that_waits_for_a_slot_times_out_too(void **state)
{
	struct fixture *f = *state;
	struct command c[SLOTS], waits;

	for (unsigned int i = 0; i < SLOTS; i++)
		submit(f, &c[i], i, LONG);
	submit(f, &waits, 9, 5);
	pass(f, 10);
	assert_int_equal(waits.done, 1);
	assert_int_equal(waits.cmd.error, -ETIMEDOUT);
	assert_int_equal(f->kicks, SLOTS);
	for (unsigned int i = 0; i < SLOTS; i++)
		answer(f, take(f), 0, 0);
	pass(f, 0);
	assert_int_equal(take(f), -1); /* it was never sent */
	assert_int_equal(f->done, SLOTS + 1);
}

/* --- a PF that does not behave --- */

/* One of each: sent, waiting for a slot, waiting to be tried again. */
static void submit_all_kinds(struct fixture *f, struct command c[SLOTS + 2])
{
	submit(f, &c[0], 0, LONG);
	answer(f, take(f), VIRTIO_ADMIN_EAGAIN, 0);
	pass(f, 0);
	for (unsigned int i = 1; i < SLOTS + 2; i++)
		submit(f, &c[i], i, LONG);
	assert_int_equal(f->done, 0);
}

static void bogus(struct fixture *f, uint32_t id)
{
	struct command c[SLOTS + 2], after;

	submit_all_kinds(f, c);
	use(f, id, 8);
	pass(f, 20);
	assert_int_equal(f->done, SLOTS + 2);
	for (unsigned int i = 0; i < SLOTS + 2; i++) {
		assert_int_equal(c[i].done, 1);
		assert_int_equal(c[i].cmd.error, -EIO);
	}
	/* down for good */
	submit(f, &after, 1, LONG);
	assert_int_equal(after.done, 0);
	pass(f, 2);
	assert_int_equal(after.done, 1);
	assert_int_equal(after.cmd.error, -EIO);
	use(f, 0, 8);
	pass(f, 2);
}

static void test_a_used_id_that_is_no_head_takes_the_channel_down(void **state)
{
	bogus(*state, 1);
}

static void test_a_used_id_outside_the_ring_takes_the_channel_down(void **state)
{
	bogus(*state, SIZE);
}

static void test_a_used_id_that_wraps_takes_the_channel_down(void **state)
{
	bogus(*state, 0xfffffffe);
}

/* The PF returns a buffer twice. */
static void test_a_used_id_of_a_free_slot_takes_the_channel_down(void **state)
{
	struct fixture *f = *state;
	struct command c, d;
	int head;

	submit(f, &c, 1, LONG);
	submit(f, &d, 2, LONG);
	head = take(f);
	answer(f, head, 0, 0);
	use(f, (uint32_t)head, 14);
	pass(f, 2);
	assert_int_equal(c.cmd.error, 0);
	assert_int_equal(d.done, 1);
	assert_int_equal(d.cmd.error, -EIO);
}

/* The used index jumps: what is in the ring was seen before. */
static void test_a_used_index_that_jumps_takes_the_channel_down(void **state)
{
	struct fixture *f = *state;
	struct command c;
	uint64_t one = 1;

	submit(f, &c, 1, LONG);
	f->q.mem->used.idx = 30000;
	assert_int_equal(write(f->q.eventfd, &one, sizeof(one)), sizeof(one));
	pass(f, 2);
	assert_int_equal(c.done, 1);
}

static void test_spurious_interrupts_are_nothing(void **state)
{
	struct fixture *f = *state;
	struct command c;
	uint64_t one = 1;

	submit(f, &c, 1, LONG);
	assert_int_equal(write(f->q.eventfd, &one, sizeof(one)), sizeof(one));
	pass(f, 2);
	assert_int_equal(c.done, 0);
	answer(f, take(f), 0, 0);
	pass(f, 0);
	assert_int_equal(c.cmd.error, 0);
}

/* --- the end --- */

/* Whoever takes the owner down ends all commands, and nothing of the queue is touched after it. */
static void test_destroying_the_queue_ends_every_command(void **state)
{
	struct fixture *f = *state;
	struct command c[SLOTS + 2];

	submit_all_kinds(f, c);
	adminq_destroy(&f->q);
	assert_int_equal(f->done, SLOTS + 2);
	for (unsigned int i = 0; i < SLOTS + 2; i++)
		assert_int_equal(c[i].cmd.error, -EIO);
	pass(f, 20);
	assert_int_equal(f->done, SLOTS + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_command_times_out_at_its_deadline),
		TEST(test_the_slot_of_a_timed_out_command_is_the_pfs_until_it_is_used),
		TEST(test_a_command_that_waits_for_a_slot_times_out_too),
		TEST(test_a_used_id_that_is_no_head_takes_the_channel_down),
		TEST(test_a_used_id_outside_the_ring_takes_the_channel_down),
		TEST(test_a_used_id_that_wraps_takes_the_channel_down),
		TEST(test_a_used_id_of_a_free_slot_takes_the_channel_down),
		TEST(test_a_used_index_that_jumps_takes_the_channel_down),
		TEST(test_spurious_interrupts_are_nothing),
		TEST(test_destroying_the_queue_ends_every_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
