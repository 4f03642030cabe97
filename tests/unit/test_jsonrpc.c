/* SPDX-License-Identifier: BSD-3-Clause */
/* The JSON-RPC 2.0 stream: each rule by its section of the specification, and each bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/buffer.h"
#include "control/jsonrpc.h"

/*
 * Methods: "echo" answers its params, "fail" fails, "wait" is answered when the test says so,
 * "long" is long to look at.
 */
struct fixture {
	struct jsonrpc rpc;
	struct buffer out;
	struct jsonrpc_call *waiting[2048];
	unsigned nwaiting;
	unsigned ncalls;
	unsigned progress;
	struct jsonrpc_call *looking;
	unsigned looked;
	bool full;
	char last_method[64];
};

/* A request that is looked at in three parts. */
static void on_more(struct jsonrpc_call *call)
{
	struct fixture *f = call->context;

	assert_ptr_equal(call, f->looking);
	if (!call->rpc || ++f->looked == 3) {
		f->looking = NULL;
		jsonrpc_reply(call, NULL);
	}
}

static void on_call(struct jsonrpc_call *call, const char *method, struct json_object *params)
{
	struct fixture *f = call->context;
	struct error e;

	f->ncalls++;
	snprintf(f->last_method, sizeof(f->last_method), "%s", method);
	if (!strcmp(method, "long")) {
		f->looking = call;
		jsonrpc_more(call, on_more);
	} else if (!strcmp(method, "wait")) {
		f->waiting[f->nwaiting++] = call;
	} else if (!strcmp(method, "fail")) {
		error_set(&e, 17, "it failed");
		jsonrpc_fail(call, &e);
	} else if (!strcmp(method, "huge")) {
		char *text = malloc(8u << 20);

		memset(text, 'x', (8u << 20) - 1);
		text[(8u << 20) - 1] = '\0';
		jsonrpc_reply(call, json_object_new_string(text));
		free(text);
	} else {
		jsonrpc_reply(call, json_object_get(params));
	}
}

static void on_send(struct jsonrpc *rpc, const char *text, size_t len)
{
	struct fixture *f = rpc->context;

	assert_int_equal(buffer_append(&f->out, text, len), 0);
}

static bool on_full(struct jsonrpc *rpc)
{
	return ((struct fixture *)rpc->context)->full;
}

static void on_progress(struct jsonrpc *rpc)
{
	((struct fixture *)rpc->context)->progress++;
}

static const struct jsonrpc_ops ops = {
	.call = on_call,
	.send = on_send,
	.full = on_full,
	.progress = on_progress,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return f ? jsonrpc_init(&f->rpc, &ops, f) : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->rpc.tok)
		jsonrpc_close(&f->rpc);
	for (unsigned i = 0; i < f->nwaiting; i++)
		if (f->waiting[i])
			jsonrpc_reply(f->waiting[i], NULL);
	buffer_free(&f->out);
	free(f);
	return 0;
}

static size_t feed(struct fixture *f, const char *text)
{
	return jsonrpc_feed(&f->rpc, text, strlen(text));
}

/* What was sent since the last time, as one string. */
static void expect(struct fixture *f, const char *text)
{
	size_t len = buffer_len(&f->out);
	char *sent = calloc(1, len + 1);

	if (len)
		memcpy(sent, buffer_data(&f->out), len);
	buffer_free(&f->out);
	assert_string_equal(sent, text);
	free(sent);
}

/* Text in, text out; whole, and byte by byte: the pieces in which it comes must not matter. */
static void exchange(struct fixture *f, const char *in, const char *out)
{
	assert_int_equal(feed(f, in), strlen(in));
	expect(f, out);
	for (const char *c = in; *c; c++)
		assert_int_equal(jsonrpc_feed(&f->rpc, c, 1), 1);
	expect(f, out);
}

#define INVALID(id, text) \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"error\":{\"code\":-32600,\"message\":\"" text "\"}}\n"
#define RESULT(id, value) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":" value "}\n"

static void request_4(void **state)
{
	struct fixture *f = *state;

	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":{\"a\":1},\"id\":1}\n",
		 RESULT("1", "{\"a\":1}"));
	exchange(f, "{\"jsonrpc\": \"2.0\", \"method\": \"echo\", \"id\": 2}", RESULT("2", "null"));
}

