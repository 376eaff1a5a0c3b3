/* SPDX-License-Identifier: Apache-2.0 */
/* config_parts: the parts of a gateway's configuration, from checked nodes to values. */
#ifndef POLICY_CONFIG_PARTS_H
#define POLICY_CONFIG_PARTS_H

#include "node.h"
#include "policy/config.h"

struct config_memory {
    struct config config; /* what the caller gets */
    struct arena arena;   /* everything in it */
};

struct config_reader {
    struct config_memory *memory;
    const char *file; /* the arena's */
    struct diag *diag;
    const struct builtin_data *builtin;
    const struct policy_then *then; /* stands for the files of the ceiling; NULL: they are opened */
    size_t then_count;
    uint32_t seen_line; /* begins at this offset of the text; values are cut out in the order of the file */
    size_t seen_offset;
};

/* An error at a value, with its fix. */
void config_error(const struct config_reader *r, const struct node *node, const char *code, const char *fix,
                  const char *message, ...) __attribute__((format(printf, 5, 6)));

/* A string of the arena, NUL-terminated; NULL if the key is absent. */
const char *config_string(struct config_reader *r, const struct node *map, const char *key);
/* The same for a path, as seen from the directory of the file. */
const char *config_path(struct config_reader *r, const struct node *map, const char *key);

/* The value of a key as a text of its own, every line and column of it as they are here; NULL if there is none. */
const struct policy_text *config_part(struct config_reader *r, const struct node *map, const char *key);

void config_listeners(struct config_reader *r, const struct node *root);
void config_environments(struct config_reader *r, const struct node *root);
void config_above(struct config_reader *r, const struct node *root);

#endif
