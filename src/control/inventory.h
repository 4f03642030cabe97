/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Getting back from a PF process what it has: for a ridged that starts, and for one that lost a
 * connection and does not know what became of the requests in it.
 *
 * A PF process says what exists. It may have been taken over by a guest, so what it says is not
 * what ridged opens files by: what the PF's registry file does not say in the same words is
 * hearsay (registry.h). A ridged that knows what it made learns of nothing new from it.
 */
#ifndef RIDGE_CONTROL_INVENTORY_H
#define RIDGE_CONTROL_INVENTORY_H

#include "control/registry.h"

/* Of a PF that was found, what is written of it. */
void inventory_known(struct pf *pf);

/* It ended before it said what it has: sockets of functions that are written of it go. */
void inventory_unlink(const struct pf *pf);

/* Asks; the registry is right again when pf->adopting goes to false. */
void inventory_take(struct pf *pf);

/* What is known of the PF is all that will be known: it answered everything, or it is gone. */
void inventory_end(struct pf *pf);

#endif
