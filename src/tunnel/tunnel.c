/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/assert.h"
#include "base/clock.h"
#include "ceiling.h"

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

const struct target *tunnel_target(const struct tunnel *t)
{
    return t->knows_target ? &t->target : NULL;
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

/* Most steps follow each other within a turn, in which the clock stands still: only one that waits needs its
 * deadline. */
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

/* Who cannot be listened to cannot be waited for. A head that has begun is an attempt, and is on record. */
static enum go unheard(struct tunnel *t)
{
    if (t->step == STEP_HEAD)
        return tunnel_refuse(t, REASON_LIMIT, STAGE_LIMITS);
    return tunnel_end(t, REASON_LIMIT, FLOW_END_REFUSED, true);
}

static enum go begin_wait(struct tunnel *t)
{
    check_sentences(t);
    if (t->client->deaf && !t->unminded && port_listen(t->client) != ERR_NONE)
        return unheard(t);
    if (t->arm)
        arm(t);
    t->running = false;
    return GO_WAIT;
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
        if (go == GO_WAIT)
            go = begin_wait(t);
    }
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

static void tunnel_grave(void *object)
{
    struct tunnel *t = object;
    policy_unref(t->policy);
    narrowing_unref(t->narrowing);
    tunnel_put(t->home, t);
}

struct decision tunnel_own_decision(const struct tunnel *t, enum reason reason, enum stage stage)
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
    if (!t->counted) {
        COUNT(t->home, bytes_up, t->up.bytes_out + t->http_up);
        COUNT(t->home, bytes_down, t->down.bytes_out + t->http_down);
    }
    t->counted = true;
    ceiling_count(t);
    if (t->recorded != RECORDED_ATTEMPT || !t->holds_outcome_credit)
        return;
    t->final_decision = tunnel_own_decision(t, reason, stage_of(t->step));
    t->end = end;
    if (t->step == STEP_RELAY || t->step == STEP_EXCHANGE)
        t->times.relay_ms = tunnel_lap(t);
    record_outcome(t);
}

void tunnel_renew(struct tunnel *t)
{
    ASSERT(t->recorded == RECORDED_ALL && !t->holds_credit && t->who.tenant != NULL);
    tunnel_uncount_credit(t);
    tunnel_give_place(t);
    if (t->upstream == NULL)
        tunnel_uncount_upstream(t);
    policy_unref(t->policy);
    narrowing_unref(t->narrowing);
    t->policy = NULL;
    t->narrowing = NULL;
    t->who = (struct tunnel_who){0};
    t->recorded = RECORDED_NOTHING;
    t->knows_target = t->counted = false;
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
    tunnel_give_back(t);
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
    struct decision decision = tunnel_own_decision(t, reason, stage);
    return tunnel_refuse_by(t, &decision);
}
