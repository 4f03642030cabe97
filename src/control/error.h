/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What went wrong, as a client is told: one line that says what is wrong and what would be right,
 * the errno it comes from, and the JSON-RPC code of its class. What was asked is put in front by
 * whoever answers the request.
 */
#ifndef RIDGE_CONTROL_ERROR_H
#define RIDGE_CONTROL_ERROR_H

#define ERROR_TEXT_MAX 1024

/* JSON-RPC 2.0, 5.1. */
enum error_code {
	ERROR_PARSE = -32700,
	ERROR_INVALID_REQUEST = -32600,
	ERROR_METHOD_NOT_FOUND = -32601,
	ERROR_INVALID_PARAMS = -32602,
	ERROR_FAILED = -32000, /* a defined request that could not be done; see err */
};

struct error {
	int code; /* enum error_code */
	int err;  /* positive errno, or 0 */
	char text[ERROR_TEXT_MAX];
};

/* Fills in an ERROR_FAILED with errno err (positive). Returns -err. */
__attribute__((format(printf, 3, 4))) int error_set(struct error *e, int err, const char *fmt, ...);

/* Fills in an ERROR_INVALID_PARAMS. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) int error_params(struct error *e, const char *fmt, ...);

/* Puts "what: " in front of the text. */
void error_prefix(struct error *e, const char *what);

/*
 * text without "VERB ...: " in front, if it is there: a PF process says what was asked, too, but
 * knows less of it than we do.
 */
const char *error_unprefixed(const char *text, const char *verb);

/*
 * Makes text one line of printable ASCII in place: it may come from a client or from a PF process,
 * and ends up in logs, terminals and JSON.
 */
void error_clean_text(char *text);

#endif
