/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                                \
    }

static void puts_commas_and_brackets(void **state)
{
    (void)state;
    uint8_t data[256];
    struct outbuf out = outbuf_make(data, sizeof data);
    struct json j = json_make(&out);
    json_open(&j, '{');
    json_key_text(&j, "a", "x");
    json_key_u64(&j, "b", UINT64_MAX);
    json_key_i64(&j, "c", -5);
    json_key_bool(&j, "d", true);
    json_key(&j, "e");
    json_open(&j, '[');
    json_u64(&j, 1);
    json_open(&j, '{');
    json_close(&j, '}');
    json_open(&j, '[');
    json_close(&j, ']');
    json_nothing(&j);
    json_close(&j, ']');
    json_key_bool(&j, "f", false);
    json_key_span(&j, "g", span_make(NULL, 0));
    json_close(&j, '}');
    assert_true(span_is(outbuf_written(&out), "{\"a\":\"x\",\"b\":18446744073709551615,\"c\":-5,\"d\":true,"
                                              "\"e\":[1,{},[],null],\"f\":false,\"g\":\"\"}"));
}

struct escape_row {
    const char *id;
    struct span raw;
    const char *json;
};

static const struct escape_row escapes[] = {
    {"plain",                   BYTES("host.test:443"),          "\"host.test:443\""                       },
    {"L-05 quote",              BYTES("\",\"verdict\":\"allow"), "\"\\\",\\\"verdict\\\":\\\"allow\""      },
    {"L-05 trailing backslash", BYTES("a\\"),                    "\"a\\\\\""                               },
    {"L-01 CR LF tab",          BYTES("a\r\n\tb"),               "\"a\\u000d\\u000a\\u0009b\""             },
    {"NUL",                     BYTES("a\0b"),                   "\"a\\u0000b\""                           },
    {"DEL",                     BYTES("\x7f"),                   "\"\\u007f\""                             },
    {"L-01 U+0085",             BYTES("\xc2\x85"),               "\"\\u0085\""                             },
    {"U+009F",                  BYTES("\xc2\x9f"),               "\"\\u009f\""                             },
    {"U+00A0 stays",            BYTES("\xc2\xa0"),               "\"\xc2\xa0\""                            },
    {"L-01 U+2028",             BYTES("\xe2\x80\xa8"),           "\"\\u2028\""                             },
    {"U+2029",                  BYTES("\xe2\x80\xa9"),           "\"\\u2029\""                             },
    {"U+202A stays",            BYTES("\xe2\x80\xaa"),           "\"\xe2\x80\xaa\""                        },
    {"two bytes",               BYTES("b\xc3\xbc"),              "\"b\xc3\xbc\""                           },
    {"four bytes",              BYTES("\xf0\x9f\x98\x80"),       "\"\xf0\x9f\x98\x80\""                    },
    {"highest",                 BYTES("\xf4\x8f\xbf\xbf"),       "\"\xf4\x8f\xbf\xbf\""                    },
    {"above U+10FFFF",          BYTES("\xf4\x90\x80\x80"),       "\"\\\\u00f4\\\\u0090\\\\u0080\\\\u0080\""},
    {"Latin-1",
     BYTES("b\xfc"
           "c"),
     "\"b\\\\u00fcc\""                                                                                     },
    {"overlong slash",          BYTES("\xc0\xae"),               "\"\\\\u00c0\\\\u00ae\""                  },
    {"overlong three",          BYTES("\xe0\x80\x80"),           "\"\\\\u00e0\\\\u0080\\\\u0080\""         },
    {"overlong four",           BYTES("\xf0\x8f\xbf\xbf"),       "\"\\\\u00f0\\\\u008f\\\\u00bf\\\\u00bf\""},
    {"surrogate",               BYTES("\xed\xa0\x80"),           "\"\\\\u00ed\\\\u00a0\\\\u0080\""         },
    {"below surrogates",        BYTES("\xed\x9f\xbf"),           "\"\xed\x9f\xbf\""                        },
    {"cut at the end",          BYTES("a\xe2\x80"),              "\"a\\\\u00e2\\\\u0080\""                 },
    {"cut, then ASCII",         BYTES("\xe2\x80z"),              "\"\\\\u00e2\\\\u0080z\""                 },
    {"lone tail",               BYTES("\x80"),                   "\"\\\\u0080\""                           },
    {"0xff",                    BYTES("\xff"),                   "\"\\\\u00ff\""                           },
    {"spelled escape",          BYTES("\\u00ff"),                "\"\\\\u00ff\""                           },
};

static void escapes_everything(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        char data[128];
        struct outbuf out = outbuf_make(data, sizeof data - 1);
        struct json j = json_make(&out);
        json_span(&j, escapes[i].raw);
        data[out.len] = '\0';
        if (out.overflow || !span_is(outbuf_written(&out), escapes[i].json))
            fail_msg("%s: got %s, want %s", escapes[i].id, data, escapes[i].json);
    }
}

static void overflow_shows(void **state)
{
    (void)state;
    uint8_t data[8];
    struct outbuf out = outbuf_make(data, sizeof data);
    struct json j = json_make(&out);
    json_text(&j, "1234567");
    assert_true(out.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_commas_and_brackets),
        cmocka_unit_test(escapes_everything),
        cmocka_unit_test(overflow_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
