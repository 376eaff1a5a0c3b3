/* SPDX-License-Identifier: Apache-2.0 */
#include "inside.h"

/* ---- what is known about a target ---- */

static int compare_addr(const struct ipaddr *a, const struct ipaddr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static void stand_entry(const struct policy *policy, uint32_t index, struct standing *out)
{
    out->entry = &policy->entries.at[index];
    out->entry_index = index;
}

static void stand_mcp(const struct policy *policy, uint32_t index, struct standing *out)
{
    out->mcp = &policy->mcp_hosts.at[index];
    out->mcp_index = index;
}

static void find_literal(const struct policy *policy, const struct ipaddr *addr, struct standing *out)
{
    uint32_t low = 0, high = policy->literals.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_addr(&policy->literals.at[middle].addr, addr) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    /* One address stands at most once for each of the three kinds. */
    for (; low < policy->literals.count && ipaddr_equal(&policy->literals.at[low].addr, addr); low++) {
        const struct literal *literal = &policy->literals.at[low];
        if (literal->kind == NAME_ENTRY)
            stand_entry(policy, literal->value, out);
        else if (literal->kind == NAME_MCP)
            stand_mcp(policy, literal->value, out);
        else
            out->allowed_index = literal->value + 1;
    }
}

uint32_t ask_hit_value(const struct policy *policy, const struct name_hit *hit)
{
    return policy->names.items[hit->item - 1].value;
}

void standing_find(const struct policy *policy, const struct target *target, struct standing *out)
{
    *out = (struct standing){0};
    if (target->kind == TARGET_ADDRESS) {
        find_literal(policy, &target->addr, out);
        return;
    }
    names_find(&policy->names, &target->name, false, out->hits);
    if (out->hits[NAME_ENTRY].item != 0)
        stand_entry(policy, ask_hit_value(policy, &out->hits[NAME_ENTRY]), out);
    if (out->hits[NAME_MCP].item != 0)
        stand_mcp(policy, ask_hit_value(policy, &out->hits[NAME_MCP]), out);
}

/* ---- answers ---- */

static void say(struct decision *out, enum reason reason, enum rule_kind kind, uint32_t index)
{
    out->verdict = reason == REASON_ALLOWED ? VERDICT_ALLOW : VERDICT_DENY;
    out->reason = reason;
    out->rule = (struct rule_ref){kind, index};
}

static bool ports_of_door(const struct policy *policy, enum door door, uint16_t port)
{
    return ports_have(door_is_http(door) ? &policy->http_ports : &policy->connect_ports, port);
}

/* Ports of everything but MCP endpoints and groups: the host entry's own, else those of the door. */
bool ask_plain_port(const struct policy *policy, const struct question *question, const struct standing *s)
{
    if (s->entry != NULL && s->entry->has_ports)
        return ports_have(&s->entry->ports, question->target->port);
    return ports_of_door(policy, question->door, question->target->port);
}

bool ask_group_port(const struct question *question, const struct standing *s)
{
    if (s->entry != NULL && s->entry->has_ports)
        return false; /* the entry's ports hold by every way in, and it speaks for itself */
    return question->target->port == (door_is_http(question->door) ? 80 : 443);
}

/* ---- denials of names ---- */

static bool denied_by_list(const struct policy *policy, const struct standing *s, struct decision *out)
{
    static const struct {
        enum name_kind kind;
        enum rule_kind rule;
    } rows[] = {
        {NAME_DENIED,    RULE_DENIED_HOST },
        {NAME_BLOCKLIST, RULE_BLOCKLIST   },
        {NAME_BUILTIN,   RULE_BUILTIN_NAME},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct name_hit *hit = &s->hits[rows[i].kind];
        if (hit->item == 0)
            continue;
        uint32_t index = rows[i].kind == NAME_BLOCKLIST ? hit->item - 1 : ask_hit_value(policy, hit);
        say(out, REASON_DENIED, rows[i].rule, index);
        return true;
    }
    return false;
}

/* Deny patterns are numbered behind the allow patterns. An error is a denial: it must not read as "no match". */
static bool denied_by_pattern(const struct policy *policy, const struct hostname *name, struct decision *out)
{
    for (uint32_t i = 0; i < policy->deny_patterns.count; i++) {
        if (pattern_match(policy->deny_patterns.at[i].pattern, name) == PATTERN_NO)
            continue;
        say(out, REASON_DENIED, RULE_PATTERN, policy->allow_patterns.count + i);
        return true;
    }
    return false;
}

/* ---- allowing: every rule that matches is asked for its ports, the most specific is named ---- */

struct candidates {
    bool any;              /* something allows the host */
    struct rule_ref first; /* the most specific of them, for a refusal of the port */
};

/* True if this rule allows host and port; remembers that it allows the host. */
static bool offer(struct candidates *c, bool port_fits, enum rule_kind kind, uint32_t index, struct decision *out)
{
    if (!c->any)
        c->first = (struct rule_ref){kind, index};
    c->any = true;
    if (port_fits)
        say(out, REASON_ALLOWED, kind, index);
    return port_fits;
}

static bool offer_hit(const struct policy *policy, const struct question *question, const struct standing *s,
                      enum name_kind kind, struct candidates *c, struct decision *out)
{
    const struct name_hit *hit = &s->hits[kind];
    switch (kind) {
    case NAME_ENTRY:
        return offer(c, ask_plain_port(policy, question, s), RULE_HOST_ENTRY, s->entry_index, out);
    case NAME_ALLOWED:
        return offer(c, ask_plain_port(policy, question, s), RULE_ALLOWED_HOST, ask_hit_value(policy, hit), out);
    case NAME_FILE:
        return offer(c, ask_plain_port(policy, question, s), RULE_ALLOWED_FILE, hit->item - 1, out);
    case NAME_MCP:
        return offer(c, ports_have(&s->mcp->ports, question->target->port), RULE_MCP_SERVER, s->mcp_index, out);
    case NAME_GROUP:
        return offer(c, ask_group_port(question, s), RULE_PACKAGE_GROUP, ask_hit_value(policy, hit), out);
    case NAME_GROUP_EXCEPT:
    case NAME_DENIED:
    case NAME_BLOCKLIST:
    case NAME_BUILTIN:
    case NAME_KINDS:
        break;
    }
    return false;
}

/* The kind with the next most specific hit: exact ones first, then by length, ties in the order of the kinds. */
static enum name_kind next_kind(const struct standing *s, uint32_t *done)
{
    enum name_kind best = NAME_KINDS;
    uint32_t best_rank = 0;
    for (unsigned kind = NAME_ENTRY; kind <= NAME_GROUP; kind++) {
        const struct name_hit *hit = &s->hits[kind];
        uint32_t rank = hit->exact ? 512 : 1u + hit->len;
        if (hit->item != 0 && (*done & 1u << kind) == 0 && rank > best_rank) {
            best = (enum name_kind)kind;
            best_rank = rank;
        }
    }
    *done |= 1u << best;
    return best;
}

static bool allowed_by_list(const struct policy *policy, const struct question *question, const struct standing *s,
                            struct candidates *c, struct decision *out)
{
    uint32_t done = 0;
    for (enum name_kind kind = next_kind(s, &done); kind != NAME_KINDS; kind = next_kind(s, &done))
        if (offer_hit(policy, question, s, kind, c, out))
            return true;
    return false;
}

/* A pattern that fails to run denies the host, so that what it would have said cannot be guessed. */
static bool allowed_by_pattern(const struct policy *policy, const struct question *question, const struct standing *s,
                               struct candidates *c, struct decision *out)
{
    for (uint32_t i = 0; i < policy->allow_patterns.count; i++) {
        enum pattern_answer answer = pattern_match(policy->allow_patterns.at[i].pattern, &question->target->name);
        if (answer == PATTERN_ERROR) {
            say(out, REASON_HOST, RULE_PATTERN, i);
            return true;
        }
        if (answer == PATTERN_YES && offer(c, ask_plain_port(policy, question, s), RULE_PATTERN, i, out))
            return true;
    }
    return false;
}

static bool allowed_literal(const struct policy *policy, const struct question *question, const struct standing *s,
                            struct candidates *c, struct decision *out)
{
    if (s->entry != NULL && offer(c, ask_plain_port(policy, question, s), RULE_HOST_ENTRY, s->entry_index, out))
        return true;
    if (s->allowed_index != 0 &&
        offer(c, ask_plain_port(policy, question, s), RULE_ALLOWED_HOST, s->allowed_index - 1, out))
        return true;
    return s->mcp != NULL &&
           offer(c, ports_have(&s->mcp->ports, question->target->port), RULE_MCP_SERVER, s->mcp_index, out);
}

/* The rule that a refused port names: what set the ports of this host. */
static void say_port(const struct question *question, const struct standing *s, const struct candidates *c,
                     struct decision *out)
{
    if (s->entry != NULL && s->entry->has_ports)
        say(out, REASON_PORT, RULE_HOST_ENTRY, s->entry_index);
    else if (c->first.kind == RULE_MCP_SERVER || c->first.kind == RULE_PACKAGE_GROUP)
        say(out, REASON_PORT, c->first.kind, c->first.index);
    else
        say(out, REASON_PORT, RULE_PORTS, door_is_http(question->door));
}

bool ask_port_is_blocked(const struct policy *policy, uint16_t port, uint32_t *out_index)
{
    uint32_t low = 0, high = policy->blocked.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (policy->blocked.at[middle].port < port)
            low = middle + 1;
        else
            high = middle;
    }
    *out_index = low;
    return low < policy->blocked.count && policy->blocked.at[low].port == port;
}

