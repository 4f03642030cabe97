/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtio over PCI: queues at work, notifications both ways, reset, and the configuration access
 * window (virtio 1.3, 2.1, 2.4, 4.1.4.5, 4.1.4.9, 4.1.5). The device is an rng: the simplest there
 * is. Where I/O must take its time it is a blk.
 */
#include "vf_fixture.h"

static int setup(void **state)
{
	*state = fixture_new("rng", false, 0, false);
	return 0;
}

static int setup_blk(void **state)
{
	*state = fixture_new("blk", false, 64, false);
	return 0;
}

static void add(struct fixture *f, uint32_t len)
{
	ring_add(&f->ring, &(struct buf){ f->page, len, true }, 1);
}

/* Whether the device used anything since. */
static bool used(struct fixture *f)
{
	uint32_t id, len;

	machine_settle(f->m);
	return ring_used(&f->ring, &id, &len);
}

/* --- 2.1, 2.4: when a device is live --- */

/* 2.1.2: no buffers are consumed before DRIVER_OK; what waits is found then. */
/* rules: status-1 */
static void test_2_1_2_nothing_is_consumed_before_driver_ok(void **state)
{
	struct fixture *f = *state;

	assert_true(driver_negotiate(&f->d, F_VERSION_1));
	driver_bind(&f->d, 1);
	ring_init(&f->ring, &f->d.ram, 8);
	driver_queue(&f->d, 0, &f->ring, 0);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_false(used(f));
	assert_int_equal(driver_events(&f->d, 0), 0);
	driver_ok(&f->d);
	assert_true(used(f));
	assert_int_equal(driver_events(&f->d, 0), 1);
}

/* 2.4.1: after a reset nothing is consumed or notified until it is initialised again. */
/* rules: reset-2 */
static void test_2_4_1_after_a_reset_the_queues_are_left_alone(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	add(f, 16);
	driver_reset(&f->d); /* not even what was added before it */
	driver_kick(&f->d, 0);
	assert_false(used(f));
	assert_int_equal(driver_events(&f->d, 0), 0);
	driver_start(&f->d, 0, &f->ring, 8);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
}

/*
 * 2.4.1, 4.1.4.3.1: the status reads 0 when the reset is done, and it is not before the last DMA.
 */
/* rules: reset-1 reset-2 pci-common-5 */
static void test_2_4_1_a_reset_ends_with_the_last_io(void **state)
{
	struct fixture *f = *state;
	uint64_t header[2] = { 0, 3 }; /* read sector 3 */
	struct buf bufs[3] = { { f->page, 16, false },
			       { f->page + 512, 512, true },
			       { f->page + 16, 1, true } };

	driver_start(&f->d, 0, &f->ring, 8);
	blk_fault_hang(f->vf->vf.dev, true);
	memcpy(ram_at(&f->d.ram, f->page), header, 16);
	ring_add(&f->ring, bufs, 3);
	driver_kick(&f->d, 0);
	assert_false(used(f));
	set_common(&f->d, C_DEVICE_STATUS, 1, 0);
	machine_settle(f->m);
	assert_int_not_equal(common(&f->d, C_DEVICE_STATUS, 1), 0);
	/* nothing else is listened to */
	set_common(&f->d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE);
	set_common(&f->d, C_QUEUE_SELECT, 2, 1);
	assert_int_equal(common(&f->d, C_QUEUE_SELECT, 2), 0);
	blk_fault_hang(f->vf->vf.dev, false);
	machine_wait(f->m, common(&f->d, C_DEVICE_STATUS, 1) == 0);
	assert_false(used(f));
	assert_int_equal(driver_events(&f->d, 0), 0);
	memset(ram_at(&f->d.ram, f->page), 0x77, 4096);
	machine_settle(f->m);
	assert_int_equal(*(uint8_t *)ram_at(&f->d.ram, f->page + 512), 0x77);
}

