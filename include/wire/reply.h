/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply: the bytes that this program itself says to a client.
 */
#ifndef WIRE_REPLY_H
#define WIRE_REPLY_H

#include "base/outbuf.h"
#include "wire/reason.h"
#include "wire/target.h"

#define REPLY_MAX       4096
#define REQUEST_ID_TEXT 32 /* lower-case hexadecimal digits */

/* What a refused client is told. Nothing here names a file, a line, an internal address or an errno. */
struct refusal {
    enum reason reason;
    uint8_t minor;               /* HTTP/1.minor of the request; the answer is HTTP/1.1 in any case */
    bool head_only;              /* the request was HEAD: no body is sent, its length is */
    const struct target *target; /* NULL if there is none */
    struct span environment;     /* empty if unknown */
    struct span rule;            /* id of the rule, empty if none */
    struct span request_id;      /* REQUEST_ID_TEXT digits */
    struct span hint;            /* whom to ask; empty: a general sentence */
    uint32_t retry_after_s;      /* 0: no Retry-After */
    struct span allow;           /* for 405: value of Allow; empty: none */
};

/*
 * Status line whose reason phrase (at most 120 printable ASCII bytes) says the sentence, the host (cut in its middle
 * when long) and the request id; Proxy-Status (RFC 9209); Content-Type: application/json, Content-Length,
 * Cache-Control: no-store, Connection: close; and the JSON body with error, reason, host, port, environment, rule,
 * request_id, hint, retry (all of them always, null where there is nothing to say). `reason` must have an HTTP status
 * of a refusal. Fits REPLY_MAX for any input.
 */
void reply_refusal(struct outbuf *out, const struct refusal *refusal);

/* "HTTP/1.1 200 Connection established" with neither Content-Length nor Transfer-Encoding (RFC 9110 9.3.6). */
void reply_established(struct outbuf *out);

/* A complete answer of ours in origin form: status, content type and body, Connection: close. */
void reply_page(struct outbuf *out, uint16_t status, const char *content_type, struct span body, bool head_only);

/* A fatal TLS alert record (RFC 8446 6), 7 bytes. */
void reply_alert(struct outbuf *out, uint8_t alert);

#endif
