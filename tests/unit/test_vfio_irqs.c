/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio/vfio.h: interrupts of a real function, as a user sets, masks and fires them. */
#include "test_vfio_fixture.h"

static int set_irqs(struct fixture *f, uint32_t flags, uint32_t index, uint32_t first,
		    uint32_t count, size_t nfds)
{
	static const uint8_t bools[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	int fds[8];
	struct vfio_irqs irqs = {
		.flags = flags,
		.index = index,
		.start = first,
		.count = count,
		.bools = bools,
		.fds = fds,
		.nfds = nfds,
	};
	int err;

	for (size_t i = 0; i < nfds; i++)
		fds[i] = dup(f->event[0]);
	err = vfio_device_set_irqs(f->u->vdev, &irqs);
	for (size_t i = 0; i < nfds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}

/* linux/vfio.h: one kind of data, one action, an index and a range that exist. */
static void test_set_irqs_refuses_what_makes_no_sense(void **state)
{
	enum {
		NONE = VFIO_IRQ_SET_DATA_NONE,
		BOOL = VFIO_IRQ_SET_DATA_BOOL,
		EVENTFD = VFIO_IRQ_SET_DATA_EVENTFD,
		MASK = VFIO_IRQ_SET_ACTION_MASK,
		UNMASK = VFIO_IRQ_SET_ACTION_UNMASK,
	};
	static const struct {
		uint32_t flags, index, start, count;
		size_t nfds;
	} bad[] = {
		{ 0, MSIX, 0, 1, 0 },
		{ NONE, MSIX, 0, 1, 0 },
		{ TRIGGER, MSIX, 0, 1, 0 },
		{ NONE | BOOL | TRIGGER, MSIX, 0, 1, 0 },
		{ NONE | MASK | TRIGGER, MSIX, 0, 1, 0 },
		{ NONE | TRIGGER | 0x40, MSIX, 0, 1, 0 },
		{ NONE | TRIGGER, VFIO_PCI_NUM_IRQS, 0, 0, 0 },
		{ NONE | TRIGGER, 0xffffffff, 0, 0, 0 },
		{ NONE | TRIGGER, MSIX, 0, 3, 0 },
		{ NONE | TRIGGER, MSIX, 2, 1, 0 },
		{ NONE | TRIGGER, MSIX, 3, 0, 0 },
		{ NONE | TRIGGER, MSIX, 0xffffffff, 2, 0 },
		{ NONE | TRIGGER, MSIX, 1, 0xffffffff, 0 },
		{ NONE | TRIGGER, MSIX, 1, 0, 0 }, /* all are disabled from 0 on */
		{ BOOL | TRIGGER, MSIX, 0, 0, 0 },
		{ EVENTFD | TRIGGER, MSIX, 0, 2, 1 },
		{ EVENTFD | TRIGGER, MSIX, 0, 1, 2 },
		{ NONE | TRIGGER, MSIX, 0, 1, 1 },
		{ NONE | MASK, MSIX, 0, 0, 0 },
		{ NONE | UNMASK, MSIX, 1, 2, 0 },
		{ EVENTFD | MASK, MSIX, 0, 2, 1 },
		{ NONE | MASK, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, 0 },
		{ NONE | UNMASK, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, 0 },
		{ EVENTFD | TRIGGER, VFIO_PCI_INTX_IRQ_INDEX, 0, 1, 1 }, /* there is none */
		{ EVENTFD | TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, 1 },
		{ EVENTFD | TRIGGER, VFIO_PCI_ERR_IRQ_INDEX, 0, 1, 1 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (set_irqs(f, bad[i].flags, bad[i].index, bad[i].start, bad[i].count,
			     bad[i].nfds) != -EINVAL)
			fail_msg("number %zu was accepted", i);
	/* what is not there can be disabled */
	assert_int_equal(set_irqs(f, NONE | TRIGGER, VFIO_PCI_INTX_IRQ_INDEX, 0, 0, 0), 0);
	assert_int_equal(set_irqs(f, NONE | TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 0, 0), 0);
	assert_int_equal(set_irqs(f, NONE | TRIGGER, VFIO_PCI_ERR_IRQ_INDEX, 0, 0, 0), 0);
	assert_int_equal(set_irqs(f, NONE | TRIGGER, MSIX, 0, 0, 0), 0);
}

/* Whoever can make a write to it wait would make the whole PF wait. */
static void test_only_eventfds_are_accepted_as_such(void **state)
{
	struct fixture *f = *state;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, &pipes[1], 1), -EINVAL);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_vectors_go_to_their_eventfds(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, f->event, 2), 0);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event[0]), 1);
	assert_int_equal(event_count(f->event[1]), 0);
	reg(f->u, 26, 2, 1);
	read_one(f->u, &f->ring, f->page);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event[0]), 0);
	assert_int_equal(event_count(f->event[1]), 1);
	/* a loop back */
	assert_int_equal(user_set_none(f->u, MSIX, TRIGGER, 2), 0);
	assert_int_equal(event_count(f->event[0]), 1);
	assert_int_equal(event_count(f->event[1]), 1);
	/* one taken away, the other stays */
	assert_int_equal(set_irqs(f, VFIO_IRQ_SET_DATA_EVENTFD | TRIGGER, MSIX, 1, 1, 0), 0);
	read_one(f->u, &f->ring, f->page);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event[1]), 0);
	assert_true(pci_function_msix_enabled(&f->u->member->vf.fn));
	assert_int_equal(user_set_none(f->u, MSIX, TRIGGER, 0), 0);
	assert_false(pci_function_msix_enabled(&f->u->member->vf.fn));
}

