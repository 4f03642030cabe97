/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "batch-"

static void path_of(const char *dir, uint64_t batch, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" PREFIX "%016llx", dir, (unsigned long long)batch);
}

int journal_add(const char *dir, uint64_t batch, struct error *e)
{
	char path[PATH_MAX];
	int fd;

	path_of(dir, batch, path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	close(fd);
	return 0;
}

void journal_remove(const char *dir, uint64_t batch)
{
	char path[PATH_MAX];

	path_of(dir, batch, path);
	unlink(path);
}

bool journal_has(const char *dir, uint64_t batch)
{
	char path[PATH_MAX];

	path_of(dir, batch, path);
	return !access(path, F_OK);
}

void journal_clear(const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);

	while (d && (entry = readdir(d)))
		if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
}
