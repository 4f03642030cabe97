/* SPDX-License-Identifier: BSD-3-Clause */
/* Resetting one virtqueue of several (virtio 1.3, 2.6.1 and 4.1.4.3.1). */
#include "blk_fixture.h"

#define SECTORS 64u
#define QUEUES  4

static int setup(void **state)
{
	int image = memfd_create("test:image", MFD_CLOEXEC);
	struct blk_fixture *f;

	assert_int_equal(ftruncate(image, SECTORS * SECTOR), 0);
	f = blk_fixture_new(image, &(struct device_params){ .queues = QUEUES });
	*state = f;
	return 0;
}

static void start(struct blk_fixture *f, uint64_t features)
{
	blk_start_queues(f, B_MQ | B_FLUSH | features, QUEUES);
}

static void reset_queue(struct blk_fixture *f, uint16_t queue)
{
	set_common(&f->d, C_QUEUE_SELECT, 2, queue);
	set_common(&f->d, C_QUEUE_RESET, 2, 1);
}

static uint32_t queue_field(struct blk_fixture *f, uint16_t queue, enum common at)
{
	set_common(&f->d, C_QUEUE_SELECT, 2, queue);
	return common(&f->d, at, 2);
}

static void assert_reset(struct blk_fixture *f, uint16_t queue)
{
	assert_int_equal(queue_field(f, queue, C_QUEUE_RESET), 0);
	assert_int_equal(queue_field(f, queue, C_QUEUE_ENABLE), 0);
	assert_int_equal(queue_field(f, queue, C_QUEUE_MSIX_VECTOR), NO_VECTOR);
	for (int at = C_QUEUE_DESC; at < C_QUEUE_NOTIF_CONFIG_DATA; at += 4)
		assert_int_equal(common(&f->d, (enum common)at, 4), 0);
}

/* A new ring somewhere else, of another size. */
static void enable_again(struct blk_fixture *f, uint16_t queue, uint16_t size)
{
	ring_init(&f->ring[queue], &f->d.ram, size);
	driver_queue(&f->d, queue, &f->ring[queue], queue ? NO_VECTOR : VEC_QUEUE);
}

/* It does what it is asked: reads the sector that has its number all over. */
static void assert_works(struct blk_fixture *f, uint16_t queue)
{
	uint8_t sector[SECTOR];

	memset(sector, queue + 1, SECTOR);
	assert_int_equal(pwrite(f->image, sector, SECTOR, queue * SECTOR), SECTOR);
	memset(blk_data(f), 0, SECTOR);
	assert_int_equal(blk_wait(f, queue, blk_send(f, queue, T_IN, queue, SECTOR)), ST_OK);
	assert_memory_equal(blk_data(f), sector, SECTOR);
}

/* 2.6.1.1.1: nothing of the old queue is executed, and all of its state is the default. */
/* rules: vqreset-2 vqreset-3 */
static void test_2_6_1_1_1_a_queue_without_requests(void **state)
{
	static const uint16_t sizes[] = { 8, 256, 4, 64 };
	struct blk_fixture *f = *state;

	start(f, F_RING_RESET);
	for (uint16_t i = 0; i < 4; i++) {
		for (uint16_t q = 0; q < QUEUES; q++)
			assert_works(f, q);
		/* made available, but not taken yet */
		blk_send(f, i, T_OUT, 60, SECTOR);
		reset_queue(f, i);
		assert_reset(f, i);
		assert_int_equal(queue_field(f, i, C_QUEUE_SIZE), 256);
		driver_kick(&f->d, i);
		machine_settle(f->m);
		for (uint16_t q = 0; q < QUEUES; q++)
			if (q != i)
				assert_works(f, q);
		enable_again(f, i, sizes[i]);
		assert_works(f, i);
		assert_int_equal(queue_field(f, i, C_QUEUE_ENABLE), 1);
		assert_int_equal(queue_field(f, i, C_QUEUE_RESET), 0);
	}
}

