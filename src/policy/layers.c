/* SPDX-License-Identifier: Apache-2.0 */
/* The target stage, taken apart: what each layer says of a target by itself. For people; a decision is made in
 * ask.c. */
#include "inside.h"

#include <stdio.h>

struct layers {
    const struct policy *policy;
    const struct question *question;
    struct standing standing;
    policy_layer_fn *fn;
    void *arg;
};

static void say(const struct layers *l, const char *name, enum layer_says says, enum reason reason, enum rule_kind kind,
                uint32_t index)
{
    struct policy_layer layer = {.name = name, .says = says, .reason = reason};
    if (says != LAYER_SILENT)
        policy_rule(l->policy, (struct rule_ref){kind, index}, &layer.rule);
    l->fn(l->arg, &layer);
}

static void silent(const struct layers *l, const char *name)
{
    say(l, name, LAYER_SILENT, REASON_NONE, RULE_DEFAULT, 0);
}

/* ---- what every host shares ---- */

static void say_method(const struct layers *l)
{
    struct decision d = {
        .rule = {RULE_METHODS, 0}
    };
    bool good = ask_method(l->policy, l->question, &l->standing, &d);
    say(l, "egress.methods", good ? LAYER_ALLOWS : LAYER_DENIES, good ? REASON_NONE : d.reason, d.rule.kind,
        d.rule.index);
}

static void say_blocked(const struct layers *l)
{
    uint32_t index = 0;
    if (ask_port_is_blocked(l->policy, l->question->target->port, &index))
        say(l, "egress.blocked_ports", LAYER_DENIES, REASON_PORT, RULE_BLOCKED_PORT, index);
    else
        silent(l, "egress.blocked_ports");
}

/* ---- denials ---- */

/* The table tells only the most specific of all denials: the organisation's and the environment's are told apart by
 * a walk. */
static void say_denied(const struct layers *l, const char *name, uint32_t first, uint32_t end)
{
    const struct names *names = &l->policy->names;
    const struct target *target = l->question->target;
    for (uint32_t i = 0; target->kind == TARGET_NAME && i < names->count; i++) {
        const struct name_item *item = &names->items[i];
        if (names_kind(item) != NAME_DENIED || item->value < first || item->value >= end)
            continue;
        struct span text = names_text(names, i);
        if (names_is_wild(item) ? hostname_is_below(&target->name, text)
                                : span_equal(hostname_span(&target->name), text)) {
            say(l, name, LAYER_DENIES, REASON_DENIED, RULE_DENIED_HOST, item->value);
            return;
        }
    }
    silent(l, name);
}

static void say_denied_hit(const struct layers *l, const char *name, enum name_kind kind, enum rule_kind rule)
{
    const struct name_hit *hit = &l->standing.hits[kind];
    if (hit->item == 0)
        silent(l, name);
    else
        say(l, name, LAYER_DENIES, REASON_DENIED, rule,
            kind == NAME_BLOCKLIST ? hit->item - 1 : ask_hit_value(l->policy, hit));
}

static void say_pattern(const struct layers *l, bool deny)
{
    const struct policy *p = l->policy;
    const char *name = deny ? "egress.host_patterns.deny" : "egress.host_patterns.allow";
    uint32_t count = deny ? p->deny_patterns.count : p->allow_patterns.count;
    bool is_name = l->question->target->kind == TARGET_NAME;
    for (uint32_t i = 0; is_name && i < count; i++) {
        const struct placed_pattern *one = deny ? &p->deny_patterns.at[i] : &p->allow_patterns.at[i];
        enum pattern_answer answer = pattern_match(one->pattern, &l->question->target->name);
        if (answer == PATTERN_NO)
            continue;
        bool port = ask_plain_port(p, l->question, &l->standing);
        enum reason reason = deny ? REASON_DENIED : answer == PATTERN_ERROR ? REASON_HOST : REASON_PORT;
        bool allows = !deny && answer == PATTERN_YES && port;
        say(l, name, allows ? LAYER_ALLOWS : LAYER_DENIES, allows ? REASON_NONE : reason, RULE_PATTERN,
            i + (deny ? p->allow_patterns.count : 0));
        return;
    }
    silent(l, name);
}

/* ---- what allows ---- */

