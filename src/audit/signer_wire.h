/* SPDX-License-Identifier: Apache-2.0 */
/* What the log and the signer's process say to each other: one message each way over a Unix seqpacket socket. Both ends
 * are one program, so the messages are these structs; the signer judges every field of them all the same. */
#ifndef AUDIT_SIGNER_WIRE_H
#define AUDIT_SIGNER_WIRE_H

#include "note.h"
#include "tree.h"

#define SIGNER_MESSAGE_MAX 256

enum signer_ask { SIGNER_LOAD = 1, SIGNER_SIGN = 2, SIGNER_PREPARE = 3, SIGNER_TURN = 4 };

struct signer_request {
    uint32_t ask;
    uint32_t number; /* the reply has the same */
    uint32_t proof_count;
    uint32_t body_len;
    uint32_t overlap; /* sign with the next key as well */
    struct tree_head head;
    char origin[NOTE_ORIGIN_MAX + 1]; /* with SIGNER_LOAD */
    uint8_t proof[TREE_PROOF_MAX * DIGEST_BYTES];
    uint8_t body[NOTE_TEXT_MAX];
};

struct signer_reply {
    uint32_t number;
    int32_t err;    /* enum err */
    int32_t system; /* errno behind it */
    uint32_t uid;
    bool state_missing;
    bool sealed; /* the kernel gives it no socket and no other program */
    struct tree_head last;
    uint8_t public_key[ED25519_KEY_BYTES];
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    bool has_next, has_overlap;
    uint8_t next_public[ED25519_KEY_BYTES];
    uint8_t next_signature[ED25519_SIGNATURE_BYTES];
    char message[SIGNER_MESSAGE_MAX];
};

/* Never returns. The socket is its only way to be spoken to; its end ends the process. */
_Noreturn void signer_child(int socket, const struct signer_start *start);
/* Takes from the calling process what a signer does not need: sockets, other programs, being looked into. */
bool signer_seal(void);

#endif
