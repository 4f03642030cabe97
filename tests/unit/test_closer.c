/* SPDX-License-Identifier: BSD-3-Clause */
/* base/closer.h: what is closed at once, what later, and how much of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/closer.h"
#include "base/irqfd.h"

#define LARGE   (2u << 20) /* bytes */
#define PASSED  (CLOSER_WAITING_MAX + 20)
#define WAIT_MS 10000

static void *held; /* memory that is not unmapped before ... */
static sem_t go_on;
static atomic_uint looked; /* calls of irqfd_is() */

int __real_munmap(void *base, size_t size);
int __wrap_munmap(void *base, size_t size);
bool __real_irqfd_is(int fd);
bool __wrap_irqfd_is(int fd);

int __wrap_munmap(void *base, size_t size)
{
	if (base == held)
		sem_wait(&go_on);
	return __real_munmap(base, size);
}

bool __wrap_irqfd_is(int fd)
{
	looked++;
	return __real_irqfd_is(fd);
}

static int memory_new(void)
{
	int fd = memfd_create("test:memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, LARGE), 0);
	return fd;
}

static unsigned int count_open(const int *fds, unsigned int n)
{
	unsigned int open = 0;

	for (unsigned int i = 0; i < n; i++)
		open += fcntl(fds[i], F_GETFD) >= 0;
	return open;
}

static void wait_until_closed(const int *fds, unsigned int n)
{
	for (int ms = 0; count_open(fds, n) && ms < WAIT_MS; ms++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_equal(count_open(fds, n), 0);
}

/* There is nothing to find out about them, either. */
static void test_without_threads_all_is_closed_at_once(void **state)
{
	int fds[5];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fds[2] = eventfd(0, EFD_CLOEXEC);
	fds[3] = memory_new();
	fds[4] = -1;
	assert_int_equal(closer_close_all(fds, 5), 0);
	assert_int_equal(count_open(fds, 5), 0);
	assert_int_equal(looked, 0);
}

static void test_files_are_closed_later(void **state)
{
	int fds[3];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fds[2] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(closer_close_all(fds, 3), 2);
	assert_int_equal(count_open(fds + 2, 1), 0);
	wait_until_closed(fds, 3);
	assert_false(closer_full());
}

/* Whoever passes memory cannot make the process run out of descriptors while some is unmapped. */
static void test_descriptors_of_memory_that_wait_are_bounded(void **state)
{
	_Atomic(uint64_t) mapped = LARGE;
	int fds[PASSED];

	(void)state;
	fds[0] = memory_new();
	for (unsigned int i = 1; i < PASSED; i++)
		fds[i] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	assert_int_equal(sem_init(&go_on, 0, 0), 0);
	held = mmap(NULL, LARGE, PROT_READ, MAP_SHARED, fds[0], 0);
	assert_ptr_not_equal(held, MAP_FAILED);

	closer_unmap(held, LARGE, &mapped);
	assert_int_equal(closer_close_all(fds, PASSED), 0);
	assert_int_equal(count_open(fds, PASSED), CLOSER_WAITING_MAX);
	assert_false(closer_full());
	assert_int_equal(mapped, LARGE);
	sem_post(&go_on);
	wait_until_closed(fds, PASSED);
	assert_int_equal(mapped, 0);
}

static int start(void **state)
{
	(void)state;
	return closer_init(NULL);
}

int main(void)
{
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(test_without_threads_all_is_closed_at_once),
	};
	const struct CMUnitTest threads[] = {
		cmocka_unit_test(test_files_are_closed_later),
		cmocka_unit_test(test_descriptors_of_memory_that_wait_are_bounded),
	};

	return cmocka_run_group_tests(alone, NULL, NULL) +
	       cmocka_run_group_tests(threads, start, NULL);
}
