/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio_user/client.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "vfio_user/protocol.h"

static int receive(struct vfio_user_client *c, void *data, size_t len)
{
	ssize_t n = recv(c->fd, data, len, MSG_WAITALL);

	return n < 0 ? -errno : (size_t)n < len ? -ECONNRESET : 0;
}

/* The reply to the last request: up to room bytes of payload, the rest is dropped. */
static int reply(struct vfio_user_client *c, void *payload, size_t room)
{
	struct vfio_user_header h;
	size_t left;
	int err = receive(c, &h, sizeof(h));

	if (err)
		return err;
	if (h.id != c->id || (h.flags & VFIO_USER_FLAG_TYPE) != VFIO_USER_TYPE_REPLY ||
	    h.size < sizeof(h))
		return -EPROTO;
	left = h.size - sizeof(h);
	if (room > left)
		room = left;
	if (room)
		err = receive(c, payload, room);
	for (left -= room; !err && left;) {
		char rest[256];
		size_t n = left < sizeof(rest) ? left : sizeof(rest);

		err = receive(c, rest, n);
		left -= n;
	}
	if (!err && (h.flags & VFIO_USER_FLAG_ERROR))
		err = h.error ? -(int)h.error : -EIO;
	return err;
}

static int request(struct vfio_user_client *c, uint16_t command, uint32_t flags,
		   const void *payload, size_t len, const int *fds, size_t nfds)
{
	struct {
		struct vfio_user_header h;
		uint8_t payload[sizeof(struct vfio_user_write_multi) +
				VFIO_USER_CLIENT_WRITES * sizeof(struct vfio_user_write_one)];
	} m;
	ssize_t n;

	if (len > sizeof(m.payload))
		return -EMSGSIZE;
	m.h = (struct vfio_user_header){
		.id = ++c->id,
		.command = command,
		.size = (uint32_t)(sizeof(m.h) + len),
		.flags = flags,
	};
	memcpy(m.payload, payload, len);
	n = fd_send(c->fd, &m, m.h.size, fds, nfds, 0);
	return n < 0 ? (int)n : n < (ssize_t)m.h.size ? -EIO : 0;
}

int vfio_user_client_open(struct vfio_user_client *c, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct {
		struct vfio_user_version v;
		char data[128];
	} version = { .v = { VFIO_USER_MAJOR, VFIO_USER_MINOR } }, answer;
	int err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	c->id = 0;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		err = -errno;
	else {
		snprintf(version.data, sizeof(version.data),
			 "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":65536,"
			 "\"write_multiple\":true}}");
		err = request(c, VFIO_USER_VERSION, 0, &version,
			      sizeof(version.v) + strlen(version.data) + 1, NULL, 0);
	}
	if (!err)
		err = reply(c, &answer, sizeof(answer));
	if (err)
		vfio_user_client_close(c);
	return err;
}

void vfio_user_client_close(struct vfio_user_client *c)
{
	fd_close(&c->fd);
}

int vfio_user_client_read(struct vfio_user_client *c, uint32_t region, uint64_t offset, void *data,
			  uint32_t count)
{
	struct vfio_user_region_access a = { offset, region, count };
	struct __attribute__((packed)) {
		struct vfio_user_region_access a;
		uint8_t data[8];
	} answer;
	int err;

	if (count > sizeof(answer.data))
		return -EMSGSIZE;
	err = request(c, VFIO_USER_REGION_READ, 0, &a, sizeof(a), NULL, 0);
	if (!err)
		err = reply(c, &answer, sizeof(a) + count);
	if (!err)
		memcpy(data, answer.data, count);
	return err;
}

static int send_write(struct vfio_user_client *c, uint32_t flags, uint32_t region, uint64_t offset,
		      const void *data, uint32_t count)
{
	struct __attribute__((packed)) {
		struct vfio_user_region_access a;
		uint8_t data[8];
	} w = { .a = { offset, region, count } };

	if (count > sizeof(w.data))
		return -EMSGSIZE;
	memcpy(w.data, data, count);
	return request(c, VFIO_USER_REGION_WRITE, flags, &w, sizeof(w.a) + count, NULL, 0);
}

int vfio_user_client_write(struct vfio_user_client *c, uint32_t region, uint64_t offset,
			   const void *data, uint32_t count)
{
	int err = send_write(c, 0, region, offset, data, count);

	return err ? err : reply(c, NULL, 0);
}

int vfio_user_client_post(struct vfio_user_client *c, uint32_t region, uint64_t offset,
			  const void *data, uint32_t count)
{
	return send_write(c, VFIO_USER_FLAG_NO_REPLY, region, offset, data, count);
}

int vfio_user_client_write_multi(struct vfio_user_client *c,
				 const struct vfio_user_client_write *writes, uint32_t n,
				 uint32_t *done)
{
	struct vfio_user_write_multi head = { .wr_cnt = n };
	uint8_t buf[sizeof(head) + VFIO_USER_CLIENT_WRITES * sizeof(struct vfio_user_write_one)];
	int err;

	if (!n || n > VFIO_USER_CLIENT_WRITES)
		return -EMSGSIZE;
	memcpy(buf, &head, sizeof(head));
	for (uint32_t i = 0; i < n; i++) {
		struct vfio_user_write_one one = {
			.offset = writes[i].offset,
			.region = writes[i].region,
			.count = writes[i].count,
		};

		memcpy(one.data, &writes[i].data, sizeof(one.data));
		memcpy(buf + sizeof(head) + i * sizeof(one), &one, sizeof(one));
	}
	err = request(c, VFIO_USER_REGION_WRITE_MULTI, done ? 0 : VFIO_USER_FLAG_NO_REPLY, buf,
		      sizeof(head) + n * sizeof(struct vfio_user_write_one), NULL, 0);
	if (err || !done)
		return err;
	err = reply(c, &head, sizeof(head));
	*done = err ? 0 : (uint32_t)head.wr_cnt;
	return err;
}

int vfio_user_client_map(struct vfio_user_client *c, uint64_t address, uint64_t size, int fd)
{
	struct vfio_user_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITABLE,
		.address = address,
		.size = size,
	};
	int err = request(c, VFIO_USER_DMA_MAP, 0, &m, sizeof(m), &fd, 1);

	return err ? err : reply(c, NULL, 0);
}

int vfio_user_client_set_msix(struct vfio_user_client *c, const int *eventfds, uint32_t count)
{
	struct vfio_user_irq_set s = {
		.argsz = sizeof(s),
		.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.count = count,
	};
	int err = request(c, VFIO_USER_DEVICE_SET_IRQS, 0, &s, sizeof(s), eventfds, count);

	return err ? err : reply(c, NULL, 0);
}
