/* SPDX-License-Identifier: BSD-3-Clause */
/* Stopping and resuming a member (virtio 1.4, 2.12.1.4.3.4 and 2.12.1.4.5): a blk function. */
#include "blk_fixture.h"

#define VF      1
#define SECTORS 64

struct fixture {
	struct blk_fixture *b;
	struct pf_driver *pf;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->b = blk_fixture_new_strict(blk_image(SECTORS * SECTOR, 0), NULL, *state != NULL);
	f->pf = &f->b->pf;
	admin_use_supported(f->pf);
	blk_start(f->b, 0);
	*state = f;
	return 0;
}

static uint32_t stop(struct fixture *f)
{
	return admin_mode(f->pf, VF, MODE_STOPPED);
}

static uint32_t resume(struct fixture *f)
{
	return admin_mode(f->pf, VF, 0);
}

static struct admin_cmd send_mode(struct fixture *f, uint8_t flags)
{
	struct admin_head head = {
		.opcode = MODE_SET, .group_type = SRIOV_GROUP, .member = VF, .data = { flags }
	};

	return admin_send(f->pf, &head, ADMIN_HEAD + 1, ADMIN_REPLY);
}

static void hang(struct fixture *f, bool on)
{
	blk_fault_hang(f->b->vf->vf.dev, on);
}

/* A stop while a read hangs, whose head is returned. */
static uint16_t stop_that_waits(struct fixture *f, struct admin_cmd *cmd)
{
	uint16_t head;

	hang(f, true);
	head = blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	*cmd = send_mode(f, MODE_STOPPED);
	assert_false(admin_done(f->pf, cmd));
	return head;
}

/* The answer to a command that has a deadline in the device. */
static uint32_t wait_long(struct fixture *f, const struct admin_cmd *cmd)
{
	uint64_t until = loop_now_ns() + 60000000000ull;

	while (!admin_done(f->pf, cmd))
		assert_true(loop_now_ns() < until);
	return cmd->in->status | (uint32_t)cmd->in->qualifier << 16;
}

static bool used(struct fixture *f)
{
	machine_settle(f->b->m);
	return ring_used_idx(&f->b->ring[0]) != f->b->ring[0].used_seen;
}

static bool works(struct fixture *f)
{
	return blk_request(f->b, T_IN, 1, SECTOR) == ST_OK;
}

/* --- what it does --- */

/* A stopped device takes nothing; what it was notified of it finds when it goes on. */
/* rules: admin-mode-1 admin-mode-4 admin-mode-8 */
static void test_2_12_1_4_3_4_a_stopped_device_does_nothing(void **state)
{
	struct fixture *f = *state;
	uint16_t head;

	assert_true(works(f));
	driver_events(&f->b->d, VEC_QUEUE);
	assert_int_equal(stop(f), OK);
	assert_int_equal(f->pf->used_len, 8);
	head = blk_send(f->b, 0, T_IN, 2, SECTOR);
	for (int i = 0; i < 5; i++)
		assert_false(used(f));
	assert_int_equal(driver_events(&f->b->d, VEC_QUEUE), 0);
	assert_int_equal(resume(f), OK);
	assert_int_equal(blk_wait(f->b, 0, head), ST_OK);
	assert_int_equal(driver_events(&f->b->d, VEC_QUEUE), 1);
	assert_true(works(f));
}

/* A stopped device that is stopped, and a running one that is resumed: success. */
/* rules: admin-mode-13 admin-mode-14 */
static void test_2_12_1_4_5_the_mode_that_it_has(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(resume(f), OK);
	assert_true(works(f));
	assert_int_equal(stop(f), OK);
	assert_int_equal(stop(f), OK);
	assert_int_equal(resume(f), OK);
	assert_int_equal(resume(f), OK);
	assert_true(works(f));
}

