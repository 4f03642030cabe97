/* SPDX-License-Identifier: BSD-3-Clause */
/* The block device (virtio 1.3, 5.2) through its modern registers: requests, good and bad. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vf_fixture.h"

#define SECTORS 64

/* 5.2.6: types and status. */
enum { T_IN = 0, T_OUT = 1, T_SCSI_CMD = 2, T_FLUSH = 4, T_GET_ID = 8 };
enum { ST_OK = 0, ST_IOERR = 1, ST_UNSUPP = 2, ST_NONE = 0xee };

/* Where the parts of a request are in the driver's memory. */
enum { STATUS = 16, DATA = 0x1000 };

#define F_RO    (1ull << 5)
#define F_FLUSH (1ull << 9)

static int setup(void **state)
{
	struct fixture *f = fixture_new("blk", false, SECTORS, false);

	driver_start(&f->d, F_INDIRECT_DESC | F_FLUSH, &f->ring, 256);
	*state = f;
	return 0;
}

static int setup_ro(void **state)
{
	struct fixture *f = fixture_new("blk", false, SECTORS, true);

	driver_start(&f->d, F_INDIRECT_DESC | F_FLUSH | F_RO, &f->ring, 256);
	*state = f;
	return 0;
}

static uint8_t *at(struct fixture *f, uint64_t iova)
{
	return ram_at(&f->d.ram, iova);
}

static void set_header(struct fixture *f, uint32_t type, uint64_t sector)
{
	struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} h = { type, 0, sector };

	memcpy(at(f, f->page), &h, sizeof(h));
	*at(f, f->page + STATUS) = ST_NONE;
}

/* A request with its data, if any, in one buffer. Returns the status; *len is the used length. */
static uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t data_len,
		       uint32_t *len)
{
	struct buf bufs[3] = { { f->page, 16, false } };
	size_t n = 1;

	set_header(f, type, sector);
	if (data_len)
		bufs[n++] = (struct buf){ f->page + DATA, data_len, type != T_OUT };
	bufs[n++] = (struct buf){ f->page + STATUS, 1, true };
	*len = driver_do(&f->d, &f->ring, bufs, n);
	return *at(f, f->page + STATUS);
}

static uint8_t simple(struct fixture *f, uint32_t type, uint64_t sector, uint32_t data_len)
{
	uint32_t len;

	return request(f, type, sector, data_len, &len);
}

/* What the image has in a sector; all bytes of it are the same. */
static int image_sector(struct fixture *f, uint64_t sector)
{
	uint8_t data[512];

	assert_int_equal(pread(f->vf->image, data, 512, (off_t)(sector * 512)), 512);
	for (int i = 1; i < 512; i++)
		assert_int_equal(data[i], data[0]);
	return data[0];
}

static void assert_image_untouched(struct fixture *f)
{
	struct stat st;

	assert_int_equal(fstat(f->vf->image, &st), 0);
	assert_int_equal(st.st_size, SECTORS * 512);
	for (uint64_t s = 0; s < SECTORS; s++)
		assert_int_equal(image_sector(f, s), s);
}

static bool needs_reset(struct fixture *f)
{
	machine_settle(f->m);
	return common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET;
}

/* --- 5.2.3, 5.2.4 --- */

/* rules: blk-1 */
static void test_5_2_4_capacity_and_limits(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 0, 8), SECTORS);
	assert_true(reg_read(&f->d, CAP_DEVICE, 12, 4) >= 64); /* seg_max */
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 20, 4), 512);
	assert_true(driver_offered(&f->d) & 1 << 2);  /* SEG_MAX */
	assert_true(driver_offered(&f->d) & 1 << 6);  /* BLK_SIZE */
	assert_true(driver_offered(&f->d) & F_FLUSH); /* 5.2.5.2: should always be */
	assert_false(driver_offered(&f->d) & F_RO);
}

/* --- 5.2.6: requests --- */

