/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio_user/codec.h: what the two sides agree on, in VERSION. */
#include "test_vfio_user_decode.h"

static int decode_version(uint16_t major, const char *data, size_t len,
			  struct vfio_user_request *req)
{
	struct vfio_user_version v = { .major = major };
	uint8_t *payload = malloc(sizeof(v) + len);
	int err;

	memcpy(payload, &v, sizeof(v));
	memcpy(payload + sizeof(v), data, len);
	err = decode(VFIO_USER_VERSION, 0, payload, sizeof(v) + len, 0, req);
	free(payload);
	return err;
}

#define VERSION(text, req) decode_version(0, text, sizeof(text), req)

static void test_version(void **state)
{
	struct vfio_user_request req;

	(void)state;
	assert_int_equal(decode(VFIO_USER_VERSION, 0, "\0\0", 2, 0, &req), -EINVAL);
	assert_int_equal(decode_version(1, "", 0, &req), -ENOTSUP);
	assert_int_equal(decode_version(0, "", 0, &req), 0);
	assert_false(req.version.caps.has_max_msg_fds);
	assert_int_equal(VERSION("{}", &req), 0);
	assert_int_equal(VERSION("{\"capabilities\":{}}", &req), 0);
	assert_int_equal(
		VERSION(" {\"other\":[1,{\"a\":null}],\"capabilities\":{\"new\":{}}} ", &req), 0);
	assert_int_equal(VERSION("{\"capabilities\":{\"max_msg_fds\":8,\"pgsizes\":4096,"
				 "\"max_dma_maps\":18446744073709551615,"
				 "\"max_data_xfer_size\":1048576,\"write_multiple\":true,"
				 "\"migration\":{\"pgsize\":4096}}}",
				 &req),
			 0);
	assert_true(req.version.caps.has_max_msg_fds);
	assert_int_equal(req.version.caps.max_msg_fds, 8);
	assert_true(req.version.caps.has_max_data_xfer_size);
	assert_int_equal(req.version.caps.max_data_xfer_size, 1048576);
	assert_true(req.version.caps.has_max_dma_maps);
	assert_true(req.version.caps.max_dma_maps == UINT64_MAX);
	assert_int_equal(req.version.caps.pgsizes, 4096);
	assert_true(req.version.caps.write_multiple);
}

static void test_version_garbage(void **state)
{
	static const char deep[] = "{\"capabilities\":[[[[[[[[[[[[]]]]]]]]]]]]}";
	struct vfio_user_request req;
	char *large;

	(void)state;
	assert_int_equal(VERSION("", &req), -EINVAL);
	assert_int_equal(VERSION("x", &req), -EINVAL);
	assert_int_equal(VERSION("12", &req), -EINVAL);
	assert_int_equal(VERSION("[]", &req), -EINVAL);
	assert_int_equal(VERSION("{", &req), -EINVAL);
	assert_int_equal(VERSION("{} {}", &req), -EINVAL);
	assert_int_equal(VERSION("{}\0{}", &req), -EINVAL);
	assert_int_equal(VERSION("{\"a\":\"\xff\xfe\"}", &req), -EINVAL);
	assert_int_equal(VERSION(deep, &req), -EINVAL);
	/* Without its NUL. */
	assert_int_equal(decode_version(0, "{}", 2, &req), -EINVAL);
	assert_int_equal(VERSION("{\"capabilities\":1}", &req), -EINVAL);
	assert_int_equal(VERSION("{\"capabilities\":{\"max_msg_fds\":\"8\"}}", &req), -EINVAL);
	assert_int_equal(VERSION("{\"capabilities\":{\"max_msg_fds\":-1}}", &req), -EINVAL);
	assert_int_equal(VERSION("{\"capabilities\":{\"max_msg_fds\":1.5}}", &req), -EINVAL);
	assert_int_equal(VERSION("{\"capabilities\":{\"max_msg_fds\":null}}", &req), -EINVAL);
	assert_int_equal(VERSION("{\"capabilities\":{\"pgsizes\":{}}}", &req), -EINVAL);
	assert_int_equal(VERSION("{\"capabilities\":{\"write_multiple\":1}}", &req), -EINVAL);
	assert_int_equal(VERSION("{\"capabilities\":{\"twin_socket\":true}}", &req), -EINVAL);
	large = malloc(VFIO_USER_MAX_VERSION_DATA + 1);
	memset(large, ' ', VFIO_USER_MAX_VERSION_DATA);
	memcpy(large, "{}", 2);
	large[VFIO_USER_MAX_VERSION_DATA] = 0;
	assert_int_equal(decode_version(0, large, VFIO_USER_MAX_VERSION_DATA + 1, &req), -EINVAL);
	assert_int_equal(decode_version(0, large + 1, VFIO_USER_MAX_VERSION_DATA, &req), -EINVAL);
	memcpy(large + 1, "{}", 2);
	assert_int_equal(decode_version(0, large + 1, VFIO_USER_MAX_VERSION_DATA, &req), 0);
	free(large);
}

