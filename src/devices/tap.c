/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TAP as backend: frames with their offload headers, to and from the host's network stack.
 * Nothing is read while the guest has no buffers: the kernel's queue holds what comes meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "devices/net.h"

#define READ_BATCH 32 /* frames before others get their turn */

struct tap {
	struct net_backend backend;
	struct loop *loop;
	int fd;
	struct loop_fd ready;
	struct virtio_device *dev; /* NULL: frames go to receive() */
	void (*receive)(void *ctx, const struct net_frame *frame);
	void *ctx;
	unsigned int offloads;
};

static struct tap *tap_of(struct net_backend *be)
{
	return container_of(be, struct tap, backend);
}

static unsigned int tap_transmit(struct net_backend *be, const struct net_frame *f)
{
	struct tap *tap = tap_of(be);
	struct virtio_net_hdr_mrg_rxbuf hdr = { .hdr = f->hdr };
	struct iovec iov[2 + VIRTQ_SEGS_MAX] = { { .iov_base = &hdr, .iov_len = sizeof(hdr) } };

	if (f->niov > VIRTQ_SEGS_MAX + 1)
		return 1;
	memcpy(iov + 1, f->iov, f->niov * sizeof(*iov));
	if (writev(tap->fd, iov, (int)f->niov + 1) < 0 && tap->dev)
		counter_inc(tap->dev->counters, drop_backend);
	return 1;
}

static void set_offloads(struct tap *tap, uint32_t guest)
{
	unsigned int want = 0;

	if (guest >> VIRTIO_NET_F_GUEST_CSUM & 1) {
		want = TUN_F_CSUM;
		if (guest >> VIRTIO_NET_F_GUEST_TSO4 & 1)
			want |= TUN_F_TSO4;
		if (guest >> VIRTIO_NET_F_GUEST_TSO6 & 1)
			want |= TUN_F_TSO6;
		if ((want & (TUN_F_TSO4 | TUN_F_TSO6)) && (guest >> VIRTIO_NET_F_GUEST_ECN & 1))
			want |= TUN_F_TSO_ECN;
	}
	/* What the kernel sends all the same is mended by net_offload_apply(). */
	if (want != tap->offloads && ioctl(tap->fd, TUNSETOFFLOAD, want) == 0)
		tap->offloads = want;
}

static void pass_on(struct tap *tap, uint8_t *data, size_t len)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;
	struct iovec iov = { .iov_base = data + sizeof(hdr), .iov_len = len - sizeof(hdr) };
	struct net_frame f = { .iov = &iov, .niov = 1, .len = (uint32_t)iov.iov_len };

	memcpy(&hdr, data, sizeof(hdr));
	f.hdr = hdr.hdr;
	if (tap->dev)
		net_receive(tap->dev, &f);
	else
		tap->receive(tap->ctx, &f);
}

static void on_readable(struct loop_fd *lfd, uint32_t events)
{
	struct tap *tap = container_of(lfd, struct tap, ready);
	uint8_t data[sizeof(struct virtio_net_hdr_mrg_rxbuf) + NET_FRAME_MAX];

	if (!(events & EPOLLIN)) {
		loop_fd_del(tap->loop, &tap->ready); /* the interface was deleted */
		return;
	}
	for (int i = 0; i < READ_BATCH; i++) {
		ssize_t n;

		if (tap->dev && !net_can_receive(tap->dev)) {
			loop_fd_mod(tap->loop, &tap->ready, 0);
			return;
		}
		n = read(tap->fd, data, sizeof(data));
		if (n < (ssize_t)(sizeof(struct virtio_net_hdr_mrg_rxbuf) + NET_FRAME_MIN))
			return;
		pass_on(tap, data, (size_t)n);
	}
}

static void tap_receiver_changed(struct net_backend *be)
{
	struct tap *tap = tap_of(be);

	if (tap->ready.fd < 0)
		return;
	set_offloads(tap, net_offloads(tap->dev));
	loop_fd_mod(tap->loop, &tap->ready, EPOLLIN);
}

static void tap_attach(struct net_backend *be, struct virtio_device *dev)
{
	tap_of(be)->dev = dev;
}

static void tap_destroy(struct net_backend *be)
{
	struct tap *tap = tap_of(be);

	loop_fd_del(tap->loop, &tap->ready);
	fd_close(&tap->fd);
	free(tap);
}

static const struct net_backend_ops tap_ops = {
	.transmit = tap_transmit,
	.attach = tap_attach,
	.receiver_changed = tap_receiver_changed,
	.destroy = tap_destroy,
};

static int tap_make(struct loop *loop, int fd, uint32_t events, struct tap **out)
{
	int header = sizeof(struct virtio_net_hdr_mrg_rxbuf), little = 1;
	struct tap *tap;
	int err;

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
	    ioctl(fd, TUNSETVNETLE, &little) < 0 || ioctl(fd, TUNSETOFFLOAD, 0) < 0)
		return -errno;
	tap = calloc(1, sizeof(*tap));
	if (!tap)
		return -ENOMEM;
	tap->backend.ops = &tap_ops;
	tap->loop = loop;
	err = loop_fd_add(loop, &tap->ready, fd, events, on_readable);
	if (err) {
		free(tap);
		return err;
	}
	tap->fd = fd;
	*out = tap;
	return 0;
}

int tap_new(struct loop *loop, int fd, struct net_backend **be)
{
	struct tap *tap = NULL;
	/* Nothing is read before the guest has buffers. */
	int err = tap_make(loop, fd, 0, &tap);

	if (!err)
		*be = &tap->backend;
	return err;
}

int tap_new_for(struct loop *loop, int fd,
		void (*receive)(void *ctx, const struct net_frame *frame), void *ctx,
		struct net_backend **be)
{
	struct tap *tap = NULL;
	int err = tap_make(loop, fd, EPOLLIN, &tap);

	if (err)
		return err;
	tap->receive = receive;
	tap->ctx = ctx;
	set_offloads(tap, 1u << VIRTIO_NET_F_GUEST_CSUM | 1u << VIRTIO_NET_F_GUEST_TSO4 |
				  1u << VIRTIO_NET_F_GUEST_TSO6 | 1u << VIRTIO_NET_F_GUEST_ECN);
	*be = &tap->backend;
	return 0;
}
