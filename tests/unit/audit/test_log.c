/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "audit/reader.h"
#include "audit/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct verify_report report;

static void print_report(void)
{
    for (size_t i = 0; i < report.finding_count; i++)
        print_message("finding: %s\n", report.findings[i]);
}

static void assert_verified(const struct fixture *f, enum verify_result expected)
{
    struct verify_options options = {.dir = f->dir};
    if (audit_verify(&options, &report) != expected) {
        print_report();
        fail_msg("verify gave %d, not %d", (int)report.result, (int)expected);
    }
}

static bool report_has(char lines[][256], size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strstr(lines[i], text) != NULL)
            return true;
    return false;
}

static void a_log_is_proven(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    assert_string_equal(audit_log_origin(f.log), FIXTURE_ORIGIN);
    char vkey[NOTE_VKEY_MAX];
    snprintf(vkey, sizeof vkey, "%s", audit_log_vkey(f.log));
    fixture_feed(&f, 1, 20);
    struct audit_log_status status;
    audit_log_status(f.log, &status);
    assert_int_equal(status.entries, 1 + 42);
    assert_false(status.gate_closed);
    assert_verified(&f, VERIFY_PROVEN); /* beside the running writer */
    fixture_shell(&f,
                  "test $(wc -l < lock) = 1 && grep -Eq '^pid=[0-9]+ boot=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} "
                  "start_ms=[0-9]+ signer=(own|same)-uid,(un)?sealed$' lock");
    fixture_stop(&f);
    assert_verified(&f, VERIFY_PROVEN);
    assert_int_equal(report.entries, 45);
    assert_int_equal(report.signed_size, 45);
    assert_int_equal(report.attempts, 21);
    assert_int_equal(report.outcomes, 21);
    assert_int_equal(report.open_flows, 0);
    assert_true(report_has(report.unproven, report.unproven_count, "came from the directory"));
    assert_true(report_has(report.unproven, report.unproven_count, "rollback"));
    struct verify_options options = {.dir = f.dir, .vkey = vkey};
    assert_int_equal(audit_verify(&options, &report), VERIFY_PROVEN);
    assert_false(report_has(report.unproven, report.unproven_count, "came from the directory"));
    options.vkey = "log.test/audit/1+913e1284+AcWSrlD+BpRyG8aSs9LwKIC17rEH4Cycukzm+hJvwhDz";
    assert_int_equal(audit_verify(&options, &report), VERIFY_TAMPERED);
    options.vkey = "nonsense";
    assert_int_equal(audit_verify(&options, &report), VERIFY_FAILED);
    fixture_remove(&f);
}

static void a_log_goes_on_where_it_ended(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    for (unsigned round = 0; round < 4; round++) {
        fixture_start(&f);
        fixture_feed(&f, 100 * round, 5);
        fixture_stop(&f);
        assert_verified(&f, VERIFY_PROVEN);
        assert_int_equal(report.entries, (round + 1) * 15);
        assert_int_equal(report.open_flows, 0);
    }
    fixture_remove(&f);
}

static void segments_rotate(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    f.segment_bytes = 8192;
    fixture_start(&f);
    fixture_feed(&f, 1, 50);
    fixture_stop(&f);
    fixture_shell(&f, "test $(ls segments | wc -l) -gt 5");
    assert_verified(&f, VERIFY_PROVEN);
    fixture_start(&f);
    fixture_feed(&f, 1000, 3);
    fixture_stop(&f);
    assert_verified(&f, VERIFY_PROVEN);
    struct audit_reader *reader = NULL;
    assert_int_equal(audit_reader_open(f.dir, 0, &reader), ERR_NONE);
    assert_int_equal(audit_reader_durable(reader), report.entries);
    uint64_t index = 0, expected = 0;
    struct span leaf;
    struct leaf_facts facts;
    while (audit_reader_next(reader, &index, &leaf) == ERR_NONE) {
        assert_int_equal(index, expected++);
        assert_true(leaf_scan(leaf, &facts));
        assert_int_equal(facts.sequence, index);
    }
    assert_int_equal(expected, report.entries);
    audit_reader_close(reader);
    fixture_shell(&f, "rm segments/$(ls segments | sed -n 3p)");
    assert_verified(&f, VERIFY_TAMPERED);
    fixture_remove(&f);
}

