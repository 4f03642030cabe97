/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void failure_set(struct failure *f, int err, const char *fmt, ...)
{
	const char *symbol = strerrorname_np(err);
	va_list ap;

	f->code = -32000;
	f->data = NULL;
	f->usage = false;
	snprintf(f->symbol, sizeof(f->symbol), "%s", symbol ? symbol : "");
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

void failure_from(struct failure *f, const struct ridge *r, int err)
{
	const char *data = ridge_error_data(r);
	struct json_object *symbol;

	failure_set(f, -err, "%s", ridge_error(r));
	if (!ridge_error_code(r))
		return;
	/* It was ridged: its words, not what the library made of them. */
	f->code = ridge_error_code(r);
	f->data = data ? json_tokener_parse(data) : NULL;
	f->symbol[0] = '\0';
	if (json_object_object_get_ex(f->data, "errno", &symbol))
		snprintf(f->symbol, sizeof(f->symbol), "%s", json_object_get_string(symbol));
}

int client_call(const char *dir, const char *method, struct json_object *params,
		struct json_object **result, struct failure *f)
{
	char *text = NULL;
	struct ridge *r;
	int err = ridge_open(dir, &r);

	if (!err)
		err = ridge_call(r, method,
				 params ? json_object_to_json_string_ext(
						  params, JSON_C_TO_STRING_PLAIN |
								  JSON_C_TO_STRING_NOSLASHESCAPE)
					: NULL,
				 &text);
	if (err)
		failure_from(f, r, err);
	else
		*result = text ? json_tokener_parse(text) : NULL;
	free(text);
	ridge_close(r);
	json_object_put(params);
	return err ? -1 : 0;
}
