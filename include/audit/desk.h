/* SPDX-License-Identifier: Apache-2.0 */
/*
 * desk: where one thread hands in its records. A desk belongs to one producer thread (each worker has one, main has
 * one); the writer thread is the only consumer.
 *
 * A *credit* is a promise of room. Credit for a pair of records (DESK_PAIR_BYTES) is taken before the first byte of an
 * attempt is read; sealing a record spends its part of it; what is not needed is given back. So an outcome can always
 * be sealed. Room returns when the record is durable.
 *
 *   ring bytes = free + credit promised + sealed and not durable yet
 */
#ifndef AUDIT_DESK_H
#define AUDIT_DESK_H

#include "audit/record.h"
#include "base/err.h"
#include "base/ring.h"

#include <stdatomic.h>

struct desk;

/* The door of one environment: the writer shuts it, workers look at each attempt and count whom it kept out. */
struct env_gate {
    _Atomic bool closed;
    atomic_uint_fast64_t refused;
};

#define DESK_RECORD_BYTES (RECORD_PACKED_MAX + 64)
#define DESK_PAIR_BYTES   (2 * DESK_RECORD_BYTES)

enum urgency {
    RECORD_LAZY,   /* rides the next commit, or goes after 50 ms */
    RECORD_URGENT, /* somebody waits for it */
};

/* Tells the writer that it may have work; called from the producer thread after publishing when the writer sleeps. */
typedef void desk_wake_fn(void *arg);

/* A desk of its own ring, without a log: the audit log makes desks with audit_log_desk(); tests make them here. Errors
 * as ring_new(). */
MUST_CHECK enum err desk_new(size_t ring_bytes, desk_wake_fn *wake, void *arg, struct desk **out);
void desk_free(struct desk *desk); /* NULL is allowed */

/* ---- producer ---- */

/* Promises `bytes`; false when the ring cannot promise that much now, or the gate is closed. */
bool desk_credit_take(struct desk *desk, size_t bytes);
void desk_credit_give(struct desk *desk, size_t bytes);
/* Bytes that could be promised now, of *out_cap that there are. */
size_t desk_room(const struct desk *desk, size_t *out_cap);

/*
 * Seals a record on credit that the caller holds: DESK_RECORD_BYTES of the caller's credit are spent whatever the
 * record's length; what the record does not need is free at once. Cannot fail. Gives the ticket: the record is durable
 * once desk_durable() >= ticket. Time stamps (wall and monotonic) are taken here.
 */
uint64_t desk_seal_flow(struct desk *desk, const struct record_flow *record, enum urgency urgency);
uint64_t desk_seal_event(struct desk *desk, const struct record_event *record, enum urgency urgency);

/* Everything up to this ticket is durable (acquire). */
uint64_t desk_durable(const struct desk *desk);

/* True while records cannot be written: nothing may leave. Read at every attempt. */
bool desk_gate_closed(const struct desk *desk);
/* Counts an attempt that was refused because of the gate or for want of credit; the count stands in gate_opened. */
void desk_count_refused(struct desk *desk);

/* While true, the writer calls the desk's notify function (audit_log_desk) after each commit. Look at desk_durable()
 * once more after setting it: the commit may just have ended. */
void desk_set_waiting(struct desk *desk, bool waiting);

/* ---- consumer: the writer, or a test in its place ---- */

/* A record unpacked from the ring; its spans borrow the ring and stay valid until desk_commit(). */
struct sealed {
    bool is_event;
    enum urgency urgency;
    bool truncated; /* something of it was cut to fit */
    int64_t wall_ms;
    uint64_t mono_ns;
    union {
        struct record_flow flow;
        struct record_event event;
    };
    struct target target; /* flow.target points here if there is one */
};

/* The next record not read yet; false if there is none. */
bool desk_read(struct desk *desk, struct sealed *out);
/* Everything read is durable: room returns, desk_durable() moves. */
void desk_commit(struct desk *desk);
/* What was read and not committed will be read again. */
void desk_rewind(struct desk *desk);
void desk_set_gate(struct desk *desk, bool closed); /* what desk_gate_closed() says from now on */
uint64_t desk_take_refused(struct desk *desk);      /* what desk_count_refused() counted since the last call */
bool desk_is_waiting(const struct desk *desk);
/* The writer is about to sleep: a publish after this calls wake. Look at the ring once more after setting it. */
void desk_set_sleeping(struct desk *desk, bool sleeping);
/* As desk_set_sleeping(true), but only an urgent record wakes: the writer sleeps on lazy ones with a deadline. */
void desk_set_dozing(struct desk *desk);
/* A commit began at this monotonic time, 0: it ended. A commit of more than 2 s closes the gate until it ends. */
void desk_set_busy_since(struct desk *desk, uint64_t mono_ns);

#endif
