/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces for DMA.
 *
 * Every DMA access is made by a requester (RID) and, if it has one, under a PASID; the pair selects
 * an address space, and the address space says which memory an I/O virtual address (iova) is. An
 * address space is a sorted set of maps that do not overlap. A map is backed by a range of a file
 * (a guest's memory as its VMM shares it); ranges of the same file with the same bounds are mmap'd
 * once, however many functions map them. A map without a file is only recorded: touching it is a
 * fault whose reason tells people to give the guest shared memory.
 *
 * Device code reaches memory in one of three ways, none of which lets a translated pointer outlive
 * the map that it came from:
 *
 *   iommu_read(), iommu_write()	copy, for a few bytes
 *   struct iommu_window		a cached translation of one range, checked on every use
 *					against the address space's generation, which any map or
 *					unmap changes
 *   iommu_pin(), iommu_unpin()		for I/O that the kernel does later: an unmap of pinned
 *					memory completes only once it was unpinned
 *
 * The file behind a map is somebody else's: it may shrink, and touching it then raises SIGBUS. The
 * handler that iommu_new() installs replaces the backing by zero pages and marks it lost; from then
 * on every access through it is a fault. Callers that used a window or pinned memory ask
 * iommu_space_lost() after a batch of work.
 */
#ifndef RIDGE_IOMMU_IOMMU_H
#define RIDGE_IOMMU_IOMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/list.h"

/* PASID of requests that carry none. */
#define IOMMU_NO_PASID 0xffffffffu

/* As vfio-user's max_dma_maps. */
#define IOMMU_MAPS_MAX 65535

/*
 * Files whose memory one address space has mapped. The kernel lets a process have 65530 mappings
 * and 128 TiB of addresses (vm.max_map_count, x86-64), and all functions of a PF share them: so no
 * space may have more than its share, and from SCARCE on only what every space can have at once.
 */
#define IOMMU_FILES_MAX         128
#define IOMMU_FILES_SCARCE      24576
#define IOMMU_FILES_WHEN_SCARCE 8
#define IOMMU_BYTES_MAX         (16ull << 40)
#define IOMMU_BYTES_SCARCE      (44ull << 40)
#define IOMMU_BYTES_WHEN_SCARCE (4ull << 30)

#define IOMMU_PAGE 4096u

struct iommu;
struct iommu_space;
struct iommu_map;

/* Whoever waits for an unmap. Zero it to begin with. */
struct iommu_wait {
	struct iommu_map *map; /* what it waits for; NULL: nothing */
	void (*done)(struct iommu_wait *wait);
};

/* Whoever waits until no unmap does any more. Zero it to begin with. */
struct iommu_stay {
	struct list node; /* .next NULL: waits for nothing */
	void (*done)(struct iommu_stay *stay);
};

/* A piece of pinned memory. */
struct iommu_seg {
	void *base;
	size_t len; /* bytes */
	struct iommu_map *map;
};

/* A contiguous range that is accessed again and again, such as a ring. Zero it to begin with. */
struct iommu_window {
	uint64_t iova;
	size_t len;
	uint64_t generation;
	int prot; /* the accesses that ptr is good for */
	uint8_t *ptr;
};

/* Why the last access to an address space failed; NULL if none did. A static string. */
const char *iommu_space_fault(const struct iommu_space *space);

/* Returns 0 or a negative errno. The SIGBUS handler stays for the life of the process. */
int iommu_new(struct iommu **iommu);
void iommu_free(struct iommu *iommu);

/* Makes an address space for (rid, pasid); -EEXIST if there is one, -ENOMEM. */
int iommu_space_new(struct iommu *iommu, uint16_t rid, uint32_t pasid, struct iommu_space **space);
/* As iommu_unmap_all(). What is pinned must not be any more before iommu_free(). */
void iommu_space_free(struct iommu_space *space);
/* NULL if the pair has no address space. */
struct iommu_space *iommu_space_find(struct iommu *iommu, uint16_t rid, uint32_t pasid);

/*
 * Maps [iova, iova + size) to the file's [offset, offset + size); fd (not consumed) may be -1.
 * prot is PROT_READ and/or PROT_WRITE, from the device's point of view.
 * Errors: -EINVAL (not page-aligned, empty, wraps, bad prot), -EEXIST (overlaps a map), -ENOSPC
 * (IOMMU_MAPS_MAX, or more files or bytes than the space's share), -ENOMEM, or of fstat() and
 * mmap().
 */
int iommu_map(struct iommu_space *space, uint64_t iova, uint64_t size, int fd, uint64_t offset,
	      int prot);

/*
 * Unmaps what was mapped with these very bounds, else -ENOENT. Returns 0 when done; -EINPROGRESS if
 * it is pinned, and wait->done() once it is not. wait may be NULL: nobody is told then. Until done
 * all goes on as before, as whoever has memory pinned may have to say in other memory that it is
 * finished; the bounds stay taken.
 */
int iommu_unmap(struct iommu_space *space, uint64_t iova, uint64_t size, struct iommu_wait *wait);
/* The bounds of the last map in the space, -ENOENT if it has none: to unmap all, one by one. */
int iommu_last(const struct iommu_space *space, uint64_t *iova, uint64_t *size);
/* Unmaps everything, now: of what is pinned only the memory stays until it is not. */
void iommu_unmap_all(struct iommu_space *space);
/* Forgets the wait of an unmap that is in progress. */
void iommu_wait_cancel(struct iommu_wait *wait);
size_t iommu_space_maps(const struct iommu_space *space);

/* Copies; -EFAULT if any byte is not mapped with that access or its backing is lost. */
int iommu_read(struct iommu_space *space, uint64_t iova, void *data, size_t len);
int iommu_write(struct iommu_space *space, uint64_t iova, const void *data, size_t len);

/*
 * The window's memory, [iova, iova + len), or NULL: not mapped, not with that access, or not
 * contiguous in this process (then iommu_read() and iommu_write() still work).
 */
uint8_t *iommu_window_get(struct iommu_window *window, struct iommu_space *space, uint64_t iova,
			  size_t len, int prot);

/*
 * Pins [iova, iova + len) into at most max segments; returns how many, -EFAULT, or -E2BIG.
 */
int iommu_pin(struct iommu_space *space, uint64_t iova, size_t len, int prot,
	      struct iommu_seg *segs, size_t max);
void iommu_unpin(struct iommu_seg *segs, size_t n);

/*
 * Whether an unmap waits for what is pinned; stay->done() once none does. It may not use the space,
 * or what it freed.
 */
bool iommu_space_leaving(struct iommu_space *space, struct iommu_stay *stay);
void iommu_stay_cancel(struct iommu_stay *stay);

/* Whether the memory behind any map of the space was lost since it was mapped. */
bool iommu_space_lost(struct iommu_space *space);

#endif