/* Looks for an allowing rule. */
static void allow(const struct policy *policy, const struct question *question, const struct standing *s,
                  struct decision *out)
{
    struct candidates c = {0};
    bool is_name = question->target->kind == TARGET_NAME;
    bool decided =
        is_name ? allowed_by_list(policy, question, s, &c, out) || allowed_by_pattern(policy, question, s, &c, out)
                : allowed_literal(policy, question, s, &c, out);
    if (!decided && !policy->limited)
        decided = offer(&c, ask_plain_port(policy, question, s), RULE_UNRESTRICTED, 0, out);
    if (decided && out->verdict == VERDICT_DENY)
        return; /* a pattern failed */
    if (!decided && c.any)
        say_port(question, s, &c, out);
    else if (!decided)
        say(out, is_name ? REASON_HOST : REASON_LITERAL, RULE_DEFAULT, 0);
}

/* ---- methods ---- */

bool ask_method(const struct policy *policy, const struct question *question, const struct standing *s,
                struct decision *out)
{
    if (!door_is_http(question->door)) {
        if (question->method == METHOD_CONNECT)
            return true;
        say(out, REASON_METHOD, RULE_METHODS, 0);
        return false;
    }
    if (question->method == METHOD_UNKNOWN) {
        say(out, REASON_METHOD_UNKNOWN, RULE_METHODS, 0);
        return false;
    }
    bool own = s->entry != NULL && s->entry->has_methods;
    uint32_t methods = own ? s->entry->methods : policy->methods;
    if ((methods & method_bit(question->method)) != 0)
        return true;
    if (own)
        say(out, REASON_METHOD, RULE_HOST_ENTRY, s->entry_index);
    else
        say(out, REASON_METHOD, RULE_METHODS, 0);
    return false;
}

