/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split virtqueues, the device's end (virtio 1.3, 2.7).
 *
 * A queue is its virtq_state, which is device state, and a few caches. virtq_pop() takes the next
 * chain that the driver made available and pins its memory; virtq_push() returns it as used, in any
 * order; virtq_release() gives the memory back. Everything read from the rings and the descriptors
 * is the driver's word: indexes are checked, descriptors are copied before they are looked at, and
 * a ring that breaks the rules ends in -EPROTO (or -EFAULT for memory that is not there), after
 * which the device needs a reset.
 */
#ifndef RIDGE_VIRTIO_QUEUE_H
#define RIDGE_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "iommu/iommu.h"

#define VIRTQ_SIZE_MAX 1024
/* Segments of one chain: its descriptors, and a few more where they cross the bounds of maps. */
#define VIRTQ_SEGS_MAX (VIRTQ_SIZE_MAX + 64)

#define VIRTQ_NO_VECTOR 0xffff

/* Device state. Plain data. */
struct virtq_state {
	uint64_t desc;   /* address of the descriptor table */
	uint64_t driver; /* of the available ring */
	uint64_t device; /* of the used ring */
	uint16_t size;   /* entries; a power of two */
	uint16_t vector; /* MSI-X, or VIRTQ_NO_VECTOR */
	uint16_t enabled;
	uint16_t avail_next; /* index of the next entry of the available ring to take */
	uint16_t used_next;  /* index that the used ring has, or will have with the next update */
	uint16_t used_signalled; /* used index when the driver was interrupted last */
	uint16_t used_signalled_valid;
	uint16_t reserved[3];
	uint64_t in_flight[VIRTQ_SIZE_MAX / 64]; /* heads taken and not returned */
};

struct virtq {
	struct virtq_state *state;
	uint16_t index;
	uint16_t size_max;
	bool event_idx;    /* VIRTIO_F_EVENT_IDX was negotiated */
	bool indirect;     /* VIRTIO_F_INDIRECT_DESC was negotiated */
	bool kicked;       /* work for the device: set by a notification */
	bool used_pending; /* used entries since the last virtq_interrupt_due() */
	struct iommu_window desc;
	struct iommu_window driver;
	struct iommu_window device;
};

/* One chain: device-readable segments first, then device-writable ones. */
struct virtq_chain {
	uint16_t head;
	uint16_t nout;
	uint16_t nin;
	uint64_t out_len; /* bytes */
	uint64_t in_len;
	struct iommu_seg segs[VIRTQ_SEGS_MAX];
};

/* Back to what a device reset leaves. */
void virtq_reset(struct virtq *vq);

/* Whether the addresses are aligned as virtio 1.3, 2.7 demands. */
bool virtq_addresses_ok(const struct virtq_state *state);

/* 1 with a chain, 0 if there is none, -EPROTO or -EFAULT. *why (static) says what is wrong. */
int virtq_pop(struct virtq *vq, struct iommu_space *space, struct virtq_chain *chain,
	      const char **why);
/* Makes the last chain popped available again; its memory must be released by the caller. */
void virtq_unpop(struct virtq *vq, const struct virtq_chain *chain);

/* Returns the chain to the driver with len bytes written. 0 or -EFAULT. */
int virtq_push(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len);

/*
 * Asks for notifications of what the driver adds from now on. Returns true if it added some before
 * it could know: call virtq_pop() again.
 */
bool virtq_enable_notify(struct virtq *vq, struct iommu_space *space);

/* Whether the driver wants an interrupt for the entries used since the last call. */
bool virtq_interrupt_due(struct virtq *vq, struct iommu_space *space);

/*
 * Bytes between a chain's segments and a buffer: from offset in the segments. Returns the bytes
 * copied, fewer than len at the end of the segments.
 */
size_t virtq_copy_out(const struct iommu_seg *segs, size_t n, uint64_t offset, void *data,
		      size_t len);
size_t virtq_copy_in(const struct iommu_seg *segs, size_t n, uint64_t offset, const void *data,
		     size_t len);

#endif