/* It ends what it has begun, tells the driver, and only then has stopped. */
/* rules: admin-mode-2 admin-mode-3 */
static void test_2_12_1_4_3_4_what_was_observed_is_written_back(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;
	uint16_t head, late;
	uint32_t id, len;

	head = stop_that_waits(f, &cmd);
	/* observed by nobody yet */
	late = blk_send(f->b, 0, T_IN, 2, SECTOR);
	assert_false(used(f));
	driver_events(&f->b->d, VEC_QUEUE);
	hang(f, false);
	assert_int_equal(admin_wait(f->pf, &cmd), OK);
	assert_true(ring_used(&f->b->ring[0], &id, &len));
	assert_int_equal(id, head);
	assert_int_equal(driver_events(&f->b->d, VEC_QUEUE), 1);
	assert_false(used(f));
	assert_int_equal(resume(f), OK);
	assert_int_equal(blk_wait(f->b, 0, late), ST_OK);
}

/*
 * So it does with what was under way when bus mastering was turned off: that does not wait for the
 * driver to turn it on again, which it may never do. The interrupt does.
 */
/* rules: admin-mode-2 admin-mode-3 */
static void test_2_12_1_4_3_4_stop_without_bus_mastering(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->b->d;
	struct admin_cmd cmd;
	uint16_t head, late;
	uint32_t id, len;

	hang(f, true);
	head = blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	cfg_write(d, 4, 2, 2);
	late = blk_send(f->b, 0, T_IN, 2, SECTOR);
	cmd = send_mode(f, MODE_STOPPED);
	assert_false(admin_done(f->pf, &cmd));
	hang(f, false);
	assert_int_equal(admin_wait(f->pf, &cmd), OK);
	assert_true(ring_used(&f->b->ring[0], &id, &len));
	assert_int_equal(id, head);
	assert_int_equal(resume(f), OK);
	assert_false(used(f));
	assert_int_equal(driver_events(d, VEC_QUEUE), 0);
	assert_int_equal(stop(f), OK);
	cfg_write(d, 4, 2, 6);
	assert_false(used(f));
	assert_int_equal(driver_events(d, VEC_QUEUE), 0);
	assert_int_equal(resume(f), OK);
	assert_int_equal(blk_wait(f->b, 0, late), ST_OK);
	assert_true(driver_events(d, VEC_QUEUE) > 0);
	assert_true(works(f));
}

/* PCI and virtio registers are there as always. */
/* rules: admin-mode-5 admin-mode-6 */
static void test_2_12_1_4_5_registers_of_a_stopped_device(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->b->d;
	uint8_t status = (uint8_t)common(d, C_DEVICE_STATUS, 1);
	uint32_t command = cfg_read(d, 4, 2);

	assert_int_equal(stop(f), OK);
	assert_int_equal(common(d, C_DEVICE_STATUS, 1), status);
	assert_int_equal(blk_config(f->b, CFG_CAPACITY, 4), SECTORS);
	set_common(d, C_QUEUE_SELECT, 2, 0);
	assert_int_equal(common(d, C_QUEUE_ENABLE, 2), 1);
	assert_int_equal(cfg_read(d, 4, 2), command);
	cfg_write(d, 4, 2, command & ~4u);
	assert_int_equal(cfg_read(d, 4, 2), command & ~4u);
	cfg_write(d, 4, 2, command);
	assert_false(used(f));
	assert_int_equal(resume(f), OK);
	assert_true(works(f));
}

/* No notification of a change either, until it goes on. */
/* rules: admin-mode-9 */
static void test_2_12_1_4_5_no_configuration_change_notification(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(stop(f), OK);
	assert_int_equal(ftruncate(f->b->image, 2 * SECTORS * SECTOR), 0);
	assert_int_equal(blk_resize(f->b->vf->vf.dev, 0), 0);
	assert_int_equal(driver_events(&f->b->d, VEC_CONFIG), 0);
	assert_int_equal(blk_config(f->b, CFG_CAPACITY, 4), 2 * SECTORS);
	assert_int_equal(resume(f), OK);
	assert_int_equal(driver_events(&f->b->d, VEC_CONFIG), 1);
	assert_int_equal(resume(f), OK);
	assert_int_equal(driver_events(&f->b->d, VEC_CONFIG), 0);
}

