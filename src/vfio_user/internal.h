/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server in three parts: server.c has the listening socket, the states of server.h and the
 * second VMM that is turned away; connection.c moves bytes (framing, descriptors, flow control);
 * dispatch.c turns one request into a call of the device model, and its result into a reply.
 */
#ifndef RIDGE_VFIO_USER_INTERNAL_H
#define RIDGE_VFIO_USER_INTERNAL_H

#include "base/closer.h"
#include "base/fd.h"
#include "base/log.h"
#include "vfio_user/codec.h"
#include "vfio_user/server.h"

/* A VMM that connects must introduce itself within this time: nobody else can use the function. */
#define CONNECTION_VERSION_MS 5000

/*
 * An UNMAP waits so long, at most, for a device to look at all that it was notified of before: a full
 * queue takes many turns, and a host's domain has many queues.
 */
#define CONNECTION_SETTLE_MS 500

/*
 * What a message costs, for loop_turn_over(): more than that where it is known to, as for large
 * accesses (so many bytes a unit) and for what makes the kernel map memory.
 */
#define CONNECTION_MESSAGE_UNITS 2
#define CONNECTION_BYTES_A_UNIT  128
#define CONNECTION_MAP_UNITS     16

/*
 * Both buffers hold the largest message and some more, so that a batch of small ones is one system
 * call. They are allocated with the connection, and pages that no message reaches cost nothing.
 */
#define CONNECTION_RX_SIZE (VFIO_USER_MAX_MESSAGE + 16384u)
#define CONNECTION_TX_SIZE (VFIO_USER_MAX_MESSAGE + 16384u)

/*
 * Descriptors that nobody took out of a socket yet count for all processes of our user, and too
 * many of them keep others from sending any: so many messages with some, of a client that reads
 * nothing.
 */
#define CONNECTION_FDS_UNREAD 16

/* The longest reply to any request that may take time, but a read. */
#define CONNECTION_TX_REPLY 1024u

struct connection {
	struct vfio_user_server *srv;
	struct loop_fd lfd; /* .fd -1 once closed */
	int fd;
	pid_t pid;
	uid_t uid;
	bool negotiated; /* VERSION was answered */
	struct vfio_user_terms terms;
	uint32_t maps; /* for DMA, that the client made */
	bool entered;  /* it is on the stack: nobody else may free it */
	bool freed;    /* ... and then it does */

	/*
	 * Received bytes from rx_off to rx_len are not handled yet; rx_off is a message boundary.
	 */
	size_t rx_off;
	size_t rx_len;
	size_t rx_skip; /* bytes still to come of a message that is too large */

	/* Descriptors that belong to the message at rx + fds_at. One message's at a time. */
	size_t fds_at;
	size_t nfds;
	int fds[VFIO_USER_MAX_MSG_FDS];

	/* Replies from tx_off to tx_len are not sent yet. */
	size_t tx_off;
	size_t tx_len;
	bool tx_full; /* the socket took no more */

	/* Commands of our own, all without reply: DMA_WRITEs of messages. */
	uint16_t out_id;
	bool out_refused;          /* one was told to try again */
	struct loop_work out_work; /* sends them, or says that there is room */

	/* Descriptors (the device's) to go with the message at tx + tx_fds_at. One's at a time. */
	size_t tx_fds_at;
	size_t tx_nfds;
	int tx_fds[VFIO_USER_MAX_MSG_FDS];
	unsigned int tx_fds_unread; /* messages with some, since the client last had read all */

	/* The request that the device is working on. */
	bool busy;
	struct vfio_user_request req;
	struct vfio_access access; /* .data of a read points into tx, behind tx_len ... */
	bool reading;              /* ... and that is in use */
	struct vfio_wait wait;
	uint32_t multi_done; /* writes of a REGION_WRITE_MULTI */
	struct loop_work multi_work;

	bool wrote;          /* since `work` ran: the device may have something to do in the loop */
	uint64_t settle_end; /* how long the message at rx_off waits for that; 0: it does not */
	struct loop_work work;   /* messages are left over from this turn ... */
	bool again;              /* ... and it is queued */
	struct loop_timer timer; /* VERSION, or the I/O that UNMAP and RESET wait for */

	uint8_t rx[CONNECTION_RX_SIZE];
	uint8_t tx[CONNECTION_TX_SIZE];
};

/* One more VMM than the function has room for, until its VERSION is answered and it has gone. */
struct refusal {
	struct vfio_user_server *srv;
	struct loop_fd lfd;
	struct loop_timer timer;
	int fd; /* -1: free */
	int error;
	bool told;
};

/* Those beyond are closed without an answer: who does not send VERSION cannot pile up. */
#define SERVER_REFUSALS 4

struct vfio_user_server {
	struct loop *loop;
	struct vfio_device *vdev;
	struct counters *counters;
	char *name;
	int listen_fd;
	struct loop_fd listen;
	struct loop_timer listen_timer; /* no descriptors or memory: try again later */
	bool slow_fds;                  /* a VMM passed descriptors that take long to close */
	enum vfio_user_state state;
	struct connection *conn; /* CONNECTED, and DRAINING while the device may use its buffers */
	struct vfio_wait drain;
	struct vfio_wait *drained; /* of vfio_user_server_disconnect() */
	struct refusal refusals[SERVER_REFUSALS];
	void (*changed)(void *ctx); /* may be NULL */
	void *changed_ctx;
	void (*room)(void *ctx); /* may be NULL */
	void *room_ctx;
};

/* server.c */
void server_drop(struct vfio_user_server *srv, int priority, const char *reason);

/* connection.c */

/*
 * Brackets what may drop the connection and looks at it afterwards, if it was entered from outside.
 */
void connection_enter(struct connection *conn);
void connection_leave(struct connection *conn);

/* Takes fd over if it succeeds. */
int connection_new(struct vfio_user_server *srv, int fd, struct connection **conn);

/* Stops everything; the device may still use the buffers until connection_free(). */
void connection_close(struct connection *conn);
void connection_free(struct connection *conn);

/* True until server_drop(): to be asked after every call that may end in it. */
static inline bool connection_open(const struct connection *conn)
{
	return conn->fd >= 0;
}

/*
 * A reply is put together where it will be sent from: its header goes to connection_reply(), its
 * payload behind that, and the call below queues it (or drops it, if the client wants none).
 * There is room for req->reply_max bytes.
 */
uint8_t *connection_reply(struct connection *conn);
void connection_reply_done(struct connection *conn, const struct vfio_user_request *req,
			   size_t payload);
/* Whether the client reads what comes with descriptors. */
bool connection_takes_fds(struct connection *conn);
/* Before connection_reply_done(): what goes with it, which the device keeps until it is closed. */
void connection_reply_fds(struct connection *conn, const struct vfio_user_request *req,
			  const int *fds, size_t nfds);
void connection_reply_error(struct connection *conn, const struct vfio_user_request *req,
			    int error);

/* Queues a DMA_WRITE of 4 bytes. 0 or -EAGAIN, as vfio_user_server_message() has it. */
int connection_message_out(struct connection *conn, uint64_t address, uint32_t data);

/* The device finished the request that made the connection busy; its reply is queued. */
void connection_resume(struct connection *conn);

/* dispatch.c */

/*
 * Handles one decoded request. Returns 0 when it was answered, -EINPROGRESS when the connection is
 * busy with it, or a negative errno that is still to be replied. fds that are kept become -1.
 */
int dispatch_request(struct connection *conn, const struct vfio_user_request *req, int *fds,
		     size_t nfds, const char **why);

#endif
