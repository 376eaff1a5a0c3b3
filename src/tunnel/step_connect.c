/* SPDX-License-Identifier: Apache-2.0 */
/* Steps from the durable attempt record to the judged ClientHello. */
#include "internal.h"

#include "base/assert.h"

#include <errno.h>

enum go step_attempt(struct tunnel *t)
{
    struct desk *desk = t->home->o.desk;
    if (t->recorded == RECORDED_NOTHING)
        record_attempt(t, &t->target_decision);
    if (desk_durable(desk) >= t->ticket) {
        tunnel_wait_done(t);
        t->times.durable_ms = tunnel_lap(t);
        if (t->door == DOOR_HTTP && http_may_reuse(t))
            return tunnel_carry(t, STEP_EXCHANGE);
        return tunnel_step(t, STEP_RESOLVE);
    }
    if (t->timed_out || desk_gate_closed(desk)) {
        tunnel_wait_done(t);
        desk_count_refused(desk);
        return tunnel_refuse(t, REASON_AUDIT, STAGE_AUDIT);
    }
    if (t->waiting_for == WAITING_DURABLE)
        return GO_WAIT;
    tunnel_wait_for(t, WAITING_DURABLE);
    return GO_ON; /* the commit may have come in between: look once more */
}

/* What the client sends while it waits is kept, within the bound of a hello; so a reset is seen now, and not only when
 * the host has answered. An orderly end is left for the step that reads next. */
static bool client_left(struct tunnel *t)
{
    const size_t max = (size_t)tunnel_limits(t)->hello_raw_bytes;
    while (t->client->readable && t->setup->in_len < max && tunnel_grow(t, max)) {
        enum port_io io = tunnel_fill(t);
        if (io == PORT_RESET)
            return true;
        if (io != PORT_OK)
            return false;
    }
    return false;
}

/* Nothing has come yet. */
static enum go wait_outside(struct tunnel *t)
{
    return client_left(t) ? tunnel_end(t, REASON_CLIENT_RESET, FLOW_END_RESET, true) : GO_WAIT;
}

/* Without room for the records of its questions a lookup waits, as long as an attempt waits for its own. */
static enum go lookup_waits(struct tunnel *t)
{
    bool waits = t->waiting_for == WAITING_CREDIT;
    if (t->setup->lookup_share_full) {
        LIMIT_HIT(t->home, LIMIT_share);
        tunnel_wait_done(t);
        return tunnel_refuse(t, REASON_LIMIT, STAGE_RESOLVE);
    }
    if (desk_gate_closed(t->home->o.desk) || (waits && t->timed_out)) {
        tunnel_wait_done(t);
        desk_count_refused(t->home->o.desk);
        return tunnel_refuse(t, REASON_AUDIT, STAGE_RESOLVE);
    }
    if (!waits) {
        tunnel_wait_for(t, WAITING_CREDIT);
        tunnel_wake_at(t, tunnel_now(t) + CREDIT_WAIT_MS);
    }
    return wait_outside(t);
}

static void lookup_waited(struct tunnel *t)
{
    if (t->waiting_for != WAITING_CREDIT)
        return;
    tunnel_wait_done(t);
    timer_cancel(&t->timer);
    t->timed_out = false;
}

/* Starts the lookup; true when *go says what to do at once. */
static bool start_lookup(struct tunnel *t, enum go *go)
{
    struct setup *s = t->setup;
    const struct tunnel_services *services = &t->home->o.services;
    if (!lookup_take(t)) {
        LIMIT_HIT(t->home, LIMIT_share);
        *go = tunnel_refuse(t, REASON_LIMIT, STAGE_RESOLVE);
        return true;
    }
    enum err err = services->lookup(services->ctx, &t->target.name, (uint32_t)tunnel_limits(t)->resolve_timeout,
                                    &tunnel_lookup_calls, t, &s->answers, &s->lookup);
    if (err != ERR_AGAIN)
        lookup_given_back(t);
    if (err == ERR_BUSY) {
        *go = lookup_waits(t);
        return true;
    }
    lookup_waited(t);
    if (err == ERR_NONE) {
        s->has_answers = true;
        return false;
    }
    if (err == ERR_AGAIN)
        *go = GO_WAIT;
    else if (err == ERR_CLOSED) {
        s->answers.result = DNS_NO_SERVER;
        *go = tunnel_refuse(t, REASON_DNS, STAGE_RESOLVE);
    } else
        *go = tunnel_refuse(t, REASON_LIMIT, STAGE_RESOLVE);
    return true;
}

