/* SPDX-License-Identifier: BSD-3-Clause */
/* pf/switch.h: the functions of a PF, connected by its embedded switch. */
#include "net_fixture.h"
#include "pf/switch.h"

#define PORTS 4

/* The first two may send from their own address only, the others from any. */
struct switch_fixture {
	struct net_world w;
	struct net_switch *sw;
	struct net_driver n[PORTS];
	struct net_backend *port[PORTS];
	bool open[PORTS];
	struct received r;
	uint8_t frame[FRAME_MAX];
	struct frame_info info;
	uint32_t len;
};

/* Time for the code under test: what the clock says, and more. */
static uint64_t later_ns;

uint64_t __real_loop_now_ns(void);
uint64_t __wrap_loop_now_ns(void);

uint64_t __wrap_loop_now_ns(void)
{
	return __real_loop_now_ns() + later_ns;
}

static void wait_seconds(uint64_t s)
{
	later_ns += s * 1000000000ull;
}

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t multicast[6] = { 0x33, 0x33, 0, 0, 0, 1 };

/* Address i, of nobody's own. */
static const uint8_t *somebody(unsigned int i)
{
	static uint8_t mac[4][6];
	static unsigned int turn;
	uint8_t *m = mac[turn++ % 4];

	memcpy(m, (uint8_t[]){ 0x02, 0xbb, 0, 0, (uint8_t)(i >> 8), (uint8_t)i }, 6);
	return m;
}

static const uint8_t *own(unsigned int port)
{
	static uint8_t mac[PORTS][6];

	net_test_mac(mac[port], port + 1);
	return mac[port];
}

static void post_some(struct net_driver *n)
{
	for (int i = 0; i < 20; i++)
		net_post(n, 0, 2000);
	net_kick(n, 0);
}

static void open_port(struct switch_fixture *f, unsigned int i, uint64_t features)
{
	struct device_params p = { .trust = i >= 2 };

	assert_int_equal(net_switch_port(f->sw, &f->port[i]), 0);
	net_open(&f->n[i], &f->w, i + 1, &p, f->port[i]);
	f->open[i] = true;
	net_start(&f->n[i], N_MAC | features);
	post_some(&f->n[i]);
	machine_settle(f->w.m);
}

static void close_port(struct switch_fixture *f, unsigned int i)
{
	net_close(&f->n[i]);
	f->open[i] = false;
}

static int setup(void **state)
{
	struct switch_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	net_world_init(&f->w, PORTS);
	assert_int_equal(net_switch_new(f->w.m->loop, &f->sw), 0);
	for (unsigned int i = 0; i < PORTS; i++)
		open_port(f, i, N_CSUM | N_HOST_TSO4 | N_HOST_TSO6);
	received_init(&f->r);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct switch_fixture *f = *state;

	for (unsigned int i = 0; i < PORTS; i++)
		if (f->open[i])
			close_port(f, i);
	net_switch_free(f->sw);
	net_world_fini(&f->w);
	received_fini(&f->r);
	free(f);
	return 0;
}

/* The functions that received the frame that was sent, as bits; each of them once and unharmed. */
static unsigned int who(struct switch_fixture *f)
{
	unsigned int got = 0;

	for (unsigned int i = 0; i < PORTS; i++) {
		if (!f->open[i] || !net_take(&f->n[i], 0, &f->r))
			continue;
		got |= 1u << i;
		assert_int_equal(f->r.len, f->len);
		assert_memory_equal(f->r.data, f->frame, f->len);
		assert_false(net_take(&f->n[i], 0, &f->r));
		net_post(&f->n[i], 0, 2000);
	}
	return got;
}

#define ALL_BUT(port) (((1u << PORTS) - 1) & ~(1u << (port)))

/* vlan -1: untagged. */
static unsigned int send_vlan(struct switch_fixture *f, unsigned int from, const uint8_t *src,
			      const uint8_t *dst, int vlan)
{
	static uint32_t number;
	struct frame_params p = {
		.payload = 20,
		.first = number++,
		.tagged = vlan >= 0,
		.vlan = (uint16_t)vlan,
	};

	memcpy(p.src, src, 6);
	memcpy(p.dst, dst, 6);
	f->len = frame_make(f->frame, &p, &f->info);
	net_send(&f->n[from], NULL, f->frame, f->len);
	return who(f);
}

static unsigned int send(struct switch_fixture *f, unsigned int from, const uint8_t *src,
			 const uint8_t *dst)
{
	return send_vlan(f, from, src, dst, -1);
}

