/* SPDX-License-Identifier: Apache-2.0 */
#include "lab_private.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- fake ports ---- */

static struct lab_port *of(struct port *port)
{
    return (struct lab_port *)(void *)port;
}

static enum port_io fake_recv(struct port *port, void *buf, size_t len, size_t *out_n)
{
    struct lab_port *p = of(port);
    ASSERT(p->in_use && !p->proxy_closed);
    size_t left = p->sent_len - p->sent_taken;
    if (p->end == LAB_RESET)
        return PORT_RESET;
    if (left == 0 && p->end == LAB_EOF)
        return PORT_EOF;
    if (left == 0) {
        port->readable = false;
        return PORT_AGAIN;
    }
    size_t n = left < len ? left : len;
    memcpy(buf, p->sent + p->sent_taken, n);
    p->sent_taken += n;
    *out_n = n;
    return PORT_OK;
}

static enum port_io fake_send(struct port *port, const void *buf, size_t len, size_t *out_n)
{
    struct lab_port *p = of(port);
    ASSERT(p->in_use && !p->proxy_closed && !p->proxy_shut);
    if (p->end == LAB_RESET)
        return PORT_RESET;
    size_t n = len < p->window ? len : p->window;
    if (n == 0) {
        port->writable = false;
        return PORT_AGAIN;
    }
    ASSERT(p->got_len + n <= LAB_BYTES_MAX);
    memcpy(p->got + p->got_len, buf, n);
    p->got_len += n;
    p->window -= n;
    *out_n = n;
    return PORT_OK;
}

static void fake_shutdown(struct port *port)
{
    struct lab_port *p = of(port);
    ASSERT(p->in_use && !p->proxy_closed);
    p->proxy_shut = true;
}

static void fake_close(struct port *port, bool reset)
{
    struct lab_port *p = of(port);
    ASSERT(p->in_use && !p->proxy_closed); /* a closed port is not closed twice */
    p->proxy_closed = true;
    p->proxy_reset = reset;
}

/* What has happened meanwhile is an event of the next turn. */
static enum err fake_listen(struct port *port)
{
    struct lab_port *p = of(port);
    ASSERT(p->in_use && !p->proxy_closed && port->deaf);
    if (p->lab->cannot_listen)
        return ERR_NO_MEMORY;
    port->deaf = false;
    p->missed = p->sent_len > p->sent_taken || p->end != LAB_OPEN;
    return ERR_NONE;
}

static const struct port_ops fake_ops = {
    .recv = fake_recv, .send = fake_send, .shutdown_write = fake_shutdown, .listen = fake_listen, .close = fake_close};

static struct lab_port *port_get(struct lab *lab)
{
    for (size_t i = 0; i < sizeof lab->ports / sizeof lab->ports[0]; i++) {
        struct lab_port *p = &lab->ports[i];
        if (p->in_use)
            continue;
        uint8_t *sent = p->sent != NULL ? p->sent : malloc(LAB_BYTES_MAX);
        uint8_t *got = p->got != NULL ? p->got : malloc(LAB_BYTES_MAX);
        ASSERT(sent != NULL && got != NULL);
        *p = (struct lab_port){.lab = lab, .sent = sent, .got = got, .window = LAB_BYTES_MAX, .in_use = true};
        p->port = (struct port){.ops = &fake_ops, .fd = -1, .writable = true};
        return p;
    }
    return NULL;
}

/* No event after the end: a wake is only given while the proxy holds its side open. */
static void wake(struct lab_port *p, bool readable, bool writable)
{
    if (p->proxy_closed || p->port.deaf)
        return;
    p->port.readable = p->port.readable || readable;
    p->port.writable = p->port.writable || writable;
    if (p->port.wake != NULL)
        p->port.wake(&p->port);
}

static bool give_missed_events(struct lab *lab)
{
    bool any = false;
    for (size_t i = 0; i < sizeof lab->ports / sizeof lab->ports[0]; i++) {
        struct lab_port *p = &lab->ports[i];
        if (!p->missed)
            continue;
        p->missed = false;
        any = true;
        wake(p, true, p->end != LAB_OPEN);
    }
    return any;
}

