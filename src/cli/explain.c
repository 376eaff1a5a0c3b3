/* SPDX-License-Identifier: Apache-2.0 */
/* explain: one decision, the line that made it, and what would change it. */
#include "explain.h"

#include "base/clock.h"
#include "cli/verbs.h"
#include "explain_config.h"
#include "explain_layers.h"
#include "findings.h"

#include <stdio.h>
#include <string.h>

#define EXIT_UNDECIDED 2

/* ---- asking ---- */

/* As a client would write it; an IPv6 address may go without brackets when there is no port. */
static enum err read_target(const struct explain *e, struct target *out)
{
    uint16_t port = explain_is_http(e->door) ? 80 : 443;
    bool has_port = false;
    struct ipaddr addr;
    if (ipaddr_parse(span_text(e->host), &addr) == ERR_NONE && addr.family == 6) {
        *out = (struct target){.kind = TARGET_ADDRESS, .port = port, .addr = addr};
        return ERR_NONE;
    }
    return target_parse_host(span_text(e->host), port, out, &has_port);
}

static void ask(const struct explain *e, const struct policy *policy, const struct question *question,
                struct answer *out)
{
    policy_ask_target(policy, question, &out->decision);
    bool is_address = question->target->kind == TARGET_ADDRESS;
    if (out->decision.verdict == VERDICT_ALLOW && (e->address_count > 0 || is_address)) {
        struct admitted admitted;
        size_t index = 0;
        const struct ipaddr *answers = is_address ? &question->target->addr : e->addresses;
        size_t count = is_address ? 1 : e->address_count;
        struct rule_ref by_name = out->decision.rule;
        out->address_asked = true;
        policy_ask_address(policy, question, answers, count, &admitted, &out->decision, &index);
        if (out->decision.verdict == VERDICT_DENY)
            out->address = &answers[index];
        else if (out->decision.rule.kind == RULE_DEFAULT)
            out->decision.rule = by_name; /* public addresses need no rule: the name's is the one to show */
    }
    if (out->decision.verdict == VERDICT_ALLOW && e->asks_hello && !explain_is_http(e->door)) {
        struct rule_ref before = out->decision.rule;
        out->hello_asked = true;
        policy_ask_hello(policy, question, e->first, &e->hello, &out->decision);
        if (out->decision.verdict == VERDICT_ALLOW)
            out->decision.rule = before;
    }
}

struct again {
    const struct explain *e;
    const struct question *question;
};

static void ask_again(const void *arg, const struct policy *policy, struct decision *out,
                      const struct ipaddr **out_address)
{
    const struct again *again = arg;
    struct answer a = {0};
    ask(again->e, policy, again->question, &a);
    *out = a.decision;
    *out_address = a.address;
}

/* What refuses in the end is no line of the policy, but an act. */
static void add_session(const struct explain *e, const struct policy *policy, const struct question *question,
                        struct opening *opening)
{
    struct outbuf out = outbuf_make(opening->text, sizeof opening->text);
    if (e->session == NULL || opening->left.verdict == VERDICT_ALLOW || opening->left.rule.kind != RULE_SESSION)
        return;
    out.len = opening->len;
    session_then_opening(e->session, policy, question, &out);
    opening->len = out.overflow ? opening->len : out.len;
}

static int answer(const struct explain *e, const struct policy *policy)
{
    static struct opening opening;
    struct target target = {0};
    struct answer a = {
        .decision = {.reason = REASON_TARGET, .stage = STAGE_SYNTAX, .rule = {RULE_SYNTAX, 0}}
    };
    struct question question = {
        .door = e->door,
        .method = e->method,
        .target = &target,
        .own = e->own,
        .own_count = e->own_count,
        .narrowing = e->narrowing,
        .observes = e->at_ms < policy_observes_until_ms(policy),
    };
    struct again again = {e, &question};
    struct opening_case c = {e->sources, policy, &question, e->catalogue, ask_again, &again};
    if (read_target(e, &target) == ERR_NONE) {
        ask(e, policy, &question, &a);
        opening_find(&c, &a.decision, a.address, &opening);
        add_session(e, opening.changed != NULL ? opening.changed : policy, &question, &opening);
    } else {
        target = (struct target){0};
    }
    if (e->json) {
        explain_json(e, &target, policy, &a, &c, &opening);
    } else {
        explain_print(e, &target, policy, &a);
        layers_print(&(struct layers_case){policy, e->sources->above != NULL ? e->sources->above->ceiling : NULL,
                                           &question, &a.decision, a.address_asked, a.hello_asked});
        opening_print(&c, &opening);
    }
    opening_free(&opening);
    return a.decision.verdict == VERDICT_ALLOW ? 0 : 1;
}

/* A hello option that says nothing of the name means the honest one. */
static void complete(struct explain *e)
{
    struct target target;
    if (!e->asks_method)
        e->method = explain_is_http(e->door) ? METHOD_GET : METHOD_CONNECT;
    if (!e->has_sni && !e->no_sni && read_target(e, &target) == ERR_NONE && target.kind == TARGET_NAME) {
        e->hello.sni = SNI_PRESENT;
        e->hello.name = target.name;
    }
}

