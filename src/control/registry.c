/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/creation.h"
#include "control/events.h"
#include "control/export.h"
#include "control/pf_revive.h"

struct pf *registry_pf(struct control *ctl, const char *name)
{
	struct pf *pf;

	list_for_each (pf, &ctl->pfs, node)
		if (!strcmp(pf->name, name))
			return pf;
	return NULL;
}

struct function *registry_function(struct control *ctl, const char *name)
{
	struct name_node *node = names_find(&ctl->functions, name);

	return node ? container_of(node, struct function, by_name) : NULL;
}

int pf_usable(const struct pf *pf, struct error *e)
{
	if (pf->phase == PF_HELD)
		return error_set(e, EIO, "PF %s is held: %.700s", pf->name, pf->text);
	if (pf->phase == PF_RESTARTING)
		return error_set(e, EAGAIN,
				 "PF %s died (%.500s) and is being started again; try again when "
				 "that is done",
				 pf->name, pf->text);
	if (pf->phase == PF_STOPPING)
		return error_set(e, EBUSY, "PF %s is being ended; try again when it is gone",
				 pf->name);
	if (pf->adopting && pf->text[0])
		return error_set(e, EPROTO, "PF %s (pid %d): %.900s", pf->name, (int)pf->pid,
				 pf->text);
	if (pf->link.lfd.fd < 0 || pf->adopting)
		return error_set(
			e, ETIMEDOUT,
			"PF %s (pid %d) does not answer; try again, or look at its process",
			pf->name, (int)pf->pid);
	return 0;
}

/* False: there is no room for more. */
static bool text_add(char *text, size_t len, const char *name)
{
	size_t used = strlen(text);
	bool fits = used + strlen(name) + 8 < len;

	if (fits)
		snprintf(text + used, len - used, "%s%s", used ? ", " : "there is ", name);
	else if (used)
		snprintf(text + used, len - used, ", ...");
	return fits;
}

static void function_names(struct control *ctl, char text[NAMES_TEXT_MAX])
{
	struct function *fn;
	struct pf *pf;

	text[0] = '\0';
	list_for_each (pf, &ctl->pfs, node)
		list_for_each (fn, &pf->functions, node)
			if (fn->phase != FUNCTION_CREATING &&
			    !text_add(text, NAMES_TEXT_MAX, fn->name))
				return;
	if (!text[0])
		snprintf(text, NAMES_TEXT_MAX, "there is none");
}

struct function *registry_find_function(struct control *ctl, const char *name, struct error *e)
{
	struct function *fn = registry_function(ctl, name);
	char names[NAMES_TEXT_MAX];

	if (fn)
		return fn;
	function_names(ctl, names);
	error_set(e, ENOENT, "there is no such function; %s", names);
	return NULL;
}

void registry_pf_names(struct control *ctl, char text[NAMES_TEXT_MAX])
{
	struct pf *pf;

	text[0] = '\0';
	list_for_each (pf, &ctl->pfs, node)
		if (!text_add(text, NAMES_TEXT_MAX, pf->name))
			return;
	if (!text[0])
		snprintf(text, NAMES_TEXT_MAX, "there is none");
}

struct pf *registry_find_pf(struct control *ctl, const char *name, struct error *e)
{
	struct pf *pf = registry_pf(ctl, name);
	char names[NAMES_TEXT_MAX];

	if (pf)
		return pf;
	registry_pf_names(ctl, names);
	error_set(e, ENOENT, "there is no such PF; %s", names);
	return NULL;
}

int function_new(struct pf *pf, struct params *params, struct function **out)
{
	struct function *fn = calloc(1, sizeof(*fn));

	if (fn)
		snprintf(fn->name, sizeof(fn->name), "%s", params_text(params, FUNCTION_NAME));
	if (!fn || names_add(&pf->ctl->functions, &fn->by_name, fn->name)) {
		free(fn);
		return -ENOMEM;
	}
	fn->params = *params;
	*params = (struct params){ .set = params->set };
	fn->pf = pf;
	fn->seen = true;
	for (size_t i = 0; i < FUNCTION_FDS; i++)
		fn->fds[i] = -1;
	list_add_tail(&pf->functions, &fn->node);
	pf->nfunctions++;
	*out = fn;
	return 0;
}

void function_unlink_socket(struct function *fn)
{
	if (fn->socket[0])
		unlink(fn->socket);
	fn->socket[0] = '\0';
}

