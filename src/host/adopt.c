/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/internal.h"

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

static void forget(struct host *host, struct host_change *change)
{
	if (change->adopted)
		record_write(host, change->rid, &change->old);
	else
		record_remove(host, change->rid);
	change->claimed = false;
}

/* As before claim(). What cannot be put back stays on record. */
static void unclaim(struct host *host, struct host_change *change)
{
	if (!function_set_override(host, change->rid, change->override))
		forget(host, change);
}

/* Writes down what there is, and names the driver: no other one probes the function from here on.
 */
static int claim(struct host *host, struct host_change *change, const char *driver,
		 struct host_outcome *outcome)
{
	struct host_record *record = &change->record;
	const char *rid = change->rid;
	int ret;

	ret = function_override(host, rid, change->override);
	if (ret) {
		outcome_fail(outcome, ret, "its driver_override cannot be read (%s)",
			     strerror(-ret));
		return ret;
	}
	/* Adopted already, to another driver: what was there before that is what comes back. */
	change->adopted = !record_current(host, rid, change->override, &change->old);
	if (change->adopted && change->absent)
		return 0; /* it has just appeared, so its RID was given twice */
	if (change->adopted) {
		*record = change->old;
	} else {
		memset(record, 0, sizeof(*record));
		function_driver(host, rid, record->was_driver);
		memcpy(record->was_override, change->override, sizeof(record->was_override));
		memcpy(record->pf, change->pf, sizeof(record->pf));
	}
	snprintf(record->driver, sizeof(record->driver), "%s", driver);
	ret = record_write(host, rid, record);
	if (ret) {
		outcome_fail(outcome, ret, "what is put back later cannot be written down (%s)%s",
			     strerror(-ret), root_hint(ret));
		return ret;
	}
	change->claimed = true;
	ret = function_set_override(host, rid, driver);
	if (ret) {
		outcome_fail(outcome, ret, "its driver_override cannot be set (%s)%s",
			     strerror(-ret), root_hint(ret));
		forget(host, change);
	}
	return ret;
}

/* What is absent appears, and is claimed before anybody else may probe it. */
static void appear_claimed(struct host *host, struct host_change *changes, unsigned n,
			   const char *driver, struct host_outcome *outcomes)
{
	struct quiet quiet;
	int ret = quiet_begin(host, &quiet);

	if (!ret)
		host_appear(host, &quiet, changes, n, outcomes);
	for (unsigned i = 0; i < n; i++) {
		if (!changes[i].absent || outcomes[i].err)
			continue;
		if (ret)
			outcome_fail(&outcomes[i], ret,
				     "it is not there, and autoprobe cannot be turned off for it "
				     "to appear (%s)%s",
				     strerror(-ret), root_hint(ret));
		else
			claim(host, &changes[i], driver, &outcomes[i]);
	}
	if (ret)
		return;
	ret = quiet_end(host, &quiet);
	for (unsigned i = 0; ret && i < n; i++) {
		if (!changes[i].claimed)
			continue;
		outcome_fail(&outcomes[i], ret, "autoprobe cannot be turned on again (%s)%s",
			     strerror(-ret), root_hint(ret));
		unclaim(host, &changes[i]);
	}
}

static void adopt_one(struct host *host, struct host_change *change, const char *driver, bool force,
		      struct host_outcome *outcome)
{
	const char *rid = change->rid;
	int ret;

	function_driver(host, rid, outcome->was);
	memcpy(outcome->driver, outcome->was, sizeof(outcome->driver));
	if (!strcmp(outcome->was, driver)) {
		/* With its driver_override set, any probe took it there. */
		if (change->claimed) {
			outcome->changed = true;
			memcpy(outcome->was, change->record.was_driver, sizeof(outcome->was));
		}
		return;
	}
	if (!change->claimed && claim(host, change, driver, outcome))
		return;
	if (outcome->was[0] && function_unbind(host, rid, outcome->was, force, outcome)) {
		unclaim(host, change);
		return;
	}
	ret = function_bind(host, rid, driver);
	if (!ret) {
		outcome->changed = true;
		memcpy(outcome->driver, change->record.driver, sizeof(outcome->driver));
		return;
	}
	outcome_fail(outcome, ret, "%s refuses it (%s): %s", driver, strerror(-ret),
		     refusal_hint(host, rid, driver, ret));
	unclaim(host, change);
	ret = outcome->was[0] ? function_bind(host, rid, outcome->was) : 0;
	if (ret)
		outcome_add(outcome, ret, "%s, which had it before, refuses it as well (%s): %s",
			    outcome->was, strerror(-ret),
			    refusal_hint(host, rid, outcome->was, ret));
	function_driver(host, rid, outcome->driver);
}

int host_adopt(struct host *host, const struct host_rid *rids, unsigned n, const char *name,
	       bool force, struct host_outcome *outcomes)
{
	char driver[HOST_NAME_MAX];
	struct host_change *changes = changes_new(rids, n);
	int ret = changes ? driver_find(host, name, driver) : -ENOMEM;
	bool absent = false;

	memset(outcomes, 0, n * sizeof(*outcomes));
	for (unsigned i = 0; i < n; i++) {
		if (ret)
			outcome_fail(&outcomes[i], ret,
				     "there is no driver %s; load its module, or name one that is "
				     "in /sys/bus/pci/drivers",
				     name);
		else
			changes[i].absent = !function_exists(host, changes[i].rid);
		absent |= !ret && changes[i].absent;
	}
	if (absent)
		appear_claimed(host, changes, n, driver, outcomes);
	for (unsigned i = 0; i < n; i++) {
		if (!outcomes[i].err)
			adopt_one(host, &changes[i], driver, force, &outcomes[i]);
		if (changes && !outcomes[i].err)
			changes[i].pf[0] = '\0';
	}
	/* Those of functions that were not adopted after all */
	if (changes)
		host_disappear(host, changes, n, outcomes);
	free(changes);
	return outcomes_error(outcomes, n);
}
