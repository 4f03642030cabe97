/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libridge inside.
 *
 *   handle.c  a handle, its connection and its error
 *   call.c    calls, one by one
 *   batch.c   calls, many in one message
 *   events.c  the connection of events
 *
 * Messages are lines on the socket, in both directions.
 */
#ifndef RIDGE_LIB_INTERNAL_H
#define RIDGE_LIB_INTERNAL_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include "ridge.h"

#define LIB_ERROR_MAX   1200
#define LIB_DEPTH_MAX   64
#define LIB_BATCH_MAX   1024
#define LIB_MESSAGE_MAX (128u << 20) /* bytes of one line: more than ridged sends */

struct line_reader {
	char *data;
	size_t len, size;
	size_t scanned; /* bytes that hold no newline */
};

struct ridge {
	struct sockaddr_un address;
	int fd;        /* of calls; -1: connect first */
	int events_fd; /* -1: not subscribed */
	struct line_reader in, events_in;
	int next_id;
	int code; /* of the last error */
	char text[LIB_ERROR_MAX];
	char *data;
};

/* No error. */
void handle_clear(struct ridge *r);

/* Sets the error. Returns err, which is negative. */
__attribute__((format(printf, 3, 4))) int handle_fail(struct ridge *r, int err, const char *fmt,
						      ...);

/* What an answer's error member says. data: a new text, or NULL. */
int error_take(struct json_object *error, int *code, char *text, size_t len, char **data);

/* Returns a new connection or a negative errno, with the error set. */
int handle_connect(struct ridge *r);

/* Sends len bytes. Returns 0 or a negative errno. */
int line_send(int fd, const char *text, size_t len);

/*
 * The next line, parsed. Returns 1; 0 if there is none now (wait is false); -EPIPE at the end;
 * -EPROTO if it is no JSON; or another negative errno.
 */
int line_receive(int fd, struct line_reader *in, bool wait, struct json_object **line);
void line_reader_free(struct line_reader *in);

/* A request. params is consumed. Returns NULL when out of memory. */
struct json_object *request_new(int id, const char *method, struct json_object *params);

/* params as an object: 0, or -EINVAL with the error set. */
int params_read(struct ridge *r, const char *method, const char *text, struct json_object **params);

/*
 * Sends request and waits for the answer to it. Returns 0 or a negative errno with the error set.
 */
int handle_ask(struct ridge *r, struct json_object *request, struct json_object **answer);

/* A new text of a JSON value; NULL: no memory, or no value. */
char *json_text(struct json_object *value);

#endif
