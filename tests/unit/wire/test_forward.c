/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heads.h"

#define VIA          "Via: 1.1 sallyport-" ID "\r\n"
#define SENT(fields) "GET / HTTP/1.1\r\nHost: allowed.test\r\n" fields VIA "\r\n"

enum pass { PASS_PLAIN, PASS_WEBSOCKET, PASS_EXPECT };

struct request_row {
    const char *id;
    const char *raw;
    const char *sent;
    enum pass pass;
};

/* clang-format off */
static const struct request_row requests[] = {
    {"plain", GET(""), SENT(""), PASS_PLAIN},
    {"fields in order, as received", GET("x-B:  1\r\nX-A: \t2 \r\nx-b:3\r\nEmpty:\r\n"),
     SENT("x-B: 1\r\nX-A: 2\r\nx-b: 3\r\nEmpty: \r\n"), PASS_PLAIN},
    {"obs-text", GET("X: \xe9\r\n"), SENT("X: \xe9\r\n"), PASS_PLAIN},
    {"path and query", "GET http://allowed.test/a//b?c=d&e HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
     "GET /a//b?c=d&e HTTP/1.1\r\nHost: allowed.test\r\n" VIA "\r\n", PASS_PLAIN},
    {"no path", "GET http://allowed.test HTTP/1.1\r\nHost: allowed.test\r\n\r\n", SENT(""), PASS_PLAIN},
    {"H-13 query without a path", "GET http://allowed.test?x=http://denied.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
     "GET /?x=http://denied.test/ HTTP/1.1\r\nHost: allowed.test\r\n" VIA "\r\n", PASS_PLAIN},
    {"H-35 canonical Host", "GET http://ALLOWED.Test.:80/ HTTP/1.1\r\nhOST: Allowed.test.\r\n\r\n", SENT(""), PASS_PLAIN},
    {"other port", "GET http://allowed.test:8080/ HTTP/1.1\r\nHost: allowed.test:8080\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: allowed.test:8080\r\n" VIA "\r\n", PASS_PLAIN},
    {"port that begins with 80", "GET http://allowed.test:800/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: allowed.test:800\r\n" VIA "\r\n", PASS_PLAIN},
    {"IPv6", "GET http://[2001:db8::1]/ HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n" VIA "\r\n", PASS_PLAIN},
    {"IPv6 and port", "GET http://[2001:db8::80]:81/ HTTP/1.1\r\nHost: [2001:db8::80]:81\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: [2001:db8::80]:81\r\n" VIA "\r\n", PASS_PLAIN},
    {"S-17 1.0 without Host", "GET http://allowed.test/ HTTP/1.0\r\nA: b\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: allowed.test\r\nA: b\r\nVia: 1.0 sallyport-" ID "\r\n\r\n", PASS_PLAIN},
    {"length", "POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\ncontent-length: 5\r\nA: b\r\n\r\n",
     "POST / HTTP/1.1\r\nHost: allowed.test\r\nA: b\r\nContent-Length: 5\r\n" VIA "\r\n", PASS_PLAIN},
    {"length 0", "POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 0\r\n\r\n",
     "POST / HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 0\r\n" VIA "\r\n", PASS_PLAIN},
    {"chunked", "POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nTRANSFER-ENCODING:CHUNKED\r\n\r\n",
     "POST / HTTP/1.1\r\nHost: allowed.test\r\nTransfer-Encoding: chunked\r\n" VIA "\r\n", PASS_PLAIN},
    {"S-15", "DELETE http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 5\r\n\r\n",
     "DELETE / HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 5\r\n" VIA "\r\n", PASS_PLAIN},
    {"S-15 GET", GET("Content-Length: 5\r\n"), SENT("Content-Length: 5\r\n"), PASS_PLAIN},
    {"S-30 unknown method as received", "pAtCh http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
     "pAtCh / HTTP/1.1\r\nHost: allowed.test\r\n" VIA "\r\n", PASS_PLAIN},
    {"S-28", GET("Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\nProxy-Authenticate: x\r\nKeep-Alive: 5\r\n"
                 "TE: trailers\r\nTrailer: X\r\nProxy-Authentication-Info: x\r\n"), SENT(""), PASS_PLAIN},
    {"S-28 in any case, twice", GET("PROXY-AUTHORIZATION: x\r\nproxy-authorization: y\r\nkeep-alive: 5\r\nte: x\r\nTe: y\r\n"), SENT(""), PASS_PLAIN},
    {"S-14", GET("Proxy_Authorization: x\r\nProxy.Authorization: x\r\n-Proxy-Authorization: x\r\nConnection_: close\r\n"
                 "Keep_Alive: 5\r\nT.E: x\r\nTE.: trailers\r\nHTTP2_Settings: x\r\n.Upgrade_: h2c\r\nX_Y: z\r\n"),
     SENT("T.E: x\r\nX_Y: z\r\n"), PASS_PLAIN},
    {"Connection nominates", GET("Connection: X-A , close,x-b\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\nx-a: 4\r\n"),
     SENT("X-C: 3\r\n"), PASS_PLAIN},
    {"several Connections", GET("A: 1\r\nConnection: a\r\nB: 2\r\nconnection: ,, b\r\nC: 3\r\n"), SENT("C: 3\r\n"), PASS_PLAIN},
    {"nominated look-alike", GET("Connection: X-A\r\nX_A: 1\r\nx.a: 2\r\nXA: 3\r\n"), SENT("XA: 3\r\n"), PASS_PLAIN},
    {"empty options nominate nothing", GET("Connection: ,, \r\n.: 1\r\n"), SENT(".: 1\r\n"), PASS_PLAIN},
    {"nomination of what is ours", GET("Connection: host, content-length, via\r\nContent-Length: 5\r\n"), SENT("Content-Length: 5\r\n"), PASS_PLAIN},
    {"S-24", GET("Upgrade: foo\r\nConnection: upgrade\r\nA: b\r\n"), SENT("A: b\r\n"), PASS_PLAIN},
    {"S-24 websocket that is not passed", GET("Upgrade: websocket\r\nConnection: upgrade\r\n"), SENT(""), PASS_PLAIN},
    {"S-24 websocket", GET("Upgrade: WebSocket, foo\r\nConnection: Upgrade, X\r\nSec-WebSocket-Key: k\r\nX: y\r\n"),
     SENT("Sec-WebSocket-Key: k\r\n") "", PASS_WEBSOCKET},
    {"S-25", GET("Upgrade: h2c\r\nHTTP2-Settings: AAA\r\nConnection: Upgrade, HTTP2-Settings\r\n"), SENT(""), PASS_PLAIN},
    {"S-25 split", GET("Upgrade: h2c\r\nUpgrade: websocket\r\nHTTP2-Settings: AAA\r\nConnection: Upgrade\r\nConnection: HTTP2-Settings\r\n"), SENT(""), PASS_PLAIN},
    {"H-32", GET("X-Forwarded-Host: denied.test\r\nForwarded: for=1\r\nX_Forwarded_For: 2\r\nX-REAL-ip: 3\r\nx-forwarded-: 4\r\n"
                 "X-Forwarded: 5\r\nX-Forwardedness: 6\r\nX-Original-URL: /7\r\n"),
     SENT("X-Forwardedness: 6\r\nX-Original-URL: /7\r\n"), PASS_PLAIN},
    {"Via in its order, ours behind", GET("Via: 1.0 a\r\nA: b\r\nvia: 1.1 c (d)\r\n"), SENT("Via: 1.0 a\r\nA: b\r\nvia: 1.1 c (d)\r\n"), PASS_PLAIN},
    {"S-23 Expect dropped", GET("Expect: 100-continue\r\nContent-Length: 5\r\n"), SENT("Content-Length: 5\r\n"), PASS_PLAIN},
    {"S-23 Expect passed", GET("Expect: 100-Continue\r\nContent-Length: 5\r\n"),
     SENT("Content-Length: 5\r\nExpect: 100-continue\r\n"), PASS_EXPECT},
    {"S-23 no content", GET("Expect: 100-continue\r\n"), SENT(""), PASS_EXPECT},
    {"OPTIONS of the server", "OPTIONS http://allowed.test HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
     "OPTIONS * HTTP/1.1\r\nHost: allowed.test\r\n" VIA "\r\n", PASS_PLAIN},
    {"OPTIONS of a path", "OPTIONS http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
     "OPTIONS / HTTP/1.1\r\nHost: allowed.test\r\n" VIA "\r\n", PASS_PLAIN},
    {"OPTIONS of a query", "OPTIONS http://allowed.test?a HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
     "OPTIONS /?a HTTP/1.1\r\nHost: allowed.test\r\n" VIA "\r\n", PASS_PLAIN},
    {"Max-Forwards", "OPTIONS http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nMax-Forwards: 10\r\nMax-Forwards: x\r\n\r\n",
     "OPTIONS / HTTP/1.1\r\nHost: allowed.test\r\nMax-Forwards: 9\r\n" VIA "\r\n", PASS_PLAIN},
    {"Max-Forwards of GET", GET("Max-Forwards: 10\r\n"), SENT("Max-Forwards: 10\r\n"), PASS_PLAIN},
};
/* clang-format on */

