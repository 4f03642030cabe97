/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/pf_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "control/creation.h"
#include "control/events.h"
#include "control/export.h"
#include "control/inventory.h"
#include "control/functions.h"
#include "control/image.h"
#include "control/net.h"
#include "control/operation.h"
#include "control/pf_revive.h"
#include "control/registry_file.h"
#include "control/runtime.h"
#include "control/vf_image.h"

#define PF_BACKLOG        4
#define PF_LISTEN_FD      3
#define PF_SETTLE_MS      200  /* from the end of a connection to the end of its process */
#define PF_CONNECT_MS     1000 /* between attempts to connect */
#define PF_EXIT_NO_BINARY 127

/* ridge-pf lies beside ridged, wherever that is. */
static int binary_path(char *path, size_t len, struct error *e)
{
	const char *env = getenv("RIDGE_PF");
	ssize_t n;

	if (env && env[0]) {
		snprintf(path, len, "%s", env);
	} else {
		n = readlink("/proc/self/exe", path, len - 1);
		if (n < 0)
			return error_set(e, errno, "/proc/self/exe: %s", strerror(errno));
		path[n] = '\0';
		n = strrchr(path, '/') - path + 1;
		snprintf(path + n, len - (size_t)n, "ridge-pf");
	}
	if (access(path, X_OK))
		return error_set(e, errno,
				 "%s: %s; install ridge-pf beside ridged, or set RIDGE_PF", path,
				 strerror(errno));
	return 0;
}

/*
 * In the child: nothing of ridged but the socket, a session of its own, and signals as they are by
 * default. SIGPIPE is ignored because the log goes to a standard error that may go away.
 */
__attribute__((noreturn)) static void child_run(const struct pf *pf, const char *binary,
						int listen_fd)
{
	char fd_text[8];
	const char *const argv[] = { "ridge-pf",    "--name", pf->name,
				     "--listen-fd", fd_text,  pf->ctl->pf_argument,
				     NULL };
	sigset_t none;
	int null;

	snprintf(fd_text, sizeof(fd_text), "%d", PF_LISTEN_FD);
	setsid();
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, sig == SIGPIPE ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* listen() once more makes this process, not ridged, the peer of who connects. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    listen(listen_fd, PF_BACKLOG))
		_exit(PF_EXIT_NO_BINARY);
	if (listen_fd == PF_LISTEN_FD ? fcntl(listen_fd, F_SETFD, 0) < 0
				      : dup2(listen_fd, PF_LISTEN_FD) < 0)
		_exit(PF_EXIT_NO_BINARY);
	close_range(PF_LISTEN_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	execv(binary, (char *const *)argv);
	_exit(PF_EXIT_NO_BINARY);
}

static void pf_free(struct pf *pf)
{
	loop_timer_cancel(&pf->timer);
	loop_timer_cancel(&pf->file_timer);
	loop_fd_del(pf->ctl->loop, &pf->exited);
	fd_close(&pf->pidfd);
	fd_close(&pf->uplink);
	fd_close(&pf->image);
	while (!list_empty(&pf->functions))
		function_free(list_first(&pf->functions, struct function, node));
	list_del(&pf->node);
	names_free(&pf->macs);
	params_free(&pf->params);
	json_object_put(pf->known);
	free(pf);
}

