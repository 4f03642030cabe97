/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * REGION_WRITE_MULTI: all of it in order, as far as the device goes along, and not too long at
 * once.
 */
#include "test_vfio_user_fixture.h"

#define MULTI_VERSION "\0\0\0\0{\"capabilities\":{\"write_multiple\":true}}"
#define MOST          2000u

struct multi {
	struct vfio_user_write_multi head;
	struct vfio_user_write_one wrs[MOST];
} VFIO_USER_PACKED;

static int attach_multi(struct fixture *f)
{
	int fd = client(f);
	char out[256];

	send_command(f, fd, VFIO_USER_VERSION, 0, MULTI_VERSION, sizeof(MULTI_VERSION), NULL, 0);
	assert_true(reply(f, fd, VFIO_USER_VERSION, out, sizeof(out)) > 4);
	assert_string_equal(out + 4, "{\"capabilities\":{\"write_multiple\":true}}");
	return fd;
}

/* n writes of two bytes each, at 2 * i: the number i. */
static size_t fill(struct multi *m, uint32_t n)
{
	memset(m, 0, sizeof(*m));
	m->head.wr_cnt = n;
	for (uint32_t i = 0; i < n; i++) {
		m->wrs[i].offset = 2 * i;
		m->wrs[i].count = 2;
		m->wrs[i].data[0] = (uint8_t)i;
		m->wrs[i].data[1] = (uint8_t)(i >> 8);
	}
	return sizeof(m->head) + n * sizeof(m->wrs[0]);
}

static void check_written(struct fixture *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(f->vdev->bar[2 * i] | f->vdev->bar[2 * i + 1] << 8, i);
	assert_int_equal(f->vdev->bar[2 * n] | f->vdev->bar[2 * n + 1], 0);
}

/* How many the reply says were done, or a negative errno. */
static int done(struct fixture *f, int fd)
{
	struct vfio_user_write_multi out;
	int n = reply(f, fd, VFIO_USER_REGION_WRITE_MULTI, &out, sizeof(out));

	if (n < 0)
		return n;
	assert_int_equal(n, sizeof(out));
	return (int)out.wr_cnt;
}

static void test_not_negotiated(void **state)
{
	struct fixture *f = *state;
	struct multi *m = calloc(1, sizeof(*m));
	int fd = attach(f);

	assert_int_equal(command(f, fd, VFIO_USER_REGION_WRITE_MULTI, m, fill(m, 1)), -ENOTSUP);
	assert_int_equal(f->vdev->accesses, 0);
	detach(f, fd);
	free(m);
}

static void test_writes(void **state)
{
	static const uint32_t counts[] = { 1, 2, 63, 64, 65, 200, MOST };
	struct fixture *f = *state;
	struct multi *m = calloc(1, sizeof(*m));
	int fd = attach_multi(f);

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		uint32_t n = counts[c];

		memset(f->vdev->bar, 0, sizeof(f->vdev->bar));
		m->wrs[0].data[1] = 1;
		send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, fill(m, n), NULL, 0);
		pass(f, 1);
		for (unsigned int i = 0; i < n / 64; i++)
			step(f);
		assert_int_equal(done(f, fd), n);
		if (n > 1)
			check_written(f, n);
	}
	/* What was written later wins. */
	fill(m, 2);
	m->wrs[1].offset = 0;
	m->wrs[1].count = 8;
	memcpy(m->wrs[1].data, "ABCDEFGH", 8);
	send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, 8 + 2 * 24, NULL, 0);
	assert_int_equal(done(f, fd), 2);
	assert_memory_equal(f->vdev->bar, "ABCDEFGH", 8);
	detach(f, fd);
	free(m);
}

static void test_a_turn_ends(void **state)
{
	struct fixture *f = *state;
	struct multi *m = calloc(1, sizeof(*m));
	int fd = attach_multi(f);
	uint8_t *buf = malloc(sizeof(struct vfio_user_header) + sizeof(*m));
	size_t size = put(buf, ++f->id, VFIO_USER_REGION_WRITE_MULTI, 0, m, fill(m, MOST));

	assert_int_equal(send(fd, buf, size, 0), size);
	assert_int_equal(loop_step(f->loop, 0), 0);
	assert_true(f->vdev->accesses > 0);
	assert_true(f->vdev->accesses < MOST / 4);
	while (f->vdev->accesses < MOST)
		step(f);
	assert_int_equal(done(f, fd), MOST);
	/* The VMM goes in the middle of one. */
	assert_int_equal(send(fd, buf, size, 0), size);
	assert_int_equal(loop_step(f->loop, 0), 0);
	assert_true(f->vdev->accesses < 2 * MOST);
	detach(f, fd);
	free(buf);
	free(m);
}

