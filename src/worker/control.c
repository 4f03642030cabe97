/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"
#include "base/log.h"
#include "worker/control.h"
#include "worker/export.h"
#include "worker/worker.h"

#define ACCEPT_AGAIN_MS 100
#define RECEIVE_BATCH   16 /* messages of a batch in an iteration of the loop */

struct request {
	struct list node;          /* in its connection's list */
	struct control_conn *conn; /* NULL: ridged is gone, nobody wants the reply */
	struct worker *worker;
	struct ipc_header header;
	int fds[IPC_FDS_MAX];
	size_t nfds;
	size_t next_fd;
	uint64_t listed; /* of a list: the number of the function that was sent last */
	uint8_t body[];  /* the length that its type has */
};

/* A reply that the socket did not take yet. */
struct outgoing {
	struct list node;
	int fds[3];
	size_t nfds;
	size_t len;
	uint8_t message[];
};

static void conn_ready(struct loop_fd *lfd, uint32_t events);
static void lists_go_on(struct control_conn *conn);

static void update_events(struct control_conn *conn)
{
	uint32_t events = conn->control->init ? 0 : EPOLLIN;

	if (!list_empty(&conn->outgoing))
		events |= EPOLLOUT;
	loop_fd_mod(conn->control->worker->loop, &conn->ready, events);
}

static void outgoing_free(struct outgoing *out)
{
	fd_close_all(out->fds, out->nfds);
	list_del(&out->node);
	free(out);
}

static void request_free(struct request *req)
{
	fd_close_all(req->fds, req->nfds);
	list_del(&req->node);
	free(req);
}

static void conn_free(struct control_conn *conn)
{
	struct request *req, *tmp;

	list_for_each_safe (req, tmp, &conn->requests, node) {
		if (req->header.type == IPC_FUNCTION_LIST) {
			request_free(req);
			continue;
		}
		list_del(&req->node);
		req->conn = NULL;
	}
	while (!list_empty(&conn->outgoing))
		outgoing_free(list_first(&conn->outgoing, struct outgoing, node));
	loop_fd_del(conn->control->worker->loop, &conn->ready);
	fd_close(&conn->fd);
	list_del(&conn->node);
	free(conn);
}

/* A reply would be missing: ridged must not wait for it. Its reader ends the connection. */
static void give_up(struct control_conn *conn, const char *what, int err)
{
	log_err("connection to ridged: %s: %s", what, strerror(-err));
	conn->ended = true;
	shutdown(conn->fd, SHUT_RDWR);
}

/* Sends, or keeps for later, in order. */
void control_send(struct control_conn *conn, const void *message, size_t len, const int *fds,
		  size_t nfds)
{
	struct outgoing *out;

	if (conn->ended)
		return;
	if (list_empty(&conn->outgoing) && (!conn->corked || nfds)) {
		ssize_t n = fd_send(conn->fd, message, len, fds, nfds, MSG_DONTWAIT);

		if (n >= 0)
			return;
		if (n != -EAGAIN) {
			give_up(conn, "can't send a reply", (int)n);
			return;
		}
	}
	out = calloc(1, sizeof(*out) + len);
	if (!out) {
		give_up(conn, "can't keep a reply", -ENOMEM);
		return;
	}
	for (size_t i = 0; i < nfds; i++) {
		out->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (out->fds[i] < 0) {
			give_up(conn, "can't keep a reply", -errno);
			fd_close_all(out->fds, out->nfds);
			free(out);
			return;
		}
		out->nfds++;
	}
	out->len = len;
	memcpy(out->message, message, len);
	list_add_tail(&conn->outgoing, &out->node);
	if (!conn->corked)
		update_events(conn);
}

/* Goes on with what had to wait. */
static void conn_flush(struct control_conn *conn)
{
	while (!list_empty(&conn->outgoing) && !conn->ended) {
		struct outgoing *out = list_first(&conn->outgoing, struct outgoing, node);
		ssize_t n = fd_send(conn->fd, out->message, out->len, out->fds, out->nfds,
				    MSG_DONTWAIT);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			give_up(conn, "can't send a reply", (int)n);
		outgoing_free(out);
	}
	lists_go_on(conn);
	if (conn->behind && list_empty(&conn->outgoing))
		control_catch_up(conn);
	update_events(conn);
}

