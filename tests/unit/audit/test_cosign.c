/* SPDX-License-Identifier: Apache-2.0 */
/* The file that names witnesses, line by line; what counts as a signature of one, and how many make the quorum. */
#include "fixture.h"

#include "audit/cosign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct fixture f;
static struct witness one, two, three, log_key;

static void write_file(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* In `format`, %1 to %3 stand for the verifier keys, %L for a key that is no witness's, %l for a long word and %w for
 * forty words. */
static enum err load(const char *format, struct cosign_policy **out, char *why, size_t cap)
{
    static char text[80000];
    char path[128];
    size_t len = 0;
    for (const char *at = format; *at != '\0'; at++) {
        const char *word = NULL;
        if (at[0] == '%') {
            at++;
            word = *at == '1' ? one.vkey : *at == '2' ? two.vkey : *at == '3' ? three.vkey : log_key.vkey;
        }
        if (word == NULL) {
            text[len++] = *at;
        } else if (*at == 'l') {
            memset(text + len, 'n', 600);
            len += 600;
        } else if (*at == 'w') {
            for (unsigned i = 0; i < 40; i++, len += 2)
                memcpy(text + len, " x", 2);
        } else {
            memcpy(text + len, word, strlen(word));
            len += strlen(word);
        }
    }
    snprintf(path, sizeof path, "%s/policy", f.base);
    write_file(path, text, len);
    return cosign_policy_load(path, out, why, cap);
}

static struct cosign_policy *loaded(const char *format)
{
    struct cosign_policy *p = NULL;
    char why[128] = "";
    if (load(format, &p, why, sizeof why) != ERR_NONE)
        fail_msg("%s: %s", format, why);
    return p;
}

static void a_policy_is_read(void **state)
{
    (void)state;
    struct cosign_policy *p = loaded("# ours\n"
                                     "log something that is given otherwise\n"
                                     "\twitness  first %1 http://witness.test/one # and why\n"
                                     "\n"
                                     "witness second %2\n"
                                     "group both all first second\n"
                                     "quorum both");
    assert_int_equal(cosign_count(p), 2);
    assert_string_equal(cosign_witness(p, 0)->label, "first");
    assert_string_equal(cosign_witness(p, 0)->name, "witness.test/one");
    assert_string_equal(cosign_witness(p, 0)->url, "http://witness.test/one");
    assert_memory_equal(cosign_witness(p, 0)->key_hash, one.hash, 4);
    assert_string_equal(cosign_witness(p, 1)->label, "second");
    assert_string_equal(cosign_witness(p, 1)->url, "");
    cosign_policy_free(p);
    cosign_policy_free(NULL);
}

static void a_wrong_policy_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"",                                  "line 0: the quorum is missing"                     },
        {"witness a %1\n",                    "line 1: the quorum is missing"                     },
        {"quorum none\nwitnes a %1\n",        "line 2: this is not witness, group or quorum"      },
        {"witness\n",                         "line 1: write: witness NAME VKEY [URL]"            },
        {"witness a\n",                       "line 1: write: witness NAME VKEY [URL]"            },
        {"witness a %1 http://w.test more\n", "line 1: write: witness NAME VKEY [URL]"            },
        {"witness none %1\n",                 "line 1: this name is too long, or taken"           },
        {"witness %l %1\n",                   "line 1: this name is too long, or taken"           },
        {"witness a %1\nwitness a %2\n",      "line 2: this name is too long, or taken"           },
        {"\n\nwitness a %L\n",                "line 3: this is no verifier key of a witness (type"},
        {"witness a w.test+00000000+AAAA\n",  "line 1: this is no verifier key of a witness (type"},
        {"witness a w.test+0000\n",           "line 1: this is no verifier key of a witness (type"},
        {"witness a w.test\n",                "line 1: this is no verifier key of a witness (type"},
        {"witness a +00000000+%1\n",          "line 1: this is no verifier key of a witness (type"},
        {"witness a x%1\n",                   "line 1: this is no verifier key of a witness (type"},
        {"witness a %1 http://%l\n",          "line 1: the URL is too long"                       },
        {"witness a %w\n",                    "line 1: too many words"                            },
        {"witness a %1\ngroup g all\n",       "line 2: write: group NAME all|any|K MEMBER"        },
        {"witness a %1\ngroup a all a\n",     "line 2: this name is too long, or taken"           },
        {"witness a %1\ngroup none all a\n",  "line 2: this name is too long, or taken"           },
        {"witness a %1\ngroup %l all a\n",    "line 2: this name is too long, or taken"           },
        {"witness a %1\ngroup g all b\n",     "line 2: a member is unknown, or stands twice"      },
        {"witness a %1\ngroup g all a a\n",   "line 2: a member is unknown, or stands twice"      },
        {"witness a %1\ngroup g all g\n",     "line 2: a member is unknown, or stands twice"      },
        {"witness a %1\ngroup g some a\n",    "line 2: as many as what? all, any, or a number"    },
        {"witness a %1\ngroup g 0 a\n",       "line 2: as many as what? all, any, or a number"    },
        {"witness a %1\ngroup g 2 a\n",       "line 2: as many as what? all, any, or a number"    },
        {"witness a %1\ngroup g -1 a\n",      "line 2: as many as what? all, any, or a number"    },
        {"quorum\n",                          "line 1: write one: quorum NAME, or quorum none"    },
        {"quorum none none\n",                "line 1: write one: quorum NAME, or quorum none"    },
        {"quorum none\nquorum none\n",        "line 2: write one: quorum NAME, or quorum none"    },
        {"quorum a\nwitness a %1\n",          "line 1: nothing above has this name"               },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cosign_policy *p = NULL;
        char why[128] = "";
        assert_int_equal(load(rows[i].text, &p, why, sizeof why), ERR_INVALID);
        assert_null(p);
        if (strncmp(why, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("%s gave \"%s\", not \"%s\"", rows[i].text, why, rows[i].why);
    }
}

