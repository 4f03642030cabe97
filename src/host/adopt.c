/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/internal.h"

void outcome_fail(struct host_outcome *outcome, int err, const char *fmt, ...)
{
	va_list ap;

	outcome->err = err;
	va_start(ap, fmt);
	vsnprintf(outcome->text, sizeof(outcome->text), fmt, ap);
	va_end(ap);
}

static void function_path(const char *rid, const char *attribute, char path[HOST_PATH_MAX])
{
	snprintf(path, HOST_PATH_MAX, "bus/pci/devices/%s/%s", rid, attribute);
}

int function_read(const struct host *host, const char *rid, const char *attribute, char *text,
		  size_t size)
{
	char path[HOST_PATH_MAX];

	function_path(rid, attribute, path);
	return host->kernel->read(host->kernel->ctx, path, text, size);
}

int function_read_number(const struct host *host, const char *rid, const char *attribute,
			 unsigned *number)
{
	char text[16];
	int ret = function_read(host, rid, attribute, text, sizeof(text));

	*number = ret ? 0 : (unsigned)strtoul(text, NULL, 10);
	return ret;
}

int function_write(const struct host *host, const char *rid, const char *attribute,
		   const char *text)
{
	char path[HOST_PATH_MAX];

	function_path(rid, attribute, path);
	return host->kernel->write(host->kernel->ctx, path, text);
}

bool function_exists(const struct host *host, const char *rid)
{
	char text[16];

	return !function_read(host, rid, "vendor", text, sizeof(text));
}

/* The driver that a function is bound to; empty: none. */
static void bound_driver(const struct host *host, const char *rid, char driver[HOST_NAME_MAX])
{
	char path[HOST_PATH_MAX];

	function_path(rid, "driver", path);
	if (host->kernel->target(host->kernel->ctx, path, driver, HOST_NAME_MAX))
		driver[0] = '\0';
}

static int override_get(const struct host *host, const char *rid, char name[HOST_NAME_MAX])
{
	int ret = function_read(host, rid, "driver_override", name, HOST_NAME_MAX);

	if (!ret && !strcmp(name, "(null)"))
		name[0] = '\0';
	return ret;
}

static int override_set(const struct host *host, const char *rid, const char *name)
{
	/* An empty write would not reach the kernel. */
	return function_write(host, rid, "driver_override", name[0] ? name : "\n");
}

static int driver_bind(const struct host *host, const char *rid, const char *driver)
{
	char path[HOST_PATH_MAX];

	snprintf(path, sizeof(path), "bus/pci/drivers/%s/bind", driver);
	return host->kernel->write(host->kernel->ctx, path, rid);
}

static int any_entry(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 1;
}

static bool driver_is_there(const struct host *host, const char *name)
{
	char path[HOST_PATH_MAX];

	snprintf(path, sizeof(path), "bus/pci/drivers/%s", name);
	return host->kernel->each(host->kernel->ctx, path, any_entry, NULL) >= 0;
}

/*
 * The driver's name in sysfs. A driver is known by its module's name as well, which differs in
 * dashes alone: virtio-vfio-pci is virtio_vfio_pci there.
 */
static int driver_find(const struct host *host, const char *name, char found[HOST_NAME_MAX])
{
	char other[HOST_NAME_MAX];

	if (!name[0] || name[0] == '.' || strchr(name, '/') || strlen(name) >= HOST_NAME_MAX)
		return -EINVAL;
	snprintf(found, HOST_NAME_MAX, "%s", name);
	if (driver_is_there(host, found))
		return 0;
	for (unsigned way = 0; way < 2; way++) {
		snprintf(other, sizeof(other), "%s", name);
		for (char *p = other; *p; p++)
			if (*p == "-_"[way])
				*p = "_-"[way];
		if (driver_is_there(host, other)) {
			memcpy(found, other, sizeof(other));
			return 0;
		}
	}
	return -ENOENT;
}

static const char *root_hint(int err)
{
	return err == -EACCES || err == -EPERM ? "; run as root" : "";
}

/* What a refusal of a driver says more than its errno does. */
static const char *refusal_hint(const struct host *host, const char *rid, const char *driver,
				int err)
{
	char path[HOST_PATH_MAX], group[HOST_NAME_MAX];

	function_path(rid, "iommu_group", path);
	if (err == -EINVAL && strstr(driver, "vfio") &&
	    host->kernel->target(host->kernel->ctx, path, group, sizeof(group)))
		return "it has no IOMMU group: turn the IOMMU on, or set "
		       "vfio.enable_unsafe_noiommu_mode=1";
	if (err == -ENODEV)
		return "it is not for such a function";
	return "dmesg may say why";
}

