/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio_user/codec.h: what is accepted, what is refused, and that nothing else is looked at. */
#include "test_vfio_user_decode.h"

static int frame(struct vfio_user_header h, size_t *size)
{
	const char *why = NULL;
	int err = vfio_user_decode_frame((uint8_t *)&h, sizeof(h), size, &why);

	assert_int_equal(!!err, !!why);
	return err;
}

static void test_frame(void **state)
{
	struct vfio_user_header h = { .command = VFIO_USER_DEVICE_RESET, .size = 16 };
	const char *why;
	size_t size;

	(void)state;
	for (size_t len = 0; len < sizeof(h); len++) {
		assert_int_equal(vfio_user_decode_frame((uint8_t *)&h, len, &size, &why), 0);
		assert_int_equal(size, 0);
	}
	assert_int_equal(frame(h, &size), 0);
	assert_int_equal(size, 16);
	for (h.size = 0; h.size < 16; h.size++)
		assert_int_equal(frame(h, &size), VFIO_USER_VIOLATION);
	h.size = VFIO_USER_MAX_SKIPPED;
	assert_int_equal(frame(h, &size), 0);
	h.size++;
	assert_int_equal(frame(h, &size), VFIO_USER_VIOLATION);
	h.size = UINT32_MAX;
	assert_int_equal(frame(h, &size), VFIO_USER_VIOLATION);
	h.size = 16;
	for (h.flags = 1; h.flags < 16; h.flags++)
		assert_int_equal(frame(h, &size), VFIO_USER_VIOLATION);
}

static void test_flags(void **state)
{
	struct vfio_user_request req;

	(void)state;
	assert_int_equal(decode(VFIO_USER_DEVICE_RESET, 0, NULL, 0, 0, &req), 0);
	assert_int_equal(decode(VFIO_USER_DEVICE_RESET, VFIO_USER_FLAG_NO_REPLY, NULL, 0, 0, &req),
			 0);
	for (uint32_t flag = VFIO_USER_FLAG_ERROR; flag; flag <<= 1)
		assert_int_equal(decode(VFIO_USER_DEVICE_RESET, flag, NULL, 0, 0, &req), -EINVAL);
}

static void test_commands(void **state)
{
	static const uint16_t supported[] = {
		VFIO_USER_VERSION,
		VFIO_USER_DMA_MAP,
		VFIO_USER_DMA_UNMAP,
		VFIO_USER_DEVICE_GET_INFO,
		VFIO_USER_DEVICE_GET_REGION_INFO,
		VFIO_USER_DEVICE_GET_REGION_IO_FDS,
		VFIO_USER_DEVICE_GET_IRQ_INFO,
		VFIO_USER_DEVICE_SET_IRQS,
		VFIO_USER_REGION_READ,
		VFIO_USER_REGION_WRITE,
		VFIO_USER_DEVICE_RESET,
		VFIO_USER_REGION_WRITE_MULTI,
		VFIO_USER_DEVICE_FEATURE,
		VFIO_USER_MIG_DATA_READ,
		VFIO_USER_MIG_DATA_WRITE,
	};
	struct vfio_user_request req;
	uint32_t mask = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(supported) / sizeof(supported[0]); i++)
		mask |= 1u << supported[i];
	for (uint32_t c = 0; c <= UINT16_MAX; c = c < 64 ? c + 1 : c + 997) {
		uint8_t byte = 0;
		int err = decode((uint16_t)c, 0, &byte, 1, 0, &req);

		/* One byte is no command's payload. */
		assert_int_equal(err, c < 32 && mask & 1u << c ? -EINVAL : -ENOTSUP);
	}
	/* Descriptors with a command that has no use for them. */
	assert_int_equal(decode(VFIO_USER_DEVICE_RESET, 0, NULL, 0, 1, &req), -EINVAL);
}

