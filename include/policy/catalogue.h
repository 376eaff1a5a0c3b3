/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogue: which hosts belong to which package manager. One is part of the program (policies/package-managers.yaml);
 * an operator's own file replaces it, or extends it with `extends: builtin`, where a group of the same name is the
 * file's. Data, immutable; the spans live as long as it does.
 */
#ifndef POLICY_CATALOGUE_H
#define POLICY_CATALOGUE_H

#include "policy/policy.h"

struct word_list {
    const struct span *at;
    uint32_t count;
};

enum catalogue_mode { MODE_COMPAT = 1, MODE_READ_ONLY = 2 };

struct catalogue_host {
    struct span host; /* canonical name or *. pattern */
    struct span source;
    unsigned modes;
    struct word_list except; /* what a pattern does not cover */
    uint32_t line;
};

struct catalogue_group {
    struct span name, ecosystem, source, date, why;
    struct span version; /* of the file that it stands in */
    const char *file;    /* NULL: built in */
    uint32_t line;
    uint8_t tier;
    unsigned modes; /* of hosts that say nothing else */
    struct word_list managers;
    const struct catalogue_host *hosts;
    uint32_t host_count;
};

struct catalogue {
    struct span version;         /* VERSION of the built-in one, VERSION+HASH of a file: what a record carries */
    char id[POLICY_ID_TEXT + 1]; /* of everything in it */
    const struct catalogue_group *groups;
    uint32_t group_count;
    bool extends; /* the built-in one */
};

/* `path` NULL: the built-in one. ERR_INVALID and ERR_IO with findings in `diag`. */
MUST_CHECK enum err catalogue_load(const char *path, bool strict_files, struct diag *diag, struct catalogue **out);
/* The same from memory; `path` stands for the file. */
MUST_CHECK enum err catalogue_load_text(const char *path, struct span text, struct diag *diag, struct catalogue **out);
void catalogue_free(struct catalogue *catalogue); /* NULL is allowed */

#endif
