/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The byte stream of one VMM.
 *
 * A turn is: one receive into the free part of rx, then message after message as far as they are
 * complete, then one send of the replies that came together in tx. A client that waits for each
 * reply thus costs one receive and one send a message, and nothing is ever added to or changed in
 * epoll. While the device is busy with a message, or the client does not read its replies, no
 * further message is taken and nothing is received, so both buffers are all that a client can make
 * us keep. EPOLLIN is switched off only if it fires then, which a client that waits for replies
 * never causes.
 *
 * Descriptors. A receive ends with the piece of the stream that has descriptors on it, whatever
 * else it took before. So they belong to the last message that begins in what was received, if each
 * send() with descriptors has bytes of no more than one message, as every client does. To have only
 * one message's descriptors at a time, nothing is received while a complete message is left, and
 * while an incomplete one has descriptors only its own missing bytes are.
 */
#include "vfio_user/internal.h"

#include <endian.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void connection_event(struct loop_fd *lfd, uint32_t events);
static void connection_run(struct connection *conn, bool receive);
static void connection_run_again(struct connection *conn);

static void version_timeout(struct loop_timer *timer)
{
	struct connection *conn = container_of(timer, struct connection, timer);

	server_drop(conn->srv, LOG_WARNING, "no VERSION in time");
}

int connection_new(struct vfio_user_server *srv, int fd, struct connection **out)
{
	/* malloc, not calloc: the buffers are not touched before they are used. */
	struct connection *conn = malloc(sizeof(*conn));
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int err;

	if (!conn)
		return -ENOMEM;
	memset(conn, 0, offsetof(struct connection, rx));
	conn->srv = srv;
	conn->fd = fd;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
		conn->pid = cred.pid;
		conn->uid = cred.uid;
	}
	err = loop_fd_add(srv->loop, &conn->lfd, fd, EPOLLIN, connection_event);
	if (err) {
		free(conn);
		return err;
	}
	loop_timer_set(srv->loop, &conn->timer, CONNECTION_VERSION_MS, version_timeout);
	*out = conn;
	return 0;
}

/* True if one of them is not closed yet. */
static bool connection_close_fds(struct connection *conn)
{
	bool later = closer_close_all(conn->fds, conn->nfds);

	conn->nfds = 0;
	conn->srv->slow_fds |= later;
	return later;
}

void connection_close(struct connection *conn)
{
	loop_fd_del(conn->srv->loop, &conn->lfd);
	loop_timer_cancel(&conn->timer);
	loop_work_cancel(&conn->work);
	loop_work_cancel(&conn->multi_work);
	loop_work_cancel(&conn->out_work);
	connection_close_fds(conn);
	fd_close(&conn->fd);
}

void connection_free(struct connection *conn)
{
	if (!conn)
		return;
	if (conn->entered)
		conn->freed = true;
	else
		free(conn);
}

/* The connection may be dropped in between, but not be gone. */
void connection_enter(struct connection *conn)
{
	conn->entered = true;
}

void connection_leave(struct connection *conn)
{
	conn->entered = false;
	if (conn->freed)
		free(conn);
}

/* Takes the next message: open, the device has finished the last one, the client reads replies. */
static bool connection_ready(const struct connection *conn)
{
	return connection_open(conn) && !conn->busy && !conn->tx_full;
}

static void connection_set_events(struct connection *conn, uint32_t events)
{
	int err = loop_fd_mod(conn->srv->loop, &conn->lfd, events);

	if (err)
		server_drop(conn->srv, LOG_ERR, strerror(-err));
}

static void connection_violation(struct connection *conn, const char *why)
{
	char reason[128];

	snprintf(reason, sizeof(reason), "protocol violation: %s", why);
	server_drop(conn->srv, LOG_WARNING, reason);
}

