/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One vfio-user socket: one VFIO device, offered to one VMM at a time.
 *
 * The protocol is docs/interop/vfio-user.rst of QEMU's tree, version 0.0. Messages are decoded in
 * codec.c and nowhere else. They are handled in order: while one waits (a region access that is an
 * admin command, an UNMAP or RESET that waits for I/O), nothing more is read from that connection.
 *
 *   LISTENING --accept--> CONNECTED --close--> DRAINING --the last I/O ended--> LISTENING
 *
 * In CONNECTED a second VMM is accepted, told EBUSY in reply to its VERSION, and closed. In
 * DRAINING a new VMM waits in the socket's backlog.
 */
#ifndef RIDGE_VFIO_USER_SERVER_H
#define RIDGE_VFIO_USER_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/counters.h"
#include "base/loop.h"
#include "vfio/vfio.h"

/* No request takes longer, whatever it waits for: the connection closes, DMA and all. */
#define VFIO_USER_IO_WAIT_MS 3000

/* How long one more VMM than there is room for has to introduce itself, to be told. */
#define VFIO_USER_REFUSAL_MS 3000

struct vfio_user_server;

enum vfio_user_state {
	VFIO_USER_LISTENING,
	VFIO_USER_CONNECTED,
	VFIO_USER_DRAINING,
};

/*
 * Serves vdev on listen_fd (a listening SOCK_STREAM UNIX socket, non-blocking, not owned: the
 * caller closes it after vfio_user_server_free()). name is for the log and copied. counters (not
 * owned) gets connections and refused. Returns 0 or a negative errno.
 */
int vfio_user_server_new(struct loop *loop, const char *name, int listen_fd,
			 struct vfio_device *vdev, struct counters *counters,
			 struct vfio_user_server **srv);

/*
 * Has changed(ctx) called after each change of state, from within it: it must not free the server.
 */
void vfio_user_server_watch(struct vfio_user_server *srv, void (*changed)(void *ctx), void *ctx);

/*
 * Has the VMM write 4 bytes to an address of its guest (DMA_WRITE, no reply wanted): a message
 * signalled interrupt. Returns 0, -ENOTCONN without a VMM, or -EAGAIN when it cannot be queued now;
 * then room(ctx), if one was given, is called from the loop once it may be tried again.
 */
int vfio_user_server_message(struct vfio_user_server *srv, uint64_t address, uint32_t data);
void vfio_user_server_watch_room(struct vfio_user_server *srv, void (*room)(void *ctx), void *ctx);

/* Only in LISTENING, or when the device is being given up (DRAINING is abandoned). */
void vfio_user_server_free(struct vfio_user_server *srv);

/*
 * Drops the VMM, if any. Returns 0 when the server is LISTENING already or again, or -EINPROGRESS
 * and calls wait->done() once it is. reason is for the log.
 */
int vfio_user_server_disconnect(struct vfio_user_server *srv, const char *reason,
				struct vfio_wait *wait);

enum vfio_user_state vfio_user_server_state(const struct vfio_user_server *srv);

/* Process id of the attached VMM as the kernel tells it, or 0. */
pid_t vfio_user_server_peer(const struct vfio_user_server *srv);

#endif
