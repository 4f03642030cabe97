/* SPDX-License-Identifier: BSD-3-Clause */
/* Discard and write zeroes (virtio 1.3, 5.2.6). */
#include "blk_fixture.h"

#include <linux/falloc.h>

#define SECTORS 4096u /* 2 MiB */
#define BIG     (3ull << 30)

enum { UNMAP = 1 };

/* Blocks in use, of 512 bytes. */
static uint64_t allocated(struct blk_fixture *f)
{
	struct stat st;

	assert_int_equal(fstat(f->image, &st), 0);
	return (uint64_t)st.st_blocks;
}

static void assert_size(struct blk_fixture *f, uint64_t bytes)
{
	struct stat st;

	assert_int_equal(fstat(f->image, &st), 0);
	assert_int_equal(st.st_size, bytes);
}

/* All bytes of these sectors have a value. */
static void assert_sectors(struct blk_fixture *f, uint64_t sector, uint64_t n, uint8_t value)
{
	uint8_t *data = malloc(n * SECTOR);

	assert_non_null(data);
	assert_int_equal(pread(f->image, data, n * SECTOR, (off_t)(sector * SECTOR)), n * SECTOR);
	for (uint64_t i = 0; i < n * SECTOR; i++)
		if (data[i] != value)
			fail_msg("sector %zu has %#x", (size_t)(sector + i / SECTOR), data[i]);
	free(data);
}

static void fill(struct blk_fixture *f, uint8_t value)
{
	uint8_t *data = malloc(SECTORS * SECTOR);

	memset(data, value, SECTORS * SECTOR);
	assert_int_equal(pwrite(f->image, data, SECTORS * SECTOR, 0), SECTORS * SECTOR);
	assert_int_equal(fsync(f->image), 0);
	free(data);
}

static struct blk_fixture *fixture(int image, bool readonly)
{
	struct blk_fixture *f;

	assert_true(image >= 0);
	assert_int_equal(ftruncate(image, SECTORS * SECTOR), 0);
	f = blk_fixture_new(image, &(struct device_params){ .readonly = readonly });
	blk_start(f, readonly ? B_RO : B_DISCARD | B_WRITE_ZEROES | B_FLUSH);
	fill(f, 0x5a);
	return f;
}

/* Of memory: it can be deallocated, but not be made zeroes otherwise than by writing them. */
static int setup_memory(void **state)
{
	*state = fixture(memfd_create("test:image", MFD_CLOEXEC), false);
	return 0;
}

static int setup_ro(void **state)
{
	*state = fixture(memfd_create("test:image", MFD_CLOEXEC), true);
	return 0;
}

/* On whatever file system the tests run on, if it has files without a name. */
static int setup_disk(void **state)
{
	int image = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	*state = fixture(image < 0 ? memfd_create("test:image", MFD_CLOEXEC) : image, false);
	return 0;
}

/* --- 5.2.4 --- */

/* rules: blk-3 blk-4 blk-10 */
static void test_5_2_4_limits(void **state)
{
	struct blk_fixture *f = *state;

	assert_int_equal(driver_offered(&f->d) & (B_DISCARD | B_WRITE_ZEROES),
			 B_DISCARD | B_WRITE_ZEROES);
	assert_int_equal(blk_config(f, CFG_MAX_DISCARD_SECTORS, 4), 1u << 21);
	assert_int_equal(blk_config(f, CFG_MAX_DISCARD_SEG, 4), 64);
	assert_int_equal(blk_config(f, CFG_MAX_ZEROES_SECTORS, 4), 1u << 21);
	assert_int_equal(blk_config(f, CFG_MAX_ZEROES_SEG, 4), 64);
	assert_int_equal(blk_config(f, CFG_ZEROES_MAY_UNMAP, 1), 1);
	assert_true(blk_config(f, CFG_DISCARD_ALIGNMENT, 4) >= 1);
	assert_false(driver_offered(&f->d) & 1ull << 17); /* ZONED */
	assert_int_equal(blk_config(f, CFG_UNUSED0, 1), 0);
	for (uint32_t at = CFG_UNUSED1; at < CFG_END; at++)
		assert_int_equal(blk_config(f, at, 1), 0);
}

static void test_5_2_6_2_a_read_only_disk_keeps_its_blocks(void **state)
{
	struct blk_fixture *f = *state;
	struct blk_range all = { 0, SECTORS, 0 };

	assert_int_equal(driver_offered(&f->d) & (B_DISCARD | B_WRITE_ZEROES), 0);
	assert_int_equal(blk_ranges(f, T_DISCARD, &all, 1), ST_IOERR);
	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES, &all, 1), ST_IOERR);
	all.flags = UNMAP;
	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES, &all, 1), ST_IOERR);
	assert_sectors(f, 0, SECTORS, 0x5a);
}

