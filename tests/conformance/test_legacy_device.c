/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A blk function driven by a legacy driver, through register commands of its PF alone: rings in the
 * legacy layout (virtio 1.3, 2.7.2), a device in use before DRIVER_OK (3.1.2), interrupts, and
 * resets that have to wait.
 */
#include <unistd.h>

#include "pf_driver.h"

#define IN  0
#define OUT 1

struct guest {
	struct member *vf;
	struct driver d; /* for its memory and interrupts; its registers are not touched */
	struct ring ring;
	uint64_t page;
};

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct guest a; /* member 1 */
	struct guest b; /* member 2 */
};

static void guest_init(struct fixture *f, struct guest *g, uint32_t slot)
{
	g->vf = member_new_blk(f->m, slot, 64, false);
	driver_init(&g->d, f->m, g->vf->pa);
	g->page = ram_alloc(&g->d.ram, 4096, 4096);
}

static void guest_fini(struct guest *g)
{
	blk_fault_hang(g->vf->vf.dev, false);
	driver_fini(&g->d);
	member_free(g->vf);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = machine_new("blk", 4, true);
	pf_driver_init(&f->pf, f->m);
	pf_enable_vfs(&f->pf, 4);
	admin_use_all(&f->pf);
	guest_init(f, &f->a, 1);
	guest_init(f, &f->b, 2);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_fini(&f->a);
	guest_fini(&f->b);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

static void set(struct fixture *f, struct guest *g, enum legacy field, uint32_t len, uint64_t value)
{
	assert_int_equal(legacy_write(&f->pf, g->vf->slot, field, len, value), OK);
}

static uint64_t get(struct fixture *f, struct guest *g, enum legacy field, uint32_t len)
{
	return legacy_get(&f->pf, g->vf->slot, field, len);
}

/* Gives the function its ring where a legacy driver puts it. */
static void give_ring(struct fixture *f, struct guest *g)
{
	uint16_t size = (uint16_t)get(f, g, L_QUEUE_SIZE, 2);

	set(f, g, L_QUEUE_ADDRESS, 4, ring_init_legacy(&g->ring, &g->d.ram, size) >> 12);
}

/* As an old Linux does it. */
static void start(struct fixture *f, struct guest *g, uint32_t features)
{
	set(f, g, L_STATUS, 1, 0);
	set(f, g, L_STATUS, 1, S_ACKNOWLEDGE);
	set(f, g, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER);
	set(f, g, L_DRIVER_FEATURES, 4, features);
	set(f, g, L_QUEUE_SELECT, 2, 0);
	give_ring(f, g);
	set(f, g, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK);
}

/* A request of one sector, data at g->page + 512, in the guest's ring; its head. */
static uint16_t request(struct guest *g, uint32_t type, uint64_t sector)
{
	struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header = { type, 0, sector };
	struct buf bufs[3] = { { g->page, 16, false },
			       { g->page + 512, 512, type == IN },
			       { g->page + 16, 1, true } };

	memcpy(ram_at(&g->d.ram, g->page), &header, sizeof(header));
	*(uint8_t *)ram_at(&g->d.ram, g->page + 16) = 0xee;
	return ring_add(&g->ring, bufs, 3);
}

static uint8_t *data(struct guest *g)
{
	return ram_at(&g->d.ram, g->page + 512);
}

static uint8_t status(struct guest *g)
{
	return *(uint8_t *)ram_at(&g->d.ram, g->page + 16);
}

/* The whole way of a read: ring, notify by command, data. */
static void read_sector(struct fixture *f, struct guest *g, uint64_t sector)
{
	uint16_t head = request(g, IN, sector);
	uint32_t len;

	set(f, g, L_QUEUE_NOTIFY, 2, 0);
	assert_int_equal(driver_used(&g->d, &g->ring, &len), head);
	assert_int_equal(len, 513);
	assert_int_equal(status(g), 0);
	for (size_t i = 0; i < 512; i++)
		assert_int_equal(data(g)[i], sector);
}

/* --- at work --- */

/* 2.7.2: descriptors, available ring, padding to 4096, used ring; addressed by a page number. */
/* rules: pci-legacy-3 */
static void test_2_7_2_a_ring_in_the_legacy_layout(void **state)
{
	struct fixture *f = *state;
	uint8_t back[512];
	uint32_t len;

	start(f, &f->a, 0);
	for (uint64_t sector = 0; sector < 40; sector++)
		read_sector(f, &f->a, sector);
	memset(data(&f->a), 0xd7, 512);
	request(&f->a, OUT, 5);
	set(f, &f->a, L_QUEUE_NOTIFY, 2, 0);
	driver_used(&f->a.d, &f->a.ring, &len);
	assert_int_equal(status(&f->a), 0);
	assert_int_equal(pread(f->a.vf->image, back, 512, 5 * 512), 512);
	assert_int_equal(back[0], 0xd7);
	assert_int_equal(back[511], 0xd7);
}

/* 3.1.2: a device is used before DRIVER_OK, and before any feature was written. */
/* rules: pci-legacy-5 */
static void test_3_1_2_a_device_works_before_driver_ok(void **state)
{
	struct fixture *f = *state;

	set(f, &f->a, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER);
	give_ring(f, &f->a);
	read_sector(f, &f->a, 7);
	/* not even a status was written here */
	give_ring(f, &f->b);
	read_sector(f, &f->b, 8);
	/* and features are final only when they are used */
	set(f, &f->a, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK);
	read_sector(f, &f->a, 9);
}

/* What is negotiated through the legacy registers holds for the ring. */
static void test_4_1_4_10_features_count(void **state)
{
	struct fixture *f = *state;
	uint64_t table = ram_alloc(&f->a.d.ram, 64, 16);
	uint32_t len;

	start(f, &f->a, F_INDIRECT_DESC | F_EVENT_IDX);
	request(&f->a, IN, 3); /* fills in the header */
	f->a.ring.next_desc = 0;
	ring_set_avail_idx(&f->a.ring, 0);
	ram_desc(&f->a.d.ram, table, 0, (struct desc){ f->a.page, 16, DESC_NEXT, 1 });
	ram_desc(&f->a.d.ram, table, 1,
		 (struct desc){ f->a.page + 512, 512, DESC_NEXT | DESC_WRITE, 2 });
	ram_desc(&f->a.d.ram, table, 2, (struct desc){ f->a.page + 16, 1, DESC_WRITE, 0 });
	ring_desc(&f->a.ring, 0, (struct desc){ table, 48, DESC_INDIRECT, 0 });
	ring_avail(&f->a.ring, 0);
	set(f, &f->a, L_QUEUE_NOTIFY, 2, 0);
	driver_used(&f->a.d, &f->a.ring, &len);
	assert_int_equal(status(&f->a), 0);
	assert_int_equal(data(&f->a)[0], 3);
	machine_settle(f->m);
	assert_int_equal(ring_avail_event(&f->a.ring), 1);
}

/* What was not negotiated is not there. A legacy driver can't be told that it broke the ring. */
static void test_a_ring_that_is_broken_stops_the_device_until_a_reset(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	start(f, &f->a, 0);
	ring_desc(&f->a.ring, 0, (struct desc){ f->a.page, 48, DESC_INDIRECT, 0 });
	ring_avail(&f->a.ring, 0);
	set(f, &f->a, L_QUEUE_NOTIFY, 2, 0);
	machine_settle(f->m);
	assert_false(ring_used(&f->a.ring, &id, &len));
	assert_int_equal(f->a.vf->counters.value[COUNTER_device_errors], 1);
	start(f, &f->b, 0);
	read_sector(f, &f->b, 1);
	start(f, &f->a, 0);
	read_sector(f, &f->a, 2);
}

/* 4.1.5.1.3.1: a queue is given up by a page number of 0, and can be put elsewhere. */
/* rules: pci-legacy-4 */
static void test_4_1_5_1_3_1_a_queue_is_given_up_and_moved(void **state)
{
	struct fixture *f = *state;
	uint32_t id, len;

	start(f, &f->a, 0);
	read_sector(f, &f->a, 1);
	set(f, &f->a, L_QUEUE_ADDRESS, 4, 0);
	request(&f->a, IN, 2);
	set(f, &f->a, L_QUEUE_NOTIFY, 2, 0);
	machine_settle(f->m);
	assert_false(ring_used(&f->a.ring, &id, &len));
	give_ring(f, &f->a);
	read_sector(f, &f->a, 3); /* from index 0 again */
}

/*
 * ... and it is given up when the device has let go of it: what is in flight ends first, and goes
 * into no ring.
 */
/* rules: pci-legacy-4 */
static void test_4_1_5_1_3_1_giving_up_a_queue_waits_for_its_io(void **state)
{
	struct fixture *f = *state;
	struct admin_head head = { .opcode = LEGACY_COMMON_WRITE,
				   .group_type = 1,
				   .member = 1,
				   .data = { L_QUEUE_ADDRESS } };
	struct admin_cmd cmd;
	uint32_t id, len;

	start(f, &f->a, 0);
	blk_fault_hang(f->a.vf->vf.dev, true);
	request(&f->a, IN, 1);
	set(f, &f->a, L_QUEUE_NOTIFY, 2, 0);
	machine_settle(f->m);
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD + 12, 8);
	assert_false(admin_done(&f->pf, &cmd));
	blk_fault_hang(f->a.vf->vf.dev, false);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	machine_settle(f->m);
	assert_false(ring_used(&f->a.ring, &id, &len));
	assert_int_equal(get(f, &f->a, L_QUEUE_ADDRESS, 4), 0);
	give_ring(f, &f->a);
	read_sector(f, &f->a, 4);
}