static void request_4_id_kinds(void **state)
{
	struct fixture *f = *state;

	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":\"x-\\u00e9\"}\n",
		 RESULT("\"x-\xc3\xa9\"", "null"));
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":null}\n",
		 RESULT("null", "null"));
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":-5}\n", RESULT("-5", "null"));
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1.5}\n",
		 RESULT("1.5", "null"));
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":9007199254740993}\n",
		 RESULT("9007199254740993", "null"));
	for (int i = 0; i < 6; i++) {
		static const char *const ids[] = { "true", "{}",        "[1]",
						   "NaN",  "-Infinity", "Infinity" };
		char text[128];

		snprintf(text, sizeof(text),
			 "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":%s}\n", ids[i]);
		exchange(f, text, INVALID("null", "an id is a string, a number or null"));
	}
}

static void request_4_version(void **state)
{
	struct fixture *f = *state;
	const char *wrong = INVALID("1", "the member jsonrpc must be the string 2.0");

	exchange(f, "{\"method\":\"echo\",\"id\":1}\n", wrong);
	exchange(f, "{\"jsonrpc\":\"1.0\",\"method\":\"echo\",\"id\":1}\n", wrong);
	exchange(f, "{\"jsonrpc\":2.0,\"method\":\"echo\",\"id\":1}\n", wrong);
}

static void request_4_method(void **state)
{
	struct fixture *f = *state;
	const char *wrong = INVALID("1", "the member method must be a string");

	exchange(f, "{\"jsonrpc\":\"2.0\",\"id\":1}\n", wrong);
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":1,\"id\":1}\n", wrong);
	/* A name with a NUL in it is no name that looks like another. */
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\\u0000x\",\"id\":1}\n", wrong);
}

static void request_4_2_params(void **state)
{
	struct fixture *f = *state;
	const char *wrong = INVALID("1", "the member params must be an object or an array");

	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[1,2],\"id\":1}\n",
		 RESULT("1", "[1,2]"));
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":\"x\",\"id\":1}\n", wrong);
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":null,\"id\":1}\n", wrong);
}

static void notification_4_1(void **state)
{
	struct fixture *f = *state;

	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[1]}\n", "");
	/* "including if the request fails" */
	exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"fail\"}\n", "");
	assert_int_equal(f->ncalls, 4);
}

static void response_5_error(void **state)
{
	struct fixture *f = *state;

	exchange(
		f, "{\"jsonrpc\":\"2.0\",\"method\":\"fail\",\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32000,\"message\":\"it failed\","
		"\"data\":{\"errno\":\"EEXIST\"}}}\n");
}

static void response_5_1_not_json(void **state)
{
	struct fixture *f = *state;
	static const char *const texts[] = {
		"{\"jsonrpc\": \"2.0\", \"method\": \"foobar, \"params\": \"bar\", \"baz]\n",
		"[{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1},{\"jsonrpc\"]\n",
		"x\n",
		"{'jsonrpc':'2.0'}\n",
		"{\"a\":1,}\n",
		"{\"a\":01}\n",
		"/* comment */ {}\n",
		"{\"a\":\"\xff\"}\n",
		"{\"a\":tRUE}\n",
		"]\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct json_object *answer;

		feed(f, texts[i]);
		assert_int_equal(buffer_append(&f->out, "", 1), 0);
		answer = json_tokener_parse(buffer_data(&f->out));
		if (!answer || !strstr(buffer_data(&f->out), "-32700"))
			fail_msg("%s: %s", texts[i], buffer_data(&f->out));
		assert_ptr_equal(strchr(buffer_data(&f->out), '\n'),
				 strrchr(buffer_data(&f->out), '\n'));
		assert_non_null(strstr(buffer_data(&f->out), "\"id\":null"));
		json_object_put(answer);
		buffer_free(&f->out);
		/* The next line is a new message. */
		exchange(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}\n",
			 RESULT("1", "null"));
	}
}

static void response_5_1_invalid_request(void **state)
{
	struct fixture *f = *state;

	exchange(f, "\"a string\"\n", INVALID("null", "a request is an object"));
	exchange(f, "1\n", INVALID("null", "a request is an object"));
	exchange(f, "null\n", INVALID("null", "a request is an object"));
	exchange(f, "{}", INVALID("null", "the member jsonrpc must be the string 2.0"));
}

