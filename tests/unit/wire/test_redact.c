/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/redact.h"
#include "wire/secret.h"

#include <stdio.h>
#include <string.h>

static struct redactor redactor; /* without a key and without words, unless a test sets them */

struct row {
    const char *raw;
    const char *shown;
};

static const struct row targets[] = {
    {"allowed.test:443",                                  "allowed.test:443"                         },
    {"u:p@allowed.test:443",                              "***@allowed.test:443"                     },
    {"denied.test:443@allowed.test:443",                  "***@allowed.test:443"                     },
    {"[::1]:443",                                         "[::1]:443"                                },
    {"http://allowed.test/a/b",                           "http://allowed.test/a/b"                  },
    {"http://user:secret@allowed.test:80/a",              "http://***@allowed.test:80/a"             },
    {"http://a@b@allowed.test/",                          "http://***@allowed.test/"                 },
    {"http://user:pa/ss@allowed.test/",                   "http://***@allowed.test/"                 },
    {"http://user:12/34@allowed.test/",                   "http://user:12/34@allowed.test/"          }, /* that is host "user", port 12 */
    {"http://us%65r@allowed.test/",                       "http://***@allowed.test/"                 },
    {"http://allowed.test/@scope/package",                "http://allowed.test/@scope/package"       },
    {"http://allowed.test/a?token=secret&b=&c",           "http://allowed.test/a?token=***&b=***&***"},
    {"http://allowed.test?x=http://u:p@denied.test/?y=z", "http://allowed.test?x=***"                },
    {"http://allowed.test/?c2VjcmV0==",                   "http://allowed.test/?c2VjcmV0=***"        },
    {"http://allowed.test/?a=1&&b=2&",                    "http://allowed.test/?a=***&&b=***&"       },
    {"http://allowed.test/?",                             "http://allowed.test/?"                    },
    {"http://allowed.test/a#secret",                      "http://allowed.test/a"                    },
    {"http://allowed.test/a?b=c#secret@x",                "http://allowed.test/a?b=***"              },
    {"http://denied.test#@allowed.test/",                 "http://denied.test"                       },
    {"/why?key=secret",                                   "/why?key=***"                             },
    {"/@scope/package",                                   "/@scope/package"                          },
    {"http://h.test/a/ghp_0123456789abcdefABCD/b",        "http://h.test/a/***/b"                    },
    {"http://ghp_0123456789abcdefabcd.h.test/",           "http://ghp_0123456789abcdefabcd.h.test/"  }, /* hosts are shown */
    {"http://h.test/?ghp_0123456789abcdefABCD=1&b=2",     "http://h.test/?***=***&b=***"             },
    {"",                                                  ""                                         },
    {"@",                                                 "***@"                                     },
    {"?",                                                 "?"                                        },
    {"#",                                                 ""                                         },
};

static const struct row unparsed[] = {
    {"allowed.test..:443",       "allowed.test..:443"},
    {"u:p@allowed.test:443x",    "allowed.test:443x" },
    {"a@b@c",                    "c"                 },
    {"http://h/p?token=secret",  "http://h/p"        },
    {"http://h/p#secret",        "http://h/p"        },
    {"user?secret@host",         ""                  },
    {"host?mail=me@secret",      ""                  },
    {"host#x?y",                 "host"              },
    {"secret@",                  ""                  },
    {"h/ghp_0123456789abcdef\"", "h/***\""           },
    {"?",                        ""                  },
    {"",                         ""                  },
};

/* The parser stopped in them: an '@' may have been next. */
static const struct row stopped[] = {
    {"http://user",          "***"                 },
    {"http://user:pass",     "***"                 },
    {"user:pass",            "***"                 },
    {"http://user:pa/ss",    "***"                 },
    {"http://h.test:80/a/b", "http://h.test:80/a/b"},
    {"http://u:p@h.test",    "h.test"              },
    {"http://h.test?x",      "http://h.test"       },
    {"",                     ""                    },
};

static void check(const struct row *rows, size_t count,
                  void (*redact)(const struct redactor *, struct span, struct outbuf *, bool *))
{
    for (size_t i = 0; i < count; i++) {
        char data[REDACT_TARGET_MAX];
        struct outbuf out = outbuf_make(data, sizeof data - 1);
        bool truncated = true;
        redact(&redactor, span_text(rows[i].raw), &out, &truncated);
        data[out.len] = '\0';
        assert_string_equal(data, rows[i].shown);
        assert_false(truncated);
    }
}

static void unparsed_whole(const struct redactor *r, struct span raw, struct outbuf *out, bool *truncated)
{
    redact_unparsed(r, raw, true, out, truncated);
}

static void unparsed_stopped(const struct redactor *r, struct span raw, struct outbuf *out, bool *truncated)
{
    redact_unparsed(r, raw, false, out, truncated);
}

static void redacts_targets(void **state)
{
    (void)state;
    check(targets, sizeof targets / sizeof targets[0], redact_target);
}

