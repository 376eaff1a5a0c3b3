/* SPDX-License-Identifier: Apache-2.0 */
/* Steps up to the target stage: from the first byte to "may this client go there?". */
#include "internal.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/digest.h"
#include "ceiling.h"
#include "excess.h"

#define HELD_MAX 256u /* connections of one environment that are held for being above the rate */

static void flow_id(struct tunnels *home, uint8_t out[static FLOW_ID_BYTES])
{
    if (home->entropy_left < FLOW_ID_BYTES) {
        random_bytes(home->entropy, sizeof home->entropy);
        home->entropy_left = sizeof home->entropy;
    }
    home->entropy_left -= FLOW_ID_BYTES;
    memcpy(out, home->entropy + home->entropy_left, FLOW_ID_BYTES);
}

/* A head may take its time, and its credit counts from here on against the environment that its client came from: no
 * environment may hold more than its share of all there is nor, once three quarters of this worker's are promised, more
 * than what is left. */
static bool count_credit(struct tunnel *t)
{
    struct tunnels *home = t->home;
    size_t cap, left = desk_room(home->o.desk, &cap);
    bool short_of = left < cap / 4 && atomic_load_explicit(&home->o.process->share_percent, memory_order_relaxed) < 100;
    if (!short_of || budget_used(&t->memory_of->credit) <= left)
        return tunnel_count_credit(t, t->memory_of, t->credit_max);
    LIMIT_HIT(home, LIMIT_share);
    return false;
}

/* Promises room for both records of an attempt; waits a second for it at most. */
static enum go take_credit(struct tunnel *t)
{
    struct desk *desk = t->home->o.desk;
    if (desk_gate_closed(desk))
        return tunnel_turn_away(t, REASON_AUDIT);
    if (!count_credit(t))
        return tunnel_turn_away(t, REASON_LIMIT);
    if (desk_credit_take(desk, DESK_PAIR_BYTES)) {
        tunnel_wait_done(t);
        t->holds_credit = true;
        return GO_ON;
    }
    tunnel_uncount_credit(t);
    if (t->waiting_for == WAITING_CREDIT)
        return t->timed_out ? tunnel_turn_away(t, REASON_AUDIT) : GO_WAIT;
    tunnel_wait_for(t, WAITING_CREDIT);
    tunnel_wake_at(t, tunnel_now(t) + CREDIT_WAIT_MS);
    return GO_WAIT;
}

static enum go begin_attempt(struct tunnel *t)
{
    flow_id(t->home, t->flow);
    t->step_from_ms = t->attempt_ms = tunnel_now(t);
    return tunnel_step(t, STEP_HEAD);
}

static enum go end_without_head(struct tunnel *t)
{
    COUNT(t->home, ended_without_head, 1);
    if (t->timed_out)
        LIMIT_HIT(t->home, LIMIT_wait_timeout);
    return tunnel_end(t, REASON_IDLE, FLOW_END_CLOSED, false);
}

enum go step_wait(struct tunnel *t)
{
    if (t->timed_out && t->waiting_for != WAITING_CREDIT)
        return end_without_head(t);
    bool early = t->setup != NULL && t->setup->in_len > 0; /* the next request came with the last one */
    if (!t->client->readable && !early)
        return GO_WAIT;
    if (t->setup == NULL) {
        t->setup = memory_setup(t);
        if (t->setup == NULL)
            return tunnel_turn_away(t, REASON_LIMIT);
    }
    if (!t->holds_credit) {
        bool waited = t->waiting_for == WAITING_CREDIT;
        enum go go = take_credit(t);
        if (!t->holds_credit)
            return go;
        if (waited)
            tunnel_step(t, STEP_WAIT);
    }
    struct setup *s = t->setup;
    if (s->in == NULL)
        s->in = memory_buffer(t, 4096);
    if (s->in == NULL)
        return tunnel_turn_away(t, REASON_LIMIT);
    if (early)
        return begin_attempt(t);
    size_t n = 0;
    switch (port_recv(t->client, s->in->data, s->in->cap, &n)) {
    case PORT_OK:
        s->in_len = n;
        return begin_attempt(t);
    case PORT_AGAIN:
        /* Nothing came yet: a silent connection holds no credit and no memory beyond its own record. */
        tunnel_drop_credit(t);
        tunnel_setup_drop(t);
        return GO_WAIT;
    case PORT_EOF:
    case PORT_RESET:
        return end_without_head(t);
    }
    return end_without_head(t);
}

