/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about a policy: lints, rules, the effective policy, openings, limits; and books. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include "policy/book.h"
#include "policy/catalogue.h"
#include "policy/keys.h"

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* ---- lints ---- */

/* Loads, and has exactly these lints: "code:line code:line". */
static void lints(const char *text, const char *wanted)
{
    struct diag diag;
    struct policy *policy = NULL;
    char got[1024] = "";
    size_t len = 0;
    diag_init(&diag);
    enum err err = policy_load_text("case.yaml", span_text(text), span_text(""), &diag, &policy);
    for (size_t i = 0; i < diag.count; i++)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%s:%u", i == 0 ? "" : " ", diag.items[i].code,
                                diag.items[i].line);
    if (err != ERR_NONE || strcmp(got, wanted) != 0)
        fail_msg("%s: got '%s', wanted '%s' from:\n%s", err_text(err), got, wanted, text);
    assert_int_equal(diag.lints, diag.count);
    policy_unref(policy);
    diag_clear(&diag);
}

#define LIMITED(keys) "name: e\nconfig:\n  networking: {type: limited" keys "}\n"

static void test_lints(void **state)
{
    (void)state;
    lints(LIMITED(""), "");
    lints(LIMITED(", allowed_hosts: [a.test]"), "");
    lints(LIMITED(", allow_mcp_servers: true"), "unused_toggle:3");
    lints(LIMITED("") "egress: {mcp_servers: [{type: url, name: a, url: \"https://m.test/\"}]}\n", "closed_endpoint:4");
    lints(LIMITED(
              ", allowed_hosts: [m.test]") "egress: {mcp_servers: [{type: url, name: a, url: \"https://m.test/\"}]}\n",
          "");
    lints(
        LIMITED(
            ", allow_mcp_servers: true") "egress: {mcp_servers: [{type: url, name: a, url: \"https://m.test:22/\"}]}\n",
        "closed_endpoint:4");
    lints(LIMITED(", allowed_hosts: [\"*.a.test\", b.a.test]"), "covered:3");
    lints(LIMITED(", allowed_hosts: [\"*.a.test\", \"*.b.a.test\"]"), "covered:3");
    lints(LIMITED(", allowed_hosts: [\"*.a.test\", a.test]"), "");
    /* under private_networks the exact entry says something that the wildcard does not */
    lints(LIMITED(", allowed_hosts: [\"*.a.test\", b.a.test]") "egress: {private_networks: [10.0.0.0/8]}\n", "");
    lints(LIMITED(", allowed_hosts: [a.test, A.test.]"), "duplicate:3");
    lints(LIMITED(", allowed_hosts: [11.22.33.44, 11.22.33.44]"), "duplicate:3");
    lints(LIMITED(", allowed_hosts: [169.254.169.254]"), "never_dialled:3");
    lints(LIMITED(", allowed_hosts: [127.0.0.1]"), "never_dialled:3");
    lints(LIMITED(", allowed_hosts: [storage.googleapis.com]"), "receiver:3");
    lints(LIMITED(", allowed_hosts: [bucket.s3.amazonaws.com, gist.github.com]"), "receiver:3 receiver:3");
    lints(LIMITED(", allowed_hosts: [docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com]"),
          "");
    lints(LIMITED(", allowed_hosts: [api.anthropic.com]"), "receiver:3");
    lints("name: e\nconfig: {type: self_hosted, networking: {type: limited}}\n", "control_plane:2");
    lints("name: e\nconfig: {type: self_hosted, networking: {type: unrestricted}}\n", "");
    lints(LIMITED("") "egress:\n  hosts: [{host: \"*.github.io\", accept_shared_suffix: true}]\n",
          "receiver:5 shared_suffix:5");
    lints(LIMITED(", allowed_hosts: [\"*.github.io\"]") "egress:\n  hosts: [{host: \"*.GitHub.io\", "
                                                        "accept_shared_suffix: true}]\n",
          "receiver:3 receiver:5 shared_suffix:5");
    lints(LIMITED(", allowed_hosts: [\"https://a.test\"]") "egress: {accept_url_entries: true}\n", "url_entry:3");
    lints(LIMITED("") "egress: {hosts: [{host: a.test, ports: [22, 443]}]}\n", "blocked_port:4");
    lints(
        "name: e\nid: env_1\narchived_at: null\nmetadata: {a: [1]}\nconfig: {networking: {type: limited}, memory: 1}\n",
        "not_enforced:2 not_enforced:3 not_enforced:4 not_enforced:5");
    lints("name: e\nconfig: {networking: {type: limited}}\negres: {}\n", "not_enforced:3");
    lints("name: e\nconfig:\n  networking: {type: limited, allow_package_managers: true}\n"
          "egress: {package_managers: {mode: declared}}\n",
          "unused_toggle:3");
    lints("name: e\nconfig:\n  networking: {type: limited, allow_package_managers: true}\n"
          "egress: {package_managers: {mode: read_only, groups: [python, node]}}\n",
          "package_group:4");
    lints("name: e\nconfig:\n  networking: {type: limited, allow_package_managers: true}\n"
          "egress: {package_managers: {groups: [node]}}\n",
          "receiver:3");
    lints("name: e\nconfig: {networking: {type: limited}, packages: {pip: [], npm: []}}\n", "");
    lints(LIMITED(", allowed_hosts: [a.test, b.test]") "egress: {denied_hosts: [\"*.test.test\", a.test]}\n",
          "denied:3");
    lints("name: e\nconfig: {networking: {type: unrestricted}}\negress: {hosts: [{host: localhost}]}\n", "denied:3");
    lints(LIMITED("") "egress: {package_managers: {mode: read_only}}\n", "unused_key:4");
    lints(LIMITED(", allowed_hosts: [a.test]") "egress: {accept_url_entries: true}\n", "unused_key:4");
    lints(LIMITED(", allowed_hosts: [\"*.a.test\"]") "egress: {private_networks: [10.0.0.0/8]}\n", "unused_key:4");
    lints(LIMITED(", allowed_hosts: [a.test]") "egress: {ports: {http: []}, methods: [GET]}\n", "unused_key:4");
    lints(LIMITED("") "egress: {hosts: [{host: a.test, ports: []}]}\n", "unused_key:4");
    lints(LIMITED("") "egress: {hosts: [{host: a.test, accept_shared_suffix: true}]}\n", "unused_key:4");
    lints(LIMITED("") "egress: {host_patterns: {allow: ['.*', '[a-z]+[.]a[.]test']}}\n", "wide_pattern:4");
    lints("---\nname: e\r\nconfig: {networking: {type: limited}}\r\n...\n", "");
}

