/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio-vfio-pci: accesses to the virtual I/O BAR become one admin command for each field, as the
 * PF counts them, and nothing else does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host.h"

/* Legacy registers (virtio 1.3, 4.1.4.10). */
enum {
	FEATURES = 0x00,
	GUEST_FEATURES = 0x04,
	PFN = 0x08,
	SIZE = 0x0c,
	SELECT = 0x0e,
	NOTIFY = 0x10,
	STATUS = 0x12,
	ISR = 0x13,
	CONFIG_VECTOR = 0x14,
	QUEUE_VECTOR = 0x16,
};

#define BAR_SIZE   128 /* of a blk function */
#define CONFIG_LEN 60

struct fixture {
	struct host *h;
	struct user *u;
	uint64_t before; /* commands, when last asked */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->h = host_new("blk", 4);
	f->u = user_new(f->h, 1, "virtio-vfio-pci", true);
	f->before = pf_admin_commands(f->h->m->pf, 0);
	*state = f;
	return 0;
}

static int setup_rng(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->h = host_new("rng", 4);
	f->u = user_new(f->h, 1, "virtio-vfio-pci", true);
	f->before = pf_admin_commands(f->h->m->pf, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	/* Every relayed field was one command, and every command of the user's one field. */
	assert_int_equal(f->u->member->counters.value[COUNTER_io_fields],
			 f->u->member->counters.value[COUNTER_admin_commands]);
	user_free(f->u);
	host_free(f->h);
	free(f);
	return 0;
}

/* Commands that the PF completed since the last call. */
static unsigned int commands(struct fixture *f)
{
	uint64_t now = pf_admin_commands(f->h->m->pf, 0), n = now - f->before;

	f->before = now;
	return (unsigned int)n;
}

static void enable_msix(struct fixture *f, bool on)
{
	uint16_t at = (uint16_t)user_read(f->u, CONFIG, 0x34, 1);

	while (user_read(f->u, CONFIG, at, 1) != 0x11)
		at = (uint16_t)user_read(f->u, CONFIG, at + 1u, 1);
	user_write(f->u, CONFIG, at + 2u, 2, on ? 0x8000 : 0);
}

/* --- one field, one command --- */

static void test_a_field_is_a_command(void **state)
{
	static const struct {
		uint8_t at;
		uint8_t len;
	} fields[] = { { FEATURES, 4 }, { GUEST_FEATURES, 4 }, { PFN, 4 },  { SIZE, 2 },
		       { SELECT, 2 },   { STATUS, 1 },         { ISR, 1 },  { 0x14, 8 },
		       { 0x1c, 4 },     { 0x20, 4 },           { 0x28, 4 }, { 0x34, 1 } };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		uint64_t whole = io_read(f->u, fields[i].at, fields[i].len);

		assert_int_equal(commands(f), 1);
		/* a part of a field is one, too */
		for (uint32_t j = 0; j < fields[i].len && fields[i].at != ISR; j++) {
			assert_int_equal(io_read(f->u, fields[i].at + j, 1),
					 whole >> (8 * j) & 0xff);
			assert_int_equal(commands(f), 1);
		}
	}
}

static void test_what_is_written_is_read_back(void **state)
{
	struct fixture *f = *state;
	uint32_t offered = (uint32_t)io_read(f->u, FEATURES, 4);

	io_write(f->u, STATUS, 1, 1);
	io_write(f->u, STATUS, 1, 3);
	io_write(f->u, GUEST_FEATURES, 4, offered);
	io_write(f->u, SELECT, 2, 0);
	assert_int_equal(io_read(f->u, STATUS, 1), 3);
	assert_int_equal(io_read(f->u, GUEST_FEATURES, 4), offered);
	assert_int_equal(io_read(f->u, SELECT, 2), 0);
	assert_int_equal(io_read(f->u, SIZE, 2), 256);
	assert_int_equal(commands(f), 9);
	/* capacity */
	assert_int_equal(io_read(f->u, 0x14, 8), 64);
	assert_int_equal(io_read(f->u, 0x14 + 20, 4), 512);
	/* the device was written to */
	assert_int_equal(f->u->member->state->virtio.status, 3);
	io_write(f->u, STATUS, 1, 0);
	assert_int_equal(io_read(f->u, STATUS, 1), 0);
	assert_int_equal(f->u->member->state->virtio.status, 0);
}

