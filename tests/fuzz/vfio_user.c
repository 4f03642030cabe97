/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio_user/codec.h: a stream of bytes from a VMM. The first byte says how many descriptors come
 * with each message.
 */
#include "fuzz.h"
#include "vfio_user/codec.h"

static void check_version(const struct vfio_user_request *req)
{
	char reply[VFIO_USER_CAPS_REPLY_MAX];
	int n = vfio_user_caps_reply(&req->version.caps, reply);

	struct vfio_user_terms terms;

	vfio_user_caps_terms(&req->version.caps, &terms);
	fuzz_assert(terms.max_msg_fds <= VFIO_USER_MAX_MSG_FDS &&
		    terms.max_xfer <= VFIO_USER_MAX_XFER);
	fuzz_assert(n < 0 ? n == -ENOTSUP : n > 0 && (size_t)n <= sizeof(reply) && !reply[n - 1]);
}

static bool inside(const uint8_t *at, uint64_t len, const uint8_t *msg, const uint8_t *end)
{
	return at >= msg && at <= end && (uint64_t)(end - at) >= len;
}

static void check_multi(const struct vfio_user_request *req, const uint8_t *msg, const uint8_t *end)
{
	struct vfio_user_write write;

	fuzz_assert(req->multi.count);
	for (uint32_t i = 0; i < req->multi.count; i++) {
		vfio_user_decode_write(req, i, &write);
		fuzz_assert(write.count && write.count <= 8 &&
			    write.offset + (write.count - 1) >= write.offset);
		fuzz_assert(inside(write.data, 8, msg, end));
	}
}

static void check_request(const struct vfio_user_request *req, const uint8_t *msg, size_t size)
{
	const uint8_t *end = msg + size;

	switch (req->command) {
	case VFIO_USER_VERSION:
		check_version(req);
		break;
	case VFIO_USER_DMA_MAP:
		fuzz_assert(req->map.size && req->map.iova + (req->map.size - 1) >= req->map.iova);
		break;
	case VFIO_USER_DEVICE_SET_IRQS:
		if (req->irqs.bools)
			fuzz_assert(req->irqs.bools >= msg && req->irqs.bools <= end &&
				    (size_t)(end - req->irqs.bools) >= req->irqs.count);
		break;
	case VFIO_USER_REGION_READ:
		fuzz_assert(req->access.count && req->access.count <= VFIO_USER_MAX_XFER);
		break;
	case VFIO_USER_REGION_WRITE:
		fuzz_assert(req->access.count && req->access.count <= VFIO_USER_MAX_XFER);
		fuzz_assert(req->access.data >= msg && req->access.data <= end &&
			    (size_t)(end - req->access.data) >= req->access.count);
		break;
	case VFIO_USER_DMA_UNMAP:
		fuzz_assert(req->unmap.all ? !req->unmap.iova && !req->unmap.size
					   : req->unmap.size);
		break;
	case VFIO_USER_REGION_WRITE_MULTI:
		check_multi(req, msg, end);
		break;
	case VFIO_USER_DEVICE_FEATURE:
		fuzz_assert(req->feature.probe || req->feature.methods);
		fuzz_assert(inside(req->feature.data, req->feature.len, msg, end));
		break;
	case VFIO_USER_MIG_DATA_WRITE:
		fuzz_assert(req->mig.size && inside(req->mig.data, req->mig.size, msg, end));
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t nfds = size ? data[0] % (VFIO_USER_MAX_MSG_FDS + 1) : 0;
	struct vfio_user_request req;
	size_t at = 1, len;
	const char *why;

	while (at < size) {
		/* A copy of its own, so that a read beyond the message is seen. */
		uint8_t *msg;
		int err = vfio_user_decode_frame(data + at, size - at, &len, &why);

		if (err) {
			fuzz_assert(err == VFIO_USER_VIOLATION);
			break;
		}
		if (!len)
			break;
		if (len > VFIO_USER_MAX_MESSAGE) {
			fuzz_assert(len <= VFIO_USER_MAX_SKIPPED);
			err = vfio_user_decode_skipped(data + at, &req, &why);
			fuzz_assert(err < 0 && why);
			break;
		}
		if (len > size - at)
			break;
		msg = malloc(len);
		fuzz_assert(msg);
		memcpy(msg, data + at, len);
		why = NULL;
		err = vfio_user_decode(msg, len, nfds, &req, &why);
		fuzz_assert(err <= 0 && (!err || why));
		if (!err)
			check_request(&req, msg, len);
		free(msg);
		at += len;
	}
	return 0;
}