static void test_5_2_6_read(void **state)
{
	struct fixture *f = *state;
	uint32_t len;

	for (uint64_t s = 0; s < SECTORS; s++) {
		memset(at(f, f->page + DATA), 0xcc, 1024);
		assert_int_equal(request(f, T_IN, s, 512, &len), ST_OK);
		assert_int_equal(len, 513);
		assert_int_equal(at(f, f->page + DATA)[0], s);
		assert_int_equal(at(f, f->page + DATA)[511], s);
		assert_int_equal(at(f, f->page + DATA)[512], 0xcc);
	}
	assert_int_equal(request(f, T_IN, 10, 16 * 512, &len), ST_OK);
	assert_int_equal(len, 16 * 512 + 1);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(at(f, f->page + DATA)[512 * i], 10 + i);
	assert_int_equal(f->vf->counters.value[COUNTER_read_bytes], (SECTORS + 16) * 512);
}

static void test_5_2_6_write(void **state)
{
	struct fixture *f = *state;
	uint32_t len;

	memset(at(f, f->page + DATA), 0xa5, 1024);
	assert_int_equal(request(f, T_OUT, 20, 1024, &len), ST_OK);
	assert_int_equal(len, 1); /* the status is all that was written to memory */
	assert_int_equal(image_sector(f, 19), 19);
	assert_int_equal(image_sector(f, 20), 0xa5);
	assert_int_equal(image_sector(f, 21), 0xa5);
	assert_int_equal(image_sector(f, 22), 22);
	assert_int_equal(f->vf->counters.value[COUNTER_write_bytes], 1024);
	/* the last sector there is */
	assert_int_equal(simple(f, T_OUT, SECTORS - 1, 512), ST_OK);
	assert_int_equal(image_sector(f, SECTORS - 1), 0xa5);
}

static void test_5_2_6_flush(void **state)
{
	struct fixture *f = *state;
	uint32_t len;

	assert_int_equal(request(f, T_FLUSH, 0, 0, &len), ST_OK);
	assert_int_equal(len, 1);
}

/* 5.2.6: up to 20 bytes of a string; no terminator if it is full. */
static void test_5_2_6_get_id(void **state)
{
	struct fixture *f = *state;
	uint32_t len;

	memset(at(f, f->page + DATA), 0xcc, 64);
	assert_int_equal(request(f, T_GET_ID, 0, 20, &len), ST_OK);
	assert_int_equal(len, 21);
	assert_memory_equal(at(f, f->page + DATA), "SERIAL-0123456789\0\0\0\xcc", 21);
	/* other lengths are not what a driver gives: no more than that is written */
	memset(at(f, f->page + DATA), 0xcc, 64);
	assert_int_equal(simple(f, T_GET_ID, 0, 6), ST_OK);
	assert_memory_equal(at(f, f->page + DATA), "SERIAL\xcc\xcc", 8);
	memset(at(f, f->page + DATA), 0xcc, 64);
	assert_int_equal(simple(f, T_GET_ID, 0, 40), ST_OK);
	assert_memory_equal(at(f, f->page + DATA), "SERIAL-0123456789\0\0\0\xcc\xcc", 22);
}

static void test_5_2_6_2_unknown_types_are_unsupported(void **state)
{
	static const uint32_t types[] = {
		T_SCSI_CMD, 3, 5, 6, 7, 9, 15, 25, 0x80000000, 0xffffffff
	};
	struct fixture *f = *state;
	uint32_t len;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		memset(at(f, f->page + DATA), 0xcc, 512);
		assert_int_equal(request(f, types[i], 0, 512, &len), ST_UNSUPP);
		assert_int_equal(at(f, f->page + DATA)[0], 0xcc);
	}
	assert_image_untouched(f);
	assert_int_equal(f->vf->counters.value[COUNTER_request_errors],
			 sizeof(types) / sizeof(types[0]));
}

