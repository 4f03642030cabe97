/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli/client.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

#define ANSWER_DEPTH_MAX 64

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

static int socket_path(const char *dir, struct sockaddr_un *address, struct failure *f)
{
	const char *sub = "";
	int n;

	if (!dir)
		dir = getenv("RIDGE_RUNTIME_DIR");
	if ((!dir || !dir[0]) && geteuid() == 0)
		dir = "/run/ridge";
	if (!dir || !dir[0]) {
		dir = getenv("XDG_RUNTIME_DIR");
		sub = "/ridge";
	}
	if (!dir || !dir[0]) {
		failure_set(f, ENOENT,
			    "no runtime directory: XDG_RUNTIME_DIR is not set; give --runtime-dir");
		return -1;
	}
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(address->sun_path, sizeof(address->sun_path), "%s%s/ridged.sock", dir, sub);
	if (n >= (int)sizeof(address->sun_path)) {
		failure_set(f, ENAMETOOLONG, "%s: the path is too long; give a shorter one", dir);
		return -1;
	}
	return 0;
}

static int client_connect(const char *dir, struct failure *f)
{
	struct sockaddr_un address;
	fd_auto int fd = -1;

	if (socket_path(dir, &address, f))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd_take(&fd);
	if (errno == ENOENT || errno == ECONNREFUSED)
		failure_set(f, errno,
			    "ridged is not running (%s: %s); start it, or give its "
			    "--runtime-dir",
			    address.sun_path, strerror(errno));
	else
		failure_set(f, errno, "%s: %s; be the user of ridged, root, or in its --group",
			    address.sun_path, strerror(errno));
	return -1;
}

static int client_send(int fd, const char *text, size_t len)
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

/* Reads one object. */
static struct json_object *client_receive(int fd, struct failure *f)
{
	struct json_tokener *tok = json_tokener_new_ex(ANSWER_DEPTH_MAX);
	struct json_object *answer = NULL;
	char data[65536];
	ssize_t n;

	do {
		n = recv(fd, data, sizeof(data), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		answer = json_tokener_parse_ex(tok, data, (int)n);
	} while (json_tokener_get_error(tok) == json_tokener_continue);
	json_tokener_free(tok);
	if (!answer)
		failure_set(f, n < 0 ? errno : EPIPE,
			    "ridged closed the connection without an answer; look at its log");
	return answer;
}

static const char *member_text(struct json_object *object, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(object, name, &value) ? json_object_get_string(value) : "";
}

static void failure_from(struct failure *f, struct json_object *error)
{
	struct json_object *data = NULL, *code = NULL;

	json_object_object_get_ex(error, "data", &data);
	json_object_object_get_ex(error, "code", &code);
	f->code = json_object_get_int(code);
	f->data = json_object_get(data);
	snprintf(f->symbol, sizeof(f->symbol), "%s", member_text(data, "errno"));
	snprintf(f->text, sizeof(f->text), "%s", member_text(error, "message"));
}

int client_call(const char *dir, const char *method, struct json_object *params,
		struct json_object **result, struct failure *f)
{
	struct json_object *request = json_object_new_object(), *answer = NULL, *error;
	fd_auto int fd = client_connect(dir, f);
	const char *text;
	int ret = -1;

	json_object_object_add(request, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(request, "id", json_object_new_int(1));
	json_object_object_add(request, "method", json_object_new_string(method));
	if (params)
		json_object_object_add(request, "params", params);
	text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE);
	if (fd >= 0) {
		/* If it does not take all, it has said why. */
		client_send(fd, text, strlen(text));
		answer = client_receive(fd, f);
	}
	if (answer && json_object_object_get_ex(answer, "error", &error)) {
		failure_from(f, error);
	} else if (answer) {
		json_object_object_get_ex(answer, "result", result);
		json_object_get(*result);
		ret = 0;
	}
	json_object_put(answer);
	json_object_put(request);
	return ret;
}
