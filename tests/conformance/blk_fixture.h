/* SPDX-License-Identifier: BSD-3-Clause */
/* A blk function on an image of the test's, and a driver that sends it requests one by one. */
#ifndef RIDGE_TEST_BLK_FIXTURE_H
#define RIDGE_TEST_BLK_FIXTURE_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pf_driver.h"

#define SECTOR 512u

/* 5.2.3 */
#define B_SIZE_MAX     (1ull << 1)
#define B_SEG_MAX      (1ull << 2)
#define B_RO           (1ull << 5)
#define B_BLK_SIZE     (1ull << 6)
#define B_FLUSH        (1ull << 9)
#define B_TOPOLOGY     (1ull << 10)
#define B_CONFIG_WCE   (1ull << 11)
#define B_MQ           (1ull << 12)
#define B_DISCARD      (1ull << 13)
#define B_WRITE_ZEROES (1ull << 14)
#define F_RING_RESET   (1ull << 40)

/* 5.2.4 */
enum {
	CFG_CAPACITY = 0,
	CFG_BLK_SIZE = 20,
	CFG_PHYSICAL_EXP = 24,
	CFG_ALIGNMENT_OFFSET = 25,
	CFG_MIN_IO = 26,
	CFG_OPT_IO = 28,
	CFG_WRITEBACK = 32,
	CFG_UNUSED0 = 33,
	CFG_NUM_QUEUES = 34,
	CFG_MAX_DISCARD_SECTORS = 36,
	CFG_MAX_DISCARD_SEG = 40,
	CFG_DISCARD_ALIGNMENT = 44,
	CFG_MAX_ZEROES_SECTORS = 48,
	CFG_MAX_ZEROES_SEG = 52,
	CFG_ZEROES_MAY_UNMAP = 56,
	CFG_UNUSED1 = 57,
	CFG_END = 60,
};

/* 5.2.6 */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { ST_OK = 0, ST_IOERR = 1, ST_UNSUPP = 2, ST_NONE = 0xee };

/* Vectors: of queue 0 and of configuration changes. */
enum { VEC_QUEUE, VEC_CONFIG, BLK_VECTORS };

struct blk_fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf;
	struct driver d;
	struct ring ring[4];
	uint16_t queues;
	uint64_t header;
	uint64_t data; /* BLK_DATA bytes */
	uint64_t status;
	int image; /* the test's own descriptor */
};

#define BLK_DATA 0x10000u

/* image is taken over. params (may be NULL) without backend. */
static inline struct blk_fixture *
blk_fixture_new_strict(int image, const struct device_params *params, bool strict)
{
	struct blk_fixture *f = calloc(1, sizeof(*f));
	struct device_params p = params ? *params : (struct device_params){ 0 };

	assert_non_null(f);
	assert_true(image >= 0);
	f->image = image;
	f->m = machine_new("blk", 1, strict);
	pf_driver_init(&f->pf, f->m);
	pf_enable_vfs(&f->pf, 1);
	admin_use_all(&f->pf);
	p.backend = dup(image);
	f->vf = member_new(f->m, 1, &p);
	driver_init(&f->d, f->m, f->vf->pa);
	f->header = ram_alloc(&f->d.ram, 16, 16);
	f->status = ram_alloc(&f->d.ram, 1, 1);
	f->data = ram_alloc(&f->d.ram, BLK_DATA, 4096);
	return f;
}

static inline struct blk_fixture *blk_fixture_new(int image, const struct device_params *params)
{
	return blk_fixture_new_strict(image, params, false);
}

static inline int blk_teardown(void **state)
{
	struct blk_fixture *f = *state;

	driver_fini(&f->d);
	member_free(f->vf);
	close(f->image);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

/* The same of a fixture of a test's, whose first member is a struct blk_fixture *. */
static inline int blk_teardown_owner(void **state)
{
	struct blk_fixture **owner = *state;
	void *b = *owner;

	blk_teardown(&b);
	free(owner);
	return 0;
}

/*
 * A test at a PF that does what Linux needs, and at one that holds to the letter: its setup() finds
 * in *state whether that is so.
 */
#define BLK_TEST_BOTH(name, setup)                                                        \
	cmocka_unit_test_prestate_setup_teardown(name, setup, blk_teardown_owner, NULL),  \
		cmocka_unit_test_prestate_setup_teardown(name, setup, blk_teardown_owner, \
							 "strict")
#define BLK_TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, blk_teardown_owner)

/* An image of so many bytes, each the same; not a hole, so that a read of it needs no thread. */
static inline int blk_image(uint32_t len, uint8_t fill)
{
	int image = memfd_create("test:image", MFD_CLOEXEC);
	uint8_t *data = malloc(len);

	assert_non_null(data);
	memset(data, fill, len);
	assert_int_equal(write(image, data, len), len);
	free(data);
	return image;
}

static inline uint64_t blk_config(struct blk_fixture *f, uint32_t at, uint8_t len)
{
	return reg_read(&f->d, CAP_DEVICE, at, len);
}

/* Up to DRIVER_OK, with so many queues of 64. */
static inline void blk_start_queues(struct blk_fixture *f, uint64_t features, uint16_t queues)
{
	assert_true(driver_negotiate(&f->d, F_VERSION_1 | features));
	driver_bind(&f->d, BLK_VECTORS);
	set_common(&f->d, C_CONFIG_MSIX_VECTOR, 2, VEC_CONFIG);
	f->queues = queues;
	for (uint16_t i = 0; i < queues; i++) {
		ring_init(&f->ring[i], &f->d.ram, 64);
		driver_queue(&f->d, i, &f->ring[i], i ? NO_VECTOR : VEC_QUEUE);
	}
	driver_ok(&f->d);
}

static inline void blk_start(struct blk_fixture *f, uint64_t features)
{
	blk_start_queues(f, features, 1);
}

static inline uint8_t *blk_data(struct blk_fixture *f)
{
	return ram_at(&f->d.ram, f->data);
}

/* A request with its data, if any, in one buffer, on a queue; returns its head. */
static inline uint16_t blk_send(struct blk_fixture *f, uint16_t queue, uint32_t type,
				uint64_t sector, uint32_t len)
{
	struct buf bufs[3] = { { f->header, 16, false } };
	struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header = { type, 0, sector };
	uint16_t head;
	size_t n = 1;

	memcpy(ram_at(&f->d.ram, f->header), &header, sizeof(header));
	*(uint8_t *)ram_at(&f->d.ram, f->status) = ST_NONE;
	if (len)
		bufs[n++] = (struct buf){ f->data, len, type == T_IN || type == T_GET_ID };
	bufs[n++] = (struct buf){ f->status, 1, true };
	head = ring_add(&f->ring[queue], bufs, n);
	driver_kick(&f->d, queue);
	return head;
}

static inline uint8_t blk_wait(struct blk_fixture *f, uint16_t queue, uint16_t head)
{
	uint32_t len;

	assert_int_equal(driver_used(&f->d, &f->ring[queue], &len), head);
	return *(uint8_t *)ram_at(&f->d.ram, f->status);
}

static inline uint8_t blk_request(struct blk_fixture *f, uint32_t type, uint64_t sector,
				  uint32_t len)
{
	return blk_wait(f, 0, blk_send(f, 0, type, sector, len));
}

struct blk_range {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;
};

/* A discard or write zeroes request. */
static inline uint8_t blk_ranges(struct blk_fixture *f, uint32_t type, const struct blk_range *r,
				 size_t n)
{
	memcpy(blk_data(f), r, n * sizeof(*r));
	return blk_request(f, type, 0, (uint32_t)(n * sizeof(*r)));
}

#endif
