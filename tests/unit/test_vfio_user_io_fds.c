/* SPDX-License-Identifier: BSD-3-Clause */
/* DEVICE_GET_REGION_IO_FDS, and descriptors that go with replies. */
#include "test_vfio_user_fixture.h"

#include <linux/kvm.h>
#include <sys/eventfd.h>

struct answer {
	struct vfio_user_header h;
	struct vfio_user_io_fds io;
	struct vfio_user_io_fd sub[STUB_IO_FDS];
} VFIO_USER_PACKED;

static int attach_with(struct fixture *f, const char *caps)
{
	int fd = client(f);
	char version[128] = { 0 }, out[256];

	strcpy(version + 4, caps);
	send_command(f, fd, VFIO_USER_VERSION, 0, version, 4 + strlen(caps) + 1, NULL, 0);
	assert_true(reply(f, fd, VFIO_USER_VERSION, out, sizeof(out)) > 4);
	return fd;
}

static void ask(struct fixture *f, int fd, uint32_t argsz, uint32_t index, uint32_t flags)
{
	struct vfio_user_io_fds io = { .argsz = argsz, .index = index };

	send_command(f, fd, VFIO_USER_DEVICE_GET_REGION_IO_FDS, flags, &io, sizeof(io), NULL, 0);
}

/* One message as QEMU takes it: the header by itself, with the descriptors. */
static size_t take(int fd, struct answer *a, int *fds)
{
	size_t nfds = STUB_IO_FDS, none = 0;
	ssize_t n = fd_recv(fd, &a->h, sizeof(a->h), fds, &nfds, MSG_DONTWAIT);

	assert_int_equal(n, sizeof(a->h));
	assert_true(a->h.size <= sizeof(*a));
	if (a->h.size > sizeof(a->h))
		assert_int_equal(
			fd_recv(fd, &a->io, a->h.size - sizeof(a->h), NULL, &none, MSG_DONTWAIT),
			a->h.size - sizeof(a->h));
	return nfds;
}

static void test_reply(void **state)
{
	struct fixture *f = *state;
	struct answer a;
	int fds[STUB_IO_FDS];
	uint64_t count;
	size_t nfds;
	int fd = attach(f);

	f->vdev->io_fds = 3;
	for (int round = 0; round < 2; round++) {
		ask(f, fd, 4096, 0, 0);
		nfds = take(fd, &a, fds);
		assert_int_equal(a.h.flags, VFIO_USER_TYPE_REPLY);
		assert_int_equal(nfds, 3);
		assert_int_equal(a.io.argsz, 16 + 3 * 40);
		assert_int_equal(a.h.size, 16 + a.io.argsz);
		assert_int_equal(a.io.flags, 0);
		assert_int_equal(a.io.index, 0);
		assert_int_equal(a.io.count, 3);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(a.sub[i].offset, 4 * i);
			assert_int_equal(a.sub[i].size, 2);
			assert_int_equal(a.sub[i].fd_index, i);
			assert_int_equal(a.sub[i].type, VFIO_USER_IO_FD_TYPE_IOEVENTFD);
			assert_int_equal(a.sub[i].flags,
					 (i & 1 ? KVM_IOEVENTFD_FLAG_PIO : 0) |
						 (i & 2 ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0));
			assert_int_equal(a.sub[i].padding, 0);
			assert_int_equal(a.sub[i].datamatch, 7 * i);
			/* Each is what it says, and the same when it is asked for again. */
			if (!round)
				assert_int_equal(eventfd_read(fds[i], &count), 0);
			if (!round)
				assert_int_equal(count, i + 1);
			assert_int_equal(eventfd_write(fds[i], 100 + i), 0);
			assert_int_equal(eventfd_read(f->vdev->io_fd[i], &count), 0);
			assert_int_equal(count, 100 + i);
		}
		fd_close_all(fds, nfds);
	}
	detach(f, fd);
}

