/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "base/assert.h"
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

#define SESSION_BATCH 16u

struct session_message {
    struct message message;
    struct session *session;
    struct narrowing *narrowing;
    int fd;
    bool yes;
};

static struct session_message *message_new(struct session *session, message_fn *fn)
{
    struct session_message *m = calloc(1, sizeof *m);
    ASSERT(m != NULL); /* as in worker.c: better a loud end than a session that is not closed */
    m->message.fn = fn;
    m->session = session;
    return m;
}

static void post(struct session *session, struct session_message *m)
{
    loop_post(session->worker->loop, &m->message);
}

/* ---- on the worker's thread ---- */

static void on_open(struct message *message, void *owner)
{
    (void)owner;
    struct session_message *m = (struct session_message *)message;
    struct session *s = m->session;
    s->narrowing = m->narrowing;
    s->worker_next = s->worker->sessions;
    s->worker->sessions = s;
    s->doorway = (struct doorway){.worker = s->worker, .listener = &s->listener, .fd = -1};
    enum err err = s->worker->draining ? ERR_CLOSED
                                       : listener_start(s->worker->loop, m->fd, SESSION_BATCH, worker_on_accept,
                                                        &s->doorway, &s->doorway.accepting);
    if (err != ERR_NONE) {
        log_error("a session's socket cannot be served", "session=%s why=%s", s->id, err_text(err));
        close(m->fd);
    }
    free(m);
}

static void on_narrow(struct message *message, void *owner)
{
    (void)owner;
    struct session_message *m = (struct session_message *)message;
    struct narrowing *old = m->session->narrowing;
    m->session->narrowing = m->narrowing;
    m->session->generation = 0;
    tunnels_judge_listener(m->session->worker->tunnels, &m->session->listener);
    narrowing_unref(old);
    free(m);
}

static void on_close(struct message *message, void *owner)
{
    (void)owner;
    struct session_message *m = (struct session_message *)message;
    struct session *s = m->session;
    listener_stop(s->doorway.accepting);
    s->doorway.accepting = NULL;
    s->listener.closed = true;
    if (m->yes)
        tunnels_cut_listener(s->worker->tunnels, &s->listener, REASON_SESSION);
    free(m);
}

static void on_answer(struct message *message, void *owner)
{
    (void)owner;
    struct session_message *m = (struct session_message *)message;
    session_on_gone(m->session, m->yes);
    free(m);
}

static void on_ask(struct message *message, void *owner)
{
    (void)owner;
    struct session_message *m = (struct session_message *)message;
    struct session *s = m->session;
    m->yes = !tunnels_has_listener(s->worker->tunnels, &s->listener);
    if (m->yes) {
        struct session **link = &s->worker->sessions;
        while (*link != s)
            link = &(*link)->worker_next;
        *link = s->worker_next;
        narrowing_unref(s->narrowing);
        s->narrowing = NULL;
    }
    m->message.fn = on_answer;
    loop_post(s->daemon->loop, &m->message);
}

void sessions_worker_stop(struct worker *worker)
{
    worker->draining = true;
    for (struct session *s = worker->sessions; s != NULL; s = s->worker_next) {
        listener_stop(s->doorway.accepting);
        s->doorway.accepting = NULL;
    }
}

enum reason session_identify(struct session *s, const struct book *book, size_t *out_at)
{
    if (s->generation != book_generation(book)) {
        s->at = SIZE_MAX;
        for (size_t i = 0; i < book_count(book) && s->at == SIZE_MAX; i++)
            if (span_is(policy_name(book_at(book, i)), s->environment))
                s->at = i;
        if (s->at != SIZE_MAX) {
            s->limits = *policy_limits(book_at(book, s->at));
            limits_narrow(&s->limits, narrowing_limits(s->narrowing));
        }
        s->generation = book_generation(book);
    }
    *out_at = s->at;
    return s->at == SIZE_MAX ? REASON_IDENTITY : REASON_NONE;
}

void session_who(struct session *s, struct tunnel_who *out)
{
    out->session = span_text(s->id);
    out->work = span_text(s->work);
    out->agent = span_text(s->agent);
    out->narrowing = s->narrowing;
    out->why = &s->why;
    out->limits = &s->limits;
    out->use = &s->use;
}

const struct limits *session_limits(const struct session *s)
{
    return &s->limits;
}

/* ---- on main's ---- */

void session_post_open(struct session *session, int fd, struct narrowing *narrowing)
{
    struct session_message *m = message_new(session, on_open);
    m->fd = fd;
    m->narrowing = narrowing;
    post(session, m);
}

void session_post_narrow(struct session *session, struct narrowing *narrowing)
{
    struct session_message *m = message_new(session, on_narrow);
    m->narrowing = narrowing;
    post(session, m);
}

void session_post_close(struct session *session, bool now)
{
    struct session_message *m = message_new(session, on_close);
    m->yes = now;
    post(session, m);
}

void session_post_ask(struct session *session)
{
    post(session, message_new(session, on_ask));
}
