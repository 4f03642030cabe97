/* SPDX-License-Identifier: BSD-3-Clause */
/* The method with which tests break things. Only in builds with -Dfaults=true. */
#include "control/functions.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "control/error.h"
#include "control/pf_process.h"

static const char *const escapes[] = {
	[IPC_ESCAPE_OPEN] = "open",
	[IPC_ESCAPE_SOCKET] = "socket",
	[IPC_ESCAPE_CONNECT] = "connect",
	[IPC_ESCAPE_EXEC] = "exec",
	[IPC_ESCAPE_FORK] = "fork",
	[IPC_ESCAPE_PTRACE] = "ptrace",
	[IPC_ESCAPE_KILL] = "kill",
	[IPC_ESCAPE_MMAP] = "mmap",
	[IPC_ESCAPE_MPROTECT] = "mprotect",
	[IPC_ESCAPE_STAT] = "stat",
	[IPC_ESCAPE_MOUNT] = "mount",
	[IPC_ESCAPE_UNSHARE] = "unshare",
	[IPC_ESCAPE_SECCOMP] = "seccomp",
	[IPC_ESCAPE_URING_SETUP] = "uring-setup",
	[IPC_ESCAPE_URING_OPEN] = "uring-open",
	[IPC_ESCAPE_LEAK] = "leak",
	[IPC_ESCAPE_OVERFLOW] = "overflow",
};

static void fault_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct jsonrpc_call *call = request->owner;
	struct error e;

	if (!call)
		return;
	request->owner = NULL;
	if (reply->event == IPC_DONE && !reply->error) {
		jsonrpc_reply(call, json_object_new_object());
		return;
	}
	error_set(&e, -reply->error, "%s", reply->text[0] ? reply->text : strerror(-reply->error));
	methods_fail(call, "debug fault", &e);
}

static uint32_t escape_find(const char *name)
{
	for (uint32_t i = 1; i < ARRAY_LEN(escapes); i++)
		if (!strcmp(escapes[i], name))
			return i;
	return 0;
}

/* Returns NULL, or what is wrong with kind and value. */
static const char *fault_parse(struct ipc_fault *fault, const char *kind, const char *value)
{
	if (!strcmp(kind, "escape")) {
		fault->kind = IPC_FAULT_ESCAPE;
		fault->value = escape_find(value);
		return fault->value ? NULL : "no such escape; see src/control/debug.c";
	}
	fault->kind = !strcmp(kind, "admin-stall")    ? IPC_FAULT_ADMIN_STALL
		      : !strcmp(kind, "backend-hang") ? IPC_FAULT_BACKEND_HANG
						      : 0;
	fault->value = !strcmp(value, "1");
	return fault->kind ? NULL : "give kind admin-stall or backend-hang, and value 0 or 1";
}

void debug_fault(struct control *ctl, struct jsonrpc_call *call, struct json_object *params)
{
	static const char *const members[] = { "name", "kind", "value", NULL };
	const char *name, *kind, *value, *wrong;
	struct ipc_fault fault = { 0 };
	struct function *fn;
	struct error e;
	struct pf *pf;
	int err;

	err = params_strings(params, members, (const char **[]){ &name, &kind, &value }, &e);
	if (!err) {
		wrong = fault_parse(&fault, kind, value);
		fn = registry_function(ctl, name);
		pf = fn ? fn->pf : registry_pf(ctl, name);
		if (!pf)
			wrong = "give the name of a function or a PF";
		snprintf(fault.name, sizeof(fault.name), "%s", name);
		if (wrong)
			err = error_params(&e, "%s", wrong);
		else
			err = ipc_link_send(&pf->link, IPC_FAULT, &fault, sizeof(fault), NULL, 0,
					    IPC_DEADLINE_MS, fault_done, call);
		if (!wrong && err)
			error_set(&e, -err, "PF %s: %s", pf->name, strerror(-err));
	}
	if (err)
		methods_fail(call, "debug fault", &e);
}
