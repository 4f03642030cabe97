/* SPDX-License-Identifier: BSD-3-Clause */
/* ridge host adopt and release, against a model of the kernel's PCI core. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_host_model.h"

#define N_MAX 16

struct fixture {
	struct model m;
	struct host host;
	char dir[64];
	struct host_outcome out[N_MAX];
};

static int setup(void **state)
{
	/* Shared with processes that a test has killed */
	struct fixture *f =
		mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char text[200];

	assert_ptr_not_equal(f, MAP_FAILED);

	snprintf(f->dir, sizeof(f->dir), "/tmp/ridge-host-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	model_init(&f->m);
	assert_int_equal(host_open(&f->host, &f->m.kernel, f->dir, text, sizeof(text)), 0);
	*state = f;
	return 0;
}

static unsigned records(const struct fixture *f)
{
	int fd = openat(f->host.dir, ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[128];

	for (unsigned i = 0; i < f->m.n; i++)
		unlinkat(f->host.dir, f->m.function[i].rid, 0);
	unlinkat(f->host.dir, "new", 0);
	unlinkat(f->host.dir, "switches", 0);
	host_close(&f->host);
	snprintf(path, sizeof(path), "%s/host", f->dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(f->dir), 0);
	munmap(f, sizeof(*f));
	return 0;
}

static unsigned parse_all(const char *const *texts, struct host_rid *rids)
{
	unsigned n = 0;

	for (; texts[n]; n++)
		assert_int_equal(host_rid_parse(texts[n], &rids[n]), 0);
	return n;
}

#define adopt(f, driver, ...) \
	adopt_all(f, driver, false, (const char *const[]){ __VA_ARGS__, NULL })
#define release(f, ...) release_all(f, false, (const char *const[]){ __VA_ARGS__, NULL })

static int adopt_all(struct fixture *f, const char *driver, bool force, const char *const *texts)
{
	struct host_rid rids[N_MAX];
	unsigned n = parse_all(texts, rids);

	return host_adopt(&f->host, rids, n, driver, force, f->out);
}

static int release_all(struct fixture *f, bool force, const char *const *texts)
{
	struct host_rid rids[N_MAX];
	unsigned n = parse_all(texts, rids);

	return host_release(&f->host, rids, n, force, f->out);
}

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

static void test_rescan(void **state)
{
	struct fixture *f = *state;
	struct model_function *ours = model_add(&f->m, "0000:00:05.0", true);
	struct model_function *other = model_add(&f->m, "0000:00:06.0", true);

	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	assert_string_equal(ours->driver, "vfio-pci");
	assert_int_equal(ours->probes, 0);
	/* What nobody asked for is probed as after any rescan. */
	assert_string_equal(other->driver, "normal");
	assert_string_equal(f->m.autoprobe, "1");
	assert_int_equal(release(f, "00:05.0"), 0);
	assert_string_equal(ours->driver, "");

	assert_int_equal(adopt(f, "vfio-pci", "00:09.0"), -ENODEV);
	assert_non_null(strstr(f->out[0].text, "there is no such function"));
	assert_string_equal(f->m.autoprobe, "1");
}

/* Somebody had autoprobe off already: nothing else is probed, and it stays off. */
static void test_rescan_with_autoprobe_off(void **state)
{
	struct fixture *f = *state;
	struct model_function *other;

	model_add(&f->m, "0000:00:05.0", true);
	other = model_add(&f->m, "0000:00:06.0", true);
	snprintf(f->m.autoprobe, sizeof(f->m.autoprobe), "0");
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0"), 0);
	assert_int_equal(other->probes, 0);
	assert_string_equal(f->m.autoprobe, "0");
}

/* RIDs that are asked for together appear together, in a bus that is not there yet, too. */
static void test_rescan_of_several(void **state)
{
	struct fixture *f = *state;
	struct model_function *a = model_add(&f->m, "0000:00:05.0", true);
	struct model_function *b = model_add(&f->m, "10000:01:00.0", true);

	assert_int_equal(adopt(f, "vfio-pci", "10000:01:00.0", "00:05.0", "00:06.0"), -ENODEV);
	assert_int_equal(f->out[0].err, 0);
	assert_int_equal(f->out[1].err, 0);
	assert_int_equal(f->out[2].err, -ENODEV);
	assert_int_equal(a->probes + b->probes, 0);
	assert_string_equal(b->driver, "vfio-pci");
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

static bool is_autoprobe(const char *path)
{
	return strstr(path, "drivers_autoprobe");
}

static void late_after_autoprobe(struct model *m, const char *path, const char *text)
{
	if (is_autoprobe(path) && !strcmp(text, "1"))
		model_register_late(m);
}

/* udev loads the module of what has appeared, and its driver registers at the worst moment. */
static void test_driver_registers_once_autoprobe_is_on(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 3, 1, 1);
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", true);

	f->m.stored = late_after_autoprobe;
	assert_int_equal(adopt(f, "vfio-pci", "01:00.1", "01:00.3", "00:05.0"), 0);
	assert_true(f->m.late);
	assert_string_equal(fn->driver, "vfio-pci");
	assert_int_equal(fn->probes, 0);
	for (unsigned i = 1; i <= 3; i += 2) {
		assert_string_equal(pf[i].driver, "vfio-pci");
		assert_int_equal(pf[i].probes, 0);
	}
	/* Nobody asked for VF 2. */
	assert_string_equal(pf[2].driver, "late");
}

/* The PF's switch is heeded then, too; of a rescan adopt says what has happened. */
static void test_linux_before_6_19(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 2, 1, 1);
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", true);

	f->m.before_6_19 = true;
	assert_int_equal(adopt(f, "vfio-pci", "00:05.0", "01:00.1"), 0);
	assert_string_equal(f->out[0].was, "normal");
	assert_string_equal(fn->driver, "vfio-pci");
	assert_string_equal(f->out[1].was, "");
	assert_string_equal(pf[1].driver, "vfio-pci");
	assert_int_equal(release(f, "00:05.0", "01:00.1"), 0);
	assert_string_equal(fn->driver, "normal");
	assert_int_equal(pf->numvfs, 0);
}

