/* SPDX-License-Identifier: Apache-2.0 */
/* A start from a snapshot comes to the same as one from the first entry, and none is believed that is not proven. */
#include "fixture.h"

#include "audit/verify.h"

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

#define EVERY 16u /* entries between two snapshots */

static struct verify_report report;

static void make(struct fixture *f)
{
    fixture_make(f);
    f->segment_bytes = 16384;
    f->snapshot_entries = EVERY;
}

static void assert_proven(const struct fixture *f)
{
    struct verify_options options = {.dir = f->dir};
    if (audit_verify(&options, &report) != VERIFY_PROVEN)
        fail_msg("verify: %s", report.finding_count > 0 ? report.findings[0] : "?");
}

static uint64_t entries(const struct fixture *f)
{
    struct audit_log_status status;
    audit_log_status(f->log, &status);
    return status.entries;
}

/* Until the newest entries are signed: then another snapshot may be taken. */
static void wait_signed(struct fixture *f)
{
    struct audit_log_status status;
    for (unsigned i = 0; i < 500; i++) {
        audit_log_status(f->log, &status);
        if (status.signed_size == status.entries)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("nothing was signed");
}

/* Flows `first` to first + n - 1 stay open; then as many pairs. */
static void feed(struct fixture *f, uint64_t first, unsigned open, unsigned pairs)
{
    for (unsigned i = 0; i < open; i++)
        fixture_wait(f, fixture_seal(f, RECORD_ATTEMPT, first + i, i % 2 == 0 ? "env-a" : "env-\"q\"\\"));
    fixture_feed(f, first + open, pairs);
    wait_signed(f);
}

/* Several segments, two snapshots, open flows of before and behind them; killed. */
static void make_killed(struct fixture *f)
{
    make(f);
    fixture_start(f);
    feed(f, 1, 3, 20);
    feed(f, 1000, 3, 20);
    feed(f, 2000, 3, 20);
    fixture_crash(f);
    fixture_shell(f, "test -s index/snapshot.0 && test -s index/snapshot.1 && test $(ls segments | wc -l) -gt 3");
}

static uint64_t rows_hash(const struct ledger *l)
{
    uint64_t sum = l->open.count;
    for (size_t i = 0; i < l->open.cap; i++)
        if (l->open.rows[i].used)
            sum += l->open.rows[i].index * 31 + (uint64_t)l->open.rows[i].id[0] * 257 + l->open.rows[i].id[1];
    return sum;
}

/* What the next start knows; it is not started. */
struct known {
    struct tree_head head;
    uint64_t open, rows, read_from, bytes, segment, torn;
    uint64_t numbers[3], indexes[3];
    char why[80];
};

static struct known known_of(struct fixture *f)
{
    static const char *const names[] = {"env-a", "env-b", "env-\\\"q\\\"\\\\"};
    struct known k = {0};
    enum audit_start result = fixture_open(f);
    if (result != AUDIT_START_OK)
        fail_msg("open: %s", f->message);
    struct audit_log *log = f->log;
    k.head.size = log->tree.size;
    tree_root(&log->tree, k.head.root);
    k.open = log->ledger.open.count;
    k.rows = rows_hash(&log->ledger);
    k.read_from = log->read_from;
    k.bytes = log->segment.bytes;
    k.segment = log->segment.first;
    k.torn = log->torn_bytes;
    for (unsigned i = 0; i < 3; i++) {
        const struct env *env = envs_find(&log->ledger.envs, span_text(names[i]));
        k.numbers[i] = env->settled;
        k.indexes[i] = env->settled_index;
    }
    memcpy(k.why, log->read_why, sizeof k.why);
    assert_int_equal(audit_log_stop(log), ERR_NONE);
    signer_close(f->signer);
    f->log = NULL;
    return k;
}

static void assert_same(const struct known *a, const struct known *b)
{
    assert_int_equal(a->head.size, b->head.size);
    assert_memory_equal(a->head.root, b->head.root, DIGEST_BYTES);
    assert_int_equal(a->open, b->open);
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->segment, b->segment);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(a->numbers[i], b->numbers[i]);
        assert_int_equal(a->indexes[i], b->indexes[i]);
    }
}

