/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything of one environment, for somebody who may see nothing of another: its entries, a proof of each, and a
 * manifest. The numbers of an environment have no gap, so an unbroken row of them between two entries leaves no room
 * for one that was kept back; the entries just outside the asked time are therefore part of the bundle.
 */
#include "evidence_private.h"
#include "leaf.h"
#include "query_match.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MANIFEST_MAX 4096

struct found {
    uint64_t index, env_seq;
    int64_t time_ms;
    bool of_session;
};

struct bundling {
    struct evidence_bundle *bundle;
    char tenant[1024]; /* as it stands in a leaf */
    size_t tenant_len;
    struct found *rows;
    size_t count, cap;
    size_t first, last; /* rows that go into the bundle */
    size_t at;
    FILE *lines;
    struct audit_query *session; /* NULL: all are meant */
};

int64_t evidence_time(struct span leaf)
{
    static const char key[] = "},\"time\":";
    const uint8_t *at = memmem(leaf.data, leaf.len, key, sizeof key - 1);
    int64_t ms = 0;
    for (at = at == NULL ? leaf.data + leaf.len : at + sizeof key - 1;
         at < leaf.data + leaf.len && *at >= '0' && *at <= '9' && ms < INT64_MAX / 100; at++)
        ms = ms * 10 + (*at - '0');
    return ms;
}

static enum err find(void *arg, uint64_t index, struct span leaf, const uint8_t hash[static DIGEST_BYTES])
{
    struct bundling *b = arg;
    struct leaf_facts facts;
    (void)hash;
    if (!leaf_scan(leaf, &facts))
        return ERR_CORRUPT;
    if (!facts.has_tenant || !span_equal(facts.tenant, span_make(b->tenant, b->tenant_len)))
        return ERR_NONE;
    if (b->count == b->cap) {
        size_t cap = b->cap == 0 ? 1024 : 2 * b->cap;
        struct found *more = realloc(b->rows, cap * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        b->rows = more;
        b->cap = cap;
    }
    if (facts.env_seq != b->count + 1)
        return ERR_CORRUPT;
    b->rows[b->count++] = (struct found){.index = index,
                                         .env_seq = facts.env_seq,
                                         .time_ms = evidence_time(leaf),
                                         .of_session = b->session == NULL || query_matches(b->session, leaf)};
    return ERR_NONE;
}

static bool in_time(const struct bundling *b, const struct found *row)
{
    return row->of_session && row->time_ms >= b->bundle->from_ms &&
           (b->bundle->to_ms == 0 || row->time_ms < b->bundle->to_ms);
}

/* From the entry before the first that is asked for to the one behind the last. */
static enum err choose(struct bundling *b)
{
    size_t first = b->count, last = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (!in_time(b, &b->rows[i]))
            continue;
        first = first == b->count ? i : first;
        b->bundle->session_entries++;
        last = i;
    }
    if (first == b->count)
        return ERR_NOT_FOUND;
    b->first = first > 0 ? first - 1 : 0;
    b->last = last + 1 < b->count ? last + 1 : last;
    b->bundle->entries = b->last - b->first + 1;
    b->bundle->first_env_seq = b->rows[b->first].env_seq;
    b->bundle->last_env_seq = b->rows[b->last].env_seq;
    b->bundle->env_entries = b->count;
    b->at = b->first;
    return ERR_NONE;
}

static enum err put_line(void *arg, uint64_t index, struct span leaf, const uint8_t hash[static DIGEST_BYTES])
{
    struct bundling *b = arg;
    (void)hash;
    if (b->at > b->last || b->rows[b->at].index != index)
        return ERR_NONE;
    b->at++;
    bool put = fwrite(leaf.data, 1, leaf.len, b->lines) == leaf.len && fwrite("\n", 1, 1, b->lines) == 1;
    return put ? ERR_NONE : ERR_IO;
}

