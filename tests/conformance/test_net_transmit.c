/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from a driver (virtio 1.3, 5.1.6.2), and whose they may be. */
#include "net_fixture.h"

#define OFFLOADS (N_CSUM | N_HOST_TSO4 | N_HOST_TSO6 | N_HOST_ECN)

/* The wire has one frame more, as it is in f->frame. */
static void assert_sent(struct net_fixture *f, uint32_t len)
{
	assert_int_equal(f->wire.count, 1);
	assert_int_equal(f->wire.sent[0].len, len);
	assert_memory_equal(f->wire.sent[0].data, f->frame, len);
	wire_clear(&f->wire);
}

/* It has none; what was wrong is counted, and the queue goes on. */
static void assert_dropped(struct net_fixture *f, enum counter counter)
{
	static const enum counter drops[] = { COUNTER_drop_malformed, COUNTER_drop_spoof,
					      COUNTER_drop_link };

	assert_int_equal(f->wire.count, 0);
	for (size_t i = 0; i < COUNT(drops); i++) {
		assert_int_equal(net_counter(&f->n, drops[i]), drops[i] == counter);
		f->n.member->counters.value[drops[i]] = 0;
	}
	assert_false(common(&f->n.d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
}

/* --- frames --- */

static void send_some(struct net_fixture *f)
{
	for (uint32_t payload = 0; payload < 1500; payload += 111) {
		uint32_t len = frame_from(f, (struct frame_params){ .payload = payload });

		net_send(&f->n, NULL, f->frame, len);
		assert_int_equal(f->wire.sent[0].hdr.flags, 0);
		assert_int_equal(f->wire.sent[0].hdr.gso_type, GSO_NONE);
		assert_sent(f, len);
	}
	assert_int_equal(CTR(&f->n, tx_packets), 14);
}

static void test_5_1_6_2_frames_of_a_modern_driver(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, N_MAC);
	send_some(f);
}

static void test_5_1_6_1_frames_of_a_legacy_driver(void **state)
{
	struct net_fixture *f = *state;

	net_start_legacy(&f->n, N_MAC);
	assert_int_equal(f->n.header, 10);
	send_some(f);
}

static void test_5_1_6_1_frames_of_a_legacy_driver_with_mergeable_buffers(void **state)
{
	struct net_fixture *f = *state;

	net_start_legacy(&f->n, N_MAC | N_MRG_RXBUF);
	assert_int_equal(f->n.header, 12);
	send_some(f);
}

/* 2.7.4: nothing depends on how a buffer is cut into descriptors. */
/* rules: split-1 */
static void test_2_7_4_any_layout(void **state)
{
	static const uint32_t cuts[][6] = {
		{ 12 }, { 10, 2 }, { 1, 1, 1, 1, 1, 1 }, { 12, 64 }, { 12, 6, 6, 2, 49, 3 }, { 77 },
	};
	static const size_t parts[] = { 1, 2, 6, 2, 6, 1 };
	struct net_fixture *f = *state;
	uint32_t len, used;

	net_start(&f->n, N_MAC);
	for (size_t i = 0; i < COUNT(cuts); i++) {
		len = frame_from(f, (struct frame_params){ .payload = 700 });
		net_send_parts(&f->n, NULL, f->frame, len, cuts[i], parts[i]);
		net_kick(&f->n, 1);
		driver_used(&f->n.d, &f->n.tx[0], &used);
		assert_int_equal(used, 0);
		assert_sent(f, len);
	}
}

/* More than one turn of the device: all go out, in order. */
static void test_many_frames_at_once(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len, used;

	net_start(&f->n, N_MAC);
	len = frame_from(f, (struct frame_params){ .payload = 10 });
	for (int i = 0; i < NET_RING; i++)
		net_send_parts(&f->n, NULL, f->frame, len, NULL, 0);
	net_kick(&f->n, 1);
	for (uint32_t i = 0; i < NET_RING; i++)
		assert_int_equal(driver_used(&f->n.d, &f->n.tx[0], &used), i);
	assert_int_equal(f->wire.count, NET_RING);
	assert_int_equal(driver_events(&f->n.d, VEC_TX) > 0, 1);
}

static void test_lengths_that_no_frame_has(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 65495 });

	net_start(&f->n, N_MAC);
	for (uint32_t n = 0; n < 14; n++) {
		net_send(&f->n, NULL, f->frame, n);
		assert_dropped(f, COUNTER_drop_malformed);
	}
	net_send(&f->n, NULL, f->frame, 14);
	assert_sent(f, 14);
	/* an IP packet of 65535 bytes, and a tag */
	assert_int_equal(len, 14 + 65535);
	net_send(&f->n, NULL, f->frame, 65535 + 18);
	assert_sent(f, 65535 + 18);
	net_send(&f->n, NULL, f->frame, 65535 + 19);
	assert_dropped(f, COUNTER_drop_malformed);
}

