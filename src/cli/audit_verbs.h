/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the verb `audit` share. argv[0] is the whole name, "sallyport audit query". */
#ifndef CLI_AUDIT_VERBS_H
#define CLI_AUDIT_VERBS_H

#include "audit/evidence.h"
#include "base/err.h"
#include "base/span.h"

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

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

/* Where in the struct of its parser an option's value goes; what it may be follows from the member's type. */
enum audit_place_kind { AUDIT_PLACE_TEXT, AUDIT_PLACE_FLAG, AUDIT_PLACE_INDEX, AUDIT_PLACE_TIME };

struct audit_place {
    int key;
    enum audit_place_kind kind;
    size_t offset;
};

/* clang-format off */
#define AUDIT_PLACE(key, type, member)                                                                                 \
    {key,                                                                                                              \
     _Generic(((type *)0)->member, const char *: AUDIT_PLACE_TEXT, bool: AUDIT_PLACE_FLAG,                             \
                                   uint64_t: AUDIT_PLACE_INDEX, int64_t: AUDIT_PLACE_TIME),                            \
     offsetof(type, member)}
/* clang-format on */

/* For parsers of options, whose input is that struct: an option of `places`, the one argument DIR, and its absence.
 * Else ARGP_ERR_UNKNOWN. */
error_t audit_take(const struct audit_place *places, size_t count, int key, char *arg, struct argp_state *state,
                   const char **dir);

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
