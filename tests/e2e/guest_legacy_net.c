/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_legacy_net group|cdev RID INTERFACE
 *
 * In a Linux host: a driver for legacy virtio-net (virtio 0.9.5, 2.2.2) on the I/O BAR that
 * virtio_vfio_pci makes for a VF, by pread and pwrite. It sends a frame to the interface of the PF,
 * and receives one from there. A line for each thing that it has seen.
 */
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest_ring.h"

#define RECEIVE  0
#define TRANSMIT 1
#define BUFFERS  8
#define HEADER   10 /* virtio_net_hdr, without MRG_RXBUF */
#define LENGTH   (HEADER + 1514)

struct device {
	struct vfio vfio;
	uint64_t bar;
	struct memory memory;
	struct ring ring[2];
	uint8_t *buffer[BUFFERS];
	uint8_t mac[6];
};

static uint32_t get(const struct device *d, unsigned offset, unsigned size)
{
	return fd_read(d->vfio.fd, d->bar + offset, size);
}

static void put(const struct device *d, unsigned offset, unsigned size, uint32_t value)
{
	fd_write(d->vfio.fd, d->bar + offset, size, value);
}

/* What a VMM sees first. */
static void look(struct device *d)
{
	uint64_t size;
	uint32_t flags, bar;
	uint8_t byte;

	d->bar = vfio_region(&d->vfio, VFIO_PCI_BAR0_REGION_INDEX, &size, &flags);
	printf("vendor %04x device %04x revision %u subsystem %u\n",
	       vfio_config_read(&d->vfio, PCI_VENDOR_ID, 2),
	       vfio_config_read(&d->vfio, PCI_DEVICE_ID, 2),
	       vfio_config_read(&d->vfio, PCI_REVISION_ID, 1),
	       vfio_config_read(&d->vfio, PCI_SUBSYSTEM_ID, 2));
	vfio_config_write(&d->vfio, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	bar = vfio_config_read(&d->vfio, PCI_BASE_ADDRESS_0, 4);
	printf("bar0 %s size %u region size %u %s\n", bar & 1 ? "io" : "memory",
	       ~(bar & 0xfffffffc) + 1, (unsigned)size,
	       (flags & 3) == (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
		       ? "read write"
		       : "?");
	/* Nothing answers at I/O addresses that are not decoded. */
	vfio_config_write(&d->vfio, PCI_COMMAND, 2, 0);
	printf("undecoded %s\n",
	       pread(d->vfio.fd, &byte, 1, (off_t)d->bar) < 0 ? "refused" : "read");
	vfio_enable(&d->vfio);
}

static void start_queue(struct device *d, unsigned index)
{
	struct ring *r = &d->ring[index];
	unsigned size;

	put(d, VIRTIO_PCI_QUEUE_SEL, 2, index);
	size = get(d, VIRTIO_PCI_QUEUE_NUM, 2);
	if (!size || get(d, VIRTIO_PCI_QUEUE_PFN, 4))
		fail("queue %u has size %u, or is in use", index, size);
	ring_init(r, &d->memory, size, false);
	put(d, VIRTIO_PCI_QUEUE_PFN, 4,
	    (uint32_t)(memory_address(&d->memory, r->desc) >> VIRTIO_PCI_QUEUE_ADDR_SHIFT));
	printf("queue %u size %u\n", index, size);
}

static void start(struct device *d)
{
	const uint32_t wanted = 1u << VIRTIO_NET_F_MAC | 1u << VIRTIO_NET_F_STATUS;
	uint32_t features;

	put(d, VIRTIO_PCI_STATUS, 1, 0);
	if (get(d, VIRTIO_PCI_STATUS, 1))
		fail("no reset");
	put(d, VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	put(d, VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	features = get(d, VIRTIO_PCI_HOST_FEATURES, 4);
	if ((features & wanted) != wanted)
		fail("features %08x lack MAC or STATUS", features);
	put(d, VIRTIO_PCI_GUEST_FEATURES, 4, wanted);
	if (get(d, VIRTIO_PCI_GUEST_FEATURES, 4) != wanted)
		fail("the features did not stay");
	/* 0x14: MSI-X is off */
	for (unsigned i = 0; i < 6; i++)
		d->mac[i] = (uint8_t)get(d, 0x14 + i, 1);
	printf("link %s\n", get(d, 0x14 + 6, 2) & VIRTIO_NET_S_LINK_UP ? "up" : "down");
	start_queue(d, RECEIVE);
	start_queue(d, TRANSMIT);
	for (uint16_t i = 0; i < BUFFERS; i++) {
		d->buffer[i] = memory_get(&d->memory, LENGTH, 64);
		ring_add(&d->ring[RECEIVE], i, &(struct buffer){ d->buffer[i], LENGTH, true }, 1);
	}
	put(d, VIRTIO_PCI_STATUS, 1,
	    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK);
	put(d, VIRTIO_PCI_QUEUE_NOTIFY, 2, RECEIVE);
	printf("status %u\n", get(d, VIRTIO_PCI_STATUS, 1));
}

static void transmit(struct device *d, const struct link *link, unsigned n)
{
	uint8_t *header = memory_get(&d->memory, HEADER, 16), *frame;
	struct buffer buffers[2];

	frame = memory_get(&d->memory, FRAME_SIZE, 64);
	frame_make(frame, link->mac, d->mac, n);
	buffers[0] = (struct buffer){ header, HEADER, false };
	buffers[1] = (struct buffer){ frame, FRAME_SIZE, false };
	ring_add(&d->ring[TRANSMIT], 0, buffers, 2);
	put(d, VIRTIO_PCI_QUEUE_NOTIFY, 2, TRANSMIT);
	ring_wait(&d->ring[TRANSMIT], 0, "the end of a transmission");
	link_receive(link, d->mac, n);
}

/* Others may be on the switch: what is not the frame goes back. */
static void receive(struct device *d, const struct link *link, unsigned n)
{
	uint8_t wanted[FRAME_SIZE];
	uint32_t length;
	uint16_t head;

	frame_make(wanted, d->mac, link->mac, n);
	link_send(link, d->mac, n);
	for (bool found = false; !found;) {
		head = d->ring[RECEIVE].avail->ring[d->ring[RECEIVE].seen % d->ring[RECEIVE].size];
		length = ring_wait(&d->ring[RECEIVE], head, "a frame from the PF's interface");
		found = length == HEADER + FRAME_SIZE &&
			!memcmp(d->buffer[head] + HEADER, wanted, FRAME_SIZE);
		ring_add(&d->ring[RECEIVE], head, &(struct buffer){ d->buffer[head], LENGTH, true },
			 1);
		put(d, VIRTIO_PCI_QUEUE_NOTIFY, 2, RECEIVE);
	}
}

int main(int argc, char **argv)
{
	static struct device d;
	struct link link;
	unsigned isr;

	if (argc != 4)
		fail("usage: guest_legacy_net group|cdev RID INTERFACE");
	memory_init(&d.memory);
	link_open(&link, argv[3]);
	vfio_open(&d.vfio, argv[2], !strcmp(argv[1], "cdev"));
	look(&d);
	start(&d);
	for (unsigned n = 0; n < 4; n++) {
		transmit(&d, &link, n);
		receive(&d, &link, n + 100);
	}
	isr = get(&d, VIRTIO_PCI_ISR, 1);
	printf("isr %u then %u\n", isr, get(&d, VIRTIO_PCI_ISR, 1));
	put(&d, VIRTIO_PCI_STATUS, 1, 0);
	printf("status %u\n", get(&d, VIRTIO_PCI_STATUS, 1));
	vfio_close(&d.vfio);
	printf("done\n");
	return 0;
}
