/* SPDX-License-Identifier: Apache-2.0 */
/* How a client is refused: record first, then the answer, then a bounded, unparsed drain, so that bytes which nobody
 * read do not turn the answer into a reset. */
#include "internal.h"

#include "base/assert.h"
#include "ceiling.h"

#define LINGER_BYTES    (1024u * 1024u)
#define LINGER_FIRST_MS 2u

static void drop_upstream(struct tunnel *t)
{
    if (t->up.from != NULL) {
        lane_close(&t->up, t->home->o.pool);
        lane_close(&t->down, t->home->o.pool);
        t->up.from = t->down.from = NULL;
    }
    if (t->upstream != NULL)
        port_close(t->upstream, true);
    t->upstream = NULL;
}

/* When it makes sense to come again: the end of a quarantine; a second for the rest that passes by itself. */
static uint32_t retry_after_s(const struct tunnel *t, enum reason reason)
{
    if (!reason_row(reason)->retry)
        return 0;
    uint64_t left_ms = t->who.tenant != NULL ? meter_quarantined_ms(tunnel_meter(t), tunnel_now(t)) : 0;
    return reason == REASON_RATE && left_ms > 0 ? (uint32_t)((left_ms + 999) / 1000) : 1;
}

static void compose_http(struct tunnel *t, const struct decision *decision, struct outbuf *out)
{
    struct rule rule = {0};
    if (t->policy != NULL && decision->verdict == VERDICT_DENY)
        policy_rule(t->policy, decision->rule, &rule);
    char id[REQUEST_ID_TEXT + 1];
    struct outbuf hex = outbuf_make(id, sizeof id);
    outbuf_hex(&hex, span_make(t->flow, sizeof t->flow));
    struct refusal refusal = {
        .reason = decision->reason,
        .minor = t->setup->minor,
        .head_only = t->setup->head_only,
        .target = tunnel_target(t),
        .environment = t->who.environment,
        .rule = span_text(rule.id),
        .request_id = outbuf_written(&hex),
        .hint = t->policy != NULL ? policy_denial_hint(t->policy) : span_make(NULL, 0),
        .retry_after_s = retry_after_s(t, decision->reason),
    };
    reply_refusal(out, &refusal);
    t->status = reason_row(decision->reason)->http_status;
}

/* What the client is told, if anything: an HTTP answer before the 200, a TLS alert after it and to TLS alone. */
static void compose_answer(struct tunnel *t, const struct decision *decision)
{
    const struct reason_row *row = reason_row(decision->reason);
    bool established = t->door != DOOR_HTTP && t->status == 200;
    bool tls = t->setup->in_len > 0 && t->setup->in->data[0] == 22;
    bool says_http = !established && row->http_status != 0;
    bool says_alert = established && row->tls_alert != 0 && tls;
    t->out_len = t->out_sent = 0;
    if (!says_http && !says_alert)
        return;
    /* The head or hello that is refused goes now, and an answer is no larger: a full budget does not make it silent. */
    memory_buffer_drop(t, t->setup->in);
    t->setup->in = NULL;
    t->out = memory_buffer(t, REPLY_MAX);
    if (t->out == NULL)
        return;
    struct outbuf out = outbuf_make(t->out->data, t->out->cap);
    if (says_http)
        compose_http(t, decision, &out);
    else
        reply_alert(&out, row->tls_alert);
    ASSERT(!out.overflow);
    t->out_bytes = t->out->data;
    t->out_len = (uint16_t)out.len;
}

/* A session that is refused again and again is looking for a way out. */
static void count_denial(struct tunnel *t, const struct decision *decision)
{
    const struct limits *limits = tunnel_limits(t);
    const struct reason_row *row = reason_row(decision->reason);
    bool counts = decision->verdict == VERDICT_DENY && row->severity >= 3 && !row->retry;
    if (t->policy == NULL || !counts)
        return;
    if (!meter_denial(tunnel_meter(t), limits->denials_per_minute, tunnel_now(t)))
        return;
    LIMIT_HIT(t->home, LIMIT_denials_per_minute);
    if (limits->quarantine > 0)
        meter_quarantine(tunnel_meter(t), tunnel_now(t) + limits->quarantine);
    record_warning(t, LIMIT_denials_per_minute, limits->denials_per_minute + 1, limits->denials_per_minute);
}

static void record_refusal(struct tunnel *t, const struct decision *decision)
{
    count_denial(t, decision);
    if (tunnel_why(t) != NULL)
        why_add(tunnel_why(t), tunnel_target(t), decision->reason, t->flow);
    bool target_stage = decision->stage <= STAGE_TARGET;
    t->final_decision = *decision;
    t->end = decision->verdict == VERDICT_DENY ? FLOW_END_REFUSED : FLOW_END_FAILED;
    if (t->recorded == RECORDED_NOTHING)
        record_attempt(t, target_stage ? decision : &t->target_decision);
    if (t->recorded == RECORDED_ATTEMPT)
        record_outcome(t);
}

