/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads of 4 bytes from regions of functions, against an echo of messages of the same sizes.
 *
 *   bench-read SOCKET_MODERN SOCKET_LEGACY ROUNDS SECONDS
 *
 * config, memory: of a function under vfio-pci, its identity and a register of its memory BAR.
 * io: of one under virtio-vfio-pci, a register of its I/O BAR, which an admin command fetches.
 * Values are ns, p50.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>

#include "bench/echo.h"
#include "bench/measure.h"
#include "vfio_user/client.h"
#include "vfio_user/protocol.h"

#define DEVICE_FEATURE 4 /* in the common configuration, at offset 0 of BAR 2 */
#define HOST_FEATURES  0 /* legacy, in BAR 0 */

struct request {
	struct vfio_user_header h;
	struct vfio_user_region_access a;
} __attribute__((packed));

struct reply {
	struct vfio_user_header h;
	struct vfio_user_region_access a;
	uint8_t data[4];
} __attribute__((packed));

struct target {
	struct vfio_user_client *client;
	uint32_t region;
	uint64_t offset;
	struct samples samples;
};

static double read_run(void *ctx, double seconds)
{
	struct target *t = ctx;
	struct request request = {
		.h = { .command = VFIO_USER_REGION_READ, .size = sizeof(request) },
		.a = { .region = t->region, .offset = t->offset, .count = 4 },
	};
	uint64_t start = measure_now(), end = start + (uint64_t)(seconds * 1e9), now = start;
	struct reply reply;

	while (now < end) {
		uint64_t before = now;

		request.h.id++;
		echo_trip(t->client->fd, &request, sizeof(request), &reply, sizeof(reply));
		now = measure_now();
		samples_add(&t->samples, now - before);
		if (reply.h.id != request.h.id || (reply.h.flags & VFIO_USER_FLAG_ERROR) ||
		    reply.a.count != 4)
			measure_die("a read's reply", EPROTO);
	}
	return samples_p50(&t->samples);
}

/* A register that does not read what it should means that something else is measured. */
static void check(struct target *t)
{
	uint32_t value = 0;
	int err = vfio_user_client_read(t->client, t->region, t->offset, &value, sizeof(value));

	if (err || !value || value == UINT32_MAX)
		measure_die("the register to be read", err ? -err : EINVAL);
	samples_init(&t->samples);
}

int main(int argc, char **argv)
{
	static struct vfio_user_client modern, legacy;
	static struct target config = { &modern, VFIO_PCI_CONFIG_REGION_INDEX, 0, { 0 } };
	static struct target memory = {
		&modern, VFIO_PCI_BAR2_REGION_INDEX, DEVICE_FEATURE, { 0 }
	};
	static struct target io = { &legacy, VFIO_PCI_BAR0_REGION_INDEX, HOST_FEATURES, { 0 } };
	struct echo echo;
	struct contender contenders[] = {
		{ "echo", echo_run, &echo, { 0 } },
		{ "config", read_run, &config, { 0 } },
		{ "memory", read_run, &memory, { 0 } },
		{ "io", read_run, &io, { 0 } },
	};
	unsigned int rounds;
	double seconds;
	int err;

	if (argc != 5) {
		fprintf(stderr, "usage: bench-read SOCKET_MODERN SOCKET_LEGACY ROUNDS SECONDS\n");
		return 2;
	}
	measure_parse(argv[3], argv[4], &rounds, &seconds);
	echo_start(&echo, sizeof(struct request), sizeof(struct reply));
	err = vfio_user_client_open(&modern, argv[1]);
	if (err)
		measure_die(argv[1], -err);
	err = vfio_user_client_open(&legacy, argv[2]);
	if (err)
		measure_die(argv[2], -err);
	check(&config);
	check(&memory);
	check(&io);
	measure(contenders, sizeof(contenders) / sizeof(contenders[0]), rounds, seconds);
	echo_stop(&echo);
	vfio_user_client_close(&modern);
	vfio_user_client_close(&legacy);
	return 0;
}
