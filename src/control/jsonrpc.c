/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/jsonrpc.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/buffer.h"

#define TOKENER_KEEP 4096 /* bytes of a message after which its tokener is used again */

struct jsonrpc_batch {
	struct jsonrpc *rpc; /* NULL: the stream is gone */
	size_t pending;
	struct buffer answers;
	bool too_long;
};

static void batch_end(struct jsonrpc *rpc);

static struct json_tokener *tokener_new(void)
{
	struct json_tokener *tok = json_tokener_new_ex(JSONRPC_DEPTH_MAX);

	if (tok)
		json_tokener_set_flags(tok, JSON_TOKENER_STRICT |
						    JSON_TOKENER_ALLOW_TRAILING_CHARS |
						    JSON_TOKENER_VALIDATE_UTF8);
	return tok;
}

int jsonrpc_init(struct jsonrpc *rpc, const struct jsonrpc_ops *ops, void *context)
{
	*rpc = (struct jsonrpc){ .ops = ops, .context = context };
	list_init(&rpc->calls);
	list_init(&rpc->later);
	rpc->tok = tokener_new();
	return rpc->tok ? 0 : -ENOMEM;
}

static void batch_drop_answers(struct jsonrpc_batch *batch)
{
	if (batch->rpc)
		batch->rpc->held -= buffer_len(&batch->answers);
	buffer_free(&batch->answers);
}

static void batch_detach(struct jsonrpc_batch *batch)
{
	batch_drop_answers(batch);
	batch->rpc = NULL;
}

/* From here on the call is answered into the void. */
static void call_detach(struct jsonrpc_call *call)
{
	call->rpc->ncalls--;
	call->rpc = NULL;
	if (call->batch)
		batch_detach(call->batch);
	list_del(&call->node);
}

void jsonrpc_more(struct jsonrpc_call *call, void (*more)(struct jsonrpc_call *call))
{
	call->more = more;
	call->rpc->looking = more ? call : NULL;
	call->rpc->looking_memory = 0;
}

/* The stream ends in the middle of a long request. */
static void looking_end(struct jsonrpc *rpc)
{
	struct jsonrpc_call *call = rpc->looking;

	if (!call)
		return;
	rpc->looking = NULL;
	rpc->looking_memory = 0;
	call_detach(call);
	call->more(call);
}

void jsonrpc_close(struct jsonrpc *rpc)
{
	struct jsonrpc_call *call, *tmp;

	looking_end(rpc);
	list_for_each_safe (call, tmp, &rpc->calls, node)
		call_detach(call);
	list_for_each_safe (call, tmp, &rpc->later, node) {
		call_detach(call);
		jsonrpc_reply(call, call->later);
	}
	if (rpc->batch) {
		batch_detach(rpc->batch);
		batch_end(rpc);
	}
	json_tokener_free(rpc->tok);
	rpc->tok = NULL;
}

/* --- answers --- */

static void send_object(struct jsonrpc *rpc, struct json_object *object)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	if (!text)
		return;
	rpc->ops->send(rpc, text, len);
	rpc->ops->send(rpc, "\n", 1);
}

static void batch_add(struct jsonrpc_batch *batch, struct json_object *answer)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	if (!batch->rpc || batch->too_long)
		return;
	batch->rpc->held -= buffer_len(&batch->answers);
	if (!text || buffer_len(&batch->answers) + len > JSONRPC_ANSWER_MAX ||
	    buffer_append(&batch->answers, buffer_len(&batch->answers) ? "," : "[", 1) ||
	    buffer_append(&batch->answers, text, len)) {
		batch->too_long = true;
		buffer_free(&batch->answers);
	}
	batch->rpc->held += buffer_len(&batch->answers);
}

/* The batch's last call ended, or the batch itself had one less to wait for. */
static void batch_put(struct jsonrpc_batch *batch)
{
	struct jsonrpc *rpc = batch->rpc;

	if (--batch->pending)
		return;
	if (rpc && batch->too_long) {
		struct error e = { .code = ERROR_FAILED,
				   .err = EMSGSIZE,
				   .text = "the answers to this batch are too long; ask for less" };

		jsonrpc_refuse(rpc, &e);
	} else if (rpc && buffer_len(&batch->answers)) {
		/* All were notifications: nothing at all is sent (section 6). */
		rpc->ops->send(rpc, buffer_data(&batch->answers), buffer_len(&batch->answers));
		rpc->ops->send(rpc, "]\n", 2);
	}
	batch_drop_answers(batch);
	free(batch);
}

