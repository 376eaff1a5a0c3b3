/* SPDX-License-Identifier: Apache-2.0 */
/* Ports, methods, TLS rules and address prefixes. */
#include "loader.h"

#include "base/text.h"

#include <stdlib.h>

#define METHODS_DEFAULT                                                                                                \
    (method_bit(METHOD_GET) | method_bit(METHOD_HEAD) | method_bit(METHOD_POST) | method_bit(METHOD_PUT) |             \
     method_bit(METHOD_PATCH) | method_bit(METHOD_DELETE) | method_bit(METHOD_OPTIONS))

/* ---- ports ---- */

struct ports load_ports(struct loader *l, const struct node *list)
{
    if (list == NULL)
        return (struct ports){0};
    uint16_t *ports = arena_array(&l->trees, list->count, sizeof *ports);
    size_t count = 0;
    for (const struct node *item = list->first; ports != NULL && item != NULL; item = item->next) {
        uint64_t port = 0;
        if (!item->bad && text_u64(item->text, 65535, &port) == ERR_NONE)
            ports[count++] = (uint16_t)port;
    }
    return ports_make(&l->policy->arena, ports, count);
}

static void load_env_ports(struct loader *l)
{
    static const uint16_t tls = 443, plain = 80;
    struct policy *p = l->policy;
    const struct node *map = node_get(l->egress, "ports");
    const struct node *connect = node_get(map, "connect"), *http = node_get(map, "http");
    p->connect_ports = ports_make(&p->arena, &tls, 1);
    p->http_ports = ports_make(&p->arena, &plain, 1);
    p->connect_ports.all = p->http_ports.all = !p->limited;
    if (connect != NULL) {
        p->connect_ports = load_ports(l, connect);
        p->connect_place = load_place(l, connect);
    }
    if (http != NULL) {
        p->http_ports = load_ports(l, http);
        p->http_place = load_place(l, http);
    }
}

static int by_port(const void *a, const void *b)
{
    const struct placed_port *left = a, *right = b;
    return left->port - right->port;
}

static void load_blocked(struct loader *l)
{
    static const uint16_t defaults[] = {22, 3306, 5432};
    struct policy *p = l->policy;
    struct node *list = node_get(l->egress, "blocked_ports");
    struct node *replace = node_get(l->egress, "blocked_ports_replace");
    bool replaces = load_bool(l->egress, "blocked_ports_replace", false);
    size_t most = (list == NULL ? 0 : list->count) + sizeof defaults / sizeof defaults[0];
    p->blocked.at = arena_array(&p->arena, most, sizeof *p->blocked.at);
    if (p->blocked.at == NULL)
        return;
    if (replaces && list == NULL) {
        struct finding *f = load_error(l, replace, "blocked_ports", "blocked_ports_replace without blocked_ports");
        diag_fix(f, "add blocked_ports: [] to block nothing, or remove blocked_ports_replace");
    }
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0] && !replaces; i++)
        p->blocked.at[p->blocked.count++] = (struct placed_port){.port = defaults[i]};
    for (struct node *item = list == NULL ? NULL : list->first; item != NULL; item = item->next) {
        uint64_t port = 0;
        if (!item->bad && text_u64(item->text, 65535, &port) == ERR_NONE)
            p->blocked.at[p->blocked.count++] = (struct placed_port){load_place(l, item), (uint16_t)port};
    }
    qsort(p->blocked.at, p->blocked.count, sizeof *p->blocked.at, by_port);
}

/* ---- methods ---- */

uint32_t load_methods(struct loader *l, const struct node *list)
{
    uint32_t methods = 0;
    for (struct node *item = list->first; item != NULL; item = item->next) {
        enum method method = method_by_name(item->text);
        struct finding *f = NULL;
        if (item->bad)
            continue;
        if (method == METHOD_UNKNOWN)
            f = load_error(l, item, "method", "'%.*s' is not a method that can be allowed", SPAN_ARGS(item->text));
        else if (method == METHOD_CONNECT || (method_bit(method) & METHODS_DEFAULT) == 0)
            f = load_error(l, item, "method", "%.*s cannot be listed", SPAN_ARGS(item->text));
        else
            methods |= method_bit(method);
        diag_fix(f, "write some of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS in capitals");
    }
    return methods;
}

/* ---- TLS ---- */

static enum tls_choice choice(const struct node *map, const char *key, const char *strict)
{
    const struct node *node = node_get(map, key);
    if (node == NULL)
        return TLS_UNSAID;
    return span_is(node->text, strict) ? TLS_STRICT : TLS_LOOSE;
}

struct tls_rules load_tls(const struct node *map)
{
    return (struct tls_rules){
        .sni = choice(map, "sni", "required"),
        .ech = choice(map, "ech", "refuse"),
        .non_tls = choice(map, "non_tls", "refuse"),
    };
}

static void load_env_tls(struct loader *l)
{
    struct policy *p = l->policy;
    const struct node *map = node_get(l->egress, "tls");
    enum tls_choice dflt = p->limited ? TLS_STRICT : TLS_LOOSE;
    p->tls = load_tls(map);
    if (map != NULL)
        p->tls_place = load_place(l, map);
    if (p->tls.sni == TLS_UNSAID)
        p->tls.sni = dflt;
    if (p->tls.ech == TLS_UNSAID)
        p->tls.ech = dflt;
    if (p->tls.non_tls == TLS_UNSAID)
        p->tls.non_tls = dflt;
}

