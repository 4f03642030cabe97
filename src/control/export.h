/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pf.export and pf.unexport: the socket of a PF that is a PCI domain for a Linux host. The PF
 * process says whether it is one; it stops by itself when the VMM is gone, and then its socket
 * goes.
 */
#ifndef RIDGE_CONTROL_EXPORT_H
#define RIDGE_CONTROL_EXPORT_H

#include "control/registry.h"

void pf_export(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);
void pf_unexport(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);

/* Takes over what a PF process says; removes a socket that it does not serve any more. */
void export_update(struct pf *pf, const struct ipc_pf_info *info);

/* The socket's path; NULL while the PF is local. */
const char *export_socket(const struct pf *pf);

/* The PF is gone. */
void export_remove(struct pf *pf);

#endif
