/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions over the admin socket. A body is lines "key=value"; what is not understood is refused as a whole.
 *
 *   GET  /sessions            all open ones, as JSON
 *   POST /sessions            opens one; gives its socket
 *   POST /sessions/show       session=
 *   POST /sessions/set        session= and what changes
 *   POST /sessions/phase-run  session=: package groups are closed for good
 *   POST /sessions/close      session=, now=true cuts its tunnels
 *   POST /sessions/deny-all   session= or environment= or neither: cuts tunnels, refuses everything
 *   POST /sessions/lift       the same words: takes that back
 */
#include "session.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

struct ask {
    struct daemon *daemon;
    struct session_spec *spec;
    char who[128], why[512];
    struct outbuf out;
    int status;
};

static void describe(struct json *j, const struct session *session)
{
    const struct session_spec *spec = &session->spec;
    json_open(j, '{');
    json_key_text(j, "session", spec->session);
    json_key_text(j, "environment", spec->environment);
    json_key_text(j, "socket", session->path);
    json_key_text(j, "directory", session->dir);
    json_key_text(j, "work", spec->work);
    json_key_text(j, "agent", spec->agent);
    json_key_text(j, "agent_file", spec->agent_file);
    json_key_text(j, "mcp_endpoints", spec->mcp_endpoints);
    json_key_text(j, "labels", spec->labels);
    json_key_bool(j, "only_hosts", spec->has_hosts);
    json_key_text(j, "allow_hosts", spec->hosts);
    json_key_bool(j, "no_package_managers", spec->no_package_managers || spec->run_phase);
    json_key_bool(j, "no_mcp_servers", spec->no_mcp_servers);
    char limits[SESSION_LIMITS_TEXT];
    session_limits_text(&spec->limits, limits);
    json_key_text(j, "limits", limits);
    json_key_text(j, "phase", spec->run_phase ? "run" : "setup");
    json_key_bool(j, "deny_all",
                  spec->deny_all || identity_is_denied(session->daemon->identity, span_text(spec->environment)));
    json_key_u64(j, "worker", session->worker->number);
    json_key_u64(j, "opened_s", spec->opened_s);
    json_key_u64(j, "opened_index", spec->opened_index);
    json_key_u64(j, "ends_s", spec->ends_s);
    json_key_u64(j, "used_up", gauge_spent(&session->use.meter.up));
    json_key_u64(j, "used_down", gauge_spent(&session->use.meter.down));
}

static void say_session(struct ask *ask, const struct session *session)
{
    struct json j = json_make(&ask->out);
    describe(&j, session);
    /* Whoever asks reads there what the session did. */
    char *audit_dir = realpath(session->daemon->place.audit_dir, NULL);
    json_key_text(&j, "audit_dir", audit_dir != NULL ? audit_dir : session->daemon->place.audit_dir);
    free(audit_dir);
    json_close(&j, '}');
    outbuf_char(&ask->out, '\n');
    ask->status = HTTP_OK;
}

static void say_no(struct ask *ask, int status)
{
    ask->out.len = 0;
    outbuf_text(&ask->out, ask->why);
    outbuf_char(&ask->out, '\n');
    ask->status = status;
}

static struct session *named(struct ask *ask)
{
    struct session *session = sessions_find(ask->daemon, ask->spec->session);
    if (session == NULL) {
        snprintf(ask->why, sizeof ask->why, "there is no open session '%s'", ask->spec->session);
        say_no(ask, HTTP_NOTFOUND);
    }
    return session;
}

static void post_open(struct ask *ask)
{
    struct session *session = NULL;
    enum err err = sessions_make_dirs(ask->daemon, ask->why, sizeof ask->why);
    if (err == ERR_NONE)
        err = session_open(ask->daemon, ask->spec, ask->who, &session, ask->why, sizeof ask->why);
    if (err == ERR_NONE)
        say_session(ask, session);
    else
        say_no(ask, err == ERR_EXISTS ? 409 : HTTP_BADREQUEST);
}

