/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#endif

#ifdef POISONS
#include <sanitizer/asan_interface.h>
#define POISON(object, size)   __asan_poison_memory_region(object, size)
#define UNPOISON(object, size) __asan_unpoison_memory_region(object, size)
#else
#define POISON(object, size)   ((void)0)
#define UNPOISON(object, size) ((void)0)
#endif

struct pool_item {
    struct pool_item *next;
};

struct pool_slab {
    struct pool_slab *next;
    max_align_t objects[];
};

void pool_init(struct pool *pool, size_t size, size_t slab_count)
{
    size_t unit = sizeof(max_align_t);

    *pool = (struct pool){.size = (size + unit - 1) / unit * unit, .slab_count = slab_count};
}

static void pool_keep(struct pool *pool, void *object)
{
    struct pool_item *item = object;

    item->next = pool->free;
    pool->free = item;
    POISON(object, pool->size);
}

static void pool_grow(struct pool *pool)
{
    struct pool_slab *slab = malloc(sizeof(*slab) + pool->slab_count * pool->size);

    if (slab == NULL) {
        return;
    }
    slab->next = pool->slabs;
    pool->slabs = slab;
    for (size_t i = 0; i < pool->slab_count; i++) {
        pool_keep(pool, (unsigned char *)slab->objects + (pool->slab_count - 1 - i) * pool->size);
    }
}

void *pool_take(struct pool *pool)
{
    if (pool->free == NULL) {
        pool_grow(pool);
    }
    struct pool_item *item = pool->free;

    if (item == NULL) {
        return NULL;
    }
    UNPOISON(item, pool->size);
    pool->free = item->next;
    pool->taken++;
    memset(item, 0, pool->size);
    return item;
}

void pool_give(struct pool *pool, void *object)
{
    ASSERT(pool->taken > 0);
    pool->taken--;
    pool_keep(pool, object);
}

void pool_end(struct pool *pool)
{
    ASSERT(pool->taken == 0);
    while (pool->slabs != NULL) {
        struct pool_slab *slab = pool->slabs;

        pool->slabs = slab->next;
        UNPOISON(slab->objects, pool->slab_count * pool->size);
        free(slab);
    }
    pool->free = NULL;
}
