/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A minimal driver for one virtio PCI function, written from the specification (virtio 1.3, 4.1)
 * and for nothing but conformance tests. It shares no code and no constant with src/: it reaches
 * the function by configuration, BAR and DMA accesses only.
 */
#ifndef RIDGE_TEST_DRIVER_H
#define RIDGE_TEST_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine.h"
#include "ring.h"

/* Device status (2.1). */
#define S_ACKNOWLEDGE 1
#define S_DRIVER      2
#define S_DRIVER_OK   4
#define S_FEATURES_OK 8
#define S_NEEDS_RESET 64
#define S_FAILED      128

/* Features (6). */
#define F_INDIRECT_DESC (1ull << 28)
#define F_EVENT_IDX     (1ull << 29)
#define F_RING_PACKED   (1ull << 34)
#define F_VERSION_1     (1ull << 32)
#define F_SR_IOV        (1ull << 37)
#define F_ADMIN_VQ      (1ull << 41)

#define NO_VECTOR 0xffff

/* Common configuration (4.1.4.3). */
enum common {
	C_DEVICE_FEATURE_SELECT = 0,
	C_DEVICE_FEATURE = 4,
	C_DRIVER_FEATURE_SELECT = 8,
	C_DRIVER_FEATURE = 12,
	C_CONFIG_MSIX_VECTOR = 16,
	C_NUM_QUEUES = 18,
	C_DEVICE_STATUS = 20,
	C_CONFIG_GENERATION = 21,
	C_QUEUE_SELECT = 22,
	C_QUEUE_SIZE = 24,
	C_QUEUE_MSIX_VECTOR = 26,
	C_QUEUE_ENABLE = 28,
	C_QUEUE_NOTIFY_OFF = 30,
	C_QUEUE_DESC = 32,
	C_QUEUE_DRIVER = 40,
	C_QUEUE_DEVICE = 48,
	C_QUEUE_NOTIF_CONFIG_DATA = 56,
	C_QUEUE_RESET = 58,
	C_ADMIN_QUEUE_INDEX = 60,
	C_ADMIN_QUEUE_NUM = 62,
};

/* Capability types (4.1.4). */
enum cap_type { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };

struct cap {
	uint16_t at; /* in configuration space; 0: there is none */
	uint8_t len; /* cap_len */
	uint8_t bar;
	uint32_t offset;
	uint32_t length;
};

#define DRIVER_VECTORS 4
#define DRIVER_IOVA    0x7000000000ull
#define DRIVER_RAM     0x400000u

struct driver {
	struct machine *m;
	struct pci_access *pa;
	struct cap cap[CAP_PCI + 1]; /* by type: the first of each */
	uint32_t multiplier;         /* of queue_notify_off */
	struct ram ram;
	int event[DRIVER_VECTORS];
};

/*
 * Finds the capabilities, maps memory at DRIVER_IOVA and turns bus mastering on. Vectors are bound
 * by driver_bind().
 */
void driver_init(struct driver *d, struct machine *m, struct pci_access *pa);
void driver_fini(struct driver *d);

uint32_t cfg_read(struct driver *d, uint16_t at, uint8_t len);
void cfg_write(struct driver *d, uint16_t at, uint8_t len, uint32_t value);
/* Registers of a structure, by its capability. */
uint64_t reg_read(struct driver *d, enum cap_type type, uint32_t at, uint8_t len);
void reg_write(struct driver *d, enum cap_type type, uint32_t at, uint8_t len, uint64_t value);
static inline uint32_t common(struct driver *d, enum common at, uint8_t len)
{
	return (uint32_t)reg_read(d, CAP_COMMON, at, len);
}
static inline void set_common(struct driver *d, enum common at, uint8_t len, uint64_t value)
{
	reg_write(d, CAP_COMMON, at, len, value);
}

/* Routes vectors [0, n) to d->event. */
void driver_bind(struct driver *d, unsigned int n);
/* Interrupts of a vector since it was asked last. */
uint64_t driver_events(struct driver *d, unsigned int vector);

uint64_t driver_offered(struct driver *d);
/* Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK. True if it is still set then. */
bool driver_negotiate(struct driver *d, uint64_t features);
/* Gives a queue its ring, of ring->size entries, and a vector, and enables it. */
void driver_queue(struct driver *d, uint16_t index, struct ring *ring, uint16_t vector);
void driver_ok(struct driver *d);
/* All of it: VERSION_1 and the features, one ring of so many entries as queue 0, vector 0. */
void driver_start(struct driver *d, uint64_t features, struct ring *ring, uint16_t size);
/* Writes 0 to the status and waits until it reads 0. */
void driver_reset(struct driver *d);
/* Notifies a queue where it says. */
void driver_kick(struct driver *d, uint16_t index);
/* Makes a buffer available, kicks queue 0, and waits until it is used; returns the length. */
uint32_t driver_do(struct driver *d, struct ring *ring, const struct buf *bufs, size_t n);
/* Waits for the next used entry. */
uint32_t driver_used(struct driver *d, struct ring *ring, uint32_t *len);

#endif
