/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/params.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum param_kind {
	PARAM_CHOICE, /* one of the words in choices */
	PARAM_OBJECT, /* the name of a function or a PF */
	PARAM_NUMBER, /* min..max */
	PARAM_SIZE,   /* min..max, K, M and G are understood; a power of two */
	PARAM_BOOL,
	PARAM_MODE,    /* permission bits, octal */
	PARAM_ACCOUNT, /* a user or group, by name or number; looked up when it is used */
	PARAM_PATH,    /* absolute */
	PARAM_TEXT,    /* at most max bytes of printable ASCII */
};

#define PARAM_REQUIRED 0x1u
#define PARAM_PLACE    0x2u /* where, not what: not asked for means anywhere */

struct param {
	const char *key;
	enum param_kind kind;
	unsigned flags;
	const char *type;   /* only for functions of this type; NULL: all */
	const char *driver; /* only with this driver; NULL: all */
	const char *unset;  /* the value that stands for no value, or NULL */
	const char *const *choices;
	uint64_t min, max;
};

struct param_set {
	const char *what;
	unsigned n, type, driver; /* number of keys; keys of the type and the driver, or n */
	const struct param *keys;
};

/* The types and drivers of this version. */
static const char *const types[] = { "blk", "rng", NULL };
static const char *const drivers[] = { "vfio-pci", "virtio-vfio-pci", "none", NULL };
static const char *const legacies[] = { "auto", "only", NULL };

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
	[FUNCTION_QUEUES] = KEY("queues", NUMBER, .min = 1, .max = 1024),
	/* virtio 1.3, 2.7: a split virtqueue holds at most 32768 */
	[FUNCTION_QUEUE_SIZE] = KEY("queue_size", SIZE, .min = 2, .max = 32768),
	[FUNCTION_OWNER] = KEY("owner", ACCOUNT),
	[FUNCTION_GROUP] = KEY("group", ACCOUNT),
	[FUNCTION_MODE] = KEY("mode", MODE, .unset = "0600"),
	[FUNCTION_IMAGE] = KEY("image", PATH, .flags = PARAM_REQUIRED, .type = "blk"),
	[FUNCTION_READONLY] = KEY("readonly", BOOL, .type = "blk", .unset = "false"),
	/* virtio 1.3, 5.2.6: the device id is 20 bytes */
	[FUNCTION_SERIAL] = KEY("serial", TEXT, .type = "blk", .max = 20),
	[FUNCTION_DIRECT] = KEY("direct", BOOL, .type = "blk", .unset = "false"),
	[FUNCTION_SHARE] = KEY("share", BOOL, .type = "blk", .unset = "false"),
	[FUNCTION_LEGACY] = KEY("legacy", CHOICE, .driver = "virtio-vfio-pci", .unset = "auto",
				.choices = legacies),
};

static const struct param pf_keys[PF_KEYS] = {
	[PF_TYPE] = KEY("type", CHOICE, .flags = PARAM_REQUIRED, .choices = types),
	[PF_NAME] = KEY("name", OBJECT, .flags = PARAM_REQUIRED),
	[PF_MAX_VFS] = KEY("max_vfs", NUMBER, .unset = "255", .min = 1, .max = 4094),
};

const struct param_set params_function = { "a function", FUNCTION_KEYS, FUNCTION_TYPE,
					   FUNCTION_DRIVER, function_keys };
const struct param_set params_pf = { "a PF", PF_KEYS, PF_TYPE, PF_KEYS, pf_keys };

static const char *const suffixes = "KMG";

const char *params_name_wrong(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > 63)
		return "a name has 1 to 63 characters";
	if (name[0] == '.' || name[0] == '-')
		return "a name does not begin with '.' or '-'";
	if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") !=
	    len)
		return "a name is made of A-Z a-z 0-9 . _ -";
	return NULL;
}

static bool choice_has(const char *const *choices, const char *word)
{
	for (; *choices; choices++)
		if (!strcmp(*choices, word))
			return true;
	return false;
}

/* "a, b, c" */
static void text_add(char *text, size_t len, const char *word)
{
	size_t n = strlen(text);

	snprintf(text + n, len - n, "%s%s", n ? ", " : "", word);
}

static int choice_check(const struct param *key, const char *text, struct error *e)
{
	char words[128] = "";

	if (choice_has(key->choices, text))
		return 0;
	for (const char *const *c = key->choices; *c; c++)
		text_add(words, sizeof(words), *c);
	return error_params(e, "%s=%s: there is no such %s; give one of %s", key->key, text,
			    key->key, words);
}