static void a_reader_follows(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    f.segment_bytes = 4096;
    fixture_start(&f);
    struct audit_reader *reader = NULL;
    assert_int_equal(audit_reader_open(f.dir, 1, &reader), ERR_NONE);
    uint64_t index = 0;
    struct span leaf;
    assert_int_equal(audit_reader_next(reader, &index, &leaf), ERR_AGAIN);
    unsigned attempts = 0;
    for (uint64_t n = 1; n < 30; n++) {
        struct leaf_facts facts = {.kind = LEAF_EVENT};
        fixture_wait(&f, fixture_seal(&f, RECORD_ATTEMPT, n, "env-a"));
        while (facts.kind != LEAF_ATTEMPT) { /* log_rotated may come between */
            assert_int_equal(audit_reader_next(reader, &index, &leaf), ERR_NONE);
            assert_true(leaf_scan(leaf, &facts));
        }
        assert_int_equal(facts.flow[0], n);
        attempts++;
    }
    assert_int_equal(attempts, 29);
    audit_reader_close(reader);
    fixture_stop(&f);
    assert_verified(&f, VERIFY_PROVEN);
    assert_int_equal(report.open_flows, 29);
    fixture_remove(&f);
}

static void one_process_holds_it(void **state)
{
    (void)state;
    struct fixture f, other;
    fixture_make(&f);
    fixture_start(&f);
    other = f;
    other.signer = NULL;
    other.log = NULL;
    assert_int_equal(fixture_open(&other), AUDIT_START_LOCKED);
    char pid[32];
    snprintf(pid, sizeof pid, "pid=%d ", (int)getpid());
    assert_non_null(strstr(other.message, pid));
    fixture_feed(&f, 1, 2);
    fixture_stop(&f);
    fixture_remove(&f);
}

static void open_flows_are_named_after_a_crash(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 3);
    for (uint64_t n = 0; n < 400; n++) /* more than one entry can name */
        fixture_wait(&f, fixture_seal(&f, RECORD_ATTEMPT, 1000 + n, "env-a"));
    fixture_crash(&f);
    assert_verified(&f, VERIFY_PROVEN);
    assert_int_equal(report.open_flows, 400);
    fixture_start(&f);
    fixture_feed(&f, 5000, 3);
    fixture_stop(&f);
    assert_verified(&f, VERIFY_PROVEN);
    assert_int_equal(report.open_flows, 0);
    assert_true(report_has(report.findings, report.finding_count, "400 flows were open"));
    fixture_shell(&f, "test $(grep -ao '\"event_code\":\"open_flows\"' segments/* | wc -l) -eq 3");
    fixture_remove(&f);
}

static void blobs_are_kept_and_checked(void **state)
{
    (void)state;
    struct fixture f;
    char hex[65];
    fixture_make(&f);
    fixture_start(&f);
    assert_int_equal(audit_log_blob(f.log, span_text("allowed_hosts: [files.test]\n"), hex), ERR_NONE);
    struct record_event event = {.event = EVENT_POLICY_LOADED,
                                 .subject = span_text("p1"),
                                 .fact_count = 1,
                                 .facts = {{.key = "source_blob", .text = span_text(hex)}}};
    assert_true(desk_credit_take(f.desk, DESK_RECORD_BYTES));
    fixture_wait(&f, desk_seal_event(f.desk, &event, RECORD_URGENT));
    fixture_stop(&f);
    assert_verified(&f, VERIFY_PROVEN);
    fixture_shell(&f, "for b in blobs/*; do echo x >> $b; done");
    assert_verified(&f, VERIFY_TAMPERED);
    assert_true(report_has(report.findings, report.finding_count, hex));
    fixture_shell(&f, "rm blobs/*");
    assert_verified(&f, VERIFY_TAMPERED);
    fixture_remove(&f);
}

