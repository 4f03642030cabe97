/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames into a driver's buffers (virtio 1.3, 5.1.6.3 and 5.1.6.4). */
#include "net_fixture.h"

/* --- the header --- */

static void check_single(struct net_fixture *f, uint16_t header)
{
	assert_int_equal(f->n.header, header);
	for (uint32_t payload = 0; payload < 200; payload += 13) {
		uint32_t len = frame_to(f, (struct frame_params){ .payload = payload });
		uint64_t at = net_post(&f->n, 0, 2000);

		wire_give(&f->wire, NULL, f->frame, len);
		assert_received(f, 0, len);
		assert_int_equal(f->r.used[0], header + len);
		assert_int_equal(f->r.hdr.flags, 0);
		assert_int_equal(f->r.hdr.gso_type, GSO_NONE);
		/* nothing was written behind it */
		assert_int_equal(*(uint8_t *)ram_at(&f->n.d.ram, at + header + len), 0xee);
	}
	assert_int_equal(CTR(&f->n, rx_packets), 16);
}

/* 5.1.6.3.2: without mergeable buffers a frame has one, and num_buffers says so. */
/* rules: net-rx-1 */
static void test_5_1_6_3_2_a_modern_header_has_num_buffers(void **state)
{
	struct net_fixture *f = *state;

	net_start(&f->n, N_MAC);
	check_single(f, 12);
	assert_int_equal(f->r.hdr.num_buffers, 1);
}

/* 5.1.6.1: a legacy driver without mergeable buffers knows a header of 10 bytes. */
static void test_5_1_6_1_a_legacy_header_is_shorter(void **state)
{
	struct net_fixture *f = *state;

	net_start_legacy(&f->n, N_MAC);
	check_single(f, 10);
}

static void test_5_1_6_1_a_legacy_header_with_mergeable_buffers(void **state)
{
	struct net_fixture *f = *state;

	net_start_legacy(&f->n, N_MAC | N_MRG_RXBUF);
	check_single(f, 12);
	assert_int_equal(f->r.hdr.num_buffers, 1);
}

/* --- mergeable buffers --- */

/* 5.1.6.4.1: all but the last are full, and num_buffers counts them. */
/* rules: net-rx-1 net-rx-3 */
static void test_5_1_6_4_1_a_frame_in_several_buffers(void **state)
{
	static const uint32_t sizes[] = { 12, 13, 64, 100, 526, 1500 };
	struct net_fixture *f = *state;

	net_start(&f->n, N_MAC | N_MRG_RXBUF);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		for (uint32_t payload = 0; payload < 500; payload += 83) {
			uint32_t len = frame_to(f, (struct frame_params){ .payload = payload });
			uint32_t all = len + 12, n = (all + sizes[i] - 1) / sizes[i];

			if (n > 60)
				continue;
			for (uint32_t b = 0; b < n; b++)
				net_post(&f->n, 0, sizes[i]);
			wire_give_pieces(&f->wire, NULL, f->frame, len, 37);
			assert_received(f, 0, len);
			assert_int_equal(f->r.hdr.num_buffers, n);
			assert_int_equal(f->r.buffers, n);
			for (uint32_t b = 0; b + 1 < n; b++)
				assert_int_equal(f->r.used[b], sizes[i]);
			assert_int_equal(f->r.used[n - 1], all - (n - 1) * sizes[i]);
			assert_nothing(f, 0);
		}
	}
}

/* Buffers of any sizes, and in several descriptors, the header cut as well. */
/* rules: net-rx-3 */
static void test_5_1_6_4_1_buffers_of_all_shapes(void **state)
{
	static const uint32_t shapes[][4] = {
		{ 12, 1, 1, 50 }, { 1, 11, 30, 7 }, { 20, 20, 20, 20 },
		{ 3, 3, 3, 400 }, { 500, 1, 1, 1 },
	};
	struct net_fixture *f = *state;
	uint32_t len;

	net_start(&f->n, N_MAC | N_MRG_RXBUF);
	for (size_t i = 0; i < COUNT(shapes); i++) {
		for (size_t s = 0; s < COUNT(shapes); s++)
			net_post_parts(&f->n, 0, shapes[(i + s) % COUNT(shapes)], 4);
		len = frame_to(f, (struct frame_params){ .payload = 1000 });
		wire_give_pieces(&f->wire, NULL, f->frame, len, 64);
		assert_received(f, 0, len);
		while (f->r.buffers < COUNT(shapes)) {
			/* the next frame goes on behind the last buffer */
			uint16_t left = (uint16_t)(COUNT(shapes) - f->r.buffers);
			uint16_t before = f->r.buffers;

			len = frame_to(f, (struct frame_params){ .payload = 0 });
			wire_give(&f->wire, NULL, f->frame, len);
			assert_received(f, 0, len);
			assert_true(f->r.buffers <= left);
			f->r.buffers = (uint16_t)(f->r.buffers + before);
		}
	}
}

