/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_VIRTIO_DEVICE_INTERNAL_H
#define RIDGE_VIRTIO_DEVICE_INTERNAL_H

#include "virtio/device.h"

/* device.c: interrupts the driver for a change of configuration, or remembers to. */
void device_config_interrupt(struct virtio_device *dev);

/* mode.c: something came back that a halt may have waited for. */
void device_halt_check(struct virtio_device *dev);

#endif
