/* SPDX-License-Identifier: Apache-2.0 */
/* What a session leaves of its environment: never more than it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "cases.h"

#include <cmocka.h>
#include <string.h>

static const char env[] = "name: e\nconfig: {networking: {type: limited, allowed_hosts: [a.test, \"*.wild.test\", "
                          "both.test, 11.22.33.44], allow_package_managers: true, allow_mcp_servers: true}}\n"
                          "egress:\n"
                          "  mcp_servers: [{name: m, url: \"https://mcp.test/x\"}, {name: b, url: "
                          "\"https://both.test/x\"}]\n";

static const char open_env[] = "name: e\nconfig: {networking: {type: unrestricted}}\n"
                               "egress: {denied_hosts: [bad.test]}\n";

static struct narrowing *make(const char *hosts, bool no_packages, bool no_mcp, bool deny_all)
{
    struct span spans[16];
    struct narrowing_spec spec = {.hosts = spans,
                                  .only_hosts = hosts != NULL,
                                  .no_package_managers = no_packages,
                                  .no_mcp_servers = no_mcp,
                                  .deny_all = deny_all};
    for (const char *at = hosts; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, " ");
        spans[spec.host_count++] = span_make(at, len);
        at += len + (at[len] == ' ');
    }
    struct narrowing *out = NULL;
    assert_int_equal(narrowing_new(&spec, NULL, &out), ERR_NONE);
    return out;
}

/* "reason rule" */
static void ask(const char *policy_text, const struct narrowing *narrowing, const char *target_text, enum reason reason,
                enum rule_kind kind)
{
    struct policy *policy = case_load(policy_text);
    struct target target = case_target(target_text);
    struct question question = {
        .door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = &target, .generation = 7, .narrowing = narrowing};
    struct decision target_decision, hello_decision, address_decision;
    policy_ask_target(policy, &question, &target_decision);
    if (target_decision.reason != reason || target_decision.rule.kind != kind)
        print_error("%s: %s by %s\n", target_text, reason_row(target_decision.reason)->name,
                    rule_kind_text(target_decision.rule.kind));
    assert_int_equal(target_decision.reason, reason);
    assert_int_equal(target_decision.rule.kind, kind);
    assert_int_equal(target_decision.generation, 7);
    /* The later stages refuse what the target stage refuses. */
    struct ipaddr address = {
        .family = 4, .bytes = {11, 22, 33, 44}
    };
    struct admitted admitted;
    policy_ask_address(policy, &question, &address, 1, &admitted, &address_decision, NULL);
    policy_ask_hello(policy, &question, FIRST_NOT_TLS, NULL, &hello_decision);
    if (target_decision.verdict == VERDICT_DENY) {
        assert_int_equal(address_decision.verdict, VERDICT_DENY);
        assert_int_equal(address_decision.rule.kind, kind);
        assert_int_equal(hello_decision.verdict, VERDICT_DENY);
        assert_int_equal(hello_decision.stage, STAGE_TARGET);
    } else {
        assert_int_equal(address_decision.verdict, VERDICT_ALLOW);
    }
    policy_unref(policy);
}

