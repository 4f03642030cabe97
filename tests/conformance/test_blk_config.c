/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk's cache mode, topology, queues and size (virtio 1.3, 5.2.4, 5.2.5 and 5.2.6.2). */
#include "blk_fixture.h"

#include <sys/uio.h>

#include "base/uring.h"

#define SECTORS 4096u

/* --- what the kernel is asked for, as far as it makes writes stable --- */

static int write_flags; /* of the last write; -1: none */
static unsigned int flushes;

int __real_uring_writev(struct uring *ring, struct uring_op *op, int fd, const struct iovec *iov,
			unsigned int n, size_t len, uint64_t offset, int flags);
int __wrap_uring_writev(struct uring *ring, struct uring_op *op, int fd, const struct iovec *iov,
			unsigned int n, size_t len, uint64_t offset, int flags);
int __real_uring_fdatasync(struct uring *ring, struct uring_op *op, int fd);
int __wrap_uring_fdatasync(struct uring *ring, struct uring_op *op, int fd);

int __wrap_uring_writev(struct uring *ring, struct uring_op *op, int fd, const struct iovec *iov,
			unsigned int n, size_t len, uint64_t offset, int flags)
{
	write_flags = flags;
	return __real_uring_writev(ring, op, fd, iov, n, len, offset, flags);
}

int __wrap_uring_fdatasync(struct uring *ring, struct uring_op *op, int fd)
{
	flushes++;
	return __real_uring_fdatasync(ring, op, fd);
}

static int setup(void **state)
{
	int image = memfd_create("test:image", MFD_CLOEXEC);

	assert_int_equal(ftruncate(image, SECTORS * SECTOR), 0);
	*state = blk_fixture_new(image, NULL);
	return 0;
}

static int setup_queues(void **state)
{
	int image = memfd_create("test:image", MFD_CLOEXEC);

	assert_int_equal(ftruncate(image, SECTORS * SECTOR), 0);
	*state = blk_fixture_new(image, &(struct device_params){ .queues = 4 });
	return 0;
}

/* Whether a write, or zeroes, are stable when they are completed. */
static bool stable(struct blk_fixture *f)
{
	unsigned int before = flushes;

	write_flags = -1;
	assert_int_equal(blk_request(f, T_OUT, 8, SECTOR), ST_OK);
	assert_int_equal(flushes, before);
	assert_true(write_flags == 0 || write_flags == RWF_DSYNC);
	return write_flags == RWF_DSYNC;
}

static bool stable_zeroes(struct blk_fixture *f, uint32_t flags)
{
	unsigned int before = flushes;

	write_flags = 0;
	assert_int_equal(blk_ranges(f, T_WRITE_ZEROES,
				    (struct blk_range[]){ { 0, 8, flags }, { 64, 8, flags } }, 2),
			 ST_OK);
	return flushes > before || write_flags == RWF_DSYNC;
}

static void set_writeback(struct blk_fixture *f, uint8_t value)
{
	reg_write(&f->d, CAP_DEVICE, CFG_WRITEBACK, 1, value);
}

/* --- 5.2.5, 5.2.6.2: the cache --- */

/* rules: blk-11 blk-12 */
static void test_5_2_6_2_when_writes_are_stable(void **state)
{
	struct blk_fixture *f = *state;

	/* neither feature: always, since the device offers FLUSH */
	blk_start(f, B_WRITE_ZEROES);
	assert_true(stable(f));
	assert_true(stable_zeroes(f, 0));
	assert_true(stable_zeroes(f, 1));
	/* a driver that can flush, and no mode: writeback */
	blk_start(f, B_FLUSH | B_WRITE_ZEROES);
	assert_false(stable(f));
	assert_false(stable_zeroes(f, 0));
	assert_false(stable_zeroes(f, 1));
	/* as the mode says */
	blk_start(f, B_FLUSH | B_CONFIG_WCE | B_WRITE_ZEROES);
	assert_int_equal(blk_config(f, CFG_WRITEBACK, 1), 1);
	assert_false(stable(f));
	set_writeback(f, 0);
	assert_int_equal(blk_config(f, CFG_WRITEBACK, 1), 0);
	assert_true(stable(f));
	assert_true(stable_zeroes(f, 0));
	assert_true(stable_zeroes(f, 1));
	set_writeback(f, 1);
	assert_false(stable(f));
	assert_false(stable_zeroes(f, 1));
}

