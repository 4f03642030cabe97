/* SPDX-License-Identifier: BSD-3-Clause */
/* ridge host adopt: autoprobe off while functions appear, and all put back whatever happens. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_host_fixture.h"

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

/* The same of release: another one does the rest. */
static void test_killed_release(void **state)
{
	struct fixture *f = *state;
	int status = SIGKILL;

	for (unsigned store = 1; WIFSIGNALED(status); store++) {
		struct model_function *pf, *fn;

		model_init(&f->m);
		pf = model_add_pf(&f->m, "0000:01:00.0", 4, 1, 1);
		fn = model_add(&f->m, "0000:00:05.0", false);
		model_probe_all(&f->m);
		assert_int_equal(adopt(f, "vfio-pci", "00:05.0", "01:00.1"), 0);
		f->m.kill_at = f->m.stores + store;
		if (!fork())
			_exit(release(f, "00:05.0", "01:00.1") ? 1 : 0);
		assert_true(wait(&status) > 0);
		f->m.kill_at = 0;
		release(f, "00:05.0", "01:00.1");
		assert_string_equal(fn->driver, "normal");
		assert_string_equal(fn->override, "");
		assert_int_equal(pf->numvfs, 0);
		assert_int_equal(records(f), 0);
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* That is said, all else is as before, and the next commands try again. */
static void test_autoprobe_does_not_come_back(void **state)
{
	struct fixture *f = *state;
	struct model_function *pf = model_add_pf(&f->m, "0000:01:00.0", 2, 1, 1);
	struct model_function *fn = model_add(&f->m, "0000:00:05.0", false);
	char text[200];

	f->m.autoprobe_stuck = true;
	assert_int_equal(adopt(f, "vfio-pci", "01:00.1", "00:05.0", "01:00.2"), -EIO);
	for (unsigned i = 0; i < 3; i += 2)
		assert_string_equal(f->out[i].text,
				    "autoprobe cannot be turned on again (Input/output error)");
	assert_int_equal(f->out[1].err, 0);
	assert_string_equal(fn->driver, "vfio-pci");
	assert_int_equal(pf->numvfs, 0);

	host_close(&f->host);
	assert_int_equal(host_open(&f->host, &f->m.kernel, f->dir, text, sizeof(text)), -EIO);
	assert_non_null(strstr(text, "it cannot be turned on again (Input/output error)"));
	f->m.autoprobe_stuck = false;
	assert_int_equal(host_open(&f->host, &f->m.kernel, f->dir, text, sizeof(text)), 0);
	assert_string_equal(f->m.autoprobe, "1");
	assert_int_equal(release(f, "00:05.0"), 0);
	assert_int_equal(records(f), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)
	const struct CMUnitTest tests[] = {
		T(test_rescan),
		T(test_rescan_with_autoprobe_off),
		T(test_rescan_of_several),
		T(test_driver_registers_once_autoprobe_is_on),
		T(test_linux_before_6_19),
		T(test_driver_registers_while_autoprobe_is_off),
		T(test_signal_while_autoprobe_is_off),
		T(test_killed),
		T(test_killed_release),
		T(test_autoprobe_does_not_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
