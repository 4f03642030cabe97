/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio/queue.h: packed rings, what is available and what is used (virtio 1.3, 2.8). */
#include "test_packed_fixture.h"

static const uint16_t sizes[] = { 1, 2, 3, 5, 7, 8, 100, 1000 };

/* --- availability --- */

/* 2.8.1: through several turns, with sizes that are no powers of two (2.8.10.1). */
/* rules: packed-3 */
static void test_2_8_1_availability_follows_the_wrap_counter(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc used;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		packed_start(p, sizes[i]);
		for (uint32_t n = 0; n < 5u * sizes[i] + 3; n++) {
			uint16_t id = (uint16_t)(n * 7 % sizes[i]);

			assert_int_equal(pop(p->f), 0);
			packed_add(&p->ring, id, &IN(n + 1), 1);
			assert_int_equal(pop(p->f), 1);
			assert_int_equal(p->f->chain.head, id);
			assert_int_equal(p->f->chain.in_len, n + 1);
			release(p->f);
			/* taken once */
			assert_int_equal(pop(p->f), 0);
			assert_false(packed_used(&p->ring, &used));
			push(p->f, id, n);
			assert_true(packed_used(&p->ring, &used));
			assert_int_equal(used.id, id);
			assert_int_equal(used.len, n);
			assert_false(packed_used(&p->ring, &used));
		}
	}
}

/* 2.8.1: available is AVAIL as the wrap counter and USED as its inverse, and nothing else. */
/* rules: packed-3 */
static void test_2_8_1_which_flags_are_available(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc d = { .addr = RAM_AT, .len = 1 };

	packed_start(p, 1);
	for (int turn = 0; turn < 4; turn++) {
		uint16_t yes = turn % 2 ? PACKED_USED : PACKED_AVAIL;
		uint16_t no = turn % 2 ? PACKED_AVAIL : PACKED_USED;

		d.flags = 0;
		packed_set(&p->ring, 0, d);
		assert_int_equal(pop(p->f), 0);
		d.flags = PACKED_AVAIL | PACKED_USED;
		packed_set(&p->ring, 0, d);
		assert_int_equal(pop(p->f), 0);
		d.flags = no;
		packed_set(&p->ring, 0, d);
		assert_int_equal(pop(p->f), 0);
		d.flags = yes;
		packed_set(&p->ring, 0, d);
		assert_int_equal(pop(p->f), 1);
		release(p->f);
		push(p->f, 0, 0);
	}
}

/* rules: packed-1 */
static void test_2_8_1_a_full_ring_is_taken_once(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc used;

	packed_start(p, 5);
	for (int turn = 0; turn < 3; turn++) {
		for (uint16_t i = 0; i < 5; i++)
			packed_add(&p->ring, i, &IN(1), 1);
		for (uint16_t i = 0; i < 5; i++) {
			assert_int_equal(pop(p->f), 1);
			assert_int_equal(p->f->chain.head, i);
			release(p->f);
		}
		assert_int_equal(pop(p->f), 0);
		for (uint16_t i = 0; i < 5; i++)
			push(p->f, i, 0);
		assert_int_equal(pop(p->f), 0);
		for (uint16_t i = 0; i < 5; i++)
			assert_true(packed_used(&p->ring, &used));
		assert_false(packed_used(&p->ring, &used));
	}
}

/* --- lists --- */

/* 2.8.6: the id is the last one's; one used descriptor stands for the list; both skip it. */
/* rules: packed-5 */
static void test_2_8_6_lists_of_every_length_through_the_wrap(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc used;

	for (size_t i = 0; sizes[i] <= 8; i++) {
		packed_start(p, sizes[i]);
		for (uint32_t n = 0; n < 300; n++) {
			struct buf bufs[8] = { 0 };
			uint16_t len = (uint16_t)(1 + n % sizes[i]), id = (uint16_t)(n % sizes[i]);
			uint64_t out = 0, in = 0;

			for (uint16_t b = 0; b < len; b++) {
				bufs[b] = (struct buf){ RAM_AT, b + 1u, b >= len / 2 };
				*(bufs[b].in ? &in : &out) += b + 1u;
			}
			packed_add(&p->ring, id, bufs, len);
			assert_int_equal(pop(p->f), 1);
			assert_int_equal(p->f->chain.head, id);
			assert_int_equal(p->f->chain.ndescs, len);
			assert_int_equal(p->f->chain.out_len, out);
			assert_int_equal(p->f->chain.in_len, in);
			assert_int_equal(p->f->chain.nout, len / 2);
			assert_int_equal(p->f->chain.nin, len - len / 2);
			release(p->f);
			push(p->f, id, n);
			assert_true(packed_used(&p->ring, &used));
			assert_int_equal(used.id, id);
			assert_int_equal(used.len, n);
		}
	}
}

