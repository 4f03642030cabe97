/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/rpc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/measure.h"

#define RPC_ROOM (8u << 20) /* answers to one call */

void rpc_open(struct rpc *r, const char *socket_path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(socket_path) >= sizeof(addr.sun_path))
		measure_die(socket_path, ENAMETOOLONG);
	strcpy(addr.sun_path, socket_path);
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->fd < 0 || connect(r->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		measure_die(socket_path, errno);
	r->room = RPC_ROOM;
	r->answer = malloc(r->room);
	if (!r->answer)
		measure_die("answers", ENOMEM);
}

void rpc_close(struct rpc *r)
{
	close(r->fd);
	free(r->answer);
}

static unsigned int lines(const char *text, size_t len)
{
	unsigned int n = 0;

	for (const char *at = text; (at = memchr(at, '\n', len - (size_t)(at - text))); at++)
		n++;
	return n;
}

/* What has come; the number of lines that ended in it. */
static unsigned int receive(struct rpc *r, int flags)
{
	ssize_t n = recv(r->fd, r->answer + r->len, r->room - 1 - r->len, flags);
	unsigned int ended;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		measure_die("ridged", n ? errno : ECONNRESET);
	ended = lines(r->answer + r->len, (size_t)n);
	r->len += (size_t)n;
	r->answer[r->len] = '\0';
	return ended;
}

bool rpc_call(struct rpc *r, const char *text, size_t len, unsigned int answers)
{
	struct pollfd p = { .fd = r->fd };
	size_t sent = 0;

	r->len = 0;
	while (answers) {
		ssize_t n = 0;

		if (sent < len)
			n = send(r->fd, text + sent, len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			measure_die("ridged", errno);
		sent += n > 0 ? (size_t)n : 0;
		if (sent < len) {
			/* ridged may want us to read before it reads on. */
			p.events = POLLIN | POLLOUT;
			poll(&p, 1, -1);
			if (!(p.revents & POLLIN))
				continue;
		}
		n = receive(r, sent < len ? MSG_DONTWAIT : 0);
		answers -= (unsigned int)n < answers ? (unsigned int)n : answers;
	}
	return !strstr(r->answer, "\"error\":");
}

void rpc_must(struct rpc *r, const char *text)
{
	if (rpc_call(r, text, strlen(text), 1))
		return;
	fprintf(stderr, "%s%s", text, r->answer);
	exit(1);
}
