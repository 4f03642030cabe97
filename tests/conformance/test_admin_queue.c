/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Group administration commands and the virtqueues for them (virtio 1.3, 2.12.1 and 2.13), at the
 * PF of a machine with blk functions in slots 1 and 3 of 4.
 */
#include "pf_driver.h"

#define SLOTS 4

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf[2]; /* in slots 1 and 3 */
};

static int setup_strict(void **state, bool strict)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = machine_new("blk", SLOTS, strict);
	pf_driver_init(&f->pf, f->m);
	f->vf[0] = member_new_blk(f->m, 1, 64, false);
	f->vf[1] = member_new_blk(f->m, 3, 64, false);
	*state = f;
	return 0;
}

/* VFs are enabled, and all commands agreed on. */
static int setup(void **state)
{
	struct fixture *f;

	setup_strict(state, false);
	f = *state;
	pf_enable_vfs(&f->pf, SLOTS);
	admin_use_all(&f->pf);
	return 0;
}

/* No VFs, and nothing agreed on. */
static int setup_fresh(void **state)
{
	return setup_strict(state, false);
}

static int setup_fresh_strict(void **state)
{
	return setup_strict(state, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	member_free(f->vf[0]);
	member_free(f->vf[1]);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

/* A command without data or result. */
static uint32_t command(struct fixture *f, uint16_t opcode, uint16_t group, uint64_t member)
{
	return admin(&f->pf, opcode, group, member, NULL, 0, NULL, 0);
}

static uint64_t query(struct fixture *f, uint16_t group)
{
	uint64_t list = 0;

	assert_int_equal(admin(&f->pf, LIST_QUERY, group, 0, NULL, 0, &list, 8), OK);
	return list;
}

static uint32_t use(struct fixture *f, uint16_t group, uint64_t list)
{
	return admin(&f->pf, LIST_USE, group, 0, &list, 8, NULL, 0);
}

static bool notify_info_works(struct fixture *f)
{
	uint32_t status = command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 1);

	if (status != OK)
		assert_int_equal(status, INVALID_OPCODE);
	return status == OK;
}

/* --- 2.12.1: lists of commands --- */

/* rules: admin-legacy-12 admin-cmd-4 */
static void test_2_12_1_list_query_has_bits_0_and_1_and_the_legacy_commands(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(query(f, SRIOV_GROUP) & ALL_OPCODES, ALL_OPCODES);
	assert_int_equal(query(f, SELF_GROUP) & ALL_OPCODES, 3);
}

/* 2.12.1.1.6: all of the legacy register commands, or none. */
/* rules: admin-legacy-1 */
static void test_2_12_1_1_6_all_or_none_of_the_legacy_commands(void **state)
{
	struct fixture *f = *state;
	uint64_t legacy = query(f, SRIOV_GROUP) & LEGACY_OPCODES;

	assert_int_equal(legacy, LEGACY_OPCODES);
	for (uint16_t op = LEGACY_COMMON_WRITE; op <= LEGACY_NOTIFY_INFO; op++)
		assert_int_not_equal(command(f, op, SRIOV_GROUP, 1), INVALID_OPCODE);
}

/* 2.12.1.5: after a reset only LIST_QUERY and LIST_USE are used. */
/* rules: admin-cmd-8 admin-cmd-10 */
static void test_2_12_1_5_at_first_only_the_list_commands_are_legal(void **state)
{
	struct fixture *f = *state;

	pf_enable_vfs(&f->pf, SLOTS);
	for (uint16_t op = 2; op < 64; op++) {
		assert_int_equal(command(f, op, SRIOV_GROUP, 1), INVALID_OPCODE);
		if (op < 7 || op > 9) /* which Linux sends unasked */
			assert_int_equal(command(f, op, SELF_GROUP, 0), INVALID_OPCODE);
	}
	query(f, SRIOV_GROUP); /* asking is not using */
	assert_false(notify_info_works(f));
	admin_use_all(&f->pf);
	assert_true(notify_info_works(f));
}

/* 2.12.1.5: LIST_USE sets the list, each time anew. */
/* rules: admin-cmd-9 admin-cmd-10 */
static void test_2_12_1_5_list_use_replaces_the_list(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(use(f, SRIOV_GROUP, 3 | 1 << LEGACY_COMMON_READ), OK);
	assert_false(notify_info_works(f));
	assert_int_equal(command(f, LEGACY_COMMON_READ, SRIOV_GROUP, 1), INVALID_FIELD);
	assert_int_equal(use(f, SRIOV_GROUP, 3 | 1 << LEGACY_NOTIFY_INFO), OK);
	assert_true(notify_info_works(f));
	assert_int_equal(command(f, LEGACY_COMMON_READ, SRIOV_GROUP, 1), INVALID_OPCODE);
}

/* 2.12.1.6: a driver may block both list commands by clearing their bits; a reset ends that. */
/* rules: admin-cmd-9 admin-cmd-8 */
static void test_2_12_1_6_the_list_commands_can_be_blocked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(use(f, SRIOV_GROUP, LEGACY_OPCODES), OK);
	assert_int_equal(command(f, LIST_QUERY, SRIOV_GROUP, 0), INVALID_OPCODE);
	assert_int_equal(use(f, SRIOV_GROUP, ALL_OPCODES), INVALID_OPCODE);
	assert_true(notify_info_works(f));
	pf_driver_start(&f->pf);
	assert_int_equal(use(f, SRIOV_GROUP, ALL_OPCODES), OK);
}

