/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits: budgets and deadlines of one environment, one row each in policy/limits_tbl.h. From that table come the
 * parser of `egress.limits`, the manual and the JSON Schema.
 */
#ifndef POLICY_LIMITS_H
#define POLICY_LIMITS_H

#include "wire/reason.h"

struct limits {
#define X(key, unit, dflt, min, max, reason, sentence) uint64_t key;
#include "policy/limits_tbl.h"
#undef X
};

enum limit_unit { LIMIT_UNIT_MS, LIMIT_UNIT_BYTES, LIMIT_UNIT_COUNT };

struct limit_row {
    const char *key;
    enum limit_unit unit;
    uint64_t dflt, min, max;
    enum reason reason;
    const char *sentence;
    size_t offset; /* in struct limits */
};

/* Every row, in the order of the table. */
const struct limit_row *limits_rows(size_t *out_count);
void limits_default(struct limits *out);

#endif
