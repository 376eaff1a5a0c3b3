/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: every key of an environment file, one row each in policy/keys_tbl.h, of a gateway's configuration, in
 * policy/config_keys_tbl.h, and of a catalogue, in policy/catalogue_keys_tbl.h. From these tables come the checks of
 * the loader, the manual and the JSON Schemas; the rows of `egress.limits` come from policy/limits_tbl.h. Constant
 * data.
 */
#ifndef POLICY_KEYS_H
#define POLICY_KEYS_H

#include <stddef.h>

#define KEY_TYPE_TABLE(X)                                                                                              \
    X(MAP, "map")           /* unknown keys are errors */                                                              \
    X(OPEN, "map")          /* unknown keys are the vendor's */                                                        \
    X(FREE, "anything")     /* not looked into */                                                                      \
    X(MAPS, "list of maps") /* its rows are "path[].key" */                                                            \
    X(STRING, "string")                                                                                                \
    X(BOOL, "true or false")                                                                                           \
    X(CHOICE, "one word")                                                                                              \
    X(STRINGS, "list of strings")                                                                                      \
    X(HOSTS, "list of hosts")                                                                                          \
    X(NAMES, "list of host names")                                                                                     \
    X(PATTERNS, "list of regular expressions")                                                                         \
    X(PATHS, "list of paths")                                                                                          \
    X(PORTS, "list of ports")                                                                                          \
    X(METHODS, "list of methods")                                                                                      \
    X(PREFIXES, "list of address prefixes")                                                                            \
    X(PREFIX, "address prefix")                                                                                        \
    X(DATE, "date")                                                                                                    \
    X(DURATION, "duration")                                                                                            \
    X(SIZE, "size")                                                                                                    \
    X(COUNT, "number")

enum key_type {
#define X(id, text) KEY_##id,
    KEY_TYPE_TABLE(X)
#undef X
};

enum key_scope { SCOPE_VENDOR, SCOPE_ENV, SCOPE_HOST, SCOPE_GATEWAY, SCOPE_CATALOGUE };

struct key_row {
    const char *path; /* "egress.hosts[].ports" */
    enum key_type type;
    enum key_scope scope;
    const char *values;   /* the words of a CHOICE, separated by spaces; else empty */
    const char *dflt;     /* in words; empty for a required key */
    const char *sentence; /* what it means */
};

/* Every row of an environment file, in the order of the table. */
const struct key_row *keys_rows(size_t *out_count);
/* Every row of a gateway's configuration (policy/config_keys_tbl.h); those of `limits` stand in the table of limits. */
const struct key_row *config_keys_rows(size_t *out_count);
/* Every row of a catalogue of package managers' hosts (policy/catalogue_keys_tbl.h). */
const struct key_row *catalogue_keys_rows(size_t *out_count);
/* As a manual says it: "list of hosts". */
const char *key_type_text(enum key_type type);

#endif
