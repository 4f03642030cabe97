/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio/queue.h: a virtqueue in memory that a driver writes to while it is used. The input is what
 * was negotiated, where the three areas are, and then operations of the driver (write to memory)
 * and of the device.
 */
#include <errno.h>

#include "fuzz.h"
#include "iommu/iommu.h"
#include "ring.h"
#include "virtio/queue.h"

#define RAM_AT    0x10000u
#define RAM_SIZE  0x10000u
#define HELD_MAX  32
#define RW        (PROT_READ | PROT_WRITE)
#define QUEUE_MAX 256

struct held {
	uint16_t head;
	size_t nsegs;
	struct iommu_seg *segs;
};

struct machine {
	struct iommu *iommu;
	struct iommu_space *space;
	struct ram ram;
	struct virtq_state state;
	struct virtq vq;
	struct virtq_chain chain;
	struct held held[HELD_MAX]; /* popped and not returned */
	size_t nheld;
};

enum op {
	OP_WRITE,
	OP_DESC,
	OP_AVAIL,
	OP_POP,
	OP_UNPOP,
	OP_PUSH,
	OP_ADD_USED,
	OP_PUBLISH,
	OP_FORGET,
	OP_NOTIFY,
	OP_INTERRUPT,
	OP_UNMAP,
	OP_MAP,
	OPS,
};

static void map(struct machine *m, uint64_t at, uint64_t size, int prot)
{
	iommu_map(m->space, RAM_AT + at, size, m->ram.fd, at, prot);
}

static void check_chain(struct machine *m)
{
	const struct virtq_chain *c = &m->chain;
	uint64_t out = 0, in = 0;
	uint8_t byte;

	/* None at all: its elements may be empty. */
	fuzz_assert(c->nout + c->nin <= VIRTQ_SEGS_MAX);
	for (unsigned int i = 0; i < c->nout + c->nin; i++) {
		const uint8_t *base = c->segs[i].base;

		fuzz_assert(c->segs[i].len);
		*(i < c->nout ? &out : &in) += c->segs[i].len;
		/* Every byte of it can be read. */
		byte = base[0];
		byte = (uint8_t)(byte + base[c->segs[i].len - 1]);
		(void)*(volatile uint8_t *)&byte;
	}
	fuzz_assert(out == c->out_len && in == c->in_len);
}

static void pop(struct machine *m, bool keep)
{
	const char *why = NULL;
	size_t n;
	int got;

	if (m->nheld == HELD_MAX)
		return;
	got = virtq_pop(&m->vq, m->space, &m->chain, &why);
	fuzz_assert(got == 1 || got == 0 || ((got == -EPROTO || got == -EFAULT) && why));
	if (got != 1)
		return;
	check_chain(m);
	n = (size_t)m->chain.nout + m->chain.nin;
	if (!keep) {
		iommu_unpin(m->chain.segs, n);
		virtq_unpop(&m->vq, &m->chain);
		return;
	}
	m->held[m->nheld] =
		(struct held){ m->chain.head, n, malloc((n + !n) * sizeof(struct iommu_seg)) };
	fuzz_assert(m->held[m->nheld].segs);
	memcpy(m->held[m->nheld].segs, m->chain.segs, n * sizeof(struct iommu_seg));
	m->nheld++;
}

static uint16_t release(struct machine *m, size_t i)
{
	uint16_t head = m->held[i].head;

	iommu_unpin(m->held[i].segs, m->held[i].nsegs);
	free(m->held[i].segs);
	m->held[i] = m->held[--m->nheld];
	return head;
}

/* One write of the driver that is likely to mean something: a descriptor, or an available entry. */
static void write_desc(struct machine *m, struct input *in)
{
	uint16_t i = (uint16_t)(input_u8(in) % m->state.size);
	struct desc d = {
		.addr = RAM_AT + input_u16(in),
		.len = input_u16(in),
		.flags = input_u16(in),
		.next = input_u8(in),
	};
	uint64_t at = m->state.desc - RAM_AT + sizeof(d) * (uint64_t)i;

	if (at + sizeof(d) <= RAM_SIZE)
		memcpy(m->ram.base + at, &d, sizeof(d));
}

