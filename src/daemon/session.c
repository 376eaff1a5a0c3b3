/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SESSION_SOCKETS 2 /* the listener and the descriptor that it keeps back */

/* ---- start ---- */

void session_free(struct session *session)
{
    narrowing_unref(session->narrowing);
    why_clear(&session->why);
    free(session);
}

/* With the fewest sessions; of several the first. */
static struct worker *least_loaded(const struct daemon *daemon)
{
    struct worker *best = &daemon->workers[0];
    for (unsigned i = 1; i < daemon->worker_count; i++)
        if (daemon->workers[i].session_count < best->session_count)
            best = &daemon->workers[i];
    return best;
}

static enum err make(struct daemon *daemon, const struct session_spec *spec, struct session **out)
{
    const struct sessions *sessions = daemon->sessions;
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->daemon = daemon;
    s->spec = *spec;
    memcpy(s->id, spec->session, sizeof s->id);
    memcpy(s->work, spec->work, sizeof s->work);
    memcpy(s->agent, spec->agent, sizeof s->agent);
    memcpy(s->environment, spec->environment, sizeof s->environment);
    why_init(&s->why);
    if (!sessions_path(sessions->dir, spec->session, s->dir) || !sessions_path(s->dir, "proxy.sock", s->path) ||
        !sessions_path(sessions->state_dir, spec->session, s->state_path)) {
        session_free(s);
        return ERR_TOO_BIG;
    }
    snprintf(s->name, sizeof s->name, "unix:%s", s->path);
    s->listener = (struct tunnel_listener){.name = s->name, .index = SESSION_INDEX, .session = s};
    s->worker = least_loaded(daemon);
    session_use_restore(s);
    *out = s;
    return ERR_NONE;
}

enum err session_start(struct daemon *daemon, const struct session_spec *spec, struct session **out, char *why,
                       size_t why_cap)
{
    struct narrowing *narrowing = NULL;
    struct session *s = NULL;
    int fd = -1;
    if (daemon->sessions->open >= SESSIONS_MAX ||
        !budget_take(&daemon->process.descriptors, SESSION_SOCKETS, daemon->process.descriptors_max)) {
        snprintf(why, why_cap, "no more sessions can be open at once");
        return ERR_TOO_BIG;
    }
    enum err err = session_narrowing(spec, &narrowing, why, why_cap);
    if (err == ERR_NONE) {
        err = make(daemon, spec, &s);
        if (err != ERR_NONE)
            snprintf(why, why_cap, "%s", err_text(err));
    }
    if (err == ERR_NONE)
        err = session_place_open(s, &fd, why, why_cap);
    if (err == ERR_NONE && !session_place_save(s)) {
        snprintf(why, why_cap, "cannot write below %.200s: %s", daemon->sessions->state_dir, strerror(errno));
        session_place_remove(s);
        close(fd);
        err = ERR_IO;
    }
    if (err != ERR_NONE) {
        budget_give(&daemon->process.descriptors, SESSION_SOCKETS);
        narrowing_unref(narrowing);
        if (s != NULL)
            session_free(s);
        return err;
    }
    s->open = true;
    s->next = daemon->sessions->first;
    daemon->sessions->first = s;
    daemon->sessions->open++;
    s->worker->session_count++;
    session_post_open(s, fd, narrowing);
    sessions_tick(daemon);
    *out = s;
    return ERR_NONE;
}

/* ---- open, set, close ---- */

static bool environment_of(const struct daemon *daemon, struct session_spec *spec, char *why, size_t why_cap)
{
    struct span text = span_text(spec->environment);
    const struct policy *policy = book_find(daemon->book, text);
    if (policy == NULL)
        policy = book_find_id(daemon->book, text);
    if (policy == NULL || policy_name(policy).len > SESSION_NAME_MAX) {
        snprintf(why, why_cap, "there is no environment '%s'", spec->environment);
        return false;
    }
    struct span name = policy_name(policy);
    char copy[SESSION_NAME_MAX + 1] = "";
    memcpy(copy, name.data, name.len);
    memcpy(spec->environment, copy, sizeof copy);
    return true;
}

