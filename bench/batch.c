/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many functions at once, against as many bare listening sockets.
 *
 *   bench-batch RIDGED_SOCKET PF DIRECTORY NUMBER ROUNDS SECONDS
 *
 * batch: one function.create_batch of rng functions on that PF; one-by-one: the same by requests
 * that do not wait for one another. sockets: socket(), bind() in DIRECTORY, listen(). SECONDS mean
 * nothing: a round is NUMBER of each. Values are ns for all of them; ending them is not part of it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/rpc.h"

#define ENTRY_MAX 160 /* bytes of text for one function */

struct text {
	char *at;
	size_t len;
	size_t room;
};

struct batch {
	struct rpc rpc;
	struct text whole;      /* one request for all */
	struct text one_by_one; /* a request for each */
	struct text end;
	const char *directory;
	unsigned int n;
	int *fds;
};

static void text_init(struct text *t, unsigned int n)
{
	t->room = ENTRY_MAX * (n + 2ul);
	t->at = malloc(t->room);
	if (!t->at)
		measure_die("requests", ENOMEM);
}

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	t->len += (size_t)vsnprintf(t->at + t->len, t->room - t->len, format, ap);
	va_end(ap);
	if (t->len >= t->room)
		measure_die("requests", ENOBUFS);
}

/* As many descriptors as are allowed: 1024 are not enough for 1000 sockets. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		measure_die("RLIMIT_NOFILE", errno);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		measure_die("RLIMIT_NOFILE", errno);
}

static void write_requests(struct batch *b, const char *pf)
{
	text_init(&b->whole, b->n);
	text_init(&b->one_by_one, b->n);
	text_init(&b->end, b->n);
	text_add(&b->whole, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"function.create_batch\","
			    "\"params\":{\"functions\":[");
	text_add(&b->end, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"function.destroy\","
			  "\"params\":{\"names\":[");
	for (unsigned int i = 0; i < b->n; i++) {
		const char *comma = i ? "," : "";

		text_add(&b->whole, "%s{\"type\":\"rng\",\"name\":\"f%u\",\"pf\":\"%s\"}", comma, i,
			 pf);
		text_add(&b->one_by_one,
			 "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"function.create\",\"params\":"
			 "{\"type\":\"rng\",\"name\":\"f%u\",\"pf\":\"%s\"}}\n",
			 i, i, pf);
		text_add(&b->end, "%s\"f%u\"", comma, i);
	}
	text_add(&b->whole, "]}}\n");
	text_add(&b->end, "]}}\n");
}

static double create(struct batch *b, const struct text *request, unsigned int answers)
{
	uint64_t before = measure_now();
	bool made = rpc_call(&b->rpc, request->at, request->len, answers);
	double ns = (double)(measure_now() - before);

	if (!made) {
		fprintf(stderr, "bench-batch: %.400s\n", strstr(b->rpc.answer, "\"error\":"));
		exit(1);
	}
	rpc_must(&b->rpc, b->end.at);
	return ns;
}

static double batch(void *ctx, double seconds)
{
	struct batch *b = ctx;

	(void)seconds;
	return create(b, &b->whole, 1);
}

static double one_by_one(void *ctx, double seconds)
{
	struct batch *b = ctx;

	(void)seconds;
	return create(b, &b->one_by_one, b->n);
}

static double sockets(void *ctx, double seconds)
{
	struct batch *b = ctx;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	uint64_t before = measure_now();
	double ns;

	(void)seconds;
	for (unsigned int i = 0; i < b->n; i++) {
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/f%u.sock", b->directory, i);
		b->fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (b->fds[i] < 0 || bind(b->fds[i], (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		    listen(b->fds[i], 128) < 0)
			measure_die(addr.sun_path, errno);
	}
	ns = (double)(measure_now() - before);
	for (unsigned int i = 0; i < b->n; i++) {
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/f%u.sock", b->directory, i);
		close(b->fds[i]);
		unlink(addr.sun_path);
	}
	return ns;
}

int main(int argc, char **argv)
{
	static struct batch b;
	struct contender contenders[] = {
		{ "batch", batch, &b, { 0 } },
		{ "one-by-one", one_by_one, &b, { 0 } },
		{ "sockets", sockets, &b, { 0 } },
	};
	unsigned int rounds;
	double seconds;

	if (argc != 7) {
		fprintf(stderr, "usage: bench-batch RIDGED_SOCKET PF DIRECTORY NUMBER ROUNDS "
				"SECONDS\n");
		return 2;
	}
	measure_parse(argv[5], argv[6], &rounds, &seconds);
	b.directory = argv[3];
	b.n = (unsigned int)strtoul(argv[4], NULL, 10);
	b.fds = calloc(b.n, sizeof(*b.fds));
	if (!b.n || !b.fds)
		measure_die(argv[4], EINVAL);
	raise_limit();
	write_requests(&b, argv[2]);
	rpc_open(&b.rpc, argv[1]);
	measure(contenders, sizeof(contenders) / sizeof(contenders[0]), rounds, seconds);
	rpc_close(&b.rpc);
	free(b.fds);
	free(b.whole.at);
	free(b.one_by_one.at);
	free(b.end.at);
	return 0;
}
