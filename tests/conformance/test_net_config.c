/* SPDX-License-Identifier: BSD-3-Clause */
/* What a net function says of itself, its link and its address (virtio 1.3, 5.1.3 and 5.1.4). */
#include "net_fixture.h"

#define ALWAYS                                                                                 \
	(N_CSUM | N_GUEST_CSUM | N_CTRL_GUEST_OFFLOADS | N_MAC | N_GUEST_TSO4 | N_GUEST_TSO6 | \
	 N_GUEST_ECN | N_HOST_TSO4 | N_HOST_TSO6 | N_HOST_ECN | N_MRG_RXBUF | N_STATUS |       \
	 N_CTRL_VQ | N_CTRL_RX | N_CTRL_VLAN | N_CTRL_RX_EXTRA | N_GUEST_ANNOUNCE |            \
	 N_CTRL_MAC_ADDR | F_VERSION_1 | F_INDIRECT_DESC | F_EVENT_IDX | F_IN_ORDER |          \
	 F_RING_RESET)

static uint8_t generation(struct net_fixture *f)
{
	return (uint8_t)common(&f->n.d, C_CONFIG_GENERATION, 1);
}

static void set_link(struct net_fixture *f, bool up)
{
	net_set_link(f->n.member->vf.dev, up);
}

/* --- features and fields --- */

/* rules: features-1 */
static void test_5_1_3_features(void **state)
{
	struct net_fixture *f = *state;
	struct net_driver other;
	struct device_params p = { .mtu = 9000, .queues = 2, .packed = true };

	assert_int_equal(driver_offered(&f->n.d), ALWAYS);
	net_open(&other, &f->w, 2, &p, NULL);
	assert_int_equal(driver_offered(&other.d), ALWAYS | N_MTU | N_MQ | F_RING_PACKED);
	net_close(&other);
}

/* rules: net-cfg-1 net-cfg-2 */
static void test_5_1_4_fields(void **state)
{
	struct net_fixture *f = net_fixture_new(&(struct device_params){
		.mtu = 9000,
		.queues = 3,
		.mac = { 2, 4, 6, 8, 10, 12 },
	});

	*state = f;
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(net_config(&f->n, CFG_MAC + i, 1), 2 * (i + 1));
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP);
	assert_int_equal(net_config(&f->n, CFG_MAX_PAIRS, 2), 3);
	assert_int_equal(net_config(&f->n, CFG_MTU, 2), 9000);
	assert_int_equal(f->n.d.cap[CAP_DEVICE].length, 12);
	/* three pairs and the control queue (5.1.2) */
	assert_int_equal(common(&f->n.d, C_NUM_QUEUES, 2), 7);
}

/* 5.1.4.2: nothing in it is for a modern driver to write. */
/* rules: net-cfg-2 */
static void test_5_1_4_2_fields_are_read_only(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, N_MAC | N_CTRL_VQ);
	for (uint32_t i = 0; i < 12; i++)
		reg_write(&f->n.d, CAP_DEVICE, i, 1, 0xaa);
	assert_int_equal(net_config(&f->n, CFG_MAC, 1), 0x52);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP);
	assert_int_equal(net_config(&f->n, CFG_MAX_PAIRS, 2), 1);
}

static void create_fails(struct net_fixture *f, uint16_t queues, uint16_t size)
{
	struct virtio_state *st = calloc(1, sizeof(*st));
	void *type_state = calloc(1, DEVICE_TYPE_STATE_LEN);
	struct device_params p = {
		.name = "x",
		.loop = f->w.m->loop,
		.counters = &f->n.member->counters,
		.state = st,
		.type_state = type_state,
		.queues = queues,
		.queue_size = size,
		.backend = -1,
		.net_backend = &f->wire.backend,
	};
	struct virtio_device *dev;

	assert_int_equal(f->w.m->type->create(f->w.m->type, &p, &dev), -EINVAL);
	assert_false(f->wire.destroyed); /* still the caller's */
	free(type_state);
	free(st);
}

static void test_queues_that_cannot_be(void **state)
{
	struct net_fixture *f = *state;

	create_fails(f, 33, 64);
	create_fails(f, 1000, 64);
	create_fails(f, 1, 100);
	create_fails(f, 1, 1);
	create_fails(f, 1, 2048);
}