/* --- discard --- */

static void test_5_2_6_discard_frees_blocks(void **state)
{
	struct blk_fixture *f = *state;
	uint64_t before = allocated(f);

	assert_int_equal(blk_ranges(f, T_DISCARD, &(struct blk_range){ 1024, 2048, 0 }, 1), ST_OK);
	assert_true(allocated(f) <= before - 2048 + 128);
	assert_int_equal(lseek(f->image, 0, SEEK_HOLE), 1024 * SECTOR);
	assert_int_equal(lseek(f->image, 1024 * SECTOR, SEEK_DATA), 3072 * SECTOR);
	assert_sectors(f, 0, 1024, 0x5a);
	assert_sectors(f, 1024, 2048, 0);
	assert_sectors(f, 3072, 1024, 0x5a);
	assert_size(f, SECTORS * SECTOR);
	/* all of it */
	assert_int_equal(blk_ranges(f, T_DISCARD, &(struct blk_range){ 0, SECTORS, 0 }, 1), ST_OK);
	assert_size(f, SECTORS * SECTOR);
	assert_true(allocated(f) < 128);
}

static void test_5_2_6_discard_of_several_ranges(void **state)
{
	struct blk_fixture *f = *state;
	struct blk_range ranges[64];

	for (uint32_t i = 0; i < 64; i++)
		ranges[i] = (struct blk_range){ i * 64, i == 7 ? 0 : 8, 0 };
	assert_int_equal(blk_ranges(f, T_DISCARD, ranges, 64), ST_OK);
	for (uint32_t i = 0; i < 64; i++) {
		assert_sectors(f, i * 64, 8, i == 7 ? 0x5a : 0);
		assert_sectors(f, i * 64 + 8, 56, 0x5a);
	}
	/* parts of blocks, and the last sector */
	assert_int_equal(blk_ranges(f, T_DISCARD,
				    (struct blk_range[]){ { 9, 1, 0 }, { SECTORS - 1, 1, 0 } }, 2),
			 ST_OK);
	assert_sectors(f, 8, 1, 0x5a);
	assert_sectors(f, 10, 1, 0x5a);
	assert_size(f, SECTORS * SECTOR);
}

/* --- write zeroes --- */

static void check_zeroes(struct blk_fixture *f, uint32_t flags)
{
	struct blk_range ranges[] = { { 1, 1, flags },
				      { 100, 7, flags },
				      { 1000, 2500, flags },
				      { 0, 0, flags },
				      { 4001, 95, flags } };

	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES, ranges, 5), ST_OK);
	assert_sectors(f, 0, 1, 0x5a);
	assert_sectors(f, 1, 1, 0);
	assert_sectors(f, 2, 98, 0x5a);
	assert_sectors(f, 100, 7, 0);
	assert_sectors(f, 107, 893, 0x5a);
	assert_sectors(f, 1000, 2500, 0);
	assert_sectors(f, 3500, 501, 0x5a);
	assert_sectors(f, 4001, 95, 0);
	assert_size(f, SECTORS * SECTOR);
}

/* 5.2.6.2: zeroes they are, whether or not they take up room. */
/* rules: blk-9 */
static void test_5_2_6_2_write_zeroes(void **state)
{
	struct blk_fixture *f = *state;
	uint64_t before = allocated(f);

	check_zeroes(f, 0);
	/* room that was there is kept for what will be written */
	assert_true(allocated(f) >= before);
}

/* rules: blk-9 */
static void test_5_2_6_2_write_zeroes_with_unmap(void **state)
{
	struct blk_fixture *f = *state;
	uint64_t before = allocated(f);

	check_zeroes(f, UNMAP);
	assert_true(allocated(f) <= before - 2400);
}

static void test_5_2_6_2_write_zeroes_of_all(void **state)
{
	struct blk_fixture *f = *state;

	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES, &(struct blk_range){ 0, SECTORS, 0 }, 1),
			 ST_OK);
	assert_sectors(f, 0, SECTORS, 0);
	assert_size(f, SECTORS * SECTOR);
	/* flags are each range's own */
	fill(f, 0x33);
	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES,
				    (struct blk_range[]){ { 0, 1024, UNMAP }, { 1024, 1024, 0 } },
				    2),
			 ST_OK);
	assert_sectors(f, 0, 2048, 0);
	assert_int_equal(lseek(f->image, 0, SEEK_DATA), 1024 * SECTOR);
}

/* --- what is refused, by both --- */

