/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a ridge-pf gives up before the first byte of a guest reaches it.
 *
 * The process opens nothing: all it works on is handed to it as descriptors. sandbox_enter() makes
 * the kernel hold it to that. A system call that is not on the list of sandbox_calls.c, or on it
 * with other arguments, ends the process at once with SIGSYS; ridged says so.
 *
 *   main        sandbox_enter(): limits, an empty file system and network, a user that owns
 *               nothing, and from here on no file, socket, process or executable page
 *   PF_INIT     io_uring, if the type needs it, limited to the operations that uring.c has: a ring
 *               does what it is asked to without regard to this list. Then sandbox_seal(): no
 *               further ring, nor a change to this one. No function exists before
 *   the end     sandbox_leave(): a leak sanitizer, if there is one, looks around
 *
 * No argument that is checked may be one that a guest or a VMM has a say in: what should be an
 * error of theirs would end the PF.
 */
#ifndef RIDGE_WORKER_SANDBOX_H
#define RIDGE_WORKER_SANDBOX_H

#include <sys/types.h>

/* A build with a sanitizer needs a few calls more; see sandbox_calls.c and sandbox_sanitizer.c. */
#ifdef __SANITIZE_ADDRESS__
#define SANDBOX_SANITIZER 1
#else
#define SANDBOX_SANITIZER 0
#endif

struct sandbox_user {
	uid_t uid;
	gid_t gid;
};

/*
 * user: whom to become where ridged is root; NULL: somebody that no other process is. Returns 0 or
 * a negative errno: the kernel has no seccomp. Not to be gone on from.
 */
int sandbox_enter(const struct sandbox_user *user);

/* Of a process that is in the sandbox. Returns 0 or a negative errno. */
int sandbox_seal(void);

/* At the end of the program, when everything is freed. */
void sandbox_leave(void);

/*
 * sandbox_namespaces.c: one that is needed for the rest, while there is one thread; and the rest.
 */
int sandbox_user_namespace(void);
int sandbox_namespaces(int user_namespace, const struct sandbox_user *user);

/* sandbox_calls.c: the lists, loaded. */
int sandbox_calls_enter(void);
int sandbox_calls_seal(void);
/* Of the thread that closes descriptors (base/closer.h): it can do nothing else. */
int sandbox_calls_closer(void);

/* sandbox_sanitizer.c: without a sanitizer these do nothing. */
int sandbox_sanitizer_init(void);
void sandbox_sanitizer_leave(void);

#endif
