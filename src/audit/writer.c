/* SPDX-License-Identifier: Apache-2.0 */
/* The writer thread: takes records from the desks, commits them in groups, signs, and mends. */
#include "log_private.h"

#include "base/clock.h"
#include "signer_state.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RATE_WINDOW_NS (100u * NS_PER_MS)
#define PACE_LOW_NS    NS_PER_MS
#define PACE_HIGH_NS   (2u * NS_PER_MS)
#define RATE_FEW       5000u
#define SHARED_FEW     4u
#define RATE_LOW       10000u
#define RATE_HIGH      20000u

void writer_wake(void *arg)
{
    struct audit_log *log = arg;
    uint64_t one = 1;
    /* A full counter means that the wake-up is on its way already. */
    if (write(log->wake_fd, &one, sizeof one) < 0)
        errno = 0;
}

/* Takes what the desks hold, as far as the batch has room; false if there was nothing. */
static bool fill(struct audit_log *log)
{
    struct sealed sealed;
    bool any = false;
    for (size_t i = 0; i < log->desk_count; i++) {
        while (batch_has_room(log) && desk_read(log->desks[i].desk, &sealed)) {
            batch_add(log, &sealed);
            any = true;
        }
    }
    return any;
}

static void measure_rate(struct audit_log *log, uint64_t now)
{
    uint64_t elapsed = now - log->window_ns;
    if (elapsed < RATE_WINDOW_NS)
        return;
    log->rate = log->window_count * NS_PER_S / elapsed;
    log->window_count = 0;
    log->window_ns = now;
    log->most_urgent = log->window_urgent;
    log->window_urgent = 0;
}

/* Least time between two commits: 1 ms below 10,000 records a second, sliding to 2 ms above 20,000. None where few records
 * come and the last commit shared little, nor where no commit had two that are waited for: clients that come one after the
 * other would wait for nobody. */
static uint64_t pace(const struct audit_log *log)
{
    uint64_t rate = log->rate;
    bool few = rate <= RATE_FEW && log->last_commit_count <= SHARED_FEW;
    bool alone = rate <= RATE_LOW && log->most_urgent <= 1;
    if (few || alone)
        return 0;
    if (rate <= RATE_LOW)
        return PACE_LOW_NS;
    if (rate >= RATE_HIGH)
        return PACE_HIGH_NS;
    return PACE_LOW_NS + (PACE_HIGH_NS - PACE_LOW_NS) * (rate - RATE_LOW) / (RATE_HIGH - RATE_LOW);
}

