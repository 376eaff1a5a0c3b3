/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which an exchange or a tunnel ends before its time: parties that reset in the middle of a send, no room for
 * the next buffer, ceilings at the byte, and servers that never come to the point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab.h"

#include "support/hello_build.h"

#include <stdio.h>

#define POLICY(egress)                                                                                                 \
    "name: lab\n"                                                                                                      \
    "config: {type: self_hosted, networking: {type: limited, allowed_hosts: [allowed.test]}}\n" egress

#define GET          "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n"
#define POST(fields) "POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n" fields "\r\n"
#define CONNECT      "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"
#define UPGRADE                                                                                                        \
    "GET http://allowed.test/ws HTTP/1.1\r\nHost: allowed.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"       \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define SWITCHED                                                                                                       \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                                \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nframe"

/* The attempt has its outcome, and its upstream is closed. */
static void ended(struct lab *lab, const struct lab_port *upstream, enum reason reason)
{
    lab_commit(lab);
    assert_true(upstream->proxy_closed);
    assert_true(lab_last(lab)->outcome);
    assert_int_equal(lab_last(lab)->final_reason, reason);
}

static void cut(struct lab *lab, const struct lab_port *client, const struct lab_port *upstream, enum reason reason)
{
    assert_true(client->proxy_closed && client->proxy_reset);
    ended(lab, upstream, reason);
}

/* Room for `more` bytes beside what is held now. */
static void leave_room(struct lab *lab, uint64_t more)
{
    lab->process.memory_max = budget_used(&lab->process.memory) + more;
}

/* ---- resets ---- */

static void an_upstream_that_resets_in_the_middle_of_a_body(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY(""));
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, POST("Content-Length: 50\r\n") "abc");
    lab_open_window(upstream, 0);
    lab_send_text(client, "more, that waits for the upstream");
    lab_finish(upstream, LAB_RESET);
    assert_true(lab_got_text(client, "HTTP/1.1 502 "));
    ended(lab, upstream, REASON_UPSTREAM);
    lab_free(lab);
}

static void an_upstream_that_resets_in_the_middle_of_its_answer(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY(""));
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    lab_finish(upstream, LAB_RESET);
    cut(lab, client, upstream, REASON_UPSTREAM_RESET);
    assert_false(lab_got_text(client, " 502 "));
    lab_free(lab);
}

static void a_client_that_resets_while_it_is_answered(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        struct lab *lab = lab_new(POLICY(""));
        struct lab_port *client = lab_client(lab);
        struct lab_port *upstream = lab_ask(lab, client, GET);
        static char early[8192]; /* with these nothing more is read, and only the next send finds the reset */
        memset(early, 'e', sizeof early - 1);
        if (full)
            lab_send_text(client, early);
        lab_open_window(client, 10);
        lab_send_text(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
        assert_int_equal(client->got_len, 10);
        lab_finish(client, LAB_RESET);
        cut(lab, client, upstream, REASON_CLIENT_RESET);
        lab_free(lab);
    }
}

/* The 200 does not get through to it. */
static void a_client_that_takes_no_reply(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct lab *lab = lab_new(POLICY(""));
        struct lab_port *client = lab_client(lab);
        lab_send_text(client, CONNECT);
        lab_commit(lab);
        assert_true(lab_answer(lab, 0, DNS_OK));
        lab_open_window(client, 0);
        struct lab_port *upstream = lab_connect(lab, 0);
        lab_open_window(client, 5);
        assert_int_equal(client->got_len, 5);
        if (way == 0) { /* it did, late and in pieces */
            for (int i = 0; i < 20; i++)
                lab_open_window(client, 5);
            assert_memory_equal(client->got, "HTTP/1.1 200 Connection established\r\n\r\n", 39);
            assert_int_equal(client->got_len, 39);
            lab_finish(client, LAB_EOF);
            ended(lab, upstream, REASON_ALLOWED);
        } else {
            if (way == 1)
                lab_advance(lab, 10000);
            else
                lab_finish(client, LAB_RESET);
            cut(lab, client, upstream, REASON_CLIENT_RESET);
        }
        assert_int_equal(upstream->got_len, 0);
        lab_free(lab);
    }
}

/* ---- no room ---- */