static void comes_to_the_same(void **state)
{
    (void)state;
    struct fixture f;
    make_killed(&f);
    struct known fast = known_of(&f);
    assert_in_range(fast.read_from, 60, fast.head.size - 1);
    assert_int_equal(fast.open, 9);
    assert_true(fast.numbers[0] > 20 && fast.numbers[1] > 20);
    assert_int_equal(fast.numbers[2], 3);
    assert_string_equal(fast.why, "");
    fixture_shell(&f, "mv index ../index");
    struct known whole = known_of(&f);
    assert_int_equal(whole.read_from, 0);
    assert_string_equal(whole.why, ""); /* there was none */
    assert_same(&fast, &whole);
    fixture_shell(&f, "rm -r index && mv ../index index");
    fixture_start(&f);
    feed(&f, 3000, 2, 20);
    fixture_stop(&f);
    assert_proven(&f);
    assert_int_equal(report.open_flows, 2); /* the nine were listed by the start */
    fixture_start(&f);
    assert_true(f.log->read_from + EVERY > entries(&f) - 8); /* a clean stop left next to nothing to read */
    fixture_stop(&f);
    assert_proven(&f);
    assert_int_equal(report.open_flows, 0);
    fixture_remove(&f);
}

/* `command` spoils something; the log starts all the same, and comes to what it was. */
static void assert_from(const struct known *expected, struct fixture *f, const char *command, bool whole)
{
    fixture_shell(f, "rm -rf ../kept && cp -a . ../kept");
    fixture_shell(f, command);
    struct known k = known_of(f);
    assert_same(expected, &k);
    if (whole != (k.read_from == 0))
        fail_msg("read from %llu after: %s", (unsigned long long)k.read_from, command);
    assert_int_equal(k.why[0] != '\0', whole && strcmp(command, "rm index/*") != 0); /* a line says why, file by file */
    assert_true(k.read_from <= expected->read_from);
    fixture_shell(f, "rm -rf segments index hashes && cp -a ../kept/segments ../kept/index ../kept/hashes .");
}

static const char *why_after(struct fixture *f, const char *command)
{
    static struct known k;
    fixture_shell(f, "rm -rf ../kept && cp -a . ../kept");
    fixture_shell(f, command);
    k = known_of(f);
    fixture_shell(f, "rm -rf segments index hashes && cp -a ../kept/segments ../kept/index ../kept/hashes .");
    return k.why;
}

static void a_spoiled_one_is_passed_over(void **state)
{
    (void)state;
    struct fixture f;
    make_killed(&f);
    struct known fast = known_of(&f);
    assert_from(&fast, &f, "rm index/*", true);
    assert_from(&fast, &f, "for i in index/*; do : > $i; done", true);
    assert_from(&fast, &f, "for i in index/*; do head -c 100 $i > x && mv x $i; done", true);
    assert_from(&fast, &f, "sed -i 's|/env-a$|/env-z|' index/*", true);
    assert_from(&fast, &f, "sed -i '$d' index/*", true); /* a row less than its number says */
    assert_from(&fast, &f, "sed -i 's|^[0-9]*/\\([0-9]*/env-a\\)$|7/\\1|' index/*", true);
    assert_from(&fast, &f, "echo >> index/snapshot.0; echo >> index/snapshot.1", true);
    assert_from(&fast, &f, "sed -i 's|^log.test/audit/1$|log.test/audit/2|' index/*", true);
    assert_string_equal(why_after(&f, "sed -i '$d' index/snapshot.0; : > index/snapshot.1"),
                        "index/snapshot.0 is damaged, .1 is damaged");
    assert_from(&fast, &f, "rm hashes/*", true);
    assert_from(&fast, &f, "for i in hashes/0; do truncate -s 64 $i; done", true);
    assert_from(&fast, &f, "tr '\\000-\\177' '\\200-\\377' < hashes/0 > x && mv x hashes/0", true);
    assert_from(&fast, &f,
                "mkdir x && mv index/snapshot.0 x && mv index/snapshot.1 index/snapshot.0 && "
                "mv x/snapshot.0 index/snapshot.1 && rmdir x",
                false);
    assert_from(&fast, &f, "rm index/* && ln -s /dev/zero index/snapshot.0 && mkdir index/snapshot.1", true);
    fixture_remove(&f);
}

/* Behind a clean end both are signed, and the older one is as good, only longer to read from. */
static void either_file_serves(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    fixture_start(&f);
    feed(&f, 1, 1, 20);
    feed(&f, 1000, 1, 20);
    fixture_stop(&f);
    struct known fast = known_of(&f);
    assert_from(&fast, &f, "rm index/snapshot.0", false);
    assert_from(&fast, &f, "rm index/snapshot.1", false);
    assert_from(&fast, &f, "sed -i '$d' index/snapshot.0", false);
    assert_from(&fast, &f, "sed -i '$d' index/snapshot.1", false);
    fixture_remove(&f);
}

