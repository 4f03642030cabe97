/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-vfio-pci and its channel: probes that are refused, answers that are late or wrong, and
 * accesses that nobody waits for any more. Where the PF must misbehave, the channel is the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "host.h"

enum { PFN = 0x08, SIZE = 0x0c, SELECT = 0x0e, NOTIFY = 0x10, STATUS = 0x12 };

#define LEGACY_OPCODES 0x7c
#define NOTIFY_INFO    6
#define COMMON_WRITE   2

/* A channel whose commands the test ends. */
struct channel {
	struct pf_channel ch;
	struct pf_cmd *cmd; /* under way; one at a time is all that a driver sends */
	int submitted;
	int cancelled;
};

struct fixture {
	struct host *h;
	struct user u;
	struct channel channel;
};

static void ch_submit(struct pf_channel *ch, struct pf_cmd *cmd, uint32_t deadline_ms)
{
	struct channel *c = container_of(ch, struct channel, ch);

	assert_null(c->cmd);
	assert_true(deadline_ms <= 3000);
	c->cmd = cmd;
	c->submitted++;
}

static void ch_cancel(struct pf_channel *ch, struct pf_cmd *cmd)
{
	struct channel *c = container_of(ch, struct channel, ch);

	assert_ptr_equal(c->cmd, cmd);
	c->cmd = NULL;
	c->cancelled++;
}

static int setup(void **state)
{
	static const struct pf_channel_ops ops = { .submit = ch_submit, .cancel = ch_cancel };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->h = host_new("blk", 4);
	user_init(&f->u, f->h, member_new_blk(f->h->m, 1, 64, false));
	f->channel.ch.ops = &ops;
	f->channel.ch.opcodes = LEGACY_OPCODES | 3;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	user_fini(&f->u);
	host_free(f->h);
	free(f);
	return 0;
}

/* Ends the command under way. */
static void end(struct fixture *f, int error, const void *result, size_t len)
{
	struct pf_cmd *cmd = f->channel.cmd;

	assert_non_null(cmd);
	f->channel.cmd = NULL;
	cmd->error = error;
	cmd->result_len = len < cmd->result_room ? len : cmd->result_room;
	if (cmd->result_len)
		memcpy(cmd->result, result, cmd->result_len);
	cmd->done(cmd);
}

struct entry {
	uint8_t flags;
	uint8_t bar;
	uint8_t padding[6];
	uint64_t offset;
};

static void probe(struct fixture *f)
{
	struct function_host host = user_host(&f->u, false);

	host.channel = &f->channel.ch;
	user_probe(&f->u, "virtio-vfio-pci", &host);
}

/* Probes with these entries as the answer, and opens. */
static void probe_with(struct fixture *f, const struct entry e[4])
{
	probe(f);
	assert_false(f->u.probed);
	assert_int_equal(f->channel.cmd->opcode, NOTIFY_INFO);
	assert_int_equal(f->channel.cmd->group, 1);
	assert_int_equal(f->channel.cmd->member_id, 1);
	assert_int_equal(f->channel.cmd->data_len, 0);
	end(f, 0, e, 64);
	assert_true(f->u.probed);
	assert_int_equal(f->u.result, 0);
	user_open(&f->u);
}

/* --- probes --- */

/* 2.12.1.1.6: all of the legacy commands are needed. */
static void test_a_probe_is_refused_without_the_legacy_commands(void **state)
{
	struct fixture *f = *state;
	struct function_host host = user_host(&f->u, false);

	for (unsigned int bit = 2; bit < 7; bit++) {
		f->channel.ch.opcodes = (LEGACY_OPCODES | 3) & ~(1ull << bit);
		f->u.probed = false;
		probe(f);
		assert_true(f->u.probed);
		assert_int_equal(f->u.result, -EOPNOTSUPP);
		assert_null(f->u.vdev);
		assert_non_null(strstr(f->u.why, "vfio-pci"));
	}
	assert_int_equal(f->channel.submitted, 0);
	/* vfio-pci needs none */
	f->u.probed = false;
	host.channel = &f->channel.ch;
	host.channel->opcodes = 0;
	user_probe(&f->u, "vfio-pci", &host);
	assert_true(f->u.probed);
	assert_int_equal(f->u.result, 0);
}

