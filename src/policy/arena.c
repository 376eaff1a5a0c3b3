/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCK_BYTES (16u * 1024u)

struct arena_block {
    struct arena_block *older;
    alignas(max_align_t) uint8_t bytes[];
};

void arena_clear(struct arena *arena)
{
    for (struct arena_block *block = arena->newest; block != NULL;) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
    *arena = (struct arena){0};
}

static bool arena_grow(struct arena *arena, size_t size)
{
    size_t cap = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    struct arena_block *block = calloc(1, sizeof *block + cap);
    if (block == NULL) {
        arena->failed = true;
        return false;
    }
    block->older = arena->newest;
    arena->newest = block;
    arena->used = 0;
    arena->cap = cap;
    return true;
}

void *arena_take(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2) {
        arena->failed = true;
        return NULL;
    }
    size = (size + align - 1) / align * align;
    if (arena->cap - arena->used < size && !arena_grow(arena, size))
        return NULL;
    void *taken = arena->newest->bytes + arena->used;
    arena->used += size;
    return taken;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        arena->failed = true;
        return NULL;
    }
    return arena_take(arena, count * size == 0 ? 1 : count * size);
}

struct span arena_copy(struct arena *arena, struct span bytes)
{
    char *copy = arena_take(arena, bytes.len + 1);
    if (copy == NULL)
        return span_make(NULL, 0);
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    return span_make(copy, bytes.len);
}
