/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * domain/domain.h: whatever a Linux host can do to an exported PF: ECAM of the PF, its VFs and RIDs
 * that nobody has, the VMD's own configuration space, the windows with the BARs in them wherever it
 * put them, DMA maps and resets, while functions are brought up with a request in their queue, disks
 * hang, and a dynamic function comes and goes. The first byte is the type; then operations.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/uring.h"
#include "domain/domain.h"
#include "fuzz.h"
#include "pf/pf.h"
#include "ring.h"

#define VFS      3
#define RAM_SIZE 0x10000u
#define WINDOW   0x100000u
#define DYNAMIC  8 /* the RID of a function that is in no slot */

/* Where the guest has the window, and memory for requests. */
#define WINDOW_AT 0x80000000u
#define IO_AT     0x40000000u
#define IO_SIZE   0x4000u

#define IMAGE_SIZE 0x8000u

static const char *const types[] = { "rng", "net", NULL, NULL, "blk", "blk" };

enum op {
	OP_ECAM_READ,
	OP_ECAM_WRITE,
	OP_ENABLE, /* a VF Enable that is likely to be right */
	OP_PLACE,  /* a BAR put into a window, memory and bus mastering on */
	OP_CONFIG,
	OP_WINDOW_READ,
	OP_WINDOW_WRITE,
	OP_MAP,
	OP_UNMAP,
	OP_RESET,
	OP_ROOM, /* or a dynamic function comes or goes */
	OP_LOOP, /* or what disks hold is let go; or a function gets a request to do */
	OPS,
};

struct vf {
	struct virtio_pci vp;
	struct virtio_pci_state state;
	uint64_t type_state[DEVICE_TYPE_STATE_LEN / sizeof(uint64_t)];
};

struct targets {
	struct loop *loop;
	struct uring *uring;
	int image;
	struct iommu *iommu;
	struct domain *domain;
	struct vfio_device *vdev;
	struct counters counters;
	struct counters vf_counters;
	const struct device_type *type;
	struct pf *pf;
	struct pf_maker maker;
	struct vf *vfs[VFS + 1]; /* by slot; [0] is the dynamic function */
	struct pci_reset flr;    /* of that */
	bool pulling;
	struct ram ram;
	struct ram io;
	struct vfio_access access;
	bool pending;
	struct vfio_wait wait;
	bool waiting;
	uint32_t messages; /* until there is no room */
};

static int image_of(const struct targets *t)
{
	return t->image < 0 ? -1 : dup(t->image);
}

static struct virtio_pci *make(void *ctx, uint32_t slot)
{
	struct targets *t = ctx;
	struct vf *vf = calloc(1, sizeof(*vf));
	struct device_params params = {
		.name = "vf",
		.loop = t->loop,
		.uring = t->uring,
		.counters = &t->vf_counters,
		.backend = image_of(t),
	};
	struct virtio_device *dev;

	fuzz_assert(vf);
	params.state = &vf->state.virtio;
	params.type_state = vf->type_state;
	fuzz_assert(t->type->create(t->type, &params, &dev) == 0);
	fuzz_assert(virtio_pci_init(&vf->vp, dev, domain_upstream(t->domain), &vf->state.pci,
				    slot ? pf_vf_rid(t->pf, slot) : DYNAMIC, slot,
				    t->type->class_code) == 0);
	t->vfs[slot] = vf;
	return &vf->vp;
}

static void drop(void *ctx, uint32_t slot, struct virtio_pci *vp)
{
	struct targets *t = ctx;

	t->vfs[slot] = NULL;
	virtio_pci_destroy(vp);
	free(container_of(vp, struct vf, vp));
}

static void stopped(void *ctx)
{
	struct targets *t = ctx;

	domain_settled(t->domain);
}

static struct pci_function *find(void *ctx, uint16_t rid)
{
	struct targets *t = ctx;

