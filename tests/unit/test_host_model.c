/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_host_model.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICES "bus/pci/devices/"

/* The first two take any function by its ids; the others only what names them. */
static const char *const drivers[] = { "normal", "late", "vfio-pci", "virtio_vfio_pci",
				       "pci-stub" };
#define N_DRIVERS (sizeof(drivers) / sizeof(drivers[0]))

static bool takes_any(const char *driver)
{
	return !strcmp(driver, drivers[0]) || !strcmp(driver, drivers[1]);
}

static bool has_driver(const struct model *m, const char *name)
{
	if (!strcmp(name, "late"))
		return m->late;
	for (unsigned i = 0; i < N_DRIVERS; i++)
		if (!strcmp(drivers[i], name))
			return !m->no_driver || strcmp(m->no_driver, name);
	return false;
}

struct model_function *model_find(struct model *m, const char *rid)
{
	for (unsigned i = 0; i < m->n; i++)
		if (!strcmp(m->function[i].rid, rid))
			return &m->function[i];
	return NULL;
}

struct model_function *model_add(struct model *m, const char *rid, bool hidden)
{
	struct model_function *f = &m->function[m->n++];

	snprintf(f->rid, sizeof(f->rid), "%s", rid);
	f->present = !hidden;
	f->hidden = hidden;
	return f;
}

struct model_function *model_add_pf(struct model *m, const char *rid, unsigned total,
				    unsigned offset, unsigned stride)
{
	struct model_function *pf = model_add(m, rid, false);
	struct host_rid parsed;
	char text[HOST_RID_MAX];

	pf->total = total;
	pf->offset = offset;
	pf->stride = stride;
	for (unsigned i = 0; i < total; i++) {
		unsigned routing;

		host_rid_parse(rid, &parsed);
		routing = ((unsigned)parsed.bus << 8 | parsed.devfn) + offset + i * stride;
		parsed.bus = (uint8_t)(routing >> 8);
		parsed.devfn = (uint8_t)routing;
		host_rid_print(&parsed, text);
		model_add(m, text, false)->present = false;
		m->function[m->n - 1].pf = pf;
	}
	return pf;
}

static int attach(struct model *m, struct model_function *f, const char *driver)
{
	if (f->override[0] ? strcmp(f->override, driver) : !takes_any(driver))
		return -ENODEV;
	if (f->driver[0])
		return -EBUSY;
	if (f->override[0]) {
		f->named_probes++;
		if (m->refusal)
			return m->refusal;
	} else {
		f->probes++;
	}
	snprintf(f->driver, sizeof(f->driver), "%s", driver);
	return 0;
}

/* What device_attach() does for one function. */
static void probe(struct model *m, struct model_function *f)
{
	if (f->pf && !strcmp(m->sriov_autoprobe, "0") && !f->override[0])
		f->probes++; /* the driver core tries, and the bus refuses */
	else if (!f->driver[0])
		attach(m, f, f->override[0] ? f->override : "normal");
}

void model_probe_all(struct model *m)
{
	for (unsigned i = 0; i < m->n; i++)
		if (m->function[i].present)
			probe(m, &m->function[i]);
}

/* What driver_attach() does when a driver registers. */
void model_register_late(struct model *m)
{
	m->late = true;
	for (unsigned i = 0; strcmp(m->autoprobe, "0") && i < m->n; i++) {
		struct model_function *f = &m->function[i];

		if (f->present && !(f->pf && !strcmp(m->sriov_autoprobe, "0")))
			attach(m, f, "late");
	}
}

static void appear(struct model *m, struct model_function *f)
{
	f->present = true;
	f->hidden = false;
	f->override[0] = f->driver[0] = '\0';
	if (m->before_6_19 || strcmp(m->autoprobe, "0"))
		probe(m, f);
}

