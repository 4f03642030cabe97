/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "host/host.h"

static int full_path(const char *path, char full[PATH_MAX])
{
	const char *root = getenv("RIDGE_SYSFS");

	return snprintf(full, PATH_MAX, "%s/%s", root && root[0] ? root : "/sys", path) < PATH_MAX
		       ? 0
		       : -ENAMETOOLONG;
}

static int linux_read(void *ctx, const char *path, char *text, size_t size)
{
	char full[PATH_MAX];
	int fd, ret = full_path(path, full);
	ssize_t len;

	(void)ctx;
	if (ret)
		return ret;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, size - 1);
	ret = len < 0 ? -errno : 0;
	close(fd);
	text[len < 0 ? 0 : len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return ret;
}

/* One write is one store to an attribute; what it returns is the kernel's answer. */
static int linux_write(void *ctx, const char *path, const char *text)
{
	char full[PATH_MAX];
	int fd, ret = full_path(path, full);

	(void)ctx;
	if (ret)
		return ret;
	fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int linux_target(void *ctx, const char *path, char *name, size_t size)
{
	char full[PATH_MAX], target[PATH_MAX], *slash;
	int ret = full_path(path, full);
	ssize_t len;

	(void)ctx;
	if (ret)
		return ret;
	len = readlink(full, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	slash = strrchr(target, '/');
	return snprintf(name, size, "%s", slash ? slash + 1 : target) < (int)size ? 0
										  : -ENAMETOOLONG;
}

static int each_entry(const char *full, int (*fn)(void *arg, const char *name), void *arg)
{
	DIR *dir = opendir(full);
	struct dirent *entry;
	int ret = 0;

	if (!dir)
		return -errno;
	while (!ret && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			ret = fn(arg, entry->d_name);
	closedir(dir);
	return ret;
}

static int linux_each(void *ctx, const char *path, int (*fn)(void *arg, const char *name),
		      void *arg)
{
	char full[PATH_MAX];
	int ret = full_path(path, full);

	(void)ctx;
	return ret ? ret : each_entry(full, fn, arg);
}

/* Who has a function open: its group's device nodes, or its own. */

#define NODES_MAX 3

struct search {
	char nodes[NODES_MAX][HOST_PATH_MAX];
	unsigned n;
	char proc[HOST_PATH_MAX]; /* /proc/PID/fd */
	pid_t found;
};

static int add_cdev(void *arg, const char *name)
{
	struct search *s = arg;

	snprintf(s->nodes[s->n++], HOST_PATH_MAX, "/dev/vfio/devices/%s", name);
	return 1; /* a function has one */
}

static int check_fd(void *arg, const char *name)
{
	struct search *s = arg;
	char path[HOST_PATH_MAX + 256], target[HOST_PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s", s->proc, name);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return 0;
	target[len] = '\0';
	for (unsigned i = 0; i < s->n; i++)
		if (!strcmp(target, s->nodes[i]))
			return 1;
	return 0;
}

static int check_process(void *arg, const char *name)
{
	struct search *s = arg;

	if (name[0] < '0' || name[0] > '9')
		return 0;
	snprintf(s->proc, sizeof(s->proc), "/proc/%s/fd", name);
	if (each_entry(s->proc, check_fd, s) != 1)
		return 0;
	s->found = atoi(name);
	return 1;
}

static pid_t linux_user(void *ctx, const char *rid)
{
	struct search s = { 0 };
	char path[HOST_PATH_MAX], group[64];

	snprintf(path, sizeof(path), "bus/pci/devices/%s/iommu_group", rid);
	if (!linux_target(ctx, path, group, sizeof(group))) {
		snprintf(s.nodes[s.n++], HOST_PATH_MAX, "/dev/vfio/%s", group);
		snprintf(s.nodes[s.n++], HOST_PATH_MAX, "/dev/vfio/noiommu-%s", group);
	}
	snprintf(path, sizeof(path), "bus/pci/devices/%s/vfio-dev", rid);
	linux_each(ctx, path, add_cdev, &s);
	if (s.n)
		each_entry("/proc", check_process, &s);
	return s.found;
}

/* A file that root alone can open: any user may lock what he can read, and would keep root waiting. */
static int linux_lock(void *ctx)
{
	char full[PATH_MAX];
	int fd, err, ret = full_path("bus/pci/drivers_probe", full);

	(void)ctx;
	if (ret)
		return ret;
	fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX)) {
		err = errno;
		close(fd);
		return -err;
	}
	return fd;
}

const struct host_kernel host_linux = {
	.read = linux_read,
	.write = linux_write,
	.target = linux_target,
	.each = linux_each,
	.user = linux_user,
	.lock = linux_lock,
};
