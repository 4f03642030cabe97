/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What net functions and PFs have of the host: addresses and TAPs.
 *
 * A function that was not given a MAC address gets one that is the same whenever a function of
 * this name is made in this runtime directory, so that a guest finds its interface again: derived
 * from the name and a secret that the directory keeps (DIR/mac-seed), for two hosts on one network
 * may well use the same names.
 */
#ifndef RIDGE_CONTROL_NET_H
#define RIDGE_CONTROL_NET_H

#include "control/registry.h"

/*
 * Settles, and notes, the address of a function of type net that is about to be made on its PF: one
 * that the PF's switch does not have yet. Returns 0, or a negative errno with e set (-EEXIST: the
 * address asked for is another function's).
 */
int net_address(struct function *fn, struct error *e);

/* Notes the address that a function has on its PF's switch, if it has one. Returns 0 or -ENOMEM. */
int net_join(struct function *fn);

/* The same for the PF's own device. */
int net_pf_address(struct pf *pf, struct error *e);

/* What addresses of the PF's VFs are derived from, the same every time. */
int net_vf_key(struct pf *pf, uint64_t *key, struct error *e);

/*
 * Opens the TAP name, non-blocking and with offload headers. One that is not there is made and set
 * up (with that mtu, unless it is 0), and goes with its last descriptor; one that is there is left
 * as it is. Returns 0, or a negative errno with e set.
 */
int net_tap_open(const char *name, unsigned mtu, int *fd, struct error *e);

#endif
