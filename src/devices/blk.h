/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The block device (virtio 1.3, 5.2) on a raw image: a regular file or a block device, by io_uring.
 *
 * A request is a chain that was taken from the queue; it lives in one blk_request from pop to
 * complete. Requests complete in whatever order the kernel finishes them. Transfers go straight
 * between the image and the guest's memory, except where O_DIRECT forbids the guest's alignment.
 *
 * What a guest can't do is leave the image changed outside of what it asked for: ranges are checked
 * against the capacity, and writes also against the size that the image has now, since writing
 * behind the end of a file that somebody truncated would make it grow again.
 *
 * An image that hangs must hold up its own function only, so nothing here may wait for it. For
 * images whose file system asks another process or machine (remote) even what should not wait may:
 * a non-blocking read, fstat(). There, everything is left to threads of the kernel's.
 *
 *   blk.c          the device: image, configuration, queues
 *   blk_request.c  a request from pop to complete
 *   blk_io.c       reads, writes, flushes
 *   blk_range.c    requests without data: discard and write zeroes
 *   blk_parts.c    its device part
 */
#ifndef RIDGE_DEVICES_BLK_H
#define RIDGE_DEVICES_BLK_H

#include <linux/virtio_blk.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "devices/devices.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE  (1u << SECTOR_SHIFT)

#define BLK_PIECE_MAX  (1u << 20) /* bytes moved by one operation */
#define BLK_SPARE_SEGS 4          /* segments of a request that is used again ... */
#define BLK_SPARE_MAX  64         /* ... and how many are kept */
/*
 * Requests taken before others have their turn. When page cache answers them they are done at the
 * end of the turn, and the driver can use what it gets back while the next are read: with half of a
 * usual queue depth in a turn, neither waits for the other.
 */
#define BLK_TURN        16
#define BLK_BOUNCES_MAX 16 /* of one function */
/*
 * Memory of a function's requests under way. 64 full queues of usual requests take 26 MiB; with
 * tables of a thousand descriptors each, on an image that is slow, they would take 2.7 GiB.
 */
#define BLK_MEMORY_MAX (32u << 20)
#define ZEROES_IOVS    16         /* of 64 KiB of zeroes each */
#define BLK_RANGES_MAX 64         /* of one discard or write zeroes request */
#define BLK_RANGE_MAX  (1u << 21) /* sectors of one range: 1 GiB */
#define BLK_SIZE_MAX   (4u << 20) /* bytes of one data segment */
#define BLK_SEG_MAX    254        /* data segments of one request, at most */

struct blk {
	struct virtio_device dev;
	struct virtio_blk_config config;
	struct uring *uring;
	int fd;
	bool regular;
	bool remote;
	bool readonly;
	uint32_t direct_align; /* bytes; 0: any buffer will do */
	uint32_t physical;     /* bytes; the image's preferred block */
	uint64_t capacity;     /* bytes */
	char serial[DEVICE_SERIAL_LEN];
	/* an image that comes when it is wanted (devices.h) */
	void (*want)(void *ctx); /* NULL: it came, or there is none */
	void *want_ctx;
	bool wanted;              /* it was asked for */
	bool failed;              /* and could not be had */
	size_t memory;            /* bytes, of requests under way */
	bool full;                /* of it, so that queues wait */
	unsigned int bounces;     /* in use */
	struct list bounce_waits; /* struct blk_request */
	struct list spare;        /* struct blk_request that ended, to be used again */
	unsigned int nspare;
	struct uring_batch ended; /* requests of which the driver was not told yet */
	bool size_checked;        /* in this go */
	uint64_t size_now;        /* bytes, if regular */
#ifdef RIDGE_FAULTS
	bool hang;
	struct list held;
#endif
};

/* What a discard or write zeroes request still has to do. */
struct blk_ranges {
	uint16_t next;
	uint16_t count;
	bool unstable; /* some were made zeroes by no write, and it is to be stable */
	struct iovec iov[ZEROES_IOVS];
	uint64_t zeroes_done; /* bytes of the range at next that were written, not deallocated */
	struct virtio_blk_discard_write_zeroes range[BLK_RANGES_MAX];
};

struct blk_request {
	struct uring_op op;
	struct blk *blk;
	struct virtq *vq;
	uint16_t head;
	uint16_t nsegs;
	uint32_t memory; /* bytes, all that it takes but for the bounce buffer */
	uint32_t type;
	uint64_t offset;   /* in the image, of what is left */
	uint64_t left;     /* bytes */
	uint64_t in_len;   /* room for data and status */
	uint64_t written;  /* to the guest, but for the status */
	uint8_t *status;   /* in the guest's memory */
	struct iovec *iov; /* what is left */
	unsigned int niov;
	struct blk_ranges *ranges; /* DISCARD and WRITE_ZEROES */
	struct iovec piece;        /* of a buffer, or of the bounce buffer */
	void *bounce;              /* O_DIRECT with buffers that are not aligned */
	struct statx *sx;          /* remote: asked for before a write */
	struct list node;          /* waits for a bounce buffer, or is held back by a fault */
#ifdef RIDGE_FAULTS
	uint8_t held_status;
#endif
	struct iovec *iovs;      /* nsegs, behind segs */
	struct iommu_seg segs[]; /* nsegs */
};

static inline struct blk *blk_of(struct virtio_device *dev)
{
	return container_of(dev, struct blk, dev);
}

/* blk_request.c */
void blk_requests_free(struct blk *blk);
void blk_request_start(struct blk *blk, struct virtq *vq, struct virtq_chain *chain);
/* Memory that is to be freed with the request, zeroed, or NULL. */
void *blk_request_memory(struct blk_request *r, size_t bytes);
/* Ends a request with a VIRTIO_BLK_S_* status. */
void blk_request_done(struct blk_request *r, uint8_t status);
/* Whether bytes [offset, offset + len) are inside the disk, and to be written inside the image. */
bool blk_range_ok(struct blk *blk, uint64_t offset, uint64_t len, bool write);
/* blk_io.c: each 0 if the request is under way, else a negative errno. */
int blk_io_start(struct blk_request *r);
int blk_flush_start(struct blk_request *r);
/* The request is over: what it held goes to the next. */
void blk_io_end(struct blk_request *r);
/* Ends what only waits. */
void blk_io_reset(struct blk *blk);
/* RWF_DSYNC if a completed write must be stable (5.2.6.2), else 0. */
int blk_write_flags(const struct blk *blk);

/* blk_parts.c: as in struct virtio_device_ops */
void blk_parts(struct virtio_device *dev, const struct virtio_part_out *out);
int blk_part_stage(struct virtio_device *dev, void *staged, const struct virtio_part *part);
void blk_parts_apply(struct virtio_device *dev, const void *staged);

/*
 * blk_range.c: 0 if it is under way, 1 if there was nothing to do, or a negative errno: -EOPNOTSUPP
 * for flags that don't exist, -EINVAL for ranges that are not possible.
 */
int blk_ranges_start(struct blk *blk, struct blk_request *r, const struct virtq_chain *chain);

#endif
