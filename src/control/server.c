/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/buffer.h"

#define READ_SIZE       65536
#define STEP_SIZE       4096 /* bytes that are received in one step ... */
#define PIECE_SIZE      64   /* ... and taken in before the time is looked at: ... */
#define PIECE_UNITS     16   /* ... for loop_turn_over(), if they are all brackets */
#define ACCEPT_RETRY_MS 100
#define GROUPS_MAX      1024

struct server {
	struct control *ctl;
	struct loop_fd listener;
	struct loop_timer retry;
	int listen_fd;
	gid_t group;
	unsigned nclients;
	unsigned nsubscribers;
	struct list clients;
	struct list busy;      /* clients with more to do than a step */
	struct loop_work turn; /* one of them */
	bool accepted;         /* this turn was a new client's ... */
	bool owed;             /* ... and the next is a busy one's */
	bool crowded;          /* some answers wait: see client_crowded() */
};

struct client {
	struct list node;
	struct server *srv;
	uid_t uid;
	struct jsonrpc rpc;
	struct loop_fd lfd;
	struct loop_work work; /* everything happens in client_run() */
	struct list busy;      /* in the server's list */
	struct loop_timer stalled;
	struct loop_timer partial; /* while a message is not complete */
	struct buffer in;          /* received, not yet fed */
	struct buffer out;         /* not yet sent */
	bool subscribed;           /* to events */
	bool eof;                  /* it will say no more, but may still read */
	bool refused;              /* it is told why, and that is all */
	bool broken;
};

/* What all clients together have not read. */
static size_t server_pending(struct server *srv)
{
	size_t sum = 0;
	struct client *c;

	list_for_each (c, &srv->clients, node)
		sum += buffer_len(&c->out);
	return sum;
}

static void server_uncrowd(struct server *srv);

static void client_free(struct client *c)
{
	struct server *srv = c->srv;
	int fd = c->lfd.fd;

	loop_work_cancel(&c->work);
	list_del(&c->busy);
	loop_timer_cancel(&c->stalled);
	loop_timer_cancel(&c->partial);
	loop_fd_del(c->srv->ctl->loop, &c->lfd);
	fd_close(&fd);
	jsonrpc_close(&c->rpc);
	buffer_free(&c->in);
	buffer_free(&c->out);
	list_del(&c->node);
	c->srv->nclients--;
	if (c->subscribed)
		c->srv->nsubscribers--;
	free(c);
	server_uncrowd(srv);
}

static void client_stalled(struct loop_timer *timer)
{
	struct client *c = container_of(timer, struct client, stalled);

	log_warn("client %s does not read its answers: closing its connection", c->rpc.who);
	client_free(c);
}

