/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ridge-pf process as ridged sees it: started or found again, asked to end, noticed to have
 * ended.
 *
 * Who it is, is settled without trusting it: a process that ridged starts is its child; of one that
 * was started by an earlier ridged the kernel tells the process id with the connection, for the
 * child itself calls listen() on its socket before it becomes ridge-pf.
 */
#ifndef RIDGE_CONTROL_PF_PROCESS_H
#define RIDGE_CONTROL_PF_PROCESS_H

#include "control/registry.h"

#define PF_STOP_MS 5000 /* how long a process has to end when asked to */

/*
 * Starts a process for a new PF and sends it IPC_PF_INIT. Returns 0 (requests may be sent at once)
 * or a negative errno with e set.
 */
int pf_start(struct control *ctl, const struct params *params, struct pf **pf, struct error *e);

/*
 * Starts a process for a PF that has none, likewise. Nothing of it is left when it fails.
 */
int pf_launch(struct pf *pf, struct error *e);

/* A PF without a process, PF_RESTARTING, whose functions are to be added. Likewise. */
int pf_new_down(struct control *ctl, const struct params *params, struct pf **pf, struct error *e);

/*
 * Connects to the process that listens at pf/NAME.sock and begins to take its inventory. A socket
 * without a process is removed.
 */
void pf_find(struct control *ctl, const char *name);

/*
 * Asks the process to end, and kills it when it does not. Its functions end with it. A PF without a
 * process is gone when this returns.
 */
void pf_stop(struct pf *pf);

/* Ends a process that cannot be used. why: for people. */
void pf_kill(struct pf *pf, const char *why);

/*
 * For a process whose answers to inventory_take() are of no use: the connection is ended, and made
 * again later. Guests keep what they have of it, and what is known of it stays written. why: for
 * people.
 */
void pf_doubt(struct pf *pf, const char *why);

/* Takes over what it says about itself. Returns 0 or -EPROTO. */
int pf_update(struct pf *pf, const struct ipc_pf_info *info);

/* For a ridged that ends while its PFs live on. */
void pf_forget(struct pf *pf);

#endif
