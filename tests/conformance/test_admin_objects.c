/* SPDX-License-Identifier: BSD-3-Clause */
/* Device resource objects (virtio 1.4, 2.12.1.3): the device parts object (2.12.1.4.2). */
#include "admin_fixture.h"

#define LIMIT 8

static int setup(void **state)
{
	fixture_setup(state);
	assert_int_equal(admin_set_limits(&((struct fixture *)*state)->pf, LIMIT, LIMIT), OK);
	return 0;
}

static int setup_strict(void **state)
{
	fixture_setup_strict(state);
	assert_int_equal(admin_set_limits(&((struct fixture *)*state)->pf, LIMIT, LIMIT), OK);
	return 0;
}

static uint32_t command(struct fixture *f, uint16_t op, uint64_t member,
			const struct obj_data *data)
{
	return admin(&f->pf, op, SRIOV_GROUP, member, data, sizeof(*data), NULL, 0);
}

static uint32_t create(struct fixture *f, uint64_t member, uint32_t id, uint8_t kind)
{
	return admin_obj_create(&f->pf, member, id, kind);
}

static uint32_t destroy(struct fixture *f, uint64_t member, uint32_t id)
{
	return admin_obj_destroy(&f->pf, member, id);
}

static uint32_t modify(struct fixture *f, uint64_t member, uint32_t id, uint8_t kind)
{
	struct obj_data data = { .hdr = { .id = id }, .kind = kind };

	return command(f, OBJ_MODIFY, member, &data);
}

/* Status of a query; *kind is the first byte of the result. */
static uint32_t query(struct fixture *f, uint64_t member, uint32_t id, uint8_t *kind)
{
	struct obj_data data = { .hdr = { .id = id } };
	uint8_t result[16];
	uint32_t status;

	memset(result, 0xee, sizeof(result));
	status = admin(&f->pf, OBJ_QUERY, SRIOV_GROUP, member, &data, 16, result, sizeof(result));
	if (status == OK) {
		static const uint8_t zero[7];

		assert_int_equal(f->pf.used_len, 8 + 8);
		assert_memory_equal(result + 1, zero, 7);
	}
	*kind = result[0];
	return status;
}

/* --- 2.12.1.3.1: CREATE --- */

/* rules: admin-obj-6 */
static void test_2_12_1_3_1_ids_are_below_the_limit(void **state)
{
	struct fixture *f = *state;

	for (uint32_t id = 0; id < LIMIT; id++)
		assert_int_equal(create(f, VF_A, id, id % 2), OK);
	assert_int_equal(create(f, VF_A, LIMIT, KIND_GET), INVALID_FIELD);
	assert_int_equal(create(f, VF_A, LIMIT, KIND_SET), INVALID_FIELD);
	assert_int_equal(create(f, VF_A, 254, KIND_GET), INVALID_FIELD);
	assert_int_equal(create(f, VF_A, 255, KIND_GET), INVALID_FIELD);
	assert_int_equal(create(f, VF_A, 256, KIND_GET), INVALID_FIELD);
	assert_int_equal(create(f, VF_A, 0x10000, KIND_GET), INVALID_FIELD);
	assert_int_equal(create(f, VF_A, UINT32_MAX, KIND_SET), INVALID_FIELD);
}

/* As many as the limit says, in any order, and up to the largest. */
/* rules: admin-obj-7 */
static void test_2_12_1_3_5_as_many_as_the_limit(void **state)
{
	struct fixture *f = *state;
	uint8_t kind;

	assert_int_equal(admin_set_limits(&f->pf, 255, 255), OK);
	for (uint32_t i = 0; i < 255; i++)
		assert_int_equal(create(f, i % 2 ? VF_A : VF_B, i * 7 % 255, i % 3 == 0), OK);
	assert_int_equal(create(f, VF_A, 255, KIND_GET), INVALID_FIELD);
	for (uint32_t i = 0; i < 255; i++) {
		assert_int_equal(query(f, i % 2 ? VF_A : VF_B, i * 7 % 255, &kind), OK);
		assert_int_equal(kind, i % 3 == 0);
		assert_int_equal(destroy(f, i % 2 ? VF_A : VF_B, i * 7 % 255), OK);
	}
}

