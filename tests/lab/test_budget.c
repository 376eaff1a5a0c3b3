/* SPDX-License-Identifier: Apache-2.0 */
/* The byte budget of what connections hold, and the limit on connections that come to nothing: at N and at N + 1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab.h"

#include "support/hello_build.h"

#define HALF "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allo"
#define FULL "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"

#define POLICY(limits)                                                                                                 \
    "name: lab\n"                                                                                                      \
    "config: {type: self_hosted, networking: {type: limited, allowed_hosts: [allowed.test]}}\n"                        \
    "egress: {limits: {" limits "}}\n"

static bool says(const struct lab_port *client, const char *text)
{
    return client->got_len >= strlen(text) && memmem(client->got, client->got_len, text, strlen(text)) != NULL;
}

static uint64_t reached(const struct lab *lab, enum limit limit)
{
    return atomic_load(&tunnels_counters(lab->tunnels)->limits[limit]);
}

static struct lab_port *half(struct lab *lab)
{
    struct lab_port *client = lab_client(lab);
    assert_non_null(client);
    lab_send_text(client, HALF);
    return client;
}

static void leave(struct lab *lab, struct lab_port *client)
{
    lab_finish(client, LAB_RESET);
    lab_commit(lab);
    lab_advance(lab, 3000);
    assert_true(client->proxy_closed);
    lab_release(client);
}

/* What one half-read head costs. */
static uint64_t cost(struct lab *lab)
{
    struct lab_port *one = half(lab);
    uint64_t bytes = budget_used(&lab->process.memory);
    assert_in_range(bytes, 4096, 16384);
    assert_int_equal(budget_used(&lab->tenant->memory), bytes);
    leave(lab, one);
    assert_int_equal(budget_used(&lab->process.memory), 0);
    return bytes;
}

static void test_the_budget_of_the_process(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("head_timeout: 10m"));
    uint64_t each = cost(lab);
    lab->process.memory_max = 5 * each;
    struct lab_port *held[5];
    for (unsigned i = 0; i < 5; i++)
        held[i] = half(lab);
    assert_int_equal(budget_used(&lab->process.memory), 5 * each);
    assert_int_equal(reached(lab, LIMIT_memory), 0);
    struct lab_port *over = half(lab);
    assert_true(says(over, "HTTP/1.1 503 ") && says(over, "limit_reached") && says(over, "Retry-After: 1\r\n"));
    assert_int_equal(reached(lab, LIMIT_memory), 1);
    leave(lab, over);
    leave(lab, held[0]);
    struct lab_port *next = half(lab);
    assert_int_equal(next->got_len, 0);
    assert_int_equal(budget_used(&lab->process.memory), 5 * each);
    lab_free(lab);
}

static void test_the_budget_of_an_environment(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("head_timeout: 10m, memory: 64KiB"));
    uint64_t n = (64u << 10) / cost(lab);
    assert_in_range(n, 4, 16);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(half(lab)->got_len, 0);
    struct lab_port *over = half(lab);
    assert_true(says(over, " 503 ") && says(over, "limit_reached"));
    assert_int_equal(reached(lab, LIMIT_memory), 1);
    assert_true(budget_used(&lab->tenant->memory) <= 64u << 10);
    lab_free(lab);
}

/* A head that has begun is an attempt: more of it than there is room for is refused, and that is on record. */
static void test_a_head_that_grows(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("head_timeout: 10m"));
    static char field[5001] = "X: ";
    memset(field + 3, 'x', sizeof field - 4);
    struct lab_port *small = half(lab), *fits = half(lab);
    lab_send_text(fits, field);
    assert_int_equal(fits->got_len, 0);
    assert_true(budget_used(&lab->process.memory) > 65536);
    lab->process.memory_max = budget_used(&lab->process.memory) + 65535;
    lab_send_text(small, field);
    lab_commit(lab);
    assert_true(says(small, " 503 ") && says(small, "limit_reached"));
    assert_int_equal(lab_last(lab)->reason, REASON_LIMIT);
    assert_int_equal(reached(lab, LIMIT_memory), 1);
    lab_free(lab);
}