static void test_dma_map(void **state)
{
	const struct vfio_user_dma_map good = {
		.argsz = 32, .flags = 3, .offset = 8192, .address = 0x10000, .size = 0x2000
	};
	struct vfio_user_dma_map map = good;
	struct vfio_user_request req;

	(void)state;
#define MAP(nfds) decode(VFIO_USER_DMA_MAP, 0, &map, sizeof(map), nfds, &req)
#define REFUSED(field, value, nfds)                   \
	do {                                          \
		map = good;                           \
		map.field = value;                    \
		assert_int_equal(MAP(nfds), -EINVAL); \
	} while (0)
	assert_int_equal(MAP(1), 0);
	assert_int_equal(req.map.iova, 0x10000);
	assert_int_equal(req.map.size, 0x2000);
	assert_int_equal(req.map.offset, 8192);
	assert_int_equal(req.map.prot, PROT_READ | PROT_WRITE);
	assert_int_equal(MAP(0), 0);
	assert_int_equal(MAP(2), -EINVAL);
	assert_int_equal(decode(VFIO_USER_DMA_MAP, 0, &map, sizeof(map) - 1, 1, &req), -EINVAL);
	map.flags = VFIO_USER_DMA_READABLE;
	assert_int_equal(MAP(1), 0);
	assert_int_equal(req.map.prot, PROT_READ);
	map = good;
	map.address = -(uint64_t)0x2000;
	assert_int_equal(MAP(1), 0);
	REFUSED(argsz, 31, 1);
	REFUSED(flags, 0, 1);
	REFUSED(flags, 4, 1);
	REFUSED(flags, 0x80000003, 1);
	REFUSED(size, 0, 1);
	REFUSED(size, 4097, 1);
	REFUSED(size, UINT64_MAX, 1);
	REFUSED(size, -(uint64_t)4096, 1);
	REFUSED(address, 0x10800, 1);
	REFUSED(address, -(uint64_t)4096, 1);
	REFUSED(offset, 1, 1);
	REFUSED(offset, 1ull << 63, 1);
	REFUSED(offset, (1ull << 63) - 4096, 1);
#undef REFUSED
#undef MAP
}

static void test_dma_unmap(void **state)
{
	struct vfio_user_dma_unmap unmap = { .argsz = 24, .address = 0x1000, .size = 0x1000 };
	struct vfio_user_request req;

	(void)state;
#define UNMAP() decode(VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), 0, &req)
	assert_int_equal(UNMAP(), 0);
	assert_int_equal(req.unmap.iova, 0x1000);
	assert_int_equal(req.unmap.size, 0x1000);
	assert_int_equal(decode(VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap) - 1, 0, &req),
			 -EINVAL);
	assert_int_equal(decode(VFIO_USER_DMA_UNMAP, 0, &unmap, sizeof(unmap), 1, &req), -EINVAL);
	unmap.argsz = 23;
	assert_int_equal(UNMAP(), -EINVAL);
	unmap.argsz = 24;
	unmap.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	assert_int_equal(UNMAP(), -ENOTSUP);
	for (unmap.flags = 4; unmap.flags; unmap.flags <<= 1)
		assert_int_equal(UNMAP(), -EINVAL);
	unmap.flags = VFIO_DMA_UNMAP_FLAG_ALL;
	assert_int_equal(UNMAP(), -EINVAL);
	unmap.address = 0;
	assert_int_equal(UNMAP(), -EINVAL);
	unmap.size = 0;
	assert_int_equal(UNMAP(), 0);
	assert_true(req.unmap.all);
	unmap = (struct vfio_user_dma_unmap){ .argsz = 24, .address = 0x1000, .size = 0x1000 };
	assert_int_equal(UNMAP(), 0);
	assert_false(req.unmap.all);
	unmap.size = 0;
	assert_int_equal(UNMAP(), -EINVAL);
	unmap.size = UINT64_MAX;
	assert_int_equal(UNMAP(), -EINVAL);
#undef UNMAP
}

