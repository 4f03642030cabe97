/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disk images: opened so that nothing but a regular file or a block device is touched, and locked
 * against others that write.
 *
 * The locks are open file description locks, so they live as long as any process holds the
 * descriptor: they stay when ridged goes, and end with the PF process.
 *
 *   writable   exclusive, the whole file. QEMU's raw driver takes shared locks on single bytes, so
 *              it can neither read nor write such an image, which is what it would be told by a
 *              second QEMU that writes, too.
 *   readonly   shared, the bytes with which QEMU says "I read" and "nobody may write or resize"
 *              (block/file-posix.c: byte 100 + n for a permission in use, 200 + n for one not
 *              shared with others; n = 0 consistent read, 1 write, 3 resize). Other readers are
 *              welcome, ours and QEMU's.
 *   share      none: somebody else coordinates the writers.
 */
#ifndef RIDGE_CONTROL_IMAGE_H
#define RIDGE_CONTROL_IMAGE_H

#include <stdbool.h>

#include "control/error.h"

struct image_options {
	bool readonly;
	bool direct; /* O_DIRECT */
	bool share;
};

/* Opens and locks path. Returns 0, or a negative errno with e set. */
int image_open(const char *path, const struct image_options *options, int *fd, struct error *e);

#endif
