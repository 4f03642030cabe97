/* SPDX-License-Identifier: BSD-3-Clause */
/* base/loop.h: the order of things in an iteration, and removal of anything from any callback. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"

/* What ran, a letter each. */
static char trace[64];

static void note(char c)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof(trace));
	trace[n] = c;
	trace[n + 1] = '\0';
}

struct item {
	struct loop *loop;
	char name;
	struct loop_fd fd;
	struct loop_timer timer;
	struct loop_work work;
	struct loop_hook hook;
	struct item *victim; /* what its callback removes */
	int again;           /* how often its callback queues itself */
};

static int setup(void **state)
{
	struct loop *loop;

	memset(trace, 0, sizeof(trace));
	assert_int_equal(loop_new(&loop), 0);
	*state = loop;
	return 0;
}

static int teardown(void **state)
{
	loop_free(*state);
	return 0;
}

static void msleep(long ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000 };

	nanosleep(&ts, NULL);
}

static int ready_fd(void)
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* --- timers --- */

static void on_timer(struct loop_timer *timer)
{
	struct item *it = container_of(timer, struct item, timer);

	note(it->name);
	if (it->victim)
		loop_timer_cancel(&it->victim->timer);
	if (it->again-- > 0)
		loop_timer_set(it->loop, timer, 0, on_timer);
}

static void test_timers_run_in_order_of_their_time(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' },
		    c = { .loop = loop, .name = 'c' };

	loop_timer_set(loop, &c.timer, 3, on_timer);
	loop_timer_set(loop, &a.timer, 1, on_timer);
	loop_timer_set(loop, &b.timer, 2, on_timer);
	msleep(5);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "abc");
	assert_false(loop_timer_armed(&a.timer));
}

static void test_timers_of_one_time_run_in_the_order_they_were_set(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' };

	loop_timer_set(loop, &a.timer, 1, on_timer);
	loop_timer_set(loop, &b.timer, 1, on_timer);
	msleep(3);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "ab");
}

static void test_a_timer_is_not_early_and_the_loop_sleeps_until_it(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' };
	uint64_t start = loop_now_ns();

	loop_timer_set(loop, &a.timer, 20, on_timer);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "");
	assert_true(loop_timer_armed(&a.timer));
	while (!*trace)
		assert_int_equal(loop_step(loop, -1), 0);
	assert_true(loop_now_ns() - start >= 20000000u);
}

static void test_rearming_a_timer_moves_it(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' };

	loop_timer_set(loop, &a.timer, 1, on_timer);
	loop_timer_set(loop, &b.timer, 2, on_timer);
	loop_timer_set(loop, &a.timer, 3, on_timer);
	msleep(5);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "ba");
}

static void test_a_timer_cancels_another_that_is_due(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' };

	a.victim = &b;
	loop_timer_set(loop, &a.timer, 1, on_timer);
	loop_timer_set(loop, &b.timer, 2, on_timer);
	msleep(4);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "a");
	assert_false(loop_timer_armed(&b.timer));
	loop_timer_cancel(&b.timer); /* of one that is not armed: nothing */
}

static void test_a_timer_that_rearms_itself_lets_the_loop_go_on(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a', .again = 3 };

	loop_timer_set(loop, &a.timer, 0, on_timer);
	for (int i = 0; i < 4; i++) {
		msleep(1);
		assert_int_equal(loop_step(loop, 0), 0);
		assert_int_equal(strlen(trace), i + 1);
	}
	assert_false(loop_timer_armed(&a.timer));
}

/* --- descriptors --- */

static void unwatch(struct item *it)
{
	int fd = it->fd.fd;

	loop_fd_del(it->loop, &it->fd);
	assert_int_equal(it->fd.fd, -1);
	loop_fd_del(it->loop, &it->fd);
	close(fd);
	free(it);
}

static void on_fd(struct loop_fd *lfd, uint32_t events)
{
	struct item *it = container_of(lfd, struct item, fd);

	assert_true(events & EPOLLIN);
	note(it->name);
	if (it->victim)
		unwatch(it->victim); /* the address sanitizer sees it if an event still comes */
}

static struct item *watch(struct loop *loop, char name)
{
	struct item *it = calloc(1, sizeof(*it));

	assert_non_null(it);
	it->loop = loop;
	it->name = name;
	assert_int_equal(loop_fd_add(loop, &it->fd, ready_fd(), EPOLLIN, on_fd), 0);
	return it;
}

static void test_an_fd_removed_and_freed_in_the_batch_of_its_event(void **state)
{
	struct loop *loop = *state;
	struct item *a = watch(loop, 'a'), *b = watch(loop, 'b');

	/* Whichever comes first removes the other. */
	a->victim = b;
	b->victim = a;
	assert_int_equal(loop_step(loop, 0), 0);
	assert_int_equal(strlen(trace), 1);
	unwatch(trace[0] == 'a' ? a : b);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_int_equal(strlen(trace), 1);
}

