/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tenant: what one environment uses of the process at this moment, shared by all workers and kept across reloads. All
 * of it is atomic counts that are taken before the resource and given back after it: fetch_add, check, undo. There is
 * no lock.
 */
#ifndef TUNNEL_TENANT_H
#define TUNNEL_TENANT_H

#include "audit/desk.h"
#include "base/err.h"
#include "base/span.h"
#include "policy/limits.h"
#include "tunnel/meter.h"
#include "tunnel/why.h"

#include <stdatomic.h>

/* A count with a ceiling. */
struct budget {
    atomic_uint_fast64_t used;
};

/* Takes `n` if used + n stays at or below `max` (0: no ceiling); false takes nothing. */
bool budget_take(struct budget *budget, uint64_t n, uint64_t max);
void budget_give(struct budget *budget, uint64_t n);
uint64_t budget_used(const struct budget *budget);

/* Different names in the current minute, exact up to `max`. */
struct name_budget;

/* What all workers read at each attempt, a cache line's width apart from what all of them write. */
struct tenant {
    char name[128];
    struct env_gate gate; /* shut by the audit log when this environment alone fills the disk */
    struct name_budget *names;
    atomic_bool denied; /* as a whole, by an operator: its owner's to set and to ask */
    char apart[64];
    struct budget descriptors;          /* client and upstream sockets */
    struct budget tunnels;              /* attempts that passed the target stage and have not ended */
    struct budget credit;               /* bytes of audit credit */
    struct budget memory;               /* bytes that its connections make the process hold */
    struct budget held;                 /* connections held for being above the rate */
    struct budget lookups;              /* attempts that wait for a name server */
    struct budget questions;            /* to a name server that have not ended */
    struct budget turned_away;          /* connections above its share that are being told so */
    atomic_uint_fast64_t rate_due_ns;   /* theoretical arrival time of the rate limit (GCRA) */
    atomic_uint_fast64_t excess;        /* attempts above the rate since excess_from_ms */
    atomic_bool excess_watched;         /* somebody will record them */
    atomic_int_fast64_t excess_from_ms; /* wall clock of the first of them */
    struct meter meter;                 /* of clients that have no session */
    struct why why;                     /* refusals of clients that have no session */
};

/* What one session uses of what its environment has; the session's owner keeps it. */
struct session_use {
    struct budget tunnels;
    atomic_uint_fast64_t rate_due_ns; /* as the tenant's */
    struct meter meter;
};

/* ERR_TOO_BIG: the name; ERR_NO_MEMORY. Freed when no tunnel can name it any more. */
MUST_CHECK enum err tenant_new(struct span name, struct tenant **out);
void tenant_free(struct tenant *tenant); /* NULL is allowed */

/* One attempt now: true if the rate of `limits` allows it (attempts_per_second with attempts_burst above it). The
 * due time is a tenant's or a session's. */
bool rate_take(atomic_uint_fast64_t *due_ns, const struct limits *limits, uint64_t now_ns);

/* Counts one attempt above the rate; true for the first one of its second: that caller writes the record after one
 * second, with what tenant_excess_take() gives, or says that it cannot, and the next one is asked. */
bool tenant_excess_add(struct tenant *tenant, int64_t wall_ms);
void tenant_excess_unwatched(struct tenant *tenant);
/* How many there were since the last call, and since when (wall clock); the count begins anew. */
uint64_t tenant_excess_take(struct tenant *tenant, int64_t *out_from_ms);

/* May this name be asked of the resolver in this minute? A name that was asked already costs nothing. */
bool tenant_name_take(struct tenant *tenant, struct span name, uint64_t max, uint64_t now_ms);
/* True once in each minute: names were refused, which is worth an alert. */
bool tenant_names_warn(struct tenant *tenant, uint64_t now_ms);

#endif