static void a_policy_has_an_end(void **state)
{
    (void)state;
    struct cosign_policy *p = NULL;
    char text[8192] = "", why[128] = "", line[400];
    size_t len = 0;
    for (unsigned i = 0; i < COSIGN_WITNESSES_MAX + 1; i++) {
        snprintf(line, sizeof line, "witness w%u %%1\n", i);
        memcpy(text + len, line, strlen(line) + 1);
        len += strlen(line);
    }
    assert_int_equal(load(text, &p, why, sizeof why), ERR_INVALID);
    assert_string_equal(why, "line 33: there are too many witnesses");
    len = (size_t)snprintf(text, sizeof text, "witness w %%1\n");
    for (unsigned i = 0; i < COSIGN_WITNESSES_MAX + 1; i++) {
        snprintf(line, sizeof line, "group g%u any w\n", i);
        memcpy(text + len, line, strlen(line) + 1);
        len += strlen(line);
    }
    assert_int_equal(load(text, &p, why, sizeof why), ERR_INVALID);
    assert_string_equal(why, "line 34: there are too many groups");
    assert_int_equal(cosign_policy_load("/nowhere/policy", &p, why, sizeof why), ERR_NOT_FOUND);
    assert_string_equal(why, err_text(ERR_NOT_FOUND));
    char path[128];
    snprintf(path, sizeof path, "%s/policy", f.base);
    static char large[70000];
    memset(large, '#', sizeof large);
    write_file(path, large, sizeof large);
    assert_int_equal(cosign_policy_load(path, &p, why, sizeof why), ERR_TOO_BIG);
    assert_null(p);
}

/* Bit i of `have`: the i-th witness has signed. Bit `have` of `met`: that is enough. */
static void a_quorum_is_counted(void **state)
{
    (void)state;
    static const struct {
        const char *rules;
        unsigned met;
    } rows[] = {
        {"quorum none\n",                                               0xff},
        {"quorum b\n",                                                  0xcc},
        {"group g any a b c\nquorum g\n",                               0xfe},
        {"group g all a b c\nquorum g\n",                               0x80},
        {"group g 2 a b c\nquorum g\n",                                 0xe8},
        {"group g all a b\ngroup h any g c\nquorum h\n",                0xf8},
        {"group g any a b\ngroup h all g c\nquorum h\n",                0xe0},
        {"group g any a b\ngroup h any c\ngroup i 2 g h a\nquorum i\n", 0xea},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[400];
        snprintf(text, sizeof text, "witness a %%1\nwitness b %%2\nwitness c %%3\n%s", rows[i].rules);
        struct cosign_policy *p = loaded(text);
        for (unsigned have = 0; have < 8; have++) {
            const bool flags[COSIGN_WITNESSES_MAX] = {have & 1, have & 2, have & 4};
            if (cosign_quorum(p, flags) != (rows[i].met >> have & 1))
                fail_msg("%s with %u: the quorum is %s", rows[i].rules, have,
                         rows[i].met >> have & 1 ? "not met" : "met");
        }
        cosign_policy_free(p);
    }
}

