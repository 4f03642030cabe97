/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ends system calls that should not have blocked. Descriptors that come from a peer can be made to
 * block by it at any time, whatever their flags were when they came. While the loop is at work a
 * signal every second makes such a call fail with EINTR; while it sleeps there is none.
 */
#ifndef RIDGE_BASE_WATCHDOG_H
#define RIDGE_BASE_WATCHDOG_H

#define WATCHDOG_MS 1000

/* Once for the process. Takes SIGALRM. Returns 0 or a negative errno. */
int watchdog_init(void);

/* The loop goes to sleep, and is awake. Cheap; without watchdog_init() they do nothing. */
void watchdog_sleep(void);
void watchdog_wake(void);

#endif