/* rules: blk-13 */
static void test_5_2_6_2_a_flush_is_one(void **state)
{
	struct blk_fixture *f = *state;
	unsigned int before = flushes;

	blk_start(f, B_FLUSH);
	assert_int_equal(blk_request(f, T_FLUSH, 0, 0), ST_OK);
	assert_int_equal(flushes, before + 1);
}

/* Discards need no flush: what they leave is not defined. */
static void test_5_2_6_2_a_discard_is_not_waited_for(void **state)
{
	struct blk_fixture *f = *state;
	unsigned int before = flushes;

	blk_start(f, B_DISCARD);
	assert_int_equal(blk_ranges(f, T_DISCARD, &(struct blk_range){ 0, 8, 0 }, 1), ST_OK);
	assert_int_equal(flushes, before);
}

/* 5.2.5.2: a driver that can't flush finds a cache that needs none, before it is done. */
/* rules: blk-2 */
static void test_5_2_5_2_writeback_is_0_without_flush(void **state)
{
	struct blk_fixture *f = *state;

	assert_true(driver_negotiate(&f->d, F_VERSION_1 | B_CONFIG_WCE));
	assert_int_equal(blk_config(f, CFG_WRITEBACK, 1), 0);
	blk_start(f, B_CONFIG_WCE);
	assert_int_equal(blk_config(f, CFG_WRITEBACK, 1), 0);
	assert_true(stable(f));
	/* it may still turn it on */
	set_writeback(f, 1);
	assert_false(stable(f));
	/* the next driver starts anew */
	assert_true(driver_negotiate(&f->d, F_VERSION_1 | B_CONFIG_WCE | B_FLUSH));
	assert_int_equal(blk_config(f, CFG_WRITEBACK, 1), 1);
}

static void test_5_2_5_writeback_is_0_or_1(void **state)
{
	struct blk_fixture *f = *state;

	blk_start(f, B_FLUSH | B_CONFIG_WCE);
	set_writeback(f, 2);
	set_writeback(f, 0xff);
	assert_int_equal(blk_config(f, CFG_WRITEBACK, 1), 1);
	/* with its own width only, and nothing else can be written */
	reg_write(&f->d, CAP_DEVICE, CFG_WRITEBACK, 2, 0);
	for (uint32_t at = 0; at < CFG_END; at++)
		if (at != CFG_WRITEBACK)
			reg_write(&f->d, CAP_DEVICE, at, 1, 0x5c);
	assert_int_equal(blk_config(f, CFG_WRITEBACK, 1), 1);
	assert_int_equal(blk_config(f, CFG_CAPACITY, 8), SECTORS);
	assert_int_equal(blk_config(f, CFG_UNUSED0, 1), 0);
	/* not negotiated */
	blk_start(f, B_FLUSH);
	set_writeback(f, 0);
	assert_int_equal(blk_config(f, CFG_WRITEBACK, 1), 1);
	assert_false(stable(f));
}

/* --- 5.2.5.3: what legacy drivers find --- */

static void start_legacy(struct blk_fixture *f, uint64_t features)
{
	struct pf_driver *pf = &f->pf;
	uint64_t at;

	assert_int_equal(legacy_write(pf, 1, L_STATUS, 1, 0), OK);
	assert_int_equal(legacy_write(pf, 1, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER), OK);
	assert_int_equal(legacy_write(pf, 1, L_DRIVER_FEATURES, 4, features), OK);
	assert_int_equal(legacy_write(pf, 1, L_QUEUE_SELECT, 2, 0), OK);
	at = ring_init_legacy(&f->ring[0], &f->d.ram, (uint16_t)legacy_get(pf, 1, L_QUEUE_SIZE, 2));
	assert_int_equal(legacy_write(pf, 1, L_QUEUE_ADDRESS, 4, at >> 12), OK);
}

