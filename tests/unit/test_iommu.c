/* SPDX-License-Identifier: BSD-3-Clause */
/* iommu/iommu.h: what may be mapped, how it is shared, and when it is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "iommu/iommu.h"

#define PAGE     ((uint64_t)IOMMU_PAGE)
#define RW       (PROT_READ | PROT_WRITE)
#define MEM_NAME "test-iommu"
#define PAGES    16

struct fixture {
	struct iommu *iommu;
	struct iommu_space *a;
	struct iommu_space *b;
	int fd;       /* PAGES pages, each filled with its number */
	uint8_t *mem; /* as its owner sees it */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(iommu_new(&f->iommu), 0);
	assert_int_equal(iommu_space_new(f->iommu, 1, IOMMU_NO_PASID, &f->a), 0);
	assert_int_equal(iommu_space_new(f->iommu, 2, IOMMU_NO_PASID, &f->b), 0);
	f->fd = memfd_create(MEM_NAME, MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, PAGES * PAGE), 0);
	f->mem = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	for (unsigned int i = 0; i < PAGES; i++)
		memset(f->mem + i * PAGE, (int)i, PAGE);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	iommu_free(f->iommu);
	munmap(f->mem, PAGES * PAGE);
	close(f->fd);
	free(f);
	return 0;
}

/* Mappings of the test's memory in this process, without the test's own. */
static int mmaps(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = -1;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "memfd:" MEM_NAME))
			n++;
	fclose(maps);
	return n;
}

static int read_byte(struct iommu_space *s, uint64_t iova)
{
	uint8_t byte;
	int err = iommu_read(s, iova, &byte, 1);

	return err ? err : byte;
}

/* --- what is a map --- */

static void test_map_refuses_what_is_no_range(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iommu_map(f->a, 0, 0, f->fd, 0, RW), -EINVAL);
	assert_int_equal(iommu_map(f->a, 1, PAGE, f->fd, 0, RW), -EINVAL);
	assert_int_equal(iommu_map(f->a, 0, PAGE + 1, f->fd, 0, RW), -EINVAL);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 1, RW), -EINVAL);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, 0), -EINVAL);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW | PROT_EXEC), -EINVAL);
	/* wraps: one page too many at the top */
	assert_int_equal(iommu_map(f->a, -PAGE, 2 * PAGE, f->fd, 0, RW), -EINVAL);
	assert_int_equal(iommu_map(f->a, PAGE, -PAGE, -1, 0, RW), -EINVAL);
	/* offset and size that no file can have */
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, -PAGE, RW), -EINVAL);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, INT64_MAX - PAGE + 1, RW), -EINVAL);
	assert_int_equal(iommu_space_maps(f->a), 0);
	assert_int_equal(mmaps(), 0);
}

static void test_map_reaches_the_last_page_of_the_address_space(void **state)
{
	struct fixture *f = *state;
	uint8_t two[2];

	assert_int_equal(iommu_map(f->a, -PAGE, PAGE, f->fd, 3 * PAGE, RW), 0);
	assert_int_equal(read_byte(f->a, UINT64_MAX), 3);
	/* nothing follows it, not even what is mapped at 0 */
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_read(f->a, UINT64_MAX, two, 2), -EFAULT);
	assert_int_equal(iommu_write(f->a, UINT64_MAX, two, 2), -EFAULT);
	assert_int_equal(iommu_unmap(f->a, -PAGE, PAGE, NULL), 0);
}

