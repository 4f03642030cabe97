/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A function's memory: one memfd, made by ridged, with everything that is needed to carry on with
 * the function in another process. The two states in it belong to the two sides, which don't know
 * of each other; only the worker, which puts a function together, sees both.
 */
#ifndef RIDGE_WORKER_MEMORY_H
#define RIDGE_WORKER_MEMORY_H

#include <assert.h>
#include <stddef.h>

#include "base/counters.h"
#include "devices/devices.h"
#include "vfio/host_state.h"
#include "virtio/pci.h"

#define FUNCTION_MEMORY_MAGIC   0x6d656d6567646972ull /* "ridgemem" */
#define FUNCTION_MEMORY_VERSION 4

/*
 * In this order an idle function touches two pages: what every function uses, a few queues, and
 * then what few functions have.
 */
struct function_memory {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* of this structure */
	struct counters counters;
	struct vfio_host_state host;
	struct virtio_pci_state device;
	uint8_t type_state[DEVICE_TYPE_STATE_LEN]; /* device state that the type adds */
};

static_assert(offsetof(struct function_memory, type_state) % 8 == 0, "alignment");

#endif
