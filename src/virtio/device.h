/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio device without its transport: status, features, virtqueues, configuration (virtio 1.3,
 * 2 and 3), driven through either of two sets of registers: the modern ones (virtio/pci.h) or the
 * legacy ones (virtio/legacy.h).
 *
 * A notification only marks its queue; the device type's process() then runs from the event loop,
 * takes chains with virtio_device_pop(), and gives each back by virtio_device_complete(), at once
 * or later and in any order. From pop to complete a chain is in flight: a reset stops processing at
 * once and is done when nothing is in flight any more, so that no DMA happens after it.
 *
 *              status 0, FLR                      last chain completed
 *   running -------------------> resetting ---------------------------> reset
 *      |
 *      +-- the driver broke the rules, or memory is not there --> stopped, until the reset
 *
 * A stopped device takes nothing more from its queues and sends no used buffers; it has set
 * DEVICE_NEEDS_RESET and says why.
 *
 * Apart from all that, whoever owns the device can halt it (mode.c), which virtio calls to stop it
 * (virtio 1.4, 2.12.1.4.3.4): it takes nothing more, what is in flight ends and is given back, and
 * from then on it does no DMA and sends no interrupt, but answers every register access. What the
 * driver notified it of meanwhile is found when it goes on.
 */
#ifndef RIDGE_VIRTIO_DEVICE_H
#define RIDGE_VIRTIO_DEVICE_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/counters.h"
#include "base/loop.h"
#include "virtio/queue.h"

#define VIRTIO_QUEUES_MAX 67 /* 64, a control queue, and a PF's two admin queues */

#define VIRTIO_STATUS_NEEDS_RESET 0x40

/* Device state. Plain data; the queues come last, so that unused ones are never touched. */
struct virtio_state {
	uint64_t driver_features;
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector; /* MSI-X, or VIRTQ_NO_VECTOR */
	uint8_t status;
	uint8_t isr;
	uint8_t config_generation;
	uint8_t legacy; /* driven through the legacy registers since the last reset */
	uint8_t halted;
	uint8_t config_pending; /* configuration changed while it was halted: tell the driver then
				 */
	uint8_t reserved[6];
	struct virtq_state queues[VIRTIO_QUEUES_MAX];
};

struct virtio_device;
struct virtio_part;
struct virtio_part_out;

struct virtio_device_ops {
	/* Takes from a queue whatever is there; virtio_device_pop() says when to leave off. */
	void (*process)(struct virtio_device *dev, struct virtq *vq);
	/* Drops what the type holds back (nothing in flight is dropped). May be NULL. */
	void (*reset)(struct virtio_device *dev);
	/* The driver's features are final: FEATURES_OK, or legacy DRIVER_OK. May be NULL. */
	void (*negotiated)(struct virtio_device *dev);
	/* The driver is ready: DRIVER_OK. May be NULL. */
	void (*started)(struct virtio_device *dev);
	/* The driver wrote configuration bytes. May be NULL: read-only. */
	void (*config_write)(struct virtio_device *dev, uint32_t offset, const void *data,
			     uint32_t len);
	/*
	 * Device parts of the type (virtio/parts.h); each may be NULL. parts() emits what there is.
	 * part_stage() decodes one into VIRTIO_PARTS_STAGED_LEN bytes, zeroed before the first, and
	 * returns 0, -ENOENT (no such part) or -EINVAL; parts_apply() takes over what was staged.
	 */
	void (*parts)(struct virtio_device *dev, const struct virtio_part_out *out);
	int (*part_stage)(struct virtio_device *dev, void *staged, const struct virtio_part *part);
	void (*parts_apply)(struct virtio_device *dev, const void *staged);
	void (*destroy)(struct virtio_device *dev);
};

