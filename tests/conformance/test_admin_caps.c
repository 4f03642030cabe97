/* SPDX-License-Identifier: BSD-3-Clause */
/* Device and driver capabilities (virtio 1.4, 2.12.1.2), and VIRTIO_DEV_PARTS_CAP (2.12.1.4.1). */
#include "admin_fixture.h"

#define CAP_DEV_PARTS 0

static uint32_t caps(struct fixture *f, uint64_t list[4], uint32_t room)
{
	memset(list, 0xee, 32);
	return admin(&f->pf, CAP_ID_LIST_QUERY, SELF_GROUP, 0, NULL, 0, list, room);
}

static uint32_t cap_get(struct fixture *f, uint16_t id, uint8_t limits[2])
{
	uint16_t data[4] = { id };

	return admin(&f->pf, DEVICE_CAP_GET, SELF_GROUP, 0, data, sizeof(data), limits, 2);
}

static uint32_t cap_set(struct fixture *f, uint16_t id, uint8_t get, uint8_t set)
{
	struct {
		uint16_t id;
		uint8_t reserved[6];
		uint8_t limits[2];
	} data = { id, { 0 }, { get, set } };

	return admin(&f->pf, DRIVER_CAP_SET, SELF_GROUP, 0, &data, sizeof(data), NULL, 0);
}

/* All three commands, for the self group. */
/* rules: admin-cap-1 */
static void test_2_12_1_2_4_all_three_commands(void **state)
{
	struct fixture *f = *state;
	uint64_t list = 0;

	assert_int_equal(admin(&f->pf, LIST_QUERY, SELF_GROUP, 0, NULL, 0, &list, 8), OK);
	assert_int_equal(list, 3 | CAP_OPCODES);
}

/* The list is as long as it must be, or longer with zeroes. */
static void test_2_12_1_2_1_list_of_capabilities(void **state)
{
	struct fixture *f = *state;
	uint64_t list[4];

	assert_int_equal(caps(f, list, 32), OK);
	assert_int_equal(list[0], 1ull << CAP_DEV_PARTS);
	assert_true(f->pf.used_len >= 8 + 8 && f->pf.used_len % 8 == 0);
	for (uint32_t i = 1; i < f->pf.used_len / 8 - 1; i++)
		assert_int_equal(list[i], 0);
	/* a driver may have less room (2.13.1) */
	assert_int_equal(caps(f, list, 1), OK);
	assert_int_equal(list[0] & 0xff, 1);
}

static void test_2_12_1_2_2_limits_of_the_device(void **state)
{
	struct fixture *f = *state;
	uint8_t limits[2] = { 0 };

	assert_int_equal(cap_get(f, CAP_DEV_PARTS, limits), OK);
	assert_int_equal(f->pf.used_len, 8 + 2);
	assert_true(limits[0] > 0 && limits[1] > 0);
}

/* Ids that are not in the list: ENXIO, from both commands. */
/* rules: admin-cap-7 */
static void test_2_12_1_2_4_no_such_capability(void **state)
{
	static const uint16_t ids[] = { 1, 63, 64, 0x100, 0x7ff, 0x800, 0xfff, 0x1000, 0xffff };
	struct fixture *f = *state;
	uint8_t limits[2];

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		assert_int_equal(STATUS(cap_get(f, ids[i], limits)), ST_ENXIO);
		assert_int_equal(f->pf.used_len, 8);
		assert_int_equal(STATUS(cap_set(f, ids[i], 1, 1)), ST_ENXIO);
	}
	/* nothing was set by it */
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 0, KIND_GET), INVALID_FIELD);
}

/* Any value up to the device's must be taken, each of the two on its own. */
/* rules: admin-cap-2 admin-cap-4 */
static void test_2_12_1_2_4_limits_up_to_the_devices(void **state)
{
	struct fixture *f = *state;
	uint8_t limits[2];

	assert_int_equal(cap_get(f, CAP_DEV_PARTS, limits), OK);
	for (unsigned int n = 0; n <= 255; n++) {
		assert_int_equal(cap_set(f, CAP_DEV_PARTS, (uint8_t)n, limits[1]),
				 n <= limits[0] ? OK : INVALID_FIELD);
		assert_int_equal(cap_set(f, CAP_DEV_PARTS, limits[0], (uint8_t)n),
				 n <= limits[1] ? OK : INVALID_FIELD);
	}
}

/* Until the driver has set a limit it is zero, and the last one counts. */
/* rules: admin-cap-9 */
static void test_2_12_1_2_4_limits_are_zero_before_they_are_set(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(admin_obj_create(&f->pf, VF_A, 0, KIND_GET), INVALID_FIELD);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 0, KIND_SET), INVALID_FIELD);
	assert_int_equal(cap_set(f, CAP_DEV_PARTS, 4, 2), OK);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 3, KIND_GET), OK);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 4, KIND_GET), INVALID_FIELD);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 1, KIND_SET), OK);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 2, KIND_SET), INVALID_FIELD);
	/* bytes that are not sent are zero (2.13.1) */
	assert_int_equal(admin_obj_destroy(&f->pf, VF_A, 3), OK);
	assert_int_equal(admin_obj_destroy(&f->pf, VF_A, 1), OK);
	assert_int_equal(admin(&f->pf, DRIVER_CAP_SET, SELF_GROUP, 0, NULL, 0, NULL, 0), OK);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 0, KIND_GET), INVALID_FIELD);
}

