/* SPDX-License-Identifier: Apache-2.0 */
#include "evidence_private.h"

#include "audit/log.h"
#include "audit/reader.h"
#include "io.h"
#include "logdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static enum err refuse(enum err err, char *message, size_t cap, const char *text)
{
    snprintf(message, cap, "%s", text);
    return err;
}

static void keep_hash(void *arg, unsigned array, uint64_t index, const uint8_t hash[static DIGEST_BYTES])
{
    struct evidence *e = arg;
    struct evidence_row *row = &e->rows[array];
    if (index == row->cap && !e->no_memory) {
        size_t cap = row->cap == 0 ? 4096 : 2 * row->cap;
        uint8_t(*more)[DIGEST_BYTES] = realloc(row->hashes, cap * DIGEST_BYTES);
        e->no_memory = more == NULL;
        if (more == NULL)
            return;
        row->hashes = more;
        row->cap = cap;
    }
    if (e->no_memory)
        return;
    memcpy(row->hashes[index], hash, DIGEST_BYTES);
    row->count = index + 1;
}

static enum err read_hashes(void *arg, unsigned array, uint64_t first, size_t count, uint8_t (*out)[DIGEST_BYTES])
{
    const struct evidence *e = arg;
    const struct evidence_row *row = &e->rows[array];
    if (first + count > row->count)
        return ERR_CORRUPT;
    memcpy(out, row->hashes[first], count * DIGEST_BYTES);
    return ERR_NONE;
}

struct tree_source evidence_source(struct evidence *e)
{
    return (struct tree_source){.read = read_hashes, .arg = e, .digest = e->digest};
}

static enum err read_key(struct evidence *e, int dir, const char *vkey)
{
    char text[NOTE_VKEY_MAX];
    size_t len = 0;
    if (vkey != NULL)
        return note_key_parse(span_text(vkey), &e->key);
    enum err err = io_read_file(dir, "keys/log.vkey", text, sizeof text, &len);
    return err == ERR_NONE ? note_key_parse(span_make(text, len), &e->key) : err;
}