static struct json_object *answer_new(struct json_object *id)
{
	struct json_object *answer = json_object_new_object();

	json_object_object_add(answer, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(answer, "id", json_object_get(id));
	return answer;
}

static struct json_object *error_new(const struct error *e, struct json_object *data)
{
	struct json_object *error = json_object_new_object();

	json_object_object_add(error, "code", json_object_new_int(e->code));
	json_object_object_add(error, "message", json_object_new_string(e->text));
	if (e->err) {
		const char *name = strerrorname_np(e->err);

		if (!data)
			data = json_object_new_object();
		json_object_object_add(data, "errno", json_object_new_string(name ? name : "EIO"));
	}
	if (data)
		json_object_object_add(error, "data", data);
	return error;
}

static void answer_call(struct jsonrpc_call *call, const char *key, struct json_object *value)
{
	struct jsonrpc *rpc = call->rpc;

	if (rpc && !call->notification) {
		struct json_object *answer = answer_new(call->id);

		json_object_object_add(answer, key, value);
		if (call->batch)
			batch_add(call->batch, answer);
		else
			send_object(rpc, answer);
		json_object_put(answer);
	} else {
		json_object_put(value);
	}
	if (rpc) {
		if (rpc->looking == call)
			jsonrpc_more(call, NULL);
		rpc->ncalls--;
		list_del(&call->node);
	}
	if (call->batch)
		batch_put(call->batch);
	if (rpc)
		rpc->ops->progress(rpc);
	json_object_put(call->request);
	free(call);
}

void jsonrpc_reply(struct jsonrpc_call *call, struct json_object *result)
{
	answer_call(call, "result", result);
}

void jsonrpc_reply_later(struct jsonrpc_call *call, struct json_object *result)
{
	struct jsonrpc *rpc = call->rpc;

	if (!rpc || call->notification || call->batch) {
		jsonrpc_reply(call, result);
		return;
	}
	call->later = result;
	list_del(&call->node);
	list_add_tail(&rpc->later, &call->node);
	rpc->ops->progress(rpc);
}

void jsonrpc_fail_data(struct jsonrpc_call *call, const struct error *e, struct json_object *data)
{
	answer_call(call, "error", error_new(e, data));
}

void jsonrpc_fail(struct jsonrpc_call *call, const struct error *e)
{
	jsonrpc_fail_data(call, e, NULL);
}

void jsonrpc_refuse(struct jsonrpc *rpc, const struct error *e)
{
	struct json_object *answer = answer_new(NULL);

	json_object_object_add(answer, "error", error_new(e, NULL));
	send_object(rpc, answer);
	json_object_put(answer);
}

void jsonrpc_notify(struct jsonrpc *rpc, const char *method, struct json_object *params)
{
	struct json_object *message = json_object_new_object();

	json_object_object_add(message, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(message, "method", json_object_new_string(method));
	json_object_object_add(message, "params", json_object_get(params));
	send_object(rpc, message);
	json_object_put(message);
}

/* --- requests --- */

static bool id_legal(struct json_object *id)
{
	switch (json_object_get_type(id)) {
	case json_type_null:
	case json_type_string:
	case json_type_int:
		return true;
	case json_type_double:
		/* json-c takes NaN and Infinity for numbers; sent back, they would not be JSON. */
		return !strpbrk(json_object_get_string(id), "NI");
	default:
		return false;
	}
}

static bool string_clean(struct json_object *s)
{
	return strlen(json_object_get_string(s)) == (size_t)json_object_get_string_len(s);
}

/* Section 4. Returns NULL, or what is wrong with the request. */
static const char *request_check(struct json_object *request, const char **method,
				 struct json_object **params)
{
	struct json_object *value;

	if (!json_object_is_type(request, json_type_object))
		return "a request is an object";
	if (!json_object_object_get_ex(request, "jsonrpc", &value) ||
	    !json_object_is_type(value, json_type_string) ||
	    strcmp(json_object_get_string(value), "2.0") != 0)
		return "the member jsonrpc must be the string 2.0";
	if (!json_object_object_get_ex(request, "method", &value) ||
	    !json_object_is_type(value, json_type_string) || !string_clean(value))
		return "the member method must be a string";
	*method = json_object_get_string(value);
	*params = NULL;
	if (json_object_object_get_ex(request, "params", params) &&
	    !json_object_is_type(*params, json_type_object) &&
	    !json_object_is_type(*params, json_type_array))
		return "the member params must be an object or an array";
	return NULL;
}

static void request_invalid(struct jsonrpc *rpc, struct jsonrpc_batch *batch,
			    struct json_object *id, const char *why)
{
	struct json_object *answer = answer_new(id);
	struct error e = { .code = ERROR_INVALID_REQUEST };

	snprintf(e.text, sizeof(e.text), "%s", why);
	json_object_object_add(answer, "error", error_new(&e, NULL));
	if (batch)
		batch_add(batch, answer);
	else
		send_object(rpc, answer);
	json_object_put(answer);
}

/* request is borrowed. */
static void request_take(struct jsonrpc *rpc, struct jsonrpc_batch *batch,
			 struct json_object *request)
{
	struct json_object *id = NULL, *params;
	const char *method, *wrong;
	struct jsonrpc_call *call;
	bool has_id = false;

	if (json_object_is_type(request, json_type_object))
		has_id = json_object_object_get_ex(request, "id", &id);
	if (!id_legal(id)) {
		request_invalid(rpc, batch, NULL, "an id is a string, a number or null");
		return;
	}
	wrong = request_check(request, &method, &params);
	if (wrong) {
		request_invalid(rpc, batch, id, wrong);
		return;
	}
	call = calloc(1, sizeof(*call));
	if (!call) {
		request_invalid(rpc, batch, id, "out of memory");
		return;
	}
	call->rpc = rpc;
	call->batch = batch;
	if (batch)
		batch->pending++;
	call->request = json_object_get(request);
	call->id = id;
	call->notification = !has_id;
	call->context = rpc->context;
	memcpy(call->who, rpc->who, sizeof(call->who));
	list_add_tail(&rpc->calls, &call->node);
	rpc->ncalls++;
	rpc->ops->call(call, method, params);
}

/* Section 6. What is in it is taken request by request, by batch_step(). */
static void batch_take(struct jsonrpc *rpc, struct json_object *array, size_t memory)
{
	size_t n = json_object_array_length(array);
	struct jsonrpc_batch *batch;

	if (n == 0 || n > JSONRPC_BATCH_MAX) {
		request_invalid(rpc, NULL, NULL,
				n ? "a batch holds at most 1024 requests"
				  : "a batch holds at least one request");
		return;
	}
	batch = calloc(1, sizeof(*batch));
	if (!batch) {
		request_invalid(rpc, NULL, NULL, "out of memory");
		return;
	}
	batch->rpc = rpc;
	batch->pending = 1; /* so that it lives until its last request is taken */
	rpc->batch = batch;
	rpc->batch_memory = memory;
	rpc->batch_array = json_object_get(array);
	rpc->batch_next = 0;
}

static void batch_end(struct jsonrpc *rpc)
{
	struct jsonrpc_batch *batch = rpc->batch;

	rpc->batch = NULL;
	rpc->batch_memory = 0;
	json_object_put(rpc->batch_array);
	rpc->batch_array = NULL;
	batch_put(batch);
}

static void batch_step(struct jsonrpc *rpc)
{
	request_take(rpc, rpc->batch,
		     json_object_array_get_idx(rpc->batch_array, rpc->batch_next++));
	if (rpc->batch_next == json_object_array_length(rpc->batch_array))
		batch_end(rpc);
}

/* Memory of the message that is being read: its text may be there twice for a moment. */
static size_t message_memory(const struct jsonrpc *rpc)
{
	return 2 * rpc->length + JSONRPC_VALUE_SIZE * rpc->values;
}

static void message_end(struct jsonrpc *rpc)
{
	/* A tokener keeps the memory that its longest string took. */
	struct json_tokener *tok = rpc->length > TOKENER_KEEP ? tokener_new() : NULL;

	json_tokener_reset(rpc->tok);
	if (tok) {
		json_tokener_free(rpc->tok);
		rpc->tok = tok;
	}
	rpc->length = 0;
	rpc->values = 0;
}

static void stream_error(struct jsonrpc *rpc, int code, const char *text)
{
	struct error e = { .code = code };

	snprintf(e.text, sizeof(e.text), "%s", text);
	jsonrpc_refuse(rpc, &e);
	message_end(rpc);
	rpc->skipping = true;
}

void jsonrpc_give_up(struct jsonrpc *rpc, const struct error *e)
{
	jsonrpc_refuse(rpc, e);
	message_end(rpc);
	looking_end(rpc);
	rpc->ended = true;
	if (rpc->batch)
		batch_end(rpc);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Skips what no message begins with. Returns the number of bytes skipped. */
static size_t feed_gap(struct jsonrpc *rpc, const char *data, size_t len)
{
	size_t n = 0;

	if (rpc->skipping) {
		const char *newline = memchr(data, '\n', len);

		if (!newline)
			return len;
		rpc->skipping = false;
		n = (size_t)(newline - data) + 1;
	}
	if (!rpc->length)
		while (n < len && is_space(data[n]))
			n++;
	return n;
}

/* Counts what becomes a value. Brackets in strings count too, which does no harm. */
static bool feed_count(struct jsonrpc *rpc, const char *data, size_t len)
{
	rpc->length += len;
	for (size_t i = 0; i < len; i++)
		if (data[i] == '{' || data[i] == '[')
			rpc->values += JSONRPC_CONTAINER;
		else if (data[i] == ',')
			rpc->values++;
	return rpc->length <= JSONRPC_MESSAGE_MAX && rpc->values <= JSONRPC_VALUES_MAX;
}

static size_t feed_message(struct jsonrpc *rpc, const char *data, size_t len)
{
	/* A NUL would end the text for json-c; here it is a byte that JSON does not have. */
	size_t memory, used, usable = strnlen(data, len);
	struct json_object *message;
	enum json_tokener_error err;

	if (!usable) {
		stream_error(rpc, ERROR_PARSE, "not JSON: a NUL byte");
		return 1;
	}
	if (usable > INT_MAX)
		usable = INT_MAX;
	message = json_tokener_parse_ex(rpc->tok, data, (int)usable);
	err = json_tokener_get_error(rpc->tok);
	used = err == json_tokener_continue ? usable : json_tokener_get_parse_end(rpc->tok);
	if (!feed_count(rpc, data, used)) {
		struct error e = { .code = ERROR_INVALID_REQUEST,
				   .text = "the message is too long: at most 4 MiB and 131072 "
					   "values" };

		json_object_put(message);
		jsonrpc_give_up(rpc, &e);
		return used;
	}
	if (err == json_tokener_continue)
		return used;
	if (err == json_tokener_error_depth) {
		stream_error(rpc, ERROR_PARSE, "nested more than 32 deep");
		return used;
	}
	if (err != json_tokener_success) {
		stream_error(rpc, ERROR_PARSE, json_tokener_error_desc(err));
		return used;
	}
	memory = message_memory(rpc);
	message_end(rpc);
	if (json_object_is_type(message, json_type_array))
		batch_take(rpc, message, memory);
	else
		request_take(rpc, NULL, message);
	if (rpc->looking)
		rpc->looking_memory = memory;
	json_object_put(message);
	return used;
}

bool jsonrpc_pending(const struct jsonrpc *rpc)
{
	return rpc->batch || rpc->looking || !list_empty(&rpc->later);
}

bool jsonrpc_partial(const struct jsonrpc *rpc)
{
	return rpc->length || rpc->skipping;
}

size_t jsonrpc_memory(const struct jsonrpc *rpc)
{
	return message_memory(rpc) + rpc->batch_memory + rpc->looking_memory;
}

bool jsonrpc_waits(struct jsonrpc *rpc)
{
	bool many = rpc->ncalls >= JSONRPC_CALLS_MAX && list_empty(&rpc->later);

	return rpc->ended || many || rpc->ops->full(rpc);
}

size_t jsonrpc_step(struct jsonrpc *rpc, const char *data, size_t len)
{
	struct jsonrpc_call *call;
	size_t used;

	if (jsonrpc_waits(rpc))
		return 0;
	if (!list_empty(&rpc->later)) {
		call = list_first(&rpc->later, struct jsonrpc_call, node);
		jsonrpc_reply(call, call->later);
		return 0;
	}
	if (rpc->looking) {
		rpc->looking->more(rpc->looking);
		return 0;
	}
	if (rpc->batch) {
		batch_step(rpc);
		return 0;
	}
	used = feed_gap(rpc, data, len);
	if (used < len)
		used += feed_message(rpc, data + used, len - used);
	return used;
}

size_t jsonrpc_feed(struct jsonrpc *rpc, const char *data, size_t len)
{
	size_t used = 0;

	while ((used < len || jsonrpc_pending(rpc)) && !jsonrpc_waits(rpc))
		used += jsonrpc_step(rpc, data + used, len - used);
	return used;
}