bool tunnel_grow(struct tunnel *t, size_t max)
{
    struct setup *s = t->setup;
    if (s->in_len < s->in->cap)
        return true;
    if (s->in->cap >= max)
        return false;
    struct buffer *larger = memory_buffer(t, s->in->cap < 65536 ? 65536 : max);
    if (larger == NULL)
        return false;
    memcpy(larger->data, s->in->data, s->in_len);
    memory_buffer_drop(t, s->in);
    s->in = larger;
    return true;
}

enum port_io tunnel_fill(struct tunnel *t)
{
    struct setup *s = t->setup;
    size_t n = 0;
    ASSERT(s->in_len < s->in->cap);
    enum port_io io = port_recv(t->client, s->in->data + s->in_len, s->in->cap - s->in_len, &n);
    if (io == PORT_OK)
        s->in_len += n;
    t->client_eof = io == PORT_EOF;
    return io;
}

/* Keeps what the record and the refusal need; the rest of the head is not looked at again. */
static void keep_facts(struct tunnel *t, const struct request *request, bool parsed)
{
    struct setup *s = t->setup;
    privacy_keep(t, request, parsed);
    s->minor = request->minor;
    s->head_only = request->method == METHOD_HEAD;
}

/* A client's own last refusals, which a TLS client in particular may not have been told: it saw an alert. */
static size_t why_text(struct tunnel *t, char *text, size_t cap)
{
    struct outbuf out = outbuf_make(text, cap);
    tunnel_identify(t);
    if (tunnel_why(t) != NULL)
        why_print(tunnel_why(t), &out);
    if (out.len == 0)
        outbuf_text(&out, "No refusal is remembered here.\n");
    return out.len;
}

/* The two things that this program answers itself; every other path in origin form is a 404 with the same hint. */
static enum go answer_page(struct tunnel *t, const struct request *request)
{
    static const char help[] =
        "This is Sallyport, an egress-filtering proxy. It forwards what the policy of this sandbox allows and records\n"
        "every attempt. Point a client at it with HTTPS_PROXY (http://host:port). A refusal is the operator's policy:\n"
        "trying another way is pointless; ask whoever runs this sandbox and give the request id of the refusal.\n"
        "GET /why lists your own last refusals.\n";
    static const char other[] =
        "Nothing is served here: this is a proxy. GET / says how to ask for access, GET /why what was refused.\n";
    char why[REPLY_MAX - 512];
    bool reads = request->method == METHOD_GET || request->method == METHOD_HEAD;
    bool root = reads && span_is(request->path, "/");
    bool asks_why = reads && span_is(request->path, "/why");
    struct span body = span_text(root ? help : other);
    if (asks_why)
        body = span_make(why, why_text(t, why, sizeof why));
    t->out = memory_buffer(t, REPLY_MAX);
    if (t->out == NULL)
        return tunnel_turn_away(t, REASON_LIMIT);
    struct outbuf out = outbuf_make(t->out->data, t->out->cap);
    reply_page(&out, root || asks_why ? 200 : 404, "text/plain; charset=utf-8", body, request->method == METHOD_HEAD);
    t->out_bytes = t->out->data;
    t->out_len = (uint16_t)out.len;
    COUNT(t->home, pages, 1);
    tunnel_came_to_nothing(t);
    tunnel_drop_credit(t);
    return tunnel_step(t, STEP_ANSWER);
}

static enum go head_done(struct tunnel *t, const struct request *request)
{
    struct setup *s = t->setup;
    t->heard = true;
    if (request->form == FORM_ORIGIN)
        return answer_page(t, request);
    keep_facts(t, request, true);
    bool same = t->target.port == request->target.port && target_same_host(&t->target, &request->target);
    if (t->upstream != NULL && (!same || request->form != FORM_ABSOLUTE))
        http_close_upstream(t);
    t->target = request->target;
    t->knows_target = true;
    t->method = request->method;
    t->times.head_ms = tunnel_lap(t);
    t->door = request->form == FORM_ABSOLUTE ? DOOR_HTTP : DOOR_CONNECT;
    if (t->door == DOOR_HTTP) {
        enum reason reason = http_examine(t, request);
        if (reason != REASON_NONE)
            return tunnel_refuse(t, reason, STAGE_SYNTAX);
        if (!http_prepare(t, request))
            return tunnel_refuse(t, REASON_LIMIT, STAGE_SYNTAX);
    }
    s->in_len -= request->head_bytes;
    memmove(s->in->data, s->in->data + request->head_bytes, s->in_len);
    return tunnel_step(t, STEP_IDENTIFY);
}

