/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The listening socket: who may attach, who is turned away, and when the next one may come.
 */
#include "vfio_user/internal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Out of descriptors or memory, accept() would fail again at once. */
#define LISTEN_RETRY_MS 1000

static void listen_event(struct loop_fd *lfd, uint32_t events);

static void listen_retry(struct loop_timer *timer)
{
	struct vfio_user_server *srv = container_of(timer, struct vfio_user_server, listen_timer);
	int err;

	if (srv->state == VFIO_USER_DRAINING || srv->listen.fd >= 0)
		return;
	err = loop_fd_add(srv->loop, &srv->listen, srv->listen_fd, EPOLLIN, listen_event);
	if (err) {
		log_err("%s: cannot watch its socket: %s", srv->name, strerror(-err));
		loop_timer_set(srv->loop, timer, LISTEN_RETRY_MS, listen_retry);
	}
}

static void listen_start(struct vfio_user_server *srv)
{
	loop_timer_cancel(&srv->listen_timer);
	listen_retry(&srv->listen_timer);
}

static void listen_stop(struct vfio_user_server *srv)
{
	loop_timer_cancel(&srv->listen_timer);
	loop_fd_del(srv->loop, &srv->listen);
}

static void server_changed(struct vfio_user_server *srv, enum vfio_user_state state)
{
	srv->state = state;
	if (srv->changed)
		srv->changed(srv->changed_ctx);
}

/* The function is new again. */
static void server_drained(struct vfio_user_server *srv)
{
	struct vfio_wait *wait = srv->drained;

	connection_free(srv->conn);
	srv->conn = NULL;
	srv->drained = NULL;
	server_changed(srv, VFIO_USER_LISTENING);
	listen_start(srv);
	if (wait)
		wait->done(wait, 0);
}

static void drain_done(struct vfio_wait *wait, int result)
{
	struct vfio_user_server *srv = container_of(wait, struct vfio_user_server, drain);

	if (result)
		log_warn("%s: after the VMM: %s", srv->name, strerror(-result));
	server_drained(srv);
}

void server_drop(struct vfio_user_server *srv, int priority, const char *reason)
{
	struct connection *conn = srv->conn;

	if (srv->state != VFIO_USER_CONNECTED)
		return;
	log_msg(priority, "%s: VMM detached (pid %d): %s", srv->name, (int)conn->pid, reason);
	connection_close(conn);
	server_changed(srv, VFIO_USER_DRAINING);
	srv->drain.done = drain_done;
	if (vfio_device_close(srv->vdev, &srv->drain) == -EINPROGRESS)
		listen_stop(srv);
	else
		server_drained(srv);
}

static void refusal_end(struct refusal *r)
{
	loop_fd_del(r->srv->loop, &r->lfd);
	loop_timer_cancel(&r->timer);
	fd_close(&r->fd);
}

static void refusal_timeout(struct loop_timer *timer)
{
	refusal_end(container_of(timer, struct refusal, timer));
}

/*
 * The first message came: a reply to it is what a client reports best. QEMU prints "version reply:
 * Device or resource busy"; without a reply, or with one before it asked, it waits for 5 s and says
 * that it timed out. It is also left to the client to close, which it does at once; else it would
 * complain about that as well.
 */
static void refusal_event(struct loop_fd *lfd, uint32_t events)
{
	struct refusal *r = container_of(lfd, struct refusal, lfd);
	struct vfio_user_header h;
	uint8_t data[512];
	ssize_t n;

	(void)events;
	n = recv(r->fd, data, sizeof(data), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r->told || n < (ssize_t)sizeof(h)) {
		refusal_end(r);
		return;
	}
	memcpy(&h, data, sizeof(h));
	h.size = sizeof(h);
	h.flags = VFIO_USER_TYPE_REPLY | VFIO_USER_FLAG_ERROR;
	h.error = (uint32_t)r->error;
	(void)!send(r->fd, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL);
	r->told = true;
}

static void server_refuse(struct vfio_user_server *srv, int fd, int error)
{
	counter_inc(srv->counters, refused);
	log_info("%s: VMM refused: %s", srv->name, strerror(error));
	for (size_t i = 0; i < SERVER_REFUSALS; i++) {
		struct refusal *r = &srv->refusals[i];

		if (r->fd >= 0)
			continue;
		if (loop_fd_add(srv->loop, &r->lfd, fd, EPOLLIN, refusal_event))
			break;
		r->srv = srv;
		r->fd = fd;
		r->error = error;
		r->told = false;
		loop_timer_set(srv->loop, &r->timer, VFIO_USER_REFUSAL_MS, refusal_timeout);
		return;
	}
	close(fd);
}

