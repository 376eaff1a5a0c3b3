/* SPDX-License-Identifier: Apache-2.0 */
/* Each sentence of a verification, and the log that provokes it; a log is good but for what its row says. */
#include "forge.h"

#include "audit/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "witness.h"

#include <stdio.h>

#define GOOD "start | a1 o1 ! a2 d3 | r2 A4 O4 ! stop !"

static struct fixture f;
static struct forge forge;
static struct verify_report report;

struct row {
    const char *script;  /* NULL: GOOD */
    const char *command; /* done to the directory then; NULL: nothing */
    enum verify_result result;
    const char *says; /* begins a finding, or with ':' a proven and with '?' an unproven sentence */
    struct verify_options options;
};

static void has_line(const struct row *row, char lines[][256], size_t count, const char *says)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(lines[i], says, strlen(says)) == 0)
            return;
    for (size_t i = 0; i < report.finding_count; i++)
        print_message("finding: %s\n", report.findings[i]);
    for (size_t i = 0; i < count; i++)
        print_message("- %s\n", lines[i]);
    fail_msg("%s, %s: nothing begins \"%s\"", row->script == NULL ? "GOOD" : row->script,
             row->command == NULL ? "-" : row->command, says);
}

static void try_row(const struct row *row)
{
    struct verify_options options = row->options;
    forge_log(&forge, &f, row->script == NULL ? GOOD : row->script);
    if (row->command != NULL)
        fixture_shell(&f, row->command);
    char pinned[200];
    if (options.pinned != NULL) {
        snprintf(pinned, sizeof pinned, "%s/%s", f.dir, options.pinned);
        options.pinned = pinned;
    }
    options.dir = f.dir;
    if (audit_verify(&options, &report) != row->result) {
        for (size_t i = 0; i < report.finding_count; i++)
            print_message("finding: %s\n", report.findings[i]);
        fail_msg("%s, %s: %d, not %d", row->script == NULL ? "GOOD" : row->script,
                 row->command == NULL ? "-" : row->command, (int)report.result, (int)row->result);
    }
    if (row->says[0] == ':')
        has_line(row, report.proven, report.proven_count, row->says + 1);
    else if (row->says[0] == '?')
        has_line(row, report.unproven, report.unproven_count, row->says + 1);
    else if (row->says[0] != '\0')
        has_line(row, report.findings, report.finding_count, row->says);
    forge_free(&forge);
}

static void try_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        try_row(&rows[i]);
}

#define TRY(rows) try_rows(rows, sizeof(rows) / sizeof(rows)[0])

static void a_good_log(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct row rows[] = {
        {.says = ":9 entries in 1 segments hash to the roots"},
        {.says = ":the first 9 entries are those that were signed, in 3 checkpoints of log.test/audit/1"},
        {.says = ":each of 4 attempts ended, was refused, or is named as open"},
        {.says = ":the numbers of each of 2 environments are without a gap"},
        {.says = "?who signed: the key came from the directory itself"},
        {.says = "?absence of a rollback: no witness has signed"},
        {.says = "?agreement with a counter of the kernel's: none was given"},
        {.script = "start adopted adopted stop !",
         .says = "?absence of a rollback before a signer without memory was adopted, 2 times"},
    };
    /* clang-format on */
    TRY(rows);
    forge_log(&forge, &f, GOOD);
    struct verify_options options = {.dir = f.dir};
    assert_int_equal(audit_verify(&options, &report), VERIFY_PROVEN);
    assert_int_equal(report.finding_count, 0);
    assert_int_equal(report.entries, 9);
    assert_int_equal(report.signed_size, 9);
    assert_int_equal(report.attempts, 4);
    assert_int_equal(report.outcomes, 3);
    assert_int_equal(report.open_flows, 0);
    assert_string_equal(report.signer_account, "own");
    assert_string_equal(report.signer_network, "a name that is "); /* as much as there is room for */
    assert_string_equal(report.origin, FIXTURE_ORIGIN);
    forge_free(&forge);
}