/* ---- what loads, and what it holds ---- */

static void test_values(void **state)
{
    (void)state;
    struct policy *policy =
        case_load("name: \"e 1\"\nconfig: {type: cloud, networking: {type: limited}}\n"
                  "egress:\n"
                  "  environment_ids: [env_a, env_b]\n"
                  "  denial_hint: Ask Bob.\n"
                  "  limits: {idle: 10m, head_bytes: 16KiB, tunnels: 7, bytes_up: \"2GiB\"}\n"
                  "  tests:\n"
                  "    - {target: \"a.test:443\", expect: deny, reason: host_not_allowed}\n"
                  "    - {target: \"a.test:80\", via: http, expect: deny}\n"
                  "    - {target: \"a..test:80\", via: socks5, expect: deny, reason: malformed_target}\n");
    assert_true(span_is(policy_name(policy), "e 1"));
    assert_true(policy_is_limited(policy));
    assert_true(span_is(policy_denial_hint(policy), "Ask Bob."));
    assert_int_equal(policy_limits(policy)->idle, 600000);
    assert_int_equal(policy_limits(policy)->head_bytes, 16384);
    assert_int_equal(policy_limits(policy)->tunnels, 7);
    assert_int_equal(policy_limits(policy)->bytes_up, 2147483648u);
    assert_int_equal(policy_limits(policy)->dial_timeout, 10000);
    assert_int_equal(policy_limits(policy)->bytes_down, 0);
    assert_int_equal(policy_environment_id_count(policy), 2);
    assert_true(span_is(policy_environment_id(policy, 1), "env_b"));
    assert_int_equal(policy_environment_id(policy, 2).len, 0);
    assert_int_equal(strlen(policy_id(policy)), POLICY_ID_TEXT);
    policy_unref(policy_ref(policy));
    policy_unref(policy);
}

