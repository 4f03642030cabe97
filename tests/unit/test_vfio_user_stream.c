/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio_user/server.h: the byte stream, as it should not be but may be. */
#include "test_vfio_user_fixture.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

/* Messages cut anywhere and glued anyhow are the same messages. */
/* rules: vu-header-4 vu-connection-4 */
static void test_framing(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_region_access a = { .offset = 7, .count = 4 };
	uint8_t w[20], batch[4096], out[64];
	size_t len = 0;
	int fd = attach(f);

	memcpy(w, &a, sizeof(a));
	for (uint8_t i = 0; i < 50; i++) {
		memset(w + sizeof(a), i, 4);
		len += put(batch + len, 1, VFIO_USER_REGION_WRITE, VFIO_USER_FLAG_NO_REPLY, w,
			   sizeof(w));
	}
	f->id = 77;
	len += put(batch + len, 77, VFIO_USER_REGION_READ, 0, &a, sizeof(a));
	for (size_t piece = 1; piece < len; piece = piece * 2 + 1) {
		memset(f->vdev->bar, 0, 16);
		for (size_t at = 0; at < len; at += piece) {
			size_t n = len - at < piece ? len - at : piece;

			assert_int_equal(send(fd, batch + at, n, 0), n);
			if (at % 3 == 0)
				step(f);
		}
		step(f);
		assert_int_equal(reply(f, fd, VFIO_USER_REGION_READ, out, sizeof(out)), 20);
		assert_memory_equal(out + 16, "\x31\x31\x31\x31", 4);
		assert_int_equal(recv(fd, out, 1, 0), -1);
	}
	detach(f, fd);
}

/* Each descriptor goes to the message it came with, though all of them are received at once. */
static void test_fd_boundaries(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_dma_map map = { .argsz = 32, .flags = 1, .size = 0x1000 };
	int mem = memfd_create("mem", MFD_CLOEXEC);
	static const bool with_fd[] = { false, true, true, false, false, true, false };
	uint8_t buf[48], out[16 * 7];
	int fd = attach(f);

	f->fds_before++;
	for (size_t i = 0; i < 7; i++) {
		map.address = i << 20;
		put(buf, 1, VFIO_USER_DMA_MAP, 0, &map, sizeof(map));
		assert_int_equal(fd_send(fd, buf, sizeof(buf), &mem, with_fd[i], 0), sizeof(buf));
	}
	step(f);
	assert_int_equal(f->vdev->nmaps, 7);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(f->vdev->maps[i].iova, i << 20);
		assert_int_equal(f->vdev->maps[i].has_fd, with_fd[i]);
	}
	assert_int_equal(recv(fd, out, sizeof(out), 0), sizeof(out));
	/* Behind half a message without one, and cut itself: the descriptor is with its bytes. */
	for (size_t cut = 1; cut < sizeof(buf); cut += 9) {
		uint8_t two[96];

		map.address += 1 << 20;
		put(two, 1, VFIO_USER_DMA_MAP, 0, &map, sizeof(map));
		map.address += 1 << 20;
		put(two + 48, 1, VFIO_USER_DMA_MAP, 0, &map, sizeof(map));
		assert_int_equal(send(fd, two, 20, 0), 20);
		step(f);
		assert_int_equal(send(fd, two + 20, 28, 0), 28);
		assert_int_equal(fd_send(fd, two + 48, cut, &mem, 1, 0), cut);
		step(f);
		assert_int_equal(send(fd, two + 48 + cut, 48 - cut, 0), 48 - cut);
		step(f);
		assert_false(f->vdev->maps[f->vdev->nmaps - 2].has_fd);
		assert_true(f->vdev->maps[f->vdev->nmaps - 1].has_fd);
		/* Each of two has one, and the second is there before the first is complete. */
		map.address += 1 << 20;
		put(two, 1, VFIO_USER_DMA_MAP, 0, &map, sizeof(map));
		map.address += 1 << 20;
		put(two + 48, 1, VFIO_USER_DMA_MAP, 0, &map, sizeof(map));
		assert_int_equal(fd_send(fd, two, cut, &mem, 1, 0), cut);
		step(f);
		assert_int_equal(send(fd, two + cut, 48 - cut, 0), 48 - cut);
		assert_int_equal(fd_send(fd, two + 48, 48, &mem, 1, 0), 48);
		step(f);
		assert_int_equal(f->vdev->maps[f->vdev->nmaps - 1].iova, map.address);
		assert_true(f->vdev->maps[f->vdev->nmaps - 2].has_fd);
		assert_true(f->vdev->maps[f->vdev->nmaps - 1].has_fd);
		/* The same with the descriptor on the last piece, and a third message behind it. */
		map.address += 1 << 20;
		put(two, 1, VFIO_USER_DMA_MAP, 0, &map, sizeof(map));
		put(two + 48, 1, 999, 0, NULL, 0);
		assert_int_equal(send(fd, two, cut, 0), cut);
		assert_int_equal(fd_send(fd, two + cut, 48 - cut, &mem, 1, 0), 48 - cut);
		assert_int_equal(send(fd, two + 48, 16, 0), 16);
		step(f);
		assert_true(f->vdev->maps[f->vdev->nmaps - 1].has_fd);
	}
	detach(f, fd);
	close(mem);
}

