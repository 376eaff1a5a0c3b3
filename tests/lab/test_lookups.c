/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a name server leave with room for their records, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab.h"

#include <string.h>

#define CONNECT "CONNECT allowed.test:443 HTTP/1.1\r\nHost: allowed.test:443\r\n\r\n"
#define OTHER   "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n"

static const char policy[] = "name: lab\n"
                             "config:\n"
                             "  type: self_hosted\n"
                             "  networking:\n"
                             "    type: limited\n"
                             "    allowed_hosts: [allowed.test, other.test]\n";

/* The attempt is sealed and not durable yet; all the rest of the desk's room is gone. */
static struct lab_port *attempt_without_room(struct lab *lab, size_t *taken)
{
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, CONNECT);
    for (*taken = 0; desk_credit_take(lab->desk, DESK_RECORD_BYTES);)
        *taken += DESK_RECORD_BYTES;
    lab_commit(lab);
    /* What the commit gave back is too little for two records, or is taken as well. */
    while (desk_credit_take(lab->desk, DESK_RECORD_BYTES))
        *taken += DESK_RECORD_BYTES;
    return client;
}

static void a_lookup_waits_for_room(void **state)
{
    (void)state;
    struct lab *lab = lab_new(policy);
    size_t taken;
    struct lab_port *client = attempt_without_room(lab, &taken);
    assert_int_equal(lab->queries, 0);
    assert_false(client->proxy_closed);
    lab_advance(lab, 900);
    lab_commit(lab);
    assert_int_equal(lab->queries, 0);
    desk_credit_give(lab->desk, taken);
    lab_commit(lab); /* whoever waits is told */
    assert_int_equal(lab->queries, 1);
    lab_advance(lab, 2000); /* the wait is over: its deadline too */
    assert_true(lab_answer(lab, 0, DNS_OK));
    assert_non_null(lab_connect(lab, 0));
    assert_true(lab_got_text(client, "HTTP/1.1 200 "));
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->questions, 2);
    lab_free(lab);
}

static void it_waits_a_second_at_most(void **state)
{
    (void)state;
    struct lab *lab = lab_new(policy);
    size_t taken;
    struct lab_port *client = attempt_without_room(lab, &taken);
    lab_advance(lab, 1100);
    assert_true(lab_got_text(client, "audit_unavailable"));
    assert_int_equal(lab->queries, 0);
    assert_int_equal(desk_take_refused(lab->desk), 1);
    desk_credit_give(lab->desk, taken);
    lab_commit(lab);
    assert_int_equal(lab_last(lab)->final_reason, REASON_AUDIT);
    assert_int_equal(lab_last(lab)->final_stage, STAGE_RESOLVE);
    lab_free(lab);
}

static void a_client_that_leaves_waits_no_more(void **state)
{
    (void)state;
    struct lab *lab = lab_new(policy);
    size_t taken;
    struct lab_port *client = attempt_without_room(lab, &taken);
    lab_finish(client, LAB_RESET);
    assert_true(client->proxy_closed);
    desk_credit_give(lab->desk, taken);
    lab_commit(lab);
    assert_int_equal(lab->queries, 0);
    assert_int_equal(lab_last(lab)->final_reason, REASON_CLIENT_RESET);
    lab_free(lab);
}

/* It waits no more, and is told at once: its attempt is durable. */
static void a_new_policy_ends_the_wait(void **state)
{
    (void)state;
    struct lab *lab = lab_new(policy);
    size_t taken;
    struct lab_port *client = attempt_without_room(lab, &taken);
    lab_swap(lab, "name: lab\nconfig: {type: self_hosted, networking: {type: limited}}\n");
    assert_true(lab_got_text(client, "HTTP/1.1 403 ") && lab_got_text(client, "host_not_allowed"));
    desk_credit_give(lab->desk, taken);
    lab_commit(lab);
    assert_int_equal(lab->queries, 0);
    assert_int_equal(lab_last(lab)->final_reason, REASON_HOST);
    lab_free(lab);
}