/* An interrupt that is masked when the device stops is sent when both are over. */
/* rules: admin-mode-1 admin-mode-9 */
static void test_2_12_1_4_5_a_pending_interrupt_stays_pending(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->b->d;
	uint32_t masked = 1;
	uint16_t head;

	d->pa->ops->bar_write(d->pa, 4, 12, &masked, 4); /* of vector 0 (PCIe 7.7.2.5) */
	head = blk_send(f->b, 0, T_IN, 1, SECTOR);
	blk_wait(f->b, 0, head);
	assert_int_equal(stop(f), OK);
	masked = 0;
	d->pa->ops->bar_write(d->pa, 4, 12, &masked, 4);
	assert_int_equal(driver_events(d, VEC_QUEUE), 0);
	assert_int_equal(resume(f), OK);
	assert_int_equal(driver_events(d, VEC_QUEUE), 1);
}

/* --- resets --- */

/* FLR ends the mode. */
static void test_2_12_1_4_5_flr_of_a_stopped_device(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->b->vf->pa;

	assert_int_equal(stop(f), OK);
	assert_int_equal(pa->ops->reset(pa, NULL), 0);
	cfg_write(&f->b->d, 4, 2, 6);
	blk_start(f->b, 0);
	assert_true(works(f));
}

/* A driver's reset does not: its registers work, and nothing else does. */
static void test_a_driver_does_not_resume_its_device(void **state)
{
	struct fixture *f = *state;
	uint16_t head;

	assert_int_equal(stop(f), OK);
	blk_start(f->b, 0);
	head = blk_send(f->b, 0, T_IN, 1, SECTOR);
	assert_false(used(f));
	assert_int_equal(resume(f), OK);
	assert_int_equal(blk_wait(f->b, 0, head), ST_OK);
}

struct flr {
	struct pci_reset reset;
	bool done;
};

static void flr_done(struct pci_reset *reset)
{
	container_of(reset, struct flr, reset)->done = true;
}

/* A command that comes during FLR is answered after it. */
/* rules: admin-mode-10 */
static void test_2_12_1_4_5_stop_during_flr(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->b->vf->pa;
	struct flr flr = { .reset.done = flr_done };
	struct admin_cmd cmd;
	uint16_t head;

	hang(f, true);
	blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	assert_int_equal(pa->ops->reset(pa, &flr.reset), -EINPROGRESS);
	cmd = send_mode(f, MODE_STOPPED);
	assert_false(admin_done(f->pf, &cmd));
	assert_false(flr.done);
	hang(f, false);
	assert_int_equal(admin_wait(f->pf, &cmd), OK);
	assert_true(flr.done);
	cfg_write(&f->b->d, 4, 2, 6);
	blk_start(f->b, 0);
	head = blk_send(f->b, 0, T_IN, 1, SECTOR);
	assert_false(used(f)); /* it has stopped */
	assert_int_equal(resume(f), OK);
	assert_int_equal(blk_wait(f->b, 0, head), ST_OK);
}

/* ... and one that comes during a reset by the driver. */
/* rules: admin-mode-11 */
static void test_2_12_1_4_5_stop_during_a_device_reset(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;

	hang(f, true);
	blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	set_common(&f->b->d, C_DEVICE_STATUS, 1, 0);
	assert_int_not_equal(common(&f->b->d, C_DEVICE_STATUS, 1), 0);
	cmd = send_mode(f, MODE_STOPPED);
	assert_false(admin_done(f->pf, &cmd));
	hang(f, false);
	assert_int_equal(admin_wait(f->pf, &cmd), OK);
	assert_int_equal(common(&f->b->d, C_DEVICE_STATUS, 1), 0);
	assert_int_equal(resume(f), OK);
}

