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

enum err reload_book(struct daemon *daemon, const char *who, struct book **out)
{
    const struct daemon_options *options = daemon->options;
    struct policy_sources sources = {
        .path = options->policy_path,
        .egress_path = options->egress_path,
        .strict_files = options->strict_files,
    };
    struct diag diag;
    diag_init(&diag);
    struct policy *policy = NULL;
    enum err err = policy_load(&sources, &diag, &policy);
    log_findings(&diag);
    if (err != ERR_NONE) {
        record_refused(daemon, who, &diag);
        diag_clear(&diag);
        return err;
    }
    diag_clear(&diag);
    /* A policy that did not change keeps its object, so that its tunnels are not judged again. */
    struct policy *same = daemon->book != NULL ? book_find(daemon->book, policy_name(policy)) : NULL;
    if (same != NULL && strcmp(policy_id(same), policy_id(policy)) == 0) {
        policy_unref(policy);
        policy = policy_ref(same);
    }
    struct book *book = NULL;
    err = book_make(&policy, 1, daemon->generation + 1, &book);
    if (err == ERR_NONE)
        err = identity_prepare(daemon->identity, book);
    if (err != ERR_NONE) {
        log_error("a policy could not be put into force", "policy=%s why=%s", policy_id(policy), err_text(err));
        book_unref(book);
        policy_unref(policy);
        return err;
    }
    daemon->generation++;
    log_info("policy loaded", "environment=%.*s id=%s generation=%llu", (int)policy_name(policy).len,
             (const char *)policy_name(policy).data, policy_id(policy), (unsigned long long)daemon->generation);
    policy_unref(policy);
    *out = book;
    return ERR_NONE;
}
