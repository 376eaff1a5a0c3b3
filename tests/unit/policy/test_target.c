/* SPDX-License-Identifier: Apache-2.0 */
/* Names, ports, methods: what the target stage says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>
#include <stdio.h>

#define LIMITED(hosts) "name: e\nconfig:\n  networking:\n    type: limited\n    allowed_hosts: " hosts "\n"

static const char fixture[] = LIMITED("[allowed.test, \"*.wild.test\"]");

/* What a wildcard and an exact name cover, and what only looks like them. */
static void test_matching(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {fixture, "connect", "allowed.test:443",               NULL, NULL, "allowed",             "allowed_hosts[0]"},
        {fixture, "connect", "ALLOWED.Test.:443",              NULL, NULL, "allowed",             "allowed_hosts[0]"},
        {fixture, "connect", "a.wild.test:443",                NULL, NULL, "allowed",             "allowed_hosts[1]"},
        {fixture, "connect", "a.b.c.wild.test:443",            NULL, NULL, "allowed",             "allowed_hosts[1]"},
        {fixture, "connect", "wild.test:443",                  NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "evilwild.test:443",              NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "xwild.test:443",                 NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "wild.test.attacker.test:443",    NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "allowed.test.attacker.test:443", NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "notallowed.test:443",            NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "sub.allowed.test:443",           NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "test:443",                       NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "localhost:443",                  NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "metadata.google.internal:443",   NULL, NULL, "host_not_allowed",    "default"         },
        {fixture, "connect", "11.22.33.44:443",                NULL, NULL, "literal_not_allowed", "default"         },
        {fixture, "connect", "127.0.0.1:443",                  NULL, NULL, "literal_not_allowed", "default"         },
        {fixture, "connect", "[2606:4700::1]:443",             NULL, NULL, "literal_not_allowed", "default"         },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* One decision, whatever the way in. */
static void test_doors(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {fixture, "http",    "allowed.test:80",  NULL, NULL, "allowed",          ""                    },
        {fixture, "socks5",  "allowed.test:443", NULL, NULL, "allowed",          ""                    },
        {fixture, "tls",     "allowed.test:443", NULL, NULL, "allowed",          ""                    },
        {fixture, "plain",   "allowed.test:80",  NULL, NULL, "allowed",          ""                    },
        {fixture, "connect", "allowed.test:80",  NULL, NULL, "port_not_allowed", "egress.ports.connect"},
        {fixture, "http",    "allowed.test:443", NULL, NULL, "port_not_allowed", "egress.ports.http"   },
        {fixture, "connect", "denied.test:443",  NULL, NULL, "host_not_allowed", "default"             },
        {fixture, "http",    "denied.test:80",   NULL, NULL, "host_not_allowed", "default"             },
        {fixture, "socks5",  "denied.test:443",  NULL, NULL, "host_not_allowed", "default"             },
        {fixture, "tls",     "denied.test:443",  NULL, NULL, "host_not_allowed", "default"             },
        {fixture, "plain",   "denied.test:80",   NULL, NULL, "host_not_allowed", "default"             },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

static const char empty_list[] = LIMITED("[]");
static const char no_list[] = "name: e\nconfig: {networking: {type: limited}}\n";

static void test_absence(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {empty_list, "connect", "allowed.test:443", NULL, NULL, "host_not_allowed",    "default"},
        {empty_list, "connect", "11.22.33.44:443",  NULL, NULL, "literal_not_allowed", "default"},
        {no_list,    "connect", "allowed.test:443", NULL, NULL, "host_not_allowed",    "default"},
        {no_list,    "http",    "allowed.test:80",  NULL, NULL, "host_not_allowed",    "default"},
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* Denials win, in any order and both modes; the port of a host that is not allowed is not spoken of. */
static const char denying[] =
    LIMITED("[\"*.wild.test\", both.test]") "egress:\n"
                                            "  denied_hosts: [both.test, \"*.bad.wild.test\", bad.wild.test]\n"
                                            "  hosts: [{host: x.bad.wild.test, ports: [443]}]\n";
static const char unrestricted[] = "name: e\nconfig: {networking: {type: unrestricted}}\n"
                                   "egress:\n  denied_hosts: [denied.test, \"*.denied.test\"]\n"
                                   "  hosts: [{host: own.test, ports: [9443]}]\n";

static void test_denials(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {denying,      "connect", "both.test:443",         NULL, NULL, "host_denied",      "egress.denied_hosts[0]"},
        {denying,      "connect", "x.bad.wild.test:443",   NULL, NULL, "host_denied",      "egress.denied_hosts[1]"},
        {denying,      "connect", "bad.wild.test:443",     NULL, NULL, "host_denied",      "egress.denied_hosts[2]"},
        {denying,      "connect", "bad.wild.test:22",      NULL, NULL, "port_not_allowed", "egress.blocked_ports"  },
        {denying,      "connect", "good.wild.test:443",    NULL, NULL, "allowed",          "allowed_hosts[0]"      },
        {denying,      "connect", "good.wild.test:22",     NULL, NULL, "port_not_allowed", "egress.blocked_ports"  },
        {denying,      "connect", "other.test:22",         NULL, NULL, "port_not_allowed", "egress.blocked_ports"  },
        {unrestricted, "connect", "any.test:443",          NULL, NULL, "allowed",          "unrestricted"          },
        {unrestricted, "connect", "any.test:8443",         NULL, NULL, "allowed",          "unrestricted"          },
        {unrestricted, "http",    "any.test:8080",         NULL, NULL, "allowed",          "unrestricted"          },
        {unrestricted, "connect", "any.test:5432",         NULL, NULL, "port_not_allowed", "egress.blocked_ports"  },
        {unrestricted, "connect", "denied.test:443",       NULL, NULL, "host_denied",      "egress.denied_hosts[0]"},
        {unrestricted, "connect", "a.b.denied.test:443",   NULL, NULL, "host_denied",      "egress.denied_hosts[1]"},
        {unrestricted, "connect", "own.test:9443",         NULL, NULL, "allowed",          "egress.hosts[0]"       },
        {unrestricted, "connect", "own.test:443",          NULL, NULL, "port_not_allowed", "egress.hosts[0]"       },
        {unrestricted, "connect", "11.22.33.44:443",       NULL, NULL, "allowed",          "unrestricted"          },
        {unrestricted, "connect", "[::ffff:b16:212c]:443", NULL, NULL, "literal_not_allowed", "builtin.addresses"  },
        {unrestricted, "connect", "localhost:443",         NULL, NULL, "host_denied",      "builtin.names[0]"      },
        {unrestricted, "connect", "a.localhost:443",       NULL, NULL, "host_denied",      "builtin.names[1]"      },
        {unrestricted, "connect", "metadata.google.internal:80", NULL, NULL, "host_denied", ""                     },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* A literal is a rule of its own: only the address that is listed, in no other spelling, and never a name. */
static const char literals[] =
    LIMITED("[11.22.33.44, \"2606:4700::1\"]") "egress:\n"
                                               "  hosts: [{host: 11.22.33.45, ports: [8443]}]\n";

static void test_literals(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {literals, "connect", "11.22.33.44:443",       NULL, NULL, "allowed",             "allowed_hosts[0]" },
        {literals, "socks5",  "11.22.33.44:443",       NULL, NULL, "allowed",             "allowed_hosts[0]" },
        {literals, "http",    "11.22.33.44:80",        NULL, NULL, "allowed",             "allowed_hosts[0]" },
        {literals, "connect", "[2606:4700::1]:443",    NULL, NULL, "allowed",             "allowed_hosts[1]" },
        {literals, "connect", "[2606:4700::2]:443",    NULL, NULL, "literal_not_allowed", "default"          },
        {literals, "connect", "11.22.33.43:443",       NULL, NULL, "literal_not_allowed", "default"          },
        {literals, "connect", "11.22.33.45:8443",      NULL, NULL, "allowed",             "egress.hosts[0]"  },
        {literals, "connect", "11.22.33.45:443",       NULL, NULL, "port_not_allowed",    "egress.hosts[0]"  },
        {literals, "connect", "[::ffff:b16:212c]:443", NULL, NULL, "literal_not_allowed", ""                 },
        {literals, "connect", "11.22.33.44:22",        NULL, NULL, "port_not_allowed",    "egress.blocked_ports"},
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* ---- ports ---- */

static const char own_ports[] =
    LIMITED("[plain.test, exact.low.test, \"*.low.test\"]") "egress:\n"
                                                            "  ports: {connect: [443, 8443], http: [80, 8080]}\n"
                                                            "  blocked_ports: [9000]\n"
                                                            "  hosts:\n"
                                                            "    - {host: \"*.low.test\", ports: [1000]}\n"
                                                            "    - {host: \"*.very.low.test\", ports: [2000]}\n"
                                                            "    - {host: exact.very.low.test, ports: [3000, 9000]}\n"
                                                            "    - {host: none.test, ports: []}\n";

static void test_ports(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {own_ports, "connect", "plain.test:8443",           NULL, NULL, "allowed",          "allowed_hosts[0]"     },
        {own_ports, "http",    "plain.test:8080",           NULL, NULL, "allowed",          "allowed_hosts[0]"     },
        {own_ports, "connect", "plain.test:8080",           NULL, NULL, "port_not_allowed", "egress.ports.connect" },
        {own_ports, "connect", "plain.test:1000",           NULL, NULL, "port_not_allowed", "egress.ports.connect" },
        {own_ports, "connect", "exact.low.test:1000",       NULL, NULL, "allowed",          "allowed_hosts[1]"     },
        {own_ports, "http",    "exact.low.test:1000",       NULL, NULL, "allowed",          "allowed_hosts[1]"     },
        {own_ports, "connect", "exact.low.test:443",        NULL, NULL, "port_not_allowed", "egress.hosts[0]"      },
        {own_ports, "connect", "a.low.test:1000",           NULL, NULL, "allowed",          "egress.hosts[0]"      },
        {own_ports, "connect", "a.very.low.test:2000",      NULL, NULL, "allowed",          "egress.hosts[1]"      },
        {own_ports, "connect", "a.very.low.test:1000",      NULL, NULL, "port_not_allowed", "egress.hosts[1]"      },
        {own_ports, "connect", "exact.very.low.test:3000",  NULL, NULL, "allowed",          "egress.hosts[2]"      },
        {own_ports, "connect", "exact.very.low.test:2000",  NULL, NULL, "port_not_allowed", "egress.hosts[2]"      },
        {own_ports, "connect", "exact.very.low.test:9000",  NULL, NULL, "port_not_allowed", "egress.blocked_ports" },
        {own_ports, "connect", "exact.very.low.test:22",    NULL, NULL, "port_not_allowed", "egress.blocked_ports" },
        {own_ports, "connect", "none.test:443",             NULL, NULL, "port_not_allowed", "egress.hosts[3]"      },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

static const char replaced[] = LIMITED("[plain.test]") "egress:\n"
                                                       "  ports: {connect: [22, 25]}\n"
                                                       "  blocked_ports: [25]\n"
                                                       "  blocked_ports_replace: true\n";
static const char odd_ports[] = LIMITED("[allowed.test]");

static void test_blocked(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {replaced,  "connect", "plain.test:22",     NULL, NULL, "allowed",          "allowed_hosts[0]"    },
        {replaced,  "connect", "plain.test:25",     NULL, NULL, "port_not_allowed", "egress.blocked_ports"},
        {replaced,  "http",    "plain.test:80",     NULL, NULL, "allowed",          ""                    },
        {odd_ports, "connect", "allowed.test:22",   NULL, NULL, "port_not_allowed", "egress.blocked_ports"},
        {odd_ports, "connect", "allowed.test:25",   NULL, NULL, "port_not_allowed", "egress.ports.connect"},
        {odd_ports, "connect", "allowed.test:53",   NULL, NULL, "port_not_allowed", ""                    },
        {odd_ports, "connect", "allowed.test:853",  NULL, NULL, "port_not_allowed", ""                    },
        {odd_ports, "connect", "allowed.test:3306", NULL, NULL, "port_not_allowed", "egress.blocked_ports"},
        {odd_ports, "connect", "allowed.test:8080", NULL, NULL, "port_not_allowed", ""                    },
        {odd_ports, "connect", "allowed.test:8443", NULL, NULL, "port_not_allowed", ""                    },
        {odd_ports, "connect", "allowed.test:9090", NULL, NULL, "port_not_allowed", ""                    },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* ---- methods ---- */

static const char methods[] = LIMITED("[plain.test]") "egress:\n"
                                                      "  methods: [GET, POST]\n"
                                                      "  hosts: [{host: read.test, methods: [GET, HEAD]}]\n";

static void test_methods(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {methods, "http:GET",     "plain.test:80",  NULL, NULL, "allowed",            ""               },
        {methods, "http:POST",    "plain.test:80",  NULL, NULL, "allowed",            ""               },
        {methods, "plain:POST",   "plain.test:80",  NULL, NULL, "allowed",            ""               },
        {methods, "http:PUT",     "plain.test:80",  NULL, NULL, "method_not_allowed", "egress.methods" },
        {methods, "http:TRACE",   "plain.test:80",  NULL, NULL, "method_not_allowed", "egress.methods" },
        {methods, "http:CONNECT", "plain.test:80",  NULL, NULL, "method_not_allowed", "egress.methods" },
        {methods, "http:BREW",    "plain.test:80",  NULL, NULL, "method_unknown",     "egress.methods" },
        {methods, "http:HEAD",    "read.test:80",   NULL, NULL, "allowed",            "egress.hosts[0]"},
        {methods, "http:POST",    "read.test:80",   NULL, NULL, "method_not_allowed", "egress.hosts[0]"},
        {methods, "connect",      "read.test:443",  NULL, NULL, "allowed",            ""               },
        {methods, "connect:GET",  "plain.test:443", NULL, NULL, "method_not_allowed", ""               },
        /* the first stage that refuses names the reason: method, then host, then port */
        {methods, "http:PUT",     "other.test:80",  NULL, NULL, "method_not_allowed", ""               },
        {fixture, "http:DELETE",  "allowed.test:80", NULL, NULL, "allowed",           ""               },
        {fixture, "http:TRACE",   "allowed.test:80", NULL, NULL, "method_not_allowed", ""              },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* ---- MCP endpoints and package groups ---- */

#define MCP(toggle)                                                                                                    \
    "name: e\nconfig: {networking: {type: limited, allow_mcp_servers: " toggle "}}\n"                                  \
    "egress:\n"                                                                                                        \
    "  mcp_servers:\n"                                                                                                 \
    "    - {type: url, name: a, url: \"https://mcp.test/data\"}\n"                                                     \
    "    - {type: url, name: b, url: \"http://mcp.test:8080\"}\n"                                                      \
    "    - {type: url, name: c, url: \"HTTPS://Other.Test.:9443/x?y#z\"}\n"                                            \
    "    - {type: url, name: d, url: \"https://11.22.33.44:7443/\"}\n"                                                 \
    "    - {type: url, name: e, url: \"https://ssh.test:22/\"}\n"                                                      \
    "  hosts: [{host: entry.test, ports: [1]}]\n"

static const char mcp_open[] = MCP("true");
static const char mcp_closed[] = MCP("false");

static void test_mcp(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {mcp_open,   "connect", "mcp.test:443",      NULL, NULL, "allowed",          "egress.mcp_servers[0]"},
        {mcp_open,   "http",    "mcp.test:8080",     NULL, NULL, "allowed",          "egress.mcp_servers[0]"},
        {mcp_open,   "connect", "mcp.test:8080",     NULL, NULL, "allowed",          "egress.mcp_servers[0]"},
        {mcp_open,   "connect", "mcp.test:9443",     NULL, NULL, "port_not_allowed", "egress.mcp_servers[0]"},
        {mcp_open,   "http",    "mcp.test:80",       NULL, NULL, "port_not_allowed", "egress.mcp_servers[0]"},
        {mcp_open,   "connect", "other.test:9443",   NULL, NULL, "allowed",          "egress.mcp_servers[2]"},
        {mcp_open,   "connect", "other.test:443",    NULL, NULL, "port_not_allowed", "egress.mcp_servers[2]"},
        {mcp_open,   "connect", "a.mcp.test:443",    NULL, NULL, "host_not_allowed", "default"              },
        {mcp_open,   "connect", "11.22.33.44:7443",  NULL, NULL, "allowed",          "egress.mcp_servers[3]"},
        {mcp_open,   "connect", "11.22.33.44:443",   NULL, NULL, "port_not_allowed", "egress.mcp_servers[3]"},
        {mcp_open,   "connect", "ssh.test:22",       NULL, NULL, "port_not_allowed", "egress.blocked_ports" },
        {mcp_closed, "connect", "mcp.test:443",      NULL, NULL, "host_not_allowed", "default"              },
        {mcp_closed, "connect", "11.22.33.44:7443",  NULL, NULL, "literal_not_allowed", "default"           },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* An entry's ports hold by every way in; the endpoint adds its own. */
static const char mcp_entry[] = "name: e\nconfig: {networking: {type: limited, allow_mcp_servers: true}}\n"
                                "egress:\n"
                                "  mcp_servers: [{type: url, name: a, url: \"https://mcp.test:8443/\"}]\n"
                                "  hosts: [{host: mcp.test, ports: [9443]}]\n";

static void test_mcp_adds_its_port(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {mcp_entry, "connect", "mcp.test:8443", NULL, NULL, "allowed",          "egress.mcp_servers[0]"},
        {mcp_entry, "connect", "mcp.test:9443", NULL, NULL, "allowed",          "egress.hosts[0]"      },
        {mcp_entry, "connect", "mcp.test:443",  NULL, NULL, "port_not_allowed", "egress.hosts[0]"      },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

#define PACKAGES(rest)                                                                                                 \
    "name: e\nconfig:\n  networking: {type: limited, allow_package_managers: true}\n"                                  \
    "  packages: {type: packages, pip: [pandas], npm: [], apt: [jq]}\n"                                                \
    "egress:\n  package_managers: " rest "\n  ports: {connect: [443, 8443]}\n"

static const char compat[] = PACKAGES("{mode: compat}");
static const char by_default[] = "name: e\nconfig:\n  networking: {type: limited, allow_package_managers: true}\n";
static const char read_only[] = PACKAGES("{mode: read_only}");
static const char declared[] = PACKAGES("{mode: declared}");
static const char one_group[] = PACKAGES("{mode: compat, groups: [python]}");
static const char with_entry[] = PACKAGES("{mode: compat}") "  hosts: [{host: pypi.org, ports: [9443]}]\n";

static void test_packages(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {compat, "connect", "pypi.org:443", NULL, NULL, "allowed", "package_managers.python[0]"},
        {compat, "http", "pypi.org:80", NULL, NULL, "allowed", "package_managers.python[0]"},
        {compat, "connect", "pypi.org:8443", NULL, NULL, "port_not_allowed", "package_managers.python[0]"},
        {compat, "connect", "pypi.org:80", NULL, NULL, "port_not_allowed", "" },
        {compat, "connect", "github.com:443", NULL, NULL, "allowed", "package_managers.code-hosts[0]"},
        {compat, "connect", "huggingface.co:443", NULL, NULL, "host_not_allowed", "default" },
        {by_default, "connect", "crates.io:443", NULL, NULL, "allowed", "package_managers.rust-compat[0]"},
        {read_only, "connect", "pypi.org:443", NULL, NULL, "allowed", "" },
        {read_only, "connect", "crates.io:443", NULL, NULL, "host_not_allowed", "" },
        {read_only, "connect", "github.com:443", NULL, NULL, "host_not_allowed", "" },
        {declared, "connect", "pypi.org:443", NULL, NULL, "allowed", "" },
        {declared, "http", "archive.ubuntu.com:80", NULL, NULL, "allowed", "" },
        {declared, "connect", "index.crates.io:443", NULL, NULL, "host_not_allowed", "" },
        {one_group, "connect", "pypi.org:443", NULL, NULL, "allowed", "" },
        {one_group, "connect", "github.com:443", NULL, NULL, "host_not_allowed", "" },
        {with_entry, "connect", "pypi.org:9443", NULL, NULL, "allowed", "egress.hosts[0]" },
        {with_entry, "connect", "pypi.org:443", NULL, NULL, "port_not_allowed", "egress.hosts[0]" },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* Names below a domain whose hosts are written as patterns alone: the label goes where the star stood. */
static void test_package_patterns(void **state)
{
    (void)state;
    static const char npm[] = "*.npmjs.org", debian[] = "*.debian.org";
    static const struct {
        const char *policy, *door, *label, *pattern, *port, *reason, *rule;
    } rows[] = {
  /* clang-format off */
        {compat, "connect", "x.", npm, "443", "allowed", "package_managers.node[0]"},
        {compat, "connect", "", npm, "443", "host_not_allowed", "default"},
        {compat, "connect", "x.", debian, "443", "host_not_allowed", "default"},
        {read_only, "connect", "x.", npm, "443", "host_not_allowed", ""},
        {declared, "connect", "x.", npm, "443", "host_not_allowed", ""},
        {read_only, "http", "x.", debian, "80", "allowed", "package_managers.apt-debian[0]"},
        {read_only, "http", "x.y.", debian, "80", "allowed", ""},
        {read_only, "http", "salsa.", debian, "80", "host_not_allowed", "default"},
        {read_only, "http", "a.salsa.", debian, "80", "host_not_allowed", "default"},
        {read_only, "http", "xsalsa.", debian, "80", "allowed", ""},
  /* clang-format on */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char target[80];
        snprintf(target, sizeof target, "%s%s:%s", rows[i].label, rows[i].pattern + 2, rows[i].port);
        struct policy_case row = {rows[i].policy, rows[i].door, target, NULL, NULL, rows[i].reason, rows[i].rule};
        cases_run(&row, 1);
    }
}

/* ---- patterns ---- */

static const char patterns[] =
    LIMITED("[exact.test]") "egress:\n"
                            "  host_patterns:\n"
                            "    allow: ['api-[0-9]+\\.pat\\.test', '(a+)+b\\.slow\\.test']\n"
                            "    deny: ['.*\\.SECRET\\.test', '(x+x+)+y\\.err\\.test|never']\n";
static const char deny_patterns[] = "name: e\nconfig: {networking: {type: unrestricted}}\n"
                                    "egress: {host_patterns: {deny: ['(a+)+b\\.slow\\.test']}}\n";

static void test_patterns(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {patterns, "connect", "api-17.pat.test:443", NULL, NULL, "allowed", "egress.host_patterns.allow[0]"},
        {patterns, "connect", "api-17.pat.test:22", NULL, NULL, "port_not_allowed", "egress.blocked_ports" },
        {patterns, "connect", "xapi-17.pat.test:443", NULL, NULL, "host_not_allowed", "default" },
        {patterns, "connect", "api-17.pat.test.x:443", NULL, NULL, "host_not_allowed", "default" },
        {patterns, "connect", "api-x.pat.test:443", NULL, NULL, "host_not_allowed", "default" },
        {patterns, "connect", "a.secret.test:443", NULL, NULL, "host_denied", "egress.host_patterns.deny[0]" },
        {patterns, "connect", "exact.test:443", NULL, NULL, "allowed", "allowed_hosts[0]" },
        /* running out of steps is a refusal, for what would allow and for what would deny */
        {patterns, "connect", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.slow.test:443", NULL, NULL, "host_not_allowed",
         "egress.host_patterns.allow[1]"},
        {deny_patterns, "connect", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.slow.test:443", NULL, NULL, "host_denied",
         "egress.host_patterns.deny[0]"},
        {deny_patterns, "connect", "fine.test:443", NULL, NULL, "allowed", "unrestricted" },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

/* A Unicode entry is the A-label; a request speaks A-labels alone. */
static const char idn[] = LIMITED("[\"b\xc3\xbc"
                                  "cher.test\", \"*.stra\xc3\x9f"
                                  "e.test\", \"Secret.Wild.Test.\"]");

static void test_idn(void **state)
{
    (void)state;
    static const struct policy_case rows[] = {
  /* clang-format off */
        {idn, "connect", "xn--bcher-kva.test:443",     NULL, NULL, "allowed",          "allowed_hosts[0]"},
        {idn, "connect", "a.xn--strae-oqa.test:443",   NULL, NULL, "allowed",          "allowed_hosts[1]"},
        {idn, "connect", "a.strasse.test:443",         NULL, NULL, "host_not_allowed", "default"         },
        {idn, "connect", "secret.wild.test:443",       NULL, NULL, "allowed",          "allowed_hosts[2]"},
        {idn, "connect", "xn--99999999.test:443",      NULL, NULL, "host_not_allowed", "default"         },
  /* clang-format on */
    };
    CASES_RUN(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching), cmocka_unit_test(test_doors),
        cmocka_unit_test(test_absence),  cmocka_unit_test(test_denials),
        cmocka_unit_test(test_literals), cmocka_unit_test(test_ports),
        cmocka_unit_test(test_blocked),  cmocka_unit_test(test_methods),
        cmocka_unit_test(test_mcp),      cmocka_unit_test(test_mcp_adds_its_port),
        cmocka_unit_test(test_packages), cmocka_unit_test(test_package_patterns),
        cmocka_unit_test(test_patterns), cmocka_unit_test(test_idn),
    };
    return cmocka_run_group_tests_name("policy: the target stage", tests, NULL, NULL);
}
