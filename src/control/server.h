/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections of clients to the control socket: who may have one, their buffers and their bounds.
 * Whatever a client does costs its own connection at most.
 */
#ifndef RIDGE_CONTROL_SERVER_H
#define RIDGE_CONTROL_SERVER_H

#include "control/control.h"

/* Connections. Whoever is neither root nor our user leaves some to these, and to others like him. */
#define SERVER_CLIENTS_MAX 256
#define SERVER_OTHERS_MAX  224
#define SERVER_USER_MAX    64 /* of one such user */

/* Answers that a client did not read: beyond the first no more calls are taken from it. */
#define SERVER_PENDING_HIGH (1u << 20)
#define SERVER_PENDING_MAX  (64u << 20)
#define SERVER_PENDING_ALL  (256u << 20) /* of all clients */
#define SERVER_PENDING_MANY (128u << 20) /* the same; beyond it answers that can wait do */
#define SERVER_EVENTS_MAX   (1u << 20)   /* bytes a subscriber may be behind before it is dropped */
#define SERVER_STALL_MS     30000 /* it read nothing for that long: its connection is closed */

/*
 * Messages that are not complete, and answers to batches that are not. Who has most of them is
 * disconnected, and whose message takes too long.
 */
#define SERVER_PARTIAL_ALL (128u << 20) /* bytes that those of all clients take in memory */
#define SERVER_PARTIAL_MS  30000        /* from the first byte of a message to its last */

/*
 * A server for clients on listen_fd (non-blocking; owned from here on). They must be root, our own
 * user or, unless group is (gid_t)-1, a member of group. Returns 0 or a negative errno.
 */
int server_new(struct control *ctl, int listen_fd, gid_t group, struct server **srv);

/* Begins to accept. Clients that came earlier wait in the backlog. */
int server_start(struct server *srv);

/*
 * Has events sent to the client of a call from now on, after the call's answer.
 */
void server_subscribe(struct jsonrpc_call *call);

/* srv may be NULL: nobody is there any more. */
bool server_has_subscribers(const struct server *srv);

/*
 * A notification of method "event" to all subscribers. One that is behind by too much is told so
 * and its connection ended.
 */
void server_event(struct server *srv, struct json_object *params);

/* Sends what can be sent without waiting, and closes all connections. */
void server_free(struct server *srv);

#endif
