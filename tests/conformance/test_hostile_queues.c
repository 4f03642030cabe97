/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtqueues that mean harm: rings over their own buffers, memory that goes while I/O is under way,
 * and memory that another processor changes while the device reads it. The function may stop until
 * it is reset; its neighbours go on, and nothing outside of what was mapped is touched.
 */
#include <pthread.h>
#include <unistd.h>

#include "hostile_fixture.h"

static int setup(void **state)
{
	*state = fixture_new(false);
	return 0;
}

static void start(struct fixture *f, int i, uint16_t size)
{
	f->d[i].ram.used = 0;
	f->page[i] = ram_alloc(&f->d[i].ram, 8192, 4096);
	cfg_write(&f->d[i], 0x04, 2, 4);
	driver_start(&f->d[i], F_INDIRECT_DESC, &f->ring[i], size);
}

/* The buffers of a read of one sector; its header is at the page. */
static void read_bufs(struct fixture *f, int i, uint64_t sector, struct buf bufs[3])
{
	uint64_t header[2] = { 0, sector };

	memcpy(ram_at(&f->d[i].ram, f->page[i]), header, 16);
	bufs[0] = (struct buf){ f->page[i], 16, false };
	bufs[1] = (struct buf){ f->page[i] + 512, 512, true };
	bufs[2] = (struct buf){ f->page[i] + 16, 1, true };
}

static void read_sector(struct fixture *f, int i, uint64_t sector)
{
	struct buf bufs[3];

	read_bufs(f, i, sector, bufs);
	assert_int_equal(driver_do(&f->d[i], &f->ring[i], bufs, 3), 513);
	assert_int_equal(*(uint8_t *)ram_at(&f->d[i].ram, f->page[i] + 512), sector);
}

static bool needs_reset(struct fixture *f)
{
	return common(&f->d[0], C_DEVICE_STATUS, 1) & S_NEEDS_RESET;
}

/* The neighbour goes on, and the function itself after a reset. */
static void assert_alive(struct fixture *f)
{
	read_sector(f, 1, 5);
	machine_wait(f->m, f->d[0].pa->ops->reset(f->d[0].pa, NULL) == 0);
	start(f, 0, 32);
	read_sector(f, 0, 7);
	assert_false(needs_reset(f));
}

/* --- a ring over its own buffers --- */

/* Reads of the disk into the descriptor table, the available and the used ring, at every place. */
static void test_buffers_over_the_ring(void **state)
{
	struct fixture *f = *state;

	start(f, 1, 32);
	for (int part = 0; part < 3; part++) {
		for (uint64_t shift = 0; shift < 3 * 512; shift += 64) {
			struct buf bufs[3];
			uint64_t at;

			start(f, 0, 32);
			at = part == 0   ? f->ring[0].desc
			     : part == 1 ? f->ring[0].avail
					 : f->ring[0].used;
			for (uint64_t n = 0; n < 8; n++) {
				read_bufs(f, 0, (n * 29 + shift) % SECTORS, bufs);
				bufs[1].addr = at + 512 < shift + DRIVER_IOVA ? DRIVER_IOVA
									      : at + 512 - shift;
				ring_add(&f->ring[0], bufs, 3);
				driver_kick(&f->d[0], 0);
				machine_settle(f->m);
			}
			machine_wait(f->m, f->d[0].pa->ops->reset(f->d[0].pa, NULL) == 0);
		}
	}
	assert_alive(f);
}

/* All three parts of the ring, and the tables of chains, at one address. */
static void test_rings_over_each_other(void **state)
{
	struct fixture *f = *state;

	start(f, 1, 32);
	for (uint32_t n = 0; n < 200; n++) {
		struct ring *r = &f->ring[0];
		struct buf bufs[3];

		f->d[0].ram.used = 0;
		f->page[0] = ram_alloc(&f->d[0].ram, 8192, 4096);
		cfg_write(&f->d[0], 0x04, 2, 4);
		assert_true(driver_negotiate(&f->d[0], F_VERSION_1 | F_INDIRECT_DESC));
		ring_init(r, &f->d[0].ram, 32);
		r->avail = r->desc + 2 * (n % 40);
		r->used = n % 3 ? r->desc + 4 * (n % 31) : r->used;
		driver_queue(&f->d[0], 0, r, NO_VECTOR);
		driver_ok(&f->d[0]);
		for (int i = 0; i < 4; i++) {
			read_bufs(f, 0, n % SECTORS, bufs);
			ring_add(r, bufs, 3);
			driver_kick(&f->d[0], 0);
			machine_settle(f->m);
		}
		machine_wait(f->m, f->d[0].pa->ops->reset(f->d[0].pa, NULL) == 0);
	}
	assert_alive(f);
}