/* Checked when they are said; a reload that makes the environment's smaller makes the session's smaller with it. */
static bool limits_fit(const struct daemon *daemon, const struct session_spec *spec, char *why, size_t why_cap)
{
    const struct policy *policy = book_find(daemon->book, span_text(spec->environment));
    return policy == NULL || session_limits_fit(&spec->limits, policy_limits(policy), why, why_cap);
}

static bool new_limits_fit(const struct session *session, const struct session_spec *wanted, char *why, size_t why_cap)
{
    struct session_spec changed = *wanted;
    size_t count;
    const struct limit_row *rows = limits_rows(&count);
    for (size_t i = 0; i < count; i++)
        if (limit_get(&changed.limits, &rows[i]) == limit_get(&session->spec.limits, &rows[i]))
            limit_set(&changed.limits, &rows[i], 0);
    return limits_fit(session->daemon, &changed, why, why_cap);
}

static void set_end(struct session_spec *spec)
{
    if (spec->ttl_ms != 0)
        spec->ends_s = sessions_now_s() + (spec->ttl_ms + 999) / 1000;
    spec->ttl_ms = 0;
}

enum err session_open(struct daemon *daemon, const struct session_spec *wanted, const char *who, struct session **out,
                      char *why, size_t why_cap)
{
    struct session_spec spec = *wanted;
    if (spec.session[0] == '\0' || spec.environment[0] == '\0') {
        snprintf(why, why_cap, "a session needs an id and an environment");
        return ERR_INVALID;
    }
    if (!environment_of(daemon, &spec, why, why_cap))
        return ERR_INVALID;
    if (!limits_fit(daemon, &spec, why, why_cap))
        return ERR_INVALID;
    if (sessions_find(daemon, spec.session) != NULL) {
        snprintf(why, why_cap, "the session %s is open already", spec.session);
        return ERR_EXISTS;
    }
    if (!session_agent_read(daemon, &spec, why, why_cap))
        return ERR_INVALID;
    struct audit_log_status audit;
    audit_log_status(daemon->log, &audit);
    spec.opened_index = audit.entries;
    spec.opened_s = sessions_now_s();
    set_end(&spec);
    enum err err = session_start(daemon, &spec, out, why, why_cap);
    if (err == ERR_NONE)
        session_record(*out, EVENT_SESSION_OPENED, who, "a session is open");
    return err;
}

enum err session_change(struct session *session, const struct session_spec *wanted, const char *who, const char *what,
                        char *why, size_t why_cap)
{
    struct narrowing *narrowing = NULL;
    struct session_spec spec = *wanted, before = session->spec;
    if (!new_limits_fit(session, &spec, why, why_cap) || !session_agent_read(session->daemon, &spec, why, why_cap))
        return ERR_INVALID;
    set_end(&spec);
    enum err err = session_narrowing(&spec, &narrowing, why, why_cap);
    if (err != ERR_NONE)
        return err;
    memcpy(spec.agent, before.agent, sizeof spec.agent); /* a session belongs to one agent for its life */
    session->spec = spec;
    if (!session_place_save(session)) {
        /* What would come back after a restart must not be more than what holds now. */
        session->spec = before;
        narrowing_unref(narrowing);
        snprintf(why, why_cap, "cannot write below %.200s: %s", session->daemon->sessions->state_dir, strerror(errno));
        return ERR_IO;
    }
    session_post_narrow(session, narrowing);
    session_record(session, EVENT_SESSION_CHANGED, who, what);
    return ERR_NONE;
}

void session_close(struct session *session, bool now, const char *who, const char *what)
{
    struct daemon *daemon = session->daemon;
    session->open = false;
    daemon->sessions->open--;
    session->worker->session_count--;
    session_place_remove(session);
    session_post_close(session, now);
    budget_give(&daemon->process.descriptors, SESSION_SOCKETS);
    session_record(session, EVENT_SESSION_CLOSED, who, what);
    sessions_tick(daemon);
}
