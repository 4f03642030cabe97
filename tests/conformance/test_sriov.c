/* SPDX-License-Identifier: BSD-3-Clause */
/* SR-IOV of a PF (PCIe 9.3.3) and what a VF is (9.3.4), as a host that enumerates them sees it. */
#include "pf_driver.h"

#define SLOTS 10

struct fixture {
	struct machine *m;
	struct pf_driver pf;
	struct member *vf[2]; /* in slots 2 and 10 */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->m = machine_new("rng", SLOTS, false);
	pf_driver_init(&f->pf, f->m);
	f->vf[0] = member_new(f->m, 2, NULL);
	f->vf[1] = member_new(f->m, 10, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++)
		if (f->vf[i])
			member_free(f->vf[i]);
	pf_driver_fini(&f->pf);
	machine_free(f->m);
	free(f);
	return 0;
}

static uint32_t sriov(struct fixture *f, uint16_t reg, uint8_t len)
{
	return cfg_read(&f->pf.d, (uint16_t)(SRIOV_AT + reg), len);
}

static void set_sriov(struct fixture *f, uint16_t reg, uint8_t len, uint32_t value)
{
	cfg_write(&f->pf.d, (uint16_t)(SRIOV_AT + reg), len, value);
}

/* Whether a function answers at the RID of a VF. */
static bool answers(struct fixture *f, struct member *vf)
{
	uint32_t class = vf->pa->ops->config_read(vf->pa, 0x08, 4);

	(void)f;
	return class != 0xffffffff;
}

/* rules: sriov-1 */
static void test_9_3_3_the_capability(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sriov(f, 0, 4) & 0xffff, 0x0010);
	assert_int_equal(sriov(f, 0, 4) >> 16 & 0xf, 1); /* version */
	assert_int_equal(sriov(f, SRIOV_CONTROL, 2), 0);
	assert_int_equal(sriov(f, SRIOV_INITIAL_VFS, 2), SLOTS);
	assert_int_equal(sriov(f, SRIOV_TOTAL_VFS, 2), SLOTS);
	assert_int_equal(sriov(f, SRIOV_NUM_VFS, 2), 0);
	assert_true(sriov(f, SRIOV_FIRST_VF, 2) > 0);
	assert_true(sriov(f, SRIOV_STRIDE, 2) > 0);
	assert_int_equal(sriov(f, SRIOV_VF_DEVICE, 2), 0x1044);
	assert_int_equal(sriov(f, SRIOV_PAGES, 4) & 0x553, 0x553); /* all that are mandatory */
	assert_int_equal(sriov(f, SRIOV_PAGE, 4), 1);
}

/* rules: sriov-2 */
static void test_9_3_3_read_only_registers_stay(void **state)
{
	static const uint8_t regs[] = {
		0, 4, SRIOV_INITIAL_VFS, SRIOV_FIRST_VF, SRIOV_VF_DEVICE - 2, SRIOV_PAGES
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(regs); i++) {
		uint32_t before = sriov(f, regs[i], 4);

		set_sriov(f, regs[i], 4, ~before);
		assert_int_equal(sriov(f, regs[i], 4), before);
	}
}

/* 9.3.3.14; virtio 1.3, 2.12.1.1.6: VF BAR 0 is hardwired to zero where legacy commands exist. */
/* rules: admin-legacy-16 */
static void test_2_12_1_1_6_vf_bar_0_is_hardwired_to_zero(void **state)
{
	struct fixture *f = *state;
	bool any = false;

	for (uint16_t bar = 0; bar < 6; bar++) {
		set_sriov(f, (uint16_t)(SRIOV_BAR + 4 * bar), 4, 0xffffffff);
		if (bar == 0)
			assert_int_equal(sriov(f, SRIOV_BAR, 4), 0);
		any |= sriov(f, (uint16_t)(SRIOV_BAR + 4 * bar), 4) != 0;
	}
	assert_true(any);
	for (uint16_t at = 0x10; at < 0x28; at = (uint16_t)(at + 4)) {
		/* the PF's own has no I/O either */
		cfg_write(&f->pf.d, at, 4, 0xffffffff);
		if (at == 0x10)
			assert_int_equal(cfg_read(&f->pf.d, at, 4), 0);
	}
}

