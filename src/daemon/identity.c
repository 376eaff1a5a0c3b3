/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which environment a client belongs to. What main knows of it when it makes a book (listeners, source addresses,
 * tenants) stands in that book's roster, so workers read it without a lock and never see two books at once. Tenants
 * live as long as the process: tunnels of a removed environment still count in theirs.
 */
#include "internal.h"

#include "roster.h"

#include <pthread.h>
#include <stdlib.h>

struct identity {
    struct limits defaults;
    struct tenant *unknown;
    pthread_mutex_t lock;      /* of the list, which main makes longer while the audit log's writer may look into it */
    struct narrowing *nothing; /* what an environment that is denied as a whole leaves */
    char (*denied)[128];       /* names, also of environments that are not there; "*": all. Main's alone */
    size_t denied_count;
    struct tenant **tenants;
    size_t count, cap;
};

enum err identity_new(struct identity **out)
{
    struct identity *identity = calloc(1, sizeof *identity);
    if (identity == NULL)
        return ERR_NO_MEMORY;
    limits_default(&identity->defaults);
    pthread_mutex_init(&identity->lock, NULL);
    enum err err = tenant_new(span_text("-"), &identity->unknown);
    if (err == ERR_NONE)
        err = narrowing_new(&(struct narrowing_spec){.deny_all = true}, NULL, &identity->nothing);
    if (err != ERR_NONE) {
        tenant_free(identity->unknown);
        free(identity);
        return err;
    }
    *out = identity;
    return ERR_NONE;
}

void identity_free(struct identity *identity)
{
    if (identity == NULL)
        return;
    for (size_t i = 0; i < identity->count; i++)
        tenant_free(identity->tenants[i]);
    free(identity->tenants);
    tenant_free(identity->unknown);
    narrowing_unref(identity->nothing);
    free(identity->denied);
    pthread_mutex_destroy(&identity->lock);
    free(identity);
}

/* ---- what is denied as a whole ---- */

static size_t find_denied(const struct identity *identity, struct span name)
{
    size_t i = 0;
    while (i < identity->denied_count && !span_is(name, identity->denied[i]))
        i++;
    return i;
}

bool identity_is_denied(const struct identity *identity, struct span environment)
{
    return find_denied(identity, environment) < identity->denied_count ||
           find_denied(identity, span_text("*")) < identity->denied_count;
}

static enum err list_denied(struct identity *identity, const char *name, bool deny)
{
    size_t at = find_denied(identity, span_text(name)), len = strlen(name);
    if (!deny && strcmp(name, "*") == 0) {
        identity->denied_count = 0;
    } else if (!deny && at < identity->denied_count) {
        identity->denied_count--;
        memmove(identity->denied[at], identity->denied[identity->denied_count], sizeof *identity->denied);
    } else if (deny && at == identity->denied_count) {
        if (len == 0 || len >= sizeof *identity->denied || at == TENANTS_MAX)
            return ERR_TOO_BIG;
        char(*more)[128] = realloc(identity->denied, (at + 1) * sizeof *more);
        if (more == NULL)
            return ERR_NO_MEMORY;
        identity->denied = more;
        memcpy(more[at], name, len + 1);
        identity->denied_count++;
    }
    return ERR_NONE;
}

enum err identity_deny(struct identity *identity, const char *name, bool deny)
{
    enum err err = list_denied(identity, name, deny);
    for (size_t i = 0; i < identity->count; i++)
        atomic_store(&identity->tenants[i]->denied,
                     identity_is_denied(identity, span_text(identity->tenants[i]->name)));
    return err;
}

void identity_denied_into(const struct identity *identity, struct outbuf *out)
{
    for (size_t i = 0; i < identity->denied_count; i++) {
        outbuf_text(out, identity->denied[i]);
        outbuf_char(out, '\n');
    }
}

/* ---- a new book ---- */

static struct tenant *find(const struct identity *identity, struct span name)
{
    for (size_t i = 0; i < identity->count; i++)
        if (span_is(name, identity->tenants[i]->name))
            return identity->tenants[i];
    return NULL;
}

static enum err add_locked(struct identity *identity, struct span name, struct tenant **out)
{
    if (identity->count == TENANTS_MAX)
        return ERR_TOO_BIG;
    if (identity->count == identity->cap) {
        size_t cap = identity->cap == 0 ? 16 : 2 * identity->cap;
        struct tenant **more = realloc(identity->tenants, cap * sizeof(struct tenant *));
        if (more == NULL)
            return ERR_NO_MEMORY;
        identity->tenants = more;
        identity->cap = cap;
    }
    enum err err = tenant_new(name, &identity->tenants[identity->count]);
    if (err != ERR_NONE)
        return err;
    *out = identity->tenants[identity->count++];
    atomic_store(&(*out)->denied, identity_is_denied(identity, name));
    return ERR_NONE;
}

