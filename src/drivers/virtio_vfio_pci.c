/* SPDX-License-Identifier: BSD-3-Clause */
#include "drivers/virtio_vfio_pci.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "base/log.h"
#include "virtio/admin.h"

/* Modern ids are 0x1040 and the virtio device id (virtio 1.3, 4.1.2). */
#define MODERN_ID_BASE 0x1040

/* 0 if the device type has no transitional form (virtio 1.3, 4.1.2.1). */
static uint16_t transitional_id(uint16_t virtio_id)
{
	switch (virtio_id) {
	case 1: /* network device */
	case 2: /* block device */
		return (uint16_t)(0x1000 + virtio_id - 1);
	case 4: /* entropy source */
		return 0x1005;
	default:
		return 0;
	}
}

static struct virtio_vfio_pci *vvp_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct virtio_vfio_pci, vdev);
}

static int vvp_bar_access(struct vfio_device *vdev, struct vfio_access *access)
{
	struct virtio_vfio_pci *vvp = vvp_of(vdev);

	if (access->region == VFIO_PCI_BAR0_REGION_INDEX)
		return vvp_legacy_access(vvp, access);
	if (vvp->intx_on && vvp_intx_modern_access(vvp, access))
		return 0;
	return vfio_bar_access(vdev, access);
}

static void vvp_abandon(struct vfio_device *vdev)
{
	vvp_legacy_abandon(vvp_of(vdev));
}

static void vvp_on_intx(struct vfio_device *vdev, bool on)
{
	vvp_intx_changed(vvp_of(vdev), on);
}

static void vvp_was_reset(struct vfio_device *vdev)
{
	vvp_intx_clear(vvp_of(vdev));
}

/*
 * Each queue has two: its own address in the modern registers, and the one legacy register where
 * the value says which queue it is. Without an address in the member, a legacy notification is a
 * command and no doorbell.
 */
static size_t vvp_doorbells(struct vfio_device *vdev, struct vfio_doorbell *bells, size_t max)
{
	struct virtio_vfio_pci *vvp = vvp_of(vdev);
	size_t n = virtio_doorbells(vdev->pa, bells, max / 2), modern = n;

	for (size_t i = 0; vvp->notify.len && i < modern; i++) {
		bells[n] = bells[i];
		bells[n].region = VFIO_PCI_BAR0_REGION_INDEX;
		bells[n].offset = VIRTIO_PCI_QUEUE_NOTIFY;
		bells[n].size = 2;
		bells[n].match = true;
		n++;
	}
	return n;
}

static const struct vfio_device_ops vvp_ops = {
	.doorbells = vvp_doorbells,
	.bar_access = vvp_bar_access,
	.abandon = vvp_abandon,
	.intx_changed = vvp_on_intx,
	.was_reset = vvp_was_reset,
};

static void vvp_free(struct virtio_vfio_pci *vvp)
{
	vvp_intx_destroy(vvp);
	free(vvp);
}

static void probe_failed(struct virtio_vfio_pci *vvp, int err, const char *why)
{
	struct probe_wait *wait = vvp->probe;

	vvp_free(vvp);
	wait->done(wait, err, NULL, why);
}

/*
 * The first address in the member that can be used; those in the PF are not ours to write to. All
 * entries behind one with flags 0, and invalid ones, are to be ignored (virtio 1.4, 2.12.1.1.6).
 */
static void choose_notify(struct virtio_vfio_pci *vvp, size_t result_len)
{
	size_t n = result_len / sizeof(struct virtio_admin_notify_info);

	for (size_t i = 0; i < n && i < VIRTIO_ADMIN_NOTIFY_ENTRIES; i++) {
		const struct virtio_admin_notify_info *e = &vvp->notify_info.entry[i];
		uint64_t offset = le64toh(e->offset), size;

		if (e->flags == VIRTIO_ADMIN_NOTIFY_END)
			break;
		if (e->flags != VIRTIO_ADMIN_NOTIFY_MEMBER || e->bar < 1 || e->bar > 5)
			continue;
		size = vvp->host.vfs->bar_size[e->bar];
		if (offset % 2 || size < 2 || offset > size - 2)
			continue;
		vvp->notify.bar = e->bar;
		vvp->notify.offset = (uint32_t)offset;
		vvp->notify.len = 2;
		return;
	}
	log_warn("%s: the PF names no notification address in the function; notifications go "
		 "through its admin queue",
		 vvp->host.name);
}