/* The last I/O is over, and the reset about to end, when the command is looked at. */
static void test_stop_at_the_end_of_a_reset(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->b->vf->pa;
	struct admin_cmd cmd;

	for (int flr = 0; flr < 2; flr++) {
		hang(f, true);
		blk_send(f->b, 0, T_IN, 1, SECTOR);
		machine_settle(f->b->m);
		if (flr)
			assert_int_equal(pa->ops->reset(pa, NULL), -EINPROGRESS);
		else
			set_common(&f->b->d, C_DEVICE_STATUS, 1, 0);
		cmd = send_mode(f, MODE_STOPPED);
		hang(f, false);
		assert_int_equal(admin_wait(f->pf, &cmd), OK);
		assert_int_equal(resume(f), OK);
		cfg_write(&f->b->d, 4, 2, 6);
		blk_start(f->b, 0);
		assert_true(works(f));
	}
}

/* FLR while it stops: whoever reset it has a running device, and the command says try again. */
static void test_flr_while_it_stops(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->b->vf->pa;
	struct admin_cmd cmd;

	hang(f, true);
	blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	cmd = send_mode(f, MODE_STOPPED);
	assert_false(admin_done(f->pf, &cmd));
	assert_int_equal(pa->ops->reset(pa, NULL), -EINPROGRESS);
	hang(f, false);
	assert_int_equal(admin_wait(f->pf, &cmd), TRY_AGAIN);
	cfg_write(&f->b->d, 4, 2, 6);
	blk_start(f->b, 0);
	assert_true(works(f));
}

/* --- fields --- */

static void test_2_12_1_4_3_4_flags(void **state)
{
	struct fixture *f = *state;

	for (unsigned int flags = 2; flags < 256; flags++)
		assert_int_equal(admin_mode(f->pf, VF, (uint8_t)flags), INVALID_FIELD);
	assert_true(works(f)); /* nothing has stopped */
	/* more data than the command has is ignored, less is zero (2.13.1) */
	assert_int_equal(admin(f->pf, MODE_SET, SRIOV_GROUP, VF, "\1\xff\xff\xff\xff\xff\xff\xff",
			       8, NULL, 0),
			 OK);
	assert_int_equal(admin(f->pf, MODE_SET, SRIOV_GROUP, VF, NULL, 0, NULL, 0), OK);
	assert_true(works(f));
}

static void test_2_12_1_5_group_and_member(void **state)
{
	static const uint64_t members[] = { 0, 2, 1ull << 32 | VF, ~0ull };
	struct fixture *f = *state;
	uint8_t flags = MODE_STOPPED;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		assert_int_equal(admin_mode(f->pf, members[i], MODE_STOPPED), INVALID_MEMBER);
	assert_int_equal(admin(f->pf, MODE_SET, SELF_GROUP, 0, &flags, 1, NULL, 0), INVALID_OPCODE);
	assert_int_equal(admin(f->pf, MODE_SET, 2, VF, &flags, 1, NULL, 0), INVALID_GROUP);
	assert_true(works(f));
}

/* --- every command is answered --- */

/* I/O that does not end: the command ends all the same, without effect. */
static void test_io_that_hangs(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;
	uint16_t first, second;
	uint32_t id, len;

	first = stop_that_waits(f, &cmd);
	/* meanwhile the member is busy */
	assert_int_equal(legacy_read(f->pf, VF, L_STATUS, 1, &(uint64_t){ 0 }), TRY_AGAIN);
	assert_int_equal(resume(f), TRY_AGAIN);
	/* ... but not for what is the PF's: nobody would destroy an object later */
	assert_int_equal(admin_set_limits(f->pf, 8, 8), OK);
	assert_int_equal(admin_obj_create(f->pf, VF, 0, KIND_GET), OK);
	assert_int_equal(admin_obj_destroy(f->pf, VF, 0), OK);
	assert_int_equal(wait_long(f, &cmd), TRY_AGAIN);
	/* it runs */
	second = blk_send(f->b, 0, T_IN, 2, SECTOR);
	hang(f, false);
	machine_wait(f->b->m,
		     ring_used_idx(&f->b->ring[0]) == (uint16_t)(f->b->ring[0].used_seen + 2));
	assert_true(ring_used(&f->b->ring[0], &id, &len) && id == first);
	assert_true(ring_used(&f->b->ring[0], &id, &len) && id == second);
	assert_int_equal(stop(f), OK);
	assert_int_equal(resume(f), OK);
}

