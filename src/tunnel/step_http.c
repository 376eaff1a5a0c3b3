/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One plain HTTP request and its answer, streamed both ways with backpressure: nothing is read while what was read
 * before has not been passed on. Heads are made anew (wire/forward.h), bodies are framed anew (wire/body.h), so what
 * the upstream sees is what was decided.
 *
 *   client ──▶ setup.in ──body──▶ to_upstream ──▶ upstream
 *   client ◀── to_client ◀──body── from_upstream ◀── upstream
 */
#include "internal.h"

#define ROUNDS 16u /* of the pump before others have their turn */

static struct exchange *of(struct tunnel *t)
{
    return &t->setup->http;
}

/* ---- before the verdict ---- */

enum reason http_examine(struct tunnel *t, const struct request *request)
{
    struct exchange *x = of(t);
    enum reason reason = body_of_request(request, &x->request_body);
    if (reason != REASON_NONE)
        return reason;
    if (forward_loops(request, span_text(t->home->o.process->via_id)))
        return REASON_LOOP;
    x->method = request->method;
    x->websocket = forward_wants_websocket(request);
    x->expects = request_header(request, "expect") != NULL && request->minor > 0 && x->request_body.kind != BODY_NONE;
    x->keep_client = forward_keeps_alive(request);
    x->keep_upstream = true;
    x->request_done =
        x->request_body.kind == BODY_NONE || (x->request_body.kind == BODY_LENGTH && x->request_body.left == 0);
    privacy_keep_path(t, request);
    return REASON_NONE;
}

bool http_prepare(struct tunnel *t, const struct request *request)
{
    struct exchange *x = of(t);
    /* Our own fields come on top of what the client sent: Via, Host and framing. */
    x->to_upstream = memory_buffer(t, request->head_bytes + 1024);
    if (x->to_upstream == NULL)
        return false;
    struct outbuf out = outbuf_make(x->to_upstream->data, x->to_upstream->cap);
    struct forward_request what = {
        .request = request,
        .body = &x->request_body,
        .via_id = span_text(t->home->o.process->via_id),
        .websocket = x->websocket,
        .expect = x->expects,
    };
    forward_request(&out, &what);
    x->to_upstream->used = (uint32_t)out.len;
    x->to_upstream_sent = 0;
    return !out.overflow;
}

void http_drop(struct tunnel *t)
{
    struct exchange *x = of(t);
    memory_buffer_drop(t, x->to_upstream);
    memory_buffer_drop(t, x->from_upstream);
    memory_buffer_drop(t, x->to_client);
    x->to_upstream = x->from_upstream = x->to_client = NULL;
}

/* ---- reuse ---- */

/* Nothing has come since the last answer. Its last read emptied the socket, and what came after it is an event: this
 * turn's were all taken before anything became durable. Where one came, the kernel is asked. */
static bool is_quiet(struct tunnel *t)
{
    uint8_t byte;
    size_t n = 0;
    return !t->upstream->readable || port_recv(t->upstream, &byte, 1, &n) == PORT_AGAIN;
}

/* An address is judged by target, policy and session alone. The target is the same one; where the policy is too, and no
 * session has a word in it, then and now, so is the verdict. */
static bool address_is_allowed(struct tunnel *t)
{
    if (t->upstream_policy == t->policy && t->narrowing == NULL && t->target_decision.observed == REASON_NONE)
        return true;
    struct question question = tunnel_question(t);
    struct decision decision = {0};
    struct admitted admitted;
    policy_ask_address(t->policy, &question, &t->dialled, 1, &admitted, &decision, NULL);
    return decision.verdict == VERDICT_ALLOW;
}

/* An upstream connection serves the next request of the same client connection to the same target, judged by the same
 * policy, and nothing else; any doubt throws it away. */
bool http_may_reuse(struct tunnel *t)
{
    if (t->upstream == NULL)
        return false;
    if (t->upstream_generation == book_generation(t->home->book) && address_is_allowed(t) && is_quiet(t))
        return true;
    http_close_upstream(t);
    return false;
}

void http_close_upstream(struct tunnel *t)
{
    if (t->upstream != NULL)
        port_close(t->upstream, false);
    t->upstream = NULL;
    t->dialled = (struct ipaddr){0};
}

/* ---- between two requests ---- */

/* The same connection, the next attempt: nothing of the last one stays but bytes that came early, and an upstream that
 * is certain to be at rest. */
static enum go next_request(struct tunnel *t)
{
    struct setup *s = t->setup;
    struct exchange *x = of(t);
    bool keep = x->keep_upstream && x->from_upstream_len == 0;
    http_drop(t);
    bool plainly = t->narrowing == NULL && t->target_decision.observed == REASON_NONE;
    t->upstream_policy = plainly ? t->policy : NULL;
    if (keep)
        t->upstream_generation = t->target_decision.generation;
    else
        http_close_upstream(t);
    struct buffer *in = s->in;
    size_t in_len = s->in_len;
    if (in_len == 0 && in->cap > buffer_cap(1)) { /* of a body: who rests now need not hold it */
        memory_buffer_drop(t, in);
        in = NULL;
    }
    setup_clear(s);
    s->in = in;
    s->in_len = in_len;
    tunnel_renew(t);
    return tunnel_step(t, STEP_WAIT);
}

enum go http_finish(struct tunnel *t)
{
    const struct exchange *x = of(t);
    bool keep = x->keep_client && x->request_done && !t->home->draining;
    tunnel_seal_outcome(t, REASON_ALLOWED, FLOW_END_CLOSED);
    if (keep)
        return next_request(t);
    http_close_upstream(t);
    tunnel_setup_drop(t);
    port_shutdown_write(t->client);
    return tunnel_step(t, STEP_LINGER);
}

/* ---- the step ---- */

enum go step_exchange(struct tunnel *t)
{
    bool may_carry = tunnel_may_carry(t);
    if (t->timed_out && tunnel_deadline(t) == GO_ENDED)
        return GO_ENDED;
    if (t->home->paused || !may_carry)
        return GO_WAIT;
    for (unsigned round = 0; round < ROUNDS; round++) {
        enum pump up = http_pump_request(t);
        if (up >= PUMP_ENDED)
            return up == PUMP_ENDED ? GO_ENDED : GO_ON;
        enum pump down = http_pump_response(t);
        if (down >= PUMP_ENDED)
            return down == PUMP_ENDED ? GO_ENDED : GO_ON;
        if (up == PUMP_IDLE && down == PUMP_IDLE)
            return GO_WAIT;
        t->progress_ms = tunnel_now(t);
    }
    t->home->o.services.run_later(t->home->o.services.ctx, &t->run);
    return GO_WAIT;
}