static void test_too_many_fds(void **state)
{
	struct fixture *f = *state;
	int fds[17], fd = attach(f);
	uint8_t buf[16];

	for (int i = 0; i < 17; i++)
		fds[i] = STDERR_FILENO;
	send_command(f, fd, VFIO_USER_DEVICE_RESET, 0, NULL, 0, fds, 16);
	assert_int_equal(reply(f, fd, VFIO_USER_DEVICE_RESET, NULL, 0), -EINVAL);
	send_command(f, fd, VFIO_USER_DEVICE_RESET, 0, NULL, 0, fds, 17);
	assert_true(closed(f, fd));
	detach(f, fd);
	/* With the pieces of one message. */
	fd = attach(f);
	put(buf, 1, VFIO_USER_DEVICE_RESET, 0, NULL, 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(fd_send(fd, buf + i, 1, fds, 5, 0), 1);
		step(f);
	}
	assert_true(closed(f, fd));
	detach(f, fd);
}

static void test_first_message(void **state)
{
	struct fixture *f = *state;
	static const char major[] = "\1\0\0\0{}";
	static const char garbage[] = "\0\0\0\0{\"capabilities\":";
	int fd;

	fd = client(f);
	assert_int_equal(command(f, fd, VFIO_USER_DEVICE_RESET, NULL, 0), -EINVAL);
	assert_true(closed(f, fd));
	assert_int_equal(f->vdev->resets, 0);
	detach(f, fd);
	fd = client(f);
	assert_int_equal(command(f, fd, VFIO_USER_VERSION, major, sizeof(major)), -ENOTSUP);
	assert_true(closed(f, fd));
	detach(f, fd);
	fd = client(f);
	assert_int_equal(command(f, fd, VFIO_USER_VERSION, garbage, sizeof(garbage)), -EINVAL);
	assert_true(closed(f, fd));
	detach(f, fd);
	fd = client(f);
	send_command(f, fd, VFIO_USER_VERSION, VFIO_USER_FLAG_NO_REPLY, VERSION_DATA,
		     sizeof(VERSION_DATA), NULL, 0);
	assert_true(closed(f, fd));
	detach(f, fd);
	/* Never. */
	fd = client(f);
	pass(f, 4500);
	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_CONNECTED);
	pass(f, 1000);
	assert_true(closed(f, fd));
	detach(f, fd);
	detach(f, attach(f));
}

static void test_violations(void **state)
{
	struct fixture *f = *state;
	static const struct vfio_user_header bad[] = {
		{ .command = VFIO_USER_DEVICE_RESET, .size = 0 },
		{ .command = VFIO_USER_DEVICE_RESET, .size = 15 },
		{ .command = VFIO_USER_REGION_WRITE, .size = 0xffffffff },
		{ .command = VFIO_USER_DEVICE_RESET, .size = 16, .flags = VFIO_USER_TYPE_REPLY },
		{ .command = VFIO_USER_DEVICE_RESET, .size = 16, .flags = 0xf },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = attach(f);

		assert_int_equal(send(fd, &bad[i], 16, 0), 16);
		assert_true(closed(f, fd));
		detach(f, fd);
	}
	detach(f, attach(f));
}

