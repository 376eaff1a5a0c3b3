/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow: what one session leaves of its environment. It is asked after the environment's own rules and in addition to
 * them: what they refuse stays refused, whatever stands here. Immutable and counted; any thread.
 */
#ifndef POLICY_NARROW_H
#define POLICY_NARROW_H

#include "policy/limits.h"
#include "wire/target.h"

#define NARROWING_HOSTS_MAX 256
#define NARROWING_MCP_MAX   128

struct narrowing_spec {
    bool only_hosts;          /* nothing but `hosts`, which may be empty */
    const struct span *hosts; /* names, `*.` patterns and address literals (IPv6 in brackets), without ports */
    size_t host_count;
    bool no_package_managers; /* package groups allow nothing */
    bool no_mcp_servers;      /* MCP endpoints allow nothing */
    bool only_mcp;            /* of MCP endpoints nothing but `mcp`, host and port */
    const struct target *mcp;
    size_t mcp_count;
    bool deny_all;
    struct limits limits; /* of rows with the scope SESSION; 0: nothing is said */
};

struct narrowing;

/* Takes a copy of all that `spec` names. ERR_INVALID for a host that is none (*out_bad, may be NULL, says which),
 * ERR_TOO_BIG for too many, ERR_NO_MEMORY. */
MUST_CHECK enum err narrowing_new(const struct narrowing_spec *spec, size_t *out_bad, struct narrowing **out);
struct narrowing *narrowing_ref(struct narrowing *narrowing); /* NULL is allowed */
void narrowing_unref(struct narrowing *narrowing);            /* NULL is allowed */

/* May this host be asked for at all? */
bool narrowing_has_host(const struct narrowing *narrowing, const struct target *target);
/* May a package group allow anything? May an MCP endpoint with this host and port? */
bool narrowing_has_packages(const struct narrowing *narrowing);
bool narrowing_has_mcp(const struct narrowing *narrowing, const struct target *target);
/* What limits_narrow() takes. NULL is allowed and says nothing. */
const struct limits *narrowing_limits(const struct narrowing *narrowing);

#endif
