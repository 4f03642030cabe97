/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest can do is write anything anywhere, in any order. Nothing here is a rule of the
 * specification but one: the device, its PF and its neighbours survive it, and work after a reset.
 * The numbers are random, but the same every time.
 */
#include <unistd.h>

#include "hostile_fixture.h"

static uint64_t below(struct fixture *f, uint64_t n)
{
	return random_below(&f->seed, n);
}

/* Numbers that are at the bounds of something, more often than chance would have it. */
static uint64_t value(struct fixture *f)
{
	static const uint64_t interesting[] = {
		0,           1,           2,
		3,           7,           8,
		0xf,         0x7f,        0x80,
		0xff,        0x100,       0x7fff,
		0x8000,      0xffff,      0x10000,
		0x7fffffff,  0x80000000,  0xffffffff,
		0x100000000, DRIVER_IOVA, DRIVER_IOVA + DRIVER_RAM - 1,
		~0ull,       ~0ull - 1,   1ull << 63
	};

	return below(f, 3) ? random_next(&f->seed) >> below(f, 64)
			   : interesting[below(f, sizeof(interesting) / sizeof(interesting[0]))];
}

static int setup(void **state)
{
	struct fixture *f = fixture_new(true);

	for (uint32_t i = 0; i < 2; i++)
		f->page[i] = ram_alloc(&f->d[i].ram, 4096, 4096);
	*state = f;
	return 0;
}

static void read_sector(struct fixture *f, int i, uint64_t sector)
{
	uint64_t header[2] = { 0, sector };
	struct buf bufs[3] = { { f->page[i], 16, false },
			       { f->page[i] + 512, 512, true },
			       { f->page[i] + 16, 1, true } };

	memcpy(ram_at(&f->d[i].ram, f->page[i]), header, 16);
	assert_int_equal(driver_do(&f->d[i], &f->ring[i], bufs, 3), 513);
	assert_int_equal(*(uint8_t *)ram_at(&f->d[i].ram, f->page[i] + 16), 0);
	assert_int_equal(*(uint8_t *)ram_at(&f->d[i].ram, f->page[i] + 512), sector);
}

static void start(struct fixture *f, int i)
{
	f->d[i].ram.used = 4096;
	cfg_write(&f->d[i], 0x04, 2, 4);
	driver_start(&f->d[i], F_INDIRECT_DESC | F_EVENT_IDX, &f->ring[i], 32);
}

/* The neighbour goes on, and the function itself after a reset. */
static void assert_alive(struct fixture *f)
{
	read_sector(f, 1, below(f, 64));
	assert_int_equal(f->d[0].pa->ops->reset(f->d[0].pa, NULL), 0);
	start(f, 0);
	read_sector(f, 0, below(f, 64));
}

/* Every register, in every width, with every value. */
static void test_random_register_writes(void **state)
{
	struct fixture *f = *state;
	uint64_t data;

	start(f, 0);
	start(f, 1);
	for (int i = 0; i < 60000; i++) {
		uint8_t len = (uint8_t)(1u << below(f, 4));
		uint64_t at = below(f, 4) ? below(f, 64) : below(f, 0x4000);
		uint8_t bar = below(f, 20) ? 2 : (uint8_t)below(f, 7);

		data = value(f);
		if (below(f, 4))
			f->d[0].pa->ops->bar_write(f->d[0].pa, bar, at, &data, len);
		else
			f->d[0].pa->ops->bar_read(f->d[0].pa, bar, at, &data, len);
		if (!below(f, 10))
			assert_int_equal(loop_step(f->m->loop, 0), 0);
		if (!below(f, 200))
			driver_negotiate(&f->d[0],
					 driver_offered(&f->d[0]) & random_next(&f->seed));
		if (i % 10000 == 0)
			assert_alive(f);
	}
	assert_alive(f);
}

static void test_random_configuration_writes(void **state)
{
	struct fixture *f = *state;
	uint8_t before[64];

	start(f, 0);
	start(f, 1);
	for (uint16_t i = 0; i < 64; i++)
		before[i] = (uint8_t)cfg_read(&f->d[0], i, 1);
	for (int i = 0; i < 30000; i++) {
		uint8_t len = (uint8_t)(1u << below(f, 3));
		uint16_t at = (uint16_t)(below(f, 4) ? below(f, 256) : value(f));

		cfg_write(&f->d[0], at, len, (uint32_t)value(f));
		cfg_read(&f->d[0], (uint16_t)below(f, 256), 4);
		if (!below(f, 50))
			machine_settle(f->m);
	}
	for (uint16_t i = 0; i < 64; i++)
		if (i != 4 && i != 5)
			assert_int_equal(cfg_read(&f->d[0], i, 1), before[i]);
	machine_settle(f->m);
	assert_alive(f);
}

