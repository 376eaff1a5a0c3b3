/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/cosign.h"

#include "evidence_private.h"
#include "hashes.h"
#include "io.h"
#include "note.h"
#include "withheld.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOB_BYTES (4u + 8u + ED25519_SIGNATURE_BYTES) /* key hash, time, signature */
#define DASH       "\xe2\x80\x94 "
#define DASH_LEN   4u

static enum err put_proof(const struct tree_source *source, const struct tree_head *head, uint64_t old,
                          struct outbuf *out)
{
    uint8_t proof[TREE_PROOF_MAX][DIGEST_BYTES], root[DIGEST_BYTES];
    size_t count = 0;
    enum err err = tree_root_at(source, head->size, root);
    if (err == ERR_NONE && memcmp(root, head->root, sizeof root) != 0)
        err = ERR_CORRUPT;
    if (err == ERR_NONE && old > 0 && old < head->size)
        err = tree_prove_consistency(source, old, head->size, proof, &count);
    for (size_t i = 0; err == ERR_NONE && i < count; i++) {
        char base64[48];
        outbuf_bytes(out, base64, base64_encode(span_make(proof[i], DIGEST_BYTES), base64, sizeof base64));
        outbuf_char(out, '\n');
    }
    return err;
}

static enum err read_head(int dir, char *text, size_t cap, struct span *out_note, struct tree_head *out)
{
    size_t len = 0, covered = 0;
    struct checkpoint c;
    enum err err = io_read_file(dir, "checkpoint", text, cap, &len);
    if (err == ERR_NONE)
        err = note_checkpoint_parse(span_make(text, len), &c, &covered);
    if (err == ERR_NONE && covered != len)
        err = ERR_CORRUPT;
    if (err != ERR_NONE)
        return err;
    *out = c.head;
    *out_note = span_make(text, len);
    return ERR_NONE;
}

/* One that waits for witnesses is the newest. It is looked for first: what is given out meanwhile is `checkpoint` then. */
static enum err read_newest(int dir, char *text, size_t cap, struct span *out_note, struct tree_head *out)
{
    struct withheld withheld;
    enum err err = withheld_read(dir, &withheld);
    if (err != ERR_NONE)
        return err;
    err = read_head(dir, text, cap, out_note, out);
    const struct withheld_head *newest = withheld_newest(&withheld);
    if (newest == NULL || (err == ERR_NONE && newest->head.size <= out->size))
        return err;
    if (err != ERR_NONE && err != ERR_NOT_FOUND)
        return err;
    memcpy(text, newest->text, newest->len);
    *out_note = span_make(text, newest->len);
    *out = newest->head;
    return ERR_NONE;
}

/* From the hash arrays; where they are short or wrong, from the entries. */
static enum err prove(const char *path, int dir, const struct tree_head *head, uint64_t old, struct outbuf *out)
{
    struct hashes *hashes = NULL;
    struct digest *digest = NULL;
    struct evidence *evidence = NULL;
    struct outbuf before = *out;
    int fd = openat(dir, "hashes", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    enum err err = fd < 0 ? ERR_CORRUPT : digest_new(&digest);
    if (err == ERR_NONE)
        err = hashes_open(fd, true, &hashes);
    if (err == ERR_NONE) {
        struct tree_source source = hashes_source(hashes, digest);
        err = put_proof(&source, head, old, out);
    }
    if (fd >= 0)
        close(fd);
    hashes_close(hashes);
    digest_free(digest);
    if (err == ERR_NONE)
        return ERR_NONE;
    *out = before;
    err = evidence_rehash(path, head, &evidence);
    if (err == ERR_NONE) {
        struct tree_source source = evidence_source(evidence);
        err = put_proof(&source, head, old, out);
    }
    evidence_close(evidence);
    return err;
}

enum err cosign_request(const char *dir, uint64_t old, struct outbuf *out, size_t *out_note, struct tree_head *out_head)
{
    char text[NOTE_TEXT_MAX];
    struct span note = {0};
    struct tree_head head = {0};
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err err = fd < 0 ? ERR_NOT_FOUND : read_newest(fd, text, sizeof text, &note, &head);
    if (err == ERR_NONE && old > head.size)
        err = ERR_DENIED;
    if (err == ERR_NONE) {
        outbuf_text(out, "old ");
        outbuf_u64(out, old);
        outbuf_char(out, '\n');
        err = prove(dir, fd, &head, old, out);
    }
    if (fd >= 0)
        close(fd);
    if (err != ERR_NONE)
        return err;
    outbuf_char(out, '\n');
    *out_note = out->len;
    outbuf_span(out, note);
    *out_head = head;
    return out->overflow ? ERR_TOO_BIG : ERR_NONE;
}

static bool line_is_good(const struct cosign_witness *w, struct span body, struct span line, uint64_t *out_time_s)
{
    struct span rest = span_from(line, DASH_LEN);
    size_t space = span_find(rest, ' '), len = 0;
    uint8_t blob[BLOB_BYTES];
    char message[NOTE_TEXT_MAX + 64];
    if (line.len <= DASH_LEN || memcmp(line.data, DASH, DASH_LEN) != 0 || !span_is(span_first(rest, space), w->name) ||
        base64_decode(span_from(rest, space + 1), blob, sizeof blob, &len) != ERR_NONE || len != sizeof blob ||
        memcmp(blob, w->key_hash, 4) != 0)
        return false;
    uint64_t time_s = 0;
    for (size_t i = 4; i < 12; i++)
        time_s = time_s << 8 | blob[i];
    struct outbuf o = outbuf_make(message, sizeof message);
    outbuf_text(&o, "cosignature/v1\ntime ");
    outbuf_u64(&o, time_s);
    outbuf_char(&o, '\n');
    outbuf_span(&o, body);
    if (o.overflow || !ed25519_verify(w->public_key, outbuf_written(&o), blob + 12))
        return false;
    *out_time_s = time_s;
    return true;
}

void cosign_check(const struct cosign_policy *policy, struct span note, bool out_have[static COSIGN_WITNESSES_MAX],
                  uint64_t *out_time_s)
{
    struct checkpoint c;
    size_t len = 0;
    memset(out_have, 0, COSIGN_WITNESSES_MAX * sizeof *out_have);
    *out_time_s = 0;
    if (note_checkpoint_parse(note, &c, &len) != ERR_NONE)
        return;
    struct span rest = c.signatures;
    while (rest.len > 0) {
        size_t end = span_find(rest, '\n');
        struct span line = span_first(rest, end);
        for (size_t i = 0; i < cosign_count(policy); i++) {
            uint64_t time_s = 0;
            if (!out_have[i] && line_is_good(cosign_witness(policy, i), c.body, line, &time_s)) {
                out_have[i] = true;
                *out_time_s = time_s > *out_time_s ? time_s : *out_time_s;
            }
        }
        rest = span_from(rest, end + 1);
    }
}

enum err cosign_keep(const char *dir, struct span note)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/" COSIGN_LOG, dir) >= sizeof path)
        return ERR_TOO_BIG;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return ERR_IO;
    off_t before = lseek(fd, 0, SEEK_END);
    enum err err = io_write_all(fd, note);
    if (err == ERR_NONE)
        err = io_write_all(fd, span_text("\n"));
    if (err == ERR_NONE && fdatasync(fd) != 0)
        err = ERR_IO;
    if (err != ERR_NONE && before >= 0 && ftruncate(fd, before) != 0)
        err = ERR_IO; /* its end is a checkpoint that was cut short, which readers pass over */
    close(fd);
    return err;
}
