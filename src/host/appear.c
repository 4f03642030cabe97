/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/internal.h"

#define DEVICES "bus/pci/devices"

/* A switch that is turned off for a while. */
struct held {
	char path[HOST_PATH_MAX];
	char was[8];
};

static int switch_off(struct host *host, struct held *held)
{
	int ret = host->kernel->read(host->kernel->ctx, held->path, held->was, sizeof(held->was));

	return ret ? ret : host->kernel->write(host->kernel->ctx, held->path, "0");
}

static void switch_back(struct host *host, const struct held *held)
{
	host->kernel->write(host->kernel->ctx, held->path, held->was);
}

/* Functions that were not there before */

struct names {
	char (*name)[HOST_RID_MAX];
	unsigned n, room;
};

static int add_name(void *arg, const char *name)
{
	struct names *names = arg;
	void *more;

	if (names->n == names->room) {
		more = realloc(names->name, (names->room * 2 + 64) * sizeof(*names->name));
		if (!more)
			return -ENOMEM;
		names->name = more;
		names->room = names->room * 2 + 64;
	}
	snprintf(names->name[names->n++], HOST_RID_MAX, "%s", name);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool has_name(const struct names *names, const char *name)
{
	return names->n && bsearch(name, names->name, names->n, HOST_RID_MAX, compare_names);
}

/*
 * While nobody is to probe what appears: the bus has its switch off, and who else appears meanwhile
 * is probed at the end, unless it is a VF of pf.
 */
struct quiet {
	struct held autoprobe;
	struct names before;
};

static int quiet_begin(struct host *host, struct quiet *quiet)
{
	int ret = host->kernel->each(host->kernel->ctx, DEVICES, add_name, &quiet->before);

	snprintf(quiet->autoprobe.path, sizeof(quiet->autoprobe.path), "bus/pci/drivers_autoprobe");
	if (!ret)
		ret = switch_off(host, &quiet->autoprobe);
	if (ret)
		free(quiet->before.name);
	else if (quiet->before.n)
		qsort(quiet->before.name, quiet->before.n, HOST_RID_MAX, compare_names);
	return ret;
}

static bool is_vf_of(struct host *host, const char *rid, const char *pf)
{
	char path[HOST_PATH_MAX], physfn[HOST_RID_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s/physfn", rid);
	return pf && !host->kernel->target(host->kernel->ctx, path, physfn, sizeof(physfn)) &&
	       !strcmp(physfn, pf);
}

static void quiet_end(struct host *host, struct quiet *quiet, const struct names *asked,
		      const char *pf)
{
	const struct host_kernel *kernel = host->kernel;
	struct names after = { 0 };

	switch_back(host, &quiet->autoprobe);
	if (strcmp(quiet->autoprobe.was, "0") != 0)
		kernel->each(kernel->ctx, DEVICES, add_name, &after);
	for (unsigned i = 0; i < after.n; i++)
		if (!has_name(&quiet->before, after.name[i]) && !has_name(asked, after.name[i]) &&
		    !is_vf_of(host, after.name[i], pf))
			kernel->write(kernel->ctx, "bus/pci/drivers_probe", after.name[i]);
	free(after.name);
	free(quiet->before.name);
}

/* VFs */

struct pf_search {
	struct host *host;
	struct host_rid vf;
	char pf[HOST_RID_MAX];
	unsigned number; /* of the VF, from 1 */
};

/* PCI Express 9.3.3: the routing id of VF n is the PF's + first offset + (n - 1) * stride. */
static int is_pf_of(void *arg, const char *name)
{
	struct pf_search *s = arg;
	unsigned total, offset, stride, first, vf = (unsigned)s->vf.bus << 8 | s->vf.devfn;
	struct host_rid pf;

	if (host_rid_parse(name, &pf) || pf.domain != s->vf.domain ||
	    function_read_number(s->host, name, "sriov_totalvfs", &total) || !total ||
	    function_read_number(s->host, name, "sriov_offset", &offset) ||
	    function_read_number(s->host, name, "sriov_stride", &stride))
		return 0;
	first = ((unsigned)pf.bus << 8 | pf.devfn) + offset;
	if (vf < first ||
	    (stride ? (vf - first) % stride || (vf - first) / stride >= total : vf != first))
		return 0;
	snprintf(s->pf, sizeof(s->pf), "%s", name);
	s->number = stride ? (vf - first) / stride + 1 : 1;
	return 1;
}

static bool find_pf(struct host *host, const struct host_rid *vf, char pf[HOST_RID_MAX])
{
	struct pf_search s = { .host = host, .vf = *vf };

	if (host->kernel->each(host->kernel->ctx, DEVICES, is_pf_of, &s) != 1)
		return false;
	memcpy(pf, s.pf, HOST_RID_MAX);
	return true;
}

/*
 * Both switches: with the PF's alone, the driver core still takes each VF to its normal driver, and
 * the PCI bus then refuses.
 */
static int enable_vfs(struct host *host, const char *pf, unsigned number)
{
	static const struct names nobody;
	struct held autoprobe;
	struct quiet quiet = { 0 };
	char text[16];
	int ret;

	snprintf(autoprobe.path, sizeof(autoprobe.path), DEVICES "/%s/sriov_drivers_autoprobe", pf);
	snprintf(text, sizeof(text), "%u", number);
	ret = quiet_begin(host, &quiet);
	if (ret)
		return ret;
	ret = switch_off(host, &autoprobe);
	if (!ret) {
		ret = function_write(host, pf, "sriov_numvfs", text);
		switch_back(host, &autoprobe);
	}
	quiet_end(host, &quiet, &nobody, pf);
	return ret;
}

/* What the errno of a store to sriov_numvfs says more than its name does. */
static const char *vfs_hint(int err)
{
	switch (-err) {
	case ENOENT:
		return "its driver has no SR-IOV; bind the PF to one that has, such as pci-pf-stub";
	case EACCES:
	case EPERM:
		return "run as root";
	default:
		return "dmesg may say more";
	}
}

/* Enables the VFs up to the highest that is asked for of the PF of rids[first]. */
static void appear_vfs(struct host *host, const struct host_rid *rids, unsigned n, unsigned first,
		       const char *pf, char (*pfs)[HOST_RID_MAX], struct host_outcome *outcomes)
{
	unsigned enabled = 0, highest = 0;
	int ret = function_read_number(host, pf, "sriov_numvfs", &enabled);
	bool *wanted = calloc(n, sizeof(*wanted));
	char rid[HOST_RID_MAX];

	if (!wanted) {
		outcome_fail(&outcomes[first], -ENOMEM, "out of memory");
		return;
	}
	for (unsigned i = first; i < n; i++) {
		struct pf_search s = { .host = host, .vf = rids[i] };

		host_rid_print(&rids[i], rid);
		wanted[i] = !outcomes[i].err && is_pf_of(&s, pf) && !function_exists(host, rid);
		if (wanted[i] && s.number > highest)
			highest = s.number;
	}
	if (!ret && !enabled)
		ret = enable_vfs(host, pf, highest);
	for (unsigned i = first; i < n; i++) {
		if (!wanted[i])
			continue;
		if (ret)
			outcome_fail(&outcomes[i], ret, "%u VFs of %s cannot be enabled (%s); %s",
				     highest, pf, strerror(-ret), vfs_hint(ret));
		else if (enabled)
			outcome_fail(&outcomes[i], -ENODEV,
				     "it is a VF of %s, which has %u enabled, and Linux changes "
				     "their number from 0 alone; enable more at once",
				     pf, enabled);
		else
			memcpy(pfs[i], pf, HOST_RID_MAX);
	}
	free(wanted);
}

/* Everything else */

/* The bus that a function would be on, or all of them where there is no such bus. */
static int rescan(struct host *host, const struct host_rid *rid)
{
	const struct host_kernel *kernel = host->kernel;
	char path[HOST_PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), "class/pci_bus/%04x:%02x/rescan", rid->domain, rid->bus);
	ret = kernel->write(kernel->ctx, path, "1");
	return ret == -ENOENT ? kernel->write(kernel->ctx, "bus/pci/rescan", "1") : ret;
}

static int rescan_unprobed(struct host *host, const struct host_rid *rids, unsigned n,
			   const struct names *asked)
{
	struct quiet quiet = { 0 };
	char rid[HOST_RID_MAX];
	int ret = quiet_begin(host, &quiet);

	if (ret)
		return ret;
	for (unsigned i = 0; !ret && i < n; i++) {
		host_rid_print(&rids[i], rid);
		if (has_name(asked, rid) && !function_exists(host, rid))
			ret = rescan(host, &rids[i]);
	}
	quiet_end(host, &quiet, asked, NULL);
	return ret;
}

static void appear_by_rescan(struct host *host, const struct host_rid *rids, unsigned n,
			     struct names *asked, struct host_outcome *outcomes)
{
	char rid[HOST_RID_MAX];
	int ret;

	qsort(asked->name, asked->n, HOST_RID_MAX, compare_names);
	ret = rescan_unprobed(host, rids, n, asked);
	for (unsigned i = 0; i < n; i++) {
		host_rid_print(&rids[i], rid);
		if (!has_name(asked, rid) || function_exists(host, rid))
			continue;
		if (ret)
			outcome_fail(&outcomes[i], ret,
				     "it is not there, and no rescan is "
				     "possible (%s)%s",
				     strerror(-ret),
				     ret == -EACCES || ret == -EPERM ? "; run as root" : "");
		else
			outcome_fail(&outcomes[i], -ENODEV,
				     "there is no such function, also after a rescan; lspci -D "
				     "shows what there is");
	}
}

void host_appear(struct host *host, const struct host_rid *rids, unsigned n,
		 char (*pfs)[HOST_RID_MAX], struct host_outcome *outcomes)
{
	char rid[HOST_RID_MAX], pf[HOST_RID_MAX];
	struct names asked = { 0 };

	for (unsigned i = 0; i < n; i++) {
		host_rid_print(&rids[i], rid);
		if (outcomes[i].err || function_exists(host, rid))
			continue;
		if (find_pf(host, &rids[i], pf))
			appear_vfs(host, rids, n, i, pf, pfs, outcomes);
		else if (add_name(&asked, rid))
			outcome_fail(&outcomes[i], -ENOMEM, "out of memory");
	}
	if (asked.n)
		appear_by_rescan(host, rids, n, &asked, outcomes);
	free(asked.name);
}
