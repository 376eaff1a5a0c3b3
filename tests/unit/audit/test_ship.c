/* SPDX-License-Identifier: Apache-2.0 */
/* What a store acknowledged is in the copy, and nothing else is said to be. */
#include "fixture.h"

#include "audit/ship.h"
#include "audit/verify.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fixture f;
static char copy_dir[128], why[256];
static unsigned put_count, segment_puts, fail_at; /* 0: never */

/* Below `copy`; the fail_at-th object is refused. */
static enum err put(void *arg, const char *name, int fd, uint64_t len, const uint8_t sha256[static DIGEST_BYTES],
                    char *text, size_t cap)
{
    char path[256];
    (void)arg;
    put_count++;
    segment_puts += strncmp(name, "segments/", 9) == 0;
    bool fails = put_count == fail_at;
    if (fails) {
        snprintf(text, cap, "%s: broken off", name);
        return ERR_AGAIN;
    }
    uint8_t *bytes = malloc(len + 1), hash[DIGEST_BYTES];
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, len, 0), len);
    digest_once(span_make(bytes, len), hash);
    assert_memory_equal(hash, sha256, sizeof hash);
    snprintf(path, sizeof path, "%s/%s", copy_dir, name);
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(to >= 0);
    assert_int_equal(write(to, bytes, len), len);
    close(to);
    free(bytes);
    return ERR_NONE;
}

static enum err pass(bool newest, struct ship_progress *out)
{
    struct ship_options options = {.dir = f.dir, .to = "the store", .newest = newest, .store = {.put = put}};
    struct ship *ship = NULL;
    put_count = segment_puts = 0;
    assert_int_equal(ship_open(&options, &ship, why, sizeof why), ERR_NONE);
    enum err err = ship_pass(ship, why, sizeof why);
    ship_progress(ship, out);
    ship_close(ship);
    return err;
}

static enum verify_result verify_copy(struct verify_report *report)
{
    struct verify_options options = {.dir = copy_dir};
    return audit_verify(&options, report);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f);
    f.segment_bytes = 8192;
    snprintf(copy_dir, sizeof copy_dir, "%s/copy", f.base);
    fixture_start(&f);
    for (unsigned i = 0; i < 10; i++)
        fixture_feed(&f, 1 + 10 * i, 5);
    fixture_shell(&f, "mkdir ../copy && cd ../copy && mkdir segments blobs heads keys");
    fail_at = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_remove(&f);
    return 0;
}

/* Beside the running log: whole segments alone, and they are sent once. */
static void sealed_segments_are_shipped(void **state)
{
    (void)state;
    struct verify_report *report = calloc(1, sizeof *report);
    struct ship_progress p, read;
    assert_non_null(report);
    assert_int_equal(pass(false, &p), ERR_NONE);
    assert_true(segment_puts > 3 && p.entries > 60 && p.through_ms > 0);
    fixture_shell(&f, "test $(ls ../copy/segments | wc -l) = $(($(ls segments | wc -l) - 1))");
    assert_int_equal(verify_copy(report), VERIFY_PROVEN);
    assert_int_equal(report->entries, p.entries);
    assert_int_equal(ship_read(f.dir, &read), ERR_NONE);
    assert_memory_equal(&read, &p, sizeof p);
    assert_int_equal(pass(false, &p), ERR_NONE);
    assert_int_equal(segment_puts, 0);
    fixture_stop(&f);
    assert_int_equal(pass(true, &p), ERR_NONE);
    assert_int_equal(verify_copy(report), VERIFY_PROVEN);
    assert_int_equal(report->entries, p.entries);
    assert_int_equal(report->signed_size, p.signed_size);
    assert_int_equal(p.entries, p.signed_size);
    fixture_shell(&f, "cmp ../copy/checkpoint checkpoint && cmp ../copy/checkpoints.log checkpoints.log");
    free(report);
}

/* Whichever object fails: what was acknowledged before it stays, what comes later is sent with the next pass. */
static void a_break_is_taken_up_again(void **state)
{
    (void)state;
    struct verify_report *report = calloc(1, sizeof *report);
    struct ship_progress before = {0}, p;
    assert_non_null(report);
    fixture_stop(&f);
    unsigned breaks = 0;
    for (fail_at = 1;; fail_at++) {
        enum err err = pass(true, &p);
        assert_true(p.entries >= before.entries && p.head >= before.head);
        before = p;
        if (err == ERR_NONE)
            break;
        assert_int_equal(err, ERR_AGAIN);
        assert_non_null(strstr(why, "broken off"));
        assert_true(breaks++ < 100);
    }
    assert_true(breaks > 5);
    assert_int_equal(p.entries, p.signed_size);
    assert_int_equal(verify_copy(report), VERIFY_PROVEN);
    assert_int_equal(report->entries, p.entries);
    free(report);
}

/* Heads that wait for witnesses are not in the copy: it has not come to now. */
static void what_is_withheld_is_behind(void **state)
{
    (void)state;
    struct ship_progress before, p;
    fixture_stop(&f);
    assert_int_equal(pass(true, &before), ERR_NONE);
    while (clock_wall_ns() / 1000000 <= before.through_ms)
        continue;
    fixture_shell(&f, "(echo sallyport withheld 1; echo since 1; cat checkpoint; echo) > withheld");
    assert_int_equal(pass(true, &p), ERR_NONE);
    assert_int_equal(p.through_ms, before.through_ms);
    assert_int_equal(p.signed_size, before.signed_size);
    fixture_shell(&f, "rm withheld && test ! -e ../copy/withheld");
    assert_int_equal(pass(true, &p), ERR_NONE);
    assert_true(p.through_ms > before.through_ms);
}

static void what_cannot_be_shipped(void **state)
{
    (void)state;
    struct ship *ship = NULL;
    struct ship_progress p;
    struct ship_options options = {.dir = "/nowhere", .to = "the store", .store = {.put = put}};
    assert_int_equal(ship_read(f.dir, &p), ERR_NOT_FOUND);
    assert_int_equal(ship_open(&options, &ship, why, sizeof why), ERR_NOT_FOUND);
    fixture_stop(&f);
    assert_int_equal(pass(true, &p), ERR_NONE);
    /* Another store begins anew; a state that is none is refused. */
    options.dir = f.dir;
    options.to = "another";
    assert_int_equal(ship_open(&options, &ship, why, sizeof why), ERR_NONE);
    ship_progress(ship, &p);
    assert_int_equal(p.entries, 0);
    ship_close(ship);
    fixture_shell(&f, "echo what > shipped");
    assert_int_equal(ship_open(&options, &ship, why, sizeof why), ERR_CORRUPT);
    fixture_shell(&f, "rm shipped");
    /* A hole in the middle, with whole segments behind it. */
    fixture_shell(&f, "truncate -s 100 segments/$(ls segments | sed -n 3p)");
    assert_int_equal(pass(true, &p), ERR_CORRUPT);
    assert_true(p.entries > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sealed_segments_are_shipped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_break_is_taken_up_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_withheld_is_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_shipped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
