/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What params.c, with the tables, and param_value.c, with the spelling of values, share.
 */
#ifndef RIDGE_CONTROL_PARAM_KEYS_H
#define RIDGE_CONTROL_PARAM_KEYS_H

#include "control/params.h"

enum param_kind {
	PARAM_CHOICE, /* one of the words in choices */
	PARAM_OBJECT, /* the name of a function or a PF */
	PARAM_NUMBER, /* min..max */
	PARAM_SIZE,   /* min..max, K, M and G are understood; a power of two */
	PARAM_BYTES,  /* min..max, K, M and G are understood; min 0: or PARAM_BYTES_ALL */
	PARAM_BOOL,
	PARAM_MODE,    /* permission bits, octal */
	PARAM_ACCOUNT, /* a user or group, by name or number; looked up when it is used */
	PARAM_PATH,    /* absolute */
	PARAM_PATTERN, /* the same, with %n in it for a number */
	PARAM_TEXT,    /* at most max bytes of printable ASCII */
	PARAM_MAC,     /* a unicast address, as in 52:54:00:12:34:56 */
	PARAM_TAP,     /* tap:IFNAME, or one of the words in choices */
};

#define PARAM_BYTES_ALL "image" /* as many as the image has; 0 is the same */

#define PARAM_REQUIRED 0x1u
#define PARAM_PLACE    0x2u /* where, not what: not asked for means anywhere */
#define PARAM_STATE    0x4u /* function.set changes it: not asked for means as it is */
#define PARAM_LATER    0x8u /* function.set alone gives it */

struct param {
	const char *key;
	enum param_kind kind;
	unsigned flags;
	const char *type;   /* only for functions of this type; NULL: all */
	const char *driver; /* only with this driver; NULL: all */
	const char *unset;  /* the value that stands for no value, or NULL */
	const char *const *choices;
	uint64_t min, max;
	const uint64_t *maxes; /* by type, in the order of its words; NULL: max for all */
};

struct param_set {
	const char *what;
	unsigned n, type, driver; /* number of keys; keys of the type and the driver, or n */
	const struct param *keys;
};

/* "a, b, c" in text, of len bytes. */
void param_words_add(char *text, size_t len, const char *word);

/* Whether text is one of the key's words. Returns 0, or -EINVAL with e set. */
int param_choice(const struct param *key, const char *text, struct error *e);

/* Writes the canonical spelling of text to out. Returns 0, or -EINVAL with e set. */
int param_value(const struct param *key, const char *text, char *out, size_t len, struct error *e);

#endif
