/* SPDX-License-Identifier: BSD-3-Clause */
/* One virtqueue, the device's end of it in virtq and the driver's in ring. */
#ifndef RIDGE_TEST_VIRTQ_FIXTURE_H
#define RIDGE_TEST_VIRTQ_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iommu/iommu.h"
#include "ring.h"
#include "virtio/queue.h"

#define RAM_AT   0x100000u
#define RAM_SIZE 0x200000u
#define RW       (PROT_READ | PROT_WRITE)

struct fixture {
	struct iommu *iommu;
	struct iommu_space *space;
	struct ram ram;
	struct ring ring;
	struct virtq_state state;
	struct virtq vq;
	struct virtq_chain chain;
	const char *why;
};

/* Gives the queue the ring's addresses and enables it. */
static inline void enable(struct fixture *f)
{
	f->state.desc = f->ring.desc;
	f->state.driver = f->ring.avail;
	f->state.device = f->ring.used;
	f->state.size = f->ring.size;
	assert_int_equal(virtq_enable(&f->vq), 0);
}

static inline struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(iommu_new(&f->iommu), 0);
	assert_int_equal(iommu_space_new(f->iommu, 1, IOMMU_NO_PASID, &f->space), 0);
	ram_init(&f->ram, RAM_AT, RAM_SIZE);
	f->vq.state = &f->state;
	f->vq.size_max = 256;
	virtq_reset(&f->vq);
	return f;
}

static inline void map_ram(struct fixture *f)
{
	assert_int_equal(iommu_map(f->space, RAM_AT, RAM_SIZE, f->ram.fd, 0, RW), 0);
}

/* All memory in one map, and a ring of 8. */
static inline int setup(void **state)
{
	struct fixture *f = fixture_new();

	map_ram(f);
	ring_init(&f->ring, &f->ram, 8);
	enable(f);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	virtq_destroy(&f->vq);
	iommu_free(f->iommu);
	ram_free(&f->ram);
	free(f);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static inline int pop(struct fixture *f)
{
	f->why = NULL;
	return virtq_pop(&f->vq, f->space, &f->chain, &f->why);
}

static inline void release(struct fixture *f)
{
	iommu_unpin(f->chain.segs, (size_t)(f->chain.nout + f->chain.nin));
}

static inline void push(struct fixture *f, uint16_t head, uint32_t len)
{
	assert_int_equal(virtq_push(&f->vq, f->space, head, len), 0);
}

/* Pop fails with err, says what, and pins nothing: the memory can be unmapped at once. */
static inline void assert_broken(struct fixture *f, int err, const char *what)
{
	assert_int_equal(pop(f), err);
	assert_non_null(f->why);
	if (!strstr(f->why, what))
		fail_msg("\"%s\" does not say \"%s\"", f->why, what);
	assert_int_equal(f->vq.in_flight, 0);
	iommu_unmap_all(f->space);
	assert_int_equal(iommu_space_maps(f->space), 0);
}

#endif
