/* SPDX-License-Identifier: BSD-3-Clause */
/* Decoding a message of vfio-user so that no look behind it goes unseen. */
#ifndef RIDGE_TEST_VFIO_USER_DECODE_H
#define RIDGE_TEST_VFIO_USER_DECODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <linux/vfio.h>

#include "vfio_user/codec.h"

/*
 * Decodes a message of which the allocation ends where the message does, so that the address
 * sanitizer sees any look behind it. req points into it until the next call.
 */
static uint8_t *last;

static inline int decode(uint16_t command, uint32_t flags, const void *payload, size_t len,
			 size_t nfds, struct vfio_user_request *req)
{
	struct vfio_user_header h = {
		.id = 0x1234,
		.command = command,
		.size = (uint32_t)(sizeof(h) + len),
		.flags = flags,
	};
	const char *why = NULL;
	size_t size;
	int err;

	free(last);
	last = malloc(sizeof(h) + len);
	memcpy(last, &h, sizeof(h));
	if (len)
		memcpy(last + sizeof(h), payload, len);
	assert_int_equal(vfio_user_decode_frame(last, sizeof(h), &size, &why), 0);
	assert_int_equal(size, sizeof(h) + len);
	err = vfio_user_decode(last, size, nfds, req, &why);
	assert_int_equal(req->id, 0x1234);
	assert_int_equal(req->command, command);
	assert_int_equal(req->no_reply, !!(flags & VFIO_USER_FLAG_NO_REPLY));
	assert_true(req->reply_max >= sizeof(h));
	if (err)
		assert_non_null(why);
	return err;
}

static inline int free_last(void **state)
{
	(void)state;
	free(last);
	last = NULL;
	return 0;
}

#endif