static void legacy_ok(struct blk_fixture *f)
{
	assert_int_equal(
		legacy_write(&f->pf, 1, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK), OK);
}

static uint64_t legacy_writeback(struct blk_fixture *f)
{
	uint64_t value;

	assert_int_equal(legacy_dev_read(&f->pf, 1, CFG_WRITEBACK, 1, &value), OK);
	return value;
}

static void test_5_2_5_3_a_legacy_driver_and_the_cache(void **state)
{
	struct blk_fixture *f = *state;

	/* a mode, and no flush: it is as the driver leaves it */
	start_legacy(f, B_CONFIG_WCE);
	assert_int_equal(legacy_writeback(f), 1);
	legacy_ok(f);
	assert_int_equal(legacy_writeback(f), 1);
	assert_false(stable(f));
	assert_int_equal(legacy_dev_write(&f->pf, 1, CFG_WRITEBACK, 1, 0), OK);
	assert_int_equal(legacy_writeback(f), 0);
	assert_true(stable(f));
	/* it may set the mode before it is done */
	start_legacy(f, B_CONFIG_WCE | B_FLUSH);
	assert_int_equal(legacy_dev_write(&f->pf, 1, CFG_WRITEBACK, 1, 0), OK);
	legacy_ok(f);
	assert_int_equal(legacy_writeback(f), 0);
	assert_true(stable(f));
	/* neither */
	start_legacy(f, 0);
	legacy_ok(f);
	assert_true(stable(f));
	start_legacy(f, B_FLUSH);
	legacy_ok(f);
	assert_false(stable(f));
}

/* --- topology and queues --- */

static void test_5_2_4_topology(void **state)
{
	struct blk_fixture *f = *state;
	struct stat st;
	uint32_t physical;

	assert_int_equal(fstat(f->image, &st), 0);
	assert_true(driver_offered(&f->d) & B_TOPOLOGY);
	assert_true(driver_offered(&f->d) & B_BLK_SIZE);
	assert_int_equal(blk_config(f, CFG_BLK_SIZE, 4), 512);
	physical = 512u << blk_config(f, CFG_PHYSICAL_EXP, 1);
	assert_int_equal(physical, st.st_blksize > 65536 ? 65536 * 2 : st.st_blksize);
	assert_int_equal(blk_config(f, CFG_ALIGNMENT_OFFSET, 1), 0);
	/* in logical blocks */
	assert_int_equal(blk_config(f, CFG_MIN_IO, 2), physical / 512);
	assert_int_equal(blk_config(f, CFG_OPT_IO, 4), 0);
	assert_int_equal(blk_config(f, CFG_DISCARD_ALIGNMENT, 4), physical / 512);
	assert_int_equal(f->d.cap[CAP_DEVICE].length, CFG_END);
}

static void test_5_2_4_one_queue(void **state)
{
	struct blk_fixture *f = *state;

	assert_false(driver_offered(&f->d) & B_MQ);
	assert_int_equal(common(&f->d, C_NUM_QUEUES, 2), 1);
	assert_int_equal(blk_config(f, CFG_NUM_QUEUES, 2), 1);
}

