/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "host/internal.h"

#define DEVICES   "bus/pci/devices"
#define AUTOPROBE "bus/pci/drivers_autoprobe"

/*
 * The state of a section, as JSON: "switches", what they were by path; "devices" that were there
 * before; "vfs", their number by PF. All three are objects, so that a name is found at once.
 */
static struct json_object *part(const struct quiet *quiet, const char *name)
{
	return json_object_object_get(quiet->state, name);
}

static bool has(struct json_object *names, const char *name)
{
	return json_object_object_get_ex(names, name, NULL);
}

static int add_name(void *arg, const char *name)
{
	return json_object_object_add(arg, name, NULL) ? -ENOMEM : 0;
}

/* One that is off already is nobody's to turn on. */
static int switch_off(struct host *host, struct quiet *quiet, const char *path)
{
	char was[8];
	int ret = host->kernel->read(host->kernel->ctx, path, was, sizeof(was));

	if (ret || !strcmp(was, "0"))
		return ret;
	json_object_object_add(part(quiet, "switches"), path, json_object_new_string(was));
	return host->kernel->write(host->kernel->ctx, path, "0");
}

int quiet_begin(struct host *host, struct quiet *quiet)
{
	static const char *const parts[] = { "switches", "vfs", "devices" };
	int ret;

	quiet->state = json_object_new_object();
	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		json_object_object_add(quiet->state, parts[i], json_object_new_object());
	ret = host->kernel->each(host->kernel->ctx, DEVICES, add_name, part(quiet, "devices"));
	if (!ret)
		ret = switch_off(host, quiet, AUTOPROBE);
	if (ret)
		json_object_put(quiet->state);
	return ret;
}

/*
 * Both switches: with the PF's alone, the driver core still takes each VF to its normal driver, and
 * the PCI bus then refuses.
 */
int quiet_vfs(struct host *host, struct quiet *quiet, const char *pf, unsigned number)
{
	char path[HOST_PATH_MAX];

	json_object_object_add(part(quiet, "vfs"), pf, json_object_new_int64(number));
	snprintf(path, sizeof(path), DEVICES "/%s/sriov_drivers_autoprobe", pf);
	return switch_off(host, quiet, path);
}

static int switches_back(struct host *host, const struct quiet *quiet)
{
	int one, ret = 0;

	json_object_object_foreach(part(quiet, "switches"), path, was)
	{
		one = host->kernel->write(host->kernel->ctx, path, json_object_get_string(was));
		if (one && one != -ENOENT) /* its PF is gone */
			ret = one;
	}
	return ret;
}

static bool is_new_vf(struct host *host, const struct quiet *quiet, const char *rid)
{
	char path[HOST_PATH_MAX], physfn[HOST_RID_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s/physfn", rid);
	return !host->kernel->target(host->kernel->ctx, path, physfn, sizeof(physfn)) &&
	       has(part(quiet, "vfs"), physfn);
}

static bool is_adopted(struct host *host, const char *rid)
{
	char override[HOST_NAME_MAX];
	struct host_record record;

	return !function_override(host, rid, override) &&
	       !record_current(host, rid, override, &record);
}

/* What would have been probed, had nobody turned autoprobe off. */
static void probe_missed(struct host *host, const struct quiet *quiet)
{
	const struct host_kernel *kernel = host->kernel;
	struct json_object *after = json_object_new_object();

	kernel->each(kernel->ctx, DEVICES, add_name, after);
	json_object_object_foreach(after, rid, nothing)
	{
		(void)nothing;
		if (!has(part(quiet, "devices"), rid) && !is_new_vf(host, quiet, rid) &&
		    !is_adopted(host, rid))
			kernel->write(kernel->ctx, "bus/pci/drivers_probe", rid);
	}
	json_object_put(after);
}

int quiet_end(struct host *host, struct quiet *quiet)
{
	int ret = switches_back(host, quiet);

	if (has(part(quiet, "switches"), AUTOPROBE))
		probe_missed(host, quiet);
	json_object_put(quiet->state);
	return ret;
}
