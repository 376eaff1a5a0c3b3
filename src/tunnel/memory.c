/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The byte budget: what connections make the process hold, of the process and of their environment. It is taken before
 * the allocation, even where a freelist answers it; only what a lane keeps for a slow receiver is counted right after
 * it was read. Atomic counts alone: no lock, no system call, no allocation.
 *
 * Once three quarters are used, an environment that holds more than what is left gets nothing more. So whoever holds
 * the most is refused first, and there is always something for one that holds little.
 */
#include "internal.h"

#include "base/assert.h"

static uint64_t add(struct budget *budget, uint64_t n)
{
    return atomic_fetch_add_explicit(&budget->used, n, memory_order_relaxed) + n;
}

bool memory_take(struct tunnel *t, size_t bytes)
{
    struct tunnel_process *process = t->home->o.process;
    const uint64_t max = process->memory_max;
    ASSERT(t->memory_of != NULL);
    uint64_t all = add(&process->memory, bytes), own = add(&t->memory_of->memory, bytes);
    bool fits = (max == 0 || all <= max) && (t->memory_max == 0 || own <= t->memory_max);
    if (fits && max != 0 && all > max - max / 4)
        fits = own <= max - all || atomic_load_explicit(&process->share_percent, memory_order_relaxed) == 100;
    if (!fits) {
        budget_give(&process->memory, bytes);
        budget_give(&t->memory_of->memory, bytes);
        LIMIT_HIT(t->home, LIMIT_memory);
        return false;
    }
    t->memory += bytes;
    return true;
}

void memory_give(struct tunnel *t, size_t bytes)
{
    ASSERT(t->memory >= bytes);
    if (bytes == 0)
        return;
    t->memory -= bytes;
    budget_give(&t->home->o.process->memory, bytes);
    budget_give(&t->memory_of->memory, bytes);
}

bool memory_join(struct tunnel *t, struct tenant *tenant, const struct limits *limits)
{
    t->memory_of = tenant;
    t->memory_max = limits->memory;
    if (t->memory_max == 0 && t->home->o.process->memory_max != 0)
        t->memory_max = tunnel_share(t, limits, t->home->o.process->memory_max);
    return memory_take(t, CONNECTION_BYTES);
}

/* Nearly always nothing is held before and after: then no count is touched. */
bool memory_lanes(struct tunnel *t)
{
    uint64_t held = lane_held(&t->up) + lane_held(&t->down);
    if (held > t->memory_lanes) {
        if (!memory_take(t, held - t->memory_lanes))
            return false;
    } else if (held < t->memory_lanes) {
        memory_give(t, t->memory_lanes - held);
    }
    t->memory_lanes = held;
    return true;
}

struct setup *memory_setup(struct tunnel *t)
{
    if (!memory_take(t, sizeof(struct setup)))
        return NULL;
    struct setup *setup = setup_get(t->home);
    if (setup == NULL)
        memory_give(t, sizeof *setup);
    return setup;
}

void memory_setup_drop(struct tunnel *t, struct setup *setup)
{
    memory_give(t, sizeof *setup);
    setup_put(t->home, setup);
}

struct buffer *memory_buffer(struct tunnel *t, size_t bytes)
{
    uint32_t cap = buffer_cap(bytes);
    if (!memory_take(t, cap))
        return NULL;
    struct buffer *buffer = buffer_get(t->home, bytes);
    if (buffer == NULL)
        memory_give(t, cap);
    return buffer;
}

void memory_buffer_drop(struct tunnel *t, struct buffer *buffer)
{
    if (buffer == NULL)
        return;
    memory_give(t, buffer->cap);
    buffer_put(t->home, buffer);
}