void lab_send(struct lab_port *p, const void *bytes, size_t len)
{
    ASSERT(p->sent_len + len <= LAB_BYTES_MAX && p->end == LAB_OPEN);
    memcpy(p->sent + p->sent_len, bytes, len);
    p->sent_len += len;
    wake(p, true, false);
    lab_turn(p->lab);
}

void lab_send_text(struct lab_port *p, const char *text)
{
    lab_send(p, text, strlen(text));
}

bool lab_got_text(const struct lab_port *p, const char *text)
{
    return p->got_len >= strlen(text) && memmem(p->got, p->got_len, text, strlen(text)) != NULL;
}

struct lab_port *lab_ask(struct lab *lab, struct lab_port *client, const char *request)
{
    lab_send_text(client, request);
    lab_commit(lab);
    ASSERT(lab_answer(lab, 0, DNS_OK));
    struct lab_port *upstream = lab_connect(lab, 0);
    ASSERT(upstream != NULL);
    return upstream;
}

void lab_finish(struct lab_port *p, enum lab_end end)
{
    p->end = end;
    p->port.gone = end == LAB_RESET;
    wake(p, true, true);
    lab_turn(p->lab);
}

void lab_open_window(struct lab_port *p, size_t bytes)
{
    p->window = bytes;
    if (bytes == 0)
        p->port.writable = false;
    wake(p, false, bytes > 0);
    lab_turn(p->lab);
}

void lab_release(struct lab_port *p)
{
    ASSERT(p->proxy_closed);
    p->in_use = false;
}

/* ---- fake services ---- */

static uint64_t fake_now(void *ctx)
{
    return ((struct lab *)ctx)->now_ms;
}

static void fake_run_later(void *ctx, struct run_item *item)
{
    struct lab *lab = ctx;
    if (item->link != NULL)
        return;
    item->link = lab->asked_end.link;
    item->next = &lab->asked_end;
    *item->link = item;
    lab->asked_end.link = &item->next;
}

static void fake_bury(void *ctx, void *object, grave_fn *free_object)
{
    struct lab *lab = ctx;
    ASSERT(lab->grave_count < sizeof lab->graves / sizeof lab->graves[0]);
    lab->graves[lab->grave_count].object = object;
    lab->graves[lab->grave_count++].fn = free_object;
}

static void run_asked(struct lab *lab)
{
    for (unsigned i = 0; lab->asked != &lab->asked_end; i++) {
        ASSERT(i < 100000); /* work that never ends */
        struct run_item *item = lab->asked;
        run_item_cancel(item);
        item->fn(item);
    }
    while (lab->grave_count > 0) {
        lab->grave_count--;
        lab->graves[lab->grave_count].fn(lab->graves[lab->grave_count].object);
    }
}

void lab_turn(struct lab *lab)
{
    do
        run_asked(lab);
    while (give_missed_events(lab));
}

/* Sentence 1 and 4: something leaves for a name only if a durable, allowed record says so. */
struct lab_attempt *lab_permit_for(struct lab *lab, struct span host, bool for_dial)
{
    for (size_t i = lab->attempt_count; i > 0; i--) {
        struct lab_attempt *a = &lab->attempts[i - 1];
        if (a->allowed && !a->outcome && span_is(host, a->host) && (for_dial ? a->dials : a->lookups) == 0)
            return a;
    }
    return NULL;
}

/* Sentence 3: what is dialled is among the addresses of the fake DNS, and none of the forbidden ones. */
static enum err fake_dial(void *ctx, const struct admitted *admitted, uint32_t timeout_ms, dial_fn *fn, void *arg,
                          struct dial **out)
{
    struct lab *lab = ctx;
    ASSERT(timeout_ms > 0 && admitted_count(admitted) > 0 &&
           (admitted_port(admitted) == 443 || admitted_port(admitted) == 80));
    for (size_t i = 0; i < admitted_count(admitted); i++) {
        const struct ipaddr *addr = admitted_at(admitted, i);
        ASSERT(addr->family == 4 && addr->bytes[0] != 127 && addr->bytes[0] != 10 && addr->bytes[0] != 169);
    }
    for (size_t i = 0; i < LAB_CLIENTS_MAX; i++) {
        struct lab_dial *d = &lab->dials[i];
        if (d->in_use)
            continue;
        *d = (struct lab_dial){.in_use = true, .admitted = *admitted, .fn = fn, .arg = arg};
        *out = (struct dial *)(void *)d;
        lab->connects++;
        return ERR_NONE;
    }
    return ERR_NO_MEMORY;
}