/* rules: vqreset-1 */
static void test_a_request_that_was_not_taken_is_not_executed(void **state)
{
	struct blk_fixture *f = *state;
	uint8_t byte;

	start(f, F_RING_RESET);
	memset(blk_data(f), 0x77, SECTOR);
	blk_send(f, 1, T_OUT, 9, SECTOR);
	reset_queue(f, 1);
	machine_settle(f->m);
	assert_reset(f, 1);
	assert_int_equal(pread(f->image, &byte, 1, 9 * SECTOR), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(ring_used_idx(&f->ring[1]), 0);
	/* nor when its ring comes back with it in it: there, it is new */
	set_common(&f->d, C_QUEUE_SELECT, 2, 1);
	driver_queue(&f->d, 1, &f->ring[1], NO_VECTOR);
	driver_kick(&f->d, 1);
	machine_wait(f->m, ring_used_idx(&f->ring[1]) == 1);
	assert_int_equal(pread(f->image, &byte, 1, 9 * SECTOR), 1);
	assert_int_equal(byte, 0x77);
}

/* 2.6.1.1: the feature is needed. */
static void test_2_6_1_only_if_it_was_negotiated(void **state)
{
	struct blk_fixture *f = *state;

	assert_true(driver_offered(&f->d) & F_RING_RESET);
	start(f, 0);
	reset_queue(f, 1);
	assert_int_equal(queue_field(f, 1, C_QUEUE_RESET), 0);
	assert_int_equal(queue_field(f, 1, C_QUEUE_ENABLE), 1);
	assert_works(f, 1);
}

static void test_what_is_no_reset(void **state)
{
	struct blk_fixture *f = *state;

	start(f, F_RING_RESET);
	set_common(&f->d, C_QUEUE_SELECT, 2, 1);
	set_common(&f->d, C_QUEUE_RESET, 2, 0);
	set_common(&f->d, C_QUEUE_RESET, 2, 2);
	set_common(&f->d, C_QUEUE_RESET, 1, 1);
	set_common(&f->d, C_QUEUE_RESET, 4, 1);
	assert_int_equal(queue_field(f, 1, C_QUEUE_ENABLE), 1);
	assert_works(f, 1);
	/* a queue that is not there, or not enabled */
	reset_queue(f, QUEUES);
	assert_int_equal(common(&f->d, C_QUEUE_RESET, 2), 0);
	reset_queue(f, 1);
	reset_queue(f, 1);
	assert_reset(f, 1);
	/* what was set meanwhile stays set */
	set_common(&f->d, C_QUEUE_SIZE, 2, 16);
	reset_queue(f, 1);
	assert_int_equal(queue_field(f, 1, C_QUEUE_SIZE), 16);
}

#ifdef RIDGE_FAULTS
/* 4.1.4.3.1: 1 as long as the reset is ongoing, and then both 0. */
/* rules: pci-common-8 vqreset-1 */
static void test_4_1_4_3_1_a_queue_with_requests_under_way(void **state)
{
	struct blk_fixture *f = *state;
	struct virtio_device *dev = f->vf->vf.dev;

	start(f, F_RING_RESET);
	assert_works(f, 0);
	driver_events(&f->d, VEC_QUEUE);
	blk_fault_hang(dev, true);
	for (int i = 0; i < 3; i++)
		blk_send(f, 0, T_IN, 5, SECTOR);
	machine_settle(f->m);
	reset_queue(f, 0);
	machine_settle(f->m);
	assert_int_equal(queue_field(f, 0, C_QUEUE_RESET), 1);
	/* it can't be enabled, nor be given anything, before */
	set_common(&f->d, C_QUEUE_ENABLE, 2, 1);
	set_common(&f->d, C_QUEUE_DESC, 8, 0x1000);
	driver_kick(&f->d, 0);
	reset_queue(f, 0);
	machine_settle(f->m);
	assert_int_equal(queue_field(f, 0, C_QUEUE_RESET), 1);
	blk_fault_hang(dev, false);
	assert_reset(f, 0);
	/* what was under way is not returned, and nobody is told */
	assert_int_equal(ring_used_idx(&f->ring[0]), 1);
	assert_int_equal(driver_events(&f->d, VEC_QUEUE), 0);
	enable_again(f, 0, 128);
	assert_works(f, 0);
	assert_true(driver_events(&f->d, VEC_QUEUE) > 0);
}

/* The others are not held up. */
static void test_2_6_1_other_queues_go_on(void **state)
{
	struct blk_fixture *f = *state;
	struct virtio_device *dev = f->vf->vf.dev;

	start(f, F_RING_RESET);
	blk_fault_hang(dev, true);
	blk_send(f, 1, T_IN, 5, SECTOR);
	blk_send(f, 2, T_IN, 5, SECTOR);
	machine_settle(f->m);
	reset_queue(f, 1);
	reset_queue(f, 3);
	machine_settle(f->m);
	assert_int_equal(queue_field(f, 1, C_QUEUE_RESET), 1);
	assert_int_equal(queue_field(f, 2, C_QUEUE_RESET), 0);
	assert_reset(f, 3);
	blk_fault_hang(dev, false);
	machine_settle(f->m);
	assert_reset(f, 1);
	assert_int_equal(ring_used_idx(&f->ring[1]), 0);
	assert_int_equal(ring_used_idx(&f->ring[2]), 1);
	enable_again(f, 1, 8);
	enable_again(f, 3, 8);
	f->ring[2].used_seen = 1;
	for (uint16_t q = 0; q < QUEUES; q++)
		assert_works(f, q);
}

/* Its memory is the driver's again: nothing is written to it any more. */
static void test_2_6_1_1_2_memory_can_be_released(void **state)
{
	struct blk_fixture *f = *state;

	start(f, F_RING_RESET);
	blk_fault_hang(f->vf->vf.dev, true);
	blk_send(f, 1, T_IN, 5, SECTOR);
	machine_settle(f->m);
	reset_queue(f, 1);
	blk_fault_hang(f->vf->vf.dev, false);
	assert_reset(f, 1);
	memset(blk_data(f), 0x11, SECTOR);
	machine_settle(f->m);
	assert_int_equal(*blk_data(f), 0x11);
	/* not pinned either: unmapping waits for nobody */
	assert_int_equal(
		f->d.pa->ops->dma_unmap(f->d.pa, IOMMU_NO_PASID, DRIVER_IOVA, DRIVER_RAM, NULL), 0);
}

/* A reset of the device ends that of the queue. */
static void test_a_device_reset_meanwhile(void **state)
{
	struct blk_fixture *f = *state;

	start(f, F_RING_RESET);
	blk_fault_hang(f->vf->vf.dev, true);
	blk_send(f, 1, T_IN, 5, SECTOR);
	machine_settle(f->m);
	reset_queue(f, 1);
	set_common(&f->d, C_DEVICE_STATUS, 1, 0);
	machine_settle(f->m);
	assert_int_not_equal(common(&f->d, C_DEVICE_STATUS, 1), 0);
	blk_fault_hang(f->vf->vf.dev, false);
	machine_wait(f->m, common(&f->d, C_DEVICE_STATUS, 1) == 0);
	assert_reset(f, 1);
	start(f, F_RING_RESET);
	for (uint16_t q = 0; q < QUEUES; q++)
		assert_works(f, q);
}

/* They are given back, and whoever turned it off waits for that; then nothing moves. */
static void test_requests_that_end_while_bus_mastering_is_off(void **state)
{
	struct blk_fixture *f = *state;

	start(f, F_RING_RESET);
	blk_fault_hang(f->vf->vf.dev, true);
	blk_send(f, 1, T_IN, 5, SECTOR);
	machine_settle(f->m);
	cfg_write(&f->d, 4, 2, 2);
	blk_fault_hang(f->vf->vf.dev, false);
	machine_settle(f->m);
	assert_int_equal(ring_used_idx(&f->ring[1]), 1);
	blk_send(f, 1, T_IN, 6, SECTOR);
	machine_settle(f->m);
	reset_queue(f, 1);
	assert_reset(f, 1);
	cfg_write(&f->d, 4, 2, 6);
	machine_settle(f->m);
	assert_int_equal(ring_used_idx(&f->ring[1]), 1);
	enable_again(f, 1, 64);
	assert_works(f, 1);
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, blk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_2_6_1_1_1_a_queue_without_requests),
		TEST(test_a_request_that_was_not_taken_is_not_executed),
		TEST(test_2_6_1_only_if_it_was_negotiated),
		TEST(test_what_is_no_reset),
#ifdef RIDGE_FAULTS
		TEST(test_4_1_4_3_1_a_queue_with_requests_under_way),
		TEST(test_2_6_1_other_queues_go_on),
		TEST(test_2_6_1_1_2_memory_can_be_released),
		TEST(test_a_device_reset_meanwhile),
		TEST(test_requests_that_end_while_bus_mastering_is_off),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
