/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/port.h"

struct tap_port {
	struct port port;
	int fd;
	uint8_t buffer[sizeof(struct virtio_net_hdr) + 65536 + 64];
};

static unsigned int tap_send(struct port *p, const struct virtio_net_hdr *hdr, const void *frame,
			     size_t len, unsigned int n)
{
	struct tap_port *t = (struct tap_port *)p;
	struct iovec iov[2] = {
		{ .iov_base = (void *)hdr, .iov_len = sizeof(*hdr) },
		{ .iov_base = (void *)frame, .iov_len = len },
	};
	unsigned int sent = 0;

	while (sent < n && writev(t->fd, iov, 2) > 0)
		sent++;
	return sent;
}

static unsigned int tap_receive(struct port *p, uint64_t *bytes)
{
	struct tap_port *t = (struct tap_port *)p;
	unsigned int got = 0;

	for (; got < 64; got++) {
		ssize_t n = read(t->fd, t->buffer, sizeof(t->buffer));

		if (n <= 0)
			break;
		*bytes += (uint64_t)n - sizeof(struct virtio_net_hdr);
	}
	return got;
}

static void tap_close(struct port *p)
{
	struct tap_port *t = (struct tap_port *)p;

	close(t->fd);
	free(t);
}

static const struct port_ops tap_ops = {
	.send = tap_send,
	.receive = tap_receive,
	.close = tap_close,
};

int port_open_tap(char *name, struct port **port)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	struct tap_port *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->port.ops = &tap_ops;
	t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
	if (t->fd < 0 || ioctl(t->fd, TUNSETIFF, &ifr) < 0 ||
	    ioctl(t->fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0) {
		err = -errno;
		if (t->fd >= 0)
			close(t->fd);
		free(t);
		return err;
	}
	strcpy(name, ifr.ifr_name);
	*port = &t->port;
	return 0;
}
