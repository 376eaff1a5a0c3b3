/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does an environment open what its ceiling does not? Both are policies; names are decided by exact entries and by
 * suffixes, so all names fall into classes that decide alike: each name that one of the two mentions, a name that
 * nobody mentions below each mentioned suffix, and one that has nothing to do with any. Each class is asked of both, on
 * each mentioned port and on one that is not. What cannot be decided so (regular expressions) counts as exceeding.
 */
#include "ceiling.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#define FRESH_LABEL "a-name-that-no-policy-has"
#define PORT_COUNT  65536u

/* ---- what is said ---- */

/* Where the ceiling says no; a refusal that no entry of it made stands at its type. */
static struct place ceiling_place(const struct comparison *c, struct rule_ref ref)
{
    struct rule rule;
    policy_rule(c->ceiling, ref, &rule);
    if (rule.file == NULL || rule.line == 0)
        return c->ceiling->type_place;
    return (struct place){.file = rule.file, .line = rule.line, .column = 1};
}

void ceiling_say(struct comparison *c, const struct place *at, const char *what, const struct place *ceiling)
{
    if (++c->said > CEILING_SAID_MAX)
        return;
    struct finding *f = diag_add(c->l->diag, SEVERITY_ERROR, "ceiling", at->file != NULL ? at->file : c->l->env_file,
                                 at->file != NULL ? at->line : 0, at->file != NULL ? at->column : 0,
                                 "%s exceeds the ceiling in %s:%u", what, ceiling->file, ceiling->line);
    diag_fix(f, "remove it here, or allow it in the ceiling");
}

static void say_rule(struct comparison *c, struct rule_ref ref, const char *what, const struct place *ceiling)
{
    struct rule rule;
    char text[400];
    policy_rule(c->env, ref, &rule);
    struct place at = {.file = rule.file, .line = rule.line, .column = rule.line > 0 ? 1 : 0};
    if (ref.kind == RULE_PACKAGE_GROUP)
        at = c->env->packages_place;
    snprintf(text, sizeof text, "%s by %s", what, rule.id);
    ceiling_say(c, &at, text, ceiling);
}

/* ---- ports ---- */

static void mark(uint8_t *bits, uint16_t port)
{
    bits[port / 8] |= (uint8_t)(1u << port % 8);
}

static void mark_set(uint8_t *bits, const struct ports *ports)
{
    for (uint32_t i = 0; i < ports->count; i++)
        mark(bits, ports->list[i]);
}

static void mark_policy(uint8_t *bits, const struct policy *p)
{
    mark_set(bits, &p->connect_ports);
    mark_set(bits, &p->http_ports);
    for (uint32_t i = 0; i < p->entries.count; i++)
        mark_set(bits, &p->entries.at[i].ports);
    for (uint32_t i = 0; i < p->mcp_hosts.count; i++)
        mark_set(bits, &p->mcp_hosts.at[i].ports);
    for (uint32_t i = 0; i < p->blocked.count; i++)
        mark(bits, p->blocked.at[i].port);
}

/* Every port that one of them mentions, and one that none does. */
static bool gather_ports(struct comparison *c)
{
    uint8_t bits[PORT_COUNT / 8] = {0};
    mark(bits, 443);
    mark(bits, 80);
    mark_policy(bits, c->env);
    mark_policy(bits, c->ceiling);
    c->ports = calloc(PORT_COUNT, sizeof *c->ports);
    if (c->ports == NULL)
        return false;
    bool fresh = false;
    for (uint32_t port = PORT_COUNT - 1; port > 0; port--) {
        bool mentioned = (bits[port / 8] >> port % 8 & 1) != 0;
        if (mentioned || !fresh)
            c->ports[c->port_count++] = (uint16_t)port;
        fresh |= !mentioned;
    }
    return true;
}

/* ---- one class of names ---- */

static uint32_t methods_for(const struct policy *p, const struct standing *s)
{
    return s->entry != NULL ? s->entry->methods : p->methods;
}

/* Methods are compared apart: each policy is asked with one of its own. */
static enum method some_method(const struct policy *p, const struct target *target)
{
    struct standing standing;
    standing_find(p, target, &standing);
    uint32_t methods = methods_for(p, &standing);
    unsigned method = 0;
    while (method < 31 && (methods >> method & 1) == 0)
        method++;
    return method < 31 ? (enum method)method : METHOD_UNKNOWN;
}