/* The process is gone: whatever waited for it hears so, and what it had ends. */
static void pf_gone(struct pf *pf, const char *how)
{
	struct control *ctl = pf->ctl;
	struct jsonrpc_call *remove_call = pf->remove_call, *add_call = pf->add_call;
	struct jsonrpc_call *restart_call = pf->restart_call;
	bool removed = pf->phase == PF_STOPPING && !pf->why[0];
	bool adopting = pf->adopting && pf->phase == PF_STARTING;
	bool again = !ctl->stopping && (pf->phase == PF_READY || pf->phase == PF_RESTARTING);
	char what[IPC_NAME_MAX + 16], name[IPC_NAME_MAX];
	struct error e;

	if (removed)
		log_info("PF %s ended", pf->name);
	else
		log_err("PF %s (pid %d) is gone: %s; %u functions went with it", pf->name,
			(int)pf->pid, how, pf->nfunctions);
	if (pf->why[0])
		error_set(&e, EIO, "%s", how);
	else
		error_set(&e, EIO, "PF %s is gone: %s; try again, or look at its log", pf->name,
			  how);
	ipc_link_drain(&pf->link);
	ipc_link_close(&pf->link, e.text);
	inventory_end(pf);
	unlink(pf->path);
	export_remove(pf);
	loop_timer_cancel(&pf->timer);
	loop_fd_del(ctl->loop, &pf->exited);
	fd_close(&pf->pidfd);
	if (again) {
		pf_revive(pf, how);
		pf->why[0] = '\0'; /* which is how, if we ended it */
		create_batches_kick(ctl);
		return;
	}
	snprintf(what, sizeof(what), "pf add %s", pf->name);
	if (remove_call) {
		struct json_object *result = json_object_new_object();

		json_object_object_add(result, "name", json_object_new_string(pf->name));
		jsonrpc_reply(remove_call, result);
	}
	while (!list_empty(&pf->functions))
		function_free(list_first(&pf->functions, struct function, node));
	events_pf(pf, removed ? "removed" : "died");
	memcpy(name, pf->name, sizeof(name));
	/* One that ended while it was asked what it has may have told an earlier ridged. */
	if (adopting) {
		pf->forgotten = true;
	} else {
		inventory_unlink(pf);
		registry_file_remove(pf);
	}
	pf_free(pf);
	if (adopting && !ctl->stopping)
		registry_file_load(ctl, name);
	create_batches_kick(ctl);
	if (add_call)
		methods_fail(add_call, what, &e);
	snprintf(what, sizeof(what), "pf restart %s", name);
	if (restart_call)
		methods_fail(restart_call, what, &e);
	if (ctl->stopping && list_empty(&ctl->pfs))
		loop_stop(ctl->loop);
}

static void exit_text(struct pf *pf, char *text, size_t len)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)pf->pidfd, &info, WEXITED | WNOHANG) || !info.si_pid)
		/* An earlier ridged started it, so its status is not for us. */
		snprintf(text, len, "it ended");
	else if (info.si_code != CLD_EXITED && info.si_status == SIGSYS)
		snprintf(text, len, "killed: it tried what its sandbox forbids (signal %d)",
			 SIGSYS);
	else if (info.si_code != CLD_EXITED)
		snprintf(text, len, "killed by signal %d (%s)", info.si_status,
			 strsignal(info.si_status));
	else if (info.si_status == PF_EXIT_NO_BINARY)
		snprintf(text, len, "ridge-pf could not be run");
	else
		snprintf(text, len, "it exited with status %d", info.si_status);
}

static void pf_exited(struct loop_fd *lfd, uint32_t events)
{
	struct pf *pf = container_of(lfd, struct pf, exited);
	char how[ERROR_TEXT_MAX + 64];

	(void)events;
	/* Its last words may be why. */
	ipc_link_drain(&pf->link);
	exit_text(pf, how, sizeof(how));
	pf_gone(pf, pf->why[0] ? pf->why : how);
}

static int pf_watch(struct pf *pf, pid_t pid)
{
	int err;

	pf->pid = pid;
	pf->pidfd = pidfd_open(pid, 0);
	if (pf->pidfd < 0)
		return -errno;
	err = loop_fd_add(pf->ctl->loop, &pf->exited, pf->pidfd, EPOLLIN, pf_exited);
	if (err)
		fd_close(&pf->pidfd);
	return err;
}

static void pf_signal_kill(struct pf *pf)
{
	if (pf->pidfd >= 0)
		pidfd_send_signal(pf->pidfd, SIGKILL, NULL, 0);
}

/* Ends a child that nobody heard of yet. */
static void pf_reap(struct pf *pf)
{
	siginfo_t info;

	if (pf->pidfd < 0)
		return;
	pf_signal_kill(pf);
	waitid(P_PIDFD, (id_t)pf->pidfd, &info, WEXITED);
}

