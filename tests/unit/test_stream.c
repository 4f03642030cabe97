/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio/stream.h: the records of a migration stream, whole, in pieces, and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "virtio/stream.h"

struct bytes {
	size_t len;
	uint8_t data[4096];
};

/* A header by hand: little-endian size, flags, tag. */
static void put_header(struct bytes *b, uint64_t size, uint32_t flags, uint32_t tag)
{
	for (int i = 0; i < 8; i++)
		b->data[b->len++] = (uint8_t)(size >> 8 * i);
	for (int i = 0; i < 4; i++)
		b->data[b->len++] = (uint8_t)(flags >> 8 * i);
	for (int i = 0; i < 4; i++)
		b->data[b->len++] = (uint8_t)(tag >> 8 * i);
}

static void put(struct bytes *b, uint32_t flags, uint32_t tag, const char *text)
{
	put_header(b, strlen(text), flags, tag);
	memcpy(b->data + b->len, text, strlen(text));
	b->len += strlen(text);
}

/* Reads it in pieces of so many bytes; the result of the end, and the last parts as text. */
static int read_pieces(const struct bytes *b, size_t piece, char text[256])
{
	struct virtio_stream s = { 0 };
	const uint8_t *parts;
	size_t len = 0;
	int err = 0;

	for (size_t at = 0; at < b->len && !err; at += piece)
		err = virtio_stream_read(&s, b->data + at,
					 b->len - at < piece ? b->len - at : piece);
	assert_int_equal(err, s.error);
	err = virtio_stream_end(&s, &parts, &len);
	if (!err) {
		assert_true(len < 256);
		memcpy(text, parts, len);
	}
	text[len] = 0;
	virtio_stream_free(&s);
	return err;
}

/* The same result in pieces of any length. */
static int read_all(const struct bytes *b, char text[256])
{
	char other[256];
	int err = read_pieces(b, sizeof(b->data), text);

	for (size_t piece = 1; piece < 40; piece++) {
		assert_int_equal(read_pieces(b, piece, other), err);
		if (!err)
			assert_string_equal(other, text);
	}
	return err;
}

static void test_one_record(void **state)
{
	struct bytes b = { 0 };
	char text[256];

	(void)state;
	put(&b, 0, 0, "the parts");
	assert_int_equal(read_all(&b, text), 0);
	assert_string_equal(text, "the parts");
}

static void test_the_header_that_is_written(void **state)
{
	struct bytes b = { 0 };
	uint8_t header[16];

	(void)state;
	put_header(&b, 0x123456789abcdef0, 0x11223344, 0x55667788);
	virtio_stream_write_header(header, 0x55667788, 0x11223344, 0x123456789abcdef0);
	assert_memory_equal(header, b.data, 16);
}

/* PRE_COPY, then STOP_COPY. */
static void test_the_last_record_counts(void **state)
{
	struct bytes b = { 0 };
	char text[256];

	(void)state;
	put(&b, 0, 0, "what was before it stopped");
	put(&b, 0, 0, "what was then");
	assert_int_equal(read_all(&b, text), 0);
	assert_string_equal(text, "what was then");
	put(&b, 0, 0, "");
	assert_int_equal(read_all(&b, text), 0);
	assert_string_equal(text, "");
}

static void test_optional_records_are_skipped(void **state)
{
	struct bytes b = { 0 };
	char text[256];

	(void)state;
	put(&b, 1, 1, "what is that");
	put(&b, 1, 0xffffffff, "");
	put(&b, 1, 0, "parts");
	put(&b, 0xffffffff, 7, "more");
	assert_int_equal(read_all(&b, text), 0);
	assert_string_equal(text, "parts");
}

static void test_mandatory_records_are_refused(void **state)
{
	static const uint32_t flags[] = { 0, 2, 0xfffffffe };
	char text[256];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct bytes b = { 0 };

		put(&b, 0, 0, "parts");
		put(&b, flags[i], 1 + (uint32_t)i, "must be understood");
		assert_int_equal(read_all(&b, text), -EOPNOTSUPP);
	}
}

