/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter: what one session has used up: bytes each way, refusals of the current minute, and connections that came to
 * nothing. Clients without a session share the meter of their environment. All of it is atomic counts; there is no
 * lock.
 *
 * A ceiling is kept at the byte although many tunnels run at once: before it sends, a tunnel borrows room, and gives
 * back what it did not use. Room that is borrowed is nobody else's, and is out for no longer than one send.
 */
#ifndef TUNNEL_METER_H
#define TUNNEL_METER_H

#include "base/err.h"
#include "policy/limits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gauge {
    atomic_uint_fast64_t spent;
    atomic_uint_fast64_t promised; /* spent and borrowed */
    atomic_uint_fast64_t warned;   /* the ceiling of which a warning was given; 0: of none */
};

/* At most `want`, as much as is left below `max`; 0: nothing is left, or others have borrowed it. */
uint64_t gauge_borrow(struct gauge *gauge, uint64_t want, uint64_t max);
/* Ends a loan: `used` of it have passed. */
void gauge_settle(struct gauge *gauge, uint64_t borrowed, uint64_t used);
/* Counts what passed while there was no ceiling. */
void gauge_add(struct gauge *gauge, uint64_t used);
uint64_t gauge_spent(const struct gauge *gauge);
bool gauge_is_full(const struct gauge *gauge, uint64_t max); /* 0: no ceiling */
/* True once for each ceiling, when four fifths of it are used. */
bool gauge_warns(struct gauge *gauge, uint64_t max);

struct meter {
    struct gauge up, down;
    atomic_uint_fast64_t denials; /* minute << 32 | refusals in it */
    atomic_uint_fast64_t quarantined_until_ms;
    atomic_uint_fast64_t unfinished_due_us; /* theoretical arrival time of the limit on unfinished connections (GCRA) */
};

/* One more refusal; true for the one that passes `max` (0: none does) in this minute. */
bool meter_denial(struct meter *meter, uint64_t max, uint64_t now_ms);
/* Until then, on the monotonic clock as `now_ms` is. */
void meter_quarantine(struct meter *meter, uint64_t until_ms);
/* Milliseconds that are left of a quarantine; 0: there is none. */
uint64_t meter_quarantined_ms(const struct meter *meter, uint64_t now_ms);

/* How many connections may come to nothing. */
struct pace {
    uint64_t each_us, burst_us;
};
/* As these limits say. */
struct pace meter_pace(const struct limits *limits);
/* One came to nothing: it ended without a whole head, or was above the rate. */
void meter_unfinished(struct meter *meter, struct pace pace, uint64_t now_ms);
/* For how many milliseconds none is to be accepted, because too many came to nothing; 0: as many as come. */
uint32_t meter_rest_ms(const struct meter *meter, struct pace pace, uint64_t now_ms);

#endif
