/* SPDX-License-Identifier: Apache-2.0 */
/* MCP endpoints: of each URL the host and the port. */
#include "agent_file.h"
#include "loader.h"

#include "base/assert.h"

/* The rest of `url` behind an http or https scheme, and the scheme's port; an empty span for other schemes. */
static struct span strip_scheme(struct span url, uint16_t *out_port)
{
    static const struct {
        const char *scheme;
        uint16_t port;
    } rows[] = {
        {"https://", 443},
        {"http://",  80 }
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].scheme);
        if (url.len > len && span_equal_fold(span_first(url, len), span_text(rows[i].scheme))) {
            *out_port = rows[i].port;
            return span_from(url, len);
        }
    }
    return span_make(NULL, 0);
}

static struct span authority_of(struct span rest)
{
    size_t end = 0;
    while (end < rest.len && rest.data[end] != '/' && rest.data[end] != '?' && rest.data[end] != '#')
        end++;
    return span_first(rest, end);
}

const char *mcp_url_parse(struct span url, struct target *out)
{
    uint16_t port = 0;
    bool has_port = false;
    struct span rest = strip_scheme(url, &port);
    if (rest.len == 0)
        return "only http:// and https:// URLs open anything";
    struct span authority = authority_of(rest);
    if (span_find(authority, '@') < authority.len)
        return "a URL with a user name or password does not belong into a file";
    if (target_parse_host(authority, port, out, &has_port) != ERR_NONE)
        return "its host is neither a canonical name nor a canonical address";
    if (out->kind == TARGET_ADDRESS && address_classify(&out->addr)->lift == LIFT_INNER)
        return "an IPv4 address inside an IPv6 address is never a target";
    return NULL;
}

/* ---- hosts of endpoints ---- */

static struct mcp_host *known_host(struct policy *p, const struct target *target)
{
    for (uint32_t i = 0; i < p->mcp_hosts.count; i++)
        if (target_same_host(&p->mcp_hosts.at[i].target, target))
            return &p->mcp_hosts.at[i];
    return NULL;
}

static void add_port(struct loader *l, struct mcp_host *host, uint16_t port)
{
    uint16_t *ports = arena_array(&l->trees, host->ports.count + 1, sizeof *ports);
    if (ports == NULL)
        return;
    for (uint32_t i = 0; i < host->ports.count; i++)
        ports[i] = host->ports.list[i];
    ports[host->ports.count] = port;
    host->ports = ports_make(&l->policy->arena, ports, host->ports.count + 1);
}

static struct mcp_host *new_host(struct loader *l, const struct node *url, const struct target *target)
{
    struct policy *p = l->policy;
    uint32_t count = p->mcp_hosts.count;
    if ((count & (count - 1)) == 0) {
        struct mcp_host *more = arena_array(&p->arena, count == 0 ? 1 : 2 * (size_t)count, sizeof *more);
        if (more == NULL)
            return NULL;
        if (count > 0)
            memcpy(more, p->mcp_hosts.at, count * sizeof *more);
        p->mcp_hosts.at = more;
    }
    ASSERT(p->mcp_hosts.at != NULL);
    p->mcp_hosts.at[count] = (struct mcp_host){
        .place = load_place(l, url), .list = l->endpoint_list, .number = l->endpoint_number, .target = *target};
    p->mcp_hosts.count++;
    return &p->mcp_hosts.at[count];
}

static bool is_open(const struct policy *p)
{
    return p->opens_mcp || !p->limited;
}

static void open_host(struct loader *l, const struct target *target, uint32_t index)
{
    if (target->kind == TARGET_ADDRESS) {
        load_literal(l, &target->addr, NAME_MCP, index);
        return;
    }
    enum err err = names_add(&l->policy->names, NAME_MCP, false, hostname_span(&target->name), index, 0);
    l->memory |= err != ERR_NONE;
}

#define ENDPOINTS_MAX 1024

void load_endpoint(struct loader *l, struct node *url, const char *file)
{
    struct target target;
    const char *before = l->file;
    l->file = file;
    const char *flaw = mcp_url_parse(url->text, &target);
    if (flaw == NULL && ++l->endpoints > ENDPOINTS_MAX)
        flaw = "there are more than 1024 MCP endpoints";
    if (flaw != NULL) {
        struct finding *f = load_error(l, url, "mcp_url", "the URL of this MCP server is not usable: %s", flaw);
        diag_fix(f, "write for instance https://mcp.example.com/path");
    } else {
        struct mcp_host *host = known_host(l->policy, &target);
        bool is_new = host == NULL;
        if (is_new)
            host = new_host(l, url, &target);
        if (host != NULL)
            add_port(l, host, target.port);
        if (is_new && host != NULL && is_open(l->policy))
            open_host(l, &target, l->policy->mcp_hosts.count - 1);
    }
    l->file = before;
}

void load_mcp(struct loader *l)
{
    const struct node *list = node_get(l->egress, "mcp_servers");
    l->endpoint_list = "egress.mcp_servers";
    for (struct node *item = list == NULL ? NULL : list->first; item != NULL; item = item->next, l->endpoint_number++) {
        struct node *url = item->bad ? NULL : node_get(item, "url");
        if (url != NULL)
            load_endpoint(l, url, l->egress_file);
    }
    struct node *agents = node_get(l->egress, "agents");
    if (agents != NULL)
        load_agents(l, agents);
}
