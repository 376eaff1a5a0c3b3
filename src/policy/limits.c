/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/limits.h"

static const struct limit_row rows[] = {
#define X(key, unit, dflt, min, max, reason, sentence)                                                                 \
    {#key, LIMIT_UNIT_##unit, dflt, min, max, REASON_##reason, sentence, offsetof(struct limits, key)},
#include "policy/limits_tbl.h"
#undef X
};

const struct limit_row *limits_rows(size_t *out_count)
{
    *out_count = sizeof rows / sizeof rows[0];
    return rows;
}

void limits_default(struct limits *out)
{
#define X(key, unit, dflt, min, max, reason, sentence) out->key = dflt;
#include "policy/limits_tbl.h"
#undef X
}