/* ---- lines below a checkpoint ---- */

struct note {
    char text[COSIGN_TEXT_MAX];
    struct outbuf o;
    struct span body;
};

static void begin_note(struct note *n)
{
    static const uint8_t nobody[68] = {1, 2, 3, 4};
    const struct tree_head head = {.size = 7, .root = {9}};
    n->o = outbuf_make(n->text, sizeof n->text);
    note_body(FIXTURE_ORIGIN, &head, &n->o);
    n->body = outbuf_written(&n->o);
    outbuf_char(&n->o, '\n');
    witness_put(FIXTURE_ORIGIN, nobody, sizeof nobody, &n->o);
}

static unsigned check(const struct cosign_policy *p, const struct note *n, uint64_t *out_time_s)
{
    bool have[COSIGN_WITNESSES_MAX];
    memset(have, true, sizeof have);
    *out_time_s = 99;
    cosign_check(p, outbuf_written(&n->o), have, out_time_s);
    unsigned bits = 0;
    for (unsigned i = 0; i < COSIGN_WITNESSES_MAX; i++)
        bits |= (unsigned)have[i] << i;
    return bits;
}

enum line { GOOD, OTHER_TIME, OTHER_BODY, OTHER_HASH, OTHER_NAME, SHORT, LONG, NO_BASE64 };

static void put_line(struct note *n, const struct witness *w, enum line what, uint64_t time_s)
{
    uint8_t blob[77] = {0};
    witness_blob(w, what == OTHER_BODY ? span_text("log.test/audit/1\n8\n\n") : n->body, time_s, blob);
    if (what == OTHER_TIME)
        blob[11] ^= 1;
    if (what == OTHER_HASH)
        blob[0] ^= 1;
    if (what == NO_BASE64) {
        outbuf_text(&n->o, "\xe2\x80\x94 ");
        outbuf_text(&n->o, w->name);
        outbuf_text(&n->o, " !!!!\n");
        return;
    }
    size_t len = what == SHORT ? 75 : what == LONG ? 77 : 76;
    witness_put(what == OTHER_NAME ? "witness.test/else" : w->name, blob, len, &n->o);
}

static void only_good_lines_count(void **state)
{
    (void)state;
    static const struct {
        enum line what;
        unsigned have;
    } rows[] = {
        {GOOD,       1},
        {OTHER_TIME, 0},
        {OTHER_BODY, 0},
        {OTHER_HASH, 0},
        {OTHER_NAME, 0},
        {SHORT,      0},
        {LONG,       0},
        {NO_BASE64,  0},
    };
    struct cosign_policy *p = loaded("witness a %1\nwitness b %2\ngroup g all a b\nquorum g\n");
    static struct note n;
    uint64_t time_s = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_note(&n);
        put_line(&n, &one, rows[i].what, 1700000000);
        if (check(p, &n, &time_s) != rows[i].have || time_s != (rows[i].have != 0 ? 1700000000 : 0))
            fail_msg("line %zu: time %llu", i, (unsigned long long)time_s);
        /* A bad line does not hide a good one of the same witness, or of another, behind it. */
        put_line(&n, &two, GOOD, 1800000000);
        assert_int_equal(check(p, &n, &time_s), rows[i].have | 2);
        put_line(&n, &one, GOOD, 1600000000);
        assert_int_equal(check(p, &n, &time_s), 3);
        assert_int_equal(time_s, 1800000000);
    }
    begin_note(&n);
    put_line(&n, &three, GOOD, 5); /* nobody that the policy names */
    assert_int_equal(check(p, &n, &time_s), 0);
    put_line(&n, &one, GOOD, 6);
    put_line(&n, &one, GOOD, 7); /* twice is once */
    assert_int_equal(check(p, &n, &time_s), 1);
    assert_int_equal(time_s, 6);
    n.o.len = 20; /* no checkpoint at all */
    assert_int_equal(check(p, &n, &time_s), 0);
    assert_int_equal(time_s, 0);
    cosign_policy_free(p);
}

/* ---- what a witness is asked ---- */

