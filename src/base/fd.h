/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * File descriptors: closing by scope, and passing over UNIX sockets.
 */
#ifndef RIDGE_BASE_FD_H
#define RIDGE_BASE_FD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel's limit for one message (SCM_MAX_FD). */
#define FD_PASS_MAX 253

/* Closes *fd unless it is negative, and sets it to -1. */
void fd_close(int *fd);

/* Scope cleanup: `fd_auto int fd = open(...);`; fd_take() hands it on. */
#define fd_auto __attribute__((cleanup(fd_close)))

static inline int fd_take(int *fd)
{
	int ret = *fd;

	*fd = -1;
	return ret;
}

void fd_close_all(int *fds, size_t n);

/*
 * Sends len bytes with nfds descriptors (not consumed) as sendmsg() does, with MSG_NOSIGNAL and the
 * given flags. Returns bytes sent or a negative errno (-EAGAIN on a full non-blocking socket).
 */
ssize_t fd_send(int sock, const void *data, size_t len, const int *fds, size_t nfds, int flags);

/*
 * Receives up to len bytes and up to *nfds descriptors, all close-on-exec. On return *nfds is the
 * number received. Returns bytes received, 0 at end of file, or a negative errno; -EMSGSIZE when
 * data or descriptors were cut off (received descriptors are closed then).
 */
ssize_t fd_recv(int sock, void *data, size_t len, int *fds, size_t *nfds, int flags);

#endif
