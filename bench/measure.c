/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLES_MAX (1u << 20)

uint64_t measure_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void measure_die(const char *what, int err)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(err));
	exit(1);
}

void samples_init(struct samples *s)
{
	s->ns = malloc(SAMPLES_MAX * sizeof(*s->ns));
	if (!s->ns)
		measure_die("samples", ENOMEM);
	s->n = 0;
	s->room = SAMPLES_MAX;
}

void samples_add(struct samples *s, uint64_t ns)
{
	if (s->n < s->room)
		s->ns[s->n++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

double samples_p50(struct samples *s)
{
	double median;

	if (!s->n)
		return 0;
	qsort(s->ns, s->n, sizeof(*s->ns), compare);
	median = s->ns[s->n / 2];
	s->n = 0;
	return median;
}

static void print(const struct contender *c, size_t n, unsigned int rounds)
{
	printf("{");
	for (size_t i = 0; i < n; i++) {
		printf("%s\n\"%s\": [", i ? "," : "", c[i].name);
		for (unsigned int r = 0; r < rounds; r++)
			printf("%s%.1f", r ? ", " : "", c[i].value[r]);
		printf("]");
	}
	printf("\n}\n");
}

void measure(struct contender *c, size_t n, unsigned int rounds, double seconds)
{
	for (size_t i = 0; i < n; i++)
		c[i].run(c[i].ctx, seconds / 4);
	for (unsigned int r = 0; r < rounds; r++)
		for (size_t i = 0; i < n; i++) {
			struct contender *at = &c[(i + r) % n];

			at->value[r] = at->run(at->ctx, seconds);
		}
	print(c, n, rounds);
}

void measure_parse(const char *rounds_arg, const char *seconds_arg, unsigned int *rounds,
		   double *seconds)
{
	char *end;

	*rounds = (unsigned int)strtoul(rounds_arg, &end, 10);
	if (*end || !*rounds || *rounds > MEASURE_ROUNDS_MAX) {
		fprintf(stderr, "%s: rounds are 1 to %d\n", program_invocation_short_name,
			MEASURE_ROUNDS_MAX);
		exit(2);
	}
	*seconds = strtod(seconds_arg, &end);
	if (*end || *seconds <= 0) {
		fprintf(stderr, "%s: seconds are more than 0\n", program_invocation_short_name);
		exit(2);
	}
}