static void batch_6(void **state)
{
	struct fixture *f = *state;

	exchange(f,
		 "[{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"params\":[1],\"id\":1},"
		 "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"},"
		 "{\"foo\":\"boo\"},"
		 "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":\"9\"}]\n",
		 "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[1]},"
		 "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":"
		 "\"the member jsonrpc must be the string 2.0\"}},"
		 "{\"jsonrpc\":\"2.0\",\"id\":\"9\",\"result\":null}]\n");
}

static void batch_6_empty(void **state)
{
	exchange(*state, "[]\n", INVALID("null", "a batch holds at least one request"));
}

static void batch_6_invalid(void **state)
{
	exchange(*state, "[1,[]]\n",
		 "[{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":"
		 "\"a request is an object\"}},"
		 "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":"
		 "\"a request is an object\"}}]\n");
}

static void batch_6_notifications(void **state)
{
	/* "the Server MUST NOT return an empty Array and should return nothing at all" */
	exchange(
		*state,
		"[{\"jsonrpc\":\"2.0\",\"method\":\"echo\"},{\"jsonrpc\":\"2.0\",\"method\":\"fail\"}]\n",
		"");
}

static void batch_waits_for_its_last_call(void **state)
{
	struct fixture *f = *state;

	feed(f, "[{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":1},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":2},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"wait\"}]\n");
	expect(f, "");
	jsonrpc_reply(f->waiting[1], NULL);
	jsonrpc_reply(f->waiting[0], NULL);
	expect(f, "");
	jsonrpc_reply(f->waiting[2], NULL);
	f->nwaiting = 0;
	expect(f, "[{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":null},"
		  "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":null}]\n");
}

static void batch_bounds(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(JSONRPC_BATCH_MAX * 2 + 16), *p = text;

	*p++ = '[';
	for (int i = 0; i <= JSONRPC_BATCH_MAX; i++) {
		*p++ = '1';
		*p++ = ',';
	}
	strcpy(p - 1, "]\n");
	exchange(f, text, INVALID("null", "a batch holds at most 1024 requests"));
	free(text);
	feed(f, "[{\"jsonrpc\":\"2.0\",\"method\":\"huge\",\"id\":1},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"huge\",\"id\":2},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"huge\",\"id\":3},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"huge\",\"id\":4},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"huge\",\"id\":5}]\n");
	expect(f, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":"
		  "\"the answers to this batch are too long; ask for less\",\"data\":{\"errno\":"
		  "\"EMSGSIZE\"}}}\n");
}

static void messages_without_space_between(void **state)
{
	exchange(*state,
		 " \r\n\t{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":1}"
		 "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":2}\n\n"
		 "[{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":3}]",
		 RESULT("1", "null")
			 RESULT("2", "null") "[{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":null}]\n");
}

static void nul_byte(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\0\"method\":\"echo\",\"id\":1}\n"
				   "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":2}\n";
	struct fixture *f = *state;

	assert_int_equal(jsonrpc_feed(&f->rpc, text, sizeof(text) - 1), sizeof(text) - 1);
	expect(f, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":"
		  "\"not JSON: a NUL byte\"}}\n" RESULT("2", "null"));
}

static void depth_bound(void **state)
{
	struct fixture *f = *state;
	char text[4096];

	memset(text, '[', sizeof(text));
	text[sizeof(text) - 2] = '\n';
	text[sizeof(text) - 1] = '\0';
	exchange(f, text,
		 "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":"
		 "\"nested more than 32 deep\"}}\n");
}

static void length_bound(void **state)
{
	struct fixture *f = *state;
	char chunk[65536];
	size_t used = 0, total = 0;

	memset(chunk, 'x', sizeof(chunk));
	feed(f, "{\"jsonrpc\":\"");
	while (!f->rpc.ended && total < 2 * JSONRPC_MESSAGE_MAX) {
		used = jsonrpc_feed(&f->rpc, chunk, sizeof(chunk));
		total += used;
	}
	assert_true(f->rpc.ended);
	assert_true(total <= JSONRPC_MESSAGE_MAX + sizeof(chunk));
	assert_int_equal(jsonrpc_feed(&f->rpc, chunk, sizeof(chunk)), 0);
	expect(f, INVALID("null", "the message is too long: at most 4 MiB and 131072 values"));
}