/* A header that is cut short, and a chain that has nothing to read. */
static void test_chains_that_are_no_frame(void **state)
{
	struct net_fixture *f = *state;
	uint64_t in = ram_alloc(&f->n.d.ram, 100, 1);
	uint32_t used;

	net_start(&f->n, N_MAC);
	for (uint32_t n = 1; n < 12; n++) {
		ring_add(&f->n.tx[0], &(struct buf){ f->n.scratch, n, false }, 1);
		net_kick(&f->n, 1);
		driver_used(&f->n.d, &f->n.tx[0], &used);
		assert_dropped(f, COUNTER_drop_malformed);
	}
	ring_add(&f->n.tx[0], &(struct buf){ in, 100, true }, 1);
	net_kick(&f->n, 1);
	driver_used(&f->n.d, &f->n.tx[0], &used);
	assert_int_equal(used, 0);
	assert_dropped(f, COUNTER_drop_malformed);
}

/* --- headers --- */

/* 5.1.6.2.2: flags that are not known are ignored, and checksum fields without NEEDS_CSUM. */
/* rules: net-tx-1 net-tx-2 net-tx-3 net-tx-5 */
static void test_5_1_6_2_2_what_is_ignored_in_a_header(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 10 });
	struct hdr hdr = { .flags = 0xfe,
			   .csum_start = 0xffff,
			   .csum_offset = 0xffff,
			   .hdr_len = 0xffff,
			   .num_buffers = 0xffff };

	net_start(&f->n, N_MAC | OFFLOADS);
	net_send(&f->n, &hdr, f->frame, len);
	/* in particular, nobody vouches for a checksum (HDR_DATA_VALID) */
	assert_int_equal(f->wire.sent[0].hdr.flags, 0);
	assert_sent(f, len);
	net_start(&f->n, N_MAC);
	net_send(&f->n, &hdr, f->frame, len);
	assert_sent(f, len);
}

static void test_5_1_6_2_checksum_and_segmentation(void **state)
{
	struct net_fixture *f = *state;
	struct frame_params p = { .payload = 3000, .partial = true };
	struct hdr hdr;
	uint32_t len;

	net_start(&f->n, N_MAC | OFFLOADS);
	len = frame_from(f, p);
	hdr = hdr_csum(&f->info);
	net_send(&f->n, &hdr, f->frame, len);
	assert_int_equal(f->wire.sent[0].hdr.flags, HDR_NEEDS_CSUM);
	assert_int_equal(f->wire.sent[0].hdr.csum_start, f->info.l4);
	assert_int_equal(f->wire.sent[0].hdr.csum_offset, 16);
	assert_sent(f, len);
	for (int kind = 0; kind < 4; kind++) {
		p.v6 = kind & 1;
		len = frame_from(f, p);
		hdr = hdr_tso(&f->info, 1000);
		if (kind & 2)
			hdr.gso_type |= GSO_ECN;
		net_send(&f->n, &hdr, f->frame, len);
		assert_int_equal(f->wire.sent[0].hdr.gso_type, hdr.gso_type);
		assert_int_equal(f->wire.sent[0].hdr.gso_size, 1000);
		assert_sent(f, len);
	}
}

/* 5.1.6.2.1: what was not negotiated must not be asked for. */
static void test_5_1_6_2_1_offloads_need_their_features(void **state)
{
	static const struct {
		uint64_t features;
		uint8_t gso_type; /* 0: a checksum only */
		bool ok;
	} cases[] = {
		{ 0, 0, false },
		{ N_HOST_TSO4, 0, false },
		{ N_CSUM, 0, true },
		{ N_CSUM, GSO_TCPV4, false },
		{ N_CSUM, GSO_TCPV6, false },
		{ N_CSUM | N_HOST_TSO4, GSO_TCPV4, true },
		{ N_CSUM | N_HOST_TSO4, GSO_TCPV6, false },
		{ N_CSUM | N_HOST_TSO6, GSO_TCPV4, false },
		{ N_CSUM | N_HOST_TSO6, GSO_TCPV6, true },
		{ N_CSUM | N_HOST_TSO4, GSO_TCPV4 | GSO_ECN, false },
		{ N_CSUM | N_HOST_TSO4 | N_HOST_ECN, GSO_TCPV4 | GSO_ECN, true },
		{ N_HOST_TSO4, GSO_TCPV4, false },
		{ OFFLOADS, GSO_UDP, false },
		{ OFFLOADS, 2, false },
		{ OFFLOADS, 5, false },
		{ OFFLOADS, GSO_TCPV4 | 0x20, false },
		{ OFFLOADS, GSO_TCPV4 | 0x40, false },
	};
	struct net_fixture *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t len = frame_from(f, (struct frame_params){
						     .payload = 3000,
						     .partial = true,
						     .v6 = cases[i].gso_type == GSO_TCPV6,
					     });
		struct hdr hdr = hdr_csum(&f->info);

		net_start(&f->n, N_MAC | cases[i].features);
		if (cases[i].gso_type)
			hdr = hdr_tso(&f->info, 1000);
		hdr.gso_type = cases[i].gso_type;
		net_send(&f->n, &hdr, f->frame, len);
		if (cases[i].ok)
			assert_sent(f, len);
		else
			assert_dropped(f, COUNTER_drop_malformed);
	}
}

