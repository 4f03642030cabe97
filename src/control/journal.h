/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Batches that are finished, while not all of their PF processes are known to have heard it: a file
 * each in the runtime directory, DIR/batch-NUMBER. A ridged that finds functions of a batch
 * that is not there knows that it was not finished.
 */
#ifndef RIDGE_CONTROL_JOURNAL_H
#define RIDGE_CONTROL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "control/error.h"

/* Returns 0, or a negative errno with e set. */
int journal_add(const char *dir, uint64_t batch, struct error *e);
void journal_remove(const char *dir, uint64_t batch);
bool journal_has(const char *dir, uint64_t batch);

/* Removes all: every PF process was heard. */
void journal_clear(const char *dir);

#endif
