/* SPDX-License-Identifier: BSD-3-Clause */
/* Virtio over PCI: what a function shows of itself (virtio 1.3, 4.1.2 to 4.1.4, 2.1, 2.2). */
#include "vf_fixture.h"

static int setup(void **state)
{
	*state = fixture_new("blk", false, 64, false);
	return 0;
}

static int setup_rng(void **state)
{
	*state = fixture_new("rng", false, 0, false);
	return 0;
}

/* --- 4.1.2: discovery --- */

/* 4.1.2.1: vendor 0x1af4, device 0x1040 + id; revision 1 and subsystem 0x40 or more. */
static void check_identity(struct fixture *f, uint32_t device_id)
{
	struct driver *pf = &f->pf.d;

	assert_int_equal(cfg_read(pf, 0x00, 2), 0x1af4);
	assert_int_equal(cfg_read(pf, 0x02, 2), 0x1040 + device_id);
	assert_true(cfg_read(pf, 0x08, 1) >= 1);
	assert_true(cfg_read(pf, 0x2e, 2) >= 0x40);
	/* 2.12.1.1.6: the member follows the rules for revision and subsystem, too */
	assert_int_equal(cfg_read(pf, SRIOV_AT + SRIOV_VF_DEVICE, 2), 0x1040 + device_id);
	assert_true(cfg_read(&f->d, 0x08, 1) >= 1);
	assert_true(cfg_read(&f->d, 0x2e, 2) >= 0x40);
	/* PCIe 9.3.4.1: vendor and device of a VF are told by its PF */
	assert_int_equal(cfg_read(&f->d, 0x00, 4), 0xffffffff);
}

/* rules: admin-legacy-9 admin-legacy-10 pci-id-1 pci-id-2 pci-id-3 */
static void test_4_1_2_1_ids_of_a_non_transitional_device(void **state)
{
	check_identity(*state, 2);
}

/* rules: admin-legacy-9 admin-legacy-10 pci-id-2 pci-id-3 */
static void test_4_1_2_1_ids_of_a_non_transitional_rng(void **state)
{
	check_identity(*state, 4);
}

/* --- 4.1.4: capabilities --- */

static uint64_t vf_bar_size(struct fixture *f, unsigned int bar)
{
	struct driver *pf = &f->pf.d;
	uint16_t at = (uint16_t)(SRIOV_AT + SRIOV_BAR + 4 * bar);
	uint64_t size;

	cfg_write(pf, at, 4, 0xffffffff);
	cfg_write(pf, (uint16_t)(at + 4), 4, 0xffffffff);
	size = cfg_read(pf, at, 4) & 0xfffffff0;
	assert_int_equal(cfg_read(pf, at, 4) & 7, 4); /* memory, 64 bits */
	size |= (uint64_t)cfg_read(pf, (uint16_t)(at + 4), 4) << 32;
	cfg_write(pf, at, 4, 0);
	cfg_write(pf, (uint16_t)(at + 4), 4, 0);
	return -size;
}

/* 4.1.4.2, 4.1.4.3.1 to 4.1.4.9.1: one of each at least, inside a BAR, aligned, not overlapping. */
/* rules: pci-cap-1 pci-cap-2 pci-common-1 pci-isr-1 pci-devcfg-1 pci-cfg-1 */
static void test_4_1_4_capabilities_are_inside_a_bar(void **state)
{
	struct fixture *f = *state;

	for (int t = CAP_COMMON; t < CAP_PCI; t++) {
		struct cap *c = &f->d.cap[t];

		assert_true(c->at);
		assert_true(c->len >= (t == CAP_NOTIFY ? 20 : 16));
		assert_true(c->bar <= 5);
		assert_true(c->length > 0);
		assert_true((uint64_t)c->offset + c->length <= vf_bar_size(f, c->bar));
		for (int u = CAP_COMMON; u < t; u++)
			assert_true(f->d.cap[u].bar != c->bar ||
				    c->offset >= f->d.cap[u].offset + f->d.cap[u].length ||
				    f->d.cap[u].offset >= c->offset + c->length);
	}
	assert_int_equal(f->d.cap[CAP_COMMON].offset % 4, 0);
	assert_true(f->d.cap[CAP_COMMON].length >= 64);
	assert_int_equal(f->d.cap[CAP_DEVICE].offset % 4, 0);
	assert_true(f->d.cap[CAP_PCI].at);
	assert_int_equal(f->d.cap[CAP_PCI].len, 20);
}

