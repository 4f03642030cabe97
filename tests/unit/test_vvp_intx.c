/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-vfio-pci: INTx, which VFs lack, made of two MSI-X vectors of the member; ISR status, the
 * line, its mask and how the user is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "host.h"

enum { PFN = 0x08, SIZE = 0x0c, SELECT = 0x0e, NOTIFY = 0x10, STATUS = 0x12, ISR = 0x13 };

#define INTX    VFIO_PCI_INTX_IRQ_INDEX
#define MSIX    VFIO_PCI_MSIX_IRQ_INDEX
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER
#define MASK    VFIO_IRQ_SET_ACTION_MASK
#define UNMASK  VFIO_IRQ_SET_ACTION_UNMASK

struct fixture {
	struct host *h;
	struct user *u;
	struct ring ring;
	uint64_t page;
	int event;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->h = host_new("rng", 4);
	f->u = user_new(f->h, 1, "virtio-vfio-pci", false);
	f->page = ram_alloc(&f->u->ram, 4096, 4096);
	f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(f->event >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	user_free(f->u);
	host_free(f->h);
	close(f->event);
	free(f);
	return 0;
}

static void start(struct fixture *f)
{
	io_write(f->u, STATUS, 1, 0);
	io_write(f->u, STATUS, 1, 3);
	io_write(f->u, SELECT, 2, 0);
	io_write(f->u, PFN, 4,
		 ring_init_legacy(&f->ring, &f->u->ram, (uint16_t)io_read(f->u, SIZE, 2)) >> 12);
	io_write(f->u, STATUS, 1, 7);
}

/* A user that listens to INTx, and a guest with a ring. */
static void start_intx(struct fixture *f)
{
	assert_int_equal(user_set_eventfds(f->u, INTX, TRIGGER, &f->event, 1), 0);
	start(f);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event), 0);
}

/* The device uses a buffer; what came of it, interrupts included, has arrived. */
static void use_one(struct fixture *f)
{
	uint32_t id, len;

	ring_add(&f->ring, &(struct buf){ f->page, 16, true }, 1);
	io_write(f->u, NOTIFY, 2, 0);
	machine_wait(f->h->m, ring_used(&f->ring, &id, &len));
	machine_settle(f->h->m);
}

static bool line(struct fixture *f)
{
	return user_read(f->u, CONFIG, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
}

static uint64_t commands(struct fixture *f)
{
	return pf_admin_commands(f->h->m->pf, 0);
}

static void test_intx_is_one_automasked_interrupt(void **state)
{
	struct fixture *f = *state;
	struct vfio_irq_info info;

	assert_int_equal(vfio_device_irq_info(f->u->vdev, INTX, &info), 0);
	assert_int_equal(info.count, 1);
	assert_int_equal(info.flags,
			 VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED);
	assert_int_equal(user_read(f->u, CONFIG, PCI_INTERRUPT_PIN, 1), 1);
}

/* 4.1.4.5: a used buffer raises the line; reading ISR status says why, clears it, and lowers it. */
/* rules: pci-isr-3 pci-isr-4 pci-isr-5 */
static void test_4_1_4_5_an_interrupt_and_its_isr(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	start_intx(f);
	assert_false(line(f));
	use_one(f);
	assert_int_equal(event_count(f->event), 1);
	assert_true(line(f));
	before = commands(f);
	assert_int_equal(io_read(f->u, ISR, 1), 1);
	assert_int_equal(commands(f), before); /* the ISR is the driver's: no command */
	assert_false(line(f));
	assert_int_equal(io_read(f->u, ISR, 1), 0);
}

/* Bit 1 is for the configuration: here, because the device stopped. */
static void test_4_1_4_5_a_configuration_change(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(user_set_eventfds(f->u, INTX, TRIGGER, &f->event, 1), 0);
	/* a modern driver, since legacy ones are not told */
	user_write(f->u, 2, 20, 1, 3);
	user_write(f->u, 2, 8, 4, 1);
	user_write(f->u, 2, 12, 4, 1);
	user_write(f->u, 2, 20, 1, 11);
	ring_init(&f->ring, &f->u->ram, 8);
	user_write(f->u, CONFIG, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	user_write(f->u, 2, 24, 2, 8);
	user_write(f->u, 2, 32, 8, f->ring.desc);
	user_write(f->u, 2, 40, 8, f->ring.avail);
	user_write(f->u, 2, 48, 8, f->ring.used);
	user_write(f->u, 2, 28, 2, 1);
	user_write(f->u, 2, 20, 1, 15);
	ring_add(&f->ring, &(struct buf){ f->page, 16, true }, 1);
	user_write(f->u, 2, 0x3000, 2, 0);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event), 1);
	/* neither a write nor a read beside it clears it */
	user_write(f->u, 2, 0x1000, 1, 0);
	assert_int_equal(user_read(f->u, 2, 0x1001, 1) & ~0xffull, 0);
	assert_true(line(f));
	assert_int_equal(user_read(f->u, 2, 0x1000, 1), 1);
	assert_int_equal(user_set_none(f->u, INTX, UNMASK, 1), 0);
	ring_avail(&f->ring, 8);
	user_write(f->u, 2, 0x3000, 2, 0);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event), 1);
	assert_int_equal(user_read(f->u, 2, 0x1000, 1), 2);
	assert_false(line(f));
}

