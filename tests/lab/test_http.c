/* SPDX-License-Identifier: Apache-2.0 */
/* Stories of plain HTTP, told event by event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab.h"

static const char limited[] = "name: lab\n"
                              "config:\n"
                              "  type: self_hosted\n"
                              "  networking:\n"
                              "    type: limited\n"
                              "    allowed_hosts: [allowed.test, other.test]\n";

#define GET          "GET http://allowed.test/x?q=1 HTTP/1.1\r\nHost: allowed.test\r\n\r\n"
#define POST(fields) "POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n" fields "\r\n"
#define OK_BODY      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static void a_request_and_its_answer(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream =
        lab_ask(lab, client,
                "GET http://Allowed.test/x?q=1 HTTP/1.1\r\nHost: ALLOWED.test\r\nUser-Agent: t\r\nProxy-Authorization: "
                "Basic c2VjcmV0\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n");
    assert_true(lab_got_text(upstream, "GET /x?q=1 HTTP/1.1\r\nHost: allowed.test\r\n"));
    assert_true(lab_got_text(upstream, "User-Agent: t\r\n") &&
                lab_got_text(upstream, "Via: 1.1 sallyport-0123456789abcdef"));
    assert_false(lab_got_text(upstream, "c2VjcmV0") || lab_got_text(upstream, "X-Forwarded-For"));
    assert_false(lab_got_text(upstream, "X-Hop"));
    lab_send_text(upstream, OK_BODY);
    assert_true(lab_got_text(client, "HTTP/1.1 200 OK\r\n") && lab_got_text(client, "\r\n\r\nhello"));
    assert_false(client->proxy_closed);
    lab_commit(lab);
    assert_true(lab_last(lab)->outcome);
    assert_int_equal(lab_last(lab)->final_reason, REASON_ALLOWED);
    lab_free(lab);
}

static void the_next_request_uses_the_same_upstream_and_is_recorded_anew(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    for (int i = 0; i < 3; i++) {
        lab_send_text(upstream, OK_BODY);
        upstream->got_len = client->got_len = 0;
        assert_false(upstream->proxy_closed);
        lab_send_text(client, GET);
        assert_int_equal(upstream->got_len, 0); /* not before its own record is durable */
        lab_commit(lab);
        assert_true(lab_got_text(upstream, "GET /x?q=1 HTTP/1.1\r\n"));
    }
    lab_send_text(upstream, OK_BODY);
    lab_commit(lab);
    assert_int_equal(lab->connects, 1);
    assert_int_equal(lab->queries, 1);
    assert_int_equal(lab->attempt_count, 4);
    /* Another target: the upstream at hand is not for it. */
    lab_send_text(client, "GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_true(upstream->proxy_closed);
    lab_commit(lab);
    lab_answer(lab, 0, DNS_OK);
    assert_non_null(lab_connect(lab, 0));
    lab_free(lab);
}

/* Whether the connection is kept or not, and where the answer is ours: each byte once. */
static void bytes_are_counted_once(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    const struct tunnel_counters *counters = tunnels_counters(lab->tunnels);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, OK_BODY);
    lab_send_text(client, "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n");
    lab_commit(lab);
    lab_send_text(upstream, OK_BODY);
    lab_finish(client, LAB_EOF);
    assert_true(client->proxy_closed && upstream->proxy_closed);
    assert_int_equal(atomic_load(&counters->bytes_up), upstream->got_len);
    assert_int_equal(atomic_load(&counters->bytes_down), client->got_len);
    uint64_t up = upstream->got_len, down = client->got_len;
    client = lab_client(lab);
    upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, "nonsense\r\n\r\n");
    lab_commit(lab);
    lab_finish(client, LAB_EOF);
    assert_true(lab_got_text(client, " 502 ") && client->proxy_closed);
    assert_int_equal(atomic_load(&counters->bytes_up), up + upstream->got_len);
    assert_int_equal(atomic_load(&counters->bytes_down), down); /* of the upstream's */
    lab_free(lab);
}

