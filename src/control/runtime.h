/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The runtime directory:
 *
 *   .                  0711  anyone may pass, nobody may look
 *   ridged.sock        0600  or 0660 with --group: control
 *   ridged.lock        0600  one ridged per directory
 *   mac-seed           0600  what made-up MAC addresses are derived from
 *   functions/NAME.sock      0711: vfio-user sockets, each with the access asked for
 *   exports/NAME.sock        0711: the same of exported PFs
 *   pf/NAME.sock             0700: control sockets of PF processes
 *   pf/NAME.json             0600: registry files
 *   batch-NUMBER             0600: a batch that not all PF processes are known to have heard of
 */
#ifndef RIDGE_CONTROL_RUNTIME_H
#define RIDGE_CONTROL_RUNTIME_H

#include <stddef.h>

#include "control/error.h"

/*
 * Makes the directory (NULL: as base/runtime_dir.h says; not its parents) and what belongs in it, and locks it. Returns the absolute
 * path, newly allocated, and the lock's descriptor; or NULL with e set.
 */
char *runtime_open(const char *dir, int *lock, struct error *e);

/* Removes the subdirectories if they are empty. */
void runtime_close(const char *dir);

/* DIR/SUB/NAME.sock to path. Returns 0, or -ENAMETOOLONG with e set. */
int runtime_socket(const char *dir, const char *sub, const char *name, char *path, size_t len,
		   struct error *e);

/*
 * Calls fn with the NAME of each NAME.sock in DIR/SUB. Returns 0 or a negative errno from
 * opening the directory. fn may remove the file.
 */
int runtime_each(const char *dir, const char *sub, void (*fn)(void *arg, const char *name),
		 void *arg);

#endif
