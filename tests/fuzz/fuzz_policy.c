/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a policy: it loads or says why, and whatever loads keeps what holds for every policy. */
#include "policy/policy.h"

#include "fuzz_check.h"

static const char *const targets[] = {
    "allowed.test:443",       "a.wild.test:443",
    "a.b.wild.test:8443",     "denied.test:22",
    "127.0.0.1:8443",         "10.1.2.3:443",
    "11.22.33.44:443",        "[::1]:443",
    "[::ffff:b16:212c]:443",  "metadata.google.internal:80",
    "mcp.test:443",           "pypi.org:443",
    "xn--bcher-kva.test:443",
};

/* Never admitted, whatever a policy says. */
static const char *const never[] = {
    "0.0.0.0",          "169.254.169.254", "100.100.100.200", "168.63.129.16",
    "224.0.0.1",        "255.255.255.255", "192.0.2.1",       "::",
    "fe80::1",          "ff02::1",         "fd00:ec2::254",   "2001:db8::1",
    "::ffff:127.0.0.1", "2002:7f00:1::1",
};

static void check_decision(const struct policy *policy, const struct decision *decision)
{
    struct rule rule;
    CHECK((decision->verdict == VERDICT_ALLOW) == (decision->reason == REASON_ALLOWED));
    CHECK(decision->reason != REASON_NONE);
    policy_rule(policy, decision->rule, &rule);
    CHECK(rule.id[0] != '\0');
}

static void check_never(const struct policy *policy, const struct question *question)
{
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        struct ipaddr addr;
        struct admitted admitted;
        struct decision decision;
        CHECK(ipaddr_parse(span_text(never[i]), &addr) == ERR_NONE);
        policy_ask_address(policy, question, &addr, 1, &admitted, &decision, NULL);
        CHECK(decision.verdict == VERDICT_DENY);
        CHECK(admitted_count(&admitted) == 0);
        check_decision(policy, &decision);
    }
}

static void ask_hello(const struct policy *policy, const struct question *question)
{
    static const enum first_bytes firsts[] = {FIRST_HELLO, FIRST_NOT_TLS, FIRST_SILENCE};
    struct decision decision;
    struct hello other = {.sni = SNI_PRESENT};
    CHECK(hostname_parse(span_text("another.test"), &other.name) == ERR_NONE);
    policy_ask_hello(policy, question, FIRST_HELLO, &other, &decision);
    CHECK(decision.verdict == VERDICT_DENY); /* no policy lets a hello name another host */
    struct hello none = {.sni = SNI_NONE};
    for (size_t i = 0; i < 3; i++) {
        policy_ask_hello(policy, question, firsts[i], &none, &decision);
        check_decision(policy, &decision);
    }
}

static void ask(const struct policy *policy, const char *text, enum door door, bool open)
{
    struct target target;
    struct decision decision;
    static char opening[16384];
    CHECK(target_parse_authority(span_text(text), &target) == ERR_NONE);
    struct question question = {
        .door = door,
        .method = door == DOOR_HTTP ? METHOD_POST : METHOD_CONNECT,
        .target = &target,
    };
    policy_ask_target(policy, &question, &decision);
    check_decision(policy, &decision);
    struct policy_change change;
    struct outbuf out = outbuf_make(opening, sizeof opening);
    if (open)
        policy_opening(policy, &question, &decision, NULL, NULL, &out, &change);
    check_never(policy, &question);
    ask_hello(policy, &question);
}

static void count_line(void *arg, const struct policy_line *line)
{
    size_t *count = arg;
    CHECK(line->section != NULL && memchr(line->text, '\0', sizeof line->text) != NULL);
    (*count)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag diag;
    struct policy *policy = NULL;
    size_t lines = 0;
    diag_init(&diag);
    /* What stands behind a NUL is the block in a file of its own. */
    struct span text = span_first(span_make(data, size), span_find(span_make(data, size), 0));
    enum err err = policy_load_text("/nonexistent/fuzz.yaml", text, span_from(span_make(data, size), text.len + 1),
                                    &diag, &policy);
    CHECK((err == ERR_NONE) == (policy != NULL));
    CHECK((err == ERR_NONE) == (diag.errors == 0));
    if (policy != NULL) {
        policy_describe(policy, count_line, &lines);
        CHECK(lines > 0);
        for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
            ask(policy, targets[i], DOOR_CONNECT, i < 2);
            ask(policy, targets[i], DOOR_HTTP, false);
        }
    }
    policy_unref(policy);
    diag_clear(&diag);
    return 0;
}