static void no_room_for_a_request(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY(""));
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, "GET http://allowed.test/ HTTP/1.1\r\n");
    leave_room(lab, 0);
    lab_send_text(client, "Host: allowed.test\r\n\r\n");
    lab_commit(lab);
    assert_true(lab_got_text(client, "HTTP/1.1 503 ") && lab_got_text(client, "limit_reached"));
    assert_int_equal(lab_last(lab)->reason, REASON_LIMIT);
    assert_int_equal(lab->queries, 0);
    lab_free(lab);
}

/* Before anything of an answer was passed on the client is told; in the middle of one it is cut. */
static void no_room_for_an_answer(void **state)
{
    (void)state;
    static const struct {
        uint64_t room;
        const char *answer, *more;
        bool told;
    } cases[] = {
        {0,    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "",    true }, /* to read it into */
        {4096, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "",    true }, /* for the head that leaves */
        {8192, "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n",  "abc", false}, /* for a piece of the body */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lab *lab = lab_new(POLICY(""));
        struct lab_port *client = lab_client(lab);
        struct lab_port *upstream = lab_ask(lab, client, GET);
        leave_room(lab, cases[i].room);
        lab_send_text(upstream, cases[i].answer);
        if (!upstream->proxy_closed)
            lab_send_text(upstream, cases[i].more);
        assert_int_equal(lab_got_text(client, "HTTP/1.1 503 "), cases[i].told);
        if (!cases[i].told)
            assert_true(client->proxy_closed && client->proxy_reset);
        ended(lab, upstream, REASON_LIMIT);
        lab_free(lab);
    }
}

static void no_room_for_a_websocket(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY(""));
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, UPGRADE);
    leave_room(lab, 8192); /* for reading and for the head, and not for both in one piece */
    lab_send_text(upstream, SWITCHED);
    cut(lab, client, upstream, REASON_LIMIT);
    assert_int_equal(client->got_len, 0);
    lab_free(lab);
}

/* ---- ceilings ---- */

static void an_upload_stops_at_the_byte(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("egress: {limits: {bytes_up: 1KiB}}\n"));
    struct lab_port *client = lab_client(lab);
    static char body[5001];
    memset(body, 'b', sizeof body - 1);
    struct lab_port *upstream = lab_ask(lab, client, POST("Content-Length: 5000\r\n"));
    lab_send_text(client, body);
    assert_int_equal(upstream->got_len, 1024);
    assert_true(lab_got_text(client, "HTTP/1.1 413 ") && lab_got_text(client, "bytes_ceiling"));
    ended(lab, upstream, REASON_BYTES);
    assert_int_equal(lab_last(lab)->up, 1024);
    /* And nothing new begins. */
    client = lab_client(lab);
    lab_send_text(client, GET);
    lab_commit(lab);
    assert_true(lab_got_text(client, "HTTP/1.1 413 "));
    assert_int_equal(lab->queries, 1);
    lab_free(lab);
}

static void an_answer_stops_at_the_byte(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("egress: {limits: {bytes_down: 1KiB}}\n"));
    struct lab_port *client = lab_client(lab);
    static char body[5001];
    memset(body, 'b', sizeof body - 1);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    lab_send_text(upstream, body);
    assert_int_equal(client->got_len, 1024);
    cut(lab, client, upstream, REASON_BYTES);
    assert_int_equal(lab_last(lab)->down, 1024);
    assert_int_equal(atomic_load(&tunnels_counters(lab->tunnels)->limits[LIMIT_bytes_down]), 1);
    lab_free(lab);
}