/* rules: vu-map-6 */
static void test_map_refuses_overlap_with_eexist(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iommu_map(f->a, 4 * PAGE, 4 * PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->a, 4 * PAGE, 4 * PAGE, f->fd, 0, RW), -EEXIST);
	assert_int_equal(iommu_map(f->a, 7 * PAGE, PAGE, f->fd, 0, RW), -EEXIST);
	assert_int_equal(iommu_map(f->a, 7 * PAGE, 2 * PAGE, f->fd, 0, RW), -EEXIST);
	assert_int_equal(iommu_map(f->a, 3 * PAGE, 2 * PAGE, f->fd, 0, RW), -EEXIST);
	assert_int_equal(iommu_map(f->a, 0, 12 * PAGE, f->fd, 0, RW), -EEXIST);
	assert_int_equal(iommu_map(f->a, 5 * PAGE, PAGE, -1, 0, RW), -EEXIST);
	/* beside it, and in another space, is room */
	assert_int_equal(iommu_map(f->a, 3 * PAGE, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->a, 8 * PAGE, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->b, 5 * PAGE, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_space_maps(f->a), 3);
}

/* rules: vu-unmap-1 */
static void test_unmap_takes_the_very_bounds_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iommu_unmap(f->a, 0, PAGE, NULL), -ENOENT);
	assert_int_equal(iommu_map(f->a, 4 * PAGE, 4 * PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_unmap(f->a, 4 * PAGE, PAGE, NULL), -ENOENT);
	assert_int_equal(iommu_unmap(f->a, 5 * PAGE, 3 * PAGE, NULL), -ENOENT);
	assert_int_equal(iommu_unmap(f->a, 4 * PAGE, 8 * PAGE, NULL), -ENOENT);
	assert_int_equal(iommu_unmap(f->a, 0, 8 * PAGE, NULL), -ENOENT);
	assert_int_equal(iommu_unmap(f->b, 4 * PAGE, 4 * PAGE, NULL), -ENOENT);
	assert_int_equal(read_byte(f->a, 7 * PAGE), 3);
	assert_int_equal(iommu_unmap(f->a, 4 * PAGE, 4 * PAGE, NULL), 0);
	assert_int_equal(iommu_unmap(f->a, 4 * PAGE, 4 * PAGE, NULL), -ENOENT);
	assert_int_equal(read_byte(f->a, 7 * PAGE), -EFAULT);
}

static void test_maps_made_in_any_order_are_found(void **state)
{
	struct fixture *f = *state;
	static const unsigned int order[] = {
		9, 3, 12, 0, 15, 7, 1, 14, 5, 10, 2, 13, 4, 11, 6, 8
	};

	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(
			iommu_map(f->a, 2 * order[i] * PAGE, PAGE, f->fd, order[i] * PAGE, RW), 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		assert_int_equal(read_byte(f->a, 2 * i * PAGE + 17), i);
		assert_int_equal(read_byte(f->a, (2 * i + 1) * PAGE), -EFAULT);
	}
	for (size_t i = 0; i < PAGES; i += 2)
		assert_int_equal(iommu_unmap(f->a, 2 * order[i] * PAGE, PAGE, NULL), 0);
	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(read_byte(f->a, 2 * order[i] * PAGE),
				 i % 2 ? (int)order[i] : -EFAULT);
}

/* rules: vu-map-10 */
static void test_the_number_of_maps_has_a_limit(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < IOMMU_MAPS_MAX; i++)
		assert_int_equal(iommu_map(f->a, i * PAGE, PAGE, -1, 0, RW), 0);
	assert_int_equal(iommu_map(f->a, IOMMU_MAPS_MAX * PAGE, PAGE, -1, 0, RW), -ENOSPC);
	assert_int_equal(iommu_unmap(f->a, 0, PAGE, NULL), 0);
	assert_int_equal(iommu_map(f->a, IOMMU_MAPS_MAX * PAGE, PAGE, -1, 0, RW), 0);
}