/* 5.2.6.3: legacy drivers may say flush in another way. */
static void test_5_2_6_3_flush_out_is_a_flush(void **state)
{
	struct fixture *f = *state;
	uint32_t len;

	start(f, &f->a, 1u << 9);
	for (uint32_t type = 4; type < 7; type++) {
		request(&f->a, type, 0);
		set(f, &f->a, L_QUEUE_NOTIFY, 2, 0);
		driver_used(&f->a.d, &f->a.ring, &len);
		assert_int_equal(status(&f->a), type < 6 ? 0 : 2);
	}
}

/*
 * 3.1.2, 5.2.5.3: configuration is written, and the cache mode set, before anything is negotiated,
 * and no status or feature bit changes it, but DRIVER_OK of a driver that does not know of it.
 */
/* rules: admin-legacy-7 */
static void test_5_2_5_3_the_cache_mode_is_the_legacy_drivers(void **state)
{
	enum { WRITEBACK = 32, CONFIG_WCE = 1 << 11 };
	struct fixture *f = *state;
	uint64_t mode;

	if (!(get(f, &f->a, L_DEVICE_FEATURES, 4) & CONFIG_WCE))
		skip();
	for (uint32_t want = 0; want < 2; want++) {
		set(f, &f->a, L_STATUS, 1, 0);
		assert_int_equal(legacy_dev_write(&f->pf, 1, WRITEBACK, 1, want), OK);
		assert_int_equal(legacy_dev_read(&f->pf, 1, WRITEBACK, 1, &mode), OK);
		assert_int_equal(mode, want);
		set(f, &f->a, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER);
		set(f, &f->a, L_DRIVER_FEATURES, 4, CONFIG_WCE);
		give_ring(f, &f->a);
		set(f, &f->a, L_STATUS, 1, S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK);
		assert_int_equal(legacy_dev_read(&f->pf, 1, WRITEBACK, 1, &mode), OK);
		assert_int_equal(mode, want);
		assert_int_equal(legacy_dev_write(&f->pf, 1, WRITEBACK, 1, !want), OK);
		assert_int_equal(legacy_dev_read(&f->pf, 1, WRITEBACK, 1, &mode), OK);
		assert_int_equal(mode, !want);
	}
}

