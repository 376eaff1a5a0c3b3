/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that fails, fills up, hangs, or loses the segment: the gate closes, nothing is lost, and it opens again. */
#include "fixture.h"

#include "audit/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* What the fake disk does next; read by the writer thread. */
static _Atomic int fail_writes, fail_syncs, short_writes, no_space, hang_ms, hung;
/* Records alone are written by what a test can let fail: checkpoints.log is synced by it as well, whenever the signer has
 * answered. */
static _Atomic int segment_fd = -1;

static ssize_t fake_write(int fd, const void *data, size_t len)
{
    atomic_store(&segment_fd, fd);
    if (atomic_load(&fail_writes) > 0) {
        atomic_fetch_sub(&fail_writes, 1);
        errno = EIO;
        return -1;
    }
    if (atomic_load(&short_writes) > 0) {
        atomic_fetch_sub(&short_writes, 1);
        return write(fd, data, len / 2);
    }
    return write(fd, data, len);
}

static int fake_sync(int fd)
{
    if (fd != atomic_load(&segment_fd))
        return fdatasync(fd);
    int ms = atomic_exchange(&hang_ms, 0);
    if (ms > 0) {
        struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
        atomic_store(&hung, 1);
        nanosleep(&time, NULL);
    }
    if (atomic_load(&fail_syncs) > 0) {
        atomic_fetch_sub(&fail_syncs, 1);
        errno = EIO;
        return -1;
    }
    return fdatasync(fd);
}

static int fake_reserve(int fd, uint64_t bytes)
{
    (void)fd;
    (void)bytes;
    return atomic_load(&no_space) != 0 ? ENOSPC : 0;
}

static const struct audit_io fake = {.write = fake_write, .datasync = fake_sync, .reserve = fake_reserve};
static struct verify_report report;

static void start(struct fixture *f)
{
    fixture_make(f);
    assert_int_equal(fixture_open(f), AUDIT_START_OK);
    audit_log_use_io(f->log, &fake);
    assert_int_equal(audit_log_start(f->log), ERR_NONE);
    fixture_feed(f, 1, 3);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Whatever the trouble is, the writer rests between two tries: a core would be one that spins. */
static void assert_rested(uint64_t begun, uint64_t used)
{
    uint64_t took = clock_ns(CLOCK_MONOTONIC) - begun;
    if (took > 300000000u)
        assert_true(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - used < took / 5);
}

static void wait_gate(const struct fixture *f, bool closed)
{
    uint64_t begun = clock_ns(CLOCK_MONOTONIC), used = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned i = 0; desk_gate_closed(f->desk) != closed; i++) {
        if (i > 5000)
            fail_msg("the gate did not %s", closed ? "close" : "open");
        nap();
    }
    assert_rested(begun, used);
}

static void assert_proven(const struct fixture *f)
{
    struct verify_options options = {.dir = f->dir};
    if (audit_verify(&options, &report) != VERIFY_PROVEN)
        fail_msg("%s", report.finding_count > 0 ? report.findings[0] : "?");
}

static void finish(struct fixture *f, unsigned flows)
{
    fixture_feed(f, 500, 3);
    fixture_stop(f);
    assert_proven(f);
    assert_int_equal(report.attempts, 4 + flows + 4);
    assert_int_equal(report.open_flows, 0);
    fixture_shell(f, "grep -aq '\"event_code\":\"gate_closed\"' segments/*");
    fixture_shell(f, "grep -aq '\"event_code\":\"gate_opened\"' segments/*");
    fixture_remove(f);
}

/* A pair is sealed on credit that was taken before the disk failed: it must get into the log all the same. */
static void survive(struct fixture *f, _Atomic int *what, int times)
{
    assert_true(desk_credit_take(f->desk, DESK_PAIR_BYTES));
    atomic_store(what, times);
    struct target target = sample_target("files.test");
    struct record_flow record = sample_flow(RECORD_ATTEMPT, 77, "env-a", &target);
    uint64_t ticket = desk_seal_flow(f->desk, &record, RECORD_URGENT);
    fixture_wait(f, ticket);
    record = sample_flow(RECORD_OUTCOME, 77, "env-a", &target);
    fixture_wait(f, desk_seal_flow(f->desk, &record, RECORD_LAZY));
    wait_gate(f, false);
    assert_int_equal(atomic_load(what), 0);
}