/* An id that is taken, by whichever member and for whatever: EEXIST, and the object stays. */
/* rules: admin-obj-1 */
static void test_2_12_1_3_5_an_id_that_exists(void **state)
{
	struct fixture *f = *state;
	uint8_t kind;

	assert_int_equal(create(f, VF_A, 2, KIND_SET), OK);
	assert_int_equal(STATUS(create(f, VF_A, 2, KIND_SET)), ST_EEXIST);
	assert_int_equal(STATUS(create(f, VF_A, 2, KIND_GET)), ST_EEXIST);
	assert_int_equal(STATUS(create(f, VF_B, 2, KIND_GET)), ST_EEXIST);
	assert_int_equal(query(f, VF_A, 2, &kind), OK);
	assert_int_equal(kind, KIND_SET);
}

/* Destroyed ones may be made again, for another member too. */
/* rules: admin-obj-5 */
static void test_2_12_1_3_5_an_id_that_was_destroyed(void **state)
{
	struct fixture *f = *state;
	uint8_t kind;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(create(f, VF_A, 2, KIND_SET), OK);
		assert_int_equal(destroy(f, VF_A, 2), OK);
		assert_int_equal(create(f, VF_B, 2, KIND_GET), OK);
		assert_int_equal(query(f, VF_B, 2, &kind), OK);
		assert_int_equal(kind, KIND_GET);
		assert_int_equal(destroy(f, VF_B, 2), OK);
	}
}

/* Every field that has a meaning, wrong. */
static void test_2_12_1_3_1_create_with_wrong_fields(void **state)
{
	static const uint16_t types[] = { 1, 0x1ff, 0x200, 0x4ff, 0x500, 0xffff };
	struct fixture *f = *state;
	uint8_t kind;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct obj_data data = { .hdr = { .type = types[i] } };

		assert_int_equal(command(f, OBJ_CREATE, VF_A, &data), INVALID_FIELD);
	}
	for (unsigned int bit = 0; bit < 64; bit++) {
		struct obj_data data = { .flags = 1ull << bit };

		assert_int_equal(command(f, OBJ_CREATE, VF_A, &data), INVALID_FIELD);
	}
	for (unsigned int k = 2; k < 256; k++)
		assert_int_equal(create(f, VF_A, 0, (uint8_t)k), INVALID_FIELD);
	assert_int_equal(STATUS(query(f, VF_A, 0, &kind)), ST_ENXIO);
}

/* 2.12.1: reserved bytes are ignored, and bytes that are not sent are zero (2.13.1). */
static void test_2_12_1_reserved_bytes_are_ignored(void **state)
{
	struct obj_data data = {
		.hdr = { .id = 1, .reserved = { 0xff, 0xff } },
		.kind = KIND_SET,
		.reserved = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};
	struct fixture *f = *state;
	uint8_t kind;

	assert_int_equal(command(f, OBJ_CREATE, VF_A, &data), OK);
	assert_int_equal(query(f, VF_A, 1, &kind), OK);
	assert_int_equal(kind, KIND_SET);
	assert_int_equal(command(f, OBJ_MODIFY, VF_A, &data), OK);
	assert_int_equal(command(f, OBJ_DESTROY, VF_A, &data), OK);
	assert_int_equal(admin(&f->pf, OBJ_CREATE, SRIOV_GROUP, VF_A, &data, 2, NULL, 0), OK);
	assert_int_equal(query(f, VF_A, 0, &kind), OK);
	assert_int_equal(kind, KIND_GET);
}

/* --- 2.12.1.3.2 to 4: what is there, and what is not --- */

