/* SPDX-License-Identifier: Apache-2.0 */
/* A request on its way from the client to the upstream. */
#include "http_pump.h"

static enum pump flush_to_upstream(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    size_t n = 0;
    enum port_io io = PORT_OK;
    enum ceiling ceiling = pump_send(t, WAY_UP, x->to_upstream, x->to_upstream_sent, &n, &io);
    if (ceiling == CEILING_FULL)
        return pump_give_up(t, REASON_BYTES, FLOW_END_REFUSED);
    if (ceiling == CEILING_BUSY)
        return PUMP_MOVED;
    switch (io) {
    case PORT_OK:
        x->to_upstream_sent += (uint32_t)n;
        return PUMP_MOVED;
    case PORT_AGAIN:
        return PUMP_IDLE;
    case PORT_EOF:
    case PORT_RESET:
        /* It may have answered early: that answer is still read, the rest of the body is not. */
        x->to_upstream_sent = x->to_upstream->used;
        x->request_cut = true;
        x->keep_client = x->keep_upstream = false;
        return PUMP_MOVED;
    }
    return PUMP_IDLE;
}

static enum pump body_to_upstream(struct tunnel *t)
{
    struct setup *s = t->setup;
    struct exchange *x = exchange_of(t);
    if (s->in_len == 0) {
        if (!t->client->readable)
            return PUMP_IDLE;
        if (!piece_buffer(t, &s->in))
            return pump_no_memory(t);
        size_t n = 0;
        enum port_io io = port_recv(t->client, s->in->data, s->in->cap, &n);
        if (io == PORT_AGAIN)
            return PUMP_IDLE;
        if (io != PORT_OK)
            return pump_client_gone(t);
        s->in_len = n;
    }
    if (!piece_buffer(t, &x->to_upstream))
        return pump_no_memory(t);
    bool too_big = false;
    size_t used = 0;
    enum feed feed =
        piece_take(&x->request_body, span_make(s->in->data, s->in_len), x->request_body.kind == BODY_CHUNKED,
                   x->to_upstream, &x->to_upstream_sent, &used, &too_big);
    if (feed == FEED_BAD && x->answered)
        return pump_client_gone(t);
    if (feed == FEED_BAD)
        return pump_give_up(t, too_big ? REASON_HEAD : REASON_FRAMING, FLOW_END_REFUSED);
    s->in_len -= used;
    memmove(s->in->data, s->in->data + used, s->in_len);
    x->request_done = feed == FEED_DONE;
    return PUMP_MOVED;
}

/* The request is complete: what comes now is the next one, kept for later within the buffer at hand. A client that has
 * said all it will say still gets its answer; one that resets frees the upstream at once. */
static enum pump watch_client(struct tunnel *t)
{
    struct setup *s = t->setup;
    if (t->client_eof || !t->client->readable || s->in_len == s->in->cap)
        return PUMP_IDLE;
    size_t n = 0;
    switch (port_recv(t->client, s->in->data + s->in_len, s->in->cap - s->in_len, &n)) {
    case PORT_OK:
        s->in_len += n;
        return PUMP_MOVED;
    case PORT_AGAIN:
        return PUMP_IDLE;
    case PORT_EOF:
        t->client_eof = true;
        return PUMP_IDLE;
    case PORT_RESET:
        break;
    }
    return pump_client_gone(t);
}

enum pump http_pump_request(struct tunnel *t)
{
    struct exchange *x = exchange_of(t);
    if (x->to_upstream != NULL && x->to_upstream_sent < x->to_upstream->used)
        return flush_to_upstream(t);
    if (x->request_done)
        return watch_client(t);
    return x->request_cut ? PUMP_IDLE : body_to_upstream(t);
}
