/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel's PCI core in memory, as far as sysfs shows it: functions that appear with a rescan or
 * with sriov_numvfs, drivers that probe what they may, driver_override, bind and unbind. It counts
 * what each driver probes.
 */
#ifndef RIDGE_TEST_HOST_MODEL_H
#define RIDGE_TEST_HOST_MODEL_H

#include "host/host.h"

#define MODEL_FUNCTIONS 48

struct model_function {
	char rid[HOST_RID_MAX];
	bool present;
	bool hidden; /* appears with the next rescan */
	char override[HOST_NAME_MAX];
	char driver[HOST_NAME_MAX];
	const struct model_function *pf;
	unsigned total, numvfs; /* of a PF */
	unsigned offset, stride;
	unsigned probes;       /* by drivers that were not named in driver_override */
	unsigned named_probes; /* by the one that was */
};

struct model {
	struct model_function function[MODEL_FUNCTIONS];
	unsigned n;
	char autoprobe[8], sriov_autoprobe[8];
	const char *no_driver; /* this driver is not there */
	bool late;             /* "late" is: see model_register_late() */
	int refusal;           /* what named probes return, negative errno */
	int write_error;       /* what every store returns */
	bool before_6_19;      /* what appears is probed whatever drivers_autoprobe says */
	bool autoprobe_stuck;  /* drivers_autoprobe does not take a 1 */
	bool vfs_stay;         /* the PF's driver does not let go of its VFs */
	pid_t user;
	unsigned stores;
	unsigned kill_at; /* this store does not come to pass: the process is killed */
	/* Called after each store that succeeds. */
	void (*stored)(struct model *m, const char *path, const char *text);
	struct host_kernel kernel;
};

void model_init(struct model *m);
struct model_function *model_add(struct model *m, const char *rid, bool hidden);
/* A PF with total VFs, of which none is enabled. */
struct model_function *model_add_pf(struct model *m, const char *rid, unsigned total,
				    unsigned offset, unsigned stride);
struct model_function *model_find(struct model *m, const char *rid);
/* The normal driver takes what it may of what is there. */
void model_probe_all(struct model *m);
/* Another normal driver registers, "late", and takes what it may, as a module that udev loads. */
void model_register_late(struct model *m);

#endif