static void test_argsz(void **state)
{
	struct fixture *f = *state;
	struct answer a;
	int fds[STUB_IO_FDS];
	int fd = attach(f);

	f->vdev->io_fds = 2;
	ask(f, fd, 15, 0, 0);
	assert_int_equal(take(fd, &a, fds), 0);
	assert_int_equal(a.h.error, EINVAL);
	for (uint32_t argsz = 16; argsz <= 96; argsz += 79) {
		ask(f, fd, argsz, 0, 0);
		assert_int_equal(take(fd, &a, fds), 0);
		assert_int_equal(a.h.size, 16 + 16);
		assert_int_equal(a.io.argsz, 96);
	}
	ask(f, fd, 96, 0, 0);
	assert_int_equal(take(fd, &a, fds), 2);
	fd_close_all(fds, 2);
	/* A region that has none, one that is none, and one that nobody has. */
	ask(f, fd, 4096, 1, 0);
	assert_int_equal(take(fd, &a, fds), 0);
	assert_int_equal(a.io.argsz, 16);
	assert_int_equal(a.io.count, 0);
	ask(f, fd, 4096, STUB_REGIONS, 0);
	assert_int_equal(take(fd, &a, fds), 0);
	assert_int_equal(a.h.error, EINVAL);
	detach(f, fd);
}

static void test_what_the_client_takes(void **state)
{
	static const struct {
		const char *caps;
		size_t fds;
	} clients[] = {
		{ "{\"capabilities\":{\"max_msg_fds\":0}}", 0 },
		{ "{\"capabilities\":{\"max_msg_fds\":1}}", 1 },
		{ "{\"capabilities\":{}}", 1 },
		{ "{\"capabilities\":{\"max_msg_fds\":5}}", 5 },
		{ "{\"capabilities\":{\"max_msg_fds\":100000}}", 16 },
	};
	struct fixture *f = *state;
	struct answer a;
	int fds[STUB_IO_FDS];

	f->vdev->io_fds = 16;
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		int fd = attach_with(f, clients[i].caps);

		ask(f, fd, 4096, 0, 0);
		assert_int_equal(take(fd, &a, fds), clients[i].fds);
		assert_int_equal(a.io.count, clients[i].fds);
		fd_close_all(fds, clients[i].fds);
		detach(f, fd);
	}
}

/* Descriptors come with the first byte of the message they belong to, whatever is around it. */
static void test_between_other_replies(void **state)
{
	static const uint16_t order[] = {
		VFIO_USER_DEVICE_RESET,
		VFIO_USER_DEVICE_GET_REGION_IO_FDS,
		VFIO_USER_DEVICE_RESET,
		VFIO_USER_DEVICE_RESET,
		VFIO_USER_DEVICE_GET_REGION_IO_FDS,
		VFIO_USER_DEVICE_GET_REGION_IO_FDS,
		VFIO_USER_DEVICE_RESET,
	};
	struct vfio_user_io_fds io = { .argsz = 4096 };
	struct fixture *f = *state;
	uint8_t batch[512];
	struct answer a;
	int fds[STUB_IO_FDS];
	size_t len = 0;
	int fd = attach(f);

	f->vdev->io_fds = 4;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		len += put(batch + len, (uint16_t)i, order[i], 0, &io,
			   order[i] == VFIO_USER_DEVICE_RESET ? 0 : sizeof(io));
	assert_int_equal(send(fd, batch, len, 0), len);
	step(f);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		size_t nfds = take(fd, &a, fds);

		assert_int_equal(a.h.id, i);
		assert_int_equal(a.h.command, order[i]);
		assert_int_equal(nfds, order[i] == VFIO_USER_DEVICE_RESET ? 0 : 4);
		fd_close_all(fds, nfds);
	}
	/* Who wants no reply gets no descriptors either: not with the next reply. */
	ask(f, fd, 4096, 0, VFIO_USER_FLAG_NO_REPLY);
	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_RESET, NULL, 0), 0);
	detach(f, fd);
}

