/* SPDX-License-Identifier: Apache-2.0 */
/* mode: observe: what passes although enforcing would refuse it, and what never does. */
#include "cases.h"

#include "policy/narrow.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define DAY_MS 86400000ll

static const char observing[] = "name: e\n"
                                "config: {networking: {type: limited, allowed_hosts: [a.test, p.test]}}\n"
                                "egress:\n"
                                "  mode: observe\n"
                                "  observe_until: 2027-01-31\n"
                                "  denied_hosts: [d.test]\n"
                                "  private_networks: [10.0.0.0/8]\n"
                                "  methods: [GET]\n"
                                "  hosts: [{host: e.test, ports: [443, 8443]}]\n"
                                "  tests: [{target: \"b.test:443\", expect: deny}]\n";

static struct decision ask(const struct policy *policy, const char *text, enum door door, enum method method,
                           const struct narrowing *narrowing, bool observes)
{
    struct target target = case_target(text);
    struct question question = {
        .door = door, .method = method, .target = &target, .narrowing = narrowing, .observes = observes};
    struct decision decision;
    policy_ask_target(policy, &question, &decision);
    return decision;
}

static void test_until(void **state)
{
    (void)state;
    static const struct {
        const char *day;
        long long end_days; /* since 1970 */
    } rows[] = {
        {"2027-01-31", 20850},
        {"2028-02-29", 21244},
        {"2000-02-29", 11017},
        {"2026-12-31", 20819},
        {"2100-03-01", 47542},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[200];
        snprintf(text, sizeof text,
                 "name: e\nconfig: {networking: {type: limited}}\negress: {mode: observe, observe_until: %s}\n",
                 rows[i].day);
        struct policy *policy = case_load(text);
        assert_int_equal(policy_observes_until_ms(policy), rows[i].end_days * DAY_MS);
        policy_unref(policy);
    }
    struct policy *policy = case_load("name: e\nconfig: {networking: {type: limited}}\negress: {mode: enforce}\n");
    assert_int_equal(policy_observes_until_ms(policy), 0);
    policy_unref(policy);
}

static void test_target(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        enum door door;
        enum method method;
        enum reason reason, observed;
    } rows[] = {
        {"a.test:443",            DOOR_CONNECT, METHOD_CONNECT, REASON_ALLOWED, REASON_NONE   },
        {"b.test:443",            DOOR_CONNECT, METHOD_CONNECT, REASON_ALLOWED, REASON_HOST   },
        {"b.test:80",             DOOR_HTTP,    METHOD_GET,     REASON_ALLOWED, REASON_HOST   },
        {"a.test:8443",           DOOR_CONNECT, METHOD_CONNECT, REASON_ALLOWED, REASON_PORT   },
        {"e.test:9000",           DOOR_CONNECT, METHOD_CONNECT, REASON_ALLOWED, REASON_PORT   },
        {"11.22.33.44:443",       DOOR_CONNECT, METHOD_CONNECT, REASON_ALLOWED, REASON_LITERAL},
        {"d.test:443",            DOOR_CONNECT, METHOD_CONNECT, REASON_DENIED,  REASON_NONE   },
        {"b.test:22",             DOOR_CONNECT, METHOD_CONNECT, REASON_PORT,    REASON_NONE   },
        {"b.test:80",             DOOR_HTTP,    METHOD_POST,    REASON_METHOD,  REASON_NONE   },
        {"[::ffff:10.0.0.1]:443", DOOR_CONNECT, METHOD_CONNECT, REASON_LITERAL, REASON_NONE   },
    };
    struct policy *policy = case_load(observing);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct decision d = ask(policy, rows[i].target, rows[i].door, rows[i].method, NULL, true);
        assert_int_equal(d.reason, rows[i].reason);
        assert_int_equal(d.observed, rows[i].observed);
        assert_int_equal(d.verdict == VERDICT_ALLOW, rows[i].reason == REASON_ALLOWED);
        d = ask(policy, rows[i].target, rows[i].door, rows[i].method, NULL, false);
        assert_int_equal(d.observed, REASON_NONE);
        assert_int_equal(d.reason, rows[i].observed != REASON_NONE ? rows[i].observed : rows[i].reason);
    }
    policy_unref(policy);
}

