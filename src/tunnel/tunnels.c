/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include "base/assert.h"
#include "base/digest.h"
#include "excess.h"

#include <stdlib.h>

#define REJUDGED_A_TURN 256u
#define PAUSE_AFTER_MS  5000u  /* outcomes unwritten: stop reading from tunnels */
#define RESET_AFTER_MS  30000u /* still: reset them */
#define TURNED_AWAY_MAX 64u    /* connections of one environment above its share that are given an answer */

static void on_tunnel_timer(struct timer *timer)
{
    struct tunnel *t = CONTAINER(timer, struct tunnel, timer);
    t->timed_out = true;
    tunnel_run(t);
}

static void on_tunnel_run(struct run_item *item)
{
    tunnel_run(CONTAINER(item, struct tunnel, run));
}

/* ---- a new book ---- */

static void judge_some(struct run_item *item)
{
    struct tunnels *home = CONTAINER(item, struct tunnels, judge);
    for (unsigned i = 0; i < REJUDGED_A_TURN && home->judge_next != NULL; i++) {
        struct tunnel *t = home->judge_next;
        home->judge_next = t->next;
        tunnel_rejudge(t);
    }
    if (home->judge_next != NULL)
        home->o.services.run_later(home->o.services.ctx, &home->judge);
}

void tunnels_swap(struct tunnels *home, struct book *book)
{
    struct book *old = home->book;
    home->book = book_ref(book);
    book_unref(old);
    home->judge_next = home->all;
    judge_some(&home->judge);
}

/* ---- the gate ---- */

static bool carries(const struct tunnel *t)
{
    return t->step == STEP_RELAY || t->step == STEP_EXCHANGE;
}

static void resume_all(struct tunnels *home)
{
    home->paused = false;
    for (struct tunnel *t = home->all; t != NULL; t = t->next)
        if (carries(t))
            home->o.services.run_later(home->o.services.ctx, &t->run);
}

static void cut_relays(struct tunnels *home, enum reason reason)
{
    for (struct tunnel *t = home->all, *next; t != NULL; t = next) {
        next = t->next;
        if (carries(t))
            tunnel_end(t, reason, FLOW_END_REFUSED, true);
    }
}

static void on_gate_timer(struct timer *timer)
{
    struct tunnels *home = CONTAINER(timer, struct tunnels, gate_timer);
    if (!desk_gate_closed(home->o.desk)) {
        tunnels_on_durable(home);
        return;
    }
    if (home->paused) {
        cut_relays(home, REASON_AUDIT);
        return;
    }
    home->paused = true;
    timer_set(home->o.services.wheel, timer, home->gate_closed_ms + RESET_AFTER_MS);
}

void tunnels_note_gate(struct tunnels *home)
{
    bool closed = desk_gate_closed(home->o.desk);
    if (closed && home->gate_closed_ms == 0) {
        home->gate_closed_ms = home->o.services.now_ms(home->o.services.ctx);
        timer_set(home->o.services.wheel, &home->gate_timer, home->gate_closed_ms + PAUSE_AFTER_MS);
        tunnels_mind_desk(home);
    } else if (!closed && home->gate_closed_ms != 0) {
        home->gate_closed_ms = 0;
        timer_cancel(&home->gate_timer);
        tunnels_mind_desk(home);
        if (home->paused)
            resume_all(home);
    }
}

/* Whoever stands still behind a shut gate wants to be told when it opens, though no tunnel waits for a record. */
void tunnels_mind_desk(struct tunnels *home)
{
    bool waits = home->waiting[WAITING_CREDIT].first != NULL || home->waiting[WAITING_DURABLE].first != NULL;
    desk_set_waiting(home->o.desk, waits || home->gate_closed_ms != 0);
}

void tunnels_on_durable(struct tunnels *home)
{
    tunnels_note_gate(home);
    uint64_t durable = desk_durable(home->o.desk);
    bool closed = desk_gate_closed(home->o.desk);
    /* In the order of tickets: the first that still waits ends the walk, also where the gate has just opened again. */
    for (struct tunnel *t = home->waiting[WAITING_DURABLE].first, *last = NULL;
         t != last && t != NULL && (closed || t->ticket <= durable); t = home->waiting[WAITING_DURABLE].first) {
        last = t;
        tunnel_run(t);
    }
    for (struct tunnel *t = home->waiting[WAITING_CREDIT].first, *next; t != NULL; t = next) {
        next = t->wait_next;
        tunnel_run(t);
        if (t->waiting_for == WAITING_CREDIT)
            break; /* no room for this one: none for those behind it */
    }
}

/* ---- life ---- */