/* --- interrupts --- */

/* 4.1.4.5.1 holds for the legacy ISR status: bit 0, cleared by reading. */
static void test_4_1_4_5_1_isr_status_without_msix(void **state)
{
	struct fixture *f = *state;

	start(f, &f->a, 0);
	assert_int_equal(get(f, &f->a, L_ISR, 1), 0);
	read_sector(f, &f->a, 1);
	assert_int_equal(get(f, &f->a, L_ISR, 1), 1);
	assert_int_equal(get(f, &f->a, L_ISR, 1), 0);
	ring_no_interrupt(&f->a.ring, true);
	read_sector(f, &f->a, 1);
	assert_int_equal(get(f, &f->a, L_ISR, 1), 0);
}

/* 4.1.5.3: with MSI-X it is the queue's vector. */
static void test_4_1_5_3_the_vector_of_a_queue(void **state)
{
	struct fixture *f = *state;

	driver_bind(&f->a.d, 2);
	start(f, &f->a, 0);
	set(f, &f->a, L_QUEUE_VECTOR, 2, 1);
	read_sector(f, &f->a, 1);
	assert_int_equal(driver_events(&f->a.d, 1), 1);
	assert_int_equal(driver_events(&f->a.d, 0), 0);
	assert_int_equal(get(f, &f->a, L_ISR, 1), 0);
	set(f, &f->a, L_QUEUE_VECTOR, 2, NO_VECTOR);
	read_sector(f, &f->a, 1);
	assert_int_equal(driver_events(&f->a.d, 1), 0);
	/* 6.3: NOTIFY_ON_EMPTY asks for one even where interrupts are suppressed */
	if (get(f, &f->a, L_DEVICE_FEATURES, 4) & 1u << 24) {
		start(f, &f->a, 1u << 24);
		set(f, &f->a, L_QUEUE_VECTOR, 2, 1);
		ring_no_interrupt(&f->a.ring, true);
		read_sector(f, &f->a, 1);
		assert_int_equal(driver_events(&f->a.d, 1), 1);
	}
}

