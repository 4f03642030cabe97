/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors to pinned memory, for both kinds of rings. */
#include <endian.h>
#include <errno.h>

#include "virtio/queue_internal.h"

int virtq_broken(const struct virtq_walk *w, const char *why)
{
	*w->why = why;
	return -EPROTO;
}

int virtq_fault(const struct virtq_walk *w)
{
	*w->why = iommu_space_fault(w->space);
	return -EFAULT;
}

int virtq_walk_add(struct virtq_walk *w, uint64_t address, uint32_t len, bool writable)
{
	struct virtq_chain *c = w->chain;
	uint16_t have = (uint16_t)(c->nout + c->nin);
	int n;

	if (!writable && c->nin)
		return virtq_broken(w,
				    "a device-readable descriptor follows a device-writable one");
	n = iommu_pin(w->space, address, len, writable ? PROT_WRITE : PROT_READ, &c->segs[have],
		      VIRTQ_SEGS_MAX - have);
	if (n == -E2BIG)
		return virtq_broken(w, "a descriptor chain is in too many pieces");
	if (n < 0)
		return virtq_fault(w);
	if (writable) {
		c->nin = (uint16_t)(c->nin + n);
		c->in_len += len;
	} else {
		c->nout = (uint16_t)(c->nout + n);
		c->out_len += len;
	}
	return 0;
}

int virtq_walk_table(struct virtq_walk *w, uint64_t address, uint32_t len, struct vring_desc *table)
{
	if (!w->vq->indirect)
		return virtq_broken(w, "an indirect descriptor that was not negotiated");
	if (!len || len % sizeof(*table) || len > VIRTQ_SIZE_MAX * sizeof(*table))
		return virtq_broken(w, "an indirect table of bad length");
	if (iommu_read(w->space, address, table, len))
		return virtq_fault(w);
	return (int)(len / sizeof(*table));
}

void virtq_walk_undo(struct virtq_walk *w)
{
	iommu_unpin(w->chain->segs, (size_t)(w->chain->nout + w->chain->nin));
	w->chain->nout = 0;
	w->chain->nin = 0;
}
