/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * JSON-RPC 2.0 on a stream of bytes, without the stream: bytes go in, calls come out; answers go
 * in, bytes come out. This is the one place where a client's bytes are decoded.
 *
 * Messages follow each other with or without white space between them. What is bounded: a
 * message's length, its depth and the number of values in it, arrays and objects counting for as
 * many as they take memory (so that a small message cannot become a large tree), the calls in a
 * batch, and the text of a batch's answers. After text that is not JSON, everything up to the next
 * newline is skipped. A message beyond a bound ends the stream, as there is no way to know where it
 * would end. What all streams together hold is bounded by who has them: see jsonrpc_memory().
 *
 * Calls may be answered at any time and in any order; the answers of a batch leave together, when
 * the last of them is there. A call that outlives its stream is answered into the void.
 */
#ifndef RIDGE_CONTROL_JSONRPC_H
#define RIDGE_CONTROL_JSONRPC_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "control/error.h"

/* 4094 functions with all keys that they have, and 1000 bytes each, are one message. */
#define JSONRPC_MESSAGE_MAX (4u << 20)
#define JSONRPC_DEPTH_MAX   32
#define JSONRPC_VALUES_MAX  131072
#define JSONRPC_CONTAINER   8   /* values that an array or object counts for, empty or not */
#define JSONRPC_VALUE_SIZE  160 /* bytes that a value takes at most, but for its text */
#define JSONRPC_BATCH_MAX   1024
#define JSONRPC_ANSWER_MAX  (32u << 20) /* bytes of all answers to one batch */
#define JSONRPC_CALLS_MAX   256         /* under way in one stream before it is read no further */

struct jsonrpc;
struct jsonrpc_batch;

struct jsonrpc_call {
	struct list node;
	struct jsonrpc *rpc;         /* NULL: the stream is gone */
	struct jsonrpc_batch *batch; /* NULL: a request on its own */
	struct json_object *request;
	struct json_object *id;    /* in request; NULL is the legal id null */
	bool notification;         /* no answer is sent */
	struct json_object *later; /* see jsonrpc_reply_later() */
	/* See jsonrpc_more(). */
	void (*more)(struct jsonrpc_call *call);
	void *state;
	void *context; /* as the stream's */
	char who[48];  /* as the stream's, for the log */
};

struct jsonrpc_ops {
	/*
	 * A request. Leads to exactly one jsonrpc_reply() or jsonrpc_fail(), now or later. params
	 * is an object, an array or NULL, and lives as long as the call.
	 */
	void (*call)(struct jsonrpc_call *call, const char *method, struct json_object *params);
	/* Bytes for the peer. Must not free the stream. */
	void (*send)(struct jsonrpc *rpc, const char *text, size_t len);
	/* True: the peer does not read its answers, take in no more. */
	bool (*full)(struct jsonrpc *rpc);
	/* A call ended, so jsonrpc_feed() may go further. Must not free the stream. */
	void (*progress)(struct jsonrpc *rpc);
};

struct jsonrpc {
	const struct jsonrpc_ops *ops;
	void *context;
	char who[48];
	struct json_tokener *tok;
	size_t length;               /* of the message being read, so far */
	size_t values;               /* in it, so far; at least as many as they count for */
	size_t batch_memory;         /* that batch_array takes */
	bool skipping;               /* to the next newline */
	bool ended;                  /* the stream is beyond repair: the last answer says why */
	struct jsonrpc_batch *batch; /* whose requests are not all taken yet; NULL: none */
	struct json_object *batch_array;
	size_t batch_next;
	struct jsonrpc_call *looking; /* see jsonrpc_more(); NULL: none */
	size_t looking_memory;        /* that its request takes, unless it is of a batch */
	size_t ncalls;                /* under way */
	size_t held;                  /* bytes of answers that wait for others of their batch */
	struct list calls;
	struct list later; /* calls whose answers wait for their turn */
};

/* Returns 0 or -ENOMEM. */
int jsonrpc_init(struct jsonrpc *rpc, const struct jsonrpc_ops *ops, void *context);

/* Calls that are under way go on without the stream. */
void jsonrpc_close(struct jsonrpc *rpc);

/*
 * Takes in bytes and makes calls. Returns how many bytes were used: less than len when calls have
 * to end or answers have to be read first (see ops->progress and ops->full), or when rpc->ended.
 */
size_t jsonrpc_feed(struct jsonrpc *rpc, const char *data, size_t len);

/*
 * The same in pieces, for who shares time between streams: at most one message, one request of a
 * batch, or a part of a long request. jsonrpc_pending(): there is more of that, without more bytes.
 */
size_t jsonrpc_step(struct jsonrpc *rpc, const char *data, size_t len);
bool jsonrpc_pending(const struct jsonrpc *rpc);
/* A step would do nothing: calls have to end, or answers have to be read first. */
bool jsonrpc_waits(struct jsonrpc *rpc);
/* The stream is in the middle of a message. */
bool jsonrpc_partial(const struct jsonrpc *rpc);

/*
 * For a request that is long to look at: nothing else of the stream is taken in until all of it has
 * been. jsonrpc_step() calls more() for a part at a time; it ends by jsonrpc_more(call, NULL) or by
 * an answer. If the stream ends before, more() is called with call->rpc NULL, and has to answer:
 * what was not looked at entirely is not done.
 */
void jsonrpc_more(struct jsonrpc_call *call, void (*more)(struct jsonrpc_call *call));

/* Bytes that a message takes at most that is not complete, or not all taken. */
size_t jsonrpc_memory(const struct jsonrpc *rpc);
/* Frees that, and ends the stream with an error. */
void jsonrpc_give_up(struct jsonrpc *rpc, const struct error *e);

/* Answers a call and frees it. result is consumed; NULL is the result null. */
void jsonrpc_reply(struct jsonrpc_call *call, struct json_object *result);

/*
 * The same by a jsonrpc_step() of its own, not before the peer has read what it was sent: for a
 * result that many calls share, and which takes no memory while it is not sent.
 */
void jsonrpc_reply_later(struct jsonrpc_call *call, struct json_object *result);

/* data: members to add to the error's data next to errno, or NULL; consumed. */
void jsonrpc_fail_data(struct jsonrpc_call *call, const struct error *e, struct json_object *data);
void jsonrpc_fail(struct jsonrpc_call *call, const struct error *e);

/* A notification to the peer. params is borrowed. */
void jsonrpc_notify(struct jsonrpc *rpc, const char *method, struct json_object *params);

/* An error that answers no request, as a line: for a transport that refuses a client. */
void jsonrpc_refuse(struct jsonrpc *rpc, const struct error *e);

#endif