/* A frame that does not find enough buffers takes none. */
static void test_5_1_6_4_1_too_few_buffers_lose_the_frame_only(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len;
	uint64_t at;

	net_start(&f->n, N_MAC | N_MRG_RXBUF);
	len = frame_to(f, (struct frame_params){ .payload = 1000 });
	/* none at all */
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, drop_no_buffer), 1);
	at = net_post(&f->n, 0, 300);
	for (int i = 0; i < 2; i++)
		net_post(&f->n, 0, 300);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, drop_no_buffer), 2);
	assert_int_equal(*(uint8_t *)ram_at(&f->n.d.ram, at), 0xee);
	assert_int_equal(CTR(&f->n, rx_packets), 0);
	/* with one more it fits, and the first goes first */
	net_post(&f->n, 0, 300);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
	assert_int_equal(f->r.buffers, 4);
	assert_int_equal(*(uint8_t *)ram_at(&f->n.d.ram, at), 0);
	assert_int_equal(CTR(&f->n, rx_packets), 1);
	/* a smaller one gets through where a larger one did not */
	net_post(&f->n, 0, 300);
	wire_give(&f->wire, NULL, f->frame, len);
	len = frame_to(f, (struct frame_params){ .payload = 100 });
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, drop_no_buffer), 3);
}

/* The largest frame there is, and more buffers than one frame gets. */
static void test_the_largest_frame(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len;

	net_start(&f->n, N_MAC | N_MRG_RXBUF | N_GUEST_CSUM | N_GUEST_TSO4);
	for (int i = 0; i < 44; i++)
		net_post(&f->n, 0, 1536);
	len = frame_to(f, (struct frame_params){ .payload = 65495, .partial = true });
	assert_int_equal(len, 14 + 65535);
	wire_give(&f->wire, (struct hdr[]){ hdr_tso(&f->info, 1448) }, f->frame, len);
	assert_received(f, 0, len);
	assert_int_equal(f->r.buffers, 43);
	assert_int_equal(f->r.hdr.gso_size, 1448);
	assert_int_equal(f->r.hdr.gso_type, GSO_TCPV4);
}

/* --- buffers that are not mergeable --- */

/* 5.1.6.3.2: one buffer, or the frame is lost; the buffer is not. */
/* rules: net-rx-2 */
static void test_5_1_6_3_2_a_frame_larger_than_its_buffer(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len;

	net_start(&f->n, N_MAC);
	net_post(&f->n, 0, 500);
	net_post(&f->n, 0, 5000);
	len = frame_to(f, (struct frame_params){ .payload = 1000 });
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, drop_no_buffer), 1);
	/* one byte too many, and then just enough */
	len = frame_to(f, (struct frame_params){ .payload = 500 - 12 - 54 + 1 });
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	len = frame_to(f, (struct frame_params){ .payload = 500 - 12 - 54 });
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
	len = frame_to(f, (struct frame_params){ .payload = 1000 });
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
}

static void test_a_buffer_in_several_descriptors(void **state)
{
	static const uint32_t parts[] = { 5, 7, 1, 13, 1, 40, 3000 };
	struct net_fixture *f = *state;
	uint32_t len;

	net_start(&f->n, N_MAC);
	for (size_t skip = 0; skip < COUNT(parts); skip++) {
		net_post_parts(&f->n, 0, parts + skip, COUNT(parts) - skip);
		len = frame_to(f, (struct frame_params){ .payload = 1000 });
		wire_give_pieces(&f->wire, NULL, f->frame, len, 29);
		assert_received(f, 0, len);
	}
}

