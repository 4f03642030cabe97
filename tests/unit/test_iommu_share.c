/* SPDX-License-Identifier: BSD-3-Clause */
/* No function takes more than its share of what all functions of a PF have together. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommu/backing.h"
#include "iommu/iommu.h"

#define RW (PROT_READ | PROT_WRITE)

static int memory(uint64_t size)
{
	int fd = memfd_create("share", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* Maps a page at iova of a file of that size that nobody else has. */
static int map_new(struct iommu_space *s, uint64_t iova, uint64_t size)
{
	int fd = memory(size);
	int err = iommu_map(s, iova, IOMMU_PAGE, fd, 0, RW);

	close(fd);
	return err;
}

struct two {
	struct iommu *iommu;
	struct iommu_space *a, *b;
};

static int two_new(void **state)
{
	static struct two two;

	assert_int_equal(iommu_new(&two.iommu), 0);
	assert_int_equal(iommu_space_new(two.iommu, 1, IOMMU_NO_PASID, &two.a), 0);
	assert_int_equal(iommu_space_new(two.iommu, 2, IOMMU_NO_PASID, &two.b), 0);
	*state = &two;
	return 0;
}

static int two_free(void **state)
{
	struct two *two = *state;

	iommu_free(two->iommu);
	assert_int_equal(backing_count(), 0);
	assert_int_equal(backing_total(), 0);
	return 0;
}

static void test_files(void **state)
{
	struct two *two = *state;
	int fd = memory(1 << 20);

	assert_int_equal(iommu_map(two->a, 0, IOMMU_PAGE, fd, 0, RW), 0);
	for (uint64_t i = 1; i < IOMMU_FILES_MAX; i++)
		assert_int_equal(map_new(two->a, i * IOMMU_PAGE, IOMMU_PAGE), 0);
	assert_int_equal(map_new(two->a, 1u << 30, IOMMU_PAGE), -ENOSPC);
	assert_int_equal(backing_count(), IOMMU_FILES_MAX);
	/* Of a file that it has it may map more, and other functions map what they like. */
	assert_int_equal(iommu_map(two->a, 1u << 30, IOMMU_PAGE, fd, IOMMU_PAGE, RW), 0);
	assert_int_equal(map_new(two->b, 0, IOMMU_PAGE), 0);
	/* The file counts until its last map is gone. */
	assert_int_equal(iommu_unmap(two->a, 0, IOMMU_PAGE, NULL), 0);
	assert_int_equal(map_new(two->a, 2u << 30, IOMMU_PAGE), -ENOSPC);
	assert_int_equal(iommu_unmap(two->a, 1u << 30, IOMMU_PAGE, NULL), 0);
	assert_int_equal(map_new(two->a, 2u << 30, IOMMU_PAGE), 0);
	assert_int_equal(map_new(two->a, 3u << 30, IOMMU_PAGE), -ENOSPC);
	/* A new life begins with nothing. */
	iommu_unmap_all(two->a);
	assert_int_equal(backing_count(), 1);
	assert_int_equal(map_new(two->a, 0, IOMMU_PAGE), 0);
	close(fd);
}

/* Two functions of one guest: the memory is mapped once, and counts for both. */
static void test_shared_file(void **state)
{
	struct two *two = *state;
	int fd = memory(1 << 20);

	assert_int_equal(iommu_map(two->a, 0, IOMMU_PAGE, fd, 0, RW), 0);
	for (uint64_t i = 1; i <= IOMMU_FILES_MAX; i++)
		assert_int_equal(map_new(two->b, i * IOMMU_PAGE, IOMMU_PAGE), 0);
	assert_int_equal(iommu_map(two->b, 1u << 30, IOMMU_PAGE, fd, 0, RW), -ENOSPC);
	assert_int_equal(iommu_unmap(two->b, IOMMU_PAGE, IOMMU_PAGE, NULL), 0);
	assert_int_equal(iommu_map(two->b, 1u << 30, IOMMU_PAGE, fd, 0, RW), 0);
	assert_int_equal(backing_count(), IOMMU_FILES_MAX);
	close(fd);
}

static void test_bytes(void **state)
{
	struct two *two = *state;
	struct iommu_space *more[2];

	assert_int_equal(map_new(two->a, 0, 9ull << 40), 0);
	assert_int_equal(map_new(two->a, IOMMU_PAGE, 9ull << 40), -ENOSPC);
	assert_int_equal(map_new(two->a, IOMMU_PAGE, 7ull << 40), 0);
	assert_int_equal(map_new(two->b, 0, 16ull << 40), 0);
	for (uint16_t i = 0; i < 2; i++)
		assert_int_equal(iommu_space_new(two->iommu, 3 + i, IOMMU_NO_PASID, &more[i]), 0);
	assert_int_equal(map_new(more[0], 0, 12ull << 40), 0);
	/* Now they are scarce, and everybody can still have some. */
	assert_int_equal(map_new(more[1], 0, IOMMU_BYTES_WHEN_SCARCE + IOMMU_PAGE), -ENOSPC);
	assert_int_equal(map_new(more[1], 0, IOMMU_BYTES_WHEN_SCARCE), 0);
	assert_int_equal(map_new(more[0], IOMMU_PAGE, IOMMU_PAGE), -ENOSPC);
	iommu_unmap_all(two->b);
	assert_int_equal(map_new(more[0], IOMMU_PAGE, IOMMU_PAGE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files, two_new, two_free),
		cmocka_unit_test_setup_teardown(test_shared_file, two_new, two_free),
		cmocka_unit_test_setup_teardown(test_bytes, two_new, two_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
