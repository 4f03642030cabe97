/* SPDX-License-Identifier: BSD-3-Clause */
#include "host/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/verbs.h"

static struct json_object *name_or_null(const char *name)
{
	return name[0] ? json_object_new_string(name) : NULL;
}

static struct json_object *outcome_json(const struct host_rid *rid,
					const struct host_outcome *outcome)
{
	struct json_object *object = json_object_new_object();
	char text[HOST_RID_MAX];

	host_rid_print(rid, text);
	json_object_object_add(object, "rid", json_object_new_string(text));
	json_object_object_add(object, "driver", name_or_null(outcome->driver));
	json_object_object_add(object, "was", name_or_null(outcome->was));
	json_object_object_add(object, "changed", json_object_new_boolean(outcome->changed));
	return object;
}

static void show(const struct host_rid *rid, const struct host_outcome *outcome)
{
	char text[HOST_RID_MAX];

	host_rid_print(rid, text);
	if (!outcome->changed)
		printf("%s: driver %s, as before\n", text,
		       outcome->driver[0] ? outcome->driver : "none");
	else
		printf("%s: driver %s, was %s\n", text,
		       outcome->driver[0] ? outcome->driver : "none",
		       outcome->was[0] ? outcome->was : "none");
}

/* Those that failed become the failure's data, with a line for each, as destroy has it. */
static void report(const struct command *cmd, const char *verb, const char *past,
		   const struct host_rid *rids, unsigned n, const struct host_outcome *outcomes,
		   struct failure *f)
{
	struct json_object *done = json_object_new_array(), *failed = json_object_new_array();
	struct json_object *result = json_object_new_object();

	for (unsigned i = 0; i < n; i++) {
		struct json_object *object;
		struct failure one;
		char rid[HOST_RID_MAX];

		if (!outcomes[i].err) {
			json_object_array_add(done, outcome_json(&rids[i], &outcomes[i]));
			if (!cmd->json)
				show(&rids[i], &outcomes[i]);
			continue;
		}
		host_rid_print(&rids[i], rid);
		failure_set(&one, -outcomes[i].err, "%s %s: %s", verb, rid, outcomes[i].text);
		object = json_object_new_object();
		json_object_object_add(object, "rid", json_object_new_string(rid));
		json_object_object_add(object, "message", json_object_new_string(one.text));
		json_object_object_add(object, "errno", json_object_new_string(one.symbol));
		if (!json_object_array_length(failed))
			*f = one;
		json_object_array_add(failed, object);
	}
	json_object_object_add(result, past, done);
	if (json_object_array_length(failed)) {
		json_object_object_add(result, "failed", failed);
		f->data = result;
		return;
	}
	json_object_put(failed);
	if (cmd->json)
		output_json(result);
	json_object_put(result);
}

static int parse_rids(const struct command *cmd, const char *verb, unsigned n,
		      struct host_rid *rids, struct failure *f)
{
	for (unsigned i = 0; i < n; i++) {
		if (!host_rid_parse(cmd->argv[i], &rids[i]))
			continue;
		failure_set(f, EINVAL,
			    "%s %s: not a RID; give [DDDD:]BB:DD.F, as in /sys/bus/pci/devices",
			    verb, cmd->argv[i]);
		f->usage = true;
		return -1;
	}
	return 0;
}

/* driver NULL: release */
static int run(const struct command *cmd, unsigned n, const char *driver, struct failure *f)
{
	const char *verb = driver ? "host adopt" : "host release";
	struct host_rid *rids = calloc(n, sizeof(*rids));
	struct host_outcome *outcomes = calloc(n, sizeof(*outcomes));
	struct host host;
	char text[400];
	int ret = -1;

	if (!rids || !outcomes) {
		failure_set(f, ENOMEM, "%s: out of memory", verb);
		goto out;
	}
	if (parse_rids(cmd, verb, n, rids, f))
		goto out;
	ret = host_open(&host, &host_linux, cmd->runtime_dir, text, sizeof(text));
	if (ret) {
		failure_set(f, -ret, "%s %s: %s", verb, cmd->argv[0], text);
		goto out;
	}
	if (driver)
		ret = host_adopt(&host, rids, n, driver, cmd->force, outcomes);
	else
		ret = host_release(&host, rids, n, cmd->force, outcomes);
	host_close(&host);
	report(cmd, verb, driver ? "adopted" : "released", rids, n, outcomes, f);
out:
	free(rids);
	free(outcomes);
	return ret ? -1 : 0;
}

int run_host_adopt(const struct command *cmd, struct failure *f)
{
	return run(cmd, (unsigned)cmd->argc - 1, cmd->argv[cmd->argc - 1], f);
}

int run_host_release(const struct command *cmd, struct failure *f)
{
	return run(cmd, (unsigned)cmd->argc, NULL, f);
}
