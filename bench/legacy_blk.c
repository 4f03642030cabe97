/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/legacy_blk.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "bench/echo.h"
#include "bench/measure.h"
#include "vfio_user/protocol.h"

#define RING_MAX 1024
#define CAPACITY 24 /* of the configuration behind the registers, with MSI-X on */

/* All that the function reaches, at address 4096 of its space: a queue's page number is not 0. */
#define MEMORY_AT 4096u

struct request {
	struct vring_desc indirect[3];
	struct virtio_blk_outhdr header;
	uint8_t status;
} __attribute__((aligned(128)));

struct legacy_blk_memory {
	/* vring_size(RING_MAX, 4096) and no more (virtio 1.3, 2.7.2) */
	uint8_t ring[7 * 4096] __attribute__((aligned(4096)));
	struct request request[LEGACY_BLK_DEPTH_MAX];
	uint8_t data[LEGACY_BLK_DEPTH_MAX][LEGACY_BLK_BLOCK] __attribute__((aligned(4096)));
	uint32_t last; /* slot that was reaped last; not the device's */
};

static uint64_t address(const struct legacy_blk *b, const void *at)
{
	return MEMORY_AT + (uint64_t)((const uint8_t *)at - (const uint8_t *)b->m);
}

static struct vring ring_of(const struct legacy_blk *b)
{
	struct vring ring;

	vring_init(&ring, b->size, b->m->ring, 4096);
	return ring;
}

static int out(struct legacy_blk *b, uint64_t offset, uint32_t value, uint32_t len)
{
	return vfio_user_client_write(&b->client, VFIO_PCI_BAR0_REGION_INDEX, offset, &value, len);
}

static int in(struct legacy_blk *b, uint64_t offset, void *value, uint32_t len)
{
	return vfio_user_client_read(&b->client, VFIO_PCI_BAR0_REGION_INDEX, offset, value, len);
}

static int config_in(struct legacy_blk *b, uint64_t offset, void *value, uint32_t len)
{
	return vfio_user_client_read(&b->client, VFIO_PCI_CONFIG_REGION_INDEX, offset, value, len);
}

static int config_out(struct legacy_blk *b, uint64_t offset, uint16_t value)
{
	return vfio_user_client_write(&b->client, VFIO_PCI_CONFIG_REGION_INDEX, offset, &value,
				      sizeof(value));
}

static int enable_msix(struct legacy_blk *b)
{
	uint8_t at = 0, id = 0;
	int err = config_in(b, PCI_CAPABILITY_LIST, &at, 1);

	while (!err && at) {
		err = config_in(b, at, &id, 1);
		if (err || id == PCI_CAP_ID_MSIX)
			break;
		err = config_in(b, at + 1u, &at, 1);
	}
	if (!err && !at)
		return -ENODEV;
	err = err ? err : vfio_user_client_set_msix(&b->client, &b->interrupt, 1);
	return err ? err : config_out(b, at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
}

static int start_queue(struct legacy_blk *b)
{
	uint16_t vector = UINT16_MAX;
	int err = out(b, VIRTIO_PCI_QUEUE_SEL, 0, 2);

	err = err ? err : in(b, VIRTIO_PCI_QUEUE_NUM, &b->size, 2);
	if (!err && (b->size < LEGACY_BLK_DEPTH_MAX || b->size > RING_MAX))
		return -ENOBUFS;
	err = err ? err : out(b, VIRTIO_PCI_QUEUE_PFN, (uint32_t)(address(b, b->m->ring) >> 12), 4);
	err = err ? err : out(b, VIRTIO_MSI_QUEUE_VECTOR, 0, 2);
	err = err ? err : in(b, VIRTIO_MSI_QUEUE_VECTOR, &vector, 2);
	return err ? err : vector ? -ENODEV : 0;
}

static int start_device(struct legacy_blk *b)
{
	uint32_t features = 0,
		 wanted = 1u << VIRTIO_RING_F_EVENT_IDX | 1u << VIRTIO_RING_F_INDIRECT_DESC;
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	int err = config_out(b, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER);

	err = err ? err : enable_msix(b);
	err = err ? err : out(b, VIRTIO_PCI_STATUS, 0, 1);
	err = err ? err : out(b, VIRTIO_PCI_STATUS, status, 1);
	err = err ? err : in(b, VIRTIO_PCI_HOST_FEATURES, &features, 4);
	if (!err && (features & wanted) != wanted)
		return -ENOTSUP;
	err = err ? err : out(b, VIRTIO_PCI_GUEST_FEATURES, wanted, 4);
	err = err ? err : start_queue(b);
	err = err ? err : in(b, CAPACITY, &b->sectors, 8);
	return err ? err : out(b, VIRTIO_PCI_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK, 1);
}

/* What stays the same in all requests of a slot. */
static void prepare(struct legacy_blk *b, unsigned int slot)
{
	struct request *r = &b->m->request[slot];
	struct vring ring = ring_of(b);

	r->header.type = VIRTIO_BLK_T_IN;
	r->indirect[0] = (struct vring_desc){
		.addr = address(b, &r->header),
		.len = sizeof(r->header),
		.flags = VRING_DESC_F_NEXT,
		.next = 1,
	};
	r->indirect[1] = (struct vring_desc){
		.addr = address(b, b->m->data[slot]),
		.len = LEGACY_BLK_BLOCK,
		.flags = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
		.next = 2,
	};
	r->indirect[2] = (struct vring_desc){
		.addr = address(b, &r->status),
		.len = 1,
		.flags = VRING_DESC_F_WRITE,
	};
	ring.desc[slot] = (struct vring_desc){
		.addr = address(b, r->indirect),
		.len = sizeof(r->indirect),
		.flags = VRING_DESC_F_INDIRECT,
	};
}

int legacy_blk_open(struct legacy_blk *b, const char *socket)
{
	size_t len = (sizeof(*b->m) + 4095) & ~4095ul;
	int err;

	memset(b, 0, sizeof(*b));
	b->client.fd = -1;
	b->free = UINT32_MAX;
	b->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b->memfd = memfd_create("bench", MFD_CLOEXEC);
	if (b->interrupt < 0 || b->memfd < 0 || ftruncate(b->memfd, (off_t)len) < 0)
		goto fail;
	b->m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, b->memfd, 0);
	if (b->m == MAP_FAILED) {
		b->m = NULL;
		goto fail;
	}
	err = vfio_user_client_open(&b->client, socket);
	err = err ? err : vfio_user_client_map(&b->client, MEMORY_AT, len, b->memfd);
	err = err ? err : start_device(b);
	if (err) {
		legacy_blk_close(b);
		return err;
	}
	for (unsigned int i = 0; i < LEGACY_BLK_DEPTH_MAX; i++)
		prepare(b, i);
	return 0;
fail:
	err = -errno;
	legacy_blk_close(b);
	return err;
}

