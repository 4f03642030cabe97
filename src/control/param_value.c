/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/param_keys.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

const char *params_tap(const char *text)
{
	return strncmp(text, "tap:", 4) ? NULL : text + 4;
}

static bool choice_has(const char *const *choices, const char *word)
{
	for (; *choices; choices++)
		if (!strcmp(*choices, word))
			return true;
	return false;
}

void param_words_add(char *text, size_t len, const char *word)
{
	size_t n = strlen(text);

	snprintf(text + n, len - n, "%s%s", n ? ", " : "", word);
}

int param_choice(const struct param *key, const char *text, struct error *e)
{
	char words[128] = "";

	if (choice_has(key->choices, text))
		return 0;
	for (const char *const *c = key->choices; *c; c++)
		param_words_add(words, sizeof(words), *c);
	return error_params(e, "%s=%s: there is no such %s; give one of %s", key->key, text,
			    key->key, words);
}

static int number_parse(const struct param *key, const char *text, uint64_t *number,
			struct error *e)
{
	bool size = key->kind == PARAM_SIZE || key->kind == PARAM_BYTES;
	bool power = key->kind == PARAM_SIZE;
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
	if (*end || value < key->min || value > key->max || (power && (value & (value - 1))))
		goto wrong;
	*number = value;
	return 0;
wrong:
	if (key->min == key->max)
		return error_params(e, "%s=%s: give %llu, or leave it out", key->key, text,
				    (unsigned long long)key->max);
	return error_params(e, "%s=%s: give a %s from %llu to %llu", key->key, text,
			    power  ? "power of two"
			    : size ? "number of bytes"
				   : "number",
			    (unsigned long long)key->min, (unsigned long long)key->max);
}

static int bytes_check(const struct param *key, const char *text, char *out, size_t len,
		       struct error *e)
{
	uint64_t number = 0;
	int err;

	if (!key->min && !strcmp(text, PARAM_BYTES_ALL))
		return 0;
	err = number_parse(key, text, &number, e);
	if (err && key->min)
		return error_params(e, "%s=%s: give a number of bytes (K, M, G), %llu or more",
				    key->key, text, (unsigned long long)key->min);
	if (err)
		return error_params(e, "%s=%s: give a number of bytes (K, M, G), or %s", key->key,
				    text, PARAM_BYTES_ALL);
	if (number)
		snprintf(out, len, "%llu", (unsigned long long)number);
	else
		snprintf(out, len, "%s", PARAM_BYTES_ALL);
	return 0;
}

/* At least one %n, and no other %. */
static bool pattern_ok(const char *text)
{
	const char *percent = strchr(text, '%');
	bool ok = percent;

	for (; percent; percent = strchr(percent + 1, '%'))
		ok &= percent[1] == 'n';
	return ok;
}

int params_mac(const char *text, uint8_t mac[6])
{
	for (size_t i = 0; i < 6; i++) {
		const char *pair = text + 3 * i;
		unsigned value;

		if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]) ||
		    pair[2] != (i < 5 ? ':' : '\0') || sscanf(pair, "%2x", &value) != 1)
			return -EINVAL;
		mac[i] = (uint8_t)value;
	}
	return 0;
}

static int mac_check(const struct param *key, const char *text, char *out, struct error *e)
{
	static const uint8_t zero[6];
	uint8_t mac[6];

	if (params_mac(text, mac))
		return error_params(e, "%s=%s: give six bytes, as in 52:54:00:12:34:56", key->key,
				    text);
	/* IEEE 802, 8.2: the first bit on the wire says that it is a group's address. */
	if ((mac[0] & 1) || !memcmp(mac, zero, sizeof(mac)))
		return error_params(e,
				    "%s=%s: no station's address; give a unicast one, as in "
				    "52:54:00:12:34:56",
				    key->key, text);
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return 0;
}

static int tap_check(const struct param *key, const char *text, struct error *e)
{
	const char *name = params_tap(text);
	char words[64] = "";

	for (const char *const *c = key->choices; c && *c; c++) {
		if (!strcmp(*c, text))
			return 0;
		param_words_add(words, sizeof(words), *c);
	}
	param_words_add(words, sizeof(words), "tap:IFNAME");
	if (!name)
		return error_params(e, "%s=%s: give %s%s", key->key, text,
				    key->choices ? "one of " : "", words);
	/* What the kernel takes for a name (dev_valid_name); '%' would make it choose a number. */
	if (!name[0] || strlen(name) >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, "..") ||
	    strpbrk(name, "/: %"))
		return error_params(e,
				    "%s=%s: no interface has that name; give 1 to %d characters "
				    "without '/', ':', '%%' and spaces",
				    key->key, text, IFNAMSIZ - 1);
	return 0;
}

int param_value(const struct param *key, const char *text, char *out, size_t len, struct error *e)
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
		return param_choice(key, text, e);
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
	case PARAM_BYTES:
		return bytes_check(key, text, out, len, e);
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
	case PARAM_PATTERN:
		if (!pattern_ok(text))
			return error_params(e, "%s=%s: give a path with %%n for the VF's number",
					    key->key, text);
		/* fall through */
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
	case PARAM_MAC:
		return mac_check(key, text, out, e);
	case PARAM_TAP:
		return tap_check(key, text, e);
	}
	return error_params(e, "%s: cannot be given", key->key);
}
