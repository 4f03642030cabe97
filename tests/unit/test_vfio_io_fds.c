/* SPDX-License-Identifier: BSD-3-Clause */
/* Doorbells as eventfds, on a real function: which there are, what a signal does, when they go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "host.h"

#define REGISTERS 2 /* the BAR with the virtio structures */
#define QUEUE_SEL 22
#define NOTIFY_AT 0x3000
#define QUEUES    20
#define MOST      128

struct fixture {
	struct host *h;
	struct user u;
	struct vfio_io_fd io[MOST];
	int fds[MOST];
	size_t count, nfds;
};

static struct fixture *make(const char *driver, uint16_t queues)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_params params = { .queues = queues };
	struct function_host host;

	assert_non_null(f);
	f->h = host_new("blk", 4);
	params.backend = memfd_create("test:image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(params.backend, 65536), 0);
	user_init(&f->u, f->h, member_new(f->h->m, 1, &params));
	host = user_host(&f->u, false);
	user_probe(&f->u, driver, &host);
	machine_wait(f->h->m, f->u.probed);
	assert_int_equal(f->u.result, 0);
	user_open(&f->u);
	return f;
}

static void done(struct fixture *f)
{
	user_fini(&f->u);
	host_free(f->h);
	free(f);
}

static int ask(struct fixture *f, uint32_t region, size_t max_fds)
{
	return vfio_device_io_fds(f->u.vdev, region, max_fds, f->io, MOST, &f->count, f->fds,
				  &f->nfds);
}

static uint64_t notifies(struct fixture *f)
{
	machine_settle(f->h->m);
	return f->u.member->counters.value[COUNTER_notifies];
}

static int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void test_what_there_is(void **state)
{
	struct fixture *f = make("vfio-pci", QUEUES);
	int before = open_fds();

	(void)state;
	for (uint32_t region = 0; region < VFIO_PCI_NUM_REGIONS; region++) {
		assert_int_equal(ask(f, region, 64), 0);
		assert_int_equal(f->count, region == REGISTERS ? QUEUES : 0);
		assert_int_equal(f->nfds, f->count);
	}
	assert_int_equal(ask(f, VFIO_PCI_NUM_REGIONS, 64), -EINVAL);
	assert_int_equal(ask(f, UINT32_MAX, 64), -EINVAL);
	assert_int_equal(open_fds(), before + QUEUES);
	user_write(&f->u, REGISTERS, QUEUE_SEL, 2, 7);
	assert_int_equal(ask(f, REGISTERS, 64), 0);
	for (uint32_t q = 0; q < QUEUES; q++) {
		assert_int_equal(f->io[q].offset, NOTIFY_AT + 4 * q);
		assert_int_equal(f->io[q].size, 0);
		assert_false(f->io[q].pio || f->io[q].match);
		assert_int_equal(f->io[q].fd_index, q);
	}
	/* The guest's selection is its own. */
	assert_int_equal(user_read(&f->u, REGISTERS, QUEUE_SEL, 2), 7);
	user_close(&f->u);
	assert_int_equal(open_fds(), before);
	user_open(&f->u);
	user_write(&f->u, REGISTERS, QUEUE_SEL, 2, 3);
	assert_int_equal(ask(f, REGISTERS, 64), 0);
	assert_int_equal(user_read(&f->u, REGISTERS, QUEUE_SEL, 2), 3);
	done(f);
	assert_true(open_fds() < before);
}

static void test_the_legacy_register(void **state)
{
	struct fixture *f = make("virtio-vfio-pci", 3);
	int fds[3];

	(void)state;
	assert_int_equal(ask(f, BAR0, 64), 0);
	assert_int_equal(f->count, 3);
	assert_int_equal(f->nfds, 3);
	memcpy(fds, f->fds, sizeof(fds));
	for (uint32_t q = 0; q < 3; q++) {
		assert_int_equal(f->io[q].offset, 0x10);
		assert_int_equal(f->io[q].size, 2);
		assert_true(f->io[q].pio && f->io[q].match);
		assert_int_equal(f->io[q].value, q);
		assert_int_equal(f->io[q].fd_index, q);
	}
	/* One eventfd for a queue, wherever it is notified: and one notification for a signal. */
	assert_int_equal(ask(f, REGISTERS, 64), 0);
	assert_memory_equal(f->fds, fds, sizeof(fds));
	for (uint64_t q = 0; q < 3; q++) {
		assert_int_equal(eventfd_write(fds[q], 1), 0);
		assert_int_equal(notifies(f), q + 1);
	}
	done(f);
}

/* Fewer descriptors than queues: those that share one are all taken to be notified. */
static void test_few_descriptors(void **state)
{
	(void)state;
	for (size_t max = 0; max <= 7; max += max ? 6 : 1) {
		struct fixture *f = make("vfio-pci", QUEUES);
		uint64_t expected = 0;

		assert_int_equal(ask(f, REGISTERS, max), 0);
		assert_int_equal(f->nfds, max);
		assert_int_equal(f->count, max ? QUEUES : 0);
		for (uint32_t q = 0; q < f->count; q++)
			assert_int_equal(f->io[q].fd_index, q % max);
		for (size_t i = 0; i < max; i++) {
			assert_int_equal(eventfd_write(f->fds[i], 1), 0);
			expected += QUEUES / max + (i < QUEUES % max);
			assert_int_equal(notifies(f), expected);
		}
		done(f);
	}
}

