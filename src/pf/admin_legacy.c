/* SPDX-License-Identifier: BSD-3-Clause */
/* The registers of a member as a legacy driver knows them (virtio 1.4, 2.12.1.1). */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "pf/admin.h"
#include "virtio/legacy.h"

static void reset_finished(struct virtio_reset *reset)
{
	struct admin_command *cmd = container_of(reset, struct admin_command, reset);

	admin_finish(cmd, admin_ok());
}

static struct outcome legacy_outcome(struct admin_command *cmd, int err)
{
	if (err != -EINPROGRESS)
		return err ? admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD) : admin_ok();
	return admin_hold(cmd, ADMIN_LEGACY_RESET_MS);
}

/* Length of the bytes that a write brings; 0 and too many to be one field fail later. */
static uint32_t write_len(const struct admin_command *cmd)
{
	uint64_t head = sizeof(struct virtio_admin_legacy_write);

	if (cmd->data_len <= head)
		return 0;
	return (uint32_t)(cmd->data_len < ADMIN_DATA_MAX ? cmd->data_len - head
							 : ADMIN_DATA_MAX - head);
}

struct outcome admin_legacy_common_write(struct admin_command *cmd)
{
	struct virtio_pci *vf = cmd->member->vf;

	cmd->reset.done = reset_finished;
	return legacy_outcome(cmd, virtio_legacy_common_write(
					   vf->dev, cmd->data[0],
					   cmd->data + sizeof(struct virtio_admin_legacy_write),
					   write_len(cmd), pci_function_msix_enabled(&vf->fn),
					   &cmd->reset));
}

struct outcome admin_legacy_dev_write(struct admin_command *cmd)
{
	return legacy_outcome(cmd, virtio_legacy_config_write(
					   cmd->member->vf->dev, cmd->data[0],
					   cmd->data + sizeof(struct virtio_admin_legacy_write),
					   write_len(cmd)));
}

/* The length of a read is the room for its result. */
static struct outcome legacy_read(struct admin_command *cmd, int err)
{
	if (!err)
		cmd->result_len = (uint32_t)cmd->result_room;
	return legacy_outcome(cmd, err);
}

struct outcome admin_legacy_common_read(struct admin_command *cmd)
{
	struct virtio_pci *vf = cmd->member->vf;

	if (cmd->result_room > ADMIN_RESULT_MAX)
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	return legacy_read(cmd, virtio_legacy_common_read(vf->dev, cmd->data[0], cmd->result,
							  (uint32_t)cmd->result_room,
							  pci_function_msix_enabled(&vf->fn)));
}

struct outcome admin_legacy_dev_read(struct admin_command *cmd)
{
	if (cmd->result_room > ADMIN_RESULT_MAX)
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	return legacy_read(cmd, virtio_legacy_config_read(cmd->member->vf->dev, cmd->data[0],
							  cmd->result, (uint32_t)cmd->result_room));
}

/* One address serves all queues: the member's notification structure takes the queue as value. */
struct outcome admin_legacy_notify_info(struct admin_command *cmd)
{
	struct virtio_admin_notify_info info[VIRTIO_ADMIN_NOTIFY_ENTRIES] = {
		{
			.flags = VIRTIO_ADMIN_NOTIFY_MEMBER,
			.bar = VIRTIO_PCI_BAR,
			.offset = htole64(VIRTIO_PCI_NOTIFY_AT),
		},
	};

	memcpy(cmd->result, info, sizeof(info));
	cmd->result_len = sizeof(info);
	return admin_ok();
}
