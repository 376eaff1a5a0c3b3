/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule is called and where it stands. */
#include "inside.h"

#include "base/outbuf.h"

/* Every record asks for an id: no printf here. `id` was zeroed, and its last byte stays so. */
static void set_id(struct rule *out, const char *text)
{
    struct outbuf o = outbuf_make(out->id, sizeof out->id - 1);
    outbuf_span(&o, span_first(span_text(text), sizeof out->id - 1));
    out->id[o.len] = '\0';
}

/* list, name, "[number]", tail */
static void set_numbered(struct rule *out, const char *list, struct span name, uint32_t number, const char *tail)
{
    struct outbuf o = outbuf_make(out->id, sizeof out->id - 1);
    outbuf_text(&o, list);
    outbuf_span(&o, name);
    outbuf_char(&o, '[');
    outbuf_u64(&o, number);
    outbuf_char(&o, ']');
    outbuf_text(&o, tail);
    out->id[o.len] = '\0';
}

static void set_line(struct rule *out, const char *list, uint32_t number)
{
    set_numbered(out, list, span_make(NULL, 0), number, "");
}

static void set_place(struct rule *out, const struct place *place)
{
    out->file = place->file;
    out->line = place->line;
    out->text = place->text;
}

static void rule_group(const struct policy *p, uint32_t index, struct rule *out)
{
    const struct group_host *host = &p->group_hosts.at[index];
    set_numbered(out, "package_managers.", host->group, host->index, "");
    out->text = host->text;
    out->group = host->group;
    out->version = host->version;
    out->file = host->file;
    out->line = host->line;
}

/* A line of a list file; the item says which file and line. */
static void rule_line(const struct policy *p, const char *list, const struct list_file *files, uint32_t index,
                      struct rule *out)
{
    const struct name_item *item = &p->names.items[index];
    set_line(out, list, item->list);
    out->text = names_whole(&p->names, index);
    out->file = files[item->list].path;
    out->line = item->value;
}

static void rule_pattern(const struct policy *p, uint32_t index, struct rule *out)
{
    bool deny = index >= p->allow_patterns.count;
    uint32_t at = deny ? index - p->allow_patterns.count : index;
    set_line(out, deny ? "egress.host_patterns.deny" : "egress.host_patterns.allow", at);
    set_place(out, deny ? &p->deny_patterns.at[at].place : &p->allow_patterns.at[at].place);
}

static void rule_of_lists(const struct policy *p, struct rule_ref ref, struct rule *out)
{
    if (ref.kind == RULE_ALLOWED_HOST && ref.index < p->allowed.count) {
        set_line(out, "allowed_hosts", ref.index);
        set_place(out, &p->allowed.at[ref.index]);
    } else if (ref.kind == RULE_DENIED_HOST && ref.index < p->denied.count) {
        bool own = ref.index < p->denied_own;
        set_line(out, own ? "egress.denied_hosts" : "denied_hosts", ref.index - (own ? 0 : p->denied_own));
        set_place(out, &p->denied.at[ref.index]);
    } else if (ref.kind == RULE_ALLOWED_FILE && ref.index < p->names.count) {
        rule_line(p, "egress.allowed_host_files", p->allow_files.at, ref.index, out);
    } else if (ref.kind == RULE_BLOCKLIST && ref.index < p->names.count) {
        rule_line(p, "egress.blocklist", p->block_files.at, ref.index, out);
    } else if (ref.kind == RULE_PACKAGE_GROUP && ref.index < p->group_hosts.count) {
        rule_group(p, ref.index, out);
    } else if (ref.kind == RULE_PATTERN && ref.index < p->allow_patterns.count + p->deny_patterns.count) {
        rule_pattern(p, ref.index, out);
    } else if (ref.kind == RULE_BUILTIN_NAME && ref.index < p->builtin_names.count) {
        set_line(out, "builtin.names", ref.index);
        out->text = p->builtin_names.at[ref.index];
        out->version = p->builtin_version;
    }
}

static void rule_of_hosts(const struct policy *p, struct rule_ref ref, struct rule *out)
{
    if ((ref.kind == RULE_HOST_ENTRY || ref.kind == RULE_PIN) && ref.index < p->entries.count) {
        set_numbered(out, "egress.hosts", span_make(NULL, 0), ref.index, ref.kind == RULE_PIN ? ".addresses" : "");
        set_place(out, &p->entries.at[ref.index].place);
    } else if (ref.kind == RULE_MCP_SERVER && ref.index < p->mcp_hosts.count) {
        const struct mcp_host *host = &p->mcp_hosts.at[ref.index];
        set_line(out, host->list, host->number);
        set_place(out, &host->place);
    } else if (ref.kind == RULE_BLOCKED_PORT && ref.index < p->blocked.count) {
        set_place(out, &p->blocked.at[ref.index].place);
    } else if (ref.kind == RULE_PRIVATE_NETWORK && ref.index < p->private_networks.count) {
        set_line(out, "egress.private_networks", ref.index);
        set_place(out, &p->private_networks.at[ref.index].place);
    }
}

static void rule_of_keys(const struct policy *p, struct rule_ref ref, struct rule *out)
{
    if (ref.kind == RULE_PORTS) {
        set_id(out, ref.index == 0 ? "egress.ports.connect" : "egress.ports.http");
        set_place(out, ref.index == 0 ? &p->connect_place : &p->http_place);
    } else if (ref.kind == RULE_METHODS) {
        set_place(out, &p->methods_place);
    } else if (ref.kind == RULE_TLS) {
        set_place(out, &p->tls_place);
    } else if (ref.kind == RULE_UNRESTRICTED) {
        set_place(out, &p->type_place);
    } else if (ref.kind == RULE_LIMIT) {
        set_place(out, &p->limits_place);
    }
}

void policy_rule(const struct policy *policy, struct rule_ref ref, struct rule *out)
{
    *out = (struct rule){0};
    set_id(out, rule_kind_text(ref.kind));
    rule_of_lists(policy, ref, out);
    rule_of_hosts(policy, ref, out);
    rule_of_keys(policy, ref, out);
}
