/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RIDGE_HOST_INTERNAL_H
#define RIDGE_HOST_INTERNAL_H

#include "host/host.h"

/* What adopt has changed of one function; strings are empty for none. */
struct host_record {
	char driver[HOST_NAME_MAX];       /* that adopt bound it to, and named in driver_override */
	char was_driver[HOST_NAME_MAX];   /* that it was bound to */
	char was_override[HOST_NAME_MAX]; /* its driver_override */
	char pf[HOST_RID_MAX];            /* the PF whose VFs adopt enabled for it */
};

/* -ENOENT if there is none of this boot. */
int record_read(const struct host *host, const char *rid, struct host_record *record);
int record_write(const struct host *host, const char *rid, const struct host_record *record);
int record_remove(const struct host *host, const char *rid);

/* Whether some function's record says that adopt enabled the VFs of pf. */
bool record_names_pf(const struct host *host, const char *pf);

/* attribute of a function */
int function_read(const struct host *host, const char *rid, const char *attribute, char *text,
		  size_t size);
int function_read_number(const struct host *host, const char *rid, const char *attribute,
			 unsigned *number);
int function_write(const struct host *host, const char *rid, const char *attribute,
		   const char *text);
bool function_exists(const struct host *host, const char *rid);

__attribute__((format(printf, 3, 4))) void outcome_fail(struct host_outcome *outcome, int err,
							const char *fmt, ...);

/*
 * Makes those functions appear that aren't there, without a probe. pfs[i] is then the PF whose VFs
 * were enabled for rids[i], or empty; outcomes[i] says so where it did not work.
 */
void host_appear(struct host *host, const struct host_rid *rids, unsigned n,
		 char (*pfs)[HOST_RID_MAX], struct host_outcome *outcomes);

#endif
