/* SPDX-License-Identifier: BSD-3-Clause */
/* ridge host with its records in a temporary directory, over the model of the kernel's PCI core. */
#ifndef RIDGE_TEST_HOST_FIXTURE_H
#define RIDGE_TEST_HOST_FIXTURE_H

#include "test_host_model.h"

#define N_MAX 16

/* Shared with processes that a test forks. */
struct fixture {
	struct model m;
	struct host host;
	char dir[64];
	struct host_outcome out[N_MAX];
};

int host_setup(void **state);
int host_teardown(void **state);

/* The files in the folder of the records. */
unsigned records(const struct fixture *f);

/* RIDs as text, the last one NULL; f->out has the outcomes. */
int adopt_all(struct fixture *f, const char *driver, bool force, const char *const *texts);
int release_all(struct fixture *f, bool force, const char *const *texts);

#define adopt(f, driver, ...) \
	adopt_all(f, driver, false, (const char *const[]){ __VA_ARGS__, NULL })
#define release(f, ...) release_all(f, false, (const char *const[]){ __VA_ARGS__, NULL })

#endif