/* What a receiver does not take counts too, and ends its tunnel when there is no room for it. */
static void test_what_a_slow_receiver_leaves(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("idle: 10m"));
    struct lab_port *client = lab_client(lab);
    uint8_t hello[2048];
    static uint8_t flood[40000];
    struct hello_build spec = {.sni = "allowed.test", .alpn = "h2"};
    lab_send_text(client, FULL);
    lab_commit(lab);
    assert_true(lab_answer(lab, 0, DNS_OK));
    struct lab_port *upstream = lab_connect(lab, 0);
    lab_send(client, hello, hello_build(&spec, hello, sizeof hello));
    uint64_t idle = budget_used(&lab->process.memory);
    client->window = 0;
    lab_send(upstream, flood, sizeof flood);
    assert_int_equal(budget_used(&lab->process.memory), idle + sizeof flood);
    lab_open_window(client, 1u << 20);
    assert_int_equal(budget_used(&lab->process.memory), idle);
    client->window = 0;
    lab->process.memory_max = idle + sizeof flood - 1;
    lab_send(upstream, flood, sizeof flood);
    assert_true(client->proxy_closed && upstream->proxy_closed);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_LIMIT);
    assert_int_equal(reached(lab, LIMIT_memory), 1);
    lab_free(lab);
}

/* A connection that rests between two requests holds no more after a body of many bytes than after none. */
static void test_what_a_kept_connection_holds(void **state)
{
    (void)state;
    static char body[20001];
    memset(body, 'b', sizeof body - 1);
    struct lab *lab = lab_new(POLICY("idle: 10m"));
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n");
    lab_commit(lab);
    assert_true(lab_answer(lab, 0, DNS_OK));
    struct lab_port *upstream = lab_connect(lab, 0);
    lab_send_text(upstream, "HTTP/1.1 204 No Content\r\n\r\n");
    uint64_t rests = budget_used(&lab->process.memory);
    lab_send_text(client, "POST http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 20000\r\n\r\n");
    lab_commit(lab);
    for (size_t at = 0; at < sizeof body - 1; at += 5000) {
        lab_send(client, body + at, 5000);
        assert_true(budget_used(&lab->process.memory) > rests + 65536);
    }
    lab_send_text(upstream, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_false(client->proxy_closed || upstream->proxy_closed);
    assert_in_range(budget_used(&lab->process.memory), rests - 4096, rests);
    lab_send_text(client, "GET http://allowed.test/ HTTP/1.1\r\nHost: allowed.test\r\n\r\n");
    lab_commit(lab);
    assert_int_equal(lab->attempt_count, 3);
    assert_true(lab_last(lab)->allowed);
    lab_free(lab);
}

/* Opens half-read heads for a tenant until one is refused; gives how many were not. */
static unsigned fill(struct lab *lab, struct tenant *tenant, struct lab_port **held)
{
    unsigned n = 0;
    lab->tenant = tenant;
    for (;; n++) {
        held[n] = half(lab);
        if (held[n]->got_len > 0)
            break;
    }
    assert_true(says(held[n], " 503 "));
    leave(lab, held[n]);
    return n;
}

/* Whoever holds the most is refused first, and one that holds little still gets something. */
static void test_the_largest_is_refused_first(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("head_timeout: 10m"));
    struct tenant *own = lab->tenant, *others[2];
    struct lab_port *a[32], *b[32], *c[32];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(tenant_new(span_text(i == 0 ? "b" : "c"), &others[i]), ERR_NONE);
    uint64_t each = cost(lab);
    lab->process.memory_max = 1600 * (each / 100 + 1);
    atomic_store(&lab->process.share_percent, 50);
    unsigned as = fill(lab, own, a), bs = fill(lab, others[0], b), cs = fill(lab, others[1], c);
    assert_int_equal(as, 8); /* half, its share */
    assert_int_equal(bs, 4); /* the 5th would hold more than what is left */
    assert_int_equal(cs, 2);
    assert_true(budget_used(&lab->process.memory) <= lab->process.memory_max);
    lab->tenant = own;
    assert_true(says(half(lab), " 503 "));
    for (unsigned i = 0; i < bs; i++)
        leave(lab, b[i]);
    for (unsigned i = 0; i < cs; i++)
        leave(lab, c[i]);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(budget_used(&others[i]->memory), 0);
        tenant_free(others[i]);
    }
    lab_free(lab);
}