/* 4.1.4.6: device-specific configuration is told of where there is any. */
static void test_4_1_4_6_a_type_without_configuration_has_no_capability_for_it(void **state)
{
	struct fixture *f = *state;

	assert_true(f->d.cap[CAP_COMMON].at && f->d.cap[CAP_NOTIFY].at && f->d.cap[CAP_ISR].at &&
		    f->d.cap[CAP_PCI].at);
	assert_int_equal(f->d.cap[CAP_DEVICE].at, 0);
}

/* 4.1.4.1: a driver writes nothing in a capability but in that for configuration access. */
static void test_4_1_4_capabilities_are_read_only(void **state)
{
	struct fixture *f = *state;

	for (int t = CAP_COMMON; t < CAP_PCI; t++)
		for (uint16_t i = 0; i < f->d.cap[t].len; i = (uint16_t)(i + 4))
			cfg_write(&f->d, (uint16_t)(f->d.cap[t].at + i), 4, 0xffffffff);
	for (int t = CAP_COMMON; t < CAP_PCI; t++) {
		struct cap *c = &f->d.cap[t];

		assert_int_equal(cfg_read(&f->d, c->at, 1), 0x09);
		assert_int_equal(cfg_read(&f->d, (uint16_t)(c->at + 3), 1), t);
		assert_int_equal(cfg_read(&f->d, (uint16_t)(c->at + 4), 1), c->bar);
		assert_int_equal(cfg_read(&f->d, (uint16_t)(c->at + 8), 4), c->offset);
		assert_int_equal(cfg_read(&f->d, (uint16_t)(c->at + 12), 4), c->length);
	}
}

/* 4.1.4.4.1: alignment of 2, a multiplier that is 0 or an even power of 2, and room for all. */
/* rules: pci-notify-1 pci-notify-2 pci-notify-3 */
static void test_4_1_4_4_1_the_notification_structure_has_room_for_all_queues(void **state)
{
	struct fixture *f = *state;
	uint32_t mult = f->d.multiplier;

	assert_int_equal(f->d.cap[CAP_NOTIFY].offset % 2, 0);
	assert_true(mult == 0 || (mult >= 2 && (mult & (mult - 1)) == 0));
	for (uint16_t q = 0; q < common(&f->d, C_NUM_QUEUES, 2); q++) {
		set_common(&f->d, C_QUEUE_SELECT, 2, q);
		assert_true(f->d.cap[CAP_NOTIFY].length >=
			    common(&f->d, C_QUEUE_NOTIFY_OFF, 2) * mult + 2);
	}
}

/* --- 4.1.4.3: common configuration --- */

/* rules: pci-common-2 features-6 */
static void test_4_1_4_3_1_features_are_shown_by_select(void **state)
{
	struct fixture *f = *state;
	uint64_t offered = driver_offered(&f->d);

	assert_true(offered & F_VERSION_1);
	for (uint32_t select = 2; select < 70; select++) {
		set_common(&f->d, C_DEVICE_FEATURE_SELECT, 4, select);
		assert_int_equal(common(&f->d, C_DEVICE_FEATURE_SELECT, 4), select);
		assert_int_equal(common(&f->d, C_DEVICE_FEATURE, 4), 0);
	}
	set_common(&f->d, C_DEVICE_FEATURE_SELECT, 4, 0xffffffff);
	assert_int_equal(common(&f->d, C_DEVICE_FEATURE, 4), 0);
}