/* As many as there may be, of the largest size, in use at once. */
/* rules: net-cfg-1 */
static void test_5_1_2_32_pairs(void **state)
{
	struct net_fixture *f =
		net_fixture_new(&(struct device_params){ .queues = 32, .queue_size = 1024 });
	struct net_driver *n = &f->n;
	struct ring rx[32], tx[32], ctrl;
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 10 }), used;

	*state = f;
	assert_true(driver_negotiate(&n->d, F_VERSION_1 | N_MAC | N_MQ | N_CTRL_VQ));
	n->header = 12;
	for (uint16_t i = 0; i < 32; i++) {
		ring_init(&rx[i], &n->d.ram, 1024);
		driver_queue(&n->d, (uint16_t)(2 * i), &rx[i], NO_VECTOR);
		ring_init(&tx[i], &n->d.ram, 1024);
		driver_queue(&n->d, (uint16_t)(2 * i + 1), &tx[i], NO_VECTOR);
	}
	ring_init(&ctrl, &n->d.ram, 1024);
	driver_queue(&n->d, 64, &ctrl, NO_VECTOR);
	driver_ok(&n->d);
	n->ctrl = ctrl;
	n->ctrl_index = 64;
	assert_int_equal(net_ctrl16(n, CTRL_MQ, 0, 33), CTRL_ERR);
	assert_int_equal(net_ctrl16(n, CTRL_MQ, 0, 32), CTRL_OK);
	/* every queue sends */
	for (uint16_t i = 0; i < 32; i++) {
		uint8_t *to = ram_at(&n->d.ram, n->scratch);

		memset(to, 0, 12);
		memcpy(to + 12, f->frame, len);
		ring_add(&tx[i], &(struct buf){ n->scratch, 12 + len, false }, 1);
	}
	for (uint16_t i = 0; i < 32; i++)
		net_kick(n, (uint16_t)(2 * i + 1));
	for (uint16_t i = 0; i < 32; i++)
		driver_used(&n->d, &tx[i], &used);
	assert_int_equal(f->wire.count, 32);
	/* and most receive: 32 flows are spread */
	for (uint16_t i = 0; i < 32; i++)
		for (int b = 0; b < 40; b++)
			ring_add(&rx[i], &(struct buf){ n->scratch, 200, true }, 1);
	used = 0;
	for (uint16_t flow = 0; flow < 40; flow++) {
		len = frame_to(f, (struct frame_params){ .payload = 10, .sport = flow });
		wire_give(&f->wire, NULL, f->frame, len);
	}
	for (uint16_t i = 0; i < 32; i++)
		used += ring_used_idx(&rx[i]);
	assert_int_equal(used, 40);
}

/* --- link --- */

static void test_5_1_4_a_link_goes_down_and_up(void **state)
{
	struct net_fixture *f = *state;
	uint8_t was = generation(f);

	net_start(&f->n, N_MAC | N_STATUS);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 0);
	set_link(f, false);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), 0);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 1);
	assert_int_not_equal(generation(f), was);
	was = generation(f);
	set_link(f, false);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 0);
	assert_int_equal(generation(f), was);
	set_link(f, true);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 1);
	assert_int_not_equal(generation(f), was);
}

static void test_a_link_that_is_down_delivers_nothing(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_to(f, (struct frame_params){ .payload = 10 });

	net_start(&f->n, N_MAC);
	net_post(&f->n, 0, 200);
	set_link(f, false);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, drop_link), 1);
	set_link(f, true);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
}

/* A link is not the driver's: a reset leaves it as it is. Nobody is told before DRIVER_OK. */
static void test_a_link_outlives_a_reset(void **state)
{
	struct net_fixture *f = *state;

	driver_bind(&f->n.d, NET_VECTORS);
	set_link(f, false);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 0);
	net_start(&f->n, N_MAC | N_STATUS);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), 0);
	driver_reset(&f->n.d);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), 0);
	set_link(f, true);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 0);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP);
}

/* --- 5.1.6.5.4: announcements --- */

/* rules: net-ctrl-9 */
static void test_5_1_6_5_4_a_link_that_comes_up_is_announced(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, N_MAC | N_STATUS | N_CTRL_VQ | N_GUEST_ANNOUNCE);
	assert_int_equal(net_ctrl(&f->n, CTRL_ANNOUNCE, 0, NULL, 0), CTRL_ERR);
	set_link(f, false);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), 0);
	set_link(f, true);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP | ANNOUNCE);
	assert_int_equal(driver_events(&f->n.d, VEC_CONFIG), 2);
	/* 5.1.6.5.4.2: the bit is clear before the command is used */
	assert_int_equal(net_ctrl(&f->n, CTRL_ANNOUNCE, 0, NULL, 0), CTRL_OK);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP);
	assert_int_equal(net_ctrl(&f->n, CTRL_ANNOUNCE, 0, NULL, 0), CTRL_ERR);
	/* down and up again before it was acknowledged */
	for (int i = 0; i < 2; i++) {
		set_link(f, false);
		set_link(f, true);
	}
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP | ANNOUNCE);
	/* a reset takes the request back */
	driver_reset(&f->n.d);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP);
}

