/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio_user/client.h against the server: the client is a process of its own, as it blocks. */
#include "test_vfio_user_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "vfio_user/client.h"

#define EXPECT(cond)                               \
	do {                                       \
		if (!(cond))                       \
			_exit(__LINE__ % 250 + 1); \
	} while (0)

/* A server with a path. */
static struct vfio_user_server *serve(struct fixture *f, char path[64], int *listen_fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct vfio_user_server *srv;

	snprintf(path, 64, "/tmp/ridge-client-%d.sock", (int)getpid());
	strcpy(addr.sun_path, path);
	*listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_return_code(bind(*listen_fd, (struct sockaddr *)&addr, sizeof(addr)), errno);
	assert_return_code(listen(*listen_fd, 4), errno);
	assert_int_equal(
		vfio_user_server_new(f->loop, "client", *listen_fd, f->vdev, &f->counters, &srv),
		0);
	return srv;
}

/*
 * Runs fn in a process of its own, and the server until it has ended; 0, or the line that failed.
 */
static int run(struct fixture *f, void (*fn)(const char *path))
{
	uint64_t until = loop_now_ns() + 20000000000ull;
	struct vfio_user_server *srv;
	int listen_fd, status = -1;
	char path[64];
	pid_t child;

	srv = serve(f, path, &listen_fd);
	child = fork();
	if (!child) {
		fn(path);
		_exit(0);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		assert_int_equal(loop_step(f->loop, 5), 0);
		if (loop_now_ns() > until)
			kill(child, SIGKILL);
	}
	step(f);
	vfio_user_server_free(srv);
	close(listen_fd);
	unlink(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void accesses(const char *path)
{
	struct vfio_user_client c;
	uint64_t value = 0x1122334455667788;

	EXPECT(!vfio_user_client_open(&c, path));
	EXPECT(!vfio_user_client_write(&c, 0, 16, &value, 8));
	EXPECT(!vfio_user_client_post(&c, 0, 18, "xy", 2));
	value = 0;
	EXPECT(!vfio_user_client_read(&c, 0, 17, &value, 4));
	EXPECT(value == 0x44797877);
	EXPECT(vfio_user_client_read(&c, 0, STUB_BAR_SIZE, &value, 1) == -EINVAL);
	EXPECT(vfio_user_client_write(&c, 3, 0, &value, 1) == -EINVAL);
	EXPECT(vfio_user_client_read(&c, 0, 0, &value, 9) == -EMSGSIZE);
	vfio_user_client_close(&c);
	EXPECT(c.fd == -1);
}

static void many_writes(const char *path)
{
	struct vfio_user_client_write w[VFIO_USER_CLIENT_WRITES];
	struct vfio_user_client c;
	uint64_t value = 0;
	uint32_t done = 7;

	for (uint32_t i = 0; i < VFIO_USER_CLIENT_WRITES; i++)
		w[i] = (struct vfio_user_client_write){ .offset = 2 * i,
							.count = 2,
							.data = i + 1 };
	EXPECT(!vfio_user_client_open(&c, path));
	EXPECT(!vfio_user_client_write_multi(&c, w, VFIO_USER_CLIENT_WRITES, &done));
	EXPECT(done == VFIO_USER_CLIENT_WRITES);
	EXPECT(!vfio_user_client_read(&c, 0, 2 * 99, &value, 2) && value == 100);
	w[1].offset = STUB_BAR_SIZE;
	w[2].data = 77;
	EXPECT(!vfio_user_client_write_multi(&c, w, 3, &done) && done == 1);
	EXPECT(vfio_user_client_write_multi(&c, w + 1, 2, &done) == -EINVAL && done == 0);
	EXPECT(!vfio_user_client_write_multi(&c, w + 2, 1, NULL));
	EXPECT(!vfio_user_client_read(&c, 0, 4, &value, 2) && value == 77);
	EXPECT(vfio_user_client_write_multi(&c, w, 0, &done) == -EMSGSIZE);
	EXPECT(vfio_user_client_write_multi(&c, w, VFIO_USER_CLIENT_WRITES + 1, &done) ==
	       -EMSGSIZE);
	vfio_user_client_close(&c);
}

static void memory_and_vectors(const char *path)
{
	int fd = memfd_create("test", MFD_CLOEXEC), event[2] = { eventfd(0, 0), eventfd(0, 0) };
	struct vfio_user_client c;

	EXPECT(fd >= 0 && !ftruncate(fd, 8192) && event[0] >= 0 && event[1] >= 0);
	EXPECT(!vfio_user_client_open(&c, path));
	EXPECT(!vfio_user_client_map(&c, 0x10000, 8192, fd));
	EXPECT(vfio_user_client_map(&c, 0x11000, 4096, fd) == -EEXIST);
	EXPECT(!vfio_user_client_set_msix(&c, event, 2));
	vfio_user_client_close(&c);
}

static void refusals(const char *path)
{
	struct vfio_user_client c, second;
	char name[256];

	EXPECT(!vfio_user_client_open(&c, path));
	EXPECT(vfio_user_client_open(&second, path) == -EBUSY);
	EXPECT(second.fd == -1);
	EXPECT(vfio_user_client_open(&second, "/tmp/ridge-nobody.sock") == -ENOENT);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	EXPECT(vfio_user_client_open(&second, name) == -ENAMETOOLONG);
	vfio_user_client_close(&c);
}

static void test_accesses(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, accesses), 0);
}

static void test_many_writes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, many_writes), 0);
}

static void test_memory_and_vectors(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, memory_and_vectors), 0);
	assert_int_equal(f->vdev->irqs.count, 2);
	assert_int_equal(f->vdev->irqs.index, VFIO_PCI_MSIX_IRQ_INDEX);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, refusals), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_accesses),
		TEST(test_many_writes),
		TEST(test_memory_and_vectors),
		TEST(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
