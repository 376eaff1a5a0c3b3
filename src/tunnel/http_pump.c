/* SPDX-License-Identifier: Apache-2.0 */
#include "http_pump.h"

#include "base/assert.h"

#define PIECE_BYTES 32768u /* of a body in one turn of the pump */

enum feed piece_take_at(struct body *body, struct span in, bool chunked, struct buffer *out, size_t at,
                        uint32_t *out_from, size_t *out_used, bool *out_too_big)
{
    enum feed feed = FEED_MORE;
    size_t n = 0, used = 0;
    while (feed == FEED_MORE && used < in.len && n < PIECE_BYTES) {
        size_t step = 0;
        struct span payload = {0};
        feed = body_feed(body, span_first(span_from(in, used), PIECE_BYTES - n), &step, &payload, out_too_big);
        if (payload.len > 0)
            memcpy(out->data + at + n, payload.data, payload.len);
        n += payload.len;
        used += step;
    }
    *out_used = used;
    uint8_t text[FRAMING_ROOM];
    struct outbuf line = outbuf_make(text, sizeof text);
    if (chunked && n > 0)
        body_chunk_begin(&line, n);
    *out_from = (uint32_t)(at - line.len);
    memcpy(out->data + *out_from, text, line.len);
    struct outbuf tail = outbuf_make(out->data + at + n, FRAMING_ROOM);
    if (chunked && n > 0)
        body_chunk_end(&tail);
    if (chunked && feed == FEED_DONE)
        body_last_chunk(&tail);
    ASSERT(!line.overflow && !tail.overflow);
    out->used = (uint32_t)(at + n + tail.len);
    return feed;
}

enum feed piece_take(struct body *body, struct span in, bool chunked, struct buffer *out, uint32_t *out_from,
                     size_t *out_used, bool *out_too_big)
{
    return piece_take_at(body, in, chunked, out, FRAMING_ROOM, out_from, out_used, out_too_big);
}

bool piece_buffer(struct tunnel *t, struct buffer **buffer)
{
    if (*buffer != NULL && (*buffer)->cap >= PIECE_BYTES + 2 * FRAMING_ROOM)
        return true;
    memory_buffer_drop(t, *buffer);
    *buffer = memory_buffer(t, PIECE_BYTES + 2 * FRAMING_ROOM);
    return *buffer != NULL;
}

enum ceiling pump_send(struct tunnel *t, enum way way, const struct buffer *buffer, uint32_t sent, size_t *out_n,
                       enum port_io *out_io)
{
    size_t lent = 0;
    enum ceiling ceiling = ceiling_borrow(t, way, buffer->used - sent, &lent);
    if (ceiling == CEILING_FULL)
        LIMIT_HIT(t->home, way == WAY_UP ? LIMIT_bytes_up : LIMIT_bytes_down);
    if (ceiling == CEILING_FULL || ceiling == CEILING_BUSY)
        return ceiling;
    *out_io = port_send(way == WAY_UP ? t->upstream : t->client, buffer->data + sent, lent, out_n);
    size_t n = *out_io == PORT_OK ? *out_n : 0;
    *(way == WAY_UP ? &t->http_up : &t->http_down) += n;
    if (ceiling == CEILING_LENT)
        ceiling_settle(t, way, lent, n);
    return ceiling;
}

enum pump pump_give_up(struct tunnel *t, enum reason reason, enum flow_end end)
{
    const struct exchange *x = exchange_of(t);
    bool silent = !x->answered && (x->to_client == NULL || x->to_client_sent == x->to_client->used);
    if (silent)
        return pump_ended(tunnel_refuse(t, reason, STAGE_RELAY));
    return pump_ended(tunnel_end(t, reason, end, true));
}

enum pump pump_no_memory(struct tunnel *t)
{
    return pump_give_up(t, REASON_LIMIT, FLOW_END_REFUSED);
}

enum pump pump_client_gone(struct tunnel *t)
{
    return pump_ended(tunnel_end(t, REASON_CLIENT_RESET, FLOW_END_RESET, true));
}