static void count_head_limit(struct tunnel *t, const struct request_limits *bounds, enum reason reason)
{
    if (reason == REASON_HEAD_TIME)
        LIMIT_HIT(t->home, LIMIT_head_timeout);
    else if (reason == REASON_URI)
        LIMIT_HIT(t->home, LIMIT_target_bytes);
    else if (reason == REASON_HEAD)
        LIMIT_HIT(t->home, t->setup->in_len >= bounds->head_bytes ? LIMIT_head_bytes : LIMIT_header_lines);
}

enum go step_head(struct tunnel *t)
{
    struct setup *s = t->setup;
    const struct limits *limits = tunnel_limits(t);
    struct request_limits bounds = {
        .head_bytes = (uint32_t)limits->head_bytes,
        .target_bytes = (uint32_t)limits->target_bytes,
        .header_lines = (uint32_t)limits->header_lines,
    };
    struct request *request = t->home->request;
    enum reason reason = REASON_NONE;
    for (;;) {
        switch (request_feed(&s->request, span_make(s->in->data, s->in_len), &bounds, request, &reason)) {
        case FEED_DONE:
            return head_done(t, request);
        case FEED_BAD:
            t->heard = true; /* it has said enough to be answered */
            keep_facts(t, request, false);
            count_head_limit(t, &bounds, reason);
            return tunnel_refuse(t, reason, STAGE_SYNTAX);
        case FEED_MORE:
            break;
        }
        reason = t->timed_out ? REASON_HEAD_TIME : s->in_len >= bounds.head_bytes ? REASON_HEAD : REASON_NONE;
        if (reason != REASON_NONE) {
            count_head_limit(t, &bounds, reason);
            return tunnel_refuse(t, reason, STAGE_SYNTAX);
        }
        if (t->client->readable && !tunnel_grow(t, bounds.head_bytes))
            return tunnel_refuse(t, REASON_LIMIT, STAGE_LIMITS);
        enum port_io io = t->client->readable ? tunnel_fill(t) : PORT_AGAIN;
        if (io == PORT_AGAIN)
            return GO_WAIT;
        if (io != PORT_OK)
            tunnel_came_to_nothing(t);
        if (io == PORT_EOF)
            return tunnel_refuse(t, REASON_MALFORMED, STAGE_SYNTAX);
        if (io == PORT_RESET)
            return tunnel_refuse(t, REASON_CLIENT_RESET, STAGE_SYNTAX);
    }
}

enum reason tunnel_identify(struct tunnel *t)
{
    const struct tunnel_hooks *hooks = &t->home->o.hooks;
    if (t->who.tenant != NULL)
        return REASON_NONE;
    enum reason reason = hooks->identify(hooks->ctx, t->home->book, t->listener, &t->from, &t->who);
    ASSERT(t->who.tenant != NULL);
    if (reason == REASON_NONE) {
        t->policy = policy_ref(t->who.policy);
        t->narrowing = narrowing_ref(t->who.narrowing);
    }
    return reason;
}

bool tunnel_is_gated(const struct tunnel *t)
{
    return t->who.tenant != NULL && atomic_load_explicit(&t->who.tenant->gate.closed, memory_order_acquire);
}

struct why *tunnel_why(const struct tunnel *t)
{
    if (t->policy == NULL)
        return NULL;
    return t->who.why != NULL ? t->who.why : &t->who.tenant->why;
}

enum go step_identify(struct tunnel *t)
{
    enum reason reason = tunnel_identify(t);
    if (tunnel_is_gated(t))
        return tunnel_turn_away(t, REASON_AUDIT);
    if (reason == REASON_NONE && t->listener->closed)
        reason = REASON_SESSION;
    if (reason == REASON_NONE)
        return tunnel_step(t, STEP_LIMIT);
    /* Whoever belongs nowhere has a rate as well, or a flood of them would fill the log. */
    return tunnel_take_rate(t) ? tunnel_refuse(t, reason, STAGE_IDENTITY) : tunnel_over_rate(t);
}

