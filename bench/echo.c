/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/echo.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"

/* False at the end of the stream. */
static bool read_all(int fd, void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, (char *)data + done, len - done);

		if (n < 0 && errno != EINTR)
			measure_die("read", errno);
		if (!n)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static void write_all(int fd, const void *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n < 0 && errno != EINTR)
			measure_die("write", errno);
		done += n > 0 ? (size_t)n : 0;
	}
}

static void serve(int fd, size_t request, size_t reply)
{
	char data[ECHO_MAX] = { 0 };

	while (read_all(fd, data, request))
		write_all(fd, data, reply);
}

/* Where the harness wants the peer to run; it has put ridge's processes on the same CPU. */
static void move_to_cpu(void)
{
	const char *cpu = getenv("BENCH_PEER_CPU");
	cpu_set_t set;

	if (!cpu)
		return;
	CPU_ZERO(&set);
	CPU_SET(atoi(cpu), &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		measure_die("BENCH_PEER_CPU", errno);
}

void echo_start(struct echo *e, size_t request, size_t reply)
{
	int fds[2];

	if (request > ECHO_MAX || reply > ECHO_MAX)
		measure_die("echo", EMSGSIZE);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		measure_die("socketpair", errno);
	e->pid = fork();
	if (e->pid < 0)
		measure_die("fork", errno);
	if (!e->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setsid();
		move_to_cpu();
		close(fds[0]);
		serve(fds[1], request, reply);
		_exit(0);
	}
	close(fds[1]);
	e->fd = fds[0];
	e->request = request;
	e->reply = reply;
}

void echo_stop(struct echo *e)
{
	close(e->fd);
	waitpid(e->pid, NULL, 0);
}

void echo_trip(int fd, const void *request, size_t request_len, void *reply, size_t reply_len)
{
	write_all(fd, request, request_len);
	if (!read_all(fd, reply, reply_len))
		measure_die("the other end", ECONNRESET);
}

double echo_run(void *ctx, double seconds)
{
	static struct samples samples;
	struct echo *e = ctx;
	char request[ECHO_MAX] = { 0 }, reply[ECHO_MAX];
	uint64_t start = measure_now(), end = start + (uint64_t)(seconds * 1e9), now = start;

	if (!samples.ns)
		samples_init(&samples);
	while (now < end) {
		uint64_t before = now;

		echo_trip(e->fd, request, e->request, reply, e->reply);
		now = measure_now();
		samples_add(&samples, now - before);
	}
	return samples_p50(&samples);
}
