/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the verb `audit` share. argv[0] is the whole name, "sallyport audit query". */
#ifndef CLI_AUDIT_VERBS_H
#define CLI_AUDIT_VERBS_H

#include "audit/evidence.h"
#include "base/err.h"
#include "base/span.h"

#include <argp.h>
#include <jansson.h>

int audit_verb_verify(int argc, char **argv);
int audit_verb_query(int argc, char **argv);
int audit_verb_export(int argc, char **argv);
int audit_verb_prove(int argc, char **argv);
int audit_verb_checkpoint(int argc, char **argv);
int audit_verb_hmac(int argc, char **argv);
int audit_verb_tiles(int argc, char **argv);
int audit_verb_ship(int argc, char **argv);
int audit_verb_replay(int argc, char **argv);
int audit_verb_absence(int argc, char **argv);
int audit_verb_cosign(int argc, char **argv);
int audit_verb_rotate_key(int argc, char **argv);

/* For parsers of options: the one argument DIR, and its absence. Else ARGP_ERR_UNKNOWN. */
error_t audit_take_dir(int key, char *arg, struct argp_state *state, const char **dir);
void audit_take_time(struct argp_state *state, const char *arg, int64_t *out);
void audit_take_index(struct argp_state *state, const char *arg, uint64_t *out);

/* A key line has plus signs; anything else is a file that holds one, which is read into `buffer`. */
const char *audit_key_line(const char *given, char *buffer, size_t cap);
/* "2026-11-21", "2026-11-21T10:00:00Z", or "1h": that long ago. Milliseconds since 1970. */
MUST_CHECK enum err audit_parse_time(const char *text, int64_t *out_ms);
void audit_time_text(int64_t ms, char out[static 32]);

/* The exit status for what the log rooms say: 2 corrupt, 3 no log there, 1 else. */
int audit_exit(enum err err);
/* Says what is wrong with `where` and gives the exit status of `err`. */
int audit_fail(const char *verb, const char *where, enum err err, const char *why);
/* 0, or the exit status after saying why. */
int audit_open_evidence(const char *verb, const char *dir, const char *key, struct evidence **out);
/* One line; takes the object. */
void audit_print_object(json_t *object);

#endif