static int set_numvfs(struct model *m, struct model_function *pf, unsigned numvfs)
{
	unsigned i = 0;

	for (unsigned j = 0; j < m->n && numvfs; j++) /* somebody else's hotplug, just now */
		if (m->function[j].hidden)
			appear(m, &m->function[j]);
	if (numvfs > pf->total)
		return -ERANGE;
	if (!numvfs && m->vfs_stay)
		return -EBUSY;
	if (numvfs && pf->numvfs)
		return -EBUSY;
	for (unsigned j = 0; j < m->n; j++) {
		struct model_function *f = &m->function[j];

		if (f->pf != pf)
			continue;
		if (numvfs && i < numvfs)
			appear(m, f);
		else
			f->present = false;
		i++;
	}
	pf->numvfs = numvfs;
	return 0;
}

/* Splits "bus/pci/devices/RID[/virtfnN]/attribute"; NULL if there is no such function. */
static struct model_function *function_of(struct model *m, const char *path, const char **attribute)
{
	struct model_function *f;
	char rid[HOST_RID_MAX];
	unsigned number;
	size_t len;
	int end;

	if (strncmp(path, DEVICES, strlen(DEVICES)))
		return NULL;
	path += strlen(DEVICES);
	len = strcspn(path, "/");
	snprintf(rid, sizeof(rid), "%.*s", (int)len, path);
	*attribute = path + len + (path[len] == '/');
	f = model_find(m, rid);
	if (f && f->total && sscanf(*attribute, "virtfn%u%n", &number, &end) == 1 &&
	    (*attribute)[end] == '/') {
		*attribute += end + 1;
		f += 1 + number;
	}
	return f;
}

static int model_read(void *ctx, const char *path, char *text, size_t size)
{
	struct model *m = ctx;
	const char *attribute;
	struct model_function *f = function_of(m, path, &attribute);

	if (!strcmp(path, "bus/pci/drivers_autoprobe"))
		snprintf(text, size, "%s", m->autoprobe);
	else if (!f || !f->present)
		return -ENOENT;
	else if (!strcmp(attribute, "vendor"))
		snprintf(text, size, "0x1af4");
	else if (!strcmp(attribute, "driver_override"))
		snprintf(text, size, "%s", f->override[0] ? f->override : "(null)");
	else if (!f->total)
		return -ENOENT;
	else if (!strcmp(attribute, "sriov_totalvfs"))
		snprintf(text, size, "%u", f->total);
	else if (!strcmp(attribute, "sriov_numvfs"))
		snprintf(text, size, "%u", f->numvfs);
	else if (!strcmp(attribute, "sriov_offset"))
		snprintf(text, size, "%u", f->offset);
	else if (!strcmp(attribute, "sriov_stride"))
		snprintf(text, size, "%u", f->stride);
	else if (!strcmp(attribute, "sriov_drivers_autoprobe"))
		snprintf(text, size, "%s", m->sriov_autoprobe);
	else
		return -ENOENT;
	return 0;
}

static int write_function(struct model *m, struct model_function *f, const char *attribute,
			  const char *text)
{
	if (!f->present)
		return -ENOENT;
	if (!strcmp(attribute, "driver_override")) {
		snprintf(f->override, sizeof(f->override), "%s", text);
		f->override[strcspn(f->override, "\n")] = '\0';
		return 0;
	}
	if (!strcmp(attribute, "driver/unbind") && f->driver[0]) {
		f->driver[0] = '\0';
		return 0;
	}
	if (!strcmp(attribute, "sriov_numvfs") && f->total)
		return set_numvfs(m, f, (unsigned)atoi(text));
	if (!strcmp(attribute, "sriov_drivers_autoprobe") && f->total) {
		snprintf(m->sriov_autoprobe, sizeof(m->sriov_autoprobe), "%s", text);
		return 0;
	}
	return -ENOENT;
}

