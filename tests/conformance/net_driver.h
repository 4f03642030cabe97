/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver of net functions (virtio 1.3, 5.1), for conformance tests, and a wire that shows what a
 * function sends and gives it what it is to receive. The driver has constants of its own.
 */
#ifndef RIDGE_TEST_NET_DRIVER_H
#define RIDGE_TEST_NET_DRIVER_H

#include "devices/net.h"
#include "frame.h"
#include "pf_driver.h"

/* Features (5.1.3), and three that are not net's. */
#define N_CSUM                (1ull << 0)
#define N_GUEST_CSUM          (1ull << 1)
#define N_CTRL_GUEST_OFFLOADS (1ull << 2)
#define N_MTU                 (1ull << 3)
#define N_MAC                 (1ull << 5)
#define N_GUEST_TSO4          (1ull << 7)
#define N_GUEST_TSO6          (1ull << 8)
#define N_GUEST_ECN           (1ull << 9)
#define N_HOST_TSO4           (1ull << 11)
#define N_HOST_TSO6           (1ull << 12)
#define N_HOST_ECN            (1ull << 13)
#define N_MRG_RXBUF           (1ull << 15)
#define N_STATUS              (1ull << 16)
#define N_CTRL_VQ             (1ull << 17)
#define N_CTRL_RX             (1ull << 18)
#define N_CTRL_VLAN           (1ull << 19)
#define N_CTRL_RX_EXTRA       (1ull << 20)
#define N_GUEST_ANNOUNCE      (1ull << 21)
#define N_MQ                  (1ull << 22)
#define N_CTRL_MAC_ADDR       (1ull << 23)
#define F_IN_ORDER            (1ull << 35)
#define F_RING_RESET          (1ull << 40)

/* Header (5.1.6). */
#define HDR_NEEDS_CSUM 1
#define HDR_DATA_VALID 2
#define GSO_NONE       0
#define GSO_TCPV4      1
#define GSO_UDP        3
#define GSO_TCPV6      4
#define GSO_ECN        0x80

/* Configuration (5.1.4). */
#define CFG_MAC       0
#define CFG_STATUS    6
#define CFG_MAX_PAIRS 8
#define CFG_MTU       10
#define LINK_UP       1
#define ANNOUNCE      2

/* Control commands (5.1.6.5): class, command. */
#define CTRL_RX       0
#define CTRL_MAC      1
#define CTRL_VLAN     2
#define CTRL_ANNOUNCE 3
#define CTRL_MQ       4
#define CTRL_OFFLOADS 5
#define CTRL_OK       0
#define CTRL_ERR      1
#define CTRL_NO_ACK   0xee

struct hdr {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len;
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t num_buffers;
};

#define NET_RING       128
#define NET_TEST_PAIRS 4

/* Vectors: of the first pair and of configuration changes. */
enum { VEC_RX, VEC_TX, VEC_CONFIG, NET_VECTORS };

/* A PF with VFs enabled. */
struct net_world {
	struct machine *m;
	struct pf_driver pf;
};

void net_world_init(struct net_world *w, uint16_t vfs);
void net_world_fini(struct net_world *w);

/* --- the other end of a function, when it is not a switch --- */

#define WIRE_FRAMES 160

struct wire {
	struct net_backend backend;
	struct virtio_device *dev;
	unsigned int count;
	struct {
		struct hdr hdr;
		uint32_t len;
		uint8_t *data;
	} sent[WIRE_FRAMES];
	unsigned int changed;    /* times it was told that the receiver changed */
	void (*hook)(void *ctx); /* called before a sent frame is looked at */
	void *ctx;
	bool destroyed;
};

void wire_init(struct wire *w);
/* Forgets what was sent. */
void wire_clear(struct wire *w);
/* Gives the function a frame, in one piece or in several of `piece` bytes. hdr may be NULL. */
void wire_give(struct wire *w, const struct hdr *hdr, const void *frame, uint32_t len);
void wire_give_pieces(struct wire *w, const struct hdr *hdr, const void *frame, uint32_t len,
		      uint32_t piece);

/* --- the driver --- */

struct net_driver {
	struct driver d;
	struct net_world *w;
	struct member *member;
	uint32_t slot;
	uint64_t features;
	uint16_t header; /* bytes in front of a frame */
	uint16_t pairs;  /* that have queues */
	uint16_t ctrl_index;
	struct ring rx[NET_TEST_PAIRS];
	struct ring tx[NET_TEST_PAIRS];
	struct ring ctrl;
	uint64_t scratch; /* for what is sent */
};

/* A frame that was received. */
struct received {
	struct hdr hdr;
	uint32_t len;
	uint16_t buffers;
	uint32_t used[64]; /* bytes used, of each buffer */
	uint8_t *data;     /* FRAME_MAX */
};

/* The address that member n has in tests. */
void net_test_mac(uint8_t mac[6], uint32_t slot);

/*
 * Makes a function in a slot. params may be NULL; without a MAC it has that of net_test_mac(), and
 * without queue_size NET_RING.
 */
void net_open(struct net_driver *n, struct net_world *w, uint32_t slot,
	      const struct device_params *params, struct net_backend *be);
void net_close(struct net_driver *n);

/* Up to DRIVER_OK, with queues for the pairs (1, or those of N_MQ) and the control queue. */
void net_start(struct net_driver *n, uint64_t features);
void net_start_legacy(struct net_driver *n, uint64_t features);
void net_kick(struct net_driver *n, uint16_t index);

/* Adds a receive buffer of so many bytes, filled with 0xee; its address. */
uint64_t net_post(struct net_driver *n, uint16_t pair, uint32_t len);
/* The same, in descriptors of these lengths. */
uint64_t net_post_parts(struct net_driver *n, uint16_t pair, const uint32_t *lens, size_t parts);
/* The next frame in a queue; false if there is none, after some time or (take) now. */
bool net_recv(struct net_driver *n, uint16_t pair, struct received *r);
bool net_take(struct net_driver *n, uint16_t pair, struct received *r);
void received_init(struct received *r);
void received_fini(struct received *r);

/* Sends a frame behind a header (NULL: zeroes) and waits until it is used. */
void net_send(struct net_driver *n, const struct hdr *hdr, const void *frame, uint32_t len);
void net_send_on(struct net_driver *n, uint16_t pair, const struct hdr *hdr, const void *frame,
		 uint32_t len);
/* The same, in descriptors of these lengths; the last has the rest. Does not wait. */
uint16_t net_send_parts(struct net_driver *n, const struct hdr *hdr, const void *frame,
			uint32_t len, const uint32_t *lens, size_t parts);

/* A control command; returns its ack, or CTRL_NO_ACK if the device wrote none. */
uint8_t net_ctrl(struct net_driver *n, uint8_t class, uint8_t cmd, const void *data, size_t len);
/* One with a byte as its data. */
uint8_t net_ctrl8(struct net_driver *n, uint8_t class, uint8_t cmd, uint8_t value);
uint8_t net_ctrl16(struct net_driver *n, uint8_t class, uint8_t cmd, uint16_t value);

uint64_t net_counter(const struct net_driver *n, enum counter counter);
uint32_t net_config(struct net_driver *n, uint32_t at, uint8_t len);

/* A header that asks for a checksum, or for segments too. */
struct hdr hdr_csum(const struct frame_info *info);
struct hdr hdr_tso(const struct frame_info *info, uint16_t mss);

#endif
