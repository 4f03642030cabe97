/* SPDX-License-Identifier: BSD-3-Clause */
/* The control queue, and the filters that it sets (virtio 1.3, 5.1.6.5). */
#include "net_fixture.h"

#define CTRL (N_MAC | N_CTRL_VQ)

/* Commands of CTRL_RX (5.1.6.5.1). */
enum { RX_PROMISC, RX_ALLMULTI, RX_ALLUNI, RX_NOMULTI, RX_NOUNI, RX_NOBCAST };
/* ... of CTRL_MAC (5.1.6.5.2) and CTRL_VLAN (5.1.6.5.3). */
enum { MAC_TABLE_SET, MAC_ADDR_SET };
enum { VLAN_ADD, VLAN_DEL };

static const uint8_t other[6] = { 0x02, 0xaa, 0, 0, 0, 1 };
static const uint8_t another[6] = { 0x02, 0xaa, 0, 0, 0, 2 };
static const uint8_t multicast[6] = { 0x01, 0x00, 0x5e, 0, 0, 1 };
static const uint8_t multicast2[6] = { 0x33, 0x33, 0, 0, 0, 2 };
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* Whether the function takes a frame to an address (NULL: its own). vlan -1: untagged. */
static bool takes_vlan(struct net_fixture *f, const uint8_t *dst, int vlan)
{
	struct frame_params p = { .payload = 10, .tagged = vlan >= 0, .vlan = (uint16_t)vlan };
	uint64_t dropped = CTR(&f->n, drop_filter);
	uint32_t len;

	if (dst)
		memcpy(p.dst, dst, 6);
	len = frame_to(f, p);
	net_post(&f->n, 0, 200);
	wire_give(&f->wire, NULL, f->frame, len);
	if (!net_recv(&f->n, 0, &f->r)) {
		assert_int_equal(CTR(&f->n, drop_filter), dropped + 1);
		return false;
	}
	assert_int_equal(f->r.len, len);
	assert_memory_equal(f->r.data, f->frame, len);
	return true;
}

static bool takes(struct net_fixture *f, const uint8_t *dst)
{
	return takes_vlan(f, dst, -1);
}

/* Two tables, of so many addresses each that end in their number. */
static uint8_t set_tables(struct net_fixture *f, uint32_t unicast, uint32_t multi, int32_t cut)
{
	static uint8_t data[2 * (4 + 300 * 6)];
	uint8_t *at = data;

	memset(data, 0, sizeof(data));
	memcpy(at, &unicast, 4);
	at += 4;
	for (uint32_t i = 0; i < unicast && i < 300; i++, at += 6) {
		memcpy(at, other, 6);
		at[4] = (uint8_t)(i >> 8);
		at[5] = (uint8_t)(i + 1);
	}
	memcpy(at, &multi, 4);
	at += 4;
	for (uint32_t i = 0; i < multi && i < 300; i++, at += 6) {
		memcpy(at, multicast, 6);
		at[4] = (uint8_t)(i >> 8);
		at[5] = (uint8_t)(i + 1);
	}
	return net_ctrl(&f->n, CTRL_MAC, MAC_TABLE_SET, data, (size_t)(at - data + cut));
}

/* --- commands in general --- */

static void test_5_1_6_5_unknown_commands(void **state)
{
	struct net_fixture *f = *state;
	uint8_t data[16] = { 0 };

	net_start(&f->n, CTRL | N_CTRL_RX | N_CTRL_RX_EXTRA | N_CTRL_VLAN | N_CTRL_MAC_ADDR |
				 N_GUEST_ANNOUNCE | N_CTRL_GUEST_OFFLOADS);
	for (int class = 0; class < 256; class ++) {
		uint8_t first = class == CTRL_RX         ? 6
				: class == CTRL_MAC      ? 2
				: class == CTRL_VLAN     ? 2
				: class == CTRL_ANNOUNCE ? 1
				: class == CTRL_OFFLOADS ? 1
							 : 0;

		for (int cmd = first; cmd < 256; cmd += cmd < 20 ? 1 : 47)
			assert_int_equal(
				net_ctrl(&f->n, (uint8_t) class, (uint8_t)cmd, data, sizeof(data)),
				CTRL_ERR);
	}
	/* the queue still works */
	assert_int_equal(net_ctrl8(&f->n, CTRL_RX, RX_PROMISC, 1), CTRL_OK);
}

