/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests become calls of the device model, their results become replies. What takes time leaves
 * the connection busy; at most one request of a connection is under way, so it lives in the
 * connection itself.
 */
#include "vfio_user/internal.h"

#include <linux/kvm.h>
#include <string.h>

static uint8_t *reply_payload(struct connection *conn)
{
	return connection_reply(conn) + sizeof(struct vfio_user_header);
}

static int do_version(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_user_version v = { .major = VFIO_USER_MAJOR, .minor = req->version.minor };
	uint8_t *out = reply_payload(conn);
	int len;

	len = vfio_user_caps_reply(&req->version.caps, (char *)out + sizeof(v));
	if (len < 0)
		return len;
	memcpy(out, &v, sizeof(v));
	conn->negotiated = true;
	vfio_user_caps_terms(&req->version.caps, &conn->terms);
	loop_timer_cancel(&conn->timer);
	connection_reply_done(conn, req, sizeof(v) + (size_t)len);
	return 0;
}

static int do_dma_map(struct connection *conn, const struct vfio_user_request *req, int fd)
{
	int err;

	if (conn->maps >= conn->terms.max_dma_maps)
		return -ENOSPC;
	err = vfio_device_dma_map(conn->srv->vdev, req->map.iova, req->map.size, fd,
				  req->map.offset, req->map.prot);
	if (err)
		return err;
	conn->maps++;
	connection_reply_done(conn, req, 0);
	return 0;
}

static void unmap_reply(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_user_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = req->unmap.all ? VFIO_DMA_UNMAP_FLAG_ALL : 0,
		.address = req->unmap.iova,
		.size = req->unmap.size,
	};

	conn->maps = req->unmap.all ? 0 : conn->maps - 1;
	memcpy(reply_payload(conn), &unmap, sizeof(unmap));
	connection_reply_done(conn, req, sizeof(unmap));
}

static int do_get_info(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	struct vfio_user_device_info out;

	vfio_device_info(conn->srv->vdev, &info);
	out = (struct vfio_user_device_info){
		.argsz = sizeof(out),
		.flags = info.flags & (VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI),
		.num_regions = info.num_regions,
		.num_irqs = info.num_irqs,
	};
	memcpy(reply_payload(conn), &out, sizeof(out));
	connection_reply_done(conn, req, sizeof(out));
	return 0;
}

static int do_get_region_info(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = req->info.index };
	struct vfio_user_region_info out;
	int err;

	err = vfio_device_region_info(conn->srv->vdev, req->info.index, &info);
	if (err)
		return err;
	/* No descriptor goes with the reply, so nothing can be mapped. */
	out = (struct vfio_user_region_info){
		.argsz = sizeof(out),
		.flags = info.flags & (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE),
		.index = req->info.index,
		.size = info.size,
	};
	memcpy(reply_payload(conn), &out, sizeof(out));
	connection_reply_done(conn, req, sizeof(out));
	return 0;
}

static int do_get_region_io_fds(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_user_io_fds out = { .argsz = sizeof(out), .index = req->info.index };
	uint8_t *subs = reply_payload(conn) + sizeof(out);
	struct vfio_io_fd io[VFIO_USER_MAX_IO_FDS];
	int fds[VFIO_USER_MAX_MSG_FDS];
	size_t count, nfds;
	int err;

	if (!connection_takes_fds(conn))
		return -EBUSY;
	err = vfio_device_io_fds(conn->srv->vdev, req->info.index, conn->terms.max_msg_fds, io,
				 VFIO_USER_MAX_IO_FDS, &count, fds, &nfds);
	if (err)
		return err;
	out.count = (uint32_t)count;
	out.argsz += (uint32_t)(count * sizeof(struct vfio_user_io_fd));
	memcpy(reply_payload(conn), &out, sizeof(out));
	if (out.argsz > req->info.argsz || !count) {
		/* There is nothing, or it does not fit: argsz says how much it would be. */
		connection_reply_done(conn, req, sizeof(out));
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		struct vfio_user_io_fd sub = {
			.offset = io[i].offset,
			.size = io[i].size,
			.fd_index = io[i].fd_index,
			.type = VFIO_USER_IO_FD_TYPE_IOEVENTFD,
			.flags = (io[i].match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u) |
				 (io[i].pio ? KVM_IOEVENTFD_FLAG_PIO : 0u),
			.datamatch = io[i].value,
		};

		memcpy(subs + i * sizeof(sub), &sub, sizeof(sub));
	}
	connection_reply_fds(conn, req, fds, nfds);
	connection_reply_done(conn, req, out.argsz);
	return 0;
}

