/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/param_keys.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The types and drivers of this version. */
static const char *const types[] = { "blk", "net", "rng", NULL };
static const char *const drivers[] = { "vfio-pci", "virtio-vfio-pci", "none", NULL };
static const char *const legacies[] = { "auto", "only", NULL };
static const char *const backends[] = { "switch", NULL };
static const char *const links[] = { "up", "down", NULL };

static_assert(PARAMS_MAX <= 32, "params.given");

/* By type: what its devices have (src/devices/types.c); of net, pairs. */
static const uint64_t queues_max[] = { 64, 32, 1 };

#define KEY(name, what, ...)                                     \
	{                                                        \
		.key = name, .kind = PARAM_##what, ##__VA_ARGS__ \
	}

static const struct param function_keys[FUNCTION_KEYS] = {
	[FUNCTION_TYPE] = KEY("type", CHOICE, .flags = PARAM_REQUIRED, .choices = types),
	[FUNCTION_NAME] = KEY("name", OBJECT, .flags = PARAM_REQUIRED),
	[FUNCTION_DRIVER] = KEY("driver", CHOICE, .unset = "vfio-pci", .choices = drivers),
	[FUNCTION_PF] = KEY("pf", OBJECT, .flags = PARAM_PLACE),
	[FUNCTION_SLOT] = KEY("slot", NUMBER, .flags = PARAM_PLACE, .min = 1, .max = 4094),
	[FUNCTION_QUEUES] = KEY("queues", NUMBER, .min = 1, .max = 64, .maxes = queues_max),
	/* virtqueues of ours (VIRTQ_SIZE_MAX); virtio 1.3, 2.7, would have at most 32768 */
	[FUNCTION_QUEUE_SIZE] = KEY("queue_size", SIZE, .min = 2, .max = 1024),
	[FUNCTION_PACKED] = KEY("packed", BOOL, .unset = "false"),
	[FUNCTION_OWNER] = KEY("owner", ACCOUNT),
	[FUNCTION_GROUP] = KEY("group", ACCOUNT),
	[FUNCTION_MODE] = KEY("mode", MODE, .unset = "0600"),
	[FUNCTION_IMAGE] = KEY("image", PATH, .flags = PARAM_REQUIRED, .type = "blk"),
	[FUNCTION_READONLY] = KEY("readonly", BOOL, .type = "blk", .unset = "false"),
	/* virtio 1.3, 5.2.6: the device id is 20 bytes */
	[FUNCTION_SERIAL] = KEY("serial", TEXT, .type = "blk", .max = 20),
	[FUNCTION_DIRECT] = KEY("direct", BOOL, .type = "blk", .unset = "false"),
	[FUNCTION_SHARE] = KEY("share", BOOL, .type = "blk", .unset = "false"),
	[FUNCTION_SIZE] = KEY("size", BYTES, .flags = PARAM_STATE | PARAM_LATER, .type = "blk",
			      .max = INT64_MAX),
	/* Not given: made up, see net.h. */
	[FUNCTION_MAC] = KEY("mac", MAC, .flags = PARAM_PLACE, .type = "net"),
	/* virtio 1.3, 5.1.4.1: at least 68, the minimum of IPv4 */
	[FUNCTION_MTU] = KEY("mtu", NUMBER, .type = "net", .min = 68, .max = 65535),
	[FUNCTION_BACKEND] =
		KEY("backend", TAP, .type = "net", .unset = "switch", .choices = backends),
	[FUNCTION_TRUST] = KEY("trust", BOOL, .type = "net", .unset = "false"),
	[FUNCTION_LINK] = KEY("link", CHOICE, .flags = PARAM_STATE, .type = "net", .unset = "up",
			      .choices = links),
	[FUNCTION_LEGACY] = KEY("legacy", CHOICE, .driver = "virtio-vfio-pci", .unset = "auto",
				.choices = legacies),
};

static const struct param pf_keys[PF_KEYS] = {
	[PF_TYPE] = KEY("type", CHOICE, .flags = PARAM_REQUIRED, .choices = types),
	[PF_NAME] = KEY("name", OBJECT, .flags = PARAM_REQUIRED),
	[PF_MAX_VFS] = KEY("max_vfs", NUMBER, .unset = "255", .min = 1, .max = 4094),
	[PF_UPLINK] = KEY("uplink", TAP, .type = "net"),
	/* Of the PF's own device, that a Linux host uses. Not given: made up, see net.h. */
	[PF_MAC] = KEY("mac", MAC, .flags = PARAM_PLACE, .type = "net"),
	[PF_IMAGE] = KEY("image", PATH, .type = "blk"),
	/* Of VFs that such a host enables in bulk. */
	[PF_VF_IMAGE] = KEY("vf_image", PATTERN, .type = "blk"),
	[PF_VF_SIZE] = KEY("vf_size", BYTES, .type = "blk", .min = 4096, .max = INT64_MAX),
};

