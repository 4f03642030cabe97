/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define URING_ENTRIES  256
#define URING_COPY_MAX (2u << 20) /* bytes: a fraction of a millisecond */

/*
 * What the kernel can't do without waiting (fdatasync, most writes) it gives to threads of its own.
 * By default a process has 4 for each CPU, and that many requests to a file that hangs would hold
 * up the requests to all others. Threads are made when all there are wait, and not before.
 */
#define URING_WORKERS_MAX 4096

/*
 * While many of those threads wait for files that hang, the kernel may wake one for an operation
 * that has taken another one by then, and goes to wait as well; nobody takes the first until a
 * thread that is idle looks after its five seconds. So who is not done after URING_LATE_MS has an
 * operation that does nothing sent after it: what that wakes takes all that stands before it.
 */
#define URING_LATE_MS     20
#define URING_LATE_MAX_MS 1280
#define URING_NUDGES_MAX  8

struct uring {
	struct io_uring ring;
	struct loop *loop;
	struct loop_fd ready;
	struct loop_hook hook;
	struct loop_work again;
	struct loop_timer late;
	uint64_t late_ms;
	unsigned int under_way, nudges; /* started and not done; those that do nothing */
	uint64_t started, nudged;       /* operations ever; those that a nudge was sent after */
	struct list batches;            /* struct uring_batch */
	bool reaping;
	bool unsubmitted;
	size_t budget; /* bytes that may be copied in this iteration */
};

static void reap(struct uring *u)
{
	struct io_uring_cqe *cqe;

	u->reaping = true;
	while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct uring_op *op = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&u->ring, cqe);
		if (!op) {
			u->nudges--;
			continue;
		}
		u->under_way--;
		op->done(op, result);
	}
	u->reaping = false;
	while (!list_empty(&u->batches)) {
		struct uring_batch *batch = list_first(&u->batches, struct uring_batch, node);

		list_del(&batch->node);
		batch->fn(batch);
	}
}

bool uring_after_batch(struct uring *u, struct uring_batch *batch, void (*fn)(struct uring_batch *))
{
	if (!u->reaping)
		return false;
	batch->fn = fn;
	if (!batch->node.next || list_empty(&batch->node))
		list_add_tail(&u->batches, &batch->node);
	return true;
}

void uring_batch_cancel(struct uring_batch *batch)
{
	if (batch->node.next)
		list_del(&batch->node);
}

static void on_ready(struct loop_fd *lfd, uint32_t events)
{
	(void)events;
	reap(container_of(lfd, struct uring, ready));
}

static void submit(struct uring *u)
{
	/*
	 * -EBUSY and -EAGAIN: the kernel wants completions reaped first; the hook runs again then.
	 */
	if (io_uring_submit(&u->ring) >= 0)
		u->unsubmitted = io_uring_sq_ready(&u->ring) > 0;
}

static struct io_uring_sqe *next_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		submit(u);
		sqe = io_uring_get_sqe(&u->ring);
	}
	if (sqe)
		u->unsubmitted = true;
	return sqe;
}

/* The hook that follows submits the nudge. */
static void on_late(struct loop_timer *timer)
{
	struct uring *u = container_of(timer, struct uring, late);
	struct io_uring_sqe *sqe;

	if (u->under_way == 0 || (u->nudges == 0 && u->nudged == u->started))
		return;
	/* One that is itself late may have been the victim, or all threads there may be wait. */
	if (u->nudges == 0)
		u->late_ms = URING_LATE_MS;
	else if (u->late_ms < URING_LATE_MAX_MS)
		u->late_ms *= 2;
	sqe = u->nudges < URING_NUDGES_MAX ? next_sqe(u) : NULL;
	if (sqe) {
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, NULL);
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
		u->nudges++;
		u->nudged = u->started;
	}
	loop_timer_set(u->loop, &u->late, u->late_ms, on_late);
}

/* The loop does not sleep while work is queued; the hook that follows does the rest. */
static void submit_again(struct loop_work *work)
{
	(void)work;
}

static void before_sleep(struct loop_hook *hook)
{
	struct uring *u = container_of(hook, struct uring, hook);

	/* What completes at once may start more; bounded, so that others get their turn. */
	for (int i = 0; u->unsubmitted && i < 4; i++) {
		submit(u);
		reap(u);
	}
	u->budget = URING_COPY_MAX;
	if (u->unsubmitted)
		loop_work_queue(u->loop, &u->again, submit_again);
	if (u->under_way > 0 && u->nudged != u->started && !loop_timer_armed(&u->late))
		loop_timer_set(u->loop, &u->late, URING_LATE_MS, on_late);
}

/*
 * A ring does what it is asked to without a system call that a seccomp filter would see, so it has
 * a list of its own. For good: from when it is enabled on, nothing can be registered any more.
 */
