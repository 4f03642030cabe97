/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Migration streams (virtio/stream.h) and the device parts in them (virtio/parts_set.c), which may
 * have come from anywhere.
 *
 * The first byte is the type of function, the second the length of the pieces in which the stream
 * is read; the rest is the stream. Its parts are set to a function that is halted: either they are
 * refused and nothing has changed, or the function has a state that leaves and comes back the same,
 * and goes on with it.
 */
#include "base/log.h"
#include "driver.h"
#include "fuzz.h"
#include "virtio/parts.h"
#include "virtio/stream.h"

/* As those that saved the seeds were made. */
static const struct {
	const char *type;
	struct device_params params;
} kinds[] = {
	{ "blk", { .queues = 1 } },
	{ "blk", { .queues = 2, .packed = true } },
	{ "net", { .queues = 1, .queue_size = 128, .restore_mac = true } },
	{ "net", { .queues = 2, .packed = true, .mtu = 1500, .restore_mac = true } },
	{ "rng", { .packed = true } },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct saved {
	uint8_t *data;
	size_t len;
};

static struct saved save(struct virtio_pci *vp)
{
	struct saved s = { .data = calloc(1, virtio_parts_size(vp)) };

	fuzz_assert(s.data);
	s.len = virtio_parts_get(vp, NULL, 0, s.data);
	fuzz_assert(s.len <= virtio_parts_size(vp));
	return s;
}

static bool equal(const struct saved *a, const struct saved *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

static void set(struct virtio_pci *vp, const uint8_t *parts, size_t len)
{
	struct saved before = save(vp), after, again;

	fuzz_assert(virtio_device_halt(vp->dev, NULL) == 0);
	if (virtio_parts_set(vp, parts, len)) {
		after = save(vp);
		fuzz_assert(equal(&before, &after));
	} else {
		after = save(vp);
		fuzz_assert(virtio_parts_set(vp, after.data, after.len) == 0);
		again = save(vp);
		fuzz_assert(equal(&after, &again));
		free(again.data);
	}
	virtio_device_unhalt(vp->dev);
	free(before.data);
	free(after.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t kind = input_u8(&in) % KINDS;
	size_t piece = 1u + input_u8(&in), len;
	struct virtio_stream stream = { 0 };
	struct member *member;
	const uint8_t *parts;
	struct machine *m;
	struct driver d;

	log_open("fuzz", LOG_CRIT);
	for (size_t at = 0; at < in.left; at += piece)
		if (virtio_stream_read(&stream, in.data + at,
				       in.left - at < piece ? in.left - at : piece))
			break;
	if (virtio_stream_end(&stream, &parts, &len)) {
		virtio_stream_free(&stream);
		return 0;
	}
	m = machine_new(kinds[kind].type, 1, false);
	m->pa->ops->config_write(m->pa, 0x110, 2, 1); /* NumVFs, VF Enable */
	m->pa->ops->config_write(m->pa, 0x108, 2, 9);
	member = member_new(m, 1, &kinds[kind].params);
	driver_init(&d, m, member->pa); /* memory where the seeds have their rings */
	set(&member->vf, parts, len);
	machine_settle(m);
	driver_fini(&d);
	member_free(member);
	machine_free(m);
	virtio_stream_free(&stream);
	return 0;
}
