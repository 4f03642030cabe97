/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Group administration commands on the wire (virtio 1.4, 2.12): what the owner driver writes and
 * the PF reads. Little-endian throughout.
 */
#ifndef RIDGE_VIRTIO_ADMIN_H
#define RIDGE_VIRTIO_ADMIN_H

#include <assert.h>
#include <stdint.h>

/* Feature bits (virtio 1.3, 6) that the C library's kernel headers may not have. */
#define VIRTIO_FEATURE_SR_IOV   37
#define VIRTIO_FEATURE_ADMIN_VQ 41

enum virtio_admin_group {
	VIRTIO_ADMIN_GROUP_SELF = 0,
	VIRTIO_ADMIN_GROUP_SRIOV = 1,
};

enum virtio_admin_opcode {
	VIRTIO_ADMIN_LIST_QUERY = 0x0,
	VIRTIO_ADMIN_LIST_USE = 0x1,
	VIRTIO_ADMIN_LEGACY_COMMON_CFG_WRITE = 0x2,
	VIRTIO_ADMIN_LEGACY_COMMON_CFG_READ = 0x3,
	VIRTIO_ADMIN_LEGACY_DEV_CFG_WRITE = 0x4,
	VIRTIO_ADMIN_LEGACY_DEV_CFG_READ = 0x5,
	VIRTIO_ADMIN_LEGACY_NOTIFY_INFO = 0x6,
	VIRTIO_ADMIN_CAP_ID_LIST_QUERY = 0x7,
	VIRTIO_ADMIN_DEVICE_CAP_GET = 0x8,
	VIRTIO_ADMIN_DRIVER_CAP_SET = 0x9,
	VIRTIO_ADMIN_RESOURCE_OBJ_CREATE = 0xa,
	/* 2.12.1.3.2 and 3; the table of 2.12.1 has these two the other way round */
	VIRTIO_ADMIN_RESOURCE_OBJ_MODIFY = 0xb,
	VIRTIO_ADMIN_RESOURCE_OBJ_QUERY = 0xc,
	VIRTIO_ADMIN_RESOURCE_OBJ_DESTROY = 0xd,
	VIRTIO_ADMIN_DEV_PARTS_METADATA_GET = 0xe,
	VIRTIO_ADMIN_DEV_PARTS_GET = 0xf,
	VIRTIO_ADMIN_DEV_PARTS_SET = 0x10,
	VIRTIO_ADMIN_DEV_MODE_SET = 0x11,
};

/* All legacy register commands: a device has all of them or none (2.12.1.1.6). */
#define VIRTIO_ADMIN_LEGACY_OPCODES 0x7cull
/* Capabilities (2.12.1.2), and the objects that they are about (2.12.1.3). */
#define VIRTIO_ADMIN_CAP_OPCODES    0x380ull
#define VIRTIO_ADMIN_OBJECT_OPCODES 0x3c00ull
/* Device parts and mode (2.12.1.4). */
#define VIRTIO_ADMIN_PARTS_OPCODES 0x3c000ull

enum virtio_admin_status {
	VIRTIO_ADMIN_OK = 0,
	VIRTIO_ADMIN_ENXIO = 6,
	VIRTIO_ADMIN_EAGAIN = 11,
	VIRTIO_ADMIN_ENOMEM = 12,
	VIRTIO_ADMIN_EBUSY = 16,
	VIRTIO_ADMIN_EEXIST = 17, /* 2.12.1.3.5; the table of 2.12.1 forgot it */
	VIRTIO_ADMIN_EINVAL = 22,
	VIRTIO_ADMIN_ENOSPC = 28,
};

enum virtio_admin_qualifier {
	VIRTIO_ADMIN_Q_OK = 0,
	VIRTIO_ADMIN_Q_INVALID_COMMAND = 1,
	VIRTIO_ADMIN_Q_INVALID_OPCODE = 2,
	VIRTIO_ADMIN_Q_INVALID_FIELD = 3,
	VIRTIO_ADMIN_Q_INVALID_GROUP = 4,
	VIRTIO_ADMIN_Q_INVALID_MEMBER = 5,
	VIRTIO_ADMIN_Q_NORESOURCE = 6,
	VIRTIO_ADMIN_Q_TRYAGAIN = 7,
};

