/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio/queue.h: descriptor chains, good ones and every way to break one (virtio 1.3, 2.7.4-5). */
#include "test_virtq_fixture.h"

/* --- chains that are right --- */

/* 2.7.4.1: a device assumes nothing about how a buffer is split into descriptors. */
/* rules: split-1 */
static void test_2_7_4_1_any_arrangement_of_descriptors_is_the_same_bytes(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->ram, 64, 1);
	struct buf whole[] = { { at, 10, false }, { at + 10, 20, true } };
	struct buf split[] = { { at, 3, false },
			       { at + 3, 7, false },
			       { at + 10, 1, true },
			       { at + 11, 18, true },
			       { at + 29, 1, true } };
	char data[32] = { 0 };

	memcpy(ram_at(&f->ram, at), "0123456789", 10);
	ring_add(&f->ring, whole, 2);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_len, 10);
	assert_int_equal(f->chain.in_len, 20);
	assert_int_equal(virtq_copy_out(f->chain.segs, f->chain.nout, 0, data, 32), 10);
	assert_string_equal(data, "0123456789");
	release(f);
	push(f, f->chain.head, 0);

	ring_add(&f->ring, split, 5);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_len, 10);
	assert_int_equal(f->chain.in_len, 20);
	memset(data, 0, sizeof(data));
	assert_int_equal(virtq_copy_out(f->chain.segs, f->chain.nout, 0, data, 32), 10);
	assert_string_equal(data, "0123456789");
	/* from the middle, over a border */
	assert_int_equal(virtq_copy_out(f->chain.segs, f->chain.nout, 2, data, 3), 3);
	assert_memory_equal(data, "234", 3);
	assert_int_equal(virtq_copy_out(f->chain.segs, f->chain.nout, 10, data, 1), 0);
	assert_int_equal(virtq_copy_in(f->chain.segs + f->chain.nout, f->chain.nin, 0,
				       "abcdefghijklmnopqrstuvwxyz", 26),
			 20);
	assert_memory_equal(ram_at(&f->ram, at), "0123456789abcdefghijklmnopqrst", 31);
	release(f);
}

static void test_zero_length_descriptors_add_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->ram, 64, 1);
	struct buf bufs[] = {
		{ at, 0, false }, { at, 4, false }, { 0, 0, true }, { at, 4, true }, { at, 0, true }
	};

	ring_add(&f->ring, bufs, 5);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.nout, 1);
	assert_int_equal(f->chain.nin, 1);
	assert_int_equal(f->chain.out_len, 4);
	assert_int_equal(f->chain.in_len, 4);
	release(f);
}

static void test_a_chain_of_nothing_but_zero_length_is_an_empty_one(void **state)
{
	struct fixture *f = *state;

	ring_add(&f->ring, &(struct buf){ 0, 0, false }, 1);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.nout + f->chain.nin, 0);
	push(f, f->chain.head, 0);
}

static void test_a_buffer_over_several_maps_is_as_many_segments(void **state)
{
	struct fixture *f = *state;
	uint64_t page = RAM_AT + 0x10000;

	/* three pages in the opposite order in memory */
	iommu_unmap_all(f->space);
	assert_int_equal(iommu_map(f->space, RAM_AT, 0x10000, f->ram.fd, 0, RW), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(iommu_map(f->space, page + i * 4096, 4096, f->ram.fd,
					   0x20000 - i * 4096, RW),
				 0);
	memset(f->ram.base + 0x20000, 1, 4096);
	memset(f->ram.base + 0x1f000, 2, 4096);
	memset(f->ram.base + 0x1e000, 3, 4096);
	ring_add(&f->ring, &(struct buf){ page + 4095, 4098, true }, 1);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.nin, 3);
	assert_int_equal(f->chain.in_len, 4098);
	assert_int_equal(*(uint8_t *)f->chain.segs[0].base, 1);
	assert_int_equal(f->chain.segs[0].len, 1);
	assert_int_equal(*(uint8_t *)f->chain.segs[1].base, 2);
	assert_int_equal(f->chain.segs[1].len, 4096);
	assert_int_equal(*(uint8_t *)f->chain.segs[2].base, 3);
	release(f);
}

/* 2.7.5: descriptors may be linked in any order of the table, up to all of it. */
static void test_2_7_5_a_chain_as_long_as_the_table_in_any_order(void **state)
{
	static const uint16_t order[] = { 5, 2, 7, 0, 3, 6, 1, 4 };
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->ram, 8, 1);
	char data[9] = { 0 };

	memcpy(ram_at(&f->ram, at), "abcdefgh", 8);
	for (unsigned int i = 0; i < 8; i++)
		ring_desc(&f->ring, order[i],
			  (struct desc){ at + i, 1, i < 7 ? DESC_NEXT : 0,
					 i < 7 ? order[i + 1] : 0 });
	ring_avail(&f->ring, order[0]);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, 5);
	assert_int_equal(virtq_copy_out(f->chain.segs, f->chain.nout, 0, data, 8), 8);
	assert_string_equal(data, "abcdefgh");
	release(f);
}

