/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_BASE_ARRAY_H
#define RIDGE_BASE_ARRAY_H

/* The number of elements of an array; the compiler warns of a pointer (-Wsizeof-pointer-div). */
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#endif