/* 9.3.3.3.1: VFs exist while VF Enable is set. */
/* rules: sriov-3 */
static void test_9_3_3_3_1_vfs_answer_while_they_are_enabled(void **state)
{
	struct fixture *f = *state;

	assert_false(answers(f, f->vf[0]));
	set_sriov(f, SRIOV_NUM_VFS, 2, SLOTS);
	assert_false(answers(f, f->vf[0]));
	set_sriov(f, SRIOV_CONTROL, 2, SRIOV_VF_ENABLE | SRIOV_VF_MSE);
	assert_true(answers(f, f->vf[0]));
	assert_true(answers(f, f->vf[1]));
	set_sriov(f, SRIOV_CONTROL, 2, 0);
	assert_false(answers(f, f->vf[0]));
	assert_false(answers(f, f->vf[1]));
	/* both in one write, as a dword */
	set_sriov(f, SRIOV_CONTROL, 4, SRIOV_VF_ENABLE);
	assert_true(answers(f, f->vf[0]));
}

/* 9.3.3.5: as many as NumVFs says. */
/* rules: sriov-4 */
static void test_9_3_3_5_vfs_above_num_vfs_do_not_answer(void **state)
{
	struct fixture *f = *state;

	pf_enable_vfs(&f->pf, 9);
	assert_true(answers(f, f->vf[0]));
	assert_false(answers(f, f->vf[1]));
	pf_enable_vfs(&f->pf, 0);
	pf_enable_vfs(&f->pf, 1);
	assert_false(answers(f, f->vf[0]));
	pf_enable_vfs(&f->pf, 0);
	/* more than there are: all there are */
	pf_enable_vfs(&f->pf, 0xffff);
	assert_true(answers(f, f->vf[0]));
	assert_true(answers(f, f->vf[1]));
}

/* 9.2.1.2: VF n is at PF + first offset + (n - 1) * stride. */
/* rules: sriov-5 */
static void test_9_2_1_2_where_vfs_are(void **state)
{
	struct fixture *f = *state;
	uint16_t first = (uint16_t)sriov(f, SRIOV_FIRST_VF, 2);
	uint16_t stride = (uint16_t)sriov(f, SRIOV_STRIDE, 2);

	pf_enable_vfs(&f->pf, SLOTS);
	assert_int_equal(f->vf[0]->pa->rid, PF_RID + first + stride);
	assert_int_equal(f->vf[1]->pa->rid, PF_RID + first + 9 * stride);
	for (uint16_t n = 1; n <= SLOTS; n++) {
		struct pci_access *pa;

		if (n == 2 || n == 10)
			continue;
		assert_int_equal(pci_root_open(f->m->root,
					       (uint16_t)(PF_RID + first + (n - 1) * stride), &pa),
				 0);
		assert_int_equal(pa->ops->config_read(pa, 0x08, 4), 0xffffffff); /* empty */
		pci_root_close(pa);
	}
}

/* A slot is taken and left while VFs are enabled: no other VF sees anything of it. */
static void test_a_slot_can_be_taken_and_left_at_any_time(void **state)
{
	struct fixture *f = *state;
	struct member *vf;
	struct driver d;

	pf_enable_vfs(&f->pf, SLOTS);
	driver_init(&d, f->m, f->vf[0]->pa);
	set_common(&d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE);
	vf = member_new(f->m, 5, NULL);
	assert_true(answers(f, vf));
	member_free(vf);
	member_free(f->vf[1]);
	f->vf[1] = NULL;
	assert_int_equal(common(&d, C_DEVICE_STATUS, 1), S_ACKNOWLEDGE);
	driver_fini(&d);
}

static void test_a_slot_has_one_member(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pf_add_member(f->m->pf, 2, &f->vf[1]->vf), -EBUSY);
	assert_int_equal(pf_add_member(f->m->pf, 0, &f->vf[1]->vf), -EINVAL);
	assert_int_equal(pf_add_member(f->m->pf, SLOTS + 1, &f->vf[1]->vf), -EINVAL);
}