/* A limit below what there is: EBUSY, and the old one stays. */
/* rules: admin-cap-6 */
static void test_2_12_1_2_4_a_capability_in_use(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(cap_set(f, CAP_DEV_PARTS, 8, 8), OK);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 5, KIND_GET), OK);
	assert_int_equal(STATUS(cap_set(f, CAP_DEV_PARTS, 0, 0)), ST_EBUSY);
	assert_int_equal(STATUS(cap_set(f, CAP_DEV_PARTS, 5, 8)), ST_EBUSY);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 7, KIND_GET), OK);
	assert_int_equal(admin_obj_destroy(&f->pf, VF_A, 7), OK);
	assert_int_equal(cap_set(f, CAP_DEV_PARTS, 6, 0), OK); /* of the other kind there is none */
	assert_int_equal(admin_obj_destroy(&f->pf, VF_A, 5), OK);
	assert_int_equal(cap_set(f, CAP_DEV_PARTS, 0, 0), OK);
}

/* A reset of the device resets what the driver has set. */
/* rules: admin-cap-8 */
static void test_2_12_1_2_4_a_reset_forgets_limits(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(cap_set(f, CAP_DEV_PARTS, 8, 8), OK);
	pf_driver_start(&f->pf);
	admin_use_supported(&f->pf);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 0, KIND_GET), INVALID_FIELD);
}

/* The three commands are for the self group, whose only member is 0 (2.12). */
/* rules: admin-cap-5 */
static void test_2_12_1_2_4_group_and_member(void **state)
{
	struct fixture *f = *state;
	uint8_t data[10] = { 0 };

	for (uint16_t op = CAP_ID_LIST_QUERY; op <= DRIVER_CAP_SET; op++) {
		for (uint64_t member = 0; member < 3; member++)
			assert_int_equal(
				STATUS(admin(&f->pf, op, SRIOV_GROUP, member, data, 10, NULL, 0)),
				ST_EINVAL);
		assert_int_equal(admin(&f->pf, op, SELF_GROUP, 1, data, 10, NULL, 0),
				 INVALID_MEMBER);
		assert_int_equal(admin(&f->pf, op, SELF_GROUP, 1ull << 32, data, 10, NULL, 0),
				 INVALID_MEMBER);
		assert_int_equal(admin(&f->pf, op, 2, 0, data, 10, NULL, 0), INVALID_GROUP);
		assert_int_equal(admin(&f->pf, op, SELF_GROUP, 0, data, 10, NULL, 0), OK);
	}
}

/* 2.12.1: reserved bytes are ignored. */
static void test_2_12_1_reserved_bytes_are_ignored(void **state)
{
	struct fixture *f = *state;
	uint8_t data[16] = { 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3, 3, 0xff, 0xff };
	uint8_t limits[2];

	assert_int_equal(admin(&f->pf, DEVICE_CAP_GET, SELF_GROUP, 0, data, 16, limits, 2), OK);
	assert_int_equal(admin(&f->pf, DRIVER_CAP_SET, SELF_GROUP, 0, data, 16, NULL, 0), OK);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 2, KIND_GET), OK);
}

/* At a PF that holds to the letter they are legal after LIST_USE, and not in the other group. */
static void test_2_12_1_5_strict_needs_list_use(void **state)
{
	struct fixture *f = *state;
	uint64_t list = 0;

	for (uint16_t op = CAP_ID_LIST_QUERY; op <= DRIVER_CAP_SET; op++)
		assert_int_equal(admin(&f->pf, op, SELF_GROUP, 0, NULL, 0, NULL, 0),
				 INVALID_OPCODE);
	assert_int_equal(admin(&f->pf, LIST_QUERY, SRIOV_GROUP, 1, NULL, 0, &list, 8), OK);
	assert_int_equal(list & CAP_OPCODES, 0);
}

/* What Linux does at DRIVER_OK, before there are VFs, with the sizes it has. */
static void test_linux_at_driver_ok(void **state)
{
	struct fixture *f = *state;
	uint64_t list = 0, caps_list[4];
	uint8_t limits[2];

	pf_enable_vfs(&f->pf, 0);
	assert_int_equal(admin(&f->pf, LIST_QUERY, SRIOV_GROUP, 0, NULL, 0, &list, 8), OK);
	assert_int_equal(list & (LEGACY_OPCODES | CAP_OPCODES), LEGACY_OPCODES | CAP_OPCODES);
	list &= 0x3e7ff;
	assert_int_equal(admin(&f->pf, LIST_USE, SRIOV_GROUP, 0, &list, 8, NULL, 0), OK);
	assert_int_equal(caps(f, caps_list, 8), OK);
	assert_int_equal(cap_get(f, CAP_DEV_PARTS, limits), OK);
	assert_int_equal(cap_set(f, CAP_DEV_PARTS, limits[0], limits[1]), OK);
	assert_int_equal(f->pf.used_len, 8);
	pf_enable_vfs(&f->pf, SLOTS);
	assert_int_equal(admin_obj_create(&f->pf, VF_A, 0, KIND_GET), OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_BOTH(test_2_12_1_2_4_all_three_commands),
		TEST_BOTH(test_2_12_1_2_1_list_of_capabilities),
		TEST_BOTH(test_2_12_1_2_2_limits_of_the_device),
		TEST_BOTH(test_2_12_1_2_4_no_such_capability),
		TEST_BOTH(test_2_12_1_2_4_limits_up_to_the_devices),
		TEST_BOTH(test_2_12_1_2_4_limits_are_zero_before_they_are_set),
		TEST_BOTH(test_2_12_1_2_4_a_capability_in_use),
		TEST_BOTH(test_2_12_1_2_4_a_reset_forgets_limits),
		TEST_BOTH(test_2_12_1_2_4_group_and_member),
		TEST_BOTH(test_2_12_1_reserved_bytes_are_ignored),
		cmocka_unit_test_setup_teardown(test_2_12_1_5_strict_needs_list_use,
						fixture_fresh_strict, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_linux_at_driver_ok, fixture_fresh,
						fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
