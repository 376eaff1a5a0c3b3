/* SPDX-License-Identifier: Apache-2.0 */
/*
 * response: one strict response head (RFC 9112 4) of an upstream, fed in any split like a request head
 * (wire/request.h): the caller gives the whole buffer so far, each byte is looked at once.
 *
 * Grammar: "HTTP/1." ("0" / "1") SP 3DIGIT SP reason-phrase CRLF, field lines, CRLF. The same refusals as in a request
 * head: bare CR or LF, NUL and other control bytes, folded lines, white space before a colon, look-alikes of framing
 * fields. Whatever is wrong is REASON_UPSTREAM.
 */
#ifndef WIRE_RESPONSE_H
#define WIRE_RESPONSE_H

#include "wire/request.h"

struct response {
    uint8_t minor;
    uint16_t status;    /* 100 to 599 */
    struct span phrase; /* may be empty */
    size_t head_bytes;
    size_t header_count;
    struct header headers[REQUEST_HEADERS_MAX];
};

struct response_parser {
    uint32_t scanned, line_start;
    uint16_t lines;
    bool have_status_line;
};

/* FEED_BAD is always REASON_UPSTREAM. Limits: head_bytes and header_lines of `limits`. A fresh parser is zeroed. */
enum feed response_feed(struct response_parser *parser, struct span so_far, const struct request_limits *limits,
                        struct response *out);

/* The first field of that name (any case), or NULL. */
const struct header *response_header(const struct response *response, const char *name);

#endif
