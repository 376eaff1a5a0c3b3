/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envs: the last env_seq of each environment. Numbers are given while a batch is written and count once it is durable:
 * envs_settle() keeps them, envs_revert() takes them back.
 */
#ifndef AUDIT_ENVS_H
#define AUDIT_ENVS_H

#include "base/err.h"
#include "base/hash.h"
#include "base/span.h"

struct env {
    struct env *next;    /* in its bucket */
    struct env *touched; /* numbered in the batch that is written */
    bool is_touched;
    uint64_t settled, last;
    size_t len;
    char name[];
};

struct envs {
    struct hash_key key;
    struct env **buckets;
    size_t cap, count;
    struct env *touched;
};

void envs_init(struct envs *e);
void envs_free(struct envs *e);
/* The environment of that name, made with number 0 if it is new; NULL without memory. */
struct env *envs_find(struct envs *e, struct span name);
uint64_t envs_number(struct envs *e, struct env *env);
void envs_settle(struct envs *e);
void envs_revert(struct envs *e);

#endif