void function_free(struct function *fn)
{
	function_unlink_socket(fn);
	fd_close_all(fn->fds, FUNCTION_FDS);
	creation_gone(fn);
	list_del(&fn->node);
	names_del(&fn->pf->ctl->functions, &fn->by_name);
	names_del(&fn->pf->macs, &fn->by_mac);
	fn->pf->nfunctions--;
	if (fn->announced)
		events_function(fn, "destroyed");
	params_free(&fn->params);
	free(fn);
}

bool registry_name_free(struct control *ctl, const char *name, bool hearsay)
{
	struct function *other = registry_function(ctl, name);

	if (!other)
		return true;
	/* While its PF is revived a request may be under way that is its own. */
	if (hearsay || !other->hearsay || other->phase != FUNCTION_READY || other->pf->reviving)
		return false;
	log_err("PF %s said that it has %s, which is another's", other->pf->name, name);
	other->socket[0] = '\0'; /* nor is that its own */
	function_free(other);
	return true;
}

const char *function_name(const struct function *fn)
{
	return fn->name;
}

uint32_t function_fds(const struct function *fn, int fds[FUNCTION_FDS], size_t *n)
{
	uint32_t bits = 0;

	*n = 0;
	for (unsigned i = 0; i < FUNCTION_FDS; i++) {
		if (fn->fds[i] < 0)
			continue;
		fds[(*n)++] = fn->fds[i];
		bits |= 1u << i;
	}
	return bits;
}

bool function_info_ok(const struct ipc_function_info *info)
{
	struct error e;

	return ipc_string_ok(info->name, sizeof(info->name)) && !params_name_wrong(info->name) &&
	       ipc_string_ok(info->type, sizeof(info->type)) &&
	       ipc_string_ok(info->driver, sizeof(info->driver)) &&
	       params_driver_serves(info->driver, &e) >= 0 &&
	       ipc_string_ok(info->text, sizeof(info->text)) &&
	       ipc_string_ok(info->spec, sizeof(info->spec)) && info->state <= IPC_STATE_FAULTED;
}

int function_update(struct function *fn, const struct ipc_function_info *info)
{
	uint16_t state = fn->state;
	pid_t peer_pid = fn->peer_pid;

	if (!function_info_ok(info) || strcmp(info->name, function_name(fn)) != 0)
		return -EPROTO;
	if (strcmp(info->driver, params_text(&fn->params, FUNCTION_DRIVER)) != 0 &&
	    params_set(&fn->params, FUNCTION_DRIVER, info->driver))
		return -ENOMEM;
	fn->slot = info->slot;
	fn->rid = info->rid;
	fn->state = info->state;
	fn->peer_pid = info->peer_pid;
	fn->batch = info->batch;
	memcpy(fn->text, info->text, sizeof(fn->text));
	error_clean_text(fn->text);
	fn->counters = info->counters;
	events_state(fn, state, peer_pid, false);
	return 0;
}

