/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Group administration commands on the wire (virtio 1.3, 2.12): what the owner driver writes and
 * the PF reads. Little-endian throughout.
 */
#ifndef RIDGE_VIRTIO_ADMIN_H
#define RIDGE_VIRTIO_ADMIN_H

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
};

/* All legacy register commands: a device has all of them or none (2.12.1.1.6). */
#define VIRTIO_ADMIN_LEGACY_OPCODES 0x7cull

enum virtio_admin_status {
	VIRTIO_ADMIN_OK = 0,
	VIRTIO_ADMIN_EAGAIN = 11,
	VIRTIO_ADMIN_ENOMEM = 12,
	VIRTIO_ADMIN_EBUSY = 16,
	VIRTIO_ADMIN_EINVAL = 22,
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

_Static_assert(sizeof(struct virtio_admin_request) == 24, "admin request");
_Static_assert(sizeof(struct virtio_admin_reply) == 8, "admin reply");
_Static_assert(sizeof(struct virtio_admin_legacy_write) == 8, "admin legacy write");
_Static_assert(sizeof(struct virtio_admin_notify_info) == 16, "admin notify info");

#endif