static void a_failed_sync_poisons_the_segment(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    survive(&f, &fail_syncs, 1);
    fixture_shell(&f, "test $(ls segments | wc -l) -eq 2");
    finish(&f, 1);
}

static void a_failed_write(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    survive(&f, &fail_writes, 2);
    finish(&f, 1);
}

static void a_short_write(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    survive(&f, &short_writes, 1);
    finish(&f, 1);
}

static void start_small(struct fixture *f)
{
    fixture_make(f);
    f->segment_bytes = 16384;
    assert_int_equal(fixture_open(f), AUDIT_START_OK);
    audit_log_use_io(f->log, &fake);
    assert_int_equal(audit_log_start(f->log), ERR_NONE);
    fixture_feed(f, 1, 1);
}

/* Until the next segment would be needed. Gives the flows that it took. */
static unsigned fill_up(struct fixture *f)
{
    uint64_t flow = 100;
    unsigned open = 0;
    while (desk_credit_take(f->desk, DESK_PAIR_BYTES)) {
        struct target target = sample_target("files.test");
        struct record_flow record = sample_flow(RECORD_ATTEMPT, flow, "env-a", &target);
        fixture_wait(f, desk_seal_flow(f->desk, &record, RECORD_URGENT));
        assert_in_range(++open, 1, 100);
        /* The outcome has its credit: it is written although the gate may be closed by now. */
        record = sample_flow(RECORD_OUTCOME, flow++, "env-a", &target);
        fixture_wait(f, desk_seal_flow(f->desk, &record, RECORD_LAZY));
    }
    wait_gate(f, true);
    assert_true(open > 1);
    return open;
}

static void a_full_disk(void **state)
{
    (void)state;
    struct fixture f;
    start_small(&f);
    atomic_store(&no_space, 1);
    unsigned open = fill_up(&f);
    struct audit_log_status status;
    audit_log_status(f.log, &status);
    assert_true(status.gate_closed);
    assert_string_equal(status.gate_why, "the disk is full");
    for (unsigned i = 0; i < 5; i++)
        desk_count_refused(f.desk);
    fixture_shell(&f,
                  "for i in 1 2 3 4 5 6 7 8 9; do grep -aq gate_closed segments/* && exit 0; sleep 0.1; done; exit 1");
    atomic_store(&no_space, 0);
    wait_gate(&f, false);
    fixture_shell(&f, "grep -aq '\"refused\":5,' segments/*");
    fixture_feed(&f, 500, 3);
    fixture_stop(&f);
    assert_proven(&f);
    assert_int_equal(report.attempts, 2 + open + 4);
    fixture_remove(&f);
}

/* Whoever stops the program while the gate is shut, or when the disk had room again a moment ago: the number of those that
 * were refused is not lost. */
static void the_end_of_a_full_disk(void **state)
{
    (void)state;
    for (int room = 0; room < 2; room++) {
        struct fixture f;
        start_small(&f);
        atomic_store(&no_space, 1);
        unsigned open = fill_up(&f);
        for (unsigned i = 0; i < 7; i++)
            desk_count_refused(f.desk);
        atomic_store(&no_space, room == 0);
        fixture_stop(&f);
        atomic_store(&no_space, 0);
        fixture_shell(&f, "test $(cat segments/* | grep -ac 'gate_opened') -eq 0 || "
                          "grep -aq 'gate_opened.*\"refused\":7,' segments/*");
        if (room)
            fixture_shell(&f, "grep -aq gate_opened segments/*");
        fixture_shell(&f, "grep -aq 'log_stopped.*\"refused\":7' segments/*");
        assert_proven(&f);
        assert_int_equal(report.attempts, 2 + open);
        fixture_remove(&f);
    }
}

static void a_removed_segment_is_put_back(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    fixture_shell(&f, "rm segments/*");
    fixture_wait(&f, fixture_seal(&f, RECORD_ATTEMPT, 77, "env-a"));
    fixture_wait(&f, fixture_seal(&f, RECORD_OUTCOME, 77, "env-a"));
    wait_gate(&f, false);
    finish(&f, 1);
}

static void a_replaced_segment_is_put_back(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    fixture_shell(&f, "cp segments/00000000000000000000.seg x && mv x segments/00000000000000000000.seg");
    fixture_wait(&f, fixture_seal(&f, RECORD_ATTEMPT, 77, "env-a"));
    fixture_wait(&f, fixture_seal(&f, RECORD_OUTCOME, 77, "env-a"));
    wait_gate(&f, false);
    fixture_shell(&f, "test $(ls quarantine | wc -l) -eq 1");
    finish(&f, 1);
}