static void what_entries_say_of_each_other(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct row rows[] = {
        {"start a1 o1 gap a2 o2 stop !", NULL, VERIFY_INCOMPLETE,
         "entry 3: environment \"env-a\" has a gap before env_seq 4", {0}},
        {"start a1 o1 gap a2 o2 stop !", NULL, VERIFY_INCOMPLETE,
         "in all: 1 gaps, 0 outcomes without an attempt, 0 silences", {0}},
        {"start o1 stop !", NULL, VERIFY_INCOMPLETE,
         "entry 1: an outcome or traffic without an attempt that is open", {0}},
        {"start t1 stop !", NULL, VERIFY_INCOMPLETE,
         "entry 1: an outcome or traffic without an attempt that is open", {0}},
        {"start a1 t1 o1 t1 stop !", NULL, VERIFY_INCOMPLETE, "entry 4: an outcome or traffic without an attempt", {0}},
        {"start a1 o1 lie stop !", NULL, VERIFY_TAMPERED,
         "entry 3: the manifest is not what the entries before it say", {0}},
        {"start a1 junk o1 stop !", NULL, VERIFY_TAMPERED, "entry 2 is not of this log's form", {0}},
        {"start a1 | start stop !", NULL, VERIFY_INCOMPLETE,
         "1 attempts have neither an outcome nor a later start that names them as open", {0}},
        {"start a1 | start lost1 stop !", NULL, VERIFY_PROVEN, "1 flows were open when a process ended", {0}},
        {"start a1 !", NULL, VERIFY_PROVEN, "1 flows are open (the log was not closed)", {0}},
        {"start a1 stop !", NULL, VERIFY_PROVEN, "1 flows are open though the log was closed", {0}},
        {"strange stop !", NULL, VERIFY_TAMPERED, "log.json is not the file that entry 0 names", {0}},
        {"start blob stop !", NULL, VERIFY_TAMPERED, "entry 1 names blobs/0123456789abcdef", {0}},
        {"start handover stop !", NULL, VERIFY_TAMPERED,
         "entry 1 hands over to another key than keys/rotations says", {0}},
        {"start | +181 a1 o1 stop !", NULL, VERIFY_INCOMPLETE,
         "before entry 1 the log was silent for 181 s: heartbeats are missing", {0}},
        {"start | +180 a1 o1 stop !", NULL, VERIFY_PROVEN, ":the numbers of each of 1", {0}},
        {"start | +900 boot a1 o1 stop !", NULL, VERIFY_PROVEN, ":the numbers of each of 1", {0}},
        {"start stop | +900 start stop !", NULL, VERIFY_PROVEN, ":the numbers of each of 0", {0}},
    };
    /* clang-format on */
    TRY(rows);
}

/* Eight sentences of one kind are enough; all are counted. */
static void many_of_a_kind_are_counted(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct row rows[] = {
        {"start o1 o1 o1 o1 o1 o1 o1 o1 o1 o1 stop !", NULL, VERIFY_INCOMPLETE,
         "in all: 0 gaps, 10 outcomes without an attempt, 0 silences", {0}},
        {"start gap d1 gap d1 gap d1 gap d1 gap d1 gap d1 gap d1 gap d1 gap d1 stop !", NULL, VERIFY_INCOMPLETE,
         "in all: 9 gaps, 0 outcomes without an attempt, 0 silences", {0}},
        {"start blob blob blob blob blob blob blob blob blob stop !", NULL, VERIFY_TAMPERED,
         "entry 8 names blobs/", {0}},
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        try_row(&rows[i]);
        assert_int_equal(report.finding_count, i == 2 ? 8 : 9);
    }
}

