/* SPDX-License-Identifier: Apache-2.0 */
#include "reload.h"

#include "totals.h"

#include "base/clock.h"
#include "base/log.h"
#include "cage.h"

#include <stdlib.h>

#define FAILED_SAID_MAX 20

/* ---- what is wrong ---- */

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

/* A file that somebody is still writing is not worth a line: what comes of it is said when it has settled. */
static void say_findings(const struct load *load, const struct diag *diag)
{
    if (!load->cause.automatic)
        log_findings(diag);
}

static void keep_first(struct load *load, const struct diag *diag)
{
    for (size_t i = 0; i < diag->count && load->first.code == NULL; i++)
        if (diag->items[i].severity == SEVERITY_ERROR)
            load->first = diag->items[i];
}

/* ---- the configuration ---- */

/* A file that did not load is looked at again when it changes, too. */
static void note_file(struct load *load, const char *path)
{
    struct policy_mark mark;
    if (path == NULL)
        return;
    if (policy_mark_of(path, &mark) != ERR_NONE)
        mark = (struct policy_mark){0};
    if (!files_add(&load->files, path, false, &mark))
        log_warn("a file is not watched: no memory", "file=%s", path);
}

enum err load_config(struct daemon *daemon, struct load *load)
{
    struct diag diag;
    const char *path = daemon->options->config_path;
    if (path == NULL && daemon->config != NULL) {
        load->config = daemon->config; /* the command line does not change */
        return ERR_NONE;
    }
    diag_init(&diag);
    enum err err = settings_load(daemon->options, &diag, &load->config);
    say_findings(load, &diag);
    keep_first(load, &diag);
    diag_clear(&diag);
    if (err != ERR_NONE)
        note_file(load, path);
    else if (path != NULL && !files_add(&load->files, path, false, &load->config->mark))
        err = ERR_NO_MEMORY;
    const struct policy *ceiling = err == ERR_NONE ? load->config->above.ceiling : NULL;
    if (ceiling != NULL && !files_add_policy(&load->files, ceiling))
        err = ERR_NO_MEMORY;
    return err;
}

/* ---- environments ---- */

/* A definition of an agent opens endpoints: that somebody changed one is not enough to take it. */
static bool agents_changed(const struct policy *old, const struct policy *fresh)
{
    size_t old_count, count;
    const struct policy_file *was = policy_files(old, &old_count), *is = policy_files(fresh, &count);
    for (size_t i = 0; i < count; i++) {
        bool same = !is[i].on_demand;
        for (size_t j = 0; j < old_count && !same; j++)
            same = strcmp(was[j].path, is[i].path) == 0 && policy_mark_equal(&was[j].mark, &is[i].mark);
        if (!same)
            return true;
    }
    return false;
}

/* A policy that did not change keeps its object, so that its tunnels are not judged again. */
static struct policy *keep_object(const struct daemon *daemon, struct load *load, struct policy *policy)
{
    struct policy *old = daemon->book != NULL ? book_find(daemon->book, policy_name(policy)) : NULL;
    if (old == NULL)
        return policy;
    bool same = strcmp(policy_id(old), policy_id(policy)) == 0;
    if (!same && load->cause.automatic && agents_changed(old, policy)) {
        log_warn("an agent definition changed: the environment stays as it is until somebody asks for a reload",
                 "environment=%.*s", (int)policy_name(old).len, (const char *)policy_name(old).data);
        same = true;
    }
    if (!same)
        return policy;
    load->kept++;
    policy_unref(policy);
    return policy_ref(old);
}

static void load_one(struct daemon *daemon, struct load *load, const struct config_environment *environment,
                     struct policy **out)
{
    struct diag diag;
    diag_init(&diag);
    size_t kept = load->kept;
    struct policy_sources sources = environment->sources;
    sources.read = load_note_read;
    sources.read_arg = load;
    enum err err = policy_load(&sources, &diag, out);
    if (err == ERR_NONE && !sessions_are_apart(daemon, *out, &diag)) {
        policy_unref(*out);
        *out = NULL;
        err = ERR_INVALID;
    }
    if (err == ERR_NONE) {
        if (!files_add_policy(&load->files, *out))
            log_warn("files are not watched: no memory", "policy=%s", policy_id(*out));
        *out = keep_object(daemon, load, *out);
    } else {
        load->failed++;
        note_file(load, environment->sources.path);
        note_file(load, environment->sources.egress_path);
        note_file(load, environment->sources.catalogue_path);
    }
    /* What is said of an environment that did not change was said when it was loaded. */
    if (load->kept == kept && load->failed <= FAILED_SAID_MAX)
        say_findings(load, &diag);
    keep_first(load, &diag);
    diag_clear(&diag);
}

