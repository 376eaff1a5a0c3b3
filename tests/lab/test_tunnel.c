/* SPDX-License-Identifier: Apache-2.0 */
/* Stories of one tunnel, told event by event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab.h"

#include "support/hello_build.h"

#include <errno.h>
#include <stdio.h>

static const char limited[] = "name: lab\n"
                              "config:\n"
                              "  type: self_hosted\n"
                              "  networking:\n"
                              "    type: limited\n"
                              "    allowed_hosts: [allowed.test, \"*.wild.test\"]\n";

static const char limited_other[] = "name: lab\n"
                                    "config:\n"
                                    "  type: self_hosted\n"
                                    "  networking:\n"
                                    "    type: limited\n"
                                    "    allowed_hosts: [other.test]\n";

static const char limited_plus[] = "name: lab\n"
                                   "config:\n"
                                   "  type: self_hosted\n"
                                   "  networking:\n"
                                   "    type: limited\n"
                                   "    allowed_hosts: [allowed.test, more.test]\n";

static const char open_policy[] = "name: lab\n"
                                  "config:\n"
                                  "  type: self_hosted\n"
                                  "  networking:\n"
                                  "    type: unrestricted\n";

static const char few_tunnels[] = "name: lab\n"
                                  "config:\n"
                                  "  type: self_hosted\n"
                                  "  networking:\n"
                                  "    type: limited\n"
                                  "    allowed_hosts: [\"*.wild.test\"]\n"
                                  "egress:\n"
                                  "  limits: {tunnels: 2, distinct_names_per_minute: 3, attempts_per_second: 1, "
                                  "attempts_burst: 5}\n";

static const char ceiling[] = "name: lab\n"
                              "config:\n"
                              "  type: self_hosted\n"
                              "  networking:\n"
                              "    type: limited\n"
                              "    allowed_hosts: [allowed.test]\n"
                              "egress:\n"
                              "  limits: {bytes_up: 1KiB}\n";

static size_t hello_for(const char *sni, uint8_t out[static 2048])
{
    struct hello_build spec = {.sni = sni, .alpn = "h2"};
    return hello_build(&spec, out, 2048);
}

/* Up to the 200: gives both sides. */
static struct lab_port *open_tunnel(struct lab *lab, const char *connect, struct lab_port **out_upstream)
{
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, connect);
    lab_commit(lab);
    assert_true(lab_answer(lab, 0, DNS_OK));
    *out_upstream = lab_connect(lab, 0);
    assert_non_null(*out_upstream);
    assert_true(lab_got_text(client, "HTTP/1.1 200 "));
    client->got_len = 0;
    return client;
}

#define CONNECT_ALLOWED "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"

static void an_allowed_tunnel(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    uint8_t hello[2048];
    size_t len = hello_for("allowed.test", hello);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(upstream->got_len, 0);
        lab_send(client, hello + i, 1);
    }
    assert_int_equal(upstream->got_len, len);
    assert_memory_equal(upstream->got, hello, len);
    lab_send_text(upstream, "server");
    assert_int_equal(client->got_len, 6);
    lab_finish(client, LAB_EOF);
    assert_true(upstream->proxy_shut && !upstream->proxy_closed);
    lab_send_text(upstream, " says more"); /* half-closed: the other direction goes on */
    assert_int_equal(client->got_len, 16);
    lab_finish(upstream, LAB_EOF);
    assert_true(client->proxy_closed && upstream->proxy_closed && !client->proxy_reset);
    lab_commit(lab);
    const struct lab_attempt *a = lab_last(lab);
    assert_int_equal(a->final_reason, REASON_ALLOWED);
    assert_int_equal(a->up, len);
    assert_int_equal(a->down, 16);
    assert_int_equal(a->end, FLOW_END_CLOSED);
    lab_free(lab);
}

