/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above, as it asks */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define ADDRESSES_MAX 32

struct parsed {
    enum door door;
    enum method method;
    struct target target;
    struct ipaddr addresses[ADDRESSES_MAX];
    size_t address_count;
    struct own_socket own[4];
    size_t own_count;
    enum first_bytes first;
    struct hello hello;
};

static void print_findings(const struct diag *diag)
{
    for (size_t i = 0; i < diag->count; i++)
        print_error("%s:%u:%u %s %s\n", diag->items[i].file, diag->items[i].line, diag->items[i].column,
                    diag->items[i].code, diag->items[i].message);
}

struct policy *case_load(const char *text)
{
    struct diag diag;
    struct policy *policy = NULL;
    diag_init(&diag);
    enum err err = policy_load_text("case.yaml", span_text(text), span_text(""), &diag, &policy);
    if (err != ERR_NONE) {
        print_error("%s\n", text);
        print_findings(&diag);
        diag_clear(&diag);
        fail_msg("the policy does not load: %s", err_text(err));
    }
    diag_clear(&diag);
    return policy;
}

void case_refuse(const char *text, struct diag *out)
{
    struct policy *policy = NULL;
    diag_init(out);
    enum err err = policy_load_text("case.yaml", span_text(text), span_text(""), out, &policy);
    if (err == ERR_NONE) {
        policy_unref(policy);
        fail_msg("this loads and must not:\n%s", text);
    }
    assert_null(policy);
    assert_int_equal(err, ERR_INVALID);
    assert_true(out->errors > 0 && out->count > 0);
}

bool case_found(const struct diag *diag, const char *code, uint32_t line)
{
    for (size_t i = 0; i < diag->count; i++)
        if (diag->items[i].severity == SEVERITY_ERROR && strcmp(diag->items[i].code, code) == 0 &&
            (line == 0 || diag->items[i].line == line))
            return true;
    return false;
}

void case_fault(const char *text, const char *code, uint32_t line)
{
    struct diag diag;
    case_refuse(text, &diag);
    if (!case_found(&diag, code, line)) {
        for (size_t i = 0; i < diag.count; i++)
            print_error("%u:%u %s %s\n", diag.items[i].line, diag.items[i].column, diag.items[i].code,
                        diag.items[i].message);
        fail_msg("wanted %s in line %u of:\n%s", code, line, text);
    }
    diag_clear(&diag);
}

void case_faults(const struct policy_fault *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        case_fault(rows[i].text, rows[i].code, rows[i].line);
}

struct target case_target(const char *text)
{
    struct target target;
    if (target_parse_authority(span_text(text), &target) != ERR_NONE)
        fail_msg("the case has no target: %s", text);
    return target;
}

/* ---- words of a row ---- */