static enum err compose(struct daemon *daemon, struct load *load, struct policy *const *policies)
{
    struct diag diag;
    diag_init(&diag);
    struct book *book = NULL;
    enum err err = book_make(policies, load->config->environment_count, daemon->generation + 1, &book);
    if (err == ERR_EXISTS)
        load_say_clash(&diag, load->config, policies);
    if (err == ERR_NONE)
        err = identity_prepare(daemon->identity, daemon->config, load->config, book, &diag);
    say_findings(load, &diag);
    keep_first(load, &diag);
    if (err != ERR_NONE && diag.errors == 0)
        log_error("the policies could not be put into force", "why=%s", err_text(err));
    diag_clear(&diag);
    if (err == ERR_NONE)
        load->book = book;
    else
        book_unref(book);
    return err;
}

enum err load_book(struct daemon *daemon, struct load *load)
{
    const struct config *config = load->config;
    struct policy **policies = calloc(config->environment_count + 1, sizeof(struct policy *));
    if (policies == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < config->environment_count; i++)
        load_one(daemon, load, &config->environments[i], &policies[i]);
    if (load->failed > FAILED_SAID_MAX && !load->cause.automatic)
        log_error("more environments do not load", "count=%zu", load->failed - FAILED_SAID_MAX);
    enum err err = load->failed > 0 ? ERR_INVALID : compose(daemon, load, policies);
    for (size_t i = 0; i < config->environment_count; i++)
        policy_unref(policies[i]);
    free(policies);
    return err;
}

void load_clear(struct daemon *daemon, struct load *load)
{
    book_unref(load->book);
    files_clear(&load->files);
    load_forget_read(load);
    if (load->config != daemon->config && load->config != daemon->config_now)
        settings_free(load->config);
    *load = (struct load){0};
}

/* ---- into force ---- */

static void say_loaded(const struct load *load, const struct book *before)
{
    for (size_t i = 0; i < book_count(load->book); i++) {
        struct policy *policy = book_at(load->book, i);
        struct span name = policy_name(policy);
        if (before != NULL && book_count(load->book) > 1 && book_find(before, name) == policy)
            continue;
        log_info("policy loaded", "environment=%.*s id=%s generation=%llu", (int)name.len, (const char *)name.data,
                 policy_id(policy), (unsigned long long)book_generation(load->book));
    }
}

/* An environment that observes lets pass what it would refuse: that is said at every load, and in each heartbeat. */
static void say_observed(const struct book *book)
{
    int64_t now_ms = clock_wall_ns() / 1000000;
    for (size_t i = 0; i < book_count(book); i++) {
        struct policy *policy = book_at(book, i);
        int64_t until_ms = policy_observes_until_ms(policy);
        if (until_ms == 0)
            continue;
        log_warn(now_ms < until_ms ? "the environment observes: what names, ports, SNI and non-TLS would refuse passes"
                                   : "the environment enforces: the last day of its mode observe is over",
                 "environment=%.*s seconds_left=%lld", (int)policy_name(policy).len,
                 (const char *)policy_name(policy).data,
                 (long long)(now_ms < until_ms ? (until_ms - now_ms) / 1000 : 0));
    }
}

static bool same_listener(const struct config_listener *a, const struct config_listener *b)
{
    if (a->is_unix != b->is_unix)
        return false;
    return a->is_unix ? strcmp(a->path, b->path) == 0 : a->port == b->port && ipaddr_equal(&a->addr, &b->addr);
}

/* One file holds what a reload changes and what it does not: who edits it should hear of it. */
static void say_fixed(const struct daemon *daemon, const struct config *config)
{
    const struct config *first = daemon->config;
    bool same = first->listener_count == config->listener_count;
    for (size_t i = 0; same && i < config->listener_count; i++)
        same = same_listener(&first->listeners[i], &config->listeners[i]);
    if (!same)
        log_warn("listeners are opened at the start alone: new ones wait for the next, removed ones refuse everybody",
                 "file=%s", config->file);
}

void load_apply(struct daemon *daemon, struct load *load)
{
    struct book *before = daemon->book;
    struct config *config_before = daemon->config_now;
    bool runs = daemon->state == DAEMON_RUNNING;
    daemon->generation = book_generation(load->book);
    say_loaded(load, before);
    say_observed(load->book);
    totals_set_book(daemon->totals, load->book);
    if (runs)
        load_record(daemon, load, before);
    if (runs && load->config->file != NULL)
        say_fixed(daemon, load->config);
    daemon->book = load->book;
    daemon->config_now = load->config;
    files_clear(&daemon->files);
    daemon->files = load->files;
    load->book = NULL;
    load->files = (struct files){0};
    load_forget_read(load); /* the start clears no load that is in force */
    atomic_store(&daemon->process.share_percent, book_count(daemon->book) > 1 ? 50 : 100);
    for (unsigned i = 0; runs && i < daemon->worker_count; i++)
        worker_swap(&daemon->workers[i], daemon->book);
    book_unref(before);
    if (config_before != daemon->config && config_before != load->config)
        settings_free(config_before);
}

void load_refuse(struct daemon *daemon, const struct load *load)
{
    const struct finding *f = &load->first;
    log_error("policy refused, the previous one stays in force", "who=%s at=%s:%u:%u what=%s fix=%s generation=%llu",
              load->cause.who, f->file, f->line, f->column, f->message, f->fix, (unsigned long long)daemon->generation);
    cage_explain(&load->files);
    load_record_refused(daemon, load);
}
