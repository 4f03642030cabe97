/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls that a ridge-pf may make. Everything else ends it: there is no list of what is
 * dangerous, so what a later kernel adds is forbidden too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "worker/sandbox.h"

/* A filter is for the calls of one architecture: the numbers of others mean something else. */
#if defined(__x86_64__)
#define CLOSER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define CLOSER_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define CLOSER_ARCH AUDIT_ARCH_RISCV64
#else
#error "which AUDIT_ARCH_* is this?"
#endif

#define ARGS_MAX 2
#define OWN_PID  UINT64_MAX /* as a value: the pid of this process */

/*
 * A call is allowed if all of (argument & mask) == value. An int is the lower half of a register.
 */
struct call {
	int nr;
	struct {
		bool checked;
		unsigned int index;
		uint64_t mask, value;
	} args[ARGS_MAX];
};

#define CALL(name)                   \
	{                            \
		.nr = SCMP_SYS(name) \
	}
#define CALL_ARG(name, i, m, v)                                     \
	{                                                           \
		.nr = SCMP_SYS(name), .args = { { true, i, m, v } } \
	}
#define CALL_INT(name, i, v) CALL_ARG(name, i, 0xffffffffu, v)
#define CALL_INT2(name, i, v, j, w)                  \
	{                                            \
		.nr = SCMP_SYS(name), .args = {      \
			{ true, i, 0xffffffffu, v }, \
			{ true, j, 0xffffffffu, w }, \
		}                                    \
	}

static const struct call calls[] = {
	/* The event loop and its clock. clock_gettime() is a call where the vDSO can't do it. */
	CALL(epoll_wait),
	CALL(epoll_pwait),
	CALL(epoll_ctl),
	CALL(poll),
	CALL(ppoll),
	CALL(clock_gettime),
	CALL(gettimeofday),
	CALL(restart_syscall),
	CALL(rt_sigreturn),
	CALL(rt_sigaction), /* SIGBUS: guest memory that shrinks */
	CALL(rt_sigprocmask),
	CALL(futex), /* locks of the C library */

	/*
	 * Descriptors that were handed over: the log, connections, interrupts, TAPs, images. There
	 * are no sockets but those, and none can be made or connected.
	 */
	CALL(read),
	CALL(readv),
	CALL(write),
	CALL(writev),
	CALL(close),
	CALL(accept4),
	CALL(recvfrom),
	CALL(recvmsg),
	CALL(sendto),
	CALL(sendmsg),
	CALL(shutdown),
	CALL_INT2(getsockopt, 1, SOL_SOCKET, 2, SO_PEERCRED),
	CALL(ftruncate), /* the state of a function, the admin queues */
	CALL(fstatfs),
	CALL(fstat),
	/* fstat() and statx() of a descriptor; a path would find nothing (see namespaces). */
	CALL_ARG(newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH),
	CALL_ARG(statx, 2, AT_EMPTY_PATH, AT_EMPTY_PATH),
	CALL_INT(fcntl, 1, F_DUPFD_CLOEXEC),
	CALL_INT(fcntl, 1, F_GETFL),
	CALL_INT2(fcntl, 1, F_SETFL, 2, O_NONBLOCK),
	CALL_INT(fcntl, 1, F_GET_SEALS),
	CALL_INT(fcntl, 1, F_ADD_SEALS),
	CALL_INT(ioctl, 1, TUNSETOFFLOAD),
	CALL_INT(ioctl, 1, TUNSETVNETHDRSZ),
	CALL_INT(ioctl, 1, TUNSETVNETLE),
	CALL_INT(ioctl, 1, SIOCOUTQ),
	CALL_INT(ioctl, 1, BLKGETSIZE64),
	CALL_INT(ioctl, 1, BLKSSZGET),

	/* Anonymous descriptors: what nobody else has a name for. */
	CALL(eventfd2),
	CALL(memfd_create),

	/* Interrupts: eventfds that VMMs have too (irqfd.c). The context is made before. */
	CALL(preadv2),
	CALL(io_submit),
	CALL(io_getevents),

	/* Memory, none of it executable. */
	CALL(brk),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL_ARG(mmap, 2, PROT_EXEC, 0),
	CALL_ARG(mprotect, 2, PROT_EXEC, 0),

	/* Files by io_uring: what a ring may do is limited when it is made (uring.c). */
	CALL(io_uring_enter),
	/* Until sandbox_calls_seal(), which is the third. */
	CALL(io_uring_setup),
	CALL(io_uring_register),
	CALL_INT2(seccomp, 0, SECCOMP_SET_MODE_FILTER, 1, 0),

	/* Random numbers for guests. */
	CALL(getrandom),

	/* The end, and abort(). */
	CALL(getpid),
	CALL(gettid),
	CALL_ARG(tgkill, 0, 0xffffffffu, OWN_PID),
	CALL(exit),
	CALL(exit_group),
};

