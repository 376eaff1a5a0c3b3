/* SPDX-License-Identifier: Apache-2.0 */
/* allowed_hosts, egress.denied_hosts and egress.hosts. */
#include "loader.h"

/* An address that will never be dialled, or not without more words, is worth a line. */
static void lint_literal(struct loader *l, const struct node *node, const struct ipaddr *addr, bool pinned)
{
    const struct address_range *range = address_classify(addr);
    struct finding *f = NULL;
    if (range->lift == LIFT_NOTHING) {
        f = load_lint(l, node, "never_dialled", "%.*s is never dialled: %s", SPAN_ARGS(node->text), range->name);
        diag_fix(f, "remove it");
    } else if (range->lift == LIFT_LOOPBACK && !pinned) {
        f = load_lint(l, node, "never_dialled", "%.*s is loopback and is not opened by this line",
                      SPAN_ARGS(node->text));
        diag_fix(f, "egress.hosts: [{host: %.*s, addresses: [%.*s/%d], ports: [PORT]}]", SPAN_ARGS(node->text),
                 SPAN_ARGS(node->text), addr->family == 4 ? 32 : 128);
    }
}

static void add_allowed(struct loader *l, struct node *node, const struct host_text *host)
{
    struct policy *p = l->policy;
    uint32_t index = p->allowed.count;
    p->allowed.at[p->allowed.count++] = load_place(l, node);
    if (host->kind == HOST_LITERAL) {
        load_literal(l, &host->addr, NAME_ALLOWED, index);
        lint_literal(l, node, &host->addr, false);
    } else {
        load_name(l, NAME_ALLOWED, host, index);
    }
}

/* ---- wildcards over shared suffixes that an entry accepts ---- */

static bool accepts(const struct node *entry, struct span pattern)
{
    const struct node *host = node_get(entry, "host");
    struct host_text a, b;
    const char *fix;
    static const struct builtin_data none;
    return host != NULL && load_bool(entry, "accept_shared_suffix", false) &&
           host_flaw(host->text, &none, 0, &a, &fix) == NULL && host_flaw(pattern, &none, 0, &b, &fix) == NULL &&
           a.kind == HOST_WILD && b.kind == HOST_WILD && hostname_equal(&a.name, &b.name);
}

/* Only asked about a wildcard that is refused without it. */
static unsigned shared_flag(struct loader *l, struct span pattern, unsigned flags)
{
    const struct node *list = node_get(l->egress, "hosts");
    struct host_text host;
    const char *fix;
    if (list == NULL || pattern.len == 0 || pattern.data[0] != '*' ||
        host_flaw(pattern, l->builtin, flags, &host, &fix) == NULL)
        return 0;
    for (const struct node *entry = list->first; entry != NULL; entry = entry->next)
        if (entry->kind == NODE_MAP && accepts(entry, pattern))
            return HOST_SHARED;
    return 0;
}

static void load_allowed(struct loader *l)
{
    const struct node *list = node_get(l->networking, "allowed_hosts");
    l->file = l->env_file;
    if (list == NULL || !l->policy->limited)
        return;
    l->policy->allowed.at = arena_array(&l->policy->arena, list->count, sizeof *l->policy->allowed.at);
    if (l->policy->allowed.at == NULL)
        return;
    unsigned urls = load_bool(l->egress, "accept_url_entries", false) ? HOST_URLS : 0;
    for (struct node *item = list->first; item != NULL; item = item->next) {
        struct host_text host;
        unsigned flags = HOST_LITERALS | HOST_ALLOWS | urls;
        if (!item->bad && load_host(l, item, flags | shared_flag(l, item->text, flags), &host))
            add_allowed(l, item, &host);
    }
}

/* What an organisation denies to all: one table with the environment's own, so that it costs a decision nothing. */
static void load_denied_above(struct loader *l, const struct policy_denied *denied)
{
    struct policy *p = l->policy;
    struct host_text host;
    const char *fix;
    const char *flaw = host_flaw(denied->text, l->builtin, 0, &host, &fix);
    if (flaw != NULL) {
        struct finding *f = diag_add(l->diag, SEVERITY_ERROR, "host", denied->file, denied->line, denied->column,
                                     "'%.*s': %s", SPAN_ARGS(denied->text), flaw);
        diag_fix(f, "%s", fix != NULL ? fix : "write a host name or a *. pattern");
        return;
    }
    load_name(l, NAME_DENIED, &host, p->denied.count);
    p->denied.at[p->denied.count++] = (struct place){
        .file = (const char *)arena_copy(&p->arena, span_text(denied->file)).data,
        .line = denied->line,
        .column = denied->column,
        .text = arena_copy(&p->arena, denied->text),
    };
}

