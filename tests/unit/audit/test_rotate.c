/* SPDX-License-Identifier: Apache-2.0 */
/* A log that is handed over to another key: followed from the old key and from the new one, and from no other. */
#include "fixture.h"

#include "audit/evidence.h"
#include "audit/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>

static struct verify_report report;
static char first_key[NOTE_VKEY_MAX], second_key[NOTE_VKEY_MAX];

static void assert_verdict(const struct fixture *f, const char *vkey, enum verify_result expected)
{
    struct verify_options options = {.dir = f->dir, .vkey = vkey};
    if (audit_verify(&options, &report) != expected)
        fail_msg("verify gave %d, not %d: %s", (int)report.result, (int)expected,
                 report.finding_count > 0 ? report.findings[0] : "");
}

static void rotate(struct fixture *f, char *out)
{
    assert_int_equal(audit_log_rotate_key(f->log, "a test", 10000, out, NOTE_VKEY_MAX), ERR_NONE);
}

/* Some entries under each of two keys. */
static void make_rotated(struct fixture *f)
{
    fixture_make(f);
    fixture_start(f);
    snprintf(first_key, sizeof first_key, "%s", audit_log_vkey(f->log));
    fixture_feed(f, 1, 3);
    fixture_shell(f, "cp -r ../signer ../signer.before && cp keys/log.vkey ../vkey.before");
    rotate(f, second_key);
    assert_string_not_equal(first_key, second_key);
    fixture_feed(f, 100, 3);
    fixture_stop(f);
}

static void both_keys_lead_to_the_whole_log(void **state)
{
    (void)state;
    struct fixture f;
    make_rotated(&f);
    assert_verdict(&f, NULL, VERIFY_PROVEN);
    assert_verdict(&f, first_key, VERIFY_PROVEN);
    assert_verdict(&f, second_key, VERIFY_PROVEN);
    assert_verdict(&f, "log.test/audit/1+913e1284+AcWSrlD+BpRyG8aSs9LwKIC17rEH4Cycukzm+hJvwhDz", VERIFY_TAMPERED);
    fixture_shell(&f, "test ! -e ../signer/log.key.next && ! cmp -s ../signer/log.key ../signer.before/log.key");
    fixture_start(&f);
    assert_string_equal(audit_log_vkey(f.log), second_key);
    char third_key[NOTE_VKEY_MAX];
    rotate(&f, third_key);
    fixture_stop(&f);
    assert_verdict(&f, first_key, VERIFY_PROVEN);
    assert_verdict(&f, second_key, VERIFY_PROVEN);
    assert_verdict(&f, third_key, VERIFY_PROVEN);
    fixture_remove(&f);
}

/* Who has neither private key can write files, but no checkpoint. */
static void a_forged_hand_over_is_found(void **state)
{
    (void)state;
    struct fixture f, other;
    make_rotated(&f);
    char own_first[NOTE_VKEY_MAX], own_second[NOTE_VKEY_MAX], command[900];
    memcpy(own_first, first_key, sizeof own_first);
    memcpy(own_second, second_key, sizeof own_second);
    make_rotated(&other); /* its keys are the forger's */
    snprintf(command, sizeof command,
             "cp -r . ../whole && rm keys/rotations"); /* as if there had been no hand-over at all */
    fixture_shell(&f, command);
    assert_verdict(&f, own_second, VERIFY_TAMPERED);
    assert_verdict(&f, own_first, VERIFY_TAMPERED);
    snprintf(command, sizeof command, "sed -i 's|%s|%s|' keys/rotations", own_second, second_key);
    fixture_shell(&f, "cp ../whole/keys/rotations keys/");
    assert_verdict(&f, own_first, VERIFY_PROVEN);
    fixture_shell(&f, command);
    assert_verdict(&f, own_first, VERIFY_TAMPERED);
    fixture_shell(&f, "cp ../whole/keys/rotations keys/ && sed -i 's/^\\([0-9]*\\) /1\\1 /' keys/rotations");
    assert_verdict(&f, own_first, VERIFY_TAMPERED); /* another place */
    /* The forger signs everything behind the entry with a key of his own, and says that it was handed over to him. */
    fixture_shell(&f, "cp ../whole/keys/rotations keys/");
    fixture_shell(&f, command);
    snprintf(command, sizeof command, "cp '%s'/checkpoint . && cp '%s'/checkpoints.log .", other.dir, other.dir);
    fixture_shell(&f, command);
    assert_verdict(&f, own_first, VERIFY_TAMPERED);
    fixture_remove(&other);
    fixture_remove(&f);
}