/* 2.12.1.5: a list with what is not supported is refused, and what was used stays. */
/* rules: admin-cmd-15 admin-cmd-6 */
static void test_2_12_1_5_list_use_of_what_is_not_supported(void **state)
{
	struct fixture *f = *state;
	uint64_t supported = query(f, SRIOV_GROUP);

	for (unsigned int bit = 0; bit < 64; bit++)
		if (!(supported >> bit & 1))
			assert_int_equal(use(f, SRIOV_GROUP, 3 | 1ull << bit), INVALID_FIELD);
	assert_true(notify_info_works(f));
	assert_int_equal(use(f, SELF_GROUP, ALL_OPCODES), INVALID_FIELD);
}

/* 2.12.1.5: each group has a list of its own. */
/* rules: admin-cmd-7 */
static void test_2_12_1_5_groups_are_independent(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(use(f, SELF_GROUP, 3), OK);
	assert_true(notify_info_works(f));
	assert_int_equal(use(f, SRIOV_GROUP, 3), OK);
	assert_int_equal(use(f, SELF_GROUP, 1), OK);
	assert_int_equal(use(f, SELF_GROUP, 1), INVALID_OPCODE);
	assert_int_equal(use(f, SRIOV_GROUP, ALL_OPCODES), OK);
	/* legacy commands are defined for the SR-IOV group only (2.12.1.1) */
	for (uint16_t op = LEGACY_COMMON_WRITE; op <= LEGACY_NOTIFY_INFO; op++)
		assert_int_equal(command(f, op, SELF_GROUP, 0), INVALID_OPCODE);
}

/*
 * 2.12.1.5: a reset forgets LIST_USE; the same list is accepted again, and what is supported stays.
 */
/* rules: admin-cmd-8 admin-cmd-11 admin-cmd-12 */
static void test_2_12_1_5_a_reset_forgets_list_use(void **state)
{
	struct fixture *f = *state;
	uint64_t supported = query(f, SRIOV_GROUP);

	assert_true(notify_info_works(f));
	pf_driver_start(&f->pf); /* resets by the status register */
	assert_false(notify_info_works(f));
	assert_int_equal(query(f, SRIOV_GROUP) & supported, supported);
	assert_int_equal(use(f, SRIOV_GROUP, ALL_OPCODES), OK);
	assert_true(notify_info_works(f));
	/* and a function level reset does, too */
	assert_int_equal(f->m->pa->ops->reset(f->m->pa, NULL), 0);
	cfg_write(&f->pf.d, 0x04, 2, 6);
	pf_driver_start(&f->pf);
	pf_enable_vfs(&f->pf, SLOTS);
	assert_false(notify_info_works(f));
}

