/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random reads of 4 KiB from the page cache, through a legacy virtio-blk function and without it.
 *
 *   bench-blk SOCKET IMAGE ROUNDS SECONDS
 *
 * one: at depth 1. echo-pread: an echo of a notification's size and one pread() for each. deep: at
 * depth 32. deep-poll: the same with a driver that waits as a VCPU of KVM's does. uring: io_uring
 * at depth 32. Values are requests a second.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/echo.h"
#include "bench/legacy_blk.h"
#include "bench/measure.h"
#include "vfio_user/protocol.h"

#define DEPTH LEGACY_BLK_DEPTH_MAX
#define BLOCK LEGACY_BLK_BLOCK

/* KVM's default on x86 (halt_poll_ns). */
#define HALT_POLL_NS 200000

/* Requests between two looks at the clock. */
#define BATCH 64

/* Bytes of a notification and of its reply, for the peer. */
#define NOTIFY_LEN (sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access) + 2)
#define REPLY_LEN  (sizeof(struct vfio_user_header) + sizeof(struct vfio_user_region_access))

struct bench {
	struct legacy_blk blk;
	struct echo echo;
	struct io_uring ring;
	int fd;
	uint64_t blocks;
	uint64_t random;
	uint8_t data[DEPTH][BLOCK] __attribute__((aligned(4096)));
};

/* xorshift64: all contenders read the same kind of sequence, none the same blocks. */
static uint64_t any_block(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random % b->blocks;
}

static double rate(uint64_t requests, uint64_t start)
{
	return (double)requests * 1e9 / (double)(measure_now() - start);
}

static double one(void *ctx, double seconds)
{
	struct bench *b = ctx;
	uint64_t start = measure_now(), end = start + (uint64_t)(seconds * 1e9), n = 0;

	while (measure_now() < end)
		for (int i = 0; i < BATCH; i++, n++) {
			legacy_blk_read(&b->blk, any_block(b));
			legacy_blk_kick(&b->blk);
			while (!legacy_blk_reap(&b->blk))
				legacy_blk_wait(&b->blk);
		}
	return rate(n, start);
}

static double echo_pread(void *ctx, double seconds)
{
	struct bench *b = ctx;
	uint64_t start = measure_now(), end = start + (uint64_t)(seconds * 1e9), n = 0;
	char request[NOTIFY_LEN] = { 0 }, reply[REPLY_LEN];

	while (measure_now() < end)
		for (int i = 0; i < BATCH; i++, n++) {
			echo_trip(b->echo.fd, request, sizeof(request), reply, sizeof(reply));
			if (pread(b->fd, b->data[0], BLOCK, (off_t)(any_block(b) * BLOCK)) != BLOCK)
				measure_die("pread", errno);
		}
	return rate(n, start);
}

static double deep(void *ctx, double seconds)
{
	struct bench *b = ctx;
	uint64_t start = measure_now(), end = start + (uint64_t)(seconds * 1e9), n = 0;
	unsigned int under_way = 0, reaped;
	bool more = true;

	while (more || under_way) {
		for (; more && under_way < DEPTH; under_way++)
			legacy_blk_read(&b->blk, any_block(b));
		legacy_blk_kick(&b->blk);
		while (!(reaped = legacy_blk_reap(&b->blk)))
			legacy_blk_wait(&b->blk);
		under_way -= reaped;
		n += reaped;
		more = measure_now() < end;
	}
	return rate(n, start);
}

static double deep_poll(void *ctx, double seconds)
{
	struct bench *b = ctx;
	double result;

	b->blk.poll_ns = HALT_POLL_NS;
	result = deep(ctx, seconds);
	b->blk.poll_ns = 0;
	return result;
}

static void uring_read(struct bench *b, uint64_t slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

	io_uring_prep_read(sqe, b->fd, b->data[slot], BLOCK, any_block(b) * BLOCK);
	io_uring_sqe_set_data64(sqe, slot);
}

static double uring(void *ctx, double seconds)
{
	struct bench *b = ctx;
	uint64_t start = measure_now(), end = start + (uint64_t)(seconds * 1e9), n = 0;
	unsigned int under_way = DEPTH;
	bool more = true;

	for (uint64_t slot = 0; slot < DEPTH; slot++)
		uring_read(b, slot);
	while (under_way) {
		struct io_uring_cqe *cqe;
		unsigned int head, reaped = 0;
		int err = io_uring_submit_and_wait(&b->ring, 1);

		if (err < 0)
			measure_die("io_uring", -err);
		io_uring_for_each_cqe(&b->ring, head, cqe)
		{
			if (cqe->res != BLOCK)
				measure_die("a read by io_uring", cqe->res < 0 ? -cqe->res : EIO);
			reaped++;
			if (more)
				uring_read(b, io_uring_cqe_get_data64(cqe));
			else
				under_way--;
		}
		io_uring_cq_advance(&b->ring, reaped);
		n += reaped;
		more = measure_now() < end;
	}
	return rate(n, start);
}

/* All of the image into the page cache; and a block through the function is that of the file. */
static void check(struct bench *b)
{
	uint64_t block = b->blocks - 1;

	for (uint64_t i = 0; i < b->blocks; i++)
		if (pread(b->fd, b->data[0], BLOCK, (off_t)(i * BLOCK)) != BLOCK)
			measure_die("the image", errno);
	legacy_blk_read(&b->blk, block);
	legacy_blk_kick(&b->blk);
	while (!legacy_blk_reap(&b->blk))
		legacy_blk_wait(&b->blk);
	if (b->blk.sectors != b->blocks * (BLOCK / 512) ||
	    memcmp(legacy_blk_data(&b->blk), b->data[0], BLOCK))
		measure_die("what the function read", EILSEQ);
}

int main(int argc, char **argv)
{
	static struct bench bench = { .random = 88172645463325252ull };
	struct bench *b = &bench;
	struct contender contenders[] = {
		{ "one", one, b, { 0 } },     { "echo-pread", echo_pread, b, { 0 } },
		{ "deep", deep, b, { 0 } },   { "deep-poll", deep_poll, b, { 0 } },
		{ "uring", uring, b, { 0 } },
	};
	unsigned int rounds;
	double seconds;
	struct stat st;
	int err;

	if (argc != 5) {
		fprintf(stderr, "usage: bench-blk SOCKET IMAGE ROUNDS SECONDS\n");
		return 2;
	}
	measure_parse(argv[3], argv[4], &rounds, &seconds);
	echo_start(&b->echo, NOTIFY_LEN, REPLY_LEN);
	b->fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (b->fd < 0 || fstat(b->fd, &st) < 0)
		measure_die(argv[2], errno);
	b->blocks = (uint64_t)st.st_size / BLOCK;
	err = legacy_blk_open(&b->blk, argv[1]);
	if (err)
		measure_die(argv[1], -err);
	err = io_uring_queue_init(DEPTH, &b->ring,
				  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN);
	if (err)
		measure_die("io_uring", -err);
	check(b);
	measure(contenders, sizeof(contenders) / sizeof(contenders[0]), rounds, seconds);
	fprintf(stderr, "%llu notifications, %llu waits for an interrupt\n",
		(unsigned long long)b->blk.kicks, (unsigned long long)b->blk.interrupts);
	io_uring_queue_exit(&b->ring);
	legacy_blk_close(&b->blk);
	echo_stop(&b->echo);
	return 0;
}
