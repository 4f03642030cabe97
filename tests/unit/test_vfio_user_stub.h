/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vfio_device made for tests of what stands on vfio/vfio.h: it says yes to what is well-formed,
 * remembers what it was asked, and finishes late where it is told to.
 */
#ifndef RIDGE_TEST_VFIO_USER_STUB_H
#define RIDGE_TEST_VFIO_USER_STUB_H

#include "base/loop.h"
#include "vfio/vfio.h"

#define STUB_REGIONS  9
#define STUB_IRQS     5
#define STUB_MAPS     64
#define STUB_BAR_SIZE 0x20000 /* region 0 and the config space's size is 0x1000, others 0 */
#define STUB_VECTORS  32      /* of VFIO_PCI_MSIX_IRQ_INDEX */

#define STUB_IO_FDS 16

struct stub_map {
	uint64_t iova;
	uint64_t size;
	uint64_t offset;
	int prot;
	bool has_fd;
};

struct vfio_device {
	/* how to behave */
	int open_error;
	bool late_access;
	bool late_unmap;
	bool late_reset;
	bool late_close;
	unsigned int io_fds;  /* of region 0: that many, each with an eventfd */
	bool endless;         /* there is always one more */
	unsigned int signals; /* that the next look at them finds, each a write */
	struct loop *loop; /* NULL, or where a write has an effect later, as a notification has */

	/* what is under way */
	struct vfio_access *access;
	struct vfio_wait *unmap;
	struct vfio_wait *reset;
	struct vfio_wait *close;

	/* what was asked */
	bool open;
	unsigned int opens;
	unsigned int closes;
	unsigned int resets;
	unsigned int accesses;
	unsigned int effects;         /* of writes, that happened */
	unsigned int effects_pending; /* ... and that are queued */
	unsigned int too_early;       /* unmaps while there were some */
	struct loop_work effect;
	struct stub_map maps[STUB_MAPS];
	size_t nmaps;
	struct vfio_irqs irqs;     /* the last; without its pointers */
	int irq_fds[STUB_VECTORS]; /* -1: none */
	uint8_t bools[STUB_VECTORS];
	int io_fd[STUB_IO_FDS]; /* -1: none */
	uint8_t config[0x1000];
	uint8_t bar[STUB_BAR_SIZE];
};

struct vfio_device *stub_new(void);
void stub_free(struct vfio_device *vdev);

/* Finishes the access, unmap or reset that is under way. */
void stub_finish(struct vfio_device *vdev, int result);
void stub_finish_close(struct vfio_device *vdev);

#endif
