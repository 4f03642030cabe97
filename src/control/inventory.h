/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Getting back from a PF process what it has: for a ridged that starts, and for one that lost a
 * connection and does not know what became of the requests in it.
 */
#ifndef RIDGE_CONTROL_INVENTORY_H
#define RIDGE_CONTROL_INVENTORY_H

#include "control/registry.h"

/* Asks; the registry is right again when pf->adopting goes to false. */
void inventory_take(struct pf *pf);

/*
 * Adds functions that the PF process has and we do not know, and leaves the others alone. What an
 * earlier ridged sent before it was killed may be done only after our inventory.
 */
void inventory_look(struct pf *pf);

/* What is known of the PF is all that will be known: it answered everything, or it is gone. */
void inventory_end(struct pf *pf);

#endif
