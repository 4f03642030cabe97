/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_VIRTIO_QUEUE_INTERNAL_H
#define RIDGE_VIRTIO_QUEUE_INTERNAL_H

#include <linux/virtio_ring.h>

#include "virtio/queue.h"

/* Taking a chain apart (chain.c). */
struct virtq_walk {
	struct virtq *vq;
	struct iommu_space *space;
	struct virtq_chain *chain;
	const char **why;
};

/* -EPROTO with a reason, and -EFAULT with the address space's. */
int virtq_broken(const struct virtq_walk *w, const char *why);
int virtq_fault(const struct virtq_walk *w);
/* One element of the chain: pinned, and counted. */
int virtq_walk_add(struct virtq_walk *w, uint64_t address, uint32_t len, bool writable);
/* Copies an indirect table of at most VIRTQ_SIZE_MAX entries; returns how many, or an error. */
int virtq_walk_table(struct virtq_walk *w, uint64_t address, uint32_t len,
		     struct vring_desc *table);
/* The last error leaves nothing pinned. */
void virtq_walk_undo(struct virtq_walk *w);

/* Reads and writes in the three areas of a queue, by their cached windows where possible. */
int virtq_read16(struct iommu_space *space, struct iommu_window *window, uint64_t area,
		 size_t area_len, size_t offset, uint16_t *value);
int virtq_write16(struct iommu_space *space, struct iommu_window *window, uint64_t area,
		  size_t area_len, size_t offset, uint16_t value);
/* Without ordering; for what a later virtq_write16() makes visible. */
int virtq_read(struct iommu_space *space, struct iommu_window *window, uint64_t area,
	       size_t area_len, size_t offset, void *data, size_t len);
int virtq_write(struct iommu_space *space, struct iommu_window *window, uint64_t area,
		size_t area_len, size_t offset, const void *data, size_t len);

int split_pop(struct virtq *vq, struct iommu_space *space, struct virtq_chain *chain,
	      const char **why);
void split_unpop(struct virtq *vq, const struct virtq_chain *chain);
int split_add_used(struct virtq *vq, struct iommu_space *space, uint16_t head, uint32_t len);
int split_publish_used(struct virtq *vq, struct iommu_space *space);
bool split_enable_notify(struct virtq *vq, struct iommu_space *space);
int split_find_place(struct virtq *vq, struct iommu_space *space);
/* The driver made nothing available that was not taken. */
bool split_empty(struct virtq *vq, struct iommu_space *space);
bool split_interrupt_due(struct virtq *vq, struct iommu_space *space);

int packed_pop(struct virtq *vq, struct iommu_space *space, struct virtq_chain *chain,
	       const char **why);
void packed_unpop(struct virtq *vq, const struct virtq_chain *chain);
int packed_add_used(struct virtq *vq, struct iommu_space *space, uint16_t id, uint32_t len);
int packed_publish_used(struct virtq *vq, struct iommu_space *space);
bool packed_enable_notify(struct virtq *vq, struct iommu_space *space);
bool packed_interrupt_due(struct virtq *vq, struct iommu_space *space);

#endif
