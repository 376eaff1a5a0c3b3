/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena: memory that lives and dies with one policy. Nothing is freed singly; a load that fails drops the whole arena,
 * so no error path has anything to clean up.
 */
#ifndef POLICY_ARENA_H
#define POLICY_ARENA_H

#include "base/err.h"
#include "base/span.h"

struct arena_block;

struct arena {
    struct arena_block *newest;
    size_t used, cap; /* of the newest block */
    bool failed;      /* an allocation failed: whatever was built is not to be used */
};

void arena_clear(struct arena *arena);

/* Zeroed and aligned for any object; NULL when memory is short, which also sets `failed`. */
void *arena_take(struct arena *arena, size_t size);

/* The same for `count` objects of `size` bytes. */
void *arena_array(struct arena *arena, size_t count, size_t size);

/* A copy with a NUL behind it; the empty span when memory is short. */
struct span arena_copy(struct arena *arena, struct span bytes);

#endif