static void test_info(void **state)
{
	uint32_t words[8] = { 32 };
	struct vfio_user_request req;
	static const struct {
		uint16_t command;
		size_t size;
		int index; /* word, or -1 */
	} infos[] = {
		{ VFIO_USER_DEVICE_GET_INFO, 16, -1 },
		{ VFIO_USER_DEVICE_GET_REGION_INFO, 32, 2 },
		{ VFIO_USER_DEVICE_GET_IRQ_INFO, 16, 2 },
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t size = infos[i].size;

		for (words[0] = 0; words[0] <= 40; words[0]++)
			assert_int_equal(decode(infos[i].command, 0, words, size, 0, &req),
					 words[0] < size ? -EINVAL : 0);
		words[0] = 64;
		for (size_t len = 0; len <= sizeof(words); len++)
			assert_int_equal(decode(infos[i].command, 0, words, len, 0, &req),
					 len == size ? 0 : -EINVAL);
		for (int w = 1; w < (int)(size / 4); w++) {
			words[w] = 5;
			assert_int_equal(decode(infos[i].command, 0, words, size, 0, &req),
					 w == infos[i].index ? 0 : -EINVAL);
			if (w == infos[i].index)
				assert_int_equal(req.info.index, 5);
			words[w] = 0;
		}
		assert_int_equal(decode(infos[i].command, 0, words, size, 1, &req), -EINVAL);
	}
}

static int decode_irqs(uint32_t flags, uint32_t start, uint32_t count, size_t data, size_t nfds,
		       struct vfio_user_request *req)
{
	struct {
		struct vfio_user_irq_set set;
		uint8_t data[64];
	} m = { .set = { .argsz = (uint32_t)(20 + data),
			 .flags = flags,
			 .index = VFIO_PCI_MSIX_IRQ_INDEX,
			 .start = start,
			 .count = count } };

	for (size_t i = 0; i < sizeof(m.data); i++)
		m.data[i] = (uint8_t)i;
	return decode(VFIO_USER_DEVICE_SET_IRQS, 0, &m, sizeof(m.set) + data, nfds, req);
}