/* 5.2.6.2: a write to a read-only device is IOERR, and writes nothing. */
/* rules: blk-6 */
static void test_5_2_6_2_read_only(void **state)
{
	struct fixture *f = *state;

	assert_true(driver_offered(&f->d) & F_RO);
	memset(at(f, f->page + DATA), 0xa5, 512);
	assert_int_equal(simple(f, T_OUT, 3, 512), ST_IOERR);
	assert_image_untouched(f);
	assert_int_equal(simple(f, T_IN, 3, 512), ST_OK);
	assert_int_equal(at(f, f->page + DATA)[0], 3);
	assert_int_equal(simple(f, T_FLUSH, 0, 0), ST_OK);
}

/* 5.2.6.1: no driver reads or writes beyond the capacity; one that does gets IOERR. */
static void test_5_2_6_1_out_of_range(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
	} ranges[] = {
		{ SECTORS, 512 },     { SECTORS - 1, 1024 },    { 0, (SECTORS + 1) * 512 },
		{ SECTORS + 1, 512 }, { 1ull << 55, 512 },      { (1ull << 55) - 1, 1024 },
		{ ~0ull, 512 },       { ~0ull >> 9, 512 },      { (~0ull >> 9) + 1, 512 },
		{ 1ull << 63, 512 },  { SECTORS - 1, 1 << 20 }, { ~0ull - 1, 1024 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		memset(at(f, f->page + DATA), 0xcc, 512);
		assert_int_equal(simple(f, T_IN, ranges[i].sector, ranges[i].len), ST_IOERR);
		assert_int_equal(at(f, f->page + DATA)[0], 0xcc);
		assert_int_equal(simple(f, T_OUT, ranges[i].sector, ranges[i].len), ST_IOERR);
	}
	assert_image_untouched(f);
	assert_false(needs_reset(f));
}

/* 5.2.6.1: data is a multiple of 512 bytes. */
static void test_5_2_6_1_odd_lengths(void **state)
{
	static const uint32_t lens[] = { 1, 511, 513, 1000, 1025 };
	struct fixture *f = *state;

	memset(at(f, f->page + DATA), 0xcc, 2048);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		assert_int_equal(simple(f, T_IN, 0, lens[i]), ST_IOERR);
		assert_int_equal(at(f, f->page + DATA)[0], 0xcc);
		assert_int_equal(simple(f, T_OUT, 0, lens[i]), ST_IOERR);
	}
	assert_image_untouched(f);
	/* none at all is a multiple, too */
	assert_int_equal(simple(f, T_IN, 0, 0), ST_OK);
	assert_int_equal(simple(f, T_OUT, 0, 0), ST_OK);
}

/* 2.7.8.2: so many bytes from the beginning were written, no matter what the status says. */
/* rules: split-12 */
static void test_2_7_8_2_used_length_of_a_failed_request(void **state)
{
	struct fixture *f = *state;
	uint32_t len;

	assert_int_equal(request(f, T_IN, SECTORS, 512, &len), ST_IOERR);
	assert_int_equal(len, 0); /* of the data nothing: the status comes after it */
	assert_int_equal(request(f, T_OUT, SECTORS, 512, &len), ST_IOERR);
	assert_int_equal(len, 1);
	assert_int_equal(request(f, 99, 0, 512, &len), ST_UNSUPP);
	assert_int_equal(len, 0);
	assert_int_equal(request(f, 99, 0, 0, &len), ST_UNSUPP);
	assert_int_equal(len, 1);
}

/* --- 2.7.4: framing --- */

