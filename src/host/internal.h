/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_HOST_INTERNAL_H
#define RIDGE_HOST_INTERNAL_H

#include <signal.h>

#include "host/host.h"

struct json_object;

/* What adopt has changed of one function; strings are empty for none. */
struct host_record {
	char driver[HOST_NAME_MAX];       /* that adopt bound it to, and named in driver_override */
	char was_driver[HOST_NAME_MAX];   /* that it was bound to */
	char was_override[HOST_NAME_MAX]; /* its driver_override */
	char pf[HOST_RID_MAX];            /* the PF whose VFs adopt enabled for it */
};

/* One of the functions that a command names. */
struct host_change {
	struct host_rid id;
	char rid[HOST_RID_MAX];
	char pf[HOST_RID_MAX]; /* the PF whose VFs may go with it, or empty */
	bool absent;           /* when the command began */
	bool claimed;          /* by adopt: record is written, and driver_override set */
	bool released;         /* the record may go */
	struct host_record record;
	/* What there was before that: */
	char override[HOST_NAME_MAX];
	struct host_record old; /* if it was adopted already, to another driver */
	bool adopted;
};

/*
 * Files in the folder of the records: JSON objects that are of one boot, as sysfs is. A load
 * returns NULL if there is none; a store is whole, or not at all.
 */
struct json_object *state_load(const struct host *host, const char *name);
int state_store(const struct host *host, const char *name, struct json_object *state);
int state_remove(const struct host *host, const char *name);

/* -ENOENT if there is none of this boot. */
int record_read(const struct host *host, const char *rid, struct host_record *record);
int record_write(const struct host *host, const char *rid, const struct host_record *record);
int record_remove(const struct host *host, const char *rid);

/*
 * The record of a function that is as adopt left it. -ESTALE if its driver_override is another by
 * now.
 */
int record_current(const struct host *host, const char *rid, const char *override,
		   struct host_record *record);

/* attribute of a function */
int function_read(const struct host *host, const char *rid, const char *attribute, char *text,
		  size_t size);
int function_read_number(const struct host *host, const char *rid, const char *attribute,
			 unsigned *number);
int function_write(const struct host *host, const char *rid, const char *attribute,
		   const char *text);
bool function_exists(const struct host *host, const char *rid);

/* The driver that it is bound to; empty: none. */
void function_driver(const struct host *host, const char *rid, char driver[HOST_NAME_MAX]);
int function_bind(const struct host *host, const char *rid, const char *driver);

/* Unbinding a VFIO driver waits, without an end, until nobody has the function open. */
int function_unbind(const struct host *host, const char *rid, const char *driver, bool force,
		    struct host_outcome *outcome);

/* Its driver_override; empty: none. */
int function_override(const struct host *host, const char *rid, char name[HOST_NAME_MAX]);
int function_set_override(const struct host *host, const char *rid, const char *name);

__attribute__((format(printf, 3, 4))) void outcome_fail(struct host_outcome *outcome, int err,
							const char *fmt, ...);
/* The same, after what went wrong with it before. */
__attribute__((format(printf, 3, 4))) void outcome_add(struct host_outcome *outcome, int err,
						       const char *fmt, ...);

/* What a refusal says more than its errno does: of anything, and of a driver. */
const char *root_hint(int err);
const char *refusal_hint(const struct host *host, const char *rid, const char *driver, int err);

/* The changes for n RIDs, or NULL; free() them. */
struct host_change *changes_new(const struct host_rid *rids, unsigned n);

/* 0 if all went well, or the first error. */
int outcomes_error(const struct host_outcome *outcomes, unsigned n);

/*
 * A section in which nobody probes what appears. Then the switches are as they were, and who has
 * appeared meanwhile is probed, unless it is adopted or a VF that was enabled here; a driver that
 * has registered meanwhile is offered what was there before and has none.
 *
 * Signals that would end or stop the process wait. What it is undone with is in a file before
 * anything is changed: if the process is killed, quiet_recover() of the next one ends the section.
 */
struct quiet {
	struct json_object *state;
	sigset_t signals; /* that were blocked before */
};

int quiet_begin(struct host *host, struct quiet *quiet);
int quiet_end(struct host *host, struct quiet *quiet);

/* On failure text says why. */
int quiet_recover(struct host *host, char *text, size_t size);

/* number VFs of pf are about to be enabled. */
int quiet_vfs(struct host *host, struct quiet *quiet, const char *pf, unsigned number);

/*
 * Makes those functions appear that are absent; outcomes[i] says so where it did not work. Between
 * quiet_begin() and quiet_end().
 */
void host_appear(struct host *host, struct quiet *quiet, struct host_change *changes, unsigned n,
		 struct host_outcome *outcomes);

/* The VFs of pf go, unless one has a driver or a driver_override: adopt's or somebody else's. */
int host_end_vfs(const struct host *host, const char *pf);

/* The same for each PF that changes name; outcomes[i] says so where they cannot go. */
void host_disappear(const struct host *host, struct host_change *changes, unsigned n,
		    struct host_outcome *outcomes);

#endif
