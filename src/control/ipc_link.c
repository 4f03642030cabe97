/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/ipc_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/error.h"

#define RECEIVE_BATCH 64 /* messages per wake-up, so that no PF has ridged to itself */
#define SEND_AGAIN_MS 20

void ipc_link_init(struct ipc_link *link, struct loop *loop)
{
	*link = (struct ipc_link){ .loop = loop, .lfd.fd = -1 };
	list_init(&link->requests);
	list_init(&link->unsent);
}

static void request_end(struct ipc_request *request, struct ipc_reply *reply)
{
	loop_timer_cancel(&request->timer);
	list_del(&request->node);
	request->done(request, reply);
	free(request);
}

static void link_disconnect(struct ipc_link *link)
{
	int fd = link->lfd.fd;

	loop_timer_cancel(&link->again);
	loop_fd_del(link->loop, &link->lfd);
	fd_close(&fd);
}

void ipc_link_close(struct ipc_link *link, const char *why)
{
	struct list ended;

	link_disconnect(link);
	/* What done() sends anew, on a new connection, must not end here as well. */
	list_move(&link->requests, &ended);
	while (!list_empty(&link->unsent)) {
		struct list *node = link->unsent.next;

		list_del(node);
		list_add_tail(&ended, node);
	}
	while (!list_empty(&ended)) {
		struct ipc_reply reply = { .event = IPC_LOST, .error = -EPIPE, .text = why };

		request_end(list_first(&ended, struct ipc_request, node), &reply);
	}
}

static void link_flush(struct ipc_link *link);

static void again_timer(struct loop_timer *timer)
{
	link_flush(container_of(timer, struct ipc_link, again));
}

/* The request that is first in unsent was not sent. */
static void send_failed(struct ipc_link *link, int err)
{
	switch (err) {
	case -EAGAIN:
		loop_fd_mod(link->loop, &link->lfd, EPOLLIN | EPOLLOUT);
		break;
	/* The kernel's memory, and what it lets a user who is not root have under way. */
	case -ENOMEM:
	case -ENOBUFS:
	case -ETOOMANYREFS:
		loop_fd_mod(link->loop, &link->lfd, EPOLLIN);
		loop_timer_set(link->loop, &link->again, SEND_AGAIN_MS, again_timer);
		break;
	default:
		/* It shows itself as an event, and that is where it is handled. */
		log_err("a request to a PF process: %s", strerror(-err));
		shutdown(link->lfd.fd, SHUT_RDWR);
	}
}

/* Sends what was not sent yet. */
static void link_flush(struct ipc_link *link)
{
	while (!list_empty(&link->unsent)) {
		struct ipc_request *request = list_first(&link->unsent, struct ipc_request, node);
		ssize_t n;

		n = fd_send(link->lfd.fd, request->message, request->len, request->fds,
			    request->nfds, 0);
		if (n < 0) {
			send_failed(link, (int)n);
			return;
		}
		list_del(&request->node);
		list_add_tail(&link->requests, &request->node);
	}
	loop_fd_mod(link->loop, &link->lfd, EPOLLIN);
}

static void request_timer(struct loop_timer *timer)
{
	struct ipc_request *request = container_of(timer, struct ipc_request, timer);
	struct ipc_link *link = request->link;
	struct ipc_reply reply = { .event = IPC_LATE,
				   .error = -ETIMEDOUT,
				   .text = "the PF process does not answer" };

	request->late = true;
	request->done(request, &reply);
	link->late(link);
}

int ipc_link_send(struct ipc_link *link, enum ipc_type type, const void *body, size_t len,
		  const int *fds, size_t nfds, unsigned deadline_ms,
		  void (*done)(struct ipc_request *, struct ipc_reply *), void *owner)
{
	struct ipc_header header = { .magic = IPC_MAGIC,
				     .version = IPC_VERSION,
				     .type = (uint16_t)type,
				     .seq = ++link->seq,
				     .length = (uint32_t)(sizeof(header) + len) };
	struct ipc_request *request;

	if (link->lfd.fd < 0)
		return -ENOTCONN;
	request = calloc(1, sizeof(*request) + sizeof(header) + len);
	if (!request)
		return -ENOMEM;
	request->link = link;
	request->seq = header.seq;
	request->type = header.type;
	request->done = done;
	request->owner = owner;
	request->len = sizeof(header) + len;
	memcpy(request->message, &header, sizeof(header));
	if (len)
		memcpy(request->message + sizeof(header), body, len);
	if (nfds)
		memcpy(request->fds, fds, nfds * sizeof(*fds));
	request->nfds = nfds;
	loop_timer_set(link->loop, &request->timer, deadline_ms, request_timer);
	list_add_tail(&link->unsent, &request->node);
	if (request->node.prev == &link->unsent)
		link_flush(link);
	return 0;
}

