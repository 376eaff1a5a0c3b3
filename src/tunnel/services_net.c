/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/services.h"

static uint64_t net_now_ms(void *ctx)
{
    struct tunnel_net *net = ctx;
    return loop_now_ms(net->loop);
}

static void net_run_later(void *ctx, struct run_item *item)
{
    struct tunnel_net *net = ctx;
    loop_run_later(net->loop, item);
}

static void net_bury(void *ctx, void *object, grave_fn *free_object)
{
    struct tunnel_net *net = ctx;
    loop_bury(net->loop, object, free_object);
}

static enum err net_lookup(void *ctx, const struct hostname *name, uint32_t timeout_ms,
                           const struct lookup_calls *calls, void *arg, struct answers *out, struct lookup **out_lookup)
{
    struct tunnel_net *net = ctx;
    return resolver_lookup(net->resolver, name, timeout_ms, calls, arg, out, out_lookup);
}

static uint32_t net_lookup_cancel(void *ctx, struct lookup *lookup)
{
    (void)ctx;
    return resolver_cancel(lookup);
}

static enum err net_dial(void *ctx, const struct admitted *admitted, uint32_t timeout_ms, dial_fn *fn, void *arg,
                         struct dial **out)
{
    struct tunnel_net *net = ctx;
    return dial_start(net->loop, admitted, timeout_ms, fn, arg, out);
}

static uint32_t net_dial_cancel(void *ctx, struct dial *dial)
{
    (void)ctx;
    return dial_cancel(dial);
}

struct tunnel_services tunnel_services_net(struct tunnel_net *store)
{
    return (struct tunnel_services){
        .ctx = store,
        .wheel = loop_wheel(store->loop),
        .now_ms = net_now_ms,
        .run_later = net_run_later,
        .bury = net_bury,
        .lookup = net_lookup,
        .lookup_cancel = net_lookup_cancel,
        .dial = net_dial,
        .dial_cancel = net_dial_cancel,
    };
}
