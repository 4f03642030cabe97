/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void events_end(struct ridge *r)
{
	if (r->events_fd >= 0)
		close(r->events_fd);
	r->events_fd = -1;
	line_reader_free(&r->events_in);
}

int ridge_events_fd(struct ridge *r)
{
	static const char request[] =
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"events.subscribe\"}\n";
	struct json_object *answer = NULL, *error;
	int ret;

	handle_clear(r);
	if (r->events_fd >= 0)
		return r->events_fd;
	r->events_fd = ret = handle_connect(r);
	if (ret < 0)
		return ret;
	line_send(r->events_fd, request, strlen(request));
	ret = line_receive(r->events_fd, &r->events_in, true, &answer);
	if (ret < 0)
		handle_fail(r, ret, "events: ridged does not answer: %s", strerror(-ret));
	else if (json_object_object_get_ex(answer, "error", &error))
		ret = error_take(error, &r->code, r->text, sizeof(r->text), &r->data);
	json_object_put(answer);
	if (ret < 0) {
		events_end(r);
		return ret;
	}
	return r->events_fd;
}

int ridge_events_next(struct ridge *r, char **event)
{
	struct json_object *message = NULL, *params;
	int ret;

	*event = NULL;
	handle_clear(r);
	if (r->events_fd < 0)
		return handle_fail(r, -EBADF, "events: not subscribed; call ridge_events_fd()");
	ret = line_receive(r->events_fd, &r->events_in, false, &message);
	if (ret == 1 && !json_object_object_get_ex(message, "params", &params))
		ret = -EPROTO;
	if (ret == 1) {
		*event = json_text(params);
		if (!*event)
			ret = -ENOMEM;
	}
	json_object_put(message);
	if (ret < 0) {
		events_end(r);
		handle_fail(r, ret, "events: %s",
			    ret == -EPIPE ? "ridged closed the connection" : strerror(-ret));
	}
	return ret;
}