static void an_upstream_that_said_more_is_thrown_away(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, OK_BODY);
    lab_send_text(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    client->got_len = 0;
    struct lab_port *next = lab_ask(lab, client, GET);
    assert_true(upstream->proxy_closed);
    assert_false(lab_got_text(client, "evil"));
    lab_send_text(next, OK_BODY);
    assert_true(lab_got_text(client, "hello"));
    lab_free(lab);
}

static void pipelined_requests_are_judged_one_by_one(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream =
        lab_ask(lab, client, GET "GET http://denied.test/secret HTTP/1.1\r\nHost: denied.test\r\n\r\n" GET);
    assert_false(lab_got_text(upstream, "secret"));
    lab_send_text(upstream, OK_BODY);
    lab_commit(lab);
    assert_true(lab_got_text(client, "hello"));
    assert_true(lab_got_text(client, "HTTP/1.1 403 policy"));
    assert_true(client->proxy_shut);
    assert_false(lab_got_text(upstream, "secret"));
    assert_int_equal(lab->attempt_count, 2); /* what came behind a refusal is drained unparsed */
    assert_int_equal(lab_last(lab)->reason, REASON_HOST);
    lab_free(lab);
}

/* The record and the answer of a head that cannot be read name no host, least of all the one of the request before. */
static void a_bad_head_after_a_good_one_has_no_target(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\nBad Field: 1\r\n\r\n",
        "CONNECT other.test HTTP/1.1\r\n\r\n", "GET http://oth", /* and nothing more */
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct lab *lab = lab_new(limited);
        struct lab_port *client = lab_client(lab);
        struct lab_port *upstream = lab_ask(lab, client, GET);
        lab_send_text(upstream, OK_BODY);
        lab_commit(lab);
        assert_string_equal(lab_last(lab)->host, "allowed.test");
        client->got_len = 0;
        lab_send_text(client, heads[i]);
        lab_advance(lab, 10000);
        lab_commit(lab);
        assert_int_equal(lab->attempt_count, 2);
        assert_string_equal(lab_last(lab)->host, "");
        assert_false(lab_last(lab)->allowed);
        assert_true(lab_got_text(client, "\"host\":null"));
        assert_false(lab_got_text(client, "allowed.test"));
        assert_true(upstream->proxy_closed);
        lab_free(lab);
    }
}

struct refused {
    const char *request;
    enum reason reason;
    const char *status;
};

static void what_is_ambiguous_or_forbidden_is_refused(void **state)
{
    (void)state;
    static const struct refused cases[] = {
        {POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),            REASON_FRAMING,        " 400 "},
        {POST("Content-Length: 05\r\n"),                                         REASON_FRAMING,        " 400 "},
        {POST("Content-Length: 5\r\nContent-Length: 5\r\n"),                     REASON_FRAMING,        " 400 "},
        {POST("Transfer-Encoding: chunked, chunked\r\n"),                        REASON_FRAMING,        " 400 "},
        {POST("Expect: nonsense\r\nContent-Length: 1\r\n"),                      REASON_EXPECTATION,    " 417 "},
        {"GET http://allowed.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n",        REASON_MISMATCH,       " 421 "},
        {"GET http://allowed.test:8080/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n", REASON_PORT,           " 403 "},
        {"TRACE http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",    REASON_METHOD,         " 405 "},
        {"FOO http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",      REASON_METHOD_UNKNOWN, " 501 "},
        {"GET http://10.1.2.3/ HTTP/1.1\r\nHost: 10.1.2.3\r\n\r\n",              REASON_LITERAL,        " 403 "},
        {"GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nVia: 1.1 a, 1.1 "
         "sallyport-0123456789abcdef\r\n\r\n",                          REASON_LOOP,           " 508 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lab *lab = lab_new(limited);
        struct lab_port *client = lab_client(lab);
        lab_send_text(client, cases[i].request);
        lab_commit(lab);
        assert_int_equal(lab_last(lab)->reason, cases[i].reason);
        assert_true(lab_got_text(client, cases[i].status));
        assert_int_equal(lab->queries, 0);
        lab_free(lab);
    }
}

