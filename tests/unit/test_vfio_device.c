/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio/vfio.h on a real function: regions, interrupts, memory, and one user after the other. The
 * driver is vfio-pci; the device a blk, whose I/O can be held back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "host.h"

#define MSIX    VFIO_PCI_MSIX_IRQ_INDEX
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

#define REGISTERS 2 /* the BAR with the virtio structures */
#define STATUS    20
#define ISR_AT    0x1000
#define NOTIFY_AT 0x3000

struct fixture {
	struct host *h;
	struct user *u;
	struct ring ring;
	uint64_t page;
	int event[2];
};

static struct sigaction on_sigbus; /* the iommu's; cmocka puts its own in place */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->h = host_new("blk", 4);
	f->u = user_new(f->h, 1, "vfio-pci", false);
	f->page = ram_alloc(&f->u->ram, 8192, 4096);
	for (int i = 0; i < 2; i++) {
		f->event[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(f->event[i] >= 0);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	blk_fault_hang(f->u->member->vf.dev, false);
	user_free(f->u);
	host_free(f->h);
	close(f->event[0]);
	close(f->event[1]);
	free(f);
	return 0;
}

static void reg(struct user *u, uint32_t at, uint32_t len, uint64_t value)
{
	user_write(u, REGISTERS, at, len, value);
}

/* A modern driver with one queue of 16, vector 0. */
static void start(struct user *u, struct ring *ring)
{
	user_write(u, CONFIG, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	reg(u, STATUS, 1, 3);
	reg(u, 8, 4, 1);
	reg(u, 12, 4, 1);
	reg(u, STATUS, 1, 11);
	ring_init(ring, &u->ram, 16);
	reg(u, 24, 2, 16);
	reg(u, 26, 2, 0);
	reg(u, 32, 8, ring->desc);
	reg(u, 40, 8, ring->avail);
	reg(u, 48, 8, ring->used);
	reg(u, 28, 2, 1);
	reg(u, STATUS, 1, 15);
}

static uint16_t add_read(struct user *u, struct ring *ring, uint64_t page, uint64_t data)
{
	uint64_t header[2] = { 0, 7 };
	struct buf bufs[3] = { { page, 16, false }, { data, 512, true }, { page + 16, 1, true } };
	uint16_t head;

	memcpy(ram_at(&u->ram, page), header, 16);
	head = ring_add(ring, bufs, 3);
	reg(u, NOTIFY_AT, 2, 0);
	return head;
}

static void read_one(struct user *u, struct ring *ring, uint64_t page)
{
	uint32_t id, len;

	add_read(u, ring, page, page + 512);
	machine_wait(u->h->m, ring_used(ring, &id, &len));
	assert_int_equal(len, 513);
	assert_int_equal(*(uint8_t *)ram_at(&u->ram, page + 512), 7);
}

/* --- what there is --- */

static void test_regions_and_interrupts(void **state)
{
	struct fixture *f = *state;
	struct vfio_device_info info;
	struct vfio_region_info region;
	struct vfio_irq_info irq;

	vfio_device_info(f->u->vdev, &info);
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(info.num_regions, VFIO_PCI_NUM_REGIONS);
	assert_int_equal(info.num_irqs, VFIO_PCI_NUM_IRQS);
	for (uint32_t i = 0; i < info.num_regions; i++) {
		assert_int_equal(vfio_device_region_info(f->u->vdev, i, &region), 0);
		assert_int_equal(region.index, i);
		assert_int_equal(region.size, i == 2        ? 0x4000
					      : i == 4      ? 0x1000
					      : i == CONFIG ? 4096
							    : 0);
		assert_int_equal(region.flags, region.size ? VFIO_REGION_INFO_FLAG_READ |
								     VFIO_REGION_INFO_FLAG_WRITE
							   : 0);
	}
	assert_int_equal(vfio_device_region_info(f->u->vdev, info.num_regions, &region), -EINVAL);
	for (uint32_t i = 0; i < info.num_irqs; i++) {
		assert_int_equal(vfio_device_irq_info(f->u->vdev, i, &irq), 0);
		assert_int_equal(irq.index, i);
		assert_int_equal(irq.count, i == MSIX ? 2 : 0);
	}
	assert_int_equal(vfio_device_irq_info(f->u->vdev, info.num_irqs, &irq), -EINVAL);
}

static void test_accesses_are_inside_a_region(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(user_start(f->u, 0, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, 3, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, VFIO_PCI_ROM_REGION_INDEX, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, VFIO_PCI_NUM_REGIONS, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, 0xffffffff, 0, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, 0, 0, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, 0x4000, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, 0x3fff, 2, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, UINT64_MAX, 1, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, UINT64_MAX, 2, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, REGISTERS, 0x3fff, 1, false, NULL), 0);
}

/* However it is cut: the registers are those of natural size. */
static void test_a_bar_access_of_any_size(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[64];

	reg(f->u, 32, 8, 0x1122334455667780);
	assert_int_equal(user_start(f->u, REGISTERS, 0, 64, false, NULL), 0);
	memcpy(whole, f->u->data, 64);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(whole[i], user_read(f->u, REGISTERS, i, 1));
	assert_int_equal(user_start(f->u, REGISTERS, 33, 7, false, NULL), 0);
	assert_memory_equal(f->u->data, "\x77\x66\x55\x44\x33\x22\x11", 7);
}

/* --- interrupts --- */

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

/* --- memory --- */

static void test_memory_is_mapped_and_unmapped(void **state)
{
	struct fixture *f = *state;
	struct vfio_device *v = f->u->vdev;
	int fd = f->u->ram.fd;

	assert_int_equal(vfio_device_dma_map(v, 0, 4096, fd, 0, PROT_READ), -EEXIST);
	assert_int_equal(vfio_device_dma_map(v, USER_RAM, 0, fd, 0, PROT_READ), -EINVAL);
	assert_int_equal(vfio_device_dma_unmap(v, 0, 4096, &f->u->wait), -ENOENT);
	assert_int_equal(vfio_device_dma_map(v, USER_RAM, 4096, -1, 0, PROT_READ), 0);
	assert_int_equal(vfio_device_dma_unmap(v, USER_RAM, 4096, &f->u->wait), 0);
	start(f->u, &f->ring);
	assert_int_equal(vfio_device_dma_unmap(v, 0, USER_RAM, &f->u->wait), 0);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	assert_true(user_read(f->u, REGISTERS, STATUS, 1) & 0x40);
	assert_int_equal(f->u->member->counters.value[COUNTER_dma_faults], 1);
}

static void on_waited(struct vfio_wait *wait, int result)
{
	assert_int_equal(result, 0);
	container_of(wait, struct user, wait)->waited++;
}

/* An unmap is over when the I/O into it is, and the answer comes once. */
/* rules: vu-unmap-2 */
static void test_an_unmap_waits_for_io(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	assert_int_equal(vfio_device_dma_map(f->u->vdev, USER_RAM, 4096, f->u->ram.fd, 0x80000,
					     PROT_READ | PROT_WRITE),
			 0);
	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	add_read(f->u, &f->ring, f->page, USER_RAM);
	machine_settle(f->h->m);
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_dma_unmap(f->u->vdev, USER_RAM, 4096, &f->u->wait),
			 -EINPROGRESS);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 0);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 1);
	/* it was done properly: the driver hears of it */
	assert_true(ring_used(&f->ring, &id, &len));
	assert_int_equal(f->u->ram.base[0x80000], 7);
	read_one(f->u, &f->ring, f->page);
}

