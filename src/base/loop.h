/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The event loop of both daemons: one thread, one epoll.
 *
 * An iteration runs: descriptors that are ready, timers that are due, then the deferred work that
 * was queued until then (what it queues itself runs in the next iteration, without a sleep), then
 * the hooks that want to run before sleeping (submission of io_uring entries). With nothing to do
 * the process sleeps in epoll_wait() without a timeout.
 *
 * All objects (loop_fd, loop_timer, loop_work, loop_hook) are embedded in what they belong to and
 * may be removed, or freed after removal, from any callback.
 */
#ifndef RIDGE_BASE_LOOP_H
#define RIDGE_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/list.h"

struct loop;

struct loop_fd {
	int fd; /* -1: not registered */
	uint32_t events;
	void (*fn)(struct loop_fd *lfd, uint32_t events);
};

struct loop_timer {
	struct list node; /* on the loop's list while armed; .next NULL before first use */
	uint64_t due_ns;
	void (*fn)(struct loop_timer *timer);
};

struct loop_work {
	struct list node; /* on the loop's list while queued; .next NULL before first use */
	void (*fn)(struct loop_work *work);
};

/*
 * How long one user of the loop goes on before others have their turn, of those that can have any
 * amount of work at once: about half of what a request and its reply take over a socket, so that
 * who waits for one such user loses little. The clock is looked at after LOOP_TURN_FREE units of
 * work only: who has just a message or a buffer at a time pays nothing.
 */
#define LOOP_TURN_NS   10000u
#define LOOP_TURN_FREE 16

struct loop_turn {
	uint64_t end_ns; /* 0: not known yet */
	int units;       /* left before the clock is looked at */
};

struct loop_hook {
	struct list node;
	void (*fn)(struct loop_hook *hook);
};

/* Returns 0, or a negative errno from epoll_create1(). */
int loop_new(struct loop **loop);
void loop_free(struct loop *loop);

/*
 * Watches fd (not owned). events: EPOLL* bits. Returns 0 or a negative errno from epoll_ctl().
 * lfd->fd is -1 again after loop_fd_del(), which is harmless on an unregistered lfd (fd == -1).
 */
int loop_fd_add(struct loop *loop, struct loop_fd *lfd, int fd, uint32_t events,
		void (*fn)(struct loop_fd *, uint32_t));
int loop_fd_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events);
void loop_fd_del(struct loop *loop, struct loop_fd *lfd);

/*
 * Arms (or rearms) a timer to run once, ms from now. Cancelling one that is not armed is harmless.
 */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t ms,
		    void (*fn)(struct loop_timer *));
void loop_timer_cancel(struct loop_timer *timer);
bool loop_timer_armed(const struct loop_timer *timer);

/* Queues work to run later in this iteration; queueing queued work changes nothing. */
void loop_work_queue(struct loop *loop, struct loop_work *work, void (*fn)(struct loop_work *));
/*
 * The same for work that had its turn and is not done: it runs when all that was queued as above
 * has, so that who has much to do does not stand before who has little.
 */
void loop_work_again(struct loop *loop, struct loop_work *work, void (*fn)(struct loop_work *));
void loop_work_cancel(struct loop_work *work);
bool loop_work_queued(const struct loop_work *work);

void loop_hook_add(struct loop *loop, struct loop_hook *hook, void (*fn)(struct loop_hook *));
void loop_hook_del(struct loop_hook *hook);

/* Runs until loop_stop(); returns 0 or a negative errno from epoll_wait(). */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* One iteration that sleeps for at most timeout_ms (-1: no limit). For tests and for loop_run(). */
int loop_step(struct loop *loop, int timeout_ms);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t loop_now_ns(void);

void loop_turn_begin(struct loop_turn *turn);
/*
 * To be asked before each piece of work. units: what the last one cost, 1 for about a third of a
 * microsecond and 0 before the first. True if the turn is over, which it never is at once.
 */
bool loop_turn_over(struct loop_turn *turn, unsigned int units);

#endif