static void sends_requests(void **state)
{
    (void)state;
    static char text[70000];
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        const struct request_row *row = &requests[i];
        struct request request;
        struct body body;
        parse_request(row->raw, &request);
        assert_int_equal(body_of_request(&request, &body), REASON_NONE);
        struct forward_request what = {.request = &request,
                                       .body = &body,
                                       .via_id = span_text(ID),
                                       .websocket = row->pass == PASS_WEBSOCKET,
                                       .expect = row->pass == PASS_EXPECT};
        struct outbuf out = outbuf_make(text, strlen(row->raw) + FORWARD_EXTRA_MAX);
        forward_request(&out, &what);
        assert_false(out.overflow);
        char want[1024];
        size_t len = strlen(row->sent);
        memcpy(want, row->sent, len + 1);
        if (what.websocket) /* stands behind all the rest */
            memcpy(want + len - 2, "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                   sizeof "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        if (row->pass == PASS_EXPECT && body.kind == BODY_NONE)
            assert_int_equal(span_find(outbuf_written(&out), 'x'), out.len);
        if (!span_is(outbuf_written(&out), want))
            fail_msg("%s:\n%.*swant:\n%s", row->id, (int)out.len, text, want);
    }
}

struct response_row {
    const char *id;
    const char *raw;
    enum method method;
    uint8_t client_minor;
    enum { CLOSE, KEEP } keep;
    const char *sent;
};

