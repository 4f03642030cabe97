/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-vfio-pci: accesses to the virtual I/O BAR. */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "drivers/virtio_vfio_pci.h"
#include "virtio/admin.h"

/* The field that an access is at. */
struct field {
	bool defined;
	bool common;   /* of the common configuration, else of the device's own */
	uint32_t base; /* where its structure begins in the BAR */
	struct virtio_field at;
};

uint32_t vvp_legacy_bar_size(uint32_t config_len)
{
	uint32_t size = 4; /* the least that an I/O BAR can be */

	while (size < VIRTIO_LEGACY_COMMON_LEN(true) + config_len)
		size *= 2;
	return size;
}

static struct field find_field(struct virtio_vfio_pci *vvp, uint64_t offset)
{
	bool msix = vfio_msix_enabled(&vvp->vdev);
	struct field f = { .common = offset < VIRTIO_LEGACY_COMMON_LEN(msix) };

	if (f.common) {
		f.defined = virtio_legacy_common_field((uint32_t)offset, msix, &f.at);
		return f;
	}
	f.base = VIRTIO_LEGACY_COMMON_LEN(msix);
	f.defined = offset - f.base < vvp->layout.config.len &&
		    virtio_config_field(vvp->id, (uint32_t)(offset - f.base), &f.at);
	return f;
}

static void run(struct virtio_vfio_pci *vvp);

static void send(struct virtio_vfio_pci *vvp, uint16_t opcode, size_t data_len, void *result,
		 size_t result_room, void (*done)(struct pf_cmd *))
{
	uint64_t now = loop_now_ns();

	vvp->cmd = (struct pf_cmd){
		.queue = PF_QUEUE_REGISTERS,
		.opcode = opcode,
		.group = VIRTIO_ADMIN_GROUP_SRIOV,
		.member_id = vvp->host.member_id,
		.data = vvp->cmd_data,
		.data_len = data_len,
		.result = result,
		.result_room = result_room,
		.done = done,
	};
	vvp->cmd_busy = true;
	pf_channel_submit(vvp->host.channel, &vvp->cmd,
			  vvp->deadline_ns > now ? (uint32_t)((vvp->deadline_ns - now) / 1000000)
						 : 0);
}

static void end(struct virtio_vfio_pci *vvp, int result)
{
	struct vfio_access *a = vvp->vdev.access;

	/* What was not read is all ones, as from a bus where nobody answers. */
	if (!a->write && vvp->done < a->count)
		memset(a->data + vvp->done, 0xff, a->count - vvp->done);
	vfio_access_done(&vvp->vdev, result);
}

static void count_failure(struct virtio_vfio_pci *vvp, int error)
{
	if (error == -ETIMEDOUT)
		counter_inc(vvp->host.counters, admin_timeouts);
	else if (error)
		counter_inc(vvp->host.counters, admin_errors);
}

static bool resets(const struct virtio_vfio_pci *vvp, const struct vfio_access *a)
{
	return a->write && vvp->cmd.opcode == VIRTIO_ADMIN_LEGACY_COMMON_CFG_WRITE &&
	       vvp->cmd_data[0] == VIRTIO_PCI_STATUS &&
	       !vvp->cmd_data[sizeof(struct virtio_admin_legacy_write)];
}

static void step_done(struct pf_cmd *cmd)
{
	struct virtio_vfio_pci *vvp = container_of(cmd, struct virtio_vfio_pci, cmd);
	struct vfio_access *a = vvp->vdev.access;

	vvp->cmd_busy = false;
	count_failure(vvp, cmd->error);
	if (cmd->error == -ETIMEDOUT) {
		/* A reset that did not happen leaves DMA going: the user must not go on. */
		end(vvp, resets(vvp, a) ? -ETIMEDOUT : 0);
		return;
	}
	if (vvp->intx_on && resets(vvp, a))
		vvp_intx_clear(vvp);
	if (!a->write && (cmd->error || cmd->result_len < vvp->step))
		memset(a->data + vvp->done, 0xff, vvp->step);
	vvp->done += vvp->step;
	vvp->prepared = false;
	if (vvp->done == a->count)
		end(vvp, 0);
	else
		run(vvp);
}

static void send_field(struct virtio_vfio_pci *vvp, struct vfio_access *a, const struct field *f)
{
	uint32_t offset = (uint32_t)(a->offset + vvp->done - f->base);
	uint16_t opcode;

	counter_inc(vvp->host.counters, admin_commands);
	memset(vvp->cmd_data, 0, sizeof(struct virtio_admin_legacy_write));
	vvp->cmd_data[0] = (uint8_t)offset;
	if (!a->write) {
		opcode = f->common ? VIRTIO_ADMIN_LEGACY_COMMON_CFG_READ
				   : VIRTIO_ADMIN_LEGACY_DEV_CFG_READ;
		send(vvp, opcode, 1, a->data + vvp->done, vvp->step, step_done);
		return;
	}
	opcode = f->common ? VIRTIO_ADMIN_LEGACY_COMMON_CFG_WRITE
			   : VIRTIO_ADMIN_LEGACY_DEV_CFG_WRITE;
	memcpy(vvp->cmd_data + sizeof(struct virtio_admin_legacy_write), a->data + vvp->done,
	       vvp->step);
	send(vvp, opcode, sizeof(struct virtio_admin_legacy_write) + vvp->step, NULL, 0, step_done);
}

static void prepare_done(struct pf_cmd *cmd)
{
	struct virtio_vfio_pci *vvp = container_of(cmd, struct virtio_vfio_pci, cmd);

	vvp->cmd_busy = false;
	count_failure(vvp, cmd->error);
	if (cmd->error == -ETIMEDOUT)
		end(vvp, 0);
	else
		run(vvp);
}