/* The last map that was looked up is the one that the next address is in, or it is not. */
static void test_lookups_in_turn(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iommu_map(f->a, 2 * PAGE, 2 * PAGE, f->fd, 2 * PAGE, RW), 0);
	assert_int_equal(iommu_map(f->a, 5 * PAGE, PAGE, f->fd, 5 * PAGE, RW), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(read_byte(f->a, 3 * PAGE), 3);
		assert_int_equal(read_byte(f->a, 2 * PAGE), 2);
		assert_int_equal(read_byte(f->a, 2 * PAGE - 1), -EFAULT);
		assert_int_equal(read_byte(f->a, 4 * PAGE - 1), 3);
		assert_int_equal(read_byte(f->a, 4 * PAGE), -EFAULT);
		assert_int_equal(read_byte(f->a, 5 * PAGE), 5);
		assert_int_equal(read_byte(f->a, 6 * PAGE), -EFAULT);
		assert_int_equal(read_byte(f->a, 0), -EFAULT);
		assert_int_equal(read_byte(f->a, 5 * PAGE), 5);
	}
	assert_int_equal(iommu_unmap(f->a, 5 * PAGE, PAGE, NULL), 0);
	assert_int_equal(read_byte(f->a, 5 * PAGE), -EFAULT);
	assert_int_equal(iommu_map(f->a, 5 * PAGE, PAGE, f->fd, 6 * PAGE, RW), 0);
	assert_int_equal(read_byte(f->a, 5 * PAGE), 6);
}

static void test_an_fd_that_cannot_be_mapped_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(iommu_map(f->a, 0, PAGE, fd, 0, RW), -EINVAL);
	close(fd);
	assert_int_equal(iommu_map(f->a, 0, PAGE, fd, 0, RW), -EBADF);
	assert_int_equal(iommu_space_maps(f->a), 0);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
}

/* --- spaces --- */

static void test_a_space_is_found_by_rid_and_pasid(void **state)
{
	struct fixture *f = *state;
	struct iommu_space *s, *p;

	assert_ptr_equal(iommu_space_find(f->iommu, 1, IOMMU_NO_PASID), f->a);
	assert_ptr_equal(iommu_space_find(f->iommu, 2, IOMMU_NO_PASID), f->b);
	assert_null(iommu_space_find(f->iommu, 3, IOMMU_NO_PASID));
	assert_null(iommu_space_find(f->iommu, 1, 7));
	assert_int_equal(iommu_space_new(f->iommu, 1, IOMMU_NO_PASID, &s), -EEXIST);
	assert_int_equal(iommu_space_new(f->iommu, 1, 7, &p), 0);
	assert_ptr_equal(iommu_space_find(f->iommu, 1, 7), p);
	/* one RID, two spaces: they share no map */
	assert_int_equal(iommu_map(p, 0, PAGE, f->fd, PAGE, RW), 0);
	assert_int_equal(read_byte(f->a, 0), -EFAULT);
	assert_int_equal(read_byte(p, 0), 1);
	iommu_space_free(p);
	assert_null(iommu_space_find(f->iommu, 1, 7));
	/* same bucket of the hash, other RID */
	assert_null(iommu_space_find(f->iommu, 257, IOMMU_NO_PASID));
}

/* --- sharing --- */

static void test_two_spaces_share_one_mmap_of_the_same_range(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iommu_map(f->a, 0, 4 * PAGE, f->fd, 4 * PAGE, RW), 0);
	assert_int_equal(mmaps(), 1);
	assert_int_equal(iommu_map(f->b, 32 * PAGE, 4 * PAGE, f->fd, 4 * PAGE, RW), 0);
	assert_int_equal(mmaps(), 1);
	assert_int_equal(read_byte(f->b, 33 * PAGE), 5);
	assert_int_equal(iommu_unmap(f->a, 0, 4 * PAGE, NULL), 0);
	assert_int_equal(mmaps(), 1);
	assert_int_equal(read_byte(f->b, 33 * PAGE), 5);
	assert_int_equal(iommu_unmap(f->b, 32 * PAGE, 4 * PAGE, NULL), 0);
	assert_int_equal(mmaps(), 0);
}