enum go tunnel_refuse_by(struct tunnel *t, const struct decision *given)
{
    /* A copy: the decision may be one of the tunnel's own. */
    struct decision decision = *given;
    struct setup *s = t->setup;
    ASSERT(s != NULL && t->holds_credit + t->holds_outcome_credit == 1);
    if (t->who.tenant == NULL) {
        /* Refused before identity was asked for: the record still says whose listener it was, and a flood of
         * malformed heads is a flood like any other. */
        tunnel_identify(t);
        if (tunnel_is_gated(t))
            return tunnel_turn_away(t, REASON_AUDIT);
        if (!tunnel_take_rate(t))
            return tunnel_over_rate(t);
    }
    drop_upstream(t);
    if (s->lookup != NULL || s->dial != NULL)
        tunnel_cancel_pending(t);
    compose_answer(t, &decision);
    record_refusal(t, &decision);
    COUNT(t->home, denied, decision.verdict == VERDICT_DENY ? 1 : 0);
    tunnel_setup_drop(t);
    return tunnel_step(t, STEP_REFUSE);
}

enum go tunnel_turn_away(struct tunnel *t, enum reason reason)
{
    struct tunnels *home = t->home;
    unsigned which = reason == REASON_AUDIT ? 0 : reason == REASON_RATE ? 1 : 2;
    if (reason == REASON_AUDIT && tunnel_is_gated(t))
        atomic_fetch_add_explicit(&t->who.tenant->gate.refused, 1, memory_order_relaxed);
    else if (reason == REASON_AUDIT)
        desk_count_refused(home->o.desk);
    if (reason != REASON_RATE)
        COUNT(home, turned_away, 1);
    tunnel_came_to_nothing(t);
    tunnel_drop_credit(t);
    tunnel_wait_done(t);
    tunnel_setup_drop(t);
    t->out_bytes = home->turned_away[which]->data;
    t->out_len = (uint16_t)home->turned_away[which]->used;
    t->out_sent = 0;
    return tunnel_step(t, STEP_ANSWER);
}

enum go step_refuse(struct tunnel *t)
{
    struct desk *desk = t->home->o.desk;
    if (desk_durable(desk) >= t->ticket) {
        tunnel_wait_done(t);
        return tunnel_step(t, STEP_ANSWER);
    }
    if (t->timed_out || desk_gate_closed(desk)) {
        /* Without evidence not even a refusal is given: the client may try again later. */
        memory_buffer_drop(t, t->out);
        t->out = NULL;
        bool established = t->door != DOOR_HTTP && t->status == 200;
        t->status = 503;
        enum go go = tunnel_turn_away(t, REASON_AUDIT);
        if (established)
            t->out_len = 0;
        return go;
    }
    t->unminded = true;
    if (t->waiting_for == WAITING_DURABLE)
        return GO_WAIT;
    tunnel_wait_for(t, WAITING_DURABLE);
    return GO_ON;
}

static enum go finish(struct tunnel *t, bool reset)
{
    return tunnel_end(t, REASON_ALLOWED, FLOW_END_CLOSED, reset);
}

enum go step_answer(struct tunnel *t)
{
    if (t->timed_out)
        return finish(t, true);
    while (t->out_sent < t->out_len) {
        size_t n = 0;
        enum port_io io = port_send_last(t->client, t->out_bytes + t->out_sent, (size_t)(t->out_len - t->out_sent), &n);
        if (io == PORT_AGAIN)
            return GO_WAIT;
        if (io != PORT_OK)
            return finish(t, true);
        t->out_sent = (uint16_t)(t->out_sent + n);
    }
    if (t->out_len == 0)
        port_shutdown_write(t->client);
    return tunnel_step(t, STEP_LINGER);
}

/* A client that was answered at once ends by itself in a moment: it is looked at then, and heard only if it stays. True
 * while that moment lasts. */
static bool linger_deaf(struct tunnel *t)
{
    if (!t->unminded) {
        t->unminded = true;
        tunnel_wake_at(t, tunnel_now(t) + LINGER_FIRST_MS);
        return true;
    }
    if (!t->timed_out)
        return true;
    tunnel_step(t, STEP_LINGER); /* with the whole of its time */
    t->client->readable = true;  /* nobody would have said so */
    return false;
}

enum go step_linger(struct tunnel *t)
{
    /* Shared by all: what lands here is never looked at. */
    uint8_t *sink = t->home->hello_scratch;
    if (t->client_eof)
        return finish(t, false);
    if (t->client->deaf && linger_deaf(t))
        return GO_WAIT;
    for (unsigned round = 0; round < 8; round++) {
        if (t->timed_out || t->drained_bytes > LINGER_BYTES)
            return finish(t, true);
        if (!t->client->readable)
            return GO_WAIT;
        size_t n = 0;
        switch (port_recv(t->client, sink, HELLO_SCRATCH_BYTES, &n)) {
        case PORT_OK:
            t->drained_bytes += (uint32_t)n;
            break;
        case PORT_AGAIN:
            return GO_WAIT;
        case PORT_EOF:
            return finish(t, false);
        case PORT_RESET:
            return finish(t, true);
        }
    }
    t->home->o.services.run_later(t->home->o.services.ctx, &t->run);
    return GO_WAIT;
}