/* A driver's mistake: what is device-readable is not written (2.7.5.1). */
static void test_a_buffer_with_a_readable_part(void **state)
{
	struct net_fixture *f = *state;
	struct ram *ram = &f->n.d.ram;
	uint64_t out, in;
	uint32_t len, id, used;

	net_start(&f->n, N_MAC);
	out = ram_alloc(ram, 100, 1);
	in = ram_alloc(ram, 2000, 1);
	memset(ram_at(ram, out), 0xaa, 100);
	ring_add(&f->n.rx[0], (struct buf[]){ { out, 100, false }, { in, 2000, true } }, 2);
	/* and one that has nothing to write to */
	ring_add(&f->n.rx[0], &(struct buf){ out, 100, false }, 1);
	len = frame_to(f, (struct frame_params){ .payload = 10 });
	wire_give(&f->wire, NULL, f->frame, len);
	assert_true(ring_used(&f->n.rx[0], &id, &used));
	assert_int_equal(used, 12 + len);
	assert_memory_equal(ram_at(ram, in + 12), f->frame, len);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_false(ring_used(&f->n.rx[0], &id, &used));
	for (int i = 0; i < 100; i++)
		assert_int_equal(*(uint8_t *)ram_at(ram, out + i), 0xaa);
}

/* --- offloads --- */

/* 5.1.6.4.1: without GUEST_CSUM flags are zero and the checksum is complete. */
/* rules: net-rx-5 */
static void test_5_1_6_4_1_no_checksum_offload(void **state)
{
	struct net_fixture *f = *state;
	struct frame_info info;
	struct hdr hdr = { .flags = HDR_DATA_VALID };
	uint32_t len;

	net_start(&f->n, N_MAC | N_MRG_RXBUF);
	net_post(&f->n, 0, 4000);
	len = frame_to(f, (struct frame_params){ .payload = 100, .udp = true, .partial = true });
	hdr = hdr_csum(&f->info);
	wire_give_pieces(&f->wire, &hdr, f->frame, len, 70);
	assert_true(net_recv(&f->n, 0, &f->r));
	assert_int_equal(f->r.hdr.flags, 0);
	assert_int_equal(f->r.hdr.csum_start, 0);
	assert_null(frame_check(f->r.data, f->r.len, &info));
	assert_true(frame_payload_is(f->r.data, &info, 0));
	/* DATA_VALID is a flag as well */
	net_post(&f->n, 0, 4000);
	len = frame_to(f, (struct frame_params){ .payload = 100 });
	hdr = (struct hdr){ .flags = HDR_DATA_VALID };
	wire_give(&f->wire, &hdr, f->frame, len);
	assert_received(f, 0, len);
	assert_int_equal(f->r.hdr.flags, 0);
}

/* rules: net-rx-8 */
static void test_5_1_6_4_1_checksum_offload(void **state)
{
	struct net_fixture *f = *state;
	struct hdr hdr;
	uint32_t len;

	net_start(&f->n, N_MAC | N_GUEST_CSUM);
	net_post(&f->n, 0, 4000);
	len = frame_to(f, (struct frame_params){ .payload = 100, .partial = true });
	hdr = hdr_csum(&f->info);
	wire_give(&f->wire, &hdr, f->frame, len);
	assert_received(f, 0, len);
	assert_int_equal(f->r.hdr.flags, HDR_NEEDS_CSUM);
	assert_int_equal(f->r.hdr.csum_start, f->info.l4);
	assert_int_equal(f->r.hdr.csum_offset, 16);
	/* what was validated may be said */
	net_post(&f->n, 0, 4000);
	len = frame_to(f, (struct frame_params){ .payload = 100 });
	hdr = (struct hdr){ .flags = HDR_DATA_VALID };
	wire_give(&f->wire, &hdr, f->frame, len);
	assert_received(f, 0, len);
	assert_int_equal(f->r.hdr.flags, HDR_DATA_VALID);
	/* and nothing that is unknown, nor what has no meaning without NEEDS_CSUM */
	net_post(&f->n, 0, 4000);
	hdr = (struct hdr){ .flags = 0xfc, .hdr_len = 9, .csum_start = 10, .csum_offset = 11 };
	wire_give(&f->wire, &hdr, f->frame, len);
	assert_received(f, 0, len);
	assert_int_equal(f->r.hdr.flags, 0);
	assert_int_equal(f->r.hdr.csum_start, 0);
	assert_int_equal(f->r.hdr.csum_offset, 0);
	assert_int_equal(f->r.hdr.gso_size, 0);
}

