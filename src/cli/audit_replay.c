/* SPDX-License-Identifier: Apache-2.0 */
/* audit replay: each decision of a log is made again, from what was recorded and the policy that was in force. */
#include "audit_verbs.h"
#include "explain_log.h"
#include "options.h"

#include "audit/reader.h"
#include "cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLICIES_MAX   256u
#define EXIT_DIFFERENT 5

enum { OPT_JSON = 1000 };

struct replay_args {
    const char *dir;
    bool json;
};

/* A policy of the log; `policy` is NULL when it cannot be had as it was. */
struct replay_policy {
    char id[POLICY_ID_TEXT + 1];
    struct policy *policy;
    struct policy_texts texts;
};

struct replay {
    const struct replay_args *args;
    struct replay_policy policies[POLICIES_MAX];
    size_t policy_count;
    struct diag diag;
    uint64_t same, different, without_policy, not_decided;
    enum err failed; /* to load one of them: nothing is said of the log by it */
};

/* Reasons that a policy gives from what a record holds; others came from limits, peers or the network. */
static const enum reason by_target[] = {REASON_METHOD, REASON_METHOD_UNKNOWN, REASON_PORT,
                                        REASON_HOST,   REASON_DENIED,         REASON_LITERAL};
static const enum reason by_later[] = {REASON_ADDRESS, REASON_NOT_TLS, REASON_SNI_ABSENT, REASON_SNI_MISMATCH,
                                       REASON_ECH};

static bool is_one_of(const char *name, const enum reason *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, reason_row(list[i])->name) == 0)
            return true;
    return false;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct audit_place places[] = {
        AUDIT_PLACE(OPT_JSON, struct replay_args, json),
    };
    struct replay_args *a = state->input;
    return audit_take(places, sizeof places / sizeof places[0], key, arg, state, &a->dir);
}

static struct policy *policy_of(struct replay *r, const struct logged *logged)
{
    for (size_t i = 0; i < r->policy_count; i++)
        if (strcmp(r->policies[i].id, logged->policy_id) == 0)
            return r->policies[i].policy;
    if (r->policy_count == POLICIES_MAX)
        return NULL;
    struct replay_policy *p = &r->policies[r->policy_count++];
    snprintf(p->id, sizeof p->id, "%s", logged->policy_id);
    errno = 0;
    enum err err = logged_policy(r->args->dir, logged, &r->diag, &p->texts, &p->policy);
    if (err != ERR_NONE)
        p->policy = NULL;
    /* That it could not be read, or for want of memory, says nothing of what the log has. */
    if (err != ERR_NONE && (errno == ENOMEM || errno == EMFILE || errno == ENFILE || errno == EIO))
        r->failed = errno == ENOMEM ? ERR_NO_MEMORY : ERR_IO;
    if (p->policy != NULL && strcmp(policy_id(p->policy), p->id) != 0) { /* a list beside it is another now */
        policy_unref(p->policy);
        p->policy = NULL;
    }
    return p->policy;
}

static enum door door_of(const char *word)
{
    for (enum door d = DOOR_CONNECT; d <= DOOR_PLAIN; d = (enum door)(d + 1))
        if (strcmp(word, door_text(d)) == 0)
            return d;
    return DOOR_CONNECT;
}

static enum method method_of(const struct logged *logged, enum door door)
{
    static const char *const names[] = {
#define X(name) [METHOD_##name] = #name,
        METHOD_TABLE(X)
#undef X
    };
    if (door != DOOR_HTTP && door != DOOR_PLAIN)
        return METHOD_CONNECT;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] != NULL && strcmp(names[i], logged->method) == 0)
            return (enum method)i;
    return METHOD_UNKNOWN;
}

static void ask_hello(const struct policy *policy, const struct question *q, const struct logged *logged,
                      struct decision *out)
{
    struct hello hello = {.ech = logged->ech};
    hello.sni = hostname_parse(span_text(logged->sni), &hello.name) == ERR_NONE ? SNI_PRESENT : SNI_NONE;
    policy_ask_hello(policy, q, logged->first, &hello, out);
}

static void ask(const struct policy *policy, const struct question *q, const struct logged *logged, bool later,
                struct decision *out)
{
    struct admitted admitted;
    bool literal = q->target->kind == TARGET_ADDRESS;
    policy_ask_target(policy, q, out);
    if (!later || out->verdict == VERDICT_DENY)
        return;
    if (literal || logged->answer_count > 0)
        policy_ask_address(policy, q, literal ? &q->target->addr : logged->answers, literal ? 1 : logged->answer_count,
                           &admitted, out, NULL);
    bool tunnel = q->door != DOOR_HTTP && q->door != DOOR_PLAIN;
    if (out->verdict == VERDICT_ALLOW && logged->has_hello && tunnel)
        ask_hello(policy, q, logged, out);
}

