/* SPDX-License-Identifier: BSD-3-Clause */
/* Parameters: what is accepted, in which spelling it is kept, and what is said of the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/params.h"

static int parse(struct params *p, const struct param_set *set, const char *text, struct error *e)
{
	struct json_object *object = json_tokener_parse(text);
	int err;

	assert_non_null(object);
	err = params_parse(p, set, object, e);
	json_object_put(object);
	return err;
}

static void spec_is(const struct params *p, const char *text)
{
	struct json_object *object = params_json(p);

	assert_string_equal(
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE),
		text);
	json_object_put(object);
}

static void accepts(const char *text, const char *spec)
{
	struct params p, again;
	struct error e;

	if (parse(&p, &params_function, text, &e))
		fail_msg("%s: %s", text, e.text);
	spec_is(&p, spec);
	/* A spec is read back as it was written. */
	assert_int_equal(params_parse_text(&again, &params_function, spec, &e), 0);
	spec_is(&again, spec);
	params_free(&again);
	params_free(&p);
}

static void refuses(const char *text, const char *why)
{
	struct error e = { 0 };
	struct params p;

	if (!parse(&p, &params_function, text, &e))
		fail_msg("%s was accepted", text);
	assert_int_equal(e.code, ERROR_INVALID_PARAMS);
	assert_string_equal(e.text, why);
}

static void defaults(void **state)
{
	(void)state;
	accepts("{\"type\":\"rng\",\"name\":\"a\"}",
		"{\"type\":\"rng\",\"name\":\"a\",\"driver\":\"vfio-pci\",\"packed\":false,\"mode\":\"0600\"}");
	accepts("{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\"}",
		"{\"type\":\"blk\",\"name\":\"a\",\"driver\":\"vfio-pci\",\"packed\":false,\"mode\":\"0600\","
		"\"image\":\"/i\",\"readonly\":false,\"direct\":false,\"share\":false}");
	accepts("{\"type\":\"rng\",\"name\":\"a\",\"driver\":\"virtio-vfio-pci\"}",
		"{\"type\":\"rng\",\"name\":\"a\",\"driver\":\"virtio-vfio-pci\",\"packed\":false,\"mode\":\"0600\","
		"\"legacy\":\"auto\"}");
}

static void one_spelling(void **state)
{
	static const char spec[] =
		"{\"type\":\"blk\",\"name\":\"a\",\"driver\":\"virtio-vfio-pci\",\"pf\":\"p\","
		"\"slot\":7,\"queues\":2,\"queue_size\":1024,\"packed\":true,\"owner\":\"1000\",\"group\":\"kvm\","
		"\"mode\":\"0660\",\"image\":\"/i\",\"readonly\":true,\"serial\":\"s 1\","
		"\"direct\":false,\"share\":true,\"legacy\":\"only\"}";

	(void)state;
	accepts(spec, spec);
	/* As a command line gives them: strings, in any order. */
	accepts("{\"legacy\":\"only\",\"share\":\"true\",\"direct\":\"false\",\"serial\":\"s 1\","
		"\"readonly\":\"true\",\"image\":\"/i\",\"mode\":\"660\",\"group\":\"kvm\","
		"\"owner\":1000,\"packed\":\"true\",\"queue_size\":\"1K\",\"queues\":\"02\",\"slot\":\"7\",\"pf\":\"p\","
		"\"driver\":\"virtio-vfio-pci\",\"name\":\"a\",\"type\":\"blk\"}",
		spec);
}

static void unknown_words(void **state)
{
	(void)state;
	refuses("{\"type\":\"net2\",\"name\":\"a\"}",
		"type=net2: there is no such type; give one of blk, net, rng");
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"driver\":\"uio\"}",
		"driver=uio: there is no such driver; give one of vfio-pci, virtio-vfio-pci, none");
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"colour\":\"red\"}",
		"there is no key colour for a function of type rng; the keys are type, name, driver, "
		"pf, slot, queues, queue_size, packed, owner, group, mode, legacy");
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"image\":\"/i\"}",
		"there is no key image for a function of type rng; the keys are type, name, driver, "
		"pf, slot, queues, queue_size, packed, owner, group, mode, legacy");
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"legacy\":\"auto\"}",
		"legacy means something only to driver virtio-vfio-pci; leave it out, or give "
		"driver=virtio-vfio-pci");
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"driver\":\"virtio-vfio-pci\",\"legacy\":\"no\"}",
		"legacy=no: there is no such legacy; give one of auto, only");
}

static void missing(void **state)
{
	(void)state;
	refuses("{}", "type is missing; give type=...");
	refuses("{\"type\":\"rng\"}", "name is missing; give name=...");
	refuses("{\"type\":\"blk\",\"name\":\"a\"}", "image is missing; give image=...");
	refuses("[]", "params: give an object with named members");
}