static enum err read_head(struct evidence *e, const char *vkey, char *message, size_t cap)
{
    struct checkpoint c;
    size_t covered = 0;
    int dir = open(e->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return refuse(ERR_NOT_FOUND, message, cap, "no log there");
    enum err key = read_key(e, dir, vkey);
    enum err err = io_read_file(dir, "checkpoint", e->text, sizeof e->text, &e->text_len);
    if (err == ERR_NONE)
        err = note_checkpoint_parse(span_make(e->text, e->text_len), &c, &covered);
    if (err == ERR_NONE && covered == e->text_len)
        e->head = c.head;
    enum err keys = key == ERR_NONE && err == ERR_NONE ? evidence_keys_read(e, dir, vkey == NULL) : ERR_NONE;
    close(dir);
    if (key != ERR_NONE)
        return refuse(key, message, cap, "the verifier key cannot be read");
    if (err == ERR_NOT_FOUND)
        return refuse(err, message, cap, "nothing is signed there yet");
    if (keys == ERR_CORRUPT)
        return refuse(keys, message, cap, "the keys were not handed over as keys/rotations says");
    if (err != ERR_NONE || covered != e->text_len || keys == ERR_DENIED || !note_checkpoint_check(&c, &e->key))
        return refuse(ERR_CORRUPT, message, cap, "the checkpoint is not signed with this key");
    if (keys != ERR_NONE)
        return refuse(keys, message, cap, "keys/rotations cannot be read");
    note_key_format(&e->key, e->vkey);
    return ERR_NONE;
}

static enum err hash_entries(struct evidence *e)
{
    struct audit_reader *reader = NULL;
    struct tree tree = {.digest = e->digest};
    uint8_t hash[DIGEST_BYTES];
    enum err err = e->head.size > 0 ? audit_reader_open(e->dir, 0, &reader) : ERR_NONE;
    while (err == ERR_NONE && tree.size < e->head.size) {
        uint64_t index = 0;
        struct span leaf;
        err = audit_reader_next(reader, &index, &leaf);
        if (err != ERR_NONE)
            break;
        tree_leaf_hash(e->digest, leaf, hash);
        tree_append(&tree, hash, keep_hash, e);
        err = index + 1 == tree.size ? ERR_NONE : ERR_CORRUPT;
    }
    audit_reader_close(reader);
    if (e->no_memory)
        return ERR_NO_MEMORY;
    if (err == ERR_AGAIN)
        return ERR_CORRUPT; /* fewer than were signed */
    tree_root(&tree, hash);
    if (err == ERR_NONE && memcmp(hash, e->head.root, DIGEST_BYTES) != 0)
        err = ERR_CORRUPT;
    return err;
}

enum err evidence_open(const char *dir, const char *vkey, struct evidence **out, char *message, size_t message_cap)
{
    struct evidence *e = calloc(1, sizeof *e);
    if (e == NULL || digest_new(&e->digest) != ERR_NONE) {
        free(e);
        return refuse(ERR_NO_MEMORY, message, message_cap, "no memory");
    }
    e->dir = dir;
    enum err err = read_head(e, vkey, message, message_cap);
    if (err == ERR_NONE) {
        err = hash_entries(e);
        if (err == ERR_NONE)
            err = evidence_keys_check(e);
        if (err != ERR_NONE)
            refuse(err, message, message_cap,
                   err == ERR_CORRUPT ? "the entries are not those that were signed; audit verify says where"
                                      : "the entries cannot be read");
    }
    if (err == ERR_NONE)
        *out = e;
    else
        evidence_close(e);
    return err;
}

enum err evidence_rehash(const char *dir, const struct tree_head *head, struct evidence **out)
{
    struct evidence *e = calloc(1, sizeof *e);
    if (e == NULL || digest_new(&e->digest) != ERR_NONE) {
        free(e);
        return ERR_NO_MEMORY;
    }
    e->dir = dir;
    e->head = *head;
    enum err err = hash_entries(e);
    if (err == ERR_NONE)
        *out = e;
    else
        evidence_close(e);
    return err;
}

void evidence_close(struct evidence *e)
{
    if (e == NULL)
        return;
    for (unsigned i = 0; i < TREE_ARRAYS; i++)
        free(e->rows[i].hashes);
    digest_free(e->digest);
    rotations_free(&e->rotations);
    free(e->overlaps);
    free(e);
}

struct tree_head evidence_head(const struct evidence *e)
{
    return e->head;
}

struct span evidence_checkpoint(const struct evidence *e)
{
    return span_make(e->text, e->text_len);
}

const char *evidence_origin(const struct evidence *e)
{
    return e->key.origin;
}

const char *evidence_vkey(const struct evidence *e)
{
    return e->vkey;
}

enum err evidence_prove_in(struct evidence *e, uint64_t index, const struct tree_head *head, struct span checkpoint,
                           struct outbuf *out)
{
    uint8_t proof[TREE_PROOF_MAX][DIGEST_BYTES];
    size_t count = 0;
    if (index >= head->size)
        return ERR_NOT_FOUND;
    struct tree_source source = evidence_source(e);
    enum err err = tree_prove_inclusion(&source, index, head->size, proof, &count);
    if (err != ERR_NONE)
        return err;
    outbuf_text(out, "c2sp.org/tlog-proof@v1\nindex ");
    outbuf_u64(out, index);
    outbuf_char(out, '\n');
    for (size_t i = 0; i < count; i++) {
        char base64[48];
        outbuf_bytes(out, base64, base64_encode(span_make(proof[i], DIGEST_BYTES), base64, sizeof base64));
        outbuf_char(out, '\n');
    }
    outbuf_char(out, '\n');
    outbuf_span(out, checkpoint);
    return out->overflow ? ERR_TOO_BIG : ERR_NONE;
}

enum err evidence_prove(struct evidence *e, uint64_t index, struct outbuf *out)
{
    return evidence_prove_in(e, index, &e->head, evidence_checkpoint(e), out);
}

enum err evidence_rotations(struct evidence *e, const char *dir)
{
    int fd = -1;
    if (e->rotations.count == 0)
        return ERR_NOT_FOUND;
    enum err err = evidence_mkdir(dir, &fd);
    if (err == ERR_NONE)
        err = evidence_keys_put(e, fd);
    if (fd >= 0)
        close(fd);
    return err;
}

bool evidence_extends(struct evidence *e, const struct tree_head *head)
{
    uint8_t root[DIGEST_BYTES];
    struct tree_source source = evidence_source(e);
    return head->size <= e->head.size && tree_root_at(&source, head->size, root) == ERR_NONE &&
           memcmp(root, head->root, DIGEST_BYTES) == 0;
}

enum err evidence_each(struct evidence *e, evidence_fn *fn, void *arg)
{
    struct audit_reader *reader = NULL;
    uint8_t hash[DIGEST_BYTES];
    if (e->head.size == 0)
        return ERR_NONE;
    enum err err = audit_reader_open(e->dir, 0, &reader);
    for (uint64_t n = 0; err == ERR_NONE && n < e->head.size; n++) {
        uint64_t index = 0;
        struct span leaf;
        err = audit_reader_next(reader, &index, &leaf);
        if (err != ERR_NONE)
            break;
        tree_leaf_hash(e->digest, leaf, hash);
        if (index != n || memcmp(hash, e->rows[0].hashes[n], DIGEST_BYTES) != 0)
            err = ERR_CORRUPT; /* changed since it was opened */
        else
            err = fn(arg, index, leaf, hash);
    }
    audit_reader_close(reader);
    return err;
}
