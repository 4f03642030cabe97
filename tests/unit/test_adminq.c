/* SPDX-License-Identifier: BSD-3-Clause */
/* owner/channel.h on one admin virtqueue: commands, in slots and in buffers. */
#include "test_adminq_fixture.h"

/* --- a command --- */

static void test_2_13_a_command_is_a_readable_and_a_writable_part(void **state)
{
	struct fixture *f = *state;
	struct virtio_admin_request *r;
	struct command c;
	int head;

	submit(f, &c, 3, LONG);
	assert_int_equal(f->kicks, 1);
	head = take(f);
	assert_true(head >= 0);
	assert_int_equal(take(f), -1);
	assert_int_equal(f->q.mem->desc[head].flags, VRING_DESC_F_NEXT);
	assert_int_equal(f->q.mem->desc[head].len, 24 + 4);
	assert_int_equal(f->q.mem->desc[f->q.mem->desc[head].next].flags, VRING_DESC_F_WRITE);
	assert_int_equal(f->q.mem->desc[f->q.mem->desc[head].next].len, 8 + 16);
	r = desc_memory(f, (unsigned int)head);
	assert_int_equal(r->opcode, 0x1234);
	assert_int_equal(r->group_type, 1);
	assert_int_equal(r->member_id, 3);
	assert_memory_equal(r + 1, "data", 4);
	answer(f, head, 0, 0);
	assert_int_equal(c.done, 0); /* from the loop, never before */
	pass(f, 0);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.cmd.error, 0);
	assert_int_equal(c.cmd.result_len, 6);
	assert_memory_equal(c.result, "result", 6);
	pass(f, 2);
	assert_int_equal(c.done, 1);
}

static void test_a_failure_is_an_error_with_a_qualifier(void **state)
{
	struct fixture *f = *state;
	struct command c;

	submit(f, &c, 1, LONG);
	answer(f, take(f), VIRTIO_ADMIN_EINVAL, VIRTIO_ADMIN_Q_INVALID_MEMBER);
	pass(f, 0);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.cmd.error, -EINVAL);
	assert_int_equal(c.cmd.qualifier, VIRTIO_ADMIN_Q_INVALID_MEMBER);
}

/* The PF can write what it wants into its reply, and say what it wants of the length. */
static void test_a_used_length_that_is_wrong(void **state)
{
	struct fixture *f = *state;
	struct command c;
	int head;

	submit(f, &c, 1, LONG);
	use(f, (uint32_t)take(f), 7); /* not even a status */
	pass(f, 0);
	assert_int_equal(c.cmd.error, -EIO);
	submit(f, &c, 1, LONG);
	head = take(f);
	memset(desc_memory(f, f->q.mem->desc[head].next), 0, 8);
	use(f, (uint32_t)head, 0xffffffff);
	pass(f, 0);
	assert_int_equal(c.cmd.error, 0);
	assert_int_equal(c.cmd.result_len, sizeof(c.result));
	submit(f, &c, 1, LONG);
	head = take(f);
	memset(desc_memory(f, f->q.mem->desc[head].next), 0, 8);
	use(f, (uint32_t)head, 8);
	pass(f, 0);
	assert_int_equal(c.cmd.error, 0);
	assert_int_equal(c.cmd.result_len, 0);
}

static void test_what_does_not_fit_is_refused_from_the_loop(void **state)
{
	static uint8_t big[PF_CMD_RESULT_MAX + 1];
	struct fixture *f = *state;
	struct command c;

	prepare(f, &c, 1);
	c.cmd.data = big;
	c.cmd.data_len = PF_CMD_DATA_MAX + 1;
	adminq_submit(&f->q, &c.cmd, LONG);
	assert_int_equal(c.done, 0);
	pass(f, 2);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.cmd.error, -EMSGSIZE);
	prepare(f, &c, 1);
	c.cmd.result = big;
	c.cmd.result_room = PF_CMD_RESULT_MAX + 1;
	adminq_submit(&f->q, &c.cmd, LONG);
	pass(f, 2);
	assert_int_equal(c.cmd.error, -EMSGSIZE);
	assert_int_equal(f->kicks, 0);
	/* also with a command that was used before */
	c.cmd.deadline_ns = UINT64_MAX;
	adminq_submit(&f->q, &c.cmd, LONG);
	pass(f, 2);
	assert_int_equal(c.done, 2);
	assert_int_equal(c.cmd.error, -EMSGSIZE);
	assert_int_equal(f->kicks, 0);
	prepare(f, &c, 1);
	c.cmd.data = big;
	c.cmd.data_len = PF_CMD_DATA_MAX;
	c.cmd.result = big;
	c.cmd.result_room = PF_CMD_RESULT_MAX;
	adminq_submit(&f->q, &c.cmd, LONG);
	answer(f, take(f), 0, 0);
	pass(f, 0);
	assert_int_equal(c.cmd.error, 0);
}

