/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Migration streams (src/virtio/stream.h) that are files of tests/fixture/streams, each loaded into
 * a function that is made to fit. `--write DIR` makes those of ridge's own.
 */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "net_driver.h"
#include "packed_ring.h"
#include "parts.h"
#include "virtio/stream.h"

#define VF 1

/* The selector of VIRTIO_NET_CTRL_MAC_ADDR_SET. */
#define NET_MAC 0x101

struct world {
	struct machine *m;
	struct pf_driver pf;
};

static void world_init(struct world *w, const char *type)
{
	w->m = parts_machine(type, 2, &w->pf);
}

static void world_fini(struct world *w)
{
	pf_driver_fini(&w->pf);
	machine_free(w->m);
}

/* --- loading --- */

/* The parts of the stream's last record. */
static void read_stream(const char *path, struct parts *parts)
{
	struct virtio_stream s = { 0 };
	FILE *file = fopen(path, "rb");
	const uint8_t *data;
	uint8_t piece[100];
	size_t n;

	if (!file)
		fail_msg("%s: no such file", path);
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		assert_int_equal(virtio_stream_read(&s, piece, n), 0);
	fclose(file);
	assert_int_equal(virtio_stream_end(&s, &data, &n), 0);
	assert_true(n <= ADMIN_BIG);
	parts->len = (uint32_t)n;
	memcpy(parts->data, data, n);
	virtio_stream_free(&s);
}

/* What a function has to be made with, so that it can be what the parts say. */
static struct device_params params_for(const char *type, struct parts *parts)
{
	struct device_params p = { 0 };
	uint64_t features;
	uint16_t queues;

	memcpy(&features, part_value(parts, P_DEV_FEATURES, 0), 8);
	memcpy(&queues, part_value(parts, P_COMMON_CFG, C_NUM_QUEUES), 2);
	for (uint16_t i = 0; i < queues; i++) {
		struct vq_cfg cfg;

		memcpy(&cfg, part_value(parts, P_VQ_CFG, i), sizeof(cfg));
		if (cfg.size > p.queue_size)
			p.queue_size = cfg.size;
	}
	p.packed = features & F_RING_PACKED;
	p.queues = (uint16_t)(strcmp(type, "net") ? queues : (queues - 1) / 2);
	p.mtu = strcmp(type, "net") || !(features & N_MTU) ? 0 : 1500;
	p.readonly = !strcmp(type, "blk") && (features & 1u << 5);
	if (!strcmp(type, "net"))
		memcpy(p.mac, part_value(parts, P_NET_CVQ, NET_MAC), sizeof(p.mac));
	return p;
}

static void load(const char *path, const char *type)
{
	static struct parts parts, again;
	struct device_params params;
	struct member *vf;
	struct world w;

	read_stream(path, &parts);
	params = params_for(type, &parts);
	world_init(&w, type);
	if (!strcmp(type, "blk")) {
		int image = memfd_create("test:image", 0);

		assert_int_equal(ftruncate(image, 1 << 20), 0);
		params.backend = image;
	}
	vf = member_new(w.m, VF, &params);
	parts_objects(&w.pf, VF);
	assert_int_equal(admin_mode(&w.pf, VF, MODE_STOPPED), OK);
	if (parts_load(&w.pf, VF, &parts) != OK)
		fail_msg("%s: refused", path);
	parts_save(&w.pf, VF, &again);
	assert_int_equal(parts.len, again.len);
	assert_memory_equal(parts.data, again.data, parts.len);
	assert_int_equal(admin_mode(&w.pf, VF, 0), OK);
	member_free(vf);
	world_fini(&w);
}

static void test_every_stream_loads(void **state)
{
	DIR *dir = opendir(STREAMS);
	struct dirent *entry;
	int count = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[512], type[8];

		if (!strstr(entry->d_name, ".stream"))
			continue;
		assert_int_equal(sscanf(entry->d_name, "%*[a-z]-%7[a-z]", type), 1);
		snprintf(path, sizeof(path), "%s/%s", STREAMS, entry->d_name);
		load(path, type);
		count++;
	}
	closedir(dir);
	assert_true(count >= 6);
}

/* --- making --- */

static void write_record(FILE *file, const struct parts *parts)
{
	uint8_t header[16];

	virtio_stream_write_header(header, VIRTIO_STREAM_TAG_PARTS, 0, parts->len);
	assert_int_equal(fwrite(header, sizeof(header), 1, file), 1);
	assert_int_equal(fwrite(parts->data, parts->len, 1, file), 1);
}

/* Both records of a function; work() is what its driver does in between. */
static void save(struct pf_driver *pf, const char *path, void (*work)(void *ctx), void *ctx)
{
	static struct parts parts;
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	parts_objects(pf, VF);
	parts_save(pf, VF, &parts);
	write_record(file, &parts);
	work(ctx);
	assert_int_equal(admin_mode(pf, VF, MODE_STOPPED), OK);
	parts_save(pf, VF, &parts);
	write_record(file, &parts);
	assert_int_equal(admin_mode(pf, VF, 0), OK);
	assert_int_equal(fclose(file), 0);
}

struct blk_work {
	struct driver d;
	uint16_t queues;
	struct ring ring[2];
};

/* Requests that fail, since there is no such type: their place in the ring is what counts. */
static void blk_requests(void *ctx)
{
	struct blk_work *b = ctx;
	uint64_t at = ram_alloc(&b->d.ram, 32, 16);
	struct buf bufs[2] = { { at, 16, false }, { at + 16, 1, true } };
	uint32_t type = 0x1234, len;

	memcpy(ram_at(&b->d.ram, at), &type, 4);
	for (int i = 0; i < 21; i++) {
		uint16_t queue = i % 3 == 0 && b->queues > 1;

		ring_add(&b->ring[queue], bufs, 2);
		driver_kick(&b->d, queue);
		driver_used(&b->d, &b->ring[queue], &len);
	}
}