/* The bit is not for the driver to set: a device that works would say that it does not. */
static void test_2_1_2_a_driver_does_not_set_needs_reset(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	set_common(&f->d, C_DEVICE_STATUS, 1, 0xf | S_NEEDS_RESET);
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), 0xf);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
}

/* 2.1.2: on an error that needs a reset the device says so, and sends a configuration change. */
/* rules: status-2 status-3 split-15 */
static void test_2_1_2_a_broken_ring_needs_a_reset(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	set_common(&f->d, C_CONFIG_MSIX_VECTOR, 2, 1);
	ring_avail(&f->ring, 8); /* no such descriptor */
	driver_kick(&f->d, 0);
	machine_settle(f->m);
	assert_true(common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
	assert_int_equal(driver_events(&f->d, 1), 1);
	assert_int_equal(f->vf->counters.value[COUNTER_device_errors], 1);
	/* it stays, and nothing is consumed, until the reset */
	set_common(&f->d, C_DEVICE_STATUS, 1, 0xf);
	assert_true(common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
	ring_set_avail_idx(&f->ring, 0);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_false(used(f));
	driver_start(&f->d, 0, &f->ring, 8);
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), 0xf);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
}

/* Memory that is not there is an error of the driver's, not of the device. */
/* rules: status-2 split-15 */
static void test_2_1_2_a_dma_fault_needs_a_reset_and_is_counted(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	ring_add(&f->ring, &(struct buf){ 0x1000, 16, true }, 1);
	driver_kick(&f->d, 0);
	assert_false(used(f));
	assert_true(common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
	assert_int_equal(f->vf->counters.value[COUNTER_dma_faults], 1);
	assert_string_equal(f->d.pa->ops->dma_fault(f->d.pa), "the address is not mapped for DMA");
}

/* A ring that is not aligned as 2.7 wants is never started. */
static void test_2_7_a_ring_that_is_not_aligned_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_true(driver_negotiate(&f->d, F_VERSION_1));
	ring_init(&f->ring, &f->d.ram, 8);
	set_common(&f->d, C_QUEUE_SELECT, 2, 0);
	set_common(&f->d, C_QUEUE_DESC, 4, (uint32_t)f->ring.desc + 8);
	set_common(&f->d, C_QUEUE_DESC + 4, 4, f->ring.desc >> 32);
	set_common(&f->d, C_QUEUE_ENABLE, 2, 1);
	assert_int_equal(common(&f->d, C_QUEUE_ENABLE, 2), 0);
	assert_true(common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
}

/* DMA needs bus mastering; with it what waited goes on (PCI 6.2.2). */
/* rules: pci-bus-1 */
static void test_without_bus_mastering_nothing_moves(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	cfg_write(&f->d, 0x04, 2, 0);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_false(used(f));
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET, 0);
	cfg_write(&f->d, 0x04, 2, 4);
	assert_true(used(f));
}

/* PCIe 6.6.2: a function level reset is a reset of the device, too. */
/* rules: reset-1 */
static void test_flr_resets_the_device(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	assert_int_equal(f->d.pa->ops->reset(f->d.pa, NULL), 0);
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), 0);
	assert_int_equal(cfg_read(&f->d, 0x04, 2), 0);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_false(used(f));
	cfg_write(&f->d, 0x04, 2, 4);
	driver_start(&f->d, 0, &f->ring, 8);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
}

/* --- 4.1.5.2: available buffer notifications --- */

/* rules: split-14 */
static void test_4_1_5_2_a_notification_carries_the_queue_index(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	machine_settle(f->m); /* DRIVER_OK makes it look, too */
	add(f, 16);
	/* of other queues, and of none: harmless */
	reg_write(&f->d, CAP_NOTIFY, 0, 2, 1);
	reg_write(&f->d, CAP_NOTIFY, 0, 2, 0xffff);
	assert_false(used(f));
	reg_write(&f->d, CAP_NOTIFY, 0, 2, 0);
	assert_true(used(f));
	/* 2.7.10.2: spurious ones are handled */
	reg_write(&f->d, CAP_NOTIFY, 0, 2, 0);
	reg_write(&f->d, CAP_NOTIFY, 0, 2, 0);
	assert_false(used(f));
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), 0xf);
}

