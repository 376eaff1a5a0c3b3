/* SPDX-License-Identifier: Apache-2.0 */
/* What would have to stand in the policy for a refusal to become a yes. */
#include "inside.h"

#include "data.h"
#include "policy/catalogue.h"

struct opening {
    const struct policy *policy;
    const struct question *question;
    const struct decision *decision;
    const struct ipaddr *address;      /* NULL if none is known */
    const struct catalogue *catalogue; /* NULL: groups are not spoken of */
    struct outbuf *out;
    struct policy_change *change;
    const struct host_entry *known; /* the entry of this very host, if it has one */
    char host[TARGET_TEXT_MAX];
};

static void line(struct opening *o, const char *text)
{
    outbuf_text(o->out, text);
    outbuf_char(o->out, '\n');
}

static void text(struct opening *o, const char *words)
{
    outbuf_text(o->out, words);
}

static void sentence_with_place(struct opening *o, const char *before)
{
    struct rule rule;
    policy_rule(o->policy, o->decision->rule, &rule);
    text(o, before);
    text(o, rule.id);
    if (rule.file != NULL) {
        text(o, " (");
        text(o, rule.file);
        text(o, ":");
        outbuf_u64(o->out, rule.line);
        text(o, ")");
    }
    line(o, "");
}

/* "egress:\n  hosts:\n    - {host: NAME" and what follows. A host has one entry: keys for one that is there go into
 * it. */
static void entry(struct opening *o, const char *keys)
{
    o->change->kind = CHANGE_ENTRY;
    if (o->known != NULL && o->known->place.line == 0) {
        line(o, "# and in the same entry");
    } else if (o->known != NULL) {
        text(o, "# in the entry of this host, ");
        text(o, o->known->place.file);
        text(o, ":");
        outbuf_u64(o->out, o->known->place.line);
        line(o, ", which keeps its other keys");
    }
    line(o, "egress:");
    line(o, "  hosts:");
    text(o, "    - {host: \"");
    text(o, o->host);
    text(o, "\"");
    text(o, keys);
}

/* ---- a host that nothing allows ---- */

static bool mcp_would(const struct opening *o)
{
    const struct policy *p = o->policy;
    for (uint32_t i = 0; i < p->mcp_hosts.count && !p->opens_mcp; i++)
        if (target_same_host(&p->mcp_hosts.at[i].target, o->question->target) &&
            ports_have(&p->mcp_hosts.at[i].ports, o->question->target->port))
            return true;
    return false;
}

static bool group_covers(const struct catalogue_group *group, struct span name)
{
    for (uint32_t i = 0; i < group->host_count; i++) {
        struct span host = group->hosts[i].host;
        bool wild = host.len > 2 && host.data[0] == '*';
        if (span_equal(host, name) ||
            (wild && !span_equal(span_from(host, 2), name) && data_covers(span_from(host, 2), name)))
            return true;
    }
    return false;
}

static void say_group(struct opening *o)
{
    const struct catalogue *catalogue = o->catalogue;
    struct span name = hostname_span(&o->question->target->name);
    for (uint32_t i = 0; catalogue != NULL && i < catalogue->group_count; i++) {
        const struct catalogue_group *group = &catalogue->groups[i];
        if (!group_covers(group, name))
            continue;
        text(o, "# it belongs to the package group ");
        outbuf_span(o->out, group->name);
        text(o, group->tier == 1 ? " (downloads only): " : " (it can be written to): ");
        outbuf_span(o->out, group->why);
        line(o, "");
        line(o, o->policy->opens_packages ? "# see egress.package_managers: mode and groups"
                                          : "# allow_package_managers: true opens the groups of the mode");
        break;
    }
}

static bool port_is_usual(const struct opening *o)
{
    const struct ports *ports = door_is_http(o->question->door) ? &o->policy->http_ports : &o->policy->connect_ports;
    return ports_have(ports, o->question->target->port);
}

