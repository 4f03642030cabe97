/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checksums and TCP segmentation in software, for a receiver that did not negotiate what the sender
 * asks for. Works on a linear copy, so that nothing changes between looking and using.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "devices/net.h"

static bool gso(const struct net_frame *f)
{
	return f->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

bool net_offload_fits(const struct net_frame *f, uint32_t offloads)
{
	/* Segments without NEEDS_CSUM: from a TAP perhaps, but not to be shown to a guest. */
	if (!(f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return !gso(f);
	if (!(offloads >> VIRTIO_NET_F_GUEST_CSUM & 1))
		return false;
	if ((f->hdr.gso_type & VIRTIO_NET_HDR_GSO_ECN) && !(offloads >> VIRTIO_NET_F_GUEST_ECN & 1))
		return false;
	switch (f->hdr.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return offloads >> VIRTIO_NET_F_GUEST_TSO4 & 1;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return offloads >> VIRTIO_NET_F_GUEST_TSO6 & 1;
	default:
		return false;
	}
}

/* The Internet checksum's sum (RFC 1071), to go on with. */
static uint32_t sum(uint32_t s, const uint8_t *data, size_t len)
{
	uint64_t wide = s;

	for (; len >= 2; data += 2, len -= 2)
		wide += (uint32_t)data[0] << 8 | data[1];
	if (len)
		wide += (uint32_t)data[0] << 8;
	while (wide >> 16)
		wide = (wide & 0xffff) + (wide >> 16);
	return (uint32_t)wide;
}

static void store16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

bool net_checksum_ok(const struct net_frame *f)
{
	uint32_t start = le16toh(f->hdr.csum_start), offset = le16toh(f->hdr.csum_offset);

	return start >= NET_FRAME_MIN + (net_frame_tagged(f) ? 4u : 0) &&
	       start + offset + 2 <= f->len;
}

/* Completes the checksum that the sender began: the pseudo header's sum is in its place. */
static void complete_checksum(uint8_t *data, uint32_t len, uint32_t start, uint32_t offset)
{
	uint32_t s = sum(0, data + start, len - start);
	uint16_t csum = (uint16_t)~s;

	/* UDP has no checksum 0; for TCP both mean the same. */
	store16(data + start + offset, csum ? csum : 0xffff);
}

/* Where the headers of a TCP frame are; all inside of len bytes. */
struct tcp_frame {
	bool v6;
	uint32_t ip;
	uint32_t tcp;
	uint32_t payload;
	uint32_t len;
};

static int parse_tcp(const uint8_t *data, uint32_t len, struct tcp_frame *t)
{
	uint16_t type;

	t->ip = 14;
	t->len = len;
	if (len < 18)
		return -EINVAL;
	type = (uint16_t)(data[12] << 8 | data[13]);
	if (type == 0x8100) {
		t->ip = 18;
		type = (uint16_t)(data[16] << 8 | data[17]);
	}
	if (type == 0x0800 && len >= t->ip + sizeof(struct iphdr)) {
		t->v6 = false;
		t->tcp = t->ip + (data[t->ip] & 0x0f) * 4u;
		if ((data[t->ip] & 0x0f) < 5 || data[t->ip + 9] != IPPROTO_TCP)
			return -EINVAL;
	} else if (type == 0x86dd && len >= t->ip + sizeof(struct ip6_hdr)) {
		t->v6 = true;
		t->tcp = t->ip + (uint32_t)sizeof(struct ip6_hdr);
		if (data[t->ip + 6] != IPPROTO_TCP)
			return -EINVAL;
	} else {
		return -EINVAL;
	}
	if (len < t->tcp + sizeof(struct tcphdr))
		return -EINVAL;
	t->payload = t->tcp + (data[t->tcp + 12] >> 4) * 4u;
	return t->payload >= t->tcp + sizeof(struct tcphdr) && t->payload <= len ? 0 : -EINVAL;
}

static void tcp_checksum(uint8_t *data, const struct tcp_frame *t, uint32_t len)
{
	uint32_t s = t->v6 ? sum(0, data + t->ip + 8, 32) : sum(0, data + t->ip + 12, 8);
	uint16_t csum;

	data[t->tcp + 16] = data[t->tcp + 17] = 0;
	s = sum(s + IPPROTO_TCP + (len - t->tcp), data + t->tcp, len - t->tcp);
	csum = (uint16_t)~s;
	store16(data + t->tcp + 16, csum);
}

/* Makes the headers of one segment right: lengths, numbers, flags, checksums. */
static void fix_segment(uint8_t *data, const struct tcp_frame *t, uint32_t len, uint32_t done,
			uint16_t number, bool last)
{
	uint8_t *ip = data + t->ip, *tcp = data + t->tcp;
	uint32_t seq;

	if (t->v6) {
		store16(ip + 4, (uint16_t)(len - t->ip - sizeof(struct ip6_hdr)));
	} else {
		store16(ip + 2, (uint16_t)(len - t->ip));
		store16(ip + 4, (uint16_t)((ip[4] << 8 | ip[5]) + number));
		ip[10] = ip[11] = 0;
		store16(ip + 10, (uint16_t)~sum(0, ip, t->tcp - t->ip));
	}
	memcpy(&seq, tcp + 4, sizeof(seq));
	seq = htonl(ntohl(seq) + done);
	memcpy(tcp + 4, &seq, sizeof(seq));
	if (!last)
		tcp[13] &= (uint8_t) ~(TH_FIN | TH_PUSH);
	if (number)
		tcp[13] &= (uint8_t)~0x80; /* CWR is for the first segment (RFC 3168, 6.1.2) */
	tcp_checksum(data, t, len);
}

static int segment(const uint8_t *data, uint32_t len, uint8_t type, uint16_t mss,
		   void (*deliver)(void *ctx, const struct net_frame *frame), void *ctx)
{
	struct tcp_frame t;
	uint8_t *out;
	uint16_t number = 0;

	type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	if (!mss || parse_tcp(data, len, &t) ||
	    type != (t.v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4))
		return -EINVAL;
	out = malloc(t.payload + mss);
	if (!out)
		return -EINVAL;
	for (uint32_t done = 0; done < len - t.payload || !number; done += mss, number++) {
		uint32_t left = len - t.payload - done, n = left < mss ? left : mss;
		struct iovec iov = { .iov_base = out, .iov_len = t.payload + n };
		struct net_frame f = { .iov = &iov, .niov = 1, .len = t.payload + n };

		memcpy(out, data, t.payload);
		memcpy(out + t.payload, data + t.payload + done, n);
		fix_segment(out, &t, f.len, done, number, n == left);
		deliver(ctx, &f);
	}
	free(out);
	return number;
}

int net_offload_apply(const struct net_frame *f, uint32_t offloads,
		      void (*deliver)(void *ctx, const struct net_frame *frame), void *ctx)
{
	uint32_t at = 0;
	uint8_t *data;
	int made = 1;

	(void)offloads;
	if (!gso(f) && !net_checksum_ok(f))
		return -EINVAL;
	data = malloc(f->len);
	if (!data)
		return -EINVAL;
	for (unsigned int i = 0; i < f->niov; i++) {
		memcpy(data + at, f->iov[i].iov_base, f->iov[i].iov_len);
		at += (uint32_t)f->iov[i].iov_len;
	}
	if (gso(f)) {
		made = segment(data, f->len, f->hdr.gso_type, le16toh(f->hdr.gso_size), deliver,
			       ctx);
	} else {
		struct iovec iov = { .iov_base = data, .iov_len = f->len };
		struct net_frame whole = { .iov = &iov, .niov = 1, .len = f->len };

		complete_checksum(data, f->len, le16toh(f->hdr.csum_start),
				  le16toh(f->hdr.csum_offset));
		deliver(ctx, &whole);
	}
	free(data);
	return made;
}
