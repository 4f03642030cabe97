/* SPDX-License-Identifier: BSD-3-Clause */
/* Getting and setting the parts of a member (virtio 1.4, 2.12.1.4.3.1 to 3). */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pf/admin.h"
#include "virtio/parts.h"

/* Bytes of parts to set, and of headers to select by: more than any function here has. */
#define SET_MAX    (256u << 10)
#define SELECT_MAX (1024 * sizeof(struct virtio_part_hdr))

/* What one of these commands costs the others on the PF, in commands. */
#define PARTS_COST 8

static struct outcome no_memory(void)
{
	return admin_fail(VIRTIO_ADMIN_ENOMEM, VIRTIO_ADMIN_Q_NORESOURCE);
}

/* The object of this kind that the command names. Status OK if there is one. */
static struct outcome find_object(struct admin_command *cmd, uint8_t kind)
{
	const struct pf_object *object = admin_object(cmd);

	virtio_device_charge(cmd->pf->dev, PARTS_COST);
	if (!object)
		return admin_fail(VIRTIO_ADMIN_ENXIO, VIRTIO_ADMIN_Q_INVALID_FIELD);
	return object->kind == kind ? admin_ok() : admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
}

/* Room for a result of so many bytes, zeroed; NULL if the driver has less, or there is none. */
static void *make_result(struct admin_command *cmd, size_t len)
{
	if (cmd->result_room < len)
		return NULL;
	cmd->large = calloc(1, len ? len : 1);
	cmd->result_len = (uint32_t)len;
	return cmd->large;
}

struct outcome admin_parts_metadata(struct admin_command *cmd)
{
	struct outcome found = find_object(cmd, VIRTIO_ADMIN_OBJ_KIND_GET);
	uint8_t type = cmd->data[sizeof(struct virtio_admin_obj_hdr)];
	struct virtio_pci *vf = cmd->member->vf;
	uint32_t count, *result;

	if (found.status)
		return found;
	if (type > VIRTIO_ADMIN_METADATA_LIST)
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	count = virtio_parts_count(vf);
	result = make_result(cmd, 2 * sizeof(*result) +
					  (type == VIRTIO_ADMIN_METADATA_LIST ? count : 0) *
						  sizeof(struct virtio_part_hdr));
	if (!result)
		return no_memory();
	result[0] = htole32(type == VIRTIO_ADMIN_METADATA_SIZE ? virtio_parts_size(vf) : count);
	if (type == VIRTIO_ADMIN_METADATA_LIST)
		virtio_parts_list(vf, (struct virtio_part_hdr *)(result + 2));
	return admin_ok();
}

/* Copies the command's data from an offset on, once: NULL if it is too much. */
static uint8_t *copy_data(const struct admin_command *cmd, size_t from, size_t max, size_t *len)
{
	uint8_t *data;

	*len = cmd->data_len > from ? (size_t)(cmd->data_len - from) : 0;
	if (*len > max)
		return NULL;
	/* What is missing of a last header is zero (2.14). */
	data = calloc(1, *len + sizeof(struct virtio_part_hdr));
	if (data)
		virtq_copy_out(cmd->segs, cmd->nout, sizeof(struct virtio_admin_request) + from,
			       data, *len);
	return data;
}

struct outcome admin_parts_get(struct admin_command *cmd)
{
	struct outcome found = find_object(cmd, VIRTIO_ADMIN_OBJ_KIND_GET);
	uint8_t type = cmd->data[sizeof(struct virtio_admin_obj_hdr)];
	struct virtio_pci *vf = cmd->member->vf;
	uint8_t *selected = NULL, *parts;
	size_t len = 0, n;

	if (found.status)
		return found;
	if (type > VIRTIO_ADMIN_PARTS_ALL)
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	if (type == VIRTIO_ADMIN_PARTS_SELECTED) {
		selected = copy_data(cmd, VIRTIO_ADMIN_PARTS_GET_HEAD, SELECT_MAX, &len);
		if (!selected)
			return no_memory();
	}
	parts = calloc(1, virtio_parts_size(vf));
	if (parts) {
		n = (len + sizeof(struct virtio_part_hdr) - 1) / sizeof(struct virtio_part_hdr);
		cmd->large = parts;
		cmd->result_len = (uint32_t)virtio_parts_get(vf, (struct virtio_part_hdr *)selected,
							     n, parts);
	}
	free(selected);
	return parts && cmd->result_len <= cmd->result_room ? admin_ok() : no_memory();
}

struct outcome admin_parts_set(struct admin_command *cmd)
{
	struct outcome found = find_object(cmd, VIRTIO_ADMIN_OBJ_KIND_SET);
	struct virtio_pci *vf = cmd->member->vf;
	uint8_t *data;
	size_t len;
	int err;

	if (found.status)
		return found;
	if (!vf->dev->state->halted)
		return admin_fail(VIRTIO_ADMIN_EBUSY, VIRTIO_ADMIN_Q_INVALID_COMMAND);
	data = copy_data(cmd, sizeof(struct virtio_admin_obj_hdr), SET_MAX, &len);
	if (!data)
		return no_memory();
	err = virtio_parts_set(vf, data, len);
	free(data);
	if (err)
		return err == -ENOMEM ? no_memory() : admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	return admin_ok();
}
