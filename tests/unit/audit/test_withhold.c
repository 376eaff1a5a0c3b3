/* SPDX-License-Identifier: Apache-2.0 */
/* Heads that are not given out before the quorum has signed them: what the writer does with them, and readers. */
#include "fixture.h"

#include "audit/reader.h"
#include "audit/verify.h"
#include "evidence_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct fixture f;
static struct witness one, two;
static struct cosign_policy *policy; /* both must sign */
static struct verify_report report;

/* ---- the writer ---- */

/* Opened, without its thread: the tests do what it would. */
static void open_log(void)
{
    assert_int_equal(fixture_open(&f), AUDIT_START_OK);
    f.log->witnesses = policy;
}

static void begin(void)
{
    fixture_make(&f);
    open_log();
}

static void end(void)
{
    fixture_crash(&f);
    fixture_remove(&f);
}

/* One more entry, signed. */
static uint64_t sign_one(void)
{
    char why[160];
    struct record_event event = {.event = EVENT_HEARTBEAT, .message = span_text("one more")};
    batch_add_event(f.log, &event);
    assert_int_equal(batch_commit(f.log, why, sizeof why), ERR_NONE);
    assert_int_equal(checkpoint_whole(f.log), ERR_NONE);
    return f.log->tree.size;
}

static uint64_t head_in(const char *name)
{
    static char text[1u << 20];
    size_t len = 0;
    struct checkpoint c;
    size_t covered = 0;
    enum err err = io_read_file(f.log->dir, name, text, sizeof text, &len);
    if (err == ERR_NOT_FOUND || len == 0)
        return 0;
    uint64_t size = 0;
    for (struct span rest = span_make(text, len); rest.len > 0; rest = span_from(rest, covered + 1)) {
        assert_int_equal(note_checkpoint_parse(rest, &c, &covered), ERR_NONE);
        size = c.head.size;
    }
    return size;
}

/* What `audit cosign` does, with witnesses that answer at once. */
static void cosign_text(struct span note, bool both)
{
    char text[COSIGN_TEXT_MAX];
    struct checkpoint c;
    size_t len = 0;
    struct outbuf o = outbuf_make(text, sizeof text);
    assert_int_equal(note_checkpoint_parse(note, &c, &len), ERR_NONE);
    outbuf_span(&o, note);
    witness_sign(&one, c.body, 1700000000, &o);
    if (both)
        witness_sign(&two, c.body, 1700000001, &o);
    assert_int_equal(cosign_keep(f.dir, outbuf_written(&o)), ERR_NONE);
}

static struct span asked(char text[static COSIGN_TEXT_MAX], uint64_t expected)
{
    struct tree_head head;
    size_t note = 0;
    struct outbuf o = outbuf_make(text, COSIGN_TEXT_MAX);
    assert_int_equal(cosign_request(f.dir, 0, &o, &note, &head), ERR_NONE);
    assert_int_equal(head.size, expected);
    return span_from(outbuf_written(&o), note);
}

static void look(void)
{
    f.log->withheld_looked_ns = 0;
    withhold_look(f.log, 10 * (uint64_t)NS_PER_S);
}

static void assert_published(uint64_t size)
{
    assert_int_equal(head_in("checkpoint"), size);
    assert_int_equal(head_in("checkpoints.log"), size);
    assert_int_equal(f.log->published.size, size);
}

static void assert_signed(enum verify_result expected, uint64_t signed_size)
{
    struct verify_options options = {.dir = f.dir, .witnesses = NULL};
    if (audit_verify(&options, &report) != expected)
        fail_msg("verify gave %d, not %d: %s", (int)report.result, (int)expected,
                 report.finding_count > 0 ? report.findings[0] : "");
    assert_int_equal(report.signed_size, signed_size);
}

static void assert_verdict(enum verify_result expected, uint64_t signed_size, size_t withheld)
{
    assert_signed(expected, signed_size);
    assert_int_equal(report.withheld, withheld);
}

