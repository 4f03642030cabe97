/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The calls function.*: see docs/json-rpc.md.
 */
#ifndef RIDGE_CONTROL_FUNCTIONS_H
#define RIDGE_CONTROL_FUNCTIONS_H

#include "control/control.h"

void functions_create(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);
void functions_create_batch(struct control *ctl, struct jsonrpc_call *call,
			    struct json_object *params);
void functions_destroy(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);
void functions_bind(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);
void functions_set(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);

#ifdef RIDGE_FAULTS
/* debug.c */
void debug_fault(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);
#endif

#endif
