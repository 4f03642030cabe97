/* SPDX-License-Identifier: BSD-3-Clause */
/* The entropy device (virtio 1.3, 5.4). */
#include "vf_fixture.h"

static int setup(void **state)
{
	struct fixture *f = fixture_new("rng", false, 0, false);

	driver_start(&f->d, 0, &f->ring, 64);
	*state = f;
	return 0;
}

static uint8_t *at(struct fixture *f, uint64_t iova)
{
	return ram_at(&f->d.ram, iova);
}

/* 5.4.2: one queue. 5.4.4: no configuration. */
static void test_5_4_2_one_queue_and_no_configuration(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(common(&f->d, C_NUM_QUEUES, 2), 1);
	assert_int_equal(f->d.cap[CAP_DEVICE].at, 0);
}

/* 5.4.6.2: one or more bytes, and the length says how many. */
/* rules: rng-1 split-12 */
static void test_5_4_6_2_the_used_length_is_what_was_filled(void **state)
{
	static const uint32_t lens[] = { 1, 2, 64, 4096, 65536 };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint32_t len, zeroes = 0;

		memset(at(f, f->page), 0, 65536);
		len = driver_do(&f->d, &f->ring, &(struct buf){ f->page, lens[i], true }, 1);
		assert_true(len >= 1 && len <= lens[i]);
		for (uint32_t j = 0; j < 65536; j++) {
			if (j >= len)
				assert_int_equal(at(f, f->page)[j], 0);
			else if (!at(f, f->page)[j])
				zeroes++;
		}
		/* one in 256 of them is expected */
		assert_true(len < 64 || zeroes < len / 8);
	}
	assert_int_equal(f->vf->counters.value[COUNTER_requests], 5);
}

/* rules: rng-1 */
static void test_5_4_6_bytes_are_random(void **state)
{
	struct fixture *f = *state;
	uint8_t before[64];

	assert_int_equal(driver_do(&f->d, &f->ring, &(struct buf){ f->page, 64, true }, 1), 64);
	memcpy(before, at(f, f->page), 64);
	assert_int_equal(driver_do(&f->d, &f->ring, &(struct buf){ f->page, 64, true }, 1), 64);
	assert_memory_not_equal(before, at(f, f->page), 64);
}

static void test_2_7_4_1_a_buffer_of_many_descriptors(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[32];

	memset(at(f, f->page), 0, 4096);
	for (uint32_t i = 0; i < 32; i++)
		bufs[i] = (struct buf){ f->page + 64 * i, 32, true };
	assert_int_equal(driver_do(&f->d, &f->ring, bufs, 32), 1024);
	for (uint32_t i = 0; i < 32; i++) {
		uint64_t hole[4], bytes[4];

		memcpy(bytes, at(f, f->page + 64 * i), 32);
		memcpy(hole, at(f, f->page + 64 * i + 32), 32);
		assert_true(bytes[0] | bytes[1] | bytes[2] | bytes[3]);
		assert_true((hole[0] | hole[1] | hole[2] | hole[3]) == 0);
	}
}

/* 5.4.6.1: a driver places no device-readable buffers; one that does gets nothing written there. */
/* rules: split-2 */
static void test_5_4_6_1_readable_buffers_are_not_written(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[2] = { { f->page, 64, false }, { f->page + 64, 64, true } };

	memset(at(f, f->page), 0x55, 64);
	assert_int_equal(driver_do(&f->d, &f->ring, bufs, 2), 64);
	for (int i = 0; i < 64; i++)
		assert_int_equal(at(f, f->page)[i], 0x55);
	assert_int_equal(driver_do(&f->d, &f->ring, bufs, 1), 0);
	assert_int_equal(at(f, f->page)[0], 0x55);
}

/* 2.7.5.1: the table is the driver's; only the used ring is the device's to write. */
/* rules: split-3 */
static void test_2_7_5_1_the_descriptor_table_is_not_written(void **state)
{
	struct fixture *f = *state;
	uint8_t table[16 * 64], avail[4 + 2 * 64];
	struct buf bufs[3] = { { f->page, 64, false },
			       { f->page + 64, 64, true },
			       { f->page + 256, 64, true } };
	uint32_t len;

	for (int i = 0; i < 40; i++) {
		ring_add(&f->ring, bufs, 1 + (size_t)i % 3);
		memcpy(table, at(f, f->ring.desc), sizeof(table));
		memcpy(avail, at(f, f->ring.avail), sizeof(avail));
		driver_kick(&f->d, 0);
		driver_used(&f->d, &f->ring, &len);
		assert_memory_equal(table, at(f, f->ring.desc), sizeof(table));
		assert_memory_equal(avail, at(f, f->ring.avail), sizeof(avail));
	}
}

/* Many buffers wait at once: all are used, by more than one go of the loop. */
static void test_a_full_ring(void **state)
{
	struct fixture *f = *state;
	uint32_t len;

	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 64; i++)
			ring_add(&f->ring, &(struct buf){ f->page + 16 * i, 16, true }, 1);
		driver_kick(&f->d, 0);
		for (uint32_t i = 0; i < 64; i++) {
			driver_used(&f->d, &f->ring, &len);
			assert_int_equal(len, 16);
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_5_4_2_one_queue_and_no_configuration),
		TEST(test_5_4_6_2_the_used_length_is_what_was_filled),
		TEST(test_5_4_6_bytes_are_random),
		TEST(test_2_7_4_1_a_buffer_of_many_descriptors),
		TEST(test_5_4_6_1_readable_buffers_are_not_written),
		TEST(test_2_7_5_1_the_descriptor_table_is_not_written),
		TEST(test_a_full_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
