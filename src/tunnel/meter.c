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

#define REST_LEAST_MS 10u
#define REST_MOST_MS  100u
#define DEBT_US       UINT64_C(1000000)

struct pace meter_pace(const struct limits *limits)
{
    uint64_t each_us = UINT64_C(1000000) / limits->unfinished_per_second;
    return (struct pace){.each_us = each_us, .burst_us = each_us * limits->unfinished_burst};
}

/* No more is owed than a second's worth, so that a flood that has ended slows nobody for longer. */
void meter_unfinished(struct meter *meter, struct pace pace, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000, most_us = now_us + pace.burst_us + DEBT_US;
    uint64_t due = atomic_load_explicit(&meter->unfinished_due_us, memory_order_relaxed), next;
    do {
        next = (due > now_us ? due : now_us) + pace.each_us;
        next = next > most_us ? most_us : next;
    } while (!atomic_compare_exchange_weak_explicit(&meter->unfinished_due_us, &due, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}

uint32_t meter_rest_ms(const struct meter *meter, struct pace pace, uint64_t now_ms)
{
    uint64_t due = atomic_load_explicit(&meter->unfinished_due_us, memory_order_relaxed);
    uint64_t free_us = now_ms * 1000 + pace.burst_us;
    if (due <= free_us)
        return 0;
    uint64_t ms = (due - free_us) / 1000;
    return ms < REST_LEAST_MS ? REST_LEAST_MS : ms > REST_MOST_MS ? REST_MOST_MS : (uint32_t)ms;
}
