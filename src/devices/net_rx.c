/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames into a guest's receive buffers (virtio 1.3, 5.1.6.3 and 5.1.6.4). */
#include <endian.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>

#include "devices/net.h"

#define MERGE_MAX 64 /* buffers for one frame */

/* The buffers that a frame goes into; none of them is shown to the guest before all are there. */
struct buffers {
	uint16_t count;
	uint16_t nsegs;
	uint64_t room; /* bytes */
	struct {
		uint16_t head;
		uint16_t ndescs;
		uint16_t nout; /* a guest's mistake, to be unpinned like the rest */
		uint16_t first_seg;
		uint16_t nsegs;
		uint64_t room;
	} buf[MERGE_MAX];
	struct iommu_seg segs[VIRTQ_SEGS_MAX];
};

static void put_back(struct virtio_device *dev, struct virtq *vq, struct buffers *b)
{
	struct virtq_chain chain;

	while (b->count) {
		b->count--;
		chain.head = b->buf[b->count].head;
		chain.ndescs = b->buf[b->count].ndescs;
		chain.nout = b->buf[b->count].nsegs;
		chain.nin = 0;
		memcpy(chain.segs, &b->segs[b->buf[b->count].first_seg],
		       sizeof(b->segs[0]) * b->buf[b->count].nsegs);
		virtio_device_put_back(dev, vq, &chain);
	}
}

static bool gather(struct virtio_device *dev, struct virtq *vq, struct buffers *b, uint64_t need)
{
	uint16_t max = virtio_device_has(dev, VIRTIO_NET_F_MRG_RXBUF) ? MERGE_MAX : 1;

	b->count = 0;
	b->nsegs = 0;
	b->room = 0;
	while (b->room < need) {
		struct virtq_chain chain;
		uint16_t n;

		if (b->count == max || !virtio_device_pop(dev, vq, &chain)) {
			put_back(dev, vq, b);
			return false;
		}
		n = (uint16_t)(chain.nout + chain.nin);
		if (b->nsegs + n > VIRTQ_SEGS_MAX) {
			virtio_device_put_back(dev, vq, &chain);
			put_back(dev, vq, b);
			return false;
		}
		memcpy(&b->segs[b->nsegs], chain.segs, sizeof(chain.segs[0]) * n);
		b->buf[b->count].head = chain.head;
		b->buf[b->count].ndescs = chain.ndescs;
		b->buf[b->count].nout = chain.nout;
		b->buf[b->count].first_seg = b->nsegs;
		b->buf[b->count].nsegs = n;
		b->buf[b->count].room = chain.in_len;
		b->nsegs = (uint16_t)(b->nsegs + n);
		b->room += chain.in_len;
		b->count++;
	}
	return true;
}

/* A place in the device-writable segments of the buffers. */
struct cursor {
	struct buffers *b;
	uint16_t buf;
	uint16_t seg; /* in b->segs */
	size_t at;    /* in the segment */
};

static void cursor_settle(struct cursor *c)
{
	struct buffers *b = c->b;

	while (c->buf < b->count) {
		uint16_t end = (uint16_t)(b->buf[c->buf].first_seg + b->buf[c->buf].nsegs);
		uint16_t begin = (uint16_t)(b->buf[c->buf].first_seg + b->buf[c->buf].nout);

		if (c->seg < begin)
			c->seg = begin;
		while (c->seg < end && c->at >= b->segs[c->seg].len) {
			c->at = 0;
			c->seg++;
		}
		if (c->seg < end)
			return;
		c->buf++;
		c->at = 0;
		if (c->buf < b->count)
			c->seg = b->buf[c->buf].first_seg;
	}
}

static void put(struct cursor *c, const void *data, size_t len)
{
	const uint8_t *from = data;

	while (len) {
		struct iommu_seg *seg;
		size_t n;

		cursor_settle(c);
		if (c->buf == c->b->count)
			return;
		seg = &c->b->segs[c->seg];
		n = seg->len - c->at < len ? seg->len - c->at : len;
		memcpy((uint8_t *)seg->base + c->at, from, n);
		c->at += n;
		from += n;
		len -= n;
	}
}

/* What the driver is told of the frame: nothing that it did not ask for (5.1.6.4.1). */
static struct virtio_net_hdr header_of(struct virtio_device *dev, const struct net_frame *f)
{
	struct virtio_net_hdr hdr = { 0 };

	if (f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		hdr = f->hdr;
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	} else if (net_offloads(dev) >> VIRTIO_NET_F_GUEST_CSUM & 1) {
		hdr.flags = f->hdr.flags & VIRTIO_NET_HDR_F_DATA_VALID;
	}
	return hdr;
}

static void fill(struct virtio_device *dev, struct buffers *b, const struct net_frame *f)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = {
		.hdr = header_of(dev, f),
		.num_buffers = htole16(b->count),
	};
	struct cursor c = { .b = b };

	put(&c, &hdr, net_header_len(dev));
	for (unsigned int i = 0; i < f->niov; i++)
		put(&c, f->iov[i].iov_base, f->iov[i].iov_len);
}