/*
 * 4.1.2.1: not every type has a transitional form; and one with a BAR 0 of its own can't have ours.
 */
static void test_a_probe_is_refused_where_no_transitional_function_is_possible(void **state)
{
	struct fixture *f = *state;
	struct function_host host = user_host(&f->u, false);
	struct owner_vfs vfs = *host.vfs;

	host.vfs = &vfs;
	vfs.bar_size[0] = 4096;
	user_probe(&f->u, "virtio-vfio-pci", &host);
	assert_true(f->u.probed);
	assert_int_equal(f->u.result, -EOPNOTSUPP);
	vfs = *owner_vfs(f->h->owner);
	vfs.device = 0x1040 + 26; /* a file system */
	f->u.probed = false;
	user_probe(&f->u, "virtio-vfio-pci", &host);
	assert_true(f->u.probed);
	assert_int_equal(f->u.result, -EOPNOTSUPP);
	assert_non_null(strstr(f->u.why, "vfio-pci"));
}

static void test_a_probe_fails_when_notify_info_does(void **state)
{
	struct fixture *f = *state;

	probe(f);
	end(f, -EINVAL, NULL, 0);
	assert_true(f->u.probed);
	assert_int_equal(f->u.result, -EINVAL);
	assert_null(f->u.vdev);
	assert_non_null(f->u.why);
	f->u.probed = false;
	probe(f);
	end(f, -ETIMEDOUT, NULL, 0);
	assert_int_equal(f->u.result, -ETIMEDOUT);
	assert_non_null(strstr(f->u.why, "does not answer"));
}

static void test_a_probe_of_an_empty_slot_fails(void **state)
{
	struct fixture *f = *state;
	struct function_host host = user_host(&f->u, false);

	pf_remove_member(f->h->m->pf, 1);
	user_probe(&f->u, "virtio-vfio-pci", &host);
	machine_wait(f->h->m, f->u.probed);
	assert_true(f->u.result < 0);
	assert_null(f->u.vdev);
	assert_int_equal(pf_add_member(f->h->m->pf, 1, &f->u.member->vf), 0);
}

static void test_a_probe_under_way_is_cancelled(void **state)
{
	struct fixture *f = *state;

	probe(f);
	assert_non_null(f->u.probe.cancel);
	f->u.probe.cancel(&f->u.probe);
	assert_int_equal(f->channel.cancelled, 1);
	assert_false(f->u.probed);
}

static void test_driver_none_makes_no_device(void **state)
{
	struct fixture *f = *state;
	struct function_host host = user_host(&f->u, false);

	user_probe(&f->u, "none", &host);
	assert_true(f->u.probed);
	assert_int_equal(f->u.result, 0);
	assert_null(f->u.vdev);
	assert_null(function_driver_find("no-such-driver"));
}

/* --- 2.12.1.1.7: which notification address a driver may use --- */

/* Writes a notification; true if it went by command, false if to BAR 2 of the member. */
static bool notify_by_command(struct fixture *f)
{
	uint64_t notifies = f->u.member->counters.value[COUNTER_notifies];
	uint16_t queue = 0;
	int err = user_start(&f->u, BAR0, NOTIFY, 2, true, &queue);

	if (err == -EINPROGRESS) {
		assert_int_equal(f->channel.cmd->opcode, COMMON_WRITE);
		assert_int_equal(((const uint8_t *)f->channel.cmd->data)[0], NOTIFY);
		assert_int_equal(f->channel.cmd->data_len, 10);
		end(f, 0, NULL, 0);
		assert_true(f->u.done);
		return true;
	}
	assert_int_equal(err, 0);
	assert_int_equal(f->u.member->counters.value[COUNTER_notifies], notifies + 1);
	return false;
}

