/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Closes descriptors that came from a peer, and unmaps its memory. To close one may take as long as
 * its file system likes, whatever signals come: one that the peer serves itself (FUSE) is asked to
 * flush it, a network file system writes back; an epoll descriptor looks for all that it watched.
 * Eventfds and small memory (shmem, hugetlbfs) are closed at once; the rest is left to a thread,
 * which does nothing else. Large memory has another: its peer may be gone, and who has it last frees
 * it, page by page, which takes a second for a few gigabytes.
 */
#ifndef RIDGE_BASE_CLOSER_H
#define RIDGE_BASE_CLOSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As many descriptors as may be left to a thread: files before closer_full(), memory at all. */
#define CLOSER_WAITING_MAX 256

/*
 * Starts the threads, once for the process. confine() runs in each before it does anything and
 * returns 0 or a negative errno; it may be NULL. Returns 0 or a negative errno. Without threads,
 * everything is closed at once.
 */
int closer_init(int (*confine)(void));

/* Closes all of them, sooner or later; returns how many, but for memory, later. */
size_t closer_close_all(const int *fds, size_t n);

/*
 * Unmaps memory, sooner or later; *mapped, which others may read meanwhile, is less by its size
 * then.
 */
void closer_unmap(void *base, size_t size, _Atomic(uint64_t) *mapped);

/* Too many are waiting: whoever passed one must pass no more. */
bool closer_full(void);

#endif
