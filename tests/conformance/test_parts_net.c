/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device parts of net functions (virtio 1.4, 5.1.5): what a driver set by the control queue, as it
 * leaves one function, comes to another, and works there.
 */
#include "net_fixture.h"
#include "parts.h"

#define PAIRS 4

/* ridge's own, with the offloads in use first */
#define P_RIDGE_NET 0x5f1

#define ALL                                                                                    \
	(N_MAC | N_STATUS | N_CTRL_VQ | N_CTRL_RX | N_CTRL_RX_EXTRA | N_CTRL_VLAN |            \
	 N_CTRL_MAC_ADDR | N_CTRL_GUEST_OFFLOADS | N_GUEST_CSUM | N_GUEST_TSO4 | N_MRG_RXBUF | \
	 N_GUEST_ANNOUNCE)

/* The selector of a command. */
#define CVQ(class, cmd) ((class) | (cmd) << 8)

enum { RX_PROMISC, RX_ALLMULTI, RX_ALLUNI, RX_NOMULTI, RX_NOUNI, RX_NOBCAST };
enum { MAC_TABLE_SET, MAC_ADDR_SET };

struct fixture {
	struct net_world w;
	struct wire wire[2];
	struct net_driver n[2]; /* in slots 1 and 2 */
	struct parts parts;
	struct parts after;
	struct received r;
};

static const uint8_t listed[6] = { 0x02, 0xaa, 0, 0, 0, 1 };
static const uint8_t unlisted[6] = { 0x02, 0xaa, 0, 0, 0, 2 };
static const uint8_t group[6] = { 0x01, 0x00, 0x5e, 0, 0, 1 };

static int setup_params(void **state, struct device_params params)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	net_world_init(&f->w, 2);
	parts_use(&f->w.pf);
	for (uint32_t i = 0; i < 2; i++) {
		wire_init(&f->wire[i]);
		net_open(&f->n[i], &f->w, i + 1, &params, &f->wire[i].backend);
		parts_objects(&f->w.pf, i + 1);
	}
	received_init(&f->r);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_params(state, (struct device_params){ .trust = true });
}

static int setup_mq(void **state)
{
	return setup_params(state, (struct device_params){ .queues = PAIRS, .trust = true });
}

/* As a function is by default: it sends from the address that it was made with. */
static int setup_untrusted(void **state)
{
	return setup_params(state, (struct device_params){ 0 });
}

static int setup_restore_mac(void **state)
{
	return setup_params(state, (struct device_params){ .restore_mac = true });
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++)
		net_close(&f->n[i]);
	net_world_fini(&f->w);
	received_fini(&f->r);
	free(f);
	return 0;
}

static void stop(struct fixture *f, uint32_t member)
{
	assert_int_equal(admin_mode(&f->w.pf, member, MODE_STOPPED), OK);
}

static void resume(struct fixture *f, uint32_t member)
{
	assert_int_equal(admin_mode(&f->w.pf, member, 0), OK);
}

/* The first function's driver goes on with the second function. */
static void move(struct fixture *f)
{
	struct net_driver *n = &f->n[0];
	struct pci_access *pa = f->n[1].d.pa, *was = n->d.pa;

	stop(f, 1);
	parts_save(&f->w.pf, 1, &f->parts);
	stop(f, 2);
	assert_int_equal(parts_load(&f->w.pf, 2, &f->parts), OK);
	parts_save(&f->w.pf, 2, &f->after);
	assert_true(parts_equal(&f->parts, &f->after));
	driver_bind(&n->d, 0);
	was->ops->dma_unmap_all(was);
	pa->ops->dma_unmap_all(pa);
	n->d.pa = pa;
	assert_int_equal(
		pa->ops->dma_map(pa, 0xffffffff, DRIVER_IOVA, DRIVER_RAM, n->d.ram.fd, 0, 3), 0);
	driver_bind(&n->d, NET_VECTORS);
	resume(f, 2);
}

/* ... and gives both back what they had. */
static void move_back(struct fixture *f)
{
	struct pci_access *pa = f->n[0].d.pa;

	driver_reset(&f->n[0].d);
	pa->ops->dma_unmap_all(pa);
	f->n[0].d.pa = f->n[0].member->pa;
	resume(f, 1);
	driver_reset(&f->n[0].d);
}

