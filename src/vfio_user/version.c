/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The capabilities in VERSION: JSON, and the only text in the protocol.
 */
#include "vfio_user/codec.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define VERSION_MAX_DEPTH 8 /* the text has two levels, its extensions three */

/* 0 where the member is absent (*has false) or a number that is not negative. */
static int caps_number(struct json_object *caps, const char *name, bool *has, uint64_t *value)
{
	struct json_object *obj;

	*has = json_object_object_get_ex(caps, name, &obj);
	if (!*has)
		return 0;
	if (!json_object_is_type(obj, json_type_int))
		return -EINVAL;
	/* A negative number is clamped to 0 by get_uint64, to itself by get_int64. */
	if (json_object_get_int64(obj) < 0)
		return -EINVAL;
	*value = json_object_get_uint64(obj);
	return 0;
}

static int caps_bool(struct json_object *caps, const char *name, bool *value)
{
	struct json_object *obj;

	if (!json_object_object_get_ex(caps, name, &obj))
		return 0;
	if (!json_object_is_type(obj, json_type_boolean))
		return -EINVAL;
	*value = json_object_get_boolean(obj);
	return 0;
}

static int caps_read(struct json_object *root, struct vfio_user_caps *caps)
{
	struct json_object *obj, *twin;
	int err;

	if (!json_object_is_type(root, json_type_object))
		return -EINVAL;
	if (!json_object_object_get_ex(root, "capabilities", &obj))
		return 0;
	if (!json_object_is_type(obj, json_type_object))
		return -EINVAL;
	err = caps_number(obj, "max_msg_fds", &caps->has_max_msg_fds, &caps->max_msg_fds);
	if (!err)
		err = caps_number(obj, "max_data_xfer_size", &caps->has_max_data_xfer_size,
				  &caps->max_data_xfer_size);
	if (!err)
		err = caps_number(obj, "max_dma_maps", &caps->has_max_dma_maps,
				  &caps->max_dma_maps);
	if (!err)
		err = caps_number(obj, "pgsizes", &caps->has_pgsizes, &caps->pgsizes);
	if (!err)
		err = caps_bool(obj, "write_multiple", &caps->write_multiple);
	if (!err && json_object_object_get_ex(obj, "twin_socket", &twin) &&
	    !json_object_is_type(twin, json_type_object))
		err = -EINVAL;
	return err;
}

int vfio_user_caps_parse(const char *data, size_t len, struct vfio_user_caps *caps)
{
	struct json_tokener *tok;
	struct json_object *root;
	int err = -EINVAL;

	memset(caps, 0, sizeof(*caps));
	if (!len)
		return 0;
	/* One string: the NUL ends it, and nothing follows. */
	if (len > VFIO_USER_MAX_VERSION_DATA || strnlen(data, len) != len - 1)
		return -EINVAL;
	tok = json_tokener_new_ex(VERSION_MAX_DEPTH);
	if (!tok)
		return -ENOMEM;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* With the NUL, so that a bare number at the end is complete as well. */
	root = json_tokener_parse_ex(tok, data, (int)len);
	if (json_tokener_get_error(tok) == json_tokener_success)
		err = caps_read(root, caps);
	json_object_put(root);
	json_tokener_free(tok);
	return err;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void put_number(char *out, size_t *len, const char *name, uint64_t value)
{
	*len += (size_t)snprintf(out + *len, VFIO_USER_CAPS_REPLY_MAX - *len, "%s\"%s\":%" PRIu64,
				 out[*len - 1] == '{' ? "" : ",", name, value);
}

void vfio_user_caps_terms(const struct vfio_user_caps *caps, struct vfio_user_terms *terms)
{
	uint64_t fds = caps->has_max_msg_fds ? caps->max_msg_fds : VFIO_USER_DEFAULT_MSG_FDS;
	uint64_t xfer = caps->has_max_data_xfer_size ? caps->max_data_xfer_size
						     : VFIO_USER_DEFAULT_XFER_SIZE;

	terms->max_msg_fds = (uint32_t)min_u64(fds, VFIO_USER_MAX_MSG_FDS);
	terms->max_xfer = (uint32_t)min_u64(xfer, VFIO_USER_MAX_XFER);
	terms->max_dma_maps = VFIO_USER_MAX_DMA_MAPS;
	if (caps->has_max_dma_maps)
		terms->max_dma_maps = (uint32_t)min_u64(caps->max_dma_maps, VFIO_USER_MAX_DMA_MAPS);
	terms->write_multiple = caps->write_multiple;
}

int vfio_user_caps_reply(const struct vfio_user_caps *caps, char out[VFIO_USER_CAPS_REPLY_MAX])
{
	uint64_t pgsizes = caps->pgsizes & ~(uint64_t)(VFIO_USER_DMA_PAGE_SIZE - 1);
	size_t len;

	if (caps->has_pgsizes && !pgsizes)
		return -ENOTSUP;
	len = (size_t)snprintf(out, VFIO_USER_CAPS_REPLY_MAX, "{\"capabilities\":{");
	if (caps->has_max_msg_fds)
		put_number(out, &len, "max_msg_fds", VFIO_USER_MAX_MSG_FDS);
	if (caps->has_max_data_xfer_size)
		put_number(out, &len, "max_data_xfer_size",
			   min_u64(caps->max_data_xfer_size, VFIO_USER_MAX_XFER));
	if (caps->has_max_dma_maps)
		put_number(out, &len, "max_dma_maps",
			   min_u64(caps->max_dma_maps, VFIO_USER_MAX_DMA_MAPS));
	if (caps->has_pgsizes)
		put_number(out, &len, "pgsizes", pgsizes);
	if (caps->write_multiple)
		len += (size_t)snprintf(out + len, VFIO_USER_CAPS_REPLY_MAX - len,
					"%s\"write_multiple\":true",
					out[len - 1] == '{' ? "" : ",");
	len += (size_t)snprintf(out + len, VFIO_USER_CAPS_REPLY_MAX - len, "}}");
	return (int)len + 1;
}