/* The write of zeroes to a legacy register that waits for I/O, which hangs. */
static struct admin_cmd send_legacy_reset(struct fixture *f, uint8_t offset, uint32_t len)
{
	struct admin_head head = { .opcode = LEGACY_COMMON_WRITE,
				   .group_type = SRIOV_GROUP,
				   .member = VF,
				   .data = { offset } };
	struct admin_cmd cmd;

	hang(f, true);
	blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	cmd = admin_send(f->pf, &head, ADMIN_HEAD + 8 + len, ADMIN_REPLY);
	assert_false(admin_done(f->pf, &cmd));
	return cmd;
}

/* ... and so for the reset that a legacy driver waits for; the member stays in it. */
static void test_a_legacy_reset_that_hangs(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd = send_legacy_reset(f, L_STATUS, 1);
	uint64_t value;

	assert_int_equal(wait_long(f, &cmd), TRY_AGAIN);
	/* its memory is still in use: nobody tells a legacy driver otherwise */
	assert_int_equal(legacy_read(f->pf, VF, L_STATUS, 1, &value), TRY_AGAIN);
	hang(f, false);
	machine_wait(f->b->m, !f->b->vf->vf.dev->resetting);
	assert_int_equal(legacy_get(f->pf, VF, L_STATUS, 1), 0);
	assert_int_equal(legacy_write(f->pf, VF, L_STATUS, 1, 0), OK);
}

/* A member that is taken out while commands for it wait. */
static void test_a_member_that_goes_away(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;

	hang(f, true);
	blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	cmd = send_mode(f, MODE_STOPPED);
	assert_false(admin_done(f->pf, &cmd));
	pf_remove_member(f->b->m->pf, VF);
	assert_int_equal(admin_wait(f->pf, &cmd), INVALID_MEMBER);
	assert_int_equal(stop(f), INVALID_MEMBER);
	hang(f, false);
	machine_settle(f->b->m);
	assert_int_equal(pf_add_member(f->b->m->pf, VF, &f->b->vf->vf), 0);
	assert_int_equal(stop(f), OK);
	assert_int_equal(resume(f), OK);
}

/* ... or waits for a reset itself, and with several waiting for it. */
static void test_a_member_that_goes_away_in_a_reset(void **state)
{
	struct fixture *f = *state;
	struct pci_access *pa = f->b->vf->pa;
	struct admin_cmd cmds[3];

	hang(f, true);
	blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	assert_int_equal(pa->ops->reset(pa, NULL), -EINPROGRESS);
	for (int i = 0; i < 3; i++)
		cmds[i] = send_mode(f, i == 1);
	assert_false(admin_done(f->pf, &cmds[0]));
	pf_remove_member(f->b->m->pf, VF);
	for (int i = 0; i < 3; i++)
		assert_int_equal(admin_wait(f->pf, &cmds[i]), INVALID_MEMBER);
	hang(f, false);
	machine_settle(f->b->m);
	assert_int_equal(pf_add_member(f->b->m->pf, VF, &f->b->vf->vf), 0);
}

