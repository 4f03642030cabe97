/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/pf_revive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/creation.h"
#include "control/events.h"
#include "control/operation.h"
#include "control/pf_process.h"

bool pf_is_down(const struct pf *pf)
{
	return pf->phase == PF_RESTARTING || pf->phase == PF_HELD;
}

bool function_is_down(const struct function *fn)
{
	return fn->down || pf_is_down(fn->pf);
}

/* A call waits for the end of this. e NULL: it ended well. */
static void revive_answer(struct pf *pf, struct error *e)
{
	struct jsonrpc_call *call = pf->restart_call;
	char what[IPC_NAME_MAX + 16];

	if (!call)
		return;
	pf->restart_call = NULL;
	if (!e) {
		jsonrpc_reply(call, pf_json(pf));
		return;
	}
	snprintf(what, sizeof(what), "pf restart %s", pf->name);
	methods_fail(call, what, e);
}

static void pf_hold(struct pf *pf)
{
	struct error e;

	pf->phase = PF_HELD;
	pf->unresponsive = false;
	log_err("PF %s is held, with %u functions that are down: %s", pf->name, pf->nfunctions,
		pf->text);
	events_pf(pf, "held");
	error_set(&e, EIO, "%s", pf->text);
	revive_answer(pf, &e);
}

/* What a new process is given; what belongs to an unfinished request goes. */
static void function_take_down(struct function *fn)
{
	uint16_t state = fn->state;
	pid_t peer_pid = fn->peer_pid;
	struct error e;

	fn->phase = FUNCTION_READY;
	fn->state = IPC_STATE_IDLE;
	fn->peer_pid = 0;
	fn->text[0] = '\0';
	fn->batch = 0;
	/* Of a bind that was under way. */
	if (params_driver_serves(params_text(&fn->params, FUNCTION_DRIVER), &e) <= 0) {
		function_unlink_socket(fn);
		fd_close(&fn->fds[FUNCTION_FD_LISTEN]);
	}
	events_state(fn, state, peer_pid, false);
	fn->down = true;
}

/* Whether this is too often: in *seconds, to say so. */
static bool crashes_count(struct pf *pf, unsigned *seconds)
{
	uint64_t now = loop_now_ns(), since = now - pf->first_crash_ns;

	/* One that never was ready in between is as bad, however long it took. */
	if (!pf->crashes || (pf->phase == PF_READY && since > PF_CRASH_WINDOW_MS * 1000000ull)) {
		pf->crashes = 0;
		pf->first_crash_ns = now;
		since = 0;
	}
	*seconds = (unsigned)(since / 1000000000) + 1;
	if (*seconds < PF_CRASH_WINDOW_MS / 1000)
		*seconds = PF_CRASH_WINDOW_MS / 1000;
	return ++pf->crashes >= PF_CRASHES_MAX;
}

void pf_start_again(struct pf *pf)
{
	struct error e;

	if (!pf_launch(pf, &e)) {
		log_info("PF %s: started again, pid %d", pf->name, (int)pf->pid);
		return;
	}
	snprintf(pf->text, sizeof(pf->text), "it cannot be started again: %.900s", e.text);
	pf_hold(pf);
}

static void respawn_timer(struct loop_timer *timer)
{
	pf_start_again(container_of(timer, struct pf, timer));
}

void pf_revive(struct pf *pf, const char *how)
{
	struct function *fn, *tmp;
	unsigned seconds;
	bool too_often = crashes_count(pf, &seconds);

	pf->reviving = 0;
	pf->unresponsive = false;
	pf->phase = PF_RESTARTING;
	pf->pid = 0;
	pf->peer_pid = 0;
	snprintf(pf->text, sizeof(pf->text), "%s", how);
	list_for_each_safe (fn, tmp, &pf->functions, node) {
		if (fn->phase == FUNCTION_CREATING)
			function_free(fn);
		else
			function_take_down(fn);
	}
	events_pf(pf, "died");
	if (too_often) {
		snprintf(pf->text, sizeof(pf->text),
			 "its process died %u times in %u s, the last time: %.600s; look at its "
			 "log, then `ridge pf restart %s'",
			 pf->crashes, seconds, how, pf->name);
		pf_hold(pf);
		return;
	}
	/* The first time at once, for guests wait. */
	loop_timer_set(pf->ctl->loop, &pf->timer, (pf->crashes - 1) * PF_RESTART_DELAY_MS,
		       respawn_timer);
}

/* --- functions --- */

static void function_stays_down(struct function *fn, const char *why)
{
	snprintf(fn->text, sizeof(fn->text), "it could not be made again: %.200s", why);
	error_clean_text(fn->text);
	log_err("PF %s: %s: %s", fn->pf->name, function_name(fn), fn->text);
	events_function(fn, "down");
}