/* The whole list: what the entry, or else the door, has and this port. */
static void say_ports(struct opening *o, const struct ports *before)
{
    struct policy_change *change = o->change;
    if (before->count >= CHANGE_PORTS_MAX) {
        line(o, "The list of ports is long: add this one to it.");
        return;
    }
    entry(o, ", ports: [");
    ports_print(before, o->out);
    text(o, before->count > 0 ? ", " : "");
    outbuf_u64(o->out, o->question->target->port);
    line(o, "]}");
    change->sets_ports = true;
    for (uint32_t i = 0; i < before->count; i++)
        change->ports[change->port_count++] = before->list[i];
    change->ports[change->port_count++] = o->question->target->port;
}

static void say_one_port(struct opening *o)
{
    entry(o, ", ports: [");
    outbuf_u64(o->out, o->question->target->port);
    line(o, "]}");
    o->change->sets_ports = true;
    o->change->ports[o->change->port_count++] = o->question->target->port;
}

static void open_host(struct opening *o)
{
    if (mcp_would(o)) {
        line(o,
             "config:\n  networking:\n    allow_mcp_servers: true   # this host and port are a declared MCP endpoint");
        o->change->kind = CHANGE_MCP_TOGGLE;
        return;
    }
    if (o->question->target->kind == TARGET_NAME)
        say_group(o);
    if (!port_is_usual(o)) {
        say_one_port(o);
        return;
    }
    line(o, "config:\n  networking:\n    allowed_hosts:");
    text(o, "      - \"");
    text(o, o->host);
    line(o, "\"");
    o->change->kind = CHANGE_ALLOWED_HOST;
}

static void open_literal(struct opening *o)
{
    if (address_classify(&o->question->target->addr)->lift == LIFT_INNER)
        line(o, "Nothing opens it: an IPv4 address inside an IPv6 address is never a target. Use the host's name.");
    else if (address_classify(&o->question->target->addr)->lift == LIFT_NOTHING)
        line(o, "Nothing opens it: this address is refused whatever a policy says.");
    else
        open_host(o);
}

/* ---- ports and methods ---- */

static void unblock(struct opening *o)
{
    struct policy_change *change = o->change;
    text(o, "# blocked ports win over everything: this replaces the list\negress:\n  blocked_ports: [");
    for (uint32_t i = 0; i < o->policy->blocked.count; i++) {
        uint16_t port = o->policy->blocked.at[i].port;
        if (port == o->question->target->port)
            continue;
        if (change->port_count < CHANGE_PORTS_MAX)
            change->ports[change->port_count] = port;
        text(o, change->port_count++ == 0 ? "" : ", ");
        outbuf_u64(o->out, port);
    }
    line(o, "]\n  blocked_ports_replace: true");
    change->kind = change->port_count <= CHANGE_PORTS_MAX ? CHANGE_BLOCKED_PORTS : CHANGE_NONE;
}

static void open_port(struct opening *o)
{
    if (o->decision->rule.kind == RULE_BLOCKED_PORT)
        unblock(o);
    else if (o->known != NULL && o->known->has_ports)
        say_ports(o, &o->known->ports);
    else
        say_ports(o, door_is_http(o->question->door) ? &o->policy->http_ports : &o->policy->connect_ports);
}

static void open_method(struct opening *o)
{
    enum method method = o->question->method;
    if (method == METHOD_UNKNOWN || method == METHOD_CONNECT || method == METHOD_TRACE || method == METHOD_TRACK ||
        method == METHOD_DEBUG) {
        line(o, "Nothing opens it: this method is never passed on.");
        return;
    }
    uint32_t before = o->known != NULL && o->known->has_methods ? o->known->methods : o->policy->methods;
    entry(o, ", methods: [");
    o->change->methods = before | method_bit(method);
    methods_print(o->change->methods, o->out);
    line(o, "]}");
}

/* ---- addresses ---- */

static void say_pin(struct opening *o, const struct ipaddr *address, bool with_port)
{
    struct prefix pin = {*address, address->family == 4 ? 32 : 128};
    struct outbuf kept = outbuf_make(o->change->address, sizeof o->change->address - 1);
    entry(o, ", addresses: [");
    for (uint32_t i = 0; o->known != NULL && i < o->known->pin_count; i++) {
        prefix_print(&o->known->pins[i], o->out);
        text(o, ", ");
    }
    prefix_print(&pin, o->out);
    prefix_print(&pin, &kept);
    text(o, "]");
    if (with_port) {
        text(o, ", ports: [");
        outbuf_u64(o->out, o->question->target->port);
        text(o, "]");
        o->change->sets_ports = true;
        o->change->ports[o->change->port_count++] = o->question->target->port;
    }
    line(o, "}");
}