static void test_5_1_6_5_4_who_was_not_asked_does_not_announce(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, N_MAC | N_STATUS | N_CTRL_VQ);
	set_link(f, false);
	set_link(f, true);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP);
	assert_int_equal(net_ctrl(&f->n, CTRL_ANNOUNCE, 0, NULL, 0), CTRL_ERR);
}

/* --- 5.1.4.3: a legacy driver's address --- */

static void write_mac(struct net_fixture *f, const uint8_t mac[6])
{
	for (uint8_t i = 0; i < 6; i++)
		assert_int_equal(legacy_dev_write(&f->w.pf, 1, i, 1, mac[i]), OK);
}

static void assert_legacy_mac(struct net_fixture *f, const uint8_t mac[6])
{
	uint64_t value;

	for (uint8_t i = 0; i < 6; i++) {
		assert_int_equal(legacy_dev_read(&f->w.pf, 1, i, 1, &value), OK);
		assert_int_equal(value, mac[i]);
	}
}

/* Whether an address is that of the function: it takes what is sent to it. */
static bool answers_to(struct net_fixture *f, const uint8_t mac[6])
{
	struct frame_params p = { .payload = 10 };
	uint32_t len;

	memcpy(p.dst, mac, 6);
	len = frame_to(f, p);
	net_post(&f->n, 0, 200);
	wire_give(&f->wire, NULL, f->frame, len);
	return net_recv(&f->n, 0, &f->r);
}

static void test_5_1_4_3_a_legacy_driver_writes_its_address(void **state)
{
	static const uint8_t other[6] = { 0x02, 1, 2, 3, 4, 5 };
	struct net_fixture *f = *state;
	unsigned int changed;
	uint8_t mine[6];

	net_test_mac(mine, 1);
	net_start_legacy(&f->n, N_MAC | N_CTRL_VQ | N_CTRL_RX);
	assert_legacy_mac(f, mine);
	changed = f->wire.changed;
	write_mac(f, other);
	assert_true(f->wire.changed > changed);
	assert_legacy_mac(f, other);
	assert_true(answers_to(f, other));
	assert_false(answers_to(f, mine));
	assert_memory_equal(net_mac(f->n.member->vf.dev), other, 6);
	/* nothing else can be written */
	assert_int_equal(legacy_dev_write(&f->w.pf, 1, CFG_STATUS, 2, 0), OK);
	assert_int_equal(net_config(&f->n, CFG_STATUS, 2), LINK_UP);
	/* and a modern driver can't */
	net_start(&f->n, N_MAC);
	assert_memory_equal(net_mac(f->n.member->vf.dev), mine, 6);
	reg_write(&f->n.d, CAP_DEVICE, 0, 4, 0);
	assert_memory_equal(net_mac(f->n.member->vf.dev), mine, 6);
}

static void test_5_1_4_3_an_untrusted_function_keeps_its_address(void **state)
{
	static const uint8_t other[6] = { 0x02, 1, 2, 3, 4, 5 };
	struct net_fixture *f = *state;
	uint8_t mine[6];

	net_test_mac(mine, 1);
	net_start_legacy(&f->n, N_MAC | N_CTRL_VQ | N_CTRL_RX);
	write_mac(f, other);
	assert_legacy_mac(f, mine);
	assert_true(answers_to(f, mine));
	assert_false(answers_to(f, other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_5_1_3_features),
		cmocka_unit_test_teardown(test_5_1_4_fields, net_teardown),
		NET_TEST(test_5_1_4_2_fields_are_read_only),
		NET_TEST(test_queues_that_cannot_be),
		cmocka_unit_test_teardown(test_5_1_2_32_pairs, net_teardown),
		NET_TEST(test_5_1_4_a_link_goes_down_and_up),
		NET_TEST(test_a_link_that_is_down_delivers_nothing),
		NET_TEST(test_a_link_outlives_a_reset),
		NET_TEST(test_5_1_6_5_4_a_link_that_comes_up_is_announced),
		NET_TEST(test_5_1_6_5_4_who_was_not_asked_does_not_announce),
		TRUSTED_TEST(test_5_1_4_3_a_legacy_driver_writes_its_address),
		NET_TEST(test_5_1_4_3_an_untrusted_function_keeps_its_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
