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

/* A descriptor, or a negative errno. */
static int open_attribute(const char *path, int flags)
{
	char full[PATH_MAX];
	int fd, ret = full_path(path, full);

	if (ret)
		return ret;
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int linux_read(void *ctx, const char *path, char *text, size_t size)
{
	int ret, fd = open_attribute(path, O_RDONLY);
	ssize_t len;

	(void)ctx;
	if (fd < 0)
		return fd;
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
	int ret, fd = open_attribute(path, O_WRONLY);

	(void)ctx;
	if (fd < 0)
		return fd;
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

/*
 * Who has a function open: a file of its own (a device node, or the anonymous file that its group
 * gave, which Linux names in fdinfo since 6.18), or its group, from which it can open the function at
 * any time. A process that has the group and names its functions, but not this one, has only others
 * of the group.
 *
 * Before 6.18 an anonymous file says nothing. In a process that has a group open it belongs to that;
 * in one that has closed it, it may be of any function, and so of this one.
 */

#define VFIO_NODES "/dev/vfio/"

struct search {
	const char *rid;
	char group[2][64]; /* nodes in /dev/vfio */
	char cdev[64];     /* the same */
	const char *proc;
	const char *pid; /* of the process that is being looked at, which has open: */
	bool has_group, has_a_group, has_another, has_a_nameless;
	pid_t found;
};

static int note_cdev(void *arg, const char *name)
{
	struct search *s = arg;

	snprintf(s->cdev, sizeof(s->cdev), "devices/%.40s", name);
	return 1; /* a function has one */
}

/* The function that a VFIO file is of, by its fdinfo; empty if that does not say. */
static void file_function(const struct search *s, const char *fd, char rid[HOST_RID_MAX])
{
	static const char key[] = "vfio-device-syspath:";
	char path[PATH_MAX], line[PATH_MAX], *slash;
	FILE *file;

	rid[0] = '\0';
	snprintf(path, sizeof(path), "%s/%s/fdinfo/%s", s->proc, s->pid, fd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		slash = strrchr(line, '/');
		if (slash && !strncmp(line, key, strlen(key)))
			snprintf(rid, HOST_RID_MAX, "%.20s", slash + 1);
	}
	if (file)
		fclose(file);
}

static int check_fd(void *arg, const char *name)
{
	struct search *s = arg;
	char path[PATH_MAX], target[PATH_MAX], rid[HOST_RID_MAX];
	const char *node = target + strlen(VFIO_NODES);
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s/fd/%s", s->proc, s->pid, name);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return 0;
	target[len] = '\0';
	if (!strcmp(target, "anon_inode:[vfio-device]")) {
		file_function(s, name, rid);
		s->has_a_nameless |= !rid[0];
		s->has_another |= rid[0] && strcmp(rid, s->rid) != 0;
		return !strcmp(rid, s->rid);
	}
	if (strncmp(target, VFIO_NODES, strlen(VFIO_NODES)) != 0 || !strcmp(node, "vfio"))
		return 0;
	if (strchr(node, '/')) {
		s->has_another |= strcmp(node, s->cdev) != 0;
		return !strcmp(node, s->cdev);
	}
	s->has_a_group = true;
	s->has_group |= !strcmp(node, s->group[0]) || !strcmp(node, s->group[1]);
	return 0;
}

static int check_process(void *arg, const char *name)
{
	struct search *s = arg;
	char path[PATH_MAX];

	if (name[0] < '0' || name[0] > '9')
		return 0;
	s->pid = name;
	s->has_group = s->has_a_group = s->has_another = s->has_a_nameless = false;
	snprintf(path, sizeof(path), "%s/%s/fd", s->proc, name);
	if (each_entry(path, check_fd, s) != 1 && !(s->has_group && !s->has_another) &&
	    !(s->has_a_nameless && !s->has_a_group))
		return 0;
	s->found = atoi(name);
	return 1;
}

static pid_t linux_user(void *ctx, const char *rid)
{
	const char *proc = getenv("RIDGE_PROC");
	struct search s = { .rid = rid, .proc = proc && proc[0] ? proc : "/proc" };
	char path[HOST_PATH_MAX], group[40];

	snprintf(path, sizeof(path), "bus/pci/devices/%s/iommu_group", rid);
	if (!linux_target(ctx, path, group, sizeof(group))) {
		snprintf(s.group[0], sizeof(s.group[0]), "%s", group);
		snprintf(s.group[1], sizeof(s.group[1]), "noiommu-%s", group);
	}
	snprintf(path, sizeof(path), "bus/pci/devices/%s/vfio-dev", rid);
	linux_each(ctx, path, note_cdev, &s);
	each_entry(s.proc, check_process, &s);
	return s.found;
}

/* A file that root alone can open: any user may lock what he can read, and would keep root waiting. */
static int linux_lock(void *ctx)
{
	int err, fd = open_attribute("bus/pci/drivers_probe", O_WRONLY);

	(void)ctx;
	if (fd < 0)
		return fd;
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
