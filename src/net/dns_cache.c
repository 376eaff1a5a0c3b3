/* SPDX-License-Identifier: Apache-2.0 */
#include "dns_cache.h"

#include "base/assert.h"
#include "base/digest.h"
#include "pool.h"

#include <stdlib.h>

#define ENTRIES_A_SLAB 32
#define BUCKETS_MAX    ((size_t)1 << 20)

struct entry {
    struct entry *next; /* of the same bucket */
    struct entry *newer, *older;
    uint64_t hash;
    uint64_t expires_ms;
    enum dns_type type;
    struct dns_addresses answer;
    struct hostname name;
};

struct dns_cache {
    struct dns_cache_bounds bounds;
    struct hash_key key;
    struct pool pool;
    struct entry *newest, *oldest; /* by use */
    size_t count;
    size_t mask;
    struct entry *buckets[];
};

enum err dns_cache_new(const struct dns_cache_bounds *bounds, struct dns_cache **out)
{
    size_t buckets = 16;

    while (buckets < bounds->entries && buckets < BUCKETS_MAX) {
        buckets *= 2;
    }
    struct dns_cache *cache = calloc(1, sizeof(*cache) + buckets * sizeof(struct entry *));

    if (cache == NULL) {
        return ERR_NO_MEMORY;
    }
    cache->bounds = *bounds;
    cache->mask = buckets - 1;
    pool_init(&cache->pool, sizeof(struct entry), ENTRIES_A_SLAB);
    random_bytes(&cache->key, sizeof(cache->key));
    *out = cache;
    return ERR_NONE;
}

static uint64_t hash_of(const struct dns_cache *cache, const struct hostname *name, enum dns_type type)
{
    /* Both types of a name in neighbouring buckets. */
    return hash_keyed(&cache->key, hostname_span(name)) + (type == DNS_TYPE_A ? 0 : 1);
}

static void use_unlink(struct dns_cache *cache, struct entry *entry)
{
    *(entry->newer != NULL ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older != NULL ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void use_first(struct dns_cache *cache, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static struct entry **find_link(struct dns_cache *cache, uint64_t hash, const struct hostname *name, enum dns_type type)
{
    struct entry **link = &cache->buckets[hash & cache->mask];

    while (*link != NULL && ((*link)->hash != hash || (*link)->type != type || !hostname_equal(&(*link)->name, name))) {
        link = &(*link)->next;
    }
    return link;
}

static void remove_at(struct dns_cache *cache, struct entry **link)
{
    struct entry *entry = *link;

    ASSERT(entry != NULL);
    *link = entry->next;
    use_unlink(cache, entry);
    cache->count--;
    pool_give(&cache->pool, entry);
}

static void remove_oldest(struct dns_cache *cache)
{
    struct entry *entry = cache->oldest;

    remove_at(cache, find_link(cache, entry->hash, &entry->name, entry->type));
}

const struct dns_addresses *dns_cache_find(struct dns_cache *cache, const struct hostname *name, enum dns_type type,
                                           uint64_t now_ms)
{
    struct entry **link = find_link(cache, hash_of(cache, name, type), name, type);
    struct entry *entry = *link;

    if (entry == NULL) {
        return NULL;
    }
    if (entry->expires_ms <= now_ms) {
        remove_at(cache, link);
        return NULL;
    }
    use_unlink(cache, entry);
    use_first(cache, entry);
    return &entry->answer;
}

static uint32_t seconds_to_keep(const struct dns_cache *cache, const struct dns_addresses *answer)
{
    uint32_t most = 0;

    if (answer->result == DNS_OK) {
        most = cache->bounds.ttl_max_s;
    } else if (answer->result == DNS_NODATA || answer->result == DNS_NXDOMAIN) {
        most = cache->bounds.negative_ttl_s;
    }
    return answer->ttl_s < most ? answer->ttl_s : most;
}

void dns_cache_store(struct dns_cache *cache, const struct hostname *name, enum dns_type type,
                     const struct dns_addresses *answer, uint64_t now_ms)
{
    uint32_t seconds = seconds_to_keep(cache, answer);
    uint64_t hash = hash_of(cache, name, type);
    struct entry **link = find_link(cache, hash, name, type);

    if (*link != NULL) {
        remove_at(cache, link);
    }
    if (seconds == 0) {
        return;
    }
    if (cache->count >= cache->bounds.entries) {
        remove_oldest(cache);
    }
    struct entry *entry = pool_take(&cache->pool);

    if (entry == NULL) {
        return;
    }
    entry->hash = hash;
    entry->expires_ms = now_ms + (uint64_t)seconds * 1000;
    entry->type = type;
    entry->answer = *answer;
    entry->name = *name;
    entry->next = cache->buckets[hash & cache->mask];
    cache->buckets[hash & cache->mask] = entry;
    use_first(cache, entry);
    cache->count++;
}

size_t dns_cache_count(const struct dns_cache *cache)
{
    return cache->count;
}

void dns_cache_free(struct dns_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    while (cache->oldest != NULL) {
        remove_oldest(cache);
    }
    pool_end(&cache->pool);
    free(cache);
}
