/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/decision.h"

const char *stage_text(enum stage stage)
{
    static const char *const texts[] = {
#define X(id, text) [STAGE_##id] = text,
        STAGE_TABLE(X)
#undef X
    };
    return (size_t)stage < sizeof texts / sizeof texts[0] ? texts[stage] : "unknown";
}

const char *rule_kind_text(enum rule_kind kind)
{
    static const char *const texts[] = {
#define X(id, text) [RULE_##id] = text,
        RULE_TABLE(X)
#undef X
    };
    return (size_t)kind < sizeof texts / sizeof texts[0] ? texts[kind] : "unknown";
}
