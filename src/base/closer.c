/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/closer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/irqfd.h"

/* As the descriptors that it closes, it belongs to the process. */
static struct {
	int pipe[2]; /* of descriptors, as ints */
	bool running;
	atomic_uint waiting;
} closer;

struct start {
	int (*confine)(void);
	int pipe[2]; /* what confine() returned */
};

static void *run(void *arg)
{
	struct start *start = arg;
	int err = start->confine ? start->confine() : 0, fd;

	if (write(start->pipe[1], &err, sizeof(err)) != (ssize_t)sizeof(err) || err)
		return NULL;
	while (read(closer.pipe[0], &fd, sizeof(fd)) == (ssize_t)sizeof(fd)) {
		close(fd);
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

int closer_init(int (*confine)(void))
{
	struct start start = { .confine = confine };
	int err;

	if (pipe2(closer.pipe, O_CLOEXEC) < 0)
		return -errno;
	/* Written to without waiting; the thread waits for something to read. */
	if (fcntl(closer.pipe[1], F_SETFL, O_NONBLOCK) < 0 || pipe2(start.pipe, O_CLOEXEC) < 0) {
		err = -errno;
		close(closer.pipe[0]);
		close(closer.pipe[1]);
		return err;
	}
	err = start_thread(&start);
	close(start.pipe[0]);
	close(start.pipe[1]);
	closer.running = !err;
	return err;
}

/* F_GET_SEALS works on shmem and hugetlbfs, and on nothing else. */
static bool may_wait(int fd)
{
	return fcntl(fd, F_GET_SEALS) < 0 && !irqfd_is(fd);
}

size_t closer_close_all(const int *fds, size_t n)
{
	size_t later = 0;

	for (size_t i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		/* The pipe has room for many times CLOSER_WAITING_MAX. */
		if (closer.running && may_wait(fds[i]) &&
		    write(closer.pipe[1], &fds[i], sizeof(fds[i])) == (ssize_t)sizeof(fds[i])) {
			atomic_fetch_add(&closer.waiting, 1);
			later++;
		} else {
			close(fds[i]);
		}
	}
	return later;
}

bool closer_full(void)
{
	return atomic_load(&closer.waiting) >= CLOSER_WAITING_MAX;
}