static void a_head_waits_for_the_quorum(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    begin();
    uint64_t first = sign_one();
    assert_published(0);
    assert_verdict(VERIFY_PROVEN, first, 1);
    look(); /* nobody has signed anything */
    assert_published(0);
    cosign_text(asked(text, first), false); /* one of two */
    look();
    assert_published(0);
    uint64_t second = sign_one(), third = sign_one();
    struct span note = asked(text, third);
    assert_int_equal(f.log->withheld.count, 3);
    uint64_t fourth = sign_one();
    cosign_text(note, true);
    look();
    assert_published(third); /* and those below it, in their order */
    assert_int_equal(f.log->withheld.count, 1);
    assert_int_equal(second, third - 1);
    assert_verdict(VERIFY_PROVEN, fourth, 1);
    assert_int_equal(report.published_size, third);
    assert_non_null(strstr(report.findings[0], "1 heads withheld since 20"));
    struct audit_peek peek;
    assert_int_equal(audit_peek(f.dir, &peek), ERR_NONE);
    assert_int_equal(peek.published_size, third);
    assert_int_equal(peek.signed_size, fourth);
    assert_int_equal(peek.withheld, 1);
    /* Evidence is made from what is given out. */
    struct evidence *e = NULL;
    char why[128];
    assert_int_equal(evidence_open(f.dir, NULL, &e, why, sizeof why), ERR_NONE);
    assert_int_equal(evidence_head(e).size, third);
    evidence_close(e);
    cosign_text(asked(text, fourth), true);
    look();
    assert_published(fourth);
    fixture_shell(&f, "test ! -e " WITHHELD_FILE " && test $(grep -c '^log.test' checkpoints.log) = 4");
    assert_verdict(VERIFY_PROVEN, fourth, 0);
    look(); /* again, with nothing new */
    assert_published(fourth);
    end();
}

/* Looked at once a second, and only when somebody wrote there. */
static void it_is_looked_at_once_a_second(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    begin();
    uint64_t first = sign_one();
    look();
    cosign_text(asked(text, first), true);
    withhold_look(f.log, f.log->withheld_looked_ns + NS_PER_S - 1);
    assert_published(0);
    withhold_look(f.log, f.log->withheld_looked_ns + NS_PER_S);
    assert_published(first);
    end();
}

static void a_restart_keeps_them(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    begin();
    uint64_t first = sign_one();
    cosign_text(asked(text, first), true);
    look();
    assert_published(first);
    sign_one();
    uint64_t third = sign_one();
    int64_t since_ms = f.log->withheld.heads[0].since_ms;
    fixture_crash(&f);
    open_log();
    assert_published(first);
    assert_int_equal(f.log->withheld.count, 2);
    assert_int_equal(f.log->withheld.heads[0].since_ms, since_ms);
    assert_int_equal(atomic_load(&f.log->withheld_since_ms), since_ms);
    assert_verdict(VERIFY_PROVEN, third, 2);
    /* Given out, and killed before the list was written again: it is not given out twice. */
    fixture_shell(&f, "cp " WITHHELD_FILE " ../kept");
    cosign_text(asked(text, third), true);
    look();
    assert_published(third);
    fixture_shell(&f, "cp ../kept " WITHHELD_FILE);
    assert_verdict(VERIFY_PROVEN, third, 0);
    fixture_crash(&f);
    open_log();
    assert_int_equal(f.log->withheld.count, 0);
    assert_published(third);
    uint64_t fourth = sign_one();
    assert_verdict(VERIFY_PROVEN, fourth, 1);
    end();
}