static enum err add(struct identity *identity, struct span name, struct tenant **out)
{
    pthread_mutex_lock(&identity->lock);
    enum err err = add_locked(identity, name, out);
    pthread_mutex_unlock(&identity->lock);
    return err;
}

struct env_gate *identity_gate(void *arg, struct span name)
{
    struct identity *identity = arg;
    if (span_is(name, identity->unknown->name))
        return &identity->unknown->gate;
    pthread_mutex_lock(&identity->lock);
    struct tenant *tenant = find(identity, name);
    pthread_mutex_unlock(&identity->lock);
    return tenant == NULL ? NULL : &tenant->gate;
}

static void free_roster(void *roster)
{
    roster_free(roster);
}

enum err identity_prepare(struct identity *identity, const struct config *open, const struct config *config,
                          struct book *book, struct diag *diag)
{
    struct tenant **tenants = calloc(book_count(book) + 1, sizeof(struct tenant *));
    if (tenants == NULL)
        return ERR_NO_MEMORY;
    enum err err = ERR_NONE;
    for (size_t i = 0; i < book_count(book) && err == ERR_NONE; i++) {
        struct span name = policy_name(book_at(book, i));
        tenants[i] = find(identity, name);
        if (tenants[i] == NULL)
            err = add(identity, name, &tenants[i]);
    }
    struct roster *roster = NULL;
    if (err == ERR_NONE)
        err = roster_new(open, config, book, tenants, diag, &roster);
    if (err == ERR_NONE)
        book_attach(book, roster, free_roster);
    free(tenants);
    return err;
}

/* ---- on the workers' threads ---- */

static const struct limits *hook_limits(void *ctx, const struct book *book, const struct tunnel_listener *listener)
{
    const struct identity *identity = ctx;
    size_t at = ROSTER_NONE;
    if (listener->session == NULL)
        at = roster_by_listener(book_attached(book), listener->index);
    else if (session_identify(listener->session, book, &at) == REASON_NONE)
        return session_limits(listener->session);
    return at != ROSTER_NONE ? policy_limits(book_at(book, at)) : &identity->defaults;
}

static void leave_nothing_if_denied(const struct identity *identity, struct tunnel_who *who)
{
    if (atomic_load(&who->tenant->denied))
        who->narrowing = identity->nothing;
}

/* The socket made for a session says all: a client over it has no address. */
static enum reason by_session(const struct identity *identity, const struct roster *roster, const struct book *book,
                              struct session *session, struct tunnel_who *out)
{
    size_t at = ROSTER_NONE;
    enum reason reason = session_identify(session, book, &at);
    session_who(session, out);
    out->alone = true;
    out->tenant = identity->unknown;
    if (reason != REASON_NONE)
        return reason;
    out->policy = book_at(book, at);
    out->tenant = roster_tenant(roster, at);
    out->environment = span_text(out->tenant->name);
    leave_nothing_if_denied(identity, out);
    return REASON_NONE;
}

/* By source address and by listener; two that name different environments are a refusal, not a choice. */
static enum reason hook_identify(void *ctx, const struct book *book, const struct tunnel_listener *listener,
                                 const struct tunnel_client *client, struct tunnel_who *out)
{
    const struct identity *identity = ctx;
    const struct roster *roster = book_attached(book);
    if (listener->session != NULL)
        return by_session(identity, roster, book, listener->session, out);
    size_t by_source = roster_by_source(roster, &client->peer);
    size_t by_listener = roster_by_listener(roster, listener->index);
    size_t at = by_source != ROSTER_NONE ? by_source : by_listener;
    out->tenant = identity->unknown;
    out->alone = by_listener != ROSTER_NONE;
    if (at == ROSTER_NONE)
        return REASON_IDENTITY;
    if (by_listener != ROSTER_NONE && by_listener != at)
        return REASON_CONFLICT;
    out->policy = book_at(book, at);
    out->tenant = roster_tenant(roster, at);
    out->environment = span_text(out->tenant->name);
    leave_nothing_if_denied(identity, out);
    return REASON_NONE;
}

struct tunnel_hooks identity_hooks(struct identity *identity)
{
    return (struct tunnel_hooks){.ctx = identity, .limits = hook_limits, .identify = hook_identify};
}