static void say_allowing(const struct layers *l, const char *name, bool matches, bool port, enum rule_kind rule,
                         uint32_t index)
{
    if (!matches)
        silent(l, name);
    else
        say(l, name, port ? LAYER_ALLOWS : LAYER_DENIES, port ? REASON_NONE : REASON_PORT, rule, index);
}

static void say_allows(const struct layers *l)
{
    const struct policy *p = l->policy;
    const struct standing *s = &l->standing;
    const struct question *q = l->question;
    const struct name_hit *allowed = &s->hits[NAME_ALLOWED], *file = &s->hits[NAME_FILE], *group = &s->hits[NAME_GROUP];
    bool plain = ask_plain_port(p, q, s);
    bool listed = allowed->item != 0 || s->allowed_index != 0;
    uint32_t index = allowed->item != 0 ? ask_hit_value(p, allowed) : s->allowed_index - 1;
    say_allowing(l, "egress.hosts", s->entry != NULL, plain, RULE_HOST_ENTRY, s->entry_index);
    say_allowing(l, "allowed_hosts", listed, plain, RULE_ALLOWED_HOST, index);
    say_allowing(l, "egress.mcp_servers", s->mcp != NULL, s->mcp != NULL && ports_have(&s->mcp->ports, q->target->port),
                 RULE_MCP_SERVER, s->mcp_index);
    say_allowing(l, "package_managers", group->item != 0, ask_group_port(q, s), RULE_PACKAGE_GROUP,
                 group->item != 0 ? ask_hit_value(p, group) : 0);
    say_allowing(l, "egress.allowed_host_files", file->item != 0, plain, RULE_ALLOWED_FILE, file->item - 1);
    say_pattern(l, false);
    say_allowing(l, "unrestricted", !p->limited, plain, RULE_UNRESTRICTED, 0);
}

/* ---- what the session leaves ---- */

static void say_session(const struct layers *l)
{
    const struct narrowing *narrowing = l->question->narrowing;
    struct question without = *l->question;
    struct decision whole, left;
    if (narrowing == NULL) {
        silent(l, "session");
        return;
    }
    without.narrowing = NULL;
    policy_ask_target(l->policy, &without, &whole);
    policy_ask_target(l->policy, l->question, &left);
    bool refuses = !narrowing_has_host(narrowing, l->question->target) ||
                   (whole.verdict == VERDICT_ALLOW && left.verdict != VERDICT_ALLOW);
    enum reason reason = l->question->target->kind == TARGET_NAME ? REASON_HOST : REASON_LITERAL;
    say(l, "session", refuses ? LAYER_DENIES : LAYER_ALLOWS, refuses ? reason : REASON_NONE, RULE_SESSION, 0);
}

/* What only observing lets pass. */
static void say_mode(const struct layers *l)
{
    const struct place *place = &l->policy->mode_place;
    struct policy_layer layer = {.name = "egress.mode", .says = LAYER_ALLOWS};
    struct decision decision;
    policy_ask_target(l->policy, l->question, &decision);
    if (!l->question->observes || decision.observed == REASON_NONE) {
        silent(l, layer.name);
        return;
    }
    snprintf(layer.rule.id, sizeof layer.rule.id, "%s", layer.name);
    layer.rule.text = span_text("observe");
    layer.rule.file = place->file;
    layer.rule.line = place->line;
    l->fn(l->arg, &layer);
}

void policy_layers(const struct policy *policy, const struct question *question, policy_layer_fn *fn, void *arg)
{
    struct layers l = {.policy = policy, .question = question, .fn = fn, .arg = arg};
    const struct target *target = question->target;
    if ((target->kind != TARGET_NAME && target->kind != TARGET_ADDRESS) || target->port == 0)
        return;
    standing_find(policy, target, &l.standing);
    say_method(&l);
    say_blocked(&l);
    say_denied(&l, "denied_hosts", policy->denied_own, UINT32_MAX);
    say_denied(&l, "egress.denied_hosts", 0, policy->denied_own);
    say_denied_hit(&l, "egress.blocklist", NAME_BLOCKLIST, RULE_BLOCKLIST);
    say_denied_hit(&l, "builtin.names", NAME_BUILTIN, RULE_BUILTIN_NAME);
    say_pattern(&l, true);
    say_allows(&l);
    say_session(&l);
    say_mode(&l);
}
