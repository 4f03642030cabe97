/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver for a modern virtio-net function, reduced to what a load generator needs. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/port.h"
#include "vfio_user/client.h"
#include "virtio/pci.h"

#define QUEUE_SIZE 1024 /* the function must be made with queue_size=1024 */
#define BUFFER_LEN 4096 /* of a receive buffer; frames are merged from several */
#define FRAME_ROOM 66000

#define COMMON(field) ((uint64_t)offsetof(struct virtio_pci_common_cfg, field))

struct ring {
	struct vring_desc desc[QUEUE_SIZE];
	struct {
		uint16_t flags, idx, ring[QUEUE_SIZE], used_event;
	} avail;
	uint8_t pad[64];
	struct __attribute__((aligned(64))) {
		uint16_t flags, idx;
		struct vring_used_elem ring[QUEUE_SIZE];
		uint16_t avail_event;
	} used;
};

/* All that the function reaches, at address 0 of its space. */
struct memory {
	struct ring rx, tx;
	struct virtio_net_hdr_mrg_rxbuf tx_hdr;
	uint8_t frame[FRAME_ROOM];
	uint8_t buffers[QUEUE_SIZE][BUFFER_LEN];
};

struct function_port {
	struct port port;
	struct vfio_user_client client;
	struct memory *m;
	int memfd;
	uint16_t rx_seen, tx_seen, tx_free;
	size_t frame_len;
};

static int put(struct function_port *p, uint64_t offset, uint64_t value, uint32_t len)
{
	return vfio_user_client_write(&p->client, VIRTIO_PCI_BAR, VIRTIO_PCI_COMMON_AT + offset,
				      &value, len);
}

static void kick(struct function_port *p, struct ring *r, uint16_t queue, uint16_t old)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vring_need_event(r->used.avail_event, r->avail.idx, old))
		vfio_user_client_post(&p->client, VIRTIO_PCI_BAR, VIRTIO_PCI_NOTIFY_AT, &queue,
				      sizeof(queue));
}

static uint64_t address(const struct function_port *p, const void *at)
{
	return (uint64_t)((const uint8_t *)at - (const uint8_t *)p->m);
}

static int start_queue(struct function_port *p, uint16_t index, struct ring *r)
{
	int err = put(p, COMMON(queue_select), index, 2);
	uint16_t size = 0;

	r->avail.flags = VRING_AVAIL_F_NO_INTERRUPT;
	r->avail.used_event = UINT16_MAX; /* never asks for an interrupt that would be of use */
	err = err ? err
		  : vfio_user_client_read(&p->client, VIRTIO_PCI_BAR,
					  VIRTIO_PCI_COMMON_AT + COMMON(queue_size), &size, 2);
	if (!err && size != QUEUE_SIZE)
		return -ENOBUFS;
	err = err ? err : put(p, COMMON(queue_desc_lo), address(p, &r->desc), 8);
	err = err ? err : put(p, COMMON(queue_avail_lo), address(p, &r->avail), 8);
	err = err ? err : put(p, COMMON(queue_used_lo), address(p, &r->used), 8);
	return err ? err : put(p, COMMON(queue_enable), 1, 2);
}

static void post_receive(struct function_port *p, uint16_t buffer)
{
	struct ring *r = &p->m->rx;

	r->desc[buffer] = (struct vring_desc){
		.addr = address(p, p->m->buffers[buffer]),
		.len = BUFFER_LEN,
		.flags = VRING_DESC_F_WRITE,
	};
	r->avail.ring[r->avail.idx % QUEUE_SIZE] = buffer;
	__atomic_store_n(&r->avail.idx, (uint16_t)(r->avail.idx + 1), __ATOMIC_RELEASE);
}

static int start_device(struct function_port *p)
{
	uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
			    1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |
			    1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO4 |
			    1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_NET_F_MAC;
	uint16_t command = 6; /* memory decoding, bus mastering */
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	int err = vfio_user_client_write(&p->client, 7, 4, &command, sizeof(command));

	err = err ? err : put(p, COMMON(device_status), status, 1);
	err = err ? err : put(p, COMMON(guest_feature_select), 0, 4);
	err = err ? err : put(p, COMMON(guest_feature), (uint32_t)features, 4);
	err = err ? err : put(p, COMMON(guest_feature_select), 1, 4);
	err = err ? err : put(p, COMMON(guest_feature), features >> 32, 4);
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	err = err ? err : put(p, COMMON(device_status), status, 1);
	err = err ? err : start_queue(p, 0, &p->m->rx);
	err = err ? err : start_queue(p, 1, &p->m->tx);
	for (uint16_t i = 0; i < QUEUE_SIZE; i++)
		post_receive(p, i);
	status |= VIRTIO_CONFIG_S_DRIVER_OK;
	return err ? err : put(p, COMMON(device_status), status, 1);
}

