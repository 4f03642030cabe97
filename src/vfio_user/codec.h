/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one place where bytes of a vfio-user client are given a meaning.
 *
 * vfio_user_decode_frame() says how long the message at the start of a buffer is;
 * vfio_user_decode() turns one complete message into a request whose fields were checked as far as
 * that is possible without the device: sizes agree, flags are known, ranges do not wrap, counts and
 * descriptors fit each other. Both are pure: no I/O, no allocation that outlives the call, nothing
 * kept but pointers into the message.
 *
 * There are two kinds of wrong: a request that cannot be served gets an error reply and the
 * connection goes on (a negative errno); a stream that makes no sense any more ends the connection
 * (VFIO_USER_VIOLATION).
 */
#ifndef RIDGE_VFIO_USER_CODEC_H
#define RIDGE_VFIO_USER_CODEC_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vfio_user/protocol.h"

/* What we tell the client about ourselves, where it offers the capability. */
#define VFIO_USER_MAX_MSG_FDS  16u
#define VFIO_USER_MAX_XFER     65536u
#define VFIO_USER_MAX_DMA_MAPS 65535u

/* The longest VERSION data that is looked at: QEMU's has about 200 bytes. */
#define VFIO_USER_MAX_VERSION_DATA 4096u

/* The largest message that is decoded: a REGION_WRITE of VFIO_USER_MAX_XFER bytes. */
#define VFIO_USER_MAX_MESSAGE                                                       \
	(sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access) + \
	 VFIO_USER_MAX_XFER)

/*
 * The largest that is read (and dropped, and answered by an error): a client that offers no
 * max_data_xfer_size cannot be told ours, and may believe in the default.
 */
#define VFIO_USER_MAX_SKIPPED                                                       \
	(sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access) + \
	 VFIO_USER_DEFAULT_XFER_SIZE)

/* Sub-regions in a reply to DEVICE_GET_REGION_IO_FDS. */
#define VFIO_USER_MAX_IO_FDS 128u

/* No errno that a request is ever answered with. */
#define VFIO_USER_VIOLATION (-EPROTO)

/* What a client offered; the fields it did not mention are false or 0. */
struct vfio_user_caps {
	bool has_max_msg_fds;
	bool has_max_data_xfer_size;
	bool has_max_dma_maps;
	bool has_pgsizes;
	bool write_multiple;
	uint64_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t max_dma_maps;
	uint64_t pgsizes;
};

struct vfio_user_request {
	uint16_t id;
	uint16_t command; /* enum vfio_user_command where decoding succeeded */
	bool no_reply;
	uint32_t reply_max; /* bytes of the longest reply, header included */
	union {
		struct {
			uint16_t minor;
			struct vfio_user_caps caps;
		} version;
		struct {
			uint64_t iova;
			uint64_t size;
			uint64_t offset;
			int prot; /* PROT_READ | PROT_WRITE */
		} map;
		struct {
			uint64_t iova;
			uint64_t size;
			bool all; /* iova and size are 0 */
		} unmap;
		struct {
			uint16_t index;
			bool probe;
			uint32_t methods;    /* VFIO_DEVICE_FEATURE_GET, _SET; one unless probe */
			uint32_t argsz;      /* at least the fixed part of the reply */
			const uint8_t *data; /* into the message */
			uint32_t len;
		} feature;
		struct {
			uint32_t size;       /* 1..VFIO_USER_MAX_XFER */
			const uint8_t *data; /* MIG_DATA_WRITE: into the message */
		} mig;
		struct {
			uint32_t argsz; /* at least the fixed part of the reply */
			uint32_t index; /* region or irq */
		} info;
		struct {
			uint32_t flags;
			uint32_t index;
			uint32_t start;
			uint32_t count;
			const uint8_t *bools; /* into the message, or NULL */
		} irqs;
		struct {
			uint32_t region;
			uint32_t count; /* 1..VFIO_USER_MAX_XFER */
			uint64_t offset;
			const uint8_t *data; /* REGION_WRITE: into the message */
		} access;
		struct {
			uint32_t count;        /* 1.. */
			const uint8_t *writes; /* into the message: for vfio_user_decode_write() */
		} multi;
	};
};

/* One write of a REGION_WRITE_MULTI. */
struct vfio_user_write {
	uint32_t region;
	uint32_t count; /* 1..8 */
	uint64_t offset;
	const uint8_t *data; /* into the message */
};

/*
 * Looks at the first len bytes of a stream at a message boundary. Returns 0 and the size of the
 * message there (0: too few bytes to tell), or VFIO_USER_VIOLATION and what is wrong. A size above
 * VFIO_USER_MAX_MESSAGE is for vfio_user_decode_skipped().
 */
int vfio_user_decode_frame(const uint8_t *buf, size_t len, size_t *size, const char **why);

/*
 * Decodes the complete message of size bytes that came with nfds descriptors. Returns 0, or a
 * negative errno to reply with (id, command, no_reply, reply_max are valid then); *why says what is
 * wrong with it, for the log.
 */
int vfio_user_decode(const uint8_t *msg, size_t size, size_t nfds, struct vfio_user_request *req,
		     const char **why);

/* The write number i of a REGION_WRITE_MULTI that was decoded. */
void vfio_user_decode_write(const struct vfio_user_request *req, uint32_t i,
			    struct vfio_user_write *write);

/* As vfio_user_decode() for a message that is too large, of which only the header is looked at. */
int vfio_user_decode_skipped(const uint8_t *msg, struct vfio_user_request *req, const char **why);

/*
 * version.c: the JSON of VERSION, len bytes with its NUL; len 0 means no capabilities. Returns 0 or
 * -EINVAL.
 */
int vfio_user_caps_parse(const char *data, size_t len, struct vfio_user_caps *caps);

/* What both sides may do after VERSION: what the client said, or what its silence means. */
struct vfio_user_terms {
	uint32_t max_msg_fds; /* that the client takes in one message */
	uint32_t max_xfer;    /* bytes of data in one message */
	uint32_t max_dma_maps;
	bool write_multiple;
};

void vfio_user_caps_terms(const struct vfio_user_caps *caps, struct vfio_user_terms *terms);

#define VFIO_USER_CAPS_REPLY_MAX 256u

/*
 * Writes our answer to these capabilities, a subset of them, as JSON with its NUL. Returns the
 * number of bytes, NUL included, or -ENOTSUP when there is no page size in common.
 */
int vfio_user_caps_reply(const struct vfio_user_caps *caps, char out[VFIO_USER_CAPS_REPLY_MAX]);

#endif
