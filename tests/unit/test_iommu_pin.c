/* SPDX-License-Identifier: BSD-3-Clause */
/* iommu/iommu.h: pinned memory, and memory that its owner takes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "iommu/iommu.h"

#define PAGE  ((uint64_t)IOMMU_PAGE)
#define RW    (PROT_READ | PROT_WRITE)
#define PAGES 8

struct fixture {
	struct iommu *iommu;
	struct iommu_space *a;
	struct iommu_space *b;
	int fd; /* PAGES pages */
	int other;
	struct iommu_wait wait;
	int done;                  /* how often wait was called back */
	struct iommu_space *remap; /* done maps this again */
};

/*
 * The handler of the iommu, which it installs once in a process. cmocka puts its own in place
 * around every test.
 */
static struct sigaction on_sigbus;

static void shrink(struct fixture *f, off_t size)
{
	assert_int_equal(sigaction(SIGBUS, &on_sigbus, NULL), 0);
	assert_int_equal(ftruncate(f->fd, size), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(iommu_new(&f->iommu), 0);
	assert_int_equal(iommu_space_new(f->iommu, 1, IOMMU_NO_PASID, &f->a), 0);
	assert_int_equal(iommu_space_new(f->iommu, 2, IOMMU_NO_PASID, &f->b), 0);
	f->fd = memfd_create("test", MFD_CLOEXEC);
	f->other = memfd_create("test-other", MFD_CLOEXEC);
	assert_true(f->fd >= 0 && f->other >= 0);
	assert_int_equal(ftruncate(f->fd, PAGES * PAGE), 0);
	assert_int_equal(ftruncate(f->other, PAGES * PAGE), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	iommu_free(f->iommu);
	close(f->fd);
	close(f->other);
	free(f);
	return 0;
}

static void on_unmapped(struct iommu_wait *wait)
{
	struct fixture *f = container_of(wait, struct fixture, wait);

	f->done++;
	assert_null(wait->map);
	if (f->remap)
		assert_int_equal(iommu_map(f->remap, 0, PAGE, f->fd, 0, RW), 0);
}

/* --- pinning --- */

static void test_pin_gives_a_segment_for_each_map(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg segs[4];

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 2 * PAGE, RW), 0);
	assert_int_equal(iommu_map(f->a, PAGE, PAGE, f->fd, 5 * PAGE, RW), 0);
	assert_int_equal(iommu_map(f->a, 2 * PAGE, 2 * PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_pin(f->a, PAGE - 16, PAGE + 32, PROT_WRITE, segs, 4), 3);
	assert_int_equal(segs[0].len, 16);
	assert_int_equal(segs[1].len, PAGE);
	assert_int_equal(segs[2].len, 16);
	memset(segs[1].base, 0x42, segs[1].len);
	iommu_unpin(segs, 3);
	assert_int_equal(iommu_pin(f->a, 0, 1, PROT_READ, segs, 4), 1);
	iommu_unpin(segs, 1);
	assert_int_equal(iommu_pin(f->a, 0, 0, PROT_READ, segs, 4), 0);
	assert_int_equal(((uint8_t *)segs[0].base)[0], 0);
	assert_int_equal(iommu_pin(f->a, PAGE + 7, 1, PROT_READ, segs, 4), 1);
	assert_int_equal(*(uint8_t *)segs[0].base, 0x42);
	iommu_unpin(segs, 1);
}

/* A failed pin holds nothing: the unmap is not held up. */
static void test_a_pin_that_fails_leaves_nothing_pinned(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg segs[2];

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->a, PAGE, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->a, 2 * PAGE, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_pin(f->a, 0, 3 * PAGE, PROT_READ, segs, 2), -E2BIG);
	assert_int_equal(iommu_pin(f->a, 2 * PAGE, 2 * PAGE, PROT_READ, segs, 2), -EFAULT);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(iommu_unmap(f->a, i * PAGE, PAGE, &f->wait), 0);
	assert_int_equal(f->done, 0);
}

static void test_a_pin_holds_up_unmap_and_the_wait_is_called_once(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg one, two;
	uint8_t byte;

	f->wait.done = on_unmapped;
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_pin(f->a, 0, 8, PROT_WRITE, &one, 1), 1);
	assert_int_equal(iommu_pin(f->a, 64, 8, PROT_WRITE, &two, 1), 1);
	assert_int_equal(iommu_unmap(f->a, 0, PAGE, &f->wait), -EINPROGRESS);
	/* it stays mapped until done: who has it pinned may have to write elsewhere in it, too */
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), 0);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), -EEXIST);
	assert_int_equal(iommu_unmap(f->a, 0, PAGE, NULL), -ENOENT);
	memset(one.base, 1, one.len);
	iommu_unpin(&one, 1);
	assert_int_equal(f->done, 0);
	memset(two.base, 1, two.len);
	iommu_unpin(&two, 1);
	assert_int_equal(f->done, 1);
	assert_int_equal(iommu_space_maps(f->a), 0);
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), -EFAULT);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
}

