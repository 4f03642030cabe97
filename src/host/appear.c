/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/internal.h"

#define DEVICES "bus/pci/devices"

/* --- VFs --- */

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

static int enable_vfs(struct host *host, struct quiet *quiet, const char *pf, unsigned number)
{
	char text[16];
	int ret = quiet_vfs(host, quiet, pf, number);

	snprintf(text, sizeof(text), "%u", number);
	return ret ? ret : function_write(host, pf, "sriov_numvfs", text);
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

/* Enables the VFs up to the highest that is asked for of the PF of changes[first]. */
static void appear_vfs(struct host *host, struct quiet *quiet, struct host_change *changes,
		       unsigned n, unsigned first, const char *pf, struct host_outcome *outcomes)
{
	unsigned enabled = 0, highest = 0;
	int ret = function_read_number(host, pf, "sriov_numvfs", &enabled);
	bool *wanted = calloc(n, sizeof(*wanted));

	if (!wanted) {
		outcome_fail(&outcomes[first], -ENOMEM, "out of memory");
		return;
	}
	for (unsigned i = first; i < n; i++) {
		struct pf_search s = { .host = host, .vf = changes[i].id };

		wanted[i] = changes[i].absent && !outcomes[i].err && is_pf_of(&s, pf);
		if (wanted[i] && s.number > highest)
			highest = s.number;
	}
	if (!ret && !enabled)
		ret = enable_vfs(host, quiet, pf, highest);
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
			memcpy(changes[i].pf, pf, HOST_RID_MAX);
	}
	free(wanted);
}

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

static void appear_by_rescan(struct host *host, const struct host_change *change,
			     struct host_outcome *outcome)
{
	int ret = rescan(host, &change->id);

	if (function_exists(host, change->rid))
		return;
	if (ret)
		outcome_fail(outcome, ret, "it is not there, and no rescan is possible (%s)%s",
			     strerror(-ret), root_hint(ret));
	else
		outcome_fail(outcome, -ENODEV,
			     "there is no such function, also after a rescan; lspci -D shows what "
			     "there is");
}

void host_appear(struct host *host, struct quiet *quiet, struct host_change *changes, unsigned n,
		 struct host_outcome *outcomes)
{
	char pf[HOST_RID_MAX];

	for (unsigned i = 0; i < n; i++) {
		/* One that the appearance of another has brought is there. */
		if (!changes[i].absent || outcomes[i].err || function_exists(host, changes[i].rid))
			continue;
		if (find_pf(host, &changes[i].id, pf))
			appear_vfs(host, quiet, changes, n, i, pf, outcomes);
		else
			appear_by_rescan(host, &changes[i], &outcomes[i]);
	}
}

/* VFs that adopt enabled go when nobody uses or claims one of them. */

struct vf_search {
	const struct host *host;
	const char *pf;
};

static int is_used_vf(void *arg, const char *name)
{
	const struct vf_search *s = arg;
	char vf[HOST_RID_MAX + HOST_NAME_MAX], text[HOST_NAME_MAX];

	if (strncmp(name, "virtfn", 6))
		return 0;
	snprintf(vf, sizeof(vf), "%s/%.40s", s->pf, name);
	function_driver(s->host, vf, text);
	return text[0] || function_override(s->host, vf, text) || text[0];
}

int host_end_vfs(const struct host *host, const char *pf)
{
	struct vf_search s = { .host = host, .pf = pf };
	char path[HOST_PATH_MAX];

	snprintf(path, sizeof(path), DEVICES "/%s", pf);
	if (host->kernel->each(host->kernel->ctx, path, is_used_vf, &s))
		return 0;
	return function_write(host, pf, "sriov_numvfs", "0");
}

void host_disappear(const struct host *host, struct host_change *changes, unsigned n,
		    struct host_outcome *outcomes)
{
	char pf[HOST_RID_MAX];
	int ret;

	for (unsigned i = 0; i < n; i++) {
		if (!changes[i].pf[0])
			continue;
		memcpy(pf, changes[i].pf, sizeof(pf));
		ret = host_end_vfs(host, pf);
		for (unsigned j = i; j < n; j++) {
			if (strcmp(changes[j].pf, pf))
				continue;
			changes[j].pf[0] = '\0'; /* asked */
			if (ret)
				outcome_add(&outcomes[j], ret,
					    "the VFs of %s cannot be ended (%s)%s", pf,
					    strerror(-ret), root_hint(ret));
		}
	}
}