/* Valid bits the driver wrote are shown back, by select. */
/* rules: pci-common-3 */
static void test_4_1_4_3_1_driver_features_are_shown_back(void **state)
{
	struct fixture *f = *state;
	uint64_t offered = driver_offered(&f->d);

	set_common(&f->d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER);
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 0);
	set_common(&f->d, C_DRIVER_FEATURE, 4, (uint32_t)offered);
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 1);
	set_common(&f->d, C_DRIVER_FEATURE, 4, 1);
	assert_int_equal(common(&f->d, C_DRIVER_FEATURE, 4), 1);
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 0);
	assert_int_equal(common(&f->d, C_DRIVER_FEATURE, 4), (uint32_t)offered);
	/* beyond 63 there is nothing to accept */
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 2);
	set_common(&f->d, C_DRIVER_FEATURE, 4, 0xffffffff);
	assert_int_equal(common(&f->d, C_DRIVER_FEATURE, 4), 0);
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 0);
	assert_int_equal(common(&f->d, C_DRIVER_FEATURE, 4), (uint32_t)offered);
}

/* 4.1.3: multi-byte fields are little-endian; a driver may read any part of the structure. */
static void test_4_1_3_fields_can_be_read_in_parts(void **state)
{
	struct fixture *f = *state;

	set_common(&f->d, C_QUEUE_DESC, 4, 0x11223340);
	set_common(&f->d, C_QUEUE_DESC + 4, 4, 0x55667788);
	assert_true(reg_read(&f->d, CAP_COMMON, C_QUEUE_DESC, 8) == 0x5566778811223340);
	assert_int_equal(common(&f->d, C_QUEUE_DESC + 1, 1), 0x33);
	assert_int_equal(common(&f->d, C_QUEUE_DESC + 4, 2), 0x7788);
}

/* 4.1.3.2: both halves of a 64-bit field independently, in either order. */
/* rules: pci-layout-1 */
static void test_4_1_3_2_halves_of_64_bit_fields_are_independent(void **state)
{
	static const uint8_t fields[] = { C_QUEUE_DESC, C_QUEUE_DRIVER, C_QUEUE_DEVICE };
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		set_common(&f->d, fields[i] + 4u, 4, 0x1000 + i);
		set_common(&f->d, fields[i], 4, 0x40 * (i + 1));
		set_common(&f->d, fields[i] + 4u, 4, 0x2000 + i);
		assert_int_equal(common(&f->d, fields[i], 4), 0x40 * (i + 1));
		assert_int_equal(common(&f->d, fields[i] + 4u, 4), 0x2000 + i);
		set_common(&f->d, fields[i], 4, 0);
		assert_int_equal(common(&f->d, fields[i] + 4u, 4), 0x2000 + i);
	}
}

/* 4.1.4.3: some fields are read-only for the driver. */
static void test_4_1_4_3_read_only_fields_stay(void **state)
{
	static const struct {
		uint8_t at;
		uint8_t len;
	} fields[] = { { C_DEVICE_FEATURE, 4 },         { C_NUM_QUEUES, 2 },
		       { C_CONFIG_GENERATION, 1 },      { C_QUEUE_NOTIFY_OFF, 2 },
		       { C_ADMIN_QUEUE_INDEX, 2 },      { C_ADMIN_QUEUE_NUM, 2 },
		       { C_QUEUE_NOTIF_CONFIG_DATA, 2 } };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint32_t before = common(&f->d, fields[i].at, fields[i].len);

		set_common(&f->d, fields[i].at, fields[i].len, ~before);
		assert_int_equal(common(&f->d, fields[i].at, fields[i].len), before);
	}
}

