/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio-user on the wire, version 0.0: docs/interop/vfio-user.rst of QEMU's tree. Everything is in
 * host byte order, since both ends are on one host; the structures have no alignment of their own,
 * since messages follow one another in a byte stream.
 */
#ifndef RIDGE_VFIO_USER_PROTOCOL_H
#define RIDGE_VFIO_USER_PROTOCOL_H

#include <assert.h>
#include <stdint.h>

#define VFIO_USER_MAJOR 0
#define VFIO_USER_MINOR 0

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,  /* server to client */
	VFIO_USER_DMA_WRITE = 12, /* server to client */
	VFIO_USER_DEVICE_RESET = 13,
	VFIO_USER_REGION_WRITE_MULTI = 15,
	VFIO_USER_DEVICE_FEATURE = 16,
	VFIO_USER_MIG_DATA_READ = 17,
	VFIO_USER_MIG_DATA_WRITE = 18,
};

#define VFIO_USER_FLAG_TYPE     0xfu
#define VFIO_USER_TYPE_COMMAND  0x0u
#define VFIO_USER_TYPE_REPLY    0x1u
#define VFIO_USER_FLAG_NO_REPLY 0x10u
#define VFIO_USER_FLAG_ERROR    0x20u

#define VFIO_USER_DMA_READABLE  0x1u
#define VFIO_USER_DMA_WRITABLE  0x2u
#define VFIO_USER_DMA_PAGE_SIZE 4096u

/* What a side must assume of a peer that does not say (section VFIO_USER_VERSION). */
#define VFIO_USER_DEFAULT_XFER_SIZE 1048576u
#define VFIO_USER_DEFAULT_MSG_FDS   1u

#define VFIO_USER_PACKED __attribute__((packed))

struct vfio_user_header {
	uint16_t id;
	uint16_t command;
	uint32_t size; /* of the whole message, this header included */
	uint32_t flags;
	uint32_t error; /* reply with VFIO_USER_FLAG_ERROR: an errno; a command's is reserved */
} VFIO_USER_PACKED;

struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
	char data[]; /* JSON with its NUL, or nothing */
} VFIO_USER_PACKED;

struct vfio_user_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t address;
	uint64_t size;
} VFIO_USER_PACKED;

struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t address;
	uint64_t size;
} VFIO_USER_PACKED;

struct vfio_user_device_feature {
	uint32_t argsz;
	uint32_t flags; /* VFIO_DEVICE_FEATURE_MASK: which; _GET, _SET, _PROBE */
	uint8_t data[];
} VFIO_USER_PACKED;

struct vfio_user_mig_data {
	uint32_t argsz;
	uint32_t size;
	uint8_t data[]; /* WRITE command, READ reply: size bytes */
} VFIO_USER_PACKED;

struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
} VFIO_USER_PACKED;

struct vfio_user_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
} VFIO_USER_PACKED;

struct vfio_user_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
} VFIO_USER_PACKED;

struct vfio_user_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	uint8_t data[]; /* DATA_BOOL: count bytes */
} VFIO_USER_PACKED;

struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[]; /* WRITE command, READ reply: count bytes */
} VFIO_USER_PACKED;

struct vfio_user_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
} VFIO_USER_PACKED;

/* The text names the types and gives no numbers; these are libvfio-user's. */
#define VFIO_USER_IO_FD_TYPE_IOEVENTFD 0u

/* A sub-region of DEVICE_GET_REGION_IO_FDS, as an ioeventfd. */
struct vfio_user_io_fd {
	uint64_t offset;
	uint64_t size; /* of the access; 0: any */
	uint32_t fd_index;
	uint32_t type;
	uint32_t flags; /* KVM_IOEVENTFD_FLAG_* */
	uint32_t padding;
	uint64_t datamatch;
} VFIO_USER_PACKED;

/* One entry of REGION_WRITE_MULTI: data has room for the most that it can describe. */
struct vfio_user_write_one {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[8];
} VFIO_USER_PACKED;

struct vfio_user_write_multi {
	uint64_t wr_cnt; /* in the reply: how many were done */
	struct vfio_user_write_one wrs[];
} VFIO_USER_PACKED;

struct vfio_user_dma_access {
	uint64_t address;
	uint64_t count;
	uint8_t data[]; /* WRITE command, READ reply: count bytes */
} VFIO_USER_PACKED;

static_assert(sizeof(struct vfio_user_header) == 16, "vfio-user header");
static_assert(sizeof(struct vfio_user_version) == 4, "VERSION");
static_assert(sizeof(struct vfio_user_dma_map) == 32, "DMA_MAP");
static_assert(sizeof(struct vfio_user_dma_unmap) == 24, "DMA_UNMAP");
static_assert(sizeof(struct vfio_user_device_feature) == 8, "DEVICE_FEATURE");
static_assert(sizeof(struct vfio_user_mig_data) == 8, "MIG_DATA_READ, MIG_DATA_WRITE");
static_assert(sizeof(struct vfio_user_device_info) == 16, "DEVICE_GET_INFO");
static_assert(sizeof(struct vfio_user_region_info) == 32, "DEVICE_GET_REGION_INFO");
static_assert(sizeof(struct vfio_user_irq_info) == 16, "DEVICE_GET_IRQ_INFO");
static_assert(sizeof(struct vfio_user_irq_set) == 20, "DEVICE_SET_IRQS");
static_assert(sizeof(struct vfio_user_region_access) == 16, "REGION_READ, REGION_WRITE");
static_assert(sizeof(struct vfio_user_io_fds) == 16, "DEVICE_GET_REGION_IO_FDS");
static_assert(sizeof(struct vfio_user_io_fd) == 40, "DEVICE_GET_REGION_IO_FDS, one sub-region");
static_assert(sizeof(struct vfio_user_write_one) == 24, "REGION_WRITE_MULTI, one write");
static_assert(sizeof(struct vfio_user_write_multi) == 8, "REGION_WRITE_MULTI");
static_assert(sizeof(struct vfio_user_dma_access) == 16, "DMA_READ, DMA_WRITE");

#endif