static uint32_t fake_dial_cancel(void *ctx, struct dial *dial)
{
    (void)ctx;
    struct lab_dial *d = (struct lab_dial *)(void *)dial;
    ASSERT(d->in_use);
    d->in_use = false;
    return 1;
}

struct lab_port *lab_connect(struct lab *lab, size_t index)
{
    for (size_t i = 0; i < LAB_CLIENTS_MAX; i++) {
        struct lab_dial *d = &lab->dials[i];
        if (!d->in_use || index-- > 0)
            continue;
        struct lab_port *upstream = port_get(lab);
        if (upstream == NULL)
            return NULL;
        struct dialled dialled = {.port = &upstream->port, .addr = *admitted_at(&d->admitted, 0), .connects = 1};
        d->in_use = false;
        d->fn(d->arg, &dialled);
        lab_turn(lab);
        return upstream;
    }
    return NULL;
}

bool lab_refuse_connect(struct lab *lab, size_t index, int error)
{
    for (size_t i = 0; i < LAB_CLIENTS_MAX; i++) {
        struct lab_dial *d = &lab->dials[i];
        if (!d->in_use || index-- > 0)
            continue;
        struct dialled dialled = {.error = error, .addr = *admitted_at(&d->admitted, 0), .connects = 1};
        d->in_use = false;
        d->fn(d->arg, &dialled);
        lab_turn(lab);
        return true;
    }
    return false;
}

size_t lab_dials_pending(const struct lab *lab)
{
    size_t n = 0;
    for (size_t i = 0; i < LAB_CLIENTS_MAX; i++)
        n += lab->dials[i].in_use;
    return n;
}

/* ---- the writer ---- */

static void note_attempt(struct lab *lab, const struct record_flow *flow)
{
    ASSERT(lab->attempt_count < sizeof lab->attempts / sizeof lab->attempts[0]);
    struct lab_attempt *a = &lab->attempts[lab->attempt_count++];
    *a = (struct lab_attempt){
        .allowed = flow->decision.verdict == VERDICT_ALLOW,
        .reason = flow->decision.reason,
        .stage = flow->decision.stage,
        .generation = flow->decision.generation,
        .count = flow->count,
    };
    memcpy(a->flow, flow->flow, sizeof a->flow);
    if (flow->target != NULL) {
        char host[TARGET_TEXT_MAX];
        size_t len = target_format_host(flow->target, host);
        memcpy(a->host, host, len < sizeof a->host ? len : sizeof a->host - 1);
        a->port = flow->target->port;
    }
}

/* Sentence 4: an outcome belongs to exactly one allowed attempt that was sealed before it. */
static void note_outcome(struct lab *lab, const struct record_flow *flow)
{
    for (size_t i = lab->attempt_count; i > 0; i--) {
        struct lab_attempt *a = &lab->attempts[i - 1];
        if (memcmp(a->flow, flow->flow, sizeof a->flow) != 0)
            continue;
        ASSERT(a->allowed && !a->outcome);
        a->outcome = true;
        a->final_reason = flow->decision.reason;
        a->final_stage = flow->decision.stage;
        a->final_generation = flow->decision.generation;
        a->up = flow->bytes_up;
        a->down = flow->bytes_down;
        a->end = flow->end;
        return;
    }
    ASSERT(false); /* an outcome without its attempt */
}

/* Bytes only grow, and each record tells of some that the last one did not. */
static void note_traffic(struct lab *lab, const struct record_flow *flow)
{
    for (size_t i = lab->attempt_count; i > 0; i--) {
        struct lab_attempt *a = &lab->attempts[i - 1];
        if (memcmp(a->flow, flow->flow, sizeof a->flow) != 0)
            continue;
        ASSERT(a->allowed && !a->outcome);
        ASSERT(flow->bytes_up >= a->traffic_up && flow->bytes_down >= a->traffic_down);
        ASSERT(flow->bytes_up + flow->bytes_down > a->traffic_up + a->traffic_down);
        a->traffic++;
        a->traffic_up = flow->bytes_up;
        a->traffic_down = flow->bytes_down;
        return;
    }
    ASSERT(false); /* traffic without its attempt */
}

