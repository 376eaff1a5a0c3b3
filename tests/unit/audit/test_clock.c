/* SPDX-License-Identifier: Apache-2.0 */
/* A wall clock that is set back, forward, and while nothing runs: steps are entries, and order comes from the index. */
#include "fixture.h"

#include "audit/verify.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#define HOUR_NS (3600ll * 1000000000ll)

static _Atomic int64_t set_by;

/* In place of those of base: the linker takes these first. */
uint64_t clock_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t clock_wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + atomic_load(&set_by);
}

static void assert_steps(const struct fixture *f, const char *pattern, unsigned count)
{
    char command[200];
    /* Entries are lines of visible characters between lengths: -o counts them. */
    snprintf(command, sizeof command, "test $(grep -aoE '%s' segments/* | wc -l) -eq %u", pattern, count);
    fixture_shell(f, command);
}

static void steps_are_entries(void **state)
{
    (void)state;
    static struct verify_report report;
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 3);
    assert_steps(&f, "\"event_code\":\"clock_step\"", 0);
    atomic_store(&set_by, -HOUR_NS);
    fixture_feed(&f, 100, 3);
    fixture_feed(&f, 150, 3);
    assert_steps(&f, "\"step_ms\":(3600|3599)[0-9]{3},\"back\":1", 1);
    atomic_store(&set_by, 23 * HOUR_NS);
    fixture_feed(&f, 200, 3);
    fixture_feed(&f, 250, 3);
    assert_steps(&f, "\"step_ms\":(86400|86399)[0-9]{3},\"back\":0", 1);
    fixture_stop(&f);
    atomic_store(&set_by, 21 * HOUR_NS); /* while it was closed */
    fixture_start(&f);
    fixture_feed(&f, 300, 3);
    fixture_feed(&f, 350, 3);
    assert_steps(&f, "\"step_ms\":(7200|7199)[0-9]{3},\"back\":1", 1);
    assert_steps(&f, "\"event_code\":\"clock_step\"", 3);
    fixture_stop(&f);
    struct verify_options options = {.dir = f.dir};
    if (audit_verify(&options, &report) != VERIFY_PROVEN)
        fail_msg("%s", report.finding_count > 0 ? report.findings[0] : "?");
    assert_int_equal(report.open_flows, 0);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_are_entries)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
