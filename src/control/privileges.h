/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What ridged keeps of root's rights, and what it gives up. Where it runs without any, it has
 * nothing to give up but setuid programs.
 */
#ifndef RIDGE_CONTROL_PRIVILEGES_H
#define RIDGE_CONTROL_PRIVILEGES_H

/*
 * For good, and for the processes that are started too: capabilities but those that are used, and
 * privileges that a program's file would give. Returns 0 or a negative errno.
 */
int privileges_drop(void);

#endif