static void test_an_fd_removes_itself(void **state)
{
	struct loop *loop = *state;
	struct item *a = watch(loop, 'a');

	a->victim = a;
	assert_int_equal(loop_step(loop, 0), 0);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "a");
}

static void test_an_fd_is_told_only_of_the_events_it_wants_now(void **state)
{
	struct loop *loop = *state;
	struct item *a = watch(loop, 'a');

	assert_int_equal(loop_fd_mod(loop, &a->fd, 0), 0);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "");
	assert_int_equal(loop_fd_mod(loop, &a->fd, EPOLLIN), 0);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "a");
	unwatch(a);
}

static void test_adding_a_closed_fd_fails(void **state)
{
	struct loop_fd lfd;
	int fd = ready_fd();

	close(fd);
	assert_int_equal(loop_fd_add(*state, &lfd, fd, EPOLLIN, on_fd), -EBADF);
	assert_int_equal(lfd.fd, -1);
	loop_fd_del(*state, &lfd);
}

static void on_counted_fd(struct loop_fd *lfd, uint32_t events)
{
	(void)events;
	container_of(lfd, struct item, fd)->again++;
}

static void test_more_ready_fds_than_a_batch_are_all_served(void **state)
{
	struct loop *loop = *state;
	struct item items[150] = { 0 };

	for (size_t i = 0; i < 150; i++)
		assert_int_equal(loop_fd_add(loop, &items[i].fd, ready_fd(), EPOLLIN | EPOLLET,
					     on_counted_fd),
				 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(loop_step(loop, 0), 0);
	for (size_t i = 0; i < 150; i++) {
		int fd = items[i].fd.fd;

		assert_int_equal(items[i].again, 1);
		loop_fd_del(loop, &items[i].fd);
		close(fd);
	}
}

/* --- work --- */

static void on_work(struct loop_work *work)
{
	struct item *it = container_of(work, struct item, work);

	note(it->name);
	if (it->victim)
		loop_work_cancel(&it->victim->work);
	if (it->again-- > 0)
		loop_work_queue(it->loop, work, on_work);
}

static void test_work_runs_once_however_often_it_was_queued(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' };

	loop_work_queue(loop, &a.work, on_work);
	loop_work_queue(loop, &b.work, on_work);
	loop_work_queue(loop, &a.work, on_work);
	assert_int_equal(loop_step(loop, -1), 0);
	assert_string_equal(trace, "ab");
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "ab");
}

static void test_work_cancels_work_of_the_same_round(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' },
		    c = { .loop = loop, .name = 'c' };

	a.victim = &b;
	loop_work_queue(loop, &a.work, on_work);
	loop_work_queue(loop, &b.work, on_work);
	loop_work_queue(loop, &c.work, on_work);
	assert_int_equal(loop_step(loop, -1), 0);
	assert_string_equal(trace, "ac");
}

static void test_work_that_queues_itself_starves_nobody(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'w', .again = 1000 };
	struct item t = { .loop = loop, .name = 't' };
	struct item *f = watch(loop, 'f');

	loop_work_queue(loop, &a.work, on_work);
	loop_timer_set(loop, &t.timer, 0, on_timer);
	msleep(1);
	assert_int_equal(loop_step(loop, -1), 0);
	assert_string_equal(trace, "ftw");        /* descriptors, timers, work: one round */
	assert_int_equal(loop_step(loop, -1), 0); /* and it does not sleep while work is left */
	assert_string_equal(trace, "ftwfw");
	loop_work_cancel(&a.work);
	unwatch(f);
}

/* Who had a turn waits for those who had none, also for who came later. */
static void test_work_again_runs_behind_other_work(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' };
	struct item c = { .loop = loop, .name = 'c' };

	loop_work_again(loop, &a.work, on_work);
	loop_work_again(loop, &a.work, on_work);
	loop_work_queue(loop, &b.work, on_work);
	loop_work_queue(loop, &a.work, on_work); /* it is queued already */
	loop_work_again(loop, &c.work, on_work);
	assert_int_equal(loop_step(loop, -1), 0); /* it does not sleep */
	assert_string_equal(trace, "bac");
	loop_work_again(loop, &a.work, on_work);
	loop_work_cancel(&a.work);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "bac");
}

/* --- hooks --- */

static void on_work_that_goes_on(struct loop_work *work)
{
	struct item *it = container_of(work, struct item, work);

	note(it->name);
	if (it->again--)
		loop_work_again(it->loop, work, on_work_that_goes_on);
}

static void on_hook(struct loop_hook *hook)
{
	struct item *it = container_of(hook, struct item, hook);

	note(it->name);
	if (it->victim)
		loop_hook_del(&it->victim->hook);
}

