/* SPDX-License-Identifier: Apache-2.0 */
/* Records that the tests of this room seal. */
#ifndef TEST_AUDIT_SAMPLE_H
#define TEST_AUDIT_SAMPLE_H

#include "audit/record.h"

static inline struct target sample_target(const char *name)
{
    struct target t = {.kind = TARGET_NAME, .port = 443};
    t.name.len = (uint8_t)strlen(name);
    memcpy(t.name.bytes, name, t.name.len);
    return t;
}

/* An allowed CONNECT of flow `n` in environment `env`. */
static inline struct record_flow sample_flow(enum record_kind kind, uint64_t n, const char *env,
                                             const struct target *target)
{
    struct record_flow r = {
        .kind = kind,
        .method = span_text("CONNECT"),
        .door = span_text("connect"),
        .listener = span_text("127.0.0.1:3128"),
        .peer = {.family = 4,                         .bytes = {127, 0, 0, 1}},
        .peer_port = 40000,
        .environment = span_text(env),
        .session = span_text("s-17"),
        .agent = span_text("run-4"),
        .raw_target = span_text("files.test:443"),
        .target = target,
        .decision = {.verdict = VERDICT_ALLOW,
                 .reason = REASON_ALLOWED,
                 .stage = STAGE_TARGET,
                 .rule = {.kind = RULE_ALLOWED_HOST},
                 .generation = 3},
        .policy_id = span_text("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        .rule_id = span_text("allowed_hosts[2]"),
        .times = {.head_ms = 1, .relay_ms = 0xffffffffu                                             },
    };
    memcpy(r.flow, &n, sizeof n);
    if (kind == RECORD_OUTCOME) {
        r.end = FLOW_END_CLOSED;
        r.bytes_up = 517;
        r.bytes_down = 4096;
        r.duration_ms = 250;
        r.dialled = (struct ipaddr){
            .family = 4, .bytes = {192, 0, 2, 7}
        };
        r.dials = 1;
        r.dns_sent = 2;
        r.decision.stage = STAGE_RELAY;
    }
    return r;
}

#endif
