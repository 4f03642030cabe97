/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Administration commands that mean harm, raw on the PF's queue. Each is answered, or the PF needs
 * a reset where the ring itself is broken; members keep their state, and a later command works.
 */
#include <pthread.h>

#include "pf_driver.h"

#define SLOTS  4
#define MEMBER 1

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = machine_new("blk", SLOTS, false);
	pf_driver_init(&f->pf, f->m);
	f->vf = member_new_blk(f->m, MEMBER, 64, false);
	pf_enable_vfs(&f->pf, SLOTS);
	admin_use_supported(&f->pf);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	member_free(f->vf);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

static void assert_alive(struct fixture *f)
{
	assert_true(legacy_get(&f->pf, MEMBER, L_QUEUE_SIZE, 2) > 0);
	assert_int_equal(common(&f->pf.d, C_DEVICE_STATUS, 1), 0xf);
}

/* A chain of these buffers on the admin queue; waits until it is used, for its length. */
static uint32_t run(struct fixture *f, const struct buf *bufs, size_t n)
{
	uint32_t id = ring_add(&f->pf.ring, bufs, n), len;

	driver_kick(&f->pf.d, f->pf.index);
	assert_int_equal(driver_used(&f->pf.d, &f->pf.ring, &len), id);
	return len;
}

static uint64_t put_command(struct fixture *f, uint16_t opcode, uint64_t member)
{
	uint64_t at = ram_alloc(&f->pf.d.ram, 1024, 8);
	struct admin_head head = { .opcode = opcode,
				   .group_type =
					   opcode >= CAP_ID_LIST_QUERY && opcode <= DRIVER_CAP_SET
						   ? SELF_GROUP
						   : SRIOV_GROUP,
				   .member = member };

	memcpy(ram_at(&f->pf.d.ram, at), &head, sizeof(head));
	return at;
}

/* Every opcode with every length of data and of result, and with each of its fields all ones. */
static void test_every_field_and_length(void **state)
{
	static const uint32_t lens[] = { 0,  1,  2,  3,  7,  8,  9,  15, 16,  17,  23,
					 24, 25, 31, 32, 33, 63, 64, 65, 255, 511, 512 };
	struct fixture *f = *state;
	const uint64_t *errors = &pf_counters(f->m->pf)->value[COUNTER_admin_errors];
	size_t mark = f->pf.d.ram.used;
	uint64_t refused = 0;

	assert_int_equal(*errors, 0);
	for (uint16_t op = 0; op < 40; op++)
		for (size_t l = 0; l < sizeof(lens) / sizeof(lens[0]); l++)
			for (int ones = 0; ones < 4; ones++) {
				struct virtio_pci_state before = *f->vf->state;
				struct admin_head head = { .opcode = op };
				struct admin_cmd cmd;
				uint32_t status;

				if (op == LIST_USE)
					continue;
				head.group_type = ones == 1 ? 0xffff : (uint16_t)(l % 2);
				head.member = ones == 2 ? ~0ull : l % 2;
				memset(head.data, ones == 3 ? 0xff : 0, sizeof(head.data));
				f->pf.d.ram.used = mark;
				cmd = admin_send(&f->pf, &head, ADMIN_HEAD + lens[l],
						 ADMIN_REPLY + lens[(l * 7 + op) % 22]);
				status = admin_wait(&f->pf, &cmd);
				assert_true(f->pf.used_len >= 8);
				refused += status != OK;
				assert_int_equal(*errors, refused);
				/* EINVAL changes nothing (2.12.1.5) */
				if ((status & 0xffff) == 22)
					assert_memory_equal(&before, f->vf->state, sizeof(before));
				if (ones == 1)
					assert_int_equal(status, INVALID_GROUP);
			}
	admin_use_supported(&f->pf);
	assert_alive(f);
}

static void test_no_device_writable_part(void **state)
{
	struct fixture *f = *state;

	for (uint16_t op = 0; op < 20; op++)
		if (op != LIST_USE) /* of nothing, here */
			assert_int_equal(
				run(f,
				    &(struct buf){ put_command(f, op, MEMBER), ADMIN_HEAD, false },
				    1),
				0);
	assert_alive(f);
}

static void test_no_device_readable_part(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->pf.d.ram, 4096, 8);
	uint64_t list;

	/* all of it zero: LIST_QUERY of the self group (2.13.1) */
	for (uint32_t room = 1; room <= 64; room++)
		assert_int_equal(run(f, &(struct buf){ at, room, true }, 1), room < 16 ? room : 16);
	memcpy(&list, ram_at(&f->pf.d.ram, at + 8), 8);
	assert_int_equal(list & 3, 3);
	assert_alive(f);
}

