/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio_user/server.h: messages that the server sends on its own account. */
#include "test_vfio_user_fixture.h"

#define ADDRESS 0xfee01000ull

/* Receives one DMA_WRITE of ours; its data. */
static uint32_t receive(struct fixture *f, int fd)
{
	struct {
		struct vfio_user_header h;
		struct vfio_user_dma_access access;
		uint32_t data;
	} VFIO_USER_PACKED m;

	step(f);
	assert_int_equal(recv(fd, &m, sizeof(m), 0), sizeof(m));
	assert_int_equal(m.h.command, VFIO_USER_DMA_WRITE);
	assert_int_equal(m.h.flags, VFIO_USER_TYPE_COMMAND | VFIO_USER_FLAG_NO_REPLY);
	assert_int_equal(m.h.size, sizeof(m));
	assert_int_equal(m.access.address, ADDRESS);
	assert_int_equal(m.access.count, 4);
	return m.data;
}

static void test_a_message_is_a_dma_write_without_reply(void **state)
{
	struct fixture *f = *state;
	int fd;

	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, 1), -ENOTCONN);
	fd = client(f);
	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, 1), -ENOTCONN);
	detach(f, fd);
	fd = attach(f);
	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, 0x4021), 0);
	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, 0x4022), 0);
	assert_int_equal(receive(f, fd), 0x4021);
	assert_int_equal(receive(f, fd), 0x4022);
	detach(f, fd);
}

static void on_room(void *ctx)
{
	++*(int *)ctx;
}

/* The bytes of a read that is under way are where the message would go. */
static void test_a_message_does_not_meet_a_read_under_way(void **state)
{
	struct vfio_user_region_access a = { .offset = 8, .count = 4 };
	struct fixture *f = *state;
	int room = 0, fd = attach(f);
	uint8_t out[20];

	vfio_user_server_watch_room(f->srv, on_room, &room);
	f->vdev->late_access = true;
	memset(f->vdev->bar + 8, 0xa5, 4);
	send_command(f, fd, VFIO_USER_REGION_READ, 0, &a, sizeof(a), NULL, 0);
	step(f);
	assert_non_null(f->vdev->access);
	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, 1), -EAGAIN);
	step(f);
	assert_int_equal(room, 0);
	stub_finish(f->vdev, 0);
	assert_int_equal(reply(f, fd, VFIO_USER_REGION_READ, out, sizeof(out)), 20);
	assert_memory_equal(out + 16, "\xa5\xa5\xa5\xa5", 4);
	step(f);
	assert_int_equal(room, 1);
	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, 1), 0);
	assert_int_equal(receive(f, fd), 1);
	detach(f, fd);
}

/* Messages do not displace the reply of a write that takes its time. */
static void test_messages_and_a_write_under_way(void **state)
{
	uint8_t w[20] = { 0 };
	struct vfio_user_region_access a = { .offset = 8, .count = 4 };
	struct fixture *f = *state;
	int fd = attach(f);

	memcpy(w, &a, sizeof(a));
	f->vdev->late_access = true;
	send_command(f, fd, VFIO_USER_REGION_WRITE, 0, w, sizeof(w), NULL, 0);
	step(f);
	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, 5), 0);
	assert_int_equal(receive(f, fd), 5);
	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, 6), 0);
	stub_finish(f->vdev, 0);
	assert_int_equal(receive(f, fd), 6);
	assert_int_equal(reply(f, fd, VFIO_USER_REGION_WRITE, w, sizeof(w)), 16);
	detach(f, fd);
}

/* A client that does not read keeps a bounded number of them, and gets the rest when it reads. */
static void test_a_client_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	uint32_t sent = 0, got = 0;
	int room = 0, fd = attach(f);

	vfio_user_server_watch_room(f->srv, on_room, &room);
	while (vfio_user_server_message(f->srv, ADDRESS, sent) == 0) {
		sent++;
		assert_true(sent < 100000);
		if (sent % 64 == 0)
			step(f);
	}
	/* The buffer was full, not yet the socket: there is room again at once. */
	step(f);
	for (int i = 0; i < 1000 && room; i++) {
		room = 0;
		while (vfio_user_server_message(f->srv, ADDRESS, sent) == 0)
			sent++;
		step(f);
	}
	assert_int_equal(room, 0);
	assert_int_equal(vfio_user_server_message(f->srv, ADDRESS, sent), -EAGAIN);
	while (got < sent)
		assert_int_equal(receive(f, fd), got++);
	assert_int_equal(room, 1);
	detach(f, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_message_is_a_dma_write_without_reply),
		TEST(test_a_message_does_not_meet_a_read_under_way),
		TEST(test_messages_and_a_write_under_way),
		TEST(test_a_client_that_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