/* 2.8.6: nothing is there before the first one is available, whatever the rest says. */
static void test_2_8_6_a_list_is_there_with_its_first_descriptor(void **state)
{
	struct packed_fixture *p = *state;
	struct buf bufs[] = { { RAM_AT, 1, false }, { RAM_AT, 2, false }, { RAM_AT, 3, true } };
	uint16_t at, flags;

	packed_start(p, 4);
	at = packed_prepare(&p->ring, 2, bufs, 3, &flags);
	assert_int_equal(pop(p->f), 0);
	packed_set_flags(&p->ring, at, flags);
	assert_int_equal(pop(p->f), 1);
	assert_int_equal(p->f->chain.out_len, 3);
	release(p->f);
}

static void test_2_8_6_a_list_as_long_as_the_queue(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc used;
	struct buf bufs[5];

	packed_start(p, 5);
	for (int i = 0; i < 5; i++)
		bufs[i] = OUT(1);
	for (int turn = 0; turn < 4; turn++) {
		packed_add(&p->ring, 4, bufs, 5);
		assert_int_equal(pop(p->f), 1);
		assert_int_equal(p->f->chain.ndescs, 5);
		release(p->f);
		assert_int_equal(pop(p->f), 0);
		push(p->f, 4, 0);
		assert_true(packed_used(&p->ring, &used));
		assert_int_equal(used.id, 4);
		assert_false(packed_used(&p->ring, &used));
		/* and one that does not begin at the start */
		packed_add(&p->ring, 0, bufs, 1);
		assert_int_equal(pop(p->f), 1);
		release(p->f);
		push(p->f, 0, 0);
		assert_true(packed_used(&p->ring, &used));
	}
}

/* 2.8.17: a driver must not make a list longer than the queue; it would be a loop. */
/* rules: packed-7 */
static void test_2_8_17_a_list_longer_than_the_queue_is_refused(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 4);
	for (uint16_t i = 0; i < 4; i++)
		packed_set(&p->ring, i,
			   (struct packed_desc){ RAM_AT, 1, i, PACKED_AVAIL | DESC_NEXT });
	assert_broken(p->f, -EPROTO, "longer than the queue");
}

/* 2.8.17: writable elements come after readable ones. */
static void test_2_8_17_readable_behind_writable_is_refused(void **state)
{
	struct packed_fixture *p = *state;
	struct buf bufs[] = { IN(1), OUT(1) };

	packed_start(p, 4);
	packed_add(&p->ring, 0, bufs, 2);
	assert_broken(p->f, -EPROTO, "follows a device-writable one");
}

/* --- indirect tables --- */

/* 2.8.7: in a table WRITE is all that counts; in the descriptor that refers to it, it doesn't. */
static void test_2_8_7_an_indirect_table(void **state)
{
	struct packed_fixture *p = *state;
	struct buf bufs[] = { { RAM_AT, 1, false }, { RAM_AT, 2, false }, { RAM_AT, 4, true } };
	struct packed_desc used, d;
	uint8_t *table;

	packed_start(p, 3);
	p->f->vq.indirect = true;
	for (int i = 0; i < 7; i++) {
		packed_add_indirect(&p->ring, 1, bufs, 3);
		d = packed_get(&p->ring, (uint16_t)(i % 3));
		d.flags |= DESC_WRITE;
		packed_set(&p->ring, (uint16_t)(i % 3), d);
		/* flags and ids that mean nothing */
		table = ram_at(&p->f->ram, d.addr);
		table[12] = 0xff;
		table[13] = 0xff;
		table[14] |= DESC_NEXT | DESC_INDIRECT;
		table[15] |= 0x80;
		assert_int_equal(pop(p->f), 1);
		assert_int_equal(p->f->chain.head, 1);
		assert_int_equal(p->f->chain.ndescs, 1);
		assert_int_equal(p->f->chain.out_len, 3);
		assert_int_equal(p->f->chain.in_len, 4);
		release(p->f);
		push(p->f, 1, 4);
		assert_true(packed_used(&p->ring, &used));
		assert_int_equal(used.id, 1);
	}
}

