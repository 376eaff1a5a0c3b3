/* SPDX-License-Identifier: Apache-2.0 */
#include "signer_core.h"

#include "base/text.h"
#include "io.h"
#include "note.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE   "log.key"
#define NEXT_FILE  "log.key.next"
#define GIVEN_FILE "given.key"
#define STATE_FILE "state"
#define STATE_HEAD "sallyport signer 1\n"
#define KEY_HEAD   "sallyport log key 1\n"

struct signer_core {
    int dir;
    bool state_missing, adopt;
    bool has_next, overlap_signed; /* another key waits; a head was signed with both */
    struct digest *digest;
    uint8_t seed[ED25519_KEY_BYTES];
    uint8_t public_key[ED25519_KEY_BYTES];
    uint8_t next_seed[ED25519_KEY_BYTES], next_public[ED25519_KEY_BYTES];
    struct tree_head last;
    char origin[NOTE_ORIGIN_MAX + 1];
};

static enum err refuse(enum err err, char *message, size_t cap, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static enum err refuse(enum err err, char *message, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(message, cap, format, args);
    va_end(args);
    return err;
}

static enum err state_write(const struct signer_core *s, const struct tree_head *head)
{
    char text[NOTE_TEXT_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_text(&o, STATE_HEAD);
    note_body(s->origin, head, &o);
    return io_replace_file(s->dir, STATE_FILE, outbuf_written(&o), 0600);
}

static bool take_line(struct span *rest, struct span *line)
{
    size_t end = span_find(*rest, '\n');
    if (end == rest->len)
        return false;
    *line = span_first(*rest, end);
    *rest = span_from(*rest, end + 1);
    return true;
}

static enum err state_parse(struct signer_core *s, struct span text)
{
    struct span origin, size, root;
    size_t len = 0, head = strlen(STATE_HEAD);
    if (text.len < head || memcmp(text.data, STATE_HEAD, head) != 0)
        return ERR_CORRUPT;
    text = span_from(text, head);
    if (!take_line(&text, &origin) || !take_line(&text, &size) || !take_line(&text, &root) || text.len != 0)
        return ERR_CORRUPT;
    if (!span_is(origin, s->origin))
        return ERR_DENIED;
    if (text_u64(size, UINT64_MAX / 2, &s->last.size) != ERR_NONE ||
        base64_decode(root, s->last.root, DIGEST_BYTES, &len) != ERR_NONE || len != DIGEST_BYTES)
        return ERR_CORRUPT;
    return ERR_NONE;
}

static enum err state_read(struct signer_core *s, char *message, size_t cap)
{
    char text[NOTE_TEXT_MAX];
    size_t len = 0;
    enum err err = io_read_file(s->dir, STATE_FILE, text, sizeof text, &len);
    if (err == ERR_NONE)
        err = state_parse(s, span_make(text, len));
    if (err == ERR_DENIED)
        return refuse(err, message, cap, "the signer's state belongs to another log than %s", s->origin);
    if (err != ERR_NONE && err != ERR_NOT_FOUND)
        return refuse(err, message, cap, "the signer's state cannot be read (%s)", err_text(err));
    return err;
}

static enum err key_read(const struct signer_core *s, const char *name, uint8_t seed[static ED25519_KEY_BYTES])
{
    char text[128];
    size_t len = 0, head = strlen(KEY_HEAD), seed_len = 0;
    enum err err = io_read_file(s->dir, name, text, sizeof text, &len);
    if (err != ERR_NONE)
        return err;
    struct span rest = span_make(text, len), line;
    err = ERR_CORRUPT;
    if (len > head && memcmp(text, KEY_HEAD, head) == 0) {
        rest = span_from(rest, head);
        if (take_line(&rest, &line) && base64_decode(line, seed, ED25519_KEY_BYTES, &seed_len) == ERR_NONE &&
            seed_len == ED25519_KEY_BYTES)
            err = ERR_NONE;
    }
    secret_wipe(text, sizeof text);
    return err;
}

/* An operator's own key, as `openssl genpkey -algorithm ed25519` writes it (RFC 8410, section 7). */
static enum err given_read(const struct signer_core *s, uint8_t seed[static ED25519_KEY_BYTES])
{
    static const uint8_t prefix[] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                     0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
    char text[256];
    uint8_t der[sizeof prefix + ED25519_KEY_BYTES];
    size_t len = 0, der_len = 0;
    struct stat st;
    enum err err = io_read_file(s->dir, GIVEN_FILE, text, sizeof text, &len);
    if (err != ERR_NONE)
        return err;
    struct span rest = span_make(text, len), line;
    err = ERR_CORRUPT;
    if (fstatat(s->dir, GIVEN_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0 || (st.st_mode & 077) != 0)
        err = ERR_DENIED;
    else if (take_line(&rest, &line) && span_is(line, "-----BEGIN PRIVATE KEY-----") && take_line(&rest, &line) &&
             base64_decode(line, der, sizeof der, &der_len) == ERR_NONE && der_len == sizeof der &&
             memcmp(der, prefix, sizeof prefix) == 0)
        err = ERR_NONE;
    if (err == ERR_NONE)
        memcpy(seed, der + sizeof prefix, ED25519_KEY_BYTES);
    secret_wipe(text, sizeof text);
    secret_wipe(der, sizeof der);
    return err;
}

/* The one that was given, or a new one. What was given is taken away once it is kept. */
static enum err key_create(const struct signer_core *s, const char *name, uint8_t seed[static ED25519_KEY_BYTES])
{
    char text[128];
    enum err given = given_read(s, seed);
    enum err err = given == ERR_NOT_FOUND ? ed25519_generate(seed) : given;
    if (err != ERR_NONE)
        return err;
    struct outbuf o = outbuf_make(text, sizeof text);
    char base64[48];
    size_t len = base64_encode(span_make(seed, ED25519_KEY_BYTES), base64, sizeof base64);
    outbuf_text(&o, KEY_HEAD);
    outbuf_bytes(&o, base64, len);
    outbuf_char(&o, '\n');
    err = io_replace_file(s->dir, name, outbuf_written(&o), 0600);
    if (err == ERR_NONE && given == ERR_NONE && unlinkat(s->dir, GIVEN_FILE, 0) != 0)
        err = ERR_IO;
    secret_wipe(text, sizeof text);
    secret_wipe(base64, sizeof base64);
    return err;
}

/* A hand-over that was begun and not ended. */
static enum err load_next(struct signer_core *s)
{
    enum err err = key_read(s, NEXT_FILE, s->next_seed);
    if (err == ERR_NOT_FOUND)
        return ERR_NONE;
    if (err == ERR_NONE)
        err = ed25519_public(s->next_seed, s->next_public);
    s->has_next = err == ERR_NONE;
    return err;
}

/* State first, then the key: a key without a state means that somebody took the state away. */
static enum err load(struct signer_core *s, char *message, size_t cap)
{
    enum err state = state_read(s, message, cap);
    if (state != ERR_NONE && state != ERR_NOT_FOUND)
        return state;
    enum err key = key_read(s, KEY_FILE, s->seed);
    if (key == ERR_NOT_FOUND && state == ERR_NONE && s->last.size > 0)
        return refuse(ERR_CORRUPT, message, cap, "the signer's key is missing, its state is not");
    if (key == ERR_NOT_FOUND) {
        key = state == ERR_NONE ? ERR_NONE : state_write(s, &s->last);
        if (key == ERR_NONE)
            key = key_create(s, KEY_FILE, s->seed);
    } else {
        s->state_missing = state == ERR_NOT_FOUND;
    }
    if (key == ERR_NONE)
        key = ed25519_public(s->seed, s->public_key);
    if (key == ERR_NONE)
        key = load_next(s);
    if (key != ERR_NONE)
        return refuse(key, message, cap, "the signer's key cannot be used (%s)", err_text(key));
    return ERR_NONE;
}

static enum err judge_dir(const struct signer_core *s, const char *name, char *message, size_t cap)
{
    struct stat st;
    if (fstat(s->dir, &st) != 0)
        return refuse(ERR_DENIED, message, cap, "%s: %s", name, strerror(errno));
    if (st.st_uid != geteuid())
        return refuse(ERR_DENIED, message, cap, "%s belongs to uid %u, not to the signer's %u", name,
                      (unsigned)st.st_uid, (unsigned)geteuid());
    if ((st.st_mode & 077) != 0)
        return refuse(ERR_DENIED, message, cap, "%s is open to others: its mode must be 0700", name);
    if (fstatat(s->dir, KEY_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 && ((st.st_mode & 077) != 0 || !S_ISREG(st.st_mode)))
        return refuse(ERR_DENIED, message, cap, "%s/%s is open to others: its mode must be 0600", name, KEY_FILE);
    return ERR_NONE;
}

enum err signer_core_open(int dir, const char *name, bool adopt, const char *origin, struct signer_core **out,
                          char *message, size_t message_cap)
{
    if (!note_origin_valid(span_text(origin)))
        return refuse(ERR_INVALID, message, message_cap,
                      "an origin is 1 to %d characters of printable ASCII without "
                      "space, plus sign, quote or backslash",
                      NOTE_ORIGIN_MAX);
    struct signer_core *s = calloc(1, sizeof *s);
    if (s == NULL || digest_new(&s->digest) != ERR_NONE) {
        free(s);
        return refuse(ERR_NO_MEMORY, message, message_cap, "no memory");
    }
    s->dir = dir;
    s->adopt = adopt;
    memcpy(s->origin, origin, strlen(origin));
    digest_once(span_make(NULL, 0), s->last.root);
    enum err err = judge_dir(s, name, message, message_cap);
    if (err == ERR_NONE)
        err = load(s, message, message_cap);
    if (err != ERR_NONE) {
        signer_core_close(s);
        return err;
    }
    *out = s;
    return ERR_NONE;
}

void signer_core_close(struct signer_core *signer)
{
    if (signer == NULL)
        return;
    digest_free(signer->digest);
    secret_wipe(signer->seed, sizeof signer->seed);
    secret_wipe(signer->next_seed, sizeof signer->next_seed);
    free(signer);
}

void signer_core_last(const struct signer_core *signer, struct tree_head *out)
{
    *out = signer->last;
}

bool signer_core_state_missing(const struct signer_core *signer)
{
    return signer->state_missing;
}

enum err signer_core_sign(struct signer_core *signer, const struct tree_head *head, const uint8_t *proof,
                          size_t proof_count, struct span note_body_text,
                          uint8_t out_signature[static ED25519_SIGNATURE_BYTES], uint8_t *out_next)
{
    char text[NOTE_TEXT_MAX];
    struct outbuf o = outbuf_make(text, sizeof text);
    note_body(signer->origin, head, &o);
    /* What is signed says exactly the head that the proof is about, and nothing else. */
    if (!span_equal(outbuf_written(&o), note_body_text))
        return ERR_CORRUPT;
    if (signer->state_missing && !signer->adopt)
        return ERR_DENIED;
    if (!tree_check_consistency(signer->digest, &signer->last, head, proof, proof_count))
        return ERR_CORRUPT;
    uint8_t signature[ED25519_SIGNATURE_BYTES], next[ED25519_SIGNATURE_BYTES] = {0};
    if (out_next != NULL && !signer->has_next)
        return ERR_NOT_FOUND;
    enum err err = ed25519_sign(signer->seed, note_body_text, signature);
    if (err == ERR_NONE && out_next != NULL)
        err = ed25519_sign(signer->next_seed, note_body_text, next);
    if (err == ERR_NONE && (head->size != signer->last.size || signer->state_missing))
        err = state_write(signer, head);
    if (err != ERR_NONE)
        return err;
    signer->last = *head;
    signer->state_missing = false;
    memcpy(out_signature, signature, sizeof signature);
    if (out_next != NULL) {
        memcpy(out_next, next, sizeof next);
        signer->overlap_signed = true;
    }
    return ERR_NONE;
}

enum err signer_core_prepare(struct signer_core *signer)
{
    if (signer->has_next)
        return ERR_NONE;
    enum err err = key_create(signer, NEXT_FILE, signer->next_seed);
    if (err == ERR_NONE)
        err = ed25519_public(signer->next_seed, signer->next_public);
    signer->has_next = err == ERR_NONE;
    return err;
}

enum err signer_core_turn(struct signer_core *signer)
{
    if (!signer->has_next)
        return ERR_NOT_FOUND;
    if (!signer->overlap_signed)
        return ERR_DENIED; /* nothing would lead from the old key to the new one */
    if (renameat(signer->dir, NEXT_FILE, signer->dir, KEY_FILE) != 0 || fsync(signer->dir) != 0)
        return ERR_IO;
    memcpy(signer->seed, signer->next_seed, sizeof signer->seed);
    memcpy(signer->public_key, signer->next_public, sizeof signer->public_key);
    secret_wipe(signer->next_seed, sizeof signer->next_seed);
    signer->has_next = signer->overlap_signed = false;
    return ERR_NONE;
}

bool signer_core_next(const struct signer_core *signer, uint8_t out_public[static ED25519_KEY_BYTES])
{
    memcpy(out_public, signer->next_public, ED25519_KEY_BYTES);
    return signer->has_next;
}

void signer_core_public(const struct signer_core *signer, uint8_t out_public[static ED25519_KEY_BYTES])
{
    memcpy(out_public, signer->public_key, ED25519_KEY_BYTES);
}
