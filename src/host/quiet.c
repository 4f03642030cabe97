/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "host/internal.h"

#define DEVICES   "bus/pci/devices"
#define DRIVERS   "bus/pci/drivers"
#define AUTOPROBE "bus/pci/drivers_autoprobe"
#define JOURNAL   "switches" /* its file; RIDs have colons */

/*
 * The state of a section, as JSON: "switches", what they were by path; "vfs", how many are enabled
 * by PF; "devices" and "drivers" that were there before. All are objects, so that a name is found
 * at once.
 */
static const char *const parts[] = { "switches", "vfs", "devices", "drivers" };
#define N_PARTS ARRAY_LEN(parts)

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

static int add_names(struct host *host, const char *path, struct json_object *names)
{
	return host->kernel->each(host->kernel->ctx, path, add_name, names);
}

/* One that is off already is nobody's to turn on. */
static int switch_off(struct host *host, struct quiet *quiet, const char *path)
{
	char was[8];
	int ret = host->kernel->read(host->kernel->ctx, path, was, sizeof(was));

	if (ret || !strcmp(was, "0"))
		return ret;
	json_object_object_add(part(quiet, "switches"), path, json_object_new_string(was));
	ret = state_store(host, JOURNAL, quiet->state);
	return ret ? ret : host->kernel->write(host->kernel->ctx, path, "0");
}

static void leave(struct quiet *quiet)
{
	json_object_put(quiet->state);
	sigprocmask(SIG_SETMASK, &quiet->signals, NULL);
}

int quiet_begin(struct host *host, struct quiet *quiet)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
	sigset_t waiting;
	int ret;

	sigemptyset(&waiting);
	for (unsigned i = 0; i < ARRAY_LEN(signals); i++)
		sigaddset(&waiting, signals[i]);
	sigprocmask(SIG_BLOCK, &waiting, &quiet->signals);
	quiet->state = json_object_new_object();
	for (unsigned i = 0; i < N_PARTS; i++)
		json_object_object_add(quiet->state, parts[i], json_object_new_object());
	ret = add_names(host, DEVICES, part(quiet, "devices"));
	if (!ret)
		ret = add_names(host, DRIVERS, part(quiet, "drivers"));
	if (!ret)
		ret = switch_off(host, quiet, AUTOPROBE);
	if (ret) {
		state_remove(host, JOURNAL);
		leave(quiet);
	}
	return ret;
}

/*
 * Both switches: with the PF's alone, the driver core still takes each VF to its normal driver, and
 * the PCI bus then refuses.
 */
int quiet_vfs(struct host *host, struct quiet *quiet, const char *pf, unsigned number)
{
	char path[HOST_PATH_MAX];
	int ret;

	json_object_object_add(part(quiet, "vfs"), pf, json_object_new_int64(number));
	ret = state_store(host, JOURNAL, quiet->state);
	snprintf(path, sizeof(path), DEVICES "/%s/sriov_drivers_autoprobe", pf);
	return ret ? ret : switch_off(host, quiet, path);
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

/*
 * A driver that registers with autoprobe off is given none of what is there. It alone is: what
 * somebody has unbound from another one stays so.
 */
static void offer(struct host *host, const char *rid, struct json_object *drivers)
{
	char bound[HOST_NAME_MAX];

	json_object_object_foreach(drivers, driver, nothing)
	{
		(void)nothing;
		function_driver(host, rid, bound);
		if (bound[0])
			return;
		function_bind(host, rid, driver);
	}
}

/* What would have been probed, had nobody turned autoprobe off. */
static void probe_missed(struct host *host, const struct quiet *quiet)
{
	struct json_object *devices = json_object_new_object(), *drivers = json_object_new_object();
	const struct host_kernel *kernel = host->kernel;

	add_names(host, DEVICES, devices);
	add_names(host, DRIVERS, drivers);
	json_object_object_foreach(part(quiet, "drivers"), driver, no_driver)
	{
		(void)no_driver;
		json_object_object_del(drivers, driver);
	}
	json_object_object_foreach(devices, rid, nothing)
	{
		bool before = has(part(quiet, "devices"), rid);

		(void)nothing;
		if ((before && !json_object_object_length(drivers)) ||
		    is_new_vf(host, quiet, rid) || is_adopted(host, rid))
			continue;
		if (before)
			offer(host, rid, drivers);
		else
			kernel->write(kernel->ctx, "bus/pci/drivers_probe", rid);
	}
	json_object_put(drivers);
	json_object_put(devices);
}

static int settle(struct host *host, const struct quiet *quiet)
{
	int ret = switches_back(host, quiet);

	if (has(part(quiet, "switches"), AUTOPROBE))
		probe_missed(host, quiet);
	if (!ret)
		state_remove(host, JOURNAL);
	return ret;
}

int quiet_end(struct host *host, struct quiet *quiet)
{
	int ret = settle(host, quiet);

	leave(quiet);
	return ret;
}

/* VFs that are still those that were enabled there. */
static int recover_vfs(struct host *host, const struct quiet *quiet, char *text, size_t size)
{
	unsigned enabled;
	int one, ret = 0;

	json_object_object_foreach(part(quiet, "vfs"), pf, number)
	{
		if (function_read_number(host, pf, "sriov_numvfs", &enabled) || !enabled ||
		    enabled != json_object_get_int64(number))
			continue;
		one = host_end_vfs(host, pf);
		if (!one)
			continue;
		ret = one;
		snprintf(text, size,
			 "the VFs of %s, which an adopt that was killed has enabled, cannot be "
			 "ended (%s)%s",
			 pf, strerror(-ret), root_hint(ret));
	}
	return ret;
}

int quiet_recover(struct host *host, char *text, size_t size)
{
	struct quiet quiet = { .state = state_load(host, JOURNAL) };
	int ret = 0;

	for (unsigned i = 0; i < N_PARTS && quiet.state; i++)
		if (!json_object_is_type(part(&quiet, parts[i]), json_type_object))
			goto out;
	if (!quiet.state)
		return 0;
	ret = settle(host, &quiet);
	if (ret)
		snprintf(text, size,
			 "an adopt that was killed has left autoprobe off, and it cannot be turned "
			 "on again (%s)%s",
			 strerror(-ret), root_hint(ret));
	else
		ret = recover_vfs(host, &quiet, text, size);
out:
	json_object_put(quiet.state);
	return ret;
}