/* What is not of this log, or not signed as it should be, is not given out, and spoils nothing. */
static void lies_are_passed_over(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX], other[COSIGN_TEXT_MAX];
    begin();
    uint64_t first = sign_one();
    struct span note = asked(text, first);
    fixture_shell(&f, "head -c 40000 /dev/urandom > " COSIGN_LOG " && echo >> " COSIGN_LOG);
    look();
    assert_published(0);
    /* The witnesses' lines below another root, and of another log. */
    memcpy(other, note.data, note.len);
    other[strlen(FIXTURE_ORIGIN) + 3] = other[strlen(FIXTURE_ORIGIN) + 3] == 'A' ? 'B' : 'A';
    cosign_text(span_make(other, note.len), true);
    memcpy(other, note.data, note.len);
    other[0] = 'L';
    cosign_text(span_make(other, note.len), true);
    look();
    assert_published(0);
    /* A larger tree than any that was signed: both witnesses would have to lie. */
    char made[NOTE_TEXT_MAX];
    cosign_text(make_note(made, first + 1, 1), true);
    look();
    assert_published(0);
    /* Without its last line it is being written. */
    cosign_text(note, true);
    fixture_shell(&f, "cp " COSIGN_LOG " ../whole && truncate -s -1 " COSIGN_LOG);
    look();
    assert_published(0);
    fixture_shell(&f, "cp ../whole " COSIGN_LOG);
    look();
    assert_published(first);
    end();
}

/* A round that takes longer than the list reaches back: its head is given out all the same, without the witnesses' lines
 * and whatever else stands there. */
static void a_slow_witness_is_in_time(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    begin();
    sign_one();
    uint64_t second = sign_one();
    struct span note = asked(text, second);
    for (unsigned i = 0; i < 2 * WITHHELD_MAX; i++)
        sign_one();
    assert_null(withheld_find(&f.log->withheld, second));
    assert_int_equal(f.log->withheld.count, WITHHELD_MAX);
    /* One that the log has not signed, though the tree is its own. */
    static const uint8_t blob[68] = {1, 2, 3, 4};
    char made[NOTE_TEXT_MAX];
    struct checkpoint c;
    size_t len = 0;
    assert_int_equal(note_checkpoint_parse(note, &c, &len), ERR_NONE);
    struct outbuf o = outbuf_make(made, sizeof made);
    outbuf_span(&o, c.body);
    outbuf_char(&o, '\n');
    witness_put(FIXTURE_ORIGIN, blob, sizeof blob, &o);
    cosign_text(outbuf_written(&o), true);
    look();
    assert_published(0);
    cosign_text(note, true);
    look();
    assert_published(second);
    fixture_shell(&f, "test $(grep -c '^\xe2\x80\x94 ' checkpoint) = 1 && grep -q '^\xe2\x80\x94 log.test' checkpoint");
    assert_verdict(VERIFY_PROVEN, f.log->tree.size, WITHHELD_MAX);
    end();
}

/* A disk that takes nothing: what was appended before is not appended again. */
static unsigned syncs;

static int fail_third_sync(int fd)
{
    (void)fd;
    errno = EIO;
    return ++syncs == 3 ? -1 : 0;
}

static void a_failure_is_tried_again(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    begin();
    for (unsigned i = 0; i < 4; i++)
        sign_one();
    uint64_t last = f.log->tree.size;
    cosign_text(asked(text, last), true);
    struct audit_io io = *f.log->io;
    io.datasync = fail_third_sync;
    syncs = 0;
    audit_log_use_io(f.log, &io);
    look();
    assert_int_equal(head_in("checkpoint"), 0);
    assert_int_equal(head_in("checkpoints.log"), last - 2);
    assert_verdict(VERIFY_PROVEN, last, 2);
    look();
    assert_published(last);
    assert_verdict(VERIFY_PROVEN, last, 0);
    fixture_shell(&f, "test $(grep -c '^log.test' checkpoints.log) = 4");
    audit_log_use_io(f.log, &audit_io_real);
    /* In checkpoints.log, and no way to make it `checkpoint`. */
    last = sign_one();
    cosign_text(asked(text, last), true);
    fixture_shell(&f, "rm checkpoint && mkdir checkpoint");
    look();
    fixture_shell(&f, "test -d checkpoint && rmdir checkpoint");
    assert_int_equal(head_in("checkpoints.log"), last);
    look();
    assert_published(last);
    fixture_shell(&f, "test $(grep -c '^log.test' checkpoints.log) = 5 && test ! -e " WITHHELD_FILE);
    end();
}