static void reply(struct request *req, int error, uint32_t flags, const void *body, size_t len,
		  const int *fds, size_t nfds)
{
	struct {
		struct ipc_header header;
		uint8_t body[IPC_MESSAGE_MAX - sizeof(struct ipc_header)];
	} message;

	if (!req->conn)
		return;
	message.header = req->header;
	message.header.version = IPC_VERSION;
	message.header.flags = IPC_REPLY | flags;
	message.header.error = error;
	message.header.length = (uint32_t)(sizeof(message.header) + len);
	if (len)
		memcpy(message.body, body, len);
	control_send(req->conn, &message, message.header.length, fds, nfds);
}

void request_done(struct request *req, const void *body, size_t len)
{
	reply(req, 0, 0, body, len, NULL, 0);
	request_free(req);
}

void request_failed(struct request *req, int error, const char *fmt, ...)
{
	struct ipc_failure failure = { 0 };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(failure.text, sizeof(failure.text), fmt, ap);
	va_end(ap);
	reply(req, error, 0, &failure, sizeof(failure), NULL, 0);
	request_free(req);
}

const void *request_body(const struct request *req)
{
	return req->body;
}

int request_take_fd(struct request *req)
{
	return req->next_fd < req->nfds ? fd_take(&req->fds[req->next_fd++]) : -1;
}

/* --- the requests --- */

static void drain_work(struct loop_work *work);

static void pf_ready(struct worker *w, int result)
{
	struct control *control = w->control;
	struct request *req = control->init;
	struct control_conn *conn;
	struct ipc_pf_info info;

	control->init = NULL;
	list_for_each (conn, &control->conns, node)
		update_events(conn);
	if (result) {
		request_failed(req, result, "pf add %s: its admin queue does not work (%s)",
			       w->name, strerror(-result));
		return;
	}
	worker_pf_info(w, &info);
	log_info("%s PF with %u slots is up", info.type, info.total_vfs);
	request_done(req, &info, sizeof(info));
	/* Not at once: this is the owner driver's callback, and a request may end that. */
	loop_work_queue(w->loop, &control->drain_work, drain_work);
}

static void handle_pf_init(struct worker *w, struct request *req)
{
	const struct ipc_pf_init *init = request_body(req);
	struct control_conn *conn;
	int backend, uplink;
	int err;

	if (w->root) {
		request_failed(req, -EEXIST, "pf add %s: this process has a PF already",
			       init->name);
		return;
	}
	backend = init->fds & IPC_FD_BACKEND ? request_take_fd(req) : -1;
	uplink = init->fds & IPC_FD_UPLINK ? request_take_fd(req) : -1;
	err = worker_pf_init(w, init, backend, uplink, pf_ready);
	if (err) {
		request_failed(
			req, err, "pf add %s: %s", init->name,
			err == -EPERM || err == -ENOSYS
				? "io_uring is not available; see sysctl kernel.io_uring_disabled"
				: strerror(-err));
		return;
	}
	w->control->init = req;
	list_for_each (conn, &w->control->conns, node)
		update_events(conn);
}

static void handle_pf_info(struct worker *w, struct request *req)
{
	struct ipc_pf_info info;

	worker_pf_info(w, &info);
	request_done(req, &info, sizeof(info));
}

static struct function *find(struct worker *w, struct request *req)
{
	/* All bodies that name a function begin with the name. */
	const struct ipc_function_name *n = request_body(req);
	struct function *fn = worker_find(w, n->name);

	if (!fn)
		request_failed(req, -ENOENT, "PF %s has no function %s", w->name, n->name);
	return fn;
}

static void handle_destroy(struct worker *w, struct request *req)
{
	struct function *fn = find(w, req);

	if (fn)
		function_destroy(fn, req);
}

static void handle_bind(struct worker *w, struct request *req)
{
	struct function *fn = find(w, req);

	if (fn)
		function_bind(fn, req);
}

static void handle_set(struct worker *w, struct request *req)
{
	struct function *fn = find(w, req);

	if (fn)
		function_set(fn, req);
}