/* 2.8.5: lists and tables may be mixed in a ring. */
static void test_2_8_5_lists_and_tables_in_one_ring(void **state)
{
	struct packed_fixture *p = *state;
	struct buf bufs[] = { OUT(1), OUT(2), IN(4) };
	struct packed_desc used;

	packed_start(p, 5);
	p->f->vq.indirect = true;
	for (uint16_t i = 0; i < 40; i++) {
		if (i % 2)
			packed_add_indirect(&p->ring, i % 5, bufs, 3);
		else
			packed_add(&p->ring, i % 5, bufs, 3);
		assert_int_equal(pop(p->f), 1);
		assert_int_equal(p->f->chain.head, i % 5);
		assert_int_equal(p->f->chain.ndescs, i % 2 ? 1 : 3);
		assert_int_equal(p->f->chain.out_len, 3);
		release(p->f);
		push(p->f, i % 5, 0);
		assert_true(packed_used(&p->ring, &used));
	}
}

static void test_2_8_19_indirect_needs_its_feature(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 4);
	packed_add_indirect(&p->ring, 0, &OUT(1), 1);
	assert_broken(p->f, -EPROTO, "not negotiated");
}

/* 2.8.19: no INDIRECT in a list linked by NEXT, at its head or later. */
/* rules: packed-7 */
static void test_2_8_19_an_indirect_descriptor_in_a_list_is_refused(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc d = { RAM_AT, 16, 0, PACKED_AVAIL | DESC_INDIRECT | DESC_NEXT };

	packed_start(p, 4);
	p->f->vq.indirect = true;
	packed_set(&p->ring, 1, (struct packed_desc){ RAM_AT, 16, 0, PACKED_AVAIL });
	packed_set(&p->ring, 0, d);
	assert_broken(p->f, -EPROTO, "in a list");
	map_ram(p->f);
	d.flags = PACKED_AVAIL | DESC_INDIRECT;
	packed_set(&p->ring, 1, d);
	d.flags = PACKED_AVAIL | DESC_NEXT;
	packed_set(&p->ring, 0, d);
	assert_broken(p->f, -EPROTO, "in a list");
}

static void test_2_8_7_tables_of_bad_length(void **state)
{
	static const uint32_t bad[] = { 0, 8, 15, 17, 16 * 1024 + 16, 0xfffffff0 };
	struct packed_fixture *p = *state;

	packed_start(p, 4);
	p->f->vq.indirect = true;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		packed_set(&p->ring, 0,
			   (struct packed_desc){ RAM_AT, bad[i], 0, PACKED_AVAIL | DESC_INDIRECT });
		assert_broken(p->f, -EPROTO, "bad length");
		map_ram(p->f);
	}
}

/* --- buffer ids --- */

/* 2.8: used descriptors come in the order of completion, each at the place where one is due. */
/* rules: packed-2 */
static void test_2_8_ids_come_back_in_any_order(void **state)
{
	static const uint16_t order[4][4] = {
		{ 3, 2, 1, 0 }, { 1, 3, 0, 2 }, { 0, 1, 2, 3 }, { 2, 0, 3, 1 }
	};
	struct packed_fixture *p = *state;
	struct buf bufs[3] = { OUT(1), OUT(1), IN(9) };
	struct packed_desc used;

	packed_start(p, 11);
	for (int turn = 0; turn < 20; turn++) {
		for (uint16_t id = 0; id < 4; id++) {
			/* 1 to 3 descriptors each: 8 of 11 places */
			packed_add(&p->ring, id, bufs + (id + 1) % 3, 3u - (id + 1) % 3);
			assert_int_equal(pop(p->f), 1);
			release(p->f);
		}
		for (int i = 0; i < 4; i++) {
			uint16_t id = order[turn % 4][i];

			push(p->f, id, id + 1u);
			assert_true(packed_used(&p->ring, &used));
			assert_int_equal(used.id, id);
			assert_int_equal(used.len, id + 1);
			assert_false(packed_used(&p->ring, &used));
		}
	}
	assert_int_equal(p->f->vq.in_flight, 0);
}