static void save_blk_of(const char *path, struct device_params params)
{
	struct blk_work b = { .queues = params.queues };
	struct member *vf;
	struct world w;

	world_init(&w, "blk");
	params.backend = memfd_create("test:image", 0);
	assert_int_equal(ftruncate(params.backend, 1 << 20), 0);
	vf = member_new(w.m, VF, &params);
	driver_init(&b.d, w.m, vf->pa);
	assert_true(driver_negotiate(&b.d, F_VERSION_1 | F_EVENT_IDX | F_INDIRECT_DESC | 1u << 9 |
						   1u << 11));
	driver_bind(&b.d, b.queues + 1u);
	set_common(&b.d, C_CONFIG_MSIX_VECTOR, 2, b.queues);
	for (uint16_t i = 0; i < b.queues; i++) {
		ring_init(&b.ring[i], &b.d.ram, 64);
		driver_queue(&b.d, i, &b.ring[i], i);
	}
	driver_ok(&b.d);
	save(&w.pf, path, blk_requests, &b);
	driver_fini(&b.d);
	member_free(vf);
	world_fini(&w);
}

/* As a VF of an exported PF is made. */
static void save_blk(const char *path)
{
	save_blk_of(path, (struct device_params){ .queues = 1 });
}

static void save_blk_queues(const char *path)
{
	save_blk_of(path, (struct device_params){ .queues = 2, .packed = true });
}

static void net_frames(void *ctx)
{
	struct net_driver *n = ctx;
	uint8_t frame[64] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t tables[] = {
		1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 3, 0, 0, 0, 0, 7
	};

	net_test_mac(frame + 6, VF);
	for (int i = 0; i < 5; i++) {
		net_post(n, 0, 2048);
		net_send(n, NULL, frame, sizeof(frame));
	}
	assert_int_equal(net_ctrl8(n, CTRL_RX, 0, 1), CTRL_OK);
	assert_int_equal(net_ctrl(n, CTRL_MAC, 0, tables, sizeof(tables)), CTRL_OK);
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, 0, 7), CTRL_OK);
	assert_int_equal(net_ctrl16(n, CTRL_VLAN, 0, 4095), CTRL_OK);
}

static void save_net(const char *path)
{
	struct net_world w;
	struct net_driver n;
	struct wire wire;

	net_world_init(&w, 2);
	parts_use(&w.pf);
	wire_init(&wire);
	net_open(&n, &w, VF, NULL, &wire.backend);
	net_start(&n, N_MAC | N_STATUS | N_CTRL_VQ | N_CTRL_RX | N_CTRL_VLAN | N_MRG_RXBUF |
			      N_GUEST_CSUM | N_GUEST_TSO4 | F_EVENT_IDX);
	save(&w.pf, path, net_frames, &n);
	net_close(&n);
	net_world_fini(&w);
}

struct packed_work {
	struct driver d;
	struct packed_ring tx;
};

static void packed_frames(void *ctx)
{
	struct packed_work *p = ctx;
	uint64_t at = ram_alloc(&p->d.ram, 128, 8);
	struct buf buf = { at, 12 + 64, false };
	struct packed_desc used;

	net_test_mac((uint8_t *)ram_at(&p->d.ram, at) + 12 + 6, VF);
	for (uint16_t i = 0; i < 37; i++) {
		packed_add(&p->tx, i % 16, &buf, 1);
		driver_kick(&p->d, 1);
		machine_wait(p->d.m, packed_used(&p->tx, &used));
	}
}

static void save_net_packed(const char *path)
{
	struct device_params params = { .packed = true, .queues = 2, .mtu = 1500 };
	struct packed_work p;
	struct ring ring = { .size = 16 };
	struct member *vf;
	struct world w;

	world_init(&w, "net");
	net_test_mac(params.mac, VF);
	vf = member_new(w.m, VF, &params);
	driver_init(&p.d, w.m, vf->pa);
	assert_true(driver_negotiate(&p.d, F_VERSION_1 | F_RING_PACKED | F_IN_ORDER | N_MTU));
	packed_ring_init(&p.tx, &p.d.ram, 16);
	ring.desc = p.tx.desc;
	ring.avail = p.tx.driver;
	ring.used = p.tx.device;
	driver_queue(&p.d, 1, &ring, NO_VECTOR);
	driver_ok(&p.d);
	save(&w.pf, path, packed_frames, &p);
	driver_fini(&p.d);
	member_free(vf);
	world_fini(&w);
}

static const struct {
	const char *name;
	const char *type;
	void (*save)(const char *path);
} makers[] = {
	{ "ridge-blk.stream", "blk", save_blk },
	{ "ridge-blk-queues.stream", "blk", save_blk_queues },
	{ "ridge-net.stream", "net", save_net },
	{ "ridge-net-packed.stream", "net", save_net_packed },
};

/* What is saved now loads as well as what was saved once. */
static void test_what_is_saved_loads(void **state)
{
	char dir[] = "/tmp/ridge-streams-XXXXXX", path[256];

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, makers[i].name);
		makers[i].save(path);
		load(path, makers[i].type);
		unlink(path);
	}
	rmdir(dir);
}

static void test_write(void **state)
{
	char path[512];

	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", (const char *)*state, makers[i].name);
		makers[i].save(path);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_stream_loads),
		cmocka_unit_test(test_what_is_saved_loads),
	};
	const struct CMUnitTest write[] = {
		cmocka_unit_test_prestate(test_write, argc > 2 ? argv[2] : NULL),
	};

	if (argc == 3 && !strcmp(argv[1], "--write"))
		return cmocka_run_group_tests(write, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