/* Half-read heads hold room for their records. Those of one environment leave some for the others. */
static void test_room_for_records_that_slow_heads_hold(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("head_timeout: 10m"));
    struct tenant *own = lab->tenant, *other;
    struct lab_port *a[32], *b[32];
    size_t cap, kept = 0;
    assert_int_equal(tenant_new(span_text("b"), &other), ERR_NONE);
    atomic_store(&lab->process.share_percent, 50);
    while (desk_room(lab->desk, &cap) >= 31 * DESK_PAIR_BYTES && desk_credit_take(lab->desk, DESK_PAIR_BYTES))
        kept += DESK_PAIR_BYTES;
    assert_in_range(desk_room(lab->desk, &cap) / DESK_PAIR_BYTES, 30, 30);
    unsigned as = fill(lab, own, a), bs = fill(lab, other, b);
    assert_int_equal(as, 16); /* the next one would hold more than what is left */
    assert_int_equal(bs, 8);
    assert_int_equal(budget_used(&own->credit), as * DESK_PAIR_BYTES);
    assert_true(desk_room(lab->desk, &cap) >= 6 * DESK_PAIR_BYTES);
    assert_int_equal(reached(lab, LIMIT_share), 2);
    for (unsigned i = 0; i < bs; i++)
        leave(lab, b[i]);
    assert_int_equal(budget_used(&other->credit), 0);
    tenant_free(other);
    lab->tenant = own;
    desk_credit_give(lab->desk, kept);
    lab_free(lab);
}

/* The share of a whole environment counts from the first byte of a head. */
static void test_the_share_of_room_counts_heads(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("head_timeout: 10m"));
    struct lab_port *held[32];
    lab->process.credit_max = 10 * DESK_PAIR_BYTES;
    atomic_store(&lab->process.share_percent, 50);
    assert_int_equal(fill(lab, lab->tenant, held), 5);
    lab_send_text(held[0], "wed.test:443\r\n\r\n"); /* the rest of its head */
    lab_commit(lab);
    assert_int_equal(lab->queries, 0); /* there is room for its outcome, and none for its questions */
    assert_true(says(held[0], "limit_reached"));
    lab_free(lab);
}

/* ---- connections that come to nothing ---- */

static void come_to_nothing(struct lab *lab, unsigned count, uint32_t expected_rest_ms)
{
    for (unsigned i = 0; i < count; i++) {
        struct lab_port *client = half(lab);
        assert_int_equal(lab->rest_ms, expected_rest_ms);
        lab_finish(client, LAB_RESET);
        lab_commit(lab);
        lab_turn(lab);
        assert_true(client->proxy_closed);
        lab_release(client);
    }
}

static void test_too_many_come_to_nothing(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("unfinished_per_second: 20, unfinished_burst: 3"));
    come_to_nothing(lab, 4, 0); /* the burst, and the one after it */
    assert_int_equal(reached(lab, LIMIT_unfinished_per_second), 0);
    struct lab_port *good = lab_client(lab);
    assert_int_equal(lab->rest_ms, 50); /* until the next one is due */
    assert_int_equal(reached(lab, LIMIT_unfinished_per_second), 1);
    lab_send_text(good, "CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\n\r\n");
    lab_commit(lab);
    assert_true(says(good, " 403 ")); /* who was accepted is served all the same, and is none of them */
    lab_advance(lab, 50);
    come_to_nothing(lab, 1, 0);
    /* However many they are: a second later it is over. */
    for (unsigned i = 0; i < 60; i++)
        come_to_nothing(lab, 1, i == 0 ? 50 : 100);
    lab_advance(lab, 1000);
    come_to_nothing(lab, 1, 0);
    lab_free(lab);
}

