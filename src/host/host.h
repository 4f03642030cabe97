/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside a Linux host: PCI functions go straight to a driver, and back. It needs no ridged.
 *
 * Theory of operation: when a function appears, Linux offers it to the drivers it has, and the
 * normal one probes it; a function that is for VFIO then has to be unbound from it again. adopt
 * never lets that happen. It names the driver in driver_override, which makes every other driver
 * pass the function over, and binds it to that driver by name. A function that isn't there yet
 * appears with nobody probing it:
 *
 *   a VF of a PF that has none enabled   sriov_numvfs, with sriov_drivers_autoprobe off, too
 *   anything else                        a rescan of its bus
 *
 * with drivers_autoprobe off. Before a switch is on again, driver_override names the driver: a
 * normal one that registers later, as udev loads its module, passes the function over as well. Both
 * switches are as they were when adopt returns, and what else has appeared meanwhile is probed as
 * it would have been. Linux before 6.19 does not heed drivers_autoprobe for what appears: there a VF
 * is spared the probe by its PF's switch, and what a rescan finds is not, if its driver is loaded.
 *
 * What adopt changes of a function is in a record, one file per RID, written before the change, and
 * release puts it back: driver_override, the driver it was bound to, and, with the last function of
 * a PF whose VFs adopt enabled, the number of VFs. A record goes when all of it is put back.
 * Records are of one boot. One whose function has got another driver_override since is stale:
 * whoever did that has the say, and release changes nothing.
 *
 *   adopt.c     takes functions to a driver        release.c  puts back what that changed
 *   appear.c    functions that aren't there yet    quiet.c    autoprobe off, and back
 *   function.c  one function in sysfs              rid.c      RIDs
 *   record.c    the records
 *   sysfs.c     the kernel's side, which tests replace by a model
 *
 * Errors are negative errno and one line of text, with what would be right.
 */
#ifndef RIDGE_HOST_H
#define RIDGE_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HOST_NAME_MAX 64 /* a driver's name */
#define HOST_RID_MAX  24 /* ffffffff:ff:1f.7 */
#define HOST_PATH_MAX 512
#define HOST_BOOT_MAX 40

struct host_rid {
	uint32_t domain;
	uint8_t bus;
	uint8_t devfn;
};

/* [DDDD:]BB:DD.F, all hexadecimal; the domain has up to 8 digits. Returns 0 or -EINVAL. */
int host_rid_parse(const char *text, struct host_rid *rid);

/* As Linux names it in sysfs. */
void host_rid_print(const struct host_rid *rid, char text[HOST_RID_MAX]);

/* sysfs. Paths are relative to it, without a leading slash; all return 0 or a negative errno. */
struct host_kernel {
	/* The first line, without its end. */
	int (*read)(void *ctx, const char *path, char *text, size_t size);
	int (*write)(void *ctx, const char *path, const char *text);
	/* The last component of what a symbolic link points to. */
	int (*target)(void *ctx, const char *path, char *name, size_t size);
	/* The entries of a folder, until fn returns other than 0; returns that. */
	int (*each)(void *ctx, const char *path, int (*fn)(void *arg, const char *name), void *arg);
	/* The pid of a process that has the function open through VFIO, or 0. */
	pid_t (*user)(void *ctx, const char *rid);
	/* Waits until nobody else has it; a file descriptor, which is the lock, or negative errno. */
	int (*lock)(void *ctx);
	void *ctx;
};

/* The real one: $RIDGE_SYSFS and $RIDGE_PROC (for tests), or /sys and /proc. */
extern const struct host_kernel host_linux;

struct host {
	const struct host_kernel *kernel;
	int dir;                  /* of the records */
	int lock;                 /* of the kernel's PCI bus; negative errno: may not be had */
	char boot[HOST_BOOT_MAX]; /* its id: a record of another boot says nothing */
};

/*
 * host/ in the runtime directory, made if need be. It and the PCI bus are locked until host_close(),
 * so that one command at a time works on the bus, whatever directory it has. What an adopt
 * that was killed has left is put back first. dir NULL: $RIDGE_RUNTIME_DIR, or /run/ridge as root,
 * or $XDG_RUNTIME_DIR/ridge. On failure text says why.
 */
int host_open(struct host *host, const struct host_kernel *kernel, const char *dir, char *text,
	      size_t size);
void host_close(struct host *host);

/* What became of one function. */
struct host_outcome {
	int err;
	bool changed;
	char driver[HOST_NAME_MAX]; /* that it is bound to now; empty: to none */
	char was[HOST_NAME_MAX];    /* that it was bound to before */
	char text[400];             /* if err: after "host adopt RID: " */
};

/*
 * Binds functions to a driver, each for itself: one that fails is as it was, and others go on.
 * force unbinds one that a process has open through VFIO, too (the kernel then waits for that
 * process). Returns 0 if all are bound, or the first error.
 */
int host_adopt(struct host *host, const struct host_rid *rids, unsigned n, const char *driver,
	       bool force, struct host_outcome *outcomes);

/*
 * Puts back what adopt changed. A function that is gone has nothing to put back; one that fails
 * stays adopted, and can be released again.
 */
int host_release(struct host *host, const struct host_rid *rids, unsigned n, bool force,
		 struct host_outcome *outcomes);

#endif
