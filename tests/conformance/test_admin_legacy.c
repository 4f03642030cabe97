/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Legacy register commands (virtio 1.3, 2.12.1.1) and the registers that they reach (4.1.4.10), of
 * a blk function in slot 1 and, for a type without configuration, an rng.
 */
#include "vf_fixture.h"

#define M 1 /* the member */

static int setup(void **state)
{
	struct fixture *f = fixture_new("blk", true, 0x123456789, false);

	admin_use_all(&f->pf);
	*state = f;
	return 0;
}

static int setup_rng(void **state)
{
	struct fixture *f = fixture_new("rng", true, 0, false);

	admin_use_all(&f->pf);
	*state = f;
	return 0;
}

static uint64_t get(struct fixture *f, enum legacy field, uint32_t len)
{
	return legacy_get(&f->pf, M, field, len);
}

static void set(struct fixture *f, enum legacy field, uint32_t len, uint64_t value)
{
	assert_int_equal(legacy_write(&f->pf, M, field, len, value), OK);
}

/* --- 4.1.4.10: what each register is --- */

/* 6.3: ANY_LAYOUT must be offered; bit 30 must not be. 2.2: they are those of the modern side. */
/* rules: pci-legacy-6 */
static void test_4_1_4_10_device_features(void **state)
{
	struct fixture *f = *state;
	uint64_t modern = driver_offered(&f->d), legacy = get(f, L_DEVICE_FEATURES, 4);

	assert_true(legacy & 1u << 27);
	assert_false(legacy & 1u << 30);
	assert_int_equal(legacy & ~(1u << 24 | 1u << 27), (uint32_t)modern);
	set(f, L_DEVICE_FEATURES, 4, 0); /* read-only */
	assert_int_equal(get(f, L_DEVICE_FEATURES, 4), legacy);
}

/* rules: admin-legacy-5 admin-legacy-6 */
static void test_4_1_4_10_driver_features(void **state)
{
	struct fixture *f = *state;
	uint32_t offered = (uint32_t)get(f, L_DEVICE_FEATURES, 4);

	assert_int_equal(get(f, L_DRIVER_FEATURES, 4), 0);
	set(f, L_DRIVER_FEATURES, 4, offered);
	assert_int_equal(get(f, L_DRIVER_FEATURES, 4), offered);
	set(f, L_DRIVER_FEATURES, 4, 1u << 29);
	assert_int_equal(get(f, L_DRIVER_FEATURES, 4), 1u << 29);
	/* there is no FEATURES_OK to refuse what was not offered: it is not taken */
	set(f, L_DRIVER_FEATURES, 4, 0xffffffff);
	assert_int_equal(get(f, L_DRIVER_FEATURES, 4), offered);
}

/* Feature bits 32 to 63 count as not acknowledged, whatever was there before. */
/* rules: pci-legacy-5 */
static void test_4_1_4_10_high_features_are_not_acknowledged(void **state)
{
	struct fixture *f = *state;

	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 1);
	set_common(&f->d, C_DRIVER_FEATURE, 4, 1); /* VERSION_1, by the modern registers */
	set(f, L_DRIVER_FEATURES, 4, 1u << 29);
	assert_int_equal(common(&f->d, C_DRIVER_FEATURE, 4), 0);
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 0);
	assert_int_equal(common(&f->d, C_DRIVER_FEATURE, 4), 1u << 29);
}

/* Queue Address is a page number; 0 means that the queue is not in use (4.1.5.1.3.1). */
/* rules: admin-legacy-5 admin-legacy-6 */
static void test_4_1_4_10_queue_address(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, L_QUEUE_ADDRESS, 4), 0);
	set(f, L_QUEUE_ADDRESS, 4, DRIVER_IOVA >> 12);
	assert_int_equal(get(f, L_QUEUE_ADDRESS, 4), DRIVER_IOVA >> 12);
	set(f, L_QUEUE_ADDRESS, 4, 0);
	assert_int_equal(get(f, L_QUEUE_ADDRESS, 4), 0);
	/* 32 bits of page number */
	set(f, L_QUEUE_ADDRESS, 4, 0xfedcba98);
	assert_int_equal(get(f, L_QUEUE_ADDRESS, 4), 0xfedcba98);
}

