/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What people and scripts see.
 */
#ifndef RIDGE_CLI_OUTPUT_H
#define RIDGE_CLI_OUTPUT_H

#include "cli/client.h"

struct column {
	const char *title;
	const char *member;
};

/* The text of a member, which lives as long as the object; NULL if it is null or not there. */
const char *output_member(struct json_object *object, const char *name);

/* An array of objects, a line each, columns aligned under their titles. null is shown as "-". */
void output_table(struct json_object *array, const struct column *columns, unsigned n);

/*
 * The members of an object as "name: value" lines. Members that are null are left out, those of
 * the object counters that are 0, too.
 */
void output_object(struct json_object *object);

/* A line that says which function was made. */
void output_made(struct json_object *function);

void output_json(struct json_object *value);

/* {"error": {"code", "message", "errno", ...}} on standard output. */
void output_failure_json(const struct failure *f);

#endif