static void nothing_leaves_before_the_record_is_durable(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, CONNECT_ALLOWED);
    assert_int_equal(lab->queries, 0);
    lab_advance(lab, 100);
    assert_int_equal(lab->queries, 0);
    lab_commit(lab);
    assert_int_equal(lab->queries, 1);
    lab_free(lab);
}

static void a_denied_name_is_never_asked_for(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    lab_send_text(client,
                  "CONNECT attacker.test:443 HTTP/1.1\r\nHost: attacker.test:443\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert_int_equal(client->got_len, 0); /* the answer waits for its record */
    lab_commit(lab);
    assert_true(lab_got_text(client, "HTTP/1.1 403 policy"));
    assert_true(lab_got_text(client, "host_not_allowed"));
    assert_true(client->proxy_shut && !client->proxy_closed);
    lab_finish(client, LAB_EOF);
    assert_true(client->proxy_closed && !client->proxy_reset);
    assert_int_equal(lab->queries, 0);
    assert_int_equal(lab->attempt_count, 1);
    assert_int_equal(lab_last(lab)->reason, REASON_HOST);
    lab_free(lab);
}

struct refused_hello {
    const char *sni;
    bool ech;
    const char *raw; /* instead of a hello */
    enum reason reason;
    int alert; /* -1: none */
};

static void refused_hellos(void **state)
{
    (void)state;
    static const struct refused_hello cases[] = {
        {"other.test",   false, NULL,                   REASON_SNI_MISMATCH, 112},
        {NULL,           false, NULL,                   REASON_SNI_ABSENT,   112},
        {"allowed.test", true,  NULL,                   REASON_ECH,          49 },
        {NULL,           false, "SSH-2.0-x\r\n",        REASON_NOT_TLS,      -1 },
        {NULL,           false, "\x16\x03\x01\x40\x01", REASON_HELLO_BIG,    22 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct refused_hello *c = &cases[i];
        struct lab *lab = lab_new(limited);
        struct lab_port *upstream = NULL;
        struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
        uint8_t hello[2048];
        struct hello_build spec = {.sni = c->sni, .ech = c->ech};
        if (c->raw != NULL)
            lab_send_text(client, c->raw);
        else
            lab_send(client, hello, hello_build(&spec, hello, sizeof hello));
        lab_commit(lab);
        const struct lab_attempt *a = lab_last(lab);
        assert_int_equal(a->final_reason, c->reason);
        assert_int_equal(a->final_stage, STAGE_HELLO);
        assert_int_equal(a->end, FLOW_END_REFUSED);
        assert_int_equal(upstream->got_len, 0);
        assert_true(upstream->proxy_closed);
        if (c->alert >= 0) {
            assert_int_equal(client->got_len, 7);
            assert_int_equal(client->got[0], 21);
            assert_int_equal(client->got[6], c->alert);
        } else {
            assert_int_equal(client->got_len, 0);
        }
        lab_free(lab);
    }
}

static void a_hello_in_the_segment_of_the_head_goes_first_and_unchanged(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    uint8_t bytes[4096], hello[2048];
    size_t head = strlen(CONNECT_ALLOWED);
    size_t len = hello_for("ALLOWED.test", hello);
    memcpy(bytes, CONNECT_ALLOWED, head);
    memcpy(bytes + head, hello, len);
    memcpy(bytes + head + len, "early", 5);
    struct lab_port *client = lab_client(lab);
    lab_send(client, bytes, head + len + 5);
    lab_commit(lab);
    assert_true(lab_answer(lab, 0, DNS_OK));
    struct lab_port *upstream = lab_connect(lab, 0);
    assert_int_equal(upstream->got_len, len + 5);
    assert_memory_equal(upstream->got, bytes + head, len + 5);
    lab_free(lab);
}

static void an_address_that_is_forbidden_is_not_dialled(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    lab->dns_addr[1] = (struct ipaddr){
        .family = 4, .bytes = {169, 254, 169, 254}
    };
    lab->dns_addr_count = 2;
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, CONNECT_ALLOWED);
    lab_commit(lab);
    lab_answer(lab, 0, DNS_OK);
    assert_int_equal(lab->connects, 0);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_ADDRESS);
    assert_int_equal(lab_last(lab)->end, FLOW_END_REFUSED);
    assert_true(lab_got_text(client, " 403 "));
    lab_free(lab);
}

