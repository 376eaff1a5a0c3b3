/* SPDX-License-Identifier: Apache-2.0 */
/* logdir: what verification reads of a log's directory as well. */
#ifndef AUDIT_LOGDIR_H
#define AUDIT_LOGDIR_H

#include "audit/log.h"

/* The origin in log.json and the SHA-256 of that file. */
MUST_CHECK enum err logdir_read_origin(int dir, char out[static AUDIT_ORIGIN_MAX + 1], uint8_t *out_hash);

#endif