static void flush_work(struct loop_work *work)
{
	struct net *net = container_of(work, struct net, flush);

	for (uint16_t pair = 0; net->flush_pairs; pair++) {
		if (net->flush_pairs & 1)
			virtio_device_flush(&net->dev, &net->dev.queues[2 * pair]);
		net->flush_pairs >>= 1;
	}
}

static void give(struct net *net, struct virtq *vq, struct buffers *b, uint64_t len)
{
	struct virtio_device *dev = &net->dev;

	for (uint16_t i = 0; i < b->count; i++) {
		uint64_t n = b->buf[i].room < len ? b->buf[i].room : len;

		len -= n;
		virtio_device_add_used(dev, vq, b->buf[i].head, (uint32_t)n,
				       &b->segs[b->buf[i].first_seg], b->buf[i].nsegs);
	}
	virtio_device_publish_used(dev, vq);
	net->flush_pairs |= 1ull << (vq->index / 2);
	loop_work_queue(dev->loop, &net->flush, flush_work);
}

/* A driver that knows the MTU gets nothing longer (5.1.4.1); to be cut by it, that may be. */
static bool too_long(const struct net *net, const struct net_frame *f)
{
	uint32_t head = NET_FRAME_MIN + (net_frame_tagged(f) ? 4u : 0);

	return virtio_device_has(&net->dev, VIRTIO_NET_F_MTU) &&
	       f->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
	       f->len > head + le16toh(net->config.mtu);
}

static void deliver(void *ctx, const struct net_frame *f)
{
	struct net *net = ctx;
	struct virtio_device *dev = &net->dev;
	struct virtq *vq;
	struct buffers b;
	uint64_t need = net_header_len(dev) + f->len;

	if (too_long(net, f)) {
		counter_inc(dev->counters, drop_mtu);
		return;
	}
	vq = virtio_device_queue(dev, (uint16_t)(2 * net_flow_pair(f, net->state->pairs)));
	if (!vq || !vq->state->enabled || !gather(dev, vq, &b, need)) {
		counter_inc(dev->counters, drop_no_buffer);
		return;
	}
	fill(dev, &b, f);
	give(net, vq, &b, need);
	counter_inc(dev->counters, rx_packets);
	counter_add(dev->counters, read_bytes, f->len);
}

/* FNV-1a, to go on with. */
static uint32_t hash(uint32_t h, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 16777619u;
	return h;
}

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

/* By addresses and ports, so that a flow stays on its queue; fragments have no ports. */
uint16_t net_flow_pair(const struct net_frame *f, uint16_t pairs)
{
	const uint8_t *head = net_frame_head(f);
	size_t l3 = net_frame_tagged(f) ? 18 : 14, l4 = 0;
	size_t have = f->len < NET_HEAD ? f->len : NET_HEAD;
	const uint8_t *ip = head + l3;
	uint32_t h = 2166136261u;
	uint16_t type;

	if (pairs < 2)
		return 0;
	type = (uint16_t)(head[l3 - 2] << 8 | head[l3 - 1]);
	if (type == ETH_P_IP && have >= l3 + sizeof(struct iphdr)) {
		h = hash(h, ip + offsetof(struct iphdr, saddr), 8);
		if (has_ports(ip[9]) && !(ip[6] & 0x3f) && !ip[7])
			l4 = l3 + (ip[0] & 15) * 4u;
	} else if (type == ETH_P_IPV6 && have >= l3 + sizeof(struct ip6_hdr)) {
		h = hash(h, ip + offsetof(struct ip6_hdr, ip6_src), 32);
		if (has_ports(ip[6]))
			l4 = l3 + sizeof(struct ip6_hdr);
	} else {
		return 0;
	}
	if (l4 && have >= l4 + 4)
		h = hash(h, head + l4, 4);
	return (uint16_t)(h % pairs);
}

unsigned int net_receive(struct virtio_device *dev, const struct net_frame *f)
{
	struct net *net = net_of(dev);
	int copies = 1;

	if (net->state->link_down ||
	    (!dev->state->legacy && !(dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK))) {
		counter_inc(dev->counters, drop_link);
		return 1;
	}
	if (!net_filter(net, f)) {
		counter_inc(dev->counters, drop_filter);
		return 1;
	}
	if (net_offload_fits(f, net->state->offloads))
		deliver(net, f);
	else
		copies = net_offload_apply(f, net->state->offloads, deliver, net);
	if (copies < 0)
		counter_inc(dev->counters, drop_malformed);
	return copies < 1 ? 1 : (unsigned int)copies;
}

bool net_can_receive(struct virtio_device *dev)
{
	struct virtq_chain chain;
	struct virtq *vq = &dev->queues[0];

	if (!vq->state->enabled || !virtio_device_pop(dev, vq, &chain))
		return false;
	virtio_device_put_back(dev, vq, &chain);
	return true;
}

uint32_t net_offloads(struct virtio_device *dev)
{
	return net_of(dev)->state->offloads;
}