/* --- where frames go --- */

static void test_own_addresses_are_known_from_the_start(void **state)
{
	struct switch_fixture *f = *state;

	assert_int_equal(net_switch_addresses(f->sw), PORTS);
	for (unsigned int from = 0; from < PORTS; from++)
		for (unsigned int to = 0; to < PORTS; to++)
			if (from != to)
				assert_int_equal(send(f, from, own(from), own(to)), 1u << to);
	assert_int_equal(net_switch_addresses(f->sw), PORTS);
}

static void test_a_frame_does_not_come_back(void **state)
{
	struct switch_fixture *f = *state;

	assert_int_equal(send(f, 0, own(0), own(0)), 0);
	assert_int_equal(send(f, 2, somebody(1), broadcast), ALL_BUT(2));
	assert_int_equal(send(f, 2, own(2), somebody(1)), 0);
}

static void test_unknown_addresses_go_everywhere(void **state)
{
	struct switch_fixture *f = *state;

	for (unsigned int from = 0; from < PORTS; from++) {
		assert_int_equal(send(f, from, own(from), somebody(99)), ALL_BUT(from));
		assert_int_equal(send(f, from, own(from), broadcast), ALL_BUT(from));
		assert_int_equal(send(f, from, own(from), multicast), ALL_BUT(from));
	}
}

static void test_who_does_not_listen_costs_the_others_nothing(void **state)
{
	struct switch_fixture *f = *state;

	net_set_link(f->n[1].member->vf.dev, false);
	driver_reset(&f->n[3].d);
	assert_int_equal(send(f, 0, own(0), broadcast), 1u << 2);
	assert_int_equal(CTR(&f->n[1], drop_link), 1);
	assert_int_equal(CTR(&f->n[3], drop_link), 1);
	assert_int_equal(send(f, 0, own(0), own(1)), 0);
	assert_int_equal(CTR(&f->n[1], drop_link), 2);
}

static void test_who_has_no_buffers_loses_the_frame_alone(void **state)
{
	struct switch_fixture *f = *state;

	net_start(&f->n[1], N_MAC);
	assert_int_equal(send(f, 0, own(0), broadcast), ALL_BUT(0) & ~2u);
	assert_int_equal(CTR(&f->n[1], drop_no_buffer), 1);
	post_some(&f->n[1]);
	assert_int_equal(send(f, 0, own(0), broadcast), ALL_BUT(0));
}

static void test_filters_are_the_receivers(void **state)
{
	struct switch_fixture *f = *state;

	net_start(&f->n[1], N_MAC | N_CTRL_VQ | N_CTRL_RX);
	post_some(&f->n[1]);
	assert_int_equal(send(f, 0, own(0), multicast), ALL_BUT(0) & ~2u);
	assert_int_equal(CTR(&f->n[1], drop_filter), 1);
	assert_int_equal(send(f, 0, own(0), broadcast), ALL_BUT(0));
	assert_int_equal(send(f, 0, own(0), own(1)), 2);
}

/* --- learning --- */

static void test_addresses_are_learned(void **state)
{
	struct switch_fixture *f = *state;

	assert_int_equal(send(f, 2, somebody(1), own(0)), 1);
	assert_int_equal(net_switch_addresses(f->sw), PORTS + 1);
	assert_int_equal(send(f, 0, own(0), somebody(1)), 1u << 2);
	assert_int_equal(send(f, 3, own(3), somebody(1)), 1u << 2);
	/* from the source only */
	assert_int_equal(send(f, 0, own(0), somebody(2)), ALL_BUT(0));
	assert_int_equal(send(f, 1, own(1), somebody(2)), ALL_BUT(1));
}

static void test_group_addresses_are_not_learned(void **state)
{
	struct switch_fixture *f = *state;

	send(f, 2, multicast, own(0));
	send(f, 2, broadcast, own(0));
	assert_int_equal(net_switch_addresses(f->sw), PORTS);
	assert_int_equal(send(f, 0, own(0), multicast), ALL_BUT(0));
	assert_int_equal(send(f, 0, own(0), broadcast), ALL_BUT(0));
}

static void test_an_address_that_moves(void **state)
{
	struct switch_fixture *f = *state;

	send(f, 2, somebody(1), broadcast);
	send(f, 3, somebody(1), broadcast);
	assert_int_equal(net_switch_addresses(f->sw), PORTS + 1);
	assert_int_equal(send(f, 0, own(0), somebody(1)), 1u << 3);
	send(f, 2, somebody(1), broadcast);
	assert_int_equal(send(f, 0, own(0), somebody(1)), 1u << 2);
}

