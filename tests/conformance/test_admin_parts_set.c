/* SPDX-License-Identifier: BSD-3-Clause */
/* Setting the parts of a blk function (virtio 1.4, 2.12.1.4.3.3), right and wrong. */
#include "parts_fixture.h"

/* Sets f->after, which must fail and change nothing: f->parts is how the function was. */
static void refused(struct fixture *f)
{
	assert_int_equal(parts_load(f->pf, VF, &f->after), INVALID_FIELD);
	parts_save(f->pf, VF, &f->after);
	assert_true(parts_equal(&f->parts, &f->after));
}

/* The same with one part alone. */
static void refused_part(struct fixture *f, uint16_t type, uint8_t flags, uint64_t selector,
			 const void *value, uint32_t len)
{
	f->after.len = 0;
	part_put(&f->after, type, flags, selector, value, len);
	refused(f);
}

static uint32_t set_part(struct fixture *f, uint16_t type, uint8_t flags, uint64_t selector,
			 const void *value, uint32_t len)
{
	f->after.len = 0;
	part_put(&f->after, type, flags, selector, value, len);
	return parts_load(f->pf, VF, &f->after);
}

/* --- 2.12.1.4.3.3: SET --- */

/* Only a stopped device is set. */
/* rules: admin-parts-4 */
static void test_2_12_1_4_5_set_of_a_running_device(void **state)
{
	struct fixture *f = *state;

	save(f);
	assert_int_equal(STATUS(parts_load(f->pf, VF, &f->parts)), ST_EBUSY);
	stop(f);
	assert_int_equal(parts_load(f->pf, VF, &f->parts), OK);
	resume(f);
	assert_int_equal(STATUS(parts_load(f->pf, VF, &f->parts)), ST_EBUSY);
	assert_int_equal(blk_request(f->b, T_IN, 1, SECTOR), ST_OK);
}

/* Any number of times; each part on its own; and the last one counts. */
/* rules: admin-parts-5 admin-parts-11 */
static void test_2_12_1_4_5_set_again(void **state)
{
	struct fixture *f = *state;
	uint16_t vector;

	save(f);
	stop(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(parts_load(f->pf, VF, &f->parts), OK);
	for (uint32_t at = 0; at < f->parts.len;) {
		struct part_hdr *hdr = (struct part_hdr *)(f->parts.data + at);

		assert_int_equal(
			set_part(f, hdr->type, hdr->flags, hdr->selector, hdr + 1, hdr->len), OK);
		at += 16 + hdr->len;
	}
	parts_save(f->pf, VF, &f->after);
	assert_true(parts_equal(&f->parts, &f->after));
	for (vector = 0; vector < 2; vector++)
		assert_int_equal(set_part(f, P_COMMON_CFG, 0, C_CONFIG_MSIX_VECTOR, &vector, 2),
				 OK);
	save(f);
	assert_int_equal(*(uint16_t *)part_value(&f->parts, P_COMMON_CFG, C_CONFIG_MSIX_VECTOR), 1);
	resume(f);
	assert_int_equal(common(&f->b->d, C_CONFIG_MSIX_VECTOR, 2), 1);
	assert_int_equal(blk_request(f->b, T_IN, 1, SECTOR), ST_OK);
}

/* 2.14: lengths are multiples of eight, so zeroes may follow; nothing else may. */
static void test_2_14_what_follows_the_last_part(void **state)
{
	struct fixture *f = *state;

	save(f);
	stop(f);
	f->after = f->parts;
	memset(f->after.data + f->after.len, 0, 64);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(parts_load(f->pf, VF, &f->after), OK);
		f->after.len++;
	}
	for (uint32_t i = 1; i < 40; i++) {
		f->after = f->parts;
		memset(f->after.data + f->after.len, 0, i);
		f->after.data[f->after.len + i - 1] = 0xff;
		f->after.len += i;
		refused(f);
	}
}

/* A stream that is cut off anywhere but between two parts. */
/* rules: admin-parts-14 */
static void test_2_12_1_4_3_3_a_stream_that_is_cut_off(void **state)
{
	struct fixture *f = *state;
	uint32_t next = 0, whole;

	save(f);
	whole = f->parts.len;
	stop(f);
	for (uint32_t len = 0; len < whole; len++) {
		f->after = f->parts;
		f->after.len = len;
		if (len == next) {
			next += 16 + ((struct part_hdr *)(f->parts.data + len))->len;
			assert_int_equal(parts_load(f->pf, VF, &f->after), OK);
		} else if (len + 8 > next || len % 7 == 0) { /* not all of them */
			refused(f);
		}
	}
}

