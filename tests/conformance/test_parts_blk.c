/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Blk functions on one image, whose driver is given another of them every now and then while its
 * requests are under way (virtio 1.4, 2.12.1.4): each request is done once, and its data is right.
 */
#include "blk_fixture.h"
#include "parts.h"
#include "random.h"

#define VFS      3
#define QUEUES   2
#define RING     32
#define REQUESTS 10 /* of each queue at the same time */
#define SECTORS  (QUEUES * REQUESTS)

struct request {
	bool busy;
	bool write;
	uint16_t head;
	uint8_t value;   /* that is written */
	uint64_t header; /* header, data and status */
};

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf[VFS];
	struct driver d; /* d.pa is the function that the driver has now */
	uint32_t at;
	struct ring ring[QUEUES];
	struct request request[QUEUES][REQUESTS]; /* each has a sector of its own */
	uint8_t written[SECTORS];                 /* what is on the disk */
	unsigned int done;
	uint64_t seed;
	int image;
	struct parts parts;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->seed = 7;
	f->image = memfd_create("test:image", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->image, SECTORS * SECTOR), 0);
	f->m = parts_machine("blk", VFS, &f->pf);
	for (uint32_t i = 0; i < VFS; i++) {
		struct device_params params = { .queues = QUEUES, .backend = dup(f->image) };

		f->vf[i] = member_new(f->m, i + 1, &params);
		parts_objects(&f->pf, i + 1);
	}
	f->at = 1;
	driver_init(&f->d, f->m, f->vf[0]->pa);
	for (int q = 0; q < QUEUES; q++)
		for (int i = 0; i < REQUESTS; i++)
			f->request[q][i].header = ram_alloc(&f->d.ram, 1024, 1024);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->d);
	for (int i = 0; i < VFS; i++)
		member_free(f->vf[i]);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	close(f->image);
	free(f);
	return 0;
}

static unsigned int below(struct fixture *f, unsigned int n)
{
	return (unsigned int)random_below(&f->seed, n);
}

static void start(struct fixture *f, uint64_t features)
{
	assert_true(driver_negotiate(&f->d, F_VERSION_1 | B_MQ | features));
	driver_bind(&f->d, QUEUES);
	for (uint16_t q = 0; q < QUEUES; q++) {
		ring_init(&f->ring[q], &f->d.ram, RING);
		driver_queue(&f->d, q, &f->ring[q], q);
	}
	driver_ok(&f->d);
}

/* --- requests --- */

static uint8_t *memory(struct fixture *f, const struct request *r)
{
	return ram_at(&f->d.ram, r->header);
}

/* Each request has three descriptors of its own: the ring's places are its number. */
static void send_request(struct fixture *f, uint16_t queue)
{
	uint16_t i = (uint16_t)below(f, REQUESTS);
	struct request *r = &f->request[queue][i];
	uint64_t sector = (uint64_t)queue * REQUESTS + i;
	uint16_t first = (uint16_t)(3 * i);
	struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header = { T_IN, 0, sector };

	if (r->busy)
		return;
	r->busy = true;
	r->write = below(f, 2);
	r->value = (uint8_t)below(f, 256);
	header.type = r->write ? T_OUT : T_IN;
	memcpy(memory(f, r), &header, sizeof(header));
	memset(memory(f, r) + 16, r->write ? r->value : 0xee, SECTOR);
	memory(f, r)[16 + SECTOR] = ST_NONE;
	ring_desc(&f->ring[queue], first,
		  (struct desc){ r->header, 16, DESC_NEXT, (uint16_t)(first + 1) });
	ring_desc(&f->ring[queue], (uint16_t)(first + 1),
		  (struct desc){ r->header + 16, SECTOR,
				 (uint16_t)(DESC_NEXT | (r->write ? 0 : DESC_WRITE)),
				 (uint16_t)(first + 2) });
	ring_desc(&f->ring[queue], (uint16_t)(first + 2),
		  (struct desc){ r->header + 16 + SECTOR, 1, DESC_WRITE, 0 });
	ring_avail(&f->ring[queue], first);
	if (below(f, 3))
		driver_kick(&f->d, queue);
}

