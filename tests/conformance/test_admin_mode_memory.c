/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A blk function that is stopped while its disk hangs (virtio 1.4, 2.12.1.4.5): once the command is
 * over, not a byte of its driver's memory changes, and no interrupt comes, whatever the driver does.
 */
#include "blk_fixture.h"
#include "packed_ring.h"

#define VF       1
#define SECTORS  64
#define RING     32
#define REQUESTS 8

struct request {
	uint64_t header;
	uint64_t data;
	uint64_t status;
};

struct fixture {
	struct blk_fixture *b;
	struct request r[REQUESTS];
	bool is_packed;
	bool event_idx;
	struct packed_ring packed;
	struct ring split;
	unsigned int ended;
};

static int setup(void **state)
{
	struct device_params params = { .packed = true };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->b = blk_fixture_new_strict(blk_image(SECTORS * SECTOR, 0x5a), &params, *state != NULL);
	admin_use_supported(&f->b->pf);
	for (int i = 0; i < REQUESTS; i++) {
		f->r[i].header = ram_alloc(&f->b->d.ram, 16, 16);
		f->r[i].data = ram_alloc(&f->b->d.ram, SECTOR, SECTOR);
		f->r[i].status = ram_alloc(&f->b->d.ram, 1, 1);
	}
	*state = f;
	return 0;
}

static void start(struct fixture *f, uint64_t features)
{
	struct driver *d = &f->b->d;
	struct ring addresses = { .size = RING };

	f->is_packed = features & F_RING_PACKED;
	f->event_idx = features & F_EVENT_IDX;
	assert_true(driver_negotiate(d, F_VERSION_1 | B_FLUSH | features));
	driver_bind(d, BLK_VECTORS);
	set_common(d, C_CONFIG_MSIX_VECTOR, 2, VEC_CONFIG);
	if (f->is_packed) {
		packed_ring_init(&f->packed, &d->ram, RING);
		addresses.desc = f->packed.desc;
		addresses.avail = f->packed.driver;
		addresses.used = f->packed.device;
	} else {
		ring_init(&f->split, &d->ram, RING);
		addresses = f->split;
	}
	driver_queue(d, 0, &addresses, VEC_QUEUE);
	driver_ok(d);
}

static void send(struct fixture *f, uint16_t i, uint32_t type)
{
	struct ram *ram = &f->b->d.ram;
	struct request *r = &f->r[i];
	struct buf bufs[3] = { { r->header, 16, false } };
	uint64_t header[2] = { type, i };
	size_t n = 1;

	memcpy(ram_at(ram, r->header), header, sizeof(header));
	*(uint8_t *)ram_at(ram, r->status) = ST_NONE;
	if (type != T_FLUSH)
		bufs[n++] = (struct buf){ r->data, SECTOR, type == T_IN };
	bufs[n++] = (struct buf){ r->status, 1, true };
	if (f->is_packed)
		packed_add(&f->packed, i, bufs, n);
	else
		ring_add(&f->split, bufs, n);
	driver_kick(&f->b->d, 0);
}

/* Looks at what was used, and wants to hear of the next; how much there was until now. */
static unsigned int ended(struct fixture *f)
{
	struct packed_desc used;
	uint32_t id, len;

	while (f->is_packed ? packed_used(&f->packed, &used) : ring_used(&f->split, &id, &len))
		f->ended++;
	if (f->event_idx && f->is_packed)
		packed_set_event(&f->packed, PACKED_EVENT_DESC, f->packed.used_next,
				 f->packed.used_wrap);
	else if (f->event_idx)
		ring_set_used_event(&f->split, f->split.used_seen);
	return f->ended;
}

static uint8_t status(struct fixture *f, uint16_t i)
{
	return *(uint8_t *)ram_at(&f->b->d.ram, f->r[i].status);
}

