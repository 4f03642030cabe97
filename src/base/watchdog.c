/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

/* A signal handler has no argument to find an object by. */
static struct {
	timer_t timer;
	bool ready;
	volatile sig_atomic_t armed;
	volatile sig_atomic_t sleeping;
} watchdog;

static void set(long ms)
{
	struct timespec interval = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	struct itimerspec its = { .it_interval = interval, .it_value = interval };

	timer_settime(watchdog.timer, 0, &its, NULL);
}

static void on_alarm(int sig)
{
	(void)sig;
	if (!watchdog.sleeping)
		return;
	/* Asleep for good, as it seems: no more signals until it wakes. */
	set(0);
	watchdog.armed = 0;
}

int watchdog_init(void)
{
	struct sigaction sa = { .sa_handler = on_alarm }; /* no SA_RESTART: that is the point */
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGALRM, &sa, NULL) < 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &watchdog.timer) < 0)
		return -errno;
	watchdog.ready = true;
	return 0;
}

void watchdog_sleep(void)
{
	watchdog.sleeping = 1;
}

void watchdog_wake(void)
{
	watchdog.sleeping = 0;
	if (!watchdog.ready || watchdog.armed)
		return;
	watchdog.armed = 1;
	set(WATCHDOG_MS);
}
