/* SPDX-License-Identifier: Apache-2.0 */
#include "log_private.h"

#include "base/assert.h"
#include "base/clock.h"
#include "leaf_text.h"

#include <errno.h>
#include <stdio.h>

bool batch_has_room(const struct audit_log *log)
{
    return log->batch.len + 2 + LEAF_ROOM + FRAME_COMMIT_BYTES <= BATCH_BYTES;
}

/* Numbers are kept under the name as it stands in the leaf, since that is what recovery and verification read. */
static struct env *environment(struct audit_log *log, struct span name)
{
    if (name.len == 0)
        return NULL;
    ASSERT(LEAF_ESCAPED_MAX * name.len <= sizeof log->escaped);
    size_t len = (size_t)(put_escaped(log->escaped, name) - log->escaped);
    struct env *env = envs_find(&log->ledger.envs, span_make(log->escaped, len));
    /* Without memory for a name nothing true can be written about it; the process ends as by any lost malloc. */
    ASSERT(env != NULL);
    return env;
}

static void note_flow(struct audit_log *log, const struct record_flow *flow, uint64_t index)
{
    struct batch_out *b = &log->batch;
    bool begins = flow->kind == RECORD_ATTEMPT && flow->decision.verdict == VERDICT_ALLOW;
    if (!begins && flow->kind != RECORD_OUTCOME)
        return;
    if (b->step_count == BATCH_STEPS) {
        log->flows_unknown = true;
        return;
    }
    struct flow_step *step = &b->steps[b->step_count++];
    *step = (struct flow_step){.ends = !begins, .index = index};
    memcpy(step->id, flow->flow, FLOW_ID_BYTES);
}

/* What is open now that the batch is durable. */
static void settle_flows(struct audit_log *log)
{
    const struct batch_out *b = &log->batch;
    for (size_t i = 0; i < b->step_count; i++) {
        const struct flow_step *step = &b->steps[i];
        if (step->ends)
            flows_take(&log->ledger.open, step->id);
        else if (flows_put(&log->ledger.open, step->id, step->index, 0) != ERR_NONE)
            log->flows_unknown = true;
    }
}

void batch_add(struct audit_log *log, const struct sealed *sealed)
{
    struct batch_out *b = &log->batch;
    uint8_t hash[DIGEST_BYTES];
    ASSERT(batch_has_room(log));
    if (b->count == 0) {
        b->before = log->tree;
        b->oldest_ns = sealed->mono_ns;
    }
    struct env *env = environment(log, leaf_environment(sealed));
    struct leaf_place place = {
        .index = log->tree.size,
        .env_seq = env != NULL ? envs_number(&log->ledger.envs, env) : 0,
    };
    uint8_t *at = b->bytes + b->len;
    size_t len = leaf_format(&log->leaf, sealed, place, at + 2);
    at[0] = (uint8_t)(len >> 8);
    at[1] = (uint8_t)len;
    if (env != NULL) {
        env->pending += 2 + len;
        env->index = place.index;
    }
    if (!sealed->is_event)
        note_flow(log, &sealed->flow, place.index);
    b->len += 2 + len;
    b->count++;
    b->urgent += sealed->urgency == RECORD_URGENT;
    tree_leaf_hash(log->digest, span_make(at + 2, len), hash);
    tree_append(&log->tree, hash, hashes_emit, log->hashes);
}

void batch_add_event(struct audit_log *log, const struct record_event *event)
{
    struct sealed sealed = {
        .is_event = true,
        .urgency = RECORD_LAZY,
        .wall_ms = clock_wall_ns() / NS_PER_MS,
        .mono_ns = clock_mono_ns(),
        .event = *event,
    };
    if (batch_has_room(log))
        batch_add(log, &sealed);
}