/* Automasked: one event until the user unmasks, however much happens. */
/* rules: vu-setirqs-14 */
static void test_one_event_until_it_is_unmasked(void **state)
{
	struct fixture *f = *state;

	start_intx(f);
	use_one(f);
	use_one(f);
	assert_int_equal(event_count(f->event), 1);
	assert_int_equal(io_read(f->u, ISR, 1), 1);
	use_one(f);
	assert_int_equal(event_count(f->event), 0); /* masked still */
	assert_true(line(f));
	assert_int_equal(user_set_none(f->u, INTX, UNMASK, 1), 0);
	assert_int_equal(event_count(f->event), 1);
	assert_int_equal(io_read(f->u, ISR, 1), 1);
	assert_int_equal(user_set_none(f->u, INTX, UNMASK, 1), 0);
	assert_int_equal(event_count(f->event), 0);
}

/* The line is level triggered: unmasked while it is up, it is told of again. */
static void test_unmasking_a_line_that_is_up_triggers_again(void **state)
{
	struct fixture *f = *state;

	start_intx(f);
	use_one(f);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(event_count(f->event), 1);
		assert_int_equal(user_set_none(f->u, INTX, UNMASK, 1), 0);
	}
	assert_int_equal(event_count(f->event), 1);
	io_read(f->u, ISR, 1);
	assert_int_equal(user_set_none(f->u, INTX, UNMASK, 1), 0);
	assert_int_equal(event_count(f->event), 0);
}

/* rules: vu-setirqs-7 */
static void test_masking_by_the_user(void **state)
{
	struct fixture *f = *state;
	uint8_t no = 0, yes = 1;
	struct vfio_irqs irqs = {
		.flags = VFIO_IRQ_SET_DATA_BOOL | UNMASK,
		.index = INTX,
		.count = 1,
		.bools = &no,
	};

	start_intx(f);
	assert_int_equal(user_set_none(f->u, INTX, MASK, 1), 0);
	use_one(f);
	assert_int_equal(event_count(f->event), 0);
	assert_int_equal(vfio_device_set_irqs(f->u->vdev, &irqs), 0);
	assert_int_equal(event_count(f->event), 0);
	irqs.bools = &yes;
	assert_int_equal(vfio_device_set_irqs(f->u->vdev, &irqs), 0);
	assert_int_equal(event_count(f->event), 1);
}

/* An eventfd may unmask: what a VMM with resampling uses. */
/* rules: vu-setirqs-8 */
static void test_unmasking_by_an_eventfd(void **state)
{
	struct fixture *f = *state;
	int unmask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t one = 1;

	assert_true(unmask >= 0);
	start_intx(f);
	assert_int_equal(user_set_eventfds(f->u, INTX, UNMASK, &unmask, 1), 0);
	use_one(f);
	assert_int_equal(event_count(f->event), 1);
	assert_int_equal(write(unmask, &one, 8), 8);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event), 1);
	io_read(f->u, ISR, 1);
	assert_int_equal(write(unmask, &one, 8), 8);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event), 0);
	/* without a listener there is nothing to unmask */
	assert_int_equal(user_set_none(f->u, INTX, TRIGGER, 0), 0);
	assert_int_equal(write(unmask, &one, 8), 8);
	machine_settle(f->h->m);
	close(unmask);
}

/* PCI 6.2.2: Interrupt Disable in the command register; the status goes on showing the line. */
static void test_interrupt_disable(void **state)
{
	struct fixture *f = *state;

	start_intx(f);
	user_write(f->u, CONFIG, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	use_one(f);
	assert_int_equal(event_count(f->event), 0);
	assert_true(line(f));
	user_write(f->u, CONFIG, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(event_count(f->event), 1);
}

/* A reset of the device by its driver, and of the function, lowers the line. */
static void test_resets_lower_the_line(void **state)
{
	struct fixture *f = *state;

	start_intx(f);
	use_one(f);
	assert_true(line(f));
	io_write(f->u, STATUS, 1, 0);
	assert_false(line(f));
	assert_int_equal(io_read(f->u, ISR, 1), 0);
	event_count(f->event);
	assert_int_equal(user_set_none(f->u, INTX, UNMASK, 1), 0);
	assert_int_equal(event_count(f->event), 0);
	start(f);
	use_one(f);
	assert_int_equal(event_count(f->event), 1);
	assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), 0);
	assert_false(line(f));
	assert_int_equal(io_read(f->u, ISR, 1), 0);
	/* INTx is the user's as before */
	assert_int_equal(user_set_none(f->u, INTX, UNMASK, 1), 0);
	start(f);
	use_one(f);
	assert_int_equal(event_count(f->event), 1);
	assert_true(line(f));
}

