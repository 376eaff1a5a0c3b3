/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: the operational log, one line a fact on standard error. Library rooms do not log; tunnel, daemon and cli do.
 * Lines are "LEVEL fact key=value …" or, after log_set_json(true), one JSON object. The line is written with one
 * write(2), is at most LOG_LINE_MAX bytes, and carries no byte of a peer unescaped. Safe from any thread.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#define LOG_LINE_MAX 2048

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* At the start, before there are threads. Lines above the level are left out; the usual one is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
void log_set_json(bool json);

/* `fact` is a constant sentence; the rest is printf-like text of key=value pairs, whose values are escaped as a whole
 * line at the end (control bytes become \xNN). */
void log_line(enum log_level level, const char *fact, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_error(fact, ...) log_line(LOG_LEVEL_ERROR, fact, __VA_ARGS__)
#define log_warn(fact, ...)  log_line(LOG_LEVEL_WARN, fact, __VA_ARGS__)
#define log_info(fact, ...)  log_line(LOG_LEVEL_INFO, fact, __VA_ARGS__)
#define log_debug(fact, ...) log_line(LOG_LEVEL_DEBUG, fact, __VA_ARGS__)

#endif
