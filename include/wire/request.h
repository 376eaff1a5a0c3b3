/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: one strict request head (RFC 9112), fed in any split.
 *
 * The caller keeps the bytes of the head in one buffer that grows; it gives the whole buffer so far each time, and the
 * parser looks at each byte once (its position is in struct request_parser). Facts are filled in when the head is
 * complete and borrow that buffer.
 *
 * Grammar: method SP target SP "HTTP/1." ("0" / "1") CRLF, then field lines that end in CRLF, then CRLF. At most two
 * empty lines before the request line are skipped. Bare CR or LF, NUL, other control bytes, folded lines, white space
 * around the colon's left side, and more than two SP in the request line are REASON_MALFORMED; inside the target, NUL
 * and control bytes other than CR and LF are REASON_TARGET. "HTTP/x" of another version, or GET without one
 * (HTTP/0.9), is REASON_VERSION; without one every other method is REASON_MALFORMED.
 */
#ifndef WIRE_REQUEST_H
#define WIRE_REQUEST_H

#include "wire/reason.h"
#include "wire/target.h"

#define REQUEST_HEADERS_MAX 100

#define METHOD_TABLE(X)                                                                                                \
    X(CONNECT) X(GET) X(HEAD) X(POST) X(PUT) X(PATCH) X(DELETE) X(OPTIONS) X(TRACE) X(TRACK) X(DEBUG)

enum method {
    METHOD_UNKNOWN,
#define X(name) METHOD_##name,
    METHOD_TABLE(X)
#undef X
};

enum request_form {
    FORM_NONE,
    FORM_AUTHORITY, /* CONNECT host:port */
    FORM_ABSOLUTE,  /* GET http://host/path */
    FORM_ORIGIN,    /* GET /path: asks this program itself */
};

struct header {
    struct span name;  /* as received */
    struct span value; /* without the white space around it */
};

/* Facts of one head. Spans borrow the caller's buffer. */
struct request {
    enum method method;
    struct span method_text;
    enum request_form form;
    uint8_t minor;          /* HTTP/1.minor */
    struct span raw_target; /* as received */
    struct target target;   /* canonical; kind NONE in origin form */
    struct span path;       /* absolute and origin form: path with query, "/" if both are empty; begins with '/',
                                * or with '?' when a query follows the authority at once: write '/' before it then */
    bool has_host;          /* a Host field was there */
    bool host_has_port;
    struct target host;  /* canonical, when has_host and not in origin form */
    bool framing_padded; /* around the value of a Content-Length or Transfer-Encoding stands more white space
                                * than one SP before it */
    size_t head_bytes;   /* of the buffer, with the empty line */
    size_t header_count;
    struct header headers[REQUEST_HEADERS_MAX];
};

struct request_limits {
    uint32_t head_bytes;   /* the whole head: above it REASON_HEAD */
    uint32_t target_bytes; /* the raw target: above it REASON_URI */
    uint32_t header_lines; /* at most REQUEST_HEADERS_MAX: above it REASON_HEAD */
};

struct request_parser {
    uint32_t scanned;      /* bytes already looked at */
    uint32_t line_start;   /* where the line under way begins */
    uint32_t target_start; /* where the request target begins, once it does */
    uint16_t lines;        /* field lines so far */
    uint8_t empty_lines;   /* before the request line */
    uint8_t phase;         /* the parser's own */
    bool after_cr;         /* LF must come next */
    bool have_request_line;
};

enum feed { FEED_MORE, FEED_DONE, FEED_BAD };

/*
 * FEED_MORE: wants more bytes. FEED_DONE: *out is filled. FEED_BAD: *out_reason says why, and as much of *out as was
 * understood (raw_target, method_text, version, target) is filled for the record, the rest is zero. A fresh parser is
 * zeroed; one that gave FEED_DONE or FEED_BAD is not fed again.
 *
 * Checked here, so that no caller can forget it: the form fits the method; the target is canonical (else
 * REASON_TARGET); exactly one Host in HTTP/1.1 and at most one in 1.0 (else REASON_MALFORMED), whose name equals the
 * target's and whose port, if it has one, equals the target's (else REASON_MISMATCH); a field whose name with '_' or
 * '.' read as '-', and with none of these at its ends, equals content-length, transfer-encoding or host but is not
 * spelled so is REASON_MALFORMED. CONNECT with Content-Length or Transfer-Encoding is REASON_MALFORMED (RFC 9110 9.3.6
 * gives its content no meaning). Unknown methods are parsed (METHOD_UNKNOWN); policy refuses them.
 */
enum feed request_feed(struct request_parser *parser, struct span so_far, const struct request_limits *limits,
                       struct request *out, enum reason *out_reason);

/* The first field of that name (any case), or NULL. */
const struct header *request_header(const struct request *request, const char *name);

#endif