#define TOLD(fields) "HTTP/1.1 200 OK\r\n" fields VIA "\r\n"

/* clang-format off */
static const struct response_row responses[] = {
    {"length", "HTTP/1.1 200 OK\r\nDate: d\r\ncontent-length: 5\r\nServer: s\r\n\r\n", METHOD_GET, 1, KEEP,
     TOLD("Date: d\r\nServer: s\r\nContent-Length: 5\r\n")},
    {"closed", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: d\r\n\r\n", METHOD_GET, 1, CLOSE,
     TOLD("Date: d\r\nContent-Length: 0\r\nConnection: close\r\n")},
    {"no Date", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", METHOD_GET, 1, KEEP,
     TOLD("Content-Length: 0\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n")},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nDate: d\r\nTrailer: X\r\n\r\n", METHOD_GET, 1, KEEP,
     TOLD("Date: d\r\nTransfer-Encoding: chunked\r\n")},
    {"chunked for 1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: d\r\n\r\n", METHOD_GET, 0, CLOSE,
     TOLD("Date: d\r\nConnection: close\r\n")},
    {"until close wins", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: d\r\n\r\n", METHOD_GET, 0, KEEP,
     TOLD("Date: d\r\nConnection: close\r\n")},
    {"until close of 1.0", "HTTP/1.0 200 OK\r\nDate: d\r\n\r\n", METHOD_GET, 1, KEEP,
     "HTTP/1.1 200 OK\r\nDate: d\r\nConnection: close\r\nVia: 1.0 sallyport-" ID "\r\n\r\n"},
    {"HEAD keeps the length", "HTTP/1.1 200 OK\r\nContent-Length: 77\r\nDate: d\r\n\r\n", METHOD_HEAD, 1, KEEP,
     TOLD("Date: d\r\nContent-Length: 77\r\n")},
    {"HEAD of chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nDate: d\r\n\r\n", METHOD_HEAD, 1, KEEP, TOLD("Date: d\r\n")},
    {"204", "HTTP/1.1 204 \r\nContent-Length: 5\r\nDate: d\r\n\r\n", METHOD_GET, 1, KEEP, "HTTP/1.1 204 \r\nDate: d\r\n" VIA "\r\n"},
    {"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: e\r\nDate: d\r\n\r\n", METHOD_GET, 1, KEEP,
     "HTTP/1.1 304 Not Modified\r\nETag: e\r\nDate: d\r\n" VIA "\r\n"},
    {"100", "HTTP/1.1 100 Continue\r\n\r\n", METHOD_POST, 1, CLOSE, "HTTP/1.1 100 Continue\r\n" VIA "\r\n"},
    {"103", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", METHOD_GET, 1, KEEP,
     "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n" VIA "\r\n"},
    {"101", "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\n", METHOD_GET, 1, KEEP,
     "HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: a\r\n" VIA "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
    {"phrase in another script", "HTTP/1.1 404 \xd0\xbd\xd0\xb5\xd1\x82\r\nContent-Length: 1\r\nDate: d\r\n\r\n", METHOD_GET, 1, KEEP,
     "HTTP/1.1 404 \r\nDate: d\r\nContent-Length: 1\r\n" VIA "\r\n"},
    {"phrase with a tab", "HTTP/1.1 404 a\tb\r\nContent-Length: 1\r\nDate: d\r\n\r\n", METHOD_GET, 1, KEEP,
     "HTTP/1.1 404 \r\nDate: d\r\nContent-Length: 1\r\n" VIA "\r\n"},
    {"hop by hop", "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nproxy_connection: x\r\nKeep-Alive: 5\r\n"
     "Connection: keep-alive, x-a\r\nX-A: b\r\nUpgrade: h2c\r\nContent-Length: 0\r\nDate: d\r\nX-Forwarded-For: e\r\nVia: 1.1 f\r\n\r\n",
     METHOD_GET, 1, KEEP, "HTTP/1.1 407 x\r\nDate: d\r\nX-Forwarded-For: e\r\nVia: 1.1 f\r\nContent-Length: 0\r\n" VIA "\r\n"},
};
/* clang-format on */

