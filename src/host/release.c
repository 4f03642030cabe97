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

static void release_one(struct host *host, struct host_change *change, bool force,
			struct host_outcome *outcome)
{
	const char *rid = change->rid;
	struct host_record record;
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
	    function_unbind(host, rid, record.driver, force, outcome))
		return;
	ret = function_set_override(host, rid, record.was_override);
	if (ret) {
		outcome_fail(outcome, ret, "its driver_override cannot be put back (%s)%s",
			     strerror(-ret), root_hint(ret));
		return;
	}
	function_driver(host, rid, outcome->driver);
	if (record.was_driver[0] && !outcome->driver[0]) {
		ret = function_bind(host, rid, record.was_driver);
		if (ret)
			outcome_fail(outcome, ret, "%s, which had it before, refuses it (%s): %s",
				     record.was_driver, strerror(-ret),
				     refusal_hint(host, rid, record.was_driver, ret));
		function_driver(host, rid, outcome->driver);
	}
	outcome->changed = true;
	memcpy(change->pf, record.pf, sizeof(record.pf));
	record_remove(host, rid);
}

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
		host_disappear(host, changes, n);
	free(changes);
	return outcomes_error(outcomes, n);
}