static void test_5_1_6_5_commands_need_their_features(void **state)
{
	static const struct {
		uint64_t feature;
		uint8_t class;
		uint8_t cmd;
		uint8_t len;
		uint8_t data[8];
	} cases[] = {
		{ N_CTRL_RX, CTRL_RX, RX_PROMISC, 1, { 1 } },
		{ N_CTRL_RX, CTRL_RX, RX_ALLMULTI, 1, { 1 } },
		{ N_CTRL_RX_EXTRA, CTRL_RX, RX_ALLUNI, 1, { 1 } },
		{ N_CTRL_RX_EXTRA, CTRL_RX, RX_NOMULTI, 1, { 1 } },
		{ N_CTRL_RX_EXTRA, CTRL_RX, RX_NOUNI, 1, { 1 } },
		{ N_CTRL_RX_EXTRA, CTRL_RX, RX_NOBCAST, 1, { 1 } },
		{ N_CTRL_RX, CTRL_MAC, MAC_TABLE_SET, 8, { 0 } },
		{ N_CTRL_MAC_ADDR, CTRL_MAC, MAC_ADDR_SET, 6, { 2, 3, 4, 5, 6, 7 } },
		{ N_CTRL_VLAN, CTRL_VLAN, VLAN_ADD, 2, { 1 } },
		{ N_CTRL_VLAN, CTRL_VLAN, VLAN_DEL, 2, { 1 } },
		{ N_CTRL_GUEST_OFFLOADS, CTRL_OFFLOADS, 0, 8, { 0 } },
	};
	const uint64_t all = N_CTRL_RX | N_CTRL_RX_EXTRA | N_CTRL_VLAN | N_CTRL_MAC_ADDR |
			     N_CTRL_GUEST_OFFLOADS | N_GUEST_ANNOUNCE;
	struct net_fixture *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		net_start(&f->n, CTRL | (all & ~cases[i].feature));
		assert_int_equal(
			net_ctrl(&f->n, cases[i].class, cases[i].cmd, cases[i].data, cases[i].len),
			CTRL_ERR);
		net_start(&f->n, CTRL | cases[i].feature);
		assert_int_equal(
			net_ctrl(&f->n, cases[i].class, cases[i].cmd, cases[i].data, cases[i].len),
			CTRL_OK);
		/* too short by one byte, and without anything */
		assert_int_equal(net_ctrl(&f->n, cases[i].class, cases[i].cmd, cases[i].data,
					  cases[i].len - 1u),
				 CTRL_ERR);
		assert_int_equal(net_ctrl(&f->n, cases[i].class, cases[i].cmd, NULL, 0), CTRL_ERR);
	}
}

/* The queue's place is behind all pairs only if there may be more than one (5.1.2). */
static void test_5_1_2_where_the_control_queue_is(void **state)
{
	struct net_fixture *f = net_fixture_new(&(struct device_params){ .queues = 4 });

	*state = f;
	net_start(&f->n, CTRL | N_CTRL_RX);
	assert_int_equal(f->n.ctrl_index, 2);
	assert_int_equal(net_ctrl8(&f->n, CTRL_RX, RX_PROMISC, 1), CTRL_OK);
	net_start(&f->n, CTRL | N_CTRL_RX | N_MQ);
	assert_int_equal(f->n.ctrl_index, 8);
	assert_int_equal(net_ctrl8(&f->n, CTRL_RX, RX_PROMISC, 1), CTRL_OK);
}