static void late_with_vfs(struct model *m, const char *path, const char *text)
{
	(void)text;
	if (strstr(path, "sriov_numvfs"))
		model_register_late(m);
}

/* A driver that registers with autoprobe off gets what it would have got, and nothing else moves.
 */
static void test_driver_registers_while_autoprobe_is_off(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 2, 1, 1);
	struct model_function *idle = model_add(&f->m, "0000:00:05.0", false);
	struct model_function *adopted = model_add(&f->m, "0000:00:06.0", false);
	struct model_function *named = model_add(&f->m, "0000:00:07.0", false);

	assert_int_equal(adopt(f, "pci-stub", "00:06.0"), 0);
	snprintf(named->override, sizeof(named->override), "vfio-pci");
	f->m.stored = late_with_vfs;
	assert_int_equal(adopt(f, "vfio-pci", "01:00.2"), 0);
	assert_string_equal(idle->driver, "late");
	assert_string_equal(adopted->driver, "pci-stub");
	assert_string_equal(named->driver, "");
	assert_string_equal(pf[1].driver, "");
	assert_string_equal(pf[2].driver, "vfio-pci");
	assert_int_equal(pf[2].probes, 0);
}

static const struct model *signalled;
static char autoprobe_then[8];

static void note_autoprobe(int number)
{
	(void)number;
	memcpy(autoprobe_then, signalled->autoprobe, sizeof(autoprobe_then));
}

static void signal_with_vfs(struct model *m, const char *path, const char *text)
{
	(void)text;
	signalled = m;
	if (strstr(path, "sriov_numvfs"))
		raise(SIGTERM);
}

/* Ctrl-C, or a timeout, while the kernel enables VFs: it waits until autoprobe is on again. */
static void test_signal_while_autoprobe_is_off(void **state)
{
	struct sigaction old, action = { .sa_handler = note_autoprobe };
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 2, 1, 1);

	autoprobe_then[0] = '\0';
	sigaction(SIGTERM, &action, &old);
	f->m.stored = signal_with_vfs;
	assert_int_equal(adopt(f, "vfio-pci", "01:00.1"), 0);
	sigaction(SIGTERM, &old, NULL);
	assert_string_equal(autoprobe_then, "1");
	assert_string_equal(pf[1].driver, "vfio-pci");
}

/*
 * adopt is killed before each of its stores in turn: whatever comes next turns autoprobe on again,
 * has probed what was missed, and with release nothing is left of it. False if it got through.
 */
static bool killed_before(struct fixture *f, unsigned store)
{
	struct model_function *pf, *other;
	char text[200] = "";
	int status;
	pid_t pid;

	model_init(&f->m);
	pf = model_add_pf(&f->m, "0000:01:00.0", 4, 1, 1);
	other = model_add(&f->m, "0000:00:05.0", true);
	model_add(&f->m, "0000:00:06.0", false);
	f->m.stored = late_with_vfs;
	f->m.kill_at = store;
	pid = fork();
	if (!pid)
		_exit(adopt(f, "vfio-pci", "01:00.1", "01:00.3") ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	f->m.kill_at = 0;

	host_close(&f->host);
	assert_int_equal(host_open(&f->host, &f->m.kernel, f->dir, text, sizeof(text)), 0);
	assert_string_equal(f->m.autoprobe, "1");
	assert_string_equal(f->m.sriov_autoprobe, "1");
	if (f->m.late) {
		assert_string_equal(other->driver, "normal");
		assert_string_equal(model_find(&f->m, "0000:00:06.0")->driver, "late");
	}
	assert_int_equal(pf[1].probes + pf[2].probes + pf[3].probes, 0);
	release(f, "01:00.1", "01:00.3");
	assert_int_equal(pf->numvfs, 0);
	assert_int_equal(records(f), 0);
	return WIFSIGNALED(status);
}

static void test_killed(void **state)
{
	struct fixture *f = *state;
	unsigned store = 1;

	while (killed_before(f, store))
		store++;
	/* Two switches off and on, the VFs, another device, a driver, two functions */
	assert_true(store > 9);
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
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		T(test_rescan),
		T(test_rescan_with_autoprobe_off),
		T(test_rescan_of_several),
		T(test_vfs_are_enabled_and_end_with_the_last),
		T(test_driver_registers_once_autoprobe_is_on),
		T(test_linux_before_6_19),
		T(test_driver_registers_while_autoprobe_is_off),
		T(test_signal_while_autoprobe_is_off),
		T(test_killed),
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
