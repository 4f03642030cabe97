/* SPDX-License-Identifier: BSD-3-Clause */
/* A stopped net function (virtio 1.4, 2.12.1.4.5): frames go neither in nor out. */
#include "net_driver.h"

#define VF 1

struct fixture {
	struct net_world w;
	struct wire wire;
	struct net_driver n;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	net_world_init(&f->w, 2);
	admin_use_supported(&f->w.pf);
	wire_init(&f->wire);
	net_open(&f->n, &f->w, VF, NULL, &f->wire.backend);
	net_start(&f->n, N_STATUS);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	net_close(&f->n);
	net_world_fini(&f->w);
	free(f);
	return 0;
}

static uint32_t make_frame(struct fixture *f, uint8_t *data)
{
	memset(data, 0xff, 6);
	net_test_mac(data + 6, f->n.slot);
	memset(data + 12, 0x55, 52);
	return 64;
}

/* Frames for it are lost and counted; its buffers are there when it goes on. */
/* rules: admin-mode-8 */
static void test_2_12_1_4_5_a_stopped_function_receives_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[64];
	uint32_t len = make_frame(f, frame);
	struct received r;
	uint64_t dropped;

	received_init(&r);
	net_post(&f->n, 0, 2048);
	assert_int_equal(admin_mode(&f->w.pf, VF, MODE_STOPPED), OK);
	dropped = net_counter(&f->n, COUNTER_drop_no_buffer);
	wire_give(&f->wire, NULL, frame, len);
	assert_false(net_take(&f->n, 0, &r));
	assert_int_equal(net_counter(&f->n, COUNTER_drop_no_buffer), dropped + 1);
	assert_int_equal(driver_events(&f->n.d, VEC_RX), 0);
	net_set_link(f->n.member->vf.dev, false);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 0);
	net_set_link(f->n.member->vf.dev, true);
	assert_int_equal(admin_mode(&f->w.pf, VF, 0), OK);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 1);
	wire_give(&f->wire, NULL, frame, len);
	assert_true(net_recv(&f->n, 0, &r));
	assert_memory_equal(r.data, frame, len);
	received_fini(&r);
}

/* The interrupt for what was received before is sent before the command is over. */
/* rules: admin-mode-9 */
static void test_2_12_1_4_5_no_interrupt_follows(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[64];
	uint32_t len = make_frame(f, frame);
	struct admin_head head = { .opcode = MODE_SET,
				   .group_type = SRIOV_GROUP,
				   .member = VF,
				   .data = { MODE_STOPPED } };
	struct admin_cmd cmd;

	net_post(&f->n, 0, 2048);
	driver_events(&f->n.d, VEC_RX);
	cmd = admin_send(&f->w.pf, &head, ADMIN_HEAD + 1, ADMIN_REPLY);
	wire_give(&f->wire, NULL, frame, len); /* its interrupt waits for the loop */
	assert_int_equal(admin_wait(&f->w.pf, &cmd), OK);
	assert_int_equal(driver_events(&f->n.d, VEC_RX), 1);
	assert_int_equal(driver_events(&f->n.d, VEC_RX), 0);
}

static void test_2_12_1_4_5_a_stopped_function_sends_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[64];
	uint32_t len = make_frame(f, frame), id, used;
	uint16_t head;

	assert_int_equal(admin_mode(&f->w.pf, VF, MODE_STOPPED), OK);
	head = net_send_parts(&f->n, NULL, frame, len, NULL, 0);
	machine_settle(f->w.m);
	assert_int_equal(f->wire.count, 0);
	assert_int_equal(admin_mode(&f->w.pf, VF, 0), OK);
	machine_wait(f->w.m, f->wire.count == 1);
	assert_true(ring_used(&f->n.tx[0], &id, &used));
	assert_int_equal(id, head);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_2_12_1_4_5_a_stopped_function_receives_nothing),
		TEST(test_2_12_1_4_5_no_interrupt_follows),
		TEST(test_2_12_1_4_5_a_stopped_function_sends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
