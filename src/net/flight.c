/* SPDX-License-Identifier: Apache-2.0 */
#include "flight.h"

#include "base/assert.h"
#include "base/digest.h"

#define FLIGHTS_A_SLAB 8

void flights_init(struct flights *flights, struct loop *loop)
{
    flights->loop = loop;
    random_bytes(&flights->key, sizeof(flights->key));
    pool_init(&flights->pool, sizeof(struct flight), FLIGHTS_A_SLAB);
}

void flights_end(struct flights *flights)
{
    pool_end(&flights->pool);
}

/* Where it hangs, or where the next one of its bucket would. */
static struct flight **flight_link(struct flights *flights, const struct hostname *name, enum dns_type type)
{
    uint64_t hash = hash_keyed(&flights->key, hostname_span(name));
    struct flight **link = &flights->buckets[hash % FLIGHT_BUCKETS];

    while (*link != NULL && ((*link)->query.type != type || !hostname_equal(&(*link)->query.name, name))) {
        link = &(*link)->next;
    }
    return link;
}

struct flight *flight_find(struct flights *flights, const struct hostname *name, enum dns_type type)
{
    return *flight_link(flights, name, type);
}

struct flight *flight_start(struct flights *flights, const struct hostname *name, enum dns_type type,
                            void (*ended)(void *note, const struct lookup_question *question), void *note)
{
    struct flight **link = flight_link(flights, name, type);
    struct flight *flight = pool_take(&flights->pool);

    ASSERT(*link == NULL);
    if (flight == NULL) {
        return NULL;
    }
    flight->query.name = *name;
    flight->query.type = type;
    flight->ended = ended;
    flight->note = note;
    flight->from_ms = loop_now_ms(flights->loop);
    *link = flight;
    dns_ask(flights->asker, &flight->query);
    return flight;
}

struct flight *flight_take(struct flights *flights, struct dns_query *query)
{
    struct flight *flight = (struct flight *)(void *)query;
    struct flight **link = flight_link(flights, &query->name, query->type);

    ASSERT(*link == flight);
    *link = flight->next;
    return flight;
}

void flight_report(const struct flights *flights, const struct flight *flight)
{
    const struct dns_query *query = &flight->query;
    const struct lookup_question question = {
        .name = &query->name,
        .type = query->type,
        .answer = &query->answer,
        .sent = query->sent,
        .took_ms = (uint32_t)(loop_now_ms(flights->loop) - flight->from_ms),
        .server = query->server,
        .tcp = query->tcp,
        .rcode = query->rcode,
    };

    if (flight->ended != NULL) {
        flight->ended(flight->note, query->sent > 0 ? &question : NULL);
    }
}

void flight_give(struct flights *flights, struct flight *flight)
{
    ASSERT(flight->waiting == NULL);
    pool_give(&flights->pool, flight);
}

void slot_wait(struct slot *slot, struct flight *flight)
{
    slot->flight = flight;
    slot->next = flight->waiting;
    slot->link = &flight->waiting;
    if (slot->next != NULL) {
        slot->next->link = &slot->next;
    }
    flight->waiting = slot;
}

void slot_leave(struct slot *slot)
{
    if (slot->link == NULL) {
        return;
    }
    *slot->link = slot->next;
    if (slot->next != NULL) {
        slot->next->link = slot->link;
    }
    slot->next = NULL;
    slot->link = NULL;
}
