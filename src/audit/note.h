/* SPDX-License-Identifier: Apache-2.0 */
/*
 * note: C2SP signed notes and tlog checkpoints. A checkpoint is
 *
 *   ORIGIN \n SIZE \n base64(ROOT) \n \n — ORIGIN base64(KEY HASH || SIGNATURE) \n
 *
 * and a verifier key is ORIGIN+hex(KEY HASH)+base64(0x01 || PUBLIC KEY), where the key hash is the first four bytes of
 * SHA-256(ORIGIN || \n || 0x01 || PUBLIC KEY).
 */
#ifndef AUDIT_NOTE_H
#define AUDIT_NOTE_H

#include "audit/signer.h"
#include "base/outbuf.h"

#define NOTE_ORIGIN_MAX 200
#define NOTE_TEXT_MAX   1024
#define NOTE_VKEY_MAX   320

struct note_key {
    char origin[NOTE_ORIGIN_MAX + 1];
    uint8_t hash[4];
    uint8_t public_key[ED25519_KEY_BYTES];
};

struct checkpoint {
    struct span origin; /* borrows the text */
    struct span body;   /* what is signed, with its last newline */
    struct span signatures;
    struct tree_head head;
};

/* Printable ASCII without space, plus sign, quote or backslash, at most NOTE_ORIGIN_MAX. */
bool note_origin_valid(struct span origin);

MUST_CHECK enum err note_key_make(const char *origin, const uint8_t public_key[static ED25519_KEY_BYTES],
                                  struct note_key *out);
MUST_CHECK enum err note_key_parse(struct span vkey, struct note_key *out);
void note_key_format(const struct note_key *key, char out[static NOTE_VKEY_MAX]);

void note_body(const char *origin, const struct tree_head *head, struct outbuf *out);
void note_sign_line(const struct note_key *key, const uint8_t signature[static ED25519_SIGNATURE_BYTES],
                    struct outbuf *out);

/* One checkpoint at the start of `text`; *out_len is what it covers. ERR_AGAIN: the text ends inside it. */
MUST_CHECK enum err note_checkpoint_parse(struct span text, struct checkpoint *out, size_t *out_len);
/* True if the checkpoint is of the key's origin and one of its lines is a good signature of the key. */
bool note_checkpoint_check(const struct checkpoint *checkpoint, const struct note_key *key);

#endif
