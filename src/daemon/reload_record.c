/* SPDX-License-Identifier: Apache-2.0 */
/* What the audit log says of a load: which policies, from which texts, by whom and why. */
#include "reload.h"

#include "base/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX (1024u * 1024u)

static void add_text(struct record_event *event, const char *key, const char *text)
{
    if (text[0] != '\0' && event->fact_count < EVENT_FACTS_MAX)
        event->facts[event->fact_count++] = (struct event_fact){.key = key, .text = span_text(text)};
}

static void add_number(struct record_event *event, const char *key, uint64_t number)
{
    if (event->fact_count < EVENT_FACTS_MAX)
        event->facts[event->fact_count++] = (struct event_fact){.key = key, .is_number = true, .number = number};
}

static void add_cause(struct record_event *event, const struct load *load)
{
    add_text(event, "who", load->cause.who);
    add_text(event, "reason", load->cause.reason);
    add_text(event, "commit", load->cause.commit);
}

/* The text is kept before an entry names it. */
static void keep_text(struct daemon *daemon, struct span text, char out_hex[static 65])
{
    out_hex[0] = '\0';
    if (text.len > 0 && audit_log_blob(daemon->log, text, out_hex) != ERR_NONE)
        log_warn("the text of a policy could not be kept beside the audit log", "bytes=%zu", text.len);
}

/* ---- in force ---- */

static void say_last_day(int64_t end_ms, char *out, size_t cap)
{
    time_t last = (time_t)(end_ms / 1000 - 1);
    struct tm utc;
    out[0] = '\0';
    if (gmtime_r(&last, &utc) != NULL)
        strftime(out, cap, "%Y-%m-%d", &utc);
}

/* Where its texts stand: lines of a rule are those of the whole file, and what a text names lies beside that file. */
static void add_places(struct record_event *event, const struct policy_sources *sources)
{
    const struct policy_text *text = sources->text, *egress = sources->egress_text;
    if (text != NULL)
        add_number(event, "line", text->first_line);
    if (egress != NULL)
        add_number(event, "egress_line", egress->first_line);
    if (egress != NULL || sources->egress_path != NULL)
        add_text(event, "egress_file", egress != NULL ? egress->name : sources->egress_path);
}

static void record_loaded(struct daemon *daemon, const struct load *load, size_t index)
{
    const struct policy *policy = book_at(load->book, index);
    const struct policy_sources *sources = &load->config->environments[index].sources;
    char hashes[2][65];
    keep_text(daemon, policy_source_text(policy, 0), hashes[0]);
    keep_text(daemon, policy_source_text(policy, 1), hashes[1]);
    struct record_event event = {
        .event = EVENT_POLICY_LOADED,
        .environment = policy_name(policy),
        .subject = span_text(policy_id(policy)),
        .message = span_text("a policy is in force"),
    };
    add_cause(&event, load);
    add_text(&event, "file", sources->path != NULL ? sources->path : load->config->file);
    add_number(&event, "generation", book_generation(load->book));
    add_text(&event, "text_sha256", hashes[0]);
    add_text(&event, "egress_text_sha256", hashes[1]);
    add_places(&event, sources);
    char until[16];
    if (policy_observes_until_ms(policy) != 0) {
        say_last_day(policy_observes_until_ms(policy), until, sizeof until);
        add_text(&event, "mode", "observe");
        add_text(&event, "observe_until", until);
    }
    records_add(daemon, &event);
}

static void record_removed(struct daemon *daemon, const struct load *load, const struct policy *policy)
{
    struct record_event event = {
        .event = EVENT_POLICY_REMOVED,
        .environment = policy_name(policy),
        .subject = span_text(policy_id(policy)),
        .message = span_text("an environment is gone: its tunnels are revoked"),
    };
    add_cause(&event, load);
    add_number(&event, "generation", book_generation(load->book));
    records_add(daemon, &event);
}

