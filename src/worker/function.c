/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "worker/export.h"
#include "worker/function.h"

#define HEADER_MULTI_FUNCTION 0x80 /* PCI 3.0, 6.2.1 */

const char *function_name(const struct function *fn)
{
	return fn->name;
}

uint64_t function_number(const struct function *fn)
{
	return fn->number;
}

struct function *function_of_node(struct list *node)
{
	return container_of(node, struct function, node);
}

struct function *function_of_name(struct name_node *node)
{
	return container_of(node, struct function, by_name);
}

void function_commit(struct function *fn, uint64_t batch)
{
	if (fn->batch == batch)
		fn->batch = 0;
}

/* --- what it is --- */

size_t function_fds(const struct function *fn, int fds[3])
{
	size_t n = 0;

	fds[n++] = fn->state_fd;
	if (fn->listen_fd >= 0)
		fds[n++] = fn->listen_fd;
	if (fn->backend_fd >= 0)
		fds[n++] = fn->backend_fd;
	return n;
}

static uint16_t function_state(const struct function *fn)
{
	switch (fn->server ? vfio_user_server_state(fn->server) : VFIO_USER_LISTENING) {
	case VFIO_USER_CONNECTED:
		return fn->vf.dev->stopped ? IPC_STATE_FAULTED : IPC_STATE_CONNECTED;
	case VFIO_USER_DRAINING:
		return IPC_STATE_DRAINING;
	default:
		return IPC_STATE_IDLE;
	}
}

void function_info(const struct function *fn, struct ipc_function_info *info)
{
	memset(info, 0, offsetof(struct ipc_function_info, spec));
	strcpy(info->name, fn->name);
	strcpy(info->type, fn->worker->type->name);
	strcpy(info->driver, fn->driver->name);
	info->slot = fn->slot;
	info->rid = fn->vf.fn.rid;
	info->state = function_state(fn);
	info->fds = IPC_FD_STATE | (fn->listen_fd >= 0 ? IPC_FD_LISTEN : 0) |
		    (fn->backend_fd >= 0 ? IPC_FD_BACKEND : 0);
	if (fn->server)
		info->peer_pid = vfio_user_server_peer(fn->server);
	if (info->state == IPC_STATE_FAULTED && fn->vf.dev->stop_reason)
		strncpy(info->text, fn->vf.dev->stop_reason, sizeof(info->text) - 1);
	info->batch = fn->batch;
	info->counters = fn->mem->counters;
	strcpy(info->spec, fn->spec);
}

void function_event(const struct function *fn, struct ipc_event *event)
{
	memset(event, 0, sizeof(*event));
	strcpy(event->name, fn->name);
	event->state = function_state(fn);
	if (fn->server)
		event->peer_pid = vfio_user_server_peer(fn->server);
	if (event->state == IPC_STATE_FAULTED && fn->vf.dev->stop_reason)
		strncpy(event->text, fn->vf.dev->stop_reason, sizeof(event->text) - 1);
}

void function_changed(void *ctx)
{
	struct function *fn = ctx;

	if (fn->worker->control)
		control_event(fn->worker->control, fn);
}

void function_reply(struct function *fn)
{
	struct request *req = fn->req;
	struct ipc_function_info info;

	fn->req = NULL;
	function_info(fn, &info);
	request_done(req, &info, IPC_SPEC_BODY(&info));
}

int function_keep_spec(struct function *fn, const char *spec)
{
	char *copy = strdup(spec);

	if (!copy)
		return -ENOMEM;
	free(fn->spec);
	fn->spec = copy;
	return 0;
}

/* --- putting it together --- */

static int map_memory(struct function *fn)
{
	struct function_memory *mem;

	if (ftruncate(fn->state_fd, sizeof(*mem)) < 0)
		return -errno;
	mem = mmap(NULL, sizeof(*mem), PROT_READ | PROT_WRITE, MAP_SHARED, fn->state_fd, 0);
	if (mem == MAP_FAILED)
		return -errno;
	mem->magic = FUNCTION_MEMORY_MAGIC;
	mem->version = FUNCTION_MEMORY_VERSION;
	mem->size = sizeof(*mem);
	fn->mem = mem;
	return 0;
}