static void client_flush(struct client *c)
{
	while (buffer_len(&c->out)) {
		ssize_t n = send(c->lfd.fd, buffer_data(&c->out), buffer_len(&c->out),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			c->broken = true;
		if (n < 0)
			break;
		buffer_take(&c->out, (size_t)n);
		loop_timer_cancel(&c->stalled);
	}
	server_uncrowd(c->srv);
	if (buffer_len(&c->out) && !loop_timer_armed(&c->stalled))
		loop_timer_set(c->srv->ctl->loop, &c->stalled, SERVER_STALL_MS, client_stalled);
}

/*
 * Answers that can wait do while all together are far behind. Who has read all that it was sent
 * does not wait for those who read nothing, as long as there is room for one more answer.
 */
static bool client_crowded(struct client *c)
{
	size_t limit =
		buffer_len(&c->out) ? SERVER_PENDING_MANY : SERVER_PENDING_ALL - JSONRPC_ANSWER_MAX;

	if (list_empty(&c->rpc.later) || server_pending(c->srv) <= limit)
		return false;
	c->srv->crowded = true;
	return true;
}

static bool client_full(struct jsonrpc *rpc)
{
	struct client *c = container_of(rpc, struct client, rpc);

	return c->broken || buffer_len(&c->out) > SERVER_PENDING_HIGH || client_crowded(c);
}

static void client_give_up(struct client *c, int err, const char *text)
{
	struct error e;

	error_set(&e, err, "%s", text);
	log_warn("client %s: %s", c->rpc.who, e.text);
	jsonrpc_give_up(&c->rpc, &e);
}

static void client_partial(struct loop_timer *timer);

static size_t client_memory(const struct client *c)
{
	return jsonrpc_memory(&c->rpc) + c->rpc.held;
}

/* Messages and batches that are not complete may take some memory, the former for some time. */
static void client_bound(struct client *c)
{
	struct client *other, *largest = c;
	size_t sum = 0;

	if (!jsonrpc_memory(&c->rpc))
		loop_timer_cancel(&c->partial);
	else if (!loop_timer_armed(&c->partial))
		loop_timer_set(c->srv->ctl->loop, &c->partial, SERVER_PARTIAL_MS, client_partial);
	if (client_memory(c) < SERVER_PARTIAL_ALL / SERVER_CLIENTS_MAX)
		return;
	list_for_each (other, &c->srv->clients, node) {
		sum += client_memory(other);
		if (client_memory(other) > client_memory(largest))
			largest = other;
	}
	if (sum <= SERVER_PARTIAL_ALL)
		return;
	client_give_up(largest, EAGAIN,
		       "too much is being asked at once, by all; ask again, or for less");
}

static void client_step(struct client *c)
{
	struct loop_turn turn;
	size_t len, used;

	if (c->refused || (!buffer_len(&c->in) && !jsonrpc_pending(&c->rpc)))
		return;
	/* As much of one message as there is time for: some bytes are many values. */
	loop_turn_begin(&turn);
	do {
		len = buffer_len(&c->in) < PIECE_SIZE ? buffer_len(&c->in) : PIECE_SIZE;
		used = jsonrpc_step(&c->rpc, buffer_data(&c->in), len);
		buffer_take(&c->in, used);
	} while (used == PIECE_SIZE && buffer_len(&c->in) && jsonrpc_partial(&c->rpc) &&
		 !loop_turn_over(&turn, PIECE_UNITS));
	client_bound(c);
}

/* Another step would do something. */
static bool client_has_work(struct client *c)
{
	return !c->refused && !jsonrpc_waits(&c->rpc) &&
	       (buffer_len(&c->in) || jsonrpc_pending(&c->rpc));
}

static bool client_wants_input(struct client *c)
{
	return !c->eof && !c->refused && !c->rpc.ended && buffer_len(&c->in) == 0 &&
	       !jsonrpc_pending(&c->rpc);
}

/* A client is done when all it asked for is answered and it can or may ask for no more. */
static bool client_done(struct client *c)
{
	if (c->broken)
		return true;
	if (buffer_len(&c->out))
		return false;
	if (c->refused || c->rpc.ended)
		return true;
	return c->eof && !c->subscribed && !buffer_len(&c->in) && !jsonrpc_pending(&c->rpc) &&
	       !c->rpc.ncalls;
}

static void server_turn(struct loop_work *work);

static void client_wait_turn(struct client *c)
{
	list_del(&c->busy);
	list_add_tail(&c->srv->busy, &c->busy);
	loop_work_queue(c->srv->ctl->loop, &c->srv->turn, server_turn);
}

static void server_uncrowd(struct server *srv)
{
	struct client *c;

	if (!srv->crowded || server_pending(srv) > SERVER_PENDING_MANY)
		return;
	srv->crowded = false;
	list_for_each (c, &srv->clients, node)
		if (list_empty(&c->busy) && client_has_work(c))
			client_wait_turn(c);
}

/* One step. May free the client. */
static void client_go_on(struct client *c)
{
	client_flush(c);
	if (!c->broken)
		client_step(c);
	if (!c->broken)
		client_flush(c);
	if (client_done(c)) {
		client_free(c);
		return;
	}
	if (client_has_work(c))
		client_wait_turn(c);
	loop_fd_mod(c->srv->ctl->loop, &c->lfd,
		    (client_wants_input(c) ? EPOLLIN : 0u) | (buffer_len(&c->out) ? EPOLLOUT : 0u));
}

static void client_run(struct loop_work *work)
{
	struct client *c = container_of(work, struct client, work);

	/* What has more to do than one step does it in its turn. */
	if (list_empty(&c->busy)) {
		client_go_on(c);
		return;
	}
	client_flush(c);
	if (c->broken)
		client_free(c);
}

static void client_kick(struct client *c)
{
	loop_work_queue(c->srv->ctl->loop, &c->work, client_run);
}

static void client_partial(struct loop_timer *timer)
{
	struct client *c = container_of(timer, struct client, partial);

	/* What it sent may wait for us: then it has more time. */
	if (client_wants_input(c) && list_empty(&c->busy))
		client_give_up(c, ETIMEDOUT,
			       "the message did not end in time; send all of it at once");
	else
		client_bound(c);
}

static void client_progress(struct jsonrpc *rpc)
{
	client_kick(container_of(rpc, struct client, rpc));
}

/* A client may be behind; who is by much has to go before all together fill the memory. */
static bool client_too_far(struct client *c, size_t len)
{
	size_t behind = buffer_len(&c->out) + len;

	return behind > SERVER_PENDING_MAX ||
	       (behind > SERVER_PENDING_HIGH && server_pending(c->srv) + len > SERVER_PENDING_ALL);
}

static void client_send(struct jsonrpc *rpc, const char *text, size_t len)
{
	struct client *c = container_of(rpc, struct client, rpc);

	if (client_too_far(c, len) || buffer_append(&c->out, text, len)) {
		log_warn("client %s: too many answers at once: closing its connection", rpc->who);
		c->broken = true;
	}
	client_kick(c);
}

static void client_receive(struct client *c, size_t max)
{
	char data[READ_SIZE];
	ssize_t n = recv(c->lfd.fd, data, max, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || (n > 0 && buffer_append(&c->in, data, (size_t)n)))
		c->broken = true;
	if (n == 0)
		c->eof = true;
}

static void client_event(struct loop_fd *lfd, uint32_t events)
{
	struct client *c = container_of(lfd, struct client, lfd);

	/* Both directions are closed: nobody is there for an answer. */
	if (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN))
		c->broken = true;
	else if ((events & EPOLLIN) && client_wants_input(c) && jsonrpc_partial(&c->rpc)) {
		/* It sends its messages in pieces: as many as it likes, but in its turn. */
		loop_fd_mod(c->srv->ctl->loop, lfd, lfd->events & ~(uint32_t)EPOLLIN);
		client_wait_turn(c);
	} else if ((events & EPOLLIN) && client_wants_input(c)) {
		client_receive(c, READ_SIZE);
	}
	client_kick(c);
}