static int do_get_irq_info(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = req->info.index };
	struct vfio_user_irq_info out;
	int err;

	err = vfio_device_irq_info(conn->srv->vdev, req->info.index, &info);
	if (err)
		return err;
	out = (struct vfio_user_irq_info){
		.argsz = sizeof(out),
		.flags = info.flags,
		.index = req->info.index,
		.count = info.count,
	};
	memcpy(reply_payload(conn), &out, sizeof(out));
	connection_reply_done(conn, req, sizeof(out));
	return 0;
}

static int do_set_irqs(struct connection *conn, const struct vfio_user_request *req, int *fds,
		       size_t nfds)
{
	struct vfio_irqs irqs = {
		.flags = req->irqs.flags,
		.index = req->irqs.index,
		.start = req->irqs.start,
		.count = req->irqs.count,
		.bools = req->irqs.bools,
		.fds = fds,
		.nfds = nfds,
	};
	int err = vfio_device_set_irqs(conn->srv->vdev, &irqs);

	if (!err)
		connection_reply_done(conn, req, 0);
	return err;
}

static void access_reply(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_user_region_access out = {
		.offset = req->access.offset,
		.region = req->access.region,
		.count = req->access.count,
	};
	bool read = req->command == VFIO_USER_REGION_READ;

	/* The data of a read is already behind it. */
	memcpy(reply_payload(conn), &out, sizeof(out));
	connection_reply_done(conn, req, sizeof(out) + (read ? req->access.count : 0));
}

/* A write that failed ends the message: the reply says how many were done before it. */
static int multi_reply(struct connection *conn, const struct vfio_user_request *req, int result)
{
	struct vfio_user_write_multi out = { .wr_cnt = conn->multi_done };

	if (result && !conn->multi_done)
		return result;
	memcpy(reply_payload(conn), &out, sizeof(out));
	connection_reply_done(conn, req, sizeof(out));
	return 0;
}

/* To what may take time and ended so. Returns 0, or the errno that is still to be replied. */
static int reply(struct connection *conn, const struct vfio_user_request *req, int result)
{
	if (req->command == VFIO_USER_REGION_WRITE_MULTI)
		return multi_reply(conn, req, result);
	if (result)
		return result;
	if (req->command == VFIO_USER_DMA_UNMAP)
		unmap_reply(conn, req);
	else if (req->command == VFIO_USER_DEVICE_RESET)
		connection_reply_done(conn, req, 0);
	else
		access_reply(conn, req);
	return 0;
}

/* The request at hand is finished: 0 or a negative errno. */
static void complete(struct connection *conn, int result)
{
	const struct vfio_user_request *req = &conn->req;

	loop_timer_cancel(&conn->timer);
	conn->reading = false;
	if (result == -ETIMEDOUT) {
		/* What should have stopped did not: its user must not go on as if it had. */
		server_drop(conn->srv, LOG_WARNING, "the device did not finish in time");
		return;
	}
	result = reply(conn, req, result);
	if (result)
		connection_reply_error(conn, req, result);
	connection_resume(conn);
}

/* QEMU gives up on a connection after 5 s without a reply; we do so before, and say why. */
static void request_timeout(struct loop_timer *timer)
{
	struct connection *conn = container_of(timer, struct connection, timer);

	server_drop(conn->srv, LOG_WARNING,
		    conn->req.command == VFIO_USER_DMA_UNMAP
			    ? "I/O into memory to be unmapped did not end in time"
		    : conn->req.command == VFIO_USER_DEVICE_RESET
			    ? "I/O did not end in time for a reset"
			    : "a region access did not end in time");
}

static void request_timer(struct connection *conn)
{
	loop_timer_set(conn->srv->loop, &conn->timer, VFIO_USER_IO_WAIT_MS, request_timeout);
}

static void access_done(struct vfio_access *access, int result)
{
	complete(container_of(access, struct connection, access), result);
}

static void wait_done(struct vfio_wait *wait, int result)
{
	complete(container_of(wait, struct connection, wait), result);
}

static int do_access(struct connection *conn, const struct vfio_user_request *req)
{
	bool write = req->command == VFIO_USER_REGION_WRITE;
	int err;

	if (req->access.count > conn->terms.max_xfer)
		return -EINVAL;
	conn->access = (struct vfio_access){
		.region = req->access.region,
		.write = write,
		.count = req->access.count,
		.offset = req->access.offset,
		.data = write ? (uint8_t *)req->access.data
			      : reply_payload(conn) + sizeof(struct vfio_user_region_access),
		.done = access_done,
	};
	conn->reading = !write;
	err = vfio_device_access(conn->srv->vdev, &conn->access);
	conn->reading = !write && err == -EINPROGRESS;
	return err;
}

static void multi_step_done(struct vfio_access *access, int result);
static void multi_continue(struct loop_work *work);