/* --- 2.12.1.5: what is checked, and in which order --- */

/* rules: admin-cmd-1 admin-cmd-2 admin-cmd-3 */
static void test_2_12_1_5_invalid_group_before_opcode_before_member(void **state)
{
	static const uint16_t groups[] = { 2, 3, 0x100, 0xffff };
	static const uint16_t opcodes[] = { LEGACY_NOTIFY_INFO, 0x7fff, 0x8000, 0xffff };
	struct fixture *f = *state;

	for (size_t g = 0; g < 4; g++)
		for (size_t o = 0; o < 4; o++) {
			assert_int_equal(command(f, opcodes[o], groups[g], 1), INVALID_GROUP);
			assert_int_equal(command(f, opcodes[o], groups[g], 99), INVALID_GROUP);
		}
	for (size_t o = 1; o < 4; o++) {
		assert_int_equal(command(f, opcodes[o], SRIOV_GROUP, 1), INVALID_OPCODE);
		assert_int_equal(command(f, opcodes[o], SRIOV_GROUP, 99), INVALID_OPCODE);
		assert_int_equal(command(f, opcodes[o], SELF_GROUP, 99), INVALID_OPCODE);
	}
	assert_int_equal(use(f, SRIOV_GROUP, 3), OK);
	assert_int_equal(command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 99), INVALID_OPCODE);
}

/* The member is checked before the command's data. */
/* rules: admin-cmd-3 admin-cmd-14 */
static void test_2_12_1_5_invalid_members(void **state)
{
	/* none, NumVFs + 1, slots that are empty, and numbers of which a part is valid */
	static const uint64_t members[] = {
		0, SLOTS + 1, 2, 4, 0x100000001, 1ull << 63 | 1, ~0ull
	};
	struct fixture *f = *state;

	for (uint16_t op = LEGACY_COMMON_WRITE; op <= LEGACY_NOTIFY_INFO; op++)
		for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
			assert_int_equal(command(f, op, SRIOV_GROUP, members[i]), INVALID_MEMBER);
	assert_int_equal(command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 1), OK);
	assert_int_equal(command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 3), OK);
}

/* 2.12: a member identifier goes from 1 to NumVFs. */
/* rules: admin-cmd-14 */
static void test_2_12_members_end_at_num_vfs(void **state)
{
	struct fixture *f = *state;

	pf_enable_vfs(&f->pf, 0);
	pf_enable_vfs(&f->pf, 2);
	assert_int_equal(command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 1), OK);
	assert_int_equal(command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 3), INVALID_MEMBER);
	pf_enable_vfs(&f->pf, 0);
	pf_enable_vfs(&f->pf, 3);
	assert_int_equal(command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 3), OK);
}

/* Members come and go while the group exists. */
static void test_a_slot_that_is_taken_or_left_is_a_member_at_once(void **state)
{
	struct fixture *f = *state;
	struct member *vf = member_new_blk(f->m, 2, 8, false);

	assert_int_equal(command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 2), OK);
	member_free(vf);
	assert_int_equal(command(f, LEGACY_NOTIFY_INFO, SRIOV_GROUP, 2), INVALID_MEMBER);
}

/* --- 2.12.1.5: the SR-IOV group exists while VF Enable is set --- */

