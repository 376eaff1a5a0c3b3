/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing the log over to another key, on the writer's thread:
 *
 *   the signer makes or takes the new key → a key_rotated entry with both, durable → keys/rotations → a checkpoint signed
 *   with both → the signer forgets the old one → keys/log.vkey
 *
 * A start goes on with whatever of this was not done: behind the entry nothing is signed with the old key alone.
 */
#include "log_private.h"

#include "base/clock.h"
#include "rotations.h"
#include "signer_state.h"

#include <stdio.h>
#include <time.h>

static struct event_fact text(const char *key, const char *value)
{
    return (struct event_fact){.key = key, .text = span_text(value)};
}

static enum err write_entry(struct audit_log *log, char *why, size_t cap)
{
    char who[sizeof log->rotate_who];
    pthread_mutex_lock(&log->status_lock);
    memcpy(who, log->rotate_who, sizeof who);
    pthread_mutex_unlock(&log->status_lock);
    struct record_event event = {
        .event = EVENT_KEY_ROTATED,
        .subject = span_text(log->origin),
        .message = span_text("checkpoints behind this entry are signed with the new key, the first of them with both"),
        .fact_count = 3,
        .facts = {text("old_vkey", log->vkey), text("new_vkey", log->next_vkey), text("who", who)},
    };
    batch_add_event(log, &event);
    return batch_commit(log, why, cap);
}

bool rotate_resume(struct audit_log *log, uint64_t index, struct span new_vkey)
{
    uint8_t public_key[ED25519_KEY_BYTES];
    if (!signer_next(log->signer, public_key) || note_key_make(log->origin, public_key, &log->next_key) != ERR_NONE)
        return false;
    note_key_format(&log->next_key, log->next_vkey);
    if (!span_is(new_vkey, log->next_vkey))
        return false;
    log->rotating = true;
    log->rotation_index = index;
    return true;
}

void rotate_begin(struct audit_log *log)
{
    uint8_t public_key[ED25519_KEY_BYTES];
    char why[160];
    if (!atomic_load(&log->rotate_asked) || log->rotating || log->batch.count != 0 || log->trouble != TROUBLE_NONE)
        return;
    if (!withheld_has_room(&log->withheld)) {
        atomic_store(&log->rotate_asked, false); /* the heads of all hand-overs are kept until witnesses have signed */
        return;
    }
    enum err err = signer_prepare(log->signer);
    if (err == ERR_AGAIN || err == ERR_CLOSED)
        return; /* the signer owes an answer, or has ended: others look after that */
    atomic_store(&log->rotate_asked, false);
    if (err != ERR_NONE || !signer_next(log->signer, public_key) ||
        note_key_make(log->origin, public_key, &log->next_key) != ERR_NONE)
        return; /* whoever asked sees that nothing has changed */
    note_key_format(&log->next_key, log->next_vkey);
    if (write_entry(log, why, sizeof why) != ERR_NONE) {
        gate_close(log, batch_trouble(log), why);
        return;
    }
    log->rotation_index = log->rotated_at = log->tree.size - 1;
    memcpy(log->rotated_to, log->next_vkey, sizeof log->rotated_to);
    log->rotating = true;
    log->last_checkpoint_ns = 0; /* at once */
}

enum err rotate_prepare_sign(struct audit_log *log)
{
    struct rotation row = {.index = log->rotation_index, .before = log->key, .after = log->next_key};
    signer_set_overlap(log->signer, log->rotating);
    return log->rotating ? rotations_add(log->keys_dir, &row) : ERR_NONE;
}

/* The checkpoint with both signatures is published: from here on there is only the new key. */
enum err rotate_finish(struct audit_log *log)
{
    uint8_t public_key[ED25519_KEY_BYTES];
    char line[NOTE_VKEY_MAX + 1];
    enum err err = signer_turn(log->signer);
    signer_public(log->signer, public_key);
    if (memcmp(public_key, log->next_key.public_key, sizeof public_key) != 0)
        return err != ERR_NONE ? err : ERR_CORRUPT;
    int len = snprintf(line, sizeof line, "%s\n", log->next_vkey);
    pthread_mutex_lock(&log->status_lock);
    memcpy(log->vkey, log->next_vkey, sizeof log->vkey);
    pthread_mutex_unlock(&log->status_lock);
    log->key = log->next_key;
    log->rotating = false;
    signer_set_overlap(log->signer, false);
    atomic_fetch_add(&log->rotations, 1);
    return io_replace_file(log->keys_dir, "log.vkey", span_make(line, (size_t)len), 0644);
}

enum err audit_log_rotate_key(struct audit_log *log, const char *who, unsigned wait_ms, char *out_vkey, size_t cap)
{
    pthread_mutex_lock(&log->status_lock);
    snprintf(log->rotate_who, sizeof log->rotate_who, "%s", who);
    pthread_mutex_unlock(&log->status_lock);
    uint64_t before = atomic_load(&log->rotations);
    uint64_t until = clock_mono_ns() + (uint64_t)wait_ms * NS_PER_MS;
    atomic_store(&log->rotate_asked, true);
    writer_wake(log);
    while (atomic_load(&log->rotations) == before) {
        if (clock_mono_ns() >= until)
            return ERR_AGAIN;
        nanosleep(&(struct timespec){.tv_nsec = 5 * (long)NS_PER_MS}, NULL);
    }
    pthread_mutex_lock(&log->status_lock);
    snprintf(out_vkey, cap, "%s", log->vkey);
    pthread_mutex_unlock(&log->status_lock);
    return ERR_NONE;
}
