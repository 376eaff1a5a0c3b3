/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are written and change nothing, and words that say more than they seem to. */
#include "loader.h"

#include "base/assert.h"
#include "base/clock.h"
#include "suffix.h"

static void unused(struct loader *l, const struct node *node, const char *what, const char *fix)
{
    if (node != NULL)
        diag_fix(load_lint(l, node, "unused_key", "%s", what), "%s", fix);
}

/* ---- the environment's keys ---- */

static void lint_packages(struct loader *l)
{
    const struct policy *p = l->policy;
    if (!p->opens_packages)
        unused(l, node_get(l->egress, "package_managers"), "package_managers says how, but nothing opens the groups",
               p->limited ? "set config.networking.allow_package_managers: true, or remove it"
                          : "remove it: an unrestricted environment reaches those hosts anyway");
}

static bool has_url_entry(const struct loader *l)
{
    const struct node *list = node_get(l->networking, "allowed_hosts");
    for (const struct node *item = list == NULL ? NULL : list->first; item != NULL; item = item->next)
        if (item->text.len > 8 && memcmp(item->text.data, "https://", 8) == 0)
            return true;
    return false;
}

static bool names_exactly(const struct policy *p)
{
    for (uint32_t i = 0; i < p->names.count; i++) {
        enum name_kind kind = names_kind(&p->names.items[i]);
        if (!names_is_wild(&p->names.items[i]) && (kind == NAME_ALLOWED || kind == NAME_ENTRY || kind == NAME_MCP))
            return true;
    }
    return p->literals.count > 0;
}

static bool reaches_http(const struct policy *p)
{
    bool reaches = p->http_ports.all || p->http_ports.count > 0 || p->mcp_hosts.count > 0 || p->group_hosts.count > 0;
    for (uint32_t i = 0; i < p->entries.count; i++)
        reaches = reaches || (p->entries.at[i].has_ports && p->entries.at[i].ports.count > 0);
    return reaches;
}

static void lint_environment(struct loader *l)
{
    const struct policy *p = l->policy;
    if (load_bool(l->egress, "accept_url_entries", false) && !has_url_entry(l))
        unused(l, node_get(l->egress, "accept_url_entries"), "accept_url_entries, but no entry is a URL", "remove it");
    if (p->private_networks.count > 0 && !names_exactly(p))
        unused(
            l, node_get(l->egress, "private_networks"),
            "private_networks opens prefixes for exact names, MCP endpoints and listed addresses, and there are none",
            "name the hosts that may resolve to them, or remove it");
    if (!reaches_http(p))
        unused(l, node_get(l->egress, "methods"), "methods speaks about plain HTTP, for which no port is open",
               "remove it, or open a port in egress.ports.http");
}

/* The one place of this room that looks at the clock: a lint, which changes no decision. */
static void lint_mode(struct loader *l)
{
    const struct policy *p = l->policy;
    if (p->observes_until_ms == 0)
        return;
    if (clock_wall_ns() / 1000000 >= p->observes_until_ms)
        diag_fix(lint_at(l, &p->mode_place, "observe", "the last day of mode: observe is over: this policy enforces"),
                 "remove mode and observe_until");
    else
        diag_fix(lint_at(l, &p->mode_place, "observe",
                         "what names, ports, SNI and non-TLS rules would refuse passes until the end of %.*s (UTC)",
                         SPAN_ARGS(p->mode_place.text)),
                 "remove mode and observe_until to enforce");
}

/* ---- entries ---- */

static bool is_shared(const struct loader *l, struct span base)
{
    struct hostname name;
    if (hostname_parse(base, &name) != ERR_NONE)
        return false;
    bool shared = suffix_classify(&name) == SUFFIX_SHARED;
    for (uint32_t i = 0; i < l->builtin->shared_suffixes.count; i++)
        shared |= data_covers(hostname_span(&name), l->builtin->shared_suffixes.at[i]);
    for (uint32_t i = 0; i < l->builtin->shared_trees.count; i++)
        shared |= data_covers(l->builtin->shared_trees.at[i], hostname_span(&name)) ||
                  data_covers(hostname_span(&name), l->builtin->shared_trees.at[i]);
    return shared;
}

static void lint_entry(struct loader *l, const struct node *entry)
{
    const struct node *host = node_get(entry, "host"), *ports = node_get(entry, "ports");
    const struct node *accepts = node_get(entry, "accept_shared_suffix");
    if (host == NULL)
        return;
    bool wild = host->text.len > 2 && host->text.data[0] == '*';
    if (ports != NULL && ports->count == 0)
        diag_fix(load_lint(l, ports, "unused_key", "'%.*s' has no port: it stays closed, whatever else allows it",
                           SPAN_ARGS(host->text)),
                 "list its ports, or say it in denied_hosts");
    if (accepts == NULL || !span_is(accepts->text, "true"))
        return;
    if (!wild || !is_shared(l, span_from(host->text, 2)))
        unused(l, accepts, "accept_shared_suffix, but the host is no wildcard over a shared suffix", "remove it");
    else
        diag_fix(load_lint(l, accepts, "shared_suffix", "'%.*s' covers hosts of many tenants: anybody can have one",
                           SPAN_ARGS(host->text)),
                 "name the hosts that are meant, if they are known");
}

/* ---- what matches everything ---- */

#define FRESH_NAME "a-name-that-no-policy-has.invalid"

static void lint_patterns(struct loader *l)
{
    const struct policy *p = l->policy;
    struct hostname name;
    ASSERT(hostname_parse(span_text(FRESH_NAME), &name) == ERR_NONE);
    for (uint32_t i = 0; i < p->allow_patterns.count; i++)
        if (pattern_match(p->allow_patterns.at[i].pattern, &name) == PATTERN_YES)
            diag_fix(lint_at(l, &p->allow_patterns.at[i].place, "wide_pattern",
                             "the regular expression matches names that have nothing to do with it: %s", FRESH_NAME),
                     "write the domain out: '[a-z0-9-]+[.]example[.]com'");
}

void load_lint_keys(struct loader *l)
{
    const struct node *entries = node_get(l->egress, "hosts");
    l->file = l->egress_file;
    lint_packages(l);
    lint_environment(l);
    for (const struct node *entry = entries == NULL ? NULL : entries->first; entry != NULL; entry = entry->next)
        lint_entry(l, entry);
    lint_patterns(l);
    lint_mode(l);
}
