/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What code of a guest's might try once it runs in a ridge-pf. Only in builds in which tests break
 * things: each attempt returns what it got, if the process is still there.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/uring.h"
#include "worker/worker.h"

static int result(long value)
{
	return value < 0 ? -errno : 0;
}

static int try_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	return result(connect(STDIN_FILENO, (struct sockaddr *)&addr, sizeof(addr)));
}

static int try_exec(void)
{
	char *const argv[] = { (char *)"true", NULL };

	return result(execv("/bin/true", argv));
}

/* mmap() first: that, too, is how shellcode would get its memory. */
static int try_mprotect(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -errno : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int try_mmap(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0) == MAP_FAILED
		       ? -errno
		       : 0;
}

static int try_uring_setup(void)
{
	struct io_uring_params params = { 0 };

	return result(syscall(SYS_io_uring_setup, 4, &params));
}

static int try_seccomp(void)
{
	return result(syscall(SYS_seccomp, 0, 0, NULL));
}

static int try_leak(void)
{
	void *volatile lost = NULL;

	for (int i = 0; i < 16; i++)
		lost = malloc(64);
	lost = NULL;
	return lost ? -EIO : 0;
}

static int try_overflow(void)
{
	/* volatile: the compiler is not to see how much it points to */
	volatile char *volatile p = malloc(16);
	volatile size_t end = 16;

	if (p)
		p[end] = 0;
	free((void *)p);
	return 0;
}

int escape_try(struct worker *w, uint32_t what)
{
	struct stat st;

	switch (what) {
	case IPC_ESCAPE_OPEN:
		return result(open("/etc/passwd", O_RDONLY));
	case IPC_ESCAPE_SOCKET:
		return result(socket(AF_UNIX, SOCK_STREAM, 0));
	case IPC_ESCAPE_CONNECT:
		return try_connect();
	case IPC_ESCAPE_EXEC:
		return try_exec();
	case IPC_ESCAPE_PTRACE:
		return result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
	case IPC_ESCAPE_FORK:
		return result(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	case IPC_ESCAPE_MPROTECT:
		return try_mprotect();
	case IPC_ESCAPE_MMAP:
		return try_mmap();
	case IPC_ESCAPE_KILL:
		return result(syscall(SYS_tgkill, getppid(), getppid(), 0));
	case IPC_ESCAPE_STAT:
		return result(fstatat(AT_FDCWD, "/etc/passwd", &st, 0));
	case IPC_ESCAPE_MOUNT:
		return result(mount("none", "/", "tmpfs", 0, NULL));
	case IPC_ESCAPE_UNSHARE:
		return result(unshare(CLONE_NEWUSER));
	case IPC_ESCAPE_SECCOMP:
		return try_seccomp();
	case IPC_ESCAPE_URING_SETUP:
		return try_uring_setup();
	case IPC_ESCAPE_URING_OPEN:
		return w->uring ? uring_fault_open(w->uring, "/etc/passwd") : -EOPNOTSUPP;
	case IPC_ESCAPE_LEAK:
		return try_leak();
	case IPC_ESCAPE_OVERFLOW:
		return try_overflow();
	default:
		return -EINVAL;
	}
}
