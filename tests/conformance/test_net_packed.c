/* SPDX-License-Identifier: BSD-3-Clause */
/* Net functions on packed virtqueues (virtio 1.3, 2.8), in order and not, of odd sizes. */
#include "net_fixture.h"
#include "packed_ring.h"

#define SIZE 13

struct packed_net {
	struct net_fixture *f;
	struct packed_ring rx;
	struct packed_ring tx;
	uint64_t buf[SIZE]; /* receive buffers, by id */
	uint64_t out[SIZE];
	uint16_t next_id;
};

static void add_queue(struct driver *d, uint16_t index, const struct packed_ring *r)
{
	set_common(d, C_QUEUE_SELECT, 2, index);
	set_common(d, C_QUEUE_SIZE, 2, r->size);
	assert_int_equal(common(d, C_QUEUE_SIZE, 2), r->size);
	set_common(d, C_QUEUE_MSIX_VECTOR, 2, index);
	set_common(d, C_QUEUE_DESC, 8, r->desc);
	set_common(d, C_QUEUE_DRIVER, 8, r->driver);
	set_common(d, C_QUEUE_DEVICE, 8, r->device);
	set_common(d, C_QUEUE_ENABLE, 2, 1);
	assert_int_equal(common(d, C_QUEUE_ENABLE, 2), 1);
}

static void start(struct packed_net *p, uint64_t features)
{
	struct driver *d = &p->f->n.d;

	p->f->n.features = features | F_VERSION_1 | F_RING_PACKED;
	assert_true(driver_negotiate(d, p->f->n.features));
	driver_bind(d, NET_VECTORS);
	packed_ring_init(&p->rx, &d->ram, SIZE);
	packed_ring_init(&p->tx, &d->ram, SIZE);
	for (int i = 0; i < SIZE; i++) {
		p->buf[i] = ram_alloc(&d->ram, 4096, 64);
		p->out[i] = ram_alloc(&d->ram, 4096, 64);
	}
	p->next_id = 0;
	add_queue(d, 0, &p->rx);
	add_queue(d, 1, &p->tx);
	driver_ok(d);
}

static void post(struct packed_net *p, uint32_t len)
{
	uint16_t id = p->next_id;

	p->next_id = (uint16_t)((id + 1) % SIZE);
	memset(ram_at(&p->f->n.d.ram, p->buf[id]), 0xee, 4096);
	packed_add(&p->rx, id, &(struct buf){ p->buf[id], len, true }, 1);
}

/* The frame in as many buffers as it says, one after the other. */
static uint32_t receive(struct packed_net *p, uint8_t *to, uint16_t *buffers)
{
	struct packed_desc used;
	uint32_t len = 0;
	uint16_t n = 1;

	machine_settle(p->f->w.m);
	for (uint16_t i = 0; i < n; i++) {
		const uint8_t *from;

		if (!packed_used(&p->rx, &used)) {
			assert_int_equal(i, 0);
			return 0;
		}
		from = ram_at(&p->f->n.d.ram, p->buf[used.id]);
		if (!i)
			n = ((const struct hdr *)from)->num_buffers;
		assert_true(used.flags & DESC_WRITE);
		memcpy(to + len, from, used.len);
		len += used.len;
	}
	*buffers = n;
	return len;
}

static void receive_all(struct packed_net *p)
{
	struct net_fixture *f = p->f;
	uint16_t buffers;

	for (uint32_t i = 0; i < 100; i++) {
		uint32_t len = frame_to(f, (struct frame_params){ .payload = i * 10 });
		uint32_t n = (len + 12 + 199) / 200;

		/* one too few: none is taken, and all are there for the next frame */
		for (uint32_t b = 1; b < n; b++)
			post(p, 200);
		wire_give(&f->wire, NULL, f->frame, len);
		assert_int_equal(receive(p, f->r.data, &buffers), 0);
		post(p, 200);
		wire_give_pieces(&f->wire, NULL, f->frame, len, 100);
		assert_int_equal(receive(p, f->r.data, &buffers), len + 12);
		assert_int_equal(buffers, n);
		assert_memory_equal(f->r.data + 12, f->frame, len);
		assert_int_equal(receive(p, f->r.data, &buffers), 0);
	}
	assert_int_equal(CTR(&f->n, rx_packets), 100);
}