/* Everything at once: as many waits as it takes, and one answer. */
static void test_unmap_all_waits_for_io(void **state)
{
	struct fixture *f = *state;
	struct vfio_device *v = f->u->vdev;
	int fd = f->u->ram.fd;
	uint32_t id, len;

	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(vfio_device_dma_map(v, USER_RAM + i * 8192, 4096, i & 1 ? -1 : fd,
						     0x80000 + i * 4096, PROT_READ | PROT_WRITE),
				 0);
	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	for (uint64_t i = 0; i < 6; i += 4) {
		add_read(f->u, &f->ring, f->page + 32 * i, USER_RAM + i * 8192);
		machine_settle(f->h->m);
	}
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_dma_unmap_all(v, &f->u->wait), -EINPROGRESS);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 0);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 1);
	/* Done properly; and nothing is left, so that there is nothing to wait for. */
	assert_true(ring_used(&f->ring, &id, &len));
	assert_true(ring_used(&f->ring, &id, &len));
	assert_int_equal(f->u->ram.base[0x80000], 7);
	assert_int_equal(f->u->ram.base[0x84000], 7);
	assert_int_equal(vfio_device_dma_unmap_all(v, &f->u->wait), 0);
	assert_int_equal(vfio_device_dma_unmap(v, 0, USER_RAM, &f->u->wait), -ENOENT);
	assert_int_equal(vfio_device_dma_map(v, 0, USER_RAM, fd, 0, PROT_READ | PROT_WRITE), 0);
}