static const struct param export_keys[EXPORT_KEYS] = {
	[EXPORT_NAME] = KEY("name", OBJECT, .flags = PARAM_REQUIRED),
	[EXPORT_OWNER] = KEY("owner", ACCOUNT),
	[EXPORT_GROUP] = KEY("group", ACCOUNT),
	[EXPORT_MODE] = KEY("mode", MODE, .unset = "0600"),
};

const struct param_set params_function = { "a function", FUNCTION_KEYS, FUNCTION_TYPE,
					   FUNCTION_DRIVER, function_keys };
const struct param_set params_pf = { "a PF", PF_KEYS, PF_TYPE, PF_KEYS, pf_keys };
const struct param_set params_export = { "an export", EXPORT_KEYS, EXPORT_KEYS, EXPORT_KEYS,
					 export_keys };

int params_set(struct params *p, unsigned key, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(p->value[key]);
	p->value[key] = copy;
	return 0;
}

/* The key with the bound that it has for the type. */
static struct param key_of_type(const struct params *p, unsigned i)
{
	struct param key = p->set->keys[i];
	const char *type = p->value[p->set->type];

	for (unsigned t = 0; key.maxes && type && types[t]; t++)
		if (!strcmp(types[t], type))
			key.max = key.maxes[t];
	return key;
}

/* A value may come in JSON's own type or, as from a command line, as a string. */
static int value_parse(struct params *p, unsigned i, struct json_object *value, struct error *e)
{
	const struct param *key = &p->set->keys[i], bounded = key_of_type(p, i);
	char out[PATH_MAX + 1];
	const char *text;
	int err;

	switch (json_object_get_type(value)) {
	case json_type_string:
		text = json_object_get_string(value);
		if (strlen(text) != (size_t)json_object_get_string_len(value))
			return error_params(e, "%s: a NUL character; give printable text",
					    key->key);
		break;
	case json_type_boolean:
		if (key->kind != PARAM_BOOL)
			return error_params(e, "%s: does not take a boolean", key->key);
		text = json_object_get_boolean(value) ? "true" : "false";
		break;
	case json_type_int:
		if (key->kind != PARAM_NUMBER && key->kind != PARAM_SIZE &&
		    key->kind != PARAM_BYTES && key->kind != PARAM_ACCOUNT)
			return error_params(e, "%s: does not take a number; give a string",
					    key->key);
		text = json_object_get_string(value);
		break;
	default:
		return error_params(e, "%s: give a string, a number or a boolean", key->key);
	}
	err = param_value(&bounded, text, out, sizeof(out), e);
	if (err)
		return err;
	return params_set(p, i, out) ? error_set(e, ENOMEM, "out of memory") : 0;
}

static bool key_applies(const struct params *p, unsigned i)
{
	const struct param_set *set = p->set;
	const struct param *key = &set->keys[i];

	if (key->type && (!p->value[set->type] || strcmp(p->value[set->type], key->type) != 0))
		return false;
	return !key->driver ||
	       (p->value[set->driver] && !strcmp(p->value[set->driver], key->driver));
}

static int key_unknown(const struct params *p, const char *name, struct error *e)
{
	char words[256] = "";

	for (unsigned i = 0; i < p->set->n; i++)
		if (!(p->set->keys[i].flags & PARAM_LATER) &&
		    (key_applies(p, i) || (p->set->keys[i].driver && !p->set->keys[i].type)))
			param_words_add(words, sizeof(words), p->set->keys[i].key);
	return error_params(e, "there is no key %s for %s%s%s; the keys are %s", name, p->set->what,
			    p->value[p->set->type] ? " of type " : "",
			    p->value[p->set->type] ? p->value[p->set->type] : "", words);
}

int params_change(struct params *p, const char *name, struct json_object *value, struct error *e)
{
	const char *type = params_text(p, p->set->type);
	char words[128] = "";

	for (unsigned i = 0; i < p->set->n; i++) {
		const struct param *key = &p->set->keys[i];
		int err;

		if (!(key->flags & PARAM_STATE) || !key_applies(p, i))
			continue;
		param_words_add(words, sizeof(words), key->key);
		if (!name || strcmp(name, key->key) != 0)
			continue;
		err = value_parse(p, i, value, e);
		if (!err)
			p->given |= 1u << i;
		return err;
	}
	if (!words[0])
		return error_params(e, "nothing of a function of type %s can be set; make another",
				    type);
	if (!name)
		return error_params(e, "nothing to set; of a function of type %s can be set %s",
				    type, words);
	return error_params(e, "%s cannot be set; of a function of type %s can be set %s", name,
			    type, words);
}

