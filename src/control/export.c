/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/events.h"
#include "control/pf_process.h"
#include "control/runtime.h"

#define EXPORT_BACKLOG 8

struct export
{
	struct control *ctl;
	struct jsonrpc_call *call; /* NULL: answered already */
	char pf[IPC_NAME_MAX];
	char what[IPC_NAME_MAX + 16];
	int listen_fd;
};

static int socket_path(const struct pf *pf, char path[SOCKET_PATH_MAX], struct error *e)
{
	return runtime_socket(pf->ctl->runtime_dir, "exports", pf->name, path, SOCKET_PATH_MAX, e);
}

static void socket_remove(struct pf *pf)
{
	if (pf->export_path[0])
		unlink(pf->export_path);
	pf->export_path[0] = '\0';
}

const char *export_socket(const struct pf *pf)
{
	return pf->exported ? pf->export_path : NULL;
}

void export_remove(struct pf *pf)
{
	socket_remove(pf);
	pf->exported = false;
}

void export_update(struct pf *pf, const struct ipc_pf_info *info)
{
	bool was = pf->exported;
	pid_t peer = pf->peer_pid;
	struct error e;

	pf->exported = info->exported;
	pf->peer_pid = info->peer_pid;
	pf->counters = info->counters;
	if (pf->exported && !was) {
		/* Of one that an earlier ridged exported it is not known yet. */
		if (!pf->export_path[0] && socket_path(pf, pf->export_path, &e))
			pf->export_path[0] = '\0';
		events_pf(pf, "exported");
	}
	if (!pf->exported && !pf->exporting)
		socket_remove(pf);
	if (peer && peer != pf->peer_pid)
		events_pf(pf, "detached");
	if (pf->peer_pid && peer != pf->peer_pid)
		events_pf(pf, "attached");
	if (was && !pf->exported)
		events_pf(pf, "unexported");
}

/* The request of a call, or NULL: it was answered. */
static struct export *export_new(struct control *ctl, struct jsonrpc_call *call, const char *verb,
				 const char *name, struct pf **pf)
{
	struct export *x = calloc(1, sizeof(*x));
	struct error e;

	if (!x) {
		error_set(&e, ENOMEM, "out of memory");
		methods_fail(call, verb, &e);
		return NULL;
	}
	x->ctl = ctl;
	x->call = call;
	x->listen_fd = -1;
	snprintf(x->what, sizeof(x->what), "%s %.63s", verb, name);
	error_clean_text(x->what);
	*pf = registry_find_pf(ctl, name, &e);
	if (*pf && !pf_usable(*pf, &e)) {
		snprintf(x->pf, sizeof(x->pf), "%s", (*pf)->name);
		return x;
	}
	methods_fail(call, x->what, &e);
	free(x);
	return NULL;
}

static void export_end(struct export *x, struct error *e)
{
	if (e)
		methods_fail(x->call, x->what, e);
	fd_close(&x->listen_fd);
	free(x);
}

static void reply_error(struct error *e, const struct ipc_reply *reply, const char *verb)
{
	if (reply->event == IPC_LATE)
		error_set(e, ETIMEDOUT, "%s; look with pf list whether it was done after all",
			  reply->text);
	else if (reply->event == IPC_LOST)
		error_set(e, EIO, "%s", reply->text);
	else
		error_set(e, reply->error ? -reply->error : EPROTO, "%s",
			  reply->error ? error_unprefixed(reply->text, verb)
				       : "the PF process gave an answer that makes no sense");
}

static void export_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct export *x = request->owner;
	struct pf *pf = registry_pf(x->ctl, x->pf);
	const struct ipc_pf_info *info = ipc_reply_body(reply, sizeof(*info));
	const char *verb = request->type == IPC_PF_EXPORT ? "export" : "unexport";
	struct error e;

	if (pf && reply->event != IPC_LATE && request->type == IPC_PF_EXPORT)
		pf->exporting = false;
	if (reply->event == IPC_DONE && pf && info && !pf_update(pf, info)) {
		log_info("%s%s%s", x->what, x->call ? " " : "", x->call ? x->call->who : "");
		if (x->call)
			jsonrpc_reply(x->call, pf_json(pf));
		export_end(x, NULL);
		return;
	}
	reply_error(&e, reply, verb);
	if (reply->event == IPC_LATE) {
		methods_fail(x->call, x->what, &e);
		x->call = NULL;
		return;
	}
	/* Where the connection was lost, it is found out later whether it is served. */
	if (reply->event == IPC_DONE && pf && !pf->exported)
		socket_remove(pf);
	export_end(x, &e);
}

static int access_of(const struct params *params, struct socket_access *access, struct error *e)
{
	return socket_access_parse(params_text(params, EXPORT_OWNER),
				   params_text(params, EXPORT_GROUP),
				   params_text(params, EXPORT_MODE), access, e);
}