/* rules: admin-obj-2 */
static void test_2_12_1_3_5_what_does_not_exist(void **state)
{
	static const uint32_t ids[] = { 1, LIMIT - 1, LIMIT, 254, 255, 256, 0x10000, UINT32_MAX };
	struct fixture *f = *state;
	uint8_t kind;

	assert_int_equal(create(f, VF_A, 0, KIND_GET), OK);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_int_equal(STATUS(modify(f, VF_A, ids[i], KIND_GET)), ST_ENXIO);
		assert_int_equal(STATUS(query(f, VF_A, ids[i], &kind)), ST_ENXIO);
		assert_int_equal(STATUS(destroy(f, VF_A, ids[i])), ST_ENXIO);
	}
	/* of another type */
	for (uint16_t op = OBJ_MODIFY; op <= OBJ_DESTROY; op++) {
		struct obj_data data = { .hdr = { .type = 1 } };

		assert_int_equal(STATUS(command(f, op, VF_A, &data)), ST_ENXIO);
	}
	assert_int_equal(destroy(f, VF_A, 0), OK);
	assert_int_equal(STATUS(destroy(f, VF_A, 0)), ST_ENXIO);
}

/* An object is its member's: others don't reach it. */
static void test_an_object_of_another_member(void **state)
{
	struct fixture *f = *state;
	uint8_t kind;

	assert_int_equal(create(f, VF_A, 0, KIND_GET), OK);
	assert_int_equal(STATUS(modify(f, VF_B, 0, KIND_SET)), ST_ENXIO);
	assert_int_equal(STATUS(query(f, VF_B, 0, &kind)), ST_ENXIO);
	assert_int_equal(STATUS(destroy(f, VF_B, 0)), ST_ENXIO);
	assert_int_equal(query(f, VF_A, 0, &kind), OK);
	assert_int_equal(kind, KIND_GET);
}

/* QUERY tells what CREATE or the last MODIFY that succeeded has set. */
/* rules: admin-obj-8 admin-obj-9 */
static void test_2_12_1_3_5_modify(void **state)
{
	struct fixture *f = *state;
	struct obj_data data = { .hdr = { .id = 3 }, .flags = 1 };
	uint8_t kind;

	assert_int_equal(create(f, VF_A, 3, KIND_GET), OK);
	assert_int_equal(modify(f, VF_A, 3, KIND_SET), OK);
	assert_int_equal(query(f, VF_A, 3, &kind), OK);
	assert_int_equal(kind, KIND_SET);
	assert_int_equal(modify(f, VF_A, 3, 2), INVALID_FIELD);
	assert_int_equal(command(f, OBJ_MODIFY, VF_A, &data), INVALID_FIELD);
	assert_int_equal(command(f, OBJ_QUERY, VF_A, &data), INVALID_FIELD);
	assert_int_equal(query(f, VF_A, 3, &kind), OK);
	assert_int_equal(kind, KIND_SET);
	/* an id that is too high for an object of the other kind */
	assert_int_equal(admin_set_limits(&f->pf, 3, LIMIT), OK);
	assert_int_equal(modify(f, VF_A, 3, KIND_GET), INVALID_FIELD);
	assert_int_equal(query(f, VF_A, 3, &kind), OK);
	assert_int_equal(kind, KIND_SET);
}

/* --- members and groups --- */

static void test_2_12_1_5_group_and_member(void **state)
{
	static const uint64_t members[] = { 0, 2, 4, SLOTS + 1, 1ull << 32 | VF_A, ~0ull };
	struct fixture *f = *state;
	struct obj_data data = { 0 };

	for (uint16_t op = OBJ_CREATE; op <= OBJ_DESTROY; op++) {
		for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
			assert_int_equal(command(f, op, members[i], &data), INVALID_MEMBER);
		/* no object there is belongs to the self group */
		assert_int_equal(admin(&f->pf, op, SELF_GROUP, 0, &data, 24, NULL, 0),
				 INVALID_OPCODE);
		assert_int_equal(admin(&f->pf, op, 2, VF_A, &data, 24, NULL, 0), INVALID_GROUP);
	}
}