static uint32_t make_frame(uint8_t *data, const uint8_t *dst, int vlan)
{
	uint32_t at = 12;

	memcpy(data, dst, 6);
	memcpy(data + 6, (uint8_t[]){ 0x02, 0, 0, 0, 0, 0x99 }, 6);
	if (vlan >= 0) {
		memcpy(data + at, (uint8_t[]){ 0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan }, 4);
		at += 4;
	}
	memset(data + at, 0x55, 50);
	return at + 50;
}

/* Whether function i, whose driver is the first one, takes a frame. */
static bool takes(struct fixture *f, int i, const uint8_t *dst, int vlan)
{
	uint8_t frame[128];
	uint32_t len = make_frame(frame, dst, vlan);

	net_post(&f->n[0], 0, 200);
	wire_give(&f->wire[i], NULL, frame, len);
	if (!net_take(&f->n[0], 0, &f->r))
		return false;
	assert_int_equal(f->r.len, len);
	assert_memory_equal(f->r.data, frame, len);
	return true;
}

static void put_tables(struct fixture *f, uint32_t unicast, uint32_t multicast)
{
	static uint8_t data[8 + 6 * 400];
	uint8_t *at = data;

	memcpy(at, &unicast, 4);
	at += 4;
	for (uint32_t i = 0; i < unicast; i++, at += 6)
		memcpy(at, listed, 6);
	memcpy(at, &multicast, 4);
	at += 4;
	for (uint32_t i = 0; i < multicast; i++, at += 6)
		memcpy(at, group, 6);
	assert_int_equal(net_ctrl(&f->n[0], CTRL_MAC, MAC_TABLE_SET, data, (size_t)(at - data)),
			 CTRL_OK);
}

/* --- 5.1.5: formats --- */

static void test_5_1_5_values(void **state)
{
	static const uint8_t mac[6] = { 2, 3, 4, 5, 6, 7 };
	struct fixture *f = *state;
	struct part_hdr *tables;
	const uint8_t *value;

	net_start(&f->n[0], ALL | N_MQ);
	for (uint8_t cmd = RX_PROMISC; cmd <= RX_NOBCAST; cmd++) {
		parts_save(&f->w.pf, 1, &f->parts);
		assert_int_equal(part_find(&f->parts, P_NET_CVQ, CVQ(CTRL_RX, cmd))->len, 1);
		assert_int_equal(*(uint8_t *)part_value(&f->parts, P_NET_CVQ, CVQ(CTRL_RX, cmd)),
				 0);
		assert_int_equal(net_ctrl8(&f->n[0], CTRL_RX, cmd, 1), CTRL_OK);
		parts_save(&f->w.pf, 1, &f->parts);
		assert_int_equal(*(uint8_t *)part_value(&f->parts, P_NET_CVQ, CVQ(CTRL_RX, cmd)),
				 1);
	}
	put_tables(f, 2, 3);
	assert_int_equal(net_ctrl(&f->n[0], CTRL_MAC, MAC_ADDR_SET, mac, 6), CTRL_OK);
	assert_int_equal(net_ctrl16(&f->n[0], CTRL_VLAN, 0, 1), CTRL_OK);
	assert_int_equal(net_ctrl16(&f->n[0], CTRL_VLAN, 0, 4095), CTRL_OK);
	assert_int_equal(net_ctrl16(&f->n[0], CTRL_MQ, 0, 3), CTRL_OK);
	parts_save(&f->w.pf, 1, &f->parts);
	tables = part_find(&f->parts, P_NET_CVQ, CVQ(CTRL_MAC, MAC_TABLE_SET));
	value = (uint8_t *)(tables + 1);
	assert_int_equal(tables->len, 4 + 2 * 6 + 4 + 3 * 6);
	assert_memory_equal(value, ((uint8_t[]){ 2, 0, 0, 0 }), 4);
	assert_memory_equal(value + 10, listed, 6);
	assert_memory_equal(value + 16, ((uint8_t[]){ 3, 0, 0, 0 }), 4);
	assert_memory_equal(value + 32, group, 6);
	assert_memory_equal(part_value(&f->parts, P_NET_CVQ, CVQ(CTRL_MAC, MAC_ADDR_SET)), mac, 6);
	assert_int_equal(part_find(&f->parts, P_NET_CVQ, CVQ(CTRL_VLAN, 0))->len, 512);
	value = part_value(&f->parts, P_NET_CVQ, CVQ(CTRL_VLAN, 0));
	for (int i = 1; i < 511; i++)
		assert_int_equal(value[i], 0);
	assert_int_equal(value[0], 2);
	assert_int_equal(value[511], 0x80);
	assert_memory_equal(part_value(&f->parts, P_NET_CVQ, CVQ(CTRL_MQ, 0)),
			    ((uint8_t[]){ 3, 0 }), 2);
}

