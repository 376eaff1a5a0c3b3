/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the verb `audit` share. argv[0] is the whole name, "sallyport audit query". */
#ifndef CLI_AUDIT_VERBS_H
#define CLI_AUDIT_VERBS_H

#include "base/err.h"
#include "base/span.h"

int audit_verb_query(int argc, char **argv);
int audit_verb_export(int argc, char **argv);
int audit_verb_prove(int argc, char **argv);
int audit_verb_checkpoint(int argc, char **argv);
int audit_verb_tiles(int argc, char **argv);

/* A key line has plus signs; anything else is a file that holds one, which is read into `buffer`. */
const char *audit_key_line(const char *given, char *buffer, size_t cap);
/* "2026-11-21", "2026-11-21T10:00:00Z", or "1h": that long ago. Milliseconds since 1970. */
MUST_CHECK enum err audit_parse_time(const char *text, int64_t *out_ms);
/* The exit status for what the log rooms say: 2 corrupt, 3 no log there, 1 else. */
int audit_exit(enum err err);

#endif