static void length_bound_not_reached(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(JSONRPC_MESSAGE_MAX + 1);
	static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"";

	memset(text, 'x', JSONRPC_MESSAGE_MAX);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + JSONRPC_MESSAGE_MAX - 2, "\"}", 3);
	feed(f, text);
	expect(f, RESULT("1", "null"));
	free(text);
}

static void values_bound(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	feed(f, "[");
	while (!f->rpc.ended && n < 2 * JSONRPC_VALUES_MAX)
		n += feed(f, "[],") == 3;
	assert_true(f->rpc.ended);
	assert_true(n <= JSONRPC_VALUES_MAX / (JSONRPC_CONTAINER + 1) + 1);
	expect(f, INVALID("null", "the message is too long: at most 4 MiB and 131072 values"));
}

static void memory_while_not_taken(void **state)
{
	static const char wait[] = "{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":1}";
	struct fixture *f = *state;
	size_t memory;

	feed(f, "[");
	for (unsigned i = 0; i < JSONRPC_CALLS_MAX; i++) {
		feed(f, wait);
		feed(f, ",");
	}
	memory = jsonrpc_memory(&f->rpc);
	assert_in_range(memory, JSONRPC_CALLS_MAX * sizeof(wait), JSONRPC_MESSAGE_MAX);
	/* All but one of its requests are under way. */
	feed(f, wait);
	feed(f, "]");
	assert_true(jsonrpc_memory(&f->rpc) > memory);
	assert_true(jsonrpc_pending(&f->rpc));
	jsonrpc_reply(f->waiting[0], NULL);
	f->waiting[0] = NULL;
	jsonrpc_feed(&f->rpc, "", 0);
	assert_false(jsonrpc_pending(&f->rpc));
	assert_int_equal(jsonrpc_memory(&f->rpc), 0);
}

static void long_request(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"method\":\"long\",\"id\":1}";
	static const char next[] = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":2}";
	struct fixture *f = *state;

	assert_int_equal(jsonrpc_step(&f->rpc, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_true(jsonrpc_memory(&f->rpc) >= sizeof(text) - 1);
	/* What follows waits. */
	for (unsigned i = 1; i <= 3; i++) {
		assert_true(jsonrpc_pending(&f->rpc));
		assert_int_equal(jsonrpc_step(&f->rpc, next, sizeof(next) - 1), 0);
		assert_int_equal(f->looked, i);
	}
	assert_false(jsonrpc_pending(&f->rpc));
	assert_int_equal(jsonrpc_memory(&f->rpc), 0);
	assert_int_equal(feed(f, next), sizeof(next) - 1);
	expect(f, RESULT("1", "null") RESULT("2", "null"));
}

static void long_request_without_a_stream(void **state)
{
	static const char text[] = "[{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":1},"
				   "{\"jsonrpc\":\"2.0\",\"method\":\"long\",\"id\":2},"
				   "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\"id\":3}]";
	struct fixture *f = *state;

	jsonrpc_step(&f->rpc, text, sizeof(text) - 1);
	jsonrpc_step(&f->rpc, NULL, 0);
	jsonrpc_step(&f->rpc, NULL, 0);
	assert_non_null(f->looking);
	jsonrpc_close(&f->rpc);
	assert_null(f->looking);
	assert_int_equal(f->looked, 0);
	expect(f, "");
}

/* Answers that wait are sent one a step, as there is room, however many calls are under way. */
static void answers_later(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":1}";
	struct fixture *f = *state;

	for (unsigned i = 0; i < JSONRPC_CALLS_MAX; i++)
		assert_int_equal(feed(f, text), sizeof(text) - 1);
	assert_true(jsonrpc_waits(&f->rpc));
	for (unsigned i = 0; i < 3; i++) {
		jsonrpc_reply_later(f->waiting[i], json_object_new_int((int)i));
		f->waiting[i] = NULL;
	}
	assert_true(jsonrpc_pending(&f->rpc));
	f->full = true;
	assert_int_equal(feed(f, text), 0);
	expect(f, "");
	f->full = false;
	assert_int_equal(jsonrpc_step(&f->rpc, text, sizeof(text) - 1), 0);
	assert_int_equal(jsonrpc_step(&f->rpc, text, sizeof(text) - 1), 0);
	expect(f, RESULT("1", "0") RESULT("1", "1"));
	/* The third goes with the stream. */
	assert_true(jsonrpc_pending(&f->rpc));
	jsonrpc_close(&f->rpc);
	expect(f, "");
}

static void given_up(void **state)
{
	struct fixture *f = *state;
	struct error e;

	error_set(&e, 11, "no room");
	feed(f, "{\"a\":[");
	assert_true(jsonrpc_memory(&f->rpc) > 0);
	jsonrpc_give_up(&f->rpc, &e);
	assert_true(f->rpc.ended);
	assert_int_equal(jsonrpc_memory(&f->rpc), 0);
	assert_int_equal(feed(f, "{}"), 0);
	expect(f, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,"
		  "\"message\":\"no room\",\"data\":{\"errno\":\"EAGAIN\"}}}\n");
}

static void answers_held(void **state)
{
	static const char text[] = "[{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":1},"
				   "{\"jsonrpc\":\"2.0\",\"method\":\"huge\",\"id\":2}]";
	struct fixture *f = *state;

	/* An answer of 8 MiB waits for the other: twice, as there are two batches. */
	feed(f, text);
	feed(f, text);
	assert_in_range(f->rpc.held, 16u << 20, 17u << 20);
	jsonrpc_reply(f->waiting[0], NULL);
	f->waiting[0] = NULL;
	assert_in_range(f->rpc.held, 8u << 20, 9u << 20);
	assert_true(buffer_len(&f->out) > 8u << 20);
	buffer_free(&f->out);
	/* Without the stream nobody holds them. */
	jsonrpc_close(&f->rpc);
	assert_int_equal(f->rpc.held, 0);
}

