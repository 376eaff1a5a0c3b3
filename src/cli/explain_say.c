/* SPDX-License-Identifier: Apache-2.0 */
/* An answer, for people and as JSON. */
#include "explain.h"

#include "explain_layers.h"
#include "findings.h"

#include <stdio.h>

static void print_rule(const struct rule *rule)
{
    printf("  rule      %s", rule->id);
    if (rule->text.len > 0)
        printf("  %.*s", (int)rule->text.len, (const char *)rule->text.data);
    putchar('\n');
    if (rule->file != NULL)
        printf("  line      %s:%u\n", rule->file, rule->line);
    if (rule->group.len > 0)
        printf("  group     %.*s, version %.*s\n", (int)rule->group.len, (const char *)rule->group.data,
               (int)rule->version.len, (const char *)rule->version.data);
}

static void print_address(const struct answer *a)
{
    char text[IPADDR_TEXT_MAX];
    if (a->address == NULL)
        return;
    ipaddr_format(a->address, text);
    printf("  address   %s, %s\n", text, policy_address_class(a->address));
}

void explain_print(const struct explain *e, const struct target *target, const struct policy *policy,
                   const struct answer *a)
{
    char text[TARGET_TEXT_MAX];
    struct rule rule;
    const struct reason_row *row = reason_row(a->decision.reason);
    if (target->kind == TARGET_NONE)
        snprintf(text, sizeof text, "this target");
    else
        target_format(target, text);
    printf("%s  %s by %s\n", a->decision.verdict == VERDICT_ALLOW ? "ALLOWED" : "DENIED", text, explain_door(e->door));
    if (a->decision.verdict == VERDICT_DENY)
        printf("  reason    %s: %s\n", row->name, row->sentence);
    if (a->decision.observed != REASON_NONE)
        printf("  observed  enforcing would refuse it: %s: %s\n", reason_row(a->decision.observed)->name,
               reason_row(a->decision.observed)->sentence);
    printf("  stage     %s\n", stage_text(a->decision.stage));
    policy_rule(policy, a->decision.rule, &rule);
    print_rule(&rule);
    print_address(a);
    if (a->decision.verdict == VERDICT_ALLOW)
        printf("  judged    name and port%s%s\n", a->address_asked ? ", addresses" : "; addresses with --address",
               a->hello_asked ? ", TLS hello" : "");
}

static void json_session(const struct session_then *session, struct json *j)
{
    static char text[12288];
    struct outbuf out = outbuf_make(text, sizeof text);
    session_then_describe(session, &out);
    json_key(j, "session");
    json_open(j, '{');
    json_key_text(j, "id", session->id);
    json_key_span(j, "leaves", outbuf_written(&out));
    json_close(j, '}');
}

void explain_json(const struct explain *e, const struct target *target, const struct policy *policy,
                  const struct answer *a, const struct opening_case *c, const struct opening *opening)
{
    static uint8_t buffer[128 * 1024];
    char text[TARGET_TEXT_MAX];
    struct outbuf out = outbuf_make(buffer, sizeof buffer);
    struct json j = json_make(&out);
    struct rule rule;
    policy_rule(policy, a->decision.rule, &rule);
    json_open(&j, '{');
    if (e->request != NULL)
        json_key_text(&j, "request_id", e->request);
    if (e->session != NULL)
        json_session(e->session, &j);
    json_key_text(&j, "verdict", a->decision.verdict == VERDICT_ALLOW ? "allow" : "deny");
    json_key_text(&j, "reason", reason_row(a->decision.reason)->name);
    if (a->decision.observed != REASON_NONE)
        json_key_text(&j, "observed", reason_row(a->decision.observed)->name);
    json_key_text(&j, "stage", stage_text(a->decision.stage));
    json_key_text(&j, "via", explain_door(e->door));
    if (target->kind != TARGET_NONE) {
        target_format_host(target, text);
        json_key_text(&j, "host", text);
        json_key_u64(&j, "port", target->port);
    }
    if (a->address != NULL) {
        char address[IPADDR_TEXT_MAX];
        ipaddr_format(a->address, address);
        json_key_text(&j, "address", address);
        json_key_text(&j, "address_class", policy_address_class(a->address));
    }
    json_key_span(&j, "environment", policy_name(policy));
    json_key_text(&j, "policy_id", policy_id(policy));
    json_key_text(&j, "rule", rule.id);
    json_key_span(&j, "rule_text", rule.text);
    if (rule.file != NULL) {
        json_key_text(&j, "file", rule.file);
        json_key_u64(&j, "line", rule.line);
    }
    if (rule.group.len > 0)
        json_key_span(&j, "group", rule.group);
    if (rule.version.len > 0)
        json_key_span(&j, "version", rule.version);
    json_key_bool(&j, "address_judged", a->address_asked);
    json_key_bool(&j, "hello_judged", a->hello_asked);
    layers_json(&(struct layers_case){policy, e->sources->above != NULL ? e->sources->above->ceiling : NULL,
                                      c->question, &a->decision, a->address_asked, a->hello_asked},
                &j);
    opening_json(c, opening, &j);
    json_close(&j, '}');
    json_flush(&j, stdout);
    putchar('\n');
}
