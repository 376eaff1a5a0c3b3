/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/desk.h"
#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#define RING 16384u

static void count_wake(void *arg)
{
    (*(unsigned *)arg)++;
}

static struct desk *make_desk(size_t ring, unsigned *wakes)
{
    struct desk *desk = NULL;
    assert_int_equal(desk_new(ring, wakes == NULL ? NULL : count_wake, wakes, &desk), ERR_NONE);
    return desk;
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct desk *desk = make_desk(RING, NULL);
    struct target target = sample_target("files.test");
    struct record_flow in = sample_flow(RECORD_OUTCOME, 7, "env-a", &target);
    const struct ipaddr answers[] = {
        {.family = 4, .bytes = {192, 0, 2, 7}},
        {.family = 6, .bytes = {0x20, 1}     }
    };
    in.answers = answers;
    in.answer_count = 2;
    in.sni = span_text("files.test");
    in.has_hello = true;
    assert_true(desk_credit_take(desk, DESK_PAIR_BYTES));
    uint64_t ticket = desk_seal_flow(desk, &in, RECORD_URGENT);
    struct sealed out;
    assert_true(desk_read(desk, &out));
    assert_false(out.is_event);
    assert_false(out.truncated);
    assert_int_equal(out.urgency, RECORD_URGENT);
    assert_true(out.wall_ms > 1600000000000);
    assert_true(out.mono_ns > 0);
    assert_memory_equal(out.flow.flow, in.flow, FLOW_ID_BYTES);
    assert_int_equal(out.flow.bytes_down, 4096);
    assert_int_equal(out.flow.end, FLOW_END_CLOSED);
    assert_true(span_is(out.flow.environment, "env-a"));
    assert_true(span_is(out.flow.sni, "files.test"));
    assert_true(span_is(out.flow.work, ""));
    assert_true(target_same_host(out.flow.target, &target));
    assert_int_equal(out.flow.target->port, 443);
    assert_int_equal(out.flow.answer_count, 2);
    assert_true(ipaddr_equal(&out.flow.answers[1], &answers[1]));
    assert_int_equal(out.flow.decision.generation, 3);
    assert_false(desk_read(desk, &out));
    assert_true(desk_durable(desk) < ticket);
    desk_commit(desk);
    assert_true(desk_durable(desk) >= ticket);
    desk_free(desk);
}

static void an_event_comes_back_as_it_was(void **state)
{
    (void)state;
    struct desk *desk = make_desk(RING, NULL);
    struct record_event in = {
        .event = EVENT_POLICY_LOADED,
        .subject = span_text("p1"),
        .message = span_text("loaded"),
        .fact_count = 2,
        .facts = {{.key = "generation", .is_number = true, .number = 9}, {.key = "blob", .text = span_text("abc")}}
    };
    assert_true(desk_credit_take(desk, DESK_RECORD_BYTES));
    desk_seal_event(desk, &in, RECORD_LAZY);
    struct sealed out;
    assert_true(desk_read(desk, &out));
    assert_true(out.is_event);
    assert_int_equal(out.event.event, EVENT_POLICY_LOADED);
    assert_true(span_is(out.event.subject, "p1"));
    assert_int_equal(out.event.fact_count, 2);
    assert_string_equal(out.event.facts[0].key, "generation");
    assert_int_equal(out.event.facts[0].number, 9);
    assert_true(span_is(out.event.facts[1].text, "abc"));
    desk_free(desk);
}

