/* SPDX-License-Identifier: Apache-2.0 */
/* An open tunnel is asked again what it was asked before, by the policy that is in force now. */
#include "internal.h"

/* Of a policy, for the records of a tunnel. */
struct allowing {
    struct rule_ref target, late;
};

/* The address that is open, or those that are being dialled. */
static const struct ipaddr *reached(const struct tunnel *t, size_t *out_count)
{
    bool dialling = t->dialled.family == 0 && t->step == STEP_DIAL && t->setup->dial != NULL;
    *out_count = dialling ? admitted_count(&t->setup->admitted) : t->dialled.family != 0;
    return dialling ? admitted_at(&t->setup->admitted, 0) : &t->dialled;
}

/* Asks what is in force now the questions that this tunnel has passed already; `out_rules` where it still passes. */
static bool still_allowed(struct tunnel *t, const struct tunnel_who *who, struct decision *out,
                          struct allowing *out_rules)
{
    const struct policy *policy = who->policy;
    struct question question = tunnel_question(t);
    question.narrowing = who->narrowing;
    question.observes = tunnel_observes(policy, NULL);
    policy_ask_target(policy, &question, out);
    if (out->verdict != VERDICT_ALLOW)
        return false;
    *out_rules = (struct allowing){.target = out->rule};
    size_t count = 0;
    const struct ipaddr *addresses = reached(t, &count);
    if (count > 0) {
        struct admitted admitted;
        policy_ask_address(policy, &question, addresses, count, &admitted, out, NULL);
        if (out->verdict != VERDICT_ALLOW)
            return false;
        out_rules->late = out->rule;
    }
    if (t->judged_hello) {
        struct hello *hello = t->home->hello;
        memset(hello, 0, sizeof *hello);
        hello->ech = t->ech;
        hello->sni = t->sni_present ? SNI_PRESENT : SNI_NONE;
        if (t->other_name != NULL) /* it was observed */
            memcpy(&hello->name, t->other_name->data, sizeof hello->name);
        else if (t->sni_present)
            hello->name = t->target.name; /* it was equal, or it would not be open */
        policy_ask_hello(policy, &question, t->first_bytes, hello, out);
        if (out->verdict != VERDICT_ALLOW)
            return false;
    }
    return true;
}

/* The decision's rule is one of the policy that the tunnel has by now. */
static void revoke(struct tunnel *t, const struct decision *decision)
{
    t->late_rule = decision->rule;
    if (t->step == STEP_RELAY || t->step == STEP_EXCHANGE || t->out_sent > 0) {
        tunnel_end(t, REASON_REVOKED, FLOW_END_REFUSED, true);
        return;
    }
    enum go go = t->status == 200 ? tunnel_refuse(t, REASON_REVOKED, STAGE_HELLO) : tunnel_refuse_by(t, decision);
    if (go == GO_ON)
        tunnel_run(t);
}

static void take_policy(struct tunnel *t, const struct tunnel_who *who)
{
    struct policy *old = t->policy;
    struct narrowing *old_narrowing = t->narrowing;
    t->policy = policy_ref(who->policy);
    t->narrowing = narrowing_ref(who->narrowing);
    t->who = *who;
    policy_unref(old);
    narrowing_unref(old_narrowing);
}

/* Whether it lives by being observed alone is this policy's word: then its last day is the tunnel's, else nobody's. */
static void observe_from_now(struct tunnel *t, enum reason observed)
{
    bool begins = observed != REASON_NONE && t->target_decision.observed == REASON_NONE;
    t->target_decision.observed = observed;
    if (begins && (t->step == STEP_RELAY || t->step == STEP_EXCHANGE))
        (void)tunnel_deadline(t); /* it may end here */
}

void tunnel_rejudge(struct tunnel *t)
{
    /* One that rests between two requests was judged by what is no more in force, and nothing is under way on it. */
    if (t->upstream != NULL && t->recorded == RECORDED_NOTHING) {
        http_close_upstream(t);
        tunnel_uncount_upstream(t);
    }
    if (t->policy == NULL || t->target_decision.verdict != VERDICT_ALLOW || t->step < STEP_ATTEMPT ||
        t->step > STEP_EXCHANGE)
        return;
    const struct tunnel_hooks *hooks = &t->home->o.hooks;
    struct tunnel_who who;
    memset(&who, 0, sizeof who);
    struct decision decision = tunnel_own_decision(t, REASON_IDENTITY, STAGE_IDENTITY);
    enum reason reason = hooks->identify(hooks->ctx, t->home->book, t->listener, &t->from, &who);
    if (reason != REASON_NONE || who.tenant != t->who.tenant) {
        revoke(t, &decision);
        return;
    }
    if (who.policy == t->policy && who.narrowing == t->narrowing)
        return;
    /* From here on it is this policy's tunnel, and its rules are this policy's; its target stage keeps the
     * generation under which it was recorded. */
    struct allowing rules = {0};
    bool allowed = still_allowed(t, &who, &decision, &rules);
    take_policy(t, &who);
    if (!allowed) {
        revoke(t, &decision);
        return;
    }
    t->target_decision.rule = rules.target;
    t->late_rule = rules.late;
    observe_from_now(t, decision.observed);
}