/* The size that METADATA_GET tells is enough for the longest table. */
static void test_2_12_1_4_3_1_size_is_a_maximum(void **state)
{
	struct fixture *f = *state;
	uint32_t before[2], value[2], len;

	net_start(&f->n[0], ALL);
	assert_int_equal(parts_metadata(&f->w.pf, 1, 2, META_SIZE, before, 8, &len), OK);
	put_tables(f, 64, 64);
	assert_int_equal(parts_metadata(&f->w.pf, 1, 2, META_SIZE, value, 8, &len), OK);
	assert_int_equal(value[0], before[0]);
	parts_save(&f->w.pf, 1, &f->parts);
	assert_int_equal(f->parts.len, value[0]);
}

/* --- what moves --- */

/* rules: admin-parts-15 */
static void test_filters_move(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[6];

	net_test_mac(mac, 1);
	net_start(&f->n[0], ALL);
	put_tables(f, 1, 1);
	assert_int_equal(net_ctrl16(&f->n[0], CTRL_VLAN, 0, 7), CTRL_OK);
	assert_int_equal(net_ctrl8(&f->n[0], CTRL_RX, RX_NOBCAST, 1), CTRL_OK);
	move(f);
	assert_true(takes(f, 1, mac, -1));
	assert_true(takes(f, 1, listed, -1));
	assert_true(takes(f, 1, group, -1));
	assert_true(takes(f, 1, mac, 7));
	assert_false(takes(f, 1, mac, 8));
	assert_false(takes(f, 1, unlisted, -1));
	assert_false(takes(f, 1, (uint8_t[]){ 255, 255, 255, 255, 255, 255 }, -1));
	/* its control queue goes on */
	assert_int_equal(net_ctrl8(&f->n[0], CTRL_RX, RX_PROMISC, 1), CTRL_OK);
	assert_true(takes(f, 1, unlisted, -1));
	/* the function shows the address that it came with */
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(net_config(&f->n[0], CFG_MAC + i, 1), mac[i]);
	move_back(f);
}

/* More addresses than a table holds: all of them, also where they come to. */
static void test_tables_that_ran_over_move(void **state)
{
	struct fixture *f = *state;

	net_start(&f->n[0], ALL);
	put_tables(f, 65, 1);
	move(f);
	assert_true(takes(f, 1, unlisted, -1));
	assert_true(takes(f, 1, group, -1));
	assert_false(takes(f, 1, (uint8_t[]){ 1, 0, 0x5e, 9, 9, 9 }, -1));
	move_back(f);
}

static void test_offloads_and_announcement_move(void **state)
{
	struct fixture *f = *state;
	uint64_t offloads = N_GUEST_CSUM;

	net_start(&f->n[0], ALL);
	assert_int_equal(net_ctrl(&f->n[0], CTRL_OFFLOADS, 0, &offloads, 8), CTRL_OK);
	net_set_link(f->n[0].member->vf.dev, false);
	net_set_link(f->n[0].member->vf.dev, true);
	assert_int_equal(net_config(&f->n[0], CFG_STATUS, 2), LINK_UP | ANNOUNCE);
	move(f);
	assert_int_equal(net_offloads(f->n[1].member->vf.dev), N_GUEST_CSUM);
	assert_int_equal(net_config(&f->n[0], CFG_STATUS, 2), LINK_UP | ANNOUNCE);
	assert_int_equal(net_ctrl(&f->n[0], CTRL_ANNOUNCE, 0, NULL, 0), CTRL_OK);
	assert_int_equal(net_config(&f->n[0], CFG_STATUS, 2), LINK_UP);
	move_back(f);
}

/*
 * Features without the status that makes them final, and then the rest, by another maker: without
 * our own part the offloads are those that were negotiated.
 */