static void what_was_signed(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct row rows[] = {
        {"start a1 o1 | stop", NULL, VERIFY_INCOMPLETE,
         "the log was closed, but the checkpoint of its end is missing", {0}},
        {"start ! a1 | +16 o1", NULL, VERIFY_INCOMPLETE,
         "the newest 2 entries were not signed for 16 s: checkpoints are missing", {0}},
        {"start ! a1 | +15 o1", NULL, VERIFY_PROVEN, "?the newest 2 entries: they are durable and not signed yet", {0}},
        {"start other a1 o1 stop !", NULL, VERIFY_TAMPERED,
         "the first 1 entries are not those that were signed in checkpoints.log", {0}},
        {NULL, "echo more >> checkpoints.log", VERIFY_PROVEN, "checkpoints.log ends inside a checkpoint", {0}},
        {NULL, "head -c -1 checkpoints.log > x; cp x checkpoints.log", VERIFY_TAMPERED,
         "checkpoints.log ends inside a", {0}},
        {NULL, "printf 'a\\nb\\nc\\nd\\n' >> checkpoints.log", VERIFY_TAMPERED,
         "checkpoints.log has lines that are no checkpoint, after 3", {0}},
        {NULL, "sed -i 0,/^3$/s//4/ checkpoints.log", VERIFY_TAMPERED,
         "checkpoints.log: the signature of the checkpoint of size 4 is wrong", {0}},
        {NULL, "head -6 checkpoints.log > x; cat x >> checkpoints.log; head -5 x > checkpoint", VERIFY_ROLLBACK,
         "checkpoints.log: size 3 was signed after size 9", {0}},
        {NULL, "rm checkpoints.log; mkdir checkpoints.log", VERIFY_FAILED, "checkpoints.log cannot be read", {0}},
        {NULL, "echo more >> checkpoint", VERIFY_TAMPERED, "checkpoint is not a checkpoint", {0}},
        {NULL, "sed -i s/^9$/10/ checkpoint", VERIFY_TAMPERED,
         "checkpoint: its signature is wrong for the key log.test/audit/1", {0}},
        {NULL, "head -12 checkpoints.log > x; cp x checkpoints.log", VERIFY_TAMPERED,
         "checkpoint (size 9) is not in checkpoints.log", {0}},
        {NULL, "truncate -s 1000 segments/*", VERIFY_TAMPERED,
         "9 entries were signed, the segments hold 3: the newest", {0}},
        {NULL, "printf torn >> segments/00000000000000000000.seg", VERIFY_PROVEN,
         "4 bytes behind entry 9 are a batch that was not finished", {0}},
        {NULL, "rm -r segments", VERIFY_UNAVAILABLE, "segments/ or hashes/ cannot be read: No such file", {0}},
        {NULL, "touch segments/x", VERIFY_TAMPERED, "segments/x is no segment", {0}},
        {NULL, "touch hashes", VERIFY_UNAVAILABLE, "segments/ or hashes/ cannot be read", {0}},
        {NULL, "rm log.json", VERIFY_UNAVAILABLE, "log.json: ", {0}},
        {NULL, "echo '{}' > log.json", VERIFY_TAMPERED, "log.json: ", {0}},
        {NULL, "echo '{\"origin\":\"log.test/b\"}' > log.json", VERIFY_TAMPERED,
         "the key is of log.test/audit/1, the directory is the log of log.test/b", {0}},
        {NULL, "rm keys/log.vkey", VERIFY_TAMPERED, "keys/log.vkey is missing or broken", {0}},
        {NULL, "echo x > keys/log.vkey", VERIFY_TAMPERED, "keys/log.vkey is missing or broken", {0}},
        {NULL, "rm -r keys", VERIFY_TAMPERED, "keys/log.vkey is missing or broken", {0}},
        {NULL, "echo x > keys/rotations", VERIFY_TAMPERED, "keys/rotations cannot be read", {0}},
        {NULL, "k=$(cat keys/log.vkey); echo \"1 $k $k\" > keys/rotations", VERIFY_TAMPERED,
         "keys/rotations names entry 1, which hands over no key", {0}},
        {NULL, "k=$(cat keys/log.vkey); echo \"1 $k $k\" > keys/rotations", VERIFY_TAMPERED,
         "the key is none that this log was signed with, by keys/rotations",
         {.vkey = "log.test/audit/1+913e1284+AcWSrlD+BpRyG8aSs9LwKIC17rEH4Cycukzm+hJvwhDz"}},
        {NULL, "rm -r ../audit", VERIFY_UNAVAILABLE, "", {0}},
        {NULL, NULL, VERIFY_FAILED, "the verifier key that was given is not one", {.vkey = "x"}},
    };
    /* clang-format on */
    TRY(rows);
}