static void test_hosts(void **state)
{
    (void)state;
    struct narrowing *n = make("a.test *.deep.wild.test never.test 11.22.33.44", false, false, false);
    ask(env, n, "a.test:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    ask(env, n, "A.TEST.:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    ask(env, n, "x.wild.test:443", REASON_HOST, RULE_SESSION);
    ask(env, n, "deep.wild.test:443", REASON_HOST, RULE_SESSION);
    ask(env, n, "x.deep.wild.test:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    ask(env, n, "11.22.33.44:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    ask(env, n, "mcp.test:443", REASON_HOST, RULE_SESSION);
    ask(env, n, "pypi.org:443", REASON_HOST, RULE_SESSION);
    /* It names what the environment does not allow: that opens nothing, and the environment says so itself. */
    ask(env, n, "never.test:443", REASON_HOST, RULE_DEFAULT);
    ask(env, n, "a.test:8099", REASON_PORT, RULE_PORTS);
    narrowing_unref(n);
}

static void test_every_host_listed_is_not_more_than_the_environment(void **state)
{
    (void)state;
    struct narrowing *n = make("*.test bad.test", false, false, false);
    ask(open_env, n, "bad.test:443", REASON_DENIED, RULE_DENIED_HOST);
    ask(open_env, n, "good.test:443", REASON_ALLOWED, RULE_UNRESTRICTED);
    ask(open_env, n, "other.example:443", REASON_HOST, RULE_SESSION);
    ask(env, n, "none.test:443", REASON_HOST, RULE_DEFAULT);
    narrowing_unref(n);
}

static void test_groups_and_endpoints(void **state)
{
    (void)state;
    struct narrowing *n = make(NULL, true, false, false);
    ask(env, n, "pypi.org:443", REASON_HOST, RULE_SESSION);
    ask(env, n, "mcp.test:443", REASON_ALLOWED, RULE_MCP_SERVER);
    ask(env, n, "a.test:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    narrowing_unref(n);
    n = make(NULL, false, true, false);
    ask(env, n, "pypi.org:443", REASON_ALLOWED, RULE_PACKAGE_GROUP);
    ask(env, n, "mcp.test:443", REASON_HOST, RULE_SESSION);
    /* Its own line in allowed_hosts is still there. */
    ask(env, n, "both.test:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    narrowing_unref(n);
}

static void test_nothing_and_everything(void **state)
{
    (void)state;
    struct narrowing *n = make(NULL, false, false, true);
    ask(env, n, "a.test:443", REASON_HOST, RULE_SESSION);
    ask(env, n, "11.22.33.44:443", REASON_LITERAL, RULE_SESSION);
    ask(open_env, n, "good.test:443", REASON_HOST, RULE_SESSION);
    narrowing_unref(n);
    n = make("", false, false, false);
    ask(env, n, "a.test:443", REASON_HOST, RULE_SESSION);
    narrowing_unref(n);
    n = make(NULL, false, false, false);
    ask(env, n, "a.test:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    ask(env, n, "none.test:443", REASON_HOST, RULE_DEFAULT);
    narrowing_unref(narrowing_ref(n));
    narrowing_unref(n);
}

static void test_bad_hosts(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "*",       "*.",        "*a.test", "a.*.test",
                                      "a.test:443", "a..test", "*.1.2.3.4", "a test",  "http://a.test",
                                      "*.*.test",   "-a.test", "[::1]:443"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct span hosts[] = {span_text("good.test"), span_text(bad[i])};
        const struct narrowing_spec spec = {.only_hosts = true, .hosts = hosts, .host_count = 2};
        struct narrowing *out = NULL;
        size_t at = 99;
        if (narrowing_new(&spec, &at, &out) != ERR_INVALID)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(at, 1);
        assert_null(out);
    }
    const struct narrowing_spec many = {.only_hosts = true, .host_count = NARROWING_HOSTS_MAX + 1};
    struct narrowing *out = NULL;
    assert_int_equal(narrowing_new(&many, NULL, &out), ERR_TOO_BIG);
}

/* Whatever is said, for every row of the table: never more than it was, and 0 says nothing. */
static void test_limits_become_smaller_alone(void **state)
{
    (void)state;
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    const uint64_t values[] = {0, 1, 7, 1000, UINT64_MAX};
    for (size_t i = 0; i < count; i++)
        for (size_t a = 0; a < 5; a++)
            for (size_t b = 0; b < 5; b++) {
                struct limits limits, by = {0};
                limits_default(&limits);
                limit_set(&limits, &rows[i], values[a]);
                limit_set(&by, &rows[i], values[b]);
                limits_narrow(&limits, &by);
                uint64_t now = limit_get(&limits, &rows[i]);
                uint64_t wanted = values[b] == 0 || (values[a] != 0 && values[a] < values[b]) ? values[a] : values[b];
                assert_true(now == wanted);
            }
    assert_int_equal(limit_row_find(span_text("bytes_up"))->scope, LIMIT_SCOPE_SESSION);
    assert_int_equal(limit_row_find(span_text("distinct_names_per_minute"))->scope, LIMIT_SCOPE_ENVIRONMENT);
    assert_null(limit_row_find(span_text("bytes_u")));
}

/* An endpoint of the agent is a host and a port, and opens nothing that the environment does not. */
static void test_endpoints_of_one_agent(void **state)
{
    (void)state;
    const struct target mcp[] = {case_target("mcp.test:443"), case_target("other.test:443")};
    struct narrowing_spec spec = {.only_mcp = true, .mcp = mcp, .mcp_count = 2};
    struct narrowing *n = NULL;
    assert_int_equal(narrowing_new(&spec, NULL, &n), ERR_NONE);
    ask(env, n, "mcp.test:443", REASON_ALLOWED, RULE_MCP_SERVER);
    ask(env, n, "other.test:443", REASON_HOST, RULE_DEFAULT);
    ask(env, n, "a.test:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    ask(env, n, "both.test:443", REASON_ALLOWED, RULE_ALLOWED_HOST);
    narrowing_unref(n);
    const struct target elsewhere = case_target("mcp.test:8443");
    spec.mcp = &elsewhere;
    spec.mcp_count = 1;
    assert_int_equal(narrowing_new(&spec, NULL, &n), ERR_NONE);
    ask(env, n, "mcp.test:443", REASON_HOST, RULE_SESSION);
    narrowing_unref(n);
    spec.mcp_count = 0;
    assert_int_equal(narrowing_new(&spec, NULL, &n), ERR_NONE);
    ask(env, n, "mcp.test:443", REASON_HOST, RULE_SESSION);
    narrowing_unref(n);
    spec.mcp_count = NARROWING_MCP_MAX + 1;
    assert_int_equal(narrowing_new(&spec, NULL, &n), ERR_TOO_BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_every_host_listed_is_not_more_than_the_environment),
        cmocka_unit_test(test_groups_and_endpoints),
        cmocka_unit_test(test_nothing_and_everything),
        cmocka_unit_test(test_bad_hosts),
        cmocka_unit_test(test_limits_become_smaller_alone),
        cmocka_unit_test(test_endpoints_of_one_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
