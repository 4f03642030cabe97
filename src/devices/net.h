/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The network device (virtio 1.3, 5.1) and what frames pass through.
 *
 *   guest --tx queue--> net.c --transmit()--> net_backend (a TAP, or a port of the PF's switch)
 *   guest <--rx queue-- net_rx.c <--net_receive()-- the backend
 *
 * A frame stays where it is until it is copied once, into the receiver's buffers (or the kernel's):
 * between two guests, that is the copy that their isolation needs. Its offload header goes with it;
 * a receiver that did not negotiate what the header asks for gets the work done in software
 * (net_offload.c), which is the exception that takes a second copy.
 *
 * A receiver without buffers loses the frame: nobody waits for a guest.
 */
#ifndef RIDGE_DEVICES_NET_H
#define RIDGE_DEVICES_NET_H

#include <assert.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "devices/devices.h"

#define NET_FRAME_MAX (65535 + 14 + 4) /* bytes; an IP packet with Ethernet and VLAN headers */
#define NET_FRAME_MIN 14
#define NET_HEAD      64
#define NET_PAIRS_MAX 32
#define NET_MSS_MIN   48 /* bytes; Linux's own limit. Less would be many segments of nothing */

#define NET_MAC_TABLE_MAX 64 /* addresses in each of a guest's two filter tables */

/*
 * The first piece of a frame has min(len, NET_HEAD) bytes at least and is not the sender's memory
 * any more: what was checked is what is sent.
 */
struct net_frame {
	struct virtio_net_hdr hdr; /* little-endian, checked */
	const struct iovec *iov;   /* the frame, from its destination address on */
	unsigned int niov;
	uint32_t len; /* bytes */
};

struct net_backend;

struct net_backend_ops {
	/* A frame from the guest. Returns how many copies it took: what it cost the others. */
	unsigned int (*transmit)(struct net_backend *be, const struct net_frame *frame);
	/* The device attached: from now on it can receive. */
	void (*attach)(struct net_backend *be, struct virtio_device *dev);
	/*
	 * The guest posted receive buffers, or has other offloads or another address. May be NULL.
	 */
	void (*receiver_changed)(struct net_backend *be);
	/* Also when the device is destroyed. */
	void (*destroy)(struct net_backend *be);
};

struct net_backend {
	const struct net_backend_ops *ops;
};

/* Device state of a net function that is not virtio's. Plain data. */
struct net_state {
	uint8_t mac[6];
	uint16_t pairs;    /* in use */
	uint32_t offloads; /* VIRTIO_NET_F_GUEST_* bits in use */
	uint8_t link_down;
	uint8_t announce;
	/* receive mode (5.1.6.5.1) */
	uint8_t promisc;
	uint8_t allmulti;
	uint8_t alluni;
	uint8_t nomulti;
	uint8_t nouni;
	uint8_t nobcast;
	uint16_t unicast; /* entries; more than the table: all of them */
	uint16_t multicast;
	uint8_t unicast_mac[NET_MAC_TABLE_MAX][6];
	uint8_t multicast_mac[NET_MAC_TABLE_MAX][6];
	uint64_t vlans[4096 / 64];
};

static_assert(sizeof(struct net_state) <= DEVICE_TYPE_STATE_LEN, "net state");

struct net {
	struct virtio_device dev;
	struct virtio_net_config config;
	struct net_state *state;
	struct net_backend *backend;
	uint16_t max_pairs;
	uint8_t mac[6]; /* that it was made with */
	bool trust;
	bool restore_mac;       /* device parts may change the address */
	struct loop_work flush; /* interrupts for what was received */
	uint64_t flush_pairs;
};

/* Ethernet header, and what follows it, as far as it is in the first piece. */
static inline const uint8_t *net_frame_head(const struct net_frame *f)
{
	return f->iov[0].iov_base;
}

static inline bool net_frame_tagged(const struct net_frame *f)
{
	const uint8_t *head = net_frame_head(f);

	return f->len >= 18 && head[12] == 0x81 && head[13] == 0x00;
}