static void record_config(struct daemon *daemon, const struct load *load, size_t changed, size_t removed,
                          struct kept_texts *kept)
{
    char hash[65];
    keep_text(daemon, load->config->text, hash);
    if (load->config->above.ceiling != NULL)
        load_record_ceiling(daemon, load->config->above.ceiling, hash, book_generation(load->book), kept);
    struct record_event event = {
        .event = EVENT_POLICY_LOADED,
        .subject = span_text(hash),
        .message = span_text("a configuration is in force"),
    };
    add_cause(&event, load);
    add_text(&event, "file", load->config->file);
    add_number(&event, "generation", book_generation(load->book));
    add_number(&event, "environments", book_count(load->book));
    add_number(&event, "changed", changed);
    add_number(&event, "removed", removed);
    add_text(&event, "text_sha256", hash);
    records_add(daemon, &event);
}

void load_record(struct daemon *daemon, const struct load *load, const struct book *before)
{
    size_t changed = 0, removed = 0;
    struct kept_texts kept = {NULL, 0};
    bool alone = load->config->file == NULL; /* then the load itself has no other record */
    for (size_t i = 0; i < book_count(load->book); i++) {
        struct policy *policy = book_at(load->book, i);
        if (!alone && before != NULL && book_find(before, policy_name(policy)) == policy)
            continue;
        load_record_files(daemon, book_at(load->book, i), book_generation(load->book), &kept);
        record_loaded(daemon, load, i);
        changed++;
    }
    for (size_t i = 0; before != NULL && i < book_count(before); i++) {
        if (book_find(load->book, policy_name(book_at(before, i))) != NULL)
            continue;
        record_removed(daemon, load, book_at(before, i));
        removed++;
    }
    if (!alone)
        record_config(daemon, load, changed, removed, &kept);
    free(kept.hashes);
    if (!records_wait(daemon))
        log_warn("policies are in force whose records are not durable yet: the audit gate is closed", "generation=%llu",
                 (unsigned long long)book_generation(load->book));
}

/* ---- refused ---- */

/* The text that was refused, unless it was refused for not being a file that a policy may be read from. */
static void keep_refused(struct daemon *daemon, const struct finding *f, char out_hex[static 65])
{
    static const char *const untrusted[] = {"not_trusted", "not_a_file", "unreadable", "too_big", "changed"};
    out_hex[0] = '\0';
    if (f->code == NULL)
        return;
    for (size_t i = 0; i < sizeof untrusted / sizeof untrusted[0]; i++)
        if (strcmp(f->code, untrusted[i]) == 0)
            return;
    int fd = open(f->file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    char *text = malloc(TEXT_MAX);
    if (fd >= 0 && text != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        ssize_t len = read(fd, text, TEXT_MAX);
        keep_text(daemon, span_make(text, len > 0 ? (size_t)len : 0), out_hex);
    }
    if (fd >= 0)
        close(fd);
    free(text);
}

void load_record_refused(struct daemon *daemon, const struct load *load)
{
    const struct daemon_options *options = daemon->options;
    const struct finding *f = &load->first;
    char hash[65], config_hash[65] = "";
    load_record_read(daemon, load);
    keep_refused(daemon, f, hash);
    if (load->config != NULL && load->config->file != NULL)
        keep_text(daemon, load->config->text, config_hash);
    struct record_event event = {
        .event = EVENT_POLICY_REFUSED,
        .subject = span_text(options->config_path != NULL ? options->config_path : options->policy_path),
        .message = span_text(f->code != NULL ? f->message : "the policy could not be read"),
    };
    add_cause(&event, load);
    add_text(&event, "file", f->file);
    add_number(&event, "line", f->line);
    add_number(&event, "generation_in_force", daemon->generation);
    if (load->failed > 1)
        add_number(&event, "failed", load->failed);
    add_text(&event, "text_sha256", hash);
    add_text(&event, "config_text_sha256", config_hash);
    records_add(daemon, &event);
    if (!records_wait(daemon))
        log_warn("the refusal of a policy is not recorded yet: the audit gate is closed", "file=%s", f->file);
}