static void test_the_wait_may_map_the_range_again(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg segs[2];

	f->wait.done = on_unmapped;
	f->remap = f->a;
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->a, PAGE, PAGE, f->fd, PAGE, RW), 0);
	assert_int_equal(iommu_pin(f->a, PAGE - 8, 16, PROT_WRITE, segs, 2), 2);
	assert_int_equal(iommu_unmap(f->a, 0, PAGE, &f->wait), -EINPROGRESS);
	iommu_unpin(segs, 2);
	assert_int_equal(f->done, 1);
	assert_int_equal(iommu_space_maps(f->a), 2);
}

static void test_a_cancelled_wait_is_not_called(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg seg;

	f->wait.done = on_unmapped;
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_pin(f->a, 0, 8, PROT_WRITE, &seg, 1), 1);
	assert_int_equal(iommu_unmap(f->a, 0, PAGE, &f->wait), -EINPROGRESS);
	iommu_wait_cancel(&f->wait);
	iommu_wait_cancel(&f->wait);
	iommu_unpin(&seg, 1);
	assert_int_equal(f->done, 0);
	assert_int_equal(iommu_space_maps(f->a), 0);
}

static void test_what_is_pinned_outlives_its_space(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg segs[2];
	uint8_t byte;

	f->wait.done = on_unmapped;
	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(iommu_map(f->a, i * PAGE, PAGE, f->fd, i * PAGE, RW), 0);
	assert_int_equal(iommu_pin(f->a, 2 * PAGE - 8, 16, PROT_WRITE, segs, 2), 2);
	assert_int_equal(iommu_unmap(f->a, PAGE, PAGE, &f->wait), -EINPROGRESS);
	iommu_space_free(f->a);
	assert_null(iommu_space_find(f->iommu, 1, IOMMU_NO_PASID));
	/* another may have its place */
	assert_int_equal(iommu_space_new(f->iommu, 1, IOMMU_NO_PASID, &f->a), 0);
	assert_int_equal(iommu_map(f->a, PAGE, PAGE, f->other, 0, RW), 0);
	for (int i = 0; i < 2; i++)
		memset(segs[i].base, 1, segs[i].len);
	assert_int_equal(pread(f->fd, &byte, 1, 2 * PAGE + 7), 1);
	assert_int_equal(byte, 1);
	iommu_unpin(segs, 2);
	assert_int_equal(f->done, 0);
	assert_int_equal(iommu_read(f->a, PAGE, &byte, 1), 0);
	assert_int_equal(byte, 0);
}

static void test_unmap_all_leaves_what_is_pinned_until_it_is_not(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg seg;
	uint8_t byte;

	for (uint64_t i = 0; i < PAGES; i++)
		assert_int_equal(iommu_map(f->a, i * PAGE, PAGE, f->fd, i * PAGE, RW), 0);
	assert_int_equal(iommu_pin(f->a, 3 * PAGE, 8, PROT_WRITE, &seg, 1), 1);
	iommu_unmap_all(f->a);
	assert_int_equal(iommu_space_maps(f->a), 1);
	assert_int_equal(iommu_read(f->a, 3 * PAGE, &byte, 1), -EFAULT);
	memset(seg.base, 1, seg.len);
	/* the others' ranges are free, and what is mapped there now is not touched */
	assert_int_equal(iommu_map(f->a, 2 * PAGE, PAGE, f->fd, 0, RW), 0);
	iommu_unpin(&seg, 1);
	assert_int_equal(iommu_space_maps(f->a), 1);
	assert_int_equal(iommu_read(f->a, 2 * PAGE, &byte, 1), 0);
}

static void test_a_pin_in_one_space_is_nothing_to_another(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg seg;

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->b, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_pin(f->a, 0, 8, PROT_WRITE, &seg, 1), 1);
	assert_int_equal(iommu_unmap(f->b, 0, PAGE, NULL), 0);
	iommu_unpin(&seg, 1);
}

/* --- memory that vanishes --- */

static void test_a_read_of_a_file_that_shrank_faults(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	assert_int_equal(iommu_map(f->a, 0, PAGES * PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_read(f->a, 3 * PAGE, &byte, 1), 0);
	assert_false(iommu_space_lost(f->a));
	shrink(f, PAGE);
	assert_int_equal(iommu_read(f->a, 3 * PAGE, &byte, 1), -EFAULT);
	assert_string_equal(iommu_space_fault(f->a), "the file behind the guest's memory shrank");
	assert_true(iommu_space_lost(f->a));
	/* all of the range is gone, not only what was cut off */
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), -EFAULT);
}

static void test_a_write_to_a_file_that_shrank_faults(void **state)
{
	struct fixture *f = *state;
	uint8_t data[64] = { 1 };

	assert_int_equal(iommu_map(f->a, 0, PAGES * PAGE, f->fd, 0, RW), 0);
	shrink(f, 0);
	assert_int_equal(iommu_write(f->a, PAGE - 32, data, sizeof(data)), -EFAULT);
	assert_true(iommu_space_lost(f->a));
	assert_int_equal(iommu_write(f->a, 0, data, sizeof(data)), -EFAULT);
}

