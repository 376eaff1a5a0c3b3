/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/narrow.h"

#include <stdatomic.h>
#include <stdlib.h>

struct narrow_host {
    bool wild; /* `target` is what follows "*." */
    struct target target;
};

struct narrowing {
    atomic_uint references;
    bool only_hosts, no_packages, no_mcp, only_mcp, deny_all;
    struct target *mcp;
    size_t mcp_count;
    struct limits limits;
    size_t count;
    struct narrow_host hosts[];
};

static bool parse_host(struct span text, struct narrow_host *out)
{
    bool has_port = false;
    out->wild = text.len > 2 && text.data[0] == '*' && text.data[1] == '.';
    struct span rest = out->wild ? span_from(text, 2) : text;
    if (target_parse_host(rest, 443, &out->target, &has_port) != ERR_NONE || has_port)
        return false;
    return !out->wild || out->target.kind == TARGET_NAME;
}

enum err narrowing_new(const struct narrowing_spec *spec, size_t *out_bad, struct narrowing **out)
{
    if (spec->host_count > NARROWING_HOSTS_MAX || spec->mcp_count > NARROWING_MCP_MAX)
        return ERR_TOO_BIG;
    struct narrowing *n = calloc(1, sizeof *n + spec->host_count * sizeof n->hosts[0]);
    if (n == NULL)
        return ERR_NO_MEMORY;
    atomic_init(&n->references, 1);
    n->only_hosts = spec->only_hosts;
    n->no_packages = spec->no_package_managers;
    n->no_mcp = spec->no_mcp_servers;
    n->deny_all = spec->deny_all;
    n->limits = spec->limits;
    n->only_mcp = spec->only_mcp;
    n->mcp_count = spec->mcp_count;
    n->mcp = calloc(spec->mcp_count + 1, sizeof *n->mcp);
    if (n->mcp == NULL) {
        free(n);
        return ERR_NO_MEMORY;
    }
    if (spec->mcp_count > 0)
        memcpy(n->mcp, spec->mcp, spec->mcp_count * sizeof *n->mcp);
    for (; n->count < spec->host_count; n->count++) {
        if (parse_host(spec->hosts[n->count], &n->hosts[n->count]))
            continue;
        if (out_bad != NULL)
            *out_bad = n->count;
        narrowing_unref(n);
        return ERR_INVALID;
    }
    *out = n;
    return ERR_NONE;
}

struct narrowing *narrowing_ref(struct narrowing *narrowing)
{
    if (narrowing != NULL)
        atomic_fetch_add_explicit(&narrowing->references, 1, memory_order_relaxed);
    return narrowing;
}

void narrowing_unref(struct narrowing *narrowing)
{
    if (narrowing == NULL || atomic_fetch_sub_explicit(&narrowing->references, 1, memory_order_acq_rel) != 1)
        return;
    free(narrowing->mcp);
    free(narrowing);
}

static bool host_fits(const struct narrow_host *host, const struct target *target)
{
    if (!host->wild)
        return target_same_host(&host->target, target);
    return target->kind == TARGET_NAME && hostname_is_below(&target->name, hostname_span(&host->target.name));
}

bool narrowing_has_host(const struct narrowing *narrowing, const struct target *target)
{
    if (narrowing->deny_all)
        return false;
    if (!narrowing->only_hosts)
        return true;
    for (size_t i = 0; i < narrowing->count; i++)
        if (host_fits(&narrowing->hosts[i], target))
            return true;
    return false;
}

bool narrowing_has_packages(const struct narrowing *narrowing)
{
    return !narrowing->no_packages;
}

bool narrowing_has_mcp(const struct narrowing *narrowing, const struct target *target)
{
    if (narrowing->no_mcp || !narrowing->only_mcp)
        return !narrowing->no_mcp;
    for (size_t i = 0; i < narrowing->mcp_count; i++)
        if (narrowing->mcp[i].port == target->port && target_same_host(&narrowing->mcp[i], target))
            return true;
    return false;
}

const struct limits *narrowing_limits(const struct narrowing *narrowing)
{
    static const struct limits none;
    return narrowing != NULL ? &narrowing->limits : &none;
}