static void redacts_what_could_not_be_parsed(void **state)
{
    (void)state;
    check(unparsed, sizeof unparsed / sizeof unparsed[0], unparsed_whole);
    check(stopped, sizeof stopped / sizeof stopped[0], unparsed_stopped);
}

static const char *const secrets[] = {
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "file-ghp_16C7e42F292c6912E7710c838347Ae178B4a.tar.gz",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "xoxb-17653672481-19874698323",
    "sk-proj-abcdefgh",
    "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    "d41d8cd98f00b204e9800998ecf8427e",
    "0123456789abcdef",
    "4111111111111111",
    "123e4567-e89b-12d3-a456-426614174000",
    "X7kd93kSla02kfLs",
    "k3j5h2l9d8f7s6a1q4w0",
    "QmFzZTY0RW5jb2RlZFNlY3JldFZhbHVl",
    "xkqzjwvbnmtrpsdfghlk",
    "abcdefghijklmnopqrstuvwxyzab",
    "a-very-long-name-that-goes-on-and-on-until-nobody-can-say-what-it-is",
    "x.d41d8cd98f00b204e9800998ecf8427e.y",
    "%68%75%6e%74%65%72%32",
};

static const char *const words[] = {
    "",
    "index.html",
    "packages",
    "python3.11-minimal_3.11.2-6+deb12u6_amd64.deb",
    "linux-image-6.1.0-18-amd64_6.1.76-1_amd64.deb",
    "numpy-2.1.3-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "AbstractSingletonProxyFactoryBean",
    "getUserAccountInformation",
    "internationalization",
    "spring-boot-starter-data-jpa-3.2.1.pom",
    "2026-11-21T10-20-30",
    "v1.2.3-rc.4",
    "chat%2Fcompletions",
    "node-v22.11.0-linux-x64.tar.xz",
    "%2F%2f%20",
    "%",
    "%4",
};

static void tells_secrets_from_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (!secret_looks(span_text(secrets[i])))
            fail_msg("taken for a word: %s", secrets[i]);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (secret_looks(span_text(words[i])))
            fail_msg("taken for a secret: %s", words[i]);
}

/* Nearly every text of a generator of random tokens is seen, in each usual alphabet. */
static void sees_random_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *alphabet;
        size_t len;
        unsigned of_1000;
    } rows[] = {
        {"0123456789abcdef",                                                 20, 1000},
        {"0123456789abcdefghijklmnopqrstuvwxyz",                             20, 950 },
        {"0123456789abcdefghijklmnopqrstuvwxyz",                             32, 990 },
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",                                 32, 900 },
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",             24, 900 },
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",   20, 990 },
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 43, 990 },
    };
    uint32_t seed = 1;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        unsigned seen = 0;
        for (unsigned n = 0; n < 1000; n++) {
            char text[64];
            for (size_t i = 0; i < rows[r].len; i++) {
                seed = seed * 1664525u + 1013904223u;
                text[i] = rows[r].alphabet[(seed >> 16) % strlen(rows[r].alphabet)];
            }
            seen += secret_looks(span_make(text, rows[r].len));
        }
        if (seen < rows[r].of_1000)
            fail_msg("%s, %zu long: %u of 1000", rows[r].alphabet, rows[r].len, seen);
    }
}

static void shows_a_keyed_hash(void **state)
{
    (void)state;
    char data[REDACT_TARGET_MAX], hash[REDACT_HASH_TEXT], want[64];
    bool truncated = false;
    struct redactor keyed = {0};
    assert_int_equal(hmac_new(span_text("Jefe"), &keyed.hmac), ERR_NONE);
    /* RFC 4231, test case 2 */
    assert_int_equal(redact_hash(&keyed, span_text("what do ya want for nothing?"), hash), REDACT_HASH_TEXT);
    assert_memory_equal(hash, "h:5bdcc146bf60754e", REDACT_HASH_TEXT);
    size_t len = redact_hash(&keyed, span_text("ghp_0123456789abcdefABCD"), hash);
    snprintf(want, sizeof want, "/a/%.*s/b", (int)len, hash);
    struct outbuf out = outbuf_make(data, sizeof data - 1);
    redact_path(&keyed, span_text("/a/ghp_0123456789abcdefABCD/b?x=ghp_0123456789abcdefABCD"), &out, &truncated);
    data[out.len] = '\0';
    assert_string_equal(data, want);
    assert_false(truncated);
    hmac_free(keyed.hmac);
}

