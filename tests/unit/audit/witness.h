/* SPDX-License-Identifier: Apache-2.0 */
/* A witness of a test: its verifier key, and the line with which it signs a checkpoint. */
#ifndef TEST_AUDIT_WITNESS_H
#define TEST_AUDIT_WITNESS_H

#include "audit/cosign.h"
#include "note.h"

#include <stdio.h>

struct witness {
    char name[64];
    uint8_t seed[ED25519_KEY_BYTES], hash[4];
    char vkey[NOTE_VKEY_MAX];
};

/* `type` is 4 for a witness. */
static inline void witness_make(struct witness *w, const char *name, uint8_t type)
{
    uint8_t typed[1 + ED25519_KEY_BYTES] = {type}, text[200], hash[DIGEST_BYTES];
    snprintf(w->name, sizeof w->name, "%s", name);
    assert_int_equal(ed25519_generate(w->seed), ERR_NONE);
    assert_int_equal(ed25519_public(w->seed, typed + 1), ERR_NONE);
    struct outbuf o = outbuf_make(text, sizeof text);
    outbuf_text(&o, name);
    outbuf_char(&o, '\n');
    outbuf_bytes(&o, typed, sizeof typed);
    digest_once(outbuf_written(&o), hash);
    memcpy(w->hash, hash, sizeof w->hash);
    o = outbuf_make(w->vkey, sizeof w->vkey - 1);
    outbuf_text(&o, name);
    outbuf_char(&o, '+');
    outbuf_hex(&o, span_make(hash, 4));
    outbuf_char(&o, '+');
    char base64[64];
    outbuf_bytes(&o, base64, base64_encode(span_make(typed, sizeof typed), base64, sizeof base64));
    w->vkey[o.len] = '\0';
}

/* What follows the key's hash in a line: the time and the signature over `body` at that time. */
static inline void witness_blob(const struct witness *w, struct span body, uint64_t time_s, uint8_t out[static 76])
{
    char message[NOTE_TEXT_MAX + 64];
    struct outbuf o = outbuf_make(message, sizeof message);
    outbuf_text(&o, "cosignature/v1\ntime ");
    outbuf_u64(&o, time_s);
    outbuf_char(&o, '\n');
    outbuf_span(&o, body);
    memcpy(out, w->hash, sizeof w->hash);
    for (size_t i = 0; i < 8; i++)
        out[4 + i] = (uint8_t)(time_s >> (56 - 8 * i));
    assert_int_equal(ed25519_sign(w->seed, outbuf_written(&o), out + 12), ERR_NONE);
}

static inline void witness_put(const char *name, const uint8_t *blob, size_t len, struct outbuf *out)
{
    char base64[128];
    outbuf_text(out, "\xe2\x80\x94 ");
    outbuf_text(out, name);
    outbuf_char(out, ' ');
    outbuf_bytes(out, base64, base64_encode(span_make(blob, len), base64, sizeof base64));
    outbuf_char(out, '\n');
}

static inline void witness_sign(const struct witness *w, struct span body, uint64_t time_s, struct outbuf *out)
{
    uint8_t blob[76];
    witness_blob(w, body, time_s, blob);
    witness_put(w->name, blob, sizeof blob, out);
}

/* A note of `size` entries with this many lines; what they say does not matter to the list. */
static inline struct span make_note(char text[static NOTE_TEXT_MAX], uint64_t size, unsigned lines)
{
    static const uint8_t blob[68] = {1, 2, 3, 4};
    struct tree_head head = {.size = size, .root = {(uint8_t)size}};
    struct outbuf o = outbuf_make(text, NOTE_TEXT_MAX);
    note_body(FIXTURE_ORIGIN, &head, &o);
    outbuf_char(&o, '\n');
    for (unsigned i = 0; i < lines; i++)
        witness_put(FIXTURE_ORIGIN, blob, sizeof blob, &o);
    assert_false(o.overflow);
    return outbuf_written(&o);
}

#endif
