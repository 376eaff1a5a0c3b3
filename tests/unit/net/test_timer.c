/* SPDX-License-Identifier: Apache-2.0 */
/* timer: single facts, and long random runs against a model that is a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/timer.h"

#include <string.h>

/* A small generator with a fixed seed, so that a failure can be repeated. */
static uint64_t random_state;

static uint64_t random_u64(void)
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#define COUNT 200

struct subject {
    struct timer timer;
    unsigned fired;
};

static struct subject subjects[COUNT];
static uint64_t last_fired_deadline;
static bool in_order;

static void note_fired(struct timer *timer)
{
    struct subject *subject = (struct subject *)(void *)timer;

    subject->fired++;
    if (timer->deadline_ms < last_fired_deadline) {
        in_order = false;
    }
    last_fired_deadline = timer->deadline_ms;
}

static void test_fires_on_time(void **state)
{
    (void)state;
    struct wheel *wheel = wheel_new(1000);
    struct subject s = {.fired = 0};

    assert_non_null(wheel);
    timer_init(&s.timer, note_fired);
    assert_false(timer_is_set(&s.timer));
    timer_cancel(&s.timer);
    assert_true(wheel_sleep_ms(wheel, 1000) == UINT64_MAX);
    timer_set(wheel, &s.timer, 1005);
    assert_true(timer_is_set(&s.timer));
    assert_int_equal(wheel_sleep_ms(wheel, 1000), 5);
    assert_int_equal(wheel_sleep_ms(wheel, 1003), 2);
    wheel_advance(wheel, 1004);
    assert_int_equal(s.fired, 0);
    wheel_advance(wheel, 1005);
    assert_int_equal(s.fired, 1);
    assert_false(timer_is_set(&s.timer));
    wheel_advance(wheel, 2000);
    assert_int_equal(s.fired, 1);
    wheel_free(wheel);
}

static void test_passed_deadline_fires_at_next_advance(void **state)
{
    (void)state;
    struct wheel *wheel = wheel_new(1000);
    struct subject s = {.fired = 0};

    timer_init(&s.timer, note_fired);
    timer_set(wheel, &s.timer, 10);
    assert_int_equal(s.fired, 0);
    assert_int_equal(wheel_sleep_ms(wheel, 1000), 0);
    wheel_advance(wheel, 1000);
    assert_int_equal(s.fired, 1);
    wheel_free(wheel);
}

static void test_moved_and_cancelled(void **state)
{
    (void)state;
    struct wheel *wheel = wheel_new(0);
    struct subject s = {.fired = 0};

    timer_init(&s.timer, note_fired);
    timer_set(wheel, &s.timer, 100);
    timer_set(wheel, &s.timer, 100000);
    wheel_advance(wheel, 99999);
    assert_int_equal(s.fired, 0);
    timer_set(wheel, &s.timer, 100001);
    wheel_advance(wheel, 100000);
    assert_int_equal(s.fired, 0);
    timer_cancel(&s.timer);
    assert_true(wheel_sleep_ms(wheel, 100000) == UINT64_MAX);
    wheel_advance(wheel, 200000);
    assert_int_equal(s.fired, 0);
    wheel_free(wheel);
}

static void test_farthest_deadline(void **state)
{
    (void)state;
    struct wheel *wheel = wheel_new(5);
    struct subject s = {.fired = 0};

    timer_init(&s.timer, note_fired);
    timer_set(wheel, &s.timer, UINT64_MAX);
    wheel_advance(wheel, UINT64_MAX - 1);
    assert_int_equal(s.fired, 0);
    assert_int_equal(wheel_sleep_ms(wheel, UINT64_MAX - 1), 1);
    wheel_advance(wheel, UINT64_MAX);
    assert_int_equal(s.fired, 1);
    wheel_free(wheel);
}

static void test_time_never_goes_back(void **state)
{
    (void)state;
    struct wheel *wheel = wheel_new(1000);
    struct subject s = {.fired = 0};

    timer_init(&s.timer, note_fired);
    timer_set(wheel, &s.timer, 1010);
    wheel_advance(wheel, 500);
    assert_int_equal(s.fired, 0);
    wheel_advance(wheel, 1010);
    assert_int_equal(s.fired, 1);
    wheel_free(wheel);
}

/* A far timer must not wake the loop again and again: one wake-up a level at most. */
static void test_far_timer_wakes_seldom(void **state)
{
    (void)state;
    uint64_t now = 123456789;
    struct wheel *wheel = wheel_new(now);
    struct subject s = {.fired = 0};
    unsigned wakes = 0;

    timer_init(&s.timer, note_fired);
    timer_set(wheel, &s.timer, now + 24U * 3600U * 1000U);
    while (s.fired == 0) {
        now += wheel_sleep_ms(wheel, now);
        wheel_advance(wheel, now);
        wakes++;
    }
    assert_int_equal(now, 123456789U + 24U * 3600U * 1000U);
    assert_in_range(wakes, 1, 6);
    wheel_free(wheel);
}

/* Callbacks that touch timers. */
static struct wheel *shared_wheel;
static struct subject first;
static struct subject second;

static void rearm_in_the_past(struct timer *timer)
{
    note_fired(timer);
    timer_set(shared_wheel, timer, 1);
}

static void cancel_second(struct timer *timer)
{
    note_fired(timer);
    timer_cancel(&second.timer);
}

