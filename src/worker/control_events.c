/* SPDX-License-Identifier: BSD-3-Clause */
/* What ridged is told without having asked. */
#include "worker/control.h"
#include "worker/export.h"

static struct ipc_header header_of(enum ipc_type type, size_t length)
{
	return (struct ipc_header){
		.magic = IPC_MAGIC,
		.version = IPC_VERSION,
		.type = (uint16_t)type,
		.length = (uint32_t)length,
	};
}

static void send_event(struct control_conn *conn, const struct function *fn, uint16_t flags)
{
	struct {
		struct ipc_header header;
		struct ipc_event event;
	} message = {
		.header = header_of(IPC_EVENT, sizeof(message)),
	};

	function_event(fn, &message.event);
	message.event.flags = flags;
	control_send(conn, &message, sizeof(message), NULL, 0);
}

static void send_pf_event(struct control_conn *conn)
{
	struct {
		struct ipc_header header;
		struct ipc_pf_info info;
	} message = {
		.header = header_of(IPC_PF_EVENT, sizeof(message)),
	};

	worker_pf_info(conn->control->worker, &message.info);
	control_send(conn, &message, sizeof(message), NULL, 0);
}

static void send_want(struct control_conn *conn, uint32_t slot)
{
	struct {
		struct ipc_header header;
		struct ipc_vf_wants wants;
	} message = {
		.header = header_of(IPC_VF_WANTS, sizeof(message)),
		.wants = { .slot = slot },
	};

	control_send(conn, &message, sizeof(message), NULL, 0);
}

/* All that wait, to one that may not have heard of them. */
void control_wants(struct control_conn *conn)
{
	const struct export *ex = conn->control->worker->export;
	uint32_t slot = 0;

	while (ex && (slot = export_wanting(ex, slot)))
		send_want(conn, slot);
}

void control_vf_wants(struct control *control, uint32_t slot)
{
	struct control_conn *conn;

	if (!control)
		return;
	list_for_each (conn, &control->conns, node) {
		if (list_empty(&conn->outgoing))
			send_want(conn, slot);
		else
			conn->behind = true;
	}
}

void control_pf_event(struct control *control)
{
	struct control_conn *conn;

	if (!control)
		return;
	list_for_each (conn, &control->conns, node) {
		if (list_empty(&conn->outgoing))
			send_pf_event(conn);
		else
			conn->behind = true;
	}
}

void control_event(struct control *control, const struct function *fn)
{
	struct control_conn *conn;

	/* One event may wait; more would be without bound if ridged is stopped. */
	list_for_each (conn, &control->conns, node) {
		if (list_empty(&conn->outgoing))
			send_event(conn, fn, 0);
		else
			conn->behind = true;
	}
}

void control_catch_up(struct control_conn *conn)
{
	struct worker *w = conn->control->worker;

	conn->behind = false;
	send_pf_event(conn);
	control_wants(conn);
	for (struct list *n = w->functions.next; n != &w->functions; n = n->next)
		send_event(conn, function_of_node(n), IPC_EVENT_CATCH_UP);
}