/* ---- observing ---- */

/* What the name and the port would refuse passes, and is said. Denials by name, blocked ports, IPv4 inside IPv6,
 * methods and expressions that failed are no such verdicts, nor is what a session narrows. */
static void observe(const struct question *question, struct decision *out)
{
    bool by_name = (out->reason == REASON_HOST || out->reason == REASON_LITERAL) && out->rule.kind == RULE_DEFAULT;
    bool by_port = out->reason == REASON_PORT && out->rule.kind != RULE_BLOCKED_PORT && out->rule.kind != RULE_SESSION;
    if (!question->observes || out->verdict == VERDICT_ALLOW || (!by_name && !by_port))
        return;
    if (question->narrowing != NULL && !narrowing_has_host(question->narrowing, question->target))
        return;
    out->observed = out->reason;
    out->reason = REASON_ALLOWED;
    out->verdict = VERDICT_ALLOW;
}

/* ---- a session ---- */

/* Called with what the environment allows. A host whose package group or endpoint counts for nothing in this session
 * may still be allowed by another rule: that is asked again without them. */
static void narrow(const struct policy *policy, const struct question *question, struct standing *s,
                   struct decision *out)
{
    const struct narrowing *narrowing = question->narrowing;
    if (!narrowing_has_packages(narrowing))
        s->hits[NAME_GROUP] = (struct name_hit){0};
    if (!narrowing_has_mcp(narrowing, question->target)) {
        s->hits[NAME_MCP] = (struct name_hit){0};
        s->mcp = NULL;
    }
    allow(policy, question, s, out);
    if (out->verdict == VERDICT_ALLOW && narrowing_has_host(narrowing, question->target))
        return;
    bool is_name = question->target->kind == TARGET_NAME;
    enum reason reason = out->verdict != VERDICT_ALLOW ? out->reason : is_name ? REASON_HOST : REASON_LITERAL;
    say(out, reason, RULE_SESSION, 0);
}

/* ---- the stage ---- */

void judge_target(const struct policy *policy, const struct question *question, struct standing *s,
                  struct decision *out)
{
    *out = (struct decision){.stage = STAGE_TARGET, .generation = question->generation};
    *s = (struct standing){0};
    say(out, REASON_TARGET, RULE_SYNTAX, 0);
    const struct target *target = question->target;
    if ((target->kind != TARGET_NAME && target->kind != TARGET_ADDRESS) || target->port == 0)
        return;
    standing_find(policy, target, s);
    if (!ask_method(policy, question, s, out))
        return;
    /* The port's own stage comes before the name's: a blocked one is closed for every host. Which other ports are open
     * depends on the rule that allows the host, so that is said with it. */
    uint32_t blocked = 0;
    if (ask_port_is_blocked(policy, target->port, &blocked)) {
        say(out, REASON_PORT, RULE_BLOCKED_PORT, blocked);
        return;
    }
    /* IPv4 inside IPv6 is never a target, whatever the policy lists. */
    if (target->kind == TARGET_ADDRESS && address_classify(&target->addr)->lift == LIFT_INNER) {
        say(out, REASON_LITERAL, RULE_BUILTIN_ADDRESS, 0);
        return;
    }
    if (target->kind == TARGET_NAME &&
        (denied_by_list(policy, s, out) || denied_by_pattern(policy, &target->name, out)))
        return;
    allow(policy, question, s, out);
    if (out->verdict == VERDICT_ALLOW && question->narrowing != NULL)
        narrow(policy, question, s, out);
    observe(question, out);
}

void policy_ask_target(const struct policy *policy, const struct question *question, struct decision *out)
{
    struct standing standing;
    judge_target(policy, question, &standing, out);
}
