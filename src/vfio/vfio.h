/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VFIO device model: what kernel VFIO would show to a user of one PCI function.
 *
 * A vfio_device is made by a function driver (drivers/) over the pci_access of its function. A user
 * (the vfio-user server, a test) opens it, reads what regions and interrupts it has, maps memory
 * for DMA, binds eventfds to interrupts and accesses regions; closing stops DMA and interrupts and
 * resets the function, so that the next user finds it new. There is one user at a time.
 *
 * Regions and interrupt indexes are those of <linux/vfio.h> for PCI (VFIO_PCI_BAR0_REGION_INDEX,
 * VFIO_PCI_MSIX_IRQ_INDEX, ...). Everything here runs on the event loop and never blocks. What may
 * take time (a region access that becomes an admin command, an unmap or reset that waits for I/O)
 * returns -EINPROGRESS and calls back later; a callback is never called before its call returned,
 * and never after the device was destroyed.
 *
 * What the model keeps about the function on behalf of its user is the host state
 * (vfio/host_state.h); what the function is itself is device state, and lives on the other side of
 * pci_access.
 */
#ifndef RIDGE_VFIO_VFIO_H
#define RIDGE_VFIO_VFIO_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vfio_device;

/* A call that may take time. done() gets 0 or a negative errno. Owned by the caller until then. */
struct vfio_wait {
	void (*done)(struct vfio_wait *wait, int result);
};

/*
 * One access to a region. data holds count bytes and must stay valid until the access is done; for
 * a write it is not changed. done() gets 0 or a negative errno: -EINVAL for a region that does not
 * exist or a range that is not inside it; -ETIMEDOUT: what should have stopped (DMA, in a reset)
 * did not, and the user must be cut off.
 */
struct vfio_access {
	uint32_t region; /* VFIO_PCI_*_REGION_INDEX */
	bool write;
	uint32_t count; /* bytes, 1.. */
	uint64_t offset;
	uint8_t *data;
	void (*done)(struct vfio_access *access, int result);
};

/* The fields of struct vfio_irq_set, with its payload apart. */
struct vfio_irqs {
	uint32_t flags; /* one VFIO_IRQ_SET_DATA_*, one VFIO_IRQ_SET_ACTION_* */
	uint32_t index; /* VFIO_PCI_*_IRQ_INDEX */
	uint32_t start;
	uint32_t count;
	const uint8_t *bools; /* DATA_BOOL: count bytes */
	int *fds; /* DATA_EVENTFD: nfds descriptors (0: unbind); those kept are set to -1 */
	size_t nfds;
};

/* -EBUSY when it has a user, or when the I/O of the last one has not ended. */
int vfio_device_open(struct vfio_device *vdev);

/*
 * Ends the user's access: interrupts and mappings are gone at once for the user; returns 0 if the
 * function is reset and can be opened again, or -EINPROGRESS and done() when it is. An access,
 * unmap or reset that is under way is abandoned: its done() is not called.
 */
int vfio_device_close(struct vfio_device *vdev, struct vfio_wait *wait);

/* Always succeed for an open device; -EINVAL for an index that does not exist. */
void vfio_device_info(struct vfio_device *vdev, struct vfio_device_info *info);
int vfio_device_region_info(struct vfio_device *vdev, uint32_t index,
			    struct vfio_region_info *info);
int vfio_device_irq_info(struct vfio_device *vdev, uint32_t index, struct vfio_irq_info *info);

/* Writes to a region that the user may make by signalling an eventfd: KVM's ioeventfds. */
struct vfio_io_fd {
	uint64_t offset; /* in the region */
	uint32_t size;   /* bytes of the write; 0: any */
	bool pio;        /* an I/O region */
	bool match;      /* only the write of value */
	uint64_t value;
	uint32_t fd_index;
};

/*
 * Which writes to a region these are: *count of at most max, and *nfds (0 if there are none, at
 * most max_fds) eventfds for them, which stay the device's and the same until it is closed. Writes
 * that share one when there are too few are all taken to have been made. -EINVAL for an index that
 * does not exist, or of eventfd().
 */
int vfio_device_io_fds(struct vfio_device *vdev, uint32_t index, size_t max_fds,
		       struct vfio_io_fd *io, size_t max, size_t *count, int *fds, size_t *nfds);

/*
 * Makes the writes of eventfds that were signalled and not yet looked at. True if there were any
 * since the last call, so that the device may have something to do in the loop.
 */
bool vfio_device_poll_io_fds(struct vfio_device *vdev);

/*
 * Whether the device still has something to do in the loop, that such writes, or others, began until
 * now (mark), or until it was asked with mark the last time.
 */
bool vfio_device_busy(struct vfio_device *vdev, bool mark);

/* At most one access is under way at a time. 0, a negative errno, or -EINPROGRESS and done(). */
int vfio_device_access(struct vfio_device *vdev, struct vfio_access *access);

/* 0 or -EINVAL (no such index, range or combination of flags). */
int vfio_device_set_irqs(struct vfio_device *vdev, const struct vfio_irqs *irqs);

/* A function level reset. 0, a negative errno, or -EINPROGRESS and done(). */
int vfio_device_reset(struct vfio_device *vdev, struct vfio_wait *wait);

/*
 * Makes [iova, iova + size) readable and/or writable (prot: PROT_READ | PROT_WRITE) for the
 * function. fd (not consumed) is the memory at file offset `offset`; with fd -1 the range is
 * recorded, and a DMA access to it is a fault. Errors: -EINVAL (size 0, not page-aligned, wraps),
 * -EEXIST (overlaps), -ENOSPC (too many), or of mmap().
 */
int vfio_device_dma_map(struct vfio_device *vdev, uint64_t iova, uint64_t size, int fd,
			uint64_t offset, int prot);

/*
 * Removes a mapping that was made with exactly these bounds, -ENOENT otherwise. New accesses fault
 * at once; returns -EINPROGRESS while I/O into it is under way.
 */
int vfio_device_dma_unmap(struct vfio_device *vdev, uint64_t iova, uint64_t size,
			  struct vfio_wait *wait);
/* All mappings there are: 0 or -EINPROGRESS, as above. */
int vfio_device_dma_unmap_all(struct vfio_device *vdev, struct vfio_wait *wait);

/*
 * Whether the function has a VFIO_DEVICE_FEATURE_* with these methods (VFIO_DEVICE_FEATURE_GET
 * and/or _SET; 0: with any). 0, or -ENOTTY as the kernel has it.
 */
int vfio_device_feature_probe(struct vfio_device *vdev, uint16_t feature, uint32_t methods);

#endif