/* What the device is attached to: a file of its own, a TAP, or a port of the PF's switch. */
static int make_backend(struct function *fn, struct device_params *params)
{
	struct worker *w = fn->worker;
	int fd = -1, err = 0;

	if (fn->backend_fd >= 0) {
		fd = fcntl(fn->backend_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
	}
	if (!w->net_switch) {
		params->backend = fd;
		return 0;
	}
	if (fd < 0)
		return net_switch_port(w->net_switch, &params->net_backend);
	err = tap_new(w->loop, fd, &params->net_backend);
	if (err)
		close(fd);
	return err;
}

static int make_device(struct function *fn, const struct ipc_function_create *c)
{
	struct worker *w = fn->worker;
	struct device_params params = {
		.name = fn->name,
		.loop = w->loop,
		.uring = w->uring,
		.counters = &fn->mem->counters,
		.state = &fn->mem->device.virtio,
		.queues = c->queues,
		.queue_size = c->queue_size,
		.readonly = c->flags & IPC_FUNCTION_READONLY,
		.direct = c->flags & IPC_FUNCTION_DIRECT,
		.packed = c->flags & IPC_FUNCTION_PACKED,
		.type_state = fn->mem->type_state,
		.trust = c->flags & IPC_FUNCTION_TRUST,
		.mtu = c->mtu,
		.backend = -1,
	};
	int rid = fn->dynamic ? export_dynamic_rid(w->export) : pf_vf_rid(w->pf, fn->slot);
	struct virtio_device *dev;
	int err;

	if (rid < 0)
		return rid;
	memcpy(params.serial, c->serial, sizeof(params.serial) - 1);
	memcpy(params.mac, c->mac, sizeof(params.mac));
	err = make_backend(fn, &params);
	if (err)
		return err;
	err = w->type->create(w->type, &params, &dev);
	if (err) {
		fd_close(&params.backend);
		if (params.net_backend)
			params.net_backend->ops->destroy(params.net_backend);
		return err;
	}
	dev->on_stop = function_changed;
	dev->on_stop_ctx = fn;
	err = virtio_pci_init(
		&fn->vf, dev, w->export ? export_upstream(w->export) : pci_root_upstream(w->root),
		&fn->mem->device.pci, (uint16_t)rid, !fn->dynamic, w->type->class_code);
	if (err)
		virtio_device_destroy(dev);
	else if (w->net_switch && (c->flags & IPC_FUNCTION_LINK_DOWN))
		net_set_link(dev, false);
	return err;
}

int function_plug_dynamic(struct function *fn)
{
	struct pci_function *vf = &fn->vf.fn;
	int err;

	if (!fn->dynamic || fn->pulled_out)
		return 0;
	vf->upstream = export_upstream(fn->worker->export);
	err = vf->upstream->ops->appeared(vf->upstream, vf);
	fn->plugged = !err;
	return err;
}

void function_unplug_dynamic(struct function *fn)
{
	struct pci_function *vf = &fn->vf.fn;

	if (!fn->dynamic || !fn->plugged)
		return;
	vf->upstream->ops->gone(vf->upstream, vf);
	vf->upstream = pci_root_upstream(fn->worker->root);
	fn->plugged = false;
}

static int plug(struct function *fn)
{
	struct worker *w = fn->worker;
	int err;

	if (fn->dynamic) {
		/* A host that looks for functions looks at all eight of the device. */
		fn->vf.fn.state->config[PCI_HEADER_TYPE] |= HEADER_MULTI_FUNCTION;
		pci_function_seal(&fn->vf.fn);
		return function_plug_dynamic(fn);
	}
	err = pci_root_open(w->root, pf_vf_rid(w->pf, fn->slot), &fn->pa);
	if (err)
		return err;
	err = pf_add_member(w->pf, fn->slot, &fn->vf);
	if (!err)
		fn->plugged = true;
	return err;
}

/* Undoes as much as was done. Nothing may be in flight. */
void function_free(struct function *fn)
{
	struct worker *w = fn->worker;

	loop_timer_cancel(&fn->drain_timer);
	if (fn->probe.cancel)
		fn->probe.cancel(&fn->probe);
	loop_work_cancel(&fn->destroy_work);
	pci_reset_cancel(&fn->flr);
	vfio_user_server_free(fn->server);
	if (fn->vdev)
		fn->driver->remove(fn->vdev);
	if (fn->dynamic)
		function_unplug_dynamic(fn);
	else if (fn->plugged)
		pf_remove_member(w->pf, fn->slot);
	if (fn->vf.dev)
		virtio_pci_destroy(&fn->vf);
	pci_root_close(fn->pa);
	if (fn->mem)
		munmap(fn->mem, sizeof(*fn->mem));
	fd_close(&fn->new_listen_fd);
	fd_close(&fn->listen_fd);
	fd_close(&fn->backend_fd);
	fd_close(&fn->state_fd);
	list_del(&fn->node);
	names_del(&w->names, &fn->by_name);
	w->slots[fn->slot / 64] &= ~(1ull << (fn->slot % 64));
	w->nfunctions--;
	free(fn->spec);
	free(fn);
}

/* --- create --- */

static void created(struct probe_wait *wait, int result, struct vfio_device *vdev, const char *why)
{
	struct function *fn = container_of(wait, struct function, probe);
	struct request *req = fn->req;

	fn->vdev = vdev;
	if (!result) {
		result = function_serve(fn);
		why = "the socket can't be served";
	}
	if (!result) {
		function_reply(fn);
		return;
	}
	request_failed(req, result, "create %s: driver %s: %s (%s)", fn->name, fn->driver->name,
		       why, strerror(-result));
	function_free(fn);
}

/* The lowest slot that is free, or 0. A slot is taken until its function was freed. */
static uint32_t free_slot(const struct worker *w)
{
	for (uint32_t slot = 0; slot <= w->total_vfs; slot += 64) {
		/* There is no slot 0. */
		uint64_t taken = w->slots[slot / 64] | (slot ? 0 : 1);

		if (taken != UINT64_MAX) {
			slot += (uint32_t)__builtin_ctzll(~taken);
			return slot <= w->total_vfs ? slot : 0;
		}
	}
	return 0;
}

static bool slot_taken(const struct worker *w, uint32_t slot)
{
	return w->slots[slot / 64] >> (slot % 64) & 1;
}

/* A descriptor for each bit that says there is one. */
static int take_fds(struct function *fn, uint32_t fds, struct request *req)
{
	if (fds & IPC_FD_STATE)
		fn->state_fd = request_take_fd(req);
	if (fds & IPC_FD_LISTEN)
		fn->listen_fd = request_take_fd(req);
	if (fds & IPC_FD_BACKEND)
		fn->backend_fd = request_take_fd(req);
	return fn->state_fd >= 0 && (fn->listen_fd >= 0) == !!(fds & IPC_FD_LISTEN) &&
			       (fn->backend_fd >= 0) == !!(fds & IPC_FD_BACKEND)
		       ? 0
		       : -EBADMSG;
}

static const char *build_error(int err)
{
	switch (err) {
	case -ENODATA:
		return "the image has no whole block";
	case -EINVAL:
		return "queues, queue_size or the image are not possible for this type";
	case -EBUSY:
		return "the slot is taken";
	case -ENOMEM:
		return "out of memory";
	case -EMFILE:
		return "its PF process has too few descriptors left for one more (up to 4 each); "
		       "raise ridged's limit of open files, or give another PF";
	default:
		return strerror(-err);
	}
}

static struct function *function_new(struct worker *w, const struct ipc_function_create *c,
				     struct request *req)
{
	struct function *fn = calloc(1, sizeof(*fn));

	if (!fn)
		return NULL;
	fn->worker = w;
	fn->state_fd = -1;
	fn->backend_fd = -1;
	fn->listen_fd = -1;
	fn->new_listen_fd = -1;
	fn->req = req;
	memcpy(fn->name, c->name, sizeof(fn->name) - 1);
	if (function_keep_spec(fn, c->spec) || names_add(&w->names, &fn->by_name, fn->name)) {
		free(fn->spec);
		free(fn);
		return NULL;
	}
	fn->number = ++w->made;
	fn->batch = c->batch;
	fn->legacy_only = c->flags & IPC_FUNCTION_LEGACY_ONLY;
	fn->dynamic = w->export && !c->slot;
	fn->slot = fn->dynamic || c->slot ? c->slot : free_slot(w);
	if (!fn->dynamic)
		w->slots[fn->slot / 64] |= 1ull << (fn->slot % 64);
	list_add_tail(&w->functions, &fn->node);
	w->nfunctions++;
	return fn;
}

/* Whether there is such a slot, and nobody has it; if not, the request ended. */
static bool slot_possible(const struct worker *w, const struct ipc_function_create *c,
			  struct request *req)
{
	if (c->slot > w->total_vfs)
		request_failed(req, -EINVAL,
			       "create %s: PF %s has no slot %u; give one from 1 to %u, or none",
			       c->name, w->name, c->slot, w->total_vfs);
	else if (c->slot && slot_taken(w, c->slot))
		request_failed(req, -ENOSPC,
			       "create %s: slot %u of PF %s is not free; give another, or none",
			       c->name, c->slot, w->name);
	else if (!c->slot && !free_slot(w))
		request_failed(req, -ENOSPC,
			       "create %s: PF %s has all its %u slots in use; give another PF",
			       c->name, w->name, w->total_vfs);
	else
		return true;
	return false;
}

void function_create(struct worker *w, struct request *req)
{
	const struct ipc_function_create *c = request_body(req);
	const struct function_driver *driver = function_driver_find(c->driver);
	bool dynamic = w->export && !c->slot;
	struct function *fn;
	int err;

	if (worker_find(w, c->name)) {
		request_failed(req, -EEXIST, "create %s: the PF has a function of this name",
			       c->name);
		return;
	}
	if (!driver) {
		request_failed(req, -EINVAL,
			       "create %s: no driver %s; there are vfio-pci, virtio-vfio-pci, none",
			       c->name, c->driver);
		return;
	}
	if (!w->owner && (!w->export || !export_serving(w->export) || driver->serves_vfio)) {
		request_failed(req, -EBUSY, "create %s: PF %s is %s", c->name, w->name,
			       !w->export                  ? "without an admin queue"
			       : export_serving(w->export) ? "exported; give driver=none, or "
							     "unexport it first"
							   : "about to be local or exported; try "
							     "again");
		return;
	}
	if (!dynamic && !slot_possible(w, c, req))
		return;
	fn = function_new(w, c, req);
	if (!fn) {
		request_failed(req, -ENOMEM, "create %s: out of memory", c->name);
		return;
	}
	err = take_fds(fn, c->fds, req);
	/* The kernel gives the lowest number that is free. */
	if (!err && (rlim_t)fn->state_fd + WORKER_DESCRIPTORS_SPARE >= w->descriptors_max)
		err = -EMFILE;
	if (!err && driver->serves_vfio && fn->listen_fd < 0)
		err = -EBADMSG;
	if (!err)
		err = map_memory(fn);
	if (!err)
		err = make_device(fn, c);
	if (!err)
		err = plug(fn);
	if (err) {
		request_failed(req, err, "create %s: %s", fn->name, build_error(err));
		function_free(fn);
		return;
	}
	function_attach(fn, driver, created);
}

/* --- destroy --- */

bool function_refuse_busy(struct function *fn, struct request *req, const char *verb)
{
	bool ended = fn->pulled_out && strcmp(verb, "destroy");

	if (!fn->req && !fn->probe.cancel && !ended)
		return false;
	request_failed(req, -EBUSY, "%s %s: %s", verb, fn->name,
		       ended ? "it was pulled out to be destroyed; destroy it again"
			     : "another request for it is under way; try again");
	return true;
}

static void destroy_finish(struct loop_work *work)
{
	struct function *fn = container_of(work, struct function, destroy_work);
	struct request *req = fn->req;

	fn->req = NULL;
	function_free(fn);
	request_done(req, NULL, 0);
}

/* The device calls this from the end of its last request: it has to return to it first. */
static void destroyed(struct vfio_wait *wait, int result)
{
	struct function *fn = container_of(wait, struct function, drained);

	(void)result;
	loop_timer_cancel(&fn->drain_timer);
	loop_work_queue(fn->worker->loop, &fn->destroy_work, destroy_finish);
}

/* Its server, or its reset, goes on waiting by itself; who asked does not. */
static void drain_timeout(struct loop_timer *timer)
{
	struct function *fn = container_of(timer, struct function, drain_timer);
	struct request *req = fn->req;

	fn->req = NULL;
	fn->destroying = false;
	if (fn->server)
		vfio_user_server_disconnect(fn->server, NULL, NULL);
	pci_reset_cancel(&fn->flr);
	request_failed(req, -ETIMEDOUT,
		       "destroy %s: its VMM is disconnected, but I/O of its backend has not ended "
		       "after %d ms; try again when it has",
		       fn->name, FUNCTION_DRAIN_MS);
}

static void was_reset(struct pci_reset *reset)
{
	destroyed(&container_of(reset, struct function, flr)->drained, 0);
}

/* A Linux host has it: it is pulled out, and does nothing more. */
static int pull_out(struct function *fn)
{
	if (fn->dynamic)
		function_unplug_dynamic(fn);
	else if (fn->plugged)
		pf_remove_member(fn->worker->pf, fn->slot);
	fn->vf.fn.upstream = pci_root_upstream(fn->worker->root);
	fn->plugged = false;
	fn->pulled_out = true;
	fn->flr.done = was_reset;
	return pci_function_reset(&fn->vf.fn, &fn->flr);
}

static bool host_uses(const struct function *fn)
{
	return fn->worker->export && export_attached(fn->worker->export) && fn->plugged &&
	       (fn->vf.dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK);
}

void function_destroy(struct function *fn, struct request *req)
{
	const struct ipc_function_destroy *d = request_body(req);
	int err = 0;

	if (function_refuse_busy(fn, req, "destroy"))
		return;
	if (fn->server && vfio_user_server_state(fn->server) == VFIO_USER_CONNECTED &&
	    !(d->flags & IPC_DESTROY_FORCE)) {
		request_failed(
			req, -EBUSY,
			"destroy %s: a VMM (pid %d) is using it; stop the VMM or use --force",
			fn->name, (int)vfio_user_server_peer(fn->server));
		return;
	}
	if (host_uses(fn) && !(d->flags & IPC_DESTROY_FORCE)) {
		request_failed(req, -EBUSY,
			       "destroy %s: a driver of the Linux host is using it; unbind that "
			       "or use --force",
			       fn->name);
		return;
	}
	fn->req = req;
	fn->destroying = true;
	fn->drained.done = destroyed;
	if (fn->worker->export)
		err = pull_out(fn);
	else if (fn->server)
		err = vfio_user_server_disconnect(fn->server, "the function is destroyed",
						  &fn->drained);
	if (err == -EINPROGRESS)
		loop_timer_set(fn->worker->loop, &fn->drain_timer, FUNCTION_DRAIN_MS,
			       drain_timeout);
	else
		destroyed(&fn->drained, 0);
}

bool function_quiesce(struct function *fn)
{
	if (fn->server)
		vfio_user_server_disconnect(fn->server, "the PF ends",
					    fn->destroying ? &fn->drained : NULL);
	return !fn->req && !fn->vf.dev->in_flight;
}

#ifdef RIDGE_FAULTS
int function_fault(struct function *fn, uint32_t kind, uint32_t value)
{
	if (kind != IPC_FAULT_BACKEND_HANG || strcmp(fn->worker->type->name, "blk"))
		return -EOPNOTSUPP;
	blk_fault_hang(fn->vf.dev, value);
	return 0;
}
#endif
