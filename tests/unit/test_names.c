/* SPDX-License-Identifier: BSD-3-Clause */
/* base/names.h: objects by name, added and removed in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/names.h"

#define ITEMS 5000

struct item {
	char name[16];
	struct name_node node;
	int in;
};

static void many_in_any_order(void **state)
{
	struct item *items = calloc(ITEMS, sizeof(*items));
	struct names names = { 0 };
	unsigned seed = 7;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < ITEMS; i++)
		snprintf(items[i].name, sizeof(items[i].name), "f%zu", i);
	for (unsigned round = 0; round < 4 * ITEMS; round++) {
		struct item *item = &items[(size_t)rand_r(&seed) % ITEMS];

		if (item->in) {
			names_del(&names, &item->node);
			n--;
		} else {
			assert_int_equal(names_add(&names, &item->node, item->name), 0);
			n++;
		}
		item->in = !item->in;
		assert_int_equal(names.n, n);
		assert_ptr_equal(names_find(&names, item->name), item->in ? &item->node : NULL);
	}
	for (size_t i = 0; i < ITEMS; i++)
		assert_ptr_equal(names_find(&names, items[i].name),
				 items[i].in ? &items[i].node : NULL);
	names_free(&names);
	free(items);
}

/* As few nodes share a bucket as a good hash has it: a look-up does not slow down. */
static void buckets_are_even(void **state)
{
	struct item *items = calloc(ITEMS, sizeof(*items));
	struct names names = { 0 };
	size_t longest = 0;

	(void)state;
	for (size_t i = 0; i < ITEMS; i++) {
		snprintf(items[i].name, sizeof(items[i].name), "tenant-%zu", i);
		assert_int_equal(names_add(&names, &items[i].node, items[i].name), 0);
	}
	for (size_t i = 0; i < names.nbuckets; i++) {
		size_t len = 0;

		for (struct name_node *node = names.buckets[i]; node; node = node->next)
			len++;
		if (len > longest)
			longest = len;
	}
	assert_in_range(longest, 1, 10);
	names_free(&names);
	free(items);
}

static void empty(void **state)
{
	struct names names = { 0 };
	struct name_node node = { 0 };

	(void)state;
	assert_null(names_find(&names, "a"));
	names_del(&names, &node);
	names_free(&names);
}

static void the_youngest_is_found(void **state)
{
	struct item items[40] = { 0 };
	struct name_node other[40] = { 0 };
	struct names names = { 0 };

	(void)state;
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(names_add(&names, &other[i], "same"), 0);
	for (size_t i = 0; i < 40; i++) {
		snprintf(items[i].name, sizeof(items[i].name), "%zu", i);
		assert_int_equal(names_add(&names, &items[i].node, items[i].name), 0);
	}
	for (size_t i = 40; i-- > 0;) {
		assert_ptr_equal(names_find(&names, "same"), &other[i]);
		names_del(&names, &other[i]);
	}
	assert_null(names_find(&names, "same"));
	names_free(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_in_any_order),
		cmocka_unit_test(buckets_are_even),
		cmocka_unit_test(empty),
		cmocka_unit_test(the_youngest_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
