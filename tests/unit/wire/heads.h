/* SPDX-License-Identifier: Apache-2.0 */
/* heads: requests and responses of the tests of forwarding, which must all parse. After cmocka.h. */
#ifndef TEST_WIRE_HEADS_H
#define TEST_WIRE_HEADS_H

#include "wire/forward.h"

#define ID          "0123456789abcdef"
#define GET(fields) "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n" fields "\r\n"

static const struct request_limits head_limits = {.head_bytes = 65536, .target_bytes = 8192, .header_lines = 100};

static inline void parse_request(const char *raw, struct request *out)
{
    struct request_parser parser = {0};
    enum reason reason = REASON_NONE;
    if (request_feed(&parser, span_text(raw), &head_limits, out, &reason) != FEED_DONE)
        fail_msg("no head (%s): %s", reason_row(reason)->name, raw);
}

static inline void parse_response(const char *raw, struct response *out)
{
    struct response_parser parser = {0};
    if (response_feed(&parser, span_text(raw), &head_limits, out) != FEED_DONE)
        fail_msg("no head: %s", raw);
}

#endif