/* Exactly the ceiling has passed: what ends with it was not cut, one byte more is. */
static void a_tunnel_at_its_ceiling(void **state)
{
    (void)state;
    static const enum reason reasons[] = {REASON_ALLOWED, REASON_BYTES, REASON_CLIENT_RESET, REASON_BYTES};
    for (int way = 0; way < 4; way++) {
        struct lab *lab = lab_new(POLICY("egress: {limits: {bytes_up: 1KiB}}\n"));
        struct lab_port *client = lab_client(lab);
        struct lab_port *upstream = lab_ask(lab, client, CONNECT);
        uint8_t bytes[2048] = {0};
        struct hello_build spec = {.sni = "allowed.test", .alpn = "h2"};
        size_t hello = hello_build(&spec, bytes, sizeof bytes);
        lab_send(client, bytes, hello);
        if (way == 3) /* held for a receiver that is slow: there is more than may pass */
            lab_open_window(upstream, 1024 - hello);
        lab_send(client, bytes + hello, way == 3 ? 1025 - hello : 1024 - hello);
        assert_int_equal(upstream->got_len, 1024);
        if (way < 3) {
            lab_turn(lab);
            lab_send_text(upstream, "back"); /* the other direction has no ceiling */
            assert_true(lab_got_text(client, "back"));
            assert_false(client->proxy_closed);
        }
        if (way == 0) {
            lab_finish(client, LAB_EOF);
            assert_true(upstream->proxy_shut && !upstream->proxy_closed);
            lab_finish(upstream, LAB_EOF);
            assert_false(client->proxy_reset);
        } else if (way == 1) {
            lab_send(client, "x", 1);
        } else if (way == 2) {
            lab_finish(client, LAB_RESET);
        } else {
            lab_open_window(upstream, 1000);
        }
        assert_true(client->proxy_closed);
        assert_int_equal(upstream->got_len, 1024);
        ended(lab, upstream, reasons[way]);
        assert_int_equal(lab_last(lab)->up, 1024);
        lab_free(lab);
    }
}

/* What one tunnel holds for a slow receiver may not pass any more once another of the session has used up the rest. */
static void two_tunnels_under_one_ceiling(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("egress: {limits: {bytes_up: 2KiB}}\n"));
    uint8_t bytes[4096] = {0};
    struct hello_build spec = {.sni = "allowed.test", .alpn = "h2"};
    size_t hello = hello_build(&spec, bytes, sizeof bytes);
    struct lab_port *clients[2], *upstreams[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = lab_client(lab);
        upstreams[i] = lab_ask(lab, clients[i], CONNECT);
        lab_send(clients[i], bytes, hello);
    }
    lab_open_window(upstreams[0], 0);
    lab_send(clients[0], bytes + hello, 100);
    assert_false(clients[0]->proxy_closed);
    lab_send(clients[1], bytes + hello, 2048); /* up to the ceiling, and more */
    assert_int_equal(upstreams[0]->got_len + upstreams[1]->got_len, 2048);
    assert_true(clients[1]->proxy_closed);
    lab_open_window(upstreams[0], 1000);
    assert_true(clients[0]->proxy_closed && upstreams[0]->proxy_closed);
    assert_int_equal(upstreams[0]->got_len, hello);
    lab_commit(lab);
    for (int i = 0; i < 2; i++)
        assert_int_equal(lab->attempts[i].final_reason, REASON_BYTES);
    assert_int_equal(lab->attempts[0].up + lab->attempts[1].up, 2048);
    lab_free(lab);
}

/* ---- no evidence ---- */

static size_t take_all_room(struct lab *lab)
{
    size_t taken = 0;
    for (; desk_credit_take(lab->desk, DESK_RECORD_BYTES); taken += DESK_RECORD_BYTES)
        continue;
    return taken;
}

/* Without room for its records a client stays unread for a second at most, and is served if there is some by then. */
static void a_client_for_whose_records_there_is_no_room(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct lab *lab = lab_new(POLICY(""));
        size_t taken = take_all_room(lab);
        struct lab_port *client = lab_client_says(lab, CONNECT, strlen(CONNECT));
        assert_int_equal(client->sent_taken, 0);
        lab_advance(lab, 999);
        assert_int_equal(client->got_len, 0);
        if (late) {
            lab_advance(lab, 1);
            assert_true(lab_got_text(client, "HTTP/1.1 503 ") && lab_got_text(client, "audit_unavailable"));
            assert_true(client->proxy_shut);
            lab_commit(lab);
            assert_int_equal(lab->attempt_count, 0);
            assert_int_equal(desk_take_refused(lab->desk), 1);
        }
        desk_credit_give(lab->desk, taken);
        if (!late) {
            tunnels_on_durable(lab->tunnels);
            lab_commit(lab);
            assert_int_equal(lab_lookups_pending(lab), 1);
            assert_true(lab_last(lab)->allowed);
        }
        lab_free(lab);
    }
}

