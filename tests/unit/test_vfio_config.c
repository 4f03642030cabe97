/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space as the user of a function sees it: under vfio-pci the modern function as it
 * is, under virtio-vfio-pci a transitional one (virtio 1.3, 4.1.2.3 and 4.1.4.10).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "host.h"

struct fixture {
	struct host *h;
	struct user *u;
};

static int setup_with(void **state, const char *type, const char *driver, bool legacy_only)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->h = host_new(type, 8);
	f->u = user_new(f->h, 3, driver, legacy_only);
	*state = f;
	return 0;
}

static int setup_modern(void **state)
{
	return setup_with(state, "blk", "vfio-pci", false);
}

static int setup_transitional(void **state)
{
	return setup_with(state, "blk", "virtio-vfio-pci", false);
}

static int setup_rng(void **state)
{
	return setup_with(state, "rng", "virtio-vfio-pci", false);
}

static int setup_legacy_only(void **state)
{
	return setup_with(state, "blk", "virtio-vfio-pci", true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	user_free(f->u);
	host_free(f->h);
	free(f);
	return 0;
}

static uint32_t cfg(struct fixture *f, uint16_t at, uint8_t len)
{
	return (uint32_t)user_read(f->u, CONFIG, at, len);
}

static void set_cfg(struct fixture *f, uint16_t at, uint8_t len, uint32_t value)
{
	user_write(f->u, CONFIG, at, len, value);
}

static uint64_t size_bar(struct fixture *f, unsigned int bar)
{
	uint16_t at = (uint16_t)(PCI_BASE_ADDRESS_0 + 4 * bar);
	uint32_t before = cfg(f, at, 4), mask;

	set_cfg(f, at, 4, 0xffffffff);
	mask = cfg(f, at, 4);
	set_cfg(f, at, 4, before);
	return mask;
}

/*
 * Walks the capabilities: each dword-aligned, behind the header, once, and an end. Returns how
 * many there are of an id.
 */
static int count_caps(struct fixture *f, uint8_t id)
{
	uint16_t at = (uint16_t)cfg(f, PCI_CAPABILITY_LIST, 1);
	bool seen[256] = { false };
	int n = 0;

	assert_true(cfg(f, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	while (at) {
		assert_true(at >= 0x40 && at % 4 == 0);
		assert_false(seen[at]);
		seen[at] = true;
		if (cfg(f, at, 1) == id)
			n++;
		assert_int_not_equal(cfg(f, at, 1), 0);
		at = (uint16_t)cfg(f, (uint16_t)(at + 1), 1);
	}
	return n;
}

static uint16_t find_cap(struct fixture *f, uint8_t id)
{
	uint16_t at = (uint16_t)cfg(f, PCI_CAPABILITY_LIST, 1);

	while (at && cfg(f, at, 1) != id)
		at = (uint16_t)cfg(f, (uint16_t)(at + 1), 1);
	return at;
}

/* --- vfio-pci --- */

static void test_vfio_pci_shows_the_modern_function(void **state)
{
	struct fixture *f = *state;
	struct vfio_irq_info irq;

	assert_int_equal(cfg(f, 0, 4), 0x10421af4);
	assert_true(cfg(f, PCI_REVISION_ID, 1) >= 1);
	assert_true(cfg(f, PCI_SUBSYSTEM_ID, 2) >= 0x40);
	assert_int_equal(cfg(f, PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(cfg(f, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(size_bar(f, 0), 0);
	assert_int_equal(count_caps(f, PCI_CAP_ID_VNDR), 5);
	assert_int_equal(count_caps(f, PCI_CAP_ID_MSIX), 1);
	assert_int_equal(vfio_device_irq_info(f->u->vdev, VFIO_PCI_INTX_IRQ_INDEX, &irq), 0);
	assert_int_equal(irq.count, 0);
	/* there is no I/O to decode */
	set_cfg(f, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(cfg(f, PCI_COMMAND, 2),
			 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
}

/* BARs of a VF are its PF's business; its user has them in its header all the same. */
static void test_memory_bars_can_be_sized_and_placed(void **state)
{
	struct fixture *f = *state;
	struct vfio_region_info info;

	for (unsigned int bar = 2; bar < 6; bar += 2) {
		uint16_t at = (uint16_t)(PCI_BASE_ADDRESS_0 + 4 * bar);
		uint64_t mask = size_bar(f, bar) | size_bar(f, bar + 1) << 32;

		assert_int_equal(mask & 0xf,
				 PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
		assert_int_equal(vfio_device_region_info(f->u->vdev, bar, &info), 0);
		assert_true(info.size == -(mask & ~0xfull));
		set_cfg(f, at, 4, 0xfeb0f00d);
		set_cfg(f, (uint16_t)(at + 4), 4, 0x17);
		assert_int_equal(cfg(f, at, 4) & 0xffff0000, 0xfeb00000);
		assert_int_equal(cfg(f, (uint16_t)(at + 4), 4), 0x17);
		assert_int_equal(vfio_device_region_info(f->u->vdev, bar + 1, &info), 0);
		assert_int_equal(info.size, 0);
	}
	assert_int_equal(size_bar(f, 1), 0);
	set_cfg(f, PCI_ROM_ADDRESS, 4, 0xffffffff);
	assert_int_equal(cfg(f, PCI_ROM_ADDRESS, 4), 0);
}

/* --- virtio-vfio-pci --- */

/* 4.1.2.3: transitional id, revision 0, and the virtio id as subsystem. */
static void check_transitional(struct fixture *f, uint32_t device, uint32_t subsystem)
{
	assert_int_equal(cfg(f, 0, 4), device << 16 | 0x1af4);
	assert_int_equal(cfg(f, PCI_REVISION_ID, 1), 0);
	assert_int_equal(cfg(f, PCI_SUBSYSTEM_ID, 2), subsystem);
	assert_int_equal(cfg(f, PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(cfg(f, PCI_INTERRUPT_PIN, 1), 1);
	/* none of it can be written */
	set_cfg(f, 0, 4, 0xffffffff);
	set_cfg(f, PCI_REVISION_ID, 4, 0xffffffff);
	set_cfg(f, PCI_SUBSYSTEM_VENDOR_ID, 4, 0xffffffff);
	set_cfg(f, PCI_INTERRUPT_LINE, 2, 0x0b0b);
	assert_int_equal(cfg(f, 0, 4), device << 16 | 0x1af4);
	assert_int_equal(cfg(f, PCI_REVISION_ID, 1), 0);
	assert_int_equal(cfg(f, PCI_SUBSYSTEM_ID, 2), subsystem);
	assert_int_equal(cfg(f, PCI_INTERRUPT_LINE, 2), 0x010b);
}

/* rules: pci-id-1 pci-id-2 pci-id-4 */
static void test_4_1_2_3_ids_of_a_transitional_blk(void **state)
{
	check_transitional(*state, 0x1001, 2);
}

/* rules: pci-id-4 */
static void test_4_1_2_3_ids_of_a_transitional_rng(void **state)
{
	check_transitional(*state, 0x1005, 4);
}

/* 4.1.4.10: BAR 0 is I/O, as large as both layouts of the registers need. */
static void check_io_bar(struct fixture *f, uint32_t size)
{
	struct vfio_region_info info;

	assert_int_equal(size_bar(f, 0), ~(size - 1) | PCI_BASE_ADDRESS_SPACE_IO);
	assert_int_equal(vfio_device_region_info(f->u->vdev, 0, &info), 0);
	assert_int_equal(info.size, size);
	assert_int_equal(info.flags, VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE);
	set_cfg(f, PCI_BASE_ADDRESS_0, 4, 0xc123);
	assert_int_equal(cfg(f, PCI_BASE_ADDRESS_0, 4), (0xc123 & ~(size - 1)) | 1);
	assert_int_equal(size_bar(f, 1), 0);
	set_cfg(f, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(cfg(f, PCI_COMMAND, 2), PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
							 PCI_COMMAND_MASTER |
							 PCI_COMMAND_INTX_DISABLE);
}

/* rules: pci-legacy-1 */
static void test_4_1_4_10_the_io_bar_of_blk(void **state)
{
	check_io_bar(*state, 128); /* 24 + 60 */
}

static void test_4_1_4_10_the_io_bar_of_rng(void **state)
{
	check_io_bar(*state, 32); /* 24 */
}

static void test_a_transitional_function_keeps_its_modern_capabilities(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(count_caps(f, PCI_CAP_ID_VNDR), 5);
	assert_int_equal(count_caps(f, PCI_CAP_ID_MSIX), 1);
	assert_int_equal(count_caps(f, PCI_CAP_ID_EXP), 1);
}

/* 4.1.5.1.1.1: without virtio capabilities any driver takes the device for a legacy one. */
static void test_legacy_only_hides_the_modern_capabilities(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->u->member->pa;

	assert_int_equal(count_caps(f, PCI_CAP_ID_VNDR), 0);
	assert_int_equal(count_caps(f, PCI_CAP_ID_MSIX), 1);
	assert_int_equal(count_caps(f, PCI_CAP_ID_EXP), 1);
	check_transitional(f, 0x1001, 2);
	/* not even by looking where they were */
	for (uint16_t at = 0x40; at < 0x100; at = (uint16_t)(at + 4))
		if (pa->ops->config_read(pa, at, 1) == PCI_CAP_ID_VNDR &&
		    at != find_cap(f, PCI_CAP_ID_MSIX) && at != find_cap(f, PCI_CAP_ID_EXP) &&
		    cfg(f, at, 1) == PCI_CAP_ID_VNDR)
			fail_msg("a capability at %#x", at);
	/* and a list that was written to is the same */
	set_cfg(f, PCI_CAPABILITY_LIST, 1, 0xf0);
	set_cfg(f, (uint16_t)(find_cap(f, PCI_CAP_ID_MSIX) + 1), 1, 0xf0);
	assert_int_equal(count_caps(f, PCI_CAP_ID_VNDR), 0);
	assert_int_equal(count_caps(f, PCI_CAP_ID_MSIX), 1);
}

/* --- both --- */

static void test_msix_is_enabled_for_the_user_and_in_the_function(void **state)
{
	struct fixture *f = *state;
	uint16_t at = (uint16_t)(find_cap(f, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS);
	uint32_t size = cfg(f, at, 2);

	assert_int_equal(size & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL), 0);
	assert_false(pci_function_msix_enabled(&f->u->member->vf.fn));
	set_cfg(f, at, 2, 0xffff);
	assert_int_equal(cfg(f, at, 2), size | PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_true(pci_function_msix_enabled(&f->u->member->vf.fn));
	set_cfg(f, (uint16_t)(at + 1), 1, 0);
	assert_int_equal(cfg(f, at, 2), size);
	assert_false(pci_function_msix_enabled(&f->u->member->vf.fn));
}

/* What the guest writes to the command register reaches the function where it means something. */
static void test_bus_mastering_is_the_functions(void **state)
{
	struct fixture *f = *state;

	assert_false(pci_function_bus_master(&f->u->member->vf.fn));
	set_cfg(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	assert_true(pci_function_bus_master(&f->u->member->vf.fn));
	set_cfg(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_false(pci_function_bus_master(&f->u->member->vf.fn));
	assert_int_equal(cfg(f, PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
}

static void test_config_can_be_read_in_any_pieces(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[256], bytes[256];

	assert_int_equal(user_start(f->u, CONFIG, 0, 256, false, NULL), 0);
	memcpy(whole, f->u->data, 256);
	for (uint16_t i = 0; i < 256; i++)
		bytes[i] = (uint8_t)cfg(f, i, 1);
	assert_memory_equal(whole, bytes, 256);
	assert_int_equal(cfg(f, 1, 4),
			 whole[1] | whole[2] << 8 | whole[3] << 16 | (uint32_t)whole[4] << 24);
	/* extended space reads zero for a VF */
	assert_int_equal(cfg(f, 0x100, 4), 0);
	assert_int_equal(cfg(f, 4095, 1), 0);
	assert_int_equal(user_start(f->u, CONFIG, 4095, 2, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, CONFIG, 4096, 1, false, NULL), -EINVAL);
}

/* A function level reset by the guest brings the user's view back, and is answered when done. */
static void test_the_flr_bit_resets_the_users_view(void **state)
{
	struct fixture *f = *state;
	uint16_t at = (uint16_t)(find_cap(f, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL);
	uint32_t bar = cfg(f, PCI_BASE_ADDRESS_0, 4);
	uint64_t resets = f->u->member->counters.value[COUNTER_resets];

	set_cfg(f, PCI_COMMAND, 2, 0xffff);
	set_cfg(f, PCI_BASE_ADDRESS_0, 4, 0xc000);
	set_cfg(f, PCI_BASE_ADDRESS_2, 4, 0xfeb00000);
	set_cfg(f, at, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(f->u->member->counters.value[COUNTER_resets], resets + 1);
	assert_int_equal(cfg(f, PCI_COMMAND, 2), 0);
	assert_int_equal(cfg(f, PCI_BASE_ADDRESS_0, 4), bar);
	assert_int_equal(cfg(f, PCI_BASE_ADDRESS_2, 4) & ~0xfu, 0);
	assert_int_equal(cfg(f, at, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	/* its neighbours don't */
	set_cfg(f, at, 2, 0xffff & ~PCI_EXP_DEVCTL_BCR_FLR);
	set_cfg(f, at, 1, 0xff);
	set_cfg(f, (uint16_t)(at + 2), 2, 0xffff);
	assert_int_equal(f->u->member->counters.value[COUNTER_resets], resets + 1);
	/* the upper byte alone does */
	set_cfg(f, (uint16_t)(at + 1), 1, PCI_EXP_DEVCTL_BCR_FLR >> 8);
	assert_int_equal(f->u->member->counters.value[COUNTER_resets], resets + 2);
}

int main(void)
{
#define TEST(how, name) cmocka_unit_test_setup_teardown(name, setup_##how, teardown)
	const struct CMUnitTest tests[] = {
		TEST(modern, test_vfio_pci_shows_the_modern_function),
		TEST(modern, test_memory_bars_can_be_sized_and_placed),
		TEST(transitional, test_memory_bars_can_be_sized_and_placed),
		TEST(transitional, test_4_1_2_3_ids_of_a_transitional_blk),
		TEST(rng, test_4_1_2_3_ids_of_a_transitional_rng),
		TEST(transitional, test_4_1_4_10_the_io_bar_of_blk),
		TEST(rng, test_4_1_4_10_the_io_bar_of_rng),
		TEST(transitional, test_a_transitional_function_keeps_its_modern_capabilities),
		TEST(legacy_only, test_legacy_only_hides_the_modern_capabilities),
		TEST(modern, test_msix_is_enabled_for_the_user_and_in_the_function),
		TEST(legacy_only, test_msix_is_enabled_for_the_user_and_in_the_function),
		TEST(modern, test_bus_mastering_is_the_functions),
		TEST(transitional, test_bus_mastering_is_the_functions),
		TEST(modern, test_config_can_be_read_in_any_pieces),
		TEST(legacy_only, test_config_can_be_read_in_any_pieces),
		TEST(modern, test_the_flr_bit_resets_the_users_view),
		TEST(transitional, test_the_flr_bit_resets_the_users_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