/* --- 4.1.5.1.2, 4.1.5.3, 4.1.5.4: MSI-X --- */

/* 4.1.5.1.2.1: at least 2 vectors; unmapped at reset; any event to any vector; failures show. */
/* rules: pci-msix-1 pci-msix-2 pci-msix-3 */
static void test_4_1_5_1_2_1_vectors_are_mapped_and_read_back(void **state)
{
	static const enum common regs[] = { C_CONFIG_MSIX_VECTOR, C_QUEUE_MSIX_VECTOR };
	struct fixture *f = *state;
	uint32_t vectors, at = cfg_read(&f->d, 0x34, 1);

	while (at && cfg_read(&f->d, (uint16_t)at, 1) != 0x11)
		at = cfg_read(&f->d, (uint16_t)(at + 1), 1);
	assert_true(at);
	vectors = (cfg_read(&f->d, (uint16_t)(at + 2), 2) & 0x7ff) + 1;
	assert_true(vectors >= 2);
	set_common(&f->d, C_QUEUE_SELECT, 2, 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(common(&f->d, regs[i], 2), NO_VECTOR);
		for (uint32_t v = 0; v < vectors; v++) {
			set_common(&f->d, regs[i], 2, v);
			assert_int_equal(common(&f->d, regs[i], 2), v);
		}
		set_common(&f->d, regs[i], 2, NO_VECTOR);
		assert_int_equal(common(&f->d, regs[i], 2), NO_VECTOR);
		set_common(&f->d, regs[i], 2, 0);
		set_common(&f->d, regs[i], 2, vectors);
		assert_int_equal(common(&f->d, regs[i], 2), NO_VECTOR);
		set_common(&f->d, regs[i], 2, 0);
	}
	driver_reset(&f->d);
	assert_int_equal(common(&f->d, C_CONFIG_MSIX_VECTOR, 2), NO_VECTOR);
	assert_int_equal(common(&f->d, C_QUEUE_MSIX_VECTOR, 2), NO_VECTOR);
	/* a queue that is not there has none */
	set_common(&f->d, C_QUEUE_SELECT, 2, 77);
	set_common(&f->d, C_QUEUE_MSIX_VECTOR, 2, 0);
	assert_int_equal(common(&f->d, C_QUEUE_MSIX_VECTOR, 2), NO_VECTOR);
}

/* 4.1.5.3: the vector of the queue, and no other. */
/* rules: pci-msix-2 */
static void test_4_1_5_3_a_used_buffer_interrupts_by_the_queues_vector(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	set_common(&f->d, C_QUEUE_MSIX_VECTOR, 2, 1);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
	assert_int_equal(driver_events(&f->d, 0), 0);
	assert_int_equal(driver_events(&f->d, 1), 1);
	/* with MSI-X the ISR status is unused (4.1.5.1.2) */
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 0);
}

/* 4.1.5.3.1: with MSI-X and NO_VECTOR there is no interrupt. */
/* rules: pci-msix-4 */
static void test_4_1_5_3_1_no_vector_is_no_interrupt(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	set_common(&f->d, C_QUEUE_MSIX_VECTOR, 2, NO_VECTOR);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
	for (unsigned int v = 0; v < 2; v++)
		assert_int_equal(driver_events(&f->d, v), 0);
}