static void a_start_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        enum audit_start result;
        const char *says;
    } rows[] = {
        {"cp -r . ../copy && cp -r ../signer ../signer.copy",                      AUDIT_START_OK,       ""                      },
        {"rm -rf ../signer/state",                                                 AUDIT_START_ROLLBACK, "state is missing"      },
        {"rm -rf ../signer",                                                       AUDIT_START_ROLLBACK, "another key"           },
        {"rm log.json",                                                            AUDIT_START_TAMPERED, "no log.json"           },
        {"printf 'x\\ny\\nz\\n\\n' >> checkpoints.log",                            AUDIT_START_TAMPERED, "no checkpoint"         },
        {"truncate -s 0 segments/*",                                               AUDIT_START_TAMPERED, "were signed"           },
        {"rm segments/*",                                                          AUDIT_START_TAMPERED, "were signed"           },
        {"rm segments/* checkpoint checkpoints.log",                               AUDIT_START_ROLLBACK, "rolled back"           },
        {"rm -rf segments && ln -s /tmp segments",                                 AUDIT_START_FAILED,   "segments"              },
        {"chmod 777 .",                                                            AUDIT_START_FAILED,   "written by others"     },
        {"touch segments/x",                                                       AUDIT_START_TAMPERED, "no segment"            },
        {"mv segments/00000000000000000000.seg segments/00000000000000000001.seg", AUDIT_START_TAMPERED, "missing"               },
        {"sed -i s/test/tost/ segments/*",                                         AUDIT_START_TAMPERED, "not what was committed"},
    };
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 5);
    fixture_stop(&f);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (i > 0) {
            char restore[400];
            snprintf(restore, sizeof restore,
                     "cd .. && chmod 700 audit && rm -rf audit signer && cp -r copy audit && cp -r signer.copy signer");
            fixture_shell(&f, restore);
        }
        fixture_shell(&f, rows[i].what);
        enum audit_start result = fixture_open(&f);
        if (result != rows[i].result || strstr(f.message, rows[i].says) == NULL)
            fail_msg("%s: %d, \"%s\"", rows[i].what, (int)result, f.message);
        if (result == AUDIT_START_OK)
            fixture_stop(&f);
    }
    fixture_remove(&f);
}

/* Only the segments from the one that holds the entry: what was changed before goes unseen, and is not vouched for. */
static void a_part_is_verified_alone(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    f.segment_bytes = 8192;
    fixture_start(&f);
    for (unsigned i = 0; i < 10; i++)
        fixture_feed(&f, 1 + 10 * i, 5);
    fixture_stop(&f);
    struct verify_options options = {.dir = f.dir, .since = 60};
    assert_int_equal(audit_verify(&options, &report), VERIFY_PROVEN);
    assert_true(report.begun > 0 && report.begun <= 60);
    assert_true(report_has(report.unproven, report.unproven_count, "were not read"));
    assert_true(report_has(report.proven, report.proven_count, "are those that were signed, by log.test"));
    fixture_shell(&f, "sed -i 's/files.test/filez.test/' segments/00000000000000000000.seg");
    assert_int_equal(audit_verify(&options, &report), VERIFY_PROVEN);
    assert_verified(&f, VERIFY_TAMPERED);
    /* The tree in front of the part comes from files that nobody signed: a wrong one is found at the first root. */
    fixture_shell(&f, "printf 'x' | dd of=hashes/0 conv=notrunc status=none");
    assert_int_equal(audit_verify(&options, &report), VERIFY_TAMPERED);
    fixture_remove(&f);
}

static void an_older_state_is_a_rollback(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 5);
    fixture_stop(&f);
    fixture_shell(&f, "cp -r . ../yesterday && cp checkpoint ../pinned.old");
    fixture_start(&f);
    fixture_feed(&f, 100, 5);
    fixture_stop(&f);
    fixture_shell(&f, "cp checkpoint ../pinned.new");
    char old[160], new[160];
    snprintf(old, sizeof old, "%s/pinned.old", f.base);
    snprintf(new, sizeof new, "%s/pinned.new", f.base);
    struct verify_options options = {.dir = f.dir, .pinned = old};
    assert_int_equal(audit_verify(&options, &report), VERIFY_PROVEN);
    fixture_shell(&f, "cd .. && rm -rf audit && cp -r yesterday audit");
    assert_int_equal(audit_verify(&options, &report), VERIFY_PROVEN);
    assert_true(report_has(report.proven, report.proven_count, "pinned"));
    options.pinned = new;
    assert_int_equal(audit_verify(&options, &report), VERIFY_ROLLBACK);
    assert_verified(&f, VERIFY_PROVEN); /* without a witness it cannot be seen, and that is said */
    assert_true(report_has(report.unproven, report.unproven_count, "rollback"));
    assert_int_equal(fixture_open(&f), AUDIT_START_ROLLBACK);
    assert_non_null(strstr(f.message, "rolled back"));
    fixture_remove(&f);
}

