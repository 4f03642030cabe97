/* SPDX-License-Identifier: BSD-3-Clause */
#include "iommu/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/closer.h"

/*
 * A signal handler belongs to the process and has no argument to find an object by, so the list of
 * backings is the process's too. The process has one thread, SIGBUS comes from its own accesses to
 * guest memory, and none of those happen while the list is being changed.
 */
static struct {
	struct list all;
	size_t count;
	_Atomic(uint64_t) total; /* bytes mapped, or not yet unmapped */
	volatile sig_atomic_t losses;
	struct sigaction previous;
} backings;

/*
 * Not unmapped here: it may be all of a guest's memory, and nobody else's any more. Page tables are
 * moved, whole ones at a time; pages would be freed one by one.
 */
static void put_aside(struct backing *b)
{
	uint8_t *to =
		mmap(NULL, b->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (to == MAP_FAILED)
		return;
	if (mremap(b->base, b->size, b->size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
		munmap(to, b->size);
		return;
	}
	b->aside = to;
	backings.total += b->size;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uint8_t *addr = info->si_addr;
	struct backing *b;

	(void)context;
	list_for_each (b, &backings.all, node) {
		if (addr < b->base || addr >= b->base + b->size)
			continue;
		if (!b->aside)
			put_aside(b);
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

size_t backing_count(void)
{
	return backings.count;
}

uint64_t backing_total(void)
{
	return backings.total;
}

/*
 * A page fault must not wait for a process, or a server, that the VMM chose: the whole PF would
 * wait with it. F_GET_SEALS works on shmem and hugetlbfs and on nothing else, and never blocks.
 */
static int check_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) < 0 ? -errno : 0;
}

static int prot_of(int fd)
{
	switch (fcntl(fd, F_GETFL) & O_ACCMODE) {
	case O_RDWR:
		return PROT_READ | PROT_WRITE;
	case O_RDONLY:
		return PROT_READ;
	default:
		return 0;
	}
}

/*
 * Inode numbers of hugetlbfs wrap at 32 bits, so they don't tell two files apart for good.
 */
static bool may_share(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type != HUGETLBFS_MAGIC;
}

static struct backing *find(const struct backing *like)
{
	struct backing *b;

	list_for_each (b, &backings.all, node)
		if (b->dev == like->dev && b->ino == like->ino && b->size == like->size &&
		    b->prot == like->prot && !b->lost)
			return b;
	return NULL;
}

static int map_file(int fd, const struct backing *like, struct backing **out)
{
	struct backing *b;
	int err;

	if (like->size > BACKING_FILE_MAX || like->size > BACKING_TOTAL_MAX - backings.total)
		return -ENOSPC;
	b = malloc(sizeof(*b));
	if (!b)
		return -ENOMEM;
	*b = *like;
	b->base = mmap(NULL, b->size, b->prot, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (b->base == MAP_FAILED) {
		err = -errno;
		free(b);
		return err;
	}
	backings.count++;
	backings.total += b->size;
	list_add_tail(&backings.all, &b->node);
	*out = b;
	return 0;
}

int backing_get(int fd, uint64_t offset, uint64_t size, int prot, struct backing **out)
{
	struct backing like = { .refs = 1 }, *same;
	struct stat st;
	int err;

	err = check_memory(fd);
	if (err)
		return err;
	if (fstat(fd, &st) < 0)
		return -errno;
	like.dev = st.st_dev;
	like.ino = st.st_ino;
	like.size = (uint64_t)st.st_size;
	like.prot = prot_of(fd);
	if ((like.prot & prot) != prot)
		return -EACCES;
	if (offset > like.size || size > like.size - offset)
		return -ERANGE;
	same = may_share(fd) ? find(&like) : NULL;
	if (!same)
		return map_file(fd, &like, out);
	same->refs++;
	*out = same;
	return 0;
}

void backing_put(struct backing *b)
{
	if (--b->refs)
		return;
	list_del(&b->node);
	backings.count--;
	closer_unmap(b->base, b->size, &backings.total);
	if (b->aside)
		closer_unmap(b->aside, b->size, &backings.total);
	free(b);
}
