/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device parts (virtio 1.4, 2.13) and the commands for them (2.12.1.4), with constants of their
 * own, for conformance tests.
 */
#ifndef RIDGE_TEST_PARTS_H
#define RIDGE_TEST_PARTS_H

#include "pf_driver.h"

enum {
	P_DEV_FEATURES = 0x100,
	P_DRV_FEATURES = 0x101,
	P_COMMON_CFG = 0x102,
	P_STATUS = 0x103,
	P_VQ_CFG = 0x104,
	P_VQ_NOTIFY = 0x105,
	P_NET_CVQ = 0x200,
};

#define P_OPTIONAL 1

struct part_hdr {
	uint16_t type;
	uint8_t flags;
	uint8_t reserved;
	uint64_t selector;
	uint32_t len;
} __attribute__((packed));

struct vq_cfg {
	uint16_t size;
	uint16_t vector;
	uint16_t enabled;
	uint16_t reserved;
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
};

/* Parts as they are sent: one buffer. */
struct parts {
	uint32_t len;
	uint8_t data[ADMIN_BIG];
};

/* Types of metadata, and of what to get. */
enum { META_SIZE, META_COUNT, META_LIST };
enum { GET_SELECTED, GET_ALL };

/* Where the part is; NULL if it is not there. */
static inline struct part_hdr *part_find(struct parts *p, uint16_t type, uint64_t selector)
{
	for (uint32_t at = 0; at + sizeof(struct part_hdr) <= p->len;) {
		struct part_hdr *hdr = (struct part_hdr *)(p->data + at);

		if (hdr->type == type && hdr->selector == selector)
			return hdr;
		at += (uint32_t)sizeof(*hdr) + hdr->len;
	}
	return NULL;
}

static inline void *part_value(struct parts *p, uint16_t type, uint64_t selector)
{
	struct part_hdr *hdr = part_find(p, type, selector);

	assert_non_null(hdr);
	return hdr + 1;
}

static inline void part_put(struct parts *p, uint16_t type, uint8_t flags, uint64_t selector,
			    const void *value, uint32_t len)
{
	struct part_hdr hdr = { type, flags, 0, selector, len };

	assert_true(p->len + sizeof(hdr) + len <= sizeof(p->data));
	memcpy(p->data + p->len, &hdr, sizeof(hdr));
	memcpy(p->data + p->len + sizeof(hdr), value, len);
	p->len += (uint32_t)sizeof(hdr) + len;
}

static inline uint32_t parts_metadata(struct pf_driver *p, uint64_t member, uint32_t id,
				      uint8_t type, void *result, uint32_t room, uint32_t *len)
{
	struct {
		struct obj_hdr hdr;
		uint8_t type;
		uint8_t reserved[7];
	} data = { .hdr = { .id = id }, .type = type };

	return admin_big(p, PARTS_METADATA_GET, member, &data, sizeof(data), result, room, len);
}

static inline uint32_t parts_get(struct pf_driver *p, uint64_t member, uint32_t id,
				 struct parts *parts)
{
	struct {
		struct obj_hdr hdr;
		uint8_t type;
		uint8_t reserved[7];
	} data = { .hdr = { .id = id }, .type = GET_ALL };

	return admin_big(p, PARTS_GET, member, &data, sizeof(data), parts->data, ADMIN_BIG,
			 &parts->len);
}

static inline uint32_t parts_set(struct pf_driver *p, uint64_t member, uint32_t id,
				 const struct parts *parts)
{
	static uint8_t data[ADMIN_BIG];
	struct obj_hdr hdr = { .id = id };
	uint32_t none;

	memcpy(data, &hdr, sizeof(hdr));
	memcpy(data + sizeof(hdr), parts->data, parts->len);
	return admin_big(p, PARTS_SET, member, data, (uint32_t)sizeof(hdr) + parts->len, data, 0,
			 &none);
}

/* All commands, and room for objects of many members. */
static inline void parts_use(struct pf_driver *p)
{
	admin_use_supported(p);
	assert_int_equal(admin_set_limits(p, 32, 32), OK);
}

/* A PF that holds to the letter, with its driver and so many VFs, up to parts_use(). */
static inline struct machine *parts_machine(const char *type, uint16_t vfs, struct pf_driver *p)
{
	struct machine *m = machine_new(type, vfs, true);

	pf_driver_init(p, m);
	pf_enable_vfs(p, vfs);
	parts_use(p);
	return m;
}

/* Objects to get parts of a member and to set them: ids 2 * member and 2 * member + 1. */
static inline void parts_objects(struct pf_driver *p, uint32_t member)
{
	assert_int_equal(admin_obj_create(p, member, 2 * member, KIND_GET), OK);
	assert_int_equal(admin_obj_create(p, member, 2 * member + 1, KIND_SET), OK);
}

static inline void parts_save(struct pf_driver *p, uint32_t member, struct parts *parts)
{
	assert_int_equal(parts_get(p, member, 2 * member, parts), OK);
}

static inline uint32_t parts_load(struct pf_driver *p, uint32_t member, const struct parts *parts)
{
	return parts_set(p, member, 2 * member + 1, parts);
}

static inline bool parts_equal(const struct parts *a, const struct parts *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

#endif
