/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device parts of a blk function, and getting them (virtio 1.4, 2.12.1.4.3.1 and 2, 2.13.1); the
 * objects for that.
 */
#include "parts_fixture.h"

static uint32_t metadata(struct fixture *f, uint32_t id, uint8_t type, uint32_t room)
{
	static uint8_t result[ADMIN_BIG];
	uint32_t len;

	return parts_metadata(f->pf, VF, id, type, result, room, &len);
}

/* GET of selected parts. */
static uint32_t get_selected(struct fixture *f, const struct part_hdr *list, uint32_t n)
{
	static struct {
		struct obj_hdr hdr;
		uint8_t type;
		uint8_t reserved[7];
		struct part_hdr list[1024];
	} data;

	data.hdr.id = GET_ID;
	data.type = GET_SELECTED;
	memcpy(data.list, list, n * sizeof(*list));
	return admin_big(f->pf, PARTS_GET, VF, &data, (uint32_t)(16 + n * sizeof(*list)),
			 f->parts.data, ADMIN_BIG, &f->parts.len);
}

/* --- what there is --- */

/* 2.12.1.4.5: all of these commands, or none; for the SR-IOV group. */
/* rules: admin-parts-1 */
static void test_2_12_1_4_5_all_or_none(void **state)
{
	struct fixture *f = *state;
	uint64_t list = 0, self = 0;

	assert_int_equal(admin(f->pf, LIST_QUERY, SRIOV_GROUP, VF, NULL, 0, &list, 8), OK);
	assert_int_equal(list & 0x3fc00, 0x3fc00);
	assert_int_equal(admin(f->pf, LIST_QUERY, SELF_GROUP, 0, NULL, 0, &self, 8), OK);
	assert_int_equal(self & 0x3c000, 0);
}

/* The table of 2.12.1.4.4: order, and which are optional. */
/* rules: admin-parts-3 admin-parts-10 */
static void test_2_12_1_4_4_order(void **state)
{
	struct fixture *f = *state;
	uint16_t last = 0;

	save(f);
	for (uint32_t at = 0; at < f->parts.len;) {
		struct part_hdr *hdr = (struct part_hdr *)(f->parts.data + at);

		if (hdr->type < 0x200) {
			assert_true(hdr->type >= last);
			last = hdr->type;
			assert_int_equal(hdr->flags, hdr->type == P_DEV_FEATURES ? P_OPTIONAL : 0);
		} else {
			assert_true(hdr->type < 0x600);
			last = 0x200; /* no common part follows */
		}
		assert_int_equal(hdr->reserved, 0);
		at += (uint32_t)sizeof(*hdr) + hdr->len;
	}
	assert_int_equal(((struct part_hdr *)f->parts.data)->type, P_DEV_FEATURES);
}

/* 2.13.1: what each of the common parts is. */
static void test_2_13_1_values(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->b->d;
	uint64_t features;
	uint16_t word;

	set_common(d, C_QUEUE_SELECT, 2, 1);
	save(f);
	features = driver_offered(d);
	assert_int_equal(part_find(&f->parts, P_DEV_FEATURES, 0)->len, 8);
	assert_memory_equal(part_value(&f->parts, P_DEV_FEATURES, 0), &features, 8);
	features = F_VERSION_1 | B_MQ | B_FLUSH | B_CONFIG_WCE;
	assert_memory_equal(part_value(&f->parts, P_DRV_FEATURES, 0), &features, 8);
	assert_int_equal(part_find(&f->parts, P_STATUS, 0)->len, 1);
	assert_int_equal(*(uint8_t *)part_value(&f->parts, P_STATUS, 0),
			 common(d, C_DEVICE_STATUS, 1));
	memcpy(&word, part_value(&f->parts, P_COMMON_CFG, C_CONFIG_MSIX_VECTOR), 2);
	assert_int_equal(word, VEC_CONFIG);
	memcpy(&word, part_value(&f->parts, P_COMMON_CFG, C_NUM_QUEUES), 2);
	assert_int_equal(word, QUEUES);
	memcpy(&word, part_value(&f->parts, P_COMMON_CFG, C_QUEUE_SELECT), 2);
	assert_int_equal(word, 1);
	for (uint16_t i = 0; i < QUEUES; i++) {
		const struct ring *ring = &f->b->ring[i];
		struct vq_cfg cfg;
		uint16_t notify[4];

		assert_int_equal(part_find(&f->parts, P_VQ_CFG, i)->len, sizeof(cfg));
		memcpy(&cfg, part_value(&f->parts, P_VQ_CFG, i), sizeof(cfg));
		assert_int_equal(cfg.size, ring->size);
		assert_int_equal(cfg.vector, i ? NO_VECTOR : VEC_QUEUE);
		assert_int_equal(cfg.enabled, 1);
		assert_int_equal(cfg.reserved, 0);
		assert_int_equal(cfg.desc, ring->desc);
		assert_int_equal(cfg.driver, ring->avail);
		assert_int_equal(cfg.device, ring->used);
		assert_int_equal(part_find(&f->parts, P_VQ_NOTIFY, i)->len, 8);
		memcpy(notify, part_value(&f->parts, P_VQ_NOTIFY, i), 8);
		set_common(d, C_QUEUE_SELECT, 2, i);
		assert_int_equal(notify[0], common(d, C_QUEUE_NOTIFY_OFF, 2));
		assert_int_equal(notify[1], common(d, C_QUEUE_NOTIF_CONFIG_DATA, 2));
		assert_int_equal(notify[2] | notify[3], 0);
	}
	assert_null(part_find(&f->parts, P_VQ_CFG, QUEUES));
}