static void failures_outside_have_their_names(void **state)
{
    (void)state;
    static const struct {
        enum dns_result dns;
        int error;
        enum reason reason;
        const char *status;
    } cases[] = {
        {DNS_NXDOMAIN, 0,            REASON_DNS,          " 502 "},
        {DNS_SERVFAIL, 0,            REASON_DNS,          " 502 "},
        {DNS_TIMEOUT,  0,            REASON_DNS_TIME,     " 504 "},
        {DNS_OK,       ECONNREFUSED, REASON_CONNECT,      " 502 "},
        {DNS_OK,       ETIMEDOUT,    REASON_CONNECT_TIME, " 504 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lab *lab = lab_new(limited);
        struct lab_port *client = lab_client(lab);
        lab_send_text(client, CONNECT_ALLOWED);
        lab_commit(lab);
        lab_answer(lab, 0, cases[i].dns);
        if (cases[i].dns == DNS_OK)
            lab_refuse_connect(lab, 0, cases[i].error);
        lab_commit(lab);
        assert_int_equal(lab_last(lab)->final_reason, cases[i].reason);
        assert_int_equal(lab_last(lab)->end, FLOW_END_FAILED);
        assert_true(lab_got_text(client, cases[i].status));
        assert_true(lab_got_text(client, "\"retry\":true"));
        lab_free(lab);
    }
}

static void deadlines_end_each_wait(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *silent = lab_client(lab);
    lab_advance(lab, 60000);
    assert_true(silent->proxy_closed);
    assert_int_equal(lab->attempt_count, 0); /* counted, not recorded */

    struct lab_port *slow = lab_client(lab);
    for (int i = 0; i < 4; i++) {
        lab_send_text(slow, "C");
        lab_advance(lab, 2400); /* progress does not extend it */
    }
    lab_advance(lab, 400);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->reason, REASON_HEAD_TIME);
    assert_true(lab_got_text(slow, " 408 "));

    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    lab_send_text(client, "\x16\x03\x01");
    lab_advance(lab, 10000);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_HELLO_TIME);
    assert_int_equal(upstream->got_len, 0);

    uint8_t hello[2048];
    client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    lab_send(client, hello, hello_for("allowed.test", hello));
    lab_advance(lab, 3599000);
    lab_send_text(upstream, "x");
    lab_advance(lab, 3599000);
    assert_false(client->proxy_closed);
    lab_advance(lab, 2000);
    assert_true(client->proxy_closed);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_IDLE);
    lab_free(lab);
}

static void without_evidence_nothing_leaves(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    lab_gate(lab, true);
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, CONNECT_ALLOWED);
    assert_true(lab_got_text(client, "HTTP/1.1 503 "));
    assert_true(lab_got_text(client, "audit_unavailable"));
    assert_int_equal(lab->queries, 0);
    assert_int_equal(desk_take_refused(lab->desk), 1);
    lab_gate(lab, false);

    struct lab_port *late = lab_client(lab);
    lab_send_text(late, CONNECT_ALLOWED);
    lab_gate(lab, true); /* while its record waits */
    assert_true(lab_got_text(late, "HTTP/1.1 503 "));
    assert_int_equal(lab->queries, 0);
    lab_gate(lab, false);
    lab_commit(lab);
    assert_int_equal(lab->queries, 0);
    assert_int_equal(lab_last(lab)->final_reason, REASON_AUDIT);
    lab_free(lab);
}

