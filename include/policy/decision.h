/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decision: what a policy answered, a plain value without owned pointers. Zero is deny: a decision that nobody filled
 * refuses.
 */
#ifndef POLICY_DECISION_H
#define POLICY_DECISION_H

#include "wire/reason.h"

enum verdict { VERDICT_DENY = 0, VERDICT_ALLOW = 1 };

/* Where in the life of an attempt something was decided; the order is that of docs/life-of-a-connect.md. */
/* clang-format off */
#define STAGE_TABLE(X)      \
    X(NONE, "none")         \
    X(SYNTAX, "syntax")     \
    X(IDENTITY, "identity") \
    X(LIMITS, "limits")     \
    X(TARGET, "target")     \
    X(BUDGET, "budget")     \
    X(AUDIT, "audit")       \
    X(RESOLVE, "resolve")   \
    X(ADDRESS, "address")   \
    X(DIAL, "dial")         \
    X(HELLO, "hello")       \
    X(RELAY, "relay")
/* clang-format on */

enum stage {
#define X(id, text) STAGE_##id,
    STAGE_TABLE(X)
#undef X
};

/* As records and `explain` say it. */
const char *stage_text(enum stage stage);

/* What kind of line decided. The id that a record carries is made by policy_rule(). */
/* clang-format off */
#define RULE_TABLE(X)                        \
    X(DEFAULT, "default")                    \
    X(ALLOWED_HOST, "allowed_hosts")         \
    X(HOST_ENTRY, "egress.hosts")            \
    X(MCP_SERVER, "egress.mcp_servers")      \
    X(PACKAGE_GROUP, "package_managers")     \
    X(ALLOWED_FILE, "egress.allowed_host_files") \
    X(PATTERN, "egress.host_patterns")       \
    X(UNRESTRICTED, "unrestricted")          \
    X(DENIED_HOST, "egress.denied_hosts")    \
    X(BLOCKLIST, "egress.blocklist")         \
    X(BUILTIN_NAME, "builtin.names")         \
    X(BLOCKED_PORT, "egress.blocked_ports")  \
    X(PORTS, "egress.ports")                 \
    X(METHODS, "egress.methods")             \
    X(BUILTIN_ADDRESS, "builtin.addresses")  \
    X(PRIVATE_NETWORK, "egress.private_networks") \
    X(PIN, "egress.hosts.addresses")         \
    X(TLS, "egress.tls")                     \
    X(SYNTAX, "syntax")                      \
    X(LIMIT, "egress.limits")                \
    X(SESSION, "session")
/* clang-format on */

enum rule_kind {
#define X(id, text) RULE_##id,
    RULE_TABLE(X)
#undef X
};

/* As records and `explain` say it. */
const char *rule_kind_text(enum rule_kind kind);

struct rule_ref {
    enum rule_kind kind;
    uint32_t index; /* meaning is the policy's own */
};

struct decision {
    enum verdict verdict;
    enum reason reason; /* REASON_ALLOWED with VERDICT_ALLOW */
    enum reason
        observed; /* allowed only because the environment observes: what enforcing would say; else REASON_NONE */
    enum stage stage;
    struct rule_ref rule;
    uint64_t generation; /* of the book that answered */
};

#endif
