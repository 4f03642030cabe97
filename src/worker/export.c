/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "worker/function.h"

enum export_phase { EXPORT_LEAVING, EXPORT_SERVING, EXPORT_RETURNING };

struct export
{
	struct worker *w;
	enum export_phase phase;
	struct request *req; /* that waits for the next phase's end, or NULL */
	int listen_fd;
	struct domain *domain;
	struct vfio_user_server *server;
	struct counters counters; /* of the domain */
	bool was_attached;
	struct pci_reset reset;
	struct loop_work step; /* what callbacks from deep inside leave to the loop */
	struct vfio_wait drained;
	struct vfs *vfs;
};

bool export_serving(const struct export *ex)
{
	return ex->phase == EXPORT_SERVING;
}

bool export_attached(const struct export *ex)
{
	return ex->server && vfio_user_server_state(ex->server) != VFIO_USER_LISTENING;
}

void export_info(const struct export *ex, struct ipc_pf_info *info)
{
	info->exported = ex->phase == EXPORT_SERVING;
	if (ex->server)
		info->peer_pid = vfio_user_server_peer(ex->server);
	for (size_t i = 0; i < COUNTER_COUNT; i++)
		info->counters.value[i] +=
			ex->counters.value[i] + (ex->vfs ? vfs_counters(ex->vfs)->value[i] : 0);
}

struct pci_upstream *export_upstream(const struct export *ex)
{
	return domain_upstream(ex->domain);
}

int export_dynamic_rid(const struct export *ex)
{
	return domain_dynamic_rid(ex->domain);
}

static void reply_info(struct worker *w, struct request *req)
{
	struct ipc_pf_info info;

	worker_pf_info(w, &info);
	request_done(req, &info, sizeof(info));
}

/* --- what the domain asks for --- */

static struct pci_function *find(void *ctx, uint16_t rid)
{
	struct export *ex = ctx;

	return pf_find_vf(ex->w->pf, rid);
}

static bool busy(void *ctx)
{
	struct export *ex = ctx;

	return pf_stopping(ex->w->pf);
}

/* Of one that was pulled out, and whose I/O has not ended. */
static bool reserved(void *ctx, uint16_t rid)
{
	struct export *ex = ctx;
	struct function *fn;

	list_for_each (fn, &ex->w->functions, node)
		if (fn->dynamic && fn->vf.fn.rid == rid)
			return true;
	return false;
}

static int message(void *ctx, uint64_t address, uint32_t data)
{
	struct export *ex = ctx;

	return ex->server ? vfio_user_server_message(ex->server, address, data) : -ENOTCONN;
}

static void room(void *ctx)
{
	struct export *ex = ctx;

	domain_room(ex->domain);
}

void export_vfs_stopped(struct export *ex)
{
	if (ex->domain)
		domain_settled(ex->domain);
	else
		loop_work_queue(ex->w->loop, &ex->step, ex->step.fn);
}

uint32_t export_wanting(const struct export *ex, uint32_t after)
{
	return ex->vfs ? vfs_wanting(ex->vfs, after) : 0;
}

void export_vf_backend(struct worker *w, struct request *req)
{
	const struct ipc_vf_backend *b = request_body(req);
	int fd = b->fds & IPC_FD_BACKEND ? request_take_fd(req) : -1;

	if (fd < 0)
		log_err("%s: no image for VF %u: its requests fail until it is reset", w->name,
			b->slot);
	/* One that was disabled meanwhile does not want it any more. */
	if (!w->export || !w->export->vfs ||
	    !vfs_attach(w->export->vfs, b->slot,
			fd >= 0    ? fd
			: b->error ? b->error
				   : -EIO))
		fd_close(&fd);
	request_done(req, NULL, 0);
}

/* --- from exported to local --- */

static void export_free(struct export *ex)
{
	loop_work_cancel(&ex->step);
	pci_reset_cancel(&ex->reset);
	fd_close(&ex->listen_fd);
	free(ex);
}

