/* SPDX-License-Identifier: BSD-3-Clause */
/* One function, its driver, and a wire instead of the switch. */
#ifndef RIDGE_TEST_NET_FIXTURE_H
#define RIDGE_TEST_NET_FIXTURE_H

#include "net_driver.h"

struct net_fixture {
	struct net_world w;
	struct wire wire;
	struct net_driver n;
	struct received r;
	uint8_t frame[FRAME_MAX];
	struct frame_info info; /* of the frame */
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A function made with params (may be NULL), not started. */
static inline struct net_fixture *net_fixture_new(const struct device_params *params)
{
	struct net_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	net_world_init(&f->w, 2);
	wire_init(&f->wire);
	net_open(&f->n, &f->w, 1, params, &f->wire.backend);
	received_init(&f->r);
	return f;
}

static inline int net_setup(void **state)
{
	*state = net_fixture_new(NULL);
	return 0;
}

static inline int net_setup_trusted(void **state)
{
	*state = net_fixture_new(&(struct device_params){ .trust = true });
	return 0;
}

static inline int net_teardown(void **state)
{
	struct net_fixture *f = *state;

	net_close(&f->n);
	assert_true(f->wire.destroyed);
	net_world_fini(&f->w);
	received_fini(&f->r);
	free(f);
	return 0;
}

#define NET_TEST(name)     cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)
#define TRUSTED_TEST(name) cmocka_unit_test_setup_teardown(name, net_setup_trusted, net_teardown)

/* A frame from somebody to the function, of p's kind; returns its length. */
static inline uint32_t frame_to(struct net_fixture *f, struct frame_params p)
{
	static const uint8_t none[6];
	static const uint8_t somebody[6] = { 0x02, 0, 0, 0, 0, 0x99 };

	if (!memcmp(p.dst, none, 6))
		net_test_mac(p.dst, f->n.slot);
	if (!memcmp(p.src, none, 6))
		memcpy(p.src, somebody, 6);
	return frame_make(f->frame, &p, &f->info);
}

/* The same from the function to somebody. */
static inline uint32_t frame_from(struct net_fixture *f, struct frame_params p)
{
	static const uint8_t none[6];
	static const uint8_t somebody[6] = { 0x02, 0, 0, 0, 0, 0x99 };

	if (!memcmp(p.src, none, 6))
		net_test_mac(p.src, f->n.slot);
	if (!memcmp(p.dst, none, 6))
		memcpy(p.dst, somebody, 6);
	return frame_make(f->frame, &p, &f->info);
}

/* It was received whole, and as it is in f->frame. */
static inline void assert_received(struct net_fixture *f, uint16_t pair, uint32_t len)
{
	assert_true(net_recv(&f->n, pair, &f->r));
	assert_int_equal(f->r.len, len);
	assert_memory_equal(f->r.data, f->frame, len);
}

static inline void assert_nothing(struct net_fixture *f, uint16_t pair)
{
	assert_false(net_recv(&f->n, pair, &f->r));
}

#define CTR(n, name) net_counter((n), COUNTER_##name)

#endif
