/* SPDX-License-Identifier: Apache-2.0 */
/* What is legal and probably not meant, or worth knowing. Never stops a load, never changes a decision. */
#include "loader.h"

static void lint_toggles(struct loader *l)
{
    const struct policy *p = l->policy;
    if (p->opens_mcp && p->mcp_hosts.count == 0) {
        struct finding *f =
            lint_at(l, &p->mcp_place, "unused_toggle", "allow_mcp_servers is true, but no MCP endpoint is declared");
        diag_fix(f, "declare them under egress.mcp_servers or egress.agents, or remove the toggle");
    }
    if (p->opens_packages && p->group_hosts.count == 0) {
        struct finding *f = lint_at(l, &p->packages_place, "unused_toggle",
                                    "allow_package_managers is true, but the mode and groups leave no host");
        diag_fix(f, "see egress.package_managers, or remove the toggle");
    }
}

static bool answers(const struct policy *p, const struct target *target)
{
    static const enum door doors[] = {DOOR_CONNECT, DOOR_HTTP};
    for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
        struct decision decision;
        struct question question = {
            .door = doors[i],
            .method = doors[i] == DOOR_HTTP ? METHOD_GET : METHOD_CONNECT,
            .target = target,
        };
        policy_ask_target(p, &question, &decision);
        if (decision.verdict == VERDICT_ALLOW)
            return true;
    }
    return false;
}

static void lint_endpoints(struct loader *l)
{
    const struct policy *p = l->policy;
    for (uint32_t i = 0; i < p->mcp_hosts.count; i++) {
        const struct mcp_host *host = &p->mcp_hosts.at[i];
        struct target target = host->target;
        for (uint32_t port = 0; port < host->ports.count; port++) {
            target.port = host->ports.list[port];
            if (answers(p, &target))
                continue;
            char text[TARGET_TEXT_MAX];
            target_format(&target, text);
            struct finding *f =
                lint_at(l, &host->place, "closed_endpoint", "nothing opens the declared MCP endpoint %s", text);
            diag_fix(f, p->opens_mcp ? "a denial or a blocked port stands in its way; ask explain"
                                     : "set config.networking.allow_mcp_servers: true, or list its host");
        }
    }
}

/* ---- entries that other entries cover ---- */

/* Is there a pattern (or, without `wild`, anything) of this kind? A long list is not asked name by name for nothing. */
static bool has_names(const struct policy *p, enum name_kind kind, bool wild)
{
    for (uint32_t i = 0; i < p->names.count; i++)
        if (names_kind(&p->names.items[i]) == kind && (!wild || names_is_wild(&p->names.items[i])))
            return true;
    return false;
}

static void lint_covered(struct loader *l, enum name_kind kind, uint32_t item, const struct place *place)
{
    const struct policy *p = l->policy;
    struct hostname name;
    struct name_hit hits[NAME_KINDS];
    if (hostname_parse(names_text(&p->names, item), &name) != ERR_NONE)
        return;
    names_find(&p->names, &name, true, hits);
    const struct name_hit *hit = &hits[kind];
    if (hit->item == 0)
        return;
    struct span by = names_whole(&p->names, hit->item - 1);
    struct finding *f =
        lint_at(l, place, "covered", "'%.*s' is covered by '%.*s' already", SPAN_ARGS(place->text), SPAN_ARGS(by));
    diag_fix(f, "remove one of the two");
}

/* An exact name under a wildcard has a meaning of its own where private networks are opened: they are opened for exact
 * names alone. Then nothing is said. */
static void lint_wildcards(struct loader *l)
{
    const struct policy *p = l->policy;
    bool allowed = has_names(p, NAME_ALLOWED, true), denied = has_names(p, NAME_DENIED, true);
    for (uint32_t i = 0; (allowed || denied) && i < p->names.count; i++) {
        const struct name_item *item = &p->names.items[i];
        bool exact_matters = p->private_networks.count > 0 && !names_is_wild(item);
        if (names_kind(item) == NAME_ALLOWED && allowed && !exact_matters)
            lint_covered(l, NAME_ALLOWED, i, &p->allowed.at[item->value]);
        else if (names_kind(item) == NAME_DENIED && denied)
            lint_covered(l, NAME_DENIED, i, &p->denied.at[item->value]);
    }
}

/* ---- what is allowed and denied ---- */