/* 2.12.1.4.5: a part of another length than it has. */
/* rules: admin-parts-6 */
static void test_2_12_1_4_5_lengths(void **state)
{
	static const uint32_t more[] = { 1, 2, 8, 100 };
	struct fixture *f = *state;
	uint8_t value[1024] = { 0 };

	save(f);
	stop(f);
	for (uint32_t at = 0; at < f->parts.len;) {
		struct part_hdr *hdr = (struct part_hdr *)(f->parts.data + at);

		memcpy(value, hdr + 1, hdr->len);
		for (uint32_t len = 0; len < hdr->len; len++)
			refused_part(f, hdr->type, hdr->flags, hdr->selector, value, len);
		for (size_t i = 0; i < 4; i++)
			refused_part(f, hdr->type, hdr->flags, hdr->selector, value,
				     hdr->len + more[i]);
		at += 16 + hdr->len;
	}
}

/* A length that points out of the command. */
static void test_2_12_1_4_3_3_lengths_that_are_too_much(void **state)
{
	static const uint32_t lens[] = { 9, 0x100, 0x7fffffff, 0x80000000, 0xfffffff0, UINT32_MAX };
	struct fixture *f = *state;

	save(f);
	stop(f);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		for (uint8_t flags = 0; flags < 2; flags++) {
			struct part_hdr hdr = { i % 2 ? P_DRV_FEATURES : 0x5aa, flags, 0, 0,
						lens[i] };

			memcpy(f->after.data, &hdr, 16);
			memset(f->after.data + 16, 0, 8);
			f->after.len = 24;
			refused(f);
		}
}

/* 2.13: parts that are not known: an optional one is skipped, whatever is in it. */
/* rules: admin-parts-8 */
static void test_2_13_unknown_parts(void **state)
{
	static const uint16_t types[] = {
		1, 0xff, 0x106, 0x1ff, 0x200, 0x4ff, 0x5ff, 0x600, 0xffff
	};
	static const uint8_t value[300] = { 0xff };
	struct fixture *f = *state;

	save(f);
	stop(f);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		refused_part(f, types[i], 0, 0, value, sizeof(value));
		assert_int_equal(set_part(f, types[i], P_OPTIONAL, 7, value, sizeof(value)), OK);
		assert_int_equal(set_part(f, types[i], P_OPTIONAL, 7, value, 0), OK);
	}
	/* so are selectors */
	for (uint32_t offset = 0; offset < 64; offset++)
		if (!part_find(&f->parts, P_COMMON_CFG, offset)) {
			refused_part(f, P_COMMON_CFG, 0, offset, value, 2);
			assert_int_equal(set_part(f, P_COMMON_CFG, P_OPTIONAL, offset, value, 2),
					 OK);
		}
	refused_part(f, P_VQ_CFG, 0, QUEUES, value, sizeof(struct vq_cfg));
	refused_part(f, P_VQ_CFG, 0, 0xffff, value, sizeof(struct vq_cfg));
	refused_part(f, P_VQ_NOTIFY, 0, QUEUES, value, 8);
	/* flags that are not defined */
	for (unsigned int bit = 1; bit < 8; bit++)
		refused_part(f, 0x5aa, (uint8_t)(1u << bit | P_OPTIONAL), 0, value, 8);
	parts_save(f->pf, VF, &f->after);
	assert_true(parts_equal(&f->parts, &f->after));
}

/* Parts that there is exactly one of. */
static void test_2_13_1_parts_that_come_twice(void **state)
{
	struct fixture *f = *state;

	save(f);
	stop(f);
	for (uint32_t at = 0; at < f->parts.len;) {
		struct part_hdr *hdr = (struct part_hdr *)(f->parts.data + at);

		f->after = f->parts;
		part_put(&f->after, hdr->type, hdr->flags, hdr->selector, hdr + 1, hdr->len);
		refused(f);
		at += 16 + hdr->len;
	}
}

/* 2.12.1.4.5: features, and what else no driver writes, are verified. */
/* rules: admin-parts-7 admin-parts-11 */
static void test_2_12_1_4_5_what_is_verified(void **state)
{
	struct fixture *f = *state;
	uint64_t features;
	uint16_t word[4] = { 0 };

	save(f);
	stop(f);
	for (unsigned int bit = 0; bit < 64; bit++) {
		memcpy(&features, part_value(&f->parts, P_DEV_FEATURES, 0), 8);
		features ^= 1ull << bit;
		refused_part(f, P_DEV_FEATURES, P_OPTIONAL, 0, &features, 8);
		refused_part(f, P_DEV_FEATURES, 0, 0, &features, 8);
	}
	word[0] = QUEUES + 1;
	refused_part(f, P_COMMON_CFG, 0, C_NUM_QUEUES, word, 2);
	for (unsigned int bit = 0; bit < 32; bit++) {
		memcpy(word, part_value(&f->parts, P_VQ_NOTIFY, 1), 8);
		word[bit / 16] ^= (uint16_t)(1u << bit % 16);
		refused_part(f, P_VQ_NOTIFY, 0, 1, word, 8);
	}
}