static void assert_refused(struct blk_fixture *f, const struct blk_range *r, size_t n,
			   uint8_t discard, uint8_t zeroes)
{
	assert_int_equal(blk_ranges(f, T_DISCARD, r, n), discard);
	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES, r, n), zeroes);
	assert_sectors(f, 0, SECTORS, 0x5a);
	assert_size(f, SECTORS * SECTOR);
}

static void test_5_2_6_1_ranges_outside_of_the_disk(void **state)
{
	static const struct blk_range bad[] = {
		{ SECTORS, 1, 0 },         { SECTORS - 1, 2, 0 },
		{ 0, SECTORS + 1, 0 },     { SECTORS + 1, 0, 0 },
		{ UINT64_MAX, 1, 0 },      { UINT64_MAX, UINT32_MAX, 0 },
		{ UINT64_MAX >> 9, 1, 0 }, { (UINT64_MAX >> 9) + 1, 1, 0 },
		{ 1ull << 55, 8, 0 },      { 0, UINT32_MAX, 0 },
	};
	struct blk_fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_refused(f, &bad[i], 1, ST_IOERR, ST_IOERR);
		/* behind one that would be all right: all are looked at first */
		assert_refused(f, (struct blk_range[]){ { 0, 8, 0 }, bad[i] }, 2, ST_IOERR,
			       ST_IOERR);
	}
	assert_int_equal(f->vf->counters.value[COUNTER_request_errors], 40);
}

/* rules: blk-7 blk-8 */
static void test_5_2_6_2_flags(void **state)
{
	struct blk_fixture *f = *state;

	for (int bit = 1; bit < 32; bit++)
		assert_refused(f, &(struct blk_range){ 0, 8, 1u << bit }, 1, ST_UNSUPP, ST_UNSUPP);
	assert_refused(f, &(struct blk_range){ 0, 8, UNMAP | 2 }, 1, ST_UNSUPP, ST_UNSUPP);
	/* unmap is not for discards */
	assert_int_equal(blk_ranges(f, T_DISCARD, &(struct blk_range){ 0, 8, UNMAP }, 1),
			 ST_UNSUPP);
	assert_int_equal(
		blk_ranges(f, T_DISCARD, (struct blk_range[]){ { 0, 8, 0 }, { 8, 8, UNMAP } }, 2),
		ST_UNSUPP);
	assert_sectors(f, 0, SECTORS, 0x5a);
}

static void test_5_2_6_1_numbers_of_ranges(void **state)
{
	struct blk_fixture *f = *state;
	struct blk_range ranges[65] = { 0 };

	for (uint32_t i = 0; i < 65; i++)
		ranges[i] = (struct blk_range){ i, 1, 0 };
	assert_refused(f, ranges, 65, ST_IOERR, ST_IOERR);
	assert_refused(f, ranges, 0, ST_IOERR, ST_IOERR);
	/* a part of one */
	for (uint32_t len = 1; len < 33; len += len == 15 ? 2 : 1) {
		if (len % 16 == 0)
			continue;
		memcpy(blk_data(f), ranges, len);
		assert_int_equal(blk_request(f, T_DISCARD, 0, len), ST_IOERR);
		assert_int_equal(blk_request(f, T_WRITE_ZEROES, 0, len), ST_IOERR);
	}
	assert_sectors(f, 0, SECTORS, 0x5a);
}

/* 5.2.4: a range has max_*_sectors at most, even where the disk has more. */
static void test_5_2_6_1_long_ranges(void **state)
{
	struct blk_fixture *f;
	int image = memfd_create("test:image", MFD_CLOEXEC);

	assert_int_equal(ftruncate(image, (off_t)BIG), 0);
	f = blk_fixture_new(image, NULL);
	*state = f;
	blk_start(f, B_DISCARD | B_WRITE_ZEROES);
	assert_int_equal(pwrite(image, "x", 1, 0), 1);
	assert_int_equal(pwrite(image, "x", 1, (1 << 30) - 1), 1);
	assert_int_equal(blk_ranges(f, T_DISCARD, &(struct blk_range){ 0, (1 << 21) + 1, 0 }, 1),
			 ST_IOERR);
	assert_int_equal(lseek(image, 0, SEEK_DATA), 0);
	assert_int_equal(blk_ranges(f, T_DISCARD, &(struct blk_range){ 0, 1 << 21, 0 }, 1), ST_OK);
	assert_int_equal(lseek(image, 0, SEEK_DATA), -1);
	assert_size(f, BIG);
}