static enum err put_entries(struct evidence *e, struct bundling *b, int dir)
{
    int fd = openat(dir, "entries.jsonl", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    b->lines = fd < 0 ? NULL : fdopen(fd, "w");
    if (b->lines == NULL) {
        if (fd >= 0)
            close(fd);
        return ERR_IO;
    }
    enum err err = evidence_each(e, put_line, b);
    if (fclose(b->lines) != 0 && err == ERR_NONE)
        err = ERR_IO;
    return err;
}

static enum err put_proofs(struct evidence *e, const struct bundling *b, int dir)
{
    char text[EVIDENCE_PROOF_MAX], path[64];
    for (size_t i = b->first; i <= b->last; i++) {
        struct outbuf o = outbuf_make(text, sizeof text);
        enum err err = evidence_prove(e, b->rows[i].index, &o);
        snprintf(path, sizeof path, "proofs/%llu.tlog-proof", (unsigned long long)b->rows[i].index);
        if (err == ERR_NONE)
            err = evidence_put(dir, path, outbuf_written(&o));
        if (err != ERR_NONE)
            return err;
    }
    return ERR_NONE;
}

static enum err put_manifest(const struct evidence *e, const struct bundling *b, int dir)
{
    char text[MANIFEST_MAX], root[48];
    const struct evidence_bundle *bundle = b->bundle;
    size_t root_len = base64_encode(span_make(e->head.root, DIGEST_BYTES), root, sizeof root);
    struct outbuf o = outbuf_make(text, sizeof text);
    struct json j = json_make(&o);
    json_open(&j, '{');
    json_key_text(&j, "format", "sallyport environment bundle 1");
    json_key_text(&j, "origin", e->key.origin);
    json_key_text(&j, "environment", bundle->environment);
    if (bundle->session != NULL) {
        json_key_text(&j, "session", bundle->session);
        json_key_u64(&j, "session_entries", bundle->session_entries);
    }
    json_key_i64(&j, "from_ms", bundle->from_ms);
    json_key_i64(&j, "to_ms", bundle->to_ms);
    json_key_u64(&j, "tree_size", e->head.size);
    json_key_span(&j, "root", span_make(root, root_len));
    json_key_u64(&j, "entries", bundle->entries);
    json_key_u64(&j, "first_env_seq", bundle->first_env_seq);
    json_key_u64(&j, "last_env_seq", bundle->last_env_seq);
    json_key_u64(&j, "env_entries", bundle->env_entries);
    json_key_bool(&j, "reaches_beginning", b->first == 0);
    json_key_bool(&j, "reaches_end", b->last + 1 == b->count);
    json_key_text(
        &j, "how_to_check",
        "each line of entries.jsonl, without its newline, is the entry at metadata.sequence and has its proof "
        "in proofs/; unmapped.env_seq goes from first_env_seq to last_env_seq without a gap");
    json_key_text(
        &j, "not_proven",
        "that the environment has no entry behind the last one, where reaches_end is true: only the holder of "
        "the whole log can check env_entries");
    json_close(&j, '}');
    outbuf_char(&o, '\n');
    return o.overflow ? ERR_TOO_BIG : evidence_put(dir, "manifest.json", outbuf_written(&o));
}

static enum err put_all(struct evidence *e, struct bundling *b, int dir)
{
    char vkey[NOTE_VKEY_MAX + 1];
    int len = snprintf(vkey, sizeof vkey, "%s\n", e->vkey);
    enum err err = put_entries(e, b, dir);
    if (err == ERR_NONE)
        err = put_proofs(e, b, dir);
    if (err == ERR_NONE)
        err = evidence_put(dir, "checkpoint", evidence_checkpoint(e));
    if (err == ERR_NONE)
        err = evidence_put(dir, "log.vkey", span_make(vkey, (size_t)len));
    if (err == ERR_NONE)
        err = evidence_keys_put(e, dir);
    return err == ERR_NONE ? put_manifest(e, b, dir) : err;
}

enum err evidence_bundle(struct evidence *e, struct evidence_bundle *bundle, const char *dir)
{
    struct bundling b = {.bundle = bundle};
    int fd = -1;
    struct outbuf o = outbuf_make(b.tenant, sizeof b.tenant);
    struct json j = json_make(&o);
    json_text(&j, bundle->environment);
    if (o.overflow)
        return ERR_NOT_FOUND;
    b.tenant_len = o.len - 2; /* without its quotes */
    memmove(b.tenant, b.tenant + 1, b.tenant_len);
    const struct audit_filter filter = {.session = bundle->session};
    bundle->session_entries = 0;
    enum err err = bundle->session != NULL ? query_matcher(&filter, &b.session) : ERR_NONE;
    if (err == ERR_NONE)
        err = evidence_each(e, find, &b);
    if (err == ERR_NONE)
        err = choose(&b);
    if (err == ERR_NONE)
        err = evidence_mkdir(dir, &fd);
    if (err == ERR_NONE)
        err = put_all(e, &b, fd);
    if (fd >= 0)
        close(fd);
    free(b.rows);
    audit_query_close(b.session);
    return err;
}
