/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio_user/codec.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/array.h"

/* A message: header apart, and what follows it. */
struct message {
	const uint8_t *data;
	size_t len;
	size_t nfds;
	const char *why;
};

static int invalid(struct message *m, const char *why)
{
	m->why = why;
	return -EINVAL;
}

/* [start, start + len) lies in the 64-bit space; its last byte may be the last one there is. */
static bool range_ok(uint64_t start, uint64_t len)
{
	return len && len - 1 <= UINT64_MAX - start;
}

static int decode_version(struct message *m, struct vfio_user_request *req)
{
	struct vfio_user_version v;

	if (m->len < sizeof(v))
		return invalid(m, "VERSION is too short");
	memcpy(&v, m->data, sizeof(v));
	if (v.major != VFIO_USER_MAJOR) {
		m->why = "VERSION asks for an unknown major version";
		return -ENOTSUP;
	}
	/* Ours is the lowest there is; the reply's must not be above the client's. */
	req->version.minor = VFIO_USER_MINOR;
	req->reply_max += (uint32_t)sizeof(v) + VFIO_USER_CAPS_REPLY_MAX;
	m->why = "VERSION data is not the JSON it should be";
	return vfio_user_caps_parse((const char *)m->data + sizeof(v), m->len - sizeof(v),
				    &req->version.caps);
}

static int decode_dma_map(struct message *m, struct vfio_user_request *req)
{
	struct vfio_user_dma_map map;

	if (m->len != sizeof(map))
		return invalid(m, "DMA_MAP has a wrong size");
	memcpy(&map, m->data, sizeof(map));
	if (map.argsz < sizeof(map))
		return invalid(m, "DMA_MAP: argsz is too small");
	if (!map.flags || map.flags & ~(VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITABLE))
		return invalid(m, "DMA_MAP: flags must be readable, writeable or both");
	if (!range_ok(map.address, map.size))
		return invalid(m, "DMA_MAP: the range is empty or wraps");
	if ((map.address | map.size) & (VFIO_USER_DMA_PAGE_SIZE - 1))
		return invalid(m, "DMA_MAP: address and size must be multiples of 4096");
	if (m->nfds > 1)
		return invalid(m, "DMA_MAP takes one descriptor");
	if (m->nfds && (map.offset & (VFIO_USER_DMA_PAGE_SIZE - 1) || map.offset > INT64_MAX ||
			map.size > INT64_MAX - map.offset))
		return invalid(m, "DMA_MAP: not a range of a file");
	req->map.iova = map.address;
	req->map.size = map.size;
	req->map.offset = map.offset;
	req->map.prot = (map.flags & VFIO_USER_DMA_READABLE ? PROT_READ : 0) |
			(map.flags & VFIO_USER_DMA_WRITABLE ? PROT_WRITE : 0);
	return 0;
}

static int decode_dma_unmap(struct message *m, struct vfio_user_request *req)
{
	struct vfio_user_dma_unmap unmap;

	if (m->len != sizeof(unmap))
		return invalid(m, "DMA_UNMAP has a wrong size");
	memcpy(&unmap, m->data, sizeof(unmap));
	if (unmap.argsz < sizeof(unmap))
		return invalid(m, "DMA_UNMAP: argsz is too small");
	if (unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		m->why = "DMA_UNMAP reports no dirty pages";
		return -ENOTSUP;
	}
	if (unmap.flags & ~VFIO_DMA_UNMAP_FLAG_ALL)
		return invalid(m, "DMA_UNMAP: flags that do not exist");
	req->unmap.all = unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL;
	if (req->unmap.all && (unmap.address || unmap.size))
		return invalid(m, "DMA_UNMAP of everything has no range");
	if (!req->unmap.all && !range_ok(unmap.address, unmap.size))
		return invalid(m, "DMA_UNMAP: the range is empty or wraps");
	req->unmap.iova = unmap.address;
	req->unmap.size = unmap.size;
	req->reply_max += (uint32_t)sizeof(unmap);
	return 0;
}

static int decode_get_info(struct message *m, struct vfio_user_request *req)
{
	struct vfio_user_device_info info;

	if (m->len != sizeof(info))
		return invalid(m, "DEVICE_GET_INFO has a wrong size");
	memcpy(&info, m->data, sizeof(info));
	if (info.argsz < sizeof(info))
		return invalid(m, "DEVICE_GET_INFO: argsz is too small");
	if (info.flags || info.num_regions || info.num_irqs)
		return invalid(m, "DEVICE_GET_INFO: fields but argsz must be 0");
	req->info.argsz = info.argsz;
	req->reply_max += (uint32_t)sizeof(info);
	return 0;
}