/* 2.12.1.4.5: reset and FLR bring every part to its default. */
/* rules: admin-parts-9 */
static void test_2_12_1_4_5_parts_after_a_reset(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->b->vf->pa;

	driver_reset(&f->b->d);
	save(f);
	assert_int_equal(*(uint8_t *)part_value(&f->parts, P_STATUS, 0), 0);
	blk_start_queues(f->b, B_MQ, QUEUES);
	assert_int_equal(pa->ops->reset(pa, NULL), 0);
	parts_save(f->pf, VF, &f->after);
	assert_true(parts_equal(&f->parts, &f->after));
	cfg_write(&f->b->d, 4, 2, 6);
}

/* --- 2.12.1.4.3.1: METADATA_GET --- */

static void test_2_12_1_4_3_1_size_count_and_list(void **state)
{
	static struct {
		uint32_t count;
		uint32_t reserved;
		struct part_hdr hdr[2048];
	} list;
	struct fixture *f = *state;
	uint32_t value[2], len, at = 0;

	save(f);
	assert_int_equal(parts_metadata(f->pf, VF, GET_ID, META_SIZE, value, 8, &len), OK);
	assert_int_equal(len, 8);
	assert_true(value[0] >= f->parts.len);
	assert_int_equal(value[1], 0);
	assert_int_equal(parts_metadata(f->pf, VF, GET_ID, META_COUNT, value, 64, &len), OK);
	assert_int_equal(len, 8);
	assert_int_equal(value[1], 0);
	assert_int_equal(parts_metadata(f->pf, VF, GET_ID, META_LIST, &list, sizeof(list), &len),
			 OK);
	assert_int_equal(len, 8 + value[0] * 16);
	assert_int_equal(list.count, value[0]);
	assert_int_equal(list.reserved, 0);
	for (uint32_t i = 0; i < list.count; i++) {
		assert_true(at < f->parts.len);
		assert_memory_equal(&list.hdr[i], f->parts.data + at, 16);
		at += 16 + list.hdr[i].len;
	}
	assert_int_equal(at, f->parts.len);
	/* there are the same ones in every state */
	driver_reset(&f->b->d);
	assert_int_equal(parts_metadata(f->pf, VF, GET_ID, META_COUNT, value, 8, &len), OK);
	assert_int_equal(value[0], list.count);
	parts_save(f->pf, VF, &f->after);
	assert_int_equal(f->after.len, f->parts.len);
}

/* A result that does not fit: ENOMEM. */
/* rules: admin-parts-12 */
static void test_2_12_1_4_3_1_room_for_the_result(void **state)
{
	struct fixture *f = *state;
	uint32_t value[2], len;

	for (uint8_t type = META_SIZE; type <= META_LIST; type++)
		for (uint32_t room = 0; room < 8; room++)
			assert_int_equal(STATUS(metadata(f, GET_ID, type, room)), ST_ENOMEM);
	assert_int_equal(parts_metadata(f->pf, VF, GET_ID, META_COUNT, value, 8, &len), OK);
	assert_int_equal(STATUS(metadata(f, GET_ID, META_LIST, 8 + value[0] * 16 - 1)), ST_ENOMEM);
	assert_int_equal(metadata(f, GET_ID, META_LIST, 8 + value[0] * 16), OK);
}

