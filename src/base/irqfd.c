/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/irqfd.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Completions that may be left lying: nobody needs them, they are thrown away all together. */
#define COMPLETIONS 64

/* As the descriptors that it signals, it belongs to the process. */
static struct {
	aio_context_t context;
} irqfd;

int irqfd_init(void)
{
	if (!irqfd.context && syscall(SYS_io_setup, COMPLETIONS, &irqfd.context) < 0)
		return -errno;
	return 0;
}

static void forget_completions(void)
{
	struct io_event events[COMPLETIONS];
	struct timespec none = { 0 };

	syscall(SYS_io_getevents, irqfd.context, 0, COMPLETIONS, events, &none);
}

static int submit(struct iocb *cb)
{
	int err = irqfd_init();

	if (err)
		return err;
	if (syscall(SYS_io_submit, irqfd.context, 1, &cb) == 1)
		return 0;
	if (errno != EAGAIN)
		return -errno;
	forget_completions();
	return syscall(SYS_io_submit, irqfd.context, 1, &cb) == 1 ? 0 : -errno;
}

bool irqfd_is(int fd)
{
	/* The kernel looks for the eventfd first. Then there are no buffers to read into. */
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PREADV,
		.aio_fildes = (uint32_t)fd,
		.aio_nbytes = 1,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};

	return submit(&cb) == -EFAULT;
}

int irqfd_signal(int fd)
{
	/* A read of no bytes, which an eventfd completes at once, as too short. */
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};

	return submit(&cb);
}

bool irqfd_take(int fd)
{
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };

	return preadv2(fd, &iov, 1, -1, RWF_NOWAIT) == (ssize_t)sizeof(count);
}