/* Its user goes while everything is being unmapped. */
static void test_unmap_all_is_abandoned(void **state)
{
	struct fixture *f = *state;

	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_dma_unmap_all(f->u->vdev, &f->u->wait), -EINPROGRESS);
	blk_fault_hang(f->u->member->vf.dev, false);
	user_close(f->u);
	user_open(f->u);
	f->u->ram.used = 0;
	f->page = ram_alloc(&f->u->ram, 8192, 4096);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

/* Memory that was never shared is a fault that says what to do. */
static void test_memory_without_a_descriptor_is_a_fault(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		vfio_device_dma_map(f->u->vdev, USER_RAM, 4096, -1, 0, PROT_READ | PROT_WRITE), 0);
	start(f->u, &f->ring);
	add_read(f->u, &f->ring, f->page, USER_RAM);
	machine_settle(f->h->m);
	assert_true(f->u->member->vf.dev->stopped);
	assert_non_null(strstr(f->u->member->vf.dev->stop_reason, "share=on"));
}

/* A guest's memory that shrinks stops its function, and nothing else; the next user is fine. */
static void test_memory_that_shrinks_stops_its_function_only(void **state)
{
	struct fixture *f = *state;
	struct user *b = user_new(f->h, 2, "vfio-pci", false);
	uint64_t page = ram_alloc(&b->ram, 8192, 4096);
	struct ring ring;

	start(f->u, &f->ring);
	start(b, &ring);
	read_one(f->u, &f->ring, f->page);
	read_one(b, &ring, page);
	assert_int_equal(sigaction(SIGBUS, &on_sigbus, NULL), 0);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	assert_int_equal(ftruncate(f->u->ram.fd, 0), 0);
	machine_settle(f->h->m);
	assert_true(f->u->member->vf.dev->stopped);
	assert_non_null(strstr(f->u->member->vf.dev->stop_reason, "shrank"));
	assert_int_equal(f->u->member->counters.value[COUNTER_dma_faults], 1);
	read_one(b, &ring, page);
	user_close(f->u);
	assert_int_equal(ftruncate(f->u->ram.fd, USER_RAM), 0);
	user_open(f->u);
	f->u->ram.used = 4096;
	f->page = ram_alloc(&f->u->ram, 8192, 4096);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	user_free(b);
}

/* Two guests share a file; one of them notices that it shrank. The other one's rings are fine. */
static void test_shared_memory_that_shrinks_stops_all_who_have_it(void **state)
{
	struct fixture *f = *state;
	struct user *b = user_new(f->h, 2, "vfio-pci", false);
	int shared = memfd_create("test:shared", MFD_CLOEXEC);
	struct ring ring;
	uint32_t id, len;

	assert_true(shared >= 0);
	assert_int_equal(ftruncate(shared, 4096), 0);
	assert_int_equal(vfio_device_dma_map(f->u->vdev, USER_RAM, 4096, shared, 0, 3), 0);
	assert_int_equal(vfio_device_dma_map(b->vdev, USER_RAM, 4096, shared, 0, 3), 0);
	start(f->u, &f->ring);
	start(b, &ring);
	machine_settle(f->h->m);
	assert_int_equal(sigaction(SIGBUS, &on_sigbus, NULL), 0);
	assert_int_equal(ftruncate(shared, 0), 0);
	/* b's request has its header there */
	ring_add(&ring, &(struct buf){ USER_RAM, 16, false }, 1);
	reg(b, NOTIFY_AT, 2, 0);
	machine_settle(f->h->m);
	assert_true(b->member->vf.dev->stopped);
	/* the other's request has nothing to do with it, but its memory is not what it was */
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	assert_true(f->u->member->vf.dev->stopped);
	assert_false(ring_used(&f->ring, &id, &len));
	/* nothing of either is in flight: both can be closed */
	user_free(b);
	user_close(f->u);
	user_open(f->u);
	f->u->ram.used = 4096;
	f->page = ram_alloc(&f->u->ram, 8192, 4096);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	close(shared);
}

/* --- one user after the other --- */

static void test_one_user_at_a_time(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(vfio_device_open(f->u->vdev), -EBUSY);
	user_close(f->u);
	assert_int_equal(user_start(f->u, CONFIG, 0, 4, false, NULL), -EINVAL);
	user_open(f->u);
	assert_int_equal(user_read(f->u, CONFIG, 0, 4), 0x10421af4);
}

