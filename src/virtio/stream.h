/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A migration stream as Linux' virtio-vfio-pci writes and reads it: records, each a header and so
 * many bytes. The record that every stream has is what DEV_PARTS_GET gave (virtio/parts.h), as it
 * came. Whoever saves a function before it is stopped and again after that writes two of these, and
 * the last one counts.
 *
 * The reader takes a stream in pieces of any length. It skips records that it does not know if they
 * are optional, and refuses them if they are not. What it refuses once it refuses from then on. It
 * knows nothing of parts: those are checked by who sets them.
 */
#ifndef RIDGE_VIRTIO_STREAM_H
#define RIDGE_VIRTIO_STREAM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct virtio_stream_header {
	uint64_t size; /* bytes that follow */
	uint32_t flags;
	uint32_t tag;
} __attribute__((packed));

static_assert(sizeof(struct virtio_stream_header) == 16, "migration stream header");

#define VIRTIO_STREAM_F_OPTIONAL 0x1
#define VIRTIO_STREAM_TAG_PARTS  0

/* Longest record of parts that is read: more than any function has. */
#define VIRTIO_STREAM_PARTS_MAX (256u << 10)

/* Writes the header of a record. */
void virtio_stream_write_header(uint8_t out[sizeof(struct virtio_stream_header)], uint32_t tag,
				uint32_t flags, uint64_t size);

/* Zeroed to begin with. */
struct virtio_stream {
	struct virtio_stream_header header; /* as it comes */
	size_t have;                        /* bytes of the header */
	uint64_t left;                      /* bytes of the record that are still to come */
	bool in_record;
	uint8_t *next; /* the record that is coming; NULL: it is skipped */
	size_t next_len;
	uint8_t *parts; /* the last whole one */
	size_t parts_len;
	bool have_parts;
	int error;
};

/*
 * Takes the next bytes. 0, or for good: -EOPNOTSUPP (a record that is not known and not optional),
 * -E2BIG (longer than can be), -ENOMEM.
 */
int virtio_stream_read(struct virtio_stream *stream, const void *data, size_t len);
/*
 * The stream is at its end: 0 and the parts of its last whole record, which are the stream's;
 * -ENODATA if there was none, -EINVAL if it ends inside a record, or the error there was before.
 */
int virtio_stream_end(const struct virtio_stream *stream, const uint8_t **parts, size_t *len);
void virtio_stream_free(struct virtio_stream *stream);

#endif