/* There is no mechanism to negotiate the queue size (4.1.5.1.3.1): it is read-only. */
static void test_4_1_4_10_queue_size(void **state)
{
	struct fixture *f = *state;
	uint64_t size = get(f, L_QUEUE_SIZE, 2);

	assert_true(size && (size & (size - 1)) == 0);
	set(f, L_QUEUE_SIZE, 2, size / 2);
	assert_int_equal(get(f, L_QUEUE_SIZE, 2), size);
	/* what a modern driver chose once is not what a legacy one finds */
	set_common(&f->d, C_QUEUE_SIZE, 2, size / 4);
	assert_int_equal(get(f, L_QUEUE_SIZE, 2), size);
}

static void test_4_1_4_10_queue_select(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, L_QUEUE_SELECT, 2), 0);
	set(f, L_QUEUE_SELECT, 2, 0x1234);
	assert_int_equal(get(f, L_QUEUE_SELECT, 2), 0x1234);
	/* a queue that is not there */
	assert_int_equal(get(f, L_QUEUE_SIZE, 2), 0);
	assert_int_equal(get(f, L_QUEUE_ADDRESS, 4), 0);
	set(f, L_QUEUE_ADDRESS, 4, 7);
	assert_int_equal(get(f, L_QUEUE_ADDRESS, 4), 0);
	set(f, L_QUEUE_SELECT, 2, 0);
	assert_int_equal(get(f, L_QUEUE_ADDRESS, 4), 0);
}

/* rules: admin-legacy-5 admin-legacy-6 */
static void test_4_1_4_10_device_status(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, L_STATUS, 1), 0);
	set(f, L_STATUS, 1, S_ACKNOWLEDGE);
	assert_int_equal(get(f, L_STATUS, 1), S_ACKNOWLEDGE);
	set(f, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK);
	assert_int_equal(get(f, L_STATUS, 1), S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK);
	set(f, L_STATUS, 1, S_FAILED);
	assert_int_equal(get(f, L_STATUS, 1), S_FAILED);
}

/* 3.1.2: legacy devices do not support FEATURES_OK. */
/* rules: pci-legacy-5 */
static void test_3_1_2_features_ok_does_not_exist(void **state)
{
	struct fixture *f = *state;

	set(f, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
	assert_int_equal(get(f, L_STATUS, 1), S_ACKNOWLEDGE | S_DRIVER);
	/* so features can still be written */
	set(f, L_DRIVER_FEATURES, 4, 1u << 29);
	assert_int_equal(get(f, L_DRIVER_FEATURES, 4), 1u << 29);
}

/* A write of 0 resets everything. */
static void test_4_1_4_10_status_zero_resets(void **state)
{
	struct fixture *f = *state;

	set(f, L_DRIVER_FEATURES, 4, 1u << 29);
	set(f, L_QUEUE_ADDRESS, 4, DRIVER_IOVA >> 12);
	set(f, L_QUEUE_SELECT, 2, 3);
	set(f, L_STATUS, 1, 7);
	set(f, L_STATUS, 1, 0);
	assert_int_equal(get(f, L_STATUS, 1), 0);
	assert_int_equal(get(f, L_DRIVER_FEATURES, 4), 0);
	assert_int_equal(get(f, L_QUEUE_SELECT, 2), 0);
	assert_int_equal(get(f, L_QUEUE_ADDRESS, 4), 0);
	/* and gives the function to whatever driver comes next */
	assert_true(driver_negotiate(&f->d, F_VERSION_1));
}

static void test_4_1_4_10_isr_status_is_read_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(get(f, L_ISR, 1), 0);
	set(f, L_ISR, 1, 0xff);
	assert_int_equal(get(f, L_ISR, 1), 0);
}

static void test_4_1_4_10_queue_notify_reads_as_something(void **state)
{
	struct fixture *f = *state;
	uint64_t value;

	assert_int_equal(legacy_read(&f->pf, M, L_QUEUE_NOTIFY, 2, &value), OK);
	set(f, L_QUEUE_NOTIFY, 2, 0x7777); /* no such queue: nothing */
	assert_int_equal(get(f, L_STATUS, 1), 0);
}