void pf_kill(struct pf *pf, const char *why)
{
	snprintf(pf->why, sizeof(pf->why), "%s", why);
	if (pf->phase != PF_RESTARTING)
		pf->phase = PF_STOPPING;
	pf_signal_kill(pf);
}

static void stop_timer(struct loop_timer *timer)
{
	struct pf *pf = container_of(timer, struct pf, timer);

	log_warn("PF %s (pid %d) did not end in %d ms: killing it", pf->name, (int)pf->pid,
		 PF_STOP_MS);
	if (pf->pidfd < 0)
		pf_gone(pf, "it cannot be found");
	else
		pf_signal_kill(pf);
}

static void stop_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct pf *pf = request->owner;

	if (reply->event == IPC_DONE && reply->error) {
		log_warn("PF %s does not want to end: %s", pf->name, reply->text);
		pf_signal_kill(pf);
	}
}

void pf_stop(struct pf *pf)
{
	if (pf->phase == PF_STOPPING)
		return;
	pf->phase = PF_STOPPING;
	if (pf->pidfd < 0 && pf->link.lfd.fd < 0 && !pf->adopting) {
		pf_gone(pf, "");
		return;
	}
	loop_timer_set(pf->ctl->loop, &pf->timer, PF_STOP_MS, stop_timer);
	if (ipc_link_send(&pf->link, IPC_SHUTDOWN, NULL, 0, NULL, 0, PF_STOP_MS, stop_done, pf))
		pf_signal_kill(pf);
}

/* --- the connection --- */

static void reconnect_timer(struct loop_timer *timer);

static int pf_connect(struct pf *pf)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	fd_auto int fd = -1;
	int err;

	err = socket_connect(pf->path, SOCK_SEQPACKET, &fd);
	if (!err && pf->pidfd < 0) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
			return -errno;
		err = pf_watch(pf, peer.pid);
	}
	if (!err)
		err = ipc_link_open(&pf->link, fd);
	if (!err)
		fd_take(&fd);
	return err;
}

/* Whether an error from pf_connect() says that there is no process any more. */
static bool pf_dead(const struct pf *pf, int err)
{
	return pf->pidfd < 0 && (err == -ECONNREFUSED || err == -ENOENT || err == -ESRCH);
}

static void link_heard(struct ipc_link *link)
{
	struct pf *pf = container_of(link, struct pf, link);

	/* What was of no use may be so again. */
	if (pf->adopting && pf->text[0])
		return;
	if (pf->unresponsive)
		log_info("PF %s answers again", pf->name);
	pf->unresponsive = false;
}

static const char *link_event(struct ipc_link *link, uint16_t type, const void *body, size_t len)
{
	struct pf *pf = container_of(link, struct pf, link);
	struct ipc_pf_info info;

	if (type == IPC_VF_WANTS)
		return vf_image_wanted(pf, body, len);
	if (type == IPC_PF_EVENT) {
		if (len != sizeof(info))
			return "an event that makes no sense";
		memcpy(&info, body, sizeof(info));
		return pf_update(pf, &info) ? "an event that makes no sense" : NULL;
	}
	return events_take(container_of(link, struct pf, link), body, len);
}

static void link_late(struct ipc_link *link)
{
	struct pf *pf = container_of(link, struct pf, link);

	if (!pf->unresponsive)
		log_warn("PF %s (pid %d) does not answer", pf->name, (int)pf->pid);
	pf->unresponsive = true;
}

static void link_lost(struct ipc_link *link, const char *why)
{
	struct pf *pf = container_of(link, struct pf, link);

	log_debug("PF %s: connection lost: %s", pf->name, why);
	/* Most often the process is about to be gone, and how it went says more than this. */
	if (pf->phase != PF_STOPPING)
		loop_timer_set(pf->ctl->loop, &pf->timer, PF_SETTLE_MS, reconnect_timer);
}

