/* SPDX-License-Identifier: Apache-2.0 */
/*
 *    lookup ──slot A────┐                    one flight for each (name, type) on its way, however many wait for it;
 *           ──slot AAAA─┼─▶ flight ─▶ asker  it lives until its answer is there, whether anybody still waits or not:
 *    lookup ──slot A────┘        │           what comes late goes to the cache
 *                                ▼
 *                              cache
 */
#include "net/resolver.h"

#include "answers.h"
#include "base/assert.h"
#include "dns_cache.h"
#include "flight.h"
#include "loop_impl.h"
#include "resolv_conf.h"

#include <stdlib.h>

#define CACHE_ENTRIES    4096
#define TTL_MAX_S        300
#define NEGATIVE_TTL_S   30
#define SECOND_FAMILY_MS 50
#define LOOKUPS_A_SLAB   8
#define FAMILIES         2U

struct lookup {
    struct resolver *resolver;
    struct lookup *next, **link; /* in resolver->complete */
    const struct lookup_calls *calls;
    void *arg;
    struct timer deadline;
    struct timer second; /* the second family has waited long enough */
    uint32_t sent;
    bool joined;
    struct slot slots[FAMILIES];
};

struct resolver {
    struct loop *loop;
    struct resolver_options options;
    struct dns_cache *cache;
    struct pool lookups;
    struct lookup *complete; /* to be told */
    struct flights flights;
};

static const enum dns_type family_type[FAMILIES] = {DNS_TYPE_A, DNS_TYPE_AAAA};

/* Lookups. */

static void complete_unlink(struct lookup *lookup)
{
    if (lookup->link == NULL) {
        return;
    }
    *lookup->link = lookup->next;
    if (lookup->next != NULL) {
        lookup->next->link = lookup->link;
    }
    lookup->next = NULL;
    lookup->link = NULL;
}

static void complete_link(struct resolver *resolver, struct lookup *lookup)
{
    lookup->next = resolver->complete;
    lookup->link = &resolver->complete;
    if (lookup->next != NULL) {
        lookup->next->link = &lookup->next;
    }
    resolver->complete = lookup;
}

static void lookup_end(struct lookup *lookup)
{
    ASSERT(lookup->calls != NULL);
    lookup->calls = NULL;
    timer_cancel(&lookup->deadline);
    timer_cancel(&lookup->second);
    complete_unlink(lookup);
    for (size_t f = 0; f < FAMILIES; f++) {
        slot_leave(&lookup->slots[f]);
    }
    /* Nobody looks at it again: it is in no list, and a timer that calls back has let go of it. */
    pool_give(&lookup->resolver->lookups, lookup);
}

static uint32_t lookup_sent(const struct lookup *lookup)
{
    uint32_t sent = lookup->sent;

    for (size_t f = 0; f < FAMILIES; f++) {
        const struct slot *slot = &lookup->slots[f];

        sent += slot->flight != NULL && slot->asked ? slot->flight->query.sent : 0;
    }
    return sent;
}

static void lookup_answers(const struct lookup *lookup, struct answers *out)
{
    const struct dns_addresses *families[FAMILIES];

    *out = (struct answers){.joined = lookup->joined, .queries_sent = lookup_sent(lookup)};
    for (size_t f = 0; f < FAMILIES; f++) {
        const struct slot *slot = &lookup->slots[f];

        families[f] = slot->flight == NULL ? &slot->answer : NULL;
    }
    answers_merge(families, out);
}

static void lookup_report(struct lookup *lookup)
{
    struct answers answers;
    const struct lookup_calls *calls = lookup->calls;
    void *arg = lookup->arg;

    lookup_answers(lookup, &answers);
    lookup_end(lookup);
    calls->answered(arg, &answers);
}

static void lookup_due(struct timer *timer)
{
    lookup_report((struct lookup *)(void *)((char *)timer - offsetof(struct lookup, deadline)));
}

static void second_due(struct timer *timer)
{
    lookup_report((struct lookup *)(void *)((char *)timer - offsetof(struct lookup, second)));
}

static bool lookup_has_all(const struct lookup *lookup)
{
    return lookup->slots[0].flight == NULL && lookup->slots[1].flight == NULL;
}

