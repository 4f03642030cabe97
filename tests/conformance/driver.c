/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Configuration space (PCI 6.1, 6.7). */
#define PCI_COMMAND_AT 0x04
#define PCI_MEMORY     0x2
#define PCI_MASTER     0x4
#define PCI_CAPS_AT    0x34
#define PCI_VENDOR_CAP 0x09

/* A virtio capability (4.1.4). */
#define CAP_LEN_AT        2
#define CAP_TYPE_AT       3
#define CAP_BAR_AT        4
#define CAP_OFFSET_AT     8
#define CAP_LENGTH_AT     12
#define CAP_MULTIPLIER_AT 16

#define NO_PASID 0xffffffffu

uint32_t cfg_read(struct driver *d, uint16_t at, uint8_t len)
{
	return d->pa->ops->config_read(d->pa, at, len);
}

void cfg_write(struct driver *d, uint16_t at, uint8_t len, uint32_t value)
{
	d->pa->ops->config_write(d->pa, at, len, value);
}

uint64_t reg_read(struct driver *d, enum cap_type type, uint32_t at, uint8_t len)
{
	uint64_t value = 0;

	d->pa->ops->bar_read(d->pa, d->cap[type].bar, (uint64_t)d->cap[type].offset + at, &value,
			     len);
	return value;
}

void reg_write(struct driver *d, enum cap_type type, uint32_t at, uint8_t len, uint64_t value)
{
	d->pa->ops->bar_write(d->pa, d->cap[type].bar, (uint64_t)d->cap[type].offset + at, &value,
			      len);
}

static void find_caps(struct driver *d)
{
	uint16_t at = (uint16_t)cfg_read(d, PCI_CAPS_AT, 1);

	for (int i = 0; at && i < 64; i++, at = (uint16_t)cfg_read(d, (uint16_t)(at + 1), 1)) {
		uint32_t type = cfg_read(d, (uint16_t)(at + CAP_TYPE_AT), 1);

		if (cfg_read(d, at, 1) != PCI_VENDOR_CAP || type > CAP_PCI || d->cap[type].at)
			continue;
		d->cap[type] = (struct cap){
			.at = at,
			.len = (uint8_t)cfg_read(d, (uint16_t)(at + CAP_LEN_AT), 1),
			.bar = (uint8_t)cfg_read(d, (uint16_t)(at + CAP_BAR_AT), 1),
			.offset = cfg_read(d, (uint16_t)(at + CAP_OFFSET_AT), 4),
			.length = cfg_read(d, (uint16_t)(at + CAP_LENGTH_AT), 4),
		};
		if (type == CAP_NOTIFY)
			d->multiplier = cfg_read(d, (uint16_t)(at + CAP_MULTIPLIER_AT), 4);
	}
}