enum go step_resolve(struct tunnel *t)
{
    struct setup *s = t->setup;
    t->late_rule = (struct rule_ref){.kind = RULE_DEFAULT}; /* it may be that of an earlier request */
    if (t->target.kind == TARGET_ADDRESS && !s->has_answers) {
        s->answers = (struct answers){.result = DNS_OK, .count = 1, .addresses = {t->target.addr}};
        s->has_answers = true;
    }
    enum go go = GO_WAIT;
    if (!s->has_answers && s->lookup == NULL && start_lookup(t, &go))
        return go;
    if (!s->has_answers)
        return wait_outside(t);
    t->dns_sent += s->answers.queries_sent;
    t->dns_joined = s->answers.joined;
    t->times.resolve_ms = tunnel_lap(t);
    if (s->answers.result == DNS_TIMEOUT)
        LIMIT_HIT(t->home, LIMIT_resolve_timeout);
    if (s->answers.result == DNS_TIMEOUT)
        return tunnel_refuse(t, REASON_DNS_TIME, STAGE_RESOLVE);
    if (s->answers.result != DNS_OK || s->answers.count == 0)
        return tunnel_refuse(t, REASON_DNS, STAGE_RESOLVE);
    return tunnel_step(t, STEP_ADMIT);
}

enum go step_admit(struct tunnel *t)
{
    struct setup *s = t->setup;
    struct question question = tunnel_question(t);
    struct decision decision = {0};
    policy_ask_address(t->policy, &question, s->answers.addresses, s->answers.count, &s->admitted, &decision, NULL);
    if (decision.verdict != VERDICT_ALLOW)
        return tunnel_refuse_by(t, &decision);
    t->late_rule = decision.rule;
    return tunnel_step(t, STEP_DIAL);
}

static void on_dialled(void *arg, const struct dialled *dialled)
{
    struct tunnel *t = arg;
    t->setup->dial = NULL;
    t->setup->dialled = *dialled;
    t->setup->has_dialled = true;
    tunnel_run(t);
}

static enum go dial_failed(struct tunnel *t, int error)
{
    if (error == ETIMEDOUT)
        LIMIT_HIT(t->home, LIMIT_dial_timeout);
    return tunnel_refuse(t, error == ETIMEDOUT ? REASON_CONNECT_TIME : REASON_CONNECT, STAGE_DIAL);
}

enum go step_dial(struct tunnel *t)
{
    struct setup *s = t->setup;
    const struct tunnel_services *services = &t->home->o.services;
    if (!s->has_dialled && s->dial == NULL) {
        enum err err = services->dial(services->ctx, &s->admitted, (uint32_t)tunnel_limits(t)->dial_timeout, on_dialled,
                                      t, &s->dial);
        if (err != ERR_NONE)
            return tunnel_refuse(t, REASON_LIMIT, STAGE_DIAL);
    }
    if (!s->has_dialled)
        return wait_outside(t);
    s->has_dialled = false;
    t->dials += s->dialled.connects;
    COUNT(t->home, dials, s->dialled.connects);
    t->dialled = s->dialled.addr;
    t->times.dial_ms = tunnel_lap(t);
    if (s->dialled.port == NULL)
        return dial_failed(t, s->dialled.error);
    t->upstream = s->dialled.port;
    t->upstream->wake = tunnel_client_wake;
    t->upstream->owner = t;
    return t->door == DOOR_HTTP ? tunnel_carry(t, STEP_EXCHANGE) : tunnel_step(t, STEP_REPLY);
}

enum send_state { SEND_DONE, SEND_WAIT, SEND_GONE };

static enum send_state send_established(struct tunnel *t)
{
    const struct span text = outbuf_written(&t->home->established);
    const size_t len = text.len;
    while (t->out_sent < len) {
        size_t n = 0;
        enum port_io io = port_send(t->client, text.data + t->out_sent, len - t->out_sent, &n);
        if (io == PORT_AGAIN)
            return SEND_WAIT;
        if (io != PORT_OK)
            return SEND_GONE;
        t->out_sent = (uint16_t)(t->out_sent + n);
    }
    return SEND_DONE;
}

enum go step_reply(struct tunnel *t)
{
    if (t->timed_out)
        LIMIT_HIT(t->home, LIMIT_hello_timeout);
    if (t->timed_out)
        return tunnel_end(t, REASON_CLIENT_RESET, FLOW_END_RESET, true);
    switch (send_established(t)) {
    case SEND_WAIT:
        return GO_WAIT;
    case SEND_GONE:
        return tunnel_end(t, REASON_CLIENT_RESET, FLOW_END_RESET, true);
    case SEND_DONE:
        break;
    }
    t->out_sent = 0;
    t->status = 200;
    return tunnel_step(t, STEP_HELLO);
}

static enum go begin_relay(struct tunnel *t)
{
    struct setup *s = t->setup;
    struct relay_pool *pool = t->home->o.pool;
    ASSERT(s != NULL);
    lane_open(&t->up, t->client, t->upstream, 0); /* ceilings are set turn by turn */
    lane_open(&t->down, t->upstream, t->client, 0);
    lane_pair(&t->up, &t->down);
    if (s->in_len > 0 && lane_preload(&t->up, pool, span_make(s->in->data, s->in_len)) != ERR_NONE)
        return tunnel_refuse(t, REASON_LIMIT, STAGE_HELLO);
    t->times.hello_ms = tunnel_lap(t);
    tunnel_setup_drop(t);
    return tunnel_carry(t, STEP_RELAY);
}