/* rules: net-tx-4 */
static void test_5_1_6_2_1_headers_that_ask_the_impossible(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 200, .partial = true });
	const struct hdr good = hdr_csum(&f->info);
	struct hdr hdr;
	static const struct {
		uint16_t start;
		uint16_t offset;
	} bad[] = {
		{ 253, 0 },
		{ 254, 0 },
		{ 0xffff, 0 },
		{ 0xffff, 1 },
		{ 34, 219 },
		{ 34, 0xffff },
		{ 0xffff, 0xffff },
		/* the Ethernet header is not for checksums */
		{ 0, 0 },
		{ 0, 6 },
		{ 0, 50 },
		{ 13, 1 },
	};

	assert_int_equal(len, 254);
	net_start(&f->n, N_MAC | OFFLOADS);
	for (size_t i = 0; i < COUNT(bad); i++) {
		hdr = good;
		hdr.csum_start = bad[i].start;
		hdr.csum_offset = bad[i].offset;
		net_send(&f->n, &hdr, f->frame, len);
		assert_dropped(f, COUNTER_drop_malformed);
	}
	hdr = good;
	hdr.csum_start = 252;
	hdr.csum_offset = 0;
	net_send(&f->n, &hdr, f->frame, len);
	assert_sent(f, len);
	/* segments without NEEDS_CSUM, or without a size, or of hardly any */
	hdr = hdr_tso(&f->info, 100);
	hdr.flags = 0;
	net_send(&f->n, &hdr, f->frame, len);
	assert_dropped(f, COUNTER_drop_malformed);
	for (uint16_t mss = 0; mss < 8; mss++) {
		hdr = hdr_tso(&f->info, mss);
		net_send(&f->n, &hdr, f->frame, len);
		assert_dropped(f, COUNTER_drop_malformed);
	}
	/* ECN alone is no type */
	hdr = good;
	hdr.gso_type = GSO_ECN;
	net_send(&f->n, &hdr, f->frame, len);
	if (f->wire.count)
		assert_sent(f, len);
}

/* Types of tunnels, which are not offered, and types that do not exist. */
/* rules: net-tx-4 */
static void test_5_1_6_2_2_types_that_were_not_negotiated(void **state)
{
	static const uint8_t types[] = { 0x20, 0x21, 0x24, 0x40, 0x41, 0x60, 0x61,
					 0x7f, 2,    3,    5,    6,    0x10 };
	struct net_fixture *f = *state;
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 200, .partial = true });

	net_start(&f->n, N_MAC | OFFLOADS);
	for (size_t i = 0; i < COUNT(types); i++) {
		struct hdr hdr = hdr_tso(&f->info, 100);

		hdr.gso_type = types[i];
		net_send(&f->n, &hdr, f->frame, len);
		assert_dropped(f, COUNTER_drop_malformed);
	}
}

/* 5.1.4.1: what the MTU allows is sent as it is. */
/* rules: net-cfg-4 */
static void test_5_1_4_1_frames_of_the_mtu_are_sent_whole(void **state)
{
	struct net_fixture *f = net_fixture_new(&(struct device_params){ .mtu = 9000 });
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 8960 });

	*state = f;
	assert_int_equal(len, 9014);
	net_start(&f->n, N_MAC | N_MTU);
	net_send(&f->n, NULL, f->frame, len);
	assert_sent(f, len);
}

