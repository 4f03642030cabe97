/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Eventfds that a peer has too. Whether write() and read() wait is a flag of the open file, which
 * both sides share: the peer may clear O_NONBLOCK at any time, between a look and a call too. So
 * neither is used. The kernel adds to the counter itself, as it does for KVM and VFIO, when an
 * operation of its AIO completes that was to signal the eventfd (IOCB_FLAG_RESFD): that never
 * waits, and a full counter stays full. It is read with RWF_NOWAIT.
 */
#ifndef RIDGE_BASE_IRQFD_H
#define RIDGE_BASE_IRQFD_H

#include <stdbool.h>

/*
 * Makes what irqfd_signal() and irqfd_is() need, once for the process; without it, their first call
 * does. Returns 0 or a negative errno. -EAGAIN: all of fs.aio-max-nr is taken.
 */
int irqfd_init(void);

/* Whether fd is an eventfd. Asks nobody but the kernel, and changes nothing. */
bool irqfd_is(int fd);

/* Adds 1. Returns 0 or a negative errno, -EINVAL for what is no eventfd. Never waits. */
int irqfd_signal(int fd);

/* Takes what is there. True if it was signalled since the last time. Never waits. */
bool irqfd_take(int fd);

#endif