/* States that no driver can bring a device to. */
static void test_2_1_status_and_features(void **state)
{
	static const uint8_t statuses[] = { S_DRIVER_OK, S_DRIVER_OK | S_DRIVER,
					    S_DRIVER_OK | S_NEEDS_RESET };
	static const uint64_t features[] = { 0, 1ull << 28, F_VERSION_1 | 1ull << 13 | B_RO,
					     F_VERSION_1 | 1ull << 63, F_VERSION_1 | 1ull << 24 };
	struct fixture *f = *state;

	save(f);
	stop(f);
	for (size_t i = 0; i < sizeof(statuses); i++) {
		/* legacy, says our own part; without it this would be a guess */
		f->after = f->parts;
		*(uint8_t *)part_value(&f->after, P_STATUS, 0) = statuses[i];
		refused(f);
	}
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		refused_part(f, P_DRV_FEATURES, 0, 0, &features[i], 8);
	/* it needs a reset, and our own part says that it works */
	f->after = f->parts;
	*(uint8_t *)part_value(&f->after, P_STATUS, 0) |= S_NEEDS_RESET;
	refused(f);
}

static void test_4_1_4_3_queues(void **state)
{
	struct fixture *f = *state;
	struct vq_cfg good, bad;

	save(f);
	stop(f);
	memcpy(&good, part_value(&f->parts, P_VQ_CFG, 0), sizeof(good));
#define BAD(field, value)                                           \
	do {                                                        \
		bad = good;                                         \
		bad.field = value;                                  \
		refused_part(f, P_VQ_CFG, 0, 0, &bad, sizeof(bad)); \
	} while (0)
	BAD(size, 0);
	BAD(size, 3);
	BAD(size, 48);
	BAD(size, 512);
	BAD(size, 0x8000);
	BAD(size, 0xffff);
	BAD(vector, 200);
	BAD(vector, 0xfffe);
	BAD(enabled, 2);
	BAD(enabled, 0xffff);
	BAD(desc, good.desc + 8);
	BAD(driver, good.driver + 1);
	BAD(device, good.device + 2);
#undef BAD
	bad = good;
	bad.reserved = 0xffff;
	assert_int_equal(set_part(f, P_VQ_CFG, 0, 0, &bad, sizeof(bad)), OK); /* is ignored */
	/* an enabled queue of a device without features */
	f->after = f->parts;
	*(uint8_t *)part_value(&f->after, P_STATUS, 0) = S_ACKNOWLEDGE;
	refused(f);
}