/* ---- the effective policy ---- */

struct seen {
    char all[16384];
    size_t len, lines;
};

static void see(void *arg, const struct policy_line *line)
{
    struct seen *seen = arg;
    seen->lines++;
    seen->len += (size_t)snprintf(seen->all + seen->len, sizeof seen->all - seen->len, "%s | %s | %s | %u\n",
                                  line->section, line->text, line->rule.id, line->rule.line);
    assert_true(seen->len < sizeof seen->all);
}

static void has(const struct seen *seen, const char *line)
{
    if (strstr(seen->all, line) == NULL)
        fail_msg("missing: %s in\n%s", line, seen->all);
}

static void test_describe(void **state)
{
    (void)state;
    static struct seen seen;
    struct policy *policy = case_load(
        "name: e\nconfig:\n  networking: {type: limited, allowed_hosts: [a.test, b.test, 11.22.33.44]}\n"
        "egress:\n"
        "  hosts:\n"
        "    - {host: b.test, ports: [8443, 443], addresses: [10.0.0.0/8], tls: {ech: outer}, methods: [GET]}\n"
        "  mcp_servers: [{type: url, name: a, url: \"https://m.test/\"}]\n"
        "  denied_hosts: [\"*.bad.test\"]\n"
        "  host_patterns: {allow: ['x\\.test'], deny: ['y\\.test']}\n"
        "  nat64: \"64:ff9b::/96\"\n"
        "  private_networks: [192.168.0.0/16]\n"
        "  blocked_ports: [25]\n");
    policy_describe(policy, see, &seen);
    has(&seen, "config.networking.type | limited: what is listed, nothing else | config.networking.type | 3\n");
    has(&seen, "allowed_hosts | a.test  443 (CONNECT, SOCKS5, TLS), 80 (HTTP) | allowed_hosts[0] | 3\n");
    has(&seen, "allowed_hosts | b.test  443, 8443 | allowed_hosts[1] | 3\n");
    has(&seen, "allowed_hosts | 11.22.33.44  443 ");
    has(&seen, "egress.hosts | b.test  443, 8443; addresses 10.0.0.0/8; sni required, ech outer, non_tls refuse; "
               "methods GET | egress.hosts[0] | 6\n");
    has(&seen, "m.test  443  (closed: allow_mcp_servers is false)");
    has(&seen, "egress.denied_hosts | *.bad.test | egress.denied_hosts[0] | 8\n");
    has(&seen, "| x\\.test | egress.host_patterns.allow[0] | 9\n");
    has(&seen, "| y\\.test | egress.host_patterns.deny[0] | 9\n");
    has(&seen, "egress.nat64 | 64:ff9b::/96 | ");
    has(&seen, "egress.private_networks | 192.168.0.0/16 | egress.private_networks[0] | 11\n");
    has(&seen, "egress.blocked_ports | 22 | egress.blocked_ports | 0\n");
    has(&seen, "egress.blocked_ports | 25 | egress.blocked_ports | 12\n");
    has(&seen, "egress.limits | bytes_up: none |");
    assert_null(strstr(seen.all, "package_managers"));
    policy_unref(policy);
}

/* ---- openings: what is proposed must open what was refused ---- */

struct closed {
    const char *policy, *door, *target, *address, *first, *opening;
};