static int restrict_ring(struct io_uring *ring)
{
	static const uint8_t operations[] = {
		IORING_OP_READ,  IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FALLOCATE,
		IORING_OP_FSYNC, IORING_OP_STATX, IORING_OP_NOP,
	};
	struct io_uring_restriction list[sizeof(operations) + 1] = { 0 };
	unsigned int n = 0;
	int err;

	for (; n < sizeof(operations); n++) {
		list[n].opcode = IORING_RESTRICTION_SQE_OP;
		list[n].sqe_op = operations[n];
	}
	list[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	list[n++].sqe_flags = IOSQE_ASYNC;
	/* By number: liburing 2.3 has functions for these two, but does not export them. */
	err = io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_RESTRICTIONS, list, n);
	return err ? err
		   : io_uring_register((unsigned int)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS,
				       NULL, 0);
}

int uring_new(struct loop *loop, struct uring **out)
{
	unsigned int workers[2] = { URING_WORKERS_MAX, 0 /* not for files: unchanged */ };
	struct uring *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->loop = loop;
	list_init(&u->batches);
	u->budget = URING_COPY_MAX;
	err = io_uring_queue_init(URING_ENTRIES, &u->ring,
				  IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
					  IORING_SETUP_COOP_TASKRUN);
	if (err == -EINVAL)
		err = io_uring_queue_init(URING_ENTRIES, &u->ring, IORING_SETUP_R_DISABLED);
	if (err) {
		free(u);
		return err;
	}
	io_uring_ring_dontfork(&u->ring);
	err = io_uring_register_iowq_max_workers(&u->ring, workers);
	if (err)
		log_warn("io_uring keeps its limit of threads (%s): a file that hangs may hold up "
			 "others",
			 strerror(-err));
	err = restrict_ring(&u->ring);
	if (!err)
		err = loop_fd_add(loop, &u->ready, u->ring.ring_fd, EPOLLIN, on_ready);
	if (err) {
		io_uring_queue_exit(&u->ring);
		free(u);
		return err;
	}
	loop_hook_add(loop, &u->hook, before_sleep);
	*out = u;
	return 0;
}

void uring_free(struct uring *u)
{
	if (!u)
		return;
	loop_hook_del(&u->hook);
	loop_work_cancel(&u->again);
	loop_timer_cancel(&u->late);
	loop_fd_del(u->loop, &u->ready);
	io_uring_queue_exit(&u->ring);
	free(u);
}

static int start(struct uring *u, struct io_uring_sqe *sqe, struct uring_op *op)
{
	u->started++;
	u->under_way++;
	io_uring_sqe_set_data(sqe, op);
	if (op->offload)
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	return 0;
}

/* An operation that may be a copy of len bytes, done while it is submitted. */
static int start_copy(struct uring *u, struct io_uring_sqe *sqe, struct uring_op *op, size_t len)
{
	start(u, sqe, op);
	if (len > u->budget)
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	else
		u->budget -= len;
	return 0;
}

int uring_readv(struct uring *u, struct uring_op *op, int fd, const struct iovec *iov,
		unsigned int n, size_t len, uint64_t offset)
{
	struct io_uring_sqe *sqe = next_sqe(u);

	if (!sqe)
		return -EAGAIN;
	/* One buffer, as most reads have, spares the kernel the copy of the vector. */
	if (n == 1)
		io_uring_prep_read(sqe, fd, iov->iov_base, (unsigned int)iov->iov_len, offset);
	else
		io_uring_prep_readv(sqe, fd, iov, n, offset);
	return start_copy(u, sqe, op, len);
}

int uring_writev(struct uring *u, struct uring_op *op, int fd, const struct iovec *iov,
		 unsigned int n, size_t len, uint64_t offset, int flags)
{
	struct io_uring_sqe *sqe = next_sqe(u);

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_writev2(sqe, fd, iov, n, offset, flags);
	return start_copy(u, sqe, op, len);
}

int uring_fallocate(struct uring *u, struct uring_op *op, int fd, int mode, uint64_t offset,
		    uint64_t len)
{
	struct io_uring_sqe *sqe = next_sqe(u);

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_fallocate(sqe, fd, mode, (off_t)offset, (off_t)len);
	return start(u, sqe, op);
}

int uring_fdatasync(struct uring *u, struct uring_op *op, int fd)
{
	struct io_uring_sqe *sqe = next_sqe(u);

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	return start(u, sqe, op);
}

int uring_file_size(struct uring *u, struct uring_op *op, int fd, struct statx *sx)
{
	struct io_uring_sqe *sqe = next_sqe(u);

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_statx(sqe, fd, "", AT_EMPTY_PATH, STATX_SIZE, sx);
	return start(u, sqe, op);
}

#ifdef RIDGE_FAULTS
int uring_fault_open(struct uring *u, const char *path)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
	struct io_uring_cqe *cqe;
	int result;

	if (!sqe)
		return -EAGAIN;
	io_uring_prep_openat(sqe, AT_FDCWD, path, O_RDONLY, 0);
	result = io_uring_submit_and_wait(&u->ring, 1);
	if (result >= 0)
		result = io_uring_peek_cqe(&u->ring, &cqe);
	if (result)
		return result;
	result = cqe->res;
	io_uring_cqe_seen(&u->ring, cqe);
	return result < 0 ? result : 0;
}
#endif