static void open_tunnels_pause_and_end_while_outcomes_cannot_be_written(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    uint8_t hello[2048];
    size_t len = hello_for("allowed.test", hello);
    lab_send(client, hello, len);
    lab_gate(lab, true);
    lab_advance(lab, 5000);
    lab_send_text(client, "held");
    assert_int_equal(upstream->got_len, len);
    lab_gate(lab, false);
    assert_int_equal(upstream->got_len, len + 4);
    lab_gate(lab, true);
    lab_advance(lab, 5000);
    lab_advance(lab, 25000);
    assert_true(client->proxy_closed && client->proxy_reset);
    lab_free(lab);
}

/* Nobody says that the gate is shut, as when the writer hangs: bytes that come are what finds out. */
static void a_tunnel_that_is_told_nothing_sees_the_gate_by_itself(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    uint8_t hello[2048];
    size_t len = hello_for("allowed.test", hello);
    lab_send(client, hello, len);
    assert_false(desk_is_waiting(lab->desk));
    desk_set_gate(lab->desk, true);
    lab_send_text(client, "five seconds");
    assert_int_equal(upstream->got_len, len + 12);
    assert_true(desk_is_waiting(lab->desk)); /* it wants to hear when the gate opens */
    lab_advance(lab, 5000);
    lab_send_text(client, "held");
    lab_send_text(upstream, "back");
    assert_int_equal(upstream->got_len, len + 12);
    assert_int_equal(client->got_len, 0);
    lab_gate(lab, false);
    assert_int_equal(upstream->got_len, len + 16);
    assert_int_equal(client->got_len, 4);
    assert_false(desk_is_waiting(lab->desk));
    desk_set_gate(lab->desk, true);
    lab_send_text(client, "x");
    lab_advance(lab, 5000);
    lab_advance(lab, 25000);
    assert_true(client->proxy_closed && client->proxy_reset && upstream->proxy_closed);
    lab_free(lab);
}

static void a_new_policy_judges_open_tunnels(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    uint8_t hello[2048];
    lab_send(client, hello, hello_for("allowed.test", hello));
    struct lab_port *waiting = lab_client(lab);
    lab_send_text(waiting, CONNECT_ALLOWED);
    lab_commit(lab);
    lab_swap(lab, limited_plus);
    assert_false(client->proxy_closed);
    assert_int_equal(lab_lookups_pending(lab), 1);
    lab_swap(lab, limited_other);
    assert_true(client->proxy_closed && client->proxy_reset);
    assert_int_equal(lab_lookups_pending(lab), 0);
    lab_commit(lab);
    assert_true(lab_got_text(waiting, " 403 "));
    assert_int_equal(lab->attempts[0].final_reason, REASON_REVOKED);
    assert_int_equal(lab->attempts[0].generation, 1);
    assert_int_equal(lab->attempts[0].final_generation, 3);
    assert_int_equal(lab->attempts[1].final_reason, REASON_HOST);
    lab_free(lab);
}

static void a_tunnel_that_waits_for_its_hello_is_revoked_with_an_alert(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    lab_send_text(client, "\x16\x03\x01");
    lab_swap(lab, limited_other);
    lab_commit(lab);
    assert_int_equal(client->got_len, 7);
    assert_int_equal(client->got[6], 49);
    assert_int_equal(lab_last(lab)->final_reason, REASON_REVOKED);
    lab_free(lab);
}

