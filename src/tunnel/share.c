/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tunnel takes of its session, its environment and the process, and gives back: rate, places, sockets, credit.
 * Everything is a count that is taken before the thing itself; memory.c does the same for bytes.
 */
#include "internal.h"

#include "base/clock.h"

/* The session's own first: what it is refused costs the others of its environment nothing. */
bool tunnel_take_rate(struct tunnel *t)
{
    const struct limits *own = narrowing_limits(t->narrowing);
    const struct limits *all = t->policy != NULL ? policy_limits(t->policy) : tunnel_limits(t);
    uint64_t now_ns = clock_mono_ns();
    bool has_own = t->who.use != NULL && (own->attempts_per_second != 0 || own->attempts_burst != 0);
    if (has_own && !rate_take(&t->who.use->rate_due_ns, tunnel_limits(t), now_ns))
        return false;
    return rate_take(&t->who.tenant->rate_due_ns, all, now_ns);
}

/* The environment's number counts all of it together; the session's own number is counted beside it. */
bool tunnel_take_place(struct tunnel *t)
{
    struct session_use *use = t->who.use;
    uint64_t own = narrowing_limits(t->narrowing)->tunnels;
    if (!budget_take(&t->who.tenant->tunnels, 1, policy_limits(t->policy)->tunnels))
        return false;
    if (use != NULL && !budget_take(&use->tunnels, 1, own)) {
        budget_give(&t->who.tenant->tunnels, 1);
        return false;
    }
    t->holds_tunnel = true;
    return true;
}

void tunnel_give_place(struct tunnel *t)
{
    if (t->holds_tunnel)
        budget_give(&t->who.tenant->tunnels, 1);
    if (t->holds_tunnel && t->who.use != NULL)
        budget_give(&t->who.use->tunnels, 1);
    t->holds_tunnel = false;
}

uint64_t tunnel_share(const struct tunnel *t, const struct limits *limits, uint64_t max)
{
    uint64_t percent = limits->share != 0 ? limits->share : t->home->o.process->share_percent;
    uint64_t share = max / 100 * percent + max % 100 * percent / 100;
    return share == 0 ? 1 : share;
}

bool tunnel_count_socket(struct tunnel *t, struct tenant **against, struct tenant *tenant, const struct limits *limits)
{
    if (*against == tenant)
        return true;
    if (!budget_take(&tenant->descriptors, 1, tunnel_share(t, limits, t->home->o.process->descriptors_max))) {
        LIMIT_HIT(t->home, LIMIT_share);
        return false;
    }
    tunnel_uncount_socket(against);
    *against = tenant;
    return true;
}

bool tunnel_count_credit(struct tunnel *t, struct tenant *tenant, uint64_t max)
{
    if (t->credit_of == tenant)
        return true;
    if (!budget_take(&tenant->credit, DESK_PAIR_BYTES, max)) {
        LIMIT_HIT(t->home, LIMIT_share);
        return false;
    }
    tunnel_uncount_credit(t);
    t->credit_of = tenant;
    t->tenant_credit = DESK_PAIR_BYTES;
    return true;
}

void tunnel_uncount_credit(struct tunnel *t)
{
    if (t->credit_of != NULL)
        budget_give(&t->credit_of->credit, t->tenant_credit);
    t->credit_of = NULL;
    t->tenant_credit = 0;
}

void tunnel_drop_credit(struct tunnel *t)
{
    if (t->holds_credit)
        desk_credit_give(t->home->o.desk, DESK_PAIR_BYTES);
    t->holds_credit = false;
    tunnel_uncount_credit(t);
}

void tunnel_uncount_socket(struct tenant **against)
{
    if (*against != NULL)
        budget_give(&(*against)->descriptors, 1);
    *against = NULL;
}

void tunnel_uncount_upstream(struct tunnel *t)
{
    if (t->holds_upstream_fd)
        budget_give(&t->home->o.process->descriptors, 1);
    t->holds_upstream_fd = false;
    tunnel_uncount_socket(&t->upstream_tenant);
}

void tunnel_came_to_nothing(struct tunnel *t)
{
    if (t->came_by != NULL)
        meter_unfinished(t->came_by, t->pace, tunnel_now(t));
    t->came_by = NULL;
}

void tunnel_give_back(struct tunnel *t)
{
    struct tunnels *home = t->home;
    tunnel_drop_credit(t);
    if (t->holds_outcome_credit)
        desk_credit_give(home->o.desk, DESK_RECORD_BYTES);
    tunnel_uncount_upstream(t);
    budget_give(&home->o.process->descriptors, 1);
    memory_give(t, t->memory);
    tunnel_give_place(t);
    tunnel_uncount_socket(&t->client_tenant);
    if (t->turned_away != NULL)
        budget_give(&t->turned_away->turned_away, 1);
    if (t->holds_held)
        budget_give(&t->who.tenant->held, 1);
}