static void test_hooks_run_last_in_every_iteration(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' },
		    w = { .loop = loop, .name = 'w' };

	loop_hook_add(loop, &a.hook, on_hook);
	loop_hook_add(loop, &b.hook, on_hook);
	loop_work_queue(loop, &w.work, on_work);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "wab");
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "wabab");
	loop_hook_del(&a.hook);
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "wababb");
	loop_hook_del(&b.hook);
	loop_hook_del(&b.hook);
}

static void test_work_that_goes_on_does_so_behind_the_hooks(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a', .again = 1 },
		    h = { .loop = loop, .name = 'h' };

	loop_hook_add(loop, &h.hook, on_hook);
	loop_work_queue(loop, &a.work, on_work_that_goes_on);
	assert_int_equal(loop_step(loop, -1), 0);
	assert_string_equal(trace, "ah");
	assert_int_equal(loop_step(loop, -1), 0); /* it does not sleep */
	assert_string_equal(trace, "ahah");
	loop_hook_del(&h.hook);
}

static void test_a_hook_removes_itself_the_next_and_the_previous(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, b = { .loop = loop, .name = 'b' },
		    c = { .loop = loop, .name = 'c' };

	loop_hook_add(loop, &a.hook, on_hook);
	loop_hook_add(loop, &b.hook, on_hook);
	loop_hook_add(loop, &c.hook, on_hook);
	a.victim = &b;
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "ac");
	c.victim = &a;
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "acac");
	c.victim = &c;
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "acacc");
	assert_int_equal(loop_step(loop, 0), 0);
	assert_string_equal(trace, "acacc");
}

/* --- running --- */

static void stop_it(struct loop_work *work)
{
	loop_stop(container_of(work, struct item, work)->loop);
}

static void test_run_ends_with_the_iteration_that_stops_it(void **state)
{
	struct loop *loop = *state;
	struct item a = { .loop = loop, .name = 'a' }, s = { .loop = loop };

	loop_work_queue(loop, &s.work, stop_it);
	loop_work_queue(loop, &a.work, on_work);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(trace, "a");
	/* It can be run again. */
	loop_work_queue(loop, &s.work, stop_it);
	loop_work_queue(loop, &a.work, on_work);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(trace, "aa");
}

/*
 * A turn has some work for free, ends with time, and at once after work that is a turn of its own.
 */
static void test_a_turn_ends_by_time_or_by_what_was_done(void **state)
{
	struct loop_turn turn;
	unsigned int done;
	uint64_t begin;

	(void)state;
	loop_turn_begin(&turn);
	assert_false(loop_turn_over(&turn, 0));
	for (unsigned int i = 1; i < LOOP_TURN_FREE; i++)
		assert_false(loop_turn_over(&turn, 1));
	begin = loop_now_ns();
	for (done = 0; !loop_turn_over(&turn, 1); done++)
		;
	assert_true(loop_now_ns() - begin >= LOOP_TURN_NS / 2 - 1);
	assert_true(loop_turn_over(&turn, LOOP_TURN_FREE));

	loop_turn_begin(&turn);
	assert_false(loop_turn_over(&turn, 0));
	assert_true(loop_turn_over(&turn, 2 * LOOP_TURN_FREE));
	loop_turn_begin(&turn);
	assert_true(loop_turn_over(&turn, UINT32_MAX));
	/* what takes long is noticed, whatever it was thought to take */
	loop_turn_begin(&turn);
	assert_false(loop_turn_over(&turn, LOOP_TURN_FREE));
	msleep(1);
	for (done = 0; !loop_turn_over(&turn, 1); done++)
		assert_true(done < LOOP_TURN_FREE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_timers_run_in_order_of_their_time),
		TEST(test_timers_of_one_time_run_in_the_order_they_were_set),
		TEST(test_a_timer_is_not_early_and_the_loop_sleeps_until_it),
		TEST(test_rearming_a_timer_moves_it),
		TEST(test_a_timer_cancels_another_that_is_due),
		TEST(test_a_timer_that_rearms_itself_lets_the_loop_go_on),
		TEST(test_an_fd_removed_and_freed_in_the_batch_of_its_event),
		TEST(test_an_fd_removes_itself),
		TEST(test_an_fd_is_told_only_of_the_events_it_wants_now),
		TEST(test_adding_a_closed_fd_fails),
		TEST(test_more_ready_fds_than_a_batch_are_all_served),
		TEST(test_work_runs_once_however_often_it_was_queued),
		TEST(test_work_cancels_work_of_the_same_round),
		TEST(test_work_that_queues_itself_starves_nobody),
		TEST(test_work_again_runs_behind_other_work),
		TEST(test_hooks_run_last_in_every_iteration),
		TEST(test_work_that_goes_on_does_so_behind_the_hooks),
		TEST(test_a_hook_removes_itself_the_next_and_the_previous),
		TEST(test_run_ends_with_the_iteration_that_stops_it),
		TEST(test_a_turn_ends_by_time_or_by_what_was_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