static void missing_checkpoints_are_noticed(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 5);
    fixture_stop(&f);
    fixture_shell(&f, "cp -r . ../copy && rm checkpoint checkpoints.log");
    assert_verified(&f, VERIFY_INCOMPLETE);
    fixture_shell(&f, "cp ../copy/checkpoint .");
    assert_verified(&f, VERIFY_TAMPERED);
    fixture_shell(&f, "cp ../copy/checkpoints.log . && sed -i 's/^44$/43/; s/^15$/13/' checkpoint checkpoints.log");
    assert_verified(&f, VERIFY_TAMPERED);
    fixture_remove(&f);
}

/* Whatever a name is made of, and however many there are, the manifest says of each what its entries say. */
static void a_manifest_of_many_environments(void **state)
{
    (void)state;
    struct fixture f;
    fixture_make(&f);
    fixture_start(&f);
    uint64_t ticket = 0;
    for (unsigned i = 0; i < 150; i++) {
        char name[64];
        snprintf(name, sizeof name, i % 2 == 0 ? "plain %u" : "odd/\"%u\\nu000a\xff", i);
        ticket = fixture_seal(&f, RECORD_ATTEMPT, 1000 + i, name);
        fixture_wait(&f, ticket);
        fixture_wait(&f, fixture_seal(&f, RECORD_OUTCOME, 1000 + i, name));
    }
    fixture_stop(&f);
    assert_verified(&f, VERIFY_PROVEN);
    assert_int_equal(report.attempts, 150);
    fixture_shell(&f, "grep -aq '\"part\":2,\"parts\":2,\"environments\":\"[0-9]' segments/*");
    fixture_start(&f); /* what recovery read is what the next one lists */
    fixture_feed(&f, 5000, 2);
    fixture_stop(&f);
    assert_verified(&f, VERIFY_PROVEN);
    fixture_remove(&f);
}

static void a_manifest_that_lies_is_found(void **state)
{
    (void)state;
    struct ledger ledger;
    struct leaf_facts facts;
    static const char head[] =
        "{\"metadata\":{\"event_code\":\"env_manifest\",\"sequence\":0,\"uid\":\"x\"},\"unmapped\":{"
        "\"boot\":\"b\",\"part\":1,\"parts\":1,\"environments\":\"";
    static const struct {
        const char *rows;
        enum ledger_finding finding;
    } cases[] = {
        {"7/41/env-a",                 LEDGER_FINE    },
        {"6/41/env-a",                 LEDGER_MANIFEST},
        {"7/40/env-a",                 LEDGER_MANIFEST},
        {"7/41/env-a\\u000a1/2/env-b", LEDGER_MANIFEST},
        {"7/41",                       LEDGER_MANIFEST},
        {"",                           LEDGER_MANIFEST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char leaf[400];
        snprintf(leaf, sizeof leaf, "%s%s\"}}", head, cases[i].rows);
        ledger_init(&ledger);
        struct env *env = envs_find(&ledger.envs, span_text("env-a"));
        assert_non_null(env);
        env->last = env->settled = 7;
        env->index = env->settled_index = 41;
        assert_int_equal(ledger_entry(&ledger, 0, span_text(leaf), &facts), cases[i].finding);
        ledger_free(&ledger);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_is_proven),
        cmocka_unit_test(a_log_goes_on_where_it_ended),
        cmocka_unit_test(segments_rotate),
        cmocka_unit_test(a_manifest_of_many_environments),
        cmocka_unit_test(a_manifest_that_lies_is_found),
        cmocka_unit_test(a_reader_follows),
        cmocka_unit_test(one_process_holds_it),
        cmocka_unit_test(open_flows_are_named_after_a_crash),
        cmocka_unit_test(blobs_are_kept_and_checked),
        cmocka_unit_test(a_start_is_refused),
        cmocka_unit_test(a_part_is_verified_alone),
        cmocka_unit_test(an_older_state_is_a_rollback),
        cmocka_unit_test(missing_checkpoints_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