/* The vector fields exist while MSI-X is enabled in the member, and no longer. */
/* rules: pci-legacy-2 */
static void test_4_1_4_10_vectors_exist_while_msix_is_enabled(void **state)
{
	struct fixture *f = *state;
	uint64_t value;

	for (int round = 0; round < 2; round++) {
		assert_int_equal(legacy_read(&f->pf, M, L_CONFIG_VECTOR, 2, &value), INVALID_FIELD);
		assert_int_equal(legacy_read(&f->pf, M, L_QUEUE_VECTOR, 2, &value), INVALID_FIELD);
		assert_int_equal(legacy_write(&f->pf, M, L_CONFIG_VECTOR, 2, 0), INVALID_FIELD);
		assert_int_equal(legacy_write(&f->pf, M, L_QUEUE_VECTOR, 2, 0), INVALID_FIELD);
		driver_bind(&f->d, 2);
		assert_int_equal(get(f, L_CONFIG_VECTOR, 2), NO_VECTOR);
		assert_int_equal(get(f, L_QUEUE_VECTOR, 2), NO_VECTOR);
		for (uint16_t v = 0; v < 2; v++)
			assert_int_equal(f->d.pa->ops->irq_bind(f->d.pa, v, -1), 0);
		f->d.pa->ops->irq_enable(f->d.pa, false);
	}
}

/* 4.1.5.1.2.1 holds for them as well. */
static void test_4_1_5_1_2_1_legacy_vectors(void **state)
{
	static const enum legacy fields[] = { L_CONFIG_VECTOR, L_QUEUE_VECTOR };
	struct fixture *f = *state;

	driver_bind(&f->d, 2);
	for (size_t i = 0; i < 2; i++) {
		set(f, fields[i], 2, 1);
		assert_int_equal(get(f, fields[i], 2), 1);
		set(f, fields[i], 2, 0x700); /* more than there are */
		assert_int_equal(get(f, fields[i], 2), NO_VECTOR);
		set(f, fields[i], 2, 0);
		assert_int_equal(get(f, fields[i], 2), 0);
		set(f, fields[i], 2, NO_VECTOR);
		assert_int_equal(get(f, fields[i], 2), NO_VECTOR);
		set(f, fields[i], 2, 1);
	}
	set(f, L_QUEUE_SELECT, 2, 99);
	assert_int_equal(get(f, L_QUEUE_VECTOR, 2), NO_VECTOR);
	set(f, L_STATUS, 1, 0);
	assert_int_equal(get(f, L_CONFIG_VECTOR, 2), NO_VECTOR);
	assert_int_equal(get(f, L_QUEUE_VECTOR, 2), NO_VECTOR);
}

/* --- 2.12.1.1.6: an access is to one field, or a part of it --- */

struct layout {
	uint8_t at;
	uint8_t len;
};

static const struct layout common_fields[] = {
	{ 0x00, 4 }, { 0x04, 4 }, { 0x08, 4 }, { 0x0c, 2 }, { 0x0e, 2 },
	{ 0x10, 2 }, { 0x12, 1 }, { 0x13, 1 }, { 0x14, 2 }, { 0x16, 2 },
};

/* struct virtio_blk_config (5.2.4), up to where the device's ends. */
static const struct layout blk_fields[] = {
	{ 0, 8 },  { 8, 4 },  { 12, 4 }, { 16, 2 }, { 18, 1 }, { 19, 1 }, { 20, 4 },
	{ 24, 1 }, { 25, 1 }, { 26, 2 }, { 28, 4 }, { 32, 1 }, { 33, 1 }, { 34, 2 },
	{ 36, 4 }, { 40, 4 }, { 44, 4 }, { 48, 4 }, { 52, 4 }, { 56, 1 }, { 57, 3 },
};

static bool in_one_field(const struct layout *fields, size_t n, uint32_t at, uint32_t len)
{
	for (size_t i = 0; i < n; i++)
		if (len && at >= fields[i].at && at + len <= fields[i].at + (uint32_t)fields[i].len)
			return true;
	return false;
}

/* Every offset and length there is: a read works if it is in one field, and fails if it is not. */
static void read_everywhere(struct fixture *f, bool msix)
{
	size_t n = sizeof(common_fields) / sizeof(common_fields[0]) - (msix ? 0 : 2);

	for (uint32_t at = 0; at < 256; at++) {
		for (uint32_t len = 0; len <= 8; len++) {
			bool good = in_one_field(common_fields, n, at, len);
			uint64_t value;

			if (at > 0x1c && at < 0xfe && len > 2)
				continue;
			assert_int_equal(legacy_read(&f->pf, M, (uint8_t)at, len, &value),
					 good ? OK : INVALID_FIELD);
			assert_int_equal(f->pf.used_len, good ? 8 + len : 8);
		}
	}
}

