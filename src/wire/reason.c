/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/reason.h"

#include "base/assert.h"

static const struct reason_row rows[REASON_COUNT] = {
#define X(id, code_, name_, http, alert, socks, sev, retry_, sentence_)                                                \
    [REASON_##id] = {.code = code_,                                                                                    \
                     .name = name_,                                                                                    \
                     .http_status = http,                                                                              \
                     .tls_alert = alert,                                                                               \
                     .socks_reply = socks,                                                                             \
                     .severity = sev,                                                                                  \
                     .retry = retry_,                                                                                  \
                     .sentence = sentence_},
#include "wire/reason_tbl.h"
#undef X
};

const struct reason_row *reason_row(enum reason reason)
{
    ASSERT(reason > REASON_NONE && reason < REASON_COUNT);
    return &rows[reason];
}

enum reason reason_by_name(struct span name)
{
    for (enum reason r = (enum reason)(REASON_NONE + 1); r < REASON_COUNT; r = (enum reason)(r + 1))
        if (span_is(name, rows[r].name))
            return r;
    return REASON_NONE;
}