static void test_spoofed_frames_teach_nothing(void **state)
{
	struct switch_fixture *f = *state;

	assert_int_equal(send(f, 0, somebody(1), broadcast), 0);
	assert_int_equal(CTR(&f->n[0], drop_spoof), 1);
	assert_int_equal(net_switch_addresses(f->sw), PORTS);
	/* nor does a link that is down */
	net_set_link(f->n[2].member->vf.dev, false);
	assert_int_equal(send(f, 2, somebody(1), broadcast), 0);
	assert_int_equal(net_switch_addresses(f->sw), PORTS);
}

static void test_addresses_age(void **state)
{
	struct switch_fixture *f = *state;

	send(f, 2, somebody(1), broadcast);
	send(f, 2, somebody(2), broadcast);
	wait_seconds(SWITCH_AGE_MS / 1000 - 1);
	assert_int_equal(send(f, 0, own(0), somebody(1)), 1u << 2);
	/* being looked for is not being seen; sending is */
	send(f, 2, somebody(2), broadcast);
	wait_seconds(2);
	assert_int_equal(send(f, 0, own(0), somebody(1)), ALL_BUT(0));
	assert_int_equal(send(f, 0, own(0), somebody(2)), 1u << 2);
	assert_int_equal(net_switch_addresses(f->sw), PORTS + 1);
	/* a function's own doesn't */
	wait_seconds(1000 * SWITCH_AGE_MS / 1000);
	assert_int_equal(send(f, 0, own(0), own(1)), 2);
	assert_int_equal(send(f, 0, own(0), somebody(2)), ALL_BUT(0));
}

/* 802.1Q: an address may be in another place in each VLAN. */
static void test_vlans_learn_apart(void **state)
{
	struct switch_fixture *f = *state;

	send_vlan(f, 2, somebody(1), broadcast, 5);
	send_vlan(f, 3, somebody(1), broadcast, 6);
	assert_int_equal(net_switch_addresses(f->sw), PORTS + 2);
	assert_int_equal(send_vlan(f, 0, own(0), somebody(1), 5), 1u << 2);
	assert_int_equal(send_vlan(f, 0, own(0), somebody(1), 6), 1u << 3);
	assert_int_equal(send_vlan(f, 0, own(0), somebody(1), 7), ALL_BUT(0));
	assert_int_equal(send(f, 0, own(0), somebody(1)), ALL_BUT(0));
	/* priorities are no part of it, and a tag with VLAN 0 has a priority only */
	assert_int_equal(send_vlan(f, 0, own(0), somebody(1), 0xe005), 1u << 2);
	send_vlan(f, 2, somebody(2), broadcast, 0xe000);
	assert_int_equal(send(f, 0, own(0), somebody(2)), 1u << 2);
	/* own addresses are in all of them */
	assert_int_equal(send_vlan(f, 0, own(0), own(1), 5), 2);
	assert_int_equal(send_vlan(f, 0, own(0), own(1), 4095), 2);
}

/* --- whose addresses --- */

static void test_own_addresses_are_not_to_be_taken(void **state)
{
	struct switch_fixture *f = *state;

	/* not by sending from them, where that is allowed at all */
	assert_int_equal(send(f, 2, own(1), broadcast), ALL_BUT(2));
	assert_int_equal(send(f, 0, own(0), own(1)), 2);
	assert_int_equal(send_vlan(f, 2, own(1), broadcast, 9), ALL_BUT(2));
	assert_int_equal(send_vlan(f, 0, own(0), own(1), 9), 2);
	assert_int_equal(net_switch_addresses(f->sw), PORTS);
}

static void set_mac(struct switch_fixture *f, unsigned int i, const uint8_t *mac)
{
	assert_int_equal(net_ctrl(&f->n[i], CTRL_MAC, 1, mac, 6), CTRL_OK);
	net_kick(&f->n[i], 0);
	assert_int_equal(loop_step(f->w.m->loop, 0), 0);
}

static void restart_trusted(struct switch_fixture *f, unsigned int i)
{
	net_start(&f->n[i], N_MAC | N_CTRL_VQ | N_CTRL_MAC_ADDR);
	post_some(&f->n[i]);
	machine_settle(f->w.m);
}