/* Addresses may be wrong all the same: that is found when they are used. */
static void test_addresses_that_are_nowhere(void **state)
{
	struct fixture *f = *state;
	struct vq_cfg cfg;

	save(f);
	stop(f);
	f->after = f->parts;
	memcpy(&cfg, part_value(&f->after, P_VQ_CFG, 0), sizeof(cfg));
	cfg.desc = cfg.driver = cfg.device = 0xfffffffffffff000;
	memcpy(part_value(&f->after, P_VQ_CFG, 0), &cfg, sizeof(cfg));
	assert_int_equal(parts_load(f->pf, VF, &f->after), OK);
	resume(f);
	machine_settle(f->b->m);
	assert_true(common(&f->b->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
	blk_start(f->b, 0);
	assert_int_equal(blk_request(f->b, T_IN, 1, SECTOR), ST_OK);
}

/* More than any stream there is: refused, and nothing is read into. */
static void test_more_data_than_parts_can_be(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->pf->d.ram, 8192, 4096);
	struct admin_head head = { .opcode = PARTS_SET, .group_type = SRIOV_GROUP, .member = VF };
	struct buf bufs[3] = { { at, 32, false },
			       { DRIVER_IOVA, DRIVER_RAM, false },
			       { at + 4096, 8, true } };
	uint16_t *reply = ram_at(&f->pf->d.ram, at + 4096);
	uint32_t len;

	stop(f);
	head.data[4] = SET_ID;
	memcpy(ram_at(&f->pf->d.ram, at), &head, 32);
	ring_add(&f->pf->ring, bufs, 3);
	driver_kick(&f->pf->d, f->pf->index);
	driver_used(&f->pf->d, &f->pf->ring, &len);
	assert_int_equal(reply[0], ST_ENOMEM);
}

/*
 * What Linux' virtio-vfio-pci sends to save a function and to restore it, with the lengths that it
 * has; header and status are descriptors of their own, results are pages. Of the used lengths it
 * takes that of DEV_PARTS_GET for the length of the parts.
 */
static void test_linux_saves_and_restores(void **state)
{
	struct fixture *f = *state;
	struct obj_data create = { .hdr = { .id = 10 }, .kind = KIND_GET };
	uint8_t get[16] = { [4] = 10, [8] = GET_ALL }, size[16] = { [4] = 10 };
	uint32_t value[2], none, pages;
	uint8_t byte = MODE_STOPPED;

	assert_int_equal(admin_big(f->pf, MODE_SET, VF, &byte, 1, value, 0, &none), OK);
	assert_int_equal(f->pf->used_len, 8);
	assert_int_equal(admin_big(f->pf, OBJ_CREATE, VF, &create, 24, value, 0, &none), OK);
	assert_int_equal(f->pf->used_len, 8);
	assert_int_equal(admin_big(f->pf, PARTS_METADATA_GET, VF, size, 16, value, 8, &none), OK);
	assert_int_equal(f->pf->used_len, 8 + 8);
	pages = (value[0] + 4095) / 4096 * 4096;
	assert_int_equal(
		admin_big(f->pf, PARTS_GET, VF, get, 16, f->parts.data, pages, &f->parts.len), OK);
	assert_true(f->parts.len > 0 && f->parts.len <= value[0]);
	assert_int_equal(f->pf->used_len, 8 + f->parts.len);
	assert_int_equal(admin_big(f->pf, OBJ_DESTROY, VF, &create.hdr, 8, value, 0, &none), OK);
	create.kind = KIND_SET; /* the next free id is the same */
	assert_int_equal(admin_big(f->pf, OBJ_CREATE, VF, &create, 24, value, 0, &none), OK);
	assert_int_equal(parts_set(f->pf, VF, 10, &f->parts), OK);
	assert_int_equal(f->pf->used_len, 8);
	/* FLR comes when the device is closed, and the object is destroyed after that */
	assert_int_equal(f->b->vf->pa->ops->reset(f->b->vf->pa, NULL), 0);
	assert_int_equal(admin_big(f->pf, OBJ_DESTROY, VF, &create.hdr, 8, value, 0, &none), OK);
	cfg_write(&f->b->d, 4, 2, 6);
	blk_start_queues(f->b, B_MQ, QUEUES);
	assert_int_equal(blk_request(f->b, T_IN, 1, SECTOR), ST_OK);
}

/* What is in a stream that was changed at random is taken as a whole, or not at all. */
/* rules: admin-parts-14 */
static void test_streams_that_are_changed_at_random(void **state)
{
	struct fixture *f = *state;
	unsigned int seed = 1, taken = 0;

	save(f);
	stop(f);
	for (int i = 0; i < 1500; i++) {
		f->after = f->parts;
		for (int n = rand_r(&seed) % 3; n >= 0; n--)
			f->after.data[(unsigned int)rand_r(&seed) % f->after.len] =
				(uint8_t)(rand_r(&seed) % 3 ? rand_r(&seed) % 4 : rand_r(&seed));
		if (parts_load(f->pf, VF, &f->after) != OK) {
			parts_save(f->pf, VF, &f->after);
			assert_true(parts_equal(&f->parts, &f->after));
			continue;
		}
		/* a state that leaves as it came */
		taken++;
		save(f);
		assert_int_equal(parts_load(f->pf, VF, &f->parts), OK);
		parts_save(f->pf, VF, &f->after);
		assert_true(parts_equal(&f->parts, &f->after));
		if (rand_r(&seed) % 8 == 0) { /* it does what it can with that */
			resume(f);
			machine_settle(f->b->m);
			driver_reset(&f->b->d);
			blk_start_queues(f->b, B_MQ, QUEUES);
			stop(f);
			save(f);
			f->b->d.ram.used = 0x80000; /* rings of before may go */
		}
	}
	assert_true(taken > 50 && taken < 1450);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_2_12_1_4_5_set_of_a_running_device),
		TEST(test_2_12_1_4_5_set_again),
		TEST(test_2_14_what_follows_the_last_part),
		TEST_ONCE(test_2_12_1_4_3_3_a_stream_that_is_cut_off),
		TEST_ONCE(test_2_12_1_4_5_lengths),
		TEST(test_2_12_1_4_3_3_lengths_that_are_too_much),
		TEST(test_2_13_unknown_parts),
		TEST(test_2_13_1_parts_that_come_twice),
		TEST(test_2_12_1_4_5_what_is_verified),
		TEST(test_2_1_status_and_features),
		TEST(test_4_1_4_3_queues),
		TEST(test_addresses_that_are_nowhere),
		TEST(test_more_data_than_parts_can_be),
		TEST(test_linux_saves_and_restores),
		TEST_ONCE(test_streams_that_are_changed_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
