/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that must not load: each row is one fault, with its code and the line where it is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YAML_TEST_KEYS 300

struct fault {
    const char *text, *code;
    uint32_t line;
};

static bool found(const struct diag *diag, const char *code, uint32_t line)
{
    for (size_t i = 0; i < diag->count; i++)
        if (diag->items[i].severity == SEVERITY_ERROR && strcmp(diag->items[i].code, code) == 0 &&
            (line == 0 || diag->items[i].line == line))
            return true;
    return false;
}

static void refuse(const char *text, const char *code, uint32_t line)
{
    struct diag diag;
    case_refuse(text, &diag);
    if (!found(&diag, code, line)) {
        for (size_t i = 0; i < diag.count; i++)
            print_error("%u:%u %s %s\n", diag.items[i].line, diag.items[i].column, diag.items[i].code,
                        diag.items[i].message);
        fail_msg("wanted %s in line %u of:\n%s", code, line, text);
    }
    diag_clear(&diag);
}

static void refuse_all(const struct fault *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        refuse(rows[i].text, rows[i].code, rows[i].line);
}

#define REFUSE_ALL(rows) refuse_all((rows), sizeof(rows) / sizeof(rows)[0])

/* Line 4 is the list of hosts. */
#define HOSTS(list) "name: e\nconfig:\n  networking: {type: limited, allowed_hosts:\n    " list "\n  }\n"
#define EGRESS(keys) "name: e\nconfig: {networking: {type: limited}}\negress:\n  " keys "\n"
#define FREE(keys)   "name: e\nconfig: {networking: {type: unrestricted}}\negress:\n  " keys "\n"

/* ---- YAML as a token stream ---- */

static void test_yaml(void **state)
{
    (void)state;
    static const struct fault rows[] = {
        {"", "empty", 0},
        {"# nothing\n", "empty", 0},
        {"name: &a e\n", "anchor", 1},
        {"name: e\nx: [&a [1], *a]\n", "anchor", 2},
        {"name: e\nx: *a\n", "alias", 2},
        {"a: &x [1]\nb: [*x, *x]\n", "anchor", 1},
        {"name: e\n<<: {a: 1}\n", "merge_key", 2},
        {"name: !!str e\n", "tag", 1},
        {"name: e\nx: !!python/object a\n", "tag", 2},
        {"x: !!binary aGk=\n", "tag", 1},
        {"x: !!int \"443\"\n", "tag", 1},
        {"x: !own [1]\n", "tag", 1},
        {"%YAML 1.1\n---\nname: e\n", "directive", 1},
        {"%YAML 3.0\n---\nname: e\n", "syntax", 0},
        {"%TAG ! tag:x,2000:\n---\nname: e\n", "directive", 1},
        {"name: e\n---\nname: f\n", "second_document", 2},
        {"name: e\nname: f\n", "duplicate_key", 2},
        {"name: e\n\"name\": f\n", "duplicate_key", 2},
        {"name: e\n\"n\\x61me\": f\n", "duplicate_key", 2},
        {"\xef\xbb\xbfname: e\n", "encoding", 1},
        {"name: \xff\n", "encoding", 1},
        {"name: e\nx: \xc0\xae\n", "encoding", 2},
        {"name: \xed\xa0\x80\n", "encoding", 1},
        {"name: e\nx: \x01\n", "encoding", 2},
        {"name: e\nx: \x7f\n", "encoding", 2},
        {"name: e\nx: \xc2\x85y\n", "encoding", 2},
        {"name: e\nx: a\rb: c\n", "encoding", 2},
        {"name: \"a\\x00b\"\n", "control_character", 1},
        {"name: \"a\\e[0m\"\n", "control_character", 1},
        {"name: e\nconfig:\n\tnetworking: {}\n", "syntax", 3},
        {"name: [e\n", "syntax", 0},
        {"name: \"e\n", "syntax", 0},
        {"? [a, b]\n: c\n", "key", 0},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]\n", "depth", 1},
        {"a:\n b:\n  c:\n   d:\n    e:\n     f:\n      g:\n       h:\n        i:\n         j:\n          k:\n           l:\n"
         "            m:\n             n:\n              o:\n               p:\n                q: 1\n", "depth", 17},
        {"x\n", "wrong_type", 1},
        {"- x\n", "wrong_type", 1},
    };
    REFUSE_ALL(rows);
}