static void test_own_addresses_are_not_to_be_taken_by_having_them(void **state)
{
	struct switch_fixture *f = *state;

	restart_trusted(f, 2);
	set_mac(f, 2, own(1));
	assert_int_equal(send(f, 0, own(0), own(1)), 2);
	/* once it is free, it is whose it is */
	close_port(f, 1);
	net_kick(&f->n[2], 0);
	machine_settle(f->w.m);
	assert_int_equal(send(f, 0, own(0), own(1)), 1u << 2);
	/* a new function finds it taken */
	open_port(f, 1, 0);
	assert_int_equal(send(f, 0, own(0), own(1)), 1u << 2);
}

static void test_a_function_that_changes_its_address(void **state)
{
	struct switch_fixture *f = *state;

	restart_trusted(f, 2);
	set_mac(f, 2, somebody(7));
	assert_int_equal(send(f, 0, own(0), somebody(7)), 1u << 2);
	/* its former address is nobody's */
	assert_int_equal(send(f, 0, own(0), own(2)), ALL_BUT(0));
	assert_int_equal(net_switch_addresses(f->sw), PORTS);
	/* an address that was learned elsewhere is its own now, in every VLAN */
	send(f, 3, somebody(8), broadcast);
	send_vlan(f, 3, somebody(8), broadcast, 5);
	set_mac(f, 2, somebody(8));
	assert_int_equal(send(f, 0, own(0), somebody(8)), 1u << 2);
	assert_int_equal(send_vlan(f, 0, own(0), somebody(8), 5), 1u << 2);
	assert_int_equal(send(f, 3, somebody(8), broadcast), ALL_BUT(3));
	assert_int_equal(send(f, 0, own(0), somebody(8)), 1u << 2);
	/* a reset brings the old one back */
	restart_trusted(f, 2);
	assert_int_equal(send(f, 0, own(0), own(2)), 1u << 2);
}

static void test_changing_addresses_leaves_nothing_behind(void **state)
{
	struct switch_fixture *f = *state;

	restart_trusted(f, 2);
	for (unsigned int i = 0; i < 300; i++)
		set_mac(f, 2, somebody(i));
	assert_int_equal(net_switch_addresses(f->sw), PORTS);
	assert_int_equal(send(f, 0, own(0), somebody(299)), 1u << 2);
}

static void test_a_port_that_is_gone_is_forgotten(void **state)
{
	struct switch_fixture *f = *state;

	send(f, 3, somebody(1), broadcast);
	send(f, 3, somebody(2), broadcast);
	send(f, 2, somebody(3), broadcast);
	close_port(f, 3);
	assert_int_equal(net_switch_addresses(f->sw), PORTS - 1 + 1);
	assert_int_equal(send(f, 0, own(0), somebody(1)), 6);
	assert_int_equal(send(f, 0, own(0), own(3)), 6);
	assert_int_equal(send(f, 0, own(0), somebody(3)), 4);
	open_port(f, 3, 0);
	assert_int_equal(send(f, 0, own(0), own(3)), 8);
}

/* --- shares --- */

static void send_from_many(struct switch_fixture *f, unsigned int port, unsigned int first,
			   unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++)
		send(f, port, somebody(i), own(0));
}

static void test_a_port_fills_its_share_only(void **state)
{
	struct switch_fixture *f = *state;

	send_from_many(f, 2, 0, SWITCH_PORT_SHARE + 50);
	assert_int_equal(net_switch_addresses(f->sw), PORTS + SWITCH_PORT_SHARE);
	/* the first are known, the last aren't */
	assert_int_equal(send(f, 0, own(0), somebody(0)), 1u << 2);
	assert_int_equal(send(f, 0, own(0), somebody(SWITCH_PORT_SHARE - 1)), 1u << 2);
	assert_int_equal(send(f, 0, own(0), somebody(SWITCH_PORT_SHARE)), ALL_BUT(0));
	/* others learn on */
	send_from_many(f, 3, 1000, 10);
	assert_int_equal(net_switch_addresses(f->sw), PORTS + SWITCH_PORT_SHARE + 10);
	assert_int_equal(send(f, 0, own(0), somebody(1009)), 1u << 3);
	/* what is too old makes room */
	wait_seconds(SWITCH_AGE_MS / 1000 / 2);
	send_from_many(f, 2, 0, 100);
	wait_seconds(SWITCH_AGE_MS / 1000 / 2 + 1);
	send_from_many(f, 2, 2000, 20);
	assert_int_equal(send(f, 0, own(0), somebody(2019)), 1u << 2);
	assert_int_equal(send(f, 0, own(0), somebody(5)), 1u << 2);
	assert_int_equal(send(f, 0, own(0), somebody(200)), ALL_BUT(0));
}

