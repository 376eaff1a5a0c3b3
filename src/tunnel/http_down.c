/* SPDX-License-Identifier: Apache-2.0 */
/* An answer on its way from the upstream to the client: interim heads, the final head, its body, or a switch to a
 * relay. */
#include "http_pump.h"

#include "base/assert.h"

#define ANSWER_BYTES     4096u /* of an upstream at once, until it sends more */
#define ANSWER_BYTES_MAX 65536u
#define INTERIM_MAX      32u /* 1xx answers to one request */

/* ---- how it breaks off ---- */

static enum pump upstream_bad(struct tunnel *t)
{
    return pump_give_up(t, REASON_UPSTREAM, FLOW_END_RESET);
}

/* A reset: of an answer under way, or instead of one. */
static enum pump upstream_gone(struct tunnel *t)
{
    if (exchange_of(t)->answered)
        return pump_ended(tunnel_end(t, REASON_UPSTREAM_RESET, FLOW_END_RESET, true));
    return upstream_bad(t);
}

/* ---- heads and body ---- */

static enum pump flush_to_client(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    size_t n = 0;
    enum port_io io = PORT_OK;
    enum ceiling ceiling = pump_send(t, WAY_DOWN, x->to_client, x->to_client_sent, &n, &io);
    if (ceiling == CEILING_FULL)
        return pump_ended(tunnel_end(t, REASON_BYTES, FLOW_END_REFUSED, true));
    if (ceiling == CEILING_BUSY)
        return PUMP_MOVED;
    switch (io) {
    case PORT_OK:
        x->to_client_sent += (uint32_t)n;
        return PUMP_MOVED;
    case PORT_AGAIN:
        return PUMP_IDLE;
    case PORT_EOF:
    case PORT_RESET:
        break;
    }
    return pump_client_gone(t);
}

/* Bytes of the upstream that were used up. */
static void consume(struct exchange *x, size_t used)
{
    x->from_upstream_len -= (uint32_t)used;
    memmove(x->from_upstream->data, x->from_upstream->data + used, x->from_upstream_len);
}

static enum pump send_head(struct tunnel *t, const struct response *response, const struct body *body)
{
    struct exchange *x = exchange_of(t);
    memory_buffer_drop(t, x->to_client);
    x->to_client = memory_buffer(t, response->head_bytes + 1024);
    if (x->to_client == NULL)
        return pump_no_memory(t);
    struct outbuf out = outbuf_make(x->to_client->data, x->to_client->cap);
    struct forward_response what = {
        .response = response,
        .body = body,
        .send_as = x->send_as,
        .via_id = span_text(t->home->o.process->via_id),
        .keep_alive = x->keep_client,
        .websocket = response->status == 101,
    };
    forward_response(&out, &what);
    ASSERT(!out.overflow);
    x->to_client->used = (uint32_t)out.len;
    x->to_client_sent = 0;
    return PUMP_MOVED;
}

static enum pump interim(struct tunnel *t, const struct response *response)
{
    struct exchange *x = exchange_of(t);
    bool passed = t->setup->minor > 0 && (response->status != 100 || x->expects);
    if (++x->interim > INTERIM_MAX)
        return upstream_bad(t);
    static const struct body none = {.kind = BODY_NONE};
    enum pump pump = passed ? send_head(t, response, &none) : PUMP_MOVED;
    if (pump != PUMP_MOVED)
        return pump;
    consume(x, response->head_bytes);
    x->parser = (struct response_parser){0};
    return PUMP_MOVED;
}

/* The head of the answer and what the upstream said right behind it, in one piece. */
static bool preload_down(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    size_t head = x->to_client->used, rest = x->from_upstream_len;
    struct buffer *both = memory_buffer(t, head + rest);
    if (both == NULL)
        return false;
    memcpy(both->data, x->to_client->data, head);
    memcpy(both->data + head, x->from_upstream->data, rest);
    enum err err = lane_preload(&t->down, t->home->o.pool, span_make(both->data, head + rest));
    memory_buffer_drop(t, both);
    return err == ERR_NONE;
}

/* After a real 101: both lanes, what was read before goes first. */
static enum pump switch_protocols(struct tunnel *t, const struct response *response)
{
    struct setup *s = t->setup;
    struct exchange *x = exchange_of(t);
    static const struct body none = {.kind = BODY_NONE};
    if (!x->websocket || !forward_accepts_websocket(response) || x->to_upstream_sent < x->to_upstream->used)
        return upstream_bad(t);
    enum pump pump = send_head(t, response, &none);
    if (pump != PUMP_MOVED)
        return pump;
    t->status = 101;
    consume(x, response->head_bytes);
    struct relay_pool *pool = t->home->o.pool;
    lane_open(&t->up, t->client, t->upstream, 0); /* ceilings are set turn by turn */
    lane_open(&t->down, t->upstream, t->client, 0);
    lane_pair(&t->up, &t->down);
    bool kept = s->in_len == 0 || lane_preload(&t->up, pool, span_make(s->in->data, s->in_len)) == ERR_NONE;
    if (!kept || !preload_down(t))
        return pump_ended(tunnel_end(t, REASON_LIMIT, FLOW_END_REFUSED, true));
    tunnel_setup_drop(t);
    return pump_ended(tunnel_carry(t, STEP_RELAY));
}

/* What came with the head leaves with it, as far as it needs no framing and there is room: one send for a small answer.
 * A body that is wrong is left where it is, for the piece after the head. */