static int decode_get_region_info(struct message *m, struct vfio_user_request *req)
{
	struct vfio_user_region_info info;

	if (m->len != sizeof(info))
		return invalid(m, "DEVICE_GET_REGION_INFO has a wrong size");
	memcpy(&info, m->data, sizeof(info));
	if (info.argsz < sizeof(info))
		return invalid(m, "DEVICE_GET_REGION_INFO: argsz is too small");
	if (info.flags || info.cap_offset || info.size || info.offset)
		return invalid(m, "DEVICE_GET_REGION_INFO: fields but argsz, index must be 0");
	req->info.argsz = info.argsz;
	req->info.index = info.index;
	req->reply_max += (uint32_t)sizeof(info);
	return 0;
}

static int decode_get_region_io_fds(struct message *m, struct vfio_user_request *req)
{
	struct vfio_user_io_fds io;

	if (m->len != sizeof(io))
		return invalid(m, "DEVICE_GET_REGION_IO_FDS has a wrong size");
	memcpy(&io, m->data, sizeof(io));
	if (io.argsz < sizeof(io))
		return invalid(m, "DEVICE_GET_REGION_IO_FDS: argsz is too small");
	if (io.flags || io.count)
		return invalid(m, "DEVICE_GET_REGION_IO_FDS: fields but argsz, index must be 0");
	req->info.argsz = io.argsz;
	req->info.index = io.index;
	req->reply_max +=
		(uint32_t)(sizeof(io) + VFIO_USER_MAX_IO_FDS * sizeof(struct vfio_user_io_fd));
	return 0;
}

static int decode_get_irq_info(struct message *m, struct vfio_user_request *req)
{
	struct vfio_user_irq_info info;

	if (m->len != sizeof(info))
		return invalid(m, "DEVICE_GET_IRQ_INFO has a wrong size");
	memcpy(&info, m->data, sizeof(info));
	if (info.argsz < sizeof(info))
		return invalid(m, "DEVICE_GET_IRQ_INFO: argsz is too small");
	if (info.flags || info.count)
		return invalid(m, "DEVICE_GET_IRQ_INFO: fields but argsz, index must be 0");
	req->info.argsz = info.argsz;
	req->info.index = info.index;
	req->reply_max += (uint32_t)sizeof(info);
	return 0;
}

static int decode_device_feature(struct message *m, struct vfio_user_request *req)
{
	const uint32_t methods = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	struct vfio_user_device_feature f;

	if (m->len < sizeof(f))
		return invalid(m, "DEVICE_FEATURE is too short");
	memcpy(&f, m->data, sizeof(f));
	if (f.argsz < sizeof(f))
		return invalid(m, "DEVICE_FEATURE: argsz is too small");
	if (f.flags & ~(VFIO_DEVICE_FEATURE_MASK | methods | VFIO_DEVICE_FEATURE_PROBE))
		return invalid(m, "DEVICE_FEATURE: flags that do not exist");
	req->feature.index = (uint16_t)(f.flags & VFIO_DEVICE_FEATURE_MASK);
	req->feature.methods = f.flags & methods;
	req->feature.probe = f.flags & VFIO_DEVICE_FEATURE_PROBE;
	if (!req->feature.probe && (!req->feature.methods || req->feature.methods == methods))
		return invalid(m, "DEVICE_FEATURE: it must be GET, SET or PROBE");
	req->feature.argsz = f.argsz;
	req->feature.data = m->data + sizeof(f);
	req->feature.len = (uint32_t)(m->len - sizeof(f));
	return 0;
}

static int decode_mig_data(struct message *m, struct vfio_user_request *req)
{
	bool write = req->command == VFIO_USER_MIG_DATA_WRITE;
	struct vfio_user_mig_data mig;

	if (m->len < sizeof(mig))
		return invalid(m, "migration data: the message is too short");
	memcpy(&mig, m->data, sizeof(mig));
	if (!mig.size || mig.size > VFIO_USER_MAX_XFER)
		return invalid(m, "migration data: 0 or too many bytes");
	if (m->len != sizeof(mig) + (write ? mig.size : 0))
		return invalid(m, "migration data: it does not fit its size");
	if (mig.argsz < sizeof(mig) + (write ? 0 : mig.size))
		return invalid(m, "migration data: argsz is too small");
	req->mig.size = mig.size;
	req->mig.data = write ? m->data + sizeof(mig) : NULL;
	return 0;
}