/* --- wider ones are split --- */

static void test_a_wide_read_is_split_into_fields(void **state)
{
	static const struct {
		uint8_t at;
		uint8_t len;
		uint8_t commands;
	} accesses[] = {
		{ 0x00, 8, 2 }, { 0x02, 4, 2 }, { 0x03, 2, 2 }, { 0x01, 2, 1 }, { 0x0a, 4, 2 },
		{ 0x0c, 4, 2 }, { 0x0d, 2, 2 }, { 0x08, 8, 3 }, { 0x12, 2, 2 }, { 0x14, 4, 1 },
		{ 0x18, 8, 2 }, { 0x24, 4, 3 }, { 0x22, 8, 5 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++) {
		uint64_t value = io_read(f->u, accesses[i].at, accesses[i].len);

		assert_int_equal(commands(f), accesses[i].commands);
		for (uint32_t j = 0; j < accesses[i].len; j++)
			assert_int_equal(value >> (8 * j) & 0xff,
					 io_read(f->u, accesses[i].at + j, 1));
		assert_int_equal(commands(f), accesses[i].len);
	}
}

static void test_a_wide_write_is_split_into_fields(void **state)
{
	struct fixture *f = *state;

	io_write(f->u, SIZE, 4, 0x5678ffff); /* size is read-only, select is not */
	assert_int_equal(commands(f), 2);
	assert_int_equal(io_read(f->u, SELECT, 2), 0x5678);
	io_write(f->u, SELECT + 1, 1, 0x12);
	assert_int_equal(io_read(f->u, SELECT, 2), 0x1278);
	commands(f);
	io_write(f->u, STATUS, 2, 0x0003);
	assert_int_equal(commands(f), 2);
	assert_int_equal(io_read(f->u, STATUS, 1), 3);
	assert_int_equal(f->u->member->counters.value[COUNTER_admin_errors], 0);
}

/* The whole BAR at once: each field once, and what is not defined reads all ones. */
static void test_the_whole_bar_in_one_access(void **state)
{
	struct fixture *f = *state;
	uint8_t whole[BAR_SIZE];
	int err = user_start(f->u, BAR0, 0, BAR_SIZE, false, NULL);

	assert_int_equal(err, -EINPROGRESS);
	machine_wait(f->h->m, f->u->done);
	assert_int_equal(f->u->done_result, 0);
	/* seven registers and 21 fields of configuration; the notification is none */
	assert_int_equal(commands(f), 7 + 21);
	memcpy(whole, f->u->data, BAR_SIZE);
	for (uint32_t i = 0x14 + CONFIG_LEN; i < BAR_SIZE; i++)
		assert_int_equal(whole[i], 0xff);
	for (uint32_t i = 0; i < BAR_SIZE; i++)
		assert_int_equal(whole[i], io_read(f->u, i, 1));
}

/* --- only what is undefined is answered here --- */

static void test_undefined_offsets_read_all_ones_without_a_command(void **state)
{
	struct fixture *f = *state;
	uint64_t local = f->u->member->counters.value[COUNTER_io_local];

	assert_int_equal(io_read(f->u, 0x14 + CONFIG_LEN, 4), 0xffffffff);
	assert_true(io_read(f->u, BAR_SIZE - 8, 8) == UINT64_MAX);
	io_write(f->u, BAR_SIZE - 4, 4, 0);
	assert_int_equal(commands(f), 0);
	assert_true(f->u->member->counters.value[COUNTER_io_local] > local);
	/* half of it defined */
	assert_int_equal(io_read(f->u, 0x14 + CONFIG_LEN - 1, 2), 0xff00);
	assert_int_equal(commands(f), 1);
	assert_int_equal(user_start(f->u, BAR0, BAR_SIZE - 1, 2, false, NULL), -EINVAL);
	assert_int_equal(user_start(f->u, BAR0, BAR_SIZE, 1, false, NULL), -EINVAL);
}

static void test_a_type_without_configuration(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(io_read(f->u, 0x14, 4), 0xffffffff);
	assert_int_equal(io_read(f->u, 0x18, 8), UINT64_MAX);
	assert_int_equal(commands(f), 0);
	assert_int_equal(io_read(f->u, SIZE, 2), 64);
}

/* --- the layout that depends on MSI-X --- */

/* 4.1.4.10: with MSI-X two fields more, and the device's configuration moves by four. */
/* rules: pci-legacy-2 */
static void test_4_1_4_10_device_config_moves_with_msix(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(io_read(f->u, 0x14, 8), 64);
	enable_msix(f, true);
	assert_int_equal(io_read(f->u, 0x18, 8), 64);
	assert_int_equal(io_read(f->u, 0x18 + 20, 4), 512);
	assert_int_equal(io_read(f->u, CONFIG_VECTOR, 2), 0xffff);
	assert_int_equal(io_read(f->u, QUEUE_VECTOR, 2), 0xffff);
	commands(f);
	io_write(f->u, CONFIG_VECTOR, 2, 0);
	io_write(f->u, QUEUE_VECTOR, 2, 1);
	assert_int_equal(commands(f), 2);
	assert_int_equal(io_read(f->u, CONFIG_VECTOR, 4), 0x00010000);
	assert_int_equal(commands(f), 2);
	assert_int_equal(io_read(f->u, 0x18 + CONFIG_LEN, 1), 0xff);
	assert_int_equal(commands(f), 0);
	/* if you turn it off again, they move back! */
	enable_msix(f, false);
	assert_int_equal(io_read(f->u, 0x14, 8), 64);
	assert_int_equal(f->u->member->counters.value[COUNTER_admin_errors], 0);
}

static void test_the_whole_bar_with_msix(void **state)
{
	struct fixture *f = *state;

	enable_msix(f, true);
	commands(f);
	assert_int_equal(user_start(f->u, BAR0, 0, BAR_SIZE, false, NULL), -EINPROGRESS);
	machine_wait(f->h->m, f->u->done);
	assert_int_equal(commands(f), 9 + 21);
	assert_int_equal(f->u->member->counters.value[COUNTER_admin_errors], 0);
}

/* --- notifications --- */

/* 2.12.1.1.5: a notification goes to the address in the member, and costs no command. */
static void test_2_12_1_1_5_a_notification_is_no_command(void **state)
{
	struct fixture *f = *state;
	struct counters *c = &f->u->member->counters;
	uint64_t io = c->value[COUNTER_io_accesses];

	io_write(f->u, NOTIFY, 2, 0);
	io_write(f->u, NOTIFY, 2, 0);
	assert_int_equal(commands(f), 0);
	assert_int_equal(c->value[COUNTER_io_notifies], 2);
	assert_int_equal(c->value[COUNTER_notifies], 2);
	assert_int_equal(c->value[COUNTER_io_accesses], io);
	io_read(f->u, NOTIFY, 2);
	assert_int_equal(commands(f), 0);
	/* together with the status, which is one */
	io_write(f->u, NOTIFY, 4, 0x00010000);
	assert_int_equal(commands(f), 2); /* status and ISR */
	assert_int_equal(c->value[COUNTER_notifies], 3);
	assert_int_equal(io_read(f->u, STATUS, 1), 1);
}

/* --- a guest's way --- */

/* virtio 1.3, 3.1.2: what an old driver does, end to end: a read of sector 5. */
static void test_a_legacy_driver_reads_a_sector(void **state)
{
	struct fixture *f = *state;
	struct user *u = f->u;
	struct ring ring;
	uint64_t page = ram_alloc(&u->ram, 4096, 4096);
	struct {
		uint32_t type;
		uint32_t reserved;
		uint64_t sector;
	} header = { 0, 0, 5 };
	struct buf bufs[3] = { { page, 16, false },
			       { page + 512, 512, true },
			       { page + 16, 1, true } };
	uint32_t id, len;

	io_write(f->u, STATUS, 1, 0);
	io_write(f->u, STATUS, 1, 1);
	io_write(f->u, STATUS, 1, 3);
	io_write(f->u, GUEST_FEATURES, 4, 0);
	io_write(f->u, SELECT, 2, 0);
	io_write(f->u, PFN, 4,
		 ring_init_legacy(&ring, &u->ram, (uint16_t)io_read(f->u, SIZE, 2)) >> 12);
	io_write(f->u, STATUS, 1, 7);
	memcpy(ram_at(&u->ram, page), &header, sizeof(header));
	ring_add(&ring, bufs, 3);
	io_write(f->u, NOTIFY, 2, 0);
	machine_wait(f->h->m, ring_used(&ring, &id, &len));
	assert_int_equal(len, 513);
	assert_int_equal(*(uint8_t *)ram_at(&u->ram, page + 16), 0);
	assert_int_equal(*(uint8_t *)ram_at(&u->ram, page + 512), 5);
	/* bus mastering, which such drivers forget, was turned on for it */
	assert_true(pci_function_bus_master(&u->member->vf.fn));
	assert_int_equal(io_read(f->u, ISR, 1), 1);
	assert_int_equal(io_read(f->u, ISR, 1), 0);
}

/* What `show` tells of all this. */
static void test_what_the_counters_say(void **state)
{
	struct fixture *f = *state;
	struct counters *c = &f->u->member->counters, was = *c;
	struct ring ring;
	uint64_t page = ram_alloc(&f->u->ram, 4096, 4096);
	struct buf bad = { page, 16, true };
	uint64_t pf = pf_admin_commands(f->h->m->pf, 0);

#define GREW(name, by) assert_int_equal(c->value[COUNTER_##name] - was.value[COUNTER_##name], by)
	user_read(f->u, CONFIG, 0, 4);
	user_write(f->u, CONFIG, 4, 2, 4);
	user_read(f->u, 2, 20, 1);
	io_write(f->u, STATUS, 1, 3);
	io_write(f->u, PFN, 4, ring_init_legacy(&ring, &f->u->ram, 256) >> 12);
	io_read(f->u, FEATURES, 8);
	io_read(f->u, BAR_SIZE - 4, 4);
	ring_add(&ring, &bad, 1); /* a request without a header */
	io_write(f->u, NOTIFY, 2, 0);
	machine_settle(f->h->m);
	assert_int_equal(vfio_device_reset(f->u->vdev, &f->u->wait), 0);
	GREW(config_accesses, 2);
	GREW(mmio_accesses, 1);
	GREW(io_accesses, 4);
	GREW(io_fields, 4);
	GREW(io_local, 4); /* a byte each */
	GREW(io_notifies, 1);
	GREW(admin_commands, 4);
	GREW(admin_own, 0);
	GREW(admin_errors, 0);
	GREW(admin_timeouts, 0);
	GREW(resets, 1);
	GREW(notifies, 1);
	GREW(device_errors, 1);
	GREW(dma_faults, 0);
#undef GREW
	assert_int_equal(pf_admin_commands(f->h->m->pf, 0) - pf, 4);
}

/* The registers of the other transport are the same device. */
static void test_the_modern_registers_are_passed_through(void **state)
{
	struct fixture *f = *state;

	user_write(f->u, 2, 20, 1, 1); /* device_status */
	assert_int_equal(user_read(f->u, 2, 20, 1), 1);
	assert_int_equal(io_read(f->u, STATUS, 1), 1);
	assert_int_equal(commands(f), 1);
	assert_int_equal(user_read(f->u, 2, 0x2000, 8), 64);
	/* the MSI-X table is the host's */
	assert_true(user_read(f->u, 4, 0, 8) == UINT64_MAX);
	user_write(f->u, 4, 0, 8, 0);
}

int main(void)
{
#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_RNG(name) cmocka_unit_test_setup_teardown(name, setup_rng, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_field_is_a_command),
		TEST(test_what_is_written_is_read_back),
		TEST(test_a_wide_read_is_split_into_fields),
		TEST(test_a_wide_write_is_split_into_fields),
		TEST(test_the_whole_bar_in_one_access),
		TEST(test_undefined_offsets_read_all_ones_without_a_command),
		TEST_RNG(test_a_type_without_configuration),
		TEST(test_4_1_4_10_device_config_moves_with_msix),
		TEST(test_the_whole_bar_with_msix),
		TEST(test_2_12_1_1_5_a_notification_is_no_command),
		TEST(test_a_legacy_driver_reads_a_sector),
		TEST(test_what_the_counters_say),
		TEST(test_the_modern_registers_are_passed_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