/* A frame for TSO4, TSO6 or with ECN, and who takes it in one piece. */
/* rules: net-rx-6 net-rx-7 net-rx-9 */
static void test_5_1_6_4_1_segmentation_offloads(void **state)
{
	static const struct {
		bool v6;
		bool ecn;
		uint64_t features;
		bool whole;
	} cases[] = {
		{ false, false, 0, false },
		{ false, false, N_GUEST_CSUM, false },
		{ false, false, N_GUEST_CSUM | N_GUEST_TSO6, false },
		{ false, false, N_GUEST_CSUM | N_GUEST_TSO4, true },
		{ true, false, N_GUEST_CSUM | N_GUEST_TSO4, false },
		{ true, false, N_GUEST_CSUM | N_GUEST_TSO6, true },
		{ false, true, N_GUEST_CSUM | N_GUEST_TSO4, false },
		{ false, true, N_GUEST_CSUM | N_GUEST_TSO4 | N_GUEST_ECN, true },
		{ true, true, N_GUEST_CSUM | N_GUEST_TSO6 | N_GUEST_ECN, true },
	};
	struct net_fixture *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct frame_params p = { .v6 = cases[i].v6, .payload = 5000, .partial = true };
		uint32_t len = frame_to(f, p), done = 0;
		struct hdr hdr = hdr_tso(&f->info, 1400);
		struct frame_info info;

		if (cases[i].ecn)
			hdr.gso_type |= GSO_ECN;
		net_start(&f->n, N_MAC | cases[i].features);
		for (int b = 0; b < 5; b++)
			net_post(&f->n, 0, 6000);
		wire_give_pieces(&f->wire, &hdr, f->frame, len, 999);
		if (cases[i].whole) {
			assert_received(f, 0, len);
			assert_int_equal(f->r.hdr.flags, HDR_NEEDS_CSUM);
			assert_int_equal(f->r.hdr.gso_type, hdr.gso_type);
			assert_int_equal(f->r.hdr.gso_size, 1400);
			assert_true(f->r.hdr.hdr_len >= f->info.payload);
			assert_nothing(f, 0);
			continue;
		}
		for (int seg = 0; seg < 4; seg++) {
			assert_true(net_recv(&f->n, 0, &f->r));
			assert_int_equal(f->r.hdr.flags, 0);
			assert_int_equal(f->r.hdr.gso_type, GSO_NONE);
			assert_null(frame_check(f->r.data, f->r.len, &info));
			assert_int_equal(info.len, seg < 3 ? 1400 : 800);
			assert_int_equal(info.seq, done);
			assert_true(frame_payload_is(f->r.data, &info, done));
			done += info.len;
		}
		assert_nothing(f, 0);
	}
}

static void test_frames_that_cannot_be_mended_are_counted(void **state)
{
	struct net_fixture *f = *state;
	struct hdr hdr;
	uint32_t len;

	net_start(&f->n, N_MAC);
	net_post(&f->n, 0, 6000);
	len = frame_to(f, (struct frame_params){ .payload = 100, .udp = true, .partial = true });
	hdr = hdr_tso(&f->info, 1400);
	wire_give(&f->wire, &hdr, f->frame, len);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, drop_malformed), 1);
	hdr = (struct hdr){ .flags = HDR_NEEDS_CSUM, .csum_start = (uint16_t)len };
	wire_give(&f->wire, &hdr, f->frame, len);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, drop_malformed), 2);
}

/* --- when nothing is to be received --- */

/* rules: status-1 */
static void test_3_1_1_nothing_before_driver_ok(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_to(f, (struct frame_params){ .payload = 10 });

	wire_give(&f->wire, NULL, f->frame, len);
	assert_int_equal(CTR(&f->n, drop_link), 1);
	net_start(&f->n, N_MAC);
	net_post(&f->n, 0, 2000);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
	net_post(&f->n, 0, 2000);
	driver_reset(&f->n.d);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, drop_link), 2);
	assert_int_equal(CTR(&f->n, rx_packets), 1);
}

static void test_nothing_while_bus_mastering_is_off(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_to(f, (struct frame_params){ .payload = 10 });

	net_start(&f->n, N_MAC);
	net_post(&f->n, 0, 2000);
	cfg_write(&f->n.d, 4, 2, 2);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	cfg_write(&f->n.d, 4, 2, 6);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
}

