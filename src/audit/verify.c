/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/verify.h"

#include "verify_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define UNSIGNED_MOST_S 15

static void say(char lines[][256], size_t *count, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void say(char lines[][256], size_t *count, const char *format, va_list args)
{
    if (*count < VERIFY_SENTENCES_MAX)
        vsnprintf(lines[(*count)++], 256, format, args);
}

void verify_proven(struct verify_report *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(r->proven, &r->proven_count, format, args);
    va_end(args);
}

void verify_unproven(struct verify_report *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(r->unproven, &r->unproven_count, format, args);
    va_end(args);
}

void verify_remark(struct verify_report *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(r->findings, &r->finding_count, format, args);
    va_end(args);
}

/* Worst first: what was changed outweighs what was rolled back, and that what is incomplete. */
static int weight(enum verify_result result)
{
    switch (result) {
    case VERIFY_TAMPERED:
        return 5;
    case VERIFY_ROLLBACK:
        return 4;
    case VERIFY_FAILED:
        return 3;
    case VERIFY_UNAVAILABLE:
        return 2;
    case VERIFY_INCOMPLETE:
        return 1;
    case VERIFY_PROVEN:
        break;
    }
    return 0;
}

void verify_finding(struct verify_report *r, enum verify_result result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(r->findings, &r->finding_count, format, args);
    va_end(args);
    if (weight(result) > weight(r->result))
        r->result = result;
}

static void judge_hashes(struct verify *v, const struct hashes *h)
{
    uint64_t first = UINT64_MAX;
    struct verify_report *r = v->report;
    uint64_t different = hashes_different(h, &first), unread = hashes_unread(h);
    if (unread > 0)
        verify_finding(r, VERIFY_FAILED, "hashes/ cannot be read in %llu places", (unsigned long long)unread);
    if (unread > 0 && different == 0)
        return;
    if (different == 0) {
        verify_proven(r, "the hash arrays agree with the segments");
        return;
    }
    if (first != UINT64_MAX && !r->has_first_bad) {
        r->has_first_bad = true;
        r->first_bad = first;
    }
    verify_finding(r, VERIFY_TAMPERED,
                   "hashes/ differ from the segments in %llu places (they are derived: a start writes them again)",
                   (unsigned long long)different);
}

static void judge_flows(struct verify *v)
{
    struct verify_report *r = v->report;
    const struct ledger *l = &v->ledger;
    uint64_t forgotten = v->scope == NULL ? ledger_forgotten(l) : 0;
    r->attempts = l->attempts;
    r->outcomes = l->outcomes;
    r->open_flows = l->open.count;
    if (forgotten > 0)
        verify_finding(r, VERIFY_INCOMPLETE,
                       "%llu attempts have neither an outcome nor a later start that names them as open",
                       (unsigned long long)forgotten);
    else if (v->scope == NULL)
        verify_proven(r, "each of %llu attempts ended, was refused, or is named as open",
                      (unsigned long long)l->attempts);
    if (l->open.count > forgotten)
        verify_remark(r, "%llu flows are open%s", (unsigned long long)(l->open.count - forgotten),
                      l->stopped ? " though the log was closed; the next start names them"
                                 : " (the log was not closed)");
    if (l->lost > 0)
        verify_remark(r, "%llu flows were open when a process ended; what they carried last is unknown",
                      (unsigned long long)l->lost);
    if (v->gaps == 0 && v->scope == NULL)
        verify_proven(r, "the numbers of each of %zu environments are without a gap", l->envs.count);
    if (v->clock_steps > 0)
        verify_remark(r, "the clock was set %llu times; the order of the entries is that of their indices",
                      (unsigned long long)v->clock_steps);
    if (v->gaps > 0 || v->strangers > 0 || v->silences > 0)
        verify_remark(r, "in all: %llu gaps, %llu outcomes without an attempt, %llu silences",
                      (unsigned long long)v->gaps, (unsigned long long)v->strangers, (unsigned long long)v->silences);
}

/* A checkpoint comes each second and when the log is closed: a longer tail without one means that one was taken away,
 * or that the signer did not work. */
static void judge_unsigned(struct verify *v, const struct walk *w)
{
    struct verify_report *r = v->report;
    const struct commit *from = &v->unsigned_from;
    /* Over a restart of the machine there is only the wall clock, which may have been set. */
    bool same_boot = memcmp(from->boot, w->last.boot, sizeof from->boot) == 0;
    int64_t seconds =
        (same_boot ? (int64_t)(w->last.mono_ns - from->mono_ns) : w->last.wall_ns - from->wall_ns) / 1000000000;
    unsigned long long count = w->tree.size - r->signed_size;
    verify_unproven(r, "the newest %llu entries: they are durable and not signed yet", count);
    if (v->ledger.stopped)
        verify_finding(r, VERIFY_INCOMPLETE, "the log was closed, but the checkpoint of its end is missing");
    else if (seconds > UNSIGNED_MOST_S)
        verify_finding(r, VERIFY_INCOMPLETE,
                       "the newest %llu entries were not signed for %lld s: checkpoints are missing", count,
                       (long long)seconds);
}

/* What was skipped is bound by the signed root, if one was reached; but nobody has looked at it. */
static void judge_part(struct verify *v, const struct walk *w)
{
    struct verify_report *r = v->report;
    verify_proven(r, "entries %llu to %llu hash to the roots that were committed with them",
                  (unsigned long long)w->begun, (unsigned long long)w->tree.size - 1);
    verify_unproven(r, "anything about the entries before %llu: they were not read (--full)",
                    (unsigned long long)w->begun);
}

static void judge_walk(struct verify *v, const struct walk *w, enum walk_state state)
{
    struct verify_report *r = v->report;
    r->entries = w->tree.size;
    r->begun = w->begun;
    if (state == WALK_TAMPERED) {
        r->entries = w->last.count == 0 ? 0 : w->last.first + w->last.count;
        r->has_first_bad = r->has_first_bad || w->has_first_bad;
        r->first_bad = w->has_first_bad ? w->first_bad : r->first_bad;
        verify_finding(r, VERIFY_TAMPERED, "%s", w->message);
        return;
    }
    if (state == WALK_FAILED)
        verify_finding(r, VERIFY_FAILED, "%s", w->message);
    if (state == WALK_FAILED || state == WALK_STOPPED)
        return;
    tree_root(&w->tree, r->root);
    if (r->begun == 0)
        verify_proven(r, "%llu entries in %zu segments hash to the roots that were committed with them",
                      (unsigned long long)w->tree.size, w->segment_count);
    else
        judge_part(v, w);
    verify_heads_end(v, w->tree.size);
    judge_flows(v);
    scope_end(v);
    counter_end(v);
    if (state == WALK_TORN)
        verify_remark(r, "%llu bytes behind entry %llu are a batch that was not finished; nobody was told of it",
                      (unsigned long long)w->torn_bytes, (unsigned long long)w->tree.size);
    if (w->superseded_bytes > 0)
        verify_remark(r,
                      "%llu bytes of failed writes lie behind the end of older segments; they are no part of the log",
                      (unsigned long long)w->superseded_bytes);
    if (w->tree.size > r->signed_size)
        judge_unsigned(v, w);
}

static void judge_limits(struct verify *v)
{
    struct verify_report *r = v->report;
    if (v->key_is_ours)
        verify_unproven(r, "who signed: the key came from the directory itself; give the one you trust with --key");
    if (r->adopted > 0)
        verify_unproven(r, "absence of a rollback before a signer without memory was adopted, %llu times",
                        (unsigned long long)r->adopted);
    if (r->witnessed_size > 0)
        verify_unproven(r, "absence of a rollback behind entry %llu: ask the witnesses again (audit cosign)",
                        (unsigned long long)r->witnessed_size);
    else if (!v->has_pinned)
        verify_unproven(r, "absence of a rollback: no witness has signed, so an older state of everything would look "
                           "the same; keep checkpoints elsewhere");
    verify_unproven(r, "that every attempt reached this log: a root user can stop the program or lie to it before a "
                       "record is made");
}

static void run(struct verify *v)
{
    struct hashes *hashes = NULL;
    struct walk walk = {.arg = v, .digest = v->digest, .entry = verify_entry, .commit = verify_commit};
    walk.from = v->options->since;
    v->walk = &walk;
    v->ledger.partial = walk.from > 0;
    int hashes_dir = openat(v->dir, "hashes", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    bool derived = hashes_dir >= 0 || errno != ENOENT; /* a copy may leave out what can be computed again */
    walk.segments_dir = openat(v->dir, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (walk.segments_dir < 0 || (derived && (hashes_dir < 0 || hashes_open(hashes_dir, true, &hashes) != ERR_NONE))) {
        verify_finding(v->report, VERIFY_UNAVAILABLE, "segments/ or hashes/ cannot be read: %s", strerror(errno));
    } else {
        walk.hashes = hashes;
        judge_walk(v, &walk, walk_run(&walk));
        if (v->report->result != VERIFY_FAILED && hashes != NULL)
            judge_hashes(v, hashes);
        judge_limits(v);
    }
    v->walk = NULL;
    hashes_close(hashes);
    if (walk.segments_dir >= 0)
        close(walk.segments_dir);
    if (hashes_dir >= 0)
        close(hashes_dir);
}

enum verify_result audit_verify(const struct verify_options *options, struct verify_report *out)
{
    struct verify v = {.options = options, .report = out};
    memset(out, 0, sizeof *out);
    v.dir = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (v.dir < 0) {
        verify_finding(out, VERIFY_UNAVAILABLE, "%s: %s", options->dir, strerror(errno));
        return out->result;
    }
    ledger_init(&v.ledger);
    if (digest_new(&v.digest) != ERR_NONE)
        verify_finding(out, VERIFY_FAILED, "no memory");
    else if (options->environment != NULL && scope_new(&v) != ERR_NONE)
        verify_finding(out, VERIFY_FAILED, "the name of the environment is too long");
    else if (verify_read_heads(&v))
        run(&v);
    digest_free(v.digest);
    ledger_free(&v.ledger);
    scope_free(v.scope);
    free(v.published.heads);
    rotations_free(&v.rotations);
    snprintf(out->origin, sizeof out->origin, "%s", v.origin);
    out->key_given = options->vkey != NULL;
    out->pinned_given = v.has_pinned;
    close(v.dir);
    return out->result;
}
