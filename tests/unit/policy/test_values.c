/* SPDX-License-Identifier: Apache-2.0 */
/* Values that must not load: hosts, ports, prefixes, limits and words, each row one fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>
#include <stdio.h>

#define REFUSE_ALL(rows) case_faults((rows), sizeof(rows) / sizeof(rows)[0])

/* Line 4 is the list of hosts. */
#define HOSTS(list)  "name: e\nconfig:\n  networking: {type: limited, allowed_hosts:\n    " list "\n  }\n"
#define EGRESS(keys) "name: e\nconfig: {networking: {type: limited}}\negress:\n  " keys "\n"

/* ---- hosts ---- */

static void test_hosts(void **state)
{
    (void)state;
    static const struct policy_fault rows[] = {
  /* clang-format off */
        {HOSTS("[no]"), "wrong_type", 4},
        {HOSTS("[on]"), "wrong_type", 4},
        {HOSTS("[~]"), "null", 4},
        {HOSTS("[null]"), "null", 4},
        {HOSTS("[1.5]"), "wrong_type", 4},
        {HOSTS("[2026-01-01]"), "wrong_type", 4},
        {HOSTS("[443]"), "wrong_type", 4},
        {HOSTS("[0x0b16212c]"), "wrong_type", 4},
        {HOSTS("[1e3]"), "wrong_type", 4},
        {HOSTS("[22:22]"), "wrong_type", 4},
        {HOSTS("[[11.22.33.44]]"), "wrong_type", 4},
        {HOSTS("[{a: b}]"), "wrong_type", 4},
        {HOSTS("null"), "null", 4},
        {HOSTS("allowed.test"), "wrong_type", 4},
        {HOSTS("[\"\"]"), "host", 4},
        {HOSTS("[\" \"]"), "host", 4},
        {HOSTS("[\"allowed.test \"]"), "host", 4},
        {HOSTS("[\"allowed.test#c\"]"), "host", 4},
        {HOSTS("[\"https://allowed.test\"]"), "host", 4},
        {HOSTS("[\"allowed.test/path\"]"), "host", 4},
        {HOSTS("[\"allowed.test:443\"]"), "host", 4},
        {HOSTS("[\"allowed.test\\n\"]"), "host", 4},
        {HOSTS("[\"allowed.test\\u00a0\"]"), "host", 4},
        {HOSTS("[\"a..test\"]"), "host", 4},
        {HOSTS("[\".test\"]"), "host", 4},
        {HOSTS("[\"-a.test\"]"), "host", 4},
        {HOSTS("[\"[11.22.33.44]\"]"), "host", 4},
        {HOSTS("[\"11.22.33.044\"]"), "host", 4},
        {HOSTS("[\"11.22.33\"]"), "host", 4},
        {HOSTS("[\"2606:4700:0::1\"]"), "host", 4},
        {HOSTS("[\"2606:4700::A\"]"), "host", 4},
        {HOSTS("[\"::ffff:11.22.33.44\"]"), "host", 4},
        {HOSTS("[\"64:ff9b::b16:212c\"]"), "host", 4},
        {HOSTS("[\"10.0.0.0/8\"]"), "host", 4},
        {HOSTS("[\"*\"]"), "host", 4},
        {HOSTS("[\"*.\"]"), "host", 4},
        {HOSTS("[\"**.a.test\"]"), "host", 4},
        {HOSTS("[\"a.*.test\"]"), "host", 4},
        {HOSTS("[\"*a.test\"]"), "host", 4},
        {HOSTS("[\"*.*.test\"]"), "host", 4},
        {HOSTS("[\"*.0.0.1\"]"), "host", 4},
        {HOSTS("[\"*.254\"]"), "host", 4},
        {HOSTS("[\"*.com\"]"), "public_suffix", 4},
        {HOSTS("[\"*.test\"]"), "public_suffix", 4},
        {HOSTS("[\"*.co.uk\"]"), "public_suffix", 4},
        {HOSTS("[\"*.github.io\"]"), "shared_suffix", 4},
        {HOSTS("[\"*.s3.amazonaws.com\"]"), "shared_suffix", 4},
        {HOSTS("[\"*.amazonaws.com\"]"), "shared_suffix", 4},
        {HOSTS("[\"*.eu-west-1.amazonaws.com\"]"), "shared_suffix", 4},
        {HOSTS("[\"*.windows.net\"]"), "shared_suffix", 4},
        {HOSTS("[\"*.blob.core.windows.net\"]"), "shared_suffix", 4},
        {HOSTS("[\"*.cloudfront.net\"]"), "shared_suffix", 4},
        {HOSTS("[\"*.workers.dev\"]"), "shared_suffix", 4},
        {HOSTS("[\"\xe2\x93\x90llowed.test\"]"), "host", 4},
        {HOSTS("[\"allowed\xef\xbc\x8etest\"]"), "host", 4},
        {HOSTS("[\"allowed\xe3\x80\x82test\"]"), "host", 4},
        {HOSTS("[\"B\xc3\x9c" "CHER.test\"]"), "host", 4},
        {HOSTS("[\"bu\xcc\x88" "cher.test\"]"), "host", 4},
        {EGRESS("denied_hosts: [11.22.33.44]"), "host", 4},
        {EGRESS("denied_hosts: [\"https://x.test\"]"), "host", 4},
        {EGRESS("denied_hosts: [no]"), "wrong_type", 4},
        {EGRESS("hosts: [{host: \"*.github.io\"}]"), "shared_suffix", 4},
        {EGRESS("hosts: [{host: \"*.com\", accept_shared_suffix: true}]"), "public_suffix", 4},
        {EGRESS("hosts: [{host: a.test}, {host: A.TEST.}]"), "duplicate", 4},
        {EGRESS("hosts: [{host: \"*.a.test\"}, {host: \"*.a.test\"}]"), "duplicate", 4},
        {EGRESS("hosts: [{host: 11.22.33.44}, {host: 11.22.33.44}]"), "duplicate", 4},
        {EGRESS("hosts: [{ports: [443]}]"), "missing_key", 4},
        {EGRESS("hosts: [{host: a.test, port: [443]}]"), "unknown_key", 4},
        {EGRESS("hosts: [a.test]"), "wrong_type", 4},
        {EGRESS("hosts: [{host: a.test, tls: {sni: never}}]"), "wrong_type", 4},
        {EGRESS("hosts: [{host: a.test, tls: {alpn: h2}}]"), "unknown_key", 4},
        {EGRESS("hosts: [{host: a.test, addresses: [127.0.0.1/32]}]"), "loopback", 4},
        {EGRESS("hosts: [{host: a.test, addresses: [127.0.0.0/8], ports: [1]}]"), "loopback", 4},
        {EGRESS("hosts: [{host: a.test, addresses: [169.254.0.0/16]}]"), "prefix", 4},
        {EGRESS("hosts: [{host: a.test, addresses: [\"::ffff:10.0.0.1/128\"]}]"), "prefix", 4},
  /* clang-format on */
    };
    REFUSE_ALL(rows);
}

