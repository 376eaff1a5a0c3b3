/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_MASK 0xffffu
#define SILENCE_NS    (180ull * 1000000000u) /* a heartbeat is written each minute */
#define SAID_MOST     8                      /* of one kind; the rest is counted */

/* Nothing is known of it, which is no sign that somebody changed it. */
static bool say_unread(struct verify *v, struct span name, int error)
{
    verify_finding(v->report, VERIFY_FAILED, "blobs/%.*s cannot be read: %s", (int)name.len, (const char *)name.data,
                   strerror(error));
    return true;
}

static bool blob_is_whole(struct verify *v, struct span name)
{
    char path[80], hex[2 * DIGEST_BYTES + 1] = {0}, buffer[65536];
    uint8_t hash[DIGEST_BYTES];
    snprintf(path, sizeof path, "blobs/%.*s", (int)name.len, (const char *)name.data);
    int fd = openat(v->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? false : say_unread(v, name, errno);
    digest_begin(v->digest);
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        digest_add(v->digest, span_make(buffer, (size_t)got));
    int error = got < 0 ? errno : 0;
    close(fd);
    digest_end(v->digest, hash);
    if (error != 0)
        return say_unread(v, name, error);
    struct outbuf o = outbuf_make(hex, sizeof hex - 1);
    outbuf_hex(&o, span_make(hash, sizeof hash));
    return got == 0 && span_is(name, hex);
}

static bool is_hash(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!((text.data[i] >= '0' && text.data[i] <= '9') || (text.data[i] >= 'a' && text.data[i] <= 'f')))
            return false;
    return text.len == 2 * DIGEST_BYTES;
}

/* A fact whose key ends so names a text under blobs/ by its hash. A quote inside a value is escaped, so that no value can
 * look like a key. */
static void check_marked(struct verify *v, uint64_t index, struct span facts, const char *mark)
{
    while (facts.len > 0) {
        const uint8_t *found = memmem(facts.data, facts.len, mark, strlen(mark));
        if (found == NULL)
            return;
        facts = span_from(facts, (size_t)(found - facts.data) + strlen(mark));
        struct span name = span_first(facts, 2 * DIGEST_BYTES);
        if (!is_hash(name) || blob_is_whole(v, name))
            continue;
        if (v->missing_blobs++ < SAID_MOST)
            verify_finding(v->report, VERIFY_TAMPERED, "entry %llu names blobs/%.*s, which is missing or changed",
                           (unsigned long long)index, (int)name.len, (const char *)name.data);
    }
}

static void check_blobs(struct verify *v, uint64_t index, struct span facts)
{
    static const char *const marks[] = {"blob\":\"", "text_sha256\":\"", "agent_sha256\":\""};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        check_marked(v, index, facts, marks[i]);
}

static void keep_text(char out[static 16], struct span text)
{
    snprintf(out, 16, "%.*s", (int)(text.len < 15 ? text.len : 15), text.len > 0 ? (const char *)text.data : "");
}

static void check_event(struct verify *v, uint64_t index, const struct leaf_facts *facts)
{
    struct verify_report *r = v->report;
    check_blobs(v, index, facts->unmapped);
    if (facts->event == EVENT_KEY_ROTATED)
        verify_rotation_entry(v, index, facts);
    r->adopted += facts->event == EVENT_SIGNER_ADOPTED;
    v->clock_steps += facts->event == EVENT_CLOCK_STEP;
    if (facts->event != EVENT_LOG_STARTED)
        return;
    v->before.count = 0; /* the log was closed until here: silence is no finding */
    keep_text(r->signer_account, leaf_text(facts->unmapped, "signer_account"));
    keep_text(r->signer_network, leaf_text(facts->unmapped, "signer_network"));
    if (!span_is(leaf_text(facts->unmapped, "log_json"), v->log_json_hash))
        verify_finding(r, VERIFY_TAMPERED, "log.json is not the file that entry %llu names", (unsigned long long)index);
}

bool verify_entry(void *arg, uint64_t index, struct span leaf)
{
    struct verify *v = arg;
    struct verify_report *r = v->report;
    struct leaf_facts facts;
    unsigned long long at = index;
    switch (ledger_entry(&v->ledger, index, leaf, &facts)) {
    case LEDGER_FINE:
        break;
    case LEDGER_GAP:
        if (!scope_has(v, &facts))
            v->elsewhere++;
        else if (v->gaps++ < SAID_MOST)
            verify_finding(r, VERIFY_INCOMPLETE, "entry %llu: environment \"%.*s\" has a gap before env_seq %llu", at,
                           (int)(facts.tenant.len < 64 ? facts.tenant.len : 64), (const char *)facts.tenant.data,
                           (unsigned long long)facts.env_seq);
        break;
    case LEDGER_NO_ATTEMPT:
        if (!scope_has(v, &facts))
            v->elsewhere++;
        else if (v->strangers++ < SAID_MOST)
            verify_finding(r, VERIFY_INCOMPLETE, "entry %llu: an outcome or traffic without an attempt that is open",
                           at);
        break;
    case LEDGER_MANIFEST:
        verify_finding(r, VERIFY_TAMPERED, "entry %llu: the manifest is not what the entries before it say", at);
        break;
    case LEDGER_MALFORMED:
        r->has_first_bad = true;
        r->first_bad = index;
        verify_finding(r, VERIFY_TAMPERED, "entry %llu is not of this log's form", at);
        return false;
    case LEDGER_NO_MEMORY:
        verify_finding(r, VERIFY_FAILED, "no memory");
        return false;
    }
    if (scope_entry(v, &facts) != ERR_NONE) {
        verify_finding(r, VERIFY_FAILED, "no memory");
        return false;
    }
    if (facts.kind == LEAF_EVENT)
        check_event(v, index, &facts);
    else if (v->options->counter != NULL)
        counter_entry(v, &facts);
    if (v->options->progress != NULL && (index & PROGRESS_MASK) == PROGRESS_MASK)
        v->options->progress(v->options->progress_arg, index + 1, r->signed_size);
    return true;
}

bool verify_commit(void *arg, const struct commit *commit, const struct tree *tree)
{
    struct verify *v = arg;
    const struct commit *before = &v->before;
    bool same_boot = before->count != 0 && memcmp(before->boot, commit->boot, sizeof before->boot) == 0;
    if (same_boot && commit->mono_ns > before->mono_ns && commit->mono_ns - before->mono_ns > SILENCE_NS &&
        v->silences++ < SAID_MOST)
        verify_finding(
            v->report, VERIFY_INCOMPLETE, "before entry %llu the log was silent for %llu s: heartbeats are missing",
            (unsigned long long)commit->first, (unsigned long long)((commit->mono_ns - before->mono_ns) / 1000000000u));
    v->before = *commit;
    if (v->report->first_wall_ns == 0)
        v->report->first_wall_ns = commit->wall_ns;
    v->report->last_wall_ns = commit->wall_ns;
    if (tree->size <= v->report->signed_size)
        v->report->signed_wall_ns = commit->wall_ns;
    if (v->unsigned_from.count == 0 && tree->size > v->report->signed_size)
        v->unsigned_from = *commit;
    verify_heads_skip(v, v->walk->begun);
    verify_head_reached(v, commit, tree->size);
    return true;
}