void driver_init(struct driver *d, struct machine *m, struct pci_access *pa)
{
	memset(d, 0, sizeof(*d));
	d->m = m;
	d->pa = pa;
	find_caps(d);
	ram_init(&d->ram, DRIVER_IOVA, DRIVER_RAM);
	assert_int_equal(pa->ops->dma_map(pa, NO_PASID, DRIVER_IOVA, DRIVER_RAM, d->ram.fd, 0,
					  PROT_READ | PROT_WRITE),
			 0);
	cfg_write(d, PCI_COMMAND_AT, 2, PCI_MEMORY | PCI_MASTER);
	for (size_t i = 0; i < DRIVER_VECTORS; i++) {
		d->event[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(d->event[i] >= 0);
	}
}

void driver_fini(struct driver *d)
{
	if (cfg_read(d, 0, 4) != 0xffffffff || d->cap[CAP_COMMON].at)
		driver_reset(d);
	for (uint16_t i = 0; i < DRIVER_VECTORS; i++) {
		d->pa->ops->irq_bind(d->pa, i, -1);
		close(d->event[i]);
	}
	d->pa->ops->dma_unmap_all(d->pa);
	ram_free(&d->ram);
}

void driver_bind(struct driver *d, unsigned int n)
{
	d->pa->ops->irq_enable(d->pa, n > 0);
	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(d->pa->ops->irq_bind(d->pa, i, d->event[i]), 0);
}

uint64_t driver_events(struct driver *d, unsigned int vector)
{
	uint64_t n = 0;

	machine_settle(d->m);
	if (read(d->event[vector], &n, sizeof(n)) < 0)
		assert_int_equal(errno, EAGAIN);
	return n;
}

uint64_t driver_offered(struct driver *d)
{
	uint64_t low;

	set_common(d, C_DEVICE_FEATURE_SELECT, 4, 0);
	low = common(d, C_DEVICE_FEATURE, 4);
	set_common(d, C_DEVICE_FEATURE_SELECT, 4, 1);
	return low | (uint64_t)common(d, C_DEVICE_FEATURE, 4) << 32;
}

void driver_reset(struct driver *d)
{
	set_common(d, C_DEVICE_STATUS, 1, 0);
	/* The function may be gone: all ones. */
	machine_wait(d->m,
		     common(d, C_DEVICE_STATUS, 1) == 0 || common(d, C_DEVICE_STATUS, 1) == 0xff);
}

bool driver_negotiate(struct driver *d, uint64_t features)
{
	driver_reset(d);
	set_common(d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE);
	set_common(d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER);
	set_common(d, C_DRIVER_FEATURE_SELECT, 4, 0);
	set_common(d, C_DRIVER_FEATURE, 4, (uint32_t)features);
	set_common(d, C_DRIVER_FEATURE_SELECT, 4, 1);
	set_common(d, C_DRIVER_FEATURE, 4, features >> 32);
	set_common(d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
	return common(d, C_DEVICE_STATUS, 1) & S_FEATURES_OK;
}

void driver_queue(struct driver *d, uint16_t index, struct ring *ring, uint16_t vector)
{
	set_common(d, C_QUEUE_SELECT, 2, index);
	set_common(d, C_QUEUE_SIZE, 2, ring->size);
	assert_int_equal(common(d, C_QUEUE_SIZE, 2), ring->size);
	set_common(d, C_QUEUE_MSIX_VECTOR, 2, vector);
	assert_int_equal(common(d, C_QUEUE_MSIX_VECTOR, 2), vector);
	set_common(d, C_QUEUE_DESC, 4, (uint32_t)ring->desc);
	set_common(d, C_QUEUE_DESC + 4, 4, ring->desc >> 32);
	set_common(d, C_QUEUE_DRIVER, 4, (uint32_t)ring->avail);
	set_common(d, C_QUEUE_DRIVER + 4, 4, ring->avail >> 32);
	set_common(d, C_QUEUE_DEVICE, 4, (uint32_t)ring->used);
	set_common(d, C_QUEUE_DEVICE + 4, 4, ring->used >> 32);
	set_common(d, C_QUEUE_ENABLE, 2, 1);
	assert_int_equal(common(d, C_QUEUE_ENABLE, 2), 1);
}

void driver_ok(struct driver *d)
{
	set_common(d, C_DEVICE_STATUS, 1, common(d, C_DEVICE_STATUS, 1) | S_DRIVER_OK);
}

void driver_start(struct driver *d, uint64_t features, struct ring *ring, uint16_t size)
{
	assert_true(driver_negotiate(d, F_VERSION_1 | features));
	driver_bind(d, 2);
	ring_init(ring, &d->ram, size);
	driver_queue(d, 0, ring, 0);
	driver_ok(d);
}

void driver_kick(struct driver *d, uint16_t index)
{
	uint32_t off;

	set_common(d, C_QUEUE_SELECT, 2, index);
	off = common(d, C_QUEUE_NOTIFY_OFF, 2);
	reg_write(d, CAP_NOTIFY, off * d->multiplier, 2, index);
}

uint32_t driver_used(struct driver *d, struct ring *ring, uint32_t *len)
{
	uint32_t id;

	machine_wait(d->m, ring_used(ring, &id, len));
	return id;
}

uint32_t driver_do(struct driver *d, struct ring *ring, const struct buf *bufs, size_t n)
{
	uint16_t head = ring_add(ring, bufs, n);
	uint32_t len;

	driver_kick(d, 0);
	assert_int_equal(driver_used(d, ring, &len), head);
	return len;
}
