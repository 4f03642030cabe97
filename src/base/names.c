/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FNV_PRIME   0x100000001b3ull
#define BUCKETS_MIN 16

uint64_t names_hash(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * FNV_PRIME;
	return hash;
}

static struct name_node **bucket_of(const struct names *names, uint64_t hash)
{
	/* The low bits of names that differ in their last character alone are close. */
	return &names->buckets[(hash ^ hash >> 32) & (names->nbuckets - 1)];
}

static int names_grow(struct names *names)
{
	struct names grown = { .nbuckets = names->nbuckets ? names->nbuckets * 2 : BUCKETS_MIN,
			       .n = names->n };

	grown.buckets = calloc(grown.nbuckets, sizeof(*grown.buckets));
	if (!grown.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < names->nbuckets; i++) {
		struct name_node *reversed = NULL, *node, *next;

		/* In order of age, so that the youngest ends up in front again. */
		for (node = names->buckets[i]; node; node = next) {
			next = node->next;
			node->next = reversed;
			reversed = node;
		}
		for (node = reversed; node; node = next) {
			struct name_node **bucket = bucket_of(&grown, node->hash);

			next = node->next;
			node->next = *bucket;
			*bucket = node;
		}
	}
	free(names->buckets);
	*names = grown;
	return 0;
}

int names_add(struct names *names, struct name_node *node, const char *name)
{
	struct name_node **bucket;

	/* A full table still works; one without buckets does not. */
	if (names->n >= names->nbuckets && names_grow(names) && !names->nbuckets)
		return -ENOMEM;
	node->name = name;
	node->hash = names_hash(NAMES_HASH, name, strlen(name));
	bucket = bucket_of(names, node->hash);
	node->next = *bucket;
	*bucket = node;
	names->n++;
	return 0;
}

void names_del(struct names *names, struct name_node *node)
{
	struct name_node **at;

	if (!node->name)
		return;
	for (at = bucket_of(names, node->hash); *at != node; at = &(*at)->next)
		;
	*at = node->next;
	node->name = NULL;
	names->n--;
}

struct name_node *names_find(const struct names *names, const char *name)
{
	uint64_t hash = names_hash(NAMES_HASH, name, strlen(name));
	struct name_node *node;

	if (!names->nbuckets)
		return NULL;
	for (node = *bucket_of(names, hash); node; node = node->next)
		if (node->hash == hash && !strcmp(node->name, name))
			return node;
	return NULL;
}

void names_free(struct names *names)
{
	free(names->buckets);
	*names = (struct names){ 0 };
}
