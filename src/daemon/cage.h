/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cage: what the program takes from itself, so that whoever takes it over has little. None of it needs root.
 *
 *   cage.c        the order, the attributes of the process, and what `status` says
 *   cage_calls.c  a filter of system calls for each kind of thread (libseccomp)
 *   cage_files.c  the directories that it may still use (Landlock)
 *
 * A build with sanitizers or coverage leaves filter and directories open: their run-time libraries call what they like.
 */
#ifndef DAEMON_CAGE_H
#define DAEMON_CAGE_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

enum cage_kind { CAGE_MAIN, CAGE_WORKER, CAGE_WRITER, CAGE_KINDS };

struct daemon;
struct files;

/* Once root is given up: no new rights, no dump, no look from outside. */
void cage_close_process(void);
/* Once everything is open and before another thread exists. ERR_* when it should work and does not: then the program
 * must not start. */
MUST_CHECK enum err cage_close(struct daemon *daemon);
/* Each thread, for good; before it does anything for a stranger. Ends the program if it fails. */
void cage_enter(enum cage_kind kind);
void cage_status_into(struct json *j);
/* Says of files that could not be read whether the cage is why. */
void cage_explain(const struct files *files);

/* ---- cage_calls.c ---- */
bool calls_supported(void);
MUST_CHECK enum err calls_prepare(void);
MUST_CHECK enum err calls_close(enum cage_kind kind);

/* ---- cage_files.c ---- */
/* The kernel's version of Landlock; 0: it has none. */
int files_supported(void);
struct cage_path {
    const char *path;
    bool write;
};
/* Everything that is not below one of them cannot be opened by this thread and those that it starts. What does not
 * exist is left out. */
MUST_CHECK enum err files_close(const struct cage_path *paths, size_t count);

#endif