static void budgets_hold_at_n_and_break_at_n_plus_one(void **state)
{
    (void)state;
    struct lab *lab = lab_new(few_tunnels);
    char head[128];
    struct lab_port *clients[4];
    for (int i = 0; i < 3; i++) {
        snprintf(head, sizeof head, "CONNECT n%d.wild.test:443 HTTP/1.0\r\n\r\n", i);
        clients[i] = lab_client(lab);
        lab_send_text(clients[i], head);
        lab_commit(lab);
    }
    assert_int_equal(lab->queries, 2); /* two tunnels, the third is over the limit */
    assert_true(lab_got_text(clients[2], " 503 "));
    assert_int_equal(lab_last(lab)->final_reason, REASON_LIMIT);
    assert_int_equal(lab_last(lab)->final_stage, STAGE_BUDGET);
    lab_answer(lab, 0, DNS_NXDOMAIN);
    lab_answer(lab, 0, DNS_NXDOMAIN);
    lab_finish(clients[0], LAB_EOF);
    lab_finish(clients[1], LAB_EOF);
    for (int i = 3; i < 5; i++) {
        snprintf(head, sizeof head, "CONNECT n%d.wild.test:443 HTTP/1.0\r\n\r\n", i);
        struct lab_port *client = lab_client(lab);
        lab_send_text(client, head);
        lab_commit(lab);
        lab_answer(lab, 0, DNS_NXDOMAIN);
        lab_commit(lab);
    }
    assert_int_equal(lab->queries, 3); /* the fourth new name of the minute is not asked for */
    assert_int_equal(lab_last(lab)->final_reason, REASON_LIMIT);

    struct lab_port *above = lab_client(lab); /* five attempts and the burst of five is spent */
    lab_send_text(above, "CONNECT n0.wild.test:443 HTTP/1.0\r\n\r\n");
    struct lab_port *denied = lab_client(lab);
    lab_send_text(denied, "CONNECT n0.wild.test:443 HTTP/1.0\r\n\r\n");
    struct lab_port *malformed = lab_client(lab);
    lab_send_text(malformed, "\r\r\r\n");
    size_t before = lab->attempt_count;
    lab_commit(lab);
    lab_advance(lab, 1000);
    lab_commit(lab);
    assert_int_equal(lab->attempt_count - before, 2); /* one more within the rate, and one for all that were above */
    assert_int_equal(lab_last(lab)->reason, REASON_RATE);
    assert_int_equal(lab_last(lab)->count, 2);
    assert_true(lab_got_text(denied, " 429 ") && lab_got_text(malformed, " 429 "));
    lab_free(lab);
}

static void a_byte_ceiling_cuts_at_the_byte(void **state)
{
    (void)state;
    struct lab *lab = lab_new(ceiling);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    uint8_t hello[2048], zeros[2048] = {0};
    lab_send(client, hello, hello_for("allowed.test", hello));
    lab_send(client, zeros, sizeof zeros);
    assert_int_equal(upstream->got_len, 1024);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_BYTES);
    assert_int_equal(lab_last(lab)->up, 1024);
    lab_free(lab);
}

static void backpressure_holds_without_reading_on(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    uint8_t hello[2048];
    lab_send(client, hello, hello_for("allowed.test", hello));
    lab_open_window(client, 10);
    static uint8_t bulk[200000];
    for (size_t i = 0; i < sizeof bulk; i++)
        bulk[i] = (uint8_t)(i * 7);
    lab_send(upstream, bulk, sizeof bulk);
    assert_int_equal(client->got_len, 10);
    assert_true(upstream->sent_taken < sizeof bulk);
    for (int i = 0; i < 100 && client->got_len < sizeof bulk; i++)
        lab_open_window(client, 3001);
    assert_int_equal(client->got_len, sizeof bulk);
    assert_memory_equal(client->got, bulk, sizeof bulk);
    lab_free(lab);
}

static void a_server_that_speaks_first(void **state)
{
    (void)state;
    struct lab *lab = lab_new(open_policy);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    lab_send_text(upstream, "220 ready\r\n");
    assert_int_equal(client->got_len, 0); /* not before the hello stage has allowed it */
    lab_advance(lab, 10000);
    assert_int_equal(client->got_len, 11);
    lab_free(lab);
}

static void resets_are_passed_on_and_named(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    for (int upstream_resets = 0; upstream_resets < 2; upstream_resets++) {
        struct lab_port *upstream = NULL;
        struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
        uint8_t hello[2048];
        lab_send(client, hello, hello_for("allowed.test", hello));
        lab_finish(upstream_resets ? upstream : client, LAB_RESET);
        assert_true(client->proxy_closed && client->proxy_reset && upstream->proxy_closed && upstream->proxy_reset);
        lab_commit(lab);
        assert_int_equal(lab_last(lab)->final_reason, upstream_resets ? REASON_UPSTREAM_RESET : REASON_CLIENT_RESET);
        assert_int_equal(lab_last(lab)->end, FLOW_END_RESET);
    }
    lab_free(lab);
}