/* Nothing is in flight, and VF Enable is clear. */
static void leave_domain(struct export *ex)
{
	struct worker *w = ex->w;
	struct function *fn;

	vfio_user_server_free(ex->server);
	ex->server = NULL;
	fd_close(&ex->listen_fd);
	list_for_each (fn, &w->functions, node)
		function_unplug_dynamic(fn);
	vfs_free(ex->vfs);
	ex->vfs = NULL;
	if (ex->domain)
		pf_move(w->pf, pci_root_upstream(w->root));
	domain_free(ex->domain);
	ex->domain = NULL;
}

static void came_back(void *ctx, int result)
{
	struct export *ex = ctx;
	struct worker *w = ex->w;
	struct request *req = ex->req;

	w->export = NULL;
	if (result)
		log_err("%s: is local, but its admin queue does not work: %s", w->name,
			strerror(-result));
	else
		log_info("%s: is local again", w->name);
	export_free(ex);
	if (req)
		reply_info(w, req);
	control_pf_event(w->control);
}

static void return_to_local(struct export *ex)
{
	struct worker *w = ex->w;
	int err;

	ex->phase = EXPORT_RETURNING;
	leave_domain(ex);
	err = pci_root_open(w->root, WORKER_PF_RID, &w->pf_access);
	if (!err)
		err = owner_new(w->loop, w->name, w->pf_access, came_back, ex, &w->owner);
	if (err)
		came_back(ex, err);
}

static void detached_step(struct loop_work *work)
{
	struct export *ex = container_of(work, struct export, step);

	if (vfio_user_server_state(ex->server) == VFIO_USER_LISTENING)
		return_to_local(ex);
}

/* The server's state is another. It must not be freed from here. */
static void changed(void *ctx)
{
	struct export *ex = ctx;

	if (vfio_user_server_state(ex->server) == VFIO_USER_CONNECTED)
		ex->was_attached = true;
	else if (ex->was_attached && vfio_user_server_state(ex->server) == VFIO_USER_LISTENING)
		loop_work_queue(ex->w->loop, &ex->step, detached_step);
	control_pf_event(ex->w->control);
}

void export_stop(struct worker *w, struct request *req)
{
	const struct ipc_pf_unexport *u = request_body(req);
	struct export *ex = w->export;

	if (!ex) {
		reply_info(w, req);
		return;
	}
	if (ex->req || ex->phase != EXPORT_SERVING) {
		request_failed(req, -EBUSY,
			       "unexport %s: another request for it is under way; try again",
			       w->name);
		return;
	}
	if (vfio_user_server_state(ex->server) == VFIO_USER_CONNECTED &&
	    !(u->flags & IPC_UNEXPORT_FORCE)) {
		request_failed(req, -EBUSY,
			       "unexport %s: a VMM (pid %d) is using it; stop the VMM or use "
			       "--force",
			       w->name, (int)vfio_user_server_peer(ex->server));
		return;
	}
	ex->req = req;
	ex->was_attached = true;
	if (!vfio_user_server_disconnect(ex->server, "the PF is not exported any more", NULL))
		loop_work_queue(w->loop, &ex->step, detached_step);
}

/* --- from local to exported --- */

static void fail(struct export *ex, int err, const char *what)
{
	struct worker *w = ex->w;
	struct request *req = ex->req;

	ex->req = NULL;
	request_failed(req, err, "export %s: %s (%s)", w->name, what, strerror(-err));
	return_to_local(ex);
}

/* PF, VFs with two BARs each, and dynamic functions. */
static uint64_t window_size(const struct worker *w)
{
	uint64_t each = VIRTIO_PCI_BAR_SIZE + pci_msix_bar_size(PCI_MSIX_MAX);

	return (w->total_vfs + 1ull + DOMAIN_DYNAMIC_MAX) * each;
}