static void test_5_2_4_several_queues(void **state)
{
	struct blk_fixture *f = *state;

	assert_true(driver_offered(&f->d) & B_MQ);
	assert_int_equal(common(&f->d, C_NUM_QUEUES, 2), 4);
	assert_int_equal(blk_config(f, CFG_NUM_QUEUES, 2), 4);
	blk_start_queues(f, B_MQ | B_FLUSH, 4);
	for (uint32_t i = 0; i < 40; i++) {
		uint16_t queue = (uint16_t)(i % 4);
		uint8_t byte;

		memset(blk_data(f), (int)i + 1, SECTOR);
		assert_int_equal(blk_wait(f, queue, blk_send(f, queue, T_OUT, i, SECTOR)), ST_OK);
		assert_int_equal(pread(f->image, &byte, 1, i * SECTOR), 1);
		assert_int_equal(byte, i + 1);
		memset(blk_data(f), 0, SECTOR);
		queue = (uint16_t)((i + 1) % 4);
		assert_int_equal(blk_wait(f, queue, blk_send(f, queue, T_IN, i, SECTOR)), ST_OK);
		assert_int_equal(*blk_data(f), i + 1);
	}
	/* a driver that knows one uses one */
	blk_start(f, B_FLUSH);
	assert_int_equal(blk_request(f, T_IN, 3, SECTOR), ST_OK);
	assert_int_equal(*blk_data(f), 4);
}

/*
 * Whoever takes memory away waits for what the device was notified of before: not for what comes
 * meanwhile, nor for a queue that the driver never lets it empty.
 */
static void test_busy_with_what_was_there(void **state)
{
	struct blk_fixture *f = *state;
	struct pci_access *pa = f->vf->pa;
	unsigned int done = 0, turns = 0;
	uint32_t id, len;
	uint16_t head;

	blk_start_queues(f, B_MQ | B_FLUSH, 4);
	machine_settle(f->m);
	assert_false(pa->ops->busy(pa, true));
	blk_send(f, 1, T_GET_ID, 0, 20);
	assert_false(pa->ops->busy(pa, false));
	assert_true(pa->ops->busy(pa, true));
	machine_settle(f->m);
	assert_false(pa->ops->busy(pa, false));

	head = blk_send(f, 0, T_GET_ID, 0, 20);
	while (f->ring[0].avail_idx < 64)
		ring_avail(&f->ring[0], head);
	assert_true(pa->ops->busy(pa, true));
	for (; pa->ops->busy(pa, false); turns++) {
		assert_in_range(turns, 0, 64);
		assert_int_equal(loop_step(f->m->loop, 0), 0);
		blk_send(f, 1, T_GET_ID, 0, 20);
		for (; ring_used(&f->ring[0], &id, &len); done++)
			ring_avail(&f->ring[0], head);
	}
	assert_in_range(done, 64, 64 + 32);
	assert_true(pa->ops->busy(pa, true));
	machine_settle(f->m);
}

/* As many as there may be, of the largest size, with requests under way in all of them. */
static void test_64_queues_of_1024(void **state)
{
	int image = memfd_create("test:image", MFD_CLOEXEC);
	struct blk_fixture *f;
	struct ring ring[64];
	uint32_t len;

	assert_int_equal(ftruncate(image, SECTORS * SECTOR), 0);
	f = blk_fixture_new(image, &(struct device_params){ .queues = 64, .queue_size = 1024 });
	*state = f;
	assert_true(driver_negotiate(&f->d, F_VERSION_1 | B_MQ | B_FLUSH));
	assert_int_equal(common(&f->d, C_NUM_QUEUES, 2), 64);
	driver_bind(&f->d, 1);
	memset(ram_at(&f->d.ram, f->header), 0, 16);
	for (uint16_t i = 0; i < 64; i++) {
		ring_init(&ring[i], &f->d.ram, 1024);
		driver_queue(&f->d, i, &ring[i], i);
	}
	driver_ok(&f->d);
	for (uint16_t i = 0; i < 64; i++) {
		for (int r = 0; r < 32; r++)
			ring_add(&ring[i],
				 (struct buf[]){ { f->header, 16, false },
						 { f->data, SECTOR, true },
						 { f->status, 1, true } },
				 3);
		driver_kick(&f->d, i);
	}
	for (uint16_t i = 0; i < 64; i++)
		for (int r = 0; r < 32; r++)
			driver_used(&f->d, &ring[i], &len);
	assert_int_equal(f->vf->counters.value[COUNTER_requests], 64 * 32);
	assert_int_equal(f->vf->counters.value[COUNTER_request_errors], 0);
	assert_true(driver_events(&f->d, 0) > 0);
}