/* Nobody is waited for any more: all of them are given out with the next head. */
static void async_gives_them_out(void **state)
{
    (void)state;
    begin();
    sign_one();
    sign_one();
    fixture_crash(&f);
    open_log();
    f.log->witnesses = NULL;
    assert_int_equal(f.log->withheld.count, 2);
    uint64_t last = sign_one();
    assert_published(last);
    assert_int_equal(atomic_load(&f.log->withheld_since_ms), 0);
    fixture_shell(&f, "test ! -e " WITHHELD_FILE " && test $(grep -c '^log.test' checkpoints.log) = 3");
    assert_verdict(VERIFY_PROVEN, last, 0);
    end();
}

static void a_changed_list_is_found(void **state)
{
    (void)state;
    begin();
    uint64_t last = sign_one();
    fixture_shell(&f, "cp " WITHHELD_FILE " ../kept && sed -i 's/^1$/2/' " WITHHELD_FILE);
    assert_verdict(VERIFY_TAMPERED, 0, 1);
    fixture_crash(&f);
    assert_int_equal(fixture_open(&f), AUDIT_START_TAMPERED);
    fixture_shell(&f, "echo nonsense > " WITHHELD_FILE);
    assert_verdict(VERIFY_TAMPERED, 0, 0);
    assert_int_equal(fixture_open(&f), AUDIT_START_TAMPERED);
    fixture_shell(&f, "cp ../kept " WITHHELD_FILE);
    assert_verdict(VERIFY_PROVEN, last, 1);
    /* The entries are held against it as against what is given out. */
    fixture_shell(&f, "cp -r . ../copy && sed -i 's/one more/one mope/' segments/*");
    assert_verdict(VERIFY_TAMPERED, last, 1);
    fixture_shell(&f, "cd .. && rm -r audit && mv copy audit");
    open_log();
    end();
}

/* ---- another key meanwhile ---- */

static char first_key[NOTE_VKEY_MAX], next_key[NOTE_VKEY_MAX];

static void hand_over(void)
{
    atomic_store(&f.log->rotate_asked, true);
    rotate_begin(f.log);
    assert_false(atomic_load(&f.log->rotate_asked));
}

static enum err open_evidence(const char *vkey, uint64_t expected)
{
    struct evidence *e = NULL;
    char why[128];
    enum err err = evidence_open(f.dir, vkey, &e, why, sizeof why);
    if (err == ERR_NONE)
        assert_int_equal(evidence_head(e).size, expected);
    evidence_close(e);
    return err;
}

static void a_hand_over_waits_too(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    begin();
    uint64_t first = sign_one();
    snprintf(first_key, sizeof first_key, "%s", f.log->vkey);
    cosign_text(asked(text, first), true);
    look();
    assert_published(first);
    hand_over();
    assert_true(f.log->rotating);
    uint64_t both = sign_one();
    assert_false(f.log->rotating);
    snprintf(next_key, sizeof next_key, "%s", f.log->vkey);
    assert_string_not_equal(first_key, next_key);
    for (unsigned i = 0; i < 3 * WITHHELD_MAX; i++)
        sign_one();
    uint64_t last = f.log->tree.size;
    assert_non_null(withheld_find(&f.log->withheld, both));
    assert_published(first);
    assert_verdict(VERIFY_PROVEN, last, WITHHELD_MAX);
    /* What is given out is signed with the older key: who trusts the newer one has been shown nothing yet. */
    assert_int_equal(open_evidence(NULL, first), ERR_NONE);
    assert_int_equal(open_evidence(first_key, first), ERR_NONE);
    assert_int_equal(open_evidence(next_key, first), ERR_CORRUPT);
    /* A start reads both. */
    fixture_crash(&f);
    open_log();
    assert_published(first);
    assert_int_equal(f.log->withheld.count, WITHHELD_MAX);
    cosign_text(asked(text, last), true);
    look();
    assert_published(last);
    assert_verdict(VERIFY_PROVEN, last, 0);
    assert_int_equal(open_evidence(NULL, last), ERR_NONE);
    assert_int_equal(open_evidence(first_key, last), ERR_NONE);
    assert_int_equal(open_evidence(next_key, last), ERR_NONE);
    end();
}

