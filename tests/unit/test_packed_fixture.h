/* SPDX-License-Identifier: BSD-3-Clause */
/* One packed virtqueue: the device's end of it in f->vq and the driver's in ring. */
#ifndef RIDGE_TEST_PACKED_FIXTURE_H
#define RIDGE_TEST_PACKED_FIXTURE_H

#include "packed_ring.h"
#include "test_virtq_fixture.h"

struct packed_fixture {
	struct fixture *f;
	struct packed_ring ring;
};

#define OUT(bytes) ((struct buf){ RAM_AT, (bytes), false })
#define IN(bytes)  ((struct buf){ RAM_AT, (bytes), true })

static inline void packed_enable(struct packed_fixture *p)
{
	p->f->state.desc = p->ring.desc;
	p->f->state.driver = p->ring.driver;
	p->f->state.device = p->ring.device;
	p->f->state.size = p->ring.size;
	assert_int_equal(virtq_enable(&p->f->vq), 0);
}

/* A new ring of a size, and the queue from the beginning. */
static inline void packed_start(struct packed_fixture *p, uint16_t size)
{
	virtq_reset(&p->f->vq);
	p->f->vq.packed = true;
	packed_ring_init(&p->ring, &p->f->ram, size);
	packed_enable(p);
}

static inline struct packed_fixture *packed_fixture_new(void)
{
	struct packed_fixture *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->f = fixture_new();
	return p;
}

static inline int packed_setup(void **state)
{
	struct packed_fixture *p = packed_fixture_new();

	map_ram(p->f);
	*state = p;
	return 0;
}

static inline int packed_teardown(void **state)
{
	struct packed_fixture *p = *state;
	void *f = p->f;

	teardown(&f);
	free(p);
	return 0;
}

#define PACKED_TEST(name) cmocka_unit_test_setup_teardown(name, packed_setup, packed_teardown)

#endif
