/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_summary: what a session did, read from the audit log in this process, so that the proxy does nothing for it.
 * Bounded: reading begins at the entry at which the session was opened and ends after READ_MS; hosts and refusals are
 * counted by name up to a thousand each; the environment's earlier records are looked at for BEFORE_MS and for the
 * million entries before the session. Whatever was cut short is said.
 */
#ifndef CLI_SESSION_SUMMARY_H
#define CLI_SESSION_SUMMARY_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct summary_of {
    const char *dir, *session, *environment;
    uint64_t opened_index;
    bool until_closed; /* wait, for two seconds at most, for the record of its end */
    bool until_quiet;  /* and for the end of what was open */
};

/* A new object. ERR_NOT_FOUND, ERR_CORRUPT, ERR_IO: the log cannot be read. */
MUST_CHECK enum err session_summary(const struct summary_of *of, json_t **out);

/* `session` is what the proxy says of it, with the object above as its "summary". */
void session_print_text(json_t *session, FILE *out);
void session_print_markdown(json_t *session, FILE *out);

#endif
