/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOOP_BATCH 64 /* descriptors handled per epoll_wait() */

struct loop {
	int epfd;
	bool stop;
	struct list timers; /* sorted by due_ns */
	struct list work;
	struct list again; /* work that had a turn already */
	struct list hooks;
	int nready; /* events[i] for i < nready are still to be dispatched or done */
	struct epoll_event ready[LOOP_BATCH];
};

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int loop_new(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		int err = -errno;

		free(loop);
		return err;
	}
	list_init(&loop->timers);
	list_init(&loop->work);
	list_init(&loop->again);
	list_init(&loop->hooks);
	*out = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epfd);
	free(loop);
}

int loop_fd_add(struct loop *loop, struct loop_fd *lfd, int fd, uint32_t events,
		void (*fn)(struct loop_fd *, uint32_t))
{
	struct epoll_event ev = { .events = events, .data.ptr = lfd };

	lfd->fd = -1;
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	lfd->fd = fd;
	lfd->events = events;
	lfd->fn = fn;
	return 0;
}

int loop_fd_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = lfd };

	if (lfd->events == events)
		return 0;
	if (epoll_ctl(loop->epfd, EPOLL_CTL_MOD, lfd->fd, &ev) < 0)
		return -errno;
	lfd->events = events;
	return 0;
}

void loop_fd_del(struct loop *loop, struct loop_fd *lfd)
{
	if (lfd->fd < 0)
		return;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, lfd->fd, NULL);
	lfd->fd = -1;
	/* Events of this batch that were not dispatched yet must not reach a freed object. */
	for (int i = 0; i < loop->nready; i++)
		if (loop->ready[i].data.ptr == lfd)
			loop->ready[i].data.ptr = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t ms,
		    void (*fn)(struct loop_timer *))
{
	struct list *pos;

	loop_timer_cancel(timer);
	timer->due_ns = loop_now_ns() + ms * 1000000u;
	timer->fn = fn;
	/* Timers of one kind have one delay, so the right place is nearly always the tail. */
	for (pos = loop->timers.prev; pos != &loop->timers; pos = pos->prev)
		if (container_of(pos, struct loop_timer, node)->due_ns <= timer->due_ns)
			break;
	list_add_before(pos->next, &timer->node);
}

bool loop_timer_armed(const struct loop_timer *timer)
{
	return timer->node.next && !list_empty(&timer->node);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	if (timer->node.next)
		list_del(&timer->node);
}

static void queue(struct list *list, struct loop_work *work, void (*fn)(struct loop_work *))
{
	work->fn = fn;
	if (!loop_work_queued(work))
		list_add_tail(list, &work->node);
}

void loop_work_queue(struct loop *loop, struct loop_work *work, void (*fn)(struct loop_work *))
{
	queue(&loop->work, work, fn);
}

void loop_work_again(struct loop *loop, struct loop_work *work, void (*fn)(struct loop_work *))
{
	queue(&loop->again, work, fn);
}

void loop_work_cancel(struct loop_work *work)
{
	if (work->node.next)
		list_del(&work->node);
}

bool loop_work_queued(const struct loop_work *work)
{
	return work->node.next && !list_empty(&work->node);
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook, void (*fn)(struct loop_hook *))
{
	hook->fn = fn;
	list_add_tail(&loop->hooks, &hook->node);
}

void loop_hook_del(struct loop_hook *hook)
{
	if (hook->node.next)
		list_del(&hook->node);
}

void loop_turn_begin(struct loop_turn *turn)
{
	turn->end_ns = 0;
	turn->units = LOOP_TURN_FREE;
}

bool loop_turn_over(struct loop_turn *turn, unsigned int units)
{
	uint64_t now;

	if (units >= 2 * LOOP_TURN_FREE)
		return true;
	turn->units -= (int)units;
	if (turn->units > 0)
		return false;
	now = loop_now_ns();
	if (!turn->end_ns) /* what was free is taken to have been a half */
		turn->end_ns = now + LOOP_TURN_NS / 2;
	turn->units = LOOP_TURN_FREE / 4;
	return now >= turn->end_ns;
}

static void run_timers(struct loop *loop)
{
	uint64_t now;

	if (list_empty(&loop->timers))
		return;
	now = loop_now_ns();
	while (!list_empty(&loop->timers)) {
		struct loop_timer *t = list_first(&loop->timers, struct loop_timer, node);

		if (t->due_ns > now)
			break;
		list_del(&t->node);
		t->fn(t);
	}
}

static void run_round(struct list *round)
{
	while (!list_empty(round)) {
		struct loop_work *w = list_first(round, struct loop_work, node);

		list_del(&w->node);
		w->fn(w);
	}
}

/*
 * Work that queues itself again must not starve descriptors and timers: a round runs what was
 * queued when it began, and the next epoll_wait() does not sleep while work is left.
 */
static void run_work(struct loop *loop)
{
	struct list work, again;

	/* Both now: what has its turn in this round waits for the next, behind the hooks. */
	list_move(&loop->work, &work);
	list_move(&loop->again, &again);
	run_round(&work);
	run_round(&again);
}

/* Each hook goes to the back as it runs, so that it may remove itself or any other. */
static void run_hooks(struct loop *loop)
{
	struct list round;

	list_move(&loop->hooks, &round);
	while (!list_empty(&round)) {
		struct loop_hook *hook = list_first(&round, struct loop_hook, node);

		list_del(&hook->node);
		list_add_tail(&loop->hooks, &hook->node);
		hook->fn(hook);
	}
}

static int sleep_time(struct loop *loop, int timeout_ms)
{
	uint64_t now, ms;
	struct loop_timer *t;

	if (!list_empty(&loop->work) || !list_empty(&loop->again))
		return 0;
	if (list_empty(&loop->timers))
		return timeout_ms;
	t = list_first(&loop->timers, struct loop_timer, node);
	now = loop_now_ns();
	ms = t->due_ns > now ? (t->due_ns - now + 999999) / 1000000 : 0;
	if (ms > INT_MAX)
		ms = INT_MAX;
	return timeout_ms >= 0 && (uint64_t)timeout_ms < ms ? timeout_ms : (int)ms;
}

int loop_step(struct loop *loop, int timeout_ms)
{
	int n;

	n = epoll_wait(loop->epfd, loop->ready, LOOP_BATCH, sleep_time(loop, timeout_ms));
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	loop->nready = n;
	for (int i = 0; i < loop->nready; i++) {
		struct loop_fd *lfd = loop->ready[i].data.ptr;

		if (lfd)
			lfd->fn(lfd, loop->ready[i].events);
	}
	loop->nready = 0;
	run_timers(loop);
	run_work(loop);
	run_hooks(loop);
	return 0;
}

int loop_run(struct loop *loop)
{
	int err = 0;

	loop->stop = false;
	while (!loop->stop && !err)
		err = loop_step(loop, -1);
	return err;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}