static int store(struct model *m, const char *path, const char *text)
{
	const char *attribute;
	struct model_function *f = function_of(m, path, &attribute);
	char driver[HOST_NAME_MAX];

	if (f)
		return write_function(m, f, attribute, text);
	if (!strcmp(path, "bus/pci/drivers_autoprobe")) {
		if (m->autoprobe_stuck && !strcmp(text, "1"))
			return -EIO;
		snprintf(m->autoprobe, sizeof(m->autoprobe), "%s", text);
		return 0;
	}
	if (!strcmp(path, "bus/pci/drivers_probe")) {
		probe(m, model_find(m, text));
		return 0;
	}
	if (!strncmp(path, "class/pci_bus/0000:00/", 22) || !strcmp(path, "bus/pci/rescan")) {
		for (unsigned i = 0; i < m->n; i++)
			if (m->function[i].hidden)
				appear(m, &m->function[i]);
		return 0;
	}
	if (sscanf(path, "bus/pci/drivers/%63[^/]/bind", driver) == 1 && has_driver(m, driver)) {
		f = model_find(m, text);
		return f && f->present ? attach(m, f, driver) : -ENODEV;
	}
	return -ENOENT;
}

static int model_write(void *ctx, const char *path, const char *text)
{
	struct model *m = ctx;
	int ret;

	if (++m->stores == m->kill_at)
		kill(getpid(), SIGKILL);
	ret = m->write_error ? m->write_error : store(m, path, text);
	if (!ret && m->stored)
		m->stored(m, path, text);
	return ret;
}

static int model_target(void *ctx, const char *path, char *name, size_t size)
{
	struct model *m = ctx;
	const char *attribute;
	struct model_function *f = function_of(m, path, &attribute);

	if (f && f->pf && !strcmp(attribute, "physfn"))
		return snprintf(name, size, "%s", f->pf->rid) < (int)size ? 0 : -ENAMETOOLONG;
	else if (!f || strcmp(attribute, "driver") != 0)
		return -ENOENT;
	if (!f->present || !f->driver[0])
		return -ENOENT;
	snprintf(name, size, "%s", f->driver);
	return 0;
}

static int model_each(void *ctx, const char *path, int (*fn)(void *arg, const char *name),
		      void *arg)
{
	struct model *m = ctx;
	const char *attribute;
	struct model_function *f = function_of(m, path, &attribute);
	char name[24], driver[HOST_NAME_MAX];
	int ret = 0;

	if (!strcmp(path, "bus/pci/devices")) {
		for (unsigned i = 0; !ret && i < m->n; i++)
			if (m->function[i].present)
				ret = fn(arg, m->function[i].rid);
		return ret;
	}
	if (!strcmp(path, "bus/pci/drivers")) {
		for (unsigned i = 0; !ret && i < N_DRIVERS; i++)
			if (has_driver(m, drivers[i]))
				ret = fn(arg, drivers[i]);
		return ret;
	}
	if (sscanf(path, "bus/pci/drivers/%63s", driver) == 1)
		return has_driver(m, driver) ? fn(arg, "bind") : -ENOENT;
	if (!f || !f->present)
		return -ENOENT;
	ret = fn(arg, "config");
	for (unsigned i = 0; !ret && i < f->numvfs; i++) {
		snprintf(name, sizeof(name), "virtfn%u", i);
		ret = fn(arg, name);
	}
	return ret;
}

static pid_t model_user(void *ctx, const char *rid)
{
	const struct model *m = ctx;

	(void)rid;
	return m->user;
}

static int model_lock(void *ctx)
{
	(void)ctx;
	return open("/dev/null", O_WRONLY | O_CLOEXEC);
}

void model_init(struct model *m)
{
	memset(m, 0, sizeof(*m));
	snprintf(m->autoprobe, sizeof(m->autoprobe), "1");
	snprintf(m->sriov_autoprobe, sizeof(m->sriov_autoprobe), "1");
	m->kernel = (struct host_kernel){
		.read = model_read,
		.write = model_write,
		.target = model_target,
		.each = model_each,
		.user = model_user,
		.lock = model_lock,
		.ctx = m,
	};
}