static void on_notify_info(struct pf_cmd *cmd)
{
	struct virtio_vfio_pci *vvp = container_of(cmd, struct virtio_vfio_pci, cmd);
	struct probe_wait *wait = vvp->probe;

	vvp->cmd_busy = false;
	wait->cancel = NULL;
	if (cmd->error) {
		probe_failed(vvp, cmd->error,
			     cmd->error == -ETIMEDOUT ? "the PF's admin queue does not answer"
						      : "the PF refused LEGACY_NOTIFY_INFO");
		return;
	}
	choose_notify(vvp, cmd->result_len);
	wait->done(wait, 0, &vvp->vdev, NULL);
}

static void vvp_probe_cancel(struct probe_wait *wait)
{
	struct virtio_vfio_pci *vvp = wait->driver;

	vvp_legacy_abandon(vvp);
	vfio_device_destroy(&vvp->vdev);
	vvp_free(vvp);
}

static void vvp_make_identity(struct virtio_vfio_pci *vvp, struct vfio_identity *id)
{
	function_host_identity(&vvp->host, id);
	id->device = transitional_id(vvp->id);
	id->revision = 0;
	id->subsystem = vvp->id;
	id->intx = true;
	id->hide_virtio_caps = vvp->host.legacy_only;
	id->io_bar0 = vvp_legacy_bar_size(vvp->layout.config.len);
}

static void vvp_probe(const struct function_host *host, struct probe_wait *wait)
{
	struct virtio_vfio_pci *vvp;
	struct vfio_identity id;
	int err;

	if (~host->channel->opcodes & VIRTIO_ADMIN_LEGACY_OPCODES) {
		wait->done(wait, -EOPNOTSUPP, NULL,
			   "the PF has no legacy register commands; vfio-pci needs none");
		return;
	}
	vvp = calloc(1, sizeof(*vvp));
	if (!vvp) {
		wait->done(wait, -ENOMEM, NULL, "out of memory");
		return;
	}
	vvp->host = *host;
	vvp->probe = wait;
	vvp->id = (uint16_t)(host->vfs->device - MODERN_ID_BASE);
	err = vvp_intx_init(vvp);
	if (err) {
		probe_failed(vvp, err, "no eventfd");
		return;
	}
	if (!transitional_id(vvp->id) || host->vfs->bar_size[0]) {
		probe_failed(vvp, -EOPNOTSUPP,
			     "this function can't be transitional; vfio-pci can serve it");
		return;
	}
	err = virtio_layout_read(host->pa, &vvp->layout);
	if (err) {
		probe_failed(vvp, err, "the function has no virtio capabilities");
		return;
	}
	vvp_make_identity(vvp, &id);
	vfio_device_init(&vvp->vdev, &vvp_ops, host->loop, host->pa, host->counters, host->state,
			 &id);
	vvp->cmd = (struct pf_cmd){
		.queue = PF_QUEUE_REGISTERS,
		.opcode = VIRTIO_ADMIN_LEGACY_NOTIFY_INFO,
		.group = VIRTIO_ADMIN_GROUP_SRIOV,
		.member_id = host->member_id,
		.result = &vvp->notify_info,
		.result_room = sizeof(vvp->notify_info),
		.done = on_notify_info,
	};
	vvp->cmd_busy = true;
	wait->cancel = vvp_probe_cancel;
	wait->driver = vvp;
	counter_inc(host->counters, admin_own);
	pf_channel_submit(host->channel, &vvp->cmd, VVP_DEADLINE_MS);
}

static void vvp_remove(struct vfio_device *vdev)
{
	struct virtio_vfio_pci *vvp = vvp_of(vdev);

	vvp_legacy_abandon(vvp);
	vfio_device_destroy(vdev);
	vvp_free(vvp);
}

const struct function_driver virtio_vfio_pci_driver = {
	.name = "virtio-vfio-pci",
	.serves_vfio = true,
	.probe = vvp_probe,
	.remove = vvp_remove,
};
