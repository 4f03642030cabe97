/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The log is the one thing that belongs to the process and not to an object in it. */
static struct {
	char name[48];
	int max_priority;
	int journal;
} log_state = { .max_priority = LOG_INFO };

void log_open(const char *name, int max_priority)
{
	snprintf(log_state.name, sizeof(log_state.name), "%s", name);
	log_state.max_priority = max_priority;
	log_state.journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_msg(int priority, const char *fmt, ...)
{
	char line[1024];
	size_t len = 0;
	va_list ap;
	int n;

	if (priority > log_state.max_priority)
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
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);
	if (n > 0)
		len += (size_t)n < sizeof(line) - len - 1 ? (size_t)n : sizeof(line) - len - 2;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* there is nowhere left to say so */
}
