/* SPDX-License-Identifier: Apache-2.0 */
/* egress.tests: questions about the target stage, asked of the policy that was just built. */
#include "loader.h"

static enum door door_of(const struct node *test)
{
    const struct node *via = node_get(test, "via");
    if (via != NULL && span_is(via->text, "http"))
        return DOOR_HTTP;
    return via != NULL && span_is(via->text, "socks5") ? DOOR_SOCKS5 : DOOR_CONNECT;
}

/* A target that no parser takes is refused before any policy: such a test may expect that. */
static void ask(const struct loader *l, const struct node *test, struct span text, struct decision *out)
{
    struct target target;
    *out = (struct decision){
        .reason = REASON_TARGET, .stage = STAGE_SYNTAX, .rule = {RULE_SYNTAX, 0}
    };
    if (target_parse_authority(text, &target) != ERR_NONE)
        return;
    enum door door = door_of(test);
    struct question question = {
        .door = door,
        .method = door == DOOR_HTTP ? METHOD_GET : METHOD_CONNECT,
        .target = &target,
    };
    policy_ask_target(l->policy, &question, out);
}

static void tell(const struct loader *l, const struct node *test, bool passes, const struct decision *decision)
{
    const struct node *via = node_get(test, "via");
    const struct policy_tested tested = {
        .file = l->egress_file,
        .line = test->line,
        .target = node_get(test, "target")->text,
        .via = via != NULL ? via->text : span_text("connect"),
        .expect = node_get(test, "expect")->text,
        .passes = passes,
        .decision = *decision,
    };
    if (l->given->tested != NULL)
        l->given->tested(l->given->tested_arg, &tested);
}

static void run(struct loader *l, const struct node *test)
{
    struct node *target = node_get(test, "target");
    const struct node *expect = node_get(test, "expect");
    struct node *reason = node_get(test, "reason");
    if (target == NULL || expect == NULL)
        return;
    enum reason wanted = reason == NULL ? REASON_NONE : reason_by_name(reason->text);
    if (reason != NULL && wanted == REASON_NONE) {
        struct finding *f = load_error(l, reason, "test", "there is no reason '%.*s'", SPAN_ARGS(reason->text));
        diag_fix(f, "write a name such as host_not_allowed, host_denied or port_not_allowed");
        return;
    }
    struct decision decision;
    ask(l, test, target->text, &decision);
    bool allowed = decision.verdict == VERDICT_ALLOW;
    bool passes = allowed == span_is(expect->text, "allow") && (wanted == REASON_NONE || wanted == decision.reason);
    tell(l, test, passes, &decision);
    if (passes)
        return;
    struct rule rule;
    policy_rule(l->policy, decision.rule, &rule);
    struct finding *f = load_error(l, target, "test", "the test fails: %.*s is %s (%s)", SPAN_ARGS(target->text),
                                   allowed ? "allowed" : "denied", reason_row(decision.reason)->name);
    diag_fix(f, "decided by %s: change the rule or the test", rule.id);
}

void load_tests(struct loader *l)
{
    const struct node *list = node_get(l->egress, "tests");
    for (struct node *test = list == NULL ? NULL : list->first; test != NULL; test = test->next)
        if (!test->bad)
            run(l, test);
}
