/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node: a YAML text as a tree, and no more than that: no types, no anchors, no merging. What a scalar means is
 * decided by the key that it belongs to (schema.h). All memory is the arena's.
 */
#ifndef POLICY_NODE_H
#define POLICY_NODE_H

#include "arena.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    bool plain;                    /* a scalar written without quotes and not as a block */
    bool bad;                      /* a finding was made about it: later passes leave it alone */
    uint32_t line, column;         /* from 1 */
    uint32_t end_line, end_column; /* behind its last character; of a block, where the next thing begins */
    struct span text;              /* of a scalar */
    struct span key;               /* when it is a value in a map */
    uint32_t key_line, key_column;
    uint32_t count; /* children */
    struct node *first, *last, *next;
};

/* The value of a key in a map; NULL if there is none, if `map` is NULL or no map, or if the value is bad. */
struct node *node_get(const struct node *map, const char *key);

/* True if a plain scalar reads as something else than a string in YAML 1.1 or 1.2 (null, booleans in all their
 * spellings, numbers in all bases, dates): where a string is wanted it must stand in quotes. */
bool node_is_implicit(struct span text);
bool node_is_null(const struct node *node);

#endif