/* 4.1.5.4.1: and none for configuration changes. */
/* rules: pci-msix-5 */
static void test_4_1_5_4_1_no_vector_is_no_configuration_interrupt(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	ring_avail(&f->ring, 8);
	driver_kick(&f->d, 0);
	machine_settle(f->m);
	assert_true(common(&f->d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
	for (unsigned int v = 0; v < 2; v++)
		assert_int_equal(driver_events(&f->d, v), 0);
}

/* 2.7.7.2: the driver says whether it wants one. */
/* rules: split-7 split-10 */
static void test_2_7_7_2_interrupts_are_suppressed(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	ring_no_interrupt(&f->ring, true);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
	assert_int_equal(driver_events(&f->d, 0), 0);
	/* and with event index, which one */
	driver_start(&f->d, F_EVENT_IDX, &f->ring, 8);
	ring_set_used_event(&f->ring, 1);
	for (int i = 0; i < 2; i++) {
		add(f, 16);
		driver_kick(&f->d, 0);
		assert_true(used(f));
		if (i == 0)
			driver_events(&f->d, 0); /* the first after a start may be told of */
	}
	assert_int_equal(driver_events(&f->d, 0), 1);
	for (int i = 0; i < 3; i++) {
		add(f, 16);
		driver_kick(&f->d, 0);
		assert_true(used(f));
	}
	assert_int_equal(driver_events(&f->d, 0), 0);
}

/* 2.7.10.2: with event index the device says which entry it wants to hear of. */
static void test_2_7_10_2_avail_event_follows(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, F_EVENT_IDX, &f->ring, 8);
	for (uint16_t i = 1; i <= 20; i++) {
		add(f, 16);
		driver_kick(&f->d, 0);
		assert_true(used(f));
		assert_int_equal(ring_avail_event(&f->ring), i);
	}
}

/* --- 4.1.4.5: ISR status --- */

/* 4.1.4.5.1: without MSI-X a used buffer sets bit 0, and a read clears. */
/* rules: pci-isr-3 pci-isr-5 */
static void test_4_1_4_5_1_isr_status_without_msix(void **state)
{
	struct fixture *f = *state;

	assert_true(driver_negotiate(&f->d, F_VERSION_1));
	ring_init(&f->ring, &f->d.ram, 8);
	driver_queue(&f->d, 0, &f->ring, NO_VECTOR);
	driver_ok(&f->d);
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 0);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 1);
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 0);
	/* a write is nothing */
	reg_write(&f->d, CAP_ISR, 0, 1, 0xff);
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 0);
	/* not wanted, not told */
	ring_no_interrupt(&f->ring, true);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 0);
	/* bit 1: configuration change, here because it needs a reset */
	ring_avail(&f->ring, 8);
	driver_kick(&f->d, 0);
	machine_settle(f->m);
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 4), 2);
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 4), 0);
}

/* 4.1.4.5.1: the configuration bit is set before a change is told of, with MSI-X as well. */
/* rules: pci-isr-2 */
static void test_4_1_4_5_1_the_configuration_bit_is_set_with_msix(void **state)
{
	struct fixture *f = *state;

	driver_start(&f->d, 0, &f->ring, 8);
	set_common(&f->d, C_CONFIG_MSIX_VECTOR, 2, 1);
	ring_avail(&f->ring, 8);
	driver_kick(&f->d, 0);
	assert_int_equal(driver_events(&f->d, 1), 1);
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 2);
}

static void test_a_reset_clears_isr_status(void **state)
{
	struct fixture *f = *state;

	assert_true(driver_negotiate(&f->d, F_VERSION_1));
	ring_init(&f->ring, &f->d.ram, 8);
	driver_queue(&f->d, 0, &f->ring, NO_VECTOR);
	driver_ok(&f->d);
	add(f, 16);
	driver_kick(&f->d, 0);
	assert_true(used(f));
	driver_reset(&f->d);
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 0);
}

/* --- 4.1.4.9: access through configuration space --- */

static void window(struct fixture *f, enum cap_type type, uint32_t at, uint32_t len)
{
	uint16_t c = f->d.cap[CAP_PCI].at;

	cfg_write(&f->d, (uint16_t)(c + 4), 1, f->d.cap[type].bar);
	cfg_write(&f->d, (uint16_t)(c + 8), 4, f->d.cap[type].offset + at);
	cfg_write(&f->d, (uint16_t)(c + 12), 4, len);
}