/* Device-readable head; command_specific_data follows. */
struct virtio_admin_request {
	uint16_t opcode;
	uint16_t group_type;
	uint8_t reserved[12];
	uint64_t member_id;
} __attribute__((packed));

/* Device-writable head; command_specific_result follows. */
struct virtio_admin_reply {
	uint16_t status;
	uint16_t qualifier;
	uint8_t reserved[4];
} __attribute__((packed));

/* Data of a legacy register write; the bytes to write follow. A read has the offset alone. */
struct virtio_admin_legacy_write {
	uint8_t offset;
	uint8_t reserved[7];
} __attribute__((packed));

#define VIRTIO_ADMIN_NOTIFY_END    0
#define VIRTIO_ADMIN_NOTIFY_OWNER  1
#define VIRTIO_ADMIN_NOTIFY_MEMBER 2

#define VIRTIO_ADMIN_NOTIFY_ENTRIES 4

struct virtio_admin_notify_info {
	uint8_t flags; /* VIRTIO_ADMIN_NOTIFY_* */
	uint8_t bar;
	uint8_t padding[6];
	uint64_t offset; /* in the BAR */
} __attribute__((packed));

/* Capabilities (2.12.1.2): the only one there is for any type of device. */
#define VIRTIO_ADMIN_CAP_DEV_PARTS 0

/* Data of DEVICE_CAP_GET and of DRIVER_CAP_SET, where the capability follows. */
struct virtio_admin_cap_data {
	uint16_t id;
	uint8_t reserved[6];
} __attribute__((packed));

/* VIRTIO_DEV_PARTS_CAP (2.12.1.4.1): ids of objects of either kind are below its limit. */
struct virtio_admin_dev_parts_cap {
	uint8_t get_limit;
	uint8_t set_limit;
} __attribute__((packed));

/* Resource objects (2.12.1.3). */
#define VIRTIO_ADMIN_OBJ_DEV_PARTS 0

struct virtio_admin_obj_hdr {
	uint16_t type;
	uint8_t reserved[2];
	uint32_t id;
} __attribute__((packed));

/* Data of CREATE, MODIFY and (without the last two) QUERY; DESTROY has the header alone. */
struct virtio_admin_obj_data {
	struct virtio_admin_obj_hdr hdr;
	uint64_t flags; /* none is defined */
	/* struct virtio_resource_obj_dev_parts (2.12.1.4.2) */
	uint8_t kind;
	uint8_t reserved[7];
} __attribute__((packed));

#define VIRTIO_ADMIN_OBJ_KIND_GET 0
#define VIRTIO_ADMIN_OBJ_KIND_SET 1

/* Device parts (2.12.1.4.3): types of DEV_PARTS_METADATA_GET, behind the object's header. */
#define VIRTIO_ADMIN_METADATA_SIZE  0
#define VIRTIO_ADMIN_METADATA_COUNT 1
#define VIRTIO_ADMIN_METADATA_LIST  2

/* Types of DEV_PARTS_GET; the list of headers comes behind that much. */
#define VIRTIO_ADMIN_PARTS_SELECTED 0
#define VIRTIO_ADMIN_PARTS_ALL      1
#define VIRTIO_ADMIN_PARTS_GET_HEAD 16

static_assert(sizeof(struct virtio_admin_cap_data) == 8, "admin capability");
static_assert(sizeof(struct virtio_admin_obj_data) == 24, "admin resource object");
static_assert(sizeof(struct virtio_admin_request) == 24, "admin request");
static_assert(sizeof(struct virtio_admin_reply) == 8, "admin reply");
static_assert(sizeof(struct virtio_admin_legacy_write) == 8, "admin legacy write");
static_assert(sizeof(struct virtio_admin_notify_info) == 16, "admin notify info");

#endif
