/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flight: one question (name and type) on its way to a name server, shared by all that wait for its answer. It lives
 * until its answer is there, whether anybody still waits or not. Nothing here ends a lookup: the resolver does.
 * One thread.
 */
#ifndef NET_FLIGHT_H
#define NET_FLIGHT_H

#include "net/resolver.h"

#include "base/hash.h"
#include "dns_asker.h"
#include "pool.h"

#define FLIGHT_BUCKETS 1024U

struct flight {
    struct dns_query query; /* first: the asker gives it back */
    struct flight *next;    /* of the same bucket */
    struct slot *waiting;
    void (*ended)(void *note, const struct lookup_question *question);
    void *note; /* of the lookup that it began for */
    uint64_t from_ms;
};

/* One family of a lookup: the place where it waits for a flight, or has its answer. */
struct slot {
    struct slot *next, **link; /* in flight->waiting */
    struct flight *flight;     /* NULL: there is an answer */
    struct lookup *lookup;
    bool asked; /* the flight began for this lookup: what it sends counts here */
    struct dns_addresses answer;
};

struct flights {
    struct loop *loop;
    struct dns_asker *asker; /* the resolver's to make and to free; NULL: no server */
    struct hash_key key;
    struct pool pool;
    struct flight *buckets[FLIGHT_BUCKETS];
};

void flights_init(struct flights *flights, struct loop *loop);
/* All of them have landed: the asker is gone. */
void flights_end(struct flights *flights);

/* The one that is on its way for this question, or NULL. */
struct flight *flight_find(struct flights *flights, const struct hostname *name, enum dns_type type);
/* Sends a question for which there is none. `ended` (may be NULL) gets `note` when nothing more will come of it.
 * NULL: no memory, and nothing has left. */
struct flight *flight_start(struct flights *flights, const struct hostname *name, enum dns_type type,
                            void (*ended)(void *note, const struct lookup_question *question), void *note);
/* Its answer is there: it can be found no more, but its slots still wait for what it brings. */
struct flight *flight_take(struct flights *flights, struct dns_query *query);
/* Calls `ended`. */
void flight_report(const struct flights *flights, const struct flight *flight);
/* Back to the pool. No slot waits for it. */
void flight_give(struct flights *flights, struct flight *flight);

void slot_wait(struct slot *slot, struct flight *flight);
/* Waits no more; it keeps what it knows of the flight. Without effect on a slot that does not wait. */
void slot_leave(struct slot *slot);

#endif
