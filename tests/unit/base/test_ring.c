/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

static uint64_t put(struct ring *r, const char *text)
{
    size_t len = strlen(text);
    void *at = ring_reserve(r, len);
    assert_non_null(at);
    memcpy(at, text, len);
    return ring_publish(r, len);
}

static void takes_back_what_was_put(void **state)
{
    (void)state;
    struct ring *r = NULL;
    assert_int_equal(ring_new(4096, &r), ERR_NONE);
    assert_int_equal(ring_read(r).len, 0);
    uint64_t first = put(r, "one");
    uint64_t second = put(r, "second one");
    assert_true(second > first);
    assert_true(span_is(ring_read(r), "one"));
    assert_int_equal(ring_consumed(r), 0);
    ring_consume(r);
    assert_int_equal(ring_consumed(r), first);
    assert_true(span_is(ring_read(r), "second one"));
    assert_int_equal(ring_read(r).len, 0);
    ring_rewind(r);
    assert_true(span_is(ring_read(r), "second one"));
    ring_consume(r);
    assert_int_equal(ring_consumed(r), second);
    ring_free(r);
}

static void refuses_bad_sizes(void **state)
{
    (void)state;
    struct ring *r = NULL;
    assert_int_equal(ring_new(4095, &r), ERR_INVALID);
    assert_int_equal(ring_new(6000, &r), ERR_INVALID);
    assert_int_equal(ring_new(2048, &r), ERR_INVALID);
    assert_null(r);
}

static void keeps_messages_until_consumed(void **state)
{
    (void)state;
    struct ring *r = NULL;
    assert_int_equal(ring_new(4096, &r), ERR_NONE);
    unsigned fitted = 0;
    while (ring_reserve(r, 120) != NULL) {
        ring_publish(r, 120);
        fitted++;
    }
    assert_int_equal(fitted, 4096 / 128);
    while (ring_read(r).len != 0)
        fitted--;
    assert_int_equal(fitted, 0);
    assert_null(ring_reserve(r, 0)); /* read is not consumed */
    ring_consume(r);
    assert_non_null(ring_reserve(r, 4088));
    ring_publish(r, 4088);
    assert_int_equal(ring_read(r).len, 4088);
    ring_free(r);
}

static void a_message_never_crosses_the_end(void **state)
{
    (void)state;
    struct ring *r = NULL;
    assert_int_equal(ring_new(4096, &r), ERR_NONE);
    assert_non_null(ring_reserve(r, 3000));
    ring_publish(r, 3000);
    assert_int_equal(ring_read(r).len, 3000);
    put(r, "keeps the ring from being empty");
    ring_consume(r);
    uint8_t *at = ring_reserve(r, 2000);
    assert_non_null(at);
    memset(at, 0x5a, 2000);
    ring_publish(r, 2000);
    assert_true(span_is(ring_read(r), "keeps the ring from being empty"));
    struct span got = ring_read(r);
    assert_int_equal(got.len, 2000);
    for (size_t i = 0; i < got.len; i++)
        assert_int_equal(got.data[i], 0x5a);
    ring_free(r);
}

static void an_empty_ring_starts_over(void **state)
{
    (void)state;
    struct ring *r = NULL;
    assert_int_equal(ring_new(65536, &r), ERR_NONE);
    uintptr_t lowest = UINTPTR_MAX, highest = 0;
    for (unsigned i = 0; i < 10000; i++) {
        void *at = ring_reserve(r, 100);
        assert_non_null(at);
        lowest = (uintptr_t)at < lowest ? (uintptr_t)at : lowest;
        highest = (uintptr_t)at > highest ? (uintptr_t)at : highest;
        uint64_t ticket = ring_publish(r, 100);
        assert_int_equal(ring_read(r).len, 100);
        ring_consume(r);
        assert_int_equal(ring_consumed(r), ticket);
    }
    assert_true(highest - lowest < 65536 / 4 + 256); /* far from all of it was touched */
    ring_free(r);
}

#define STRESS_MESSAGES 200000u

static size_t stress_len(uint32_t n)
{
    return 4 + n * 2654435761u % 300;
}

static void *stress_producer(void *arg)
{
    struct ring *r = arg;
    for (uint32_t n = 0; n < STRESS_MESSAGES;) {
        size_t len = stress_len(n);
        uint8_t *at = ring_reserve(r, len + n % 50); /* reserving more than is published is allowed */
        if (at == NULL) {
            sched_yield();
            continue;
        }
        memset(at, (int)(n & 0xff), len);
        memcpy(at, &n, 4);
        ring_publish(r, len);
        n++;
    }
    return NULL;
}

static void two_threads(void **state)
{
    (void)state;
    struct ring *r = NULL;
    assert_int_equal(ring_new(8192, &r), ERR_NONE);
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, stress_producer, r), 0);
    uint32_t expected = 0, kept = 0;
    unsigned wrong = 0, reads = 0;
    while (expected < STRESS_MESSAGES) {
        struct span message = ring_read(r);
        if (message.len == 0) {
            ring_consume(r);
            kept = expected;
            sched_yield();
            continue;
        }
        uint32_t n = 0;
        memcpy(&n, message.data, 4);
        wrong += n != expected || message.len != stress_len(n);
        wrong += message.len > 4 && message.data[message.len - 1] != (n & 0xff);
        expected++;
        if (++reads % 1001 == 0) { /* a batch that failed is read again */
            ring_rewind(r);
            expected = kept;
        }
        if (expected % 7 == 0) {
            ring_consume(r);
            kept = expected;
        }
    }
    pthread_join(producer, NULL);
    assert_int_equal(wrong, 0);
    ring_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_back_what_was_put),       cmocka_unit_test(refuses_bad_sizes),
        cmocka_unit_test(keeps_messages_until_consumed), cmocka_unit_test(a_message_never_crosses_the_end),
        cmocka_unit_test(an_empty_ring_starts_over),     cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
