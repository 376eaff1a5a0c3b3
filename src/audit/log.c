/* SPDX-License-Identifier: Apache-2.0 */
#include "log_private.h"

#include "base/assert.h"
#include "base/clock.h"
#include "signer_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SEGMENT_BYTES_DEFAULT (256ull << 20)
#define RESERVE_BYTES_DEFAULT (16ull << 20)

static struct audit_log *log_new(const struct audit_log_options *options)
{
    struct audit_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return NULL;
    log->signer = options->signer;
    log->on_signer_lost = options->on_signer_lost;
    log->on_signer_lost_arg = options->on_signer_lost_arg;
    log->on_thread = options->on_thread;
    log->manifest_every_ns = options->manifest_ms != 0 ? options->manifest_ms * NS_PER_MS : 3600 * (uint64_t)NS_PER_S;
    log->snapshot_every = options->snapshot_entries != 0 ? options->snapshot_entries : SNAPSHOT_ENTRIES;
    log->totals = options->totals;
    log->totals_arg = options->totals_arg;
    log->env_gate = options->env_gate;
    log->env_gate_arg = options->env_gate_arg;
    log->unsigned_max_ns = options->unsigned_max_ms != 0 ? options->unsigned_max_ms * NS_PER_MS : UNSIGNED_MAX_NS;
    log->ship_max_lag_ms = options->ship_max_lag_ms;
    log->witnesses = options->witnesses;
    log->opened_wall_ms = clock_wall_ns() / (int64_t)NS_PER_MS;
    log->io = &audit_io_real;
    log->desk_ring_bytes = options->desk_ring_bytes;
    log->segment_bytes = options->segment_bytes != 0 ? options->segment_bytes : SEGMENT_BYTES_DEFAULT;
    log->reserve_bytes = options->reserve_bytes != 0 ? options->reserve_bytes : RESERVE_BYTES_DEFAULT;
    log->dir = log->segments_dir = log->hashes_dir = log->blobs_dir = log->quarantine_dir = log->keys_dir = -1;
    log->index_dir = log->lock_fd = log->reserve_fd = log->checkpoints_fd = -1;
    log->segment.fd = log->segment.read_fd = -1;
    pthread_mutex_init(&log->status_lock, NULL);
    ledger_init(&log->ledger);
    log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    log->batch.bytes = malloc(BATCH_BYTES);
    log->batch.steps = malloc(BATCH_STEPS * sizeof *log->batch.steps);
    return log;
}

static void log_free(struct audit_log *log)
{
    for (size_t i = 0; i < log->desk_count; i++)
        desk_free(log->desks[i].desk);
    segment_file_close(log);
    hashes_close(log->hashes);
    logdir_close(log);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    ledger_free(&log->ledger);
    digest_free(log->digest);
    free(log->batch.bytes);
    free(log->batch.steps);
    pthread_mutex_destroy(&log->status_lock);
    free(log);
}

enum audit_start audit_log_open(const struct audit_log_options *options, struct audit_log **out, char *message,
                                size_t message_cap)
{
    const char *origin = options->origin != NULL ? options->origin : signer_origin(options->signer);
    if (strlen(origin) > AUDIT_ORIGIN_MAX)
        return start_refused(AUDIT_START_FAILED, message, message_cap, "the origin is too long");
    if (strcmp(origin, signer_origin(options->signer)) != 0)
        return start_refused(AUDIT_START_FAILED, message, message_cap, "the signer is of %s, not of %s",
                             signer_origin(options->signer), origin);
    struct audit_log *log = log_new(options);
    if (log == NULL || log->batch.bytes == NULL || log->batch.steps == NULL || log->wake_fd < 0 ||
        digest_new(&log->digest) != ERR_NONE) {
        if (log != NULL)
            log_free(log);
        return start_refused(AUDIT_START_FAILED, message, message_cap, "no memory");
    }
    memcpy(log->origin, origin, strlen(origin));
    enum audit_start result = logdir_open(log, options, message, message_cap);
    if (result == AUDIT_START_OK)
        result = recover(log, message, message_cap);
    if (result != AUDIT_START_OK) {
        log_free(log);
        return result;
    }
    atomic_store(&log->entries, log->tree.size);
    atomic_store(&log->signed_size, log->signed_head.size);
    atomic_store(&log->published_size, log->published.size);
    withhold_say(log);
    *out = log;
    return AUDIT_START_OK;
}

