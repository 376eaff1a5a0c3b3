/* SPDX-License-Identifier: Apache-2.0 */
/* Records of what a long attempt carries, before it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab.h"

#include "support/hello_build.h"

#define EVERY_MS    300000u
#define EVERY_BYTES 65536u

static const char policy[] = "name: lab\n"
                             "config:\n"
                             "  type: self_hosted\n"
                             "  networking:\n"
                             "    type: limited\n"
                             "    allowed_hosts: [allowed.test]\n";

struct pair {
    struct lab_port *client, *upstream;
    size_t hello_len;
};

static struct pair open_tunnel(struct lab *lab)
{
    uint8_t hello[2048];
    struct hello_build spec = {.sni = "allowed.test", .alpn = "h2"};
    struct pair pair = {.client = lab_client(lab), .hello_len = hello_build(&spec, hello, sizeof hello)};
    lab_send_text(pair.client, "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n");
    lab_commit(lab);
    assert_true(lab_answer(lab, 0, DNS_OK));
    pair.upstream = lab_connect(lab, 0);
    assert_non_null(pair.upstream);
    lab_send(pair.client, hello, pair.hello_len);
    assert_int_equal(pair.upstream->got_len, pair.hello_len);
    pair.client->got_len = pair.upstream->got_len = 0;
    return pair;
}

static void finish(struct lab *lab, const struct pair *pair)
{
    lab_finish(pair->client, LAB_EOF);
    lab_finish(pair->upstream, LAB_EOF);
    lab_commit(lab);
    assert_true(lab_last(lab)->outcome);
    lab_free(lab);
}

static void send_bytes(struct lab_port *from, size_t len)
{
    static uint8_t bytes[EVERY_BYTES];
    from->sent_len = from->sent_taken = 0; /* all of it was taken */
    lab_send(from, bytes, len);
}

static void by_time_when_bytes_moved(void **state)
{
    (void)state;
    struct lab *lab = lab_new_traffic(policy, EVERY_MS, EVERY_BYTES);
    struct pair pair = open_tunnel(lab);
    const struct lab_attempt *a = lab_last(lab);
    lab_advance(lab, EVERY_MS - 1000);
    lab_commit(lab);
    assert_int_equal(a->traffic, 0);
    lab_advance(lab, 1000);
    lab_commit(lab);
    assert_int_equal(a->traffic, 1);
    assert_int_equal(a->traffic_up, pair.hello_len);
    assert_int_equal(a->traffic_down, 0);
    /* Nothing moved: nothing is said. */
    lab_advance(lab, EVERY_MS);
    lab_advance(lab, EVERY_MS);
    lab_commit(lab);
    assert_int_equal(a->traffic, 1);
    send_bytes(pair.upstream, 10);
    lab_advance(lab, EVERY_MS);
    lab_commit(lab);
    assert_int_equal(a->traffic, 2);
    assert_int_equal(a->traffic_down, 10);
    finish(lab, &pair);
}

/* The numbers are of the whole attempt, not of the time since the last record. */
static void by_bytes(void **state)
{
    (void)state;
    struct lab *lab = lab_new_traffic(policy, EVERY_MS, EVERY_BYTES);
    struct pair pair = open_tunnel(lab);
    const struct lab_attempt *a = lab_last(lab);
    for (unsigned i = 1; i <= 5; i++) {
        pair.upstream->window = LAB_BYTES_MAX;
        send_bytes(pair.client, EVERY_BYTES); /* recorded before anything more is read */
        pair.upstream->got_len = 0;
        send_bytes(pair.client, 1);
        pair.upstream->got_len = 0;
        lab_commit(lab);
        assert_int_equal(a->traffic, i);
        assert_in_range(a->traffic_up, i * EVERY_BYTES, i * EVERY_BYTES + pair.hello_len + i);
    }
    finish(lab, &pair);
}

/* All room that the desk can promise. */
static size_t take_all(struct desk *desk)
{
    size_t taken = 0;
    while (desk_credit_take(desk, DESK_RECORD_BYTES))
        taken += DESK_RECORD_BYTES;
    return taken;
}