/* rules: admin-legacy-3 admin-cmd-4 */
static void test_2_12_1_1_6_common_reads_are_of_one_field(void **state)
{
	read_everywhere(*state, false);
}

/* rules: admin-legacy-3 */
static void test_2_12_1_1_6_common_reads_are_of_one_field_with_msix(void **state)
{
	struct fixture *f = *state;

	driver_bind(&f->d, 1);
	read_everywhere(f, true);
}

/* ... and a write that is not changes nothing. */
/* rules: admin-legacy-3 admin-cmd-5 */
static void test_2_12_1_1_6_common_writes_are_of_one_field(void **state)
{
	struct fixture *f = *state;
	size_t n = sizeof(common_fields) / sizeof(common_fields[0]) - 2;
	struct virtio_pci_state before;

	set(f, L_DRIVER_FEATURES, 4, 1u << 29);
	set(f, L_STATUS, 1, 3);
	before = *f->vf->state;
	for (uint32_t at = 0; at < 0x20; at++)
		for (uint32_t len = 0; len <= 8; len++)
			if (!in_one_field(common_fields, n, at, len))
				assert_int_equal(legacy_write(&f->pf, M, (uint8_t)at, len, 0),
						 INVALID_FIELD);
	assert_memory_equal(&before, f->vf->state, sizeof(before));
	/* lengths that no field has */
	for (uint32_t len = 9; len < 500; len += 70) {
		uint8_t data[512] = { L_STATUS };

		assert_int_equal(
			admin(&f->pf, LEGACY_COMMON_WRITE, SRIOV_GROUP, M, data, len, NULL, 0),
			len == 9 ? OK : INVALID_FIELD);
	}
}

/* No restriction on the length inside a field: parts are parts of the little-endian value. */
/* rules: admin-legacy-2 */
static void test_2_12_1_1_6_parts_of_fields(void **state)
{
	struct fixture *f = *state;
	uint32_t offered = (uint32_t)get(f, L_DEVICE_FEATURES, 4);

	for (uint8_t i = 0; i < 4; i++)
		assert_int_equal(get(f, i, 1), offered >> (8 * i) & 0xff);
	assert_int_equal(get(f, 1, 2), offered >> 8 & 0xffff);
	assert_int_equal(get(f, 1, 3), offered >> 8);
	/* a part that is written leaves the rest as it is */
	set(f, L_QUEUE_SELECT, 2, 0x1234);
	set(f, L_QUEUE_SELECT + 1, 1, 0x56);
	assert_int_equal(get(f, L_QUEUE_SELECT, 2), 0x5634);
	set(f, L_QUEUE_SELECT, 1, 0x78);
	assert_int_equal(get(f, L_QUEUE_SELECT, 2), 0x5678);
	set(f, L_DRIVER_FEATURES, 4, offered);
	set(f, L_DRIVER_FEATURES + 3, 1, 0);
	assert_int_equal(get(f, L_DRIVER_FEATURES, 4), offered & 0xffffff);
}

/* --- device-specific configuration --- */

/* rules: admin-legacy-4 admin-legacy-8 */
static void test_2_12_1_1_6_device_reads_are_of_one_field(void **state)
{
	struct fixture *f = *state;
	uint32_t length = f->d.cap[CAP_DEVICE].length;
	uint64_t value;

	assert_int_equal(length, 60);
	for (uint32_t at = 0; at < 72; at++)
		for (uint32_t len = 0; len <= 8; len++) {
			bool good = in_one_field(
				blk_fields, sizeof(blk_fields) / sizeof(blk_fields[0]), at, len);

			assert_int_equal(legacy_dev_read(&f->pf, M, (uint8_t)at, len, &value),
					 good ? OK : INVALID_FIELD);
			/* the same as through the other transport (4.1.4.10) */
			for (uint32_t i = 0; good && i < len; i++)
				assert_int_equal(value >> (8 * i) & 0xff,
						 reg_read(&f->d, CAP_DEVICE, at + i, 1));
		}
	assert_int_equal(legacy_dev_read(&f->pf, M, 0xff, 1, &value), INVALID_FIELD);
}

