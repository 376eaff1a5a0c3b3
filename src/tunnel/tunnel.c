/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/assert.h"
#include "base/clock.h"

enum deadline { DEADLINE_NONE, DEADLINE_LIMIT, DEADLINE_FIXED };

struct step_def {
    enum go (*fn)(struct tunnel *t);
    enum deadline deadline;
    size_t limit_offset;
    uint32_t fixed_ms;
    struct step_row row;
};

/* clang-format off */
#define L(key) DEADLINE_LIMIT, offsetof(struct limits, key), 0, #key
#define F(ms)  DEADLINE_FIXED, 0, ms, #ms " ms"
#define N      DEADLINE_NONE, 0, 0, ""
#define STEP_DEF(id, fn_, wakes_, kind, offset, ms, text, reason_, sentence_)                      \
    [STEP_##id] = {.fn = fn_, .deadline = kind, .limit_offset = offset, .fixed_ms = ms,            \
                   .row = {.name = #id, .wakes = wakes_, .deadline = text,                         \
                           .timeout = REASON_##reason_, .sentence = sentence_}},
/* One more expansion, so that L, F and N become four arguments. */
#define STEP_DEF_EXPANDED(...) STEP_DEF(__VA_ARGS__)
#define X(id, fn, wakes, deadline, reason, sentence) STEP_DEF_EXPANDED(id, fn, wakes, deadline, reason, sentence)
/* clang-format on */

static const struct step_def steps[STEP_COUNT] = {
#include "tunnel/step_tbl.h"
};
#undef X

const struct step_row *tunnel_step_rows(size_t *out_count)
{
    static struct step_row rows[STEP_COUNT];
    for (size_t i = 1; i < STEP_COUNT; i++)
        rows[i - 1] = steps[i].row;
    *out_count = STEP_COUNT - 1;
    return rows;
}

uint64_t tunnel_now(const struct tunnel *t)
{
    return t->home->o.services.now_ms(t->home->o.services.ctx);
}

const struct limits *tunnel_limits(const struct tunnel *t)
{
    if (t->policy != NULL)
        return t->who.limits != NULL ? t->who.limits : policy_limits(t->policy);
    const struct tunnel_hooks *hooks = &t->home->o.hooks;
    return hooks->limits(hooks->ctx, t->home->book, t->listener);
}

bool tunnel_observes(const struct policy *policy, uint64_t *out_left_ms)
{
    int64_t until_ms = policy != NULL ? policy_observes_until_ms(policy) : 0;
    if (until_ms == 0)
        return false; /* nearly always: no clock is read */
    int64_t now_ms = clock_wall_ns() / 1000000;
    if (out_left_ms != NULL)
        *out_left_ms = until_ms > now_ms ? (uint64_t)(until_ms - now_ms) : 0;
    return now_ms < until_ms;
}

struct question tunnel_question(const struct tunnel *t)
{
    return (struct question){
        .door = t->door,
        .method = t->method,
        .target = &t->target,
        .generation = book_generation(t->home->book),
        .own = t->home->o.own,
        .own_count = t->home->o.own_count,
        .narrowing = t->narrowing,
        .observes = tunnel_observes(t->policy, NULL),
    };
}

uint32_t tunnel_lap(struct tunnel *t)
{
    uint64_t now_ms = tunnel_now(t);
    uint64_t lap_ms = now_ms - t->step_from_ms;
    t->step_from_ms = now_ms;
    return lap_ms > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)lap_ms;
}

enum go tunnel_step(struct tunnel *t, enum step step)
{
    t->step = step;
    t->timed_out = t->unminded = false;
    t->arm = true;
    return GO_ON;
}

void tunnel_wake_at(struct tunnel *t, uint64_t at_ms)
{
    t->arm = false;
    timer_set(t->home->o.services.wheel, &t->timer, at_ms);
}

/* Most steps follow each other within a turn, in which the clock stands still: only one that waits needs its deadline. */
static void arm(struct tunnel *t)
{
    const struct step_def *def = &steps[t->step];
    t->arm = false;
    switch (def->deadline) {
    case DEADLINE_NONE:
        timer_cancel(&t->timer);
        break;
    case DEADLINE_FIXED:
        timer_set(t->home->o.services.wheel, &t->timer, tunnel_now(t) + def->fixed_ms);
        break;
    case DEADLINE_LIMIT: {
        uint64_t limit_ms;
        memcpy(&limit_ms, (const char *)tunnel_limits(t) + def->limit_offset, sizeof limit_ms);
        timer_set(t->home->o.services.wheel, &t->timer, tunnel_now(t) + limit_ms);
        break;
    }
    }
}

/* The sentences that can be seen from one tunnel; checked between steps, in every build. */
static void check_sentences(const struct tunnel *t)
{
    bool upstream_may_be = t->recorded != RECORDED_NOTHING && t->target_decision.verdict == VERDICT_ALLOW;
    bool plain = t->door == DOOR_HTTP; /* whose upstream may rest between two requests, and has no hello */
    ASSERT(t->upstream == NULL || upstream_may_be || plain);
    ASSERT(t->dialled.family == 0 || upstream_may_be || plain);
    ASSERT(t->step != STEP_RELAY || (upstream_may_be && (t->judged_hello || plain) && t->upstream != NULL));
    ASSERT(t->step != STEP_EXCHANGE || (upstream_may_be && plain && t->upstream != NULL));
    ASSERT(t->up.from == NULL || t->step == STEP_RELAY || t->step == STEP_HELLO);
    ASSERT(t->up.bytes_in == t->up.bytes_out + lane_held(&t->up));
    ASSERT(t->down.bytes_in == t->down.bytes_out + lane_held(&t->down));
    ASSERT(!t->buried);
}

static void begin_wait(struct tunnel *t)
{
    check_sentences(t);
    if (t->client->deaf && !t->unminded && port_listen(t->client) != ERR_NONE) {
        tunnel_end(t, REASON_LIMIT, FLOW_END_REFUSED, true);
        return;
    }
    if (t->arm)
        arm(t);
    t->running = false;
}

void tunnel_run(struct tunnel *t)
{
    ASSERT(!t->buried);
    if (t->running)
        return;
    t->running = true;
    enum go go = GO_ON;
    while (go == GO_ON) {
        check_sentences(t);
        go = steps[t->step].fn(t);
    }
    if (go == GO_WAIT)
        begin_wait(t);
}

void tunnel_client_wake(struct port *port)
{
    tunnel_run(port->owner);
}

void tunnel_wait_for(struct tunnel *t, enum waiting_for what)
{
    struct tunnels *home = t->home;
    struct tunnel_queue *queue = &home->waiting[what];
    if (t->waiting_for == what)
        return;
    ASSERT(t->waiting_for == WAITING_NOTHING);
    t->waiting_for = what;
    t->wait_next = NULL;
    t->wait_link = queue->last;
    *queue->last = t;
    queue->last = &t->wait_next;
    desk_set_waiting(home->o.desk, true);
}

void tunnel_wait_done(struct tunnel *t)
{
    struct tunnels *home = t->home;
    if (t->waiting_for == WAITING_NOTHING)
        return;
    struct tunnel_queue *queue = &home->waiting[t->waiting_for];
    *t->wait_link = t->wait_next;
    if (t->wait_next != NULL)
        t->wait_next->wait_link = t->wait_link;
    else
        queue->last = t->wait_link;
    t->waiting_for = WAITING_NOTHING;
    if (home->waiting[WAITING_CREDIT].first == NULL && home->waiting[WAITING_DURABLE].first == NULL)
        tunnels_mind_desk(home);
}

void tunnel_cancel_pending(struct tunnel *t)
{
    struct setup *s = t->setup;
    const struct tunnel_services *services = &t->home->o.services;
    if (s->lookup != NULL) {
        t->dns_sent += services->lookup_cancel(services->ctx, s->lookup);
        lookup_given_back(t);
    }
    s->lookup = NULL;
    if (s->dial != NULL)
        t->dials += services->dial_cancel(services->ctx, s->dial);
    s->dial = NULL;
    if (s->has_dialled && s->dialled.port != NULL)
        port_close(s->dialled.port, true);
    s->has_dialled = false;
}

void tunnel_setup_drop(struct tunnel *t)
{
    if (t->setup == NULL)
        return;
    tunnel_cancel_pending(t);
    http_drop(t);
    memory_buffer_drop(t, t->setup->in);
    memory_setup_drop(t, t->setup);
    t->setup = NULL;
}

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

void tunnel_uncount_socket(struct tenant **against)
{
    if (*against != NULL)
        budget_give(&(*against)->descriptors, 1);
    *against = NULL;
}

void tunnel_came_to_nothing(struct tunnel *t)
{
    if (t->came_by != NULL)
        meter_unfinished(t->came_by, t->pace, tunnel_now(t));
    t->came_by = NULL;
}

static void give_back(struct tunnel *t)
{
    struct tunnels *home = t->home;
    if (t->holds_credit)
        desk_credit_give(home->o.desk, DESK_PAIR_BYTES);
    if (t->holds_outcome_credit)
        desk_credit_give(home->o.desk, DESK_RECORD_BYTES);
    if (t->tenant_credit > 0)
        budget_give(&t->who.tenant->credit, t->tenant_credit);
    if (t->holds_upstream_fd)
        budget_give(&home->o.process->descriptors, 1);
    budget_give(&home->o.process->descriptors, 1);
    memory_give(t, t->memory);
    tunnel_give_place(t);
    tunnel_uncount_socket(&t->client_tenant);
    tunnel_uncount_socket(&t->upstream_tenant);
    if (t->turned_away != NULL)
        budget_give(&t->turned_away->turned_away, 1);
    if (t->holds_held)
        budget_give(&t->who.tenant->held, 1);
}

static void tunnel_grave(void *object)
{
    struct tunnel *t = object;
    policy_unref(t->policy);
    narrowing_unref(t->narrowing);
    tunnel_put(t->home, t);
}

static struct decision own_decision(const struct tunnel *t, enum reason reason, enum stage stage)
{
    bool refused = stage < STAGE_RESOLVE || reason_row(reason)->severity >= 3;
    bool late = t->late_rule.kind != RULE_DEFAULT;
    struct rule_ref rule = {.kind = stage == STAGE_SYNTAX ? RULE_SYNTAX : RULE_LIMIT};
    if (reason == REASON_REVOKED)
        rule = t->late_rule;
    else if (!refused) /* it ended under the rule that had allowed it: its address, if that needed one, else its name */
        rule = late ? t->late_rule : t->target_decision.rule;
    return (struct decision){
        .verdict = refused ? VERDICT_DENY : VERDICT_ALLOW,
        .reason = reason,
        .stage = stage,
        .rule = rule,
        .observed = t->target_decision.observed,
        .generation = book_generation(t->home->book),
    };
}

static void close_ports(struct tunnel *t, bool reset)
{
    if (t->up.from != NULL) {
        lane_close(&t->up, t->home->o.pool);
        lane_close(&t->down, t->home->o.pool);
    }
    if (t->upstream != NULL)
        port_close(t->upstream, reset);
    if (t->client != NULL)
        port_close(t->client, reset);
    t->upstream = t->client = NULL;
}

static enum stage stage_of(enum step step)
{
    if (step == STEP_RELAY || step == STEP_EXCHANGE)
        return STAGE_RELAY;
    return step == STEP_HELLO ? STAGE_HELLO : STAGE_DIAL;
}

void tunnel_seal_outcome(struct tunnel *t, enum reason reason, enum flow_end end)
{
    COUNT(t->home, bytes_up, t->up.bytes_out + t->http_up);
    COUNT(t->home, bytes_down, t->down.bytes_out + t->http_down);
    ceiling_count(t);
    if (t->recorded != RECORDED_ATTEMPT || !t->holds_outcome_credit)
        return;
    t->final_decision = own_decision(t, reason, stage_of(t->step));
    t->end = end;
    if (t->step == STEP_RELAY || t->step == STEP_EXCHANGE)
        t->times.relay_ms = tunnel_lap(t);
    record_outcome(t);
}

void tunnel_renew(struct tunnel *t)
{
    struct tunnel_process *process = t->home->o.process;
    ASSERT(t->recorded == RECORDED_ALL && !t->holds_credit && t->who.tenant != NULL);
    budget_give(&t->who.tenant->credit, t->tenant_credit);
    tunnel_give_place(t);
    if (t->holds_upstream_fd && t->upstream == NULL) {
        budget_give(&process->descriptors, 1);
        t->holds_upstream_fd = false;
        tunnel_uncount_socket(&t->upstream_tenant);
    }
    t->tenant_credit = 0;
    policy_unref(t->policy);
    narrowing_unref(t->narrowing);
    t->policy = NULL;
    t->narrowing = NULL;
    t->who = (struct tunnel_who){0};
    t->recorded = RECORDED_NOTHING;
    t->target_decision = t->final_decision = (struct decision){0};
    t->http_up = t->http_down = t->traffic_recorded = 0;
    t->metered_up = t->metered_down = 0;
    t->dials = t->dns_sent = 0;
    t->dns_joined = false;
    t->status = 0;
    t->end = FLOW_END_NONE;
    t->times = (struct flow_times){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
}

enum go tunnel_end(struct tunnel *t, enum reason reason, enum flow_end end, bool reset)
{
    struct tunnels *home = t->home;
    ASSERT(!t->buried);
    if (t->setup != NULL)
        tunnel_cancel_pending(t);
    tunnel_seal_outcome(t, reason, end);
    close_ports(t, reset);
    tunnel_setup_drop(t);
    memory_buffer_drop(t, t->out);
    memory_buffer_drop(t, t->other_name);
    if (!t->heard)
        tunnel_came_to_nothing(t);
    timer_cancel(&t->timer);
    run_item_cancel(&t->run);
    tunnel_wait_done(t);
    give_back(t);
    if (home->judge_next == t)
        home->judge_next = t->next;
    *t->link = t->next;
    if (t->next != NULL)
        t->next->link = t->link;
    home->open--;
    t->buried = true;
    home->o.services.bury(home->o.services.ctx, t, tunnel_grave);
    tunnels_note_empty(home);
    return GO_ENDED;
}

enum go tunnel_refuse(struct tunnel *t, enum reason reason, enum stage stage)
{
    struct decision decision = own_decision(t, reason, stage);
    return tunnel_refuse_by(t, &decision);
}

/* Of a policy, for the records of a tunnel. */
struct allowing {
    struct rule_ref target, late;
};

/* The address that is open, or those that are being dialled. */
static const struct ipaddr *reached(const struct tunnel *t, size_t *out_count)
{
    bool dialling = t->dialled.family == 0 && t->step == STEP_DIAL && t->setup->dial != NULL;
    *out_count = dialling ? admitted_count(&t->setup->admitted) : t->dialled.family != 0;
    return dialling ? admitted_at(&t->setup->admitted, 0) : &t->dialled;
}

/* Asks what is in force now the questions that this tunnel has passed already; `out_rules` where it still passes. */
static bool still_allowed(struct tunnel *t, const struct tunnel_who *who, struct decision *out,
                          struct allowing *out_rules)
{
    const struct policy *policy = who->policy;
    struct question question = tunnel_question(t);
    question.narrowing = who->narrowing;
    question.observes = tunnel_observes(policy, NULL);
    policy_ask_target(policy, &question, out);
    if (out->verdict != VERDICT_ALLOW)
        return false;
    *out_rules = (struct allowing){.target = out->rule};
    size_t count = 0;
    const struct ipaddr *addresses = reached(t, &count);
    if (count > 0) {
        struct admitted admitted;
        policy_ask_address(policy, &question, addresses, count, &admitted, out, NULL);
        if (out->verdict != VERDICT_ALLOW)
            return false;
        out_rules->late = out->rule;
    }
    if (t->judged_hello) {
        struct hello *hello = t->home->hello;
        memset(hello, 0, sizeof *hello);
        hello->ech = t->ech;
        hello->sni = t->sni_present ? SNI_PRESENT : SNI_NONE;
        if (t->other_name != NULL) /* it was observed */
            memcpy(&hello->name, t->other_name->data, sizeof hello->name);
        else if (t->sni_present)
            hello->name = t->target.name; /* it was equal, or it would not be open */
        policy_ask_hello(policy, &question, t->first_bytes, hello, out);
        if (out->verdict != VERDICT_ALLOW)
            return false;
    }
    return true;
}

/* The decision's rule is one of the policy that the tunnel has by now. */
static void revoke(struct tunnel *t, const struct decision *decision)
{
    t->late_rule = decision->rule;
    if (t->step == STEP_RELAY || t->step == STEP_EXCHANGE || t->out_sent > 0) {
        tunnel_end(t, REASON_REVOKED, FLOW_END_REFUSED, true);
        return;
    }
    enum go go = t->status == 200 ? tunnel_refuse(t, REASON_REVOKED, STAGE_HELLO) : tunnel_refuse_by(t, decision);
    if (go == GO_ON)
        tunnel_run(t);
}

static void take_policy(struct tunnel *t, const struct tunnel_who *who)
{
    struct policy *old = t->policy;
    struct narrowing *old_narrowing = t->narrowing;
    t->policy = policy_ref(who->policy);
    t->narrowing = narrowing_ref(who->narrowing);
    t->who = *who;
    policy_unref(old);
    narrowing_unref(old_narrowing);
}

/* Whether it lives by being observed alone is this policy's word: then its last day is the tunnel's, else nobody's. */
static void observe_from_now(struct tunnel *t, enum reason observed)
{
    bool begins = observed != REASON_NONE && t->target_decision.observed == REASON_NONE;
    t->target_decision.observed = observed;
    if (begins && (t->step == STEP_RELAY || t->step == STEP_EXCHANGE))
        (void)tunnel_deadline(t); /* it may end here */
}

void tunnel_rejudge(struct tunnel *t)
{
    if (t->policy == NULL || t->target_decision.verdict != VERDICT_ALLOW || t->step < STEP_ATTEMPT ||
        t->step > STEP_EXCHANGE)
        return;
    const struct tunnel_hooks *hooks = &t->home->o.hooks;
    struct tunnel_who who;
    memset(&who, 0, sizeof who);
    struct decision decision = own_decision(t, REASON_IDENTITY, STAGE_IDENTITY);
    enum reason reason = hooks->identify(hooks->ctx, t->home->book, t->listener, &t->from, &who);
    if (reason != REASON_NONE || who.tenant != t->who.tenant) {
        revoke(t, &decision);
        return;
    }
    if (who.policy == t->policy && who.narrowing == t->narrowing)
        return;
    /* From here on it is this policy's tunnel, and its rules are this policy's; its target stage keeps the generation under
     * which it was recorded. */
    struct allowing rules = {0};
    bool allowed = still_allowed(t, &who, &decision, &rules);
    take_policy(t, &who);
    if (!allowed) {
        revoke(t, &decision);
        return;
    }
    t->target_decision.rule = rules.target;
    t->late_rule = rules.late;
    observe_from_now(t, decision.observed);
}
