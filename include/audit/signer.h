/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signer: the seam behind which the log key lives. It signs a tree head only with a proof that the new tree extends
 * the last one it signed, which it remembers. The one here works inside the process with a key file; one that is a
 * process of its own goes behind the same functions.
 */
#ifndef AUDIT_SIGNER_H
#define AUDIT_SIGNER_H

#include "base/digest.h"
#include "base/err.h"

struct signer;

struct tree_head {
    uint64_t size;
    uint8_t root[DIGEST_BYTES];
};

/* Key and state under `dir` (0700), made on first start. ERR_DENIED: wrong modes or owner. */
MUST_CHECK enum err signer_open(const char *dir, const char *origin, struct signer **out, char *message,
                                size_t message_cap);
void signer_close(struct signer *signer); /* NULL is allowed */

/* The last head it signed; size 0 if none. */
void signer_last(const struct signer *signer, struct tree_head *out);

/*
 * `proof` is `proof_count` hashes of DIGEST_BYTES in a row.
 *
 * Signs `note_body` (the checkpoint text of `head`) after checking the RFC 6962 consistency proof from its last head,
 * and remembers the new one durably first. ERR_CORRUPT: the proof does not hold; nothing was signed.
 */
MUST_CHECK enum err signer_sign(struct signer *signer, const struct tree_head *head, const uint8_t *proof,
                                size_t proof_count, struct span note_body,
                                uint8_t out_signature[static ED25519_SIGNATURE_BYTES]);

void signer_public(const struct signer *signer, uint8_t out_public[static ED25519_KEY_BYTES]);

#endif
