/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PF of four slots with blk functions in slots 1 and 3, for tests of admin commands. Each test
 * can be run at a PF that holds to the letter of the specification and at one that does what Linux
 * needs.
 */
#ifndef RIDGE_TEST_ADMIN_FIXTURE_H
#define RIDGE_TEST_ADMIN_FIXTURE_H

#include "pf_driver.h"

#define SLOTS 4
#define VF_A  1 /* the members */
#define VF_B  3

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf[2];
};

static inline struct fixture *fixture_new(bool strict)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = machine_new("blk", SLOTS, strict);
	pf_driver_init(&f->pf, f->m);
	f->vf[0] = member_new_blk(f->m, VF_A, 64, false);
	f->vf[1] = member_new_blk(f->m, VF_B, 64, false);
	pf_enable_vfs(&f->pf, SLOTS);
	return f;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++)
		if (f->vf[i])
			member_free(f->vf[i]);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

/* VFs are enabled, nothing is agreed on. */
static inline int fixture_fresh(void **state)
{
	*state = fixture_new(false);
	return 0;
}

static inline int fixture_fresh_strict(void **state)
{
	*state = fixture_new(true);
	return 0;
}

/* All commands are agreed on. */
static inline int fixture_setup(void **state)
{
	struct fixture *f = fixture_new(false);

	admin_use_supported(&f->pf);
	*state = f;
	return 0;
}

static inline int fixture_setup_strict(void **state)
{
	struct fixture *f = fixture_new(true);

	admin_use_supported(&f->pf);
	*state = f;
	return 0;
}

/* A test at a PF that is not strict, at one that is, and at both. */
#define TEST_LINUX(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define TEST_STRICT(name) \
	cmocka_unit_test_setup_teardown(name, fixture_setup_strict, fixture_teardown)
#define TEST_BOTH(name) TEST_LINUX(name), TEST_STRICT(name)

#endif
