/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "worker/export.h"
#include "worker/sandbox.h"

/* How long the process waits for I/O in flight before it ends all the same. */
#define STOP_WAIT_MS 2000

struct function *worker_find(struct worker *w, const char *name)
{
	struct name_node *node = names_find(&w->names, name);

	return node ? function_of_name(node) : NULL;
}

void worker_commit(struct worker *w, uint64_t batch)
{
	for (struct list *n = w->functions.next; n != &w->functions; n = n->next)
		function_commit(function_of_node(n), batch);
}

static void owner_ready(void *ctx, int result)
{
	struct worker *w = ctx;

	w->pf_ready(w, result);
}

static int make_switch(struct worker *w, int *uplink)
{
	int err = net_switch_new(w->loop, &w->net_switch);

	if (!err && *uplink >= 0) {
		err = net_switch_uplink(w->net_switch, *uplink);
		if (!err)
			*uplink = -1;
	}
	return err;
}

int worker_pf_init(struct worker *w, const struct ipc_pf_init *init, int backend, int uplink,
		   void (*ready)(struct worker *w, int result))
{
	struct pf_params params = {
		.name = init->name,
		.type = device_type_find(init->type),
		.total_vfs = init->total_vfs,
		.loop = w->loop,
		.rid = WORKER_PF_RID,
		.backend = -1,
	};
	fd_auto int uplink_fd = uplink;
	fd_auto int backend_fd = backend;
	int err;

	if (!params.type || (uplink >= 0 && strcmp(init->type, "net")) ||
	    (backend >= 0 && strcmp(init->type, "blk")))
		return -EINVAL;
	memcpy(params.mac, init->mac, sizeof(params.mac));
	w->vf_mac_key = init->vf_mac_key;
	w->vf_size = init->vf_size;
	snprintf(w->name, sizeof(w->name), "%s", init->name);
	snprintf(w->spec, sizeof(w->spec), "%s", init->spec);
	w->total_vfs = init->total_vfs;
	w->pf_ready = ready;
	if (params.type->uses_files) {
		err = uring_new(w->loop, &w->uring);
		if (err) {
			log_err("io_uring is not available (%s); blk needs it: see sysctl "
				"kernel.io_uring_disabled",
				strerror(-err));
			return err;
		}
	}
	if (!strcmp(init->type, "net")) {
		err = make_switch(w, &uplink_fd);
		if (!err)
			err = net_switch_port(w->net_switch, &params.net_backend);
		if (err)
			return err;
	}
	err = pci_root_new(&w->root);
	if (err)
		return err;
	params.uring = w->uring;
	params.upstream = pci_root_upstream(w->root);
	params.backend = backend_fd;
	err = pf_new(&params, &w->pf);
	if (err)
		return err;
	fd_take(&backend_fd);
	err = pci_root_open(w->root, WORKER_PF_RID, &w->pf_access);
	if (err)
		return err;
	err = owner_new(w->loop, init->name, w->pf_access, owner_ready, w, &w->owner);
	if (!err && w->sandboxed)
		err = sandbox_seal();
	if (!err)
		w->type = params.type;
	return err;
}

void worker_pf_info(const struct worker *w, struct ipc_pf_info *info)
{
	memset(info, 0, sizeof(*info));
	info->pid = getpid();
	if (!w->type)
		return;
	strcpy(info->name, w->name);
	strcpy(info->type, w->type->name);
	info->rid = WORKER_PF_RID;
	info->total_vfs = w->total_vfs;
	info->functions = w->nfunctions;
	for (unsigned int i = 0; i < PF_ADMIN_QUEUES; i++)
		info->admin_commands[i] = pf_admin_commands(w->pf, i);
	info->counters = *pf_counters(w->pf);
	if (w->export)
		export_info(w->export, info);
	strcpy(info->spec, w->spec);
}

void worker_stop(struct worker *w)
{
	loop_stop(w->loop);
}

/* Ends all functions. False if I/O of one does not end. */
static bool end_functions(struct worker *w)
{
	uint64_t until = loop_now_ns() + STOP_WAIT_MS * 1000000ull;
	bool quiet;

	do {
		quiet = !w->export || export_quiesce(w->export);
		for (struct list *n = w->functions.next; n != &w->functions; n = n->next)
			quiet &= function_quiesce(function_of_node(n));
	} while (!quiet && loop_now_ns() < until && loop_step(w->loop, 10) == 0);
	if (quiet && w->export)
		export_end(w->export);
	while (quiet && !list_empty(&w->functions))
		function_free(function_of_node(w->functions.next));
	return quiet;
}

void worker_end(struct worker *w)
{
	/* Requests that wait for a command, such as a function being made, end now. */
	if (w->owner)
		owner_stop(w->owner);
	control_free(w->control);
	w->control = NULL;
	if (!end_functions(w)) {
		log_warn("%s: ends with I/O in flight", w->name);
		_exit(EXIT_SUCCESS);
	}
	owner_free(w->owner);
	pf_free(w->pf);
	pci_root_close(w->pf_access);
	pci_root_free(w->root);
	net_switch_free(w->net_switch);
	names_free(&w->names);
	uring_free(w->uring);
	loop_free(w->loop);
}