/* --- reset --- */

static struct admin_cmd send_reset(struct fixture *f, struct guest *g)
{
	struct admin_head head = { .opcode = LEGACY_COMMON_WRITE,
				   .group_type = 1,
				   .member = g->vf->slot,
				   .data = { L_STATUS } };

	return admin_send(&f->pf, &head, ADMIN_HEAD + 9, 8);
}

static void hang_one(struct fixture *f, struct guest *g)
{
	start(f, g, 0);
	blk_fault_hang(g->vf->vf.dev, true);
	request(g, IN, 1);
	set(f, g, L_QUEUE_NOTIFY, 2, 0);
	machine_settle(f->m);
}

/*
 * A legacy driver does not look whether its reset is done, so the command is over when there will
 * be no more DMA. Other members go on meanwhile, and the member itself says: try again.
 */
/* rules: admin-vq-8 */
static void test_a_legacy_reset_waits_for_io_and_others_go_on(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;
	uint64_t value;
	uint32_t id, len;

	hang_one(f, &f->a);
	cmd = send_reset(f, &f->a);
	assert_false(admin_done(&f->pf, &cmd));
	start(f, &f->b, 0);
	read_sector(f, &f->b, 9);
	assert_int_equal(legacy_read(&f->pf, 1, L_STATUS, 1, &value), TRY_AGAIN);
	assert_int_equal(legacy_write(&f->pf, 1, L_QUEUE_SELECT, 2, 1), TRY_AGAIN);
	assert_int_equal(admin(&f->pf, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 1, NULL, 0, NULL, 64),
			 TRY_AGAIN);
	assert_int_equal(cmd.in->status, 0xeeee);
	blk_fault_hang(f->a.vf->vf.dev, false);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	assert_int_equal(get(f, &f->a, L_STATUS, 1), 0);
	assert_int_equal(get(f, &f->a, L_QUEUE_ADDRESS, 4), 0);
	machine_settle(f->m);
	assert_false(ring_used(&f->a.ring, &id, &len));
	start(f, &f->a, 0);
	read_sector(f, &f->a, 3);
}

/* Every command is answered: also one that waits when its member is taken away. */
static void test_a_member_that_goes_ends_the_command_that_waits_for_it(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;

	hang_one(f, &f->a);
	cmd = send_reset(f, &f->a);
	assert_false(admin_done(&f->pf, &cmd));
	pf_remove_member(f->m->pf, 1);
	assert_int_equal(admin_wait(&f->pf, &cmd), INVALID_MEMBER);
	/* its I/O ends later, and harms nobody */
	blk_fault_hang(f->a.vf->vf.dev, false);
	machine_settle(f->m);
	assert_int_equal(pf_add_member(f->m->pf, 1, &f->a.vf->vf), 0);
	start(f, &f->a, 0);
	read_sector(f, &f->a, 3);
}