static void test_features_and_status_one_after_the_other(void **state)
{
	struct fixture *f = *state;
	uint8_t none = 0;

	net_start(&f->n[0], ALL);
	stop(f, 1);
	stop(f, 2);
	parts_save(&f->w.pf, 1, &f->parts);
	f->after.len = 0;
	part_put(&f->after, P_DRV_FEATURES, 0, 0, part_value(&f->parts, P_DRV_FEATURES, 0), 8);
	part_put(&f->after, P_STATUS, 0, 0, &none, 1);
	assert_int_equal(parts_load(&f->w.pf, 2, &f->after), OK);
	assert_int_equal(net_offloads(f->n[1].member->vf.dev), 0);
	f->after.len = 0;
	part_put(&f->after, P_STATUS, 0, 0, part_value(&f->parts, P_STATUS, 0), 1);
	assert_int_equal(parts_load(&f->w.pf, 2, &f->after), OK);
	assert_int_equal(net_offloads(f->n[1].member->vf.dev), N_GUEST_CSUM | N_GUEST_TSO4);
	/* the same status again does not change what was set meanwhile */
	f->after.len = 0;
	part_put(&f->after, P_RIDGE_NET, P_OPTIONAL, 0, (uint8_t[8]){ (uint8_t)N_GUEST_CSUM }, 8);
	part_put(&f->after, P_STATUS, 0, 0, part_value(&f->parts, P_STATUS, 0), 1);
	assert_int_equal(parts_load(&f->w.pf, 2, &f->after), OK);
	assert_int_equal(net_offloads(f->n[1].member->vf.dev), N_GUEST_CSUM);
	resume(f, 2);
	resume(f, 1);
}

/* Receive buffers that were posted before are filled after. */
static void test_buffers_move(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x11, 0x22, 1 };
	struct fixture *f = *state;
	uint8_t frame[128];
	uint32_t len = make_frame(frame, mac, -1);

	net_start(&f->n[0], ALL | F_EVENT_IDX);
	for (int i = 0; i < 20; i++)
		net_post(&f->n[0], 0, 200);
	for (int i = 0; i < 7; i++) {
		wire_give(&f->wire[0], NULL, frame, len);
		assert_true(net_recv(&f->n[0], 0, &f->r));
	}
	move(f);
	for (int i = 0; i < 13; i++) {
		wire_give(&f->wire[1], NULL, frame, len);
		assert_true(net_recv(&f->n[0], 0, &f->r));
		assert_memory_equal(f->r.data, frame, len);
	}
	wire_give(&f->wire[1], NULL, frame, len);
	assert_false(net_take(&f->n[0], 0, &f->r));
	memcpy(frame + 6, mac, 6);
	net_send(&f->n[0], NULL, frame, len);
	assert_int_equal(f->wire[1].count, 1);
	move_back(f);
}

/* A function that a legacy driver has. */
static void test_a_legacy_function_moves(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x11, 0x22, 1 };
	struct fixture *f = *state;
	uint8_t frame[128];
	uint32_t len = make_frame(frame, mac, -1);

	net_start_legacy(&f->n[0], N_MAC | N_CTRL_VQ | N_CTRL_RX);
	for (int i = 0; i < 4; i++) {
		net_post(&f->n[0], 0, 200);
		wire_give(&f->wire[0], NULL, frame, len);
		assert_true(net_recv(&f->n[0], 0, &f->r));
	}
	move(f);
	assert_int_equal(legacy_get(&f->w.pf, 2, L_STATUS, 1),
			 S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK);
	assert_int_equal(legacy_get(&f->w.pf, 2, L_DRIVER_FEATURES, 4),
			 N_MAC | N_CTRL_VQ | N_CTRL_RX);
	for (int i = 0; i < 4; i++) {
		net_post(&f->n[0], 0, 200);
		wire_give(&f->wire[1], NULL, frame, len);
		assert_true(net_recv(&f->n[0], 0, &f->r));
		assert_memory_equal(f->r.data, frame, len);
	}
	memcpy(frame + 6, mac, 6);
	net_send(&f->n[0], NULL, frame, len);
	assert_int_equal(f->wire[1].count, 1);
	move_back(f);
}

static void test_queue_pairs_move(void **state)
{
	struct fixture *f = *state;

	net_start(&f->n[0], ALL | N_MQ);
	assert_int_equal(net_ctrl16(&f->n[0], CTRL_MQ, 0, 3), CTRL_OK);
	move(f);
	assert_int_equal(((struct net_state *)f->n[1].member->type_state)->pairs, 3);
	/* the control queue is the one behind all pairs */
	assert_int_equal(net_ctrl16(&f->n[0], CTRL_MQ, 0, 4), CTRL_OK);
	move_back(f);
}