/* Taking addresses over from another port is learning as well. */
static void test_addresses_that_move_count(void **state)
{
	struct switch_fixture *f = *state;

	send_from_many(f, 2, 0, SWITCH_PORT_SHARE);
	send_from_many(f, 3, 1000, SWITCH_PORT_SHARE);
	assert_int_equal(net_switch_addresses(f->sw), PORTS + 2 * SWITCH_PORT_SHARE);
	send_from_many(f, 3, 0, 10);
	/* they are not where they were, and there is no room for them where they are */
	assert_int_equal(send(f, 0, own(0), somebody(3)), ALL_BUT(0));
	assert_int_equal(net_switch_addresses(f->sw), PORTS + 2 * SWITCH_PORT_SHARE - 10);
	send_from_many(f, 2, 0, 10);
	assert_int_equal(send(f, 0, own(0), somebody(3)), 1u << 2);
}

/* A full table has room for functions. */
static void test_own_addresses_always_have_room(void **state)
{
	struct switch_fixture *f = *state;

	restart_trusted(f, 2);
	send_from_many(f, 2, 0, SWITCH_PORT_SHARE);
	set_mac(f, 2, somebody(5000));
	assert_int_equal(send(f, 0, own(0), somebody(5000)), 1u << 2);
}

/* --- offloads between functions --- */

/* A frame for TSO to one receiver that takes it whole, and to others that can't. */
static void test_each_receiver_gets_what_it_can_take(void **state)
{
	struct switch_fixture *f = *state;
	struct frame_params p = { .payload = 5000, .partial = true };
	struct frame_info info;
	struct hdr hdr;

	net_start(&f->n[1], N_MAC | N_GUEST_CSUM | N_GUEST_TSO4 | N_MRG_RXBUF);
	post_some(&f->n[1]);
	memcpy(p.src, own(0), 6);
	memcpy(p.dst, broadcast, 6);
	f->len = frame_make(f->frame, &p, &f->info);
	hdr = hdr_tso(&f->info, 1400);
	net_send(&f->n[0], &hdr, f->frame, f->len);
	assert_true(net_recv(&f->n[1], 0, &f->r));
	assert_int_equal(f->r.len, f->len);
	assert_memory_equal(f->r.data, f->frame, f->len);
	assert_int_equal(f->r.hdr.gso_size, 1400);
	for (unsigned int i = 2; i < PORTS; i++) {
		uint32_t done = 0;

		while (net_recv(&f->n[i], 0, &f->r)) {
			assert_null(frame_check(f->r.data, f->r.len, &info));
			assert_int_equal(info.seq, done);
			assert_true(frame_payload_is(f->r.data, &info, done));
			assert_int_equal(f->r.hdr.gso_type, GSO_NONE);
			done += info.len;
		}
		assert_int_equal(done, 5000);
	}
}

static void test_checksums_are_completed_for_who_needs_it(void **state)
{
	struct switch_fixture *f = *state;
	struct frame_info info;

	net_start(&f->n[1], N_MAC | N_GUEST_CSUM);
	post_some(&f->n[1]);
	for (int kind = 0; kind < 4; kind++) {
		struct frame_params p = { .payload = 501, .partial = true, .v6 = kind & 1 };
		struct hdr hdr;

		p.udp = kind & 2;
		memcpy(p.src, own(0), 6);
		memcpy(p.dst, multicast, 6);
		f->len = frame_make(f->frame, &p, &f->info);
		hdr = hdr_csum(&f->info);
		net_send(&f->n[0], &hdr, f->frame, f->len);
		assert_true(net_recv(&f->n[1], 0, &f->r));
		assert_int_equal(f->r.hdr.flags, HDR_NEEDS_CSUM);
		assert_memory_equal(f->r.data, f->frame, f->len);
		for (unsigned int i = 2; i < PORTS; i++) {
			assert_true(net_recv(&f->n[i], 0, &f->r));
			assert_int_equal(f->r.hdr.flags, 0);
			assert_null(frame_check(f->r.data, f->r.len, &info));
		}
	}
}

