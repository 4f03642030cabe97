/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An exported PF: instead of our owner driver, a Linux host drives it, in the guest of a VMM that
 * attached the PCI domain that PF and members are then in.
 *
 *   local --export--> leaving --the PF was reset--> exported --the VMM detached, or unexport-->
 *   returning --our owner driver brought the PF up again--> local
 *
 * The VMM's end is a function level reset of the PF, which ends its VFs, too; then the PF is local
 * again, and its socket is not served any more. Functions in slots keep their slots all the time.
 * Dynamic functions stay, but answer nowhere until the PF is exported once more.
 */
#ifndef RIDGE_WORKER_EXPORT_H
#define RIDGE_WORKER_EXPORT_H

#include "domain/domain.h"
#include "worker/worker.h"

struct export;

/* IPC_PF_EXPORT and IPC_PF_UNEXPORT: each ends the request, now or later. */
void export_start(struct worker *w, struct request *req);
void export_stop(struct worker *w, struct request *req);

/* Whether functions can be made for the Linux host, and nothing else can be done with them. */
bool export_serving(const struct export *ex);
/* Whether a VMM is attached. */
bool export_attached(const struct export *ex);
void export_info(const struct export *ex, struct ipc_pf_info *info);

/* The bus for functions that are made now. */
struct pci_upstream *export_upstream(const struct export *ex);
/* A RID for a dynamic function, or -ENOSPC. */
int export_dynamic_rid(const struct export *ex);

/* Members that were disabled have all stopped. From deep inside of a device. */
void export_vfs_stopped(struct export *ex);

/* For the process's end: true if nothing is in flight any more. */
bool export_quiesce(struct export *ex);
/* Takes the PF back and frees all. */
void export_end(struct export *ex);

/* vfs.c: the VFs of an exported PF that nobody made one by one */
struct vfs;

int vfs_new(struct worker *w, struct vfs **vfs);
/* All of them must be disabled, and have stopped. */
void vfs_free(struct vfs *vfs);
const struct counters *vfs_counters(const struct vfs *vfs);
/* The VF that has waited for an image for longest after that one (0: of all), or 0. */
uint32_t vfs_wanting(const struct vfs *vfs, uint32_t after);
/* The image that a VF waits for (taken over), or a negative errno. False if it does not. */
bool vfs_attach(struct vfs *vfs, uint32_t slot, int fd);

/* IPC_VF_BACKEND */
void export_vf_backend(struct worker *w, struct request *req);
/* As vfs_wanting(). */
uint32_t export_wanting(const struct export *ex, uint32_t after);

#endif
