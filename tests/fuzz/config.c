/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space and registers of functions, from both sides of pci_access: a PF with its
 * SR-IOV capability, a member, and an empty slot as a host reaches them, and a member as the VFIO
 * device model shows it to a VMM, under one of the drivers.
 */
#include <errno.h>

#include "base/log.h"
#include "fuzz.h"
#include "host.h"

static const char *const types[] = { "rng", "net", "blk" };
static const char *const drivers[] = { "vfio-pci", "virtio-vfio-pci" };

enum op {
	OP_CONFIG_READ,
	OP_CONFIG_WRITE,
	OP_BAR_READ,
	OP_BAR_WRITE,
	OP_RESET,
	OP_LOOP,
	OP_USER_READ,
	OP_USER_WRITE,
	OP_USER_IRQS,
	OPS,
};

struct targets {
	struct host *h;
	struct user *u;
	struct member *member;
	struct pci_access *empty;
	bool pending; /* an access of the user's was begun */
};

static struct pci_access *choose(struct targets *t, uint8_t which)
{
	switch (which % 4) {
	case 0:
		return t->h->m->pa;
	case 1:
		return t->empty;
	default:
		return t->member->pa;
	}
}

static void user_access(struct targets *t, struct input *in, bool write)
{
	static const uint8_t lengths[] = { 1, 2, 4, 8, 3, 16, 7, 255 };
	uint8_t data[256], how = input_u8(in);
	uint32_t region = how & 15, len = lengths[how >> 5];
	uint64_t offset = input_u16(in);
	int err;

	if (how & 16)
		offset |= (uint64_t)input_u8(in) << 56;
	if (write)
		input_bytes(in, data, len);
	/*
	 * One at a time. What a PF that is broken by now does not answer has a deadline of seconds.
	 */
	if (t->pending && !t->u->done)
		return;
	err = user_start(t->u, region, offset, len, write, data);
	fuzz_assert(err <= 0);
	t->pending = err == -EINPROGRESS;
	for (int i = 0; t->pending && !t->u->done && i < 8; i++)
		fuzz_assert(loop_step(t->h->m->loop, 0) == 0);
}

static void user_irqs(struct targets *t, struct input *in)
{
	uint8_t bools[64];
	struct vfio_irqs irqs = {
		.flags = input_u8(in),
		.index = input_u8(in) % 8,
		.start = input_u8(in),
		.count = input_u8(in) % sizeof(bools),
		.bools = bools,
	};

	/* What codec.c lets through: one kind of data, with its payload. */
	irqs.flags &=
		VFIO_IRQ_SET_ACTION_TYPE_MASK | VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL;
	if ((irqs.flags & VFIO_IRQ_SET_DATA_NONE) && (irqs.flags & VFIO_IRQ_SET_DATA_BOOL))
		irqs.flags &= ~VFIO_IRQ_SET_DATA_BOOL;
	input_bytes(in, bools, irqs.count);
	fuzz_assert(vfio_device_set_irqs(t->u->vdev, &irqs) <= 0);
}

static void step(struct targets *t, struct input *in)
{
	static const uint8_t lengths[] = { 1, 2, 4, 8 };
	uint8_t op = input_u8(in), which = input_u8(in), len = lengths[which >> 6];
	struct pci_access *pa = choose(t, which);
	uint64_t value = 0;

	switch (op % OPS) {
	case OP_CONFIG_READ:
		pa->ops->config_read(pa, input_u16(in), len & 7);
		break;
	case OP_CONFIG_WRITE:
		pa->ops->config_write(pa, input_u16(in), len & 7, input_u32(in));
		break;
	case OP_BAR_READ:
		pa->ops->bar_read(pa, (which >> 2) & 7, input_u16(in), &value, len);
		break;
	case OP_BAR_WRITE:
		value = input_u64(in);
		pa->ops->bar_write(pa, (which >> 2) & 7, input_u16(in), &value, len);
		break;
	case OP_RESET:
		pa->ops->reset(pa, NULL);
		break;
	case OP_LOOP:
		fuzz_assert(loop_step(t->h->m->loop, 0) == 0);
		break;
	case OP_USER_READ:
		user_access(t, in, false);
		break;
	case OP_USER_WRITE:
		user_access(t, in, true);
		break;
	case OP_USER_IRQS:
		user_irqs(t, in);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t first = input_u8(&in);
	struct targets t = { 0 };

	log_open("fuzz", LOG_CRIT);
	t.h = host_new(types[first % 3], 3);
	t.u = user_new(t.h, 1, drivers[(first >> 2) & 1], first & 8);
	t.member = member_new(t.h->m, 2, NULL);
	fuzz_assert(pci_root_open(t.h->m->root, pf_vf_rid(t.h->m->pf, 3), &t.empty) == 0);
	for (int i = 0; in.left && i < FUZZ_STEPS; i++)
		step(&t, &in);
	machine_settle(t.h->m);
	pci_root_close(t.empty);
	member_free(t.member);
	user_free(t.u);
	host_free(t.h);
	return 0;
}
