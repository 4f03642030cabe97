/* SPDX-License-Identifier: BSD-3-Clause */
/* A blk function with two queues, and objects to get and set its parts, for tests of both. */
#ifndef RIDGE_TEST_PARTS_FIXTURE_H
#define RIDGE_TEST_PARTS_FIXTURE_H

#include "blk_fixture.h"
#include "parts.h"

#define VF     1
#define GET_ID (2 * VF)
#define SET_ID (2 * VF + 1)
#define QUEUES 2

struct fixture {
	struct blk_fixture *b;
	struct pf_driver *pf;
	struct parts parts;
	struct parts after;
};

static inline int setup(void **state)
{
	struct device_params params = { .queues = QUEUES };
	struct fixture *f = calloc(1, sizeof(*f));
	int image = memfd_create("test:image", MFD_CLOEXEC);

	assert_non_null(f);
	assert_int_equal(ftruncate(image, 64 * SECTOR), 0);
	f->b = blk_fixture_new_strict(image, &params, *state != NULL);
	f->pf = &f->b->pf;
	parts_use(f->pf);
	parts_objects(f->pf, VF);
	blk_start_queues(f->b, B_MQ | B_FLUSH | B_CONFIG_WCE, QUEUES);
	*state = f;
	return 0;
}

static inline void stop(struct fixture *f)
{
	assert_int_equal(admin_mode(f->pf, VF, MODE_STOPPED), OK);
}

static inline void resume(struct fixture *f)
{
	assert_int_equal(admin_mode(f->pf, VF, 0), OK);
}

static inline void save(struct fixture *f)
{
	parts_save(f->pf, VF, &f->parts);
}

/* At a PF that does what Linux needs, and at one that holds to the letter. */
#define TEST(name)      BLK_TEST_BOTH(name, setup)
#define TEST_ONCE(name) BLK_TEST(name, setup)

#endif