static void a_chunked_body_is_streamed_and_framed_anew(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, POST("Transfer-Encoding: chunked\r\n") "3;ext=1\r\nabc\r\n");
    assert_true(lab_got_text(upstream, "Transfer-Encoding: chunked\r\n"));
    assert_true(lab_got_text(upstream, "3\r\nabc\r\n"));
    assert_false(lab_got_text(upstream, "ext"));
    lab_send_text(client, "1\r\nd\r\n1\r\ne\r\n0\r\nX-Trailer: 1\r\n\r\n");
    assert_true(lab_got_text(upstream, "0\r\n\r\n"));
    assert_false(lab_got_text(upstream, "Trailer: 1"));
    lab_send_text(upstream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe");
    assert_true(lab_got_text(client, "he")); /* at once, not when the chunk is whole */
    lab_send_text(upstream, "llo\r\n0\r\n\r\n");
    assert_true(lab_got_text(client, "0\r\n\r\n"));
    lab_commit(lab);
    assert_true(lab_last(lab)->outcome);
    assert_int_equal(lab_last(lab)->final_reason, REASON_ALLOWED);
    lab_free(lab);
}

static void a_body_that_breaks_off_or_lies(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, POST("Transfer-Encoding: chunked\r\n") "3\r\nabc\r\n");
    lab_send_text(client, "0x5\r\nabcde\r\n0\r\n\r\n");
    lab_commit(lab);
    assert_true(lab_got_text(client, " 400 "));
    assert_true(upstream->proxy_closed);
    assert_int_equal(lab_last(lab)->final_reason, REASON_FRAMING);

    client = lab_client(lab);
    upstream = lab_ask(lab, client, POST("Content-Length: 10\r\n") "abc");
    lab_finish(client, LAB_EOF);
    lab_commit(lab);
    assert_true(upstream->proxy_closed && upstream->proxy_reset);
    assert_int_equal(lab_last(lab)->final_reason, REASON_CLIENT_RESET);

    client = lab_client(lab);
    upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    lab_finish(upstream, LAB_EOF);
    lab_commit(lab);
    assert_true(client->proxy_closed && client->proxy_reset); /* a short answer must not look whole */
    assert_int_equal(lab_last(lab)->final_reason, REASON_UPSTREAM);
    lab_free(lab);
}

static void bad_answers_are_bad_gateways(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/2 200\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct lab *lab = lab_new(limited);
        struct lab_port *client = lab_client(lab);
        struct lab_port *upstream = lab_ask(lab, client, GET);
        lab_send_text(upstream, answers[i]);
        lab_commit(lab);
        assert_true(lab_got_text(client, "HTTP/1.1 502 "));
        assert_true(upstream->proxy_closed);
        assert_int_equal(lab_last(lab)->final_reason, REASON_UPSTREAM);
        lab_free(lab);
    }
}

static void answers_without_a_body(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"HEAD http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"                                                                                                },
        {GET,                                                                "HTTP/1.1 204 No Content\r\n\r\n"                                          },
        {GET,                                                                "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"                  },
        {GET,                                                                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lab *lab = lab_new(limited);
        struct lab_port *client = lab_client(lab);
        struct lab_port *upstream = lab_ask(lab, client, cases[i][0]);
        lab_send_text(upstream, cases[i][1]);
        lab_commit(lab);
        assert_true(lab_last(lab)->outcome && lab_last(lab)->final_reason == REASON_ALLOWED);
        assert_false(client->proxy_closed || upstream->proxy_closed);
        assert_false(lab_got_text(client, "100 Continue")); /* nobody expected it */
        lab_free(lab);
    }
}