/* 2.12.1.1.6: little-endian, unconditionally. */
/* rules: admin-legacy-2 */
static void test_2_12_1_1_6_device_fields_are_little_endian(void **state)
{
	struct fixture *f = *state;
	uint64_t value;

	assert_int_equal(legacy_dev_read(&f->pf, M, 0, 8, &value), OK);
	assert_true(value == 0x123456789);
	assert_int_equal(legacy_dev_read(&f->pf, M, 1, 4, &value), OK);
	assert_int_equal(value, 0x01234567);
	assert_int_equal(legacy_dev_read(&f->pf, M, 20, 4, &value), OK);
	assert_int_equal(value, 512);
}

/* rules: admin-legacy-4 */
static void test_2_12_1_1_6_device_writes_are_of_one_field(void **state)
{
	struct fixture *f = *state;
	size_t n = sizeof(blk_fields) / sizeof(blk_fields[0]);
	uint64_t capacity;

	for (uint32_t at = 0; at < 72; at++)
		for (uint32_t len = 0; len <= 8; len++)
			assert_int_equal(legacy_dev_write(&f->pf, M, (uint8_t)at, len, 0),
					 in_one_field(blk_fields, n, at, len) ? OK : INVALID_FIELD);
	/* what is read-only was not changed */
	assert_int_equal(legacy_dev_read(&f->pf, M, 0, 8, &capacity), OK);
	assert_true(capacity == 0x123456789);
}

/* A command names the offset in the device's configuration: that does not move with MSI-X. */
static void test_2_12_1_1_device_offsets_do_not_move_with_msix(void **state)
{
	struct fixture *f = *state;
	uint64_t value;

	driver_bind(&f->d, 1);
	assert_int_equal(legacy_dev_read(&f->pf, M, 0, 8, &value), OK);
	assert_true(value == 0x123456789);
	assert_int_equal(legacy_read(&f->pf, M, 0x18, 4, &value), INVALID_FIELD);
}

static void test_a_type_without_configuration_has_no_fields_there(void **state)
{
	struct fixture *f = *state;
	uint64_t value;

	for (uint32_t len = 0; len <= 4; len++) {
		assert_int_equal(legacy_dev_read(&f->pf, M, 0, len, &value), INVALID_FIELD);
		assert_int_equal(legacy_dev_write(&f->pf, M, 0, len, 0), INVALID_FIELD);
	}
	assert_int_equal(get(f, L_QUEUE_SIZE, 2), 64);
}

/* A result without room for it is of length 0, which is no field. */
static void test_a_read_needs_room_for_its_result(void **state)
{
	struct fixture *f = *state;
	struct admin_head head = { .opcode = LEGACY_COMMON_READ, .group_type = 1, .member = M };
	struct admin_cmd cmd;

	cmd = admin_send(&f->pf, &head, ADMIN_HEAD + 1, 8);
	assert_int_equal(admin_wait(&f->pf, &cmd), INVALID_FIELD);
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD + 1, 500);
	assert_int_equal(admin_wait(&f->pf, &cmd), INVALID_FIELD);
	head.opcode = LEGACY_DEV_READ;
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD + 1, 500);
	assert_int_equal(admin_wait(&f->pf, &cmd), INVALID_FIELD);
}

/* --- 2.12.1.1.5: notification addresses --- */

struct notify_entry {
	uint8_t flags;
	uint8_t bar;
	uint8_t padding[6];
	uint64_t offset;
};

/* rules: admin-legacy-13 admin-legacy-14 admin-legacy-15 */
static void test_2_12_1_1_6_notify_info(void **state)
{
	static const uint8_t zero[6];
	struct fixture *f = *state;
	struct notify_entry e[4];
	bool ended = false;
	int valid = 0;

	assert_int_equal(admin(&f->pf, LEGACY_NOTIFY_INFO, SRIOV_GROUP, M, NULL, 0, e, sizeof(e)),
			 OK);
	assert_int_equal(f->pf.used_len, 8 + 64);
	assert_int_equal(e[3].flags, 0);
	for (int i = 0; i < 4 && !ended; i++) {
		uint16_t at;

		if (!e[i].flags) {
			ended = true;
			break;
		}
		valid++;
		assert_true(e[i].flags == 1 || e[i].flags == 2);
		assert_true(e[i].bar >= 1 && e[i].bar <= 5);
		assert_int_equal(e[i].offset % 2, 0);
		assert_memory_equal(e[i].padding, zero, 6);
		/* a BAR that is not hardwired to zero, and large enough */
		at = (uint16_t)((e[i].flags == 2 ? SRIOV_AT + SRIOV_BAR : 0x10) + 4 * e[i].bar);
		cfg_write(&f->pf.d, at, 4, 0xffffffff);
		assert_true((cfg_read(&f->pf.d, at, 4) & ~0xfu) != 0);
		assert_true(-(cfg_read(&f->pf.d, at, 4) & ~0xfu) >= e[i].offset + 2);
		cfg_write(&f->pf.d, at, 4, 0);
	}
	assert_true(valid > 0);
	assert_int_equal(e[0].flags, 2); /* in the member first: Linux uses no other */
}

