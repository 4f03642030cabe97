/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls that only read. States and counters live in the PF processes, so each of them is asked; one
 * that does not answer costs a deadline once, and after that is shown as it was known last. Calls for
 * all there is share their queries.
 */
#ifndef RIDGE_CONTROL_QUERIES_H
#define RIDGE_CONTROL_QUERIES_H

#include "control/registry.h"

/* Answers the call with the function as it is now. */
void query_function(struct control *ctl, struct function *fn, struct jsonrpc_call *call);

/* The methods. */
void queries_function_show(struct control *ctl, struct jsonrpc_call *call,
			   struct json_object *params);
void queries_function_list(struct control *ctl, struct jsonrpc_call *call,
			   struct json_object *params);
void queries_function_stats(struct control *ctl, struct jsonrpc_call *call,
			    struct json_object *params);
void queries_pf_list(struct control *ctl, struct jsonrpc_call *call, struct json_object *params);

#endif
