/* SPDX-License-Identifier: BSD-3-Clause */
#include "iommu/backing.h"

#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * A signal handler belongs to the process and has no argument to find an object by, so the list of
 * backings is the process's too. The process has one thread, SIGBUS comes from its own accesses to
 * guest memory, and none of those happen while the list is being changed.
 */
static struct {
	struct list all;
	volatile sig_atomic_t losses;
	struct sigaction previous;
} backings;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uint8_t *addr = info->si_addr;
	struct backing *b;

	(void)context;
	list_for_each (b, &backings.all, node) {
		if (addr < b->base || addr >= b->base + b->size)
			continue;
		/* The whole range: huge pages can't be replaced one by one. */
		if (mmap(b->base, b->size, PROT_READ | PROT_WRITE,
			 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			 0) == MAP_FAILED)
			break;
		b->lost = 1;
		backings.losses++;
		return;
	}
	/* Not guest memory: a bug of ours. Let it end the process as it would have. */
	sigaction(sig, &backings.previous, NULL);
}

int backing_init(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	if (backings.all.next)
		return 0;
	list_init(&backings.all);
	sigemptyset(&sa.sa_mask);
	return sigaction(SIGBUS, &sa, &backings.previous) < 0 ? -errno : 0;
}

unsigned int backing_losses(void)
{
	return (unsigned int)backings.losses;
}

/*
 * A page fault must not wait for a process that the VMM chose: the whole PF would wait with it.
 */
static bool memory_may_hang(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC;
}

static struct backing *find(const struct backing *like)
{
	struct backing *b;

	list_for_each (b, &backings.all, node)
		if (b->dev == like->dev && b->ino == like->ino && b->offset == like->offset &&
		    b->size == like->size && b->prot == like->prot && !b->lost)
			return b;
	return NULL;
}

int backing_get(int fd, uint64_t offset, uint64_t size, int prot, struct backing **out)
{
	struct backing *b, *same;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (memory_may_hang(fd))
		return -EPERM;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->refs = 1;
	b->dev = st.st_dev;
	b->ino = st.st_ino;
	b->offset = offset;
	b->size = size;
	b->prot = prot;
	/* Also where there is one to share: the kernel says whether this descriptor allows it. */
	b->base = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);
	if (b->base == MAP_FAILED) {
		int err = -errno;

		free(b);
		return err;
	}
	/* The inode is the memory for regular files only (memfds are, /dev/zero is not). */
	same = S_ISREG(st.st_mode) ? find(b) : NULL;
	if (same) {
		munmap(b->base, size);
		free(b);
		b = same;
		b->refs++;
	} else {
		list_add_tail(&backings.all, &b->node);
	}
	*out = b;
	return 0;
}

void backing_put(struct backing *b)
{
	if (--b->refs)
		return;
	list_del(&b->node);
	munmap(b->base, b->size);
	free(b);
}