/* Unbinding a VFIO driver waits, without an end, until nobody has the function open. */
static int unbind(const struct host *host, const char *rid, const char *driver, bool force,
		  struct host_outcome *outcome)
{
	pid_t user = force ? 0 : host->kernel->user(host->kernel->ctx, rid);
	int ret;

	if (user) {
		outcome_fail(outcome, -EBUSY,
			     "process %d has it open through %s; end that first, or give --force",
			     (int)user, driver);
		return -EBUSY;
	}
	ret = function_write(host, rid, "driver/unbind", rid);
	if (ret)
		outcome_fail(outcome, ret, "%s does not let go of it (%s)%s", driver,
			     strerror(-ret), root_hint(ret));
	return ret;
}

/*
 * The record of a function that is as adopt left it. One whose driver_override is another by now
 * does not count.
 */
static int record_current(const struct host *host, const char *rid, const char *override,
			  struct host_record *record)
{
	int ret = record_read(host, rid, record);

	if (!ret && strcmp(record->driver, override))
		ret = -ESTALE;
	return ret;
}

static void adopt_one(struct host *host, const char *rid, const char *driver, const char *pf,
		      bool force, struct host_outcome *outcome)
{
	struct host_record old = { 0 }, record = { 0 };
	char override[HOST_NAME_MAX];
	int ret, had;

	bound_driver(host, rid, outcome->was);
	memcpy(outcome->driver, outcome->was, sizeof(outcome->driver));
	if (!strcmp(outcome->was, driver))
		return;
	ret = override_get(host, rid, override);
	if (ret) {
		outcome_fail(outcome, ret, "its driver_override cannot be read (%s)",
			     strerror(-ret));
		return;
	}
	/* Adopted already, to another driver: what was there before that is what comes back. */
	had = record_current(host, rid, override, &old);
	if (!had) {
		record = old;
	} else {
		snprintf(record.was_driver, sizeof(record.was_driver), "%s", outcome->was);
		snprintf(record.was_override, sizeof(record.was_override), "%s", override);
		snprintf(record.pf, sizeof(record.pf), "%s", pf);
	}
	snprintf(record.driver, sizeof(record.driver), "%s", driver);
	ret = record_write(host, rid, &record);
	if (ret) {
		outcome_fail(outcome, ret, "what is put back later cannot be written down (%s)%s",
			     strerror(-ret), root_hint(ret));
		return;
	}

	ret = override_set(host, rid, driver);
	if (ret) {
		outcome_fail(outcome, ret, "its driver_override cannot be set (%s)%s",
			     strerror(-ret), root_hint(ret));
		goto forget;
	}
	if (outcome->was[0]) {
		ret = unbind(host, rid, outcome->was, force, outcome);
		if (ret)
			goto put_back;
	}
	ret = driver_bind(host, rid, driver);
	if (!ret) {
		outcome->changed = true;
		memcpy(outcome->driver, record.driver, sizeof(outcome->driver));
		return;
	}
	outcome_fail(outcome, ret, "%s refuses it (%s): %s", driver, strerror(-ret),
		     refusal_hint(host, rid, driver, ret));
put_back:
	override_set(host, rid, override);
	if (outcome->was[0])
		driver_bind(host, rid, outcome->was); /* -EBUSY if it was never unbound */
	bound_driver(host, rid, outcome->driver);
forget:
	if (had)
		record_remove(host, rid);
	else
		record_write(host, rid, &old);
}

static int first_error(const struct host_outcome *outcomes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (outcomes[i].err)
			return outcomes[i].err;
	return 0;
}

/* VFs that adopt enabled go when nothing of them is in use by anybody. */

struct vf_search {
	const struct host *host;
	const char *pf;
};

static int is_bound_vf(void *arg, const char *name)
{
	const struct vf_search *s = arg;
	char path[HOST_PATH_MAX], driver[HOST_NAME_MAX];

	if (strncmp(name, "virtfn", 6))
		return 0;
	snprintf(path, sizeof(path), "bus/pci/devices/%s/%s/driver", s->pf, name);
	return !s->host->kernel->target(s->host->kernel->ctx, path, driver, sizeof(driver));
}

static void vfs_end(const struct host *host, const char *pf)
{
	struct vf_search s = { .host = host, .pf = pf };
	char path[HOST_PATH_MAX];

	if (record_names_pf(host, pf))
		return;
	snprintf(path, sizeof(path), "bus/pci/devices/%s", pf);
	if (!host->kernel->each(host->kernel->ctx, path, is_bound_vf, &s))
		function_write(host, pf, "sriov_numvfs", "0");
}