static void opening_of(const struct closed *row, char *out, size_t cap)
{
    struct policy *policy = case_load(row->policy);
    struct target target = case_target(row->target);
    bool http = strcmp(row->door, "http") == 0;
    struct question question = {
        .door = http ? DOOR_HTTP : DOOR_CONNECT, .method = http ? METHOD_PUT : METHOD_CONNECT, .target = &target};
    struct decision decision;
    struct ipaddr address;
    struct outbuf o = outbuf_make(out, cap - 1);
    policy_ask_target(policy, &question, &decision);
    if (row->address != NULL) {
        struct admitted admitted;
        assert_int_equal(ipaddr_parse(span_text(row->address), &address), ERR_NONE);
        policy_ask_address(policy, &question, &address, 1, &admitted, &decision, NULL);
    }
    if (row->first != NULL) {
        struct hello hello = {.ech = strcmp(row->first, "ech") == 0};
        policy_ask_hello(policy, &question, strcmp(row->first, "raw") == 0 ? FIRST_NOT_TLS : FIRST_HELLO, &hello,
                         &decision);
    }
    struct policy_change change;
    struct catalogue *catalogue = NULL;
    struct diag diag;
    diag_init(&diag);
    assert_int_equal(catalogue_load(NULL, false, &diag, &catalogue), ERR_NONE);
    diag_clear(&diag);
    policy_opening(policy, &question, &decision, row->address == NULL ? NULL : &address, catalogue, &o, &change);
    assert_false(o.overflow);
    out[o.len] = '\0';
    catalogue_free(catalogue);
    policy_unref(policy);
}

static const char shut[] =
    LIMITED(", allowed_hosts: [a.test]") "egress:\n"
                                         "  methods: [GET]\n"
                                         "  denied_hosts: [d.test]\n"
                                         "  hosts: [{host: p.test, addresses: [10.0.0.0/24]}]\n"
                                         "  mcp_servers: [{type: url, name: m, url: \"https://m.test\"}]\n";

static void test_openings(void **state)
{
    (void)state;
    static const struct closed rows[] = {
  /* clang-format off */
        {shut, "connect", "a.test:443", NULL, NULL, "" },
        {shut, "connect", "x.test:443", NULL, NULL, "allowed_hosts:\n      - \"x.test\"\n" },
        {shut, "connect", "x.test:8443", NULL, NULL, "- {host: \"x.test\", ports: [8443]}\n" },
        {shut, "connect", "m.test:443", NULL, NULL, "allow_mcp_servers: true" },
        {shut, "connect", "pypi.org:443", NULL, NULL, "package group python (downloads only)" },
        {shut, "connect", "a.test:8443", NULL, NULL, "- {host: \"a.test\", ports: [443, 8443]}\n" },
        {shut, "connect", "p.test:8443", NULL, NULL, "# in the entry of this host, case.yaml:7" },
        {shut, "connect", "a.test:22", NULL, NULL, "blocked_ports: [3306, 5432]\n" },
        {shut, "connect", "d.test:443", NULL, NULL, "denied by egress.denied_hosts[0] (case.yaml:6)" },
        {shut, "connect", "11.22.33.44:443", NULL, NULL, "- \"11.22.33.44\"\n" },
        {shut, "connect", "169.254.169.254:443", NULL, NULL, "Nothing opens it" },
        {shut, "connect", "[::ffff:b16:212c]:443", NULL, NULL, "Nothing opens it" },
        {shut, "http", "a.test:80", NULL, NULL, "- {host: \"a.test\", methods: [GET, PUT]}" },
        {shut, "connect", "a.test:443", "10.0.0.1", NULL, "- {host: \"a.test\", addresses: [10.0.0.1/32]}\n" },
        {shut, "connect", "a.test:443", "::1", NULL, "addresses: [::1/128], ports: [443]}\n" },
        {shut, "connect", "a.test:443", "169.254.169.254", NULL, "Nothing opens it: link-local" },
        {shut, "connect", "a.test:443", "64:ff9b::1", NULL, "egress.nat64" },
        {shut, "connect", "p.test:443", "10.0.1.1", NULL, "egress.hosts[0].addresses (case.yaml:7)" },
        {shut, "connect", "a.test:443", NULL, "ech", "tls: {ech: outer}}\n" },
        {shut, "connect", "a.test:443", NULL, "tls", "tls: {sni: optional}}\n" },
        {shut, "connect", "a.test:443", NULL, "raw", "tls: {non_tls: allow}}\n" },
  /* clang-format on */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[2048];
        opening_of(&rows[i], out, sizeof out);
        if (rows[i].opening[0] == '\0' ? out[0] != '\0' : strstr(out, rows[i].opening) == NULL)
            fail_msg("%s: got\n%s\nwanted\n%s", rows[i].target, out, rows[i].opening);
    }
}