enum err audit_log_desk(struct audit_log *log, desk_wake_fn *notify, void *arg, struct desk **out)
{
    ASSERT(!log->running);
    if (log->desk_count == DESKS_MAX)
        return ERR_TOO_BIG;
    struct desk_slot *slot = &log->desks[log->desk_count];
    enum err err = desk_new(log->desk_ring_bytes, writer_wake, log, &slot->desk);
    if (err != ERR_NONE)
        return err;
    slot->notify = notify;
    slot->arg = arg;
    log->desk_count++;
    *out = slot->desk;
    return ERR_NONE;
}

enum err audit_log_start(struct audit_log *log)
{
    ASSERT(!log->running);
    uint64_t now = clock_mono_ns();
    log->window_ns = log->last_heartbeat_ns = log->manifest_ns = now;
    if (log->wall_minus_mono_ns == 0)
        log->wall_minus_mono_ns = clock_wall_ns() - (int64_t)now;
    enum err err = events_started(log);
    if (err != ERR_NONE)
        return err;
    atomic_store(&log->stop, false);
    if (pthread_create(&log->thread, NULL, writer_main, log) != 0)
        return ERR_NO_MEMORY;
    log->running = true;
    return ERR_NONE;
}

enum err audit_log_stop(struct audit_log *log)
{
    enum err err = ERR_NONE;
    if (log->running) {
        atomic_store(&log->stop, true);
        writer_wake(log);
        pthread_join(log->thread, NULL);
        log->running = false;
        if (writer_drain(log) != ERR_NONE || hashes_flush(log->hashes) != ERR_NONE)
            err = ERR_IO;
        /* Gives back what was reserved behind the end; a file that may only be appended to keeps it. */
        if (log->segment.fd >= 0 && ftruncate(log->segment.fd, (off_t)log->segment.bytes) != 0)
            errno = 0;
    }
    log_free(log);
    return err;
}

const char *audit_log_origin(const struct audit_log *log)
{
    return log->origin;
}

const char *audit_log_vkey(const struct audit_log *log)
{
    return log->vkey;
}

void audit_log_status(const struct audit_log *log, struct audit_log_status *out)
{
    /* The log itself is never const; only its caller sees it so. */
    struct audit_log *own = (struct audit_log *)(uintptr_t)log;
    memset(out, 0, sizeof *out);
    out->entries = atomic_load_explicit(&log->entries, memory_order_acquire);
    out->signed_size = atomic_load_explicit(&log->signed_size, memory_order_acquire);
    out->published_size = atomic_load_explicit(&log->published_size, memory_order_acquire);
    out->withheld_since_ms = atomic_load_explicit(&log->withheld_since_ms, memory_order_relaxed);
    out->commits = atomic_load_explicit(&log->commits, memory_order_relaxed);
    out->refused = atomic_load_explicit(&log->refused, memory_order_relaxed);
    out->disk_percent = atomic_load_explicit(&log->disk_percent, memory_order_relaxed);
    pthread_mutex_lock(&own->status_lock);
    memcpy(out->gate_why, log->gate_why, sizeof out->gate_why);
    pthread_mutex_unlock(&own->status_lock);
    out->read_from = log->read_from;
    memcpy(out->read_why, log->read_why, sizeof out->read_why);
    out->gate_closed = out->gate_why[0] != '\0';
}

enum err audit_log_blob(struct audit_log *log, struct span text, char out_hex[static 65])
{
    uint8_t hash[DIGEST_BYTES];
    char name[65];
    digest_once(text, hash);
    struct outbuf o = outbuf_make(name, sizeof name - 1);
    outbuf_hex(&o, span_make(hash, sizeof hash));
    name[64] = '\0';
    /* Always written again: whether what lies there is still whole costs as much to find out. */
    enum err err = io_replace_file(log->blobs_dir, name, text, 0600);
    if (err == ERR_NONE)
        memcpy(out_hex, name, sizeof name);
    return err;
}

void audit_log_use_io(struct audit_log *log, const struct audit_io *io)
{
    log->io = io;
}