/* The denial wins; whoever wrote both lines should know. */
static void lint_denied(struct loader *l)
{
    const struct policy *p = l->policy;
    bool any =
        has_names(p, NAME_DENIED, false) || has_names(p, NAME_BLOCKLIST, false) || has_names(p, NAME_BUILTIN, false);
    for (uint32_t i = 0; any && i < p->names.count; i++) {
        const struct name_item *item = &p->names.items[i];
        enum name_kind kind = names_kind(item);
        struct hostname name;
        struct name_hit hits[NAME_KINDS];
        if ((kind != NAME_ALLOWED && kind != NAME_ENTRY) || names_is_wild(item) ||
            hostname_parse(names_text(&p->names, i), &name) != ERR_NONE)
            continue;
        names_find(&p->names, &name, false, hits);
        if (hits[NAME_DENIED].item == 0 && hits[NAME_BLOCKLIST].item == 0 && hits[NAME_BUILTIN].item == 0)
            continue;
        const struct place *place =
            kind == NAME_ALLOWED ? &p->allowed.at[item->value] : &p->entries.at[item->value].place;
        struct finding *f = lint_at(l, place, "denied", "'%.*s' is listed as allowed and denied: it stays closed",
                                    SPAN_ARGS(place->text));
        diag_fix(f, "remove one of the two; explain names the line that denies it");
    }
}

/* ---- hosts at which anybody can receive ---- */

static bool is_excepted(const struct loader *l, struct span name)
{
    for (uint32_t i = 0; i < l->builtin->receivers_except.count; i++)
        if (span_equal(l->builtin->receivers_except.at[i], name))
            return true;
    return false;
}

/* An allowed name lies at a receiver; an allowed pattern does, or has one below it. */
static const struct receiver *receiver_of(const struct loader *l, struct span name, bool wild)
{
    if (is_excepted(l, name))
        return NULL;
    for (uint32_t i = 0; i < l->builtin->receiver_count; i++) {
        const struct receiver *r = &l->builtin->receivers[i];
        if (data_covers(r->suffix, name) || (wild && data_covers(name, r->suffix)))
            return r;
    }
    return NULL;
}

static void lint_receivers(struct loader *l)
{
    const struct policy *p = l->policy;
    for (uint32_t i = 0; i < p->names.count; i++) {
        const struct name_item *item = &p->names.items[i];
        enum name_kind kind = names_kind(item);
        if (kind != NAME_ALLOWED && kind != NAME_ENTRY)
            continue;
        const struct receiver *r = receiver_of(l, names_text(&p->names, i), names_is_wild(item));
        if (r == NULL)
            continue;
        const struct place *place =
            kind == NAME_ALLOWED ? &p->allowed.at[item->value] : &p->entries.at[item->value].place;
        struct finding *f = lint_at(l, place, "receiver", "data can leave through '%.*s': %.*s", SPAN_ARGS(place->text),
                                    SPAN_ARGS(r->why));
        diag_fix(f, "allow it only if the work needs it; byte ceilings (egress.limits) bound what can leave");
    }
}

/* One line for each group: compat holds code hosts and registries that take uploads. */
static void lint_groups(struct loader *l)
{
    const struct policy *p = l->policy;
    const struct span *said = NULL;
    for (uint32_t i = 0; i < p->group_hosts.count; i++) {
        const struct group_host *host = &p->group_hosts.at[i];
        if (host->tier < 2 || (said != NULL && span_equal(*said, host->group)))
            continue;
        said = &host->group;
        struct finding *f =
            lint_at(l, &p->packages_place, "receiver", "the package group '%.*s' can be written to: %.*s",
                    SPAN_ARGS(host->group), SPAN_ARGS(host->why));
        diag_fix(f, "egress.package_managers: {mode: read_only} opens only hosts that take no uploads");
    }
}

/* ---- the worker's own way out ---- */

static void lint_control_plane(struct loader *l)
{
    const struct policy *p = l->policy;
    if (!p->self_hosted)
        return;
    for (uint32_t i = 0; i < l->builtin->control_plane.count; i++) {
        struct target target = {.kind = TARGET_NAME, .port = 443};
        struct span name = l->builtin->control_plane.at[i];
        if (hostname_parse(name, &target.name) != ERR_NONE || answers(p, &target))
            continue;
        struct finding *f = lint_at(l, &p->type_place, "control_plane",
                                    "a self-hosted worker behind this policy cannot reach %.*s", SPAN_ARGS(name));
        diag_fix(f, "allow it if the worker itself runs in this environment, not if only its tools do");
    }
}

/* ---- ports that never open ---- */

static void lint_blocked(struct loader *l)
{
    const struct policy *p = l->policy;
    for (uint32_t i = 0; i < p->entries.count; i++) {
        const struct host_entry *entry = &p->entries.at[i];
        for (uint32_t b = 0; b < p->blocked.count && entry->has_ports; b++) {
            if (!ports_have(&entry->ports, p->blocked.at[b].port))
                continue;
            struct finding *f = lint_at(l, &entry->place, "blocked_port",
                                        "port %u of '%.*s' stays closed: blocked_ports "
                                        "wins",
                                        p->blocked.at[b].port, SPAN_ARGS(entry->place.text));
            diag_fix(f, "see egress.blocked_ports and blocked_ports_replace");
        }
    }
}

void load_lints(struct loader *l)
{
    lint_toggles(l);
    lint_endpoints(l);
    lint_blocked(l);
    lint_wildcards(l);
    lint_denied(l);
    lint_receivers(l);
    lint_groups(l);
    lint_control_plane(l);
    load_lint_keys(l);
}