/* --- large commands --- */

static void submit_large(struct fixture *f, struct command *c, uint64_t member, uint8_t *buffer,
			 uint32_t deadline_ms)
{
	prepare(f, c, member);
	c->cmd.data = buffer;
	c->cmd.data_len = PF_CMD_DATA_MAX;
	c->cmd.result = buffer;
	c->cmd.result_room = PF_CMD_RESULT_MAX;
	adminq_submit(&f->q, &c->cmd, deadline_ms);
}

/* Data and result as long as can be are carried whole. */
static void test_a_large_command(void **state)
{
	uint8_t *buffer = malloc(PF_CMD_RESULT_MAX);
	struct fixture *f = *state;
	struct vring_desc *desc;
	struct command c;
	uint8_t *memory;
	int head;

	assert_non_null(buffer);
	for (size_t i = 0; i < PF_CMD_DATA_MAX; i++)
		buffer[i] = (uint8_t)(i * 13);
	submit_large(f, &c, 3, buffer, LONG);
	head = take(f);
	desc = &f->q.mem->desc[head];
	assert_int_equal(desc->len, 24 + PF_CMD_DATA_MAX);
	memory = desc_memory(f, (unsigned int)head);
	for (size_t i = 0; i < PF_CMD_DATA_MAX; i++)
		assert_int_equal(memory[24 + i], (uint8_t)(i * 13));
	assert_int_equal(f->q.mem->desc[desc->next].len, 8 + PF_CMD_RESULT_MAX);
	memory = desc_memory(f, desc->next);
	for (size_t i = 0; i < PF_CMD_RESULT_MAX; i++)
		memory[8 + i] = (uint8_t)(i * 7);
	use(f, (uint32_t)head, 8 + PF_CMD_RESULT_MAX);
	pass(f, 0);
	assert_int_equal(c.cmd.error, 0);
	assert_int_equal(c.cmd.result_len, PF_CMD_RESULT_MAX);
	for (size_t i = 0; i < PF_CMD_RESULT_MAX; i++)
		assert_int_equal(buffer[i], (uint8_t)(i * 7));
	free(buffer);
}

/* There are few buffers for them: they wait for one in order, and hold up no other command. */
static void test_more_large_commands_than_buffers(void **state)
{
	enum { N = ADMINQ_LARGE + 3 };
	uint8_t *buffer = calloc(1, PF_CMD_RESULT_MAX);
	struct fixture *f = *state;
	struct command c[N], small;
	int heads[ADMINQ_LARGE];

	assert_non_null(buffer);
	for (unsigned int i = 0; i < N; i++)
		submit_large(f, &c[i], i, buffer, LONG);
	for (unsigned int i = 0; i < ADMINQ_LARGE; i++)
		heads[i] = take(f);
	assert_int_equal(take(f), -1);
	submit(f, &small, 100, LONG);
	answer(f, take(f), 0, 0);
	pass(f, 0);
	assert_int_equal(small.done, 1);
	for (unsigned int i = 0; i < N; i++) {
		int head = heads[i % ADMINQ_LARGE];

		assert_int_equal(member_of(f, head), i);
		answer(f, head, 0, 0);
		pass(f, 0);
		assert_int_equal(c[i].done, 1);
		heads[i % ADMINQ_LARGE] = take(f);
	}
	assert_int_equal(f->done, N + 1);
	free(buffer);
}

