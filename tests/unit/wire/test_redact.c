/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/redact.h"

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
    {"",                                                  ""                                         },
    {"@",                                                 "***@"                                     },
    {"?",                                                 "?"                                        },
    {"#",                                                 ""                                         },
};

static const struct row unparsed[] = {
    {"allowed.test..:443",      "allowed.test..:443"},
    {"u:p@allowed.test:443x",   "allowed.test:443x" },
    {"a@b@c",                   "c"                 },
    {"http://h/p?token=secret", "http://h/p"        },
    {"http://h/p#secret",       "http://h/p"        },
    {"user?secret@host",        ""                  },
    {"host?mail=me@secret",     ""                  },
    {"host#x?y",                "host"              },
    {"secret@",                 ""                  },
    {"?",                       ""                  },
    {"",                        ""                  },
};

static void check(const struct row *rows, size_t count, void (*redact)(struct span, struct outbuf *, bool *))
{
    for (size_t i = 0; i < count; i++) {
        char data[REDACT_TARGET_MAX];
        struct outbuf out = outbuf_make(data, sizeof data - 1);
        bool truncated = true;
        redact(span_text(rows[i].raw), &out, &truncated);
        data[out.len] = '\0';
        assert_string_equal(data, rows[i].shown);
        assert_false(truncated);
    }
}

static void redacts_targets(void **state)
{
    (void)state;
    check(targets, sizeof targets / sizeof targets[0], redact_target);
}

static void redacts_what_could_not_be_parsed(void **state)
{
    (void)state;
    check(unparsed, sizeof unparsed / sizeof unparsed[0], redact_unparsed);
}

static void cuts_long_targets(void **state)
{
    (void)state;
    char raw[1000];
    char data[1000];
    memset(raw, 'a', sizeof raw);
    bool truncated = false;
    struct outbuf out = outbuf_make(data, sizeof data);
    redact_target(span_make(raw, REDACT_TARGET_MAX - 1), &out, &truncated);
    assert_int_equal(out.len, REDACT_TARGET_MAX - 1);
    assert_false(truncated);
    out = outbuf_make(data, sizeof data);
    redact_target(span_make(raw, REDACT_TARGET_MAX), &out, &truncated);
    assert_int_equal(out.len, REDACT_TARGET_MAX - 1);
    assert_true(truncated);
    out = outbuf_make(data, sizeof data);
    redact_unparsed(span_make(raw, 64), &out, &truncated);
    assert_int_equal(out.len, 64);
    assert_false(truncated);
    out = outbuf_make(data, sizeof data);
    redact_unparsed(span_make(raw, 65), &out, &truncated);
    assert_int_equal(out.len, 64);
    assert_true(truncated);
}

static void copies_hostile_bytes_as_they_are(void **state)
{
    (void)state;
    char data[64];
    bool truncated;
    struct outbuf out = outbuf_make(data, sizeof data);
    redact_unparsed(span_make("a\0\r\n\xff", 5), &out, &truncated);
    assert_true(span_equal(outbuf_written(&out), span_make("a\0\r\n\xff", 5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redacts_targets),
        cmocka_unit_test(redacts_what_could_not_be_parsed),
        cmocka_unit_test(cuts_long_targets),
        cmocka_unit_test(copies_hostile_bytes_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
