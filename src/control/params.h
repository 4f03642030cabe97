/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parameters of functions and PFs: which keys there are, for which types and drivers, and
 * which values are legal. All of that is in two tables in params.c; the spelling of values is in
 * param_value.c.
 *
 * A value is kept in one canonical spelling, so that two sets of parameters are the same exactly
 * when their texts are: "1K" and 1024, true and "true", "660" and "0660" are no difference. The
 * JSON of the canonical parameters is the spec that a PF process keeps for its functions, and from
 * which a new ridged gets them back.
 */
#ifndef RIDGE_CONTROL_PARAMS_H
#define RIDGE_CONTROL_PARAMS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/error.h"

/* Keys of function.create, in the order in which people see them. */
enum function_key {
	FUNCTION_TYPE,
	FUNCTION_NAME,
	FUNCTION_DRIVER,
	FUNCTION_PF,
	FUNCTION_SLOT,
	FUNCTION_QUEUES,
	FUNCTION_QUEUE_SIZE,
	FUNCTION_PACKED,
	FUNCTION_OWNER,
	FUNCTION_GROUP,
	FUNCTION_MODE,
	FUNCTION_IMAGE,
	FUNCTION_READONLY,
	FUNCTION_SERIAL,
	FUNCTION_DIRECT,
	FUNCTION_SHARE,
	FUNCTION_SIZE,
	FUNCTION_MAC,
	FUNCTION_MTU,
	FUNCTION_BACKEND,
	FUNCTION_TRUST,
	FUNCTION_LINK,
	FUNCTION_LEGACY,
	FUNCTION_KEYS,
};

/* Keys of pf.add. */
enum pf_key {
	PF_TYPE,
	PF_NAME,
	PF_MAX_VFS,
	PF_UPLINK,
	PF_MAC,
	PF_IMAGE,
	PF_VF_IMAGE,
	PF_VF_SIZE,
	PF_KEYS,
};

/* Keys of pf.export. */
enum export_key {
	EXPORT_NAME,
	EXPORT_OWNER,
	EXPORT_GROUP,
	EXPORT_MODE,
	EXPORT_KEYS,
};

#define PARAMS_MAX FUNCTION_KEYS

struct param_set;
extern const struct param_set params_function;
extern const struct param_set params_pf;
extern const struct param_set params_export;

struct params {
	const struct param_set *set;
	char *value[PARAMS_MAX]; /* canonical text by key, NULL: not given */
	uint32_t given;          /* bits by key: not by default */
};

/*
 * Reads the members of object, an object (or NULL: none). Fills in defaults. Returns 0 or -EINVAL
 * with e set; params_free() is due only after success.
 */
int params_parse(struct params *p, const struct param_set *set, struct json_object *object,
		 struct error *e);

/* The same from a spec text, which comes from a PF process. */
int params_parse_text(struct params *p, const struct param_set *set, const char *spec,
		      struct error *e);

/*
 * Reads the members with these names (NULL-terminated) of an object, strings that all must be
 * there, and no others. object may be NULL, or the array that a request's params can be, which has
 * no such members. Returns 0 or -EINVAL with e set. *values[i] live as long as object.
 */
int params_strings(struct json_object *object, const char *const *names, const char **const *values,
		   struct error *e);

/*
 * Reads the member name or names, one of the two, of an object with no others, but for force (a
 * boolean) if force is not NULL. *names is an array, to be put, of the one or of all; it is empty
 * without such a member. They may be many, so who goes through them looks whether they are strings.
 * right: what to give, for errors. Returns 0 or -EINVAL with e set.
 */
int params_names(struct json_object *object, const char *right, bool *force,
		 struct json_object **names, struct error *e);

int params_copy(struct params *to, const struct params *from); /* 0 or -ENOMEM */
void params_free(struct params *p);

/* Replaces a value by text that is canonical already. Returns 0 or -ENOMEM. */
int params_set(struct params *p, unsigned key, const char *text);

/*
 * Changes a value of what exists: a key that function.set takes, in JSON. Marks it as given.
 * Returns 0, or -EINVAL with e set, which names the keys that can be set; name NULL: no key was
 * given, and that is the error.
 */
int params_change(struct params *p, const char *name, struct json_object *value, struct error *e);

/*
 * Whether two sets of parameters are the same but for what function.bind and function.set change:
 * the driver and what belongs to it, and states.
 */
bool params_same(const struct params *a, const struct params *b);

/* Takes over the values that params_change() changes. */
void params_take_state(struct params *to, struct params *from);

/* Gives keys that have a default and apply (to a driver just set, say) their value. */
int params_fill(struct params *p); /* 0 or -ENOMEM */

const char *params_text(const struct params *p, unsigned key); /* NULL: not given */
bool params_bool(const struct params *p, unsigned key);
uint64_t params_number(const struct params *p, unsigned key); /* 0: not given */

/* A new object with the values that are set, in JSON's own types. */
struct json_object *params_json(const struct params *p);

/*
 * Writes what of asked differs from have to text, as "key (have a, asked b), ...". A place (pf,
 * slot) or a state (link) that was not asked for is no difference. Returns the number of
 * differences.
 */
unsigned params_diff(const struct params *have, const struct params *asked, char *text, size_t len);

/* 1..63 of [A-Za-z0-9._-], not starting with '.' or '-'. Returns NULL, or what is wrong. */
const char *params_name_wrong(const char *name);

/* The bytes of a MAC address in text. Returns 0 or -EINVAL. */
int params_mac(const char *text, uint8_t mac[6]);

/* The interface's name in "tap:IFNAME", or NULL if text is something else. */
const char *params_tap(const char *text);

/* Whether a driver serves a vfio-user socket; -EINVAL with e set when there is no such driver. */
int params_driver_serves(const char *driver, struct error *e);

#endif
