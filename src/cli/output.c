/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS_MAX 16

const char *output_member(struct json_object *object, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) || !value)
		return NULL;
	return json_object_get_string(value);
}

static const char *cell(struct json_object *row, const char *member)
{
	const char *text = output_member(row, member);

	return text ? text : "-";
}

void output_table(struct json_object *array, const struct column *columns, unsigned n)
{
	size_t rows = json_object_array_length(array);
	int width[COLUMNS_MAX] = { 0 };

	for (unsigned c = 0; c < n; c++) {
		width[c] = (int)strlen(columns[c].title);
		for (size_t r = 0; r < rows; r++) {
			int len = (int)strlen(
				cell(json_object_array_get_idx(array, r), columns[c].member));

			if (len > width[c])
				width[c] = len;
		}
	}
	for (unsigned c = 0; c < n; c++)
		printf("%-*s%s", c + 1 < n ? width[c] : 0, columns[c].title,
		       c + 1 < n ? "  " : "\n");
	for (size_t r = 0; r < rows; r++)
		for (unsigned c = 0; c < n; c++)
			printf("%-*s%s", c + 1 < n ? width[c] : 0,
			       cell(json_object_array_get_idx(array, r), columns[c].member),
			       c + 1 < n ? "  " : "\n");
}

void output_made(struct json_object *function)
{
	const char *socket = output_member(function, "socket");

	printf("%s: %s %s on %s, driver %s%s%s\n", cell(function, "name"), cell(function, "type"),
	       cell(function, "rid"), cell(function, "pf"), cell(function, "driver"),
	       socket ? ", socket " : "", socket ? socket : "");
}

static bool all_zero(struct json_object *counters)
{
	json_object_object_foreach(counters, key, value)
	{
		(void)key;
		if (json_object_get_uint64(value))
			return false;
	}
	return true;
}

static void output_members(struct json_object *object, const char *indent, int width,
			   bool leave_zero)
{
	json_object_object_foreach(object, key, value)
	{
		if (!value || (leave_zero && json_object_get_uint64(value) == 0))
			continue;
		if (json_object_is_type(value, json_type_object)) {
			bool counters = !strcmp(key, "counters");

			if (counters && all_zero(value))
				continue;
			printf("%s%s:\n", indent, key);
			output_members(value, "  ", width, counters);
		} else {
			printf("%s%s:%*s %s\n", indent, key,
			       (int)(width - (int)strlen(indent) - (int)strlen(key)), "",
			       json_object_get_string(value));
		}
	}
}

void output_object(struct json_object *object)
{
	/* The longest name is that of a counter. */
	output_members(object, "", 18, false);
}

void output_json(struct json_object *value)
{
	printf("%s\n", json_object_to_json_string_ext(
			       value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
					      JSON_C_TO_STRING_NOSLASHESCAPE));
}

void output_failure_json(const struct failure *f)
{
	struct json_object *outer = json_object_new_object(), *error = json_object_new_object();

	json_object_object_add(error, "code", json_object_new_int(f->code));
	json_object_object_add(error, "message", json_object_new_string(f->text));
	json_object_object_add(error, "errno",
			       f->symbol[0] ? json_object_new_string(f->symbol) : NULL);
	if (f->data)
		json_object_object_add(error, "data", json_object_get(f->data));
	json_object_object_add(outer, "error", error);
	output_json(outer);
	json_object_put(outer);
}