/*
 * A client that asks for one thing at a time is served at once. What others want beyond that, long
 * messages, many of them, or pieces, shares one step of each turn of the loop, whoever and however
 * many they are: so nobody waits for more than that.
 */
static void server_turn(struct loop_work *work)
{
	struct server *srv = container_of(work, struct server, turn);
	struct client *c;

	if (list_empty(&srv->busy)) {
		srv->owed = false;
		return;
	}
	srv->owed = srv->accepted;
	srv->accepted = false;
	if (srv->owed) {
		loop_work_queue(srv->ctl->loop, &srv->turn, server_turn);
		return;
	}
	c = list_first(&srv->busy, struct client, busy);
	list_del(&c->busy);
	if (client_wants_input(c))
		client_receive(c, STEP_SIZE);
	client_go_on(c);
	if (!list_empty(&srv->busy))
		loop_work_queue(srv->ctl->loop, &srv->turn, server_turn);
}

static const struct jsonrpc_ops client_ops = {
	.call = methods_call,
	.send = client_send,
	.full = client_full,
	.progress = client_progress,
};

/* Whether the peer is in the group, by its credentials when it connected. */
static bool peer_in_group(int fd, gid_t gid, gid_t group)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);

	if (group == (gid_t)-1)
		return false;
	if (gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (size_t i = 0; i < len / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static bool uid_is_ours(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static bool peer_allowed(struct server *srv, int fd, const struct ucred *peer)
{
	return uid_is_ours(peer->uid) || peer_in_group(fd, peer->gid, srv->group);
}

/* Whether there is room for a client that is counted already. */
static bool server_has_room(struct server *srv, uid_t uid)
{
	unsigned others = 0, same = 0;
	struct client *c;

	list_for_each (c, &srv->clients, node) {
		others += !uid_is_ours(c->uid);
		same += c->uid == uid;
	}
	return srv->nclients <= SERVER_CLIENTS_MAX &&
	       (uid_is_ours(uid) || (others <= SERVER_OTHERS_MAX && same <= SERVER_USER_MAX));
}

static void client_refuse(struct client *c, int err, const char *text)
{
	struct error e;

	error_set(&e, err, "%s", text);
	log_warn("client %s refused: %s", c->rpc.who, e.text);
	c->refused = true;
	jsonrpc_refuse(&c->rpc, &e);
}

static void client_new(struct server *srv, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	struct ucred peer = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof(peer);

	if (!c || jsonrpc_init(&c->rpc, &client_ops, srv->ctl)) {
		free(c);
		close(fd);
		return;
	}
	c->srv = srv;
	list_init(&c->busy);
	list_add_tail(&srv->clients, &c->node);
	srv->nclients++;
	if (loop_fd_add(srv->ctl->loop, &c->lfd, fd, EPOLLIN, client_event)) {
		close(fd);
		client_free(c);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	c->uid = peer.uid;
	snprintf(c->rpc.who, sizeof(c->rpc.who), "uid %u, pid %d", peer.uid, (int)peer.pid);
	if (!peer_allowed(srv, fd, &peer))
		client_refuse(c, EACCES,
			      "you may not control ridged; be its user, root, or in its --group");
	else if (!server_has_room(srv, peer.uid))
		client_refuse(c, EAGAIN, "too many connections; close one and try again");
}

static void listener_event(struct loop_fd *lfd, uint32_t events);

static void listener_retry(struct loop_timer *timer)
{
	struct server *srv = container_of(timer, struct server, retry);

	server_start(srv);
}

static void listener_event(struct loop_fd *lfd, uint32_t events)
{
	struct server *srv = container_of(lfd, struct server, listener);
	int fd;

	(void)events;
	/* One at a time, and a turn of it as others' steps are. */
	if (srv->owed && !list_empty(&srv->busy))
		return;
	srv->accepted = true;
	fd = accept4(srv->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		client_new(srv, fd);
	} else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		/* Without descriptors it stays readable: look again later. */
		log_err("control socket: %s", strerror(errno));
		loop_fd_del(srv->ctl->loop, &srv->listener);
		loop_timer_set(srv->ctl->loop, &srv->retry, ACCEPT_RETRY_MS, listener_retry);
	}
}

void server_subscribe(struct jsonrpc_call *call)
{
	struct client *c = call->rpc ? container_of(call->rpc, struct client, rpc) : NULL;

	jsonrpc_reply(call, json_object_new_object());
	if (!c || c->subscribed)
		return;
	c->subscribed = true;
	c->srv->nsubscribers++;
}

bool server_has_subscribers(const struct server *srv)
{
	return srv && srv->nsubscribers;
}

/* It hears no more, and is told so. */
static void subscriber_drop(struct client *c)
{
	struct json_object *params = json_object_new_object();

	log_warn("client %s does not read its events: dropping it", c->rpc.who);
	json_object_object_add(params, "event", json_object_new_string("dropped"));
	json_object_object_add(
		params, "text",
		json_object_new_string("too many events were not read; connect again"));
	jsonrpc_notify(&c->rpc, "event", params);
	json_object_put(params);
	c->subscribed = false;
	c->srv->nsubscribers--;
	c->rpc.ended = true;
}

void server_event(struct server *srv, struct json_object *params)
{
	struct client *c;

	if (!server_has_subscribers(srv))
		return;
	list_for_each (c, &srv->clients, node) {
		if (!c->subscribed || c->broken)
			continue;
		if (buffer_len(&c->out) > SERVER_EVENTS_MAX)
			subscriber_drop(c);
		else
			jsonrpc_notify(&c->rpc, "event", params);
	}
}

int server_new(struct control *ctl, int listen_fd, gid_t group, struct server **out)
{
	struct server *srv = calloc(1, sizeof(*srv));

	if (!srv)
		return -ENOMEM;
	srv->ctl = ctl;
	srv->listen_fd = listen_fd;
	srv->listener.fd = -1;
	srv->group = group;
	list_init(&srv->clients);
	list_init(&srv->busy);
	*out = srv;
	return 0;
}

int server_start(struct server *srv)
{
	return loop_fd_add(srv->ctl->loop, &srv->listener, srv->listen_fd, EPOLLIN, listener_event);
}

void server_free(struct server *srv)
{
	struct client *c, *tmp;

	if (!srv)
		return;
	list_for_each_safe (c, tmp, &srv->clients, node) {
		client_flush(c);
		client_free(c);
	}
	loop_timer_cancel(&srv->retry);
	loop_work_cancel(&srv->turn);
	loop_fd_del(srv->ctl->loop, &srv->listener);
	fd_close(&srv->listen_fd);
	free(srv);
}