/* A reset of the PF forgets the command; the member's own reset goes on. */
static void test_a_reset_of_the_pf_forgets_the_command_that_waits(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;

	hang_one(f, &f->a);
	cmd = send_reset(f, &f->a);
	assert_false(admin_done(&f->pf, &cmd));
	set_common(&f->pf.d, C_DEVICE_STATUS, 1, 0);
	machine_settle(f->m);
	assert_int_equal(common(&f->pf.d, C_DEVICE_STATUS, 1), 0);
	pf_driver_start(&f->pf);
	admin_use_all(&f->pf);
	start(f, &f->b, 0);
	read_sector(f, &f->b, 4);
	/* a reset of the member again: not before the first is over */
	cmd = send_reset(f, &f->a);
	assert_int_equal(admin_wait(&f->pf, &cmd), TRY_AGAIN);
	blk_fault_hang(f->a.vf->vf.dev, false);
	machine_wait(f->m, !f->a.vf->vf.dev->resetting);
	start(f, &f->a, 0);
	read_sector(f, &f->a, 3);
}

/* The same by a function level reset, which also ends the VFs. */
static void test_flr_of_the_pf_while_a_command_waits(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;

	hang_one(f, &f->a);
	cmd = send_reset(f, &f->a);
	assert_false(admin_done(&f->pf, &cmd));
	assert_int_equal(f->m->pa->ops->reset(f->m->pa, NULL), 0);
	blk_fault_hang(f->a.vf->vf.dev, false);
	machine_settle(f->m);
	cfg_write(&f->pf.d, 0x04, 2, 6);
	cfg_write(&f->a.d, 0x04, 2, 4);
	pf_driver_start(&f->pf);
	pf_enable_vfs(&f->pf, 4);
	admin_use_all(&f->pf);
	cfg_write(&f->a.d, 0x04, 2, 4);
	start(f, &f->a, 0);
	read_sector(f, &f->a, 3);
}

/* A function level reset of the member ends the legacy one that waits, too. */
static void test_flr_of_the_member_while_a_command_waits(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;

	hang_one(f, &f->a);
	cmd = send_reset(f, &f->a);
	assert_false(admin_done(&f->pf, &cmd));
	assert_int_equal(f->a.d.pa->ops->reset(f->a.d.pa, NULL), -EINPROGRESS);
	assert_false(admin_done(&f->pf, &cmd));
	blk_fault_hang(f->a.vf->vf.dev, false);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	machine_settle(f->m);
	cfg_write(&f->a.d, 0x04, 2, 4);
	start(f, &f->a, 0);
	read_sector(f, &f->a, 3);
}

/* Two resets of one member: the second is told to try again. */
/* rules: admin-vq-9 */
static void test_a_second_reset_of_a_member_that_is_being_reset(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd first, second;

	hang_one(f, &f->a);
	first = send_reset(f, &f->a);
	machine_settle(f->m);
	second = send_reset(f, &f->a);
	assert_int_equal(admin_wait(&f->pf, &second), TRY_AGAIN);
	blk_fault_hang(f->a.vf->vf.dev, false);
	assert_int_equal(admin_wait(&f->pf, &first), OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_2_7_2_a_ring_in_the_legacy_layout),
		TEST(test_3_1_2_a_device_works_before_driver_ok),
		TEST(test_4_1_4_10_features_count),
		TEST(test_a_ring_that_is_broken_stops_the_device_until_a_reset),
		TEST(test_4_1_5_1_3_1_a_queue_is_given_up_and_moved),
		TEST(test_4_1_5_1_3_1_giving_up_a_queue_waits_for_its_io),
		TEST(test_5_2_6_3_flush_out_is_a_flush),
		TEST(test_5_2_5_3_the_cache_mode_is_the_legacy_drivers),
		TEST(test_4_1_4_5_1_isr_status_without_msix),
		TEST(test_4_1_5_3_the_vector_of_a_queue),
		TEST(test_a_legacy_reset_waits_for_io_and_others_go_on),
		TEST(test_a_member_that_goes_ends_the_command_that_waits_for_it),
		TEST(test_a_reset_of_the_pf_forgets_the_command_that_waits),
		TEST(test_flr_of_the_pf_while_a_command_waits),
		TEST(test_flr_of_the_member_while_a_command_waits),
		TEST(test_a_second_reset_of_a_member_that_is_being_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
