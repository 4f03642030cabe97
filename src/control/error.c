/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_clean_text(char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text > 0x7e)
			*text = '?';
}

static void error_format(struct error *e, int code, int err, const char *fmt, va_list ap)
{
	e->code = code;
	e->err = err;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	error_clean_text(e->text);
}

int error_set(struct error *e, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_format(e, ERROR_FAILED, err, fmt, ap);
	va_end(ap);
	return -err;
}

int error_params(struct error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_format(e, ERROR_INVALID_PARAMS, EINVAL, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

const char *error_unprefixed(const char *text, const char *verb)
{
	size_t len = strlen(verb);
	const char *colon = strstr(text, ": ");

	if (!colon || strncmp(text, verb, len) != 0 || text[len] != ' ')
		return text;
	return colon + 2;
}

void error_prefix(struct error *e, const char *what)
{
	char text[ERROR_TEXT_MAX];

	memcpy(text, e->text, sizeof(text));
	/* A line that is too long loses its end. */
	if (snprintf(e->text, sizeof(e->text), "%s: %s", what, text) < 0)
		e->text[0] = '\0';
	error_clean_text(e->text);
}
