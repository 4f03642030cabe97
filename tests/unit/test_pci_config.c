/* SPDX-License-Identifier: BSD-3-Clause */
/* pci/function.h: configuration space, BARs and reset, of a PF and of a VF. */
#include "test_pci_fixture.h"

/* --- the header --- */

static void test_identity_is_read_only(void **state)
{
	struct fixture *f = *state;

	for (uint16_t at = 0; at < 0x40; at = (uint16_t)(at + 4))
		if (at != PCI_COMMAND)
			set_cfg(f, at, 4, 0xffffffff);
	assert_int_equal(cfg(f, PCI_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(cfg(f, PCI_DEVICE_ID, 2), 0x1042);
	assert_int_equal(cfg(f, PCI_REVISION_ID, 1), 1);
	assert_int_equal(cfg(f, PCI_CLASS_PROG, 1), 0x00);
	assert_int_equal(cfg(f, PCI_CLASS_DEVICE, 2), 0x0180);
	assert_int_equal(cfg(f, PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af5);
	assert_int_equal(cfg(f, PCI_SUBSYSTEM_ID, 2), 0x42);
	assert_int_equal(cfg(f, PCI_HEADER_TYPE, 1), PCI_HEADER_TYPE_NORMAL);
	assert_int_equal(cfg(f, PCI_ROM_ADDRESS, 4), 0);
	assert_int_equal(cfg(f, PCI_CARDBUS_CIS, 4), 0);
	/* no INTx: pin 0; the line is the software's to scribble on */
	assert_int_equal(cfg(f, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(cfg(f, PCI_INTERRUPT_LINE, 1), 0xff);
}

static void test_command_has_the_bits_that_do_something(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(cfg(f, PCI_COMMAND, 2), 0);
	assert_false(pci_function_bus_master(&f->fn));
	set_cfg(f, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(cfg(f, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(pci_function_bus_master(&f->fn));
	/* a byte of it */
	set_cfg(f, PCI_COMMAND + 1, 1, 0xff);
	set_cfg(f, PCI_COMMAND, 1, PCI_COMMAND_MEMORY);
	assert_int_equal(cfg(f, PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
	assert_false(pci_function_bus_master(&f->fn));
	/* status is not written to by writing both */
	set_cfg(f, PCI_COMMAND, 4, 0xffffffff);
	assert_int_equal(cfg(f, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
}

/* PCIe 9.3.4.1: a VF's ids are the PF's business, and so is its memory decoding. */
static void test_a_vf_has_no_ids_and_decodes_no_memory(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(cfg(f, PCI_VENDOR_ID, 4), 0xffffffff);
	assert_int_equal(cfg(f, PCI_SUBSYSTEM_ID, 2), 0x42);
	set_cfg(f, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(cfg(f, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	set_cfg(f, PCI_INTERRUPT_LINE, 2, 0xffff);
	assert_int_equal(cfg(f, PCI_INTERRUPT_LINE, 2), 0);
}

/* --- BARs --- */

static uint32_t size_bar(struct fixture *f, unsigned int bar)
{
	uint16_t at = (uint16_t)(PCI_BASE_ADDRESS_0 + 4 * bar);

	set_cfg(f, at, 4, 0xffffffff);
	return cfg(f, at, 4);
}

static void test_bars_tell_their_size(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(size_bar(f, 0), 0);
	assert_int_equal(size_bar(f, 1), 0);
	assert_int_equal(size_bar(f, 2), ~(BAR_SIZE - 1u) | PCI_BASE_ADDRESS_MEM_TYPE_64 |
						 PCI_BASE_ADDRESS_MEM_PREFETCH);
	assert_int_equal(size_bar(f, 3), 0xffffffff);
	assert_int_equal(size_bar(f, 4),
			 ~0xfffu | PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	assert_int_equal(size_bar(f, 5), 0xffffffff);
	/* an address keeps the low bits, which are no address */
	set_cfg(f, PCI_BASE_ADDRESS_2, 4, 0xfeb01234);
	assert_int_equal(cfg(f, PCI_BASE_ADDRESS_2, 4), 0xfeb0000c);
	set_cfg(f, PCI_BASE_ADDRESS_3, 4, 0x12);
	assert_int_equal(cfg(f, PCI_BASE_ADDRESS_3, 4), 0x12);
}

/* PCIe 9.3.4.1.11: they are in the PF's SR-IOV capability. */
static void test_a_vf_has_no_bars_in_its_header(void **state)
{
	struct fixture *f = *state;

	for (unsigned int bar = 0; bar < 6; bar++)
		assert_int_equal(size_bar(f, bar), 0);
	/* which does not mean that it has none */
	pci_function_bar_write(&f->fn, BAR, 4, "abcd", 4);
	assert_memory_equal(f->bar + 4, "abcd", 4);
}

static void test_bar_accesses_outside_read_all_ones_and_write_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	memset(f->bar, 0x11, sizeof(f->bar));
#define ONES(bar, offset, len)                                                      \
	do {                                                                        \
		v = 0;                                                              \
		pci_function_bar_read(&f->fn, bar, offset, &v, len);                \
		assert_true(v == ((len) == 8 ? ~0ull : (1ull << (8 * (len))) - 1)); \
		v = 0;                                                              \
		pci_function_bar_write(&f->fn, bar, offset, &v, len);               \
	} while (0)
	ONES(0, 0, 4);
	ONES(1, 0, 8);
	ONES(3, 0, 4); /* the upper half of BAR 2 is no BAR */
	ONES(6, 0, 4);
	ONES(255, 0, 1);
	ONES(BAR, BAR_SIZE, 1);
	ONES(BAR, BAR_SIZE - 1, 2);
	ONES(BAR, BAR_SIZE - 4, 8);
	ONES(BAR, UINT64_MAX, 8);
	ONES(BAR, UINT64_MAX - 3, 4);
	ONES(MSIX_BAR, 4096, 4);
#undef ONES
	pci_function_bar_read(&f->fn, BAR, BAR_SIZE - 8, &v, 8);
	assert_true(v == 0x1111111111111111ull);
	for (size_t i = 0; i < sizeof(f->bar); i++)
		assert_int_equal(f->bar[i], 0x11);
}

/* --- access --- */

static void test_config_accesses_out_of_range_read_all_ones(void **state)
{
	struct fixture *f = *state;
	struct pci_state before = f->state;

	assert_int_equal(cfg(f, 4096, 1), 0xffffffff);
	assert_int_equal(cfg(f, 4095, 2), 0xffffffff);
	assert_int_equal(cfg(f, 0xffff, 4), 0xffffffff);
	/* over the border of a dword */
	assert_int_equal(cfg(f, 3, 2), 0xffffffff);
	assert_int_equal(cfg(f, 2, 4), 0xffffffff);
	set_cfg(f, 4096, 1, 0xff);
	set_cfg(f, 0xffff, 4, 0xffffffff);
	set_cfg(f, 3, 2, 0xffff);
	assert_memory_equal(&f->state, &before, sizeof(before));
	assert_int_equal(f->writes, 0);
	/* there is nothing in extended space, which reads zero */
	assert_int_equal(cfg(f, 0x100, 4), 0);
	assert_int_equal(cfg(f, 4092, 4), 0);
	set_cfg(f, 0x100, 4, 0xffffffff);
	assert_int_equal(cfg(f, 0x100, 4), 0);
}

static void test_the_owner_hears_of_writes(void **state)
{
	struct fixture *f = *state;

	set_cfg(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(f->writes, 1);
	assert_int_equal(f->written.offset, PCI_COMMAND);
	assert_int_equal(f->written.len, 2);
	cfg(f, PCI_COMMAND, 2);
	assert_int_equal(f->writes, 1);
}

/* PCI 6.7: dword-aligned, behind the header, in the first 256 bytes, each once, and it ends. */
static void check_caps(struct fixture *f)
{
	uint16_t at = (uint16_t)cfg(f, PCI_CAPABILITY_LIST, 1);
	bool seen[256] = { false };
	int n = 0;

	assert_true(cfg(f, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	while (at) {
		assert_true(at >= 0x40 && at < 0x100 && at % 4 == 0);
		assert_false(seen[at]);
		seen[at] = true;
		n++;
		at = (uint16_t)cfg(f, (uint16_t)(at + 1), 1);
	}
	assert_int_equal(n, 2);
	assert_true(find_cap(f, PCI_CAP_ID_EXP));
	assert_true(find_cap(f, PCI_CAP_ID_MSIX));
}

static void test_the_capability_list_is_well_formed_and_stays_so(void **state)
{
	struct fixture *f = *state;
	uint16_t exp;

	check_caps(f);
	for (uint16_t at = 0x34; at < 0x100; at = (uint16_t)(at + 4))
		if (at != find_cap(f, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL)
			set_cfg(f, at, 4, 0xffffffff);
	check_caps(f);
	exp = find_cap(f, PCI_CAP_ID_EXP);
	assert_int_equal(cfg(f, (uint16_t)(exp + PCI_EXP_FLAGS), 2),
			 0x0092); /* root complex integrated endpoint, v2 */
	assert_true(cfg(f, (uint16_t)(exp + PCI_EXP_DEVCAP), 4) & PCI_EXP_DEVCAP_FLR);
}

/* --- reset --- */

static void flr(struct fixture *f)
{
	uint16_t at = (uint16_t)(find_cap(f, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL);

	set_cfg(f, at, 2, cfg(f, at, 2) | PCI_EXP_DEVCTL_BCR_FLR);
}

/* PCIe 6.6.2: Initiate Function Level Reset, which always reads 0. */
static void test_the_flr_bit_resets_and_reads_zero(void **state)
{
	struct fixture *f = *state;
	struct pci_state fresh = f->state;
	uint16_t devctl = (uint16_t)(find_cap(f, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL);
	uint64_t entry = 0x12345678fee00000;

	set_cfg(f, PCI_COMMAND, 2, 0xffff);
	set_cfg(f, PCI_BASE_ADDRESS_2, 4, 0xfeb00000);
	set_cfg(f, PCI_INTERRUPT_LINE, 1, 11);
	set_cfg(f, (uint16_t)(find_cap(f, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS), 2, 0xffff);
	pci_function_bar_write(&f->fn, MSIX_BAR, 0, &entry, 8);
	pci_function_msix_send(&f->fn, 1);
	assert_int_equal(f->resets, 0);
	flr(f);
	assert_int_equal(f->resets, 1);
	assert_int_equal(f->finished, 1);
	assert_memory_equal(&f->state, &fresh, sizeof(fresh));
	assert_int_equal(cfg(f, devctl, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	/* by a write of the upper byte alone, too */
	set_cfg(f, (uint16_t)(devctl + 1), 1, PCI_EXP_DEVCTL_BCR_FLR >> 8);
	assert_int_equal(f->resets, 2);
	/* and not by its neighbours */
	set_cfg(f, devctl, 1, 0xff);
	set_cfg(f, (uint16_t)(devctl + 2), 2, 0xffff);
	assert_int_equal(f->resets, 2);
}

static void test_a_reset_that_waits_ignores_writes_until_it_is_done(void **state)
{
	struct fixture *f = *state;

	f->busy = true;
	set_cfg(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(pci_function_reset(&f->fn, &f->wait), -EINPROGRESS);
	assert_int_equal(f->finished, 0);
	set_cfg(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(cfg(f, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	/* another one joins it */
	flr(f);
	assert_int_equal(f->resets, 1);
	pci_function_reset_done(&f->fn);
	assert_int_equal(f->finished, 1);
	assert_int_equal(f->waited, 1);
	assert_int_equal(cfg(f, PCI_COMMAND, 2), 0);
	set_cfg(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(cfg(f, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
}

static void test_nobody_is_called_who_does_not_wait_any_more(void **state)
{
	struct fixture *f = *state;

	f->busy = true;
	assert_int_equal(pci_function_reset(&f->fn, &f->wait), -EINPROGRESS);
	pci_reset_cancel(&f->wait);
	pci_function_reset_done(&f->fn);
	assert_int_equal(f->waited, 0);
	f->busy = false;
	assert_int_equal(pci_function_reset(&f->fn, &f->wait), 0);
	assert_int_equal(f->waited, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_identity_is_read_only),
		TEST(test_command_has_the_bits_that_do_something),
		TEST_VF(test_a_vf_has_no_ids_and_decodes_no_memory),
		TEST(test_bars_tell_their_size),
		TEST_VF(test_a_vf_has_no_bars_in_its_header),
		TEST(test_bar_accesses_outside_read_all_ones_and_write_nothing),
		TEST(test_config_accesses_out_of_range_read_all_ones),
		TEST(test_the_owner_hears_of_writes),
		TEST(test_the_capability_list_is_well_formed_and_stays_so),
		TEST_VF(test_the_capability_list_is_well_formed_and_stays_so),
		TEST(test_the_flr_bit_resets_and_reads_zero),
		TEST_VF(test_the_flr_bit_resets_and_reads_zero),
		TEST(test_a_reset_that_waits_ignores_writes_until_it_is_done),
		TEST(test_nobody_is_called_who_does_not_wait_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