/* What the driver changes in a descriptor after the device took it changes nothing. */
static void test_a_chain_is_a_copy_of_its_descriptors(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->ram, 64, 1);

	ring_add(&f->ring, &(struct buf){ at, 4, true }, 1);
	assert_int_equal(pop(f), 1);
	ring_desc(&f->ring, 0, (struct desc){ at, 0xffffffff, DESC_WRITE, 0 });
	assert_int_equal(f->chain.in_len, 4);
	assert_int_equal(f->chain.segs[0].len, 4);
	release(f);
}

/* --- chains that are wrong --- */

/* 2.7.4.2: device-writable descriptors come after all device-readable ones. */
/* rules: split-15 */
static void test_2_7_4_2_readable_after_writable_is_refused(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[] = { { RAM_AT, 4, false }, { RAM_AT, 4, true }, { RAM_AT, 4, false } };

	ring_add(&f->ring, bufs, 3);
	assert_broken(f, -EPROTO, "readable descriptor follows");
}

/* rules: split-15 */
static void test_a_chain_that_loops_is_refused(void **state)
{
	struct fixture *f = *state;

	ring_desc(&f->ring, 0, (struct desc){ RAM_AT, 4, DESC_NEXT, 1 });
	ring_desc(&f->ring, 1, (struct desc){ RAM_AT, 4, DESC_NEXT, 0 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EPROTO, "loops");
}

static void test_a_descriptor_that_is_its_own_next_is_refused(void **state)
{
	struct fixture *f = *state;

	/* of zero length: not even memory would run out */
	ring_desc(&f->ring, 3, (struct desc){ RAM_AT, 0, DESC_NEXT, 3 });
	ring_avail(&f->ring, 3);
	assert_broken(f, -EPROTO, "loops");
}

/* rules: split-15 */
static void test_a_next_outside_the_table_is_refused(void **state)
{
	struct fixture *f = *state;

	ring_desc(&f->ring, 0, (struct desc){ RAM_AT, 4, DESC_NEXT, 8 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EPROTO, "next is outside");
}

static void test_a_next_without_its_flag_is_no_next(void **state)
{
	struct fixture *f = *state;

	ring_desc(&f->ring, 0, (struct desc){ RAM_AT, 4, 0, 0xffff });
	ring_avail(&f->ring, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_len, 4);
	release(f);
}

/* rules: split-15 */
static void test_memory_that_is_not_there_is_a_fault(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[] = { { RAM_AT, 4, false }, { RAM_AT + RAM_SIZE - 4, 8, false } };

	ring_add(&f->ring, bufs, 2);
	assert_broken(f, -EFAULT, "not mapped for DMA");
}

static void test_a_length_that_wraps_the_address_space_is_a_fault(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iommu_map(f->space, -4096ull, 4096, f->ram.fd, 0, RW), 0);
	assert_int_equal(iommu_map(f->space, 0, 4096, f->ram.fd, 0, RW), 0);
	ring_add(&f->ring, &(struct buf){ -2ull, 4, false }, 1);
	assert_broken(f, -EFAULT, "not mapped for DMA");
}

static void test_memory_that_may_not_be_written_is_a_fault(void **state)
{
	struct fixture *f = *state;
	uint64_t at = RAM_AT + RAM_SIZE;

	assert_int_equal(iommu_map(f->space, at, 4096, f->ram.fd, 0, PROT_READ), 0);
	ring_add(&f->ring, &(struct buf){ at, 4, false }, 1);
	assert_int_equal(pop(f), 1);
	release(f);
	push(f, f->chain.head, 0);
	ring_add(&f->ring, &(struct buf){ at, 4, true }, 1);
	assert_broken(f, -EFAULT, "direction");
}

/* --- indirect (2.7.5.3) --- */

static uint64_t table(struct fixture *f, const struct buf *bufs, uint16_t n)
{
	uint64_t at = ram_alloc(&f->ram, 16u * n, 16);

	for (uint16_t i = 0; i < n; i++)
		ram_desc(&f->ram, at, i,
			 (struct desc){ bufs[i].addr, bufs[i].len,
					(uint16_t)((bufs[i].in ? DESC_WRITE : 0) |
						   (i + 1 < n ? DESC_NEXT : 0)),
					(uint16_t)(i + 1) });
	return at;
}

static void test_2_7_5_3_an_indirect_table_is_a_chain(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[20];
	uint64_t at;

	for (unsigned int i = 0; i < 20; i++)
		bufs[i] = (struct buf){ RAM_AT + i, 1, i >= 12 };
	at = table(f, bufs, 20); /* longer than the ring */
	f->vq.indirect = true;
	ring_desc(&f->ring, 0, (struct desc){ at, 20 * 16, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_len, 12);
	assert_int_equal(f->chain.in_len, 8);
	release(f);
}

/* 2.7.5.3.2: the write-only flag of the descriptor that refers to the table is ignored. */
/* rules: split-4 */
static void test_2_7_5_3_2_the_write_flag_of_the_table_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[] = { { RAM_AT, 4, false }, { RAM_AT, 2, true } };

	f->vq.indirect = true;
	ring_desc(&f->ring, 0,
		  (struct desc){ table(f, bufs, 2), 32, DESC_INDIRECT | DESC_WRITE, 0 });
	ring_avail(&f->ring, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_len, 4);
	assert_int_equal(f->chain.in_len, 2);
	release(f);
}

/* 2.7.5.3.2: zero or more normal descriptors may come before the one with the table. */
/* rules: split-5 */
static void test_2_7_5_3_2_normal_descriptors_and_then_a_table(void **state)
{
	struct fixture *f = *state;
	struct buf bufs[] = { { RAM_AT, 4, false }, { RAM_AT, 2, true } };

	f->vq.indirect = true;
	ring_desc(&f->ring, 0, (struct desc){ RAM_AT, 16, DESC_NEXT, 1 });
	ring_desc(&f->ring, 1, (struct desc){ RAM_AT, 8, DESC_NEXT, 2 });
	ring_desc(&f->ring, 2, (struct desc){ table(f, bufs, 2), 32, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_len, 28);
	assert_int_equal(f->chain.in_len, 2);
	release(f);
}

/* 2.7.5.3.1: not without VIRTIO_F_INDIRECT_DESC. */
static void test_2_7_5_3_1_an_indirect_table_that_was_not_negotiated_is_refused(void **state)
{
	struct fixture *f = *state;
	struct buf buf = { RAM_AT, 4, false };

	ring_desc(&f->ring, 0, (struct desc){ table(f, &buf, 1), 16, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EPROTO, "not negotiated");
}

/* 2.7.5.3.1: no table inside a table. */
/* rules: split-15 */
static void test_2_7_5_3_1_a_table_in_a_table_is_refused(void **state)
{
	struct fixture *f = *state;
	struct buf buf = { RAM_AT, 4, false };
	uint64_t inner = table(f, &buf, 1), outer = ram_alloc(&f->ram, 32, 16);

	f->vq.indirect = true;
	ram_desc(&f->ram, outer, 0, (struct desc){ RAM_AT, 4, DESC_NEXT, 1 });
	ram_desc(&f->ram, outer, 1, (struct desc){ inner, 16, DESC_INDIRECT, 0 });
	ring_desc(&f->ring, 0, (struct desc){ outer, 32, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EPROTO, "in an indirect table");
}

/* 2.7.5.3.1: not both INDIRECT and NEXT. */
static void test_2_7_5_3_1_a_table_with_a_next_descriptor_is_refused(void **state)
{
	struct fixture *f = *state;
	struct buf buf = { RAM_AT, 4, false };

	f->vq.indirect = true;
	ring_desc(&f->ring, 0,
		  (struct desc){ table(f, &buf, 1), 16, DESC_INDIRECT | DESC_NEXT, 1 });
	ring_desc(&f->ring, 1, (struct desc){ RAM_AT, 4, 0, 0 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EPROTO, "with a next one");
}

static void bad_table(struct fixture *f, uint32_t len, const char *what)
{
	f->vq.indirect = true;
	ring_desc(&f->ring, 0,
		  (struct desc){ ram_alloc(&f->ram, 0x20000, 16), len, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EPROTO, what);
}

static void test_an_indirect_table_of_length_zero_is_refused(void **state)
{
	bad_table(*state, 0, "bad length");
}

static void test_an_indirect_table_of_half_a_descriptor_is_refused(void **state)
{
	bad_table(*state, 24, "bad length");
}

static void test_an_indirect_table_that_is_too_long_is_refused(void **state)
{
	bad_table(*state, (VIRTQ_SIZE_MAX + 1) * 16, "bad length");
}

static void test_an_indirect_table_that_loops_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->ram, 32, 16);

	f->vq.indirect = true;
	ram_desc(&f->ram, at, 0, (struct desc){ RAM_AT, 4, DESC_NEXT, 1 });
	ram_desc(&f->ram, at, 1, (struct desc){ RAM_AT, 4, DESC_NEXT, 1 });
	ring_desc(&f->ring, 0, (struct desc){ at, 32, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EPROTO, "loops");
}

/* next counts inside the table, whatever the ring's size. */
static void test_a_next_outside_the_indirect_table_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->ram, 32, 16);

	f->vq.indirect = true;
	ram_desc(&f->ram, at, 0, (struct desc){ RAM_AT, 4, DESC_NEXT, 2 });
	ring_desc(&f->ring, 0, (struct desc){ at, 32, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EPROTO, "next is outside");
}

static void test_an_indirect_table_that_is_not_mapped_is_a_fault(void **state)
{
	struct fixture *f = *state;

	f->vq.indirect = true;
	ring_desc(&f->ring, 0, (struct desc){ RAM_AT + RAM_SIZE - 16, 32, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_broken(f, -EFAULT, "not mapped for DMA");
}

static void test_an_indirect_table_over_two_maps_is_read(void **state)
{
	struct fixture *f = *state;
	uint64_t at = RAM_AT + RAM_SIZE; /* two pages more, not adjacent in memory */
	struct desc d[2] = { { RAM_AT, 4, DESC_NEXT, 1 }, { RAM_AT, 8, DESC_WRITE, 0 } };

	f->vq.indirect = true;
	assert_int_equal(iommu_map(f->space, at, 4096, f->ram.fd, 0x40000, RW), 0);
	assert_int_equal(iommu_map(f->space, at + 4096, 4096, f->ram.fd, 0x80000, RW), 0);
	memcpy(f->ram.base + 0x41000 - 24, d, 24);
	memcpy(f->ram.base + 0x80000, (uint8_t *)d + 24, 8);
	ring_desc(&f->ring, 0, (struct desc){ at + 4096 - 24, 32, DESC_INDIRECT, 0 });
	ring_avail(&f->ring, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.out_len, 4);
	assert_int_equal(f->chain.in_len, 8);
	release(f);
}

/* A chain is pinned in pieces; one that needs more than there is room for is refused. */
static void test_a_chain_in_too_many_pieces_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t at = RAM_AT + RAM_SIZE;
	struct buf bufs[8];

	for (uint64_t i = 0; i < 400; i++)
		assert_int_equal(iommu_map(f->space, at + i * 4096, 4096, f->ram.fd, 0, RW), 0);
	for (size_t i = 0; i < 8; i++)
		bufs[i] = (struct buf){ at, 400 * 4096, true };
	ring_add(&f->ring, bufs, 8);
	assert_broken(f, -EPROTO, "too many pieces");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_2_7_4_1_any_arrangement_of_descriptors_is_the_same_bytes),
		TEST(test_zero_length_descriptors_add_nothing),
		TEST(test_a_chain_of_nothing_but_zero_length_is_an_empty_one),
		TEST(test_a_buffer_over_several_maps_is_as_many_segments),
		TEST(test_2_7_5_a_chain_as_long_as_the_table_in_any_order),
		TEST(test_a_chain_is_a_copy_of_its_descriptors),
		TEST(test_2_7_4_2_readable_after_writable_is_refused),
		TEST(test_a_chain_that_loops_is_refused),
		TEST(test_a_descriptor_that_is_its_own_next_is_refused),
		TEST(test_a_next_outside_the_table_is_refused),
		TEST(test_a_next_without_its_flag_is_no_next),
		TEST(test_memory_that_is_not_there_is_a_fault),
		TEST(test_a_length_that_wraps_the_address_space_is_a_fault),
		TEST(test_memory_that_may_not_be_written_is_a_fault),
		TEST(test_2_7_5_3_an_indirect_table_is_a_chain),
		TEST(test_2_7_5_3_2_the_write_flag_of_the_table_is_ignored),
		TEST(test_2_7_5_3_2_normal_descriptors_and_then_a_table),
		TEST(test_2_7_5_3_1_an_indirect_table_that_was_not_negotiated_is_refused),
		TEST(test_2_7_5_3_1_a_table_in_a_table_is_refused),
		TEST(test_2_7_5_3_1_a_table_with_a_next_descriptor_is_refused),
		TEST(test_an_indirect_table_of_length_zero_is_refused),
		TEST(test_an_indirect_table_of_half_a_descriptor_is_refused),
		TEST(test_an_indirect_table_that_is_too_long_is_refused),
		TEST(test_an_indirect_table_that_loops_is_refused),
		TEST(test_a_next_outside_the_indirect_table_is_refused),
		TEST(test_an_indirect_table_that_is_not_mapped_is_a_fault),
		TEST(test_an_indirect_table_over_two_maps_is_read),
		TEST(test_a_chain_in_too_many_pieces_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