static void a_commit_that_hangs(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    atomic_store(&hang_ms, 2600);
    uint64_t ticket = fixture_seal(&f, RECORD_ATTEMPT, 77, "env-a");
    while (atomic_load(&hung) == 0)
        nap();
    wait_gate(&f, true); /* though the writer itself cannot say so */
    assert_false(desk_credit_take(f.desk, DESK_PAIR_BYTES));
    desk_count_refused(f.desk);
    fixture_wait(&f, ticket);
    wait_gate(&f, false);
    fixture_wait(&f, fixture_seal(&f, RECORD_OUTCOME, 77, "env-a"));
    finish(&f, 1);
}

static bool is_told(const struct fixture *f, int within_ms)
{
    struct pollfd ready = {.fd = f->wake[0], .events = POLLIN};
    char byte;
    return poll(&ready, 1, within_ms) == 1 && read(f->wake[0], &byte, 1) == 1;
}

/* An open tunnel waits for no record, and has to stop all the same. */
static void a_gate_that_shuts_is_told_to_who_waits_for_nothing(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    while (is_told(&f, 0))
        continue;
    assert_false(desk_is_waiting(f.desk));
    atomic_store(&fail_writes, 1000000);
    uint64_t ticket = fixture_seal(&f, RECORD_ATTEMPT, 77, "env-a");
    assert_true(is_told(&f, 10000));
    assert_true(desk_gate_closed(f.desk));
    assert_false(is_told(&f, 0)); /* once */
    atomic_store(&fail_writes, 0);
    fixture_wait(&f, ticket);
    fixture_wait(&f, fixture_seal(&f, RECORD_OUTCOME, 77, "env-a"));
    wait_gate(&f, false);
    finish(&f, 1);
}

static void a_dead_disk_does_not_hang_the_end(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    atomic_store(&fail_writes, 1000000);
    fixture_seal(&f, RECORD_ATTEMPT, 77, "env-a");
    wait_gate(&f, true);
    assert_int_equal(audit_log_stop(f.log), ERR_IO);
    signer_close(f.signer);
    atomic_store(&fail_writes, 0);
    struct verify_options options = {.dir = f.dir};
    assert_int_not_equal(audit_verify(&options, &report), VERIFY_TAMPERED);
    fixture_start(&f);
    fixture_stop(&f);
    assert_proven(&f);
    assert_int_equal(report.attempts, 4);
    fixture_remove(&f);
}

static void a_signer_that_cannot_write(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    /* The signer's directory is lost while the log runs: nothing is signed, and the end says so. */
    fixture_shell(&f, "rm -rf ../signer");
    assert_int_equal(audit_log_stop(f.log), ERR_IO);
    signer_close(f.signer);
    fixture_remove(&f);
}

/* What nobody can sign any more shuts the gate; while it stays so the writer asks now and then, and sleeps. */
static void a_signer_that_fails_for_long(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    f.unsigned_max_ms = 100;
    assert_int_equal(fixture_open(&f), AUDIT_START_OK);
    assert_int_equal(audit_log_start(f.log), ERR_NONE);
    fixture_shell(&f, "rm -rf ../signer");
    fixture_feed(&f, 1, 3);
    wait_gate(&f, true);
    uint64_t begun = clock_ns(CLOCK_MONOTONIC), used = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    while (clock_ns(CLOCK_MONOTONIC) - begun < 2000000000u)
        nap();
    assert_true(desk_gate_closed(f.desk));
    assert_rested(begun, used);
    assert_int_equal(audit_log_stop(f.log), ERR_IO);
    signer_close(f.signer);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_sync_poisons_the_segment),
        cmocka_unit_test(a_failed_write),
        cmocka_unit_test(a_short_write),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(the_end_of_a_full_disk),
        cmocka_unit_test(a_removed_segment_is_put_back),
        cmocka_unit_test(a_replaced_segment_is_put_back),
        cmocka_unit_test(a_commit_that_hangs),
        cmocka_unit_test(a_gate_that_shuts_is_told_to_who_waits_for_nothing),
        cmocka_unit_test(a_dead_disk_does_not_hang_the_end),
        cmocka_unit_test(a_signer_that_cannot_write),
        cmocka_unit_test(a_signer_that_fails_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
