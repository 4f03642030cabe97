/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Objects by name: an intrusive hash table. Nodes are embedded in what they belong to, and point at
 * a name that must stay as it is while they are in the table. Names need not be unique: an object
 * that was added later is found first.
 */
#ifndef RIDGE_BASE_NAMES_H
#define RIDGE_BASE_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct name_node {
	struct name_node *next; /* in its bucket */
	const char *name;       /* NULL: in no table */
	uint64_t hash;
};

/* All zeroes is an empty table. */
struct names {
	struct name_node **buckets;
	size_t nbuckets; /* a power of two, or 0 */
	size_t n;
};

/* Returns 0 or -ENOMEM. */
int names_add(struct names *names, struct name_node *node, const char *name);

/* Harmless for a node that is in no table. */
void names_del(struct names *names, struct name_node *node);

/* The node, or NULL. */
struct name_node *names_find(const struct names *names, const char *name);

/* Frees what the table has; nodes are the caller's. */
void names_free(struct names *names);

/* FNV-1a over bytes: begin with NAMES_HASH, and go on with what it returned. */
#define NAMES_HASH 0xcbf29ce484222325ull
uint64_t names_hash(uint64_t hash, const void *data, size_t len);

#endif
