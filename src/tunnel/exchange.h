/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange: one plain HTTP request and its answer, streamed. It lies in a tunnel's setup and begins zeroed with each
 * request; its buffers are counted against the tunnel's memory and dropped with it (http_drop()).
 *
 *   client ──setup.in──▶ to_upstream ──▶ upstream        what is held goes first: nothing is read
 *   client ◀── to_client ◀──from_upstream── upstream     in a direction while something of it is held
 */
#ifndef TUNNEL_EXCHANGE_H
#define TUNNEL_EXCHANGE_H

#include "wire/body.h"

struct buffer; /* pooled, a power of two of bytes */
struct tunnel;

struct exchange {
    struct body request_body, response_body;
    struct response_parser parser;
    struct buffer *to_upstream;   /* pending: the head, then pieces of the body */
    struct buffer *from_upstream; /* what the upstream sent and nobody took */
    struct buffer *to_client;     /* pending: heads and pieces of the answer */
    uint32_t to_upstream_sent, from_upstream_len, to_client_sent;
    enum method method;
    enum body_kind send_as;
    bool websocket, expects, keep_client, keep_upstream;
    bool request_done, request_cut, head_done, response_done, answered, upstream_eof;
    bool upstream_fills; /* its last read took all the room there was */
    uint8_t interim;     /* 1xx answers so far */
};

/* What one call of a pump came to. */
enum pump {
    PUMP_IDLE,  /* nothing could be done */
    PUMP_MOVED, /* something was */
    PUMP_ENDED, /* the tunnel is gone */
    PUMP_STEP,  /* the step has changed */
};
/* One thing for the request, or for the answer; the step calls both until neither moves. */
enum pump http_pump_request(struct tunnel *t);
enum pump http_pump_response(struct tunnel *t);

#endif
