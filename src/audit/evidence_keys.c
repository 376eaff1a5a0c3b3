/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the key that somebody trusts to the one that signs now. Each hand-over is shown by three things that are held
 * against each other: the row of keys/rotations, the key_rotated entry, and the first checkpoint behind that entry, which
 * both keys signed and whose tree holds the entry.
 */
#include "evidence_private.h"

#include "audit/reader.h"
#include "io.h"
#include "leaf.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINTS_MAX (1u << 30)

/* The first checkpoint behind each hand-over, which both keys have signed. */
static enum err find_overlaps(struct evidence *e, struct span rest)
{
    size_t found = 0;
    while (rest.len > 0 && found < e->rotations.count) {
        struct checkpoint c;
        size_t len = 0;
        const struct rotation *row = &e->rotations.rows[found];
        enum err err = note_checkpoint_parse(rest, &c, &len);
        if (err == ERR_AGAIN)
            break;
        if (err != ERR_NONE)
            return err;
        rest = span_from(rest, len < rest.len ? len + 1 : len);
        if (c.head.size <= row->index || c.head.size > e->head.size)
            continue;
        if (len > sizeof e->overlaps[found].text || !note_checkpoint_check(&c, &row->before) ||
            !note_checkpoint_check(&c, &row->after))
            return ERR_CORRUPT;
        struct evidence_overlap *overlap = &e->overlaps[found++];
        overlap->head = c.head;
        overlap->len = len;
        memcpy(overlap->text, (const char *)c.body.data, len);
    }
    return found == e->rotations.count ? ERR_NONE : ERR_CORRUPT;
}

static enum err read_overlaps(struct evidence *e, int dir)
{
    struct stat st;
    size_t len = 0;
    int fd = openat(dir, "checkpoints.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool known = fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= CHECKPOINTS_MAX;
    if (fd >= 0)
        close(fd);
    if (!known)
        return ERR_CORRUPT;
    char *text = malloc((size_t)st.st_size + 1);
    e->overlaps = calloc(e->rotations.count, sizeof *e->overlaps);
    enum err err = text == NULL || e->overlaps == NULL ? ERR_NO_MEMORY : ERR_NONE;
    if (err == ERR_NONE)
        err = io_read_file(dir, "checkpoints.log", text, (size_t)st.st_size + 1, &len);
    if (err == ERR_NONE)
        err = find_overlaps(e, span_make(text, len));
    free(text);
    return err;
}

static bool is_of_this_log(const struct evidence *e, const struct note_key *trusted)
{
    const struct rotations *r = &e->rotations;
    bool known = note_key_same(trusted, &r->rows[0].before);
    for (size_t i = 0; i < r->count; i++)
        known |= note_key_same(trusted, &r->rows[i].after);
    return known;
}

enum err evidence_keys_read(struct evidence *e, int dir, bool own)
{
    int keys = openat(dir, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (keys < 0)
        return ERR_NONE;
    enum err err = rotations_read(keys, &e->rotations);
    close(keys);
    /* One that is behind the newest checkpoint has not been signed yet. */
    struct rotations *r = &e->rotations;
    size_t all = r->count;
    while (err == ERR_NONE && r->count > 0 && r->rows[r->count - 1].index >= e->head.size)
        r->count--;
    if (err == ERR_NONE && own && r->count < all)
        e->key = r->rows[r->count].before;
    if (err != ERR_NONE || r->count == 0)
        return err;
    if (!is_of_this_log(e, &e->key))
        return ERR_DENIED;
    e->key = *rotations_key_at(r, e->head.size);
    return read_overlaps(e, dir);
}

static bool says_so(const struct rotation *row, struct span leaf)
{
    struct leaf_facts facts;
    char before[NOTE_VKEY_MAX], after[NOTE_VKEY_MAX];
    note_key_format(&row->before, before);
    note_key_format(&row->after, after);
    return leaf_scan(leaf, &facts) && facts.kind == LEAF_EVENT && facts.event == EVENT_KEY_ROTATED &&
           span_is(leaf_text(facts.unmapped, "old_vkey"), before) &&
           span_is(leaf_text(facts.unmapped, "new_vkey"), after);
}

/* The entry of a hand-over; `reader` ends with the next call. */
static enum err read_entry(struct evidence *e, uint64_t index, struct audit_reader **reader, struct span *out)
{
    uint8_t hash[DIGEST_BYTES];
    uint64_t at = 0;
    enum err err = audit_reader_open(e->dir, index, reader);
    if (err == ERR_NONE)
        err = audit_reader_next(*reader, &at, out);
    if (err != ERR_NONE)
        return err;
    tree_leaf_hash(e->digest, *out, hash);
    return at == index && memcmp(hash, e->rows[0].hashes[index], DIGEST_BYTES) == 0 ? ERR_NONE : ERR_CORRUPT;
}

enum err evidence_keys_check(struct evidence *e)
{
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < e->rotations.count; i++) {
        struct audit_reader *reader = NULL;
        struct span leaf;
        err = evidence_extends(e, &e->overlaps[i].head) ? ERR_NONE : ERR_CORRUPT;
        if (err == ERR_NONE)
            err = read_entry(e, e->rotations.rows[i].index, &reader, &leaf);
        if (err == ERR_NONE && !says_so(&e->rotations.rows[i], leaf))
            err = ERR_CORRUPT;
        audit_reader_close(reader);
    }
    return err;
}

static enum err put_one(struct evidence *e, size_t i, int dir)
{
    char text[EVIDENCE_PROOF_MAX], path[64];
    const struct evidence_overlap *overlap = &e->overlaps[i];
    unsigned long long index = e->rotations.rows[i].index;
    struct outbuf o = outbuf_make(text, sizeof text);
    struct audit_reader *reader = NULL;
    struct span leaf;
    enum err err = evidence_prove_in(e, index, &overlap->head, span_make(overlap->text, overlap->len), &o);
    snprintf(path, sizeof path, "rotations/%llu.tlog-proof", index);
    if (err == ERR_NONE)
        err = evidence_put(dir, path, outbuf_written(&o));
    if (err == ERR_NONE)
        err = read_entry(e, index, &reader, &leaf);
    snprintf(path, sizeof path, "rotations/%llu.json", index);
    if (err == ERR_NONE)
        err = evidence_put(dir, path, leaf);
    audit_reader_close(reader);
    return err;
}

enum err evidence_keys_put(struct evidence *e, int dir)
{
    enum err err = ERR_NONE;
    for (size_t i = 0; err == ERR_NONE && i < e->rotations.count; i++)
        err = put_one(e, i, dir);
    return err;
}
