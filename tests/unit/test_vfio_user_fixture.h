/* SPDX-License-Identifier: BSD-3-Clause */
/* A vfio-user server on a socket of its own, with the stub for a device, and clients for it. */
#ifndef RIDGE_TEST_VFIO_USER_FIXTURE_H
#define RIDGE_TEST_VFIO_USER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "test_vfio_user_stub.h"
#include "vfio_user/codec.h"
#include "vfio_user/server.h"

struct fixture {
	struct loop *loop;
	struct vfio_device *vdev;
	struct vfio_user_server *srv;
	struct counters counters;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int listen_fd;
	int fds_before; /* open descriptors of this process, without clients */
	unsigned int drained;
	struct vfio_wait wait;
	struct loop_work work;
	uint16_t id;
};

/* For cmocka; *state becomes a struct fixture. */
int setup(void **state);
int teardown(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int open_fds(void);

/* Runs the loop as long as there is something to do at once, or until ms have gone by. */
void step(struct fixture *f);
void pass(struct fixture *f, unsigned int ms);

/* A VERSION's payload. */
#define VERSION_DATA "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16}}"

/* A connection; attach() with VERSION answered. */
int client(struct fixture *f);
int attach(struct fixture *f);

/* Closes a connection, and checks that nothing is left of it. */
void detach(struct fixture *f, int fd);

/* True if the server closed this connection. */
bool closed(struct fixture *f, int fd);

/* Writes a message to out; its size. */
size_t put(uint8_t *out, uint16_t id, uint16_t command, uint32_t flags, const void *payload,
	   size_t len);

void send_command(struct fixture *f, int fd, uint16_t command, uint32_t flags, const void *payload,
		  size_t len, const int *fds, size_t nfds);

/* Receives the reply to the last command: its payload's length, or a negative errno. */
int reply(struct fixture *f, int fd, uint16_t command, void *payload, size_t max);

/* Both, for when the reply's payload is of no interest. */
int command(struct fixture *f, int fd, uint16_t cmd, const void *payload, size_t len);

/* REGION_READ or REGION_WRITE of region 0. */
int do_access(struct fixture *f, int fd, bool write, uint64_t offset, uint32_t count, void *data);

#endif
