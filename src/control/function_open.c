/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "control/image.h"
#include "control/net.h"
#include "control/operation.h"
#include "control/pf_revive.h"
#include "control/runtime.h"
#include "control/server.h"

#define FUNCTION_BACKLOG  8
#define DESCRIPTORS_SPARE (SERVER_CLIENTS_MAX + 64)

int function_usable(const struct function *fn, struct error *e)
{
	static const char *const doing[] = {
		[FUNCTION_CREATING] = "created",
		[FUNCTION_BINDING] = "bound",
		[FUNCTION_SETTING] = "changed",
		[FUNCTION_DESTROYING] = "destroyed",
	};

	if (fn->phase != FUNCTION_READY)
		return error_set(e, EBUSY, "%s is being %s; try again when that is done",
				 function_name(fn), doing[fn->phase]);
	if (fn->down && !pf_is_down(fn->pf))
		return error_set(
			e, EIO,
			"it is down: %s; destroy it, or try again with `ridge pf restart %s'",
			fn->text, fn->pf->name);
	return pf_usable(fn->pf, e);
}

/* What a PF process alone says may be a guest's word by now: nothing is opened by it. */
static int own_word(const struct function *fn, const char *key, const char *value, struct error *e)
{
	if (!fn->hearsay || !value)
		return 0;
	return error_set(e, EPERM,
			 "that it has %s=%s is known from its PF process alone; destroy it, and "
			 "create it again",
			 key, value);
}

int function_open_socket(struct function *fn, struct error *e)
{
	const char *owner = params_text(&fn->params, FUNCTION_OWNER);
	const char *group = params_text(&fn->params, FUNCTION_GROUP);
	const char *mode = params_text(&fn->params, FUNCTION_MODE);
	struct socket_access access;
	char path[SOCKET_PATH_MAX];
	int err = socket_access_parse(owner, group, mode, &access, e);

	if (!err)
		err = own_word(fn, "owner", owner, e);
	if (!err)
		err = own_word(fn, "group", group, e);
	if (!err && access.mode != SOCKET_MODE)
		err = own_word(fn, "mode", mode, e);
	if (!err)
		err = runtime_socket(fn->pf->ctl->runtime_dir, "functions", function_name(fn), path,
				     sizeof(path), e);
	if (!err)
		err = socket_listen(path, SOCK_STREAM, FUNCTION_BACKLOG, &access,
				    &fn->fds[FUNCTION_FD_LISTEN], e);
	if (!err)
		memcpy(fn->socket, path, sizeof(fn->socket));
	return err;
}

/*
 * The kernel gives the lowest descriptor that is free, so a new one says how many there are.
 * Clients, PF processes and the rest of this function need some, too.
 */
static int descriptors_left(const struct function *fn, struct error *e)
{
	rlim_t limit = fn->pf->ctl->descriptors_max;

	if ((rlim_t)fn->fds[FUNCTION_FD_STATE] + DESCRIPTORS_SPARE < limit)
		return 0;
	return error_set(e, EMFILE,
			 "ridged may have %llu descriptors, which is not enough for more than the "
			 "%zu functions there are (up to 3 each, and %d for the rest); raise its "
			 "limit of open files (LimitNOFILE=, ulimit -n)",
			 (unsigned long long)limit, fn->pf->ctl->functions.n - 1,
			 DESCRIPTORS_SPARE);
}

static int open_state(struct function *fn, struct error *e)
{
	char name[IPC_NAME_MAX + 8];

	snprintf(name, sizeof(name), "ridge:%s", function_name(fn));
	fn->fds[FUNCTION_FD_STATE] = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fn->fds[FUNCTION_FD_STATE] < 0)
		return error_set(e, errno, "memory for its state: %s", strerror(errno));
	return descriptors_left(fn, e);
}

int function_open(struct function *fn, struct error *e)
{
	const struct params *p = &fn->params;
	const char *image = params_text(p, FUNCTION_IMAGE);
	const char *backend = params_text(p, FUNCTION_BACKEND);
	const char *tap = backend ? params_tap(backend) : NULL;
	struct image_options options = {
		.readonly = params_bool(p, FUNCTION_READONLY),
		.direct = params_bool(p, FUNCTION_DIRECT),
		.share = params_bool(p, FUNCTION_SHARE),
	};
	int err = 0;

	/* Of one that is made again nothing but the state is new. */
	fd_close(&fn->fds[FUNCTION_FD_STATE]);
	if (fn->fds[FUNCTION_FD_BACKEND] < 0) {
		err = image ? own_word(fn, "image", image, e) : own_word(fn, "backend", tap, e);
		if (!err && image)
			err = image_open(image, &options, &fn->fds[FUNCTION_FD_BACKEND], e);
		else if (!err && tap)
			err = net_tap_open(tap, (unsigned)params_number(p, FUNCTION_MTU),
					   &fn->fds[FUNCTION_FD_BACKEND], e);
	}
	if (!err)
		err = open_state(fn, e);
	if (!err && fn->fds[FUNCTION_FD_LISTEN] < 0 &&
	    params_driver_serves(params_text(p, FUNCTION_DRIVER), e) > 0)
		err = function_open_socket(fn, e);
	return err;
}

int function_spec(const struct params *p, char spec[IPC_SPEC_MAX], struct error *e)
{
	struct json_object *json = params_json(p);
	const char *text = json_object_to_json_string_ext(
		json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	size_t len = strlen(text);
	int err = 0;

	if (len >= IPC_SPEC_MAX)
		err = error_set(
			e, E2BIG,
			"the parameters have %zu characters, at most %d fit; give a shorter "
			"path",
			len, IPC_SPEC_MAX - 1);
	else
		memcpy(spec, text, len + 1);
	json_object_put(json);
	return err;
}