static void test_freeing_a_space_gives_its_memory_back(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iommu_map(f->b, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(mmaps(), 1);
	iommu_space_free(f->b);
	assert_int_equal(mmaps(), 0);
}

static void test_memory_is_shared_by_file_not_by_descriptor(void **state)
{
	struct fixture *f = *state;
	int again = dup(f->fd), other = memfd_create(MEM_NAME, MFD_CLOEXEC);

	assert_true(again >= 0 && other >= 0);
	assert_int_equal(ftruncate(other, PAGES * PAGE), 0);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, PAGE, RW), 0);
	assert_int_equal(iommu_map(f->b, 0, PAGE, again, PAGE, RW), 0);
	assert_int_equal(mmaps(), 1);
	assert_int_equal(iommu_map(f->b, PAGE, PAGE, other, PAGE, RW), 0);
	assert_int_equal(mmaps(), 2);
	assert_int_equal(read_byte(f->b, PAGE), 0);
	close(again);
	close(other);
}

/* A page fault in it could wait for anybody: only memfds, tmpfs and hugetlbfs are memory. */
/* rules: vu-map-9 */
static void test_what_is_no_memory_is_refused(void **state)
{
	static const char *const paths[] = { "/dev/zero", "/proc/self/exe", "/" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(iommu_map(f->a, 0, PAGE, fd, 0, PROT_READ), -EINVAL);
		close(fd);
	}
	assert_int_equal(iommu_space_maps(f->a), 0);
}

/* What is behind the end of the file is no memory, and would take address space from others. */
static void test_a_map_is_inside_its_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, PAGES * PAGE, RW), -ERANGE);
	assert_int_equal(iommu_map(f->a, 0, (PAGES + 1) * PAGE, f->fd, 0, RW), -ERANGE);
	assert_int_equal(iommu_map(f->a, 0, PAGES * PAGE, f->fd, 0, RW), 0);
}

/* Who may only read a file gets no mapping that somebody else may write through. */
static void test_a_shared_mmap_gives_no_more_than_the_descriptor_allows(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int ro;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	assert_int_equal(iommu_map(f->b, 0, PAGE, ro, 0, RW), -EACCES);
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->b, 0, PAGE, ro, 0, RW), -EACCES);
	assert_int_equal(iommu_map(f->b, 0, PAGE, ro, 0, PROT_READ), 0);
	close(ro);
	ro = open(path, O_PATH | O_CLOEXEC);
	assert_true(ro >= 0);
	assert_int_equal(iommu_map(f->b, PAGE, PAGE, ro, 0, RW), -EBADF);
	close(ro);
}

/* --- access --- */

static void test_reads_and_writes_cross_adjacent_maps(void **state)
{
	struct fixture *f = *state;
	uint8_t data[2 * IOMMU_PAGE];

	/* neighbours in the address space that are not neighbours in memory */
	assert_int_equal(iommu_map(f->a, PAGE, PAGE, f->fd, 9 * PAGE, RW), 0);
	assert_int_equal(iommu_map(f->a, 2 * PAGE, PAGE, f->fd, 4 * PAGE, RW), 0);
	assert_int_equal(iommu_map(f->a, 3 * PAGE, PAGE, f->fd, 7 * PAGE, RW), 0);
	assert_int_equal(iommu_read(f->a, 2 * PAGE - 100, data, PAGE + 200), 0);
	assert_int_equal(data[0], 9);
	assert_int_equal(data[99], 9);
	assert_int_equal(data[100], 4);
	assert_int_equal(data[PAGE + 99], 4);
	assert_int_equal(data[PAGE + 100], 7);
	memset(data, 0xaa, sizeof(data));
	assert_int_equal(iommu_write(f->a, 3 * PAGE - 1, data, 2), 0);
	assert_int_equal(f->mem[5 * PAGE - 1], 0xaa);
	assert_int_equal(f->mem[7 * PAGE], 0xaa);
	assert_int_equal(f->mem[5 * PAGE], 5);
	/* over the end of the last one */
	assert_int_equal(iommu_read(f->a, 4 * PAGE - 1, data, 2), -EFAULT);
	assert_int_equal(iommu_read(f->a, PAGE - 1, data, 2), -EFAULT);
}