static void revive_put(struct pf *pf)
{
	unsigned down = 0;
	struct function *fn;

	if (--pf->reviving)
		return;
	list_for_each (fn, &pf->functions, node)
		down += fn->down;
	if (pf->phase == PF_RESTARTING) {
		pf->phase = PF_READY;
		pf->text[0] = '\0';
		events_pf(pf, "restarted");
	}
	log_info("PF %s: %u functions made again, %u are down", pf->name, pf->nfunctions - down,
		 down);
	revive_answer(pf, NULL);
}

/*
 * For all functions of a PF. The requests are sent at once and are handled one after another.
 */
static unsigned revive_ms(const struct pf *pf)
{
	return IPC_DEADLINE_MS + pf->nfunctions * CREATE_EACH_MS;
}

/* Whether a request was not answered, and need not be looked at. */
static bool revive_unanswered(struct pf *pf, const struct ipc_reply *reply)
{
	struct error e;

	if (reply->event == IPC_DONE)
		return false;
	/* Lost: it died again, and all of this is done again. */
	if (pf->phase == PF_RESTARTING && reply->event == IPC_LATE)
		pf_kill(pf, "it does not answer");
	if (pf->phase != PF_READY)
		return true;
	/* The PF goes on, with what it has. */
	error_set(&e, reply->event == IPC_LATE ? ETIMEDOUT : EIO, "%s; try again", reply->text);
	revive_answer(pf, &e);
	return reply->event == IPC_LATE;
}

static void size_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct function *fn = request->owner;

	if (revive_unanswered(fn->pf, reply))
		return;
	if (reply->error)
		log_err("%s: its size is that of its image again: %s", function_name(fn),
			reply->text);
	revive_put(fn->pf);
}

/* A disk may have been set to less than its image has. */
static bool send_size(struct function *fn)
{
	struct ipc_function_set message = { .what = IPC_SET_SIZE };
	struct error e;

	message.value = params_number(&fn->params, FUNCTION_SIZE);
	if (!message.value || function_spec(&fn->params, message.spec, &e))
		return false;
	snprintf(message.name, sizeof(message.name), "%s", function_name(fn));
	return !ipc_link_send(&fn->pf->link, IPC_FUNCTION_SET, &message, IPC_SPEC_BODY(&message),
			      NULL, 0, revive_ms(fn->pf), size_done, fn);
}

static void function_done(struct ipc_request *request, struct ipc_reply *reply)
{
	const struct ipc_function_info *info = ipc_reply_function(reply);
	struct function *fn = request->owner;

	if (revive_unanswered(fn->pf, reply))
		return;
	if (info && !function_update(fn, info)) {
		fn->down = false;
		events_function(fn, "restarted");
		if (send_size(fn))
			return;
	} else {
		function_stays_down(fn, reply->error ? error_unprefixed(reply->text, "create")
						     : "the answer makes no sense");
	}
	revive_put(fn->pf);
}

static int function_revive(struct function *fn, struct error *e)
{
	int err;

	fn->text[0] = '\0';
	err = function_open(fn, e);
	if (!err)
		err = creation_send(fn, 0, revive_ms(fn->pf), function_done, fn, e);
	return err;
}

/* Those with a slot, or those without: dynamic functions of a PF that was exported. */
static void revive_some(struct pf *pf, bool with_slot)
{
	struct function *fn;
	struct error e;

	list_for_each (fn, &pf->functions, node) {
		if (!fn->down || fn->phase != FUNCTION_READY || (fn->slot != 0) != with_slot)
			continue;
		pf->reviving++;
		if (!function_revive(fn, &e))
			continue;
		pf->reviving--;
		function_stays_down(fn, e.text);
	}
}

void pf_revive_functions(struct pf *pf)
{
	pf->reviving++;
	revive_some(pf, true);
	revive_some(pf, false);
	revive_put(pf);
}

int pf_restart(struct pf *pf, struct jsonrpc_call *call, struct error *e)
{
	struct function *fn;
	unsigned down = 0;

	if (pf->phase == PF_RESTARTING || pf->restart_call || pf->reviving)
		return error_set(e, EBUSY,
				 "it is being started again; try again when that is done");
	list_for_each (fn, &pf->functions, node)
		down += fn->down;
	if (pf->phase != PF_HELD) {
		int err = pf_usable(pf, e);

		if (err)
			return err;
		if (!down)
			return error_set(e, EALREADY,
					 "it is running, and so are its functions; "
					 "only a PF that is held is started again");
		pf->restart_call = call;
		pf_revive_functions(pf);
		return 0;
	}
	pf->crashes = 0;
	pf->phase = PF_RESTARTING;
	pf->restart_call = call;
	pf_start_again(pf);
	return 0;
}