static void sends_responses(void **state)
{
    (void)state;
    static char text[70000];
    for (size_t i = 0; i < sizeof responses / sizeof responses[0]; i++) {
        const struct response_row *row = &responses[i];
        struct response response;
        struct body body;
        parse_response(row->raw, &response);
        assert_true(body_of_response(&response, row->method, &body));
        struct forward_response what = {.response = &response,
                                        .body = &body,
                                        .send_as = forward_send_as(&body, row->client_minor),
                                        .via_id = span_text(ID),
                                        .keep_alive = row->keep == KEEP,
                                        .websocket = response.status == 101,
                                        .date = span_text("Sun, 06 Nov 1994 08:49:37 GMT")};
        struct outbuf out = outbuf_make(text, strlen(row->raw) + FORWARD_EXTRA_MAX);
        forward_response(&out, &what);
        assert_false(out.overflow);
        if (!span_is(outbuf_written(&out), row->sent))
            fail_msg("%s:\n%.*swant:\n%s", row->id, (int)out.len, text, row->sent);
    }
}

/* The length is that of the message, however much of it went through before the head was made. */
static void length_of_a_body_under_way(void **state)
{
    (void)state;
    char text[2048];
    struct request request;
    struct body body;
    size_t used;
    struct span payload;
    bool too_big;
    parse_request(GET("Content-Length: 5\r\n"), &request);
    assert_int_equal(body_of_request(&request, &body), REASON_NONE);
    assert_int_equal(body_feed(&body, span_text("hel"), &used, &payload, &too_big), FEED_MORE);
    struct outbuf out = outbuf_make(text, sizeof text);
    forward_request(&out, &(struct forward_request){.request = &request, .body = &body, .via_id = span_text(ID)});
    assert_true(span_is(outbuf_written(&out), SENT("Content-Length: 5\r\n")));
}