static void test_5_1_6_1_a_legacy_control_queue(void **state)
{
	struct net_fixture *f = *state;

	net_start_legacy(&f->n, CTRL | N_CTRL_RX | N_CTRL_VLAN);
	assert_false(takes(f, other));
	assert_int_equal(net_ctrl8(&f->n, CTRL_RX, RX_PROMISC, 1), CTRL_OK);
	assert_true(takes(f, other));
	assert_int_equal(net_ctrl16(&f->n, CTRL_VLAN, VLAN_ADD, 7), CTRL_OK);
	assert_int_equal(net_ctrl16(&f->n, CTRL_VLAN, VLAN_ADD, 4096), CTRL_ERR);
}

/* Class and command in descriptors of their own, the data cut, and more room than an ack. */
static void test_5_1_6_5_any_layout(void **state)
{
	struct net_fixture *f = *state;
	uint64_t at = ram_alloc(&f->n.d.ram, 64, 1);
	uint8_t *mem = ram_at(&f->n.d.ram, at);
	uint32_t used;

	net_start(&f->n, CTRL | N_CTRL_VLAN);
	memcpy(mem, (uint8_t[]){ CTRL_VLAN, VLAN_ADD, 0x34, 0x01 }, 4);
	memset(mem + 16, 0xee, 8);
	ring_add(&f->n.ctrl,
		 (struct buf[]){ { at, 1, false },
				 { at + 1, 1, false },
				 { at + 2, 1, false },
				 { at + 3, 1, false },
				 { at + 16, 1, true },
				 { at + 17, 7, true } },
		 6);
	net_kick(&f->n, f->n.ctrl_index);
	driver_used(&f->n.d, &f->n.ctrl, &used);
	/* ack follows the data, and the results, of which there are none, follow ack */
	assert_int_equal(mem[16], CTRL_OK);
	for (int i = 17; i < 24; i++)
		assert_int_equal(mem[i], 0xee);
	assert_int_equal(used, 1);
	assert_true(takes_vlan(f, NULL, 0x134));
	assert_false(takes_vlan(f, NULL, 0x135));
}

static void test_5_1_6_5_chains_that_are_no_command(void **state)
{
	struct net_fixture *f = *state;
	uint64_t at = ram_alloc(&f->n.d.ram, 64, 1);
	uint8_t *mem = ram_at(&f->n.d.ram, at);
	uint32_t used;

	net_start(&f->n, CTRL | N_CTRL_RX);
	/* half a header, none, and nothing to write to */
	memset(mem, 0, 16);
	mem[16] = 0xee;
	ring_add(&f->n.ctrl, (struct buf[]){ { at, 1, false }, { at + 16, 1, true } }, 2);
	net_kick(&f->n, f->n.ctrl_index);
	driver_used(&f->n.d, &f->n.ctrl, &used);
	assert_int_equal(mem[16], CTRL_ERR);
	mem[16] = 0xee;
	ring_add(&f->n.ctrl, &(struct buf){ at + 16, 1, true }, 1);
	net_kick(&f->n, f->n.ctrl_index);
	driver_used(&f->n.d, &f->n.ctrl, &used);
	assert_int_equal(mem[16], CTRL_ERR);
	ring_add(&f->n.ctrl, &(struct buf){ at, 3, false }, 1);
	net_kick(&f->n, f->n.ctrl_index);
	driver_used(&f->n.d, &f->n.ctrl, &used);
	assert_int_equal(used, 0);
	assert_int_equal(net_ctrl8(&f->n, CTRL_RX, RX_PROMISC, 1), CTRL_OK);
}

/* --- 5.1.6.5.1: receive modes --- */

/* rules: net-ctrl-7 */
static void test_5_1_6_5_1_without_filters_everything_is_taken(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, N_MAC);
	assert_true(takes(f, NULL));
	assert_true(takes(f, other));
	assert_true(takes(f, multicast));
	assert_true(takes(f, broadcast));
	assert_true(takes_vlan(f, NULL, 7));
}