static void a_pinned_checkpoint(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct row rows[] = {
        {NULL, "head -5 checkpoints.log > pinned", VERIFY_PROVEN,
         ":nothing was removed or changed since the pinned checkpoint of size 3", {.pinned = "pinned"}},
        {NULL, "cp log.json pinned", VERIFY_FAILED, "", {.pinned = "pinned"}},
        {NULL, NULL, VERIFY_FAILED, "", {.pinned = "none"}},
        {NULL, "sed s/^9$/10/ checkpoint > pinned", VERIFY_FAILED, "", {.pinned = "pinned"}},
 /* A tree of the same size with another root, signed with the same key: the two heads are shown. */
        {"start a1 o1 other ! stop !",
         "head -5 checkpoints.log > pinned; tail -n +7 checkpoints.log > x; cp x checkpoints.log", VERIFY_ROLLBACK,
         "the pinned checkpoint of size 3 is not in this log: rollback or fork", {.pinned = "pinned"}},
        {"start a1 o1 other ! stop !",
         "head -5 checkpoints.log > pinned; tail -n +7 checkpoints.log > x; cp x checkpoints.log", VERIFY_ROLLBACK,
         "both are signed with the key, for 3 entries: ", {.pinned = "pinned"}},
    };
    /* clang-format on */
    TRY(rows);
}

static void one_environment_and_the_counter(void **state)
{
    (void)state;
    static const struct verify_counter same = {.connects = 2, .dns_queries = 4}, more = {3, 4}, fewer = {1, 4};
    static char long_name[1200];
    memset(long_name, 'e', sizeof long_name - 1);
    /* clang-format off */
    const struct row rows[] = {
        {NULL, NULL, VERIFY_PROVEN,
         ":environment env-a: its numbers 1 to 5 are all here, without a gap", {.environment = "env-a"}},
        {NULL, NULL, VERIFY_PROVEN,
         "environment env-a: 3 attempts, 2 of them denied in the end, 2 outcomes, 0 without one",
         {.environment = "env-a"}},
        {NULL, NULL, VERIFY_PROVEN,
         "?anything about the completeness of other environments than env-a", {.environment = "env-a"}},
        {NULL, NULL, VERIFY_INCOMPLETE, "environment env-c: no entry of it was read", {.environment = "env-c"}},
        {"start a1 o1 GAP A2 O2 stop !", NULL, VERIFY_PROVEN,
         "1 findings about other environments do not count here", {.environment = "env-a"}},
        {"start a1 o1 O2 stop !", NULL, VERIFY_PROVEN,
         "1 findings about other environments do not count here", {.environment = "env-a"}},
        {"start a1 o1 GAP A2 O2 stop !", NULL, VERIFY_INCOMPLETE,
         "entry 3: environment \"env-b\" has a gap", {.environment = "env-b"}},
        {NULL, NULL, VERIFY_FAILED, "the name of the environment is too long", {.environment = long_name}},
        {"start a1 l1 o1 A2 L2 O2 stop !", NULL, VERIFY_PROVEN,
         ":connections: the outcomes hold 2, and the kernel counted as many", {.counter = &same}},
        {"start a1 l1 o1 A2 O2 L2 stop !", NULL, VERIFY_PROVEN, /* one is answered after the end */
         ":DNS queries: the lookup records hold 4, and the kernel counted as many", {.counter = &same}},
        {"start a1 l1 o1 A2 O2 L2 stop !", NULL, VERIFY_PROVEN,
         ":each of 2 attempts ended, was refused, or is named as open", {.counter = &same}},
        {"start a1 l1 o1 A2 O2 GAP L2 stop !", NULL, VERIFY_INCOMPLETE,
         "entry 6: environment \"env-b\" has a gap", {.counter = &same}},
        {NULL, NULL, VERIFY_INCOMPLETE,
         "connections: the kernel counted 3, the outcomes hold 2: 1 left unrecorded", {.counter = &more}},
        {NULL, NULL, VERIFY_INCOMPLETE,
         "connections: the outcomes hold 2, the kernel counted 1: the counter does not", {.counter = &fewer}},
        {"start a1 l1 o1 a2 l2 o2 a3 !", NULL, VERIFY_PROVEN,
         "?that nothing left unrecorded: connections: 2 on record, 3 counted, and 1 flows", {.counter = &more}},
    };
    /* clang-format on */
    TRY(rows);
}