void lab_commit(struct lab *lab)
{
    struct sealed sealed;
    if (desk_gate_closed(lab->desk))
        return;
    while (desk_read(lab->desk, &sealed)) {
        if (sealed.is_event) {
            lab->warnings += sealed.event.event == EVENT_LIMIT_WARNING;
            continue;
        }
        if (sealed.flow.kind == RECORD_ATTEMPT)
            note_attempt(lab, &sealed.flow);
        else if (sealed.flow.kind == RECORD_TRAFFIC)
            note_traffic(lab, &sealed.flow);
        else if (sealed.flow.kind == RECORD_LOOKUP)
            lab_note_lookup(lab, &sealed.flow);
        else
            note_outcome(lab, &sealed.flow);
    }
    desk_commit(lab->desk);
    if (desk_is_waiting(lab->desk))
        tunnels_on_durable(lab->tunnels);
    lab_turn(lab);
}

void lab_gate(struct lab *lab, bool closed)
{
    desk_set_gate(lab->desk, closed);
    tunnels_on_durable(lab->tunnels);
    lab_turn(lab);
}

const struct lab_attempt *lab_last(const struct lab *lab)
{
    ASSERT(lab->attempt_count > 0);
    return &lab->attempts[lab->attempt_count - 1];
}

/* ---- the world ---- */

void lab_advance(struct lab *lab, uint64_t ms)
{
    lab->now_ms += ms;
    lab_end_orphans(lab);
    wheel_advance(lab->wheel, lab->now_ms);
    lab_turn(lab);
}

static const struct limits *fake_limits(void *ctx, const struct book *book, const struct tunnel_listener *listener)
{
    (void)book;
    (void)listener;
    return policy_limits(((struct lab *)ctx)->policy);
}

static enum reason fake_identify(void *ctx, const struct book *book, const struct tunnel_listener *listener,
                                 const struct tunnel_client *client, struct tunnel_who *out)
{
    struct lab *lab = ctx;
    (void)listener;
    (void)client;
    out->tenant = lab->tenant;
    out->alone = !lab->shared_listener;
    if (lab->unknown_client)
        return REASON_IDENTITY;
    out->policy = book_at(book, 0);
    out->environment = span_text(lab->tenant->name);
    return REASON_NONE;
}

static struct book *make_book(struct lab *lab, const char *yaml)
{
    struct diag diag;
    diag_init(&diag);
    struct policy *policy = NULL;
    enum err err = policy_load_text("lab.yaml", span_text(yaml), span_make(NULL, 0), &diag, &policy);
    if (err != ERR_NONE && diag.count > 0)
        fprintf(stderr, "lab policy: %u:%u %s\n", diag.items[0].line, diag.items[0].column, diag.items[0].message);
    ASSERT(err == ERR_NONE);
    diag_clear(&diag);
    policy_unref(lab->policy);
    lab->policy = policy;
    struct book *book = NULL;
    err = book_make(&policy, 1, ++lab->generation, &book);
    ASSERT(err == ERR_NONE);
    return book;
}

void lab_swap(struct lab *lab, const char *yaml)
{
    struct book *book = make_book(lab, yaml);
    tunnels_swap(lab->tunnels, book);
    book_unref(book);
    lab_turn(lab);
}

static void never_wake(void *arg)
{
    (void)arg;
}

struct lab *lab_new(const char *yaml)
{
    return lab_new_traffic(yaml, 300000, 64u << 20);
}

