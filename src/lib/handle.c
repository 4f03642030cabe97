/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/runtime_dir.h"

#define READ_SIZE 65536

void handle_clear(struct ridge *r)
{
	r->code = 0;
	r->text[0] = '\0';
	free(r->data);
	r->data = NULL;
}

int handle_fail(struct ridge *r, int err, const char *fmt, ...)
{
	va_list ap;

	handle_clear(r);
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	return err;
}

static const char *member_text(struct json_object *object, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) || !value)
		return "";
	return json_object_get_string(value);
}

/* The number of an errno by its symbol, or 0. */
static int errno_of(const char *symbol)
{
	for (int err = 1; err < 200; err++) {
		const char *name = strerrorname_np(err);

		if (name && !strcmp(name, symbol))
			return err;
	}
	return 0;
}

int error_take(struct json_object *error, int *code, char *text, size_t len, char **data)
{
	struct json_object *value = NULL;
	int err;

	json_object_object_get_ex(error, "code", &value);
	*code = json_object_get_int(value);
	snprintf(text, len, "%s", member_text(error, "message"));
	value = NULL;
	json_object_object_get_ex(error, "data", &value);
	*data = json_text(value);
	err = errno_of(member_text(value, "errno"));
	if (err)
		return -err;
	return *code == -32601 ? -EOPNOTSUPP : *code == -32602 ? -EINVAL : -EPROTO;
}

char *json_text(struct json_object *value)
{
	const char *text =
		value ? json_object_to_json_string_ext(
				value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
		      : NULL;

	return text ? strdup(text) : NULL;
}

/* --- lines --- */

int line_send(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

void line_reader_free(struct line_reader *in)
{
	free(in->data);
	*in = (struct line_reader){ 0 };
}

static int reader_fill(int fd, struct line_reader *in, bool wait)
{
	ssize_t n;

	if (in->size - in->len < READ_SIZE) {
		size_t size = in->size * 2 + READ_SIZE;
		char *data = size > LIB_MESSAGE_MAX ? NULL : realloc(in->data, size);

		if (!data)
			return -ENOMEM;
		in->data = data;
		in->size = size;
	}
	do
		n = recv(fd, in->data + in->len, in->size - in->len, wait ? 0 : MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	if (n == 0)
		return -EPIPE;
	in->len += (size_t)n;
	return 1;
}

static int line_parse(const char *text, size_t len, struct json_object **line)
{
	struct json_tokener *tok = json_tokener_new_ex(LIB_DEPTH_MAX);

	if (!tok)
		return -ENOMEM;
	*line = json_tokener_parse_ex(tok, text, (int)len);
	json_tokener_free(tok);
	return *line ? 1 : -EPROTO;
}

int line_receive(int fd, struct line_reader *in, bool wait, struct json_object **line)
{
	for (;;) {
		char *end = in->len > in->scanned
				    ? memchr(in->data + in->scanned, '\n', in->len - in->scanned)
				    : NULL;
		size_t len;
		int ret;

		if (end) {
			len = (size_t)(end - in->data);
			ret = line_parse(in->data, len, line);
			in->len -= len + 1;
			memmove(in->data, end + 1, in->len);
			in->scanned = 0;
			return ret;
		}
		in->scanned = in->len;
		ret = reader_fill(fd, in, wait);
		if (ret <= 0)
			return ret;
	}
}

/* --- the connection --- */

static int address_find(struct ridge *r, const char *dir)
{
	char *path = r->address.sun_path;
	size_t size = sizeof(r->address.sun_path), len;
	int err = runtime_dir(dir, path, size);

	if (err)
		return handle_fail(r, err, "%s", runtime_dir_wrong(err));
	r->address.sun_family = AF_UNIX;
	len = strlen(path);
	if (snprintf(path + len, size - len, "/ridged.sock") < (int)(size - len))
		return 0;
	return handle_fail(r, -ENAMETOOLONG, "%s", runtime_dir_wrong(-ENAMETOOLONG));
}

int handle_connect(struct ridge *r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd >= 0 && !connect(fd, (struct sockaddr *)&r->address, sizeof(r->address)))
		return fd;
	err = errno;
	if (fd >= 0)
		close(fd);
	if (err == ENOENT || err == ECONNREFUSED)
		return handle_fail(r, -err,
				   "ridged is not running (%s: %s); start it, or give its "
				   "--runtime-dir",
				   r->address.sun_path, strerror(err));
	return handle_fail(r, -err, "%s: %s; be the user of ridged, root, or in its --group",
			   r->address.sun_path, strerror(err));
}

int ridge_open(const char *runtime_dir, struct ridge **out)
{
	struct ridge *r = calloc(1, sizeof(*r));
	int ret;

	*out = r;
	if (!r)
		return -ENOMEM;
	r->fd = r->events_fd = -1;
	ret = address_find(r, runtime_dir);
	if (!ret)
		ret = r->fd = handle_connect(r);
	return ret < 0 ? ret : 0;
}

void ridge_close(struct ridge *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	if (r->events_fd >= 0)
		close(r->events_fd);
	line_reader_free(&r->in);
	line_reader_free(&r->events_in);
	free(r->data);
	free(r);
}

const char *ridge_error(const struct ridge *r)
{
	return r ? r->text : "out of memory";
}

int ridge_error_code(const struct ridge *r)
{
	return r ? r->code : 0;
}

const char *ridge_error_data(const struct ridge *r)
{
	return r ? r->data : NULL;
}