bool params_same(const struct params *a, const struct params *b)
{
	for (unsigned i = 0; i < a->set->n; i++) {
		const struct param *key = &a->set->keys[i];

		if (i == a->set->driver || key->driver || (key->flags & PARAM_STATE))
			continue;
		if (!a->value[i] != !b->value[i] ||
		    (a->value[i] && strcmp(a->value[i], b->value[i]) != 0))
			return false;
	}
	return true;
}

void params_take_state(struct params *to, struct params *from)
{
	for (unsigned i = 0; i < to->set->n; i++)
		if (to->set->keys[i].flags & PARAM_STATE) {
			char *value = to->value[i];

			to->value[i] = from->value[i];
			from->value[i] = value;
		}
}

static int params_fill_key(struct params *p, unsigned i)
{
	const struct param *key = &p->set->keys[i];

	if (p->value[i] || !key->unset || !key_applies(p, i))
		return 0;
	return params_set(p, i, key->unset);
}

int params_fill(struct params *p)
{
	int err = 0;

	for (unsigned i = 0; i < p->set->n && !err; i++)
		err = params_fill_key(p, i);
	return err;
}

static int key_check(struct params *p, unsigned i, struct error *e)
{
	const struct param *key = &p->set->keys[i];

	if (p->value[i] && !key_applies(p, i)) {
		if (key->type && strcmp(p->value[p->set->type], key->type) != 0)
			return key_unknown(p, key->key, e);
		return error_params(
			e, "%s means something only to driver %s; leave it out, or give driver=%s",
			key->key, key->driver, key->driver);
	}
	if (p->value[i] && (key->flags & PARAM_LATER))
		return error_params(e,
				    "%s can be given to what exists only; leave it out, and set "
				    "it then",
				    key->key);
	if (!p->value[i] && (key->flags & PARAM_REQUIRED) && key_applies(p, i))
		return error_params(e, "%s is missing; give %s=...", key->key, key->key);
	if (params_fill_key(p, i))
		return error_set(e, ENOMEM, "out of memory");
	return 0;
}

static int object_parse(struct params *p, struct json_object *object, struct error *e)
{
	const struct param_set *set = p->set;
	struct json_object *value;

	/* In the table's order: the type and the driver decide about the keys after them. */
	for (unsigned i = 0; i < set->n; i++) {
		int err = 0;

		if (json_object_object_get_ex(object, set->keys[i].key, &value)) {
			err = value_parse(p, i, value, e);
			p->given |= 1u << i;
		}
		if (!err)
			err = key_check(p, i, e);
		if (err)
			return err;
	}
	json_object_object_foreach(object, name, any)
	{
		unsigned i = 0;

		(void)any;
		while (i < set->n && strcmp(set->keys[i].key, name) != 0)
			i++;
		if (i == set->n)
			return key_unknown(p, name, e);
	}
	return 0;
}

int params_parse(struct params *p, const struct param_set *set, struct json_object *object,
		 struct error *e)
{
	int err;

	*p = (struct params){ .set = set };
	if (object && !json_object_is_type(object, json_type_object))
		return error_params(e, "params: give an object with named members");
	err = object_parse(p, object, e);
	if (err)
		params_free(p);
	return err;
}

int params_parse_text(struct params *p, const struct param_set *set, const char *spec,
		      struct error *e)
{
	struct json_object *object = json_tokener_parse(spec);
	struct params raw = { .set = set };
	int err = 0;

	if (!object || !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return error_params(e, "the spec is not a JSON object");
	}
	/*
	 * What was legal when the function was made is taken as it is: a bind may have left a key
	 * behind that only the driver before understood.
	 */
	for (unsigned i = 0; i < set->n && !err; i++) {
		struct json_object *value;

		if (json_object_object_get_ex(object, set->keys[i].key, &value))
			err = value_parse(&raw, i, value, e);
	}
	json_object_put(object);
	if (err)
		params_free(&raw);
	else
		*p = raw;
	return err;
}

int params_strings(struct json_object *object, const char *const *names, const char **const *values,
		   struct error *e)
{
	struct json_object *value;
	int n = 0;

