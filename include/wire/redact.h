/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact: what of a raw target may stand in a record. Redaction happens before a record exists: there is no
 * unredacted copy to leak or to erase.
 */
#ifndef WIRE_REDACT_H
#define WIRE_REDACT_H

#include "base/outbuf.h"

#define REDACT_TARGET_MAX 320

/*
 * A raw target with user-info replaced by "***@", each query value by "***" (a part without '=' counts as a value) and
 * the fragment dropped; at most REDACT_TARGET_MAX - 1 bytes, cut at the end with *out_truncated set. Bytes are copied as
 * they are: the JSON writer escapes them.
 */
void redact_target(struct span raw, struct outbuf *out, bool *out_truncated);

/* For a target that could not be parsed: at most 64 bytes, with everything up to the last '@' and from the first '?' or
 * '#' on cut away. */
void redact_unparsed(struct span raw, struct outbuf *out, bool *out_truncated);

#endif