/* A hundred thousand open brackets: refused at the seventeenth, in constant stack. */
static void test_bombs(void **state)
{
    (void)state;
    size_t len = 100000;
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, '[', len);
    text[len] = '\0';
    refuse(text, "depth", 1);
    for (size_t i = 0; i + 4 <= len; i += 4)
        memcpy(text + i, "{a: ", 4);
    refuse(text, "depth", 1);
    free(text);
    char keys[YAML_TEST_KEYS * 8 + 64];
    int at = 0;
    for (int i = 0; i < YAML_TEST_KEYS; i++)
        at += snprintf(keys + at, sizeof keys - (size_t)at, "k%d: 1\n", i);
    refuse(keys, "too_many_keys", 257);
    len = (1u << 20) + 1;
    text = malloc(len + 1);
    assert_non_null(text);
    memset(text, '#', len);
    text[len] = '\0';
    refuse(text, "too_big", 0);
    free(text);
}

/* ---- the frame ---- */

static void test_frame(void **state)
{
    (void)state;
    static const struct fault rows[] = {
        {"config: {networking: {type: limited}}\n", "missing_key", 0},
        {"name: e\n", "networking_type", 0},
        {"name: e\nconfig: {type: cloud}\n", "networking_type", 0},
        {"name: e\nconfig: {type: self_hosted}\n", "networking_type", 0},
        {"name: e\nconfig: {networking: {}}\n", "networking_type", 2},
        {"name: e\nconfig:\n  networking:\n", "null", 3},
        {"name: e\nconfig: {networking: {type: null}}\n", "null", 2},
        {"name: e\nconfig: {networking: {type: open}}\n", "wrong_type", 2},
        {"name: e\nconfig: {networking: {type: Limited}}\n", "wrong_type", 2},
        {"name: e\nconfig: {networking: [limited]}\n", "wrong_type", 2},
        {"name: e\nconfig: {type: moon, networking: {type: limited}}\n", "wrong_type", 2},
        {"name: -\nconfig: {networking: {type: limited}}\n", "", 0},
        {"name: \"-\"\nconfig: {networking: {type: limited}}\n", "name", 1},
        {"name: \"\"\nconfig: {networking: {type: limited}}\n", "name", 1},
        {"name: 12\nconfig: {networking: {type: limited}}\n", "wrong_type", 1},
        {"name: no\nconfig: {networking: {type: limited}}\n", "wrong_type", 1},
        {"name: e\nconfig: {networking: {type: limited, alowed_hosts: []}}\n", "unknown_key", 2},
        {"name: e\nconfig: {networking: {type: limited, denied_hosts: []}}\n", "unknown_key", 2},
        {"name: e\nconfig: {networking: {type: limited}}\negress: {hots: []}\n", "unknown_key", 3},
        {"name: e\nconfig: {networking: {type: limited}}\negress:\n", "null", 3},
        {"name: e\nconfig: {networking: {type: limited}}\negress: []\n", "wrong_type", 3},
        {"name: e\nconfig: {networking: {type: unrestricted, allowed_hosts: [a.test]}}\n", "unrestricted", 2},
        {"name: e\nconfig: {networking: {type: unrestricted, allowed_hosts: []}}\n", "unrestricted", 2},
        {"name: e\nconfig: {networking: {type: unrestricted, allow_mcp_servers: false}}\n", "unrestricted", 2},
        {"name: e\nconfig: {networking: {type: unrestricted, allow_package_managers: true}}\n", "unrestricted", 2},
        {"name: e\nconfig:\n  networking: {type: limited}\n  packages: {pip: [x]}\n", "packages", 4},
        {FREE("host_patterns: {allow: [a]}"), "unrestricted", 4},
        {FREE("allowed_host_files: [x]"), "unrestricted", 4},
    };
    /* the seventh row from here on: a lone '-' is a list to YAML */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct diag diag;
        if (rows[i].code[0] != '\0') {
            refuse(rows[i].text, rows[i].code, rows[i].line);
            continue;
        }
        case_refuse(rows[i].text, &diag);
        diag_clear(&diag);
    }
}

static void test_booleans(void **state)
{
    (void)state;
    static const char *const words[] = {"on", "off", "yes", "no", "True", "TRUE", "\"true\"", "1", "~", "null", "[true]", "y"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "name: e\nconfig:\n  networking: {type: limited, allow_mcp_servers: %s}\n", words[i]);
        refuse(text, i == 8 || i == 9 ? "null" : "wrong_type", 3);
    }
    refuse("name: e\nconfig:\n  networking: {type: limited, allow_mcp_servers: }\n", "null", 3);
}

/* ---- hosts ---- */

static void test_hosts(void **state)
{
    (void)state;
    static const struct fault rows[] = {
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
    };
    REFUSE_ALL(rows);
}

/* ---- numbers, prefixes, words ---- */

