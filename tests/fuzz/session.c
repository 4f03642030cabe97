/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM on a vfio-user socket, against everything that is behind it: server, device model, a
 * function driver, the owner driver and the device. The first byte is the type and the driver; then
 * messages, with the right length and magic numbers or without, with descriptors of memory, of an
 * eventfd, or of neither.
 */
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "fuzz.h"
#include "host.h"
#include "vfio_user/protocol.h"
#include "vfio_user/server.h"

#define MEMORY   0x10000u
#define FDS_MAX  4
#define BODY_MAX 512

static const char *const types[] = { "rng", "net" };
static const char *const drivers[] = { "vfio-pci", "virtio-vfio-pci" };

struct session {
	struct host *h;
	struct user *u;
	struct vfio_user_server *srv;
	struct counters counters;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int listen_fd;
	int fd; /* the VMM's end */
	int memory;
	int event;
	struct vfio_wait wait;
	uint16_t id;
};

enum op {
	OP_MESSAGE,
	OP_POSTED, /* no reply wanted */
	OP_ACCESS, /* a REGION_READ or REGION_WRITE of natural size */
	OP_BYTES,
	OP_LOOP,
	OP_RECONNECT,
	OPS,
};

static void settle(struct session *s, int n)
{
	uint8_t reply[4096];

	for (int i = 0; i < n; i++)
		fuzz_assert(loop_step(s->h->m->loop, 0) == 0);
	while (s->fd >= 0 && recv(s->fd, reply, sizeof(reply), MSG_DONTWAIT) > 0)
		;
}

static void transmit(struct session *s, const void *data, size_t len, uint8_t how)
{
	int fds[FDS_MAX];
	size_t n = how & 3;

	for (size_t i = 0; i < n; i++)
		fds[i] = how & 4 ? s->event : s->memory;
	if (len)
		fd_send(s->fd, data, len, fds, n, MSG_DONTWAIT);
	settle(s, 3);
}

static void message(struct session *s, uint16_t command, uint32_t flags, const void *body,
		    size_t len, uint8_t how)
{
	uint8_t data[sizeof(struct vfio_user_header) + BODY_MAX];
	struct vfio_user_header header = {
		.id = s->id++,
		.command = command,
		.size = (uint32_t)(sizeof(header) + len),
		.flags = flags,
	};

	memcpy(data, &header, sizeof(header));
	memcpy(data + sizeof(header), body, len);
	transmit(s, data, sizeof(header) + len, how);
}

static void attach(struct session *s)
{
	static const char version[] =
		"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16,\"write_multiple\":true}}";

	fd_close(&s->fd);
	settle(s, 4);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	fuzz_assert(s->fd >= 0);
	fuzz_assert(connect(s->fd, (struct sockaddr *)&s->addr, s->addr_len) == 0);
	settle(s, 2);
	message(s, VFIO_USER_VERSION, 0, version, sizeof(version), 0);
}

static void access_region(struct session *s, struct input *in)
{
	uint8_t how = input_u8(in);
	struct {
		struct vfio_user_region_access head;
		uint8_t data[8];
	} __attribute__((packed)) body = {
		.head = {
			.offset = input_u16(in),
			.region = how & 7,
			.count = 1u << ((how >> 3) & 3),
		},
	};
	bool write = how & 0x80;
	size_t len = sizeof(body.head);

	if (write) {
		len += body.head.count;
		input_bytes(in, body.data, body.head.count);
	}
	message(s, write ? VFIO_USER_REGION_WRITE : VFIO_USER_REGION_READ, 0, &body, len, 0);
}

static void step(struct session *s, struct input *in)
{
	uint8_t op = input_u8(in) % OPS, body[BODY_MAX], how;
	uint16_t command;
	size_t len;

	switch (op) {
	case OP_MESSAGE:
	case OP_POSTED:
		command = input_u8(in) % 20;
		how = input_u8(in);
		len = input_u8(in);
		input_bytes(in, body, len);
		message(s, command, op == OP_POSTED ? VFIO_USER_FLAG_NO_REPLY : 0, body, len, how);
		break;
	case OP_ACCESS:
		access_region(s, in);
		break;
	case OP_BYTES:
		how = input_u8(in);
		len = input_u8(in);
		input_bytes(in, body, len);
		transmit(s, body, len, how);
		break;
	case OP_LOOP:
		settle(s, 2);
		break;
	case OP_RECONNECT:
		attach(s);
		break;
	default:
		break;
	}
}

static void drained(struct vfio_wait *wait, int result)
{
	(void)wait;
	(void)result;
}

static void session_init(struct session *s, uint8_t first)
{
	s->h = host_new(types[first & 1], 2);
	s->u = user_new(s->h, 1, drivers[(first >> 1) & 1], first & 4);
	user_close(s->u);
	s->memory = memfd_create("fuzz:memory", MFD_CLOEXEC);
	s->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	fuzz_assert(s->memory >= 0 && s->event >= 0 && s->listen_fd >= 0);
	fuzz_assert(ftruncate(s->memory, MEMORY) == 0);
	s->addr.sun_family = AF_UNIX;
	/* A name of the kernel's own choice. */
	fuzz_assert(bind(s->listen_fd, (struct sockaddr *)&s->addr, sizeof(sa_family_t)) == 0);
	s->addr_len = sizeof(s->addr);
	fuzz_assert(getsockname(s->listen_fd, (struct sockaddr *)&s->addr, &s->addr_len) == 0);
	fuzz_assert(listen(s->listen_fd, 4) == 0);
	fuzz_assert(vfio_user_server_new(s->h->m->loop, "vf", s->listen_fd, s->u->vdev,
					 &s->counters, &s->srv) == 0);
	s->fd = -1;
	s->wait.done = drained;
}

static void session_fini(struct session *s)
{
	fd_close(&s->fd);
	if (vfio_user_server_disconnect(s->srv, "the end", &s->wait))
		machine_wait(s->h->m, vfio_user_server_state(s->srv) == VFIO_USER_LISTENING);
	settle(s, 2);
	vfio_user_server_free(s->srv);
	fd_close(&s->listen_fd);
	fd_close(&s->memory);
	fd_close(&s->event);
	user_free(s->u);
	host_free(s->h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct session s = { 0 };

	log_open("fuzz", LOG_CRIT);
	session_init(&s, input_u8(&in));
	attach(&s);
	for (int i = 0; in.left && i < FUZZ_STEPS; i++)
		step(&s, &in);
	session_fini(&s);
	return 0;
}