/* A tag moves the checksum's place on. */
static void test_a_checksum_does_not_touch_the_tag(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_from(f, (struct frame_params){
					     .payload = 200,
					     .partial = true,
					     .tagged = true,
					     .vlan = 5,
				     });
	struct hdr hdr = hdr_csum(&f->info);

	net_start(&f->n, N_MAC | OFFLOADS);
	net_send(&f->n, &hdr, f->frame, len);
	assert_sent(f, len);
	hdr.csum_start = 14;
	hdr.csum_offset = 0;
	net_send(&f->n, &hdr, f->frame, len);
	assert_dropped(f, COUNTER_drop_malformed);
}

/* --- whose frames --- */

static void test_a_function_sends_from_its_own_address_only(void **state)
{
	static const uint8_t others[][6] = {
		{ 0x52, 0x54, 0x00, 0x11, 0x22, 0x02 },
		{ 0x53, 0x54, 0x00, 0x11, 0x22, 0x01 },
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		{ 0x02, 0x00, 0x00, 0x00, 0x00, 0x00 },
	};
	struct net_fixture *f = *state;
	struct frame_params p = { .payload = 10 };
	uint32_t len;

	net_start(&f->n, N_MAC);
	for (size_t i = 0; i < COUNT(others); i++) {
		memcpy(p.src, others[i], 6);
		len = frame_from(f, p);
		net_send(&f->n, NULL, f->frame, len);
		assert_dropped(f, COUNTER_drop_spoof);
	}
	assert_int_equal(CTR(&f->n, tx_packets), 0);
	len = frame_from(f, (struct frame_params){ .payload = 10 });
	net_send(&f->n, NULL, f->frame, len);
	assert_sent(f, len);
}

static void test_a_trusted_function_sends_from_any_address(void **state)
{
	struct net_fixture *f = *state;
	struct frame_params p = { .payload = 10, .src = { 2, 3, 4, 5, 6, 7 } };
	uint32_t len;

	net_start(&f->n, N_MAC);
	len = frame_from(f, p);
	net_send(&f->n, NULL, f->frame, len);
	assert_sent(f, len);
}

/* Another of the guest's processors writes to the buffer while the device has it. */
static void overwrite_frame(void *ctx)
{
	struct net_fixture *f = ctx;

	memset(ram_at(&f->n.d.ram, f->n.scratch), 0xff, 12 + 300);
}

static void test_what_was_checked_is_what_is_sent(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 200, .partial = true });
	struct hdr hdr = hdr_csum(&f->info);

	net_start(&f->n, N_MAC | OFFLOADS);
	f->wire.hook = overwrite_frame;
	f->wire.ctx = f;
	net_send(&f->n, &hdr, f->frame, len);
	assert_int_equal(f->wire.count, 1);
	assert_int_equal(f->wire.sent[0].hdr.csum_start, f->info.l4);
	/* addresses, VLAN, ports; the rest is the guest's own loss */
	assert_memory_equal(f->wire.sent[0].data, f->frame, NET_HEAD);
	assert_int_equal(f->wire.sent[0].data[NET_HEAD], 0xff);
}

/* --- links and resets --- */

static void test_a_link_that_is_down_carries_nothing(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 200 });

	net_start(&f->n, N_MAC | N_STATUS);
	net_set_link(f->n.member->vf.dev, false);
	net_send(&f->n, NULL, f->frame, len);
	assert_dropped(f, COUNTER_drop_link);
	net_set_link(f->n.member->vf.dev, true);
	net_send(&f->n, NULL, f->frame, len);
	assert_sent(f, len);
}

static void reset_device(void *ctx)
{
	struct net_fixture *f = ctx;

	set_common(&f->n.d, C_DEVICE_STATUS, 1, 0);
}

static void reset_function(void *ctx)
{
	struct net_fixture *f = ctx;

	f->n.d.pa->ops->reset(f->n.d.pa, NULL);
}

static void fill_and_kick(struct net_fixture *f)
{
	uint32_t len = frame_from(f, (struct frame_params){ .payload = 200 });

	for (int i = 0; i < 10; i++)
		net_send_parts(&f->n, NULL, f->frame, len, NULL, 0);
	net_kick(&f->n, 1);
	machine_settle(f->w.m);
}

