/* SPDX-License-Identifier: Apache-2.0 */
#include "log_private.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static void set_desks(struct audit_log *log, bool closed)
{
    for (size_t i = 0; i < log->desk_count; i++)
        desk_set_gate(log->desks[i].desk, closed);
}

/* Whether they wait for a record or not: what is open has to stop. */
static void tell_desks(struct audit_log *log)
{
    for (size_t i = 0; i < log->desk_count; i++)
        if (log->desks[i].notify != NULL)
            log->desks[i].notify(log->desks[i].arg);
}

static uint64_t take_refused(struct audit_log *log)
{
    uint64_t refused = 0;
    for (size_t i = 0; i < log->desk_count; i++)
        refused += desk_take_refused(log->desks[i].desk);
    atomic_fetch_add_explicit(&log->refused, refused, memory_order_relaxed);
    return refused;
}

uint64_t gate_refused(struct audit_log *log)
{
    take_refused(log);
    return atomic_load_explicit(&log->refused, memory_order_relaxed);
}

void gate_close(struct audit_log *log, enum trouble trouble, const char *why)
{
    set_desks(log, true);
    bool first = log->trouble == TROUBLE_NONE;
    /* A segment that cannot be written is the worst of them: it is mended first. */
    if (first || trouble == TROUBLE_SEGMENT || trouble == TROUBLE_REPLACED)
        log->trouble = trouble;
    if (trouble == TROUBLE_SEGMENT)
        segment_file_abandon(log);
    if (trouble == TROUBLE_REPLACED && log->segment.fd >= 0) {
        close(log->segment.fd); /* no more is written there; what it holds is still read from the other descriptor */
        log->segment.fd = -1;
    }
    if (!first)
        return;
    log->closed_recorded = false;
    log->closed_wall_ns = clock_wall_ns();
    log->closed_mono_ns = clock_mono_ns();
    /* Mended at once, then tried each second; but whoever takes the log's file away sees the gate shut for a while. */
    log->retry_ns = log->closed_mono_ns + (trouble == TROUBLE_REPLACED ? RETRY_NS : 0);
    pthread_mutex_lock(&log->status_lock);
    snprintf(log->gate_why, sizeof log->gate_why, "%s", why);
    pthread_mutex_unlock(&log->status_lock);
    tell_desks(log);
}

static void add_closed(struct audit_log *log)
{
    struct record_event event = {
        .event = EVENT_GATE_CLOSED,
        .message = span_text(log->gate_why),
        .fact_count = 1,
        .facts = {{.key = "closed_ms", .is_number = true, .number = (uint64_t)(log->closed_wall_ns / NS_PER_MS)}},
    };
    batch_add_event(log, &event);
}

static void add_opened(struct audit_log *log, uint64_t closed_for_ns)
{
    struct record_event event = {
        .event = EVENT_GATE_OPENED,
        .message = span_text("records can be written again"),
        .fact_count = 2,
        .facts = {{.key = "refused", .is_number = true, .number = take_refused(log)},
                  {.key = "closed_for_ms", .is_number = true, .number = closed_for_ns / NS_PER_MS}},
    };
    batch_add_event(log, &event);
}

/* A commit that took more than two seconds closed the gate by itself and opened it by ending. */
void gate_add_stall(struct audit_log *log)
{
    char why[80];
    uint64_t stall_ms = log->stall_ns / NS_PER_MS;
    log->stall_ns = 0;
    snprintf(why, sizeof why, "a commit took %llu ms", (unsigned long long)stall_ms);
    struct record_event closed = {
        .event = EVENT_GATE_CLOSED,
        .message = span_text(why),
        .fact_count = 1,
        .facts = {{.key = "stalled_ms", .is_number = true, .number = stall_ms}},
    };
    batch_add_event(log, &closed);
    add_opened(log, stall_ms * NS_PER_MS);
}

static enum err mend(struct audit_log *log)
{
    enum err err = ERR_NONE;
    switch (log->trouble) {
    case TROUBLE_NONE:
        return ERR_NONE;
    case TROUBLE_REMOTE:
        return remote_is_near(log) ? ERR_NONE : ERR_AGAIN;
    case TROUBLE_SIGNER:
        return checkpoint_write(log, CHECKPOINT_WAIT_MS);
    case TROUBLE_REPLACED:
        return segment_file_restore(log);
    case TROUBLE_SPACE:
        if (!segment_file_has_room(log))
            return ERR_IO;
        if (log->segment.fd >= 0 && log->segment.bytes < log->segment_bytes)
            return ERR_NONE;
        return segment_file_begin(log);
    case TROUBLE_SEGMENT:
        /* The ballast pays for what must be said while the disk is full. */
        err = segment_file_begin(log);
        if (err != ERR_NONE && errno == ENOSPC && log->reserve_fd >= 0 && ftruncate(log->reserve_fd, 0) != 0)
            errno = ENOSPC;
        return err;
    }
    return ERR_IO;
}

/* While only the next segment has no room, the present one can still take the entry that says so. */
static void record_closing(struct audit_log *log)
{
    char why[160];
    if (log->closed_recorded || log->segment.fd < 0)
        return;
    add_closed(log);
    if (batch_commit(log, why, sizeof why) == ERR_NONE)
        log->closed_recorded = true;
    else
        gate_close(log, batch_trouble(log), why);
}

void gate_try_open(struct audit_log *log)
{
    uint64_t now = clock_mono_ns();
    char why[160];
    if (log->trouble == TROUBLE_NONE || now < log->retry_ns)
        return;
    log->retry_ns = now + RETRY_NS;
    if (mend(log) != ERR_NONE) {
        record_closing(log);
        return;
    }
    if (log->signer_lost) { /* what else was wrong is mended; this is not */
        log->trouble = TROUBLE_SIGNER;
        return;
    }
    record_closing(log);
    if (!log->closed_recorded)
        return;
    add_opened(log, now - log->closed_mono_ns);
    if (batch_commit(log, why, sizeof why) != ERR_NONE) {
        gate_close(log, batch_trouble(log), why);
        return;
    }
    if (log->reserve_fd >= 0)
        log->io->reserve(log->reserve_fd, log->reserve_bytes);
    log->trouble = TROUBLE_NONE;
    log->unsigned_since_ns = 0;
    pthread_mutex_lock(&log->status_lock);
    log->gate_why[0] = '\0';
    pthread_mutex_unlock(&log->status_lock);
    set_desks(log, false);
    /* Those that wait were told of the commit before this, and saw the gate still shut. */
    for (size_t i = 0; i < log->desk_count; i++)
        if (log->desks[i].notify != NULL && desk_is_waiting(log->desks[i].desk))
            log->desks[i].notify(log->desks[i].arg);
}
