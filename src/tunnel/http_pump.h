/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_pump: the two directions of a plain HTTP exchange. Each call does one thing: send what is held, or make
 * something to send, so that nothing is read in a direction while something of it is held.
 *
 *   http_up.c    http_pump_request(): client to upstream
 *   http_down.c  http_pump_response(): upstream to client
 *   http_pump.c  what both do: frame a piece of a body, send within a ceiling
 */
#ifndef TUNNEL_HTTP_PUMP_H
#define TUNNEL_HTTP_PUMP_H

#include "ceiling.h"
#include "internal.h"

#define FRAMING_ROOM 64u /* around a piece: chunk size, line ends, last chunk */

static inline struct exchange *exchange_of(struct tunnel *t)
{
    return &t->setup->http;
}

static inline enum pump pump_ended(enum go go)
{
    return go == GO_ENDED ? PUMP_ENDED : PUMP_STEP;
}

/*
 * Decodes payload of `in` into `out`, from `at` (FRAMING_ROOM at least when chunked) on, and frames it anew. FEED_MORE:
 * *out_used bytes of `in` are done with. The piece begins at *out_from, since the size of a chunk is known only when
 * its payload is there. FEED_BAD with *out_too_big: more trailers than a client may send.
 */
enum feed piece_take_at(struct body *body, struct span in, bool chunked, struct buffer *out, size_t at,
                        uint32_t *out_from, size_t *out_used, bool *out_too_big);
/* The same into an empty buffer of piece_buffer(). */
enum feed piece_take(struct body *body, struct span in, bool chunked, struct buffer *out, uint32_t *out_from,
                     size_t *out_used, bool *out_too_big);
/* A buffer that holds a piece; the one at hand if it is large enough and empty. False: no memory for it. */
bool piece_buffer(struct tunnel *t, struct buffer **buffer);

/* Sends from `sent` on what the session's ceiling leaves of a buffer, and counts it. *out_io is the port's where the
 * ceiling has nothing to say (CEILING_NONE and CEILING_LENT). */
enum ceiling pump_send(struct tunnel *t, enum way way, const struct buffer *buffer, uint32_t sent, size_t *out_n,
                       enum port_io *out_io);
/* An answer of ours while the client has nothing of the upstream's that goes on, else the end: in the middle of another
 * answer it would be a part of that. */
enum pump pump_give_up(struct tunnel *t, enum reason reason, enum flow_end end);
enum pump pump_no_memory(struct tunnel *t);
/* The client reset the connection. */
enum pump pump_client_gone(struct tunnel *t);

#endif
