/* SPDX-License-Identifier: Apache-2.0 */
/* policy_log: what an audit log says of the policies that were in force, and their texts beside it. */
#ifndef CLI_POLICY_LOG_H
#define CLI_POLICY_LOG_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy_entry {
    uint64_t index; /* of the entry in the log */
    int64_t time_ms;
    uint64_t generation, line, egress_line;
    char event[32];                 /* policy_loaded, policy_refused, policy_removed */
    char environment[136];          /* empty: the configuration as a whole */
    char id[65];                    /* of the policy; of a configuration the hash of its text */
    char text[65], egress_text[65]; /* hashes; empty: none */
    char who[160], reason[300], commit[72];
    char file[512], egress_file[512];
    char message[512];
};

/* Calls `fn` for each such entry, in order, until it gives false. ERR_NOT_FOUND: no log lies there; ERR_CORRUPT. */
typedef bool policy_entry_fn(void *arg, const struct policy_entry *entry);
MUST_CHECK enum err policy_log_each(const char *dir, policy_entry_fn *fn, void *arg);

/* One of the files that a policy was read from: a list, an agent definition, the catalogue. */
struct policy_file_entry {
    uint64_t generation;
    char kind[16], file[512];
    char blob[65]; /* empty: it changed before its text could be kept */
};
typedef bool policy_file_entry_fn(void *arg, const struct policy_file_entry *entry);
/* Those of the policy with this id, in order; one that was loaded again stands there again. */
MUST_CHECK enum err policy_log_files(const char *dir, const char *id, policy_file_entry_fn *fn, void *arg);

/* The last entry of a load whose policy, or text, has an id that begins so (8 digits at least). ERR_NOT_FOUND;
 * ERR_EXISTS when two different ones do. */
MUST_CHECK enum err policy_log_find(const char *dir, const char *prefix, struct policy_entry *out);

/* A text by its hash; heap, with a NUL behind it. ERR_CORRUPT when it is not what the hash says. */
MUST_CHECK enum err policy_log_text(const char *dir, const char *hash, char **out_text, size_t *out_len);

#endif