static void long_strings_are_cut_at_a_character(void **state)
{
    (void)state;
    static char text[4096];
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2); /* two bytes a character; the bound of raw_target is even, of sni odd */
    struct desk *desk = make_desk(RING, NULL);
    struct record_flow in = sample_flow(RECORD_ATTEMPT, 1, "env-a", NULL);
    in.raw_target = in.sni = in.path = in.work = in.agent = in.rule_id = span_make(text, sizeof text);
    assert_true(desk_credit_take(desk, DESK_RECORD_BYTES));
    desk_seal_flow(desk, &in, RECORD_URGENT);
    struct sealed out;
    assert_true(desk_read(desk, &out));
    assert_true(out.truncated);
    assert_int_equal(out.flow.raw_target.len, 320);
    assert_int_equal(out.flow.sni.len, 254);
    assert_null(out.flow.target);
    struct record_event event = {.event = EVENT_HEARTBEAT, .fact_count = EVENT_FACTS_MAX};
    event.message = event.environment = event.subject = span_make(text, sizeof text);
    for (size_t i = 0; i < EVENT_FACTS_MAX; i++)
        event.facts[i] = (struct event_fact){.key = "k", .text = span_make(text, sizeof text)};
    assert_true(desk_credit_take(desk, DESK_RECORD_BYTES));
    desk_seal_event(desk, &event, RECORD_LAZY);
    assert_true(desk_read(desk, &out));
    assert_true(out.truncated);
    assert_int_equal(out.event.fact_count, EVENT_FACTS_MAX);
    desk_free(desk);
}

static void credit_is_a_promise(void **state)
{
    (void)state;
    struct desk *desk = make_desk(RING, NULL);
    unsigned pairs = 0;
    while (desk_credit_take(desk, DESK_PAIR_BYTES))
        pairs++;
    assert_int_equal(pairs, (RING - DESK_RECORD_BYTES) / DESK_PAIR_BYTES);
    struct record_flow in = sample_flow(RECORD_ATTEMPT, 1, "env-a", NULL);
    for (unsigned i = 0; i < 2 * pairs; i++)
        desk_seal_flow(desk, &in, RECORD_LAZY); /* would abort if there were no room */
    struct sealed out;
    unsigned read = 0;
    while (desk_read(desk, &out))
        read++;
    assert_int_equal(read, 2 * pairs);
    desk_commit(desk);
    assert_true(desk_credit_take(desk, pairs * DESK_PAIR_BYTES));
    desk_credit_give(desk, pairs * DESK_PAIR_BYTES);
    desk_free(desk);
    struct desk *small = NULL;
    assert_int_equal(desk_new(4096, NULL, NULL, &small), ERR_INVALID);
}

/* Random lengths, promises and commits: a seal on credit never fails, nothing is lost, order is kept. */
static void random_promises_hold(void **state)
{
    (void)state;
    static char text[400];
    memset(text, 'x', sizeof text);
    struct desk *desk = make_desk(RING, NULL);
    uint64_t random = 12345, sealed = 0, read = 0, committed = 0, promised = 0;
    for (unsigned step = 0; step < 200000; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned dice = (unsigned)(random >> 60);
        if (dice < 5 && desk_credit_take(desk, DESK_RECORD_BYTES)) {
            promised++;
        } else if (dice < 9 && promised > 0) {
            struct record_flow in = sample_flow(RECORD_ATTEMPT, sealed++, "env-a", NULL);
            size_t len = (size_t)(random >> 40) % sizeof text;
            in.raw_target = in.path = in.rule_id = span_make(text, len);
            in.work = in.agent = in.listener = in.session = in.group_version = span_make(text, len);
            desk_seal_flow(desk, &in, RECORD_LAZY);
            promised--;
        } else if (dice == 9 && promised > 0) {
            desk_credit_give(desk, DESK_RECORD_BYTES);
            promised--;
        } else if (dice < 14) {
            struct sealed out;
            if (desk_read(desk, &out)) {
                uint64_t n = 0;
                memcpy(&n, out.flow.flow, sizeof n);
                assert_int_equal(n, read);
                read++;
            }
        } else if (dice == 14) {
            desk_commit(desk);
            committed = read;
        } else if (step % 8 == 0) {
            desk_rewind(desk);
            read = committed;
        }
    }
    assert_true(sealed > 10000);
    desk_free(desk);
}

