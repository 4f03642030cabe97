/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/closer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/irqfd.h"

#define CLOSER_PIECE   (16u << 20) /* bytes that are unmapped at once */
#define CLOSER_AT_ONCE (1u << 20)  /* bytes that need no thread: 256 pages */

/* As the descriptors that it closes, it belongs to the process. */
static struct {
	int files[2]; /* pipes of struct job, each of a thread of its own: a close may never end */
	int memory[2];
	bool running;
	atomic_uint waiting; /* files */
} closer;

/* A descriptor, or memory. */
struct job {
	int fd; /* -1: memory */
	uint8_t *base;
	size_t size;
	_Atomic(uint64_t) *mapped;
};

struct start {
	int (*confine)(void);
	int jobs;
	int pipe[2]; /* what confine() returned */
};

/*
 * In pieces: maps of the loop's wait for the one at hand, no longer than it takes to forget that many
 * pages. With the last one goes the file.
 */
static void unmap(const struct job *job)
{
	for (size_t at = 0; at < job->size; at += CLOSER_PIECE)
		madvise(job->base + at,
			job->size - at < CLOSER_PIECE ? job->size - at : CLOSER_PIECE,
			MADV_DONTNEED);
	munmap(job->base, job->size);
	atomic_fetch_sub(job->mapped, job->size);
}

static void *run(void *arg)
{
	struct start *start = arg;
	int err = start->confine ? start->confine() : 0, jobs = start->jobs;
	struct job job;

	if (write(start->pipe[1], &err, sizeof(err)) != (ssize_t)sizeof(err) || err)
		return NULL;
	while (read(jobs, &job, sizeof(job)) == (ssize_t)sizeof(job)) {
		if (job.fd < 0) {
			unmap(&job);
			continue;
		}
		close(job.fd);
		if (jobs == closer.files[0])
			atomic_fetch_sub(&closer.waiting, 1);
	}
	return NULL;
}

static int start_thread(struct start *start)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	/* Signals are for the thread that has the loop. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&thread, NULL, run, start);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return err;
	pthread_detach(thread);
	if (read(start->pipe[0], &err, sizeof(err)) != (ssize_t)sizeof(err))
		return -EIO;
	return err;
}

static int start_queue(int (*confine)(void), int queue[2])
{
	struct start start = { .confine = confine };
	int err;

	if (pipe2(queue, O_CLOEXEC) < 0)
		return -errno;
	start.jobs = queue[0];
	/* Written to without waiting; the thread waits for something to read. */
	if (fcntl(queue[1], F_SETFL, O_NONBLOCK) < 0 || pipe2(start.pipe, O_CLOEXEC) < 0) {
		err = -errno;
		close(queue[0]);
		close(queue[1]);
		return err;
	}
	err = start_thread(&start);
	close(start.pipe[0]);
	close(start.pipe[1]);
	return err;
}

int closer_init(int (*confine)(void))
{
	int err = start_queue(confine, closer.files);

	if (!err)
		err = start_queue(confine, closer.memory);
	closer.running = !err;
	return err;
}

/* F_GET_SEALS works on shmem and hugetlbfs, and on nothing else. */
static bool is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

/* Too large to be freed at once, if this is the last descriptor of it. */
static bool is_large(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || (uint64_t)st.st_blocks > CLOSER_AT_ONCE / 512;
}

/* The queue of what takes time to close, NULL if it is closed at once. */
static const int *queue_of(int fd)
{
	if (is_memory(fd))
		return is_large(fd) ? closer.memory : NULL;
	return irqfd_is(fd) ? NULL : closer.files;
}

/* False if there is no thread, or it has too much to do. */
static bool leave(const int queue[2], const struct job *job)
{
	return closer.running && write(queue[1], job, sizeof(*job)) == (ssize_t)sizeof(*job);
}

void closer_unmap(void *base, size_t size, _Atomic(uint64_t) *mapped)
{
	const struct job job = { .fd = -1, .base = base, .size = size, .mapped = mapped };

	if (size <= CLOSER_AT_ONCE || !leave(closer.memory, &job))
		unmap(&job);
}

size_t closer_close_all(const int *fds, size_t n)
{
	size_t later = 0;

	for (size_t i = 0; i < n; i++) {
		const int *queue = fds[i] < 0 ? NULL : queue_of(fds[i]);

		/* The pipe has room for many times CLOSER_WAITING_MAX. */
		if (!queue || !leave(queue, &(struct job){ .fd = fds[i] })) {
			if (fds[i] >= 0)
				close(fds[i]);
		} else if (queue == closer.files) {
			atomic_fetch_add(&closer.waiting, 1);
			later++;
		}
	}
	return later;
}

bool closer_full(void)
{
	return atomic_load(&closer.waiting) >= CLOSER_WAITING_MAX;
}