static void handle_info(struct worker *w, struct request *req)
{
	struct function *fn = find(w, req);
	struct ipc_function_info info;

	if (!fn)
		return;
	function_info(fn, &info);
	request_done(req, &info, IPC_SPEC_BODY(&info));
}

/*
 * Lists as many functions as the socket takes, and one: what is kept for later has descriptors of
 * its own. False if there are more, for which there is room when that one was sent.
 */
static bool list_go_on(struct request *req)
{
	const struct ipc_function_list *list = request_body(req);
	struct worker *w = req->worker;
	struct control_conn *conn = req->conn;
	bool starts = list->flags & IPC_LIST_FDS;

	for (struct list *n = w->functions.next; n != &w->functions; n = n->next) {
		struct function *fn = function_of_node(n);
		struct ipc_function_info info;
		int fds[3];

		if (function_number(fn) <= req->listed)
			continue;
		if (!list_empty(&conn->outgoing))
			return false;
		function_info(fn, &info);
		reply(req, 0, IPC_MORE, &info, IPC_SPEC_BODY(&info), fds,
		      starts ? function_fds(fn, fds) : 0);
		req->listed = function_number(fn);
	}
	request_done(req, NULL, 0);
	if (starts) /* a ridged that has not heard of them */
		control_wants(conn);
	return true;
}

/* Of the requests under way, those for a list wait for nothing but room in the socket. */
static void lists_go_on(struct control_conn *conn)
{
	struct request *req, *tmp;

	list_for_each_safe (req, tmp, &conn->requests, node)
		if (req->header.type == IPC_FUNCTION_LIST && !list_go_on(req))
			return;
}

static void handle_list(struct worker *w, struct request *req)
{
	(void)w;
	list_go_on(req);
}

static void handle_shutdown(struct worker *w, struct request *req)
{
	log_info("ends as asked");
	request_done(req, NULL, 0);
	worker_stop(w);
}

#ifdef RIDGE_FAULTS
static void handle_fault(struct worker *w, struct request *req)
{
	const struct ipc_fault *fault = request_body(req);
	struct function *fn;
	int err = 0;

	if (fault->kind == IPC_FAULT_ADMIN_STALL) {
		pf_fault_stall(w->pf, fault->value);
	} else if (fault->kind == IPC_FAULT_ESCAPE) {
		err = escape_try(w, fault->value);
	} else if (fault->kind == IPC_FAULT_BACKEND_HANG && !strcmp(fault->name, w->name)) {
		err = pf_fault_hang(w->pf, fault->value);
	} else {
		fn = find(w, req);
		if (!fn)
			return;
		err = function_fault(fn, fault->kind, fault->value);
	}
	if (err)
		request_failed(req, err, "fault %u: not possible for %s (%s)", fault->kind,
			       fault->name, strerror(-err));
	else
		request_done(req, NULL, 0);
}
#endif

static void handle_commit(struct worker *w, struct request *req)
{
	const struct ipc_batch *batch = request_body(req);

	worker_commit(w, batch->batch);
	request_done(req, NULL, 0);
}

static const struct {
	void (*fn)(struct worker *w, struct request *req);
	size_t len; /* of the body */
	bool before_init;
	bool spec; /* at the end, of which only the text is sent */
} handlers[] = {
	[IPC_PF_INIT] = { handle_pf_init, sizeof(struct ipc_pf_init), true },
	[IPC_PF_INFO] = { handle_pf_info, 0, true },
	[IPC_FUNCTION_CREATE] = { function_create, sizeof(struct ipc_function_create), false,
				  true },
	[IPC_FUNCTION_DESTROY] = { handle_destroy, sizeof(struct ipc_function_destroy), false },
	[IPC_FUNCTION_BIND] = { handle_bind, sizeof(struct ipc_function_bind), false, true },
	[IPC_FUNCTION_INFO] = { handle_info, sizeof(struct ipc_function_name), false },
	[IPC_FUNCTION_LIST] = { handle_list, sizeof(struct ipc_function_list), false },
	[IPC_FUNCTION_SET] = { handle_set, sizeof(struct ipc_function_set), false, true },
	[IPC_BATCH_COMMIT] = { handle_commit, sizeof(struct ipc_batch), false },
	[IPC_VF_BACKEND] = { export_vf_backend, sizeof(struct ipc_vf_backend), false },
	[IPC_PF_EXPORT] = { export_start, 0, false },
	[IPC_PF_UNEXPORT] = { export_stop, sizeof(struct ipc_pf_unexport), false },
	[IPC_SHUTDOWN] = { handle_shutdown, 0, true },
#ifdef RIDGE_FAULTS
	[IPC_FAULT] = { handle_fault, sizeof(struct ipc_fault), false },
#endif
};

