/* SPDX-License-Identifier: Apache-2.0 */
/* What check found, for people and for programs. */
#include "check.h"

#include "findings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_CAP (256u * 1024u) /* the findings of one file: at most DIAG_MAX, escaped */

/* ---- for people ---- */

static void print_rule(void *arg, const struct policy_line *line)
{
    const char **section = arg;
    if (*section == NULL || strcmp(*section, line->section) != 0)
        printf("  %s\n", line->section);
    *section = line->section;
    const struct rule *rule = &line->rule;
    if (rule->file != NULL && rule->group.len > 0)
        printf("    %-60s group %.*s, version %.*s, %s:%u\n", line->text, (int)rule->group.len,
               (const char *)rule->group.data, (int)rule->version.len, (const char *)rule->version.data, rule->file,
               rule->line);
    else if (rule->file != NULL)
        printf("    %-60s %s:%u\n", line->text, rule->file, rule->line);
    else if (rule->group.len > 0)
        printf("    %-60s group %.*s, version %.*s\n", line->text, (int)rule->group.len, (const char *)rule->group.data,
               (int)rule->version.len, (const char *)rule->version.data);
    else
        printf("    %-60s built in\n", line->text);
}

static void print_tests(const struct check_report *r)
{
    size_t failed = 0;
    for (size_t i = 0; i < r->test_count; i++) {
        const struct policy_tested *t = &r->tests[i];
        failed += !t->passes;
        printf("  %s  %s:%u  %s by %s: %s (%s)\n", t->passes ? "pass" : "FAIL", t->file, t->line,
               (const char *)t->target.data, (const char *)t->via.data,
               t->decision.verdict == VERDICT_ALLOW ? "allowed" : "denied", reason_row(t->decision.reason)->name);
    }
    printf("  %zu of %zu tests pass\n", r->test_count - failed, r->test_count);
}

static void print_head(const struct check_report *r)
{
    if (r->is_configuration)
        printf("%s: %s, %zu of %zu environments\n", r->file, r->loads ? "would load" : "would not load", r->good,
               r->environments);
    else if (r->policy == NULL)
        printf("%s: would not load\n", r->file);
    else
        printf("%s: would load as environment '%.*s', policy %.16s…\n", r->file, (int)policy_name(r->policy).len,
               (const char *)policy_name(r->policy).data, policy_id(r->policy));
}

static void say_text(const struct check *c, const struct check_report *r)
{
    print_head(r);
    if (r->policy != NULL && !c->quiet) {
        const char *section = NULL;
        policy_describe(r->policy, print_rule, &section);
    }
    if (c->tests && !r->is_configuration)
        print_tests(r);
    findings_print(r->diag, stdout);
}

/* ---- for programs ---- */

static void json_rule(void *arg, const struct policy_line *line)
{
    struct json *j = arg;
    const struct rule *rule = &line->rule;
    json_open(j, '{');
    json_key_text(j, "section", line->section);
    json_key_text(j, "text", line->text);
    json_key_text(j, "rule", rule->id);
    if (rule->file != NULL) {
        json_key_text(j, "file", rule->file);
        json_key_u64(j, "line", rule->line);
    }
    if (rule->group.len > 0)
        json_key_span(j, "group", rule->group);
    if (rule->version.len > 0)
        json_key_span(j, "version", rule->version);
    json_close(j, '}');
    json_flush(j, stdout);
}

static void json_tests(struct json *j, const struct check_report *r)
{
    json_key(j, "tests");
    json_open(j, '[');
    for (size_t i = 0; i < r->test_count; i++) {
        const struct policy_tested *t = &r->tests[i];
        json_open(j, '{');
        json_key_bool(j, "passes", t->passes);
        json_key_span(j, "target", t->target);
        json_key_span(j, "via", t->via);
        json_key_span(j, "expect", t->expect);
        json_key_text(j, "verdict", t->decision.verdict == VERDICT_ALLOW ? "allow" : "deny");
        json_key_text(j, "reason", reason_row(t->decision.reason)->name);
        json_key_text(j, "file", t->file);
        json_key_u64(j, "line", t->line);
        json_close(j, '}');
        json_flush(j, stdout);
    }
    json_close(j, ']');
}

static void json_head(struct json *j, const struct check_report *r)
{
    json_key_text(j, "file", r->file);
    json_key_text(j, "kind", r->is_configuration ? "configuration" : "environment");
    if (r->configuration != NULL)
        json_key_text(j, "configuration", r->configuration);
    json_key_bool(j, "loads", r->loads);
    if (r->is_configuration) {
        json_key_u64(j, "environments", r->environments);
        json_key_u64(j, "environments_that_load", r->good);
    }
    if (r->policy != NULL) {
        json_key_span(j, "environment", policy_name(r->policy));
        json_key_text(j, "policy_id", policy_id(r->policy));
        json_key_bool(j, "limited", policy_is_limited(r->policy));
    }
    json_key_u64(j, "errors", r->diag->errors);
    json_key_u64(j, "lints", r->diag->lints);
}

static void say_json(const struct check *c, const struct check_report *r)
{
    void *buffer = malloc(JSON_CAP);
    if (buffer == NULL)
        abort();
    struct outbuf out = outbuf_make(buffer, JSON_CAP);
    struct json j = json_make(&out);
    json_open(&j, '{');
    json_head(&j, r);
    json_key(&j, "findings");
    json_open(&j, '[');
    json_flush(&j, stdout);
    findings_json(r->diag, &j);
    json_close(&j, ']');
    json_flush(&j, stdout);
    if (c->tests && !r->is_configuration)
        json_tests(&j, r);
    if (r->policy != NULL && !c->quiet) {
        json_key(&j, "rules");
        json_open(&j, '[');
        policy_describe(r->policy, json_rule, &j);
        json_close(&j, ']');
    }
    json_close(&j, '}');
    json_flush(&j, stdout);
    putchar('\n');
    free(buffer);
}

void check_say(const struct check *c, const struct check_report *report)
{
    if (c->json)
        say_json(c, report);
    else
        say_text(c, report);
}