/* Members of objects made here: their keys are constants, and none is there twice. */
static void object_add(struct json_object *object, const char *key, struct json_object *value)
{
	json_object_object_add_ex(object, key, value,
				  JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

static struct json_object *string_or_null(const char *text)
{
	return text && text[0] ? json_object_new_string(text) : NULL;
}

static struct json_object *pid_or_null(pid_t pid)
{
	return pid ? json_object_new_int(pid) : NULL;
}

static struct json_object *rid_json(uint16_t rid)
{
	char text[16];

	snprintf(text, sizeof(text), "%02x:%02x.%x", rid >> 8, (rid >> 3) & 0x1f, rid & 7);
	return json_object_new_string(text);
}

static struct json_object *counters_json(const struct counters *counters)
{
	static const char *const names[COUNTER_COUNT] = {
#define X(name) #name,
		COUNTERS(X)
#undef X
	};
	struct json_object *object = json_object_new_object();

	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		object_add(object, names[i], json_object_new_uint64(counters->value[i]));
	return object;
}

static const char *function_state(const struct function *fn)
{
	static const char *const names[] = {
		[IPC_STATE_IDLE] = "idle",
		[IPC_STATE_CONNECTED] = "connected",
		[IPC_STATE_DRAINING] = "draining",
		[IPC_STATE_FAULTED] = "faulted",
	};

	if (function_is_down(fn))
		return "down";
	return fn->pf->unresponsive ? "unresponsive" : names[fn->state];
}

struct json_object *function_brief_json(const struct function *fn)
{
	struct json_object *o = json_object_new_object();

	object_add(o, "name", json_object_new_string(function_name(fn)));
	object_add(o, "type", json_object_new_string(params_text(&fn->params, FUNCTION_TYPE)));
	object_add(o, "rid", rid_json(fn->rid));
	object_add(o, "slot", fn->slot ? json_object_new_int64(fn->slot) : NULL);
	object_add(o, "pf", json_object_new_string(fn->pf->name));
	object_add(o, "pid", pid_or_null(fn->pf->pid));
	object_add(o, "driver", json_object_new_string(params_text(&fn->params, FUNCTION_DRIVER)));
	object_add(o, "socket", string_or_null(fn->socket));
	object_add(o, "device", NULL);
	object_add(o, "state", json_object_new_string(function_state(fn)));
	object_add(o, "text",
		   string_or_null(fn->text[0] || !function_is_down(fn) ? fn->text : fn->pf->text));
	object_add(o, "peer_pid", pid_or_null(fn->peer_pid));
	return o;
}

struct json_object *function_json(const struct function *fn)
{
	struct json_object *o = function_brief_json(fn);

	object_add(o, "params", params_json(&fn->params));
	object_add(o, "counters", counters_json(&fn->counters));
	return o;
}

struct json_object *function_stats_json(const struct function *fn)
{
	struct json_object *o = json_object_new_object();

	object_add(o, "name", json_object_new_string(function_name(fn)));
	object_add(o, "type", json_object_new_string(params_text(&fn->params, FUNCTION_TYPE)));
	object_add(o, "pf", json_object_new_string(fn->pf->name));
	object_add(o, "state", json_object_new_string(function_state(fn)));
	object_add(o, "counters", counters_json(&fn->counters));
	return o;
}

struct json_object *json_text(struct json_object *value)
{
	struct json_object *text = json_object_new_int(0);
	char *copy = strdup(json_object_to_json_string_ext(
		value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

	if (!text || !copy) {
		free(copy);
		json_object_put(text);
		return value;
	}
	json_object_put(value);
	json_object_set_serializer(text, json_object_userdata_to_json_string, copy,
				   json_object_free_userdata);
	return text;
}

struct json_object *functions_json(struct control *ctl)
{
	struct json_object *array = json_object_new_array();
	struct function *fn;
	struct pf *pf;

	list_for_each (pf, &ctl->pfs, node)
		list_for_each (fn, &pf->functions, node)
			if (fn->phase != FUNCTION_CREATING)
				json_object_array_add(array, function_json(fn));
	return array;
}

static const char *pf_state(const struct pf *pf)
{
	static const char *const names[] = {
		[PF_STARTING] = "starting",     [PF_READY] = "ready",
		[PF_RESTARTING] = "restarting", [PF_HELD] = "held",
		[PF_STOPPING] = "stopping",
	};

	return pf->unresponsive && !pf_is_down(pf) ? "unresponsive" : names[pf->phase];
}

static struct json_object *commands_json(const struct pf *pf)
{
	struct json_object *commands = json_object_new_array();

	for (unsigned i = 0; i < 2; i++)
		json_object_array_add(commands, json_object_new_uint64(pf->admin_commands[i]));
	return commands;
}

struct json_object *pf_stats_json(const struct pf *pf)
{
	struct json_object *o = json_object_new_object();

	object_add(o, "name", json_object_new_string(pf->name));
	object_add(o, "type", string_or_null(pf->type));
	object_add(o, "state", json_object_new_string(pf_state(pf)));
	object_add(o, "admin_commands", commands_json(pf));
	object_add(o, "counters", counters_json(&pf->counters));
	return o;
}

struct json_object *pf_json(const struct pf *pf)
{
	struct json_object *o = json_object_new_object();

	object_add(o, "name", json_object_new_string(pf->name));
	object_add(o, "type", string_or_null(pf->type));
	object_add(o, "rid", rid_json(pf->rid));
	object_add(o, "pid", pid_or_null(pf->pid));
	object_add(o, "state", json_object_new_string(pf_state(pf)));
	object_add(o, "text", string_or_null(pf->text));
	object_add(o, "functions", json_object_new_int64(pf->nfunctions));
	object_add(o, "max_vfs", json_object_new_int64(pf->max_vfs));
	object_add(o, "exported", json_object_new_boolean(pf->exported));
	object_add(o, "socket", string_or_null(export_socket(pf)));
	object_add(o, "peer_pid", pid_or_null(pf->peer_pid));
	object_add(o, "params", params_json(&pf->params));
	object_add(o, "admin_commands", commands_json(pf));
	return o;
}

struct json_object *pfs_json(struct control *ctl)
{
	struct json_object *array = json_object_new_array();
	struct pf *pf;

	list_for_each (pf, &ctl->pfs, node)
		json_object_array_add(array, pf_json(pf));
	return array;
}
