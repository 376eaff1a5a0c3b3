/* SPDX-License-Identifier: Apache-2.0 */
#include "inside.h"

struct tls_ground {
    struct tls_rules rules;
    bool own_non_tls; /* non_tls was said for this host, or is what `unrestricted` means by default */
    struct rule_ref rule;
};

static struct tls_ground ground_of(const struct policy *policy, const struct standing *s)
{
    if (s->entry != NULL)
        return (struct tls_ground){
            .rules = s->entry->tls,
            .own_non_tls = s->entry->own_non_tls || !policy->limited,
            .rule = {RULE_HOST_ENTRY, s->entry_index},
        };
    return (struct tls_ground){
        .rules = policy->tls, .own_non_tls = !policy->limited, .rule = {RULE_TLS, 0}
    };
}

/* The order: ECH first, since behind a refused one the outer name says nothing; then the name. */
static enum reason judge_hello(const struct tls_ground *ground, const struct target *target, const struct hello *hello)
{
    if (hello->ech && ground->rules.ech != TLS_LOOSE)
        return REASON_ECH;
    if (hello->sni == SNI_PRESENT)
        return target->kind == TARGET_NAME && hostname_equal(&hello->name, &target->name) ? REASON_ALLOWED
                                                                                          : REASON_SNI_MISMATCH;
    /* A hello to an address has no name to give (RFC 6066 section 3). */
    if (target->kind == TARGET_ADDRESS || ground->rules.sni == TLS_LOOSE)
        return REASON_ALLOWED;
    return REASON_SNI_ABSENT;
}

static enum reason judge_first(const struct tls_ground *ground, const struct target *target, enum first_bytes first,
                               const struct hello *hello)
{
    bool non_tls = ground->rules.non_tls == TLS_LOOSE;
    switch (first) {
    case FIRST_HELLO:
        return judge_hello(ground, target, hello);
    case FIRST_NOT_TLS:
        return non_tls ? REASON_ALLOWED : REASON_NOT_TLS;
    case FIRST_SILENCE:
        return non_tls && ground->own_non_tls ? REASON_ALLOWED : REASON_HELLO_TIME;
    }
    return REASON_NOT_TLS;
}

/* Verdicts on the SNI and on what is no TLS; encrypted client hello is another matter. */
static bool is_observed(enum reason reason)
{
    return reason == REASON_SNI_ABSENT || reason == REASON_SNI_MISMATCH || reason == REASON_NOT_TLS ||
           reason == REASON_HELLO_TIME;
}

void policy_ask_hello(const struct policy *policy, const struct question *question, enum first_bytes first,
                      const struct hello *hello, struct decision *out)
{
    struct standing standing;
    judge_target(policy, question, &standing, out);
    if (out->verdict != VERDICT_ALLOW)
        return;
    struct tls_ground ground = ground_of(policy, &standing);
    enum reason reason = judge_first(&ground, question->target, first, hello);
    out->stage = STAGE_HELLO;
    out->reason = reason;
    out->verdict = reason == REASON_ALLOWED ? VERDICT_ALLOW : VERDICT_DENY;
    out->rule = ground.rule;
    if (question->observes && is_observed(reason)) {
        out->observed = reason;
        out->reason = REASON_ALLOWED;
        out->verdict = VERDICT_ALLOW;
    }
}