static void server_attach(struct vfio_user_server *srv, int fd)
{
	int err;

	err = vfio_device_open(srv->vdev);
	if (err) {
		server_refuse(srv, fd, -err);
		return;
	}
	err = connection_new(srv, fd, &srv->conn);
	if (err) {
		log_err("%s: VMM refused: %s", srv->name, strerror(-err));
		close(fd);
		srv->drain.done = drain_done;
		srv->state = VFIO_USER_DRAINING;
		if (vfio_device_close(srv->vdev, &srv->drain) == -EINPROGRESS)
			listen_stop(srv);
		else
			server_drained(srv);
		return;
	}
	server_changed(srv, VFIO_USER_CONNECTED);
	counter_inc(srv->counters, connections);
	log_info("%s: VMM attached (pid %d, uid %u)", srv->name, (int)srv->conn->pid,
		 (unsigned int)srv->conn->uid);
}

/*
 * A VMM that is gone but for what it sent last must not stand in the way of the next one, which
 * people start as soon as the first has exited.
 */
static void drop_if_gone(struct vfio_user_server *srv)
{
	struct pollfd p = { .fd = srv->conn->fd };

	if (poll(&p, 1, 0) > 0 && p.revents & POLLHUP)
		server_drop(srv, LOG_INFO, "closed by the VMM");
}

static void listen_event(struct loop_fd *lfd, uint32_t events)
{
	struct vfio_user_server *srv = container_of(lfd, struct vfio_user_server, listen);
	int fd;

	(void)events;
	if (srv->state == VFIO_USER_CONNECTED)
		drop_if_gone(srv);
	if (srv->state == VFIO_USER_DRAINING)
		return;
	/* It could pass more of them, until there are no descriptors for anybody. */
	if (srv->slow_fds && closer_full()) {
		listen_stop(srv);
		loop_timer_set(srv->loop, &srv->listen_timer, LISTEN_RETRY_MS, listen_retry);
		return;
	}
	fd = accept4(srv->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		if (srv->state == VFIO_USER_LISTENING)
			server_attach(srv, fd);
		else
			server_refuse(srv, fd, EBUSY);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	log_err("%s: accept: %s", srv->name, strerror(errno));
	listen_stop(srv);
	loop_timer_set(srv->loop, &srv->listen_timer, LISTEN_RETRY_MS, listen_retry);
}

int vfio_user_server_new(struct loop *loop, const char *name, int listen_fd,
			 struct vfio_device *vdev, struct counters *counters,
			 struct vfio_user_server **out)
{
	struct vfio_user_server *srv = calloc(1, sizeof(*srv));
	int err;

	if (!srv)
		return -ENOMEM;
	srv->loop = loop;
	srv->vdev = vdev;
	srv->counters = counters;
	srv->listen_fd = listen_fd;
	srv->state = VFIO_USER_LISTENING;
	for (size_t i = 0; i < SERVER_REFUSALS; i++)
		srv->refusals[i].fd = -1;
	srv->name = strdup(name);
	err = srv->name ? loop_fd_add(loop, &srv->listen, listen_fd, EPOLLIN, listen_event)
			: -ENOMEM;
	if (err) {
		free(srv->name);
		free(srv);
		return err;
	}
	*out = srv;
	return 0;
}

void vfio_user_server_watch(struct vfio_user_server *srv, void (*changed)(void *ctx), void *ctx)
{
	srv->changed = changed;
	srv->changed_ctx = ctx;
}

void vfio_user_server_watch_room(struct vfio_user_server *srv, void (*room)(void *ctx), void *ctx)
{
	srv->room = room;
	srv->room_ctx = ctx;
}

int vfio_user_server_message(struct vfio_user_server *srv, uint64_t address, uint32_t data)
{
	if (srv->state != VFIO_USER_CONNECTED || !srv->conn->negotiated)
		return -ENOTCONN;
	return connection_message_out(srv->conn, address, data);
}

void vfio_user_server_free(struct vfio_user_server *srv)
{
	if (!srv)
		return;
	listen_stop(srv);
	for (size_t i = 0; i < SERVER_REFUSALS; i++)
		if (srv->refusals[i].fd >= 0)
			refusal_end(&srv->refusals[i]);
	if (srv->conn) {
		connection_close(srv->conn);
		connection_free(srv->conn);
	}
	free(srv->name);
	free(srv);
}

int vfio_user_server_disconnect(struct vfio_user_server *srv, const char *reason,
				struct vfio_wait *wait)
{
	server_drop(srv, LOG_NOTICE, reason);
	if (srv->state == VFIO_USER_LISTENING)
		return 0;
	srv->drained = wait;
	return -EINPROGRESS;
}

enum vfio_user_state vfio_user_server_state(const struct vfio_user_server *srv)
{
	return srv->state;
}

pid_t vfio_user_server_peer(const struct vfio_user_server *srv)
{
	return srv->state == VFIO_USER_CONNECTED ? srv->conn->pid : 0;
}
