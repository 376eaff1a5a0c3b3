/* SPDX-License-Identifier: Apache-2.0 */
/* What is handed on holds nothing of anybody else, and nothing is handed on that was not signed. */
#include "fixture.h"

#include "audit/evidence.h"
#include "audit/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

static struct fixture f;

static struct evidence *opened(void)
{
    struct evidence *e = NULL;
    char message[256] = "";
    if (evidence_open(f.dir, NULL, &e, message, sizeof message) != ERR_NONE)
        fail_msg("%s", message);
    return e;
}

static uint64_t count(const struct audit_filter *filter)
{
    struct audit_query *query = NULL;
    uint64_t n = 0, index = 0;
    struct span leaf;
    assert_int_equal(audit_query_open(f.dir, filter, &query), ERR_NONE);
    enum err err;
    while ((err = audit_query_next(query, &index, &leaf)) == ERR_NONE)
        n++;
    assert_int_equal(err, ERR_AGAIN);
    audit_query_close(query);
    return n;
}

/* fixture_feed(1, 30): every third pair is env-b's, and one more pair is env-a's. */
static void a_bundle_has_one_environment(void **state)
{
    (void)state;
    char out[160];
    struct evidence *e = opened();
    struct evidence_bundle bundle = {.environment = "env-a"};
    snprintf(out, sizeof out, "%s/bundle", f.base);
    assert_int_equal(evidence_bundle(e, &bundle, out), ERR_NONE);
    assert_int_equal(bundle.entries, 42);
    assert_int_equal(bundle.env_entries, 42);
    assert_int_equal(bundle.first_env_seq, 1);
    assert_int_equal(bundle.last_env_seq, 42);
    fixture_shell(&f, "! grep -rq env-b ../bundle");
    fixture_shell(&f, "test $(wc -l < ../bundle/entries.jsonl) = 42");
    fixture_shell(&f, "test $(ls ../bundle/proofs | wc -l) = 42");
    assert_int_equal(evidence_bundle(e, &bundle, out), ERR_EXISTS);
    /* Every record of the sample is of one session. */
    snprintf(out, sizeof out, "%s/session", f.base);
    bundle = (struct evidence_bundle){.environment = "env-a", .session = "s-17"};
    assert_int_equal(evidence_bundle(e, &bundle, out), ERR_NONE);
    assert_int_equal(bundle.session_entries, 42);
    fixture_shell(&f, "grep -q '\"session\":\"s-17\",\"session_entries\":42' ../session/manifest.json");
    snprintf(out, sizeof out, "%s/none", f.base);
    bundle = (struct evidence_bundle){.environment = "env-a", .session = "s-1"};
    assert_int_equal(evidence_bundle(e, &bundle, out), ERR_NOT_FOUND);
    bundle.environment = "env-c";
    assert_int_equal(evidence_bundle(e, &bundle, out), ERR_NOT_FOUND);
    bundle = (struct evidence_bundle){.environment = "env-b", .to_ms = 1};
    assert_int_equal(evidence_bundle(e, &bundle, out), ERR_NOT_FOUND);
    fixture_shell(&f, "test ! -e ../none");
    evidence_close(e);
}

static void proofs_hold_for_every_entry(void **state)
{
    (void)state;
    char text[EVIDENCE_PROOF_MAX];
    struct evidence *e = opened();
    struct tree_head head = evidence_head(e);
    assert_int_equal(head.size, 65); /* the start, 31 pairs, the manifest, the end */
    for (uint64_t i = 0; i < head.size; i++) {
        struct outbuf o = outbuf_make(text, sizeof text);
        assert_int_equal(evidence_prove(e, i, &o), ERR_NONE);
        assert_true(o.len > 200);
    }
    struct outbuf o = outbuf_make(text, sizeof text);
    assert_int_equal(evidence_prove(e, head.size, &o), ERR_NOT_FOUND);
    assert_true(evidence_extends(e, &head));
    head.root[0] ^= 1;
    assert_false(evidence_extends(e, &head));
    evidence_close(e);
}

static void what_was_changed_is_not_handed_on(void **state)
{
    (void)state;
    struct evidence *e = NULL;
    char message[256] = "";
    fixture_shell(&f, "sed -i 's/files.test/filez.test/' segments/*.seg");
    assert_int_equal(evidence_open(f.dir, NULL, &e, message, sizeof message), ERR_CORRUPT);
    assert_null(e);
    assert_non_null(strstr(message, "not those that were signed"));
    fixture_shell(&f, "sed -i 's/filez.test/files.test/' segments/*.seg");
    evidence_close(opened());
    static const char stranger[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_int_equal(evidence_open(f.dir, stranger, &e, message, sizeof message), ERR_CORRUPT);
    assert_int_equal(evidence_open("/nowhere", NULL, &e, message, sizeof message), ERR_NOT_FOUND);
}

static void a_query_matches_whole_values(void **state)
{
    (void)state;
    assert_int_equal(count(&(struct audit_filter){0}), 65);
    assert_int_equal(count(&(struct audit_filter){.environment = "env-a"}), 42);
    assert_int_equal(count(&(struct audit_filter){.environment = "env-"}), 0);
    assert_int_equal(count(&(struct audit_filter){.environment = "env-a\",\""}), 0);
    assert_int_equal(count(&(struct audit_filter){.host = "files.test"}), 62);
    assert_int_equal(count(&(struct audit_filter){.host = "*.test"}), 62);
    assert_int_equal(count(&(struct audit_filter){.host = "iles.test"}), 0);
    assert_int_equal(count(&(struct audit_filter){.host = "*.iles.test"}), 0);
    assert_int_equal(count(&(struct audit_filter){.verdict = AUDIT_DENIED}), 0);
    assert_int_equal(count(&(struct audit_filter){.verdict = AUDIT_ALLOWED}), 62);
    assert_int_equal(count(&(struct audit_filter){.until_ms = 1}), 0);
}

static int setup(void **state)
{
    (void)state;
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 30);
    fixture_stop(&f);
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
        cmocka_unit_test_setup_teardown(a_bundle_has_one_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(proofs_hold_for_every_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_changed_is_not_handed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_query_matches_whole_values, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