/* A client that was not told max_data_xfer_size may send the default: refused, not fatal. */
static void test_oversized(void **state)
{
	struct fixture *f = *state;
	size_t size = VFIO_USER_DEFAULT_XFER_SIZE;
	uint8_t *data = calloc(1, 16 + size + 16);
	struct vfio_user_region_access a = { .count = (uint32_t)size };
	int stray = eventfd(0, 0);
	int fd = attach(f);
	size_t sent = 0, len;
	char byte[4];

	f->fds_before++;
	memcpy(data + 16, &a, sizeof(a));
	f->id++;
	len = put(data, f->id, VFIO_USER_REGION_WRITE, 0, memcpy(data + 16, &a, sizeof(a)),
		  sizeof(a) + size - 16);
	while (sent < len) {
		ssize_t n = fd_send(fd, data + sent, len - sent < 50000 ? len - sent : 50000,
				    &stray, 1, 0);

		if (n > 0)
			sent += (size_t)n;
		step(f);
	}
	assert_int_equal(reply(f, fd, VFIO_USER_REGION_WRITE, NULL, 0), -EMSGSIZE);
	assert_int_equal(do_access(f, fd, false, 0, 4, byte), 0);
	assert_int_equal(open_fds(), f->fds_before + 2);
	free(data);
	detach(f, fd);
	close(stray);
}

/* A client that sends and never reads is held up; what it is owed comes when it does. */
static void test_never_reads(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_region_access a = { .count = VFIO_USER_MAX_XFER };
	uint8_t buf[32], *in = malloc(1 << 20);
	size_t sent = 0, want = 0, got = 0;
	unsigned int accesses;
	int fd = attach(f);

	put(buf, 1, VFIO_USER_REGION_READ, 0, &a, sizeof(a));
	while (send(fd, buf, sizeof(buf), 0) == sizeof(buf)) {
		sent++;
		step(f);
		assert_true(sent < 100000);
	}
	accesses = f->vdev->accesses;
	pass(f, 50);
	assert_int_equal(f->vdev->accesses, accesses);
	assert_true(accesses < 16);
	want = sent * (32 + VFIO_USER_MAX_XFER);
	while (got < want) {
		ssize_t n = recv(fd, in, 1 << 20, 0);

		if (n > 0)
			got += (size_t)n;
		else
			assert_int_equal(errno, EAGAIN);
		assert_int_equal(loop_step(f->loop, 0), 0);
	}
	assert_int_equal(got, want);
	assert_int_equal(f->vdev->accesses, sent);
	/* It goes while it is held up. */
	for (int i = 0; i < 16; i++)
		(void)!send(fd, buf, sizeof(buf), 0);
	step(f);
	detach(f, fd);
	free(in);
}

/* A flood is taken in turns. */
static void test_fairness(void **state)
{
	struct fixture *f = *state;
	struct vfio_user_region_access a = { .count = 1 };
	uint8_t *batch = malloc(33 * 1000), w[17] = { 0 };
	int fd = attach(f);
	size_t len = 0;

	memcpy(w, &a, sizeof(a));
	for (int i = 0; i < 1000; i++)
		len += put(batch + len, 1, VFIO_USER_REGION_WRITE, VFIO_USER_FLAG_NO_REPLY, w,
			   sizeof(w));
	assert_int_equal(send(fd, batch, len, 0), len);
	for (unsigned int last = 0; f->vdev->accesses < 1000; last = f->vdev->accesses) {
		assert_int_equal(loop_step(f->loop, 0), 0);
		assert_in_range(f->vdev->accesses - last, 1, 128);
	}
	free(batch);
	detach(f, fd);
}

/* Whatever 200 clients in a row do, nothing stays behind. */
static void test_hostile(void **state)
{
	struct fixture *f = *state;
	static uint8_t junk[100000];

	srandom(7);
	for (int round = 0; round < 200; round++) {
		int fd = round % 3 ? attach(f) : client(f);
		int fds[5] = { 2, 2, 2, 2, 2 };

		for (int i = 0; i < 10; i++) {
			struct vfio_user_header h = {
				.command = (uint16_t)(random() % 20),
				.size = 16 + (uint32_t)(random() % 80),
				.flags = random() % 4 ? 0 : (uint32_t)random() % 64,
			};
			size_t len = (size_t)random() % (random() % 10 ? 100 : sizeof(junk));

			for (size_t k = 0; k < 128; k++)
				junk[k] = random() % 2 ? 0 : (uint8_t)random();
			memcpy(junk, &h, sizeof(h));
			(void)!fd_send(fd, junk, len, fds, (size_t)random() % 6, 0);
			step(f);
		}
		detach(f, fd);
	}
	detach(f, attach(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_framing),       TEST(test_fd_boundaries), TEST(test_too_many_fds),
		TEST(test_first_message), TEST(test_violations),    TEST(test_oversized),
		TEST(test_never_reads),   TEST(test_fairness),      TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