/* --- when objects end --- */

/* A member's own reset does not touch them: its driver is not the one who made them. */
static void test_a_reset_of_the_member_keeps_objects(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->vf[0]->pa;
	struct driver d;
	uint8_t kind;

	assert_int_equal(create(f, VF_A, 0, KIND_SET), OK);
	assert_int_equal(pa->ops->reset(pa, NULL), 0);
	assert_int_equal(query(f, VF_A, 0, &kind), OK);
	driver_init(&d, f->m, pa);
	driver_reset(&d);
	driver_fini(&d);
	assert_int_equal(query(f, VF_A, 0, &kind), OK);
	assert_int_equal(kind, KIND_SET);
	assert_int_equal(destroy(f, VF_A, 0), OK);
}

/* A reset of the PF destroys all of them. */
/* rules: admin-obj-10 */
static void test_2_12_1_3_5_a_reset_destroys_objects(void **state)
{
	struct fixture *f = *state;
	uint8_t kind;

	assert_int_equal(create(f, VF_A, 0, KIND_SET), OK);
	assert_int_equal(create(f, VF_B, 1, KIND_SET), OK);
	pf_driver_start(&f->pf);
	admin_use_supported(&f->pf);
	assert_int_equal(admin_set_limits(&f->pf, LIMIT, LIMIT), OK);
	assert_int_equal(STATUS(query(f, VF_A, 0, &kind)), ST_ENXIO);
	assert_int_equal(create(f, VF_B, 0, KIND_GET), OK);
	assert_int_equal(create(f, VF_A, 1, KIND_GET), OK);
}

/* So does the end of their member, which nobody could destroy them after. */
static void test_objects_end_with_their_member(void **state)
{
	struct fixture *f = *state;
	uint8_t kind;

	assert_int_equal(create(f, VF_A, 0, KIND_SET), OK);
	assert_int_equal(create(f, VF_B, 1, KIND_SET), OK);
	member_free(f->vf[0]);
	assert_int_equal(destroy(f, VF_A, 0), INVALID_MEMBER);
	f->vf[0] = member_new_blk(f->m, VF_A, 8, false);
	assert_int_equal(STATUS(query(f, VF_A, 0, &kind)), ST_ENXIO);
	assert_int_equal(create(f, VF_B, 0, KIND_GET), OK);
	assert_int_equal(query(f, VF_B, 1, &kind), OK);
	/* VF Enable ends all members */
	pf_enable_vfs(&f->pf, 0);
	pf_enable_vfs(&f->pf, SLOTS);
	assert_int_equal(STATUS(query(f, VF_B, 0, &kind)), ST_ENXIO);
	assert_int_equal(STATUS(query(f, VF_B, 1, &kind)), ST_ENXIO);
	assert_int_equal(create(f, VF_A, 1, KIND_GET), OK);
}

int main(void)
{
#define TEST(name)                                                      \
	cmocka_unit_test_setup_teardown(name, setup, fixture_teardown), \
		cmocka_unit_test_setup_teardown(name, setup_strict, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_2_12_1_3_1_ids_are_below_the_limit),
		TEST(test_2_12_1_3_5_as_many_as_the_limit),
		TEST(test_2_12_1_3_5_an_id_that_exists),
		TEST(test_2_12_1_3_5_an_id_that_was_destroyed),
		TEST(test_2_12_1_3_1_create_with_wrong_fields),
		TEST(test_2_12_1_reserved_bytes_are_ignored),
		TEST(test_2_12_1_3_5_what_does_not_exist),
		TEST(test_an_object_of_another_member),
		TEST(test_2_12_1_3_5_modify),
		TEST(test_2_12_1_5_group_and_member),
		TEST(test_a_reset_of_the_member_keeps_objects),
		TEST(test_2_12_1_3_5_a_reset_destroys_objects),
		TEST(test_objects_end_with_their_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