/* rules: admin-cmd-13 */
static void test_2_12_1_5_without_vf_enable_there_is_no_group(void **state)
{
	struct fixture *f = *state;

	for (uint16_t op = 0; op < 20; op++)
		assert_int_equal(command(f, op, SRIOV_GROUP, 1), INVALID_GROUP);
	assert_int_equal(query(f, SELF_GROUP) & 3, 3);
	pf_enable_vfs(&f->pf, SLOTS);
	admin_use_all(&f->pf);
	assert_true(notify_info_works(f));
	pf_enable_vfs(&f->pf, 0);
	for (uint16_t op = 0; op < 20; op++)
		assert_int_equal(command(f, op, SRIOV_GROUP, 1), INVALID_GROUP);
}

/*
 * Unless the PF holds to the letter: Linux asks for the list and sets it once, before there are
 * VFs, and takes a refusal for good. Every other command is refused all the same.
 */
/* rules: admin-cmd-13 */
static void test_linux_agrees_on_commands_before_vf_enable(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(query(f, SRIOV_GROUP) & ALL_OPCODES, ALL_OPCODES);
	assert_int_equal(use(f, SRIOV_GROUP, ALL_OPCODES), OK);
	for (uint16_t op = 2; op < 20; op++)
		assert_int_equal(command(f, op, SRIOV_GROUP, 1), INVALID_GROUP);
	pf_enable_vfs(&f->pf, SLOTS);
	assert_true(notify_info_works(f));
}

/* --- 2.12.1.5, 2.13.1: the outcome --- */

/* On success the qualifier is 0, and reserved bytes are written as zeroes. */
/* rules: admin-vq-5 admin-vq-7 */
static void test_2_12_1_ok_has_qualifier_zero_and_zeroes_after_it(void **state)
{
	static const uint8_t zero[8];
	struct fixture *f = *state;
	struct admin_head head = { .opcode = LIST_QUERY, .group_type = SRIOV_GROUP };
	struct admin_cmd cmd = admin_send(&f->pf, &head, ADMIN_HEAD, 64);

	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	assert_memory_equal(cmd.in, zero, 8);
}

/* EINVAL changes nothing, of a member either. */
/* rules: admin-cmd-5 */
static void test_2_12_1_5_einval_has_no_side_effects(void **state)
{
	struct fixture *f = *state;
	struct virtio_pci_state before = *f->vf[0]->state;

	assert_int_equal(legacy_write(&f->pf, 1, L_STATUS, 2, 0x0303), INVALID_FIELD);
	assert_int_equal(legacy_write(&f->pf, 1, L_DRIVER_FEATURES, 8, ~0ull), INVALID_FIELD);
	assert_int_equal(legacy_write(&f->pf, 1, L_DRIVER_FEATURES + 3, 2, ~0ull), INVALID_FIELD);
	assert_int_equal(legacy_write(&f->pf, 1, L_QUEUE_SELECT, 4, ~0ull), INVALID_FIELD);
	assert_int_equal(legacy_write(&f->pf, 1, L_STATUS, 0, 0), INVALID_FIELD);
	assert_int_equal(legacy_write(&f->pf, 2, L_STATUS, 1, 3), INVALID_MEMBER);
	assert_int_equal(legacy_dev_write(&f->pf, 1, 32, 2, ~0ull), INVALID_FIELD);
	assert_memory_equal(&before, f->vf[0]->state, sizeof(before));
}

/* 2.13.1: what the driver left out of the device-readable part is zero. */
/* rules: admin-vq-1 admin-vq-6 */
static void test_2_13_1_shorter_device_readable_part(void **state)
{
	struct fixture *f = *state;
	struct admin_head head = { .opcode = LIST_QUERY };
	struct admin_cmd cmd;

	/* LIST_QUERY of group 0 needs no byte at all */
	for (uint32_t len = 0; len <= ADMIN_HEAD; len++) {
		cmd = admin_send(&f->pf, &head, len, 16);
		assert_int_equal(admin_wait(&f->pf, &cmd), OK);
		assert_int_equal(cmd.in->result[0] & 3, 3);
	}
	/* and so for the data: one byte of the list */
	head = (struct admin_head){ .opcode = LIST_USE, .group_type = SRIOV_GROUP };
	head.data[0] = 0xff & ALL_OPCODES;
	head.data[1] = 0xff; /* not sent */
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD + 1, 8);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	/* a command to a member whose id was cut off is to member 0 */
	head = (struct admin_head){ .opcode = LEGACY_NOTIFY_INFO, .group_type = 1, .member = 1 };
	cmd = admin_send(&f->pf, &head, 16, 8);
	assert_int_equal(admin_wait(&f->pf, &cmd), INVALID_MEMBER);
	cmd = admin_send(&f->pf, &head, 17, 8);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	/* the offset of a register read is 0 then: device features */
	head.opcode = LEGACY_COMMON_READ;
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD, 12);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	assert_int_equal(f->pf.used_len, 12);
}

