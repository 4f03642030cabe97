/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct answer {
	bool there;
	int err;      /* 0 or a negative errno */
	char *result; /* NULL: null, or it failed */
	char text[LIB_ERROR_MAX];
};

struct ridge_batch {
	struct ridge *r;
	struct json_object *requests; /* their ids are indexes */
	struct answer *answers;       /* once it was run */
	int n;
};

int ridge_batch_new(struct ridge *r, struct ridge_batch **out)
{
	struct ridge_batch *b = calloc(1, sizeof(*b));

	*out = b;
	if (!b)
		return handle_fail(r, -ENOMEM, "out of memory");
	b->r = r;
	b->requests = json_object_new_array();
	return 0;
}

int ridge_batch_add(struct ridge_batch *b, const char *method, const char *params)
{
	struct json_object *object;
	int err;

	if (b->n == LIB_BATCH_MAX || b->answers)
		return handle_fail(b->r, -E2BIG, "%s: the batch %s; make another", method,
				   b->answers ? "was run" : "has 1024 calls");
	err = params_read(b->r, method, params, &object);
	if (err)
		return err;
	json_object_array_add(b->requests, request_new(b->n, method, object));
	return b->n++;
}

static int answer_take(struct ridge_batch *b, struct json_object *message)
{
	struct json_object *id, *value;
	struct answer *a;
	char *data = NULL;
	int index, code;

	if (!json_object_object_get_ex(message, "id", &id) ||
	    !json_object_is_type(id, json_type_int))
		return -EPROTO;
	index = json_object_get_int(id);
	if (index < 0 || index >= b->n)
		return -EPROTO;
	a = &b->answers[index];
	a->there = true;
	if (json_object_object_get_ex(message, "error", &value)) {
		a->err = error_take(value, &code, a->text, sizeof(a->text), &data);
		free(data);
		return 0;
	}
	if (!json_object_object_get_ex(message, "result", &value))
		return -EPROTO;
	free(a->result);
	a->result = json_text(value);
	return 0;
}

static int answers_take(struct ridge_batch *b, struct json_object *message)
{
	struct json_object *error;
	int err = 0;

	/* One error for all of it. */
	if (json_object_object_get_ex(message, "error", &error))
		return error_take(error, &b->r->code, b->r->text, sizeof(b->r->text), &b->r->data);
	if (!json_object_is_type(message, json_type_array))
		err = -EPROTO;
	for (size_t i = 0; !err && i < json_object_array_length(message); i++)
		err = answer_take(b, json_object_array_get_idx(message, i));
	for (int i = 0; !err && i < b->n; i++)
		if (!b->answers[i].there)
			err = -EPROTO;
	return err ? handle_fail(b->r, err, "ridged's answer to a batch makes no sense") : 0;
}

int ridge_batch_run(struct ridge_batch *b)
{
	struct json_object *message = NULL;
	int err;

	handle_clear(b->r);
	if (b->answers)
		return handle_fail(b->r, -EALREADY, "the batch was run; make another");
	b->answers = calloc((size_t)b->n + 1, sizeof(*b->answers));
	if (!b->answers)
		return handle_fail(b->r, -ENOMEM, "out of memory");
	/* ridged answers an empty batch with an error. */
	if (!b->n)
		return 0;
	err = handle_ask(b->r, b->requests, &message);
	if (!err)
		err = answers_take(b, message);
	json_object_put(message);
	return err;
}

int ridge_batch_result(const struct ridge_batch *b, int index, const char **result)
{
	const struct answer *a =
		b->answers && index >= 0 && index < b->n ? &b->answers[index] : NULL;

	if (result)
		*result = a ? a->result : NULL;
	if (!a)
		return -EINVAL;
	return a->there ? a->err : -EPIPE;
}

const char *ridge_batch_error(const struct ridge_batch *b, int index)
{
	return b->answers && index >= 0 && index < b->n ? b->answers[index].text : "";
}

void ridge_batch_free(struct ridge_batch *b)
{
	if (!b)
		return;
	for (int i = 0; b->answers && i < b->n; i++)
		free(b->answers[i].result);
	free(b->answers);
	json_object_put(b->requests);
	free(b);
}
