/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/internal.h"

static void release_gone(struct host *host, const char *rid, struct host_outcome *outcome)
{
	if (record_remove(host, rid))
		outcome_fail(outcome, -ENODEV,
			     "there is no such function; lspci -D shows what there is");
	else
		outcome->changed = true;
}

/*
 * What the record says is put back. If its driver does not take it, the function is adopted as
 * before, so that a second release may find the driver in a better mood.
 */
static void put_back(struct host *host, struct host_change *change, const char *was,
		     struct host_outcome *outcome)
{
	const struct host_record *record = &change->record;
	const char *rid = change->rid;
	int ret = function_set_override(host, rid, record->was_override);

	if (ret) {
		outcome_fail(outcome, ret, "its driver_override cannot be put back (%s)%s",
			     strerror(-ret), root_hint(ret));
	} else if (record->was_driver[0]) {
		function_driver(host, rid, outcome->driver);
		ret = outcome->driver[0] ? 0 : function_bind(host, rid, record->was_driver);
		if (ret)
			outcome_fail(outcome, ret, "%s, which had it before, refuses it (%s): %s",
				     record->was_driver, strerror(-ret),
				     refusal_hint(host, rid, record->was_driver, ret));
	}
	if (ret) {
		function_set_override(host, rid, record->driver);
		if (!strcmp(was, record->driver))
			function_bind(host, rid, was);
	}
	function_driver(host, rid, outcome->driver);
}

/* Some of it is back already, by hand or by a release that was killed. */
static bool is_half_back(const struct host_record *record, const char *driver, const char *override)
{
	return !strcmp(override, record->was_override) &&
	       (!driver[0] || !strcmp(driver, record->was_driver));
}

static void release_one(struct host *host, struct host_change *change, bool force,
			struct host_outcome *outcome)
{
	const struct host_record *record = &change->record;
	const char *rid = change->rid;
	char override[HOST_NAME_MAX];
	int ret;

	if (!function_exists(host, rid)) {
		release_gone(host, rid, outcome);
		return;
	}
	function_driver(host, rid, outcome->was);
	memcpy(outcome->driver, outcome->was, sizeof(outcome->driver));
	ret = function_override(host, rid, override);
	if (!ret)
		ret = record_current(host, rid, override, &change->record);
	if (ret == -ESTALE && !is_half_back(record, outcome->was, override)) {
		record_remove(host, rid);
		outcome_fail(outcome, ret,
			     "its driver_override is %s now and no longer %s, so it stays as it is",
			     override[0] ? override : "empty", record->driver);
		return;
	}
	if (ret && ret != -ESTALE) {
		outcome_fail(outcome, ret,
			     "it was not adopted, so there is nothing to put back; it is bound to "
			     "%s",
			     outcome->was[0] ? outcome->was : "no driver");
		return;
	}
	if (!strcmp(outcome->was, record->driver) &&
	    function_unbind(host, rid, record->driver, force, outcome))
		return;
	put_back(host, change, outcome->was, outcome);
	if (outcome->err)
		return;
	change->released = true;
	memcpy(change->pf, record->pf, sizeof(change->pf));
}

/* A record goes last: while something of it is not put back, release can be tried again. */
int host_release(struct host *host, const struct host_rid *rids, unsigned n, bool force,
		 struct host_outcome *outcomes)
{
	struct host_change *changes = changes_new(rids, n);

	memset(outcomes, 0, n * sizeof(*outcomes));
	for (unsigned i = 0; i < n; i++) {
		if (changes)
			release_one(host, &changes[i], force, &outcomes[i]);
		else
			outcome_fail(&outcomes[i], -ENOMEM, "out of memory");
	}
	if (changes)
		host_disappear(host, changes, n, outcomes);
	for (unsigned i = 0; changes && i < n; i++) {
		if (!changes[i].released || outcomes[i].err)
			continue;
		record_remove(host, changes[i].rid);
		outcomes[i].changed = true;
	}
	free(changes);
	return outcomes_error(outcomes, n);
}
