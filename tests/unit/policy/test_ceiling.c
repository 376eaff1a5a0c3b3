/* SPDX-License-Identifier: Apache-2.0 */
/* What an environment may not open although it says so: its ceiling does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/config.h"

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *ceiling, *ceiling_egress;         /* inside {…} */
    const char *environment, *environment_egress; /* the same */
    const char *exceeds;                          /* part of the finding; NULL: it fits */
};

#define LIMITED "type: limited"
#define A_TEST  "type: limited, allowed_hosts: [a.test]"
#define WILD_B  "type: limited, allowed_hosts: ['*.b.test']"
#define OPEN    "type: unrestricted"

static const struct row rows[] = {
  /* clang-format off */
    /* names */
    {LIMITED, "", LIMITED, "", NULL},
    {A_TEST, "", A_TEST, "", NULL},
    {A_TEST, "", LIMITED, "", NULL},
    {LIMITED, "", A_TEST, "", "a.test port 443 (CONNECT) by allowed_hosts[0]"},
    {WILD_B, "", "type: limited, allowed_hosts: [x.b.test, y.x.b.test, '*.y.b.test']", "", NULL},
    {WILD_B, "", "type: limited, allowed_hosts: [b.test]", "", "b.test port 443"},
    {A_TEST, "", "type: limited, allowed_hosts: ['*.a.test']", "", "*.a.test port 443"},
    {WILD_B, "", "type: limited, allowed_hosts: ['*.b.test', c.test]", "", "c.test port 443 (CONNECT) by allowed_hosts[1]"},
    {WILD_B, "denied_hosts: [evil.b.test]", WILD_B, "", "evil.b.test port 443 (CONNECT) by allowed_hosts[0]"},
    {WILD_B, "denied_hosts: [evil.b.test]", WILD_B, "denied_hosts: [evil.b.test]", NULL},
    {WILD_B, "denied_hosts: [evil.b.test]", WILD_B, "denied_hosts: ['*.b.test']", NULL},
    {WILD_B, "denied_hosts: ['*.evil.b.test']", WILD_B, "denied_hosts: [evil.b.test]", "*.evil.b.test port"},
    {"type: limited, allowed_hosts: [1.2.3.4]", "", "type: limited, allowed_hosts: [1.2.3.4]", "", NULL},
    {A_TEST, "", "type: limited, allowed_hosts: [1.2.3.4]", "", "1.2.3.4 port 443"},
    /* modes */
    {OPEN, "", A_TEST, "", NULL},
    {OPEN, "", OPEN, "", NULL},
    {A_TEST, "", OPEN, "", "every name port"},
    {OPEN, "denied_hosts: [evil.test]", OPEN, "", "evil.test port"},
    {OPEN, "denied_hosts: [evil.test]", OPEN, "denied_hosts: [evil.test, more.test]", NULL},
    {OPEN, "denied_hosts: [evil.test]", "type: limited, allowed_hosts: [evil.test]", "", "evil.test port 443"},
    /* ports and methods */
    {A_TEST, "", A_TEST, "ports: {connect: [443, 8443]}", "a.test port 8443 (CONNECT)"},
    {A_TEST, "ports: {connect: [443, 8443]}", A_TEST, "ports: {connect: [8443]}", NULL},
    {A_TEST, "", A_TEST, "ports: {http: [8080]}", "a.test port 8080 (HTTP)"},
    {A_TEST, "", LIMITED, "hosts: [{host: a.test, ports: [1]}]", "a.test port 1 (CONNECT) by egress.hosts[0]"},
    {LIMITED, "hosts: [{host: a.test, ports: [1]}]", LIMITED, "hosts: [{host: a.test, ports: [1]}]", NULL},
    {LIMITED, "hosts: [{host: a.test, ports: [1]}]", A_TEST, "", "a.test port"},
    {OPEN, "", OPEN, "blocked_ports: [], blocked_ports_replace: true", "every name port 5432"},
    {OPEN, "blocked_ports: [25]", OPEN, "", "port 25"},
    {OPEN, "blocked_ports: [25]", OPEN, "blocked_ports: [25, 26]", NULL},
    {A_TEST, "methods: [GET]", A_TEST, "", "a method of a.test"},
    {A_TEST, "methods: [GET]", A_TEST, "methods: [GET]", NULL},
    {A_TEST, "methods: [GET]", A_TEST, "methods: [POST]", "a method of a.test"},
    {A_TEST, "", LIMITED, "hosts: [{host: a.test, methods: [GET]}]", NULL},
    /* groups and endpoints */
    {LIMITED, "", "type: limited, allow_package_managers: true", "", "package_managers."},
    {"type: limited, allow_package_managers: true", "", "type: limited, allow_package_managers: true", "", NULL},
    {"type: limited, allow_package_managers: true", "package_managers: {mode: read_only}",
     "type: limited, allow_package_managers: true", "", "package_managers."},
    {"type: limited, allow_package_managers: true", "", "type: limited, allow_package_managers: true",
     "package_managers: {groups: [node]}", NULL},
    {A_TEST, "", "type: limited, allow_mcp_servers: true",
     "mcp_servers: [{type: url, name: m, url: 'https://m.test/'}]", "m.test port 443 (CONNECT) by egress.mcp_servers[0]"},
    {A_TEST, "", "type: limited, allow_mcp_servers: true",
     "mcp_servers: [{type: url, name: m, url: 'https://a.test/'}]", NULL},
    /* TLS */
    {A_TEST, "", A_TEST, "tls: {sni: optional}", "tls.sni of a.test"},
    {A_TEST, "", A_TEST, "tls: {ech: outer}", "tls.ech of a.test"},
    {A_TEST, "", LIMITED, "hosts: [{host: a.test, tls: {non_tls: allow}}]", "tls.non_tls of a.test"},
    {A_TEST, "tls: {sni: optional}", A_TEST, "tls: {sni: optional}", NULL},
    {LIMITED, "hosts: [{host: a.test, tls: {non_tls: allow}}]", LIMITED,
     "hosts: [{host: a.test, tls: {non_tls: allow}}]", NULL},
    {OPEN, "tls: {non_tls: refuse}", OPEN, "", "tls.non_tls"},
    {OPEN, "", A_TEST, "tls: {sni: optional, ech: outer}", NULL},
    /* addresses */
    {A_TEST, "", A_TEST, "private_networks: [10.0.0.0/8]", "a private network"},
    {A_TEST, "private_networks: [10.0.0.0/8]", A_TEST, "private_networks: [10.1.0.0/16]", NULL},
    {A_TEST, "private_networks: [10.1.0.0/16]", A_TEST, "private_networks: [10.0.0.0/8]", "a private network"},
    {A_TEST, "", LIMITED, "hosts: [{host: a.test, addresses: [10.0.0.1]}]", "what a.test may resolve to"},
    {A_TEST, "private_networks: [10.0.0.0/8]", LIMITED, "hosts: [{host: a.test, addresses: [10.0.0.1]}]", NULL},
    {A_TEST, "", LIMITED, "hosts: [{host: a.test, addresses: [9.9.9.0/24]}]", NULL},
    {A_TEST, "", LIMITED, "hosts: [{host: a.test, addresses: [127.0.0.1], ports: [443]}]", "what a.test may resolve to"},
    {LIMITED, "hosts: [{host: a.test, addresses: [10.0.0.0/24]}]", A_TEST, "", "what a.test may resolve to"},
    {LIMITED, "hosts: [{host: a.test, addresses: [10.0.0.0/24]}]", LIMITED,
     "hosts: [{host: a.test, addresses: [10.0.0.7]}]", NULL},
    {LIMITED, "hosts: [{host: a.test, addresses: [10.0.0.0/24]}]", LIMITED,
     "hosts: [{host: a.test, addresses: [10.0.1.7]}]", "what a.test may resolve to"},
    {A_TEST, "", A_TEST, "nat64: '64:ff9b::/96'", "a NAT64 prefix"},
    {A_TEST, "nat64: '64:ff9b::/96'", A_TEST, "nat64: '64:ff9b::/96'", NULL},
    /* regular expressions */
    {A_TEST, "", LIMITED, "host_patterns: {allow: ['a[0-9]\\.test']}", "a regular expression"},
    {LIMITED, "host_patterns: {allow: ['a[0-9]\\.test']}", LIMITED, "host_patterns: {allow: ['a[0-9]\\.test']}", NULL},
    {LIMITED, "host_patterns: {allow: ['a[0-9]\\.test']}", LIMITED,
     "host_patterns: {allow: ['a[0-9]\\.test']}, ports: {connect: [8443]}", "wider ports"},
    {LIMITED, "host_patterns: {allow: ['a[0-9]\\.test']}, denied_hosts: ['*.evil.test']", LIMITED,
     "host_patterns: {allow: ['a[0-9]\\.test']}", "denied there and not here"},
    {A_TEST, "host_patterns: {deny: ['b.*']}", A_TEST, "", "without this deny pattern"},
    {A_TEST, "host_patterns: {deny: ['b.*']}", A_TEST, "host_patterns: {deny: ['b.*']}", NULL},
    /* limits: those that the ceiling names */
    {A_TEST, "limits: {tunnels: 100}", A_TEST, "", "egress.limits.tunnels"},
    {A_TEST, "limits: {tunnels: 100}", A_TEST, "limits: {tunnels: 101}", "egress.limits.tunnels"},
    {A_TEST, "limits: {tunnels: 100}", A_TEST, "limits: {tunnels: 100}", NULL},
    {A_TEST, "limits: {tunnels: 100}", A_TEST, "limits: {tunnels: 1, idle: 5h}", NULL},
    {A_TEST, "limits: {idle: 1h}", A_TEST, "limits: {idle: 61m}", "egress.limits.idle"},
  /* clang-format on */
};