void pf_doubt(struct pf *pf, const char *why)
{
	char text[sizeof(pf->text)] = { 0 };

	if (pf->phase == PF_STOPPING)
		return;
	snprintf(text, sizeof(text),
		 "its answers are of no use: %.600s; if it is of another version, run ridged of "
		 "that one, or end process %d, and it is made again",
		 why, (int)pf->pid);
	if (strcmp(text, pf->text) != 0)
		log_err("PF %s (pid %d): %s", pf->name, (int)pf->pid, text);
	memcpy(pf->text, text, sizeof(text));
	pf->unresponsive = true;
	ipc_link_close(&pf->link, text);
	loop_timer_set(pf->ctl->loop, &pf->timer, PF_CONNECT_MS, reconnect_timer);
}

static void reconnect_timer(struct loop_timer *timer)
{
	struct pf *pf = container_of(timer, struct pf, timer);
	int err;

	if (pf->phase == PF_RESTARTING) {
		pf_kill(pf, "the connection to it was lost");
		return;
	}
	if (pf->link.lfd.fd < 0) {
		if (!pf->unresponsive)
			log_warn("PF %s (pid %d): connecting again", pf->name, (int)pf->pid);
		pf->unresponsive = true;
		ipc_link_close(&pf->link, "the connection to the PF process was lost");
	}
	err = pf_connect(pf);
	if (!err) {
		inventory_take(pf);
	} else if (pf_dead(pf, err)) {
		pf_gone(pf, "nobody listens");
	} else {
		log_debug("PF %s: %s", pf->path, strerror(-err));
		loop_timer_set(pf->ctl->loop, &pf->timer, PF_CONNECT_MS, reconnect_timer);
	}
}

static struct pf *pf_new(struct control *ctl, const char *name, struct error *e)
{
	struct pf *pf = calloc(1, sizeof(*pf));

	if (!pf) {
		error_set(e, ENOMEM, "out of memory");
		return NULL;
	}
	if (runtime_socket(ctl->runtime_dir, "pf", name, pf->path, sizeof(pf->path), e)) {
		free(pf);
		return NULL;
	}
	pf->ctl = ctl;
	snprintf(pf->name, sizeof(pf->name), "%s", name);
	pf->pidfd = -1;
	pf->uplink = -1;
	pf->image = -1;
	pf->exited.fd = -1;
	list_init(&pf->functions);
	ipc_link_init(&pf->link, ctl->loop);
	pf->link.heard = link_heard;
	pf->link.event = link_event;
	pf->link.late = link_late;
	pf->link.lost = link_lost;
	list_add_tail(&ctl->pfs, &pf->node);
	return pf;
}

int pf_update(struct pf *pf, const struct ipc_pf_info *info)
{
	if (!ipc_string_ok(info->name, sizeof(info->name)) || strcmp(info->name, pf->name) != 0 ||
	    !ipc_string_ok(info->type, sizeof(info->type)) ||
	    (pf->type[0] && strcmp(info->type, pf->type) != 0) ||
	    !ipc_string_ok(info->spec, sizeof(info->spec)))
		return -EPROTO;
	if (!pf->type[0]) {
		memcpy(pf->type, info->type, sizeof(pf->type));
		error_clean_text(pf->type);
	}
	pf->max_vfs = info->total_vfs;
	pf->rid = info->rid;
	for (unsigned i = 0; i < 2; i++)
		pf->admin_commands[i] = info->admin_commands[i];
	export_update(pf, info);
	return 0;
}

