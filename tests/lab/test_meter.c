/* SPDX-License-Identifier: Apache-2.0 */
/* What a session has used up: to the byte, however many borrow at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/tenant.h"

#include <pthread.h>

#define MAX     1000003u
#define THREADS 4

static struct gauge shared;

/* Borrows more than it uses until the gauge is full, and gives the rest back. */
static void *spender(void *arg)
{
    uint64_t *used = arg;
    for (unsigned i = 0; !gauge_is_full(&shared, MAX); i++) {
        uint64_t lent = gauge_borrow(&shared, 1 + i % 977, MAX);
        uint64_t part = lent > 1 ? lent / 2 : lent;
        gauge_settle(&shared, lent, part);
        *used += part;
    }
    return NULL;
}

static void test_many_borrow_at_once(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    uint64_t used[THREADS] = {0}, sum = 0;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, spender, &used[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += used[i];
    }
    assert_int_equal(sum, MAX);
    assert_int_equal(gauge_spent(&shared), MAX);
    assert_int_equal(gauge_borrow(&shared, 1, MAX), 0);
    /* A ceiling that was raised lends again, one that was lowered does not. */
    assert_int_equal(gauge_borrow(&shared, 10, MAX + 3), 3);
    gauge_settle(&shared, 3, 0);
    assert_int_equal(gauge_borrow(&shared, 10, MAX - 3), 0);
    assert_true(gauge_is_full(&shared, MAX - 3));
    assert_false(gauge_is_full(&shared, 0));
}

static void test_what_is_lent_is_not_full(void **state)
{
    (void)state;
    struct gauge gauge = {0};
    assert_int_equal(gauge_borrow(&gauge, 100, 100), 100);
    assert_int_equal(gauge_borrow(&gauge, 1, 100), 0);
    assert_false(gauge_is_full(&gauge, 100)); /* it may come back */
    gauge_settle(&gauge, 100, 99);
    assert_int_equal(gauge_borrow(&gauge, 5, 100), 1);
    gauge_settle(&gauge, 1, 1);
    assert_true(gauge_is_full(&gauge, 100));
}

static void test_one_warning_for_each_ceiling(void **state)
{
    (void)state;
    struct gauge gauge = {0};
    gauge_add(&gauge, 79);
    assert_false(gauge_warns(&gauge, 100));
    assert_false(gauge_warns(&gauge, 0));
    gauge_add(&gauge, 1);
    assert_true(gauge_warns(&gauge, 100));
    assert_false(gauge_warns(&gauge, 100));
    assert_true(gauge_warns(&gauge, 90));
}

static void test_refusals_of_a_minute(void **state)
{
    (void)state;
    struct meter meter = {0};
    for (unsigned i = 0; i < 3; i++)
        assert_false(meter_denial(&meter, 3, 60000 + i));
    assert_true(meter_denial(&meter, 3, 60100));
    assert_false(meter_denial(&meter, 3, 60200)); /* told once */
    for (unsigned i = 0; i < 3; i++)
        assert_false(meter_denial(&meter, 3, 120000));
    assert_true(meter_denial(&meter, 3, 179999));
    assert_false(meter_denial(&meter, 0, 240000));
    assert_int_equal(meter_quarantined_ms(&meter, 10), 0);
    meter_quarantine(&meter, 500);
    assert_int_equal(meter_quarantined_ms(&meter, 100), 400);
    assert_int_equal(meter_quarantined_ms(&meter, 500), 0);
}

/* At any age of the machine: the marks of minutes begin anew every 45 days. */
static void test_names_of_a_minute(void **state)
{
    (void)state;
    static const uint64_t minutes[] = {0, 1, 65533, 65534, 65535, 65536, 131069, 131070, 131071, UINT32_MAX};
    struct tenant *fresh = NULL, *used = NULL;
    assert_int_equal(tenant_new(span_text("used"), &used), ERR_NONE);
    for (size_t i = 0; i < sizeof minutes / sizeof minutes[0]; i++) {
        uint64_t now_ms = minutes[i] * 60000;
        assert_int_equal(tenant_new(span_text("fresh"), &fresh), ERR_NONE);
        struct tenant *both[] = {fresh, used};
        for (size_t j = 0; j < 2; j++) {
            assert_true(tenant_name_take(both[j], span_text("a.test"), 2, now_ms));
            assert_true(tenant_name_take(both[j], span_text("b.test"), 2, now_ms + 59999));
            assert_true(tenant_name_take(both[j], span_text("a.test"), 2, now_ms + 59999));
            assert_false(tenant_name_take(both[j], span_text("c.test"), 2, now_ms));
        }
        tenant_free(fresh);
    }
    tenant_free(used);
}

/* Who finds no memory to watch them says so: none is lost, and the next one watches. */
static void test_attempts_above_the_rate_are_watched(void **state)
{
    (void)state;
    struct tenant *tenant = NULL;
    int64_t from_ms = 0;
    assert_int_equal(tenant_new(span_text("t"), &tenant), ERR_NONE);
    assert_true(tenant_excess_add(tenant, 100));
    assert_false(tenant_excess_add(tenant, 200));
    tenant_excess_unwatched(tenant);
    assert_true(tenant_excess_add(tenant, 300));
    assert_false(tenant_excess_add(tenant, 400));
    assert_int_equal(tenant_excess_take(tenant, &from_ms), 4);
    assert_int_equal(from_ms, 100);
    assert_int_equal(tenant_excess_take(tenant, &from_ms), 0);
    assert_true(tenant_excess_add(tenant, 500));
    assert_int_equal(tenant_excess_take(tenant, &from_ms), 1);
    assert_int_equal(from_ms, 500);
    tenant_free(tenant);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_borrow_at_once),
        cmocka_unit_test(test_what_is_lent_is_not_full),
        cmocka_unit_test(test_one_warning_for_each_ceiling),
        cmocka_unit_test(test_refusals_of_a_minute),
        cmocka_unit_test(test_names_of_a_minute),
        cmocka_unit_test(test_attempts_above_the_rate_are_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
