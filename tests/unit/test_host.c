/* SPDX-License-Identifier: BSD-3-Clause */
/* ridge host adopt and release, against a model of the kernel's PCI core. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_host_fixture.h"

static void test_rid(void **state)
{
	static const char *const good[][2] = {
		{ "00:01.0", "0000:00:01.0" },        { "0000:01:10.7", "0000:01:10.7" },
		{ "10000:01:00.1", "10000:01:00.1" }, { "ABCDEF12:ff:1f.7", "abcdef12:ff:1f.7" },
		{ "1:2:3.4", "0001:02:03.4" },        { "a:b.1", "0000:0a:0b.1" },
	};
	static const char *const bad[] = {
		"",
		"0",
		"00:01",
		"00:20.0",
		"00:01.8",
		"00:01.0 ",
		"100:01.0",
		"0000:00:01",
		"000000000:00:01.0",
		":00:01.0",
		"0000::01.0",
		"0000:00:01.",
		"0000:00:01.00",
		"0000:00:0g.0",
		"x:00:01.0",
		"0000:100:01.0",
		"-1:00:01.0",
		"../00:01.0",
	};
	struct host_rid rid;
	char text[HOST_RID_MAX];

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(host_rid_parse(good[i][0], &rid), 0);
		host_rid_print(&rid, text);
		assert_string_equal(text, good[i][1]);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(host_rid_parse(bad[i], &rid), -EINVAL);
}

static void test_unbound_function(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	assert_true(f->out[0].changed);
	assert_string_equal(f->out[0].was, "");
	assert_string_equal(f->out[0].driver, "vfio-pci");
	assert_string_equal(fn->driver, "vfio-pci");
	assert_string_equal(fn->override, "vfio-pci");
	assert_int_equal(fn->probes, 0);
	assert_int_equal(fn->named_probes, 1);

	assert_int_equal(release(f, "00:05.0"), 0);
	assert_true(f->out[0].changed);
	assert_string_equal(fn->driver, "");
	assert_string_equal(fn->override, "");
	assert_int_equal(fn->probes, 0);
	assert_int_equal(records(f), 0);
}

static void test_bound_function_gets_its_driver_back(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	model_probe_all(&f->m);
	assert_int_equal(adopt(f, "pci-stub", "00:05.0"), 0);
	assert_string_equal(f->out[0].was, "normal");
	assert_string_equal(fn->driver, "pci-stub");
	assert_int_equal(release(f, "00:05.0"), 0);
	assert_string_equal(f->out[0].driver, "normal");
	assert_string_equal(fn->driver, "normal");
	assert_string_equal(fn->override, "");
	assert_int_equal(fn->probes, 2);
}

static void test_override_comes_back(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	snprintf(fn->override, sizeof(fn->override), "pci-stub");
	model_probe_all(&f->m);
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	assert_int_equal(release(f, "00:05.0"), 0);
	assert_string_equal(fn->driver, "pci-stub");
	assert_string_equal(fn->override, "pci-stub");
}

static void test_same_driver_changes_nothing(void **state)
{
	struct fixture *f = *state;
	unsigned stores;

	model_add(&f->m, "0000:00:05.0", false);
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	stores = f->m.stores;
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	assert_false(f->out[0].changed);
	assert_string_equal(f->out[0].driver, "vfio-pci");
	assert_int_equal(f->m.stores, stores);
	assert_int_equal(release(f, "00:05.0"), 0);
}

/* From one adopted driver to another, and back to what was there before the first. */
static void test_adopted_twice(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	model_probe_all(&f->m);
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	assert_int_equal(adopt(f, "pci-stub", "00:05.0"), 0);
	assert_string_equal(f->out[0].was, "vfio-pci");
	f->m.refusal = -EINVAL;
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), -EINVAL);
	f->m.refusal = 0;
	assert_int_equal(adopt(f, "pci-stub", "00:05.0"), 0);
	assert_int_equal(release(f, "00:05.0"), 0);
	assert_string_equal(fn->driver, "normal");
	assert_string_equal(fn->override, "");
}

