/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag: what a loader has to say about a file: errors, which stop the load, and lints, which never do. Each finding
 * has file:line:column, what is wrong, and the fix. At most DIAG_MAX are kept; the rest is counted.
 */
#ifndef POLICY_DIAG_H
#define POLICY_DIAG_H

#include "base/span.h"

#define DIAG_MAX 100

enum severity { SEVERITY_ERROR, SEVERITY_LINT };

struct finding {
    enum severity severity;
    const char *code; /* stable short name, "unknown_key", "shared_suffix": a literal */
    char file[256];
    uint32_t line, column; /* from 1; 0: the file as a whole */
    char message[512];
    char fix[512]; /* empty if there is nothing to say */
};

struct diag {
    struct finding *items; /* heap */
    size_t count;
    size_t errors, lints; /* all, also those that were not kept */
};

/* A diag belongs to its caller and one thread; clearing it frees the findings and leaves it empty. */
void diag_init(struct diag *diag);
void diag_clear(struct diag *diag);

/* Counts a finding and keeps it, if there is room: it is owned by `diag`, NULL if it was only counted. `message` is
 * printf-like; bytes of the file inside it are escaped on the way in. */
struct finding *diag_add(struct diag *diag, enum severity severity, const char *code, const char *file, uint32_t line,
                         uint32_t column, const char *message, ...) __attribute__((format(printf, 7, 8)));
/* What to do about it, for the finding that was just added. */
void diag_fix(struct finding *finding, const char *fix, ...) __attribute__((format(printf, 2, 3))); /* NULL: nothing */

#endif