/* --- what is refused --- */

static void refused(struct fixture *f, uint64_t selector, const void *value, uint32_t len)
{
	f->after.len = 0;
	part_put(&f->after, P_NET_CVQ, 0, selector, value, len);
	assert_int_equal(parts_load(&f->w.pf, 1, &f->after), INVALID_FIELD);
	parts_save(&f->w.pf, 1, &f->after);
	assert_true(parts_equal(&f->parts, &f->after));
}

/* rules: admin-parts-6 admin-parts-14 */
static void test_5_1_5_values_that_are_wrong(void **state)
{
	struct fixture *f = *state;
	uint8_t value[1024] = { 0 };

	net_start(&f->n[0], ALL);
	stop(f, 1);
	parts_save(&f->w.pf, 1, &f->parts);
	for (uint8_t cmd = 0; cmd < 6; cmd++) {
		value[0] = 2;
		refused(f, CVQ(CTRL_RX, cmd), value, 1);
		value[0] = 1;
		refused(f, CVQ(CTRL_RX, cmd), value, 0);
		refused(f, CVQ(CTRL_RX, cmd), value, 2);
	}
	refused(f, CVQ(CTRL_MAC, MAC_ADDR_SET), group, 6); /* a group's */
	refused(f, CVQ(CTRL_MAC, MAC_ADDR_SET), listed, 5);
	refused(f, CVQ(CTRL_MAC, MAC_ADDR_SET), value, 7);
	refused(f, CVQ(CTRL_VLAN, 0), value, 511);
	refused(f, CVQ(CTRL_VLAN, 0), value, 513);
	/* a function of one pair has no such part */
	refused(f, CVQ(CTRL_MQ, 0), (uint8_t[]){ 2, 0 }, 2);
	/* commands that are not configuration, and classes that don't exist */
	refused(f, CVQ(CTRL_VLAN, 1), value, 512);
	refused(f, CVQ(CTRL_RX, 6), value, 1);
	refused(f, CVQ(CTRL_MAC, 2), value, 6);
	refused(f, CVQ(CTRL_MQ, 1), value, 40);
	refused(f, CVQ(CTRL_OFFLOADS, 0), value, 8);
	refused(f, CVQ(77, 0), value, 1);
	/* tables: too long, cut off, and with something behind them */
	memset(value, 0, sizeof(value));
	for (uint32_t len = 0; len < 8; len++)
		refused(f, CVQ(CTRL_MAC, MAC_TABLE_SET), value, len);
	refused(f, CVQ(CTRL_MAC, MAC_TABLE_SET), value, 9);
	value[0] = 1;
	for (uint32_t len = 4; len < 14; len++)
		refused(f, CVQ(CTRL_MAC, MAC_TABLE_SET), value, len);
	value[0] = 65;
	refused(f, CVQ(CTRL_MAC, MAC_TABLE_SET), value, 8 + 65 * 6);
	memset(value, 0xff, 4);
	refused(f, CVQ(CTRL_MAC, MAC_TABLE_SET), value, sizeof(value));
	memcpy(value, (uint8_t[]){ 0xab, 0xaa, 0xaa, 0x2a }, 4); /* times 6 is 2 */
	refused(f, CVQ(CTRL_MAC, MAC_TABLE_SET), value, 8);
}

/* What no command of its driver can do, a state that comes from elsewhere can't do either. */
/* rules: admin-parts-15 */
static void test_an_address_that_is_not_its_own(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[6];

	net_start(&f->n[0], ALL);
	net_test_mac(mac, 1);
	stop(f, 1);
	stop(f, 2);
	parts_save(&f->w.pf, 2, &f->after);
	assert_int_equal(parts_load(&f->w.pf, 1, &f->after), INVALID_FIELD);
	parts_save(&f->w.pf, 1, &f->parts);
	refused(f, CVQ(CTRL_MAC, MAC_ADDR_SET), listed, 6);
	assert_int_equal(parts_load(&f->w.pf, 1, &f->parts), OK);
	assert_memory_equal(net_mac(f->n[0].member->vf.dev), mac, 6);
	resume(f, 1);
	resume(f, 2);
}

