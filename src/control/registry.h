/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What exists: PFs, and functions by PF. Who may change what is in control.h.
 */
#ifndef RIDGE_CONTROL_REGISTRY_H
#define RIDGE_CONTROL_REGISTRY_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/names.h"
#include "control/control.h"
#include "control/ipc_link.h"
#include "control/params.h"
#include "control/sockets.h"

enum pf_phase { PF_STARTING, PF_READY, PF_RESTARTING, PF_HELD, PF_STOPPING };

struct pf {
	struct list node; /* in control.pfs */
	struct control *ctl;
	char name[IPC_NAME_MAX];
	char type[IPC_WORD_MAX]; /* empty: the process did not say yet */
	char path[SOCKET_PATH_MAX];
	enum pf_phase phase;
	bool unresponsive; /* the last deadline passed without a sign of life */
	bool announced;    /* to subscribers */
	bool adopting;     /* counted in control.adopting */
	bool adopted; /* all it has was made by this ridged, or listed in the first inventory */
	bool hearsay; /* params are what its process says: nothing is opened by them */
	struct json_object *known; /* until it is adopted: its file; NULL: there is none */
	pid_t pid;
	int pidfd;
	int uplink; /* a duplicate of the process's TAP; or -1 */
	int image;  /* the same of the image of its own device */
	struct loop_fd exited;
	struct ipc_link link;
	struct loop_timer timer; /* PF_STOPPING: kill it; else: connect again */
	struct list functions;
	unsigned nfunctions;
	struct names macs; /* of functions on its switch */
	struct params params;
	uint32_t max_vfs;
	uint16_t rid;
	uint64_t admin_commands[2];
	uint64_t batch; /* the last whose end its process was told */
	/* export.h */
	bool exporting; /* a request for it is under way */
	bool exported;
	pid_t peer_pid;                    /* of the VMM that has it, or 0 */
	char export_path[SOCKET_PATH_MAX]; /* empty: there is no socket */
	struct counters counters;
	/* registry_file.h */
	struct loop_timer file_timer;
	uint64_t file_since_ns; /* of the first change that is not written; 0: there is none */
	bool forgotten;         /* the file stays as it is */
	/* pf_revive.h */
	unsigned reviving; /* functions that are being made again, and whoever starts that */
	unsigned crashes;  /* since first_crash_ns */
	uint64_t first_crash_ns;
	char text[ERROR_TEXT_MAX]; /* why it is down, or empty */
	struct jsonrpc_call *restart_call;
	struct jsonrpc_call *add_call;    /* pf.add that waits for the first reply */
	struct jsonrpc_call *remove_call; /* pf.remove that waits for the exit */
	char why[ERROR_TEXT_MAX];         /* why it is being ended by us, or empty */
};

enum function_phase {
	FUNCTION_CREATING,
	FUNCTION_READY,
	FUNCTION_BINDING,
	FUNCTION_SETTING,
	FUNCTION_DESTROYING,
};

/* Descriptors by IPC_FD_* bit, in the order in which messages carry them. */
enum function_fd { FUNCTION_FD_STATE, FUNCTION_FD_LISTEN, FUNCTION_FD_BACKEND, FUNCTION_FDS };

struct creation;

#define FUNCTION_MAC_TEXT 18 /* as in 52:54:00:12:34:56 */

struct function {
	struct list node;         /* in pf.functions */
	struct name_node by_name; /* in control.functions */
	char name[IPC_NAME_MAX];
	struct name_node by_mac; /* in pf.macs */
	char mac[FUNCTION_MAC_TEXT];
	struct pf *pf;
	enum function_phase phase;
	struct params params;         /* always with type, name and driver */
	char socket[SOCKET_PATH_MAX]; /* empty: none */
	int fds[FUNCTION_FDS];        /* -1: none */
	bool announced;               /* to subscribers */
	bool down;                    /* its PF process does not have it: text says why */
	bool seen;                    /* in the inventory that is being taken */
	bool hearsay;                 /* params are what its process says: as of a PF */
	struct creation *creation;    /* of a batch that is under way; NULL: of none */
	uint64_t batch;               /* that its process waits to hear the end of, or 0 */
	/* As the PF process told last. */
	uint32_t slot;
	uint16_t rid;
	uint16_t state; /* enum ipc_function_state */
	pid_t peer_pid;
	char text[IPC_TEXT_MAX];
	struct counters counters;
};

struct pf *registry_pf(struct control *ctl, const char *name);
struct function *registry_function(struct control *ctl, const char *name);

/* The same for one that somebody asked for: NULL with e set (ENOENT), which says what there is. */
struct pf *registry_find_pf(struct control *ctl, const char *name, struct error *e);
struct function *registry_find_function(struct control *ctl, const char *name, struct error *e);

/*
 * Whether requests can be sent to a PF now. Returns 0, or a negative errno with e set.
 */
int pf_usable(const struct pf *pf, struct error *e);

/* The names of PFs as a short list for people; "there is none" without any. */
#define NAMES_TEXT_MAX 256
void registry_pf_names(struct control *ctl, char text[NAMES_TEXT_MAX]);

/* Makes a function without descriptors on a PF. params is taken over. Returns 0 or -ENOMEM. */
int function_new(struct pf *pf, struct params *params, struct function **fn);

/* Closes its descriptors, removes its socket, tells subscribers, and frees it. */
void function_free(struct function *fn);

/*
 * Whether a PF may have a function of this name. Of two that say that they have it, the one of which
 * ridged wrote that down is believed, and the other's is freed.
 */
bool registry_name_free(struct control *ctl, const char *name, bool hearsay);

void function_unlink_socket(struct function *fn);

const char *function_name(const struct function *fn);

/* IPC_FD_* of the descriptors it has, which are copied to fds in order. */
uint32_t function_fds(const struct function *fn, int fds[FUNCTION_FDS], size_t *n);

/*
 * Takes over what a PF process says about a function that it was asked about. Returns 0, or
 * -EPROTO when it makes no sense (nothing is changed then).
 */
int function_update(struct function *fn, const struct ipc_function_info *info);

/* Whether the strings and words of an info can be trusted to be that. */
bool function_info_ok(const struct ipc_function_info *info);

struct json_object *function_json(const struct function *fn);
/* Without params and counters. */
struct json_object *function_brief_json(const struct function *fn);
/* The same value as text already, which need not be made again. value is consumed. */
struct json_object *json_text(struct json_object *value);

struct json_object *functions_json(struct control *ctl); /* those that are not being created */
struct json_object *function_stats_json(const struct function *fn);
struct json_object *pf_stats_json(const struct pf *pf);
struct json_object *pf_json(const struct pf *pf);
struct json_object *pfs_json(struct control *ctl);

#endif