/* Answers for connections that have no attempt: made once, sent as they are. */
static enum err make_turned_away(struct tunnels *home)
{
    home->established = outbuf_make(home->established_bytes, sizeof home->established_bytes);
    reply_established(&home->established);
    static const enum reason reasons[] = {REASON_AUDIT, REASON_RATE, REASON_LIMIT};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        struct buffer *buffer = buffer_get(home, REPLY_MAX);
        if (buffer == NULL)
            return ERR_NO_MEMORY;
        struct outbuf out = outbuf_make(buffer->data, buffer->cap);
        struct refusal refusal = {.reason = reasons[i], .minor = 1, .retry_after_s = 1};
        reply_refusal(&out, &refusal);
        buffer->used = (uint32_t)out.len;
        home->turned_away[i] = buffer;
    }
    return ERR_NONE;
}

static void on_drain_timer(struct timer *timer)
{
    tunnels_cut(CONTAINER(timer, struct tunnels, drain_timer), REASON_DRAINED);
}

enum err tunnels_new(const struct tunnels_options *options, struct tunnels **out)
{
    struct tunnels *home = calloc(1, sizeof *home);
    if (home == NULL)
        return ERR_NO_MEMORY;
    home->o = *options;
    home->request = calloc(1, sizeof *home->request);
    home->response = calloc(1, sizeof *home->response);
    home->hello = calloc(1, sizeof *home->hello);
    home->hello_scratch = malloc(HELLO_SCRATCH_BYTES);
    for (unsigned i = 0; i < WAITING_COUNT; i++)
        home->waiting[i].last = &home->waiting[i].first;
    run_item_init(&home->judge, judge_some);
    timer_init(&home->drain_timer, on_drain_timer);
    timer_init(&home->gate_timer, on_gate_timer);
    if (home->request == NULL || home->response == NULL || home->hello == NULL || home->hello_scratch == NULL ||
        make_turned_away(home) != ERR_NONE) {
        tunnels_free(home);
        return ERR_NO_MEMORY;
    }
    home->book = book_ref(options->book);
    *out = home;
    return ERR_NONE;
}

void tunnels_free(struct tunnels *home)
{
    if (home == NULL)
        return;
    ASSERT(home->open == 0 && home->noted == 0);
    excess_end_all(home);
    timer_cancel(&home->drain_timer);
    timer_cancel(&home->gate_timer);
    run_item_cancel(&home->judge);
    for (size_t i = 0; i < sizeof home->turned_away / sizeof home->turned_away[0]; i++)
        free(home->turned_away[i]);
    pools_free(home);
    book_unref(home->book);
    hmac_free(home->redactor.hmac);
    free(home->request);
    free(home->response);
    free(home->hello);
    free(home->hello_scratch);
    free(home);
}

