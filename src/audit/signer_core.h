/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signer core: the key, the memory of the last head and the rule that a head is only signed with a proof that it
 * extends that one. It runs in the signer's process alone (signer_child.c).
 */
#ifndef AUDIT_SIGNER_CORE_H
#define AUDIT_SIGNER_CORE_H

#include "audit/signer.h"

struct signer_core;

/* `dir` is open and stays the caller's. `adopt`: sign although there is a key and no memory. `name` is for messages. */
MUST_CHECK enum err signer_core_open(int dir, const char *name, bool adopt, const char *origin,
                                     struct signer_core **out, char *message, size_t message_cap);
void signer_core_close(struct signer_core *core); /* NULL is allowed */

void signer_core_last(const struct signer_core *core, struct tree_head *out);
void signer_core_public(const struct signer_core *core, uint8_t out_public[static ED25519_KEY_BYTES]);
/* There is a key and no memory: whoever removed it may have rolled the log back. */
bool signer_core_state_missing(const struct signer_core *core);

/* A hand-over to another key: prepare makes it, or takes the one that was given; a head is signed with both; turn forgets
 * the old one. ERR_NOT_FOUND: none was prepared; ERR_DENIED: no head was signed with both since. */
MUST_CHECK enum err signer_core_prepare(struct signer_core *core);
MUST_CHECK enum err signer_core_turn(struct signer_core *core);
bool signer_core_next(const struct signer_core *core, uint8_t out_public[static ED25519_KEY_BYTES]);

/* As signer_sign(), with the next key as well where `out_next` is there; ERR_DENIED: the memory is missing and was not given up. */
MUST_CHECK enum err signer_core_sign(struct signer_core *core, const struct tree_head *head, const uint8_t *proof,
                                     size_t proof_count, struct span note_body,
                                     uint8_t out_signature[static ED25519_SIGNATURE_BYTES], uint8_t *out_next);

#endif
