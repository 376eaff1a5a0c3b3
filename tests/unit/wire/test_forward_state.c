/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heads.h"

struct flag_row {
    const char *id;
    const char *raw;
    bool want;
};

/* clang-format off */
static const struct flag_row loops[] = {
    {"none", GET(""), false},
    {"others", GET("Via: 1.1 a, 1.0 b (c)\r\nMax-Forwards: 10\r\n"), false},
    {"S-29", GET("Via: 1.1 sallyport-" ID "\r\n"), true},
    {"S-29 between", GET("A: b\r\nVia: 1.1 x,1.1 sallyport-" ID ",1.0 y\r\n"), true},
    {"S-29 second line, any case", GET("Via: 1.1 x\r\nvIA: HTTP/1.1 SallyPort-0123456789ABCDEF (c)\r\n"), true},
    {"S-29 nominated", GET("Connection: via\r\nVia: 1.1 sallyport-" ID "\r\n"), true},
    {"another's id", GET("Via: 1.1 sallyport-1123456789abcdef\r\n"), false},
    {"longer id", GET("Via: 1.1 sallyport-" ID "0\r\n"), false},
    {"longer name", GET("Via: 1.1 xsallyport-" ID "\r\n"), false},
    {"another field", GET("X-Via: 1.1 sallyport-" ID "\r\n"), false},
    {"S-29 Max-Forwards", GET("Max-Forwards: 0\r\n"), true},
    {"S-29 Max-Forwards", GET("Max-Forwards: 00\r\n"), true},
    {"S-29 second Max-Forwards", GET("Max-Forwards: 5\r\nmax-forwards: 0\r\n"), true},
    {"Max-Forwards is no number", GET("Max-Forwards:\r\n"), false},
};

#define WS "Sec-WebSocket-Key: k\r\n"
static const struct flag_row websockets[] = {
    {"plain", GET("Upgrade: websocket\r\nConnection: upgrade\r\n" WS), true},
    {"in any case, among others", GET("Upgrade: foo , WebSocket\r\nConnection: keep-alive, Upgrade\r\n" WS), true},
    {"no Connection", GET("Upgrade: websocket\r\n" WS), false},
    {"another Connection", GET("Upgrade: websocket\r\nConnection: close\r\n" WS), false},
    {"no Upgrade", GET("Connection: upgrade\r\n" WS), false},
    {"no key", GET("Upgrade: websocket\r\nConnection: upgrade\r\n"), false},
    {"empty key", GET("Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key:\r\n"), false},
    {"two keys", GET("Upgrade: websocket\r\nConnection: upgrade\r\n" WS WS), false},
    {"S-24", GET("Upgrade: foo\r\nConnection: upgrade\r\n" WS), false},
    {"S-25", GET("Upgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: x\r\n" WS), false},
    {"version", GET("Upgrade: websocket/13\r\nConnection: upgrade\r\n" WS), false},
    {"longer", GET("Upgrade: websockets\r\nConnection: upgrade\r\n" WS), false},
    {"look-alike", GET("Upgrade_: websocket\r\nConnection: upgrade\r\n" WS), false},
    {"a body", GET("Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n" WS), false},
    {"chunks", GET("Upgrade: websocket\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n" WS), false},
    {"POST", "POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" WS "\r\n", false},
    {"1.0", "GET http://allowed.test/ HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" WS "\r\n", false},
};

static const struct flag_row kept[] = {
    {"1.1", GET(""), true},
    {"1.1 close", GET("Connection: close\r\n"), false},
    {"1.1 close among others", GET("Connection: x\r\nconnection: y ,CLOSE\r\n"), false},
    {"1.1 keep-alive", GET("Connection: keep-alive\r\n"), true},
    {"S-17 1.0", "GET http://allowed.test/ HTTP/1.0\r\n\r\n", false},
    {"S-17 1.0 keep-alive", "GET http://allowed.test/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
};

#define ACCEPT(fields) "HTTP/1.1 101 x\r\n" fields "\r\n"
static const struct flag_row accepted[] = {
    {"plain", ACCEPT("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n"), true},
    {"S-26 bare", ACCEPT(""), false},
    {"S-26 another", ACCEPT("Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n"), false},
    {"no Connection", ACCEPT("Upgrade: websocket\r\nSec-WebSocket-Accept: a\r\n"), false},
    {"no Accept", ACCEPT("Upgrade: websocket\r\nConnection: Upgrade\r\n"), false},
    {"S-24 200", "HTTP/1.1 200 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\n", false},
    {"1.0", "HTTP/1.0 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\n", false},
};

static const struct flag_row stays[] = {
    {"1.1", "HTTP/1.1 200 OK\r\n\r\n", true},
    {"1.1 close", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", false},
    {"1.0", "HTTP/1.0 200 OK\r\n\r\n", false},
    {"1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true},
    {"1.0 both", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false},
};
/* clang-format on */

#define CHECK_REQUESTS(rows, question)                                                                                 \
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows)[0]; i++) {                                                      \
        struct request request;                                                                                        \
        parse_request((rows)[i].raw, &request);                                                                        \
        if ((question) != (rows)[i].want)                                                                              \
            fail_msg(#question ", %s: want %d", (rows)[i].id, (rows)[i].want);                                         \
    }

#define CHECK_RESPONSES(rows, question)                                                                                \
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows)[0]; i++) {                                                      \
        struct response response;                                                                                      \
        parse_response((rows)[i].raw, &response);                                                                      \
        if ((question) != (rows)[i].want)                                                                              \
            fail_msg(#question ", %s: want %d", (rows)[i].id, (rows)[i].want);                                         \
    }

static void what_heads_say_of_the_connection(void **state)
{
    (void)state;
    CHECK_REQUESTS(loops, forward_loops(&request, span_text(ID)))
    CHECK_REQUESTS(websockets, forward_wants_websocket(&request))
    CHECK_REQUESTS(kept, forward_keeps_alive(&request))
    CHECK_RESPONSES(accepted, forward_accepts_websocket(&response))
    CHECK_RESPONSES(stays, forward_upstream_keeps_alive(&response))
}

/* S-29, 50 hops: 49 pass, in one line or in many. */
static void hops(void **state)
{
    (void)state;
    for (size_t count = FORWARD_HOPS_MAX - 1; count <= FORWARD_HOPS_MAX; count++) {
        for (unsigned lines = 0; lines < 2; lines++) {
            char raw[2048];
            struct outbuf in = outbuf_make(raw, sizeof raw - 1);
            outbuf_text(&in, "GET http://allowed.test/ HTTP/1.0\r\nVia: 1.1 a");
            for (size_t i = 1; i < count; i++)
                outbuf_text(&in, lines == 0 ? ",1.1 a" : "\r\nVia: 1.1 a");
            outbuf_text(&in, "\r\n\r\n");
            raw[in.len] = '\0';
            struct request request;
            parse_request(raw, &request);
            assert_int_equal(forward_loops(&request, span_text(ID)), count == FORWARD_HOPS_MAX);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_heads_say_of_the_connection),
        cmocka_unit_test(hops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