/* Commands that set the member's vectors are the driver's own, and are not counted as relayed. */
static void test_the_drivers_own_commands_are_counted_apart(void **state)
{
	struct fixture *f = *state;
	struct counters *c = &f->u->member->counters;
	uint64_t own = c->value[COUNTER_admin_own], relayed = c->value[COUNTER_admin_commands];
	uint64_t all = commands(f);

	start_intx(f);
	assert_int_equal(c->value[COUNTER_admin_commands] - relayed, 6);
	assert_int_equal(c->value[COUNTER_admin_own] - own, 2);
	assert_int_equal(commands(f) - all, 8);
}

/* Without a listener nothing is synthesised: ISR status is the device's. */
static void test_without_a_listener_the_isr_is_the_devices(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	start(f);
	use_one(f);
	before = commands(f);
	assert_int_equal(io_read(f->u, ISR, 1), 1);
	assert_int_equal(commands(f), before + 1);
	assert_int_equal(io_read(f->u, ISR, 1), 0);
	/* and with one that is taken away again */
	start_intx(f);
	assert_int_equal(user_set_none(f->u, INTX, TRIGGER, 0), 0);
	start(f);
	use_one(f);
	assert_int_equal(event_count(f->event), 0);
	assert_int_equal(io_read(f->u, ISR, 1), 1);
}

/* With INTx the guest's layout is that without MSI-X, though the member uses it. */
static void test_the_layout_is_the_guests_not_the_members(void **state)
{
	struct fixture *f = *state;

	start_intx(f);
	assert_true(pci_function_msix_enabled(&f->u->member->vf.fn));
	assert_int_equal(io_read(f->u, 0x14, 2),
			 0xffff); /* rng: no configuration, and no vectors */
	assert_int_equal(io_read(f->u, 0x16, 2), 0xffff);
	assert_int_equal(f->u->member->counters.value[COUNTER_admin_errors], 0);
}

/* A driver moves on to MSI-X, as they all do that can. */
static void test_from_intx_to_msix(void **state)
{
	struct fixture *f = *state;
	int vectors[2] = { eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
			   eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	uint16_t at = (uint16_t)user_read(f->u, CONFIG, 0x34, 1);

	start_intx(f);
	/* one kind at a time */
	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, vectors, 2), -EINVAL);
	assert_int_equal(user_set_none(f->u, INTX, TRIGGER, 0), 0);
	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, vectors, 2), 0);
	assert_int_equal(user_set_eventfds(f->u, INTX, TRIGGER, &f->event, 1), -EINVAL);
	while (user_read(f->u, CONFIG, at, 1) != PCI_CAP_ID_MSIX)
		at = (uint16_t)user_read(f->u, CONFIG, at + 1u, 1);
	user_write(f->u, CONFIG, at + 2u, 2, PCI_MSIX_FLAGS_ENABLE);
	start(f);
	io_write(f->u, 0x16, 2, 1);
	assert_int_equal(io_read(f->u, 0x16, 2), 1);
	use_one(f);
	assert_int_equal(event_count(vectors[1]), 1);
	assert_int_equal(event_count(vectors[0]), 0);
	assert_int_equal(event_count(f->event), 0);
	assert_false(line(f));
	assert_int_equal(io_read(f->u, ISR, 1), 0);
	close(vectors[0]);
	close(vectors[1]);
}

/* A user triggers itself: a loop back. */
/* rules: vu-setirqs-9 */
static void test_the_user_triggers_its_own_interrupt(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(user_set_eventfds(f->u, INTX, TRIGGER, &f->event, 1), 0);
	assert_int_equal(user_set_none(f->u, INTX, TRIGGER, 1), 0);
	assert_int_equal(event_count(f->event), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_intx_is_one_automasked_interrupt),
		TEST(test_4_1_4_5_an_interrupt_and_its_isr),
		TEST(test_4_1_4_5_a_configuration_change),
		TEST(test_one_event_until_it_is_unmasked),
		TEST(test_unmasking_a_line_that_is_up_triggers_again),
		TEST(test_masking_by_the_user),
		TEST(test_unmasking_by_an_eventfd),
		TEST(test_interrupt_disable),
		TEST(test_resets_lower_the_line),
		TEST(test_the_drivers_own_commands_are_counted_apart),
		TEST(test_without_a_listener_the_isr_is_the_devices),
		TEST(test_the_layout_is_the_guests_not_the_members),
		TEST(test_from_intx_to_msix),
		TEST(test_the_user_triggers_its_own_interrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