static void test_2_12_1_4_3_1_types(void **state)
{
	struct fixture *f = *state;

	for (unsigned int type = 3; type < 256; type++)
		assert_int_equal(metadata(f, GET_ID, (uint8_t)type, 8), INVALID_FIELD);
}

/* --- 2.12.1.4.3.2: GET --- */

/* Any number of times, running or stopped, and always the same. */
/* rules: admin-parts-2 */
static void test_2_12_1_4_5_get_again(void **state)
{
	struct fixture *f = *state;

	save(f);
	for (int i = 0; i < 3; i++) {
		parts_save(f->pf, VF, &f->after);
		assert_true(parts_equal(&f->parts, &f->after));
	}
	stop(f);
	parts_save(f->pf, VF, &f->after);
	assert_true(parts_equal(&f->parts, &f->after));
}

/* Selected ones come in the order of the table, once each; those that don't exist are skipped. */
/* rules: admin-parts-3 admin-parts-13 */
static void test_2_12_1_4_3_2_selected(void **state)
{
	static const struct part_hdr list[] = {
		{ P_VQ_CFG, 0, 0, 1, 0 },
		{ P_STATUS, 0, 0, 0, 99 },
		{ 0x1ff, 0, 0, 0, 0 },
		{ P_DEV_FEATURES, 0, 0, 0, 0 },
		{ P_VQ_CFG, 0, 0, QUEUES, 0 },
		{ P_VQ_CFG, 0, 0, 1, 0 },
		{ P_COMMON_CFG, 0, 0, C_CONFIG_MSIX_VECTOR, 0 },
		{ P_COMMON_CFG, 0, 0, 17, 0 },
	};
	static const uint16_t expected[] = { P_DEV_FEATURES, P_COMMON_CFG, P_STATUS, P_VQ_CFG };
	struct fixture *f = *state;
	uint32_t at = 0;

	assert_int_equal(get_selected(f, list, 8), OK);
	for (size_t i = 0; i < 4; i++) {
		struct part_hdr *hdr = (struct part_hdr *)(f->parts.data + at);

		assert_true(at < f->parts.len);
		assert_int_equal(hdr->type, expected[i]);
		at += 16 + hdr->len;
	}
	assert_int_equal(at, f->parts.len);
	assert_int_equal(get_selected(f, list + 2, 1), OK);
	assert_int_equal(f->parts.len, 0);
	assert_int_equal(get_selected(f, list, 0), OK);
	assert_int_equal(f->parts.len, 0);
}

/* Each part on its own. */
static void test_2_12_1_4_3_2_each_selected(void **state)
{
	struct fixture *f = *state;

	parts_save(f->pf, VF, &f->after);
	for (uint32_t at = 0; at < f->after.len;) {
		struct part_hdr *hdr = (struct part_hdr *)(f->after.data + at);

		assert_int_equal(get_selected(f, hdr, 1), OK);
		assert_int_equal(f->parts.len, 16 + hdr->len);
		assert_memory_equal(f->parts.data, hdr, 16 + hdr->len);
		at += 16 + hdr->len;
	}
}

/* What is missing of the last header is zero (2.14). */
static void test_2_14_a_list_that_is_cut_off(void **state)
{
	struct {
		struct obj_hdr hdr;
		uint8_t type;
		uint8_t reserved[7];
		uint16_t part;
	} data = { .hdr = { .id = GET_ID }, .type = GET_SELECTED, .part = P_STATUS };
	struct fixture *f = *state;

	assert_int_equal(
		admin_big(f->pf, PARTS_GET, VF, &data, 18, f->parts.data, ADMIN_BIG, &f->parts.len),
		OK);
	assert_int_equal(f->parts.len, 17);
	assert_non_null(part_find(&f->parts, P_STATUS, 0));
}

/* More of them than any function has parts. */
static void test_a_list_that_is_too_long(void **state)
{
	static uint8_t data[16 + 1025 * 16] = { [4] = GET_ID, [8] = GET_SELECTED };
	struct fixture *f = *state;

	assert_int_equal(admin_big(f->pf, PARTS_GET, VF, data, 16 + 1024 * 16, f->parts.data,
				   0x8000, &f->parts.len),
			 OK);
	assert_int_equal(f->parts.len, 0);
	assert_int_equal(STATUS(admin_big(f->pf, PARTS_GET, VF, data, sizeof(data), f->parts.data,
					  0x8000, &f->parts.len)),
			 ST_ENOMEM);
}

