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

/* What a thread is to do. */
struct queue {
	int jobs[2];         /* a pipe of struct job */
	atomic_uint waiting; /* descriptors */
};

/* As the descriptors that it closes, it belongs to the process. */
static struct {
	struct queue files;  /* a close of one may never end ... */
	struct queue memory; /* ... and these go on */
	bool running;
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
	struct queue *queue;
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
	int err = start->confine ? start->confine() : 0;
	struct queue *queue = start->queue;
	struct job job;

	if (write(start->pipe[1], &err, sizeof(err)) != (ssize_t)sizeof(err) || err)
		return NULL;
	while (read(queue->jobs[0], &job, sizeof(job)) == (ssize_t)sizeof(job)) {
		if (job.fd < 0) {
			unmap(&job);
			continue;
		}
		close(job.fd);
		atomic_fetch_sub(&queue->waiting, 1);
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

static int start_queue(int (*confine)(void), struct queue *queue)
{
	struct start start = { .confine = confine, .queue = queue };
	int err;

	if (pipe2(queue->jobs, O_CLOEXEC) < 0)
		return -errno;
	/* Written to without waiting; the thread waits for something to read. */
	if (fcntl(queue->jobs[1], F_SETFL, O_NONBLOCK) < 0 || pipe2(start.pipe, O_CLOEXEC) < 0) {
		err = -errno;
		close(queue->jobs[0]);
		close(queue->jobs[1]);
		return err;
	}
	err = start_thread(&start);
	close(start.pipe[0]);
	close(start.pipe[1]);
	return err;
}

int closer_init(int (*confine)(void))
{
	int err = start_queue(confine, &closer.files);

	if (!err)
		err = start_queue(confine, &closer.memory);
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
static struct queue *queue_of(int fd)
{
	if (!closer.running)
		return NULL;
	if (is_memory(fd))
		return is_large(fd) ? &closer.memory : NULL;
	return irqfd_is(fd) ? NULL : &closer.files;
}

/* False if it has too much to do. */
static bool leave(struct queue *queue, const struct job *job)
{
	return write(queue->jobs[1], job, sizeof(*job)) == (ssize_t)sizeof(*job);
}

/*
 * Whoever passes files that take for ever is stopped (closer_full()) long before the pipe has no
 * room. Memory takes no longer than it takes to free it, so what is too much is closed by the loop.
 */
static bool leave_fd(struct queue *queue, int fd)
{
	if (queue == &closer.memory && atomic_load(&queue->waiting) >= CLOSER_WAITING_MAX)
		return false;
	atomic_fetch_add(&queue->waiting, 1);
	if (leave(queue, &(struct job){ .fd = fd }))
		return true;
	atomic_fetch_sub(&queue->waiting, 1);
	return false;
}

void closer_unmap(void *base, size_t size, _Atomic(uint64_t) *mapped)
{
	const struct job job = { .fd = -1, .base = base, .size = size, .mapped = mapped };

	if (size <= CLOSER_AT_ONCE || !closer.running || !leave(&closer.memory, &job))
		unmap(&job);
}

size_t closer_close_all(const int *fds, size_t n)
{
	size_t later = 0;

	for (size_t i = 0; i < n; i++) {
		struct queue *queue = fds[i] < 0 ? NULL : queue_of(fds[i]);

		if (queue && leave_fd(queue, fds[i]))
			later += queue == &closer.files;
		else if (fds[i] >= 0)
			close(fds[i]);
	}
	return later;
}

bool closer_full(void)
{
	return atomic_load(&closer.files.waiting) >= CLOSER_WAITING_MAX;
}