static struct ipc_request *request_find(struct ipc_link *link, const struct ipc_header *header)
{
	struct ipc_request *request;

	list_for_each (request, &link->requests, node)
		if (request->seq == header->seq && request->type == header->type)
			return request;
	return NULL;
}

bool ipc_string_ok(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

const void *ipc_reply_body(const struct ipc_reply *reply, size_t size)
{
	return !reply->error && reply->len == size ? reply->body : NULL;
}

const struct ipc_function_info *ipc_reply_function(const struct ipc_reply *reply)
{
	const struct ipc_function_info *info = reply->body;
	size_t most = sizeof(*info);

	if (reply->error || !info || reply->len > most || reply->len <= most - IPC_SPEC_MAX ||
	    ((const char *)reply->body)[reply->len - 1])
		return NULL;
	return info;
}

/* Returns NULL, or what is wrong with the message. */
static const char *message_take(struct ipc_link *link, const char *data, size_t len, int *fds,
				size_t nfds)
{
	struct ipc_header header;
	struct ipc_failure failure = { 0 };
	struct ipc_reply reply = { .fds = fds, .nfds = nfds, .text = "" };
	struct ipc_request *request;

	if (len < sizeof(header))
		return "a short message";
	memcpy(&header, data, sizeof(header));
	if (header.magic != IPC_MAGIC || header.length != len || header.error > 0)
		return "a message that makes no sense";
	/* One of another version is understood when it refuses; its events are for another. */
	if (header.version != IPC_VERSION && !header.error)
		return header.flags & IPC_REPLY ? "an answer of another version" : NULL;
	if ((header.type == IPC_EVENT || header.type == IPC_PF_EVENT ||
	     header.type == IPC_VF_WANTS) &&
	    !(header.flags & IPC_REPLY))
		return link->event(link, header.type, data + sizeof(header), len - sizeof(header));
	if (!(header.flags & IPC_REPLY))
		return "a message that is no reply";
	request = request_find(link, &header);
	if (!request)
		return "a reply to no request";
	link->heard(link);
	reply.error = header.error;
	if (header.error) {
		if (len == sizeof(header) + sizeof(failure))
			memcpy(&failure, data + sizeof(header), sizeof(failure));
		failure.text[sizeof(failure.text) - 1] = '\0';
		error_clean_text(failure.text);
		reply.text = failure.text;
	} else {
		reply.body = data + sizeof(header);
		reply.len = len - sizeof(header);
	}
	if (!header.error && (header.flags & IPC_MORE)) {
		reply.event = IPC_PART;
		request->done(request, &reply);
	} else {
		reply.event = IPC_DONE;
		request_end(request, &reply);
	}
	return NULL;
}

static ssize_t recv_error(ssize_t n)
{
	return n < 0 ? -errno : n;
}

/* Returns false when there is no more to read. */
static bool link_receive(struct ipc_link *link)
{
	_Alignas(8) char data[IPC_MESSAGE_MAX];
	int fds[IPC_FDS_MAX];
	size_t nfds = link->descriptors ? IPC_FDS_MAX : 0;
	const char *wrong;
	ssize_t n;

	if (link->descriptors)
		n = fd_recv(link->lfd.fd, data, sizeof(data), fds, &nfds, MSG_DONTWAIT);
	else
		n = recv_error(recv(link->lfd.fd, data, sizeof(data), MSG_DONTWAIT));
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		fd_close_all(fds, nfds);
		link_disconnect(link);
		link->lost(link, n ? strerror((int)-n) : "it closed its connection");
		return false;
	}
	wrong = message_take(link, data, (size_t)n, fds, nfds);
	fd_close_all(fds, nfds);
	if (wrong) {
		link_disconnect(link);
		link->lost(link, wrong);
		return false;
	}
	return true;
}

static void link_event(struct loop_fd *lfd, uint32_t events)
{
	struct ipc_link *link = container_of(lfd, struct ipc_link, lfd);

	for (int i = 0; i < RECEIVE_BATCH && link->lfd.fd >= 0; i++)
		if (!link_receive(link))
			break;
	if ((events & EPOLLOUT) && link->lfd.fd >= 0)
		link_flush(link);
}

void ipc_link_drain(struct ipc_link *link)
{
	while (link->lfd.fd >= 0 && link_receive(link))
		;
}

int ipc_link_open(struct ipc_link *link, int fd)
{
	return loop_fd_add(link->loop, &link->lfd, fd, EPOLLIN, link_event);
}