/* The kernel's names, and those that differ in dashes alone. */
static void test_driver_names(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	assert_int_equal(adopt(f, "virtio-vfio-pci", "00:05.0"), 0);
	assert_string_equal(fn->driver, "virtio_vfio_pci");
	assert_int_equal(adopt(f, "vfio_pci", "00:05.0"), 0);
	assert_string_equal(fn->driver, "vfio-pci");
	assert_int_equal(adopt(f, "nope", "00:05.0"), -ENOENT);
	assert_non_null(strstr(f->out[0].text, "there is no driver nope"));
	assert_int_equal(adopt(f, "../vfio-pci", "00:05.0"), -EINVAL);
	assert_int_equal(adopt(f, "", "00:05.0"), -EINVAL);
	f->m.no_driver = "pci-stub";
	assert_int_equal(adopt(f, "pci-stub", "00:05.0"), -ENOENT);
	assert_string_equal(fn->driver, "vfio-pci");
}

static void test_refusal_rolls_back(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	model_probe_all(&f->m);
	f->m.refusal = -EINVAL;
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), -EINVAL);
	assert_non_null(strstr(f->out[0].text, "vfio-pci refuses it"));
	assert_non_null(strstr(f->out[0].text, "enable_unsafe_noiommu_mode"));
	assert_string_equal(fn->driver, "normal");
	assert_string_equal(fn->override, "");
	assert_int_equal(records(f), 0);
	f->m.refusal = -ENODEV;
	assert_int_equal(adopt(f, "pci-stub", "00:05.0"), -ENODEV);
	assert_non_null(strstr(f->out[0].text, "not for such a function"));
	assert_int_equal(records(f), 0);
}

static void test_not_root(void **state)
{
	struct fixture *f = *state;

	model_add(&f->m, "0000:00:05.0", false);
	model_add(&f->m, "0000:00:06.0", true);
	model_add_pf(&f->m, "0000:00:07.0", 2, 1, 1);
	f->m.write_error = -EACCES;
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0", "00:06.0", "00:07.2"), -EACCES);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(f->out[i].err, -EACCES);
		assert_non_null(strstr(f->out[i].text, "run as root"));
	}
	assert_int_equal(records(f), 0);
}

static void test_vfs_are_enabled_and_end_with_the_last(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 7, 0x80, 2);
	struct model_function *vf = &pf[1];
	struct model_function *other = model_add(&f->m, "0000:00:05.0", true);

	assert_int_equal(adopt(f, "vfio-pci", "01:10.0", "01:10.4", "01:10.2"), 0);
	assert_int_equal(pf->numvfs, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_string_equal(vf[i].driver, "vfio-pci");
		assert_int_equal(vf[i].probes, 0);
		assert_int_equal(vf[i].named_probes, 1);
	}
	assert_string_equal(f->m.sriov_autoprobe, "1");
	assert_string_equal(f->m.autoprobe, "1");
	/* What appeared at the same time is somebody else's. */
	assert_string_equal(other->driver, "normal");

	/* VF 4 cannot be had without the end of the others. */
	assert_int_equal(adopt(f, "vfio-pci", "01:10.6"), -ENODEV);
	assert_non_null(strstr(f->out[0].text, "VF of 0000:01:00.0, which has 3 enabled"));
	/* Between two VFs, and after the last, there is no VF. */
	assert_int_equal(adopt(f, "vfio-pci", "01:10.1"), -ENODEV);
	assert_int_equal(adopt(f, "vfio-pci", "01:11.6"), -ENODEV);

	assert_int_equal(release(f, "01:10.0", "01:10.2"), 0);
	assert_int_equal(pf->numvfs, 3);
	assert_int_equal(release(f, "01:10.4"), 0);
	assert_int_equal(pf->numvfs, 0);
	assert_int_equal(records(f), 0);
}

static void test_rid_given_twice(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 3, 1, 1);
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", true);

	assert_int_equal(adopt(f, "vfio-pci", "00:05.0", "01:00.1", "01:00.1", "00:05.0"), 0);
	assert_true(f->out[0].changed && f->out[1].changed);
	assert_false(f->out[2].changed || f->out[3].changed);
	assert_int_equal(release(f, "00:05.0", "01:00.1"), 0);
	assert_string_equal(fn->override, "");
	assert_int_equal(pf->numvfs, 0);

	f->m.refusal = -EINVAL;
	assert_int_equal(adopt(f, "vfio-pci", "01:00.1", "01:00.1"), -EINVAL);
	assert_int_equal(pf->numvfs, 0);
	assert_int_equal(records(f), 0);
}

