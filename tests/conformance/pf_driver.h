/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver of a PF, for conformance tests: SR-IOV (PCIe 9.3.3) and the administration virtqueue
 * (virtio 1.3, 2.12 and 2.13), with constants of its own.
 */
#ifndef RIDGE_TEST_PF_DRIVER_H
#define RIDGE_TEST_PF_DRIVER_H

#include "driver.h"

/* The SR-IOV extended capability, which these PFs have first. */
#define SRIOV_AT          0x100
#define SRIOV_CONTROL     0x08
#define SRIOV_VF_ENABLE   0x01
#define SRIOV_VF_MSE      0x08
#define SRIOV_INITIAL_VFS 0x0c
#define SRIOV_TOTAL_VFS   0x0e
#define SRIOV_NUM_VFS     0x10
#define SRIOV_FIRST_VF    0x14
#define SRIOV_STRIDE      0x16
#define SRIOV_VF_DEVICE   0x1a
#define SRIOV_PAGES       0x1c
#define SRIOV_PAGE        0x20
#define SRIOV_BAR         0x24

/* Opcodes (2.12.1). */
enum {
	LIST_QUERY = 0,
	LIST_USE = 1,
	LEGACY_COMMON_WRITE = 2,
	LEGACY_COMMON_READ = 3,
	LEGACY_DEV_WRITE = 4,
	LEGACY_DEV_READ = 5,
	LEGACY_NOTIFY_INFO = 6,
	CAP_ID_LIST_QUERY = 7,
	DEVICE_CAP_GET = 8,
	DRIVER_CAP_SET = 9,
	OBJ_CREATE = 0xa,
	OBJ_MODIFY = 0xb,
	OBJ_QUERY = 0xc,
	OBJ_DESTROY = 0xd,
	PARTS_METADATA_GET = 0xe,
	PARTS_GET = 0xf,
	PARTS_SET = 0x10,
	MODE_SET = 0x11,
};

#define LEGACY_OPCODES 0x7cull
#define ALL_OPCODES    (LEGACY_OPCODES | 3)
#define CAP_OPCODES    0x380ull
#define OBJ_OPCODES    0x3c00ull

#define SELF_GROUP  0
#define SRIOV_GROUP 1

/* status, and status_qualifier in the upper half (2.12.1). */
#define OK             0
#define EINVAL_(q)     (22 | (q) << 16)
#define INVALID_OPCODE EINVAL_(2)
#define INVALID_FIELD  EINVAL_(3)
#define INVALID_GROUP  EINVAL_(4)
#define INVALID_MEMBER EINVAL_(5)
#define TRY_AGAIN      (11 | 7 << 16)

/* The status of a failure for which the specification names no qualifier. */
#define STATUS(s) ((s)&0xffffu)
enum { ST_ENXIO = 6, ST_ENOMEM = 12, ST_EBUSY = 16, ST_EEXIST = 17, ST_EINVAL = 22 };

#define ADMIN_HEAD  24 /* opcode to group_member_id */
#define ADMIN_REPLY 8  /* status to reserved2 */

struct pf_driver {
	struct driver d;
	struct ring ring;
	uint16_t index; /* of the first admin queue */
	uint16_t count;
	uint32_t used_len; /* of the last command */
	uint64_t big;      /* memory for admin_big(), once it was used */
};

/* Brings the PF up with its first admin queue; no VFs yet. */
void pf_driver_init(struct pf_driver *p, struct machine *m);
void pf_driver_fini(struct pf_driver *p);
/* The same again, as after a reset. */
void pf_driver_start(struct pf_driver *p);
void pf_enable_vfs(struct pf_driver *p, uint16_t n); /* 0: clears VF Enable */

struct admin_head {
	uint16_t opcode;
	uint16_t group_type;
	uint8_t reserved[12];
	uint64_t member;
	uint8_t data[512];
};

struct admin_reply {
	uint16_t status;
	uint16_t qualifier;
	uint8_t reserved[4];
	uint8_t result[512];
};

/* A command under way: where its two parts are. */
struct admin_cmd {
	uint16_t head;
	struct admin_head *out;
	struct admin_reply *in; /* 0xee all over before the device writes it */
};

/* Sends so many bytes of a command, with room for so many bytes of a reply. */
struct admin_cmd admin_send(struct pf_driver *p, const struct admin_head *head, uint32_t out_len,
			    uint32_t in_len);
/* Waits for it: status | qualifier << 16. */
uint32_t admin_wait(struct pf_driver *p, const struct admin_cmd *cmd);
/* Whether the next used entry is there, and is this command's. */
bool admin_done(struct pf_driver *p, const struct admin_cmd *cmd);

/* A whole command. result may be NULL; room for result_len bytes is given. */
uint32_t admin(struct pf_driver *p, uint16_t opcode, uint16_t group, uint64_t member,
	       const void *data, uint32_t data_len, void *result, uint32_t result_len);

/*
 * One with much data or a large result, both in pieces of a page, as Linux has them. *result_len is
 * what the device wrote of the result.
 */
#define ADMIN_BIG 0x10000u
uint32_t admin_big(struct pf_driver *p, uint16_t opcode, uint64_t member, const void *data,
		   uint32_t data_len, void *result, uint32_t room, uint32_t *result_len);

/* LIST_USE of the list and legacy register commands for the SR-IOV group. */
void admin_use_all(struct pf_driver *p);
/* LIST_USE of everything that LIST_QUERY tells, for both groups. */
void admin_use_supported(struct pf_driver *p);

/* Capabilities (2.12.1.2): DRIVER_CAP_SET of VIRTIO_DEV_PARTS_CAP. */
uint32_t admin_set_limits(struct pf_driver *p, uint8_t get, uint8_t set);

/* Resource objects (2.12.1.3), and the device parts object (2.12.1.4.2). */
struct obj_hdr {
	uint16_t type;
	uint8_t reserved[2];
	uint32_t id;
};

struct obj_data {
	struct obj_hdr hdr;
	uint64_t flags;
	uint8_t kind;
	uint8_t reserved[7];
};

enum { KIND_GET = 0, KIND_SET = 1 };

/* DEV_MODE_SET (2.12.1.4.3.4). */
#define MODE_STOPPED 1
uint32_t admin_mode(struct pf_driver *p, uint64_t member, uint8_t flags);

uint32_t admin_obj_create(struct pf_driver *p, uint64_t member, uint32_t id, uint8_t kind);
uint32_t admin_obj_destroy(struct pf_driver *p, uint64_t member, uint32_t id);

/* Legacy register commands to a member, of so many bytes. */
uint32_t legacy_read(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len,
		     uint64_t *value);
uint32_t legacy_write(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len,
		      uint64_t value);
uint32_t legacy_dev_read(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len,
			 uint64_t *value);
uint32_t legacy_dev_write(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len,
			  uint64_t value);
/* A read that must succeed. */
uint64_t legacy_get(struct pf_driver *p, uint64_t member, uint8_t offset, uint32_t len);

/* Legacy registers (4.1.4.10). */
enum legacy {
	L_DEVICE_FEATURES = 0x00,
	L_DRIVER_FEATURES = 0x04,
	L_QUEUE_ADDRESS = 0x08,
	L_QUEUE_SIZE = 0x0c,
	L_QUEUE_SELECT = 0x0e,
	L_QUEUE_NOTIFY = 0x10,
	L_STATUS = 0x12,
	L_ISR = 0x13,
	L_CONFIG_VECTOR = 0x14,
	L_QUEUE_VECTOR = 0x16,
};

#endif