#ifdef RIDGE_FAULTS
/* Until the device takes no more of what is in its queues; how many it has. */
static uint32_t settle_full(struct blk_fixture *f)
{
	const struct virtio_device *dev = f->vf->vf.dev;
	uint32_t taken;

	do {
		taken = dev->in_flight;
		machine_settle(f->m);
	} while (dev->in_flight > taken);
	return taken;
}

/*
 * A request of a thousand descriptors takes so much memory that a full queue of them waits for some
 * to end. It goes on whatever other queues do meanwhile, and without being notified again.
 */
static void test_a_queue_waits_for_memory_while_others_are_notified(void **state)
{
	int image = memfd_create("test:image", MFD_CLOEXEC);
	struct desc whole = { .len = 1024 * sizeof(struct desc), .flags = DESC_INDIRECT };
	struct virtio_device *dev;
	struct blk_fixture *f;
	struct ring ring[2];
	uint32_t len, taken;

	assert_int_equal(ftruncate(image, SECTORS * SECTOR), 0);
	f = blk_fixture_new(image, &(struct device_params){ .queues = 2, .queue_size = 1024 });
	*state = f;
	dev = f->vf->vf.dev;
	assert_true(driver_negotiate(&f->d, F_VERSION_1 | F_INDIRECT_DESC | B_MQ | B_FLUSH));
	driver_bind(&f->d, 1);
	whole.addr = ram_alloc(&f->d.ram, whole.len, 16);
	ram_desc(&f->d.ram, whole.addr, 0, (struct desc){ f->header, 16, DESC_NEXT, 1 });
	for (uint16_t i = 1; i < 1024; i++)
		ram_desc(&f->d.ram, whole.addr, i,
			 (struct desc){ f->data + i, 1, DESC_WRITE | (i < 1023 ? DESC_NEXT : 0),
					(uint16_t)(i + 1) });
	for (uint16_t q = 0; q < 2; q++) {
		ring_init(&ring[q], &f->d.ram, 1024);
		driver_queue(&f->d, q, &ring[q], NO_VECTOR);
		ring_desc(&ring[q], 0, whole);
	}
	driver_ok(&f->d);
	blk_fault_hang(dev, true);
	for (uint16_t i = 0; i < 1024; i++) {
		ring_desc(&ring[0], i, whole);
		ring_avail(&ring[0], i);
	}
	driver_kick(&f->d, 0);
	taken = settle_full(f);
	assert_in_range(taken, 512, 1000);

	blk_fault_end(dev, 8);
	ring_avail(&ring[1], 0);
	driver_kick(&f->d, 1);
	assert_in_range(settle_full(f), taken - 8, taken);
	blk_fault_hang(dev, false);
	for (int i = 0; i < 1024; i++)
		driver_used(&f->d, &ring[0], &len);
	driver_used(&f->d, &ring[1], &len);
}
#endif

/* --- resize --- */