/* One that timed out leaves its buffer to the PF, too. */
static void test_the_buffer_of_a_timed_out_command(void **state)
{
	uint8_t *buffer = calloc(1, PF_CMD_RESULT_MAX);
	struct fixture *f = *state;
	struct command late[ADMINQ_LARGE], c;
	int heads[ADMINQ_LARGE];

	assert_non_null(buffer);
	for (unsigned int i = 0; i < ADMINQ_LARGE; i++) {
		submit_large(f, &late[i], i, buffer, 1);
		heads[i] = take(f);
	}
	pass(f, 5);
	assert_int_equal(f->done, ADMINQ_LARGE);
	assert_int_equal(late[0].cmd.error, -ETIMEDOUT);
	submit_large(f, &c, 50, buffer, LONG);
	assert_int_equal(take(f), -1);
	answer(f, heads[0], 0, 0);
	pass(f, 0);
	assert_int_equal(f->done, ADMINQ_LARGE);
	answer(f, take(f), 0, 0);
	pass(f, 0);
	assert_int_equal(c.cmd.error, 0);
	/* and one that waits for a buffer times out as well */
	submit_large(f, &c, 51, buffer, LONG);
	submit_large(f, &late[0], 52, buffer, 1);
	pass(f, 5);
	assert_int_equal(late[0].done, 1);
	assert_int_equal(late[0].cmd.error, -ETIMEDOUT);
	adminq_destroy(&f->q);
	assert_int_equal(c.cmd.error, -EIO);
	free(buffer);
}

static void test_indexes_wrap_at_65536(void **state)
{
	struct fixture *f = *state;
	struct command c;

	for (uint32_t i = 0; i < 65536 + 10; i++) {
		submit(f, &c, i, LONG);
		answer(f, take(f), 0, 0);
		assert_int_equal(loop_step(f->loop, 0), 0);
		assert_int_equal(c.done, 1);
	}
	assert_int_equal(f->q.mem->avail.idx, 10);
}

/* --- more commands than slots --- */

static void test_commands_are_sent_in_order_as_slots_become_free(void **state)
{
	struct fixture *f = *state;
	struct command c[40];

	for (unsigned int i = 0; i < 40; i++)
		submit(f, &c[i], i, LONG);
	for (unsigned int i = 0; i < 40; i++) {
		int head = take(f);

		assert_true(head >= 0);
		assert_int_equal(member_of(f, head), i);
		answer(f, head, 0, 0);
		pass(f, 0);
		assert_int_equal(c[i].done, 1);
		assert_int_equal(f->done, i + 1);
	}
}

static void test_answers_in_any_order(void **state)
{
	static const unsigned int order[SLOTS] = { 2, 0, 3, 1 };
	struct fixture *f = *state;
	struct command c[SLOTS];
	int heads[SLOTS];

	for (unsigned int i = 0; i < SLOTS; i++) {
		submit(f, &c[i], i, LONG);
		heads[i] = take(f);
	}
	for (unsigned int i = 0; i < SLOTS; i++) {
		answer(f, heads[order[i]], 0, (uint16_t)order[i]);
		pass(f, 0);
		assert_int_equal(c[order[i]].done, 1);
		assert_int_equal(c[order[i]].cmd.qualifier, order[i]);
		assert_int_equal(f->done, i + 1);
	}
}

static void test_done_may_submit_the_next_command(void **state)
{
	struct fixture *f = *state;
	struct command c[4];

	for (unsigned int i = 0; i < 4; i++)
		prepare(f, &c[i], i);
	for (unsigned int i = 0; i < 3; i++)
		c[i].next = &c[i + 1];
	adminq_submit(&f->q, &c[0].cmd, LONG);
	for (unsigned int i = 0; i < 4; i++) {
		int head = take(f);

		assert_int_equal(member_of(f, head), i);
		answer(f, head, 0, 0);
		pass(f, 0);
	}
	assert_int_equal(f->done, 4);
}

/* --- cancel --- */

