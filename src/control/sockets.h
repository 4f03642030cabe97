/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sockets in the runtime directory, made so that nobody can connect before owner, group and mode
 * are as asked: the process must have the umask SOCKET_UMASK.
 */
#ifndef RIDGE_CONTROL_SOCKETS_H
#define RIDGE_CONTROL_SOCKETS_H

#include <stdbool.h>
#include <sys/types.h>

#include "control/error.h"

/* A path that a socket can be bound to (sun_path with its NUL). */
#define SOCKET_PATH_MAX 108

#define SOCKET_UMASK 0177
#define SOCKET_MODE  (0777 & ~SOCKET_UMASK)

struct socket_access {
	uid_t uid; /* (uid_t)-1: as it is */
	gid_t gid; /* (gid_t)-1: as it is */
	mode_t mode;
};

/*
 * Makes a non-blocking listening socket of the type (SOCK_STREAM, SOCK_SEQPACKET) at path. Returns
 * 0, or a negative errno with e set; nothing is left at path then.
 */
int socket_listen(const char *path, int type, int backlog, const struct socket_access *access,
		  int *fd, struct error *e);

/*
 * Whether a process listens on the stream socket at path, or is about to be given it, as the kernel
 * lists it: a connection to find out would be one too many for a VMM's socket.
 */
bool socket_listening(const char *path);

/*
 * Connects a non-blocking socket. Returns 0 or the negative errno of connect(): -ECONNREFUSED when
 * nobody listens, -EAGAIN when the listener's backlog is full.
 */
int socket_connect(const char *path, int type, int *fd);

/* Looks up a group by name or number. Returns 0, or -ENOENT with e set. */
int socket_group(const char *text, gid_t *gid, struct error *e);

/*
 * The access that a user, a group (each by name or number) and a mode (octal) give; any may be NULL,
 * and the mode is 0600 then. Returns 0, or -ENOENT with e set.
 */
int socket_access_parse(const char *owner, const char *group, const char *mode,
			struct socket_access *access, struct error *e);

#endif
