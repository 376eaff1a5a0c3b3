/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/log.h"

#include <stdlib.h>

static void log_findings(const struct diag *diag)
{
    for (size_t i = 0; i < diag->count; i++) {
        const struct finding *f = &diag->items[i];
        if (f->severity == SEVERITY_ERROR)
            log_error("policy error", "at=%s:%u:%u what=%s fix=%s", f->file, f->line, f->column, f->message, f->fix);
        else
            log_warn("policy lint", "at=%s:%u:%u what=%s", f->file, f->line, f->column, f->message);
    }
}

static const struct finding *first_error(const struct diag *diag)
{
    for (size_t i = 0; i < diag->count; i++)
        if (diag->items[i].severity == SEVERITY_ERROR)
            return &diag->items[i];
    return NULL;
}

static void record_refused(struct daemon *daemon, const char *who, const struct diag *diag)
{
    if (daemon->state == DAEMON_STARTING)
        return; /* nothing runs yet, and nothing will: the exit status and the log say it */
    const struct finding *f = first_error(diag);
    struct record_event event = {
        .event = EVENT_POLICY_REFUSED,
        .subject = span_text(daemon->options->policy_path),
        .message = span_text(f != NULL ? f->message : "the policy could not be read"),
        .fact_count = 4,
        .facts = {{.key = "who", .text = span_text(who)},
                  {.key = "file", .text = span_text(f != NULL ? f->file : "")},
                  {.key = "line", .is_number = true, .number = f != NULL ? f->line : 0},
                  {.key = "generation_in_force", .is_number = true, .number = daemon->generation}},
    };
    if (!daemon_record(daemon, &event))
        log_warn("the refusal of a policy is not recorded yet: the audit gate is closed", "policy=%s",
                 daemon->options->policy_path);
}

static void record_loaded(struct daemon *daemon, const char *who, const struct policy *policy, uint64_t generation)
{
    char hashes[2][65] = {"", ""};
    for (size_t i = 0; i < 2; i++) {
        struct span text = policy_source_text(policy, i);
        if (text.len > 0 && audit_log_blob(daemon->log, text, hashes[i]) != ERR_NONE)
            log_warn("the text of a policy could not be kept beside the audit log", "policy=%s", policy_id(policy));
    }
    struct record_event event = {
        .event = EVENT_POLICY_LOADED,
        .environment = policy_name(policy),
        .subject = span_text(policy_id(policy)),
        .message = span_text("a policy is in force"),
        .fact_count = 5,
        .facts = {{.key = "who", .text = span_text(who)},
                  {.key = "file", .text = span_text(daemon->options->policy_path)},
                  {.key = "generation", .is_number = true, .number = generation},
                  {.key = "text_sha256", .text = span_text(hashes[0])},
                  {.key = "egress_text_sha256", .text = span_text(hashes[1])}},
    };
    if (hashes[1][0] == '\0')
        event.fact_count--;
    if (!daemon_record(daemon, &event))
        log_warn("a policy is in force whose record is not durable yet: the audit gate is closed", "policy=%s",
                 policy_id(policy));
}

void reload_record(struct daemon *daemon, const char *who, const struct book *book)
{
    for (size_t i = 0; i < book_count(book); i++)
        record_loaded(daemon, who, book_at(book, i), book_generation(book));
}

/* A policy that did not change keeps its object, so that its tunnels are not judged again. */
static struct policy *keep_object(const struct daemon *daemon, struct policy *policy)
{
    struct policy *same = daemon->book != NULL ? book_find(daemon->book, policy_name(policy)) : NULL;
    if (same == NULL || strcmp(policy_id(same), policy_id(policy)) != 0)
        return policy;
    policy_unref(policy);
    return policy_ref(same);
}

static enum err load_policies(struct daemon *daemon, const struct config *config, struct diag *diag,
                              struct policy **out)
{
    enum err first = ERR_NONE;
    for (size_t i = 0; i < config->environment_count; i++) {
        enum err err = policy_load(&config->environments[i].sources, diag, &out[i]);
        if (err == ERR_NONE)
            out[i] = keep_object(daemon, out[i]);
        else if (first == ERR_NONE)
            first = err;
    }
    return first;
}

static enum err compose(struct daemon *daemon, const struct config *config, struct diag *diag,
                        struct policy *const *policies, struct book **out)
{
    struct book *book = NULL;
    enum err err = book_make(policies, config->environment_count, daemon->generation + 1, &book);
    if (err == ERR_NONE)
        err = identity_prepare(daemon->identity, daemon->config, config, book, diag);
    if (err != ERR_NONE) {
        book_unref(book);
        return err;
    }
    *out = book;
    return ERR_NONE;
}

static void say_loaded(const struct book *book)
{
    for (size_t i = 0; i < book_count(book); i++) {
        struct span name = policy_name(book_at(book, i));
        log_info("policy loaded", "environment=%.*s id=%s generation=%llu", (int)name.len, (const char *)name.data,
                 policy_id(book_at(book, i)), (unsigned long long)book_generation(book));
    }
}

enum err reload_book(struct daemon *daemon, const char *who, struct book **out)
{
    const struct config *config = daemon->config;
    struct policy **policies = calloc(config->environment_count + 1, sizeof(struct policy *));
    if (policies == NULL)
        return ERR_NO_MEMORY;
    struct diag diag;
    diag_init(&diag);
    enum err err = load_policies(daemon, config, &diag, policies);
    if (err == ERR_NONE)
        err = compose(daemon, config, &diag, policies, out);
    log_findings(&diag);
    if (err != ERR_NONE && diag.errors == 0)
        log_error("a policy could not be put into force", "why=%s", err_text(err));
    if (err != ERR_NONE)
        record_refused(daemon, who, &diag);
    diag_clear(&diag);
    for (size_t i = 0; i < config->environment_count; i++)
        policy_unref(policies[i]);
    free(policies);
    if (err != ERR_NONE)
        return err;
    daemon->generation++;
    say_loaded(*out);
    return ERR_NONE;
}
