/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "ceiling.h"

#define RELAY_ROUNDS 16u             /* reads of one lane in one turn, so that a bulk tunnel does not starve others */
#define RELAY_BYTES  (1024u * 1024u) /* and about as many bytes */

/* What a lane said, when it ends the tunnel; GO_ON: it does not. */
static enum go lane_verdict(struct tunnel *t, const struct lane *lane, enum lane_result result)
{
    bool upwards = lane == &t->up;
    switch (result) {
    case LANE_WAIT:
    case LANE_MORE:
    case LANE_DONE:
        return GO_ON;
    case LANE_FROM_RESET:
        return tunnel_end(t, upwards ? REASON_CLIENT_RESET : REASON_UPSTREAM_RESET, FLOW_END_RESET, true);
    case LANE_TO_RESET:
        return tunnel_end(t, upwards ? REASON_UPSTREAM_RESET : REASON_CLIENT_RESET, FLOW_END_RESET, true);
    case LANE_CEILING:
        return tunnel_end(t, REASON_BYTES, FLOW_END_REFUSED, true);
    case LANE_NO_MEMORY:
        return tunnel_end(t, REASON_LIMIT, FLOW_END_REFUSED, true);
    }
    return tunnel_end(t, REASON_LIMIT, FLOW_END_REFUSED, true);
}

/* A reset behind an end that was passed on already: nobody reads there any more who would hear of it. */
static enum go look_for_resets(struct tunnel *t)
{
    if (t->down.done && t->upstream->gone && !t->up.done)
        return tunnel_end(t, REASON_UPSTREAM_RESET, FLOW_END_RESET, true);
    if (t->up.done && t->client->gone && !t->down.done)
        return tunnel_end(t, REASON_CLIENT_RESET, FLOW_END_RESET, true);
    return GO_ON;
}

static uint64_t moved(const struct tunnel *t)
{
    return t->up.bytes_in + t->up.bytes_out + t->down.bytes_in + t->down.bytes_out;
}

/* Deadlines are looked at when the timer fires, not at each byte: it is set again from the last progress. */
enum go tunnel_deadline(struct tunnel *t)
{
    const struct limits *limits = tunnel_limits(t);
    uint64_t now_ms = tunnel_now(t);
    uint64_t idle_ms = t->progress_ms + limits->idle;
    uint64_t life_ms = t->opened_ms + limits->lifetime;
    if (now_ms >= life_ms)
        LIMIT_HIT(t->home, LIMIT_lifetime);
    else if (now_ms >= idle_ms)
        LIMIT_HIT(t->home, LIMIT_idle);
    if (now_ms >= life_ms)
        return tunnel_end(t, REASON_LIFETIME, FLOW_END_CLOSED, true);
    if (now_ms >= idle_ms)
        return tunnel_end(t, REASON_IDLE, FLOW_END_CLOSED, true);
    uint64_t observed_ms = UINT64_MAX, left_ms = 0;
    if (t->target_decision.observed != REASON_NONE && !tunnel_observes(t->policy, &left_ms))
        return tunnel_end(t, REASON_REVOKED, FLOW_END_REFUSED, true);
    if (t->target_decision.observed != REASON_NONE)
        observed_ms = now_ms + left_ms;
    uint64_t next_ms = idle_ms < life_ms ? idle_ms : life_ms, traffic_ms = record_traffic_next_ms(t);
    next_ms = observed_ms < next_ms ? observed_ms : next_ms;
    /* One that is overdue waits for room, not for the clock. */
    if (traffic_ms > now_ms && traffic_ms < next_ms)
        next_ms = traffic_ms;
    tunnel_wake_at(t, next_ms);
    t->timed_out = false;
    return GO_ON;
}

bool tunnel_may_carry(struct tunnel *t)
{
    tunnels_note_gate(t->home); /* a writer that hangs tells nobody */
    if (!record_traffic_due(t)) {
        tunnel_wait_for(t, WAITING_CREDIT);
        return false;
    }
    tunnel_wait_done(t);
    return true;
}

enum go tunnel_carry(struct tunnel *t, enum step step)
{
    t->relay_from_ms = t->progress_ms = t->traffic_ms = tunnel_now(t);
    tunnel_step(t, step);
    return tunnel_deadline(t);
}

enum go step_relay(struct tunnel *t)
{
    bool may_carry = tunnel_may_carry(t);
    if (t->timed_out && tunnel_deadline(t) == GO_ENDED)
        return GO_ENDED;
    if (t->home->paused || !may_carry)
        return GO_WAIT; /* records cannot be written: nothing is read until they can */
    uint64_t before = moved(t);
    enum lane_result up = t->up.done ? LANE_DONE : ceiling_run_lane(t, WAY_UP, RELAY_ROUNDS, RELAY_BYTES);
    if (lane_verdict(t, &t->up, up) == GO_ENDED)
        return GO_ENDED;
    enum lane_result down = t->down.done ? LANE_DONE : ceiling_run_lane(t, WAY_DOWN, RELAY_ROUNDS, RELAY_BYTES);
    if (lane_verdict(t, &t->down, down) == GO_ENDED)
        return GO_ENDED;
    if (look_for_resets(t) == GO_ENDED)
        return GO_ENDED;
    if (!memory_lanes(t))
        return tunnel_end(t, REASON_LIMIT, FLOW_END_REFUSED, true);
    if (up == LANE_DONE && down == LANE_DONE)
        return tunnel_end(t, REASON_ALLOWED, FLOW_END_CLOSED, false);
    if (moved(t) != before)
        t->progress_ms = tunnel_now(t);
    if (up == LANE_MORE || down == LANE_MORE)
        t->home->o.services.run_later(t->home->o.services.ctx, &t->run);
    return GO_WAIT;
}