static void body_with_head(struct exchange *x)
{
    struct buffer *out = x->to_client;
    size_t head = out->used, used = 0;
    if (x->response_done || x->send_as == BODY_CHUNKED || x->from_upstream_len == 0 || out->cap < head + FRAMING_ROOM)
        return;
    struct span in = span_make(x->from_upstream->data, x->from_upstream_len);
    struct body body = x->response_body;
    uint32_t ignored = 0;
    bool too_big = false;
    enum feed feed = piece_take_at(&body, span_first(in, out->cap - head - FRAMING_ROOM), false, out, head, &ignored,
                                   &used, &too_big);
    if (feed == FEED_BAD) {
        out->used = (uint32_t)head;
        return;
    }
    x->response_body = body;
    x->response_done = feed == FEED_DONE;
    consume(x, used);
}

static enum pump final_head(struct tunnel *t, const struct response *response)
{
    struct exchange *x = exchange_of(t);
    if (!body_of_response(response, x->method, &x->response_body))
        return upstream_bad(t);
    x->keep_upstream = x->keep_upstream && forward_upstream_keeps_alive(response);
    x->send_as = forward_send_as(&x->response_body, t->setup->minor);
    if (x->send_as == BODY_UNTIL_CLOSE || x->response_body.kind == BODY_UNTIL_CLOSE || t->home->draining)
        x->keep_client = false;
    if (x->response_body.kind == BODY_UNTIL_CLOSE)
        x->keep_upstream = false;
    if (!x->request_done)
        x->keep_client = x->keep_upstream = false; /* an early answer: the rest of the body is not waited for */
    enum pump pump = send_head(t, response, &x->response_body);
    if (pump != PUMP_MOVED)
        return pump;
    t->status = response->status;
    x->answered = x->head_done = true;
    x->response_done =
        x->response_body.kind == BODY_NONE || (x->response_body.kind == BODY_LENGTH && x->response_body.left == 0);
    consume(x, response->head_bytes);
    body_with_head(x);
    return PUMP_MOVED;
}

static enum pump head_from_upstream(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    const struct limits *limits = tunnel_limits(t);
    struct request_limits bounds = {.head_bytes = (uint32_t)limits->head_bytes,
                                    .header_lines = (uint32_t)limits->header_lines};
    struct response *response = t->home->response;
    switch (response_feed(&x->parser, span_make(x->from_upstream->data, x->from_upstream_len), &bounds, response)) {
    case FEED_MORE:
        return x->from_upstream_len == ANSWER_BYTES_MAX ? upstream_bad(t) : PUMP_IDLE;
    case FEED_BAD:
        return upstream_bad(t);
    case FEED_DONE:
        break;
    }
    if (response->status == 101)
        return switch_protocols(t, response);
    return response->status < 200 ? interim(t, response) : final_head(t, response);
}

static enum pump body_from_upstream(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    if (!piece_buffer(t, &x->to_client))
        return pump_no_memory(t);
    bool too_big = false;
    size_t used = 0;
    enum feed feed = piece_take(&x->response_body, span_make(x->from_upstream->data, x->from_upstream_len),
                                x->send_as == BODY_CHUNKED, x->to_client, &x->to_client_sent, &used, &too_big);
    if (feed == FEED_BAD)
        return upstream_bad(t);
    consume(x, used);
    x->response_done = feed == FEED_DONE;
    return PUMP_MOVED;
}

static enum pump upstream_ended(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    x->upstream_eof = true;
    x->keep_upstream = false;
    if (!x->head_done || !body_may_end(&x->response_body))
        return upstream_bad(t);
    x->response_done = true;
    return PUMP_MOVED;
}

/* Room for what the upstream sends: little, which stays in the processor's cache, until it has filled that once. */
static bool room_from_upstream(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    struct buffer *have = x->from_upstream;
    if (have != NULL && (!x->upstream_fills || have->cap >= ANSWER_BYTES_MAX))
        return true;
    struct buffer *more = memory_buffer(t, have == NULL ? ANSWER_BYTES : ANSWER_BYTES_MAX);
    if (more == NULL)
        return false;
    if (have != NULL)
        memcpy(more->data, have->data, x->from_upstream_len);
    memory_buffer_drop(t, have);
    x->from_upstream = more;
    return true;
}

static enum pump read_upstream(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    if (x->upstream_eof || !t->upstream->readable)
        return PUMP_IDLE;
    if (!room_from_upstream(t))
        return pump_no_memory(t);
    size_t n = 0;
    switch (port_recv(t->upstream, x->from_upstream->data + x->from_upstream_len,
                      x->from_upstream->cap - x->from_upstream_len, &n)) {
    case PORT_OK:
        x->from_upstream_len += (uint32_t)n;
        x->upstream_fills = x->from_upstream_len == x->from_upstream->cap;
        return PUMP_MOVED;
    case PORT_AGAIN:
        return PUMP_IDLE;
    case PORT_EOF:
        return upstream_ended(t);
    case PORT_RESET:
        return upstream_gone(t);
    }
    return PUMP_IDLE;
}

enum pump http_pump_response(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    if (x->to_client != NULL && x->to_client_sent < x->to_client->used)
        return flush_to_client(t);
    if (x->response_done)
        return pump_ended(http_finish(t));
    if (x->from_upstream_len > 0) {
        enum pump pump = x->head_done ? body_from_upstream(t) : head_from_upstream(t);
        if (pump != PUMP_IDLE)
            return pump;
    }
    return read_upstream(t);
}