/* rules: net-ctrl-1 net-ctrl-2 */
static void test_5_1_6_5_1_receive_modes(void **state)
{
	struct net_fixture *f = *state;
	struct net_driver *n = &f->n;

	net_start(n, CTRL | N_CTRL_RX | N_CTRL_RX_EXTRA);
	assert_true(takes(f, NULL));
	assert_true(takes(f, broadcast));
	assert_false(takes(f, other));
	assert_false(takes(f, multicast));
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_PROMISC, 1), CTRL_OK);
	assert_true(takes(f, other));
	assert_true(takes(f, multicast));
	/* whatever else is set */
	for (uint8_t mode = RX_NOMULTI; mode <= RX_NOBCAST; mode++)
		assert_int_equal(net_ctrl8(n, CTRL_RX, mode, 1), CTRL_OK);
	assert_true(takes(f, other));
	assert_true(takes(f, NULL));
	assert_true(takes(f, multicast));
	assert_true(takes(f, broadcast));
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_PROMISC, 0), CTRL_OK);
	assert_false(takes(f, NULL));
	assert_false(takes(f, multicast));
	assert_false(takes(f, broadcast));
	/* the negatives win over the positives */
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_ALLMULTI, 1), CTRL_OK);
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_ALLUNI, 1), CTRL_OK);
	assert_false(takes(f, NULL));
	assert_false(takes(f, multicast));
	assert_false(takes(f, broadcast));
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_NOUNI, 0), CTRL_OK);
	assert_true(takes(f, NULL));
	assert_true(takes(f, other));
	assert_false(takes(f, multicast));
	/* NOMULTI is not about broadcast, nor ALLMULTI */
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_NOBCAST, 0), CTRL_OK);
	assert_true(takes(f, broadcast));
	assert_false(takes(f, multicast));
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_NOMULTI, 0), CTRL_OK);
	assert_true(takes(f, multicast));
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_ALLMULTI, 0), CTRL_OK);
	assert_false(takes(f, multicast));
	assert_int_equal(net_ctrl8(n, CTRL_RX, RX_ALLUNI, 0), CTRL_OK);
	assert_false(takes(f, other));
	assert_true(takes(f, NULL));
}

static void test_5_1_6_5_1_a_mode_is_0_or_1(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, CTRL | N_CTRL_RX | N_CTRL_RX_EXTRA);
	for (uint8_t mode = RX_PROMISC; mode <= RX_NOBCAST; mode++) {
		assert_int_equal(net_ctrl8(&f->n, CTRL_RX, mode, 2), CTRL_ERR);
		assert_int_equal(net_ctrl8(&f->n, CTRL_RX, mode, 0xff), CTRL_ERR);
	}
	assert_false(takes(f, other));
	assert_true(takes(f, NULL));
}

/* rules: net-ctrl-3 */
static void test_5_1_6_5_1_a_reset_clears_the_modes(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, CTRL | N_CTRL_RX | N_CTRL_VLAN);
	assert_int_equal(net_ctrl8(&f->n, CTRL_RX, RX_PROMISC, 1), CTRL_OK);
	assert_int_equal(set_tables(f, 1, 1, 0), CTRL_OK);
	assert_int_equal(net_ctrl16(&f->n, CTRL_VLAN, VLAN_ADD, 9), CTRL_OK);
	net_start(&f->n, CTRL | N_CTRL_RX | N_CTRL_VLAN);
	assert_false(takes(f, other));
	assert_false(takes(f, multicast));
	assert_false(takes_vlan(f, NULL, 9));
}

/* --- 5.1.6.5.2: addresses --- */

/* rules: net-ctrl-4 net-ctrl-6 */
static void test_5_1_6_5_2_tables(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, CTRL | N_CTRL_RX);
	assert_int_equal(set_tables(f, 2, 1, 0), CTRL_OK);
	assert_true(takes(f, other));
	assert_true(takes(f, another));
	assert_true(takes(f, multicast));
	assert_false(takes(f, multicast2));
	assert_true(takes(f, NULL));
	/* each command replaces both */
	assert_int_equal(set_tables(f, 1, 0, 0), CTRL_OK);
	assert_true(takes(f, other));
	assert_false(takes(f, another));
	assert_false(takes(f, multicast));
	assert_int_equal(set_tables(f, 0, 1, 0), CTRL_OK);
	assert_false(takes(f, other));
	assert_true(takes(f, multicast));
	assert_int_equal(set_tables(f, 0, 0, 0), CTRL_OK);
	assert_false(takes(f, other));
	assert_false(takes(f, multicast));
	assert_true(takes(f, NULL));
	assert_true(takes(f, broadcast));
}

