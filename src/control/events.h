/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens, for clients that subscribed (events.subscribe; docs/json-rpc.md lists the events).
 *
 * Clients hear of a function or PF from its creation to its end, and of nothing that was not made
 * in the end. What a PF process does on its own (a VMM attaches, a function stops) comes from it as
 * IPC_EVENT. Whoever changes what is in the registry calls these after it is changed.
 */
#ifndef RIDGE_CONTROL_EVENTS_H
#define RIDGE_CONTROL_EVENTS_H

#include "control/registry.h"

/* "function.WHAT". created is the first, destroyed the last of a function. */
void events_function(struct function *fn, const char *what);

/* The function's state was another before: attached, detached, faulted. stopped: it is news. */
void events_state(struct function *fn, uint16_t state, pid_t peer_pid, bool stopped);

/* "pf.WHAT". added is the first, removed or died the last. */
void events_pf(struct pf *pf, const char *what);

/* An IPC_EVENT from a PF process. Returns NULL, or what is wrong with it. */
const char *events_take(struct pf *pf, const void *body, size_t len);

#endif
