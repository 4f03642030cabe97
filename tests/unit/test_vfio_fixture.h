/* SPDX-License-Identifier: BSD-3-Clause */
/* A blk function with the driver vfio-pci, and what its guest does to read a sector. */
#ifndef RIDGE_TEST_VFIO_FIXTURE_H
#define RIDGE_TEST_VFIO_FIXTURE_H

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
#define NOTIFY_AT 0x3000

struct fixture {
	struct host *h;
	struct user *u;
	struct ring ring;
	uint64_t page;
	int event[2];
};

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void reg(struct user *u, uint32_t at, uint32_t len, uint64_t value)
{
	user_write(u, REGISTERS, at, len, value);
}

/* A modern driver with one queue of 16, vector 0. */
static inline void start(struct user *u, struct ring *ring)
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

static inline uint16_t add_read(struct user *u, struct ring *ring, uint64_t page, uint64_t data)
{
	uint64_t header[2] = { 0, 7 };
	struct buf bufs[3] = { { page, 16, false }, { data, 512, true }, { page + 16, 1, true } };
	uint16_t head;

	memcpy(ram_at(&u->ram, page), header, 16);
	head = ring_add(ring, bufs, 3);
	reg(u, NOTIFY_AT, 2, 0);
	return head;
}

static inline void read_one(struct user *u, struct ring *ring, uint64_t page)
{
	uint32_t id, len;

	add_read(u, ring, page, page + 512);
	machine_wait(u->h->m, ring_used(ring, &id, &len));
	assert_int_equal(len, 513);
	assert_int_equal(*(uint8_t *)ram_at(&u->ram, page + 512), 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