/* The result goes over the command, by every number of bytes. */
static void test_result_over_the_command(void **state)
{
	struct fixture *f = *state;
	size_t mark = f->pf.d.ram.used;

	for (uint16_t op = 0; op < 20; op++)
		for (uint32_t shift = 0; shift <= ADMIN_HEAD; shift++) {
			uint64_t at;
			struct buf bufs[2];
			uint16_t status;
			uint32_t len;

			if (op == LIST_USE)
				continue;
			f->pf.d.ram.used = mark;
			at = put_command(f, op, MEMBER);
			bufs[0] = (struct buf){ at, ADMIN_HEAD + 1, false };
			bufs[1] = (struct buf){ at + shift, 72, true };
			len = run(f, bufs, 2);
			memcpy(&status, ram_at(&f->pf.d.ram, at + shift), 2);
			assert_true(len >= 8);
			/* the command was read before it was written over */
			if (op == LEGACY_NOTIFY_INFO)
				assert_int_equal(status, 0);
		}
	assert_alive(f);
}

/* One byte of memory for all of the command, and for all of the result. */
static void test_descriptors_of_one_byte(void **state)
{
	struct fixture *f = *state;
	uint64_t at = ram_alloc(&f->pf.d.ram, 64, 8);
	struct buf bufs[64];
	uint32_t n = f->pf.ring.size < 64 ? f->pf.ring.size : 64;

	for (int value = 0; value < 256; value++) {
		memset(ram_at(&f->pf.d.ram, at), value, 1);
		for (uint32_t i = 0; i < n; i++)
			bufs[i] = (struct buf){ at, 1, i >= n / 2 };
		assert_true(run(f, bufs, n) <= n / 2);
	}
	admin_use_supported(&f->pf);
	assert_alive(f);
}

/* The result goes into the ring that the command is on; a reset mends what it broke. */
static void test_result_over_the_ring(void **state)
{
	struct fixture *f = *state;

	for (int part = 0; part < 3; part++)
		for (uint32_t shift = 0; shift < 80; shift += 4) {
			struct ring *r = &f->pf.ring;
			uint64_t at = part == 0 ? r->desc : part == 1 ? r->avail : r->used;
			struct buf bufs[2] = {
				{ put_command(f, LEGACY_NOTIFY_INFO, MEMBER), ADMIN_HEAD, false },
				{ at + shift, 72, true },
			};

			for (int i = 0; i < 3; i++) {
				ring_add(r, bufs, 2);
				driver_kick(&f->pf.d, f->pf.index);
				machine_settle(f->m);
			}
			f->pf.d.ram.used = 4096;
			pf_driver_start(&f->pf);
			admin_use_supported(&f->pf);
		}
	assert_alive(f);
}

/* Memory that is not there, for either part: the ring's fault, so the PF needs a reset. */
static void test_commands_at_unmapped_memory(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		uint64_t at = put_command(f, LIST_QUERY, 0);
		struct buf bufs[2] = { { i == 0 ? 0x1000 : at, ADMIN_HEAD, false },
				       { i == 1 ? 0x1000 : at + 512, 16, true } };

		if (i == 2) /* beyond the end of what is mapped */
			bufs[1] = (struct buf){ DRIVER_IOVA + DRIVER_RAM - 8, 16, true };
		ring_add(&f->pf.ring, bufs, 2);
		driver_kick(&f->pf.d, f->pf.index);
		machine_settle(f->m);
		assert_true(common(&f->pf.d, C_DEVICE_STATUS, 1) & S_NEEDS_RESET);
		f->pf.d.ram.used = 4096;
		pf_driver_start(&f->pf);
		admin_use_supported(&f->pf);
		assert_alive(f);
	}
}

struct racer {
	pthread_t thread;
	volatile uint8_t *command;
	volatile bool stop;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	uint32_t seed = 1;

	while (!r->stop) {
		seed = seed * 1664525 + 1013904223;
		r->command[(seed >> 24) % 48] =
			(uint8_t)(seed >> 8 & (seed >> 16 & 1 ? 0xff : 0x1f));
	}
	return NULL;
}

/* Another processor changes the command while it is read: one of those that it was is executed. */
static void test_a_command_that_changes_while_it_is_read(void **state)
{
	struct fixture *f = *state;
	uint64_t at = put_command(f, LEGACY_COMMON_READ, MEMBER),
		 in = ram_alloc(&f->pf.d.ram, 512, 8);
	struct racer r = { .command = ram_at(&f->pf.d.ram, at) };
	struct buf bufs[2] = { { at, 48, false }, { in, 200, true } };
	unsigned int failed = 0;

	assert_int_equal(pthread_create(&r.thread, NULL, race, &r), 0);
	for (int i = 0; i < 5000; i++) {
		uint16_t status;

		assert_true(run(f, bufs, 2) >= 8);
		memcpy(&status, ram_at(&f->pf.d.ram, in), 2);
		failed += status != 0;
		assert_true(status < 64); /* an errno, and not what was in memory */
	}
	r.stop = true;
	pthread_join(r.thread, NULL);
	assert_true(failed > 0);
	pf_driver_start(&f->pf);
	admin_use_supported(&f->pf);
	assert_int_equal(legacy_write(&f->pf, MEMBER, L_STATUS, 1, 0), OK);
	assert_alive(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_every_field_and_length),
		TEST(test_no_device_writable_part),
		TEST(test_no_device_readable_part),
		TEST(test_result_over_the_command),
		TEST(test_descriptors_of_one_byte),
		TEST(test_result_over_the_ring),
		TEST(test_commands_at_unmapped_memory),
		TEST(test_a_command_that_changes_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