static void put_commit(struct audit_log *log)
{
    struct commit commit = {
        .first = log->batch.before.size,
        .count = log->batch.count,
        .wall_ns = clock_wall_ns(),
        .mono_ns = clock_mono_ns(),
    };
    tree_root(&log->tree, commit.root);
    memcpy(commit.boot, log->boot, sizeof commit.boot);
    frame_commit_put(&commit, log->batch.bytes + log->batch.len);
    log->batch.len += FRAME_COMMIT_BYTES;
    int64_t wall_minus_mono = commit.wall_ns - (int64_t)commit.mono_ns;
    int64_t step = wall_minus_mono - log->wall_minus_mono_ns;
    if (step > (int64_t)NS_PER_S || step < -(int64_t)NS_PER_S)
        log->clock_step_ms = step / (int64_t)NS_PER_MS;
    log->wall_minus_mono_ns = wall_minus_mono;
}

/* One write: what is short of it is a failure of the disk, not something to be tried again on the same file. */
static enum err write_and_sync(struct audit_log *log, char *why, size_t cap)
{
    const struct batch_out *b = &log->batch;
    log->replaced = false;
    if (log->segment.fd < 0) {
        snprintf(why, cap, "no segment can be written");
        return ERR_IO;
    }
    ssize_t put;
    do {
        errno = 0;
        put = log->io->write(log->segment.fd, b->bytes, b->len);
    } while (put < 0 && errno == EINTR);
    if (put < 0 || (size_t)put != b->len) {
        snprintf(why, cap, "writing a segment: %s", errno == 0 ? "the disk is full" : strerror(errno));
        return ERR_IO;
    }
    if (log->io->datasync(log->segment.fd) != 0) {
        snprintf(why, cap, "syncing a segment: %s", strerror(errno));
        return ERR_IO;
    }
    log->replaced = !segment_file_is_ours(log);
    if (log->replaced) {
        snprintf(why, cap, "the segment was removed or replaced by somebody else");
        return ERR_IO;
    }
    return ERR_NONE;
}

static void set_busy(struct audit_log *log, uint64_t since)
{
    for (size_t i = 0; i < log->desk_count; i++)
        desk_set_busy_since(log->desks[i].desk, since);
}

static void forget(struct batch_out *b)
{
    b->len = 0;
    b->count = 0;
    b->step_count = 0;
    b->urgent = 0;
}

static void release(struct audit_log *log)
{
    envs_settle(&log->ledger.envs);
    settle_flows(log);
    atomic_store_explicit(&log->entries, log->tree.size, memory_order_release);
    atomic_fetch_add_explicit(&log->commits, 1, memory_order_relaxed);
    for (size_t i = 0; i < log->desk_count; i++) {
        struct desk_slot *slot = &log->desks[i];
        desk_commit(slot->desk);
        if (slot->notify != NULL && desk_is_waiting(slot->desk))
            slot->notify(slot->arg);
    }
}

static void take_back(struct audit_log *log)
{
    log->tree = log->batch.before;
    hashes_rollback(log->hashes, log->tree.size);
    envs_revert(&log->ledger.envs);
    for (size_t i = 0; i < log->desk_count; i++)
        desk_rewind(log->desks[i].desk);
}

enum trouble batch_trouble(const struct audit_log *log)
{
    return log->replaced ? TROUBLE_REPLACED : TROUBLE_SEGMENT;
}

enum err batch_commit(struct audit_log *log, char *why, size_t cap)
{
    struct batch_out *b = &log->batch;
    if (b->count == 0)
        return ERR_NONE;
    put_commit(log);
    uint64_t begun = clock_mono_ns();
    set_busy(log, begun);
    enum err err = write_and_sync(log, why, cap);
    uint64_t ended = clock_mono_ns();
    set_busy(log, 0);
    if (ended - begun > STALL_NS)
        log->stall_ns = ended - begun;
    log->last_commit_ns = begun;
    log->last_commit_count = b->count;
    if (b->urgent > log->window_urgent)
        log->window_urgent = b->urgent;
    if (b->urgent > log->most_urgent)
        log->most_urgent = b->urgent;
    if (err == ERR_NONE) {
        log->segment.bytes += b->len;
        log->window_count += b->count;
        release(log);
    } else {
        take_back(log);
    }
    forget(b);
    return err;
}
