/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the PF can do beyond its feature bits, and how much of it the driver uses (virtio 1.4,
 * 2.12.1.2). There is one capability: so many device parts objects of either kind.
 */
#include <endian.h>
#include <string.h>

#include "pf/admin.h"

static const struct virtio_admin_dev_parts_cap parts_cap = {
	.get_limit = PF_OBJECTS_MAX,
	.set_limit = PF_OBJECTS_MAX,
};

struct outcome admin_cap_list(struct admin_command *cmd)
{
	uint64_t list = htole64(1ull << VIRTIO_ADMIN_CAP_DEV_PARTS);

	memcpy(cmd->result, &list, sizeof(list));
	cmd->result_len = sizeof(list);
	return admin_ok();
}

/* The capability's data behind the head of the command's; NULL if there is no such capability. */
static const void *find_cap(const struct admin_command *cmd)
{
	struct virtio_admin_cap_data data;

	memcpy(&data, cmd->data, sizeof(data));
	if (le16toh(data.id) != VIRTIO_ADMIN_CAP_DEV_PARTS)
		return NULL;
	return cmd->data + sizeof(data);
}

struct outcome admin_cap_get(struct admin_command *cmd)
{
	if (!find_cap(cmd))
		return admin_fail(VIRTIO_ADMIN_ENXIO, VIRTIO_ADMIN_Q_INVALID_FIELD);
	memcpy(cmd->result, &parts_cap, sizeof(parts_cap));
	cmd->result_len = sizeof(parts_cap);
	return admin_ok();
}

struct outcome admin_cap_set(struct admin_command *cmd)
{
	const void *data = find_cap(cmd);
	struct virtio_admin_dev_parts_cap cap;

	if (!data)
		return admin_fail(VIRTIO_ADMIN_ENXIO, VIRTIO_ADMIN_Q_INVALID_FIELD);
	memcpy(&cap, data, sizeof(cap));
	if (cap.get_limit > parts_cap.get_limit || cap.set_limit > parts_cap.set_limit)
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	/* Less than what is in use now is not to be had (2.12.1.2.4). */
	if (!admin_objects_fit(cmd->pf, &cap))
		return admin_fail(VIRTIO_ADMIN_EBUSY, VIRTIO_ADMIN_Q_INVALID_COMMAND);
	cmd->pf->state->parts_cap = cap;
	return admin_ok();
}