static void test_2_12_1_1_7_the_first_valid_address_is_used(void **state)
{
	static const struct entry e[4] = {
		{ .flags = 1, .bar = 2, .offset = 0x3000 }, /* the owner's: not ours to write to */
		{ .flags = 3, .bar = 2, .offset = 0x3000 }, /* reserved */
		{ .flags = 2, .bar = 2, .offset = 0x3000 },
		{ .flags = 0 },
	};
	struct fixture *f = *state;

	probe_with(f, e);
	assert_false(notify_by_command(f));
}

static void bad_entries(struct fixture *f, const struct entry e[4])
{
	probe_with(f, e);
	assert_true(notify_by_command(f));
}

static void test_2_12_1_1_7_entries_behind_the_end_are_ignored(void **state)
{
	static const struct entry e[4] = { { .flags = 0 },
					   { .flags = 2, .bar = 2, .offset = 0x3000 } };

	bad_entries(*state, e);
}

static void test_2_12_1_1_7_odd_offsets_are_ignored(void **state)
{
	static const struct entry e[4] = { { .flags = 2, .bar = 2, .offset = 0x3001 } };

	bad_entries(*state, e);
}

static void test_2_12_1_1_7_offsets_outside_the_bar_are_ignored(void **state)
{
	static const struct entry e[4] = {
		{ .flags = 2, .bar = 2, .offset = 0x4000 },
		{ .flags = 2, .bar = 2, .offset = -2ull },
		{ .flags = 2, .bar = 2, .offset = 0x100003000 },
	};

	bad_entries(*state, e);
}

static void test_2_12_1_1_7_bars_that_are_none_are_ignored(void **state)
{
	static const struct entry e[4] = {
		{ .flags = 2, .bar = 0, .offset = 0 },
		{ .flags = 2, .bar = 1, .offset = 0 },
		{ .flags = 2, .bar = 6, .offset = 0 },
		{ .flags = 2, .bar = 255, .offset = 0 },
	};

	bad_entries(*state, e);
}

static void test_a_short_result_has_no_entries(void **state)
{
	struct fixture *f = *state;
	struct entry e = { .flags = 2, .bar = 2, .offset = 0x3000 };

	probe(f);
	end(f, 0, &e, 15);
	assert_int_equal(f->u.result, 0);
	user_open(&f->u);
	assert_true(notify_by_command(f));
}

/* --- answers --- */

static const struct entry good[4] = { { .flags = 2, .bar = 2, .offset = 0x3000 } };

/* A register that can't be read is all ones, and the next one is read all the same. */
static void test_a_failed_read_is_all_ones(void **state)
{
	struct fixture *f = *state;

	probe_with(f, good);
	assert_int_equal(user_start(&f->u, BAR0, SIZE, 4, false, NULL), -EINPROGRESS);
	end(f, -EINVAL, NULL, 0);
	assert_false(f->u.done);
	end(f, 0, "\x34\x12", 2);
	assert_true(f->u.done);
	assert_int_equal(f->u.done_result, 0);
	assert_memory_equal(f->u.data, "\xff\xff\x34\x12", 4);
	assert_int_equal(f->u.member->counters.value[COUNTER_admin_errors], 1);
}

static void test_a_short_answer_is_all_ones(void **state)
{
	struct fixture *f = *state;

	probe_with(f, good);
	assert_int_equal(user_start(&f->u, BAR0, PFN, 4, false, NULL), -EINPROGRESS);
	end(f, 0, "\x01\x02", 2);
	assert_memory_equal(f->u.data, "\xff\xff\xff\xff", 4);
}

