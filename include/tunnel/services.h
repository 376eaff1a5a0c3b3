/* SPDX-License-Identifier: Apache-2.0 */
/*
 * services: what a tunnel needs of the outside world, as one table. The program fills it from net/ (services_net.c);
 * the lab fills it with fakes and turns the clock by hand. Every function belongs to the worker's thread.
 */
#ifndef TUNNEL_SERVICES_H
#define TUNNEL_SERVICES_H

#include "net/dialer.h"
#include "net/loop.h"
#include "net/resolver.h"

struct tunnel_services {
    void *ctx;
    struct wheel *wheel;
    uint64_t (*now_ms)(void *ctx);
    void (*run_later)(void *ctx, struct run_item *item);
    void (*bury)(void *ctx, void *object, grave_fn *free_object);
    /* As resolver_lookup() and resolver_cancel(). */
    enum err (*lookup)(void *ctx, const struct hostname *name, uint32_t timeout_ms, const struct lookup_calls *calls,
                       void *arg, struct answers *out, struct lookup **out_lookup);
    uint32_t (*lookup_cancel)(void *ctx, struct lookup *lookup);
    /* As dial_start() and dial_cancel(). */
    enum err (*dial)(void *ctx, const struct admitted *admitted, uint32_t timeout_ms, dial_fn *fn, void *arg,
                     struct dial **out);
    uint32_t (*dial_cancel)(void *ctx, struct dial *dial);
};

/* The real ones over a worker's loop and resolver; `store` is the memory behind ctx and lives as long as the table. */
struct tunnel_net {
    struct loop *loop;
    struct resolver *resolver;
};
struct tunnel_services tunnel_services_net(struct tunnel_net *store);

#endif