static void hand_overs_have_an_end(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    begin();
    sign_one();
    for (unsigned i = 0; i < WITHHELD_OVERLAPS_MAX; i++) {
        hand_over();
        assert_true(f.log->rotating);
        sign_one();
        assert_false(f.log->rotating);
    }
    uint64_t before = f.log->tree.size;
    hand_over();
    assert_false(f.log->rotating); /* whoever asked sees that nothing has changed */
    assert_int_equal(f.log->tree.size, before);
    assert_verdict(VERIFY_PROVEN, before, WITHHELD_OVERLAPS_MAX + 1);
    cosign_text(asked(text, before), true);
    look();
    assert_published(before);
    hand_over();
    assert_true(f.log->rotating);
    uint64_t last = sign_one();
    assert_verdict(VERIFY_PROVEN, last, 1);
    end();
}

/* ---- the running log ---- */

static void the_running_log_gives_out(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    struct audit_log_status status;
    fixture_make(&f);
    assert_int_equal(fixture_open(&f), AUDIT_START_OK);
    f.log->witnesses = policy;
    assert_int_equal(audit_log_start(f.log), ERR_NONE);
    fixture_feed(&f, 1, 3); /* nobody waits for a witness */
    audit_log_status(f.log, &status);
    assert_false(status.gate_closed);
    assert_int_equal(status.published_size, 0);
    fixture_stop(&f);
    fixture_shell(&f, "test ! -e checkpoint && test ! -s checkpoints.log");
    assert_signed(VERIFY_PROVEN, 11); /* closed, and its end is signed */
    assert_int_equal(report.published_size, 0);
    assert_true(report.withheld > 0);
    assert_int_equal(report.entries, 11);
    /* A witness signs while nobody is there; the next start gives it out. */
    cosign_text(asked(text, 11), true);
    assert_int_equal(fixture_open(&f), AUDIT_START_OK);
    f.log->witnesses = policy;
    assert_int_equal(audit_log_start(f.log), ERR_NONE);
    for (unsigned i = 0; status.published_size != 11; i++) {
        if (i > 10000)
            fail_msg("it was not given out");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        audit_log_status(f.log, &status);
    }
    fixture_stop(&f);
    assert_signed(VERIFY_PROVEN, 14); /* start, manifest and stop are new */
    assert_int_equal(report.published_size, 11);
    assert_true(report.withheld > 0);
    fixture_remove(&f);
}

static int setup(void **state)
{
    (void)state;
    char path[] = "/tmp/witnesses.XXXXXX", why[256] = "";
    witness_make(&one, "witness.test/one", 4);
    witness_make(&two, "witness.test/two", 4);
    int fd = mkstemp(path);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    assert_non_null(file);
    fprintf(file, "witness a %s\nwitness b %s\ngroup g all a b\nquorum g\n", one.vkey, two.vkey);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(cosign_policy_load(path, &policy, why, sizeof why), ERR_NONE);
    return unlink(path);
}

static int teardown(void **state)
{
    (void)state;
    cosign_policy_free(policy);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_waits_for_the_quorum), cmocka_unit_test(it_is_looked_at_once_a_second),
        cmocka_unit_test(a_restart_keeps_them),        cmocka_unit_test(lies_are_passed_over),
        cmocka_unit_test(a_slow_witness_is_in_time),   cmocka_unit_test(a_failure_is_tried_again),
        cmocka_unit_test(async_gives_them_out),        cmocka_unit_test(a_changed_list_is_found),
        cmocka_unit_test(a_hand_over_waits_too),       cmocka_unit_test(hand_overs_have_an_end),
        cmocka_unit_test(the_running_log_gives_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
