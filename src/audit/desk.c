/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/desk.h"

#include "base/assert.h"
#include "base/clock.h"
#include "pack.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A commit that takes longer closes the gate by itself: the writer, which hangs in it, cannot. */
#define STALL_NS  2000000000u
#define NS_PER_MS 1000000

/* A record's time of day is the monotonic clock and what the wall clock was ahead of it at most this long ago: a step of
 * the wall clock shows in records that much later, and slewing is 500 parts in a million at most. */
#define COMPARE_NS 10000000u

enum desk_rest {
    REST_AWAKE,
    REST_DOZING,   /* on lazy records: an urgent one wakes it */
    REST_SLEEPING, /* any record does */
};

struct desk {
    struct ring *ring;
    size_t cap;
    desk_wake_fn *wake;
    void *arg;

    /* producer */
    size_t promised;
    uint64_t ticket; /* position behind the last record */

    int64_t wall_minus_mono_ns; /* between the two clocks, when it was looked at */
    uint64_t compared_ns;       /* monotonic; 0: never */

    _Atomic uint8_t rest; /* enum desk_rest: whom the writer wants to be woken by */
    _Atomic unsigned waiting;
    _Atomic bool gate_closed;
    _Atomic uint64_t busy_since_ns; /* of the commit that is running; 0: none */
    _Atomic uint64_t refused;
};

enum err desk_new(size_t ring_bytes, desk_wake_fn *wake, void *arg, struct desk **out)
{
    /* One record's length is never promised: it is what the gap at the end of the buffer can take. */
    if (ring_bytes < DESK_PAIR_BYTES + DESK_RECORD_BYTES)
        return ERR_INVALID;
    struct desk *desk = calloc(1, sizeof *desk);
    if (desk == NULL)
        return ERR_NO_MEMORY;
    enum err err = ring_new(ring_bytes, &desk->ring);
    if (err != ERR_NONE) {
        free(desk);
        return err;
    }
    desk->cap = ring_bytes;
    desk->wake = wake;
    desk->arg = arg;
    *out = desk;
    return ERR_NONE;
}

void desk_free(struct desk *desk)
{
    if (desk == NULL)
        return;
    ring_free(desk->ring);
    free(desk);
}

/*
 * Why a seal cannot fail: used + promised never exceeds cap - DESK_RECORD_BYTES when credit is taken. At most one gap
 * lies between consumed and published, it is shorter than one record, and it is made only while there was none: so
 * used + promised + gap stays within cap, and the next record has contiguous room in front of `consumed`.
 */
size_t desk_room(const struct desk *desk, size_t *out_cap)
{
    size_t used = (size_t)(desk->ticket - ring_consumed(desk->ring));
    size_t taken = used + desk->promised + DESK_RECORD_BYTES;
    *out_cap = desk->cap;
    return taken < desk->cap ? desk->cap - taken : 0;
}

bool desk_credit_take(struct desk *desk, size_t bytes)
{
    size_t cap;
    if (desk_gate_closed(desk) || bytes > desk_room(desk, &cap))
        return false;
    desk->promised += bytes;
    return true;
}

void desk_credit_give(struct desk *desk, size_t bytes)
{
    ASSERT(desk->promised >= bytes);
    desk->promised -= bytes;
}

static uint8_t *seal_begin(struct desk *desk, struct pack_stamp *stamp, enum urgency urgency)
{
    desk_credit_give(desk, DESK_RECORD_BYTES);
    stamp->urgency = urgency;
    stamp->mono_ns = clock_mono_ns();
    if (desk->compared_ns == 0 || stamp->mono_ns - desk->compared_ns > COMPARE_NS) {
        desk->wall_minus_mono_ns = clock_wall_ns() - (int64_t)stamp->mono_ns;
        desk->compared_ns = stamp->mono_ns;
    }
    stamp->wall_ms = ((int64_t)stamp->mono_ns + desk->wall_minus_mono_ns) / NS_PER_MS;
    uint8_t *room = ring_reserve(desk->ring, PACK_BYTES_MAX);
    ASSERT(room != NULL);
    return room;
}

static uint64_t seal_end(struct desk *desk, size_t len, enum urgency urgency)
{
    desk->ticket = ring_publish(desk->ring, len);
    /* A read-modify-write behind the store on both sides (publish here, the flag there): one of them sees the other. */
    uint8_t rest = atomic_fetch_add(&desk->rest, 0);
    bool wanted = rest == REST_SLEEPING || (rest == REST_DOZING && urgency == RECORD_URGENT);
    if (wanted && atomic_exchange(&desk->rest, REST_AWAKE) != REST_AWAKE && desk->wake != NULL)
        desk->wake(desk->arg);
    return desk->ticket;
}

uint64_t desk_seal_flow(struct desk *desk, const struct record_flow *record, enum urgency urgency)
{
    struct pack_stamp stamp;
    uint8_t *room = seal_begin(desk, &stamp, urgency);
    return seal_end(desk, pack_flow(record, &stamp, room), urgency);
}

uint64_t desk_seal_event(struct desk *desk, const struct record_event *record, enum urgency urgency)
{
    struct pack_stamp stamp;
    uint8_t *room = seal_begin(desk, &stamp, urgency);
    return seal_end(desk, pack_event(record, &stamp, room), urgency);
}

uint64_t desk_durable(const struct desk *desk)
{
    return ring_consumed(desk->ring);
}

bool desk_gate_closed(const struct desk *desk)
{
    if (atomic_load_explicit(&desk->gate_closed, memory_order_acquire))
        return true;
    uint64_t since = atomic_load_explicit(&desk->busy_since_ns, memory_order_relaxed);
    if (since == 0)
        return false;
    uint64_t now = clock_mono_ns();
    return now > since && now - since > STALL_NS;
}

void desk_count_refused(struct desk *desk)
{
    atomic_fetch_add_explicit(&desk->refused, 1, memory_order_relaxed);
}

void desk_set_waiting(struct desk *desk, bool waiting)
{
    atomic_exchange(&desk->waiting, waiting);
}

bool desk_read(struct desk *desk, struct sealed *out)
{
    struct span packed = ring_read(desk->ring);
    if (packed.len == 0)
        return false;
    unpack(packed, out);
    return true;
}

void desk_commit(struct desk *desk)
{
    ring_consume(desk->ring);
}

void desk_rewind(struct desk *desk)
{
    ring_rewind(desk->ring);
}

void desk_set_gate(struct desk *desk, bool closed)
{
    atomic_store_explicit(&desk->gate_closed, closed, memory_order_release);
}

void desk_set_busy_since(struct desk *desk, uint64_t mono_ns)
{
    atomic_store_explicit(&desk->busy_since_ns, mono_ns, memory_order_relaxed);
}

uint64_t desk_take_refused(struct desk *desk)
{
    return atomic_exchange_explicit(&desk->refused, 0, memory_order_relaxed);
}

bool desk_is_waiting(const struct desk *desk)
{
    /* A read-modify-write, so that it cannot pass the release of `durable` before it: the twin of the exchange in
     * desk_set_waiting(). The object itself is never const. */
    struct desk *own = (struct desk *)(uintptr_t)desk;
    return atomic_fetch_or(&own->waiting, 0) != 0;
}

void desk_set_sleeping(struct desk *desk, bool sleeping)
{
    atomic_exchange(&desk->rest, sleeping ? REST_SLEEPING : REST_AWAKE);
}

void desk_set_dozing(struct desk *desk)
{
    atomic_exchange(&desk->rest, REST_DOZING);
}