/* 2.4.1: once it is reset the device takes nothing more, and uses nothing. */
static void test_2_4_1_a_reset_while_frames_are_sent(void **state)
{
	struct net_fixture *f = *state;

	f->wire.ctx = f;
	net_start(&f->n, N_MAC);
	f->wire.hook = reset_device;
	fill_and_kick(f);
	assert_int_equal(f->wire.count, 1);
	assert_int_equal(common(&f->n.d, C_DEVICE_STATUS, 1), 0);
	assert_int_equal(ring_used_idx(&f->n.tx[0]), 0);
	wire_clear(&f->wire);
	f->wire.hook = NULL;
	net_start(&f->n, N_MAC);
	fill_and_kick(f);
	assert_int_equal(f->wire.count, 10);
	wire_clear(&f->wire);
	/* the same by FLR */
	f->wire.hook = reset_function;
	fill_and_kick(f);
	assert_int_equal(f->wire.count, 1);
	assert_int_equal(common(&f->n.d, C_DEVICE_STATUS, 1), 0);
	assert_int_equal(ring_used_idx(&f->n.tx[0]), 10);
	wire_clear(&f->wire);
	f->wire.hook = NULL;
	cfg_write(&f->n.d, 4, 2, 6);
	net_start(&f->n, N_MAC);
	fill_and_kick(f);
	assert_int_equal(f->wire.count, 10);
}

/* 2.6.1: a queue that is reset in the middle of a turn. */
static void reset_queue(void *ctx)
{
	struct net_fixture *f = ctx;

	set_common(&f->n.d, C_QUEUE_SELECT, 2, 1);
	set_common(&f->n.d, C_QUEUE_RESET, 2, 1);
}

static void test_2_6_1_1_a_queue_reset_while_frames_are_sent(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, N_MAC | F_RING_RESET);
	f->wire.ctx = f;
	f->wire.hook = reset_queue;
	fill_and_kick(f);
	assert_int_equal(f->wire.count, 1);
	set_common(&f->n.d, C_QUEUE_SELECT, 2, 1);
	assert_int_equal(common(&f->n.d, C_QUEUE_RESET, 2), 0);
	assert_int_equal(common(&f->n.d, C_QUEUE_ENABLE, 2), 0);
	assert_int_equal(ring_used_idx(&f->n.tx[0]), 0);
	wire_clear(&f->wire);
	f->wire.hook = NULL;
	ring_init(&f->n.tx[0], &f->n.d.ram, 16);
	driver_queue(&f->n.d, 1, &f->n.tx[0], VEC_TX);
	fill_and_kick(f);
	assert_int_equal(f->wire.count, 10);
	assert_int_equal(ring_used_idx(&f->n.tx[0]), 10);
}

/* Without a backend frames go nowhere, and buffers come back. */
static void test_no_backend(void **state)
{
	struct net_fixture *f = *state;
	struct net_driver other;
	uint32_t len = frame_from(f, (struct frame_params){
					     .payload = 200,
					     .src = { 0x52, 0x54, 0x00, 0x11, 0x22, 0x02 },
				     });

	net_open(&other, &f->w, 2, NULL, NULL);
	net_start(&other, N_MAC | N_CTRL_VQ | N_CTRL_RX | N_CTRL_GUEST_OFFLOADS);
	net_post(&other, 0, 100);
	net_kick(&other, 0);
	net_send(&other, NULL, f->frame, len);
	assert_int_equal(net_ctrl8(&other, CTRL_RX, 0, 1), CTRL_OK);
	net_close(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_5_1_6_2_frames_of_a_modern_driver),
		NET_TEST(test_5_1_6_1_frames_of_a_legacy_driver),
		NET_TEST(test_5_1_6_1_frames_of_a_legacy_driver_with_mergeable_buffers),
		NET_TEST(test_2_7_4_any_layout),
		NET_TEST(test_many_frames_at_once),
		NET_TEST(test_lengths_that_no_frame_has),
		NET_TEST(test_chains_that_are_no_frame),
		NET_TEST(test_5_1_6_2_2_what_is_ignored_in_a_header),
		NET_TEST(test_5_1_6_2_checksum_and_segmentation),
		NET_TEST(test_5_1_6_2_1_offloads_need_their_features),
		NET_TEST(test_5_1_6_2_1_headers_that_ask_the_impossible),
		NET_TEST(test_5_1_6_2_2_types_that_were_not_negotiated),
		cmocka_unit_test_teardown(test_5_1_4_1_frames_of_the_mtu_are_sent_whole,
					  net_teardown),
		NET_TEST(test_a_checksum_does_not_touch_the_tag),
		NET_TEST(test_a_function_sends_from_its_own_address_only),
		TRUSTED_TEST(test_a_trusted_function_sends_from_any_address),
		NET_TEST(test_what_was_checked_is_what_is_sent),
		NET_TEST(test_a_link_that_is_down_carries_nothing),
		NET_TEST(test_2_4_1_a_reset_while_frames_are_sent),
		NET_TEST(test_2_6_1_1_a_queue_reset_while_frames_are_sent),
		NET_TEST(test_no_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