/* rules: blk-5 pci-common-4 */
static void test_5_2_6_2_capacity_grows(void **state)
{
	struct blk_fixture *f = *state;
	struct virtio_device *dev = f->vf->vf.dev;
	uint32_t generation;

	blk_start(f, B_FLUSH);
	generation = common(&f->d, C_CONFIG_GENERATION, 1);
	assert_int_equal(blk_request(f, T_IN, SECTORS, SECTOR), ST_IOERR);
	/* nothing new: nobody is told */
	assert_int_equal(blk_resize(dev, 0), 0);
	assert_int_equal(blk_resize(dev, SECTORS * SECTOR), 0);
	assert_int_equal(driver_events(&f->d, VEC_CONFIG), 0);
	assert_int_equal(common(&f->d, C_CONFIG_GENERATION, 1), generation);
	/* the image first */
	assert_int_equal(blk_resize(dev, 2 * SECTORS * SECTOR), -ENOSPC);
	assert_int_equal(ftruncate(f->image, 4 * SECTORS * SECTOR), 0);
	assert_int_equal(blk_config(f, CFG_CAPACITY, 8), SECTORS);
	assert_int_equal(blk_resize(dev, 2 * SECTORS * SECTOR + 511), 0);
	assert_int_equal(blk_config(f, CFG_CAPACITY, 8), 2 * SECTORS);
	assert_int_equal(driver_events(&f->d, VEC_CONFIG), 1);
	assert_int_not_equal(common(&f->d, C_CONFIG_GENERATION, 1), generation);
	assert_int_equal(blk_request(f, T_IN, 2 * SECTORS - 1, SECTOR), ST_OK);
	assert_int_equal(blk_request(f, T_OUT, 2 * SECTORS - 1, SECTOR), ST_OK);
	assert_int_equal(blk_request(f, T_IN, 2 * SECTORS, SECTOR), ST_IOERR);
	/* all there is */
	assert_int_equal(blk_resize(dev, 0), 0);
	assert_int_equal(blk_config(f, CFG_CAPACITY, 8), 4 * SECTORS);
	assert_int_equal(driver_events(&f->d, VEC_CONFIG), 1);
	/* a driver to come finds it so, and is not told */
	driver_reset(&f->d);
	assert_int_equal(ftruncate(f->image, 5 * SECTORS * SECTOR), 0);
	assert_int_equal(blk_resize(dev, 0), 0);
	assert_int_equal(driver_events(&f->d, VEC_CONFIG), 0);
	assert_int_equal(blk_config(f, CFG_CAPACITY, 8), 5 * SECTORS);
}

static void test_a_disk_does_not_shrink(void **state)
{
	struct blk_fixture *f = *state;
	struct virtio_device *dev = f->vf->vf.dev;

	blk_start(f, B_FLUSH);
	assert_int_equal(blk_resize(dev, (SECTORS - 1) * SECTOR), -EINVAL);
	assert_int_equal(blk_resize(dev, 1), -EINVAL);
	assert_int_equal(ftruncate(f->image, SECTORS * SECTOR / 2), 0);
	assert_int_equal(blk_resize(dev, 0), -EINVAL);
	assert_int_equal(blk_resize(dev, SECTORS * SECTOR), -ENOSPC);
	assert_int_equal(blk_config(f, CFG_CAPACITY, 8), SECTORS);
	assert_int_equal(driver_events(&f->d, VEC_CONFIG), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, blk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_5_2_6_2_when_writes_are_stable),
		TEST(test_5_2_6_2_a_flush_is_one),
		TEST(test_5_2_6_2_a_discard_is_not_waited_for),
		TEST(test_5_2_5_2_writeback_is_0_without_flush),
		TEST(test_5_2_5_writeback_is_0_or_1),
		TEST(test_5_2_5_3_a_legacy_driver_and_the_cache),
		TEST(test_5_2_4_topology),
		TEST(test_5_2_4_one_queue),
		cmocka_unit_test_setup_teardown(test_5_2_4_several_queues, setup_queues,
						blk_teardown),
		cmocka_unit_test_setup_teardown(test_busy_with_what_was_there, setup_queues,
						blk_teardown),
		cmocka_unit_test_teardown(test_64_queues_of_1024, blk_teardown),
#ifdef RIDGE_FAULTS
		cmocka_unit_test_teardown(test_a_queue_waits_for_memory_while_others_are_notified,
					  blk_teardown),
#endif
		TEST(test_5_2_6_2_capacity_grows),
		TEST(test_a_disk_does_not_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
