/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_host_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

int host_setup(void **state)
{
	struct fixture *f =
		mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char text[200];

	assert_ptr_not_equal(f, MAP_FAILED);
	snprintf(f->dir, sizeof(f->dir), "/tmp/ridge-host-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	model_init(&f->m);
	assert_int_equal(host_open(&f->host, &f->m.kernel, f->dir, text, sizeof(text)), 0);
	*state = f;
	return 0;
}

unsigned records(const struct fixture *f)
{
	int fd = openat(f->host.dir, ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

int host_teardown(void **state)
{
	struct fixture *f = *state;
	char path[128];

	for (unsigned i = 0; i < f->m.n; i++)
		unlinkat(f->host.dir, f->m.function[i].rid, 0);
	unlinkat(f->host.dir, "new", 0);
	unlinkat(f->host.dir, "switches", 0);
	host_close(&f->host);
	snprintf(path, sizeof(path), "%s/host", f->dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(f->dir), 0);
	munmap(f, sizeof(*f));
	return 0;
}

static unsigned parse_all(const char *const *texts, struct host_rid *rids)
{
	unsigned n = 0;

	for (; texts[n]; n++)
		assert_int_equal(host_rid_parse(texts[n], &rids[n]), 0);
	return n;
}

int adopt_all(struct fixture *f, const char *driver, bool force, const char *const *texts)
{
	struct host_rid rids[N_MAX];
	unsigned n = parse_all(texts, rids);

	return host_adopt(&f->host, rids, n, driver, force, f->out);
}

int release_all(struct fixture *f, bool force, const char *const *texts)
{
	struct host_rid rids[N_MAX];
	unsigned n = parse_all(texts, rids);

	return host_release(&f->host, rids, n, force, f->out);
}
