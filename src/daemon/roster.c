/* SPDX-License-Identifier: Apache-2.0 */
#include "roster.h"

#include "base/assert.h"

#include <stdlib.h>

struct source {
    struct prefix prefix;
    uint32_t environment;
    uint32_t line, column;
};

struct roster {
    size_t listener_count;
    size_t *by_listener;
    size_t source_count;
    struct source *sources; /* sorted; no two overlap, unless they belong to one environment */
    size_t tenant_count;
    struct tenant **tenants;
};

void roster_free(struct roster *roster)
{
    if (roster == NULL)
        return;
    free(roster->by_listener);
    free(roster->sources);
    free(roster->tenants);
    free(roster);
}

/* ---- listeners ---- */

static bool same_place(const struct config_listener *a, const struct config_listener *b)
{
    if (a->is_unix != b->is_unix)
        return false;
    return a->is_unix ? strcmp(a->path, b->path) == 0 : ipaddr_equal(&a->addr, &b->addr) && a->port == b->port;
}

/* Of several listeners on one place (a free port each) the first stays the first. */
static const struct config_listener *find_again(const struct config *open, size_t index, const struct config *config)
{
    const struct config_listener *wanted = &open->listeners[index];
    size_t earlier = 0;
    for (size_t i = 0; i < index; i++)
        earlier += same_place(&open->listeners[i], wanted);
    for (size_t i = 0; i < config->listener_count; i++)
        if (same_place(&config->listeners[i], wanted) && earlier-- == 0)
            return &config->listeners[i];
    return NULL;
}

static size_t named(const struct book *book, const char *environment)
{
    for (size_t i = 0; i < book_count(book); i++)
        if (span_is(policy_name(book_at(book, i)), environment))
            return i;
    return ROSTER_NONE;
}

static size_t environment_of(const struct config_listener *listener, const struct book *book)
{
    if (listener == NULL || listener->by_source)
        return ROSTER_NONE;
    if (listener->environment != NULL)
        return named(book, listener->environment);
    return book_count(book) == 1 ? 0 : ROSTER_NONE;
}

static void check_listener(const struct config *config, const struct config_listener *listener, const struct book *book,
                           struct diag *diag)
{
    if (listener->by_source || environment_of(listener, book) != ROSTER_NONE)
        return;
    if (listener->environment != NULL) {
        struct finding *f = diag_add(diag, SEVERITY_ERROR, "unknown_environment", config->file, listener->line,
                                     listener->column, "there is no environment '%s'", listener->environment);
        diag_fix(f, "write the name: that stands in one of the environment files, or remove the listener");
    } else {
        struct finding *f = diag_add(diag, SEVERITY_ERROR, "listener_environment", config->file, listener->line,
                                     listener->column, "the listener does not say whose clients come in by it");
        diag_fix(f, "add 'environment: NAME', or 'by: source' and sources to the environments");
    }
}

static bool fill_listeners(struct roster *r, const struct config *open, const struct config *config,
                           const struct book *book, struct diag *diag)
{
    r->listener_count = open->listener_count;
    r->by_listener = calloc(open->listener_count + 1, sizeof *r->by_listener);
    if (r->by_listener == NULL)
        return false;
    for (size_t i = 0; i < config->listener_count; i++)
        check_listener(config, &config->listeners[i], book, diag);
    for (size_t i = 0; i < open->listener_count; i++)
        r->by_listener[i] = environment_of(find_again(open, i, config), book);
    return true;
}

size_t roster_by_listener(const struct roster *roster, size_t listener)
{
    return listener < roster->listener_count ? roster->by_listener[listener] : ROSTER_NONE;
}

/* ---- source addresses ---- */

static int compare_addr(const struct ipaddr *a, const struct ipaddr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static int by_prefix(const void *left, const void *right)
{
    const struct source *a = left, *b = right;
    int order = compare_addr(&a->prefix.addr, &b->prefix.addr);
    return order != 0 ? order : (int)a->prefix.bits - (int)b->prefix.bits;
}

static void say_overlap(const struct config *config, const struct source *a, const struct source *b,
                        const struct book *book, struct diag *diag)
{
    char text[IPADDR_TEXT_MAX];
    ipaddr_format(&b->prefix.addr, text);
    struct span first = policy_name(book_at(book, a->environment)), second = policy_name(book_at(book, b->environment));
    struct finding *f =
        diag_add(diag, SEVERITY_ERROR, "sources_overlap", config->file, b->line, b->column,
                 "the source addresses from %s/%u belong to %.*s and to %.*s", text, (unsigned)b->prefix.bits,
                 (int)first.len, (const char *)first.data, (int)second.len, (const char *)second.data);
    diag_fix(f, "give each address to one environment");
}

/* Prefixes are nested or apart: sorted, whatever overlaps one follows it at once. What lies inside another of its own
 * environment says nothing new and is left out, so that what is kept is apart. */
static void settle_sources(struct roster *r, const struct config *config, const struct book *book, struct diag *diag)
{
    qsort(r->sources, r->source_count, sizeof *r->sources, by_prefix);
    size_t kept = 0;
    for (size_t i = 0; i < r->source_count; i++) {
        const struct source *outer = kept > 0 ? &r->sources[kept - 1] : NULL;
        const struct source *next = &r->sources[i];
        bool overlaps = outer != NULL && prefix_covers(&outer->prefix, &next->prefix);
        if (overlaps && outer->environment != next->environment)
            say_overlap(config, outer, next, book, diag);
        if (!overlaps)
            r->sources[kept++] = *next;
    }
    r->source_count = kept;
}

static bool fill_sources(struct roster *r, const struct config *config, const struct book *book, struct diag *diag)
{
    size_t count = 0;
    for (size_t i = 0; i < config->environment_count; i++)
        count += config->environments[i].prefix_count;
    r->sources = calloc(count + 1, sizeof *r->sources);
    if (r->sources == NULL)
        return false;
    for (size_t i = 0; i < config->environment_count; i++) {
        const struct config_environment *e = &config->environments[i];
        for (size_t j = 0; j < e->prefix_count; j++)
            r->sources[r->source_count++] = (struct source){
                .prefix = e->prefixes[j], .environment = (uint32_t)i, .line = e->line, .column = e->column};
    }
    settle_sources(r, config, book, diag);
    return true;
}

size_t roster_by_source(const struct roster *roster, const struct ipaddr *source)
{
    size_t low = 0, high = roster->source_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_addr(&roster->sources[middle].prefix.addr, source) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || source->family == 0 || !prefix_contains(&roster->sources[low - 1].prefix, source))
        return ROSTER_NONE;
    return roster->sources[low - 1].environment;
}

/* ---- the whole ---- */

struct tenant *roster_tenant(const struct roster *roster, size_t environment)
{
    ASSERT(environment < roster->tenant_count);
    return roster->tenants[environment];
}

enum err roster_new(const struct config *open, const struct config *config, const struct book *book,
                    struct tenant *const *tenants, struct diag *diag, struct roster **out)
{
    size_t errors = diag->errors;
    struct roster *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NO_MEMORY;
    r->tenant_count = book_count(book);
    r->tenants = calloc(r->tenant_count + 1, sizeof(struct tenant *));
    if (r->tenants == NULL || !fill_listeners(r, open, config, book, diag) || !fill_sources(r, config, book, diag)) {
        roster_free(r);
        return ERR_NO_MEMORY;
    }
    memcpy(r->tenants, tenants, r->tenant_count * sizeof(struct tenant *));
    if (diag->errors != errors) {
        roster_free(r);
        return ERR_INVALID;
    }
    *out = r;
    return ERR_NONE;
}