/* Above the rate: not one record each, but one for all of a second. */
enum go tunnel_over_rate(struct tunnel *t)
{
    struct tunnels *home = t->home;
    COUNT(home, rate_exceeded, 1);
    LIMIT_HIT(home, LIMIT_attempts_per_second);
    LIMIT_HIT(home, LIMIT_attempts_burst);
    tunnel_came_to_nothing(t);
    if (tenant_excess_add(t->who.tenant, clock_wall_ns() / 1000000))
        excess_begin(home, t);
    tunnel_drop_credit(t);
    if (!budget_take(&t->who.tenant->held, 1, HELD_MAX))
        return tunnel_turn_away(t, REASON_RATE);
    t->holds_held = true;
    tunnel_setup_drop(t);
    return tunnel_step(t, STEP_HOLD);
}

enum go step_hold(struct tunnel *t)
{
    return t->timed_out ? tunnel_turn_away(t, REASON_RATE) : GO_WAIT;
}

enum go step_limit(struct tunnel *t)
{
    const struct limits *limits = policy_limits(t->policy);
    struct tenant *tenant = t->who.tenant;
    if (!tunnel_take_rate(t))
        return tunnel_over_rate(t);
    if (meter_quarantined_ms(tunnel_meter(t), tunnel_now(t)) > 0) {
        LIMIT_HIT(t->home, LIMIT_quarantine);
        return tunnel_refuse(t, REASON_RATE, STAGE_LIMITS);
    }
    /* Where a reload has given the client to another environment since it was accepted. */
    if (!tunnel_count_socket(t, &t->client_tenant, tenant, limits))
        return tunnel_refuse(t, REASON_LIMIT, STAGE_LIMITS);
    if (!tunnel_count_credit(t, tenant, tunnel_share(t, limits, t->home->o.process->credit_max)))
        return tunnel_refuse(t, REASON_LIMIT, STAGE_LIMITS);
    return tunnel_step(t, STEP_ASK);
}

enum go step_ask(struct tunnel *t)
{
    struct question question = tunnel_question(t);
    /* What opened the address of the request before counts for this one only where its connection does. */
    if (t->upstream == NULL || t->upstream_generation != question.generation)
        t->late_rule = (struct rule_ref){.kind = RULE_DEFAULT};
    policy_ask_target(t->policy, &question, &t->target_decision);
    if (t->target_decision.verdict != VERDICT_ALLOW)
        return tunnel_refuse_by(t, &t->target_decision);
    return tunnel_step(t, STEP_BUDGET);
}

static enum go over_limit(struct tunnel *t, enum limit limit)
{
    LIMIT_HIT(t->home, limit);
    return tunnel_refuse(t, REASON_LIMIT, STAGE_BUDGET);
}

enum go step_budget(struct tunnel *t)
{
    struct tunnel_process *process = t->home->o.process;
    if (ceiling_reached(t))
        return tunnel_refuse(t, REASON_BYTES, STAGE_BUDGET);
    if (!tunnel_take_place(t))
        return over_limit(t, LIMIT_tunnels);
    if (!t->holds_upstream_fd && !budget_take(&process->descriptors, 1, process->descriptors_max))
        return tunnel_refuse(t, REASON_LIMIT, STAGE_BUDGET);
    t->holds_upstream_fd = true;
    if (!tunnel_count_socket(t, &t->upstream_tenant, t->who.tenant, policy_limits(t->policy)))
        return tunnel_refuse(t, REASON_LIMIT, STAGE_BUDGET);
    uint64_t names = policy_limits(t->policy)->distinct_names_per_minute;
    if (t->target.kind == TARGET_NAME &&
        !tenant_name_take(t->who.tenant, hostname_span(&t->target.name), names, tunnel_now(t))) {
        if (tenant_names_warn(t->who.tenant, tunnel_now(t)))
            record_warning(t, LIMIT_distinct_names_per_minute, names + 1, names);
        return over_limit(t, LIMIT_distinct_names_per_minute);
    }
    return tunnel_step(t, STEP_ATTEMPT);
}
