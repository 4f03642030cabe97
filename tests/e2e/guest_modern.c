/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest_modern.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <string.h>

#define RECEIVE    0
#define TRANSMIT   1
#define RING_SIZE  64
#define NET_HEADER 12
#define NET_LENGTH (NET_HEADER + 1514)
#define BUFFERS    (sizeof(((struct driver *)0)->buffer) / sizeof(void *))
#define SECTOR     512

static uint32_t get(const struct registers *r, uint64_t offset, unsigned size)
{
	return fd_read(r->vfio->fd, offset, size);
}

static void put(const struct registers *r, uint64_t offset, unsigned size, uint32_t value)
{
	fd_write(r->vfio->fd, offset, size, value);
}

void registers_find(struct registers *r, const struct vfio *v)
{
	unsigned cap = vfio_config_read(v, PCI_CAPABILITY_LIST, 1);

	*r = (struct registers){ .vfio = v };
	for (; cap; cap = vfio_config_read(v, cap + PCI_CAP_LIST_NEXT, 1)) {
		unsigned type, bar;
		uint64_t at;

		if (vfio_config_read(v, cap, 1) != PCI_CAP_ID_VNDR)
			continue;
		type = vfio_config_read(v, cap + offsetof(struct virtio_pci_cap, cfg_type), 1);
		bar = vfio_config_read(v, cap + offsetof(struct virtio_pci_cap, bar), 1);
		if (type == VIRTIO_PCI_CAP_PCI_CFG || bar > 5)
			continue;
		at = vfio_region(v, bar, NULL, NULL) +
		     vfio_config_read(v, cap + offsetof(struct virtio_pci_cap, offset), 4);
		if (type == VIRTIO_PCI_CAP_COMMON_CFG)
			r->common = at;
		if (type == VIRTIO_PCI_CAP_DEVICE_CFG)
			r->device = at;
		if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
			r->notify_base = at;
			r->notify_multiplier =
				vfio_config_read(v, cap + sizeof(struct virtio_pci_cap), 4);
		}
	}
	if (!r->common || !r->notify_base)
		fail("%s has no virtio capabilities", v->rid);
}

#define COMMON(r, field) ((r)->common + offsetof(struct virtio_pci_common_cfg, field))

/* Where a queue is notified: virtio 1.3, 4.1.4.4. */
static void find_notify(struct registers *r, unsigned index)
{
	put(r, COMMON(r, queue_select), 2, index);
	r->notify[index] = r->notify_base +
			   (uint64_t)get(r, COMMON(r, queue_notify_off), 2) * r->notify_multiplier;
}

static void put_address(const struct registers *r, uint64_t at, uint64_t address)
{
	put(r, at, 4, (uint32_t)address);
	put(r, at + 4, 4, (uint32_t)(address >> 32));
}

static void start_queue(struct driver *d, unsigned index)
{
	struct registers *r = &d->registers;
	struct ring *ring = &d->ring[index];
	unsigned size;

	find_notify(r, index);
	size = get(r, COMMON(r, queue_size), 2);
	if (!size)
		fail("there is no queue %u", index);
	if (size > RING_SIZE)
		size = RING_SIZE;
	put(r, COMMON(r, queue_size), 2, size);
	ring_init(ring, &d->memory, size, d->packed);
	put_address(r, COMMON(r, queue_desc_lo), memory_address(&d->memory, ring->desc));
	put_address(r, COMMON(r, queue_avail_lo), memory_address(&d->memory, ring->avail));
	put_address(r, COMMON(r, queue_used_lo), memory_address(&d->memory, ring->used));
	put(r, COMMON(r, queue_enable), 2, 1);
}

static void notify(struct driver *d, unsigned index)
{
	put(&d->registers, d->registers.notify[index], 2, index);
}

static void give_buffer(struct driver *d, uint16_t head)
{
	ring_add(&d->ring[RECEIVE], head, &(struct buffer){ d->buffer[head], NET_LENGTH, true }, 1);
}