/* Head that does not fit says so at every size. */
static void overflow_is_told(void **state)
{
    (void)state;
    char text[2048];
    struct request request;
    struct body body;
    parse_request(GET("A: b\r\nContent-Length: 5\r\n"), &request);
    assert_int_equal(body_of_request(&request, &body), REASON_NONE);
    struct forward_request what = {.request = &request, .body = &body, .via_id = span_text(ID)};
    size_t whole = strlen(SENT("A: b\r\nContent-Length: 5\r\n"));
    for (size_t cap = 0; cap <= whole; cap++) {
        struct outbuf out = outbuf_make(text, cap);
        forward_request(&out, &what);
        assert_int_equal(out.overflow, cap < whole);
    }
}

/* Nothing grows by more than FORWARD_EXTRA_MAX: a hundred lines without a space, the longest name. */
static void growth_is_bounded(void **state)
{
    (void)state;
    static char raw[8192];
    static char text[8192 + FORWARD_EXTRA_MAX];
    struct outbuf in = outbuf_make(raw, sizeof raw - 1);
    outbuf_text(&in, "GET http://");
    for (size_t i = 0; i < 252; i++)
        outbuf_char(&in, i % 2 == 0 ? 'a' : '.');
    outbuf_text(&in, "a:65535?q HTTP/1.0\r\nContent-Length:9223372036854775807\r\n");
    for (size_t i = 0; i < 99; i++)
        outbuf_text(&in, "a:b\r\n");
    outbuf_text(&in, "\r\n");
    raw[in.len] = '\0';
    struct request request;
    struct body body;
    parse_request(raw, &request);
    assert_int_equal(body_of_request(&request, &body), REASON_NONE);
    struct outbuf out = outbuf_make(text, in.len + FORWARD_EXTRA_MAX);
    forward_request(
        &out, &(struct forward_request){.request = &request, .body = &body, .via_id = span_text(ID), .expect = true});
    assert_false(out.overflow);
    assert_int_equal(out.len, in.len - strlen("http://:65535") - 253 -
                                  strlen("Content-Length:9223372036854775807\r\n") + 1 + 99 + 253 +
                                  strlen("Host: :65535\r\n") +
                                  strlen("Content-Length: 9223372036854775807\r\nExpect: 100-continue\r\n" VIA));
}

/* A list of very many options, and as many names as a head may have, all of which they name or none. */
static void many_options(void **state)
{
    (void)state;
    static char raw[66000];
    static char text[67000];
    for (size_t named = 0; named < 2; named++) {
        struct outbuf in = outbuf_make(raw, sizeof raw - 1);
        outbuf_text(&in, "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n");
        for (size_t i = 0; i < 97; i++) {
            outbuf_text(&in, "n");
            outbuf_u64(&in, i);
            outbuf_text(&in, ": v\r\n");
        }
        outbuf_text(&in, "Connection: ");
        for (size_t i = 0; i < 9000; i++) {
            outbuf_text(&in, named == 1 ? "N" : "m");
            outbuf_u64(&in, i % 1000);
            outbuf_char(&in, ',');
        }
        outbuf_text(&in, "\r\n\r\n");
        raw[in.len] = '\0';
        struct request request;
        struct body body;
        parse_request(raw, &request);
        assert_int_equal(body_of_request(&request, &body), REASON_NONE);
        struct outbuf out = outbuf_make(text, sizeof text);
        forward_request(&out, &(struct forward_request){.request = &request, .body = &body, .via_id = span_text(ID)});
        size_t fields = 10 * strlen("n1: v\r\n") + 87 * strlen("n10: v\r\n");
        assert_int_equal(out.len, strlen(SENT("")) + (named == 1 ? 0 : fields));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_requests),
        cmocka_unit_test(sends_responses),
        cmocka_unit_test(length_of_a_body_under_way),
        cmocka_unit_test(overflow_is_told),
        cmocka_unit_test(growth_is_bounded),
        cmocka_unit_test(many_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
