/* SPDX-License-Identifier: BSD-3-Clause */
/* owner/owner.h: bringing up a PF, what it learns of it, and its end; the PF is a real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "host.h"

#define LEGACY_OPCODES 0x7c
#define NOTIFY_INFO    6

struct fixture {
	struct machine *m;
	struct owner *owner;
	int ready; /* calls */
	int result;
	struct pf_cmd cmd;
	uint8_t reply[64];
	int done;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = machine_new("rng", 6, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	owner_free(f->owner);
	machine_free(f->m);
	free(f);
	return 0;
}

static void on_ready(void *ctx, int result)
{
	struct fixture *f = ctx;

	f->ready++;
	f->result = result;
}

static void start(struct fixture *f)
{
	assert_int_equal(owner_new(f->m->loop, "pf", f->m->pa, on_ready, f, &f->owner), 0);
	assert_int_equal(f->ready, 0);
	machine_wait(f->m, f->ready);
	assert_int_equal(f->result, 0);
}

static void on_done(struct pf_cmd *cmd)
{
	container_of(cmd, struct fixture, cmd)->done++;
}

static void notify_info(struct fixture *f, enum pf_queue queue, uint64_t member, uint32_t deadline)
{
	f->done = 0;
	f->cmd = (struct pf_cmd){
		.queue = queue,
		.opcode = NOTIFY_INFO,
		.group = 1,
		.member_id = member,
		.result = f->reply,
		.result_room = sizeof(f->reply),
		.done = on_done,
	};
	pf_channel_submit(owner_channel(f->owner), &f->cmd, deadline);
}

/* It agrees with the PF on the commands that both know. */
static void test_the_channel_knows_the_commands_in_use(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(owner_channel(f->owner)->opcodes & LEGACY_OPCODES, LEGACY_OPCODES);
	assert_int_equal(owner_channel(f->owner)->opcodes & 0x3fc00, 0x3fc00);
	assert_int_equal(owner_channel(f->owner)->objects.limit, 255);
	machine_settle(f->m);
	assert_int_equal(f->ready, 1);
}

/* PCIe 9.3.3: where its VFs are, how many, of which id, and how large their BARs. */
static void test_it_reads_the_sriov_capability_and_enables_all_vfs(void **state)
{
	struct fixture *f = *state;
	const struct owner_vfs *vfs;
	struct member *vf = member_new(f->m, 4, NULL);

	assert_int_equal(vf->pa->ops->config_read(vf->pa, PCI_CLASS_REVISION, 4), 0xffffffff);
	start(f);
	vfs = owner_vfs(f->owner);
	assert_int_equal(vfs->total, 6);
	assert_int_equal(vfs->vendor, 0x1af4);
	assert_int_equal(vfs->device, 0x1044);
	assert_int_equal(f->m->pa->rid + vfs->first_offset + 3 * vfs->stride, vf->pa->rid);
	assert_int_equal(vfs->bar_size[0], 0);
	assert_int_equal(vfs->bar_size[1], 0);
	assert_int_equal(vfs->bar_size[2], 0x4000);
	assert_int_equal(vfs->bar_size[4], 0x1000);
	assert_int_not_equal(vf->pa->ops->config_read(vf->pa, PCI_CLASS_REVISION, 4), 0xffffffff);
	member_free(vf);
}

/* Both queues carry commands; one that is stalled does not hold up the other. */
static void test_two_queues(void **state)
{
	struct fixture *f = *state;
	struct member *vf = member_new(f->m, 1, NULL);

	start(f);
	notify_info(f, PF_QUEUE_REGISTERS, 1, 1000);
	machine_wait(f->m, f->done);
	assert_int_equal(f->cmd.error, 0);
	assert_int_equal(f->reply[0], 2);
	pf_fault_stall(f->m->pf, true);
	notify_info(f, PF_QUEUE_PARTS, 1, 1000);
	machine_wait(f->m, f->done);
	assert_int_equal(f->cmd.error, 0);
	notify_info(f, PF_QUEUE_REGISTERS, 1, 10);
	machine_wait(f->m, f->done);
	assert_int_equal(f->cmd.error, -ETIMEDOUT);
	/* the PF comes back: the late answer is nobody's, the next is somebody's */
	pf_fault_stall(f->m->pf, false);
	machine_settle(f->m);
	notify_info(f, PF_QUEUE_REGISTERS, 1, 1000);
	machine_wait(f->m, f->done);
	assert_int_equal(f->cmd.error, 0);
	member_free(vf);
}

