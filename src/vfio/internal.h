/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_VFIO_INTERNAL_H
#define RIDGE_VFIO_INTERNAL_H

#include "vfio/device.h"

/* config.c */
void vfio_config_init(struct vfio_device *vdev);
/* What a user finds at first, and after a reset. */
void vfio_config_reset(struct vfio_device *vdev);
/* -EINPROGRESS if the write reset the function, or DMA that it forbids has to end. */
int vfio_config_access(struct vfio_device *vdev, struct vfio_access *access);
bool vfio_config_intx_disabled(const struct vfio_device *vdev);

/* irqs.c */
void vfio_irqs_init(struct vfio_device *vdev);
void vfio_irqs_release(struct vfio_device *vdev);
/* Turns MSI-X of the function on or off, as is needed now. */
void vfio_irqs_update(struct vfio_device *vdev);
/* After a reset the function knows nothing of its vectors. */
void vfio_irqs_rebind(struct vfio_device *vdev);
uint32_t vfio_irqs_count(const struct vfio_device *vdev, uint32_t index);
/* Masks or unmasks one interrupt, which exists. */
void vfio_irqs_mask(struct vfio_device *vdev, uint32_t index, uint32_t which, bool mask);
/* The line or its mask may have changed: tell the user if it is up. */
void vfio_intx_update(struct vfio_device *vdev);

/* irq_watch.c: eventfds whose signals mask (or unmask) an interrupt. */

/* Takes fd over (-1: no watch, which cannot fail). 0 or a negative errno. */
int vfio_irq_watch(struct vfio_device *vdev, uint32_t index, uint32_t which, bool mask, int fd);
/* None of this index any more. */
void vfio_irq_watch_none(struct vfio_device *vdev, uint32_t index);

/* io_fds.c */

/* Of signals that came before a reset nothing is left. */
void vfio_io_fds_reset(struct vfio_device *vdev);
void vfio_io_fds_release(struct vfio_device *vdev);

/* device.c: a reset because the user wrote the FLR bit; ends the access under way. */
int vfio_device_flr(struct vfio_device *vdev);

#endif