static uint32_t window_read(struct fixture *f, enum cap_type type, uint32_t at, uint8_t len)
{
	window(f, type, at, len);
	return cfg_read(&f->d, (uint16_t)(f->d.cap[CAP_PCI].at + 16), len);
}

static void window_write(struct fixture *f, enum cap_type type, uint32_t at, uint8_t len,
			 uint32_t value)
{
	window(f, type, at, len);
	cfg_write(&f->d, (uint16_t)(f->d.cap[CAP_PCI].at + 16), len, value);
}

/* 4.1.4.9: the fields of the window are the driver's; what its data is, the BAR's. */
static void test_4_1_4_9_the_window_can_be_set(void **state)
{
	struct fixture *f = *state;
	uint16_t c = f->d.cap[CAP_PCI].at;

	cfg_write(&f->d, (uint16_t)(c + 4), 1, 3);
	cfg_write(&f->d, (uint16_t)(c + 8), 4, 0x12345678);
	cfg_write(&f->d, (uint16_t)(c + 12), 4, 0x9abcdef0);
	assert_int_equal(cfg_read(&f->d, (uint16_t)(c + 4), 1), 3);
	assert_int_equal(cfg_read(&f->d, (uint16_t)(c + 8), 4), 0x12345678);
	assert_int_equal(cfg_read(&f->d, (uint16_t)(c + 12), 4), 0x9abcdef0);
	/* type and length of the capability are not */
	cfg_write(&f->d, c, 4, 0xffffffff);
	assert_int_equal(cfg_read(&f->d, c, 1), 0x09);
	assert_int_equal(cfg_read(&f->d, (uint16_t)(c + 2), 1), 20);
	assert_int_equal(cfg_read(&f->d, (uint16_t)(c + 3), 1), 5);
}

/* 4.1.4.9.1: a write of the data is a write of so many bytes there; a read is a read. */
/* rules: pci-cfg-2 pci-cfg-3 */
static void test_4_1_4_9_1_all_of_a_device_through_the_window(void **state)
{
	struct fixture *f = *state;

	window_write(f, CAP_COMMON, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE);
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), S_ACKNOWLEDGE);
	window_write(f, CAP_COMMON, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER);
	window_write(f, CAP_COMMON, C_DRIVER_FEATURE_SELECT, 4, 1);
	window_write(f, CAP_COMMON, C_DRIVER_FEATURE, 4, 1);
	window_write(f, CAP_COMMON, C_DEVICE_STATUS, 1, 0xb);
	assert_int_equal(window_read(f, CAP_COMMON, C_DEVICE_STATUS, 1), 0xb);
	ring_init(&f->ring, &f->d.ram, 8);
	window_write(f, CAP_COMMON, C_QUEUE_SELECT, 2, 0);
	assert_true(window_read(f, CAP_COMMON, C_QUEUE_SIZE, 2) >= 8);
	window_write(f, CAP_COMMON, C_QUEUE_SIZE, 2, 8);
	window_write(f, CAP_COMMON, C_QUEUE_DESC, 4, (uint32_t)f->ring.desc);
	window_write(f, CAP_COMMON, C_QUEUE_DESC + 4, 4, (uint32_t)(f->ring.desc >> 32));
	window_write(f, CAP_COMMON, C_QUEUE_DRIVER, 4, (uint32_t)f->ring.avail);
	window_write(f, CAP_COMMON, C_QUEUE_DRIVER + 4, 4, (uint32_t)(f->ring.avail >> 32));
	window_write(f, CAP_COMMON, C_QUEUE_DEVICE, 4, (uint32_t)f->ring.used);
	window_write(f, CAP_COMMON, C_QUEUE_DEVICE + 4, 4, (uint32_t)(f->ring.used >> 32));
	window_write(f, CAP_COMMON, C_QUEUE_ENABLE, 2, 1);
	window_write(f, CAP_COMMON, C_DEVICE_STATUS, 1, 0xf);
	add(f, 16);
	window_write(f, CAP_NOTIFY, 0, 2, 0);
	assert_true(used(f));
	assert_int_equal(window_read(f, CAP_ISR, 0, 1), 1);
	assert_int_equal(reg_read(&f->d, CAP_ISR, 0, 1), 0);
}