static void init_done(struct ipc_request *request, struct ipc_reply *reply)
{
	struct pf *pf = request->owner;
	const struct ipc_pf_info *info = ipc_reply_body(reply, sizeof(*info));
	struct jsonrpc_call *call = pf->add_call;
	char what[IPC_NAME_MAX + 16];
	struct error e;

	if (reply->event == IPC_LOST)
		return;
	if (reply->event == IPC_LATE && pf->phase == PF_RESTARTING) {
		pf_kill(pf, "it does not answer");
		return;
	}
	if (reply->event == IPC_LATE) {
		pf->add_call = NULL;
		snprintf(what, sizeof(what), "pf add %s", pf->name);
		error_set(&e, ETIMEDOUT, "%s; try again, or look at its log", reply->text);
		methods_fail(call, what, &e);
		return;
	}
	if (!info || pf_update(pf, info)) {
		pf_kill(pf, reply->error ? error_unprefixed(reply->text, "pf add")
					 : "its first answer makes no sense");
		return;
	}
	if (pf->phase == PF_RESTARTING) {
		pf_revive_functions(pf);
		return;
	}
	if (pf->phase == PF_STARTING)
		pf->phase = PF_READY;
	events_pf(pf, "added");
	pf->add_call = NULL;
	if (!call)
		return;
	log_info("pf add %s (%s)", pf->name, call->who);
	jsonrpc_reply(call, pf_json(pf));
}

static int make_init(struct pf *pf, struct ipc_pf_init *init, struct error *e)
{
	const char *mac = params_text(&pf->params, PF_MAC);
	int err;

	*init = (struct ipc_pf_init){
		.total_vfs = (uint32_t)params_number(&pf->params, PF_MAX_VFS),
		.vf_size = params_number(&pf->params, PF_VF_SIZE),
	};
	if (mac)
		params_mac(mac, init->mac);
	snprintf(init->name, sizeof(init->name), "%s", pf->name);
	snprintf(init->type, sizeof(init->type), "%s", pf->type);
	err = strcmp(pf->type, "net") ? 0 : net_vf_key(pf, &init->vf_mac_key, e);
	return err ? err : function_spec(&pf->params, init->spec, e);
}

static int send_init(struct pf *pf, struct ipc_pf_init *init, struct error *e)
{
	int fds[2], err;
	size_t nfds = 0;

	if (pf->image >= 0) {
		init->fds |= IPC_FD_BACKEND;
		fds[nfds++] = pf->image;
	}
	if (pf->uplink >= 0) {
		init->fds |= IPC_FD_UPLINK;
		fds[nfds++] = pf->uplink;
	}
	err = ipc_link_send(&pf->link, IPC_PF_INIT, init, sizeof(*init), fds, nfds, IPC_DEADLINE_MS,
			    init_done, pf);
	return err ? error_set(e, -err, "PF %s: %s", pf->name, strerror(-err)) : 0;
}