/* A client that does not read, and does later: nothing is lost, nothing is early. */
static void test_full_socket(void **state)
{
	struct vfio_user_region_access rd = { .count = 60000 };
	struct fixture *f = *state;
	uint8_t *data = malloc(sizeof(rd) + rd.count);
	struct answer a;
	int fds[STUB_IO_FDS];
	unsigned int reads = 0;
	struct vfio_user_header h;
	int fd = attach(f);

	f->vdev->io_fds = 4;
	/* Until the server takes no more: what it wants to send does not fit into the socket. */
	for (unsigned int before = ~0u; before != f->vdev->accesses;) {
		before = f->vdev->accesses;
		send_command(f, fd, VFIO_USER_REGION_READ, 0, &rd, sizeof(rd), NULL, 0);
		reads++;
	}
	ask(f, fd, 4096, 0, 0);
	assert_int_equal(f->vdev->io_fd[0], -1);
	for (; reads; reads--) {
		size_t got = 0;

		while (got < sizeof(h) + sizeof(rd) + rd.count) {
			uint8_t *at = got < sizeof(h) ? (uint8_t *)&h + got : data;
			size_t want = got < sizeof(h) ? sizeof(h) - got
						      : sizeof(h) + sizeof(rd) + rd.count - got;
			size_t nfds = STUB_IO_FDS;
			ssize_t n = fd_recv(fd, at, want, fds, &nfds, MSG_DONTWAIT);

			assert_true(n > 0 || n == -EAGAIN);
			assert_true(n < 0 || nfds == 0);
			got += n > 0 ? (size_t)n : 0;
			step(f);
		}
		assert_int_equal(h.command, VFIO_USER_REGION_READ);
	}
	assert_int_equal(take(fd, &a, fds), 4);
	fd_close_all(fds, 4);
	free(data);
	detach(f, fd);
}

/* Descriptors that are not taken are few; whoever takes them gets them again. */
static void test_descriptors_that_nobody_takes(void **state)
{
	struct vfio_user_io_fds io = { .argsz = 4096 };
	struct fixture *f = *state;
	uint8_t batch[40 * (16 + sizeof(io))];
	struct answer a;
	int fds[STUB_IO_FDS];
	size_t len, nfds;
	int fd = attach(f);

	f->vdev->io_fds = 4;
	for (int round = 0; round < 2; round++) {
		len = 0;
		for (uint16_t i = 0; i < 40; i++)
			len += put(batch + len, i, VFIO_USER_DEVICE_GET_REGION_IO_FDS, 0, &io,
				   sizeof(io));
		assert_int_equal(send(fd, batch, len, 0), len);
		step(f);
		for (uint16_t i = 0; i < 40; i++) {
			nfds = take(fd, &a, fds);
			assert_int_equal(a.h.id, i);
			assert_int_equal(nfds, i < 16 ? 4 : 0);
			assert_int_equal(a.h.error, i < 16 ? 0 : EBUSY);
			fd_close_all(fds, nfds);
		}
	}
	for (uint16_t i = 0; i < 40; i++) {
		ask(f, fd, 4096, 0, 0);
		nfds = take(fd, &a, fds);
		assert_int_equal(nfds, 4);
		fd_close_all(fds, nfds);
	}
	detach(f, fd);
}

/* What was signalled before an UNMAP acts on the memory that was there then. */
static void test_unmap_behind_signals(void **state)
{
	struct vfio_user_dma_unmap unmap = { .argsz = sizeof(unmap), .size = 0x1000 };
	struct vfio_user_dma_map map = { .argsz = sizeof(map), .flags = 3, .size = 0x1000 };
	struct fixture *f = *state;
	int fd = attach(f);

	f->vdev->loop = f->loop;
	for (unsigned int endless = 0; endless < 2; endless++) {
		assert_int_equal(command(f, fd, VFIO_USER_DMA_MAP, &map, sizeof(map)), 0);
		f->vdev->effects = 0;
		f->vdev->signals = 2;
		f->vdev->endless = endless;
		assert_int_equal(command(f, fd, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)),
				 sizeof(unmap));
		assert_int_equal(f->vdev->effects, 2);
		assert_int_equal(f->vdev->too_early, 0);
	}
	detach(f, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reply),
		TEST(test_argsz),
		TEST(test_what_the_client_takes),
		TEST(test_between_other_replies),
		TEST(test_full_socket),
		TEST(test_descriptors_that_nobody_takes),
		TEST(test_unmap_behind_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