static void the_gate_refuses_credit_and_counts(void **state)
{
    (void)state;
    struct desk *desk = make_desk(RING, NULL);
    assert_false(desk_gate_closed(desk));
    desk_set_gate(desk, true);
    assert_true(desk_gate_closed(desk));
    assert_false(desk_credit_take(desk, DESK_PAIR_BYTES));
    desk_count_refused(desk);
    desk_count_refused(desk);
    desk_set_gate(desk, false);
    assert_true(desk_credit_take(desk, DESK_PAIR_BYTES));
    assert_int_equal(desk_take_refused(desk), 2);
    assert_int_equal(desk_take_refused(desk), 0);
    desk_set_busy_since(desk, 1); /* a commit that began when the machine did hangs */
    assert_true(desk_gate_closed(desk));
    desk_set_busy_since(desk, 0);
    assert_false(desk_gate_closed(desk));
    desk_credit_give(desk, DESK_PAIR_BYTES);
    desk_free(desk);
}

static void wakes_a_sleeper_once(void **state)
{
    (void)state;
    unsigned wakes = 0;
    struct desk *desk = make_desk(65536, &wakes);
    struct record_flow in = sample_flow(RECORD_ATTEMPT, 1, "env-a", NULL);
    assert_true(desk_credit_take(desk, 8 * DESK_RECORD_BYTES));
    desk_seal_flow(desk, &in, RECORD_URGENT);
    assert_int_equal(wakes, 0);
    desk_set_sleeping(desk, true);
    desk_seal_flow(desk, &in, RECORD_LAZY);
    assert_int_equal(wakes, 1);
    desk_seal_flow(desk, &in, RECORD_LAZY);
    assert_int_equal(wakes, 1);
    desk_set_sleeping(desk, false);
    desk_set_dozing(desk);
    desk_seal_flow(desk, &in, RECORD_LAZY);
    assert_int_equal(wakes, 1);
    desk_seal_flow(desk, &in, RECORD_URGENT);
    assert_int_equal(wakes, 2);
    assert_false(desk_is_waiting(desk));
    desk_set_waiting(desk, true);
    assert_true(desk_is_waiting(desk));
    desk_free(desk);
}

#define CROSSED 20000u

static void *consumer(void *arg)
{
    struct desk *desk = arg;
    uintptr_t wrong = 0;
    for (uint64_t expected = 0; expected < CROSSED;) {
        struct sealed out;
        if (!desk_read(desk, &out)) {
            desk_commit(desk);
            sched_yield();
            continue;
        }
        uint64_t n = 0;
        memcpy(&n, out.flow.flow, sizeof n);
        wrong += n != expected++;
    }
    desk_commit(desk);
    return (void *)wrong; // NOLINT
}

static void crosses_threads(void **state)
{
    (void)state;
    struct desk *desk = make_desk(RING, NULL);
    struct target target = sample_target("files.test");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, consumer, desk), 0);
    uint64_t ticket = 0;
    for (uint64_t n = 0; n < CROSSED;) {
        if (!desk_credit_take(desk, DESK_RECORD_BYTES)) {
            sched_yield();
            continue;
        }
        struct record_flow in = sample_flow(RECORD_ATTEMPT, n++, "env-a", &target);
        ticket = desk_seal_flow(desk, &in, RECORD_URGENT);
    }
    void *wrong = NULL;
    pthread_join(thread, &wrong);
    assert_null(wrong);
    assert_true(desk_durable(desk) >= ticket);
    desk_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(an_event_comes_back_as_it_was),
        cmocka_unit_test(long_strings_are_cut_at_a_character),
        cmocka_unit_test(credit_is_a_promise),
        cmocka_unit_test(random_promises_hold),
        cmocka_unit_test(the_gate_refuses_credit_and_counts),
        cmocka_unit_test(wakes_a_sleeper_once),
        cmocka_unit_test(crosses_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
