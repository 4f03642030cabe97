/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The legacy registers of a virtio device (virtio 1.3, 4.1.4.10), as they are in the I/O BAR of a
 * transitional function: which field is where, for whoever splits accesses into fields, and the
 * device's end of them, for whoever executes accesses to one field.
 *
 *   0  device features   4  driver features   8  queue address (page number)
 *   c  queue size        e  queue select     10  queue notify
 *  12  device status    13  ISR status
 *  14  config vector    16  queue vector: only while MSI-X is enabled
 *  14 or 18: device-specific configuration
 */
#ifndef RIDGE_VIRTIO_LEGACY_H
#define RIDGE_VIRTIO_LEGACY_H

#include <linux/virtio_pci.h>
#include <stdbool.h>
#include <stdint.h>

struct virtio_device;
struct virtio_reset;

/* Length of the common configuration: where the device-specific one begins. */
#define VIRTIO_LEGACY_COMMON_LEN(msix) ((msix) ? 24u : 20u)

struct virtio_field {
	uint16_t offset;
	uint16_t len;
};

/* The field of the common configuration that a byte is in; false if it is in none. */
bool virtio_legacy_common_field(uint32_t offset, bool msix, struct virtio_field *field);

/*
 * The field of a device type's configuration that a byte is in; false if the type (virtio device
 * id) has none there.
 */
bool virtio_config_field(uint16_t id, uint32_t offset, struct virtio_field *field);

/*
 * One access, to one field or a part of it, little-endian. -EINVAL if it touches no field or more
 * than one, or is outside. msix: whether the two vector fields exist.
 */
int virtio_legacy_common_read(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len,
			      bool msix);
/*
 * -EINPROGRESS and reset->done() when it must wait for I/O: a write of 0 to the status or to a
 * queue's address.
 */
int virtio_legacy_common_write(struct virtio_device *dev, uint32_t offset, const void *data,
			       uint32_t len, bool msix, struct virtio_reset *reset);
int virtio_legacy_config_read(struct virtio_device *dev, uint32_t offset, void *data, uint32_t len);
int virtio_legacy_config_write(struct virtio_device *dev, uint32_t offset, const void *data,
			       uint32_t len);

#endif
