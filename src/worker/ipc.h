/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ridged and a ridge-pf process say to each other.
 *
 * The socket is SOCK_SEQPACKET; ridge-pf listens on it from its start, ridged connects, and a later
 * ridged connects again: the PF process is the authority on what exists. A message is a struct
 * ipc_header, then the body that belongs to its type, in host byte order (both ends are on one
 * host), with descriptors attached where the body's comment says so. ridged numbers its requests;
 * a reply carries the request's type and number, so replies may come in any order. A reply with
 * IPC_MORE is followed by another of the same number. A failed request is answered by a header with
 * a negative errno and a struct ipc_failure; these two are the same in all versions, so that the
 * refusal of a request from a ridged of another version can be read.
 *
 * A message without IPC_REPLY from ridge-pf is an event, of no number: it was not asked for.
 * What it says was true when it was sent, and is before the replies that come after it.
 *
 * ridge-pf handles requests in the order they come but answers when they are done: a function that
 * takes long to destroy holds up no other.
 *
 * A body that ends with a spec is sent up to the spec's NUL: IPC_SPEC_BODY() bytes.
 *
 * Functions may be made as a batch: with a number in ipc_function_create.batch, which they keep
 * until IPC_BATCH_COMMIT. One that still has it when another ridged comes is of a batch that was
 * not finished, and it is ridged that decides about it.
 */
#ifndef RIDGE_WORKER_IPC_H
#define RIDGE_WORKER_IPC_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"

#define IPC_MAGIC   0x65676472u /* "rdge" */
#define IPC_VERSION 3 /* another one with any change of what is below, or of struct counters */

#define IPC_MESSAGE_MAX 8192
#define IPC_FDS_MAX     8

#define IPC_NAME_MAX 64   /* function and PF names, with the terminating NUL */
#define IPC_WORD_MAX 32   /* type and driver names, with the terminating NUL */
#define IPC_TEXT_MAX 256  /* one line for people, with the terminating NUL */
#define IPC_SPEC_MAX 4096 /* the parameters as ridged was given them, with the terminating NUL */

enum ipc_type {
	IPC_PF_INIT = 1,          /* struct ipc_pf_init -> struct ipc_pf_info */
	IPC_PF_INFO = 2,          /* nothing -> struct ipc_pf_info */
	IPC_FUNCTION_CREATE = 3,  /* struct ipc_function_create -> struct ipc_function_info */
	IPC_FUNCTION_DESTROY = 4, /* struct ipc_function_destroy -> nothing */
	IPC_FUNCTION_BIND = 5,    /* struct ipc_function_bind -> struct ipc_function_info */
	IPC_FUNCTION_INFO = 6,    /* struct ipc_function_name -> struct ipc_function_info */
	IPC_FUNCTION_LIST = 7,    /* struct ipc_function_list -> struct ipc_function_info ...
				   * (IPC_MORE), then an empty message */
	IPC_SHUTDOWN = 8,         /* nothing -> nothing; the process ends after the reply */
	IPC_FUNCTION_SET = 10,    /* struct ipc_function_set -> struct ipc_function_info */
	IPC_EVENT = 11,           /* struct ipc_event, from ridge-pf */
	IPC_BATCH_COMMIT = 12,    /* struct ipc_batch -> nothing */
	IPC_PF_EXPORT = 13,       /* nothing -> struct ipc_pf_info. Descriptors: IPC_FD_LISTEN */
	IPC_PF_UNEXPORT = 14,     /* struct ipc_pf_unexport -> struct ipc_pf_info */
	IPC_PF_EVENT = 15,   /* struct ipc_pf_info, from ridge-pf: exported, peer_pid changed */
	IPC_VF_WANTS = 16,   /* struct ipc_vf_wants, from ridge-pf: an image, see there */
	IPC_VF_BACKEND = 17, /* struct ipc_vf_backend -> nothing. Descriptors: as fds says */
	IPC_FAULT = 9,       /* struct ipc_fault -> nothing; only in builds with -Dfaults=true */
};

/* Bytes of a body that ends with a spec. */
#define IPC_SPEC_BODY(body) (offsetof(__typeof__(*(body)), spec) + strlen((body)->spec) + 1)

#define IPC_REPLY 0x1u
#define IPC_MORE  0x2u

struct ipc_header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;   /* enum ipc_type */
	uint32_t seq;    /* of the request; echoed */
	uint32_t flags;  /* IPC_REPLY, IPC_MORE */
	int32_t error;   /* reply: 0 or a negative errno */
	uint32_t length; /* of the whole message, this header included */
};

