/* SPDX-License-Identifier: BSD-3-Clause */
#include "devices/net.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- sending --- */

static bool gso_ok(const struct virtio_device *dev, const struct virtio_net_hdr *hdr)
{
	uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint16_t mss = le16toh(hdr->gso_size);

	if ((hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN) &&
	    !virtio_device_has(dev, VIRTIO_NET_F_HOST_ECN))
		return false;
	switch (type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return virtio_device_has(dev, VIRTIO_NET_F_HOST_TSO4) && mss >= NET_MSS_MIN;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return virtio_device_has(dev, VIRTIO_NET_F_HOST_TSO6) && mss >= NET_MSS_MIN;
	default:
		return false;
	}
}

/* The driver may ask only for what was negotiated, and for bytes inside the frame (5.1.6.2). */
static bool header_ok(const struct virtio_device *dev, const struct net_frame *f)
{
	const struct virtio_net_hdr *hdr = &f->hdr;

	if (!gso_ok(dev, hdr))
		return false;
	if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return virtio_device_has(dev, VIRTIO_NET_F_CSUM) && net_checksum_ok(f);
	/* Segments need their checksums made. */
	return hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

static bool spoofed(const struct net *net, const struct net_frame *f)
{
	return !net->trust && memcmp(net_frame_head(f) + 6, net->state->mac, 6);
}

/* Sends one chain's frame on; returns what it cost. */
static unsigned int send_chain(struct net *net, const struct virtq_chain *chain)
{
	size_t header = net_header_len(&net->dev);
	struct iovec iov[1 + VIRTQ_SEGS_MAX];
	struct net_frame f = { .iov = iov };
	uint8_t head[NET_HEAD];
	uint32_t n;

	if (chain->out_len < header + NET_FRAME_MIN || chain->out_len > header + NET_FRAME_MAX ||
	    virtq_copy_out(chain->segs, chain->nout, 0, &f.hdr, sizeof(f.hdr)) < sizeof(f.hdr)) {
		counter_inc(net->dev.counters, drop_malformed);
		return 1;
	}
	f.len = (uint32_t)(chain->out_len - header);
	n = f.len < NET_HEAD ? f.len : NET_HEAD;
	virtq_copy_out(chain->segs, chain->nout, header, head, n);
	iov[0] = (struct iovec){ .iov_base = head, .iov_len = n };
	f.niov = 1 + virtq_to_iov(chain->segs, chain->nout, header + n, f.len - n, iov + 1);
	f.hdr.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (!header_ok(&net->dev, &f)) {
		counter_inc(net->dev.counters, drop_malformed);
		return 1;
	}
	if (net->state->link_down) {
		counter_inc(net->dev.counters, drop_link);
		return 1;
	}
	if (spoofed(net, &f)) {
		counter_inc(net->dev.counters, drop_spoof);
		return 1;
	}
	counter_inc(net->dev.counters, tx_packets);
	counter_add(net->dev.counters, write_bytes, f.len);
	return net->backend ? net->backend->ops->transmit(net->backend, &f) : 1;
}

static void send_queue(struct net *net, struct virtq *vq)
{
	struct virtq_chain chain;

	while (virtio_device_pop(&net->dev, vq, &chain)) {
		/* One copy is what the chain itself cost. */
		virtio_device_charge(&net->dev, send_chain(net, &chain) - 1);
		virtio_device_complete(&net->dev, vq, chain.head, 0, chain.segs,
				       (size_t)(chain.nout + chain.nin));
	}
}

/* --- control --- */

static void control_queue(struct net *net, struct virtq *vq)
{
	struct virtq_chain chain;

	while (virtio_device_pop(&net->dev, vq, &chain)) {
		uint8_t ack = net_control(net, &chain);

		/* Behind ack is room for results, which none of these commands has. */
		virtq_copy_in(chain.segs + chain.nout, chain.nin, 0, &ack, 1);
		virtio_device_complete(&net->dev, vq, chain.head, chain.in_len ? 1 : 0, chain.segs,
				       (size_t)(chain.nout + chain.nin));
	}
}

/* Where the control queue is depends on what was negotiated (5.1.2). */
static uint16_t control_index(const struct net *net)
{
	return virtio_device_has(&net->dev, VIRTIO_NET_F_MQ) ? (uint16_t)(2 * net->max_pairs) : 2;
}

static void net_process(struct virtio_device *dev, struct virtq *vq)
{
	struct net *net = net_of(dev);

	if (vq->index == control_index(net) && virtio_device_has(dev, VIRTIO_NET_F_CTRL_VQ))
		control_queue(net, vq);
	else if (vq->index % 2)
		send_queue(net, vq);
	else if (net->backend && net->backend->ops->receiver_changed)
		net->backend->ops->receiver_changed(net->backend);
}

/* --- configuration --- */

/* Legacy drivers set the address by writing it (5.1.4.3). */
static void net_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
			     uint32_t len)
{
	struct net *net = net_of(dev);
	uint8_t mac[sizeof(net->config.mac)];

	if (!dev->state->legacy || !net->trust || offset + len > sizeof(mac))
		return;
	memcpy(mac, net->config.mac, sizeof(mac));
	memcpy(mac + offset, data, len);
	net_set_mac(net, mac);
}

