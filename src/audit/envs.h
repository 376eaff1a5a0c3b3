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

#define ENVS_HOUR_SLICES 12u
#define ENVS_SLICE_S     300u

struct env_gate;

struct env {
    struct env *next;    /* in its bucket */
    struct env *touched; /* numbered in the batch that is written */
    bool is_touched;
    uint64_t settled, last;
    uint64_t settled_index, index;   /* the entries that have these numbers */
    uint64_t pending;                /* bytes of the batch that is written */
    uint64_t hour[ENVS_HOUR_SLICES]; /* bytes of the last hour, five minutes each */
    struct env_gate *gate;           /* asked for when it is needed first */
    size_t len;
    char name[];
};

struct envs {
    struct hash_key key;
    struct env **buckets;
    size_t cap, count;
    struct env *touched;
    struct env *recent; /* found last: records of one environment come in a row */
    uint64_t slice;     /* the five minutes under way, counted from the start of the clock */
};

void envs_init(struct envs *e);
void envs_free(struct envs *e);
/* The environment of that name, made with number 0 if it is new; NULL without memory. */
struct env *envs_find(struct envs *e, struct span name);
uint64_t envs_number(struct envs *e, struct env *env);
/* One after the other, in no order; `bucket` begins at 0. */
struct env *envs_next(const struct envs *e, size_t *bucket, const struct env *at);
/* Environments that have a number. */
size_t envs_used(const struct envs *e);
/* Bytes of entries in the last hour; what is older is forgotten by the turn, which is told the time. */
uint64_t envs_hour(const struct env *env);
void envs_hour_turn(struct envs *e, uint64_t now_s);
void envs_settle(struct envs *e);
void envs_revert(struct envs *e);

#endif