static bool one_of(uint32_t flags, uint32_t mask)
{
	return flags & mask && !((flags & mask) & ((flags & mask) - 1));
}

static int decode_set_irqs(struct message *m, struct vfio_user_request *req)
{
	const uint32_t all = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
	struct vfio_user_irq_set set;
	uint64_t bools;

	if (m->len < sizeof(set))
		return invalid(m, "DEVICE_SET_IRQS is too short");
	memcpy(&set, m->data, sizeof(set));
	if (set.flags & ~all || !one_of(set.flags, VFIO_IRQ_SET_DATA_TYPE_MASK) ||
	    !one_of(set.flags, VFIO_IRQ_SET_ACTION_TYPE_MASK))
		return invalid(m, "DEVICE_SET_IRQS: flags must be one data type and one action");
	bools = set.flags & VFIO_IRQ_SET_DATA_BOOL ? set.count : 0;
	if (m->len != sizeof(set) + bools)
		return invalid(m, "DEVICE_SET_IRQS: the data does not fit the count");
	if (set.argsz < sizeof(set) + bools)
		return invalid(m, "DEVICE_SET_IRQS: argsz is too small");
	/* A count of 0 has one meaning: all interrupts of the index are disabled. */
	if (!set.count &&
	    (set.start || set.flags != (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER)))
		return invalid(m, "DEVICE_SET_IRQS: count is 0");
	if (set.count > UINT32_MAX - set.start)
		return invalid(m, "DEVICE_SET_IRQS: the range wraps");
	if (m->nfds && !(set.flags & VFIO_IRQ_SET_DATA_EVENTFD))
		return invalid(m, "DEVICE_SET_IRQS: descriptors but no eventfd data");
	if (m->nfds && m->nfds != set.count)
		return invalid(m, "DEVICE_SET_IRQS: not one descriptor for each interrupt");
	req->irqs.flags = set.flags;
	req->irqs.index = set.index;
	req->irqs.start = set.start;
	req->irqs.count = set.count;
	req->irqs.bools = bools ? m->data + sizeof(set) : NULL;
	return 0;
}

static int decode_access(struct message *m, struct vfio_user_request *req)
{
	bool write = req->command == VFIO_USER_REGION_WRITE;
	struct vfio_user_region_access access;

	if (m->len < sizeof(access))
		return invalid(m, "a region access is too short");
	memcpy(&access, m->data, sizeof(access));
	if (!access.count || access.count > VFIO_USER_MAX_XFER)
		return invalid(m, "a region access of 0 or too many bytes");
	if (m->len != sizeof(access) + (write ? access.count : 0))
		return invalid(m, "the data of a region access does not fit its count");
	if (!range_ok(access.offset, access.count))
		return invalid(m, "a region access wraps");
	req->access.region = access.region;
	req->access.count = access.count;
	req->access.offset = access.offset;
	req->access.data = write ? m->data + sizeof(access) : NULL;
	req->reply_max += (uint32_t)sizeof(access) + (write ? 0 : access.count);
	return 0;
}

void vfio_user_decode_write(const struct vfio_user_request *req, uint32_t i,
			    struct vfio_user_write *write)
{
	const uint8_t *at = req->multi.writes + i * sizeof(struct vfio_user_write_one);
	struct vfio_user_write_one one;

	memcpy(&one, at, sizeof(one));
	write->region = one.region;
	write->count = one.count;
	write->offset = one.offset;
	write->data = at + offsetof(struct vfio_user_write_one, data);
}

/* All of it is looked at before anything is written. */
static int decode_write_multi(struct message *m, struct vfio_user_request *req)
{
	struct vfio_user_write_multi multi;
	struct vfio_user_write write;
	size_t room;

	if (m->len < sizeof(multi))
		return invalid(m, "REGION_WRITE_MULTI is too short");
	memcpy(&multi, m->data, sizeof(multi));
	room = m->len - sizeof(multi);
	if (!multi.wr_cnt || room % sizeof(struct vfio_user_write_one) ||
	    multi.wr_cnt != room / sizeof(struct vfio_user_write_one))
		return invalid(m, "REGION_WRITE_MULTI: wr_cnt does not fit the writes");
	req->multi.count = (uint32_t)multi.wr_cnt;
	req->multi.writes = m->data + sizeof(multi);
	for (uint32_t i = 0; i < req->multi.count; i++) {
		vfio_user_decode_write(req, i, &write);
		if (!write.count || write.count > sizeof(((struct vfio_user_write_one *)0)->data))
			return invalid(m, "REGION_WRITE_MULTI: a write of 0 or more than 8 bytes");
		if (!range_ok(write.offset, write.count))
			return invalid(m, "REGION_WRITE_MULTI: a write wraps");
	}
	req->reply_max += (uint32_t)sizeof(multi);
	return 0;
}