/* More than the device keeps: better too much than too little. */
static void test_5_1_6_5_2_tables_of_every_length(void **state)
{
	static const uint32_t sizes[] = { 63, 64, 65, 300 };
	struct net_fixture *f = *state;
	uint8_t last[6];

	net_start(&f->n, CTRL | N_CTRL_RX);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		assert_int_equal(set_tables(f, sizes[i], 0, 0), CTRL_OK);
		memcpy(last, other, 6);
		last[4] = (uint8_t)((sizes[i] - 1) >> 8);
		last[5] = (uint8_t)sizes[i];
		assert_true(takes(f, last));
		assert_true(takes(f, other));
		assert_false(takes(f, multicast));
		assert_int_equal(set_tables(f, 0, sizes[i], 0), CTRL_OK);
		memcpy(last, multicast, 4);
		assert_true(takes(f, last));
		assert_false(takes(f, other));
		assert_int_equal(set_tables(f, sizes[i], sizes[i], 0), CTRL_OK);
		assert_true(takes(f, last));
		assert_true(takes(f, other));
	}
	/* and back */
	assert_int_equal(set_tables(f, 0, 0, 0), CTRL_OK);
	assert_false(takes(f, other));
	assert_false(takes(f, multicast));
}

/* What a command says must be in it; if not, nothing changes. */
static void test_5_1_6_5_2_tables_that_are_cut_short(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, CTRL | N_CTRL_RX);
	assert_int_equal(set_tables(f, 1, 1, 0), CTRL_OK);
	for (int32_t cut = 1; cut <= 2 * (4 + 12); cut++)
		assert_int_equal(set_tables(f, 2, 2, -cut), CTRL_ERR);
	assert_int_equal(set_tables(f, 0xffffffff, 0, -1), CTRL_ERR);
	assert_int_equal(set_tables(f, 0x2aaaaaab, 0, -1), CTRL_ERR);
	assert_int_equal(set_tables(f, 0, 0xffffffff, 0), CTRL_ERR);
	assert_true(takes(f, other));
	assert_false(takes(f, another));
	assert_true(takes(f, multicast));
}

static void assert_config_mac(struct net_fixture *f, const uint8_t mac[6])
{
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(net_config(&f->n, CFG_MAC + i, 1), mac[i]);
}

/* rules: net-ctrl-5 */
static void test_5_1_6_5_2_a_trusted_function_sets_its_address(void **state)
{
	struct net_fixture *f = *state;
	uint8_t mine[6];

	net_test_mac(mine, 1);
	net_start(&f->n, CTRL | N_CTRL_RX | N_CTRL_MAC_ADDR);
	assert_config_mac(f, mine);
	assert_int_equal(net_ctrl(&f->n, CTRL_MAC, MAC_ADDR_SET, other, 6), CTRL_OK);
	assert_config_mac(f, other);
	assert_true(takes(f, other));
	assert_false(takes(f, mine));
	/* a group's address is nobody's */
	assert_int_equal(net_ctrl(&f->n, CTRL_MAC, MAC_ADDR_SET, multicast, 6), CTRL_ERR);
	assert_int_equal(net_ctrl(&f->n, CTRL_MAC, MAC_ADDR_SET, broadcast, 6), CTRL_ERR);
	assert_config_mac(f, other);
	/* the next driver finds the one that the function was made with */
	driver_reset(&f->n.d);
	assert_config_mac(f, mine);
	net_start(&f->n, CTRL | N_CTRL_RX);
	assert_true(takes(f, mine));
	assert_false(takes(f, other));
}

