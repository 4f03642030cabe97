/* SPDX-License-Identifier: BSD-3-Clause */
/* One function as sysfs has it, and what went wrong with it. */
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

void outcome_add(struct host_outcome *outcome, int err, const char *fmt, ...)
{
	char before[sizeof(outcome->text)] = "";
	size_t len;
	va_list ap;

	if (outcome->err)
		snprintf(before, sizeof(before), "%.200s; and ", outcome->text);
	outcome_fail(outcome, outcome->err ? outcome->err : err, "%s", before);
	len = strlen(outcome->text);
	va_start(ap, fmt);
	vsnprintf(outcome->text + len, sizeof(outcome->text) - len, fmt, ap);
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

void function_driver(const struct host *host, const char *rid, char driver[HOST_NAME_MAX])
{
	char path[HOST_PATH_MAX];

	function_path(rid, "driver", path);
	if (host->kernel->target(host->kernel->ctx, path, driver, HOST_NAME_MAX))
		driver[0] = '\0';
}

int function_override(const struct host *host, const char *rid, char name[HOST_NAME_MAX])
{
	int ret = function_read(host, rid, "driver_override", name, HOST_NAME_MAX);

	if (!ret && !strcmp(name, "(null)"))
		name[0] = '\0';
	return ret;
}

int function_set_override(const struct host *host, const char *rid, const char *name)
{
	/* An empty write would not reach the kernel. */
	return function_write(host, rid, "driver_override", name[0] ? name : "\n");
}

int function_bind(const struct host *host, const char *rid, const char *driver)
{
	char path[HOST_PATH_MAX];

	snprintf(path, sizeof(path), "bus/pci/drivers/%s/bind", driver);
	return host->kernel->write(host->kernel->ctx, path, rid);
}

const char *root_hint(int err)
{
	return err == -EACCES || err == -EPERM ? "; run as root" : "";
}

const char *refusal_hint(const struct host *host, const char *rid, const char *driver, int err)
{
	char path[HOST_PATH_MAX], group[HOST_NAME_MAX];

	function_path(rid, "iommu_group", path);
	if (err == -EINVAL && strstr(driver, "vfio") &&
	    host->kernel->target(host->kernel->ctx, path, group, sizeof(group)))
		return "it has no IOMMU group: turn the IOMMU on, or set "
		       "vfio.enable_unsafe_noiommu_mode=1";
	if (err == -ENODEV)
		return "it is not for such a function";
	if (err == -ENOENT)
		return "it is not there; load its module";
	return "dmesg may say why";
}

int function_unbind(const struct host *host, const char *rid, const char *driver, bool force,
		    struct host_outcome *outcome)
{
	bool vfio = strstr(driver, "vfio");
	pid_t user = vfio && !force ? host->kernel->user(host->kernel->ctx, rid) : 0;
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

struct host_change *changes_new(const struct host_rid *rids, unsigned n)
{
	struct host_change *changes = calloc(n, sizeof(*changes));

	for (unsigned i = 0; changes && i < n; i++) {
		changes[i].id = rids[i];
		host_rid_print(&rids[i], changes[i].rid);
	}
	return changes;
}

int outcomes_error(const struct host_outcome *outcomes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (outcomes[i].err)
			return outcomes[i].err;
	return 0;
}
