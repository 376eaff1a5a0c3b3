/* SPDX-License-Identifier: Apache-2.0 */
#include "io.h"
#include "logdir.h"
#include "verify_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A disk that cannot be read has changed nothing. */
static enum verify_result unread_or_broken(enum err err)
{
    return err == ERR_IO || err == ERR_NO_MEMORY ? VERIFY_FAILED : VERIFY_TAMPERED;
}

static bool read_key(struct verify *v)
{
    char text[NOTE_VKEY_MAX];
    size_t len = 0;
    struct verify_report *r = v->report;
    if (v->options->vkey != NULL) {
        if (note_key_parse(span_text(v->options->vkey), &v->key) == ERR_NONE)
            return true;
        verify_finding(r, VERIFY_FAILED, "the verifier key that was given is not one");
        return false;
    }
    int keys = openat(v->dir, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    enum err err =
        keys < 0 ? errno == ENOENT ? ERR_NOT_FOUND : ERR_IO : io_read_file(keys, "log.vkey", text, sizeof text, &len);
    if (keys >= 0)
        close(keys);
    if (err == ERR_NONE)
        err = note_key_parse(span_make(text, len), &v->key);
    if (err != ERR_NONE) {
        verify_finding(r, unread_or_broken(err), "keys/log.vkey is missing or broken (%s)", err_text(err));
        return false;
    }
    v->key_is_ours = true;
    return true;
}

static bool add_head(struct published *p, const struct tree_head *head)
{
    if ((p->count & (p->count - 1)) == 0) {
        size_t room = p->count == 0 ? 1 : 2 * p->count;
        struct tree_head *more = realloc(p->heads, room * sizeof *more);
        if (more == NULL)
            return false;
        p->heads = more;
    }
    p->heads[p->count++] = *head;
    return true;
}

bool verify_take_head(struct verify *v, const struct checkpoint *c, const char *file)
{
    struct published *p = &v->published;
    struct verify_report *r = v->report;
    unsigned long long size = c->head.size;
    if (!verify_published_signature(v, c)) {
        verify_finding(r, VERIFY_TAMPERED, "%s: the signature of the checkpoint of size %llu is wrong", file, size);
        return false;
    }
    if (p->count > 0 && c->head.size < p->heads[p->count - 1].size) {
        verify_finding(r, VERIFY_ROLLBACK, "%s: size %llu was signed after size %llu", file, size,
                       (unsigned long long)p->heads[p->count - 1].size);
        return false;
    }
    if (!add_head(p, &c->head)) {
        verify_finding(r, VERIFY_FAILED, "no memory");
        return false;
    }
    return true;
}

static bool parse_log(struct verify *v, struct span rest)
{
    while (rest.len > 0) {
        struct checkpoint c;
        size_t len = 0;
        enum err err = note_checkpoint_parse(rest, &c, &len);
        if (err == ERR_AGAIN || (err == ERR_NONE && len == rest.len)) {
            verify_remark(v->report, "checkpoints.log ends inside a checkpoint: a write was cut short");
            return true;
        }
        if (err != ERR_NONE || rest.data[len] != '\n') {
            verify_finding(v->report, VERIFY_TAMPERED, "checkpoints.log has lines that are no checkpoint, after %zu",
                           v->published.count);
            return false;
        }
        if (!verify_take_head(v, &c, "checkpoints.log"))
            return false;
        rest = span_from(rest, len + 1);
    }
    return true;
}

static bool read_log(struct verify *v)
{
    struct stat st;
    int fd = openat(v->dir, "checkpoints.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return true;
    uint8_t *text = NULL;
    size_t len = 0;
    bool done = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (done && st.st_size > 0) {
        text = malloc((size_t)st.st_size);
        done = text != NULL;
        while (done && len < (size_t)st.st_size) {
            ssize_t got = read(fd, text + len, (size_t)st.st_size - len);
            if (got < 0 && errno == EINTR)
                continue;
            done = got >= 0;
            if (got <= 0)
                break; /* it was cut meanwhile: what is there is judged */
            len += (size_t)got;
        }
    }
    if (fd >= 0)
        close(fd);
    if (!done)
        verify_finding(v->report, VERIFY_FAILED, "checkpoints.log cannot be read");
    done = done && parse_log(v, span_make(text, len));
    free(text);
    return done;
}

/* `checkpoint` is renamed into place after its line in checkpoints.log is durable: it is one of them. */
static bool read_current(struct verify *v, struct tree_head *out)
{
    char text[NOTE_TEXT_MAX];
    size_t len = 0, covered = 0;
    struct checkpoint c;
    enum err err = io_read_file(v->dir, "checkpoint", text, sizeof text, &len);
    if (err == ERR_NOT_FOUND)
        return true;
    if (err == ERR_NONE)
        err = note_checkpoint_parse(span_make(text, len), &c, &covered);
    if (err != ERR_NONE || covered != len) {
        verify_finding(v->report, unread_or_broken(err), "checkpoint is not a checkpoint (%s)", err_text(err));
        return false;
    }
    if (!verify_signature(v, &c)) {
        verify_finding(v->report, VERIFY_TAMPERED, "checkpoint: its signature is wrong for the key %s", v->key.origin);
        return false;
    }
    *out = c.head;
    return true;
}

static bool read_pinned(struct verify *v)
{
    char text[NOTE_TEXT_MAX];
    size_t len = 0, covered = 0;
    struct checkpoint c;
    if (v->options->pinned == NULL)
        return true;
    enum err err = io_read_file(AT_FDCWD, v->options->pinned, text, sizeof text, &len);
    if (err == ERR_NONE)
        err = note_checkpoint_parse(span_make(text, len), &c, &covered);
    if (err != ERR_NONE || !verify_signature(v, &c)) {
        verify_finding(v->report, VERIFY_FAILED, "%s is no checkpoint signed with this key", v->options->pinned);
        return false;
    }
    v->pinned = c.head;
    v->has_pinned = true;
    v->pinned_seen = c.head.size == 0;
    return true;
}

static bool current_is_published(const struct verify *v, const struct tree_head *current)
{
    for (size_t i = v->published.count; i-- > 0;)
        if (v->published.heads[i].size == current->size)
            return memcmp(v->published.heads[i].root, current->root, DIGEST_BYTES) == 0;
    return false;
}

/* Heads before segments: what is appended meanwhile lies behind them and is reported as not signed yet. */
bool verify_read_heads(struct verify *v)
{
    struct tree_head current = {0};
    uint8_t hash[DIGEST_BYTES];
    struct verify_report *r = v->report;
    enum err err = logdir_read_origin(v->dir, v->origin, hash);
    if (err != ERR_NONE) {
        verify_finding(r, err == ERR_NOT_FOUND ? VERIFY_UNAVAILABLE : unread_or_broken(err), "log.json: %s",
                       err_text(err));
        return false;
    }
    struct outbuf o = outbuf_make(v->log_json_hash, sizeof v->log_json_hash - 1);
    outbuf_hex(&o, span_make(hash, sizeof hash));
    if (!read_key(v) || !verify_read_rotations(v) || !read_pinned(v))
        return false;
    if (strcmp(v->key.origin, v->origin) != 0) {
        verify_finding(r, VERIFY_TAMPERED, "the key is of %s, the directory is the log of %s", v->key.origin,
                       v->origin);
        return false;
    }
    /* What is given out leaves `withheld` last of all: read first, nothing is missed. */
    if (!withheld_heads_read(v) || !read_current(v, &current) || !read_log(v) || !witness_read(v))
        return false;
    if (current.size > 0 && !current_is_published(v, &current)) {
        verify_finding(r, VERIFY_TAMPERED, "checkpoint (size %llu) is not in checkpoints.log",
                       (unsigned long long)current.size);
        return false;
    }
    if (!withheld_heads_take(v))
        return false;
    if (v->published.count > 0)
        r->signed_size = v->published.heads[v->published.count - 1].size;
    return true;
}

void verify_heads_skip(struct verify *v, uint64_t begun)
{
    verify_rotations_skip(v, begun);
    struct published *p = &v->published;
    while (p->at < p->count && p->heads[p->at].size <= begun)
        p->at++;
}

void verify_head_reached(struct verify *v, const struct commit *commit, uint64_t size)
{
    struct published *p = &v->published;
    for (; p->at < p->count && p->heads[p->at].size <= size; p->at++) {
        const struct tree_head *head = &p->heads[p->at];
        if (head->size != size || memcmp(head->root, commit->root, DIGEST_BYTES) != 0)
            verify_finding(v->report, VERIFY_TAMPERED,
                           "the first %llu entries are not those that were signed in checkpoints.log",
                           (unsigned long long)head->size);
    }
    if (v->witnessed.size == size)
        v->witnessed_seen = memcmp(v->witnessed.root, commit->root, DIGEST_BYTES) == 0;
    if (v->has_pinned && v->pinned.size == size)
        v->pinned_seen = memcmp(v->pinned.root, commit->root, DIGEST_BYTES) == 0;
}

/* Two heads of one size with the same signature's key are a proof that whoever holds the key made two logs. */
static void show_fork(struct verify *v)
{
    char ours[48], pinned[48];
    for (size_t i = 0; i < v->published.count; i++) {
        const struct tree_head *head = &v->published.heads[i];
        if (head->size != v->pinned.size || memcmp(head->root, v->pinned.root, DIGEST_BYTES) == 0)
            continue;
        size_t len = base64_encode(span_make(head->root, DIGEST_BYTES), ours, sizeof ours);
        base64_encode(span_make(v->pinned.root, DIGEST_BYTES), pinned, sizeof pinned);
        verify_remark(v->report, "both are signed with the key, for %llu entries: %.*s here, %.*s pinned",
                      (unsigned long long)head->size, (int)len, ours, (int)len, pinned);
        return;
    }
}

void verify_heads_end(struct verify *v, uint64_t size)
{
    struct verify_report *r = v->report;
    unsigned long long have = size;
    verify_rotations_end(v);
    if (r->signed_size > size) {
        r->has_first_bad = true;
        r->first_bad = size;
        verify_finding(r, VERIFY_TAMPERED, "%llu entries were signed, the segments hold %llu: the newest are missing",
                       (unsigned long long)r->signed_size, have);
    } else if (r->signed_size > 0 && r->result != VERIFY_TAMPERED) {
        if (r->begun == 0)
            verify_proven(r, "the first %llu entries are those that were signed, in %zu checkpoints of %s",
                          (unsigned long long)r->signed_size, v->published.count, v->origin);
        else if (r->begun < r->signed_size)
            verify_proven(r, "entries %llu to %llu are those that were signed, by %s", (unsigned long long)r->begun,
                          (unsigned long long)r->signed_size - 1, v->origin);
    }
    withheld_heads_end(v);
    witness_end(v, size);
    if (v->has_pinned && v->pinned.size <= r->begun && r->begun > 0)
        verify_unproven(r,
                        "that the pinned checkpoint of size %llu is in this log: it lies before what was read (--full)",
                        (unsigned long long)v->pinned.size);
    else if (v->has_pinned && !v->pinned_seen) {
        verify_finding(r, VERIFY_ROLLBACK, "the pinned checkpoint of size %llu is not in this log: rollback or fork",
                       (unsigned long long)v->pinned.size);
        show_fork(v);
    } else if (v->has_pinned)
        verify_proven(r, "nothing was removed or changed since the pinned checkpoint of size %llu",
                      (unsigned long long)v->pinned.size);
}