/* A write that is wider or narrower than its field is none: no neighbour is changed by it. */
static void test_4_1_3_1_writes_of_another_width_change_nothing(void **state)
{
	struct fixture *f = *state;
	uint8_t before[64], after[64];

	for (unsigned int i = 0; i < 64; i++)
		before[i] = (uint8_t)common(&f->d, i, 1);
	reg_write(&f->d, CAP_COMMON, C_DEVICE_STATUS, 2, 0x0101);
	reg_write(&f->d, CAP_COMMON, C_DEVICE_STATUS, 4, 0x01010101);
	reg_write(&f->d, CAP_COMMON, C_QUEUE_SELECT, 4, 0x00100001);
	reg_write(&f->d, CAP_COMMON, C_QUEUE_SELECT, 1, 1);
	reg_write(&f->d, CAP_COMMON, C_DRIVER_FEATURE, 8, ~0ull);
	reg_write(&f->d, CAP_COMMON, C_QUEUE_DESC + 2, 4, ~0u);
	reg_write(&f->d, CAP_COMMON, C_QUEUE_DESC + 4, 8, ~0ull);
	reg_write(&f->d, CAP_COMMON, C_QUEUE_DESC, 2, 0xffff);
	reg_write(&f->d, CAP_COMMON, 62, 8, ~0ull);
	for (unsigned int i = 0; i < 64; i++)
		after[i] = (uint8_t)common(&f->d, i, 1);
	assert_memory_equal(before, after, 64);
}

/* 4.1.4.3.1: queue_size is a power of 2, and 0 for a queue that is not there. */
/* rules: pci-common-7 */
static void test_4_1_4_3_1_queue_size(void **state)
{
	struct fixture *f = *state;
	uint32_t n = common(&f->d, C_NUM_QUEUES, 2), size;

	assert_true(n >= 1);
	for (uint32_t q = 0; q < n; q++) {
		set_common(&f->d, C_QUEUE_SELECT, 2, q);
		size = common(&f->d, C_QUEUE_SIZE, 2);
		assert_true(size && (size & (size - 1)) == 0);
	}
	set_common(&f->d, C_QUEUE_SELECT, 2, 0);
	size = common(&f->d, C_QUEUE_SIZE, 2);
	/* smaller is the driver's to choose; larger, 0 and no power of 2 are not */
	set_common(&f->d, C_QUEUE_SIZE, 2, size / 2);
	assert_int_equal(common(&f->d, C_QUEUE_SIZE, 2), size / 2);
	set_common(&f->d, C_QUEUE_SIZE, 2, size * 2);
	assert_int_equal(common(&f->d, C_QUEUE_SIZE, 2), size / 2);
	set_common(&f->d, C_QUEUE_SIZE, 2, 0);
	set_common(&f->d, C_QUEUE_SIZE, 2, 3);
	assert_int_equal(common(&f->d, C_QUEUE_SIZE, 2), size / 2);
	driver_reset(&f->d);
	assert_int_equal(common(&f->d, C_QUEUE_SIZE, 2), size);
	for (uint32_t q = n; q < 0x10000; q += 0x1111) {
		set_common(&f->d, C_QUEUE_SELECT, 2, q);
		assert_int_equal(common(&f->d, C_QUEUE_SIZE, 2), 0);
		set_common(&f->d, C_QUEUE_SIZE, 2, 8);
		set_common(&f->d, C_QUEUE_ENABLE, 2, 1);
		assert_int_equal(common(&f->d, C_QUEUE_SIZE, 2), 0);
		assert_int_equal(common(&f->d, C_QUEUE_ENABLE, 2), 0);
	}
}

/* 4.1.4.3.2: everything about a queue is configured before it is enabled; 0 can't be written. */
static void test_4_1_4_3_2_an_enabled_queue_stays_as_it_is(void **state)
{
	struct fixture *f = *state;
	struct ring ring;

	assert_true(driver_negotiate(&f->d, F_VERSION_1));
	ring_init(&ring, &f->d.ram, 16);
	driver_queue(&f->d, 0, &ring, NO_VECTOR);
	set_common(&f->d, C_QUEUE_DESC, 4, 0x4000);
	set_common(&f->d, C_QUEUE_SIZE, 2, 8);
	set_common(&f->d, C_QUEUE_ENABLE, 2, 0);
	assert_int_equal(common(&f->d, C_QUEUE_DESC, 4), (uint32_t)ring.desc);
	assert_int_equal(common(&f->d, C_QUEUE_SIZE, 2), 16);
	assert_int_equal(common(&f->d, C_QUEUE_ENABLE, 2), 1);
}

