/* SPDX-License-Identifier: Apache-2.0 */
#include "envs.h"

#include "base/digest.h"

#include <stdlib.h>

void envs_init(struct envs *e)
{
    *e = (struct envs){0};
    random_bytes(&e->key, sizeof e->key);
}

void envs_free(struct envs *e)
{
    for (size_t i = 0; i < e->cap; i++) {
        for (struct env *env = e->buckets[i], *next; env != NULL; env = next) {
            next = env->next;
            free(env);
        }
    }
    free(e->buckets);
    *e = (struct envs){0};
}

static struct env **bucket(const struct envs *e, struct span name)
{
    return &e->buckets[hash_keyed(&e->key, name) & (e->cap - 1)];
}

static bool grow(struct envs *e)
{
    struct envs bigger = *e;
    bigger.cap = e->cap == 0 ? 64 : 2 * e->cap;
    bigger.buckets = calloc(bigger.cap, sizeof(struct env *));
    if (bigger.buckets == NULL)
        return false;
    for (size_t i = 0; i < e->cap; i++) {
        for (struct env *env = e->buckets[i], *next; env != NULL; env = next) {
            struct env **to = bucket(&bigger, span_make(env->name, env->len));
            next = env->next;
            env->next = *to;
            *to = env;
        }
    }
    free(e->buckets);
    e->buckets = bigger.buckets;
    e->cap = bigger.cap;
    return true;
}

struct env *envs_find(struct envs *e, struct span name)
{
    if (e->recent != NULL && span_equal(span_make(e->recent->name, e->recent->len), name))
        return e->recent;
    if (e->count >= e->cap && !grow(e))
        return NULL;
    struct env **at = bucket(e, name);
    for (struct env *env = *at; env != NULL; env = env->next)
        if (span_equal(span_make(env->name, env->len), name))
            return e->recent = env;
    struct env *env = calloc(1, sizeof *env + name.len + 1);
    if (env == NULL)
        return NULL;
    env->len = name.len;
    memcpy(env->name, name.data, name.len);
    env->next = *at;
    *at = env;
    e->count++;
    return env;
}

uint64_t envs_number(struct envs *e, struct env *env)
{
    if (!env->is_touched) {
        env->is_touched = true;
        env->touched = e->touched;
        e->touched = env;
    }
    return ++env->last;
}

struct env *envs_next(const struct envs *e, size_t *bucket, const struct env *at)
{
    if (at != NULL && at->next != NULL)
        return at->next;
    while (*bucket < e->cap) {
        struct env *first = e->buckets[(*bucket)++];
        if (first != NULL)
            return first;
    }
    return NULL;
}

size_t envs_used(const struct envs *e)
{
    size_t used = 0, bucket = 0;
    for (const struct env *env = envs_next(e, &bucket, NULL); env != NULL; env = envs_next(e, &bucket, env))
        used += env->settled > 0;
    return used;
}

uint64_t envs_hour(const struct env *env)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < ENVS_HOUR_SLICES; i++)
        bytes += env->hour[i];
    return bytes;
}

void envs_hour_turn(struct envs *e, uint64_t now_s)
{
    uint64_t slice = now_s / ENVS_SLICE_S, passed = slice - e->slice;
    size_t bucket = 0;
    if (slice == e->slice)
        return;
    for (struct env *env = envs_next(e, &bucket, NULL); env != NULL; env = envs_next(e, &bucket, env))
        for (uint64_t i = 0; i < passed && i < ENVS_HOUR_SLICES; i++)
            env->hour[(slice - i) % ENVS_HOUR_SLICES] = 0;
    e->slice = slice;
}

static void end(struct envs *e, bool keep)
{
    for (struct env *env = e->touched; env != NULL; env = env->touched) {
        env->is_touched = false;
        if (keep) {
            env->settled = env->last;
            env->settled_index = env->index;
            env->hour[e->slice % ENVS_HOUR_SLICES] += env->pending;
        } else {
            env->last = env->settled;
            env->index = env->settled_index;
        }
        env->pending = 0;
    }
    e->touched = NULL;
}

void envs_settle(struct envs *e)
{
    end(e, true);
}

void envs_revert(struct envs *e)
{
    end(e, false);
}
