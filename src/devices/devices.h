/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Device types: what a function does. Each is one file with a create function in the table of
 * types.c; a PF and its functions are of the same type and made by the same create function.
 */
#ifndef RIDGE_DEVICES_DEVICES_H
#define RIDGE_DEVICES_DEVICES_H

#include "base/counters.h"
#include "base/loop.h"
#include "base/uring.h"
#include "virtio/device.h"

struct net_backend;

/* Room for what a type keeps in device state beyond virtio's. */
#define DEVICE_TYPE_STATE_LEN 4096

#define DEVICE_SERIAL_LEN 20 /* virtio 1.3, 5.2.6: GET_ID */

struct device_params {
	const char *name;
	struct loop *loop;
	struct uring *uring; /* for types with uses_files */
	struct counters *counters;
	void *type_state;           /* DEVICE_TYPE_STATE_LEN zeroed bytes, outlive the device */
	struct virtio_state *state; /* zeroed, outlives the device */
	uint16_t queues;            /* 0: the type's default */
	uint16_t queue_size;        /* 0: the type's default */
	uint16_t admin_queues;      /* of a PF: appended */
	uint64_t features;          /* of a PF: added to the type's */
	bool packed;                /* offer packed virtqueues */
	int backend; /* blk: the image; taken over on success. -1: none, every request fails */
	/*
	 * blk without a backend: there is an image of so many bytes to be had. The first request
	 * has want() called, and it and the others wait for blk_attach(). 0: there is none.
	 */
	uint64_t late_size;
	void (*want)(void *ctx);
	void *want_ctx;
	bool readonly;
	bool direct;                        /* the image was opened with O_DIRECT */
	char serial[DEVICE_SERIAL_LEN + 1]; /* empty: the name */
	uint8_t mac[6];                     /* net */
	uint16_t mtu;                       /* net; 0: not told */
	bool trust;                         /* net: may send from any address, and change its own */
	bool restore_mac; /* net: a state that is restored may bring another address */
	struct net_backend *net_backend; /* net; taken over on success. NULL: frames go nowhere */
};

struct device_type {
	const char *name;
	uint16_t id;         /* virtio device id */
	uint32_t class_code; /* PCI */
	uint16_t queues;     /* default and, with queues_max, the limit */
	uint16_t queues_max;
	uint16_t queue_size;
	bool uses_files;
	/* Returns 0 or a negative errno: -EINVAL for queues or queue_size that can't be. */
	int (*create)(const struct device_type *type, const struct device_params *params,
		      struct virtio_device **dev);
};

/* NULL if there is no such type. */
const struct device_type *device_type_find(const char *name);
/* All of them, ended by a NULL name. */
extern const struct device_type device_types[];

int blk_create(const struct device_type *type, const struct device_params *params,
	       struct virtio_device **dev);
int net_create(const struct device_type *type, const struct device_params *params,
	       struct virtio_device **dev);
int rng_create(const struct device_type *type, const struct device_params *params,
	       struct virtio_device **dev);

/*
 * The part that all types share: checks and fills in queues, counters, name and common features.
 * Returns 0 or -EINVAL.
 */
int device_setup(struct virtio_device *dev, const struct device_type *type,
		 const struct device_params *params);

/*
 * Grows the disk that the guest sees to so many bytes (0: all that the image has now) and tells it.
 * -ENOSPC if the image is smaller than that, -EINVAL if the disk would shrink.
 */
int blk_resize(struct virtio_device *dev, uint64_t bytes);

/*
 * The image that a blk device asked for (taken over), or a negative errno: its requests fail then,
 * until the next reset.
 */
void blk_attach(struct virtio_device *dev, int fd);

#ifdef RIDGE_FAULTS
/* Keeps finished I/O back from the device until told otherwise. */
void blk_fault_hang(struct virtio_device *dev, bool hang);
/* Lets so many of it go, those that were kept back first. */
void blk_fault_end(struct virtio_device *dev, unsigned int n);
#endif

#endif