	return pf_find_vf(t->pf, rid);
}

static bool busy(void *ctx)
{
	struct targets *t = ctx;

	return pf_stopping(t->pf);
}

static bool reserved(void *ctx, uint16_t rid)
{
	(void)ctx;
	(void)rid;
	return false;
}

static int message(void *ctx, uint64_t address, uint32_t data)
{
	struct targets *t = ctx;

	(void)address;
	(void)data;
	return t->messages++ % 8 == 7 ? -EAGAIN : 0;
}

static void settle(struct targets *t, int n)
{
	for (int i = 0; i < n; i++)
		fuzz_assert(loop_step(t->loop, 0) == 0);
}

/* Requests to disks end, or do not. */
static void hang(struct targets *t, bool on)
{
#ifdef RIDGE_FAULTS
	if (t->image < 0)
		return;
	for (uint32_t slot = 0; slot <= VFS; slot++)
		if (t->vfs[slot])
			blk_fault_hang(t->vfs[slot]->vp.dev, on);
	pf_fault_hang(t->pf, on);
#else
	(void)t;
	(void)on;
#endif
}

/* What waits for I/O to end is done when it does. */
static void finish(struct targets *t, const bool *waits)
{
	for (int i = 0; *waits; i++) {
		fuzz_assert(i < 10000);
		if (i == 8)
			hang(t, false);
		fuzz_assert(loop_step(t->loop, i > 8 ? 1 : 0) == 0);
	}
}

static void was_reset(struct pci_reset *flr)
{
	container_of(flr, struct targets, flr)->pulling = false;
}

static void dynamic(struct targets *t)
{
	struct pci_upstream *up = domain_upstream(t->domain);
	struct virtio_pci *vp;

	if (!t->vfs[0]) {
		fuzz_assert(up->ops->appeared(up, &make(t, 0)->fn) == 0);
		return;
	}
	vp = &t->vfs[0]->vp;
	up->ops->gone(up, &vp->fn);
	t->flr.done = was_reset;
	t->pulling = pci_function_reset(&vp->fn, &t->flr) == -EINPROGRESS;
	finish(t, &t->pulling);
	drop(t, 0, vp);
}

static void access_done(struct vfio_access *access, int result)
{
	fuzz_assert(result <= 0);
	container_of(access, struct targets, access)->pending = false;
}

static void access_region(struct targets *t, uint32_t region, uint64_t offset, uint32_t len,
			  uint64_t value, bool write)
{
	int err;

	finish(t, &t->pending);
	t->access = (struct vfio_access){
		.region = region,
		.write = write,
		.count = len,
		.offset = offset,
		.data = (uint8_t *)&value,
		.done = access_done,
	};
	err = vfio_device_access(t->vdev, &t->access);
	fuzz_assert(err <= 0);
	if (err != -EINPROGRESS)
		return;
	t->pending = true;
	finish(t, &t->pending);
}

/* Of the PF, of VFs, of a dynamic function's place, and beyond all. */
static uint64_t ecam(uint8_t which)
{
	static const uint16_t rids[] = { 0, 256, 257, 258, 259, 8, 511, 0xffff };

	return (uint64_t)rids[which % 8] << 12;
}

static void ecam_write(struct targets *t, uint8_t which, uint16_t at, uint32_t len, uint32_t value)
{
	access_region(t, 0, ecam(which) + (at & 0xfff), len, value, true);
}

/* The VMD's own window was put somewhere before, or not. */
static void place_window(struct targets *t)
{
	access_region(t, 7, 0x18, 4, WINDOW_AT, true);
	access_region(t, 7, 0x1c, 4, 0, true);
	access_region(t, 7, 0x04, 2, 6, true);
}

