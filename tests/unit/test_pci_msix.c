/* SPDX-License-Identifier: BSD-3-Clause */
/* pci/function.h: MSI-X (PCIe 6.1.4, 7.7.2). */
#include "test_pci_fixture.h"

#define PBA_AT     (VECTORS * 16)
#define ENTRY(v)   ((v)*16u)
#define CONTROL(v) (ENTRY(v) + 12)
#define ADDRESS(v) (0x11fee00000ull + (v)*0x100000000ull)

static uint16_t control_at(struct fixture *f)
{
	return (uint16_t)(find_cap(f, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS);
}

static void control(struct fixture *f, uint16_t value)
{
	set_cfg(f, control_at(f), 2, value);
}

static uint64_t bar_read(struct fixture *f, uint64_t offset, uint8_t len)
{
	uint64_t v = 0;

	pci_function_bar_read(&f->fn, MSIX_BAR, offset, &v, len);
	return v;
}

static void bar_write(struct fixture *f, uint64_t offset, uint8_t len, uint64_t v)
{
	pci_function_bar_write(&f->fn, MSIX_BAR, offset, &v, len);
}

static void program(struct fixture *f, unsigned int vector, bool masked)
{
	bar_write(f, ENTRY(vector), 8, ADDRESS(vector));
	bar_write(f, ENTRY(vector) + 8, 4, 0x40 + vector);
	bar_write(f, CONTROL(vector), 4, masked ? 1 : 0);
}

/* Everything on: bus master, MSI-X, and all vectors programmed. */
static void enable(struct fixture *f)
{
	for (unsigned int v = 0; v < VECTORS; v++)
		program(f, v, false);
	control(f, PCI_MSIX_FLAGS_ENABLE);
	set_cfg(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
}

static void assert_sent(struct fixture *f, int n, unsigned int vector)
{
	assert_int_equal(f->msis, n);
	assert_int_equal(f->msi.rid, RID);
	assert_true(f->msi.address == ADDRESS(vector));
	assert_int_equal(f->msi.data, 0x40 + vector);
}

static void test_the_capability_tells_table_and_pending_bits(void **state)
{
	struct fixture *f = *state;
	uint16_t at = find_cap(f, PCI_CAP_ID_MSIX);

	assert_int_equal(cfg(f, control_at(f), 2), VECTORS - 1);
	assert_int_equal(cfg(f, (uint16_t)(at + PCI_MSIX_TABLE), 4), MSIX_BAR);
	assert_int_equal(cfg(f, (uint16_t)(at + PCI_MSIX_PBA), 4), PBA_AT | MSIX_BAR);
	/* only enable and function mask can be written */
	control(f, 0xffff);
	assert_int_equal(cfg(f, control_at(f), 2),
			 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL | (VECTORS - 1));
	set_cfg(f, (uint16_t)(at + PCI_MSIX_TABLE), 4, 0xffffffff);
	assert_int_equal(cfg(f, (uint16_t)(at + PCI_MSIX_TABLE), 4), MSIX_BAR);
	assert_true(pci_function_msix_enabled(&f->fn));
	control(f, 0);
	assert_false(pci_function_msix_enabled(&f->fn));
}

static void test_a_bar_has_room_for_table_and_pending_bits(void **state)
{
	(void)state;
	assert_int_equal(pci_msix_bar_size(1), 4096);
	assert_int_equal(pci_msix_bar_size(PCI_MSIX_MAX), 4096);
	assert_int_equal(pci_msix_bar_size(254), 4096); /* to the last byte */
	assert_true(pci_msix_bar_size(255) >= 255 * 16 + 32);
	assert_int_equal(pci_msix_bar_size(256), 8192);
}

static void test_a_vector_sends_its_address_and_data(void **state)
{
	struct fixture *f = *state;

	enable(f);
	assert_int_equal(f->msis, 0);
	pci_function_msix_send(&f->fn, 2);
	assert_sent(f, 1, 2);
	pci_function_msix_send(&f->fn, 0);
	assert_sent(f, 2, 0);
	pci_function_msix_send(&f->fn, VECTORS);
	pci_function_msix_send(&f->fn, 0xffff);
	assert_int_equal(f->msis, 2);
	assert_int_equal(bar_read(f, PBA_AT, 8), 0);
}

static void test_nothing_is_sent_or_kept_while_msix_is_off(void **state)
{
	struct fixture *f = *state;

	enable(f);
	control(f, 0);
	pci_function_msix_send(&f->fn, 0);
	assert_int_equal(bar_read(f, PBA_AT, 8), 0);
	control(f, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(f->msis, 0);
}

/* PCIe 7.7.2.2: vectors are masked after a reset. */
static void test_vectors_are_masked_at_first(void **state)
{
	struct fixture *f = *state;

	for (unsigned int v = 0; v < VECTORS; v++)
		assert_int_equal(bar_read(f, CONTROL(v), 4), 1);
	enable(f);
	pci_function_reset(&f->fn, NULL);
	for (unsigned int v = 0; v < VECTORS; v++)
		assert_int_equal(bar_read(f, CONTROL(v), 4), 1);
}

/* PCIe 6.1.4.5: a masked vector sets its pending bit, and unmasking sends it, once. */
/* rules: pci-msix-6 */
static void test_a_masked_vector_waits_in_the_pending_bits(void **state)
{
	struct fixture *f = *state;

	enable(f);
	bar_write(f, CONTROL(1), 4, 1);
	pci_function_msix_send(&f->fn, 1);
	pci_function_msix_send(&f->fn, 1);
	assert_int_equal(f->msis, 0);
	assert_int_equal(bar_read(f, PBA_AT, 8), 1 << 1);
	pci_function_msix_send(&f->fn, 0); /* the others go on */
	assert_sent(f, 1, 0);
	bar_write(f, CONTROL(1), 4, 0);
	assert_sent(f, 2, 1);
	assert_int_equal(bar_read(f, PBA_AT, 8), 0);
	bar_write(f, CONTROL(1), 4, 1);
	bar_write(f, CONTROL(1), 4, 0);
	assert_int_equal(f->msis, 2);
}

/* A masked vector may be given another address: that is where the message goes. */
static void test_a_pending_message_goes_where_the_vector_points_when_unmasked(void **state)
{
	struct fixture *f = *state;

	enable(f);
	bar_write(f, CONTROL(0), 4, 1);
	pci_function_msix_send(&f->fn, 0);
	bar_write(f, ENTRY(0), 4, 0xfee01003);
	bar_write(f, ENTRY(0) + 4, 4, 0);
	bar_write(f, ENTRY(0) + 8, 8, 0x77); /* data, and the control word after it */
	assert_int_equal(f->msis, 1);
	assert_true(f->msi.address == 0xfee01000); /* the two lowest bits are always 0 */
	assert_int_equal(f->msi.data, 0x77);
}

static void test_the_function_mask_holds_all_vectors(void **state)
{
	struct fixture *f = *state;

	enable(f);
	bar_write(f, CONTROL(2), 4, 1);
	control(f, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	for (uint16_t v = 0; v < VECTORS; v++)
		pci_function_msix_send(&f->fn, v);
	assert_int_equal(f->msis, 0);
	assert_int_equal(bar_read(f, PBA_AT, 8), 7);
	/* unmasking a vector is not enough */
	bar_write(f, CONTROL(0), 4, 0);
	assert_int_equal(f->msis, 0);
	control(f, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(f->msis, 2);
	assert_int_equal(bar_read(f, PBA_AT, 8), 4);
}

static void test_pending_messages_survive_msix_being_turned_off(void **state)
{
	struct fixture *f = *state;

	enable(f);
	control(f, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_function_msix_send(&f->fn, 0);
	control(f, 0);
	assert_int_equal(f->msis, 0);
	control(f, PCI_MSIX_FLAGS_ENABLE);
	assert_sent(f, 1, 0);
}

/* A message is a memory write, which needs bus mastering (PCI 6.8.3). */
/* rules: pci-bus-1 */
static void test_without_bus_mastering_messages_wait(void **state)
{
	struct fixture *f = *state;

	enable(f);
	set_cfg(f, PCI_COMMAND, 2, 0);
	pci_function_msix_send(&f->fn, 1);
	assert_int_equal(f->msis, 0);
	assert_int_equal(bar_read(f, PBA_AT, 8), 2);
	set_cfg(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_sent(f, 1, 1);
}

static void test_a_reset_forgets_the_table_and_what_was_pending(void **state)
{
	struct fixture *f = *state;

	enable(f);
	bar_write(f, CONTROL(1), 4, 1);
	pci_function_msix_send(&f->fn, 1);
	pci_function_reset(&f->fn, NULL);
	assert_int_equal(bar_read(f, PBA_AT, 8), 0);
	assert_int_equal(bar_read(f, ENTRY(1), 8), 0);
	enable(f);
	assert_int_equal(f->msis, 0);
}

/* A message that has no way stays pending until somebody says that it has one. */
static void test_a_message_without_a_way_stays_pending(void **state)
{
	struct fixture *f = *state;

	enable(f);
	f->msi_result = -EAGAIN;
	pci_function_msix_send(&f->fn, 1);
	assert_int_equal(f->msis, 1);
	assert_int_equal(bar_read(f, PBA_AT, 8), 1 << 1);
	pci_function_msix_flush(&f->fn);
	assert_int_equal(f->msis, 2);
	assert_int_equal(bar_read(f, PBA_AT, 8), 1 << 1);
	f->msi_result = 0;
	pci_function_msix_flush(&f->fn);
	pci_function_msix_flush(&f->fn);
	assert_int_equal(f->msis, 3);
	assert_int_equal(bar_read(f, PBA_AT, 8), 0);
}

/* PCIe 7.7.2: whole dwords and quadwords; reserved bits and pending bits can't be written. */
static void test_what_cannot_be_written_in_the_table(void **state)
{
	struct fixture *f = *state;

	enable(f);
	bar_write(f, ENTRY(0) + 8, 1, 0xff);
	bar_write(f, ENTRY(0) + 8, 2, 0xffff);
	bar_write(f, ENTRY(0) + 10, 4, 0xffffffff);
	bar_write(f, ENTRY(0) + 4, 8, ~0ull);
	assert_int_equal(bar_read(f, ENTRY(0) + 8, 4), 0x40);
	assert_int_equal(bar_read(f, ENTRY(0) + 4, 4), ADDRESS(0) >> 32);
	bar_write(f, CONTROL(0), 4, 0xfffffffe);
	assert_int_equal(bar_read(f, CONTROL(0), 4), 0);
	bar_write(f, PBA_AT, 8, ~0ull);
	assert_int_equal(bar_read(f, PBA_AT, 8), 0);
	bar_write(f, PBA_AT - 4, 8, ~0ull); /* the last entry and the pending bits */
	assert_int_equal(bar_read(f, CONTROL(2), 4), 0);
	assert_int_equal(bar_read(f, PBA_AT + 8, 4), 0); /* nothing there */
	assert_int_equal(bar_read(f, 4092, 4), 0);
	assert_int_equal(f->msis, 0);
	/* reads may be of any width */
	assert_int_equal(bar_read(f, ENTRY(1) + 8, 1), 0x41);
	assert_int_equal(bar_read(f, ENTRY(1) + 2, 2), 0xfee0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_capability_tells_table_and_pending_bits),
		TEST(test_a_bar_has_room_for_table_and_pending_bits),
		TEST(test_a_vector_sends_its_address_and_data),
		TEST_VF(test_a_vector_sends_its_address_and_data),
		TEST(test_nothing_is_sent_or_kept_while_msix_is_off),
		TEST(test_vectors_are_masked_at_first),
		TEST(test_a_masked_vector_waits_in_the_pending_bits),
		TEST(test_a_pending_message_goes_where_the_vector_points_when_unmasked),
		TEST(test_the_function_mask_holds_all_vectors),
		TEST(test_pending_messages_survive_msix_being_turned_off),
		TEST(test_without_bus_mastering_messages_wait),
		TEST(test_a_reset_forgets_the_table_and_what_was_pending),
		TEST(test_what_cannot_be_written_in_the_table),
		TEST(test_a_message_without_a_way_stays_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