#define LONGEST "x23456789012345678901234567890123456789012345678901234567890123"

static void names(void **state)
{
	static const char *const good[] = { "a", "A-b_c.9", "0", "_", LONGEST };
	static const char *const bad[] = { "",   ".a",  "-a",       "a/b",      "a b",
					   "..", "a\n", "\xc3\xa9", LONGEST "4" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(params_name_wrong(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(params_name_wrong(bad[i]));
	refuses("{\"type\":\"rng\",\"name\":\"../x\"}",
		"name=../x: a name does not begin with '.' or '-'");
	refuses("{\"type\":\"rng\",\"name\":\"a\\u0000b\"}",
		"name: a NUL character; give printable text");
	refuses("{\"type\":\"rng\",\"name\":\"a\\nb\"}",
		"name: a control character; give printable text");
	refuses("{\"type\":\"rng\",\"name\":5}", "name: does not take a number; give a string");
}

static void numbers(void **state)
{
	static const char *const bad[] = {
		"0", "-1", "+1", " 1", "1 ", "", "0x1", "4095", "1K", "1.0", "18446744073709551617"
	};
	char text[128], why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"type\":\"rng\",\"name\":\"a\",\"slot\":\"%s\"}",
			 bad[i]);
		snprintf(why, sizeof(why), "slot=%s: give a number from 1 to 4094", bad[i]);
		refuses(text, why);
	}
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"slot\":-3}",
		"slot=-3: give a number from 1 to 4094");
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"slot\":1.5}",
		"slot: give a string, a number or a boolean");
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"slot\":true}", "slot: does not take a boolean");
}

static void sizes(void **state)
{
	static const char *const bad[] = {
		"3", "1", "2K", "2048", "1T", "1KK", "99999999999999999999G", "18014398509481984K"
	};
	char text[128], why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text),
			 "{\"type\":\"rng\",\"name\":\"a\",\"queue_size\":\"%s\"}", bad[i]);
		snprintf(why, sizeof(why), "queue_size=%s: give a power of two from 2 to 1024",
			 bad[i]);
		refuses(text, why);
	}
}

static void modes(void **state)
{
	static const char *const bad[] = { "", "8", "1777", "00000660", "rw", "0x1" };
	char text[128], why[128];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"type\":\"rng\",\"name\":\"a\",\"mode\":\"%s\"}",
			 bad[i]);
		snprintf(why, sizeof(why), "mode=%s: give octal permissions, as in 0660", bad[i]);
		refuses(text, why);
	}
	/* 660 as a number would be 01224. */
	refuses("{\"type\":\"rng\",\"name\":\"a\",\"mode\":660}",
		"mode: does not take a number; give a string");
}

static void blk_keys(void **state)
{
	(void)state;
	refuses("{\"type\":\"blk\",\"name\":\"a\",\"image\":\"i.img\"}",
		"image=i.img: give an absolute path");
	refuses("{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\",\"serial\":\"123456789012345678901\"}",
		"serial=123456789012345678901: give 1 to 20 characters");
	refuses("{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\",\"serial\":\"\xc3\xa9\"}",
		"serial=??: give ASCII characters");
	refuses("{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\",\"readonly\":\"yes\"}",
		"readonly=yes: give true or false");
	refuses("{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\",\"readonly\":1}",
		"readonly: does not take a number; give a string");
	refuses("{\"type\":\"blk\",\"name\":\"a\",\"image\":null}",
		"image: give a string, a number or a boolean");
}

static void diff_is(const char *have, const char *asked, unsigned n, const char *text)
{
	struct params a, b;
	struct error e;
	char diff[512];

	assert_int_equal(parse(&a, &params_function, have, &e), 0);
	assert_int_equal(parse(&b, &params_function, asked, &e), 0);
	assert_int_equal(params_diff(&a, &b, diff, sizeof(diff)), n);
	assert_string_equal(diff, text);
	/* A text that is too short for it is cut, no more. */
	params_diff(&a, &b, diff, 8);
	assert_true(strlen(diff) < 8);
	params_free(&a);
	params_free(&b);
}

static void differences(void **state)
{
	static const char have[] = "{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\",\"pf\":\"p\","
				   "\"slot\":3}";

	(void)state;
	diff_is(have, "{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\"}", 0, "");
	diff_is(have,
		"{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\",\"driver\":\"vfio-pci\","
		"\"readonly\":false,\"mode\":\"600\",\"pf\":\"p\"}",
		0, "");
	diff_is(have,
		"{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/j\",\"readonly\":\"true\","
		"\"serial\":\"s\",\"slot\":4}",
		4,
		"slot (have 3, asked 4), image (have /i, asked /j), readonly (have false, asked true), "
		"serial (have none, asked s)");
	diff_is(have, "{\"type\":\"rng\",\"name\":\"a\"}", 1, "type (have blk, asked rng)");
	diff_is("{\"type\":\"rng\",\"name\":\"a\",\"queues\":1}",
		"{\"type\":\"rng\",\"name\":\"a\"}", 1, "queues (have 1, asked none)");
}