/* What a driver must not do (4.1.4.9.2) does nothing. */
/* rules: pci-cfg-2 */
static void test_4_1_4_9_2_a_window_to_nowhere_does_nothing(void **state)
{
	struct fixture *f = *state;
	uint16_t data = (uint16_t)(f->d.cap[CAP_PCI].at + 16);
	static const uint32_t lens[] = { 0, 3, 5, 8, 0x100, 0xffffffff };

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		window(f, CAP_COMMON, C_DEVICE_STATUS, lens[i]);
		cfg_write(&f->d, data, 4, 1);
		cfg_read(&f->d, data, 4);
	}
	window(f, CAP_COMMON, C_QUEUE_SELECT - 1, 2); /* not aligned: the status' neighbour */
	cfg_write(&f->d, data, 4, 0x0101);
	window(f, CAP_COMMON, 0xfffffff0, 4);
	cfg_write(&f->d, data, 4, 1);
	cfg_read(&f->d, data, 4);
	for (uint32_t bar = 0; bar < 256; bar += 5) {
		window(f, CAP_COMMON, C_DEVICE_STATUS, 1);
		if (bar == f->d.cap[CAP_COMMON].bar)
			continue;
		cfg_write(&f->d, (uint16_t)(f->d.cap[CAP_PCI].at + 4), 1, bar);
		cfg_write(&f->d, data, 1, 1);
		cfg_read(&f->d, data, 1);
	}
	assert_int_equal(common(&f->d, C_DEVICE_STATUS, 1), 0);
	assert_int_equal(common(&f->d, C_QUEUE_SELECT, 2), 0);
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_BLK(name) cmocka_unit_test_setup_teardown(name, setup_blk, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_2_1_2_nothing_is_consumed_before_driver_ok),
		TEST(test_2_4_1_after_a_reset_the_queues_are_left_alone),
		TEST_BLK(test_2_4_1_a_reset_ends_with_the_last_io),
		TEST(test_2_1_2_a_driver_does_not_set_needs_reset),
		TEST(test_2_1_2_a_broken_ring_needs_a_reset),
		TEST(test_2_1_2_a_dma_fault_needs_a_reset_and_is_counted),
		TEST(test_2_7_a_ring_that_is_not_aligned_is_refused),
		TEST(test_without_bus_mastering_nothing_moves),
		TEST(test_flr_resets_the_device),
		TEST(test_4_1_5_2_a_notification_carries_the_queue_index),
		TEST(test_4_1_5_1_2_1_vectors_are_mapped_and_read_back),
		TEST(test_4_1_5_3_a_used_buffer_interrupts_by_the_queues_vector),
		TEST(test_4_1_5_3_1_no_vector_is_no_interrupt),
		TEST(test_4_1_5_4_1_no_vector_is_no_configuration_interrupt),
		TEST(test_2_7_7_2_interrupts_are_suppressed),
		TEST(test_2_7_10_2_avail_event_follows),
		TEST(test_4_1_4_5_1_isr_status_without_msix),
		TEST(test_4_1_4_5_1_the_configuration_bit_is_set_with_msix),
		TEST(test_a_reset_clears_isr_status),
		TEST(test_4_1_4_9_the_window_can_be_set),
		TEST(test_4_1_4_9_1_all_of_a_device_through_the_window),
		TEST(test_4_1_4_9_2_a_window_to_nowhere_does_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
