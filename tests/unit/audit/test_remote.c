/* SPDX-License-Identifier: Apache-2.0 */
/* How far the copy elsewhere is behind, by what the shipping process wrote down; too far, and the gate closes. */
#include "fixture.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#define HEAD   "sallyport shipped 1\n"
#define NOW_MS 1700000000000ll

static _Atomic int64_t wall_ms = NOW_MS;
static struct fixture f;

/* In place of those of base: the linker takes these first. */
uint64_t clock_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t clock_wall_ns(void)
{
    return atomic_load(&wall_ms) * 1000000;
}

static void leave(const char *text)
{
    char command[400];
    snprintf(command, sizeof command, text == NULL ? "rm -f shipped" : "printf '%s' > shipped", text);
    fixture_shell(&f, command);
}

static void the_lag_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *shipped; /* NULL: there is no such file */
        uint64_t lag_ms;     /* on record; UINT64_MAX: nothing is */
        uint64_t counts_as;  /* what the gate is judged by */
        uint64_t entries;
    } rows[] = {
  /* Without a word of it everything since the opening, ten seconds ago, counts. */
        {NULL,                                                      UINT64_MAX, 10000, 0  },
        {"",                                                        UINT64_MAX, 10000, 0  },
        {"something else\\n",                                       UINT64_MAX, 10000, 0  },
        {HEAD "entries many\\n",                                    UINT64_MAX, 10000, 0  },
        {HEAD "entries 3\\n",                                       10000,      10000, 3  },
        {HEAD "entries 3\\nthrough_ms 1699999999000\\n",            1000,       1000,  3  },
        {HEAD "entries 3\\nthrough_ms 1699999999999\\nto store\\n", 1,          1,     3  },
        {HEAD "entries 3\\nthrough_ms 1700000000001\\n",            0,          0,     3  },
        {HEAD "entries 999\\nthrough_ms 1\\n",                      0,          0,     999},
    };
    fixture_make(&f);
    atomic_store(&wall_ms, NOW_MS - 10000);
    fixture_start(&f);
    fixture_feed(&f, 1, 3);
    fixture_stop(&f);
    assert_int_equal(fixture_open(&f), AUDIT_START_OK);
    assert_true(f.log->tree.size > 3);
    atomic_store(&wall_ms, NOW_MS);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct record_event event = {.event = EVENT_HEARTBEAT};
        leave(rows[i].shipped);
        remote_facts(f.log, &event);
        assert_int_equal(event.fact_count, rows[i].lag_ms == UINT64_MAX ? 0 : 2);
        if (event.fact_count == 2) {
            assert_string_equal(event.facts[0].key, "shipped");
            assert_int_equal(event.facts[0].number, rows[i].entries);
            assert_string_equal(event.facts[1].key, "ship_lag_ms");
            assert_int_equal(event.facts[1].number, rows[i].lag_ms);
        }
        f.log->ship_max_lag_ms = rows[i].counts_as > 0 ? rows[i].counts_as : 1;
        assert_true(remote_is_near(f.log));
        f.log->ship_max_lag_ms = rows[i].counts_as > 1 ? rows[i].counts_as - 1 : 1;
        assert_int_equal(remote_is_near(f.log), rows[i].counts_as <= 1);
        f.log->ship_max_lag_ms = 0; /* as far as it likes */
        assert_true(remote_is_near(f.log));
    }
    fixture_crash(&f);
    fixture_remove(&f);
}

/* Asked once a second, and not while something worse keeps the gate closed. */
static void the_gate_waits_for_the_copy(void **state)
{
    (void)state;
    fixture_make(&f);
    atomic_store(&wall_ms, NOW_MS);
    assert_int_equal(fixture_open(&f), AUDIT_START_OK);
    uint64_t now = clock_mono_ns();
    atomic_store(&wall_ms, NOW_MS + 5000);
    remote_check(f.log, now);
    assert_false(desk_gate_closed(f.desk)); /* nobody asks for a copy */
    f.log->ship_max_lag_ms = 1000;
    f.log->remote_checked_ns = now;
    remote_check(f.log, now + NS_PER_S - 1);
    assert_false(desk_gate_closed(f.desk)); /* looked at a moment ago */
    f.log->trouble = TROUBLE_SPACE;
    remote_check(f.log, now + NS_PER_S);
    assert_int_equal(f.log->trouble, TROUBLE_SPACE);
    f.log->trouble = TROUBLE_NONE;
    f.log->ship_max_lag_ms = 5000;
    f.log->tree.size = 1; /* as if there were something to copy */
    remote_check(f.log, now + NS_PER_S);
    assert_false(desk_gate_closed(f.desk));
    f.log->ship_max_lag_ms = 4999;
    remote_check(f.log, now + 2 * (uint64_t)NS_PER_S);
    assert_true(desk_gate_closed(f.desk));
    assert_int_equal(f.log->trouble, TROUBLE_REMOTE);
    assert_string_equal(f.log->gate_why, "the copy elsewhere is too far behind");
    f.log->tree.size = 0;
    leave(HEAD "entries 1000000\\n");
    /* The running log opens it by itself, and says so. */
    assert_int_equal(audit_log_start(f.log), ERR_NONE);
    for (unsigned i = 0; desk_gate_closed(f.desk); i++) {
        if (i > 5000)
            fail_msg("the gate did not open");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fixture_stop(&f);
    fixture_shell(&f, "grep -aq 'the copy elsewhere is too far behind' segments/*");
    fixture_shell(&f, "grep -aq '\"event_code\":\"gate_opened\"' segments/*");
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lag_is_known),
        cmocka_unit_test(the_gate_waits_for_the_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
