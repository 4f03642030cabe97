/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_CLI_VERBS_H
#define RIDGE_CLI_VERBS_H

#include <stdbool.h>

#include "cli/client.h"

/* Exit statuses. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* One command line. */
struct command {
	const char *runtime_dir; /* NULL: the default */
	bool json;
	bool force;
	bool help;
	const char *batch; /* --batch's file; NULL: not given */
	int argc;          /* what follows the verb */
	char **argv;
};

struct verb {
	const char *name;  /* "pf add" for a verb of two words */
	const char *usage; /* of the arguments */
	const char *brief; /* for the list; NULL: not listed */
	const char *help;  /* more lines, or NULL */
	int min, max;      /* number of arguments; max -1: any */
	bool takes_force;
	bool takes_batch; /* instead of arguments */
	/* Writes the result to standard output. Returns 0, or -1 with f set. */
	int (*run)(const struct command *cmd, struct failure *f);
};

extern const struct verb verb_table[];
extern const unsigned verb_count;

/* Files are opened by ridged, which has a working directory of its own. */
void add_path(struct json_object *object, const char *key, const char *value);

/* stats.c, batch.c, monitor.c, host.c */
int run_stats(const struct command *cmd, struct failure *f);
int run_create_batch(const struct command *cmd, struct failure *f);
int run_monitor(const struct command *cmd, struct failure *f);
int run_host_adopt(const struct command *cmd, struct failure *f);
int run_host_release(const struct command *cmd, struct failure *f);

#endif
