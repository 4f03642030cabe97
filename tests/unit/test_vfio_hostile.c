/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A user of a function may do anything that the VFIO device model has calls for, in any order: the
 * function, its PF and its neighbours survive it. The numbers are random, but the same every time.
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
#include "random.h"

enum { PFN = 0x08, SIZE = 0x0c, SELECT = 0x0e, NOTIFY = 0x10, STATUS = 0x12 };

struct fixture {
	struct host *h;
	struct user *u;
	struct user *neighbour;
	struct ring ring; /* the neighbour's */
	uint64_t page;
	int event;
	uint64_t seed;
};

static uint64_t below(struct fixture *f, uint64_t n)
{
	return random_below(&f->seed, n);
}

static void start(struct user *u, struct ring *ring)
{
	io_write(u, STATUS, 1, 0);
	io_write(u, STATUS, 1, 3);
	io_write(u, SELECT, 2, 0);
	io_write(u, PFN, 4, ring_init_legacy(ring, &u->ram, 256) >> 12);
	io_write(u, STATUS, 1, 7);
}

static void read_sector(struct user *u, struct ring *ring, uint64_t page, uint64_t sector)
{
	uint64_t header[2] = { 0, sector };
	struct buf bufs[3] = { { page, 16, false },
			       { page + 512, 512, true },
			       { page + 16, 1, true } };
	uint32_t id, len;

	memcpy(ram_at(&u->ram, page), header, 16);
	ring_add(ring, bufs, 3);
	io_write(u, NOTIFY, 2, 0);
	machine_wait(u->h->m, ring_used(ring, &id, &len));
	assert_int_equal(*(uint8_t *)ram_at(&u->ram, page + 512), sector);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->seed = 0x9e3779b97f4a7c15;
	f->h = host_new("blk", 4);
	f->u = user_new(f->h, 1, "virtio-vfio-pci", false);
	f->neighbour = user_new(f->h, 2, "virtio-vfio-pci", true);
	f->page = ram_alloc(&f->neighbour->ram, 4096, 4096);
	start(f->neighbour, &f->ring);
	f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(f->event >= 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	user_free(f->u);
	user_free(f->neighbour);
	host_free(f->h);
	close(f->event);
	free(f);
	return 0;
}

/* The neighbour goes on; the function works for its next user. */
static void assert_alive(struct fixture *f)
{
	struct ring ring;
	uint64_t page;

	read_sector(f->neighbour, &f->ring, f->page, below(f, 64));
	user_close(f->u);
	f->u->ram.used = 4096;
	user_open(f->u);
	page = ram_alloc(&f->u->ram, 4096, 4096);
	start(f->u, &ring);
	read_sector(f->u, &ring, page, below(f, 64));
}

static void random_access(struct fixture *f)
{
	static const uint32_t regions[] = { BAR0, BAR0, BAR0, 2, 2, 4, CONFIG, CONFIG };
	uint32_t region = below(f, 30) ? regions[below(f, 8)] : (uint32_t)below(f, 12);
	uint32_t len = below(f, 5) ? 1u << below(f, 4) : (uint32_t)below(f, 70);
	uint64_t offset = below(f, 3) ? below(f, 64) : below(f, 0x4100);
	uint8_t data[256];
	int err;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(below(f, 2) ? random_next(&f->seed) : 0);
	err = user_start(f->u, region, offset, len, below(f, 3) != 0, data);
	if (err == -EINPROGRESS)
		machine_wait(f->h->m, f->u->done);
	else
		assert_true(err == 0 || err == -EINVAL);
}

static void random_irqs(struct fixture *f)
{
	uint8_t bools[4] = { 1, 0, 1, 1 };
	int fds[4] = { -1, -1, -1, -1 };
	size_t n = below(f, 4);
	struct vfio_irqs irqs = {
		.flags = 1u << below(f, 3) | 8u << below(f, 3),
		.index = (uint32_t)below(f, 6),
		.start = (uint32_t)below(f, 3),
		.count = below(f, 4) ? (uint32_t)n : (uint32_t)below(f, 4),
		.bools = bools,
		.fds = fds,
		.nfds = below(f, 3) ? n : 0,
	};

	for (size_t i = 0; i < irqs.nfds; i++)
		fds[i] = dup(f->event);
	vfio_device_set_irqs(f->u->vdev, &irqs);
	for (size_t i = 0; i < 4; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void random_call(struct fixture *f)
{
	uint64_t page = USER_RAM + 4096 * below(f, 8);

	switch (below(f, 40)) {
	case 0:
		vfio_device_dma_map(f->u->vdev, page, 4096, f->u->ram.fd, 4096 * below(f, 8), 3);
		break;
	case 1:
		assert_int_not_equal(vfio_device_dma_unmap(f->u->vdev, page, 4096, &f->u->wait),
				     -EINPROGRESS); /* nothing is in flight: it was waited for */
		break;
	case 2:
	case 3:
		random_irqs(f);
		break;
	case 4:
		assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), 0);
		break;
	default:
		random_access(f);
	}
}

static void test_random_calls(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 20000; i++) {
		random_call(f);
		if (!below(f, 20))
			machine_settle(f->h->m);
		if (i % 2000 == 0)
			assert_alive(f);
	}
	assert_alive(f);
	assert_int_equal(f->u->member->counters.value[COUNTER_admin_timeouts], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random_calls, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