static void test_irqs(void **state)
{
	const uint32_t none = VFIO_IRQ_SET_DATA_NONE, boolean = VFIO_IRQ_SET_DATA_BOOL;
	const uint32_t eventfd = VFIO_IRQ_SET_DATA_EVENTFD, mask = VFIO_IRQ_SET_ACTION_MASK;
	const uint32_t unmask = VFIO_IRQ_SET_ACTION_UNMASK, trigger = VFIO_IRQ_SET_ACTION_TRIGGER;
	struct vfio_user_request req;
	struct vfio_user_irq_set set = { .argsz = 19, .flags = none | trigger, .count = 1 };

	(void)state;
	assert_int_equal(decode_irqs(eventfd | trigger, 3, 2, 0, 2, &req), 0);
	assert_int_equal(req.irqs.flags, eventfd | trigger);
	assert_int_equal(req.irqs.index, VFIO_PCI_MSIX_IRQ_INDEX);
	assert_int_equal(req.irqs.start, 3);
	assert_int_equal(req.irqs.count, 2);
	assert_null(req.irqs.bools);
	assert_int_equal(decode_irqs(boolean | unmask, 0, 3, 3, 0, &req), 0);
	assert_non_null(req.irqs.bools);
	assert_int_equal(req.irqs.bools[2], 2);
	assert_int_equal(decode_irqs(none | mask, 0, 1, 0, 0, &req), 0);
	/* No descriptors: these interrupts are unbound. */
	assert_int_equal(decode_irqs(eventfd | trigger, 0, 2048, 0, 0, &req), 0);
	/* All interrupts of the index are disabled. */
	assert_int_equal(decode_irqs(none | trigger, 0, 0, 0, 0, &req), 0);
	assert_int_equal(decode_irqs(none | trigger, 1, 0, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(none | mask, 0, 0, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(eventfd | trigger, 0, 0, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(boolean | trigger, 0, 0, 0, 0, &req), -EINVAL);
	/* One data type and one action. */
	assert_int_equal(decode_irqs(0, 0, 1, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(none, 0, 1, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(trigger, 0, 1, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(none | eventfd | trigger, 0, 1, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(none | mask | unmask, 0, 1, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(none | trigger | 64, 0, 1, 0, 0, &req), -EINVAL);
	/* Data, descriptors and count agree. */
	assert_int_equal(decode_irqs(none | trigger, 0, 1, 1, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(boolean | trigger, 0, 3, 2, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(boolean | trigger, 0, 3, 4, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(boolean | trigger, 0, UINT32_MAX, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(boolean | trigger, 0, 3, 3, 3, &req), -EINVAL);
	assert_int_equal(decode_irqs(none | trigger, 0, 1, 0, 1, &req), -EINVAL);
	assert_int_equal(decode_irqs(eventfd | trigger, 0, 2, 0, 1, &req), -EINVAL);
	assert_int_equal(decode_irqs(eventfd | trigger, 0, 1, 0, 2, &req), -EINVAL);
	/* The range does not wrap. */
	assert_int_equal(decode_irqs(none | trigger, UINT32_MAX, 2, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_irqs(none | trigger, 1, UINT32_MAX, 0, 0, &req), -EINVAL);
	assert_int_equal(decode(VFIO_USER_DEVICE_SET_IRQS, 0, &set, sizeof(set), 0, &req), -EINVAL);
	assert_int_equal(decode(VFIO_USER_DEVICE_SET_IRQS, 0, &set, sizeof(set) - 1, 0, &req),
			 -EINVAL);
}

static int decode_access(uint16_t command, uint64_t offset, uint32_t count, size_t data,
			 struct vfio_user_request *req)
{
	struct vfio_user_region_access a = { .offset = offset, .region = 7, .count = count };
	uint8_t *payload = calloc(1, sizeof(a) + data);
	int err;

	memcpy(payload, &a, sizeof(a));
	if (data)
		payload[sizeof(a) + data - 1] = 0x5a;
	err = decode(command, 0, payload, sizeof(a) + data, 0, req);
	free(payload);
	return err;
}

static void test_access(void **state)
{
	const uint16_t rd = VFIO_USER_REGION_READ, wr = VFIO_USER_REGION_WRITE;
	struct vfio_user_request req;

	(void)state;
	assert_int_equal(decode_access(rd, 8, 4, 0, &req), 0);
	assert_int_equal(req.access.region, 7);
	assert_int_equal(req.access.offset, 8);
	assert_int_equal(req.access.count, 4);
	assert_int_equal(req.reply_max, 16 + 16 + 4);
	assert_int_equal(decode_access(wr, 8, 4, 4, &req), 0);
	assert_int_equal(req.access.data[3], 0x5a);
	assert_int_equal(req.reply_max, 16 + 16);
	assert_int_equal(decode_access(rd, 0, VFIO_USER_MAX_XFER, 0, &req), 0);
	assert_int_equal(decode_access(wr, 0, VFIO_USER_MAX_XFER, VFIO_USER_MAX_XFER, &req), 0);
	assert_int_equal(decode_access(rd, UINT64_MAX, 1, 0, &req), 0);
	for (int i = 0; i < 2; i++) {
		uint16_t c = i ? wr : rd;
		size_t d = i ? 1 : 0;

		assert_int_equal(decode_access(c, 0, 0, 0, &req), -EINVAL);
		assert_int_equal(decode_access(c, 0, VFIO_USER_MAX_XFER + 1,
					       d * (VFIO_USER_MAX_XFER + 1), &req),
				 -EINVAL);
		assert_int_equal(decode_access(c, 0, UINT32_MAX, 4 * d, &req), -EINVAL);
		assert_int_equal(decode_access(c, UINT64_MAX, 2, 2 * d, &req), -EINVAL);
		assert_int_equal(decode_access(c, 0, 4, 4 * d + 1, &req), -EINVAL);
	}
	assert_int_equal(decode_access(wr, 0, 4, 3, &req), -EINVAL);
	assert_int_equal(decode_access(wr, 0, 4, 0, &req), -EINVAL);
	assert_int_equal(decode(rd, 0, "0123456789abcde", 15, 0, &req), -EINVAL);
}

static void test_feature(void **state)
{
	const uint32_t get = VFIO_DEVICE_FEATURE_GET, set = VFIO_DEVICE_FEATURE_SET;
	const uint32_t probe = VFIO_DEVICE_FEATURE_PROBE;
	struct {
		struct vfio_user_device_feature f;
		uint8_t data[8];
	} m = { .f = { .argsz = 8 } };
	struct vfio_user_request req;

	(void)state;
#define FEATURE(value, len) \
	(m.f.flags = (value), decode(VFIO_USER_DEVICE_FEATURE, 0, &m, sizeof(m.f) + (len), 0, &req))
	assert_int_equal(FEATURE(get | 0xffff, 0), 0);
	assert_int_equal(req.feature.index, 0xffff);
	assert_int_equal(req.feature.methods, get);
	assert_false(req.feature.probe);
	assert_int_equal(FEATURE(set | 2, 8), 0);
	assert_int_equal(req.feature.index, 2);
	assert_int_equal(req.feature.len, 8);
	assert_ptr_equal(req.feature.data, last + 16 + 8);
	assert_int_equal(FEATURE(probe | 1, 0), 0);
	assert_true(req.feature.probe);
	assert_int_equal(req.feature.methods, 0);
	/* GET and SET are mutually exclusive, except with PROBE. */
	assert_int_equal(FEATURE(probe | get | set | 1, 0), 0);
	assert_int_equal(req.feature.methods, get | set);
	assert_int_equal(FEATURE(get | set | 1, 0), -EINVAL);
	assert_int_equal(FEATURE(1, 0), -EINVAL);
	for (uint32_t flag = probe << 1; flag; flag <<= 1)
		assert_int_equal(FEATURE(probe | flag | 1, 0), -EINVAL);
	m.f.argsz = 7;
	assert_int_equal(FEATURE(get | 1, 0), -EINVAL);
	assert_int_equal(decode(VFIO_USER_DEVICE_FEATURE, 0, &m, 7, 0, &req), -EINVAL);
#undef FEATURE
}

static int decode_mig(uint16_t command, uint32_t argsz, uint32_t size, size_t data,
		      struct vfio_user_request *req)
{
	struct {
		struct vfio_user_mig_data mig;
		uint8_t data[64];
	} m = { .mig = { .argsz = argsz, .size = size } };

	return decode(command, 0, &m, sizeof(m.mig) + data, 0, req);
}

static void test_mig_data(void **state)
{
	const uint16_t rd = VFIO_USER_MIG_DATA_READ, wr = VFIO_USER_MIG_DATA_WRITE;
	struct vfio_user_request req;

	(void)state;
	assert_int_equal(decode_mig(rd, 8 + 100, 100, 0, &req), 0);
	assert_int_equal(req.mig.size, 100);
	assert_int_equal(decode_mig(rd, 8 + 99, 100, 0, &req), -EINVAL);
	assert_int_equal(decode_mig(rd, 8 + 100, 100, 1, &req), -EINVAL);
	assert_int_equal(decode_mig(rd, 8, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_mig(rd, UINT32_MAX, VFIO_USER_MAX_XFER, 0, &req), 0);
	assert_int_equal(decode_mig(rd, UINT32_MAX, VFIO_USER_MAX_XFER + 1, 0, &req), -EINVAL);
	assert_int_equal(decode_mig(wr, 8, 32, 32, &req), 0);
	assert_ptr_equal(req.mig.data, last + 16 + 8);
	assert_int_equal(decode_mig(wr, 7, 32, 32, &req), -EINVAL);
	assert_int_equal(decode_mig(wr, 8, 32, 31, &req), -EINVAL);
	assert_int_equal(decode_mig(wr, 8, 32, 33, &req), -EINVAL);
	assert_int_equal(decode_mig(wr, 8, UINT32_MAX, 0, &req), -EINVAL);
	assert_int_equal(decode_mig(wr, 8, 0, 0, &req), -EINVAL);
}

static int decode_multi(const void *writes, uint64_t count, size_t len,
			struct vfio_user_request *req)
{
	uint8_t payload[512];

	memcpy(payload, &count, sizeof(count));
	memcpy(payload + sizeof(count), writes, len);
	return decode(VFIO_USER_REGION_WRITE_MULTI, 0, payload, sizeof(count) + len, 0, req);
}

static void test_write_multi(void **state)
{
	struct vfio_user_write_one w[3] = {
		{ .offset = 0x1000, .region = 2, .count = 2, .data = "ab" },
		{ .offset = UINT64_MAX - 7, .region = 7, .count = 8, .data = "cdefghi" },
		{ .offset = UINT64_MAX, .region = UINT32_MAX, .count = 1 },
	};
	struct vfio_user_request req;
	struct vfio_user_write one;

	(void)state;
	assert_int_equal(decode_multi(w, 3, sizeof(w), &req), 0);
	assert_int_equal(req.multi.count, 3);
	assert_int_equal(req.reply_max, 16 + 8);
	for (uint32_t i = 0; i < 3; i++) {
		vfio_user_decode_write(&req, i, &one);
		assert_int_equal(one.region, w[i].region);
		assert_int_equal(one.offset, w[i].offset);
		assert_int_equal(one.count, w[i].count);
		assert_memory_equal(one.data, w[i].data, one.count);
	}
	assert_int_equal(decode(VFIO_USER_REGION_WRITE_MULTI, 0, "1234567", 7, 0, &req), -EINVAL);
	assert_int_equal(decode_multi(w, 0, 0, &req), -EINVAL);
	assert_int_equal(decode_multi(w, 3, sizeof(w) - 1, &req), -EINVAL);
	assert_int_equal(decode_multi(w, 2, sizeof(w), &req), -EINVAL);
	assert_int_equal(decode_multi(w, 4, sizeof(w), &req), -EINVAL);
	/* A count that comes out right only if it is multiplied in 64 bits. */
	assert_int_equal(decode_multi(w, (1ull << 61) + 3, sizeof(w), &req), -EINVAL);
	for (int i = 0; i < 3; i++) {
		struct vfio_user_write_one bad[3];

		memcpy(bad, w, sizeof(w));
		bad[i].count = 0;
		assert_int_equal(decode_multi(bad, 3, sizeof(bad), &req), -EINVAL);
		bad[i].count = 9;
		bad[i].offset = 0;
		assert_int_equal(decode_multi(bad, 3, sizeof(bad), &req), -EINVAL);
		bad[i].count = 2;
		bad[i].offset = UINT64_MAX;
		assert_int_equal(decode_multi(bad, 3, sizeof(bad), &req), -EINVAL);
	}
}

/* Whatever the bytes are, decoding ends, and says yes only to sizes that fit. */
static void test_random(void **state)
{
	uint8_t payload[96];
	struct vfio_user_request req;
	unsigned int accepted = 0;

	(void)state;
	srandom(1);
	for (int round = 0; round < 200000; round++) {
		size_t len = (size_t)random() % (sizeof(payload) + 1);
		uint16_t command = (uint16_t)(random() % 20);

		for (size_t i = 0; i < len; i++)
			payload[i] = random() % 3 ? 0 : (uint8_t)random();
		if (!decode(command, 0, payload, len, (size_t)random() % 3, &req))
			accepted++;
	}
	assert_true(accepted > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame),       cmocka_unit_test(test_flags),
		cmocka_unit_test(test_commands),    cmocka_unit_test(test_dma_map),
		cmocka_unit_test(test_dma_unmap),   cmocka_unit_test(test_info),
		cmocka_unit_test(test_irqs),        cmocka_unit_test(test_access),
		cmocka_unit_test(test_write_multi), cmocka_unit_test(test_feature),
		cmocka_unit_test(test_mig_data),    cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, free_last);
}
