/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin executor (pf/pf.h): commands on a PF's administration virtqueue, their bytes from the
 * input, with members that come and go, and between them whatever a host does to the PF itself.
 *
 * The first byte is the type and whether the PF is strict; then operations. A command is its
 * opcode, group, member, the length of its data and of the room for its result, and the data.
 */
#include "base/log.h"
#include "fuzz.h"
#include "pf_driver.h"

#define SLOTS       3
#define OUT_MAX     2048
#define PENDING_MAX 16

static const char *const types[] = { "rng", "net", "blk" };

enum op {
	OP_COMMAND,
	OP_COMMAND_AGAIN, /* with the data of the last result: what was got is set */
	OP_RAW,
	OP_MEMBER,
	OP_ENABLE,
	OP_LOOP,
	OP_FLR,
	OP_RESTART,
	OPS,
};

struct targets {
	struct machine *m;
	struct pf_driver p;
	struct member *member[SLOTS + 1];
	uint64_t out;
	uint64_t in;
	uint32_t in_len;
};

static void put_le(uint8_t *at, uint64_t value, int len)
{
	for (int i = 0; i < len; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static void settle(struct targets *t, int steps)
{
	for (int i = 0; i < steps; i++)
		fuzz_assert(loop_step(t->m->loop, 0) == 0);
}

/* Queues what is in memory as a command, and lets the PF work on it. */
static void submit(struct targets *t, uint32_t out_len, uint32_t in_len)
{
	struct buf bufs[2] = { { t->out, out_len, false }, { t->in, in_len, true } };
	const struct buf *first = out_len ? bufs : bufs + 1;
	size_t n = (out_len != 0) + (in_len != 0);
	uint32_t id, len;

	if (!n)
		return;
	t->in_len = in_len;
	memset(ram_at(&t->p.d.ram, t->in), 0xee, OUT_MAX);
	ring_add(&t->p.ring, first, n);
	driver_kick(&t->p.d, t->p.index);
	settle(t, 3);
	while (ring_used(&t->p.ring, &id, &len))
		fuzz_assert(len <= in_len);
}

static void command(struct targets *t, struct input *in, bool again)
{
	static const uint16_t lengths[] = {
		0, 1, 2, 4, 8, 12, 16, 24, 64, 256, 1024, OUT_MAX - 64
	};
	uint8_t *out = ram_at(&t->p.d.ram, t->out), lens = input_u8(in);
	uint16_t opcode = input_u8(in), group = input_u8(in);
	uint32_t data_len = lengths[(lens & 15) % 12], in_len = lengths[(lens >> 4) % 12];

	/* Mostly members that may exist; 0xff: any number. */
	uint64_t member = input_u8(in);

	if (member == 0xff)
		member = input_u64(in);
	else
		member %= SLOTS + 2;
	memset(out, 0, ADMIN_HEAD);
	put_le(out, opcode % 0x16, 2);
	put_le(out + 2, group == 0xff ? 0xff : group & 1, 2);
	put_le(out + 16, member, 8);
	if (again) {
		data_len = t->in_len > ADMIN_REPLY ? t->in_len - ADMIN_REPLY : 0;
		memcpy(out + ADMIN_HEAD, (uint8_t *)ram_at(&t->p.d.ram, t->in) + ADMIN_REPLY,
		       data_len);
		/* ... with a byte of it changed, or a head of the input's in front */
		if (data_len)
			out[ADMIN_HEAD + input_u16(in) % data_len] ^= input_u8(in);
	} else {
		input_bytes(in, out + ADMIN_HEAD, data_len < in->left ? data_len : in->left);
	}
	submit(t, ADMIN_HEAD + data_len, ADMIN_REPLY + in_len);
}

static void raw(struct targets *t, struct input *in)
{
	uint16_t out_len = input_u8(in), in_len = input_u8(in);

	input_bytes(in, ram_at(&t->p.d.ram, t->out), out_len);
	submit(t, out_len, in_len);
}

static void toggle_member(struct targets *t, uint8_t which)
{
	uint32_t slot = which % SLOTS + 1;

	if (t->member[slot]) {
		member_free(t->member[slot]);
		t->member[slot] = NULL;
	} else {
		struct device_params params = { .packed = which & 0x80 };

		t->member[slot] = member_new(t->m, slot, &params);
	}
}

/* All commands, and objects 0 and 1 to get and set parts; not all of it works in every state. */
static void agree(struct targets *t)
{
	for (uint16_t group = SELF_GROUP; group <= SRIOV_GROUP; group++) {
		uint64_t list = 0;

		/* A strict PF refuses it for the SR-IOV group while there are no VFs. */
		admin(&t->p, LIST_QUERY, group, 1, NULL, 0, &list, sizeof(list));
		admin(&t->p, LIST_USE, group, 1, &list, sizeof(list), NULL, 0);
	}
	admin_set_limits(&t->p, 16, 16);
	admin_obj_create(&t->p, 1, 0, KIND_GET);
	admin_obj_create(&t->p, 1, 1, KIND_SET);
}

/* The PF's own registers are sane again after whatever was done to it. */
static void restart(struct targets *t)
{
	driver_reset(&t->p.d);
	t->p.d.ram.used = 0;
	pf_driver_start(&t->p);
	t->out = ram_alloc(&t->p.d.ram, OUT_MAX, 4096);
	t->in = ram_alloc(&t->p.d.ram, OUT_MAX, 4096);
	agree(t);
}

static void step(struct targets *t, struct input *in)
{
	switch (input_u8(in) % OPS) {
	case OP_COMMAND:
		command(t, in, false);
		break;
	case OP_COMMAND_AGAIN:
		command(t, in, true);
		break;
	case OP_RAW:
		raw(t, in);
		break;
	case OP_MEMBER:
		toggle_member(t, input_u8(in));
		break;
	case OP_ENABLE:
		pf_enable_vfs(&t->p, (uint16_t)(input_u8(in) % (SLOTS + 1)));
		break;
	case OP_LOOP:
		settle(t, 1);
		break;
	case OP_FLR:
		t->member[1] ? t->member[1]->pa->ops->reset(t->member[1]->pa, NULL) : 0;
		break;
	case OP_RESTART:
		restart(t);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t first = input_u8(&in);
	struct targets t = { .m = machine_new(types[first % 3], SLOTS, first & 4) };

	log_open("fuzz", LOG_CRIT);
	pf_driver_init(&t.p, t.m);
	for (uint8_t slot = 1; slot < SLOTS; slot++)
		toggle_member(&t, (uint8_t)(slot - 1));
	pf_enable_vfs(&t.p, SLOTS);
	restart(&t);
	for (int i = 0; in.left && i < FUZZ_STEPS; i++)
		step(&t, &in);
	settle(&t, 4);
	for (uint32_t slot = 1; slot <= SLOTS; slot++)
		if (t.member[slot])
			member_free(t.member[slot]);
	pf_driver_fini(&t.p);
	machine_free(t.m);
	return 0;
}