/* With addresses of one family at hand, the other one has not long to come. */
static void await_second_family(struct lookup *lookup)
{
    struct resolver *resolver = lookup->resolver;

    for (size_t f = 0; f < FAMILIES; f++) {
        if (lookup->slots[f].flight == NULL && lookup->slots[f].answer.result == DNS_OK) {
            timer_set(loop_wheel(resolver->loop), &lookup->second,
                      loop_now_ms(resolver->loop) + resolver->options.second_family_ms);
        }
    }
}

/* Flights. */

/* Hands the answer to who waits, and lists those that have all they waited for. Calls nobody. */
static void flight_land(struct resolver *resolver, struct flight *flight)
{
    while (flight->waiting != NULL) {
        struct slot *slot = flight->waiting;
        struct lookup *lookup = slot->lookup;

        slot_leave(slot);
        slot->flight = NULL;
        slot->answer = flight->query.answer;
        lookup->sent += slot->asked ? flight->query.sent : 0;
        if (lookup_has_all(lookup)) {
            complete_link(resolver, lookup);
        } else {
            await_second_family(lookup);
        }
    }
}

static void flight_answered(void *arg, struct dns_query *query)
{
    struct resolver *resolver = arg;
    struct flight *flight = flight_take(&resolver->flights, query);

    dns_cache_store(resolver->cache, &query->name, query->type, &query->answer, loop_now_ms(resolver->loop));
    flight_report(&resolver->flights, flight);
    flight_land(resolver, flight);
    flight_give(&resolver->flights, flight);
    while (resolver->complete != NULL) {
        lookup_report(resolver->complete);
    }
}

/* Looking up. */

/* Takes what is cached or under way; gives how many questions have to be asked. */
static unsigned lookup_find(struct lookup *lookup, const struct hostname *name,
                            const struct dns_addresses *const found[static FAMILIES])
{
    unsigned missing = 0;

    for (size_t f = 0; f < FAMILIES; f++) {
        struct slot *slot = &lookup->slots[f];

        slot->lookup = lookup;
        if (found[f] != NULL) {
            slot->answer = *found[f];
            continue;
        }
        struct flight *flight = flight_find(&lookup->resolver->flights, name, family_type[f]);

        slot->asked = flight == NULL;
        missing += slot->asked;
        if (flight != NULL) {
            slot_wait(slot, flight);
            lookup->joined = true;
        }
    }
    return missing;
}

/* What was begun and cannot be asked ends at once. */
static enum err lookup_ask(struct lookup *lookup, const struct hostname *name, void *note)
{
    enum err err = ERR_NONE;

    for (size_t f = 0; f < FAMILIES; f++) {
        struct slot *slot = &lookup->slots[f];

        if (!slot->asked) {
            continue;
        }
        struct flight *flight = NULL;

        if (err == ERR_NONE) {
            flight = flight_start(&lookup->resolver->flights, name, family_type[f], lookup->calls->ended, note);
        }
        if (flight != NULL) {
            slot_wait(slot, flight);
            continue;
        }
        err = ERR_NO_MEMORY;
        if (lookup->calls->ended != NULL) {
            lookup->calls->ended(note, NULL);
        }
    }
    return err;
}

static enum err lookup_begin(struct lookup *lookup, const struct hostname *name,
                             const struct dns_addresses *const found[static FAMILIES])
{
    unsigned missing = lookup_find(lookup, name, found);
    void *note = NULL;

    if (missing > 0 && lookup->calls->begins != NULL) {
        note = lookup->calls->begins(lookup->arg, missing);
        if (note == NULL) {
            return ERR_BUSY;
        }
    }
    return lookup_ask(lookup, name, note);
}

static enum err lookup_start(struct resolver *resolver, const struct hostname *name, uint32_t timeout_ms,
                             const struct dns_addresses *const found[static FAMILIES], const struct lookup_calls *calls,
                             void *arg, struct lookup **out)
{
    struct lookup *lookup = pool_take(&resolver->lookups);

    if (lookup == NULL) {
        return ERR_NO_MEMORY;
    }
    lookup->resolver = resolver;
    lookup->calls = calls;
    lookup->arg = arg;
    timer_init(&lookup->deadline, lookup_due);
    timer_init(&lookup->second, second_due);
    enum err err = lookup_begin(lookup, name, found);

    if (err != ERR_NONE) {
        slot_leave(&lookup->slots[0]);
        slot_leave(&lookup->slots[1]);
        pool_give(&resolver->lookups, lookup);
        return err;
    }
    timer_set(loop_wheel(resolver->loop), &lookup->deadline, loop_now_ms(resolver->loop) + timeout_ms);
    await_second_family(lookup);
    *out = lookup;
    return ERR_NONE;
}

