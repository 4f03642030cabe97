/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One line per event on standard error, with the syslog priority in front ("<4>...") when
 * standard error goes to the journal, and with a time stamp when it does not.
 */
#ifndef RIDGE_BASE_LOG_H
#define RIDGE_BASE_LOG_H

#include <syslog.h> /* LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG */

/* Names the process in every line. Messages above max_priority are dropped (default LOG_INFO). */
void log_open(const char *name, int max_priority);

__attribute__((format(printf, 2, 3))) void log_msg(int priority, const char *fmt, ...);

#define log_err(...)   log_msg(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARNING, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)

#endif
