/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file for each PF, DIR/pf/NAME.json: what would be needed if its process died while no ridged is
 * there to see it. It is a hint: where the process lives, that is asked, and the file written anew.
 * But no process can write it, and so it is what ridged believes of paths and accounts: parameters
 * that only a process says are marked as hearsay, and nothing is opened by them.
 *
 *	{"version": 1, "name": "blk0", "params": {...}, "functions": [
 *	  {"slot": 1, "params": {...}}, {"slot": 2, "down": "why", "params": {...}},
 *	  {"slot": 3, "hearsay": true, "params": {...}}]}
 *
 * It is written a little after a change, so that a burst of changes is one write, and replaced in
 * one step. One that makes no sense is said and set aside as NAME.json.bad.
 */
#ifndef RIDGE_CONTROL_REGISTRY_FILE_H
#define RIDGE_CONTROL_REGISTRY_FILE_H

#include "control/registry.h"

#define REGISTRY_FILE_VERSION  1
#define REGISTRY_FILE_QUIET_MS 100  /* without a change, until it is written */
#define REGISTRY_FILE_LATE_MS  1000 /* after the first change it is written in any case */

/* Something of the PF that the file has is another now. */
void registry_file_changed(struct pf *pf);

/*
 * What the file of a PF whose process lives says, hearsay left out: {"params": {...}, "functions":
 * {"NAME": {...}, ...}} with the parameters of each. NULL: there is none that can be read.
 */
struct json_object *registry_file_known(struct control *ctl, const char *name);

/* Writes what is not written yet: ridged ends. */
void registry_file_flush(struct pf *pf);

/* The PF is gone for good. */
void registry_file_remove(struct pf *pf);

/*
 * Makes PFs again, with their functions, that have a file but no process. Call it when the PFs that
 * have one were found.
 */
void registry_files_load(struct control *ctl);
void registry_file_load(struct control *ctl, const char *name);

#endif