void legacy_blk_close(struct legacy_blk *b)
{
	vfio_user_client_close(&b->client);
	if (b->m)
		munmap(b->m, (sizeof(*b->m) + 4095) & ~4095ul);
	fd_close(&b->memfd);
	fd_close(&b->interrupt);
}

void legacy_blk_read(struct legacy_blk *b, uint64_t block)
{
	unsigned int slot = (unsigned int)__builtin_ctz(b->free);
	struct request *r = &b->m->request[slot];
	struct vring ring = ring_of(b);

	b->free &= ~(1u << slot);
	r->header.sector = block * (LEGACY_BLK_BLOCK / 512);
	r->status = 0xff;
	ring.avail->ring[ring.avail->idx % b->size] = (uint16_t)slot;
	__atomic_store_n(&ring.avail->idx, (uint16_t)(ring.avail->idx + 1), __ATOMIC_RELEASE);
}

void legacy_blk_kick(struct legacy_blk *b)
{
	struct vring ring = ring_of(b);
	uint16_t idx = ring.avail->idx, event;
	struct {
		struct vfio_user_header h;
		struct vfio_user_region_access a;
		uint16_t queue;
	} __attribute__((packed)) request = {
		.h = { .command = VFIO_USER_REGION_WRITE, .size = sizeof(request) },
		.a = { .offset = VIRTIO_PCI_QUEUE_NOTIFY,
		       .region = VFIO_PCI_BAR0_REGION_INDEX,
		       .count = sizeof(request.queue) },
	};
	struct {
		struct vfio_user_header h;
		struct vfio_user_region_access a;
	} __attribute__((packed)) reply;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = *(volatile uint16_t *)&vring_avail_event(&ring);
	if (idx == b->kicked || !vring_need_event(event, idx, b->kicked)) {
		b->kicked = idx;
		return;
	}
	b->kicked = idx;
	b->kicks++;
	request.h.id = ++b->client.id;
	echo_trip(b->client.fd, &request, sizeof(request), &reply, sizeof(reply));
	if (reply.h.id != request.h.id || (reply.h.flags & VFIO_USER_FLAG_ERROR))
		measure_die("a notification's reply", EPROTO);
}

unsigned int legacy_blk_reap(struct legacy_blk *b)
{
	struct vring ring = ring_of(b);
	uint16_t used = __atomic_load_n(&ring.used->idx, __ATOMIC_ACQUIRE);
	unsigned int n = (uint16_t)(used - b->seen);

	while (b->seen != used) {
		uint32_t slot = ring.used->ring[b->seen++ % b->size].id;

		if (slot >= LEGACY_BLK_DEPTH_MAX || b->m->request[slot].status != VIRTIO_BLK_S_OK)
			measure_die("a read", EIO);
		b->free |= 1u << slot;
		b->m->last = slot;
	}
	return n;
}

/* Whether it came before the time was over. */
static bool poll_interrupt(const struct legacy_blk *b)
{
	uint64_t count, end = measure_now() + b->poll_ns;

	do
		if (read(b->interrupt, &count, sizeof(count)) == sizeof(count))
			return true;
	while (measure_now() < end);
	return false;
}

void legacy_blk_wait(struct legacy_blk *b)
{
	struct vring ring = ring_of(b);
	struct pollfd p = { .fd = b->interrupt, .events = POLLIN };
	uint64_t count;

	vring_used_event(&ring) = b->seen;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&ring.used->idx, __ATOMIC_ACQUIRE) != b->seen)
		return;
	b->interrupts++;
	if (b->poll_ns && poll_interrupt(b))
		return;
	if (poll(&p, 1, 5000) <= 0)
		measure_die("no interrupt", ETIMEDOUT);
	(void)!read(b->interrupt, &count, sizeof(count));
}

const void *legacy_blk_data(const struct legacy_blk *b)
{
	return b->m->data[b->m->last];
}
