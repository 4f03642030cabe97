/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Resource objects (virtio 1.4, 2.12.1.3), of which there is one type: a device parts object
 * (2.12.1.4.2) is the right to get, or to set, the parts of one member. Ids are the PF's: two
 * members have no object of the same id.
 */
#include <endian.h>
#include <string.h>

#include "pf/admin.h"

static uint8_t limit_of(const struct virtio_admin_dev_parts_cap *cap, uint8_t kind)
{
	return kind == VIRTIO_ADMIN_OBJ_KIND_SET ? cap->set_limit : cap->get_limit;
}

static void read_data(const struct admin_command *cmd, struct virtio_admin_obj_data *data)
{
	memcpy(data, cmd->data, sizeof(*data));
	data->hdr.type = le16toh(data->hdr.type);
	data->hdr.id = le32toh(data->hdr.id);
}

/* The attributes that CREATE and MODIFY bring; whatever is reserved is ignored (2.12.1). */
static bool attributes_ok(const struct admin_command *cmd, const struct virtio_admin_obj_data *data)
{
	return !data->flags && data->kind <= VIRTIO_ADMIN_OBJ_KIND_SET &&
	       data->hdr.id < limit_of(&cmd->pf->state->parts_cap, data->kind);
}

struct pf_object *admin_object(struct admin_command *cmd)
{
	struct virtio_admin_obj_data data;
	struct pf_object *object;

	read_data(cmd, &data);
	if (data.hdr.type != VIRTIO_ADMIN_OBJ_DEV_PARTS || data.hdr.id >= PF_OBJECTS_MAX)
		return NULL;
	object = &cmd->pf->state->objects[data.hdr.id];
	return object->member == cmd->member_id ? object : NULL;
}

struct outcome admin_object_create(struct admin_command *cmd)
{
	struct virtio_admin_obj_data data;
	struct pf_object *object;

	read_data(cmd, &data);
	if (data.hdr.type != VIRTIO_ADMIN_OBJ_DEV_PARTS || !attributes_ok(cmd, &data))
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	object = &cmd->pf->state->objects[data.hdr.id];
	if (object->member)
		return admin_fail(VIRTIO_ADMIN_EEXIST, VIRTIO_ADMIN_Q_INVALID_FIELD);
	object->member = (uint16_t)cmd->member_id;
	object->kind = data.kind;
	return admin_ok();
}

static struct outcome no_object(void)
{
	return admin_fail(VIRTIO_ADMIN_ENXIO, VIRTIO_ADMIN_Q_INVALID_FIELD);
}

struct outcome admin_object_modify(struct admin_command *cmd)
{
	struct pf_object *object = admin_object(cmd);
	struct virtio_admin_obj_data data;

	if (!object)
		return no_object();
	read_data(cmd, &data);
	if (!attributes_ok(cmd, &data))
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	object->kind = data.kind;
	return admin_ok();
}

struct outcome admin_object_query(struct admin_command *cmd)
{
	struct pf_object *object = admin_object(cmd);
	struct virtio_admin_obj_data data;

	if (!object)
		return no_object();
	read_data(cmd, &data);
	if (data.flags)
		return admin_invalid(VIRTIO_ADMIN_Q_INVALID_FIELD);
	cmd->result[0] = object->kind;
	cmd->result_len = 8; /* the rest is reserved */
	return admin_ok();
}

struct outcome admin_object_destroy(struct admin_command *cmd)
{
	struct pf_object *object = admin_object(cmd);

	if (!object)
		return no_object();
	*object = (struct pf_object){ 0 };
	return admin_ok();
}

void admin_objects_drop(struct pf *pf, const struct pf_member *member)
{
	for (uint32_t id = 0; id < PF_OBJECTS_MAX; id++)
		if (pf->state->objects[id].member == member - pf->members)
			pf->state->objects[id] = (struct pf_object){ 0 };
}

bool admin_objects_fit(const struct pf *pf, const struct virtio_admin_dev_parts_cap *cap)
{
	for (uint32_t id = 0; id < PF_OBJECTS_MAX; id++) {
		const struct pf_object *object = &pf->state->objects[id];

		if (object->member && id >= limit_of(cap, object->kind))
			return false;
	}
	return true;
}