/* A plain exchange stands still as a tunnel does: neither direction is read while records cannot be written. */
static void an_exchange_behind_a_shut_gate(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY(""));
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, POST("Content-Length: 10\r\n") "abc");
    desk_set_gate(lab->desk, true); /* nobody is told */
    lab_send_text(client, "de");
    assert_true(lab_got_text(upstream, "\r\n\r\nabcde"));
    lab_advance(lab, 5000);
    lab_send_text(client, "fghij");
    lab_send_text(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_false(lab_got_text(upstream, "fghij"));
    assert_int_equal(client->got_len, 0);
    lab_gate(lab, false);
    assert_true(lab_got_text(upstream, "abcdefghij") && lab_got_text(client, "\r\n\r\nok"));
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_ALLOWED);
    /* The next one stands until it is reset. */
    lab_send_text(client, GET);
    lab_commit(lab);
    desk_set_gate(lab->desk, true);
    lab_send_text(client, "more");
    lab_advance(lab, 5000);
    lab_advance(lab, 25000);
    assert_true(client->proxy_closed && client->proxy_reset && upstream->proxy_closed);
    lab_gate(lab, false);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_AUDIT);
    lab_free(lab);
}

/* A head that is refused while the gate shuts gets no refusal, since there is no evidence of it, but the 503. */
static void a_refusal_without_evidence(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY(""));
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, "CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\n");
    assert_int_equal(client->got_len, 0);
    lab_gate(lab, true);
    assert_true(lab_got_text(client, "HTTP/1.1 503 ") && lab_got_text(client, "audit_unavailable"));
    assert_false(lab_got_text(client, "host_not_allowed"));
    lab_gate(lab, false);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->reason, REASON_HOST);
    lab_free(lab);
}

static void no_name_server(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY(""));
    lab->no_server = true;
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, CONNECT);
    lab_commit(lab);
    lab_commit(lab);
    assert_true(lab_got_text(client, "HTTP/1.1 502 ") && lab_got_text(client, "dns_failed"));
    assert_int_equal(lab_last(lab)->final_reason, REASON_DNS);
    assert_int_equal(lab_last(lab)->end, FLOW_END_FAILED);
    assert_int_equal(lab->connects, 0);
    lab_free(lab);
}

/* ---- servers that never come to the point ---- */

static void interim_answers_without_end(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY(""));
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    for (int i = 0; i < 32; i++)
        lab_send_text(upstream, "HTTP/1.1 102 Processing\r\n\r\n");
    assert_false(upstream->proxy_closed);
    lab_send_text(upstream, "HTTP/1.1 102 Processing\r\n\r\n");
    assert_true(lab_got_text(client, "HTTP/1.1 502 "));
    ended(lab, upstream, REASON_UPSTREAM);
    lab_free(lab);
}

static void a_head_without_end(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("egress: {limits: {head_bytes: 1MiB}}\n"));
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    static char field[70001] = "HTTP/1.1 200 OK\r\nX: ";
    memset(field + strlen(field), 'x', sizeof field - 1 - strlen(field));
    lab_send_text(upstream, field);
    assert_true(lab_got_text(client, "HTTP/1.1 502 "));
    assert_int_equal(upstream->sent_taken, 65536);
    ended(lab, upstream, REASON_UPSTREAM);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upstream_that_resets_in_the_middle_of_a_body),
        cmocka_unit_test(an_upstream_that_resets_in_the_middle_of_its_answer),
        cmocka_unit_test(a_client_that_resets_while_it_is_answered),
        cmocka_unit_test(a_client_that_takes_no_reply),
        cmocka_unit_test(no_room_for_a_request),
        cmocka_unit_test(no_room_for_an_answer),
        cmocka_unit_test(no_room_for_a_websocket),
        cmocka_unit_test(an_upload_stops_at_the_byte),
        cmocka_unit_test(an_answer_stops_at_the_byte),
        cmocka_unit_test(a_tunnel_at_its_ceiling),
        cmocka_unit_test(two_tunnels_under_one_ceiling),
        cmocka_unit_test(a_client_for_whose_records_there_is_no_room),
        cmocka_unit_test(an_exchange_behind_a_shut_gate),
        cmocka_unit_test(a_refusal_without_evidence),
        cmocka_unit_test(no_name_server),
        cmocka_unit_test(interim_answers_without_end),
        cmocka_unit_test(a_head_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
