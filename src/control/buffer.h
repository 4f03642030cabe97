/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes that wait: appended at the end, taken from the front.
 */
#ifndef RIDGE_CONTROL_BUFFER_H
#define RIDGE_CONTROL_BUFFER_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct buffer {
	char *data;
	size_t start; /* bytes before it were taken */
	size_t end;
	size_t size;
};

static inline size_t buffer_len(const struct buffer *b)
{
	return b->end - b->start;
}

static inline const char *buffer_data(const struct buffer *b)
{
	return b->data + b->start;
}

static inline void buffer_free(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){ 0 };
}

/* Returns 0 or -ENOMEM. */
static inline int buffer_append(struct buffer *b, const char *data, size_t len)
{
	if (!len)
		return 0;
	if (b->start && b->end + len > b->size) {
		memmove(b->data, b->data + b->start, buffer_len(b));
		b->end -= b->start;
		b->start = 0;
	}
	if (b->end + len > b->size) {
		size_t size = (b->end + len) * 2;
		char *p = realloc(b->data, size);

		if (!p)
			return -ENOMEM;
		b->data = p;
		b->size = size;
	}
	memcpy(b->data + b->end, data, len);
	b->end += len;
	return 0;
}

static inline void buffer_take(struct buffer *b, size_t len)
{
	b->start += len;
	/* Big buffers are for rare big answers: an idle connection holds none. */
	if (b->start == b->end)
		buffer_free(b);
}

#endif