/* --- memory that goes --- */

/*
 * The used ring is unmapped while requests are under way: what they fill is pinned, the ring not.
 */
static void test_the_used_ring_goes_with_io_under_way(void **state)
{
	enum { AT = 0x10000 };
	struct fixture *f = *state;
	struct pci_access *pa = f->d[0].pa;
	struct iommu_wait wait = { 0 };
	uint64_t other = DRIVER_IOVA + 2 * DRIVER_RAM;
	struct buf bufs[3];

	start(f, 1, 32);
	for (int again = 0; again < 3; again++) {
		/* the same memory at two addresses, the used ring in that which goes */
		assert_int_equal(pa->ops->dma_map(pa, NO_PASID, other, AT, f->d[0].ram.fd, 0, 3),
				 0);
		f->d[0].ram.used = 0;
		f->page[0] = ram_alloc(&f->d[0].ram, 8192, 4096);
		cfg_write(&f->d[0], 0x04, 2, 4);
		assert_true(driver_negotiate(&f->d[0], F_VERSION_1));
		ring_init(&f->ring[0], &f->d[0].ram, 32);
		f->ring[0].used = f->ring[0].used - DRIVER_IOVA + other;
		driver_queue(&f->d[0], 0, &f->ring[0], NO_VECTOR);
		driver_ok(&f->d[0]);
		blk_fault_hang(f->vf[0]->vf.dev, true);
		for (int i = 0; i < 4; i++) {
			read_bufs(f, 0, 3, bufs);
			ring_add(&f->ring[0], bufs, 3);
		}
		driver_kick(&f->d[0], 0);
		machine_settle(f->m);
		assert_int_equal(pa->ops->dma_unmap(pa, NO_PASID, other, AT, &wait), 0);
		read_sector(f, 1, 9);
		assert_false(needs_reset(f));
		blk_fault_hang(f->vf[0]->vf.dev, false);
		machine_wait(f->m, needs_reset(f));
		assert_string_equal(pa->ops->dma_fault(pa), "the address is not mapped for DMA");
		machine_wait(f->m, pa->ops->reset(pa, NULL) == 0);
	}
	assert_alive(f);
}

/* --- a driver that changes its registers while the queue works --- */

static void test_a_queue_that_is_configured_while_it_works(void **state)
{
	static const enum common fields[] = { C_QUEUE_SIZE, C_QUEUE_DESC, C_QUEUE_DRIVER,
					      C_QUEUE_DEVICE, C_QUEUE_ENABLE };
	struct fixture *f = *state;
	struct buf bufs[3];
	uint32_t len;

	start(f, 0, 32);
	start(f, 1, 32);
	blk_fault_hang(f->vf[0]->vf.dev, true);
	for (int i = 0; i < 4; i++) {
		read_bufs(f, 0, 11, bufs);
		ring_add(&f->ring[0], bufs, 3);
	}
	driver_kick(&f->d[0], 0);
	machine_settle(f->m);
	for (uint32_t i = 0; i < 200; i++) {
		enum common field = fields[i % 5];

		set_common(&f->d[0], C_QUEUE_SELECT, 2, 0);
		set_common(&f->d[0], field, field < C_QUEUE_DESC ? 2 : 4, i * 0x1000);
	}
	blk_fault_hang(f->vf[0]->vf.dev, false);
	/* nothing of it took effect */
	for (int i = 0; i < 4; i++)
		driver_used(&f->d[0], &f->ring[0], &len);
	assert_int_equal(len, 513);
	read_sector(f, 0, 12);
	assert_alive(f);
}

/* --- memory that changes while it is read --- */

struct racer {
	pthread_t thread;
	volatile bool stop;
	struct ring *ring;
	uint8_t *table; /* indirect */
	uint64_t seed;
};

/* Not all at once: what the device reads meanwhile is half of each. */
static void set_len(volatile uint8_t *desc, uint32_t len)
{
	for (int i = 0; i < 4; i++)
		desc[8 + i] = (uint8_t)(len >> (8 * i));
}