static void change(struct ask *ask, struct session *session, const struct session_spec *spec, const char *what)
{
    if (session_change(session, spec, ask->who, what, ask->why, sizeof ask->why) == ERR_NONE)
        say_session(ask, session);
    else
        say_no(ask, HTTP_BADREQUEST);
}

static void post_phase(struct ask *ask)
{
    struct session *session = named(ask);
    if (session == NULL)
        return;
    *ask->spec = session->spec;
    ask->spec->run_phase = true;
    change(ask, session, ask->spec, "a session's package groups are closed for good");
}

static void post_show(struct ask *ask)
{
    const struct session *session = named(ask);
    if (session != NULL)
        say_session(ask, session);
}

static void post_close(struct ask *ask)
{
    struct session *session = named(ask);
    if (session == NULL)
        return;
    say_session(ask, session);
    session_close(session, ask->spec->now, ask->who,
                  ask->spec->now ? "a session is closed, its tunnels are cut" : "a session is closed");
}

static void say_denied(struct ask *ask, bool deny)
{
    const char *name = ask->spec->environment;
    size_t sessions = 0, environments = 0;
    for (const struct session *s = ask->daemon->sessions->first; s != NULL; s = s->next)
        sessions += s->open && (name[0] == '\0' || strcmp(name, s->spec.environment) == 0);
    for (size_t i = 0; i < book_count(ask->daemon->book); i++)
        environments += name[0] == '\0' || span_is(policy_name(book_at(ask->daemon->book, i)), name);
    struct json j = json_make(&ask->out);
    json_open(&j, '{');
    json_key(&j, deny ? "denied" : "lifted");
    json_open(&j, '{');
    json_key_u64(&j, "environments", environments);
    json_key_u64(&j, "sessions", sessions);
    json_close(&j, '}');
    json_close(&j, '}');
    outbuf_char(&ask->out, '\n');
    ask->status = HTTP_OK;
}

/* Of one session, of one environment, or of all. */
static void set_deny_all(struct ask *ask, bool deny)
{
    if (ask->spec->session[0] != '\0') {
        struct session *session = named(ask);
        if (session == NULL)
            return;
        *ask->spec = session->spec;
        ask->spec->deny_all = deny;
        change(ask, session, ask->spec,
               deny ? "a session is denied everything, its tunnels are cut" : "a session is denied no longer");
        return;
    }
    char *name = ask->spec->environment;
    /* An id is as good as a name; what is unknown can be denied before it comes, and be lifted after it has gone. */
    const struct policy *policy = book_find_id(ask->daemon->book, span_text(name));
    if (book_find(ask->daemon->book, span_text(name)) == NULL && policy != NULL &&
        policy_name(policy).len < sizeof ask->spec->environment) {
        struct span text = policy_name(policy);
        memcpy(name, text.data, text.len);
        name[text.len] = '\0';
    }
    if (deny_change(ask->daemon, name, deny, ask->who, ask->why, sizeof ask->why))
        say_denied(ask, deny);
    else
        say_no(ask, HTTP_INTERNAL);
}

static void post_deny_all(struct ask *ask)
{
    set_deny_all(ask, true);
}

static void post_lift(struct ask *ask)
{
    set_deny_all(ask, false);
}

static void get_list(struct ask *ask)
{
    struct json j = json_make(&ask->out);
    json_open(&j, '{');
    json_key(&j, "sessions");
    json_open(&j, '[');
    for (const struct session *s = ask->daemon->sessions->first; s != NULL; s = s->next)
        if (s->open) {
            describe(&j, s);
            json_close(&j, '}');
        }
    json_close(&j, ']');
    json_close(&j, '}');
    outbuf_char(&ask->out, '\n');
    ask->status = HTTP_OK;
}