/* What a device needs of the function that it is in. */
struct virtio_transport_ops {
	struct iommu_space *(*dma)(struct virtio_device *dev); /* NULL: no DMA allowed now */
	void (*interrupt)(struct virtio_device *dev, uint16_t vector);
	/* vector exists and may be used */
	bool (*vector_ok)(struct virtio_device *dev, uint16_t vector);
	bool (*msix_enabled)(struct virtio_device *dev);
	/* Nothing is in flight after a reset or a drain. From the loop; may free the device. */
	void (*settled)(struct virtio_device *dev);
	/* While quiet, no interrupt is sent, and none is lost. */
	void (*quiet)(struct virtio_device *dev, bool quiet);
};

/* Whoever waits for a reset. Zero it to begin with. */
struct virtio_reset {
	struct list node; /* .next NULL: waits for nothing */
	struct virtq *vq; /* a queue's; NULL: the device's */
	void (*done)(struct virtio_reset *reset);
};

/* Whoever waits until a device has halted. */
struct virtio_halt {
	/* 0, or -ECANCELED: a function level reset came first, and the device is not halted. */
	void (*done)(struct virtio_halt *halt, int err);
};

/*
 * What the device may do before others get their turn, in chains, if time does not end it before
 * (loop_turn_over()). So many segments of a chain cost what another chain does.
 */
#define VIRTIO_BUDGET      64
#define VIRTIO_SEGS_A_UNIT 8

struct virtio_device {
	const struct virtio_device_ops *ops;
	const struct virtio_transport_ops *transport;
	void *transport_ctx;
	struct loop *loop;
	struct counters *counters;
	struct virtio_state *state;
	char name[64];     /* for the log */
	uint16_t id;       /* virtio device id (virtio 1.3, 5) */
	uint16_t nqueues;  /* all, admin queues included */
	uint16_t nadmin;   /* the last of them */
	uint64_t features; /* offered */
	uint8_t *config;   /* device-specific configuration, little-endian */
	uint32_t config_len;
	struct virtq *queues;
	struct loop_work work;
	struct iommu_stay stay;        /* no unmap waits for it: queues are looked at again */
	struct loop_work settled_work; /* the last chain came back: a reset or a drain ends */
	struct loop_work halt_work;    /* the same, for a halt */
	struct virtio_halt *halting;   /* who waits for it, or NULL */
	unsigned int in_flight;        /* chains */
	int budget;                    /* left in this turn */
	struct loop_turn time;         /* ... of which this is the time */
	unsigned int units;            /* what the last chain cost */
	uint16_t turn;                 /* the queue that it begins with */
	bool resetting;
	bool draining; /* somebody waits for what is in flight, and for no more */
	bool stopped;
	const char *stop_reason;    /* static */
	void (*on_stop)(void *ctx); /* it stopped; may be NULL */
	void *on_stop_ctx;
	struct list resets; /* struct virtio_reset */
};

/*
 * Sets up the common part; ops, id, features, config, nqueues, nadmin, loop, counters and name are
 * set by the type before. state is zeroed memory that outlives the device. Returns 0 or -ENOMEM.
 */
int virtio_device_init(struct virtio_device *dev, struct virtio_state *state, uint16_t queue_size);
/* Nothing may be in flight. Calls ops->destroy. */
void virtio_device_destroy(struct virtio_device *dev);

/* --- for registers --- */

void virtio_device_notify(struct virtio_device *dev, uint16_t queue);
/* Writes the status register: 0 starts a reset. */
void virtio_device_set_status(struct virtio_device *dev, uint8_t status);
uint32_t virtio_device_features(const struct virtio_device *dev, uint32_t select);
void virtio_device_accept_features(struct virtio_device *dev, uint32_t select, uint32_t value);
void virtio_device_enable_queue(struct virtio_device *dev, struct virtq *vq);
/*
 * Resets one queue; its resetting is false again when it is done. 0 when it is, or -EINPROGRESS and
 * reset->done() (reset may be NULL).
 */
int virtio_device_reset_queue(struct virtio_device *dev, struct virtq *vq,
			      struct virtio_reset *reset);
/* NULL if there is no such queue. */
struct virtq *virtio_device_queue(struct virtio_device *dev, uint16_t index);
/* Copies configuration; bytes outside it read as 0xff and are not written. */
void virtio_device_config_read(struct virtio_device *dev, uint32_t offset, void *data,
			       uint32_t len);