static void test_a_failure_names_its_reason(void **state)
{
	struct fixture *f = *state;

	start(f);
	notify_info(f, PF_QUEUE_REGISTERS, 5, 1000);
	machine_wait(f->m, f->done);
	assert_int_equal(f->cmd.error, -EINVAL);
	assert_int_equal(f->cmd.qualifier, VIRTIO_ADMIN_Q_INVALID_MEMBER);
}

/* More at once than the ring takes, for a PF that answers when it likes. */
static void test_many_commands_at_once(void **state)
{
	enum { N = 500 };
	struct fixture *f = *state;
	struct fixture *c = calloc(N, sizeof(*c));
	struct member *vf = member_new(f->m, 1, NULL);
	int done = 0;

	assert_non_null(c);
	start(f);
	pf_fault_stall(f->m->pf, true);
	for (int i = 0; i < N; i++) {
		c[i].owner = f->owner;
		notify_info(&c[i], PF_QUEUE_REGISTERS, 1, 5000);
	}
	machine_settle(f->m);
	pf_fault_stall(f->m->pf, false);
	for (int i = 0; i < N; i++) {
		machine_wait(f->m, c[i].done);
		assert_int_equal(c[i].cmd.error, 0);
		done += c[i].done;
	}
	assert_int_equal(done, N);
	assert_int_equal(pf_admin_commands(f->m->pf, 0), N + 2);
	member_free(vf);
	free(c);
}

/* The end of the owner is the end of its commands, and the PF is reset. */
static void test_freeing_the_owner_ends_its_commands(void **state)
{
	struct fixture *f = *state;

	start(f);
	pf_fault_stall(f->m->pf, true);
	notify_info(f, PF_QUEUE_REGISTERS, 1, 5000);
	machine_settle(f->m);
	owner_free(f->owner);
	f->owner = NULL;
	assert_int_equal(f->done, 1);
	assert_int_equal(f->cmd.error, -EIO);
	pf_fault_stall(f->m->pf, false);
	machine_settle(f->m);
	/* and there can be another */
	f->ready = 0;
	start(f);
}

/* Its own commands end, too: also if it goes before it was ready. */
static void test_freeing_an_owner_that_is_not_ready(void **state)
{
	struct fixture *f = *state;

	pf_fault_stall(f->m->pf, true);
	assert_int_equal(owner_new(f->m->loop, "pf", f->m->pa, on_ready, f, &f->owner), 0);
	machine_settle(f->m);
	owner_free(f->owner);
	f->owner = NULL;
	assert_int_equal(f->ready, 1);
	assert_int_equal(f->result, -EIO);
	pf_fault_stall(f->m->pf, false);
	machine_settle(f->m);
}

static void test_what_is_no_virtio_pf_is_refused(void **state)
{
	struct fixture *f = *state;
	struct member *vf = member_new(f->m, 2, NULL);
	struct pci_access *pa;
	struct owner *owner;

	/* nothing there */
	assert_int_equal(pci_root_open(f->m->root, 0x7777, &pa), 0);
	assert_int_equal(owner_new(f->m->loop, "x", pa, on_ready, f, &owner), -ENODEV);
	pci_root_close(pa);
	/* a VF: virtio, but neither SR-IOV nor admin queues */
	start(f);
	assert_int_equal(owner_new(f->m->loop, "x", vf->pa, on_ready, f, &owner), -ENODEV);
	assert_int_equal(f->ready, 1);
	member_free(vf);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_the_channel_knows_the_commands_in_use),
		TEST(test_it_reads_the_sriov_capability_and_enables_all_vfs),
		TEST(test_two_queues),
		TEST(test_a_failure_names_its_reason),
		TEST(test_many_commands_at_once),
		TEST(test_freeing_the_owner_ends_its_commands),
		TEST(test_freeing_an_owner_that_is_not_ready),
		TEST(test_what_is_no_virtio_pf_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