static void load_denied(struct loader *l)
{
    struct node *list = node_get(l->egress, "denied_hosts");
    struct policy *p = l->policy;
    size_t above = l->above != NULL ? l->above->denied_count : 0;
    p->denied.at = arena_array(&p->arena, (list != NULL ? list->count : 0) + above, sizeof *p->denied.at);
    if (p->denied.at == NULL)
        return;
    for (struct node *item = list != NULL ? list->first : NULL; item != NULL; item = item->next) {
        struct host_text host;
        if (item->bad || !load_host(l, item, 0, &host))
            continue;
        load_name(l, NAME_DENIED, &host, p->denied.count);
        p->denied.at[p->denied.count++] = load_place(l, item);
    }
    p->denied_own = p->denied.count;
    for (size_t i = 0; i < above; i++)
        load_denied_above(l, &l->above->denied[i]);
}

/* ---- egress.hosts ---- */

static void fill_entry(struct loader *l, const struct node *map, struct host_entry *entry)
{
    const struct node *ports = node_get(map, "ports");
    const struct node *methods = node_get(map, "methods");
    struct node *addresses = node_get(map, "addresses");
    entry->has_ports = ports != NULL;
    entry->ports = load_ports(l, ports);
    entry->has_methods = methods != NULL;
    entry->methods = methods != NULL ? load_methods(l, methods) : l->policy->methods;
    entry->pinned = addresses != NULL;
    entry->pins = load_pins(l, addresses, &entry->pin_count);
    entry->tls = load_tls(node_get(map, "tls"));
    entry->own_non_tls = entry->tls.non_tls == TLS_LOOSE;
    if (entry->tls.sni == TLS_UNSAID)
        entry->tls.sni = l->policy->tls.sni;
    if (entry->tls.ech == TLS_UNSAID)
        entry->tls.ech = l->policy->tls.ech;
    if (entry->tls.non_tls == TLS_UNSAID)
        entry->tls.non_tls = l->policy->tls.non_tls;
}

/* Loopback is opened by exact address and port alone, so a pin to it without ports opens nothing. */
static void check_loopback(struct loader *l, const struct node *map, const struct host_entry *entry)
{
    for (uint32_t i = 0; i < entry->pin_count; i++) {
        const struct prefix *pin = &entry->pins[i];
        if (address_classify(&pin->addr)->lift != LIFT_LOOPBACK || entry->has_ports)
            continue;
        struct finding *f = load_error(l, node_get(map, "addresses"), "loopback",
                                       "a loopback address needs the ports of the entry as well");
        diag_fix(f, "add ports: [PORT] to the entry");
        return;
    }
}

static void load_entry(struct loader *l, struct node *map)
{
    struct policy *p = l->policy;
    struct node *host_node = node_get(map, "host");
    struct host_text host;
    unsigned shared = load_bool(map, "accept_shared_suffix", false) ? HOST_SHARED : 0;
    if (host_node == NULL || !load_host(l, host_node, HOST_LITERALS | HOST_ALLOWS | shared, &host))
        return;
    struct host_entry *entry = &p->entries.at[p->entries.count];
    entry->place = load_place(l, host_node);
    entry->wild = host.kind == HOST_WILD;
    entry->literal = host.kind == HOST_LITERAL;
    fill_entry(l, map, entry);
    check_loopback(l, map, entry);
    if (entry->literal) {
        load_literal(l, &host.addr, NAME_ENTRY, p->entries.count);
        lint_literal(l, host_node, &host.addr, entry->pinned);
    } else {
        load_name(l, NAME_ENTRY, &host, p->entries.count);
    }
    p->entries.count++;
}

static void load_entries(struct loader *l)
{
    const struct node *list = node_get(l->egress, "hosts");
    if (list == NULL)
        return;
    l->policy->entries.at = arena_array(&l->policy->arena, list->count, sizeof *l->policy->entries.at);
    if (l->policy->entries.at == NULL)
        return;
    for (struct node *item = list->first; item != NULL; item = item->next)
        if (!item->bad)
            load_entry(l, item);
}

void load_hosts(struct loader *l)
{
    load_allowed(l);
    l->file = l->egress_file;
    load_denied(l);
    load_entries(l);
}
