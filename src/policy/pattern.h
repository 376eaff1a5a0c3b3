/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern: a regular expression over a whole canonical host name, in a cage: anchored at both ends by us, without JIT,
 * with limits on match steps, depth and memory, which is the caller's stack. The one door to PCRE2.
 */
#ifndef POLICY_PATTERN_H
#define POLICY_PATTERN_H

#include "wire/hostname.h"

#define PATTERN_BYTES_MAX 1024

struct pattern;

/* ERR_INVALID: out_why (cap bytes) says what is wrong and out_offset where. */
MUST_CHECK enum err pattern_compile(struct span text, struct pattern **out, char *out_why, size_t cap,
                                    size_t *out_offset);
void pattern_free(struct pattern *pattern); /* NULL is allowed */

enum pattern_answer { PATTERN_ERROR, PATTERN_NO, PATTERN_YES };

/* Zero, PATTERN_ERROR, is the answer to every failure and limit: it means deny, for allow and for deny patterns. */
enum pattern_answer pattern_match(const struct pattern *pattern, const struct hostname *name);

#endif