static void test_5_1_6_5_2_an_untrusted_function_keeps_its_address(void **state)
{
	struct net_fixture *f = *state;
	uint8_t mine[6];

	net_test_mac(mine, 1);
	net_start(&f->n, CTRL | N_CTRL_RX | N_CTRL_MAC_ADDR);
	assert_int_equal(net_ctrl(&f->n, CTRL_MAC, MAC_ADDR_SET, other, 6), CTRL_ERR);
	assert_config_mac(f, mine);
	assert_true(takes(f, mine));
	assert_false(takes(f, other));
	/* drivers set what they have as they start */
	assert_int_equal(net_ctrl(&f->n, CTRL_MAC, MAC_ADDR_SET, mine, 6), CTRL_OK);
}

/* --- 5.1.6.5.3: VLANs --- */

/* rules: net-ctrl-8 */
static void test_5_1_6_5_3_vlans(void **state)
{
	struct net_fixture *f = *state;
	struct net_driver *n = &f->n;

	net_start(n, CTRL | N_CTRL_VLAN);
	/* the table is empty, and for tagged frames only */
	assert_true(takes(f, NULL));
	assert_false(takes_vlan(f, NULL, 1));
	assert_false(takes_vlan(f, NULL, 0));
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, VLAN_ADD, 1), CTRL_OK);
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, VLAN_ADD, 1), CTRL_OK);
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, VLAN_ADD, 64), CTRL_OK);
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, VLAN_ADD, 4095), CTRL_OK);
	assert_true(takes_vlan(f, NULL, 1));
	assert_true(takes_vlan(f, NULL, 64));
	assert_true(takes_vlan(f, NULL, 4095));
	assert_false(takes_vlan(f, NULL, 65));
	/* priority and DEI are not part of it */
	assert_true(takes_vlan(f, NULL, 0xf001));
	assert_false(takes_vlan(f, NULL, 0xf002));
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, VLAN_DEL, 1), CTRL_OK);
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, VLAN_DEL, 2), CTRL_OK);
	assert_false(takes_vlan(f, NULL, 1));
	assert_true(takes_vlan(f, NULL, 64));
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, VLAN_ADD, 4096), CTRL_ERR);
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, VLAN_DEL, 0xffff), CTRL_ERR);
}

static void test_5_1_6_5_3_addresses_and_vlans(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, CTRL | N_CTRL_VLAN | N_CTRL_RX);
	assert_int_equal(net_ctrl16(&f->n, CTRL_VLAN, VLAN_ADD, 5), CTRL_OK);
	assert_true(takes_vlan(f, NULL, 5));
	assert_false(takes_vlan(f, other, 5));
	assert_false(takes_vlan(f, NULL, 6));
	/* 5.1.6.5.1.1: promiscuous is all incoming packets */
	assert_int_equal(net_ctrl8(&f->n, CTRL_RX, RX_PROMISC, 1), CTRL_OK);
	assert_true(takes_vlan(f, other, 5));
	assert_true(takes_vlan(f, NULL, 6));
	assert_true(takes_vlan(f, other, 6));
}

/* --- 5.1.6.5.6: pairs --- */

static uint32_t give_flow(struct net_fixture *f, uint16_t port)
{
	uint32_t len = frame_to(f, (struct frame_params){ .payload = 10, .sport = port });

	wire_give(&f->wire, NULL, f->frame, len);
	return len;
}

/* In which of the queues the frame came. */
static int got_in(struct net_fixture *f, uint32_t len)
{
	int in = -1;

	for (uint16_t pair = 0; pair < f->n.pairs; pair++) {
		while (net_recv(&f->n, pair, &f->r)) {
			assert_int_equal(in, -1);
			assert_int_equal(f->r.len, len);
			in = pair;
		}
	}
	return in;
}