static void test_a_window_of_a_file_that_shrank_survives_and_the_space_is_lost(void **state)
{
	struct fixture *f = *state;
	struct iommu_window w = { 0 };
	uint8_t *p;

	assert_int_equal(iommu_map(f->a, 0, PAGES * PAGE, f->fd, 0, RW), 0);
	p = iommu_window_get(&w, f->a, PAGE, 64, PROT_WRITE);
	assert_non_null(p);
	p[0] = 7;
	shrink(f, 0);
	assert_false(iommu_space_lost(f->a)); /* nobody touched it yet */
	assert_int_equal(*(volatile uint8_t *)p, 0);
	*(volatile uint8_t *)p = 1;
	assert_true(iommu_space_lost(f->a));
	assert_true(iommu_space_lost(f->a));
}

static void test_pinned_memory_of_a_file_that_shrank_survives(void **state)
{
	struct fixture *f = *state;
	struct iommu_seg seg;

	assert_int_equal(iommu_map(f->a, 0, PAGES * PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_pin(f->a, PAGE, PAGE, PROT_WRITE, &seg, 1), 1);
	shrink(f, 0);
	memset(seg.base, 1, seg.len);
	assert_true(iommu_space_lost(f->a));
	iommu_unpin(&seg, 1);
	assert_int_equal(iommu_unmap(f->a, 0, PAGES * PAGE, NULL), 0);
}

static void test_a_loss_is_of_the_spaces_that_mapped_the_file_only(void **state)
{
	struct fixture *f = *state;
	struct iommu_space *c;
	uint8_t byte = 9;

	assert_int_equal(iommu_space_new(f->iommu, 3, IOMMU_NO_PASID, &c), 0);
	assert_int_equal(iommu_map(f->a, 0, PAGES * PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->b, 0, PAGES * PAGE, f->other, 0, RW), 0);
	assert_int_equal(iommu_map(c, 0, PAGES * PAGE, f->fd, 0, RW), 0);
	shrink(f, 0);
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), -EFAULT);
	assert_true(iommu_space_lost(f->a));
	assert_true(iommu_space_lost(c)); /* shares the mmap */
	assert_false(iommu_space_lost(f->b));
	byte = 9;
	assert_int_equal(iommu_write(f->b, PAGE, &byte, 1), 0);
	assert_int_equal(iommu_read(f->b, PAGE, &byte, 1), 0);
	assert_int_equal(byte, 9);
}

/* The next user of a space, and one who maps good memory instead, starts anew. */
static void test_a_space_is_as_new_when_what_was_lost_is_unmapped(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	shrink(f, 0);
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), -EFAULT);
	assert_true(iommu_space_lost(f->a));
	assert_int_equal(iommu_unmap(f->a, 0, PAGE, NULL), 0);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->other, 0, RW), 0);
	assert_false(iommu_space_lost(f->a));
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), 0);

	assert_int_equal(iommu_map(f->a, PAGE, PAGE, f->fd, 0, RW), -ERANGE);
	iommu_unmap_all(f->a);
	assert_false(iommu_space_lost(f->a));
	assert_null(iommu_space_fault(f->a));
	/* the file grew again: a new map is of the file, not of the zeroes that took its place */
	assert_int_equal(ftruncate(f->fd, PAGE), 0);
	assert_int_equal(pwrite(f->fd, "\x5a", 1, 0), 1);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), 0);
	assert_int_equal(byte, 0x5a);
}

/* While one space still has the lost mmap, another one maps the file anew. */
static void test_a_lost_mmap_is_not_shared_any_more(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	shrink(f, 0);
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), -EFAULT);
	assert_int_equal(ftruncate(f->fd, PAGE), 0);
	assert_int_equal(iommu_map(f->b, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_read(f->b, 0, &byte, 1), 0);
	assert_false(iommu_space_lost(f->b));
	assert_true(iommu_space_lost(f->a));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_pin_gives_a_segment_for_each_map),
		TEST(test_a_pin_that_fails_leaves_nothing_pinned),
		TEST(test_a_pin_holds_up_unmap_and_the_wait_is_called_once),
		TEST(test_the_wait_may_map_the_range_again),
		TEST(test_a_cancelled_wait_is_not_called),
		TEST(test_unmap_all_leaves_what_is_pinned_until_it_is_not),
		TEST(test_what_is_pinned_outlives_its_space),
		TEST(test_a_pin_in_one_space_is_nothing_to_another),
		TEST(test_a_read_of_a_file_that_shrank_faults),
		TEST(test_a_write_to_a_file_that_shrank_faults),
		TEST(test_a_window_of_a_file_that_shrank_survives_and_the_space_is_lost),
		TEST(test_pinned_memory_of_a_file_that_shrank_survives),
		TEST(test_a_loss_is_of_the_spaces_that_mapped_the_file_only),
		TEST(test_a_space_is_as_new_when_what_was_lost_is_unmapped),
		TEST(test_a_lost_mmap_is_not_shared_any_more),
	};

	struct iommu *iommu;

	if (iommu_new(&iommu) || sigaction(SIGBUS, NULL, &on_sigbus))
		return EXIT_FAILURE;
	iommu_free(iommu);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
