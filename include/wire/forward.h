/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward: heads that this program sends on. They are generated anew from parsed fields, never copied: request line,
 * Host, framing and hop-by-hop fields are ours.
 *
 * Dropped in both directions: Connection and what it nominates, Keep-Alive, Proxy-Connection, Proxy-Authenticate,
 * Proxy-Authorization, Proxy-Authentication-Info, TE, Trailer, Transfer-Encoding, Content-Length (ours instead),
 * Upgrade (but see below), HTTP2-Settings, and every field whose name with '_' and '.' read as '-', and without these
 * at its ends, is one of these. From requests also Host and Expect (ours instead) and Forwarded, X-Forwarded-*,
 * X-Real-IP: they tell of the sandbox's inside.
 */
#ifndef WIRE_FORWARD_H
#define WIRE_FORWARD_H

#include "base/outbuf.h"
#include "wire/body.h"

#define FORWARD_ID_TEXT 16 /* digits of a process's own Via pseudonym */

/* A head that is sent on has at most this much more bytes than the one that was received. */
#define FORWARD_EXTRA_MAX 1024

struct forward_request {
    const struct request *request; /* in absolute form */
    const struct body *body;       /* of body_of_request() */
    struct span via_id;            /* our pseudonym: "sallyport-" and this */
    bool websocket;                /* pass "Upgrade: websocket" on; without a body alone */
    bool expect;                   /* pass "Expect: 100-continue" on; nothing is without a body */
};

#define FORWARD_HOPS_MAX 50

/*
 * REASON_LOOP: a Via field of the request names our pseudonym, Via fields name FORWARD_HOPS_MAX hops or more, or
 * Max-Forwards is spent (RFC 9110 7.6.2; for any method).
 */
bool forward_loops(const struct request *request, struct span via_id);

/* "Upgrade: websocket" (perhaps with others, which are dropped) with "Connection: upgrade", GET, HTTP/1.1, no framing
 * field, Sec-WebSocket-Key: nothing else is passed. */
bool forward_wants_websocket(const struct request *request);
/* A real 101: "Upgrade: websocket" with "Connection: upgrade" and Sec-WebSocket-Accept (RFC 6455 4.1). */
bool forward_accepts_websocket(const struct response *response);

/* The client wants this connection kept after the answer (RFC 9112 9.3). Never in HTTP/1.0: a proxy does not believe
 * its keep-alive, which an older proxy may have passed on blindly. */
bool forward_keeps_alive(const struct request *request);
/* The upstream will keep its side open after this answer. Says nothing of a body without framing. */
bool forward_upstream_keeps_alive(const struct response *response);

/* How a body goes to a client of HTTP/1.minor: chunked becomes UNTIL_CLOSE for HTTP/1.0, the rest stays. */
enum body_kind forward_send_as(const struct body *body, uint8_t client_minor);

/*
 * METHOD path HTTP/1.1 (OPTIONS without any path: "*", RFC 9112 3.2.4), Host, the client's end-to-end fields in their
 * order, then ours. Max-Forwards of OPTIONS and TRACE is one less. When `out` overflows nothing of it may be sent.
 */
void forward_request(struct outbuf *out, const struct forward_request *what);

struct forward_response {
    const struct response *response;
    const struct body *body; /* as the upstream framed it */
    enum body_kind send_as;  /* forward_send_as() */
    struct span via_id;
    bool keep_alive;  /* towards the client; not with UNTIL_CLOSE */
    bool websocket;   /* a 101 that is passed on; no other 101 is */
    struct span date; /* IMF-fixdate of now, for an answer without one (RFC 9110 6.6.1); empty: none is added */
};
/* Of 1xx as well (without framing fields, Connection and Date; a client of HTTP/1.0 must not be sent one). An answer to
 * HEAD keeps its Content-Length. */
void forward_response(struct outbuf *out, const struct forward_response *what);

#endif