/* 2.13.1: a longer device-readable part is no failure, and what is too much is ignored. */
/* rules: admin-vq-3 admin-vq-6 admin-cmd-15 */
static void test_2_13_1_longer_device_readable_part(void **state)
{
	struct fixture *f = *state;
	struct admin_head head = { .opcode = LIST_QUERY, .group_type = SRIOV_GROUP };
	struct admin_cmd cmd;

	memset(head.reserved, 0xff, sizeof(head.reserved));
	memset(head.data, 0xff, sizeof(head.data));
	cmd = admin_send(&f->pf, &head, sizeof(head), 16);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	head.opcode = LEGACY_NOTIFY_INFO;
	head.member = 1;
	cmd = admin_send(&f->pf, &head, sizeof(head), 72);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	head.opcode = LEGACY_COMMON_READ;
	head.data[0] = L_STATUS;
	cmd = admin_send(&f->pf, &head, sizeof(head), 9);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	/* 2.12.1: a list may have any number of all-zero entries more */
	head = (struct admin_head){ .opcode = LIST_USE, .group_type = SRIOV_GROUP };
	head.data[0] = ALL_OPCODES;
	cmd = admin_send(&f->pf, &head, sizeof(head), 8);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	head.data[8] = 1; /* opcode 64 */
	cmd = admin_send(&f->pf, &head, sizeof(head), 8);
	assert_int_equal(admin_wait(&f->pf, &cmd), INVALID_FIELD);
}

/* 2.13.1: what does not fit the device-writable part is discarded. */
/* rules: admin-vq-2 admin-vq-6 */
static void test_2_13_1_shorter_device_writable_part(void **state)
{
	struct fixture *f = *state;
	struct admin_head head = { .opcode = LIST_QUERY, .group_type = SRIOV_GROUP };

	for (uint32_t room = 0; room <= 16; room++) {
		struct admin_cmd cmd = admin_send(&f->pf, &head, ADMIN_HEAD, room);
		uint8_t *in = (uint8_t *)cmd.in;

		admin_wait(&f->pf, &cmd);
		assert_int_equal(f->pf.used_len, room);
		for (uint32_t i = 0; i < 8 && i < room; i++)
			assert_int_equal(in[i], 0);
		for (uint32_t i = room; i < 64; i++)
			assert_int_equal(in[i], 0xee);
	}
}

/* 2.13.1: only the structure is written, and its length is the used length. */
/* rules: admin-vq-4 admin-vq-5 admin-vq-6 */
static void test_2_13_1_longer_device_writable_part(void **state)
{
	struct fixture *f = *state;
	struct admin_head head = { .opcode = LIST_QUERY, .group_type = SRIOV_GROUP };
	struct admin_cmd cmd = admin_send(&f->pf, &head, ADMIN_HEAD, 500);

	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	assert_int_equal(f->pf.used_len, 16);
	for (uint32_t i = 8; i < 492; i++)
		assert_int_equal(cmd.in->result[i], 0xee);
	head = (struct admin_head){ .opcode = LEGACY_NOTIFY_INFO, .group_type = 1, .member = 1 };
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD, 500);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	assert_int_equal(f->pf.used_len, 8 + 64);
	assert_int_equal(cmd.in->result[64], 0xee);
	/* LIST_USE has no result */
	head = (struct admin_head){ .opcode = LIST_USE, .group_type = SRIOV_GROUP };
	head.data[0] = ALL_OPCODES;
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD + 8, 500);
	assert_int_equal(admin_wait(&f->pf, &cmd), OK);
	assert_int_equal(f->pf.used_len, 8);
	/* neither has a failure */
	head.group_type = 7;
	cmd = admin_send(&f->pf, &head, ADMIN_HEAD + 8, 500);
	assert_int_equal(admin_wait(&f->pf, &cmd), INVALID_GROUP);
	assert_int_equal(f->pf.used_len, 8);
	assert_int_equal(cmd.in->result[0], 0xee);
}