static void a_question_outlives_its_tunnel(void **state)
{
    (void)state;
    struct lab *lab = lab_new(policy);
    struct lab_port *client = lab_client(lab);
    lab_send_text(client, CONNECT);
    lab_commit(lab);
    assert_int_equal(lab->queries, 1);
    lab_finish(client, LAB_RESET);
    lab_commit(lab);
    const struct lab_attempt *a = lab_last(lab);
    assert_true(a->outcome);
    assert_int_equal(a->questions, 0);
    assert_int_equal(budget_used(&lab->tenant->credit), 2 * DESK_RECORD_BYTES);
    lab_advance(lab, 1000); /* nobody answers: they end */
    lab_commit(lab);
    assert_int_equal(a->questions, 2);
    assert_int_equal(budget_used(&lab->tenant->credit), 0);
    assert_int_equal(atomic_load(&tunnels_counters(lab->tunnels)->dns_sent), 2);
    lab_free(lab);
}

static void an_environment_has_its_share_of_room(void **state)
{
    (void)state;
    struct lab *lab = lab_new(policy);
    lab->process.credit_max = 5 * DESK_RECORD_BYTES + 100; /* two outcomes, and three questions of the four */
    struct lab_port *clients[] = {lab_client(lab), lab_client(lab)};
    lab_send_text(clients[0], CONNECT);
    lab_send_text(clients[1], OTHER);
    lab_commit(lab);
    assert_int_equal(lab->queries, 1);
    assert_true(lab_got_text(clients[0], "limit_reached") != lab_got_text(clients[1], "limit_reached"));
    assert_int_equal(desk_take_refused(lab->desk), 0); /* it does not wait in the way of others */
    lab_free(lab);
}

/* Lookups that wait, and questions that have not ended though nobody waits for them any more. */
static void an_environment_has_its_share_of_lookups(void **state)
{
    (void)state;
    struct lab *lab = lab_new(policy);
    lab->process.lookups_max = 1;
    const atomic_uint_fast64_t *reached = &tunnels_counters(lab->tunnels)->limits[LIMIT_share];
    struct lab_port *first = lab_client(lab), *second = lab_client(lab), *third = lab_client(lab);
    lab_send_text(first, CONNECT);
    lab_commit(lab);
    assert_int_equal(lab->queries, 1);
    assert_int_equal(atomic_load(reached), 0);
    lab_send_text(second, OTHER);
    lab_commit(lab);
    assert_int_equal(lab->queries, 1);
    lab_commit(lab); /* the outcome too */
    assert_true(lab_got_text(second, "HTTP/1.1 503 ") && lab_got_text(second, "limit_reached"));
    assert_int_equal(lab_last(lab)->final_reason, REASON_LIMIT);
    assert_int_equal(lab_last(lab)->final_stage, STAGE_RESOLVE);
    assert_int_equal(atomic_load(reached), 1);
    lab_finish(first, LAB_RESET); /* its two questions go on */
    lab_send_text(third, OTHER);
    lab_commit(lab);
    lab_commit(lab);
    assert_int_equal(lab->queries, 1);
    assert_true(lab_got_text(third, "limit_reached"));
    assert_int_equal(atomic_load(reached), 2);
    lab_advance(lab, 1000); /* until nobody has answered them */
    struct lab_port *fourth = lab_client(lab);
    lab_send_text(fourth, OTHER);
    lab_commit(lab);
    assert_int_equal(lab->queries, 2);
    assert_int_equal(fourth->got_len, 0);
    lab_free(lab);
}

static void the_cache_costs_no_room(void **state)
{
    (void)state;
    struct lab *lab = lab_new(policy);
    lab->dns_at_once = true;
    size_t taken;
    struct lab_port *client = attempt_without_room(lab, &taken);
    assert_non_null(lab_connect(lab, 0));
    assert_true(lab_got_text(client, "HTTP/1.1 200 "));
    desk_credit_give(lab->desk, taken);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lookup_waits_for_room),
        cmocka_unit_test(it_waits_a_second_at_most),
        cmocka_unit_test(a_client_that_leaves_waits_no_more),
        cmocka_unit_test(a_new_policy_ends_the_wait),
        cmocka_unit_test(a_question_outlives_its_tunnel),
        cmocka_unit_test(an_environment_has_its_share_of_room),
        cmocka_unit_test(an_environment_has_its_share_of_lookups),
        cmocka_unit_test(the_cache_costs_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