/* rules: vu-map-2 */
static void test_direction_is_kept(void **state)
{
	struct fixture *f = *state;
	struct iommu_window w = { 0 }, w2 = { 0 };
	struct iommu_seg seg;
	uint8_t byte = 1;

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 0, PROT_READ), 0);
	assert_int_equal(iommu_map(f->a, PAGE, PAGE, f->fd, PAGE, PROT_WRITE), 0);
	assert_int_equal(iommu_write(f->a, 0, &byte, 1), -EFAULT);
	assert_string_equal(iommu_space_fault(f->a), "the memory is not mapped for this direction");
	assert_int_equal(iommu_read(f->a, PAGE, &byte, 1), -EFAULT);
	assert_null(iommu_window_get(&w, f->a, 0, 8, RW));
	assert_non_null(iommu_window_get(&w2, f->a, 0, 8, PROT_READ));
	assert_null(iommu_window_get(&w2, f->a, 0, 8, PROT_WRITE)); /* the same window */
	assert_non_null(iommu_window_get(&w2, f->a, 0, 8, PROT_READ));
	/* one that was of memory for both before */
	assert_int_equal(iommu_map(f->a, 2 * PAGE, PAGE, f->fd, PAGE, RW), 0);
	assert_non_null(iommu_window_get(&w, f->a, 2 * PAGE, 8, PROT_READ));
	assert_non_null(iommu_window_get(&w, f->a, 2 * PAGE, 8, RW));
	assert_non_null(iommu_window_get(&w, f->a, 0, 8, PROT_READ));
	assert_null(iommu_window_get(&w, f->a, 0, 8, PROT_WRITE));
	assert_int_equal(iommu_pin(f->a, 0, 8, PROT_WRITE, &seg, 1), -EFAULT);
	assert_int_equal(iommu_pin(f->a, PAGE, 8, PROT_READ, &seg, 1), -EFAULT);
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), 0);
	byte = 0x55;
	assert_int_equal(iommu_write(f->a, PAGE, &byte, 1), 0);
	assert_int_equal(f->mem[PAGE], 0x55);
}

static void test_faults_say_why(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	assert_null(iommu_space_fault(f->a));
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), -EFAULT);
	assert_string_equal(iommu_space_fault(f->a), "the address is not mapped for DMA");
	assert_null(iommu_space_fault(f->b));
}

/* A VMM that does not share its memory is told what to change. */
static void test_a_map_without_a_file_faults_and_says_share_on(void **state)
{
	struct fixture *f = *state;
	struct iommu_window w = { 0 };
	struct iommu_seg seg;
	uint8_t byte = 0;

	assert_int_equal(iommu_map(f->a, 0, PAGE, -1, 0, RW), 0);
	assert_int_equal(iommu_read(f->a, 0, &byte, 1), -EFAULT);
	assert_non_null(strstr(iommu_space_fault(f->a), "share=on"));
	iommu_unmap_all(f->a);
	assert_int_equal(iommu_map(f->a, 0, PAGE, -1, 0, RW), 0);
	assert_int_equal(iommu_write(f->a, 8, &byte, 1), -EFAULT);
	assert_non_null(strstr(iommu_space_fault(f->a), "share=on"));
	assert_null(iommu_window_get(&w, f->a, 0, 16, PROT_READ));
	assert_int_equal(iommu_pin(f->a, 0, 16, PROT_READ, &seg, 1), -EFAULT);
	assert_int_equal(iommu_unmap(f->a, 0, PAGE, NULL), 0);
}

/* --- windows --- */

static void test_a_window_is_the_memory_itself(void **state)
{
	struct fixture *f = *state;
	struct iommu_window w = { 0 };
	uint8_t *p;

	assert_int_equal(iommu_map(f->a, 0, 2 * PAGE, f->fd, PAGE, RW), 0);
	p = iommu_window_get(&w, f->a, PAGE - 8, 16, PROT_WRITE);
	assert_non_null(p);
	p[8] = 0x77;
	assert_int_equal(f->mem[2 * PAGE], 0x77);
	assert_ptr_equal(iommu_window_get(&w, f->a, PAGE - 8, 16, PROT_WRITE), p);
	/* another range in the same window */
	assert_ptr_equal(iommu_window_get(&w, f->a, PAGE, 8, PROT_WRITE), p + 8);
	assert_null(iommu_window_get(&w, f->a, 2 * PAGE - 8, 16, PROT_WRITE));
}

