/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * File I/O on the event loop, by io_uring. Operations started during an iteration of the loop are
 * submitted together at its end; what completes at once (page cache) is reaped there and then.
 */
#ifndef RIDGE_BASE_URING_H
#define RIDGE_BASE_URING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/loop.h"

struct uring;

/* One operation under way. done() gets the result as the system call would: bytes or -errno. */
struct uring_op {
	void (*done)(struct uring_op *op, int result);
	/* By a thread of the kernel's in any case: for files that may wait when told not to. */
	bool offload;
};

/* Whoever has something to do once for all completions that came together. Zero it. */
struct uring_batch {
	struct list node; /* .next NULL or alone: not waiting */
	void (*fn)(struct uring_batch *batch);
};

/* Returns 0 or a negative errno: -EPERM or -ENOSYS where the kernel forbids io_uring. */
int uring_new(struct loop *loop, struct uring **ring);
/* Nothing may be under way. */
void uring_free(struct uring *ring);

/*
 * From a done(): has fn run after those of all operations that completed at the same time. False if
 * no completions are being handed out: then it is the caller's to do, now.
 */
bool uring_after_batch(struct uring *ring, struct uring_batch *batch,
		       void (*fn)(struct uring_batch *));
void uring_batch_cancel(struct uring_batch *batch);

/*
 * Start an operation; len is the length of iov. What is in the page cache is copied by this thread,
 * but only so much in one iteration of the loop: the rest goes to threads of the kernel's. op and
 * iov stay valid until done(), which is never called before the loop goes on. Return 0, or -EAGAIN
 * if the kernel takes no more now.
 */
int uring_readv(struct uring *ring, struct uring_op *op, int fd, const struct iovec *iov,
		unsigned int n, size_t len, uint64_t offset);
/* flags: RWF_* */
int uring_writev(struct uring *ring, struct uring_op *op, int fd, const struct iovec *iov,
		 unsigned int n, size_t len, uint64_t offset, int flags);
/* mode: FALLOC_FL_* */
int uring_fallocate(struct uring *ring, struct uring_op *op, int fd, int mode, uint64_t offset,
		    uint64_t len);
int uring_fdatasync(struct uring *ring, struct uring_op *op, int fd);
/* Fills in stx_size of sx. */
int uring_file_size(struct uring *ring, struct uring_op *op, int fd, struct statx *sx);

#ifdef RIDGE_FAULTS
/* Tries to open a file by the ring, which it does not do. Nothing may be under way. */
int uring_fault_open(struct uring *ring, const char *path);
#endif

#endif
