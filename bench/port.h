/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a load generator's frames go out and come in: a ridge net function, driven as a guest's
 * driver would, or a TAP. Polled: no interrupts.
 */
#ifndef RIDGE_BENCH_PORT_H
#define RIDGE_BENCH_PORT_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct port;

struct port_ops {
	/* Sends as many of n copies of the frame as there is room for; returns how many. */
	unsigned int (*send)(struct port *port, const struct virtio_net_hdr *hdr, const void *frame,
			     size_t len, unsigned int n);
	/* Takes what has arrived; returns frames, and adds their bytes to *bytes. */
	unsigned int (*receive)(struct port *port, uint64_t *bytes);
	void (*close)(struct port *port);
};

struct port {
	const struct port_ops *ops;
};

/* A function's vfio-user socket. 0 or a negative errno. */
int port_open_function(const char *socket, struct port **port);
/* Makes a TAP in the network namespace of the caller; name is filled in if it has a %d. */
int port_open_tap(char *name, struct port **port);

#endif
