/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fuzz targets share. Each target is one file with LLVMFuzzerTestOneInput(): libFuzzer
 * gives it inputs (./run fuzz), and standalone.c those that are kept in corpus/TARGET, in the
 * ordinary build, as tests.
 *
 * Most targets read their input as a list of operations. An input that ends early reads as zeros,
 * so that every input means something.
 */
#ifndef RIDGE_TEST_FUZZ_H
#define RIDGE_TEST_FUZZ_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is. */
#define fuzz_assert(cond)        \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

struct input {
	const uint8_t *data;
	size_t left;
};

static inline void input_bytes(struct input *in, void *out, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memset(out, 0, len);
	if (n)
		memcpy(out, in->data, n);
	in->data += n;
	in->left -= n;
}

#define INPUT_NUMBER(name, type)                        \
	static inline type name(struct input *in)       \
	{                                               \
		type value;                             \
                                                        \
		input_bytes(in, &value, sizeof(value)); \
		return value;                           \
	}

INPUT_NUMBER(input_u8, uint8_t)
INPUT_NUMBER(input_u16, uint16_t)
INPUT_NUMBER(input_u32, uint32_t)
INPUT_NUMBER(input_u64, uint64_t)

/* Operations of one input: more than these find nothing new, but take their time. */
#define FUZZ_STEPS 512

#endif