/* Every text in a body is an array of one of these lengths, ended by a NUL if it is well-formed. */
static void terminate(struct request *req, size_t len)
{
	if (handlers[req->header.type].spec)
		req->body[len - 1] = 0;
	switch (req->header.type) {
	case IPC_PF_INIT: {
		struct ipc_pf_init *b = (void *)req->body;

		b->name[sizeof(b->name) - 1] = b->type[sizeof(b->type) - 1] = 0;
		b->spec[sizeof(b->spec) - 1] = 0;
		break;
	}
	case IPC_FUNCTION_CREATE: {
		struct ipc_function_create *b = (void *)req->body;

		b->name[sizeof(b->name) - 1] = b->driver[sizeof(b->driver) - 1] = 0;
		b->serial[sizeof(b->serial) - 1] = 0;
		break;
	}
	case IPC_FUNCTION_BIND: {
		struct ipc_function_bind *b = (void *)req->body;

		b->name[sizeof(b->name) - 1] = b->driver[sizeof(b->driver) - 1] = 0;
		break;
	}
	case IPC_FUNCTION_SET: {
		struct ipc_function_set *b = (void *)req->body;

		b->name[sizeof(b->name) - 1] = 0;
		break;
	}
	default: /* the rest have a name at most, at their beginning */
		if (len >= IPC_NAME_MAX)
			req->body[IPC_NAME_MAX - 1] = 0;
	}
}

static bool length_ok(uint16_t type, size_t len)
{
	size_t most = handlers[type].len;

	return handlers[type].spec ? len <= most && len > most - IPC_SPEC_MAX : len == most;
}

static void dispatch(struct control_conn *conn, const void *message, size_t len, int *fds,
		     size_t nfds)
{
	struct worker *w = conn->control->worker;
	struct ipc_header header;
	size_t body = len - sizeof(header);
	struct request *req;

	memcpy(&header, message, sizeof(header));
	req = calloc(1, sizeof(*req) + body);
	if (!req) {
		fd_close_all(fds, nfds);
		return;
	}
	req->conn = conn;
	req->worker = w;
	req->header = header;
	req->nfds = nfds;
	memcpy(req->fds, fds, nfds * sizeof(*fds));
	memcpy(req->body, (const uint8_t *)message + sizeof(header), body);
	list_add_tail(&conn->requests, &req->node);
	if (header.magic != IPC_MAGIC || header.version != IPC_VERSION || header.length != len)
		request_failed(req, -EPROTO, "it speaks version %d of the protocol, ridged %u",
			       IPC_VERSION, header.version);
	else if (header.type >= ARRAY_LEN(handlers) || !handlers[header.type].fn ||
		 !length_ok(header.type, body))
		request_failed(req, -EOPNOTSUPP, "PF %s knows no request %u of %zu bytes", w->name,
			       header.type, body);
	else if (!w->type && !handlers[header.type].before_init)
		request_failed(req, -ENODEV, "PF %s is not set up", w->name);
	else {
		terminate(req, body);
		handlers[header.type].fn(w, req);
	}
}

/*
 * The functions of a batch are as many messages. Their replies are sent together at the end of a
 * turn: the first wakes ridged, and the others are there when it comes.
 */
static bool of_batch(const uint8_t *message, size_t len)
{
	struct ipc_function_create create;
	struct ipc_header header;

	if (len < sizeof(header) + offsetof(struct ipc_function_create, spec))
		return false;
	memcpy(&header, message, sizeof(header));
	memcpy(&create, message + sizeof(header), offsetof(struct ipc_function_create, spec));
	return header.type == IPC_FUNCTION_CREATE && create.batch;
}

