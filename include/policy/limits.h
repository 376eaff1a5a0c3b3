/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits: budgets and deadlines of one environment, one row each in policy/limits_tbl.h. From that table come the
 * parser of `egress.limits`, the manual and the JSON Schema.
 */
#ifndef POLICY_LIMITS_H
#define POLICY_LIMITS_H

#include "base/err.h"
#include "base/outbuf.h"
#include "wire/reason.h"

struct limits {
#define X(key, unit, scope, dflt, min, max, reason, sentence) uint64_t key;
#include "policy/limits_tbl.h"
#undef X
};

enum limit {
#define X(key, unit, scope, dflt, min, max, reason, sentence) LIMIT_##key,
#include "policy/limits_tbl.h"
#undef X
    LIMIT_ROWS
};

enum limit_unit { LIMIT_UNIT_MS, LIMIT_UNIT_BYTES, LIMIT_UNIT_COUNT, LIMIT_UNIT_PERCENT };
enum limit_scope { LIMIT_SCOPE_ENVIRONMENT, LIMIT_SCOPE_SESSION };

struct limit_row {
    const char *key;
    enum limit_unit unit;
    enum limit_scope scope;
    uint64_t dflt, min, max;
    enum reason reason;
    const char *sentence;
    size_t offset; /* in struct limits */
};

/* Every row, in the order of the table. */
const struct limit_row *limits_rows(size_t *out_count);
const struct limit_row *limit_row_find(struct span key); /* NULL: there is no such row */
void limits_default(struct limits *out);                 /* the defaults of all rows */

/* The value of one row, in the unit of the row. */
uint64_t limit_get(const struct limits *limits, const struct limit_row *row);
void limit_set(struct limits *limits, const struct limit_row *row, uint64_t value);
/* A value as people write it: ERR_INVALID for another form, ERR_TOO_BIG outside what the row allows. */
MUST_CHECK enum err limit_read(const struct limit_row *row, struct span text, uint64_t *out);
/* The same back: in the largest unit that says it exactly; "none" for 0. */
void limit_write(const struct limit_row *row, uint64_t value, struct outbuf *out);

/* `by` may make each smaller and none larger; 0 in it says nothing. */
void limits_narrow(struct limits *limits, const struct limits *by);

#endif