static void test_an_id_that_is_not_below_the_size_is_refused(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	packed_add(&p->ring, 5, &OUT(1), 1);
	assert_broken(p->f, -EPROTO, "not below the queue's size");
	map_ram(p->f);
	packed_start(p, 5);
	packed_add(&p->ring, 0xffff, &OUT(1), 1);
	assert_broken(p->f, -EPROTO, "not below the queue's size");
}

static void test_an_id_that_the_device_has_is_refused(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	packed_add(&p->ring, 3, &OUT(1), 1);
	assert_int_equal(pop(p->f), 1);
	release(p->f);
	packed_add(&p->ring, 3, &OUT(1), 1);
	assert_int_equal(pop(p->f), -EPROTO);
	assert_non_null(strstr(p->f->why, "while the device has it"));
	push(p->f, 3, 0);
	assert_int_equal(pop(p->f), 1);
	release(p->f);
}

/* --- used descriptors --- */

/* 2.8.3, 2.8.4: WRITE says that something was written, and then len how much. */
static void test_2_8_3_flags_of_a_used_descriptor(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc d;

	packed_start(p, 3);
	for (uint16_t i = 0; i < 12; i++) {
		uint16_t wrap = i / 3 % 2 ? 0 : PACKED_AVAIL | PACKED_USED;
		uint32_t len = i % 4 == 3 ? 0xffffffff : i % 4;

		packed_add(&p->ring, i % 3, &IN(100), 1);
		assert_int_equal(pop(p->f), 1);
		release(p->f);
		push(p->f, i % 3, len);
		d = packed_get(&p->ring, i % 3);
		assert_int_equal(d.flags & (PACKED_AVAIL | PACKED_USED), wrap);
		assert_int_equal(!!(d.flags & DESC_WRITE), len > 0);
		assert_int_equal(d.len, len);
		assert_int_equal(d.id, i % 3);
	}
}

/* 2.8.9: the first of those that belong together is marked used last. */
/* rules: net-rx-4 */
static void test_2_8_9_several_buffers_are_seen_together(void **state)
{
	struct packed_fixture *p = *state;
	struct buf bufs[2] = { OUT(1), IN(8) };
	struct packed_desc used;

	packed_start(p, 7);
	for (int turn = 0; turn < 20; turn++) {
		for (uint16_t id = 0; id < 3; id++) {
			packed_add(&p->ring, id, bufs, id % 2 + 1u);
			assert_int_equal(pop(p->f), 1);
			release(p->f);
		}
		for (uint16_t id = 0; id < 3; id++) {
			assert_int_equal(virtq_add_used(&p->f->vq, p->f->space, id, id), 0);
			assert_false(packed_used(&p->ring, &used));
			assert_false(virtq_interrupt_due(&p->f->vq, p->f->space));
		}
		assert_int_equal(virtq_publish_used(&p->f->vq, p->f->space), 0);
		for (uint16_t id = 0; id < 3; id++) {
			assert_true(packed_used(&p->ring, &used));
			assert_int_equal(used.id, id);
			assert_int_equal(used.len, id);
		}
		assert_true(virtq_interrupt_due(&p->f->vq, p->f->space));
		assert_int_equal(virtq_publish_used(&p->f->vq, p->f->space), 0);
		assert_false(virtq_interrupt_due(&p->f->vq, p->f->space));
	}
}

/* 2.8.5.1: a descriptor that was written as used is left alone. */
/* rules: packed-4 */
static void test_2_8_5_1_used_descriptors_stay(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc before[8];
	struct buf bufs[2] = { OUT(1), IN(8) };

	packed_start(p, 8);
	for (int turn = 0; turn < 5; turn++) {
		uint16_t first = p->ring.used_next;

		for (uint16_t id = 0; id < 4; id++) {
			packed_add(&p->ring, id, bufs, 2);
			assert_int_equal(pop(p->f), 1);
			release(p->f);
		}
		for (uint16_t n = 0; n < 4; n++) {
			push(p->f, (uint16_t)((n + 2) % 4), n);
			for (uint16_t i = 0; i < n; i++) {
				struct packed_desc now =
					packed_get(&p->ring, (uint16_t)((first + 2 * i) % 8));

				assert_memory_equal(&now, &before[i], sizeof(now));
			}
			before[n] = packed_get(&p->ring, (uint16_t)((first + 2 * n) % 8));
		}
		for (uint16_t n = 0; n < 4; n++) {
			struct packed_desc used;

			assert_true(packed_used(&p->ring, &used));
			assert_int_equal(used.id, (n + 2) % 4);
		}
	}
}