static enum err load(const struct row *row, struct diag *diag, struct policy **out)
{
    char text[4096];
    struct config *config = NULL;
    snprintf(text, sizeof text,
             "listeners: [{listen: 127.0.0.1:0}]\n"
             "ceiling:\n"
             "  networking: {%s}\n"
             "  egress: {%s}\n"
             "environments:\n"
             "  - environment:\n"
             "      name: e\n"
             "      config: {networking: {%s}}\n"
             "      egress: {%s}\n",
             row->ceiling, row->ceiling_egress, row->environment, row->environment_egress);
    enum err err = config_load_text("gw.yaml", span_text(text), false, diag, &config);
    if (err != ERR_NONE)
        return err;
    err = policy_load(&config->environments[0].sources, diag, out);
    config_free(config);
    return err;
}

static bool says(const struct diag *diag, const char *part)
{
    for (size_t i = 0; i < diag->count; i++) {
        const struct finding *f = &diag->items[i];
        if (f->severity == SEVERITY_ERROR && strcmp(f->code, "ceiling") == 0 && strstr(f->message, part) != NULL)
            return strstr(f->message, "exceeds the ceiling in gw.yaml:") != NULL && f->line <= 9;
    }
    return false;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct diag diag;
        struct policy *policy = NULL;
        diag_init(&diag);
        enum err err = load(&rows[i], &diag, &policy);
        bool good = rows[i].exceeds == NULL ? err == ERR_NONE : err == ERR_INVALID && says(&diag, rows[i].exceeds);
        if (!good)
            print_error("row %zu: {%s} {%s} above {%s} {%s}: wanted %s\n", i, rows[i].ceiling, rows[i].ceiling_egress,
                        rows[i].environment, rows[i].environment_egress,
                        rows[i].exceeds == NULL ? "nothing" : rows[i].exceeds);
        for (size_t j = 0; !good && j < diag.count; j++)
            print_error("  %u:%u %s: %s\n", diag.items[j].line, diag.items[j].column, diag.items[j].code,
                        diag.items[j].message);
        assert_true(good);
        policy_unref(policy);
        diag_clear(&diag);
    }
}