static void a_client_that_resets_while_it_waits_ends_the_attempt(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    for (int dialling = 0; dialling < 2; dialling++) {
        struct lab_port *client = lab_client(lab);
        lab_send_text(client, CONNECT_ALLOWED);
        lab_commit(lab);
        if (dialling)
            lab_answer(lab, 0, DNS_OK);
        lab_send_text(client, "early");
        lab_finish(client, LAB_RESET);
        assert_true(client->proxy_closed);
        assert_int_equal(lab_lookups_pending(lab) + lab_dials_pending(lab), 0);
        lab_commit(lab);
        assert_int_equal(lab_last(lab)->final_reason, REASON_CLIENT_RESET);
    }
    lab_free(lab);
}

static void on_empty(void *arg)
{
    ((struct lab *)arg)->emptied = true;
}

static void draining_lets_tunnels_finish_and_then_cuts(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *upstream = NULL;
    struct lab_port *client = open_tunnel(lab, CONNECT_ALLOWED, &upstream);
    uint8_t hello[2048];
    lab_send(client, hello, hello_for("allowed.test", hello));
    struct lab_port *silent = lab_client(lab);
    tunnels_drain(lab->tunnels, lab->now_ms + 30000, on_empty, lab);
    lab_turn(lab);
    assert_true(silent->proxy_closed && !client->proxy_closed);
    lab_send_text(client, "still");
    assert_false(lab->emptied);
    lab_advance(lab, 30000);
    assert_true(lab->emptied && client->proxy_closed);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_DRAINED);
    lab_free(lab);
}

static void nobody_in_particular_is_refused(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    lab->unknown_client = true;
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, CONNECT_ALLOWED);
    lab_commit(lab);
    assert_true(lab_got_text(client, " 403 ") && lab_got_text(client, "identity_unknown"));
    assert_int_equal(lab_last(lab)->reason, REASON_IDENTITY);
    lab_free(lab);
}