/* rules: vu-connection-8 */
static void test_the_next_user_finds_a_new_function(void **state)
{
	struct fixture *f = *state;
	struct virtio_pci_state fresh = *f->u->member->state;

	assert_int_equal(user_set_eventfds(f->u, MSIX, TRIGGER, f->event, 2), 0);
	user_write(f->u, CONFIG, PCI_BASE_ADDRESS_2, 4, 0xfeb00000);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	event_count(f->event[0]);
	user_close(f->u);
	assert_memory_equal(&fresh, f->u->member->state, sizeof(fresh));
	/* no memory, no interrupts of the last one */
	assert_int_equal(vfio_device_open(f->u->vdev), 0);
	assert_int_equal(user_read(f->u, CONFIG, PCI_COMMAND, 2), 0);
	assert_int_equal(user_read(f->u, CONFIG, PCI_BASE_ADDRESS_2, 4) & ~0xfull, 0);
	assert_int_equal(vfio_device_dma_unmap(f->u->vdev, 0, USER_RAM, &f->u->wait), -ENOENT);
	f->u->is_open = true;
	user_close(f->u);
	user_open(f->u);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
	machine_settle(f->h->m);
	assert_int_equal(event_count(f->event[0]), 0);
}

/* I/O of the last user ends before there is a next one. */
static void test_closing_waits_for_io(void **state)
{
	struct fixture *f = *state;

	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	f->u->wait.done = on_waited;
	f->u->is_open = false;
	assert_int_equal(vfio_device_close(f->u->vdev, &f->u->wait), -EINPROGRESS);
	assert_int_equal(vfio_device_open(f->u->vdev), -EBUSY);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 0);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	assert_int_equal(f->u->waited, 1);
	user_open(f->u);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

static void test_a_reset_waits_for_io(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), -EINPROGRESS);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	assert_false(ring_used(&f->ring, &id, &len));
	assert_int_equal(user_read(f->u, REGISTERS, STATUS, 1), 0);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

/* The same by the guest's own FLR: the write is answered when it is done. */
static void test_the_guests_flr_waits_for_io(void **state)
{
	struct fixture *f = *state;
	uint16_t at = (uint16_t)user_read(f->u, CONFIG, 0x34, 1), flr = PCI_EXP_DEVCTL_BCR_FLR;

	while (user_read(f->u, CONFIG, at, 1) != PCI_CAP_ID_EXP)
		at = (uint16_t)user_read(f->u, CONFIG, at + 1u, 1);
	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	assert_int_equal(user_start(f->u, CONFIG, at + PCI_EXP_DEVCTL, 2, true, &flr),
			 -EINPROGRESS);
	machine_settle(f->h->m);
	assert_false(f->u->done);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->done);
	assert_int_equal(f->u->done_result, 0);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

/* A user that goes while its FLR waits: nobody is told, and the next one finds it done. */
static void test_closing_while_an_flr_waits(void **state)
{
	struct fixture *f = *state;

	start(f->u, &f->ring);
	blk_fault_hang(f->u->member->vf.dev, true);
	add_read(f->u, &f->ring, f->page, f->page + 512);
	machine_settle(f->h->m);
	f->u->wait.done = on_waited;
	assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), -EINPROGRESS);
	f->u->is_open = false;
	assert_int_equal(vfio_device_close(f->u->vdev, &f->u->wait), -EINPROGRESS);
	blk_fault_hang(f->u->member->vf.dev, false);
	machine_wait(f->h->m, f->u->waited);
	machine_settle(f->h->m);
	assert_int_equal(f->u->waited, 1);
	user_open(f->u);
	start(f->u, &f->ring);
	read_one(f->u, &f->ring, f->page);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_regions_and_interrupts),
		TEST(test_accesses_are_inside_a_region),
		TEST(test_a_bar_access_of_any_size),
		TEST(test_set_irqs_refuses_what_makes_no_sense),
		TEST(test_vectors_are_masked_one_by_one),
		TEST(test_masks_by_eventfd),
		TEST(test_only_eventfds_are_accepted_as_such),
		TEST(test_vectors_go_to_their_eventfds),
		TEST(test_vectors_stay_bound_over_a_reset),
		TEST(test_memory_is_mapped_and_unmapped),
		TEST(test_an_unmap_waits_for_io),
		TEST(test_unmap_all_waits_for_io),
		TEST(test_unmap_all_is_abandoned),
		TEST(test_memory_without_a_descriptor_is_a_fault),
		TEST(test_memory_that_shrinks_stops_its_function_only),
		TEST(test_shared_memory_that_shrinks_stops_all_who_have_it),
		TEST(test_one_user_at_a_time),
		TEST(test_the_next_user_finds_a_new_function),
		TEST(test_closing_waits_for_io),
		TEST(test_a_reset_waits_for_io),
		TEST(test_the_guests_flr_waits_for_io),
		TEST(test_closing_while_an_flr_waits),
	};
	struct iommu *iommu;

	if (iommu_new(&iommu) || sigaction(SIGBUS, NULL, &on_sigbus))
		return EXIT_FAILURE;
	iommu_free(iommu);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
