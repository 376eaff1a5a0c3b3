/* SPDX-License-Identifier: Apache-2.0 */
#include "totals.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>

#define WORKERS_MAX 256

struct sums {
#define X(name, sentence) uint64_t name;
    TUNNEL_COUNTER_TABLE(X)
#undef X
};

struct totals {
    pthread_mutex_t lock;
    struct sums ended;
    const struct tunnel_counters *running[WORKERS_MAX];
    size_t count;
    struct book *book; /* NULL before the first load */
};

enum err totals_new(struct totals **out)
{
    struct totals *totals = calloc(1, sizeof *totals);
    if (totals == NULL)
        return ERR_NO_MEMORY;
    pthread_mutex_init(&totals->lock, NULL);
    *out = totals;
    return ERR_NONE;
}

void totals_free(struct totals *totals)
{
    if (totals == NULL)
        return;
    book_unref(totals->book);
    pthread_mutex_destroy(&totals->lock);
    free(totals);
}

enum err totals_add(struct totals *totals, const struct tunnel_counters *counters)
{
    pthread_mutex_lock(&totals->lock);
    bool room = totals->count < WORKERS_MAX;
    if (room)
        totals->running[totals->count++] = counters;
    pthread_mutex_unlock(&totals->lock);
    return room ? ERR_NONE : ERR_TOO_BIG;
}

static void sum(struct sums *sums, const struct tunnel_counters *c)
{
#define X(name, sentence) sums->name += atomic_load_explicit(&c->name, memory_order_relaxed);
    TUNNEL_COUNTER_TABLE(X)
#undef X
}

void totals_keep(struct totals *totals, const struct tunnel_counters *counters)
{
    pthread_mutex_lock(&totals->lock);
    for (size_t i = 0; i < totals->count; i++) {
        if (totals->running[i] != counters)
            continue;
        sum(&totals->ended, counters);
        totals->running[i] = totals->running[--totals->count];
    }
    pthread_mutex_unlock(&totals->lock);
}

void totals_set_book(struct totals *totals, struct book *book)
{
    pthread_mutex_lock(&totals->lock);
    struct book *before = totals->book;
    totals->book = book_ref(book);
    pthread_mutex_unlock(&totals->lock);
    book_unref(before);
}

static uint64_t observing(const struct book *book)
{
    uint64_t count = 0;
    int64_t now_ms = clock_wall_ns() / 1000000;
    for (size_t i = 0; book != NULL && i < book_count(book); i++)
        count += now_ms < policy_observes_until_ms(book_at(book, i));
    return count;
}

size_t totals_facts(void *arg, struct event_fact *out, size_t max)
{
    struct totals *totals = arg;
    pthread_mutex_lock(&totals->lock);
    struct sums sums = totals->ended;
    for (size_t i = 0; i < totals->count; i++)
        sum(&sums, totals->running[i]);
    uint64_t observed = observing(totals->book);
    pthread_mutex_unlock(&totals->lock);
    const struct event_fact facts[] = {
#define X(name, sentence) {.key = #name, .is_number = true, .number = sums.name},
        TUNNEL_COUNTER_TABLE(X)
#undef X
    };
    size_t n = 0, at = 0;
    if (observed > 0 && max > 0)
        out[n++] = (struct event_fact){.key = "observing", .is_number = true, .number = observed};
    for (; at < sizeof facts / sizeof facts[0] && n < max; at++)
        out[n++] = facts[at];
    return n;
}
