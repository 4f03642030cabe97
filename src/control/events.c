/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/events.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control/registry_file.h"
#include "control/server.h"

/* about is consumed. */
static void events_send(struct control *ctl, const char *noun, const char *what,
			struct json_object *about)
{
	struct json_object *params = json_object_new_object();
	struct timespec now;
	char name[32];

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, sizeof(name), "%s.%s", noun, what);
	json_object_object_add(params, "event", json_object_new_string(name));
	json_object_object_add(params, "time_ms",
			       json_object_new_int64(now.tv_sec * 1000ll + now.tv_nsec / 1000000));
	json_object_object_add(params, noun, about);
	server_event(ctl->server, params);
	json_object_put(params);
}

void events_function(struct function *fn, const char *what)
{
	struct json_object *about;

	fn->announced = strcmp(what, "destroyed") != 0;
	if (strcmp(what, "attached") != 0 && strcmp(what, "detached") != 0 &&
	    strcmp(what, "faulted") != 0)
		registry_file_changed(fn->pf);
	if (!server_has_subscribers(fn->pf->ctl->server))
		return;
	/* Without counters: many numbers that say little about what happened. */
	about = function_brief_json(fn);
	json_object_object_add(about, "params", params_json(&fn->params));
	events_send(fn->pf->ctl, "function", what, about);
}

static bool attached(uint16_t state)
{
	return state == IPC_STATE_CONNECTED || state == IPC_STATE_FAULTED;
}

void events_state(struct function *fn, uint16_t state, pid_t peer_pid, bool stopped)
{
	bool other = fn->peer_pid != peer_pid;

	if (!fn->announced)
		return;
	if (attached(state) && (!attached(fn->state) || other))
		events_function(fn, "detached");
	if (attached(fn->state) && (!attached(state) || other))
		events_function(fn, "attached");
	if (fn->state == IPC_STATE_FAULTED && (state != IPC_STATE_FAULTED || stopped))
		events_function(fn, "faulted");
}

void events_pf(struct pf *pf, const char *what)
{
	if (strcmp(what, "added") != 0 && !pf->announced)
		return;
	pf->announced = true;
	if (strcmp(what, "removed") != 0)
		registry_file_changed(pf);
	if (server_has_subscribers(pf->ctl->server))
		events_send(pf->ctl, "pf", what, pf_json(pf));
}

const char *events_take(struct pf *pf, const void *body, size_t len)
{
	struct ipc_event event;
	struct function *fn;
	uint16_t state;
	pid_t peer_pid;

	if (len != sizeof(event))
		return "an event that makes no sense";
	memcpy(&event, body, sizeof(event));
	if (!ipc_string_ok(event.name, sizeof(event.name)) ||
	    !ipc_string_ok(event.text, sizeof(event.text)) || event.state > IPC_STATE_FAULTED)
		return "an event that makes no sense";
	fn = registry_function(pf->ctl, event.name);
	if (!fn || fn->pf != pf)
		return NULL;
	state = fn->state;
	peer_pid = fn->peer_pid;
	fn->state = event.state;
	fn->peer_pid = event.peer_pid;
	memcpy(fn->text, event.text, sizeof(fn->text));
	error_clean_text(fn->text);
	events_state(fn, state, peer_pid, !(event.flags & IPC_EVENT_CATCH_UP));
	return NULL;
}