static void finished(struct fixture *f, uint16_t queue, uint32_t id)
{
	struct request *r;
	uint64_t sector;

	assert_true(id % 3 == 0 && id / 3 < REQUESTS);
	r = &f->request[queue][id / 3];
	sector = (uint64_t)queue * REQUESTS + id / 3;
	assert_true(r->busy); /* once */
	r->busy = false;
	assert_int_equal(memory(f, r)[16 + SECTOR], ST_OK);
	if (r->write)
		f->written[sector] = r->value;
	else
		for (unsigned int i = 0; i < SECTOR; i++)
			assert_int_equal(memory(f, r)[16 + i], f->written[sector]);
	f->done++;
}

static bool reap(struct fixture *f)
{
	uint32_t id, len;
	bool busy = false;

	machine_settle(f->m);
	for (uint16_t q = 0; q < QUEUES; q++) {
		while (ring_used(&f->ring[q], &id, &len))
			finished(f, q, id);
		for (int i = 0; i < REQUESTS; i++)
			busy |= f->request[q][i].busy;
	}
	return !busy;
}

/* --- moving --- */

static void hang(struct fixture *f, bool on)
{
	blk_fault_hang(f->vf[f->at - 1]->vf.dev, on);
}

static void move(struct fixture *f)
{
	uint32_t from = f->at, to = from % VFS + 1;
	struct pci_access *was = f->d.pa, *pa = f->vf[to - 1]->pa;
	struct admin_head head = { .opcode = MODE_SET,
				   .group_type = SRIOV_GROUP,
				   .member = from,
				   .data = { MODE_STOPPED } };
	struct admin_cmd cmd;

	/* It stops with requests under way, some of which take their time. */
	hang(f, true);
	send_request(f, 0);
	machine_settle(f->m);
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD + 1, ADMIN_REPLY);
	machine_settle(f->m);
	send_request(f, 1);
	hang(f, false);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	parts_save(&f->pf, from, &f->parts);
	assert_int_equal(admin_mode(&f->pf, to, MODE_STOPPED), OK);
	assert_int_equal(parts_load(&f->pf, to, &f->parts), OK);
	for (uint16_t i = 0; i < QUEUES; i++)
		was->ops->irq_bind(was, i, -1);
	was->ops->dma_unmap_all(was);
	f->d.pa = pa;
	f->at = to;
	assert_int_equal(
		pa->ops->dma_map(pa, 0xffffffff, DRIVER_IOVA, DRIVER_RAM, f->d.ram.fd, 0, 3), 0);
	cfg_write(&f->d, 4, 2, 6);
	driver_bind(&f->d, QUEUES);
	assert_int_equal(admin_mode(&f->pf, to, 0), OK);
	assert_int_equal(was->ops->reset(was, NULL), 0);
}

static void live(struct fixture *f, uint64_t features)
{
	start(f, features);
	for (int i = 0; i < 300; i++) {
		switch (below(f, 10)) {
		case 0:
			move(f);
			break;
		case 1:
		case 2:
			reap(f);
			break;
		default:
			send_request(f, (uint16_t)below(f, QUEUES));
		}
	}
	for (uint16_t q = 0; q < QUEUES; q++)
		driver_kick(&f->d, q);
	machine_wait(f->m, reap(f));
	assert_true(f->done > 50);
	for (unsigned int s = 0; s < SECTORS; s++) {
		uint8_t sector[SECTOR];

		assert_int_equal(pread(f->image, sector, SECTOR, (off_t)s * SECTOR), SECTOR);
		for (unsigned int i = 0; i < SECTOR; i++)
			assert_int_equal(sector[i], f->written[s]);
	}
}

static void test_requests_move(void **state)
{
	live(*state, B_FLUSH);
}

static void test_requests_move_with_event_idx(void **state)
{
	live(*state, B_FLUSH | F_EVENT_IDX);
}

/* The cache mode that the driver has set goes with it (5.2.5.1). */
static void test_cache_mode_moves(void **state)
{
	struct fixture *f = *state;

	start(f, B_FLUSH | B_CONFIG_WCE);
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, CFG_WRITEBACK, 1), 1);
	reg_write(&f->d, CAP_DEVICE, CFG_WRITEBACK, 1, 0);
	move(f);
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, CFG_WRITEBACK, 1), 0);
	reg_write(&f->d, CAP_DEVICE, CFG_WRITEBACK, 1, 1);
	move(f);
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, CFG_WRITEBACK, 1), 1);
	machine_wait(f->m, reap(f));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_requests_move),
		TEST(test_requests_move_with_event_idx),
		TEST(test_cache_mode_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
