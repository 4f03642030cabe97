/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Host state: what the VFIO device model keeps about a function for its user, and the function
 * itself does not know. Plain data, in the function's memory (worker/memory.h).
 */
#ifndef RIDGE_VFIO_HOST_STATE_H
#define RIDGE_VFIO_HOST_STATE_H

#include <stdint.h>

#define VFIO_CONFIG_SHADOW 256 /* bytes: the header and the capabilities */
#define VFIO_MSIX_MAX      72
#define VFIO_MASK_WORDS    ((VFIO_MSIX_MAX + 63) / 64)

struct vfio_host_state {
	uint8_t config[VFIO_CONFIG_SHADOW]; /* the bits that are virtualised */
	uint8_t intx_masked;
	uint8_t intx_level; /* the line is asserted */
	uint8_t isr;        /* virtio-vfio-pci: the ISR status that goes with INTx */
	uint8_t reserved[5];
	uint64_t msix_masked[VFIO_MASK_WORDS]; /* vectors that the user masked, a bit each */
};

#endif
