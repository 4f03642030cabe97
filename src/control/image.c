/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/fd.h"

#define IMAGE_SIZE_MIN 512 /* one sector (virtio 1.3, 5.2.4) */

/* QEMU's bytes: block/file-posix.c, RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE. */
#define QEMU_USED     100
#define QEMU_UNSHARED 200
enum { QEMU_READ = 0, QEMU_WRITE = 1, QEMU_RESIZE = 3 };

static const char *file_kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a FIFO";
	case S_IFCHR:
		return "a character device";
	case S_IFSOCK:
		return "a socket";
	default:
		return "not a file";
	}
}

static int open_error(const char *path, const struct image_options *options, int err,
		      struct error *e)
{
	const char *right = "give an existing raw image or block device";

	if (err == EACCES || err == EROFS || err == EPERM)
		right = options->readonly ? "give an image that ridged may read"
					  : "give readonly=true, or an image that ridged may write";
	else if (err == EINVAL && options->direct)
		right = "the file system does not do direct I/O, leave out direct=true";
	else if (err == EBUSY)
		right = "the device is in use (mounted, or by a function), give readonly=true or another device";
	return error_set(e, err, "image %s: %s; %s", path, strerror(err), right);
}

static int lock_range(int fd, short type, off_t start, off_t len)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len
	};

	return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

/* Who keeps us from locking, as far as the kernel tells: it names owners of classic locks only. */
static int lock_error(const char *path, const struct image_options *options, int fd,
		      struct error *e)
{
	struct flock lock = { .l_type = options->readonly ? F_RDLCK : F_WRLCK,
			      .l_whence = SEEK_SET };
	char who[48] = "another process";

	if (!fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK && lock.l_pid > 0)
		snprintf(who, sizeof(who), "process %d", (int)lock.l_pid);
	if (options->readonly)
		return error_set(e, EBUSY,
				 "image %s: %s (a function or a QEMU) may write to it; end its use "
				 "there first, or give share=true if the two are coordinated",
				 path, who);
	return error_set(
		e, EBUSY,
		"image %s: %s (a function or a QEMU) uses it; end its use there first, give "
		"readonly=true to all its users, or share=true if they are coordinated",
		path, who);
}

/* Returns 0 or -EAGAIN; another holder of any lock on the byte is in the way. */
static int lock_test(int fd, off_t byte)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};

	if (fcntl(fd, F_OFD_GETLK, &lock))
		return -errno;
	return lock.l_type == F_UNLCK ? 0 : -EAGAIN;
}

/* As QEMU does: say what we do and do not share, then look whether somebody minds. */
static int lock_shared(int fd)
{
	static const off_t take[] = { QEMU_USED + QEMU_READ, QEMU_UNSHARED + QEMU_WRITE,
				      QEMU_UNSHARED + QEMU_RESIZE };
	static const off_t test[] = { QEMU_UNSHARED + QEMU_READ, QEMU_USED + QEMU_WRITE,
				      QEMU_USED + QEMU_RESIZE };
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(take) && !err; i++)
		err = lock_range(fd, F_RDLCK, take[i], 1);
	for (size_t i = 0; i < ARRAY_LEN(test) && !err; i++)
		err = lock_test(fd, test[i]);
	return err;
}

static int image_lock(const char *path, const struct image_options *options, int fd,
		      struct error *e)
{
	int err = 0;

	if (!options->share)
		err = options->readonly ? lock_shared(fd) : lock_range(fd, F_WRLCK, 0, 0);
	if (err == -EAGAIN || err == -EACCES)
		return lock_error(path, options, fd, e);
	if (err)
		return error_set(e, -err,
				 "image %s: cannot be locked: %s; give share=true to go without",
				 path, strerror(-err));
	return 0;
}

static int image_check(const char *path, const struct image_options *options, int fd, bool device,
		       struct error *e)
{
	int readonly = 0;
	off_t size;

	if (device && !options->readonly && !ioctl(fd, BLKROGET, &readonly) && readonly)
		return open_error(path, options, EROFS, e);
	size = lseek(fd, 0, SEEK_END);
	if (size < 0)
		return open_error(path, options, errno, e);
	if (size < IMAGE_SIZE_MIN)
		return error_set(e, EINVAL,
				 "image %s: %lld bytes are too small; give one of %d bytes or more",
				 path, (long long)size, IMAGE_SIZE_MIN);
	return 0;
}

int image_open(const char *path, const struct image_options *options, int *out, struct error *e)
{
	int flags = O_CLOEXEC | O_NOCTTY | (options->readonly ? O_RDONLY : O_RDWR);
	fd_auto int handle = -1;
	fd_auto int fd = -1;
	char reopen[64];
	struct stat st;
	bool device;
	int err;

	/* Opening can have effects (a FIFO waits, a tape rewinds), so look before. */
	handle = open(path, O_PATH | O_CLOEXEC);
	if (handle < 0 || fstat(handle, &st))
		return open_error(path, options, errno, e);
	device = S_ISBLK(st.st_mode);
	if (!device && !S_ISREG(st.st_mode))
		return error_set(e, EINVAL, "image %s: it is %s; give a raw image or block device",
				 path, file_kind(st.st_mode));
	if (options->direct)
		flags |= O_DIRECT;
	/* Refuses a device that is mounted, or claimed in another way. */
	if (device && !options->readonly && !options->share)
		flags |= O_EXCL;
	snprintf(reopen, sizeof(reopen), "/proc/self/fd/%d", handle);
	/* A guest's reads are none of the host's: no access time to keep. Only owners may say so. */
	fd = open(reopen, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(reopen, flags);
	if (fd < 0)
		return open_error(path, options, errno, e);
	err = image_check(path, options, fd, device, e);
	if (!err)
		err = image_lock(path, options, fd, e);
	if (!err)
		*out = fd_take(&fd);
	return err;
}