/* 2.7.4.1: header, data and status in any descriptors that have the bytes in this order. */
/* rules: split-1 */
static void test_2_7_4_1_any_framing(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[64];
	size_t n = 0;

	/* the header by the byte, the data in odd pieces, the status with the last of them */
	set_header(f, T_IN, 5);
	*at(f, f->page + DATA + 1024) = ST_NONE;
	for (uint32_t i = 0; i < 16; i++)
		bufs[n++] = (struct buf){ f->page + i, 1, false };
	for (uint32_t i = 0; i < 1024;) {
		uint32_t len = 1024 - i < 37 ? 1024 - i : 37;

		bufs[n++] = (struct buf){ f->page + DATA + i, len + (i + len == 1024), true };
		i += len;
	}
	assert_int_equal(driver_do(&f->d, &f->ring, bufs, n), 1025);
	assert_int_equal(*at(f, f->page + DATA + 1024), ST_OK);
	for (size_t i = 0; i < 1024; i++)
		assert_int_equal(at(f, f->page + DATA)[i], 5 + i / 512);

	/* header and data of a write in one piece, and the status after an empty one */
	set_header(f, T_OUT, 6);
	memcpy(at(f, f->page + DATA), at(f, f->page), 16);
	memset(at(f, f->page + DATA + 16), 0x5a, 512);
	bufs[0] = (struct buf){ f->page + DATA, 528, false };
	bufs[1] = (struct buf){ f->page + DATA, 0, true };
	bufs[2] = (struct buf){ f->page + STATUS, 1, true };
	bufs[3] = (struct buf){ f->page + STATUS, 0, true };
	driver_do(&f->d, &f->ring, bufs, 4);
	assert_int_equal(*at(f, f->page + STATUS), ST_OK);
	assert_int_equal(image_sector(f, 6), 0x5a);
	assert_int_equal(image_sector(f, 7), 7);
}

static void test_as_many_segments_as_seg_max_says(void **state)
{
	struct fixture *f = *state;
	uint32_t n = (uint32_t)reg_read(&f->d, CAP_DEVICE, 12, 4);
	struct buf bufs[256] = { { f->page, 16, false } };

	assert_true(n + 2 <= 256);
	set_header(f, T_IN, 0);
	/* together 8 sectors, however many pieces */
	for (uint32_t i = 0; i < n; i++) {
		uint32_t from = 4096 * i / n, to = 4096 * (i + 1) / n;

		bufs[i + 1] = (struct buf){ f->page + DATA + 4096 - to, to - from, true };
	}
	bufs[n + 1] = (struct buf){ f->page + STATUS, 1, true };
	assert_int_equal(driver_do(&f->d, &f->ring, bufs, n + 2), 4097);
	assert_int_equal(*at(f, f->page + STATUS), ST_OK);
	assert_int_equal(at(f, f->page + DATA + 4095)[0],
			 0); /* the first piece is the last in memory */
	assert_int_equal(at(f, f->page + DATA)[0], 7);
}