/* VFs that a person enabled stay, and so do those that somebody else uses by now. */
static void test_vfs_of_others_stay(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 4, 1, 1);

	assert_int_equal(adopt(f, "vfio-pci", "01:00.3"), 0);
	model_probe_all(&f->m); /* 01:00.1 and 01:00.2 get the normal driver */
	assert_int_equal(release(f, "01:00.3"), 0);
	assert_int_equal(pf->numvfs, 3);

	assert_int_equal(adopt(f, "vfio-pci", "01:00.3"), 0);
	assert_int_equal(release(f, "01:00.3"), 0);
	assert_int_equal(pf->numvfs, 3);
}

static void test_refused_vfs_go_again(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 4, 1, 1);

	f->m.refusal = -EINVAL;
	assert_int_equal(adopt(f, "vfio-pci", "01:00.1", "01:00.2"), -EINVAL);
	assert_int_equal(pf->numvfs, 0);
	assert_int_equal(records(f), 0);
}

static void test_in_use(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	f->m.user = 4711;
	assert_int_equal(release(f, "00:05.0"), -EBUSY);
	assert_non_null(strstr(f->out[0].text, "process 4711"));
	assert_int_equal(adopt(f, "pci-stub", "00:05.0"), -EBUSY);
	assert_string_equal(fn->driver, "vfio-pci");
	assert_string_equal(fn->override, "vfio-pci");
	assert_int_equal(release_all(f, true, (const char *const[]){ "00:05.0", NULL }), 0);
	assert_string_equal(fn->driver, "");
}

/* The driver that had a function does not take it back: nothing is lost, and the next go may work.
 */
static void test_driver_does_not_take_it_back(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	model_probe_all(&f->m);
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	f->m.no_driver = "normal";
	assert_int_equal(release(f, "00:05.0"), -ENOENT);
	assert_non_null(strstr(f->out[0].text, "normal, which had it before, refuses it (No such "
					       "file or directory): it is not there; load its "
					       "module"));
	assert_string_equal(f->out[0].driver, "vfio-pci");
	assert_string_equal(fn->driver, "vfio-pci");
	assert_string_equal(fn->override, "vfio-pci");

	assert_int_equal(records(f), 1);
	f->m.no_driver = NULL;
	assert_int_equal(release(f, "00:05.0"), 0);
	assert_string_equal(fn->driver, "normal");
	assert_int_equal(records(f), 0);
}

/* Nor does it after a refusal, which then leaves the function without a driver: adopt says so. */
static void lose_normal_driver(struct model *m, const char *path, const char *text)
{
	(void)text;
	if (strstr(path, "unbind"))
		m->no_driver = "normal";
}

static void test_refused_and_not_taken_back(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	model_probe_all(&f->m);
	f->m.refusal = -ENODEV;
	f->m.stored = lose_normal_driver;
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), -ENODEV);
	assert_non_null(strstr(f->out[0].text, "vfio-pci refuses it (No such device): it is not "
					       "for such a function; and normal, which had it "
					       "before, refuses it as well (No such file"));
	assert_string_equal(f->out[0].driver, "");
	assert_string_equal(fn->override, "");
}

static void test_vfs_cannot_end(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 2, 1, 1);

	assert_int_equal(adopt(f, "vfio-pci", "01:00.1", "01:00.2"), 0);
	f->m.vfs_stay = true;
	assert_int_equal(release(f, "01:00.1", "01:00.2"), -EBUSY);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(f->out[i].err, -EBUSY);
		assert_string_equal(f->out[i].text,
				    "the VFs of 0000:01:00.0 cannot be ended (Device or resource "
				    "busy)");
	}
	f->m.vfs_stay = false;
	assert_int_equal(release(f, "01:00.2"), 0);
	assert_int_equal(pf->numvfs, 0);
	assert_int_equal(release(f, "01:00.1"), 0);
	assert_int_equal(records(f), 0);

	f->m.vfs_stay = true;
	f->m.refusal = -EINVAL;
	assert_int_equal(adopt(f, "vfio-pci", "01:00.1"), -EINVAL);
	assert_non_null(strstr(f->out[0].text, "; and the VFs of 0000:01:00.0 cannot be ended"));
}