/* A driver that breaks the ring stops its own function, and nobody else. */
static void test_a_broken_receive_queue(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_to(f, (struct frame_params){ .payload = 10 });

	net_start(&f->n, N_MAC | N_MRG_RXBUF);
	net_post(&f->n, 0, 30);
	ring_add(&f->n.rx[0], &(struct buf){ 0x10, 100, true }, 1); /* not mapped */
	wire_give(&f->wire, NULL, f->frame, len);
	assert_true(common(&f->n.d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
	assert_nothing(f, 0);
	assert_int_equal(CTR(&f->n, dma_faults), 1);
	wire_give(&f->wire, NULL, f->frame, len);
	/* a reset makes it work again */
	net_start(&f->n, N_MAC | N_MRG_RXBUF);
	net_post(&f->n, 0, 300);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
}

/* --- interrupts --- */

/* 5.1.6.4: some for many frames; at least one when there was none before. */
static void test_received_frames_interrupt(void **state)
{
	struct net_fixture *f = *state;
	uint32_t len = frame_to(f, (struct frame_params){ .payload = 10 });

	net_start(&f->n, N_MAC);
	for (int i = 0; i < 5; i++)
		net_post(&f->n, 0, 200);
	assert_int_equal(driver_events(&f->n.d, VEC_RX), 0);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_int_equal(driver_events(&f->n.d, VEC_RX), 1);
	for (int i = 0; i < 3; i++)
		wire_give(&f->wire, NULL, f->frame, len);
	assert_int_equal(driver_events(&f->n.d, VEC_RX), 1);
	ring_no_interrupt(&f->n.rx[0], true);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_int_equal(driver_events(&f->n.d, VEC_RX), 0);
	/* what was lost interrupts nobody */
	ring_no_interrupt(&f->n.rx[0], false);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_int_equal(driver_events(&f->n.d, VEC_RX), 0);
}

/* 5.1.4.1: what is longer than the MTU is not passed on, once the driver knows of it. */
/* rules: net-cfg-3 */
static void test_5_1_4_1_frames_longer_than_the_mtu(void **state)
{
	struct net_fixture *f = net_fixture_new(&(struct device_params){ .mtu = 1400 });
	struct frame_params p = { .payload = 1360 };
	struct hdr hdr;
	uint32_t len;

	*state = f;
	net_start(&f->n, N_MAC | N_MTU | N_GUEST_CSUM | N_GUEST_TSO4 | N_MRG_RXBUF);
	for (int i = 0; i < 10; i++)
		net_post(&f->n, 0, 4000);
	len = frame_to(f, p);
	assert_int_equal(len, 1414);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
	p.payload++;
	len = frame_to(f, p);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	/* a tag is not part of what the MTU counts */
	p.tagged = true;
	len = frame_to(f, p);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_nothing(f, 0);
	p.payload--;
	len = frame_to(f, p);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
	assert_int_equal(CTR(&f->n, drop_mtu), 2);
	/* nor are frames that are to be cut still */
	p = (struct frame_params){ .payload = 3000, .partial = true };
	len = frame_to(f, p);
	hdr = hdr_tso(&f->info, 1360);
	wire_give(&f->wire, &hdr, f->frame, len);
	assert_received(f, 0, len);
	/* a driver that did not ask is not helped */
	net_start(&f->n, N_MAC);
	net_post(&f->n, 0, 4000);
	p = (struct frame_params){ .payload = 2000 };
	len = frame_to(f, p);
	wire_give(&f->wire, NULL, f->frame, len);
	assert_received(f, 0, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_5_1_6_3_2_a_modern_header_has_num_buffers),
		NET_TEST(test_5_1_6_1_a_legacy_header_is_shorter),
		NET_TEST(test_5_1_6_1_a_legacy_header_with_mergeable_buffers),
		NET_TEST(test_5_1_6_4_1_a_frame_in_several_buffers),
		NET_TEST(test_5_1_6_4_1_buffers_of_all_shapes),
		NET_TEST(test_5_1_6_4_1_too_few_buffers_lose_the_frame_only),
		NET_TEST(test_the_largest_frame),
		NET_TEST(test_5_1_6_3_2_a_frame_larger_than_its_buffer),
		NET_TEST(test_a_buffer_in_several_descriptors),
		NET_TEST(test_a_buffer_with_a_readable_part),
		NET_TEST(test_5_1_6_4_1_no_checksum_offload),
		NET_TEST(test_5_1_6_4_1_checksum_offload),
		NET_TEST(test_5_1_6_4_1_segmentation_offloads),
		NET_TEST(test_frames_that_cannot_be_mended_are_counted),
		NET_TEST(test_3_1_1_nothing_before_driver_ok),
		NET_TEST(test_nothing_while_bus_mastering_is_off),
		NET_TEST(test_a_broken_receive_queue),
		NET_TEST(test_received_frames_interrupt),
		cmocka_unit_test_teardown(test_5_1_4_1_frames_longer_than_the_mtu, net_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
