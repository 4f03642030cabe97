/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One function.create on a connection that stays open, against an echo.
 *
 *   bench-create RIDGED_SOCKET PF FUNCTION_SOCKET ROUNDS SECONDS
 *
 * From the first byte of the request to the last of the answer, after which FUNCTION_SOCKET, of the
 * function "bench" on that PF, takes a connection. Ending the function is not part of it. Values
 * are ns, p50.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench/echo.h"
#include "bench/measure.h"
#include "bench/rpc.h"

/* The messages of a region read: the smallest echo that anything here is compared with. */
#define ECHO_REQUEST 32
#define ECHO_REPLY   36

static const char destroy[] = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"function.destroy\","
			      "\"params\":{\"name\":\"bench\",\"force\":true}}\n";

struct creation {
	struct rpc rpc;
	char request[256];
	const char *socket;
	struct samples samples;
};

static void must_listen(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		measure_die(path, errno);
	close(fd);
}

static double create(void *ctx, double seconds)
{
	struct creation *c = ctx;
	uint64_t end = measure_now() + (uint64_t)(seconds * 1e9);
	size_t len = strlen(c->request);

	do {
		uint64_t before = measure_now();
		bool made = rpc_call(&c->rpc, c->request, len, 1);

		samples_add(&c->samples, measure_now() - before);
		if (!made) {
			fprintf(stderr, "bench-create: %s", c->rpc.answer);
			exit(1);
		}
		must_listen(c->socket);
		rpc_must(&c->rpc, destroy);
	} while (measure_now() < end);
	return samples_p50(&c->samples);
}

int main(int argc, char **argv)
{
	static struct creation creation;
	struct echo echo;
	struct contender contenders[] = {
		{ "echo", echo_run, &echo, { 0 } },
		{ "create", create, &creation, { 0 } },
	};
	unsigned int rounds;
	double seconds;

	if (argc != 6) {
		fprintf(stderr, "usage: bench-create RIDGED_SOCKET PF FUNCTION_SOCKET ROUNDS "
				"SECONDS\n");
		return 2;
	}
	measure_parse(argv[4], argv[5], &rounds, &seconds);
	echo_start(&echo, ECHO_REQUEST, ECHO_REPLY);
	creation.socket = argv[3];
	samples_init(&creation.samples);
	snprintf(creation.request, sizeof(creation.request),
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"function.create\",\"params\":"
		 "{\"type\":\"rng\",\"name\":\"bench\",\"pf\":\"%s\"}}\n",
		 argv[2]);
	rpc_open(&creation.rpc, argv[1]);
	measure(contenders, sizeof(contenders) / sizeof(contenders[0]), rounds, seconds);
	rpc_close(&creation.rpc);
	echo_stop(&echo);
	return 0;
}
