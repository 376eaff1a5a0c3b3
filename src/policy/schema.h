/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema: holds a tree against the table of keys. Every unknown key, null and wrong type becomes a finding with the
 * fix, and its node is marked bad, so that the compiler behind it meets only values of the right shape.
 */
#ifndef POLICY_SCHEMA_H
#define POLICY_SCHEMA_H

#include "node.h"
#include "policy/diag.h"
#include "policy/keys.h"

/* Checks `map` as the value at `path` ("" for a whole environment file, "egress" for a file that holds that block). */
void schema_check(struct node *map, const char *path, const char *file, struct diag *diag);

/* Checks the tree of a whole gateway's configuration. What stands under FREE keys is not looked into. */
void schema_check_config(struct node *map, const char *file, struct diag *diag);

/* Checks a map of a catalogue: "" for the whole file, "group" and "group.hosts[]" for what stands in it. */
void schema_check_catalogue(struct node *map, const char *path, const char *file, struct diag *diag);

/* Of `words` (separated by spaces) the one that `word` was perhaps meant to be; empty if none is near. */
struct span schema_nearest(struct span word, const char *words);

#define SCHEMA_WORD_MAX 40 /* longer words are far from everything */
/* One more candidate: *best and *best_distance are changed where it is nearer. */
void schema_nearer(struct span word, struct span candidate, struct span *best, size_t *best_distance);

#endif