static int pf_spawn(struct pf *pf, const char *binary, int listen_fd, struct error *e)
{
	pid_t pid = fork();
	int err;

	if (pid < 0)
		return error_set(e, errno, "no process for PF %s: %s", pf->name, strerror(errno));
	if (pid == 0)
		child_run(pf, binary, listen_fd);
	err = pf_watch(pf, pid);
	if (!err)
		err = pf_connect(pf);
	if (err) {
		/* Without a descriptor of it nobody else does. */
		if (pf->pidfd < 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		return error_set(e, -err, "no connection to PF %s: %s", pf->name, strerror(-err));
	}
	return 0;
}

/* What a process alone said may have been a guest's word: nothing is opened by it. */
static int own_word(const struct pf *pf, const char *key, const char *value, int fd,
		    struct error *e)
{
	if (!pf->hearsay || !value || fd >= 0)
		return 0;
	return error_set(e, EPERM,
			 "that it has %s=%s is known from its process alone; add the PF again with "
			 "the same parameters",
			 key, value);
}

int pf_launch(struct pf *pf, struct error *e)
{
	static const struct socket_access ours = { (uid_t)-1, (gid_t)-1, 0600 };
	const char *uplink = params_text(&pf->params, PF_UPLINK);
	const char *image = params_text(&pf->params, PF_IMAGE);
	fd_auto int listen_fd = -1;
	struct ipc_pf_init init;
	char binary[PATH_MAX];
	int err;

	err = binary_path(binary, sizeof(binary), e);
	if (!err)
		err = own_word(pf, "uplink", uplink, pf->uplink, e);
	if (!err)
		err = own_word(pf, "image", image, pf->image, e);
	if (!err && uplink && pf->uplink < 0)
		err = net_tap_open(params_tap(uplink), 0, &pf->uplink, e);
	if (!err && image && pf->image < 0)
		err = image_open(image, &(struct image_options){ 0 }, &pf->image, e);
	if (!err && !strcmp(pf->type, "net"))
		err = net_pf_address(pf, e);
	if (!err)
		err = make_init(pf, &init, e);
	if (!err)
		err = socket_listen(pf->path, SOCK_SEQPACKET, PF_BACKLOG, &ours, &listen_fd, e);
	if (err)
		return err;
	err = pf_spawn(pf, binary, listen_fd, e);
	if (!err)
		err = send_init(pf, &init, e);
	if (err) {
		ipc_link_close(&pf->link, e->text);
		unlink(pf->path);
		pf_reap(pf);
		loop_fd_del(pf->ctl->loop, &pf->exited);
		fd_close(&pf->pidfd);
	}
	return err;
}

static int pf_new_of(struct control *ctl, const struct params *params, struct pf **out,
		     struct error *e)
{
	struct pf *pf;

	pf = pf_new(ctl, params_text(params, PF_NAME), e);
	if (!pf)
		return -e->err;
	snprintf(pf->type, sizeof(pf->type), "%s", params_text(params, PF_TYPE));
	pf->adopted = true;
	pf->max_vfs = (uint32_t)params_number(params, PF_MAX_VFS);
	if (params_copy(&pf->params, params)) {
		pf_free(pf);
		return error_set(e, ENOMEM, "out of memory");
	}
	*out = pf;
	return 0;
}

int pf_new_down(struct control *ctl, const struct params *params, struct pf **out, struct error *e)
{
	int err = pf_new_of(ctl, params, out, e);

	if (err)
		return err;
	(*out)->phase = PF_RESTARTING;
	(*out)->announced = true;
	return 0;
}

int pf_start(struct control *ctl, const struct params *params, struct pf **out, struct error *e)
{
	struct pf *pf = NULL;
	int err = vf_images_check(params, e);

	if (!err)
		err = pf_new_of(ctl, params, &pf, e);
	if (err)
		return err;
	if (pf_launch(pf, e)) {
		pf_free(pf);
		return -e->err;
	}
	log_info("PF %s: started, type %s, pid %d", pf->name, pf->type, (int)pf->pid);
	*out = pf;
	return 0;
}

void pf_find(struct control *ctl, const char *name)
{
	struct error e;
	struct pf *pf;
	int err;

	pf = params_name_wrong(name) ? NULL : pf_new(ctl, name, &e);
	if (!pf)
		return;
	err = pf_connect(pf);
	pf->link.descriptors = true;
	if (!pf_dead(pf, err))
		inventory_known(pf);
	if (!err) {
		inventory_take(pf);
	} else if (pf_dead(pf, err)) {
		log_warn("PF %s: %s: nobody listens; removing the socket", name, pf->path);
		unlink(pf->path);
		pf_free(pf);
	} else {
		/* With -EAGAIN its backlog is full: it did not look at it for long. */
		log_warn("PF %s: %s: %s", name, pf->path, strerror(-err));
		pf->unresponsive = true;
		loop_timer_set(ctl->loop, &pf->timer, PF_CONNECT_MS, reconnect_timer);
	}
}

void pf_forget(struct pf *pf)
{
	struct function *fn;

	registry_file_flush(pf);
	ipc_link_close(&pf->link, "ridged ends");
	if (pf->add_call)
		jsonrpc_reply(pf->add_call, NULL);
	if (pf->remove_call)
		jsonrpc_reply(pf->remove_call, NULL);
	if (pf->restart_call)
		jsonrpc_reply(pf->restart_call, NULL);
	/* The sockets stay: the process serves them. */
	list_for_each (fn, &pf->functions, node)
		fn->socket[0] = '\0';
	pf_free(pf);
}
