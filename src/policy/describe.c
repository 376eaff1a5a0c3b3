/* SPDX-License-Identifier: Apache-2.0 */
/* The effective policy, line by line, each with the rule that it comes from. */
#include "inside.h"

struct teller {
    const struct policy *policy;
    policy_line_fn *fn;
    void *arg;
    struct policy_line line;
    struct outbuf text;
};

static struct outbuf *begin(struct teller *t, const char *section, enum rule_kind kind, uint32_t index)
{
    t->line = (struct policy_line){.section = section};
    policy_rule(t->policy, (struct rule_ref){kind, index}, &t->line.rule);
    t->text = outbuf_make(t->line.text, sizeof t->line.text - 1);
    return &t->text;
}

static void end(struct teller *t)
{
    t->line.text[t->text.len] = '\0';
    t->fn(t->arg, &t->line);
}

/* ---- what is allowed ---- */

static void door_ports(const struct policy *p, struct outbuf *out)
{
    ports_print(&p->connect_ports, out);
    outbuf_text(out, " (CONNECT, SOCKS5, TLS), ");
    ports_print(&p->http_ports, out);
    outbuf_text(out, " (HTTP)");
}

/* The host entry that sets the rules of an allowed name, if there is one. */
static const struct host_entry *entry_of(const struct policy *p, struct span text)
{
    struct target target = {.port = 443};
    struct standing standing;
    if (ipaddr_parse(text, &target.addr) == ERR_NONE)
        target.kind = TARGET_ADDRESS;
    else if (hostname_parse(text, &target.name) == ERR_NONE)
        target.kind = TARGET_NAME;
    if (target.kind == TARGET_NONE)
        return NULL;
    standing_find(p, &target, &standing);
    return standing.entry;
}

static void tell_allowed(struct teller *t)
{
    const struct policy *p = t->policy;
    for (uint32_t i = 0; i < p->allowed.count; i++) {
        struct outbuf *out = begin(t, "allowed_hosts", RULE_ALLOWED_HOST, i);
        const struct host_entry *entry = entry_of(p, p->allowed.at[i].text);
        outbuf_span(out, p->allowed.at[i].text);
        outbuf_text(out, "  ");
        if (entry != NULL && entry->has_ports)
            ports_print(&entry->ports, out);
        else
            door_ports(p, out);
        end(t);
    }
}

static void tell_pins(const struct host_entry *entry, struct outbuf *out)
{
    if (!entry->pinned)
        return;
    outbuf_text(out, "; addresses ");
    for (uint32_t i = 0; i < entry->pin_count; i++) {
        outbuf_text(out, i == 0 ? "" : ", ");
        prefix_print(&entry->pins[i], out);
    }
    if (entry->pin_count == 0)
        outbuf_text(out, "none");
}

static void tell_tls(const struct tls_rules *tls, struct outbuf *out)
{
    outbuf_text(out, "sni ");
    outbuf_text(out, tls_word_sni(tls->sni));
    outbuf_text(out, ", ech ");
    outbuf_text(out, tls_word_ech(tls->ech));
    outbuf_text(out, ", non_tls ");
    outbuf_text(out, tls_word_non_tls(tls->non_tls));
}

static bool same_tls(const struct tls_rules *a, const struct tls_rules *b)
{
    return a->sni == b->sni && a->ech == b->ech && a->non_tls == b->non_tls;
}

static void tell_entries(struct teller *t)
{
    const struct policy *p = t->policy;
    for (uint32_t i = 0; i < p->entries.count; i++) {
        const struct host_entry *entry = &p->entries.at[i];
        struct outbuf *out = begin(t, "egress.hosts", RULE_HOST_ENTRY, i);
        outbuf_span(out, entry->place.text);
        outbuf_text(out, "  ");
        if (entry->has_ports)
            ports_print(&entry->ports, out);
        else
            door_ports(p, out);
        tell_pins(entry, out);
        if (!same_tls(&entry->tls, &p->tls)) {
            outbuf_text(out, "; ");
            tell_tls(&entry->tls, out);
        }
        if (entry->has_methods) {
            outbuf_text(out, "; methods ");
            methods_print(entry->methods, out);
        }
        end(t);
    }
}

static void tell_mcp(struct teller *t)
{
    const struct policy *p = t->policy;
    bool open = p->opens_mcp || !p->limited;
    for (uint32_t i = 0; i < p->mcp_hosts.count; i++) {
        char host[TARGET_TEXT_MAX];
        struct outbuf *out = begin(t, "egress.mcp_servers", RULE_MCP_SERVER, i);
        outbuf_bytes(out, host, target_format_host(&p->mcp_hosts.at[i].target, host));
        outbuf_text(out, "  ");
        ports_print(&p->mcp_hosts.at[i].ports, out);
        outbuf_text(out, open ? "" : "  (closed: allow_mcp_servers is false)");
        end(t);
    }
}

static void tell_groups(struct teller *t)
{
    const struct policy *p = t->policy;
    for (uint32_t i = 0; i < p->group_hosts.count; i++) {
        const struct group_host *host = &p->group_hosts.at[i];
        struct outbuf *out = begin(t, "package_managers", RULE_PACKAGE_GROUP, i);
        outbuf_span(out, host->text);
        const struct host_entry *entry = entry_of(p, host->text);
        outbuf_text(out, entry != NULL && entry->has_ports ? "  as its egress.hosts entry says"
                                                           : "  443 (CONNECT, SOCKS5, TLS), 80 (HTTP)");
        outbuf_text(out, host->tier > 1 ? "  (takes uploads)" : "");
        end(t);
    }
}