static void test_a_cancelled_command_is_not_done(void **state)
{
	struct fixture *f = *state;
	struct command *c = calloc(1, sizeof(*c)), d;
	int head;

	assert_non_null(c);
	submit(f, c, 1, 5);
	head = take(f);
	adminq_cancel(&f->q, &c->cmd);
	free(c);
	pass(f, 10);
	answer(f, head, 0, 0);
	pass(f, 0);
	assert_int_equal(f->done, 0);
	/* its slot is free again */
	submit(f, &d, 2, LONG);
	assert_int_equal(take(f), head);
	answer(f, head, 0, 0);
	pass(f, 0);
	assert_int_equal(d.done, 1);
}

static void test_a_command_that_waits_is_cancelled(void **state)
{
	struct fixture *f = *state;
	struct command c[SLOTS], *waits = calloc(1, sizeof(*waits));

	assert_non_null(waits);
	for (unsigned int i = 0; i < SLOTS; i++)
		submit(f, &c[i], i, LONG);
	submit(f, waits, 9, LONG);
	adminq_cancel(&f->q, &waits->cmd);
	free(waits);
	for (unsigned int i = 0; i < SLOTS; i++)
		answer(f, take(f), 0, 0);
	pass(f, 0);
	assert_int_equal(f->done, SLOTS);
	assert_int_equal(take(f), -1);
}

/* --- EAGAIN (2.13.2: the driver should retry) --- */

static void test_2_13_2_eagain_is_tried_again(void **state)
{
	struct fixture *f = *state;
	struct command c;
	int head = -1;

	submit(f, &c, 5, LONG);
	for (int i = 0; i < 3; i++) {
		uint64_t until = loop_now_ns() + 5000000000ull;

		while ((head = take(f)) < 0 && loop_now_ns() < until)
			assert_int_equal(loop_step(f->loop, 10), 0);
		assert_true(head >= 0);
		assert_int_equal(member_of(f, head), 5);
		answer(f, head, i < 2 ? VIRTIO_ADMIN_EAGAIN : 0, 0);
		pass(f, 0);
		assert_int_equal(c.done, i == 2);
	}
	assert_int_equal(c.cmd.error, 0);
}

static void test_eagain_ends_at_the_deadline(void **state)
{
	struct fixture *f = *state;
	uint64_t start = loop_now_ns();
	struct command c;

	submit(f, &c, 5, 300);
	while (!c.done) {
		int head = take(f);

		if (head >= 0)
			answer(f, head, VIRTIO_ADMIN_EAGAIN, VIRTIO_ADMIN_Q_TRYAGAIN);
		assert_int_equal(loop_step(f->loop, 10), 0);
		assert_true(loop_now_ns() - start < 5000000000ull);
	}
	assert_int_equal(c.cmd.error, -ETIMEDOUT);
	assert_true(loop_now_ns() - start >= 300000000);
	assert_true(f->kicks > 1 && f->kicks <= 1 + 300 / 5);
}

static void test_a_command_that_is_to_be_tried_again_is_cancelled(void **state)
{
	struct fixture *f = *state;
	struct command *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	submit(f, c, 5, LONG);
	answer(f, take(f), VIRTIO_ADMIN_EAGAIN, 0);
	pass(f, 0);
	adminq_cancel(&f->q, &c->cmd);
	free(c);
	pass(f, 20);
	assert_int_equal(f->kicks, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_2_13_a_command_is_a_readable_and_a_writable_part),
		TEST(test_a_failure_is_an_error_with_a_qualifier),
		TEST(test_a_used_length_that_is_wrong),
		TEST(test_what_does_not_fit_is_refused_from_the_loop),
		TEST(test_a_large_command),
		TEST(test_more_large_commands_than_buffers),
		TEST(test_the_buffer_of_a_timed_out_command),
		TEST(test_indexes_wrap_at_65536),
		TEST(test_commands_are_sent_in_order_as_slots_become_free),
		TEST(test_answers_in_any_order),
		TEST(test_done_may_submit_the_next_command),
		TEST(test_a_cancelled_command_is_not_done),
		TEST(test_a_command_that_waits_is_cancelled),
		TEST(test_2_13_2_eagain_is_tried_again),
		TEST(test_eagain_ends_at_the_deadline),
		TEST(test_a_command_that_is_to_be_tried_again_is_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