static void net_keys(void **state)
{
	uint8_t mac[6];

	(void)state;
	accepts("{\"type\":\"net\",\"name\":\"a\",\"mac\":\"52:54:00:AB:cd:EF\",\"backend\":\"tap:x\"}",
		"{\"type\":\"net\",\"name\":\"a\",\"driver\":\"vfio-pci\",\"packed\":false,"
		"\"mode\":\"0600\",\"mac\":\"52:54:00:ab:cd:ef\",\"backend\":\"tap:x\","
		"\"trust\":false,\"link\":\"up\"}");
	refuses("{\"type\":\"net\",\"name\":\"a\",\"mac\":\"03:00:00:00:00:01\"}",
		"mac=03:00:00:00:00:01: no station's address; give a unicast one, as in "
		"52:54:00:12:34:56");
	refuses("{\"type\":\"net\",\"name\":\"a\",\"backend\":\"tap:..\"}",
		"backend=tap:..: no interface has that name; give 1 to 15 characters without '/', "
		"':', '%' and spaces");
	assert_int_equal(params_mac("01:02:03:0a:0B:ff", mac), 0);
	assert_memory_equal(mac, "\1\2\3\12\13\377", 6);
	assert_true(params_mac("01:02:03:0a:0b", mac) < 0);
	assert_true(params_mac("01:02:03:0a:0b:0c:", mac) < 0);
	assert_string_equal(params_tap("tap:x"), "x");
	assert_null(params_tap("switch"));
}

static void changes(void **state)
{
	struct json_object *size = json_object_new_string("2M"), *none = json_object_new_int(0);
	struct params p;
	struct error e;

	(void)state;
	assert_int_equal(parse(&p, &params_function,
			       "{\"type\":\"blk\",\"name\":\"a\",\"image\":\"/i\"}", &e),
			 0);
	assert_int_equal(params_change(&p, "size", size, &e), 0);
	assert_int_equal(params_number(&p, FUNCTION_SIZE), 2 << 20);
	/* Nothing, and the word for it, are the same. */
	assert_int_equal(params_change(&p, "size", none, &e), 0);
	assert_string_equal(params_text(&p, FUNCTION_SIZE), "image");
	assert_int_equal(params_number(&p, FUNCTION_SIZE), 0);
	assert_true(params_change(&p, "link", size, &e) < 0);
	assert_string_equal(e.text,
			    "link cannot be set; of a function of type blk can be set size");
	params_free(&p);
	json_object_put(size);
	json_object_put(none);
}

static void pf_params(void **state)
{
	struct params p;
	struct error e;

	(void)state;
	assert_int_equal(parse(&p, &params_pf, "{\"name\":\"p\",\"type\":\"rng\"}", &e), 0);
	spec_is(&p, "{\"type\":\"rng\",\"name\":\"p\",\"max_vfs\":255}");
	params_free(&p);
	assert_int_not_equal(
		parse(&p, &params_pf, "{\"name\":\"p\",\"type\":\"rng\",\"max_vfs\":4095}", &e), 0);
	assert_string_equal(e.text, "max_vfs=4095: give a number from 1 to 4094");
	assert_int_not_equal(parse(&p, &params_pf, "{\"name\":\"p\",\"type\":\"rng\",\"x\":1}", &e),
			     0);
	assert_string_equal(
		e.text, "there is no key x for a PF of type rng; the keys are type, name, max_vfs");
}

/* A spec comes from a PF process: nonsense is refused, never a crash. */
static void specs_from_elsewhere(void **state)
{
	static const char *const bad[] = { "", "[]", "null", "{\"name\":[]}", "{\"slot\":\"x\"}",
					   "{" };
	struct params p;
	struct error e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_not_equal(params_parse_text(&p, &params_function, bad[i], &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),      cmocka_unit_test(one_spelling),
		cmocka_unit_test(unknown_words), cmocka_unit_test(missing),
		cmocka_unit_test(names),         cmocka_unit_test(numbers),
		cmocka_unit_test(sizes),         cmocka_unit_test(modes),
		cmocka_unit_test(blk_keys),      cmocka_unit_test(differences),
		cmocka_unit_test(net_keys),      cmocka_unit_test(changes),
		cmocka_unit_test(pf_params),     cmocka_unit_test(specs_from_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