static void send_all(struct packed_net *p)
{
	struct net_fixture *f = p->f;
	struct driver *d = &f->n.d;
	struct packed_desc used;
	uint16_t id = 0;

	for (int turn = 0; turn < 20; turn++) {
		uint16_t first = id;

		for (int i = 0; i < 6; i++) {
			uint32_t len = frame_from(f, (struct frame_params){ .payload = 100 });
			uint8_t *to = ram_at(&d->ram, p->out[id]);

			memset(to, 0, 12);
			memcpy(to + 12, f->frame, len);
			packed_add(&p->tx, id,
				   (struct buf[]){ { p->out[id], 30, false },
						   { p->out[id] + 30, len - 18, false } },
				   2);
			id = (uint16_t)((id + 1) % SIZE);
		}
		net_kick(&f->n, 1);
		machine_settle(f->w.m);
		assert_int_equal(f->wire.count, 6);
		for (int i = 0; i < 6; i++) {
			assert_memory_equal(f->wire.sent[i].data, f->frame, f->wire.sent[i].len);
			assert_true(packed_used(&p->tx, &used));
			assert_int_equal(used.id, (first + i) % SIZE);
			assert_false(used.flags & DESC_WRITE);
		}
		assert_false(packed_used(&p->tx, &used));
		wire_clear(&f->wire);
	}
}

static int setup(void **state)
{
	struct packed_net *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->f = net_fixture_new(&(struct device_params){ .packed = true });
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct packed_net *p = *state;
	void *f = p->f;

	net_teardown(&f);
	free(p);
	return 0;
}

/* rules: packed-1 net-rx-4 */
static void test_2_8_mergeable_buffers(void **state)
{
	struct packed_net *p = *state;

	start(p, N_MAC | N_MRG_RXBUF);
	receive_all(p);
	send_all(p);
}

/* rules: features-8 */
static void test_2_8_8_mergeable_buffers_in_order(void **state)
{
	struct packed_net *p = *state;

	start(p, N_MAC | N_MRG_RXBUF | F_IN_ORDER | F_EVENT_IDX);
	receive_all(p);
	send_all(p);
}

/* Events on, with the place where the driver looks next: one interrupt for each frame. */
static void test_2_8_10_events(void **state)
{
	struct packed_net *p = *state;
	struct net_fixture *f = p->f;
	uint32_t len = frame_to(f, (struct frame_params){ .payload = 300 });
	uint16_t buffers;

	start(p, N_MAC | N_MRG_RXBUF | F_EVENT_IDX);
	for (int i = 0; i < 60; i++) {
		for (int b = 0; b < 4; b++)
			post(p, 100);
		packed_set_event(&p->rx, i % 3 ? PACKED_EVENT_DESC : PACKED_EVENT_DISABLE,
				 p->rx.used_next, p->rx.used_wrap);
		wire_give(&f->wire, NULL, f->frame, len);
		assert_int_equal(driver_events(&f->n.d, VEC_RX), i % 3 ? 1 : 0);
		assert_int_equal(receive(p, f->r.data, &buffers), len + 12);
		assert_int_equal(buffers, 4);
	}
}

/* 4.1.4.3.1: sizes that are no power of two are for packed rings only. */
static void test_4_1_4_3_1_sizes(void **state)
{
	struct packed_net *p = *state;
	struct driver *d = &p->f->n.d;

	assert_true(driver_negotiate(d, F_VERSION_1));
	set_common(d, C_QUEUE_SELECT, 2, 0);
	set_common(d, C_QUEUE_SIZE, 2, 100);
	assert_int_equal(common(d, C_QUEUE_SIZE, 2), NET_RING);
	assert_true(driver_negotiate(d, F_VERSION_1 | F_RING_PACKED));
	set_common(d, C_QUEUE_SELECT, 2, 0);
	set_common(d, C_QUEUE_SIZE, 2, 100);
	assert_int_equal(common(d, C_QUEUE_SIZE, 2), 100);
	set_common(d, C_QUEUE_SIZE, 2, 0);
	assert_int_equal(common(d, C_QUEUE_SIZE, 2), 100);
	set_common(d, C_QUEUE_SIZE, 2, NET_RING + 1);
	assert_int_equal(common(d, C_QUEUE_SIZE, 2), 100);
	set_common(d, C_QUEUE_SIZE, 2, 1);
	assert_int_equal(common(d, C_QUEUE_SIZE, 2), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_2_8_mergeable_buffers),
		TEST(test_2_8_8_mergeable_buffers_in_order),
		TEST(test_2_8_10_events),
		TEST(test_4_1_4_3_1_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