/* After an error nothing makes it good. */
static void test_an_error_is_for_good(void **state)
{
	struct virtio_stream s = { 0 };
	struct bytes good = { 0 }, bad = { 0 };
	const uint8_t *parts;
	size_t len;

	(void)state;
	put(&good, 0, 0, "parts");
	put(&bad, 0, 1, "");
	assert_int_equal(virtio_stream_read(&s, good.data, good.len), 0);
	assert_int_equal(virtio_stream_read(&s, bad.data, bad.len), -EOPNOTSUPP);
	assert_int_equal(virtio_stream_read(&s, good.data, good.len), -EOPNOTSUPP);
	assert_int_equal(virtio_stream_end(&s, &parts, &len), -EOPNOTSUPP);
	virtio_stream_free(&s);
}

static void test_lengths_that_are_too_much(void **state)
{
	static const uint64_t sizes[] = { VIRTIO_STREAM_PARTS_MAX + 1, 0xffffffff, 0x100000000,
					  UINT64_MAX };
	char text[256];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct bytes b = { 0 };

		put_header(&b, sizes[i], 0, 0);
		assert_int_equal(read_all(&b, text), -E2BIG);
		/* one that is skipped may be as long as it likes, but has to end */
		b.len = 0;
		put_header(&b, sizes[i], 1, 1);
		assert_int_equal(read_all(&b, text), -EINVAL);
	}
}

/* The longest that there may be, with its last byte missing and there. */
static void test_the_longest_record(void **state)
{
	struct virtio_stream s = { 0 };
	struct bytes b = { 0 };
	static uint8_t record[VIRTIO_STREAM_PARTS_MAX];
	const uint8_t *parts;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(record); i++)
		record[i] = (uint8_t)(i * 7);
	put_header(&b, sizeof(record), 0, 0);
	assert_int_equal(virtio_stream_read(&s, b.data, b.len), 0);
	assert_int_equal(virtio_stream_read(&s, record, sizeof(record) - 1), 0);
	assert_int_equal(virtio_stream_end(&s, &parts, &len), -EINVAL);
	assert_int_equal(virtio_stream_read(&s, record + sizeof(record) - 1, 1), 0);
	assert_int_equal(virtio_stream_end(&s, &parts, &len), 0);
	assert_int_equal(len, sizeof(record));
	assert_memory_equal(parts, record, len);
	virtio_stream_free(&s);
}

static void test_a_stream_that_is_cut_off(void **state)
{
	struct bytes b = { 0 }, cut;
	size_t first, second;
	char text[256];

	(void)state;
	put(&b, 0, 0, "one");
	first = b.len;
	put(&b, 1, 9, "two");
	second = b.len;
	put(&b, 0, 0, "three");
	for (cut = b; cut.len; cut.len--)
		assert_int_equal(
			read_all(&cut, text),
			cut.len == b.len || cut.len == first || cut.len == second ? 0 : -EINVAL);
	assert_int_equal(read_all(&cut, text), -ENODATA);
	put(&cut, 1, 9, "no parts");
	assert_int_equal(read_all(&cut, text), -ENODATA);
}

/* Bytes at random: an end, or an error, and nothing else. */
static void test_anything(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct bytes b = { 0 };
		char text[256];
		int err;

		for (int n = rand_r(&seed) % 4; n >= 0; n--)
			put(&b, (uint32_t)rand_r(&seed) % 2, (uint32_t)rand_r(&seed) % 2, "record");
		for (int n = rand_r(&seed) % 3; n > 0; n--)
			b.data[(size_t)rand_r(&seed) % b.len] = (uint8_t)rand_r(&seed);
		err = read_pieces(&b, 1 + (size_t)rand_r(&seed) % 50, text);
		assert_true(!err || err == -EINVAL || err == -ENODATA || err == -E2BIG ||
			    err == -EOPNOTSUPP);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_record),
		cmocka_unit_test(test_the_header_that_is_written),
		cmocka_unit_test(test_the_last_record_counts),
		cmocka_unit_test(test_optional_records_are_skipped),
		cmocka_unit_test(test_mandatory_records_are_refused),
		cmocka_unit_test(test_an_error_is_for_good),
		cmocka_unit_test(test_lengths_that_are_too_much),
		cmocka_unit_test(test_the_longest_record),
		cmocka_unit_test(test_a_stream_that_is_cut_off),
		cmocka_unit_test(test_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
