/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all benchmark programs have in common: they compare things by turns in one run, and print
 * one JSON object, with one value for each round of each thing: {"name": [value, ...], ...}.
 * harness.py makes ratios of them, round by round.
 *
 * Wherever a figure is of one operation, its value in a round is the median (p50) of the round.
 */
#ifndef RIDGE_BENCH_MEASURE_H
#define RIDGE_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#define MEASURE_ROUNDS_MAX 256

/* CLOCK_MONOTONIC, ns. */
uint64_t measure_now(void);

/* Prints "PROGRAM: WHAT: strerror(err)" and ends with status 1. err: positive. */
__attribute__((noreturn)) void measure_die(const char *what, int err);

/* Durations of one round. */
struct samples {
	uint32_t *ns;
	size_t n;
	size_t room; /* those beyond it are not kept */
};

void samples_init(struct samples *s);
void samples_add(struct samples *s, uint64_t ns);
/* The median in ns; forgets all. 0 if there is none. */
double samples_p50(struct samples *s);

/* One thing that is compared: run() is one round of it, and returns the round's value. */
struct contender {
	const char *name;
	double (*run)(void *ctx, double seconds);
	void *ctx;
	double value[MEASURE_ROUNDS_MAX];
};

/*
 * Runs all of them for so many rounds, in an order that turns by one with each round, and prints
 * the object. One round that is not counted comes first.
 */
void measure(struct contender *c, size_t n, unsigned int rounds, double seconds);

/*
 * Arguments ROUNDS and SECONDS (of a round of one contender); ends with status 2 if they are none.
 */
void measure_parse(const char *rounds_arg, const char *seconds_arg, unsigned int *rounds,
		   double *seconds);

#endif