/* 2.7.5.3: in an indirect table. */
static void test_2_7_5_3_an_indirect_request(void **state)
{
	struct fixture *f = *state;
	uint64_t table = ram_alloc(&f->d.ram, 48, 16);
	uint32_t len;

	set_header(f, T_IN, 9);
	ram_desc(&f->d.ram, table, 0, (struct desc){ f->page, 16, DESC_NEXT, 1 });
	ram_desc(&f->d.ram, table, 1,
		 (struct desc){ f->page + DATA, 512, DESC_NEXT | DESC_WRITE, 2 });
	ram_desc(&f->d.ram, table, 2, (struct desc){ f->page + STATUS, 1, DESC_WRITE, 0 });
	ring_desc(&f->ring, 0, (struct desc){ table, 48, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	driver_kick(&f->d, 0);
	driver_used(&f->d, &f->ring, &len);
	assert_int_equal(len, 513);
	assert_int_equal(*at(f, f->page + STATUS), ST_OK);
	assert_int_equal(at(f, f->page + DATA)[0], 9);
}

static void test_a_request_without_all_of_its_header_needs_a_reset(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[2] = { { f->page, 15, false }, { f->page + STATUS, 1, true } };

	set_header(f, T_FLUSH, 0);
	ring_add(&f->ring, bufs, 2);
	driver_kick(&f->d, 0);
	assert_true(needs_reset(f));
	assert_int_equal(*at(f, f->page + STATUS), ST_NONE);
	driver_start(&f->d, F_FLUSH, &f->ring, 256);
	assert_int_equal(simple(f, T_IN, 1, 512), ST_OK);
}

static void test_a_request_without_a_status_needs_a_reset(void **state)
{
	struct fixture *f = *state;

	set_header(f, T_FLUSH, 0);
	ring_add(&f->ring, &(struct buf){ f->page, 16, false }, 1);
	driver_kick(&f->d, 0);
	assert_true(needs_reset(f));
}

static void test_a_status_alone_needs_a_reset(void **state)
{
	struct fixture *f = *state;

	ring_add(&f->ring, &(struct buf){ f->page + STATUS, 1, true }, 1);
	driver_kick(&f->d, 0);
	assert_true(needs_reset(f));
}

/* --- many at once --- */

/* Requests complete when they are done, not in the order they came. */
static void test_2_6_requests_complete_out_of_order(void **state)
{
	struct fixture *f = *state;
	struct buf read[3] = { { f->page, 16, false },
			       { f->page + DATA, 512, true },
			       { f->page + STATUS, 1, true } };
	uint64_t header2 = ram_alloc(&f->d.ram, 16, 16), status2 = ram_alloc(&f->d.ram, 1, 1);
	struct buf id[3] = { { header2, 16, false },
			     { f->page + DATA + 4096, 20, true },
			     { status2, 1, true } };
	uint16_t first, second;
	uint32_t type = T_GET_ID, len;

	set_header(f, T_IN, 1);
	memcpy(at(f, header2), &type, 4);
	first = ring_add(&f->ring, read, 3);
	second = ring_add(&f->ring, id, 3);
	driver_kick(&f->d, 0);
	/* the id needs no I/O */
	assert_int_equal(driver_used(&f->d, &f->ring, &len), second);
	assert_int_equal(len, 21);
	assert_int_equal(driver_used(&f->d, &f->ring, &len), first);
	assert_int_equal(len, 513);
}

static void test_a_full_ring_of_requests(void **state)
{
	enum { N = 85 }; /* chains of 3 in 256 */
	struct fixture *f = *state;
	uint64_t headers = ram_alloc(&f->d.ram, 16 * N, 16), statuses = ram_alloc(&f->d.ram, N, 1);
	uint32_t len;

	for (uint32_t round = 0; round < 10; round++) {
		memset(at(f, f->page + DATA), 0xcc, N * 512);
		memset(at(f, statuses), ST_NONE, N);
		f->ring.next_desc = 0;
		for (uint32_t i = 0; i < N; i++) {
			uint64_t h[2] = { T_IN, (i + round) % SECTORS };
			struct buf bufs[3] = { { headers + 16 * i, 16, false },
					       { f->page + DATA + 512 * i, 512, true },
					       { statuses + i, 1, true } };

			memcpy(at(f, headers + 16 * i), h, 16);
			ring_add(&f->ring, bufs, 3);
		}
		driver_kick(&f->d, 0);
		for (uint32_t i = 0; i < N; i++) {
			uint32_t id = driver_used(&f->d, &f->ring, &len) / 3;

			assert_int_equal(len, 513);
			assert_int_equal(at(f, statuses)[id], ST_OK);
			assert_int_equal(at(f, f->page + DATA)[512 * id], (id + round) % SECTORS);
		}
	}
	assert_int_equal(f->vf->counters.value[COUNTER_requests], 10 * N);
	/* What ends together is one interrupt, also to a driver without EVENT_IDX. */
	assert_true(f->vf->counters.value[COUNTER_interrupts] < 10 * N / 2);
}

/* --- the image --- */

/* What the backend refuses, as a full file system does, is IOERR; the device goes on. */
static void test_5_2_6_an_error_of_the_backend_is_ioerr(void **state)
{
	struct fixture *f = *state;

	memset(at(f, f->page + DATA), 0xa5, 512);
	assert_int_equal(fcntl(f->vf->image, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(simple(f, T_OUT, 3, 512), ST_IOERR);
	assert_image_untouched(f);
	assert_int_equal(simple(f, T_IN, 3, 512), ST_OK);
	assert_int_equal(f->vf->counters.value[COUNTER_request_errors], 1);
	assert_false(needs_reset(f));
}

/* An image that somebody truncated is not made to grow again, and what is gone is IOERR. */
static void test_a_truncated_image_does_not_grow(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_int_equal(ftruncate(f->vf->image, 10 * 512), 0);
	assert_int_equal(simple(f, T_OUT, 10, 512), ST_IOERR);
	assert_int_equal(simple(f, T_OUT, 9, 1024), ST_IOERR);
	assert_int_equal(simple(f, T_OUT, SECTORS - 1, 512), ST_IOERR);
	assert_int_equal(simple(f, T_IN, 10, 512), ST_IOERR);
	assert_int_equal(fstat(f->vf->image, &st), 0);
	assert_int_equal(st.st_size, 10 * 512);
	assert_int_equal(simple(f, T_IN, 9, 512), ST_OK);
	assert_int_equal(simple(f, T_OUT, 9, 512), ST_OK);
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 0, 8), SECTORS);
}

/* A whole number of sectors counts; an image without one is none. */
static void test_5_2_4_capacity_of_odd_images(void **state)
{
	struct fixture *f = *state;
	struct device_params p = { .name = "x", .loop = f->m->loop, .uring = f->m->uring };
	struct counters counters;
	struct virtio_state *st = calloc(1, sizeof(*st));
	uint8_t *type_state = calloc(1, DEVICE_TYPE_STATE_LEN);
	struct virtio_device *dev;
	uint64_t capacity;

	assert_true(st && type_state);
	p.state = st;
	p.type_state = type_state;
	p.counters = &counters;
	p.backend = memfd_create("test:odd", MFD_CLOEXEC);
	assert_int_equal(ftruncate(p.backend, 511), 0);
	assert_int_equal(f->m->type->create(f->m->type, &p, &dev), -ENODATA);
	assert_int_equal(ftruncate(p.backend, 3 * 512 + 511), 0);
	assert_int_equal(f->m->type->create(f->m->type, &p, &dev), 0);
	virtio_device_config_read(dev, 0, &capacity, 8);
	assert_int_equal(capacity, 3);
	virtio_device_destroy(dev);
	free(type_state);
	free(st);
}

int main(void)
{
#define TEST(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_RO(name) cmocka_unit_test_setup_teardown(name, setup_ro, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_5_2_4_capacity_and_limits),
		TEST(test_5_2_6_read),
		TEST(test_5_2_6_write),
		TEST(test_5_2_6_flush),
		TEST(test_5_2_6_get_id),
		TEST(test_5_2_6_2_unknown_types_are_unsupported),
		TEST_RO(test_5_2_6_2_read_only),
		TEST(test_5_2_6_1_out_of_range),
		TEST(test_5_2_6_1_odd_lengths),
		TEST(test_2_7_8_2_used_length_of_a_failed_request),
		TEST(test_2_7_4_1_any_framing),
		TEST(test_as_many_segments_as_seg_max_says),
		TEST(test_2_7_5_3_an_indirect_request),
		TEST(test_a_request_without_all_of_its_header_needs_a_reset),
		TEST(test_a_request_without_a_status_needs_a_reset),
		TEST(test_a_status_alone_needs_a_reset),
		TEST(test_2_6_requests_complete_out_of_order),
		TEST(test_a_full_ring_of_requests),
		TEST(test_5_2_6_an_error_of_the_backend_is_ioerr),
		TEST(test_a_truncated_image_does_not_grow),
		TEST(test_5_2_4_capacity_of_odd_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