static void tell_files(struct teller *t, const char *section, enum rule_kind kind, const struct list_file *files,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct outbuf *out = begin(t, section, kind, UINT32_MAX);
        t->line.rule.file = files[i].place.file;
        t->line.rule.line = files[i].place.line;
        t->line.rule.text = files[i].place.text;
        outbuf_text(out, files[i].path);
        outbuf_text(out, "  ");
        outbuf_u64(out, files[i].names);
        outbuf_text(out, " names");
        end(t);
    }
}

static void tell_patterns(struct teller *t, const char *section, const struct placed_pattern *list, uint32_t count,
                          uint32_t first)
{
    for (uint32_t i = 0; i < count; i++) {
        struct outbuf *out = begin(t, section, RULE_PATTERN, first + i);
        outbuf_span(out, list[i].place.text);
        end(t);
    }
}

/* ---- what is denied, and the rules for all ---- */

static void tell_denied(struct teller *t)
{
    const struct policy *p = t->policy;
    for (uint32_t i = 0; i < p->denied.count; i++) {
        outbuf_span(begin(t, "egress.denied_hosts", RULE_DENIED_HOST, i), p->denied.at[i].text);
        end(t);
    }
    tell_files(t, "egress.blocklist", RULE_BLOCKLIST, p->block_files.at, p->block_files.count);
    tell_patterns(t, "egress.host_patterns.deny", p->deny_patterns.at, p->deny_patterns.count, p->allow_patterns.count);
    for (uint32_t i = 0; i < p->builtin_names.count; i++) {
        outbuf_span(begin(t, "builtin.names", RULE_BUILTIN_NAME, i), p->builtin_names.at[i]);
        end(t);
    }
}

static void tell_ports(struct teller *t)
{
    const struct policy *p = t->policy;
    ports_print(&p->connect_ports, begin(t, "egress.ports.connect", RULE_PORTS, 0));
    end(t);
    ports_print(&p->http_ports, begin(t, "egress.ports.http", RULE_PORTS, 1));
    end(t);
    for (uint32_t i = 0; i < p->blocked.count; i++) {
        outbuf_u64(begin(t, "egress.blocked_ports", RULE_BLOCKED_PORT, i), p->blocked.at[i].port);
        end(t);
    }
    methods_print(p->methods, begin(t, "egress.methods", RULE_METHODS, 0));
    end(t);
}

static void tell_addresses(struct teller *t)
{
    const struct policy *p = t->policy;
    for (uint32_t i = 0; i < p->private_networks.count; i++) {
        prefix_print(&p->private_networks.at[i].prefix, begin(t, "egress.private_networks", RULE_PRIVATE_NETWORK, i));
        end(t);
    }
    if (p->nat64.prefix.addr.family != 0) {
        struct outbuf *out = begin(t, "egress.nat64", RULE_DEFAULT, 0);
        prefix_print(&p->nat64.prefix, out);
        t->line.rule.file = p->nat64.place.file;
        t->line.rule.line = p->nat64.place.line;
        end(t);
    }
    tell_tls(&p->tls, begin(t, "egress.tls", RULE_TLS, 0));
    end(t);
}

static void tell_limits(struct teller *t)
{
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = limit_get(&t->policy->limits, &rows[i]);
        struct outbuf *out = begin(t, "egress.limits", RULE_LIMIT, 0);
        outbuf_text(out, rows[i].key);
        outbuf_text(out, ": ");
        if (value == 0 && rows[i].unit == LIMIT_UNIT_PERCENT)
            outbuf_text(out, "half, or all where only one environment is configured");
        else if (value == 0 && i == LIMIT_memory)
            outbuf_text(out, "its share of the process's");
        else
            limit_write(&rows[i], value, out);
        end(t);
    }
}

static void tell_mode(struct teller *t)
{
    const struct policy *p = t->policy;
    if (p->observes_until_ms == 0)
        return;
    struct outbuf *out = begin(t, "egress.mode", RULE_DEFAULT, 0);
    outbuf_text(out, "observe until the end of ");
    outbuf_span(out, p->mode_place.text);
    outbuf_text(out, " (UTC): names, ports, SNI and non-TLS would be refused and pass, and the record says so");
    memcpy(t->line.rule.id, "egress.mode", sizeof "egress.mode");
    t->line.rule.file = p->mode_place.file;
    t->line.rule.line = p->mode_place.line;
    end(t);
}

void policy_describe(const struct policy *policy, policy_line_fn *fn, void *arg)
{
    struct teller t = {.policy = policy, .fn = fn, .arg = arg};
    const char *section = "config.networking.type";
    struct outbuf *type = begin(&t, section, RULE_UNRESTRICTED, 0);
    outbuf_text(type, policy->limited ? "limited: what is listed, nothing else"
                                      : "unrestricted: every name and public address that is not denied");
    memcpy(t.line.rule.id, section, strlen(section) + 1);
    end(&t);
    tell_mode(&t);
    tell_allowed(&t);
    tell_entries(&t);
    tell_mcp(&t);
    tell_groups(&t);
    tell_files(&t, "egress.allowed_host_files", RULE_ALLOWED_FILE, policy->allow_files.at, policy->allow_files.count);
    tell_patterns(&t, "egress.host_patterns.allow", policy->allow_patterns.at, policy->allow_patterns.count, 0);
    tell_denied(&t);
    tell_ports(&t);
    tell_addresses(&t);
    tell_limits(&t);
    if (policy->denial_hint.len > 0) {
        struct outbuf *out = begin(&t, "egress.denial_hint", RULE_DEFAULT, 0);
        outbuf_span(out, policy->denial_hint);
        t.line.rule.file = policy->hint_place.file;
        t.line.rule.line = policy->hint_place.line;
        end(&t);
    }
}
