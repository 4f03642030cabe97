/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio-pci: the function as it is. A VF has no INTx, so its user has none. */
#include <errno.h>
#include <stdlib.h>

#include "drivers/drivers.h"

static size_t vfio_pci_doorbells(struct vfio_device *vdev, struct vfio_doorbell *bells, size_t max)
{
	return virtio_doorbells(vdev->pa, bells, max);
}

static const struct vfio_device_ops vfio_pci_ops = { .doorbells = vfio_pci_doorbells };

static void vfio_pci_probe(const struct function_host *host, struct probe_wait *wait)
{
	struct vfio_device *vdev = calloc(1, sizeof(*vdev));
	struct vfio_identity id;

	if (!vdev) {
		wait->done(wait, -ENOMEM, NULL, "out of memory");
		return;
	}
	function_host_identity(host, &id);
	vfio_device_init(vdev, &vfio_pci_ops, host->loop, host->pa, host->counters, host->state,
			 &id);
	wait->done(wait, 0, vdev, NULL);
}

static void vfio_pci_remove(struct vfio_device *vdev)
{
	vfio_device_destroy(vdev);
	free(vdev);
}

const struct function_driver vfio_pci_driver = {
	.name = "vfio-pci",
	.serves_vfio = true,
	.probe = vfio_pci_probe,
	.remove = vfio_pci_remove,
};