/* 2.7.4.1: how a command is split into descriptors does not matter. Linux gives each part two. */
static void test_2_7_4_1_a_command_in_many_descriptors(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->pf.d.ram, 64, 8);
	struct admin_head head = { .opcode = LIST_QUERY, .group_type = SRIOV_GROUP };
	struct buf bufs[48];
	uint32_t id, len;
	uint64_t list;

	memcpy(ram_at(&f->pf.d.ram, at), &head, ADMIN_HEAD);
	for (uint32_t i = 0; i < 40; i++)
		bufs[i] = (struct buf){ at + i, 1, i >= ADMIN_HEAD };
	id = ring_add(&f->pf.ring, bufs, 40);
	driver_kick(&f->pf.d, f->pf.index);
	assert_int_equal(driver_used(&f->pf.d, &f->pf.ring, &len), id);
	assert_int_equal(len, 16);
	memcpy(&list, ram_at(&f->pf.d.ram, at + 32), 8);
	assert_int_equal(list & ALL_OPCODES, ALL_OPCODES);
}

/* 2.13.1: commands on a queue are processed in the order in which they were queued. */
/* rules: admin-vq-8 */
static void test_2_13_1_commands_are_processed_in_order(void **state)
{
	struct fixture *f = *state;
	struct admin_head use_none = { .opcode = LIST_USE, .group_type = 1, .data = { 3 } };
	struct admin_head use_all = { .opcode = LIST_USE,
				      .group_type = 1,
				      .data = { ALL_OPCODES } };
	struct admin_head info = { .opcode = LEGACY_NOTIFY_INFO, .group_type = 1, .member = 1 };
	struct admin_cmd cmds[28]; /* what fits the ring */

	for (size_t i = 0; i < 28; i += 4) {
		cmds[i] = admin_send(&f->pf, &use_none, ADMIN_HEAD + 8, 8);
		cmds[i + 1] = admin_send(&f->pf, &info, ADMIN_HEAD, 72);
		cmds[i + 2] = admin_send(&f->pf, &use_all, ADMIN_HEAD + 8, 8);
		cmds[i + 3] = admin_send(&f->pf, &info, ADMIN_HEAD, 72);
	}
	for (size_t i = 0; i < 28; i++)
		assert_int_equal(admin_wait(&f->pf, &cmds[i]), i % 4 == 1 ? INVALID_OPCODE : OK);
}

/* 2.13: every admin queue takes every command, and uses it on the same queue. */
/* rules: admin-vq-10 */
static void test_2_13_a_second_admin_queue(void **state)
{
	struct fixture *f = *state;
	struct ring first = f->pf.ring;
	uint16_t index = f->pf.index;
	uint64_t commands = pf_admin_commands(f->m->pf, 1);

	if (f->pf.count < 2)
		skip();
	ring_init(&f->pf.ring, &f->pf.d.ram, 16);
	f->pf.index++;
	driver_queue(&f->pf.d, f->pf.index, &f->pf.ring, NO_VECTOR);
	assert_true(notify_info_works(f));
	assert_int_equal(ring_used_idx(&f->pf.ring), 1);
	assert_int_equal(ring_used_idx(&first), first.used_seen);
	assert_int_equal(pf_admin_commands(f->m->pf, 1), commands + 1);
	f->pf.ring = first;
	f->pf.index = index;
	assert_true(notify_info_works(f));
}