struct lab *lab_new_traffic(const char *yaml, uint64_t traffic_ms, uint64_t traffic_bytes)
{
    struct lab *lab = calloc(1, sizeof *lab);
    ASSERT(lab != NULL);
    lab->now_ms = 1000;
    lab->wheel = wheel_new(lab->now_ms);
    lab->asked_end.link = &lab->asked;
    lab->asked = &lab->asked_end;
    lab->dns_addr[0] = (struct ipaddr){
        .family = 4, .bytes = {11, 22, 33, 44}
    };
    lab->dns_addr_count = 1;
    lab->process = (struct tunnel_process){.descriptors_max = 1000,
                                           .memory_max = 64u << 20,
                                           .credit_max = 8u << 20,
                                           .lookups_max = 4096,
                                           .share_percent = 100,
                                           .via_id = "0123456789abcdef"};
    struct relay_pool_options pool = {.pipes_max = 0};
    enum err err = desk_new(8u << 20, never_wake, NULL, &lab->desk);
    if (err == ERR_NONE)
        err = relay_pool_new(&pool, &lab->pool);
    if (err == ERR_NONE)
        err = tenant_new(span_text("lab"), &lab->tenant);
    struct book *book = make_book(lab, yaml);
    struct tunnels_options options = {
        .services = {.ctx = lab,
                     .wheel = lab->wheel,
                     .now_ms = fake_now,
                     .run_later = fake_run_later,
                     .bury = fake_bury,
                     .lookup = lab_lookup,
                     .lookup_cancel = lab_lookup_cancel,
                     .dial = fake_dial,
                     .dial_cancel = fake_dial_cancel},
        .hooks = {.ctx = lab, .limits = fake_limits, .identify = fake_identify},
        .process = &lab->process,
        .desk = lab->desk,
        .traffic_ms = traffic_ms,
        .traffic_bytes = traffic_bytes,
        .pool = lab->pool,
        .book = book,
    };
    if (err == ERR_NONE)
        err = tunnels_new(&options, &lab->tunnels);
    ASSERT(err == ERR_NONE);
    book_unref(book);
    return lab;
}

struct lab_port *lab_client(struct lab *lab)
{
    return lab_client_says(lab, "", 0);
}

/* As the daemon accepts: the port is deaf, and the first bytes are there mostly. */
struct lab_port *lab_client_says(struct lab *lab, const void *bytes, size_t len)
{
    static const struct tunnel_listener listener = {.name = "lab"};
    struct tunnel_client client = {
        .peer = {.family = 4, .bytes = {127, 0, 0, 1}},
          .peer_port = 1
    };
    struct lab_port *p = port_get(lab);
    if (p == NULL)
        return NULL;
    ASSERT(len <= LAB_BYTES_MAX);
    p->sent_len = len;
    memcpy(p->sent, bytes, len);
    p->port.readable = p->port.deaf = true;
    lab->rest_ms = tunnels_accept(lab->tunnels, &listener, &client, &p->port);
    lab_turn(lab);
    return p;
}

void lab_free(struct lab *lab)
{
    tunnels_cut(lab->tunnels, REASON_DRAINED);
    lab_turn(lab);
    lab_end_orphans(lab);
    desk_set_gate(lab->desk, false);
    lab_commit(lab);
    ASSERT(lab->questions == lab->questions_recorded);
    /* Sentence 4, at the end: nothing is left without its outcome, and every budget is back. */
    for (size_t i = 0; i < lab->attempt_count; i++)
        ASSERT(lab->attempts[i].allowed == lab->attempts[i].outcome);
    ASSERT(tunnels_open(lab->tunnels) == 0);
    ASSERT(budget_used(&lab->process.descriptors) == 0);
    ASSERT(budget_used(&lab->tenant->descriptors) == 0);
    ASSERT(budget_used(&lab->process.memory) == 0);
    ASSERT(budget_used(&lab->tenant->memory) == 0);
    ASSERT(budget_used(&lab->tenant->tunnels) == 0);
    ASSERT(budget_used(&lab->tenant->credit) == 0);
    ASSERT(budget_used(&lab->tenant->held) == 0);
    ASSERT(budget_used(&lab->tenant->lookups) == 0 && budget_used(&lab->tenant->questions) == 0);
    ASSERT(budget_used(&lab->tenant->turned_away) == 0);
    ASSERT(lab_lookups_pending(lab) == 0 && lab_dials_pending(lab) == 0);
    ASSERT(desk_credit_take(lab->desk, DESK_PAIR_BYTES));
    desk_credit_give(lab->desk, DESK_PAIR_BYTES);
    tunnels_free(lab->tunnels);
    for (size_t i = 0; i < sizeof lab->ports / sizeof lab->ports[0]; i++) {
        ASSERT(!lab->ports[i].in_use || lab->ports[i].proxy_closed);
        free(lab->ports[i].sent);
        free(lab->ports[i].got);
    }
    tenant_free(lab->tenant);
    policy_unref(lab->policy);
    relay_pool_free(lab->pool);
    desk_free(lab->desk);
    wheel_free(lab->wheel);
    free(lab);
}
