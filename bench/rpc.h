/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection to ridged for benchmarks: requests are written by hand, and of answers only their
 * number and whether they are errors is looked at, so that the client costs next to nothing.
 */
#ifndef RIDGE_BENCH_RPC_H
#define RIDGE_BENCH_RPC_H

#include <stdbool.h>
#include <stddef.h>

struct rpc {
	int fd;
	char *answer; /* the last bytes received; a string */
	size_t len;
	size_t room;
};

/* Ends the program where that fails. */
void rpc_open(struct rpc *r, const char *socket);
void rpc_close(struct rpc *r);

/*
 * Sends text, requests of which each has an answer, and receives so many answers while it does.
 * False if one of them is an error; all of them are in r->answer, a line each.
 */
bool rpc_call(struct rpc *r, const char *text, size_t len, unsigned int answers);

/* As rpc_call() of one request that must succeed. */
void rpc_must(struct rpc *r, const char *text);

#endif