static void test_an_address_that_may_move(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[6];

	net_start(&f->n[0], ALL);
	net_test_mac(mac, 1);
	move(f);
	assert_memory_equal(net_mac(f->n[1].member->vf.dev), mac, 6);
	/* but its driver can't change it, and the next one has the function's own */
	assert_int_equal(net_ctrl(&f->n[0], CTRL_MAC, MAC_ADDR_SET, listed, 6), CTRL_ERR);
	move_back(f);
	net_test_mac(mac, 2);
	assert_memory_equal(net_mac(f->n[1].member->vf.dev), mac, 6);
}

static void test_pairs_that_are_wrong(void **state)
{
	struct fixture *f = *state;
	uint16_t pairs;

	net_start(&f->n[0], ALL | N_MQ);
	stop(f, 1);
	parts_save(&f->w.pf, 1, &f->parts);
	pairs = 0;
	refused(f, CVQ(CTRL_MQ, 0), &pairs, 2);
	pairs = PAIRS + 1;
	refused(f, CVQ(CTRL_MQ, 0), &pairs, 2);
	pairs = 0x100;
	refused(f, CVQ(CTRL_MQ, 0), &pairs, 2);
	refused(f, CVQ(CTRL_MQ, 0), &pairs, 1);
}

/* A part that comes twice. */
static void test_2_13_1_parts_that_come_twice(void **state)
{
	struct fixture *f = *state;

	net_start(&f->n[0], ALL | N_MQ);
	stop(f, 1);
	parts_save(&f->w.pf, 1, &f->parts);
	for (uint32_t at = 0; at < f->parts.len;) {
		struct part_hdr *hdr = (struct part_hdr *)(f->parts.data + at);

		at += 16 + hdr->len;
		if (hdr->type < 0x200)
			continue;
		f->after = f->parts;
		part_put(&f->after, hdr->type, hdr->flags, hdr->selector, hdr + 1, hdr->len);
		assert_int_equal(parts_load(&f->w.pf, 1, &f->after), INVALID_FIELD);
	}
}

/* As for blk: a stream that was changed at random is taken as a whole, or not at all. */
static void test_streams_that_are_changed_at_random(void **state)
{
	struct fixture *f = *state;
	unsigned int seed = 3, taken = 0;

	net_start(&f->n[0], ALL | N_MQ);
	put_tables(f, 3, 2);
	stop(f, 1);
	parts_save(&f->w.pf, 1, &f->parts);
	for (int i = 0; i < 800; i++) {
		f->after = f->parts;
		for (int n = rand_r(&seed) % 3; n >= 0; n--)
			f->after.data[(unsigned int)rand_r(&seed) % f->after.len] =
				(uint8_t)(rand_r(&seed) % 3 ? rand_r(&seed) % 4 : rand_r(&seed));
		if (parts_load(&f->w.pf, 1, &f->after) == OK) {
			taken++;
			parts_save(&f->w.pf, 1, &f->parts);
			assert_int_equal(parts_load(&f->w.pf, 1, &f->parts), OK);
		}
		parts_save(&f->w.pf, 1, &f->after);
		assert_true(parts_equal(&f->parts, &f->after));
	}
	assert_true(taken > 50 && taken < 750);
}

int main(void)
{
#define TEST(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_MQ(name) cmocka_unit_test_setup_teardown(name, setup_mq, teardown)
	const struct CMUnitTest tests[] = {
		TEST_MQ(test_5_1_5_values),
		TEST(test_2_12_1_4_3_1_size_is_a_maximum),
		TEST(test_filters_move),
		TEST(test_tables_that_ran_over_move),
		TEST(test_offloads_and_announcement_move),
		TEST(test_features_and_status_one_after_the_other),
		TEST(test_buffers_move),
		TEST(test_a_legacy_function_moves),
		TEST_MQ(test_queue_pairs_move),
		TEST(test_5_1_5_values_that_are_wrong),
		cmocka_unit_test_setup_teardown(test_an_address_that_is_not_its_own,
						setup_untrusted, teardown),
		cmocka_unit_test_setup_teardown(test_an_address_that_may_move, setup_restore_mac,
						teardown),
		TEST_MQ(test_pairs_that_are_wrong),
		TEST_MQ(test_2_13_1_parts_that_come_twice),
		TEST_MQ(test_streams_that_are_changed_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