/* 9.3.3.3.1: a function level reset of the PF clears VF Enable, and the VFs come back reset. */
/* rules: sriov-6 */
static void test_9_3_3_3_1_flr_of_the_pf_ends_the_vfs(void **state)
{
	struct fixture *f = *state;
	struct driver d;

	pf_enable_vfs(&f->pf, SLOTS);
	driver_init(&d, f->m, f->vf[0]->pa);
	set_common(&d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE);
	assert_int_equal(f->m->pa->ops->reset(f->m->pa, NULL), 0);
	machine_settle(f->m);
	assert_int_equal(sriov(f, SRIOV_CONTROL, 2), 0);
	assert_int_equal(sriov(f, SRIOV_NUM_VFS, 2), 0);
	assert_false(answers(f, f->vf[0]));
	pf_enable_vfs(&f->pf, SLOTS);
	assert_true(answers(f, f->vf[0]));
	assert_int_equal(common(&d, C_DEVICE_STATUS, 1), 0);
	driver_fini(&d);
}

/* A virtio reset of the PF does not: Linux resets a PF and keeps its VFs. */
static void test_a_virtio_reset_of_the_pf_keeps_the_vfs(void **state)
{
	struct fixture *f = *state;
	struct driver d;

	pf_enable_vfs(&f->pf, SLOTS);
	driver_init(&d, f->m, f->vf[0]->pa);
	set_common(&d, C_DEVICE_STATUS, 1, S_ACKNOWLEDGE);
	driver_reset(&f->pf.d);
	assert_true(answers(f, f->vf[0]));
	assert_int_equal(common(&d, C_DEVICE_STATUS, 1), S_ACKNOWLEDGE);
	driver_fini(&d);
}

/* 9.3.4: a VF has FLR, and no SR-IOV capability of its own. */
/* rules: sriov-7 sriov-8 */
static void test_9_3_4_what_a_vf_has(void **state)
{
	struct fixture *f = *state;
	struct driver d;
	uint16_t at;

	pf_enable_vfs(&f->pf, SLOTS);
	driver_init(&d, f->m, f->vf[0]->pa);
	assert_int_equal(cfg_read(&d, SRIOV_AT, 4), 0);
	at = (uint16_t)cfg_read(&d, 0x34, 1);
	while (at && cfg_read(&d, at, 1) != 0x10)
		at = (uint16_t)cfg_read(&d, (uint16_t)(at + 1), 1);
	assert_true(at);
	assert_true(cfg_read(&d, (uint16_t)(at + 4), 4) & 1u << 28);
	assert_int_equal(cfg_read(&d, 0x3d, 1), 0); /* no INTx */
	for (uint16_t bar = 0x10; bar < 0x28; bar = (uint16_t)(bar + 4)) {
		cfg_write(&d, bar, 4, 0xffffffff);
		assert_int_equal(cfg_read(&d, bar, 4), 0);
	}
	driver_fini(&d);
}

/* 6.6.2: a function level reset is of one function. */
/* rules: sriov-9 */
static void test_6_6_2_flr_of_a_vf_is_its_own(void **state)
{
	struct fixture *f = *state;
	struct driver d[2];

	pf_enable_vfs(&f->pf, SLOTS);
	for (int i = 0; i < 2; i++) {
		driver_init(&d[i], f->m, f->vf[i]->pa);
		set_common(&d[i], C_DEVICE_STATUS, 1, S_ACKNOWLEDGE);
	}
	assert_int_equal(d[0].pa->ops->reset(d[0].pa, NULL), 0);
	assert_int_equal(common(&d[0], C_DEVICE_STATUS, 1), 0);
	assert_int_equal(cfg_read(&d[0], 0x04, 2), 0);
	assert_int_equal(common(&d[1], C_DEVICE_STATUS, 1), S_ACKNOWLEDGE);
	assert_int_equal(cfg_read(&d[1], 0x04, 2) & 4, 4);
	assert_int_equal(common(&f->pf.d, C_DEVICE_STATUS, 1), 0xf);
	assert_true(answers(f, f->vf[0]));
	for (int i = 0; i < 2; i++)
		driver_fini(&d[i]);
}

