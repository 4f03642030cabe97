/* SPDX-License-Identifier: BSD-3-Clause */
/* What a function is attached to, and what of it can be changed while it exists. */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "worker/function.h"

/* --- attaching a driver --- */

void function_attach(struct function *fn, const struct function_driver *driver,
		     void (*done)(struct probe_wait *, int, struct vfio_device *, const char *))
{
	struct worker *w = fn->worker;
	struct function_host host = {
		.name = fn->name,
		.loop = w->loop,
		.pa = fn->pa,
		.channel = w->owner ? owner_channel(w->owner) : NULL,
		.vfs = w->owner ? owner_vfs(w->owner) : NULL,
		.member_id = fn->slot,
		.counters = &fn->mem->counters,
		.state = &fn->mem->host,
		.legacy_only = fn->legacy_only,
	};

	memset(&fn->mem->host, 0, sizeof(fn->mem->host));
	fn->driver = driver;
	fn->vdev = NULL;
	fn->probe.done = done;
	fn->probe.cancel = NULL;
	driver->probe(&host, &fn->probe);
}

int function_serve(struct function *fn)
{
	int err;

	if (!fn->vdev)
		return 0;
	err = vfio_user_server_new(fn->worker->loop, fn->name, fn->listen_fd, fn->vdev,
				   &fn->mem->counters, &fn->server);
	if (!err)
		vfio_user_server_watch(fn->server, function_changed, fn);
	return err;
}

void function_detach(struct function *fn)
{
	vfio_user_server_free(fn->server);
	fn->server = NULL;
	if (fn->vdev)
		fn->driver->remove(fn->vdev);
	fn->vdev = NULL;
}

/* --- bind --- */

static void rolled_back(struct probe_wait *wait, int result, struct vfio_device *vdev,
			const char *why)
{
	struct function *fn = container_of(wait, struct function, probe);

	fn->vdev = vdev;
	if (!result)
		result = function_serve(fn);
	if (result) {
		log_err("%s: driver %s does not come back: %s", fn->name, fn->driver->name,
			why ? why : strerror(-result));
		function_detach(fn);
		fn->driver = function_driver_find("none");
	}
}

static void bound(struct probe_wait *wait, int result, struct vfio_device *vdev, const char *why)
{
	struct function *fn = container_of(wait, struct function, probe);
	const struct function_driver *driver = fn->driver;
	struct request *req = fn->req;

	fn->vdev = vdev;
	if (!result) {
		if (fn->new_listen_fd >= 0)
			fn->listen_fd = fd_take(&fn->new_listen_fd);
		result = function_serve(fn);
		why = "the socket can't be served";
	}
	if (!result) {
		const struct ipc_function_bind *b = request_body(req);

		if (!driver->serves_vfio)
			fd_close(&fn->listen_fd);
		if (function_keep_spec(fn, b->spec))
			log_err("%s: out of memory: its parameters stay as they were", fn->name);
		function_reply(fn);
		return;
	}
	function_detach(fn);
	fd_close(&fn->new_listen_fd);
	if (!fn->old_driver->serves_vfio)
		fd_close(&fn->listen_fd);
	fn->req = NULL;
	request_failed(req, result, "bind %s %s: %s (%s); it stays with %s", fn->name, driver->name,
		       why, strerror(-result), fn->old_driver->name);
	function_attach(fn, fn->old_driver, rolled_back);
}

void function_bind(struct function *fn, struct request *req)
{
	const struct ipc_function_bind *b = request_body(req);
	const struct function_driver *driver = function_driver_find(b->driver);

	if (function_refuse_busy(fn, req, "bind"))
		return;
	if (!driver) {
		request_failed(req, -EINVAL,
			       "bind %s: no driver %s; there are vfio-pci, virtio-vfio-pci, none",
			       fn->name, b->driver);
		return;
	}
	if (fn->server && vfio_user_server_state(fn->server) != VFIO_USER_LISTENING) {
		if (vfio_user_server_state(fn->server) == VFIO_USER_DRAINING)
			request_failed(
				req, -EBUSY,
				"bind %s: its last VMM is gone, but I/O of its backend has not "
				"ended; try again when it has",
				fn->name);
		else
			request_failed(req, -EBUSY,
				       "bind %s: a VMM (pid %d) is using it; stop the VMM first",
				       fn->name, (int)vfio_user_server_peer(fn->server));
		return;
	}
	if (driver->serves_vfio && (fn->dynamic || !fn->worker->owner)) {
		request_failed(req, -EBUSY, "bind %s %s: %s", fn->name, b->driver,
			       fn->dynamic ? "it has a RID of the exported domain and no slot; "
					     "destroy it, and create it while its PF is local"
					   : "its PF is exported; unexport that first");
		return;
	}
	fn->req = req;
	if (driver == fn->driver) {
		function_reply(fn);
		return;
	}
	if (b->fds & IPC_FD_LISTEN)
		fn->new_listen_fd = request_take_fd(req);
	if (driver->serves_vfio && fn->listen_fd < 0 && fn->new_listen_fd < 0) {
		fn->req = NULL;
		request_failed(req, -EBADMSG, "bind %s %s: no socket came with it", fn->name,
			       b->driver);
		return;
	}
	fn->old_driver = fn->driver;
	function_detach(fn);
	function_attach(fn, driver, bound);
}

/* --- set --- */

static int set_value(struct function *fn, const struct ipc_function_set *s)
{
	switch (s->what) {
	case IPC_SET_LINK:
		if (!fn->worker->net_switch)
			return -EOPNOTSUPP;
		net_set_link(fn->vf.dev, s->value);
		return 0;
	case IPC_SET_SIZE:
		if (strcmp(fn->worker->type->name, "blk"))
			return -EOPNOTSUPP;
		return blk_resize(fn->vf.dev, s->value);
	default:
		return -EOPNOTSUPP;
	}
}

void function_set(struct function *fn, struct request *req)
{
	const struct ipc_function_set *s = request_body(req);
	int err;

	if (function_refuse_busy(fn, req, "set"))
		return;
	err = set_value(fn, s);
	if (err) {
		request_failed(req, err, "set %s: %s", fn->name,
			       err == -EOPNOTSUPP ? "its type has nothing like that"
			       : err == -ENOSPC   ? "the image is smaller than that; grow it first"
			       : err == -EINVAL   ? "a disk does not shrink while it is in use"
						  : strerror(-err));
		return;
	}
	if (function_keep_spec(fn, s->spec))
		log_err("%s: out of memory: its parameters stay as they were", fn->name);
	fn->req = req;
	function_reply(fn);
}
