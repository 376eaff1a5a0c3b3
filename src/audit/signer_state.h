/* SPDX-License-Identifier: Apache-2.0 */
/* What the log asks of its signer besides the public seam. */
#ifndef AUDIT_SIGNER_STATE_H
#define AUDIT_SIGNER_STATE_H

#include "audit/signer.h"

/* There is a key and no memory: whoever removed it may have rolled the log back. */
bool signer_state_missing(const struct signer *signer);
const char *signer_origin(const struct signer *signer);
/* Its socket was seen to be hung up. */
void signer_notice_end(struct signer *signer);

#endif