/* A page that this program answers itself is no attempt and has no rate: it counts here. */
static void test_pages_come_to_nothing(void **state)
{
    (void)state;
    static const char *const heads[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /why HTTP/1.1\r\nHost: x\r\n\r\n",
                                        "GET /none HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.0\r\n\r\n"};
    struct lab *lab = lab_new(POLICY("unfinished_per_second: 20, unfinished_burst: 3"));
    for (unsigned i = 0; i < 4; i++) {
        struct lab_port *client = lab_client(lab);
        assert_int_equal(lab->rest_ms, 0);
        lab_send_text(client, heads[i]);
        assert_true(says(client, i < 2 ? "HTTP/1.1 200 " : "HTTP/1.1 404 "));
        lab_finish(client, LAB_EOF);
        lab_turn(lab);
        assert_true(client->proxy_closed);
        lab_release(client);
    }
    assert_int_equal(reached(lab, LIMIT_unfinished_per_second), 0);
    struct lab_port *over = lab_client(lab);
    assert_int_equal(lab->rest_ms, 50);
    assert_int_equal(reached(lab, LIMIT_unfinished_per_second), 1);
    lab_send_text(over, heads[0]);
    assert_true(says(over, "HTTP/1.1 200 "));
    lab_commit(lab);
    assert_int_equal(lab->attempt_count, 0);
    lab_free(lab);
}

/* Whoever belongs nowhere has a rate too: above it there is one record a second. */
static void test_nobody_has_a_rate(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("attempts_per_second: 1, attempts_burst: 2"));
    lab->unknown_client = true;
    struct lab_port *clients[6];
    for (unsigned i = 0; i < 6; i++) {
        clients[i] = lab_client(lab);
        lab_send_text(clients[i], FULL);
        lab_commit(lab);
        assert_int_equal(says(clients[i], "identity_unknown"), i < 3);
    }
    assert_int_equal(lab->attempt_count, 3);
    assert_int_equal(lab_last(lab)->reason, REASON_IDENTITY);
    lab_advance(lab, 1000);
    lab_commit(lab);
    assert_int_equal(lab->attempt_count, 4);
    assert_int_equal(lab_last(lab)->reason, REASON_RATE);
    assert_int_equal(lab_last(lab)->count, 3);
    for (unsigned i = 3; i < 6; i++)
        assert_true(says(clients[i], "HTTP/1.1 429 "));
    lab_free(lab);
}

/* Nor has who is turned away, since no record can be written. */
static void test_who_is_turned_away_comes_to_nothing(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("unfinished_per_second: 20, unfinished_burst: 3"));
    lab_gate(lab, true);
    for (unsigned i = 0; i < 6; i++) {
        struct lab_port *client = lab_client(lab);
        assert_int_equal(lab->rest_ms, i < 4 ? 0 : i == 4 ? 50 : 100);
        lab_send_text(client, FULL);
        assert_true(says(client, " 503 ")); /* whoever is accepted is answered */
    }
    assert_int_equal(lab->attempt_count, 0);
    lab_free(lab);
}

static void test_one_that_others_come_in_by_too(void **state)
{
    (void)state;
    struct lab *lab = lab_new(POLICY("unfinished_per_second: 20, unfinished_burst: 1"));
    lab->shared_listener = true;
    come_to_nothing(lab, 2, 0);
    struct lab_port *over = lab_client(lab);
    assert_int_equal(lab->rest_ms, 0); /* others would be kept waiting */
    assert_true(over->proxy_closed && over->proxy_reset);
    lab_advance(lab, 50);
    struct lab_port *next = half(lab);
    assert_false(next->proxy_closed);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_budget_of_the_process),
        cmocka_unit_test(test_the_budget_of_an_environment),
        cmocka_unit_test(test_a_head_that_grows),
        cmocka_unit_test(test_what_a_slow_receiver_leaves),
        cmocka_unit_test(test_what_a_kept_connection_holds),
        cmocka_unit_test(test_the_largest_is_refused_first),
        cmocka_unit_test(test_room_for_records_that_slow_heads_hold),
        cmocka_unit_test(test_the_share_of_room_counts_heads),
        cmocka_unit_test(test_too_many_come_to_nothing),
        cmocka_unit_test(test_pages_come_to_nothing),
        cmocka_unit_test(test_nobody_has_a_rate),
        cmocka_unit_test(test_who_is_turned_away_comes_to_nothing),
        cmocka_unit_test(test_one_that_others_come_in_by_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