static void without_room_nothing_is_carried(void **state)
{
    (void)state;
    struct lab *lab = lab_new_traffic(policy, EVERY_MS, EVERY_BYTES);
    struct pair pair = open_tunnel(lab);
    const struct lab_attempt *a = lab_last(lab);
    send_bytes(pair.client, EVERY_BYTES);
    pair.upstream->got_len = 0;
    size_t taken = take_all(lab->desk);
    send_bytes(pair.client, 100);
    assert_int_equal(pair.upstream->got_len, 0);
    send_bytes(pair.upstream, 7); /* neither direction */
    assert_int_equal(pair.client->got_len, 0);
    lab_advance(lab, EVERY_MS);
    lab_commit(lab);
    assert_int_equal(a->traffic, 0);
    assert_int_equal(pair.upstream->got_len, 0);
    assert_false(pair.client->proxy_closed || pair.upstream->proxy_closed);
    desk_credit_give(lab->desk, taken);
    lab_commit(lab); /* whoever waits is told */
    lab_commit(lab);
    assert_int_equal(a->traffic, 1);
    assert_int_equal(pair.upstream->got_len, 100);
    assert_int_equal(pair.client->got_len, 7);
    finish(lab, &pair);
}

static void a_shut_gate_stops_what_is_due_at_once(void **state)
{
    (void)state;
    struct lab *lab = lab_new_traffic(policy, EVERY_MS, EVERY_BYTES);
    struct pair pair = open_tunnel(lab);
    lab_gate(lab, true);
    send_bytes(pair.client, EVERY_BYTES);
    assert_int_equal(pair.upstream->got_len, EVERY_BYTES); /* not due yet */
    pair.upstream->got_len = 0;
    send_bytes(pair.client, 5);
    assert_int_equal(pair.upstream->got_len, 0);
    lab_gate(lab, false);
    lab_commit(lab);
    assert_int_equal(pair.upstream->got_len, 5);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->traffic, 1);
    finish(lab, &pair);
}

static void a_tunnel_that_waits_can_end(void **state)
{
    (void)state;
    struct lab *lab = lab_new_traffic(policy, EVERY_MS, EVERY_BYTES);
    struct pair pair = open_tunnel(lab);
    send_bytes(pair.client, EVERY_BYTES);
    size_t taken = take_all(lab->desk);
    send_bytes(pair.client, 1);
    lab_advance(lab, 3600u * 1000u * 24u); /* its lifetime */
    assert_true(pair.client->proxy_closed && pair.upstream->proxy_closed);
    desk_credit_give(lab->desk, taken);
    lab_commit(lab);
    assert_true(lab_last(lab)->outcome);
    assert_int_equal(lab_last(lab)->final_reason, REASON_LIFETIME);
    assert_int_equal(lab_last(lab)->traffic, 0);
    lab_free(lab);
}

static void a_long_answer_to_a_plain_request(void **state)
{
    (void)state;
    struct lab *lab = lab_new_traffic(policy, EVERY_MS, EVERY_BYTES);
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, "GET http://allowed.test/x HTTP/1.1\r\nHost: allowed.test\r\n\r\n");
    lab_commit(lab);
    assert_true(lab_answer(lab, 0, DNS_OK));
    struct lab_port *upstream = lab_connect(lab, 0);
    assert_non_null(upstream);
    lab_send_text(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 65636\r\n\r\n");
    send_bytes(upstream, EVERY_BYTES);
    client->got_len = 0;
    send_bytes(upstream, 1);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->traffic, 1);
    assert_in_range(lab_last(lab)->traffic_down, EVERY_BYTES, EVERY_BYTES + 200);
    send_bytes(upstream, 99);
    /* The next request on this connection counts its own bytes. */
    client->sent_len = client->sent_taken = 0;
    lab_send_text(client, "GET http://allowed.test/y HTTP/1.1\r\nHost: allowed.test\r\n\r\n");
    lab_commit(lab);
    lab_advance(lab, EVERY_MS);
    lab_commit(lab);
    assert_int_equal(lab->attempt_count, 2);
    assert_true(lab->attempts[0].outcome);
    assert_int_equal(lab_last(lab)->traffic, 1);
    assert_int_equal(lab_last(lab)->traffic_down, 0);
    assert_in_range(lab_last(lab)->traffic_up, 1, 200);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_time_when_bytes_moved),        cmocka_unit_test(by_bytes),
        cmocka_unit_test(without_room_nothing_is_carried), cmocka_unit_test(a_shut_gate_stops_what_is_due_at_once),
        cmocka_unit_test(a_tunnel_that_waits_can_end),     cmocka_unit_test(a_long_answer_to_a_plain_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
