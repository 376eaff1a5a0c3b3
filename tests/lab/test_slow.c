/* SPDX-License-Identifier: Apache-2.0 */
/* Stories of hours: a clock that is turned by hand, parties that hardly do anything, and ends at each step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab.h"

#include "support/hello_build.h"

#include <errno.h>

#define HOUR_MS UINT64_C(3600000)
#define CONNECT "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"

static const char patient[] = "name: lab\n"
                              "config:\n"
                              "  type: self_hosted\n"
                              "  networking:\n"
                              "    type: limited\n"
                              "    allowed_hosts: [allowed.test]\n"
                              "egress:\n"
                              "  limits: {idle: 2h, lifetime: 48h}\n";

static void send_hello(struct lab_port *client)
{
    uint8_t hello[2048];
    struct hello_build spec = {.sni = "allowed.test", .alpn = "h2"};
    lab_send(client, hello, hello_build(&spec, hello, sizeof hello));
}

static struct lab_port *open_tunnel(struct lab *lab, struct lab_port **out_upstream)
{
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, CONNECT);
    lab_commit(lab);
    assert_true(lab_answer(lab, 0, DNS_OK));
    *out_upstream = lab_connect(lab, 0);
    assert_non_null(*out_upstream);
    send_hello(client);
    client->got_len = 0;
    (*out_upstream)->got_len = 0;
    return client;
}

static void ended(struct lab *lab, const struct lab_port *client, const struct lab_port *upstream, enum reason reason)
{
    assert_true(client->proxy_closed && upstream->proxy_closed);
    lab_commit(lab);
    assert_true(lab_last(lab)->outcome);
    assert_int_equal(lab_last(lab)->final_reason, reason);
}

/* One byte an hour is not idle: the tunnel lives for its lifetime, to the hour, and every byte is counted. */
static void one_byte_an_hour(void **state)
{
    (void)state;
    struct lab *lab = lab_new(patient);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, &upstream);
    unsigned hours = 0;
    while (!client->proxy_closed && hours < 100) {
        lab_send(hours % 2 == 0 ? client : upstream, "x", 1);
        lab_advance(lab, HOUR_MS);
        lab_commit(lab);
        hours++;
    }
    assert_int_equal(hours, 48);
    assert_int_equal(upstream->got_len, 24);
    assert_int_equal(client->got_len, 24);
    ended(lab, client, upstream, REASON_LIFETIME);
    assert_int_equal(lab_last(lab)->down, 24);
    lab_free(lab);
}

/* Half closed for hours: the other direction goes on, and its silence ends it. */
static void half_closed_for_hours(void **state)
{
    (void)state;
    for (int by_client = 0; by_client < 2; by_client++) {
        struct lab *lab = lab_new(patient);
        struct lab_port *upstream = NULL;
        struct lab_port *client = open_tunnel(lab, &upstream);
        struct lab_port *closer = by_client ? client : upstream, *other = by_client ? upstream : client;
        lab_finish(closer, LAB_EOF);
        assert_true(other->proxy_shut && !other->proxy_closed);
        for (int i = 0; i < 10; i++) {
            lab_send(other, "y", 1);
            lab_advance(lab, HOUR_MS);
            lab_commit(lab);
            assert_false(client->proxy_closed);
        }
        assert_int_equal(closer->got_len, 10);
        lab_advance(lab, HOUR_MS);
        ended(lab, client, upstream, REASON_IDLE);
        lab_free(lab);
    }
}

/* A party that never reads: what the other one sent is held, no more is taken, and the silence ends it. */
static void zero_window_for_hours(void **state)
{
    (void)state;
    static uint8_t much[LAB_BYTES_MAX / 2];
    for (int of_client = 0; of_client < 2; of_client++) {
        struct lab *lab = lab_new(patient);
        struct lab_port *upstream = NULL;
        struct lab_port *client = open_tunnel(lab, &upstream);
        struct lab_port *deaf = of_client ? client : upstream, *talker = of_client ? upstream : client;
        deaf->window = 0;
        lab_send(talker, much, sizeof much);
        assert_int_equal(deaf->got_len, 0);
        size_t taken = talker->sent_taken;
        lab_advance(lab, HOUR_MS);
        assert_false(client->proxy_closed);
        lab_open_window(deaf, 1);
        assert_int_equal(deaf->got_len, 1);
        assert_in_range(talker->sent_taken, taken, sizeof much);
        lab_advance(lab, 2 * HOUR_MS + 1000);
        ended(lab, client, upstream, REASON_IDLE);
        lab_free(lab);
    }
}

/* The upstream resets at each step that it has a part in. */
static void the_upstream_resets_at_each_step(void **state)
{
    (void)state;
    for (int step = 0; step < 6; step++) {
        struct lab *lab = lab_new(patient);
        struct lab_port *upstream = NULL;
        struct lab_port *client = NULL;
        if (step == 0) { /* while it is dialled */
            client = lab_client(lab);
            lab_send_text(client, CONNECT);
            lab_commit(lab);
            assert_true(lab_answer(lab, 0, DNS_OK));
            assert_true(lab_refuse_connect(lab, 0, ECONNRESET));
            assert_non_null(memmem(client->got, client->got_len, " 502 ", 5));
            lab_commit(lab);
            assert_true(lab_last(lab)->outcome && lab_last(lab)->up == 0);
            lab_free(lab);
            continue;
        }
        if (step == 1) { /* before the hello */
            client = lab_client(lab);
            lab_send_text(client, CONNECT);
            lab_commit(lab);
            assert_true(lab_answer(lab, 0, DNS_OK));
            upstream = lab_connect(lab, 0);
        } else {
            client = open_tunnel(lab, &upstream);
        }
        if (step == 3) /* with bytes of it on the way */
            client->window = 0;
        if (step >= 3)
            lab_send_text(upstream, "half an ans");
        if (step == 4) /* half closed by the client */
            lab_finish(client, LAB_EOF);
        if (step == 5) /* behind its own end, when nobody reads from it any more */
            lab_finish(upstream, LAB_EOF);
        lab_finish(upstream, LAB_RESET);
        lab_open_window(client, 1000);
        if (step == 1) /* nothing is said to it before the hello is judged, so nothing was noticed */
            send_hello(client);
        ended(lab, client, upstream, REASON_UPSTREAM_RESET);
        assert_true(client->proxy_reset);
        lab_free(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_byte_an_hour),
        cmocka_unit_test(half_closed_for_hours),
        cmocka_unit_test(zero_window_for_hours),
        cmocka_unit_test(the_upstream_resets_at_each_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