static void place(struct targets *t, uint8_t which, uint8_t how)
{
	uint64_t base = WINDOW_AT + (uint64_t)(how & 15) * 0x4000;

	place_window(t);
	ecam_write(t, which, (uint16_t)(0x18 + 8 * ((how >> 4) & 1)), 4, (uint32_t)base);
	if (how & 0x40)
		ecam_write(t, 0, 0x100 + 0x24 + 8, 4, (uint32_t)base);
	ecam_write(t, which, 4, 2, 6);
}

/* As a driver does it: queue 0, with a read of a disk in it, which others take as they may. */
static void request(struct targets *t, uint8_t which)
{
	bool is_vf = (which & 7) >= 1 && (which & 7) <= VFS;
	uint32_t base = is_vf ? 0x80000 : (which & 7) ? 0xe0000 : 0xc0000;
	struct buf bufs[3];
	struct ring ring;

	place_window(t);
	vfio_device_dma_map(t->vdev, IO_AT, IO_SIZE, t->io.fd, 0, PROT_READ | PROT_WRITE);
	t->io.used = 0;
	ring_init(&ring, &t->io, 8);
	bufs[0] = (struct buf){ ram_alloc(&t->io, 16, 16), 16, false };
	bufs[1] = (struct buf){ ram_alloc(&t->io, 512, 16), 512, true };
	bufs[2] = (struct buf){ ram_alloc(&t->io, 1, 1), 1, true };
	ring_add(&ring, bufs, 3);
	/* of VFs, the capability's VF BAR 2; of others BAR 2 */
	if (is_vf)
		ecam_write(t, 0, 0x12c, 4, WINDOW_AT + base);
	else
		ecam_write(t, which, 0x18, 4, WINDOW_AT + base);
	ecam_write(t, which, 4, 2, 6);
	if (is_vf)
		base += ((which & 7) - 1u) * 0x4000;
	const struct {
		uint16_t at;
		uint8_t len;
		uint64_t value;
	} writes[] = {
		{ 0x14, 1, 0 },         { 0x14, 1, 3 },         { 0x08, 4, 1 },
		{ 0x0c, 4, 1 },         { 0x14, 1, 0xb },       { 0x16, 2, 0 },
		{ 0x18, 2, 8 },         { 0x20, 8, ring.desc }, { 0x28, 8, ring.avail },
		{ 0x30, 8, ring.used }, { 0x1c, 2, 1 },         { 0x14, 1, 0xf },
		{ 0x3000, 2, 0 },
	};
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		access_region(t, 2, base + writes[i].at, writes[i].len, writes[i].value, true);
	settle(t, 2);
}

static void wait_done(struct vfio_wait *wait, int result)
{
	(void)result;
	container_of(wait, struct targets, wait)->waiting = false;
}

static void wait_for(struct targets *t, int err)
{
	fuzz_assert(err <= 0);
	t->waiting = err == -EINPROGRESS;
	finish(t, &t->waiting);
}

