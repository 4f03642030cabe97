/* SPDX-License-Identifier: BSD-3-Clause */
/* base/irqfd.h: nothing that the other holder of an eventfd does makes us wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/irqfd.h"

#define HANGS_S 20 /* a call that waits ends the test: no signal is expected */

static void test_signals_are_counted(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	eventfd_t count;

	(void)state;
	assert_false(irqfd_take(fd));
	/* More than are kept of what is completed. */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(irqfd_signal(fd), 0);
	assert_int_equal(eventfd_read(fd, &count), 0);
	assert_int_equal(count, 1000);
	assert_int_equal(irqfd_signal(fd), 0);
	assert_true(irqfd_take(fd));
	assert_false(irqfd_take(fd));
	close(fd);
}

/* Blocking, and full or empty: a write() and a read() would wait. */
static void test_an_eventfd_that_blocks(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	alarm(HANGS_S);
	assert_false(irqfd_take(fd));
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(irqfd_signal(fd), 0);
	assert_true(irqfd_is(fd));
	assert_true(irqfd_take(fd));
	assert_false(irqfd_take(fd));
	alarm(0);
	close(fd);
}

static void test_other_descriptors(void **state)
{
	int pipes[2], event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	const int others[] = {
		epoll_create1(EPOLL_CLOEXEC),
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
		memfd_create("memory", MFD_CLOEXEC),
		pipes[0],
		pipes[1],
		open("/dev/null", O_RDWR | O_CLOEXEC),
		open("/", O_PATH | O_CLOEXEC),
	};

	/* Often: what it leaves behind of each look must not add up. */
	for (int i = 0; i < 1000; i++)
		assert_true(irqfd_is(event));
	assert_false(irqfd_take(event));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		assert_true(others[i] >= 0);
		assert_false(irqfd_is(others[i]));
		assert_true(irqfd_signal(others[i]) < 0);
		close(others[i]);
	}
	assert_false(irqfd_is(-1));
	close(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals_are_counted),
		cmocka_unit_test(test_an_eventfd_that_blocks),
		cmocka_unit_test(test_other_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