/* 4.1.4.3.1: a write of 0 to the status resets, and everything is as at first. */
/* rules: pci-common-6 pci-common-5 */
static void test_4_1_4_3_1_reset_brings_everything_back(void **state)
{
	struct fixture *f = *state;
	uint8_t before[64], after[64];
	struct ring ring;

	for (unsigned int i = 0; i < 64; i++)
		before[i] = (uint8_t)common(&f->d, i, 1);
	driver_start(&f->d, F_EVENT_IDX, &ring, 8);
	set_common(&f->d, C_CONFIG_MSIX_VECTOR, 2, 1);
	driver_reset(&f->d);
	for (unsigned int i = 0; i < 64; i++)
		after[i] = (uint8_t)common(&f->d, i, 1);
	assert_memory_equal(before, after, 64);
	assert_int_equal(common(&f->d, C_QUEUE_ENABLE, 2), 0);
}

/* 4.1.4.3.1: admin queues are behind all others; a member has none. */
/* rules: pci-common-9 */
static void test_4_1_4_3_1_admin_queues(void **state)
{
	struct fixture *f = *state;
	struct driver *pf = &f->pf.d;

	assert_true(f->pf.index >= common(pf, C_NUM_QUEUES, 2));
	assert_true(f->pf.count <= 0x10000 - f->pf.index);
	for (uint32_t q = f->pf.index; q < (uint32_t)f->pf.index + f->pf.count; q++) {
		set_common(pf, C_QUEUE_SELECT, 2, q);
		assert_true(common(pf, C_QUEUE_SIZE, 2) >= 2);
	}
	assert_int_equal(common(&f->d, C_ADMIN_QUEUE_NUM, 2), 0);
}

/* --- 2.1, 2.2: status and features --- */

/* 2.2: a function without admin queues or SR-IOV offers neither; bits for legacy only, no more. */
/* rules: features-4 features-9 */
static void test_2_2_2_what_is_offered_works(void **state)
{
	struct fixture *f = *state;
	uint64_t pf = driver_offered(&f->pf.d), vf = driver_offered(&f->d);

	assert_int_equal(pf & (F_SR_IOV | F_ADMIN_VQ), F_SR_IOV | F_ADMIN_VQ);
	assert_int_equal(vf & (F_SR_IOV | F_ADMIN_VQ), 0);
	/* 6.3: NOTIFY_ON_EMPTY, ANY_LAYOUT and bit 30 are for the legacy interface */
	assert_int_equal(vf & (1u << 24 | 1u << 27 | 1u << 30), 0);
	assert_int_equal(pf & (1u << 24 | 1u << 27 | 1u << 30), 0);
	/* 2.2: 44 to 49 are reserved */
	assert_true((vf & 0x3f00000000000) == 0);
}

/* 2.2.2: any valid subset is accepted, again and again. */
/* rules: features-2 features-5 */
static void test_2_2_2_every_single_feature_can_be_negotiated(void **state)
{
	struct fixture *f = *state;
	uint64_t offered = driver_offered(&f->d);

	for (unsigned int bit = 0; bit < 64; bit++)
		if (offered >> bit & 1)
			assert_true(driver_negotiate(&f->d, F_VERSION_1 | 1ull << bit));
	assert_true(driver_negotiate(&f->d, offered));
	assert_true(driver_negotiate(&f->d, offered));
	assert_true(driver_negotiate(&f->d, F_VERSION_1));
}

/* 2.2.2: FEATURES_OK does not stay for what was not offered. */
/* rules: features-3 */
static void test_2_2_2_a_feature_that_was_not_offered_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t offered = driver_offered(&f->d);

	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(offered >> bit & 1))
			assert_false(driver_negotiate(&f->d, F_VERSION_1 | 1ull << bit));
	/* without a reset in between, the driver may think again */
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 0);
	set_common(&f->d, C_DRIVER_FEATURE, 4, 0);
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 1);
	set_common(&f->d, C_DRIVER_FEATURE, 4, 1);
	set_common(&f->d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
	assert_true(common(&f->d, C_DEVICE_STATUS, 1) & S_FEATURES_OK);
}