static int make_domain(struct export *ex)
{
	struct worker *w = ex->w;
	struct domain_params params = {
		.loop = w->loop,
		.iommu = pci_root_iommu(w->root),
		.last_rid = pf_vf_rid(w->pf, w->total_vfs),
		.window = window_size(w),
		.counters = &ex->counters,
		.find = find,
		.busy = busy,
		.reserved = reserved,
		.message = message,
		.ctx = ex,
	};

	return domain_new(&params, &ex->domain);
}

static int serve(struct export *ex)
{
	struct worker *w = ex->w;
	struct function *fn;
	int err = vfs_new(w, &ex->vfs);

	if (!err)
		err = pf_move(w->pf, domain_upstream(ex->domain));
	list_for_each (fn, &w->functions, node)
		if (!err)
			err = function_plug_dynamic(fn);
	if (!err)
		err = vfio_user_server_new(w->loop, w->name, ex->listen_fd,
					   domain_device(ex->domain), &ex->counters, &ex->server);
	return err;
}

static void left_local(struct loop_work *work)
{
	struct export *ex = container_of(work, struct export, step);
	struct worker *w = ex->w;
	struct request *req = ex->req;
	int err;

	if (pf_stopping(w->pf) || ex->phase != EXPORT_LEAVING)
		return;
	pci_root_close(w->pf_access);
	w->pf_access = NULL;
	err = make_domain(ex);
	if (!err)
		err = serve(ex);
	if (err) {
		fail(ex, err, "the domain can't be made");
		return;
	}
	vfio_user_server_watch(ex->server, changed, ex);
	vfio_user_server_watch_room(ex->server, room, ex);
	ex->phase = EXPORT_SERVING;
	ex->req = NULL;
	log_info("%s: is exported", w->name);
	reply_info(w, req);
	control_pf_event(w->control);
}

static void pf_was_reset(struct pci_reset *reset)
{
	struct export *ex = container_of(reset, struct export, reset);

	loop_work_queue(ex->w->loop, &ex->step, left_local);
}

/* A function that somebody has a driver for, or that is being changed. NULL if none is. */
static const char *in_the_way(struct worker *w, const struct function **which)
{
	struct function *fn;

	list_for_each (fn, &w->functions, node) {
		*which = fn;
		if (fn->req || fn->probe.cancel)
			return "is being changed; try again";
		if (fn->driver->serves_vfio)
			return "has a driver; bind it to none, or destroy it";
	}
	return NULL;
}

void export_start(struct worker *w, struct request *req)
{
	int listen_fd = request_take_fd(req);
	const struct function *which;
	struct export *ex;
	const char *why;

	if (w->export || listen_fd < 0) {
		fd_close(&listen_fd);
		request_failed(req, listen_fd < 0 ? -EBADMSG : -EBUSY, "export %s: %s", w->name,
			       w->export ? "it is exported, or about to be local again"
					 : "no socket came with it");
		return;
	}
	why = in_the_way(w, &which);
	ex = why ? NULL : calloc(1, sizeof(*ex));
	if (!ex) {
		fd_close(&listen_fd);
		if (why)
			request_failed(req, -EBUSY, "export %s: function %s %s", w->name,
				       which->name, why);
		else
			request_failed(req, -ENOMEM, "export %s: out of memory", w->name);
		return;
	}
	ex->w = w;
	ex->req = req;
	ex->listen_fd = listen_fd;
	ex->reset.done = pf_was_reset;
	ex->step.fn = left_local;
	w->export = ex;
	owner_free(w->owner);
	w->owner = NULL;
	if (w->pf_access->ops->reset(w->pf_access, &ex->reset) == 0)
		pf_was_reset(&ex->reset);
}

/* --- the end of the process --- */

bool export_quiesce(struct export *ex)
{
	if (ex->server)
		vfio_user_server_disconnect(ex->server, "the PF ends", NULL);
	return ex->phase == EXPORT_SERVING
		       ? vfio_user_server_state(ex->server) == VFIO_USER_LISTENING
		       : true;
}

void export_end(struct export *ex)
{
	leave_domain(ex);
	ex->w->export = NULL;
	export_free(ex);
}