/* One send(): a message with descriptors begins one, so that they belong to its first byte. */
static ssize_t send_some(struct connection *conn)
{
	const uint8_t *from = conn->tx + conn->tx_off;
	ssize_t n;

	if (conn->tx_nfds && conn->tx_off == conn->tx_fds_at) {
		n = fd_send(conn->fd, from, conn->tx_len - conn->tx_off, conn->tx_fds,
			    conn->tx_nfds, MSG_DONTWAIT);
		if (n > 0)
			conn->tx_nfds = 0;
		return n;
	}
	n = send(conn->fd, from, (conn->tx_nfds ? conn->tx_fds_at : conn->tx_len) - conn->tx_off,
		 MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

/* Sends what is queued, as far as the socket takes it. */
static void connection_flush(struct connection *conn)
{
	ssize_t n = 0;

	while (conn->tx_off < conn->tx_len && (n >= 0 || n == -EINTR)) {
		n = send_some(conn);
		if (n > 0)
			conn->tx_off += (size_t)n;
	}
	if (n < 0 && n != -EAGAIN) {
		server_drop(conn->srv, LOG_INFO, strerror((int)-n));
		return;
	}
	if (n < 0)
		connection_set_events(conn, EPOLLOUT);
	conn->tx_full = n < 0;
}

static void tx_rewind(struct connection *conn)
{
	if (conn->tx_off == conn->tx_len) {
		conn->tx_off = 0;
		conn->tx_len = 0;
	}
}

static void connection_out(struct loop_work *work)
{
	struct connection *conn = container_of(work, struct connection, out_work);

	connection_enter(conn);
	if (!conn->tx_full)
		connection_flush(conn);
	if (connection_open(conn) && conn->out_refused && !conn->tx_full && !conn->reading) {
		conn->out_refused = false;
		conn->srv->room(conn->srv->room_ctx);
	}
	connection_leave(conn);
}

static void connection_out_later(struct connection *conn)
{
	loop_work_queue(conn->srv->loop, &conn->out_work, connection_out);
}

int connection_message_out(struct connection *conn, uint64_t address, uint32_t data)
{
	struct {
		struct vfio_user_header h;
		struct vfio_user_dma_access access;
		uint32_t data;
	} VFIO_USER_PACKED m = {
		.h = {
			.command = VFIO_USER_DMA_WRITE,
			.size = sizeof(m),
			.flags = VFIO_USER_TYPE_COMMAND | VFIO_USER_FLAG_NO_REPLY,
		},
		.access = { .address = address, .count = sizeof(m.data) },
		.data = htole32(data),
	};

	/* What is read goes where this would; the reply to a write needs its room. */
	if (!conn->reading)
		tx_rewind(conn);
	if (conn->reading || conn->tx_full ||
	    CONNECTION_TX_SIZE - conn->tx_len < sizeof(m) + CONNECTION_TX_REPLY) {
		conn->out_refused = conn->srv->room != NULL;
		connection_out_later(conn);
		return -EAGAIN;
	}
	m.h.id = conn->out_id++;
	memcpy(conn->tx + conn->tx_len, &m, sizeof(m));
	conn->tx_len += sizeof(m);
	connection_out_later(conn);
	return 0;
}

/* Room in tx for the reply to a request; false if the client must read first. */
static bool connection_make_room(struct connection *conn, size_t size)
{
	if (CONNECTION_TX_SIZE - conn->tx_len < size || conn->tx_nfds)
		connection_flush(conn);
	if (!connection_open(conn) || conn->tx_full)
		return false;
	tx_rewind(conn);
	return true;
}

uint8_t *connection_reply(struct connection *conn)
{
	return conn->tx + conn->tx_len;
}

static void reply_header(struct connection *conn, const struct vfio_user_request *req, size_t size,
			 int error)
{
	struct vfio_user_header h = {
		.id = req->id,
		.command = req->command,
		.size = (uint32_t)size,
		.flags = VFIO_USER_TYPE_REPLY | (error ? VFIO_USER_FLAG_ERROR : 0),
		.error = (uint32_t)-error,
	};

	if (req->no_reply)
		return;
	memcpy(conn->tx + conn->tx_len, &h, sizeof(h));
	conn->tx_len += size;
}

void connection_reply_done(struct connection *conn, const struct vfio_user_request *req,
			   size_t payload)
{
	reply_header(conn, req, sizeof(struct vfio_user_header) + payload, 0);
}

bool connection_takes_fds(struct connection *conn)
{
	int unread;

	if (conn->tx_fds_unread < CONNECTION_FDS_UNREAD)
		return true;
	if (ioctl(conn->fd, SIOCOUTQ, &unread) < 0 || unread)
		return false;
	conn->tx_fds_unread = 0;
	return true;
}

void connection_reply_fds(struct connection *conn, const struct vfio_user_request *req,
			  const int *fds, size_t nfds)
{
	if (req->no_reply)
		return;
	memcpy(conn->tx_fds, fds, nfds * sizeof(fds[0]));
	conn->tx_fds_at = conn->tx_len;
	conn->tx_nfds = nfds;
	conn->tx_fds_unread++;
}

void connection_reply_error(struct connection *conn, const struct vfio_user_request *req, int error)
{
	reply_header(conn, req, sizeof(struct vfio_user_header), error);
}

/* The last message that begins in [from, rx_len), from being a message boundary. */
static size_t last_message(const struct connection *conn, size_t from)
{
	const char *why;
	size_t size;

	while (!vfio_user_decode_frame(conn->rx + from, conn->rx_len - from, &size, &why) && size &&
	       size < conn->rx_len - from)
		from += size;
	return from;
}

/* Closes what the message at rx_off came with and nobody kept. */
static void connection_drop_fds(struct connection *conn)
{
	if (connection_close_fds(conn) && closer_full())
		connection_violation(conn, "descriptors that take too long to close");
}

/* How much may be received without a second message's descriptors. */
static size_t receive_room(const struct connection *conn)
{
	size_t room = CONNECTION_RX_SIZE - conn->rx_len;
	size_t size;
	const char *why;

	if (!conn->nfds)
		return room;
	if (vfio_user_decode_frame(conn->rx, conn->rx_len, &size, &why) || !size)
		size = sizeof(struct vfio_user_header);
	return size - conn->rx_len < room ? size - conn->rx_len : room;
}

/*
 * One receive, with no complete message in rx. Returns false if there is nothing to handle: nothing
 * came, or the connection was dropped.
 */
static bool connection_receive(struct connection *conn)
{
	size_t nfds = VFIO_USER_MAX_MSG_FDS - conn->nfds;
	ssize_t n;

	if (conn->rx_off) {
		memmove(conn->rx, conn->rx + conn->rx_off, conn->rx_len - conn->rx_off);
		conn->rx_len -= conn->rx_off;
		conn->rx_off = 0;
		conn->fds_at = 0;
	}
	n = fd_recv(conn->fd, conn->rx + conn->rx_len, receive_room(conn), conn->fds + conn->nfds,
		    &nfds, MSG_DONTWAIT);
	if (n == -EAGAIN)
		return false;
	if (n == -EMSGSIZE) {
		connection_violation(conn, "too many descriptors with a message");
		return false;
	}
	if (n < 0) {
		server_drop(conn->srv, LOG_INFO, strerror((int)-n));
		return false;
	}
	if (!n) {
		bool inside = conn->rx_len || conn->rx_skip;

		server_drop(conn->srv, LOG_INFO,
			    inside ? "closed in the middle of a message" : "closed by the VMM");
		return false;
	}
	conn->rx_len += (size_t)n;
	if (nfds) {
		conn->nfds += nfds;
		if (conn->rx_skip < conn->rx_len)
			conn->fds_at = last_message(conn, conn->rx_skip);
		else
			connection_drop_fds(conn);
	}
	return connection_open(conn);
}

static void connection_consume(struct connection *conn, size_t size)
{
	conn->rx_off += size;
	if (conn->rx_off == conn->rx_len) {
		conn->rx_off = 0;
		conn->rx_len = 0;
	}
}

/* True if there is a message at rx_off to be handled. The connection may be dropped instead. */
static bool connection_next(struct connection *conn, size_t *size)
{
	size_t len = conn->rx_len - conn->rx_off;
	const char *why;

	if (conn->rx_skip) {
		size_t skip = conn->rx_skip < len ? conn->rx_skip : len;

		conn->rx_skip -= skip;
		len -= skip;
		connection_consume(conn, skip);
	}
	if (vfio_user_decode_frame(conn->rx + conn->rx_off, len, size, &why)) {
		connection_violation(conn, why);
		return false;
	}
	/* Of one that is too large the header is enough. */
	return *size && (*size <= len || *size > VFIO_USER_MAX_MESSAGE);
}

/*
 * The device acts on what was written, or signalled, from the loop, and then the memory must still
 * be there: at least once, as what it queued runs before what is queued now, and then as long as it
 * says that it is not done, within limits.
 */
static bool connection_settles(struct connection *conn)
{
	struct vfio_device *vdev = conn->srv->vdev;
	bool busy;

	if (conn->settle_end)
		return vfio_device_busy(vdev, false) && loop_now_ns() < conn->settle_end;
	busy = vfio_device_poll_io_fds(vdev) || conn->wrote;
	busy |= vfio_device_busy(vdev, true);
	if (busy)
		conn->settle_end = loop_now_ns() + CONNECTION_SETTLE_MS * 1000000ull;
	return busy;
}

static unsigned int message_units(const struct vfio_user_request *req)
{
	switch (req->command) {
	case VFIO_USER_DMA_MAP:
	case VFIO_USER_DMA_UNMAP:
	case VFIO_USER_DEVICE_RESET:
		return CONNECTION_MAP_UNITS;
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		return CONNECTION_MESSAGE_UNITS + req->access.count / CONNECTION_BYTES_A_UNIT;
	default:
		return CONNECTION_MESSAGE_UNITS;
	}
}

/*
 * Decodes and handles the message at rx_off; leaves it there if there is no room for a reply.
 * Returns what it cost.
 */
static unsigned int connection_message(struct connection *conn, size_t size)
{
	const uint8_t *msg = conn->rx + conn->rx_off;
	bool owns_fds = conn->nfds && conn->fds_at == conn->rx_off;
	struct vfio_user_request req = { 0 };
	unsigned int units;
	const char *why = "the device refused it";
	int err;

	if (size > VFIO_USER_MAX_MESSAGE)
		err = vfio_user_decode_skipped(msg, &req, &why);
	else
		err = vfio_user_decode(msg, size, owns_fds ? conn->nfds : 0, &req, &why);
	if (!conn->negotiated && !err && (req.command != VFIO_USER_VERSION || req.no_reply)) {
		why = "the first message must be a VERSION that wants a reply";
		err = -EINVAL;
	}
	units = err ? CONNECTION_MESSAGE_UNITS : message_units(&req);
	if (!connection_make_room(conn, req.reply_max))
		return units;
	if (!err && req.command == VFIO_USER_DMA_UNMAP && connection_settles(conn)) {
		connection_run_again(conn);
		return units;
	}
	conn->settle_end = 0;
	conn->wrote |= req.command == VFIO_USER_REGION_WRITE ||
		       req.command == VFIO_USER_REGION_WRITE_MULTI;
	if (!err)
		err = dispatch_request(conn, &req, conn->fds, owns_fds ? conn->nfds : 0, &why);
	if (!connection_open(conn))
		return units;
	if (err && err != -EINPROGRESS) {
		log_debug("%s: command %u: %s: %s", conn->srv->name, req.command, why,
			  strerror(-err));
		connection_reply_error(conn, &req, err);
	}
	if (owns_fds)
		connection_drop_fds(conn);
	if (!connection_open(conn))
		return units;
	if (size > VFIO_USER_MAX_MESSAGE)
		conn->rx_skip = size;
	else
		connection_consume(conn, size);
	if (conn->negotiated)
		return units;
	/* There is no second try: it was told, and that is all. */
	connection_flush(conn);
	if (connection_open(conn))
		connection_violation(conn, why);
	return units;
}

static void connection_work(struct loop_work *work)
{
	struct connection *conn = container_of(work, struct connection, work);

	connection_enter(conn);
	conn->again = false;
	conn->wrote = false;
	connection_run(conn, false);
	connection_leave(conn);
}

static void connection_run_again(struct connection *conn)
{
	conn->again = true;
	loop_work_again(conn->srv->loop, &conn->work, connection_work);
}

/* One turn. */
static void connection_run(struct connection *conn, bool receive)
{
	struct loop_turn turn;
	unsigned int units = 0;
	size_t size;

	loop_turn_begin(&turn);
	while (connection_ready(conn) && !conn->again) {
		if (connection_next(conn, &size)) {
			if (loop_turn_over(&turn, units)) {
				connection_run_again(conn);
				break;
			}
			units = connection_message(conn, size);
		} else if (receive && connection_open(conn)) {
			receive = false;
			if (!connection_receive(conn))
				break;
		} else {
			break;
		}
	}
	if (connection_open(conn))
		connection_flush(conn);
}

void connection_resume(struct connection *conn)
{
	connection_enter(conn);
	conn->busy = false;
	connection_flush(conn);
	if (connection_ready(conn))
		connection_set_events(conn, EPOLLIN);
	/* Not from here: this is the device's callback, and it may be deep in the device. */
	if (connection_ready(conn) && conn->rx_off < conn->rx_len)
		connection_run_again(conn);
	if (connection_open(conn) && conn->out_refused)
		connection_out_later(conn);
	connection_leave(conn);
}

/* Not ready: only the client's end and room for replies are of interest. */
static void connection_event_waiting(struct connection *conn, uint32_t events)
{
	if (events & (EPOLLHUP | EPOLLERR)) {
		server_drop(conn->srv, LOG_INFO, "closed by the VMM");
	} else if (!conn->tx_full) {
		connection_set_events(conn, 0);
	} else {
		connection_flush(conn);
		if (connection_open(conn) && !conn->tx_full)
			connection_set_events(conn, EPOLLIN);
		if (connection_open(conn) && !conn->tx_full && conn->out_refused)
			connection_out_later(conn);
		connection_run(conn, false);
	}
}

static void connection_event(struct loop_fd *lfd, uint32_t events)
{
	struct connection *conn = container_of(lfd, struct connection, lfd);

	connection_enter(conn);
	if (!connection_ready(conn))
		connection_event_waiting(conn, events);
	else if (!conn->again)
		connection_run(conn, true);
	connection_leave(conn);
}