/* The name of a hello that the record could not say any more once the setup is gone. */
static bool keep_other_name(struct tunnel *t, const struct hostname *name)
{
    t->other_name = memory_buffer(t, sizeof *name);
    if (t->other_name != NULL)
        memcpy(t->other_name->data, name, sizeof *name);
    return t->other_name != NULL;
}

static enum go judge_first_bytes(struct tunnel *t, enum first_bytes first, const struct hello *hello)
{
    struct question question = tunnel_question(t);
    struct decision decision = {0};
    policy_ask_hello(t->policy, &question, first, hello, &decision);
    t->first_bytes = first;
    if (hello != NULL) {
        t->has_hello = true;
        t->sni_present = hello->sni == SNI_PRESENT;
        t->ech = hello->ech;
        t->tls_version = hello->highest_version;
        if (t->sni_present && t->setup != NULL)
            t->setup->sni = hello->name;
    }
    if (decision.verdict != VERDICT_ALLOW)
        return tunnel_refuse_by(t, &decision);
    t->judged_hello = true;
    t->final_decision = decision;
    if (hello != NULL && decision.observed == REASON_SNI_MISMATCH && !keep_other_name(t, &hello->name))
        return tunnel_refuse(t, REASON_LIMIT, STAGE_HELLO);
    if (decision.observed != REASON_NONE)
        t->target_decision.observed = decision.observed; /* what the outcome says of this tunnel */
    return begin_relay(t);
}

/* The client ended its direction before a whole hello was there. */
static enum go hello_cut(struct tunnel *t)
{
    const struct setup *s = t->setup;
    if (s->in_len == 0)
        return tunnel_end(t, REASON_ALLOWED, FLOW_END_CLOSED, false);
    /* With less than a record header and a message type nobody can say that it was TLS. */
    if (s->in_len < 6)
        return judge_first_bytes(t, FIRST_NOT_TLS, NULL);
    return tunnel_refuse(t, REASON_HELLO, STAGE_HELLO);
}

static enum go hello_late(struct tunnel *t)
{
    if (t->setup->in_len == 0)
        return judge_first_bytes(t, FIRST_SILENCE, NULL);
    LIMIT_HIT(t->home, LIMIT_hello_timeout);
    return tunnel_refuse(t, REASON_HELLO_TIME, STAGE_HELLO);
}

static enum go hello_too_big(struct tunnel *t, enum limit limit)
{
    LIMIT_HIT(t->home, limit);
    return tunnel_refuse(t, REASON_HELLO_BIG, STAGE_HELLO);
}

enum go step_hello(struct tunnel *t)
{
    struct setup *s = t->setup;
    const struct limits *limits = tunnel_limits(t);
    const struct hello_limits bounds = {
        .raw_bytes = (uint32_t)limits->hello_raw_bytes,
        .message_bytes = (uint32_t)limits->hello_message_bytes,
    };
    struct hello *hello = t->home->hello;
    enum reason reason = REASON_NONE;
    for (;;) {
        enum feed feed = s->in_len == 0 ? FEED_MORE
                                        : hello_feed(&s->hello, span_make(s->in->data, s->in_len), &bounds,
                                                     t->home->hello_scratch, hello, &reason);
        if (feed == FEED_DONE)
            return judge_first_bytes(t, FIRST_HELLO, hello);
        if (feed == FEED_BAD && reason == REASON_NOT_TLS)
            return judge_first_bytes(t, FIRST_NOT_TLS, NULL);
        if (feed == FEED_BAD && reason == REASON_HELLO_BIG)
            return hello_too_big(t, s->in_len > bounds.raw_bytes ? LIMIT_hello_raw_bytes : LIMIT_hello_message_bytes);
        if (feed == FEED_BAD) {
            privacy_keep_sni(t, hello->odd_name);
            t->tls_version = hello->odd_name.len > 0 ? hello->highest_version : 0;
            return tunnel_refuse(t, reason, STAGE_HELLO);
        }
        if (t->timed_out)
            return hello_late(t);
        if (s->in_len >= bounds.raw_bytes)
            return hello_too_big(t, LIMIT_hello_raw_bytes);
        if (t->client->readable && !tunnel_grow(t, bounds.raw_bytes))
            return tunnel_refuse(t, REASON_LIMIT, STAGE_HELLO);
        enum port_io io = t->client->readable ? tunnel_fill(t) : PORT_AGAIN;
        if (io == PORT_AGAIN)
            return GO_WAIT;
        if (io == PORT_EOF)
            return hello_cut(t);
        if (io == PORT_RESET)
            return tunnel_end(t, REASON_CLIENT_RESET, FLOW_END_RESET, true);
    }
}