#if SANDBOX_SANITIZER
/* The runtimes of the sanitizers: their locks, signal stacks, and reports. */
static const struct call sanitizer_calls[] = {
	CALL(sigaltstack),
	CALL(sched_yield),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	CALL(pipe),                 /* whether memory can be read is asked by writing it */
	CALL(pipe2),                /* ... */
	CALL_INT(ioctl, 1, 0x5401), /* TCGETS: reports have colours on a terminal */
	CALL(getrlimit),
	CALL_INT(prlimit64, 0, 0),
	CALL(sysinfo),
};
#endif

static int add_calls(scmp_filter_ctx ctx, const struct call *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct scmp_arg_cmp cmp[ARGS_MAX];
		unsigned int ncmp = 0;
		int err;

		for (size_t k = 0; k < ARGS_MAX && list[i].args[k].checked; k++)
			cmp[ncmp++] = (struct scmp_arg_cmp){
				.arg = list[i].args[k].index,
				.op = SCMP_CMP_MASKED_EQ,
				.datum_a = list[i].args[k].mask,
				.datum_b = list[i].args[k].value == OWN_PID ? (uint64_t)getpid()
									    : list[i].args[k].value,
			};
		err = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, list[i].nr, ncmp, cmp);
		/* -EDOM, -EFAULT: a call that this architecture does not have. */
		if (err && err != -EDOM && err != -EFAULT)
			return err;
	}
	return 0;
}

static scmp_filter_ctx filter_new(uint32_t action)
{
	scmp_filter_ctx ctx = seccomp_init(action);

	if (!ctx)
		return NULL;
	/*
	 * A binary tree; the kernel remembers by itself which calls need no look at their
	 * arguments.
	 */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) {
		seccomp_release(ctx);
		return NULL;
	}
	return ctx;
}

int sandbox_calls_enter(void)
{
	scmp_filter_ctx ctx = filter_new(SCMP_ACT_KILL_PROCESS);
	int err;

	if (!ctx)
		return -ENOMEM;
	err = add_calls(ctx, calls, ARRAY_LEN(calls));
#if SANDBOX_SANITIZER
	if (!err)
		err = add_calls(ctx, sanitizer_calls, ARRAY_LEN(sanitizer_calls));
#endif
	if (!err)
		err = seccomp_load(ctx); /* sets no_new_privs */
	seccomp_release(ctx);
	return err;
}

static int filter_load(struct sock_filter *code, size_t n)
{
	struct sock_fprog program = { .len = (unsigned short)n, .filter = code };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

#define LOAD(field)         BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF_CALL(name, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, skip, 0)
#define ANSWER(action)      BPF_STMT(BPF_RET | BPF_K, action)

/* A second filter, of which the kernel takes the stricter answer; it has no need of a library. */
int sandbox_calls_seal(void)
{
	struct sock_filter code[] = {
		LOAD(nr),
		IF_CALL(io_uring_setup, 3),
		IF_CALL(io_uring_register, 2),
		IF_CALL(seccomp, 1),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
	};

	return filter_load(code, ARRAY_LEN(code));
}

int sandbox_calls_closer(void)
{
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOSER_ARCH, 0, 9),
		LOAD(nr),
		IF_CALL(read, 8),
		IF_CALL(write, 7), /* once: it is ready */
		IF_CALL(madvise, 6),
		IF_CALL(munmap, 5),
		IF_CALL(close, 4),
		IF_CALL(restart_syscall, 3),
		IF_CALL(rt_sigreturn, 2),
		IF_CALL(exit, 1),
		ANSWER(SECCOMP_RET_KILL_PROCESS),
		ANSWER(SECCOMP_RET_ALLOW),
	};

	return filter_load(code, ARRAY_LEN(code));
}