static void test_pf_params_are_checked(void **state)
{
	struct fixture *f = *state;
	struct pf_params p = {
		.backend = -1,
		.name = "x",
		.type = f->m->type,
		.loop = f->m->loop,
		.upstream = pci_root_upstream(f->m->root),
		.rid = PF_RID,
	};
	struct pf *pf;

	assert_int_equal(pf_new(&p, &pf), -EINVAL);
	p.total_vfs = PF_SLOTS_MAX + 1;
	assert_int_equal(pf_new(&p, &pf), -EINVAL);
	p.total_vfs = PF_SLOTS_MAX;
	assert_int_equal(pf_new(&p, &pf), -EBUSY); /* the RID is taken */
	p.rid = PF_RID + 8;
	assert_int_equal(pf_new(&p, &pf), 0);
	pf_free(pf);
}

/* --- VFs that are made when a host looks at them --- */

struct made {
	struct pf_maker maker;
	struct virtio_pci *vf;
	int made, dropped;
};

static struct virtio_pci *make(void *ctx, uint32_t slot)
{
	struct made *t = ctx;

	if (slot != 10)
		return NULL;
	t->made++;
	return t->vf;
}

static void drop(void *ctx, uint32_t slot, struct virtio_pci *vf)
{
	struct made *t = ctx;

	assert_int_equal(slot, 10);
	assert_ptr_equal(vf, t->vf);
	t->dropped++;
}

static void test_what_is_made_on_demand_is_dropped(void **state)
{
	struct fixture *f = *state;
	struct made t = { .maker = { .make = make, .drop = drop, .ctx = &t }, .vf = &f->vf[1]->vf };
	struct pf *pf = f->m->pf;
	uint16_t rid = pf_vf_rid(pf, 10);

	pf_remove_member(pf, 10);
	pf_set_maker(pf, &t.maker);
	assert_null(pf_find_vf(pf, rid)); /* VF Enable is clear */
	for (int turn = 1; turn <= 2; turn++) {
		pf_enable_vfs(&f->pf, SLOTS);
		assert_int_equal(t.made, turn - 1);
		assert_ptr_equal(pf_find_vf(pf, rid), &t.vf->fn);
		assert_ptr_equal(pf_find_vf(pf, rid), &t.vf->fn);
		assert_null(pf_find_vf(pf, pf_vf_rid(pf, 9)));
		assert_int_equal(t.made, turn);
		pf_enable_vfs(&f->pf, 0);
		if (turn == 1)
			machine_settle(f->m);
	}
	/* Nor is the last one forgotten when nobody is there to drop it any more. */
	pf_set_maker(pf, NULL);
	assert_int_equal(t.dropped, 2);
	machine_settle(f->m);
	assert_int_equal(t.dropped, 2);
	assert_int_equal(pf_add_member(pf, 10, t.vf), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_9_3_3_the_capability),
		TEST(test_9_3_3_read_only_registers_stay),
		TEST(test_2_12_1_1_6_vf_bar_0_is_hardwired_to_zero),
		TEST(test_9_3_3_3_1_vfs_answer_while_they_are_enabled),
		TEST(test_9_3_3_5_vfs_above_num_vfs_do_not_answer),
		TEST(test_9_2_1_2_where_vfs_are),
		TEST(test_a_slot_can_be_taken_and_left_at_any_time),
		TEST(test_a_slot_has_one_member),
		TEST(test_9_3_3_3_1_flr_of_the_pf_ends_the_vfs),
		TEST(test_a_virtio_reset_of_the_pf_keeps_the_vfs),
		TEST(test_9_3_4_what_a_vf_has),
		TEST(test_6_6_2_flr_of_a_vf_is_its_own),
		TEST(test_pf_params_are_checked),
		TEST(test_what_is_made_on_demand_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
