/* SPDX-License-Identifier: BSD-3-Clause */
/* Two blk functions with a driver each: one that means harm, in slot 1, and its neighbour. */
#ifndef RIDGE_TEST_HOSTILE_FIXTURE_H
#define RIDGE_TEST_HOSTILE_FIXTURE_H

#include "pf_driver.h"
#include "random.h"

#define NO_PASID 0xffffffffu
#define SECTORS  64

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf[2]; /* in slots 1 and 2 */
	struct driver d[2];
	struct ring ring[2];
	uint64_t page[2];
	uint64_t seed;
};

static inline struct fixture *fixture_new(bool readonly)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->seed = 0x9e3779b97f4a7c15;
	f->m = machine_new("blk", 4, false);
	pf_driver_init(&f->pf, f->m);
	pf_enable_vfs(&f->pf, 4);
	admin_use_all(&f->pf);
	for (uint32_t i = 0; i < 2; i++) {
		f->vf[i] = member_new_blk(f->m, i + 1, SECTORS, readonly);
		driver_init(&f->d[i], f->m, f->vf[i]->pa);
	}
	return f;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		driver_fini(&f->d[i]);
		member_free(f->vf[i]);
	}
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

#endif
