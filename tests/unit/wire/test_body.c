/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/body.h"

#define POST(fields)    "POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n" fields "\r\n"
#define POST_10(fields) "POST http://allowed.test/ HTTP/1.0\r\n" fields "\r\n"
#define TE(value)       POST("Transfer-Encoding: " value "\r\n")
#define CL(value)       POST("Content-Length: " value "\r\n")

static const struct request_limits limits = {.head_bytes = 65536, .target_bytes = 8192, .header_lines = 100};

struct framing_row {
    const char *id;
    const char *raw;
    enum reason reason;
    enum body_kind kind;
    uint64_t length;
};

#define FRAMING REASON_FRAMING, BODY_NONE, 0
#define CODING  REASON_CODING, BODY_NONE, 0

/* clang-format off */
static const struct framing_row requests[] = {
    {"none", POST(""), REASON_NONE, BODY_NONE, 0},
    {"length", CL("5"), REASON_NONE, BODY_LENGTH, 5},
    {"length 0", CL("0"), REASON_NONE, BODY_LENGTH, 0},
    {"length without a space", POST("content-length:17\r\n"), REASON_NONE, BODY_LENGTH, 17},
    {"greatest length", CL("9223372036854775807"), REASON_NONE, BODY_LENGTH, INT64_MAX},
    {"chunked", TE("chunked"), REASON_NONE, BODY_CHUNKED, 0},
    {"chunked in any case", POST("transfer-ENCODING: ChunKed\r\n"), REASON_NONE, BODY_CHUNKED, 0},
    {"length in 1.0", POST_10("Content-Length: 3\r\n"), REASON_NONE, BODY_LENGTH, 3},
    {"S-01", POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), FRAMING},
    {"S-01 other order", POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), FRAMING},
    {"S-01 zero", POST("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), FRAMING},
    {"S-01 other coding", POST("Transfer-Encoding: gzip\r\nContent-Length: 5\r\n"), FRAMING},
    {"two lengths", POST("Content-Length: 5\r\nContent-Length: 6\r\n"), FRAMING},
    {"two equal lengths", POST("Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n"), FRAMING},
    {"two lengths in one", CL("5, 5"), FRAMING},
    {"S-03 +5", CL("+5"), FRAMING},
    {"S-03 -0", CL("-0"), FRAMING},
    {"S-03 0x5", CL("0x5"), FRAMING},
    {"S-03 space behind", CL("5 "), FRAMING},
    {"S-03 tab behind", CL("5\t"), FRAMING},
    {"S-03 tab before", POST("Content-Length:\t5\r\n"), FRAMING},
    {"S-03 two spaces before", CL(" 5"), FRAMING},
    {"S-03 inner space", CL("1 0"), FRAMING},
    {"S-03 empty", CL(""), FRAMING},
    {"S-03 nothing", POST("Content-Length:\r\n"), FRAMING},
    {"S-03 1_0", CL("1_0"), FRAMING},
    {"S-03 5.0", CL("5.0"), FRAMING},
    {"S-03 2^64+5", CL("18446744073709551621"), FRAMING},
    {"S-03 2^63", CL("9223372036854775808"), FRAMING},
    {"S-03 05", CL("05"), FRAMING},
    {"S-03 00", CL("00"), FRAMING},
    {"S-03 letter", CL("5a"), FRAMING},
    {"S-03 quoted", CL("\"5\""), FRAMING},
    {"S-03 Arabic digit", CL("\xd9\xa5"), FRAMING},
    {"S-05", TE("chunked, chunked"), FRAMING},
    {"S-05", TE("chunked,"), FRAMING},
    {"S-05", TE(",chunked"), FRAMING},
    {"S-05", TE(","), FRAMING},
    {"S-05", TE("chunked, gzip"), FRAMING},
    {"S-05", TE("gzip, chunked"), CODING},
    {"S-05", TE("gzip"), CODING},
    {"S-05", TE("gzip,deflate ,  chunked"), CODING},
    {"S-05", TE("gzip,, chunked"), FRAMING},
    {"S-05", TE("gzip, chunked, chunked"), FRAMING},
    {"S-05", TE("identity"), FRAMING},
    {"S-05", TE("identity, chunked"), FRAMING},
    {"S-05", TE("gzip, Identity"), FRAMING},
    {"S-05", TE("xchunked"), CODING},
    {"S-05", TE("chunkedx"), CODING},
    {"S-05", TE("chunked;q=1"), FRAMING},
    {"S-05", TE("gzip;q=1"), FRAMING},
    {"S-05", TE("\"chunked\""), FRAMING},
    {"S-05", TE("chunked chunked"), FRAMING},
    {"S-05", TE("'chunked'"), CODING}, /* a token, strange as it is */
    {"S-05", TE(""), FRAMING},
    {"S-06 trailing tab", TE("chunked\t"), FRAMING},
    {"S-06 trailing space", TE("chunked "), FRAMING},
    {"S-06 tab before", POST("Transfer-Encoding:\tchunked\r\n"), FRAMING},
    {"S-06 0xa0 before", TE("\xa0" "chunked"), FRAMING},
    {"S-06 0xa0 behind", TE("chunked\xa0"), FRAMING},
    {"S-06 two", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), FRAMING},
    {"S-06 two", POST("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), FRAMING},
    {"S-06 two", POST("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), FRAMING},
    {"S-07", POST_10("Transfer-Encoding: chunked\r\n"), FRAMING},
    {"S-07", POST_10("Transfer-Encoding: gzip\r\n"), FRAMING},
    {"S-15 GET", "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 5\r\n\r\n", REASON_NONE, BODY_LENGTH, 5},
    {"S-15 HEAD", "HEAD http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 5\r\n\r\n", REASON_NONE, BODY_LENGTH, 5},
    {"S-15 DELETE", "DELETE http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n", REASON_NONE, BODY_CHUNKED, 0},
    {"S-15 OPTIONS", "OPTIONS http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n\r\n", REASON_NONE, BODY_CHUNKED, 0},
    {"S-23", POST("Content-Length: 5\r\nExpect: 100-Continue\r\n"), REASON_NONE, BODY_LENGTH, 5},
    {"S-23 nonsense", POST("Content-Length: 5\r\nExpect: nonsense\r\n"), REASON_EXPECTATION, BODY_NONE, 0},
    {"S-23 empty", POST("Expect:\r\n"), REASON_EXPECTATION, BODY_NONE, 0},
    {"S-23 two", POST("Expect: 100-continue\r\nExpect: nonsense\r\n"), REASON_EXPECTATION, BODY_NONE, 0},
    {"S-23 list", POST("Expect: 100-continue, x\r\n"), REASON_EXPECTATION, BODY_NONE, 0},
    {"framing before expectation", POST("Content-Length: x\r\nExpect: nonsense\r\n"), FRAMING},
};

struct response_row {
    const char *id;
    const char *raw;
    enum method method;
    bool good;
    enum body_kind kind;
    uint64_t length;
};

static const struct response_row responses[] = {
    {"until close", "HTTP/1.1 200 OK\r\n\r\n", METHOD_GET, true, BODY_UNTIL_CLOSE, 0},
    {"length", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", METHOD_GET, true, BODY_LENGTH, 7},
    {"padded length", "HTTP/1.1 200 OK\r\nContent-Length:   7 \r\n\r\n", METHOD_GET, true, BODY_LENGTH, 7},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", METHOD_POST, true, BODY_CHUNKED, 0},
    {"1.0", "HTTP/1.0 200 OK\r\n\r\n", METHOD_GET, true, BODY_UNTIL_CLOSE, 0},
    {"error page", "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", METHOD_GET, true, BODY_LENGTH, 0},
    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", METHOD_HEAD, true, BODY_NONE, 0},
    {"HEAD chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_HEAD, true, BODY_NONE, 0},
    {"HEAD bare", "HTTP/1.1 200 OK\r\n\r\n", METHOD_HEAD, true, BODY_NONE, 0},
    {"100", "HTTP/1.1 100 Continue\r\n\r\n", METHOD_POST, true, BODY_NONE, 0},
    {"101", "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", METHOD_GET, true, BODY_NONE, 0},
    {"199", "HTTP/1.1 199 x\r\nContent-Length: 7\r\n\r\n", METHOD_GET, true, BODY_NONE, 0},
    {"204", "HTTP/1.1 204 x\r\nContent-Length: 7\r\n\r\n", METHOD_GET, true, BODY_NONE, 0},
    {"304", "HTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n", METHOD_GET, true, BODY_NONE, 0},
    {"205", "HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n", METHOD_GET, true, BODY_LENGTH, 0},
    {"both", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
    {"both to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_HEAD, false, BODY_NONE, 0},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
    {"list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
    {"bad length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
    {"2^63", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
    {"chunked in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
    {"other coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
    {"identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
    {"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, false, BODY_NONE, 0},
};
/* clang-format on */

static void framing_of_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        const struct framing_row *row = &requests[i];
        struct request_parser parser = {0};
        struct request request;
        enum reason reason = REASON_NONE;
        struct body body;
        memset(&body, 0xee, sizeof body);
        if (request_feed(&parser, span_text(row->raw), &limits, &request, &reason) != FEED_DONE)
            fail_msg("%s: row %zu is no head", row->id, i);
        reason = body_of_request(&request, &body);
        if (reason != row->reason)
            fail_msg("%s, row %zu: reason %d, want %d", row->id, i, reason, row->reason);
        if (reason != REASON_NONE)
            continue;
        assert_int_equal(body.kind, row->kind);
        assert_int_equal(body.left, row->length);
        assert_int_equal(body.payload, 0);
        assert_int_equal(body_may_end(&body), row->kind == BODY_NONE || (row->kind == BODY_LENGTH && row->length == 0));
    }
}

/* S-03: 400 digits. */
static void a_very_long_length(void **state)
{
    (void)state;
    char raw[600] = "POST http://allowed.test/ HTTP/1.0\r\nContent-Length: ";
    size_t at = strlen(raw);
    memset(raw + at, '1', 400);
    memcpy(raw + at + 400, "\r\n\r\n", 5);
    struct request_parser parser = {0};
    struct request request;
    enum reason reason;
    struct body body;
    assert_int_equal(request_feed(&parser, span_text(raw), &limits, &request, &reason), FEED_DONE);
    assert_int_equal(body_of_request(&request, &body), REASON_FRAMING);
}

static void framing_of_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof responses / sizeof responses[0]; i++) {
        const struct response_row *row = &responses[i];
        struct response_parser parser = {0};
        struct response response;
        struct body body = {.kind = BODY_NONE};
        assert_int_equal(response_feed(&parser, span_text(row->raw), &limits, &response), FEED_DONE);
        if (body_of_response(&response, row->method, &body) != row->good)
            fail_msg("%s, row %zu: want %d", row->id, i, row->good);
        if (body.kind != row->kind || body.left != row->length)
            fail_msg("%s, row %zu: kind %d, length %d", row->id, i, body.kind, (int)body.left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing_of_requests),
        cmocka_unit_test(a_very_long_length),
        cmocka_unit_test(framing_of_responses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