/* Every byte of the newer file: another hash than its entry's. */
static void no_byte_of_it_may_change(void **state)
{
    (void)state;
    static uint8_t bytes[8192];
    struct fixture f;
    make_killed(&f);
    struct known fast = known_of(&f);
    char path[256];
    for (unsigned file = 0; file < 2; file++) {
        snprintf(path, sizeof path, "%s/index/snapshot.%u", f.dir, file);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        ssize_t len = read(fd, bytes, sizeof bytes);
        assert_in_range(len, 100, sizeof bytes - 1);
        for (ssize_t i = 0; i < len; i += 11) {
            uint8_t changed = bytes[i] ^ 1;
            assert_int_equal(pwrite(fd, &changed, 1, i), 1);
            struct known k = known_of(&f);
            assert_same(&fast, &k);
            assert_true(k.read_from <= fast.read_from);
            assert_int_equal(pwrite(fd, &bytes[i], 1, i), 1);
        }
        close(fd);
    }
    fixture_remove(&f);
}

static void assert_refused(struct fixture *f, const char *command, enum audit_start expected)
{
    fixture_shell(f, "rm -rf ../kept && cp -a . ../kept");
    fixture_shell(f, command);
    enum audit_start result = fixture_open(f);
    if (result != expected)
        fail_msg("%d, not %d after: %s (%s)", (int)result, (int)expected, command, f->message);
    fixture_shell(f, "rm -rf * && cp -a ../kept/* .");
}

/* What was refused is refused still. */
static void a_changed_log_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_killed(&f);
    assert_refused(&f, "rm segments/$(ls segments | sed -n 2p)", AUDIT_START_TAMPERED);
    assert_refused(&f, "rm segments/$(ls segments | head -1)", AUDIT_START_TAMPERED);
    assert_refused(&f, "truncate -s -200 segments/$(ls segments | sed -n 2p)", AUDIT_START_TAMPERED);
    assert_refused(&f, "rm segments/$(ls segments | tail -1)", AUDIT_START_TAMPERED);
    assert_refused(&f, "for s in $(ls segments | tail -2); do sed -i 's/\"uid\":/\"uit\":/g' segments/$s; done",
                   AUDIT_START_TAMPERED);
    /* The whole directory as it was earlier, snapshots and all: the signer knows better. */
    fixture_shell(&f, "cp -a . ../earlier");
    fixture_start(&f);
    feed(&f, 4000, 1, 20);
    fixture_stop(&f);
    assert_refused(&f, "rm -rf * && cp -a ../earlier/* .", AUDIT_START_ROLLBACK);
    /* A snapshot of behind the end that was put back into it. */
    assert_refused(&f, "cp -a index ../index && rm -rf * && cp -a ../earlier/* . && rm -r index && cp -a ../index .",
                   AUDIT_START_ROLLBACK);
    fixture_remove(&f);
}

/* What lies before the snapshot is signed and is not read: finding a change there is what verifying is for. */
static void what_lies_before_is_for_verify(void **state)
{
    (void)state;
    struct fixture f;
    make_killed(&f);
    struct known fast = known_of(&f);
    assert_from(&fast, &f, "sed -i 's/files.test/filez.test/g' segments/$(ls segments | head -1)", false);
    fixture_shell(&f, "sed -i 's/files.test/filez.test/g' segments/$(ls segments | head -1)");
    struct verify_options options = {.dir = f.dir};
    assert_int_equal(audit_verify(&options, &report), VERIFY_TAMPERED);
    fixture_shell(&f, "rm index/*");
    assert_int_equal(fixture_open(&f), AUDIT_START_TAMPERED);
    fixture_remove(&f);
}