/* A session's word is not lifted: it may only narrow. */
static void test_sessions(void **state)
{
    (void)state;
    struct policy *policy = case_load(observing);
    const struct span hosts[] = {span_text("a.test"), span_text("x.test")};
    const struct narrowing_spec only = {.only_hosts = true, .hosts = hosts, .host_count = 2};
    const struct narrowing_spec none = {.deny_all = true};
    struct narrowing *narrowing = NULL;
    assert_int_equal(narrowing_new(&only, NULL, &narrowing), ERR_NONE);
    assert_int_equal(ask(policy, "x.test:443", DOOR_CONNECT, METHOD_CONNECT, narrowing, true).observed, REASON_HOST);
    assert_int_equal(ask(policy, "b.test:443", DOOR_CONNECT, METHOD_CONNECT, narrowing, true).verdict, VERDICT_DENY);
    assert_int_equal(ask(policy, "p.test:443", DOOR_CONNECT, METHOD_CONNECT, narrowing, true).verdict, VERDICT_DENY);
    narrowing_unref(narrowing);
    assert_int_equal(narrowing_new(&none, NULL, &narrowing), ERR_NONE);
    assert_int_equal(ask(policy, "a.test:443", DOOR_CONNECT, METHOD_CONNECT, narrowing, true).verdict, VERDICT_DENY);
    assert_int_equal(ask(policy, "b.test:443", DOOR_CONNECT, METHOD_CONNECT, narrowing, true).verdict, VERDICT_DENY);
    narrowing_unref(narrowing);
    policy_unref(policy);
}

static enum reason address(const struct policy *policy, const char *text, const char *answer)
{
    struct target target = case_target(text);
    struct question question = {.door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = &target, .observes = true};
    struct decision decision;
    struct admitted admitted;
    struct ipaddr addr;
    assert_int_equal(ipaddr_parse(span_text(answer), &addr), ERR_NONE);
    policy_ask_address(policy, &question, &addr, 1, &admitted, &decision, NULL);
    return decision.reason;
}

/* Private prefixes are open for names that the policy lists, never for one that only observing let pass. */
static void test_addresses(void **state)
{
    (void)state;
    struct policy *policy = case_load(observing);
    assert_int_equal(address(policy, "p.test:443", "10.1.2.3"), REASON_ALLOWED);
    assert_int_equal(address(policy, "b.test:443", "11.22.33.44"), REASON_ALLOWED);
    assert_int_equal(address(policy, "b.test:443", "10.1.2.3"), REASON_ADDRESS);
    assert_int_equal(address(policy, "b.test:443", "127.0.0.1"), REASON_ADDRESS);
    assert_int_equal(address(policy, "10.1.2.3:443", "10.1.2.3"), REASON_ADDRESS);
    assert_int_equal(address(policy, "169.254.169.254:443", "169.254.169.254"), REASON_ADDRESS);
    policy_unref(policy);
}

static void test_hellos(void **state)
{
    (void)state;
    struct policy *policy = case_load(observing);
    struct target target = case_target("a.test:443");
    struct question question = {.door = DOOR_CONNECT, .method = METHOD_CONNECT, .target = &target, .observes = true};
    struct decision d;
    struct hello none = {.sni = SNI_NONE}, ech = {.sni = SNI_NONE, .ech = true}, other = {.sni = SNI_PRESENT};
    assert_int_equal(hostname_parse(span_text("other.test"), &other.name), ERR_NONE);
    static const enum reason wanted[] = {REASON_SNI_ABSENT, REASON_SNI_MISMATCH, REASON_NOT_TLS, REASON_HELLO_TIME};
    for (unsigned i = 0; i < 4; i++) {
        enum first_bytes first = i < 2 ? FIRST_HELLO : i == 2 ? FIRST_NOT_TLS : FIRST_SILENCE;
        policy_ask_hello(policy, &question, first, i == 1 ? &other : &none, &d);
        assert_int_equal(d.verdict, VERDICT_ALLOW);
        assert_int_equal(d.observed, wanted[i]);
    }
    policy_ask_hello(policy, &question, FIRST_HELLO, &ech, &d);
    assert_int_equal(d.reason, REASON_ECH);
    assert_int_equal(d.verdict, VERDICT_DENY);
    question.observes = false;
    policy_ask_hello(policy, &question, FIRST_HELLO, &none, &d);
    assert_int_equal(d.reason, REASON_SNI_ABSENT);
    policy_unref(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_until),     cmocka_unit_test(test_target), cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_hellos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