/*
 * Whether an export that lasts is as asked: by the socket itself, as it may have been an earlier
 * ridged that made it. Returns 0, or a negative errno with e set.
 */
static int export_same(const struct pf *pf, const struct params *params, struct error *e)
{
	struct socket_access asked;
	char owner[64] = "", group[64] = "", mode[64] = "";
	struct stat have;
	int err = access_of(params, &asked, e);

	if (err || stat(pf->export_path, &have))
		return err;
	if (asked.uid == (uid_t)-1)
		asked.uid = geteuid();
	if (asked.gid == (gid_t)-1)
		asked.gid = getegid();
	if (asked.uid != have.st_uid)
		snprintf(owner, sizeof(owner), " owner (have %u, asked %u)", have.st_uid,
			 asked.uid);
	if (asked.gid != have.st_gid)
		snprintf(group, sizeof(group), " group (have %u, asked %u)", have.st_gid,
			 asked.gid);
	if (asked.mode != (have.st_mode & 0777))
		snprintf(mode, sizeof(mode), " mode (have %04o, asked %04o)", have.st_mode & 0777,
			 asked.mode);
	if (!owner[0] && !group[0] && !mode[0])
		return 0;
	return error_set(e, EEXIST,
			 "it is exported with other parameters:%s%s%s; ask for the same, or "
			 "unexport it first",
			 owner, group, mode);
}

static int open_socket(struct export *x, struct pf *pf, const struct params *params,
		       struct error *e)
{
	struct socket_access access;
	char path[SOCKET_PATH_MAX];
	int err = access_of(params, &access, e);

	if (!err)
		err = socket_path(pf, path, e);
	if (!err)
		err = socket_listen(path, SOCK_STREAM, EXPORT_BACKLOG, &access, &x->listen_fd, e);
	if (!err)
		memcpy(pf->export_path, path, sizeof(pf->export_path));
	return err;
}

void pf_export(struct control *ctl, struct jsonrpc_call *call, struct json_object *json)
{
	struct params params;
	struct export *x;
	struct error e;
	struct pf *pf;
	int err;

	if (params_parse(&params, &params_export, json, &e)) {
		methods_fail(call, "export", &e);
		return;
	}
	x = export_new(ctl, call, "export", params_text(&params, EXPORT_NAME), &pf);
	if (x && pf->exported) {
		err = export_same(pf, &params, &e);
		if (!err)
			jsonrpc_reply(call, pf_json(pf));
		export_end(x, err ? &e : NULL);
	} else if (x) {
		err = pf->exporting ? error_set(&e, EBUSY,
						"it is being exported; try again when "
						"that is done")
				    : open_socket(x, pf, &params, &e);
		if (!err) {
			err = ipc_link_send(&pf->link, IPC_PF_EXPORT, NULL, 0, &x->listen_fd, 1,
					    IPC_DEADLINE_MS, export_done, x);
			if (err) {
				error_set(&e, -err, "PF %s: %s", pf->name, strerror(-err));
				socket_remove(pf);
			}
			pf->exporting = !err;
		}
		if (err)
			export_end(x, &e);
	}
	params_free(&params);
}

static int unexport_params(struct json_object *json, const char **name, bool *force,
			   struct error *e)
{
	*name = NULL;
	*force = false;
	if (!json_object_is_type(json, json_type_object))
		return error_params(e, "params: give an object with name");
	json_object_object_foreach(json, key, value)
	{
		if (!strcmp(key, "name") && json_object_is_type(value, json_type_string))
			*name = json_object_get_string(value);
		else if (!strcmp(key, "force") && json_object_is_type(value, json_type_boolean))
			*force = json_object_get_boolean(value);
		else
			return error_params(e,
					    "%s: give name (a string) and, if you like, force "
					    "(a boolean)",
					    key);
	}
	return *name ? 0 : error_params(e, "name is missing; give name (a string)");
}

void pf_unexport(struct control *ctl, struct jsonrpc_call *call, struct json_object *json)
{
	struct ipc_pf_unexport unexport = { 0 };
	const char *name;
	struct export *x;
	struct error e;
	struct pf *pf;
	bool force;
	int err;

	if (unexport_params(json, &name, &force, &e)) {
		methods_fail(call, "unexport", &e);
		return;
	}
	x = export_new(ctl, call, "unexport", name, &pf);
	if (!x)
		return;
	unexport.flags = force ? IPC_UNEXPORT_FORCE : 0;
	err = ipc_link_send(&pf->link, IPC_PF_UNEXPORT, &unexport, sizeof(unexport), NULL, 0,
			    IPC_DEADLINE_MS, export_done, x);
	if (err) {
		error_set(&e, -err, "PF %s: %s", pf->name, strerror(-err));
		export_end(x, &e);
	}
}