static void an_answer_until_close_closes(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, "HTTP/1.0 200 OK\r\n\r\nall of it");
    assert_true(lab_got_text(client, "Connection: close\r\n"));
    lab_finish(upstream, LAB_EOF);
    assert_true(lab_got_text(client, "all of it") && client->proxy_shut);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_ALLOWED);
    lab_free(lab);
}

static void an_early_answer_ends_the_upload(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, POST("Content-Length: 100000\r\n") "abc");
    lab_send_text(upstream, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert_true(lab_got_text(client, "HTTP/1.1 413 ") && lab_got_text(client, "no"));
    assert_true(client->proxy_shut && upstream->proxy_closed);
    lab_free(lab);
}

#define UNTIL_CLOSE "HTTP/1.0 200 OK\r\n\r\npart of it"
#define HINTS       "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"

static void cut_without_a_word(struct lab *lab, const struct lab_port *client, const struct lab_port *upstream,
                               enum reason reason)
{
    assert_true(client->proxy_closed && client->proxy_reset && upstream->proxy_closed);
    assert_false(lab_got_text(client, "\"reason\""));
    lab_commit(lab);
    assert_true(lab_last(lab)->outcome);
    assert_int_equal(lab_last(lab)->final_reason, reason);
}

/* A refusal in the middle of an answer would be a part of it, and one that lasts until the connection ends would look
 * whole. */
static void a_refusal_is_never_put_into_an_answer(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, POST("Content-Length: 100000\r\n") "abc");
    lab_send_text(upstream, UNTIL_CLOSE);
    assert_true(lab_got_text(client, "part of it"));
    lab->process.memory_max = budget_used(&lab->process.memory);
    lab_send_text(client, "more of the body, for which there is no room");
    cut_without_a_word(lab, client, upstream, REASON_LIMIT);
    lab_free(lab);

    lab = lab_new("name: lab\n"
                  "config: {type: self_hosted, networking: {type: limited, allowed_hosts: [allowed.test]}}\n"
                  "egress: {limits: {bytes_up: 1KiB}}\n");
    client = lab_client(lab);
    upstream = lab_ask(lab, client, POST("Content-Length: 100000\r\n") "abc");
    lab_open_window(client, 20);
    lab_send_text(upstream, HINTS);
    static char body[4096];
    memset(body, 'b', sizeof body - 1);
    lab_send_text(client, body);
    cut_without_a_word(lab, client, upstream, REASON_BYTES);
    assert_int_equal(client->got_len, 20);
    lab_free(lab);

    lab = lab_new(limited);
    client = lab_client(lab);
    upstream = lab_ask(lab, client, POST("Transfer-Encoding: chunked\r\n") "3\r\nabc\r\n");
    lab_open_window(client, 20);
    lab_send_text(upstream, HINTS);
    assert_int_equal(client->got_len, 20); /* of an answer that goes on */
    lab_send_text(client, "nonsense\r\n");
    cut_without_a_word(lab, client, upstream, REASON_FRAMING);
    assert_int_equal(client->got_len, 20);
    lab_free(lab);
}

static void a_websocket_becomes_a_tunnel_after_a_real_101(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(
        lab, client,
        "GET http://allowed.test/ws HTTP/1.1\r\nHost: allowed.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    assert_true(lab_got_text(upstream, "Upgrade: websocket\r\n"));
    size_t before = upstream->got_len;
    lab_send_text(client, "early");
    assert_int_equal(upstream->got_len, before);
    lab_send_text(upstream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nframe");
    assert_true(lab_got_text(client, "HTTP/1.1 101 ") && lab_got_text(client, "\r\n\r\nframe"));
    assert_true(lab_got_text(upstream, "early"));
    lab_send_text(client, "more");
    assert_true(lab_got_text(upstream, "earlymore"));
    lab_finish(client, LAB_EOF);
    lab_finish(upstream, LAB_EOF);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_ALLOWED);
    lab_free(lab);
}

static void other_upgrades_are_dropped(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream =
        lab_ask(lab, client,
                "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n");
    assert_false(lab_got_text(upstream, "h2c") || lab_got_text(upstream, "HTTP2"));
    lab_free(lab);
}

static void a_policy_swap_cuts_an_answer_under_way(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
    lab_swap(lab, "name: lab\nconfig: {type: self_hosted, networking: {type: limited}}\n");
    assert_true(client->proxy_closed && client->proxy_reset);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_REVOKED);
    lab_free(lab);
}