static struct tunnel *tunnel_new(struct tunnels *home, const struct tunnel_listener *listener,
                                 const struct tunnel_client *client, struct port *port)
{
    struct tunnel *t = tunnel_get(home);
    if (t == NULL)
        return NULL;
    t->home = home;
    t->listener = listener;
    t->from = *client;
    t->client = port;
    t->times = (struct flow_times){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    t->opened_ms = t->step_from_ms = home->o.services.now_ms(home->o.services.ctx);
    timer_init(&t->timer, on_tunnel_timer);
    run_item_init(&t->run, on_tunnel_run);
    t->next = home->all;
    t->link = &home->all;
    if (t->next != NULL)
        t->next->link = &t->next;
    home->all = t;
    home->open++;
    port->wake = tunnel_client_wake;
    port->owner = t;
    return t;
}

/* Whose connection it is shows before its first byte, and so it counts: a silent client holds its own environment's
 * descriptors. What is above the share is told so while it is little, and closed unheard when it is much. Where too
 * many came to nothing the listener is to rest; one that others come in by as well cannot, and this client is
 * closed. */
enum room { ROOM, ROOM_FULL, ROOM_FLOOD };

static enum room room_of_client(struct tunnel *t, uint32_t *out_rest_ms)
{
    struct tunnels *home = t->home;
    const struct tunnel_hooks *hooks = &home->o.hooks;
    struct tunnel_who who;
    memset(&who, 0, sizeof who);
    enum reason reason = hooks->identify(hooks->ctx, home->book, t->listener, &t->from, &who);
    const struct limits *limits =
        reason == REASON_NONE ? policy_limits(who.policy) : hooks->limits(hooks->ctx, home->book, t->listener);
    t->came_by = who.use != NULL ? &who.use->meter : &who.tenant->meter;
    t->pace = meter_pace(who.limits != NULL ? who.limits : limits);
    t->credit_max = tunnel_share(t, limits, home->o.process->credit_max);
    *out_rest_ms = meter_rest_ms(t->came_by, t->pace, tunnel_now(t));
    if (*out_rest_ms > 0) {
        LIMIT_HIT(home, LIMIT_unfinished_per_second);
        LIMIT_HIT(home, LIMIT_unfinished_burst);
    }
    if (*out_rest_ms > 0 && !who.alone) {
        *out_rest_ms = 0;
        t->came_by = NULL; /* or none would ever be heard again while they come */
        return ROOM_FLOOD;
    }
    if (memory_join(t, who.tenant, limits) && tunnel_count_socket(t, &t->client_tenant, who.tenant, limits))
        return ROOM;
    if (!budget_take(&who.tenant->turned_away, 1, TURNED_AWAY_MAX))
        return ROOM_FLOOD;
    t->turned_away = who.tenant;
    return ROOM_FULL;
}

uint32_t tunnels_accept(struct tunnels *home, const struct tunnel_listener *listener,
                        const struct tunnel_client *client, struct port *port)
{
    COUNT(home, accepted, 1);
    struct tunnel *t = home->draining ? NULL : tunnel_new(home, listener, client, port);
    if (t == NULL) {
        port_close(port, true);
        return 0;
    }
    uint32_t rest_ms = 0;
    struct tunnel_process *process = home->o.process;
    bool room = budget_take(&process->descriptors, 1, process->descriptors_max);
    if (!room)
        budget_take(&process->descriptors, 1, 0); /* it is open, so it counts, until it was turned away */
    tunnels_note_gate(home);
    enum room own = room_of_client(t, &rest_ms);
    if (own == ROOM_FLOOD) {
        COUNT(home, turned_away, 1);
        tunnel_end(t, REASON_LIMIT, FLOW_END_CLOSED, true);
        return rest_ms;
    }
    if (room && own == ROOM)
        tunnel_step(t, STEP_WAIT);
    else
        tunnel_turn_away(t, REASON_LIMIT);
    tunnel_run(t);
    return rest_ms;
}

void tunnels_note_empty(struct tunnels *home)
{
    if (home->open > 0 || !home->draining || home->on_empty == NULL)
        return;
    void (*on_empty)(void *arg) = home->on_empty;
    home->on_empty = NULL;
    on_empty(home->on_empty_arg);
}

void tunnels_drain(struct tunnels *home, uint64_t deadline_ms, void (*on_empty)(void *arg), void *arg)
{
    home->draining = true;
    home->on_empty = on_empty;
    home->on_empty_arg = arg;
    for (struct tunnel *t = home->all, *next; t != NULL; t = next) {
        next = t->next;
        if (t->step == STEP_WAIT) {
            COUNT(home, ended_without_head, 1);
            tunnel_end(t, REASON_DRAINED, FLOW_END_CLOSED, false);
        }
    }
    timer_set(home->o.services.wheel, &home->drain_timer, deadline_ms);
    tunnels_note_empty(home);
}

/* An attempt that has a head but no record yet is recorded as refused; the others end with their outcome. */
static void cut(struct tunnel *t, enum reason reason)
{
    if (t->recorded == RECORDED_NOTHING && t->holds_credit && t->step > STEP_WAIT && t->step < STEP_REFUSE) {
        struct decision decision = {.reason = reason, .stage = STAGE_SYNTAX, .rule = {.kind = RULE_LIMIT}};
        tunnel_identify(t);
        record_attempt(t, &decision);
    }
    tunnel_end(t, reason, FLOW_END_CLOSED, true);
}

void tunnels_cut(struct tunnels *home, enum reason reason)
{
    for (struct tunnel *t = home->all, *next; t != NULL; t = next) {
        next = t->next;
        cut(t, reason);
    }
}

void tunnels_cut_listener(struct tunnels *home, const struct tunnel_listener *listener, enum reason reason)
{
    for (struct tunnel *t = home->all, *next; t != NULL; t = next) {
        next = t->next;
        if (t->listener == listener)
            cut(t, reason);
    }
}

void tunnels_judge_listener(struct tunnels *home, const struct tunnel_listener *listener)
{
    for (struct tunnel *t = home->all, *next; t != NULL; t = next) {
        next = t->next;
        if (t->listener == listener)
            tunnel_rejudge(t);
    }
}

bool tunnels_has_listener(const struct tunnels *home, const struct tunnel_listener *listener)
{
    for (const struct tunnel *t = home->all; t != NULL; t = t->next)
        if (t->listener == listener)
            return true;
    return excess_has_listener(home, listener);
}

size_t tunnels_open(const struct tunnels *home)
{
    return home->open;
}

const struct tunnel_counters *tunnels_counters(const struct tunnels *home)
{
    return &home->counters;
}