/* VF Enable that is cleared ends all members. */
static void test_vf_enable_that_is_cleared(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;

	hang(f, true);
	blk_send(f->b, 0, T_IN, 1, SECTOR);
	machine_settle(f->b->m);
	cmd = send_mode(f, MODE_STOPPED);
	assert_false(admin_done(f->pf, &cmd));
	pf_enable_vfs(f->pf, 0);
	assert_int_equal(admin_wait(f->pf, &cmd), INVALID_MEMBER);
	hang(f, false);
	machine_wait(f->b->m, !f->b->vf->vf.fn.resetting);
	pf_enable_vfs(f->pf, 1);
	assert_int_equal(stop(f), OK);
	assert_int_equal(resume(f), OK);
}

/* A PF that is reset while a command waits: the command is over, and the member runs. */
static void test_a_pf_that_is_reset(void **state)
{
	struct fixture *f = *state;
	struct admin_cmd cmd;
	uint16_t head;

	head = stop_that_waits(f, &cmd);
	pf_driver_start(f->pf);
	admin_use_supported(f->pf);
	hang(f, false);
	assert_int_equal(blk_wait(f->b, 0, head), ST_OK);
	assert_true(works(f));
}

/* ... while a legacy driver's reset of the member, or of a queue, waits: that goes on. */
static void test_a_pf_that_is_reset_before_a_member_is(void **state)
{
	struct fixture *f = *state;
	struct virtq *vq = &f->b->vf->vf.dev->queues[0];
	uint64_t value;

	send_legacy_reset(f, L_QUEUE_ADDRESS, 4);
	pf_driver_start(f->pf);
	admin_use_supported(f->pf);
	assert_int_equal(legacy_read(f->pf, VF, L_QUEUE_ADDRESS, 4, &value), TRY_AGAIN);
	hang(f, false);
	machine_wait(f->b->m, !vq->resetting);
	assert_int_equal(legacy_get(f->pf, VF, L_QUEUE_ADDRESS, 4), 0);

	blk_start(f->b, 0);
	send_legacy_reset(f, L_STATUS, 1);
	pf_driver_start(f->pf);
	admin_use_supported(f->pf);
	assert_int_equal(legacy_read(f->pf, VF, L_STATUS, 1, &value), TRY_AGAIN);
	assert_int_equal(legacy_write(f->pf, VF, L_STATUS, 1, 1), TRY_AGAIN);
	hang(f, false);
	machine_wait(f->b->m, !f->b->vf->vf.dev->resetting);
	assert_int_equal(legacy_get(f->pf, VF, L_STATUS, 1), 0);
}

int main(void)
{
#define TEST(name) BLK_TEST_BOTH(name, setup)
	/* which take their time */
#define TEST_ONCE(name) BLK_TEST(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_2_12_1_4_3_4_a_stopped_device_does_nothing),
		TEST(test_2_12_1_4_5_the_mode_that_it_has),
		TEST(test_2_12_1_4_3_4_what_was_observed_is_written_back),
		TEST(test_2_12_1_4_3_4_stop_without_bus_mastering),
		TEST(test_2_12_1_4_5_registers_of_a_stopped_device),
		TEST(test_2_12_1_4_5_no_configuration_change_notification),
		TEST(test_2_12_1_4_5_a_pending_interrupt_stays_pending),
		TEST(test_2_12_1_4_5_flr_of_a_stopped_device),
		TEST(test_a_driver_does_not_resume_its_device),
		TEST(test_2_12_1_4_5_stop_during_flr),
		TEST(test_2_12_1_4_5_stop_during_a_device_reset),
		TEST(test_stop_at_the_end_of_a_reset),
		TEST(test_flr_while_it_stops),
		TEST(test_2_12_1_4_3_4_flags),
		TEST(test_2_12_1_5_group_and_member),
		TEST_ONCE(test_io_that_hangs),
		TEST_ONCE(test_a_legacy_reset_that_hangs),
		TEST(test_a_member_that_goes_away),
		TEST(test_a_member_that_goes_away_in_a_reset),
		TEST(test_vf_enable_that_is_cleared),
		TEST(test_a_pf_that_is_reset),
		TEST(test_a_pf_that_is_reset_before_a_member_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