enum err resolver_lookup(struct resolver *resolver, const struct hostname *name, uint32_t timeout_ms,
                         const struct lookup_calls *calls, void *arg, struct answers *out, struct lookup **out_lookup)
{
    const struct dns_addresses *found[FAMILIES];
    struct lookup *lookup = NULL;

    for (size_t f = 0; f < FAMILIES; f++) {
        found[f] = dns_cache_find(resolver->cache, name, family_type[f], loop_now_ms(resolver->loop));
    }
    if (found[0] != NULL && found[1] != NULL) {
        out->queries_sent = 0;
        out->joined = false;
        answers_merge(found, out);
        return ERR_NONE;
    }
    if (resolver->flights.asker == NULL) {
        return ERR_CLOSED;
    }
    /* Flights may outlive their lookups by the time that c-ares gives a server, so they are bounded, too. */
    if (resolver->lookups.taken >= resolver->options.pending_max ||
        resolver->flights.pool.taken + FAMILIES > (size_t)resolver->options.pending_max * FAMILIES) {
        return ERR_TOO_BIG;
    }
    enum err err = lookup_start(resolver, name, timeout_ms, found, calls, arg, &lookup);

    if (err != ERR_NONE) {
        return err;
    }
    *out_lookup = lookup;
    return ERR_AGAIN;
}

uint32_t resolver_cancel(struct lookup *lookup)
{
    uint32_t sent = lookup_sent(lookup);

    lookup_end(lookup);
    return sent;
}

/* The resolver. */

static void default_u32(uint32_t *value, uint32_t otherwise)
{
    *value = *value == 0 ? otherwise : *value;
}

static enum err resolver_open(struct resolver *resolver)
{
    struct resolver_server from_file[DNS_SERVERS_MAX];
    const struct resolver_server *servers = resolver->options.servers;
    size_t count = resolver->options.server_count;
    struct dns_cache_bounds bounds = {.entries = resolver->options.cache_entries,
                                      .ttl_max_s = resolver->options.ttl_max_s,
                                      .negative_ttl_s = resolver->options.negative_ttl_s};
    enum err err = dns_cache_new(&bounds, &resolver->cache);

    if (err != ERR_NONE) {
        return err;
    }
    if (count == 0) {
        servers = from_file;
        count = resolv_conf_read("/etc/resolv.conf", from_file, DNS_SERVERS_MAX);
    }
    if (count == 0) {
        return ERR_NONE;
    }
    return dns_asker_new(resolver->loop, servers, count, flight_answered, resolver, &resolver->flights.asker);
}

enum err resolver_new(struct loop *loop, const struct resolver_options *options, struct resolver **out)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (resolver == NULL) {
        return ERR_NO_MEMORY;
    }
    resolver->loop = loop;
    resolver->options = *options;
    default_u32(&resolver->options.cache_entries, CACHE_ENTRIES);
    default_u32(&resolver->options.ttl_max_s, TTL_MAX_S);
    default_u32(&resolver->options.negative_ttl_s, NEGATIVE_TTL_S);
    default_u32(&resolver->options.pending_max, RESOLVER_PENDING_MAX);
    default_u32(&resolver->options.second_family_ms, SECOND_FAMILY_MS);
    pool_init(&resolver->lookups, sizeof(struct lookup), LOOKUPS_A_SLAB);
    flights_init(&resolver->flights, loop);
    enum err err = resolver_open(resolver);

    resolver->options.servers = NULL; /* the caller's; the asker has its copy */
    if (err != ERR_NONE) {
        resolver_free(resolver);
        return err;
    }
    *out = resolver;
    return ERR_NONE;
}

void resolver_free(struct resolver *resolver)
{
    if (resolver == NULL) {
        return;
    }
    dns_asker_free(resolver->flights.asker);
    flights_end(&resolver->flights);
    pool_end(&resolver->lookups);
    dns_cache_free(resolver->cache);
    free(resolver);
}

uint64_t resolver_sent(const struct resolver *resolver)
{
    return resolver->flights.asker == NULL ? 0 : dns_asker_sent(resolver->flights.asker);
}