/*
 * While INTx is synthesised the member's events must reach our vectors, which only the device
 * knows: before a queue is given its address its vector is set, and before DRIVER_OK that for
 * configuration changes. True if such a command was sent.
 */
static bool prepare_intx(struct virtio_vfio_pci *vvp, const struct vfio_access *a,
			 const struct field *f)
{
	const uint8_t *value = a->data + vvp->done;
	uint16_t vector;

	if (!vvp->intx_on || vvp->prepared || !a->write || !f->common)
		return false;
	if (f->at.offset == VIRTIO_PCI_QUEUE_PFN) {
		vvp->cmd_data[0] = VIRTIO_MSI_QUEUE_VECTOR;
		vector = VVP_VECTOR_QUEUE;
	} else if (f->at.offset == VIRTIO_PCI_STATUS && (*value & VIRTIO_CONFIG_S_DRIVER_OK)) {
		vvp->cmd_data[0] = VIRTIO_MSI_CONFIG_VECTOR;
		vector = VVP_VECTOR_CONFIG;
	} else {
		return false;
	}
	memset(vvp->cmd_data + 1, 0, sizeof(struct virtio_admin_legacy_write) - 1);
	vvp->cmd_data[sizeof(struct virtio_admin_legacy_write)] = (uint8_t)vector;
	vvp->cmd_data[sizeof(struct virtio_admin_legacy_write) + 1] = 0;
	vvp->prepared = true;
	counter_inc(vvp->host.counters, admin_own);
	send(vvp, VIRTIO_ADMIN_LEGACY_COMMON_CFG_WRITE,
	     sizeof(struct virtio_admin_legacy_write) + 2, NULL, 0, prepare_done);
	return true;
}

/*
 * Old drivers were forgiven that they don't turn on bus mastering; without it nothing would move.
 */
static void enable_bus_master(struct virtio_vfio_pci *vvp)
{
	struct pci_access *pa = vvp->host.pa;
	uint32_t command = pa->ops->config_read(pa, PCI_COMMAND, 2);

	if (!(command & PCI_COMMAND_MASTER))
		pa->ops->config_write(pa, PCI_COMMAND, 2, command | PCI_COMMAND_MASTER);
}

/* Fields that need no command. True if this was one. */
static bool answer_locally(struct virtio_vfio_pci *vvp, struct vfio_access *a,
			   const struct field *f)
{
	uint8_t *data = a->data + vvp->done;
	uint16_t queue = 0;

	if (!f->defined) {
		vvp->step = 1;
		if (!a->write)
			*data = 0xff;
		counter_inc(vvp->host.counters, io_local);
		return true;
	}
	if (f->common && f->at.offset == VIRTIO_PCI_ISR && vvp->intx_on) {
		if (!a->write)
			*data = vvp_intx_read_isr(vvp);
		counter_inc(vvp->host.counters, io_local);
		return true;
	}
	if (f->common && f->at.offset == VIRTIO_PCI_QUEUE_NOTIFY && vvp->notify.len) {
		if (a->write) {
			memcpy(&queue, data, vvp->step);
			virtio_region_write(vvp->host.pa, &vvp->notify, 0, 2, le16toh(queue));
		} else {
			queue = htole16(
				(uint16_t)virtio_region_read(vvp->host.pa, &vvp->notify, 0, 2));
			memcpy(data, &queue, vvp->step);
		}
		counter_inc(vvp->host.counters, io_notifies);
		return true;
	}
	return false;
}

/* Takes steps until one has to wait for its command, or none is left. */
static bool advance(struct virtio_vfio_pci *vvp, struct vfio_access *a)
{
	while (vvp->done < a->count) {
		uint64_t offset = a->offset + vvp->done;
		struct field f = find_field(vvp, offset);
		uint32_t left =
			f.defined ? (uint32_t)(f.base + f.at.offset + f.at.len - offset) : 1;

		vvp->step = left < a->count - vvp->done ? left : a->count - vvp->done;
		if (answer_locally(vvp, a, &f)) {
			vvp->done += vvp->step;
			continue;
		}
		if (prepare_intx(vvp, a, &f))
			return false;
		if (a->write && f.common && f.at.offset == VIRTIO_PCI_STATUS && a->data[vvp->done])
			enable_bus_master(vvp);
		counter_inc(vvp->host.counters, io_fields);
		send_field(vvp, a, &f);
		return false;
	}
	return true;
}

static void run(struct virtio_vfio_pci *vvp)
{
	if (advance(vvp, vvp->vdev.access))
		end(vvp, 0);
}

int vvp_legacy_access(struct virtio_vfio_pci *vvp, struct vfio_access *a)
{
	bool reset = a->write && a->offset <= VIRTIO_PCI_STATUS &&
		     a->offset + a->count > VIRTIO_PCI_STATUS &&
		     !a->data[VIRTIO_PCI_STATUS - a->offset];

	vvp->done = 0;
	vvp->prepared = false;
	vvp->deadline_ns =
		loop_now_ns() + (reset ? VVP_RESET_DEADLINE_MS : VVP_DEADLINE_MS) * 1000000ull;
	if (a->offset != VIRTIO_PCI_QUEUE_NOTIFY || a->count > 2 || !vvp->notify.len)
		counter_inc(vvp->host.counters, io_accesses);
	return advance(vvp, a) ? 0 : -EINPROGRESS;
}

void vvp_legacy_abandon(struct virtio_vfio_pci *vvp)
{
	if (vvp->cmd_busy)
		pf_channel_cancel(vvp->host.channel, &vvp->cmd);
	vvp->cmd_busy = false;
}
