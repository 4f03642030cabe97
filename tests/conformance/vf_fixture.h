/* SPDX-License-Identifier: BSD-3-Clause */
/* One function, in slot 1 of a PF of four, and a driver of each: what tests of a device begin with.
 */
#ifndef RIDGE_TEST_VF_FIXTURE_H
#define RIDGE_TEST_VF_FIXTURE_H

#include "pf_driver.h"

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf;
	struct driver d; /* of the VF: its modern registers */
	struct ring ring;
	uint64_t page; /* PAGE_LEN bytes of the driver's memory */
};

#define PAGE_LEN 0x110000u

/* sectors: of a blk function, as member_new_blk() has them; 0 for others. */
static inline struct fixture *fixture_new(const char *type, bool strict, uint64_t sectors,
					  bool readonly)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = machine_new(type, 4, strict);
	pf_driver_init(&f->pf, f->m);
	f->vf = sectors ? member_new_blk(f->m, 1, sectors, readonly) : member_new(f->m, 1, NULL);
	pf_enable_vfs(&f->pf, 4);
	driver_init(&f->d, f->m, f->vf->pa);
	f->page = ram_alloc(&f->d.ram, PAGE_LEN, 4096);
	return f;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->d);
	member_free(f->vf);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

#endif