/* Does what is left, one turn's worth of it: the message may have thousands of writes. */
static int multi_run(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_user_write write;
	struct loop_turn turn;
	int err;

	loop_turn_begin(&turn);
	for (; conn->multi_done < req->multi.count; conn->multi_done++) {
		if (loop_turn_over(&turn, 1)) {
			loop_work_again(conn->srv->loop, &conn->multi_work, multi_continue);
			return -EINPROGRESS;
		}
		vfio_user_decode_write(req, conn->multi_done, &write);
		conn->access = (struct vfio_access){
			.region = write.region,
			.write = true,
			.count = write.count,
			.offset = write.offset,
			.data = (uint8_t *)write.data,
			.done = multi_step_done,
		};
		err = vfio_device_access(conn->srv->vdev, &conn->access);
		if (err || !connection_open(conn))
			return err;
	}
	return 0;
}

static void multi_go_on(struct connection *conn)
{
	bool open;
	int err;

	connection_enter(conn);
	err = multi_run(conn, &conn->req);
	open = connection_open(conn);
	connection_leave(conn);
	if (open && err != -EINPROGRESS)
		complete(conn, err);
}

static void multi_continue(struct loop_work *work)
{
	multi_go_on(container_of(work, struct connection, multi_work));
}

static void multi_step_done(struct vfio_access *access, int result)
{
	struct connection *conn = container_of(access, struct connection, access);

	if (result) {
		complete(conn, result);
		return;
	}
	/* Each write has as long as one that comes alone. */
	request_timer(conn);
	/* Not from here: this is the device's callback. */
	conn->multi_done++;
	loop_work_queue(conn->srv->loop, &conn->multi_work, multi_continue);
}

static int do_write_multi(struct connection *conn, const struct vfio_user_request *req)
{
	conn->multi_done = 0;
	return conn->terms.write_multiple ? multi_run(conn, req) : -ENOTSUP;
}

static int do_wait(struct connection *conn, const struct vfio_user_request *req)
{
	struct vfio_device *vdev = conn->srv->vdev;

	conn->wait.done = wait_done;
	if (req->command == VFIO_USER_DMA_UNMAP && req->unmap.all)
		return vfio_device_dma_unmap_all(vdev, &conn->wait);
	if (req->command == VFIO_USER_DMA_UNMAP)
		return vfio_device_dma_unmap(vdev, req->unmap.iova, req->unmap.size, &conn->wait);
	return vfio_device_reset(vdev, &conn->wait);
}

/* What may take time. */
static int start(struct connection *conn, const struct vfio_user_request *req)
{
	switch (req->command) {
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		return do_access(conn, req);
	case VFIO_USER_REGION_WRITE_MULTI:
		return do_write_multi(conn, req);
	default:
		return do_wait(conn, req);
	}
}

static int dispatch_command(struct connection *conn, const struct vfio_user_request *req, int *fds,
			    size_t nfds)
{
	int err;

	switch (req->command) {
	case VFIO_USER_VERSION:
		return do_version(conn, req);
	case VFIO_USER_DMA_MAP:
		return do_dma_map(conn, req, nfds ? fds[0] : -1);
	case VFIO_USER_DEVICE_GET_INFO:
		return do_get_info(conn, req);
	case VFIO_USER_DEVICE_GET_REGION_INFO:
		return do_get_region_info(conn, req);
	case VFIO_USER_DEVICE_GET_REGION_IO_FDS:
		return do_get_region_io_fds(conn, req);
	case VFIO_USER_DEVICE_GET_IRQ_INFO:
		return do_get_irq_info(conn, req);
	case VFIO_USER_DEVICE_SET_IRQS:
		return do_set_irqs(conn, req, fds, nfds);
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
	case VFIO_USER_REGION_WRITE_MULTI:
	case VFIO_USER_DMA_UNMAP:
	case VFIO_USER_DEVICE_RESET:
		err = start(conn, req);
		return err == -EINPROGRESS || !connection_open(conn) ? err : reply(conn, req, err);
	case VFIO_USER_DEVICE_FEATURE:
		return vfio_device_feature_probe(conn->srv->vdev, req->feature.index,
						 req->feature.methods);
	default: /* migration data, of a function that cannot be migrated */
		return -ENOTSUP;
	}
}

int dispatch_request(struct connection *conn, const struct vfio_user_request *req, int *fds,
		     size_t nfds, const char **why)
{
	int err;

	if (req->command == VFIO_USER_VERSION && conn->negotiated) {
		*why = "VERSION a second time";
		return -EINVAL;
	}
	err = dispatch_command(conn, req, fds, nfds);
	if (err == -EINPROGRESS) {
		conn->req = *req;
		conn->busy = true;
		request_timer(conn);
	}
	return err;
}