static void test_callback_rearms_in_the_past(void **state)
{
    (void)state;
    shared_wheel = wheel_new(0);
    first = (struct subject){.fired = 0};
    timer_init(&first.timer, rearm_in_the_past);
    timer_set(shared_wheel, &first.timer, 10);
    wheel_advance(shared_wheel, 20);
    assert_int_equal(first.fired, 1); /* not once more in the same advance */
    wheel_advance(shared_wheel, 20);
    assert_int_equal(first.fired, 2);
    timer_cancel(&first.timer);
    wheel_free(shared_wheel);
}

static void test_callback_cancels_one_that_is_due(void **state)
{
    (void)state;
    shared_wheel = wheel_new(0);
    first = (struct subject){.fired = 0};
    second = (struct subject){.fired = 0};
    timer_init(&first.timer, cancel_second);
    timer_init(&second.timer, note_fired);
    timer_set(shared_wheel, &second.timer, 11);
    timer_set(shared_wheel, &first.timer, 10);
    wheel_advance(shared_wheel, 20);
    assert_int_equal(first.fired, 1);
    assert_int_equal(second.fired, 0);
    wheel_free(shared_wheel);
}

static uint64_t random_deadline(uint64_t now)
{
    switch (random_u64() % 6) {
    case 0:
        return now > 50 ? now - random_u64() % 50 : 0;
    case 1:
        return now + random_u64() % 64;
    case 2:
        return now + random_u64() % 5000;
    case 3:
        return now + random_u64() % 400000;
    case 4:
        return now + random_u64() % UINT64_C(100000000);
    default:
        return now + (random_u64() >> (random_u64() % 40 + 20));
    }
}

static uint64_t random_step(void)
{
    switch (random_u64() % 5) {
    case 0:
        return 0;
    case 1:
        return random_u64() % 3;
    case 2:
        return random_u64() % 200;
    case 3:
        return random_u64() % 100000;
    default:
        return random_u64() >> (random_u64() % 24 + 24);
    }
}

/* One random change of one timer, in the wheel and in the model. */
static void random_change(struct wheel *wheel, uint64_t now, uint64_t *model)
{
    size_t i = random_u64() % COUNT;

    if (random_u64() % 4 == 0) {
        timer_cancel(&subjects[i].timer);
        model[i] = UINT64_MAX;
    } else {
        model[i] = random_deadline(now);
        timer_set(wheel, &subjects[i].timer, model[i]);
    }
}

static void check_sleep(const struct wheel *wheel, uint64_t now, const uint64_t *model)
{
    uint64_t sleep = wheel_sleep_ms(wheel, now);
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < COUNT; i++) {
        next = model[i] < next ? model[i] : next;
    }
    if (next == UINT64_MAX) {
        assert_true(sleep == UINT64_MAX);
    } else {
        assert_true(sleep <= (next > now ? next - now : 0));
    }
}

static void check_advance(struct wheel *wheel, uint64_t now, uint64_t *model)
{
    for (size_t i = 0; i < COUNT; i++) {
        subjects[i].fired = 0;
    }
    last_fired_deadline = 0;
    in_order = true;
    wheel_advance(wheel, now);
    for (size_t i = 0; i < COUNT; i++) {
        bool due = model[i] != UINT64_MAX && model[i] <= now;

        assert_int_equal(subjects[i].fired, due ? 1 : 0);
        if (due) {
            model[i] = UINT64_MAX;
        }
        assert_int_equal(timer_is_set(&subjects[i].timer), model[i] != UINT64_MAX);
    }
}

static void test_against_model(void **state)
{
    (void)state;
    static uint64_t model[COUNT];

    for (unsigned run = 0; run < 40; run++) {
        random_state = run;
        uint64_t now = random_u64() >> (run % 30 + 20);
        struct wheel *wheel = wheel_new(now);

        for (size_t i = 0; i < COUNT; i++) {
            timer_init(&subjects[i].timer, note_fired);
            model[i] = UINT64_MAX;
        }
        for (unsigned turn = 0; turn < 500; turn++) {
            for (uint64_t changes = random_u64() % 20; changes > 0; changes--) {
                random_change(wheel, now, model);
            }
            check_sleep(wheel, now, model);
            now += random_step();
            check_advance(wheel, now, model);
            check_sleep(wheel, now, model);
        }
        for (size_t i = 0; i < COUNT; i++) {
            timer_cancel(&subjects[i].timer);
        }
        wheel_free(wheel);
    }
}

/* Timers that were all set for the future fire in the order of their deadlines. */
static void test_order(void **state)
{
    (void)state;
    struct wheel *wheel = wheel_new(77);

    random_state = 7;
    for (size_t i = 0; i < COUNT; i++) {
        subjects[i].fired = 0;
        timer_init(&subjects[i].timer, note_fired);
        timer_set(wheel, &subjects[i].timer, 78 + random_u64() % 1000000);
    }
    last_fired_deadline = 0;
    in_order = true;
    wheel_advance(wheel, 2000000);
    assert_true(in_order);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(subjects[i].fired, 1);
    }
    wheel_free(wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fires_on_time),
        cmocka_unit_test(test_passed_deadline_fires_at_next_advance),
        cmocka_unit_test(test_moved_and_cancelled),
        cmocka_unit_test(test_farthest_deadline),
        cmocka_unit_test(test_time_never_goes_back),
        cmocka_unit_test(test_far_timer_wakes_seldom),
        cmocka_unit_test(test_callback_rearms_in_the_past),
        cmocka_unit_test(test_callback_cancels_one_that_is_due),
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