static void what_witnesses_signed(void **state)
{
    (void)state;
    static const char policy_text[] = "witness a %s\nwitness b %s\ngroup g all a b\nquorum g\n";
    static struct witness a, b;
    struct cosign_policy *policy = NULL;
    char path[128], why[128], text[1024];
    witness_make(&a, "witness.test/a", 4);
    witness_make(&b, "witness.test/b", 4);
    snprintf(path, sizeof path, "%s/policy", f.base);
    snprintf(text, sizeof text, policy_text, a.vkey, b.vkey);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(cosign_policy_load(path, &policy, why, sizeof why), ERR_NONE);

    static const struct {
        const char *sizes; /* of what both sign, a letter each: (n)othing, the log as it (i)s, (o)ne witness only, a
                              (f)ork of the same size, a (l)arger tree, the log with the key of (s)omebody else */
        enum verify_result result;
        const char *says;
        uint64_t size;
    } rows[] = {
        {"n",  VERIFY_INCOMPLETE, "no checkpoint in cosigned.log has the signatures of the quorum",          0 },
        {"o",  VERIFY_INCOMPLETE, "no checkpoint in cosigned.log has the signatures of the quorum",          0 },
        {"s",  VERIFY_INCOMPLETE, "no checkpoint in cosigned.log has the signatures of the quorum",          0 },
        {"i",  VERIFY_PROVEN,     ":a, b signed that the first 9 entries were these, at 1700000009 s since", 9 },
        {"io", VERIFY_PROVEN,     ":a, b signed that the first 9 entries were these, at 1700000009 s since", 9 },
        {"i",  VERIFY_PROVEN,     "?absence of a rollback behind entry 9: ask the witnesses again",          9 },
        {"f",  VERIFY_ROLLBACK,   "witnesses signed a tree of 9 entries that is no part of this log",        9 },
        {"il", VERIFY_ROLLBACK,   "witnesses signed a tree of 10 entries that is no part of this log",       10},
        {"li", VERIFY_ROLLBACK,   "witnesses signed a tree of 10 entries that is no part of this log",       10},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        forge_log(&forge, &f, GOOD);
        fixture_shell(&f, "mkdir ../kept && cp checkpoint checkpoints.log ../kept/");
        for (const char *at = rows[i].sizes; *at != '\0'; at++) {
            struct tree_head head = {.size = forge.tree.size + (*at == 'l')};
            if (*at == 'n')
                continue;
            tree_root(&forge.tree, head.root);
            head.root[0] ^= *at == 'f';
            uint8_t own = forge.seed[0];
            forge.seed[0] ^= *at == 's';
            forge_sign(&forge, &head);
            forge.seed[0] = own;
            struct outbuf o = {.data = (uint8_t *)forge.note, .len = forge.note_len, .cap = sizeof forge.note};
            struct span body = span_make(forge.note, forge.body_len);
            witness_sign(&a, body, 1700000000, &o);
            if (*at != 'o')
                witness_sign(&b, body, 1700000009, &o);
            assert_int_equal(cosign_keep(f.dir, outbuf_written(&o)), ERR_NONE);
        }
        fixture_shell(&f, "cp ../kept/* . && rm -r ../kept");
        struct verify_options options = {.dir = f.dir, .witnesses = policy};
        const struct row row = {.script = rows[i].sizes};
        if (audit_verify(&options, &report) != rows[i].result)
            fail_msg("%s gave %d", rows[i].sizes, (int)report.result);
        assert_int_equal(report.witnessed_size, rows[i].size);
        if (rows[i].says[0] == ':')
            has_line(&row, report.proven, report.proven_count, rows[i].says + 1);
        else if (rows[i].says[0] == '?')
            has_line(&row, report.unproven, report.unproven_count, rows[i].says + 1);
        else
            has_line(&row, report.findings, report.finding_count, rows[i].says);
        forge_free(&forge);
    }
    const struct row unreadable = {
        NULL, "mkdir cosigned.log", VERIFY_FAILED, "cosigned.log cannot be read", {.witnesses = policy}};
    try_row(&unreadable);
    const struct row nonsense = {NULL,
                                 "echo nonsense > cosigned.log",
                                 VERIFY_INCOMPLETE,
                                 "no checkpoint in cosigned.log has",
                                 {.witnesses = policy}};
    try_row(&nonsense);
    cosign_policy_free(policy);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_remove(&f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_log),
        cmocka_unit_test(what_entries_say_of_each_other),
        cmocka_unit_test(many_of_a_kind_are_counted),
        cmocka_unit_test(what_was_signed),
        cmocka_unit_test(a_pinned_checkpoint),
        cmocka_unit_test(one_environment_and_the_counter),
        cmocka_unit_test(what_witnesses_signed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