/* The file is there and the entry is not; the entry is there and unsigned; a torn tail behind it. */
static void killed_at_any_step(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    fixture_start(&f);
    feed(&f, 1, 3, 20);
    fixture_stop(&f);
    fixture_shell(&f, "cp -a . ../before");
    fixture_start(&f);
    feed(&f, 1000, 3, 12);
    fixture_crash(&f);
    struct known after = known_of(&f);
    assert_true(after.read_from > 0);
    /* Bytes of a batch that was never finished. */
    fixture_shell(&f, "head -c 300 segments/$(ls segments | head -1) >> segments/$(ls segments | tail -1)");
    struct known torn = known_of(&f);
    assert_same(&after, &torn);
    assert_int_equal(torn.read_from, after.read_from);
    assert_int_equal(torn.torn, 300);
    fixture_shell(&f, "test $(ls quarantine | wc -l) -eq 1");
    fixture_start(&f);
    fixture_feed(&f, 5000, 2);
    fixture_stop(&f);
    assert_proven(&f);
    /* Files that were written before their entries were durable: from a later life of the same log. */
    fixture_shell(&f, "cp -a index ../later && cp -a ../signer ../signer.later && rm -rf * && cp -a ../before/* .");
    fixture_shell(&f, "rm -r index && cp -a ../later index && rm ../signer/state && "
                      "printf 'sallyport signer 1\\n' > ../signer/state && head -3 checkpoint >> ../signer/state && "
                      "chmod 600 ../signer/state");
    struct known k = known_of(&f);
    assert_int_equal(k.read_from, 0);
    assert_string_equal(k.why, "index/snapshot.0 is not signed yet, .1 is not signed yet");
    fixture_start(&f);
    fixture_feed(&f, 6000, 20);
    fixture_stop(&f);
    assert_proven(&f);
    fixture_start(&f);
    assert_true(f.log->read_from > 0);
    fixture_stop(&f);
    fixture_remove(&f);
}

/* Nothing signed yet: no snapshot can be proven. */
static void unsigned_ones_do_not_count(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 3);
    fixture_stop(&f);
    fixture_start(&f);
    uint64_t last = entries(&f);
    feed(&f, 100, 1, 2 * EVERY);
    fixture_crash(&f);
    struct known k = known_of(&f);
    assert_true(k.read_from >= last);
    /* checkpoints.log as it was before: the snapshots lie behind what it says. */
    fixture_shell(&f, "awk '{print} /^$/ && ++n == 2 {exit}' checkpoints.log > x && mv x checkpoints.log");
    struct known old = known_of(&f);
    assert_int_equal(old.read_from, 0);
    assert_same(&k, &old);
    fixture_remove(&f);
}

/* Many entries and no head: the file that a start needs is not written over. */
static void the_proven_one_is_kept(void **state)
{
    (void)state;
    struct fixture f;
    make(&f);
    fixture_start(&f);
    feed(&f, 1, 1, 20);
    feed(&f, 1000, 1, 4);
    for (uint64_t n = 0; n < 6 * EVERY; n++)
        fixture_wait(&f, fixture_seal(&f, RECORD_ATTEMPT, 2000 + n, "env-a"));
    fixture_crash(&f);
    struct known k = known_of(&f);
    assert_true(k.read_from > 0);
    assert_int_equal(k.open, 2 + 6 * EVERY);
    fixture_remove(&f);
}

static void a_hand_over_before_it_is_known(void **state)
{
    (void)state;
    struct fixture f;
    char key[NOTE_VKEY_MAX];
    make(&f);
    fixture_start(&f);
    feed(&f, 1, 1, 4);
    fixture_shell(&f, "cp -a ../signer ../signer.before && cp keys/log.vkey ../vkey.before");
    assert_int_equal(audit_log_rotate_key(f.log, "a test", 10000, key, sizeof key), ERR_NONE);
    feed(&f, 100, 1, 2 * EVERY);
    fixture_stop(&f);
    fixture_start(&f);
    assert_true(f.log->read_from > 20);
    assert_string_equal(f.log->rotated_to, key);
    assert_string_equal(audit_log_vkey(f.log), key);
    feed(&f, 200, 1, 2 * EVERY);
    fixture_stop(&f);
    assert_proven(&f);
    fixture_start(&f);
    assert_string_equal(f.log->rotated_to, key);
    fixture_stop(&f);
    fixture_shell(&f, "cp ../signer.before/log.key ../signer/ && cp ../vkey.before keys/log.vkey");
    enum audit_start result = fixture_open(&f);
    assert_true(result == AUDIT_START_ROLLBACK || result == AUDIT_START_TAMPERED);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_to_the_same),
        cmocka_unit_test(a_spoiled_one_is_passed_over),
        cmocka_unit_test(no_byte_of_it_may_change),
        cmocka_unit_test(a_changed_log_is_refused),
        cmocka_unit_test(either_file_serves),
        cmocka_unit_test(what_lies_before_is_for_verify),
        cmocka_unit_test(killed_at_any_step),
        cmocka_unit_test(unsigned_ones_do_not_count),
        cmocka_unit_test(a_hand_over_before_it_is_known),
        cmocka_unit_test(the_proven_one_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
