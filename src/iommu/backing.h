/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory behind maps: one mmap per distinct range of a file, counted.
 */
#ifndef RIDGE_IOMMU_BACKING_H
#define RIDGE_IOMMU_BACKING_H

#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"

struct backing {
	struct list node;
	unsigned int refs;
	volatile int lost; /* set by the SIGBUS handler */
	dev_t dev;
	ino_t ino;
	uint64_t offset;
	uint64_t size;
	int prot;
	uint8_t *base;
};

/* Installs the SIGBUS handler. Returns 0 or a negative errno. */
int backing_init(void);

/* Finds or makes the mapping; the caller owns a reference. Returns 0 or a negative errno. */
int backing_get(int fd, uint64_t offset, uint64_t size, int prot, struct backing **out);
void backing_put(struct backing *b);

/* Grows with every backing that is lost, so that looking for one is needed only then. */
unsigned int backing_losses(void);

#endif
