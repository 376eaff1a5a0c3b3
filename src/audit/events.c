/* SPDX-License-Identifier: Apache-2.0 */
#include "log_private.h"

#include "base/clock.h"
#include "open_flows.h"
#include "signer_state.h"

#include <stdio.h>
#include <unistd.h>

static struct event_fact number(const char *key, uint64_t value)
{
    return (struct event_fact){.key = key, .is_number = true, .number = value};
}

static struct event_fact text(const char *key, struct span value)
{
    return (struct event_fact){.key = key, .text = value};
}

static void add_started(struct audit_log *log)
{
    struct signer_about about;
    signer_about(log->signer, &about);
    struct record_event event = {
        .event = EVENT_LOG_STARTED,
        .message = span_text("the log was opened"),
        .fact_count = 9,
        .facts = {number("pid", (uint64_t)getpid()), number("size_before", log->tree.size),
                  number("open_flows", log->ledger.open.count), text("log_json", span_text(log->log_json_hash)),
                  text("vkey", span_text(log->vkey)), number("signer_uid", about.uid),
                  text("signer_account", span_text(about.own_uid ? "own" : "shared")),
                  text("signer_network", span_text(about.sealed ? "none" : "not closed")),
                  number("read_from", log->read_from)},
    };
    batch_add_event(log, &event);
}

/* Somebody gave up the memory that a rollback would have been seen by: that stands in the log for ever. */
static void add_adopted(struct audit_log *log)
{
    if (!signer_state_missing(log->signer))
        return;
    struct record_event event = {
        .event = EVENT_SIGNER_ADOPTED,
        .subject = span_text(log->origin),
        .message = span_text("the signer had lost its memory and was told to go on; a rollback before this is not "
                             "excluded"),
        .fact_count = 1,
        .facts = {number("size_before", log->tree.size)},
    };
    batch_add_event(log, &event);
}

static void add_recovered(struct audit_log *log)
{
    if (log->torn_bytes == 0 && log->rebuilt_hashes == 0)
        return;
    char hex[2 * DIGEST_BYTES];
    struct outbuf o = outbuf_make(hex, sizeof hex);
    outbuf_hex(&o, span_make(log->torn_hash, DIGEST_BYTES));
    struct record_event event = {
        .event = EVENT_LOG_RECOVERED,
        .message = span_text("bytes of a batch that was never finished were cut off; nobody was told of them"),
        .fact_count = 4,
        .facts = {number("torn_bytes", log->torn_bytes), text("torn_sha256", span_make(hex, sizeof hex)),
                  text("kept_as", span_text(log->torn_file)), number("hashes_rebuilt", log->rebuilt_hashes)},
    };
    if (log->torn_bytes == 0)
        event.message = span_text("hash arrays were written again from the segments");
    batch_add_event(log, &event);
}

static enum err commit(struct audit_log *log)
{
    char why[160];
    return batch_commit(log, why, sizeof why);
}

/* Every flow that was allowed and has no outcome, so that "allowed, end unknown" is said and not left to guess. */
static enum err add_open_flows(struct audit_log *log)
{
    static char list[OPEN_FLOWS_AN_ENTRY * (2 * FLOW_ID_BYTES + 1)]; /* main alone starts a log */
    struct flows *open = &log->ledger.open;
    uint64_t parts = (open->count + OPEN_FLOWS_AN_ENTRY - 1) / OPEN_FLOWS_AN_ENTRY;
    size_t row = 0;
    for (uint64_t part = 1; part <= parts; part++) {
        struct outbuf o = outbuf_make(list, sizeof list);
        for (size_t n = 0; n < OPEN_FLOWS_AN_ENTRY && row < open->cap; row++) {
            if (!open->rows[row].used)
                continue;
            if (n++ > 0)
                outbuf_char(&o, ' ');
            outbuf_hex(&o, span_make(open->rows[row].id, FLOW_ID_BYTES));
        }
        struct record_event event = {
            .event = EVENT_OPEN_FLOWS,
            .message = span_text("attempts that were allowed and whose end is unknown"),
            .fact_count = 3,
            .facts = {number("part", part), number("parts", parts), text(OPEN_FLOWS_KEY, outbuf_written(&o))},
        };
        if (!batch_has_room(log)) {
            enum err err = commit(log);
            if (err != ERR_NONE)
                return err;
        }
        batch_add_event(log, &event);
    }
    return ERR_NONE;
}

enum err events_started(struct audit_log *log)
{
    add_started(log);
    add_adopted(log);
    add_recovered(log);
    enum err err = add_open_flows(log);
    if (err == ERR_NONE)
        err = commit(log);
    flows_free(&log->ledger.open);
    return err;
}

/* What the program counted, beside what the log holds of it. */
static void add_totals(struct audit_log *log, struct record_event *event)
{
    if (log->totals != NULL)
        event->fact_count +=
            log->totals(log->totals_arg, event->facts + event->fact_count, EVENT_FACTS_MAX - event->fact_count);
}

void events_stopped(struct audit_log *log)
{
    struct record_event event = {
        .event = EVENT_LOG_STOPPED,
        .message = span_text("the log was closed"),
        .fact_count = 2,
        .facts = {number("size_before", log->tree.size), number("refused", gate_refused(log))},
    };
    add_totals(log, &event);
    batch_add_event(log, &event);
}

void events_heartbeat(struct audit_log *log)
{
    struct record_event event = {
        .event = EVENT_HEARTBEAT,
        .message = span_text("the log is alive"),
        .fact_count = 4,
        .facts = {number("entries", log->tree.size),
                  number("commits", atomic_load_explicit(&log->commits, memory_order_relaxed)),
                  number("signed_size", log->signed_head.size),
                  number("refused", atomic_load_explicit(&log->refused, memory_order_relaxed))},
    };
    remote_facts(log, &event);
    withhold_facts(log, &event);
    add_totals(log, &event);
    batch_add_event(log, &event);
    log->last_heartbeat_ns = clock_mono_ns();
}

void events_pending(struct audit_log *log)
{
    if (log->want_rotated) {
        struct record_event event = {
            .event = EVENT_LOG_ROTATED,
            .message = span_text("a new segment was begun"),
            .fact_count = 1,
            .facts = {number("first", log->segment.first)},
        };
        batch_add_event(log, &event);
        log->want_rotated = false;
    }
    if (log->clock_step_ms != 0) {
        bool back = log->clock_step_ms < 0;
        uint64_t ms = (uint64_t)(back ? -log->clock_step_ms : log->clock_step_ms);
        struct record_event event = {
            .event = EVENT_CLOCK_STEP,
            .message = span_text(back ? "the wall clock was set back" : "the wall clock was set forward"),
            .fact_count = 2,
            .facts = {number("step_ms", ms), number("back", back)},
        };
        batch_add_event(log, &event);
        log->clock_step_ms = 0;
    }
    if (log->stall_ns != 0)
        gate_add_stall(log);
}
