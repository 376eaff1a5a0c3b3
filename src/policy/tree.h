/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: YAML as a strict stream of tokens. yaml.c is the one door to libyaml, of which only the event interface is
 * used: no anchors, aliases, tags, merge keys, directives or second documents; depth YAML_DEPTH_MAX; UTF-8 without BOM,
 * without NUL and control characters.
 */
#ifndef POLICY_TREE_H
#define POLICY_TREE_H

#include "node.h"
#include "policy/diag.h"

#define YAML_BYTES_MAX    (1024u * 1024u)
#define YAML_DEPTH_MAX    16
#define YAML_NODES_MAX    200000u
#define YAML_MAP_KEYS_MAX 256u

/*
 * Reads one document. Lines are counted from `first_line` (1 for a whole file). ERR_INVALID with at least one finding
 * in `diag`; duplicate keys are findings too, but the tree is read to its end first, so that other findings are not
 * hidden: then *out is set although the result is ERR_INVALID, else it is NULL.
 */
MUST_CHECK enum err yaml_read(struct arena *arena, const char *file, struct span text, uint32_t first_line,
                              struct diag *diag, struct node **out);

#endif