	if (!json_object_is_type(object, json_type_object)) {
		/* By position, there may be none. */
		if (object && json_object_array_length(object))
			return error_params(e, "params: give an object with named members");
		return names[0] ? error_params(e, "%s is missing; give %s", names[0], names[0]) : 0;
	}
	for (; names[n]; n++) {
		if (!json_object_object_get_ex(object, names[n], &value))
			return error_params(e, "%s is missing; give %s", names[n], names[n]);
		if (!json_object_is_type(value, json_type_string))
			return error_params(e, "%s: give a string", names[n]);
		*values[n] = json_object_get_string(value);
	}
	if (json_object_object_length(object) == n)
		return 0;
	json_object_object_foreach(object, key, any)
	{
		int i = 0;

		(void)any;
		while (i < n && strcmp(key, names[i]) != 0)
			i++;
		if (i == n)
			return error_params(e, "there is no key %s here; leave it out", key);
	}
	return 0;
}

static int names_take(struct json_object *object, const char *right, bool *force,
		      struct json_object **names, struct error *e)
{
	json_object_object_foreach(object, key, value)
	{
		bool one = !strcmp(key, "name");

		if (force && !strcmp(key, "force") &&
		    json_object_is_type(value, json_type_boolean)) {
			*force = json_object_get_boolean(value);
		} else if (*names || (!one && strcmp(key, "names") != 0) ||
			   (!one && !json_object_is_type(value, json_type_array))) {
			return error_params(e, "%s: %s", key, right);
		} else if (one) {
			*names = json_object_new_array();
			json_object_array_add(*names, json_object_get(value));
		} else {
			*names = json_object_get(value);
		}
	}
	return 0;
}

int params_names(struct json_object *object, const char *right, bool *force,
		 struct json_object **names, struct error *e)
{
	int err = 0;

	*names = NULL;
	if (json_object_is_type(object, json_type_object))
		err = names_take(object, right, force, names, e);
	else if (object && json_object_array_length(object))
		err = error_params(e, "params: %s", right);
	if (err)
		json_object_put(*names);
	else if (!*names)
		*names = json_object_new_array();
	return err;
}

int params_copy(struct params *to, const struct params *from)
{
	*to = (struct params){ .set = from->set, .given = from->given };
	for (unsigned i = 0; i < PARAMS_MAX; i++)
		if (from->value[i] && params_set(to, i, from->value[i])) {
			params_free(to);
			return -ENOMEM;
		}
	return 0;
}

void params_free(struct params *p)
{
	for (unsigned i = 0; i < PARAMS_MAX; i++) {
		free(p->value[i]);
		p->value[i] = NULL;
	}
}

const char *params_text(const struct params *p, unsigned key)
{
	return p->value[key];
}

bool params_bool(const struct params *p, unsigned key)
{
	return p->value[key] && !strcmp(p->value[key], "true");
}

uint64_t params_number(const struct params *p, unsigned key)
{
	return p->value[key] ? strtoull(p->value[key], NULL, 10) : 0;
}

struct json_object *params_json(const struct params *p)
{
	struct json_object *object = json_object_new_object();

	for (unsigned i = 0; p->set && i < p->set->n; i++) {
		const struct param *key = &p->set->keys[i];
		struct json_object *value;

		if (!p->value[i])
			continue;
		if (key->kind == PARAM_BOOL)
			value = json_object_new_boolean(params_bool(p, i));
		else if (key->kind == PARAM_NUMBER || key->kind == PARAM_SIZE ||
			 (key->kind == PARAM_BYTES && strcmp(p->value[i], PARAM_BYTES_ALL) != 0))
			value = json_object_new_int64((int64_t)params_number(p, i));
		else
			value = json_object_new_string(p->value[i]);
		json_object_object_add_ex(object, key->key, value,
					  JSON_C_OBJECT_ADD_KEY_IS_NEW |
						  JSON_C_OBJECT_ADD_CONSTANT_KEY);
	}
	return object;
}

unsigned params_diff(const struct params *have, const struct params *asked, char *text, size_t len)
{
	unsigned n = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < asked->set->n; i++) {
		const struct param *key = &asked->set->keys[i];
		const char *a = have->value[i] ? have->value[i] : key->unset;
		const char *b = asked->value[i] ? asked->value[i] : key->unset;
		size_t used = strlen(text);

		if ((key->flags & (PARAM_PLACE | PARAM_STATE)) && !(asked->given & 1u << i))
			continue;
		if (!key_applies(asked, i) || (!a && !b) || (a && b && !strcmp(a, b)))
			continue;
		snprintf(text + used, len - used, "%s%s (have %s, asked %s)", n ? ", " : "",
			 key->key, a ? a : "none", b ? b : "none");
		n++;
	}
	return n;
}

int params_driver_serves(const char *driver, struct error *e)
{
	int err = param_choice(&function_keys[FUNCTION_DRIVER], driver, e);

	return err ? err : strcmp(driver, "none") != 0;
}