static void calls_bound(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":1}";
	size_t len = sizeof(text) - 1;

	for (unsigned i = 0; i < JSONRPC_CALLS_MAX; i++)
		assert_int_equal(jsonrpc_feed(&f->rpc, text, len), len);
	assert_int_equal(jsonrpc_feed(&f->rpc, text, len), 0);
	assert_int_equal(f->progress, 0);
	jsonrpc_reply(f->waiting[0], NULL);
	f->waiting[0] = NULL;
	assert_int_equal(f->progress, 1);
	assert_int_equal(jsonrpc_feed(&f->rpc, text, len), len);
}

static void not_fed_while_full(void **state)
{
	struct fixture *f = *state;

	f->full = true;
	assert_int_equal(feed(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}"), 0);
	f->full = false;
	assert_int_equal(feed(f, "{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}"), 33);
	assert_int_equal(f->ncalls, 1);
}

static void calls_outlive_the_stream(void **state)
{
	struct fixture *f = *state;

	feed(f, "{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":1}"
		"[{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":2},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"wait\",\"id\":3}]");
	jsonrpc_reply(f->waiting[1], NULL);
	f->waiting[1] = NULL;
	jsonrpc_close(&f->rpc);
	/* The others are answered by teardown(): nothing may be sent, nothing may leak. */
	expect(f, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(request_4),
		TEST(request_4_id_kinds),
		TEST(request_4_version),
		TEST(request_4_method),
		TEST(request_4_2_params),
		TEST(notification_4_1),
		TEST(response_5_error),
		TEST(response_5_1_not_json),
		TEST(response_5_1_invalid_request),
		TEST(batch_6),
		TEST(batch_6_empty),
		TEST(batch_6_invalid),
		TEST(batch_6_notifications),
		TEST(batch_waits_for_its_last_call),
		TEST(batch_bounds),
		TEST(messages_without_space_between),
		TEST(nul_byte),
		TEST(depth_bound),
		TEST(length_bound),
		TEST(length_bound_not_reached),
		TEST(values_bound),
		TEST(memory_while_not_taken),
		TEST(long_request),
		TEST(long_request_without_a_stream),
		TEST(answers_later),
		TEST(given_up),
		TEST(answers_held),
		TEST(calls_bound),
		TEST(not_fed_while_full),
		TEST(calls_outlive_the_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