/* rules: net-ctrl-10 */
static void test_5_1_6_5_6_pairs(void **state)
{
	struct net_fixture *f = net_fixture_new(&(struct device_params){ .queues = 4 });
	struct net_driver *n = &f->n;
	int queue[64], seen = 0;

	*state = f;
	net_start(n, CTRL | N_MQ);
	for (uint16_t pair = 0; pair < 4; pair++)
		for (int i = 0; i < 100; i++)
			net_post(n, pair, 100);
	/* 5.1.6.5.6.2: only the first, before the driver asks for more */
	for (uint16_t flow = 0; flow < 10; flow++)
		assert_int_equal(got_in(f, give_flow(f, flow)), 0);
	assert_int_equal(net_ctrl16(n, CTRL_MQ, 0, 4), CTRL_OK);
	for (uint16_t flow = 0; flow < 64; flow++) {
		queue[flow] = got_in(f, give_flow(f, flow));
		assert_in_range(queue[flow], 0, 3);
		seen |= 1 << queue[flow];
	}
	assert_int_equal(seen, 15); /* all of them are used */
	/* a flow stays where it is */
	for (uint16_t flow = 0; flow < 20; flow++)
		assert_int_equal(got_in(f, give_flow(f, flow)), queue[flow]);
	assert_int_equal(net_ctrl16(n, CTRL_MQ, 0, 2), CTRL_OK);
	for (uint16_t flow = 0; flow < 20; flow++)
		assert_in_range(got_in(f, give_flow(f, flow)), 0, 1);
	assert_int_equal(net_ctrl16(n, CTRL_MQ, 0, 1), CTRL_OK);
	for (uint16_t flow = 0; flow < 5; flow++)
		assert_int_equal(got_in(f, give_flow(f, flow)), 0);
}

static void test_5_1_6_5_6_numbers_of_pairs(void **state)
{
	struct net_fixture *f = net_fixture_new(&(struct device_params){ .queues = 4 });

	*state = f;
	net_start(&f->n, CTRL | N_MQ);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 0, 0), CTRL_ERR);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 0, 5), CTRL_ERR);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 0, 0x8000), CTRL_ERR);
	assert_int_equal(net_ctrl8(&f->n, CTRL_MQ, 0, 1), CTRL_ERR);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 1, 4), CTRL_ERR);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 2, 4), CTRL_ERR);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 0, 4), CTRL_OK);
	/* not negotiated */
	net_start(&f->n, CTRL);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 0, 4), CTRL_ERR);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 0, 1), CTRL_ERR);
}

/* Fragments have no ports; no part of a packet takes another way than the rest. */
static void test_5_1_6_5_6_fragments_stay_together(void **state)
{
	struct net_fixture *f = net_fixture_new(&(struct device_params){ .queues = 4 });
	int first = -1;

	*state = f;
	net_start(&f->n, CTRL | N_MQ);
	for (uint16_t pair = 0; pair < 4; pair++)
		for (int i = 0; i < 100; i++)
			net_post(&f->n, pair, 100);
	assert_int_equal(net_ctrl16(&f->n, CTRL_MQ, 0, 4), CTRL_OK);
	for (uint16_t i = 0; i < 32; i++) {
		struct frame_params p = { .payload = 10, .udp = true, .sport = i };
		uint32_t len = frame_to(f, p);
		int in;

		/* the first has More Fragments, the others an offset */
		f->frame[f->info.l3 + 6] = i ? 0 : 0x20;
		f->frame[f->info.l3 + 7] = (uint8_t)i;
		wire_give(&f->wire, NULL, f->frame, len);
		in = got_in(f, len);
		assert_in_range(in, 0, 3);
		if (first < 0)
			first = in;
		assert_int_equal(in, first);
	}
	/* what is neither TCP nor UDP has no ports either */
	first = -1;
	for (uint16_t i = 0; i < 32; i++) {
		struct frame_params p = { .payload = 10, .udp = true, .sport = i };
		uint32_t len = frame_to(f, p);
		int in;

		f->frame[f->info.l3 + 9] = 1; /* ICMP */
		wire_give(&f->wire, NULL, f->frame, len);
		in = got_in(f, len);
		if (first < 0)
			first = in;
		assert_int_equal(in, first);
	}
}

/* --- 5.1.6.5.8: offloads --- */

static uint8_t set_offloads(struct net_fixture *f, uint64_t offloads)
{
	return net_ctrl(&f->n, CTRL_OFFLOADS, 0, &offloads, sizeof(offloads));
}