/* ---- numbers, prefixes, words ---- */

static void test_values(void **state)
{
    (void)state;
    static const char *const ports[] = {"1e3", "0x1bb", "0443",  "1_000", "443.0", "22:22", "\"443\"",
                                        "-1",  "0",     "65536", "+443",  "[443]", "~",     "4294967739"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, EGRESS("ports: {connect: [%s]}"), ports[i]);
        case_fault(text, i == 12 ? "null" : "wrong_type", 4);
    }
    static const struct policy_fault rows[] = {
  /* clang-format off */
        {EGRESS("ports: {connect: 443}"), "wrong_type", 4},
        {EGRESS("ports: [443]"), "wrong_type", 4},
        {EGRESS("ports: {https: [443]}"), "unknown_key", 4},
        {EGRESS("blocked_ports_replace: true"), "blocked_ports", 4},
        {EGRESS("methods: [GET, TRACE]"), "method", 4},
        {EGRESS("methods: [CONNECT]"), "method", 4},
        {EGRESS("methods: [get]"), "method", 4},
        {EGRESS("methods: [DEBUG]"), "method", 4},
        {EGRESS("private_networks: [10.0.0.0/33]"), "prefix", 4},
        {EGRESS("private_networks: [10.0.0.1/8]"), "prefix", 4},
        {EGRESS("private_networks: [0.0.0.0/0]"), "prefix", 4},
        {EGRESS("private_networks: [\"::/0\"]"), "prefix", 4},
        {EGRESS("private_networks: [127.0.0.0/8]"), "prefix", 4},
        {EGRESS("private_networks: [169.254.169.254/32]"), "prefix", 4},
        {EGRESS("private_networks: [100.100.100.200/32]"), "prefix", 4},
        {EGRESS("private_networks: [\"fd00:ec2::254/128\"]"), "prefix", 4},
        {EGRESS("private_networks: [11.0.0.0/8]"), "prefix", 4},
        {EGRESS("private_networks: [8.0.0.0/6]"), "prefix", 4},
        {EGRESS("nat64: \"64:ff9b::/95\""), "nat64", 4},
        {EGRESS("nat64: \"64:ff9b::1/96\""), "prefix", 4},
        {EGRESS("nat64: \"64:ff9b::/32\""), "nat64", 4},
        {EGRESS("nat64: \"2a00:1::/33\""), "nat64", 4},
        {EGRESS("nat64: 10.0.0.0/8"), "nat64", 4},
        {EGRESS("nat64: \"fd00::/96\""), "nat64", 4},
        {EGRESS("nat64: \"2001:db8::/96\""), "nat64", 4},
        {EGRESS("nat64: \"2a00:1:2:3:ff00::/96\""), "nat64", 4},
        {EGRESS("limits: {idle: 0s}"), "wrong_type", 4},
        {EGRESS("limits: {idle: 10}"), "wrong_type", 4},
        {EGRESS("limits: {idle: -1s}"), "wrong_type", 4},
        {EGRESS("limits: {idle: 1e9h}"), "wrong_type", 4},
        {EGRESS("limits: {idle: 9999999999999999999h}"), "out_of_range", 4},
        {EGRESS("limits: {idle: 10 s}"), "wrong_type", 4},
        {EGRESS("limits: {head_bytes: 64}"), "wrong_type", 4},
        {EGRESS("limits: {head_bytes: 64kb}"), "wrong_type", 4},
        {EGRESS("limits: {head_bytes: 2MiB}"), "out_of_range", 4},
        {EGRESS("limits: {tunnels: 0}"), "out_of_range", 4},
        {EGRESS("limits: {tunnels: \"5\"}"), "wrong_type", 4},
        {EGRESS("limits: {tunnels: 5s}"), "wrong_type", 4},
        {EGRESS("limits: {tunnel: 5}"), "unknown_key", 4},
        {EGRESS("limits: {drain: 5s}"), "unknown_key", 4},
        {EGRESS("limits: {share: 50}"), "wrong_type", 4},
        {EGRESS("limits: {share: 101%}"), "out_of_range", 4},
        {EGRESS("limits: {share: 0%}"), "out_of_range", 4},
        {EGRESS("limits: {share: \"%\"}"), "wrong_type", 4},
        {EGRESS("denial_hint: \"\""), "denial_hint", 4},
        {EGRESS("denial_hint: \"a\\nb\""), "denial_hint", 4},
        {EGRESS("denial_hint: \"gr\xc3\xbc\xc3\x9f\""), "denial_hint", 4},
        {EGRESS("denial_hint: |\n    a line\n"), "denial_hint", 4},
        {EGRESS("mode: watch"), "wrong_type", 4},
        {EGRESS("mode: observe"), "observe", 4},
        {EGRESS("observe_until: 2026-12-31"), "observe", 4},
        {EGRESS("mode: observe\n  observe_until: 2027-02-29"), "date", 5},
        {EGRESS("mode: observe\n  observe_until: 31.12.2026"), "date", 5},
        {EGRESS("package_managers: {mode: all}"), "wrong_type", 4},
        {EGRESS("package_managers: {groups: [pyton]}"), "package_group", 4},
        {EGRESS("mcp_servers: [{type: url, name: a}]"), "missing_key", 4},
        {EGRESS("mcp_servers: [{type: stdio, name: a, url: \"https://a.test\"}]"), "wrong_type", 4},
        {EGRESS("mcp_servers: [{type: url, name: a, url: \"ftp://a.test\"}]"), "mcp_url", 4},
        {EGRESS("mcp_servers: [{type: url, name: a, url: a.test}]"), "mcp_url", 4},
        {EGRESS("mcp_servers: [{type: url, name: a, url: \"https://u:p@a.test/\"}]"), "mcp_url", 4},
        {EGRESS("mcp_servers: [{type: url, name: a, url: \"https://a.test:0/\"}]"), "mcp_url", 4},
        {EGRESS("mcp_servers: [{type: url, name: a, url: \"https://a..test/\"}]"), "mcp_url", 4},
        {EGRESS("mcp_servers: [{type: url, name: a, url: \"https://[::ffff:1.2.3.4]/\"}]"), "mcp_url", 4},
        {EGRESS("host_patterns: {allow: ['(*LIMIT_MATCH=9)a']}"), "pattern", 4},
        {EGRESS("host_patterns: {allow: ['(*NO_JIT)a']}"), "pattern", 4},
        {EGRESS("host_patterns: {allow: ['(*UTF)a']}"), "pattern", 4},
        {EGRESS("host_patterns: {allow: ['a(*ACCEPT)b']}"), "pattern", 4},
        {EGRESS("host_patterns: {allow: ['a\\Cb']}"), "pattern", 4},
        {EGRESS("host_patterns: {allow: ['a(?C1)b']}"), "pattern", 4},
        {EGRESS("host_patterns: {allow: ['(a']}"), "pattern", 4},
        {EGRESS("host_patterns: {deny: ['(?<n>a)\\k<m>']}"), "pattern", 4},
        {EGRESS("host_patterns: {allow: ['']}"), "pattern", 4},
        {EGRESS("tests: [{target: \"a.test:443\", expect: allow}]"), "test", 4},
        {EGRESS("tests: [{target: \"a.test:443\", expect: deny, reason: host_denied}]"), "test", 4},
        {EGRESS("tests: [{target: \"a.test:443\", expect: deny, reason: no_such}]"), "test", 4},
        {EGRESS("tests: [{target: \"a.test:443\"}]"), "missing_key", 4},
        {EGRESS("tests: [{target: \"a.test:443\", expect: maybe}]"), "wrong_type", 4},
        {EGRESS("environment_ids: env_1"), "wrong_type", 4},
        {EGRESS("environment_ids: [\"\"]"), "environment_ids", 4},
  /* clang-format on */
    };
    REFUSE_ALL(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests_name("policy: values that do not load", tests, NULL, NULL);
}
