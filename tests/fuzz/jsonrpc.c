/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control/jsonrpc.h and control/params.h: a stream of bytes from a client, in pieces; what becomes
 * of calls is answered as a method would, at once or later, and their parameters are parsed as
 * those of function.create, pf.add and function.set are.
 */
#include <json-c/json.h>

#include "control/jsonrpc.h"
#include "control/params.h"
#include "fuzz.h"

#define LATER_MAX 8

struct stream {
	struct jsonrpc rpc;
	struct jsonrpc_call *later[LATER_MAX];
	size_t nlater;
	size_t calls;
	size_t sent;
};

static void parse_params(const struct param_set *set, struct json_object *json)
{
	struct json_object *again;
	struct params p, q;
	struct error e;

	if (params_parse(&p, set, json, &e))
		return;
	/* What was accepted is accepted when it is said again. */
	again = params_json(&p);
	fuzz_assert(again);
	fuzz_assert(params_parse(&q, set, again, &e) == 0);
	json_object_put(again);
	json_object_object_foreach(json, key, value)
	{
		params_change(&q, key, value, &e);
	}
	params_free(&p);
	params_free(&q);
}

static void call(struct jsonrpc_call *call, const char *method, struct json_object *params)
{
	static const char *const none[] = { NULL };
	struct stream *s = call->context;
	struct error e;

	s->calls++;
	params_strings(params, none, NULL, &e);
	if (json_object_is_type(params, json_type_object))
		parse_params(strcmp(method, "pf.add") ? &params_function : &params_pf, params);
	if (s->nlater < LATER_MAX && strlen(method) % 3 == 1) {
		s->later[s->nlater++] = call;
		return;
	}
	jsonrpc_reply(call, json_object_get(params));
}

static void send(struct jsonrpc *rpc, const char *text, size_t len)
{
	struct stream *s = rpc->context;

	fuzz_assert(text || !len);
	s->sent += len;
}

static bool full(struct jsonrpc *rpc)
{
	(void)rpc;
	return false;
}

static void progress(struct jsonrpc *rpc)
{
	(void)rpc;
}

static void answer_later(struct stream *s)
{
	struct error e = { .code = ERROR_FAILED, .err = 5, .text = "later" };

	while (s->nlater)
		jsonrpc_fail(s->later[--s->nlater], &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct jsonrpc_ops ops = {
		.call = call,
		.send = send,
		.full = full,
		.progress = progress,
	};
	struct stream s = { 0 };
	size_t piece, used, at = 1;

	if (!size)
		return 0;
	/* The pieces in which the bytes come; 0: all at once. */
	piece = data[0] ? data[0] : size;
	fuzz_assert(jsonrpc_init(&s.rpc, &ops, &s) == 0);
	while (at < size && !s.rpc.ended) {
		size_t n = size - at < piece ? size - at : piece;
		char *copy = malloc(n);

		fuzz_assert(copy);
		memcpy(copy, data + at, n);
		used = jsonrpc_feed(&s.rpc, copy, n);
		free(copy);
		fuzz_assert(used <= n);
		if (!used)
			answer_later(&s);
		at += used;
	}
	/* Calls that outlive their stream are answered into the void. */
	if (size % 2)
		answer_later(&s);
	jsonrpc_close(&s.rpc);
	answer_later(&s);
	return 0;
}