/* Another processor of the guest: descriptors, tables and indexes change at any time. */
static void *race(void *arg)
{
	struct racer *r = arg;
	const struct ram *ram = r->ring->ram;
	volatile uint8_t *desc = ram_at(ram, r->ring->desc), *avail = ram_at(ram, r->ring->avail);
	volatile uint8_t *used = ram_at(ram, r->ring->used);

	while (!r->stop) {
		uint64_t n = random_next(&r->seed);
		volatile uint8_t *at = n & 1   ? desc + 16 * (n >> 8 & 31)
				       : n & 2 ? r->table + 16 * (n >> 8 & 63)
					       : avail + 4 + 2 * (n >> 8 & 31);

		switch (n >> 2 & 7) {
		case 0: /* flags */
			at[12] = (uint8_t)(n >> 20 & 7);
			break;
		case 1: /* next, or another head */
			at[n & 3 ? 14 : 0] = (uint8_t)(n >> 20 & 63);
			break;
		case 2: /* length */
			set_len(at, n >> 20 & 0xffff);
			break;
		case 3: /* address */
			at[n >> 20 & 7] = (uint8_t)(n >> 24);
			break;
		case 4:
			avail[2] = (uint8_t)(n >> 20);
			break;
		case 5:
			used[n >> 20 & 255] = (uint8_t)(n >> 28);
			break;
		default: /* as it was */
			at[12] = (uint8_t)(n >> 20 & 3);
			set_len(at, 16);
		}
	}
	return NULL;
}

static void run_race(struct fixture *f, uint64_t features, uint64_t ms)
{
	uint64_t until = loop_now_ns() + ms * 1000000;
	struct racer r = { .ring = &f->ring[0], .seed = 88172645463325252ull ^ features };
	unsigned int stops = 0;

	while (loop_now_ns() < until) {
		struct buf bufs[3];
		uint64_t table;

		f->d[0].ram.used = 0;
		f->page[0] = ram_alloc(&f->d[0].ram, 8192, 4096);
		cfg_write(&f->d[0], 0x04, 2, 4);
		driver_start(&f->d[0], features, &f->ring[0], 32);
		table = ram_alloc(&f->d[0].ram, 16 * 64, 16);
		for (uint16_t i = 0; i < 64; i++)
			ram_desc(&f->d[0].ram, table, i,
				 (struct desc){ f->page[0] + 64u * i, 16,
						(uint16_t)(i % 8 == 7 ? DESC_WRITE : DESC_NEXT),
						(uint16_t)(i + 1) });
		r.table = ram_at(&f->d[0].ram, table);
		r.stop = false;
		assert_int_equal(pthread_create(&r.thread, NULL, race, &r), 0);
		for (int i = 0; i < 60; i++) {
			read_bufs(f, 0, (uint64_t)i % SECTORS, bufs);
			f->ring[0].next_desc = (uint16_t)(i * 3 % 28);
			if (i % 3 == 0)
				ring_desc(&f->ring[0], f->ring[0].next_desc,
					  (struct desc){ table, 16 * 64, DESC_INDIRECT, 0 });
			if (i % 3 == 0)
				ring_avail(&f->ring[0], f->ring[0].next_desc);
			else
				ring_add(&f->ring[0], bufs, 3);
			driver_kick(&f->d[0], 0);
			assert_int_equal(loop_step(f->m->loop, 0), 0);
		}
		r.stop = true;
		pthread_join(r.thread, NULL);
		stops += needs_reset(f);
		machine_wait(f->m, f->d[0].pa->ops->reset(f->d[0].pa, NULL) == 0);
	}
	assert_true(stops > 0); /* or the thread did nothing */
}

static void test_memory_changes_while_it_is_read(void **state)
{
	struct fixture *f = *state;

	start(f, 1, 32);
	run_race(f, F_INDIRECT_DESC, 400);
	run_race(f, F_INDIRECT_DESC | F_EVENT_IDX, 400);
	assert_alive(f);
}

/* --- chains of nothing --- */

/*
 * Every number of descriptors of length zero, at addresses that are not mapped, is an empty chain.
 */
static void test_chains_of_length_zero(void **state)
{
	struct fixture *f = *state;

	start(f, 1, 32);
	for (uint16_t n = 1; n <= 32; n++) {
		struct buf bufs[32];

		start(f, 0, 32);
		for (uint16_t i = 0; i < n; i++)
			bufs[i] = (struct buf){ ~0ull - i, 0, i >= n / 2 };
		ring_add(&f->ring[0], bufs, n);
		driver_kick(&f->d[0], 0);
		machine_settle(f->m);
		assert_true(needs_reset(f)); /* no request has neither header nor status */
	}
	assert_alive(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_buffers_over_the_ring),
		TEST(test_rings_over_each_other),
		TEST(test_the_used_ring_goes_with_io_under_way),
		TEST(test_a_queue_that_is_configured_while_it_works),
		TEST(test_memory_changes_while_it_is_read),
		TEST(test_chains_of_length_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