static void prepare_frame(struct function_port *p, const struct virtio_net_hdr *hdr,
			  const void *frame, size_t len)
{
	struct ring *r = &p->m->tx;

	p->frame_len = len;
	p->m->tx_hdr.hdr = *hdr;
	memcpy(p->m->frame, frame, len);
	for (uint16_t i = 0; i < QUEUE_SIZE; i += 2) {
		r->desc[i] = (struct vring_desc){
			.addr = address(p, &p->m->tx_hdr),
			.len = sizeof(p->m->tx_hdr),
			.flags = VRING_DESC_F_NEXT,
			.next = (uint16_t)(i + 1),
		};
		r->desc[i + 1] = (struct vring_desc){
			.addr = address(p, p->m->frame),
			.len = (uint32_t)len,
		};
	}
}

static unsigned int function_send(struct port *port, const struct virtio_net_hdr *hdr,
				  const void *frame, size_t len, unsigned int n)
{
	struct function_port *p = (struct function_port *)port;
	struct ring *r = &p->m->tx;
	uint16_t used = __atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE), old = r->avail.idx;
	uint16_t free = (uint16_t)(QUEUE_SIZE / 2 - (uint16_t)(r->avail.idx - used));

	if (len != p->frame_len) {
		if (free < QUEUE_SIZE / 2)
			return 0; /* the last frame's descriptors are in use */
		prepare_frame(p, hdr, frame, len);
	}
	if (n > free)
		n = free;
	/* Slots are used in turn, and the device uses them in order: the oldest is the free one. */
	for (unsigned int i = 0; i < n; i++)
		r->avail.ring[(uint16_t)(old + i) % QUEUE_SIZE] =
			(uint16_t)((uint16_t)(old + i) % (QUEUE_SIZE / 2) * 2);
	if (!n)
		return 0;
	__atomic_store_n(&r->avail.idx, (uint16_t)(old + n), __ATOMIC_RELEASE);
	kick(p, r, 1, old);
	return n;
}

static unsigned int function_receive(struct port *port, uint64_t *bytes)
{
	struct function_port *p = (struct function_port *)port;
	struct ring *r = &p->m->rx;
	uint16_t used = __atomic_load_n(&r->used.idx, __ATOMIC_ACQUIRE), old = r->avail.idx;
	unsigned int got = 0;

	while (p->rx_seen != used) {
		struct vring_used_elem *e = &r->used.ring[p->rx_seen % QUEUE_SIZE];
		const struct virtio_net_hdr_mrg_rxbuf *hdr = (void *)p->m->buffers[e->id];
		uint16_t buffers = hdr->num_buffers;

		*bytes -= sizeof(*hdr);
		while (buffers--) {
			e = &r->used.ring[p->rx_seen++ % QUEUE_SIZE];
			*bytes += e->len;
			post_receive(p, (uint16_t)e->id);
		}
		got++;
	}
	if (got)
		kick(p, r, 0, old);
	return got;
}

static void function_close(struct port *port)
{
	struct function_port *p = (struct function_port *)port;

	vfio_user_client_close(&p->client);
	if (p->m)
		munmap(p->m, sizeof(*p->m));
	close(p->memfd);
	free(p);
}

static const struct port_ops function_ops = {
	.send = function_send,
	.receive = function_receive,
	.close = function_close,
};

int port_open_function(const char *socket, struct port **port)
{
	size_t len = (sizeof(struct memory) + 4095) & ~4095ul;
	struct function_port *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->port.ops = &function_ops;
	p->client.fd = -1;
	p->memfd = memfd_create("bench", MFD_CLOEXEC);
	if (p->memfd < 0 || ftruncate(p->memfd, (off_t)len) < 0)
		goto fail_errno;
	p->m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, p->memfd, 0);
	if (p->m == MAP_FAILED) {
		p->m = NULL;
		goto fail_errno;
	}
	err = vfio_user_client_open(&p->client, socket);
	if (!err)
		err = vfio_user_client_map(&p->client, 0, len, p->memfd);
	if (!err)
		err = start_device(p);
	if (err)
		goto fail;
	*port = &p->port;
	return 0;
fail_errno:
	err = -errno;
fail:
	function_close(&p->port);
	return err;
}
