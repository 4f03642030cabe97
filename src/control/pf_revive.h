/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PF process that died by itself: another is started in its place and its functions are made
 * again, with the slots, parameters, images, TAPs and listening sockets they had, of which ridged
 * has duplicates. A VMM that waits in a socket's backlog is served by the new process; those that
 * were attached lost their connection with the old one. What the device was in the middle of is
 * lost.
 *
 * The first time this happens at once; again within PF_CRASH_WINDOW_MS, or before all functions were
 * made again, later each time; the PF_CRASHES_MAX-th time in it the PF is held: it has no process,
 * its functions are down, and a person decides (pf.restart, or function.destroy and pf.remove). A
 * process that does not answer while they are made is killed, which counts.
 *
 * A function that cannot be made again is kept, down, with the reason as its text, until pf.restart
 * tries again or it is destroyed.
 */
#ifndef RIDGE_CONTROL_PF_REVIVE_H
#define RIDGE_CONTROL_PF_REVIVE_H

#include "control/registry.h"

#define PF_CRASHES_MAX      3
#define PF_CRASH_WINDOW_MS  30000u
#define PF_RESTART_DELAY_MS 1000 /* more for each time */

/* Whether the PF has no process that serves its functions. */
bool pf_is_down(const struct pf *pf);
bool function_is_down(const struct function *fn);

/* Its process is gone and its connection closed. how: for people. */
void pf_revive(struct pf *pf, const char *how);

/* A PF that has no process and is PF_RESTARTING: starts one. */
void pf_start_again(struct pf *pf);

/* A new process is up: makes the functions that are down. */
void pf_revive_functions(struct pf *pf);

/*
 * pf.restart: a PF that is held, or functions that are down. Answers the call later; returns 0, or
 * a negative errno with e set and the call not answered.
 */
int pf_restart(struct pf *pf, struct jsonrpc_call *call, struct error *e);

#endif