static void pages_are_no_attempts(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(lab_got_text(client, "HTTP/1.1 200 "));
    client = lab_client(lab);
    lab_send_text(client, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(lab_got_text(client, "HTTP/1.1 404 "));
    lab_commit(lab);
    assert_int_equal(lab->attempt_count, 0);
    lab_free(lab);
}

#define CONNECT_DENIED "CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\n"

/* Whoever takes the refusal and goes costs no registration: its port stays deaf to the end. */
static void a_refused_client_that_goes_was_never_listened_to(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client_says(lab, CONNECT_DENIED, strlen(CONNECT_DENIED));
    lab_advance(lab, 4999);
    assert_int_equal(client->got_len, 0); /* not before the record is durable */
    lab_commit(lab);
    assert_true(lab_got_text(client, "HTTP/1.1 403 ") && client->proxy_shut && client->port.deaf);
    lab_finish(client, LAB_EOF);
    assert_false(client->proxy_closed);
    lab_advance(lab, 2);
    assert_true(client->proxy_closed && !client->proxy_reset && client->port.deaf);
    lab_free(lab);
}

/* Whoever stays is listened to after a moment, what it still says is drained, and its end is an orderly one. */
static void a_refused_client_that_stays_is_listened_to(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client_says(lab, CONNECT_DENIED, strlen(CONNECT_DENIED));
    lab_commit(lab);
    lab_send_text(client, "early");
    assert_true(client->port.deaf);
    lab_advance(lab, 2);
    assert_false(client->port.deaf);
    assert_int_equal(client->sent_taken, client->sent_len);
    lab_send_text(client, "late");
    assert_int_equal(client->sent_taken, client->sent_len);
    lab_advance(lab, 1999);
    assert_false(client->proxy_closed);
    lab_finish(client, LAB_EOF);
    assert_true(client->proxy_closed && !client->proxy_reset);
    client = lab_client_says(lab, CONNECT_DENIED, strlen(CONNECT_DENIED));
    lab_commit(lab);
    lab_advance(lab, 2);
    lab_advance(lab, 2000);
    assert_true(client->proxy_closed && client->proxy_reset);
    lab_free(lab);
}

/* No memory to register it: what has begun is refused and on record, what has not is closed, and nothing leaves. */
static void a_client_that_cannot_be_listened_to(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    lab->cannot_listen = true;
    struct lab_port *silent = lab_client(lab);
    assert_true(silent->proxy_closed && silent->proxy_reset);
    struct lab_port *half = lab_client_says(lab, "CONNECT allo", 12);
    assert_int_equal(half->got_len, 0);
    lab_commit(lab);
    assert_true(lab_got_text(half, " 503 ") && lab_got_text(half, "limit_reached"));
    assert_int_equal(lab->attempt_count, 1);
    assert_int_equal(lab_last(lab)->reason, REASON_LIMIT);
    lab_advance(lab, 2);
    assert_true(half->proxy_closed);
    struct lab_port *whole = lab_client_says(lab, CONNECT_ALLOWED, strlen(CONNECT_ALLOWED));
    assert_true(whole->proxy_closed && whole->proxy_reset);
    lab_commit(lab);
    assert_int_equal(lab->attempt_count, 2);
    assert_true(lab_last(lab)->allowed && lab_last(lab)->outcome);
    assert_int_equal(lab_last(lab)->final_reason, REASON_LIMIT);
    assert_int_equal(lab->queries, 0);
    lab_free(lab);
}

static void an_allowed_client_is_listened_to_while_it_waits(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client_says(lab, CONNECT_ALLOWED, strlen(CONNECT_ALLOWED));
    assert_false(client->port.deaf);
    lab_commit(lab);
    assert_int_equal(lab_lookups_pending(lab), 1);
    lab_finish(client, LAB_RESET);
    assert_true(client->proxy_closed);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allowed_tunnel),
        cmocka_unit_test(nothing_leaves_before_the_record_is_durable),
        cmocka_unit_test(a_denied_name_is_never_asked_for),
        cmocka_unit_test(refused_hellos),
        cmocka_unit_test(a_hello_in_the_segment_of_the_head_goes_first_and_unchanged),
        cmocka_unit_test(an_address_that_is_forbidden_is_not_dialled),
        cmocka_unit_test(failures_outside_have_their_names),
        cmocka_unit_test(deadlines_end_each_wait),
        cmocka_unit_test(without_evidence_nothing_leaves),
        cmocka_unit_test(open_tunnels_pause_and_end_while_outcomes_cannot_be_written),
        cmocka_unit_test(a_tunnel_that_is_told_nothing_sees_the_gate_by_itself),
        cmocka_unit_test(a_new_policy_judges_open_tunnels),
        cmocka_unit_test(a_tunnel_that_waits_for_its_hello_is_revoked_with_an_alert),
        cmocka_unit_test(budgets_hold_at_n_and_break_at_n_plus_one),
        cmocka_unit_test(a_byte_ceiling_cuts_at_the_byte),
        cmocka_unit_test(backpressure_holds_without_reading_on),
        cmocka_unit_test(a_server_that_speaks_first),
        cmocka_unit_test(resets_are_passed_on_and_named),
        cmocka_unit_test(a_client_that_resets_while_it_waits_ends_the_attempt),
        cmocka_unit_test(draining_lets_tunnels_finish_and_then_cuts),
        cmocka_unit_test(nobody_in_particular_is_refused),
        cmocka_unit_test(pages_are_no_attempts),
        cmocka_unit_test(a_refused_client_that_goes_was_never_listened_to),
        cmocka_unit_test(a_refused_client_that_stays_is_listened_to),
        cmocka_unit_test(a_client_that_cannot_be_listened_to),
        cmocka_unit_test(an_allowed_client_is_listened_to_while_it_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
