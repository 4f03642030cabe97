/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/runtime_dir.h"
#include "host/internal.h"

/* With another boot sysfs has begun anew. */
static void boot_id(char id[HOST_BOOT_MAX])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, id, HOST_BOOT_MAX - 1);

	id[len < 0 ? 0 : len] = '\0';
	id[strcspn(id, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

static int record_dir(const char *dir, char path[HOST_PATH_MAX], char *text, size_t size)
{
	int err = runtime_dir(dir, path, HOST_PATH_MAX - sizeof("/host"));

	if (err)
		snprintf(text, size, "%s", runtime_dir_wrong(err));
	else
		strcat(path, "/host");
	return err;
}

int host_open(struct host *host, const struct host_kernel *kernel, const char *dir, char *text,
	      size_t size)
{
	char path[HOST_PATH_MAX];
	int err, ret = record_dir(dir, path, text, size);

	if (ret)
		return ret;
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755); /* open() below says what is wrong */
		*slash = '/';
	}
	mkdir(path, 0755);
	host->kernel = kernel;
	host->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (host->dir < 0) {
		err = errno;
		snprintf(text, size, "%s: %s; give a --runtime-dir where it may write", path,
			 strerror(err));
		return -err;
	}
	boot_id(host->boot);
	/*
	 * Two at once would mistake each other's changes for what was there before, also with other
	 * records. Who may not lock the bus can change nothing of it, and is told so there.
	 */
	flock(host->dir, LOCK_EX);
	host->lock = kernel->lock(kernel->ctx);
	ret = quiet_recover(host, text, size);
	if (ret)
		host_close(host);
	return ret;
}

void host_close(struct host *host)
{
	if (host->lock >= 0)
		close(host->lock);
	close(host->dir);
}

static bool record_get(struct json_object *object, const char *key, char *value, size_t size)
{
	struct json_object *member;

	if (!json_object_object_get_ex(object, key, &member) ||
	    !json_object_is_type(member, json_type_string))
		return false;
	return snprintf(value, size, "%s", json_object_get_string(member)) < (int)size;
}

struct json_object *state_load(const struct host *host, const char *name)
{
	int fd = openat(host->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct json_object *state;
	char boot[HOST_BOOT_MAX];

	if (fd < 0)
		return NULL;
	state = json_object_from_fd(fd);
	close(fd);
	if (state && record_get(state, "boot", boot, sizeof(boot)) && !strcmp(boot, host->boot))
		return state;
	json_object_put(state);
	return NULL;
}

static int write_whole(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int state_store(const struct host *host, const char *name, struct json_object *state)
{
	static const char temporary[] = "new";
	int fd, ret;

	json_object_object_add(state, "boot", json_object_new_string(host->boot));
	fd = openat(host->dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ret = fd < 0 ? -errno : write_whole(fd, json_object_to_json_string(state));
	if (fd >= 0)
		close(fd);
	if (!ret && renameat(host->dir, temporary, host->dir, name))
		ret = -errno;
	return ret;
}

int state_remove(const struct host *host, const char *name)
{
	return unlinkat(host->dir, name, 0) ? -errno : 0;
}

int record_read(const struct host *host, const char *rid, struct host_record *record)
{
	struct json_object *object = state_load(host, rid);
	bool whole;

	whole = object && record_get(object, "driver", record->driver, sizeof(record->driver)) &&
		record_get(object, "was_driver", record->was_driver, sizeof(record->was_driver)) &&
		record_get(object, "was_override", record->was_override,
			   sizeof(record->was_override)) &&
		record_get(object, "pf", record->pf, sizeof(record->pf));
	json_object_put(object);
	return whole ? 0 : -ENOENT;
}

int record_current(const struct host *host, const char *rid, const char *override,
		   struct host_record *record)
{
	int ret = record_read(host, rid, record);

	return !ret && strcmp(record->driver, override) ? -ESTALE : ret;
}

int record_write(const struct host *host, const char *rid, const struct host_record *record)
{
	struct json_object *object = json_object_new_object();
	int ret;

	json_object_object_add(object, "driver", json_object_new_string(record->driver));
	json_object_object_add(object, "was_driver", json_object_new_string(record->was_driver));
	json_object_object_add(object, "was_override",
			       json_object_new_string(record->was_override));
	json_object_object_add(object, "pf", json_object_new_string(record->pf));
	ret = state_store(host, rid, object);
	json_object_put(object);
	return ret;
}

int record_remove(const struct host *host, const char *rid)
{
	return state_remove(host, rid);
}
