/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key that redacted secrets are hashed with: taken at the start, looked at again each hour and after each load, so
 * that a new month has a new one and a key that was taken away is used no longer. Old ones stay in memory until the
 * end: a worker may be in the middle of a hash.
 */
#include "internal.h"

#include "audit/redact_key.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"

#include <stddef.h>
#include <stdlib.h>

#define LOOK_MS (60u * 60u * 1000u)

struct kept_key {
    struct kept_key *older;
    bool made; /* by this process */
    struct redact_key key;
};

struct privacy {
    struct daemon *daemon;
    struct kept_key *newest;
    struct redact_words words;
    struct timer timer;
    bool recording;
};

static void record_key(struct daemon *daemon, const struct kept_key *kept)
{
    struct record_event event = {
        .event = EVENT_KEY_CREATED,
        .subject = span_text(kept->key.id),
        .message = span_text(kept->made ? "a new key hides what looks like a secret"
                                        : "a key that hides what looks like a secret is in force"),
        .fact_count = 2,
        .facts = {{.key = "purpose", .text = span_text("redaction")},
                  {.key = "made", .text = span_text(kept->key.name)}},
    };
    records_add(daemon, &event);
}

static enum err take(struct daemon *daemon)
{
    struct privacy *privacy = daemon->privacy;
    char why[512] = "";
    struct kept_key *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return ERR_NO_MEMORY;
    enum err err =
        redact_key_take(daemon->place.privacy_dir, clock_wall_ns() / 1000000, &kept->key, &kept->made, why, sizeof why);
    if (err != ERR_NONE)
        log_error("no key for redaction can be had", "why=%s", why);
    bool same = err != ERR_NONE || (privacy->newest != NULL && strcmp(privacy->newest->key.id, kept->key.id) == 0);
    if (same) {
        secret_wipe(kept, sizeof *kept);
        free(kept);
        return err;
    }
    kept->older = privacy->newest;
    privacy->newest = kept;
    atomic_store_explicit(&daemon->process.redact_key, &kept->key, memory_order_release);
    if (privacy->recording)
        record_key(daemon, kept);
    return ERR_NONE;
}

void privacy_look(struct daemon *daemon)
{
    enum err err = take(daemon);
    (void)err; /* was said; the key in force stays */
}

static void on_timer(struct timer *timer)
{
    struct privacy *privacy = (struct privacy *)(void *)((char *)timer - offsetof(struct privacy, timer));
    privacy_look(privacy->daemon);
    timer_set(loop_wheel(privacy->daemon->loop), timer, loop_now_ms(privacy->daemon->loop) + LOOK_MS);
}

enum err privacy_open(struct daemon *daemon)
{
    struct privacy *privacy = calloc(1, sizeof *privacy);
    if (privacy == NULL)
        return ERR_NO_MEMORY;
    digest_prepare(); /* else the first worker with a request to record reads OpenSSL's configuration */
    daemon->privacy = privacy;
    privacy->daemon = daemon;
    privacy->words = (struct redact_words){daemon->config->redact, daemon->config->redact_count};
    daemon->process.redact_words = &privacy->words;
    timer_init(&privacy->timer, on_timer);
    return take(daemon);
}

void privacy_start(struct daemon *daemon)
{
    struct privacy *privacy = daemon->privacy;
    privacy->recording = true;
    if (privacy->newest->made)
        record_key(daemon, privacy->newest);
    timer_set(loop_wheel(daemon->loop), &privacy->timer, loop_now_ms(daemon->loop) + LOOK_MS);
}

void privacy_close(struct daemon *daemon)
{
    struct privacy *privacy = daemon->privacy;
    if (privacy == NULL)
        return;
    if (privacy->recording)
        timer_cancel(&privacy->timer);
    while (privacy->newest != NULL) {
        struct kept_key *kept = privacy->newest;
        privacy->newest = kept->older;
        secret_wipe(kept, sizeof *kept);
        free(kept);
    }
    free(privacy);
    daemon->privacy = NULL;
}
