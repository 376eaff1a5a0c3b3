/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body: where a message ends (RFC 9112 6 and 7). Framing is by Content-Length or by chunked alone, and every ambiguity
 * is an error, never a preference. The decoder streams: it holds no byte, and says of each piece what is payload.
 */
#ifndef WIRE_BODY_H
#define WIRE_BODY_H

#include "base/outbuf.h"
#include "wire/request.h"
#include "wire/response.h"

enum body_kind {
    BODY_NONE,
    BODY_LENGTH,
    BODY_CHUNKED,
    BODY_UNTIL_CLOSE, /* of a response alone */
};

#define BODY_TRAILER_LINES_MAX 100
#define BODY_TRAILER_BYTES_MAX 16384
#define BODY_CHUNK_LINE_MAX    256 /* size and extension of one chunk; extensions are dropped */
#define BODY_CHUNK_DIGITS_MAX  16
#define BODY_CHUNK_MAX         (UINT64_C(1) << 62) /* sums of sizes and lines stay far from where 64 bits wrap */
#define BODY_LENGTH_MAX        INT64_MAX

struct body {
    enum body_kind kind;
    uint64_t left;    /* of the length, or of the chunk under way */
    uint64_t payload; /* bytes given out so far */
    uint32_t line;    /* bytes of the chunk or trailer line under way */
    uint32_t trailer_bytes, trailer_lines;
    uint8_t state; /* the decoder's own */
};

/*
 * The framing of a request: REASON_NONE and *out, or
 * REASON_FRAMING: Content-Length and Transfer-Encoding together, two of either, a length that is not plain digits
 *   without leading zero within BODY_LENGTH_MAX, Transfer-Encoding in HTTP/1.0, an empty one or one that is no plain
 *   list of tokens, has "chunked" elsewhere than once at its end or has "identity", white space around either value but
 *   for one SP before it;
 * REASON_CODING: a well-formed list with other codings than "chunked";
 * REASON_EXPECTATION: Expect other than one 100-continue.
 */
enum reason body_of_request(const struct request *request, struct body *out);

/* The framing of a response to `method`: 1xx, 204, 304 and answers to HEAD have no body, whatever they say. False is
 * REASON_UPSTREAM: the same ambiguities, of these as well, and every coding other than "chunked". */
bool body_of_response(const struct response *response, enum method method, struct body *out);

/*
 * Takes from `in`: *out_used bytes are done with, of which *out_payload (borrowed, may be empty) is payload. FEED_MORE:
 * call again with the rest or with more; FEED_DONE: the message ended, `in` from *out_used on is not part of it (an
 * empty `in` asks just this); FEED_BAD: framing error (REASON_FRAMING of a client, REASON_UPSTREAM of an upstream; too
 * many trailers: *out_too_big, REASON_HEAD of a client), and the same again if fed again. Each call looks at each byte
 * once and makes progress if `in` is not empty. Trailers are dropped.
 */
enum feed body_feed(struct body *body, struct span in, size_t *out_used, struct span *out_payload, bool *out_too_big);

/* True if the stream may end here without being cut short: kind UNTIL_CLOSE, or done. */
bool body_may_end(const struct body *body);

#define BODY_CHUNK_BEGIN_MAX  20
#define BODY_LAST_CHUNK_BYTES 5

/* Our own chunks: the line before `len` (not zero) bytes of payload, at most BODY_CHUNK_BEGIN_MAX bytes; the CRLF
 * behind them is the caller's body_chunk_end(); and the last chunk. */
void body_chunk_begin(struct outbuf *out, size_t len);
void body_chunk_end(struct outbuf *out);
void body_last_chunk(struct outbuf *out);

#endif
