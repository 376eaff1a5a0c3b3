/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which environment a client belongs to. Main adds tenants before it posts a book that needs them and never removes
 * one, so workers read the table without a lock: the count is published after the entry.
 */
#include "internal.h"

#include <stdlib.h>

struct identity {
    struct limits defaults;
    struct tenant *unknown;
    struct tenant *tenants[TENANTS_MAX];
    atomic_size_t count;
};

enum err identity_new(struct identity **out)
{
    struct identity *identity = calloc(1, sizeof *identity);
    if (identity == NULL)
        return ERR_NO_MEMORY;
    limits_default(&identity->defaults);
    enum err err = tenant_new(span_text("-"), &identity->unknown);
    if (err != ERR_NONE) {
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
    size_t count = atomic_load(&identity->count);
    for (size_t i = 0; i < count; i++)
        tenant_free(identity->tenants[i]);
    tenant_free(identity->unknown);
    free(identity);
}

static struct tenant *find(const struct identity *identity, struct span name)
{
    size_t count = atomic_load_explicit(&identity->count, memory_order_acquire);
    for (size_t i = 0; i < count; i++)
        if (span_is(name, identity->tenants[i]->name))
            return identity->tenants[i];
    return NULL;
}

enum err identity_prepare(struct identity *identity, const struct book *book)
{
    for (size_t i = 0; i < book_count(book); i++) {
        struct span name = policy_name(book_at(book, i));
        if (find(identity, name) != NULL)
            continue;
        size_t count = atomic_load(&identity->count);
        if (count == TENANTS_MAX)
            return ERR_TOO_BIG;
        enum err err = tenant_new(name, &identity->tenants[count]);
        if (err != ERR_NONE)
            return err;
        atomic_store_explicit(&identity->count, count + 1, memory_order_release);
    }
    return ERR_NONE;
}

/* `run --policy` has one environment, and every listener belongs to it. */
static struct policy *policy_of(const struct book *book, const struct tunnel_listener *listener)
{
    (void)listener;
    return book_count(book) == 0 ? NULL : book_at(book, 0);
}

static const struct limits *hook_limits(void *ctx, const struct book *book, const struct tunnel_listener *listener)
{
    const struct identity *identity = ctx;
    const struct policy *policy = policy_of(book, listener);
    return policy != NULL ? policy_limits(policy) : &identity->defaults;
}

static enum reason hook_identify(void *ctx, const struct book *book, const struct tunnel_listener *listener,
                                 const struct tunnel_client *client, struct tunnel_who *out)
{
    (void)client;
    const struct identity *identity = ctx;
    struct policy *policy = policy_of(book, listener);
    struct tenant *tenant = policy != NULL ? find(identity, policy_name(policy)) : NULL;
    if (tenant == NULL) {
        out->tenant = identity->unknown;
        return REASON_IDENTITY;
    }
    out->policy = policy;
    out->tenant = tenant;
    out->environment = span_text(tenant->name);
    return REASON_NONE;
}

struct tunnel_hooks identity_hooks(struct identity *identity)
{
    return (struct tunnel_hooks){.ctx = identity, .limits = hook_limits, .identify = hook_identify};
}