/* ---- books ---- */

static void test_books(void **state)
{
    (void)state;
    struct policy *list[3] = {
        case_load("name: a\nconfig: {networking: {type: limited}}\negress: {environment_ids: [env_1]}\n"),
        case_load("name: b\nconfig: {networking: {type: limited}}\negress: {environment_ids: [env_2, env_3]}\n"),
        case_load("name: c\nconfig: {networking: {type: limited}}\negress: {environment_ids: [env_3]}\n"),
    };
    struct book *book = NULL;
    assert_int_equal(book_make(list, 3, 1, &book), ERR_EXISTS); /* env_3 twice */
    assert_null(book);
    struct policy *twice[2] = {list[0], list[0]};
    assert_int_equal(book_make(twice, 2, 1, &book), ERR_EXISTS);
    assert_int_equal(book_make(list, 2, 9, &book), ERR_NONE);
    assert_int_equal(book_generation(book), 9);
    assert_int_equal(book_count(book), 2);
    for (size_t i = 0; i < 3; i++)
        policy_unref(list[i]); /* the book has its own */
    assert_ptr_equal(book_find(book, span_text("b")), list[1]);
    assert_null(book_find(book, span_text("c")));
    assert_null(book_find(book, span_text("")));
    assert_ptr_equal(book_find_id(book, span_text("env_3")), list[1]);
    assert_null(book_find_id(book, span_text("env_4")));
    assert_ptr_equal(book_at(book, 0), list[0]);
    book_unref(book_ref(book));
    book_unref(book);
    book_unref(NULL);
    assert_int_equal(book_make(NULL, 0, 1, &book), ERR_NONE);
    assert_int_equal(book_count(book), 0);
    book_unref(book);
}

/* ---- the tables ---- */

static void test_tables(void **state)
{
    (void)state;
    size_t count;
    const struct key_row *keys = keys_rows(&count);
    assert_true(count > 40);
    for (size_t i = 0; i < count; i++) {
        assert_true(keys[i].sentence[0] != '\0');
        assert_true((keys[i].type == KEY_CHOICE) == (keys[i].values[0] != '\0'));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(keys[i].path, keys[j].path);
    }
    const struct limit_row *limits = limits_rows(&count);
    for (size_t i = 0; i < count; i++) {
        assert_true(limits[i].min <= limits[i].max);
        assert_true(limits[i].dflt == 0 || (limits[i].dflt >= limits[i].min && limits[i].dflt <= limits[i].max));
    }
    assert_string_equal(door_text(DOOR_SOCKS5), "socks5");
    assert_string_equal(stage_text(STAGE_ADDRESS), "address");
    assert_string_equal(rule_kind_text(RULE_BLOCKLIST), "egress.blocklist");
    assert_string_equal(key_type_text(KEY_PORTS), "list of ports");
}

/* The policies that ship load. */
static void test_examples(void **state)
{
    (void)state;
    static const char *const files[] = {
        "policies/invoice-env.yaml", "policies/tightest.yaml",  "policies/unrestricted-blocklist.yaml",
        "policies/python-dev.yaml",  "policies/agent-mcp.yaml", "policies/browser.yaml"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const struct policy_sources sources = {.path = files[i]};
        struct diag diag;
        struct policy *policy = NULL;
        diag_init(&diag);
        /* Who owns the source tree is not this test's matter: the text is read here. */
        enum err err = policy_load(&sources, &diag, &policy);
        for (size_t f = 0; f < diag.count; f++)
            if (diag.items[f].severity == SEVERITY_ERROR && strcmp(diag.items[f].code, "not_trusted") != 0)
                fail_msg("%s:%u: %s", files[i], diag.items[f].line, diag.items[f].message);
        if (err == ERR_NONE)
            policy_unref(policy);
        diag_clear(&diag);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lints),    cmocka_unit_test(test_values), cmocka_unit_test(test_describe),
        cmocka_unit_test(test_openings), cmocka_unit_test(test_books),  cmocka_unit_test(test_tables),
        cmocka_unit_test(test_examples),
    };
    return cmocka_run_group_tests_name("policy: what is said about it", tests, NULL, NULL);
}