/* --- giving back --- */

static void test_unpop_across_the_wrap(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc used;
	struct buf bufs[5];

	for (int i = 0; i < 5; i++)
		bufs[i] = OUT((uint32_t)i + 1);
	for (uint16_t n = 1; n <= 5; n++) {
		packed_start(p, 5);
		for (int i = 0; i < 33; i++) {
			packed_add(&p->ring, 2, bufs, n);
			for (int again = 0; again < 3; again++) {
				assert_int_equal(pop(p->f), 1);
				assert_int_equal(p->f->chain.head, 2);
				assert_int_equal(p->f->chain.ndescs, n);
				assert_int_equal(p->f->chain.out_len, n * (n + 1) / 2);
				release(p->f);
				if (again < 2)
					virtq_unpop(&p->f->vq, &p->f->chain);
			}
			push(p->f, 2, 0);
			assert_true(packed_used(&p->ring, &used));
		}
		assert_int_equal(p->f->vq.in_flight, 0);
	}
}

/* Several at once, last first, over the end of the ring. */
static void test_unpop_of_several(void **state)
{
	struct packed_fixture *p = *state;
	struct packed_desc used;

	packed_start(p, 5);
	for (int turn = 0; turn < 12; turn++) {
		struct virtq_chain *taken[4];

		for (uint16_t id = 0; id < 4; id++)
			packed_add(&p->ring, id, &IN(id + 1u), 1);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(pop(p->f), 1);
			release(p->f);
			taken[i] = malloc(sizeof(*taken[i]));
			memcpy(taken[i], &p->f->chain, sizeof(*taken[i]));
		}
		for (int i = 4; i-- > 1;) {
			virtq_unpop(&p->f->vq, taken[i]);
			free(taken[i]);
		}
		push(p->f, 0, 0);
		for (uint16_t id = 1; id < 4; id++) {
			assert_int_equal(pop(p->f), 1);
			assert_int_equal(p->f->chain.head, id);
			assert_int_equal(p->f->chain.in_len, id + 1);
			release(p->f);
			push(p->f, id, 0);
		}
		for (uint16_t id = 0; id < 4; id++) {
			assert_true(packed_used(&p->ring, &used));
			assert_int_equal(used.id, id);
		}
		free(taken[0]);
	}
}

/* --- memory --- */

/* 2.8.10.1: alignments of 16, 4 and 4. */
static void test_2_8_10_1_addresses_have_alignments(void **state)
{
	struct packed_fixture *p = *state;
	struct virtq_state *st = &p->f->state;

	virtq_reset(&p->f->vq);
	p->f->vq.packed = true;
	st->desc = 8;
	assert_int_equal(virtq_enable(&p->f->vq), -EINVAL);
	st->desc = 16;
	st->driver = 2;
	assert_int_equal(virtq_enable(&p->f->vq), -EINVAL);
	st->driver = 4;
	st->device = 2;
	assert_int_equal(virtq_enable(&p->f->vq), -EINVAL);
	assert_int_equal(st->enabled, 0);
	st->device = 4;
	assert_int_equal(virtq_enable(&p->f->vq), 0);
}

static void test_a_ring_that_is_not_mapped_is_a_fault(void **state)
{
	struct packed_fixture *p = *state;

	packed_start(p, 5);
	p->f->state.desc = RAM_AT + RAM_SIZE;
	assert_int_equal(pop(p->f), -EFAULT);
	assert_non_null(strstr(p->f->why, "not mapped for DMA"));
	p->f->state.desc = p->ring.desc;
	packed_add(&p->ring, 0, &OUT(1), 1);
	assert_int_equal(pop(p->f), 1);
	release(p->f);
	p->f->state.desc = RAM_AT + RAM_SIZE;
	assert_int_equal(virtq_push(&p->f->vq, p->f->space, 0, 0), -EFAULT);
	/* a buffer that is not there leaves nothing pinned */
	p->f->state.desc = p->ring.desc;
	packed_start(p, 5);
	packed_add(&p->ring, 1, (struct buf[]){ OUT(1), { RAM_AT + RAM_SIZE, 1, true } }, 2);
	assert_broken(p->f, -EFAULT, "not mapped for DMA");
}