static void test_a_window_ends_with_the_map(void **state)
{
	struct fixture *f = *state;
	struct iommu_window w = { 0 };

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, PAGE, RW), 0);
	assert_non_null(iommu_window_get(&w, f->a, 0, 8, PROT_READ));
	assert_int_equal(iommu_unmap(f->a, 0, PAGE, NULL), 0);
	assert_null(iommu_window_get(&w, f->a, 0, 8, PROT_READ));
	/* and follows a new one */
	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, 5 * PAGE, RW), 0);
	assert_int_equal(*iommu_window_get(&w, f->a, 0, 8, PROT_READ), 5);
	iommu_unmap_all(f->a);
	assert_null(iommu_window_get(&w, f->a, 0, 8, PROT_READ));
	assert_int_equal(mmaps(), 0);
}

static void test_a_window_of_one_space_is_none_of_another(void **state)
{
	struct fixture *f = *state;
	struct iommu_window w = { 0 };

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, PAGE, RW), 0);
	assert_non_null(iommu_window_get(&w, f->a, 0, 8, PROT_READ));
	assert_null(iommu_window_get(&w, f->b, 0, 8, PROT_READ));
	assert_int_equal(iommu_map(f->b, 0, PAGE, f->fd, 6 * PAGE, RW), 0);
	assert_int_equal(*iommu_window_get(&w, f->b, 0, 8, PROT_READ), 6);
	assert_int_equal(*iommu_window_get(&w, f->a, 0, 8, PROT_READ), 1);
}

static void test_a_window_over_two_maps_is_none_but_copying_works(void **state)
{
	struct fixture *f = *state;
	struct iommu_window w = { 0 };
	uint8_t data[16];

	assert_int_equal(iommu_map(f->a, 0, PAGE, f->fd, PAGE, RW), 0);
	assert_int_equal(iommu_map(f->a, PAGE, PAGE, f->fd, 3 * PAGE, RW), 0);
	assert_null(iommu_window_get(&w, f->a, PAGE - 8, 16, PROT_READ));
	assert_int_equal(iommu_read(f->a, PAGE - 8, data, 16), 0);
	assert_int_equal(data[7], 1);
	assert_int_equal(data[8], 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_map_refuses_what_is_no_range),
		TEST(test_map_reaches_the_last_page_of_the_address_space),
		TEST(test_map_refuses_overlap_with_eexist),
		TEST(test_unmap_takes_the_very_bounds_only),
		TEST(test_maps_made_in_any_order_are_found),
		TEST(test_the_number_of_maps_has_a_limit),
		TEST(test_lookups_in_turn),
		TEST(test_an_fd_that_cannot_be_mapped_leaves_nothing),
		TEST(test_a_space_is_found_by_rid_and_pasid),
		TEST(test_two_spaces_share_one_mmap_of_the_same_range),
		TEST(test_freeing_a_space_gives_its_memory_back),
		TEST(test_memory_is_shared_by_file_not_by_descriptor),
		TEST(test_what_is_no_memory_is_refused),
		TEST(test_a_map_is_inside_its_file),
		TEST(test_a_shared_mmap_gives_no_more_than_the_descriptor_allows),
		TEST(test_reads_and_writes_cross_adjacent_maps),
		TEST(test_direction_is_kept),
		TEST(test_faults_say_why),
		TEST(test_a_map_without_a_file_faults_and_says_share_on),
		TEST(test_a_window_is_the_memory_itself),
		TEST(test_a_window_ends_with_the_map),
		TEST(test_a_window_of_one_space_is_none_of_another),
		TEST(test_a_window_over_two_maps_is_none_but_copying_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
