/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device parts: how the state of a device leaves it and comes back (virtio 1.4, 2.13; for net also
 * 5.1.5). Each part is a header that says what it is, and a value. The parts of a function are a
 * matter of its type and size alone: whatever state it is in, there are the same ones in the same
 * order, and most have one length.
 *
 * A function that is halted has nothing in flight, so its parts are all of its state: features,
 * status, addresses, and the places in its queues where it goes on. What the specification has no
 * part for is in parts of our own, in the range of device types, marked optional: another device
 * skips them, and finds its place in a split ring by looking at the ring.
 *
 * Not in any part are the MSI-X table and configuration space: whoever operates the function has
 * set those, for its own machine (2.13.2).
 *
 * virtio_parts_set() looks at everything before it changes anything: a stream that is wrong in any
 * place leaves the function as it was.
 *
 *   parts.c      parts that there are, and getting them
 *   parts_set.c  setting them
 */
#ifndef RIDGE_VIRTIO_PARTS_H
#define RIDGE_VIRTIO_PARTS_H

#include <assert.h>

#include "virtio/pci.h"

enum virtio_part_type {
	VIRTIO_PART_DEV_FEATURES = 0x100,
	VIRTIO_PART_DRV_FEATURES = 0x101,
	VIRTIO_PART_PCI_COMMON_CFG = 0x102,
	VIRTIO_PART_DEVICE_STATUS = 0x103,
	VIRTIO_PART_VQ_CFG = 0x104,
	VIRTIO_PART_VQ_NOTIFY_CFG = 0x105,
	/* the types' own: 0x200 to 0x5ff */
	VIRTIO_PART_NET_CVQ_CFG = 0x200,
	/* ours */
	VIRTIO_PART_RIDGE_DEVICE = 0x5e0,
	VIRTIO_PART_RIDGE_VQ = 0x5e1,
	VIRTIO_PART_RIDGE_BLK = 0x5f0,
	VIRTIO_PART_RIDGE_NET = 0x5f1,
};

#define VIRTIO_PART_F_OPTIONAL 0x01

/* On the wire, little-endian; the value follows. */
struct virtio_part_hdr {
	uint16_t type;
	uint8_t flags;
	uint8_t reserved;
	uint8_t selector[8]; /* offset (le32) or queue (le16), or as the type says */
	uint32_t length;
} __attribute__((packed));

static_assert(sizeof(struct virtio_part_hdr) == 16, "device part");

struct virtio_part_vq_cfg {
	uint16_t size;
	uint16_t vector;
	uint16_t enabled;
	uint16_t reserved;
	uint64_t desc;
	uint64_t driver;
	uint64_t device;
} __attribute__((packed));

struct virtio_part_vq_notify {
	uint16_t notify_off;
	uint16_t notif_config_data;
	uint8_t reserved[4];
} __attribute__((packed));

/* Ours: what a device has beside its common configuration. */
struct virtio_part_ridge_device {
	uint32_t flags;
	uint8_t isr;
	uint8_t reserved[3];
	uint64_t msix_pending[2];
} __attribute__((packed));

#define VIRTIO_RIDGE_F_LEGACY         0x1 /* driven through the legacy registers */
#define VIRTIO_RIDGE_F_BROKEN         0x2 /* needs a reset; a legacy driver has no bit for it */
#define VIRTIO_RIDGE_F_CONFIG_PENDING 0x4 /* the driver is to be told of a change */

/* Ours: where a queue goes on, as struct virtq_state has it. */
struct virtio_part_ridge_vq {
	uint16_t avail_next;
	uint16_t used_next;
	uint16_t used_signalled;
	uint8_t flags;
	uint8_t reserved;
} __attribute__((packed));

#define VIRTIO_RIDGE_VQ_F_AVAIL_WRAP 0x1
#define VIRTIO_RIDGE_VQ_F_USED_WRAP  0x2
#define VIRTIO_RIDGE_VQ_F_SIGNALLED  0x4 /* used_signalled means something */

static_assert(sizeof(struct virtio_part_vq_cfg) == 32, "VIRTIO_DEV_PART_VQ_CFG");
static_assert(sizeof(struct virtio_part_vq_notify) == 8, "VIRTIO_DEV_PART_VQ_NOTIFY_CFG");
static_assert(sizeof(struct virtio_part_ridge_device) == 24, "device part of ridge's");
static_assert(sizeof(struct virtio_part_ridge_vq) == 8, "queue part of ridge's");

/* One part, decoded. */
struct virtio_part {
	uint16_t type;
	uint8_t flags;
	uint8_t selector[8];
	const void *value;
	uint32_t len;
	uint32_t len_max; /* of this part in any state; not of parts that are set */
};

/* Where a type's parts go. */
struct virtio_part_out {
	void (*fn)(void *ctx, const struct virtio_part *part);
	void *ctx;
};

/* selector: 8 bytes, or NULL: zeroes. value is not NULL. */
void virtio_part_emit(const struct virtio_part_out *out, uint16_t type, uint8_t flags,
		      const void *selector, const void *value, uint32_t len);

/* Room for what a type stages. */
#define VIRTIO_PARTS_STAGED_LEN 4096

/* Bytes that all parts take at the most, and how many there are. */
uint32_t virtio_parts_size(struct virtio_pci *vp);
uint32_t virtio_parts_count(struct virtio_pci *vp);
/* The headers of all of them; room for virtio_parts_count(). */
void virtio_parts_list(struct virtio_pci *vp, struct virtio_part_hdr *list);
/*
 * All parts, or (selected not NULL) those of n headers as they came, in the order of all. Parts
 * that don't exist are left out. data has room for virtio_parts_size(); returns its length.
 */
size_t virtio_parts_get(struct virtio_pci *vp, const struct virtio_part_hdr *selected, size_t n,
			uint8_t *data);
/*
 * Sets parts of a function that is halted; zeroes may follow the last one. -EINVAL if anything in
 * them is wrong for this function, or -ENOMEM; then nothing has changed.
 */
int virtio_parts_set(struct virtio_pci *vp, const uint8_t *data, size_t len);

#endif