/* Neighbours for the device, and far from each other in memory: there is no window then. */
static void test_a_ring_over_several_maps(void **state)
{
	struct packed_fixture *p = packed_fixture_new();
	struct fixture *f = p->f;
	struct ram shadow = { .fd = -1, .iova = RAM_AT, .size = RAM_SIZE };
	struct buf bufs[] = { { RAM_AT + 7 * 4096, 3, false }, { RAM_AT, 5, true } };
	struct packed_desc used;

	*state = p;
	shadow.base = mmap(NULL, RAM_SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shadow.base, MAP_FAILED);
	for (uint64_t page = 0; page < 8; page++) {
		uint64_t in_file = (7 - page) * 8192;

		assert_ptr_not_equal(mmap(shadow.base + page * 4096, 4096, RW,
					  MAP_SHARED | MAP_FIXED, f->ram.fd, (off_t)in_file),
				     MAP_FAILED);
		assert_int_equal(
			iommu_map(f->space, RAM_AT + page * 4096, 4096, f->ram.fd, in_file, RW), 0);
	}
	p->ring = (struct packed_ring){
		.ram = &shadow,
		.size = 1000,
		.wrap = true,
		.used_wrap = true,
		.desc = RAM_AT + 4096 - 160,
		.driver = RAM_AT + 6 * 4096,
		.device = RAM_AT + 6 * 4096 + 4,
	};
	f->vq.packed = true;
	f->vq.event_idx = true;
	packed_enable(p);
	for (uint32_t i = 0; i < 3000; i++) {
		packed_set_event(&p->ring, PACKED_EVENT_DESC, p->ring.used_next, p->ring.used_wrap);
		packed_add(&p->ring, (uint16_t)(i % 1000), bufs, 2);
		assert_int_equal(pop(f), 1);
		assert_int_equal(f->chain.head, i % 1000);
		assert_int_equal(f->chain.out_len, 3);
		assert_int_equal(f->chain.in_len, 5);
		release(f);
		push(f, (uint16_t)(i % 1000), i);
		assert_true(virtq_interrupt_due(&f->vq, f->space));
		assert_true(packed_used(&p->ring, &used));
		assert_int_equal(used.id, i % 1000);
		assert_int_equal(used.len, i);
		assert_false(virtq_enable_notify(&f->vq, f->space));
	}
	assert_null(iommu_window_get(&f->vq.desc, f->space, p->ring.desc, 16000, PROT_READ));
	munmap(shadow.base, RAM_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PACKED_TEST(test_2_8_1_availability_follows_the_wrap_counter),
		PACKED_TEST(test_2_8_1_which_flags_are_available),
		PACKED_TEST(test_2_8_1_a_full_ring_is_taken_once),
		PACKED_TEST(test_2_8_6_lists_of_every_length_through_the_wrap),
		PACKED_TEST(test_2_8_6_a_list_is_there_with_its_first_descriptor),
		PACKED_TEST(test_2_8_6_a_list_as_long_as_the_queue),
		PACKED_TEST(test_2_8_17_a_list_longer_than_the_queue_is_refused),
		PACKED_TEST(test_2_8_17_readable_behind_writable_is_refused),
		PACKED_TEST(test_2_8_7_an_indirect_table),
		PACKED_TEST(test_2_8_5_lists_and_tables_in_one_ring),
		PACKED_TEST(test_2_8_19_indirect_needs_its_feature),
		PACKED_TEST(test_2_8_19_an_indirect_descriptor_in_a_list_is_refused),
		PACKED_TEST(test_2_8_7_tables_of_bad_length),
		PACKED_TEST(test_2_8_ids_come_back_in_any_order),
		PACKED_TEST(test_an_id_that_is_not_below_the_size_is_refused),
		PACKED_TEST(test_an_id_that_the_device_has_is_refused),
		PACKED_TEST(test_2_8_3_flags_of_a_used_descriptor),
		PACKED_TEST(test_2_8_9_several_buffers_are_seen_together),
		PACKED_TEST(test_2_8_5_1_used_descriptors_stay),
		PACKED_TEST(test_unpop_across_the_wrap),
		PACKED_TEST(test_unpop_of_several),
		PACKED_TEST(test_2_8_10_1_addresses_have_alignments),
		PACKED_TEST(test_a_ring_that_is_not_mapped_is_a_fault),
		cmocka_unit_test_teardown(test_a_ring_over_several_maps, packed_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