/* A ring full of nonsense, with some sense in it. */
static void test_random_rings(void **state)
{
	struct fixture *f = *state;
	struct ring *r = &f->ring[0];

	start(f, 1);
	for (int round = 0; round < 400; round++) {
		uint8_t *table;

		start(f, 0);
		table = ram_at(&f->d[0].ram, ram_alloc(&f->d[0].ram, 4096, 16));
		for (int i = 0; i < 4096; i++)
			table[i] = (uint8_t)random_next(&f->seed);
		for (uint16_t i = 0; i < r->size; i++)
			ring_desc(
				r, i,
				(struct desc){
					.addr = below(f, 8) ? DRIVER_IOVA + below(f, DRIVER_RAM)
							    : value(f),
					.len = (uint32_t)(below(f, 8) ? below(f, 2048) : value(f)),
					.flags = (uint16_t)below(f, below(f, 10) ? 4 : 65536),
					.next = (uint16_t)below(f, below(f, 10) ? r->size : 65536),
				});
		for (int i = 0; i < 10; i++) {
			ring_put(r, (uint16_t)below(f, below(f, 20) ? r->size : 65536));
			if (below(f, 3))
				ring_publish(r);
			if (!below(f, 50))
				ring_set_avail_idx(r, (uint16_t)random_next(&f->seed));
			driver_kick(&f->d[0], 0);
			if (below(f, 2))
				assert_int_equal(loop_step(f->m->loop, 0), 0);
		}
		machine_settle(f->m);
	}
	assert_alive(f);
}

/*
 * Commands of any kind and length. Each is answered; one that is refused has changed nothing in
 * the member (2.12.1.5).
 */
static void test_random_admin_commands(void **state)
{
	struct fixture *f = *state;
	size_t mark = f->pf.d.ram.used;

	start(f, 1);
	for (int i = 0; i < 4000; i++) {
		struct admin_head head = {
			.opcode = (uint16_t)(below(f, 10) ? below(f, 8) : random_next(&f->seed)),
			.group_type =
				(uint16_t)(below(f, 10) ? below(f, 2) : random_next(&f->seed)),
			.member = below(f, 10) ? 1 + 2 * below(f, 2) : value(f),
		};
		struct virtio_pci_state before;
		struct admin_cmd cmd;
		uint32_t status;

		if (head.member == 2) /* the neighbour */
			continue;
		for (size_t j = 0; j < 24; j++)
			head.data[j] = (uint8_t)value(f);
		if (below(f, 2))
			head.data[0] = (uint8_t)below(f, 24);
		if (head.opcode == LIST_USE)
			head.data[0] |= 0x7f; /* or little would happen from here on */
		before = f->vf[0]->state[0];
		f->pf.d.ram.used = mark;
		cmd = admin_send(
			&f->pf, &head,
			(uint32_t)(below(f, 4) ? ADMIN_HEAD + below(f, 24) : below(f, 536)),
			(uint32_t)(below(f, 4) ? ADMIN_REPLY + below(f, 16) : 4 + below(f, 500)));
		status = admin_wait(&f->pf, &cmd);
		assert_true(f->pf.used_len <= 8 + 64 + 440);
		assert_true((status & 0xffff) == 0 || (status & 0xffff) == 22);
		if ((status & 0xffff) == 22)
			assert_memory_equal(&before, f->vf[0]->state, sizeof(before));
		if (!below(f, 500))
			read_sector(f, 1, below(f, 64));
	}
	assert_alive(f);
}

/* Memory comes and goes while the device uses it. */
static void test_random_unmaps(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->d[0].pa;

	start(f, 1);
	for (int round = 0; round < 150; round++) {
		uint64_t header[2] = { 0, below(f, 64) };
		bool mapped = true;

		start(f, 0);
		memcpy(ram_at(&f->d[0].ram, f->page[0]), header, 16);
		for (int i = 0; i < 20; i++) {
			struct buf bufs[3] = { { f->page[0], 16, false },
					       { f->page[0] + 512, 512, true },
					       { f->page[0] + 16, 1, true } };

			if (f->ring[0].next_desc + 3 < 32)
				ring_add(&f->ring[0], bufs, 3);
			driver_kick(&f->d[0], 0);
			if (!below(f, 4)) {
				if (mapped)
					pa->ops->dma_unmap_all(pa);
				else if (pa->ops->dma_map(pa, NO_PASID, DRIVER_IOVA, DRIVER_RAM,
							  f->d[0].ram.fd, 0, 3))
					continue; /* what is pinned is still there */
				mapped = !mapped;
			}
			if (below(f, 2))
				assert_int_equal(loop_step(f->m->loop, 0), 0);
		}
		/* what was pinned when it was unmapped goes when its I/O ends */
		machine_wait(f->m, mapped || !pa->ops->dma_map(pa, NO_PASID, DRIVER_IOVA,
							       DRIVER_RAM, f->d[0].ram.fd, 0, 3));
		machine_settle(f->m);
	}
	assert_alive(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_random_register_writes), TEST(test_random_configuration_writes),
		TEST(test_random_rings),           TEST(test_random_admin_commands),
		TEST(test_random_unmaps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