/* 2.12.1.1.6: a notification there is the same as one by command. */
/* rules: admin-legacy-11 admin-legacy-5 */
static void test_2_12_1_1_6_a_write_to_the_address_is_a_queue_notify(void **state)
{
	struct fixture *f = *state;
	struct notify_entry e[4];
	uint64_t page = ram_alloc(&f->d.ram, 4096, 4096);
	uint16_t queue = 0;
	struct ring ring;
	uint32_t id, len;

	set(f, L_STATUS, 1, 3);
	set(f, L_QUEUE_ADDRESS, 4,
	    ring_init_legacy(&ring, &f->d.ram, (uint16_t)get(f, L_QUEUE_SIZE, 2)) >> 12);
	ring_add(&ring, &(struct buf){ page, 16, true }, 1);
	assert_false(ring_used(&ring, &id, &len));
	set(f, L_QUEUE_NOTIFY, 2, 0);
	driver_used(&f->d, &ring, &len);
	assert_int_equal(admin(&f->pf, LEGACY_NOTIFY_INFO, SRIOV_GROUP, M, NULL, 0, e, sizeof(e)),
			 OK);
	for (int i = 0; i < 4 && e[i].flags; i++) {
		struct pci_access *pa = e[i].flags == 2 ? f->d.pa : f->pf.d.pa;

		machine_settle(f->m);
		ring_add(&ring, &(struct buf){ page, 16, true }, 1);
		machine_settle(f->m);
		assert_false(ring_used(&ring, &id, &len));
		pa->ops->bar_write(pa, e[i].bar, e[i].offset, &queue, 2);
		driver_used(&f->d, &ring, &len);
	}
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_RNG(name) cmocka_unit_test_setup_teardown(name, setup_rng, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_4_1_4_10_device_features),
		TEST(test_4_1_4_10_driver_features),
		TEST(test_4_1_4_10_high_features_are_not_acknowledged),
		TEST(test_4_1_4_10_queue_address),
		TEST(test_4_1_4_10_queue_size),
		TEST(test_4_1_4_10_queue_select),
		TEST(test_4_1_4_10_device_status),
		TEST(test_3_1_2_features_ok_does_not_exist),
		TEST(test_4_1_4_10_status_zero_resets),
		TEST(test_4_1_4_10_isr_status_is_read_only),
		TEST(test_4_1_4_10_queue_notify_reads_as_something),
		TEST(test_4_1_4_10_vectors_exist_while_msix_is_enabled),
		TEST(test_4_1_5_1_2_1_legacy_vectors),
		TEST(test_2_12_1_1_6_common_reads_are_of_one_field),
		TEST(test_2_12_1_1_6_common_reads_are_of_one_field_with_msix),
		TEST(test_2_12_1_1_6_common_writes_are_of_one_field),
		TEST(test_2_12_1_1_6_parts_of_fields),
		TEST(test_2_12_1_1_6_device_reads_are_of_one_field),
		TEST(test_2_12_1_1_6_device_fields_are_little_endian),
		TEST(test_2_12_1_1_6_device_writes_are_of_one_field),
		TEST(test_2_12_1_1_device_offsets_do_not_move_with_msix),
		TEST_RNG(test_a_type_without_configuration_has_no_fields_there),
		TEST(test_a_read_needs_room_for_its_result),
		TEST(test_2_12_1_1_6_notify_info),
		TEST_RNG(test_2_12_1_1_6_a_write_to_the_address_is_a_queue_notify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
