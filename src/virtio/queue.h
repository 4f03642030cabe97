/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Virtqueues, the device's end: split (virtio 1.3, 2.7) and packed (2.8) rings behind one
 * interface.
 *
 * A queue is its virtq_state, which is device state, and a few caches. virtq_pop() takes the next
 * chain that the driver made available and pins its memory; virtq_push() returns it as used, in any
 * order (with VIRTIO_F_IN_ORDER the queue holds it back until its turn). Chains that belong
 * together are added one by one with virtq_add_used() and shown to the driver at once by
 * virtq_publish_used().
 *
 * Everything read from the rings and the descriptors is the driver's word: indexes are checked,
 * descriptors are copied before they are looked at, and a ring that breaks the rules ends in
 * -EPROTO (or -EFAULT for memory that is not there), after which the device needs a reset.
 *
 *   queue.c    what both have in common
 *   chain.c    descriptors to pinned memory
 *   split.c, packed.c    the rings
 */
#ifndef RIDGE_VIRTIO_QUEUE_H
#define RIDGE_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

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
	uint16_t size;   /* entries; a power of two if split */
	uint16_t vector; /* MSI-X, or VIRTQ_NO_VECTOR */
	uint16_t enabled;
	uint16_t avail_next; /* split: index of the next available entry; packed: place in the ring
			      */
	uint16_t used_next;  /* split: the used index; packed: place in the ring */
	/* split: used_next when the driver was interrupted last; packed: places used since then */
	uint16_t used_signalled;
	uint16_t used_signalled_valid;
	uint8_t avail_wrap; /* packed: wrap counters */
	uint8_t used_wrap;
	uint8_t place_unknown; /* split: where it goes on is to be found in the ring */
	uint8_t reserved[3];
	uint64_t
		in_flight[VIRTQ_SIZE_MAX / 64]; /* heads (packed: buffer ids) taken, not returned */
	uint16_t ndescs[VIRTQ_SIZE_MAX];        /* packed: places that the buffer takes, by id */
};

struct virtq_order;

struct virtq {
	struct virtq_state *state;
	uint16_t index;
	uint16_t size_max;
	/* what was negotiated */
	bool packed;
	bool event_idx;
	bool indirect;
	bool in_order;
	bool notify_on_empty;
	bool kicked;        /* work for the device: set by a notification */
	uint16_t owed;      /* chains, at most, that virtio_device_busy() is asked about */
	bool resetting;     /* the driver resets this queue; it waits for what is in flight */
	uint16_t in_flight; /* chains */
	struct iommu_space *space; /* that they were taken from */
	uint16_t unpublished;      /* used entries that the driver does not see yet */
	bool used_pending;         /* used entries since the last virtq_interrupt_due() */
	uint16_t publish_flags; /* packed: what publishing writes to the first of them, and where */
	uint16_t publish_at;
	struct virtq_order *order; /* in_order: chains in the order they came; made when needed */
	struct iommu_window desc;
	struct iommu_window driver;
	struct iommu_window device;
};

/* One chain: device-readable segments first, then device-writable ones. */
struct virtq_chain {
	uint16_t head;   /* packed: the buffer id */
	uint16_t ndescs; /* packed: places in the ring */
	uint16_t nout;
	uint16_t nin;
	uint64_t out_len; /* bytes */
	uint64_t in_len;
	struct iommu_seg segs[VIRTQ_SEGS_MAX];
};

/* Back to what a device reset leaves. */
void virtq_reset(struct virtq *vq);
/* Frees what the queue made for itself; its state is the owner's. */
void virtq_destroy(struct virtq *vq);

/*
 * The driver enabled the queue: the flags above are set, as are size and addresses. Returns 0,
 * -EINVAL for addresses that are not aligned (virtio 1.3, 2.7 and 2.8.10.1), or -ENOMEM.
 */
int virtq_enable(struct virtq *vq);

/* Whether the driver's addresses are aligned as the kind of ring needs. */
bool virtq_addresses_ok(const struct virtq_state *state, bool packed);

/*
 * For a state that came from elsewhere: virtq_prepare() allocates what VIRTIO_F_IN_ORDER needs (0
 * or -ENOMEM), virtq_restored() makes everything beside the state fit it. Nothing is in flight.
 */
int virtq_prepare(struct virtq *vq);
void virtq_restored(struct virtq *vq);
/* Goes on where the driver's ring says that the last device left off. 0 or -EFAULT. */
int virtq_find_place(struct virtq *vq, struct iommu_space *space);

/* 1 with a chain, 0 if there is none, -EPROTO or -EFAULT. *why (static) says what is wrong. */
int virtq_pop(struct virtq *vq, struct iommu_space *space, struct virtq_chain *chain,
	      const char **why);
/* Makes the last chain popped available again; its memory must be released by the caller. */
void virtq_unpop(struct virtq *vq, const struct virtq_chain *chain);

/* The chain is over and the driver is not told: its queue is being reset. */
void virtq_forget(struct virtq *vq, uint16_t head);

/* Returns the chain to the driver with len bytes written. 0 or -EFAULT. */
int virtq_push(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len);
/* The same in two steps: several chains that the driver must see together (2.8.9). */
int virtq_add_used(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len);
int virtq_publish_used(struct virtq *vq, struct iommu_space *space);

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

/* Bytes [from, from + len) of segments as at most n iovecs; returns how many. */
unsigned int virtq_to_iov(const struct iommu_seg *segs, size_t n, uint64_t from, uint64_t len,
			  struct iovec *iov);

#endif
