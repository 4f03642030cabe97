/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections from ridged, for control.c and control_events.c. */
#ifndef RIDGE_WORKER_CONTROL_H
#define RIDGE_WORKER_CONTROL_H

#include "worker/worker.h"

struct control_conn {
	struct list node;
	struct control *control;
	int fd;
	struct loop_fd ready;
	struct list requests; /* under way */
	struct list outgoing;
	bool corked; /* replies wait for the end of the turn */
	bool behind; /* events were left out: catch up when outgoing is empty */
	bool ended;  /* nothing more is sent: its reader frees it */
};

struct control {
	struct worker *worker;
	int listen_fd;
	struct loop_fd listen;
	struct loop_timer again;     /* to accept */
	struct loop_work drain_work; /* the PF is up: what waited for that */
	struct list conns;
	struct request *init; /* the PF is coming up: everything else waits */
};

/* Sends, or keeps for later, in order. */
void control_send(struct control_conn *conn, const void *message, size_t len, const int *fds,
		  size_t nfds);

/* control_events.c */
/* Events were left out, and there is room now. */
void control_catch_up(struct control_conn *conn);
/* All VFs that wait for an image, to one that may not have heard of them. */
void control_wants(struct control_conn *conn);

#endif