/* ---- prefixes ---- */

/* Prefixes are tried one after the other for each address: their number is bounded. */
#define PREFIXES_MAX 1024

static bool too_many(struct loader *l, struct node *list)
{
    if (list->count <= PREFIXES_MAX)
        return false;
    struct finding *f = load_error(l, list, "too_many", "there are more than %d prefixes", PREFIXES_MAX);
    diag_fix(f, "write wider ones");
    return true;
}

static bool load_prefix(struct loader *l, struct node *node, struct prefix *out)
{
    if (prefix_parse(node->text, out) == ERR_NONE)
        return true;
    struct finding *f = load_error(l, node, "prefix", "'%.*s' is not an address prefix", SPAN_ARGS(node->text));
    diag_fix(f, "write for instance 10.20.0.0/16: canonical, without bits behind the prefix length");
    return false;
}

static bool holds_only_refused(const struct prefix *p)
{
    const struct address_range *range = address_classify(&p->addr);
    return (range->lift == LIFT_INNER || range->lift == LIFT_NOTHING) && prefix_covers(&range->prefix, p);
}

static bool load_pin(struct loader *l, struct node *node, struct prefix *out)
{
    if (!load_prefix(l, node, out))
        return false;
    uint8_t most = out->addr.family == 4 ? 32 : 128;
    const struct address_range *range = address_classify(&out->addr);
    if (range->lift == LIFT_LOOPBACK && out->bits != most) {
        struct finding *f = load_error(l, node, "loopback", "loopback is opened by single addresses only");
        diag_fix(f, "write 127.0.0.1/32 or ::1/128");
        return false;
    }
    if (holds_only_refused(out) && l->policy->nat64.prefix.addr.family == 0) {
        struct finding *f =
            load_error(l, node, "prefix", "'%.*s' can never be dialled: %s", SPAN_ARGS(node->text), range->name);
        diag_fix(f, "remove it");
        return false;
    }
    return true;
}

const struct prefix *load_pins(struct loader *l, struct node *list, uint32_t *out_count)
{
    *out_count = 0;
    if (list == NULL || too_many(l, list))
        return NULL;
    struct prefix *pins = arena_array(&l->policy->arena, list->count, sizeof *pins);
    for (struct node *item = list->first; pins != NULL && item != NULL; item = item->next)
        if (!item->bad && load_pin(l, item, &pins[*out_count]))
            (*out_count)++;
    return pins;
}

static void load_private(struct loader *l)
{
    struct policy *p = l->policy;
    struct node *list = node_get(l->egress, "private_networks");
    if (list == NULL || too_many(l, list))
        return;
    p->private_networks.at = arena_array(&p->arena, list->count, sizeof *p->private_networks.at);
    for (struct node *item = list->first; p->private_networks.at != NULL && item != NULL; item = item->next) {
        struct placed_prefix *next = &p->private_networks.at[p->private_networks.count];
        if (item->bad || !load_prefix(l, item, &next->prefix))
            continue;
        if (!address_prefix_may_be_named(&next->prefix) || holds_only_refused(&next->prefix)) {
            struct finding *f =
                load_error(l, item, "prefix", "'%.*s' is not inside a private range", SPAN_ARGS(item->text));
            diag_fix(f, "private_networks takes prefixes inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "
                        "100.64.0.0/10, 198.18.0.0/15, fc00::/7, fec0::/10 or 2001:2::/48");
            continue;
        }
        next->place = load_place(l, item);
        p->private_networks.count++;
    }
}

/* RFC 6052 2.2 knows six lengths; its bits 64 to 71 are zero. The prefix is the well-known one, one of RFC 8215, or a
 * public one of the network's own. */
static void load_nat64(struct loader *l)
{
    struct node *node = node_get(l->egress, "nat64");
    struct prefix prefix;
    if (node == NULL || !load_prefix(l, node, &prefix))
        return;
    const struct address_range *range = address_classify(&prefix.addr);
    bool length = prefix.bits == 32 || prefix.bits == 40 || prefix.bits == 48 || prefix.bits == 56 ||
                  prefix.bits == 64 || prefix.bits == 96;
    bool place = range->lift == LIFT_PUBLIC || (strcmp(range->name, "NAT64") == 0 && prefix.bits >= range->prefix.bits);
    struct finding *f = NULL;
    if (prefix.addr.family != 6 || !length)
        f = load_error(l, node, "nat64", "'%.*s' is not a NAT64 prefix", SPAN_ARGS(node->text));
    else if (!place || (prefix.bits == 96 && prefix.addr.bytes[8] != 0))
        f = load_error(l, node, "nat64", "'%.*s' cannot be a NAT64 prefix: %s", SPAN_ARGS(node->text), range->name);
    else
        l->policy->nat64 = (struct placed_prefix){load_place(l, node), prefix};
    diag_fix(f, "an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits (RFC 6052), for instance 64:ff9b::/96");
}

void load_rules(struct loader *l)
{
    struct policy *p = l->policy;
    const struct node *methods = node_get(l->egress, "methods");
    p->methods = methods != NULL ? load_methods(l, methods) : METHODS_DEFAULT;
    if (methods != NULL)
        p->methods_place = load_place(l, methods);
    load_env_ports(l);
    load_blocked(l);
    load_env_tls(l);
    load_private(l);
    load_nat64(l);
}