/* A connection that is kept for a next request does not outlive the policy that had opened it. */
static void a_policy_swap_closes_an_upstream_that_rests(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    struct lab_port *upstream = lab_ask(lab, client, GET);
    lab_send_text(upstream, OK_BODY);
    lab_commit(lab);
    assert_false(upstream->proxy_closed);
    assert_int_equal(budget_used(&lab->process.descriptors), 2);
    lab_swap(lab, "name: lab\nconfig: {type: self_hosted, networking: {type: limited, allowed_hosts: [other.test]}}\n");
    assert_true(upstream->proxy_closed && !client->proxy_closed);
    assert_int_equal(budget_used(&lab->process.descriptors), 1);
    assert_int_equal(budget_used(&lab->tenant->descriptors), 1);
    upstream = lab_ask(lab, client, "GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n");
    assert_true(lab_got_text(upstream, "Host: other.test\r\n"));
    assert_int_equal(budget_used(&lab->process.descriptors), 2);
    lab_send_text(upstream, OK_BODY);
    lab_send_text(client, GET);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->reason, REASON_HOST);
    lab_free(lab);
}

static void backpressure_reaches_the_client(void **state)
{
    (void)state;
    struct lab *lab = lab_new(limited);
    struct lab_port *client = lab_client(lab);
    static char bulk[150000];
    memset(bulk, 'b', sizeof bulk - 1);
    struct lab_port *upstream = lab_ask(lab, client, POST("Content-Length: 149999\r\n"));
    lab_open_window(upstream, 0);
    lab_send_text(client, bulk);
    assert_true(client->sent_len - client->sent_taken > 50000); /* what the upstream does not take is not read */
    for (int i = 0; i < 200; i++)
        lab_open_window(upstream, 1500);
    assert_true(lab_got_text(upstream, bulk));
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_and_its_answer),
        cmocka_unit_test(the_next_request_uses_the_same_upstream_and_is_recorded_anew),
        cmocka_unit_test(bytes_are_counted_once),
        cmocka_unit_test(an_upstream_that_said_more_is_thrown_away),
        cmocka_unit_test(pipelined_requests_are_judged_one_by_one),
        cmocka_unit_test(a_bad_head_after_a_good_one_has_no_target),
        cmocka_unit_test(what_is_ambiguous_or_forbidden_is_refused),
        cmocka_unit_test(a_chunked_body_is_streamed_and_framed_anew),
        cmocka_unit_test(a_body_that_breaks_off_or_lies),
        cmocka_unit_test(bad_answers_are_bad_gateways),
        cmocka_unit_test(answers_without_a_body),
        cmocka_unit_test(an_answer_until_close_closes),
        cmocka_unit_test(an_early_answer_ends_the_upload),
        cmocka_unit_test(a_refusal_is_never_put_into_an_answer),
        cmocka_unit_test(a_websocket_becomes_a_tunnel_after_a_real_101),
        cmocka_unit_test(other_upgrades_are_dropped),
        cmocka_unit_test(a_policy_swap_cuts_an_answer_under_way),
        cmocka_unit_test(a_policy_swap_closes_an_upstream_that_rests),
        cmocka_unit_test(backpressure_reaches_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