/* Behind the hand-over the old key alone signs nothing, and in front of it the new one does not. */
static void the_second_signature_is_asked_for(void **state)
{
    (void)state;
    struct fixture f;
    make_rotated(&f);
    /* The line of the second key is taken out of the checkpoint that has both. */
    fixture_shell(
        &f, "awk 'BEGIN{n=0} /^\\342\\200\\224 /{n++; if (n==2) next} /^$/{if (n) n=0} {print}' checkpoints.log > x "
            "&& ! cmp -s x checkpoints.log && mv x checkpoints.log");
    assert_verdict(&f, first_key, VERIFY_TAMPERED);
    fixture_remove(&f);
}

/* One with more lines than any of a log's is no reason to write behind the end of a buffer. */
static void a_long_checkpoint_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct evidence *e = NULL;
    char why[128];
    make_rotated(&f);
    assert_int_equal(evidence_open(f.dir, first_key, &e, why, sizeof why), ERR_NONE);
    evidence_close(e);
    fixture_shell(&f, "awk '/^$/{n=0} {print} /^\342\200\224 /{n++; if (n==2) for (i=0; i<199; i++) "
                      "print \"\342\200\224 x 1111222233334444\"}' checkpoints.log > x && mv x checkpoints.log && "
                      "test $(wc -c < checkpoints.log) -gt 4000");
    assert_verdict(&f, first_key, VERIFY_PROVEN); /* lines of others are passed over */
    assert_int_equal(evidence_open(f.dir, first_key, &e, why, sizeof why), ERR_CORRUPT);
    fixture_remove(&f);
}

static void a_start_ends_what_was_begun(void **state)
{
    (void)state;
    struct fixture f;
    make_rotated(&f);
    /* As if the machine had stopped before the signer turned: it has both keys, and the directory the old line. */
    fixture_shell(&f, "mv ../signer/log.key ../signer/log.key.next && cp ../signer.before/log.key ../signer/ && "
                      "cp ../vkey.before keys/log.vkey && "
                      "awk '/^\\342\\200\\224 /{n++} {print} /^$/{if (n==2) exit; if (n) n=0}' checkpoints.log > x && "
                      "mv x checkpoints.log && sed '$d' checkpoints.log | tail -6 > checkpoint");
    fixture_start(&f);
    fixture_feed(&f, 200, 2);
    fixture_stop(&f);
    assert_verdict(&f, first_key, VERIFY_PROVEN);
    assert_verdict(&f, second_key, VERIFY_PROVEN);
    fixture_shell(&f, "test ! -e ../signer/log.key.next && ! cmp -s ../signer/log.key ../signer.before/log.key && "
                      "! cmp -s keys/log.vkey ../vkey.before");
    fixture_remove(&f);
}

static void a_signer_with_the_old_key_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    make_rotated(&f);
    fixture_shell(&f, "cp ../signer.before/log.key ../signer/ && cp ../vkey.before keys/log.vkey");
    enum audit_start result = fixture_open(&f);
    assert_true(result == AUDIT_START_ROLLBACK || result == AUDIT_START_TAMPERED);
    fixture_remove(&f);
}

static void a_key_that_was_given(void **state)
{
    (void)state;
    struct fixture f;
    char third_key[NOTE_VKEY_MAX];
    fixture_make(&f);
    mkdir(f.dir, 0700);
    /* RFC 8032, 7.1, test 1, as openssl writes it (RFC 8410). */
    fixture_shell(&f, "mkdir -m 700 ../signer && (umask 077; printf '%s\\n' '-----BEGIN PRIVATE KEY-----' "
                      "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g "
                      "'-----END PRIVATE KEY-----' > ../signer/given.key)");
    static const uint8_t given_public[] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
                                           0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
                                           0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
    fixture_start(&f);
    assert_memory_equal(f.log->key.public_key, given_public, sizeof given_public);
    fixture_shell(&f, "test ! -e ../signer/given.key");
    fixture_feed(&f, 1, 2);
    fixture_shell(&f, "cp ../signer/log.key ../old && (umask 077; echo nonsense > ../signer/given.key)");
    assert_int_equal(audit_log_rotate_key(f.log, "a test", 300, third_key, sizeof third_key), ERR_AGAIN);
    fixture_shell(&f, "cmp ../signer/log.key ../old && rm ../signer/given.key");
    rotate(&f, third_key);
    fixture_stop(&f);
    assert_verdict(&f, third_key, VERIFY_PROVEN);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_keys_lead_to_the_whole_log),      cmocka_unit_test(a_forged_hand_over_is_found),
        cmocka_unit_test(the_second_signature_is_asked_for),    cmocka_unit_test(a_start_ends_what_was_begun),
        cmocka_unit_test(a_signer_with_the_old_key_is_refused), cmocka_unit_test(a_key_that_was_given),
        cmocka_unit_test(a_long_checkpoint_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