/* Takes one message: 1, 0 if there is none, -1 if the connection was freed. */
static int conn_receive(struct control_conn *conn, bool may_cork)
{
	uint8_t message[IPC_MESSAGE_MAX];
	int fds[IPC_FDS_MAX];
	size_t nfds = IPC_FDS_MAX;
	ssize_t n = fd_recv(conn->fd, message, sizeof(message), fds, &nfds, MSG_DONTWAIT);

	if (n == -EAGAIN)
		return 0;
	if (n < (ssize_t)sizeof(struct ipc_header)) {
		if (n > 0)
			fd_close_all(fds, nfds);
		conn_free(conn); /* ridged is gone; another one will come */
		return -1;
	}
	conn->corked |= may_cork && of_batch(message, (size_t)n);
	dispatch(conn, message, (size_t)n, fds, nfds);
	return 1;
}

/*
 * Not too many: guests' requests wait meanwhile. And one if it is no batch: to look for another
 * would keep ridged waiting on the same CPU.
 */
static void conn_turn(struct control_conn *conn)
{
	int i = 0, more;

	do
		more = conn_receive(conn, true);
	while (more > 0 && conn->corked && ++i < RECEIVE_BATCH);
	if (more < 0 || !conn->corked)
		return;
	conn->corked = false;
	conn_flush(conn);
}

static void conn_ready(struct loop_fd *lfd, uint32_t events)
{
	struct control_conn *conn = container_of(lfd, struct control_conn, ready);

	if (events & EPOLLOUT)
		conn_flush(conn);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	if (conn->control->init && !(events & EPOLLIN)) {
		conn_free(conn); /* gone before the PF was up; others' messages wait */
		return;
	}
	conn_turn(conn);
}

static bool peer_ok(const struct worker *w, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       (cred.uid == 0 || cred.uid == w->uid);
}

/* Everything that was sent, oldest connection first. */
static void drain(struct control *control)
{
	struct control_conn *conn, *tmp;

	list_for_each_safe (conn, tmp, &control->conns, node)
		while (!control->init && conn_receive(conn, false) > 0)
			;
}

static void drain_work(struct loop_work *work)
{
	drain(container_of(work, struct control, drain_work));
}

static void listen_again(struct loop_timer *timer)
{
	struct control *control = container_of(timer, struct control, again);

	loop_fd_mod(control->worker->loop, &control->listen, EPOLLIN);
}

static void on_connect(struct loop_fd *lfd, uint32_t events)
{
	struct control *control = container_of(lfd, struct control, listen);
	struct control_conn *conn;
	fd_auto int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0) {
		/* Out of descriptors, perhaps: not again at once. */
		loop_fd_mod(control->worker->loop, &control->listen, 0);
		loop_timer_set(control->worker->loop, &control->again, ACCEPT_AGAIN_MS,
			       listen_again);
		return;
	}
	if (!peer_ok(control->worker, fd)) {
		log_warn("a connection that is not from root or ridged's user was refused");
		return;
	}
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return;
	list_init(&conn->requests);
	list_init(&conn->outgoing);
	conn->control = control;
	if (loop_fd_add(control->worker->loop, &conn->ready, fd, control->init ? 0 : EPOLLIN,
			conn_ready)) {
		free(conn);
		return;
	}
	conn->fd = fd_take(&fd);
	/* What the last ridged still asked for is done before this one looks at what there is. */
	if (!control->init)
		drain(control);
	list_add_tail(&control->conns, &conn->node);
}

int control_new(struct worker *w, int listen_fd, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	int err;

	if (!control)
		return -ENOMEM;
	list_init(&control->conns);
	control->worker = w;
	control->listen_fd = listen_fd;
	err = loop_fd_add(w->loop, &control->listen, listen_fd, EPOLLIN, on_connect);
	if (err) {
		free(control);
		return err;
	}
	*out = control;
	return 0;
}

void control_free(struct control *control)
{
	while (!list_empty(&control->conns))
		conn_free(list_first(&control->conns, struct control_conn, node));
	loop_timer_cancel(&control->again);
	loop_work_cancel(&control->drain_work);
	loop_fd_del(control->worker->loop, &control->listen);
	fd_close(&control->listen_fd);
	free(control);
}