static void differs(const struct replay *r, uint64_t index, const struct logged *logged, const char *verdict,
                    const char *reason)
{
    if (r->args->json)
        audit_print_object(json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s}", "index", (json_int_t)index, "target",
                                     logged->target, "recorded_verdict", logged->verdict, "recorded_reason",
                                     logged->reason, "verdict", verdict, "reason", reason, "policy",
                                     logged->policy_id));
    else
        printf("entry %llu: %s: recorded %s (%s), replayed %s (%s)\n", (unsigned long long)index, logged->target,
               logged->verdict, logged->reason, verdict, reason);
}

static void judge(struct replay *r, uint64_t index, const struct logged *logged, bool later)
{
    struct target target;
    bool has_port = false, allowed = strcmp(logged->verdict, "allow") == 0;
    bool policys = later ? is_one_of(logged->reason, by_later, sizeof by_later / sizeof by_later[0])
                         : is_one_of(logged->reason, by_target, sizeof by_target / sizeof by_target[0]);
    if ((!allowed && !policys) || logged->policy_id[0] == '\0') {
        r->not_decided++;
        return;
    }
    struct policy *policy = policy_of(r, logged);
    if (policy == NULL) {
        r->without_policy++;
        return;
    }
    if (target_parse_host(span_text(logged->target), 443, &target, &has_port) != ERR_NONE) {
        r->not_decided++;
        return;
    }
    struct decision decision;
    const struct question question = {
        .door = door_of(logged->door), .method = method_of(logged, door_of(logged->door)), .target = &target};
    ask(policy, &question, logged, later, &decision);
    bool now = decision.verdict == VERDICT_ALLOW;
    const char *reason = now ? "allowed" : reason_row(decision.reason)->name;
    if (now == allowed && (allowed || strcmp(reason, logged->reason) == 0)) {
        r->same++;
        return;
    }
    r->different++;
    differs(r, index, logged, now ? "allow" : "deny", reason);
}

static enum err replay_all(struct replay *r)
{
    struct audit_reader *reader = NULL;
    enum err err = audit_reader_open(r->args->dir, 0, &reader);
    uint64_t index = 0;
    struct span leaf;
    while (err == ERR_NONE && (err = audit_reader_next(reader, &index, &leaf)) == ERR_NONE) {
        struct logged logged;
        enum logged_kind kind = logged_take(leaf, &logged);
        if (kind == LOGGED_ATTEMPT || kind == LOGGED_OUTCOME)
            judge(r, index, &logged, kind == LOGGED_OUTCOME);
        err = kind == LOGGED_UNREAD ? ERR_NO_MEMORY : r->failed;
    }
    audit_reader_close(reader);
    return err == ERR_AGAIN ? ERR_NONE : err;
}

static void print_sum(const struct replay *r)
{
    if (r->args->json)
        audit_print_object(json_pack("{s:I, s:I, s:I, s:I}", "same", (json_int_t)r->same, "different",
                                     (json_int_t)r->different, "without_policy", (json_int_t)r->without_policy,
                                     "not_decided_by_policy", (json_int_t)r->not_decided));
    else
        printf("%llu decisions came out the same, %llu differ; %llu without their policy, %llu not decided by one\n",
               (unsigned long long)r->same, (unsigned long long)r->different, (unsigned long long)r->without_policy,
               (unsigned long long)r->not_decided);
}

int audit_verb_replay(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", OPT_JSON, 0, 0, "a JSON object for each difference, then one with the sums", 0},
        {0    },
    };
    static const struct argp argp = {
        options,
        parse,
        "DIR",
        "Makes each decision in DIR again, from the recorded target, method, addresses and TLS hello and the text of "
        "the policy that was in force, and lists what comes out otherwise. Nothing is proven by it: see "
        "verify. A session's own narrowing and an organisation's ceiling are not in the policy's text: what they "
        "refused is listed as different.\vExample:\n  sallyport audit replay /var/lib/sallyport/audit\n\n"
        "Exit status: 0 none differs, 1 it failed, 2 the framing is broken, 3 no log there, 5 some differ, 64 wrong "
        "usage.",
        NULL,
        NULL,
        NULL};
    struct replay_args args = {0};
    options_read(&argp, argc, argv, 0, &args);
    struct replay *r = calloc(1, sizeof *r);
    if (r == NULL)
        return 1;
    r->args = &args;
    diag_init(&r->diag);
    enum err err = replay_all(r);
    int status = err != ERR_NONE    ? audit_fail("replay", args.dir, err, err_text(err))
                 : r->different > 0 ? EXIT_DIFFERENT
                                    : 0;
    if (err == ERR_NONE)
        print_sum(r);
    for (size_t i = 0; i < r->policy_count; i++) {
        policy_unref(r->policies[i].policy);
        policy_texts_free(&r->policies[i].texts);
    }
    diag_clear(&r->diag);
    free(r);
    return status;
}