void net_set_link(struct virtio_device *dev, bool up)
{
	struct net *net = net_of(dev);

	if (net->state->link_down == !up)
		return;
	net->state->link_down = !up;
	net->config.status = htole16(up ? VIRTIO_NET_S_LINK_UP : 0);
	if (up && virtio_device_has(dev, VIRTIO_NET_F_GUEST_ANNOUNCE)) {
		net->state->announce = 1;
		net->config.status |= htole16(VIRTIO_NET_S_ANNOUNCE);
	}
	virtio_device_config_changed(dev);
}

const uint8_t *net_mac(struct virtio_device *dev)
{
	return net_of(dev)->state->mac;
}

static void net_reset(struct virtio_device *dev)
{
	struct net *net = net_of(dev);

	loop_work_cancel(&net->flush);
	net_control_reset(net);
}

static void net_destroy(struct virtio_device *dev)
{
	struct net *net = net_of(dev);

	loop_work_cancel(&net->flush);
	if (net->backend)
		net->backend->ops->destroy(net->backend);
	free(net);
}

static void net_started(struct virtio_device *dev)
{
	if (net_of(dev)->backend && net_of(dev)->backend->ops->receiver_changed)
		net_of(dev)->backend->ops->receiver_changed(net_of(dev)->backend);
}

static const struct virtio_device_ops net_ops = {
	.process = net_process,
	.negotiated = net_negotiated,
	.started = net_started,
	.reset = net_reset,
	.config_write = net_config_write,
	.parts = net_parts,
	.part_stage = net_part_stage,
	.parts_apply = net_parts_apply,
	.destroy = net_destroy,
};

static uint64_t net_features(const struct device_params *p, uint16_t pairs)
{
	return 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |
	       1ull << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS | 1ull << VIRTIO_NET_F_MAC |
	       1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 |
	       1ull << VIRTIO_NET_F_GUEST_ECN | 1ull << VIRTIO_NET_F_HOST_TSO4 |
	       1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN |
	       1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_NET_F_STATUS |
	       1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_RX |
	       1ull << VIRTIO_NET_F_CTRL_VLAN | 1ull << VIRTIO_NET_F_CTRL_RX_EXTRA |
	       1ull << VIRTIO_NET_F_GUEST_ANNOUNCE | 1ull << VIRTIO_NET_F_CTRL_MAC_ADDR |
	       1ull << VIRTIO_F_IN_ORDER | (pairs > 1 ? 1ull << VIRTIO_NET_F_MQ : 0) |
	       (p->mtu ? 1ull << VIRTIO_NET_F_MTU : 0);
}

int net_create(const struct device_type *type, const struct device_params *p,
	       struct virtio_device **dev)
{
	uint16_t pairs = p->queues ? p->queues : type->queues;
	struct device_params params = *p;
	struct net *net;
	int err;

	if (pairs > NET_PAIRS_MAX)
		return -EINVAL;
	net = calloc(1, sizeof(*net));
	if (!net)
		return -ENOMEM;
	net->state = p->type_state;
	net->max_pairs = pairs;
	net->trust = p->trust;
	net->restore_mac = p->restore_mac || p->trust;
	net->dev.ops = &net_ops;
	net->dev.features = net_features(p, pairs);
	net->dev.config = (uint8_t *)&net->config;
	net->dev.config_len = offsetof(struct virtio_net_config, speed);
	params.queues = (uint16_t)(2 * pairs + 1);
	err = device_setup(&net->dev, type, &params);
	if (err) {
		free(net);
		return err;
	}
	memcpy(net->mac, p->mac, sizeof(p->mac));
	net->config.status = htole16(VIRTIO_NET_S_LINK_UP);
	net->config.max_virtqueue_pairs = htole16(pairs);
	net->config.mtu = htole16(p->mtu);
	net_control_reset(net);
	net->backend = p->net_backend;
	if (net->backend)
		net->backend->ops->attach(net->backend, &net->dev);
	*dev = &net->dev;
	return 0;
}