/* The record of a VF that is gone, or is as before, keeps no others. */
static void test_dead_records_keep_no_vfs(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 3, 1, 1);

	assert_int_equal(adopt(f, "vfio-pci", "01:00.1", "01:00.2"), 0);
	for (unsigned i = 1; i <= 2; i++) /* somebody writes 0 to sriov_numvfs */
		pf[i].present = false;
	pf->numvfs = 0;
	assert_int_equal(adopt(f, "vfio-pci", "01:00.1"), 0);
	assert_int_equal(release(f, "01:00.1"), 0);
	assert_int_equal(pf->numvfs, 0);

	assert_int_equal(adopt(f, "vfio-pci", "01:00.3"), 0);
	pf[3].driver[0] = pf[3].override[0] = '\0';
	assert_int_equal(release(f, "01:00.3"), 0);
	assert_int_equal(pf->numvfs, 0);

	/* One that somebody has named another driver for is that one's. */
	assert_int_equal(adopt(f, "vfio-pci", "01:00.1", "01:00.2"), 0);
	pf[2].driver[0] = '\0';
	snprintf(pf[2].override, sizeof(pf[2].override), "pci-stub");
	assert_int_equal(release(f, "01:00.2"), -ESTALE);
	assert_int_equal(release(f, "01:00.1"), 0);
	assert_int_equal(pf->numvfs, 2);
}

static void test_release_of_what_was_not_adopted(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	model_probe_all(&f->m);
	assert_int_equal(release(f, "00:05.0"), -ENOENT);
	assert_non_null(strstr(f->out[0].text, "it is bound to normal"));
	assert_string_equal(fn->driver, "normal");
	assert_int_equal(release(f, "00:06.0"), -ENODEV);
	assert_non_null(strstr(f->out[0].text, "there is no such function"));
}

static void test_function_is_gone(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	fn->present = false;
	assert_int_equal(release(f, "00:05.0"), 0);
	assert_int_equal(records(f), 0);
	assert_int_equal(release(f, "00:05.0"), -ENODEV);
}

/* Another function with the same RID, or somebody else's driver_override: not ours. */
static void test_stale_record(void **state)
{
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	fn->override[0] = fn->driver[0] = '\0';
	model_probe_all(&f->m);
	assert_int_equal(release(f, "00:05.0"), -ESTALE);
	assert_string_equal(fn->driver, "normal");
	assert_int_equal(records(f), 0);

	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	fn->override[0] = fn->driver[0] = '\0';
	assert_int_equal(adopt(f, "pci-stub", "00:05.0"), 0);
	assert_int_equal(release(f, "00:05.0"), 0);
	assert_string_equal(fn->driver, "");
}

/* A record that is no record, or of another boot, is as none. */
static void test_bad_record(void **state)
{
	static const char *const texts[] = {
		"",
		"[",
		"{}",
		"{\"boot\":\"x\",\"driver\":\"vfio-pci\"}",
		"[1]",
		"{\"boot\":\"0\",\"driver\":\"vfio-pci\",\"was_driver\":\"normal\","
		"\"was_override\":\"\",\"pf\":\"\"}",
	};
	struct fixture *f = *state;
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int fd = openat(f->host.dir, fn->rid, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(write(fd, texts[i], strlen(texts[i])), (int)strlen(texts[i]));
		close(fd);
		snprintf(fn->override, sizeof(fn->override), "vfio-pci");
		assert_int_equal(release(f, "00:05.0"), -ENOENT);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rid),
		T(test_unbound_function),
		T(test_bound_function_gets_its_driver_back),
		T(test_override_comes_back),
		T(test_same_driver_changes_nothing),
		T(test_adopted_twice),
		T(test_driver_names),
		T(test_refusal_rolls_back),
		T(test_not_root),
		T(test_vfs_are_enabled_and_end_with_the_last),
		T(test_rid_given_twice),
		T(test_vfs_of_others_stay),
		T(test_refused_vfs_go_again),
		T(test_in_use),
		T(test_driver_does_not_take_it_back),
		T(test_refused_and_not_taken_back),
		T(test_vfs_cannot_end),
		T(test_dead_records_keep_no_vfs),
		T(test_release_of_what_was_not_adopted),
		T(test_function_is_gone),
		T(test_stale_record),
		T(test_bad_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