/* ---- a request of the log ---- */

static void take_logged(struct explain *e, const struct logged *logged)
{
    e->request = e->host;
    e->host = logged->target;
    e->at_ms = logged->time_ms;
    for (enum door door = DOOR_CONNECT; door <= DOOR_PLAIN; door++)
        if (strcmp(logged->door, explain_door(door)) == 0)
            e->door = door;
    if (logged->method[0] != '\0' && explain_is_http(e->door))
        explain_set_method(e, logged->method);
    memcpy(e->addresses, logged->answers, sizeof e->addresses);
    e->address_count = logged->answer_count;
    e->asks_hello = logged->has_hello;
    e->first = logged->first;
    e->hello.ech = logged->ech;
    e->no_sni = hostname_parse(span_text(logged->sni), &e->hello.name) != ERR_NONE;
    e->has_sni = !e->no_sni;
    e->hello.sni = e->no_sni ? SNI_NONE : SNI_PRESENT;
    if (!e->json)
        printf("RECORDED  %s by %s at stage %s, policy %.16s…\n", logged->reason, logged->rule, logged->stage,
               logged->policy_id);
}

/* What the session left of the environment at that time. A refusal of its own cannot be explained without it. */
static enum err take_session(struct explain *e, const struct logged *logged, struct session_then *session)
{
    char text[12288];
    struct outbuf out = outbuf_make(text, sizeof text);
    enum err err = session_then_find(e->audit_dir, logged, session);
    if (err == ERR_NONE)
        err = session_then_narrowing(session, &e->narrowing);
    if (err != ERR_NONE) {
        fprintf(stderr, "sallyport: what the session '%s' had narrowed cannot be told from %s: %s\n", logged->session,
                e->audit_dir, err_text(err));
        return strcmp(logged->rule, "session") == 0 ? err : ERR_NONE;
    }
    if (e->narrowing == NULL && session->id[0] == '\0')
        return ERR_NONE;
    e->session = session;
    session_then_describe(session, &out);
    if (!e->json)
        printf("SESSION   %s: %.*s\n", session->id[0] != '\0' ? session->id : "-", out.len > 0 ? (int)out.len : 64,
               out.len > 0 ? text : "all that its environment allows");
    return ERR_NONE;
}

static enum err open_logged(struct explain *e, struct logged *logged, struct session_then *session, struct diag *diag,
                            struct policy_texts *texts, struct policy **out)
{
    enum err err = logged_find(e->audit_dir, e->host, logged);
    if (err != ERR_NONE) {
        fprintf(stderr, "sallyport: no request '%s' in %s: %s\n", e->host, e->audit_dir, err_text(err));
        return err;
    }
    take_logged(e, logged);
    err = take_session(e, logged, session);
    if (err != ERR_NONE)
        return err;
    if (e->policy_path != NULL)
        return ERR_NONE; /* asked of another policy */
    err = logged_policy(e->audit_dir, logged, diag, texts, out);
    e->sources = &texts->sources;
    if (err != ERR_NONE)
        fprintf(stderr, "sallyport: the policy %s cannot be had: %s\n", logged->policy_id, err_text(err));
    else if (strcmp(policy_id(*out), logged->policy_id) != 0)
        fputs("sallyport: the texts that were kept make another policy than that of then\n", stderr);
    return err;
}

int verb_explain(int argc, char **argv)
{
    struct explain e = {.first = FIRST_HELLO, .at_ms = clock_wall_ns() / 1000000};
    struct logged logged;
    static struct session_then session;
    struct policy_texts texts = {0};
    struct policy_sources sources;
    struct config *config = NULL;
    explain_args(argc, argv, &e);
    struct diag diag;
    struct policy *policy = NULL;
    int status = EXIT_UNDECIDED;
    diag_init(&diag);
    enum err err = e.audit_dir != NULL ? open_logged(&e, &logged, &session, &diag, &texts, &policy) : ERR_NONE;
    complete(&e);
    if (err == ERR_NONE && policy == NULL && e.config_path != NULL) {
        err = explain_config(e.config_path, e.environment, &diag, &config, &e.sources, &policy);
        e.catalogue_path = config != NULL ? config->catalogue_path : NULL;
    } else if (err == ERR_NONE && policy == NULL) {
        sources = (struct policy_sources){
            .path = e.policy_path, .egress_path = e.egress_path, .catalogue_path = e.catalogue_path};
        e.sources = &sources;
        err = policy_load(&sources, &diag, &policy);
    }
    struct catalogue *catalogue = NULL;
    if (err == ERR_NONE)
        err = e.sources == &texts.sources ? policy_then_catalogue(&texts, &diag, &catalogue)
                                          : catalogue_load(e.catalogue_path, false, &diag, &catalogue);
    e.catalogue = catalogue;
    if (err == ERR_NONE)
        status = answer(&e, policy);
    else
        findings_print(&diag, stderr);
    narrowing_unref(e.narrowing);
    policy_unref(policy);
    catalogue_free(catalogue);
    policy_texts_free(&texts);
    config_free(config);
    diag_clear(&diag);
    return status;
}
