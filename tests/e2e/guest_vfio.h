/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What programs in a Linux host do with a VFIO device and no IOMMU. They run in the guest, linked
 * statically; what goes wrong ends them with status 1 and a line that says what it was.
 *
 * Memory for DMA is one huge page, locked, whose physical address is the one that devices use.
 */
#ifndef RIDGE_TEST_GUEST_VFIO_H
#define RIDGE_TEST_GUEST_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_SIZE (2u << 20)

struct memory {
	uint8_t *base;
	uint64_t address;
	size_t used;
};

void memory_init(struct memory *m);
/* Zeroed, aligned to align (a power of two). */
void *memory_get(struct memory *m, size_t size, size_t align);
uint64_t memory_address(const struct memory *m, const void *p);

struct vfio {
	char rid[32];
	int container, group; /* -1 in cdev mode */
	int iommufd;          /* -1 in group mode */
	int fd;
	uint64_t config; /* offset of the region in fd */
};

__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *fmt, ...);
/* Waits until done(ctx); fails with what after 20 s. */
void wait_until(bool (*done)(void *ctx), void *ctx, const char *what);

/* cdev: by its own device node and iommufd, else by group and container. */
void vfio_open(struct vfio *v, const char *rid, bool cdev);
void vfio_close(struct vfio *v);
/* The offset of a region in v->fd, its size and flags. */
uint64_t vfio_region(const struct vfio *v, unsigned index, uint64_t *size, uint32_t *flags);

uint32_t vfio_config_read(const struct vfio *v, unsigned offset, unsigned size);
void vfio_config_write(const struct vfio *v, unsigned offset, unsigned size, uint32_t value);
/* Memory and I/O decoding, bus mastering. */
void vfio_enable(const struct vfio *v);

uint32_t fd_read(int fd, uint64_t offset, unsigned size);
void fd_write(int fd, uint64_t offset, unsigned size, uint32_t value);

/* A link on the PF's own network: raw frames of the test's ethertype on an interface. */
struct link {
	int fd;
	int index;
	uint8_t mac[6];
};

#define FRAME_SIZE 60

void link_open(struct link *l, const char *interface);
/* A frame with a payload that n decides. */
void frame_make(uint8_t frame[FRAME_SIZE], const uint8_t dst[6], const uint8_t src[6], unsigned n);
void link_send(const struct link *l, const uint8_t dst[6], unsigned n);
/* Waits for frame n from src. */
void link_receive(const struct link *l, const uint8_t src[6], unsigned n);

#endif