/* After a deadline that passed nothing more of the access is tried. */
static void test_a_timeout_ends_the_access_with_all_ones(void **state)
{
	struct fixture *f = *state;

	probe_with(f, good);
	assert_int_equal(user_start(&f->u, BAR0, 0, 16, false, NULL), -EINPROGRESS);
	end(f, 0, "abcd", 4);
	end(f, -ETIMEDOUT, NULL, 0);
	assert_true(f->u.done);
	assert_int_equal(f->u.done_result, 0);
	assert_memory_equal(f->u.data, "abcd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
	assert_null(f->channel.cmd);
	assert_int_equal(f->u.member->counters.value[COUNTER_admin_timeouts], 1);
}

/* A reset that was not answered has not happened: the user must not think so. */
static void test_a_reset_that_times_out_is_an_error(void **state)
{
	struct fixture *f = *state;
	uint8_t zero = 0, three = 3;

	probe_with(f, good);
	assert_int_equal(user_start(&f->u, BAR0, STATUS, 1, true, &zero), -EINPROGRESS);
	end(f, -ETIMEDOUT, NULL, 0);
	assert_true(f->u.done);
	assert_int_equal(f->u.done_result, -ETIMEDOUT);
	/* other writes that are lost are lost, as on a bus */
	assert_int_equal(user_start(&f->u, BAR0, STATUS, 1, true, &three), -EINPROGRESS);
	end(f, -ETIMEDOUT, NULL, 0);
	assert_int_equal(f->u.done_result, 0);
}

static void test_a_channel_that_is_down_reads_all_ones(void **state)
{
	struct fixture *f = *state;

	probe_with(f, good);
	assert_int_equal(user_start(&f->u, BAR0, STATUS, 2, false, NULL), -EINPROGRESS);
	end(f, -EIO, NULL, 0);
	end(f, -EIO, NULL, 0);
	assert_true(f->u.done);
	assert_int_equal(f->u.done_result, 0);
	assert_memory_equal(f->u.data, "\xff\xff", 2);
	assert_int_equal(f->u.member->counters.value[COUNTER_admin_errors], 2);
}

/*
 * With INTx the driver sets the queue's vector before the queue. If that is not answered, neither
 * is the access; if it is refused, the guest goes on without interrupts.
 */
static void test_a_command_of_the_drivers_own_that_fails(void **state)
{
	struct fixture *f = *state;
	struct counters *c = &f->u.member->counters;
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t pfn = 5;

	assert_true(event >= 0);
	probe_with(f, good);
	assert_int_equal(user_set_eventfds(&f->u, VFIO_PCI_INTX_IRQ_INDEX,
					   VFIO_IRQ_SET_ACTION_TRIGGER, &event, 1),
			 0);
	assert_int_equal(user_start(&f->u, BAR0, PFN, 4, true, &pfn), -EINPROGRESS);
	assert_int_equal(((const uint8_t *)f->channel.cmd->data)[0], 0x16);
	end(f, -ETIMEDOUT, NULL, 0);
	assert_true(f->u.done);
	assert_int_equal(f->u.done_result, 0);
	assert_null(f->channel.cmd);
	assert_int_equal(c->value[COUNTER_admin_timeouts], 1);
	assert_int_equal(user_start(&f->u, BAR0, PFN, 4, true, &pfn), -EINPROGRESS);
	end(f, -EINVAL, NULL, 0);
	assert_false(f->u.done);
	assert_int_equal(((const uint8_t *)f->channel.cmd->data)[0], PFN);
	end(f, 0, NULL, 0);
	assert_true(f->u.done);
	assert_int_equal(c->value[COUNTER_admin_errors], 1);
	assert_int_equal(c->value[COUNTER_admin_own], 3); /* with NOTIFY_INFO */
	close(event);
}

/* One access at a time. */
static void test_a_second_access_is_refused_while_one_is_under_way(void **state)
{
	struct fixture *f = *state;
	uint8_t data[4];
	struct vfio_access second = { .region = CONFIG, .count = 4, .data = data };

	probe_with(f, good);
	assert_int_equal(user_start(&f->u, BAR0, STATUS, 1, false, NULL), -EINPROGRESS);
	assert_int_equal(vfio_device_access(f->u.vdev, &second), -EINVAL);
	end(f, 0, "\x07", 1);
	assert_int_equal(f->u.data[0], 7);
	assert_int_equal(vfio_device_access(f->u.vdev, &second), 0);
}

/* --- nobody waits any more --- */

static void test_closing_abandons_the_access(void **state)
{
	struct fixture *f = *state;

	probe_with(f, good);
	assert_int_equal(user_start(&f->u, BAR0, STATUS, 1, false, NULL), -EINPROGRESS);
	user_close(&f->u);
	assert_int_equal(f->channel.cancelled, 1);
	assert_false(f->u.done);
	/* the next user starts anew */
	user_open(&f->u);
	assert_int_equal(user_start(&f->u, BAR0, STATUS, 1, false, NULL), -EINPROGRESS);
	end(f, 0, "\x00", 1);
	assert_true(f->u.done);
	assert_int_equal(f->u.data[0], 0);
}

/* The same with the real PF, which answers when it is too late. */
static void test_a_late_answer_to_an_abandoned_access_reaches_nobody(void **state)
{
	struct fixture *f = *state;
	struct user *u = user_new(f->h, 2, "virtio-vfio-pci", true);

	pf_fault_stall(f->h->m->pf, true);
	assert_int_equal(user_start(u, BAR0, 0, 4, false, NULL), -EINPROGRESS);
	machine_settle(f->h->m);
	assert_false(u->done);
	user_close(u);
	pf_fault_stall(f->h->m->pf, false);
	machine_settle(f->h->m);
	assert_false(u->done);
	user_open(u);
	assert_int_equal(user_read(u, BAR0, STATUS, 1), 0);
	/* and with the driver taken off at the same time */
	pf_fault_stall(f->h->m->pf, true);
	assert_int_equal(user_start(u, BAR0, 0, 4, false, NULL), -EINPROGRESS);
	user_free(u);
	pf_fault_stall(f->h->m->pf, false);
	machine_settle(f->h->m);
}

/* --- a queue that is stalled: an inb waits, another function goes on --- */

static uint32_t read_sector(struct user *u, struct ring *ring, uint64_t page, uint64_t sector)
{
	uint64_t header[2] = { 0, sector };
	struct buf bufs[3] = { { page, 16, false },
			       { page + 512, 512, true },
			       { page + 16, 1, true } };
	uint32_t id, len;

	memcpy(ram_at(&u->ram, page), header, 16);
	ring_add(ring, bufs, 3);
	user_write(u, BAR0, NOTIFY, 2, 0);
	machine_wait(u->h->m, ring_used(ring, &id, &len));
	assert_int_equal(*(uint8_t *)ram_at(&u->ram, page + 16), 0);
	return *(uint8_t *)ram_at(&u->ram, page + 512);
}

static void test_with_the_queue_stalled_an_access_waits_and_others_go_on(void **state)
{
	struct fixture *f = *state;
	struct user *a = user_new(f->h, 2, "virtio-vfio-pci", true);
	struct user *b = user_new(f->h, 3, "virtio-vfio-pci", true);
	uint64_t page = ram_alloc(&b->ram, 4096, 4096), start, took;
	struct ring ring;

	user_write(b, BAR0, STATUS, 1, 3);
	user_write(b, BAR0, PFN, 4, ring_init_legacy(&ring, &b->ram, 256) >> 12);
	pf_fault_stall(f->h->m->pf, true);
	start = loop_now_ns();
	assert_int_equal(user_start(a, BAR0, 0, 8, false, NULL), -EINPROGRESS);
	for (uint64_t sector = 0; sector < 60; sector++) {
		assert_int_equal(read_sector(b, &ring, page, sector), sector);
		assert_false(a->done);
	}
	while (!a->done)
		assert_int_equal(loop_step(f->h->m->loop, 100), 0);
	took = (loop_now_ns() - start) / 1000000;
	assert_true(took >= 1500 && took < 5000); /* before a VMM gives up */
	assert_int_equal(a->done_result, 0);
	assert_memory_equal(a->data, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	assert_int_equal(a->member->counters.value[COUNTER_admin_timeouts], 1);
	pf_fault_stall(f->h->m->pf, false);
	machine_settle(f->h->m); /* the late answer */
	assert_int_equal(user_read(a, BAR0, SIZE, 2), 256);
	assert_int_equal(read_sector(b, &ring, page, 61), 61);
	user_free(a);
	user_free(b);
}

/*
 * A legacy reset that does not end, because the member's I/O does not: the user is told, in time to
 * close before its VMM gives up. The PF's queue is not held up by it.
 */
static void test_a_reset_that_waits_for_io_too_long_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct user *a = user_new(f->h, 2, "virtio-vfio-pci", true);
	struct user *b = user_new(f->h, 3, "virtio-vfio-pci", true);
	uint64_t page = ram_alloc(&a->ram, 4096, 4096), start, took;
	uint64_t header[2] = { 0, 1 };
	struct buf bufs[3] = { { page, 16, false },
			       { page + 512, 512, true },
			       { page + 16, 1, true } };
	struct ring ring;
	uint8_t zero = 0;

	user_write(a, BAR0, STATUS, 1, 3);
	user_write(a, BAR0, PFN, 4, ring_init_legacy(&ring, &a->ram, 256) >> 12);
	blk_fault_hang(a->member->vf.dev, true);
	memcpy(ram_at(&a->ram, page), header, 16);
	ring_add(&ring, bufs, 3);
	user_write(a, BAR0, NOTIFY, 2, 0);
	machine_settle(f->h->m);
	start = loop_now_ns();
	assert_int_equal(user_start(a, BAR0, STATUS, 1, true, &zero), -EINPROGRESS);
	while (!a->done) {
		assert_int_equal(loop_step(f->h->m->loop, 100), 0);
		assert_int_equal(user_read(b, BAR0, SIZE, 2), 256);
	}
	took = (loop_now_ns() - start) / 1000000;
	assert_true(took >= 2500 && took < 5000);
	assert_int_equal(a->done_result, -ETIMEDOUT);
	/* who closes then waits as well, and the next user is fine */
	blk_fault_hang(a->member->vf.dev, false);
	user_close(a);
	user_open(a);
	assert_int_equal(user_read(a, BAR0, STATUS, 1), 0);
	user_free(a);
	user_free(b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_probe_is_refused_without_the_legacy_commands),
		TEST(test_a_probe_is_refused_where_no_transitional_function_is_possible),
		TEST(test_a_probe_fails_when_notify_info_does),
		TEST(test_a_probe_of_an_empty_slot_fails),
		TEST(test_a_probe_under_way_is_cancelled),
		TEST(test_driver_none_makes_no_device),
		TEST(test_2_12_1_1_7_the_first_valid_address_is_used),
		TEST(test_2_12_1_1_7_entries_behind_the_end_are_ignored),
		TEST(test_2_12_1_1_7_odd_offsets_are_ignored),
		TEST(test_2_12_1_1_7_offsets_outside_the_bar_are_ignored),
		TEST(test_2_12_1_1_7_bars_that_are_none_are_ignored),
		TEST(test_a_short_result_has_no_entries),
		TEST(test_a_failed_read_is_all_ones),
		TEST(test_a_short_answer_is_all_ones),
		TEST(test_a_timeout_ends_the_access_with_all_ones),
		TEST(test_a_reset_that_times_out_is_an_error),
		TEST(test_a_channel_that_is_down_reads_all_ones),
		TEST(test_a_command_of_the_drivers_own_that_fails),
		TEST(test_a_second_access_is_refused_while_one_is_under_way),
		TEST(test_closing_abandons_the_access),
		TEST(test_a_late_answer_to_an_abandoned_access_reaches_nobody),
		TEST(test_with_the_queue_stalled_an_access_waits_and_others_go_on),
		TEST(test_a_reset_that_waits_for_io_too_long_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
