/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The embedded switch of a net PF: a learning Ethernet switch whose ports are the PF's functions
 * and, if it has one, an uplink TAP.
 *
 * A frame from a port is looked up by (VLAN, destination): known, it goes to one port; multicast,
 * broadcast and unknown addresses go to all others. Each VLAN learns for itself. A function's own
 * address is known without learning; others age. One port can't fill the table: what it sends
 * beyond its share is flooded, not learned.
 *
 * Forwarding happens while the sender's queue is processed: the frame is copied from the sender's
 * memory into each receiver's buffers, and every copy counts against the sender's turn.
 */
#ifndef RIDGE_PF_SWITCH_H
#define RIDGE_PF_SWITCH_H

#include "devices/net.h"

#define SWITCH_AGE_MS     300000 /* as bridges do (802.1D, 7.9.2) */
#define SWITCH_ADDRESSES  8192
#define SWITCH_PORT_SHARE 256 /* learned addresses of one function */

struct net_switch;

int net_switch_new(struct loop *loop, struct net_switch **sw);
/* All function ports must be gone. */
void net_switch_free(struct net_switch *sw);

/* A port for a function, to be its backend. Returns 0 or -ENOMEM. */
int net_switch_port(struct net_switch *sw, struct net_backend **be);

/* Connects the uplink; fd is a TAP, taken over on success. Returns 0 or a negative errno. */
int net_switch_uplink(struct net_switch *sw, int fd);
bool net_switch_has_uplink(const struct net_switch *sw);

/* Addresses known now. */
size_t net_switch_addresses(const struct net_switch *sw);

#endif
