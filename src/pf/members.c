/* SPDX-License-Identifier: BSD-3-Clause */
/* Which function is in which slot, and what becomes of it when its slot is enabled or disabled. */
#include <errno.h>

#include "pf/internal.h"

void pf_members_init(struct pf *pf)
{
	list_init(&pf->drops);
	for (uint32_t slot = 1; slot <= pf->total_vfs; slot++)
		pf->members[slot].pf = pf;
}

bool pf_stopping(const struct pf *pf)
{
	return pf->stopping;
}

static bool to_be_dropped(const struct pf_member *member)
{
	return member->drop.next && !list_empty(&member->drop);
}

static void drop(struct pf_member *member)
{
	struct pf *pf = member->pf;
	struct virtio_pci *vf = member->vf;

	list_del(&member->drop);
	member->vf = NULL;
	member->made = false;
	member->reset_late = false;
	pf->maker->drop(pf->maker->ctx, (uint32_t)(member - pf->members), vf);
}

static void drop_work(struct loop_work *work)
{
	struct pf *pf = container_of(work, struct pf, drop_work);

	while (!list_empty(&pf->drops))
		drop(list_first(&pf->drops, struct pf_member, drop));
}

void pf_set_maker(struct pf *pf, const struct pf_maker *maker)
{
	drop_work(&pf->drop_work);
	pf->maker = maker;
}

/* Not at once: this may be where its last chain ended. */
static void stopped(struct pf_member *member)
{
	struct pf *pf = member->pf;

	if (!member->made)
		return;
	list_add_tail(&pf->drops, &member->drop);
	loop_work_queue(pf->loop, &pf->drop_work, drop_work);
}

static void stopping_ends(struct pf_member *member)
{
	struct pf *pf = member->pf;

	member->stopping = false;
	if (!--pf->stopping && pf->maker)
		pf->maker->stopped(pf->maker->ctx);
}

static void reset_done(struct pci_reset *reset)
{
	struct pf_member *member = container_of(reset, struct pf_member, reset);

	stopped(member);
	stopping_ends(member);
}

/* A VF that is gone does nothing any more, and comes back reset. */
static void disable(struct pf *pf, uint32_t slot)
{
	struct pf_member *member = &pf->members[slot];
	struct pci_function *fn = &member->vf->fn;

	pf_admin_member_gone(pf, slot);
	member->reset.done = reset_done;
	if (!member->stopping && pci_function_reset(fn, &member->reset) == -EINPROGRESS) {
		member->stopping = true;
		pf->stopping++;
	}
	pf->upstream->ops->gone(pf->upstream, fn);
	if (!member->stopping)
		stopped(member);
}

static int appear(struct pf *pf, struct pf_member *member)
{
	return pf->upstream->ops->appeared(pf->upstream, &member->vf->fn);
}

void pf_members_enable(struct pf *pf, uint16_t was, uint16_t now)
{
	for (uint32_t slot = now + 1u; slot <= was; slot++)
		if (pf->members[slot].vf && !to_be_dropped(&pf->members[slot]))
			disable(pf, slot);
	for (uint32_t slot = was + 1u; slot <= now; slot++) {
		struct pf_member *member = &pf->members[slot];

		if (to_be_dropped(member))
			drop(member);
		/* One that the maker made comes back when it is looked at, and has stopped. */
		if (member->vf && !member->made)
			appear(pf, member);
	}
}

int pf_add_member(struct pf *pf, uint32_t slot, struct virtio_pci *vf)
{
	if (!slot || slot > pf->total_vfs)
		return -EINVAL;
	if (pf->members[slot].vf)
		return -EBUSY;
	pf->members[slot].vf = vf;
	pf->members[slot].busy = false;
	pf->members[slot].reset_late = false;
	return slot <= pf->numvfs_enabled ? appear(pf, &pf->members[slot]) : 0;
}

void pf_remove_member(struct pf *pf, uint32_t slot)
{
	struct pf_member *member = &pf->members[slot];

	if (slot <= pf->numvfs_enabled)
		pf->upstream->ops->gone(pf->upstream, &member->vf->fn);
	pf_admin_member_gone(pf, slot);
	if (member->stopping) {
		pci_reset_cancel(&member->reset);
		stopping_ends(member);
	}
	member->vf = NULL;
}

struct virtio_pci *pf_member(struct pf *pf, uint64_t slot)
{
	struct pf_member *member;

	if (!slot || slot > pf->numvfs_enabled)
		return NULL;
	member = &pf->members[slot];
	if (!member->vf && pf->maker) {
		member->vf = pf->maker->make(pf->maker->ctx, (uint32_t)slot);
		member->made = member->vf != NULL;
		if (member->vf)
			appear(pf, member);
	}
	/* One that was disabled and enabled again before it had stopped. */
	return member->vf && member->vf->fn.resetting && member->stopping ? NULL : member->vf;
}

struct pci_function *pf_find_vf(struct pf *pf, uint16_t rid)
{
	uint32_t n = (uint32_t)(rid - pf->vp.fn.rid) - PF_FIRST_VF_OFFSET;
	struct virtio_pci *vf = pf_member(pf, n / PF_VF_STRIDE + 1ull);

	return vf ? &vf->fn : NULL;
}