static void open_address(struct opening *o)
{
    const struct ipaddr *address = o->address;
    if (address == NULL && o->question->target->kind == TARGET_ADDRESS)
        address = &o->question->target->addr;
    if (address == NULL) {
        line(o, "An address of the answer is refused; ask again with --address.");
        return;
    }
    if (o->decision->rule.kind == RULE_PIN) {
        sentence_with_place(o, "# the address lies outside the prefixes to which this host is pinned by ");
        if (address_classify(address)->lift == LIFT_PUBLIC) {
            say_pin(o, address, false);
            return;
        }
    }
    switch (address_classify(address)->lift) {
    case LIFT_LOOPBACK:
        say_pin(o, address, true);
        return;
    case LIFT_NAMED:
        say_pin(o, address, false);
        return;
    case LIFT_INNER:
        line(o,
             "Only egress.nat64 with the network's NAT64 prefix lifts this, and only for NAT64 addresses whose inner");
        line(o, "address is allowed.");
        return;
    case LIFT_NOTHING:
        text(o, "Nothing opens it: ");
        text(o, address_classify(address)->name);
        line(o, " addresses are refused whatever a policy says.");
        return;
    case LIFT_PUBLIC:
        return;
    }
}

/* ---- TLS ---- */

static void say_tls(struct opening *o, const char *key, const char *word)
{
    entry(o, ", tls: {");
    text(o, key);
    text(o, ": ");
    text(o, word);
    line(o, "}}");
    o->change->tls_key = key;
    o->change->tls_word = word;
}

static bool open_tls(struct opening *o)
{
    if (o->decision->reason == REASON_SNI_ABSENT)
        say_tls(o, "sni", "optional");
    else if (o->decision->reason == REASON_ECH)
        say_tls(o, "ech", "outer");
    else if (o->decision->reason == REASON_NOT_TLS || o->decision->reason == REASON_HELLO_TIME)
        say_tls(o, "non_tls", "allow");
    else if (o->decision->reason == REASON_SNI_MISMATCH)
        line(o, "Nothing opens it: the name in the TLS hello must be the name that was asked for.");
    else
        return false;
    return true;
}

void policy_opening(const struct policy *policy, const struct question *question, const struct decision *decision,
                    const struct ipaddr *address, const struct catalogue *catalogue, struct outbuf *out,
                    struct policy_change *out_change)
{
    struct opening o = {policy, question, decision, address, catalogue, out, out_change, NULL, {0}};
    struct standing standing;
    *out_change = (struct policy_change){.entry = CHANGE_NEW_ENTRY};
    standing_find(policy, question->target, &standing);
    /* A line for this host alone is smaller than a wider wildcard. */
    o.known = standing.entry != NULL && !standing.entry->wild ? standing.entry : NULL;
    target_format_host(question->target, o.host);
    memcpy(out_change->host, o.host, sizeof o.host);
    if (o.known != NULL)
        out_change->entry = standing.entry_index;
    if (decision->verdict == VERDICT_ALLOW || open_tls(&o))
        return;
    if (decision->rule.kind == RULE_SESSION)
        line(&o, "# the environment allows it; the session that asks does not");
    else if (decision->reason == REASON_HOST && decision->rule.kind != RULE_PATTERN)
        open_host(&o);
    else if (decision->reason == REASON_HOST)
        sentence_with_place(&o, "The regular expression failed on this name, which denies it: ");
    else if (decision->reason == REASON_DENIED)
        sentence_with_place(&o, "No allowing line helps: denials win. It is denied by ");
    else if (decision->reason == REASON_LITERAL)
        open_literal(&o);
    else if (decision->reason == REASON_PORT)
        open_port(&o);
    else if (decision->reason == REASON_METHOD || decision->reason == REASON_METHOD_UNKNOWN)
        open_method(&o);
    else if (decision->reason == REASON_ADDRESS)
        open_address(&o);
    else if (decision->reason == REASON_SELF)
        line(&o, "Nothing opens it: the address is one at which this proxy itself listens.");
}