/* Body of every reply whose header has an error. */
struct ipc_failure {
	char text[IPC_TEXT_MAX]; /* what was asked, what is wrong, what would be right */
};

/* Sent once, first. The spec texts are kept and given back, not read. */
struct ipc_pf_init {
	char name[IPC_NAME_MAX];
	char type[IPC_WORD_MAX]; /* blk, net, rng */
	uint32_t total_vfs;      /* 1..4094 */
	uint32_t fds;            /* IPC_FD_BACKEND (blk: its image), IPC_FD_UPLINK */
	uint8_t mac[6];          /* net: of the PF's own device */
	uint8_t reserved[2];
	uint64_t vf_mac_key; /* net: what addresses of VFs that are enabled in bulk come from */
	uint64_t vf_size;    /* blk: bytes of the images of such VFs; 0: they have none */
	char spec[IPC_SPEC_MAX];
};

struct ipc_pf_info {
	char name[IPC_NAME_MAX]; /* empty before IPC_PF_INIT */
	char type[IPC_WORD_MAX];
	int32_t pid;
	uint16_t rid; /* of the PF itself */
	uint16_t reserved;
	uint32_t total_vfs;
	uint32_t functions;         /* slots taken */
	uint64_t admin_commands[2]; /* completed on each admin queue: registers, parts and modes */
	uint32_t exported;          /* a Linux host is to drive it, or does */
	int32_t peer_pid;           /* of the VMM that has the exported domain, or 0 */
	struct counters counters;   /* of the PF's own device, its domain and VFs made in bulk */
	char spec[IPC_SPEC_MAX];
};

/*
 * A VF that a Linux host enabled in bulk got its first request, which waits for the VF's image:
 * ridged answers with IPC_VF_BACKEND. Said again to each ridged that connects, as long as it waits.
 */
struct ipc_vf_wants {
	uint32_t slot;
};

struct ipc_vf_backend {
	uint32_t slot;
	uint32_t fds;  /* IPC_FD_BACKEND, if there is no error */
	int32_t error; /* 0, or a negative errno: it can't be had */
};

#define IPC_UNEXPORT_FORCE 0x1u

struct ipc_pf_unexport {
	uint32_t flags; /* IPC_UNEXPORT_FORCE: although a VMM is connected */
};

/* Which descriptors a message carries, in this order. */
#define IPC_FD_STATE   0x1u /* memfd for the function's state; always */
#define IPC_FD_LISTEN  0x2u /* listening vfio-user socket; for drivers that serve one */
#define IPC_FD_BACKEND 0x4u /* blk: the image, opened and locked; net: a TAP, else the switch */
#define IPC_FD_UPLINK  0x8u /* of a net PF: the TAP that its switch is connected to */

#define IPC_FUNCTION_READONLY    0x1u
#define IPC_FUNCTION_DIRECT      0x2u  /* the image was opened with O_DIRECT */
#define IPC_FUNCTION_LEGACY_ONLY 0x4u  /* legacy=only */
#define IPC_FUNCTION_PACKED      0x8u  /* offer packed virtqueues */
#define IPC_FUNCTION_TRUST       0x10u /* net: trust=true */
#define IPC_FUNCTION_LINK_DOWN   0x20u /* net: link=down, until it is set otherwise */

/* Descriptors: IPC_FD_STATE, and IPC_FD_LISTEN and IPC_FD_BACKEND as fds says. */
struct ipc_function_create {
	char name[IPC_NAME_MAX];
	char driver[IPC_WORD_MAX];
	uint32_t slot;       /* VF number 1..total_vfs, or 0: the lowest free one */
	uint32_t fds;        /* IPC_FD_* */
	uint32_t flags;      /* IPC_FUNCTION_* */
	uint16_t queues;     /* 0: the type's default */
	uint16_t queue_size; /* 0: the type's default; a power of two */
	char serial[24];     /* blk: at most 20 bytes are used; empty: the function's name */
	uint8_t mac[6];      /* net */
	uint16_t mtu;        /* net; 0: the guest is not told one */
	uint64_t batch;      /* that it is a part of; 0: made by itself */
	char spec[IPC_SPEC_MAX];
};

/* The functions of a batch are there to stay. */
struct ipc_batch {
	uint64_t batch;
};

#define IPC_DESTROY_FORCE 0x1u

