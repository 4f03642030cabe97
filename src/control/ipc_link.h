/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection to one ridge-pf: requests go out, replies come back in any order, nothing waits.
 *
 * A request's done() is called with what happened:
 *
 *   IPC_DONE  The reply is there. The last call: the request is freed after it.
 *   IPC_PART  A part of a reply is there; more follow.
 *   IPC_LATE  The deadline passed. The request is still with the PF, and IPC_DONE or IPC_LOST will
 *             follow: what the PF does in the end must be known, whoever still waits for it.
 *   IPC_LOST  The connection ended, and there will be no reply. The last call, too.
 *
 * What comes from a PF process is checked here (numbers, sizes, terminated strings): it serves
 * guests and may have been taken over by one. Descriptors are taken only while they are needed: one
 * of a file system that a guest's VMM serves hangs whoever closes it (base/closer.h).
 */
#ifndef RIDGE_CONTROL_IPC_LINK_H
#define RIDGE_CONTROL_IPC_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"
#include "worker/ipc.h"

#define IPC_DEADLINE_MS 10000

/* For reads: there is an answer without them, what was known before. */
#define IPC_DEADLINE_READ_MS 5000

enum ipc_outcome { IPC_DONE, IPC_PART, IPC_LATE, IPC_LOST };

struct ipc_reply {
	enum ipc_outcome event;
	int error;        /* DONE: 0 or a negative errno; LATE: -ETIMEDOUT; LOST: -EPIPE */
	const char *text; /* what went wrong, when error is set; may be empty */
	const void *body; /* without an error */
	size_t len;
	int *fds; /* taken with fd_take(), the others are closed */
	size_t nfds;
};

struct ipc_link;

struct ipc_request {
	struct list node;
	struct ipc_link *link;
	struct loop_timer timer;
	uint32_t seq;
	uint16_t type;
	bool late; /* IPC_LATE was told */
	void (*done)(struct ipc_request *request, struct ipc_reply *reply);
	void *owner;
	int fds[IPC_FDS_MAX]; /* borrowed from the owner until done() */
	size_t nfds;
	size_t len;
	char message[];
};

struct ipc_link {
	struct loop *loop;
	struct loop_fd lfd; /* .fd is -1 while there is no connection */
	uint32_t seq;
	bool descriptors;        /* messages may carry some; if not, the kernel drops them */
	struct list requests;    /* sent, not answered */
	struct list unsent;      /* for want of room in the socket */
	struct loop_timer again; /* to send, when no event says that it is possible */
	/* A message came in. */
	void (*heard)(struct ipc_link *link);
	/* A message that is no reply: an event. Returns NULL, or what is wrong with it. */
	const char *(*event)(struct ipc_link *link, uint16_t type, const void *body, size_t len);
	/* A deadline passed. */
	void (*late)(struct ipc_link *link);
	/*
	 * The connection is of no more use: why. Requests are still there, until ipc_link_close().
	 */
	void (*lost)(struct ipc_link *link, const char *why);
};

void ipc_link_init(struct ipc_link *link, struct loop *loop);

/* Takes over a connected non-blocking SOCK_SEQPACKET. Returns 0 or a negative errno. */
int ipc_link_open(struct ipc_link *link, int fd);

/* Ends the connection, if there is one, and all requests with IPC_LOST and the text why. */
void ipc_link_close(struct ipc_link *link, const char *why);

/* Reads what is left in the connection: a process that ended may have said something before. */
void ipc_link_drain(struct ipc_link *link);

/*
 * Sends a request with len bytes of body. Returns 0 or a negative errno (-ENOTCONN: there is no
 * connection; done() is not called then).
 */
int ipc_link_send(struct ipc_link *link, enum ipc_type type, const void *body, size_t len,
		  const int *fds, size_t nfds, unsigned deadline_ms,
		  void (*done)(struct ipc_request *, struct ipc_reply *), void *owner);

/* The reply's body as a struct of exactly size bytes, or NULL. */
const void *ipc_reply_body(const struct ipc_reply *reply, size_t size);

/* The reply's body as what a function is, the spec terminated, or NULL. */
const struct ipc_function_info *ipc_reply_function(const struct ipc_reply *reply);

/* Whether an array from a PF process holds a terminated string. */
bool ipc_string_ok(const char *text, size_t size);

#endif