static void test_values(void **state)
{
    (void)state;
    static const char *const ports[] = {"1e3", "0x1bb", "0443", "1_000", "443.0", "22:22", "\"443\"", "-1", "0", "65536",
                                        "+443", "[443]", "~", "4294967739"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, EGRESS("ports: {connect: [%s]}"), ports[i]);
        refuse(text, i == 12 ? "null" : "wrong_type", 4);
    }
    static const struct fault rows[] = {
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
        {EGRESS("limits: {share: 50}"), "unknown_key", 4},
        {EGRESS("denial_hint: \"\""), "denial_hint", 4},
        {EGRESS("denial_hint: \"a\\nb\""), "denial_hint", 4},
        {EGRESS("denial_hint: \"gr\xc3\xbc\xc3\x9f\""), "denial_hint", 4},
        {EGRESS("denial_hint: |\n    a line\n"), "denial_hint", 4},
        {EGRESS("mode: watch"), "wrong_type", 4},
        {EGRESS("mode: observe"), "observe", 4},
        {EGRESS("observe_until: 2026-12-31"), "observe", 4},
        {EGRESS("mode: observe\n  observe_until: 2026-12-31"), "not_supported", 4},
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
    };
    REFUSE_ALL(rows);
}

/* Two hundred and fifty-five groups, and a pattern of 64 kB. */
static void test_big_patterns(void **state)
{
    (void)state;
    size_t len = 64 * 1024;
    char *text = malloc(len + 256);
    assert_non_null(text);
    int at = snprintf(text, 256, "name: e\nconfig: {networking: {type: limited}}\negress:\n  host_patterns: {allow: ['");
    memset(text + at, 'a', len);
    memcpy(text + at + len, "']}\n", 5);
    refuse(text, "pattern", 4);
    memset(text + at, '(', 255);
    memset(text + at + 255, 'a', 1);
    memset(text + at + 256, ')', 255);
    memcpy(text + at + 511, "']}\n", 5);
    refuse(text, "pattern", 4);
    free(text);
}

/* One fault does not hide the others, and each has a place and a fix. */
static void test_many(void **state)
{
    (void)state;
    struct diag diag;
    case_refuse("name: e\n"
                "config:\n"
                "  networking:\n"
                "    type: limited\n"
                "    alow_mcp_servers: true\n"
                "    allowed_hosts: [ok.test, no, \"*.com\"]\n"
                "egress:\n"
                "  ports: {connect: [0443]}\n"
                "  limits: {idel: 5s}\n"
                "  blocked_port: [25]\n",
                &diag);
    assert_int_equal(diag.errors, 6);
    assert_true(found(&diag, "unknown_key", 5) && found(&diag, "wrong_type", 6) && found(&diag, "public_suffix", 6));
    assert_true(found(&diag, "wrong_type", 8) && found(&diag, "unknown_key", 9) && found(&diag, "unknown_key", 10));
    for (size_t i = 0; i < diag.count; i++) {
        assert_string_equal(diag.items[i].file, "case.yaml");
        assert_true(diag.items[i].column > 0);
        assert_true(diag.items[i].fix[0] != '\0');
        if (diag.items[i].line == 5)
            assert_string_equal(diag.items[i].fix, "did you mean 'allow_mcp_servers'?");
        if (diag.items[i].line == 9)
            assert_string_equal(diag.items[i].fix, "did you mean 'idle'?");
        if (diag.items[i].line == 10)
            assert_string_equal(diag.items[i].fix, "did you mean 'blocked_ports'?");
        if (diag.items[i].line == 10)
            assert_int_equal(diag.items[i].column, 3);
    }
    diag_clear(&diag);
}

/* More findings than are kept are counted. */
static void test_flood(void **state)
{
    (void)state;
    struct diag diag;
    char text[16384];
    int at = snprintf(text, sizeof text, "name: e\nconfig:\n  networking:\n    type: limited\n    allowed_hosts:\n");
    for (int i = 0; i < 500; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "    - \"a b%d\"\n", i);
    case_refuse(text, &diag);
    assert_int_equal(diag.count, DIAG_MAX);
    assert_int_equal(diag.errors, 500);
    diag_clear(&diag);
}

/* What a file says stands in a message escaped: no line of a report can be forged. */
static void test_escaping(void **state)
{
    (void)state;
    struct diag diag;
    case_refuse("name: e\nconfig: {networking: {type: limited, allowed_hosts: [\"a\\nb\"]}}\n", &diag);
    for (size_t i = 0; i < diag.count; i++) {
        assert_null(strchr(diag.items[i].message, '\n'));
        assert_non_null(strstr(diag.items[i].message, "a\\x0ab"));
    }
    diag_clear(&diag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),     cmocka_unit_test(test_bombs),        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_booleans), cmocka_unit_test(test_hosts),        cmocka_unit_test(test_values),
        cmocka_unit_test(test_big_patterns), cmocka_unit_test(test_many),     cmocka_unit_test(test_flood),
        cmocka_unit_test(test_escaping),
    };
    return cmocka_run_group_tests_name("policy: what does not load", tests, NULL, NULL);
}