static void a_request_has_the_proof(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX], again[COSIGN_TEXT_MAX];
    size_t note = 0, other = 0;
    struct tree_head head = {0};
    struct outbuf o = outbuf_make(text, sizeof text), p = outbuf_make(again, sizeof again);
    assert_int_equal(cosign_request(f.dir, 0, &o, &note, &head), ERR_NONE);
    assert_int_equal(head.size, 15); /* start, six pairs, manifest, stop */
    assert_int_equal(note, strlen("old 0\n\n"));
    assert_memory_equal(text, "old 0\n\nlog.test/audit/1\n15\n", 27);
    o.len = 0;
    assert_int_equal(cosign_request(f.dir, 15, &o, &note, &head), ERR_NONE);
    assert_int_equal(note, strlen("old 15\n\n")); /* the same tree: nothing to prove */
    o.len = 0;
    assert_int_equal(cosign_request(f.dir, 5, &o, &note, &head), ERR_NONE);
    /* RFC 6962, 2.1.2: from 5 to 15 entries there are five hashes, each of 44 characters and a newline. */
    assert_int_equal(note, strlen("old 5\n\n") + 5u * 45u);
    /* Without the arrays it is the same, from the entries. */
    fixture_shell(&f, "mv hashes ../hashes");
    assert_int_equal(cosign_request(f.dir, 5, &p, &other, &head), ERR_NONE);
    fixture_shell(&f, "mv ../hashes hashes");
    assert_int_equal(other, note);
    assert_int_equal(p.len, o.len);
    assert_memory_equal(again, text, o.len);
}

static void a_request_is_refused(void **state)
{
    (void)state;
    char text[COSIGN_TEXT_MAX];
    size_t note = 0;
    struct tree_head head = {0};
    struct outbuf o = outbuf_make(text, sizeof text);
    assert_int_equal(cosign_request(f.dir, 16, &o, &note, &head), ERR_DENIED);
    assert_int_equal(cosign_request("/nowhere", 0, &o, &note, &head), ERR_NOT_FOUND);
    o = outbuf_make(text, 40);
    assert_int_equal(cosign_request(f.dir, 0, &o, &note, &head), ERR_TOO_BIG);
    o = outbuf_make(text, sizeof text);
    fixture_shell(&f, "cp -r . ../copy && sed -i 's/files.test/filez.test/' segments/* && rm -r hashes");
    assert_int_equal(cosign_request(f.dir, 0, &o, &note, &head), ERR_CORRUPT);
    fixture_shell(&f, "echo more >> checkpoint");
    assert_int_equal(cosign_request(f.dir, 0, &o, &note, &head), ERR_CORRUPT);
    fixture_shell(&f, "rm checkpoint");
    assert_int_equal(cosign_request(f.dir, 0, &o, &note, &head), ERR_NOT_FOUND);
    fixture_shell(&f, "cd .. && rm -r audit && mv copy audit");
}

static void what_was_signed_is_kept(void **state)
{
    (void)state;
    char path[200], text[64] = "";
    snprintf(path, sizeof path, "%s/" COSIGN_LOG, f.dir);
    assert_int_equal(cosign_keep(f.dir, span_text("one\n")), ERR_NONE);
    assert_int_equal(cosign_keep(f.dir, span_text("two\n")), ERR_NONE);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text, file), 10);
    fclose(file);
    assert_memory_equal(text, "one\n\ntwo\n\n", 10);
    assert_int_equal(cosign_keep("/nowhere", span_text("x\n")), ERR_IO);
    fixture_shell(&f, "rm " COSIGN_LOG " && ln -s ../elsewhere " COSIGN_LOG);
    assert_int_equal(cosign_keep(f.dir, span_text("x\n")), ERR_IO); /* a link is not followed */
    fixture_shell(&f, "test ! -e ../elsewhere && rm " COSIGN_LOG);
    static char large[4200];
    memset(large, 'd', sizeof large - 1);
    assert_int_equal(cosign_keep(large, span_text("x\n")), ERR_TOO_BIG);
}

static int setup(void **state)
{
    (void)state;
    witness_make(&one, "witness.test/one", 4);
    witness_make(&two, "witness.test/two", 4);
    witness_make(&three, "witness.test/three", 4);
    witness_make(&log_key, "log.test", 1);
    fixture_make(&f);
    fixture_start(&f);
    fixture_feed(&f, 1, 5);
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
        cmocka_unit_test(a_policy_is_read),      cmocka_unit_test(a_wrong_policy_says_where),
        cmocka_unit_test(a_policy_has_an_end),   cmocka_unit_test(a_quorum_is_counted),
        cmocka_unit_test(only_good_lines_count), cmocka_unit_test(a_request_has_the_proof),
        cmocka_unit_test(a_request_is_refused),  cmocka_unit_test(what_was_signed_is_kept),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
