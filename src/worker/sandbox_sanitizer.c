/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sanitizers in the sandbox.
 *
 * LeakSanitizer looks for leaks when the process ends: from a process that shares its memory, which
 * it makes by clone(), which stops all threads by ptrace() and reads /proc. A report of any
 * sanitizer reads the names of functions from the program's file. Nothing of that is possible in
 * the sandbox, and nothing of it should be. But a seccomp filter is a thread's own: so, only in
 * builds with a sanitizer, a thread that has none is started before, which sleeps until it is
 * needed. What handles guests' bytes has the filter that it has in every other build.
 *
 * Reports go to standard error, as a file with the process's id in its name can't be made.
 */
#include "worker/sandbox.h"

#if SANDBOX_SANITIZER
#include <errno.h>
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FIND_NAMES = 1, FIND_LEAKS = 2 };

/* As the sanitizers themselves, it belongs to the process. */
static struct {
	int ask, answer; /* eventfds */
	bool named;
} helper = { -1, -1, false };

static __thread bool is_helper;

static void *run(void *arg)
{
	char text[64];
	uint64_t what;

	(void)arg;
	is_helper = true;
	while (read(helper.ask, &what, sizeof(what)) == (ssize_t)sizeof(what)) {
		if (what == FIND_NAMES)
			__sanitizer_symbolize_pc((void *)run, "%f", text, sizeof(text));
		else
			__lsan_do_leak_check(); /* ends the process if there is one */
		if (write(helper.answer, &what, sizeof(what)) < 0)
			break;
	}
	return NULL;
}

static void ask(uint64_t what)
{
	if (helper.ask >= 0 && !is_helper &&
	    (write(helper.ask, &what, sizeof(what)) != (ssize_t)sizeof(what) ||
	     read(helper.answer, &what, sizeof(what)) != (ssize_t)sizeof(what)))
		abort(); /* it must not be left out without being noticed */
}

/* What the sanitizers call before they print a report: the names are read once. */
static void find_names(void)
{
	if (helper.named)
		return;
	helper.named = true;
	ask(FIND_NAMES);
}

void __asan_on_error(void)
{
	find_names();
}

void __ubsan_on_report(void);
void __ubsan_on_report(void)
{
	find_names();
}

/*
 * UndefinedBehaviorSanitizer reads its options and opens its log when it has the first thing to
 * say, which is too late here. Only gcc's runtime shows the function, which has no C name.
 */
extern void ubsan_start(void) __asm__("_ZN7__ubsan16InitAsStandaloneEv") __attribute__((weak));

int sandbox_sanitizer_init(void)
{
	sigset_t all, before;
	pthread_t thread;
	int err;

	if (ubsan_start)
		ubsan_start();
	__sanitizer_set_report_fd((void *)(intptr_t)STDERR_FILENO);
	helper.ask = eventfd(0, EFD_CLOEXEC);
	helper.answer = eventfd(0, EFD_CLOEXEC);
	if (helper.ask < 0 || helper.answer < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err)
		pthread_detach(thread);
	return err;
}

void sandbox_sanitizer_leave(void)
{
	ask(FIND_LEAKS);
}
#else
int sandbox_sanitizer_init(void)
{
	return 0;
}

void sandbox_sanitizer_leave(void)
{
}
#endif