static bool allows(const struct policy *p, enum door door, const struct target *target, struct decision *out)
{
    struct question question = {
        .door = door,
        .method = door == DOOR_HTTP ? some_method(p, target) : METHOD_CONNECT,
        .target = target,
    };
    policy_ask_target(p, &question, out);
    return out->verdict == VERDICT_ALLOW;
}

static bool hello_exceeds(const struct comparison *c, const struct target *target, enum first_bytes first,
                          const struct hello *hello, struct decision *out)
{
    struct question question = {.door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = target};
    struct decision ceiling;
    policy_ask_hello(c->env, &question, first, hello, out);
    if (out->verdict != VERDICT_ALLOW)
        return false;
    policy_ask_hello(c->ceiling, &question, first, hello, &ceiling);
    return ceiling.verdict != VERDICT_ALLOW;
}

static void check_tls(struct comparison *c, const struct target *target, const char *name)
{
    struct hello no_sni = {.sni = SNI_NONE}, ech = {.sni = SNI_PRESENT, .ech = true};
    struct decision decision;
    char what[400];
    if (target->kind == TARGET_NAME)
        ech.name = target->name;
    else
        ech.sni = SNI_NONE;
    const char *loose = hello_exceeds(c, target, FIRST_HELLO, &no_sni, &decision)     ? "tls.sni"
                        : hello_exceeds(c, target, FIRST_HELLO, &ech, &decision)      ? "tls.ech"
                        : hello_exceeds(c, target, FIRST_NOT_TLS, &ech, &decision)    ? "tls.non_tls"
                        : hello_exceeds(c, target, FIRST_SILENCE, &no_sni, &decision) ? "tls.non_tls"
                                                                                      : NULL;
    if (loose == NULL)
        return;
    snprintf(what, sizeof what, "%s of %s", loose, name);
    const struct place *place = c->ceiling->tls_place.file != NULL ? &c->ceiling->tls_place : &c->ceiling->type_place;
    say_rule(c, decision.rule, what, place);
}

static bool pin_is_covered(const struct prefix *pin, const struct prefix *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (prefix_covers(&list[i], pin))
            return true;
    return false;
}

bool ceiling_has_network(const struct comparison *c, const struct prefix *prefix)
{
    for (uint32_t i = 0; i < c->ceiling->private_networks.count; i++)
        if (prefix_covers(&c->ceiling->private_networks.at[i].prefix, prefix))
            return true;
    return false;
}

/* An address that a pin opens must be one that the ceiling opens, and a pin of the ceiling holds for everybody. */
static void check_pins(struct comparison *c, const struct standing *env, const struct standing *ceiling,
                       const char *name)
{
    const struct host_entry *mine = env->entry, *above = ceiling->entry;
    bool pinned = above != NULL && above->pinned;
    struct place place = above != NULL ? above->place : c->ceiling->type_place;
    char what[400];
    snprintf(what, sizeof what, "what %s may resolve to", name);
    if (mine == NULL || !mine->pinned) {
        struct place at = mine != NULL ? mine->place : c->env->type_place;
        if (pinned)
            ceiling_say(c, &at, what, &place);
        return;
    }
    for (uint32_t i = 0; i < mine->pin_count; i++) {
        const struct prefix *pin = &mine->pins[i];
        bool open = address_classify(&pin->addr)->lift == LIFT_PUBLIC || ceiling_has_network(c, pin);
        if (pinned ? pin_is_covered(pin, above->pins, above->pin_count) : open)
            continue;
        ceiling_say(c, &mine->place, what, &place);
        return;
    }
}

static void check_methods(struct comparison *c, const struct standing *env, const struct standing *ceiling,
                          const char *name)
{
    if ((methods_for(c->env, env) & ~methods_for(c->ceiling, ceiling)) == 0)
        return;
    char what[400];
    struct place at = env->entry != NULL ? env->entry->place : c->env->methods_place;
    struct place place = ceiling->entry != NULL                   ? ceiling->entry->place
                         : c->ceiling->methods_place.file != NULL ? c->ceiling->methods_place
                                                                  : c->ceiling->type_place;
    snprintf(what, sizeof what, "a method of %s", name);
    ceiling_say(c, &at, what, &place);
}

