/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vfio_user_fixture.h"

#include <dirent.h>

#include "base/log.h"

int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_open("test", LOG_CRIT);
	f->addr.sun_family = AF_UNIX;
	f->vdev = stub_new();
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* An address without a name: the kernel makes one up. */
	assert_return_code(bind(f->listen_fd, (struct sockaddr *)&f->addr, sizeof(sa_family_t)),
			   errno);
	assert_return_code(listen(f->listen_fd, 16), errno);
	f->addr_len = sizeof(f->addr);
	assert_return_code(getsockname(f->listen_fd, (struct sockaddr *)&f->addr, &f->addr_len),
			   errno);
	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(
		vfio_user_server_new(f->loop, "fn", f->listen_fd, f->vdev, &f->counters, &f->srv),
		0);
	f->fds_before = open_fds();
	*state = f;
	return 0;
}

int teardown(void **state)
{
	struct fixture *f = *state;

	vfio_user_server_free(f->srv);
	loop_free(f->loop);
	close(f->listen_fd);
	stub_free(f->vdev);
	free(f);
	return 0;
}

void step(struct fixture *f)
{
	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_step(f->loop, 0), 0);
}

void pass(struct fixture *f, unsigned int ms)
{
	uint64_t end = loop_now_ns() + ms * 1000000ull;

	while (loop_now_ns() < end)
		assert_int_equal(loop_step(f->loop, 10), 0);
}

int client(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_return_code(connect(fd, (struct sockaddr *)&f->addr, f->addr_len), errno);
	step(f);
	return fd;
}

size_t put(uint8_t *out, uint16_t id, uint16_t command, uint32_t flags, const void *payload,
	   size_t len)
{
	struct vfio_user_header h = {
		.id = id, .command = command, .size = (uint32_t)(sizeof(h) + len), .flags = flags
	};

	memcpy(out, &h, sizeof(h));
	if (len)
		memcpy(out + sizeof(h), payload, len);
	return sizeof(h) + len;
}

void send_command(struct fixture *f, int fd, uint16_t command, uint32_t flags, const void *payload,
		  size_t len, const int *fds, size_t nfds)
{
	uint8_t *buf = malloc(16 + len);
	size_t size = put(buf, ++f->id, command, flags, payload, len);

	assert_int_equal(fd_send(fd, buf, size, fds, nfds, 0), size);
	free(buf);
	step(f);
}

int reply(struct fixture *f, int fd, uint16_t command, void *payload, size_t max)
{
	struct vfio_user_header h;
	ssize_t n = recv(fd, &h, sizeof(h), 0);

	if (n < 0)
		return -errno;
	assert_int_equal(n, sizeof(h));
	assert_int_equal(h.id, f->id);
	assert_int_equal(h.command, command);
	if (h.flags != VFIO_USER_TYPE_REPLY) {
		assert_int_equal(h.flags, VFIO_USER_TYPE_REPLY | VFIO_USER_FLAG_ERROR);
		assert_int_equal(h.size, sizeof(h));
		return -(int)h.error;
	}
	assert_true(h.size - sizeof(h) <= max);
	if (h.size > sizeof(h))
		assert_int_equal(recv(fd, payload, h.size - sizeof(h), 0), h.size - sizeof(h));
	return (int)(h.size - sizeof(h));
}

int command(struct fixture *f, int fd, uint16_t cmd, const void *payload, size_t len)
{
	uint8_t out[512];

	send_command(f, fd, cmd, 0, payload, len, NULL, 0);
	return reply(f, fd, cmd, out, sizeof(out));
}

int attach(struct fixture *f)
{
	int fd = client(f);
	char out[256];

	send_command(f, fd, VFIO_USER_VERSION, 0, VERSION_DATA, sizeof(VERSION_DATA), NULL, 0);
	assert_true(reply(f, fd, VFIO_USER_VERSION, out, sizeof(out)) > 4);
	assert_memory_equal(out, "\0\0\0\0", 4);
	assert_string_equal(out + 4, "{\"capabilities\":{\"max_msg_fds\":16}}");
	return fd;
}

bool closed(struct fixture *f, int fd)
{
	char byte;

	step(f);
	return recv(fd, &byte, 1, 0) == 0 || (errno != EAGAIN && errno != EINTR);
}

void detach(struct fixture *f, int fd)
{
	close(fd);
	step(f);
	assert_int_equal(vfio_user_server_state(f->srv), VFIO_USER_LISTENING);
	assert_int_equal(open_fds(), f->fds_before);
	assert_int_equal(f->vdev->opens, f->vdev->closes);
}

int do_access(struct fixture *f, int fd, bool write, uint64_t offset, uint32_t count, void *data)
{
	uint16_t cmd = write ? VFIO_USER_REGION_WRITE : VFIO_USER_REGION_READ;
	struct vfio_user_region_access a = { .offset = offset, .count = count };
	uint8_t buf[512];
	int n;

	memcpy(buf, &a, sizeof(a));
	memcpy(buf + sizeof(a), data, count);
	send_command(f, fd, cmd, 0, buf, sizeof(a) + (write ? count : 0), NULL, 0);
	n = reply(f, fd, cmd, buf, sizeof(buf));
	if (n < 0)
		return n;
	assert_memory_equal(buf, &a, sizeof(a));
	assert_int_equal(n, sizeof(a) + (write ? 0 : count));
	if (!write)
		memcpy(data, buf + sizeof(a), count);
	return 0;
}
