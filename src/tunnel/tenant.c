/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/tenant.h"

#include "base/digest.h"
#include "base/hash.h"

#include <stdlib.h>
#include <sys/mman.h>

bool budget_take(struct budget *budget, uint64_t n, uint64_t max)
{
    uint64_t before = atomic_fetch_add_explicit(&budget->used, n, memory_order_relaxed);
    if (max == 0 || before + n <= max)
        return true;
    atomic_fetch_sub_explicit(&budget->used, n, memory_order_relaxed);
    return false;
}

void budget_give(struct budget *budget, uint64_t n)
{
    atomic_fetch_sub_explicit(&budget->used, n, memory_order_relaxed);
}

uint64_t budget_used(const struct budget *budget)
{
    return atomic_load_explicit(&budget->used, memory_order_relaxed);
}

/*
 * Names of the current minute: an open table of keyed hashes whose low 16 bits hold the minute, so that a slot of
 * another minute is an empty one and nothing has to be cleared. No minute's mark is the zero of an unused slot.
 */
#define NAME_SLOTS  16384u /* twice the largest limit */
#define NAME_PROBES 64u
#define MINUTE_TAGS 65535u

struct name_budget {
    struct hash_key key;
    atomic_uint_fast64_t minute_and_count; /* minute << 32 | names */
    atomic_uint_fast64_t warned;           /* the minute in which somebody was told of a refusal */
    _Atomic uint64_t slots[NAME_SLOTS];
};

enum err tenant_new(struct span name, struct tenant **out)
{
    if (name.len >= sizeof(((struct tenant *)0)->name))
        return ERR_TOO_BIG;
    struct tenant *tenant = calloc(1, sizeof *tenant);
    if (tenant == NULL)
        return ERR_NO_MEMORY;
    /* Mapped, not allocated: of a tenant that asks few names, only the pages that they fall into are ever there. */
    tenant->names = mmap(NULL, sizeof *tenant->names, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (tenant->names == MAP_FAILED) {
        free(tenant);
        return ERR_NO_MEMORY;
    }
    random_bytes(&tenant->names->key, sizeof tenant->names->key);
    why_init(&tenant->why);
    if (name.len > 0)
        memcpy(tenant->name, name.data, name.len);
    *out = tenant;
    return ERR_NONE;
}

void tenant_free(struct tenant *tenant)
{
    if (tenant == NULL)
        return;
    munmap(tenant->names, sizeof *tenant->names);
    why_clear(&tenant->why);
    free(tenant);
}

/* The generic cell rate algorithm (ITU-T I.371): one atomic number, the time at which the bucket would be full. */
bool rate_take(atomic_uint_fast64_t *due_ns, const struct limits *limits, uint64_t now_ns)
{
    uint64_t each_ns = UINT64_C(1000000000) / limits->attempts_per_second;
    uint64_t burst_ns = each_ns * limits->attempts_burst;
    uint64_t due = atomic_load_explicit(due_ns, memory_order_relaxed);
    for (;;) {
        uint64_t base = due > now_ns ? due : now_ns;
        if (base - now_ns > burst_ns)
            return false;
        if (atomic_compare_exchange_weak_explicit(due_ns, &due, base + each_ns, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
}

bool tenant_excess_add(struct tenant *tenant, int64_t wall_ms)
{
    if (atomic_fetch_add_explicit(&tenant->excess, 1, memory_order_acq_rel) == 0)
        atomic_store_explicit(&tenant->excess_from_ms, wall_ms, memory_order_relaxed);
    return !atomic_load_explicit(&tenant->excess_watched, memory_order_relaxed) &&
           !atomic_exchange_explicit(&tenant->excess_watched, true, memory_order_acq_rel);
}

void tenant_excess_unwatched(struct tenant *tenant)
{
    atomic_store_explicit(&tenant->excess_watched, false, memory_order_release);
}

uint64_t tenant_excess_take(struct tenant *tenant, int64_t *out_from_ms)
{
    *out_from_ms = atomic_load_explicit(&tenant->excess_from_ms, memory_order_relaxed);
    /* First: whoever counts from here on is watched by somebody, if only by who finds nothing left. */
    tenant_excess_unwatched(tenant);
    return atomic_exchange_explicit(&tenant->excess, 0, memory_order_acq_rel);
}

/* Counts a name that was not seen in this minute; false when `max` are there. */
static bool name_count(struct name_budget *names, uint64_t minute, uint64_t max)
{
    uint64_t now = atomic_load_explicit(&names->minute_and_count, memory_order_relaxed);
    for (;;) {
        uint64_t count = now >> 32 == minute ? now & UINT32_MAX : 0;
        if (count >= max)
            return false;
        if (atomic_compare_exchange_weak_explicit(&names->minute_and_count, &now, minute << 32 | (count + 1),
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}

bool tenant_name_take(struct tenant *tenant, struct span name, uint64_t max, uint64_t now_ms)
{
    struct name_budget *names = tenant->names;
    uint64_t minute = (now_ms / 60000 + 1) & UINT32_MAX, tag = now_ms / 60000 % MINUTE_TAGS + 1;
    uint64_t hash = hash_keyed(&names->key, name);
    uint64_t mark = (hash & ~UINT64_C(0xffff)) | tag;
    for (uint64_t i = 0; i < NAME_PROBES; i++) {
        _Atomic uint64_t *slot = &names->slots[((hash >> 16) + i) & (NAME_SLOTS - 1)];
        uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed);
        if (seen == mark)
            return true;
        if ((seen & 0xffff) == tag)
            continue;
        if (!name_count(names, minute, max))
            return false;
        /* Two workers may race for one slot: the loser's name is counted again when it is asked again, never less. */
        atomic_compare_exchange_strong_explicit(slot, &seen, mark, memory_order_relaxed, memory_order_relaxed);
        return true;
    }
    return false;
}

bool tenant_names_warn(struct tenant *tenant, uint64_t now_ms)
{
    uint64_t minute = (now_ms / 60000 + 1) & UINT32_MAX;
    return atomic_exchange_explicit(&tenant->names->warned, minute, memory_order_relaxed) != minute;
}