void driver_start(struct driver *d, const struct vfio *v, bool net)
{
	const uint8_t done =
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;
	struct registers *r = &d->registers;

	d->net = net;
	d->queues = net ? 2 : 1;
	memory_init(&d->memory);
	registers_find(r, v);
	put(r, COMMON(r, device_status), 1, 0);
	if (get(r, COMMON(r, device_status), 1))
		fail("no reset");
	put(r, COMMON(r, device_status), 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	put(r, COMMON(r, guest_feature_select), 4, 1);
	put(r, COMMON(r, guest_feature), 4,
	    1u << (VIRTIO_F_VERSION_1 - 32) |
		    (d->packed ? 1u << (VIRTIO_F_RING_PACKED - 32) | 1u << (VIRTIO_F_IN_ORDER - 32)
			       : 0));
	put(r, COMMON(r, guest_feature_select), 4, 0);
	put(r, COMMON(r, guest_feature), 4, net ? 1u << VIRTIO_NET_F_MAC : 0);
	put(r, COMMON(r, device_status), 1, done);
	if (get(r, COMMON(r, device_status), 1) != done)
		fail("the device does not take VERSION_1%s", d->packed ? ", RING_PACKED" : "");
	for (unsigned i = 0; i < d->queues; i++)
		start_queue(d, i);
	put(r, COMMON(r, device_status), 1, done | VIRTIO_CONFIG_S_DRIVER_OK);
	for (unsigned i = 0; net && i < sizeof(d->mac); i++)
		d->mac[i] = (uint8_t)get(r, r->device + i, 1);
	for (uint16_t i = 0; net && i < BUFFERS; i++) {
		d->buffer[i] = memory_get(&d->memory, NET_LENGTH, 64);
		give_buffer(d, i);
	}
	if (net)
		notify(d, RECEIVE);
}

void driver_move(struct driver *d, const struct vfio *v)
{
	registers_find(&d->registers, v);
	for (unsigned i = 0; i < d->queues; i++)
		find_notify(&d->registers, i);
}

/*
 * blk: a write and a read of the same sector, both available at once, each with its own ring
 * entries. net: a frame to the link.
 */

struct request {
	struct virtio_blk_outhdr header;
	uint8_t data[SECTOR];
	uint8_t status;
};

static struct request *request_begin(struct driver *d, uint16_t head, uint32_t type,
				     uint64_t sector)
{
	struct request *q = memory_get(&d->memory, sizeof(*q), 16);
	struct buffer buffers[] = {
		{ &q->header, sizeof(q->header), false },
		{ q->data, SECTOR, type == VIRTIO_BLK_T_IN },
		{ &q->status, 1, true },
	};

	q->header.type = type;
	q->header.sector = sector;
	q->status = 0xff;
	for (unsigned i = 0; i < SECTOR && type == VIRTIO_BLK_T_OUT; i++)
		q->data[i] = (uint8_t)(d->count * 31 + i);
	ring_add(&d->ring[0], head, buffers, 3);
	notify(d, 0);
	return q;
}

static void request_end(struct driver *d, uint16_t head, const struct request *q)
{
	ring_wait(&d->ring[0], head, "the end of a request");
	if (q->status)
		fail("request %u: status %u", d->count, q->status);
}

/* Sectors after the first, which has the label. */
static uint64_t sector(const struct driver *d)
{
	return 1 + d->count % 64;
}

static void blk_read_back(struct driver *d)
{
	size_t used = d->memory.used;
	struct request *q = request_begin(d, 3, VIRTIO_BLK_T_IN, sector(d));

	request_end(d, 3, q);
	for (unsigned i = 0; i < SECTOR; i++)
		if (q->data[i] != (uint8_t)(d->count * 31 + i))
			fail("round %u: byte %u of the sector is not what was written", d->count,
			     i);
	d->memory.used = used;
}

static void net_receive(struct driver *d)
{
	struct ring *ring = &d->ring[RECEIVE];
	uint8_t wanted[FRAME_SIZE];
	uint16_t head;

	frame_make(wanted, d->mac, d->link->mac, d->count + 1000);
	link_send(d->link, d->mac, d->count + 1000);
	for (bool found = false; !found; give_buffer(d, head), notify(d, RECEIVE)) {
		head = ring_oldest(ring);
		ring_wait(ring, head, "a frame from the PF's interface");
		found = !memcmp(d->buffer[head] + NET_HEADER, wanted, FRAME_SIZE);
	}
}

void driver_begin(struct driver *d)
{
	uint8_t *frame;
	struct buffer buffer;

	d->count++;
	if (!d->net) {
		request_begin(d, 0, VIRTIO_BLK_T_OUT, sector(d));
		return;
	}
	frame = memory_get(&d->memory, NET_HEADER + FRAME_SIZE, 64);
	memset(frame, 0, NET_HEADER);
	frame_make(frame + NET_HEADER, d->link->mac, d->mac, d->count);
	buffer = (struct buffer){ frame, NET_HEADER + FRAME_SIZE, false };
	ring_add(&d->ring[TRANSMIT], 0, &buffer, 1);
	notify(d, TRANSMIT);
}

bool driver_ended(struct driver *d)
{
	return ring_waits(&d->ring[d->net ? TRANSMIT : 0]);
}

void driver_end(struct driver *d)
{
	ring_wait(&d->ring[d->net ? TRANSMIT : 0], 0, "the end of what was begun");
	if (d->net) {
		link_receive(d->link, d->mac, d->count);
		net_receive(d);
	} else {
		blk_read_back(d);
	}
}

void driver_work(struct driver *d)
{
	size_t used = d->memory.used;

	driver_begin(d);
	driver_end(d);
	d->memory.used = used;
}

void driver_read_label(struct driver *d, char label[17])
{
	struct request *q = request_begin(d, 3, VIRTIO_BLK_T_IN, 0);

	request_end(d, 3, q);
	memcpy(label, q->data, 16);
	label[16] = '\0';
}
