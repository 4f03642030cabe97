/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory behind maps: one mmap of each file, whole, with maps as windows into it. A guest's
 * memory reaches us in many pieces, some of them not aligned to its huge pages, and through each of
 * the guest's functions; all of these are the same few files.
 */
#ifndef RIDGE_IOMMU_BACKING_H
#define RIDGE_IOMMU_BACKING_H

#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"

/* Bytes of one file, and of all files together: far from what an address space has room for. */
#define BACKING_FILE_MAX  (16ull << 40)
#define BACKING_TOTAL_MAX (64ull << 40)

struct backing {
	struct list node;
	unsigned int refs;
	volatile int lost; /* set by the SIGBUS handler */
	dev_t dev;
	ino_t ino;
	uint64_t size;
	int prot;
	uint8_t *base;
	uint8_t *aside; /* lost: where the file is mapped now, or NULL */
};

/* Installs the SIGBUS handler. Returns 0 or a negative errno. */
int backing_init(void);

/*
 * Finds or makes the mapping of the file, for accesses prot to [offset, offset + size); the caller
 * owns a reference. Only memory that can't make us wait is accepted: memfds, tmpfs and hugetlbfs.
 * -EINVAL: another kind of file; -ERANGE: the file is shorter than that; -EACCES: not open for
 * these accesses; -ENOSPC: too large; or of mmap().
 */
int backing_get(int fd, uint64_t offset, uint64_t size, int prot, struct backing **out);
void backing_put(struct backing *b);

/* Grows with every backing that is lost, so that looking for one is needed only then. */
unsigned int backing_losses(void);

/* Of all in the process: how many, and how many bytes of addresses they take. */
size_t backing_count(void);
uint64_t backing_total(void);

#endif