static int decode_reset(struct message *m, struct vfio_user_request *req)
{
	(void)req;
	return m->len ? invalid(m, "DEVICE_RESET takes no data") : 0;
}

static const struct {
	int (*decode)(struct message *m, struct vfio_user_request *req);
	bool takes_fds;
} commands[] = {
	[VFIO_USER_VERSION] = { decode_version, false },
	[VFIO_USER_DMA_MAP] = { decode_dma_map, true },
	[VFIO_USER_DMA_UNMAP] = { decode_dma_unmap, false },
	[VFIO_USER_DEVICE_GET_INFO] = { decode_get_info, false },
	[VFIO_USER_DEVICE_GET_REGION_INFO] = { decode_get_region_info, false },
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = { decode_get_region_io_fds, false },
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = { decode_get_irq_info, false },
	[VFIO_USER_DEVICE_SET_IRQS] = { decode_set_irqs, true },
	[VFIO_USER_REGION_READ] = { decode_access, false },
	[VFIO_USER_REGION_WRITE] = { decode_access, false },
	[VFIO_USER_DEVICE_RESET] = { decode_reset, false },
	[VFIO_USER_REGION_WRITE_MULTI] = { decode_write_multi, false },
	[VFIO_USER_DEVICE_FEATURE] = { decode_device_feature, false },
	[VFIO_USER_MIG_DATA_READ] = { decode_mig_data, false },
	[VFIO_USER_MIG_DATA_WRITE] = { decode_mig_data, false },
};

int vfio_user_decode_frame(const uint8_t *buf, size_t len, size_t *size, const char **why)
{
	struct vfio_user_header h;

	*size = 0;
	if (len < sizeof(h))
		return 0;
	memcpy(&h, buf, sizeof(h));
	if (h.size < sizeof(h)) {
		*why = "a message smaller than its header";
		return VFIO_USER_VIOLATION;
	}
	if (h.size > VFIO_USER_MAX_SKIPPED) {
		*why = "a message larger than any can be";
		return VFIO_USER_VIOLATION;
	}
	/* We send no commands, so no reply is due. */
	if ((h.flags & VFIO_USER_FLAG_TYPE) == VFIO_USER_TYPE_REPLY) {
		*why = "a reply to nothing";
		return VFIO_USER_VIOLATION;
	}
	if ((h.flags & VFIO_USER_FLAG_TYPE) != VFIO_USER_TYPE_COMMAND) {
		*why = "a message that is neither command nor reply";
		return VFIO_USER_VIOLATION;
	}
	*size = h.size;
	return 0;
}

static void decode_header(const uint8_t *msg, struct vfio_user_header *h,
			  struct vfio_user_request *req)
{
	memcpy(h, msg, sizeof(*h));
	req->id = h->id;
	req->command = h->command;
	req->no_reply = h->flags & VFIO_USER_FLAG_NO_REPLY;
	req->reply_max = (uint32_t)sizeof(*h);
}

int vfio_user_decode_skipped(const uint8_t *msg, struct vfio_user_request *req, const char **why)
{
	struct vfio_user_header h;

	decode_header(msg, &h, req);
	*why = "more data than max_data_xfer_size";
	return -EMSGSIZE;
}

int vfio_user_decode(const uint8_t *msg, size_t size, size_t nfds, struct vfio_user_request *req,
		     const char **why)
{
	struct message m = {
		.data = msg + sizeof(struct vfio_user_header),
		.len = size - sizeof(struct vfio_user_header),
		.nfds = nfds,
	};
	struct vfio_user_header h;
	int err;

	decode_header(msg, &h, req);
	if (h.flags & ~(VFIO_USER_FLAG_TYPE | VFIO_USER_FLAG_NO_REPLY)) {
		*why = "a command with reserved flags";
		return -EINVAL;
	}
	if (h.command == VFIO_USER_DMA_READ || h.command == VFIO_USER_DMA_WRITE) {
		*why = "a command that only a server sends";
		return -ENOTSUP;
	}
	if (h.command >= ARRAY_LEN(commands) || !commands[h.command].decode) {
		*why = "a command that is not supported";
		return -ENOTSUP;
	}
	if (nfds && !commands[h.command].takes_fds) {
		*why = "descriptors with a command that takes none";
		return -EINVAL;
	}
	err = commands[h.command].decode(&m, req);
	if (err)
		*why = m.why;
	return err;
}
