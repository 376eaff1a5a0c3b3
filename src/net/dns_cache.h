/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_cache: raw answers by name and type, for their TTL within bounds. Failures are not kept, verdicts never come
 * here. Bounded: the entry that was not used for the longest time makes room. One thread.
 */
#ifndef NET_DNS_CACHE_H
#define NET_DNS_CACHE_H

#include "base/hash.h"
#include "wire/dnsmsg.h"

struct dns_cache;

struct dns_cache_bounds {
    uint32_t entries;
    uint32_t ttl_max_s;
    uint32_t negative_ttl_s;
};

MUST_CHECK enum err dns_cache_new(const struct dns_cache_bounds *bounds, struct dns_cache **out);
void dns_cache_free(struct dns_cache *cache); /* NULL is allowed */

/* The answer if it is there and its time is not over, else NULL. Valid until the next store. */
const struct dns_addresses *dns_cache_find(struct dns_cache *cache, const struct hostname *name, enum dns_type type,
                                           uint64_t now_ms);

/* Keeps an answer that may be kept; without memory it is not kept. */
void dns_cache_store(struct dns_cache *cache, const struct hostname *name, enum dns_type type,
                     const struct dns_addresses *answer, uint64_t now_ms);

/* Entries now. */
size_t dns_cache_count(const struct dns_cache *cache);

#endif
