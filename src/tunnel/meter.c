/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/meter.h"

uint64_t gauge_borrow(struct gauge *gauge, uint64_t want, uint64_t max)
{
    uint64_t promised = atomic_load_explicit(&gauge->promised, memory_order_relaxed);
    for (;;) {
        uint64_t left = promised < max ? max - promised : 0;
        uint64_t lent = want < left ? want : left;
        if (lent == 0 || atomic_compare_exchange_weak_explicit(&gauge->promised, &promised, promised + lent,
                                                               memory_order_relaxed, memory_order_relaxed))
            return lent;
    }
}

void gauge_settle(struct gauge *gauge, uint64_t borrowed, uint64_t used)
{
    /* Spent first: a gauge that is full must never look as if others could still give something back. */
    atomic_fetch_add_explicit(&gauge->spent, used, memory_order_relaxed);
    atomic_fetch_sub_explicit(&gauge->promised, borrowed - used, memory_order_release);
}

void gauge_add(struct gauge *gauge, uint64_t used)
{
    atomic_fetch_add_explicit(&gauge->promised, used, memory_order_relaxed);
    atomic_fetch_add_explicit(&gauge->spent, used, memory_order_relaxed);
}

uint64_t gauge_spent(const struct gauge *gauge)
{
    return atomic_load_explicit(&gauge->spent, memory_order_relaxed);
}

bool gauge_is_full(const struct gauge *gauge, uint64_t max)
{
    return max != 0 && gauge_spent(gauge) >= max;
}

bool gauge_warns(struct gauge *gauge, uint64_t max)
{
    if (max == 0 || gauge_spent(gauge) < max - max / 5)
        return false;
    if (atomic_load_explicit(&gauge->warned, memory_order_relaxed) == max)
        return false;
    return atomic_exchange_explicit(&gauge->warned, max, memory_order_relaxed) != max;
}

bool meter_denial(struct meter *meter, uint64_t max, uint64_t now_ms)
{
    uint64_t minute = (now_ms / 60000 + 1) & UINT32_MAX;
    uint64_t seen = atomic_load_explicit(&meter->denials, memory_order_relaxed);
    uint64_t count;
    do {
        count = (seen >> 32 == minute ? seen & UINT32_MAX : 0) + 1;
        if (count > UINT32_MAX)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&meter->denials, &seen, minute << 32 | count, memory_order_relaxed,
                                                    memory_order_relaxed));
    return max != 0 && count == max + 1;
}

void meter_quarantine(struct meter *meter, uint64_t until_ms)
{
    atomic_store_explicit(&meter->quarantined_until_ms, until_ms, memory_order_relaxed);
}

uint64_t meter_quarantined_ms(const struct meter *meter, uint64_t now_ms)
{
    uint64_t until_ms = atomic_load_explicit(&meter->quarantined_until_ms, memory_order_relaxed);
    return until_ms > now_ms ? until_ms - now_ms : 0;
}