/* What may make a device that has not quite stopped do something. */
static void provoke(struct fixture *f)
{
	struct driver *d = &f->b->d;

	for (int i = 0; i < 5; i++) {
		driver_kick(d, 0);
		cfg_write(d, 4, 2, 2);
		cfg_write(d, 4, 2, 6);
		for (uint32_t masked = 2; masked--;)
			d->pa->ops->bar_write(d->pa, 4, 12, &masked,
					      4); /* vector 0 (PCIe 7.7.2.5) */
		assert_int_equal(ftruncate(f->b->image, (SECTORS + i) * SECTOR), 0);
		assert_int_equal(blk_resize(f->b->vf->vf.dev, 0), 0);
		machine_settle(f->b->m);
		usleep(2000);
	}
}

static void hung(struct fixture *f, uint64_t features)
{
	static const uint32_t types[REQUESTS] = { T_IN, T_OUT, T_FLUSH, T_IN,
						  T_IN, T_OUT, T_IN,    T_IN };
	struct admin_head head = { .opcode = MODE_SET,
				   .group_type = SRIOV_GROUP,
				   .member = VF,
				   .data = { MODE_STOPPED } };
	struct driver *d = &f->b->d;
	struct admin_cmd cmd;
	uint8_t *before;

	start(f, features);
	blk_fault_hang(f->b->vf->vf.dev, true);
	for (uint16_t i = 0; i < 6; i++)
		send(f, i, types[i]);
	machine_settle(f->b->m);
	cmd = admin_send(&f->b->pf, &head, ADMIN_HEAD + 1, ADMIN_REPLY);
	assert_false(admin_done(&f->b->pf, &cmd));
	for (uint16_t i = 6; i < REQUESTS; i++)
		send(f, i, types[i]);
	blk_fault_hang(f->b->vf->vf.dev, false);
	assert_int_equal(admin_wait(&f->b->pf, &cmd), OK);

	/* All that it had taken is given back, and what it had not taken is untouched. */
	assert_int_equal(ended(f), 6);
	before = malloc(d->ram.size);
	assert_non_null(before);
	memcpy(before, d->ram.base, d->ram.size);
	for (uint16_t i = 0; i < REQUESTS; i++)
		assert_int_equal(status(f, i), i < 6 ? ST_OK : ST_NONE);
	assert_true(driver_events(d, VEC_QUEUE) > 0);
	provoke(f);
	assert_memory_equal(d->ram.base, before, d->ram.size);
	assert_int_equal(driver_events(d, VEC_QUEUE), 0);
	assert_int_equal(driver_events(d, VEC_CONFIG), 0);
	free(before);

	assert_int_equal(admin_mode(&f->b->pf, VF, 0), OK);
	machine_wait(f->b->m, ended(f) == REQUESTS);
	for (uint16_t i = 0; i < REQUESTS; i++)
		assert_int_equal(status(f, i), ST_OK);
	assert_true(driver_events(d, VEC_QUEUE) > 0);
	assert_int_equal(driver_events(d, VEC_CONFIG), 1);
}

/* rules: admin-mode-1 admin-mode-2 admin-mode-8 */
static void test_2_12_1_4_5_split(void **state)
{
	hung(*state, 0);
}

/* rules: admin-mode-8 admin-mode-9 */
static void test_2_12_1_4_5_split_event_idx(void **state)
{
	hung(*state, F_EVENT_IDX);
}

/* rules: admin-mode-1 admin-mode-2 admin-mode-8 */
static void test_2_12_1_4_5_packed(void **state)
{
	hung(*state, F_RING_PACKED);
}

/* rules: admin-mode-8 admin-mode-9 */
static void test_2_12_1_4_5_packed_event_idx(void **state)
{
	hung(*state, F_RING_PACKED | F_EVENT_IDX);
}

int main(void)
{
#define TEST(name) BLK_TEST_BOTH(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_2_12_1_4_5_split),
		TEST(test_2_12_1_4_5_split_event_idx),
		TEST(test_2_12_1_4_5_packed),
		TEST(test_2_12_1_4_5_packed_event_idx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