static void test_failures(void **state)
{
	struct fixture *f = *state;
	struct multi *m = calloc(1, sizeof(*m));
	int fd = attach_multi(f);
	size_t size;

	/* The device does not have that: what was before is done, what is behind is not. */
	for (uint32_t bad = 0; bad < 70; bad += 69) {
		memset(f->vdev->bar, 0, sizeof(f->vdev->bar));
		size = fill(m, 80);
		m->wrs[bad].offset = STUB_BAR_SIZE - 1;
		send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, size, NULL, 0);
		assert_int_equal(done(f, fd), bad ? (int)bad : -EINVAL);
		check_written(f, bad);
	}
	/* Malformed anywhere: nothing is done. */
	memset(f->vdev->bar, 0, sizeof(f->vdev->bar));
	size = fill(m, 3);
	m->wrs[2].count = 9;
	assert_int_equal(command(f, fd, VFIO_USER_REGION_WRITE_MULTI, m, size), -EINVAL);
	check_written(f, 0);
	detach(f, fd);
	free(m);
}

static void test_late_device(void **state)
{
	struct fixture *f = *state;
	struct multi *m = calloc(1, sizeof(*m));
	int fd = attach_multi(f);
	char data[2];
	size_t size = fill(m, 3);

	f->vdev->late_access = true;
	send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, size, NULL, 0);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(f->vdev->accesses, i);
		assert_int_equal(done(f, fd), -EAGAIN);
		stub_finish(f->vdev, 0);
		step(f);
	}
	assert_int_equal(done(f, fd), 3);
	check_written(f, 3);

	/* The second fails, late. */
	send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, size, NULL, 0);
	stub_finish(f->vdev, 0);
	step(f);
	stub_finish(f->vdev, -EIO);
	step(f);
	assert_int_equal(done(f, fd), 1);

	/* Posted, and a read behind it: in order. */
	send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, VFIO_USER_FLAG_NO_REPLY, m, size, NULL,
		     0);
	for (int i = 0; i < 3; i++) {
		stub_finish(f->vdev, 0);
		step(f);
	}
	f->vdev->late_access = false;
	assert_int_equal(do_access(f, fd, false, 4, 2, data), 0);
	assert_memory_equal(data, "\2", 2);

	/* The VMM goes while the device is at it. */
	f->vdev->late_access = true;
	send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, size, NULL, 0);
	detach(f, fd);

	/* One that should have stopped DMA and did not: its user is cut off. */
	fd = attach_multi(f);
	send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, size, NULL, 0);
	stub_finish(f->vdev, 0);
	step(f);
	stub_finish(f->vdev, -ETIMEDOUT);
	assert_true(closed(f, fd));
	detach(f, fd);
	free(m);
}

/* Each write has the time that one alone would have. */
static void test_a_slow_device(void **state)
{
	struct fixture *f = *state;
	struct multi *m = calloc(1, sizeof(*m));
	int fd = attach_multi(f);

	f->vdev->late_access = true;
	send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, fill(m, 2), NULL, 0);
	for (int i = 0; i < 2; i++) {
		pass(f, VFIO_USER_IO_WAIT_MS / 2 + 100);
		stub_finish(f->vdev, 0);
		step(f);
	}
	assert_int_equal(done(f, fd), 2);
	/* And no more than that. */
	send_command(f, fd, VFIO_USER_REGION_WRITE_MULTI, 0, m, fill(m, 2), NULL, 0);
	stub_finish(f->vdev, 0);
	step(f);
	pass(f, VFIO_USER_IO_WAIT_MS + 200);
	assert_true(closed(f, fd));
	detach(f, fd);
	free(m);
}

/* What was written acts from the loop, on memory that must still be there then. */
static void test_unmap_behind_writes(void **state)
{
	struct vfio_user_dma_unmap unmap = { .argsz = sizeof(unmap),
					     .address = 0x1000,
					     .size = 0x1000 };
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map), .flags = 3, .address = 0x1000, .size = 0x1000
	};
	struct fixture *f = *state;
	struct multi *m = calloc(1, sizeof(*m));
	int fd = attach_multi(f);
	uint8_t *buf = malloc(sizeof(*m));

	f->vdev->loop = f->loop;
	for (uint32_t n = 1; n <= 300; n += 299) {
		size_t size;

		assert_int_equal(command(f, fd, VFIO_USER_DMA_MAP, &map, sizeof(map)), 0);
		size = put(buf, 0, VFIO_USER_REGION_WRITE_MULTI, VFIO_USER_FLAG_NO_REPLY, m,
			   fill(m, n));
		size += put(buf + size, ++f->id, VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap));
		f->vdev->effects = 0;
		assert_int_equal(send(fd, buf, size, 0), size);
		step(f);
		assert_int_equal(reply(f, fd, VFIO_USER_DMA_UNMAP, &unmap, sizeof(unmap)),
				 sizeof(unmap));
		assert_int_equal(f->vdev->effects, n);
		assert_int_equal(f->vdev->too_early, 0);
	}
	detach(f, fd);
	free(buf);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_not_negotiated), TEST(test_writes),      TEST(test_a_turn_ends),
		TEST(test_failures),       TEST(test_late_device), TEST(test_unmap_behind_writes),
		TEST(test_a_slow_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
