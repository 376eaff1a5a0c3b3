/* SPDX-License-Identifier: Apache-2.0 */
#include "log_private.h"

#include "base/clock.h"
#include "signer_state.h"

#include <errno.h>
#include <unistd.h>

/* A line that was written in part would spoil the file for every later one. */
static enum err append_log(struct audit_log *log, struct span note)
{
    char room[NOTE_TEXT_MAX + 1];
    struct outbuf o = outbuf_make(room, sizeof room);
    outbuf_span(&o, note);
    outbuf_char(&o, '\n');
    if (o.overflow)
        return ERR_TOO_BIG;
    struct span text = outbuf_written(&o);
    enum err err = io_write_all(log->checkpoints_fd, text);
    if (err == ERR_NONE && log->io->datasync(log->checkpoints_fd) != 0)
        err = ERR_IO;
    if (err == ERR_NONE) {
        log->checkpoints_bytes += text.len;
        return ERR_NONE;
    }
    int error = errno;
    if (ftruncate(log->checkpoints_fd, (off_t)log->checkpoints_bytes) != 0)
        errno = error;
    return err;
}

enum err checkpoint_append(struct audit_log *log, const struct tree_head *head, struct span note)
{
    enum err err = append_log(log, note);
    if (err == ERR_NONE)
        log->published = *head;
    return err;
}

enum err checkpoint_show(struct audit_log *log, struct span note)
{
    enum err err = io_replace_file(log->dir, "checkpoint", note, 0644);
    if (err == ERR_NONE)
        atomic_store_explicit(&log->published_size, log->published.size, memory_order_release);
    return err;
}

static enum err prove(struct audit_log *log, const struct tree_head *head, uint8_t (*proof)[DIGEST_BYTES],
                      size_t *count)
{
    struct tree_head last;
    signer_last(log->signer, &last);
    *count = 0;
    if (last.size == 0 || last.size >= head->size)
        return ERR_NONE; /* the signer itself refuses a smaller or another tree */
    struct tree_source source = hashes_source(log->hashes, log->digest);
    return tree_prove_consistency(&source, last.size, head->size, proof, count);
}

/* Asks for a signature of the whole tree. */
static enum err sign_tree(struct audit_log *log, unsigned wait_ms, struct tree_head *out_head, uint8_t *out_signature)
{
    struct tree_head head = {.size = log->tree.size};
    uint8_t proof[TREE_PROOF_MAX][DIGEST_BYTES];
    char text[NOTE_TEXT_MAX];
    size_t count = 0;
    tree_root(&log->tree, head.root);
    enum err err = prove(log, &head, proof, &count);
    if (err != ERR_NONE)
        return err;
    struct outbuf o = outbuf_make(text, sizeof text);
    note_body(log->origin, &head, &o);
    err = signer_sign(log->signer, &head, proof[0], count, outbuf_written(&o), wait_ms, out_signature);
    if (err == ERR_NONE)
        *out_head = head;
    return err;
}

/* Only what is durable is ever signed: the caller has no batch in hand. A signature that came late is published before
 * the next one is asked for. */
enum err checkpoint_write(struct audit_log *log, unsigned wait_ms)
{
    struct tree_head head;
    uint8_t signature[ED25519_SIGNATURE_BYTES], second[ED25519_SIGNATURE_BYTES];
    char text[NOTE_TEXT_MAX];
    enum err err = signer_late(log->signer, wait_ms, &head, signature);
    bool late = err != ERR_NOT_FOUND;
    if (!late)
        err = rotate_prepare_sign(log);
    if (!late && err == ERR_NONE)
        err = sign_tree(log, wait_ms, &head, signature);
    if (err != ERR_NONE)
        return err;
    struct outbuf o = outbuf_make(text, sizeof text);
    note_body(log->origin, &head, &o);
    outbuf_char(&o, '\n');
    note_sign_line(&log->key, signature, &o);
    bool both = signer_overlap(log->signer, second);
    if (both)
        note_sign_line(&log->next_key, second, &o);
    struct span note = outbuf_written(&o);
    if (o.overflow)
        return ERR_TOO_BIG;
    if (log->witnesses != NULL) {
        err = withhold(log, &head, note);
    } else {
        err = withhold_release(log);
        if (err == ERR_NONE)
            err = checkpoint_append(log, &head, note);
        if (err == ERR_NONE)
            err = checkpoint_show(log, note);
    }
    if (err != ERR_NONE)
        return err;
    log->signed_head = head;
    log->last_checkpoint_ns = clock_mono_ns();
    atomic_store_explicit(&log->signed_size, head.size, memory_order_release);
    return both && log->rotating && head.size > log->rotation_index ? rotate_finish(log) : ERR_NONE;
}

enum err checkpoint_whole(struct audit_log *log)
{
    enum err err = checkpoint_write(log, CHECKPOINT_WAIT_MS);
    if (err == ERR_NONE && log->signed_head.size < log->tree.size)
        err = checkpoint_write(log, CHECKPOINT_WAIT_MS);
    return err;
}