/* 2.2.3, 6: a non-transitional device works with VERSION_1 only. */
/* rules: features-3 */
static void test_6_without_version_1_features_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_false(driver_negotiate(&f->d, 0));
	assert_false(driver_negotiate(&f->d, F_EVENT_IDX));
}

/* 3.1.1: no new features after FEATURES_OK. */
static void test_3_1_1_features_are_final_with_features_ok(void **state)
{
	struct fixture *f = *state;

	assert_true(driver_negotiate(&f->d, F_VERSION_1));
	set_common(&f->d, C_DRIVER_FEATURE_SELECT, 4, 0);
	set_common(&f->d, C_DRIVER_FEATURE, 4, F_EVENT_IDX);
	assert_int_equal(common(&f->d, C_DRIVER_FEATURE, 4), 0);
}

/* 2.1: the status starts as 0 and shows the steps that were taken. */
static void test_2_1_status_shows_the_steps(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), 0);
	set_common(&f->d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE);
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), S_ACKNOWLEDGE);
	assert_true(driver_negotiate(&f->d, F_VERSION_1));
	driver_ok(&f->d);
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1),
			 S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
	set_common(&f->d, C_DEVICE_STATUS, 1, 0x8f);
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), 0x8f); /* FAILED */
	driver_reset(&f->d);
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), 0);
}

/* --- 2.5: device configuration --- */

/* 2.5.2: it can be read before FEATURES_OK, whatever was negotiated. */
/* rules: config-1 */
static void test_2_5_2_configuration_can_be_read_from_the_start(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 0, 8), 64);   /* capacity */
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 20, 4), 512); /* blk_size */
	assert_true(driver_negotiate(&f->d, F_VERSION_1));
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 0, 4), 64);
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 4, 4), 0);
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 20, 4), 512);
}

static void test_configuration_cannot_be_written_where_it_is_read_only(void **state)
{
	struct fixture *f = *state;

	for (uint32_t at = 0; at < f->d.cap[CAP_DEVICE].length; at += 4)
		if (at != 32) /* writeback */
			reg_write(&f->d, CAP_DEVICE, at, 4, 0xffffffff);
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 0, 8), 64);
	assert_int_equal(reg_read(&f->d, CAP_DEVICE, 20, 4), 512);
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_RNG(name) cmocka_unit_test_setup_teardown(name, setup_rng, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_4_1_2_1_ids_of_a_non_transitional_device),
		TEST_RNG(test_4_1_2_1_ids_of_a_non_transitional_rng),
		TEST(test_4_1_4_capabilities_are_inside_a_bar),
		TEST_RNG(test_4_1_4_6_a_type_without_configuration_has_no_capability_for_it),
		TEST(test_4_1_4_capabilities_are_read_only),
		TEST(test_4_1_4_4_1_the_notification_structure_has_room_for_all_queues),
		TEST(test_4_1_4_3_1_features_are_shown_by_select),
		TEST(test_4_1_4_3_1_driver_features_are_shown_back),
		TEST(test_4_1_3_fields_can_be_read_in_parts),
		TEST(test_4_1_3_2_halves_of_64_bit_fields_are_independent),
		TEST(test_4_1_4_3_read_only_fields_stay),
		TEST(test_4_1_3_1_writes_of_another_width_change_nothing),
		TEST(test_4_1_4_3_1_queue_size),
		TEST(test_4_1_4_3_2_an_enabled_queue_stays_as_it_is),
		TEST(test_4_1_4_3_1_reset_brings_everything_back),
		TEST(test_4_1_4_3_1_admin_queues),
		TEST(test_2_2_2_what_is_offered_works),
		TEST(test_2_2_2_every_single_feature_can_be_negotiated),
		TEST(test_2_2_2_a_feature_that_was_not_offered_is_refused),
		TEST(test_6_without_version_1_features_are_refused),
		TEST(test_3_1_1_features_are_final_with_features_ok),
		TEST(test_2_1_status_shows_the_steps),
		TEST(test_2_5_2_configuration_can_be_read_from_the_start),
		TEST(test_configuration_cannot_be_written_where_it_is_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