/* Both lines are said: where it stands, and what it exceeds. */
static void test_lines(void **state)
{
    (void)state;
    static const struct row row = {WILD_B, "denied_hosts: [evil.b.test]", WILD_B, "", ""};
    struct diag diag;
    struct policy *policy = NULL;
    diag_init(&diag);
    assert_int_equal(load(&row, &diag, &policy), ERR_INVALID);
    assert_int_equal(diag.errors, 1);
    assert_string_equal(diag.items[0].file, "gw.yaml");
    assert_int_equal(diag.items[0].line, 8);
    assert_non_null(strstr(diag.items[0].message, "exceeds the ceiling in gw.yaml:4"));
    assert_non_null(strstr(diag.items[0].fix, "allow it in the ceiling"));
    diag_clear(&diag);
}

/* A fault of the ceiling itself stands at its own line, wherever its block begins. */
static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *text, *code;
        uint32_t line;
    } faults[] = {
  /* clang-format off */
        {"ceiling: {networking: {type: limited, alowed_hosts: []}}\n", "unknown_key", 1},
        {"ceiling:\n networking:\n  type: limited\n  allowed_hosts: ['*.com']\n", "public_suffix", 4},
        {"ceiling:\n    networking:\n        allowed_hosts: [a.test]\n", "networking_type", 3},
        {"ceiling: {networking: {type: limited}, egress: {limits: {idle: 5}}}\n", "wrong_type", 1},
        {"ceiling: {networking: {type: limited}, limits: {}}\n", "unknown_key", 1},
        {"ceiling: {egress: {}}\n", "missing_key", 1},
        {"ceiling: {networking: limited}\n", "wrong_type", 1},
        {"ceiling: []\n", "missing_key", 1},
  /* clang-format on */
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char text[1024];
        struct diag diag;
        struct config *config = NULL;
        diag_init(&diag);
        snprintf(text, sizeof text, "%slisteners: [{listen: 127.0.0.1:0}]\nenvironments: [{file: a}]\n",
                 faults[i].text);
        assert_int_equal(config_load_text("gw.yaml", span_text(text), false, &diag, &config), ERR_INVALID);
        bool found = false;
        for (size_t j = 0; j < diag.count; j++)
            found |= strcmp(diag.items[j].code, faults[i].code) == 0 && diag.items[j].line == faults[i].line;
        for (size_t j = 0; !found && j < diag.count; j++)
            print_error("row %zu: %u:%u %s: %s\n", i, diag.items[j].line, diag.items[j].column, diag.items[j].code,
                        diag.items[j].message);
        assert_true(found);
        diag_clear(&diag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