/* The VLAN that a frame is tagged with, or 0 (802.1Q). */
static inline uint16_t net_frame_vlan(const struct net_frame *f)
{
	const uint8_t *head = net_frame_head(f);

	return net_frame_tagged(f) ? (uint16_t)((head[14] & 0x0f) << 8 | head[15]) : 0;
}

static inline struct net *net_of(struct virtio_device *dev)
{
	return container_of(dev, struct net, dev);
}

/* Bytes of the header in front of each frame in the queues (5.1.6.1). */
static inline size_t net_header_len(const struct virtio_device *dev)
{
	return virtio_device_has(dev, VIRTIO_F_VERSION_1) ||
			       virtio_device_has(dev, VIRTIO_NET_F_MRG_RXBUF)
		       ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
		       : sizeof(struct virtio_net_hdr);
}

/* Gives a frame to the guest, or counts why not. Returns how many copies it took, at least 1. */
unsigned int net_receive(struct virtio_device *dev, const struct net_frame *frame);
/* Whether the guest has any receive buffer. */
bool net_can_receive(struct virtio_device *dev);
/* What the guest accepts: a subset of VIRTIO_NET_F_GUEST_{CSUM,TSO4,TSO6,ECN}, as bits. */
uint32_t net_offloads(struct virtio_device *dev);
const uint8_t *net_mac(struct virtio_device *dev);
/* Link state as the guest sees it; a change interrupts it. */
void net_set_link(struct virtio_device *dev, bool up);

/* The queue pair that a flow of frames goes to. */
uint16_t net_flow_pair(const struct net_frame *frame, uint16_t pairs);

/* net_ctrl.c: one command of the control queue; returns VIRTIO_NET_OK or VIRTIO_NET_ERR. */
uint8_t net_control(struct net *net, const struct virtq_chain *chain);
void net_control_reset(struct net *net);
/* Gives the function another address. */
void net_set_mac(struct net *net, const uint8_t *mac);
/* Feature negotiation is over: the guest's offloads are those it accepted. */
void net_negotiated(struct virtio_device *dev);
/* Whether the guest wants a frame. */
bool net_filter(const struct net *net, const struct net_frame *frame);

/* Guest offloads that can be switched while running (5.1.6.5.6). */
#define NET_GUEST_OFFLOADS                                               \
	(1u << VIRTIO_NET_F_GUEST_CSUM | 1u << VIRTIO_NET_F_GUEST_TSO4 | \
	 1u << VIRTIO_NET_F_GUEST_TSO6 | 1u << VIRTIO_NET_F_GUEST_ECN)

/* net_parts.c: as in struct virtio_device_ops */
void net_parts(struct virtio_device *dev, const struct virtio_part_out *out);
int net_part_stage(struct virtio_device *dev, void *staged, const struct virtio_part *part);
void net_parts_apply(struct virtio_device *dev, const void *staged);

/* net_offload.c */
/*
 * Whether the checksum that the header asks for is inside the frame, and behind the Ethernet
 * header, which was looked at already: completing it must not change an address.
 */
bool net_checksum_ok(const struct net_frame *frame);
/* Whether a receiver that takes these offloads can have the frame as it is. */
bool net_offload_fits(const struct net_frame *frame, uint32_t offloads);
/*
 * Does in software what the receiver can't: completes checksums, cuts TCP segments. Calls
 * deliver() for each resulting frame; returns how many, or -EINVAL for a frame that can't be
 * understood.
 */
int net_offload_apply(const struct net_frame *frame, uint32_t offloads,
		      void (*deliver)(void *ctx, const struct net_frame *frame), void *ctx);

/* tap.c: fd (taken over on success) is a TAP with IFF_VNET_HDR, non-blocking. */
int tap_new(struct loop *loop, int fd, struct net_backend **be);
/* The same for somebody who is no device: frames go to receive(). */
int tap_new_for(struct loop *loop, int fd,
		void (*receive)(void *ctx, const struct net_frame *frame), void *ctx,
		struct net_backend **be);

#endif