static int number_parse(const struct param *key, const char *text, uint64_t *number,
			struct error *e)
{
	bool size = key->kind == PARAM_SIZE;
	const char *suffix;
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	/* strtoull() takes signs and leading space, too. */
	if (text[0] < '0' || text[0] > '9' || errno)
		goto wrong;
	suffix = size && *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		unsigned shift = 10 * (unsigned)(suffix - suffixes + 1);

		if (value > UINT64_MAX >> shift)
			goto wrong;
		value <<= shift;
		end++;
	}
	if (*end || value < key->min || value > key->max || (size && (value & (value - 1))))
		goto wrong;
	*number = value;
	return 0;
wrong:
	return error_params(e, "%s=%s: give a %s from %llu to %llu", key->key, text,
			    size ? "power of two" : "number", (unsigned long long)key->min,
			    (unsigned long long)key->max);
}

/* Writes the canonical spelling of text to out. */
static int value_check(const struct param *key, const char *text, char *out, size_t len,
		       struct error *e)
{
	size_t n = strlen(text);
	uint64_t number = 0;
	char *end;
	int err;

	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return error_params(e, "%s: a control character; give printable text",
					    key->key);
	snprintf(out, len, "%s", text);
	switch (key->kind) {
	case PARAM_CHOICE:
		return choice_check(key, text, e);
	case PARAM_OBJECT:
		if (params_name_wrong(text))
			return error_params(e, "%s=%s: %s", key->key, text,
					    params_name_wrong(text));
		return 0;
	case PARAM_NUMBER:
	case PARAM_SIZE:
		err = number_parse(key, text, &number, e);
		if (!err)
			snprintf(out, len, "%llu", (unsigned long long)number);
		return err;
	case PARAM_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return error_params(e, "%s=%s: give true or false", key->key, text);
		return 0;
	case PARAM_MODE:
		number = strtoul(text, &end, 8);
		if (*end || text[0] < '0' || text[0] > '7' || n > 5 || number > 0777)
			return error_params(e, "%s=%s: give octal permissions, as in 0660",
					    key->key, text);
		snprintf(out, len, "%04o", (unsigned)number);
		return 0;
	case PARAM_ACCOUNT:
		if (n < 1 || n > 63)
			return error_params(e, "%s=%s: give a name or a number", key->key, text);
		return 0;
	case PARAM_PATH:
		if (text[0] != '/')
			return error_params(e, "%s=%s: give an absolute path", key->key, text);
		if (n >= PATH_MAX)
			return error_params(e, "%s: the path is too long", key->key);
		return 0;
	case PARAM_TEXT:
		if (n < 1 || n > key->max)
			return error_params(e, "%s=%s: give 1 to %u characters", key->key, text,
					    (unsigned)key->max);
		for (const char *c = text; *c; c++)
			if ((unsigned char)*c > 0x7e)
				return error_params(e, "%s=%s: give ASCII characters", key->key,
						    text);
		return 0;
	}
	return error_params(e, "%s: cannot be given", key->key);
}

int params_set(struct params *p, unsigned key, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(p->value[key]);
	p->value[key] = copy;
	return 0;
}

/* A value may come in JSON's own type or, as from a command line, as a string. */
static int value_parse(struct params *p, unsigned i, struct json_object *value, struct error *e)
{
	const struct param *key = &p->set->keys[i];
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
		    key->kind != PARAM_ACCOUNT)
			return error_params(e, "%s: does not take a number; give a string",
					    key->key);
		text = json_object_get_string(value);
		break;
	default:
		return error_params(e, "%s: give a string, a number or a boolean", key->key);
	}
	err = value_check(key, text, out, sizeof(out), e);
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
		if (key_applies(p, i) || (p->set->keys[i].driver && !p->set->keys[i].type))
			text_add(words, sizeof(words), p->set->keys[i].key);
	return error_params(e, "there is no key %s for %s%s%s; the keys are %s", name, p->set->what,
			    p->value[p->set->type] ? " of type " : "",
			    p->value[p->set->type] ? p->value[p->set->type] : "", words);
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

		if (json_object_object_get_ex(object, set->keys[i].key, &value))
			err = value_parse(p, i, value, e);
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

	for (; names[n]; n++) {
		if (!json_object_is_type(object, json_type_object) ||
		    !json_object_object_get_ex(object, names[n], &value))
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

int params_copy(struct params *to, const struct params *from)
{
	*to = (struct params){ .set = from->set };
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
		else if (key->kind == PARAM_NUMBER || key->kind == PARAM_SIZE)
			value = json_object_new_int64((int64_t)params_number(p, i));
		else
			value = json_object_new_string(p->value[i]);
		json_object_object_add(object, key->key, value);
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

		if ((key->flags & PARAM_PLACE) && !b)
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
	int err = choice_check(&function_keys[FUNCTION_DRIVER], driver, e);

	return err ? err : strcmp(driver, "none") != 0;
}