static void write_avail(struct machine *m, struct input *in)
{
	uint64_t at = m->state.driver - RAM_AT;
	uint16_t head = input_u8(in), idx;

	if (m->vq.packed || at + 4 + 2 * (uint64_t)m->state.size > RAM_SIZE)
		return;
	memcpy(&idx, m->ram.base + at + 2, sizeof(idx));
	memcpy(m->ram.base + at + 4 + 2 * (idx % m->state.size), &head, sizeof(head));
	idx++;
	memcpy(m->ram.base + at + 2, &idx, sizeof(idx));
}

static void step(struct machine *m, struct input *in)
{
	uint16_t at;
	uint8_t len;

	switch (input_u8(in) % OPS) {
	case OP_WRITE:
		at = input_u16(in);
		len = input_u8(in);
		if (len > RAM_SIZE - at)
			len = (uint8_t)(RAM_SIZE - at);
		input_bytes(in, m->ram.base + at, len);
		break;
	case OP_DESC:
		write_desc(m, in);
		break;
	case OP_AVAIL:
		write_avail(m, in);
		break;
	case OP_POP:
		pop(m, true);
		break;
	case OP_UNPOP:
		pop(m, false);
		break;
	case OP_PUSH:
		if (m->nheld)
			virtq_push(&m->vq, m->space, release(m, input_u8(in) % m->nheld),
				   input_u16(in));
		break;
	case OP_ADD_USED:
		if (m->nheld)
			virtq_add_used(&m->vq, m->space, release(m, input_u8(in) % m->nheld),
				       input_u16(in));
		break;
	case OP_PUBLISH:
		virtq_publish_used(&m->vq, m->space);
		break;
	case OP_FORGET:
		if (m->nheld)
			virtq_forget(&m->vq, release(m, input_u8(in) % m->nheld));
		break;
	case OP_NOTIFY:
		virtq_enable_notify(&m->vq, m->space);
		break;
	case OP_INTERRUPT:
		virtq_interrupt_due(&m->vq, m->space);
		break;
	case OP_UNMAP:
		at = (uint16_t)(input_u8(in) % (RAM_SIZE / IOMMU_PAGE) * IOMMU_PAGE);
		iommu_unmap(m->space, RAM_AT + at, IOMMU_PAGE, NULL);
		break;
	case OP_MAP:
		at = (uint16_t)(input_u8(in) % (RAM_SIZE / IOMMU_PAGE) * IOMMU_PAGE);
		map(m, at, IOMMU_PAGE, input_u8(in) % 4);
		break;
	default:
		break;
	}
	fuzz_assert(m->vq.in_flight >= m->nheld);
}

static bool start(struct machine *m, struct input *in)
{
	uint8_t flags = input_u8(in);

	m->vq.state = &m->state;
	m->vq.size_max = QUEUE_MAX;
	virtq_reset(&m->vq);
	m->vq.packed = flags & 1;
	m->vq.event_idx = flags & 2;
	m->vq.indirect = flags & 4;
	m->vq.in_order = flags & 8;
	m->vq.notify_on_empty = flags & 16;
	m->state.size = (uint16_t)(input_u8(in) + 1);
	if (!m->vq.packed)
		m->state.size = (uint16_t)(1u << (m->state.size % 9));
	/* Areas anywhere, but mostly inside. */
	m->state.desc = RAM_AT + input_u16(in);
	m->state.driver = RAM_AT + input_u16(in);
	m->state.device = RAM_AT + input_u16(in);
	for (uint64_t page = 0; page < RAM_SIZE; page += IOMMU_PAGE)
		map(m, page, IOMMU_PAGE, RW);
	return virtq_enable(&m->vq) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct machine *m = calloc(1, sizeof(*m));

	fuzz_assert(m);
	fuzz_assert(iommu_new(&m->iommu) == 0);
	fuzz_assert(iommu_space_new(m->iommu, 1, IOMMU_NO_PASID, &m->space) == 0);
	ram_init(&m->ram, RAM_AT, RAM_SIZE);
	if (start(m, &in))
		for (int i = 0; in.left && i < FUZZ_STEPS; i++)
			step(m, &in);
	while (m->nheld)
		virtq_forget(&m->vq, release(m, 0));
	virtq_destroy(&m->vq);
	iommu_unmap_all(m->space);
	fuzz_assert(iommu_space_maps(m->space) == 0);
	iommu_free(m->iommu);
	ram_free(&m->ram);
	free(m);
	return 0;
}
