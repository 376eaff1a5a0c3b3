/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_layers.h"

#include <stdio.h>

static const char *const answers[] = {"none", "allow", "deny"};

static void print_layer(void *arg, const struct policy_layer *layer)
{
    (void)arg;
    const struct rule *rule = &layer->rule;
    printf("  %-26s %s", layer->name, answers[layer->says]);
    if (layer->says == LAYER_DENIES)
        printf("  %s", reason_row(layer->reason)->name);
    if (rule->text.len > 0)
        printf("  %.*s", (int)rule->text.len, (const char *)rule->text.data);
    if (rule->file != NULL)
        printf("  %s:%u", rule->file, rule->line);
    else if (rule->group.len > 0)
        printf("  group %.*s, version %.*s", (int)rule->group.len, (const char *)rule->group.data,
               (int)rule->version.len, (const char *)rule->version.data);
    putchar('\n');
}

static void json_layer(void *arg, const struct policy_layer *layer)
{
    struct json *j = arg;
    const struct rule *rule = &layer->rule;
    json_open(j, '{');
    json_key_text(j, "layer", layer->name);
    json_key_text(j, "answer", answers[layer->says]);
    if (layer->says == LAYER_DENIES)
        json_key_text(j, "reason", reason_row(layer->reason)->name);
    if (layer->says != LAYER_SILENT && rule->id[0] != '\0') {
        json_key_text(j, "rule", rule->id);
        json_key_span(j, "rule_text", rule->text);
    }
    if (rule->file != NULL) {
        json_key_text(j, "file", rule->file);
        json_key_u64(j, "line", rule->line);
    }
    json_close(j, '}');
}

/* A stage behind the target's: it says nothing when it was not reached or not asked. */
static void tell_stage(const struct layers_case *c, const char *name, enum stage stage, bool asked, policy_layer_fn *fn,
                       void *arg)
{
    struct policy_layer layer = {.name = name};
    bool denies = c->decision->verdict == VERDICT_DENY && c->decision->stage == stage;
    if (asked)
        layer.says = denies ? LAYER_DENIES : LAYER_ALLOWS;
    if (denies) {
        layer.reason = c->decision->reason;
        policy_rule(c->policy, c->decision->rule, &layer.rule);
    }
    fn(arg, &layer);
}

/* The ceiling is held against an environment when it is loaded; here is what it would say of this target by itself. */
static void tell_ceiling(const struct layers_case *c, policy_layer_fn *fn, void *arg)
{
    struct policy_layer layer = {.name = "ceiling"};
    struct decision decision;
    if (c->ceiling != NULL) {
        policy_ask_target(c->ceiling, c->question, &decision);
        layer.says = decision.verdict == VERDICT_ALLOW ? LAYER_ALLOWS : LAYER_DENIES;
        layer.reason = decision.reason;
        policy_rule(c->ceiling, decision.rule, &layer.rule);
    }
    fn(arg, &layer);
}

static void tell_all(const struct layers_case *c, policy_layer_fn *fn, void *arg)
{
    tell_ceiling(c, fn, arg);
    policy_layers(c->policy, c->question, fn, arg);
    tell_stage(c, "address", STAGE_ADDRESS, c->address_asked, fn, arg);
    tell_stage(c, "hello", STAGE_HELLO, c->hello_asked, fn, arg);
}

void layers_print(const struct layers_case *c)
{
    if (c->question->target->kind == TARGET_NONE)
        return; /* nobody was asked */
    puts("What each layer says by itself:");
    tell_all(c, print_layer, NULL);
}

void layers_json(const struct layers_case *c, struct json *j)
{
    json_key(j, "layers");
    json_open(j, '[');
    if (c->question->target->kind != TARGET_NONE)
        tell_all(c, json_layer, j);
    json_close(j, ']');
}
