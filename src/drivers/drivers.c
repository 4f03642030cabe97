/* SPDX-License-Identifier: BSD-3-Clause */
#include "drivers/drivers.h"

#include <linux/pci_regs.h>
#include <string.h>

#include "base/array.h"

static void none_probe(const struct function_host *host, struct probe_wait *wait)
{
	(void)host;
	wait->done(wait, 0, NULL, NULL);
}

static void none_remove(struct vfio_device *vdev)
{
	(void)vdev;
}

static const struct function_driver none_driver = {
	.name = "none",
	.probe = none_probe,
	.remove = none_remove,
};

const struct function_driver *function_driver_find(const char *name)
{
	static const struct function_driver *const drivers[] = {
		&vfio_pci_driver,
		&virtio_vfio_pci_driver,
		&none_driver,
	};

	for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
		if (!strcmp(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}

void function_host_identity(const struct function_host *host, struct vfio_identity *id)
{
	struct pci_access *pa = host->pa;

	memset(id, 0, sizeof(*id));
	id->vendor = host->vfs->vendor;
	id->device = host->vfs->device;
	id->subsystem = (uint16_t)pa->ops->config_read(pa, PCI_SUBSYSTEM_ID, 2);
	id->revision = (uint8_t)pa->ops->config_read(pa, PCI_REVISION_ID, 1);
	memcpy(id->bar_size, host->vfs->bar_size, sizeof(id->bar_size));
}