/* What is open in both is open with the same or stricter rules. */
static void check_rules(struct comparison *c, const struct target *target, bool http, const char *name)
{
    struct standing env, ceiling;
    standing_find(c->env, target, &env);
    standing_find(c->ceiling, target, &ceiling);
    check_pins(c, &env, &ceiling, name);
    if (http)
        check_methods(c, &env, &ceiling, name);
}

/* The ports of a host entry or an endpoint are open by every door; there a ceiling that opens the port by one of them
 * has spoken of this host and port. */
static bool one_door_is_enough(const struct comparison *c, const struct decision *mine, const struct target *target)
{
    struct decision above;
    return (mine->rule.kind == RULE_MCP_SERVER || mine->rule.kind == RULE_HOST_ENTRY) &&
           (allows(c->ceiling, DOOR_CONNECT, target, &above) || allows(c->ceiling, DOOR_HTTP, target, &above));
}

static void check_class(struct comparison *c, struct target *target, const char *name)
{
    bool open[2] = {false, false};
    uint16_t tls_port = 0;
    for (size_t i = 0; i < c->port_count; i++) {
        target->port = c->ports[i];
        for (unsigned http = 0; http < 2; http++) {
            struct decision mine, above;
            enum door door = http ? DOOR_HTTP : DOOR_CONNECT;
            if (!allows(c->env, door, target, &mine))
                continue;
            open[http] = true;
            tls_port = http ? tls_port : target->port;
            if (allows(c->ceiling, door, target, &above) || one_door_is_enough(c, &mine, target))
                continue;
            char what[400];
            snprintf(what, sizeof what, "%s port %u (%s)", name, (unsigned)target->port, http ? "HTTP" : "CONNECT");
            struct place place = ceiling_place(c, above.rule);
            say_rule(c, mine.rule, what, &place);
            return;
        }
    }
    if (tls_port != 0) {
        target->port = tls_port;
        check_tls(c, target, name);
    }
    if (open[0] || open[1])
        check_rules(c, target, open[1], name);
}

/* ---- all classes ---- */

static void check_name(struct comparison *c, struct span base, bool wild)
{
    char text[HOSTNAME_MAX + sizeof FRESH_LABEL + 4], shown[HOSTNAME_MAX + 4];
    struct target target = {.kind = TARGET_NAME};
    snprintf(shown, sizeof shown, "%s%.*s", wild ? "*." : "", SPAN_ARGS(base));
    snprintf(text, sizeof text, "%s%.*s", wild ? FRESH_LABEL "." : "", SPAN_ARGS(base));
    if (hostname_parse(span_text(text), &target.name) != ERR_NONE) {
        /* Below a very long name only short labels have room. */
        snprintf(text, sizeof text, "%s%.*s", wild ? "q." : "", SPAN_ARGS(base));
        if (hostname_parse(span_text(text), &target.name) != ERR_NONE)
            return;
    }
    check_class(c, &target, shown);
}

static void check_names(struct comparison *c, const struct names *names)
{
    for (uint32_t i = 0; i < names->count && c->said < CEILING_SAID_MAX; i++)
        check_name(c, names_text(names, i), names_is_wild(&names->items[i]));
}

static void check_literals(struct comparison *c, const struct policy *p)
{
    for (uint32_t i = 0; i < p->literals.count && c->said < CEILING_SAID_MAX; i++) {
        char text[IPADDR_TEXT_MAX];
        struct target target = {.kind = TARGET_ADDRESS, .addr = p->literals.at[i].addr};
        ipaddr_format(&target.addr, text);
        check_class(c, &target, text);
    }
}

/* ---- the whole ---- */

void load_ceiling(struct loader *l)
{
    if (l->above == NULL || l->above->ceiling == NULL)
        return;
    struct comparison c = {.l = l, .env = l->policy, .ceiling = l->above->ceiling};
    struct target other = {.kind = TARGET_NAME};
    struct target literal = {
        .kind = TARGET_ADDRESS, .addr = {.family = 4, .bytes = {9, 9, 9, 9}}
    };
    if (!gather_ports(&c)) {
        l->memory = true;
        return;
    }
    ceiling_rest(&c);
    ASSERT(hostname_parse(span_text(FRESH_LABEL ".invalid"), &other.name) == ERR_NONE);
    check_class(&c, &other, "every name");
    check_class(&c, &literal, "every public address");
    check_literals(&c, c.env);
    check_literals(&c, c.ceiling);
    check_names(&c, &c.env->names);
    check_names(&c, &c.ceiling->names);
    free(c.ports);
}
