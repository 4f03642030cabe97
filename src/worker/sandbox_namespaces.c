/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ridge-pf's view of the machine: a file system that is empty, a network with nothing on it, a
 * user that owns nothing, and no capability. Descriptors that were opened before, and that ridged
 * sends, work as ever: a TAP stays in the network that it is of.
 *
 * Process ids are as everywhere, because ridged finds a PF process again by the id that the kernel
 * tells it. Where ridged runs without privileges, the user stays what it is, in a user namespace
 * that has no other.
 *
 * Where the kernel, or a container, forbids one of these, it is said in the log, and the rest
 * holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "worker/sandbox.h"

/*
 * Nobody uses what is from here on (systemd's "Users, Groups, UIDs and GIDs"); a pid has 22 bits.
 */
#define SANDBOX_UIDS 0x70000000u
#define NOBODY       65534u

static int caps_get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &header, data) ? -errno : 0;
}

static bool has_cap(unsigned int cap)
{
	struct __user_cap_data_struct data[2] = { 0 };

	return !caps_get(data) && (data[cap / 32].effective >> (cap % 32) & 1);
}

static int write_file(const char *path, const char *text)
{
	fd_auto int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int sandbox_user_namespace(void)
{
	char uid[40], gid[40];
	int err;

	if (has_cap(CAP_SYS_ADMIN))
		return 0;
	snprintf(uid, sizeof(uid), "%u %u 1\n", geteuid(), geteuid());
	snprintf(gid, sizeof(gid), "%u %u 1\n", getegid(), getegid());
	if (unshare(CLONE_NEWUSER))
		return -errno;
	err = write_file("/proc/self/setgroups", "deny");
	if (!err)
		err = write_file("/proc/self/uid_map", uid);
	return err ? err : write_file("/proc/self/gid_map", gid);
}

static int empty_root(void)
{
	/* Any directory that is there will do; nothing is looked for under it any more. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=4k,nr_inodes=2,mode=0555") ||
	    chdir("/proc") || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
	    chdir("/"))
		return -errno;
	return 0;
}

static int no_group_and_user(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

/* A user of its own: two PF processes can't do a thing to each other. */
static int own_user(const struct sandbox_user *user)
{
	uid_t uid = SANDBOX_UIDS + (uid_t)getpid();
	int err;

	if (geteuid() != 0 || !has_cap(CAP_SETUID) || !has_cap(CAP_SETGID))
		return geteuid() ? 0 : -EPERM;
	if (user)
		return no_group_and_user(user->uid, user->gid);
	err = no_group_and_user(uid, uid);
	/* A container has fewer users. */
	return err == -EINVAL ? no_group_and_user(NOBODY, NOBODY) : err;
}

/* Without CAP_SETPCAP it stays, which with no_new_privs comes to the same. */
static void no_bounding_set(void)
{
	for (unsigned long cap = 0; !prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); cap++)
		;
}

static int no_caps(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

static void missing(const char *what, int err)
{
	log_warn("the sandbox has no %s: %s; the rest of it holds", what, strerror(-err));
}

int sandbox_namespaces(int user_namespace, const struct sandbox_user *user)
{
	int err = user_namespace;

	if (!err && unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS))
		err = -errno;
	if (!err)
		err = empty_root();
	if (err)
		missing("file system and network of its own", err);
	no_bounding_set(); /* while it may */
	err = own_user(user);
	if (err)
		missing("user of its own", err);
	return no_caps();
}