static void test_version_reply(void **state)
{
	char out[VFIO_USER_CAPS_REPLY_MAX];
	struct vfio_user_caps caps = { 0 };
	int len;

	(void)state;
	/* A subset of what was offered: of nothing, nothing. */
	assert_int_equal(vfio_user_caps_reply(&caps, out), 20);
	assert_string_equal(out, "{\"capabilities\":{}}");
	caps.has_max_msg_fds = true;
	caps.max_msg_fds = 1;
	caps.has_max_data_xfer_size = true;
	caps.max_data_xfer_size = 1048576;
	assert_true(vfio_user_caps_reply(&caps, out) > 0);
	assert_string_equal(out, "{\"capabilities\":{\"max_msg_fds\":16,"
				 "\"max_data_xfer_size\":65536}}");
	caps = (struct vfio_user_caps){
		.has_max_msg_fds = true,
		.has_max_data_xfer_size = true,
		.has_max_dma_maps = true,
		.has_pgsizes = true,
		.max_msg_fds = UINT64_MAX,
		.max_data_xfer_size = UINT64_MAX,
		.max_dma_maps = UINT64_MAX,
		.pgsizes = UINT64_MAX,
	};
	len = vfio_user_caps_reply(&caps, out);
	assert_int_equal(len, strlen(out) + 1);
	assert_non_null(strstr(out, "\"pgsizes\":18446744073709547520"));
	caps.write_multiple = true;
	assert_true(vfio_user_caps_reply(&caps, out) > 0);
	assert_non_null(strstr(out, "\"pgsizes\":18446744073709547520,\"write_multiple\":true}}"));
	caps.write_multiple = false;
	caps.max_dma_maps = 7;
	caps.pgsizes = 2048;
	assert_int_equal(vfio_user_caps_reply(&caps, out), -ENOTSUP);
	caps.pgsizes = 2048 | 4096;
	assert_true(vfio_user_caps_reply(&caps, out) > 0);
	assert_non_null(strstr(out, "\"max_dma_maps\":7,\"pgsizes\":4096}"));
}

static void test_terms(void **state)
{
	struct vfio_user_caps caps = { 0 };
	struct vfio_user_terms terms;

	(void)state;
	/* What silence means is in the text, but no message of ours is larger than we make it. */
	vfio_user_caps_terms(&caps, &terms);
	assert_int_equal(terms.max_msg_fds, 1);
	assert_int_equal(terms.max_xfer, VFIO_USER_MAX_XFER);
	assert_int_equal(terms.max_dma_maps, VFIO_USER_MAX_DMA_MAPS);
	assert_false(terms.write_multiple);
	caps = (struct vfio_user_caps){ .has_max_msg_fds = true,
					.has_max_data_xfer_size = true,
					.has_max_dma_maps = true,
					.write_multiple = true };
	vfio_user_caps_terms(&caps, &terms);
	assert_int_equal(terms.max_msg_fds, 0);
	assert_int_equal(terms.max_xfer, 0);
	assert_int_equal(terms.max_dma_maps, 0);
	assert_true(terms.write_multiple);
	caps.max_msg_fds = 7;
	caps.max_data_xfer_size = 8;
	vfio_user_caps_terms(&caps, &terms);
	assert_int_equal(terms.max_msg_fds, 7);
	assert_int_equal(terms.max_xfer, 8);
	caps.max_msg_fds = UINT64_MAX;
	caps.max_data_xfer_size = UINT64_MAX;
	vfio_user_caps_terms(&caps, &terms);
	assert_int_equal(terms.max_msg_fds, VFIO_USER_MAX_MSG_FDS);
	assert_int_equal(terms.max_xfer, VFIO_USER_MAX_XFER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_version_garbage),
		cmocka_unit_test(test_version_reply),
		cmocka_unit_test(test_terms),
	};

	return cmocka_run_group_tests(tests, NULL, free_last);
}
