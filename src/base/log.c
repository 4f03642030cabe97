/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINES_PER_SECOND 200

/* The log is the one thing that belongs to the process and not to an object in it. */
static struct {
	char name[48];
	int max_priority;
	int journal;
	int tokens;           /* lines that may be written now */
	unsigned int dropped; /* since the last one that was */
	time_t refilled;
} log_state = { .max_priority = LOG_INFO };

void log_open(const char *name, int max_priority)
{
	snprintf(log_state.name, sizeof(log_state.name), "%s", name);
	log_state.max_priority = max_priority;
	log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

/*
 * Peers can make lines as fast as they like; they must fill no disk, and nobody waits for a reader
 * of standard error that does not read.
 */
static bool may_write(void)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (ts.tv_sec != log_state.refilled) {
		log_state.refilled = ts.tv_sec;
		log_state.tokens = LOG_LINES_PER_SECOND;
	}
	if (!log_state.tokens || (poll(&out, 1, 0) == 1 && !(out.revents & POLLOUT)) ||
	    !out.revents) {
		log_state.dropped++;
		return false;
	}
	log_state.tokens--;
	return true;
}

void log_msg(int priority, const char *fmt, ...)
{
	char line[1024];
	size_t len = 0;
	va_list ap;
	int n;

	if (priority > log_state.max_priority || !may_write())
		return;
	if (log_state.journal) {
		len = (size_t)snprintf(line, sizeof(line), "<%d>", priority);
	} else {
		struct timespec ts;
		struct tm tm;

		clock_gettime(CLOCK_REALTIME, &ts);
		localtime_r(&ts.tv_sec, &tm);
		len = strftime(line, sizeof(line), "%H:%M:%S", &tm);
		len += (size_t)snprintf(line + len, sizeof(line) - len, ".%03ld ",
					ts.tv_nsec / 1000000);
	}
	len += (size_t)snprintf(line + len, sizeof(line) - len, "%s: ", log_state.name);
	if (log_state.dropped) {
		len += (size_t)snprintf(line + len, sizeof(line) - len, "(%u lines dropped) ",
					log_state.dropped);
		log_state.dropped = 0;
	}
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	if (n > 0)
		len += (size_t)n < sizeof(line) - len - 1 ? (size_t)n : sizeof(line) - len - 2;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* there is nowhere left to say so */
}