struct ipc_function_destroy {
	char name[IPC_NAME_MAX];
	uint32_t flags; /* IPC_DESTROY_FORCE: although a VMM is connected */
};

/* Descriptors: IPC_FD_LISTEN if the new driver serves a socket and the old one did not. */
struct ipc_function_bind {
	char name[IPC_NAME_MAX];
	char driver[IPC_WORD_MAX];
	uint32_t fds;
	char spec[IPC_SPEC_MAX]; /* replaces the old one when the bind succeeds */
};

enum ipc_set_what {
	IPC_SET_LINK = 1, /* net: value 1 up, 0 down */
	IPC_SET_SIZE = 2, /* blk: bytes, not more than the image has; 0: as many as it has */
};

struct ipc_function_set {
	char name[IPC_NAME_MAX];
	uint32_t what;
	uint32_t reserved;
	uint64_t value;
	char spec[IPC_SPEC_MAX]; /* replaces the old one when it succeeds */
};

struct ipc_function_name {
	char name[IPC_NAME_MAX];
};

#define IPC_LIST_FDS 0x1u /* send each function's descriptors too: for a ridged that starts */

struct ipc_function_list {
	uint32_t flags;
};

enum ipc_function_state {
	IPC_STATE_IDLE = 0,      /* no VMM, or driver none */
	IPC_STATE_CONNECTED = 1, /* a VMM is attached */
	IPC_STATE_DRAINING = 2,  /* the VMM is gone, its last I/O is not */
	IPC_STATE_FAULTED = 3,   /* a VMM is attached, the function stopped: text says why */
};

/* Descriptors in a list with IPC_LIST_FDS: as fds says, in IPC_FD_* order. */
struct ipc_function_info {
	char name[IPC_NAME_MAX];
	char type[IPC_WORD_MAX];
	char driver[IPC_WORD_MAX];
	uint32_t slot;
	uint16_t rid;
	uint16_t state;   /* enum ipc_function_state */
	uint32_t fds;     /* IPC_FD_* */
	int32_t peer_pid; /* of the attached VMM, or 0 */
	uint64_t batch;   /* that is not committed yet, or 0 */
	char text[IPC_TEXT_MAX];
	struct counters counters;
	char spec[IPC_SPEC_MAX];
};

/* The connection could not take events for a while: this is how things are, not what happened. */
#define IPC_EVENT_CATCH_UP 0x1u

/* The state of a function changed, or it stopped (again): FAULTED. */
struct ipc_event {
	char name[IPC_NAME_MAX];
	uint16_t state; /* enum ipc_function_state */
	uint16_t flags; /* IPC_EVENT_* */
	int32_t peer_pid;
	char text[IPC_TEXT_MAX];
};

/* What a test can break. name: a function; the PF itself for ADMIN_STALL and ESCAPE. */
enum ipc_fault_kind {
	IPC_FAULT_ADMIN_STALL =
		1, /* value 1: the PF takes nothing from its register queue; 0: goes on */
	IPC_FAULT_BACKEND_HANG =
		2,            /* value 1: finished I/O is kept back from the device; 0: let go */
	IPC_FAULT_ESCAPE = 3, /* value: enum ipc_escape; an error is what the attempt got */
};

/* What code of an attacker's would try: worker/escape.c. The last two are for sanitizers. */
enum ipc_escape {
	IPC_ESCAPE_OPEN = 1,
	IPC_ESCAPE_SOCKET,
	IPC_ESCAPE_CONNECT,
	IPC_ESCAPE_EXEC,
	IPC_ESCAPE_FORK,
	IPC_ESCAPE_PTRACE,
	IPC_ESCAPE_KILL,
	IPC_ESCAPE_MMAP,
	IPC_ESCAPE_MPROTECT,
	IPC_ESCAPE_STAT,
	IPC_ESCAPE_MOUNT,
	IPC_ESCAPE_UNSHARE,
	IPC_ESCAPE_SECCOMP,
	IPC_ESCAPE_URING_SETUP,
	IPC_ESCAPE_URING_OPEN,
	IPC_ESCAPE_LEAK,
	IPC_ESCAPE_OVERFLOW,
};

struct ipc_fault {
	char name[IPC_NAME_MAX];
	uint32_t kind;
	uint32_t value;
};

static_assert(sizeof(struct ipc_header) == 24, "ipc header");
static_assert(sizeof(struct ipc_header) + sizeof(struct ipc_function_info) < IPC_MESSAGE_MAX,
	      "an ipc message must fit");

#endif