/* An image that somebody truncated does not grow again. */
static void test_a_truncated_image_does_not_grow(void **state)
{
	struct blk_fixture *f = *state;

	assert_int_equal(ftruncate(f->image, 2048 * SECTOR), 0);
	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES, &(struct blk_range){ 2040, 16, 0 }, 1),
			 ST_IOERR);
	assert_int_equal(blk_ranges(f, T_DISCARD, &(struct blk_range){ 2040, 16, 0 }, 1), ST_IOERR);
	assert_size(f, 2048 * SECTOR);
	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES, &(struct blk_range){ 2040, 8, 0 }, 1),
			 ST_OK);
	assert_size(f, 2048 * SECTOR);
}

/* The ranges in many descriptors, as any data (2.7.4). */
static void test_2_7_4_ranges_in_any_layout(void **state)
{
	struct blk_fixture *f = *state;
	struct blk_range ranges[] = { { 3, 2, 0 }, { 10, 5, 0 } };
	struct buf bufs[8] = { { f->header, 16, false } };
	static const uint32_t cuts[] = { 1, 7, 9, 3, 12 };
	uint32_t type = T_WRITE_ZEROES, at = 0, len;
	size_t n = 1;
	uint16_t head;

	memset(ram_at(&f->d.ram, f->header), 0, 16);
	memcpy(ram_at(&f->d.ram, f->header), &type, 4);
	memcpy(blk_data(f), ranges, sizeof(ranges));
	for (size_t i = 0; i < 5; at += cuts[i++])
		bufs[n++] = (struct buf){ f->data + at, cuts[i], false };
	assert_int_equal(at, sizeof(ranges));
	bufs[n++] = (struct buf){ f->status, 1, true };
	head = ring_add(&f->ring[0], bufs, n);
	driver_kick(&f->d, 0);
	assert_int_equal(driver_used(&f->d, &f->ring[0], &len), head);
	assert_int_equal(len, 1);
	assert_int_equal(*(uint8_t *)ram_at(&f->d.ram, f->status), ST_OK);
	assert_sectors(f, 3, 2, 0);
	assert_sectors(f, 5, 5, 0x5a);
	assert_sectors(f, 10, 5, 0);
}

#ifdef RIDGE_FAULTS
static void test_a_reset_waits_for_ranges(void **state)
{
	struct blk_fixture *f = *state;

	blk_fault_hang(f->vf->vf.dev, true);
	memcpy(blk_data(f), &(struct blk_range){ 0, 8, 0 }, 16);
	blk_send(f, 0, T_WRITE_ZEROES, 0, 16);
	machine_settle(f->m);
	set_common(&f->d, C_DEVICE_STATUS, 1, 0);
	machine_settle(f->m);
	assert_int_not_equal(common(&f->d, C_DEVICE_STATUS, 1), 0);
	blk_fault_hang(f->vf->vf.dev, false);
	machine_wait(f->m, common(&f->d, C_DEVICE_STATUS, 1) == 0);
	assert_int_equal(ring_used_idx(&f->ring[0]), 0);
}
#endif

#define MEMORY_TEST(name) cmocka_unit_test_setup_teardown(name, setup_memory, blk_teardown)
#define DISK_TEST(name)   cmocka_unit_test_setup_teardown(name, setup_disk, blk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMORY_TEST(test_5_2_4_limits),
		cmocka_unit_test_setup_teardown(test_5_2_6_2_a_read_only_disk_keeps_its_blocks,
						setup_ro, blk_teardown),
		MEMORY_TEST(test_5_2_6_discard_frees_blocks),
		DISK_TEST(test_5_2_6_discard_frees_blocks),
		MEMORY_TEST(test_5_2_6_discard_of_several_ranges),
		DISK_TEST(test_5_2_6_discard_of_several_ranges),
		MEMORY_TEST(test_5_2_6_2_write_zeroes),
		DISK_TEST(test_5_2_6_2_write_zeroes),
		MEMORY_TEST(test_5_2_6_2_write_zeroes_with_unmap),
		DISK_TEST(test_5_2_6_2_write_zeroes_with_unmap),
		MEMORY_TEST(test_5_2_6_2_write_zeroes_of_all),
		MEMORY_TEST(test_5_2_6_1_ranges_outside_of_the_disk),
		MEMORY_TEST(test_5_2_6_2_flags),
		MEMORY_TEST(test_5_2_6_1_numbers_of_ranges),
		cmocka_unit_test_teardown(test_5_2_6_1_long_ranges, blk_teardown),
		MEMORY_TEST(test_a_truncated_image_does_not_grow),
		MEMORY_TEST(test_2_7_4_ranges_in_any_layout),
#ifdef RIDGE_FAULTS
		MEMORY_TEST(test_a_reset_waits_for_ranges),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
