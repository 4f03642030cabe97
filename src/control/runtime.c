/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/runtime_dir.h"

/* A directory that others can write would let them put their sockets in place of ours. */
static int dir_check(const char *path, struct error *e)
{
	struct stat st;

	if (lstat(path, &st))
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(e, ENOTDIR, "%s: is not a directory; give another", path);
	if (st.st_uid != geteuid())
		return error_set(e, EPERM, "%s: belongs to user %u; give a directory of your own",
				 path, st.st_uid);
	if (st.st_mode & S_IWOTH)
		return error_set(e, EPERM,
				 "%s: anyone may write to it; give a directory that only "
				 "you can write",
				 path);
	return 0;
}

static int dir_make(const char *path, mode_t mode, bool force_mode, struct error *e)
{
	bool made = !mkdir(path, mode);
	int err;

	if (!made && errno != EEXIST)
		return error_set(e, errno, "%s: %s; give a directory that can be made", path,
				 strerror(errno));
	err = dir_check(path, e);
	/* The umask must not decide; but a directory that was there has the mode it was given. */
	if (!err && (made || force_mode) && chmod(path, mode))
		err = error_set(e, errno, "%s: %s", path, strerror(errno));
	return err;
}

static int dir_lock(const char *dir, struct error *e)
{
	char path[PATH_MAX], pid[16] = "";
	fd_auto int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/ridged.lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		n = pread(fd, pid, sizeof(pid) - 1, 0);
		if (n > 0)
			pid[strcspn(pid, "\n")] = '\0';
		return error_set(
			e, EBUSY,
			"%s: a ridged (pid %s) uses this directory; stop it, or give another "
			"--runtime-dir",
			dir, n > 0 ? pid : "unknown");
	}
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) || pwrite(fd, pid, (size_t)n, 0) != n)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	return fd_take(&fd);
}

char *runtime_open(const char *given, int *lock, struct error *e)
{
	char dir[PATH_MAX], *path = NULL, *sub;
	int err = runtime_dir(given, dir, sizeof(dir));

	if (err)
		error_set(e, -err, "%s", runtime_dir_wrong(err));
	if (err || dir_make(dir, 0711, false, e))
		return NULL;
	path = realpath(dir, NULL);
	if (!path) {
		error_set(e, errno, "%s: %s", dir, strerror(errno));
		return NULL;
	}
	*lock = dir_lock(path, e);
	if (*lock < 0)
		goto fail;
	if (asprintf(&sub, "%s/functions", path) < 0)
		goto fail;
	if (dir_make(sub, 0711, true, e)) {
		free(sub);
		goto fail;
	}
	snprintf(strrchr(sub, '/'), sizeof("/exports"), "/exports");
	if (dir_make(sub, 0711, true, e)) {
		free(sub);
		goto fail;
	}
	snprintf(strrchr(sub, '/'), 4, "/pf");
	if (dir_make(sub, 0700, true, e)) {
		free(sub);
		goto fail;
	}
	free(sub);
	return path;
fail:
	fd_close(lock);
	free(path);
	return NULL;
}

void runtime_close(const char *dir)
{
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	unlinkat(fd, "functions", AT_REMOVEDIR);
	unlinkat(fd, "exports", AT_REMOVEDIR);
	unlinkat(fd, "pf", AT_REMOVEDIR);
	close(fd);
}

int runtime_socket(const char *dir, const char *sub, const char *name, char *path, size_t len,
		   struct error *e)
{
	int n = snprintf(path, len, "%s/%s/%s.sock", dir, sub, name);

	if (n < 0 || (size_t)n >= len) {
		path[0] = '\0';
		return error_set(e, ENAMETOOLONG,
				 "%s/%s/%s.sock is too long for a socket (%d characters, at most "
				 "%zu); give a shorter name or runtime directory",
				 dir, sub, name, n, len - 1);
	}
	return 0;
}

int runtime_each(const char *dir, const char *sub, void (*fn)(void *arg, const char *name),
		 void *arg)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	d = opendir(path);
	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		size_t len = strlen(entry->d_name);

		if (len <= 5 || strcmp(entry->d_name + len - 5, ".sock") != 0)
			continue;
		entry->d_name[len - 5] = '\0';
		fn(arg, entry->d_name);
	}
	closedir(d);
	return 0;
}