static uint64_t interrupts(struct fixture *f, int i)
{
	machine_settle(f->h->m);
	return event_count(f->event[i]);
}

/* What a masked vector would send is sent once it is unmasked, and not before. */
static void test_vectors_are_masked_one_by_one(void **state)
{
	struct fixture *f = *state;
	struct vfio_irq_info irq;

	assert_int_equal(vfio_device_irq_info(f->u->vdev, MSIX, &irq), 0);
	assert_int_equal(irq.flags, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE);
	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, f->event, 2), 0);
	start(f->u, &f->ring);
	assert_int_equal(user_set_none(f->u, MSIX, VFIO_IRQ_SET_ACTION_MASK, 1), 0);
	for (int i = 0; i < 3; i++)
		read_one(f->u, &f->ring, f->page);
	assert_int_equal(interrupts(f, 0), 0);
	/* The other one is not: nor is it touched by what is done to this one. */
	reg(f->u, 26, 2, 1);
	read_one(f->u, &f->ring, f->page);
	assert_int_equal(interrupts(f, 1), 1);
	assert_int_equal(interrupts(f, 0), 0);
	assert_int_equal(user_set_none(f->u, MSIX, VFIO_IRQ_SET_ACTION_UNMASK, 1), 0);
	assert_int_equal(interrupts(f, 0), 1);
	assert_int_equal(interrupts(f, 1), 0);
	reg(f->u, 26, 2, 0);
	read_one(f->u, &f->ring, f->page);
	assert_int_equal(interrupts(f, 0), 1);

	/* A mask outlives a reset, and another eventfd; its user may fire the one that is there. */
	assert_int_equal(user_set_none(f->u, MSIX, VFIO_IRQ_SET_ACTION_MASK, 2), 0);
	assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), 0);
	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, &f->event[1], 1), 0);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	assert_int_equal(interrupts(f, 1), 0);
	assert_int_equal(user_set_none(f->u, MSIX, TRIGGER, 1), 0);
	assert_int_equal(interrupts(f, 1), 1);
	assert_int_equal(user_set_none(f->u, MSIX, VFIO_IRQ_SET_ACTION_UNMASK, 2), 0);
	assert_int_equal(interrupts(f, 1), 1);

	/* Disabling the index, and a new user, begin without masks. */
	for (int again = 0; again < 2; again++) {
		assert_int_equal(user_set_none(f->u, MSIX, VFIO_IRQ_SET_ACTION_MASK, 2), 0);
		if (again) {
			user_close(f->u);
			user_open(f->u);
		} else {
			assert_int_equal(user_set_none(f->u, MSIX, TRIGGER, 0), 0);
			assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), 0);
		}
		assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, f->event, 2), 0);
		start(f->u, &f->ring);
		read_one(f->u, &f->ring, f->page);
		assert_int_equal(interrupts(f, 0), 1);
	}
}

/* A signal on an eventfd that was given for it masks, or unmasks. */
static void test_masks_by_eventfd(void **state)
{
	struct fixture *f = *state;
	int mask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int unmask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const uint32_t on = VFIO_IRQ_SET_ACTION_MASK, off = VFIO_IRQ_SET_ACTION_UNMASK;

	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, f->event, 2), 0);
	/* One replaces the other. */
	assert_int_equal(user_set_eventfds(f->u, MSIX, on, &unmask, 1), 0);
	assert_int_equal(user_set_eventfds(f->u, MSIX, on, &mask, 1), 0);
	assert_int_equal(user_set_eventfds(f->u, MSIX, off, &unmask, 1), 0);
	start(f->u, &f->ring);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(eventfd_write(mask, 3), 0);
		machine_settle(f->h->m);
		read_one(f->u, &f->ring, f->page);
		assert_int_equal(interrupts(f, 0), 0);
		assert_int_equal(eventfd_write(unmask, 1), 0);
		assert_int_equal(interrupts(f, 0), 1);
	}
	/* Taken back, it is only an eventfd. */
	assert_int_equal(set_irqs(f, VFIO_IRQ_SET_DATA_EVENTFD | on, MSIX, 0, 2, 0), 0);
	assert_int_equal(eventfd_write(mask, 1), 0);
	read_one(f->u, &f->ring, f->page);
	assert_int_equal(interrupts(f, 0), 1);
	assert_int_equal(event_count(mask), 1);
	/* They go with the index. */
	assert_int_equal(user_set_eventfds(f->u, MSIX, on, &mask, 1), 0);
	assert_int_equal(user_set_none(f->u, MSIX, TRIGGER, 0), 0);
	assert_int_equal(eventfd_write(mask, 1), 0);
	machine_settle(f->h->m);
	assert_int_equal(event_count(mask), 1);
	close(mask);
	close(unmask);
}

/* The user's eventfds stay bound over a reset, as in the kernel. */
static void test_vectors_stay_bound_over_a_reset(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, f->event, 2), 0);
	assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), 0);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event[0]), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_set_irqs_refuses_what_makes_no_sense),
		TEST(test_only_eventfds_are_accepted_as_such),
		TEST(test_vectors_go_to_their_eventfds),
		TEST(test_vectors_are_masked_one_by_one),
		TEST(test_masks_by_eventfd),
		TEST(test_vectors_stay_bound_over_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