/* For each PF that is named, once. */
static void vfs_end_all(const struct host *host, char (*pfs)[HOST_RID_MAX], unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		bool named = false;

		for (unsigned j = 0; j < i && pfs[i][0] && !named; j++)
			named = !strcmp(pfs[i], pfs[j]);
		if (pfs[i][0] && !named)
			vfs_end(host, pfs[i]);
	}
}

int host_adopt(struct host *host, const struct host_rid *rids, unsigned n, const char *name,
	       bool force, struct host_outcome *outcomes)
{
	char driver[HOST_NAME_MAX], rid[HOST_RID_MAX];
	char(*pfs)[HOST_RID_MAX] = calloc(n, sizeof(*pfs));
	int ret = pfs ? driver_find(host, name, driver) : -ENOMEM;

	memset(outcomes, 0, n * sizeof(*outcomes));
	for (unsigned i = 0; ret && i < n; i++)
		outcome_fail(&outcomes[i], ret,
			     "there is no driver %s; load its module, or name one that is in "
			     "/sys/bus/pci/drivers",
			     name);
	if (!ret)
		host_appear(host, rids, n, pfs, outcomes);
	for (unsigned i = 0; i < n; i++) {
		host_rid_print(&rids[i], rid);
		if (!outcomes[i].err)
			adopt_one(host, rid, driver, pfs[i], force, &outcomes[i]);
		if (pfs && !outcomes[i].err)
			pfs[i][0] = '\0';
	}
	/* Those of functions that were not adopted after all */
	if (pfs)
		vfs_end_all(host, pfs, n);
	free(pfs);
	return first_error(outcomes, n);
}

static void release_gone(struct host *host, const char *rid, struct host_outcome *outcome)
{
	if (record_remove(host, rid))
		outcome_fail(outcome, -ENODEV,
			     "there is no such function; lspci -D shows what there is");
	else
		outcome->changed = true;
}

static void release_one(struct host *host, const char *rid, bool force, char pf[HOST_RID_MAX],
			struct host_outcome *outcome)
{
	struct host_record record;
	char override[HOST_NAME_MAX];
	int ret;

	if (!function_exists(host, rid)) {
		release_gone(host, rid, outcome);
		return;
	}
	bound_driver(host, rid, outcome->was);
	memcpy(outcome->driver, outcome->was, sizeof(outcome->driver));
	ret = override_get(host, rid, override);
	if (!ret)
		ret = record_current(host, rid, override, &record);
	if (ret == -ESTALE) {
		record_remove(host, rid);
		outcome_fail(outcome, ret,
			     "its driver_override is %s now and no longer %s, so it stays as it is",
			     override[0] ? override : "empty", record.driver);
		return;
	}
	if (ret) {
		outcome_fail(outcome, ret,
			     "it was not adopted, so there is nothing to put back; it is bound to "
			     "%s",
			     outcome->was[0] ? outcome->was : "no driver");
		return;
	}

	if (!strcmp(outcome->was, record.driver) &&
	    unbind(host, rid, record.driver, force, outcome))
		return;
	ret = override_set(host, rid, record.was_override);
	if (ret) {
		outcome_fail(outcome, ret, "its driver_override cannot be put back (%s)%s",
			     strerror(-ret), root_hint(ret));
		return;
	}
	bound_driver(host, rid, outcome->driver);
	if (record.was_driver[0] && !outcome->driver[0]) {
		ret = driver_bind(host, rid, record.was_driver);
		if (ret)
			outcome_fail(outcome, ret, "%s, which had it before, refuses it (%s): %s",
				     record.was_driver, strerror(-ret),
				     refusal_hint(host, rid, record.was_driver, ret));
		bound_driver(host, rid, outcome->driver);
	}
	outcome->changed = true;
	memcpy(pf, record.pf, sizeof(record.pf));
	record_remove(host, rid);
}

int host_release(struct host *host, const struct host_rid *rids, unsigned n, bool force,
		 struct host_outcome *outcomes)
{
	char(*pfs)[HOST_RID_MAX] = calloc(n, sizeof(*pfs));
	char rid[HOST_RID_MAX];

	memset(outcomes, 0, n * sizeof(*outcomes));
	for (unsigned i = 0; i < n; i++) {
		host_rid_print(&rids[i], rid);
		if (pfs)
			release_one(host, rid, force, pfs[i], &outcomes[i]);
		else
			outcome_fail(&outcomes[i], -ENOMEM, "out of memory");
	}
	if (pfs)
		vfs_end_all(host, pfs, n);
	free(pfs);
	return first_error(outcomes, n);
}