void virtio_device_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
				uint32_t len);
/*
 * Resets the device. 0 when done, or -EINPROGRESS and reset->done() (reset may be NULL).
 */
int virtio_device_reset(struct virtio_device *dev, struct virtio_reset *reset);
void virtio_reset_cancel(struct virtio_reset *reset);
/* The device may not reach memory now: 0 if nothing is in flight, or -EINPROGRESS and settled(). */
int virtio_device_drain(struct virtio_device *dev);
/*
 * Whether queues that it was notified of until now (mark), or until it was asked with mark the last
 * time, are still to be looked at, or to be looked at again: until one was empty, or as many chains
 * came out of it as were in it at the most. A driver that keeps it full keeps nobody waiting.
 */
bool virtio_device_busy(struct virtio_device *dev, bool mark);
/* What was held up may go on: bus mastering was turned on. */
void virtio_device_resume(struct virtio_device *dev);

/* --- for the owner --- */

/*
 * Halts the device. 0 when it is, -EINPROGRESS and halt->done() from the loop, or -EBUSY if another
 * waits already. To halt a halted device is no error.
 */
int virtio_device_halt(struct virtio_device *dev, struct virtio_halt *halt);
/* Gives up on a halt under way: the device goes on as if nothing had been. */
void virtio_device_halt_cancel(struct virtio_device *dev, struct virtio_halt *halt);
/* Goes on. A device that was not halted does so anyway. */
void virtio_device_unhalt(struct virtio_device *dev);
/* After a function level reset: the device is not halted. */
void virtio_device_halt_reset(struct virtio_device *dev);
/*
 * A halted device is to have another state: virtio_device_prepare() allocates what it needs (0 or
 * -ENOMEM), and when dev->state is that state virtio_device_restored() makes the rest fit it.
 * broken: the device is stopped until its driver resets it.
 */
int virtio_device_prepare(struct virtio_device *dev, const struct virtio_state *state);
void virtio_device_restored(struct virtio_device *dev, bool broken);

/* --- for device types --- */

bool virtio_device_has(const struct virtio_device *dev, unsigned int feature);
/*
 * The next chain of a queue, in flight from now on. False if there is none, or the device was
 * stopped or reset; notifications are on again then. False also when the device's turn is over:
 * process() is called again after others had theirs.
 */
bool virtio_device_pop(struct virtio_device *dev, struct virtq *vq, struct virtq_chain *chain);
/*
 * Ends a chain: len bytes were written to it. segs are the chain's, now unpinned. The interrupt is
 * sent by virtio_device_flush(), or at the end of process().
 */
void virtio_device_complete(struct virtio_device *dev, struct virtq *vq, uint16_t head,
			    uint32_t len, struct iommu_seg *segs, size_t nsegs);
/* The same in two steps: chains that the driver must see together. */
void virtio_device_add_used(struct virtio_device *dev, struct virtq *vq, uint16_t head,
			    uint32_t len, struct iommu_seg *segs, size_t nsegs);
void virtio_device_publish_used(struct virtio_device *dev, struct virtq *vq);
/* Gives up on the last chain that was popped: it is the next one again. */
void virtio_device_put_back(struct virtio_device *dev, struct virtq *vq, struct virtq_chain *chain);
void virtio_device_flush(struct virtio_device *dev, struct virtq *vq);
/* What was just done cost as much as so many chains more. */
static inline void virtio_device_charge(struct virtio_device *dev, unsigned int chains)
{
	dev->budget -= (int)chains;
	dev->units += chains;
}
/* process() wants to be called again, from the loop. */
void virtio_device_notify_again(struct virtio_device *dev, struct virtq *vq);
/* The device-specific configuration is another now: the driver is told. */
void virtio_device_config_changed(struct virtio_device *dev);
/* The driver broke a rule, or memory failed (why: static). */
void virtio_device_stop(struct virtio_device *dev, const char *why, bool dma_fault);

#endif
