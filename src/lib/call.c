/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct json_object *request_new(int id, const char *method, struct json_object *params)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(request, "id", json_object_new_int(id));
	json_object_object_add(request, "method", json_object_new_string(method));
	if (params)
		json_object_object_add(request, "params", params);
	return request;
}

int params_read(struct ridge *r, const char *method, const char *text, struct json_object **params)
{
	enum json_tokener_error err;

	*params = NULL;
	if (!text)
		return 0;
	*params = json_tokener_parse_verbose(text, &err);
	if (json_object_is_type(*params, json_type_object))
		return 0;
	json_object_put(*params);
	*params = NULL;
	return handle_fail(r, -EINVAL, "%s: the parameters are not a JSON object%s%s; give one",
			   method, err != json_tokener_success ? ": " : "",
			   err != json_tokener_success ? json_tokener_error_desc(err) : "");
}

static void handle_disconnect(struct ridge *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	line_reader_free(&r->in);
}

/* Whether a message is what request waits for; ridged's refusal has no id at all. */
static bool answers(struct json_object *message, struct json_object *request)
{
	struct json_object *want = NULL, *have = NULL;

	if (json_object_is_type(message, json_type_array) ||
	    json_object_is_type(request, json_type_array))
		return true;
	json_object_object_get_ex(request, "id", &want);
	json_object_object_get_ex(message, "id", &have);
	return !have || json_object_equal(have, want);
}

int handle_ask(struct ridge *r, struct json_object *request, struct json_object **answer)
{
	char *text = json_text(request);
	int ret = 0;

	handle_clear(r);
	if (!text)
		return handle_fail(r, -ENOMEM, "out of memory");
	if (r->fd < 0) {
		ret = handle_connect(r);
		if (ret >= 0)
			r->fd = ret;
	}
	if (ret >= 0) {
		/* If it does not take all, it says why. */
		ret = line_send(r->fd, text, strlen(text));
		if (!ret || ret == -EPIPE)
			ret = line_send(r->fd, "\n", 1);
		do {
			ret = line_receive(r->fd, &r->in, true, answer);
			if (ret == 1 && !answers(*answer, request)) {
				json_object_put(*answer);
				ret = 0;
			}
		} while (ret == 0);
		if (ret < 0) {
			handle_disconnect(r);
			handle_fail(
				r, ret,
				ret == -EPROTO ? "ridged's answer is not JSON; look at its log"
				: ret == -EPIPE
					? "ridged closed the connection without an answer; look "
					  "at its log"
					: "%s",
				strerror(-ret));
		}
	}
	free(text);
	return ret < 0 ? ret : 0;
}

/* params is consumed. */
static int call(struct ridge *r, const char *method, struct json_object *params, char **result)
{
	struct json_object *request = request_new(++r->next_id, method, params);
	struct json_object *answer = NULL, *value = NULL;
	int ret = handle_ask(r, request, &answer);

	if (result)
		*result = NULL;
	if (!ret && json_object_object_get_ex(answer, "error", &value)) {
		ret = error_take(value, &r->code, r->text, sizeof(r->text), &r->data);
	} else if (!ret && !json_object_object_get_ex(answer, "result", &value)) {
		ret = handle_fail(r, -EPROTO, "%s: ridged's answer makes no sense", method);
	} else if (!ret && result && value) {
		*result = json_text(value);
		if (!*result)
			ret = handle_fail(r, -ENOMEM, "out of memory");
	}
	json_object_put(answer);
	json_object_put(request);
	return ret;
}

int ridge_call(struct ridge *r, const char *method, const char *params, char **result)
{
	struct json_object *object;
	int err = params_read(r, method, params, &object);

	if (result)
		*result = NULL;
	return err ? err : call(r, method, object, result);
}

static struct json_object *object_with(const char *key, const char *value)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, key, json_object_new_string(value));
	return object;
}

static void add_pairs(struct json_object *object, const struct ridge_pair *keys)
{
	for (; keys && keys->key; keys++)
		json_object_object_add(object, keys->key, json_object_new_string(keys->value));
}

static struct json_object *array_of(const char *const *names)
{
	struct json_object *array = json_object_new_array();

	for (; names && *names; names++)
		json_object_array_add(array, json_object_new_string(*names));
	return array;
}

int ridge_create(struct ridge *r, const char *type, const char *name, const struct ridge_pair *keys,
		 char **result)
{
	struct json_object *params = object_with("type", type);

	json_object_object_add(params, "name", json_object_new_string(name));
	add_pairs(params, keys);
	return call(r, "function.create", params, result);
}

int ridge_create_batch(struct ridge *r, const char *functions, char **result)
{
	struct json_object *params, *array = json_tokener_parse(functions);

	if (result)
		*result = NULL;
	if (!json_object_is_type(array, json_type_array)) {
		json_object_put(array);
		return handle_fail(r, -EINVAL,
				   "create batch: the functions are not a JSON array; give one of "
				   "objects as function.create takes them");
	}
	params = json_object_new_object();
	json_object_object_add(params, "functions", array);
	return call(r, "function.create_batch", params, result);
}

int ridge_destroy(struct ridge *r, const char *const *names, int force, char **result)
{
	struct json_object *params = json_object_new_object();

	json_object_object_add(params, "names", array_of(names));
	json_object_object_add(params, "force", json_object_new_boolean(force));
	return call(r, "function.destroy", params, result);
}

int ridge_show(struct ridge *r, const char *name, char **result)
{
	return call(r, "function.show", object_with("name", name), result);
}

int ridge_bind(struct ridge *r, const char *name, const char *driver, char **result)
{
	struct json_object *params = object_with("name", name);

	json_object_object_add(params, "driver", json_object_new_string(driver));
	return call(r, "function.bind", params, result);
}

int ridge_set(struct ridge *r, const char *name, const struct ridge_pair *keys, char **result)
{
	struct json_object *params = object_with("name", name);

	add_pairs(params, keys);
	return call(r, "function.set", params, result);
}

int ridge_list(struct ridge *r, char **result)
{
	return call(r, "function.list", NULL, result);
}

int ridge_stats(struct ridge *r, const char *const *names, char **result)
{
	struct json_object *params = NULL;

	if (names && *names) {
		params = json_object_new_object();
		json_object_object_add(params, "names", array_of(names));
	}
	return call(r, "function.stats", params, result);
}

int ridge_pf_add(struct ridge *r, const char *name, const struct ridge_pair *keys, char **result)
{
	struct json_object *params = object_with("name", name);

	add_pairs(params, keys);
	return call(r, "pf.add", params, result);
}

int ridge_pf_list(struct ridge *r, char **result)
{
	return call(r, "pf.list", NULL, result);
}

int ridge_pf_remove(struct ridge *r, const char *name, char **result)
{
	return call(r, "pf.remove", object_with("name", name), result);
}

int ridge_pf_restart(struct ridge *r, const char *name, char **result)
{
	return call(r, "pf.restart", object_with("name", name), result);
}

int ridge_export(struct ridge *r, const char *name, const struct ridge_pair *keys, char **result)
{
	struct json_object *params = object_with("name", name);

	add_pairs(params, keys);
	return call(r, "pf.export", params, result);
}

int ridge_unexport(struct ridge *r, const char *name, int force, char **result)
{
	struct json_object *params = object_with("name", name);

	json_object_object_add(params, "force", json_object_new_boolean(force));
	return call(r, "pf.unexport", params, result);
}

int ridge_shutdown(struct ridge *r, char **result)
{
	return call(r, "system.shutdown", NULL, result);
}