static void parse_door(const char *text, struct parsed *out)
{
    static const char *const doors[] = {"connect", "http", "socks5", "tls", "plain"};
    const char *colon = strchr(text, ':');
    size_t len = colon == NULL ? strlen(text) : (size_t)(colon - text);
    size_t i = 0;
    while (i < 5 && (strlen(doors[i]) != len || memcmp(doors[i], text, len) != 0))
        i++;
    assert_true(i < 5);
    out->door = (enum door)i;
    out->method = out->door == DOOR_HTTP || out->door == DOOR_PLAIN ? METHOD_GET : METHOD_CONNECT;
    if (colon == NULL)
        return;
    out->method = METHOD_UNKNOWN;
#define X(name)                                                                                                        \
    if (strcmp(colon + 1, #name) == 0)                                                                                 \
        out->method = METHOD_##name;
    METHOD_TABLE(X)
#undef X
}

static void parse_address(const char *word, struct parsed *out)
{
    if (strncmp(word, "own=", 4) == 0) {
        struct target own = case_target(word + 4);
        out->own[out->own_count++] = (struct own_socket){own.addr, own.port};
        return;
    }
    if (ipaddr_parse(span_text(word), &out->addresses[out->address_count++]) != ERR_NONE)
        fail_msg("the case has no address: %s", word);
}

static void parse_addresses(const char *text, struct parsed *out)
{
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", text);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        parse_address(word, out);
}

static void parse_hello(const char *text, struct parsed *out)
{
    const char *plus = strchr(text, '+');
    size_t len = plus == NULL ? strlen(text) : (size_t)(plus - text);
    out->hello.ech = plus != NULL;
    out->first = strcmp(text, "no-tls") == 0    ? FIRST_NOT_TLS
                 : strcmp(text, "silence") == 0 ? FIRST_SILENCE
                                                : FIRST_HELLO;
    if (strncmp(text, "sni=", 4) == 0) {
        out->hello.sni = SNI_PRESENT;
        assert_int_equal(hostname_parse(span_make(text + 4, len - 4), &out->hello.name), ERR_NONE);
    }
}

static bool said(const char *column)
{
    return column != NULL && column[0] != '\0';
}

/* ---- the run ---- */

static void check_admitted(const struct parsed *p, const struct decision *decision, const struct admitted *admitted)
{
    if (decision->verdict == VERDICT_DENY) {
        assert_int_equal(admitted_count(admitted), 0);
        return;
    }
    size_t count = p->address_count < ADMITTED_MAX ? p->address_count : ADMITTED_MAX;
    assert_int_equal(admitted_count(admitted), count);
    assert_int_equal(admitted_port(admitted), p->target.port);
    for (size_t i = 0; i < count; i++)
        assert_true(ipaddr_equal(admitted_at(admitted, i), &p->addresses[i]));
}

static void ask(const struct policy *policy, const struct policy_case *row, const struct parsed *p,
                struct decision *out)
{
    struct question question = {
        .door = p->door,
        .method = p->method,
        .target = &p->target,
        .generation = 77,
        .own = p->own,
        .own_count = p->own_count,
    };
    policy_ask_target(policy, &question, out);
    if (out->verdict == VERDICT_ALLOW && said(row->addresses)) {
        struct admitted admitted;
        policy_ask_address(policy, &question, p->addresses, p->address_count, &admitted, out, NULL);
        check_admitted(p, out, &admitted);
    }
    if (out->verdict == VERDICT_ALLOW && said(row->hello))
        policy_ask_hello(policy, &question, p->first, &p->hello, out);
    assert_int_equal(out->generation, 77);
}

static void run(const struct policy *policy, const struct policy_case *row)
{
    struct parsed p = {0};
    struct decision decision;
    struct rule rule;
    p.target = case_target(row->target);
    parse_door(row->door, &p);
    if (said(row->addresses))
        parse_addresses(row->addresses, &p);
    if (said(row->hello))
        parse_hello(row->hello, &p);
    ask(policy, row, &p, &decision);
    policy_rule(policy, decision.rule, &rule);
    const char *reason = reason_row(decision.reason)->name;
    bool right = strcmp(reason, row->reason) == 0 && (!said(row->rule) || strcmp(rule.id, row->rule) == 0);
    if (!right)
        fail_msg("%s %s [%s] [%s]: %s by %s, wanted %s by %s", row->door, row->target,
                 said(row->addresses) ? row->addresses : "", said(row->hello) ? row->hello : "", reason, rule.id,
                 row->reason, said(row->rule) ? row->rule : "any");
    assert_int_equal(decision.verdict, decision.reason == REASON_ALLOWED ? VERDICT_ALLOW : VERDICT_DENY);
}

void cases_run(const struct policy_case *rows, size_t count)
{
    struct policy *policy = NULL;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || rows[i].policy != rows[i - 1].policy) {
            policy_unref(policy);
            policy = case_load(rows[i].policy);
        }
        run(policy, &rows[i]);
    }
    policy_unref(policy);
}