/* A request by nothing but a signal. */
static void test_a_request(void **state)
{
	uint64_t header[2] = { 0, 7 };
	struct fixture *f = make("vfio-pci", 2);
	struct user *u = &f->u;
	struct ring ring;
	uint64_t page;
	uint32_t id, len;

	(void)state;
	page = ram_alloc(&u->ram, 8192, 4096);
	user_write(u, CONFIG, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	user_write(u, REGISTERS, 20, 1, 3);
	user_write(u, REGISTERS, 8, 4, 1);
	user_write(u, REGISTERS, 12, 4, 1);
	user_write(u, REGISTERS, 20, 1, 11);
	ring_init(&ring, &u->ram, 16);
	user_write(u, REGISTERS, QUEUE_SEL, 2, 1);
	user_write(u, REGISTERS, 24, 2, 16);
	user_write(u, REGISTERS, 32, 8, ring.desc);
	user_write(u, REGISTERS, 40, 8, ring.avail);
	user_write(u, REGISTERS, 48, 8, ring.used);
	user_write(u, REGISTERS, 28, 2, 1);
	user_write(u, REGISTERS, 20, 1, 15);
	assert_int_equal(ask(f, REGISTERS, 16), 0);
	for (int round = 0; round < 3; round++) {
		struct buf bufs[3] = { { page, 16, false },
				       { page + 512, 512, true },
				       { page + 16, 1, true } };

		machine_settle(f->h->m); /* the last one's completion looks at the queue again */
		memcpy(ram_at(&u->ram, page), header, 16);
		*(uint8_t *)ram_at(&u->ram, page + 16) = 0xff;
		ring_add(&ring, bufs, 3);
		assert_int_equal(eventfd_write(f->fds[0], 1), 0); /* another queue's */
		machine_settle(f->h->m);
		assert_false(ring_used(&ring, &id, &len));
		assert_int_equal(eventfd_write(f->fds[1], 1), 0);
		machine_wait(f->h->m, ring_used(&ring, &id, &len));
		assert_int_equal(len, 513);
		assert_int_equal(*(uint8_t *)ram_at(&u->ram, page + 16), 0);
	}
	done(f);
}

static void test_signals_that_are_pending(void **state)
{
	struct fixture *f = make("vfio-pci", 4);
	uint64_t before;

	(void)state;
	assert_false(vfio_device_poll_io_fds(f->u.vdev)); /* nobody asked for any */
	assert_int_equal(ask(f, REGISTERS, 16), 0);
	assert_false(vfio_device_poll_io_fds(f->u.vdev));
	before = notifies(f);
	assert_int_equal(eventfd_write(f->fds[1], 1), 0);
	assert_int_equal(eventfd_write(f->fds[3], 5), 0);
	assert_true(vfio_device_poll_io_fds(f->u.vdev));
	assert_int_equal(f->u.member->counters.value[COUNTER_notifies], before + 2);
	assert_false(vfio_device_poll_io_fds(f->u.vdev));
	assert_int_equal(notifies(f), before + 2);
	/* Seen by the loop already, which is not to say that the device has acted on it. */
	assert_int_equal(eventfd_write(f->fds[1], 1), 0);
	assert_int_equal(notifies(f), before + 3);
	assert_true(vfio_device_poll_io_fds(f->u.vdev));
	assert_false(vfio_device_poll_io_fds(f->u.vdev));
	before++;
	/* What came before a reset is void; what comes after it is not. */
	assert_int_equal(eventfd_write(f->fds[2], 1), 0);
	assert_int_equal(vfio_device_reset(f->u.vdev, &f->u.wait), 0);
	assert_int_equal(notifies(f), before + 2);
	assert_int_equal(eventfd_write(f->fds[2], 1), 0);
	assert_int_equal(notifies(f), before + 3);
	assert_int_equal(ask(f, REGISTERS, 16), 0);
	assert_int_equal(f->nfds, 4);
	/* Pending when its user goes. */
	assert_int_equal(eventfd_write(f->fds[2], 1), 0);
	user_close(&f->u);
	assert_int_equal(notifies(f), before + 3);
	user_open(&f->u);
	done(f);
}

/* Its user does what it likes with an eventfd that it was given, to nobody's harm but its own. */
static void test_a_user_that_fiddles(void **state)
{
	struct fixture *f = make("vfio-pci", 2);
	uint64_t count;

	(void)state;
	assert_int_equal(ask(f, REGISTERS, 16), 0);
	assert_int_equal(eventfd_write(f->fds[0], UINT64_MAX - 1), 0);
	assert_int_equal(notifies(f), 1);
	assert_int_equal(eventfd_write(f->fds[0], 1), 0);
	assert_int_equal(eventfd_read(f->fds[0], &count), 0);
	assert_int_equal(notifies(f), 1);
	/* Blocking, and read between our look and our read: never waited for. */
	assert_int_equal(fcntl(f->fds[1], F_SETFL, 0), 0);
	assert_true(vfio_device_poll_io_fds(f->u.vdev)); /* the one above */
	assert_false(vfio_device_poll_io_fds(f->u.vdev));
	assert_int_equal(eventfd_write(f->fds[1], 1), 0);
	assert_int_equal(notifies(f), 2);
	done(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_there_is),
		cmocka_unit_test(test_the_legacy_register),
		cmocka_unit_test(test_few_descriptors),
		cmocka_unit_test(test_a_request),
		cmocka_unit_test(test_signals_that_are_pending),
		cmocka_unit_test(test_a_user_that_fiddles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