/* What is asked for, read on top of what holds where it is a change. */
static bool read_body(struct evhttp_request *request, struct ask *ask, bool is_change)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(body);
    char *text = malloc(SESSION_BODY_MAX + 1), *again = NULL;
    bool good = text != NULL && len <= SESSION_BODY_MAX && evbuffer_remove(body, text, len) == (int)len;
    if (good) {
        text[len] = '\0';
        again = strdup(text);
        good = again != NULL && strlen(text) == len;
    }
    if (!good)
        snprintf(ask->why, sizeof ask->why, "the body is not lines of at most %d bytes", SESSION_BODY_MAX);
    good = good && session_spec_read(ask->spec, text, false, ask->why, sizeof ask->why);
    if (good && is_change) {
        const struct session *session = sessions_find(ask->daemon, ask->spec->session);
        if (session != NULL) {
            *ask->spec = session->spec;
            good = session_spec_read(ask->spec, again, false, ask->why, sizeof ask->why);
            /* What a session is stays what it is. */
            if (good && (strcmp(ask->spec->environment, session->spec.environment) != 0 ||
                         strcmp(ask->spec->work, session->spec.work) != 0 ||
                         strcmp(ask->spec->agent, session->spec.agent) != 0 ||
                         strcmp(ask->spec->group, session->spec.group) != 0)) {
                snprintf(ask->why, sizeof ask->why, "environment, work, agent and group of a session do not change");
                good = false;
            }
        }
    }
    free(text);
    free(again);
    return good;
}

static void post_set(struct ask *ask)
{
    struct session *session = named(ask);
    if (session != NULL)
        change(ask, session, ask->spec, "a session was changed");
}

static const struct {
    const char *path;
    void (*fn)(struct ask *ask);
} posts[] = {
    {"/sessions",           post_open    },
    {"/sessions/set",       post_set     },
    {"/sessions/phase-run", post_phase   },
    {"/sessions/show",      post_show    },
    {"/sessions/close",     post_close   },
    {"/sessions/deny-all",  post_deny_all},
    {"/sessions/lift",      post_lift    },
};

static void perform(struct evhttp_request *request, struct ask *ask, const char *path)
{
    bool is_get = evhttp_request_get_command(request) == EVHTTP_REQ_GET;
    snprintf(ask->why, sizeof ask->why, "there is nothing here");
    if (is_get && strcmp(path, "/sessions") == 0) {
        get_list(ask);
        return;
    }
    for (size_t i = 0; !is_get && i < sizeof posts / sizeof posts[0]; i++) {
        if (strcmp(path, posts[i].path) != 0)
            continue;
        if (ask->daemon->state != DAEMON_RUNNING) {
            snprintf(ask->why, sizeof ask->why, "the proxy is not running, it starts or drains");
            say_no(ask, HTTP_SERVUNAVAIL);
        } else if (!read_body(request, ask, posts[i].fn == post_set)) {
            say_no(ask, HTTP_BADREQUEST);
        } else {
            posts[i].fn(ask);
        }
        return;
    }
    say_no(ask, HTTP_NOTFOUND);
}

bool sessions_request(struct evhttp_request *request, struct daemon *daemon, const char *path, uint32_t uid)
{
    if (strncmp(path, "/sessions", 9) != 0 || (path[9] != '\0' && path[9] != '/'))
        return false;
    size_t cap = (daemon->sessions->open + 2) * sizeof(struct session_spec);
    char *text = malloc(cap);
    struct ask ask = {.daemon = daemon, .spec = calloc(1, sizeof *ask.spec), .out = outbuf_make(text, cap)};
    struct evbuffer *body = evbuffer_new();
    if (text != NULL && ask.spec != NULL && body != NULL) {
        snprintf(ask.who, sizeof ask.who, "admin socket, uid %u", (unsigned)uid);
        perform(request, &ask, path);
        if (!ask.out.overflow && evbuffer_add(body, text, ask.out.len) == 0) {
            evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                              ask.status == HTTP_OK ? "application/json" : "text/plain");
            evhttp_send_reply(request, ask.status, ask.status == HTTP_OK ? "OK" : "refused", body);
        } else {
            evhttp_send_error(request, HTTP_INTERNAL, NULL);
        }
    } else {
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
    }
    if (body != NULL)
        evbuffer_free(body);
    free(ask.spec);
    free(text);
    return true;
}
