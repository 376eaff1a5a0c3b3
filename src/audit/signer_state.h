/* SPDX-License-Identifier: Apache-2.0 */
/* What the log asks of its signer besides the public seam. */
#ifndef AUDIT_SIGNER_STATE_H
#define AUDIT_SIGNER_STATE_H

#include "audit/signer.h"

/* There is a key and no memory: whoever removed it may have rolled the log back. */
bool signer_state_missing(const struct signer *signer);
const char *signer_origin(const struct signer *signer);
/* Another key: made, or given, and waiting. As signer_sign() where it does not answer; the key itself by signer_next(). */
MUST_CHECK enum err signer_prepare(struct signer *signer);
bool signer_next(const struct signer *signer, uint8_t out_public[static ED25519_KEY_BYTES]);
/* Heads are signed with both keys from now on; the second signature of the last one. */
void signer_set_overlap(struct signer *signer, bool overlap);
bool signer_overlap(const struct signer *signer, uint8_t out_signature[static ED25519_SIGNATURE_BYTES]);
/* Only the other key from now on. */
MUST_CHECK enum err signer_turn(struct signer *signer);
/* Its socket was seen to be hung up. */
void signer_notice_end(struct signer *signer);

#endif
