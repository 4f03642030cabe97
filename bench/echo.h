/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The peer that everything with a request and a reply is compared with: a process that reads so
 * many bytes from a UNIX stream socket and writes so many back, blocking, and does nothing else.
 */
#ifndef RIDGE_BENCH_ECHO_H
#define RIDGE_BENCH_ECHO_H

#include <stddef.h>
#include <sys/types.h>

#define ECHO_MAX 4096 /* bytes of a message */

struct echo {
	int fd;
	pid_t pid;
	size_t request;
	size_t reply;
};

/* Starts the process. Ends this one where that fails. */
void echo_start(struct echo *e, size_t request, size_t reply);
void echo_stop(struct echo *e);

/*
 * One message to fd and one from it, the same way for the peer and for what is compared with it:
 * one write, and as many reads as it takes (one, if the other end writes its reply at once).
 */
void echo_trip(int fd, const void *request, size_t request_len, void *reply, size_t reply_len);

/* p50 in ns of round trips to the peer. ctx: struct echo. */
double echo_run(void *ctx, double seconds);

#endif
