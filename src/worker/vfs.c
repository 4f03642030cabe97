/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VFs that a Linux host enables in bulk, with what they have by default. One costs nothing
 * before the host looks at its configuration space, which is when it is made.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/names.h"
#include "worker/export.h"

struct vfs {
	struct pf_maker maker;
	struct worker *w;
	struct counters counters; /* of all of them */
	struct list wanting;      /* struct bulk_vf: those that wait for an image */
};

struct bulk_vf {
	struct virtio_pci vf;
	struct vfs *vfs;
	uint32_t slot;
	struct list want; /* in vfs->wanting; .next NULL before first use */
	struct virtio_pci_state state;
	uint64_t type_state[DEVICE_TYPE_STATE_LEN / sizeof(uint64_t)];
};

/* The same for a RID of this PF every time (IEEE 802, 8.2: local, no group). */
static void make_mac(const struct worker *w, uint16_t rid, uint8_t mac[6])
{
	/* And then the bits of the end to the front. */
	uint64_t hash = names_hash(w->vf_mac_key, &rid, sizeof(rid));

	hash ^= hash >> 29;
	for (size_t i = 0; i < 6; i++)
		mac[i] = (uint8_t)(hash >> (8 * i));
	mac[0] = (uint8_t)((mac[0] & ~1u) | 2u);
}

static void want(void *ctx)
{
	struct bulk_vf *b = ctx;

	list_add_tail(&b->vfs->wanting, &b->want);
	control_vf_wants(b->vfs->w->control, b->slot);
}

static void unwant(struct bulk_vf *b)
{
	if (b->want.next)
		list_del(&b->want);
}

uint32_t vfs_wanting(const struct vfs *vfs, uint32_t after)
{
	struct bulk_vf *b;
	bool next = !after;

	list_for_each (b, &vfs->wanting, want) {
		if (next)
			return b->slot;
		next = b->slot == after;
	}
	return 0;
}

bool vfs_attach(struct vfs *vfs, uint32_t slot, int fd)
{
	struct bulk_vf *b;

	list_for_each (b, &vfs->wanting, want) {
		if (b->slot != slot)
			continue;
		unwant(b);
		blk_attach(b->vf.dev, fd);
		return true;
	}
	return false;
}

static struct virtio_device *make_device(struct vfs *vfs, struct bulk_vf *b, uint32_t slot)
{
	struct worker *w = vfs->w;
	char name[IPC_NAME_MAX + 16];
	struct device_params params = {
		.name = name,
		.loop = w->loop,
		.uring = w->uring,
		.counters = &vfs->counters,
		.state = &b->state.virtio,
		.type_state = b->type_state,
		.backend = -1,
		.late_size = w->vf_size,
		.want = want,
		.want_ctx = b,
		/* All VFs are one host's: it may move a state from one to another, but not outside.
		 */
		.restore_mac = w->net_switch && !net_switch_has_uplink(w->net_switch),
	};
	struct virtio_device *dev;

	b->vfs = vfs;
	b->slot = slot;
	snprintf(name, sizeof(name), "%s:vf%u", w->name, slot);
	make_mac(w, pf_vf_rid(w->pf, slot), params.mac);
	if (w->net_switch && net_switch_port(w->net_switch, &params.net_backend))
		return NULL;
	if (!w->type->create(w->type, &params, &dev))
		return dev;
	if (params.net_backend)
		params.net_backend->ops->destroy(params.net_backend);
	return NULL;
}

static struct virtio_pci *make(void *ctx, uint32_t slot)
{
	struct vfs *vfs = ctx;
	struct worker *w = vfs->w;
	struct bulk_vf *b = calloc(1, sizeof(*b));
	struct virtio_device *dev = b ? make_device(vfs, b, slot) : NULL;

	if (dev && !virtio_pci_init(&b->vf, dev, export_upstream(w->export), &b->state.pci,
				    pf_vf_rid(w->pf, slot), true, w->type->class_code))
		return &b->vf;
	log_err("%s: VF %u can't be made", w->name, slot);
	if (dev)
		virtio_device_destroy(dev);
	free(b);
	return NULL;
}

static void drop(void *ctx, uint32_t slot, struct virtio_pci *vf)
{
	(void)ctx;
	(void)slot;
	unwant(container_of(vf, struct bulk_vf, vf));
	virtio_pci_destroy(vf);
	free(container_of(vf, struct bulk_vf, vf));
}

static void stopped(void *ctx)
{
	struct vfs *vfs = ctx;

	export_vfs_stopped(vfs->w->export);
}

const struct counters *vfs_counters(const struct vfs *vfs)
{
	return &vfs->counters;
}

int vfs_new(struct worker *w, struct vfs **out)
{
	struct vfs *vfs = calloc(1, sizeof(*vfs));

	if (!vfs)
		return -ENOMEM;
	vfs->w = w;
	list_init(&vfs->wanting);
	vfs->maker = (struct pf_maker){
		.make = make,
		.drop = drop,
		.stopped = stopped,
		.ctx = vfs,
	};
	pf_set_maker(w->pf, &vfs->maker);
	*out = vfs;
	return 0;
}

void vfs_free(struct vfs *vfs)
{
	if (!vfs)
		return;
	pf_set_maker(vfs->w->pf, NULL);
	free(vfs);
}
