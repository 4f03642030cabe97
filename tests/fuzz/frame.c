/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices/net.h: a frame with its offload header, as a guest's transmit queue gives it, on its way
 * to a receiver that takes some of the offloads: checksums and segments in software. The input is
 * what the receiver takes, the header, how the frame is cut into pieces, and the frame.
 */
#include <net/ethernet.h>

#include "devices/net.h"
#include "fuzz.h"

#define PIECES_MAX 4

struct check {
	uint64_t bytes;
	unsigned int frames;
	uint32_t offloads;
	const uint8_t *addresses; /* Ethernet's, as they were sent */
};

static void deliver(void *ctx, const struct net_frame *frame)
{
	struct check *c = ctx;
	volatile uint8_t sum = 0;
	uint32_t len = 0;

	for (unsigned int i = 0; i < frame->niov; i++) {
		const uint8_t *base = frame->iov[i].iov_base;

		for (size_t at = 0; at < frame->iov[i].iov_len; at++)
			sum = (uint8_t)(sum + base[at]);
		len += (uint32_t)frame->iov[i].iov_len;
	}
	fuzz_assert(len == frame->len && len >= NET_FRAME_MIN && len <= NET_FRAME_MAX);
	/* What comes out is what the receiver can take, from and to whom it was. */
	fuzz_assert(net_offload_fits(frame, c->offloads));
	fuzz_assert((frame->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
		    frame->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE);
	fuzz_assert(!memcmp(frame->iov[0].iov_base, c->addresses, 2 * ETH_ALEN));
	c->frames++;
	c->bytes += len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct check c = { .offloads = input_u8(&in) & 0x0f };
	struct iovec iov[PIECES_MAX];
	struct net_frame frame = { .iov = iov };
	uint8_t cuts[PIECES_MAX - 1];
	uint8_t *head, *rest;
	int n;

	/* VIRTIO_NET_F_GUEST_CSUM is bit 1, TSO4, TSO6 and ECN are 7, 8 and 9. */
	c.offloads = (c.offloads & 1) << VIRTIO_NET_F_GUEST_CSUM |
		     (c.offloads >> 1) << VIRTIO_NET_F_GUEST_TSO4;
	input_bytes(&in, &frame.hdr, sizeof(frame.hdr));
	input_bytes(&in, cuts, sizeof(cuts));
	if (in.left < NET_FRAME_MIN || in.left > NET_FRAME_MAX)
		return 0;
	frame.len = (uint32_t)in.left;
	/* The first piece is a copy of min(len, NET_HEAD) bytes; the others are where they are. */
	iov[0].iov_len = frame.len < NET_HEAD ? frame.len : NET_HEAD;
	iov[0].iov_base = head = malloc(iov[0].iov_len);
	frame.niov = 1;
	fuzz_assert(head);
	c.addresses = in.data;
	input_bytes(&in, head, iov[0].iov_len);
	rest = malloc(in.left + !in.left);
	fuzz_assert(rest);
	for (size_t at = 0, left = in.left; left;) {
		size_t len =
			frame.niov < PIECES_MAX - 1 && cuts[frame.niov] && cuts[frame.niov] < left
				? cuts[frame.niov]
				: left;

		input_bytes(&in, rest + at, len);
		iov[frame.niov].iov_base = rest + at;
		iov[frame.niov++].iov_len = len;
		at += len;
		left -= len;
	}
	if (net_offload_fits(&frame, c.offloads)) {
		deliver(&c, &frame);
	} else {
		n = net_offload_apply(&frame, c.offloads, deliver, &c);
		fuzz_assert(n < 0 ? n == -22 : (unsigned int)n == c.frames);
	}
	net_flow_pair(&frame, 8);
	free(head);
	free(rest);
	return 0;
}