/* A frame that can't be cut is lost to those for whom it would have to be. */
static void test_a_frame_that_cannot_be_cut(void **state)
{
	struct switch_fixture *f = *state;
	struct frame_params p = { .payload = 2000, .udp = true, .partial = true };
	struct hdr hdr;

	memcpy(p.src, own(0), 6);
	memcpy(p.dst, own(1), 6);
	f->len = frame_make(f->frame, &p, &f->info);
	hdr = hdr_tso(&f->info, 1000);
	net_send(&f->n[0], &hdr, f->frame, f->len);
	assert_int_equal(who(f), 0);
	assert_int_equal(CTR(&f->n[1], drop_malformed), 1);
}

/* What a frame costs is how often it was copied. */
static void test_what_a_frame_costs(void **state)
{
	struct switch_fixture *f = *state;
	struct frame_params p = { .payload = 5000, .partial = true };
	struct iovec iov = { f->frame, 0 };
	struct net_frame frame = { .iov = &iov, .niov = 1 };

	memcpy(p.src, own(0), 6);
	memcpy(p.dst, own(1), 6);
	iov.iov_len = frame.len = frame_make(f->frame, &p, &f->info);
	frame.hdr.flags = HDR_NEEDS_CSUM;
	frame.hdr.csum_start = htole16((uint16_t)f->info.l4);
	frame.hdr.csum_offset = htole16(16);
	frame.hdr.gso_type = GSO_TCPV4;
	frame.hdr.gso_size = htole16(1000);
	assert_int_equal(f->port[0]->ops->transmit(f->port[0], &frame), 5);
	memcpy(f->frame, broadcast, 6);
	assert_int_equal(f->port[0]->ops->transmit(f->port[0], &frame), 15);
	frame.hdr.gso_size = htole16(500);
	assert_int_equal(f->port[0]->ops->transmit(f->port[0], &frame), 30);
	/* at least one, even if nobody wants it */
	memcpy(f->frame, own(0), 6);
	assert_int_equal(f->port[0]->ops->transmit(f->port[0], &frame), 1);
	for (unsigned int i = 0; i < PORTS; i++)
		while (net_recv(&f->n[i], 0, &f->r))
			;
}

/* --- resets --- */

static void reset_sender(struct switch_fixture *f, unsigned int i)
{
	for (int k = 0; k < 10; k++)
		net_send_parts(&f->n[i], NULL, f->frame, f->len, NULL, 0);
	net_kick(&f->n[i], 1);
	driver_reset(&f->n[i].d);
}

static void test_functions_that_reset_while_others_send(void **state)
{
	struct switch_fixture *f = *state;

	send(f, 0, own(0), broadcast);
	for (int i = 0; i < 20; i++) {
		reset_sender(f, (unsigned int)i % 2);
		f->n[i % 2].d.pa->ops->reset(f->n[i % 2].d.pa, NULL);
		assert_int_equal(send(f, 2, own(2), own(3)), 8);
		cfg_write(&f->n[i % 2].d, 4, 2, 6);
		net_start(&f->n[i % 2], N_MAC);
		post_some(&f->n[i % 2]);
	}
	assert_int_equal(send(f, 0, own(0), broadcast), ALL_BUT(0));
	assert_int_equal(send(f, 1, own(1), own(0)), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_own_addresses_are_known_from_the_start),
		TEST(test_a_frame_does_not_come_back),
		TEST(test_unknown_addresses_go_everywhere),
		TEST(test_who_does_not_listen_costs_the_others_nothing),
		TEST(test_who_has_no_buffers_loses_the_frame_alone),
		TEST(test_filters_are_the_receivers),
		TEST(test_addresses_are_learned),
		TEST(test_group_addresses_are_not_learned),
		TEST(test_an_address_that_moves),
		TEST(test_spoofed_frames_teach_nothing),
		TEST(test_addresses_age),
		TEST(test_vlans_learn_apart),
		TEST(test_own_addresses_are_not_to_be_taken),
		TEST(test_own_addresses_are_not_to_be_taken_by_having_them),
		TEST(test_a_function_that_changes_its_address),
		TEST(test_changing_addresses_leaves_nothing_behind),
		TEST(test_a_port_that_is_gone_is_forgotten),
		TEST(test_a_port_fills_its_share_only),
		TEST(test_addresses_that_move_count),
		TEST(test_own_addresses_always_have_room),
		TEST(test_each_receiver_gets_what_it_can_take),
		TEST(test_checksums_are_completed_for_who_needs_it),
		TEST(test_a_frame_that_cannot_be_cut),
		TEST(test_what_a_frame_costs),
		TEST(test_functions_that_reset_while_others_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