static void test_2_12_1_4_3_2_room_and_types(void **state)
{
	uint8_t data[16] = { [4] = GET_ID, [8] = GET_ALL };
	struct fixture *f = *state;
	uint32_t len;

	save(f);
	assert_int_equal(STATUS(admin_big(f->pf, PARTS_GET, VF, data, 16, f->after.data,
					  f->parts.len - 1, &len)),
			 ST_ENOMEM);
	assert_int_equal(
		admin_big(f->pf, PARTS_GET, VF, data, 16, f->after.data, f->parts.len, &len), OK);
	assert_int_equal(len, f->parts.len);
	for (unsigned int type = 2; type < 256; type++) {
		data[8] = (uint8_t)type;
		assert_int_equal(
			admin_big(f->pf, PARTS_GET, VF, data, 16, f->after.data, 0x8000, &len),
			INVALID_FIELD);
	}
}

/* --- objects, members, groups: of all three commands --- */

static void test_2_12_1_4_2_objects(void **state)
{
	static const uint32_t ids[] = { 0, 1, 31, 32, 254, 255, 256, 0x10000, UINT32_MAX };
	struct fixture *f = *state;
	uint8_t data[16] = { 0 };

	stop(f);
	for (uint16_t op = PARTS_METADATA_GET; op <= PARTS_SET; op++) {
		for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
			memcpy(data + 4, &ids[i], 4);
			assert_int_equal(
				STATUS(admin(f->pf, op, SRIOV_GROUP, VF, data, 16, NULL, 0)),
				ST_ENXIO);
		}
		/* of the other kind */
		memset(data, 0, sizeof(data));
		data[4] = op == PARTS_SET ? GET_ID : SET_ID;
		assert_int_equal(admin(f->pf, op, SRIOV_GROUP, VF, data, 16, NULL, 0),
				 INVALID_FIELD);
		/* of another type */
		data[4] = op == PARTS_SET ? SET_ID : GET_ID;
		data[0] = 1;
		assert_int_equal(STATUS(admin(f->pf, op, SRIOV_GROUP, VF, data, 16, NULL, 0)),
				 ST_ENXIO);
		data[0] = 0;
	}
	/* which MODIFY turns around (2.12.1.3.2) */
	assert_int_equal(admin_obj_destroy(f->pf, VF, SET_ID), OK);
	assert_int_equal(STATUS(parts_load(f->pf, VF, &f->parts)), ST_ENXIO);
}

static void test_2_12_1_5_group_and_member(void **state)
{
	static const uint64_t members[] = { 0, 2, 1ull << 32 | VF, ~0ull };
	struct fixture *f = *state;
	uint8_t data[16] = { [4] = GET_ID };

	for (uint16_t op = PARTS_METADATA_GET; op <= PARTS_SET; op++) {
		for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
			assert_int_equal(
				admin(f->pf, op, SRIOV_GROUP, members[i], data, 16, NULL, 0),
				INVALID_MEMBER);
		assert_int_equal(admin(f->pf, op, SELF_GROUP, 0, data, 16, NULL, 0),
				 INVALID_OPCODE);
		assert_int_equal(admin(f->pf, op, 2, VF, data, 16, NULL, 0), INVALID_GROUP);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_2_12_1_4_5_all_or_none),
		TEST(test_2_12_1_4_4_order),
		TEST(test_2_13_1_values),
		TEST(test_2_12_1_4_5_parts_after_a_reset),
		TEST(test_2_12_1_4_3_1_size_count_and_list),
		TEST(test_2_12_1_4_3_1_room_for_the_result),
		TEST(test_2_12_1_4_3_1_types),
		TEST(test_2_12_1_4_5_get_again),
		TEST(test_2_12_1_4_3_2_selected),
		TEST_ONCE(test_2_12_1_4_3_2_each_selected),
		TEST(test_2_14_a_list_that_is_cut_off),
		TEST(test_a_list_that_is_too_long),
		TEST(test_2_12_1_4_3_2_room_and_types),
		TEST(test_2_12_1_4_2_objects),
		TEST(test_2_12_1_5_group_and_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
