/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: objects of one size, taken from slabs and kept when they are given back, so that nothing is allocated in the
 * steady state. One thread. Memory returns to the system when the pool ends; under AddressSanitizer a free object is
 * poisoned, so that use after give is seen.
 */
#ifndef NET_POOL_H
#define NET_POOL_H

#include <stddef.h>

struct pool_item;
struct pool_slab;

struct pool {
    size_t size; /* of an object, rounded up */
    size_t slab_count;
    size_t taken;
    struct pool_item *free;
    struct pool_slab *slabs;
};

/* `slab_count` objects are allocated at a time. */
void pool_init(struct pool *pool, size_t size, size_t slab_count);
/* Zeroed; NULL: no memory. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *object);
/* Every object must have been given back. */
void pool_end(struct pool *pool);

#endif
