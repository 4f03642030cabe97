/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Closes descriptors that came from a peer. To close one may take as long as its file system likes,
 * whatever signals come: one that the peer serves itself (FUSE) is asked to flush it, a network
 * file system writes back; an epoll descriptor looks for all that it watched. What can't wait,
 * memory (shmem, hugetlbfs) and eventfds, is closed at once; the rest is left to a thread, which
 * does nothing else.
 */
#ifndef RIDGE_BASE_CLOSER_H
#define RIDGE_BASE_CLOSER_H

#include <stdbool.h>
#include <stddef.h>

/* As many as may be left to the thread before closer_full(). */
#define CLOSER_WAITING_MAX 256

/*
 * Starts the thread, once for the process. confine() runs in it before it does anything and returns
 * 0 or a negative errno; it may be NULL. Returns 0 or a negative errno. Without a thread,
 * everything is closed at once.
 */
int closer_init(int (*confine)(void));

/* Closes all of them, sooner or later; returns how many later. */
size_t closer_close_all(const int *fds, size_t n);

/* Too many are waiting: whoever passed one must pass no more. */
bool closer_full(void);

#endif