static void step(struct targets *t, struct input *in)
{
	static const uint8_t lengths[] = { 1, 2, 4, 8 };
	uint8_t op = input_u8(in), which = input_u8(in), how;
	uint32_t len = lengths[which >> 6];

	t->wait.done = wait_done;
	switch (op % OPS) {
	case OP_ECAM_READ:
		access_region(t, 0, ecam(which) + input_u16(in), len, 0, false);
		break;
	case OP_ECAM_WRITE:
		how = input_u8(in);
		access_region(t, 0, ecam(which) + ((uint64_t)how << 2), len, input_u32(in), true);
		break;
	case OP_ENABLE:
		how = input_u8(in);
		ecam_write(t, 0, 0x110, 2, how & 3);
		ecam_write(t, 0, 0x108, 2, how & 4 ? 9 : 0);
		break;
	case OP_PLACE:
		place(t, which, input_u8(in));
		break;
	case OP_CONFIG:
		access_region(t, 7, input_u8(in), len, input_u32(in), which & 1);
		break;
	case OP_WINDOW_READ:
		access_region(t, which & 1 ? 2 : 4, (uint64_t)input_u32(in) % WINDOW, len, 0,
			      false);
		break;
	case OP_WINDOW_WRITE:
		access_region(t, which & 1 ? 2 : 4, (uint64_t)input_u32(in) % WINDOW, len,
			      input_u64(in), true);
		break;
	case OP_MAP:
		vfio_device_dma_map(t->vdev, (which & 15) * 4096u, 4096, t->ram.fd,
				    (which & 15) * 4096u, which >> 6);
		break;
	case OP_UNMAP:
		wait_for(t, which & 0x20 ? vfio_device_dma_unmap(t->vdev, IO_AT, IO_SIZE, &t->wait)
					 : vfio_device_dma_unmap(t->vdev, (which & 15) * 4096u,
								 4096, &t->wait));
		break;
	case OP_RESET:
		wait_for(t, vfio_device_reset(t->vdev, &t->wait));
		break;
	case OP_ROOM:
		domain_room(t->domain);
		if (which & 0x80)
			dynamic(t);
		break;
	case OP_LOOP:
		settle(t, 1);
		if (which & 0x20)
			hang(t, which & 0x10);
		if (which & 0x80)
			request(t, which);
		break;
	default:
		break;
	}
}

static void targets_init(struct targets *t, uint8_t first)
{
	struct domain_params domain = {
		.last_rid = 256 + VFS - 1,
		.window = WINDOW,
		.counters = &t->counters,
		.find = find,
		.busy = busy,
		.reserved = reserved,
		.message = message,
		.ctx = t,
	};
	struct pf_params params = {
		.name = "pf",
		.total_vfs = VFS,
		.strict = first & 2,
		.backend = -1,
	};
	static const uint8_t data[IMAGE_SIZE];

	t->type = device_type_find(types[first & 5]);
	t->image = -1;
	fuzz_assert(loop_new(&t->loop) == 0);
	if (t->type->uses_files) {
		t->image = memfd_create("fuzz:image", MFD_CLOEXEC);
		/* Not a hole: a read of it ends when it is begun. */
		fuzz_assert(write(t->image, data, sizeof(data)) == sizeof(data));
		fuzz_assert(uring_new(t->loop, &t->uring) == 0);
		params.uring = t->uring;
		params.backend = image_of(t);
	}
	fuzz_assert(iommu_new(&t->iommu) == 0);
	domain.loop = params.loop = t->loop;
	domain.iommu = t->iommu;
	fuzz_assert(domain_new(&domain, &t->domain) == 0);
	params.type = t->type;
	params.upstream = domain_upstream(t->domain);
	fuzz_assert(pf_new(&params, &t->pf) == 0);
	t->maker = (struct pf_maker){ .make = make, .drop = drop, .stopped = stopped, .ctx = t };
	pf_set_maker(t->pf, &t->maker);
	t->vdev = domain_device(t->domain);
	fuzz_assert(vfio_device_open(t->vdev) == 0);
	ram_init(&t->ram, 0, RAM_SIZE);
	ram_init(&t->io, IO_AT, IO_SIZE);
}

static void targets_fini(struct targets *t)
{
	t->wait.done = wait_done;
	wait_for(t, vfio_device_close(t->vdev, &t->wait));
	if (t->vfs[0])
		dynamic(t);
	settle(t, 4);
	pf_set_maker(t->pf, NULL);
	pf_free(t->pf);
	domain_free(t->domain);
	iommu_free(t->iommu);
	ram_free(&t->ram);
	ram_free(&t->io);
	uring_free(t->uring);
	if (t->image >= 0)
		close(t->image);
	loop_free(t->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct targets t = { 0 };

	log_open("fuzz", LOG_CRIT);
	targets_init(&t, input_u8(&in));
	for (int i = 0; in.left && i < FUZZ_STEPS; i++)
		step(&t, &in);
	targets_fini(&t);
	return 0;
}