/* Whether a frame with an incomplete checksum is passed on as it is. */
static bool takes_partial(struct net_fixture *f)
{
	uint32_t len = frame_to(f, (struct frame_params){ .payload = 10, .partial = true });
	struct hdr hdr = hdr_csum(&f->info);
	struct frame_info info;

	net_post(&f->n, 0, 200);
	wire_give(&f->wire, &hdr, f->frame, len);
	assert_true(net_recv(&f->n, 0, &f->r));
	if (f->r.hdr.flags & HDR_NEEDS_CSUM)
		return true;
	assert_null(frame_check(f->r.data, f->r.len, &info));
	return false;
}

static void test_5_1_6_5_8_offloads_are_switched(void **state)
{
	struct net_fixture *f = *state;
	unsigned int changed;

	net_start(&f->n, CTRL | N_CTRL_GUEST_OFFLOADS | N_GUEST_CSUM | N_GUEST_TSO4);
	assert_true(takes_partial(f));
	assert_int_equal(net_offloads(f->n.member->vf.dev), N_GUEST_CSUM | N_GUEST_TSO4);
	changed = f->wire.changed;
	assert_int_equal(set_offloads(f, 0), CTRL_OK);
	assert_true(f->wire.changed > changed); /* whoever sends can do better, perhaps */
	assert_int_equal(net_offloads(f->n.member->vf.dev), 0);
	assert_false(takes_partial(f));
	assert_int_equal(set_offloads(f, N_GUEST_CSUM), CTRL_OK);
	assert_true(takes_partial(f));
	/* 5.1.6.5.8.2: only what was negotiated */
	assert_int_equal(set_offloads(f, N_GUEST_CSUM | N_GUEST_TSO6), CTRL_ERR);
	assert_int_equal(set_offloads(f, N_GUEST_CSUM | N_MAC), CTRL_ERR);
	assert_int_equal(set_offloads(f, 1ull << 63), CTRL_ERR);
	assert_int_equal(net_offloads(f->n.member->vf.dev), N_GUEST_CSUM);
	assert_int_equal(set_offloads(f, N_GUEST_CSUM | N_GUEST_TSO4), CTRL_OK);
	/* negotiation enables what it negotiates */
	assert_int_equal(set_offloads(f, 0), CTRL_OK);
	net_start(&f->n, CTRL | N_CTRL_GUEST_OFFLOADS | N_GUEST_CSUM);
	assert_true(takes_partial(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_5_1_6_5_unknown_commands),
		TRUSTED_TEST(test_5_1_6_5_commands_need_their_features),
		cmocka_unit_test_teardown(test_5_1_2_where_the_control_queue_is, net_teardown),
		NET_TEST(test_5_1_6_1_a_legacy_control_queue),
		NET_TEST(test_5_1_6_5_any_layout),
		NET_TEST(test_5_1_6_5_chains_that_are_no_command),
		NET_TEST(test_5_1_6_5_1_without_filters_everything_is_taken),
		NET_TEST(test_5_1_6_5_1_receive_modes),
		NET_TEST(test_5_1_6_5_1_a_mode_is_0_or_1),
		NET_TEST(test_5_1_6_5_1_a_reset_clears_the_modes),
		NET_TEST(test_5_1_6_5_2_tables),
		NET_TEST(test_5_1_6_5_2_tables_of_every_length),
		NET_TEST(test_5_1_6_5_2_tables_that_are_cut_short),
		TRUSTED_TEST(test_5_1_6_5_2_a_trusted_function_sets_its_address),
		NET_TEST(test_5_1_6_5_2_an_untrusted_function_keeps_its_address),
		NET_TEST(test_5_1_6_5_3_vlans),
		NET_TEST(test_5_1_6_5_3_addresses_and_vlans),
		cmocka_unit_test_teardown(test_5_1_6_5_6_pairs, net_teardown),
		cmocka_unit_test_teardown(test_5_1_6_5_6_numbers_of_pairs, net_teardown),
		cmocka_unit_test_teardown(test_5_1_6_5_6_fragments_stay_together, net_teardown),
		NET_TEST(test_5_1_6_5_8_offloads_are_switched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