static void hides_what_the_operator_lists(void **state)
{
    (void)state;
    struct span list[] = {span_text("acme_"), span_text("invite/")};
    struct redact_words own = {list, 2};
    struct redactor listed = {.words = &own};
    static const struct row rows[] = {
        {"/acme_1/x",      "/***/x"         },
        {"/x-acme_1",      "/x-acme_1"      },
        {"/invite/me/now", "/invite/***/now"},
        {"/invite/a=b,c",  "/invite/***"    },
        {"/invites/me",    "/invites/me"    },
        {"/invite",        "/invite"        },
        {"/invite/",       "/invite/"       },
        {"/invite/acme_1", "/invite/***"    },
        {"/a;acme_1=x;b",  "/a;***=x;b"     },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char data[REDACT_TARGET_MAX];
        bool truncated = true;
        struct outbuf out = outbuf_make(data, sizeof data - 1);
        redact_path(&listed, span_text(rows[i].raw), &out, &truncated);
        data[out.len] = '\0';
        assert_string_equal(data, rows[i].shown);
        assert_false(truncated);
    }
    assert_true(redact_word_valid(span_text("abc")));
    assert_true(redact_word_valid(span_text("invite/")));
    assert_false(redact_word_valid(span_text("ab")));
    assert_false(redact_word_valid(span_text("ab/")));
    assert_false(redact_word_valid(span_text("a/b/")));
    assert_false(redact_word_valid(span_text("a%41b")));
    assert_false(redact_word_valid(span_text("")));
}

static void names_query_keys(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"/a?token=x&b=&c&=d&&e=1#f=2", "token&b&e"},
        {"/a",                          ""         },
        {"/a?",                         ""         },
        {"/a?word",                     ""         },
        {"?q=1",                        "q"        },
        {"/?0123456789abcdef=1&q=",     "***&q"    },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char data[REDACT_NAMES_MAX];
        bool truncated = true;
        struct outbuf out = outbuf_make(data, sizeof data - 1);
        redact_query_names(&redactor, span_text(rows[i].raw), &out, &truncated);
        data[out.len] = '\0';
        assert_string_equal(data, rows[i].shown);
        assert_false(truncated);
    }
}

/* No cut shows the beginning of a secret or of its hash. */
static void cuts_no_secret_in_two(void **state)
{
    (void)state;
    char raw[120], data[64];
    for (size_t before = 30; before < 64; before++) {
        bool truncated = false;
        for (size_t i = 0; i < before; i++)
            raw[i] = i % 5 == 0 ? '/' : 'a';
        raw[before - 1] = '/';
        memcpy(raw + before, "ghp_0123456789abcdefABCD", 24);
        struct redactor keyed = {0};
        assert_int_equal(hmac_new(span_text("Jefe"), &keyed.hmac), ERR_NONE);
        struct outbuf out = outbuf_make(data, sizeof data);
        redact_unparsed(&keyed, span_make(raw, before + 24), true, &out, &truncated);
        bool fits = before + REDACT_HASH_TEXT <= 64;
        assert_int_equal(out.len, fits ? before + REDACT_HASH_TEXT : before);
        assert_int_equal(truncated, !fits);
        hmac_free(keyed.hmac);
    }
}

static void cuts_long_targets(void **state)
{
    (void)state;
    char raw[1000];
    char data[1000];
    memset(raw, 'a', sizeof raw);
    bool truncated = false;
    struct outbuf out = outbuf_make(data, sizeof data);
    redact_target(&redactor, span_make(raw, REDACT_TARGET_MAX - 1), &out, &truncated);
    assert_int_equal(out.len, REDACT_TARGET_MAX - 1);
    assert_false(truncated);
    out = outbuf_make(data, sizeof data);
    redact_target(&redactor, span_make(raw, REDACT_TARGET_MAX), &out, &truncated);
    assert_int_equal(out.len, REDACT_TARGET_MAX - 1);
    assert_true(truncated);
    for (size_t i = 0; i < sizeof raw; i += 8)
        raw[i] = '/'; /* words, not one long secret */
    out = outbuf_make(data, sizeof data);
    redact_unparsed(&redactor, span_make(raw, 64), true, &out, &truncated);
    assert_int_equal(out.len, 64);
    assert_false(truncated);
    out = outbuf_make(data, sizeof data);
    redact_unparsed(&redactor, span_make(raw, 65), true, &out, &truncated);
    assert_int_equal(out.len, 64);
    assert_true(truncated);
}

static void copies_hostile_bytes_as_they_are(void **state)
{
    (void)state;
    char data[64];
    bool truncated;
    struct outbuf out = outbuf_make(data, sizeof data);
    redact_unparsed(&redactor, span_make("a\0\r\n\xff", 5), true, &out, &truncated);
    assert_true(span_equal(outbuf_written(&out), span_make("a\0\r\n\xff", 5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redacts_targets),
        cmocka_unit_test(redacts_what_could_not_be_parsed),
        cmocka_unit_test(cuts_long_targets),
        cmocka_unit_test(tells_secrets_from_words),
        cmocka_unit_test(sees_random_tokens),
        cmocka_unit_test(shows_a_keyed_hash),
        cmocka_unit_test(hides_what_the_operator_lists),
        cmocka_unit_test(names_query_keys),
        cmocka_unit_test(cuts_no_secret_in_two),
        cmocka_unit_test(copies_hostile_bytes_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
