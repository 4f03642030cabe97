/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker/sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "base/closer.h"
#include "base/log.h"

int sandbox_enter(const struct sandbox_user *user)
{
	static const struct rlimit none = { 0, 0 };
	int user_namespace, err;

	/* A core would have the memory of guests in it. */
	setrlimit(RLIMIT_CORE, &none);
	/* The log's times need a file that can be read now and not later. */
	tzset();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	user_namespace = sandbox_user_namespace();
	err = sandbox_sanitizer_init();
	if (!err)
		err = sandbox_namespaces(user_namespace, user);
	if (!err)
		err = closer_init(sandbox_calls_closer);
	return err ? err : sandbox_calls_enter();
}

int sandbox_seal(void)
{
	return sandbox_calls_seal();
}

void sandbox_leave(void)
{
	sandbox_sanitizer_leave();
}
