/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data: the two files of policies/ that are part of the program, read with the same strict reader as a policy. A fault
 * in them is a bug of ours and ends the process.
 */
#ifndef POLICY_DATA_H
#define POLICY_DATA_H

#include "node.h"
#include "policy/catalogue.h"

struct receiver {
    struct span suffix, why;
};

struct builtin_data {
    struct span version;
    struct word_list denied_names, shared_suffixes, shared_trees, receivers_except, control_plane;
    const struct receiver *receivers;
    uint32_t receiver_count;
};

/* The bytes as they stand in policies/. */
struct span data_builtin_text(void);
struct span data_catalogue_text(void);

/* Borrows the arena; NULL when memory is short. */
const struct builtin_data *data_builtin(struct arena *arena);

/* True if `name` is `suffix` or lies below it. */
bool data_covers(struct span suffix, struct span name);

#endif
