/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "cli/output.h"
#include "cli/verbs.h"

/* Counters that make one number for people; docs/json-rpc.md says what each counts. */
static const struct group {
	const char *title;
	const char *counters[4];
} groups[] = {
	{ "VMMS", { "connections" } },
	{ "REFUSED", { "refused" } },
	{ "ACCESSES", { "config_accesses", "mmio_accesses", "io_accesses", "io_notifies" } },
	{ "IGNORED", { "ignored" } },
	{ "ADMIN", { "admin_commands", "admin_own" } },
	{ "ADMIN_ERRORS", { "admin_errors", "admin_timeouts" } },
	{ "RESETS", { "resets" } },
	{ "NOTIFIES", { "notifies" } },
	{ "INTERRUPTS", { "interrupts" } },
	{ "REQUESTS", { "requests" } },
	{ "ERRORS", { "request_errors" } },
	{ "READ", { "read_bytes" } },
	{ "WRITTEN", { "write_bytes" } },
	{ "RX", { "rx_packets" } },
	{ "TX", { "tx_packets" } },
	{ "FAULTS", { "dma_faults", "device_errors" } },
};

#define GROUPS      ARRAY_LEN(groups)
#define DROP_PREFIX "drop_"

static uint64_t counter(struct json_object *counters, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(counters, name, &value);
	return json_object_get_uint64(value);
}

static uint64_t group_sum(struct json_object *counters, const struct group *g)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < 4 && g->counters[i]; i++)
		sum += counter(counters, g->counters[i]);
	return sum;
}

/* "7 (spoof 3, link 4)", or nothing. Whatever begins with drop_ is a reason. */
static void drops_text(struct json_object *counters, char *text, size_t len)
{
	char reasons[256] = "";
	uint64_t sum = 0;

	text[0] = '\0';
	json_object_object_foreach(counters, name, value)
	{
		uint64_t n = json_object_get_uint64(value);
		size_t used = strlen(reasons);

		if (strncmp(name, DROP_PREFIX, strlen(DROP_PREFIX)) != 0 || !n)
			continue;
		sum += n;
		snprintf(reasons + used, sizeof(reasons) - used, "%s%s %llu", used ? ", " : "",
			 name + strlen(DROP_PREFIX), (unsigned long long)n);
	}
	if (sum)
		snprintf(text, len, "%llu (%s)", (unsigned long long)sum, reasons);
}

/* A row: the texts of all columns, by their titles. Marks the columns that have something. */
static struct json_object *row_new(struct json_object *function, bool used[GROUPS + 1])
{
	struct json_object *row = json_object_new_object(), *counters = NULL, *value = NULL;
	char drops[320];

	json_object_object_get_ex(function, "name", &value);
	json_object_object_add(row, "NAME", json_object_get(value));
	json_object_object_get_ex(function, "counters", &counters);
	for (size_t i = 0; i < GROUPS; i++) {
		uint64_t sum = group_sum(counters, &groups[i]);

		used[i] |= sum != 0;
		json_object_object_add(row, groups[i].title, json_object_new_uint64(sum));
	}
	drops_text(counters, drops, sizeof(drops));
	used[GROUPS] |= drops[0] != '\0';
	json_object_object_add(row, "DROPS", json_object_new_string(drops[0] ? drops : "0"));
	return row;
}

static void functions_table(struct json_object *functions)
{
	struct column columns[GROUPS + 2] = { { "NAME", "NAME" } };
	struct json_object *rows = json_object_new_array();
	bool used[GROUPS + 1] = { false };
	unsigned n = 1;

	for (size_t i = 0; i < json_object_array_length(functions); i++)
		json_object_array_add(rows, row_new(json_object_array_get_idx(functions, i), used));
	for (size_t i = 0; i < GROUPS; i++)
		if (used[i])
			columns[n++] = (struct column){ groups[i].title, groups[i].title };
	if (used[GROUPS])
		columns[n++] = (struct column){ "DROPS", "DROPS" };
	output_table(rows, columns, n);
	json_object_put(rows);
}

static void pfs_table(struct json_object *pfs)
{
	static const struct column columns[] = {
		{ "PF", "name" },
		{ "TYPE", "type" },
		{ "REGISTER_COMMANDS", "registers" },
		{ "PART_COMMANDS", "parts" },
	};
	struct json_object *commands;

	for (size_t i = 0; i < json_object_array_length(pfs); i++) {
		struct json_object *pf = json_object_array_get_idx(pfs, i);

		if (!json_object_object_get_ex(pf, "admin_commands", &commands))
			continue;
		json_object_object_add(pf, "registers",
				       json_object_get(json_object_array_get_idx(commands, 0)));
		json_object_object_add(pf, "parts",
				       json_object_get(json_object_array_get_idx(commands, 1)));
	}
	output_table(pfs, columns, ARRAY_LEN(columns));
}

int run_stats(const struct command *cmd, struct failure *f)
{
	struct json_object *params = NULL, *names, *result = NULL, *part;

	if (cmd->argc) {
		params = json_object_new_object();
		names = json_object_new_array();
		for (int i = 0; i < cmd->argc; i++)
			json_object_array_add(names, json_object_new_string(cmd->argv[i]));
		json_object_object_add(params, "names", names);
	}
	if (client_call(cmd->runtime_dir, "function.stats", params, &result, f))
		return -1;
	if (cmd->json) {
		output_json(result);
	} else {
		if (json_object_object_get_ex(result, "functions", &part))
			functions_table(part);
		if (json_object_object_get_ex(result, "pfs", &part)) {
			printf("\n");
			pfs_table(part);
		}
	}
	json_object_put(result);
	return 0;
}
