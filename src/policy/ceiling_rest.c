/* SPDX-License-Identifier: Apache-2.0 */
/* What of an environment and its ceiling is not a question about one name. */
#include "ceiling.h"

#include <stdio.h>

static bool has_pattern(const struct policy *p, struct span text, bool deny)
{
    uint32_t count = deny ? p->deny_patterns.count : p->allow_patterns.count;
    for (uint32_t i = 0; i < count; i++)
        if (span_equal(deny ? p->deny_patterns.at[i].place.text : p->allow_patterns.at[i].place.text, text))
            return true;
    return false;
}

/* Regular expressions are equal or not comparable, and what they match escapes the classes: whatever the ceiling says
 * of single names, the environment must say as well. */
static void check_patterns(struct comparison *c)
{
    const struct policy *env = c->env, *ceiling = c->ceiling;
    for (uint32_t i = 0; i < env->allow_patterns.count; i++)
        if (!has_pattern(ceiling, env->allow_patterns.at[i].place.text, false))
            ceiling_say(c, &env->allow_patterns.at[i].place, "a regular expression that the ceiling does not have",
                        &ceiling->type_place);
    for (uint32_t i = 0; i < ceiling->deny_patterns.count; i++)
        if (!has_pattern(env, ceiling->deny_patterns.at[i].place.text, true))
            ceiling_say(c, &env->type_place, "an environment without this deny pattern",
                        &ceiling->deny_patterns.at[i].place);
    if (env->allow_patterns.count == 0)
        return;
    const struct place *at = &env->allow_patterns.at[0].place;
    for (uint32_t i = 0; i < ceiling->names.count; i++) {
        const struct name_item *item = &ceiling->names.items[i];
        enum name_kind kind = names_kind(item);
        struct span text = names_text(&ceiling->names, i);
        bool wild = names_is_wild(item);
        bool denied = kind == NAME_DENIED || kind == NAME_BLOCKLIST || kind == NAME_BUILTIN;
        if (denied && names_lookup(&env->names, NAME_DENIED, wild, text) == 0 &&
            names_lookup(&env->names, NAME_BLOCKLIST, wild, text) == 0)
            ceiling_say(c, at, "a regular expression beside names that are denied there and not here",
                        &ceiling->type_place);
        else if (kind == NAME_ENTRY && wild)
            ceiling_say(c, at, "a regular expression beside a pattern with rules of its own",
                        &ceiling->entries.at[item->value].place);
        else
            continue;
        return;
    }
}

static bool port_open(const struct policy *p, const struct ports *ports, uint16_t port)
{
    for (uint32_t i = 0; i < p->blocked.count; i++)
        if (p->blocked.at[i].port == port)
            return false;
    return ports_have(ports, port);
}

/* The rules of names that only a regular expression allows. */
static void check_pattern_rules(struct comparison *c)
{
    const struct policy *env = c->env, *ceiling = c->ceiling;
    if (env->allow_patterns.count == 0)
        return;
    const struct place *at = &env->allow_patterns.at[0].place;
    bool wider = (env->methods & ~ceiling->methods) != 0 ||
                 (env->tls.sni == TLS_LOOSE && ceiling->tls.sni != TLS_LOOSE) ||
                 (env->tls.ech == TLS_LOOSE && ceiling->tls.ech != TLS_LOOSE) ||
                 (env->tls.non_tls == TLS_LOOSE && ceiling->tls.non_tls != TLS_LOOSE);
    for (size_t i = 0; i < c->port_count; i++)
        wider |=
            (port_open(env, &env->connect_ports, c->ports[i]) &&
             !port_open(ceiling, &ceiling->connect_ports, c->ports[i])) ||
            (port_open(env, &env->http_ports, c->ports[i]) && !port_open(ceiling, &ceiling->http_ports, c->ports[i]));
    if (wider)
        ceiling_say(c, at, "a regular expression with wider ports, methods or TLS rules", &ceiling->type_place);
}

static void check_networks(struct comparison *c)
{
    const struct policy *env = c->env, *ceiling = c->ceiling;
    for (uint32_t i = 0; i < env->private_networks.count; i++)
        if (!ceiling_has_network(c, &env->private_networks.at[i].prefix))
            ceiling_say(c, &env->private_networks.at[i].place, "a private network", &ceiling->type_place);
    const struct prefix *mine = &env->nat64.prefix, *above = &ceiling->nat64.prefix;
    if (mine->addr.family != 0 && (mine->bits != above->bits || !ipaddr_equal(&mine->addr, &above->addr)))
        ceiling_say(c, &env->nat64.place, "a NAT64 prefix",
                    above->addr.family != 0 ? &ceiling->nat64.place : &ceiling->type_place);
}

/* Only the limits that the ceiling names: its others are nobody's word. */
static void check_limits(struct comparison *c)
{
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    for (size_t i = 0; i < count; i++) {
        uint64_t mine = limit_get(&c->env->limits, &rows[i]), above = limit_get(&c->ceiling->limits, &rows[i]);
        if ((c->l->above->ceiling_limits >> i & 1) == 0 || above == 0 || (mine != 0 && mine <= above))
            continue;
        char what[80];
        snprintf(what, sizeof what, "egress.limits.%s", rows[i].key);
        ceiling_say(c, &c->env->limits_place, what, &c->ceiling->limits_place);
    }
}

/* An environment that observes opens what it does not list. */
static void check_mode(struct comparison *c)
{
    const struct place *at = c->ceiling->mode_place.file != NULL ? &c->ceiling->mode_place : &c->ceiling->type_place;
    if (c->env->observes_until_ms > c->ceiling->observes_until_ms)
        ceiling_say(c, &c->env->mode_place, "mode: observe", at);
}

void ceiling_rest(struct comparison *c)
{
    check_limits(c);
    check_mode(c);
    check_networks(c);
    check_patterns(c);
    check_pattern_rules(c);
}
