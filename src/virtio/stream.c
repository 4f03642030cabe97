/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio/stream.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void virtio_stream_write_header(uint8_t out[sizeof(struct virtio_stream_header)], uint32_t tag,
				uint32_t flags, uint64_t size)
{
	struct virtio_stream_header header = {
		.size = htole64(size),
		.flags = htole32(flags),
		.tag = htole32(tag),
	};

	memcpy(out, &header, sizeof(header));
}

static int begin_record(struct virtio_stream *s)
{
	s->left = le64toh(s->header.size);
	s->in_record = true;
	s->next = NULL;
	s->next_len = 0;
	if (le32toh(s->header.tag) != VIRTIO_STREAM_TAG_PARTS)
		return le32toh(s->header.flags) & VIRTIO_STREAM_F_OPTIONAL ? 0 : -EOPNOTSUPP;
	if (s->left > VIRTIO_STREAM_PARTS_MAX)
		return -E2BIG;
	s->next = malloc(s->left ? s->left : 1);
	return s->next ? 0 : -ENOMEM;
}

/* A whole record of parts takes the place of the one before. */
static void end_record(struct virtio_stream *s)
{
	s->in_record = false;
	s->have = 0;
	if (!s->next)
		return;
	free(s->parts);
	s->parts = s->next;
	s->parts_len = s->next_len;
	s->have_parts = true;
	s->next = NULL;
}

/* Each returns how much of the data it took. */
static size_t take_header(struct virtio_stream *s, const uint8_t *data, size_t len)
{
	size_t n = sizeof(s->header) - s->have;

	n = len < n ? len : n;
	memcpy((uint8_t *)&s->header + s->have, data, n);
	s->have += n;
	if (s->have == sizeof(s->header))
		s->error = begin_record(s);
	return n;
}

static size_t take_record(struct virtio_stream *s, const uint8_t *data, size_t len)
{
	size_t n = len < s->left ? len : (size_t)s->left;

	if (s->next)
		memcpy(s->next + s->next_len, data, n);
	s->next_len += n;
	s->left -= n;
	return n;
}

int virtio_stream_read(struct virtio_stream *s, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len && !s->error) {
		size_t n = s->in_record ? take_record(s, at, len) : take_header(s, at, len);

		at += n;
		len -= n;
		if (!s->error && s->in_record && !s->left)
			end_record(s);
	}
	return s->error;
}

int virtio_stream_end(const struct virtio_stream *s, const uint8_t **parts, size_t *len)
{
	if (s->error)
		return s->error;
	if (s->in_record || s->have)
		return -EINVAL;
	if (!s->have_parts)
		return -ENODATA;
	*parts = s->parts;
	*len = s->parts_len;
	return 0;
}

void virtio_stream_free(struct virtio_stream *s)
{
	free(s->next);
	free(s->parts);
	*s = (struct virtio_stream){ 0 };
}