/* 4.1.5.3: a command that is done interrupts by the vector of its queue. */
static void test_an_admin_queue_interrupts(void **state)
{
	struct fixture *f = *state;

	driver_bind(&f->pf.d, 2);
	driver_events(&f->pf.d, 1);
	set_common(&f->pf.d, C_QUEUE_SELECT, 2, f->pf.index);
	set_common(&f->pf.d, C_QUEUE_MSIX_VECTOR, 2, 1);
	query(f, SRIOV_GROUP);
	assert_int_equal(driver_events(&f->pf.d, 1), 1);
	assert_int_equal(driver_events(&f->pf.d, 0), 0);
}

/* The PF goes on being a device of its type: its other queues work as they always do. */
static void test_the_pf_is_a_normal_device_too(void **state)
{
	struct fixture *f = *state;
	struct driver *d = &f->pf.d;
	uint64_t at = ram_alloc(&d->ram, 64, 8);
	uint32_t type = 0x1234; /* of a request: no such one */
	struct buf bufs[2] = { { at, 16, false }, { at + 16, 1, true } };
	struct ring ring;
	uint32_t len;

	memcpy(ram_at(&d->ram, at), &type, 4);
	ring_init(&ring, &d->ram, 8);
	driver_queue(d, 0, &ring, NO_VECTOR);
	ring_add(&ring, bufs, 2);
	driver_kick(d, 0);
	driver_used(d, &ring, &len);
	assert_int_equal(*(uint8_t *)ram_at(&d->ram, at + 16), 2); /* UNSUPP */
	assert_true(notify_info_works(f));
}

int main(void)
{
#define TEST(name)        cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_FRESH(name)  cmocka_unit_test_setup_teardown(name, setup_fresh, teardown)
#define TEST_STRICT(name) cmocka_unit_test_setup_teardown(name, setup_fresh_strict, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_2_12_1_list_query_has_bits_0_and_1_and_the_legacy_commands),
		TEST(test_2_12_1_1_6_all_or_none_of_the_legacy_commands),
		TEST_FRESH(test_2_12_1_5_at_first_only_the_list_commands_are_legal),
		TEST(test_2_12_1_5_list_use_replaces_the_list),
		TEST(test_2_12_1_6_the_list_commands_can_be_blocked),
		TEST(test_2_12_1_5_list_use_of_what_is_not_supported),
		TEST(test_2_12_1_5_groups_are_independent),
		TEST(test_2_12_1_5_a_reset_forgets_list_use),
		TEST(test_2_12_1_5_invalid_group_before_opcode_before_member),
		TEST(test_2_12_1_5_invalid_members),
		TEST(test_2_12_members_end_at_num_vfs),
		TEST(test_a_slot_that_is_taken_or_left_is_a_member_at_once),
		TEST_STRICT(test_2_12_1_5_without_vf_enable_there_is_no_group),
		TEST_FRESH(test_linux_agrees_on_commands_before_vf_enable),
		TEST(test_2_12_1_ok_has_qualifier_zero_and_zeroes_after_it),
		TEST(test_2_12_1_5_einval_has_no_side_effects),
		TEST(test_2_13_1_shorter_device_readable_part),
		TEST(test_2_13_1_longer_device_readable_part),
		TEST(test_2_13_1_shorter_device_writable_part),
		TEST(test_2_13_1_longer_device_writable_part),
		TEST(test_2_7_4_1_a_command_in_many_descriptors),
		TEST(test_2_13_1_commands_are_processed_in_order),
		TEST(test_2_13_a_second_admin_queue),
		TEST(test_an_admin_queue_interrupts),
		TEST(test_the_pf_is_a_normal_device_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