static void sleep_until(uint64_t mono_ns)
{
    struct timespec until = {.tv_sec = (time_t)(mono_ns / NS_PER_S), .tv_nsec = (long)(mono_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

static bool is_due(const struct audit_log *log, uint64_t now)
{
    const struct batch_out *b = &log->batch;
    if (b->count == 0)
        return false;
    return b->urgent > 0 || !batch_has_room(log) || atomic_load(&log->stop) || now >= b->oldest_ns + LAZY_NS;
}

static void commit(struct audit_log *log)
{
    char why[160];
    uint64_t now = clock_mono_ns();
    measure_rate(log, now);
    uint64_t earliest = log->last_commit_ns + pace(log);
    if (now < earliest && batch_has_room(log) && !atomic_load(&log->stop)) {
        sleep_until(earliest);
        fill(log);
    }
    if (batch_commit(log, why, sizeof why) != ERR_NONE)
        gate_close(log, batch_trouble(log), why);
}

/* What is reserved can still be written, and must be kept for the outcomes of what is open. */
static void check_room(struct audit_log *log, uint64_t now)
{
    if (log->trouble != TROUBLE_NONE || now - log->room_checked_ns < NS_PER_S)
        return;
    log->room_checked_ns = now;
    if (!segment_file_has_room(log))
        gate_close(log, TROUBLE_SPACE, "the disk is full");
}

static void rotate(struct audit_log *log, uint64_t now)
{
    const struct segment_file *s = &log->segment;
    bool full = s->bytes >= log->segment_bytes;
    bool old = s->bytes > 0 && now - s->opened_ns > SEGMENT_AGE_NS;
    if (log->trouble != TROUBLE_NONE || s->fd < 0 || (!full && !old))
        return;
    /* What is sealed stays sealed with its hashes. That they are derived makes a failure here none of the log's. */
    enum err hashes = hashes_sync(log->hashes);
    (void)hashes;
    if (segment_file_begin(log) == ERR_NONE)
        log->want_rotated = true;
    else
        gate_close(log, TROUBLE_SPACE, errno == ENOSPC ? "the disk is full" : "the next segment cannot be made");
}

/* The signer is asked, and what it has signed is published when it has: nobody waits for it meanwhile. */
static void checkpoint(struct audit_log *log, uint64_t now)
{
    bool news = log->signed_head.size != log->tree.size;
    uint64_t due = log->last_checkpoint_ns + (news ? CHECKPOINT_NS : IDLE_NS);
    bool waits = now < due && !signer_owes(log->signer);
    if (log->tree.size == 0 || waits || log->trouble == TROUBLE_SIGNER)
        return;
    errno = 0;
    enum err err = checkpoint_write(log, 0);
    if (err == ERR_NONE) {
        log->unsigned_since_ns = 0;
        return;
    }
    /* These do not pass by themselves: no need to wait and see. */
    bool lasting = err != ERR_AGAIN &&
                   (err == ERR_DENIED || errno == EACCES || errno == EPERM || errno == EROFS || errno == ENOSPC);
    log->last_checkpoint_ns = now; /* try again in a second */
    if (log->unsigned_since_ns == 0)
        log->unsigned_since_ns = now;
    if (err == ERR_CLOSED)
        return; /* watch_signer() says so */
    if (err == ERR_CORRUPT)
        gate_close(log, TROUBLE_SIGNER, "the signer refuses: the tree does not extend the one it signed");
    else if (lasting)
        gate_close(log, TROUBLE_SIGNER, errno == ENOSPC ? "the disk is full" : "a checkpoint may not be written");
    else if (now - log->unsigned_since_ns > log->unsigned_max_ns)
        gate_close(log, TROUBLE_SIGNER, "nothing could be signed for too long");
}

/* Nothing that is written from now on will ever be signed by this process. */
static void watch_signer(struct audit_log *log)
{
    if (log->signer_lost || !signer_ended(log->signer))
        return;
    log->signer_lost = true;
    gate_close(log, TROUBLE_SIGNER, "the signer has ended");
    if (log->on_signer_lost != NULL)
        log->on_signer_lost(log->on_signer_lost_arg);
}

/* What is done between batches, when no record is in hand. */
static void housekeeping(struct audit_log *log)
{
    uint64_t now = clock_mono_ns();
    check_room(log, now);
    rotate(log, now);
    watch_signer(log);
    remote_check(log, now);
    gate_try_open(log);
    if (log->segment.fd < 0)
        return;
    events_pending(log);
    if (now - log->marked_ns >= NS_PER_S)
        watermark_look(log, now);
    if (log->batch.count == 0 && now - log->manifest_ns >= log->manifest_every_ns && manifest_write(log) != ERR_NONE)
        gate_close(log, batch_trouble(log), "a manifest could not be written");
    if (log->batch.count == 0)
        checkpoint(log, now);
    rotate_begin(log); /* behind it: the signer does one thing at a time */
    withhold_look(log, now);
    /* A failure has closed the gate. */
    if (snapshot_take(log, log->snapshot_every) != ERR_NONE)
        return;
    if (now - log->last_heartbeat_ns >= IDLE_NS)
        events_heartbeat(log);
}

static uint64_t next_wake(const struct audit_log *log)
{
    if (log->segment.fd < 0)
        return log->retry_ns;
    uint64_t at = log->last_heartbeat_ns + IDLE_NS, manifest = log->manifest_ns + log->manifest_every_ns;
    if (manifest < at)
        at = manifest;
    if (log->mark > 0 && log->marked_ns + NS_PER_S < at)
        at = log->marked_ns + NS_PER_S; /* who is gated writes nothing that would wake anybody */
    uint64_t sign = log->last_checkpoint_ns + (log->signed_head.size != log->tree.size ? CHECKPOINT_NS : IDLE_NS);
    uint64_t lazy = log->batch.oldest_ns + LAZY_NS;
    if (sign < at && log->batch.count == 0 && log->trouble != TROUBLE_SIGNER) /* or gate_try_open() signs */
        at = sign;
    if (log->batch.count > 0 && lazy < at)
        at = lazy;
    if (log->ship_max_lag_ms != 0 && log->remote_checked_ns + NS_PER_S < at)
        at = log->remote_checked_ns + NS_PER_S;
    if (log->witnesses != NULL && log->withheld.count > 0 && log->batch.count == 0 &&
        log->withheld_looked_ns + NS_PER_S < at)
        at = log->withheld_looked_ns + NS_PER_S;
    if (log->trouble != TROUBLE_NONE && log->retry_ns < at)
        at = log->retry_ns;
    return at;
}

static void flag_desks(struct audit_log *log, bool resting, bool lightly)
{
    for (size_t i = 0; i < log->desk_count; i++) {
        if (resting && lightly)
            desk_set_dozing(log->desks[i].desk);
        else
            desk_set_sleeping(log->desks[i].desk, resting);
    }
}

/* An answer is waited for only where checkpoint() would take it: one that is left lying would wake for nothing. */
static bool takes_answer(const struct audit_log *log)
{
    return signer_owes(log->signer) && log->segment.fd >= 0 && log->batch.count == 0 && log->trouble != TROUBLE_SIGNER;
}

static void wait_for_bell(struct audit_log *log, uint64_t wait_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S)};
    struct pollfd events[] = {
        {.fd = log->wake_fd,           .events = POLLIN                        },
        {.fd = signer_fd(log->signer), .events = takes_answer(log) ? POLLIN : 0}, /* or its end */
    };
    uint64_t count;
    if (ppoll(events, 2, &timeout, NULL) > 0 && read(log->wake_fd, &count, sizeof count) < 0)
        errno = 0;
    if ((events[1].revents & ~POLLIN) != 0)
        signer_notice_end(log->signer);
}

/* Records that somebody waits for wake the writer; the others do so only after a while without any: it looks by itself
 * before such a record is overdue, and clients that come one after the other cost one wake-up each, not two. */
static void rest(struct audit_log *log)
{
    uint64_t dozing_until = log->last_commit_ns + LAZY_NS;
    bool lightly = log->batch.count > 0 || (log->segment.fd >= 0 && clock_mono_ns() < dozing_until);
    flag_desks(log, true, lightly);
    /* Whoever published before the flag was up did not see it: look once more. */
    bool found = log->segment.fd >= 0 && fill(log);
    uint64_t now = clock_mono_ns(), at = next_wake(log);
    if (lightly && log->batch.count == 0 && dozing_until < at)
        at = dozing_until;
    if (!found && !atomic_load(&log->stop) && at > now)
        wait_for_bell(log, at - now);
    flag_desks(log, false, false);
}

void *writer_main(void *arg)
{
    struct audit_log *log = arg;
    if (log->on_thread != NULL)
        log->on_thread();
    while (!atomic_load(&log->stop)) {
        if (log->segment.fd >= 0)
            fill(log);
        bool due = is_due(log, clock_mono_ns());
        if (due)
            commit(log);
        if (log->batch.count == 0)
            housekeeping(log);
        if (!due)
            rest(log);
    }
    return NULL;
}

/* A signer that is slow gets some time; one that hangs or has ended leaves the newest entries unsigned. */
static enum err sign_last(struct audit_log *log)
{
    uint64_t until = clock_mono_ns() + LAST_SIGN_NS;
    for (;;) {
        enum err err = checkpoint_write(log, CHECKPOINT_WAIT_MS);
        if (err == ERR_NONE && log->signed_head.size == log->tree.size)
            return ERR_NONE;
        uint64_t now = clock_mono_ns();
        if ((err != ERR_NONE && err != ERR_AGAIN) || now >= until)
            return ERR_IO;
        if (err == ERR_AGAIN)
            sleep_until(now + 10 * NS_PER_MS);
    }
}

/* The next start has next to nothing to read. What is durable is signed first, so that an older snapshot may go. */
static enum err snapshot_last(struct audit_log *log)
{
    uint64_t least = log->snapshot_every / 8;
    if (log->tree.size - log->snapshot_looked < least || checkpoint_whole(log) != ERR_NONE)
        return ERR_NONE;
    return snapshot_take(log, least);
}

enum err writer_drain(struct audit_log *log)
{
    char why[160];
    /* A disk that has room again opens the gate: that entry says how many were refused. The signer and the copy elsewhere
     * are not waited for once more; the last entry has the number in any case. */
    if (log->trouble != TROUBLE_NONE && log->trouble != TROUBLE_SIGNER && log->trouble != TROUBLE_REMOTE) {
        log->retry_ns = 0;
        gate_try_open(log);
    }
    do {
        if (log->segment.fd < 0)
            return ERR_IO;
        if (batch_commit(log, why, sizeof why) != ERR_NONE)
            return ERR_IO;
    } while (fill(log) || !watermark_end(log) || log->batch.count > 0);
    if (snapshot_last(log) != ERR_NONE || manifest_write(log) != ERR_NONE)
        return ERR_IO;
    events_pending(log);
    events_stopped(log);
    if (batch_commit(log, why, sizeof why) != ERR_NONE)
        return ERR_IO;
    return sign_last(log);
}
